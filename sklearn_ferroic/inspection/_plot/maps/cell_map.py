"""Maps of one value or one class of every cell."""

import numpy as np

from ...._utils.optional import import_optional
from ..._data.selection import check_labels_per_site, check_per_site, select_frame
from ..._drawing.colors import class_colors, color_limits, get_colormap
from ..._drawing.keys import add_class_legend, add_side_colorbar
from ..._drawing.site_map import CellMap, check_walls


class CellMapDisplay(CellMap):
    """Cells around the sites, filled with the colour of a value or a class.

    For anything that has one number per cell: a latent, the length of the displacement,
    strain, c/a, the area of the cell, or the labels of clusters. It is recommended to
    use :meth:`from_sites` to make a display. All parameters are stored as attributes.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image under the cells.
    positions : ndarray of shape (n_sites, 2)
        Sites ``(row, col)``, px.
    values : ndarray of shape (n_sites,)
        One value per site. Floats are drawn on a colour scale (NaN is neutral grey);
        integers, booleans and strings are classes (-1, scikit-learn's "no cluster", is
        neutral grey).
    values_name : str, default=""
        Label of the colour bar, with the unit, or title of the legend.
    center : float, default=None
        Value in the middle of diverging colours; sequential colours if None.
    labels : ndarray of shape (n_sites,), default=None
        Classes; borders between them are outlined.
    walls : DataFrame, default=None
        Result of :func:`sklearn_ferroic.domains.find_walls`.
    frame : int, default=0
        Image of `walls` that is shown.
    pixel_size : float, default=None
        Pixel size, nm; None if unknown.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The image.
    cells_ : matplotlib PolyCollection
        The cells, in the order of the sites.
    outlines_ : matplotlib LineCollection or None
        The outlines between labels.
    wall_lines_ : dict of int to matplotlib Line2D
        The walls by the index of their row.
    legend_ : matplotlib Legend or None
        The legend of the walls.
    class_legend_ : matplotlib Legend or None
        The legend of classes.
    colorbar_ : matplotlib Colorbar or None
        The colour bar of float values.
    scale_bar_ : AnchoredSizeBar or None
        The scale bar.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    DomainMapDisplay : Cells coloured by direction.
    SitesDisplay : Markers coloured by value.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.inspection import CellMapDisplay
    >>> data = make_ferroic_image(shape=(160, 160), random_state=0)
    >>> b_site = data.sublattice == 1
    >>> sites = AtomSites(
    ...     data.image, data.positions[b_site], pixel_size=data.pixel_size
    ... )
    >>> display = CellMapDisplay.from_sites(
    ...     sites, data.composition[b_site], values_name="BiFeO3", vmin=0, vmax=1
    ... )
    >>> display.cells_.get_clim()
    (0.0, 1.0)
    """

    def __init__(
        self,
        image,
        positions,
        values,
        *,
        values_name="",
        center=None,
        labels=None,
        walls=None,
        frame=0,
        pixel_size=None,
    ):
        self.image = image
        self.positions = positions
        self.values = values
        self.values_name = values_name
        self.center = center
        self.labels = labels
        self.walls = walls
        self.frame = frame
        self.pixel_size = pixel_size

    @classmethod
    def from_sites(
        cls,
        sites,
        values,
        *,
        values_name="",
        center=None,
        percentiles=(1, 99),
        vmin=None,
        vmax=None,
        cmap=None,
        labels=None,
        walls=None,
        frame=None,
        ax=None,
        ticks=None,
        scale_bar=True,
        colorbar=True,
    ):
        """Draw a map.

        Parameters
        ----------
        sites : AtomSites
            Sites of one sublattice, such as ``sites[sites.sublattice == 1]``.
        values : array-like of shape (n_sites,)
            One value per site. Floats are drawn on a colour scale (NaN is neutral
            grey); integers, booleans and strings are classes (-1 is neutral grey).
        values_name : str, default=""
            Label of the colour bar, with the unit, such as ``"|P| (µC/cm²)"``, or title
            of the legend of classes.
        center : float, default=None
            Value in the middle of diverging colours, such as 0 for a strain;
            sequential colours if None.
        percentiles : tuple of float (low, high), default=(1, 99)
            Percentiles of the values that are the ends of the scale.
        vmin, vmax : float, default=None
            Ends of the scale instead of the percentiles.
        cmap : str or matplotlib Colormap, default=None
            Colours instead of the default ones.
        labels : array-like of shape (n_sites,), default=None
            Classes, integers or strings; borders between them are outlined.
        walls : DataFrame, default=None
            Result of :func:`sklearn_ferroic.domains.find_walls`, or some of its rows,
            drawn with colours by charge and dashes by type.
        frame : int, default=None
            Index of the image to show; needed if the sites lie on several.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None draws none.
        scale_bar, colorbar : bool, default=True
            Whether to draw a scale bar, and a colour bar or a legend of classes.

        Returns
        -------
        display : CellMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `sites` are not AtomSites or `walls` are not a table of walls.
        ValueError
            If there is not one value per site, `frame` is needed but not given, limits
            are out of order, or `ticks` is unknown or needs a pixel size that is
            missing.
        """
        frame, rows = select_frame(sites, frame)
        n_sites = len(sites)
        values = check_per_site("values", values, n_sites)
        if labels is not None:
            labels = check_labels_per_site(labels, n_sites)[rows]
        if walls is not None:
            check_walls(walls)
        display = cls(
            sites.images[frame],
            sites.positions[rows],
            values[rows],
            values_name=values_name,
            center=center,
            labels=labels,
            walls=walls,
            frame=frame,
            pixel_size=sites.pixel_size[frame],
        )
        return display.plot(
            ax,
            percentiles=percentiles,
            vmin=vmin,
            vmax=vmax,
            cmap=cmap,
            ticks=ticks,
            scale_bar=scale_bar,
            colorbar=colorbar,
        )

    def plot(
        self,
        ax=None,
        *,
        percentiles=(1, 99),
        vmin=None,
        vmax=None,
        cmap=None,
        ticks=None,
        scale_bar=True,
        colorbar=True,
    ):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        percentiles : tuple of float (low, high), default=(1, 99)
            Percentiles of the values that are the ends of the scale.
        vmin, vmax : float, default=None
            Ends of the scale instead of the percentiles.
        cmap : str or matplotlib Colormap, default=None
            Colours instead of the default ones.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None draws none.
        scale_bar, colorbar : bool, default=True
            Whether to draw a scale bar, and a colour bar or a legend of classes.

        Returns
        -------
        display : CellMapDisplay
            The display itself.
        """
        is_scale = np.asarray(self.values).dtype.kind == "f"
        if is_scale:
            limits = color_limits(
                self.values,
                vmin=vmin,
                vmax=vmax,
                percentiles=percentiles,
                center=self.center,
            )
        ax = self._draw_image(ax, ticks=ticks, scale_bar=scale_bar)
        self.colorbar_ = self.class_legend_ = None
        if is_scale:
            self._draw_scale(cmap, limits, colorbar)
        else:
            self._draw_classes(colorbar)
        # The legend of the walls replaces that of the classes on the axes, so that the
        # latter is added again as an artist of its own.
        if self.class_legend_ is not None and self.walls is not None:
            ax.add_artist(self.class_legend_)
        self._draw_walls()
        return self

    def _draw_scale(self, cmap, limits, colorbar):
        """Draw float values with their colour bar."""
        if cmap is None:
            maps = import_optional("cmcrameri.cm", "plot")
            cmap = maps.batlow if self.center is None else maps.vik
        self.outlines_ = self._draw_cells(
            array=np.ma.masked_invalid(self.values), cmap=get_colormap(cmap)
        )
        self.cells_.set_clim(*limits)
        if colorbar:
            self.colorbar_ = add_side_colorbar(
                self.cells_, self.ax_, label=self.values_name
            )

    def _draw_classes(self, legend):
        """Draw classes with their legend."""
        classes, code = np.unique(self.values, return_inverse=True)
        colors = class_colors(classes)
        self.outlines_ = self._draw_cells(facecolors=colors[code])
        if legend:
            self.class_legend_ = add_class_legend(
                self.ax_, classes, colors, self.values_name or None
            )
