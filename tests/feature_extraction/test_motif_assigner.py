"""MotifAssigner: crystals of every preset with defects, walls, grains, images."""

import warnings

import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AtomLocator,
    AtomSites,
    Motif,
    MotifAssigner,
    PolarizationVector,
)

from ._crystals import draw, interior, make_crystal

PRESETS = [
    (name, anions)
    for name in Motif.preset_names
    for anions in (False, True)
    if not anions
    or len(Motif.from_preset(name, anions=True)) > len(Motif.from_preset(name))
]


def as_sites(crystal, size=320, *, calibrated=True, bright=True, **fields):
    return AtomSites(
        np.zeros((size, size)),
        crystal.positions,
        amplitude=crystal.intensity if bright else None,
        pixel_size=crystal.pixel_size if calibrated else None,
        **fields,
    )


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize(("name", "anions"), PRESETS)
def test_every_preset_with_strain_noise_vacancies_and_a_wall(name, anions, calibrated):
    motif = Motif.from_preset(name, anions=anions)
    crystal = make_crystal(motif, moved=(0.6, -0.4), wall=True)
    sites = as_sites(crystal, calibrated=calibrated)
    assigner = MotifAssigner(motif=motif).fit(sites)
    found = assigner.transform(sites)
    inner = interior(crystal.positions)
    assert np.mean(found.motif_column[inner] >= 0) >= 0.99
    assigned = found.motif_column >= 0
    assert np.array_equal(found.sublattice[assigned], crystal.species[assigned])
    assert len(assigner.lattice_vectors_[0]) == 1
    # The strain changes the lengths by up to 3 %.
    lengths = np.linalg.norm(assigner.lattice_vectors_[0][0], axis=1)
    assert lengths * crystal.pixel_size == pytest.approx(motif.lengths, rel=0.035)


@pytest.mark.parametrize(
    "name", ["perovskite_001", "perovskite_110", "rock_salt_110", "honeycomb"]
)
@pytest.mark.parametrize("rotation", [-75.0, 0.0, 33.0, 160.0])
def test_mean_displacement_is_the_true_one(name, rotation):
    motif = Motif.from_preset(name)
    moved = np.array([0.9, -0.5])
    crystal = make_crystal(motif, rotation=rotation, moved=moved, vacancies=0.01)
    found = MotifAssigner(motif=motif).fit_transform(as_sites(crystal))
    known = np.isfinite(found.polarization).all(axis=1) & (found.sublattice == 1)
    assert known.sum() > 80
    vectors = found.polarization[known]
    error = vectors.std(axis=0) / np.sqrt(known.sum())
    assert np.abs(vectors.mean(axis=0) - moved).max() < max(3 * error.max(), 0.02)


def test_the_wall_keeps_its_place():
    motif = Motif.from_preset("perovskite_110")
    crystal = make_crystal(motif, moved=(0.8, 0.3), wall=True, vacancies=0, noise=0.01)
    found = MotifAssigner(motif=motif).fit_transform(as_sites(crystal))
    known = np.isfinite(found.polarization).all(axis=1) & (found.sublattice == 1)
    along = found.polarization[known] @ [0.8, 0.3]
    far = np.abs(crystal.positions[known][:, 1] - 160) > 4
    sides = np.sign(crystal.moved[known] @ [0.8, 0.3])
    assert np.array_equal(np.sign(along)[far], sides[far])


def test_reasons_at_the_border_and_next_to_vacancies():
    motif = Motif.from_preset("perovskite_110")
    crystal = make_crystal(motif, vacancies=0.02)
    found = MotifAssigner(motif=motif).fit_transform(as_sites(crystal))
    unknown = np.isnan(found.polarization).any(axis=1)
    reasons = found.has_flag("shell_missing|shell_distorted|unassigned")
    assert np.array_equal(unknown, reasons)
    full = make_crystal(motif, vacancies=0)
    distance, _ = cKDTree(crystal.positions).query(full.positions)
    vacant = full.positions[distance > 4]
    assert len(vacant) > 3
    # Six neighbours, the farthest of which are 0.87 cells away: 1.7 times the spacing.
    near = cKDTree(vacant).query(crystal.positions)[0] < 1.9 * 14
    inner = interior(crystal.positions)
    assert not unknown[inner & ~near].any()
    assert unknown[inner & near].any()


