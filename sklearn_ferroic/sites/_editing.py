"""Selection, removal and addition of sites by hand."""

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import points_in_poly

from ._arguments import as_positions, as_rows

# An added site belongs to the sublattice of sites whose lattice vectors lead to within
# this share of the shorter vector of it.
_MATCH_CELLS = 0.3
# Sites around an added one that are asked for their sublattice.
_N_NEIGHBORS = 24


def rows_to_keep(rows, n_sites):
    """Return the mask of the sites that remain when some are removed.

    Parameters
    ----------
    rows : int, slice, array-like of int or mask
        The sites to remove.
    n_sites : int
        Number of sites.

    Returns
    -------
    keep : ndarray of bool of shape (n_sites,)
        False for the sites to remove.
    """
    key = as_rows(rows)
    if isinstance(key, np.ndarray) and key.dtype.kind not in "bui":
        raise TypeError(
            f"Sites are removed by their indices or a mask, got {key.dtype} values."
        )
    keep = np.ones(n_sites, dtype=bool)
    try:
        keep[key] = False
    except IndexError as error:
        raise IndexError(
            f"There are {n_sites} sites, from 0 to {n_sites - 1}: {error}"
        ) from None
    return keep


def inside_polygon(positions, vertices):
    """Return which positions lie inside a polygon.

    Parameters
    ----------
    positions : ndarray of shape (n_sites, 2)
        Positions ``(row, col)``, px.
    vertices : array-like of shape (n_vertices, 2)
        Corners of the polygon in order, px.

    Returns
    -------
    inside : ndarray of bool of shape (n_sites,)
        True inside.
    """
    vertices = as_positions(vertices)
    if len(np.unique(vertices, axis=0)) < 3:
        raise ValueError(
            "A polygon needs three different corners (row, col) at least, got "
            f"{len(vertices)}."
        )
    if not len(positions):
        return np.zeros(0, dtype=bool)
    return points_in_poly(positions, vertices)


def guess_sublattice(positions, known, sublattice, vectors):
    """Return the sublattice of columns from the lattice of the sites around them.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Positions of the columns, px.
    known : ndarray of shape (n_sites, 2)
        Positions of the sites of the same image.
    sublattice : ndarray of int of shape (n_sites,)
        Their sublattices.
    vectors : ndarray of shape (n_sites, 2, 2)
        Their lattice vectors, NaN where unknown.

    Returns
    -------
    guess : ndarray of int of shape (n,)
        The sublattice most of whose sites have the column one lattice vector away; 0
        where no lattice leads to it.
    """
    guess = np.zeros(len(positions), dtype=int)
    usable = np.isfinite(vectors).all(axis=(1, 2))
    if not usable.any():
        return guess
    known, sublattice, vectors = known[usable], sublattice[usable], vectors[usable]
    k = min(_N_NEIGHBORS, len(known))
    near = cKDTree(known).query(positions, k=np.arange(1, k + 1))[1]
    step = positions[:, None] - known[near]
    tolerance = _MATCH_CELLS * np.linalg.norm(vectors[near], axis=-1).min(axis=-1)
    votes = np.zeros((len(positions), sublattice.max() + 1))
    for sign in (-1, 1):
        for which in (0, 1):
            miss = np.linalg.norm(step - sign * vectors[near, which], axis=-1)
            hit = miss < tolerance
            for label in range(votes.shape[1]):
                votes[:, label] += (hit & (sublattice[near] == label)).sum(axis=1)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), 0)
