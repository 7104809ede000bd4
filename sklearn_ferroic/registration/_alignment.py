"""Displacements of a frame, its lines and its blocks against a template.

All follow from one linear least-squares problem (Lucas and Kanade): to first order the
frame exceeds the displaced template by its gradient times the remaining displacement.
The sums over all pixels determine the shift, those over a line the displacement of the
line, and those over a window a smooth field.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from .._utils.robust import TINY
from ._rigid_shift import SMOOTHING_SPACINGS

# Template and gradient are smoothed by this share of the spacing: less than a column.
_TEMPLATE_SMOOTHING_SPACINGS = 0.08
# Displacements of the lines that are coherent over this number of spacings are drift,
# the others jitter.
_DRIFT_SPACINGS = 1.5
# Standard deviation of the window of the smooth field, and its expected size: what the
# lines leave is small.
_WINDOW_SPACINGS = 3.0
_FIELD_PX = 0.3
# Levels of brightness at which the noise is measured, and the smallest variance of a
# pixel as a share of the mean.
_N_LEVELS = 12
_MIN_VARIANCE_SHARE = 0.1
# Pixels by which they are measured, at most: more do not improve them.
_MAX_SAMPLED_PX = 200_000
# Steps are linear only within the flank of a column.
MAX_STEP_SPACINGS = 0.1


@dataclass(frozen=True)
class Misfit:
    """Gradient products of a frame against its template, pixel by pixel.

    Parameters
    ----------
    row, col : ndarray of shape (n_rows, n_cols)
        Gradient of the template, scaled to the frame, over the noise of the pixel;
        0 where either is unknown.
    residual : ndarray of shape (n_rows, n_cols)
        Frame minus scaled template, over the noise of the pixel.
    contrast : float
        Factor of the template in the frame.
    variance : float
        Mean square of the frame minus the scaled template.
    noise : ndarray of shape (2,)
        Variance of a pixel, ``noise[0] + noise[1] * mean``.
    correlation : float
        Correlation of frame and template, both smoothed.
    overlap : float
        Share of the frame's pixels that the template covers.
    """

    row: np.ndarray
    col: np.ndarray
    residual: np.ndarray
    contrast: float
    variance: float
    noise: np.ndarray
    correlation: float
    overlap: float


def smooth_template(template, spacing):
    """Return a template, slightly smoothed along the lines, and its gradient.

    Parameters
    ----------
    template : ndarray of shape (n_rows, n_cols)
        Image of the specimen, NaN where it is unknown.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    model, row, col : ndarray of shape (n_rows, n_cols), float32
        NaN where the template is unknown, and where its gradient is.
    """
    filled = blur_template(template, spacing, along_lines=True)
    return filled, *np.gradient(filled)


def blur_template(template, spacing, along_lines=False):
    """Return a slightly smoothed template, NaN where it is unknown.

    Parameters
    ----------
    template : ndarray of shape (n_rows, n_cols)
        Image of the specimen, NaN where it is unknown.
    spacing : float
        Distance of nearest columns, px.
    along_lines : bool, default=False
        Whether to smooth along the scan lines only. A template with taller columns than
        the frame would displace the lines above and below the centre of a column.

    Returns
    -------
    filled : ndarray of shape (n_rows, n_cols), float32
        The smoothed template.
    """
    known = np.isfinite(template)
    mean = template[known].mean() if known.any() else 0.0
    width = _TEMPLATE_SMOOTHING_SPACINGS * spacing
    filled = gaussian_filter(
        np.where(known, template, mean), (0.0 if along_lines else width, width)
    )
    return np.where(known, filled, np.nan).astype(np.float32)


def compare(frame, good, template, spacing):
    """Return the misfit of a frame against the template in its pixels.

    Parameters
    ----------
    frame : ndarray of shape (n_rows, n_cols)
        The frame.
    good : ndarray of bool of the same shape or None
        Its good pixels.
    template : tuple of three ndarray of the same shape
        Result of `smooth_template` at the frame's pixels; NaN where it is unknown.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    misfit : Misfit
        The misfit.
    """
    # The gradient is unknown next to pixels that are.
    usable = np.isfinite(template[0])
    for part in template[1:]:
        usable &= np.isfinite(part)
    if good is not None:
        usable &= good
    n_usable = np.count_nonzero(usable)
    # Pixels evenly spread over the frame, by which levels and noise are measured.
    spread = np.flatnonzero(usable)[:: max(1, n_usable // _MAX_SAMPLED_PX)]
    model = np.where(usable, template[0], 0)
    if n_usable < 2 or not np.ptp(model.ravel()[spread]):
        nothing = np.zeros(frame.shape, dtype=np.float32)
        return Misfit(nothing, nothing, nothing, 0.0, 1.0, np.zeros(2), 0.0, 0.0)
    seen = np.where(usable, frame, 0)
    x_mean, y_mean = (
        np.float32(part.sum(dtype=float) / n_usable) for part in (model, seen)
    )
    model -= np.where(usable, x_mean, 0)
    seen -= np.where(usable, y_mean, 0)
    x_power = _dot(model, model)
    contrast = _dot(model, seen) / x_power
    residual = seen - np.float32(contrast) * model
    variance = _dot(residual, residual) / n_usable
    smooth = gaussian_filter(seen, SMOOTHING_SPACINGS * spacing)
    smooth -= np.float32(smooth.sum(where=usable, dtype=float) / n_usable)
    smooth[~usable] = 0
    norm = np.sqrt(x_power * _dot(smooth, smooth))
    correlation = _dot(smooth, model) / max(norm, TINY)
    model *= np.float32(contrast)
    model += y_mean
    noise = _noise_line(model.ravel()[spread], np.square(residual.ravel()[spread]))
    lowest = _MIN_VARIANCE_SHARE * variance
    scale = noise[0] + noise[1] * model
    scale = 1 / np.sqrt(np.maximum(scale, max(lowest, TINY), dtype=np.float32))
    residual *= scale
    scale *= np.float32(contrast)
    row, col = (np.where(usable, scale * part, 0) for part in template[1:])
    return Misfit(
        row.astype(np.float32, copy=False),
        col.astype(np.float32, copy=False),
        residual.astype(np.float32, copy=False),
        float(contrast),
        float(variance),
        noise,
        float(correlation),
        n_usable / frame.size,
    )


def _dot(first, second):
    """Return the sum of the products of two images, added row by row."""
    return float(np.einsum("ij,ij->i", first, second).sum(dtype=float))


def _noise_line(model, square):
    """Fit a line to the mean square of the residual as a function of the model."""
    edges = np.quantile(model, np.linspace(0, 1, _N_LEVELS + 1))
    level = np.searchsorted(edges[1:-1], model)
    count = np.bincount(level, minlength=_N_LEVELS)
    some = count > 0
    mean, power = (
        np.bincount(level, values, minlength=_N_LEVELS)[some] / count[some]
        for values in (model, square)
    )
    if np.ptp(mean) == 0:
        return np.array([power.mean(), 0.0])
    slope, constant = np.polyfit(
        mean, power, 1, w=np.sqrt(count[some]) / power.clip(TINY)
    )
    return np.array([constant, slope]) if slope > 0 else np.array([square.mean(), 0.0])


def whole_step(misfit, spacing):
    """Return the step of the whole frame and its standard error, px.

    Parameters
    ----------
    misfit : Misfit
        Result of `compare`.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    step, std : ndarray of shape (2,)
        To be added to the displacement; the error that follows from the noise.
    """
    row, col, residual = misfit.row, misfit.col, misfit.residual
    across = _dot(row, col)
    matrix = np.array([[_dot(row, row), across], [across, _dot(col, col)]])
    if np.linalg.matrix_rank(matrix, hermitian=True) < 2:
        return np.zeros(2), np.full(2, np.inf)
    inverse = np.linalg.inv(matrix)
    step = inverse @ [_dot(row, residual), _dot(col, residual)]
    limit = MAX_STEP_SPACINGS * spacing
    return np.clip(step, -limit, limit), np.sqrt(np.diag(inverse))


def line_displacements(misfit, current, spacing):
    """Return the most probable displacement of each line.

    Each line has a displacement of its own with the variance of the noise. Its slowly
    varying part is drift; the rest is jitter whose variance is that by which the lines
    scatter beyond the noise, and each line is drawn towards the drift accordingly.

    Parameters
    ----------
    misfit : Misfit
        Result of `compare` at the current displacement.
    current : ndarray of shape (n_rows, 2)
        Present displacements of the lines, px.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    lines : ndarray of shape (n_rows, 2)
        New displacements, with a mean of 0, px.
    std : ndarray of shape (n_rows, 2)
        Their standard errors, px.
    """
    lines, errors = np.empty_like(current), np.empty_like(current)
    limit = MAX_STEP_SPACINGS * spacing
    width = _DRIFT_SPACINGS * spacing
    for axis, gradient in enumerate((misfit.row, misfit.col)):
        weight = np.square(gradient).sum(axis=1, dtype=float)
        floor = max(weight.mean() * 1e-6, TINY)
        step = (gradient * misfit.residual).sum(axis=1, dtype=float)
        step = np.clip(step / np.maximum(weight, floor), -limit, limit)
        measured = current[:, axis] + step
        drift, drift_variance = _smooth(measured, weight, width)
        rest = measured - drift
        jitter = np.sum(weight * rest**2) - np.count_nonzero(weight > floor)
        jitter = max(0.0, jitter / max(weight.sum(), floor))
        kept = jitter * weight / (1 + jitter * weight)
        lines[:, axis] = drift + kept * rest
        errors[:, axis] = np.sqrt(drift_variance + jitter * (1 - kept))
    return lines - lines.mean(axis=0), errors


def _smooth(values, weight, width):
    """Return the weighted local mean of the values of the lines, and its variance."""
    total = gaussian_filter1d(weight, width, mode="constant")
    floor = max(total.max() * 1e-6, TINY)
    mean = gaussian_filter1d(weight * values, width, mode="constant")
    # The kernel's effective number of lines is 2 sqrt(pi) times its width.
    effective = np.maximum(total, floor) * 2 * np.sqrt(np.pi) * width
    return mean / np.maximum(total, floor), 1 / effective


def field_step(misfit, spacing):
    """Return a smooth field of displacements that the lines have left.

    Parameters
    ----------
    misfit : Misfit
        Result of `compare` at the current displacement.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    field : ndarray of shape (2, n_block_rows, n_block_cols)
        Steps ``(row, col)`` on a grid of one point per spacing, px.
    """
    width = _WINDOW_SPACINGS * spacing
    # Sums over the window's effective area, with the prior on the diagonal.
    factor = 4 * np.pi * width**2

    def window(product):
        return _coarsen(gaussian_filter(product, width, mode="constant"), spacing)

    row, col, residual = misfit.row, misfit.col, misfit.residual
    a = factor * window(row * row) + 1 / _FIELD_PX**2
    b = factor * window(row * col)
    c = factor * window(col * col) + 1 / _FIELD_PX**2
    p, q = factor * window(row * residual), factor * window(col * residual)
    determinant = a * c - b * b
    return np.array([c * p - b * q, a * q - b * p]) / determinant


def _coarsen(image, spacing):
    """Sample a smooth image on a grid of about one point per spacing."""
    index = []
    for n in image.shape:
        points = max(2, round(n / spacing))
        index.append(np.minimum((np.arange(points) + 0.5) * n / points, n - 1))
    return image[np.ix_(*(part.astype(int) for part in index))]
