"""Room for what is drawn next to axes, in figures without a layout engine."""

# Distance from the border of the figure or from the next axes, inches.
_PAD_IN = 0.06
# Axes keep at least this share of their size.
_MIN_SHARE = 0.3


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
