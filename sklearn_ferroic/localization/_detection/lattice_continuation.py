"""Prediction of columns by continuing the lattice of those that have been found.

Columns off the image with tails that reach into it are predicted, and columns on it
that overlap with brighter ones so much that neither they nor the residual show a peak.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree

from ..._lattice.local_lattice import lattice_vectors
from ..._lattice.neighbors import Nearest
from .._fitting.columns import ColumnTable
from .settings import DETECTION

_SETTINGS = DETECTION.lattice_continuation


class GoodArea:
    """The area of the good pixels of an image."""

    def __init__(self, shape, mask):
        self.shape = np.array(shape)
        self.inside = self.outside = None
        if mask is not None:
            self.inside = distance_transform_edt(mask)
            self.outside = distance_transform_edt(~mask)

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


def predict_outer_columns(context, table):
    """Continue the lattice to columns whose centres lie off the image.

    Parameters
    ----------
    context : ImageContext
        The image.
    table : ColumnTable
        The columns.

    Returns
    -------
    positions : ndarray of shape (n_outer, 2)
        Predicted centres of columns off the good pixels, or hardly on them, with tails
        on them, px.
    heights : ndarray of shape (n_outer,)
        Amplitudes of columns of the same kind.
    """
    depths = (
        -_SETTINGS.tail_sigma * context.sigma,
        _SETTINGS.hardly_inside_sigma * context.sigma,
    )
    area = GoodArea(context.shape, context.mask)
    return _continue_lattice(table, area, depths, context.spacing)


def predict_inner_columns(context, table):
    """Continue the lattice to places on the image without a column.

    Parameters
    ----------
    context, table
        As in `predict_outer_columns`.

    Returns
    -------
    positions : ndarray of shape (n_inner, 2)
        Predicted centres on the good pixels, px.
    heights : ndarray of shape (n_inner,)
        Amplitudes of columns of the same kind.
    """
    spacing = context.spacing
    area = GoodArea(context.shape, context.mask)
    depths = _SETTINGS.hardly_inside_sigma * context.sigma, np.inf
    positions, heights = _cell_centers(table, area, spacing)
    if not len(positions):
        positions, heights = _continue_lattice(table, area, depths, spacing)
    if len(positions):
        distance, _ = cKDTree(table.positions).query(positions)
        is_free = distance > _SETTINGS.free_spacings * spacing
        positions, heights = positions[is_free], heights[is_free]
    return positions, heights


def _cell_centers(table, area, spacing):
    """Return the centres of the unit cells if the spacing requires columns there."""
    positions = table.positions
    nothing = np.empty((0, 2)), np.empty(0)
    if len(positions) <= _SETTINGS.n_tested:
        return nothing
    if (
        Nearest(positions).typical_distance()
        < _SETTINGS.min_distance_spacings * spacing
    ):
        return nothing
    vectors = lattice_vectors(positions, np.zeros(len(positions), dtype=int))
    diagonal = vectors.sum(axis=1)
    # Unknown vectors are NaN.
    is_cell = (
        np.abs(np.hypot(*diagonal.T) / (2 * spacing) - 1) < _SETTINGS.match_spacings
    )
    places = (positions + 0.5 * diagonal)[is_cell]
    heights = _SETTINGS.center_height_share * table.amplitude[is_cell]
    is_inside = area.depth(places) > 0
    return places[is_inside], heights[is_inside]


def append_outer_columns(context, start):
    """Append the columns off the image to those of a fit, where tails overlap.

    Parameters
    ----------
    context : ImageContext
        The image.
    start : ColumnTable
        The columns that have been detected.

    Returns
    -------
    start : ColumnTable
        The same columns, and others after them. Columns near predicted ones are moved
        to the predictions, for the tails of columns off the image have maxima at the
        border.
    outer : ndarray of bool of shape (n,) or None
        Columns with predicted positions; None if there are none.
    """
    spacing = context.spacing
    if context.sigma <= _SETTINGS.min_sigma_spacings * spacing:
        return start, None
    positions, heights = predict_outer_columns(context, start)
    if not len(positions):
        return start, None
    distance, nearest = cKDTree(start.positions).query(positions)
    is_known = distance < _SETTINGS.known_spacings * spacing
    known, is_new = nearest[is_known], ~is_known
    amplitude, places = start.amplitude.copy(), start.positions.copy()
    amplitude[known], places[known] = heights[is_known], positions[is_known]
    extra = ColumnTable.make(heights[is_new], positions[is_new], context.sigma)
    outer = np.zeros(len(start) + len(extra), dtype=bool)
    outer[known] = outer[len(start) :] = True
    return start.replace(amplitude=amplitude, positions=places).append(extra), outer


def _continue_lattice(table, area, depths, spacing):
    """Predict columns at a range of distances from the border of the good pixels.

    A vector from one column to another nearby is applied to the latter, if it leads
    from most of the columns around to others.
    """
    positions, heights = table.positions, table.amplitude
    nothing = np.empty((0, 2)), np.empty(0)
    if len(positions) <= _SETTINGS.n_tested:
        return nothing
    is_inside = area.depth(positions) > 0
    first, second = _vectors(positions, spacing)
    # One step, from columns on the image.
    places = 2 * positions[second] - positions[first]
    depth = area.depth(places)
    is_asked = is_inside[second] & (depth > depths[0]) & (depth < depths[1])
    distance, _ = cKDTree(positions).query(
        places[is_asked], distance_upper_bound=_SETTINGS.match_spacings * spacing
    )
    # Places on the image that hold a column need no prediction.
    is_asked[is_asked] = ~np.isfinite(distance) | (depths[0] < 0)
    first, second, places = first[is_asked], second[is_asked], places[is_asked]
    is_vector = _leads_to_columns(
        positions, second, positions[second] - positions[first], area, spacing
    )
    first, places = first[is_vector], places[is_vector]
    if not len(places):
        return nothing
    groups = _group(places, _SETTINGS.same_spacings * spacing)
    size = np.bincount(groups)
    means = [
        np.bincount(groups, values) / size for values in (*places.T, heights[first])
    ]
    return np.stack(means[:2], axis=1), means[2]


def _vectors(positions, spacing):
    """Return the pairs of columns nearby, in both orders."""
    pairs = cKDTree(positions).query_pairs(
        _SETTINGS.max_vector_spacings * spacing, output_type="ndarray"
    )
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    return np.concatenate([pairs, pairs[:, ::-1]]).T


def _leads_to_columns(positions, columns, vectors, area, spacing):
    """Check which vectors lead from the columns around a column to others."""
    tree = cKDTree(positions)
    near_columns = np.unique(columns)
    _, near = tree.query(positions[near_columns], k=_SETTINGS.n_tested)
    near = near[np.searchsorted(near_columns, columns)]
    goal = positions[near] + vectors[:, None]
    # Columns could have been found on good pixels only.
    is_tested = area.depth(goal.reshape(-1, 2)).reshape(goal.shape[:2]) > 0
    margin = _SETTINGS.match_spacings * spacing
    distance, _ = tree.query(goal, distance_upper_bound=margin)
    n_tested = is_tested.sum(axis=1)
    n_found = (np.isfinite(distance) & is_tested).sum(axis=1)
    return (n_tested >= _SETTINGS.min_tested) & (
        n_found >= _SETTINGS.min_occupied_share * n_tested
    )


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
