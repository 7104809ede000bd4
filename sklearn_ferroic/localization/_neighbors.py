"""Who stands next to whom."""

import numpy as np
from scipy.spatial import cKDTree

# A cage is complete with four corners within this many spacings ...
_CAGE_SIZE = 4
_CAGE_REACH = 1.5
# ... none of which leaves an angle wider than this to the next.
_WIDEST_GAP = np.deg2rad(150)


def neighbor_pairs(positions, radius):
    """List all pairs of columns within a radius.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns.
    radius : float
        Largest distance, px.

    Returns
    -------
    pairs : ndarray of shape (n_pairs, 2)
        Indices, each pair once.
    distance : ndarray of shape (n_pairs,)
        Distances, px.
    """
    if len(positions) < 2:
        return np.empty((0, 2), dtype=np.intp), np.empty(0)
    pairs = cKDTree(positions).query_pairs(radius, output_type="ndarray")
    # The tree's order is its own business: sort for the same result everywhere.
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return pairs, np.hypot(*(positions[pairs[:, 0]] - positions[pairs[:, 1]]).T)


def cage_displacement(positions, sublattice, spacing):
    """Compute each column's displacement from the centroid of its cage.

    The cage are the four nearest columns of the other sublattice: for the
    brightest sublattice those of the second brightest, for any other those of
    the brightest.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    sublattice : ndarray of shape (n,)
        Their sublattices.
    spacing : float
        Typical distance of nearest neighbours, px.

    Returns
    -------
    displacement : ndarray of shape (n, 2)
        Column minus centroid, px; NaN where fewer than four columns stand
        within one and a half spacings, or they do not surround the column.
    """
    displacement = np.full((len(positions), 2), np.nan)
    for label in np.unique(sublattice):
        center = np.flatnonzero(sublattice == label)
        cage = positions[sublattice == (1 if label == 0 else 0)]
        if len(cage) < _CAGE_SIZE:
            continue
        reach = _CAGE_REACH * spacing
        _, index = cKDTree(cage).query(
            positions[center], k=_CAGE_SIZE, distance_upper_bound=reach
        )
        full = (index < len(cage)).all(axis=1)
        center, corners = center[full], cage[index[full]]
        arms = corners - positions[center, None]
        closed = _widest_gap(arms) < _WIDEST_GAP
        displacement[center[closed]] = -arms[closed].mean(axis=1)
    return displacement


def _widest_gap(arms):
    """Widest angle between neighbouring arms, radians."""
    angle = np.sort(np.arctan2(arms[..., 0], arms[..., 1]), axis=1)
    gap = np.diff(angle, axis=1, append=angle[:, :1] + 2 * np.pi)
    return gap.max(axis=1)
