"""Continuation of an image beyond its border."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import (
    gaussian_filter,
    map_coordinates,
    maximum_filter,
    median_filter,
    spline_filter,
    uniform_filter1d,
)

from ..._image.filters import smooth, vertex
from ..._image.spacing import autocorrelation, estimate_spacing

# The period is measured in at most this many pixels per side, at the image's centre.
_MAX_SIDE = 1024
# Longest translation tried at a border, periods. Columns displaced alternately have a
# period of two cells, those displaced in pairs along a diagonal of the cell, as in
# PbZrO3, of four.
_LONGEST_PERIODS = 4
# Depth of the strip at the border in which translations are compared, periods.
_DEPTH_PERIODS = 1.5
# Length along the border of which the median is compared, periods, so that a single
# defect or a wall that ends at the border does not change the translation.
_MEDIAN_PERIODS = 5
# Another translation is used if its mean squared difference is below this fraction of
# that of the shortest one. It was at most 0.2 in antipolar layers away from their ends,
# and at least 0.63 along films, multislice images and SrTiO3 without such order. Where
# brightness or displacements are disordered, as by an intensity scatter of 20 %, it may
# be lower by chance.
_LARGEST_RATIO = 0.6
# Relative increase of the difference per period, so that of equally good translations
# the shortest is used.
_COST_PER_PERIOD = 0.05
# Translations tried at a border where the lattice is not that of the image's centre, in
# periods across and along the border. They include a lattice translation of a square
# lattice at any rotation: its component across the border is at least cos 45°.
_SHORTEST_ACROSS_PERIODS = 0.6
_LONGEST_ACROSS_PERIODS = 1.2
_FARTHEST_ALONG_PERIODS = 0.8
# Length along the border over which their differences are averaged, periods, so that
# the translation changes within two cells of a grain boundary.
_MEAN_PERIODS = 3
# Standard deviation of the smoothing before the comparison, px. Without it
# translations by fractions of a pixel, which average noise, would have an advantage.
_SMOOTHING_PX = 1.0


class Continuation(NamedTuple):
    """Translations by which an image is continued beyond its border.

    Attributes
    ----------
    steps : tuple of tuple of ndarray
        For each axis and for its lower and its upper border: translations
        ``(row, col)`` that lead into the image, px, one for each pixel along the
        border, ``(n, 2)``.
    """

    steps: tuple

    @property
    def longest_step(self):
        """Longest translation along one axis, px, rounded up."""
        borders = [border for pair in self.steps for border in pair]
        return int(np.ceil(max(np.abs(border).max() for border in borders)))

    def crop(self, start, stop):
        """Return the continuation of the part of the image from `start` to `stop`."""
        return Continuation(
            tuple(
                tuple(border[start[1 - axis] : stop[1 - axis]] for border in borders)
                for axis, borders in enumerate(self.steps)
            )
        )


def continue_image(image, pad, boundary, continuation=None):
    """Extend an image on all sides.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    pad : int
        Width of the extension, px.
    boundary : {"periodic", "reflect", "nearest"}
        By translations of its lattice, its mirror image or its outermost pixels.
    continuation : Continuation or None
        Result of `find_continuation`; None, without a lattice, makes the periodic
        continuation a mirror image.

    Returns
    -------
    extended : ndarray of shape (n_rows + 2 * pad, n_cols + 2 * pad)
        The extended image, float32.
    """
    image = np.asarray(image, dtype=np.float32)
    if boundary == "nearest":
        return np.pad(image, pad, mode="edge")
    extended = np.pad(image, pad, mode="symmetric")
    if boundary == "periodic" and continuation is not None:
        _fill_by_translation(extended, image, pad, continuation)
    return extended


def find_continuation(image):
    """Find the translations by which an image is continued.

    Beyond most of the border it is translated by one period of the lattice. Where the
    structure has a larger period, as in antipolar layers, this would change the kind
    of the cells at the border. Where the lattice is another one than at the centre of
    the image, as in a grain, the translation that fits there is used.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.

    Returns
    -------
    continuation : Continuation or None
        None if the image shows no lattice.
    """
    periods = lattice_periods(image)
    if periods is None:
        return None
    return Continuation(
        tuple(
            tuple(
                _border_steps(image, periods, axis, is_last=is_last)
                for is_last in (False, True)
            )
            for axis in (0, 1)
        )
    )


def lattice_periods(image):
    """Find the shortest full period of an image along each axis.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.

    Returns
    -------
    periods : ndarray of shape (2, 2) or None
        Lattice vectors ``(row, col)``, px, the first mostly along the rows' axis,
        the second mostly along the columns'; None if the image shows no lattice.
    """
    image = _center(image)
    if np.ptp(image) == 0:
        return None
    spacing = estimate_spacing(image)
    if not np.isfinite(spacing):
        return None
    reach = int(2.3 * spacing) + 2
    flat = image - smooth(image, 2 * spacing)
    correlation = autocorrelation([flat], reach, reach)
    size = 2 * max(1, int(0.3 * spacing)) + 1
    is_peak = correlation == maximum_filter(correlation, size)
    is_peak[[0, -1]] = is_peak[:, [0, -1]] = False
    row, col = np.nonzero(is_peak)
    vectors = vertex(correlation, row, col) - reach
    # Half a cell, which maps one sublattice on the other, is nearly a period but
    # lower; of whole periods, which are equally high, the shortest is selected.
    length = np.hypot(*vectors.T) / spacing
    merit = correlation[row, col] - 0.02 * length
    steep = np.abs(vectors[:, 0]) >= np.abs(vectors[:, 1])
    periods = []
    for axis, along in ((0, steep), (1, ~steep)):
        along = along & (vectors[:, axis] > 0) & (length > 0.7)
        if not along.any():
            return None
        periods.append(vectors[along][merit[along].argmax()])
    return np.array(periods)


def _center(image):
    start = [max(0, (side - _MAX_SIDE) // 2) for side in image.shape]
    return image[tuple(slice(first, first + _MAX_SIDE) for first in start)]


def _border_steps(image, periods, axis, *, is_last):
    """Return translations into the image, one for each pixel of a border, (n, 2)."""
    inward = -periods[axis] if is_last else periods[axis]
    along_px = periods[1 - axis, 1 - axis]
    n_along, length = image.shape[1 - axis], image.shape[axis]
    steps = np.tile(inward, (n_along, 1))
    # with the border in the first rows
    view = image if axis == 0 else image.T
    view = view[::-1] if is_last else view
    sign = np.array([-1 if is_last else 1, 1])
    order = [axis, 1 - axis]
    across_px = periods[axis, axis]
    depth = int(_DEPTH_PERIODS * across_px)
    n_periods = int((length - depth) / across_px)
    if n_periods < 2 or n_along < _MEDIAN_PERIODS * along_px:
        return steps
    n_periods = min(n_periods, _LONGEST_PERIODS)
    slab = view[: int(depth + (n_periods + 1) * across_px)].astype(np.float32)
    slab = gaussian_filter(slab, _SMOOTHING_PX, mode="nearest")
    coefficients = spline_filter(slab, order=3, output=np.float32, mode="mirror")
    row, col = np.mgrid[:depth, :n_along]
    best = None
    size = 2 * round(_MEAN_PERIODS * along_px / 2) + 1
    for number in range(1, n_periods + 1):
        step = number * inward
        shift = step[order] * sign
        moved = map_coordinates(
            coefficients,
            [row + shift[0], col + shift[1]],
            order=3,
            mode="mirror",
            prefilter=False,
        )
        difference = ((slab[:depth] - moved) ** 2).mean(axis=0)
        typical = _typical_along(difference, along_px)
        typical *= 1 + _COST_PER_PERIOD * (number - 1)
        if best is None:
            limit = _LARGEST_RATIO * uniform_filter1d(difference, size)
            chosen, best = typical, _LARGEST_RATIO * typical
            continue
        is_better = typical < best
        best = np.where(is_better, typical, best)
        chosen = np.where(is_better, typical, chosen)
        steps[is_better] = step
    local, difference = _local_steps(slab, depth, periods, size)
    is_better = difference < np.minimum(_LARGEST_RATIO * chosen, limit)
    steps[is_better] = (local * sign)[is_better][:, order]
    return steps


def _local_steps(slab, depth, periods, size):
    """Return translations that fit the lattice at each pixel of a border.

    Parameters
    ----------
    slab : ndarray of shape (n_across, n_along)
        Part of the image with the border in its first row.
    depth : int
        Number of rows that are compared.
    periods : ndarray of shape (2, 2)
        Lattice vectors at the centre of the image, px.
    size : int
        Number of pixels along the border over which differences are averaged.

    Returns
    -------
    steps : ndarray of shape (n_along, 2)
        Translations across and along the border, px.
    difference : ndarray of shape (n_along,)
        Mean squared differences of the translated rows.
    """
    lengths = np.hypot(*periods.T)
    shortest = int(_SHORTEST_ACROSS_PERIODS * lengths.min())
    longest = min(
        int(np.ceil(_LONGEST_ACROSS_PERIODS * lengths.max())), len(slab) - depth
    )
    farthest = int(np.ceil(_FARTHEST_ALONG_PERIODS * lengths.max()))
    across = np.arange(shortest, longest + 1)
    along = np.arange(-farthest, farthest + 1)
    n_along = slab.shape[1]
    padded = np.pad(slab, [(0, 0), (farthest, farthest)], mode="symmetric")
    table = np.empty((len(across), len(along), n_along), dtype=np.float32)
    for i, down in enumerate(across):
        for j in range(len(along)):
            moved = padded[down : down + depth, j : j + n_along]
            table[i, j] = ((slab[:depth] - moved) ** 2).mean(axis=0)
    table = uniform_filter1d(table, size, axis=2)
    inside = table[1:-1, 1:-1].reshape(-1, n_along)
    shape = len(across) - 2, len(along) - 2
    row, col = np.unravel_index(inside.argmin(axis=0), shape)
    place = np.arange(n_along)
    lowest = table[row + 1, col + 1, place]
    steps, gain = [], 0.0
    for values, before, after in (
        (across[row + 1], (row, col + 1), (row + 2, col + 1)),
        (along[col + 1], (row + 1, col), (row + 1, col + 2)),
    ):
        before, after = table[(*before, place)], table[(*after, place)]
        curvature = before - 2 * lowest + after
        # 0 in constant images
        shift = np.zeros(n_along)
        np.divide(0.5 * (before - after), curvature, out=shift, where=curvature > 0)
        shift = np.clip(shift, -0.5, 0.5)
        steps.append(values + shift)
        gain = gain + 0.5 * curvature * shift**2
    return np.stack(steps, axis=1), np.maximum(lowest - gain, 0)


def _typical_along(difference, along_px):
    """Return the median along a border of means over one period."""
    # of odd sizes, so that a mirrored border has mirrored values
    size = 2 * round(along_px / 2) + 1
    difference = uniform_filter1d(difference, size)
    half = round(_MEDIAN_PERIODS * along_px / 2)
    size = min(2 * half + 1, 2 * ((len(difference) - 1) // 2) + 1)
    typical = median_filter(difference, size, mode="nearest")
    # Near the ends there are too few values for a median.
    half = size // 2
    typical[:half] = typical[half]
    typical[len(typical) - half :] = typical[len(typical) - 1 - half]
    return typical


def _fill_by_translation(extended, image, pad, continuation):
    """Fill the frame around the image by lattice translations."""
    frame = np.ones(extended.shape, dtype=bool)
    frame[pad:-pad, pad:-pad] = False
    points = np.argwhere(frame) - float(pad)
    last = np.array(image.shape) - 1
    # A translation along one axis can have a component along the other.
    for axis in (0, 1, 0, 1):
        place = points[:, axis]
        nearest = np.clip(np.round(points[:, 1 - axis]), 0, last[1 - axis])
        nearest = nearest.astype(np.intp)
        for is_last, steps in enumerate(continuation.steps[axis]):
            beyond = place - last[axis] if is_last else -place
            rows = np.flatnonzero(beyond > 0)
            step = steps[nearest[rows]]
            number = np.ceil(beyond[rows] / np.abs(step[:, axis]))
            points[rows] += number[:, None] * step
    values = map_coordinates(image, points.T, order=3, mode="reflect")
    extended[frame] = values
