"""Sites over their image."""

import numpy as np

from ..._utils.optional import import_optional
from .._data.selection import check_per_site, select_frame
from .._drawing.cells import site_spacing
from .._drawing.colors import class_colors, color_limits, get_colormap
from .._drawing.keys import add_class_legend, add_side_colorbar
from .._drawing.site_map import SiteMap

# Diameter of a marker in units of the distance of nearest neighbours.
_MARKER_SPACINGS = 0.45
# How far the black of the image is lifted towards white under the markers.
_WASH_SHARE = 0.3


class SitesDisplay(SiteMap):
    """Sites over their image, coloured by sublattice, label or value.

    It is recommended to use :meth:`from_sites` to make a display. All parameters are
    stored as attributes.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n_sites, 2)
        Sites ``(row, col)``, px.
    values : ndarray of shape (n_sites,)
        Labels (integers, booleans, strings) or values (floats) of the sites.
    values_name : str, default=None
        Title of the legend or label of the colour bar.
    pixel_size : float, default=None
        Pixel size, nm; None if unknown.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The image.
    scatter_ : matplotlib EllipseCollection or None
        The markers; offsets are ``(col, row)`` in px.
    legend_ : matplotlib Legend or None
        The legend of labels.
    colorbar_ : matplotlib Colorbar or None
        The colour bar of values.
    scale_bar_ : AnchoredSizeBar or None
        The scale bar.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    PolarizationMapDisplay : Arrows at the sites.
    DomainMapDisplay : Cells coloured by direction.

    Examples
    --------
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.inspection import SitesDisplay
    >>> data = make_ferroic_image(shape=(160, 160), random_state=0)
    >>> sites = AtomSites(
    ...     data.image,
    ...     data.positions,
    ...     sublattice=data.sublattice,
    ...     pixel_size=data.pixel_size,
    ... )
    >>> display = SitesDisplay.from_sites(sites)
    >>> [text.get_text() for text in display.legend_.get_texts()]
    ['A (0)', 'B (1)']
    """

    def __init__(self, image, positions, values, *, values_name=None, pixel_size=None):
        self.image = image
        self.positions = positions
        self.values = values
        self.values_name = values_name
        self.pixel_size = pixel_size

    @classmethod
    def from_sites(
        cls,
        sites,
        *,
        values=None,
        values_name=None,
        frame=None,
        ax=None,
        cmap="viridis",
        percentiles=(0, 100),
        vmin=None,
        vmax=None,
        ticks=None,
        scale_bar=True,
        markers=True,
    ):
        """Draw sites.

        Parameters
        ----------
        sites : AtomSites
            The sites.
        values : array-like of shape (n_sites,), default=None
            Values by which the sites are coloured, the sublattice by default. Integers,
            booleans and strings are labels (-1 is neutral, as scikit-learn's "no
            cluster"); floats are drawn on a colour scale (NaN is neutral).
        values_name : str, default=None
            Title of the legend or label of the colour bar.
        frame : int, default=None
            Index of the image to show; needed if the sites lie on several.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of float values.
        percentiles : tuple of float (low, high), default=(0, 100)
            Percentiles of float values that are the ends of the scale.
        vmin, vmax : float, default=None
            Ends of the scale instead of the percentiles.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None for no ticks.
        scale_bar : bool, default=True
            Whether to draw a scale bar.
        markers : bool, default=True
            Whether to draw the sites; False draws the image alone.

        Returns
        -------
        display : SitesDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `sites` are not AtomSites.
        ValueError
            If there is not one value per site, `frame` is needed but not given, or
            `ticks` is unknown or needs a pixel size that is not known.
        """
        frame, rows = select_frame(sites, frame)
        if values is None:
            names = {0: "A (0)", 1: "B (1)"}
            values = np.array([names.get(s, str(s)) for s in sites.sublattice.tolist()])
            values_name = "sublattice" if values_name is None else values_name
        values = check_per_site("values", values, len(sites))
        display = cls(
            sites.images[frame],
            sites.positions[rows],
            values[rows],
            values_name=values_name,
            pixel_size=sites.pixel_size[frame],
        )
        return display.plot(
            ax,
            cmap=cmap,
            percentiles=percentiles,
            vmin=vmin,
            vmax=vmax,
            ticks=ticks,
            scale_bar=scale_bar,
            markers=markers,
        )

    def plot(
        self,
        ax=None,
        *,
        cmap="viridis",
        percentiles=(0, 100),
        vmin=None,
        vmax=None,
        ticks=None,
        scale_bar=True,
        markers=True,
    ):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of float values.
        percentiles : tuple of float (low, high), default=(0, 100)
            Percentiles of float values that are the ends of the scale.
        vmin, vmax : float, default=None
            Ends of the scale instead of the percentiles.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None for no ticks.
        scale_bar : bool, default=True
            Whether to draw a scale bar.
        markers : bool, default=True
            Whether to draw the sites; False draws the image alone.

        Returns
        -------
        display : SitesDisplay
            The display itself.
        """
        collections = import_optional("matplotlib.collections", "plot")
        wash = _WASH_SHARE if markers else 0.0
        ax = self._draw_image(ax, ticks=ticks, scale_bar=scale_bar, wash=wash)
        self.scatter_ = self.legend_ = self.colorbar_ = None
        if not markers:
            return self
        size = np.full(
            len(self.positions), _MARKER_SPACINGS * site_spacing(self.positions)
        )
        self.scatter_ = collections.EllipseCollection(
            size,
            size,
            np.zeros_like(size),
            units="xy",
            offsets=self.positions[:, ::-1],
            offset_transform=ax.transData,
        )
        ax.add_collection(self.scatter_, autolim=False)
        if self.values.dtype.kind == "f":
            limits = color_limits(
                self.values, vmin=vmin, vmax=vmax, percentiles=percentiles
            )
            self._color_by_value(ax, cmap, limits)
        else:
            self._color_by_label(ax)
        return self

    def _color_by_value(self, ax, cmap, limits):
        values = np.ma.masked_invalid(self.values)
        self.scatter_.set(array=values, cmap=get_colormap(cmap), clim=limits)
        self.colorbar_ = add_side_colorbar(
            self.scatter_, ax, label=self.values_name or ""
        )

    def _color_by_label(self, ax):
        classes, code = np.unique(self.values, return_inverse=True)
        colors = class_colors(classes)
        self.scatter_.set_facecolor(colors[code])
        self.legend_ = add_class_legend(ax, classes, colors, self.values_name)
