"""Rows, columns and blocks of pixels that are no image: saturated, dead or repeated."""

import numpy as np
from scipy.ndimage import find_objects, label

from ._hot_pixels import value_span

# Lines are compared with the median of as many lines on either side, px, so that up to
# as many bad ones may be next to each other.
_REACH_PX = 3
# Most pixels of a bad line, all but this share, differ from the lines around it ...
_SPARED = 0.4
# ... by this share of the range of the image's values ...
_MIN_DIFFERENCE = 0.5
# ... and by this factor more than nearly all lines differ, among them those through
# rows of columns, which are more than one in twenty.
_MIN_FACTOR = 3
_USUAL = 0.95
# Shares of pixels of one value in a dead line, and in the lines around it.
_DEAD, _ALIVE = 0.99, 0.5
# Pixels of a line that are looked at.
_N_SAMPLED = 256
# Fewer lines do not show what is usual.
_MIN_LINES = 24
# Sides of a bad block, px, the share of its rectangle that it fills, and the largest
# share of the image: what is larger may be vacuum, or the frame of a registration.
_MIN_BLOCK_PX, _MIN_FILLED, _MAX_BLOCK = 8, 0.95, 0.25
# Blocks are beyond the range of the values by this share of it.
_BEYOND = 0.1


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
    if n_rows < _MIN_LINES:
        return np.zeros(n_rows, dtype=bool)
    # An odd step, or it might go with the period of the lattice.
    image = image[:, :: image.shape[1] // _N_SAMPLED | 1]
    difference = np.empty((2, n_rows))
    padded = np.pad(image, [(_REACH_PX, _REACH_PX), (0, 0)], mode="reflect")
    around = [place for place in range(2 * _REACH_PX + 1) if place != _REACH_PX]
    block = max(1, 2**20 // image.shape[1])  # bounds the memory
    for first in range(0, n_rows, block):
        part = image[first : first + block]
        near = np.stack([padded[first + k : first + k + len(part)] for k in around])
        rest = part - np.median(near, axis=0)
        difference[0, first : first + block] = np.quantile(rest, _SPARED, axis=1)
        difference[1, first : first + block] = -np.quantile(rest, 1 - _SPARED, axis=1)
    usual = np.quantile(difference, _USUAL, axis=1, keepdims=True)
    least = np.maximum(_MIN_DIFFERENCE * span, _MIN_FACTOR * usual)
    return (difference > least).any(axis=0) | _dead_rows(image)


def _dead_rows(image):
    """Return which rows have one value although those around them have many."""
    repeated = (image[:, 1:] == image[:, :-1]).mean(axis=1)
    dead = repeated > _DEAD
    runs, _ = label(dead)
    for (run,) in find_objects(runs):
        # more of them, or at the border, are vacuum or the frame of a registration
        is_short = run.stop - run.start <= _REACH_PX
        if run.start == 0 or run.stop == len(image) or not is_short:
            dead[run] = False
            continue
        near = repeated[max(0, run.start - _REACH_PX) : run.stop + _REACH_PX]
        alive = near[near <= _DEAD]
        dead[run] = alive.max() < _ALIVE
    return dead


def _bad_blocks(image, low, high):
    """Return which pixels belong to rectangles beyond the range, or of one value."""
    margin = _BEYOND * (high - low)
    beyond = (image > high + margin) | (image < low - margin)
    bad = np.zeros(image.shape, dtype=bool)
    for candidate in (beyond, _constant(image)):
        if np.count_nonzero(candidate) < _MIN_BLOCK_PX**2:
            continue
        parts, _ = label(candidate)
        size = np.bincount(parts.ravel())
        for number, place in enumerate(find_objects(parts), start=1):
            sides = [axis.stop - axis.start for axis in place]
            if (
                min(sides) >= _MIN_BLOCK_PX
                and size[number] >= _MIN_FILLED * np.prod(sides)
                and size[number] <= _MAX_BLOCK * image.size
                and not _touches_border(place, image.shape)
            ):
                bad[place] |= parts[place] == number
    return bad


def _constant(image):
    """Return which pixels are equal to their neighbours in a row and in a column."""
    same_row = image[:, 1:] == image[:, :-1]
    same_col = image[1:] == image[:-1]
    constant = np.zeros(image.shape, dtype=bool)
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
