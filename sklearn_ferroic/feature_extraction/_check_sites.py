"""Checks of the input of functions and estimators that accept AtomSites."""

import numpy as np

from ..sites import AtomSites


def check_sites(estimator, sites):
    """Check that the input is a non-empty set of AtomSites.

    Parameters
    ----------
    estimator : estimator
        Named in the errors.
    sites : object
        Input of the estimator.

    Raises
    ------
    TypeError
        If it is not an AtomSites.
    ValueError
        If there are no sites.
    """
    if not isinstance(sites, AtomSites):
        raise TypeError(
            f"{type(estimator).__name__} takes AtomSites, the output of AtomLocator, "
            f"got {type(sites).__name__}. Put an AtomLocator before it, or build "
            "AtomSites(images, positions, sublattice=...) from known positions."
        )
    if len(sites) == 0:
        raise ValueError(
            "Found no sites (0 samples). Was a sublattice chosen that the image does "
            "not show?"
        )


def check_same_sublattice(sites, values):
    """Check that the sites with values are of one sublattice.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites.
    values : ndarray of shape (n_sites,) or (n_sites, n_columns)
        What is averaged over them; sites with NaN do not count.

    Raises
    ------
    ValueError
        If sites of several sublattices have values.
    """
    values = np.asarray(values)
    known = np.isfinite(values if values.ndim == 2 else values[:, None]).any(axis=1)
    kinds = np.unique(sites.sublattice[known])
    if len(kinds) > 1:
        raise ValueError(
            f"The sites are of sublattices {kinds.tolist()}, which move against one "
            "another and must not be averaged. Use those of one, such as "
            "sites[sites.sublattice == 1]."
        )
