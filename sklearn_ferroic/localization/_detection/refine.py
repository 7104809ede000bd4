"""Fits of columns whose approximate positions are known."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from ..._image.filters import blob_response, filter_sigma
from ..._image.pixels import at_pixels, on_image
from ..._image.tiles import Tile, cut_tiles
from .._batch import window_step
from .._fitting.column_tails import subtract_tails
from .._fitting.columns import ColumnFit, ColumnTable
from .._fitting.error_calibration import error_scale
from .._fitting.profiles import PROFILES
from .._fitting.windows import centers_of_mass
from .calibration import calibrate
from .lattice_continuation import fit_with_outer_columns
from .locate import (
    FoundColumns,
    find_unusable,
    fit_positions,
    fit_without_tails,
    sum_for_tails,
)

# Fits that move two columns closer than this share of the spacing are rejected.
_MIN_DISTANCE_SPACINGS = 0.35


def refine_columns(context, positions, *, refine, shape, tile_size, max_shift):
    """Refine the positions of columns.

    Parameters
    ----------
    context : ImageContext
        The image.
    positions : ndarray of shape (n, 2)
        Approximate centres of the columns, px.
    refine : {"gaussian", "center_of_mass", None}
        Method for the positions.
    shape : {"circular", "elliptical"}
        Profile of the columns.
    tile_size : int or None
        Side of the tiles, px.
    max_shift : float
        Fits that end farther (spacings) from the approximate centre are rejected,
        unless the border is nearer than a spacing.

    Returns
    -------
    fit : ColumnFit
        The columns, in order. Where a fit is not usable, the position is the
        approximate one.
    calibration : Calibration or None
        Noise of the image; None if its columns do not exceed the noise.
    """
    profile = PROFILES[shape]
    calibration = calibrate(context, profile)
    step = window_step(context.spacing, context.sigma)
    parts = [
        part
        for tile in cut_tiles(context.shape, tile_size, context.spacing, step)
        if (part := _TilePart.of(tile, positions)).own.any()
    ]

    def context_of(part):
        own = context.crop(part.tile.window)
        return own if calibration is None else calibration.apply(own)

    if refine == "gaussian" and calibration is not None:
        found = _fit_parts(parts, context_of, profile)
        fits = [
            _accept_fit(context_of(part), columns, part.positions, max_shift)
            for part, columns in zip(parts, found, strict=True)
        ]
    else:
        fits = [
            _take_peaks(context_of(part), part.positions, refine, profile)
            for part in parts
        ]
    modes = [fit.modes for fit in fits if fit.modes is not None]
    rows = [np.flatnonzero(part.own) for part in parts]
    fits = [
        fit.at(fit.positions + part.tile.origin).take(part.own[part.seen])
        for part, fit in zip(parts, fits, strict=True)
    ]
    if fits:
        fit = ColumnFit.concatenate(fits).take(np.argsort(np.concatenate(rows)))
    else:
        fit = ColumnFit.unfitted(ColumnTable.make(0.0, positions, 0.0))
    if modes:
        modes = np.concatenate(modes)
        scale = error_scale(fit.amplitude, modes, calibration.inflation)
        fit = fit.scaled_std(*scale)
    fit = _undo_collisions(fit, positions, context.spacing)
    if calibration is not None:
        fit = fit.scaled_values(calibration.unit)
    return fit, calibration


class _TilePart(NamedTuple):
    """The columns of a tile: those near it and those of its own, and where they are."""

    tile: Tile
    seen: np.ndarray
    own: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, tile, positions):
        """Choose the columns of a tile."""
        first, last = tile.core.T
        own = np.all((positions >= first) & (positions < last), axis=1)
        place = positions - tile.origin
        shape = [part.stop - part.start for part in tile.window]
        seen = own | on_image(place, shape)
        return cls(tile, seen, own, place[seen])


def _fit_parts(parts, context_of, profile):
    """Fit the columns of all tiles, without the tails that they have in common."""

    def with_sums(part, context, found):
        return found, sum_for_tails(context, found, part.tile.inner())

    def fit(part):
        context = context_of(part)
        start = fit_positions(context, part.positions, profile)
        found = FoundColumns(start, fit_with_outer_columns(context, start, profile))
        return with_sums(part, context, found)

    def fit_again(found, tails):
        again = []
        for index, columns in found.items():
            context = context_of(parts[index])
            fitted = fit_without_tails(context, columns, tails[index], profile)
            again.append(with_sums(parts[index], context, fitted))
        return again

    return subtract_tails(
        [fit(part) for part in parts], [list(range(len(parts)))], fit_again
    )


def _accept_fit(context, found, positions, max_shift):
    """Return the fit, with the known positions where it is not usable."""
    fit, bad = found.columns(), find_unusable(context, found)
    refined, converged = fit.positions.copy(), fit.converged.copy()
    refined[bad] = positions[bad]
    astray = np.hypot(*(refined - positions).T) > max_shift * context.spacing
    astray &= on_image(positions, context.shape, context.spacing)
    refined[astray] = positions[astray]
    converged[astray] = False
    return fit.at(refined).replace(converged=converged, statistics=None)


def _take_peaks(context, positions, refine, profile):
    """Return columns without a fit, at their positions or centres of mass."""
    image, sigma = context.image, context.sigma
    response = blob_response(
        image.astype(np.float32, copy=False), filter_sigma(context.spacing, sigma)
    )
    table = ColumnTable.at_peaks(
        image, positions, at_pixels(response, positions), sigma
    )
    if refine == "center_of_mass":
        table = table.replace(positions=centers_of_mass(context, positions))
    # Without a fit, the shape is not known.
    unknown = np.full((len(table), profile.n_shape), np.nan)
    return ColumnFit.unfitted(table.with_profile(profile, unknown))


def _undo_collisions(fit, positions, spacing):
    """Return columns to where they were detected if two have moved to one place."""
    if len(positions) < 2:
        return fit
    pairs = cKDTree(fit.positions).query_pairs(
        _MIN_DISTANCE_SPACINGS * spacing, output_type="ndarray"
    )
    refined, converged = fit.positions.copy(), fit.converged.copy()
    refined[pairs] = positions[pairs]
    converged[pairs] = False
    return fit.at(refined).replace(converged=converged)
