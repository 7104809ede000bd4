"""Lattice vectors around each column."""

import time

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, AtomSites
from sklearn_ferroic._lattice.local_lattice import lattice_vectors
from sklearn_ferroic._lattice.neighbors import cage_displacement
from sklearn_ferroic._lattice.reference_lattice import lattice_positions
from sklearn_ferroic._lattice.sublattices import assign_sublattices
from sklearn_ferroic.datasets import make_ferroic_image


def lattice(n, a, b, motif=((0, 0),)):
    """Columns at all whole multiples of a and b, their sublattices and cells."""
    cells = np.stack(np.meshgrid(range(n), range(n), indexing="ij"), -1).reshape(-1, 2)
    positions = [(cells + np.array(place)) @ np.array([a, b]) for place in motif]
    return (
        np.concatenate(positions),
        np.repeat(np.arange(len(motif)), n * n),
        np.tile(cells, (len(motif), 1)),
    )


def area(vectors):
    return AtomSites(
        np.eye(3), np.ones((len(vectors), 2)), lattice_vectors=vectors
    ).unit_cell_area


def vector(length, degrees):
    """Vector ``(row, col)`` at an angle from +col towards +row."""
    angle = np.deg2rad(degrees)
    return length * np.array([np.sin(angle), np.cos(angle)])


@pytest.mark.parametrize(
    "a, b",
    [
        (vector(20, 0), vector(20, 90)),
        (vector(20, 30), vector(20, 120)),
        (vector(20, -44), vector(20, 46)),
        (vector(20, 10), vector(27, 100)),
        (vector(27, 10), vector(20, 100)),
        (vector(27, -40), vector(20, 50)),
        (vector(20, 5), vector(22, 85)),
        (vector(20, -20), vector(20, 100)),
        (vector(20, 25), vector(20, 145)),
    ],
    ids=[
        "square",
        "30 degrees",
        "-44 degrees",
        "rectangle",
        "long a",
        "long a, turned",
        "oblique",
        "hexagonal",
        "hexagonal, turned",
    ],
)
@pytest.mark.parametrize("motif", [((0, 0),), ((0, 0), (0.5, 0.5))])
def test_vectors_follow_the_convention(a, b, motif):
    # Whichever vectors span the lattice, a is near +col and b turned towards +row.
    for first, second in ((a, b), (b, a), (-a, b), (a, b - a), (a + b, b)):
        positions, label, cells = lattice(9, first, second, motif)
        found = lattice_vectors(positions, label)
        inner = ((cells > 0) & (cells < 8)).all(axis=1)
        assert np.isfinite(found[inner]).all()
        found = found[np.isfinite(found).all(axis=(1, 2))]
        assert found == pytest.approx(np.broadcast_to([a, b], found.shape), abs=1e-9)
    assert area(found) == pytest.approx(a[1] * b[0] - a[0] * b[1])


def test_vectors_need_neighbours():
    positions, label, cells = lattice(6, vector(20, 0), vector(20, 90))
    lonely = np.array([[400.0, 0], [400, 300], [460, 300]])
    found = lattice_vectors(
        np.concatenate([positions, lonely]), np.append(label, [0, 0, 0])
    )
    assert np.isfinite(found[:-3]).all()
    assert np.isnan(found[-3:]).all()
    row = positions[cells[:, 0] == 0]
    assert np.isnan(lattice_vectors(row, np.zeros(6, dtype=int))).all()
    for n in range(4):
        assert np.isnan(lattice_vectors(positions[:n], label[:n])).all()


@pytest.mark.parametrize("degrees", [0, 45, 77])
def test_noise_is_averaged_over_the_cells_around(degrees):
    positions, label, cells = lattice(
        30, vector(20, degrees), vector(20, degrees + 90), ((0, 0), (0.5, 0.5))
    )
    rng = np.random.default_rng(0)
    found = lattice_vectors(positions + rng.normal(0, 0.5, positions.shape), label)
    assert np.isfinite(found).all()
    inner = ((cells > 0) & (cells < 29)).all(axis=1)
    # Nine columns, six of them one cell off: noise over the root of six. At 45° too
    # it is the same pair of vectors everywhere.
    assert np.std(found[inner], axis=0) == pytest.approx(0.5 / np.sqrt(6), rel=0.06)
    assert np.mean(area(found)[inner]) == pytest.approx(400, rel=0.001)


