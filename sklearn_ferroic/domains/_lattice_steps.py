"""Neighbours of cells along their lattice vectors."""

import numpy as np
from scipy.spatial import cKDTree

from .._lattice.local_lattice import lattice_vectors
from .._lattice.spanning_forest import accumulate, spanning_forest

# A cell this near to a lattice point is the cell of that point, in lattice vectors.
_MATCH_CELLS = 0.35


def cell_vectors(sites):
    """Return the lattice vectors a and b of each cell, computed where none is known.

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
    n = len(sites)
    vectors = cell_vectors(sites) if vectors is None else vectors
    neighbors = np.full((n, 4), n)
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        rows = rows[np.isfinite(vectors[rows]).all(axis=(1, 2))]
        if len(rows) < 2:
            continue
        tree = cKDTree(sites.positions[rows])
        for column, (axis, sign) in enumerate([(0, 1), (1, 1), (0, -1), (1, -1)]):
            step = sign * vectors[rows, axis]
            distance, nearest = tree.query(sites.positions[rows] + step)
            found = distance < _MATCH_CELLS * np.hypot(*step.T)
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
