"""Continuation of an image beyond its border."""

import numpy as np
from scipy.ndimage import map_coordinates, maximum_filter

from ...localization._image.filters import smooth, vertex
from ...localization._image.spacing import autocorrelation, estimate_spacing

# The period is measured in at most this many pixels per side, at the image's centre.
_MAX_SIDE = 1024


def continue_image(image, pad, boundary, periods=None):
    """Extend an image on all sides.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    pad : int
        Width of the extension, px.
    boundary : {"periodic", "reflect", "nearest"}
        By translations of its lattice, its mirror image or its outermost pixels.
    periods : ndarray of shape (2, 2) or None
        Result of `lattice_periods`; None, without a lattice, makes the periodic
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
    if boundary == "periodic" and periods is not None:
        _fill_by_translation(extended, image, pad, periods)
    return extended


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


def _fill_by_translation(extended, image, pad, periods):
    """Fill the frame around the image by lattice translations."""
    frame = np.ones(extended.shape, dtype=bool)
    frame[pad:-pad, pad:-pad] = False
    points = np.argwhere(frame) - float(pad)
    last = np.array(image.shape) - 1
    # A translation along one axis can have a component along the other.
    for axis in (0, 1, 0, 1):
        place, step = points[:, axis], periods[axis, axis]
        below = np.ceil(np.maximum(-place, 0) / step)
        above = np.ceil(np.maximum(place - last[axis], 0) / step)
        points += (below - above)[:, None] * periods[axis]
    values = map_coordinates(image, points.T, order=3, mode="reflect")
    extended[frame] = values
