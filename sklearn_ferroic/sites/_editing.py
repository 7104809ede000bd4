"""Selection, removal and addition of sites by hand."""

import numpy as np
from scipy.spatial import cKDTree
from skimage.measure import points_in_poly

from .._utils.validation import check_on_image
from ._arguments import as_positions, as_rows, check_frame

# An added site belongs to the sublattice of sites whose lattice vectors lead to within
# this share of the shorter vector of it.
_MATCH_CELLS = 0.3
# Sites around an added one from whose lattices its sublattice follows.
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


def append_sites(sites, positions, sublattice, frame):
    """Return sites with others appended that have no fit yet.

    Parameters
    ----------
    sites : AtomSites
        The sites.
    positions : array-like of shape (n, 2) or (2,)
        Approximate centres of the columns ``(row, col)``, px.
    sublattice : int, array-like of int of shape (n,) or None
        Their sublattice; from the lattice of the sites around them if None.
    frame : int
        Index of their image.

    Returns
    -------
    both : AtomSites
        The sites and then the others.
    """
    if np.ndim(positions) == 1 and np.size(positions):
        positions = np.reshape(positions, (1, -1))
    positions = as_positions(positions)
    check_frame(np.array([frame]), len(sites.images))
    check_on_image(positions, sites.images[frame])
    if sublattice is None:
        own = sites.frame == frame
        sublattice = _guess_sublattice(
            positions,
            sites.positions[own],
            sites.sublattice[own],
            sites.lattice_vectors[own],
        )
    n_added, one_label = len(positions), np.ndim(sublattice) == 0
    added = type(sites)(
        sites.images,
        positions,
        pixel_size=sites.pixel_size,
        frame=np.full(n_added, frame),
        sublattice=np.full(n_added, sublattice) if one_label else sublattice,
        converged=np.zeros(n_added, dtype=bool),
    )
    both = sites[:]
    for field in sites.fields:
        values = getattr(sites, field.name), getattr(added, field.name)
        vars(both)[field.name] = np.concatenate(values)
    return both


def _guess_sublattice(positions, known, sublattice, vectors):
    """Return the sublattice of columns from the lattice of the sites around them.

    It is that of most of the sites that have the column one lattice vector away, and 0
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
