"""Gaussian columns fitted to an image, all in one batch.

Every column is a Gaussian on a smooth background. Each round renders the sum of all
Gaussians, and takes one damped Fisher-scoring step for every column at once on the
image minus the other columns' Gaussians, weighted by the variance of each pixel. At
the fixed point this is the joint weighted fit of all columns; with the variance of
counts it is their Poisson maximum likelihood.
"""

import numpy as np
from scipy.spatial import cKDTree

from ._background import BackgroundRegression
from ._columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA, ColumnFit
from ._gaussian import STRETCH, ellipse
from ._noise import estimate_noise, guess_noise
from ._scoring import MAX_PULL, MIN_WILD, Pixels, scoring_steps
from ._windows import ColumnWindows

_MAX_ROUNDS = 16
# Narrowest column in units of the width, and the longest ellipse.
_MIN_SIGMA = 0.45
_MAX_RATIO = 2.5
# Rounds that learn the noise, and from how many pixels.
_NOISE_ROUNDS = (1, 2)
_N_NOISE_PIXELS = 100_000
# The background is fitted anew where it changes by more than so many standard errors
# of the amplitudes, and left alone once it changes by less than so many.
_MAX_TOUCH_UP = 0.3
_BACKGROUND_TOLERANCE = 0.007
_LAST_BACKGROUND_ROUND = 7
# Converged: the last step was this small against the standard error.
_TOLERANCE = 0.02
_NEARLY = 0.2
# Every so many rows and cols of pixels tell the image's range.
_SPARSE = 5
# So few columns are painted anew by themselves.
_FEW = 0.2
# Round after which columns are given up that cannot be Gaussians.
_PATIENCE = 3
# So many spacings around them, columns are fitted anew.
_BESIDE = 3
# Their pixels, above this share of a column's height, tell no background.
_DEFECT = 0.01
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
    valid=None,
    elliptical=False,
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
        Pixel variance; learned from the residual if None.
    max_rounds : int
        Largest number of scoring steps.
    width_scatter : float
        How well the shape of columns that the border cuts is known beforehand: the
        relative scatter of sigma around the typical one.
    valid : ndarray of bool of shape (n_rows, n_cols), default=None
        Pixels that count; all if None.
    elliptical : bool, default=False
        Whether columns may be longer along one direction.

    Returns
    -------
    fit : ColumnFit
        The fitted columns, in order.
    """
    windows = ColumnWindows(image, table, width, valid)
    pixels, state = Pixels(windows), _State(table, elliptical)
    seen = image if valid is None else image[valid]
    bounds = _bounds(table, image.shape, seen, spacing, width)
    state.clip(bounds)
    # Ellipses take longer to show.
    patience = 2 * _PATIENCE if elliptical else _PATIENCE
    noise_rounds = () if noise else _NOISE_ROUNDS
    noise = noise or guess_noise(seen)
    active = stepped = np.arange(len(table))
    expected, before = np.empty(windows.shape, dtype=np.float32), None
    settled = False
    for turn in range(max_rounds if len(table) else 0):
        if turn == 0:
            _fit_background(windows, state, noise, bounds, spacing)
        few = settled and len(stepped) <= _FEW * len(table)
        if few:
            _repaint(windows, expected, before, state.table, stepped)
        else:
            np.add(windows.render(state.table), state.background, out=expected)
        pixels.update(expected, noise, sparse=few)
        # No round would follow a last touch-up.
        if 0 < turn < max_rounds - 1 and not settled:
            if turn > patience - _PATIENCE:
                state.typical_misfit = float(np.median(state.misfit[:, 0]))
            if turn == patience + 1 and state.spoilt.any():
                _leave_out_defects(windows, state)
            change = _touch_up_background(windows, state, pixels)
            settled = change < _BACKGROUND_TOLERANCE
            if change > _MAX_TOUCH_UP:
                _fit_background(windows, state, noise, bounds, spacing)
                np.add(windows.render(state.table), state.background, out=expected)
                pixels.update(expected, noise)
            settled |= turn >= _LAST_BACKGROUND_ROUND
        if turn in noise_rounds:
            noise = _learn_noise(windows, expected, spacing)
            settled &= noise.is_of_counts or turn == noise_rounds[-1]
            pixels.update(expected, noise)
        before, stepped = state.table, active
        step = scoring_steps(windows, state, active, pixels, width_scatter)
        _take_steps(state, active, step, bounds)
        if turn == patience:
            beside = _give_up(state, table, bounds, _BESIDE * spacing)
            state.step_size[beside] = np.inf
            active = np.union1d(active, beside)
            active = active[~state.spoilt[active]]
            settled &= not state.spoilt.any()
        # Columns rest when they have arrived, but not before most others have, nearly.
        if settled and np.mean(state.step_size < _NEARLY) > 0.9:
            active = np.flatnonzero((state.step_size > _TOLERANCE) & ~state.spoilt)
            if not active.size:
                break
    return _finish(state, table, bounds, spacing, noise)


class _State:
    """What the rounds of a fit hand on."""

    def __init__(self, table, elliptical):
        n, n_parameters = len(table), SIGMA + 1 + 2 * elliptical
        self.table = np.zeros((n, n_parameters))
        self.table[:, : SIGMA + 1] = table[:, : SIGMA + 1]
        self.level = table[:, BACKGROUND].copy()
        self.background, self.regression = None, None
        self.std = np.full((n, n_parameters), np.nan)
        self.last_step = np.zeros((n, n_parameters))
        self.step_size = np.full(n, np.inf)
        self.relaxation = np.ones(n)
        # Columns that have been given up.
        self.spoilt = np.zeros(n, dtype=bool)
        # Median of the misfits, known once columns are near their places.
        self.typical_misfit = np.inf
        # Mean squared pull of a column's pixels; their deviation over the height.
        self.misfit = np.full((n, 2), np.inf)
        # Number of pixels in a column's core that are held back.
        self.n_wild = np.zeros(n)

    def clip(self, bounds):
        """Keep all columns within their bounds."""
        columns = self.table[:, : SIGMA + 1]
        np.clip(columns, *bounds, out=columns)
        if self.table.shape[1] > SIGMA + 1:
            stretch = self.table[:, STRETCH]
            length = np.hypot(*stretch.T)[:, None]
            limit = np.log(_MAX_RATIO)
            stretch *= limit / np.maximum(length, limit)


def _bounds(start, shape, values, spacing, width):
    low, high = start[:, : SIGMA + 1].copy(), start[:, : SIGMA + 1].copy()
    low[:, AMPLITUDE], high[:, AMPLITUDE] = 0, 2 * float(np.ptp(values))
    for axis in (ROW, COL):
        # A column off the image may show as a maximum at the border.
        at_start = start[:, axis] < spacing
        at_end = start[:, axis] > shape[axis - ROW] - 1 - spacing
        low[:, axis] -= np.where(at_start, 1, 0.4) * spacing
        high[:, axis] += np.where(at_end, 1, 0.4) * spacing
    low[:, SIGMA], high[:, SIGMA] = max(_MIN_SIGMA * width, 0.3), 2 * width
    return low, high


def _leave_out_defects(windows, state):
    """Look for the background beside columns that are no Gaussians."""
    defects = state.table[state.spoilt, : SIGMA + 1]
    defects[:, AMPLITUDE], defects[:, SIGMA] = 1, windows.unit
    state.regression.leave_out(windows.render(defects)[windows.crop] > _DEFECT)


def _fit_background(windows, state, noise, bounds, spacing):
    """Fit the background, let all columns grow and widen as it asks."""
    total, spread = windows.render(state.table, spread=True)
    if state.background is None:
        weight = noise.variance(total + np.float32(np.median(state.level)))
    else:
        weight = noise.variance(total + state.background)
    np.divide(np.float32(1), weight, out=weight)
    state.regression = BackgroundRegression(
        *(image[windows.crop] for image in (total, spread, weight)),
        windows.valid,
        spacing,
        windows.unit,
    )
    if state.spoilt.any():
        _leave_out_defects(windows, state)
    if state.table.shape[1] > SIGMA + 1:
        total = windows.render(state.table)
    residual = (windows.image - total)[windows.crop]
    # Hot pixels are no background.
    low, high = np.quantile(residual[::_SPARSE, ::_SPARSE], [0.01, 0.99])
    np.clip(residual, 2 * low - high, 2 * high - low, out=residual)
    field = state.regression.fit(residual)
    state.level, growth, widening = field.at(
        state.table[:, ROW : COL + 1], "level", "growth", "widening"
    )
    state.background = field.image(windows.image_shape, windows.pad)
    state.table[:, AMPLITUDE] *= np.exp(growth)
    state.table[:, SIGMA] *= np.exp(widening)
    state.clip(bounds)


def _touch_up_background(windows, state, pixels):
    """Correct the background alone; the columns will follow.

    Returns how much it changed, in standard errors of the amplitudes.
    """
    # All of the background anew: corrections of corrections would take up noise.
    residual = state.background + pixels.residual
    pixels.tame(residual, MAX_PULL**2 * max(1, state.typical_misfit))
    field = state.regression.fit(residual[windows.crop])
    (level,) = field.at(state.table[:, ROW : COL + 1], "level")
    background = field.image(windows.image_shape, windows.pad)
    pixels.shift(background - state.background)
    share = np.abs(level - state.level) / state.std[:, AMPLITUDE]
    state.background, state.level = background, level
    share = share[np.isfinite(share)]
    return np.quantile(share, 0.9) if share.size else np.inf


def _give_up(state, start, bounds, reach):
    """Put columns that are no Gaussians back to where they started, to stay.

    Returns which columns are around them.
    """
    pull, deviation = state.misfit.T
    spoilt = pull > _MAX_MISFIT * max(np.median(pull), 0.5)
    spoilt &= (deviation > _MAX_DEVIATION) & (state.n_wild >= MIN_WILD)
    state.spoilt = spoilt
    state.table[spoilt, : SIGMA + 1] = start[spoilt, : SIGMA + 1]
    state.table[spoilt, SIGMA + 1 :] = 0
    state.clip(bounds)
    positions = state.table[:, ROW : COL + 1]
    if not spoilt.any():
        return np.empty(0, dtype=np.intp)
    distance, _ = cKDTree(positions[spoilt]).query(positions)
    return np.flatnonzero((distance < reach) & ~spoilt)


def _take_steps(state, rows, step, bounds):
    """Take bounded steps; note their size in standard errors."""
    std = state.std[rows]
    # Neighbours that overlap overshoot together: hold back whoever turns round.
    turned = np.nansum(step * state.last_step[rows] / std**2, axis=1) < 0
    relaxation = state.relaxation[rows]
    relaxation = np.where(turned, 0.7 * relaxation, np.minimum(1.2 * relaxation, 1))
    state.relaxation[rows] = np.maximum(relaxation, 0.3)
    state.last_step[rows] = step
    step = step * state.relaxation[rows, None]
    before = state.table
    sigma = before[rows, SIGMA, None]
    for places, limit in (
        (slice(ROW, COL + 1), 0.4 * sigma),
        (slice(SIGMA, SIGMA + 1), 0.25 * sigma),
        (STRETCH, 0.3),
    ):
        step[:, places] = np.clip(step[:, places], -limit, limit)
    state.table = before.copy()
    state.table[rows] += step
    state.clip(bounds)
    change = np.abs(state.table[rows] - before[rows]) / std
    # Where columns overlap, widths and heights crawl together; positions do not mind.
    change[:, [AMPLITUDE, *range(SIGMA, change.shape[1])]] *= 0.1
    state.step_size[rows] = np.where(np.isfinite(change), change, np.inf).max(axis=1)


def _repaint(windows, expected, before, after, rows):
    """Bring the expected image up to date where a few columns have changed."""
    for part in windows.chunks(rows):
        for table, sign in ((after, 1), (before, -1)):
            shape = windows.gaussians(table, part)
            shape *= sign * table[part, AMPLITUDE, None].astype(np.float32)
            windows.add(expected, part, shape)


def _learn_noise(windows, expected, spacing):
    rows = np.flatnonzero(windows.whole)
    rows = rows if rows.size else np.arange(len(windows.whole))
    disc = windows.disc > 0
    n_columns = max(_N_NOISE_PIXELS // np.count_nonzero(disc), 16)
    rows = rows[:: max(1, len(rows) // n_columns)]
    on_image, values, mean = (
        windows.cut(image, rows)[:, disc]
        for image in (windows.on_image, windows.image, expected)
    )
    # Five parameters are fitted to the pixels that are a column's own.
    n_own = min(np.count_nonzero(disc), max(spacing**2, 8))
    return estimate_noise(values[on_image], mean[on_image], 1 - 5 / n_own)


def _finish(state, start, bounds, spacing, noise):
    table = np.column_stack([state.table[:, : SIGMA + 1], state.level])
    std = np.column_stack([state.std[:, : SIGMA + 1], np.full(len(table), np.nan)])
    converged = (state.step_size < 10 * _TOLERANCE) & np.isfinite(state.std).all(axis=1)
    converged &= ~state.spoilt & _plausible(state, start, bounds, spacing)
    shape = None
    if state.table.shape[1] > SIGMA + 1:
        shape = np.stack(ellipse(state.table[:, STRETCH]), axis=1)
        converged &= shape[:, 0] < 0.99 * _MAX_RATIO
    return ColumnFit(table, std, converged, noise, shape)


def _plausible(state, start, bounds, spacing):
    table, std = state.table, state.std
    low, high = bounds
    sigma = table[:, SIGMA]
    good = (sigma > 1.01 * low[:, SIGMA]) & (sigma < 0.99 * high[:, SIGMA])
    good &= table[:, AMPLITUDE] > 0
    moved = np.hypot(*(table[:, ROW : COL + 1] - start[:, ROW : COL + 1]).T)
    good &= moved < 0.35 * spacing
    good &= (std[:, ROW : COL + 1] < 0.25 * spacing).all(axis=1)
    if not len(good):
        return good
    pull, deviation = state.misfit.T
    strange = pull > _MAX_MISFIT * max(np.median(pull), 0.5)
    strange &= (deviation > _MAX_DEVIATION) & (state.n_wild >= MIN_WILD)
    return good & ~strange
