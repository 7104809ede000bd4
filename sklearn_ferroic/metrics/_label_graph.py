"""Labels on the graph of neighbours."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_consistent_length

from ..sites import AtomSites
from ._labels import encode_labels
from ._neighbor_graph import find_groups, neighbor_edges

# What the scores of labels on sites have in common.
CONSTRAINTS = {
    "sites": [AtomSites, "array-like"],
    "labels": ["array-like"],
    "frame": ["array-like", None],
    "sublattice": ["array-like", None],
}


class LabelGraph(NamedTuple):
    """Labelled sites and who is whose neighbour."""

    positions: np.ndarray  # of shape (n, 2), px
    group: np.ndarray  # of int: which image and sublattice
    codes: np.ndarray  # of int: which label, −1 where there is none
    n_labels: int
    edges: np.ndarray  # of int, of shape (n_edges, 2), each pair once


def build_label_graph(sites, labels, frame, sublattice):
    """Check sites and labels and list the neighbours.

    Parameters
    ----------
    sites : AtomSites or array-like of shape (n, 2)
        The sites.
    labels : array-like of shape (n,)
        Their labels.
    frame, sublattice : array-like of shape (n,) or None
        Image and sublattice of each; those of the AtomSites, or all the same, if None.

    Returns
    -------
    graph : LabelGraph
        The graph.
    """
    positions, group = find_groups(sites, frame, sublattice)
    codes, n_labels = encode_labels(labels)
    check_consistent_length(positions, codes)
    edges = neighbor_edges(positions, group)
    return LabelGraph(positions, group, codes, n_labels, edges)
