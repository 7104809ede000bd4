"""Columns that follow from the lattice of those that have been detected.

Two kinds are predicted: columns off the image whose tails extend into it, and columns
on the image that overlap with brighter ones so much that they show no peak, neither in
the image nor in the residual.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree

from ..._lattice.local_lattice import cell_centers, continue_lattice
from .._fitting.column_fit import SIGMA_SCATTER_SHARE, fit_columns, sigma_for_fit
from .._fitting.columns import ColumnTable
from .._image.pixels import at_pixels
from .selection import select_columns
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
    spacing = context.spacing
    if context.sigma <= _SETTINGS.min_sigma_spacings * spacing:
        return start, None
    # Predicted columns are off the good pixels, or hardly on them.
    depths = (
        -_SETTINGS.tail_sigma * context.sigma,
        _SETTINGS.hardly_inside_sigma * context.sigma,
    )
    area = GoodArea(context.shape, context.mask)
    positions, heights = continue_lattice(
        start.positions, start.amplitude, area.depth, depths, spacing
    )
    if not len(positions):
        return start, None
    distance, nearest = cKDTree(start.positions).query(positions)
    is_known = distance < _SETTINGS.same_column_spacings * spacing
    known, is_new = nearest[is_known], ~is_known
    amplitude, places = start.amplitude.copy(), start.positions.copy()
    amplitude[known], places[known] = heights[is_known], positions[is_known]
    extra = ColumnTable.make(heights[is_new], positions[is_new], context.sigma)
    outer = np.zeros(len(start) + len(extra), dtype=bool)
    outer[known] = outer[len(start) :] = True
    return start.replace(amplitude=amplitude, positions=places).append(extra), outer


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


def fill_lattice(context, calibration, columns, response, profile):
    """Add columns where the lattice continues, as long as any are found.

    Parameters
    ----------
    context : ImageContext
        The image.
    calibration : Calibration
        Noise and detection limit of the image.
    columns : ColumnFit
        The columns that have been detected.
    response : ndarray of shape (n_rows, n_cols)
        Response of the blob filter to the residual image.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    columns : ColumnFit
        All columns.
    """
    # Columns that have been added support others.
    for _ in range(_SETTINGS.max_n_fill_rounds):
        filled = _add_predicted(context, columns, response, profile)
        if filled is None:
            break
        n_before = len(columns)
        columns = select_columns(context, calibration, filled)
        if len(columns) <= n_before:
            break
    return columns


def _add_predicted(context, columns, response, profile):
    """Fit columns with predicted ones; return None if none are predicted."""
    spacing, table = context.spacing, columns.table
    area = GoodArea(context.shape, context.mask)
    positions, heights = cell_centers(
        table.positions, table.amplitude, area.depth, spacing
    )
    if not len(positions):
        depths = _SETTINGS.hardly_inside_sigma * context.sigma, np.inf
        positions, heights = continue_lattice(
            table.positions, table.amplitude, area.depth, depths, spacing
        )
    if len(positions):
        distance, _ = cKDTree(table.positions).query(positions)
        is_free = distance > _SETTINGS.same_column_spacings * spacing
        positions, heights = positions[is_free], heights[is_free]
    if not len(positions):
        return None
    # At vacancies, the fit starts from a small height.
    seen = np.clip(
        at_pixels(response, positions), _SETTINGS.min_start_share * heights, heights
    )
    start = table.append(ColumnTable.make(seen, positions, context.sigma))
    wider = context.replace(sigma=sigma_for_fit(table, context.sigma))
    both = fit_columns(wider, start, profile=profile, preliminary=True)
    # At vacancies, the tails of overlapping columns add up to their misfit only.
    added = both.table.take(slice(len(columns), None))
    is_column = added.amplitude > _SETTINGS.min_filled_share * heights
    shift = np.hypot(*(added.positions - positions).T)
    is_column &= shift < _SETTINGS.max_filled_shift_spacings * context.spacing
    keep = np.append(np.ones(len(columns), dtype=bool), is_column)
    return both.take(keep)
