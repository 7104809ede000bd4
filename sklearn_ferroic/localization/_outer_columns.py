"""Prediction of columns that lie off the image, with tails that reach into it."""

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree

from ._columns import AMPLITUDE, COL, ROW

# Tails of columns are negligible beyond this distance, in units of sigma: 1 % of the
# amplitude.
_TAIL_SIGMA = 3.0
# Vectors of the lattice are looked for up to this length, in spacings: the second
# nearest neighbours of a honeycomb.
_MAX_VECTOR_SPACINGS = 1.8
# A vector from one column to another is a vector of the lattice if it leads from at
# least this share of the nearest columns to another one, within this distance
# (spacings); that many columns are looked at, and the vector must stay on the image for
# at least the minimum number of them.
_MIN_OCCUPIED_SHARE = 0.75
_MATCH_SPACINGS = 0.25
_N_TESTED, _MIN_TESTED = 16, 4
# Predictions within this distance are those of the same column (spacings).
_SAME_SPACINGS = 0.5


def predict_outer_columns(table, shape, valid, spacing, width):
    """Continue the lattice to columns whose centres lie off the image.

    A vector of the lattice that leads from one column to another nearby is applied to
    the latter, if it leads from most of the columns around to others. Columns off the
    image that bound it have one such prediction for each of several vectors.

    Parameters
    ----------
    table : ndarray of shape (n, 5)
        Amplitude, row, col, sigma, background of the columns, px.
    shape : tuple of int
        Shape of the image.
    valid : ndarray of bool of that shape or None
        Good pixels; all if None.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.

    Returns
    -------
    positions : ndarray of shape (n_outer, 2)
        Predicted centres of the columns off the image with tails on it, px.
    heights : ndarray of shape (n_outer,)
        Amplitudes of columns of the same kind.
    """
    positions, heights = table[:, ROW : COL + 1], table[:, AMPLITUDE]
    nothing = np.empty((0, 2)), np.empty(0)
    if len(positions) <= _N_TESTED:
        return nothing
    reach = _TAIL_SIGMA * width
    area = _GoodArea(shape, valid)
    depth = area.depth(positions)
    first, second = _vectors(positions, spacing)
    # One step off the image, and from columns on it.
    places = 2 * positions[second] - positions[first]
    is_outer = (depth[second] < _MAX_VECTOR_SPACINGS * spacing) & (depth[second] > 0)
    distance = area.depth(places[is_outer])
    is_outer[is_outer] = (distance < 0.5 * width) & (distance > -reach)
    first, second, places = first[is_outer], second[is_outer], places[is_outer]
    is_vector = _leads_to_columns(
        positions, second, positions[second] - positions[first], area, spacing
    )
    first, places = first[is_vector], places[is_vector]
    if not len(places):
        return nothing
    groups = _group(places, _SAME_SPACINGS * spacing)
    size = np.bincount(groups)
    means = [
        np.bincount(groups, values) / size for values in (*places.T, heights[first])
    ]
    return np.stack(means[:2], axis=1), means[2]


def _vectors(positions, spacing):
    """Return the pairs of columns nearby, in both orders."""
    pairs = cKDTree(positions).query_pairs(
        _MAX_VECTOR_SPACINGS * spacing, output_type="ndarray"
    )
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    return np.concatenate([pairs, pairs[:, ::-1]]).T


class _GoodArea:
    """The area of the good pixels of an image."""

    def __init__(self, shape, valid):
        self.shape = np.array(shape)
        self.inside = self.outside = None
        if valid is not None:
            self.inside = distance_transform_edt(valid)
            self.outside = distance_transform_edt(~valid)

    def depth(self, places):
        """Return the distances of places from the border, negative outside, px."""
        beyond = np.abs(places - (self.shape - 1) / 2) - self.shape / 2
        depth = -beyond.max(axis=1)
        off_image = np.hypot(*np.maximum(beyond, 0).T)
        if self.inside is not None:
            inside, outside = (
                map_coordinates(distance, places.T, order=1, mode="nearest") - 0.5
                for distance in (self.inside, self.outside)
            )
            depth = np.minimum(depth, np.where(inside > outside, inside, -outside))
            off_image = np.hypot(off_image, np.maximum(outside, 0))
        return np.where(depth > 0, depth, -off_image)


def _leads_to_columns(positions, columns, vectors, area, spacing):
    """Check which vectors lead from the columns around a column to others."""
    tree = cKDTree(positions)
    near_columns = np.unique(columns)
    _, near = tree.query(positions[near_columns], k=_N_TESTED)
    near = near[np.searchsorted(near_columns, columns)]
    goal = positions[near] + vectors[:, None]
    # Columns could have been found on good pixels only.
    is_tested = area.depth(goal.reshape(-1, 2)).reshape(goal.shape[:2]) > 0
    margin = _MATCH_SPACINGS * spacing
    distance, _ = tree.query(goal, distance_upper_bound=margin)
    n_tested = is_tested.sum(axis=1)
    n_found = (np.isfinite(distance) & is_tested).sum(axis=1)
    return (n_tested >= _MIN_TESTED) & (n_found >= _MIN_OCCUPIED_SHARE * n_tested)


def _group(places, radius):
    """Return a label for each place, the same for those within a radius of a first."""
    tree = cKDTree(places)
    groups = np.full(len(places), -1)
    n_groups = 0
    for place in range(len(places)):
        if groups[place] < 0:
            near = np.array(tree.query_ball_point(places[place], radius))
            groups[near[groups[near] < 0]] = n_groups
            n_groups += 1
    return groups
