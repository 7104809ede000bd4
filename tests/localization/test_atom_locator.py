"""AtomLocator against images whose columns are known."""

import pickle

import joblib
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import norm
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomLocator, AtomSites
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.localization._batch import locate_images, score_images
from tests.localization._truth import cramer_rao_bound, match


@pytest.mark.parametrize("preset", ["film", "superlattice"])
@pytest.mark.parametrize("seed", [0, 1])
def test_finds_the_columns_of_both_presets(preset, seed):
    truth = make_ferroic_image(preset, shape=(480, 500), random_state=seed)
    sites = AtomLocator().fit_transform(truth)
    found, true, n_missed, n_invented = match(sites, truth, 14)
    assert len(found) > 900
    assert n_missed == 0
    assert n_invented == 0
    assert np.array_equal(sites.sublattice[found], truth.sublattice[true])
    assert sites.pixel_size == (truth.pixel_size,)
    error = sites.positions[found] - truth.positions[true] - truth.scan_shift[true]
    assert np.sqrt(np.mean(error**2)) < 0.12


@pytest.mark.parametrize("cell", [5, 6, 8, 12, 30, 60])
def test_needs_no_scale(columns, cell):
    side = max(25 * cell, 130) if cell < 20 else 8 * cell
    truth = columns((side, side + 2 * cell), cell=cell, seed=cell)
    locator = AtomLocator()
    sites = locator.fit_transform(truth.image)
    assert locator.spacing_ == pytest.approx(cell / np.sqrt(2), rel=0.02)
    assert locator.width_ == pytest.approx(truth.sigma, rel=0.06)
    found, true, n_missed, n_invented = match(sites, truth, locator.spacing_)
    n_true = len(found) + n_missed
    assert n_missed <= 0.015 * n_true
    assert n_invented <= 0.002 * n_true
    assert np.mean(sites.sublattice[found] == truth.sublattice[true]) >= 0.99


