"""Pictures are drawn off screen and closed again."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")


@pytest.fixture
def b_sites(ferroic_sites):
    """Sites of sublattice B that have a polarization."""
    known = np.isfinite(ferroic_sites.polarization).all(axis=1)
    return ferroic_sites[known & (ferroic_sites.sublattice == 1)]


@pytest.fixture
def pixel_at():
    """Give the function that reads a colour off the drawn figure."""

    def read(ax, x, y):
        canvas = ax.figure.canvas
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())
        across, up = ax.transData.transform((x, y))
        return picture[int(len(picture) - up), int(across), :3] / 255

    return read
