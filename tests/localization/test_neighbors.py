"""The cage of neighbours around each column, and the displacement in it."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._lattice.neighbors import cage_displacement
from sklearn_ferroic.datasets import make_ferroic_image
from tests.localization._truth import cramer_rao_bound, perovskite


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


@pytest.mark.parametrize("side", [(-1, -1), (-1, 1), (1, -1), (1, 1)])
def test_a_cage_may_lack_any_corner(side):
    positions, label, spacing = perovskite()
    middle = np.array([147.0, 147.0])
    gone = np.flatnonzero(np.abs(positions - middle - 7 * np.array(side)).sum(1) < 1)
    kept = np.delete(np.arange(len(label)), gone)
    assert len(gone) == 1
    positions, label = positions[kept], label[kept]
    vector = cage_displacement(positions, label, spacing)
    known = np.isfinite(vector).all(axis=1)
    distance = np.hypot(*(positions[:, None] - positions).T)
    others = (distance < 1.1 * spacing) & (label[:, None] != label)
    assert np.array_equal(known, others.sum(axis=1) == 4)
    assert np.sum(others.sum(axis=1) == 3) > 3
    assert np.abs(vector[known]).max() < 1e-9


def test_no_other_column_steps_in_for_a_missing_corner():
    positions, label, spacing = perovskite()
    rng = np.random.default_rng(0)
    gone = np.flatnonzero((np.abs(positions - 140) < 0.1).all(axis=1))
    for _ in range(20):
        # A stray column of the right name stands somewhere near the empty place.
        turn = rng.uniform(0, 2 * np.pi)
        stray = 140 + rng.uniform(0.7, 1) * spacing * np.array(
            [np.sin(turn), np.cos(turn)]
        )
        moved = positions.copy()
        moved[gone] = stray
        vector = cage_displacement(moved, label, spacing)
        b_around = (np.hypot(*(positions - 140).T) < 1.1 * spacing) & (label == 1)
        assert np.isnan(vector[b_around]).any(axis=1).sum() >= 3
        known = np.isfinite(vector).all(axis=1) & (label == 1)
        assert np.hypot(*vector[known].T).max() < 0.13 * spacing


@pytest.mark.parametrize("seed", range(3))
def test_no_wild_polarization_in_the_core_of_a_dislocation(seed):
    truth = make_ferroic_image(
        "film", displacement_pm=0, dislocation=True, random_state=seed
    )
    sites = AtomLocator().fit_transform(truth)
    known = np.isfinite(sites.polarization).all(axis=1)
    core = np.add(truth.image.shape, -1) / 2
    near = np.hypot(*(sites.positions - core).T) < 30
    assert (near & known).sum() > 8
    assert (near & ~known).any()
    # Strain has no centre of symmetry so near the core, but stays a small thing.
    assert np.hypot(*sites.polarization[near & known].T).max() < 0.15 * 14
    inner = len(sites) - np.isnan(sites.interior(25).polarization).any(axis=1).sum()
    assert inner > len(sites) - 6


def honeycomb(size):
    """Corners of hexagons with, in their middles, another sublattice or none."""
    basis = 20.0 * np.array([[np.sqrt(0.75), 0.5], [0.0, 1.0]])
    grid = np.stack(np.meshgrid(range(14), range(14), indexing="ij"), -1).reshape(-1, 2)
    a, b, middle = (grid @ basis + third * basis.sum(axis=0) / 3 for third in range(3))
    if size == 3:
        return np.concatenate([a, b]), np.repeat([0, 1], len(grid))
    corners = np.concatenate([a, b])
    return np.concatenate([corners, middle]), np.repeat([0, 1], [2 * len(a), len(a)])


@pytest.mark.parametrize("moved", [(0.6, 0.0), (-0.4, 0.9)])
@pytest.mark.parametrize("size", [3, 6])
def test_shells_of_three_and_six(size, moved):
    positions, label = honeycomb(size)
    moved = np.where(label[:, None] == 1, moved, 0)
    rng = np.random.default_rng(1)
    positions = positions + moved + rng.normal(0, 0.05, positions.shape)
    vector = cage_displacement(positions, label, 20 / np.sqrt(3))
    low, high = positions.min(axis=0) + 15, positions.max(axis=0) - 15
    # The lattice is a parallelogram: its acute corners have no complete shells.
    middle = np.hypot(*(positions - positions.mean(axis=0)).T) < 80
    inner = middle & (label == 1) & ((positions > low) & (positions < high)).all(axis=1)
    assert inner.sum() > 40
    assert np.isfinite(vector[inner]).all()
    assert vector[inner] == pytest.approx(moved[inner], abs=0.25)
    assert vector[inner].mean(axis=0) == pytest.approx(moved[inner][0], abs=0.03)


def test_a_shell_of_three_with_a_missing_column_is_incomplete():
    positions, label = honeycomb(3)
    center = np.argmin(
        np.hypot(*(positions - positions.mean(axis=0)).T) + 1e3 * (label == 1)
    )
    kept = np.arange(len(label)) != center
    vector = cage_displacement(positions[kept], label[kept], 20 / np.sqrt(3))
    around = np.hypot(*(positions[kept] - positions[center]).T) < 13
    assert around.sum() == 3
    assert np.isnan(vector[around]).all()


def test_cages_of_three_sublattices():
    cells = np.stack(np.meshgrid(range(12), range(12), indexing="ij"), -1)
    cells = cells.reshape(-1, 2)
    places = [(0, 0), (0.5, 0.5), (0.5, 0), (0, 0.5)]
    positions = 24.0 * np.concatenate([cells + np.array(place) for place in places])
    label = np.repeat([0, 1, 2, 2], len(cells))
    vector = cage_displacement(positions + [0.5, 0] * (label == 1)[:, None], label, 12)
    known = np.isfinite(vector).all(axis=1)
    # A and B are each other's cages; oxygen has two A columns beside it, not four.
    assert np.array_equal(np.unique(label[known]), [0, 1])
    assert known.sum() == 2 * 11 * 11
    assert vector[known & (label == 1)] == pytest.approx(np.tile([0.5, 0], (121, 1)))


@pytest.mark.parametrize("scatter", [0.0, 0.3])
def test_no_cage_where_four_neighbours_are_a_matter_of_chance(scatter):
    # A perovskite along [110]: two neighbours in the row, four in the rows beside it.
    cells = np.stack(np.meshgrid(range(12), range(12), indexing="ij"), -1)
    sr = 40.0 * cells.reshape(-1, 2) * [np.sqrt(0.5), 1]
    positions = np.concatenate([sr, sr + [0, 20]])
    positions += np.random.default_rng(0).normal(0, scatter, positions.shape)
    vector = cage_displacement(positions, np.repeat([0, 1], len(sr)), 20.0)
    assert np.isnan(vector).all()


@pytest.mark.parametrize("seed", range(3))
def test_polarization_is_as_precise_as_the_bounds_imply(seed):
    truth = make_ferroic_image("film", random_state=seed)
    sites = AtomLocator().fit_transform(truth)
    distance, nearest = cKDTree(truth.positions).query(sites.positions)
    known = np.isfinite(sites.polarization).all(axis=1) & (distance < 3)
    rows = np.flatnonzero(known & (sites.sublattice == 1))
    assert len(rows) > 0.9 * np.sum(sites.sublattice == 1)
    a_sites = np.flatnonzero(truth.sublattice == 0)
    _, corners = cKDTree(truth.positions[a_sites]).query(
        truth.positions[nearest[rows]], k=4
    )
    corners = a_sites[corners]
    centroid = truth.positions[corners].mean(axis=1)
    error = sites.polarization[rows] - (truth.positions[nearest[rows]] - centroid)
    assert np.abs(error.mean(axis=0)).max() < 0.02
    rms = np.sqrt(np.mean(error**2))

    # The bound is of electrons: 10 ADU each over an offset of 100 ADU. The read noise,
    # 10 ADU, is as that of one more electron in every pixel.
    electrons = (truth.amplitude / 10, truth.sigma, (truth.background - 100) / 10 + 1)
    variance = np.array(
        [cramer_rao_bound(*column) ** 2 for column in zip(*electrons, strict=True)]
    )
    implied = variance[nearest[rows]] + variance[corners].sum(axis=1) / 16
    assert rms < 1.2 * np.sqrt(implied.mean())
    # The fit's own errors tell the same.
    _, found = cKDTree(sites.positions).query(truth.positions[corners].reshape(-1, 2))
    claimed = sites.position_std**2
    claimed = claimed[rows] + claimed[found].reshape(-1, 4, 2).sum(axis=1) / 16
    assert rms == pytest.approx(np.sqrt(claimed.mean()), rel=0.15)
