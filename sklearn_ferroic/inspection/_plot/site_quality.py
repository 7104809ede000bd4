"""Flagged sites and empty lattice places over the image."""

import numpy as np

from ..._utils.optional import import_optional
from ...sites import SiteFlag
from .._data.selection import select_frame
from .._drawing.axes import show_image
from .._drawing.cells import site_spacing
from .._drawing.keys import add_side_colorbar
from .._drawing.layout import make_room
from .._drawing.site_map import SiteMap

# Shape, colour (Okabe and Ito) and size in spacings of the markers: each of them can be
# distinguished from the others without its colour.
_MARKERS = {
    SiteFlag.MERGED: ("D", "#CC79A7", 0.95, "merged"),
    SiteFlag.SHORT_PAIR: ("X", "#E69F00", 0.60, "short pair"),
    SiteFlag.UNCONVERGED: ("^", "#F0E442", 0.75, "unconverged"),
    SiteFlag.LABEL_DOUBTFUL: ("P", "#56B4E9", 0.60, "label doubtful"),
    SiteFlag.LOW_SIGNIFICANCE: ("v", "#009E73", 0.65, "low significance"),
    SiteFlag.HOLE: ("o", "#56B4E9", 0.75, "next to a hole"),
    SiteFlag.EDGE: ("s", "#BBBBBB", 0.40, "cut by the edge"),
    SiteFlag.UNASSIGNED: ("*", "#D55E00", 0.70, "no column of the motif"),
    SiteFlag.SHELL_MISSING: ("<", "#999999", 0.45, "neighbour missing"),
    SiteFlag.SHELL_DISTORTED: (">", "#0072B2", 0.55, "distorted shell"),
}
_MISS, _VACANCY = "#D55E00", "#FFFFFF"
# Side of the squares of empty places, and the dots of sites without flags, in spacings.
_PLACE_SPACINGS, _DOT_SPACINGS = 0.8, 0.2
# Filled markers hide the column; these are drawn as outlines.
_OUTLINED = ("o", "D", "^", "v", "s", "<", ">")
# The residual's colours end at this percentile of its absolute values.
_RESIDUAL_PERCENTILE = 99.5


