"""Displacements of single scan lines by the pixels of the other scans.

Columns measure the displacement of the lines only as a mean over the lines that cross
a column. The other scans, resampled on the pixels of one, show what each of its lines
would be without its own jitter, so that least squares determine the displacement of the
line. Its excess over the noise is the jitter of single lines.
"""

import numpy as np
from joblib import Parallel, delayed
from scipy.ndimage import map_coordinates, spline_filter

from ..._utils.robust import TINY
from .._alignment import MAX_STEP_SPACINGS, compare, smooth_template
from .._resample import invert_lines

# Length of the blocks of a line that measure it separately, in spacings, and the fewest
# lines by which the jitter is estimated.
_BLOCK_SPACINGS = 3.0
_MIN_LINES = 20
# Lines of a smaller share of the mean weight show no column.
_MIN_WEIGHT_SHARE = 1e-3


def refine_lines(scans, spacing, n_jobs=None):
    """Return the displacements of single lines of each scan.

    Parameters
    ----------
    scans : list of Scan
        Scans whose lines are estimated by columns, at least two.
    spacing : float
        Distance of nearest columns, px.
    n_jobs : int, default=None
        Scans processed at a time, in threads.

    Returns
    -------
    shifts : list of ndarray of shape (n_rows, 2)
        Displacements of the lines, px.
    stds : list of ndarray of shape (n_rows, 2)
        Standard errors of the part that columns do not measure, px.
    """
    coefficients = [
        spline_filter(scan.image.astype(np.float32), output=np.float32, mode="mirror")
        for scan in scans
    ]
    parallel = Parallel(n_jobs=n_jobs, prefer="threads")
    found = parallel(
        delayed(_refine_one)(scan, scans, coefficients, spacing) for scan in scans
    )
    shifts, stds = zip(*found, strict=True)
    return list(shifts), list(stds)


def _refine_one(scan, scans, coefficients, spacing):
    """Return the displacements of single lines of one scan, and their errors."""
    total, count = np.zeros((2, *scan.image.shape), dtype=np.float32)
    for other, known in zip(scans, coefficients, strict=True):
        if other is not scan:
            part = _seen_by(scan, other, known)
            seen = np.isfinite(part)
            total += np.where(seen, part, 0)
            count += seen
    template = np.full(scan.image.shape, np.nan, dtype=np.float32)
    np.divide(total, count, out=template, where=count > 0)
    model = smooth_template(template, spacing)
    misfit = compare(scan.image, None, model, spacing)
    steps = [
        _jitter(gradient, misfit.residual, spacing)
        for gradient in (misfit.row, misfit.col)
    ]
    shift = scan.shift + np.stack([step for step, _ in steps], axis=1)
    return shift, np.stack([std for _, std in steps], axis=1)


def _seen_by(scan, other, coefficients):
    """Interpolate another scan at the points that the pixels of a scan show."""
    n_rows, n_cols = scan.image.shape
    matrix = scan.matrix.T @ other.matrix
    row = np.arange(n_rows) + scan.shift[:, 0] - scan.center[0]
    col = np.arange(n_cols) - scan.center[1]
    # Points of line r: (row[r], col + shift[r]) about the centre, in the other scan.
    upright = [
        (row * matrix[0, axis] + scan.shift[:, 1] * matrix[1, axis])[:, None]
        + col * matrix[1, axis]
        + other.center[axis]
        for axis in range(2)
    ]
    lines = np.arange(len(other.shift))
    line = invert_lines(lines + other.shift[:, 0], upright[0])
    along = upright[1] - np.interp(line, lines, other.shift[:, 1])
    known = np.isfinite(line) & (along >= 0) & (along <= other.image.shape[1] - 1)
    sampled = map_coordinates(
        coefficients,
        [np.where(known, line, 0), np.where(known, along, 0)],
        output=np.float32,
        mode="mirror",
        prefilter=False,
    )
    return np.where(known, sampled, np.float32(np.nan))


def _jitter(gradient, residual, spacing):
    """Return the most probable displacement of each line, and its standard error.

    Two parts of every line, blocks that alternate along it, measure the displacement
    separately. Their covariance over the lines is the variance of the jitter, and their
    difference is the noise, which includes errors of the template.
    """
    n_cols = gradient.shape[1]
    block = max(2, round(_BLOCK_SPACINGS * spacing))
    in_first = np.arange(n_cols) // block % 2 == 0
    parts = [_step(gradient[:, own], residual[:, own]) for own in (in_first, ~in_first)]
    weight = parts[0][1] + parts[1][1]
    lowest = max(weight.mean() * _MIN_WEIGHT_SHARE, TINY)
    step = sum(step * own for step, own in parts) / np.maximum(weight, lowest)
    pair = parts[0][1] * parts[1][1] / np.maximum(weight, lowest)
    measured = (weight > lowest) & (np.abs(step) < MAX_STEP_SPACINGS * spacing)
    for one, _ in parts:
        measured &= np.abs(one) < MAX_STEP_SPACINGS * spacing
    if np.count_nonzero(measured) < _MIN_LINES:
        return np.zeros(len(step)), np.zeros(len(step))
    first, second, pair = parts[0][0][measured], parts[1][0][measured], pair[measured]
    variance = max(0.0, np.sum(pair * first * second) / pair.sum())
    # The variance of the difference is 1 / pair for independent pixels.
    excess = max(1.0, float(np.mean(pair * (first - second) ** 2)))
    weight = weight / excess
    kept = np.where(measured, variance * weight / (1 + variance * weight), 0.0)
    return kept * step, np.sqrt(variance * (1 - kept))


def _step(gradient, residual):
    """Return the displacement of each line by least squares, and its weight."""
    weight = np.square(gradient).sum(axis=1, dtype=float)
    product = (gradient * residual).sum(axis=1, dtype=float)
    return product / np.maximum(weight, TINY), weight
