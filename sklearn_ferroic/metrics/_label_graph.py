"""Labels of sites on the graph of neighbours in the crystal."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from .._lattice.neighbor_graph import neighbor_edges
from .._utils.validation import as_labels, refuse_mask
from ..sites import AtomSites


def encode_labels(labels):
    """Encode labels as consecutive numbers from 0.

    Parameters
    ----------
    labels : array-like of shape (n,)
        Numbers or strings. Negative numbers, NaN and None mark samples without a label.

    Returns
    -------
    codes : ndarray of int of shape (n,)
        0 … `n_labels` − 1; −1 where there is no label.
    n_labels : int
        Number of different labels.
    """
    refuse_mask(labels, "labels")
    labels, is_missing = as_labels(column_or_1d(labels))
    known = ~is_missing
    if labels.dtype.kind in "fiub":
        known &= labels >= 0
    elif labels.dtype.kind == "O":
        known[known] = [isinstance(one, str) or one >= 0 for one in labels[known]]
    codes = np.full(len(labels), -1)
    try:
        values, codes[known] = np.unique(labels[known], return_inverse=True)
    except TypeError as error:
        raise ValueError(
            "labels must be all numbers or all strings, got values of several types."
        ) from error
    return codes, len(values)


# Parameters that the scores of labels on sites share.
CONSTRAINTS = {
    "sites": [AtomSites, "array-like"],
    "labels": ["array-like"],
    "frame": ["array-like", None],
    "sublattice": ["array-like", None],
}


class LabelGraph(NamedTuple):
    """Labelled sites and the graph of their neighbours."""

    positions: np.ndarray  # of shape (n, 2), px
    group: np.ndarray  # of int: which image and sublattice
    codes: np.ndarray  # of int: which label, −1 where there is none
    n_labels: int
    edges: np.ndarray  # of int, of shape (n_edges, 2), each pair once


def find_groups(sites, frame=None, sublattice=None):
    """Return the coordinates of sites and the group that each belongs to.

    Parameters
    ----------
    sites : AtomSites or array-like of shape (n, 2)
        The sites.
    frame, sublattice : array-like of shape (n,) or None
        Image and sublattice of each; those of the AtomSites, or a single one, if None.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        Coordinates, px.
    group : ndarray of int of shape (n,)
        Number of the image and sublattice of each site, 0 … n_groups − 1.
    """
    positions = sites
    if isinstance(sites, AtomSites):
        positions = sites.positions
        frame = sites.frame if frame is None else frame
        sublattice = sites.sublattice if sublattice is None else sublattice
    positions = check_array(
        positions, dtype=np.float64, ensure_min_samples=0, input_name="sites"
    )
    if positions.shape[1] != 2:
        raise ValueError(
            "sites must be AtomSites or (row, col) pairs of shape (n_sites, 2), got "
            f"shape {positions.shape}."
        )
    kinds = []
    for values in (frame, sublattice):
        values = np.zeros(len(positions)) if values is None else column_or_1d(values)
        check_consistent_length(positions, values)
        kinds.append(np.unique(values, return_inverse=True)[1].ravel())
    pair = np.stack(kinds, axis=1)
    return positions, np.unique(pair, axis=0, return_inverse=True)[1].ravel()


def build_label_graph(sites, labels, frame, sublattice):
    """Check sites and labels and return the graph of neighbours.

    Parameters
    ----------
    sites : AtomSites or array-like of shape (n, 2)
        The sites.
    labels : array-like of shape (n,)
        Their labels.
    frame, sublattice : array-like of shape (n,) or None
        Image and sublattice of each; those of the AtomSites, or a single one, if None.

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
