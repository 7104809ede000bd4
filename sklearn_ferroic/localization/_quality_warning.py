"""Warnings about missed columns and about sites that cannot be those of a crystal."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .._utils.scale import (
    COARSEST_SPACING_PX,
    FINE_SPACING_PX,
    NARROWEST_SIGMA_PX,
    describe_implausible_pixel_size,
)
from ..sites import SiteFlag


@dataclass(frozen=True)
class _QualityWarningSettings:
    """Settings of the warnings about sites, with their reasons."""

    # Shares that no good image has: columns missed, sites too close, fits rejected.
    max_missed_share: float = 0.01
    max_short_share: float = 0.05
    max_unconverged_share: float = 0.3
    # Fewer columns than this may be a matter of one flaw in a small image.
    min_n_missed: int = 3
    # Shares of fewer sites mean little, unless this share of the fits is rejected.
    min_n_sites: int = 20
    max_unconverged_share_of_few: float = 0.5
    # Astigmatism, drift and mistilt stretched the columns of the experimental images
    # at hand by up to 1.3; unresolved dumbbells are 1.5 to 2.6 times as long as wide.
    max_axis_ratio: float = 1.45
    # The columns missed must exceed the noise of their sum.
    min_significance_std: float = 3.0
    # Fewer sites show nothing about an image.
    min_n_plausible_sites: int = 12
    # Sites with no other within this many spacings are isolated; neighbours closer
    # than that share of it are short pairs.
    isolated_spacings: float = 1.6
    short_spacings: float = 0.6
    # Largest shares in an image that may be right. Edges and amorphous matter have
    # some.
    max_plausible_unconverged_share: float = 0.25
    max_plausible_short_share: float = 0.1
    max_plausible_isolated_share: float = 0.2
    # Typical distance of neighbours over the spacing. Where one sublattice of a
    # perovskite is missed, it is 1.41.
    distance_range_spacings: tuple = (0.6, 1.3)
    # Sites per area in the places where there are sites, of those of a square
    # lattice. Dumbbells fill 0.18 and more, scattered sites less than 0.1.
    min_density_share: float = 0.12
    density_radius_spacings: float = 3.0
    # Its median over about this number of sites is accurate to a few per cent.
    n_sampled_sites: int = 300


_SETTINGS = _QualityWarningSettings()


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
        # Places without a column although the image shows one are the cause where
        # the distances of the sites look wrong, too.
        missed = _describe_misses(check, alternative)
        message_of_check = finding or where + _describe_doubts(check)
        message = where + missed if missed else message_of_check
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
    """Describe missed columns and a remedy; "" if there are hardly any."""
    n_sites, n_missed = len(check.flags), number_missed(check)
    most = max(
        _SETTINGS.max_missed_share * (n_sites + n_missed), _SETTINGS.min_n_missed
    )
    if n_sites < _SETTINGS.min_n_sites or n_missed <= most:
        return ""
    return (
        f"about {n_missed:.0f} places inside the crystal where a column "
        f"is expected and the image shows one have no site ({n_sites} sites). "
        f"Try {alternative}, or spacing= if the distance of nearest columns is "
        "not as estimated, and look at sites.quality()."
    )


def _describe_doubts(check):
    """Describe sites that are hardly columns and a remedy; "" if there are few."""
    n_sites = len(check.flags)
    n_unconverged = np.count_nonzero(check.flags & SiteFlag.UNCONVERGED)
    most = _SETTINGS.max_unconverged_share
    if n_sites < _SETTINGS.min_n_sites:
        most = _SETTINGS.max_unconverged_share_of_few
    if n_sites < _SETTINGS.min_n_sites and n_unconverged <= most * n_sites:
        return ""
    n_short = np.count_nonzero(check.flags & SiteFlag.SHORT_PAIR)
    if n_short > _SETTINGS.max_short_share * n_sites:
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
    if ratios[number] > _SETTINGS.max_axis_ratio:
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
        Number of columns; 0 if it does not exceed the noise.
    """
    share, std = check.central_amplitude, check.relative_std
    known = np.isfinite(share) & np.isfinite(std)
    total = np.clip(share[known], -1, 1).sum()
    error = np.sqrt(np.sum(std[known] ** 2))
    return float(total) if total > _SETTINGS.min_significance_std * error else 0.0


