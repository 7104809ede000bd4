"""Displacement of the scan lines as a smooth drift plus jitter, with its error.

The displacement of line r is a Gaussian process: a straight line, a slow part that is
coherent over several spacings, and jitter that is coherent only within a column,
because a column is the mean over the lines that cross it. Columns at about the same row
measure it together. The sizes of the parts are those of maximum likelihood.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from ..._utils.robust import STD_PER_MEDIAN

# Prior standard deviations of the slope, over the image, and of the constant, px:
# large, because neither is known beforehand.
_BROAD_PX = 300.0
# Bounds of the standard deviations of drift and jitter, px, and of the length over
# which drift is coherent, in spacings and in images.
_SIZE_BOUNDS_PX = (1e-3, 20.0)
_MIN_LENGTH_SPACINGS = 2.5
_MAX_LENGTH_IMAGES = 1.0
# Rows of pixels are joined if there are more: the cost grows with the cube.
_MAX_BINS = 1200
# More bins than this do not improve the estimate of the sizes.
_MAX_FIT_BINS = 250
# Lengths of the grid on which the search begins, and its evaluations of the likelihood.
_N_LENGTHS = 4
_MAX_EVALUATIONS = 80
# Columns whose residual exceeds this number of robust standard deviations are left out
# in this number of rounds.
_OUTLIER_DEVIATIONS = 4.0
_N_ROUNDS = 3
# Rounds end when no more than this share of the columns changes.
_SETTLED_SHARE = 0.002
# Smallest standard deviation of the columns that weights assume.
LEAST_STD_PX = 1e-3
# Lines at which the posterior is computed, at most; others are interpolated.
_MAX_LINES = 1500
_TINY_PX2 = 1e-8
# Width of the window over which the specimen's own displacements are smooth.
_STRUCTURE_SPACINGS = 2.5


@dataclass(frozen=True)
class LineDisplacement:
    """Displacement of every scan line along one axis.

    Parameters
    ----------
    shift, std : ndarray of shape (n_rows,)
        Displacement and its standard error, px.
    drift_std, jitter_std : float
        Prior standard deviations of the slow part and the jitter, px.
    drift_length : float
        Number of lines over which the slow part is coherent, px.
    used : ndarray of bool of shape (n_columns,)
        Columns that are not outliers.
    """

    shift: np.ndarray
    std: np.ndarray
    drift_std: float
    jitter_std: float
    drift_length: float
    used: np.ndarray


@dataclass(frozen=True)
class LinePrior:
    """Parts of the displacement that are estimated.

    Parameters
    ----------
    constant, slope, drift : bool
        Whether there are a constant, a straight line and a slow part.
    jitter_length : float
        Rows over which the jitter of columns is coherent: their sigma, px.
    spacing : float
        Distance of nearest columns, px.
    """

    constant: bool
    slope: bool
    drift: bool
    jitter_length: float
    spacing: float


def fit_lines(rows, values, variance, n_rows, prior, jitter_std=None, previous=None):
    """Estimate the displacement of every scan line from columns.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        Rows of the columns in the image, px.
    values : ndarray of shape (n,)
        Displacements that the columns show, px.
    variance : ndarray of shape (n,)
        Their variances from the noise of the image, px²; the scatter of the specimen's
        own displacements is estimated and added.
    n_rows : int
        Number of scan lines.
    prior : LinePrior
        The parts to estimate.
    jitter_std : float, default=None
        Size of the jitter if it is known and there is no slow part, px.
    previous : LineDisplacement, default=None
        Earlier result of the same lines, from whose sizes the search begins.

    Returns
    -------
    displacement : LineDisplacement
        The result.
    """
    used = np.isfinite(values) & np.isfinite(variance)
    finite = used.copy()
    if np.count_nonzero(used) < 3:
        unknown = np.zeros(n_rows), np.full(n_rows, np.inf)
        return LineDisplacement(*unknown, 0.0, 0.0, 1.0, used)
    # Columns of another domain that make up a row of pixels of their own.
    rest = np.abs(values[used] - row_medians(rows[used], values[used], prior.spacing))
    typical = max(STD_PER_MEDIAN * np.median(rest), np.sqrt(_TINY_PX2))
    used[used] = rest <= _OUTLIER_DEVIATIONS * typical
    step = max(1, int(np.ceil(n_rows / _MAX_LINES)))
    lines = np.arange(0, n_rows + step - 1, step, dtype=float)
    sizes = None
    if previous is not None and previous.used.any():
        sizes = previous.drift_std, previous.jitter_std, previous.drift_length
    for round_ in range(_N_ROUNDS):
        structure = _scatter_within_bins(rows[used], values[used], variance[used])
        bins = _bin(rows[used], values[used], variance[used] + structure)
        if jitter_std is None:
            # Outliers hardly change sizes that are known from an earlier result.
            if round_ == 0 or previous is None:
                sizes = _fit_sizes(bins, prior, n_rows, sizes)
        else:
            sizes = np.array([0.0, max(jitter_std, _SIZE_BOUNDS_PX[0]), 1.0])
        posterior = _Posterior(bins, sizes, prior, n_rows)
        at_columns = np.interp(rows[finite], lines, posterior.mean(lines))
        rest = np.full(len(values), np.inf)
        rest[finite] = np.abs(values[finite] - at_columns)
        typical = STD_PER_MEDIAN * np.median(rest[finite])
        kept = rest <= _OUTLIER_DEVIATIONS * max(typical, np.sqrt(_TINY_PX2))
        changed = np.count_nonzero(kept != used)
        if changed <= _SETTLED_SHARE * len(kept) or np.count_nonzero(kept) < 3:
            break
        used = kept
    shift, std = posterior.mean(lines), posterior.std(lines)
    every = np.arange(n_rows)
    return LineDisplacement(
        np.interp(every, lines, shift),
        np.interp(every, lines, std),
        float(sizes[0]),
        float(sizes[1]),
        float(sizes[2]),
        used,
    )


def row_medians(rows, values, spacing):
    """Return the median over the columns of about the same row, for each column.

    Parameters
    ----------
    rows, values : ndarray of shape (n,)
        Rows of the columns and their displacements, px.
    spacing : float
        Distance of nearest columns, px; columns within a quarter of it are joined.

    Returns
    -------
    medians : ndarray of shape (n,)
        The medians, px.
    """
    step = spacing / 8
    places, own = np.unique(np.rint(rows / step), return_inverse=True)
    order = np.argsort(rows)
    start = np.searchsorted(rows[order], places * step - spacing / 4)
    stop = np.searchsorted(rows[order], places * step + spacing / 4, side="right")
    values = values[order]
    medians = [np.median(values[i:j]) for i, j in zip(start, stop, strict=True)]
    return np.array(medians)[own]


def structure_field(positions, rest, spacing):
    """Return the smooth part of displacements that differs within the rows.

    Displacements of the specimen, such as strain, vary along the rows, whereas lines
    are displaced as a whole.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px.
    rest : ndarray of shape (n,)
        Displacements that the lines leave, px.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    field : ndarray of shape (n,)
        Local mean of the displacements minus its mean over the row, px.
    """
    width = _STRUCTURE_SPACINGS * spacing
    tree = cKDTree(positions)
    pairs = tree.query_pairs(2 * width, output_type="ndarray")
    square = np.square(positions[pairs[:, 0]] - positions[pairs[:, 1]]).sum(axis=1)
    weight = np.exp(-square / (2 * width**2))
    limit = (
        _OUTLIER_DEVIATIONS * STD_PER_MEDIAN * np.median(np.abs(rest - np.median(rest)))
    )
    clipped = np.clip(rest - np.median(rest), -limit, limit)
    n = len(rest)
    total = np.ones(n) + np.bincount(pairs[:, 0], weight, n)
    total += np.bincount(pairs[:, 1], weight, n)
    mean = clipped + np.bincount(pairs[:, 0], weight * clipped[pairs[:, 1]], n)
    mean += np.bincount(pairs[:, 1], weight * clipped[pairs[:, 0]], n)
    field = mean / total
    line = np.rint(positions[:, 0]).astype(int)
    line -= line.min()
    of_lines = np.bincount(line).astype(float), np.bincount(line, field)
    count, summed = (
        gaussian_filter1d(part, spacing, mode="constant") for part in of_lines
    )
    return field - (summed / count)[line]


def _bin(rows, values, variance):
    """Join the columns of each row of pixels; return rows, means and variances."""
    weight = 1 / np.maximum(variance, _TINY_PX2)
    _, place = np.unique(np.rint(rows), return_inverse=True)
    if place.max() >= _MAX_BINS:
        width = np.ceil((place.max() + 1) / _MAX_BINS)
        _, place = np.unique(np.rint(rows / width), return_inverse=True)
    total = np.bincount(place, weight)
    return (
        np.bincount(place, weight * rows) / total,
        np.bincount(place, weight * values) / total,
        1 / total,
    )


def _scatter_within_bins(rows, values, variance):
    """Return the variance of columns of one row of pixels beyond that of the noise."""
    _, place, count = np.unique(np.rint(rows), return_inverse=True, return_counts=True)
    several = count[place] > 1
    if np.count_nonzero(several) < 8:
        return 0.0
    mean = np.bincount(place, values) / count
    # Deviations from a mean of n are smaller by (n - 1) / n.
    square = (values - mean[place]) ** 2 * (count / np.maximum(count - 1, 1))[place]
    typical = np.median(square[several]) / 0.455  # of a chi-square of one degree
    return max(0.0, typical - np.median(variance[several]))


def _fit_sizes(bins, prior, n_rows, start=None):
    """Return standard deviations of drift and jitter and the length of the drift."""
    step = max(1, len(bins[0]) // _MAX_FIT_BINS)
    bins = tuple(part[::step] for part in bins)
    scale = max(np.std(bins[1]), 0.01)
    low, high = np.log(_SIZE_BOUNDS_PX)
    shortest = _MIN_LENGTH_SPACINGS * prior.spacing
    longest = max(_MAX_LENGTH_IMAGES * n_rows, 2 * shortest)

    def cost(log_sizes):
        sizes = np.exp(log_sizes)
        try:
            return _Posterior(bins, sizes, prior, n_rows).cost
        except np.linalg.LinAlgError:
            return 1e12

    if start is None:
        drifts = [low] if not prior.drift else np.log(scale * np.array([0.3, 1.0, 3.0]))
        jitters = np.log(scale * np.array([0.03, 0.1, 0.3, 1.0]))
        lengths = np.log([longest])
        if prior.drift:
            lengths = np.log(np.geomspace(shortest, longest, _N_LENGTHS))
        grid = product(np.clip(drifts, low, high), np.clip(jitters, low, high), lengths)
        start = np.array(min(grid, key=cost))
    else:
        start = np.log(np.maximum(start, _SIZE_BOUNDS_PX[0]))
    bounds = np.array([(low, high), (low, high), (np.log(shortest), np.log(longest))])
    free = np.array([prior.drift, True, prior.drift])

    def partial_cost(part):
        sizes = start.copy()
        sizes[free] = part
        return cost(np.clip(sizes, *bounds.T))

    # Without derivatives: steps of the line search would lead out of the basin.
    found = minimize(
        partial_cost,
        start[free],
        method="Nelder-Mead",
        options={"maxfev": _MAX_EVALUATIONS, "xatol": 0.02, "fatol": 0.01},
    )
    sizes = start.copy()
    sizes[free] = found.x
    return np.exp(np.clip(sizes, *bounds.T))


class _Posterior:
    """Posterior of the process at given sizes; `cost` is minus the log evidence."""

    def __init__(self, bins, sizes, prior, n_rows):
        self.rows, self.values, variance = bins
        self.sizes, self.prior, self.n_rows = sizes, prior, n_rows
        covariance = self._covariance(self.rows, self.rows)
        covariance[np.diag_indices_from(covariance)] += variance + _TINY_PX2
        self._factor = cho_factor(covariance, lower=True)
        self._weights = cho_solve(self._factor, self.values)
        log_det = 2 * np.log(np.diag(self._factor[0])).sum()
        self.cost = 0.5 * (self.values @ self._weights + log_det)

    def _covariance(self, first, second):
        drift, jitter, length = self.sizes
        square = (first[:, None] - second[None, :]) ** 2
        result = jitter**2 * np.exp(-square / (2 * self.prior.jitter_length**2))
        if self.prior.drift:
            result += drift**2 * np.exp(-square / (2 * length**2))
        if self.prior.constant:
            result += _BROAD_PX**2
        if self.prior.slope:
            first, second = (part / self.n_rows - 0.5 for part in (first, second))
            result += _BROAD_PX**2 * np.outer(first, second)
        return result

    def mean(self, rows):
        """Return the displacement of rows, px."""
        return self._covariance(np.asarray(rows, float), self.rows) @ self._weights

    def std(self, rows):
        """Return the standard error of the displacement of rows, px."""
        rows = np.asarray(rows, float)
        own = np.zeros(len(rows))
        drift, jitter, _ = self.sizes
        own += jitter**2 + (drift**2 if self.prior.drift else 0)
        if self.prior.constant:
            own += _BROAD_PX**2
        if self.prior.slope:
            own += (_BROAD_PX * (rows / self.n_rows - 0.5)) ** 2
        across = self._covariance(self.rows, rows)
        half = solve_triangular(self._factor[0], across, lower=True)
        return np.sqrt(np.maximum(own - np.square(half).sum(axis=0), 0))
