"""Fisher-scoring steps of many Gaussian columns at once."""

import numpy as np
from scipy.spatial import cKDTree

from .columns import AMPLITUDE, STRETCH
from .profiles import PRODUCT, slopes

# Columns whose equations are solved at a time.
_BLOCK = 4096
# Pixels pull at most so many of their standard deviations.
_MAX_PULL = 6
# So many wild pixels in the core of a column, above this share of its height, are
# more than accidents.
MIN_WILD = 3
_CORE = 0.2
# A column's information is computed anew where its last step was longer than this, in
# standard errors.
_STALE = 1.0


class Pixels:
    """What the image is beyond a model of it, and how much that counts.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    """

    def __init__(self, windows):
        self.windows = windows
        self.expected = self.noise = None
        self.residual, self.weight, self.pull = np.empty(
            (3, *windows.shape), dtype=np.float32
        )
        self.limit = np.inf
        # Pixels that are held back, and whether a column's window holds one.
        self.wild = np.empty(0, dtype=np.intp)
        self.beside_wild = np.zeros(len(windows.anchor), dtype=bool)

    def update(self, expected, typical):
        """Take another model.

        Parameters
        ----------
        expected : ndarray of shape (n_padded_rows, n_padded_cols)
            Expected image of all columns and the background, padded.
        typical : Typical
            Holds the pixel variance and what counts as an outlier.
        """
        self.expected, self.noise = expected, typical.noise
        self.limit = _MAX_PULL**2 * max(1, typical.misfit)
        np.subtract(self.windows.image, expected, out=self.residual)
        self.noise.variance(expected, out=self.weight)
        np.divide(np.float32(1), self.weight, out=self.weight)
        self.windows.clear(self.weight)
        self.windows.clear(self.residual)
        # The squares are written where the weighted residual will be.
        np.square(self.residual, out=self.pull)
        self.pull *= self.weight
        self._find_wild(self.pull)
        np.multiply(self.residual, self.weight, out=self.pull)

    def _find_wild(self, square):
        windows = self.windows
        self.beside_wild[:] = False
        self.wild = np.empty(0, dtype=np.intp)
        if square.max() > self.limit:
            self.wild = np.flatnonzero(square > self.limit)
            place = np.stack(np.divmod(self.wild, square.shape[1]), axis=1)
            reach = windows.side // 2
            distance, _ = cKDTree(place).query(
                windows.corner + reach, p=np.inf, distance_upper_bound=reach + 0.5
            )
            self.beside_wild = np.isfinite(distance)

    def cut(self, rows):
        """Residual and weight on the windows of some columns.

        Parameters
        ----------
        rows : ndarray of int of shape (n,)
            The columns.

        Returns
        -------
        residual, weight : ndarray of shape (n, n_pixels)
            Zero where pixels do not count.
        """
        windows = self.windows
        return windows.cut(self.residual, rows), windows.cut(self.weight, rows)

    def tame(self, image):
        """Take from an image that holds the residuals what they are in excess."""
        if self.wild.size:
            residual = self.residual.flat[self.wild]
            square = residual * self.pull.flat[self.wild]
            share = 1 - np.sqrt(self.limit / np.maximum(square, self.limit))
            image.flat[self.wild] -= share * residual

    def tame_pull(self, pull):
        """Bound the weighted residual of pixels that are held back."""
        if self.wild.size:
            square = self.residual.flat[self.wild] * self.pull.flat[self.wild]
            pull.flat[self.wild] *= np.sqrt(self.limit / np.maximum(square, self.limit))

    def weighted_square(self, expected):
        """Return the squared residual of a model, weighted as for the model before."""
        residual = self.windows.image - expected
        np.square(residual, out=residual)
        return float(np.vdot(self.weight, residual))

    def shift(self, change):
        """Follow a change of the background; weights hardly do.

        Parameters
        ----------
        change : ndarray of shape (n_padded_rows, n_padded_cols)
            The change.
        """
        self.expected += change
        self.residual -= change
        self.windows.clear(self.residual)
        np.multiply(self.residual, self.weight, out=self.pull)


