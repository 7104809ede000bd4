"""Maxima of sampled surfaces between the samples."""

import numpy as np


def vertex(surface, row, col):
    """Sub-pixel maxima of a surface by parabolas along the axes."""
    middle = surface[row, col]
    last_row, last_col = np.array(surface.shape) - 1
    above, below = np.maximum(row - 1, 0), np.minimum(row + 1, last_row)
    left, right = np.maximum(col - 1, 0), np.minimum(col + 1, last_col)
    vertices = []
    for place, low, high in (
        (row, surface[above, col], surface[below, col]),
        (col, surface[row, left], surface[row, right]),
    ):
        curvature = low - 2 * middle + high
        shift = np.where(
            curvature < 0, (low - high) / (2 * np.minimum(curvature, -1e-30)), 0
        )
        # Half-way between two pixels, rounding errors would choose the window.
        vertices.append(place + np.clip(shift, -0.49, 0.49))
    return np.stack(vertices, axis=1)
