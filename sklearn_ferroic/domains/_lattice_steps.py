"""Neighbours of cells along their lattice vectors."""

import numpy as np
from scipy.spatial import cKDTree

from .._lattice.local_lattice import MATCH_CELLS, lattice_vectors
from .._lattice.neighbor_graph import accumulate, spanning_forest
from ..sites import AtomSites

# Missing cells are found from the cells on both sides of them; each round finds those
# that the cells found before complete.
_VACANCY_ROUNDS = 2
# Vacancies predicted by several neighbours lie within this of one another, in cells.
_SAME_VACANCY_CELLS = 0.4


def cell_vectors(sites):
    """Return the lattice vectors a and b of each cell, from its neighbours if unknown.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice.

    Returns
    -------
    vectors : ndarray of shape (n_sites, 2, 2)
        Rows a and b, px; unknown ones are those of the nearest cell that has them.
    """
    vectors = np.array(sites.lattice_vectors)
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        own = vectors[rows]
        if not np.isfinite(own).any() and len(rows) >= 4:
            own = lattice_vectors(sites.positions[rows], np.zeros(len(rows), int))
        known = np.isfinite(own).all(axis=(1, 2))
        if known.any() and not known.all():
            tree = cKDTree(sites.positions[rows[known]])
            nearest = tree.query(sites.positions[rows[~known]])[1]
            own[~known] = own[known][nearest]
        vectors[rows] = own
    return vectors


def check_lattice(sites, vectors):
    """Check that lattice vectors of the sites are known, unless there is one site."""
    if len(sites) > 1 and not np.isfinite(vectors).all():
        raise ValueError(
            f"The {len(sites)} sites have no lattice vectors and do not show a lattice "
            "themselves, as a single row of cells does not. Pass the sites of a larger "
            "part of the image, or sites with lattice vectors."
        )


def lattice_neighbors(sites, vectors=None):
    """Return the cells at +a, +b, -a and -b of each cell.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice.
    vectors : ndarray of shape (n_sites, 2, 2), default=None
        Result of `cell_vectors`, if known.

    Returns
    -------
    neighbors : ndarray of int of shape (n_sites, 4)
        Indices; n_sites where there is no cell.
    """
    vectors = cell_vectors(sites) if vectors is None else vectors
    a, b = vectors[:, 0], vectors[:, 1]
    return cells_at(sites, [a, b, -a, -b])


def cells_at(sites, steps):
    """Return the cell at each of some steps from each cell.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice.
    steps : list of ndarray of shape (n_sites, 2)
        Steps ``(row, col)``, px, NaN where unknown.

    Returns
    -------
    neighbors : ndarray of int of shape (n_sites, n_steps)
        Indices; n_sites where there is no cell.
    """
    n = len(sites)
    neighbors = np.full((n, len(steps)), n)
    known = np.isfinite(np.hstack(steps)).all(axis=1)
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        rows = rows[known[rows]]
        if len(rows) < 2:
            continue
        tree = cKDTree(sites.positions[rows])
        for column, step in enumerate(steps):
            distance, nearest = tree.query(sites.positions[rows] + step[rows])
            found = distance < MATCH_CELLS * np.hypot(*step[rows].T)
            neighbors[rows[found], column] = rows[nearest[found]]
    return neighbors


def lattice_indices(sites, vectors=None):
    """Return the place of each cell on the lattice, counted by neighbours.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice.
    vectors : ndarray of shape (n_sites, 2, 2), default=None
        Result of `cell_vectors`, if known.

    Returns
    -------
    indices : ndarray of int of shape (n_sites, 2)
        Steps along a and b. Parts of an image that no chain of neighbours connects are
        aligned by the mean lattice vectors.
    """
    n = len(sites)
    vectors = cell_vectors(sites) if vectors is None else vectors
    neighbors = lattice_neighbors(sites, vectors)
    indices = np.zeros((n, 2), dtype=int)
    steps = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    start, direction = np.nonzero(neighbors < n)
    end = neighbors[start, direction]
    # A step counts if the way back agrees.
    agrees = neighbors[end, (direction + 2) % 4] == start
    forward = agrees & (start < end)
    start, end, direction = start[forward], end[forward], direction[forward]
    pairs, first = np.unique(np.column_stack([start, end]), axis=0, return_index=True)
    forest = spanning_forest(n, pairs)
    own = np.zeros((n, 2), dtype=int)
    linked = forest.edge >= 0
    step = steps[direction[first]]
    edge = forest.edge[linked]
    sign = np.where(pairs[edge, 1] == np.flatnonzero(linked), 1, -1)
    own[linked] = sign[:, None] * step[edge]
    indices = accumulate(forest.parent, own, np.add)
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        _align_parts(indices, sites.positions, vectors, forest.part, rows)
    return indices


