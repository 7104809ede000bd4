"""Columns to split."""

import numpy as np
import pytest

from sklearn_ferroic import AtomSites


def make_lattice(shape, spacing, seed, tilt=0.0):
    """Jittered columns of a lattice that may lie obliquely in the image."""
    rng = np.random.default_rng(seed)
    reach = np.arange(-2 * max(shape), 2 * max(shape), spacing)
    grid = np.stack(np.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2)
    turn = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    points = grid @ turn + rng.normal(0, 0.4, grid.shape) + 3.3
    return points[((points > 2) & (points < np.array(shape) - 3)).all(axis=1)]


@pytest.fixture(scope="package")
def stack():
    """Three images of different sizes; each pixel's value is its own number."""
    shapes = [(256, 240), (200, 333), (180, 180)]
    positions = [make_lattice(s, 9.7, i, tilt=0.2 * i) for i, s in enumerate(shapes)]
    first = np.cumsum([0] + [rows * cols for rows, cols in shapes])
    images = [
        np.arange(rows * cols, dtype=np.float32).reshape(rows, cols) + start
        for (rows, cols), start in zip(shapes, first, strict=False)
    ]
    frame = np.repeat(np.arange(3), [len(part) for part in positions])
    order = np.random.default_rng(0).permutation(len(frame))
    return AtomSites(images, np.concatenate(positions), frame=frame)[order]


@pytest.fixture(scope="package")
def lattice():
    return make_lattice
