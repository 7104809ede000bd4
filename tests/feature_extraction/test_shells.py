"""PolarizationVector(shell=...): shells of any size, reasons for NaN, errors."""

from pathlib import Path

import numpy as np
import pytest

from sklearn_ferroic import (
    AtomLocator,
    AtomSites,
    Motif,
    MotifAssigner,
    PolarizationVector,
    SiteFlag,
)
from sklearn_ferroic.datasets import load_image, load_multislice, make_ferroic_image

from .._common_checks import SITES_CHECKS
from ._crystals import interior, make_crystal

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


def sites_of(crystal, **fields):
    return AtomSites(
        np.zeros((320, 320)),
        crystal.positions,
        sublattice=crystal.species,
        pixel_size=crystal.pixel_size,
        **fields,
    )


@pytest.mark.parametrize(
    ("name", "anions", "size"),
    [
        ("perovskite_001", False, 4),
        ("perovskite_110", False, 6),
        ("rock_salt_110", False, 4),
        ("fluorite_001", True, 4),
        ("honeycomb", False, 3),
    ],
)
def test_the_shell_is_found_and_reported(name, anions, size):
    motif = Motif.from_preset(name, anions=anions)
    moved = np.array([0.8, -0.6])
    crystal = make_crystal(motif, moved=moved, noise=0.01, vacancies=0.01)
    sites = sites_of(crystal)
    made = PolarizationVector(shell="auto").fit(sites)
    assert {label: shell.size for label, shell in made.shells_.items()} == {
        0: size,
        1: size,
    }
    assert [made.shells_[0].partner, made.shells_[1].partner] == [1, 0]
    shells = motif.geometry().shell(motif.partner_mask())
    expected = np.linalg.norm(shells[0][2], axis=1).mean() / crystal.pixel_size
    assert made.shells_[0].distance == pytest.approx(expected, rel=0.03)
    vector = made.transform(sites)
    known = np.isfinite(vector).all(axis=1)
    assert made.shells_[1].complete == known[crystal.species == 1].mean()
    assert known[interior(crystal.positions)].mean() > 0.85
    for label, sign in ((0, -1), (1, 1)):
        own = known & (crystal.species == label)
        error = vector[own].std(axis=0) / np.sqrt(own.sum())
        assert (np.abs(vector[own].mean(axis=0) - sign * moved) < 4 * error).all()
    # The motif finds the same shells.
    by_motif = PolarizationVector(shell=motif).fit_transform(sites)
    both = known & np.isfinite(by_motif).all(axis=1)
    assert both.sum() > 0.95 * known.sum()
    assert by_motif[both] == pytest.approx(vector[both])


def test_shells_of_unequal_distances_need_the_motif():
    motif = Motif.from_preset("wurtzite_1120", anions=True)
    crystal = make_crystal(motif, spacing=8, vacancies=0, noise=0.01, strain=0)
    made = PolarizationVector(shell="wurtzite_1120")
    with pytest.warns(UserWarning, match="Only 0% of the sites match"):
        # The preset for HAADF images has no anions.
        made.fit(sites_of(crystal))
    vector = PolarizationVector(shell=motif).fit_transform(sites_of(crystal))
    inner = interior(crystal.positions)
    assert np.isfinite(vector[inner]).all()
    # c is vertical but for the rotation of 10 degrees: the centroid of the three
    # nitrogen columns is at a distance of (u + 2 (u - 1/2)) / 3 c from aluminium.
    length = np.hypot(*vector[inner].T)
    offset = (0.382 + 2 * (0.382 - 0.5)) / 3 * 0.498 / crystal.pixel_size
    across = (1 / np.sqrt(3) - 1 / np.sqrt(12)) / 3 * 0.311 / crystal.pixel_size
    assert np.median(length) == pytest.approx(np.hypot(offset, across), rel=0.03)


@pytest.mark.parametrize("size", [2, 4, 6])
def test_a_number_of_neighbours(size):
    motif = Motif.from_preset("perovskite_110")
    crystal = make_crystal(motif, moved=(0.8, -0.6), noise=0.0, vacancies=0)
    sites = sites_of(crystal)
    inner = interior(crystal.positions)
    if size == 4:  # two of four equally distant neighbours would be arbitrary
        with pytest.warns(UserWarning, match="have a complete shell with shell=4"):
            made = PolarizationVector(shell=size).fit(sites)
        vector = made.transform(sites)
        assert np.isnan(vector[inner]).mean() > 0.9
        reasons = made.nan_reasons(sites)[inner & np.isnan(vector[:, 0])]
        assert (reasons == SiteFlag.SHELL_DISTORTED).all()
        return
    made = PolarizationVector(shell=size).fit(sites)
    vector = made.transform(sites)
    assert np.isfinite(vector[inner]).all()
    assert made.shells_[1].size == size
    own = inner & (crystal.species == 1)
    assert vector[own] == pytest.approx(np.tile([0.8, -0.6], (own.sum(), 1)), abs=1e-6)


