"""Sublattices from brightness and geometry together."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.localization._neighbors import cage_displacement
from sklearn_ferroic.localization._sublattices import assign_sublattices


def perovskite(n=20, cell=14.0):
    corner = np.stack(np.meshgrid(range(n), range(n), indexing="ij"), -1).reshape(-1, 2)
    positions = np.concatenate([corner, corner + 0.5]) * cell
    return positions, np.repeat([0, 1], n * n), cell / np.sqrt(2)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("scatter", [0.02, 0.1])
def test_nearly_equal_brightness(seed, scatter):
    positions, truth, spacing = perovskite()
    rng = np.random.default_rng(seed)
    brightness = np.where(truth == 0, 1.0, 0.85) * rng.normal(1, scatter, len(truth))
    label = assign_sublattices(positions, brightness, spacing)
    assert np.mean(label == truth) > 0.995


@pytest.mark.parametrize("ratio", [0.15, 0.4, 0.85])
@pytest.mark.parametrize("step", [3.0, 1 / 3])
def test_a_brighter_material_next_door_does_not_matter(ratio, step):
    positions, truth, spacing = perovskite()
    rng = np.random.default_rng(0)
    brightness = np.where(truth == 0, 1.0, ratio) * rng.normal(1, 0.03, len(truth))
    brightness *= np.where(positions[:, 0] > 130, step, 1)
    label = assign_sublattices(positions, brightness, spacing)
    assert np.array_equal(label, truth)


def test_missing_columns_and_disorder():
    positions, truth, spacing = perovskite()
    rng = np.random.default_rng(1)
    positions = positions + rng.normal(scale=0.05 * spacing, size=positions.shape)
    kept = rng.random(len(truth)) > 0.15
    positions, truth = positions[kept], truth[kept]
    brightness = np.where(truth == 0, 1.0, 0.85) * rng.normal(1, 0.05, len(truth))
    label = assign_sublattices(positions, brightness, spacing)
    assert np.mean(label == truth) > 0.99


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scatter", [0.01, 0.1, 0.3])
def test_scatter_alone_makes_no_sublattices(seed, scatter):
    positions, truth, spacing = perovskite()
    one = positions[truth == 0]
    brightness = np.abs(np.random.default_rng(seed).normal(1, scatter, len(one)))
    label = assign_sublattices(one, brightness, spacing * np.sqrt(2))
    assert np.all(label == 0)


def test_two_can_be_demanded():
    positions, truth, spacing = perovskite()
    rng = np.random.default_rng(0)
    brightness = np.where(truth == 0, 1.0, 0.97) * rng.normal(1, 0.01, len(truth))
    assert np.all(assign_sublattices(positions, brightness, spacing) == 0)
    label = assign_sublattices(positions, brightness, spacing, 2)
    assert np.mean(label == truth) > 0.99


def test_three_sublattices_in_order_of_brightness():
    # Cations on a checkerboard, oxygen on all bonds between them.
    n, cell = 16, 20.0
    grid = np.stack(np.meshgrid(range(n), range(n), indexing="ij"), -1).reshape(-1, 2)
    positions = np.concatenate([grid, grid + 0.5, grid + [0.5, 0], grid + [0, 0.5]])
    truth = np.repeat([0, 1, 2, 2], n * n)
    level = np.array([1.0, 0.5, 0.1])[truth]
    brightness = level * np.random.default_rng(0).normal(1, 0.03, len(level))
    label = assign_sublattices(positions * cell, brightness, cell / 2, 3)
    assert np.mean(label == truth) > 0.99


@pytest.mark.parametrize("n_sublattices", ["auto", 1, 2, 3, 4])
def test_hexagonal_lattices_do_not_crash(n_sublattices):
    row, col = np.meshgrid(range(18), range(18), indexing="ij")
    positions = 12.0 * np.stack([row * np.sqrt(0.75), col + 0.5 * (row % 2)], -1)
    positions = positions.reshape(-1, 2)
    brightness = np.random.default_rng(0).normal(1, 0.05, len(positions))
    label = assign_sublattices(positions, brightness, 12.0, n_sublattices)
    assert label.max() + 1 == (1 if n_sublattices == "auto" else n_sublattices)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("n_sublattices", ["auto", 1, 2, 4])
def test_a_handful_of_columns(n, n_sublattices):
    positions = np.array([[0.0, 0.0], [10.0, 0.0], [500.0, 0.0]])[:n]
    label = assign_sublattices(positions, np.ones(n), 10.0, n_sublattices)
    assert len(label) == n


def test_no_more_sublattices_than_columns():
    # One bright column amid four others: it cannot be divided any more.
    positions = 10.0 * np.array([[0, 0], [0, 1], [1, 0], [0, -1], [-1, 0]])
    brightness = np.array([1.0, 0.4, 0.2, 0.7, 0.3])
    label = assign_sublattices(positions, brightness, 10.0, 4)
    assert label[0] == 0
    assert np.array_equal(np.unique(label), range(4))


def test_lone_columns_are_labelled_by_their_brightness():
    positions, truth, spacing = perovskite()
    lone = np.array([[-40.0, 0.0], [-80.0, 80.0]])
    brightness = np.concatenate([np.where(truth == 0, 1.0, 0.4), [0.38, 0.95]])
    label = assign_sublattices(np.concatenate([positions, lone]), brightness, spacing)
    assert np.array_equal(label, np.concatenate([truth, [1, 0]]))


def test_honeycomb_is_two_sublattices_with_incomplete_cages():
    basis = 16.0 * np.array([[np.sqrt(0.75), 0.5], [0.0, 1.0]])
    grid = np.stack(np.meshgrid(range(16), range(16), indexing="ij"), -1).reshape(-1, 2)
    third = np.array([1.0, 1.0]) / 3
    positions = np.concatenate([grid @ basis, (grid + third) @ basis])
    truth = np.repeat([0, 1], len(grid))
    spacing = 16 / np.sqrt(3)
    label = assign_sublattices(positions, np.where(truth == 0, 1.0, 0.6), spacing)
    assert np.array_equal(label, truth)
    assert np.isnan(cage_displacement(positions, label, spacing)).all()


@pytest.mark.parametrize("moved", [(1.0, 0.0), (0.0, -1.5)])
def test_cage_displacement_is_site_minus_centroid(moved):
    positions, label, spacing = perovskite()
    positions = positions + np.where(label[:, None] == 1, moved, 0)
    vector = cage_displacement(positions, label, spacing)
    known = np.isfinite(vector).all(axis=1)
    assert known[label == 1].sum() == 19 * 19
    assert vector[known & (label == 1)] == pytest.approx(
        np.tile(moved, (19 * 19, 1)), abs=1e-9
    )
    assert vector[known & (label == 0)].mean(axis=0) == pytest.approx(-np.array(moved))


def test_cage_with_a_missing_corner_is_no_cage():
    positions, label, spacing = perovskite()
    gone = np.flatnonzero((positions == 140.0).all(axis=1))
    kept = np.setdiff1d(np.arange(len(label)), gone)
    vector = cage_displacement(positions[kept], label[kept], spacing)
    distance, around = cKDTree(positions[kept]).query([140.0, 140.0], k=4)
    assert distance == pytest.approx(spacing)
    assert np.isnan(vector[around]).all()


def test_sites_of_a_given_number_of_sublattices(columns):
    truth = columns(ratio=0.4)
    for number in (1, 2):
        locator = AtomLocator(n_sublattices=number).fit(truth.image)
        assert locator.n_sublattices_ == number
        assert len(locator.sublattice_brightness_) == number
    assert locator.sublattice_brightness_ == pytest.approx([1, 0.4], abs=0.03)
