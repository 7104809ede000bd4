"""Crystals of any motif, distorted and with defects, and their images."""

from typing import NamedTuple

import numpy as np

# Distance of nearest columns in the crystals, px.
SPACING = 14.0


class Crystal(NamedTuple):
    positions: np.ndarray
    column: np.ndarray
    species: np.ndarray
    intensity: np.ndarray
    moved: np.ndarray
    pixel_size: float


def make_crystal(
    motif,
    *,
    size=320,
    spacing=SPACING,
    rotation=10.0,
    strain=0.03,
    noise=0.02,
    vacancies=0.02,
    moved=(0.0, 0.0),
    wall=False,
    contrast=1.0,
    scatter=0.05,
    seed=0,
):
    """Make the columns of a crystal.

    All species but the brightest are displaced by `moved`, px, and by the opposite in
    the right half with a wall. `noise` is a share of the spacing, `contrast` a power
    of the intensities.
    """
    rng = np.random.default_rng(seed)
    pixel_size = motif.geometry().spacing / spacing
    angle = np.deg2rad(rotation)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    distortion = np.array([[1 + strain, strain / 3], [0, 1 - strain / 2]])
    cell = motif.cell / pixel_size @ turn @ distortion
    n = int(2 + 1.5 * size / np.linalg.svd(cell, compute_uv=False).min())
    grid = np.stack(np.meshgrid(*2 * [np.arange(-n, n)], indexing="ij"), -1)
    grid = grid.reshape(-1, 1, 2) + motif.fractions
    positions = (grid @ cell).reshape(-1, 2) + size / 2
    column = np.tile(np.arange(len(motif)), len(grid))
    inside = ((positions > 4) & (positions < size - 4)).all(axis=1)
    positions, column = positions[inside], column[inside]
    species = motif.species_labels[column]
    side = np.where(wall & (positions[:, 1] > size / 2), -1.0, 1.0)
    step = (species > 0)[:, None] * side[:, None] * np.asarray(moved)
    positions = positions + step
    positions += rng.normal(0, noise * spacing, positions.shape)
    intensity = np.array([item.intensity for item in motif.columns])[column]
    intensity = (intensity / intensity.max()) ** contrast
    intensity *= np.exp(rng.normal(0, scatter, len(intensity)))
    kept = rng.random(len(positions)) >= vacancies
    return Crystal(
        positions[kept],
        column[kept],
        species[kept],
        intensity[kept],
        step[kept],
        pixel_size,
    )


def interior(positions, size=320, margin=30):
    return ((positions > margin) & (positions < size - margin)).all(axis=1)


def draw(crystal, size=320, sigma=2.4, dose=500.0, seed=0):
    """Draw an image of Gaussian columns with shot noise."""
    image = np.full((size, size), 30.0)
    reach = int(np.ceil(5 * sigma))
    for center, height in zip(crystal.positions, crystal.intensity, strict=True):
        axes = [
            np.arange(max(0, int(x) - reach), min(size, int(x) + reach + 1))
            for x in center
        ]
        row, col = (
            np.exp(-((axis - x) ** 2) / (2 * sigma**2))
            for axis, x in zip(axes, center, strict=True)
        )
        image[np.ix_(*axes)] += dose * height * row[:, None] * col
    return np.random.default_rng(seed).poisson(image).astype(np.float32)
