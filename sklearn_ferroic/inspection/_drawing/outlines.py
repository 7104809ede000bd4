"""Lines that can be seen on any colour."""

from ..._optional import import_optional


def draw_outlines(ax, segments):
    """Draw black lines on wider white ones.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes.
    segments : ndarray of shape (n, 2, 2)
        Ends of the lines as ``(x, y)``.

    Returns
    -------
    lines : matplotlib LineCollection
        The black lines.
    """
    line_collection = import_optional("matplotlib.collections", "plot").LineCollection
    for color, width in [("white", 2.4), ("black", 1.2)]:
        lines = line_collection(
            segments, colors=color, linewidths=width, capstyle="round", zorder=3
        )
        ax.add_collection(lines, autolim=False)
    return lines
