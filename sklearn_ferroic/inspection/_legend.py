"""The legend of classes."""

from .._optional import import_optional
from ._room import make_room


def add_class_legend(ax, classes, colors, title=None):
    """Draw a legend of classes beside axes.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes; the legend stands to the right of their upper corner.
    classes : sequence of length n_classes
        The classes.
    colors : ndarray of shape (n_classes, 3)
        Their colours.
    title : str, default=None
        Title of the legend.

    Returns
    -------
    legend : matplotlib Legend
        The legend.
    """
    line = import_optional("matplotlib.lines", "plot").Line2D
    handles = [
        line([], [], ls="", marker="o", color=color, label=str(label))
        for label, color in zip(classes, colors, strict=True)
    ]
    legend = ax.legend(
        handles=handles,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        borderaxespad=0,
        frameon=False,
    )
    make_room(ax, legend)
    return legend
