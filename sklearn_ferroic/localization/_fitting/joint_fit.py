"""The fit of columns that overlap: all of them and the background jointly.

Damped Gauss-Newton steps after Levenberg and Marquardt alternate with two cheap ones
along directions in which those are slow: a common change of the background and of the
heights and widths of the columns nearby, and an extrapolation of the steps before. A
step that increases the weighted squared residual is taken back, so that the fit never
diverges.
"""

import numpy as np

from .error_calibration import error_scale, project_residual
from .fisher_scoring import scoring_steps
from .joint_equations import JointEquations
from .settings import FITTING

_SETTINGS = FITTING.joint_fit


class JointFit:
    """A fit of overlapping columns.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    pixels : Pixels
        Residual and weights of the pixels.
    state : ColumnState
        The columns, with a background field.
    make_regression : callable
        Returns the regression of the background for the columns as they are.
    """

    def __init__(self, windows, pixels, state, make_regression):
        self.windows, self.pixels, self.state = windows, pixels, state
        self.make_regression = make_regression
        self.rows = np.arange(len(state.table))
        self.equations = JointEquations(windows, state.spacing, state.overlap)
        self.damping = _SETTINGS.first_damping_ratio
        # Steps of single columns, as long as they decrease the objective.
        self._first = self._one_by_one
        # Near the minimum, only Gauss-Newton steps are taken: the cheap ones have
        # slightly different minima, because they bin and clip the residual.
        self.is_near = False
        # Model at the beginning of the cycle of steps, and the image expected of it.
        self.origin = None

    def run(self, learn_noise, reach):
        """Fit until the objective has converged; compute the errors in a final fit.

        Parameters
        ----------
        learn_noise : callable or None
            Estimates the noise from an expected image; the noise is known if None.
        reach : float
            Columns within this distance of rejected ones step again, px.
        """
        state, pixels = self.state, self.pixels
        preliminary = state.preliminary
        lowest, n_stalled, kind = np.inf, 0, self._first
        accepted, tables = (state.table, state.field), []
        least = _SETTINGS.min_objective_variances * np.prod(self.windows.image_shape)
        n_rounds = state.max_iter
        if preliminary:
            n_rounds = min(n_rounds, _SETTINGS.max_n_preliminary_rounds)
        for number in range(n_rounds):
            expected = self._expected()
            objective = 0.0
            if number:
                objective = pixels.deviance(expected) + state.prior_penalty()
            if objective > lowest:
                state.table, state.field = accepted
                if kind == self._newton:
                    self.damping = min(
                        self.damping * _SETTINGS.more_damping_ratio,
                        _SETTINGS.max_damping_ratio,
                    )
                if kind == self._one_by_one:
                    self._first = self._newton
                kind = self._newton
            else:
                is_small = lowest - objective < _SETTINGS.min_decrease_share * max(
                    lowest, least
                )
                n_stalled = n_stalled + 1 if is_small else 0
                is_new = not preliminary and not self.is_near
                is_new &= n_stalled >= _SETTINGS.n_stalled_rounds
                if is_new:
                    self.is_near, n_stalled = True, 0
                accepted = state.table, state.field
                tables.append(state.table)
                pixels.update(expected, state.statistics)
                if learn_noise is not None and number > 0:
                    learn_noise(expected)
                self._linearize(learn_noise is not None)
                # Far from the minimum, columns may look like misfits that are none.
                if is_new or (preliminary and number == _SETTINGS.n_patience_rounds):
                    state.reject_misfits(reach, self.windows.whole)
                    accepted = state.table, state.field
                    tables[-1] = state.table
                lowest = pixels.deviance(expected) + state.prior_penalty()
                if number > 0:
                    kind = self._next(kind)
            is_done = (
                n_stalled >= _SETTINGS.n_stalled_rounds
                or self.damping == _SETTINGS.max_damping_ratio
            )
            if is_done and number > _SETTINGS.n_patience_rounds:
                break
            kind(pixels.expected)
        state.table, state.field = accepted
        (state.level,) = state.field.at(state.positions, "level")
        scale = 1.0
        if not preliminary:
            pixels.update(self._expected(), state.statistics)
            scale = self._set_errors(pixels)
        state.set_step_size(
            tables[max(0, len(tables) - 1 - _SETTINGS.n_stalled_rounds)], scale
        )
        state.tolerance = _SETTINGS.tolerance_std

    def _set_errors(self, pixels):
        """Set the standard errors; return the factor by which they are still too small.

        Elliptical columns absorb the deformations of the lowest order, and the higher
        ones contain too little of correlated noise: its spectrum is propagated instead.
        """
        state = self.state
        if state.fits_shape:
            inflation = self.equations.errors_by_spectrum(pixels, state)
            state.std *= np.sqrt(inflation)[:, None]
            return 1.0
        inflation, remaining = self.equations.errors(pixels, state)
        state.std *= np.sqrt(inflation)[:, None]
        state.modes = project_residual(self.windows, pixels, state, remaining)
        state.is_joint = True
        scale, _ = error_scale(state.table.amplitude, state.modes, 1.0)
        return scale

    def _next(self, kind):
        """Choose the step after a good one."""
        if kind == self._one_by_one:
            return kind
        if kind == self._newton:
            self.damping = max(
                self.damping / _SETTINGS.less_damping_ratio, _SETTINGS.min_damping_ratio
            )
            return self._newton if self.is_near else self._common
        return self._extrapolate if kind == self._common else self._first

    def _expected(self):
        """Return the image that is expected of columns and background, padded."""
        windows, state = self.windows, self.state
        expected = state.field.image(windows.image_shape, windows.pad)
        expected += windows.render(state.table)
        return expected

    def _linearize(self, learns):
        """Compute the steps of single columns, and their covariances."""
        state = self.state
        self.single = scoring_steps(
            self.windows, state, self.rows, self.pixels, measure=True
        )
        if learns:
            misfit = float(np.median(state.misfit[:, 0]))
            state.statistics = state.statistics._replace(misfit=misfit)

    def _set_level(self, level):
        self.state.field = self.state.field._replace(level=level)

    def _newton(self, expected):
        """Step all columns and the background by damped Gauss-Newton."""
        pixels, state = self.pixels, self.state
        self.origin = state.table, state.field.level, expected.copy()
        step, change = self.equations.solve(pixels, state, self.single, self.damping)
        level = state.field.level
        level = level + self.equations.level(change, level.shape)
        state.step_all(step)
        state.field = state.field._replace(level=level)

    def _common(self, expected):
        """Change the background, and nearby heights and widths by common factors."""
        state, windows = self.state, self.windows
        state.regression = self.make_regression()
        residual = self.pixels.residual.copy()
        self.pixels.clip(residual)
        change = state.regression.fit(state.regression.mean(residual[windows.crop]))
        growth, widening = change.at(state.positions, "growth", "widening")
        is_free = ~state.is_rejected
        state.scale(growth, widening, is_free)
        self._set_level(state.field.level + change.level)

    def _one_by_one(self, expected):
        """Step every column by itself, and the background by the residual."""
        state, windows = self.state, self.windows
        residual = self.pixels.residual.copy()
        self.pixels.clip(residual)
        change = state.regression.fit(state.regression.mean(residual[windows.crop]))
        step = np.where(state.is_rejected[:, None], 0, self.single)
        state.take_steps(self.rows, step)
        state.field = state.field._replace(level=state.field.level + change.level)

    def _extrapolate(self, expected):
        """Extrapolate the steps since the last Gauss-Newton step to the minimum."""
        table, level, before = self.origin
        change = expected - before
        curvature = float(np.vdot(self.pixels.weight * change, change))
        share = float(np.vdot(self.pixels.weighted, change)) / max(curvature, 1e-30)
        share = float(np.clip(share, 0, _SETTINGS.max_n_extrapolated_steps))
        state = self.state
        parameters = state.table.parameters
        state.set_parameters(parameters + share * (parameters - table.parameters))
        self._set_level(state.field.level + share * (state.field.level - level))