def scoring_steps(windows, state, active, pixels, *, measure=False):
    """Compute Fisher-scoring steps of columns.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    state : ColumnState
        The columns; their standard errors are set, and their misfits if asked for.
    active : ndarray of int of shape (n_active,)
        The columns that are to step.
    pixels : Pixels
        What the image is beyond the model, and how much that counts.
    measure : bool, default=False
        Whether to measure the misfits.

    Returns
    -------
    step : ndarray of shape (n_active, n_parameters)
        Change of the table.
    """
    step = np.empty((len(active), state.n_parameters))
    # The information hardly changes with a short step of a whole, round column.
    stale = (state.step_size[active] > _STALE) | ~windows.whole[active]
    # Few columns are done faster all alike.
    stale |= state.is_elliptical
    for places in (np.flatnonzero(stale), np.flatnonzero(~stale)):
        if not places.size:
            continue
        fresh = not stale[places[0]]
        moments = [
            _moments(windows, state, rows, pixels, measure, fresh)
            for rows in windows.chunks(active[places])
        ]
        gradient, information = zip(*moments, strict=True)
        gradient = np.concatenate(gradient)
        information = None if fresh else np.concatenate(information)
        for first in range(0, len(places), _BLOCK):
            block = slice(first, first + _BLOCK)
            rows = active[places[block]]
            table = state.table[rows]
            slope = slopes(table, windows.anchor[rows], windows.unit)
            slope = slope[:, : state.n_parameters]
            right = (slope @ gradient[block, :, None])[:, :, 0]
            right += state.prior_gradient()[rows]
            if not fresh:
                normal = slope @ information[block][:, PRODUCT]
                normal = normal @ slope.transpose(0, 2, 1)
                np.einsum("nii->ni", normal)[:] += state.prior_precision[rows]
                state.covariance[rows], state.std[rows] = _invert(normal)
            part = (state.covariance[rows] @ right[:, :, None])[:, :, 0]
            step[places[block]] = np.where(np.isfinite(part), part, 0)
    return step


def common_stretch_step(windows, table, pixels):
    """Compute by how much all columns should be stretched in common.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    table : ndarray of shape (n, 6)
        The columns, with their stretch.
    pixels : Pixels
        What the image is beyond the model, and how much that counts.

    Returns
    -------
    step : ndarray of shape (2,)
        Change of the stretch: the weighted median of what single columns ask for.
    std : float
        Its standard error.
    """
    rows = np.flatnonzero(windows.whole & ~pixels.beside_wild)
    gradient, information = [np.empty((0, 2))], [np.empty((0, 2))]
    for part in windows.chunks(rows):
        shape = windows.gaussians(table, part)
        slope = slopes(table[part], windows.anchor[part], windows.unit)[:, STRETCH]
        pull = windows.cut(pixels.pull, part)
        pull *= shape
        moments = (pull @ windows.quadratic_on_disc).astype(np.float64)
        gradient.append((slope @ moments[:, :, None])[:, :, 0])
        weight = windows.cut(pixels.weight, part)
        weight *= shape
        weight *= shape
        moments = (weight @ windows.quartic_on_disc).astype(np.float64)[:, PRODUCT]
        information.append(np.einsum("nai,nij,naj->na", slope, moments, slope))
    gradient, information = np.concatenate(gradient), np.concatenate(information)
    known = (information > 0).all(axis=1)
    gradient, information = gradient[known], information[known]
    if not len(gradient):
        return np.zeros(2), np.inf
    step = [
        weighted_median(own / weight, weight)
        for own, weight in zip(gradient.T, information.T, strict=True)
    ]
    # Of a normal distribution, medians scatter 1.25 times as much as means.
    return np.array(step), 1.25 / np.sqrt(information.sum(axis=0).min())


def weighted_median(values, weight):
    """Return the value below which half of the weight lies."""
    order = np.argsort(values)
    share = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])


def _moments(windows, state, rows, pixels, measure, fresh):
    """Moments of residual and, unless it is fresh, information on the windows."""
    shape = windows.gaussians(state.table, rows)
    wild = pixels.beside_wild[rows]
    if fresh and not measure and not wild.any():
        pull = windows.cut(pixels.pull, rows)
        weight = None
    else:
        residual, weight = pixels.cut(rows)
        pull = residual * weight
        if measure:
            _measure_misfit(windows, state, rows, pull, residual, shape)
        if wild.any():
            square = pull * residual
            _hold_back(state, rows, square, shape, pull, pixels.limit)
    pull *= shape
    gradient = (pull @ windows.quadratic_on_disc).astype(np.float64)
    if fresh:
        return gradient, None
    weight *= shape
    weight *= shape
    return gradient, (weight @ windows.quartic_on_disc).astype(np.float64)


def _measure_misfit(windows, state, rows, pull, residual, shape):
    # What lies at the border of a window is other columns' business.
    total = np.maximum(shape @ windows.disc, 1e-30)
    height = np.maximum(state.table[rows, AMPLITUDE], 1e-30)
    for place, factor in enumerate((pull, residual)):
        square = np.einsum("np,np->n", factor * residual, shape)
        state.misfit[rows, place] = square / total
    state.misfit[rows, 1] = np.sqrt(state.misfit[rows, 1]) / height
    state.n_wild[rows] = 0


def _hold_back(state, rows, square, shape, pull, limit):
    """Bound the pull of wild pixels: hot ones, or another column's defect."""
    wild = np.flatnonzero(square.max(axis=1) > limit)
    if wild.size:
        n_wild = ((square[wild] > limit) & (shape[wild] > _CORE)).sum(axis=1)
        state.n_wild[rows[wild]] = n_wild
        share = limit / np.maximum(square[wild], limit)
        # A few count the less, the further off they are; if they are many, that
        # would set the column adrift.
        many = n_wild >= MIN_WILD
        share[many] = np.sqrt(share[many])
        pull[wild] *= share


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
