"""Columns that follow from the lattice of those that have been detected.

Two kinds are predicted: columns off the image whose tails extend into it, and columns
on the image that overlap with brighter ones so much that they show no peak, neither in
the image nor in the residual.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from ..._image.pixels import at_pixels
from ..._lattice.local_lattice import continue_lattice
from ..._lattice.neighbors import Nearest
from .._fitting.column_fit import SIGMA_SCATTER_SHARE, fit_columns, sigma_for_fit
from .._fitting.columns import ColumnTable
from .settings import DETECTION

_SETTINGS = DETECTION.lattice_continuation


class GoodArea:
    """Area of the good pixels of an image."""

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
    is_narrow = context.sigma <= _SETTINGS.min_sigma_spacings * context.spacing
    if is_narrow or not len(start):
        return start, None
    # Predicted columns are off the good pixels, or hardly on them.
    predicted, known = _predict(
        context, start, -_SETTINGS.tail_sigma, _SETTINGS.hardly_inside_sigma
    )
    if not len(predicted):
        return start, None
    is_new = known < 0
    known, at_known = known[~is_new], predicted.take(~is_new)
    amplitude, positions = start.amplitude.copy(), start.positions.copy()
    amplitude[known], positions[known] = at_known.amplitude, at_known.positions
    extra = predicted.take(is_new)
    outer = np.zeros(len(start) + len(extra), dtype=bool)
    outer[known] = outer[len(start) :] = True
    return start.replace(amplitude=amplitude, positions=positions).append(extra), outer


def _predict(context, table, min_depth_sigma, max_depth_sigma):
    """Predict columns at a range of depths from the border of the good pixels.

    Return their table, and the indices of the columns known at these places or -1.
    """
    area = GoodArea(context.shape, context.mask)
    depths = min_depth_sigma * context.sigma, max_depth_sigma * context.sigma
    nearest = Nearest(table.positions)
    positions, heights = continue_lattice(
        nearest, table.amplitude, area.depth, depths, context.spacing
    )
    distance, known = nearest.tree.query(positions)
    known[distance >= _SETTINGS.same_column_spacings * context.spacing] = -1
    return ColumnTable.make(heights, positions, context.sigma), known


def fit_with_outer_columns(context, start, profile):
    """Fit columns from positions nearby, together with columns off the image.

    Parameters
    ----------
    context : ImageContext
        The image.
    start : ColumnTable
        Approximate parameters of the columns.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    fit : ColumnFit
        The same columns in order, then those off the image.
    """
    start, outer = append_outer_columns(context, start)
    return fit_columns(
        context.replace(sigma=sigma_for_fit(start, context.sigma)),
        start,
        profile=profile,
        sigma_scatter=SIGMA_SCATTER_SHARE,
        outer=outer,
    )


def add_predicted_columns(context, columns, response, profile):
    """Fit columns again, together with those that the lattice predicts among them.

    Parameters
    ----------
    context : ImageContext
        The image.
    columns : ColumnFit
        The columns that have been detected.
    response : ndarray of shape (n_rows, n_cols)
        Response of the blob filter to the residual image.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    candidates : ColumnFit or None
        The same columns, then those predicted ones that may be columns; None if the
        lattice predicts no other columns.
    """
    table = columns.table
    predicted, known = _predict(context, table, _SETTINGS.hardly_inside_sigma, np.inf)
    predicted = predicted.take(known < 0)
    if not len(predicted):
        return None
    positions, heights = predicted.positions, predicted.amplitude
    # At vacancies, the fit starts from a small height.
    seen = np.clip(
        at_pixels(response, positions), _SETTINGS.min_start_share * heights, heights
    )
    start = table.append(predicted.replace(amplitude=np.float64(seen)))
    wider = context.replace(sigma=sigma_for_fit(table, context.sigma))
    both = fit_columns(wider, start, profile=profile, preliminary=True)
    # At vacancies, the tails of overlapping columns add up to their misfit only.
    added = both.table.take(slice(len(columns), None))
    is_column = added.amplitude > _SETTINGS.min_filled_share * heights
    shift = np.hypot(*(added.positions - positions).T)
    is_column &= shift < _SETTINGS.max_filled_shift_spacings * context.spacing
    keep = np.append(np.ones(len(columns), dtype=bool), is_column)
    return both.take(keep)
