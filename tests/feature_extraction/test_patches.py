import numpy as np
import pytest
from scipy import fft
from scipy.ndimage import map_coordinates

from sklearn_ferroic import AtomLocator, AtomSites, PatchExtractor
from sklearn_ferroic.datasets import (
    load_multislice,
    make_ferroic_image,
    make_polycrystal,
)
from sklearn_ferroic.feature_extraction._windows import continuation
from sklearn_ferroic.feature_extraction._windows.continuation import lattice_periods


@pytest.fixture(scope="module")
def noise():
    return np.random.RandomState(0).poisson(50, (90, 110)).astype(float)


@pytest.fixture(scope="module")
def anywhere(noise):
    rng = np.random.RandomState(1)
    return AtomSites(noise, rng.uniform(0, 1, (40, 2)) * (np.array(noise.shape) - 1))


def _windows(sites, **parameters):
    side = parameters["window_size"]
    patches = PatchExtractor(**parameters).fit_transform(sites)
    assert patches.dtype == np.float32
    return patches.reshape(-1, side, side)


@pytest.mark.parametrize("window_size", [15, 16])
@pytest.mark.parametrize(("interpolation", "order"), [("cubic", 3), ("linear", 1)])
def test_interpolation_is_that_of_scipy(
    noise, anywhere, window_size, interpolation, order
):
    cut = _windows(
        anywhere,
        window_size=window_size,
        interpolation=interpolation,
        boundary="reflect",
        normalize=None,
    )
    step = np.arange(window_size) - (window_size - 1) / 2
    for window, center in zip(cut, anywhere.positions, strict=True):
        grid = np.meshgrid(center[0] + step, center[1] + step, indexing="ij")
        expected = map_coordinates(noise, grid, order=order, mode="reflect")
        expected = expected.clip(noise.min(), noise.max())
        np.testing.assert_allclose(window, expected, atol=1e-3)


@pytest.mark.parametrize("window_size", [20, 21])
def test_the_column_lies_at_the_geometric_center(window_size):
    rows, cols = np.mgrid[:64, :64]
    center = np.array([30.3, 33.8])
    image = np.exp(-((rows - center[0]) ** 2 + (cols - center[1]) ** 2) / 8)
    window = _windows(
        AtomSites(image, [center]), window_size=window_size, normalize=None
    )[0]
    place = np.arange(window_size) - (window_size - 1) / 2
    weight = window / window.sum()
    assert abs(weight.sum(axis=1) @ place) < 0.01
    assert abs(weight.sum(axis=0) @ place) < 0.01
    np.testing.assert_allclose(window, window[::-1, ::-1], atol=2e-3)


def test_nearest_cuts_whole_pixels(noise):
    sites = AtomSites(noise, [[40.4, 50.3], [40.6, 50.6]])
    cut = _windows(sites, window_size=5, interpolation="nearest", normalize=None)
    np.testing.assert_array_equal(cut[0], noise[38:43, 48:53])
    np.testing.assert_array_equal(cut[1], noise[39:44, 49:54])


def test_lattice_centers_on_the_ideal_place_and_on_the_column_without_one(noise):
    positions = np.array([[40.25, 50.5], [30.5, 20.75]])
    ideal = np.array([[42.0, 49.0], [np.nan, np.nan]])
    options = {"window_size": 8, "normalize": None}
    on_lattice = _windows(
        AtomSites(noise, positions, lattice_position=ideal), center="lattice", **options
    )
    moved = AtomSites(noise, [ideal[0], positions[1]])
    np.testing.assert_array_equal(on_lattice, _windows(moved, **options))


def test_boundaries():
    image = np.add.outer(np.zeros(20), np.arange(20.0))
    sites = AtomSites(image, [[10.0, 0.0]])
    options = {"window_size": 5, "interpolation": "linear", "normalize": None}
    row = {
        boundary: _windows(sites, boundary=boundary, **options)[0, 2]
        for boundary in ("reflect", "nearest", "nan")
    }
    np.testing.assert_allclose(row["reflect"], [1, 0, 0, 1, 2], atol=1e-5)
    np.testing.assert_allclose(row["nearest"], [0, 0, 0, 1, 2], atol=1e-5)
    np.testing.assert_allclose(row["nan"], [np.nan, np.nan, 0, 1, 2], atol=1e-5)


