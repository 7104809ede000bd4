"""Reference lattice: the ideal lattice of the columns of one sublattice."""

import numpy as np
from scipy.spatial import cKDTree

from .._utils.robust import bisquare_root
from .local_lattice import STEP_TOLERANCE_SHARE
from .neighbor_graph import accumulate, spanning_forest
from .neighbors import sublattice_members

# Vectors with a smaller sine of their angle span no lattice.
_MIN_SINE = 0.3
# Number of steps among which the most frequent are found, and of candidates.
_N_SAMPLED_STEPS = 600
_N_CANDIDATE_STEPS = 150
# Rounds of the robust fit, which ends when no parameter changes by more than this.
_N_ROBUST_ROUNDS = 12
_SETTLED_CELLS = 1e-7
# Columns on a line do not determine a lattice: the determinant of their normal
# equations, over the product of the diagonal, is not larger than this.
_MIN_DETERMINANT_RATIO = 1e-10
# Three columns determine an origin and two vectors; as many more test them.
MIN_COLUMNS = 6


def lattice_positions(positions, sublattice, members=None):
    """Compute the position of each column in the ideal, undistorted lattice.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    sublattice : ndarray of shape (n,)
        Their sublattices; each has its own lattice.
    members : dict, default=None
        Result of `sublattice_members` for both, if known.

    Returns
    -------
    ideal : ndarray of shape (n, 2)
        Ideal positions, px; NaN for columns without a position in the lattice.
    """
    ideal = np.full((len(positions), 2), np.nan)
    for own, nearest in (members or sublattice_members(positions, sublattice)).values():
        if len(own) >= MIN_COLUMNS:
            ideal[own] = _fit_lattice(nearest)
    return ideal


def lattice_indices(positions, sublattice):
    """Return the integer indices of the columns on lattices with common vectors.

    Indices follow lattice steps from column to column, so that they are carried from
    one coherent crystal into another of different lattice parameters.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    sublattice : ndarray of shape (n,)
        Their sublattices; each has its own origin.

    Returns
    -------
    index : ndarray of shape (n, 2), float
        Indices; NaN for columns that no path of steps reaches.
    """
    index = np.full((len(positions), 2), np.nan)
    common = None
    for own, nearest in sublattice_members(positions, sublattice).values():
        if len(own) < MIN_COLUMNS:
            continue
        basis, steps, pairs = _basis_and_steps(nearest)
        if basis is None:
            continue
        common = basis if common is None else common
        walked, indexed = _walk(len(own), pairs, steps)
        change = np.rint(basis @ np.linalg.inv(common))
        if abs(np.linalg.det(change)) < 0.5:
            continue
        index[own[indexed]] = walked[indexed] @ change
    return index


def _fit_lattice(nearest):
    positions = nearest.positions
    ideal = np.full_like(positions, np.nan)
    basis, steps, pairs = _basis_and_steps(nearest)
    if basis is None:
        return ideal
    index, indexed = _walk(len(positions), pairs, steps)
    if indexed.sum() < MIN_COLUMNS:
        return ideal
    fitted = _robust_fit(index[indexed], positions[indexed], np.linalg.norm(basis[0]))
    if fitted is None:
        return ideal
    ideal[indexed] = fitted[0] + index[indexed] @ fitted[1:]
    # Columns in other components are indexed by the fitted lattice.
    rest = ~indexed
    if rest.any():
        places = (positions[rest] - fitted[0]) @ np.linalg.inv(fitted[1:])
        whole = np.rint(places)
        near = (np.abs(places - whole) < STEP_TOLERANCE_SHARE).all(axis=1)
        ideal[np.flatnonzero(rest)[near]] = fitted[0] + whole[near] @ fitted[1:]
    return ideal


