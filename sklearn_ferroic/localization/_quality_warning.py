"""A warning of sites that cannot be all that the images show."""

import warnings

import numpy as np

from ..sites import SiteFlag

# Shares that no good image has: columns missed, sites too close, fits given up.
_MAX_MISSED, _MAX_SHORT, _MAX_UNCONVERGED = 0.01, 0.05, 0.3
# Fewer columns than this may be a matter of one flaw in a small image.
_MIN_MISSED = 3
# Shares of fewer sites mean little, unless most fits are given up.
_MIN_SITES = 20
_MOST = 0.5
# Astigmatism, drift and mistilt stretched the columns of the experimental images at
# hand by up to 1.3; unresolved dumbbells are 1.5 to 2.6 times as long as wide.
_MAX_ELLIPTICITY = 1.45
# The columns missed must stand out from the noise of their sum.
_MIN_SIGNIFICANCE = 3.0


def warn_of_doubtful_sites(checks, implausible, alternative):
    """Warn once of images whose sites leave out columns, or are hardly columns.

    Parameters
    ----------
    checks : list of ImageCheck
        Checks of the images.
    implausible : list of str
        For each image why its sites cannot be a crystal's, empty if they can.
    alternative : str
        The other locator, which may find more.
    """
    messages = []
    for number, (check, finding) in enumerate(zip(checks, implausible, strict=True)):
        where = f"Image {number}: " if len(checks) > 1 else ""
        # Places that hold no column although the image shows one are the cause where
        # the distances of the sites look wrong, too.
        missed = _describe_misses(check, alternative)
        doubt = finding or where + _describe_doubts(check)
        message = where + missed if missed else doubt
        if message != where:
            messages.append(message)
    if messages:
        more = f" The sites of {len(messages) - 1} more image(s) are doubtful, too."
        warnings.warn(
            messages[0] + (more if len(messages) > 1 else ""),
            UserWarning,
            stacklevel=6,
        )


def _describe_misses(check, alternative):
    """Describe columns that were missed, and what to do; "" if there are hardly any."""
    n_sites, n_missed = len(check.flags), number_missed(check)
    most = max(_MAX_MISSED * (n_sites + n_missed), _MIN_MISSED)
    if n_sites < _MIN_SITES or n_missed <= most:
        return ""
    return (
        f"about {n_missed:.0f} places inside the crystal where a column "
        f"is expected and the image shows one hold no site ({n_sites} sites). "
        f"Try {alternative}, a lower threshold or spacing=, and look at "
        "sites.quality()."
    )


def _describe_doubts(check):
    """Describe sites that are hardly columns, and what to do; "" if there are few."""
    n_sites = len(check.flags)
    n_unconverged = np.count_nonzero(check.flags & SiteFlag.UNCONVERGED)
    most = _MAX_UNCONVERGED if n_sites >= _MIN_SITES else _MOST
    if n_sites < _MIN_SITES and n_unconverged <= most * n_sites:
        return ""
    n_short = np.count_nonzero(check.flags & SiteFlag.SHORT_PAIR)
    if n_short > _MAX_SHORT * n_sites:
        return (
            f"{n_short} of {n_sites} sites are closer to another one than "
            "the columns around: duplicates or noise. Give spacing= in px or a "
            "higher threshold, and look at sites.quality()."
        )
    if n_unconverged > most * n_sites:
        return (
            f"{n_unconverged} of {n_sites} fits cannot be trusted. Is the "
            "spacing right (spacing= in px)? Do the columns overlap, or are they "
            'no round spots (shape="elliptical")? Look at sites.quality().'
        )
    return ""


def warn_of_long_columns(ratios):
    """Warn of images whose columns are all stretched as unresolved pairs are.

    Parameters
    ----------
    ratios : list of float
        Of each image, the ratio of the axes that its columns have in common.
    """
    number = int(np.argmax(ratios))
    if ratios[number] > _MAX_ELLIPTICITY:
        warnings.warn(
            f"All columns of image {number} are longer along one direction than "
            f"across, by a factor of about {ratios[number]:.1f}. If they are "
            "unresolved pairs (dumbbells), each site is two columns: give the distance "
            "within the pair by spacing= in px. If it is astigmatism, drift or "
            "mistilt, the common ellipse that is fitted accounts for it.",
            UserWarning,
            stacklevel=6,
        )


def number_missed(check):
    """Estimate how many columns are missed, from the brightness of the empty places.

    A vacancy counts 0 and a column as bright as its neighbours 1, so that in a noisy
    image vacancies do not add up to columns.

    Parameters
    ----------
    check : ImageCheck
        Check of an image.

    Returns
    -------
    n_missed : float
        Number of columns; 0 if it does not stand out from the noise.
    """
    share, std = check.central_amplitude, check.relative_std
    known = np.isfinite(share) & np.isfinite(std)
    total = np.clip(share[known], -1, 1).sum()
    error = np.sqrt(np.sum(std[known] ** 2))
    return float(total) if total > _MIN_SIGNIFICANCE * error else 0.0
