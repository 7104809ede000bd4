"""Layout of axes without a layout engine, and text of numbers."""

from numbers import Integral, Real

import numpy as np

from ..._utils.optional import import_optional

# Font size for which the keys are designed: matplotlib's default.
_DEFAULT_FONT_PT = 10.0
# Distance from the border of the figure or from the next axes, inches.
_PAD_IN = 0.06
# Axes keep at least this share of their size.
_MIN_SHARE = 0.3


def text_scale():
    """Return the font size over matplotlib's default, by which keys are scaled.

    Returns
    -------
    scale : float
        ``rcParams["font.size"]`` over 10 pt.
    """
    size = import_optional("matplotlib", "plot").rcParams["font.size"]
    return size / _DEFAULT_FONT_PT


def with_minus(text):
    """Replace hyphens by minus signs, which are as wide as a plus."""
    return text.replace("-", "−")


def degrees_text(angle):
    """Write an angle in radians as whole degrees, none of them minus zero."""
    return with_minus(f"{np.rad2deg(angle):z.0f}°")


def value_text(value):
    """Write a value of a parameter briefly, and numbers as they were given."""
    if isinstance(value, Real):
        return with_minus(str(value) if isinstance(value, Integral) else f"{value:g}")
    return str(value).replace("\n", " ")


def score_format(mean, std):
    """Make the function that writes scores, to two digits of their spread.

    Parameters
    ----------
    mean, std : ndarray of float
        Scores and their standard deviations, NaN where unknown.

    Returns
    -------
    write : callable
        From float to str.
    """
    spread = std[np.isfinite(std) & (std > 0)]
    if spread.size == 0:
        known = mean[np.isfinite(mean)]
        spread = known.max(initial=-np.inf) - known.min(initial=np.inf)
        spread = spread if spread > 0 else 1.0
    digits = 1 - int(np.floor(np.log10(np.median(spread))))
    style = f".{max(digits, 0)}f" if digits <= 6 else ".2e"
    return lambda value: with_minus(f"{value:z{style}}")


def make_room(ax, artist):
    """Shrink axes until an artist on their right or below them is not cut off.

    With a layout engine, such as ``layout="constrained"``, nothing is done: it makes
    the room itself. Nor is it with axes that are not of a grid of subplots.

    Parameters
    ----------
    ax : matplotlib Axes
        The axes.
    artist : matplotlib Artist
        What is drawn next to them: axes of a colour bar or a wheel, a legend.
    """
    figure = ax.get_figure(root=True)
    if ax.figure is not figure or figure.get_layout_engine() is not None:
        return
    spec = ax.get_subplotspec()
    if spec is None:
        return
    ax.apply_aspect()
    box = artist.get_tightbbox()
    if box is None:
        return
    bottoms, _, lefts, _ = spec.get_gridspec().get_grid_positions(figure)
    width, height = figure.get_size_inches()
    dpi = figure.dpi
    drawn = ax.get_window_extent()
    n_rows, n_cols = spec.get_gridspec().get_geometry()
    right_in = max(0.0, (box.x1 - drawn.x1) / dpi)
    below_in = max(0.0, (drawn.y0 - box.y0) / dpi)
    last_col = spec.colspan.stop >= n_cols
    last_row = spec.rowspan.stop >= n_rows
    right = 1.0 if last_col else lefts[spec.colspan.stop]
    low = 0.0
    if not last_row:
        # The lower edge of the cell: rows are counted from the top.
        low = bottoms[spec.rowspan.stop - 1]
    slot = ax.get_position(original=True)
    x1 = min(slot.x1, right - (right_in + _PAD_IN) / width)
    y0 = slot.y0
    if below_in:
        y0 = max(slot.y0, low + (below_in + _PAD_IN) / height)
    x1 = max(x1, slot.x0 + _MIN_SHARE * slot.width)
    y0 = min(y0, slot.y1 - _MIN_SHARE * slot.height)
    if x1 < slot.x1 or y0 > slot.y0:
        ax.set_position([slot.x0, y0, x1 - slot.x0, slot.y1 - y0])
