"""Lattices of several crystals in one image: share, vectors, angle and region."""

import re
from pathlib import Path

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator, AtomSites, Motif
from sklearn_ferroic.datasets import load_image

from .feature_extraction._crystals import draw, make_crystal

SIZE = 360
CENTERED = ((0.0, 0.0), (0.5, 0.5))
NI_M3B2 = Path(__file__).parents[1] / ".." / "shared" / "data" / "real" / "ni_m3b2.tif"


def crystal(a, b, rotation_deg, part, basis=CENTERED, seed=0):
    """Return positions with errors, and labels, of a crystal in a part of the image."""
    angle = np.deg2rad(rotation_deg)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    # From +col towards +row.
    vectors = np.array([[0.0, a], [b, 0.0]]) @ np.array(turn)
    index = np.stack(np.mgrid[-60:60, -60:60], axis=-1).reshape(-1, 1, 2)
    positions = ((index + np.array(basis)) @ vectors).reshape(-1, 2) + SIZE / 2
    label = np.tile(np.arange(len(basis)), len(index))
    inside = ((positions > 3) & (positions < SIZE - 3)).all(axis=1) & part(positions)
    noise = np.random.default_rng(seed).normal(0, 0.15, (inside.sum(), 2))
    return positions[inside] + noise, label[inside]


def above(positions):
    return positions[:, 0] < 150


def below(positions):
    return positions[:, 0] > 156


def sites_of(*crystals, **fields):
    positions, label = (np.concatenate(part) for part in zip(*crystals, strict=True))
    return AtomSites(np.zeros((SIZE, SIZE)), positions, sublattice=label, **fields)


@pytest.mark.parametrize("seed", range(3))
def test_film_and_substrate_have_their_own_lattices(seed):
    film = crystal(18.0, 18.6, 0.0, above, seed=seed)
    substrate = crystal(24.0, 17.0, 12.0, below, ((0, 0),), seed)
    sites = sites_of(film, substrate, pixel_size=0.02)
    lattices = sites.quality().lattices
    assert len(lattices) == 2
    order = [0, 1] if len(film[0]) > len(substrate[0]) else [1, 0]
    expected = [
        (18.0, 18.6, 0.0, film),
        (24.0, 17.0, 12.0, substrate),
    ]
    first = 0
    for number, (a, b, rotation, own) in zip(order, expected, strict=True):
        lengths = lattices.lengths[number]
        assert sorted(lengths) == pytest.approx(sorted([a, b]), rel=0.005)
        assert np.degrees(lattices.angle[number]) == pytest.approx(90, abs=0.5)
        turned = (np.degrees(lattices.rotation[number]) - rotation + 45) % 90 - 45
        assert turned == pytest.approx(0, abs=0.5)
        assert lattices.share[number] == pytest.approx(
            len(own[0]) / len(sites), abs=0.03
        )
        rows = own[0][:, 0].min(), own[0][:, 0].max()
        assert lattices.bounds[number, :2] == pytest.approx(rows, abs=12)
        assert lattices.vectors_nm[number] == pytest.approx(
            0.02 * lattices.vectors[number]
        )
        label = lattices.of_site[first : first + len(own[0])]
        assert np.mean(label == number) > 0.95
        first += len(own[0])


@pytest.mark.parametrize(
    ("rotation", "factor", "n_lattices"),
    [(0, 1.0, 1), (2, 1.0, 1), (0, 1.03, 1), (5, 1.0, 2), (10, 1.0, 2), (0, 1.1, 2)],
)
def test_grains_differ_from_a_few_percent_on(rotation, factor, n_lattices):
    sites = sites_of(
        crystal(18.0, 18.0, 0.0, above),
        crystal(18.0 * factor, 18.0 * factor, rotation, below),
    )
    lattices = sites.quality().lattices
    assert len(lattices) == n_lattices
    assert lattices.share.sum() > 0.95
    assert np.isnan(lattices.vectors_nm).all()


def test_separate_crystals_of_one_orientation_have_one_lattice():
    sites = sites_of(
        crystal(18.0, 18.0, 5.0, lambda p: p[:, 1] < 120),
        crystal(18.0, 18.0, 5.0, lambda p: p[:, 1] > 240),
    )
    lattices = sites.quality().lattices
    assert len(lattices) == 1
    assert lattices.share[0] > 0.98


