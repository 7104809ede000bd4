"""What the rounds of a fit of columns hand on, and how a step is taken."""

import numpy as np
from scipy.spatial import cKDTree

from .background import strength_of_overlap
from .columns import (
    AMPLITUDE,
    BACKGROUND,
    COL,
    ROW,
    SIGMA,
    STRETCH,
    ColumnFit,
    ellipse_of,
)
from .fisher_scoring import MIN_WILD

# Narrowest column in units of the width, and in first fits of columns of a width of so
# many spacings; and the longest ellipse.
_MIN_SIGMA, _WIDE_SPACINGS = (0.45, 0.6), 0.22
_MAX_RATIO = 2.5
# No column grows to more than so many times the height that it starts from.
_MAX_GROWTH = 10
# Columns this many widths apart stand alone.
_ALONE = 6
# Columns move on whose last step was longer than this, in standard errors: alone, the
# next one is several times shorter. Converged are those within twice of that.
_TOLERANCE_ALONE, _TOLERANCE = 0.5, 0.1
# Not trusted: squared pulls so many times the typical column's, and deviations that
# are so large a share of the column's height.
_MAX_MISFIT = 12
_MAX_DEVIATION = 0.15
# Standard deviations of the predicted centres of columns off the image, and of their
# heights relative to the predicted ones: those of the sites of strained crystals.
_OUTER_POSITION_STD_SPACINGS, _OUTER_HEIGHT_SCATTER = 0.1, 0.5


