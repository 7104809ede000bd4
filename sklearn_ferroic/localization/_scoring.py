"""Fisher-scoring steps of many Gaussian columns at once."""

import numpy as np

from ._columns import AMPLITUDE, SIGMA
from ._gaussian import PRODUCT, slopes

# Columns whose equations are solved at a time.
_BLOCK = 4096
# Pixels pull at most so many of their standard deviations.
MAX_PULL = 6
# So many wild pixels in the core of a column, above this share of its height, are
# more than accidents.
MIN_WILD = 3
_CORE = 0.2


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
        self.residual, self.weight = np.empty((2, *windows.shape), dtype=np.float32)
        self.ready = False

    def update(self, expected, noise, *, sparse=False):
        """Take another model.

        Parameters
        ----------
        expected : ndarray of shape (n_padded_rows, n_padded_cols)
            What all columns and the background make, padded.
        noise : NoiseModel
            Pixel variance.
        sparse : bool, default=False
            Whether only a few windows will be looked at.
        """
        self.expected, self.noise, self.ready = expected, noise, not sparse
        if self.ready:
            np.subtract(self.windows.image, expected, out=self.residual)
            noise.variance(expected, out=self.weight)
            np.divide(np.float32(1), self.weight, out=self.weight)
            self.windows.clear(self.weight)
            self.windows.clear(self.residual)

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
        if self.ready:
            return windows.cut(self.residual, rows), windows.cut(self.weight, rows)
        mean = windows.cut(self.expected, rows)
        residual = windows.cut(windows.image, rows)
        residual -= mean
        weight = self.noise.variance(mean)
        np.divide(np.float32(1), weight, out=weight)
        windows.mask(rows, weight)
        windows.mask(rows, residual)
        return residual, weight

    def tame(self, image, limit):
        """Take from an image what residuals are in excess.

        Parameters
        ----------
        image : ndarray of shape (n_padded_rows, n_padded_cols)
            The image that holds the residuals.
        limit : float
            Bound of their squared pulls.
        """
        square = self.residual * self.residual
        square *= self.weight
        wild = np.flatnonzero(square > limit)
        share = 1 - np.sqrt(limit / square.flat[wild])
        image.flat[wild] -= share * self.residual.flat[wild]

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


def scoring_steps(windows, state, active, pixels, width_scatter):
    """Compute Fisher-scoring steps of columns.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    state : State
        The columns; their standard errors and misfits are set.
    active : ndarray of int of shape (n_active,)
        The columns that are to step.
    pixels : Pixels
        What the image is beyond the model, and how much that counts.
    width_scatter : float
        Relative scatter of the sigma of columns that the border cuts.

    Returns
    -------
    step : ndarray of shape (n_active, n_parameters)
        Change of the table.
    """
    step = np.empty((len(active), state.table.shape[1]))
    moments = [
        _moments(windows, state, rows, pixels) for rows in windows.chunks(active)
    ]
    gradient, information = map(np.concatenate, zip(*moments, strict=True))
    for first in range(0, len(active), _BLOCK):
        block = slice(first, first + _BLOCK)
        rows = active[block]
        table = state.table[rows]
        slope = slopes(table, windows.anchor[rows], windows.unit)
        normal = slope @ information[block][:, PRODUCT] @ slope.transpose(0, 2, 1)
        right = (slope @ gradient[block, :, None])[:, :, 0]
        _add_typical_shape(normal, right, windows, table, rows, width_scatter)
        step[block], state.std[rows] = _solve(normal, right)
    return step


def _moments(windows, state, rows, pixels):
    """Moments of residual and information on the windows; sets the misfits."""
    shape = windows.gaussians(state.table, rows)
    residual, weight = pixels.cut(rows)
    pull = residual * weight
    height = np.maximum(state.table[rows, AMPLITUDE], 1e-30)
    # What lies at the border of a window is other columns' business.
    total = np.maximum(shape @ windows.disc, 1e-30)
    square = pull * residual
    state.misfit[rows, 0] = np.einsum("np,np->n", square, shape) / total
    residual *= residual
    deviation = np.einsum("np,np->n", residual, shape) / total
    state.misfit[rows, 1] = np.sqrt(deviation) / height
    _hold_back(state, rows, square, shape, pull)
    pull *= shape
    gradient = pull @ windows.quadratic_on_disc
    weight *= shape
    weight *= shape
    information = weight @ windows.quartic_on_disc
    return gradient.astype(np.float64), information.astype(np.float64)


def _hold_back(state, rows, square, shape, pull):
    """Bound the pull of wild pixels: hot ones, or another column's defect."""
    limit = MAX_PULL**2 * max(1, state.typical_misfit)
    wild = np.flatnonzero(square.max(axis=1) > limit)
    state.n_wild[rows] = 0
    if wild.size:
        n_wild = ((square[wild] > limit) & (shape[wild] > _CORE)).sum(axis=1)
        state.n_wild[rows[wild]] = n_wild
        share = limit / np.maximum(square[wild], limit)
        # A few count the less, the further off they are; if they are many, that
        # would set the column adrift.
        many = n_wild >= MIN_WILD
        share[many] = np.sqrt(share[many])
        pull[wild] *= share


def _add_typical_shape(normal, gradient, windows, table, rows, width_scatter):
    """Add what the typical shape tells of the columns that the border cuts."""
    precision = np.where(windows.whole[rows], 0, (width_scatter * windows.unit) ** -2.0)
    normal[:, SIGMA, SIGMA] += precision
    gradient[:, SIGMA] += precision * (windows.unit - table[:, SIGMA])
    for place in range(SIGMA + 1, table.shape[1]):
        normal[:, place, place] += precision * windows.unit**2
        gradient[:, place] -= precision * windows.unit**2 * table[:, place]


def _solve(normal, gradient):
    """Solve the damped normal equations; NaN errors where they are singular."""
    diagonal = np.einsum("nii->ni", normal)
    scale = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1))
    scaled = normal * scale[:, :, None] * scale[:, None]
    index = np.arange(normal.shape[1])
    # Levenberg's term keeps a column without information at rest.
    scaled[:, index, index] += 1e-5
    inverse = _inverse(scaled)
    step = (inverse @ (gradient * scale)[:, :, None])[:, :, 0] * scale
    variance = np.einsum("nii->ni", inverse) * scale**2
    informative = (diagonal > 0) & (variance > 0)
    std = np.sqrt(np.where(informative, variance, np.nan))
    return np.where(np.isfinite(step), step, 0), std


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