@pytest.mark.parametrize("missing", [0.05, 0.3])
def test_missing_columns_never_give_another_cell(missing):
    positions, label, _ = lattice(40, vector(20, 0), vector(20, 90))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        kept = rng.random(len(label)) >= missing
        moved = positions[kept] + rng.normal(0, 0.3, (kept.sum(), 2))
        found = lattice_vectors(moved, label[kept])
        known = np.isfinite(found).all(axis=(1, 2))
        assert known.mean() > (0.999 if missing < 0.1 else 0.9)
        wrong = np.abs(found[known] - [[0, 20], [20, 0]]).max(axis=(1, 2)) > 2.5
        assert not wrong.any()


def strained_image(strain, seed, side=420, cell=20.0):
    """A film on a substrate: the same along rows, `strain` longer across them."""
    rng = np.random.default_rng(seed)
    interface = side / 2
    n = int(side / cell) + 3
    grid = np.stack(np.meshgrid(range(-1, n), range(-1, n), indexing="ij"), -1)
    grid = grid.reshape(-1, 2).astype(float)
    ideal = cell * np.concatenate([grid, grid + 0.5]) + 3.3
    level = np.repeat([120.0, 60.0], len(grid))
    positions = ideal.copy()
    above = ideal[:, 0] < interface
    positions[above, 0] = interface + (ideal[above, 0] - interface) * (1 + strain)
    rows, cols = (
        np.exp(-((np.arange(side)[:, None] - positions[:, axis]) ** 2) / 12.5)
        for axis in (0, 1)
    )
    return rng.poisson(20 + (rows * level) @ cols.T).astype(np.float32), interface


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strain", [0.02, -0.02])
def test_area_maps_the_strain_of_a_film(strain, seed):
    image, interface = strained_image(strain, seed)
    sites = AtomLocator().fit_transform(image).interior(20)
    cell_area = sites.unit_cell_area
    assert np.isfinite(cell_area).all()
    depth = sites.positions[:, 0] - interface
    substrate, film = cell_area[depth > 25], cell_area[depth < -25]
    assert np.median(substrate) == pytest.approx(400, rel=0.002)
    ratio = film.mean() / substrate.mean()
    assert ratio - 1 == pytest.approx(strain, abs=0.0015)
    # Every single column beyond a cell from the interface tells its side.
    side = np.concatenate([film / 400 - 1 - strain, substrate / 400 - 1])
    assert np.sqrt(np.mean(side**2)) < 0.008
    a_length = np.hypot(*sites.lattice_vectors[:, 0].T)
    assert a_length.mean() == pytest.approx(20, rel=0.001)


@pytest.mark.parametrize("degrees", [-40, -17, 0, 10, 44])
def test_rotation_of_a_located_crystal(columns, degrees):
    # The image's columns are turned from +row towards +col: against our angles.
    truth = columns((300, 300), angle=-np.deg2rad(degrees), seed=1)
    sites = AtomLocator().fit_transform(truth.image)
    turned = np.rad2deg(sites.lattice_rotation)
    known = np.isfinite(turned)
    assert known.mean() > 0.99
    assert np.median(turned[known]) == pytest.approx(degrees, abs=0.05)
    inner = np.rad2deg(sites.interior(25).lattice_rotation)
    assert np.abs(inner - degrees).max() < 1.5
    b = sites.lattice_vectors[known, 1]
    assert np.median(np.rad2deg(np.arctan2(*b.T))) == pytest.approx(
        degrees + 90, abs=0.05
    )


@pytest.mark.parametrize("seed", range(3))
def test_each_of_twelve_grains_has_one_rotation(seed):
    rng = np.random.default_rng(seed)
    middles = np.stack(np.meshgrid(range(4), range(3), indexing="ij"), -1)
    middles = 280 * middles.reshape(-1, 2) + rng.uniform(-60, 60, (12, 2))
    angles = np.deg2rad(np.arange(12) * 7.5 + rng.uniform(-2, 2))
    rng.shuffle(angles)
    positions, label, grain = [], [], []
    for number, (middle, angle) in enumerate(zip(middles, angles, strict=True)):
        degrees = np.rad2deg(angle)
        points, names, _ = lattice(
            60, vector(20, degrees), vector(20, degrees + 90), ((0, 0), (0.5, 0.5))
        )
        points += middle - points.mean(axis=0)
        own = cKDTree(middles).query(points)[1] == number
        own &= np.hypot(*(points - middle).T) < 260
        positions, label = [*positions, points[own]], [*label, names[own]]
        grain.append(np.full(own.sum(), number))
    positions, label, grain = map(np.concatenate, (positions, label, grain))
    crowded = cKDTree(positions).query_pairs(9, output_type="ndarray")[:, 1]
    positions = np.delete(positions, crowded, 0)
    label, grain = np.delete(label, crowded), np.delete(grain, crowded)
    positions = positions + rng.normal(0, 0.25, positions.shape)
    found = lattice_vectors(positions, label)
    rotation = np.arctan2(found[:, 0, 0], found[:, 0, 1])
    _, near = cKDTree(positions).query(positions, k=13)
    inside = (grain[near] == grain[:, None]).all(axis=1)
    assert np.isfinite(rotation[inside]).all()
    for number, angle in enumerate(angles):
        own = rotation[inside & (grain == number)]
        assert len(own) > 60
        quarter = np.pi / 2
        off = np.angle(np.exp(4j * (own - angle))) / 4
        assert np.sqrt(np.mean(off**2)) < 0.01
        # One choice of vectors in the whole grain.
        turns = np.rint((own - angle) / quarter)
        assert np.all(turns == turns[0])
        assert np.abs(area(found)[inside & (grain == number)] / 400 - 1).max() < 0.08


