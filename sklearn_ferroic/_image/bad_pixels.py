"""Bad pixels: masked ones, hot ones, and bad lines and blocks of them.

Hot pixels are due to X-rays, defects and sentinel values; bad lines and blocks are
saturated, dead or repeated.
"""

import numpy as np
from scipy.ndimage import find_objects, label, uniform_filter

from .noise import value_span
from .pixels import sum_blocks
from .settings import IMAGE

_AROUND = [(r, c) for r in (0, 1, 2) for c in (0, 1, 2) if (r, c) != (1, 1)]


_SETTINGS = IMAGE.bad_pixels


_LINE_SETTINGS = IMAGE.bad_lines


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


def fill_masked(image, mask):
    """Replace bad pixels by the mean of those around them.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32.
    mask : ndarray of bool of shape (n_rows, n_cols)
        Good pixels.

    Returns
    -------
    filled : ndarray of shape (n_rows, n_cols)
        The image, with bad pixels replaced by the mean over the smallest square around
        them, of sides 3, 9, 27, ..., in which enough pixels are good.
    """
    mean = image[mask].mean(dtype=np.float64).astype(np.float32)
    known = np.where(mask, image - mean, np.float32(0))
    weight = mask.astype(np.float32)
    filled = known + mean
    empty, side = ~mask, 3
    while empty.any() and side < 3 * max(image.shape):
        share = uniform_filter(weight, side, mode="constant")
        fill = empty & (share > _SETTINGS.min_good_share)
        if fill.any():
            total = uniform_filter(known, side, mode="constant")
            filled[fill] = total[fill] / share[fill] + mean
        empty &= ~fill
        side *= 3
    return filled


def find_bad_lines(image):
    """Find rows, columns and rectangles of pixels that do not belong to the image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.

    Returns
    -------
    bad : ndarray of bool of shape (n_rows, n_cols) or None
        True for pixels of full lines or of rectangular blocks that are far brighter or
        darker than what is around them, or have one value; None if there are none.
    """
    low, high = value_span(image, 0)
    if not low < high:
        return None
    rows = _bad_rows(image, high - low)
    cols = _bad_rows(image.T, high - low)
    bad = rows[:, None] | cols[None, :]
    bad |= _bad_blocks(image, low, high)
    return bad if bad.any() and not bad.all() else None