def test_a_site_between_the_columns_is_unassigned():
    motif = Motif.from_preset("perovskite_001")
    crystal = make_crystal(motif, vacancies=0)
    extra = crystal.positions[300] + [7.5, 1.0]
    sites = AtomSites(
        np.zeros((320, 320)),
        np.vstack([crystal.positions, extra]),
        amplitude=np.append(crystal.intensity, 0.1),
        pixel_size=crystal.pixel_size,
    )
    found = MotifAssigner(motif=motif).fit_transform(sites)
    assert found.motif_column[-1] == -1
    assert found.has_flag("unassigned").sum() == 1
    assert found.sublattice[-1] == 2
    assert np.isnan(found.polarization[-1]).all()


def test_two_grains_are_two_crystals():
    motif = Motif.from_preset("rock_salt_110")
    first = make_crystal(motif, rotation=5, vacancies=0)
    second = make_crystal(motif, rotation=50, vacancies=0, seed=1)
    left = first.positions[:, 1] < 155
    right = second.positions[:, 1] > 165
    positions = np.vstack([first.positions[left], second.positions[right]])
    species = np.concatenate([first.species[left], second.species[right]])
    sites = AtomSites(
        np.zeros((320, 320)),
        positions,
        amplitude=np.concatenate([first.intensity[left], second.intensity[right]]),
        pixel_size=first.pixel_size,
    )
    assigner = MotifAssigner(motif=motif).fit(sites)
    found = assigner.transform(sites)
    inner = interior(positions) & (np.abs(positions[:, 1] - 160) > 15)
    assert np.mean(found.sublattice[inner] == species[inner]) > 0.99
    assert len(assigner.lattice_vectors_[0]) == 2
    a = assigner.lattice_vectors_[0][:, 0]
    angle = np.rad2deg(np.arctan2(a[:, 0], a[:, 1]))
    assert abs(angle[1] - angle[0]) % 180 == pytest.approx(45, abs=2) or (
        180 - abs(angle[1] - angle[0]) % 180 == pytest.approx(45, abs=2)
    )


def test_a_wrong_motif_warns():
    crystal = make_crystal(Motif.from_preset("honeycomb"))
    with pytest.warns(UserWarning, match="0% of the sites match .*'perovskite_110'"):
        found = MotifAssigner(motif="perovskite_110").fit_transform(as_sites(crystal))
    assert (found.motif_column == -1).all()
    assert found.has_flag("unassigned").all()
    assert np.isnan(found.lattice_vectors).all()


@pytest.mark.parametrize("name", ["perovskite_001", "rock_salt_110", "honeycomb"])
def test_equally_bright_columns_warn_and_alternate(name):
    motif = Motif.from_preset(name)
    crystal = make_crystal(motif, contrast=0.0)
    with pytest.warns(UserWarning, match="species may be exchanged") as record:
        found = MotifAssigner(motif=motif).fit_transform(as_sites(crystal))
    assert len(record) == 1
    inner = interior(crystal.positions)
    same = found.sublattice[inner] == crystal.species[inner]
    assert same.all() or not same.any()


def test_geometry_alone_decides_where_it_can():
    motif = Motif.from_preset("tungsten_bronze_001")
    crystal = make_crystal(motif)
    sites = as_sites(crystal, bright=False)
    found = MotifAssigner(motif=motif).fit_transform(sites)
    inner = interior(crystal.positions)
    assert np.array_equal(found.sublattice[inner], crystal.species[inner])


def test_given_sublattices_replace_missing_amplitudes():
    motif = Motif.from_preset("perovskite_001")
    crystal = make_crystal(motif)
    sites = as_sites(crystal, bright=False, sublattice=crystal.species)
    found = MotifAssigner(motif=motif).fit_transform(sites)
    assert np.array_equal(found.sublattice, crystal.species)


def test_slices_have_the_values_of_the_whole():
    motif = Motif.from_preset("perovskite_110")
    sites = as_sites(make_crystal(motif))
    assigner = MotifAssigner(motif=motif).fit(sites)
    whole = assigner.transform(sites)
    for key in ([5], np.arange(0, len(sites), 3), slice(20, 31)):
        assert assigner.transform(sites[key]) == whole[key]
    assert np.array_equal(sites.motif_column, np.full(len(sites), -1))