def test_reasons():
    motif = Motif.from_preset("perovskite_001")
    crystal = make_crystal(motif, vacancies=0.02)
    sites = sites_of(crystal)
    made = PolarizationVector(shell="auto").fit(sites)
    vector, reasons = made.transform(sites), made.nan_reasons(sites)
    assert np.array_equal(np.isnan(vector[:, 0]), reasons != 0)
    inner = interior(crystal.positions)
    assert (reasons[~inner] & SiteFlag.SHELL_MISSING).any()
    vacant_neighbor = inner & (reasons != 0)
    assert vacant_neighbor.sum() > 10
    with pytest.raises(ValueError, match="nan_reasons needs a shell"):
        PolarizationVector().nan_reasons(sites)


def test_charges_weight_the_neighbours():
    table = [("A", 0, 0), ("B", 0.5, 0.5), ("X", 0.5, 0), ("X", 0, 0.5)]
    partners = (("B", "A"), ("B", "X"))
    motif = Motif.from_table(table, (0.39, 0.39), partners=partners)
    # Eight neighbours of B: four X at 0.195 nm, four A at 0.276 nm.
    crystal = make_crystal(motif, noise=0, vacancies=0, strain=0, rotation=0)
    positions = crystal.positions + np.where(crystal.species == 0, 1.0, 0)[:, None]
    sites = AtomSites(np.zeros((320, 320)), positions, amplitude=crystal.intensity)
    b = interior(crystal.positions) & (crystal.species == 1)
    equal = PolarizationVector(shell=motif).fit(sites)
    n_neighbors = equal.shells_[1].size
    if n_neighbors == 4:
        pytest.fail("the shell must reach the A columns")
    assert equal.transform(sites)[b] == pytest.approx(-0.5, abs=1e-6)
    charged = PolarizationVector(shell=motif, shell_weights="charge")
    assert charged.fit_transform(sites)[b] == pytest.approx(-0.5, abs=1e-6)
    with pytest.raises(ValueError, match="needs a Motif"):
        PolarizationVector(shell="auto", shell_weights="charge").fit(sites_of(crystal))
    titanate = Motif.from_table([("Sr", 0, 0), ("Ti", 0.5, 0.5)], (0.39, 0.39))
    charged.set_params(shell=titanate)
    with pytest.raises(ValueError, match="needs the charge of each column"):
        charged.fit(sites)


def test_errors_are_those_of_the_shell():
    motif = Motif.from_preset("perovskite_110")
    crystal = make_crystal(motif, vacancies=0)
    std = np.where(crystal.species[:, None] == 0, [0.1, 0.2], [0.3, 0.3])
    sites = sites_of(crystal, position_std=std)
    for shell in ("auto", motif):
        made = PolarizationVector(shell=shell).fit(sites)
        vector, error = made.transform_with_std(sites)
        known = np.isfinite(vector).all(axis=1)
        assert np.array_equal(np.isfinite(error).all(axis=1), known)
        b = known & (crystal.species == 1)
        expected = np.sqrt(0.3**2 + np.array([0.1, 0.2]) ** 2 / 6)
        assert error[b] == pytest.approx(np.tile(expected, (b.sum(), 1)))


def test_one_sublattice_is_refused():
    sites = make_crystal(Motif.from_preset("rock_salt_001"))
    with pytest.raises(ValueError, match="one sublattice: the neighbours of the other"):
        PolarizationVector(shell="auto").fit(sites_of(sites))
    made = PolarizationVector(shell="rock_salt_001").fit(sites_of(sites))
    assert made.shells_[0].size == 4


@pytest.mark.parametrize("shell", ["auto", 4, "perovskite_001"])
@pytest.mark.parametrize("check", SITES_CHECKS, ids=lambda check: check.__name__)
def test_common_checks_with_both_sublattices(check, shell, ferroic_sites):
    check("PolarizationVector", PolarizationVector(shell=shell), ferroic_sites)


def test_equal_to_the_present_displacement_on_images():
    data = make_ferroic_image("film", shape=(240, 240), random_state=0)
    for sites in (
        AtomLocator().fit_transform(data),
        AtomLocator().fit_transform(load_multislice()),
    ):
        made = PolarizationVector(shell="auto").fit(sites)
        assert [shell.size for shell in made.shells_.values()] == [4, 4]
        vector = made.transform(sites)
        assert np.array_equal(vector, sites.polarization, equal_nan=True)
        found = MotifAssigner(motif="perovskite_001").fit_transform(sites)
        both = np.isfinite(vector).all(axis=1) & np.isfinite(found.polarization[:, 0])
        assert both.sum() > 0.98 * np.isfinite(vector[:, 0]).sum()
        assert found.polarization[both] == pytest.approx(vector[both])
        assert np.array_equal(found.sublattice, sites.sublattice)


@pytest.mark.parametrize("name", ["pzo.dm3", "sto_16_1.ser"])
def test_equal_to_the_present_displacement_on_real_images(name):
    path = DATA / "real" / name
    if not path.exists():
        pytest.skip("no experimental image at hand")
    sites = AtomLocator().fit_transform(load_image(path))
    vector = PolarizationVector(shell="auto").fit_transform(sites)
    assert np.array_equal(vector, sites.polarization, equal_nan=True)


