"""The work on images and their tiles, as joblib runs it, with its own messages."""

from functools import wraps

import numpy as np

from ._detection.calibration import calibrate
from ._detection.locate import locate_columns, search
from ._detection.width import estimate_width
from ._fitting.columns import AMPLITUDE, BACKGROUND, ColumnFit, on_image
from ._fitting.error_calibration import error_scale
from ._image.binning import binned_scale
from ._image.spacing import estimate_spacing
from ._image.tiles import not_twice
from ._score import explained_variance, power_sums

# The image must hold this many spacings along each side.
_MIN_SPACINGS = 3
# Nearer than this share of the spacing, two tiles' columns are the same.
_SAME_COLUMN = 0.3
# Columns are painted up to this many widths from their centres.
_TAIL = 6


def naming_the_image(work):
    """Let every error say in which image it came up."""

    @wraps(work)
    def named(number, *args, **kwargs):
        try:
            return work(number, *args, **kwargs)
        except Exception as error:
            if f"image {number}" in str(error).lower():
                raise
            message = f"Image {number} could not be located: {error!r}"
            raise RuntimeError(message) from error

    return named


@naming_the_image
def estimate_scale(number, image, valid, spacing):
    """Estimate spacing and width of the columns of an image.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    image : ndarray of shape (n_rows, n_cols)
        The image.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Pixels that count; None for all.
    spacing : float or None
        Nearest-neighbour spacing if it is known, px.

    Returns
    -------
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.
    skewness : float
        Negative where the columns are dark.
    """
    if spacing is None:
        spacing = estimate_spacing(image)
    if not np.isfinite(spacing):
        raise ValueError(_nothing_found(number))
    _check_size(number, image, spacing)
    width, skewness = estimate_width(image, valid, float(spacing))
    if not np.isfinite(width):
        raise ValueError(_nothing_found(number))
    return spacing, width, skewness


@naming_the_image
def calibrate_image(number, image, valid, **options):
    """Learn the noise of an image, or say that it shows no columns.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    image, valid, **options
        As :func:`calibrate` takes them.

    Returns
    -------
    calibration : Calibration
        The noise.
    """
    _check_size(number, image, options["spacing"])
    calibration = calibrate(image, valid, search=search, **options)
    if calibration is None:
        raise ValueError(_nothing_found(number))
    return calibration


@naming_the_image
def locate_tile(number, image, valid, tile, calibration, **options):
    """Locate the columns of a tile.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    image : ndarray of shape (n_rows, n_cols)
        The tile's window of the image.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Pixels of the window that count; None for all.
    tile : Tile
        Where the window is, and which columns are its own.
    calibration : Calibration
        Noise of the image.
    **options
        As :func:`locate_columns` takes them.

    Returns
    -------
    fit : ColumnFit
        The tile's own columns, at their positions in the image.
    """
    if valid is not None and valid.all():
        valid = None
    if calibration.first is not None:
        _, width = binned_scale(options["spacing"], options["width"], calibration.side)
        first = calibration.first.crop(tile.window, calibration.side, _TAIL * width)
        calibration = calibration._replace(first=first)
    if calibration.unit != 1:
        image = image / calibration.unit
    fit = locate_columns(image, valid, calibration, **options)
    fit.positions[:] += tile.origin
    return fit.take(tile.owns(fit.positions))


@naming_the_image
def merge_tiles(number, fits, shape, calibration, spacing):
    """Put the columns of an image's tiles together.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    fits : list of ColumnFit
        Columns of the tiles.
    shape : tuple of int
        Shape of the image.
    calibration : Calibration
        Holds the unit of the image.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    fit : ColumnFit
        The columns of the image, from top to bottom.
    """
    ellipses = [fit.ellipse for fit in fits if fit.ellipse is not None]
    whole = ColumnFit(
        *(np.concatenate([fit[part] for fit in fits]) for part in range(3)),
        np.concatenate(ellipses) if ellipses else None,
    )
    positions = whole.positions
    # A slope that ends at the border may look like columns along it.
    is_inside = on_image(positions, shape, spacing)
    if not is_inside.any() or not whole.converged.any():
        raise ValueError(_nothing_found(number))
    modes = [fit.modes for fit in fits if fit.modes is not None]
    if modes:
        modes = np.concatenate(modes)
        scale = error_scale(whole.table[:, AMPLITUDE], modes, calibration.inflation)
        whole.std[:] *= scale[:, None]
    tile = np.repeat(np.arange(len(fits)), [len(fit.table) for fit in fits])
    order = np.flatnonzero(not_twice(positions, tile, _SAME_COLUMN * spacing))
    row, col = np.rint(positions[order]).T
    whole = whole.take(order[np.lexsort((col, row))])
    whole.table[:, [AMPLITUDE, BACKGROUND]] *= calibration.unit
    return whole


@naming_the_image
def score_image(number, image, valid, fit, tiles, calibration, width):
    """Rate the columns of an image.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    image, valid : ndarray
        The image and which of its pixels count; None for all.
    fit : ColumnFit
        Its columns.
    tiles : list of Tile
        Its tiles.
    calibration : Calibration
        Holds the unit of the image.
    width : float
        Typical sigma, px.

    Returns
    -------
    score : float
        Share of the structure above the noise that is explained, times the share of
        columns that can be trusted.
    """
    fit = fit._replace(table=fit.table.copy())
    fit.table[:, AMPLITUDE] /= calibration.unit
    sums = 0
    for tile in tiles:
        part = image[tile.window] / calibration.unit
        mask = None if valid is None else valid[tile.window]
        place = fit.positions - tile.origin
        near = (place > -_TAIL * width) & (place < np.add(part.shape, _TAIL * width))
        own = fit.take(near.all(axis=1))
        own.positions[:] -= tile.origin
        sums = sums + power_sums(part, mask, own, tile.inner(), calibration, width)
    return explained_variance(sums) * float(np.mean(fit.converged))


def _check_size(number, image, spacing):
    if min(image.shape) < _MIN_SPACINGS * spacing:
        raise ValueError(
            f"Image {number} of shape {image.shape} is smaller than {_MIN_SPACINGS} "
            f"column spacings of {spacing:.1f} px. Give a larger image, or the right "
            "spacing in px."
        )


def _nothing_found(number):
    return (
        f"No columns found in image {number}. Does it show resolved atomic columns, "
        "bright on dark (invert a bright-field image)? If it does, give the locator "
        "their spacing in px or a lower threshold."
    )
