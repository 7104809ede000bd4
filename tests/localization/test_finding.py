"""Every column, and nothing else, without an argument: numbers against the truth."""

import contextlib

import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.spacing import estimate_spacing
from sklearn_ferroic.datasets import make_ferroic_image, make_polycrystal
from tests.localization._truth import match


def count(sites, truth):
    """Hits, misses and inventions among the columns a spacing from the border."""
    found, _, n_missed, n_invented = match(sites, truth, truth.spacing)
    return len(found), n_missed, n_invented


def f1(sites, truth):
    n_hits, n_missed, n_invented = count(sites, truth)
    return 2 * n_hits / (2 * n_hits + n_missed + n_invented)


LATTICES = {
    "1:0.4": {"ratio": 0.4},
    "1:0.85": {"ratio": 0.85},
    "square": {"ratio": 0.0},
    "hexagonal": {"kind": "hexagonal", "ratio": 0.0},
}
lattices = pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)


@lattices
@pytest.mark.parametrize("peak", [50, 100, 1000])
def test_no_miss_and_no_invention(columns, lattice, peak):
    for seed in range(2):
        truth = columns(
            (420, 400),
            peak=peak,
            background=0.2 * peak,
            angle=0.1 + 0.4 * seed,
            seed=seed,
            **lattice,
        )
        n_hits, n_missed, n_invented = count(
            AtomLocator().fit_transform(truth.image), truth
        )
        assert n_hits > 280
        assert (n_missed, n_invented) == (0, 0)


@lattices
@pytest.mark.parametrize("peak", [20, 5])
def test_few_counts(columns, lattice, peak):
    for seed in range(2):
        truth = columns(
            (420, 400), peak=peak, background=0.2 * peak, seed=seed, **lattice
        )
        assert f1(AtomLocator().fit_transform(truth.image), truth) >= 0.99


def test_a_count_a_pixel(columns):
    # 39 counts per column and half as many of background on its area.
    truth = columns((420, 400), ratio=0.0, peak=1, background=0.2)
    locator = AtomLocator()
    assert f1(locator.fit_transform(truth.image), truth) >= 0.98
    assert locator.width_ == pytest.approx(truth.sigma, rel=0.12)


@lattices
@pytest.mark.parametrize("cell", [5, 7, 10, 40, 60])
def test_any_magnification(columns, lattice, cell):
    side = max(24 * cell, 180) if cell < 20 else 9 * cell
    truth = columns((side, side + 3 * cell), cell=cell, **lattice)
    locator = AtomLocator()
    sites = locator.fit_transform(truth.image)
    assert locator.spacing_ == pytest.approx(truth.spacing, rel=0.025)
    assert locator.width_ == pytest.approx(truth.sigma, rel=0.05)
    # Columns of 0.6 px and 40 counts cannot all be told from noise.
    n_hits, n_missed, n_invented = count(sites, truth)
    assert n_missed <= (0.004 * n_hits if cell == 5 else 0)
    assert n_invented <= (1 if cell == 5 else 0)


@pytest.mark.parametrize("sigma", [0.06, 0.09])
@pytest.mark.parametrize("cell", [13, 27, 45])
@pytest.mark.parametrize(
    "lattice",
    [*LATTICES.values(), {"kind": "rectangular", "ratio": 0.0}],
    ids=[*LATTICES, "rectangular"],
)
def test_columns_narrow_for_their_spacing(columns, lattice, cell, sigma):
    # Their strongest reflection is of the second to the third order.
    n_sublattices = 2 if lattice["ratio"] else 1
    # What is given is the share of the spacing.
    cell, sigma = cell * np.sqrt(n_sublattices), sigma / np.sqrt(n_sublattices)
    for seed in range(3):
        truth = columns(
            (320, 340), cell=cell, sigma=sigma, angle=0.3 * seed, seed=seed, **lattice
        )
        locator = AtomLocator()
        sites = locator.fit_transform(truth.image)
        assert locator.spacing_ == pytest.approx(truth.spacing, rel=0.02)
        assert locator.width_ == pytest.approx(truth.sigma, rel=0.05)
        assert count(sites, truth)[1:] == (0, 0)
        # Rows 1.3 spacings apart are no neighbours: chance may divide a short one.
        if lattice.get("kind") != "rectangular":
            assert locator.n_sublattices_ == n_sublattices


# With width and spacing known, the best threshold finds these at 0.985 for a cell
# of 5 px.
@pytest.mark.parametrize(("cell", "least"), [(5, 0.94), (6, 0.965), (7, 0.98)])
@pytest.mark.parametrize("missing", [0.0, 0.05])
# Where more than one in a hundred is missed, the warning is right, as is that of the
# coarse sampling.
@pytest.mark.filterwarnings("ignore:about .* have no site:UserWarning")
@pytest.mark.filterwarnings("ignore:The columns of image 0 are .* px apart:UserWarning")
def test_weak_columns_on_few_pixels(columns, cell, least, missing):
    # B columns of 8 counts and 0.7 px on 4 counts, not all above the noise.
    for seed in range(2):
        truth = columns(
            (24 * cell, 24 * cell),
            cell=cell,
            peak=20,
            background=4,
            sigma=0.14,
            missing=missing,
            seed=seed,
        )
        sites = AtomLocator().fit_transform(truth.image)
        assert f1(sites, truth) >= least
        n_hits, _, n_invented = count(sites, truth)
        assert n_invented <= 0.025 * n_hits


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_spacing_of_many_grains(seed):
    # Peaks of grains turned against each other run together in between shells.
    image = make_polycrystal(random_state=seed).image
    assert estimate_spacing(np.float32(image)) == pytest.approx(14.0, rel=0.025)


