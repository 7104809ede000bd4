"""Fisher-scoring steps of many columns at once."""

import numpy as np
from scipy.spatial import cKDTree

from .settings import FITTING

# With this number of outliers in its core, a column does not fit its profile: that is
# more than chance.
MIN_N_OUTLIERS = 3


_SETTINGS = FITTING.fisher_scoring


class Pixels:
    """Residual of an image, and weights of its pixels.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    """

    def __init__(self, windows):
        self.windows = windows
        self.expected = self.noise = None
        # Whether residual and weight are those of the expected image.
        self.is_current = False
        self.residual, self.weight, self.weighted = np.empty(
            (3, *windows.shape), dtype=np.float32
        )
        self.limit = np.inf
        # Outliers, and whether a column's window contains one.
        self.outliers = np.empty(0, dtype=np.intp)
        self.is_near_outlier = np.zeros(len(windows.anchor), dtype=bool)

    def update(self, expected, statistics):
        """Compute residual and weights for another model.

        Parameters
        ----------
        expected : ndarray of shape (n_padded_rows, n_padded_cols)
            Expected image of all columns and the background, padded.
        statistics : ImageStatistics
            Pixel variance and misfit, which decides what is an outlier.
        """
        self.expected, self.noise = expected, statistics.noise
        self.is_current = True
        self.limit = _SETTINGS.max_residual_std**2 * max(1, statistics.misfit)
        np.subtract(self.windows.image, expected, out=self.residual)
        self.noise.variance(expected, out=self.weight)
        np.divide(np.float32(1), self.weight, out=self.weight)
        self.windows.clear(self.weight)
        self.windows.clear(self.residual)
        # The squares are written where the weighted residual will be.
        np.square(self.residual, out=self.weighted)
        self.weighted *= self.weight
        self._find_outliers(self.weighted)
        np.multiply(self.residual, self.weight, out=self.weighted)

    def update_windows(self, rows):
        """Prepare the windows of some columns for an expected image that has changed.

        Only these may be cut until the next update of all pixels.

        Parameters
        ----------
        rows : ndarray of int of shape (n,)
            The columns.
        """
        self.is_current = False
        for part in self.windows.chunks(rows):
            residual, weight = self.cut(part)
            square = residual**2 * weight
            self.is_near_outlier[part] = (square > self.limit).any(axis=1)

    def _find_outliers(self, square):
        windows = self.windows
        self.is_near_outlier[:] = False
        self.outliers = np.empty(0, dtype=np.intp)
        if square.max() > self.limit:
            self.outliers = np.flatnonzero(square > self.limit)
            place = np.stack(np.divmod(self.outliers, square.shape[1]), axis=1)
            reach = windows.side // 2
            distance, _ = cKDTree(place).query(
                windows.corner + reach, p=np.inf, distance_upper_bound=reach + 0.5
            )
            self.is_near_outlier = np.isfinite(distance)

    def cut(self, rows):
        """Return residual and weight on the windows of some columns.

        Parameters
        ----------
        rows : ndarray of int of shape (n,)
            The columns.

        Returns
        -------
        residual, weight : ndarray of shape (n, n_pixels)
            Zero for bad pixels.
        """
        windows = self.windows
        if self.is_current:
            return windows.cut(self.residual, rows), windows.cut(self.weight, rows)
        expected = windows.cut(self.expected, rows)
        weight = np.float32(1) / self.noise.variance(expected)
        residual = windows.cut(windows.image, rows) - expected
        for values in (weight, residual):
            windows.clear_masked(rows, values)
        return residual, weight

    def clip(self, image):
        """Subtract the excess of outliers from an image that includes the residual."""
        if self.outliers.size:
            residual = self.residual.flat[self.outliers]
            square = residual * self.weighted.flat[self.outliers]
            share = 1 - np.sqrt(self.limit / np.maximum(square, self.limit))
            image.flat[self.outliers] -= share * residual

    def clip_weighted(self, weighted):
        """Clip the weighted residual of outliers."""
        if self.outliers.size:
            square = (
                self.residual.flat[self.outliers] * self.weighted.flat[self.outliers]
            )
            weighted.flat[self.outliers] *= np.sqrt(
                self.limit / np.maximum(square, self.limit)
            )

    def deviance(self, expected):
        """Return the quasi-deviance of the good pixels from a model.

        Its derivative by the model is that of the squared residual with weights kept
        fixed, so that steps with weights of the model decrease it.
        """
        windows = self.windows
        image, expected = windows.image[windows.crop], expected[windows.crop]
        total = 0.0
        for first in range(0, len(image), _SETTINGS.n_block_rows):
            rows = slice(first, first + _SETTINGS.n_block_rows)
            deviance = self.noise.deviance(
                image[rows].astype(np.float64), expected[rows].astype(np.float64)
            )
            if windows.mask is not None:
                deviance *= windows.mask[rows]
            total += float(deviance.sum())
        return total

    def shift(self, change):
        """Update the residual for a change of the background; weights are kept.

        Parameters
        ----------
        change : ndarray of shape (n_padded_rows, n_padded_cols)
            The change.
        """
        self.expected += change
        self.residual -= change
        self.windows.clear(self.residual)
        np.multiply(self.residual, self.weight, out=self.weighted)


