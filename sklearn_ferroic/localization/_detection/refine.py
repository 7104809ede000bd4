"""Fits of columns whose approximate positions are known."""

import numpy as np
from scipy.spatial import cKDTree

from .._batch import window_step
from .._fitting.columns import ColumnFit, ColumnTable
from .._fitting.error_calibration import error_scale
from .._fitting.profiles import PROFILES
from .._fitting.windows import center_of_mass
from .._image.context import ImageContext
from .._image.filters import blob_response, filter_sigma
from .._image.positions import at_pixels, on_image
from .._image.tiles import cut_tiles
from .calibration import calibrate
from .locate import MASS_RADIUS_SIGMA, detect_columns, fit_found, fit_positions

# Fits that move two columns closer than this share of the spacing are rejected.
_MIN_DISTANCE_SPACINGS = 0.35


def refine_columns(
    image, mask, positions, *, spacing, sigma, refine, shape, tile_size, max_shift
):
    """Refine the positions of columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    mask : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    positions : ndarray of shape (n, 2)
        Approximate centres of the columns, px.
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma, px.
    refine : {"gaussian", "center_of_mass", None}
        How.
    shape : {"circular", "elliptical"}
        What columns are fitted with.
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
    context = ImageContext(image, mask, spacing, sigma)
    calibration = calibrate(context, profile, detect_columns)
    fits, rows, modes = [], [], []
    step = window_step(spacing, sigma)
    for tile in cut_tiles(image.shape, tile_size, spacing, step):
        first, last = tile.core.T
        own = np.all((positions >= first) & (positions < last), axis=1)
        if not own.any():
            continue
        part = image[tile.window]
        good = None if mask is None else mask[tile.window]
        good = None if good is None or good.all() else good
        place = positions - tile.origin
        seen = np.all((place >= -0.5) & (place <= np.array(part.shape) - 0.5), axis=1)
        seen |= own
        if calibration is None:
            context = ImageContext(part, good, spacing, sigma)
        else:
            context = calibration.context(part, good, spacing, sigma)
        found = _refine_part(context, place[seen], refine, profile, max_shift)
        if found.modes is not None:
            modes.append(found.modes)
        found = found.at(found.positions + tile.origin)
        fits.append(found.take(own[seen]))
        rows.append(np.flatnonzero(own))
    if fits:
        fit = ColumnFit.concatenate(fits).take(np.argsort(np.concatenate(rows)))
    else:
        fit = ColumnFit.unfitted(ColumnTable.make(0.0, positions, 0.0))
    if modes:
        modes = np.concatenate(modes)
        fit = fit.scaled_std(error_scale(fit.amplitude, modes, calibration.inflation))
    fit = _undo_collisions(fit, positions, spacing)
    if calibration is not None:
        fit = fit.scaled_values(calibration.unit)
    return fit, calibration


def _refine_part(context, positions, refine, profile, max_shift):
    """Refine the positions of columns in a tile."""
    if refine == "gaussian" and context.statistics is not None:
        start = fit_positions(context, positions, profile)
        fit, bad = fit_found(context, start, profile)
        refined, converged = fit.positions.copy(), fit.converged.copy()
        refined[bad] = positions[bad]
        astray = np.hypot(*(refined - positions).T) > max_shift * context.spacing
        astray &= on_image(positions, context.shape, context.spacing)
        refined[astray] = positions[astray]
        converged[astray] = False
        return fit.at(refined).replace(converged=converged, statistics=None)
    image, sigma = context.image, context.sigma
    response = blob_response(
        image.astype(np.float32, copy=False), filter_sigma(context.spacing, sigma)
    )
    table = ColumnTable.at_peaks(
        image, positions, at_pixels(response, positions), sigma
    )
    if refine == "center_of_mass":
        radius = MASS_RADIUS_SIGMA * sigma
        centers = center_of_mass(image, positions, radius, mask=context.mask)
        table = table.replace(positions=centers)
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