@pytest.mark.parametrize("ratio", [0.0, 0.4, 0.85])
@pytest.mark.parametrize(
    "options",
    [
        {"shape": (200, 900)},
        {"shape": (900, 200), "cell": 50.0},
        {"extra_background": np.linspace(0, 200, 224)},
        {"brightness": lambda p: np.where(p[:, 0] > 120, 1 / 3, 1)},
        {"missing": 0.15},
        {"sigma": 0.08},
        {"sigma": 0.17},
    ],
    ids=["wide", "tall", "ramp", "dark substrate", "missing", "sharp", "blurred"],
)
def test_any_image(columns, ratio, options):
    for seed in range(2):
        truth = columns(ratio=ratio, seed=seed, angle=0.1 + 0.4 * seed, **options)
        n_hits, n_missed, n_invented = count(
            AtomLocator().fit_transform(truth.image), truth
        )
        # On a slope of 200 counts, columns of 40 are at the limit.
        ramp = "extra_background" in options
        assert n_missed <= (0.005 * n_hits if ramp else 0)
        assert n_invented == 0


@pytest.mark.parametrize("refine", ["center_of_mass", None])
@pytest.mark.parametrize("ratio", [0.0, 0.4, 0.85])
def test_finding_without_the_fit(columns, refine, ratio):
    truth = columns((420, 400), ratio=ratio, peak=50, background=10)
    sites = AtomLocator(refine=refine).fit_transform(truth.image)
    assert count(sites, truth)[1:] == (0, 0)


def test_dark_columns_warn(columns):
    image = columns(ratio=0.0).image
    with (
        pytest.warns(UserWarning, match=r"Image 1 looks like dark .* pass -image"),
        contextlib.suppress(ValueError),  # there may be no bright column at all
    ):
        AtomLocator().fit([image, 255 - image])


@pytest.mark.parametrize("seed", range(3))
def test_vacuum_has_no_columns(columns, seed):
    # Two counts on a hundred pixels, beside B columns that are hard to find; the edge
    # cuts through columns.
    truth = columns((420, 500), cell=14, peak=5, background=1, seed=seed)
    truth.image[:, 250:] = np.random.default_rng(seed).poisson(0.02, (420, 250))
    sites = AtomLocator().fit_transform(truth.image)
    assert np.sum(sites.positions[:, 1] < 250) > 1000
    assert not np.any(sites.positions[:, 1] > 250 + 1.5 * truth.spacing)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("blur", [0, 1])
def test_noise_alone_has_no_columns(seed, blur):
    rng = np.random.default_rng(seed)
    image = rng.poisson(3, (260, 240)).astype(float)
    for _ in range(blur):
        image = image + np.roll(image, 1, axis=0) + np.roll(image, 1, axis=1)
    with pytest.raises(ValueError, match="No columns found in image 0"):
        AtomLocator().fit(image)


def test_border_keep_or_drop(columns):
    truth = columns(peak=300)
    kept = AtomLocator().fit_transform(truth.image)
    locator = AtomLocator(border="drop")
    whole = locator.fit_transform(truth.image)
    last = np.array(truth.image.shape) - 0.5
    depth = np.minimum(kept.positions + 0.5, last - kept.positions).min(axis=1)
    clear = depth >= 2 * locator.width_
    assert 0 < np.sum(~clear) < 0.2 * len(kept)
    assert whole == kept[clear]


def test_every_image_drops_the_columns_at_its_own_border(columns):
    # Neither image has room for the other.
    images = [columns(peak=300).image, columns((180, 300), peak=300, seed=1).image]
    locator = AtomLocator(border="drop")
    both = locator.fit_transform(images)
    for number, image in enumerate(images):
        own, alone = both[both.frame == number], locator.transform(image)
        for name in ("positions", "position_std", "sublattice", "polarization"):
            np.testing.assert_array_equal(getattr(own, name), getattr(alone, name))
    kept = locator.set_params(border="keep").transform(images)
    assert (np.bincount(both.frame) < np.bincount(kept.frame)).all()


def mask_of(shape):
    """A rectangle, a line, a dead detector row and single dead pixels."""
    mask = np.random.default_rng(0).random(shape) < 0.002
    mask[100:180, 120:200] = True
    mask[60] = mask[:, 50:52] = True
    return mask


