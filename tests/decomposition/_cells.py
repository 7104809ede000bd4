"""Patches that look like unit cells of a ferroic."""

import numpy as np

SIDE = 20
NOISE = 0.1


def make_patches(n=240, *, seed=0, polar=1.5, angle=None, side=SIDE, shift=None):
    """Cages of four columns around a center, displaced along the angle.

    A second feature, the brightness of the center, stands for chemistry.
    """
    rng = np.random.RandomState(seed)
    if angle is None:
        angle = rng.choice([-2.5, -1.0, 0.6, 2.2], n) + rng.normal(0, 0.05, n)
    bright = rng.choice([0.3, 0.7], n)
    place = np.arange(side) - (side - 1) / 2
    patches = rng.normal(0, NOISE, (n, side, side))
    shift = np.zeros((n, 2)) if shift is None else shift

    def add(row, col, height):
        row_part = np.exp(-((place - row[:, None]) ** 2) / 4)
        col_part = np.exp(-((place - col[:, None]) ** 2) / 4)
        patches[:] += height[:, None, None] * row_part[:, :, None] * col_part[:, None]

    add(shift[:, 0], shift[:, 1], bright)
    for quarter in range(4):
        # the cage stands at 45 degrees to the polarization, and lags behind it
        direction = angle + np.pi / 4 + quarter * np.pi / 2
        row = 6 * np.sin(direction) - polar * np.sin(angle)
        col = 6 * np.cos(direction) - polar * np.cos(angle)
        add(shift[:, 0] + row, shift[:, 1] + col, np.ones(n))
    return patches.astype(np.float32), angle, bright