@pytest.mark.parametrize("seed", range(4))
def test_the_core_of_a_dislocation_stands_out(seed):
    truth = make_ferroic_image(
        "film", shape=(480, 480), substrate=0.0, dislocation=True, random_state=seed
    )
    sites = AtomLocator().fit_transform(truth).interior(25)
    core = np.array([239.5, 239.5])
    deviation = np.abs(sites.unit_cell_area / np.nanmedian(sites.unit_cell_area) - 1)
    distance = np.hypot(*(sites.positions - core).T)
    unknown = np.isnan(deviation)
    assert unknown.sum() < 3
    assert np.all(distance[unknown] < 30)
    # The true cells give every cell's area within a few per cent.
    true_area = area(lattice_vectors(truth.positions, truth.sublattice))
    _, nearest = cKDTree(truth.positions).query(sites.positions)
    true_deviation = np.abs(true_area / np.nanmedian(true_area) - 1)[nearest]
    error = np.nanstd(deviation - true_deviation)
    assert error < 0.01
    # The largest strain is at the core within that error, far above all elsewhere.
    at_core = np.nanmax(deviation[distance < 30])
    assert at_core > np.nanmax(deviation) - error
    assert distance[np.nanargmax(deviation)] < 45
    assert np.nanmax(deviation) > 1.5 * np.nanmax(deviation[distance > 60])
    # Dilated below the core, where the half plane is missing, squeezed above.
    below = (distance < 60) & (sites.positions[:, 0] > core[0])
    above = (distance < 60) & (sites.positions[:, 0] < core[0])
    cell_area = sites.unit_cell_area
    assert np.nanmean(cell_area[below]) > 1.01 * np.nanmean(cell_area[above])


def test_located_sites_carry_the_vectors_of_their_sublattice():
    truth = make_ferroic_image(
        shape=(240, 260), drift=0.0, displacement_pm=0, random_state=0
    )
    sites = AtomLocator().fit_transform(truth)
    assert np.isfinite(sites.lattice_vectors).all(axis=(1, 2)).mean() > 0.99
    b_sites = AtomLocator(sublattice=1).fit_transform(truth)
    chosen = sites[sites.sublattice == 1]
    np.testing.assert_array_equal(b_sites.lattice_vectors, chosen.lattice_vectors)
    for label in (0, 1):
        own = sites.lattice_vectors[sites.sublattice == label]
        cell = 0.396 / truth.pixel_size
        assert np.nanmedian(own, axis=0) == pytest.approx(
            np.array([[0, cell], [cell, 0]]), abs=0.03
        )


@pytest.mark.slow
def test_neighbours_and_lattices_cost_microseconds_a_column():
    cost = []
    for n in (70, 220):
        positions, truth, _ = lattice(
            n, vector(20, 20), vector(20, 110), ((0, 0), (0.5, 0.5))
        )
        rng = np.random.default_rng(0)
        positions = positions + rng.normal(0, 0.3, positions.shape)
        brightness = np.where(truth == 0, 1, 0.5) * rng.normal(1, 0.05, len(truth))
        times = []
        for _ in range(3):
            start = time.process_time()
            label = assign_sublattices(positions, brightness, 20 / np.sqrt(2))
            cage_displacement(positions, label, 20 / np.sqrt(2))
            lattice_positions(positions, label)
            lattice_vectors(positions, label)
            times.append((time.process_time() - start) / len(positions))
        cost.append(min(times))
    assert cost[1] < 1.5 * cost[0]
    assert cost[1] < 40e-6