def test_periodic_boundary_continues_the_crystal():
    """A window at the border equals the same window in the larger image."""
    rows, cols = np.mgrid[:200, :200]
    image = np.zeros(rows.shape)
    for shift, height in ((0, 1.0), (8.3, 0.85)):
        phase_row = np.cos(2 * np.pi * (rows - shift + 0.05 * cols) / 17.2)
        phase_col = np.cos(2 * np.pi * (cols - shift) / 17.2)
        image += height * np.exp(4 * (phase_row + phase_col))
    crop = image[40:150, 30:160]
    periods = lattice_periods(crop.astype(np.float32))
    # oblique: along the columns the rows shift by -0.05 a
    np.testing.assert_allclose(periods, [[17.2, 0], [-0.86, 17.2]], atol=0.15)
    corners = np.array([[1.0, 60.3], [108.2, 2.0], [55.0, 128.7], [0.3, 0.6]])
    options = {"window_size": 30, "normalize": None}
    at_border = _windows(AtomSites(crop, corners), **options)
    inside = _windows(AtomSites(image, corners + [40, 30]), **options)
    error = np.abs(at_border - inside).max(axis=(1, 2)) / image.max()
    assert error.max() < 0.08
    mirrored = _windows(AtomSites(crop, corners), boundary="reflect", **options)
    assert np.abs(mirrored - inside).max() / image.max() > 0.5


def _alternating_image(n_rows, n_cols, cell, order):
    """Draw a square lattice with cell centres displaced by signs that repeat."""
    rows, cols = np.mgrid[: n_rows * cell, : n_cols * cell]
    image = np.zeros(rows.shape)
    for row in range(-1, n_rows + 1):
        for col in range(-1, n_cols + 1):
            image += np.exp(-((rows - row * cell) ** 2 + (cols - col * cell) ** 2) / 9)
            center_row = (row + 0.5) * cell + 2.0 * order(row, col)
            center_col = (col + 0.5) * cell
            square = (rows - center_row) ** 2 + (cols - center_col) ** 2
            image += 0.6 * np.exp(-square / 9)
    return image


@pytest.mark.parametrize(
    ("order", "n_cells"),
    [
        (lambda row, col: (-1) ** col, 2),
        # signs ++-- along the diagonal, as in PbZrO3
        (lambda row, col: 1 if (row + col) % 4 < 2 else -1, 4),
    ],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_periodic_boundary_continues_antipolar_cells(order, n_cells, side):
    """Cells at the border have the same neighbours as in the larger image."""
    cell = 16
    image = _alternating_image(14, 16, cell, order)
    image += np.random.RandomState(0).normal(0, 0.05, image.shape)
    crop = image[:, 64:] if side == "left" else image[:, :-64]
    start, column = (64, 8) if side == "left" else (0, crop.shape[1] - 9)
    # inside by more than half a window from the other two borders
    rows = (np.arange(4, 10) + 0.5) * cell
    places = np.column_stack([rows, np.full(6, float(column))])
    steps = continuation.find_continuation(crop.astype(np.float32)).steps[1]
    found = steps[side == "right"][5 * cell : 9 * cell]
    translations = np.unique(np.round(found / cell).astype(int), axis=0)
    assert np.abs(found / cell - np.round(found / cell)).max() < 0.0125 * n_cells
    assert (translations[:, 1] * (1 if side == "left" else -1) > 0).all()
    for row, col in translations.tolist():
        places_of_cells = [(i, j) for i in range(4) for j in range(4)]
        assert all(order(i + row, j + col) == order(i, j) for i, j in places_of_cells)
    options = {"window_size": 36, "normalize": None}
    at_border = _windows(AtomSites(crop, places), **options)
    inside = _windows(AtomSites(image, places + [0, start]), **options)
    assert np.std(at_border - inside) < 2**0.5 * 0.06


def test_a_missing_column_at_the_border_does_not_change_the_period():
    cell = 16
    image = _alternating_image(14, 16, cell, lambda row, col: 1)
    rows, cols = np.mgrid[: image.shape[0], : image.shape[1]]
    for col in (0, 1):  # in the first or the second cell of the border
        missing = (np.hypot(rows - 8.5 * cell + 2, cols - (col + 0.5) * cell)) < 6
        damaged = np.where(missing, image.min(), image).astype(np.float32)
        left = continuation.find_continuation(damaged).steps[1][0]
        np.testing.assert_allclose(left, np.tile([0, cell], (len(left), 1)), atol=0.2)


def test_grains_are_continued_by_their_own_lattice():
    """Windows at the border of a crop show what the larger image shows there."""
    data = make_polycrystal(shape=(460, 460), n_grains=4, random_state=3)
    crop = np.ascontiguousarray(data.image[60:-60, 60:-60])
    places = data.positions[data.sublattice == 1]
    to_border = np.minimum(places - 60, 399 - places).min(axis=1)
    # at the border, and not at a grain boundary within the window
    is_inner = np.ones(len(places), dtype=bool)
    for place, grain in zip(data.positions, data.grain, strict=True):
        near = np.linalg.norm(places - place, axis=1) < 30
        is_inner[near & (data.grain[data.sublattice == 1] != grain)] = False
    at_border = places[(to_border > 0) & (to_border < 8) & is_inner]
    options = {"window_size": 40, "normalize": None}
    continued = _windows(AtomSites(crop, at_border - 60), **options)
    inside = _windows(AtomSites(data.image, at_border), **options)
    correlation = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1]
        for a, b in zip(continued, inside, strict=True)
    ]
    assert len(correlation) > 20
    assert np.min(correlation) > 0.85


