import itertools

import numpy as np
import pytest

from sklearn_ferroic import AtomSites
from sklearn_ferroic._lattice.neighbor_graph import neighbor_edges
from sklearn_ferroic.metrics import (
    spatial_coherence_score,
    variant_accuracy_score,
    wall_continuity_score,
    wall_straightness_score,
)
from sklearn_ferroic.metrics._label_graph import find_groups


def lattice(n=20, a=(0.0, 20.0), b=(20.0, 0.0), jitter=0.0, seed=0):
    steps = np.argwhere(np.ones((n, n)))
    rng = np.random.default_rng(seed)
    return steps @ np.array([b, a]) + jitter * rng.normal(size=(n * n, 2))


def edges_of(positions, **groups):
    return neighbor_edges(*find_groups(positions, **groups))


@pytest.mark.parametrize("jitter", [0.0, 0.8])
@pytest.mark.parametrize(
    ("a", "b", "n_neighbors"),
    [
        ((0, 20), (20, 0), 4),
        ((0, 20), (38, 0), 4),
        ((7, 19), (19, -7), 4),
        ((0, 20), (20 * np.sin(np.pi / 3), 10), 6),
    ],
    ids=["square", "rectangular", "turned", "hexagonal"],
)
def test_neighbors_are_those_of_the_lattice(a, b, n_neighbors, jitter):
    n = 20
    edges = edges_of(lattice(n, a, b, jitter))
    inner = np.zeros((n, n), bool)
    inner[2:-2, 2:-2] = True
    degree = np.bincount(edges.ravel(), minlength=n * n)
    assert (degree[inner.ravel()] == n_neighbors).all()


def test_no_neighbors_across_gaps_frames_and_sublattices():
    positions = lattice(12)
    gap = np.where(positions[:, 1] > 110, 60.0, 0.0)
    edges = edges_of(positions + [[0, 1]] * gap[:, None])
    assert ((gap[edges[:, 0]]) == gap[edges[:, 1]]).all()
    frame = np.arange(144) % 2
    sublattice = np.arange(144) // 72
    edges = edges_of(positions, frame=frame, sublattice=sublattice)
    for kind in (frame, sublattice):
        assert (kind[edges[:, 0]] == kind[edges[:, 1]]).all()


def test_sites_on_a_line_are_neighbors_in_their_order():
    line = np.array([[0.0, 30], [0, 10], [0, 20], [0, 0]])
    assert {frozenset(pair) for pair in edges_of(line).tolist()} == {
        frozenset(pair) for pair in [(3, 1), (1, 2), (2, 0)]
    }


