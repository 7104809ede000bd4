"""Angles and labels of nearby cells."""

import numpy as np
import pytest

from sklearn_ferroic._lattice.neighbor_graph import neighbor_edges, second_neighbors
from sklearn_ferroic.metrics import angle_coherence_score, spatial_coherence_score

GRID = 20.0 * np.argwhere(np.ones((24, 24)))
# one in each quarter, so that neighbours across a wall are a quarter turn apart
VARIANT = np.array([[0, 1], [3, 2]])[tuple((GRID // 240).astype(int).T)]
ANGLE = np.pi / 4 + np.pi / 2 * VARIANT


def noisy(angle, width, seed=0):
    return angle + np.random.default_rng(seed).normal(0, width, len(angle))


def test_second_neighbors_of_a_square_lattice():
    edges = neighbor_edges(GRID, np.zeros(len(GRID), dtype=int))
    pairs = second_neighbors(GRID, edges)
    assert len(pairs) == 2 * 24 * 22
    offset = np.abs(GRID[pairs[:, 0]] - GRID[pairs[:, 1]])
    assert set(map(tuple, offset.tolist())) == {(0.0, 40.0), (40.0, 0.0)}


def test_second_neighbors_of_a_jittered_hexagonal_lattice():
    row, col = np.mgrid[:12, :12].reshape(2, -1)
    points = np.stack([row * np.sqrt(3) / 2, col + row / 2], axis=1) * 20
    points += np.random.default_rng(0).normal(0, 0.5, points.shape)
    pairs = second_neighbors(points, neighbor_edges(points, np.zeros(144, dtype=int)))
    length = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T)
    np.testing.assert_allclose(length, 40, atol=4)
    assert len(pairs) == pytest.approx(3 * 12 * 10, rel=0.1)


def test_perfect_domains_lose_only_their_walls():
    # Of 22 pairs along a line of 24 cells, 2 lie across the one wall; there the
    # direction is off by a quarter turn, whose square is 2, against a spread of 1.
    expected = 1 - 2 * 2 / 22
    assert angle_coherence_score(GRID, VARIANT, ANGLE) == pytest.approx(expected)
    names = np.array(["a", "b", "c", "d"])[VARIANT]
    turned = ANGLE + 3.1  # any zero of the angle
    assert angle_coherence_score(GRID, names, turned) == pytest.approx(expected)


def test_joined_variants_score_lower_though_they_are_coherent():
    joined = np.minimum(VARIANT, 2)
    assert spatial_coherence_score(GRID, joined) > 0.9
    score = angle_coherence_score(GRID, VARIANT, ANGLE)
    assert angle_coherence_score(GRID, joined, ANGLE) < score - 0.2


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_and_wrong_angles_lower_the_score(seed):
    rng = np.random.default_rng(seed)
    scores = []
    for share in (0, 0.1, 0.3, 1):
        labels = np.where(rng.random(len(GRID)) < share, rng.integers(4, size=576), 0)
        labels = np.where(labels, (VARIANT + labels) % 4, VARIANT)
        scores.append(angle_coherence_score(GRID, labels, ANGLE))
    assert (np.diff(scores) < -0.05).all()
    scores = [
        angle_coherence_score(GRID, VARIANT, noisy(ANGLE, width, seed))
        for width in (0, 0.3, 1, 3)
    ]
    assert (np.diff(scores) < -0.05).all()
    dealt = rng.permutation(VARIANT)
    assert abs(angle_coherence_score(GRID, dealt, rng.permutation(ANGLE))) < 0.1


def test_antipolar_lamellae_are_coherent():
    lamella = (GRID[:, 1] // 20 % 2).astype(int)
    angle = np.pi * lamella
    assert spatial_coherence_score(GRID, lamella) < 0.1
    assert angle_coherence_score(GRID, lamella, angle) == pytest.approx(1)


def test_uncertain_cells_count_little():
    rng = np.random.default_rng(0)
    substrate = GRID[:, 0] > 300
    angle = np.where(substrate, rng.uniform(-np.pi, np.pi, 576), ANGLE)
    labels = np.where(substrate, 9, VARIANT)
    width = np.where(substrate, 3.0, 0.05)
    plain = angle_coherence_score(GRID, labels, angle)
    weighed = angle_coherence_score(GRID, labels, angle, angle_std=width)
    alone = angle_coherence_score(
        GRID[~substrate], VARIANT[~substrate], angle[~substrate]
    )
    assert plain < alone - 0.1
    assert weighed == pytest.approx(alone, abs=0.05)


@pytest.mark.parametrize(
    ("labels", "angle"),
    [
        (np.zeros(576), ANGLE),
        (np.full(576, -1), ANGLE),
        (VARIANT, np.zeros(576)),
        (VARIANT, np.full(576, np.nan)),
    ],
)
def test_where_nothing_can_be_told_it_is_the_worst(labels, angle):
    assert angle_coherence_score(GRID, labels, angle) == -1


@pytest.mark.parametrize("n_sites", [0, 1, 2])
def test_too_few_sites_are_the_worst(n_sites):
    few = slice(n_sites)
    assert angle_coherence_score(GRID[few], VARIANT[few], ANGLE[few]) == -1


def test_missing_labels_and_angles_spoil_nothing():
    score = angle_coherence_score(GRID, VARIANT, ANGLE)
    hole = np.arange(576) % 50 == 0
    without_angle = angle_coherence_score(GRID, VARIANT, np.where(hole, np.nan, ANGLE))
    assert without_angle == pytest.approx(score, abs=0.02)
    without_label = angle_coherence_score(GRID, np.where(hole, -1, VARIANT), ANGLE)
    assert score - 0.1 < without_label < score


def test_images_are_apart():
    frame = np.repeat([0, 1], 576)
    both = np.concatenate([GRID, GRID])
    labels, angle = np.tile(VARIANT, 2), np.tile(ANGLE, 2)
    assert angle_coherence_score(both, labels, angle, frame=frame) == pytest.approx(
        angle_coherence_score(GRID, VARIANT, ANGLE)
    )


def test_lengths_have_to_agree():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        angle_coherence_score(GRID, VARIANT, ANGLE[1:])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        angle_coherence_score(GRID, VARIANT, ANGLE, angle_std=ANGLE[1:])
