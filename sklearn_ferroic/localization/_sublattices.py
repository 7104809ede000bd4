"""Which sublattice a column belongs to, from brightness and geometry together.

Nearest neighbours belong to different sublattices. Every pair of neighbours
compares its brightness, so that a slow gradient or another material next door does
not matter, and each column takes a vote from its pairs. The votes then diffuse over
the graph of neighbours, changing sign at each step: a column listens to its
neighbours' neighbours as to itself, and to its neighbours in the negative. Twenty
columns decide together where noise would mislead one, and no long-range order is
assumed.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, diags_array
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from ._neighbors import neighbor_pairs

# Neighbours stand within this many nearest-neighbour spacings.
_NEIGHBOR_REACH = 1.28
_N_DIFFUSIONS = 24
# Two sublattices differ by this much in log brightness at least, by this many times
# the scatter within them, and neighbours seldom carry the same label. Votes of pure
# noise reach a separation of 0.2 and a frustration of 0.09.
_MIN_CONTRAST = 0.04
_MIN_SEPARATION = 0.5
_MAX_FRUSTRATION = 0.07


class Split(NamedTuple):
    """A division into two sublattices.

    Parameters
    ----------
    label : ndarray of int of shape (n,)
        0 = the brighter.
    separation : float
        Difference of log brightness against the scatter within the sublattices.
    distinct : bool
        Whether these are two sublattices and not one.
    """

    label: np.ndarray
    separation: float
    distinct: bool


def assign_sublattices(positions, brightness, spacing, n_sublattices="auto"):
    """Label the columns of one image by sublattice, 0 = brightest.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px.
    brightness : ndarray of shape (n,)
        Amplitudes, positive.
    spacing : float
        Nearest-neighbour spacing, px.
    n_sublattices : int or "auto"
        How many to look for; "auto" decides between one and two.

    Returns
    -------
    sublattice : ndarray of int of shape (n,)
        Labels.
    """
    label = np.zeros(len(positions), dtype=np.intp)
    if len(positions) < 2:
        return label
    brightness = np.log(np.maximum(brightness, 1e-6 * brightness.max()))
    if n_sublattices == "auto":
        split = split_in_two(positions, brightness, spacing)
        return split.label if split.distinct else label
    for n_so_far in range(1, min(n_sublattices, len(positions))):
        label = _split_one_more(label, n_so_far, positions, brightness, spacing)
    return label


def split_in_two(positions, log_brightness, spacing):
    """Divide columns into two sublattices of nearest neighbours.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px.
    log_brightness : ndarray of shape (n,)
        Logarithm of their brightness.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    split : Split
        Labels, and whether they mean anything.
    """
    n = len(positions)
    pairs, _ = neighbor_pairs(positions, _NEIGHBOR_REACH * spacing)
    if not len(pairs):
        return Split(_split_by_brightness(log_brightness), 0.0, False)
    first, second = pairs.T
    contrast = log_brightness[first] - log_brightness[second]
    # A pair across an interface shouts no louder than any other.
    typical = max(np.median(np.abs(contrast)), 1e-6)
    vote = np.clip(contrast / typical, -1, 1)
    degree = np.bincount(pairs.ravel(), minlength=n)
    share = 1 / np.maximum(degree, 1)
    votes = np.bincount(first, vote, n) - np.bincount(second, vote, n)
    votes *= share
    ones = np.ones(len(pairs))
    graph = coo_array((ones, (first, second)), shape=(n, n)).tocsr()
    graph = diags_array(share) @ (graph + graph.T)
    for _ in range(_N_DIFFUSIONS):
        votes = 0.5 * (votes - graph @ votes)
    label = np.where(votes > 0, 0, 1).astype(np.intp)
    alone = degree == 0
    label[alone] = _label_by_company(positions, log_brightness, label, alone)

    own = (log_brightness - graph @ log_brightness)[~alone]
    own *= 1 - 2 * label[~alone]
    middle = np.median(own)
    scatter = 1.4826 * np.median(np.abs(own - middle))
    separation = float(middle / max(scatter, 1e-9))
    frustration = np.mean(label[first] == label[second])
    distinct = (
        middle > _MIN_CONTRAST
        and separation > _MIN_SEPARATION
        and frustration < _MAX_FRUSTRATION
    )
    return Split(label, separation, bool(distinct))


def _label_by_company(positions, log_brightness, label, alone):
    """Label columns without neighbours like the nearest ones of their brightness."""
    others = np.flatnonzero(~alone)
    n_asked = min(8, len(others))
    _, index = cKDTree(positions[others]).query(
        positions[alone], k=[*range(1, n_asked + 1)]
    )
    asked = others[index]
    unlike = np.abs(log_brightness[asked] - log_brightness[alone, None])
    return label[
        np.take_along_axis(asked, unlike.argmin(axis=1)[:, None], axis=1)[:, 0]
    ]


def _split_by_brightness(log_brightness):
    if np.ptp(log_brightness) == 0:
        return np.zeros(len(log_brightness), dtype=np.intp)
    return (log_brightness < threshold_otsu(log_brightness)).astype(np.intp)


def _split_one_more(label, n_so_far, positions, log_brightness, spacing):
    """Divide that sublattice whose halves differ most; order by brightness."""
    best, best_separation = None, -np.inf
    for old in range(n_so_far):
        members = np.flatnonzero(label == old)
        if len(members) < 2:
            continue
        own_spacing = spacing
        if n_so_far > 1:
            nearest = cKDTree(positions[members]).query(positions[members], k=2)[0]
            own_spacing = float(np.median(nearest[:, 1]))
        split = split_in_two(positions[members], log_brightness[members], own_spacing)
        if split.separation > best_separation:
            best, best_separation = (members, split.label), split.separation
    label = label.copy()
    members, halves = best
    label[members[halves == 1]] = n_so_far
    present = np.unique(label)
    level = [np.median(log_brightness[label == old]) for old in present]
    rank = np.empty(present.max() + 1, dtype=np.intp)
    rank[present[np.argsort(level)[::-1]]] = np.arange(len(present))
    return rank[label]
