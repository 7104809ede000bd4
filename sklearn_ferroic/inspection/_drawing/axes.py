"""Axes that show an image, and their division into panels."""

from functools import partial

import numpy as np

from ..._utils.optional import import_optional
from .keys import add_scale_bar, round_length
from .layout import with_minus

# The image keeps its black and white for all but these shares of the pixels.
_CONTRAST_PERCENTILES = (0.5, 99.7)
_MAX_SAMPLED_PIXELS = 1_000_000


def get_axes(ax, projection=None, figsize=None):
    """Return the axes, in a new figure if there are none.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Axes to draw into.
    projection : str, default=None
        Projection of new axes.
    figsize : tuple of float (width, height), default=None
        Size of a new figure in inches; matplotlib's own by default.

    Returns
    -------
    ax : matplotlib Axes
        The axes.
    """
    if ax is not None:
        return ax
    pyplot = import_optional("matplotlib.pyplot", "plot")
    figure = pyplot.figure(figsize=figsize, layout="constrained")
    return figure.add_subplot(projection=projection)


def check_ticks(ticks, pixel_size):
    """Check that the ticks can be drawn.

    Parameters
    ----------
    ticks : {"px", "nm"} or None
        Unit of the ticks.
    pixel_size : float or None
        Pixel size, nm.
    """
    if ticks not in (None, "px", "nm"):
        raise ValueError(f'ticks must be "px", "nm" or None, got {ticks!r}.')
    if ticks == "nm" and pixel_size is None:
        raise ValueError(
            'ticks="nm" needs the pixel size, which is unknown. Make the AtomSites '
            "with pixel_size=, in nm."
        )


def show_image(ax, image, *, pixel_size, ticks=None, scale_bar=True, wash=0.0):
    """Show an image in pixel coordinates, first row at the top.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes.
    image : ndarray of shape (n_rows, n_cols)
        The image.
    pixel_size : float or None
        Pixel size, nm.
    ticks : {"px", "nm"} or None, default=None
        Unit of the ticks; None draws none.
    scale_bar : bool, default=True
        Whether to draw a scale bar.
    wash : float, default=0
        In [0, 1): how far black is lifted towards white, for data on top.

    Returns
    -------
    artist : matplotlib AxesImage
        The image.
    bar : AnchoredSizeBar or None
        The scale bar.
    """
    check_ticks(ticks, pixel_size)
    step = 1 + image.size // _MAX_SAMPLED_PIXELS
    low, high = np.nanpercentile(image.ravel()[::step], _CONTRAST_PERCENTILES)
    artist = ax.imshow(
        image,
        cmap="gray",
        origin="upper",
        vmin=low - wash / (1 - wash) * (high - low),
        vmax=high if high > low else low + 1,
    )
    _set_ticks(ax, ticks, pixel_size)
    return artist, add_scale_bar(ax, pixel_size) if scale_bar else None


def _set_ticks(ax, ticks, pixel_size):
    if ticks is None:
        ax.set(xticks=[], yticks=[])
        return
    ax.set(xlabel=f"x ({ticks})", ylabel=f"y ({ticks})")
    if ticks == "nm":
        ticker = import_optional("matplotlib.ticker", "plot")
        step = round_length(abs(np.diff(ax.get_xlim())[0]) * pixel_size / 4)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(ticker.MultipleLocator(step / pixel_size))
            axis.set_major_formatter(
                ticker.FuncFormatter(partial(_in_nm, pixel_size=pixel_size))
            )


def _in_nm(value, _, pixel_size):
    return with_minus(f"{value * pixel_size:g}")


def subdivide(ax, n_pairs, n_rows, n_cols):
    """Replace axes by a grid of pairs of axes.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes of a grid of subplots, which become invisible.
    n_pairs : int
        Number of pairs.
    n_rows, n_cols : int
        How the pairs are arranged.

    Returns
    -------
    panels : ndarray of Axes of shape (n_pairs, 2)
        The new axes.
    """
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "ax must belong to a grid of subplots, as those of plt.subplots() and "
            "figure.add_subplot() do: its place is divided."
        )
    ax.set_axis_off()
    current = ax.figure.gca()
    grid = place.subgridspec(n_rows, 2 * n_cols)
    panels = [ax.figure.add_subplot(grid[place]) for place in range(2 * n_pairs)]
    ax.figure.sca(current)
    return np.array(panels, dtype=object).reshape(-1, 2)
