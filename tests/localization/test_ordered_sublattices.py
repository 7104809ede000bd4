"""Up to four sublattices without their number, and those of equal brightness."""

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator, AtomSites, PolarizationVector
from sklearn_ferroic._lattice.sublattices import assign_sublattices, label_sublattices

CELL = 28.0
CORNERS = np.array([[0.0, 0.0], [0.5, 0.5], [0.0, 0.5], [0.5, 0.0]])


def crystal(fractions, cell=CELL, n=10, rotation=0.2, seed=0):
    """Return positions with errors, and the number of the column in its cell."""
    index = np.stack(np.mgrid[:n, :n], axis=-1).reshape(-1, 1, 2)
    turn = [[np.cos(rotation), np.sin(rotation)], [-np.sin(rotation), np.cos(rotation)]]
    positions = ((index + fractions) @ (cell * np.array(turn))).reshape(-1, 2)
    positions += np.random.default_rng(seed).normal(0, 0.1, positions.shape)
    return positions, np.tile(np.arange(len(fractions)), n * n)


def brightness_of(kind, heights, scatter, seed=0):
    rng = np.random.default_rng(seed)
    return np.array(heights)[kind] * np.exp(rng.normal(0, scatter, len(kind)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("heights", "n_sublattices"),
    [
        ((1.0, 0.8, 0.6, 0.4), 4),
        ((1.0, 0.75, 0.4, 0.4), 3),
        ((1.0, 1.0, 0.4, 0.28), 3),
        ((1.0, 1.0, 0.4, 0.4), 2),
    ],
)
def test_ordered_crystals_have_up_to_four(heights, n_sublattices, seed):
    positions, kind = crystal(CORNERS, seed=seed)
    brightness = brightness_of(kind, heights, 0.025, seed)
    label = assign_sublattices(positions, brightness, CELL / 2)
    expected = np.unique(-np.array(heights), return_inverse=True)[1][kind]
    assert label.max() + 1 == n_sublattices
    assert np.array_equal(label, expected)


def test_a_gradient_of_brightness_divides_nothing():
    positions, kind = crystal(CORNERS[:2], n=16)
    brightness = brightness_of(kind, (1.0, 0.4), 0.03) * (1 + positions[:, 0] / 500)
    label = assign_sublattices(positions, brightness, CELL / np.sqrt(2))
    assert np.array_equal(label, kind)


@pytest.mark.parametrize("period", [2, 3, 5, 8])
def test_layers_of_another_composition_are_no_sublattices(period):
    positions, kind = crystal(CORNERS[:2], n=16, rotation=0.0)
    layer = np.floor((positions[:, 0] + 1) / (period * CELL)).astype(int) % 2
    brightness = brightness_of(kind, (1.0, 0.35), 0.02) * np.where(layer, 0.8, 1.0)
    label = assign_sublattices(positions, brightness, CELL / np.sqrt(2))
    assert np.array_equal(label, kind)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_random_substitution_is_no_sublattice(share):
    positions, kind = crystal(CORNERS[:2], n=16)
    brightness = brightness_of(kind, (1.0, 0.35), 0.02)
    brightness[np.random.default_rng(1).random(len(kind)) < share] *= 0.82
    label = assign_sublattices(positions, brightness, CELL / np.sqrt(2))
    assert np.array_equal(label, kind)


def honeycomb(seed=0):
    """Return a honeycomb of equal columns, and which of the two each is."""
    index = np.stack(np.mgrid[:12, :12], axis=-1).reshape(-1, 1, 2)
    vectors = np.array([[0.0, 20.0], [17.32, 10.0]])
    positions = index @ vectors + np.array([[0.0, 0.0], [11.547, 0.0]])
    rng = np.random.default_rng(seed)
    positions = positions.reshape(-1, 2) + rng.normal(0, 0.1, (288, 2))
    return positions, np.tile([0, 1], 144)


def test_a_honeycomb_of_equal_columns_has_two_sublattices():
    labels = []
    for seed in range(3):
        positions, kind = honeycomb(seed)
        brightness = np.exp(np.random.default_rng(seed).normal(0, 0.02, len(kind)))
        found = label_sublattices(positions, brightness, 11.547)
        assert found.equivalent
        assert len(np.unique(found.sublattice[kind == 0])) == 1
        assert len(np.unique(found.sublattice[kind == 1])) == 1
        labels.append(found.sublattice)
    assert all(np.array_equal(label, labels[0]) for label in labels)


@pytest.mark.parametrize("moved", [(0.8, 0.0), (-0.3, -0.9), (0.5, 0.6)])
def test_frames_of_equal_brightness_have_the_same_labels(moved):
    directions = []
    for seed in range(4):
        positions, kind = crystal(CORNERS[:2], n=12, seed=seed)
        positions[kind == 1] += moved
        brightness = np.exp(np.random.default_rng(seed).normal(0, 0.03, len(kind)))
        found = label_sublattices(positions, brightness, CELL / np.sqrt(2))
        assert found.equivalent
        assert np.array_equal(found.sublattice, kind) or np.array_equal(
            found.sublattice, 1 - kind
        )
        # Label 1 is displaced to larger columns, or rows.
        sense = 1 if found.sublattice[kind == 1].all() else -1
        directions.append(sense * np.array(moved))
    assert (np.array(directions) == directions[0]).all()
    assert directions[0][np.abs(moved).argmax()] > 0


def equal_columns(moved, seed):
    """Return an image of two equally bright sublattices with shot noise."""
    row, col = np.mgrid[:300, :300]
    image = np.full((300, 300), 20.0)
    for r in np.arange(4.0, 310, 26):
        for c in np.arange(5.0, 310, 26):
            for place in ((r, c), (r + 13 + moved[0], c + 13 + moved[1])):
                square = (row - place[0]) ** 2 + (col - place[1]) ** 2
                image += 200 * np.exp(-square / (2 * 3.5**2))
    return np.random.default_rng(seed).poisson(image)


def test_equal_brightness_is_said_once_and_the_choice_is_consistent():
    for seed in (0, 1):
        with pytest.warns(UserWarning, match="equally bright") as caught:
            sites = AtomLocator().fit_transform(equal_columns((1.0, -1.4), seed))
        assert len(caught) == 1
        assert caught[0].filename == __file__
        of_one = sites.polarization[sites.sublattice == 1]
        mean = np.nanmean(of_one, axis=0)
        assert mean == pytest.approx([-1.0, 1.4], abs=0.05)


def test_equal_columns_without_displacement_are_said_to_have_none():
    image = equal_columns((0.0, 0.0), 0)
    sites = AtomLocator().fit_transform(image)
    with pytest.warns(UserWarning, match="None of the .* sites has a displacement"):
        PolarizationVector().fit(sites)
    with pytest.warns(UserWarning, match="equally bright"):
        sites = AtomLocator(n_sublattices=2).fit_transform(image)
    known = np.isfinite(sites.polarization).all(axis=1)
    assert known.mean() > 0.8
    assert np.abs(sites.polarization[known]).max() < 0.5


def test_sites_of_one_sublattice_that_are_known_do_not_warn():
    positions, kind = crystal(CORNERS[:2])
    polarization = np.full((len(kind), 2), 0.1)
    sites = AtomSites(
        np.zeros((400, 400)), positions, sublattice=kind, polarization=polarization
    )
    PolarizationVector().fit(sites[sites.sublattice == 0])
