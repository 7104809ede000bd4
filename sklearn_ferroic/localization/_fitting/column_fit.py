"""Fit of all columns of an image together, on a smooth background.

Each round sums all columns, and takes one damped Fisher-scoring step for every column
at once on the image minus the other columns, weighted by the variance of each pixel.
The fixed point is the joint weighted fit of all columns; with the variance of counts it
is their Poisson maximum likelihood. Columns that overlap strongly are fitted jointly.

The number of rounds for all columns, and whether a column continues to step, do not
depend on columns far away, so that a tile has the same result as the whole image.
"""

from functools import partial

import numpy as np

from ..._image.context import ImageStatistics
from ..._image.noise import estimate_noise, guess_noise, value_span
from .background import BackgroundRegression, bin_sides
from .column_state import ColumnState
from .error_calibration import project_residual
from .fisher_scoring import Pixels, common_stretch_step, scoring_steps, weighted_median
from .joint_fit import JointFit
from .profiles import ROUND_GAUSSIAN
from .settings import FITTING
from .windows import ColumnWindows

# The centre of a column that the border cuts is determined only if its width is known:
# its prior is the typical sigma with this relative standard deviation.
SIGMA_SCATTER_SHARE = 0.1
# Change of the logarithm of the variance below which the weights are kept.
NOISE_LOG_TOLERANCE = 0.1
# Columns within this distance of rejected ones step again: the pixels of rejected
# columns no longer count as background.
AROUND_REJECTED_SPACINGS = 3

_SETTINGS = FITTING.column_fit


def fit_columns(
    context,
    table,
    *,
    profile=ROUND_GAUSSIAN,
    preliminary=False,
    sigma_scatter=np.inf,
    outer=None,
    learns=False,
):
    """Fit all columns of an image together.

    Parameters
    ----------
    context : ImageContext
        The image, with the statistics of the image that it is a part of.
    table : ColumnTable
        Columns to start from. Their shape is used if they have the profile.
    profile : ColumnProfile, default=ROUND_GAUSSIAN
        Profile of the columns. Round columns share the stretch of the statistics.
    preliminary : bool, default=False
        Whether to stop after a few rounds, near the solution.
    sigma_scatter : float, default=inf
        Relative scatter of sigma around the typical one for columns that the border
        cuts; their prior.
    outer : ndarray of bool of shape (n,), default=None
        Columns with predicted centres off the image; none if None.
    learns : bool, default=False
        Whether the statistics are estimated again during the fit.

    Returns
    -------
    fit : ColumnFit
        The fitted columns, in order.
    """
    start = _with_profile(table, profile, context.statistics.stretch)
    windows = ColumnWindows(context.image, start, context.sigma, context.mask)
    state = ColumnState(
        start,
        context,
        whole=windows.whole,
        sigma_scatter=sigma_scatter,
        outer=outer,
        fits_shape=profile.n_shape > 0,
        preliminary=preliminary,
        learns=learns,
    )
    if len(start):
        if state.overlaps_strongly:
            _fit_jointly(windows, state)
        else:
            _fit_in_rounds(windows, state)
    return state.finish()


def fit_columns_and_statistics(context, table, *, stretch=(0.0, 0.0), **options):
    """Fit all columns of an image, and estimate the statistics of the image.

    Parameters
    ----------
    context : ImageContext
        The image, without statistics.
    table : ColumnTable
        Columns to start from.
    stretch : tuple of float, default=(0.0, 0.0)
        First guess of the common stretch of all columns.
    **options
        As `fit_columns` takes them.

    Returns
    -------
    fit : ColumnFit
        The fitted columns, in order, and the statistics.
    """
    image, mask = context.image, context.mask
    guess = ImageStatistics(
        noise=guess_noise(image, mask),
        level=float(np.median(table.background)) if len(table) else 0.0,
        misfit=np.inf,
        span=value_span(image if mask is None else image[mask]),
        stretch=stretch,
    )
    context = context.replace(statistics=guess)
    return fit_columns(context, table, learns=True, **options)


def _with_profile(table, profile, stretch):
    """Return the columns that a fit with a profile starts from."""
    if not profile.n_shape and any(stretch) and profile.stretched is not None:
        shape = np.tile(np.array(stretch), (len(table), 1))
        return table.with_profile(profile.stretched, shape)
    return table if table.profile == profile else table.with_profile(profile)