def scoring_steps(windows, state, active, pixels, *, measure=False):
    """Compute Fisher-scoring steps of columns.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    state : ColumnState
        The columns; standard errors are stored, and misfits if measured.
    active : ndarray of int of shape (n_active,)
        The columns that are to step.
    pixels : Pixels
        Residual and weights.
    measure : bool, default=False
        Whether to measure the misfits.

    Returns
    -------
    step : ndarray of shape (n_active, n_parameters)
        Change of the parameters.
    """
    step = np.empty((len(active), state.n_parameters))
    profile = state.table.profile
    prior_gradient = state.prior_gradient()
    # The information hardly changes with a short step of a whole, round column.
    is_stale = (
        state.step_size[active] > _SETTINGS.max_stale_step_std
    ) | ~windows.whole[active]
    is_stale |= not state.is_round
    for places in (np.flatnonzero(is_stale), np.flatnonzero(~is_stale)):
        if not places.size:
            continue
        is_recent = not is_stale[places[0]]
        moments = [
            _moments(windows, state, rows, pixels, measure, is_recent)
            for rows in windows.chunks(active[places])
        ]
        gradient, information = zip(*moments, strict=True)
        gradient = np.concatenate(gradient)
        information = None if is_recent else np.concatenate(information)
        for first in range(0, len(places), _SETTINGS.n_block_columns):
            block = slice(first, first + _SETTINGS.n_block_columns)
            rows = active[places[block]]
            right, normal = profile.normal_equations(
                state.table.take(rows),
                windows.anchor[rows],
                windows.unit,
                gradient[block],
                None if is_recent else information[block],
                state.n_parameters,
            )
            right = right + prior_gradient[rows]
            if not is_recent:
                np.einsum("nii->ni", normal)[:] += state.prior_precision[rows]
                state.covariance[rows], state.std[rows] = _invert(normal)
            part = (state.covariance[rows] @ right[:, :, None])[:, :, 0]
            step[places[block]] = np.where(np.isfinite(part), part, 0)
    return step


def common_stretch_step(windows, table, pixels):
    """Compute a step of the stretch that all columns have in common.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    table : ColumnTable
        The columns, with an elliptical profile.
    pixels : Pixels
        Residual and weights.

    Returns
    -------
    step : ndarray of shape (2,)
        Change of the stretch: the weighted median of the steps of single columns.
    std : float
        Its standard error.
    """
    rows = np.flatnonzero(windows.whole & ~pixels.is_near_outlier)
    profile = table.profile
    n_shape = profile.n_shape
    gradient, information = [np.empty((0, n_shape))], [np.empty((0, n_shape))]
    for part in windows.chunks(rows):
        own, values = table.take(part), windows.values(table, part)
        first = profile.gradient_moments(
            own, windows, part, values, windows.cut(pixels.weighted, part)
        )
        second = profile.information_moments(
            own, windows, part, values, windows.cut(pixels.weight, part)
        )
        slope, curvature = profile.shape_equations(
            own, windows.anchor[part], windows.unit, first, second
        )
        gradient.append(slope)
        information.append(curvature)
    gradient, information = np.concatenate(gradient), np.concatenate(information)
    known = (information > 0).all(axis=1)
    gradient, information = gradient[known], information[known]
    if not len(gradient):
        return np.zeros(n_shape), np.inf
    step = [
        weighted_median(own / weight, weight)
        for own, weight in zip(gradient.T, information.T, strict=True)
    ]
    # Medians of a normal distribution scatter 1.25 times as much as means.
    return np.array(step), 1.25 / np.sqrt(information.sum(axis=0).min())


