"""Residual image: the image minus its fitted columns and a smooth background."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from ..._utils.robust import STD_PER_MEDIAN

# Columns are rendered up to this many sigmas from their centres.
_REACH_SIGMA = 4.5
# Columns rendered at a time, which bounds the memory.
_CHUNK_COLUMNS = 4000
# Amplitudes are fitted in a disc of this many sigmas, at offsets up to that many.
_DISC_SIGMA = 2.2
_SEARCH_SIGMA = 0.7
_N_NEAR = 24
# Local background: the image minus its columns, smoothed over this many spacings.
_BACKGROUND_SPACINGS = 1.5
# Narrower columns are a pixel or two.
_MIN_SIGMA_PX = 1.0
# The band of the columns: what a Gaussian filter of their sigma passes minus what one
# of this many times their sigma passes.
_BAND_RATIO = 1.6
# Gain of the filter [1, -2, 1] x [1, -2, 1], which passes noise and little structure.
_LAPLACIAN_GAIN = 6.0


class Columns(NamedTuple):
    """Positions and shapes of columns.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Centres, px.
    amplitude, sigma : ndarray of shape (n,)
        Height, units of the image, and geometric mean of the Gaussian sigmas, px.
    ellipticity, ellipse_rotation : ndarray of shape (n,)
        Long over short axis and angle of the long axis; NaN for round columns.
    """

    positions: np.ndarray
    amplitude: np.ndarray
    sigma: np.ndarray
    ellipticity: np.ndarray
    ellipse_rotation: np.ndarray

    def take(self, rows):
        """Return some of the columns, by index or mask."""
        return Columns(*(part[rows] for part in self))

    def drawable(self):
        """Return the columns with a known height and sigma."""
        return self.take(np.isfinite(self.amplitude) & (self.sigma > 0))

    def quadratic(self):
        """Return the coefficients of row², row·col and col² of the exponents."""
        ratio = np.where(np.isfinite(self.ellipticity), self.ellipticity, 1.0)
        angle = np.nan_to_num(self.ellipse_rotation)
        along = 0.5 / (self.sigma**2 * ratio)
        across = 0.5 * ratio / self.sigma**2
        sin, cos = np.sin(angle), np.cos(angle)
        return (
            along * sin**2 + across * cos**2,
            2 * (along - across) * sin * cos,
            along * cos**2 + across * sin**2,
        )


def render_columns(shape, columns):
    """Sum Gaussian columns over an image.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    columns : Columns
        The columns; those of unknown height or sigma are omitted.

    Returns
    -------
    total : ndarray of shape (n_rows, n_cols)
        The sum, float32.
    """
    columns = columns.drawable()
    total = np.zeros(shape[0] * shape[1])
    if not len(columns.positions):
        return total.reshape(shape).astype(np.float32)
    # Few columns are much wider than the others: render them in order of size.
    reach = np.ceil(
        _REACH_SIGMA
        * columns.sigma
        * np.sqrt(np.nan_to_num(columns.ellipticity, nan=1))
    ).astype(np.intp)
    order = np.argsort(reach, kind="stable")
    for first in range(0, len(order), _CHUNK_COLUMNS):
        part = columns.take(order[first : first + _CHUNK_COLUMNS])
        radius = reach[order[first : first + _CHUNK_COLUMNS]].max()
        center = np.rint(part.positions).astype(np.intp)
        step = np.arange(-radius, radius + 1)
        row, col = center[:, 0, None] + step, center[:, 1, None] + step
        d_row = (row - part.positions[:, :1]).astype(np.float32)
        d_col = (col - part.positions[:, 1:]).astype(np.float32)
        q_row, q_cross, q_col = (
            q.astype(np.float32)[:, None] for q in part.quadratic()
        )
        if np.isfinite(part.ellipticity).any():
            exponent = (q_row * d_row**2)[:, :, None] + (q_col * d_col**2)[:, None, :]
            exponent += (q_cross * d_row)[:, :, None] * d_col[:, None, :]
            value = np.exp(-exponent) * part.amplitude[:, None, None].astype(np.float32)
        else:
            down = np.exp(-q_row * d_row**2) * part.amplitude[:, None].astype(
                np.float32
            )
            value = down[:, :, None] * np.exp(-q_col * d_col**2)[:, None, :]
        inside = ((row >= 0) & (row < shape[0]))[:, :, None]
        inside = inside & ((col >= 0) & (col < shape[1]))[:, None, :]
        pixel = (row * shape[1])[:, :, None] + col[:, None, :]
        total += np.bincount(pixel[inside], value[inside], minlength=total.size)
    return total.reshape(shape).astype(np.float32)


def residual_image(image, columns, spacing):
    """Subtract the columns and a smooth background from an image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    columns : Columns
        Its columns.
    spacing : float
        Distance of nearest neighbours, px.

    Returns
    -------
    residual : ndarray of shape (n_rows, n_cols)
        The residual image, float32.
    """
    rest = image - render_columns(image.shape, columns)
    rest -= gaussian_filter(rest, _BACKGROUND_SPACINGS * spacing)
    return rest.astype(np.float32)


def band_noise_ratio(image, residual, sigma):
    """Compute the residual in the band of the columns over the noise expected there.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    residual : ndarray of shape (n_rows, n_cols)
        The image less columns and background.
    sigma : float
        Typical sigma of the columns, px.

    Returns
    -------
    ratio : float
        Relative root mean square; about 1 if nothing but white noise is left. NaN
        without noise.
    """
    band = _band_pass(residual, sigma)
    # Noise from differences of neighbouring pixels, which contain little structure.
    second = np.diff(residual, 2, axis=0)
    second = np.diff(second, 2, axis=1)
    noise = np.sqrt(np.mean(second**2)) / _LAPLACIAN_GAIN
    if noise <= 1e-6 * np.std(image):
        return np.nan
    impulse = np.zeros((int(12 * sigma * _BAND_RATIO) | 1,) * 2, dtype=np.float32)
    impulse[len(impulse) // 2, len(impulse) // 2] = 1
    gain = np.sqrt(np.sum(_band_pass(impulse, sigma) ** 2))
    return float(np.sqrt(np.mean(band**2)) / (gain * noise))


def _band_pass(image, sigma):
    return gaussian_filter(image, sigma) - gaussian_filter(image, _BAND_RATIO * sigma)


def column_amplitudes(image, columns, positions, sigma, search=False):
    """Fit the amplitude of a column at given places, in addition to the known columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    columns : Columns
        The known columns, which are subtracted.
    positions : ndarray of shape (m, 2)
        Where to measure, px.
    sigma : ndarray of shape (m,)
        Width of the columns, px.
    search : bool, default=False
        Whether to search for the best position within 0.7 sigma.

    Returns
    -------
    amplitude, std : ndarray of shape (m,)
        Height of a Gaussian on a constant background and its standard error; NaN where
        it cannot be measured.
    offset : ndarray of shape (m, 2)
        Position of the column relative to `positions`, px; 0 without search.
    """
    amplitude, std = np.full((2, len(positions)), np.nan)
    offset = np.zeros((len(positions), 2))
    columns = columns.drawable()
    usable = np.flatnonzero(np.isfinite(sigma) & (sigma > 0))
    if not len(columns.positions) or not len(usable):
        return amplitude, std, offset
    tree = cKDTree(columns.positions)
    steps = _SEARCH_SIGMA * np.array([-1, -0.5, 0, 0.5, 1]) if search else [0.0]
    for first in range(0, len(usable), _CHUNK_COLUMNS):
        rows = usable[first : first + _CHUNK_COLUMNS]
        place, own_sigma = positions[rows], sigma[rows, None, None]
        d_row, d_col, values, weight = _windows(image, columns, tree, place, own_sigma)
        best = np.full(len(rows), -np.inf)
        for down in steps:
            for along in steps:
                shift = own_sigma * np.array([down, along])
                square = (d_row - shift[..., :1]) ** 2 + (d_col - shift[..., 1:]) ** 2
                height, error = _fit_height(values, weight, square, own_sigma)
                better = height > best
                best[better] = height[better]
                amplitude[rows[better]] = height[better]
                std[rows[better]] = error[better]
                offset[rows[better]] = shift[better, 0]
    return amplitude, std, offset


def _windows(image, columns, tree, place, sigma):
    """Cut discs of the image around places, minus the known columns."""
    radius = int(np.ceil(_DISC_SIGMA * sigma.max()))
    step = np.arange(-radius, radius + 1)
    pixel = np.rint(place).astype(np.intp)
    row, col = pixel[:, 0, None] + step, pixel[:, 1, None] + step
    d_row = (row - place[:, :1])[:, :, None]
    d_col = (col - place[:, 1:])[:, None, :]
    weight = (d_row**2 + d_col**2 <= (_DISC_SIGMA * sigma) ** 2).astype(float)
    weight *= ((row >= 0) & (row < image.shape[0]))[:, :, None]
    weight *= ((col >= 0) & (col < image.shape[1]))[:, None, :]
    values = image[
        np.clip(row, 0, image.shape[0] - 1)[:, :, None],
        np.clip(col, 0, image.shape[1] - 1)[:, None, :],
    ].astype(float)
    k = min(_N_NEAR, len(columns.positions))
    reach = radius + _REACH_SIGMA * np.median(columns.sigma)
    distance, near = tree.query(place, k=[*range(1, k + 1)])
    q_row, q_cross, q_col = columns.quadratic()
    for number in range(k):
        which = np.flatnonzero(distance[:, number] <= reach)
        if not len(which):
            break
        own = near[which, number]
        away = (columns.positions[own] - place[which])[:, :, None, None]
        y, x = d_row[which] - away[:, 0], d_col[which] - away[:, 1]
        exponent = q_row[own, None, None] * y**2 + q_col[own, None, None] * x**2
        exponent = exponent + q_cross[own, None, None] * y * x
        values[which] -= columns.amplitude[own, None, None] * np.exp(-exponent)
    return d_row, d_col, values, weight


def _fit_height(values, weight, square, sigma):
    """Fit a Gaussian of known place and sigma on a constant by least squares."""
    shape = np.exp(-0.5 * square / sigma**2)
    n = np.maximum(weight.sum(axis=(1, 2)), 1)
    level = (weight * values).sum(axis=(1, 2)) / n
    shape = shape - ((weight * shape).sum(axis=(1, 2)) / n)[:, None, None]
    values = values - level[:, None, None]
    power = (weight * shape**2).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        height = (weight * shape * values).sum(axis=(1, 2)) / power
        left = (weight * (values - height[:, None, None] * shape) ** 2).sum(axis=(1, 2))
        error = np.sqrt(left / np.maximum(n - 2, 1) / power)
    # Most of the disc must be on the image.
    known = n > 0.6 * np.pi * (_DISC_SIGMA * sigma[:, 0, 0]) ** 2
    return np.where(known, height, np.nan), np.where(known, error, np.nan)


def common_ellipticity(image, columns, n_most=2000):
    """Measure the elongation that is common to all columns of an image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    columns : Columns
        Its columns; ellipticities already fitted are added.
    n_most : int, default=2000
        Maximum number of columns that are used.

    Returns
    -------
    stretch : ndarray of shape (2,)
        Mean logarithm of long over short axis times (cos 2φ, sin 2φ), with φ the angle
        of the long axis from +col towards +row; NaN if it cannot be measured.
    std : float
        Standard error of its components.
    """
    columns = columns.drawable()
    # Columns of less than a pixel show no shape.
    columns = columns.take((columns.amplitude > 0) & (columns.sigma >= _MIN_SIGMA_PX))
    inner = columns.positions > _DISC_SIGMA * columns.sigma[:, None]
    inner &= columns.positions < np.array(image.shape) - 1 - (
        _DISC_SIGMA * columns.sigma[:, None]
    )
    rows = np.flatnonzero(inner.all(axis=1))
    rows = rows[:: max(1, -(-len(rows) // n_most))]
    if len(rows) < 3:
        return np.full(2, np.nan), np.nan
    part = columns.take(rows)
    sigma = part.sigma[:, None, None]
    tree = cKDTree(columns.positions)
    d_row, d_col, values, weight = _windows(image, columns, tree, part.positions, sigma)
    # First derivatives of the column with respect to the two components.
    shape = np.exp(-0.5 * (d_row**2 + d_col**2) / sigma**2)
    shape = weight * shape * part.amplitude[:, None, None] / (2 * sigma**2)
    stretch = np.empty((len(rows), 2))
    for number, moment in enumerate((d_col**2 - d_row**2, 2 * d_row * d_col)):
        kernel = shape * moment
        kernel -= (
            weight
            * (kernel.sum(axis=(1, 2)) / np.maximum(weight.sum(axis=(1, 2)), 1))[
                :, None, None
            ]
        )
        stretch[:, number] = (kernel * values).sum(axis=(1, 2)) / (kernel**2).sum(
            axis=(1, 2)
        )
    ratio = np.where(np.isfinite(part.ellipticity), part.ellipticity, 1.0)
    angle = 2 * np.nan_to_num(part.ellipse_rotation)
    stretch += np.log(ratio)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    median = np.median(stretch, axis=0)
    scatter = STD_PER_MEDIAN * np.median(np.abs(stretch - median), axis=0).mean()
    return median, float(1.25 * scatter / np.sqrt(len(rows)))
