"""Unit cells of 5 px, whose columns may all lie between pixels."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator

SHAPE = (100, 100)


def perovskite(cell, sigma, peak, seed, first=(3.0, 4.0)):
    """Return an image with shot noise and the positions of its A and B columns.

    In cells of 5 px, A columns lie at pixels and B columns midway between four.
    """
    n = int(max(SHAPE) / cell) + 3
    index = np.stack(np.mgrid[-2:n, -2:n], axis=-1).reshape(-1, 2)
    a = index * cell + first
    b = a + cell / 2
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, 0.1)
    for positions, height in ((a, 1.0), (b, 0.5)):
        for row, col in positions:
            square = (rows - row) ** 2 + (cols - col) ** 2
            image += height * np.exp(-square / (2 * sigma**2))
    return np.random.default_rng(seed).poisson(peak * image), a, b


def errors(sites, positions, label, cell):
    """Return errors and standard errors of the columns away from the border."""
    last = np.array(SHAPE) - 1
    inside = ((positions > 2 * cell) & (positions < last - 2 * cell)).all(axis=1)
    distance, index = cKDTree(sites.positions).query(positions[inside])
    # Columns of 0.6 px between pixels are hardly higher than the noise at 100 counts.
    found = distance < 0.25 * cell
    assert found.mean() > 0.985
    index, inside = index[found], np.flatnonzero(inside)[found]
    assert (sites.sublattice[index] == label).mean() > 0.96
    assert sites.converged[index].mean() > 0.985
    return sites.positions[index] - positions[inside], sites.position_std[index]


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("first", [(3.0, 4.0), (3.5, 4.0)])
@pytest.mark.parametrize("sigma", [0.6, 0.7, 0.8, 0.9])
@pytest.mark.parametrize("peak", [100, 1000])
def test_cells_of_five_pixels(sigma, peak, first):
    # Errors of isolated columns of known width and no background do not depend on
    # sigma: 1 / sqrt(2 pi counts at the peak).
    bound = 1 / np.sqrt(2 * np.pi * peak)
    for seed in range(2):
        image, a, b = perovskite(5.0, sigma, peak, seed, first)
        locator = AtomLocator()
        sites = locator.fit_transform(image)
        assert locator.n_sublattices_ == 2
        assert locator.width_ == pytest.approx(sigma, rel=0.07)
        error, std = errors(sites, a, 0, 5.0)
        assert np.sqrt(np.mean(error**2)) < 1.8 * bound
        assert np.sqrt(np.mean((error / std) ** 2)) < 1.3
        error, std = errors(sites, b, 1, 5.0)
        assert np.sqrt(np.mean(error**2)) < 3.05 * bound
        assert np.sqrt(np.mean((error / std) ** 2)) < 1.3
        assert np.abs(error.mean(axis=0)).max() < 0.45 * bound


@pytest.mark.parametrize("cell", [5.0, 7.0])
def test_columns_of_half_a_pixel_are_warned_of(cell):
    image, _, _ = perovskite(cell, 0.45, 100, 0)
    with pytest.warns(UserWarning) as caught:
        AtomLocator().fit_transform(image)
    (text,) = [str(warning.message) for warning in caught]
    assert "px wide (sigma)" in text or "may not be its atomic columns" in text
    assert "higher magnification, or one that was not binned" in text