def weighted_median(values, weight):
    """Return the value below which half of the weight lies."""
    order = np.argsort(values)
    share = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])


def _moments(windows, state, rows, pixels, measure, is_recent):
    """Return sums for the gradient and, unless it is recent, for the information."""
    table = state.table.take(rows)
    profile = table.profile
    values = profile.on_windows(table, windows, rows)
    is_near_outlier = pixels.is_near_outlier[rows]
    if is_recent and not measure and not is_near_outlier.any():
        weighted = windows.cut(pixels.weighted, rows)
        weight = None
    else:
        residual, weight = pixels.cut(rows)
        weighted = residual * weight
        if measure:
            _measure_misfit(windows, state, rows, weighted, residual, values)
        if is_near_outlier.any():
            square = weighted * residual
            _downweight_outliers(state, rows, square, values, weighted, pixels.limit)
    gradient = profile.gradient_moments(table, windows, rows, values, weighted)
    if is_recent:
        return gradient, None
    return gradient, profile.information_moments(table, windows, rows, values, weight)


def _measure_misfit(windows, state, rows, weighted, residual, values):
    """Store mean squared residuals, weighted by the value of the column there."""
    total = np.maximum(values @ windows.disc, 1e-30)
    height = np.maximum(state.table.amplitude[rows], 1e-30)
    for number, factor in enumerate((weighted, residual)):
        square = np.einsum("np,np->n", factor * residual, values)
        state.misfit[rows, number] = square / total
    state.misfit[rows, 1] = np.sqrt(state.misfit[rows, 1]) / height
    state.n_outliers[rows] = 0


def _downweight_outliers(state, rows, square, values, weighted, limit):
    """Clip the weighted residual of outliers in place, and count those in the cores."""
    found = np.flatnonzero(square.max(axis=1) > limit)
    if found.size:
        is_core = values[found] > _SETTINGS.core_height_share
        n_outliers = ((square[found] > limit) & is_core).sum(axis=1)
        state.n_outliers[rows[found]] = n_outliers
        share = limit / np.maximum(square[found], limit)
        # Few outliers are downweighted by the square of their excess. With many, too
        # few pixels would determine the column.
        many = n_outliers >= MIN_N_OUTLIERS
        share[many] = np.sqrt(share[many])
        weighted[found] *= share


def _invert(normal):
    """Invert the damped normal equations; NaN errors where they are singular."""
    diagonal = np.einsum("nii->ni", normal)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    scaled = normal * scale[:, :, None] * scale[:, None]
    index = np.arange(normal.shape[1])
    # Levenberg's term keeps a column without information at rest.
    scaled[:, index, index] += 1e-5
    inverse = _inverse(scaled)
    inverse *= scale[:, :, None] * scale[:, None]
    variance = np.einsum("nii->ni", inverse)
    informative = (diagonal > 0) & (variance > 0)
    return inverse, np.sqrt(np.where(informative, variance, np.nan))


def _inverse(matrices):
    """Invert small positive definite matrices, all at once."""
    inverse = np.ascontiguousarray(matrices.transpose(1, 2, 0))
    for place in range(len(inverse)):
        pivot = 1 / inverse[place, place]
        row = inverse[place] * pivot
        column = inverse[:, place].copy()
        column[place] = 0
        inverse -= column[:, None] * row
        inverse[:, place] = -column * pivot
        inverse[place] = row
        inverse[place, place] = pivot
    return inverse.transpose(2, 0, 1)
