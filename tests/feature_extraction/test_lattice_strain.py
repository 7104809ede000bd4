"""Strain and rotation of generated lattices, with errors."""

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator, AtomSites, LatticeStrain
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.feature_extraction import measure_lattice

NAMES = [
    "strain_xx",
    "strain_yy",
    "strain_xy",
    "rotation",
    "tetragonality",
    "cell_area",
]


def lattice(gradient=((1, 0), (0, 1)), *, noise=0.0, n=40, seed=0):
    """A square lattice of 20 px deformed by F, in (x, y)."""
    rng = np.random.default_rng(seed)
    index = np.indices((n, n)).reshape(2, -1).T[:, ::-1].astype(float)
    positions = (20 * index @ np.asarray(gradient, dtype=float).T)[:, ::-1]
    positions += 60 - positions.min(axis=0)
    return measure_lattice(
        AtomSites(
            np.zeros((1000, 1000), np.float32),
            positions + rng.normal(0, noise, positions.shape),
            position_std=np.full(positions.shape, noise),
        )
    )


def turn(degrees):
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_names():
    model = LatticeStrain().fit(lattice())
    assert model.get_feature_names_out().tolist() == NAMES


@pytest.mark.parametrize("degrees", [0, 2, -2, 7])
def test_strain_and_rotation_are_separated(degrees):
    stretch = np.array([[1.01, 0.004], [0.004, 0.98]])
    sites = lattice(turn(degrees) @ stretch)
    values = LatticeStrain(reference=[[0, 20], [20, 0]]).fit_transform(sites)
    # The locator's convention chooses the vectors nearest to the axes.
    np.testing.assert_allclose(values[:, :3], [[0.01, -0.02, 0.004]] * 1600, atol=1e-9)
    np.testing.assert_allclose(np.degrees(values[:, 3]), degrees, atol=1e-9)
    np.testing.assert_allclose(values[:, 5], 400 * np.linalg.det(stretch))


def test_tetragonality_is_b_over_a():
    sites = lattice(np.diag([1.0, 1.06]))
    values = LatticeStrain().fit_transform(sites)
    np.testing.assert_allclose(values[:, 4], 1.06)


def test_lattice_axes_turn_with_the_reference():
    reference = lattice(turn(30))
    # 1 % along the reference's own a, which is at 30 degrees.
    stretch = turn(30) @ np.diag([1.01, 1.0]) @ turn(-30)
    sites = lattice(stretch @ turn(30))
    values = LatticeStrain(axes="lattice").fit(reference).transform(sites)
    np.testing.assert_allclose(values[:, :4], [[0.01, 0, 0, 0]] * 1600, atol=1e-9)
    in_image = LatticeStrain().fit(reference).transform(sites)
    np.testing.assert_allclose(in_image[0, 0], 0.01 * 0.75, atol=1e-9)
    np.testing.assert_allclose(in_image[0, 2], 0.01 * np.sqrt(3) / 4, atol=1e-9)


def test_one_percent_and_two_degrees_with_noise():
    reference = lattice(noise=0.1, seed=1)
    sites = lattice(turn(2) @ np.diag([1.01, 1.0]), noise=0.1)
    values, std = LatticeStrain().fit(reference).transform_with_std(sites)
    truth = np.array([0.01, 0, 0, np.radians(2), 1 / 1.01, 404])
    error = values - truth
    mean = np.nanmean(error, axis=0)
    assert np.abs(mean[[0, 1, 2, 4]]).max() < 1e-3
    assert np.degrees(abs(mean[3])) < 0.05
    pull = np.nanstd(error / std, axis=0)
    assert (pull > 0.9).all()
    assert (pull < 1.1).all()
    # Cells at the rim have fewer neighbours and larger errors, which are known.
    rim = np.isclose(sites.positions[:, 1], sites.positions[:, 1].min(), atol=30)
    assert np.median(std[rim, 0]) > 1.3 * np.median(std[~rim, 0])
    assert 0.8 < np.nanstd((error / std)[rim, 0]) < 1.2


def test_reference_is_the_region_that_it_is_fitted_to():
    strained = lattice(np.diag([1.02, 1.0]))
    model = LatticeStrain().fit(strained[:100])
    np.testing.assert_allclose(model.transform(strained)[:, :4], 0, atol=1e-9)
    np.testing.assert_allclose(
        model.reference_vectors_, [[0, 20.4], [20, 0]], atol=1e-9
    )


def test_bare_positions_are_enough():
    sites = lattice(turn(1) @ np.diag([1.01, 1.0]), noise=0.1)
    bare = AtomSites(sites.images, sites.positions, position_std=sites.position_std)
    model = LatticeStrain(reference=[[0, 20], [20, 0]])
    for first, second in zip(
        model.fit(bare).transform_with_std(bare),
        model.fit(sites).transform_with_std(sites),
        strict=True,
    ):
        np.testing.assert_array_equal(first, second)


