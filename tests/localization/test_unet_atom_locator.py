"""What UNetAtomLocator finds with the weights that come with it."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomLocator, PatchExtractor, UNetAtomLocator
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.localization._fitting.columns import ColumnTable
from sklearn_ferroic.localization._fitting.windows import render_columns
from sklearn_ferroic.localization._unet.evidence import has_neighbors

SPACING = 14.0
# Dose that makes one count at the peak of a Bi column.
PER_COUNT = 1 / (0.12 * 0.2**2)
# The images are in counted electrons.
COUNTING = {"detector_gain": 1, "detector_offset": 0, "read_noise": 0}


def make(preset="film", seed=50, peak=50, shape=(320, 300), **options):
    options = {"dose": peak * PER_COUNT} | COUNTING | options
    return make_ferroic_image(preset, shape=shape, random_state=seed, **options)


def f1(sites, data, kind, margin=SPACING):
    """F1 of the columns of a kind a spacing away from the border."""
    inner = [
        np.all((p >= margin) & (p <= np.array(data.image.shape) - 1 - margin), axis=1)
        for p in (sites.positions, data.positions)
    ]
    found = sites.positions[inner[0] & (sites.sublattice == kind)]
    true = data.positions[inner[1] & (data.sublattice == kind)]
    distance, nearest = cKDTree(found).query(true)
    n_right = len(np.unique(nearest[distance < 0.25 * SPACING]))
    return 2 * n_right / (len(found) + len(true))


@pytest.fixture(scope="module")
def locator():
    return UNetAtomLocator.from_pretrained()


@pytest.fixture(scope="module")
def film():
    return make()


@pytest.fixture(scope="module")
def sites(locator, film):
    return locator.transform(film.image)


@pytest.mark.parametrize("preset", ["film", "superlattice"])
@pytest.mark.parametrize("seed", [51, 52])
def test_finds_and_names_clear_columns(locator, preset, seed):
    data = make(preset, seed)
    sites = locator.transform(data.image)
    assert f1(sites, data, 0) >= 0.99
    assert f1(sites, data, 1) >= 0.99


# AtomLocator says itself that it misses columns here.
@pytest.mark.filterwarnings("ignore:about .* have no site")
# A mistilt of 50 mrad draws all columns out to 1.7 times their width.
@pytest.mark.filterwarnings("ignore:All columns of image 0 are longer")
@pytest.mark.parametrize("seed", [51, 52])
@pytest.mark.parametrize(
    ("options", "least"),
    [({"peak": 1.5}, 0.97), ({"peak": 10, "mistilt_mrad": 50.0}, 0.9)],
    ids=str,
)
def test_finds_what_peaks_do_not_show(locator, options, least, seed):
    data = make(seed=seed, **options)
    found = f1(locator.transform(data.image), data, 1)
    assert found >= least
    with warnings.catch_warnings():
        # of the B columns it misses
        warnings.filterwarnings("ignore", message="The sites of image 0 may not be")
        by_peaks = AtomLocator().fit_transform(data.image)
    assert found >= 0.1 + f1(by_peaks, data, 1)


@pytest.mark.parametrize("preset", ["film", "superlattice"])
def test_finds_and_names_columns_of_three_counts(locator, preset):
    data = make(preset, peak=3)
    sites = locator.transform(data.image)
    assert min(f1(sites, data, kind) for kind in (0, 1)) >= 0.99


@pytest.mark.parametrize("ratio", [0.3, 0.7])
@pytest.mark.parametrize("rows_apart", [1.2, 1.41])
def test_names_columns_that_alternate_along_rows(locator, ratio, rows_apart):
    """As along [110] of a perovskite, where B stands on an edge of the cell."""
    place = np.arange(10, 300, rows_apart * 20), np.arange(10, 290, 20)
    true = np.stack(np.meshgrid(*place, indexing="ij"), axis=-1).reshape(-1, 2)
    kind = np.tile(np.arange(len(place[1])) % 2, len(place[0]))
    rows, cols = (
        np.exp(-((np.arange(length)[:, None] - true[:, axis]) ** 2) / 2 / 5**2)
        for axis, length in enumerate((300, 290))
    )
    expected = 25 + (rows * np.where(kind, 60 * ratio, 60)) @ cols.T
    sites = locator.transform(np.random.RandomState(0).poisson(expected))
    inner = np.all((true > 25) & (true < 265), axis=1)
    distance, nearest = cKDTree(sites.positions).query(true[inner])
    assert distance.max() < 2
    np.testing.assert_array_equal(sites.sublattice[nearest], kind[inner])


@pytest.mark.parametrize(
    ("beside", "share", "kept"),
    [
        ([60, 100], 0.9, True),
        ([60, 100], 0.6, False),
        ([60, 92], 0.6, True),
        ([4, 100], 0.6, True),
        ([60, 140], 0.9, False),
    ],
    ids=["sure", "doubtful", "within", "at the border", "alone"],
)
def test_blobs_beside_a_crystal_are_no_columns(beside, share, kept):
    row, col = np.mgrid[4:121:8, 4:97:8]
    crystal = np.stack([row.ravel(), col.ravel()], axis=1)
    crystal = crystal[(crystal != beside).any(axis=1)]
    positions = np.concatenate([crystal, [beside]])
    evidence = np.repeat([[1.0, 0.0]], len(positions), axis=0)
    evidence[-1] = 0.1, share - 0.1
    together = has_neighbors(positions, evidence, (125, 200))
    assert together[:-1].all()
    assert together[-1] == kept


def test_positions_are_as_good_as_the_other_locators(sites, film):
    def error(found):
        distance, nearest = cKDTree(found.positions).query(film.positions)
        return np.where(distance < 3, distance, np.nan), nearest

    own, other = error(sites)[0], error(AtomLocator().fit_transform(film.image))[0]
    both = np.isfinite(own) & np.isfinite(other)
    assert both.mean() > 0.98
    assert np.sqrt(np.mean(own[both] ** 2)) <= 1.05 * np.sqrt(np.mean(other[both] ** 2))


def test_what_is_known_of_a_site(sites, film):
    order = np.lexsort(np.rint(sites.positions.T[::-1]))
    np.testing.assert_array_equal(order, np.arange(len(sites)))
    assert sites.converged.mean() > 0.98
    assert np.isfinite(sites.position_std[sites.converged]).all()
    assert ((sites.probability > 0) & (sites.probability <= 1)).all()
    assert np.median(sites.probability) > 0.98
    bright, faint = (
        np.median(sites.amplitude[sites.sublattice == kind]) for kind in (0, 1)
    )
    expected = [np.median(film.amplitude[film.sublattice == kind]) for kind in (0, 1)]
    np.testing.assert_allclose([bright, faint], expected, rtol=0.1)
    assert np.isfinite(sites.polarization[sites.sublattice == 1]).mean() > 0.7
    assert "probability" in sites.to_frame()


@pytest.mark.parametrize("seed", [50, 52])
def test_probability_tells_doubtful_sites(seed):
    data = make(seed=seed, peak=1.5, mistilt_mrad=50.0)
    # What it is calibrated on: where the network has the columns.
    locator = UNetAtomLocator.from_pretrained(
        spacing=SPACING, threshold=0.3, refine=None
    )
    sites = locator.transform(data.image)
    distance, nearest = cKDTree(data.positions).query(sites.positions)
    right = (distance < 0.25 * SPACING) & (data.sublattice[nearest] == sites.sublattice)
    doubt = 1 - sites.probability
    assert doubt[~right].mean() > 3 * doubt[right].mean()
    assert abs(sites.probability.mean() - right.mean()) < 0.05


@pytest.mark.parametrize("kind", ["vacuum", "amorphous"])
def test_no_columns_where_there_is_no_crystal(locator, kind):
    data = make(dose=np.inf, shape=(300, 400))
    draw = np.random.RandomState(0)
    other = np.full((300, 400), 3.0)
    if kind == "amorphous":
        blobs = gaussian_filter(draw.normal(size=other.shape), 3)
        other = 25 * np.maximum(1 + 0.5 * blobs / blobs.std(), 0)
    crystal = np.arange(400) < 200
    image = draw.poisson(np.where(crystal, 0.4 * data.image, other))
    sites = locator.transform(image)
    assert not np.any(sites.positions[:, 1] > 200 + SPACING)
    n_true = np.sum(data.positions[:, 1] < 200)
    assert abs(len(sites) - n_true) < 0.06 * n_true


@pytest.mark.parametrize("kind", ["square", "hexagonal"])
@pytest.mark.parametrize("peak", [20, 1000])
def test_crystals_of_one_kind_have_no_second_sublattice(locator, columns, kind, peak):
    image = columns((300, 320), ratio=0.0, peak=peak, background=0.3 * peak, kind=kind)
    sites = locator.transform(image.image)
    assert not sites.sublattice.any()
    inner, true = (
        p[((p > 20) & (p < [280, 300])).all(axis=1)]
        for p in (sites.positions, image.positions)
    )
    distance, _ = cKDTree(sites.positions).query(true)
    assert distance.max() < 1.5
    assert len(inner) == pytest.approx(len(true), abs=3)


@pytest.mark.parametrize("occupied", [0.2, 0.4])
def test_sparse_columns_of_the_second_kind_are_kept(locator, columns, occupied):
    truth = columns((340, 330), ratio=0.15, peak=3000, background=900, noisy=False)
    rng = np.random.default_rng(0)
    is_b = truth.sublattice == 1
    gone = is_b & (rng.random(len(is_b)) > occupied)
    table = ColumnTable.make(truth.amplitude[gone], truth.positions[gone], truth.sigma)
    expected = truth.expected - render_columns(truth.image.shape, table, truth.sigma)
    sites = locator.transform(rng.poisson(expected).astype(np.float32))
    left = truth.positions[is_b & ~gone]
    left = left[((left > 20) & (left < [320, 310])).all(axis=1)]
    distance, nearest = cKDTree(sites.positions).query(left)
    assert distance.max() < 2
    assert np.mean(sites.sublattice[nearest] == 1) > 0.95


@pytest.mark.parametrize("pixel_size", [0.012, 0.045])
def test_any_magnification(locator, pixel_size):
    data = make(pixel_size=pixel_size, dose=25e3, shape=(360, 300))
    sites = locator.transform(data.image)
    distance, nearest = cKDTree(sites.positions).query(data.positions)
    spacing = 0.396 / np.sqrt(2) / pixel_size
    right = (distance < 0.25 * spacing) & (sites.sublattice[nearest] == data.sublattice)
    assert right.mean() > 0.97
    assert abs(len(sites) - len(data.positions)) < 0.03 * len(sites)


def test_spacing_of_the_a_columns_alone_does_no_harm(film):
    locator = UNetAtomLocator.from_pretrained(spacing=SPACING * np.sqrt(2))
    sites = locator.transform(film.image)
    assert min(f1(sites, film, kind) for kind in (0, 1)) > 0.97


def test_brightness_and_its_unit_have_no_say(locator, film, sites):
    other = locator.transform(film.image.astype(np.float64) * 1e-12 - 3e-12)
    assert len(other) == len(sites)
    distance, nearest = cKDTree(sites.positions).query(other.positions)
    assert np.quantile(distance, 0.99) < 0.1
    np.testing.assert_allclose(other.probability, sites.probability[nearest], atol=1e-2)


def test_tiles_leave_no_seams():
    data = make("superlattice", peak=10, shape=(540, 620))
    tiled, whole = (
        UNetAtomLocator.from_pretrained(tile_size=size, n_views=2)
        for size in (256, None)
    )
    (first,), (second,) = (
        tiled.predict_proba(data.image),
        whole.predict_proba(data.image),
    )
    np.testing.assert_allclose(first, second, atol=1e-3)
    first, second = tiled.transform(data.image), whole.transform(data.image)
    assert len(first) == len(second)
    distance, nearest = cKDTree(second.positions).query(first.positions)
    assert distance.max() < 1e-2
    np.testing.assert_array_equal(first.sublattice, second.sublattice[nearest])


def test_class_maps(locator, film):
    maps = locator.predict_proba([film.image, film.image[:200, :160]])
    assert [m.shape for m in maps] == [(320, 300, 3), (200, 160, 3)]
    np.testing.assert_allclose(maps[0].sum(axis=-1), 1, atol=1e-5)
    row, col = np.rint(film.positions).astype(int).T
    named = maps[0][row, col].argmax(axis=-1)
    assert np.mean(named == film.sublattice + 1) > 0.98
    middle = film.positions[film.sublattice == 0] + [SPACING / np.sqrt(2), 0]
    row, col = np.rint(middle[middle[:, 0] < 310]).astype(int).T
    assert np.mean(maps[0][row, col].argmax(axis=-1) == 0) > 0.95


def test_score_against_labels_and_without(locator, film):
    assert locator.score(film.image, film) > 0.98
    swapped = film.positions, 1 - film.sublattice
    assert locator.score(film.image, swapped) < 0.02
    own, other = locator.score(film.image), AtomLocator().fit(film.image)
    assert own == pytest.approx(other.score(film.image), abs=0.03)


def test_one_line_swaps_locators_in_a_pipeline(film):
    rows = [
        make_pipeline(swapped, PatchExtractor(window_size=24)).fit_transform(film.image)
        for swapped in (
            AtomLocator(sublattice=1, border="drop"),
            UNetAtomLocator(weights="pretrained", sublattice=1, border="drop"),
        )
    ]
    assert rows[0].shape == rows[1].shape
    np.testing.assert_allclose(rows[0], rows[1], atol=1)


def test_masked_pixels(locator, film, sites):
    masked = np.ma.array(film.image, mask=np.zeros(film.image.shape, dtype=bool))
    masked[100:180, 120:200] = np.ma.masked
    found = locator.transform(masked)
    inside = np.all(
        (found.positions > [99.5, 119.5]) & (found.positions < [179.5, 199.5]), axis=1
    )
    assert not inside.any()
    away = np.abs(sites.positions - [140, 160]).max(axis=1) > 70
    distance, _ = cKDTree(found.positions).query(sites.positions[away])
    assert distance.max() < 0.5


@pytest.mark.parametrize("refine", ["center_of_mass", None])
def test_other_ways_to_refine(film, sites, refine):
    found = UNetAtomLocator.from_pretrained(refine=refine).transform(film.image)
    assert np.isnan(found.sigma).all()
    distance, _ = cKDTree(found.positions).query(sites.interior(10).positions)
    assert 0.05 < np.median(distance) < 1.5


def test_ellipses_of_tilted_columns():
    data = make(peak=100, mistilt_mrad=30.0)
    found = UNetAtomLocator.from_pretrained(shape="elliptical").transform(data.image)
    assert np.median(found.ellipticity[found.converged]) > 1.1


def test_several_images_in_parallel(film, sites):
    locator = UNetAtomLocator.from_pretrained(n_jobs=2)
    found = locator.transform([film.image, film.image[::-1]])
    assert found[found.frame == 0].positions == pytest.approx(sites.positions)
    assert np.sum(found.frame == 1) == pytest.approx(len(sites), rel=0.02)


def test_no_columns():
    noise = np.random.RandomState(2).poisson(20, (200, 200))
    with pytest.raises(ValueError, match="No columns found in image 0"):
        UNetAtomLocator.from_pretrained().transform(noise)
    with pytest.raises(ValueError, match="No columns found in image 0"):
        UNetAtomLocator.from_pretrained(spacing=12).transform(noise)


def test_next_to_nothing_in_noise():
    n_found, n_cells = 0, 0
    for seed in range(6):
        noise = np.random.RandomState(seed).poisson(20, (200, 200))
        try:
            sites = UNetAtomLocator.from_pretrained(spacing=12).transform(noise)
        except ValueError:
            sites = ()
        n_found += len(sites)
        n_cells += noise.size / 12**2
    assert n_found < 0.01 * n_cells


def test_dark_columns_are_warned_of(locator, film):
    with (
        pytest.warns(UserWarning, match="Image 0 looks like dark columns"),
        pytest.raises(ValueError, match="No columns found in image 0"),
    ):
        locator.transform(-film.image)


def test_calibration_needs_right_and_wrong_sites(film):
    locator = UNetAtomLocator.from_pretrained(n_views=1)
    with pytest.raises(ValueError, match="are wrong"):
        locator.calibrate(film.image, (film.positions, 1 - film.sublattice))
    before = locator.confidence_
    hard = make(peak=2, mistilt_mrad=50.0)
    assert locator.calibrate(hard.image, hard) is locator
    assert locator.confidence_ != before
    sites = locator.transform(hard.image)
    score = locator.score(hard.image, hard)
    assert sites.probability.mean() == pytest.approx(score, abs=0.1)


def test_common_ellipse_of_stretched_columns_is_reported(locator):
    # As with AtomLocator, where astigmatism stretches all columns alike.
    data = make_ferroic_image(shape=(384, 400), random_state=0)
    found, expected = (
        other.fit_transform(data.image) for other in (locator, AtomLocator())
    )
    assert found.ellipticity == pytest.approx(expected.ellipticity[0], abs=0.02)
    assert found.ellipticity[0] > 1.03
