"""Estimate of the nearest-neighbour spacing of an image."""

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter

from .filters import smooth, vertex
from .hidden_columns import resolve_hidden_columns
from .noise import value_span
from .pixels import sum_blocks
from .reflections import find_reflections, remove_interference
from .settings import IMAGE

_SETTINGS = IMAGE.spacing


def estimate_spacing(image):
    """Estimate the distance of neighbouring columns.

    The strongest Bragg reflection of the power spectrum gives the scale to within
    a factor of two. Interference, which forms no sums with other reflections, is
    removed. The maximum of the high-passed image's autocorrelation nearest to zero
    lag then gives the spacing, unless the mean window around the bright columns shows
    closer ones: a faint sublattice in their flanks, or resolved pairs. Pairs that are
    not resolved count as one column.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.

    Returns
    -------
    spacing : float
        Typical distance of nearest resolved columns, px; NaN if the image shows no
        lattice.
    """
    spacing = np.nan
    for side in _SETTINGS.tile_sides_px:
        tiles = _tiles(image, side)
        period, interference = find_reflections(tiles)
        if np.isfinite(period):
            tiles = [remove_interference(tile, interference) for tile in tiles]
            n_pixels = len(tiles) * tiles[0].size
            side_of_bin = max(1, int(period / _SETTINGS.min_period_px))
            binned = [_bin_mean(tile, side_of_bin) for tile in tiles]
            period /= side_of_bin
            whole = _autocorrelation(binned, period, _SETTINGS.long_reach_periods)
            for reach in (_SETTINGS.reach_periods, _SETTINGS.long_reach_periods):
                correlation = _middle(whole, period, reach)
                row, col = _maxima(correlation, period, reach)
                share = correlation[row, col].max(initial=0) / correlation.max()
                if share > _SETTINGS.min_near_share:
                    break
            spacing = _nearest(correlation, row, col, period, n_pixels)
            if share < _SETTINGS.max_mixed_share:
                reach = (
                    _SETTINGS.reach_periods
                    if spacing < _SETTINGS.reach_periods * period
                    else reach
                )
                spacing = _spacing_in_grains(binned, period, reach, spacing)
            spacing *= side_of_bin
            if np.isfinite(spacing):
                spacing = resolve_hidden_columns(tiles, spacing)
        if spacing < side / _SETTINGS.min_n_periods or side >= max(image.shape):
            break
    return spacing


def _tiles(image, side):
    """Cut two squares that span the image out of it, or four out of a large image."""
    corners = []
    for length in image.shape:
        part = min(length, side)
        margin = (length - part) // 4 if length >= 1.5 * side else (length - part) // 2
        corners.append(np.unique([margin, length - part - margin]))
    places = [(row, col) for row in corners[0] for col in corners[1]]
    if len(places) == 4 and min(image.shape) < 3 * side:
        places = [places[0], places[3]]
    return [
        _detrended(image[row : row + side, col : col + side]) for row, col in places
    ]


def _detrended(tile):
    """Subtract a cubic in row and col, and scale to about unit range."""
    rows, cols = (
        np.linalg.qr(np.vander(np.linspace(-1, 1, length), 4))[0].astype(np.float32)
        for length in tile.shape
    )
    # Bright particles do not count as a lattice.
    tile = np.clip(tile, *value_span(tile))
    tile /= np.ptp(tile) or np.float32(1)
    tile -= rows @ (rows.T @ tile @ cols) @ cols.T
    return tile


