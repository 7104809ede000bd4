"""Parameters of columns during a fit, their bounds, priors and steps."""

import numpy as np
from scipy.spatial import cKDTree

from ..._lattice.neighbors import count_neighbors, neighbor_pairs
from .background import strength_of_overlap
from .columns import ColumnFit
from .fisher_scoring import MIN_N_OUTLIERS
from .profiles import AMPLITUDE, N_COMMON, POSITION, SHAPE, SIGMA
from .settings import FITTING

# Wider columns overlap: they are searched for by continuing the lattice, too.
OVERLAP_SIGMA_SPACINGS = 0.22
# Narrowest column in typical sigmas, and in preliminary fits of columns that overlap:
# the background may replace narrow ones.
_MIN_SIGMA_RATIOS = (0.45, 0.6)


_SETTINGS = FITTING.column_state


class ColumnState:
    """Columns during a fit.

    Parameters
    ----------
    start : ColumnTable
        Columns that the fit starts from.
    context : ImageContext
        The image and its statistics.
    whole : ndarray of bool of shape (n,)
        Columns with their whole windows on the image; they have no prior.
    sigma_scatter : float
        Relative scatter of the sigmas around the typical one, and of the shape
        parameters.
    outer : ndarray of bool of shape (n,) or None
        Columns with predicted centres off the image.
    fits_shape : bool
        Whether the shape parameters of each column are fitted.
    preliminary : bool
        Whether this is a preliminary fit, with narrower bounds.
    learns : bool
        Whether the statistics of the image are estimated during the fit.
    """

    def __init__(
        self,
        start,
        context,
        *,
        whole,
        sigma_scatter,
        outer,
        fits_shape,
        preliminary,
        learns,
    ):
        spacing, sigma = context.spacing, context.sigma
        self.start, self.table = start, start
        self.level, self.statistics = start.background, context.statistics
        self.preliminary, self.learns = preliminary, learns
        self.max_iter = context.max_iter
        self.low, self.high = _bounds(start, context, preliminary)
        self.spacing, self.sigma = spacing, sigma
        self.step_factor = (
            _SETTINGS.coarse_step_ratio if self.is_coarsely_sampled else 1.0
        )
        self.is_isolated = (
            spacing >= _SETTINGS.coupling_reach_sigma * sigma and self.is_round
        )
        isolated = self.is_isolated
        self.tolerance = (
            _SETTINGS.tolerance_isolated_std if isolated else _SETTINGS.tolerance_std
        )
        self.background = self.regression = self.field = None
        n = len(start)
        n_parameters = start.profile.n_parameters if fits_shape else N_COMMON
        self.n_parameters, self.fits_shape = n_parameters, fits_shape
        self.std = np.full((n, n_parameters), np.nan)
        self.covariance = np.zeros((n, n_parameters, n_parameters))
        self.last_step = np.zeros((n, n_parameters))
        self.step_size = np.full(n, np.inf)
        self.relaxation = np.ones(n)
        # Mean squared residual in pixel variances; root mean square over the height.
        self.misfit = np.full((n, 2), np.inf)
        # Number of outliers among the pixels in the core of each column.
        self.n_outliers = np.zeros(n)
        self.modes = None
        self.is_joint = False
        # Gaussian priors of the parameters: means and inverse variances.
        self.prior_mean, self.prior_precision = np.zeros((2, n, n_parameters))
        # Columns that do not fit their profile and no longer step.
        self.is_rejected = np.zeros(n, dtype=bool)
        self._set_prior(whole, sigma_scatter, outer)
        self.clip()

    @property
    def positions(self):
        """Centres of the columns, px."""
        return self.table.positions

    @property
    def overlap(self):
        """Strength of the overlap of neighbouring columns, 0 to 1."""
        return strength_of_overlap(self.spacing, self.sigma)

    @property
    def is_round(self):
        """Whether all columns are round Gaussians."""
        return self.start.profile.is_separable

    @property
    def is_coarsely_sampled(self):
        """Whether columns are so narrow that single pixels decide their fits."""
        is_close = self.spacing < _SETTINGS.coarse_spacing_px
        return is_close and self.sigma < _SETTINGS.coarse_sigma_px

    @property
    def overlaps_strongly(self):
        """Whether steps of single columns would converge slowly or not at all.

        Such columns, overlapping or narrow ones, are fitted jointly.
        """
        start, spacing, sigma = self.start, self.spacing, self.sigma
        max_dense = _SETTINGS.max_sigma_spacings_dense * spacing
        if self.fits_shape and sigma > max_dense:
            return True
        ellipse = start.profile.ellipse(start.shape)
        if ellipse is not None:
            sigma = sigma * np.sqrt(np.median(ellipse[:, 0]))
        if sigma > _SETTINGS.max_sigma_spacings * spacing or self.is_coarsely_sampled:
            return True
        # Columns overlap so much that steps one by one may diverge.
        reach = _SETTINGS.coupling_reach_sigma * float(np.median(start.sigma))
        pairs, _ = neighbor_pairs(start.positions, reach)
        first, second = (start.take(pairs[:, side]) for side in (0, 1))
        square = ((first.positions - second.positions) ** 2).sum(axis=1)
        overlap = np.exp(-0.5 * square / (first.sigma**2 + second.sigma**2))
        overlap = np.repeat(overlap, 2)
        crowding = np.bincount(pairs.ravel(), overlap, minlength=len(start))
        if (
            np.quantile(crowding, _SETTINGS.crowded_quantile)
            > _SETTINGS.max_overlap_share
        ):
            return True
        if sigma <= max_dense:
            return False
        # Most columns have more neighbours than on a square lattice.
        radius = _SETTINGS.neighbor_reach_spacings * spacing
        n_neighbors = count_neighbors(start.positions, radius)
        return np.median(n_neighbors) >= _SETTINGS.min_n_neighbors_dense

    def _set_prior(self, whole, sigma_scatter, outer):
        """Set the prior of columns that are not completely on the image."""
        mean, precision = self.prior_mean, self.prior_precision
        mean[:, SIGMA] = self.sigma
        precision[~whole, SIGMA] = (sigma_scatter * self.sigma) ** -2.0
        precision[~whole, SHAPE] = sigma_scatter**-2.0
        if self.fits_shape:
            mean[:, SHAPE] = self.start.profile.shape_start
        if outer is not None:
            mean[:, :SIGMA] = self.start.parameters[:, :SIGMA]
            height = np.maximum(self.start.amplitude[outer], 1e-30)
            precision[outer, AMPLITUDE] = (
                _SETTINGS.outer_height_scatter_share * height
            ) ** -2.0
            precision[outer, POSITION] = (
                _SETTINGS.outer_position_std_spacings * self.spacing
            ) ** -2.0

    def _deviation(self):
        return self.prior_mean - self.table.parameters[:, : self.n_parameters]

    def prior_gradient(self):
        """Return the gradient of the log-prior with respect to the parameters."""
        return self.prior_precision * self._deviation()

    def prior_penalty(self):
        """Return the squared deviations from the prior means in prior variances."""
        return float(np.sum(self.prior_precision * self._deviation() ** 2))

    def active(self, for_all=False):
        """Return columns whose last step was long, or all that are not rejected."""
        is_active = ~self.is_rejected
        if not for_all:
            is_active &= self.step_size > self.tolerance
        return np.flatnonzero(is_active)

    def changed_since(self, before):
        """Return the columns whose parameters differ from those of a table."""
        differs = self.table.parameters != before.parameters
        return np.flatnonzero(differs.any(axis=1))

    def clip(self):
        """Clip all columns to their bounds."""
        self.set_parameters(self.table.parameters)

    def set_parameters(self, parameters):
        """Set the parameters of all columns, clipped to their bounds."""
        common = np.clip(parameters[:, :N_COMMON], self.low, self.high)
        shape = parameters[:, SHAPE]
        if shape.shape[1]:
            shape = self.start.profile.clip_shape(shape)
        self.table = self.table.with_parameters(np.hstack([common, shape]))

    def take_steps(self, rows, step):
        """Change columns by bounded steps; store their size in standard errors.

        Parameters
        ----------
        rows : ndarray of int of shape (n_rows,)
            The columns that step.
        step : ndarray of shape (n_rows, n_parameters)
            Steps before bounds.
        """
        std = self.std[rows]
        # Overlapping neighbours overshoot together: steps that reverse are shortened.
        is_reversed = np.nansum(step * self.last_step[rows] / std**2, axis=1) < 0
        relaxation = self.relaxation[rows]
        relaxation = np.where(
            is_reversed, 0.7 * relaxation, np.minimum(1.2 * relaxation, 1)
        )
        self.relaxation[rows] = np.maximum(relaxation, 0.3)
        self.last_step[rows] = step
        before = self.table.parameters
        step = self._bounded(step * self.relaxation[rows, None], before[rows, SIGMA])
        after = before.copy()
        after[rows, : self.n_parameters] += step
        self.set_parameters(after)
        change = self.table.parameters[rows] - before[rows]
        change = np.abs(change)[:, : self.n_parameters] / std
        change[:, [AMPLITUDE, *range(SIGMA, change.shape[1])]] *= (
            _SETTINGS.width_step_ratio
        )
        change = np.where(np.isfinite(change), change, np.inf)
        self.step_size[rows] = change.max(axis=1)

    def _bounded(self, step, sigma):
        """Return steps bounded such that the model stays nearly linear."""
        step, sigma = step.copy(), self.step_factor * sigma[:, None]
        for places, limit in (
            (POSITION, _SETTINGS.max_position_step_sigma * sigma),
            (slice(SIGMA, SIGMA + 1), _SETTINGS.max_sigma_step_sigma * sigma),
            (SHAPE, self.start.profile.max_shape_step),
        ):
            step[:, places] = np.clip(step[:, places], -limit, limit)
        return step

    def step_all(self, step):
        """Change all columns by bounded steps."""
        parameters = self.table.parameters
        parameters[:, : self.n_parameters] += self._bounded(step, parameters[:, SIGMA])
        self.set_parameters(parameters)

    def scale(self, growth, widening, rows=slice(None)):
        """Change amplitudes and sigmas of columns by factors, as logarithms."""
        parameters = self.table.parameters
        parameters[rows, AMPLITUDE] *= np.exp(growth[rows])
        parameters[rows, SIGMA] *= np.exp(widening[rows])
        self.set_parameters(parameters)

    def set_step_size(self, before, scale=1.0):
        """Compute the change of the columns since a table in standard errors.

        `scale` is a factor of the errors, a number or one for each column.
        """
        change = np.abs(self.table.parameters - before.parameters)
        change = change[:, : self.n_parameters]
        std = self.std * np.reshape(scale, (-1, 1))
        change /= np.where(std > 0, std, np.nan)
        change[:, [AMPLITUDE, *range(SIGMA, change.shape[1])]] *= (
            _SETTINGS.width_step_ratio
        )
        self.step_size = np.nan_to_num(change).max(axis=1)

    def reject_misfits(self, reach, whole):
        """Reset columns that do not fit their profile, and keep them from stepping.

        Parameters
        ----------
        reach : float
            Columns within this distance of them step again, px.
        whole : ndarray of bool of shape (n,)
            Columns completely on the image; others may be far from their fit yet.
        """
        rejected = self.is_rejected = self._is_misfit() & whole
        parameters = self.table.parameters
        parameters[rejected] = self.start.parameters[rejected]
        self.set_parameters(parameters)
        if rejected.any():
            distance, _ = cKDTree(self.positions[rejected]).query(self.positions)
            self.step_size[distance < reach] = np.inf

    def _is_misfit(self):
        square, deviation = self.misfit.T
        is_misfit = square > _SETTINGS.max_misfit_ratio * max(
            self.statistics.misfit, 0.5
        )
        is_misfit &= deviation > _SETTINGS.max_deviation_share
        return is_misfit & (self.n_outliers >= MIN_N_OUTLIERS)

    def _is_plausible(self):
        sigma, high = self.table.sigma, self.high[:, SIGMA]
        good = (sigma > 1.01 * self.low[:, SIGMA]) & (sigma < 0.99 * high)
        good &= self.table.amplitude > 0
        moved = np.hypot(*(self.positions - self.start.positions).T)
        good &= moved < _SETTINGS.max_shift_spacings * self.spacing
        std = self.std[:, POSITION]
        good &= (std < _SETTINGS.max_std_spacings * self.spacing).all(axis=1)
        return good & ~self._is_misfit()

    def finish(self):
        """Return the fit of the columns.

        Returns
        -------
        fit : ColumnFit
            The columns.
        """
        usable = np.isfinite(self.std).all(axis=1)
        usable &= ~self.is_rejected & self._is_plausible()
        converged = usable & (self.step_size < 2 * self.tolerance)
        profile = self.start.profile
        if profile.n_shape:
            converged &= ~profile.is_at_bound(self.table.shape)
        table = self.table.replace(background=self.level)
        std = table.unknown().replace(
            amplitude=self.std[:, AMPLITUDE],
            positions=self.std[:, POSITION],
            sigma=self.std[:, SIGMA],
        )
        return ColumnFit(
            table,
            std,
            converged,
            usable,
            self.statistics,
            self.modes,
            self.is_joint,
        )


def _bounds(start, context, preliminary):
    """Return the lowest and highest amplitude, row, col and sigma of each column."""
    low = start.parameters[:, :N_COMMON]
    high = low.copy()
    low[:, AMPLITUDE], high[:, AMPLITUDE] = (
        0,
        _SETTINGS.max_growth_ratio * start.amplitude,
    )
    spacing, sigma = context.spacing, context.sigma
    for axis, length in enumerate(context.shape):
        # A column off the image may show as a maximum at the border.
        at_start = start.positions[:, axis] < spacing
        at_end = start.positions[:, axis] > length - 1 - spacing
        low[:, 1 + axis] -= np.where(at_start, 1, 0.4) * spacing
        high[:, 1 + axis] += np.where(at_end, 1, 0.4) * spacing
    is_wide = preliminary and sigma > OVERLAP_SIGMA_SPACINGS * spacing
    narrowest = _MIN_SIGMA_RATIOS[int(is_wide)] * sigma
    low[:, SIGMA], high[:, SIGMA] = max(narrowest, 0.3), 2 * sigma
    return low, high
