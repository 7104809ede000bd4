"""Bad pixels: masked ones, and hot ones due to X-rays, defects and sentinel values."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

_AROUND = [(r, c) for r in (0, 1, 2) for c in (0, 1, 2) if (r, c) != (1, 1)]


@dataclass(frozen=True)
class _BadPixelsSettings:
    """Settings of the treatment of bad pixels, with their reasons."""

    # The range of an image is estimated from one pixel in this number, and from about
    # the second number of pixels at most.
    sample_step_px: int = 23
    n_sampled_pixels: int = 50_000
    # Hot pixels are this number of ranges beyond the range, and deviate from its
    # middle by this multiple of the deviation of their third neighbour: two of them
    # may be hot too, and the third has half the height of a column that is as narrow
    # as a pixel.
    min_excess_ranges: int = 2
    min_third_ratio: int = 4
    min_column_ratio: float = 1.5
    # A square is used if at least this share of its pixels is good.
    min_good_share: float = 0.2


_SETTINGS = _BadPixelsSettings()


def value_span(image, beyond=1):
    """Estimate the range of an image's pixels that are not hot.

    Parameters
    ----------
    image : ndarray
        Pixels.
    beyond : float, default=1
        How far beyond the range between the first and the last per cent of the pixels
        others may be, in units of it.

    Returns
    -------
    span : tuple of float
        Lowest and highest value.
    """
    # Odd: an even step might sample a few columns of pixels only.
    step = max(_SETTINGS.sample_step_px, image.size // _SETTINGS.n_sampled_pixels | 1)
    values = np.sort(image.flat[::step])
    n_hot = len(values) // 100
    low, high = float(values[n_hot]), float(values[-1 - n_hot])
    margin = beyond * (high - low)
    return low - margin, high + margin


def fill_hot_pixels(image):
    """Replace hot pixels by the upper median of those around them.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.

    Returns
    -------
    filled : ndarray of shape (n_rows, n_cols)
        A copy, or the image itself if no pixel is hot.
    """
    low, high = value_span(image, _SETTINGS.min_excess_ranges)
    if low <= image.min() and image.max() <= high:
        return image
    row, col = np.nonzero((image < low) | (image > high))
    padded = np.pad(image, 1, mode="reflect")
    around = np.stack([padded[row + down, col + along] for down, along in _AROUND])
    around = around.astype(np.float64)
    middle = (low + high) / 2
    third = np.sort(np.abs(around - middle), axis=0)[-3]
    far = np.abs(image[row, col] - middle)
    hot = far > _SETTINGS.min_third_ratio * third
    # In nearly empty images, columns are beyond the range, too.
    hot &= far > _SETTINGS.min_column_ratio * far[~hot].max(initial=0)
    if not hot.any():
        return image
    filled = image.copy()
    # One of the values rather than a mean: counts remain counts.
    filled[row[hot], col[hot]] = np.sort(around[:, hot], axis=0)[len(_AROUND) // 2]
    return filled


def fill_masked(image, valid):
    """Replace bad pixels by the mean of those around them.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32.
    valid : ndarray of bool of shape (n_rows, n_cols)
        Good pixels.

    Returns
    -------
    filled : ndarray of shape (n_rows, n_cols)
        The image, with bad pixels replaced by the mean over the smallest square around
        them, of sides 3, 9, 27, ..., in which enough pixels are good.
    """
    mean = image[valid].mean(dtype=np.float64).astype(np.float32)
    known = np.where(valid, image - mean, np.float32(0))
    weight = valid.astype(np.float32)
    filled = known + mean
    empty, side = ~valid, 3
    while empty.any() and side < 3 * max(image.shape):
        share = uniform_filter(weight, side, mode="constant")
        fill = empty & (share > _SETTINGS.min_good_share)
        if fill.any():
            total = uniform_filter(known, side, mode="constant")
            filled[fill] = total[fill] / share[fill] + mean
        empty &= ~fill
        side *= 3
    return filled
