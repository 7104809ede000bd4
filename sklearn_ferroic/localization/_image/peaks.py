"""Peaks of the blob response: candidate columns."""

import numpy as np

from ..._lattice.neighbors import neighbor_pairs
from .spacing import vertex

# Two maxima closer than this share of the spacing are one blob.
_SAME_PEAK_SPACINGS = 0.3
# Columns are compared with the brightest within this many spacings.
NEIGHBOR_REACH_SPACINGS = 1.5


def find_peaks(response, spacing, threshold, limit=None, least=0.0):
    """Find the maxima of a blob response that are bright among their neighbours.

    Parameters
    ----------
    response : ndarray of shape (n_rows, n_cols)
        Output of :func:`~sklearn_ferroic.localization._image.filters.blob_response`.
    spacing : float
        Nearest-neighbour spacing of columns, px.
    threshold : float
        Faintest peak kept, as a share of the brightest within one spacing and a
        half.
    limit : callable, default=None
        Returns the least height of peaks at pixels ``(row, col)``.
    least : float, default=0.0
        Lower bound of `limit` anywhere, to skip lower maxima.

    Returns
    -------
    positions : ndarray of shape (n_peaks, 2)
        Sub-pixel maxima.
    height : ndarray of shape (n_peaks,)
        Response at the maxima.
    """
    row, col = _maxima(response, least)
    if limit is not None:
        high = response[row, col] > limit(row, col)
        row, col = row[high], col[high]
    height = response[row, col]
    positions = vertex(response, row, col)
    pairs, distance = neighbor_pairs(positions, NEIGHBOR_REACH_SPACINGS * spacing)
    bright, dim = order_by_height(pairs, height)
    keep = np.ones(len(height), dtype=bool)
    keep[dim[distance < _SAME_PEAK_SPACINGS * spacing]] = False
    brightest = height.copy()
    np.maximum.at(brightest, dim, height[bright])
    keep &= height > threshold * brightest
    return positions[keep], height[keep]


def _maxima(response, least):
    """Return maxima above a height; of equal neighbours the last."""
    peak = response > least
    for axis in (0, 1):
        before = (slice(None),) * axis + (slice(None, -1),)
        after = (slice(None),) * axis + (slice(1, None),)
        rises = response[after] >= response[before]
        peak[after] &= rises
        peak[before] &= np.logical_not(rises, out=rises)
    row, col = np.nonzero(peak)
    height = response[row, col]
    highest = np.ones(len(row), dtype=bool)
    for down, along in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        near = (
            np.clip(row + down, 0, response.shape[0] - 1),
            np.clip(col + along, 0, response.shape[1] - 1),
        )
        highest &= height >= response[near]
    return row[highest], col[highest]


def order_by_height(pairs, height):
    """Order each pair: the brighter and the fainter."""
    first, second = pairs.T
    ordered = height[first] >= height[second]
    return np.where(ordered, first, second), np.where(ordered, second, first)
