"""From probabilities to columns: where, of which class, and what speaks for it."""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max

from .._fitting.columns import on_image
from .._image.spacing import vertex
from .labels import RADIUS
from .scaling import NET_SPACING

_SIGMA = 1.4
# A disc of a column, sure in all its pixels, has this height once smoothed.
_FULL = 1 - np.exp(-0.5 * (RADIUS / _SIGMA) ** 2)
# Columns are at least so many pixels apart, rounded down.
_APART = 3
# So many others are within so many spacings of a column, at the corners too.
_MIN_NEIGHBORS, _NEIGHBOR_REACH = 2, 1.6
# Where there is less evidence than this, more than half of the usual number of
# neighbours is required: there may be amorphous matter where the crystal would go on.
_DOUBTFUL, _SHARE = 0.7, 0.5
# Pixels farther than this from a tile have no say in its columns.
REACH = int(np.ceil(4 * _SIGMA)) + _APART + 2


def has_neighbors(positions, evidence, shape):
    """Tell which columns have others around them; bumps of noise stand alone.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px of the network.
    evidence : ndarray of shape (n, 2)
        Share of each column's disc that is A, and that is B.
    shape : tuple of int
        Shape of the image, px of the network; beyond the border it may go on.

    Returns
    -------
    together : ndarray of bool of shape (n,)
        Which ones.
    """
    if not len(positions):
        return np.zeros(0, dtype=bool)
    reach = _NEIGHBOR_REACH * NET_SPACING
    others = cKDTree(positions).query_ball_point(positions, reach, return_length=True)
    others = others - 1
    together = others >= _MIN_NEIGHBORS
    doubtful = evidence.sum(axis=1) < _DOUBTFUL
    doubtful &= on_image(positions, shape, reach)
    return together & ~(doubtful & (others <= _SHARE * np.median(others)))


def find_columns(probability, threshold):
    """Find the columns on a map of the classes.

    Parameters
    ----------
    probability : ndarray of shape (3, n_rows, n_cols)
        Of background, A and B.
    threshold : float
        Least evidence for a column, of 1 for one that is sure in all its pixels.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        Columns, px of the map.
    evidence : ndarray of shape (n, 2)
        Share of the column's disc that is A, and that is B.
    """
    smooth = np.stack([gaussian_filter(part, _SIGMA) for part in probability[1:]])
    smooth /= np.float32(_FULL)
    whole = smooth.sum(axis=0)
    peak = peak_local_max(
        whole,
        min_distance=_APART - 1,
        threshold_abs=threshold,
        exclude_border=False,
        p_norm=2,
    )
    row, col = peak.T
    evidence = smooth[:, row, col].T.astype(np.float64)
    return vertex(whole, row, col), np.clip(evidence, 0, 1)
