"""Checks of requested and of found sublattices."""

import warnings

import numpy as np


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
        f"sublattice={sublattice!r} was asked for, but {n_found} sublattice(s) were "
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
        "were distinguished by their displacement against each other; which one is "
        "sublattice 0 and which is 1 is arbitrary, and with it the sign of the "
        "polarization.",
        UserWarning,
        stacklevel=2,
    )