def test_the_other_flags_and_labels_are_kept():
    motif = Motif.from_preset("perovskite_001")
    crystal = make_crystal(motif)
    sites = as_sites(crystal, flags=np.full(len(crystal.positions), 8 + 128))
    found = MotifAssigner(motif=motif, sublattice="keep").fit_transform(sites)
    assert found.has_flag("low_significance").all()
    assert not found.has_flag("unassigned").any()
    assert np.array_equal(found.sublattice, sites.sublattice)
    assert set(found.motif_column) == {0, 1}


@pytest.mark.parametrize(
    ("name", "anions", "spacing"),
    [
        ("perovskite_001", False, 14),
        ("perovskite_110", False, 14),
        ("wurtzite_1120", True, 12),
        ("zincblende_110", False, 12),
        ("fluorite_001", True, 14),
        ("rock_salt_110", False, 14),
        ("honeycomb", False, 14),
        ("tungsten_bronze_001", False, 14),
    ],
)
def test_from_an_image_against_the_truth(name, anions, spacing):
    motif = Motif.from_preset(name, anions=anions)
    moved = np.array([0.6, 0.9])
    crystal = make_crystal(
        motif,
        spacing=spacing,
        strain=0.02,
        noise=0,
        vacancies=0.01,
        moved=moved,
        contrast=0.6,
    )
    image = draw(crystal, sigma=0.17 * spacing)
    locator = AtomLocator(spacing=float(spacing))
    with warnings.catch_warnings():
        # Of faint columns at the border and of unequal pairs.
        warnings.simplefilter("ignore", UserWarning)
        located = locator.fit_transform((image, crystal.pixel_size))
    found = MotifAssigner(motif=motif).fit_transform(located)
    distance, truth = cKDTree(crystal.positions).query(found.positions)
    inner = interior(found.positions) & (distance < 2)
    assert inner.sum() > 0.95 * interior(crystal.positions).sum()
    assert np.mean(found.motif_column[inner] >= 0) >= 0.99
    right = found.sublattice[inner] == crystal.species[truth[inner]]
    assert np.mean(right) >= 0.99
    # Neighbours of the brightest species are displaced against it.
    known = np.isfinite(found.polarization).all(axis=1) & inner
    known &= found.sublattice == 0
    still = (
        PolarizationVector(shell=motif)
        .fit(
            AtomSites(
                np.zeros((320, 320)),
                crystal.positions - crystal.moved,
                amplitude=crystal.intensity,
                pixel_size=crystal.pixel_size,
            )
        )
        .transform(
            AtomSites(
                np.zeros((320, 320)),
                crystal.positions - crystal.moved,
                amplitude=crystal.intensity,
                pixel_size=crystal.pixel_size,
            )
        )
    )
    change = found.polarization[known] - still[truth[known]]
    error = np.nanstd(change, axis=0) / np.sqrt(known.sum())
    mean = np.nanmean(change, axis=0)
    limit = np.maximum(0.02 * np.linalg.norm(moved), 3 * error)
    assert (np.abs(mean + moved) < limit).all()


def test_in_a_pipeline():
    motif = Motif.from_preset("perovskite_110")
    crystal = make_crystal(motif, noise=0, vacancies=0, moved=(0.7, 0))
    pipeline = make_pipeline(
        AtomLocator(), MotifAssigner(motif=motif), PolarizationVector(unit="pm")
    ).set_output(transform="pandas")
    table = pipeline.fit_transform((draw(crystal), crystal.pixel_size))
    assert list(table.columns) == ["displacement_row_pm", "displacement_col_pm"]
    assert table.notna().all(axis=1).mean() > 0.7


@pytest.mark.parametrize("name", ["perovskite_001", "perovskite_110", "rock_salt_110"])
@pytest.mark.parametrize("ratio", [0.9, 0.95, 0.98])
def test_nearly_equal_brightness_is_enough(name, ratio):
    motif = Motif.from_preset(name)
    crystal = make_crystal(motif, contrast=0.0, scatter=0.03)
    intensity = crystal.intensity * np.where(crystal.species == 0, 1, ratio)
    found = MotifAssigner(motif=motif).fit_transform(
        as_sites(crystal._replace(intensity=intensity))
    )
    inner = interior(crystal.positions)
    assert np.array_equal(found.sublattice[inner], crystal.species[inner])


