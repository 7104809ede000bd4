"""Keys of a figure: scale bar, arrow key, colour wheel, legend, colour bar."""

import numpy as np

from ..._utils.optional import import_optional
from .colors import angle_colors
from .layout import make_room, text_scale


def round_length(longest):
    """Return the largest of 1, 2, 5, 10, 20, ... (or 0.5, 0.2, ...) up to a length.

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

    The bar is updated with the view: zooming selects another round length.

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


def add_arrow_key(ax, longest, magnification, *, pixel_size, width, head, unit="px"):
    """Draw an arrow of a round length into the lower right corner of axes in px.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes with data in px.
    longest : float
        Upper limit of the length, in `unit`.
    magnification : float
        Length of an arrow in the figure over the length that it represents.
    pixel_size : float or None
        Pixel size, nm.
    width : float
        Width of the arrow's shaft, px.
    head : dict of str to float
        `headwidth` and `headlength` in units of `width`.
    unit : str, default="px"
        Unit of the vectors; px are stated in pm where the pixel size is known. "" for
        an unknown one.

    Returns
    -------
    key : AnchoredOffsetbox
        The artist.
    """
    boxes = import_optional("matplotlib.offsetbox", "plot")
    arrow = import_optional("matplotlib.patches", "plot").FancyArrow
    scale = 1.0
    if unit == "px" and pixel_size is not None:
        unit, scale = "pm", 1000 * pixel_size
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
    text = boxes.TextArea(f"{length:g} {unit}".strip(), textprops={"color": "white"})
    key = boxes.AnchoredOffsetbox(
        loc="lower right",
        child=boxes.VPacker(children=[text, drawing], align="center", pad=0, sep=3),
        pad=0.4,
        borderpad=0.5,
    )
    key.patch.set(facecolor="black", alpha=0.7, linewidth=0)
    key.set_zorder(6)
    return ax.add_artist(key)


# Sizes at a font size of 10 pt; they are scaled with the font.
_WHEEL_SIZE_INCHES = 1.3
_WHEEL_PAD_INCHES = 0.18
_WHEEL_GAP_BELOW_INCHES = 0.02
# Keeps the text on the left of the ring within the width of the axes.
_WHEEL_SHIFT_BELOW_INCHES = 0.16
SIDES = ("right", "below")
# The outer radius is 1.
_INNER_RADII = 0.4
# Length of the arrows in the centre of the ring, which show the directions.
_ARROW_RADII = 0.36
_N_SECTORS = 180
_N_RINGS = 12


def wheel_side(color_wheel):
    """Return on which side of the axes the colour wheel is, None for no wheel.

    Parameters
    ----------
    color_wheel : bool or {"right", "below"}
        The parameter of the display; True means "right".

    Returns
    -------
    side : {"right", "below"} or None
        The side.
    """
    if isinstance(color_wheel, str) and color_wheel not in SIDES:
        raise ValueError(
            f'color_wheel must be True, False, "right" or "below", got {color_wheel!r}.'
        )
    if isinstance(color_wheel, str):
        return color_wheel
    return "right" if color_wheel else None


def add_color_wheel(ax, *, graded=False, caption="", side="right"):
    """Draw a ring of direction colours next to the axes of an image.

    As in the image, rows grow downwards: a colour is on the ring where a vector
    of its direction points to.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes of the image.
    graded : bool, default=False
        Whether the colours fade to grey inwards, for saturation that means something.
    caption : str, default=""
        Text under the ring, or to its right if it is below the axes.
    side : {"right", "below"}, default="right"
        Whether the ring is to the right of the upper right corner of the axes or below
        their lower left corner.

    Returns
    -------
    wheel : matplotlib Axes
        The axes of the ring, with x along +col and y along +row.
    """
    arrow = import_optional("matplotlib.patches", "plot").FancyArrow
    collections = import_optional("matplotlib.collections", "plot")
    transforms = import_optional("matplotlib.transforms", "plot")
    # In inches from the corner: letters do not shrink with the axes, nor may the ring.
    size = _WHEEL_SIZE_INCHES * text_scale()
    if side == "right":
        corner = transforms.ScaledTranslation(1, 1, ax.transAxes)
        left, bottom = _WHEEL_PAD_INCHES * text_scale(), -size
    else:
        # At the lower edge of its place, so that the room below it does not depend on
        # the height of the place, and a layout engine finds it at once.
        ax.set_anchor("S")
        corner = transforms.ScaledTranslation(0, 0, ax.transAxes)
        left = _WHEEL_SHIFT_BELOW_INCHES * text_scale()
        bottom = -size - _WHEEL_GAP_BELOW_INCHES * text_scale()
    wheel = ax.inset_axes(
        (left, bottom, size, size),
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
    if side == "right":
        wheel.text(0, 1.6, caption, fontsize="small", ha="center", va="top")
    else:
        wheel.text(2.1, 0, caption, fontsize="small", ha="left", va="center")
    for x, y in ((1, 0), (0, 1), (-1, 0), (0, -1)):
        wheel.add_patch(
            arrow(
                0,
                0,
                _ARROW_RADII * x,
                _ARROW_RADII * y,
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
    radius = np.linspace(_INNER_RADII, 1, n_rings + 1)
    spokes = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    corners = radius[:, None, None] * spokes
    quads = np.stack(
        [corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:]], axis=2
    )
    middle = (angle[1:] + angle[:-1]) / 2
    saturation = np.linspace(0, 1, n_rings) if n_rings > 1 else np.ones(1)
    colors = angle_colors(*np.broadcast_arrays(middle, saturation[:, None]))
    return quads.reshape(-1, 4, 2), colors.reshape(-1, 3)


def add_class_legend(ax, classes, colors, title=None):
    """Draw a legend of classes next to axes.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes; the legend is to the right of their upper corner.
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


# At a font size of 10 pt.
_COLORBAR_WIDTH_INCHES = 0.12
_COLORBAR_PAD_INCHES = 0.08


def add_side_colorbar(artist, ax, label=""):
    """Draw a colour bar to the right of axes, as high as the visible axes.

    The bars that matplotlib places have the height of the grid's cell, which a square
    image does not fill. The bar ends in points where values lie beyond its scale.

    Parameters
    ----------
    artist : matplotlib ScalarMappable
        What the colours belong to.
    ax : matplotlib Axes
        The axes.
    label : str, default=""
        Label of the bar.

    Returns
    -------
    colorbar : matplotlib Colorbar
        The colour bar.
    """
    ticker = import_optional("matplotlib.ticker", "plot")
    transforms = import_optional("matplotlib.transforms", "plot")
    edge = transforms.ScaledTranslation(1, 0, ax.transAxes)
    place = ax.inset_axes(
        (
            _COLORBAR_PAD_INCHES * text_scale(),
            0,
            _COLORBAR_WIDTH_INCHES * text_scale(),
            1,
        ),
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
    """Return at which ends of the scale there are values beyond it."""
    artist.autoscale_None()
    low, high = artist.get_clim()
    values = np.ma.compressed(np.ma.masked_invalid(artist.get_array()))
    ends = bool((values < low).any()), bool((values > high).any())
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        ends, "neither"
    )
