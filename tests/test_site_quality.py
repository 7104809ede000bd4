"""Faults put into sites on purpose are flagged and summarised; sound ones are not."""

import copy
import time
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, AtomSites, SiteFlag
from sklearn_ferroic._utils.hdf5_safety import sealed
from sklearn_ferroic.datasets import load_image, make_ferroic_image, make_polycrystal
from sklearn_ferroic.sites._quality.residual import Columns, render_columns

DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
# Good images: their columns are located completely.
REAL = [
    "nsmo_haadf.tif",
    "srtio3_adf.hspy",
    "real/pzo.dm3",
    "real/sto_16_1.ser",
    "real/acq18.emd",
    "real/gold_gb.png",
]


def grid(n, cell, origin, turn=0.0):
    """Return n x n points of a square lattice turned about the first."""
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    index = np.stack(np.mgrid[:n, :n], axis=-1).reshape(-1, 2)
    return index @ (cell * matrix) + origin


def sites_of(positions, sublattice, *, shape, sigma=2.8, noise=0.02, absent=(), **more):
    """Draw columns with noise and return them as a perfect locator would."""
    positions, sublattice = np.asarray(positions, float), np.asarray(sublattice)
    inside = ((positions > 0) & (positions < np.array(shape) - 1)).all(axis=1)
    positions, sublattice = positions[inside], sublattice[inside]
    amplitude = np.array([1.0, 0.4, 0.3])[sublattice]
    width, round_ = np.full(len(positions), sigma), np.full(len(positions), np.nan)
    columns = Columns(positions, amplitude, width, round_, round_)
    image = 0.2 + render_columns(shape, columns)
    image = image + np.random.default_rng(0).normal(0, noise, shape)
    return AtomSites(
        image,
        positions,
        sublattice=sublattice,
        amplitude=amplitude,
        sigma=width,
        **more,
    )


def perovskite(shape=(300, 310), cell=18.0, displacement=(0.6, -0.8), **options):
    """Return the sites of A and B columns that fill an image."""
    n = int(max(shape) / cell) + 2
    a = grid(n, cell, (4.0, 5.0))
    b = grid(n, cell, np.array([4 + cell / 2, 5 + cell / 2]) + displacement)
    return sites_of(np.r_[a, b], np.repeat([0, 1], len(a)), shape=shape, **options)


def without(sites, rows):
    keep = np.ones(len(sites), dtype=bool)
    keep[rows] = False
    return sites[keep]


def inner_rows(sites, margin, n, seed=0, apart=45):
    """Return n sites away from the border and from each other."""
    depth = np.minimum(
        sites.positions, np.array(sites.images[0].shape) - sites.positions
    )
    rng = np.random.default_rng(seed)
    rows = []
    for row in rng.permutation(np.flatnonzero(depth.min(axis=1) > margin)):
        gap = np.hypot(*(sites.positions[rows] - sites.positions[row]).T)
        if (gap > apart).all():
            rows.append(row)
        if len(rows) == n:
            return np.array(rows)
    raise AssertionError("too few sites")


@pytest.fixture(scope="module")
def film():
    data = make_ferroic_image("film", shape=(384, 400), random_state=3)
    return AtomLocator().fit_transform(data)


# Faults -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_columns_taken_out_are_suspected_misses(film, seed):
    gone = inner_rows(film, 25, 10, seed)
    quality = without(film, gone).quality()
    misses = quality.suspected_misses
    assert len(misses) == 10
    assert len(quality.vacancies) == 0
    distance, nearest = cKDTree(film.positions[gone]).query(misses.positions)
    assert distance.max() < 0.2 * quality.spacing[0]
    assert sorted(nearest) == list(range(10))
    np.testing.assert_array_equal(misses.sublattice, film.sublattice[gone[nearest]])
    # Relative to the columns of the same sublattice around, which scatter.
    for miss, row in zip(misses.relative_amplitude, gone[nearest], strict=True):
        alike = np.flatnonzero(film.sublattice == film.sublattice[row])
        place = film.positions[row]
        _, around = cKDTree(film.positions[alike]).query(place, k=range(2, 10))
        usual = film.amplitude[alike[around]].mean()
        assert miss == pytest.approx(film.amplitude[row] / usual, abs=0.1)
    assert (misses.n_votes >= 3).all()
    assert quality.coverage == pytest.approx(1 - 10 / len(film), abs=1e-9)


