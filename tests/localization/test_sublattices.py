"""Sublattices from brightness and geometry together."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._lattice.local_lattice import lattice_vectors
from sklearn_ferroic._lattice.neighbors import cage_displacement
from sklearn_ferroic._lattice.reference_lattice import lattice_positions
from sklearn_ferroic._lattice.sublattices import (
    assign_sublattices,
    check_labels,
    label_sublattices,
)
from sklearn_ferroic.datasets import make_ferroic_image
from tests.localization._truth import perovskite


def crystal(n, basis, motif):
    """Columns of a lattice with a motif, and which of its columns each one is."""
    cells = np.stack(np.meshgrid(range(n), range(n), indexing="ij"), -1).reshape(-1, 2)
    positions = [(cells + np.array(place)) @ np.array(basis) for place in motif]
    return np.concatenate(positions), np.repeat(np.arange(len(motif)), n * n)


def turned(positions, angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return positions @ np.array([[cos, sin], [-sin, cos]])


SQUARE, TRIANGULAR = np.eye(2), np.array([[np.sqrt(0.75), 0.5], [0.0, 1.0]])
CORNER, MIDDLE, SIDES = (0, 0), (0.5, 0.5), [(0.5, 0), (0, 0.5)]
THIRDS = [(0, 0), (1 / 3, 1 / 3), (2 / 3, 2 / 3)]
# name -> basis (px), motif, brightness and label of each column of the motif, spacing
CRYSTALS = {
    "CsCl 0.95": (16 * SQUARE, [CORNER, MIDDLE], [1, 0.95], [0, 1], 11.3),
    "perovskite 0.85": (20 * SQUARE, [CORNER, MIDDLE], [1, 0.85], [0, 1], 14.1),
    "tetragonal": (np.diag([20.0, 24.0]), [CORNER, MIDDLE], [1, 0.7], [0, 1], 15.6),
    "boron nitride": (18 * TRIANGULAR, THIRDS[:2], [1, 0.8], [0, 1], 10.4),
    "MoS2": (18 * TRIANGULAR, THIRDS[:2], [0.3, 1], [1, 0], 10.4),
    "triangular": (18 * TRIANGULAR, [CORNER], [1], [0], 18.0),
    "triangular, three": (31 * TRIANGULAR, THIRDS, [1, 0.4, 0.7], [0, 2, 1], 17.9),
    "perovskite with oxygen": (
        24 * SQUARE,
        [CORNER, MIDDLE, *SIDES],
        [0.5, 1, 0.15, 0.15],
        [1, 0, 2, 2],
        12.0,
    ),
    "spacing of the cations, oxygen found": (
        24 * SQUARE,
        [CORNER, MIDDLE, *SIDES],
        [1, 0.5, 0.15, 0.15],
        [0, 1, 2, 2],
        17.0,
    ),
    "four": (
        24 * SQUARE,
        [CORNER, MIDDLE, *SIDES],
        [1, 0.6, 0.35, 0.2],
        [0, 1, 2, 3],
        12.0,
    ),
}


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("name", CRYSTALS)
def test_one_to_four_sublattices_of_many_crystals(name, missing):
    basis, motif, level, names, spacing = CRYSTALS[name]
    n_sublattices = 1 + max(names)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        positions, place = crystal(22, basis, motif)
        positions = turned(positions, rng.uniform(0, np.pi))
        positions += rng.normal(scale=0.03 * spacing, size=positions.shape)
        brightness = np.array(level)[place] * rng.normal(1, 0.05, len(place))
        kept = rng.random(len(place)) >= missing
        truth = np.array(names)[place][kept]
        asked = [n_sublattices] if n_sublattices > 1 else []
        for number in [*asked, "auto"] if n_sublattices < 3 else asked:
            label = assign_sublattices(
                positions[kept], brightness[kept], spacing, number
            )
            assert np.mean(label == truth) > 0.995


@pytest.mark.parametrize("n_sublattices", ["auto", 2])
@pytest.mark.parametrize("share", [0.2, 0.45])
@pytest.mark.parametrize("film, layer", [((1, 0.4), (0.4, 0.6)), ((1, 0.85), (0.5, 1))])
def test_names_are_carried_across_an_interface(film, layer, share, n_sublattices):
    positions, truth, spacing = perovskite(24)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        in_layer = positions[:, 0] < share * 24 * 14
        brightness = np.where(in_layer, np.array(layer)[truth], np.array(film)[truth])
        brightness = brightness * rng.normal(1, 0.05, len(truth))
        moved = positions + rng.normal(scale=0.04 * spacing, size=positions.shape)
        kept = rng.random(len(truth)) > 0.03
        label = assign_sublattices(
            moved[kept], brightness[kept], spacing, n_sublattices
        )
        assert np.mean(label == truth[kept]) > 0.995


@pytest.mark.parametrize("n_sublattices", ["auto", 2])
@pytest.mark.parametrize("seed", range(2))
def test_an_image_whose_order_of_brightness_changes(columns, seed, n_sublattices):
    def exchange(positions):
        # A columns stand in whole cells from the first one, B columns in between.
        is_b = np.rint((positions - positions[0])[:, 0] / 10) % 2 == 1
        in_layer = positions[:, 0] < 80
        return np.where(in_layer, np.where(is_b, 1.5, 0.4), 1)

    truth = columns(angle=0.0, ratio=0.4, peak=200, brightness=exchange, seed=seed)
    sites = AtomLocator(n_sublattices=n_sublattices).fit_transform(truth.image)
    distance, nearest = cKDTree(truth.positions).query(sites.positions)
    assert distance.max() < 3
    assert np.mean(sites.sublattice == truth.sublattice[nearest]) > 0.995
    layer = sites[sites.positions[:, 0] < 60]
    brightness = [np.median(layer.amplitude[layer.sublattice == k]) for k in (0, 1)]
    assert brightness == pytest.approx([80, 120], rel=0.05)


@pytest.mark.parametrize("ratio", [0.4, 0.85])
@pytest.mark.parametrize("seed", range(4))
def test_grains_are_named_one_by_one(seed, ratio):
    rng = np.random.default_rng(seed)
    middles = rng.uniform(0, 800, (12, 2))
    lattice, sublattice = crystal(120, 20 * SQUARE, [CORNER, MIDDLE])
    lattice -= lattice.mean(axis=0)
    kept, truth = [], []
    for number, middle in enumerate(middles):
        grain = turned(lattice, rng.uniform(0, np.pi / 2)) + middle
        near = ((grain > 0) & (grain < 800)).all(axis=1)
        near[near] = cKDTree(middles).query(grain[near])[1] == number
        kept, truth = [*kept, grain[near]], [*truth, sublattice[near]]
    positions, truth = np.concatenate(kept), np.concatenate(truth)
    crowded = cKDTree(positions).query_pairs(8, output_type="ndarray")[:, 1]
    positions, truth = np.delete(positions, crowded, 0), np.delete(truth, crowded)
    brightness = np.where(truth == 0, 1, ratio) * rng.normal(1, 0.05, len(truth))
    label = assign_sublattices(positions, brightness, 20 / np.sqrt(2))
    # A sixth of all columns stand at a boundary, where neighbours tell nothing.
    assert np.mean(label == truth) > 0.98


@pytest.mark.parametrize("preset", ["film", "superlattice"])
@pytest.mark.parametrize("seed", range(2))
def test_presets_with_mistilt_gradient_and_dislocation(preset, seed):
    truth = make_ferroic_image(
        preset,
        mistilt_mrad=10.0,
        thickness_gradient=0.6,
        dislocation=True,
        random_state=seed,
    )
    sites = AtomLocator().fit_transform(truth)
    distance, nearest = cKDTree(truth.positions).query(sites.positions)
    found = distance < 5
    assert found.sum() > 3000
    right = sites.sublattice[found] == truth.sublattice[nearest[found]]
    assert right.mean() >= 0.995


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
    brightness = np.where(truth == 0, 1.0, 0.99) * rng.normal(1, 0.01, len(truth))
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


def test_honeycomb_is_two_sublattices_with_shells_of_three():
    basis = 16.0 * np.array([[np.sqrt(0.75), 0.5], [0.0, 1.0]])
    grid = np.stack(np.meshgrid(range(16), range(16), indexing="ij"), -1).reshape(-1, 2)
    third = np.array([1.0, 1.0]) / 3
    positions = np.concatenate([grid @ basis, (grid + third) @ basis])
    truth = np.repeat([0, 1], len(grid))
    spacing = 16 / np.sqrt(3)
    label = assign_sublattices(positions, np.where(truth == 0, 1.0, 0.6), spacing)
    assert np.array_equal(label, truth)
    displacement = cage_displacement(positions, label, spacing)
    known = np.isfinite(displacement).all(axis=1)
    assert known.sum() == 2 * 15 * 15
    assert np.abs(displacement[known]).max() < 1e-9


def displaced_perovskite(ratio, displacement, rng, scatter=0.03):
    """Columns with errors, B displaced against A, of nearly equal brightness."""
    positions, truth, spacing = perovskite()
    positions = positions + np.where(truth[:, None] == 1, displacement, 0)
    positions = positions + rng.normal(scale=0.01 * spacing, size=positions.shape)
    brightness = np.where(truth == 0, 1.0, ratio) * rng.normal(1, scatter, len(truth))
    return positions, brightness, truth, spacing


@pytest.mark.parametrize("displacement", [(0.5, 0.5), (0.0, -0.4)])
@pytest.mark.parametrize("ratio", [0.97, 0.985])
@pytest.mark.parametrize("seed", range(3))
def test_displacement_where_brightness_does_not_suffice(ratio, displacement, seed):
    rng = np.random.default_rng(seed)
    positions, brightness, truth, spacing = displaced_perovskite(
        ratio, displacement, rng
    )
    labels = label_sublattices(positions, brightness, spacing)
    assert np.array_equal(labels.sublattice, truth)
    assert not labels.equivalent
    assert not labels.doubtful[clear_of_border(positions)].any()


@pytest.mark.parametrize("seed", range(5))
def test_domains_of_equally_bright_columns(seed):
    rng = np.random.default_rng(seed)
    positions, truth, _ = perovskite()
    right = positions[:, 1] > 140
    displacement = np.where(right[:, None], (0.5, 0.0), (-0.5, 0.0))
    positions, brightness, truth, spacing = displaced_perovskite(1.0, displacement, rng)
    labels = label_sublattices(positions, brightness, spacing)
    exchanged = labels.sublattice[0]
    assert np.array_equal(labels.sublattice, np.where(exchanged, 1 - truth, truth))
    assert labels.equivalent


@pytest.mark.parametrize("ratio", [0.97, 0.95, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_a_slight_difference_in_brightness_is_enough(ratio, seed):
    rng = np.random.default_rng(seed)
    positions, brightness, truth, spacing = displaced_perovskite(ratio, (0, 0), rng)
    labels = label_sublattices(positions, brightness, spacing)
    assert np.array_equal(labels.sublattice, truth)
    assert not labels.equivalent


@pytest.mark.parametrize("seed", range(5))
def test_without_displacement_equal_columns_are_one_sublattice(seed):
    rng = np.random.default_rng(seed)
    positions, brightness, _, spacing = displaced_perovskite(1.0, (0, 0), rng)
    labels = label_sublattices(positions, brightness, spacing)
    assert not labels.sublattice.any()
    assert not labels.doubtful.any()


def clear_of_border(positions, margin=10.0):
    low, high = positions.min(axis=0) + margin, positions.max(axis=0) - margin
    return ((positions > low) & (positions < high)).all(axis=1)


def image_of_displaced_columns(ratio):
    positions, truth, _ = perovskite(n=14, cell=18.0)
    positions = positions + 9 + np.where(truth[:, None] == 1, (0.8, 0.8), 0)
    rows, cols = np.mgrid[:264, :264]
    image = np.full(rows.shape, 20.0)
    for (row, col), is_b in zip(positions, truth, strict=True):
        squared = (rows - row) ** 2 + (cols - col) ** 2
        image += 200 * (ratio if is_b else 1) * np.exp(-squared / (2 * 2.6**2))
    return np.random.default_rng(0).poisson(image)


def test_equivalent_sublattices_are_said_once():
    image = image_of_displaced_columns(1.0)
    with pytest.warns(UserWarning, match="two sublattices of the image") as caught:
        sites = AtomLocator().fit_transform(image)
    assert len(caught) == 1
    length = np.hypot(*sites.polarization.T)
    assert np.isfinite(length).mean() > 0.8
    assert np.nanmedian(length) == pytest.approx(0.8 * np.sqrt(2), abs=0.1)


@pytest.mark.parametrize("ratio", [0.5, 0.9])
@pytest.mark.parametrize("angle", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_a_metal_next_to_a_compound_is_one_sublattice(ratio, angle, seed):
    rng = np.random.default_rng(seed)
    compound, truth, spacing = perovskite(n=24)
    compound, truth = compound[compound[:, 0] < 160], truth[compound[:, 0] < 160]
    grid = np.stack(np.meshgrid(range(-60, 60), range(-60, 60)), -1).reshape(-1, 2)
    metal = turned(0.87 * spacing * grid, angle)
    inside = (metal[:, 0] > 168) & (metal[:, 0] < 330)
    inside &= (metal[:, 1] > 0) & (metal[:, 1] < 330)
    metal = metal[inside]
    positions = np.concatenate([compound, metal])
    positions += rng.normal(scale=0.02 * spacing, size=positions.shape)
    level = np.concatenate([np.where(truth == 0, 1, ratio), np.full(len(metal), 0.6)])
    level = level * rng.normal(1, 0.05, len(level))
    labels = label_sublattices(positions, level, spacing)
    in_metal = np.arange(len(positions)) >= len(compound)
    assert labels.sublattice[in_metal].mean() < 0.01
    assert np.mean(labels.sublattice[~in_metal] == truth) > 0.99
    known = np.isfinite(cage_displacement(positions, labels.sublattice, spacing))
    assert known[in_metal].mean() < 0.01
    assert known[~in_metal].mean() > 0.85


@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("ratio, scatter", [(0.4, 0.1), (0.7, 0.05)])
@pytest.mark.parametrize("seed", range(3))
def test_a_metal_that_continues_the_lattice(ratio, scatter, share, seed):
    rng = np.random.default_rng(seed)
    positions, truth, spacing = perovskite(n=24)
    in_metal = positions[:, 0] < share * 24 * 14
    level = np.where(in_metal, 0.8, np.where(truth == 0, 1.0, ratio))
    level = level * rng.normal(1, scatter, len(level))
    moved = positions + rng.normal(scale=0.02 * spacing, size=positions.shape)
    label = assign_sublattices(moved, level, spacing)
    assert label[in_metal].mean() < 0.05
    assert np.mean(label[~in_metal] == truth[~in_metal]) > 0.99
    # A compound of equally bright columns whose B is displaced is none.
    moved[truth == 1] += [0.6, 0.0]
    label = assign_sublattices(moved, level, spacing)
    assert np.mean(label == truth) > 0.99


def test_a_noisy_corner_of_a_metal():
    # A compound of separate pairs, and a metal whose corner is dark: bonds break there.
    cells = np.stack(np.meshgrid(range(-11, 0), range(12), indexing="ij"), -1)
    bright = 40.0 * cells.reshape(-1, 2)
    compound, truth = np.concatenate([bright, bright + [0, 16]]), np.repeat([0, 1], 132)
    grid = np.stack(np.meshgrid(range(30), range(30), indexing="ij"), -1)
    grid = 16.0 * grid.reshape(-1, 2)
    noise = np.clip(1 - np.hypot(*(grid.max(axis=0) - grid).T) / 192, 0, 1)
    n_wrong = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        level = np.where(truth == 0, 1, 0.4) * rng.normal(1, 0.05, len(truth))
        metal_level = rng.normal(0.8, 0.04, len(grid))
        metal_level *= np.exp(0.3 * noise * rng.normal(size=len(grid)))
        metal = grid + 0.15 * 16 * noise[:, None] * rng.normal(size=grid.shape)
        positions = np.concatenate([compound, metal])
        level = np.concatenate([level, metal_level])
        label = assign_sublattices(positions, level, 16.0)
        assert np.array_equal(label[:264], truth)
        n_wrong += np.count_nonzero(label[264:])
    # 12 times 121 columns are uncertain.
    assert n_wrong < 0.005 * 12 * 121


@pytest.mark.parametrize("level, expected", [(1.0, 0), (0.63, 1)])
def test_a_substituted_column(level, expected):
    # With the brightness of A it is one, with one in between it stays what it was.
    rng = np.random.default_rng(0)
    positions, truth, spacing = perovskite()
    brightness = np.where(truth == 0, 1.0, 0.4) * rng.normal(1, 0.03, len(truth))
    middle = np.flatnonzero((positions == 147.0).all(axis=1))
    assert truth[middle] == 1
    brightness[middle] = level
    labels = label_sublattices(positions, brightness, spacing)
    assert labels.sublattice[middle] == expected
    others = np.arange(len(truth)) != middle
    assert np.array_equal(labels.sublattice[others], truth[others])
    # Brightness or the alternation contradicts either label: that is flagged.
    assert labels.doubtful[middle] == (expected == 0)
    assert not labels.doubtful[others & clear_of_border(positions)].any()


def test_wrong_labels_are_doubtful():
    rng = np.random.default_rng(0)
    positions, truth, spacing = perovskite()
    brightness = np.where(truth == 0, 1.0, 0.5) * rng.normal(1, 0.05, len(truth))
    inner = np.flatnonzero(clear_of_border(positions, 30.0))
    wrong = rng.choice(inner, 6, replace=False)
    label = truth.copy()
    label[wrong] = 1 - label[wrong]
    doubtful = check_labels(positions, brightness, label, spacing)
    assert np.array_equal(
        np.flatnonzero(doubtful & clear_of_border(positions)), np.sort(wrong)
    )
    assert not check_labels(positions, brightness, 0 * truth, spacing).any()


@pytest.mark.parametrize("ratio, scatter", [(0.8, 0.1), (0.7, 0.07)])
@pytest.mark.parametrize("seed", range(5))
def test_single_outliers_exchange_no_labels_at_low_contrast(ratio, scatter, seed):
    rng = np.random.default_rng(seed)
    positions, truth, spacing = perovskite()
    brightness = np.where(truth == 0, 1.0, ratio) * rng.normal(1, scatter, len(truth))
    outlying = rng.choice(np.flatnonzero(truth == 1), 8, replace=False)
    brightness[outlying] = 1.0
    assert np.array_equal(assign_sublattices(positions, brightness, spacing), truth)


@pytest.mark.parametrize("seed", range(5))
def test_dim_columns_at_the_edge_of_a_crystal_keep_their_label(seed):
    rng = np.random.default_rng(seed)
    positions, truth, spacing = perovskite()
    brightness = np.where(truth == 0, 1.0, 0.45) * rng.normal(1, 0.05, len(truth))
    edge = np.flatnonzero((positions[:, 0] == 0) & (truth == 0))
    brightness[rng.choice(edge, 3, replace=False)] *= 0.45
    assert np.array_equal(assign_sublattices(positions, brightness, spacing), truth)


def _columns_without_order():
    rng = np.random.default_rng(0)
    return {
        "random": rng.uniform(0, 700, (2000, 2)),
        "cluster": rng.normal(0, 1, (2000, 2)),
        "clusters": np.concatenate(
            [rng.normal(place, 2, (300, 2)) for place in (0, 40, 500)]
        ),
        "one place": np.zeros((200, 2)),
        "line": np.column_stack([10.0 * np.arange(60), np.zeros(60)]),
        "one": np.zeros((1, 2)),
        "pair": np.array([[0.0, 0], [9, 3]]),
        "triple": np.array([[0.0, 0], [9, 3], [2, 11]]),
    }


@pytest.mark.parametrize("n_sublattices", ["auto", 1, 2, 3, 4])
@pytest.mark.parametrize("kind", _columns_without_order())
def test_nothing_fails_without_order(kind, n_sublattices):
    positions = _columns_without_order()[kind]
    brightness = np.random.default_rng(1).uniform(0.1, 1, len(positions))
    label = assign_sublattices(positions, brightness, 10.0, n_sublattices)
    assert label.shape == (len(positions),)
    most = 2 if n_sublattices == "auto" else n_sublattices
    assert set(label) <= set(range(most))
    for values in (
        cage_displacement(positions, label, 10.0),
        lattice_positions(positions, label),
        lattice_vectors(positions, label).reshape(-1, 4),
    ):
        assert len(values) == len(positions)
        known = np.isfinite(values)
        assert np.array_equal(known.any(axis=1), known.all(axis=1))


def test_sites_of_a_given_number_of_sublattices(columns):
    truth = columns(ratio=0.4)
    for number in (1, 2):
        locator = AtomLocator(n_sublattices=number).fit(truth.image)
        assert locator.n_sublattices_ == number
        assert len(locator.sublattice_brightness_) == number
    assert locator.sublattice_brightness_ == pytest.approx([1, 0.4], abs=0.03)
