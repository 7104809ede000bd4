"""Graph of neighbouring points in the plane: spanning trees and two-colouring.

Two-colouring finds the two sublattices of a crystal: nearest neighbours have different
colours. Pairs of columns are merged to small clusters and these to larger ones, each
time with the relative sign that most bonds between the two clusters support. A wrong
bond next to a dislocation, a missing or an invented column is outvoted by the bonds
around it, so that colours extend over the whole crystal. Clusters with contradictory
bonds are different crystals, as are clusters whose brightness contradicts the merger.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    minimum_spanning_tree,
)
from scipy.spatial import Delaunay, QhullError

# Two points are not neighbours if they subtend a wider angle at a third one: a value
# between the 60° of a triangle and the 90° that the diagonal of a square subtends.
_MAX_SUBTENDED_COS = np.cos(np.deg2rad(75))
# Pairs longer than this factor times this percentile of the lengths reach across a gap.
_MAX_LENGTH_RATIO = 1.5
_LONG_PERCENTILE = 75
# Two steps are collinear if they enclose a wider angle than this.
_COLLINEAR_COS = np.cos(np.deg2rad(150))
# Clusters merge if the bonds between them agree to this degree and are not a chance
# contact: bonds over the root of the smaller cluster's size.
_MIN_AGREEMENT_SHARE = 0.6
_MIN_CONTACT_RATIO = 0.4
# The brightness of a cluster is decisive with this mean vote, and this many standard
# deviations above chance.
_MIN_VOTE = 0.3
_MIN_VOTE_STD = 4
# Of equal mergers, those that the votes support have precedence, by up to this share,
# so that no cluster extends over a boundary where labels are exchanged.
_PREFERENCE_SHARE = 0.3
_N_CLEANINGS = 24


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
                length <= _MAX_LENGTH_RATIO * np.percentile(length, _LONG_PERCENTILE)
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


class Forest(NamedTuple):
    """Spanning tree of each connected component of a graph.

    Parameters
    ----------
    parent : ndarray of int of shape (n,)
        Next node on the path to the root; a root is its own parent.
    edge : ndarray of int of shape (n,)
        Index of the pair that connects node and parent, −1 for roots.
    part : ndarray of int of shape (n,)
        Connected component of each node.
    """

    parent: np.ndarray
    edge: np.ndarray
    part: np.ndarray


def spanning_forest(n, pairs, cost=None):
    """Compute spanning trees of the connected components of a graph.

    Parameters
    ----------
    n : int
        Number of nodes.
    pairs : ndarray of shape (n_pairs, 2)
        Edges, each once, first < second, in lexical order.
    cost : ndarray of shape (n_pairs,), default=None
        Positive cost of each edge, for minimum spanning trees; trees of
        shortest paths from a middle node if None.

    Returns
    -------
    forest : Forest
        The trees.
    """
    weight = np.ones(len(pairs)) if cost is None else cost
    start = np.searchsorted(pairs[:, 0], np.arange(n + 1))
    graph = _as_graph(weight, pairs[:, 1], start)
    n_parts, part = connected_components(graph, directed=False)
    if cost is not None:
        graph = minimum_forest(graph)
    # An additional node that is connected to all roots joins the trees to one.
    by_part = np.argsort(part, kind="stable")
    size = np.bincount(part, minlength=n_parts)
    root = by_part[np.cumsum(size) - size + size // 2]
    near = np.concatenate([graph.indices, root])
    start = np.append(graph.indptr, len(near))
    graph = _as_graph(np.ones(len(near)), near, start)
    _, parent = breadth_first_order(graph, n, directed=False)
    parent = parent[:n].astype(np.intp)
    parent[root] = root
    key = np.minimum(np.arange(n), parent) * n + np.maximum(np.arange(n), parent)
    edge = np.searchsorted(pairs[:, 0].astype(np.intp) * n + pairs[:, 1], key)
    edge[root] = -1
    return Forest(parent, edge, part)


def minimum_forest(graph):
    """Compute the minimum spanning tree of each connected component of a graph.

    Parameters
    ----------
    graph : sparse array of shape (n, n)
        Positive costs of the edges, in the CSR format.

    Returns
    -------
    forest : sparse array of shape (n, n)
        The edges of the trees, with 32-bit indices.
    """
    return minimum_spanning_tree(_as_graph(graph.data, graph.indices, graph.indptr))


def _as_graph(weight, indices, start):
    """Return a graph whose indices have the one type that all SciPy releases take."""
    # SciPy 1.12 to 1.17.0 refuse 64-bit indices in minimum_spanning_tree.
    indices = indices.astype(np.int32)
    start = start.astype(np.int32)
    n = len(start) - 1
    return csr_array((weight, indices, start), shape=(n, n))


def accumulate(parent, steps, combine):
    """Combine the values of the nodes along the paths from the roots.

    Parameters
    ----------
    parent : ndarray of int of shape (n,)
        Parents; a root is its own.
    steps : ndarray of shape (n, ...)
        Value of each node relative to its parent; neutral element for roots.
    combine : callable
        Associative, ``combine(towards_root, away_from_root)``.

    Returns
    -------
    total : ndarray of shape (n, ...)
        Combination from the root to each node.
    """
    # Pointer jumping: the distance to the ancestor doubles in each round.
    while True:
        farther = parent[parent]
        steps = combine(steps[parent], steps)
        if np.array_equal(farther, parent):
            return steps
        parent = farther


class Coloring(NamedTuple):
    """Two colours for the columns of each crystal.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        −1 or 1; in each crystal most votes are for this assignment.
    crystal : ndarray of int of shape (n,)
        Crystal of each column.
    favor : ndarray of shape (n_crystals,)
        Sum of the votes for the colours of each crystal.
    """

    sign: np.ndarray
    crystal: np.ndarray
    favor: np.ndarray


def color_in_two(n, pairs, weight, vote):
    """Assign signs so that the ends of as many bonds as possible differ.

    Parameters
    ----------
    n : int
        Number of columns.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds.
    weight : ndarray of shape (n_pairs,)
        Weight of each bond, about 1 for nearest neighbours.
    vote : ndarray of shape (n,)
        Sign of each column according to its brightness, −1 to 1.

    Returns
    -------
    coloring : Coloring
        Signs of the columns of each crystal.
    """
    sign, cluster = np.ones(n), np.arange(n)
    bonds = _Bonds(*pairs.T, -weight, weight)
    size, favor = np.ones(n), vote
    # Ties are frequent in lattices: break them at random to avoid chains.
    rng = np.random.default_rng(0)
    while True:
        allowed, merit = bonds.mergers(size, favor)
        chosen = allowed[_mutual_choice(len(size), *bonds.ends(allowed), merit, rng)]
        if not chosen.size:
            sign *= np.where(favor < 0, -1, 1)[cluster]
            return Coloring(sign, cluster, np.abs(favor))
        kept, taken = bonds.ends(chosen)
        flip = np.ones(len(size))
        flip[taken] = np.sign(bonds.relation[chosen])
        target = np.arange(len(size))
        target[taken] = kept
        number = np.cumsum(target == np.arange(len(size))) - 1
        target = number[target]
        sign *= flip[cluster]
        cluster = target[cluster]
        size, favor = np.bincount(target, size), np.bincount(target, favor * flip)
        bonds = bonds.between(target, flip)


class _Bonds(NamedTuple):
    """Bonds between clusters: their sum of relative signs and of weights."""

    first: np.ndarray
    second: np.ndarray
    relation: np.ndarray
    amount: np.ndarray

    def ends(self, which):
        """Return the clusters at the two ends."""
        return self.first[which], self.second[which]

    def mergers(self, size, favor):
        """Return the mergers that are allowed, and the merit of each."""
        decisive = is_decisive(size, favor)
        opposed = favor[self.first] * favor[self.second] * self.relation < 0
        opposed &= decisive[self.first] & decisive[self.second]
        contact = _MIN_CONTACT_RATIO * np.sqrt(
            np.minimum(size[self.first], size[self.second])
        )
        strength = np.abs(self.relation)
        allowed = strength >= _MIN_AGREEMENT_SHARE * self.amount
        allowed &= (self.amount >= contact) & ~opposed
        allowed = np.flatnonzero(allowed)
        # Compact clusters of equal size before mergers of a large and a small one.
        first, second = self.ends(allowed)
        compact = strength[allowed] / np.sqrt(size[first] * size[second])
        agree = favor[first] * favor[second] * np.sign(self.relation[allowed])
        agree /= size[first] * size[second]
        return allowed, compact * (1 + _PREFERENCE_SHARE * agree)

    def between(self, target, flip):
        """Return the bonds of the merged clusters."""
        relation = self.relation * flip[self.first] * flip[self.second]
        first, second = target[self.first], target[self.second]
        n = target.max() + 1
        key = np.minimum(first, second) * n + np.maximum(first, second)
        order = np.flatnonzero(first != second)
        order = order[np.argsort(key[order], kind="stable")]
        start = np.flatnonzero(np.diff(key[order], prepend=-1))
        return _Bonds(
            *np.divmod(key[order][start], n),
            np.add.reduceat(relation[order], start),
            np.add.reduceat(self.amount[order], start),
        )


def is_decisive(size, favor):
    """Return for which clusters the votes of the brightness are decisive."""
    return np.abs(favor) > np.maximum(_MIN_VOTE * size, _MIN_VOTE_STD * np.sqrt(size))


def _mutual_choice(n, first, second, merit, rng):
    """Select the mergers that are the best for both of their clusters."""
    merit = merit * rng.uniform(0.9, 1, len(merit))
    best = np.zeros(n)
    np.maximum.at(best, first, merit)
    np.maximum.at(best, second, merit)
    return np.flatnonzero((best[first] == merit) & (best[second] == merit))


def clean_colors(sign, graph):
    """Correct single errors by the majority of the surrounding columns.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        Colours, −1 or 1.
    graph : sparse array of shape (n, n)
        Weight of each neighbour of a column.

    Returns
    -------
    sign : ndarray of shape (n,)
        Colours.
    """
    vote = sign
    for _ in range(_N_CLEANINGS):
        vote = 0.5 * (vote - graph @ vote)
    return np.where(np.abs(vote) < 1e-9, sign, np.sign(vote))
