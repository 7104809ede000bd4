"""Gaussian columns fitted to an image, all in one batch.

Every column is a Gaussian on a smooth background. Each round renders the sum of all
Gaussians, and takes one damped Fisher-scoring step for every column at once on the
image minus the other columns' Gaussians, weighted by the variance of each pixel. At
the fixed point this is the joint weighted fit of all columns; with the variance of
counts it is their Poisson maximum likelihood.

How many rounds there are for all, and when a column rests, no other column has a say
in: a part of the image gives the columns of the whole.
"""

from functools import partial

import numpy as np

from ..._lattice.neighbors import neighbor_pairs
from .._image.bad_pixels import value_span
from .._image.noise import estimate_noise, guess_noise
from .background import BackgroundRegression, bin_sides
from .column_state import ColumnState
from .columns import AMPLITUDE, BACKGROUND, SIGMA, ColumnFit, Typical, ellipse_of
from .error_calibration import project_residual
from .fisher_scoring import Pixels, common_stretch_step, scoring_steps, weighted_median
from .joint_equations import is_crowded
from .joint_fit import JointFit
from .profiles import slopes
from .windows import ColumnWindows

# The centre of a column that the border cuts is determined only if its width is known:
# its prior is the typical width with this relative standard deviation.
WIDTH_SCATTER = 0.1
# Rounds for all columns, at first sight and from near: where they stand alone, and
# where they lean on each other, more the more they overlap; of ellipses, which take
# longer to show.
_ROUNDS_ALONE = (2, 1)
_ROUNDS_LEANING = ((3, 3), (3, 8))
_ELLIPTICAL_ROUNDS = 5
# Then columns go on that still move.
_MAX_EXTRA_ROUNDS = 12
# Background and columns lean on each other: corrections of one of them fall short. But
# where columns overlap, they are in part what the columns are about to correct.
_GAIN = (1.4, 1.0)
# Pixels from which the noise is estimated, and relative change of the variance below
# which the estimate of the round before was good enough for the weights.
_N_NOISE_PIXELS = 50_000
_NOISE_TOLERANCE = 0.1
# Least noise of a pixel, in median amplitudes of the columns: no column is known better
# than this, and steps that are small compared with it gain nothing.
_MIN_NOISE_AMPLITUDES = 5e-3
# Columns whose mean squared weighted residual exceeds this multiple of the median are
# left out of the noise estimate.
_MAX_RELATIVE_MISFIT = 4
# Least degrees of freedom of a pixel.
_MIN_FREEDOM = 0.3
# Wider columns, in spacings, are fitted jointly, for steps of single columns converge
# slowly or not at all: on square lattices, and where most columns have at least this
# number of neighbours within this distance, as on hexagonal ones, or where each column
# has an ellipse of its own.
_MAX_WIDTH_SPACINGS = 0.225
_MAX_WIDTH_SPACINGS_DENSE = 0.19
_MIN_NEIGHBORS_DENSE, _NEIGHBOR_REACH_SPACINGS = 5, 1.25
# Common stretch below which columns count as round: the logarithm of the ratio of the
# axes, and that in standard errors.
_MIN_STRETCH = 0.03
_MIN_STRETCH_STD = 4
# So many spacings around columns that have been given up, others are fitted anew.
_BESIDE = 3
# Their pixels, above this share of a column's height, tell no background.
_DEFECT = 0.01