def _fit_in_rounds(windows, state):
    """Fit columns by Fisher-scoring steps of single columns."""
    pixels = Pixels(windows)
    learns, preliminary = state.learns, state.preliminary
    n_rounds = _count_rounds(state)
    expected = np.empty(windows.shape, dtype=np.float32)
    patience = max(1, n_rounds - 2)
    # The columns that the expected image shows.
    drawn = state.table
    for number in range(n_rounds + _SETTINGS.max_n_extra_rounds):
        for_all = number < n_rounds
        active = state.active(for_all)
        if (number > patience and not active.size) or (preliminary and not for_all):
            break
        if number == 0:
            _fit_background(windows, state)
        # Columns may also have been reset.
        moved = state.changed_since(drawn)
        is_local = not for_all and not learns and _are_few(moved, windows)
        is_local = is_local and _draw_changes(windows, state, moved, expected)
        if is_local:
            pixels.update_windows(active)
        else:
            np.add(windows.render(state.table), state.background, out=expected)
            pixels.update(expected, state.statistics)
        drawn = state.table
        # A preliminary fit does not use the background after its last round.
        if for_all and 0 < number < n_rounds - preliminary:
            _update_background(windows, state, pixels)
        if learns and number > 0:
            _learn_noise(windows, state, pixels, expected)
        measure = learns or number == patience or number >= n_rounds - 1
        step = scoring_steps(windows, state, active, pixels, measure=measure)
        if learns:
            misfit = float(np.median(state.misfit[:, 0]))
            state.statistics = state.statistics._replace(misfit=misfit)
        state.take_steps(active, step)
        if number == patience:
            reach = AROUND_REJECTED_SPACINGS * state.spacing
            state.reject_misfits(reach, windows.whole)
            if state.is_rejected.any():
                _exclude_rejected(windows, state)
    if learns:
        # The errors are calibrated in the fits that follow.
        _learn_level_and_stretch(windows, state, pixels)
    elif not preliminary:
        np.add(windows.render(state.table), state.background, out=expected)
        pixels.update(expected, state.statistics)
        _measure_modes(windows, state, pixels)


def _are_few(rows, windows):
    """Check whether the windows of some columns are a small part of the image."""
    n_pixels = len(rows) * windows.side**2
    return n_pixels < _SETTINGS.max_windows_share * np.prod(windows.image_shape)


def _draw_changes(windows, state, rows, expected):
    """Update the expected image of changed columns; return whether it was updated."""
    if not state.is_round:
        return False
    tiles = windows.render_changed(state.table, rows)
    if tiles is None:
        return False
    for place, total in tiles:
        np.add(total, state.background[place], out=expected[place])
    return True


def _fit_jointly(windows, state):
    """Fit columns that overlap, all of them and the background jointly."""
    pixels = Pixels(windows)
    _fit_background(windows, state)
    fit = JointFit(windows, pixels, state, partial(_regression, windows, state))
    learn_noise = (
        partial(_learn_noise, windows, state, pixels) if state.learns else None
    )
    fit.run(learn_noise, AROUND_REJECTED_SPACINGS * state.spacing)
    if state.learns:
        _learn_level_and_stretch(windows, state, pixels)


def _measure_modes(windows, state, pixels):
    """Store projections of the residual, from which the errors are calibrated."""
    state.modes = project_residual(windows, pixels, state)


def _learn_level_and_stretch(windows, state, pixels):
    """Store the level under the columns, and their common stretch."""
    stretch = (0.0, 0.0)
    if not state.fits_shape and state.table.profile.stretched is not None:
        stretch = _updated_stretch(windows, state, pixels)
    level = float(np.median(state.level))
    state.statistics = state.statistics._replace(level=level, stretch=stretch)


def typical_sigma(fit, sigma):
    """Compute the median sigma of the bright columns.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    sigma : float
        Typical sigma that they were fitted with, px.

    Returns
    -------
    sigma : float
        Median weighted by the standard errors, px; NaN if no column could be fitted.
    """
    good = fit.converged | (fit.std.sigma < 0.2 * sigma)
    if not good.any():
        return np.nan
    table, std = fit.table.take(good), fit.std.take(good)
    bright = table.amplitude > 0.5 * np.quantile(table.amplitude, 0.9)
    # Peaks of noise are narrow, with large errors.
    weight = (table.sigma[bright] / std.sigma[bright]) ** 2
    return weighted_median(table.sigma[bright], weight)


def sigma_for_fit(table, sigma):
    """Compute the typical sigma for a fit: columns may be wider than those detected.

    Parameters
    ----------
    table : ColumnTable
        The columns that the fit starts from.
    sigma : float
        Typical sigma that they were detected with, px.

    Returns
    -------
    sigma : float
        Not less than that, px. It grows in steps, so that the tiles of an image agree.
    """
    if not len(table):
        return sigma
    bright = table.amplitude > 0.5 * np.quantile(table.amplitude, 0.9)
    ratio = np.median(table.sigma[bright]) / sigma
    n_steps = np.floor(np.log(ratio) / np.log(_SETTINGS.sigma_step_ratio))
    return sigma * _SETTINGS.sigma_step_ratio ** float(
        np.clip(n_steps, 0, _SETTINGS.max_n_sigma_steps)
    )


def _updated_stretch(windows, state, pixels):
    """Return the common stretch after another step, (0, 0) if it is not significant."""
    table = state.table
    if state.is_round:
        table = table.with_profile(table.profile.stretched)
    step, std = common_stretch_step(windows, table, pixels)
    stretch = np.add(state.statistics.stretch, step)
    least = max(_SETTINGS.min_log_stretch, _SETTINGS.min_stretch_std * std)
    return tuple(stretch.tolist()) if np.hypot(*stretch) > least else (0.0, 0.0)


