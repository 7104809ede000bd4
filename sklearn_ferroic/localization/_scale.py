"""The spacing of the columns, read off the image itself."""

import numpy as np
from scipy import fft
from scipy.ndimage import maximum_filter, uniform_filter

# Tiles of this side are analysed one by one and their autocorrelations averaged.
_TILE = 1024
_MAX_TILES = 4
# A reflection stands so many times above the median of its ring; noise seldom does.
_MIN_EXCESS = 30
# A neighbour shows as a maximum of the autocorrelation that stands at least this far
# above its minimum (1 = the lag at which every column falls on its like).
_MIN_HEIGHT = 0.08


def estimate_spacing(image):
    """Estimate the distance of neighbouring columns.

    The strongest Bragg reflection of the power spectrum gives the scale to within
    a factor of two; the maximum of the high-passed image's autocorrelation that
    lies nearest to zero lag then gives the spacing.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.

    Returns
    -------
    spacing : float
        Nearest-neighbour spacing, px; NaN if the image shows no lattice.
    """
    tiles = _tiles(image)
    period = _strongest_period(tiles)
    if not np.isfinite(period):
        return period
    return _nearest_maximum(_autocorrelation(tiles, period), period)


def smooth(image, sigma):
    """Smooth nearly as a Gaussian does, in a time that does not grow with sigma.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    sigma : float
        Standard deviation of the smoothing, px.

    Returns
    -------
    smoothed : ndarray of shape (n_rows, n_cols)
        The image after two box filters.
    """
    side = 2 * round(np.sqrt(6 * sigma**2 + 1) / 2) + 1
    for _ in range(2):
        image = uniform_filter(image, side, mode="nearest")
    return image


def _tiles(image):
    side = [min(length, _TILE) for length in image.shape]
    corners = [
        np.unique(np.linspace(0, length - part, min(2, -(-length // part))).astype(int))
        for length, part in zip(image.shape, side, strict=True)
    ]
    tiles = [
        image[row : row + side[0], col : col + side[1]]
        for row in corners[0]
        for col in corners[1]
    ]
    return tiles[:_MAX_TILES]


def _strongest_period(tiles):
    shape = tiles[0].shape
    window = np.outer(*(np.hanning(length + 2)[1:-1] for length in shape))
    window = window.astype(np.float32)
    power = 0
    for tile in tiles:
        tile = tile / np.float32(tile.std() or 1)
        slow = smooth(tile, min(shape) / 8)
        power = power + np.abs(fft.rfft2((tile - slow) * window)) ** 2
    rows = fft.fftfreq(shape[0])[:, None]
    frequency = np.hypot(rows, fft.rfftfreq(shape[1]))
    # Rings of equal |frequency|: the median is what noise alone would give.
    n_rings = max(8, min(shape) // 6)
    ring = np.minimum((frequency * 2 * n_rings).astype(int), n_rings)
    order = np.argsort(ring, axis=None, kind="stable")
    splits = np.searchsorted(ring.ravel()[order], np.arange(1, n_rings + 1))
    floor = np.array(
        [
            np.median(part) if part.size else 0
            for part in np.split(power.ravel()[order], splits)
        ]
    )
    excess = power - _MIN_EXCESS * floor[ring]
    allowed = (frequency > 2.5 / min(shape)) & (frequency < 0.48) & (excess > 0)
    if not allowed.any():
        return np.nan
    # A reflection counts by its curvature: layers and ramps are strong but slow.
    merit = np.where(allowed, excess * frequency**2, 0)
    return 1 / frequency.flat[merit.argmax()]


def _autocorrelation(tiles, period):
    total = 0
    for tile in tiles:
        flat = tile - smooth(tile, period / 2)
        scale = np.sqrt(smooth(flat**2, 2 * period))
        flat /= scale + 0.1 * scale.mean() + np.finfo(np.float32).tiny
        shape = [
            fft.next_fast_len(n + int(3 * period) + 2, real=True) for n in tile.shape
        ]
        spectrum = np.abs(fft.rfft2(flat - flat.mean(), shape)) ** 2
        total = total + fft.irfft2(spectrum, shape)
    reach = int(np.ceil(2.2 * period)) + 2
    lags = np.arange(-reach, reach + 1)
    correlation = total[np.ix_(lags % shape[0], lags % shape[1])]
    overlap = [np.maximum(n - np.abs(lags), 1) / n for n in tiles[0].shape]
    return correlation / np.outer(*overlap)


def _nearest_maximum(correlation, period):
    reach = len(correlation) // 2
    lags = np.arange(-reach, reach + 1)
    radius = np.hypot(lags[:, None], lags)
    # Noise is correlated over a pixel or two in real detectors: not a neighbour.
    far = (radius > max(0.35 * period, 1.9)) & (radius < 2.1 * period)
    size = 2 * max(1, int(0.2 * period)) + 1
    peak = far & (correlation == maximum_filter(correlation, size, mode="nearest"))
    peak[0], peak[-1], peak[:, 0], peak[:, -1] = False, False, False, False
    row, col = np.nonzero(peak)
    if not row.size:
        return np.nan
    height = correlation[row, col] - correlation[far].min()
    tall = height > _MIN_HEIGHT * height.max()
    row, col = row[tall], col[tall]
    distance = np.hypot(*(vertex(correlation, row, col) - reach).T)
    # Peaks of one shell scatter in distance: take the shell's mean.
    nearest = distance.min()
    return float(distance[distance < 1.15 * nearest].mean())


def vertex(surface, row, col):
    """Sub-pixel maxima of a surface by parabolas along the axes."""
    middle = surface[row, col]
    last_row, last_col = np.array(surface.shape) - 1
    above, below = np.maximum(row - 1, 0), np.minimum(row + 1, last_row)
    left, right = np.maximum(col - 1, 0), np.minimum(col + 1, last_col)
    vertices = []
    for place, low, high in (
        (row, surface[above, col], surface[below, col]),
        (col, surface[row, left], surface[row, right]),
    ):
        curvature = low - 2 * middle + high
        shift = np.where(
            curvature < 0, (low - high) / (2 * np.minimum(curvature, -1e-30)), 0
        )
        vertices.append(place + np.clip(shift, -0.5, 0.5))
    return np.stack(vertices, axis=1)
