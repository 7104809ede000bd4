"""Spanning trees of the graph of neighbours, one for each connected component."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    minimum_spanning_tree,
)


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
