"""The fit of all columns, by itself."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.context import ImageContext
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.localization._fitting.column_fit import fit_columns_and_statistics
from sklearn_ferroic.localization._fitting.column_tails import (
    ColumnTails,
    TailSums,
    estimate_tails,
)
from sklearn_ferroic.localization._fitting.columns import ColumnTable
from sklearn_ferroic.localization._fitting.profiles import ELLIPTICAL_GAUSSIAN
from sklearn_ferroic.localization._fitting.windows import (
    Renderer,
    center_of_mass,
    matched_significance,
    render_columns,
)


def start_table(truth, rng, shift=0.3):
    n = len(truth.positions)
    return ColumnTable.make(
        truth.amplitude * rng.uniform(0.8, 1.2, n),
        truth.positions + rng.uniform(-shift, shift, (n, 2)),
        1.05 * truth.sigma,
        0.9 * truth.background,
    )


@pytest.fixture(scope="module")
def fit(fit_twice):
    def run(truth, image=None, table=None, **options):
        image = truth.image if image is None else image
        table = start_table(truth, np.random.default_rng(0)) if table is None else table
        scale = {"spacing": truth.spacing, "sigma": truth.sigma}
        return fit_twice(image, table, **scale, **options)

    return run


def interior(truth, margin):
    last = np.array(truth.image.shape) - 1 - margin
    return ((truth.positions > margin) & (truth.positions < last)).all(axis=1)


def distances(image, center):
    row, col = np.indices(image.shape)
    return np.hypot(row - center[0], col - center[1])


def ellipses(truth, ratio, rotation):
    """Expected image of the truth's columns, made elliptical."""
    image = np.full(truth.image.shape, float(truth.background))
    row, col = np.indices(image.shape)
    long, short = truth.sigma * np.sqrt(ratio), truth.sigma / np.sqrt(ratio)
    for (r, c), amplitude in zip(truth.positions, truth.amplitude, strict=True):
        along = (row - r) * np.sin(rotation) + (col - c) * np.cos(rotation)
        across = (row - r) * np.cos(rotation) - (col - c) * np.sin(rotation)
        image += amplitude * np.exp(-((along / long) ** 2 + (across / short) ** 2) / 2)
    return image


@pytest.mark.parametrize("cell", [6.0, 20.0, 50.0])
def test_rendered_columns_are_the_sum_of_gaussians(columns, cell):
    truth = columns((150, 130), cell=cell, noisy=False)
    table = ColumnTable.make(truth.amplitude, truth.positions, truth.sigma)
    image = render_columns(truth.image.shape, table, truth.sigma)
    assert image == pytest.approx(truth.expected - truth.background, abs=0.02)
    _, spread = Renderer(image.shape, 5 * truth.sigma).render(table, spread=True)
    wider = table.replace(sigma=1.001 * table.sigma)
    change = render_columns(image.shape, wider, truth.sigma) - image
    assert spread == pytest.approx(change / 0.001, abs=float(0.005 * spread.max()))


@pytest.mark.parametrize("noise", ["counts", "camera", "scaled"])
def test_errors_are_calibrated_and_positions_unbiased(columns, noise, fit):
    pulls = []
    for seed in range(5):
        truth = columns((300, 280), seed=seed, angle=0.1 * seed)
        rng = np.random.default_rng(seed)
        image = truth.image
        if noise == "camera":
            image = truth.expected + rng.normal(scale=6, size=image.shape)
        table = start_table(truth, rng)
        if noise == "scaled":
            image = 0.031 * image + 3
            table = table.replace(
                amplitude=0.031 * table.amplitude, background=0.031 * table.background
            )
        found = fit(truth, image.astype(np.float32), table)
        inner = interior(truth, 20)
        assert found.converged[inner].all()
        gain = {"counts": 1, "camera": 0, "scaled": 0.031}[noise]
        assert found.statistics.noise.slope == pytest.approx(gain, rel=0.1, abs=0.1)
        error = found.positions[inner] - truth.positions[inner]
        pulls.append(error / found.std.positions[inner])
    pulls = np.concatenate(pulls)
    assert 0.95 < np.std(pulls) < 1.06
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.1


