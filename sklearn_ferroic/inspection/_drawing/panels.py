"""Several axes in the place of one."""

import numpy as np


def subdivide(ax, n_pairs, n_rows, n_cols):
    """Put pairs of axes, side by side, in the place of axes.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes of a grid of subplots, which become invisible.
    n_pairs : int
        Number of pairs.
    n_rows, n_cols : int
        How the pairs are arranged.

    Returns
    -------
    panels : ndarray of Axes of shape (n_pairs, 2)
        The new axes.
    """
    place = ax.get_subplotspec()
    if place is None:
        raise ValueError(
            "ax must belong to a grid of subplots, as those of plt.subplots() and "
            "figure.add_subplot() do: its place is divided."
        )
    ax.set_axis_off()
    current = ax.figure.gca()
    grid = place.subgridspec(n_rows, 2 * n_cols)
    panels = [ax.figure.add_subplot(grid[place]) for place in range(2 * n_pairs)]
    ax.figure.sca(current)
    return np.array(panels, dtype=object).reshape(-1, 2)