def test_strontium_titanate_along_110():
    path = DATA / "srtio3_adf.hspy"
    if not path.exists():
        pytest.skip("no experimental image at hand")
    image = np.asarray(load_image(path).image, dtype=float)
    sites = AtomLocator().fit_transform((image, 0.009326))
    assert np.isnan(sites.polarization).all()
    made = PolarizationVector(shell="auto", unit="pm").fit(sites)
    assert made.shells_[0].size == made.shells_[1].size == 6
    assigner = MotifAssigner(motif="perovskite_110").fit(sites)
    assert assigner.assigned_share_ > 0.98
    a, b = np.linalg.norm(assigner.lattice_vectors_[0][0], axis=1)
    assert b / a == pytest.approx(np.sqrt(2), rel=0.02)
    vector = made.transform(sites)[sites.sublattice == 1]
    assert np.abs(np.nanmean(vector, axis=0)).max() < 6


def test_annular_bright_field_along_110_shows_oxygen():
    path = DATA / "real" / "atomap_abf.hdf5"
    if not path.exists():
        pytest.skip("no experimental image at hand")
    sites = AtomLocator().fit_transform(-np.asarray(load_image(path).image, float))
    motif = Motif.from_preset("perovskite_110", anions=True)
    assigner = MotifAssigner(motif=motif).fit(sites)
    assert assigner.assigned_share_ > 0.99
    a, b = np.linalg.norm(assigner.lattice_vectors_[0][0], axis=1)
    assert b / a == pytest.approx(np.sqrt(2), rel=0.02)
    counts = np.bincount(assigner.transform(sites).motif_column)
    assert counts.max() < 1.15 * counts.min()
    with pytest.warns(UserWarning, match="Only 65% of the sites match"):
        MotifAssigner(motif="perovskite_110").fit(sites)


def test_annular_bright_field_along_001():
    path = DATA / "real" / "vecmap_sample_abf.dm3"
    if not path.exists():
        pytest.skip("no experimental image at hand")
    pytest.importorskip("rsciio")
    data = load_image(path)
    image = -np.asarray(data.image, dtype=float)
    sites = AtomLocator().fit_transform((image, data.pixel_size))
    assigner = MotifAssigner(motif="perovskite_001").fit(sites)
    assert assigner.assigned_share_ > 0.99
    assert len(assigner.crystal_sizes_[0]) == 1
    a, b = np.linalg.norm(assigner.lattice_vectors_[0][0], axis=1)
    assert a * data.pixel_size == pytest.approx(0.4, rel=0.03)
    assert b / a == pytest.approx(1.02, abs=0.02)
    found = assigner.transform(sites)
    assert np.isfinite(found.interior(30).polarization).all(axis=1).mean() > 0.98


def test_silicon_along_110():
    path = DATA / "real" / "si110_png.png"
    if not path.exists():
        pytest.skip("no experimental image at hand")
    sites = AtomLocator().fit_transform(load_image(path))
    columns = [("Si", 0, 0), ("Si", 0.5, 0.5), ("Si", 0, 0.25), ("Si", 0.5, 0.75)]
    motif = Motif.from_table(columns, lengths=(0.384, 0.543))
    assigner = MotifAssigner(motif=motif).fit(sites)
    assert assigner.assigned_share_ > 0.99
    assert len(assigner.crystal_sizes_[0]) == 1
    a, b = np.linalg.norm(assigner.lattice_vectors_[0][0], axis=1)
    assert b / a == pytest.approx(np.sqrt(2), rel=0.03)
    with pytest.warns(UserWarning, match="cannot be distinguished by brightness"):
        assigner = MotifAssigner(motif="zincblende_110").fit(sites)
    assert assigner.assigned_share_ > 0.99


def test_cadmium_telluride_twin_along_110():
    path = DATA / "real" / "cdte_twin.dm3"
    if not path.exists():
        pytest.skip("no experimental image at hand")
    pytest.importorskip("rsciio")
    sites = AtomLocator().fit_transform(load_image(path))
    assigner = MotifAssigner(motif="zincblende_110").fit(sites)
    assert assigner.assigned_share_ > 0.99
    sizes, vectors = assigner.crystal_sizes_[0], assigner.lattice_vectors_[0]
    assert len(sizes) == 2
    assert sizes.min() > 0.4 * sizes.sum()
    lengths = np.linalg.norm(vectors, axis=2) * sites.pixel_size[0]
    # The scan distorts the image by up to 4 %.
    assert lengths == pytest.approx(np.array([[0.458, 0.648]] * 2), rel=0.05)
    direction = vectors[:, 0] / np.linalg.norm(vectors[:, 0], axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.abs(direction[0] @ direction[1])))
    # 70.5 degrees in a twin without distortion.
    assert angle == pytest.approx(70.5, abs=2)
    # The labels are the same for both: Cd and Te differ in brightness.
    found = assigner.transform(sites)
    bright, faint = (found.amplitude[found.sublattice == k] for k in (0, 1))
    assert np.median(bright) > 1.02 * np.median(faint)