def test_counts_are_fitted_by_maximum_likelihood(columns, fit):
    # At the maximum of the Poisson likelihood of a lone column all its derivatives
    # vanish; those of least squares do not. The noise is estimated, from this column.
    truth = columns((80, 76), cell=60, sigma=0.05, ratio=0, peak=60, background=4)
    found = fit(truth)
    number = np.argmin(np.hypot(*(truth.positions - [40, 38]).T))
    lone = found.table.take([number])
    ((amplitude, row, col, sigma),), (level,) = lone.parameters, lone.background
    y, x = np.indices(truth.image.shape)
    square = (y - row) ** 2 + (x - col) ** 2
    shape = np.exp(-square / (2 * sigma**2))
    mean = amplitude * shape + level
    near = square < (3.5 * sigma) ** 2
    for slope in (shape, shape * (y - row), shape * (x - col), shape * square):
        score = ((truth.image / mean - 1) * slope)[near].sum()
        information = (slope**2 / mean)[near].sum()
        assert abs(score) < 0.12 * np.sqrt(information)


@pytest.mark.parametrize("ratio, rotation", [(1.3, 0.4), (1.3, -1.2), (1.6, 1.5)])
def test_elliptical_columns(columns, ratio, rotation, fit):
    truth = columns((200, 190), peak=400)
    expected = ellipses(truth, ratio, rotation)
    image = np.random.default_rng(0).poisson(expected).astype(np.float32)
    found = fit(truth, image, profile=ELLIPTICAL_GAUSSIAN)
    inner = interior(truth, 20)
    assert found.converged[inner].all()
    ellipticity, angle = found.ellipse[inner].T
    assert np.median(ellipticity) == pytest.approx(ratio, rel=0.02)
    assert np.all((angle >= -np.pi / 2) & (angle < np.pi / 2))
    assert np.abs(np.angle(np.exp(2j * (angle - rotation)).mean()) / 2) < 0.02
    assert np.median(found.table.sigma[inner]) == pytest.approx(truth.sigma, rel=0.03)
    error = found.positions[inner] - truth.positions[inner]
    assert 0.85 < np.std(error / found.std.positions[inner]) < 1.2


def test_round_columns_have_no_ellipse_to_speak_of(columns, fit):
    truth = columns((200, 190), peak=1000, ratio=0)
    assert fit(truth).ellipse is None
    found = fit(truth, profile=ELLIPTICAL_GAUSSIAN)
    inner = interior(truth, 20)
    assert found.ellipse[inner, 0].min() >= 1
    assert np.median(found.ellipse[inner, 0]) < 1.03


@pytest.mark.parametrize("background", [0.5, 20.0])
@pytest.mark.parametrize("gain", [1.0, 0.03])
def test_a_lone_column_is_fitted(background, gain, fit_twice):
    row, col = np.indices((120, 110))
    pulls = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        place = [60.3, 50.7] + rng.uniform(-0.5, 0.5, 2)
        square = (row - place[0]) ** 2 + (col - place[1]) ** 2
        mean = background + 100 * np.exp(-square / (2 * 2.5**2))
        image = gain * rng.poisson(mean).astype(np.float32)
        near = np.rint(place)[None]
        table = ColumnTable.make(90 * gain, near, 2.6, background * gain)
        found = fit_twice(image, table, spacing=14.0, sigma=2.6)
        assert found.converged.all()
        pulls.append((found.positions[0] - place) / found.std.positions[0])
    assert 0.8 < np.std(pulls) < 1.25


def saturate(image, center, table, rng):
    image[distances(image, center) < 6] = image.max()


def burn_pixel(image, center, table, rng):
    row, col = np.rint(center).astype(int)
    image[row + 2, col + 1] = 50 * image.max()


def burn_pixel_between(image, center, table, rng):
    row, col = np.rint(center).astype(int)
    image[row + 5, col + 5] = 50 * image.max()


def double(image, center, table, rng):
    place = center + [2, 1]
    image += rng.poisson(100 * np.exp(-(distances(image, place) ** 2) / (2 * 2.5**2)))
    return table.append(ColumnTable.make(80, place[None] + 0.3, 2.5, 20))


