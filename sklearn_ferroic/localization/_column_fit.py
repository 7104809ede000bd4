"""Gaussian columns fitted to an image, all in one batch.

Every column is a circular Gaussian on a constant local background. Each round
renders the sum of all Gaussians, and takes one damped Fisher-scoring step for every
column at once on the image minus the other columns' Gaussians, weighted by the
variance of each pixel. At the fixed point this is the joint weighted fit of all
columns; with the variance of counts it is their Poisson maximum likelihood.
"""

import numpy as np

from ._background import fit_background
from ._columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA, ColumnFit
from ._noise import NoiseModel, estimate_noise
from ._windows import column_windows

_MAX_ROUNDS = 16
# Narrowest column in units of the width.
_MIN_SIGMA = 0.45
# Rounds that learn the noise; later the background is left alone once it changes
# by less than this share of the amplitudes' standard errors.
_NOISE_ROUNDS = (1, 3)
_N_NOISE_COLUMNS = 1000
_BACKGROUND_TOLERANCE = 0.1
_LAST_BACKGROUND_ROUND = 7
# Converged: the last step was this small against the standard error.
_TOLERANCE = 0.03
# Not trusted: squared pulls so many times the median column's, and deviations that
# are so large a share of the column's height.
_MAX_MISFIT = 12
_MAX_DEVIATION = 0.15


def fit_columns(
    image,
    table,
    *,
    spacing,
    width,
    noise=None,
    max_rounds=_MAX_ROUNDS,
    width_scatter=np.inf,
):
    """Fit all columns of an image together.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32.
    table : ndarray of shape (n, 5)
        Amplitude, row, col, sigma, background to start from.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma of the columns, px.
    noise : NoiseModel, default=None
        Pixel variance to start from; it is learned from the residual either way.
    max_rounds : int
        Largest number of scoring steps.
    width_scatter : float
        How well the sigma of columns that the border cuts is known beforehand: the
        relative scatter around the typical one.

    Returns
    -------
    fit : ColumnFit
        The fitted columns, in order.
    """
    windows = column_windows(image, table, width)
    start = table.copy()
    bounds = _bounds(start, image, spacing, width)
    table = np.clip(table, *bounds)
    state = _State(table, width, width_scatter)
    noise_rounds = _NOISE_ROUNDS if noise is None else _NOISE_ROUNDS[:1]
    noise = noise or NoiseModel(1.0, 0.0, 0.0)
    active = np.arange(len(table))
    scale, settled = (spacing, width), False
    for turn in range(max_rounds):
        if not settled:
            change = _update_background(image, windows, state, noise, bounds, scale)
            settled = turn > max(noise_rounds) and (
                change < _BACKGROUND_TOLERANCE or turn == _LAST_BACKGROUND_ROUND
            )
        total = windows.render(table)
        if turn in noise_rounds:
            noise = _learn_noise(windows, state, total, spacing)
        for rows in windows.chunks(active):
            _update_columns(windows, state, rows, total, noise, bounds)
        if settled:
            active = np.flatnonzero(state.step_size > _TOLERANCE)
            if not active.size:
                break
    converged = (state.step_size < 10 * _TOLERANCE) & np.isfinite(state.std[:, :4]).all(
        axis=1
    )
    converged &= _plausible(state, start, bounds, spacing)
    return ColumnFit(table, state.std, converged, noise)


class _State:
    """What the rounds of a fit hand on."""

    def __init__(self, table, width, width_scatter):
        self.table = table
        self.width = width
        self.width_precision = (width_scatter * width) ** -2.0
        self.std = np.full_like(table, np.nan)
        self.last_step = np.zeros_like(table)
        self.slope = np.zeros((len(table), 2))
        self.step_size = np.full(len(table), np.inf)
        # Mean squared pull of a window's pixels; their deviation over the height.
        self.misfit = np.full((len(table), 2), np.inf)
        self.relaxation = np.ones(len(table))


