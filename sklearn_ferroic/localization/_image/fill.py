"""What stands in for masked pixels."""

import numpy as np
from scipy.ndimage import uniform_filter

# A box fills a pixel if at least this share of it counts.
_MIN_SHARE = 0.2


def fill_masked(image, valid):
    """Fill the pixels that do not count by the mean of those around them.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32.
    valid : ndarray of bool of shape (n_rows, n_cols)
        Pixels that count.

    Returns
    -------
    filled : ndarray of shape (n_rows, n_cols)
        The image, where pixels that do not count hold the mean over the smallest
        square around them, of sides 3, 9, 27, ..., in which enough pixels do.
    """
    mean = image[valid].mean(dtype=np.float64).astype(np.float32)
    known = np.where(valid, image - mean, np.float32(0))
    weight = valid.astype(np.float32)
    filled = known + mean
    empty, side = ~valid, 3
    while empty.any() and side < 3 * max(image.shape):
        share = uniform_filter(weight, side, mode="constant")
        fill = empty & (share > _MIN_SHARE)
        if fill.any():
            total = uniform_filter(known, side, mode="constant")
            filled[fill] = total[fill] / share[fill] + mean
        empty &= ~fill
        side *= 3
    return filled