def test_neighbours_of_a_hole_are_flagged(film):
    gone = inner_rows(film, 40, 1)
    sites = without(film, gone)
    beside = (sites.quality().flags & SiteFlag.HOLE) != 0
    distance = np.hypot(*(sites.positions - film.positions[gone]).T)
    assert beside.sum() >= 4
    spacing = sites.quality().spacing[0]
    assert beside[distance < 1.15 * spacing].all()
    assert distance[beside].max() < 1.5 * spacing


def test_columns_that_are_not_there_are_vacancies():
    whole = perovskite()
    gone = inner_rows(whole, 30, 8)
    rest = without(whole, gone)
    sites = sites_of(rest.positions, rest.sublattice, shape=whole.images[0].shape)
    quality = sites.quality()
    assert len(quality.suspected_misses) == 0
    assert len(quality.vacancies) == 8
    distance, _ = cKDTree(whole.positions[gone]).query(quality.vacancies.positions)
    assert distance.max() < 0.2 * quality.spacing[0]
    assert np.abs(quality.vacancies.relative_amplitude).max() < 0.2
    assert quality.coverage == pytest.approx(1 - 8 / len(whole))


@pytest.mark.parametrize("which", ["all", "B"])
def test_a_region_without_sites_is_found_as_a_whole(which):
    whole = perovskite()
    region = np.hypot(*(whole.positions - [150, 155]).T) < 60
    region &= (which == "all") | (whole.sublattice == 1)
    quality = whole[~region].quality()
    misses = quality.suspected_misses
    assert len(misses) == region.sum() > 20
    distance, nearest = cKDTree(whole.positions[region]).query(misses.positions)
    assert distance.max() < 0.2 * quality.spacing[0]
    assert len(np.unique(nearest)) == region.sum()


def test_half_of_the_faint_columns_missing_everywhere():
    whole = perovskite()
    rng = np.random.default_rng(1)
    gone = (whole.sublattice == 1) & (rng.random(len(whole)) < 0.4)
    misses = whole[~gone].quality().suspected_misses
    last = np.array(whole.images[0].shape) - 1
    p = whole.positions
    deep = gone & (np.minimum(p, last - p).min(axis=1) > 20)
    found = cKDTree(misses.positions).query(p[deep])[0] < 2.5
    assert found.mean() > 0.98
    assert cKDTree(p[gone]).query(misses.positions)[0].max() < 2.5


def test_duplicates_are_short_pairs(film):
    twice = inner_rows(film, 20, 8)
    copies = film[twice]
    copies.positions += [0.12 * 14, -0.1 * 14]
    sites = AtomSites.concatenate([film, copies])
    quality = sites.quality()
    expected = {(row, len(film) + number) for number, row in enumerate(twice)}
    assert set(map(tuple, quality.short_pairs.tolist())) == expected
    flagged = np.flatnonzero(quality.flags & SiteFlag.SHORT_PAIR)
    assert set(flagged) == {row for pair in expected for row in pair}
    assert len(quality.suspected_misses) == len(quality.vacancies) == 0


def test_close_pairs_of_the_structure_are_not_short_pairs():
    # Each cell has a pair of columns at a third of the distance of the others.
    corner = grid(14, 24.0, (6.0, 6.0))
    pair = np.r_[corner + [10.0, 10.0], corner + [10.0, 17.0]]
    sites = sites_of(
        np.r_[corner, pair],
        np.repeat([0, 1, 1], len(corner)),
        shape=(320, 320),
        sigma=1.8,
    )
    assert len(sites.quality().short_pairs) == 0


def test_two_columns_in_the_place_of_one():
    whole = perovskite()
    sites = copy.deepcopy(whole)
    rows = inner_rows(whole, 40, 5)
    pairs = []
    for row in rows:
        distance = np.hypot(*(whole.positions - whole.positions[row]).T)
        pairs.append((row, np.argsort(distance)[1]))
    for one, other in pairs:
        middle = whole.positions[[one, other]].mean(axis=0)
        sites.positions[one] = middle
        sites.sigma[one] = 1.9 * whole.sigma[one]
    sites = without(sites, [other for _, other in pairs])
    quality = sites.quality()
    middles = whole.positions[np.array(pairs)].mean(axis=1)
    assert len(quality.merged) == 5
    np.testing.assert_allclose(
        sites.positions[quality.merged][
            cKDTree(sites.positions[quality.merged]).query(middles)[1]
        ],
        middles,
    )
    # Both places are those of the merged column: nothing else is missing.
    assert len(quality.suspected_misses) + len(quality.vacancies) == 0
    assert quality.coverage == pytest.approx(1 - 10 / len(whole))