def _bad_rows(image, span):
    """Return which rows of an image are bad."""
    n_rows = len(image)
    if n_rows < _LINE_SETTINGS.min_n_lines:
        return np.zeros(n_rows, dtype=bool)
    # An odd step, or it might go with the period of the lattice.
    image = image[:, :: image.shape[1] // _LINE_SETTINGS.n_sampled_pixels | 1]
    padded = np.pad(
        image,
        [(_LINE_SETTINGS.reach_px, _LINE_SETTINGS.reach_px), (0, 0)],
        mode="reflect",
    )
    around = [
        place
        for place in range(2 * _LINE_SETTINGS.reach_px + 1)
        if place != _LINE_SETTINGS.reach_px
    ]
    deviation = np.empty_like(image)
    block = max(1, 2**15 // image.shape[1])  # fits in the cache
    for first in range(0, n_rows, block):
        part = image[first : first + block]
        near = [padded[first + k : first + k + len(part)] for k in around]
        np.subtract(part, _median(near), out=deviation[first : first + block])
    least = _LINE_SETTINGS.min_difference_ranges * span
    n_far = np.count_nonzero(np.abs(deviation) > least, axis=1)
    if 2 * n_far.max() < image.shape[1]:
        # Few images have lines that may be bad, and quantiles are slow.
        return _dead_rows(image)
    spared = _LINE_SETTINGS.spared_share
    above, below = np.quantile(deviation, (spared, 1 - spared), axis=1)
    difference = np.stack([above, -below]).astype(np.float64)
    usual = np.quantile(difference, _LINE_SETTINGS.usual_share, axis=1, keepdims=True)
    least = np.maximum(least, _LINE_SETTINGS.min_usual_ratio * usual)
    return (difference > least).any(axis=0) | _dead_rows(image)


def _median(images):
    """Return the median of each pixel of an even number of images.

    A sorting network of whole images is several times as fast as sorting pixels.
    """
    images = list(images)
    n = len(images)
    for step in range(n):
        for k in range(step % 2, n - 1, 2):
            pair = images[k : k + 2]
            images[k : k + 2] = np.minimum(*pair), np.maximum(*pair)
    return (images[n // 2 - 1] + images[n // 2]) / 2


def _dead_rows(image):
    """Flag rows of a single value whose neighbouring rows vary."""
    repeated = (image[:, 1:] == image[:, :-1]).mean(axis=1)
    dead = repeated > _LINE_SETTINGS.dead_share
    runs, _ = label(dead)
    for (run,) in find_objects(runs):
        # more of them, or at the border, are vacuum or the frame of a registration
        is_short = run.stop - run.start <= _LINE_SETTINGS.reach_px
        if run.start == 0 or run.stop == len(image) or not is_short:
            dead[run] = False
            continue
        near = repeated[
            max(0, run.start - _LINE_SETTINGS.reach_px) : run.stop
            + _LINE_SETTINGS.reach_px
        ]
        alive = near[near <= _LINE_SETTINGS.dead_share]
        dead[run] = alive.max() < _LINE_SETTINGS.alive_share
    return dead


def _bad_blocks(image, low, high):
    """Return which pixels belong to rectangles beyond the range, or of one value."""
    margin = _LINE_SETTINGS.beyond_ranges * (high - low)
    low, high = low - margin, high + margin
    bad = np.zeros(image.shape, dtype=bool)
    candidates = [_constant(image)]
    if image.min() < low or image.max() > high:
        candidates.append((image > high) | (image < low))
    for candidate in candidates:
        if np.count_nonzero(candidate) < _LINE_SETTINGS.min_block_px**2:
            continue
        # A block, filled nearly completely, fills most of a square of half its side.
        square = _LINE_SETTINGS.min_block_px // 2
        n_filled = sum_blocks(candidate.astype(np.uint8), square)
        if n_filled.max() < 0.75 * square**2:
            continue
        parts, _ = label(candidate)
        size = np.bincount(parts.ravel())
        smallest = _LINE_SETTINGS.min_filled_share * _LINE_SETTINGS.min_block_px**2
        large = size >= smallest
        large[0] = False
        if not large.any():
            continue
        # Few counts make very many small parts, which would be slow to look at.
        places = find_objects(np.where(large[parts], parts, 0))
        for number in np.flatnonzero(large):
            place = places[number - 1]
            sides = [axis.stop - axis.start for axis in place]
            if (
                min(sides) >= _LINE_SETTINGS.min_block_px
                and size[number] >= _LINE_SETTINGS.min_filled_share * np.prod(sides)
                and size[number] <= _LINE_SETTINGS.max_block_share * image.size
                and not _touches_border(place, image.shape)
            ):
                bad[place] |= parts[place] == number
    return bad


def _constant(image):
    """Return which pixels belong to squares of two by two equal pixels or more."""
    same_row = image[:, 1:] == image[:, :-1]
    constant = np.zeros(image.shape, dtype=bool)
    if np.count_nonzero(same_row) < _LINE_SETTINGS.min_block_px**2 / 2:
        return constant
    same_col = image[1:] == image[:-1]
    corner = same_row[1:] & same_row[:-1] & same_col[:, 1:] & same_col[:, :-1]
    for down in (0, 1):
        for along in (0, 1):
            rows = slice(down, len(image) - 1 + down)
            cols = slice(along, image.shape[1] - 1 + along)
            constant[rows, cols] |= corner
    return constant


def _touches_border(place, shape):
    """Return whether a slice of an image reaches its border."""
    return any(
        axis.start == 0 or axis.stop == side
        for axis, side in zip(place, shape, strict=True)
    )
