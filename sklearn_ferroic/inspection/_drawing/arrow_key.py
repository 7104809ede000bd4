"""An arrow of a stated length."""

from ..._optional import import_optional
from .scale_bar import round_length


def add_arrow_key(ax, longest, magnification, *, pixel_size, width, head):
    """Draw an arrow of a round length into the lower right corner of axes in px.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with data in px.
    longest : float
        Upper limit of the length, px.
    magnification : float
        Length of an arrow as drawn over what it stands for.
    pixel_size : float or None
        Pixel size, nm.
    width : float
        Width of the arrow's shaft, px.
    head : dict of str to float
        `headwidth` and `headlength` in units of `width`.

    Returns
    -------
    key : AnchoredOffsetbox
        The artist.
    """
    boxes = import_optional("matplotlib.offsetbox", "plot")
    arrow = import_optional("matplotlib.patches", "plot").FancyArrow
    unit, scale = ("px", 1.0) if pixel_size is None else ("pm", 1000 * pixel_size)
    length = round_length(longest * scale)
    drawn = length / scale * magnification
    # A head longer than the arrow would lengthen it.
    width = min(width, drawn / (head["headlength"] + 1))
    # The box moves with the view and its content grows with it, as the arrows do.
    drawing = boxes.AuxTransformBox(ax.transData)
    drawing.add_artist(
        arrow(
            0,
            0,
            drawn,
            0,
            width=width,
            head_width=head["headwidth"] * width,
            head_length=head["headlength"] * width,
            length_includes_head=True,
            facecolor="white",
            linewidth=0,
        )
    )
    text = boxes.TextArea(f"{length:g} {unit}", textprops={"color": "white"})
    key = boxes.AnchoredOffsetbox(
        loc="lower right",
        child=boxes.VPacker(children=[text, drawing], align="center", pad=0, sep=3),
        pad=0.4,
        borderpad=0.5,
    )
    key.patch.set(facecolor="black", alpha=0.7, linewidth=0)
    key.set_zorder(6)
    return ax.add_artist(key)