def _count_rounds(state):
    """Return the number of rounds for all columns."""
    if state.fits_shape:
        return _SETTINGS.n_rounds_shape
    number = 0 if state.preliminary else 1
    if state.is_isolated:
        return _SETTINGS.n_rounds_isolated[number]
    few, many = _SETTINGS.n_rounds_overlapping
    return round(np.interp(state.overlap, (0, 1), (few[number], many[number])))


def _exclude_rejected(windows, state):
    """Exclude pixels near rejected columns from the regression of the background."""
    rejected = state.table.take(state.is_rejected).with_profile(ROUND_GAUSSIAN)
    one = np.ones(len(rejected))
    rejected = rejected.replace(amplitude=one, sigma=windows.unit * one)
    image = windows.render(rejected)[windows.crop]
    state.regression.exclude(image > _SETTINGS.rejected_height_share)


def _regression(windows, state):
    """Return the regression of the background for the columns as they are."""
    total, spread = windows.render_binned(
        state.table, bin_sides(state.spacing, windows.unit)[0]
    )
    noise, level = state.statistics.noise, np.float32(state.statistics.level)
    weight = noise.variance(total + level)
    np.divide(np.float32(1), weight, out=weight)
    return BackgroundRegression(
        total,
        spread,
        weight,
        windows.image_shape,
        windows.mask,
        state.spacing,
        windows.unit,
    )


def _fit_background(windows, state):
    """Fit the background, with common changes of the columns nearby."""
    state.regression = _regression(windows, state)
    total = state.regression.total
    if not state.is_round:
        total = state.regression.mean(windows.render(state.table)[windows.crop])
    residual = state.regression.mean(windows.image[windows.crop]) - total
    # Hot pixels are not background.
    np.clip(residual, *state.statistics.span, out=residual)
    state.field = field = state.regression.fit(residual)
    state.level, growth, widening = field.at(
        state.positions, "level", "growth", "widening"
    )
    state.background = field.image(windows.image_shape, windows.pad)
    state.scale(growth, widening)


def _update_background(windows, state, pixels):
    """Correct the background alone; the columns follow in the next steps."""
    # The whole background is fitted: corrections of corrections would include noise.
    residual = state.background + pixels.residual
    pixels.clip(residual)
    field = state.regression.fit(state.regression.mean(residual[windows.crop]))
    (level,) = field.at(state.positions, "level")
    change = field.image(windows.image_shape, windows.pad)
    change -= state.background
    gain = float(np.interp(state.overlap, (0, 1), _SETTINGS.background_gain_ratios))
    change *= np.float32(gain)
    pixels.shift(change)
    state.background += change
    state.level = state.level + gain * (level - state.level)


def _learn_noise(windows, state, pixels, expected):
    """Estimate the noise from the residual; restart where the weights change."""
    before = state.statistics.noise
    noise = _residual_noise(windows, state, expected)
    state.statistics = state.statistics._replace(noise=noise)
    level = np.float32([noise.offset, np.quantile(expected[windows.crop], 0.99)])
    ratio = noise.variance(level) / before.variance(level)
    if np.abs(np.log(ratio / ratio.mean())).max() > NOISE_LOG_TOLERANCE:
        state.step_size[:] = np.inf
    if np.abs(np.log(ratio)).max() > NOISE_LOG_TOLERANCE:
        pixels.update(expected, state.statistics)


def _residual_noise(windows, state, expected):
    """Estimate the noise from the residual in the windows of whole columns."""
    misfit = state.misfit[:, 0]
    is_good = misfit < _SETTINGS.max_misfit_ratio * np.median(
        misfit[np.isfinite(misfit)]
    )
    rows = np.flatnonzero(windows.whole & is_good)
    rows = rows if rows.size else np.arange(len(windows.whole))
    disc = windows.disc > 0
    n_columns = max(_SETTINGS.n_noise_pixels // np.count_nonzero(disc), 16)
    rows = rows[:: max(1, len(rows) // n_columns)]
    on_image, values, mean = (
        windows.cut(image, rows)[:, disc]
        for image in (windows.on_image, windows.image, expected)
    )
    freedom = 1 - _leverage(windows, state, rows, mean, disc)
    square = (values - mean) ** 2 / np.maximum(freedom, _SETTINGS.min_freedom_share)
    noise = estimate_noise(mean[on_image], square[on_image])
    amplitude = float(np.median(state.table.amplitude[rows]))
    least = (_SETTINGS.min_noise_share * amplitude) ** 2
    brightest = np.array([np.quantile(mean, 0.99)])
    scale = max(1.0, least / float(noise.variance(brightest)[0]))
    return noise._replace(constant=scale * noise.constant, slope=scale * noise.slope)


def _leverage(windows, state, rows, mean, disc):
    """Return the leverage of each pixel of a window on the fit of its column."""
    table = state.table.take(rows)
    covariance = state.covariance[rows]
    known = (covariance != 0).any(axis=(1, 2))[:, None, None]
    factor = np.linalg.cholesky(np.where(known, covariance, np.eye(state.n_parameters)))
    values = windows.values(state.table, rows)[:, disc]
    leverage = table.profile.leverage(
        table, windows, rows, known * factor, values, disc
    )
    return leverage / state.statistics.noise.variance(mean)
