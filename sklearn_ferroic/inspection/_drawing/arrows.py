"""Arrows at the sites."""

import numpy as np
from scipy.spatial import cKDTree

from .layout import text_scale

# Width of the shaft in lengths of a cell, head in widths of the shaft.
SHAFT_WIDTH_CELLS = 0.17
HEAD = {"headwidth": 3.2, "headlength": 3, "headaxislength": 2.7}
# Arrows of directions are at least this long, inches at a font size of 10 pt: about
# 3 mm in a figure of one column with a font of 8 pt.
_MIN_LENGTH_INCHES = 0.15
# Length of an arrow over the distance of the arrows.
_LENGTH_RATIO = 0.82
# Arrows shorter than this share of the longest ones are not drawn.
_MIN_SHARE = 0.25
_RIM_PT = 1.0
# The site nearest to this place in a square has the arrow. In the middle, two sites of
# a square of even width would be equally near, and either one would be taken.
_PLACE_SHARE = 0.3


def add_direction_arrows(ax, positions, angle, share=None):
    """Draw arrows of directions over cells, black with a white rim.

    They are legible without colours. Where the cells are small in the figure, only
    every second, third, ... cell along a row has one, its own direction and no mean.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with data in px.
    positions : ndarray of shape (n, 2)
        Sites ``(row, col)``, px.
    angle : ndarray of shape (n,)
        Angles in radians; NaN has no arrow.
    share : ndarray of shape (n,), default=None
        Length of the arrows in [0, 1], relative to the longest; 1 if None.

    Returns
    -------
    arrows : matplotlib Quiver or None
        The arrows; None if no site has one.
    """
    length = np.ones(len(angle)) if share is None else np.nan_to_num(share)
    drawn = np.flatnonzero(np.isfinite(angle) & (length >= _MIN_SHARE))
    if drawn.size == 0:
        return None
    spacing = _mean_spacing(positions)
    step = _cells_per_arrow(ax, spacing) * spacing
    if step > spacing:
        drawn = drawn[_nearest_to_grid(positions, spacing, step, drawn)]
    row, col = positions[drawn].T
    return ax.quiver(
        col,
        row,
        length[drawn] * np.cos(angle[drawn]),
        length[drawn] * np.sin(angle[drawn]),
        color="black",
        angles="xy",
        scale_units="xy",
        scale=1 / (_LENGTH_RATIO * step),
        units="xy",
        width=0.8 * SHAFT_WIDTH_CELLS * step,
        **HEAD,
        pivot="mid",
        edgecolor="white",
        linewidth=_RIM_PT * text_scale(),
        zorder=3.5,
    )


def _mean_spacing(positions):
    """Return the median distance of the four nearest neighbours of all sites, px.

    The distance of the nearest one only is shorter than a cell, by the scatter.
    """
    n_neighbors = min(4, len(positions) - 1)
    if n_neighbors < 1:
        return 1.0
    distances = cKDTree(positions).query(positions, k=n_neighbors + 1)[0][:, 1:]
    return float(np.median(distances)) or 1.0


def _cells_per_arrow(ax, spacing):
    """Return the distance of arrows in cells, so that arrows are long enough."""
    ax.apply_aspect()
    figure = ax.get_figure(root=True)
    inches = ax.get_window_extent().width / figure.dpi
    cell_inches = spacing * inches / abs(np.diff(ax.get_xlim())[0])
    wanted = _MIN_LENGTH_INCHES * text_scale() / _LENGTH_RATIO
    return max(1, int(np.ceil(wanted / cell_inches - 0.2)))


def _nearest_to_grid(positions, spacing, step, chosen):
    """Return one chosen site in each square of a grid."""
    low = positions.min(axis=0) - spacing / 2
    extent = positions.max(axis=0) + spacing / 2 - low
    # A whole number of squares that are at least as wide as a step: arrows of
    # neighbouring squares are not closer than on a regular grid.
    n_squares = np.maximum(1, np.floor(extent / step + 0.01))
    place = (positions[chosen] - low) / extent * n_squares
    square = np.floor(place).astype(np.intp)
    off = np.hypot(*(place - square - _PLACE_SHARE).T)
    order = np.lexsort((off, square[:, 1], square[:, 0]))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(square[order], axis=0) != 0).any(axis=1)
    return np.sort(order[first])