@pytest.mark.parametrize("peak", [100.0, 1000.0])
@pytest.mark.parametrize("spoil", [saturate, burn_pixel, burn_pixel_between, double])
def test_neighbours_of_a_defect_stay_in_place(columns, spoil, peak, fit):
    pulls = []
    for seed in range(5):
        truth = columns((160, 150), seed=seed, angle=0.1 * seed, peak=peak)
        rng = np.random.default_rng(seed)
        table = start_table(truth, rng, shift=0.1)
        middle = np.argmin(np.hypot(*(truth.positions - [80, 75]).T))
        image = truth.image.copy()
        spoilt = spoil(image, truth.positions[middle], table, rng)
        found = fit(truth, image, table if spoilt is None else spoilt)
        assert found.table.is_known.all()
        std = fit(truth, table=table).std
        away = np.hypot(*(truth.positions - truth.positions[middle]).T)
        beside = (away > 0) & (away < 2.1 * truth.spacing)
        error = found.positions[: len(table)] - truth.positions
        pulls.append((error / std.positions)[beside])
        if spoil is saturate:
            assert not found.converged[middle]
            # Nor does it run away.
            assert np.abs(error[middle]).max() < 0.3 * truth.spacing
    pulls = np.concatenate(pulls)
    assert np.sqrt(np.mean(pulls**2)) < 1.3
    assert np.abs(pulls).max() < 5


def test_half_a_column_does_not_move_its_neighbours(columns, fit):
    truth = columns((160, 150), peak=500)
    row = np.rint(truth.positions[np.argmin(np.abs(truth.positions[:, 0] - 60)), 0])
    cut = int(row)
    table = start_table(truth, np.random.default_rng(0))
    table = table.replace(positions=table.positions - [cut, 0])
    kept = table.positions[:, 0] > -2
    found = fit(truth, truth.image[cut:], table.take(kept), sigma_scatter=0.1)
    place = truth.positions[kept] - [cut, 0]
    inner = (place[:, 0] > 4) & (place[:, 0] < 30)
    inner &= (place[:, 1] > 15) & (place[:, 1] < 134)
    pull = ((found.positions - place) / found.std.positions)[inner]
    assert found.converged[inner].all()
    assert 0.75 < np.std(pull) < 1.25


def test_masked_pixels_count_nowhere(columns, fit):
    truth = columns(peak=300)
    hole = distances(truth.image, [120, 112]) < 22
    rng = np.random.default_rng(1)
    rubbish = truth.image.copy()
    rubbish[hole] = rng.uniform(0, 1e4, np.count_nonzero(hole))
    seen = np.hypot(*(truth.positions - [120, 112]).T) > 24
    table = start_table(truth, rng).take(seen)
    results = [fit(truth, image, table, mask=~hole) for image in (truth.image, rubbish)]
    parameters = [found.table.parameters for found in results]
    assert np.array_equal(*parameters)
    inner = interior(truth, 15)[seen]
    error = results[0].positions - truth.positions[seen]
    pull = (error / results[0].std.positions)[inner]
    assert 0.85 < np.std(pull) < 1.15
    statistics, positions = results[0].statistics, results[0].positions
    contexts = [
        ImageContext(image, ~hole, truth.spacing, truth.sigma, statistics)
        for image in (truth.image, rubbish)
    ]
    significance = [
        matched_significance(context, results[0].table, truth.sigma)
        for context in contexts
    ]
    assert np.isfinite(significance).all()
    assert np.array_equal(*significance)
    centers = [
        center_of_mass(image, positions, 4, mask=~hole)
        for image in (truth.image, rubbish)
    ]
    assert np.array_equal(*centers)


def test_no_columns_no_fit(columns, fit):
    none = ColumnTable.make(0.0, np.empty((0, 2)), 2.0)
    found = fit(columns((60, 60)), table=none)
    assert len(found) == len(found.table) == len(found.std) == 0
    assert found.converged.shape == (0,)


def test_order_of_the_columns_does_not_matter(columns, fit):
    truth = columns()
    table = start_table(truth, np.random.default_rng(0))
    shuffled = np.random.default_rng(1).permutation(len(table))
    one, other = fit(truth, table=table), fit(truth, table=table.take(shuffled))
    change = np.abs(other.positions - one.positions[shuffled])
    known = np.isfinite(one.std.positions[shuffled, 0])
    assert known.mean() > 0.95
    assert (change < 0.01 * one.std.positions[shuffled])[known].all()