def test_coherence_chance_is_the_mean_over_all_permutations():
    positions = lattice(2)[:4]
    labels = [0, 0, 1, 1]
    shares = []
    for order in itertools.permutations(range(4)):
        dealt = np.array(labels)[list(order)]
        pairs = edges_of(positions)
        shares.append((dealt[pairs[:, 0]] == dealt[pairs[:, 1]]).mean())
    chance = np.mean(shares)
    assert spatial_coherence_score(positions, labels) == pytest.approx(
        (0.5 - chance) / (1 - chance)
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_labels", [2, 4, 8])
def test_coherence_of_random_labels_is_chance(n_labels, seed):
    positions = lattice(40)
    labels = np.random.default_rng(seed).integers(n_labels, size=1600)
    assert abs(spatial_coherence_score(positions, labels)) < 0.06


@pytest.mark.parametrize("seed", range(3))
def test_coherence_falls_with_the_share_of_wrong_labels(seed):
    rng = np.random.default_rng(seed)
    positions = lattice(30, jitter=0.5, seed=seed)
    labels = (positions[:, 1] > 300) + 2 * (positions[:, 0] > 200)
    scores = []
    for share in (0, 0.05, 0.2, 0.5, 1):
        wrong = rng.random(900) < share
        noisy = np.where(wrong, rng.integers(4, size=900), labels)
        scores.append(spatial_coherence_score(positions, noisy))
    assert scores[0] > 0.9
    assert (np.diff(scores) < 0).all()


def test_scores_do_not_hang_on_order_or_names():
    rng = np.random.default_rng(0)
    positions = lattice(20, jitter=0.5)
    labels = rng.integers(3, size=400)
    order = rng.permutation(400)
    for score in (
        spatial_coherence_score,
        wall_continuity_score,
        wall_straightness_score,
    ):
        expected = score(positions, labels)
        assert score(positions[order], labels[order]) == pytest.approx(expected)
        names = np.array(["z", "a", "m"])[labels]
        assert score(positions, names) == pytest.approx(expected)
        assert score(positions * [[1, -1]] + 3, labels) == pytest.approx(expected)


@pytest.mark.parametrize("nothing", [None, -1, np.nan])
def test_labels_of_mixed_kinds(nothing):
    """As a table's column of objects holds them."""
    positions = lattice(10)
    labels = np.where(positions[:, 1] < 100, 0, 1).astype(object)
    labels[::7] = nothing
    expected = np.where(np.arange(100) % 7 == 0, -1, positions[:, 1] >= 100)
    assert spatial_coherence_score(positions, labels) == (
        spatial_coherence_score(positions, expected)
    )
    names = np.where(positions[:, 1] < 100, "a", "b").astype(object)
    names[::7] = None
    assert variant_accuracy_score(expected, names) == 1


def test_frames_are_not_mixed():
    """A label of the frame tells nothing, however well it parts the sites."""
    positions = np.concatenate([lattice(10), lattice(10) + [[0, 200]]])
    frame = np.repeat([0, 1], 100)
    assert spatial_coherence_score(positions, frame) > 0.9
    assert spatial_coherence_score(positions, frame, frame=frame) == -1
    assert wall_straightness_score(positions, frame) == pytest.approx(1)
    assert wall_straightness_score(positions, frame, frame=frame) == 0
    images = [np.zeros((200, 400))] * 2
    sites = AtomSites(images, positions, frame=frame)
    assert spatial_coherence_score(sites, frame) == -1


def test_unlabelled_sites_agree_with_nobody():
    positions = lattice(20)
    labels = (positions[:, 1] > 190).astype(float)
    noise = np.random.default_rng(0).random(400) < 0.3
    for nothing in (np.nan, -1, -7):
        some = np.where(noise, nothing, labels)
        assert spatial_coherence_score(positions, some) < 0.6
        assert wall_straightness_score(positions, some) < 0.4


@pytest.mark.parametrize(
    "labels", [np.zeros(100), np.full(100, -1), np.full(100, np.nan), np.arange(100)]
)
def test_degenerate_labels_get_the_worst_or_chance(labels):
    positions = lattice(10)
    one_or_none = len(np.unique(labels)) == 1
    coherence = spatial_coherence_score(positions, labels)
    assert coherence == (-1 if one_or_none else 0)
    assert wall_straightness_score(positions, labels) <= (0 if one_or_none else 0.3)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_sites_are_no_error(n):
    positions, labels = lattice(5)[:n], np.arange(n) % 2
    assert -1 <= spatial_coherence_score(positions, labels) <= 1
    assert 0 <= wall_straightness_score(positions, labels) <= 1


@pytest.mark.parametrize("degrees", [0, 10, 26.6, 33, 45, 70, 90])
def test_straight_walls_of_any_direction_score_high(degrees):
    positions = lattice(30)
    normal = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    labels = (positions - positions.mean(axis=0) - 3) @ normal > 0
    assert wall_straightness_score(positions, labels) > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_straightness_falls_with_raggedness(seed):
    rng = np.random.default_rng(seed)
    positions = lattice(30)
    distance = positions[:, 1] - 291
    scores = [
        wall_straightness_score(positions, distance + width * rng.normal(size=900) > 0)
        for width in (0, 15, 40, 1000)
    ]
    assert scores[0] == pytest.approx(1)
    assert (np.diff(scores) < -0.1).all()
    assert scores[-1] < 0.3


def test_curved_walls_score_lower_than_straight_ones():
    positions = lattice(40)
    radius = np.hypot(*(positions - 390).T)
    circles = [wall_straightness_score(positions, radius < r) for r in (40, 120, 350)]
    assert circles[0] < circles[1] < circles[2] < 1


def test_variant_accuracy_is_the_best_of_all_namings():
    rng = np.random.default_rng(0)
    true = rng.integers(4, size=200)
    found = np.where(rng.random(200) < 0.7, (true + 1) % 4, rng.integers(4, size=200))
    best = max(
        (np.array(names)[found] == true).mean()
        for names in itertools.permutations(range(4))
    )
    assert variant_accuracy_score(true, found) == pytest.approx(best)
    assert best > 0.7


def test_variant_accuracy_rules():
    true = np.array([0, 0, 1, 1, 2, 2])
    assert variant_accuracy_score(true, ["c", "c", "a", "a", "b", "b"]) == 1
    # one cluster to a variant, one variant to a cluster
    assert variant_accuracy_score(true, np.zeros(6)) == pytest.approx(1 / 3)
    assert variant_accuracy_score(true, np.arange(6)) == pytest.approx(1 / 2)
    # cells without variant are left out, cells without cluster are wrong
    assert variant_accuracy_score([0, 0, -1, np.nan], [3, 3, 3, 1]) == 1
    assert variant_accuracy_score([0, 0, 1, 1], [3, -1, np.nan, 1]) == 0.5
    assert variant_accuracy_score([-1, -1], [0, 1]) == 0
    assert variant_accuracy_score([0, 1], [-1, -1]) == 0


def test_bad_input_is_refused():
    positions = lattice(4)
    for score in (
        spatial_coherence_score,
        wall_continuity_score,
        wall_straightness_score,
    ):
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            score(positions, [0, 1])
        with pytest.raises(ValueError, match=r"\(row, col\) pairs"):
            score(np.zeros((4, 3)), [0, 1, 0, 1])
        with pytest.raises(ValueError, match="sites contains NaN"):
            score(np.full((4, 2), np.nan), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        variant_accuracy_score([0, 1], [0])
    with pytest.raises(ValueError, match="The 'reach' parameter"):
        wall_straightness_score(positions, np.zeros(16), reach=0)


# Continuity of walls ------------------------------------------------------------------


def square(n=30):
    return 20.0 * np.argwhere(np.ones((n, n)))


@pytest.mark.parametrize("n_wrong", [0, 5, 20])
def test_continuity_counts_walls_around_single_cells(n_wrong):
    positions = square()
    labels = (positions[:, 1] < 300).astype(int)
    # Apart from one another, from the wall and from the border.
    wrong = [30 * row + col for row in range(3, 27, 6) for col in (3, 7, 11, 19, 24)]
    labels[wrong[:n_wrong]] = 2
    n_points, n_walls = 30 + 4 * n_wrong, 1 + n_wrong
    expected = 1 - 4 * n_walls / n_points
    assert wall_continuity_score(positions, labels) == pytest.approx(expected)


def test_continuity_does_not_depend_on_the_direction_of_a_wall():
    positions = square()
    straight = wall_continuity_score(positions, positions[:, 1] < 290)
    oblique = positions @ [np.sin(0.5), np.cos(0.5)]
    # More points, because a step is two of them.
    assert wall_continuity_score(positions, oblique < 400) > straight


def test_continuity_of_several_images_and_of_none():
    positions, frame = np.tile(square(20), (2, 1)), np.repeat([0, 1], 400)
    labels = (positions[:, 1] < 200).astype(int)
    one = wall_continuity_score(positions[:400], labels[:400])
    # Two walls of the same length.
    assert wall_continuity_score(positions, labels, frame=frame) == one
    assert wall_continuity_score(positions[:400], np.zeros(400)) == 0
    rng = np.random.default_rng(0)
    scattered = np.where(rng.random(900) < 0.05, 1, 0)
    assert wall_continuity_score(square(), scattered) < 0.15


@pytest.mark.parametrize("ratio", [1.0, 1.7, 2.5])
def test_continuity_on_rectangular_lattices(ratio):
    positions, number = square(20) * [1, ratio], np.arange(400)
    for labels in (number % 20 < 10, number // 20 < 10):
        assert wall_continuity_score(positions, labels) == pytest.approx(0.8)
