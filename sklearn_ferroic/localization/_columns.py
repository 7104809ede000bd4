"""How fitted columns are tabulated."""

from typing import NamedTuple

import numpy as np

from ._noise import NoiseModel

# Columns of the parameter table.
AMPLITUDE, ROW, COL, SIGMA, BACKGROUND = range(5)


class ColumnFit(NamedTuple):
    """Fitted columns.

    Parameters
    ----------
    table : ndarray of shape (n, 5)
        Amplitude, row, col, sigma, background.
    std : ndarray of shape (n, 5)
        Standard errors of the table, from the Fisher information.
    converged : ndarray of bool of shape (n,)
        Whether the fit can be trusted.
    noise : NoiseModel
        The pixel variance under which the columns were fitted.
    ellipse : ndarray of shape (n, 2) or None
        Long over short axis, at least 1, and angle of the long axis in [-π/2, π/2);
        sigma is then the geometric mean of both. None of round columns.
    """

    table: np.ndarray
    std: np.ndarray
    converged: np.ndarray
    noise: NoiseModel
    ellipse: np.ndarray | None = None


def on_image(positions, shape, margin=0.0):
    """Tell which positions lie on the area of the pixels, by a margin."""
    first, last = margin - 0.5, np.array(shape) - 0.5 - margin
    return ((positions >= first) & (positions <= last)).all(axis=1)
