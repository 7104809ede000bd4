"""The piece of the plane that belongs to each site."""

import numpy as np
from scipy.spatial import Voronoi, cKDTree

_N_NEIGHBORS = 8
# A cell reaches this many spacings from its site at most.
_REACH = 1.0
# A place of the lattice is vacant if no site is within this many spacings.
_VACANT = 0.7


def site_spacing(positions):
    """Compute the typical distance of nearest neighbours.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Sites, px.

    Returns
    -------
    spacing : float
        Median over the sites, px; 1 if there is one site only.
    """
    distinct = np.unique(positions, axis=0)
    if len(distinct) < 2:
        return 1.0
    return float(np.median(cKDTree(distinct).query(distinct, k=2)[0][:, 1]))


def site_cells(positions):
    """Compute the Voronoi cells of sites, closed at the rim of the crystal.

    Where the lattice ends, at a rim or a missing column, it is thought to go on: the
    neighbours of a site, reflected at the site, take the empty places, so that rim
    cells are as large as others.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Distinct sites, px.

    Returns
    -------
    polygons : ndarray of shape (n, n_corners, 2)
        Corners of the cells in order, the last one repeated where there are fewer.
    ridges : ndarray of shape (n_ridges, 2, 2)
        Ends of the edges that two sites share.
    pairs : ndarray of shape (n_ridges, 2)
        Indices of the two sites.
    """
    n_sites = len(positions)
    diagram = Voronoi(np.concatenate([positions, _surroundings(positions)]))
    ridge = np.asarray(diagram.ridge_vertices)
    pairs = diagram.ridge_points
    closed = (ridge >= 0).all(axis=1)
    ridge, pairs = ridge[closed], pairs[closed]

    site = np.repeat(pairs.ravel(), 2)
    corner = np.concatenate([ridge, ridge], axis=1).ravel()
    mine = site < n_sites
    n_corners = len(diagram.vertices)
    once = np.unique(site[mine] * n_corners + corner[mine])
    site, corner = np.divmod(once, n_corners)
    polygons = _polygons(positions, site, diagram.vertices[corner])
    inner = (pairs < n_sites).all(axis=1)
    return polygons, diagram.vertices[ridge[inner]], pairs[inner]


def _polygons(positions, site, corners):
    """Order the corners around their sites and pad to one number of corners."""
    arm = corners - positions[site]
    order = np.lexsort((np.arctan2(arm[:, 0], arm[:, 1]), site))
    site, arm = site[order], arm[order]
    length = np.hypot(*arm.T)
    reach = _REACH * site_spacing(positions)
    arm *= np.minimum(1, reach / np.maximum(length, 1e-12))[:, None]
    n_corners = np.bincount(site, minlength=len(positions))
    first = np.cumsum(n_corners) - n_corners
    column = np.minimum(np.arange(n_corners.max()), n_corners[:, None] - 1)
    place = np.minimum(first[:, None] + np.maximum(column, 0), len(arm) - 1)
    # Of two sites in one place, one has no cell.
    arms = np.where(n_corners[:, None, None] > 0, arm[place], 0)
    return positions[:, None] + arms


def _surroundings(positions):
    """Continue the lattice by one site where it ends, and frame it from afar."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    far = 10 * (np.max(high - low) + site_spacing(positions))
    frame = (low + high) / 2 + far * np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    if len(positions) == 1:
        return frame
    tree = cKDTree(positions)
    k = min(_N_NEIGHBORS, len(positions) - 1)
    distance, neighbor = tree.query(positions, k=np.arange(2, k + 2))
    beyond = (2 * positions[:, None] - positions[neighbor]).reshape(-1, 2)
    gap, _ = tree.query(beyond)
    spacing = np.repeat(distance[:, :4].mean(axis=1), k)
    return np.concatenate([beyond[gap > _VACANT * spacing], frame])