class SiteQualityDisplay(SiteMap):
    """Flagged sites, suspected misses and the residual image.

    It is recommended to use :meth:`from_sites` to make a display. All parameters are
    stored as attributes.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n_sites, 2)
        Sites ``(row, col)``, px.
    flags : ndarray of int of shape (n_sites,)
        Bits of :class:`~sklearn_ferroic.SiteFlag`.
    suspected_misses, vacancies : ndarray of shape (n_places, 2), default=None
        Lattice places without a site: where the image shows a column, and where not.
    residual : ndarray of shape (n_rows, n_cols), default=None
        Image less columns and background.
    pixel_size : float, default=None
        Pixel size, nm; None if unknown.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The image.
    scatters_ : dict of str to matplotlib PathCollection
        Markers by their meaning; offsets are ``(col, row)`` in px.
    legend_ : matplotlib Legend or None
        The legend, with the number of each.
    residual_image_ : matplotlib AxesImage or None
        The residual.
    scale_bar_ : AnchoredSizeBar or None
        The scale bar.
    ax_ : matplotlib Axes
        The axes of the image.
    residual_ax_ : matplotlib Axes or None
        Those of the residual.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    AtomSites.quality : Numbers behind the picture.
    SitesDisplay : Sites coloured by sublattice, label or value.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.inspection import SiteQualityDisplay
    >>> data = make_ferroic_image("film", shape=(192, 208), random_state=0)
    >>> sites = AtomLocator().fit_transform(data)
    >>> center = np.hypot(*(sites.positions - [96, 104]).T).argmin()
    >>> display = SiteQualityDisplay.from_sites(sites[np.arange(len(sites)) != center])
    >>> display.legend_.get_texts()[0].get_text()
    'suspected miss (1)'
    """

    def __init__(
        self,
        image,
        positions,
        flags,
        *,
        suspected_misses=None,
        vacancies=None,
        residual=None,
        pixel_size=None,
    ):
        self.image = image
        self.positions = positions
        self.flags = flags
        self.suspected_misses = suspected_misses
        self.vacancies = vacancies
        self.residual = residual
        self.pixel_size = pixel_size

    @classmethod
    def from_sites(
        cls,
        sites,
        *,
        quality=None,
        frame=None,
        residual=False,
        ax=None,
        ticks=None,
        scale_bar=True,
    ):
        """Draw the quality of sites.

        Parameters
        ----------
        sites : AtomSites
            The sites, of all sublattices.
        quality : SiteQuality, default=None
            Result of ``sites.quality()``, if it is at hand.
        frame : int, default=None
            Index of the image to show; needed if the sites lie on several.
        residual : bool, default=False
            Whether to draw the residual image next to the image.
        ax : matplotlib Axes or sequence of two Axes, default=None
            Axes to draw into, two with `residual`; a new figure by default.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None for no ticks.
        scale_bar : bool, default=True
            Whether to draw a scale bar.

        Returns
        -------
        display : SiteQualityDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `sites` are not AtomSites.
        ValueError
            If `frame` is needed but not given, `quality` is of other sites, there is no
            residual, or `ticks` is unknown or needs a pixel size that is not known.
        """
        frame, rows = select_frame(sites, frame)
        quality = sites.quality() if quality is None else quality
        if len(quality.flags) != len(sites):
            raise ValueError(
                f"quality is of {len(quality.flags)} sites, and there are "
                f"{len(sites)}: give sites.quality() of these sites."
            )

        def on_frame(places):
            return places.positions[places.frame == frame]

        display = cls(
            sites.images[frame],
            sites.positions[rows],
            quality.flags[rows],
            suspected_misses=on_frame(quality.suspected_misses),
            vacancies=on_frame(quality.vacancies),
            residual=quality.residual_map(frame) if residual else None,
            pixel_size=sites.pixel_size[frame],
        )
        return display.plot(ax, ticks=ticks, scale_bar=scale_bar)

    def plot(self, ax=None, *, ticks=None, scale_bar=True):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of two Axes, default=None
            Axes to draw into, two if there is a residual; a new figure by default.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None for no ticks.
        scale_bar : bool, default=True
            Whether to draw a scale bar.

        Returns
        -------
        display : SiteQualityDisplay
            The display itself.
        """
        ax, self.residual_ax_ = self._axes(ax)
        ax = self._draw_image(ax, ticks=ticks, scale_bar=scale_bar, wash=0.1)
        # Markers have sizes of the page: the axes' size is settled before.
        ax.get_figure(root=True).draw_without_rendering()
        self._draw_markers(ax)
        self.residual_image_ = None
        if self.residual_ax_ is not None:
            self._draw_residual(self.residual_ax_, ticks)
        return self

    def _axes(self, ax):
        """Return the axes of the image and, with a residual, those of it."""
        if self.residual is None:
            return ax, None
        if ax is None:
            pyplot = import_optional("matplotlib.pyplot", "plot")
            _, ax = pyplot.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
        ax = np.ravel(np.asarray(ax, dtype=object))
        if len(ax) != 2:
            raise ValueError(
                "With a residual, ax must be two axes, as those of plt.subplots(1, 2), "
                f"got {len(ax)}."
            )
        return ax[0], ax[1]

    def _draw_markers(self, ax):
        spacing = site_spacing(self.positions)
        scale = _points_per_pixel(ax) * spacing
        self.scatters_ = {}

        def draw(key, positions, marker, color, size, label, outlined):
            if not len(positions):
                return
            style = {"facecolors": color, "edgecolors": "black"}
            if outlined:
                style = {"facecolors": "none", "edgecolors": color}
            self.scatters_[key] = ax.scatter(
                positions[:, 1],
                positions[:, 0],
                # From where they show to where they do not hide each other.
                s=np.clip(size * scale, 3.5 * size + 1, 22) ** 2,
                marker=marker,
                linewidths=np.clip(0.09 * scale, 0.7, 1.6) if outlined else 0.4,
                label=f"{label} ({len(positions)})",
                zorder=4,
                **style,
            )

        empty = np.empty((0, 2))
        misses = empty if self.suspected_misses is None else self.suspected_misses
        vacancies = empty if self.vacancies is None else self.vacancies
        draw(
            "suspected_miss",
            misses,
            "s",
            _MISS,
            _PLACE_SPACINGS,
            "suspected miss",
            True,
        )
        draw("vacancy", vacancies, "s", _VACANCY, _PLACE_SPACINGS, "vacancy", True)
        for flag, (marker, color, size, label) in _MARKERS.items():
            positions = self.positions[(self.flags & flag) != 0]
            outlined = marker in _OUTLINED
            draw(flag.name.lower(), positions, marker, color, size, label, outlined)
        sound = self.positions[self.flags == 0]
        draw("ok", sound, "o", "#56B4E9", _DOT_SPACINGS, "no flag", False)
        self.legend_ = None
        if self.scatters_:
            # The image keeps its shape: what is left of the height goes below it.
            ax.set_anchor("N")
            # Sizes of the legend are those of text, whatever the magnification.
            self.legend_ = ax.legend(
                loc="upper center",
                bbox_to_anchor=(0.5, -0.02),
                ncols=2,
                fontsize="small",
                frameon=True,
                facecolor="0.35",
                labelcolor="white",
                edgecolor="none",
                handletextpad=0.4,
                columnspacing=1.0,
            )
            for handle in self.legend_.legend_handles:
                handle.set_sizes([36])
            make_room(ax, self.legend_)

    def _draw_residual(self, ax, ticks):
        limit = float(np.percentile(np.abs(self.residual), _RESIDUAL_PERCENTILE)) or 1.0
        self.residual_image_, _ = show_image(
            ax, self.residual, pixel_size=self.pixel_size, ticks=ticks, scale_bar=False
        )
        self.residual_image_.set(cmap="PuOr_r", clim=(-limit, limit))
        add_side_colorbar(self.residual_image_, ax, label="image − model")


def _points_per_pixel(ax):
    """Compute the size of a pixel of the image in points of the figure."""
    inverse = ax.transData.transform([(0, 0), (1, 0)])
    return abs(inverse[1, 0] - inverse[0, 0]) * 72 / ax.figure.dpi
