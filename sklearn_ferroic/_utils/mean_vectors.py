"""Means of vectors at sites, with errors that include correlations of neighbours."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import chi2, f

# A displacement is a column minus the mean of four. In the mean over many cells every
# one of the four is shared by four cells, so that its variance counts in full. In
# groups of this many cells the scatter with its correlation shows it; in smaller ones
# the four count as being as uncertain as the column.
_SHARED_COLUMN_FACTOR = 2.0
_MANY_CELLS = 30
# Neighbours that share columns: those along both lattice vectors and both diagonals.
_NEIGHBOR_REACH_CELLS = 1.55
# With fewer vectors the correlation of neighbours is not estimated.
MIN_CORRELATED_VECTORS = 12
# Side of the blocks within which errors may be common (mistilt, drift).
BLOCK_SIDE_CELLS = 5
# With fewer clusters than this a covariance of two components has no meaning.
_MIN_CLUSTERS = 6
# Probability that independent errors look as correlated by chance.
_CORRELATION_LEVEL = 0.05


class PooledVector(NamedTuple):
    """Mean of vectors with its covariance and significance."""

    n_sites: int
    mean: np.ndarray
    covariance: np.ndarray
    p_value: float


class Place(NamedTuple):
    """Position and frame of vectors, and the side of a unit cell, px."""

    position: np.ndarray
    frame: np.ndarray
    cell: float

    def take(self, rows):
        """Return the places of the given rows."""
        return Place(self.position[rows], self.frame[rows], self.cell)


def pool_vectors(vectors, std, place, *, factor=1.0, level=_CORRELATION_LEVEL):
    """Average vectors and test the mean against zero.

    Parameters
    ----------
    vectors : ndarray of shape (n, 2)
        Finite vectors.
    std : ndarray of shape (n, 2)
        Standard error of the column of each vector; NaN where unknown.
    place : Place
        Where they were measured.
    factor : float, default=1.0
        Variance of the mean over that of independent vectors.
    level : float, default=0.05
        The scatter of blocks and of scan lines counts where one as large has less than
        this probability if errors are independent; 1 always counts it.

    Returns
    -------
    pooled : PooledVector
        NaN where there are too few vectors.
    """
    n = len(vectors)
    if n < 3:
        mean = vectors.mean(axis=0) if n else np.full(2, np.nan)
        return PooledVector(n, mean, np.full((2, 2), np.nan), np.nan)
    mean = vectors.mean(axis=0)
    residual = vectors - mean
    scatter = factor * residual.T @ residual / (n - 1) / n
    candidates = [(scatter, n / factor - 1)]
    for cluster in _clusters(place, n):
        n_clusters = cluster.max() + 1
        if n_clusters < _MIN_CLUSTERS:
            continue
        total = np.column_stack(
            [np.bincount(cluster, component) for component in residual.T]
        )
        common = n_clusters / (n_clusters - 1) * total.T @ total / n**2
        dof = 2 * (n_clusters - 1)
        limit = chi2.isf(level, dof) / dof
        if np.trace(common) > limit * np.trace(scatter):
            candidates.append((common, n_clusters - 1))
    if np.isfinite(std).any():
        known = np.nanmean(std**2, axis=0)
        shared = 1.0 if n >= _MANY_CELLS else _SHARED_COLUMN_FACTOR
        candidates.append((np.diag(shared * known / n), np.inf))
    covariance = candidates[0][0]
    for other, _ in candidates[1:]:
        covariance = _larger(covariance, other)
    p_values = [zero_mean_p_value(mean, other, dof) for other, dof in candidates]
    return PooledVector(n, mean, covariance, float(max(p_values)))


def cell_size(sites):
    """Return the median distance between neighbouring sites of one kind, px."""
    distances = []
    for frame in np.unique(sites.frame):
        positions = sites.positions[sites.frame == frame]
        if len(positions) > 1:
            distances.append(cKDTree(positions).query(positions, k=2)[0][:, 1])
    return float(np.median(np.concatenate(distances))) if distances else np.nan


def neighbor_factor(vectors, group, kept, place):
    """Return how much correlation of neighbours increases the variance of a mean.

    It is the median over the groups, because single groups may contain several domains.
    """
    if not place.cell > 0:
        return 1.0
    factors = [1.0]
    for number in np.unique(group[kept]):
        rows = np.flatnonzero(kept & (group == number))
        n = len(rows)
        residual = vectors[rows] - vectors[rows].mean(axis=0)
        square = (residual**2).sum()
        if n < MIN_CORRELATED_VECTORS or square == 0:
            continue
        first, second = _pairs(place.take(rows), _NEIGHBOR_REACH_CELLS)
        common = 2 * (residual[first] * residual[second]).sum()
        # Residuals from a mean are anticorrelated by 1 / (n - 1) of their variance.
        factors.append(1 + common / square + 2 * len(first) / n / (n - 1))
    return max(1.0, float(np.median(factors[1:] or factors)))


def _pairs(place, reach):
    """Return the pairs of sites of one frame within a number of cells."""
    pairs = []
    for frame in np.unique(place.frame):
        rows = np.flatnonzero(place.frame == frame)
        tree = cKDTree(place.position[rows])
        pairs.append(
            rows[tree.query_pairs(reach * place.cell, output_type="ndarray")].reshape(
                -1, 2
            )
        )
    return np.concatenate(pairs).T


def _clusters(place, n):
    """Yield numbers of the blocks and of the scan lines that the sites lie in."""
    if not place.cell > 0:
        return
    side = np.clip(np.sqrt(n / 12), 2, BLOCK_SIDE_CELLS) * place.cell
    block = np.column_stack([place.frame, place.position // side])
    line = np.column_stack([place.frame, place.position[:, :1] // place.cell])
    for key in (block, line):
        yield np.unique(key, axis=0, return_inverse=True)[1].ravel()


def _larger(first, second):
    """Return the smallest covariance that is at least as large in every direction."""
    scale = np.trace(first) + np.trace(second)
    if scale == 0:
        return first
    root = np.linalg.cholesky(first + 1e-12 * scale * np.eye(2))
    inverse = np.linalg.inv(root)
    values, axes = np.linalg.eigh(inverse @ second @ inverse.T)
    return root @ (axes * np.maximum(values, 1)) @ axes.T @ root.T


def zero_mean_p_value(mean, covariance, dof):
    """Return the probability of such a mean if the expectation were zero."""
    if not dof > 1:
        return np.nan
    scale = np.trace(covariance)
    if scale == 0:
        return float(not mean.any())
    square = mean @ np.linalg.solve(covariance + 1e-12 * scale * np.eye(2), mean)
    if np.isinf(dof):
        return float(chi2.sf(square, 2))
    return float(f.sf((dof - 1) / (2 * dof) * square, 2, dof - 1))
