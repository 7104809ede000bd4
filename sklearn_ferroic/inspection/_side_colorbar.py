"""A colour bar as high as the image beside which it stands."""

import numpy as np

from .._optional import import_optional
from ._room import make_room

# Inches.
_WIDTH = 0.12
_PAD = 0.08


def add_side_colorbar(artist, ax, label=""):
    """Draw a colour bar to the right of axes, as high as they are drawn.

    The bars that matplotlib places take the height of the grid's cell, which a square
    image does not fill. The bar ends in points where values lie beyond its scale.

    Parameters
    ----------
    artist : matplotlib ScalarMappable
        What the colours belong to.
    ax : matplotlib Axes
        The axes.
    label : str, default=""
        What stands beside the bar.

    Returns
    -------
    colorbar : matplotlib Colorbar
        The colour bar.
    """
    ticker = import_optional("matplotlib.ticker", "plot")
    transforms = import_optional("matplotlib.transforms", "plot")
    edge = transforms.ScaledTranslation(1, 0, ax.transAxes)
    place = ax.inset_axes(
        (_PAD, 0, _WIDTH, 1),
        transform=transforms.blended_transform_factory(
            ax.get_figure(root=True).dpi_scale_trans + edge, ax.transAxes
        ),
    )
    colorbar = ax.figure.colorbar(
        artist,
        cax=place,
        ticks=ticker.MaxNLocator(5),
        label=label,
        extend=_extend(artist),
    )
    make_room(ax, place)
    return colorbar


def _extend(artist):
    """Say at which ends of the scale values lie beyond it."""
    artist.autoscale_None()
    low, high = artist.get_clim()
    values = np.ma.compressed(np.ma.masked_invalid(artist.get_array()))
    ends = bool((values < low).any()), bool((values > high).any())
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        ends, "neither"
    )