@pytest.mark.parametrize("cell", [6.0, 20.0, 50.0])
def test_poor_starts_arrive_at_the_same_place(columns, cell, fit):
    side = int(max(10 * cell, 120))
    truth = columns((side, side + 10), cell=cell, peak=200)
    rng = np.random.default_rng(0)
    poor = fit(truth, table=start_table(truth, rng, shift=0.04 * cell))
    good = fit(truth, table=start_table(truth, rng, shift=0))
    inner = interior(truth, truth.spacing)
    change = ((poor.positions - good.positions) / good.std.positions)[inner]
    assert np.sqrt(np.mean(change**2)) < 0.15
    distance, _ = cKDTree(truth.positions).query(poor.positions[inner])
    assert distance.max() < 0.15 * truth.spacing
    assert np.median(poor.amplitude[inner] / truth.amplitude[inner]) == pytest.approx(
        1, abs=0.02
    )


@pytest.mark.parametrize("tails", [0.03, 0.08])
def test_tails_of_the_columns_do_not_lengthen_displacements(tails):
    # Without their tails in the model, A columns attract the B column that is nearer.
    slopes = []
    for seed in range(3):
        data = make_ferroic_image(
            "film", tails=tails, mistilt_mrad=0, random_state=seed, dose=1e5
        )
        sites = AtomLocator().fit_transform(data.image)
        distance, index = cKDTree(data.positions).query(sites.positions)
        true = data.polarization[index]
        good = (distance < 4) & (sites.sublattice == 1)
        good &= np.isfinite(sites.polarization).all(axis=1) & (np.hypot(*true.T) > 0.3)
        measured, true = sites.polarization[good], true[good]
        slopes.append((measured * true).sum() / (true**2).sum())
    assert np.mean(slopes) == pytest.approx(1, abs=0.008)


@pytest.mark.parametrize("seed", range(3))
def test_tails_are_estimated_only_where_there_are_some(columns, seed):
    truth = columns((300, 310), ratio=0.6, peak=300, seed=seed)
    context = ImageContext(truth.image, None, truth.spacing, truth.sigma)
    table = ColumnTable.make(truth.amplitude, truth.positions, truth.sigma)
    sums = TailSums.over(context, fit_columns_and_statistics(context, table))
    assert estimate_tails([sums]) is None
    true = ColumnTails(0.06, 2.0).image(truth.image.shape, table, truth.sigma)
    image = np.random.default_rng(seed).poisson(truth.expected + true)
    context = context.replace(image=image.astype(np.float32))
    first = estimate_tails(
        [TailSums.over(context, fit_columns_and_statistics(context, table))]
    )
    # Each fit makes up for a part of the tails.
    assert 0.01 < first.share < 0.05
    tails = first.image(truth.image.shape, table, truth.sigma)
    fit = fit_columns_and_statistics(context.without(tails, first.mean), table)
    second = estimate_tails([TailSums.over(context, fit)], first)
    assert first.share < second.share < 0.07


def test_tails_of_a_single_column():
    # Tiles of images with few columns may have one column only.
    alone = ColumnTable.make(300.0, np.array([[60.3, 59.6]]), 2.5)
    image = 20 + Renderer((120, 120), 5 * 2.5).render(alone)
    image = np.random.default_rng(0).poisson(image).astype(np.float32)
    context = ImageContext(image, None, 14.0, 2.5)
    sums = TailSums.over(context, fit_columns_and_statistics(context, alone))
    assert 0 < sums.mean < 10


@pytest.mark.parametrize("grain", [8, 12])
def test_a_rough_background_does_not_pass_for_tails(columns, grain):
    # Columns on its brighter places are higher, and what is around them is brighter.
    shifts = []
    for seed in range(4):
        truth = columns(
            (380, 390), peak=1000, background=400, noisy=False, displacement=(1.2, 0.6)
        )
        rng = np.random.default_rng(seed)
        rough = gaussian_filter(rng.normal(size=truth.image.shape), grain)
        rough *= 30 / rough.std()
        sites = AtomLocator().fit_transform(rng.poisson(truth.expected + rough))
        distance, index = cKDTree(truth.positions).query(sites.positions)
        error = sites.positions - truth.positions[index]
        inner = (distance < 3) & (sites.positions > 28).all(axis=1)
        inner &= (sites.positions < [352, 362]).all(axis=1)
        a, b = (inner & (sites.sublattice == k) for k in (0, 1))
        shifts.append(error[b].mean(axis=0) - error[a].mean(axis=0))
    # One per cent of the displacement.
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.012
