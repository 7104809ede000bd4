"""Base classes of displays that draw sites over their image, and domain walls as lines.

The colour of a wall shows its charge, its dashes show its type.
"""

import numpy as np

from ..._utils.optional import import_optional
from .axes import get_axes, show_image
from .cells import add_cells, draw_outlines, site_cells
from .layout import make_room, text_scale

# Okabe and Ito; black and white show on any colour, too.
_CHARGE_COLORS = {
    "neutral": "black",
    "head-to-head": "#D55E00",
    "tail-to-tail": "#0072B2",
    "undetermined": "#7F7F7F",
}
_TYPE_STYLES = {"180": "-", "90": (0, (3.5, 1.6))}
_DOTTED = (0, (1, 1.2))
# At a font size of 10 pt.
_WIDTH_PT, _RIM_PT = 2.0, 4.0


class SiteMap:
    """Base class of displays of sites over their image.

    A subclass has the attributes `image` and `pixel_size` before it calls
    `_draw_image`, which sets `ax_` and `figure_`.
    """

    def _draw_image(self, ax, *, ticks, scale_bar, wash=0.0):
        """Draw the image, and return its axes."""
        ax = get_axes(ax)
        self.image_, self.scale_bar_ = show_image(
            ax,
            self.image,
            pixel_size=self.pixel_size,
            ticks=ticks,
            scale_bar=scale_bar,
            wash=wash,
        )
        self.ax_ = ax
        self.figure_ = ax.figure
        return ax


class CellMap(SiteMap):
    """Base class of displays of the cells of sites, and of domain walls.

    A subclass also has the attributes `positions`, `labels` or None, and `walls` or
    None with `frame`, the index of the image. Its `plot` calls `_draw_image` first,
    then `_draw_cells` and `_draw_walls`, which draw on `ax_`.
    """

    def _draw_cells(self, in_domain=None, **colors):
        """Draw the cells on the image, and return the outlines between labels, if any.

        Borders between two cells that are in no domain are not outlined.
        """
        polygons, ridges, pairs = site_cells(self.positions)
        self.cells_ = add_cells(self.ax_, polygons, **colors)
        if self.labels is None:
            return None
        border = self.labels[pairs[:, 0]] != self.labels[pairs[:, 1]]
        if in_domain is not None:
            border &= in_domain[pairs].any(axis=1)
        return draw_outlines(self.ax_, ridges[border][..., ::-1])

    def _draw_walls(self):
        """Draw the walls and their legend on the image."""
        self.wall_lines_, self.legend_ = {}, None
        if self.walls is not None:
            self.wall_lines_, self.legend_ = add_walls(self.ax_, self.walls, self.frame)


def add_walls(ax, walls, frame, *, legend=True):
    """Draw walls over an image.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with data in px.
    walls : DataFrame
        Result of :func:`sklearn_ferroic.domains.find_walls`, or some of its rows.
    frame : int
        Image that is shown.
    legend : bool, default=True
        Whether to draw a legend below the axes.

    Returns
    -------
    lines : dict of int to matplotlib Line2D
        The lines by the index of their row.
    legend : matplotlib Legend or None
        The legend.
    """
    polylines = check_walls(walls)
    lines, kinds = {}, {}
    for index, wall in walls.iterrows():
        if wall.frame != frame:
            continue
        points = polylines[index]
        style = _TYPE_STYLES.get(wall.wall_type, _DOTTED)
        (lines[index],) = ax.plot(
            points[:, 1],
            points[:, 0],
            color=_CHARGE_COLORS[wall.charge],
            linestyle=style,
            linewidth=_WIDTH_PT * text_scale(),
            zorder=4,
            scalex=False,
            scaley=False,
        )
        # The rim is solid, so that dashes show on any colour.
        ax.plot(
            points[:, 1],
            points[:, 0],
            color="white",
            linewidth=_RIM_PT * text_scale(),
            solid_capstyle="butt",
            zorder=3.9,
            scalex=False,
            scaley=False,
        )
        kinds.setdefault((wall.wall_type, wall.charge), lines[index])
    if not legend or not kinds:
        return lines, None
    # At the lower edge of its place, see the colour wheel below a map.
    ax.set_anchor("S")
    drawn = ax.legend(
        handles=[kinds[key] for key in sorted(kinds)],
        labels=[_name(kind, charge) for kind, charge in sorted(kinds)],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        bbox_transform=_below_ticks(ax),
        ncols=2,
        fontsize="small",
        frameon=False,
        handlelength=2.8,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
    make_room(ax, drawn)
    return lines, drawn


def _below_ticks(ax):
    """Return the transform of axes moved down by the height of ticks and label."""
    transforms = import_optional("matplotlib.transforms", "plot")
    figure = ax.get_figure(root=True)
    ax.apply_aspect()
    box = ax.xaxis.get_tightbbox()
    below = 0.0 if box is None else max(0.0, ax.get_window_extent().y0 - box.y0)
    shift = transforms.ScaledTranslation(0, -below / figure.dpi, figure.dpi_scale_trans)
    return ax.transAxes + shift


def check_walls(walls):
    """Return the polylines of a table of walls."""
    needed = {"frame", "wall_type", "charge", "row", "col"}
    polylines = getattr(walls, "attrs", {}).get("polylines")
    if polylines is None or not needed <= set(walls.columns):
        raise TypeError(
            "walls must be a table made by sklearn_ferroic.domains.find_walls, or some "
            f"of its rows, got {type(walls).__name__}."
        )
    for index, wall in walls.iterrows():
        points = polylines.get(index)
        if points is None or not np.isclose(points, [wall.row, wall.col]).all(1).any():
            raise ValueError(
                f"Row {index!r} of walls is not that of its line: keep the index of "
                "find_walls, by which lines are found, when rows are sorted or chosen."
            )
    return polylines


def _name(kind, charge):
    angle = f"{kind}° wall" if kind.replace(".", "").isdigit() else "wall"
    if kind == "other":
        angle = "other wall"
    return f"{angle}, {charge}"
