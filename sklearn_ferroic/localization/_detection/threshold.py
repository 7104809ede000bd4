"""How high the noise reaches in the response of a blob filter."""

from typing import NamedTuple

import numpy as np

from .._fitting.columns import AMPLITUDE, COL, ROW
from .._image.noise import NoiseModel

# Peaks below this share of the significance wanted are noise at first glance.
FIRST_GLANCE = 0.6


class Floor(NamedTuple):
    """So many standard deviations of pixels as bright as those around some.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    level : float
        How many.
    width : float
        How far around, px.
    noise : NoiseModel
        Pixel variance.
    """

    image: np.ndarray
    level: float
    width: float
    noise: NoiseModel

    def __call__(self, row, col):
        reach = max(1, round(self.width))
        steps = range(-reach, reach + 1)
        rows, cols = (
            [np.clip(place + step, 0, length - 1) for step in steps]
            for place, length in zip((row, col), self.image.shape, strict=True)
        )
        mean = np.zeros(len(row))
        for near_row in rows:
            for near_col in cols:
                mean += self.image[near_row, near_col]
        return self.level * np.sqrt(self.noise.variance(mean / len(steps) ** 2))

    def least(self):
        """Lower bound anywhere."""
        darkest = np.array([self.image.min()], dtype=np.float64)
        return 0.999 * self.level * float(np.sqrt(self.noise.variance(darkest)[0]))

    def times(self, table):
        """Compute by how many times candidate columns exceed it."""
        row, col = np.rint(table[:, ROW : COL + 1]).astype(np.intp).T
        return table[:, AMPLITUDE] / self(row, col)
