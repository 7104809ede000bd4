"""Arrows of the polarization over the image."""

import numpy as np

from ..._data.selection import check_per_site, select_frame
from ..._drawing.arrows import HEAD, SHAFT_WIDTH_CELLS
from ..._drawing.cells import site_spacing
from ..._drawing.colors import angle_colors
from ..._drawing.keys import add_arrow_key, add_color_wheel, wheel_side
from ..._drawing.site_map import SiteMap

# Automatic arrows: this percentile of the lengths becomes one spacing long.
_LONG_PERCENTILE = 95
_UNIT_TEXTS = {"uC/cm2": "µC/cm²"}


class PolarizationMapDisplay(SiteMap):
    """Arrows at the sites, coloured by direction, over the image.

    It is recommended to use :meth:`from_sites` to make a display. All parameters are
    stored as attributes.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n_sites, 2)
        Sites ``(row, col)``, px.
    vectors : ndarray of shape (n_sites, 2)
        Vectors ``(d_row, d_col)``; NaN where there is none.
    pixel_size : float, default=None
        Pixel size, nm; None if unknown.
    unit : str, default="px"
        Unit of the vectors for the arrow of a stated length: "px", "pm", "nm",
        "uC/cm2" or any text; "" if unknown.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The image.
    quiver_ : matplotlib Quiver
        The arrows of the sites that have a vector, their middle on the site.
    wheel_ : matplotlib Axes or None
        The colour wheel.
    scale_bar_ : AnchoredSizeBar or None
        The scale bar.
    arrow_key_ : AnchoredOffsetbox or None
        The arrow of a round length in the lower right corner.
    magnification_ : float
        Length of an arrow in px over that of its vector, in its unit.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    DomainMapDisplay : Cells coloured by direction.
    PolarizationVector : Computes the vectors.

    Examples
    --------
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.inspection import PolarizationMapDisplay
    >>> data = make_ferroic_image(shape=(160, 160), random_state=0)
    >>> sites = AtomSites(
    ...     data.image,
    ...     data.positions,
    ...     polarization=data.polarization,
    ...     pixel_size=data.pixel_size,
    ... )
    >>> display = PolarizationMapDisplay.from_sites(sites)
    >>> len(display.quiver_.get_offsets()) == int((data.sublattice == 1).sum())
    True
    """

    def __init__(self, image, positions, vectors, *, pixel_size=None, unit="px"):
        self.image = image
        self.positions = positions
        self.vectors = vectors
        self.pixel_size = pixel_size
        self.unit = unit

    @classmethod
    def from_sites(
        cls,
        sites,
        *,
        vectors=None,
        unit=None,
        frame=None,
        ax=None,
        magnification=None,
        ticks=None,
        scale_bar=True,
        color_wheel=True,
    ):
        """Draw a map of vectors.

        The columns of two sublattices move against each other: for a map of the
        polarization give those of one, ``sites[sites.sublattice == 1]``.

        Parameters
        ----------
        sites : AtomSites
            The sites.
        vectors : array-like of shape (n_sites, 2), default=None
            Vectors ``(d_row, d_col)``, NaN where there is none; the sites'
            polarization by default.
        unit : str, default=None
            Unit of `vectors`, "px", "pm", "nm", "uC/cm2" or any text, which the arrow
            of a stated length shows. By default that of the sites' polarization, px,
            without `vectors`, and none with them.
        frame : int, default=None
            Index of the image to show; needed if the sites lie on several.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        magnification : float, default=None
            Length of an arrow in px over that of its vector. By default long arrows
            reach from one site to the next.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None for no ticks.
        scale_bar : bool, default=True
            Whether to draw a scale bar and an arrow of a stated length.
        color_wheel : bool or {"right", "below"}, default=True
            Whether to draw a colour wheel, and on which side of the map; True is
            "right".

        Returns
        -------
        display : PolarizationMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `sites` are not AtomSites.
        ValueError
            If there is not one vector per site, no vector at all, `frame` is needed but
            not given, or `ticks` is unknown or needs a pixel size that is not known.
        """
        frame, rows = select_frame(sites, frame)
        why = "Was vectors= computed for these sites?"
        if unit is not None and not isinstance(unit, str):
            raise TypeError(f"unit must be a text such as 'pm', got {unit!r}.")
        if unit is None:
            unit = "px" if vectors is None else ""
        if vectors is None:
            vectors, why = sites.polarization, _why_no_polarization(sites)
        vectors = check_per_site("vectors", vectors, len(sites), (2,))[rows]
        if not np.isfinite(vectors).all(axis=1).any():
            raise ValueError("No site has a vector: all are NaN. " + why)
        display = cls(
            sites.images[frame],
            sites.positions[rows],
            vectors,
            pixel_size=sites.pixel_size[frame],
            unit=unit,
        )
        return display.plot(
            ax,
            magnification=magnification,
            ticks=ticks,
            scale_bar=scale_bar,
            color_wheel=color_wheel,
        )

    def plot(
        self,
        ax=None,
        *,
        magnification=None,
        ticks=None,
        scale_bar=True,
        color_wheel=True,
    ):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        magnification : float, default=None
            Length of an arrow in px over that of its vector. By default long arrows
            reach from one site to the next.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the axes, whose data are px; None for no ticks.
        scale_bar : bool, default=True
            Whether to draw a scale bar and an arrow of a stated length.
        color_wheel : bool or {"right", "below"}, default=True
            Whether to draw a colour wheel, and on which side of the map; True is
            "right".

        Returns
        -------
        display : PolarizationMapDisplay
            The display itself.
        """
        side = wheel_side(color_wheel)
        ax = self._draw_image(ax, ticks=ticks, scale_bar=scale_bar, wash=0.6)
        known = np.isfinite(self.vectors).all(axis=1)
        (row, col), (d_row, d_col) = self.positions[known].T, self.vectors[known].T
        spacing = site_spacing(self.positions[known])
        long = np.percentile(np.hypot(d_row, d_col), _LONG_PERCENTILE)
        if magnification is not None and not 0 < magnification < np.inf:
            raise ValueError(
                f"magnification must be a positive number, got {magnification!r}."
            )
        if magnification is None:
            magnification = spacing / long if long > 0 else 1.0
        self.magnification_ = float(magnification)
        self.quiver_ = ax.quiver(
            col,
            row,
            d_col,
            d_row,
            color=angle_colors(np.arctan2(d_row, d_col)),
            angles="xy",
            scale_units="xy",
            scale=1 / self.magnification_,
            units="xy",
            width=SHAFT_WIDTH_CELLS * spacing,
            **HEAD,
            pivot="mid",
            # Thin enough to leave the colour of small arrows, and pale ones a rim.
            edgecolor="black",
            linewidth=0.15,
            zorder=3,
        )
        self.arrow_key_ = None
        if scale_bar and long > 0:
            self.arrow_key_ = add_arrow_key(
                ax,
                2 * long,
                self.magnification_,
                pixel_size=self.pixel_size,
                width=SHAFT_WIDTH_CELLS * spacing,
                head=HEAD,
                unit=_UNIT_TEXTS.get(self.unit, self.unit),
            )
        self.wheel_ = None
        if side is not None:
            caption = _caption(self.magnification_, self.unit, self.pixel_size)
            self.wheel_ = add_color_wheel(ax, caption=caption, side=side)
        return self


def _caption(magnification, unit, pixel_size):
    """Return by how much arrows are magnified, if the vectors are lengths."""
    if unit in ("pm", "nm") and pixel_size is not None:
        magnification *= pixel_size * (1000 if unit == "pm" else 1)
    elif unit != "px":
        return ""
    return f"arrows × {magnification:.2g}"


def _why_no_polarization(sites):
    if (sites.sublattice == 0).all():
        return (
            "AtomLocator measures a column in the cage of its neighbours of the other "
            "sublattice, and these sites are of one: did it find two "
            "(n_sublattices_)? Or give vectors=."
        )
    return (
        "No column has a complete cage of four neighbours of the other "
        "sublattice, as in a perovskite along a cube axis. Other projections have "
        "no such vector; pass your own as vectors=."
    )