def _align_parts(indices, positions, vectors, part, rows):
    """Shift the indices of all connected parts to those of the largest part."""
    numbers, size = np.unique(part[rows], return_counts=True)
    known = np.isfinite(vectors[rows]).all(axis=(1, 2))
    if not known.any():
        return
    cell = np.median(vectors[rows[known]], axis=0)
    coordinate = positions[rows] @ np.linalg.inv(cell)
    main = part[rows] == numbers[size.argmax()]
    origin = np.median(coordinate[main] - indices[rows[main]], axis=0)
    order = np.argsort(part[rows], kind="stable")
    for members in np.split(order, np.cumsum(size)[:-1]):
        shift = np.median(coordinate[members] - indices[rows[members]], axis=0)
        indices[rows[members]] += np.rint(shift - origin).astype(int)
    indices[rows] -= indices[rows].min(axis=0)


def with_vacancies(sites):
    """Return the sites with the missing cells of the lattice appended.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice.

    Returns
    -------
    filled : AtomSites of length n_sites + n_vacancies
        The sites, then a site at each lattice point without a cell that lies between
        two cells along a or b. They have lattice vectors and nothing else.
    """
    n = len(sites)
    vectors = cell_vectors(sites)
    place, frame = np.array(sites.positions, dtype=np.float64), np.array(sites.frame)
    for _ in range(_VACANCY_ROUNDS):
        found = [
            _vacancies(place, vectors, np.flatnonzero(frame == number))
            for number in np.unique(frame)
        ]
        new, cells, near = (np.concatenate(part) for part in zip(*found, strict=True))
        if not len(new):
            break
        place = np.concatenate([place, new])
        vectors = np.concatenate([vectors, cells])
        frame = np.concatenate([frame, frame[near]])
    if len(place) == n:
        return sites
    return AtomSites(
        sites.images,
        place,
        frame=frame,
        lattice_vectors=vectors,
        pixel_size=sites.pixel_size,
    )


def _vacancies(place, vectors, rows):
    """Return position, lattice vectors and a neighbour of each vacancy."""
    nothing = np.empty((0, 2)), np.empty((0, 2, 2)), np.empty(0, int)
    rows = rows[np.isfinite(vectors[rows]).all(axis=(1, 2))]
    if len(rows) < 4:
        return nothing
    tree = cKDTree(place[rows])
    spacing = np.sqrt(np.abs(np.linalg.det(vectors[rows])))
    points, origin = [], []
    for axis in range(2):
        step = vectors[rows, axis]
        reach = MATCH_CELLS * np.hypot(*step.T)
        one = tree.query(place[rows] + step)[0]
        two, end = tree.query(place[rows] + 2 * step)
        # A cell two steps ahead, and none one step ahead.
        missing = (one > reach) & (two < reach)
        points.append((place[rows[missing]] + place[rows[end[missing]]]) / 2)
        origin.append(rows[missing])
    points, origin = np.concatenate(points), np.concatenate(origin)
    if not len(points):
        return nothing
    pairs = cKDTree(points).query_pairs(
        _SAME_VACANCY_CELLS * np.median(spacing), output_type="ndarray"
    )
    repeated = np.zeros(len(points), dtype=bool)
    repeated[pairs.max(axis=1)] = True
    # No room between cells where the lattice is distorted.
    free = tree.query(points)[0] > _SAME_VACANCY_CELLS * np.median(spacing)
    kept = free & ~repeated
    return points[kept], vectors[origin[kept]], origin[kept]