def fit_columns(
    image,
    table,
    *,
    spacing,
    width,
    typical=None,
    first_look=False,
    width_scatter=np.inf,
    outer=None,
    valid=None,
    elliptical=False,
    ellipse=None,
    stretch=(0.0, 0.0),
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
    typical : Typical, default=None
        What is typical of the image that this one is a part of; learned if None.
    first_look : bool, default=False
        Whether to leave it at the rounds that bring the columns near.
    width_scatter : float
        How well the shape of columns that the border cuts is known beforehand: the
        relative scatter of sigma around the typical one.
    outer : ndarray of bool of shape (n,), default=None
        Columns with predicted centres off the image; none if None.
    valid : ndarray of bool of shape (n_rows, n_cols), default=None
        Pixels that count; all if None.
    elliptical : bool, default=False
        Whether columns may be longer along one direction.
    ellipse : ndarray of shape (n, 2), default=None
        Ratio and angle of the axes that elliptical columns start from; round if None.

    stretch : tuple of float, default=(0.0, 0.0)
        Stretch of all columns in common, if `typical` is None; another estimate of it
        is learned.

    Returns
    -------
    fit : ColumnFit
        The fitted columns, in order.
    """
    learns = typical is None
    if learns:
        typical = _guess_typical(image, table, valid)._replace(stretch=tuple(stretch))
    if not elliptical:
        ellipse = _common_ellipse(typical, len(table))
    elif ellipse is None:
        ellipse = np.tile([1.0, 0.0], (len(table), 1))
    start = ColumnFit(table, None, None, ellipse, typical)
    windows = ColumnWindows(image, table, width, valid)
    pixels = Pixels(windows)
    state = ColumnState(start, image.shape, spacing, width, elliptical, first_look)
    state.set_prior(windows.whole, width, width_scatter, outer)
    if len(table) and _overlap(start, spacing, width, state.fits_stretch):
        return _fit_jointly(
            windows, state, pixels, learns=learns, first_look=first_look
        )
    n_rounds = _count_rounds(state, first_look)
    expected = np.empty(windows.shape, dtype=np.float32)
    for turn in range(n_rounds + _MAX_EXTRA_ROUNDS if len(table) else 0):
        for_all = turn < n_rounds
        patience = max(1, n_rounds - 2)
        active = state.moving(for_all)
        if (turn > patience and not active.size) or (first_look and not for_all):
            break
        if turn == 0:
            _fit_background(windows, state)
        np.add(windows.render(state.table), state.background, out=expected)
        pixels.update(expected, state.typical)
        # After its last round, a first look has no use for another background.
        if for_all and 0 < turn < n_rounds - first_look:
            _touch_up_background(windows, state, pixels)
        if learns and turn > 0:
            _learn_noise(windows, state, pixels, expected)
        measure = learns or turn == patience or turn >= n_rounds - 1
        step = scoring_steps(windows, state, active, pixels, measure=measure)
        if learns:
            misfit = float(np.median(state.misfit[:, 0]))
            state.typical = state.typical._replace(misfit=misfit)
        state.take_steps(active, step)
        if turn == patience:
            state.give_up(_BESIDE * spacing, windows.whole)
            if state.spoilt.any():
                _leave_out_defects(windows, state)
    if learns and len(table):
        _learn_shape(windows, state, pixels)
    if len(table) and not first_look:
        np.add(windows.render(state.table), state.background, out=expected)
        pixels.update(expected, state.typical)
        _measure_modes(windows, state, pixels)
    return state.finish()


def _measure_modes(windows, state, pixels):
    """Project the residual on deformations of the columns, for the errors."""
    rows, projections = project_residual(windows, pixels, state)
    state.modes = np.column_stack([state.table[rows, AMPLITUDE], projections])


def _learn_shape(windows, state, pixels):
    """Note the level under the columns, and their common stretch."""
    stretch = (0.0, 0.0)
    if not state.fits_stretch:
        stretch = _updated_stretch(windows, state, pixels)
    level = float(np.median(state.level))
    state.typical = state.typical._replace(level=level, stretch=stretch)


def _fit_jointly(windows, state, pixels, *, learns, first_look):
    """Fit columns that overlap, all of them and the background jointly."""
    _fit_background(windows, state)
    fit = JointFit(windows, pixels, state, partial(_regression, windows, state))
    learn_noise = partial(_learn_noise, windows, state, pixels) if learns else None
    fit.run(learn_noise, first_look)
    if learns:
        _learn_shape(windows, state, pixels)
    return state.finish()


def _overlap(start, spacing, width, fits_stretch):
    """Check whether columns overlap so much that they are to be fitted jointly."""
    if fits_stretch and width > _MAX_WIDTH_SPACINGS_DENSE * spacing:
        return True
    if start.ellipse is not None:
        width = width * np.sqrt(np.median(start.ellipse[:, 0]))
    if width <= _MAX_WIDTH_SPACINGS_DENSE * spacing:
        return is_crowded(start.columns)
    return (
        width > _MAX_WIDTH_SPACINGS * spacing
        or is_crowded(start.columns)
        or _is_dense(start.positions, spacing)
    )


def _is_dense(positions, spacing):
    """Check whether most columns have more neighbours than on a square lattice."""
    pairs, _ = neighbor_pairs(positions, _NEIGHBOR_REACH_SPACINGS * spacing)
    n_neighbors = np.bincount(pairs.ravel(), minlength=len(positions))
    return np.median(n_neighbors) >= _MIN_NEIGHBORS_DENSE


def _common_ellipse(typical, n):
    """Return the ellipse of n columns that share one, None if they are round."""
    if not typical.is_stretched:
        return None
    return np.repeat(ellipse_of(np.array([typical.stretch])), n, axis=0)


def typical_sigma(fit, width):
    """Compute the median sigma of the bright columns.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    width : float
        Sigma that they were fitted with, px.

    Returns
    -------
    sigma : float
        Median weighted by the standard errors, px; NaN if no column could be fitted.
    """
    good = fit.converged | (fit.std[:, SIGMA] < 0.2 * width)
    if not good.any():
        return np.nan
    table, std = fit.table[good], fit.std[good]
    bright = table[:, AMPLITUDE] > 0.5 * np.quantile(table[:, AMPLITUDE], 0.9)
    # Spikes of noise are narrow, and known badly.
    weight = (table[bright, SIGMA] / std[bright, SIGMA]) ** 2
    return weighted_median(table[bright, SIGMA], weight)


def _updated_stretch(windows, state, pixels):
    """Return the common stretch after another step, (0, 0) if it is not significant."""
    table = state.table
    if not state.is_elliptical:
        table = np.hstack([table, np.zeros((len(table), 2))])
    step, std = common_stretch_step(windows, table, pixels)
    stretch = np.add(state.typical.stretch, step)
    least = max(_MIN_STRETCH, _MIN_STRETCH_STD * std)
    return tuple(stretch.tolist()) if np.hypot(*stretch) > least else (0.0, 0.0)


def _count_rounds(state, first_look):
    if state.fits_stretch:
        return _ELLIPTICAL_ROUNDS
    look = 0 if first_look else 1
    if state.alone:
        return _ROUNDS_ALONE[look]
    few, many = _ROUNDS_LEANING
    return round(np.interp(state.overlap, (0, 1), (few[look], many[look])))


def _guess_typical(image, table, valid):
    return Typical(
        noise=guess_noise(image, valid),
        level=float(np.median(table[:, BACKGROUND])) if len(table) else 0.0,
        misfit=np.inf,
        span=value_span(image if valid is None else image[valid]),
    )


def _leave_out_defects(windows, state):
    """Look for the background beside columns that are no Gaussians."""
    defects = state.table[state.spoilt, : SIGMA + 1]
    defects[:, AMPLITUDE], defects[:, SIGMA] = 1, windows.unit
    state.regression.leave_out(windows.render(defects)[windows.crop] > _DEFECT)


def _regression(windows, state):
    """Prepare the regression of the background for the columns as they are."""
    total, spread = windows.render_binned(
        state.table, bin_sides(state.spacing, windows.unit)[0]
    )
    weight = state.typical.noise.variance(total + np.float32(state.typical.level))
    np.divide(np.float32(1), weight, out=weight)
    return BackgroundRegression(
        total,
        spread,
        weight,
        windows.image_shape,
        windows.valid,
        state.spacing,
        windows.unit,
    )


def _fit_background(windows, state):
    """Fit the background, let all columns grow and widen as it asks."""
    state.regression = _regression(windows, state)
    total = state.regression.total
    if state.is_elliptical:
        total = state.regression.mean(windows.render(state.table)[windows.crop])
    residual = state.regression.mean(windows.image[windows.crop]) - total
    # Hot pixels are no background.
    np.clip(residual, *state.typical.span, out=residual)
    state.field = field = state.regression.fit(residual)
    state.level, growth, widening = field.at(
        state.positions, "level", "growth", "widening"
    )
    state.background = field.image(windows.image_shape, windows.pad)
    state.table[:, AMPLITUDE] *= np.exp(growth)
    state.table[:, SIGMA] *= np.exp(widening)
    state.clip()


def _touch_up_background(windows, state, pixels):
    """Correct the background alone; the columns will follow."""
    # All of the background anew: corrections of corrections would take up noise.
    residual = state.background + pixels.residual
    pixels.tame(residual)
    field = state.regression.fit(state.regression.mean(residual[windows.crop]))
    (level,) = field.at(state.positions, "level")
    change = field.image(windows.image_shape, windows.pad)
    change -= state.background
    gain = float(np.interp(state.overlap, (0, 1), _GAIN))
    change *= np.float32(gain)
    pixels.shift(change)
    state.background += change
    state.level += gain * (level - state.level)


def _learn_noise(windows, state, pixels, expected):
    """Estimate the noise from the residual; restart where the weights change."""
    before = state.typical.noise
    noise = _residual_noise(windows, state, expected)
    state.typical = state.typical._replace(noise=noise)
    level = np.float32([noise.offset, np.quantile(expected[windows.crop], 0.99)])
    ratio = noise.variance(level) / before.variance(level)
    if np.abs(np.log(ratio / ratio.mean())).max() > _NOISE_TOLERANCE:
        state.step_size[:] = np.inf
    if np.abs(np.log(ratio)).max() > _NOISE_TOLERANCE:
        pixels.update(expected, state.typical)


def _residual_noise(windows, state, expected):
    """Estimate the noise from the residual in the windows of whole columns."""
    # Bright particles and other columns that are no Gaussians show no noise.
    misfit = state.misfit[:, 0]
    is_good = misfit < _MAX_RELATIVE_MISFIT * np.median(misfit[np.isfinite(misfit)])
    rows = np.flatnonzero(windows.whole & is_good)
    rows = rows if rows.size else np.arange(len(windows.whole))
    disc = windows.disc > 0
    n_columns = max(_N_NOISE_PIXELS // np.count_nonzero(disc), 16)
    rows = rows[:: max(1, len(rows) // n_columns)]
    on_image, values, mean = (
        windows.cut(image, rows)[:, disc]
        for image in (windows.on_image, windows.image, expected)
    )
    freedom = 1 - _leverage(windows, state, rows, mean, disc)
    square = (values - mean) ** 2 / np.maximum(freedom, _MIN_FREEDOM)
    noise = estimate_noise(mean[on_image], square[on_image])
    least = _MIN_NOISE_AMPLITUDES * float(np.median(state.table[rows, AMPLITUDE]))
    return noise._replace(constant=max(noise.constant, least**2))


def _leverage(windows, state, rows, mean, disc):
    """Return by how much the fit of each column follows the pixels of its window."""
    table = state.table[rows]
    slope = slopes(table, windows.anchor[rows], windows.unit)[:, : state.n_parameters]
    covariance = state.covariance[rows]
    known = (covariance != 0).any(axis=(1, 2))[:, None, None]
    factor = np.linalg.cholesky(np.where(known, covariance, np.eye(state.n_parameters)))
    parts = (known * factor).transpose(0, 2, 1) @ slope
    shape = windows.gaussians(state.table, rows)[:, disc]
    leverage = np.square(parts.astype(np.float32) @ windows.quadratic[:, disc])
    return leverage.sum(axis=1) * shape**2 / state.typical.noise.variance(mean)
