"""The measured polarization that angles are registered to."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array, check_consistent_length

from ..sites import AtomSites

# Vectors of fewer standard errors are not trusted.
_SIGNIFICANT = 3
# The polarization has the error of the column and of the mean of four neighbours.
_ERROR_RATIO = np.sqrt(1 + 1 / 4)
# Sites along the side of a block whose errors, as of mistilt, may be common.
_BLOCK_SIDE = 5


class Reference(NamedTuple):
    """Reference vectors, their errors and their groups."""

    vectors: np.ndarray  # complex, col + 1j * row
    trusted: np.ndarray
    block: np.ndarray
    # Finite vectors of converged sites, and the standard error of a component of each;
    # None where no errors are known.
    measured: np.ndarray | None = None
    std: np.ndarray | None = None


def read_reference(y, X):
    """Read polarization from everything that may carry it.

    Parameters
    ----------
    y : AtomSites of length n or array-like of shape (n, 2), (n, 1) or (n,)
        Sites, vectors ``(row, col)``, or angles in radians; NaN where unknown.
    X : ndarray of shape (n, n_features)
        What it belongs to, for the number of samples.

    Returns
    -------
    reference : Reference
        One entry a sample.
    """
    if isinstance(y, AtomSites):
        check_consistent_length(X, y)
        return _of_sites(y)
    y = check_array(
        y,
        dtype=np.float64,
        ensure_2d=False,
        ensure_all_finite="allow-nan",
        input_name="y",
    )
    check_consistent_length(X, y)
    if y.ndim == 1:
        y = y[:, None]
    if y.shape[1] == 1:
        vectors = np.exp(1j * y[:, 0])
    elif y.shape[1] == 2:
        vectors = y[:, 1] + 1j * y[:, 0]
    else:
        raise ValueError(
            "y must be AtomSites, polarization vectors (row, col) of shape (n_samples,"
            f" 2) or angles of shape (n_samples,), got shape {y.shape}."
        )
    trusted = np.abs(vectors) > 0
    return Reference(vectors, trusted, np.arange(len(vectors)))


def _of_sites(sites):
    vectors = sites.polarization[:, 1] + 1j * sites.polarization[:, 0]
    error = _ERROR_RATIO * np.sqrt((sites.position_std**2).mean(axis=1))
    # Positions that were passed and not fitted have no error.
    trusted = np.abs(vectors) > _SIGNIFICANT * np.nan_to_num(error)
    measured = np.isfinite(vectors) & np.isfinite(error) & sites.converged
    return Reference(
        vectors, trusted & sites.converged, _blocks(sites), measured, error
    )


def _blocks(sites):
    n_pixels = sum(sites.images[frame].size for frame in np.unique(sites.frame))
    side = _BLOCK_SIDE * np.sqrt(n_pixels / max(len(sites), 1))
    place = np.column_stack([sites.frame, sites.positions // side])
    return np.unique(place, axis=0, return_inverse=True)[1].ravel()