def _basis_and_steps(nearest):
    """Return two shortest lattice vectors, and integer steps between neighbours."""
    positions = nearest.positions
    pairs, _ = nearest.pairs(1.8 * nearest.typical_distance())
    if len(pairs) < MIN_COLUMNS:
        return None, None, None
    step = positions[pairs[:, 1]] - positions[pairs[:, 0]]
    pairs, step = pairs[step.any(axis=1)], step[step.any(axis=1)]
    basis = _shortest_basis(step)
    if basis is None:
        return None, None, None
    # Refine twice with the median of the steps that match.
    for _ in range(2):
        if abs(np.linalg.det(basis)) < _MIN_SINE * np.prod(np.hypot(*basis.T)):
            return None, None, None
        index = step @ np.linalg.inv(basis)
        whole = np.rint(index)
        fits = (np.abs(index - whole) < STEP_TOLERANCE_SHARE).all(axis=1)
        fits &= np.abs(whole).sum(axis=1) == 1
        along_first = fits & (whole[:, 0] != 0)
        along_second = fits & (whole[:, 1] != 0)
        if not (along_first.any() and along_second.any()):
            return None, None, None
        basis = np.stack(
            [
                np.median(step[along] * whole[along, axis, None], axis=0)
                for axis, along in enumerate((along_first, along_second))
            ]
        )
    return basis, whole[fits].astype(np.intp), pairs[fits]


def _shortest_basis(step):
    """Return the most frequent short step, and the next that is not parallel to it."""
    half = np.where((step[:, :1] < 0) | ((step[:, :1] == 0) & (step[:, 1:] < 0)), -1, 1)
    step = step * half
    length = np.hypot(*step.T)
    scale = np.median(length)
    # Equal steps form clusters: count the neighbours of each one, in both half planes.
    # A random sample, because every k-th step could be of the same kind.
    if len(step) > _N_SAMPLED_STEPS:
        step = np.random.default_rng(0).choice(step, _N_SAMPLED_STEPS, replace=False)
    sample, both = step[:_N_CANDIDATE_STEPS], np.concatenate([step, -step])
    density = cKDTree(both).query_ball_point(sample, 0.15 * scale, return_length=True)
    merit = np.where(density > 0.3 * density.max(), 1 / np.hypot(*sample.T), 0)
    # Among equally short steps use the centre of the cluster.
    first = _cluster_center(
        both, sample[np.argmax(merit * density**0.25)], 0.15 * scale
    )
    if not first.any():
        return None
    cosine = (sample @ first) / np.hypot(*sample.T) / np.hypot(*first)
    merit = np.where(np.abs(cosine) < 0.77, merit * density**0.25, 0)
    if not merit.any():
        return None
    second = _cluster_center(both, sample[np.argmax(merit)], 0.15 * scale)
    return np.stack([first, second])


def _cluster_center(steps, center, radius):
    for _ in range(3):
        center = steps[np.hypot(*(steps - center).T) < radius].mean(axis=0)
    return center


def _walk(n, pairs, steps):
    """Return integer indices by following lattice steps from column to column."""
    forest = spanning_forest(n, pairs)
    walked = np.flatnonzero(forest.edge >= 0)
    edge = forest.edge[walked]
    # Steps lead from the first to the second of a pair.
    backward = pairs[edge, 0] == walked
    index = np.zeros((n, 2), dtype=np.intp)
    index[walked] = np.where(backward[:, None], -steps[edge], steps[edge])
    index = accumulate(forest.parent, index, np.add)
    return index, forest.part == np.bincount(forest.part).argmax()


def _robust_fit(index, positions, cell):
    """Fit origin and basis by least squares with Tukey's weights."""
    # Centred and scaled, so that the normal equations are well conditioned.
    middle = index.mean(axis=0)
    scale = max(np.abs(index - middle).max(), 1)
    design = np.column_stack([np.ones(len(index)), (index - middle) / scale])
    weighted, fitted = design.T.copy(), np.zeros((3, 2))
    for _ in range(_N_ROBUST_ROUNDS):
        normal = weighted @ design
        if np.linalg.det(normal) <= _MIN_DETERMINANT_RATIO * np.prod(normal.diagonal()):
            return None
        before, fitted = fitted, np.linalg.solve(normal, weighted @ positions)
        if np.abs(fitted - before).max() < _SETTLED_CELLS * cell:
            break
        miss = np.hypot(*(positions - design @ fitted).T)
        weighted = design.T * bisquare_root(miss, 1e-3 * cell) ** 2
    fitted[1:] /= scale
    fitted[0] -= middle @ fitted[1:]
    return fitted
