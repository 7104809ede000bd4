"""The parts of the locator, each by itself."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.context import ImageContext
from sklearn_ferroic._image.filters import blob_response, find_peaks
from sklearn_ferroic._image.noise import (
    NoiseModel,
    estimate_noise,
    guess_noise,
)
from sklearn_ferroic._image.spacing import estimate_spacing
from sklearn_ferroic._lattice.neighbors import drop_crowded
from sklearn_ferroic._lattice.reference_lattice import lattice_positions
from sklearn_ferroic.localization._detection.calibration import calibrate
from sklearn_ferroic.localization._detection.locate import (
    locate_columns,
    select_located,
)
from sklearn_ferroic.localization._fitting.columns import ColumnTable
from sklearn_ferroic.localization._fitting.profiles import ROUND_GAUSSIAN
from sklearn_ferroic.localization._fitting.windows import center_of_mass
from tests.localization._truth import match


@pytest.mark.parametrize("cell", [6, 9, 21, 60])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ratio": 0.12, "peak": 300},
        {"ratio": 0.85},
        {"peak": 8, "background": 2},
        {"displacement": (0.7, -0.3)},
        {"sigma": 0.17},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_spacing_is_that_of_nearest_neighbours(columns, cell, options):
    side = max(16 * cell, 200) if cell < 60 else 8 * cell
    truth = columns((side, side + 40), cell=cell, **options)
    assert estimate_spacing(truth.image) == pytest.approx(truth.spacing, rel=0.03)


def test_no_lattice_no_spacing():
    for seed in range(5):
        image = np.random.default_rng(seed).normal(size=(200, 180)).astype(np.float32)
        assert np.isnan(estimate_spacing(image))


def test_blob_response_is_the_amplitude_and_knows_no_ramp():
    row, col = np.mgrid[:64, :64]
    ramp = 5 + 0.7 * row - 0.2 * col
    image = 30 * np.exp(-((row - 32) ** 2 + (col - 30) ** 2) / (2 * 3**2)) + ramp
    response = blob_response(image.astype(np.float32), 3)
    assert response[32, 30] == pytest.approx(30, rel=0.02)
    assert abs(response[10:20, 10:20]).max() < 0.5


def test_peaks_are_sub_pixel_and_relative_to_their_neighbourhood():
    row, col = np.mgrid[:60, :120]
    image = np.zeros((60, 120))
    for r, c, height in [(30.3, 30.4, 100), (30, 44, 5), (29.6, 90.2, 6)]:
        image += height * np.exp(-((row - r) ** 2 + (col - c) ** 2) / (2 * 2.5**2))
    response = blob_response(image.astype(np.float32), 2.5)
    positions, height = find_peaks(response, 14, 0.1)
    strong = height > 1
    # 5 beside 100 is below the threshold, 6 on its own is not.
    assert np.abs(positions[strong] - [[30.3, 30.4], [29.6, 90.2]]).max() < 0.05


def test_of_two_crowded_columns_the_brighter_stays():
    positions = np.array([[0.0, 0], [0, 3], [0, 6], [0, 20]])
    pairs = np.array([[0, 1], [1, 2]])
    keep = drop_crowded(positions, np.array([5, 9, 4.0, 1]), pairs, np.full(2, 3.0), 10)
    assert keep.tolist() == [False, True, False, True]
    # A column that goes itself removes no other.
    keep = drop_crowded(positions, np.array([9, 5, 4.0, 1]), pairs, np.full(2, 3.0), 10)
    assert keep.tolist() == [True, False, True, True]


def start_table(truth, rng, shift=0.5):
    n = len(truth.positions)
    return ColumnTable.make(
        truth.amplitude * rng.uniform(0.8, 1.2, n),
        truth.positions + rng.uniform(-shift, shift, (n, 2)),
        1.1 * truth.sigma,
        0.5 * truth.background,
    )


def test_one_bad_column_spoils_no_other(columns, fit_twice):
    truth = columns(peak=500)
    table = start_table(truth, np.random.default_rng(0))
    options = {"spacing": truth.spacing, "sigma": truth.sigma}
    good = fit_twice(truth.image, table, **options)
    image = truth.image.copy()
    middle = np.argmin(np.hypot(*(truth.positions - [120, 112]).T))
    row, col = np.rint(truth.positions[middle]).astype(int)
    image[row - 2 : row + 3, col - 2 : col + 3] = 0
    spoiled = fit_twice(image, table, **options)
    assert good.converged[middle]
    assert not spoiled.converged[middle]
    others = np.hypot(*(truth.positions - [120, 112]).T) > 2 * truth.spacing
    others &= ((truth.positions > 10) & (truth.positions < 210)).all(axis=1)
    change = np.abs(spoiled.positions - good.positions)[others]
    assert change.max() < 0.5 * good.std.positions[others, 0].min()
    far = np.hypot(*(truth.positions[others] - [120, 112]).T) > 5 * truth.spacing
    assert change[far].max() < 0.05 * good.std.positions[others, 0].min()


def test_fit_does_not_depend_on_chunks(columns, fit_twice, monkeypatch):
    from sklearn_ferroic.localization._fitting import windows

    truth = columns()
    table = start_table(truth, np.random.default_rng(0))
    options = {"spacing": truth.spacing, "sigma": truth.sigma}
    whole = fit_twice(truth.image, table, **options)
    monkeypatch.setattr(windows, "N_CHUNK_PIXELS", 20_000)
    chunked = fit_twice(truth.image, table, **options)
    assert np.abs(whole.positions - chunked.positions).max() < 1e-3


@pytest.mark.parametrize("sigma", [0.09, 0.125])
def test_rounds_on_parts_of_the_image_change_no_fit(
    columns, fit_twice, monkeypatch, sigma
):
    from sklearn_ferroic.localization._fitting import column_fit

    truth = columns((400, 380), sigma=sigma)
    table = start_table(truth, np.random.default_rng(0))
    options = {"spacing": truth.spacing, "sigma": truth.sigma}
    drawn, draw_changes = [], column_fit._draw_changes

    def count_drawn(*args):
        drawn.append(draw_changes(*args))
        return drawn[-1]

    monkeypatch.setattr(column_fit, "_draw_changes", count_drawn)
    parts = fit_twice(truth.image, table, **options)
    assert any(drawn)
    settings = replace(column_fit._SETTINGS, max_windows_share=0.0)
    monkeypatch.setattr(column_fit, "_SETTINGS", settings)
    whole = fit_twice(truth.image, table, **options)
    np.testing.assert_allclose(parts.positions, whole.positions, rtol=0, atol=1e-6)
    np.testing.assert_allclose(parts.std.positions, whole.std.positions, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_overlapping_columns_are_fitted_together(columns, seed):
    # Neighbours three and a half sigma apart: alone, each would be pulled over.
    for noisy in (False, True):
        truth = columns(sigma=0.2, ratio=0.5, noisy=noisy, background=10, seed=seed)
        sites = AtomLocator().fit_transform(truth.image)
        positions = truth.positions
        positions = positions[((positions > 20) & (positions < 200)).all(axis=1)]
        distance, index = cKDTree(sites.positions).query(positions)
        if noisy:
            pull = (sites.positions[index] - positions) / sites.position_std[index]
            assert np.sqrt((pull**2).mean()) < 1.2
        else:
            assert distance.max() < 0.03
            assert np.sqrt((distance**2).mean() / 2) < 0.007


@pytest.mark.parametrize("ratio", [0.24, 0.3, 0.35])
def test_strongly_overlapping_columns(columns, ratio):
    # One kind of column: sigma in spacings.
    pulls = []
    for seed in range(3):
        truth = columns(
            (340, 320), sigma=ratio, ratio=0.0, kind="hexagonal", peak=400, seed=seed
        )
        sites = AtomLocator().fit_transform(truth.image)
        found, index, n_missed, n_invented = match(sites, truth, truth.spacing)
        assert (n_missed, n_invented) == (0, 0)
        # Nearer to the border, columns off the image contribute.
        inner = ((sites.positions > 60) & (sites.positions < 260)).all(axis=1)[found]
        found, index = found[inner], index[inner]
        error = sites.positions[found] - truth.positions[index]
        assert np.abs(error).max() < 0.12 * truth.spacing
        pulls.append(error / sites.position_std[found])
        assert sites.converged[found].mean() > 0.9
    # The errors of strongly overlapping columns are known to within a factor.
    assert 0.7 < np.sqrt(np.mean(np.concatenate(pulls) ** 2)) < 1.8


@pytest.mark.parametrize("gain, offset", [(1, 0.3), (7, 1000), (0.05, -3)])
def test_gain_and_offset_change_no_site(columns, gain, offset):
    for options in ({}, {"sigma": 0.22, "ratio": 0.5}, {"peak": 5, "background": 1}):
        image = columns(**options).image.astype(np.float64)
        # At the border, a column may be half a pixel off the image or on it.
        plain, other = (
            AtomLocator().fit_transform(scaled).interior(10)
            for scaled in (image, gain * image + offset)
        )
        assert len(other) == len(plain)
        pull = (other.positions - plain.positions) / plain.position_std
        # Where columns overlap, rounding decides when a fit has converged.
        overlap = "sigma" in options
        assert np.abs(pull).max() < (0.8 if overlap else 0.1)
        ratio = other.position_std / plain.position_std
        assert np.abs(ratio - 1).max() < (0.1 if overlap else 0.03)
        assert np.array_equal(other.sublattice, plain.sublattice)


def test_a_fit_of_overlapping_columns_stays_at_the_truth(columns, fit_twice):
    truth = columns(sigma=0.2, ratio=0.5, noisy=False, background=10)
    table = ColumnTable.make(
        truth.amplitude, truth.positions, truth.sigma, truth.background
    )
    fit = fit_twice(truth.image, table, spacing=truth.spacing, sigma=truth.sigma)
    inner = ((truth.positions > 20) & (truth.positions < 200)).all(axis=1)
    error = fit.positions[inner] - truth.positions[inner]
    assert np.abs(error).max() < 0.01


@pytest.mark.parametrize("gain, offset, read", [(1, 0, 0), (0.3, 7, 0), (40, 1e3, 60)])
def test_noise_of_a_detector_is_affine(gain, offset, read):
    rng = np.random.default_rng(0)
    counts = rng.uniform(2, 100, 50_000)
    mean = gain * counts + offset
    values = gain * rng.poisson(counts) + offset + rng.normal(0, read, len(counts))
    noise = estimate_noise(mean, (values - mean) ** 2)
    true = gain**2 * counts + read**2
    assert noise.variance(mean) == pytest.approx(true, rel=0.06)
    # Three hot pixels in a thousand change little.
    values[::333] += 1e3 * np.sqrt(true[::333])
    robust = estimate_noise(mean, (values - mean) ** 2)
    assert robust.variance(mean) == pytest.approx(true, rel=0.25)


def test_noise_where_many_pixels_have_one_mean_is_that_of_a_stable_order():
    rng = np.random.default_rng(2)
    mean = rng.integers(1, 6, 20_000).astype(np.float32)
    square = (rng.poisson(mean) - mean) ** 2
    order = np.argsort(mean, kind="stable")
    # A slight increase in that order makes all means different.
    distinct = mean.astype(np.float64)
    distinct[order] += 1e-12 * np.arange(len(mean))
    levels = np.arange(1.0, 6.0)
    assert estimate_noise(mean, square).variance(levels) == pytest.approx(
        estimate_noise(distinct, square).variance(levels), rel=1e-6
    )


def test_noise_of_few_counts_is_their_mean():
    rng = np.random.default_rng(1)
    mean = rng.uniform(0.02, 0.3, 200_000)
    noise = estimate_noise(mean, (rng.poisson(mean) - mean) ** 2)
    assert noise.variance(mean) == pytest.approx(mean, rel=0.15, abs=0.005)


def test_first_estimate_of_the_noise_needs_no_model(columns):
    truth = columns((300, 280))
    for gain, offset in ((1, 0), (7, 1000)):
        noise = guess_noise(gain * truth.image + offset)
        level = gain * np.array([20.0, 60, 110]) + offset
        true = gain**2 * np.array([20.0, 60, 110])
        assert noise.variance(level) == pytest.approx(true, rel=0.25)


def test_center_of_mass_finds_the_centre():
    row, col = np.mgrid[:40, :40]
    image = 3 + np.exp(-((row - 20.3) ** 2 + (col - 18.6) ** 2) / (2 * 2**2))
    found = center_of_mass(image, np.array([[21.0, 18.0]]), 5)
    assert found == pytest.approx(np.array([[20.3, 18.6]]), abs=0.1)


def test_doubtful_fits_keep_their_centre_of_mass(columns):
    truth = columns(peak=400)
    image = truth.image.copy()
    middle = np.argmin(np.hypot(*(truth.positions - [120, 112]).T))
    # A dead detector: the column's half is gone, its shape is no Gaussian.
    row, col = np.rint(truth.positions[middle]).astype(int)
    image[row - 1 : row + 2, col - 9 : col + 10] = image.max() * 3
    scale = truth.spacing, truth.sigma
    context = ImageContext(image, None, *scale)
    calibration = calibrate(context)
    context = calibration.apply(context)
    found = locate_columns(context, calibration, threshold=0.1, profile=ROUND_GAUSSIAN)
    fit = select_located(context, found)
    distance = np.hypot(*(fit.positions - truth.positions[middle]).T)
    near = distance < 0.5 * truth.spacing
    assert near.any()
    assert not fit.converged[near].any()
    assert np.isfinite(fit.positions[near]).all()
    assert fit.converged[distance > 2 * truth.spacing].mean() > 0.99


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_ideal_lattice_of_a_sheared_drifting_image(angle, shear):
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(range(20), range(24), indexing="ij"), -1).reshape(-1, 2)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    ideal = grid @ np.array([[15.0, shear * 15], [0, 17]]) @ turn + [40, 50]
    displaced = ideal + rng.normal(scale=0.2, size=ideal.shape)
    outliers = rng.choice(len(ideal), 15, replace=False)
    displaced[outliers] += 3
    kept = rng.random(len(ideal)) > 0.1
    found = lattice_positions(displaced[kept], np.zeros(kept.sum(), dtype=int))
    known = np.isfinite(found).all(axis=1)
    assert known.mean() > 0.96
    assert np.abs(found - ideal[kept])[known].max() < 0.12


def test_ideal_lattice_reaches_islands_and_refuses_strays():
    grid = np.stack(np.meshgrid(range(12), range(12), indexing="ij"), -1).reshape(-1, 2)
    island = grid[:20] + [30, 0]
    positions = np.concatenate([grid, island, [[20.5, 5.5]]]) * 16.0
    found = lattice_positions(positions, np.zeros(len(positions), dtype=int))
    assert found[:-1] == pytest.approx(positions[:-1], abs=1e-6)
    assert np.isnan(found[-1]).all()


@pytest.mark.parametrize("n", [0, 1, 5, 8])
def test_no_lattice_of_a_few_columns_or_a_line(n):
    line = np.column_stack([np.zeros(n), 10.0 * np.arange(n)])
    assert np.isnan(lattice_positions(line, np.zeros(n, dtype=int))).all()


def test_no_lattice_through_pairs_lines_or_disorder():
    pairs = 10.0 * np.array([[0, 0], [0, 1], [20, 0], [20, 1], [40, 0], [40, 1]])
    line = np.column_stack([np.zeros(9), np.arange(9)])
    across = np.column_stack([np.arange(20, 24), np.zeros(4)])
    square = np.stack(np.meshgrid([0, 1], [0, 1]), -1).reshape(-1, 2)
    squares = np.concatenate([square + [9 * step, 0] for step in range(4)])
    for positions in (
        pairs,
        10.0 * np.concatenate([line, across]),
        10.0 * squares,
    ):
        found = lattice_positions(positions, np.zeros(len(positions), dtype=int))
        assert np.isnan(found).all()
    # Nine columns without order: at most a few fall on a lattice by chance.
    grid = 10.0 * np.stack(np.meshgrid(range(3), range(3)), -1).reshape(-1, 2)
    for seed in range(40):
        shift = np.random.default_rng(seed).uniform(-4, 4, grid.shape)
        found = lattice_positions(grid + shift, np.zeros(9, dtype=int))
        known = np.isfinite(found).all(axis=1)
        assert np.array_equal(known, np.isfinite(found).any(axis=1))
        assert np.abs(found - grid - shift)[known].max(initial=0) < 10


@pytest.mark.parametrize("slope", [0.0, 1e-9, 0.3, 1.0, 40.0])
def test_deviance_is_the_integral_of_its_derivative(slope):
    noise = NoiseModel(constant=12.0, slope=slope, offset=30.0)
    values, mean = (
        part.ravel()
        for part in np.meshgrid([-20.0, 15.0, 30.0, 400.0], [-30.0, 20.0, 35.0, 390.0])
    )
    expected = [
        quad(
            lambda t, value=value: 2 * (t - value) / noise.variance(np.array([t]))[0],
            value,
            end,
            points=[0, 29.0, 30.0],
            limit=500,
        )[0]
        for value, end in zip(values, mean, strict=True)
    ]
    deviance = noise.deviance(values, mean)
    assert deviance == pytest.approx(np.array(expected), rel=1e-4, abs=1e-6)
    assert deviance.min() >= 0