@pytest.mark.parametrize("seed", range(4))
def test_films_are_continued_by_one_cell(seed):
    data = make_ferroic_image("film", shape=(300, 330), random_state=seed)
    cell = 0.396 / data.pixel_size
    for axis, pair in enumerate(continuation.find_continuation(data.image).steps):
        for border in pair:
            np.testing.assert_allclose(np.abs(border[:, axis]), cell, rtol=0.03)


@pytest.mark.parametrize("preset", ["film", "superlattice"])
def test_mirrored_images_are_continued_alike(preset):
    image = make_ferroic_image(preset, shape=(300, 330), random_state=1).image
    steps = continuation.find_continuation(image).steps
    flipped = continuation.find_continuation(np.ascontiguousarray(image[::-1])).steps
    for one, other in ((0, 1), (1, 0)):
        np.testing.assert_allclose(
            flipped[0][one], steps[0][other] * [-1, 1], atol=0.05
        )
    for side in (0, 1):
        np.testing.assert_allclose(
            flipped[1][side], steps[1][side][::-1] * [-1, 1], atol=0.05
        )


def test_periods_of_the_presets_and_of_nothing():
    for preset in ("film", "superlattice"):
        data = make_ferroic_image(preset, random_state=0)
        cell = 0.396 / data.pixel_size
        np.testing.assert_allclose(
            lattice_periods(data.image), cell * np.eye(2), atol=0.02 * cell
        )
    noise = np.random.RandomState(0).poisson(5, (200, 200)).astype(np.float32)
    assert lattice_periods(noise) is None


def test_image_without_a_lattice_goes_on_as_its_mirror_image(noise, anywhere):
    options = {"window_size": 20}
    np.testing.assert_array_equal(
        _windows(anywhere, boundary="periodic", **options),
        _windows(anywhere, boundary="reflect", **options),
    )


