"""Images of Gaussian columns whose places are known to the last bit."""

import numpy as np
import pytest
from sklearn.utils import Bunch

from sklearn_ferroic._image.context import ImageContext
from sklearn_ferroic.localization._fitting.column_fit import (
    fit_columns,
    fit_columns_and_statistics,
)
from sklearn_ferroic.localization._fitting.profiles import ROUND_GAUSSIAN

BASES = {
    "square": [[1, 0], [0, 1]],
    "rectangular": [[1, 0], [0, 1.3]],
    "hexagonal": [[1, 0], [0.5, np.sqrt(0.75)]],
}


def _lattice(shape, cell, angle, rng, displacement, kind):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    n = int(max(shape) / cell) + 3
    index = np.stack(np.meshgrid(*[np.arange(-n, n + 1)] * 2), axis=-1).reshape(-1, 2)
    origin = np.array(shape) / 2 + rng.uniform(0, 1, 2)
    basis = cell * np.array(BASES[kind]) @ turn
    corner = index @ basis + origin
    middle = (index + 0.5) @ basis + origin + displacement
    return np.concatenate([corner, middle]), np.repeat([0, 1], len(index))


@pytest.fixture(scope="session")
def fit_twice():
    """Function that fits columns as the locator does: preliminarily, then finally."""

    def fit(
        image, table, *, spacing, sigma, mask=None, profile=ROUND_GAUSSIAN, **options
    ):
        context = ImageContext(image, mask, spacing, sigma)
        first = fit_columns_and_statistics(
            context, table, profile=profile, preliminary=True, **options
        )
        context = context.replace(statistics=first.statistics)
        return fit_columns(context, first.table, profile=profile, **options)

    return fit


@pytest.fixture(scope="session")
def columns():
    """Function that makes an image of A and B columns with Poisson noise."""

    def make(
        shape=(240, 224),
        *,
        cell=20.0,
        ratio=0.4,
        peak=100.0,
        background=20.0,
        sigma=0.125,
        angle=0.1,
        displacement=(0.0, 0.0),
        missing=0.0,
        seed=0,
        noisy=True,
        brightness=None,
        extra_background=0.0,
        kind="square",
    ):
        rng = np.random.default_rng(seed)
        positions, sublattice = _lattice(shape, cell, angle, rng, displacement, kind)
        width = sigma * cell
        near = ((positions > -4 * width) & (positions < np.add(shape, 4 * width))).all(
            1
        )
        near &= (sublattice == 0) | (ratio > 0)
        near &= rng.random(len(near)) >= missing
        positions, sublattice = positions[near], sublattice[near]
        amplitude = np.where(sublattice == 0, peak, ratio * peak)
        if brightness is not None:
            amplitude = amplitude * brightness(positions)
        rows, cols = (
            np.exp(-((np.arange(n)[:, None] - positions[:, axis]) ** 2) / 2 / width**2)
            for axis, n in enumerate(shape)
        )
        expected = background + extra_background + (rows * amplitude) @ cols.T
        image = rng.poisson(expected) if noisy else expected
        return Bunch(
            image=image.astype(np.float32),
            expected=expected,
            positions=positions,
            sublattice=sublattice,
            amplitude=amplitude,
            sigma=width,
            background=background,
            spacing=cell / np.sqrt(2 if ratio > 0 else 1),
        )

    return make
