"""Names of sublattices where one crystal ends and another begins."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._lattice.sublattices import assign_sublattices
from sklearn_ferroic.datasets import make_ferroic_image

CELL = 14.0
SPACING = CELL / np.sqrt(2)
SIDE = 480.0


def directions(angle):
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def perovskite(angle=0.0, origin=(0.0, 0.0)):
    """Columns of a crystal all over the field of view, and their sublattices."""
    n = int(SIDE / CELL)
    corner = np.stack(np.meshgrid(*[np.arange(-n, n)] * 2), axis=-1).reshape(-1, 2)
    positions = np.concatenate([corner, corner + 0.5]) @ directions(angle)
    return positions * CELL + SIDE / 2 + origin, np.repeat([0, 1], len(corner))


def seen(positions, truth, ratio, scatter, rng):
    """Columns in the field of view as they are found, brightness included."""
    inside = ((positions > 0) & (positions < SIDE)).all(axis=1)
    positions, truth = positions[inside], truth[inside]
    positions = positions + rng.normal(scale=0.03 * SPACING, size=positions.shape)
    crowded = cKDTree(positions).query_pairs(0.65 * SPACING, output_type="ndarray")
    positions = np.delete(positions, crowded[:, 1], axis=0)
    truth = np.delete(truth, crowded[:, 1])
    brightness = np.where(truth == 0, 1, ratio) * rng.normal(1, scatter, len(truth))
    return positions, brightness, truth


def halves(first, second, angle, wave=6.0):
    """One crystal on the one side of a wavy line, another one on the other."""
    across, along = directions(angle)

    def beyond(positions):
        from_middle = positions - SIDE / 2
        return from_middle @ across > wave * np.sin(from_middle @ along / 40)

    before = ~beyond(first[0])
    after = beyond(second[0])
    return [
        np.concatenate([one[before], other[after]])
        for one, other in zip(first, second, strict=True)
    ]


def antiphase(ratio, scatter, seed):
    """One crystal with A and B exchanged beyond a line at a random angle."""
    rng = np.random.default_rng(seed)
    positions, truth = perovskite(rng.uniform(0, np.pi / 2))
    angle = rng.uniform(0, 2 * np.pi)
    both = halves((positions, truth), (positions, 1 - truth), angle)
    return *seen(*both, ratio, scatter, rng), angle


LEVELS = [(0.4, 0.05), (0.85, 0.05), (0.6, 0.2)]


@pytest.mark.parametrize("ratio, scatter", LEVELS)
@pytest.mark.parametrize("seed", range(5))
def test_an_antiphase_boundary_exchanges_names(ratio, scatter, seed):
    positions, brightness, truth, _ = antiphase(ratio, scatter, seed)
    label = assign_sublattices(positions, brightness, SPACING)
    # Beside the boundary brightness alone tells.
    assert np.mean(label == truth) > 0.98


@pytest.mark.parametrize("ratio", [0.4, 0.85])
@pytest.mark.parametrize("rise", [1.5, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_thickness_hides_no_antiphase_boundary(ratio, rise, seed):
    positions, brightness, truth, angle = antiphase(ratio, 0.05, seed)
    brightness *= rise ** ((positions - SIDE / 2) @ directions(angle)[0] / SIDE)
    label = assign_sublattices(positions, brightness, SPACING)
    assert np.mean(label == truth) > 0.97


def test_a_chessboard_of_antiphase_domains():
    right = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        positions, truth = perovskite(rng.uniform(0, np.pi / 2))
        place = positions / (14 * SPACING)
        truth = (truth + np.floor(place).sum(axis=1).astype(int)) % 2
        positions, brightness, truth = seen(positions, truth, 0.4, 0.05, rng)
        label = assign_sublattices(positions, brightness, SPACING)
        place = positions / (14 * SPACING)
        inside = (np.abs(place - np.rint(place)) * 14 > 2).all(axis=1)
        right.append(np.mean((label == truth)[inside]))
    assert np.median(right) > 0.99
    assert min(right) > 0.9


@pytest.mark.parametrize("ratio, scatter", LEVELS)
@pytest.mark.parametrize("seed", range(5))
def test_a_break_in_the_lattice_exchanges_no_names(ratio, scatter, seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, np.pi / 2)
    across, along = directions(angle)
    # A columns stand on both sides, a spacing apart, where B columns would go on.
    last = -0.35 * SPACING * across
    first = last + SPACING * across + rng.uniform(-0.2, 0.2) * SPACING * along
    both = halves(perovskite(angle, last), perovskite(angle, first), angle, wave=0.0)
    positions, brightness, truth = seen(*both, ratio, scatter, rng)
    label = assign_sublattices(positions, brightness, SPACING)
    assert np.mean(label == truth) > 0.98


@pytest.mark.parametrize("ratio, scatter", LEVELS)
@pytest.mark.parametrize("seed", range(5))
def test_a_mosaic_is_named_piece_by_piece(ratio, scatter, seed):
    rng = np.random.default_rng(seed)
    pieces = []
    for piece in np.ndindex(3, 3):
        positions, truth = perovskite(origin=rng.uniform(-CELL / 2, CELL / 2, 2))
        inside = (np.floor(positions / SIDE * 3) == piece).all(axis=1)
        pieces.append((positions[inside], truth[inside]))
    both = map(np.concatenate, zip(*pieces, strict=True))
    positions, brightness, truth = seen(*both, ratio, scatter, rng)
    label = assign_sublattices(positions, brightness, SPACING)
    assert np.mean(label == truth) > 0.98


# Of each material the brightness of A and of B, some exchanged and nearly so.
MATERIALS = [
    ((1, 0.4), (0.4, 0.6)),
    ((1, 0.85), (0.5, 1)),
    ((1, 0.11), (0.08, 0.82)),
    ((0.31, 1.14), (1, 0.39)),
]


@pytest.mark.parametrize("film, substrate", MATERIALS)
@pytest.mark.parametrize("seed", range(5))
def test_another_material_carries_the_names_on(film, substrate, seed):
    rng = np.random.default_rng(seed)
    positions, truth = perovskite(rng.choice([0, np.pi / 4]))
    positions, level, truth = seen(positions, truth, 0.5, 0.0, rng)
    in_film = positions[:, 0] < rng.choice([0.2, 0.55]) * SIDE
    level = np.where(in_film, np.array(film)[truth], np.array(substrate)[truth])
    level = level * rng.normal(1, 0.05, len(level))
    label = assign_sublattices(positions, level, SPACING, 2)
    # Which one is brighter depends on how much there is of either.
    assert max(np.mean(label == truth), np.mean(label != truth)) > 0.995


@pytest.mark.parametrize("width", [1.0, 4.0])
@pytest.mark.parametrize("film, substrate", MATERIALS)
@pytest.mark.parametrize("seed", range(3))
def test_a_diffuse_interface_carries_the_names_on(film, substrate, width, seed):
    rng = np.random.default_rng(seed)
    positions, truth = perovskite(rng.uniform(0, np.pi / 2))
    positions, level, truth = seen(positions, truth, 0.5, 0.0, rng)
    share = 1 / (1 + np.exp((positions[:, 0] - 0.4 * SIDE) / (width / 2 * SPACING)))
    level = share * np.array(film)[truth] + (1 - share) * np.array(substrate)[truth]
    level = level * rng.normal(1, 0.05, len(level))
    label = assign_sublattices(positions, level, SPACING, 2)
    assert max(np.mean(label == truth), np.mean(label != truth)) > 0.99


@pytest.mark.parametrize("film, substrate", MATERIALS)
@pytest.mark.parametrize("seed", range(3))
def test_vacancies_stop_no_names(film, substrate, seed):
    rng = np.random.default_rng(seed)
    positions, truth = perovskite(rng.uniform(0, np.pi / 2))
    positions, level, truth = seen(positions, truth, 0.5, 0.0, rng)
    kept = rng.random(len(truth)) > 0.1
    positions, truth = positions[kept], truth[kept]
    positions = positions + rng.normal(scale=0.04 * SPACING, size=positions.shape)
    in_film = positions[:, 0] < 0.4 * SIDE
    level = np.where(in_film, np.array(film)[truth], np.array(substrate)[truth])
    level = level * rng.normal(1, 0.05, len(level))
    label = assign_sublattices(positions, level, SPACING, 2)
    assert max(np.mean(label == truth), np.mean(label != truth)) > 0.99


@pytest.mark.parametrize("seed", [172, 202, 239, 253])
def test_three_sublattices_are_ordered_within_their_regions(seed):
    # Half of the columns are oxygen: the median of a region is a cation's or oxygen's.
    rng = np.random.default_rng(seed)
    corner = np.stack(np.meshgrid(range(-1, 17), range(16), indexing="ij"), axis=-1)
    corner = corner.reshape(-1, 2)
    places = [corner, corner + 0.5, corner + [0.5, 0], corner + [0, 0.5]]
    positions = 20 * np.concatenate(places)
    truth = np.repeat([0, 1, 2, 2], len(corner))
    inside = (positions[:, 0] >= -1) & (positions[:, 0] < 311)
    positions, truth = positions[inside], truth[inside]
    positions = positions + rng.normal(scale=0.3, size=positions.shape)
    kept = rng.random(len(truth)) > 0.08
    positions, truth = positions[kept], truth[kept]
    level = np.array([1, 0.5, 0.15])[truth] * rng.normal(1, 0.05, len(truth))
    assert np.mean(assign_sublattices(positions, level, 10.0, 3) == truth) > 0.99


# Rows of columns along a planar fault, from one side to the other; each is shifted by
# half a cell against the row before.
FAULTS = {
    "two rows of A": "AB" * 20 + "A" + "AB" * 25,
    "two such faults four rows apart": "AB" * 20 + "A" + "AB" * 2 + "A" + "AB" * 25,
    "an extra row of A in place of B": "AB" * 20 + "AAA" + "BA" * 23,
    "two rows of B": "BA" * 20 + "B" + "BA" * 24,
    "an extra row of B in place of A": "AB" * 20 + "ABBB" + "AB" * 23,
    "at the edge": "AB" * 15 + "A" + "AB" * 30,
    "A2BX4": "BAA" * 30,
}


def rows_along_a_fault(sequence, rng):
    """Columns of rows in a random direction, and their sublattices."""
    kinds = np.array([0 if kind == "A" else 1 for kind in sequence])
    double = np.flatnonzero(np.diff(kinds) == 0)
    places = np.cumsum([0, *np.where(np.diff(kinds) == 0, 0.55, 0.5)])
    row, col = np.meshgrid(np.arange(len(kinds)), np.arange(-60, 60), indexing="ij")
    across = places[row] - places[min(double[0], 41) if len(double) < 9 else 41]
    positions = np.stack([across, col + 0.5 * (row % 2)], axis=-1).reshape(-1, 2)
    positions = CELL * positions @ directions(rng.uniform(0, np.pi)) + SIDE / 2
    return positions, kinds[row].ravel()


@pytest.mark.parametrize("ratio, scatter", [(0.4, 0.05), (0.4, 0.15), (0.6, 0.1)])
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("seed", range(3))
def test_brightness_prevails_at_planar_faults(kind, ratio, scatter, seed):
    rng = np.random.default_rng(seed)
    positions, truth = rows_along_a_fault(FAULTS[kind], rng)
    positions, brightness, truth = seen(positions, truth, ratio, scatter, rng)
    thickness = rng.choice([1.0, 1.5, 2.5]) ** (positions[:, 1] / SIDE)
    label = assign_sublattices(positions, brightness * thickness, SPACING)
    # A row is 2 % of the columns. Where faults are everywhere, brightness is alone and
    # its noise shows.
    assert np.mean(label == truth) > (0.98 if kind == "A2BX4" else 0.99)


@pytest.mark.parametrize("seed", range(2))
def test_images_set_side_by_side_keep_their_names(seed):
    truth = make_ferroic_image("superlattice", shape=(505, 505), random_state=seed)
    noise = np.random.default_rng(seed).poisson(3, (1010, 1515))
    sites = AtomLocator().fit_transform(np.tile(truth.image, (2, 3)) + noise)
    places = 505 * np.array(list(np.ndindex(2, 3)))
    positions = (truth.positions + places[:, None]).reshape(-1, 2)
    distance, nearest = cKDTree(positions).query(sites.positions)
    found = distance < 4
    assert found.sum() > 0.98 * len(positions)
    names = np.tile(truth.sublattice, 6)[nearest[found]]
    assert np.mean(sites.sublattice[found] == names) > 0.995


@pytest.mark.parametrize("aspect", [1.0, 1.27, 1.35, 1.6])
@pytest.mark.parametrize("n", [20, 40])
def test_rows_that_choose_their_names_by_chance_are_one_sublattice(aspect, n):
    rows = 10 * np.stack(np.meshgrid(range(n), range(n)), axis=-1).reshape(-1, 2)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        positions = rows * [1, aspect] + rng.normal(scale=0.3, size=rows.shape)
        brightness = np.exp(rng.normal(scale=0.1, size=len(rows)))
        assert not assign_sublattices(positions, brightness, 10.0).any()