def test_cells_without_vectors_are_nan():
    sites = lattice()
    vectors = np.array(sites.lattice_vectors)
    vectors[3] = np.nan
    sites.lattice_vectors = vectors
    values, std = LatticeStrain().fit(sites).transform_with_std(sites)
    assert np.isnan(values[3]).all()
    assert np.isnan(std[3]).all()
    assert np.isfinite(np.delete(values, 3, axis=0)).all()


def test_strain_of_a_dislocation():
    data = make_ferroic_image(
        "film", shape=(400, 420), dislocation=True, substrate=0, random_state=0
    )
    sites = AtomLocator().fit_transform(data)
    cells = sites[sites.sublattice == 0]
    strain = LatticeStrain().fit_transform(cells)
    d_row, d_col = (cells.positions - [200, 210]).T
    near = (np.abs(d_col) < 40) & (np.abs(d_row) > 25) & (np.abs(d_row) < 90)
    above, below = (
        np.nanmean(strain[near & side, 0]) for side in (d_row < 0, d_row > 0)
    )
    # The extra half plane lies above: compression there, dilation below.
    assert above < -0.01 < 0.01 < below


def test_sites_without_vectors_are_refused():
    bare = AtomSites(np.zeros((50, 50)), [[10, 10], [10, 30], [30, 10]])
    with pytest.raises(ValueError, match="too few neighbours"):
        LatticeStrain().fit(bare)
    with pytest.raises(ValueError, match="shape \\(2, 2\\)"):
        LatticeStrain(reference=[1, 2]).fit(lattice())
    with pytest.raises(ValueError, match="parallel"):
        LatticeStrain(reference=[[1, 2], [2, 4]]).fit(lattice())


def test_left_handed_reference_is_no_strain():
    values = LatticeStrain(reference=20 * np.eye(2)).fit_transform(lattice())
    np.testing.assert_allclose(values[:, :4], 0, atol=1e-9)
    np.testing.assert_allclose(values[:, 4:], [[1, 400]] * 1600)
    model = LatticeStrain(reference=[[0, 20], [-20, 0]], axes="lattice").fit(lattice())
    strained = lattice(np.diag([1.03, 1.0]))
    np.testing.assert_allclose(model.transform(strained)[:, 0], 0.03, atol=1e-9)
    np.testing.assert_allclose(model.transform(strained)[:, 1:4], 0, atol=1e-9)


def test_rotation_beyond_the_choice_of_vectors():
    # From 42 to 48 degrees the vectors nearest to the axes are other ones.
    reference, film = lattice(turn(42)), lattice(turn(48) @ np.diag([1.03, 1.0]))
    values = LatticeStrain(axes="lattice").fit(reference).transform(film)
    np.testing.assert_allclose(values[:, :3], [[0.03, 0, 0]] * 1600, atol=1e-9)
    np.testing.assert_allclose(np.degrees(values[:, 3]), 6, atol=1e-9)


def test_images_with_different_pixel_sizes_are_compared_in_nm():
    coarse, fine = (
        AtomSites(
            np.zeros((1800, 1800), np.float32),
            lattice().positions * scale,
            pixel_size=0.02 / scale,
        )
        for scale in (1, 2)
    )
    both = measure_lattice(AtomSites.concatenate([coarse, fine]))
    first = both[both.frame == 0]
    for model in (LatticeStrain().fit(first), LatticeStrain().fit(both)):
        values = model.transform(both)
        np.testing.assert_allclose(values[:, :4], 0, atol=1e-9)
        np.testing.assert_allclose(values[both.frame == 1, 5], 1600)
        np.testing.assert_allclose(
            model.reference_vectors_, [[0, 20], [20, 0]], atol=1e-9
        )
    bare = AtomSites(coarse.images, coarse.positions)
    with pytest.raises(ValueError, match="have a pixel size and others have none"):
        LatticeStrain().fit(first).transform(measure_lattice(bare))


def test_the_core_of_a_dislocation_has_no_strain():
    data = make_ferroic_image("film", dislocation=True, random_state=0)
    sites = AtomSites(data.image, data.positions, sublattice=data.sublattice)
    sites = sites[sites.sublattice == 0]
    strain = LatticeStrain().fit_transform(sites)
    distance = np.hypot(*(sites.positions - [400, 410]).T) / 20
    unknown = np.isnan(strain[:, 0])
    assert unknown[distance < 1].all()
    assert not unknown[distance > 4].any()
    # Not more than the elastic strain b / 2πr of the dislocation, and its noise.
    near = (distance < 8) & ~unknown
    limit = 1 / (2 * np.pi * distance[near]) + 0.03
    assert (np.abs(strain[near, :3]).max(axis=1) < limit).all()
    noisy = lattice(noise=0.8)
    assert np.isfinite(LatticeStrain().fit_transform(noisy)).all()