def _bin_mean(image, side):
    """Average square blocks of an image; incomplete ones are left out."""
    if side == 1:
        return image
    rows, cols = (length // side * side for length in image.shape)
    return sum_blocks(image[:rows, :cols], side) / np.float32(side**2)


def _autocorrelation(tiles, period, reach):
    """Compute the autocorrelation of high-passed images up to a number of periods."""
    flat = (_flattened(tile, period) for tile in tiles)
    pad = int((reach + 0.9) * period) + 2
    correlation = autocorrelation(flat, _last_lag(period, reach), pad)
    # Narrower than any column: only noise is smoothed.
    return gaussian_filter(correlation, _SETTINGS.smoothing_periods * period)


def _flattened(tile, period):
    """Return the tile high-passed, with its contrast made uniform, and mean 0."""
    flat = tile - smooth(tile, period / 2, wrap=True)
    scale = _local_scale(flat, period)
    flat /= scale + 0.1 * scale.mean() + np.finfo(np.float32).tiny
    return flat - flat.mean()


def _last_lag(period, reach):
    return int(np.ceil((reach + 0.1) * period)) + 2


def _middle(correlation, period, reach):
    """Crop an autocorrelation to a number of periods."""
    beyond = len(correlation) // 2 - _last_lag(period, reach)
    inner = slice(beyond, len(correlation) - beyond)
    return correlation[inner, inner]


def _local_scale(flat, period):
    """Compute the root mean square over two periods, constant on small squares."""
    side = max(1, int(period / 3))
    power = gaussian_filter(_bin_mean(flat**2, side), 2 * period / side, mode="wrap")
    rows, cols = (
        np.minimum(np.arange(n) // side, n_bins - 1)
        for n, n_bins in zip(flat.shape, power.shape, strict=True)
    )
    return np.sqrt(power).take(rows, axis=0).take(cols, axis=1)


def _maxima(correlation, period, reach):
    """Return rows and cols of the maxima around zero lag, up to a number of periods."""
    last = len(correlation) // 2
    lags = np.arange(-last, last + 1)
    distance = np.hypot(lags[:, None], lags)
    # Noise is correlated over a pixel or two in real detectors: not a neighbour.
    far = (distance > max(0.35 * period, 1.9)) & (distance < reach * period)
    size = 2 * max(1, int(0.2 * period)) + 1
    peak = far & (correlation == maximum_filter(correlation, size, mode="nearest"))
    peak[0], peak[-1], peak[:, 0], peak[:, -1] = False, False, False, False
    return np.nonzero(peak)


def _nearest(correlation, row, col, period, n_pixels):
    """Return the distance of the nearest of the maxima that are neighbours."""
    if not row.size:
        return np.nan
    around = uniform_filter(
        correlation, 2 * round(_SETTINGS.around_periods * period) + 1
    )
    height = (correlation - around)[row, col]
    ripple = min(_SETTINGS.max_ripple_std / np.sqrt(n_pixels), 0.5 * height.max())
    tall = height > max(_SETTINGS.min_height_share * height.max(), ripple)
    row, col = row[tall], col[tall]
    middle = len(correlation) // 2
    distance = np.hypot(*(vertex(correlation, row, col) - middle).T)
    # Peaks of one shell scatter in distance: take the shell's mean.
    nearest = distance.min()
    return float(distance[distance < 1.15 * nearest].mean())


def _spacing_in_grains(tiles, period, reach, spacing):
    """Return the spacing that squares of the size of grains agree on, if smaller.

    Peaks of many lattices run together between the first shell and the second.
    """
    side = int(_SETTINGS.grain_periods * period)
    squares = [
        tile[row : row + side, col : col + side]
        for tile in tiles
        for row in range(0, tile.shape[0] - side + 1, side)
        for col in range(0, tile.shape[1] - side + 1, side)
    ]
    found = []
    for square in squares:
        correlation = _autocorrelation([square], period, reach)
        maxima = _maxima(correlation, period, reach)
        found.append(_nearest(correlation, *maxima, period, square.size))
    found = np.array(found)
    typical = np.median(found[np.isfinite(found)]) if len(found) > 3 else np.nan
    agree = (
        np.mean(np.abs(found / typical - 1) < _SETTINGS.agreement_share)
        if len(found)
        else 0
    )
    smaller = typical < (1 - 2 * _SETTINGS.agreement_share) * spacing
    return typical if smaller and agree >= 0.5 else spacing


def autocorrelation(images, last_lag, pad):
    """Compute the autocorrelation of images of one shape, corrected for their overlap.

    Parameters
    ----------
    images : iterable of ndarray of shape (n_rows, n_cols)
        High-passed images.
    last_lag : int
        Largest lag along each axis, px.
    pad : int
        Zeros added along each axis against wrapping, px; at least `last_lag`.

    Returns
    -------
    correlation : ndarray of shape (2 * last_lag + 1, 2 * last_lag + 1)
        The correlation, 1 in the middle, where the lag is 0.
    """
    total = 0
    for image in images:
        sides = image.shape
        shape = [fft.next_fast_len(side + pad, real=True) for side in sides]
        total = total + np.abs(fft.rfft2(image, shape)) ** 2
    lags = np.arange(-last_lag, last_lag + 1)
    # Of the inverse transform only the rows of short lags are needed.
    rows = fft.ifft(total, axis=0)[lags % shape[0]]
    correlation = fft.irfft(rows, shape[1], axis=1)[:, lags % shape[1]]
    correlation /= correlation[last_lag, last_lag]
    overlap = [np.maximum(side - np.abs(lags), 1) / side for side in sides]
    return correlation / np.outer(*overlap)
