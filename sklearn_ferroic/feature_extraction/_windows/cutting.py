"""Windows of one image at sub-pixel positions."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import spline_filter

from .continuation import continue_image, find_continuation

# Windows interpolated at a time; bounds the scratch memory to tens of MiB.
_CHUNK = 512
_TAPS = {"nearest": 1, "linear": 2, "cubic": 4}
# Images of more pixels are cut tile by tile, so that scratch memory stays bounded.
_LARGE = 2**21
_TILE = 768


def cut_windows(image, centers, window_size, *, interpolation, boundary, out):
    """Interpolate square windows whose geometric centres are at `centers`.

    All pixels of a window share one sub-pixel shift, so that the interpolation
    separates into one weighted sum along the rows and one along the columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    centers : ndarray of shape (n_windows, 2)
        Window centres ``(row, col)``, px.
    window_size : int
        Side of the windows, px.
    interpolation : {"cubic", "linear", "nearest"}
        Interpolation of the shifted pixels.
    boundary : {"periodic", "reflect", "nearest"}
        Continuation of the image beyond its border.
    out : ndarray of shape (n_windows, window_size, window_size)
        Where the windows are written.
    """
    continuation = find_continuation(image) if boundary == "periodic" else None
    if image.size <= _LARGE:
        _cut(image, centers, window_size, interpolation, boundary, continuation, out)
        return
    # Each window is cut from the tile of its centre, with a margin such that the spline
    # at the window does not depend on the edge of the tile, and with all that continues
    # the image beyond its border.
    reach = window_size + 16
    if continuation is not None:
        reach += continuation.longest_step
    last = (np.array(image.shape) - 1) // _TILE
    tile = np.clip(np.floor(centers / _TILE), 0, last).astype(np.intp)
    for place in np.unique(tile, axis=0):
        rows = np.flatnonzero((tile == place).all(axis=1))
        first = np.maximum(place * _TILE - reach, 0)
        stop = (place + 1) * _TILE + reach
        part = image[tuple(map(slice, first, stop))]
        cut = np.empty((len(rows), *out.shape[1:]), dtype=out.dtype)
        _cut(
            part,
            centers[rows] - first,
            window_size,
            interpolation,
            boundary,
            None if continuation is None else continuation.crop(first, stop),
            cut,
        )
        out[rows] = cut


def _cut(image, centers, window_size, interpolation, boundary, continuation, out):
    """Cut windows of an image that is held in memory as a whole."""
    # How far the image has to go on decides on the last bits of the spline, and a
    # window should not depend on what else is cut.
    beyond = np.ceil(_distance_outside(image.shape, centers))
    for distance in np.unique(beyond):
        rows = np.flatnonzero(beyond == distance)
        options = (window_size, interpolation, boundary, continuation)
        if len(rows) == len(centers):
            _cut_alike(image, centers, *options, int(distance), out)
        else:
            cut = np.empty((len(rows), *out.shape[1:]), dtype=out.dtype)
            _cut_alike(image, centers[rows], *options, int(distance), cut)
            out[rows] = cut


def _cut_alike(
    image, centers, window_size, interpolation, boundary, continuation, beyond, out
):
    """Cut windows whose centres are equally far outside of the image."""
    start = centers - (window_size - 1) / 2
    n_taps = _TAPS[interpolation]
    if n_taps == 1:
        start = np.floor(start + 0.5)
    base = np.floor(start).astype(np.intp)
    fraction = (start - base).astype(np.float32)
    before = (n_taps - 1) // 2
    side = window_size + n_taps - 1

    # the spare pixels keep the rim out of the spline's reach
    pad = side // 2 + 12 + beyond
    padded = continue_image(image, pad, boundary, continuation)
    if n_taps == 4:
        padded = spline_filter(padded, order=3, output=np.float32, mode="reflect")
    windows = sliding_window_view(padded, (side, side))
    corner = base - before + pad
    for first in range(0, len(centers), _CHUNK):
        part = slice(first, first + _CHUNK)
        block = windows[corner[part, 0], corner[part, 1]]
        weights = _spline_weights(fraction[part], n_taps)
        block = _weighted_sum(block, weights[:, 0], window_size, axis=1)
        out[part] = _weighted_sum(block, weights[:, 1], window_size, axis=2)


def outside_image(shape, centers, window_size):
    """Mark the window pixels that lie beyond the image.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    centers : ndarray of shape (n_windows, 2)
        Window centres ``(row, col)``, px.
    window_size : int
        Side of the windows, px.

    Returns
    -------
    outside : ndarray of bool of shape (n_windows, window_size, window_size)
        True where the centre of a window pixel is outside the image.
    """
    steps = np.arange(window_size) - (window_size - 1) / 2
    row, col = centers[:, :1] + steps, centers[:, 1:] + steps
    row_out = (row < -0.5) | (row > shape[0] - 0.5)
    col_out = (col < -0.5) | (col > shape[1] - 0.5)
    return row_out[:, :, None] | col_out[:, None, :]


def _distance_outside(shape, centers):
    """Compute how far centres are beyond the area of the pixels, at least 1 px."""
    off = np.maximum(-centers, centers - np.array(shape)).max(axis=1)
    return np.maximum(off, 1)


def _spline_weights(fraction, n_taps):
    """Return the B-spline weights of the taps around each shift, (n, 2, n_taps)."""
    f = fraction
    if n_taps == 1:
        weights = [np.ones_like(f)]
    elif n_taps == 2:
        weights = [1 - f, f]
    else:
        weights = [
            (1 - f) ** 3 / 6,
            2 / 3 - f**2 + f**3 / 2,
            2 / 3 - (1 - f) ** 2 + (1 - f) ** 3 / 2,
            f**3 / 6,
        ]
    return np.stack(weights, axis=-1)


def _weighted_sum(block, weights, length, axis):
    total = None
    for tap in range(weights.shape[1]):
        window = (slice(None),) * axis + (slice(tap, tap + length),)
        term = block[window] * weights[:, tap, None, None]
        total = term if total is None else np.add(total, term, out=total)
    return total