@pytest.mark.parametrize(
    "options",
    [
        {"ratio": 0.85},
        {"ratio": 0.15, "peak": 300},
        {"peak": 10, "background": 3},
        {"missing": 0.08},
        {"sigma": 0.18, "background": 5},
        {"extra_background": np.linspace(0, 80, 224)},
        {"brightness": lambda p: np.where(p[:, 0] > 140, 1 / 3, 1)},
        {"ratio": 0.85, "brightness": lambda p: np.where(p[:, 0] > 140, 1 / 3, 1)},
    ],
    ids=[
        "ratio 0.85",
        "ratio 0.15",
        "low dose",
        "missing columns",
        "overlap",
        "ramp",
        "dark substrate",
        "dark substrate, ratio 0.85",
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_robust_without_tuning(columns, options, seed):
    truth = columns(seed=seed, angle=0.1 + 0.4 * seed, **options)
    sites = AtomLocator().fit_transform(truth.image)
    found, true, n_missed, n_invented = match(sites, truth, truth.spacing)
    assert n_missed <= 0.01 * (len(found) + n_missed)
    assert n_invented == 0
    assert np.mean(sites.sublattice[found] == truth.sublattice[true]) >= 0.99


@pytest.mark.parametrize("ratio, bar", [(0.0, 1.03), (0.4, 1.03), (0.85, 1.05)])
def test_precision_is_close_to_the_bound(columns, ratio, bar):
    squares = {0: [], 1: []}
    for seed in range(3):
        truth = columns((400, 400), ratio=ratio, seed=seed, angle=0.3 * seed)
        sites = AtomLocator().fit_transform(truth.image)
        found, true, _, _ = match(sites, truth, truth.spacing)
        error = sites.positions[found] - truth.positions[true]
        for label in (0, 1):
            squares[label].append(error[truth.sublattice[true] == label] ** 2)
    for label, peak in ((0, 100), (1, ratio * 100)):
        if peak:
            rms = np.sqrt(np.concatenate(squares[label]).mean())
            bound = cramer_rao_bound(peak, truth.sigma, truth.background)
            assert 0.9 < rms / bound < bar


@pytest.mark.parametrize("cell", [8, 20])
@pytest.mark.parametrize("scale", [1.0, 0.031, 1e-13])
def test_position_std_is_calibrated(columns, cell, scale):
    # Counts by maximum likelihood; scaled images by weights from the residual.
    truth = columns((20 * cell, 20 * cell), cell=cell, ratio=0.5, seed=3)
    sites = AtomLocator().fit_transform(truth.image * scale)
    found, true, _, _ = match(sites, truth, truth.spacing)
    pull = (sites.positions[found] - truth.positions[true]) / sites.position_std[found]
    assert 0.9 < np.std(pull) < 1.1
    assert abs(np.mean(pull)) < 0.1


@pytest.mark.parametrize("side", [320, 640])
@pytest.mark.parametrize("ratio", [0.0, 0.4, 0.85])
@pytest.mark.parametrize("peak, scale", [(1000, 1), (1000, 1e-4), (10000, 1)])
def test_position_std_is_calibrated_at_high_doses(columns, peak, scale, ratio, side):
    # What a first look leaves of columns at the border is more than noise then.
    options = {"cell": 16 if ratio else 20, "background": 0.2 * peak}
    truth = columns((side, side), ratio=ratio, peak=peak, seed=1, **options)
    sites = AtomLocator().fit_transform(truth.image * scale)
    found, true, _, _ = match(sites, truth, truth.spacing)
    error = sites.positions[found] - truth.positions[true]
    assert 0.9 < np.std(error / sites.position_std[found]) < 1.1


def test_gaussian_noise_and_amplitudes_in_image_units(columns):
    truth = columns(noisy=False)
    rng = np.random.default_rng(0)
    image = truth.expected + rng.normal(scale=4, size=truth.expected.shape)
    sites = AtomLocator().fit_transform(image)
    found, true, n_missed, _ = match(sites, truth, truth.spacing)
    assert n_missed == 0
    pull = (sites.positions[found] - truth.positions[true]) / sites.position_std[found]
    assert 0.9 < np.std(pull) < 1.1
    assert np.median(sites.amplitude[found] / truth.amplitude[true]) == pytest.approx(
        1, abs=0.02
    )
    assert np.median(sites.sigma[found]) == pytest.approx(truth.sigma, rel=0.02)
    assert np.median(sites.background[found]) == pytest.approx(20, abs=1)


def test_noise_free_positions_are_exact(columns):
    truth = columns(noisy=False)
    sites = AtomLocator().fit_transform(truth.expected)
    found, true, _, _ = match(sites, truth, truth.spacing)
    error = sites.positions[found] - truth.positions[true]
    assert np.abs(error).max() < 0.02


def test_border_columns_are_kept_if_their_centre_is_inside(columns):
    for seed in range(3):
        truth = columns(seed=seed, peak=300, angle=0.05 + 0.2 * seed)
        sites = AtomLocator().fit_transform(truth.image)
        last = np.array(truth.image.shape) - 0.5
        assert ((sites.positions >= -0.5) & (sites.positions <= last)).all()
        inside = ((truth.positions >= 0.3) & (truth.positions <= last - 0.8)).all(
            axis=1
        )
        distance, _ = cKDTree(sites.positions).query(truth.positions[inside])
        assert distance.max() < 0.3 * truth.spacing
        # Whatever else comes out at the border admits that it is doubtful.
        distance, _ = cKDTree(truth.positions).query(sites.positions[sites.converged])
        assert distance.max() < 0.3 * truth.spacing


@pytest.mark.parametrize("preset", ["film", "superlattice"])
@pytest.mark.parametrize("seed", range(5))
def test_columns_off_the_image_are_not_invented(preset, seed):
    truth = make_ferroic_image(preset, random_state=seed)
    sites = AtomLocator().fit_transform(truth)
    distance, _ = cKDTree(truth.positions).query(sites.positions)
    assert distance.max() < 2
    # Missed are only columns that are not inside by their standard error. That of one
    # that the border cuts in the middle is 2.5 times that of a whole one.
    last = np.array(truth.image.shape) - 0.5
    depth = np.minimum(truth.positions + 0.5, last - truth.positions).min(axis=1)
    distance, _ = cKDTree(sites.positions).query(truth.positions)
    missed = distance > 2
    assert (depth[missed] < 1).all()
    for label in (0, 1):
        own = truth.sublattice == label
        std = 2.5 * np.median(sites.position_std[sites.sublattice == label])
        chance = norm.sf((depth[own] - std) / std)
        expected, scatter = chance.sum(), np.sqrt((chance * (1 - chance)).sum())
        assert missed[own].sum() <= expected + 2 * scatter + 1


def test_position_std_is_calibrated_at_the_border(columns):
    pulls = []
    for seed in range(6):
        truth = columns(seed=seed, peak=300, angle=0.05 + 0.2 * seed)
        sites = AtomLocator().fit_transform(truth.image)
        last = np.array(truth.image.shape) - 1
        depth = np.minimum(truth.positions, last - truth.positions).min(axis=1)
        near = np.flatnonzero((depth > 1) & (depth < 2 * truth.sigma))
        distance, index = cKDTree(sites.positions).query(truth.positions[near])
        assert distance.max() < 1
        error = sites.positions[index] - truth.positions[near]
        pulls.append(error / sites.position_std[index])
    assert 0.8 < np.std(np.concatenate(pulls)) < 1.2


def test_empty_area_gives_no_sites(columns):
    truth = columns(brightness=lambda p: np.where(p[:, 0] > 110, 1.0, 0.0))
    sites = AtomLocator().fit_transform(truth.image)
    assert sites.positions[:, 0].min() > 110 - truth.spacing


def test_one_sublattice_is_not_split(columns):
    for seed in range(4):
        truth = columns(ratio=0, seed=seed)
        locator = AtomLocator()
        sites = locator.fit_transform(truth.image)
        assert locator.n_sublattices_ == 1
        assert np.all(sites.sublattice == 0)
        assert np.isnan(sites.polarization).all()


def test_sublattice_selection_keeps_what_the_others_told(columns):
    truth = columns()
    both = AtomLocator().fit_transform(truth.image)
    only_b = AtomLocator(sublattice=1).fit_transform(truth.image)
    assert only_b == both[both.sublattice == 1]
    assert np.isfinite(only_b.polarization).all(axis=1).mean() > 0.7
    listed = AtomLocator(sublattice=[0, 1]).fit_transform(truth.image)
    assert listed == both
    with pytest.raises(ValueError, match=r"sublattice=2 .* 2 sublattice\(s\)"):
        AtomLocator(sublattice=2).fit_transform(truth.image)


@pytest.mark.parametrize("missing", [5, [0, 5]])
def test_refit_for_an_absent_sublattice_leaves_all_as_it_was(columns, missing):
    truth = columns()
    locator = AtomLocator().fit(truth.image)
    sites, before = locator.transform(truth.image), dict(vars(locator))
    other = columns(cell=26.0, ratio=0.0)
    for method in ("fit", "fit_transform"):
        locator.set_params(sublattice=missing)
        with pytest.raises(ValueError, match=r"was given, but 1 sublattice\(s\)"):
            getattr(locator, method)(other.image)
        locator.set_params(sublattice=None)
        assert vars(locator) == before
        assert locator.transform(truth.image) == sites


def test_an_image_may_lack_the_sublattice_asked_for(columns):
    two, one = columns(), columns(cell=14.2, sigma=0.176, ratio=0.0)
    locator = AtomLocator(sublattice=1)
    sites = locator.fit_transform([two.image, one.image])
    assert set(sites.frame) == {0}
    assert len(sites) > 50
    assert locator.transform([one.image, two.image]).frame.min() == 1
    with pytest.raises(ValueError, match=r"sublattice=1 .* 1 sublattice\(s\)"):
        locator.transform(one.image)


def test_every_image_has_its_own_number_of_sublattices(columns):
    two = columns(peak=100)
    one = columns(cell=14.2, sigma=0.176, ratio=0.0, peak=700)
    locator = AtomLocator()
    sites = locator.fit_transform([two.image, one.image, one.image])
    assert locator.n_sublattices_ == 2
    # The other images' exposure does not matter.
    assert locator.sublattice_brightness_ == pytest.approx([1, 0.4], abs=0.03)
    assert np.all(sites.sublattice[sites.frame > 0] == 0)
    assert 0.4 < sites.sublattice[sites.frame == 0].mean() < 0.6
    assert locator.transform([two.image, one.image, one.image]) == sites
    # A number holds for every image, and what was learned for those to come.
    with pytest.warns(UserWarning, match=r"images \[1\] are equally bright"):
        forced = AtomLocator(n_sublattices=2).fit_transform([two.image, one.image])
    assert 0.3 < forced.sublattice[forced.frame == 1].mean() < 0.7
    assert np.all(AtomLocator().fit(one.image).transform(two.image).sublattice == 0)


@pytest.mark.filterwarnings("ignore:The sites of image:UserWarning")
@pytest.mark.filterwarnings("ignore:about .* have no site:UserWarning")
def test_transform_uses_the_learned_threshold(columns):
    image = columns().image
    locator = AtomLocator(threshold=0.6).fit(image)
    assert locator.threshold_ == 0.6
    sites, score = locator.transform(image), locator.score(image)
    locator.set_params(threshold=0.1)
    assert locator.transform(image) == sites
    assert locator.score(image) == score
    assert len(locator.fit(image).transform(image)) > 1.5 * len(sites)


def test_polarization_has_the_sign_of_the_displacement(columns):
    truth = columns(displacement=(1.5, -0.75), peak=1000, angle=0.0)
    sites = AtomLocator().fit_transform(truth.image).interior(truth.spacing)
    known = np.isfinite(sites.polarization).all(axis=1)
    for label, sign in ((1, 1), (0, -1)):
        mean = sites.polarization[known & (sites.sublattice == label)].mean(axis=0)
        assert mean == pytest.approx(sign * np.array([1.5, -0.75]), abs=0.02)


def test_polarization_is_undefined_beside_a_missing_column(columns):
    truth = columns(missing=0.1)
    sites = AtomLocator().fit_transform(truth.image)
    true_a = truth.positions[truth.sublattice == 0]
    tree = cKDTree(true_a)
    n_corners = np.array(
        [len(c) for c in tree.query_ball_point(sites.positions, 1.2 * truth.spacing)]
    )
    is_b = sites.sublattice == 1
    incomplete = is_b & (n_corners < 4)
    assert incomplete.sum() > 10
    assert np.isnan(sites.polarization[incomplete]).all()


def test_lattice_position_is_the_undistorted_lattice(columns):
    truth = columns(displacement=(1.0, 0.5), peak=1000, angle=0.0)
    sites = AtomLocator().fit_transform(truth.image)
    off = (sites.positions - sites.lattice_position)[sites.converged]
    assert np.isfinite(off).all()
    # Each sublattice has its own lattice: a rigid shift leaves nothing.
    assert np.abs(off).max() < 0.15


def test_containers_stacks_and_lists_are_the_same_images(columns):
    truth = columns()
    image = truth.image
    alone = AtomLocator().fit_transform(image)
    assert AtomLocator().fit_transform((image, None)) == alone
    sized = AtomLocator().fit_transform((image, 0.02))
    assert sized.pixel_size == (0.02,)
    assert np.array_equal(sized.positions, alone.positions)
    stack = AtomLocator().fit_transform(np.stack([image, image]))
    assert len(stack.images) == 2
    assert np.array_equal(stack.positions, np.tile(alone.positions, (2, 1)))
    assert np.array_equal(stack.frame, np.repeat([0, 1], len(alone)))
    mixed = AtomLocator().fit_transform([(image, 0.02), image[:200, 10:], truth])
    assert mixed.pixel_size == (0.02, None, None)
    assert [i.shape for i in mixed.images] == [(240, 224), (200, 214), (240, 224)]
    with joblib.parallel_config(backend="threading"):
        parallel = AtomLocator(n_jobs=2).fit_transform(
            [(image, 0.02), image[:200, 10:], truth]
        )
    assert parallel == mixed


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", ">i4", "float16", ">f8", "float64", "uint16"]
)
def test_any_real_dtype_gives_the_same_sites(columns, dtype):
    image = columns(peak=150).image
    assert image.max() < 256
    assert AtomLocator().fit_transform(
        image.astype(dtype)
    ) == AtomLocator().fit_transform(image)


def test_input_is_not_touched_and_may_be_read_only_or_mapped(columns, tmp_path):
    image = columns().image
    before = image.copy()
    image.flags.writeable = False
    sites = AtomLocator().fit_transform(image)
    assert np.array_equal(image, before)
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    assert AtomLocator().fit_transform(mapped) == sites
    every_second = np.repeat(image, 2, axis=1)[:, ::2]
    assert AtomLocator().fit_transform(every_second) == sites
    assert AtomLocator().fit_transform(np.asfortranarray(image)) == sites


def test_deterministic_and_without_global_random_state(columns):
    image = columns().image
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = AtomLocator().fit_transform(image)
    locator = AtomLocator().fit(image)
    assert locator.transform(image) == first
    assert locator.fit(image).transform(image) == first
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_transform_uses_the_learned_scale(columns):
    locator = AtomLocator().fit(columns().image)
    scale = locator.spacing_, locator.width_
    other = columns(seed=7)
    sites = locator.transform(other.image)
    _, _, n_missed, n_invented = match(sites, other, other.spacing)
    assert (n_missed, n_invented) == (0, 0)
    assert (locator.spacing_, locator.width_) == scale


def test_clone_pickle_and_pipeline(columns):
    image = columns().image
    locator = AtomLocator(sublattice=1, threshold=0.2)
    assert clone(locator).get_params() == locator.get_params()
    sites = locator.fit_transform(image)
    restored = pickle.loads(pickle.dumps(locator))
    assert restored.transform(image) == sites
    # An estimator that held the image would be larger than this.
    assert len(pickle.dumps(locator)) < 4000
    pipeline = make_pipeline(AtomLocator(), "passthrough")
    assert pipeline.set_output(transform="pandas") is pipeline
    assert isinstance(pipeline.fit_transform(image), AtomSites)
    assert locator.set_output(transform="pandas") is locator


def test_refine_options_trade_precision(columns):
    truth = columns(ratio=0.5, peak=200)
    rms = {}
    for refine in ("gaussian", "center_of_mass", None):
        sites = AtomLocator(refine=refine).fit_transform(truth.image)
        found, true, n_missed, _ = match(sites, truth, truth.spacing)
        assert n_missed == 0
        error = sites.positions[found] - truth.positions[true]
        rms[refine] = np.sqrt(np.mean(error**2))
        assert np.isfinite(sites.position_std[found]).all() == (refine == "gaussian")
    assert rms["gaussian"] < rms["center_of_mass"] < 0.3
    assert rms["gaussian"] < rms[None] < 0.3


@pytest.mark.parametrize(
    "options",
    [{}, {"refine": "center_of_mass"}, {"refine": None}, {"shape": "elliptical"}],
    ids=str,
)
def test_score_prefers_the_right_threshold(columns, options):
    truth = columns()
    good = AtomLocator(**options).fit(truth.image).score(truth.image)
    without_b = AtomLocator(threshold=0.6, **options).fit(truth.image)
    assert 0.95 < good <= 1
    assert without_b.score(truth.image) < good - 0.05
    images = np.stack([columns(seed=s).image for s in range(2)])
    search = GridSearchCV(AtomLocator(**options), {"threshold": [0.6, 0.1]}, cv=2)
    assert search.fit(images).best_params_ == {"threshold": 0.1}


def test_score_falls_if_columns_are_too_bright_dim_wide_or_narrow(columns):
    truth = columns()
    locator = AtomLocator().fit(truth.image)
    scale = {"spacing": locator.spacing_, "sigma": locator.width_, "n_jobs": None}
    options = {"threshold": 0.1, "refine": "gaussian", "shape": "circular"}
    options["max_iter"] = 100
    data = [truth.image], [None]
    (fit,), calibrations = locate_images(*data, tile_size=None, **scale, **options)

    def score(amplitude=1.0, sigma=1.0):
        table = fit.table.replace(
            amplitude=amplitude * fit.table.amplitude, sigma=sigma * fit.table.sigma
        )
        changed = [fit.replace(table=table)]
        return score_images(*data, changed, calibrations, tile_size=None, **scale)[0]

    assert score() > 0.98
    for change in (0.8, 1.2):
        assert score(amplitude=change) < score() - 0.02
        assert score(sigma=change) < score() - 0.02


def test_given_spacing_is_used(columns):
    truth = columns()
    locator = AtomLocator(spacing=truth.spacing).fit(truth.image)
    assert locator.spacing_ == truth.spacing


def test_images_of_different_magnification_warn(columns):
    images = [columns().image, columns().image, columns(cell=32).image]
    with pytest.warns(UserWarning, match=r"Image 2 has a column spacing of 22\.. px"):
        AtomLocator().fit(images)


def test_spacing_is_not_learned_half_way(columns):
    locator = AtomLocator()
    with pytest.raises(ValueError, match="image 1"):
        locator.fit([columns().image, np.random.default_rng(0).normal(size=(90, 90))])
    assert not hasattr(locator, "spacing_")


@pytest.mark.parametrize("tile_size", [None, 256])
def test_elliptical_columns(tile_size):
    ratio, rotation, spacing = 1.3, np.radians(30), 16 / np.sqrt(2)
    rng = np.random.default_rng(0)
    corner = np.stack(np.mgrid[0:29, 0:26], axis=-1).reshape(-1, 2) * 16.0
    positions = np.concatenate([corner, corner + 8])
    positions += rng.normal(0, 0.3, positions.shape)
    amplitude = np.repeat([500.0, 200.0], len(corner))
    image = np.full((448, 400), 100.0)
    for (row, col), height in zip(positions, amplitude, strict=True):
        first = np.rint([row, col]).astype(int) - 12
        y, x = np.mgrid[:25, :25] + first[:, None, None]
        along = (x - col) * np.cos(rotation) + (y - row) * np.sin(rotation)
        across = (y - row) * np.cos(rotation) - (x - col) * np.sin(rotation)
        square = along**2 / ratio + across**2 * ratio
        here = (y >= 0) & (y < 448) & (x >= 0) & (x < 400)
        image[y[here], x[here]] += height * np.exp(-square[here] / (2 * 2.4**2))
    image = rng.poisson(image)

    locator = AtomLocator(shape="elliptical", tile_size=tile_size)
    sites = locator.fit_transform(image)
    distance, index = cKDTree(positions).query(sites.positions)
    inside = (sites.positions > 20) & (sites.positions < np.array(image.shape) - 20)
    inside = inside.all(axis=1)
    assert distance[inside].max() < 0.2 * spacing
    assert sites.converged[inside].mean() > 0.99
    for label in (0, 1):
        own = inside & (sites.sublattice == label)
        assert np.median(sites.ellipticity[own]) == pytest.approx(ratio, abs=0.03)
        angle = sites.ellipse_rotation[own]
        mean = np.angle(np.exp(2j * (angle - rotation)).mean()) / 2
        assert abs(np.degrees(mean)) < 3
        assert np.median(sites.sigma[own]) == pytest.approx(2.4, rel=0.03)
    error = np.abs(sites.positions - positions[index])[inside]
    assert np.median(error / sites.position_std[inside]) == pytest.approx(0.67, rel=0.1)

    # All columns are stretched alike: so are they fitted, if not one by one.
    alike = locator.set_params(shape="circular").transform(image)
    assert np.ptp(alike.ellipticity) == np.ptp(alike.ellipse_rotation) == 0
    assert alike.ellipticity[0] == pytest.approx(ratio, abs=0.03)
    assert alike.ellipse_rotation[0] == pytest.approx(rotation, abs=0.03)


def test_significance_does_not_depend_on_the_unit(columns):
    image = columns().image
    # In ampere, images are divided by a power of two.
    plain, tiny = (AtomLocator().fit_transform(unit * image) for unit in (1, 1e-12))
    assert len(plain) == len(tiny)
    assert tiny.significance == pytest.approx(plain.significance, rel=0.1)