def test_images_are_listed_one_by_one_in_tables_and_text():
    one = sites_of(crystal(18.0, 18.0, 0.0, lambda p: p[:, 0] > 0), pixel_size=0.02)
    two = sites_of(crystal(20.0, 20.0, 0.0, above), crystal(16.0, 16.0, 20.0, below))
    quality = AtomSites.concatenate([one, two]).quality()
    assert list(quality.lattices.frame) == [0, 1, 1]
    assert list(quality.to_frame()["n_lattices"]) == [1, 2]
    table = quality.lattices.to_frame()
    assert list(table["frame"]) == [0, 1, 1]
    assert table["a_nm"][0] == pytest.approx(0.36, rel=0.005)
    assert np.isnan(table["a_nm"][1])
    assert table["angle_deg"].to_numpy() == pytest.approx([90] * 3, abs=0.5)
    text = quality.summary()
    assert "lattice 2:" in text
    assert re.search(r"100\.0% of the sites, a × b 1[78]\.\d\d × ", text)
    assert "nm), angle" in text


@pytest.mark.parametrize("n", [0, 1, 3, 11])
def test_few_sites_have_no_lattice(n):
    sites = AtomSites(np.eye(40), np.linspace(5, 30, max(n, 1))[:n, None] * [1.0, 1.0])
    lattices = sites.quality().lattices
    assert len(lattices) == 0
    assert list(lattices.of_site) == [-1] * n
    assert len(lattices.to_frame()) == 0


@pytest.mark.parametrize("dose", [500, 60])
def test_film_on_another_structure_in_an_image(dose):
    parts = []
    for name, rotation, spacing in (
        ("perovskite_001", 0.0, 13.0),
        ("rock_salt_110", 20.0, 13.0),
    ):
        part = make_crystal(
            Motif.from_preset(name),
            size=SIZE,
            spacing=spacing,
            rotation=rotation,
            noise=0.0,
            strain=0.0,
            vacancies=0.0,
        )
        own = above(part.positions) if not parts else below(part.positions)
        parts.append(part._replace(positions=part.positions[own]))
        parts[-1] = parts[-1]._replace(intensity=part.intensity[own])
    whole = parts[0]._replace(
        positions=np.r_[parts[0].positions, parts[1].positions],
        intensity=np.r_[parts[0].intensity, parts[1].intensity],
    )
    image = draw(whole, size=SIZE, sigma=2.4, dose=dose)
    sites = AtomLocator().fit_transform((image, 0.02))
    lattices = sites.quality().lattices
    assert len(lattices) == 2
    assert lattices.share.sum() > 0.9
    perovskite = int(np.argmin(lattices.bounds[:, 0]))
    # A to B is 13 px, so that the cell is 13 px times the root of two.
    assert lattices.lengths[perovskite] == pytest.approx(13 * np.sqrt(2), rel=0.01)
    assert lattices.bounds[perovskite, 1] < 160
    # The faint columns of rock salt may be missing; its cell is not square.
    assert np.abs(np.degrees(lattices.angle[1 - perovskite]) - 90) < 25
    assert lattices.bounds[1 - perovskite, 0] > 145


def test_particle_in_a_matrix_of_an_experimental_image():
    if not NI_M3B2.exists():
        pytest.skip("the image is not here")
    sites = AtomLocator().fit_transform(load_image(NI_M3B2))
    lattices = sites.quality().lattices
    assert len(lattices) >= 2
    # The matrix has a square lattice, in the lower half.
    assert lattices.share[0] > 0.4
    assert lattices.bounds[0, 0] > 450
    assert np.degrees(lattices.angle[0]) == pytest.approx(90, abs=4)
    assert lattices.lengths[0, 0] == pytest.approx(lattices.lengths[0, 1], rel=0.03)
    # That of the particle has a larger cell.
    assert lattices.bounds[1, 0] < 50
    assert lattices.lengths[1].min() > 1.3 * lattices.lengths[0].max()
