"""Checks of images and sublattices that go with a request, and their warnings."""

import warnings
from dataclasses import dataclass

import numpy as np

from .._image.spacing import estimate_spacing
from .._lattice.ordered_sublattices import describe_undivided
from ._detection.close_pairs import MIN_RESOLVED_SIGMA


@dataclass(frozen=True)
class _ChecksSettings:
    """Settings of the checks of scales, with their reasons."""

    # Images whose spacings differ by more are not of one magnification; a given
    # spacing is at most this multiple of that which the image shows.
    max_spacing_ratio: float = 1.25
    # Skewness of the blob filter's response: bright columns have 0.5 to 4.
    max_dark_skewness: float = -0.4


_SETTINGS = _ChecksSettings()


def warn_of_dark_columns(skewnesses):
    """Warn of images whose columns are darker than their surroundings.

    Parameters
    ----------
    skewnesses : ndarray of shape (n_images,)
        Skewness of each image's blob response.
    """
    if skewnesses.min() < _SETTINGS.max_dark_skewness:
        warnings.warn(
            f"Image {skewnesses.argmin()} looks like dark columns on a bright "
            "background (bright field?). Columns must be bright: pass -image.",
            UserWarning,
            stacklevel=2,
        )


def warn_of_wide_spacing(image, spacing):
    """Warn of a given spacing that leaves out columns between those it expects.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    spacing : float
        Nearest-neighbour spacing that was given, px.
    """
    shown = estimate_spacing(image)
    if spacing > _SETTINGS.max_spacing_ratio * shown:
        warnings.warn(
            f"spacing={spacing:.4g} px was given, but the image shows columns "
            f"{shown:.1f} px apart: those in between are missed. Pass the distance "
            "of nearest neighbours, or None to estimate it.",
            UserWarning,
            stacklevel=2,
        )


def warn_of_outliers(spacings, spacing):
    """Warn of images of another magnification.

    Parameters
    ----------
    spacings : ndarray of shape (n_images,)
        Spacing in each image, px.
    spacing : float
        Their median.
    """
    ratio = np.maximum(spacings / spacing, spacing / spacings)
    if ratio.max() > _SETTINGS.max_spacing_ratio:
        warnings.warn(
            f"Image {ratio.argmax()} has a column spacing of "
            f"{spacings[ratio.argmax()]:.1f} px, the median image {spacing:.1f} px. "
            "Fit images of one magnification at a time.",
            UserWarning,
            stacklevel=2,
        )


def check_sublattice(sublattice):
    """Check the sublattices that a user requests.

    Parameters
    ----------
    sublattice : int, list of int or None
        Requested sublattices; None for all.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if sublattice is None:
        return
    wanted = np.asarray(sublattice)
    if wanted.size == 0 or wanted.dtype.kind not in "iu" or wanted.min() < 0:
        raise ValueError(
            "sublattice must be None, a non-negative integer or a list of them "
            f"(0 = brightest), got {sublattice!r}."
        )


def no_such_sublattice(sublattice, n_found):
    """Return the error for a sublattice that no image shows.

    Parameters
    ----------
    sublattice : int or list of int
        Requested sublattices.
    n_found : int
        Number of sublattices that there are.

    Returns
    -------
    error : ValueError
        To be raised.
    """
    return ValueError(
        f"sublattice={sublattice!r} was given, but {n_found} sublattice(s) were "
        "found, numbered from 0. Set n_sublattices if the images show more."
    )


def warn_of_equivalent_sublattices(labeled):
    """Warn once if brightness does not distinguish the two sublattices.

    Parameters
    ----------
    labeled : list of LabeledFit
        Columns of each image.
    """
    numbers = [number for number, part in enumerate(labeled) if part.equivalent]
    if not numbers:
        return
    where = "the image" if len(labeled) == 1 else f"images {numbers}"
    warnings.warn(
        f"The two sublattices of {where} are equally bright within the errors. They "
        "were distinguished by the positions of the columns alone; which one is "
        "sublattice 0 and which is 1 is arbitrary, and with it the sign of the "
        "polarization: the mean displacement of sublattice 1 is chosen to point to "
        "larger columns (or rows).",
        UserWarning,
        stacklevel=5,
    )


def warn_of_undivided_sublattices(labeled):
    """Warn once of sublattices that may be several, but were not divided.

    Parameters
    ----------
    labeled : list of LabeledFit
        Columns of each image.
    """
    clear = [[f for f in part.undivided if f.is_clear] for part in labeled]
    numbers = [number for number, findings in enumerate(clear) if findings]
    if not numbers:
        return
    where = "the image" if len(labeled) == 1 else f"image {numbers[0]}"
    more = f" {len(numbers) - 1} more image(s) are like this." * (len(numbers) > 1)
    findings = clear[numbers[0]]
    causes = "; ".join(describe_undivided(finding) for finding in findings)
    n_found = 1 + int(labeled[numbers[0]].sublattice.max(initial=0))
    warnings.warn(
        f"Not all sublattices of {where} may have been distinguished: {causes}. Two "
        "species are a likely cause; tilts, antipolar displacements and layers are "
        f"others.{more} If they are species, give n_sublattices="
        f"{n_found + len(findings)}, or a Motif; if not, n_sublattices={n_found} "
        "avoids this warning.",
        UserWarning,
        stacklevel=5,
    )


def warn_of_merged_pairs(scale):
    """Warn of close pairs that are located as one site each.

    Parameters
    ----------
    scale : PairScale
        Typical pair.
    """
    separation, sigma = scale.separation, scale.sigma
    warnings.warn(
        f"The columns are close pairs (dumbbells) {separation:.1f} px apart, "
        f"{separation / sigma:.2f} times their sigma. Below {MIN_RESOLVED_SIGMA} they "
        "are not resolved: each site is a pair, with the flag MERGED. Use a motif with "
        f"one column per pair, or pass spacing={separation:.1f} to fit two columns "
        "nevertheless.",
        UserWarning,
        stacklevel=5,
    )
