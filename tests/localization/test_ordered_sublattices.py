"""Up to four sublattices without their number, and those of equal brightness."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

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


@pytest.mark.parametrize("difference", [0.12, 0.3])
def test_a_given_number_is_as_right_as_the_one_found(difference):
    # rows of A columns of two kinds; B columns, alike, are not divided instead
    corners = np.array([[0.0, 0.0], [0.0, 0.5], [0.5, 0.0], [0.5, 0.5]])
    positions, number = crystal(np.concatenate([corners, corners + 0.25]), n=7)
    expected = np.array([0, 0, 1, 1, 2, 2, 2, 2])[number]
    brightness = brightness_of(expected, (1.0, 1 - difference, 0.4), 0.03)
    for n_sublattices in ("auto", 3):
        label = assign_sublattices(
            positions, brightness, CELL / np.sqrt(8), n_sublattices
        )
        assert np.array_equal(label, expected)


@pytest.mark.parametrize("n", [5, 12])
@pytest.mark.parametrize("scatter", [0.02, 0.05])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2)])
@pytest.mark.parametrize(
    "heights", [(1.0, 0.8, 0.6, 0.4), (1.0, 0.5, 0.25, 0.125), (1.0, 0.7, 0.5, 0.4)]
)
def test_four_levels_of_a_square_cell_in_any_order(heights, order, scatter, n):
    # In one order the two diagonals of the cell are equally bright on average.
    heights = np.array(heights)[list(order)]
    for seed in range(3):
        positions, kind = crystal(CORNERS, n=n, seed=seed)
        brightness = brightness_of(kind, heights, scatter, seed)
        label = assign_sublattices(positions, brightness, CELL / 2)
        assert np.array_equal(label, np.argsort(np.argsort(-heights))[kind])


def test_four_levels_in_an_image():
    positions, kind = crystal(CORNERS, n=9, rotation=0.0)
    positions = positions + 15
    row, col = np.mgrid[:270, :270]
    image = np.full((270, 270), 20.0)
    for (r, c), height in zip(
        positions, np.array([1, 0.35, 0.8, 0.55])[kind], strict=True
    ):
        image += 200 * height * np.exp(-((row - r) ** 2 + (col - c) ** 2) / 18)
    image = np.random.default_rng(0).poisson(image)
    locator = AtomLocator()
    sites = locator.fit_transform(image)
    assert locator.n_sublattices_ == 4
    assert len(sites) == len(positions)
    distance, nearest = cKDTree(positions).query(sites.positions)
    assert distance.max() < 1
    assert np.array_equal(sites.sublattice, np.array([0, 3, 1, 2])[kind[nearest]])
    assert locator.sublattice_brightness_ == pytest.approx(
        [1, 0.8, 0.55, 0.35], abs=0.04
    )


@pytest.mark.parametrize("scatter", [0.02, 0.05])
def test_stripes_of_two_levels_are_two_sublattices(scatter):
    for seed in range(3):
        positions, kind = crystal(CORNERS, n=10, seed=seed)
        brightness = brightness_of(kind, (1.0, 0.6, 1.0, 0.6), scatter, seed)
        label = assign_sublattices(positions, brightness, CELL / 2)
        assert np.array_equal(label, kind % 2)


@pytest.mark.parametrize("scatter", [0.02, 0.1, 0.3])
def test_one_kind_with_scatter_is_not_divided(scatter):
    hexagonal = np.stack(np.mgrid[:14, :14], axis=-1).reshape(-1, 2)
    hexagonal = hexagonal @ np.array([[0.0, 20.0], [17.32, 10.0]])
    for seed in range(6):
        rng = np.random.default_rng(seed)
        square, _ = crystal(CORNERS[:1], cell=14.0, n=12, seed=seed)
        for positions in (square, hexagonal + rng.normal(0, 0.2, hexagonal.shape)):
            brightness = np.exp(rng.normal(0, scatter, len(positions)))
            label = assign_sublattices(positions, brightness, 14.0)
            assert not label.any()


@pytest.mark.parametrize("factor", [0.8, 0.5])
@pytest.mark.parametrize("period", [1.5, 3, 5])
def test_layers_of_half_periods_are_no_sublattices(period, factor):
    positions, kind = crystal(CORNERS[:2], n=16, rotation=0.0)
    layer = np.floor((positions[:, 0] + 1) / (period * CELL)).astype(int) % 2
    brightness = brightness_of(kind, (1.0, 0.35), 0.02) * np.where(layer, factor, 1.0)
    label = assign_sublattices(positions, brightness, CELL / np.sqrt(2))
    assert np.array_equal(label, kind)


def test_alternating_heights_of_a_tilted_crystal_are_no_sublattices():
    # As in an image of DyScO3, where heights alternate by 2.5 times their scatter.
    for seed in range(4):
        positions, kind = crystal(CORNERS, n=12, seed=seed)
        brightness = brightness_of(kind, (1.0, 0.86, 0.4, 0.344), 0.07, seed)
        label = assign_sublattices(positions, brightness, CELL / 2)
        assert np.array_equal(label, kind // 2)


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


def interrupted_order(domain, ratio, seed, n=24):
    """Return a perovskite whose B columns are ordered in domains of some cells."""
    positions, kind = crystal(CORNERS[:2], n=n, seed=seed)
    rng = np.random.default_rng(seed)
    index = np.repeat(np.stack(np.mgrid[:n, :n], -1).reshape(-1, 2), 2, axis=0)
    n_domains = n // domain + 2
    phase = rng.integers(0, 2, (n_domains, n_domains))
    phase = phase[tuple(((index + rng.integers(0, domain, 2)) // domain).T)]
    is_faint = (index.sum(axis=1) + phase) % 2 == 1
    height = np.where(kind == 0, 1.0, np.where(is_faint, 0.4 * ratio, 0.4))
    return positions, height * np.exp(rng.normal(0, 0.03, len(kind)))


@pytest.mark.parametrize("scatter", [0.01, 0.02])
@pytest.mark.parametrize(
    ("heights", "sublattice"),
    [
        ((1.0, 0.95, 0.4, 0.4), 0),
        ((1.0, 1.0, 0.4, 0.38), 1),
        ((1.0, 0.93, 0.4, 0.4), 0),
    ],
)
def test_small_differences_are_reported(heights, sublattice, scatter):
    for seed in range(3):
        positions, kind = crystal(CORNERS, n=12, seed=seed)
        brightness = brightness_of(kind, heights, scatter, seed)
        labels = label_sublattices(positions, brightness, CELL / 2)
        assert np.array_equal(labels.sublattice, kind // 2)
        (found,) = labels.undivided
        assert found.sublattice == sublattice
        assert found.is_periodic and found.is_clear
        truth = 1 - min(heights[1], heights[3] / heights[2])
        assert found.difference == pytest.approx(truth, abs=0.012)
        # What the warning advises.
        label = assign_sublattices(positions, brightness, CELL / 2, 3)
        if scatter == 0.01:
            expected = np.unique(-np.array(heights), return_inverse=True)[1][kind]
            assert (label == expected).mean() > 0.99


@pytest.mark.parametrize(
    ("domain", "ratio"), [(3, 0.7), (3, 0.85), (4, 0.7), (4, 0.85), (6, 0.85)]
)
def test_interrupted_order_is_reported(domain, ratio):
    for seed in range(3):
        positions, brightness = interrupted_order(domain, ratio, seed)
        labels = label_sublattices(positions, brightness, CELL / np.sqrt(2))
        (found,) = labels.undivided
        assert found.sublattice == 1
        assert not found.is_periodic and found.is_clear
        assert found.difference == pytest.approx(1 - ratio, abs=0.03)


@pytest.mark.parametrize("scatter", [0.02, 0.1, 0.3])
def test_one_species_is_not_reported(scatter):
    hexagonal = np.stack(np.mgrid[:16, :16], axis=-1).reshape(-1, 2)
    hexagonal = hexagonal @ np.array([[0.0, 20.0], [17.32, 10.0]])
    for seed in range(8):
        rng = np.random.default_rng(seed)
        square, _ = crystal(CORNERS[:1], cell=14.0, n=16, seed=seed)
        for positions in (square, hexagonal + rng.normal(0, 0.2, hexagonal.shape)):
            brightness = np.exp(rng.normal(0, scatter, len(positions)))
            assert not label_sublattices(positions, brightness, 14.0).undivided
        positions, kind = crystal(CORNERS[:2], n=14, seed=seed)
        brightness = brightness_of(kind, (1.0, 0.4), scatter / 3, seed)
        brightness *= 1 + positions[:, 0] / 500
        brightness[rng.random(len(kind)) < 0.3] *= 0.82
        assert not label_sublattices(positions, brightness, CELL / np.sqrt(2)).undivided
        layer = np.floor((positions[:, 0] + 1) / ((2 + seed) * CELL)).astype(int) % 2
        brightness = brightness_of(kind, (1.0, 0.4), 0.02) * np.where(layer, 0.8, 1.0)
        assert not label_sublattices(positions, brightness, CELL / np.sqrt(2)).undivided


def test_alternating_heights_of_a_tilted_crystal_are_reported_as_such():
    for seed in range(4):
        positions, kind = crystal(CORNERS, n=12, seed=seed)
        brightness = brightness_of(kind, (1.0, 0.88, 0.4, 0.352), 0.07, seed)
        found = label_sublattices(positions, brightness, CELL / 2).undivided
        assert [part.sublattice for part in found] == [0, 1]
        assert not any(part.is_clear for part in found)


def image_of(positions, height):
    """Return an image of round columns with shot noise."""
    row, col = np.mgrid[:290, :290]
    image = np.full(row.shape, 0.1)
    for (r, c), peak in zip(positions, height, strict=True):
        image += peak * np.exp(-((row - r) ** 2 + (col - c) ** 2) / 18)
    return np.random.default_rng(0).poisson(400 * image)


def test_one_warning_says_that_sublattices_may_be_several():
    positions, kind = crystal(CORNERS, n=9, rotation=0.0)
    heights = np.array([1.0, 1.0, 0.4, 0.376])[kind]
    image = image_of(positions + 15, heights)
    with pytest.warns(UserWarning, match="Not all sublattices") as caught:
        sites = AtomLocator().fit_transform(image)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    assert "sublattice 1 alternates from column to column by" in text
    assert "n_sublattices=3" in text
    assert "n_sublattices=2 avoids" in text
    ((found,),) = sites.quality().undivided
    assert found.difference == pytest.approx(0.06, abs=0.015)
    assert "sublattice 1 alternates" in sites.quality().summary()
    for number in (2, 3):
        locator = AtomLocator(n_sublattices=number)
        sites = locator.fit_transform(image)
        assert locator.n_sublattices_ == number
    _, nearest = cKDTree(positions + 15).query(sites.positions)
    assert (sites.sublattice == np.array([0, 0, 1, 2])[kind[nearest]]).mean() > 0.97


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
