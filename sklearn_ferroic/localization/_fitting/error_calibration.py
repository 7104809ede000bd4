"""Calibration of the errors of fitted columns on the residual image.

Standard errors of a fit assume that the noise of the pixels is independent and that
columns are as the model describes them. Neither is exact: scattering from amorphous
layers and thermal vibrations pass the same probe as the columns, detectors correlate
neighbouring pixels, and the intensity between columns is not a smooth background. Two
effects are measured in the residual image.

*Correlated noise.* A fit absorbs residuals that displace a column (order one), but not
those that deform it with a higher order. The mean squares of the projections of the
residual on these deformations, over those of white noise of the estimated variance, are

    R(k) = white + correlated * mean(q^(k - 1)),

because a Gaussian correlation over a length b reduces order k by the factor
q^(k + 1), q = sigma² / (sigma² + b²), and the noise has several correlation lengths.
R(1) is the factor of the variance of positions.
Deformations that neighbouring columns have in common do not count, nor does what has
one orientation only: mistilt and displaced neighbours deform columns, and scan lines
that are displaced relative to each other.

*Gradients under the columns.* What the model lacks, such as columns of oxygen,
displaces neighbouring columns alike. Positions from the centre of a column only are
displaced less, by a share that is known for a gradient of intensity. The difference of
the two positions, as far as neighbouring columns have it in common along rows and along
columns of the image, shows that displacement: noise differs from column to column, and
disturbances of the scan from line to line.
"""

import numpy as np
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from .settings import FITTING

_SETTINGS = FITTING.error_calibration
_SIMILAR = FITTING.similar_columns
_N_ORDERS = 3
# A gradient displaces a Gaussian column 16/7 times as far as it changes the position
# when pixels are weighted by the column once more.
_GRADIENT_RATIO = 16 / 7


def deformation_orders(fits_shape):
    """Return the orders of the deformations that a fit does not absorb.

    Parameters
    ----------
    fits_shape : bool
        Whether the columns are ellipses, which absorb quadrupoles.
    """
    return tuple(range(2 + fits_shape, 2 + fits_shape + _N_ORDERS))


def project_residual(windows, pixels, state, remaining=None):
    """Project the residual on deformations of columns that are not fitted.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    pixels : Pixels
        Residual and weights of the pixels, of the final model.
    state : ColumnState
        The columns.
    remaining : ndarray of shape (n, 3), default=None
        Share of the mean squares of each order that the fit leaves of white noise; 1
        if None.

    Returns
    -------
    modes : ndarray of shape (m, 19)
        Amplitude of columns; two projections for each of three orders, over their
        standard deviations for white noise; the row and col by which the position
        differs at the centre, over its standard error. The means of the projections
        over neighbouring columns of the same kind follow, and those of the positions
        over neighbours along rows and along columns of the image; NaN without any.
    """
    good = windows.whole & ~state.is_rejected & np.isfinite(state.std).all(axis=1)
    rows = _sample(np.flatnonzero(good), state.positions, state.spacing)
    own = np.empty((len(rows), 2 * _N_ORDERS + 2))
    orders = deformation_orders(state.fits_shape)
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
        block = own[done : done + len(part)]
        block[:, -2:] = _change_at_center(u, v, values, weighted, weight)
        place = v + 1j * u
        mode, square = place, u * u + v * v
        power = square
        for order in range(2, orders[-1] + 1):
            mode, power = mode * place, power * square
            if order in orders:
                number = 2 * (order - orders[0])
                # Both projections have half of the power.
                scale = np.sqrt(2 / np.maximum(_dot(weight, power), 1e-30))
                block[:, number] = _dot(weighted, mode.real) * scale
                block[:, number + 1] = _dot(weighted, mode.imag) * scale
        done += len(part)
    if remaining is not None:
        own[:, :-2] /= np.sqrt(np.repeat(remaining[rows], 2, axis=1))
    amplitude = state.table.amplitude[rows]
    around = _means_around(own, state.positions[rows], amplitude)
    return np.column_stack([amplitude, own, around])


def _dot(first, second):
    """Return the sums over the pixels of each window."""
    return np.einsum("np,np->n", first, second)