def test_normalize(noise, anywhere):
    raw = _windows(anywhere, window_size=12, normalize=None)
    by_image = _windows(anywhere, window_size=12, normalize="image")
    low, high = noise.min(), np.percentile(noise, 99.9)
    np.testing.assert_allclose(by_image, (raw - low) / (high - low), atol=1e-5)
    assert by_image.min() >= 0  # NMF
    by_patch = _windows(anywhere, window_size=12, normalize="patch")
    np.testing.assert_allclose(by_patch.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(by_patch.std(axis=(1, 2)), 1, atol=1e-5)


def test_normalize_of_sparse_and_of_constant_images():
    sparse = np.zeros((64, 64))
    sparse[32, 32] = 5
    cut = _windows(AtomSites(sparse, [[32.0, 32.0]]), window_size=9)
    assert cut.max() == pytest.approx(1, abs=0.01)
    flat = _windows(AtomSites(np.ones((64, 64)), [[32.0, 32.0]]), window_size=9)
    assert (flat == 0).all()


def test_images_of_different_gain_compare():
    image = make_ferroic_image("film", shape=(120, 120), random_state=0).image
    positions = [[60.0, 60.0]]
    stack = AtomSites([image, 7 * image + 100], positions * 2, frame=[0, 1])
    first, second = _windows(stack, window_size=24)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_a_row_does_not_depend_on_the_other_rows(anywhere):
    extractor = PatchExtractor(window_size=16)
    whole = extractor.transform(anywhere)
    for rows in (slice(3, 4), np.array([7, 2, 30]), np.arange(len(anywhere)) % 2 == 0):
        np.testing.assert_array_equal(extractor.transform(anywhere[rows]), whole[rows])


def test_names():
    names = PatchExtractor(window_size=3).get_feature_names_out()
    assert list(names[:4]) == ["pixel0_0", "pixel0_1", "pixel0_2", "pixel1_0"]


@pytest.mark.parametrize(
    ("sites", "parameters", "error", "message"),
    [
        (np.zeros((3, 2)), {}, TypeError, "AtomSites, the output of AtomLocator"),
        (AtomSites(np.eye(40), [[1, 1]]), {}, ValueError, "window_size=48 is larger"),
        (AtomSites(np.eye(64), [[1, 80]]), {}, ValueError, "off the image"),
        (AtomSites(np.eye(64), []), {}, ValueError, "no sites"),
        (
            AtomSites(np.eye(64), [[9, 9]]),
            {"center": "lattice"},
            ValueError,
            "AtomLocator supplies it",
        ),
        (AtomSites(np.eye(64), [[9, 9]]), {"window_size": 1}, ValueError, "window_siz"),
        (AtomSites(np.eye(64), [[9, 9]]), {"boundary": "wrap"}, ValueError, "boundary"),
    ],
)
def test_refusals(sites, parameters, error, message):
    with pytest.raises(error, match=message):
        PatchExtractor(**parameters).fit(sites).transform(sites)


def test_a_window_below_the_unit_cell_is_warned_of():
    sites = AtomLocator().fit_transform(load_multislice().image[:200, :200])
    sites = sites[sites.sublattice == 1]
    with pytest.warns(
        UserWarning, match=r"window_size=20 px is less than the unit cell"
    ):
        PatchExtractor(window_size=20).transform(sites)
    PatchExtractor(window_size=44).transform(sites)


def test_rounding_of_the_autocorrelation_hardly_changes_windows(monkeypatch):
    image = make_ferroic_image(shape=(128, 128), random_state=0).image
    row, col = (part.ravel() for part in np.mgrid[6:122:6, 6:122:6])
    sites = AtomSites(image, np.stack([row, col], axis=1).astype(float))
    patches = _windows(sites, window_size=24)
    single = continuation.autocorrelation

    def double(images, last_lag, pad):
        """Compute the correlation in double precision, all lags at a time."""
        (image,) = np.asarray(images, dtype=np.float64)
        shape = [fft.next_fast_len(side + pad, real=True) for side in image.shape]
        power = np.abs(fft.rfft2(image, shape)) ** 2
        lags = np.arange(-last_lag, last_lag + 1)
        whole = fft.irfft2(power, shape)[np.ix_(*(lags % side for side in shape))]
        whole /= whole[last_lag, last_lag]
        whole /= np.outer(*(1 - np.abs(lags) / side for side in image.shape))
        # The same formula in another order.
        assert np.abs(whole - single([image], last_lag, pad)).max() < 1e-12
        return whole

    monkeypatch.setattr(continuation, "autocorrelation", double)
    difference = np.abs(_windows(sites, window_size=24) - patches).max(axis=(1, 2))
    # Float32 rounds the periods by 1e-6 px, which displaces what lies off the image.
    assert 0 < difference.max() < 1e-5 * np.ptp(patches)
    reach = 12 * np.sqrt(2) + 1
    inside = (np.minimum(row, col) > reach) & (np.maximum(row, col) < 127 - reach)
    assert not difference[inside].any()