def _update_background(image, windows, state, noise, bounds, scale):
    """Fit the background, let all columns grow and widen as it asks.

    Returns how much it changed, in standard errors of the amplitudes.
    """
    table = state.table
    before = table[:, BACKGROUND].copy()
    total, spread = map(windows.unpad, windows.render_with_spread(table))
    weight = 1 / noise.variance(total + np.float32(np.median(table[:, BACKGROUND])))
    background = fit_background(image, total, spread, weight, *scale)
    level, growth, widening, state.slope = background.at(table[:, ROW : COL + 1])
    table[:, BACKGROUND] = level
    table[:, AMPLITUDE] *= np.exp(growth)
    table[:, SIGMA] *= np.exp(widening)
    np.clip(table, *bounds, out=table)
    change = np.abs(table[:, BACKGROUND] - before) / state.std[:, AMPLITUDE]
    return np.nanquantile(change, 0.9) if np.isfinite(change).any() else np.inf


def _update_columns(windows, state, rows, total, noise, bounds):
    """Take one scoring step for some columns."""
    step, state.std[rows, :BACKGROUND], state.misfit[rows] = _scoring_step(
        windows, state, rows, total, noise
    )
    # Neighbours that overlap overshoot together: hold back whoever turns round.
    variance = state.std[rows, :BACKGROUND] ** 2
    turned = np.nansum(step * state.last_step[rows, :BACKGROUND] / variance, axis=1) < 0
    relaxation = state.relaxation[rows]
    relaxation = np.where(turned, 0.7 * relaxation, np.minimum(1.2 * relaxation, 1))
    state.relaxation[rows] = np.maximum(relaxation, 0.3)
    state.last_step[rows, :BACKGROUND] = step
    step = step * state.relaxation[rows, None]
    state.table[rows], state.step_size[rows] = _bounded(
        state.table[rows], step, state.std[rows], (bounds[0][rows], bounds[1][rows])
    )


def _bounds(start, image, spacing, width):
    low, high = start.copy(), start.copy()
    span = float(image.max() - image.min())
    low[:, AMPLITUDE], high[:, AMPLITUDE] = 0, 2 * span
    for axis in (ROW, COL):
        # A column off the image may show as a maximum at the border.
        at_start = start[:, axis] < spacing
        at_end = start[:, axis] > image.shape[axis - ROW] - 1 - spacing
        low[:, axis] -= np.where(at_start, 1, 0.4) * spacing
        high[:, axis] += np.where(at_end, 1, 0.4) * spacing
    low[:, SIGMA], high[:, SIGMA] = max(_MIN_SIGMA * width, 0.3), 2 * width
    low[:, BACKGROUND] = float(image.min()) - span
    high[:, BACKGROUND] = float(image.max()) + span
    return low, high


def _scoring_step(windows, state, rows, total, noise):
    """Fisher-scoring step, standard errors and misfit of a chunk of columns."""
    pixels = windows.pixels(rows)
    shape, down, along = windows.profiles(state.table, rows)
    amplitude, _, _, sigma, _ = state.table[rows].astype(np.float32).T[:, :, None]
    mean = total[pixels]
    mean += _background_plane(windows, state, rows)
    weight = 1 / noise.variance(mean)
    if not windows.whole[rows].all():
        weight *= windows.on_image.ravel()[pixels]
    residual = windows.image.ravel()[pixels] - mean
    slopes = np.empty((len(rows), 4, pixels.shape[1]), dtype=np.float32)
    slopes[:, AMPLITUDE] = shape
    shape *= amplitude / sigma
    down, along = down[:, windows.row_of], along[:, windows.col_of]
    np.multiply(shape, down, out=slopes[:, ROW])
    np.multiply(shape, along, out=slopes[:, COL])
    down *= down
    along *= along
    down += along
    np.multiply(shape, down, out=slopes[:, SIGMA])
    weighted = slopes * weight[:, None]
    normal = weighted @ slopes.transpose(0, 2, 1)
    gradient = (weighted @ residual[:, :, None])[:, :, 0]
    _add_typical_width(normal, gradient, windows, state, rows)
    n_seen = np.maximum(np.count_nonzero(weight, axis=1), 1)
    square = residual * residual
    misfit = np.stack(
        [
            np.einsum("np,np->n", weight, square) / n_seen,
            np.sqrt(square.mean(axis=1)) / np.maximum(amplitude[:, 0], 1e-30),
        ],
        axis=1,
    )
    return *_solve(normal.astype(np.float64), gradient.astype(np.float64)), misfit


