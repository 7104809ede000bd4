"""A bar of a round length."""

import numpy as np

from ..._optional import import_optional


def round_length(longest):
    """Give the largest of 1, 2, 5, 10, 20, ... (or 0.5, 0.2, ...) up to a length.

    Parameters
    ----------
    longest : float
        Upper limit, positive.

    Returns
    -------
    length : float
        The round length.
    """
    decade = 10.0 ** np.floor(np.log10(longest))
    # The tolerance forgives rounding where the limit itself is round.
    return max(step * decade for step in (1, 2, 5) if step * decade <= longest * 1.0001)


def bar_length(width, pixel_size):
    """Choose the bar of a view: about a fifth of its width.

    Parameters
    ----------
    width : float
        Width of the view, px.
    pixel_size : float or None
        Pixel size, nm.

    Returns
    -------
    length : float
        Length of the bar, px.
    text : str
        The length with its unit: nm, below 1 nm pm, without a pixel size px.
    """
    if pixel_size is None:
        length = round_length(0.25 * width)
        return length, f"{length:g} px"
    length = round_length(0.25 * width * pixel_size)
    text = f"{length:g} nm" if length >= 1 else f"{1000 * length:g} pm"
    return length / pixel_size, text


def add_scale_bar(ax, pixel_size):
    """Draw a scale bar into the lower left corner of axes in px.

    The bar follows the view: zooming gives it another round length.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with data in px.
    pixel_size : float or None
        Pixel size, nm.

    Returns
    -------
    bar : AnchoredSizeBar
        The artist.
    """
    anchored = import_optional("mpl_toolkits.axes_grid1.anchored_artists", "plot")
    bar = anchored.AnchoredSizeBar(
        ax.transData,
        1,
        "",
        loc="lower left",
        color="white",
        label_top=True,
        sep=3,
        pad=0.4,
        borderpad=0.5,
        fill_bar=True,
    )
    bar.patch.set(facecolor="black", alpha=0.7, linewidth=0)
    bar.set_zorder(6)
    ax.add_artist(bar)

    def follow(axes):
        width = abs(np.diff(axes.get_xlim())[0])
        height = abs(np.diff(axes.get_ylim())[0])
        length, text = bar_length(width, pixel_size)
        bar.txt_label.set_text(text)
        rectangle = bar.size_bar.get_children()[0]
        rectangle.set(width=length, height=0.008 * min(width, height))

    follow(ax)
    for side in ("xlim_changed", "ylim_changed"):
        ax.callbacks.connect(side, follow)
    return bar