@pytest.mark.parametrize("separation", [4.5, 5.0, 6.0])
def test_close_pairs_are_resolved_with_their_distance_and_motif(separation):
    # Columns 2 px wide: 2.25 to 3 widths apart. The locator invents columns between
    # the pairs, which are none of the motif's.
    table = [("Cd", 0, 0, 1.0), ("Cd", 0.5, 0.5, 1.0)]
    table += [("Te", 0, 0.25, 0.7), ("Te", 0.5, 0.75, 0.7)]
    motif = Motif.from_table(table, lengths=(0.458, 0.648), name="CdTe")
    crystal = make_crystal(
        motif, spacing=separation, strain=0.01, noise=0, vacancies=0, scatter=0.03
    )
    image = draw(crystal, sigma=2.0), crystal.pixel_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        located = AtomLocator(spacing=separation).fit_transform(image)
    found = MotifAssigner(motif=motif).fit_transform(located)
    assigned = found[found.motif_column >= 0]
    inner = interior(crystal.positions)
    distance, _ = cKDTree(assigned.positions).query(crystal.positions[inner])
    assert np.mean(distance < 0.5) > 0.99
    distance, truth = cKDTree(crystal.positions).query(assigned.positions)
    inner = interior(assigned.positions)
    assert (distance[inner] < 1).all()
    right = assigned.sublattice[inner] == crystal.species[truth[inner]]
    assert right.all()


def film_on_substrate():
    """Return sites of a perovskite over rock salt along [110], with their species."""
    motifs = [Motif.from_preset("perovskite_001"), Motif.from_preset("rock_salt_110")]
    pixel_size = 0.015
    parts = []
    for motif, rotation in zip(motifs, (0.0, 4.0), strict=True):
        spacing = motif.geometry().spacing / pixel_size
        parts.append(make_crystal(motif, spacing=spacing, rotation=rotation, strain=0))
    film, substrate = parts
    upper, lower = film.positions[:, 0] < 160, substrate.positions[:, 0] > 172
    positions = np.vstack([film.positions[upper], substrate.positions[lower]])
    species = np.append(film.species[upper], substrate.species[lower] + 2)
    intensity = np.append(film.intensity[upper], substrate.intensity[lower])
    sites = AtomSites(
        np.zeros((320, 320)), positions, amplitude=intensity, pixel_size=pixel_size
    )
    return motifs, sites, species


@pytest.mark.parametrize("order", [1, -1])
def test_two_structures_in_one_image(order):
    motifs, sites, species = film_on_substrate()
    assigner = MotifAssigner(motif=motifs[::order]).fit(sites)
    found = assigner.transform(sites)
    expected = species if order == 1 else (species + 2) % 4
    far = np.abs(sites.positions[:, 0] - 166) > 20
    inner = interior(sites.positions) & far
    assert np.mean(found.sublattice[inner] == expected[inner]) > 0.99
    (of_crystals,), (size,) = assigner.crystal_motifs_, assigner.crystal_sizes_
    assert set(of_crystals) == {0, 1}
    assert size.sum() == np.count_nonzero(found.motif_column >= 0)
    for number, vectors in zip(of_crystals, assigner.lattice_vectors_[0], strict=True):
        lengths = 0.015 * np.linalg.norm(vectors, axis=1)
        expected = assigner.motifs_[number].lengths
        assert sorted(lengths) == pytest.approx(sorted(expected), rel=0.01)


def test_lists_of_motifs_are_checked():
    _, sites, _ = film_on_substrate()
    for wrong in ([], [1.0], ["perovskite_001", None]):
        with pytest.raises(TypeError, match="must contain Motif or names of presets"):
            MotifAssigner(motif=wrong).fit(sites)
    with pytest.raises(ValueError, match="no preset 'garnet'"):
        MotifAssigner(motif=["garnet"]).fit(sites)


def test_a_few_sites_of_which_none_is_assigned():
    positions = [[100.0, 100], [160, 130], [120, 190], [210, 220]]
    sites = AtomSites(np.zeros((320, 320)), positions, pixel_size=0.02)
    with pytest.warns(UserWarning, match="None of the 4 sites is assigned"):
        assigner = MotifAssigner(motif="perovskite_001").fit(sites)
    assert assigner.assigned_share_ == 0
