"""Paths through the graph of neighbours: one tree for each connected part."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    minimum_spanning_tree,
)


class Forest(NamedTuple):
    """A spanning tree for each connected part of a graph.

    Parameters
    ----------
    parent : ndarray of int of shape (n,)
        The next node on the way to the root; a root is its own parent.
    edge : ndarray of int of shape (n,)
        Index of the pair that leads there, −1 for roots.
    part : ndarray of int of shape (n,)
        Which connected part a node belongs to.
    """

    parent: np.ndarray
    edge: np.ndarray
    part: np.ndarray


def spanning_forest(n, pairs, cost=None):
    """Span the connected parts of a graph by trees.

    Parameters
    ----------
    n : int
        Number of nodes.
    pairs : ndarray of shape (n_pairs, 2)
        Edges, each once, first < second, in lexical order.
    cost : ndarray of shape (n_pairs,), default=None
        Positive cost of each edge. The trees are the cheapest; those of
        shortest paths, edge by edge, from a middle node if None.

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
        graph = minimum_spanning_tree(graph)
    # One more node that all roots hang on makes a single tree of the forest.
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


def _as_graph(weight, indices, start):
    """Return a graph whose indices have the one type that all SciPy releases take."""
    # SciPy 1.12 to 1.17.0 refuse 64-bit indices in minimum_spanning_tree.
    indices = indices.astype(np.int32)
    start = start.astype(np.int32)
    n = len(start) - 1
    return csr_array((weight, indices, start), shape=(n, n))


def accumulate(parent, steps, combine):
    """Combine what stands at the nodes along all ways from the roots.

    Parameters
    ----------
    parent : ndarray of int of shape (n,)
        Parents; a root is its own.
    steps : ndarray of shape (n, ...)
        What each node adds to its parent; roots hold the neutral element.
    combine : callable
        Associative, ``combine(towards_root, away_from_root)``.

    Returns
    -------
    total : ndarray of shape (n, ...)
        Combination from the root to each node.
    """
    # Pointers jump twice as far each time.
    while True:
        farther = parent[parent]
        steps = combine(steps[parent], steps)
        if np.array_equal(farther, parent):
            return steps
        parent = farther