def _add_typical_width(normal, gradient, windows, state, rows):
    """Add what the typical width tells of the columns that the border cuts."""
    precision = np.where(windows.whole[rows], 0, state.width_precision)
    normal[:, SIGMA, SIGMA] += precision
    gradient[:, SIGMA] += precision * (state.width - state.table[rows, SIGMA])


def _background_plane(windows, state, rows):
    """Local background of each column on its window."""
    place = state.table[rows, ROW : COL + 1] - windows.anchor[rows]
    slope = state.slope[rows].astype(np.float32)
    middle = state.table[rows, BACKGROUND] - (slope * place).sum(axis=1)
    down = slope[:, :1] * windows.row_steps.astype(np.float32)
    along = slope[:, 1:] * windows.col_steps.astype(np.float32)
    down += middle[:, None].astype(np.float32)
    return down[:, windows.row_of] + along[:, windows.col_of]


def _solve(normal, gradient):
    """Solve the damped normal equations; NaN errors where they are singular."""
    diagonal = np.einsum("nii->ni", normal)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    scaled = normal * scale[:, :, None] * scale[:, None]
    index = np.arange(normal.shape[1])
    # Levenberg's term keeps a column without information at rest.
    scaled[:, index, index] += 1e-5
    inverse = np.linalg.inv(scaled)
    step = (inverse @ (gradient * scale)[:, :, None])[:, :, 0] * scale
    variance = np.einsum("nii->ni", inverse) * scale**2
    informative = (diagonal > 0) & (variance > 0)
    std = np.sqrt(np.where(informative, variance, np.nan))
    return np.where(np.isfinite(step), step, 0), std


def _bounded(table, step, std, bounds):
    """Take a bounded step; return its size in standard errors of the position."""
    sigma = table[:, SIGMA]
    limit = np.full_like(step, np.inf)
    limit[:, ROW : COL + 1] = 0.4 * sigma[:, None]
    limit[:, SIGMA] = 0.25 * sigma
    moved = table.copy()
    moved[:, :BACKGROUND] += np.clip(step, -limit, limit)
    moved = np.clip(moved, *bounds)
    change = np.abs(moved - table)[:, :BACKGROUND] / std[:, :BACKGROUND]
    # Where columns overlap, widths and heights crawl together; positions do not mind.
    change[:, [AMPLITUDE, SIGMA]] *= 0.1
    return moved, np.where(np.isfinite(change), change, np.inf).max(axis=1)


def _plausible(state, start, bounds, spacing):
    table, std = state.table, state.std
    low, high = bounds
    sigma = table[:, SIGMA]
    good = (sigma > 1.01 * low[:, SIGMA]) & (sigma < 0.99 * high[:, SIGMA])
    good &= table[:, AMPLITUDE] > 0
    moved = np.hypot(*(table - start)[:, ROW : COL + 1].T)
    good &= moved < 0.35 * spacing
    good &= (std[:, ROW : COL + 1] < 0.25 * spacing).all(axis=1)
    pull, deviation = state.misfit.T
    strange = pull > _MAX_MISFIT * max(np.median(pull), 0.5)
    good &= ~(strange & (deviation > _MAX_DEVIATION))
    return good


def _learn_noise(windows, state, total, spacing):
    rows = np.flatnonzero(windows.whole)
    rows = rows if rows.size else np.arange(len(state.table))
    rows = rows[:: max(1, len(rows) // _N_NOISE_COLUMNS)]
    pixels = windows.pixels(rows)
    mean = total[pixels] + _background_plane(windows, state, rows)
    on_image = windows.on_image.ravel()[pixels]
    values = windows.image.ravel()[pixels][on_image]
    # Five parameters are fitted to the pixels that are a column's own.
    n_own = min(len(windows.offsets), max(spacing**2, 8))
    return estimate_noise(values, mean[on_image], 1 - 5 / n_own)
