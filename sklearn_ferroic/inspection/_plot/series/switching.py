"""Maps of cells that switch in a series of frames."""

import numpy as np

from ...._utils.optional import import_optional
from ..._drawing.axes import get_axes, subdivide
from ..._drawing.cells import add_cells, site_cells
from ..._drawing.colors import angle_colors, clip_to_unit, get_colormap
from ..._drawing.keys import add_color_wheel, add_side_colorbar
from ..._drawing.site_map import SiteMap

# Lengths that are shown grey and in full colour, percentiles.
_PERCENTILES = (5, 95)
_FIGURE_INCHES = (9.5, 4.0)


class SwitchingDisplay(SiteMap):
    """Frames in which cells switch, and their angles and amplitudes over the frames.

    Left: the cells, coloured by the frame of their largest change; cells that do not
    change are grey. Right: one line per cell, one column per frame; the hue shows the
    angle of the displacement between change points and the saturation its length. Cells
    are in the order of their change. It is recommended to use :meth:`from_switching` to
    make a display. All parameters are stored as attributes.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image under the cells.
    positions : ndarray of shape (n_cells, 2)
        Cells ``(row, col)``, px.
    change_frame : ndarray of int of shape (n_cells,)
        First frame after the largest change, -1 without any.
    angle, magnitude : ndarray of shape (n_frames, n_cells)
        Angle, radians, and length of the displacements between change points.
    pixel_size : float, default=None
        Pixel size, nm; None if unknown.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        The image.
    cells_ : matplotlib PolyCollection
        The cells.
    raster_ : matplotlib AxesImage
        Angles and lengths of the cells over the frames.
    order_ : ndarray of int of shape (n_cells,)
        Cells in the order of the lines of `raster_`.
    colorbar_ : matplotlib Colorbar
        Key of the frames.
    wheel_ : matplotlib Axes
        Key of the angles.
    scale_bar_ : AnchoredSizeBar or None
        The scale bar.
    ax_ : ndarray of two matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sklearn_ferroic.domains.find_switching : Finds the change points.

    Examples
    --------
    >>> from sklearn_ferroic import AtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_series
    >>> from sklearn_ferroic.domains import find_switching
    >>> from sklearn_ferroic.inspection import SwitchingDisplay
    >>> data = make_ferroic_series(
    ...     6, shape=(128, 128), dose=2e4, n_bad=0, switching=True, random_state=0
    ... )
    >>> sites = AtomLocator().fit_transform(data.image)
    >>> switching = find_switching(sites.track(data.shifts))
    >>> display = SwitchingDisplay.from_switching(switching)
    >>> display.ax_[1].get_xlabel()
    'frame'
    """

    def __init__(
        self, image, positions, change_frame, angle, magnitude, *, pixel_size=None
    ):
        self.image = image
        self.positions = positions
        self.change_frame = change_frame
        self.angle = angle
        self.magnitude = magnitude
        self.pixel_size = pixel_size

    @classmethod
    def from_switching(cls, switching, *, frame=None, ax=None, ticks=None):
        """Draw the result of `find_switching`.

        Parameters
        ----------
        switching : Switching
            The result.
        frame : int, default=None
            Frame whose image is under the cells; that with the smallest displacement
            if None.
        ax : matplotlib Axes, default=None
            Axes of a grid of subplots that are divided; a new figure by default.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the map, whose data are px; None draws none.

        Returns
        -------
        display : SwitchingDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there is no such frame, or `ticks` is unknown or needs a pixel size that
            is not known.
        """
        tracks = switching.tracks
        n_frames = len(tracks.shifts)
        if frame is None:
            frame = int(np.hypot(*tracks.shifts.T).argmin())
        if not 0 <= frame < n_frames:
            raise ValueError(f"frame must be 0 to {n_frames - 1}, got {frame!r}.")
        display = cls(
            tracks.sites.images[frame],
            switching.positions - tracks.shifts[frame],
            switching.change_frame,
            switching.angle,
            switching.magnitude,
            pixel_size=tracks.sites.pixel_size[frame],
        )
        return display.plot(ax, ticks=ticks)

    def plot(self, ax=None, *, ticks=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes of a grid of subplots that are divided; a new figure by default.
        ticks : {"px", "nm"} or None, default=None
            Unit of the ticks of the map, whose data are px; None draws none.

        Returns
        -------
        display : SwitchingDisplay
            The display itself.
        """
        ax = get_axes(ax, figsize=_FIGURE_INCHES)
        left, right = subdivide(ax, 1, 1, 1)[0]
        self._draw_image(left, ticks=ticks, scale_bar=True)
        n_frames = len(self.angle)
        switches = self.change_frame >= 0
        cmap = import_optional("cmcrameri.cm", "plot").batlow
        self.cells_ = add_cells(
            left,
            site_cells(self.positions)[0],
            array=np.ma.masked_array(self.change_frame.astype(float), ~switches),
            cmap=get_colormap(cmap),
        )
        self.cells_.set_clim(0, max(1, n_frames - 1))
        self.colorbar_ = add_side_colorbar(self.cells_, left, "frame of the change")
        last = np.where(switches, self.change_frame, n_frames)
        self.order_ = np.lexsort((self.angle[0], last))
        share, _ = clip_to_unit(self.magnitude.ravel(), _PERCENTILES)
        colors = angle_colors(self.angle.ravel(), share)
        colors = colors.reshape(*self.angle.shape, 3)[:, self.order_].swapaxes(0, 1)
        self.raster_ = right.imshow(colors, aspect="auto", interpolation="nearest")
        right.set(xlabel="frame", ylabel="cell, in the order of the change")
        right.xaxis.get_major_locator().set_params(integer=True)
        self.wheel_ = add_color_wheel(right, graded=True)
        self.ax_ = np.array([left, right], dtype=object)
        self.figure_ = ax.figure
        return self