def _change_at_center(u, v, values, weighted, weight):
    """Return the change of positions, in standard errors, at more central weights."""
    change = []
    for step in (u, v):
        square = weight * (step * step)
        information = np.maximum(square.sum(axis=1), 1e-30)
        at_center = np.maximum(_dot(square, values), 1e-30)
        slope = weighted * step
        full = slope.sum(axis=1) / information
        change.append((_dot(slope, values) / at_center - full) * np.sqrt(information))
    return np.stack(change, axis=1)


def _sample(rows, positions, spacing):
    """Return the columns in some squares of the image, if there are many."""
    step = -(-len(rows) // _SETTINGS.n_projected_columns)
    if step < 2:
        return rows
    place = positions[rows] // (_SETTINGS.square_spacings * spacing)
    line, number = place.astype(np.intp).T
    return rows[(number + (step // 2 + 1) * line) % step == 0]


def _means_around(own, positions, amplitude):
    """Return the means over the nearest columns of similar amplitude; NaN if none."""
    n_nearest = min(_SIMILAR.n_nearest + 1, len(own))
    if n_nearest < 2:
        return np.full((len(own), own.shape[1] + 2), np.nan)
    _, near = cKDTree(positions).query(positions, n_nearest)
    height = np.log(np.maximum(amplitude, 1e-30))[near]
    similar = np.abs(height[:, 1:] - height[:, :1]) < _SIMILAR.max_log_ratio
    similar &= np.cumsum(similar, axis=1) <= _SETTINGS.n_around
    down, along = np.abs(positions[near[:, 1:]] - positions[:, None]).T
    is_along = (along >= down).T
    values = _clipped(own)[near[:, 1:]]
    parts = (
        (similar, values[..., :-2]),
        (similar & is_along, values[..., -2:]),
        (similar & ~is_along, values[..., -2:]),
    )
    around = []
    for counts, part in parts:
        number = counts.sum(axis=1, keepdims=True).astype(float)
        number[number == 0] = np.nan
        around.append(np.einsum("nk,nkp->np", counts.astype(float), part) / number)
    return np.hstack(around)


def _clipped(values):
    """Return values without the excess of outliers."""
    if not len(values):
        return values
    limit = np.sqrt(_SETTINGS.max_square_ratio * np.median(values**2, axis=0))
    return np.clip(values, -limit, limit)


def error_scale(amplitude, modes, inflation):
    """Compute factors for the standard errors of columns.

    Parameters
    ----------
    amplitude : ndarray of shape (n,)
        Amplitudes of all columns of an image.
    modes : ndarray of shape (m, 19)
        Results of :func:`project_residual`.
    inflation : float
        Factor if there are too few of these.

    Returns
    -------
    scale : ndarray of shape (n,)
        Positive factors for all errors, one for each kind of column.
    position_scale : ndarray of shape (n,)
        Positive factors for the errors of positions, which include gradients.
    """
    if len(modes) < _SETTINGS.min_n_columns:
        scale = np.full(len(amplitude), inflation)
        return scale, scale
    limit = _height_limit(modes[:, 0])
    kinds = [modes[modes[:, 0] <= limit], modes[modes[:, 0] > limit]]
    kinds = [_deviations(kind) for kind in kinds if len(kind)]
    is_bright = (amplitude > limit).astype(int)
    log_ratio = _by_kind(_log_variance_ratio, kinds)[is_bright]
    ratio = np.clip(np.exp(log_ratio), *_SETTINGS.variance_ratio_range)
    gradient = _by_kind(_gradient_variance, kinds)[is_bright]
    return np.sqrt(ratio), np.sqrt(ratio + gradient)


def split_by_height(amplitude):
    """Return which columns are of the brighter of two kinds; all if there is one."""
    return amplitude > _height_limit(amplitude)


def _height_limit(amplitude):
    """Return the height between two kinds of columns, -inf if there is one kind."""
    height = np.log(amplitude[amplitude > 0])
    min_step = np.log(_SETTINGS.min_height_ratio)
    if len(height) < 2 or np.ptp(height) < min_step:
        return -np.inf
    limit = threshold_otsu(height)
    contrast = np.median(height[height > limit]) - np.median(height[height <= limit])
    return np.exp(limit) if contrast > min_step else -np.inf


def _deviations(modes):
    """Return projections, and those around, minus what all columns have in common."""
    own, around = np.split(modes[:, 1:], [2 * _N_ORDERS + 2], axis=1)
    center = np.median(own, axis=0)
    return np.hstack([_clipped(own - center), around - np.append(center, center[-2:])])


def _by_kind(estimate, kinds):
    """Return estimates for faint and bright columns, the same unless they differ."""
    if len(kinds) == 2 and min(map(len, kinds)) >= _SETTINGS.min_n_columns:
        values, std = zip(*map(estimate, kinds), strict=True)
        if abs(np.subtract(*values)) > _SETTINGS.min_significance_std * np.hypot(*std):
            return np.array(values)
    return np.full(2, estimate(np.concatenate(kinds))[0])


def _log_variance_ratio(deviations):
    """Return the logarithm of the ratio of variances R(1), and its standard error.

    It is the mean over the probability of the excess by correlated noise and of q,
    given the mean squares of the projections; the white part is fitted.
    """
    n_modes = 2 * _N_ORDERS
    own, around = deviations[:, :n_modes], deviations[:, n_modes + 2 :][:, :n_modes]
    shared = np.nan_to_num(own * around).mean(axis=0)
    square = np.maximum((own**2).mean(axis=0) - shared, 1e-6).reshape(_N_ORDERS, 2)
    # The mean over the two orientations, or the smaller one if they differ.
    count = np.full(_N_ORDERS, 2.0 * len(own))
    differs = np.abs(np.log(square[:, 0] / square[:, 1]))
    differs = differs > _SETTINGS.min_significance_std * 2 / np.sqrt(len(own))
    count[differs] /= 2
    square = np.where(differs, square.min(axis=1), square.mean(axis=1))
    excess = np.geomspace(*_SETTINGS.excess_ratio_range, _SETTINGS.n_excesses)
    prior = np.full(len(excess), (1 - _SETTINGS.white_probability) / len(excess))
    excess = np.append(0.0, excess)
    prior = np.append(_SETTINGS.white_probability, prior)
    q = np.linspace(*_SETTINGS.q_ratio_range, _SETTINGS.n_q)[:, None, None]
    total, order = _SETTINGS.q_concentration, np.arange(_N_ORDERS)
    moments = np.cumprod((q * total + order) / (total + order), axis=-1)
    relative = 1 + excess[:, None] * moments
    white = (count * square / relative).sum(axis=-1) / count.sum()
    expected = white[..., None] * relative
    likelihood = -0.5 * (count * (np.log(expected) + square / expected)).sum(axis=-1)
    probability = prior * np.exp(likelihood - likelihood.max())
    probability /= probability.sum()
    log_ratio = np.log(white * (1 + excess))
    mean = float(np.sum(probability * log_ratio))
    variance = np.sum(probability * (log_ratio - mean) ** 2) + 2 / count.sum()
    # An insignificant ratio is reduced towards one (the estimator of James and Stein).
    mean *= max(0.0, 1 - variance / max(mean**2, 1e-30))
    return float(mean), float(np.sqrt(variance))


def _gradient_variance(deviations):
    """Return the variance that gradients add to that of positions, and its error.

    Both are relative to the variance of white noise.
    """
    first = 2 * _N_ORDERS
    own, around = deviations[:, first : first + 2], deviations[:, -4:]
    products = (np.tile(own, 2) * around)[np.isfinite(around).all(axis=1)]
    if len(products) < _SETTINGS.min_n_columns:
        return 0.0, 0.0
    along, across = products[:, :2].mean(axis=1), products[:, 2:].mean(axis=1)
    products = min(along, across, key=np.mean)
    # Each pair of columns counts in both of them.
    std = np.sqrt(2) * products.std() / np.sqrt(len(products))
    mean = products.mean()
    mean = float(mean) if mean > _SETTINGS.min_significance_std * std else 0.0
    return _GRADIENT_RATIO**2 * mean, _GRADIENT_RATIO**2 * float(std)