class ColumnState:
    """Columns on their way.

    Parameters
    ----------
    start : ColumnFit
        Where they start from, and what is typical of the image.
    shape : tuple of int
        Shape of the image.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.
    fits_stretch : bool, default=False
        Whether each column has a stretch of its own to fit.
    first_look : bool, default=False
        Whether this is a first fit, which is not to go astray.
    """

    def __init__(
        self, start, shape, spacing, width, fits_stretch=False, first_look=False
    ):
        self.start, self.table = start.columns, start.columns.copy()
        self.level, self.typical = start.table[:, BACKGROUND], start.typical
        self.low, self.high = _bounds(start.table, shape, spacing, width, first_look)
        self.spacing = spacing
        self.alone = spacing >= _ALONE * width and not self.is_elliptical
        self.overlap = strength_of_overlap(spacing, width)
        self.tolerance = _TOLERANCE_ALONE if self.alone else _TOLERANCE
        self.clip()
        self.background, self.regression = None, None
        n = len(self.table)
        # Amplitude, row, col, sigma; and the stretch where it is fitted.
        n_parameters = STRETCH.stop if fits_stretch else SIGMA + 1
        self.n_parameters, self.fits_stretch = n_parameters, fits_stretch
        self.std = np.full((n, n_parameters), np.nan)
        self.covariance = np.zeros((n, n_parameters, n_parameters))
        self.last_step = np.zeros((n, n_parameters))
        self.step_size = np.full(n, np.inf)
        self.relaxation = np.ones(n)
        # Mean squared pull of a column's pixels; their deviation over the height.
        self.misfit = np.full((n, 2), np.inf)
        # Number of pixels in a column's core that are held back.
        self.n_wild = np.zeros(n)
        self.modes = None
        # Gaussian priors of the parameters: means and inverse variances.
        self.prior_mean, self.prior_precision = np.zeros((2, n, n_parameters))
        # Columns that have been given up.
        self.spoilt = np.zeros(n, dtype=bool)

    @property
    def positions(self):
        """Where the columns are, px."""
        return self.table[:, ROW : COL + 1]

    @property
    def is_elliptical(self):
        """Whether columns are longer along one direction."""
        return self.table.shape[1] > SIGMA + 1

    def set_prior(self, whole, unit, width_scatter, outer=None):
        """Set the prior of columns that are not completely on the image.

        Parameters
        ----------
        whole : ndarray of bool of shape (n,)
            Columns with their whole windows on the image; they have no prior.
        unit : float
            Typical sigma, px.
        width_scatter : float
            Relative scatter of the sigmas around it, and of the stretch.
        outer : ndarray of bool of shape (n,), default=None
            Columns with predicted centres off the image.
        """
        mean, precision = self.prior_mean, self.prior_precision
        mean[:, SIGMA] = unit
        precision[~whole, SIGMA] = (width_scatter * unit) ** -2.0
        precision[~whole, SIGMA + 1 :] = width_scatter**-2.0
        if outer is not None:
            mean[:, :SIGMA] = self.start[:, :SIGMA]
            height = np.maximum(self.start[outer, AMPLITUDE], 1e-30)
            precision[outer, AMPLITUDE] = (_OUTER_HEIGHT_SCATTER * height) ** -2.0
            precision[outer, ROW : COL + 1] = (
                _OUTER_POSITION_STD_SPACINGS * self.spacing
            ) ** -2.0

    def prior_gradient(self):
        """Return the derivatives of the logarithm of the prior by the parameters."""
        deviation = self.prior_mean - self.table[:, : self.n_parameters]
        return self.prior_precision * deviation

    def prior_penalty(self):
        """Return the squared deviations from the prior means in prior variances."""
        deviation = self.prior_mean - self.table[:, : self.n_parameters]
        return float(np.sum(self.prior_precision * deviation**2))

    def moving(self, for_all=False):
        """Columns whose last step was long; or all that have not been given up."""
        moves = ~self.spoilt
        if not for_all:
            moves &= self.step_size > self.tolerance
        return np.flatnonzero(moves)

    def clip(self):
        """Keep all columns within their bounds."""
        columns = self.table[:, : SIGMA + 1]
        np.clip(columns, self.low, self.high, out=columns)
        if self.is_elliptical:
            stretch = self.table[:, STRETCH]
            length = np.hypot(*stretch.T)[:, None]
            limit = np.log(_MAX_RATIO)
            stretch *= limit / np.maximum(length, limit)

    def take_steps(self, rows, step):
        """Take bounded steps; note their size in standard errors.

        Parameters
        ----------
        rows : ndarray of int of shape (n_rows,)
            The columns that step.
        step : ndarray of shape (n_rows, n_parameters)
            How far they would.
        """
        std = self.std[rows]
        # Neighbours that overlap overshoot together: hold back whoever turns round.
        turned = np.nansum(step * self.last_step[rows] / std**2, axis=1) < 0
        relaxation = self.relaxation[rows]
        relaxation = np.where(turned, 0.7 * relaxation, np.minimum(1.2 * relaxation, 1))
        self.relaxation[rows] = np.maximum(relaxation, 0.3)
        self.last_step[rows] = step
        step = step * self.relaxation[rows, None]
        before = self.table
        sigma = before[rows, SIGMA, None]
        for places, limit in (
            (slice(ROW, COL + 1), 0.4 * sigma),
            (slice(SIGMA, SIGMA + 1), 0.25 * sigma),
            (STRETCH, 0.3),
        ):
            step[:, places] = np.clip(step[:, places], -limit, limit)
        self.table = before.copy()
        self.table[rows, : self.n_parameters] += step
        self.clip()
        change = np.abs(self.table[rows] - before[rows])[:, : self.n_parameters] / std
        # Where columns overlap, widths and heights crawl together; positions do not
        # mind.
        change[:, [AMPLITUDE, *range(SIGMA, change.shape[1])]] *= 0.1
        change = np.where(np.isfinite(change), change, np.inf)
        self.step_size[rows] = change.max(axis=1)

    def bounded(self, step):
        """Bound the steps of all columns such that the model stays nearly linear."""
        sigma = self.table[:, SIGMA, None]
        step = step.copy()
        for places, limit in (
            (slice(ROW, COL + 1), 0.4 * sigma),
            (slice(SIGMA, SIGMA + 1), 0.25 * sigma),
            (STRETCH, 0.3),
        ):
            step[:, places] = np.clip(step[:, places], -limit, limit)
        return step

    def advance(self, step):
        """Take steps of all columns within their bounds."""
        self.table = self.table.copy()
        self.table[:, : self.n_parameters] += step
        self.clip()

    def note_change(self, before):
        """Note how much the columns have changed, in standard errors."""
        change = np.abs(self.table - before)[:, : self.n_parameters]
        change /= np.where(self.std > 0, self.std, np.nan)
        change[:, [AMPLITUDE, *range(SIGMA, change.shape[1])]] *= 0.1
        self.step_size = np.nan_to_num(change).max(axis=1)

    def give_up(self, reach, whole):
        """Put columns that are no Gaussians back to where they started, to stay.

        Parameters
        ----------
        reach : float
            So far around them, columns have farther to go, px.
        whole : ndarray of bool of shape (n,)
            Columns that show whole; others may have a long way to go.
        """
        spoilt = self.spoilt = self._strange() & whole
        self.table[spoilt] = self.start[spoilt]
        self.clip()
        if spoilt.any():
            distance, _ = cKDTree(self.positions[spoilt]).query(self.positions)
            self.step_size[distance < reach] = np.inf

    def _strange(self):
        pull, deviation = self.misfit.T
        strange = pull > _MAX_MISFIT * max(self.typical.misfit, 0.5)
        return strange & (deviation > _MAX_DEVIATION) & (self.n_wild >= MIN_WILD)

    def _plausible(self):
        sigma, high = self.table[:, SIGMA], self.high[:, SIGMA]
        good = (sigma > 1.01 * self.low[:, SIGMA]) & (sigma < 0.99 * high)
        good &= self.table[:, AMPLITUDE] > 0
        moved = np.hypot(*(self.positions - self.start[:, ROW : COL + 1]).T)
        good &= moved < 0.35 * self.spacing
        good &= (self.std[:, ROW : COL + 1] < 0.25 * self.spacing).all(axis=1)
        return good & ~self._strange()

    def finish(self):
        """Make the fit of the state.

        Returns
        -------
        fit : ColumnFit
            The columns.
        """
        table = np.column_stack([self.table[:, : SIGMA + 1], self.level])
        unknown = np.full(len(table), np.nan)
        std = np.column_stack([self.std[:, : SIGMA + 1], unknown])
        converged = (self.step_size < 2 * self.tolerance) & np.isfinite(self.std).all(
            axis=1
        )
        converged &= ~self.spoilt & self._plausible()
        ellipse = None
        if self.is_elliptical:
            ellipse = ellipse_of(self.table[:, STRETCH])
            converged &= ellipse[:, 0] < 0.99 * _MAX_RATIO
        return ColumnFit(table, std, converged, ellipse, self.typical, self.modes)


def _bounds(start, shape, spacing, width, first_look):
    start = start[:, : SIGMA + 1]
    low, high = start.copy(), start.copy()
    low[:, AMPLITUDE], high[:, AMPLITUDE] = 0, _MAX_GROWTH * start[:, AMPLITUDE]
    for axis in (ROW, COL):
        # A column off the image may show as a maximum at the border.
        at_start = start[:, axis] < spacing
        at_end = start[:, axis] > shape[axis - ROW] - 1 - spacing
        low[:, axis] -= np.where(at_start, 1, 0.4) * spacing
        high[:, axis] += np.where(at_end, 1, 0.4) * spacing
    # Where columns overlap, the background may take what narrow ones leave.
    is_wide = first_look and width > _WIDE_SPACINGS * spacing
    narrowest = _MIN_SIGMA[int(is_wide)] * width
    low[:, SIGMA], high[:, SIGMA] = max(narrowest, 0.3), 2 * width
    return low, high
