"""Columns whose places are known, and how near to them others come."""

import numpy as np
from scipy.spatial import cKDTree


def match(sites, truth, spacing):
    """Found columns, the true column of each, and how many were missed and invented.

    Only columns farther than a spacing from the border are counted.
    """
    last = np.array(sites.images[0].shape) - 1

    def interior(positions):
        inside = (positions > spacing) & (positions < last - spacing)
        return inside.all(axis=1)

    distance, index = cKDTree(truth.positions).query(sites.positions)
    reverse, _ = cKDTree(sites.positions).query(truth.positions)
    found = (distance < 0.3 * spacing) & interior(sites.positions)
    n_missed = np.sum((reverse >= 0.3 * spacing) & interior(truth.positions))
    n_invented = np.sum((distance >= 0.3 * spacing) & interior(sites.positions))
    return np.flatnonzero(found), index[found], n_missed, n_invented


def cramer_rao_bound(amplitude, sigma, background):
    """Standard error of a lone column's row with all five parameters unknown."""
    steps = np.arange(-int(6 * sigma) - 2, int(6 * sigma) + 3)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    shape = np.exp(-(y**2 + x**2) / (2 * sigma**2))
    slopes = np.stack(
        [
            shape,
            amplitude * shape * y / sigma**2,
            amplitude * shape * x / sigma**2,
            amplitude * shape * (y**2 + x**2) / sigma**3,
            np.ones_like(shape),
        ],
        axis=-1,
    ).reshape(-1, 5)
    weight = 1 / (amplitude * shape + background).reshape(-1, 1)
    return np.sqrt(np.linalg.inv(slopes.T @ (weight * slopes))[1, 1])


def perovskite(n=20, cell=14.0):
    """Positions and sublattices of n by n cells of A and B, and their spacing."""
    corner = np.stack(np.meshgrid(range(n), range(n), indexing="ij"), -1).reshape(-1, 2)
    positions = np.concatenate([corner, corner + 0.5]) * cell
    return positions, np.repeat([0, 1], n * n), cell / np.sqrt(2)
