"""Cells with known displacements, for the tests of domains."""

import numpy as np

from sklearn_ferroic import AtomSites


def grid(shape, cell=20.0, **columns):
    """Sites of one sublattice on a square lattice."""
    positions = cell * np.indices(shape).reshape(2, -1).T + cell / 2
    image = np.zeros((int(cell * shape[0]), int(cell * shape[1])), np.float32)
    return AtomSites(image, positions, **columns)


def perovskite(seed, n=20, shift=(0.0, 0.0), noise=0.15):
    """A and B sites, B displaced by `shift`, with errors of known size."""
    rng = np.random.default_rng(seed)
    corner = 20.0 * np.indices((n + 1, n + 1)).reshape(2, -1).T + 10
    center = 20.0 * np.indices((n, n)).reshape(2, -1).T + 20 + np.asarray(shift)
    sublattice = np.repeat([0, 1], [len(corner), len(center)])
    std = np.where(sublattice == 0, 0.6 * noise, noise)[:, None] * np.ones(2)
    positions = np.concatenate([corner, center]) + rng.normal(0, 1, std.shape) * std
    image = np.zeros((20 * (n + 2), 20 * (n + 2)), np.float32)
    return AtomSites(
        image, positions, sublattice=sublattice, position_std=std, pixel_size=0.02
    )


def tanh_wall(
    seed, *, width=2.0, noise=0.2, shape=(30, 30), vector=((1, 0.3), (-1, 0.3))
):
    """Cells with a vertical wall at 303 px of a width in cells, and their labels."""
    rng = np.random.default_rng(seed)
    sites = grid(shape)
    x = (sites.positions[:, 1] - 303) / 20
    share = 0.5 * (1 + np.tanh(2 * x / width))[:, None]
    left, right = (np.array(v, dtype=float) for v in vector)
    sites.polarization = (
        (1 - share) * left + share * right + rng.normal(0, noise, (len(sites), 2))
    )
    return sites, (x > 0).astype(int)
