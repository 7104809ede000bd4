"""Drift along the slow scan axis in a crystal whose spacing is not known.

The rows of a film are evenly spaced within a domain, but their spacing is not that of
the reference region. A lattice line that runs along the slow scan axis therefore shows
the drift up to a straight line of its own. Drift is smooth, so that its size and the
length over which it is coherent, which the column component has, determine the straight
lines too: a change of the spacing is sudden, drift is not.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
from scipy.interpolate import BSpline
from scipy.sparse import csr_matrix

from ..._utils.robust import STD_PER_MEDIAN
from .line_model import LEAST_STD_PX

# Part of a lattice line that is used: at least this number of columns.
_MIN_COLUMNS = 6
# Rows of atoms next to the reference region that are left out: the spacing of a film
# relaxes there.
_N_RELAXED_ROWS = 3
# A column belongs to a line if it departs from it by no more than this number of
# standard deviations; in the first round also by this share of the spacing, which is
# the drift.
_MAX_DEVIATIONS = 5.0
_DRIFT_SPACINGS = 0.03
# Sizes of the row component that are compared, in units of the column component. Larger
# ones are not: strain of the specimen would be taken for drift.
_SIZE_RATIOS = (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0)
# The same for the number of rows over which it is coherent.
_LENGTH_RATIOS = (0.6, 0.8, 1.0)
# Models of less evidence than this share of the best are left out of the mean.
_MIN_EVIDENCE_SHARE = 0.02
# Rows of atoms at which the spacing changes by more than this number of standard
# deviations, and the fewest lines that show it.
_MAX_KINK_DEVIATIONS = 5.0
MIN_LINES = 5
# The drift is left out if it is larger than its prior allows by this number of standard
# deviations: the crystal is not evenly spaced.
_MAX_SURPRISE_DEVIATIONS = 4.0
_SPLINE_ORDER = 3
# Share of the variance of the drift that is added to the diagonal of its covariance.
_RIDGE_SHARE = 1e-8


class Drift(NamedTuple):
    """Smooth displacement of the scan lines along the slow axis.

    Parameters
    ----------
    shift, std : ndarray of shape (n_rows,)
        Displacement and its standard error, px.
    """

    shift: np.ndarray
    std: np.ndarray


class LatticeLines:
    """Columns along the slow scan axis, outside and inside the reference region.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns in the image, px.
    index : ndarray of shape (n, 2)
        Indices of the columns on their lattice; NaN if unknown.
    sublattice : ndarray of int of shape (n,)
        Sublattices.
    reference : ndarray of bool of shape (n,)
        Columns of the reference region.
    steep : int
        Lattice vector that is nearer to the slow scan axis, 0 or 1.
    sigma, spacing : float
        Sigma of a column and distance of nearest columns, px.
    """

    def __init__(self, positions, index, sublattice, reference, steep, sigma, spacing):
        known = np.isfinite(index).all(axis=1)
        self.rows = positions[:, 0]
        self.number = np.nan_to_num(index[:, steep])
        self.reference = np.flatnonzero(reference)
        of_reference = np.nan_to_num(index)[self.reference]
        self._design = np.column_stack(
            [
                np.equal.outer(
                    sublattice[self.reference], np.unique(sublattice[self.reference])
                ),
                of_reference - of_reference.mean(axis=0),
            ]
        )
        free = known & ~reference
        free &= ~self._is_relaxed(reference)
        line = np.nan_to_num(index[:, 1 - steep])
        self.lines = self._divide(np.flatnonzero(free), line, sublattice)
        self.spacing = spacing
        ordered = np.sort(self.rows)
        # Columns that the same scan lines cross share their jitter.
        self.n_alike = np.searchsorted(ordered, self.rows + sigma, "right")
        self.n_alike -= np.searchsorted(ordered, self.rows - sigma)

    def _is_relaxed(self, reference):
        """Return which columns lie in rows of atoms next to the reference region."""
        own = np.unique(self.number[reference])
        distance = np.abs(self.number[:, None] - own).min(axis=1)
        return distance <= _N_RELAXED_ROWS

    def _divide(self, free, line, sublattice):
        """Return the columns of each line and sublattice, ordered, without gaps."""
        order = free[np.lexsort((self.number[free], line[free], sublattice[free]))]
        ends = (np.diff(sublattice[order]) != 0) | (np.diff(line[order]) != 0)
        ends |= np.diff(self.number[order]) > _N_RELAXED_ROWS
        return np.split(order, np.flatnonzero(ends) + 1)

    def scatter(self, positions):
        """Return the standard deviation of columns about even spacing, px."""
        second = [np.diff(positions[one], 2, axis=0) for one in self.lines]
        second = np.concatenate([part for part in second if len(part)])
        if not len(second):
            return np.full(2, np.nan)
        typical = STD_PER_MEDIAN * np.median(
            np.abs(second - np.median(second, axis=0)), axis=0
        )
        return np.maximum(typical / np.sqrt(6), LEAST_STD_PX)

    def parts(self, positions, tolerance):
        """Return the parts of the lines along which columns are evenly spaced.

        Parameters
        ----------
        positions : ndarray of shape (n, 2)
            Columns, as far as they are corrected, px.
        tolerance : ndarray of shape (2,)
            Largest deviation from even spacing, px.

        Returns
        -------
        parts : list of ndarray of int
            Columns of each part, in the order of the line.
        """
        parts, waiting = [], self._without_kinks(positions)
        while waiting:
            line = waiting.pop()
            if len(line) < _MIN_COLUMNS:
                continue
            deviation = np.abs(_deviations(self.number[line], positions[line]))
            even = (deviation < tolerance).all(axis=1)
            if np.count_nonzero(even) < _MIN_COLUMNS:
                continue
            parts.append(line[even])
            others = np.flatnonzero(~even)
            runs = np.split(others, np.flatnonzero(np.diff(others) > 1) + 1)
            waiting += [line[run] for run in runs if len(run) >= _MIN_COLUMNS]
        return parts

    def _without_kinks(self, positions):
        """Divide the lines at rows of atoms where the spacing of most lines changes."""
        middles = np.concatenate([line[1:-1] for line in self.lines])
        second = [np.diff(positions[line], 2, axis=0) for line in self.lines]
        second = np.concatenate([part for part in second if len(part)] or [[]])
        rows, place = np.unique(self.number[middles], return_inverse=True)
        many = np.flatnonzero(np.bincount(place) >= MIN_LINES)
        if len(many) < MIN_LINES:
            return list(self.lines)
        typical = np.array([np.median(second[place == row], axis=0) for row in many])
        spread = STD_PER_MEDIAN * np.median(np.abs(typical), axis=0)
        kinks = (np.abs(typical) > _MAX_KINK_DEVIATIONS * spread).any(axis=1)
        at_kink = np.isin(self.number, rows[many[kinks]])
        parts = []
        for line in self.lines:
            cuts = np.flatnonzero(at_kink[line])
            parts += [part[~at_kink[part]] for part in np.split(line, cuts)]
        return parts

    def drift(self, positions, corrected, variance, jitter_std, size, length, n_rows):
        """Return the drift along the rows axis.

        Parameters
        ----------
        positions, corrected : ndarray of shape (n, 2)
            Columns in the image, and as far as they are corrected, px.
        variance : ndarray of shape (n,)
            Of the row component of the positions, from the noise of the image, px².
        jitter_std : float
            Standard deviation of the jitter of columns along the rows axis, px.
        size, length : float
            Standard deviation of the column component of the drift, and the number of
            rows over which it is coherent, px.
        n_rows : int
            Number of scan lines.

        Returns
        -------
        drift : Drift or None
            Relative to the lattice of the reference region: without slope there. None
            if no lattice line is long enough, or if the lines show more than drift of
            that size explains.
        """
        scatter = self.scatter(corrected)
        first = np.array_equal(positions, corrected)
        tolerance = _MAX_DEVIATIONS * scatter
        tolerance = tolerance + (_DRIFT_SPACINGS * self.spacing if first else 0)
        parts = self.parts(corrected, tolerance)
        if not parts:
            return None
        noise = np.maximum(variance, scatter[0] ** 2) + self.n_alike * jitter_std**2
        smooth = _SmoothDrift(n_rows, self.spacing)
        for part in parts:
            number = self.number[part]
            design = np.column_stack([np.ones(len(part)), number - number.mean()])
            smooth.add(self.rows[part], positions[part, 0], noise[part], design)
        own = self.reference
        smooth.add(self.rows[own], positions[own, 0], noise[own], self._design)
        models = [
            (a * size, b * length) for a, b in product(_SIZE_RATIOS, _LENGTH_RATIOS)
        ]
        costs = np.array([smooth.cost(*model) for model in models])
        if smooth.surprise(*models[np.argmin(costs)]) > _MAX_SURPRISE_DEVIATIONS:
            return None
        evidence = np.exp(costs.min() - costs)
        likely = np.flatnonzero(evidence > _MIN_EVIDENCE_SHARE)
        weights = evidence[likely] / evidence[likely].sum()
        drifts = [smooth.solve(*models[i], self.rows[own]) for i in likely]
        mean = sum(w * one.shift for w, one in zip(weights, drifts, strict=True))
        variance = sum(
            w * (one.std**2 + (one.shift - mean) ** 2)
            for w, one in zip(weights, drifts, strict=True)
        )
        return Drift(mean, np.sqrt(variance))


def _deviations(number, positions):
    """Return the deviations of columns from the line of most of them, px."""
    steps = np.subtract.outer(number, number)
    np.fill_diagonal(steps, np.nan)
    deviations = []
    for values in positions.T:
        slopes = np.subtract.outer(values, values) / steps
        slope = np.median(np.nanmedian(slopes, axis=1))
        rest = values - slope * number
        deviations.append(rest - np.median(rest))
    return np.stack(deviations, axis=1)


class _SmoothDrift:
    """Gaussian process on knots, seen up to unknown constants and slopes."""

    def __init__(self, n_rows, spacing):
        inner = np.arange(-spacing, n_rows + 2 * spacing, spacing)
        ends = [np.full(_SPLINE_ORDER, inner[0]), np.full(_SPLINE_ORDER, inner[-1])]
        self._spline = np.concatenate([ends[0], inner, ends[1]])
        n_knots = len(self._spline) - _SPLINE_ORDER - 1
        places = [self._spline[1 + i : 1 + i + n_knots] for i in range(_SPLINE_ORDER)]
        self.knots = np.mean(places, axis=0)
        self.n_rows = n_rows
        self._precision = np.zeros((n_knots, n_knots))
        self._product = np.zeros(n_knots)

    def _at(self, rows):
        """Return the weight of each knot (spline basis) at the given rows."""
        rows = np.clip(np.asarray(rows, float), self._spline[0], self._spline[-1])
        return csr_matrix(BSpline.design_matrix(rows, self._spline, _SPLINE_ORDER))

    def add(self, rows, values, variance, design):
        """Add columns that lie where the drift and a linear combination put them."""
        root = 1 / np.sqrt(variance)
        unknown, _ = np.linalg.qr(design * root[:, None])
        shares = self._at(rows).multiply(root[:, None]).toarray()
        target = -values * root
        shares = shares - unknown @ (unknown.T @ shares)
        target = target - unknown @ (unknown.T @ target)
        self._precision += shares.T @ shares
        self._product += shares.T @ target

    def _factor(self, size, length):
        """Return the root of the prior covariance and the posterior precision in it."""
        square = np.subtract.outer(self.knots, self.knots) ** 2
        covariance = np.exp(-square / (2 * length**2)) + _RIDGE_SHARE * np.eye(
            len(square)
        )
        root = size * np.linalg.cholesky(covariance)
        return root, np.eye(len(square)) + root.T @ self._precision @ root

    def cost(self, size, length):
        """Return minus the logarithm of the evidence, up to a constant."""
        root, precision = self._factor(size, length)
        factor = np.linalg.cholesky(precision)
        explained = np.linalg.solve(factor, root.T @ self._product)
        return np.log(np.diag(factor)).sum() - explained @ explained / 2

    def surprise(self, size, length):
        """Return by how many standard deviations the drift exceeds its prior."""
        root, precision = self._factor(size, length)
        inverse = np.linalg.inv(precision)
        mean = inverse @ (root.T @ self._product)
        # The square of the prior's units is a chi-square of this number of degrees.
        degrees = len(mean) - np.trace(inverse)
        return (mean @ mean - degrees) / np.sqrt(2 * max(degrees, 1))

    def solve(self, size, length, level):
        """Return the drift of every scan line, without slope over the rows `level`."""
        root, precision = self._factor(size, length)
        mean = root @ np.linalg.solve(precision, root.T @ self._product)
        rows = np.arange(self.n_rows)
        shares = self._at(rows).toarray()
        line = np.column_stack([np.ones(len(level)), level])
        straight = np.linalg.lstsq(line, self._at(level).toarray(), rcond=None)[0]
        shares -= np.column_stack([np.ones(self.n_rows), rows]) @ straight
        deviations = np.linalg.solve(np.linalg.cholesky(precision), (shares @ root).T)
        return Drift(shares @ mean, np.sqrt(np.square(deviations).sum(axis=0)))
