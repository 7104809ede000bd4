"""AtomSites as input of transformers: checks, and the values of fitted sites."""

import numpy as np
from scipy.spatial import cKDTree

from ..sites import AtomSites
from ..sites._shared_images import digest


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


def record_parameters(estimator, names):
    """Store the parameters on which fitted values depend, at the end of `fit`.

    Parameters
    ----------
    estimator : estimator
        The estimator.
    names : tuple of str
        Names of the parameters.
    """
    estimator._fitted_parameters = {name: getattr(estimator, name) for name in names}


def check_parameters_unchanged(estimator):
    """Check that fitted values belong to the present parameters.

    Parameters
    ----------
    estimator : estimator
        The estimator; nothing is checked before its `fit`.

    Raises
    ------
    ValueError
        If a parameter of `record_parameters` has changed since `fit`.
    """
    for name, fitted in getattr(estimator, "_fitted_parameters", {}).items():
        value = getattr(estimator, name)
        if value != fitted:
            raise ValueError(
                f"{name} was changed from {fitted!r} to {value!r} after fit, and what "
                f"was fitted depends on it. Call fit again."
            )


class FittedSites:
    """Values of the sites of fitted images, retrieved by image and position.

    A slice of fitted sites lacks the neighbours of its sites. Its values are those
    that were computed from all sites of the image.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites.
    values : tuple of ndarray
        Arrays with one entry per site.
    """

    def __init__(self, sites, values):
        self._of_image = {}
        for frame in np.unique(sites.frame):
            rows = np.flatnonzero(sites.frame == frame)
            self._of_image[digest(sites.images[frame])] = (
                np.array(sites.positions[rows]),
                tuple(np.array(value[rows]) for value in values),
            )

    def find(self, sites):
        """Return the values of sites if all of them are known.

        Parameters
        ----------
        sites : AtomSites of length n_sites
            The sites.

        Returns
        -------
        frames : dict of int to (ndarray, tuple of ndarray)
            For each image whose sites are all known: the rows and their values.
        """
        known = {}
        for frame in np.unique(sites.frame):
            fitted = self._of_image.get(digest(sites.images[frame]))
            if fitted is None:
                continue
            rows = np.flatnonzero(sites.frame == frame)
            distance, index = cKDTree(fitted[0]).query(sites.positions[rows])
            if (distance == 0).all():
                known[int(frame)] = rows, tuple(value[index] for value in fitted[1])
        return known


def compute_with_memory(sites, compute, fitted=None):
    """Compute values of sites, image by image, or return those of fitted ones.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites.
    compute : callable
        Returns a tuple of arrays for all sites of an image.
    fitted : FittedSites, default=None
        Values from `fit`.

    Returns
    -------
    values : tuple of ndarray
        Arrays with one entry per site.
    """
    known = fitted.find(sites) if fitted is not None else {}
    free = ~np.isin(sites.frame, list(known))
    parts = list(known.values())
    if free.any():
        rows = np.flatnonzero(free)
        parts.append((rows, compute(sites[rows])))
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    columns = zip(*(values for _, values in parts), strict=True)
    return tuple(np.concatenate(column)[order] for column in columns)