@pytest.mark.parametrize("bad", [np.nan, 1e6, 0.0])
def test_masked_pixels_carry_no_weight(columns, bad):
    truth = columns((300, 320))
    mask = mask_of(truth.image.shape)
    image = np.ma.array(np.where(mask, bad, truth.image), mask=mask)
    sites = AtomLocator().fit_transform(image)
    row, col = np.rint(sites.positions).astype(int).T
    assert not mask[row, col].any()
    assert np.isfinite(sites.images[0]).all()
    assert sites.images[0].max() <= truth.image.max()
    # The image of the caller is as it was, and pixels that count are not touched.
    assert np.array_equal(sites.images[0][~mask], truth.image[~mask])
    distance, index = cKDTree(truth.positions).query(sites.positions)
    assert distance.max() < 2
    pull = (sites.positions - truth.positions[index]) / sites.position_std
    assert 0.9 < np.std(pull) < 1.1
    # Columns whose middle counts are there, beside the mask too.
    place = np.rint(truth.positions).astype(int)
    inner = ((place > 4) & (place < np.array(mask.shape) - 5)).all(axis=1)
    open_ = np.zeros(len(place), dtype=bool)
    open_[inner] = [
        not mask[r - 1 : r + 2, c - 1 : c + 2].any() for r, c in place[inner]
    ]
    assert cKDTree(sites.positions).query(truth.positions[open_])[0].max() < 2


def test_masked_stacks_lists_and_containers(columns):
    truth = columns()
    mask = mask_of(truth.image.shape)
    masked = np.ma.array(truth.image, mask=mask)
    locator = AtomLocator().fit(truth.image)
    alone = locator.transform(masked)
    stack = np.ma.array([truth.image, truth.image], mask=[mask, np.zeros_like(mask)])
    both = locator.transform(stack)
    assert np.array_equal(both.positions[both.frame == 0], alone.positions)
    assert np.sum(both.frame == 1) > len(alone)
    listed = locator.transform([(masked, 0.02), truth.image])
    assert np.array_equal(listed.positions, both.positions)
    assert listed.pixel_size == (0.02, None)
    # Nothing masked is nothing special; everything masked is nothing at all.
    plain = AtomLocator().fit_transform(np.ma.array(truth.image))
    assert plain == AtomLocator().fit_transform(truth.image)
    with pytest.raises(ValueError, match=r"image 0 .* masked everywhere"):
        AtomLocator().fit(np.ma.array(truth.image, mask=True))


def test_masked_columns_do_not_count_in_the_score(columns):
    truth = columns((300, 320))
    masked = np.ma.array(truth.image, mask=mask_of(truth.image.shape))
    score = AtomLocator().fit(masked).score(masked)
    assert score > 0.97


# Thresholds and spacings that are far off are warned of.
@pytest.mark.filterwarnings("ignore:about .* have no site")
@pytest.mark.filterwarnings("ignore:.* sites are closer to another one")
@pytest.mark.filterwarnings("ignore:.* fits cannot be trusted")
@pytest.mark.parametrize("truth_of", ["film", "columns"])
@pytest.mark.filterwarnings("ignore:The sites of image:UserWarning")
@pytest.mark.filterwarnings("ignore:spacing=20 px was given:UserWarning")
def test_the_best_score_is_nearly_the_best_f1(columns, truth_of):
    if truth_of == "film":
        truths = [
            make_ferroic_image("film", shape=(160, 170), random_state=seed)
            for seed in range(2)
        ]
        for truth in truths:
            truth.spacing = 14.1
    else:
        truths = [columns(seed=seed, ratio=0.3, missing=0.05) for seed in range(2)]
    images = [truth.image for truth in truths]
    grid = [
        {"threshold": [0.03, 0.1, 0.25, 0.6]},
        {"spacing": [10.0, 14.1, 20.0]},
    ]
    search = GridSearchCV(AtomLocator(), grid, cv=2, error_score="raise").fit(images)
    merit = [
        np.mean(
            [
                f1(AtomLocator(**params).fit_transform(truth.image), truth)
                for truth in truths
            ]
        )
        for params in search.cv_results_["params"]
    ]
    assert min(merit) < 0.9
    assert merit[search.best_index_] > max(merit) - 0.01


def test_cross_validation_over_images(columns):
    images = [columns(seed=seed).image for seed in range(3)]
    scores = cross_val_score(AtomLocator(), images, cv=3, error_score="raise")
    assert (scores > 0.95).all()
    assert (scores <= 1).all()


def test_four_columns_of_which_one_has_two_directions():
    row, col = np.mgrid[:200, :200]
    image = np.random.default_rng(1).normal(0, 1, (200, 200))
    positions = [(40.3, 40), (40.3, 60), (40.3, 80), (60.3, 40)]
    for y, x in positions:
        image += 100 * np.exp(-((row - y) ** 2 + (col - x) ** 2) / (2 * 3**2))
    sites = AtomLocator(spacing=20.0).fit_transform(image)
    np.testing.assert_allclose(sites.positions, positions, atol=0.3)
    known = np.isfinite(sites.lattice_vectors).all(axis=(1, 2))
    assert known.sum() <= 1