def check_sites(positions, converged, spacing, *, in_pairs=False):
    """List reasons why sites cannot be the columns of a crystal.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Sites of one image, px.
    converged : ndarray of bool of shape (n,)
        Whether the fit of each can be trusted.
    spacing : float
        Nearest-neighbour spacing that they were located with, px.
    in_pairs : bool, default=False
        Whether the columns are close pairs, which do not fill the area evenly.

    Returns
    -------
    findings : list of str
        What is wrong, as clauses of a sentence; empty if nothing is.
    """
    n = len(positions)
    if n < _SETTINGS.min_n_plausible_sites:
        return []
    tree = cKDTree(positions)
    nearest = tree.query(positions, 2)[0][:, 1]
    unconverged = np.mean(~np.asarray(converged, dtype=bool))
    typical = np.median(nearest)
    # A spacing that is somewhat too large makes no pairs short.
    expected = np.clip(typical, _SETTINGS.short_spacings * spacing, spacing)
    short = np.mean(nearest < _SETTINGS.short_spacings * expected)
    isolated = np.mean(nearest > _SETTINGS.isolated_spacings * spacing)
    radius = _SETTINGS.density_radius_spacings * spacing
    sampled = positions[:: max(1, n // _SETTINGS.n_sampled_sites)]
    around = tree.query_ball_point(sampled, radius, return_length=True)
    density = np.median(around) / (np.pi * _SETTINGS.density_radius_spacings**2)
    findings = []
    if unconverged > _SETTINGS.max_plausible_unconverged_share:
        findings.append(f"{unconverged:.0%} of the fits did not converge")
    if isolated > _SETTINGS.max_plausible_isolated_share:
        findings.append(f"{isolated:.0%} of the sites have no neighbour")
    if short > _SETTINGS.max_plausible_short_share:
        findings.append(f"{short:.0%} of the sites are too close to another")
    if (
        not _SETTINGS.distance_range_spacings[0]
        < typical / spacing
        < _SETTINGS.distance_range_spacings[1]
    ):
        findings.append(
            f"neighbours are typically {typical:.1f} px apart, not {spacing:.1f} px"
        )
    elif density < _SETTINGS.min_density_share and not in_pairs:
        findings.append(f"there are {density:.0%} of the sites a lattice has")
    if findings and spacing < FINE_SPACING_PX:
        findings.append(f"the spacing is below {FINE_SPACING_PX:.0f} px")
    return findings


def describe_implausible_sites(
    number, positions, converged, spacing, *, in_pairs=False
):
    """Describe the faults of the sites of an image and a remedy.

    Parameters
    ----------
    number : int
        Index of the image.
    positions, converged, spacing, in_pairs
        As `check_sites` takes them.

    Returns
    -------
    message : str
        The text of a warning; empty if nothing is wrong.
    """
    findings = check_sites(positions, converged, spacing, in_pairs=in_pairs)
    if not findings:
        return ""
    remedy = (
        "If the spacing is wrong, pass spacing= in px; if the image shows noise or "
        "vacuum, crop or mask it; if columns are missing, use UNetAtomLocator."
    )
    if spacing < FINE_SPACING_PX:
        remedy = (
            f"Columns less than {FINE_SPACING_PX:.0f} px apart cannot be "
            "fitted well: use an image of higher magnification, or one that was not "
            "binned. If the spacing is wrong, pass spacing= in px."
        )
    return (
        f"The sites of image {number} may not be its atomic columns: "
        f"{', '.join(findings)}. The spacing used is {spacing:.1f} px. "
        f"Look at the sites over the image. {remedy}"
    )


def warn_of_coarse_sampling(spacings, sigmas):
    """Warn once of images whose columns are only a few pixels apart, or narrower.

    Parameters
    ----------
    spacings : list of float
        Median distance of nearest sites of each image, px; NaN if unknown.
    sigmas : list of float
        Typical sigma of the columns of each image, px.

    Returns
    -------
    is_coarse : bool
        Whether a warning was raised.
    """
    coarse = [n for n, s in enumerate(spacings) if s < COARSEST_SPACING_PX]
    narrow = [n for n, s in enumerate(sigmas) if s < NARROWEST_SIGMA_PX]
    remedy = "Use an image of higher magnification, or one that was not binned."
    text = ""
    if coarse:
        more = f", as those of {len(coarse) - 1} more image(s)" * (len(coarse) > 1)
        text = (
            f"The columns of image {coarse[0]} are {spacings[coarse[0]]:.1f} px "
            f"apart{more}. Below {COARSEST_SPACING_PX:.0f} px, some are missed, "
            f"and positions have larger errors than position_std states. {remedy}"
        )
    elif narrow:
        more = f", as those of {len(narrow) - 1} more image(s)" * (len(narrow) > 1)
        text = (
            f"The columns of image {narrow[0]} are {sigmas[narrow[0]]:.2f} px wide "
            f"(sigma){more}. Below {NARROWEST_SIGMA_PX:.2f} px, the pixels do not "
            "determine positions and heights of columns midway between them. "
            f"{remedy}"
        )
    if text:
        warnings.warn(text, UserWarning, stacklevel=6)
    return bool(text)


def warn_of_implausible_pixel_size(spacings, pixel_sizes):
    """Warn once of pixel sizes with which columns are not as far apart as in crystals.

    Parameters
    ----------
    spacings : list of float
        Median distance of nearest sites of each image, px; NaN if unknown.
    pixel_sizes : list of (float or None)
        Pixel size of each image, nm; None if unknown.
    """
    for number, (spacing, size) in enumerate(zip(spacings, pixel_sizes, strict=True)):
        text = describe_implausible_pixel_size(spacing, size)
        if text:
            warnings.warn(
                f"Implausible pixel size of image {number}: {text} Pass the right one, "
                "AtomLocator().fit_transform((image, pixel_size)), in nm per pixel.",
                UserWarning,
                stacklevel=6,
            )
            return