@pytest.mark.parametrize("by", ["width", "length"])
def test_wide_columns_with_too_much_intensity_are_merged(by):
    sites = copy.deepcopy(perovskite(shape=(200, 210)))
    sites.ellipticity[:] = 1.05
    rows = inner_rows(sites, 40, 3)
    if by == "width":
        sites.sigma[rows] *= 1.5
    else:
        sites.ellipticity[rows] = 2.0
        sites.amplitude[rows] *= 1.6
    bright = inner_rows(sites, 40, 3, seed=5)
    bright = bright[~np.isin(bright, rows)]
    # A heavy atom is brighter, and no wider.
    sites.amplitude[bright] *= 1.6
    assert sorted(sites.quality().merged) == sorted(rows)


# What is sound ------------------------------------------------------------------------


def test_sound_sites_have_no_flags(film):
    assert set(np.unique(film.flags)) <= {0, SiteFlag.EDGE}
    quality = film.quality()
    assert quality.coverage == 1.0
    assert len(quality.suspected_misses) == len(quality.vacancies) == 0
    assert len(quality.short_pairs) == len(quality.merged) == 0
    assert quality.residual_ratio() == pytest.approx(1, abs=0.25)
    assert np.isfinite(film.significance).all()


@pytest.mark.parametrize("turn", [0.0, 0.3, 0.62])
def test_nothing_is_expected_beyond_the_edge_of_a_crystal(turn):
    n, cell = 30, 18.0
    a, b = grid(n, cell, (0, 0), turn), grid(n, cell, (0, 0), turn)
    b = b + cell / 2 * np.array(
        [np.cos(turn) - np.sin(turn), np.cos(turn) + np.sin(turn)]
    )
    positions = np.r_[a, b]
    positions -= positions.mean(axis=0) - [200, 200]
    label = np.repeat([0, 1], len(a))
    # Straight edges of any direction, and a round one.
    for inside in (
        positions[:, 0] < 200,
        positions @ [0.8, 0.6] < 280,
        np.hypot(*(positions - 200).T) < 120,
    ):
        quality = sites_of(positions[inside], label[inside], shape=(400, 400)).quality()
        assert len(quality.suspected_misses) == 0
        assert len(quality.vacancies) == 0


def test_domain_walls_and_antiphase_boundaries():
    shape, cell = (300, 310), 18.0
    n = int(max(shape) / cell) + 2
    a, b = grid(n, cell, (4.0, 5.0)), grid(n, cell, (13.0, 14.0))
    right = b[:, 1] > 150
    # A 180° wall with displacements of 1.6 px.
    b = b + np.where(right[:, None], [1.6, 0], [-1.6, 0])
    label = np.repeat([0, 1], len(a))
    wall = sites_of(np.r_[a, b], label, shape=shape)
    # The same columns, exchanged on one side.
    positions = np.r_[grid(n, cell, (4.0, 5.0)), grid(n, cell, (13.0, 14.0))]
    exchanged = np.where(positions[:, 1] > 150, 1 - label, label)
    swapped = sites_of(positions, exchanged, shape=shape)
    # One side shifted along the boundary by 0.3 cells.
    slip = positions + np.where(positions[:, 1:] > 151, [0.3 * cell, 0], 0)
    slipped = sites_of(slip, label, shape=shape)
    for sites in (wall, swapped, slipped):
        quality = sites.quality()
        assert len(quality.suspected_misses) == len(quality.vacancies) == 0
        assert len(quality.merged) == len(quality.short_pairs) == 0


def test_interface_of_different_lattices():
    upper = grid(26, 14.0, (3.0, 3.0))
    upper = upper[upper[:, 0] < 150]
    lower = grid(22, 17.5, (162.0, 5.0), 0.05)
    positions = np.r_[upper, lower]
    label = np.r_[np.zeros(len(upper), int), np.ones(len(lower), int)]
    quality = sites_of(positions, label, shape=(320, 340), sigma=2.4).quality()
    assert len(quality.suspected_misses) == 0
    assert len(quality.vacancies) <= 2


