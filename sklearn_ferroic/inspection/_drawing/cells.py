"""Polygons around the sites, and the outlines of their groups."""

import numpy as np
from scipy.spatial import Voronoi, cKDTree

from ..._lattice.neighbors import typical_spacing
from ..._utils.optional import import_optional
from .layout import text_scale

# Neighbours that are reflected at a site: the first two shells of a square lattice.
_N_NEIGHBORS = 8
# A cell extends at most this many spacings from its site.
_REACH_SPACINGS = 1.0
# A place of the lattice is vacant if no site is within this many spacings.
_VACANT_SPACINGS = 0.7


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
    return typical_spacing(positions) or 1.0


def site_cells(positions):
    """Compute the Voronoi cells of sites, closed at the rim of the crystal.

    Where the lattice ends, at a rim or a missing column, it is continued: the
    neighbours of a site, reflected at the site, fill the empty places, so that rim
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
    n_sites, spacing = len(positions), site_spacing(positions)
    diagram = Voronoi(np.concatenate([positions, _surroundings(positions, spacing)]))
    ridge = np.asarray(diagram.ridge_vertices, dtype=np.int64)
    # Qhull counts in 32 bits, too few for the product below of large maps.
    pairs = diagram.ridge_points.astype(np.int64)
    closed = (ridge >= 0).all(axis=1)
    ridge, pairs = ridge[closed], pairs[closed]

    site = np.repeat(pairs.ravel(), 2)
    corner = np.concatenate([ridge, ridge], axis=1).ravel()
    mine = site < n_sites
    n_corners = len(diagram.vertices)
    once = np.unique(site[mine] * n_corners + corner[mine])
    site, corner = np.divmod(once, n_corners)
    reach = _REACH_SPACINGS * spacing
    polygons = _polygons(positions, site, diagram.vertices[corner], reach)
    inner = (pairs < n_sites).all(axis=1)
    return polygons, diagram.vertices[ridge[inner]], pairs[inner]


def add_cells(ax, polygons, **colors):
    """Draw cells over an image.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes, in px.
    polygons : ndarray of shape (n, n_corners, 2)
        Corners of the cells ``(row, col)``.
    **colors : dict
        What colours them: `facecolors`, or `array` and `cmap`.

    Returns
    -------
    cells : matplotlib PolyCollection
        The cells.
    """
    collection = import_optional("matplotlib.collections", "plot").PolyCollection
    # The thin edges close the hairlines between cells.
    cells = collection(polygons[..., ::-1], edgecolors="face", linewidths=0.5, **colors)
    return ax.add_collection(cells, autolim=False)


def _polygons(positions, site, corners, reach):
    """Sort the corners around their sites and pad to one number of corners."""
    arm = corners - positions[site]
    order = np.lexsort((np.arctan2(arm[:, 0], arm[:, 1]), site))
    site, arm = site[order], arm[order]
    length = np.hypot(*arm.T)
    arm *= np.minimum(1, reach / np.maximum(length, 1e-12))[:, None]
    n_corners = np.bincount(site, minlength=len(positions))
    first = np.cumsum(n_corners) - n_corners
    column = np.minimum(np.arange(n_corners.max()), n_corners[:, None] - 1)
    place = np.minimum(first[:, None] + np.maximum(column, 0), len(arm) - 1)
    # Of two sites in one place, one has no cell.
    arms = np.where(n_corners[:, None, None] > 0, arm[place], 0)
    return positions[:, None] + arms


def _surroundings(positions, spacing):
    """Continue the lattice by one site where it ends, and add a distant frame."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    far = 10 * (np.max(high - low) + spacing)
    frame = (low + high) / 2 + far * np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
    if len(positions) == 1:
        return frame
    tree = cKDTree(positions)
    k = min(_N_NEIGHBORS, len(positions) - 1)
    distance, neighbor = tree.query(positions, k=np.arange(2, k + 2))
    beyond = (2 * positions[:, None] - positions[neighbor]).reshape(-1, 2)
    gap, _ = tree.query(beyond)
    local_spacing = np.repeat(distance[:, :4].mean(axis=1), k)
    return np.concatenate([beyond[gap > _VACANT_SPACINGS * local_spacing], frame])


def draw_outlines(ax, segments):
    """Draw black lines on wider white ones.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes.
    segments : ndarray of shape (n, 2, 2)
        Ends of the lines as ``(x, y)``.

    Returns
    -------
    lines : matplotlib LineCollection
        The black lines.
    """
    line_collection = import_optional("matplotlib.collections", "plot").LineCollection
    for color, width in [("white", 2.4), ("black", 1.2)]:
        lines = line_collection(
            segments,
            colors=color,
            linewidths=width * text_scale(),
            capstyle="round",
            zorder=3,
        )
        ax.add_collection(lines, autolim=False)
    return lines
