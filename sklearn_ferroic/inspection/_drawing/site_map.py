"""Base classes of the displays that draw sites over their image."""

from .axes import get_axes, show_image
from .cells import add_cells, draw_outlines, site_cells
from .wall_lines import add_walls


class SiteMap:
    """Base class of displays with the parameters `image` and `pixel_size`."""

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
    """Base class of displays with the parameters `positions`, `labels` and `walls`."""

    def _draw_cells(self, in_domain=None, **colors):
        """Draw the cells, and return the outlines between labels, None without.

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
        """Draw the walls and their legend."""
        self.wall_lines_, self.legend_ = {}, None
        if self.walls is not None:
            self.wall_lines_, self.legend_ = add_walls(self.ax_, self.walls, self.frame)