def test_dislocation():
    positions = grid(24, 16.0, (3.0, 3.0))
    along, up = positions[:, 1] - 190.3, positions[:, 0] - 190.7
    # Displacements of an edge dislocation with the Burgers vector (0, 16) px.
    angle, radius = np.arctan2(up, along), np.maximum(along**2 + up**2, 1)
    positions = positions + 16 / (2 * np.pi) * np.column_stack(
        [
            -(0.2 * np.log(radius / 1e4) + (along**2 - up**2) / radius / 2.8),
            angle + along * up / radius / 1.4,
        ]
    )
    sites = sites_of(positions, np.zeros(len(positions), int), shape=(380, 380))
    quality = sites.quality()
    assert len(quality.suspected_misses) == 0
    assert len(quality.vacancies) <= 1


def test_structures_without_columns_in_every_place():
    # Kagome lattice of one sublattice: every fourth place of the triangular lattice
    # contains no column.
    index = np.stack(np.mgrid[-30:30, -30:30], axis=-1).reshape(-1, 2)
    index = index[(index % 2 != 0).any(axis=1)]
    positions = index @ np.array([[16.0, 0], [8.0, 8 * np.sqrt(3)]]) + 160
    label = np.zeros(len(positions), int)
    whole = sites_of(positions, label, shape=(320, 320), sigma=2.6)
    quality = whole.quality()
    assert quality.coverage == 1.0
    assert not (quality.flags & SiteFlag.HOLE).any()
    gone = inner_rows(whole, 40, 6)
    quality = without(whole, gone).quality()
    assert len(quality.suspected_misses) == 6
    assert len(quality.vacancies) == 0


