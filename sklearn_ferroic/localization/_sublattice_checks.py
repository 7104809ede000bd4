"""Which sublattices may be asked for."""

import numpy as np


def check_sublattice(sublattice):
    """Check what is asked for.

    Parameters
    ----------
    sublattice : int, list of int or None
        Which sublattices; None for all.

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
    """Make the error of a sublattice that no image shows.

    Parameters
    ----------
    sublattice : int or list of int
        What was asked for.
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
