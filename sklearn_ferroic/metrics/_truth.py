"""The truth that some scorers compare with."""

import numpy as np

from ..sites import AtomSites


def check_truth(y, scorer, kind, instead):
    """Refuse to score without a truth.

    Parameters
    ----------
    y : array-like or None
        What the search was given.
    scorer : str
        Name of the scorer that needs it.
    kind : str
        What the truth consists of, in the plural.
    instead : str
        Names of scorers that need none.

    Returns
    -------
    y : ndarray
        The truth.

    Raises
    ------
    ValueError
        If `y` is None, or AtomSites, which an AngleRegistration is fitted to.
    """
    if y is None or isinstance(y, AtomSites):
        raise ValueError(
            f"{scorer} needs the true {kind}: give y, one a sample, to fit of the "
            f"search. Without a truth use {instead}."
        )
    return np.asarray(y)
