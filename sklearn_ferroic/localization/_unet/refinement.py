"""Columns that the network has found, fitted as AtomLocator fits its own."""

import numpy as np
from scipy.spatial import cKDTree

from .._batch import window_step
from .._detection.calibration import at_pixels, calibrate, filter_width, start_table
from .._detection.locate import approach, fit_found, search
from .._fitting.columns import AMPLITUDE, BACKGROUND, SIGMA, ColumnFit, on_image
from .._fitting.error_calibration import error_scale
from .._fitting.windows import center_of_mass
from .._image.filters import blob_response
from .._image.tiles import cut_tiles

# Fits that bring two columns nearer than this share of the spacing are not believed,
_COLLIDED = 0.35
# nor are those that end so far from where the network has the column, unless the border
# is nearer than a spacing: it cuts what the network sees. A tighter limit would have
# smaller errors at few counts, but the network knows displacements only in part.
_ASTRAY = 0.2


def refine_columns(
    image, valid, positions, *, spacing, width, refine, shape, tile_size
):
    """Refine the positions of columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Pixels that count; None for all.
    positions : ndarray of shape (n, 2)
        Where the network has found columns, px.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.
    refine : {"gaussian", "center_of_mass", None}
        How.
    shape : {"circular", "elliptical"}
        What columns are fitted with.
    tile_size : int or None
        Side of the tiles, px.

    Returns
    -------
    fit : ColumnFit
        The columns, in order. Where a fit tells nothing, the position is the
        network's.
    calibration : Calibration or None
        Noise of the image; None if its columns do not stand out.
    """
    scale = {"spacing": spacing, "width": width}
    calibration = calibrate(image, valid, shape=shape, search=search, **scale)
    options = {"calibration": calibration, "refine": refine, "shape": shape, **scale}
    table = np.full((len(positions), SIGMA + 2), np.nan)
    fit = ColumnFit(
        table,
        np.full_like(table, np.nan),
        np.zeros(len(table), dtype=bool),
        np.full((len(table), 2), np.nan) if shape == "elliptical" else None,
    )
    parts = ("table", "std", "converged") + (
        ("ellipse",) if fit.ellipse is not None else ()
    )
    modes = []
    for tile in cut_tiles(image.shape, tile_size, spacing, window_step(**scale)):
        first, last = tile.core.T
        own = np.all((positions >= first) & (positions < last), axis=1)
        part = image[tile.window]
        mask = None if valid is None else valid[tile.window]
        mask = None if mask is None or mask.all() else mask
        place = positions - tile.origin
        seen = np.all((place >= -0.5) & (place <= np.array(part.shape) - 0.5), axis=1)
        seen |= own
        if own.any():
            found = _refine_part(part, place[seen], mask, **options)
            if found.modes is not None:
                modes.append(found.modes)
            found.positions[:] += tile.origin
            for name in parts:
                getattr(fit, name)[own] = getattr(found, name)[own[seen]]
    if modes:
        amplitude, modes = fit.table[:, AMPLITUDE], np.concatenate(modes)
        fit.std[:] *= error_scale(amplitude, modes, calibration.inflation)[:, None]
    _take_back(fit, positions, spacing)
    if calibration is not None:
        fit.table[:, [AMPLITUDE, BACKGROUND]] *= calibration.unit
    return fit, calibration


def _refine_part(
    image, positions, valid, *, calibration, refine, shape, spacing, width
):
    scale = {"spacing": spacing, "width": width}
    if refine == "gaussian" and calibration is not None:
        image = image / calibration.unit
        start = approach(image, positions, valid, calibration, shape, **scale)
        fit, bad = fit_found(image, start, valid, calibration, shape, **scale)
        fit.positions[bad] = positions[bad]
        astray = np.hypot(*(fit.positions - positions).T) > _ASTRAY * spacing
        astray &= on_image(positions, image.shape, spacing)
        fit.positions[astray] = positions[astray]
        fit.converged[astray] = False
        return fit._replace(typical=None)
    unit = 1 if calibration is None else calibration.unit
    response = blob_response(image / np.float32(unit), filter_width(**scale))
    height = at_pixels(response, positions)
    table = start_table(image, positions, height, width)
    table[:, [SIGMA, BACKGROUND]] = np.nan
    if refine == "center_of_mass":
        table[:, 1:3] = center_of_mass(image, positions, 1.5 * width, valid=valid)
    unknown = np.full_like(table, np.nan)
    ellipse = np.full((len(table), 2), np.nan) if shape == "elliptical" else None
    return ColumnFit(table, unknown, np.ones(len(table), dtype=bool), ellipse)


def _take_back(fit, positions, spacing):
    """Leave columns where they were found if two have moved into one."""
    if len(positions) > 1:
        pairs = cKDTree(fit.positions).query_pairs(
            _COLLIDED * spacing, output_type="ndarray"
        )
        fit.positions[pairs] = positions[pairs]
        fit.converged[pairs] = False
