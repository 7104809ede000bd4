"""Candidate columns: bright blobs of the right width."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from ..._lattice.neighbors import neighbor_pairs
from .spacing import vertex

# Least distance of two columns in spacings, and of a faint one from a bright one, where
# the image does not show how close columns are.
MIN_DISTANCE = 0.55
_MIN_DISTANCE_FAINT = 0.75
# Where it does, by this many columns: this share of the distance that all but a tenth
# of them keep, within these ranges.
_MIN_KNOWN = 30
_USUAL_QUANTILE = 0.1
_SHARE_OF_USUAL = 0.86
_ALIKE_RANGE = (0.45, 0.7)
# Faint columns nearer to a bright one are not asked how close columns are.
_LENIENT_DISTANCE = 0.6
_FAINT_RANGE = (0.55, 0.75)
_FAINT = 0.35
# Two maxima closer than this share of the spacing are one blob.
_ONE_BLOB = 0.3
# Columns are compared with the brightest within this many spacings.
NEIGHBOR_REACH = 1.5
# ... of which there are no more than that.
_MAX_NEIGHBORS = 20
# Squared troughs are wild beyond so many times their median, which so many tell; in
# white noise hardly any is.
_WILD = 50
_N_MEDIAN = 20_000


def find_peaks(response, spacing, threshold, floor=None, least=0.0):
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
    floor : callable, default=None
        Gives the height below which nothing is looked at, at pixels ``(row, col)``.
    least : float, default=0.0
        Smallest height that `floor` gives anywhere: saves asking it.

    Returns
    -------
    positions : ndarray of shape (n_peaks, 2)
        Sub-pixel maxima.
    height : ndarray of shape (n_peaks,)
        Response at the maxima.
    """
    row, col = _maxima(response, least)
    if floor is not None:
        high = response[row, col] > floor(row, col)
        row, col = row[high], col[high]
    height = response[row, col]
    positions = vertex(response, row, col)
    pairs, distance = neighbor_pairs(positions, NEIGHBOR_REACH * spacing)
    bright, dim = _by_height(pairs, height)
    keep = np.ones(len(height), dtype=bool)
    keep[dim[distance < _ONE_BLOB * spacing]] = False
    brightest = height.copy()
    np.maximum.at(brightest, dim, height[bright])
    keep &= height > threshold * brightest
    return positions[keep], height[keep]


def _maxima(response, least):
    """Pixels above a height that no neighbour exceeds; of equal ones the last."""
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


def _by_height(pairs, height):
    """Order each pair: the brighter and the fainter."""
    first, second = pairs.T
    ordered = height[first] >= height[second]
    return np.where(ordered, first, second), np.where(ordered, second, first)


def brightest_near(positions, height, places, spacing):
    """Find the height of the brightest column within a spacing and a half.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns.
    height : ndarray of shape (n,)
        Their brightness.
    places : ndarray of shape (n_places, 2)
        Where to look.
    spacing : float
        Nearest-neighbour spacing of columns, px.

    Returns
    -------
    brightest : ndarray of shape (n_places,)
        Largest height; 0 where no column is near.
    """
    # Missing neighbours have the index behind the last.
    _, near = cKDTree(positions).query(
        places, _MAX_NEIGHBORS, distance_upper_bound=NEIGHBOR_REACH * spacing
    )
    return np.append(height, 0)[near].max(axis=1)


def trough_power(response, variance=1.0):
    """Mean square of a response's troughs.

    Of the residual of a fit this is its noise: crests may be columns that the
    model does not hold yet.

    Parameters
    ----------
    response : ndarray
        Blob response of the image minus the model of its columns.
    variance : float or ndarray of the same shape, default=1.0
        What the squares are divided by.

    Returns
    -------
    power : float
        Mean of the squares over the pixels below zero; those of what is no column, a
        bright particle or a splash of X-rays, do not count in full.
    """
    trough = response < 0
    if not trough.any():
        return 0.0
    square = (np.square(response) / variance)[trough]
    wild = _WILD * np.median(square[:: 1 + len(square) // _N_MEDIAN])
    return float(np.minimum(square, wild).mean())


class Crowding(NamedTuple):
    """Least distances between columns, in nearest-neighbour spacings.

    Parameters
    ----------
    alike : float
        Of columns of similar height.
    faint : float
        Of a faint column from a bright one.
    """

    alike: float = MIN_DISTANCE
    faint: float = _MIN_DISTANCE_FAINT


def measure_crowding(positions, height, spacing):
    """Measure how close clear columns are to each other.

    Structures with short distances have many of them; noise in the middle between two
    columns, and what is left of a column beside it, do not recur.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Clear columns.
    height : ndarray of shape (n,)
        Their brightness.
    spacing : float
        Nearest-neighbour spacing of columns, px.

    Returns
    -------
    crowding : Crowding
        Least distances of columns of this image.
    """
    pairs, distance = neighbor_pairs(positions, NEIGHBOR_REACH * spacing)
    lenient = Crowding(faint=_LENIENT_DISTANCE)
    keep = drop_crowded(positions, height, pairs, distance, spacing, lenient)
    kept = keep[pairs].all(axis=1)
    pairs, distance = pairs[kept], distance[kept]
    bright, dim = _by_height(pairs, height)
    is_faint = height[dim] < _FAINT * height[bright]
    limits, usual = list(Crowding()), None
    for number, (kind, reach) in enumerate(
        ((~is_faint, _ALIKE_RANGE), (is_faint, _FAINT_RANGE))
    ):
        nearest = np.full(len(height), np.inf)
        np.minimum.at(nearest, dim[kind], distance[kind] / spacing)
        known = nearest[np.isfinite(nearest)]
        if len(known) >= _MIN_KNOWN:
            usual = np.quantile(known, _USUAL_QUANTILE)
        # Where there is no faint kind, such columns are no closer than others.
        if usual is not None:
            limits[number] = float(np.clip(_SHARE_OF_USUAL * usual, *reach))
    return Crowding(*limits)


def drop_crowded(positions, height, pairs, distance, spacing, crowding=None):
    """Select the columns that are not too close to a brighter one.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns.
    height : ndarray of shape (n,)
        Their brightness.
    pairs : ndarray of shape (n_pairs, 2)
        Indices of neighbours.
    distance : ndarray of shape (n_pairs,)
        Their distances, px.
    spacing : float
        Nearest-neighbour spacing of columns, px.
    crowding : Crowding, default=None
        Least distances; the usual ones if None.

    Returns
    -------
    keep : ndarray of bool of shape (n,)
        False for the fainter column of a pair that is too close.
    """
    crowding = crowding or Crowding()
    keep = np.ones(len(positions), dtype=bool)
    bright, dim = _by_height(pairs, height)
    faint = height[dim] < _FAINT * height[bright]
    limit = np.where(faint, crowding.faint, crowding.alike) * spacing
    close = distance < limit
    # Brightest first: a column that goes itself removes no other.
    order = np.argsort(-height[bright[close]], kind="stable")
    for winner, loser in zip(
        bright[close][order].tolist(), dim[close][order].tolist(), strict=True
    ):
        if keep[winner]:
            keep[loser] = False
    return keep
