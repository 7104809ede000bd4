"""Graph of neighbouring points in the plane: edges of the crystal's unit cells."""

import numpy as np
from scipy.spatial import Delaunay, QhullError

# Two points are not neighbours if they subtend a wider angle at a third one: a value
# between the 60° of a triangle and the 90° that the diagonal of a square subtends.
_MAX_SUBTENDED_COS = np.cos(np.deg2rad(75))
# Pairs longer than this factor times this percentile of the lengths reach across a gap.
_MAX_LENGTH_FACTOR = 1.5
_LONG_PERCENTILE = 75
# Two steps are collinear if they enclose a wider angle than this.
_COLLINEAR_COS = np.cos(np.deg2rad(150))


def neighbor_edges(positions, group):
    """Return the pairs of neighbours within each group.

    These are the edges of the circle-based β-skeleton with β = 1 / sin 75°, a subgraph
    of the Delaunay triangulation: on a square or rectangular lattice the sides of the
    cells, on a hexagonal one the six nearest neighbours.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Coordinates, px.
    group : ndarray of int of shape (n,)
        Group of each point.

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
            edges = edges[
                length <= _MAX_LENGTH_FACTOR * np.percentile(length, _LONG_PERCENTILE)
            ]
        found.append(members[edges])
    return np.concatenate(found)


def edge_lengths(positions, edges):
    """Compute the lengths of edges, px."""
    return np.hypot(*(positions[edges[:, 0]] - positions[edges[:, 1]]).T)


def second_neighbors(positions, edges):
    """Return the pairs that are connected by two collinear edges.

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
        # the step `ahead` places after each one with the same middle
        first = np.flatnonzero(place + ahead < degree[middle])
        pair = np.stack([end[first], end[first + ahead]], axis=1)
        straight = _cosine(positions, middle[first], *pair.T) < _COLLINEAR_COS
        found.append(np.sort(pair[straight], axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _skeleton(positions):
    try:
        triangles = Delaunay(positions).simplices
    except (QhullError, ValueError):
        return _chain(positions)
    edges, is_wide = [], []
    for k in range(3):
        corner, *others = np.roll(triangles, -k, axis=1).T
        edges.append(np.sort(np.stack(others, axis=1), axis=1))
        is_wide.append(_cosine(positions, corner, *others) < _MAX_SUBTENDED_COS)
    edges, index = np.unique(np.concatenate(edges), axis=0, return_inverse=True)
    excluded = np.bincount(index.ravel(), np.concatenate(is_wide), len(edges)) > 0
    return edges[~excluded].astype(np.intp)


def _cosine(positions, corner, first, second):
    """Return the cosine of the angle that two points subtend at a third."""
    first = positions[first] - positions[corner]
    second = positions[second] - positions[corner]
    return (first * second).sum(axis=1) / (np.hypot(*first.T) * np.hypot(*second.T))


def _chain(positions):
    """Connect points on a line, or too few for a triangle, in order."""
    if len(positions) < 2:
        return np.empty((0, 2), dtype=np.intp)
    centered = positions - positions.mean(axis=0)
    axis = np.linalg.svd(centered, full_matrices=False)[2][0]
    order = np.argsort(centered @ axis, kind="stable")
    return np.stack([order[:-1], order[1:]], axis=1)
