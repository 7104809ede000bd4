"""Frames resampled at displaced positions, line by line and between the lines.

A displacement field is what is added to the position of a pixel to obtain the point of
the specimen that it shows. It consists of one vector for the frame, one for each scan
line, and, optionally, a smooth field.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import map_coordinates, spline_filter, zoom

# Order of the splines; a column with a sigma of 1 px or more is reproduced to 1 %.
_SPLINE_ORDER = 3
# Rounds in which the pixel that shows a point is found: a flyback of a quarter of a
# pixel per pixel is inverted to 0.001 px.
_N_ROUNDS = 5
# A sample with a larger share of unknown pixels among its nearest four is unknown.
_UNKNOWN_SHARE = 1e-3


@dataclass(frozen=True)
class Displacement:
    """Displacement of a frame: of the whole, of its lines, and of its blocks.

    Parameters
    ----------
    shift : ndarray of shape (2,)
        Displacement ``(row, col)`` of the frame, px.
    lines : ndarray of shape (n_rows, 2) or None, default=None
        Additional displacement of each scan line, px; None for none.
    field : ndarray of shape (2, n_block_rows, n_block_cols) or None, default=None
        Additional smooth displacement, px, on a coarse grid over the frame.
    flyback : ndarray of shape (n_cols,) or None, default=None
        Additional displacement of each pixel of a line along the line, px.
    first : int, default=0
        First pixel of the lines that is used.
    """

    shift: np.ndarray
    lines: np.ndarray | None = None
    field: np.ndarray | None = None
    flyback: np.ndarray | None = None
    first: int = 0

    @property
    def is_rigid(self):
        """Whether the whole frame is displaced alike."""
        return self.lines is None and self.field is None and self.flyback is None

    def of_lines(self, n_rows):
        """Return the displacement of each scan line, (n_rows, 2), without the rest."""
        lines = np.broadcast_to(self.shift, (n_rows, 2))
        return lines if self.lines is None else lines + self.lines

    def of_pixels(self, shape):
        """Return the displacement of each pixel, rows and columns, px."""
        lines = self.of_lines(shape[0])
        row, col = lines[:, :1], lines[:, 1:]
        if self.flyback is not None:
            col = col + self.flyback
        if self.field is None:
            return row, col
        field = [enlarge(part, shape) for part in self.field]
        return row + field[0], col + field[1]


def field_of(displacement, shape):
    """Return the displacement of every pixel of a frame.

    Parameters
    ----------
    displacement : Displacement
        Of the frame.
    shape : tuple of int
        Shape of the frame.

    Returns
    -------
    field : ndarray of shape (2, n_rows, n_cols)
        Displacement ``(row, col)``, px.
    """
    parts = displacement.of_pixels(shape)
    return np.array([np.broadcast_to(part, shape) for part in parts])


def enlarge(coarse, shape):
    """Interpolate a coarse grid linearly to the shape of an image."""
    factors = [n / m for n, m in zip(shape, coarse.shape, strict=True)]
    return zoom(coarse, factors, order=1, mode="nearest", grid_mode=True)


def to_frame(template, displacement, shape, origin):
    """Sample an image of the specimen where the pixels of a frame lie.

    Parameters
    ----------
    template : ndarray of shape (n_rows, n_cols)
        Image of the specimen.
    displacement : Displacement
        Of the frame.
    shape : tuple of int
        Shape of the frame.
    origin : ndarray of shape (2,)
        Point of the specimen that the first pixel of `template` shows, px.

    Returns
    -------
    image : ndarray of shape `shape`
        The template in the frame's pixels; NaN outside of it.
    """
    if displacement.is_rigid:
        return _sample_shifted(template, displacement.shift - origin, shape)
    row, col = displacement.of_pixels(shape)
    rows = np.arange(shape[0])[:, None] + row - origin[0]
    cols = np.arange(shape[1])[None, :] + col - origin[1]
    return _sample(template, *np.broadcast_arrays(rows, cols))


def to_specimen(frame, displacement, shape, origin):
    """Resample a frame on the pixel grid of the specimen.

    The lines of the frame are first displaced along themselves and then interpolated
    across, because neighbouring lines have different displacements.

    Parameters
    ----------
    frame : ndarray of shape (n_rows, n_cols)
        The frame.
    displacement : Displacement
        Of the frame.
    shape : tuple of int
        Shape of the result.
    origin : ndarray of shape (2,)
        Point of the specimen that the first pixel of the result shows, px.

    Returns
    -------
    image : ndarray of shape `shape`
        The frame on the grid of the specimen; NaN where it shows nothing.
    """
    n_rows, n_cols = frame.shape
    if displacement.is_rigid:
        return _sample_shifted(frame, origin - displacement.shift, shape)
    rows = np.arange(shape[0]) + origin[0]
    cols = np.arange(shape[1]) + origin[1]
    # Lines along themselves, on the columns of the result.
    row, col = replace(displacement, flyback=None).of_pixels(frame.shape)
    line = np.broadcast_to(np.arange(n_rows)[:, None], (n_rows, shape[1]))
    if displacement.field is None:
        place = cols[None, :] - col
    else:
        # The field varies little over its own length: one step of the inverse.
        nearest = np.rint(cols - displacement.shift[1]).astype(int)
        nearest = np.clip(nearest, 0, n_cols - 1)
        place = cols[None, :] - col[:, nearest]
        row = row[:, nearest]
    if displacement.flyback is not None:
        place = _invert_flyback(place, displacement.flyback)
    straight = _sample(frame, line, place)
    # Along the slow scan direction: the line at each row of the result, from the sorted
    # positions of the lines.
    where = np.arange(n_rows)[:, None] + row
    if where.shape[1] == 1:
        index = invert_lines(where[:, 0], rows)[:, None]
    else:
        # Lines keep their order: the field is smooth, and common to all columns' sort.
        mean = invert_lines(where.mean(axis=1), rows)
        near = np.clip(np.rint(np.nan_to_num(mean)).astype(int), 0, n_rows - 1)
        index = mean[:, None] - (where - where.mean(axis=1, keepdims=True))[near]
    index = np.broadcast_to(index, shape)
    column = np.broadcast_to(np.arange(shape[1])[None, :], shape)
    return _sample(straight, index, column)


def _invert_flyback(place, flyback):
    """Return the pixels of a line that show places, with the flyback."""
    pixels = np.arange(len(flyback))
    result = place
    for _ in range(_N_ROUNDS):
        result = place - np.interp(result, pixels, flyback)
    return result


def invert_lines(places, rows):
    """Return the fractional index of the line that lies at each row, NaN outside."""
    order = np.maximum.accumulate(places) + 1e-9 * np.arange(len(places))
    return np.interp(rows, order, np.arange(len(places)), left=np.nan, right=np.nan)


def _sample(image, row, col):
    """Interpolate an image at positions; NaN outside of its pixel centres."""
    coefficients, unknown = _coefficients(image)
    with np.errstate(invalid="ignore"):
        inside = (row >= 0) & (row <= image.shape[0] - 1)
        inside &= (col >= 0) & (col <= image.shape[1] - 1)
    place = [np.nan_to_num(row, nan=0.0), np.nan_to_num(col, nan=0.0)]
    settings = {"output": np.float32, "mode": "mirror"}
    sampled = map_coordinates(
        coefficients, place, order=_SPLINE_ORDER, prefilter=False, **settings
    )
    if unknown is not None:
        inside &= map_coordinates(unknown, place, order=1, **settings) < _UNKNOWN_SHARE
    return np.where(inside, sampled, np.float32(np.nan))


def _sample_shifted(image, first, shape):
    """Interpolate an image on a grid of a shape whose first pixel lies at `first`."""
    start = np.floor(first).astype(int)
    part = np.asarray(first, dtype=float) - start
    unknown = ~np.isfinite(image)
    unknown = unknown.astype(np.float32) if unknown.any() else None
    if part.any():
        coefficients, unknown = _coefficients(image)
        sampled = _weighted(coefficients, start - 1, shape, map(_cubic_weights, part))
    else:
        whole = np.ones((2, 1))
        filled = image if unknown is None else np.where(unknown, 0, image)
        sampled = _weighted(filled, start, shape, whole)
    inside = [
        (np.arange(n) + place >= 0) & (np.arange(n) + place <= m - 1)
        for n, place, m in zip(shape, first, image.shape, strict=True)
    ]
    inside = np.logical_and.outer(*inside)
    if unknown is not None:
        linear = ((1 - t, t) for t in part)
        inside &= _weighted(unknown, start, shape, linear) < _UNKNOWN_SHARE
    return np.where(inside, sampled, np.float32(np.nan))


def _cubic_weights(part):
    """Return the weights of four spline coefficients at a fraction of a pixel."""
    t = part
    weights = (1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1
    return np.array([*weights, t**3]) / 6


def _weighted(image, start, shape, weights):
    """Sum displaced copies of an image along both axes, mirrored at the borders."""
    result = image
    for axis, (first, n, own) in enumerate(zip(start, shape, weights, strict=True)):
        period = max(1, 2 * (image.shape[axis] - 1))
        place = np.abs(np.arange(first, first + n + len(own) - 1)) % period
        place = np.minimum(place, period - place)
        source = np.take(result, np.minimum(place, image.shape[axis] - 1), axis=axis)
        total = np.zeros((n, source.shape[1]) if axis == 0 else (len(source), n), "f4")
        for shift, weight in enumerate(own):
            part = slice(shift, shift + n)
            total += np.float32(weight) * (
                source[part] if axis == 0 else source[:, part]
            )
        result = total
    return result


def _coefficients(image):
    """Return the spline coefficients of an image and where it is unknown, if it is."""
    unknown = ~np.isfinite(image)
    if unknown.any():
        mean = 0.0 if unknown.all() else image[~unknown].mean()
        image = np.where(unknown, mean, image)
    else:
        unknown = None
    coefficients = spline_filter(
        image, order=_SPLINE_ORDER, output=np.float32, mode="mirror"
    )
    return coefficients, None if unknown is None else unknown.astype(np.float32)
