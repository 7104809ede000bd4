"""Domains and walls on rectangular and hexagonal lattices, and with vacancies."""

import numpy as np
import pytest

from sklearn_ferroic import AtomSites
from sklearn_ferroic.domains import find_domains, find_walls, label_smoothing
from sklearn_ferroic.feature_extraction import measure_lattice


def rectangular(ratio, n=30):
    index = np.indices((n, n)).reshape(2, -1).T
    positions = index * [10 * ratio, 10.0] + 5
    shape = int(10 * ratio * n) + 1, 10 * n
    return AtomSites(np.zeros(shape, np.float32), positions), index


def hexagonal(n=30):
    i, j = np.indices((n, n)).reshape(2, -1)
    positions = np.column_stack([np.sqrt(75) * i, 10 * (j + 0.5 * (i % 2))]) + 10
    return AtomSites(np.zeros((280, 330), np.float32), positions), np.stack([i, j], 1)


def opposite(inside, axis, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    sign = np.where(inside, 1.0, -1.0)[:, None]
    return sign * np.asarray(axis, float) + rng.normal(0, noise, (len(inside), 2))


@pytest.mark.parametrize("located", [False, True])
@pytest.mark.parametrize("ratio", [1.0, 1.2, 1.3, np.sqrt(2), 1.6, 2.0])
def test_rectangular_lattice(ratio, located):
    sites, index = rectangular(ratio)
    sites = measure_lattice(sites) if located else sites
    right, below = index[:, 1] > 14, index[:, 0] > 14
    vectors = opposite(right, (1, 0))
    domains = find_domains(sites, right, vectors=vectors)
    assert domains.n_cells.tolist() == [450, 450]
    np.testing.assert_allclose(domains.area_px2, 450 * 100 * ratio, rtol=1e-6)
    np.testing.assert_allclose(domains.perimeter_px, 300 + 600 * ratio, rtol=1e-6)
    walls = find_walls(sites, right, vectors)
    assert walls.length_px.tolist() == pytest.approx([290 * ratio], rel=0.005)
    assert walls.n_cells.tolist() == [29]
    assert walls.charge.tolist() == ["neutral"]
    walls = find_walls(sites, below, opposite(below, (1, 0)))
    assert walls.length_px.tolist() == pytest.approx([290], rel=0.005)
    assert walls.n_cells.tolist() == [29]
    assert walls.charge.tolist() == ["tail-to-tail"]


def test_smoothing_uses_all_neighbours_of_a_rectangular_lattice():
    wrong = {}
    for ratio in (1.0, np.sqrt(2)):
        sites, index = rectangular(ratio)
        truth = (index[:, 1] > 14).astype(int)
        flipped = np.random.default_rng(0).random(900) < 0.1
        smoothed = label_smoothing(sites, truth ^ flipped)
        wrong[ratio] = (smoothed != truth).sum()
    assert wrong[np.sqrt(2)] == wrong[1.0] < 10


def test_area_and_perimeter_on_a_hexagonal_lattice():
    sites, index = hexagonal()
    # Boundaries along the rows of the lattice: a step of 10 px has two sides of the
    # hexagon, 10/√3 px each.
    inside = index[:, 0] < 10
    domains = find_domains(sites, inside, vectors=opposite(inside, (1, 0)))
    np.testing.assert_allclose(
        domains.area_px2, [600 * 10 * np.sqrt(75), 300 * 10 * np.sqrt(75)], rtol=1e-6
    )
    side = 10 / np.sqrt(3)
    # 30 cells with two sides at the top and the bottom; at the left and right ends of
    # the rows one side or three in turn.
    rows = np.array([20, 10])
    expected = side * (2 * 2 * 30 + 2 * 2 * rows - 2)
    np.testing.assert_allclose(domains.perimeter_px, expected, rtol=1e-3)
    walls = find_walls(sites, inside, opposite(inside, (0, 1)))
    assert len(walls) == 1
    assert walls.charge[0] == "neutral"
    assert walls.length_px[0] == pytest.approx(290, abs=8)
    assert walls.n_cells[0] in (29, 30)


@pytest.mark.parametrize("missing", [0.02, 0.05, 0.1])
def test_vacancies_divide_no_wall(missing):
    sites, index = rectangular(1.0)
    right = index[:, 1] > 14
    for seed in range(6):
        vectors = opposite(right, (1, 0), seed=seed)
        kept = np.random.default_rng(seed).random(900) >= missing
        walls = find_walls(sites[kept], right[kept], vectors[kept])
        assert walls.n_cells.tolist() == [29]
        assert np.abs(walls.attrs["polylines"][0][:, 1] - 150).max() < 5
        assert walls.attrs["wall"].shape == (kept.sum(),)
        domains = find_domains(sites[kept], right[kept], vectors=vectors[kept])
        assert domains.n_cells.sum() == kept.sum()
        # Missing cells at the border of the image are no vacancies.
        assert domains.area_px2.sum() == pytest.approx(90_000, rel=0.25 * missing)
        number = domains.attrs["domain"]
        assert np.bincount(number).tolist() == domains.n_cells.tolist()


@pytest.mark.parametrize("axis", [(1, 0), (0, 1), (-1, 0), (0.7, 0.7)])
def test_an_island_between_opposite_vectors_has_no_net_charge(axis):
    sites, index = rectangular(1.0, n=50)
    inside = np.hypot(*(index - 24.5).T) < 12
    for seed in range(3):
        walls = find_walls(sites, inside, opposite(inside, axis, seed=seed))
        assert walls.closed.tolist() == [True]
        assert walls.charge.tolist() == ["undetermined"]
        assert walls.net_normal[0] == 0
        # |cos| of the angle between axis and normal exceeds 0.35 over 77 % of a circle.
        half = np.arccos(0.35) / np.pi
        assert walls.head_to_head_fraction[0] == pytest.approx(half, abs=0.06)
        assert walls.tail_to_tail_fraction[0] == pytest.approx(half, abs=0.06)


def test_net_normal_is_the_mean_along_a_curved_wall():
    sites, index = rectangular(1.0, n=40)
    inside = np.hypot(*(index - [0, 20]).T) < 12
    along, across = (
        find_walls(sites, inside, opposite(inside, axis)) for axis in ((1, 0), (0, 1))
    )
    # The mean of the sine over half a turn.
    assert abs(along.net_normal[0]) == pytest.approx(2 / np.pi, abs=0.03)
    assert along.charge[0] == "head-to-head"
    assert abs(across.net_normal[0]) < 0.03
    assert across.charge[0] == "undetermined"
    assert across.head_to_head_fraction[0] == pytest.approx(0.385, abs=0.06)
    assert across.tail_to_tail_fraction[0] == pytest.approx(0.385, abs=0.06)


@pytest.mark.parametrize("half_width", [1, 2, 3])
def test_a_class_of_the_wall_is_divided_among_its_sides(half_width):
    sites, index = rectangular(1.0)
    x = index[:, 1] - 14.5
    for seed in range(3):
        rng = np.random.default_rng(seed)
        vectors = np.tanh(x)[:, None] * [1, 0] + rng.normal(0, 0.1, (900, 2))
        labels = np.where(x < -half_width, 0, np.where(x > half_width, 2, 1))
        walls = find_walls(sites, labels, vectors)
        assert walls[["label_a", "label_b"]].to_numpy().tolist() == [[0, 2]]
        assert walls.wall_type.tolist() == ["180"]
        assert walls.n_cells.tolist() == [29]
        assert walls.width_px[0] == pytest.approx(20, rel=0.2)
        assert np.abs(walls.attrs["polylines"][0][:, 1] - 150).max() < 3
        domains = find_domains(sites, labels, vectors=vectors)
        assert domains.n_cells.sum() == 900
        assert sorted(domains.label) == [0, 2]


def test_a_narrow_layer_that_is_no_wall_stays():
    sites, index = rectangular(1.0)
    x = index[:, 1] - 14.5
    labels = np.where(x < -2, 0, np.where(x > 2, 2, 1))
    rng = np.random.default_rng(0)
    for layer in ((0, 0), (0, 1)):
        vectors = np.array([[-1, 0], layer, [1, 0]], float)[labels]
        vectors += rng.normal(0, 0.1, (900, 2))
        domains = find_domains(sites, labels, vectors=vectors, significance=None)
        assert sorted(domains.label) == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "charge"), [("radial", "head-to-head"), ("circulating", "neutral")]
)
def test_bubble_whose_vectors_turn_with_the_wall(kind, charge):
    sites, index = rectangular(1.0, n=50)
    offset = index - 24.5
    distance = np.hypot(*offset.T)
    out = offset / distance[:, None]
    axis = out if kind == "radial" else np.column_stack([out[:, 1], -out[:, 0]])
    for seed in range(3):
        rng = np.random.default_rng(seed)
        # The outer vectors point inwards.
        vectors = -axis * np.tanh(distance - 12)[:, None]
        vectors += rng.normal(0, 0.1, vectors.shape)
        walls = find_walls(sites, distance < 12, vectors)
        assert walls.closed.tolist() == [True]
        assert walls.wall_type.tolist() == ["180"]
        assert walls.charge.tolist() == [charge]
        assert abs(walls.net_normal[0]) == pytest.approx(
            float(kind == "radial"), abs=0.1
        )
        assert walls.head_to_head_fraction[0] == float(kind == "radial")
        assert walls.width_px[0] == pytest.approx(20, rel=0.2)
        reverse = find_walls(sites, distance < 12, -vectors)
        assert reverse.charge[0] == charge.replace("head-to-head", "tail-to-tail")
