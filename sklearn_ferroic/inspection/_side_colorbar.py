"""A colour bar as high as the image beside which it stands."""

from .._optional import import_optional

# Inches.
_WIDTH = 0.12
_PAD = 0.08


def add_side_colorbar(artist, ax, **options):
    """Draw a colour bar to the right of axes, as high as they are drawn.

    The bars that matplotlib places take the height of the grid's cell, which a square
    image does not fill.

    Parameters
    ----------
    artist : matplotlib ScalarMappable
        What the colours belong to.
    ax : matplotlib Axes
        The axes.
    **options : dict
        Given to matplotlib's ``colorbar``.

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
    return ax.figure.colorbar(artist, cax=place, ticks=ticker.MaxNLocator(5), **options)
