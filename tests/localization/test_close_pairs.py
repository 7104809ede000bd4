"""Close pairs of columns (dumbbells): resolved by a joint fit, or flagged as merged."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, Motif, MotifAssigner
from sklearn_ferroic.datasets import load_image
from sklearn_ferroic.localization._detection.pair_fit import find_all_close_pairs

from ..feature_extraction._crystals import draw, interior, make_crystal

SIZE = 220
SIGMA = 2.0
REAL = Path(__file__).parents[3] / "shared" / "data" / "real"


def dumbbells(separation, ratio=1.0, *, dose=500, seed=0, rotation=25.0):
    """Return the columns and the image of zinc blende along [110]."""
    table = [("M", 0, 0, 1.0), ("M", 0.5, 0.5, 1.0)]
    table += [("X", 0, 0.25, ratio), ("X", 0.5, 0.75, ratio)]
    crystal = make_crystal(
        Motif.from_table(table, lengths=(0.458, 0.648)),
        size=SIZE,
        spacing=separation,
        rotation=rotation,
        strain=0.01,
        noise=0.0,
        vacancies=0.0,
        scatter=0.03,
        seed=seed,
    )
    return crystal, draw(crystal, size=SIZE, sigma=SIGMA, dose=dose, seed=seed)


def matched(sites, crystal):
    """Return interior columns, their nearest sites, and the number of other sites.

    The generator leaves out columns at the border, so that half pairs are there.
    """
    inner = interior(crystal.positions, SIZE, 28)
    _, row = cKDTree(sites.positions).query(crystal.positions[inner])
    own = interior(sites.positions, SIZE, 28)
    distance, _ = cKDTree(crystal.positions).query(sites.positions[own])
    # Nearer to a column than to the middle of the closest pairs.
    return inner, row, int((distance > 2.0).sum())


@pytest.mark.parametrize("dose", [500, 60])
@pytest.mark.parametrize("ratio", [1.0, 0.6])
@pytest.mark.parametrize("separation", [4.5, 5.2, 6.5, 8.0])
def test_pairs_are_resolved_from_2_25_sigma_on(separation, ratio, dose):
    crystal, image = dumbbells(separation, ratio, dose=dose, seed=3)
    locator = AtomLocator()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sites = locator.fit_transform(image)
    inner, row, n_others = matched(sites, crystal)
    offset = sites.positions[row] - crystal.positions[inner]
    assert n_others == 0
    assert np.mean(np.hypot(*offset.T) < 1.2) > 0.99
    assert np.hypot(*offset.mean(axis=0)) < 0.05
    # Standard errors hold.
    error = np.hypot(*(offset / sites.position_std[row]).T) / np.sqrt(2)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(1, abs=0.25)
    assert locator.spacing_ == pytest.approx(separation, rel=0.04)
    assert locator.width_ == pytest.approx(SIGMA, rel=0.06)
    assert locator.n_sublattices_ == (1 if ratio == 1 else 2)
    if ratio < 1:
        assert np.array_equal(sites.sublattice[row], crystal.species[inner])


def test_rows_of_pairs_along_one_axis():
    middle = np.stack(np.mgrid[:15, :20], axis=-1).reshape(-1, 2) * [22.0, 16.0] + 8
    for separation in (5.0, 5.5, 6.0):
        half = np.array([0, separation / 2])
        crystal = make_crystal(Motif.from_preset("rock_salt_001"))._replace(
            positions=np.r_[middle - half, middle + half], intensity=np.ones(600)
        )
        image = draw(crystal, size=330, sigma=2.0, dose=100.0, seed=5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sites = AtomLocator().fit_transform(image)
        inner = interior(crystal.positions, 330, 10)
        distance, _ = cKDTree(sites.positions).query(crystal.positions[inner])
        assert (distance < 1.5).all()


def test_transform_repeats_fit_and_other_images_follow():
    _, image = dumbbells(5.0, 0.6, seed=0)
    second, other = dumbbells(5.0, 0.6, seed=1, rotation=70.0)
    locator = AtomLocator()
    sites = locator.fit_transform(image)
    assert np.allclose(locator.transform(image).positions, sites.positions)
    inner, row, n_others = matched(locator.transform(other), second)
    assert n_others == 0
    assert len(np.unique(row)) == inner.sum()
    assert locator.score(image) > 0.95


@pytest.mark.parametrize(
    ("separation", "ratio", "seed"), [(4.6, 0.6, 1), (6.0, 1.0, 0)]
)
def test_single_columns_at_the_border_and_beside_vacancies_are_not_merged(
    separation, ratio, seed
):
    crystal, _ = dumbbells(separation, ratio, dose=50, seed=seed)
    # Columns without a partner in the middle of the image, too.
    inner = np.flatnonzero(interior(crystal.positions, SIZE, 40))
    absent = np.random.default_rng(seed).choice(inner, 12, replace=False)
    kept = np.setdiff1d(np.arange(len(crystal.positions)), absent)
    crystal = crystal._replace(
        positions=crystal.positions[kept],
        species=crystal.species[kept],
        intensity=crystal.intensity[kept],
    )
    image = draw(crystal, size=SIZE, sigma=SIGMA, dose=50, seed=seed)
    sites = AtomLocator().fit_transform(image)
    tree = cKDTree(crystal.positions)
    n_near = np.array(
        [len(near) for near in tree.query_ball_point(sites.positions, 0.7 * separation)]
    )
    n_single = np.count_nonzero(n_near == 1)
    assert n_single > 12
    assert sites.has_flag("merged")[n_near == 1].sum() <= 1
    assert sites.has_flag("merged").mean() < 0.005
    own = interior(sites.positions, SIZE, 12)
    assert (tree.query(sites.positions[own])[0] < 1.2).mean() > 0.99


def test_pairs_below_2_25_sigma_are_merged_and_said_to_be():
    crystal, image = dumbbells(4.0)
    with pytest.warns(UserWarning, match="close pairs") as caught:
        sites = AtomLocator().fit_transform(image)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "spacing=4." in str(caught[0].message)
    inner = interior(sites.positions, SIZE, 18)
    assert sites.has_flag("merged")[inner].all()
    # One site at the middle of each pair.
    middle = cKDTree(crystal.positions).query(sites.positions[inner], 2)[1]
    offset = crystal.positions[middle].mean(axis=1) - sites.positions[inner]
    assert np.median(np.hypot(*offset.T)) < 0.1


@pytest.mark.parametrize("ratio", [1.0, 0.6])
@pytest.mark.parametrize(("separation", "dose"), [(1.9, 500), (2.0, 50), (2.1, 500)])
def test_all_orientations_of_unresolved_pairs_are_recognized(separation, dose, ratio):
    for seed in range(4):
        rotation = np.random.default_rng(seed).uniform(0, 90)
        _, image = dumbbells(
            2 * separation, ratio=ratio, dose=dose, rotation=rotation, seed=seed
        )
        (pair,), _ = find_all_close_pairs([np.float32(image)], [None], None)
        assert not pair.is_resolved
        assert pair.separation / pair.sigma == pytest.approx(separation, rel=0.06)


def test_the_distance_within_pairs_resolves_them_below_the_limit():
    crystal, image = dumbbells(4.2, 0.8)
    sites = AtomLocator(spacing=4.2).fit_transform(image)
    inner, row, n_others = matched(sites, crystal)
    offset = sites.positions[row] - crystal.positions[inner]
    assert n_others == 0
    assert np.mean(np.hypot(*offset.T) < 1.2) > 0.99


def test_the_distance_between_pairs_locates_each_as_one():
    crystal, image = dumbbells(5.0)
    between = np.median(cKDTree(crystal.positions).query(crystal.positions, 3)[0][:, 2])
    sites = AtomLocator(spacing=1.3 * between).fit_transform(image)
    inner = interior(crystal.positions, SIZE, 28).sum()
    n_sites = interior(sites.positions, SIZE, 28).sum()
    assert n_sites == pytest.approx(inner / 2, rel=0.05)
    assert sites.has_flag("merged").mean() > 0.8


@pytest.mark.parametrize("stretch", [1.35, 1.7])
def test_elongated_columns_are_no_pairs(stretch):
    # An ellipse at 35 degrees, as with astigmatism.
    points = np.stack(np.mgrid[:14, :14], axis=-1).reshape(-1, 2) * 22.0 + 8.0
    row, col = np.mgrid[:310, :310]
    u = np.array([np.sin(0.6), np.cos(0.6)])
    image = np.zeros((310, 310))
    for r, c in points:
        along, across = (row - r) * u[0] + (col - c) * u[1], (row - r) * u[1]
        across = across - (col - c) * u[0]
        image += np.exp(-((along / stretch) ** 2 + across**2) / (2 * 2.5**2))
    image += np.random.default_rng(0).normal(0, 0.05, image.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        sites = AtomLocator().fit_transform(image)
    assert len(sites) == len(points)
    assert not sites.has_flag("merged").any()


def test_zinc_blende_is_assigned_without_a_spacing():
    crystal, image = dumbbells(5.0, 0.6)
    table = [("M", 0, 0, 1.0), ("M", 0.5, 0.5, 1.0)]
    table += [("X", 0, 0.25, 0.6), ("X", 0.5, 0.75, 0.6)]
    motif = Motif.from_table(table, lengths=(0.458, 0.648))
    sites = AtomLocator().fit_transform((image, crystal.pixel_size))
    found = MotifAssigner(motif=motif).fit_transform(sites)
    inner, row, _ = matched(found, crystal)
    assert np.mean(found.motif_column[row] >= 0) > 0.99
    assert np.array_equal(found.sublattice[row], crystal.species[inner])


@pytest.mark.parametrize(
    ("file", "n_pairs", "separation_px", "n_sublattices"),
    [("cdte_twin.dm3", 740, 8.2, 2), ("si110_png.png", 200, 15.5, 1)],
)
def test_dumbbells_of_experimental_images(file, n_pairs, separation_px, n_sublattices):
    if not (REAL / file).exists():
        pytest.skip("the image is not here")
    if file.endswith("dm3"):
        pytest.importorskip("rsciio")
    locator = AtomLocator()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        sites = locator.fit_transform(load_image(REAL / file))
    assert len(sites) == pytest.approx(2 * n_pairs, rel=0.03)
    distance, _ = cKDTree(sites.positions).query(sites.positions, 2)
    assert np.median(distance[:, 1]) == pytest.approx(separation_px, rel=0.04)
    assert locator.n_sublattices_ == n_sublattices
    assert sites.converged.mean() > 0.97
    assert sites.has_flag("merged").mean() < 0.01


def separate_pairs(rows, cols, *, separation=8.0, seed=0):
    """Return the image of horizontal pairs on a rectangular lattice."""
    row, col = np.mgrid[:330, :340]
    image = np.zeros(row.shape)
    for r in np.arange(15, 320, rows):
        for c in np.arange(18, 330, cols):
            for sign in (-1, 1):
                square = (row - r) ** 2 + (col - c - sign * separation / 2) ** 2
                image += np.exp(-square / (2 * 2.4**2))
    return image + np.random.default_rng(seed).normal(0, 0.02, image.shape)


@pytest.mark.parametrize(("rows", "cols"), [(20, 28), (24, 34), (24, 24)])
def test_lattice_vectors_of_pairs_that_are_far_apart(rows, cols):
    sites = AtomLocator().fit_transform(separate_pairs(rows, cols))
    assert np.isfinite(sites.lattice_vectors).all()
    vectors = np.abs(np.median(sites.lattice_vectors, axis=0))
    np.testing.assert_allclose(vectors, [[0, cols], [rows, 0]], atol=0.2)


def test_refit_keeps_the_flag_of_merged_pairs():
    locator = AtomLocator()
    with pytest.warns(UserWarning, match="close pairs"):
        sites = locator.fit_transform(dumbbells(2.0 * SIGMA)[1])
    assert sites.has_flag("merged").mean() > 0.9
    refitted = locator.refit(sites)
    np.testing.assert_array_equal(refitted.has_flag("merged"), sites.has_flag("merged"))


def test_a_failed_fit_leaves_the_locator_as_it_was(columns):
    truth = columns()
    locator = AtomLocator().fit(truth.image)
    expected = locator.transform(truth.image)
    locator.set_params(sublattice=5)
    with pytest.raises(ValueError, match="sublattice"):
        locator.fit(separate_pairs(20, 28))
    locator.set_params(sublattice=None)
    assert locator.transform(truth.image) == expected
