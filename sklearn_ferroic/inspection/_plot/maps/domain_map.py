"""Maps of the direction of every cell."""

import numpy as np

from ..._data.selection import check_labels_per_site, check_per_site, select_frame
from ..._drawing.arrows import add_direction_arrows
from ..._drawing.colors import (
    angle_colors,
    check_percentiles,
    clip_to_unit,
    color_limits,
)
from ..._drawing.keys import add_color_wheel, wheel_side
from ..._drawing.layout import with_minus
from ..._drawing.site_map import CellMap, check_walls

# Larger angles are degrees by mistake: two turns.
_LARGEST_ANGLE_RAD = 4 * np.pi


class DomainMapDisplay(CellMap):
    """Cells around the sites, coloured by direction.

    The hue shows the angle and the saturation a magnitude: a cell without direction
    is grey. It is recommended to use :meth:`from_sites` to make a display. All
    parameters are stored as attributes.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image under the cells.
    positions : ndarray of shape (n_sites, 2)
        Sites ``(row, col)``, px.
    angle : ndarray of shape (n_sites,)
        Angles in radians from the +col axis towards the +row axis; NaN where there
        is none.
    magnitude : ndarray of shape (n_sites,), default=None
        What sets the saturation; full everywhere if None.
    magnitude_name : str, default="magnitude"
        What the key under the colour wheel calls it.
    percentiles : tuple of float (low, high), default=(5, 95)
        Percentiles of `magnitude` that are shown grey and in full colour.
    vmin, vmax : float, default=None
        Values of `magnitude` that are shown grey and in full colour instead of the
        percentiles.
    labels : ndarray of shape (n_sites,), default=None
        Classes; borders between them are outlined, except between two cells without a
        direction.
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
    walls_ : matplotlib LineCollection or None
        The outlines between labels.
    wall_lines_ : dict of int to matplotlib Line2D
        Lines of `walls` by the index of their row.
    legend_ : matplotlib Legend or None
        The legend of the walls.
    wheel_ : matplotlib Axes or None
        The colour wheel.
    arrows_ : matplotlib Quiver or None
        The arrows of the directions.
    scale_bar_ : AnchoredSizeBar or None
        The scale bar.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    PolarizationMapDisplay : Arrows at the sites.
    AngleHistogramDisplay : How often each direction occurs.

    Notes
    -----
    A cell is the part of the plane that is nearer to its site than to any other; a
    missing column leaves a hole through which the image shows.

    The colours are distinct for colour-blind readers but not in greyscale, where
    opposite directions can be equally dark: use ``arrows=True`` for print. Where cells
    are small in the figure only some of them have an arrow, so that an antipolar order
    with a period of two cells needs a larger figure.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.inspection import DomainMapDisplay
    >>> data = make_ferroic_image(shape=(160, 160), random_state=0)
    >>> b_site = data.sublattice == 1
    >>> sites = AtomSites(
    ...     data.image, data.positions[b_site], pixel_size=data.pixel_size
    ... )
    >>> d_row, d_col = data.polarization[b_site].T
    >>> display = DomainMapDisplay.from_sites(
    ...     sites, np.arctan2(d_row, d_col), magnitude=np.hypot(d_row, d_col)
    ... )
    >>> len(display.cells_.get_paths()) == len(sites)
    True
    """

    def __init__(
        self,
        image,
        positions,
        angle,
        *,
        magnitude=None,
        magnitude_name="magnitude",
        percentiles=(5, 95),
        vmin=None,
        vmax=None,
        labels=None,
        walls=None,
        frame=0,
        pixel_size=None,
    ):
        self.image = image
        self.positions = positions
        self.angle = angle
        self.magnitude = magnitude
        self.magnitude_name = magnitude_name
        self.percentiles = percentiles
        self.vmin = vmin
        self.vmax = vmax
        self.labels = labels
        self.walls = walls
        self.frame = frame
        self.pixel_size = pixel_size

    @classmethod
    def from_sites(
        cls,
        sites,
        angle,
        *,
        magnitude=None,
        magnitude_name="magnitude",
        percentiles=(5, 95),
        vmin=None,
        vmax=None,
        labels=None,
        walls=None,
        polar=None,
        frame=None,
        ax=None,
        ticks=None,
        scale_bar=True,
        color_wheel=True,
        arrows=False,
    ):
        """Draw a domain map.

        Parameters
        ----------
        sites : AtomSites
            The sites.
        angle : array-like of shape (n_sites,)
            Angles in radians from the +col axis towards the +row axis; NaN where
            there is none.
        magnitude : array-like of shape (n_sites,), default=None
            What sets the saturation: a length, a latent; full everywhere if None.
        magnitude_name : str, default="magnitude"
            What the key under the colour wheel calls it.
        percentiles : tuple of float (low, high), default=(5, 95)
            Percentiles of `magnitude` that are shown grey and in full colour.
        vmin, vmax : float, default=None
            Values of `magnitude` that are shown grey and in full colour instead of the
            percentiles.
        labels : array-like of shape (n_sites,), default=None
            Classes, integers or strings; borders between them are outlined, except
            between two cells without a direction.
        walls : DataFrame, default=None
            Result of :func:`sklearn_ferroic.domains.find_walls`, or some of its rows,
            drawn with colours by charge and dashes by type.
        polar : array-like of bool of shape (n_sites,), default=None
            Which sites have a direction; the others are grey. All by default.
        frame : int, default=None
            Index of the image to show; needed if the sites lie on several.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None for no ticks.
        scale_bar : bool, default=True
            Whether to draw a scale bar.
        color_wheel : bool or {"right", "below"}, default=True
            Whether to draw a colour wheel, and on which side of the map; True is
            "right".
        arrows : bool, default=False
            Whether to draw arrows of the directions over the cells, which are legible
            in greyscale. Their lengths follow the saturation.

        Returns
        -------
        display : DomainMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `sites` are not AtomSites or `walls` are not a table of walls.
        ValueError
            If there is not one value per site, `frame` is needed but not given, limits
            are out of order, or `ticks` is unknown or needs a pixel size that is
            not known.
        """
        frame, rows = select_frame(sites, frame)
        n_sites = len(sites)
        if walls is not None:
            check_walls(walls)
        angle = check_per_site("angle", angle, n_sites)
        if angle.dtype.kind not in "fiu":
            raise ValueError(
                f"angle must be numbers in radians, got values of type {angle.dtype}. "
                "For a map of labels use CellMapDisplay.from_sites."
            )
        angle = angle.astype(np.float64)
        largest = np.nanmax(np.abs(angle), initial=0.0)
        if np.isfinite(largest) and largest > _LARGEST_ANGLE_RAD:
            raise ValueError(
                f"angle must be in radians, got values up to {largest:.4g}. Use "
                "numpy.radians for degrees."
            )
        if magnitude is not None:
            magnitude = check_per_site("magnitude", magnitude, n_sites)[rows]
        if labels is not None:
            labels = check_labels_per_site(labels, n_sites)[rows]
        if polar is not None:
            polar = check_per_site("polar", polar, n_sites).astype(bool)
            angle = np.where(polar, angle, np.nan)
        display = cls(
            sites.images[frame],
            sites.positions[rows],
            angle[rows],
            magnitude=magnitude,
            magnitude_name=magnitude_name,
            percentiles=percentiles,
            vmin=vmin,
            vmax=vmax,
            labels=labels,
            walls=walls,
            frame=frame,
            pixel_size=sites.pixel_size[frame],
        )
        return display.plot(
            ax,
            ticks=ticks,
            scale_bar=scale_bar,
            color_wheel=color_wheel,
            arrows=arrows,
        )

    @classmethod
    def from_vectors(cls, sites, vectors=None, *, magnitude_name=None, **options):
        """Draw a colour map of vectors: hue for direction, saturation for length.

        Parameters
        ----------
        sites : AtomSites
            Sites of one sublattice, such as ``sites[sites.sublattice == 1]``.
        vectors : array-like of shape (n_sites, 2), default=None
            Vectors ``(d_row, d_col)``, NaN where there is none; the sites'
            polarization in pm, or in px without a pixel size, by default.
        magnitude_name : str, default=None
            What the key under the colour wheel calls the length, with the unit.
        **options : dict
            Other arguments of :meth:`from_sites`; `vmin` is 0 unless it or
            `percentiles` are given.

        Returns
        -------
        display : DomainMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError
            As :meth:`from_sites`.
        """
        select_frame(sites, options.get("frame"))
        if vectors is None:
            scale = 1000 * sites.pixel_size_per_site()[:, None]
            known = bool(np.isfinite(scale).all())
            vectors = sites.polarization * (scale if known else 1)
            if magnitude_name is None:
                magnitude_name = f"displacement ({'pm' if known else 'px'})"
        vectors = check_per_site("vectors", vectors, len(sites), (2,))
        if "percentiles" not in options:
            # Only a length of zero has no direction.
            options.setdefault("vmin", 0.0)
        return cls.from_sites(
            sites,
            np.arctan2(vectors[:, 0], vectors[:, 1]),
            magnitude=np.hypot(vectors[:, 0], vectors[:, 1]),
            magnitude_name="length" if magnitude_name is None else magnitude_name,
            **options,
        )

    def plot(
        self, ax=None, *, ticks=None, scale_bar=True, color_wheel=True, arrows=False
    ):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None for no ticks.
        scale_bar : bool, default=True
            Whether to draw a scale bar.
        color_wheel : bool or {"right", "below"}, default=True
            Whether to draw a colour wheel, and on which side of the map; True is
            "right".
        arrows : bool, default=False
            Whether to draw arrows of the directions over the cells, which are legible
            in greyscale. Their lengths follow the saturation.

        Returns
        -------
        display : DomainMapDisplay
            The display itself.
        """
        side = wheel_side(color_wheel)
        if side == "below" and self.walls is not None:
            raise ValueError(
                'color_wheel="below" is where the legend of the walls is: use '
                'color_wheel="right" with walls.'
            )
        ax = self._draw_image(ax, ticks=ticks, scale_bar=scale_bar)
        saturation, caption = self._saturation()
        self.walls_ = self._draw_cells(
            in_domain=np.isfinite(self.angle),
            facecolors=angle_colors(self.angle, saturation),
        )
        self._draw_walls()
        self.wheel_ = self.arrows_ = None
        if side is not None:
            self.wheel_ = add_color_wheel(
                ax, graded=self.magnitude is not None, caption=caption, side=side
            )
        if arrows:
            self.arrows_ = add_direction_arrows(
                ax, self.positions, self.angle, saturation
            )
        return self

    def _saturation(self):
        if self.magnitude is None:
            return None, ""
        percentiles = check_percentiles(self.percentiles)
        share, (low, high) = clip_to_unit(self.magnitude, percentiles)
        if self.vmin is not None or self.vmax is not None:
            low, high = color_limits(
                self.magnitude,
                vmin=self.vmin,
                vmax=self.vmax,
                percentiles=percentiles,
            )
            share = np.clip((self.magnitude - low) / (high - low), 0, 1)
        digits = max(0, 1 - int(np.floor(np.log10(high - low)))) if high > low else 2
        limits = with_minus(f"grey ≤ {low:z.{digits}f}\nfull ≥ {high:z.{digits}f}")
        return share, f"{self.magnitude_name}\n{limits}"
