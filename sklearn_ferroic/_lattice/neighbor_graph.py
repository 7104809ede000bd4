"""Who is whose neighbour in the crystal, within a sublattice and an image."""

import numpy as np
from scipy.spatial import Delaunay, QhullError

# A pair is no pair of neighbours if a third column sees it at a wider angle than this:
# between the 60° of a triangle and the 90° at which a square sees its diagonal.
_WIDEST = np.cos(np.deg2rad(75))
# Longer pairs than so many times the long ones reach across a gap.
_REACH = 1.5
_LONG = 75
# Two steps go straight on if they enclose a wider angle than this.
_STRAIGHT = np.cos(np.deg2rad(150))


def neighbor_edges(positions, group):
    """List the pairs of neighbours, none of them across groups.

    The circle-based β-skeleton with β = 1 / sin 75°, a subgraph of the Delaunay
    triangulation: on a square or rectangular lattice the sides of the cells, on a
    hexagonal one the six nearest.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Coordinates, px.
    group : ndarray of int of shape (n,)
        Crystal of each site.

    Returns
    -------
    edges : ndarray of int of shape (n_edges, 2)
        Each pair once.
    """
    found = [np.empty((0, 2), dtype=np.intp)]
    for number in np.unique(group):
        members = np.flatnonzero(group == number)
        edges = _skeleton(positions[members])
        length = edge_lengths(positions[members], edges)
        if len(edges):
            edges = edges[length <= _REACH * np.percentile(length, _LONG)]
        found.append(members[edges])
    return np.concatenate(found)


def edge_lengths(positions, edges):
    """Compute the lengths of edges, px."""
    return np.hypot(*(positions[edges[:, 0]] - positions[edges[:, 1]]).T)


def second_neighbors(positions, edges):
    """List the pairs two steps apart that lead straight on.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Coordinates, px.
    edges : ndarray of int of shape (n_edges, 2)
        The pairs one step apart, each once.

    Returns
    -------
    pairs : ndarray of int of shape (n_pairs, 2)
        Each pair once.
    """
    steps = np.concatenate([edges, edges[:, ::-1]])
    steps = steps[np.argsort(steps[:, 0], kind="stable")]
    middle, end = steps.T
    degree = np.bincount(middle, minlength=len(positions))
    place = np.arange(len(steps)) - (np.cumsum(degree) - degree)[middle]
    found = [np.empty((0, 2), dtype=np.intp)]
    for ahead in range(1, degree.max(initial=1)):
        # the step that stands so many places after each one of the same middle
        first = np.flatnonzero(place + ahead < degree[middle])
        pair = np.stack([end[first], end[first + ahead]], axis=1)
        straight = _cosine(positions, middle[first], *pair.T) < _STRAIGHT
        found.append(np.sort(pair[straight], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _skeleton(positions):
    try:
        triangles = Delaunay(positions).simplices
    except (QhullError, ValueError):
        return _chain(positions)
    edges, seen_wide = [], []
    for k in range(3):
        corner, *others = np.roll(triangles, -k, axis=1).T
        edges.append(np.sort(np.stack(others, axis=1), axis=1))
        seen_wide.append(_cosine(positions, corner, *others) < _WIDEST)
    edges, index = np.unique(np.concatenate(edges), axis=0, return_inverse=True)
    excluded = np.bincount(index.ravel(), np.concatenate(seen_wide), len(edges)) > 0
    return edges[~excluded].astype(np.intp)


def _cosine(positions, corner, first, second):
    """Cosine of the angle at which sites see two others."""
    first = positions[first] - positions[corner]
    second = positions[second] - positions[corner]
    return (first * second).sum(axis=1) / (np.hypot(*first.T) * np.hypot(*second.T))


def _chain(positions):
    """Join sites on a line, or too few for a triangle, in their order."""
    if len(positions) < 2:
        return np.empty((0, 2), dtype=np.intp)
    centered = positions - positions.mean(axis=0)
    axis = np.linalg.svd(centered, full_matrices=False)[2][0]
    order = np.argsort(centered @ axis, kind="stable")
    return np.stack([order[:-1], order[1:]], axis=1)