def test_polycrystal_warns_of_nothing():
    data = make_polycrystal(random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sites = AtomLocator().fit_transform(data)
    quality = sites.quality()
    assert len(quality.suspected_misses) <= 2
    # The generator leaves out columns where grains meet.
    assert len(quality.vacancies) < 0.01 * len(sites)


@pytest.mark.parametrize("name", REAL)
def test_good_real_images(name):
    if not (DATA / name).exists():
        pytest.skip("no experimental image at hand")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sites = AtomLocator().fit_transform(load_image(DATA / name))
    quality = sites.quality()
    assert quality.coverage > 0.998
    assert len(quality.merged) <= 0.002 * len(sites)
    assert len(quality.short_pairs) <= 0.002 * len(sites)
    # Columns taken out are noticed there, too.
    gone = inner_rows(sites, 2.5 * quality.spacing[0], 10, apart=3 * quality.spacing[0])
    misses = without(sites, gone).quality().suspected_misses
    distance, _ = cKDTree(misses.positions).query(sites.positions[gone])
    assert distance.max() < 0.2 * quality.spacing[0]
    assert len(misses) <= 10 + len(quality.suspected_misses)


# Warnings -----------------------------------------------------------------------------


def test_missed_columns_are_warned_of_once():
    data = make_ferroic_image("film", shape=(256, 256), random_state=0)
    locator = AtomLocator(threshold=0.9, spacing=14.1)
    with pytest.warns(UserWarning, match=r"about \d+ places .* have no site") as caught:
        locator.fit_transform([data.image, data.image])
    (warning,) = caught
    message = str(warning.message)
    assert "Image 0" in message
    assert "1 more image" in message
    for advice in ("UNetAtomLocator", "spacing=", "sites.quality()"):
        assert advice in message
    assert warning.filename == __file__


def test_unresolved_pairs_are_warned_of():
    middle = np.stack(np.mgrid[:15, :20], axis=-1).reshape(-1, 2) * [22.0, 16.0] + 8
    pairs = np.r_[middle - [0, 2.1], middle + [0, 2.1]]
    n = len(pairs)
    unknown = np.full(n, np.nan)
    columns = Columns(pairs, np.ones(n), np.full(n, 2.0), unknown, unknown)
    image = 100 * (render_columns((330, 330), columns) + 0.1)
    image = np.random.default_rng(5).poisson(image)
    with pytest.warns(UserWarning, match="close pairs") as caught:
        sites = AtomLocator().fit_transform(image)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert sites.has_flag("merged").mean() > 0.9


@pytest.mark.parametrize("noise", [0.02, 0.25])
def test_vacancies_are_no_misses(noise):
    whole = perovskite(shape=(400, 410))
    gone = inner_rows(whole, 25, 30, apart=30)
    rest = without(whole, gone)
    image = sites_of(
        rest.positions, rest.sublattice, shape=(400, 410), noise=noise
    ).images[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sites = AtomLocator().fit_transform(image)
    assert len(sites) > 0.9 * len(rest)


def test_masked_regions_are_no_holes(film):
    image = film.images[0]
    mask = np.hypot(*(np.indices(image.shape) - 190)) < 9
    sites = AtomLocator().fit_transform(np.ma.array(image, mask=mask))
    assert len(sites) < len(film)
    assert not sites.has_flag("hole").any()
    distance = np.hypot(*(sites.positions - 190).T)
    assert sites.has_flag("edge")[distance < 10].all()


# The summary --------------------------------------------------------------------------


def test_net_displacement_and_common_ellipticity():
    shift = np.array([0.9, -0.5])
    sites = perovskite(displacement=shift)
    polarization = np.where(sites.sublattice[:, None] == 1, shift, np.nan)
    noise = np.random.default_rng(0).normal(0, 0.2, polarization.shape)
    sites.polarization[:] = polarization + noise
    quality = sites.quality()
    n = np.count_nonzero(sites.sublattice == 1)
    np.testing.assert_allclose(
        quality.net_displacement_std[0], 0.2 / np.sqrt(n), rtol=0.2
    )
    error = quality.net_displacement[0] - shift
    assert (np.abs(error) < 4 * quality.net_displacement_std[0]).all()
    assert quality.is_net_displacement_significant.all()
    assert "mistilt or a net polarization" in quality.summary()
    assert quality.ellipticity[0] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("ratio", "angle"), [(1.08, 0.4), (1.15, -1.2)])
@pytest.mark.parametrize("shape", ["circular", "elliptical"])
def test_astigmatism_is_measured(ratio, angle, shape):
    points = grid(20, 20.0, (5.0, 6.0))
    n = len(points)
    columns = Columns(
        points, np.ones(n), np.full(n, 3.0), np.full(n, ratio), np.full(n, angle)
    )
    image = 0.1 + render_columns((300, 300), columns)
    image = image + np.random.default_rng(0).normal(0, 0.03, image.shape)
    quality = AtomLocator(shape=shape).fit_transform(image).quality()
    assert quality.ellipticity[0] == pytest.approx(ratio, abs=0.02)
    assert quality.ellipse_rotation[0] == pytest.approx(angle, abs=0.1)
    assert (quality.ellipticity[0] - 1) > 5 * quality.ellipticity_std[0]


def test_residual_shows_what_has_been_left_out(film):
    quality = film.quality()
    gone = inner_rows(film, 40, 1)
    rest = without(film, gone).quality()
    row, col = np.rint(film.positions[gone[0]]).astype(int)
    before, after = (q.residual_map(0)[row, col] for q in (quality, rest))
    height = film.amplitude[gone[0]]
    assert abs(before) < 0.3 * height
    assert after > 0.6 * height
    assert rest.residual_ratio() > quality.residual_ratio()
    bare = AtomSites(film.images[0], film.positions)
    with pytest.raises(ValueError, match="no sites with a fitted amplitude"):
        bare.quality().residual_map()


def test_tables_and_text(film):
    gone = inner_rows(film, 25, 4)
    sites = AtomSites.concatenate([without(film, gone), perovskite(shape=(200, 210))])
    quality = sites.quality()
    table = quality.to_frame()
    assert list(table["n_suspected_misses"]) == [4, 0]
    assert table["n_sites"].sum() == len(sites)
    assert table["n_sublattice0"].sum() == quality.n_sites[0]
    assert np.isfinite(table["residual_ratio"]).all()
    places = quality.suspected_misses.to_frame()
    assert list(places["frame"]) == [0, 0, 0, 0]
    np.testing.assert_array_equal(
        places[["row", "col"]], quality.suspected_misses.positions
    )
    assert "4 suspected misses" in repr(quality)
    assert "image 1: spacing" in quality.summary()


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_next_to_no_sites(n):
    sites = AtomSites(np.eye(40), np.linspace(5, 30, max(n, 1))[:n, None] * [1.0, 1.0])
    quality = sites.quality()
    assert len(quality.suspected_misses) == len(quality.merged) == 0
    assert len(quality.to_frame()) == 1
    assert f"{n} sites" in quality.summary()


def test_sites_without_lattice_or_fit_are_checked_too(film):
    gone = inner_rows(film, 40, 3)
    bare = AtomSites(film.images[0], film.positions, sublattice=film.sublattice)
    misses = without(bare, gone).quality().suspected_misses
    assert len(misses) == 3
    assert np.isnan(misses.relative_amplitude).all()


def test_speed_and_memory_of_many_sites():
    n = 224
    a = grid(n, 14.0, (20.0, 20.0))
    positions = np.r_[a, a + 7.0] + np.random.default_rng(0).normal(
        0, 0.2, (2 * n * n, 2)
    )
    image = np.zeros((14 * n + 60, 14 * n + 60), dtype=np.float32)
    sites = AtomSites(
        image,
        positions,
        sublattice=np.repeat([0, 1], n * n),
        amplitude=np.ones(len(positions)),
        sigma=np.full(len(positions), 2.5),
        lattice_vectors=np.tile([[0.0, 14.0], [14.0, 0.0]], (len(positions), 1, 1)),
    )
    start = time.process_time()
    quality = sites.quality()
    assert time.process_time() - start < 6
    assert quality.coverage == 1.0


# The field ----------------------------------------------------------------------------


@pytest.fixture
def flagged():
    return AtomSites(
        np.zeros((20, 20)),
        [[2, 2], [2, 9], [9, 2], [9, 9]],
        flags=[0, SiteFlag.MERGED | SiteFlag.HOLE, SiteFlag.EDGE, 1023],
        significance=[9.5, np.nan, 2.0, 1.0],
    )


def test_flags_are_asked_for_by_name(flagged):
    assert flagged.flags.dtype == np.uint16
    assert flagged.has_flag("merged").tolist() == [False, True, False, True]
    assert flagged.has_flag("Merged|edge").tolist() == [False, True, True, True]
    assert flagged.has_flag(["hole", SiteFlag.EDGE]).tolist() == [
        False,
        True,
        True,
        True,
    ]
    assert flagged.has_flag(32).tolist() == [False, False, True, True]
    with pytest.raises(ValueError, match=r"no flag 'bad'.*'merged', 'hole'"):
        flagged.has_flag("bad")
    for wrong in (0, -1, 1024):
        with pytest.raises(ValueError, match="bit of SiteFlag"):
            flagged.has_flag(wrong)
    for wrong in (1.5, None, [], True):
        with pytest.raises(TypeError, match='name such as "merged"'):
            flagged.has_flag(wrong)


def test_flags_travel(flagged, tmp_path):
    np.testing.assert_array_equal(flagged[[3, 1]].flags, [1023, 3])
    np.testing.assert_array_equal(flagged[[0, 2]].significance, [9.5, 2.0])
    joined = AtomSites.concatenate([flagged[2:], flagged[:2]])
    np.testing.assert_array_equal(joined.flags, [32, 1023, 0, 3])
    other = copy.deepcopy(flagged)
    assert other == flagged
    other.flags[0] = 1
    assert other != flagged
    flagged.to_hdf5(tmp_path / "sites.h5")
    assert AtomSites.from_hdf5(tmp_path / "sites.h5") == flagged
    with h5py.File(tmp_path / "sites.h5") as file:
        attributes = file["sites/flags"].attrs
        masks, meanings = attributes["flag_masks"], attributes["flag_meanings"].split()
    assert dict(zip(meanings, masks, strict=True)) == {
        flag.name.lower(): flag.value for flag in SiteFlag
    }


def test_flags_are_text_in_tables(flagged, tmp_path):
    names = [flag.name.lower() for flag in SiteFlag]
    expected = ["ok", "merged|hole", "edge", "|".join(names)]
    assert list(flagged.to_frame()["flags"]) == expected
    flagged.to_csv(tmp_path / "sites.csv")
    assert list(pd.read_csv(tmp_path / "sites.csv", comment="#")["flags"]) == expected
    assert list(flagged[:0].to_frame()["flags"]) == []


def test_files_of_older_versions_have_no_flags(flagged, tmp_path):
    flagged.to_hdf5(tmp_path / "sites.h5")
    with h5py.File(tmp_path / "sites.h5", "a") as file:
        del file["sites/flags"], file["sites/significance"]
        # version 1.0 had no digest
        file.attrs["format_version"] = "1.0"
        del file.attrs["sha256"]
    path = tmp_path / "sites.h5"
    path.write_bytes(sealed(path.read_bytes()))
    old = AtomSites.from_hdf5(tmp_path / "sites.h5")
    assert (old.flags == 0).all()
    assert np.isnan(old.significance).all()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([0.5], "flags must contain whole numbers"),
        ([-1], "flags must lie between 0 and 65535"),
        ([70000], "flags must lie between 0 and 65535"),
        ([0, 1], r"flags must have shape \(1,\)"),
    ],
)
def test_wrong_flags_are_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        AtomSites(np.eye(4), [[1, 1]], flags=flags)
