"""`position_std` against the errors, with noise and models that are not ideal."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import load_multislice
from tests.localization._truth import match


def _error_ratio(sites, truth, rows=slice(None)):
    """RMS error over RMS `position_std` of interior columns."""
    found, index, n_missed, n_invented = match(sites, truth, truth.spacing)
    assert (n_missed, n_invented) == (0, 0)
    error = sites.positions[found] - truth.positions[index]
    error -= error.mean(axis=0)
    std = sites.position_std[found]
    return np.sqrt(np.mean(error[rows] ** 2) / np.mean(std[rows] ** 2))


@pytest.mark.parametrize("sigma", [0.125, 0.16])
def test_white_noise(columns, sigma):
    truth = columns((420, 400), sigma=sigma, noisy=False)
    noise = np.random.default_rng(1).normal(scale=4, size=truth.expected.shape)
    sites = AtomLocator().fit_transform(truth.expected + noise)
    assert 0.9 < _error_ratio(sites, truth) < 1.08


@pytest.mark.parametrize("length", [0.5, 1.0])
@pytest.mark.parametrize("white", [0.0, 4.0])
def test_correlated_noise(columns, length, white):
    # Noise that has passed the probe, such as that of amorphous layers, displaces
    # columns several times farther than white noise of the same variance.
    truth = columns((420, 400), noisy=False)
    rng = np.random.default_rng(2)
    smooth = gaussian_filter(
        rng.normal(size=truth.expected.shape), length * truth.sigma
    )
    noise = 3 * smooth / smooth.std() + rng.normal(0, white + 0.1, smooth.shape)
    sites = AtomLocator().fit_transform(truth.expected + noise)
    assert 0.85 < _error_ratio(sites, truth) < 1.15


def test_structure_that_the_model_lacks(columns):
    # Faint intensity on one side of all columns of a domain, as of oxygen in a
    # ferroelectric, displaces them by twice as much as noise does.
    truth = columns((360, 340), peak=2e3, background=400, noisy=False)
    image = truth.expected.copy()
    row, col = np.mgrid[: image.shape[0], : image.shape[1]]
    for (y, x), amplitude in zip(truth.positions, truth.amplitude, strict=True):
        side = 1 if y > image.shape[0] / 2 else -1
        u, v = (row - y) / truth.sigma, (col - x) / truth.sigma
        image += 0.004 * side * amplitude * u * np.exp(-(u**2 + v**2) / (2 * 2.5**2))
    image = np.random.default_rng(0).poisson(image).astype(float)
    sites = AtomLocator().fit_transform(image)
    assert 0.85 < _error_ratio(sites, truth) < 1.2


def test_multislice_image():
    data = load_multislice()
    sites = AtomLocator().fit_transform(data.image)
    distance, index = cKDTree(data.positions).query(sites.positions)
    margin = np.minimum(sites.positions, np.array(data.image.shape) - sites.positions)
    inner = (distance < 6) & (margin.min(axis=1) > 28)
    error = sites.positions[inner] - data.positions[index[inner]]
    # Scale, shear and the mean effect of mistilt.
    place = np.column_stack([np.ones(len(error)), sites.positions[inner]])
    error -= place @ np.linalg.lstsq(place, error, rcond=None)[0]
    for label in (0, 1):
        rows = sites.sublattice[inner] == label
        std = sites.position_std[inner][rows]
        ratio = np.sqrt(np.mean(error[rows] ** 2) / np.mean(std**2))
        assert 0.9 < ratio < 1.15
