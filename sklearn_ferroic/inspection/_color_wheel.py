"""The legend of directions."""

import numpy as np

from .._optional import import_optional
from ._colors import angle_colors
from ._room import make_room

# Inches.
_SIZE = 1.3
_PAD = 0.18
# The outer radius is 1.
_INNER = 0.4
# Reach of the arrows in the hole of the ring, which show what the colours stand for.
_ARROW = 0.36
_N_SECTORS = 180
_N_RINGS = 12


def add_color_wheel(ax, *, graded=False, caption=""):
    """Draw a ring of direction colours beside axes of an image.

    As in the image, rows grow downwards: a colour stands on the ring where a vector
    of its direction points to.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes of the image; the ring stands to the right of their upper corner.
    graded : bool, default=False
        Whether the colours fade to grey inwards, for saturation that means something.
    caption : str, default=""
        Text under the ring.

    Returns
    -------
    wheel : matplotlib Axes
        The axes of the ring, with x along +col and y along +row.
    """
    arrow = import_optional("matplotlib.patches", "plot").FancyArrow
    collections = import_optional("matplotlib.collections", "plot")
    transforms = import_optional("matplotlib.transforms", "plot")
    # In inches from the corner: letters do not shrink with the axes, nor may the ring.
    corner = transforms.ScaledTranslation(1, 1, ax.transAxes)
    wheel = ax.inset_axes(
        (_PAD, -_SIZE, _SIZE, _SIZE),
        transform=ax.get_figure(root=True).dpi_scale_trans + corner,
    )
    wheel.set(xlim=(-1.8, 1.8), ylim=(1.8, -1.8))
    wheel.axis("off")
    quads, colors = _ring(_N_RINGS if graded else 1)
    wheel.add_collection(
        collections.PolyCollection(
            quads, facecolors=colors, edgecolors="face", linewidths=0.3
        )
    )
    for degrees, text in [(0, "0°"), (90, "90°"), (180, "±180°"), (-90, "−90°")]:
        x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        wheel.text(
            1.1 * x,
            1.1 * y,
            text,
            fontsize="small",
            ha={1: "left", -1: "right", 0: "center"}[round(x)],
            va={1: "top", -1: "bottom", 0: "center"}[round(y)],
        )
    wheel.text(0, 1.6, caption, fontsize="small", ha="center", va="top")
    for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        wheel.add_patch(
            arrow(
                0,
                0,
                _ARROW * x,
                _ARROW * y,
                width=0.04,
                head_width=0.16,
                head_length=0.16,
                length_includes_head=True,
                facecolor="0.25",
                linewidth=0,
            )
        )
    make_room(ax, wheel)
    return wheel


def _ring(n_rings):
    """Make the quadrilaterals of the ring, shape (n, 4, 2) as (x, y), and colours."""
    angle = np.linspace(-np.pi, np.pi, _N_SECTORS + 1)
    radius = np.linspace(_INNER, 1, n_rings + 1)
    spokes = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    corners = radius[:, None, None] * spokes
    quads = np.stack(
        [corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:]], axis=2
    )
    middle = (angle[1:] + angle[:-1]) / 2
    saturation = np.linspace(0, 1, n_rings) if n_rings > 1 else np.ones(1)
    colors = angle_colors(*np.broadcast_arrays(middle, saturation[:, None]))
    return quads.reshape(-1, 4, 2), colors.reshape(-1, 3)
