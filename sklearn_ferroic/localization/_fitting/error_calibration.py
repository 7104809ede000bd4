"""Calibration of the errors of fitted columns on the residual image.

A fit absorbs residuals that move a column, but not those that deform it. Noise in the
band of the columns has both components: the residual is projected on quadrupoles and
hexapoles under the columns, and the ratio of the mean squares of these projections to
those of white noise of the estimated variance is the factor by which errors exceed the
Cramér-Rao bound. That includes noise that is correlated between pixels or has another
variance than assumed, and columns that are not Gaussian.
"""

import numpy as np
from skimage.filters import threshold_otsu

# Columns whose residual is projected, at most: 600 determine the errors to 3 %.
N_PROJECTED = 600
# With fewer columns, the noise in the band of the columns is a better estimate.
_MIN_COLUMNS = 20
# Kinds of columns are calibrated separately if their heights differ by this factor
# and their calibrations by this number of standard errors.
_MIN_CONTRAST = 1.3
MIN_SIGNIFICANCE = 3.0
# Range of the calibration of variances.
_RANGE = (0.02, 50.0)
# Squares beyond this multiple of the median belong to defects: of a normal distribution
# one in a million.
MAX_RELATIVE_SQUARE = 50.0


def project_residual(windows, pixels, state):
    """Project the residual on deformations of columns that are not fitted.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    pixels : Pixels
        Residual and weights of the pixels, of the final model.
    state : ColumnState
        The columns.

    Returns
    -------
    rows : ndarray of int of shape (m,)
        The columns that were evaluated.
    projections : ndarray of shape (m, 4)
        On two quadrupoles and two hexapoles, over their expected standard deviations.
    """
    good = windows.whole & ~state.is_rejected & np.isfinite(state.std).all(axis=1)
    rows = np.flatnonzero(good)
    rows = rows[:: max(1, len(rows) // N_PROJECTED)]
    projections = np.empty((len(rows), 4))
    done = 0
    for part in windows.chunks(rows):
        table = state.table.take(part)
        offset = (windows.anchor[part] - table.positions).astype(np.float32)
        sigma = table.sigma[:, None].astype(np.float32)
        u = (windows.row_step.astype(np.float32) + offset[:, :1]) / sigma
        v = (windows.col_step.astype(np.float32) + offset[:, 1:]) / sigma
        values = windows.values(state.table, part) * windows.disc
        weighted = windows.cut(pixels.weighted, part) * values
        weight = windows.cut(pixels.weight, part) * values**2
        uu, vv = u * u, v * v
        hexapoles = (v * (vv - 3 * uu), u * (3 * vv - uu))
        # Elliptical columns have their quadrupoles fitted.
        quadrupoles = hexapoles if state.fits_shape else (vv - uu, 2 * u * v)
        modes = (*quadrupoles, *hexapoles)
        for number, mode in enumerate(modes):
            power = np.einsum("np,np->n", weight, mode * mode)
            projections[done : done + len(part), number] = np.einsum(
                "np,np->n", weighted, mode
            ) / np.sqrt(np.maximum(power, 1e-30))
        done += len(part)
    return rows, projections


def error_scale(amplitude, modes, inflation):
    """Compute factors for the standard errors of columns.

    Parameters
    ----------
    amplitude : ndarray of shape (n,)
        Amplitudes of all columns of an image.
    modes : ndarray of shape (m, 5)
        Amplitude of columns, and the projections of their residual.
    inflation : float
        Factor if there are too few of these.

    Returns
    -------
    scale : ndarray of shape (n,)
        Positive factors, one for each kind of column.
    """
    if len(modes) < _MIN_COLUMNS:
        return np.full(len(amplitude), inflation)
    ratio, _ = _variance_ratio(modes)
    scale = np.full(len(amplitude), ratio)
    limit = _height_limit(modes[:, 0])
    kinds = [modes[modes[:, 0] <= limit], modes[modes[:, 0] > limit]]
    if min(map(len, kinds)) >= _MIN_COLUMNS:
        (faint, faint_std), (bright, bright_std) = map(_variance_ratio, kinds)
        difference = np.abs(np.log(faint / bright))
        if difference > MIN_SIGNIFICANCE * np.hypot(faint_std, bright_std):
            scale = np.where(amplitude > limit, bright, faint)
    return np.sqrt(scale)


def split_by_height(amplitude):
    """Return which columns are of the brighter of two kinds; all if there is one."""
    return amplitude > _height_limit(amplitude)


def _height_limit(amplitude):
    """Return the height between two kinds of columns, -inf if there is one kind."""
    height = np.log(amplitude[amplitude > 0])
    if len(height) < 2 or np.ptp(height) < np.log(_MIN_CONTRAST):
        return -np.inf
    limit = threshold_otsu(height)
    contrast = np.median(height[height > limit]) - np.median(height[height <= limit])
    return np.exp(limit) if contrast > np.log(_MIN_CONTRAST) else -np.inf


def _variance_ratio(modes):
    """Return the ratio of variances, and the standard error of its logarithm.

    Noise that is correlated over a distance b changes projections of order k by the
    factor (sigma² / (sigma² + b²))^(k + 1): from orders two and three follows order
    one, in which columns move.
    """
    # Deformations that all columns of a kind have in common displace none of them.
    squares = (modes[:, 1:] - np.median(modes[:, 1:], axis=0)) ** 2
    quadrupole, hexapole = _clipped_mean(squares[:, :2]), _clipped_mean(squares[:, 2:])
    # Two projections of a column of either order.
    std = 1 / np.sqrt(len(modes))
    step = np.log(quadrupole / hexapole)
    ratio = quadrupole
    if np.abs(step) > MIN_SIGNIFICANCE * np.sqrt(2) * std:
        ratio = quadrupole * np.exp(step)
        std = std * np.sqrt(5)
    return float(np.clip(ratio, *_RANGE)), std


def _clipped_mean(values):
    limit = MAX_RELATIVE_SQUARE * max(float(np.median(values)), 1e-30)
    return max(float(np.minimum(values, limit).mean()), 1e-30)
