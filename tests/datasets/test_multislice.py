"""The multislice image of the package: its truth, and what the locator finds in it."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import load_multislice

# Half the diagonal of a cell of 3.90 by 4.14 angstrom, px.
SPACING = np.hypot(3.90, 4.14) / 2 / 0.15


@pytest.fixture(scope="module")
def data():
    return load_multislice()


@pytest.fixture(scope="module")
def sites(data):
    return AtomLocator().fit_transform(data)


def interior(data, margin=20):
    last = np.array(data.image.shape) - 1
    inside = (data.positions > margin) & (data.positions < last - margin)
    return inside.all(axis=1)


def test_image_and_truth_have_their_types(data):
    assert data.image.dtype == np.float32
    assert data.image.shape == (625, 652)
    np.testing.assert_array_equal(data.image, np.rint(data.image))
    assert data.pixel_size == 0.015
    assert data.dose == 2e4
    n = 1150
    for name in ("positions", "mean_positions", "polarization", "mistilt_mrad"):
        assert data[name].shape == (n, 2)
        assert data[name].dtype == np.float64
    for name in ("sublattice", "variant"):
        assert data[name].shape == (n,)
        assert data[name].dtype.kind == "i"
    assert data.wall.dtype == bool
    assert np.bincount(data.sublattice).tolist() == [575, 575]
    assert set(data.variant) == {-1, 1, 2, 3}
    assert data.sublattice_names == ("A", "B")
    for word in ("PbTiO3", "multislice", "200 kV", "BSD-3-Clause"):
        assert word.lower() in data.description.lower()


def test_each_call_returns_arrays_of_its_own(data):
    other = load_multislice()
    other.image[:] = 0
    other.positions[:] = 0
    assert load_multislice().image.mean() == pytest.approx(data.image.mean())
    assert load_multislice().positions.mean() == pytest.approx(data.positions.mean())


def test_polarization_is_b_minus_its_a_neighbors_and_points_along_the_variant(data):
    cells = (data.sublattice == 1) & ~data.wall & interior(data, 40)
    a_sites = data.positions[data.sublattice == 0]
    _, near = cKDTree(a_sites).query(data.positions[cells], k=4)
    measured = data.positions[cells] - a_sites[near].mean(axis=1)
    # The mistilt moves both sublattices alike.
    np.testing.assert_allclose(measured, data.polarization[cells], atol=0.02)
    for variant, direction in ((1, [1, 0]), (2, [0, -1]), (3, [-1, 0])):
        own = cells & (data.variant == variant)
        assert own.sum() > 40
        d_row, d_col = data.polarization[own].T
        angle = np.arctan2(d_row, d_col) - np.pi / 2 * variant
        assert np.abs(np.angle(np.exp(1j * angle))).max() < np.radians(25)
        mean_pm = 1e3 * data.pixel_size * data.polarization[own].mean(axis=0)
        np.testing.assert_allclose(mean_pm, 15.3 * np.array(direction), atol=1.5)
    plain = cells & (data.variant == -1)
    mean_pm = 1e3 * data.pixel_size * data.polarization[plain].mean(axis=0)
    np.testing.assert_allclose(mean_pm, 0, atol=0.5)
    assert np.isnan(data.polarization[data.sublattice == 0]).all()


def test_substrate_is_at_the_bottom_and_holds_no_lead(data):
    substrate = (data.variant == -1) & ~data.wall
    assert data.composition[substrate].max() < 0.2
    assert data.composition[(data.variant >= 0) & ~data.wall].min() > 0.9
    assert data.positions[substrate, 0].min() > 400


def test_image_is_brightest_where_the_truth_puts_the_lead(data):
    lead = (data.sublattice == 0) & (data.composition > 0.9) & interior(data)
    at = np.rint(data.positions[lead]).astype(int)
    height = data.image[at[:, 0], at[:, 1]].mean()
    for d_row, d_col in ((0, 5), (5, 0), (0, -5), (-5, 0)):
        off = data.image[at[:, 0] + d_row, at[:, 1] + d_col].mean()
        assert off < 0.75 * height
    # A swap of rows and columns would leave nothing of this.
    swapped = data.image[at[:, 1] % 625, at[:, 0] % 652].mean()
    assert swapped < 0.8 * height


def test_locator_finds_the_columns(data, sites):
    distance, nearest = cKDTree(sites.positions).query(data.positions)
    judged = interior(data)
    found = distance < 0.35 * SPACING
    assert found[judged & (data.sublattice == 0)].all()
    assert found[judged & (data.sublattice == 1)].all()
    label = sites.sublattice[nearest]
    assert (label == data.sublattice)[judged & found].all()
    gap, _ = cKDTree(data.positions).query(sites.positions)
    last = np.array(data.image.shape) - 1
    inner = ((sites.positions > 20) & (sites.positions < last - 20)).all(axis=1)
    assert not (gap[inner] > 0.35 * SPACING).any()
    assert AtomLocator().fit(data).spacing_ == pytest.approx(SPACING, rel=0.04)


def test_fits_lie_at_the_entrance_surface(data, sites):
    distance, nearest = cKDTree(sites.positions).query(data.positions)
    judged = interior(data) & (distance < 6) & (data.sublattice == 0)
    offset = sites.positions[nearest[judged]] - data.positions[judged]
    scatter_pm = 1e3 * data.pixel_size * (offset - np.median(offset, axis=0))
    assert 1e3 * data.pixel_size * np.abs(np.median(offset, axis=0)).max() < 5
    assert np.sqrt(np.mean(scatter_pm**2)) < 3


def test_measured_displacements_point_along_the_truth(data, sites):
    distance, nearest = cKDTree(sites.positions).query(data.positions)
    measured = sites.polarization[nearest]
    judged = interior(data, 40) & (distance < 6) & (data.sublattice == 1)
    judged &= ~data.wall & (data.variant >= 0) & np.isfinite(measured).all(axis=1)
    truth, measured = data.polarization[judged], measured[judged]
    slope = np.sum(truth * measured) / np.sum(truth**2)
    # Oxygen, displaced further the same way, adds to what is seen of titanium.
    assert 1.0 < slope < 1.2
    cosine = np.sum(truth * measured, axis=1)
    cosine /= np.linalg.norm(truth, axis=1) * np.linalg.norm(measured, axis=1)
    assert np.mean(cosine > np.cos(np.pi / 4)) > 0.99
