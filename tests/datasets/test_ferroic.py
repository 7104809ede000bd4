import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial import cKDTree
from sklearn.utils import check_random_state

from sklearn_ferroic.datasets import make_ferroic_image

PRESETS = ("film", "superlattice")
STILL = {"jitter": 0, "drift": 0, "mistilt_mrad": 0, "disorder_pm": 0}
SMALL = {"shape": (300, 320), "dose": np.inf}
# Round Gaussian columns, equally bright for equal composition.
GAUSSIAN = {"intensity_scatter": 0, "tails": 0, "astigmatism": 1}
# The image is in electrons.
COUNTING = {
    "detector_gain": 1,
    "detector_offset": 0,
    "read_noise": 0,
    "interference": 0,
}
TRUTH = (
    "positions",
    "scan_shift",
    "sublattice",
    "variant",
    "polarization",
    "composition",
    "wall",
    "amplitude",
    "sigma",
    "background",
)


def sum_of_columns(data):
    """Image of the true columns, one by one and without any cutting."""
    row, col = np.ogrid[: data.image.shape[0], : data.image.shape[1]]
    image = np.zeros(data.image.shape)
    columns = zip(data.positions, data.amplitude, data.sigma, strict=True)
    for (r, c), height, sigma in columns:
        image += height * np.exp(-((row - r) ** 2 + (col - c) ** 2) / (2 * sigma**2))
    return image


def measured_positions(image, positions, background):
    """Column centres from the parabola through the logarithm of 3 x 3 pixels."""
    pixel = np.rint(positions).astype(int)
    lines = []
    for step in ([1, 0], [0, 1]):
        near = [pixel + k * np.array(step) for k in (-1, 0, 1)]
        lines.append([np.log(image[at[:, 0], at[:, 1]] - background) for at in near])
    offsets = [(a - c) / (2 * (a - 2 * b + c)) for a, b, c in lines]
    return pixel + np.column_stack(offsets)


def interior(data, margin):
    side = np.array(data.image.shape) - 1
    inner = (data.positions >= margin) & (data.positions <= side - margin)
    return inner.all(axis=1)


def seen_displacement(data):
    """B minus the mean of its four A neighbours, from the positions alone."""
    a_site = data.positions[data.sublattice == 0]
    b_site = data.positions[data.sublattice == 1]
    _, near = cKDTree(a_site).query(b_site, k=4)
    return b_site - a_site[near].mean(axis=1)


def inner_b_sites(data, margin=25):
    b_site = data.sublattice == 1
    return b_site & interior(data, margin), interior(data, margin)[b_site]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_ready_to_use(preset):
    data = make_ferroic_image(preset, random_state=0)
    n = len(data.positions)
    assert data.image.dtype == np.float32
    assert data.image.shape[0] != data.image.shape[1]
    np.testing.assert_array_equal(data.image, np.rint(data.image))
    assert data.positions.dtype == np.float64
    assert all(len(data[name]) == n for name in TRUTH)
    assert data.pixel_size == 0.02
    assert data.sublattice_names == ("A", "B")
    assert set(data.sublattice) == {0, 1}
    assert set(data.variant) == {-1, 0, 1, 2, 3}
    assert data.wall.dtype == bool
    assert np.isfinite(data.polarization[data.sublattice == 1]).all()
    assert np.isnan(data.polarization[data.sublattice == 0]).all()
    assert data.composition.min() == 0
    assert data.composition.max() == 1
    cells = np.prod(np.array(data.image.shape) * 0.02 / 0.396)
    assert n == pytest.approx(2 * cells, rel=0.02)
    assert preset in data.description
    assert "25000 electrons" in data.description


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(5))
def test_every_variant_fills_a_fair_share(preset, seed):
    data = make_ferroic_image(preset, dose=np.inf, random_state=seed)
    cells = data.variant[(data.sublattice == 1) & ~data.wall]
    assert min(np.mean(cells == k) for k in range(4)) > 0.05
    assert 0.1 < np.mean(cells == -1) < 0.4


def test_counts_are_those_of_a_good_micrograph():
    data = make_ferroic_image(random_state=0, **COUNTING)
    film = (data.composition == 1) & interior(data, 1)
    a_site, b_site = (film & (data.sublattice == k) for k in (0, 1))
    height = np.median(data.amplitude[a_site])
    assert 100 < height < 150
    assert np.median(data.amplitude[b_site]) / height == pytest.approx(0.4, abs=0.03)
    at = np.rint(data.positions[a_site]).astype(int)
    expected = (data.amplitude + data.background)[a_site]
    ratio = data.image[at[:, 0], at[:, 1]] / expected
    # A pixel off the centre by up to half a pixel is a little darker.
    assert np.mean(ratio) == pytest.approx(0.985, abs=0.015)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(3))
def test_columns_lie_where_the_truth_says(preset, seed):
    data = make_ferroic_image(
        preset, dose=np.inf, jitter=0, interference=0, tails=0, random_state=seed
    )
    # At an interface the background's slope biases this simple measurement.
    inner = interior(data, 2) & ~data.wall
    truth = data.positions[inner]
    error = measured_positions(data.image, truth, data.background[inner]) - truth
    # Tails of neighbours, 14 px away, still pull a little.
    assert np.abs(error).max() < 0.05
    assert np.abs(error.mean(axis=0)).max() < 0.002


@pytest.mark.parametrize("cell", [5, 20, 60])
def test_image_is_the_sum_of_its_columns(cell):
    shape = (8 * cell, 8 * cell + 3)
    data = make_ferroic_image(
        shape=shape,
        pixel_size=0.396 / cell,
        dose=np.inf,
        substrate=0.0,
        thickness_gradient=0.0,
        random_state=1,
        interference=0,
        **GAUSSIAN,
        **STILL,
    )
    assert len(data.positions) == pytest.approx(128, abs=10)
    rest = data.image - sum_of_columns(data)
    # Columns beyond the border, whose tails reach in, are not in the truth.
    rest = rest[cell:-cell, cell:-cell]
    np.testing.assert_allclose(rest, data.background[0], rtol=1e-4)


def test_truth_holds_every_column_inside_and_none_outside():
    wide = make_ferroic_image(**SMALL, random_state=2, drift=0)
    low, high = wide.positions.min(axis=0), wide.positions.max(axis=0)
    assert (low >= -0.5).all()
    assert (high < np.array(wide.image.shape) - 0.5).all()
    # No more than a cell is free of columns along each border.
    assert (low < 20).all()
    assert (high > np.array(wide.image.shape) - 20).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_polarization_is_the_displacement_seen(preset):
    data = make_ferroic_image(preset, dose=np.inf, random_state=4, **STILL)
    at, inner = inner_b_sites(data)
    np.testing.assert_allclose(
        seen_displacement(data)[inner], data.polarization[at], atol=1e-9
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(3))
def test_variant_is_the_direction_of_the_polarization(preset, seed):
    data = make_ferroic_image(preset, dose=np.inf, random_state=seed)
    for variant in range(4):
        cells = (data.variant == variant) & (data.sublattice == 1) & ~data.wall
        d_row, d_col = data.polarization[cells].T
        error = np.arctan2(d_row, d_col) - np.pi * (1 + 2 * variant) / 4
        error = np.abs((error + np.pi) % (2 * np.pi) - np.pi)
        assert error.max() < np.deg2rad(5)
        length_pm = 1e3 * data.pixel_size * np.hypot(d_row, d_col)
        # Next to a wall or an interface the order is not yet complete.
        assert length_pm.min() > 0.75 * 40
        assert np.median(length_pm) == pytest.approx(40, rel=0.01)
    plain = (data.variant == -1) & (data.sublattice == 1) & ~data.wall
    length_pm = 1e3 * data.pixel_size * np.linalg.norm(data.polarization[plain], axis=1)
    assert length_pm.max() < 1


@pytest.mark.parametrize("n_variants", [1, 2, 3, 4])
def test_number_of_variants(n_variants):
    data = make_ferroic_image(
        dose=np.inf, n_variants=n_variants, substrate=0.0, random_state=5
    )
    assert set(data.variant) == set(range(n_variants))
    assert data.wall.any() == (n_variants > 1)


def test_walls_are_smooth_and_as_wide_as_asked():
    cells = {}
    for width_nm in (0.4, 1.6):
        data = make_ferroic_image(
            dose=np.inf,
            n_variants=2,
            substrate=0.0,
            wall_width_nm=width_nm,
            random_state=6,
            **STILL,
        )
        b_site = data.sublattice == 1
        d_row, d_col = data.polarization[b_site].T / np.sqrt(2)
        np.testing.assert_allclose(d_row, 1, atol=1e-9)
        # d_col = tanh(x / xi) across the wall: find x, and from it the plane.
        xi = width_nm / 2 / data.pixel_size
        near = np.abs(d_col) < 0.9
        across = xi * np.arctanh(d_col[near])
        ideal = data.positions[b_site] - data.polarization[b_site]
        plane = np.column_stack([ideal[near], np.ones(near.sum())])
        normal, residual, *_ = np.linalg.lstsq(plane, across, rcond=None)
        assert residual[0] < 1e-9
        assert np.hypot(*normal[:2]) == pytest.approx(1)
        # Inclined to both axes of the image.
        assert np.abs(normal[:2]).min() > 0.4
        distance = np.abs(ideal @ normal[:2] + normal[2])
        np.testing.assert_array_equal(
            data.wall[b_site], distance <= xi + 0.198 / data.pixel_size
        )
        cells[width_nm] = data.wall.sum()
    assert cells[1.6] == pytest.approx(cells[0.4] * (0.8 + 0.198) / 0.398, rel=0.1)


def test_straight_walls_run_along_the_rows_axis():
    data = make_ferroic_image(dose=np.inf, random_state=7, substrate=0.0, **STILL)
    b_site = data.sublattice == 1
    ideal = (data.positions - data.polarization)[b_site]
    d_row = data.polarization[b_site][:, 0]
    # The row component changes its sign twice along every row, at the same column.
    column = np.rint((ideal[:, 1] - ideal[:, 1].min()) / 19.8).astype(int)
    signs = [np.sign(d_row[column == k]) for k in range(column.max() + 1)]
    assert all(len(set(sign)) == 1 for sign in signs)
    assert np.count_nonzero(np.diff([sign[0] for sign in signs])) == 2


def test_antipolar_displacement_alternates_cell_by_cell():
    data = make_ferroic_image("superlattice", dose=np.inf, random_state=8, **STILL)
    b_site = (data.sublattice == 1) & ~data.wall & (data.variant >= 0)
    ideal = (data.positions - data.polarization)[b_site]
    moment, variant = data.polarization[b_site], data.variant[b_site]
    tree = cKDTree(ideal)
    gap, beside = tree.query(ideal + [0, 19.8], distance_upper_bound=0.1)
    pairs = np.flatnonzero(np.isfinite(gap))
    turned = np.sum(moment[pairs] * moment[beside[pairs]], axis=1) < 0
    rows = ideal[pairs, 0]
    lamella = np.unique(np.rint(rows[turned]))
    # Whole layers alternate, in every pair of neighbours along a row ...
    assert 7 <= len(lamella) <= 10
    assert turned[np.isin(np.rint(rows), lamella)].all()
    np.testing.assert_allclose(
        moment[pairs[turned]], -moment[beside[pairs[turned]]], atol=1e-9
    )
    assert ((variant[pairs[turned]] - variant[beside[pairs[turned]]]) % 4 == 2).all()
    # ... and none down a column of the same layer.
    gap, below = tree.query(ideal + [19.8, 0], distance_upper_bound=0.1)
    stacked = np.isfinite(gap) & np.isin(np.rint(ideal[:, 0]), lamella)
    assert (np.sum(moment[stacked] * moment[below[stacked]], axis=1) > 0).all()


@pytest.mark.parametrize(
    ("antipolar", "share"), [("none", 0.0), ("alternate", 0.35), ("all", 1.0)]
)
def test_antipolar_layers(antipolar, share):
    data = make_ferroic_image(
        "superlattice",
        dose=np.inf,
        antipolar=antipolar,
        n_variants=1,
        random_state=0,
        **STILL,
    )
    cells = data.variant[(data.sublattice == 1) & (data.variant >= 0)]
    # With one variant every second antipolar cell is turned to variant 2.
    assert np.mean(cells == 2) == pytest.approx(share / 2, abs=0.05)


def test_one_layer_is_not_every_second():
    usual, asked = (
        make_ferroic_image(antipolar=antipolar, random_state=0, **SMALL)
        for antipolar in ("none", "alternate")
    )
    np.testing.assert_array_equal(usual.variant, asked.variant)


def test_superlattice_layers_and_diffuse_interfaces():
    data = make_ferroic_image(
        "superlattice",
        dose=np.inf,
        n_atoms=100_000,
        intensity_scatter=0,
        random_state=1,
        **STILL,
    )
    row, share = data.positions[:, 0], data.composition
    a_site = data.sublattice == 0
    bright = np.median(data.amplitude[a_site & (share > 0.99)])
    dark = np.median(data.amplitude[a_site & (share < 0.01)])
    assert 0.5 < dark / bright < 0.65
    ratio = data.amplitude[a_site] / bright
    assert np.corrcoef(ratio, share[a_site])[0, 1] > 0.98
    # A tanh profile: the composition passes through the interface over cells.
    mixed = (share > 0.01) & (share < 0.99)
    assert 0.2 < mixed.mean() < 0.5
    np.testing.assert_array_equal(
        data.wall[mixed & (share > 0.11) & (share < 0.89)], True
    )
    # Same row, same composition; layers of 10 and 6 cells in turn.
    row, share = row[~a_site], share[~a_site]
    order = np.argsort(row)
    lines = np.split(order, np.flatnonzero(np.diff(row[order]) > 8) + 1)
    assert max(np.ptp(share[line]) for line in lines) < 0.02
    ferroic = np.array([share[line].mean() > 0.5 for line in lines])
    assert np.diff(np.flatnonzero(np.diff(ferroic))).tolist()[:3] == [6, 10, 6]


def test_composition_noise_is_that_of_few_atoms():
    options = {"preset": "superlattice", "interface_width_nm": 3.0, "random_state": 2}
    few, many = (
        make_ferroic_image(n_atoms=n, dose=np.inf, **options | STILL).composition
        for n in (25, 1_000_000)
    )
    middle = (many > 0.4) & (many < 0.6)
    noise = np.std((few - many)[middle])
    assert noise == pytest.approx(np.sqrt(0.25 / 25), rel=0.1)


def test_interface_can_be_sharp():
    data = make_ferroic_image(
        dose=np.inf, interface_width_nm=0, wall_width_nm=0, random_state=0
    )
    assert set(data.composition) == {0.0, 1.0}
    length = np.linalg.norm(data.polarization[data.sublattice == 1], axis=1)
    assert np.isin(np.rint(1e6 * length), [0, 2_000_000, 1_414_214]).all()


def test_doping_makes_the_a_columns_uneven():
    spread = {}
    for doping in (0.0, 0.3):
        data = make_ferroic_image(
            doping=doping,
            substrate=0.0,
            thickness_gradient=0.0,
            intensity_scatter=0,
            **SMALL,
        )
        a_site = data.amplitude[data.sublattice == 0]
        spread[doping] = np.std(a_site) / np.mean(a_site)
    assert spread[0.0] < 1e-9
    # 39 % less brightness for Sm, binomial over 50 atoms.
    expected = 0.39 * np.sqrt(0.3 * 0.7 / 50) / (1 - 0.39 * 0.3)
    assert spread[0.3] == pytest.approx(expected, rel=0.15)


def test_substrate_is_darker_and_not_polar():
    data = make_ferroic_image(dose=np.inf, substrate=0.4, random_state=3, drift=0)
    below = data.positions[:, 0] > 0.6 * data.image.shape[0] + 30
    above = data.positions[:, 0] < 0.6 * data.image.shape[0] - 20
    assert (data.variant[below] == -1).all()
    assert data.composition[below].max() < 0.1
    assert (data.variant[above] >= 0).all()
    assert not data.wall[below].any()
    mean = data.image[-200:].mean() / data.image[:200].mean()
    assert mean < 0.6


def test_poisson_noise():
    noisy = make_ferroic_image(random_state=4, **COUNTING)
    expected = make_ferroic_image(random_state=4, dose=np.inf, **COUNTING)
    residual = (noisy.image - expected.image).astype(float)
    variance = residual**2 / expected.image
    tolerance = 5 * np.sqrt(expected.image.mean(dtype=float) / residual.size)
    assert abs(residual.mean()) < tolerance
    assert variance.mean() == pytest.approx(1, abs=0.01)
    bright = expected.image > 100
    assert variance[bright].mean() == pytest.approx(1, abs=0.03)
    # White noise: neighbours know nothing of each other.
    white = residual / np.sqrt(expected.image)
    assert abs(np.mean(white[:, 1:] * white[:, :-1])) < 0.01


@pytest.mark.parametrize("factor", [0.1, 4])
def test_counts_follow_the_dose(factor):
    usual = make_ferroic_image(random_state=5, **COUNTING).image
    other = make_ferroic_image(random_state=5, dose=factor * 25e3, **COUNTING).image
    assert other.mean() / usual.mean() == pytest.approx(factor, rel=0.01)


def test_pixel_shares_the_dose():
    coarse, fine = (
        make_ferroic_image(pixel_size=size, shape=(400, 400), dose=np.inf)
        for size in (0.04, 0.02)
    )
    ratio = np.median(coarse.amplitude) / np.median(fine.amplitude)
    assert ratio == pytest.approx(4, rel=0.1)


def test_thickness_gradient():
    options = SMALL | {"substrate": 0.0, "doping": 0.0, "random_state": 6}
    options["intensity_scatter"] = 0
    for gradient in (0.0, 0.2, 0.8):
        data = make_ferroic_image(thickness_gradient=gradient, **options)
        a_site = data.sublattice == 0
        plane = np.column_stack([data.positions[a_site], np.ones(a_site.sum())])
        slope, *_ = np.linalg.lstsq(plane, data.amplitude[a_site], rcond=None)
        np.testing.assert_allclose(plane @ slope, data.amplitude[a_site], rtol=1e-6)
        rise = np.abs(slope[:2]) @ data.image.shape
        centre = slope @ [150, 160, 1]
        assert rise / centre == pytest.approx(gradient, abs=1e-6)


def test_mistilt_shifts_b_against_a_and_elongates_columns():
    options = {"dose": np.inf, "random_state": 7}
    data = make_ferroic_image(**options, **STILL | {"mistilt_mrad": 6})
    plain = make_ferroic_image(**options, **STILL)
    at, inner = inner_b_sites(data)
    shift = seen_displacement(data)[inner] - data.polarization[at]
    length_pm = 1e3 * data.pixel_size * np.linalg.norm(shift, axis=1)
    # 1 pm for each mrad, somewhere near the largest tilt.
    assert 3 < length_pm.max() <= 6.01
    # Slowly varying: hardly a change from cell to cell.
    place = data.positions[at]
    _, near = cKDTree(place).query(place, k=2)
    assert np.linalg.norm(shift - shift[near[:, 1]], axis=1).max() < 0.05
    np.testing.assert_array_equal(
        data.polarization[data.sublattice == 1],
        plain.polarization[plain.sublattice == 1],
    )
    wider = data.sigma / plain.sigma
    assert wider.min() >= 1
    assert 1.01 < wider.max() < 1.1


def test_disorder():
    options = SMALL | {"random_state": 8}
    still = make_ferroic_image(**options, **STILL)
    moved = make_ferroic_image(**options, **STILL | {"disorder_pm": 5})
    inner = interior(still, 2)
    _, partner = cKDTree(moved.positions).query(still.positions[inner])
    shift = moved.positions[partner] - still.positions[inner]
    np.testing.assert_allclose(1e3 * 0.02 * shift.std(axis=0), 5, rtol=0.15)
    assert np.abs(shift.mean(axis=0)).max() < 0.05


def test_drift_is_slow_and_depends_on_the_row_only():
    options = {"dose": np.inf, "random_state": 9}
    still = make_ferroic_image(**options, **STILL)
    moved = make_ferroic_image(**options, **STILL | {"drift": 10})
    inner = interior(still, 15)
    # Half a cell may lie between: match on the crystal's own order.
    tree = cKDTree(moved.positions)
    gap, partner = tree.query(still.positions[inner])
    assert gap.max() < 9
    shift = moved.positions[partner] - still.positions[inner]
    row = still.positions[inner, 0]
    order = np.argsort(row)
    row, shift = row[order], shift[order]
    steps = np.diff(shift, axis=0)
    assert np.linalg.norm(steps, axis=1).max() < 1
    time = row / 400 - 1
    smooth = [np.polyval(np.polyfit(time, part, 8), time) for part in shift.T]
    assert np.abs(shift.T - smooth).max() < 0.01
    extent = np.linalg.norm(shift[-1] - shift[0])
    assert extent == pytest.approx(10, rel=0.35)


def test_jitter_moves_lines_and_not_the_truth():
    still = make_ferroic_image(random_state=1, dose=np.inf, jitter=0)
    shaken = make_ferroic_image(random_state=1, dose=np.inf, jitter=0.5)
    np.testing.assert_array_equal(still.positions, shaken.positions)
    gradient = np.gradient(still.image.astype(float))
    difference = (shaken.image - still.image).astype(float)
    # Each line is displaced as a whole: fit its two shifts.
    shifts = []
    for line, d_row, d_col in zip(difference, *gradient, strict=True):
        shift, *_ = np.linalg.lstsq(np.column_stack([d_row, d_col]), line, rcond=None)
        shifts.append(shift)
    along = np.std(np.array(shifts)[:, 1])
    assert along == pytest.approx(0.5, rel=0.15)


def fitted_positions(data, which, radius=4):
    """Least-squares centres of round Gaussians of known width on known background."""
    steps = np.arange(-radius, radius + 1)
    found = []
    for k in which:
        pixel = np.rint(data.positions[k]).astype(int)
        rows, cols = pixel[0] + steps[:, None], pixel[1] + steps
        cut = data.image[rows, cols] - data.background[k]

        def residual(p, rows=rows, cols=cols, cut=cut, width=data.sigma[k]):
            squared = (rows - p[0]) ** 2 + (cols - p[1]) ** 2
            return (p[2] * np.exp(-squared / (2 * width**2)) - cut).ravel()

        start = [*data.positions[k], data.amplitude[k]]
        found.append(least_squares(residual, start).x[:2])
    return np.array(found)


def test_scan_shift_is_what_jitter_does_to_a_fit():
    options = {"random_state": 1, "dose": np.inf, "shape": (300, 320)}
    options |= {"substrate": 0.0, "interference": 0} | GAUSSIAN
    data = make_ferroic_image(**options, jitter=0.3)
    # Neighbours pull the fit of a single column: this must not count.
    still = make_ferroic_image(**options, jitter=0)
    which = np.flatnonzero(interior(data, 15) & (data.sublattice == 0))[:120]
    moved = fitted_positions(data, which) - fitted_positions(still, which)
    expected = data.scan_shift[which]
    assert np.abs(expected).std(axis=0).min() > 0.02
    error = moved - expected
    assert (error.std(axis=0) < 0.25 * expected.std(axis=0)).all()
    for axis in (0, 1):
        slope = np.polyfit(expected[:, axis], moved[:, axis], 1)[0]
        assert slope == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(still.scan_shift, 0)


def test_columns_scatter_in_intensity_about_their_composition():
    options = {"dose": np.inf, "random_state": 3}
    plain = make_ferroic_image(**options, intensity_scatter=0)
    data = make_ferroic_image(**options, intensity_scatter=(0.1, 0.3))
    factor = data.amplitude / plain.amplitude
    for sublattice, scatter in ((0, 0.1), (1, 0.3)):
        own = factor[data.sublattice == sublattice]
        assert own.mean() == pytest.approx(1, abs=0.02)
        assert own.std() == pytest.approx(scatter, rel=0.08)
        assert own.min() > 0
    np.testing.assert_array_equal(data.positions, plain.positions)
    alike = make_ferroic_image(**options, intensity_scatter=0.1)
    factor = alike.amplitude / plain.amplitude
    for sublattice in (0, 1):
        own = factor[data.sublattice == sublattice]
        assert own.std() == pytest.approx(0.1, rel=0.08)
    # The image shows the scatter that the truth states.
    at = np.rint(data.positions[interior(data, 1)]).astype(int)
    shown = (data.image / plain.image)[at[:, 0], at[:, 1]]
    assert np.corrcoef(shown, (data.amplitude / plain.amplitude)[interior(data, 1)])[
        0, 1
    ] == pytest.approx(1, abs=0.02)


def profile_moments(data, k, radius):
    """Sum and second moments of the pixels around a column, less the background."""
    row, col = np.rint(data.positions[k]).astype(int)
    steps = np.arange(-radius, radius + 1)
    cut = data.image[row + steps[:, None], col + steps].astype(float)
    cut -= data.background[k]
    d_row = row + steps - data.positions[k, 0]
    d_col = col + steps - data.positions[k, 1]
    total = cut.sum()
    moments = [
        (cut.sum(axis=1) @ d_row**2) / total,
        (d_row @ cut @ d_col) / total,
        (cut.sum(axis=0) @ d_col**2) / total,
    ]
    return total, np.array([moments[:2], moments[1:]])


# Columns so far apart that the moments of each are its own.
LONELY = {
    "shape": (300, 300),
    "lattice_parameter_nm": 1.0,
    "pixel_size": 0.02,
    "column_width_nm": 0.04,
    "substrate": 0.0,
    "thickness_gradient": 0.0,
    "dose": np.inf,
    "interference": 0,
    **STILL,
}


def lonely_columns(data, radius):
    inner = (data.sublattice == 0) & interior(data, radius + 2)
    assert inner.sum() > 8
    return np.flatnonzero(inner)


def test_tails_hold_their_share_of_the_intensity():
    data = make_ferroic_image(**LONELY | GAUSSIAN | {"tails": 0.1}, random_state=0)
    for k in lonely_columns(data, 17):
        total, moments = profile_moments(data, k, 17)
        width, height = data.sigma[k], data.amplitude[k]
        # 0.9 of the height with the width, 0.1 with twice the width.
        assert total / (2 * np.pi * height * width**2) == pytest.approx(1.3, rel=0.01)
        expected = width**2 * (0.9 + 0.1 * 16) / 1.3
        np.testing.assert_allclose(np.diag(moments), expected, rtol=0.03)


def test_astigmatism_stretches_all_columns_along_one_direction():
    options = LONELY | GAUSSIAN
    angles = {}
    for seed in range(4):
        data = make_ferroic_image(**options | {"astigmatism": 1.3}, random_state=seed)
        plain = make_ferroic_image(**options, random_state=seed)
        which = lonely_columns(data, 13)
        np.testing.assert_allclose(data.sigma, plain.sigma)
        directions = []
        for k in which:
            values, vectors = np.linalg.eigh(profile_moments(data, k, 13)[1])
            assert np.sqrt(values[1] / values[0]) == pytest.approx(1.3, abs=0.01)
            width = data.sigma[k]
            assert np.prod(values) ** 0.25 == pytest.approx(width, rel=0.01)
            directions.append(np.arctan2(*vectors[:, 1]))
        spread = np.abs(np.mean(np.exp(2j * np.array(directions))))
        assert spread > 0.999
        angles[seed] = directions[0] % np.pi
    assert np.ptp(list(angles.values())) > 0.3


def test_interference_is_one_sinusoid_in_time():
    options = {"dose": np.inf, "random_state": 4, "shape": (300, 320)} | COUNTING
    plain = make_ferroic_image(**options)
    data = make_ferroic_image(**options | {"interference": 0.05})
    wave = (data.image.astype(float) - plain.image).ravel()
    # The beam writes line by line, so that all pixels in turn are one time series.
    power = np.abs(np.fft.rfft(wave * np.hanning(len(wave)))) ** 2
    peak = power.argmax()
    assert power[peak - 3 : peak + 4].sum() > 0.999 * power.sum()
    lines = len(wave) / peak / 320
    assert 3 <= lines <= 10
    # 5 % of the 120 electrons of a Bi column.
    assert np.sqrt(2) * wave.std() == pytest.approx(0.05 * 120, rel=0.02)
    for name in TRUTH:
        np.testing.assert_array_equal(data[name], plain[name])


def test_detector_writes_whole_units_with_variance_linear_in_the_mean():
    options = {"random_state": 5, "jitter": 0}
    options |= {"detector_gain": 7.5, "detector_offset": 250, "read_noise": 20}
    noisy = make_ferroic_image(**options)
    expected = make_ferroic_image(**options, dose=np.inf).image.astype(float)
    np.testing.assert_array_equal(noisy.image, np.rint(noisy.image))
    square = (noisy.image - expected) ** 2
    for low, high in ((0, 0.1), (0.45, 0.55), (0.9, 1)):
        limits = np.quantile(expected, [low, high])
        part = (expected >= limits[0]) & (expected <= limits[1])
        variance = 20**2 + 7.5 * (expected[part].mean() - 250) + 1 / 12
        assert square[part].mean() == pytest.approx(variance, rel=0.03)
    # Amplitude and background of the truth are in the same units.
    counts = make_ferroic_image(random_state=5, jitter=0, **COUNTING)
    np.testing.assert_allclose(noisy.amplitude, 7.5 * counts.amplitude)
    np.testing.assert_allclose(noisy.background, 7.5 * counts.background + 250)


def test_detector_cannot_write_less_than_zero():
    data = make_ferroic_image(
        random_state=0, dose=100, detector_offset=5, read_noise=10, shape=(200, 200)
    )
    assert data.image.min() == 0
    assert np.mean(data.image == 0) > 0.05


def test_presets_are_not_ideal():
    data = make_ferroic_image(random_state=0)
    ideal = make_ferroic_image(random_state=0, **GAUSSIAN, **COUNTING)
    for name in ("positions", "sublattice", "variant", "polarization"):
        np.testing.assert_array_equal(data[name], ideal[name])
    scatter = data.amplitude / ideal.amplitude
    b_site = data.sublattice == 1
    assert np.std(scatter[b_site]) / np.mean(scatter[b_site]) > 0.08
    assert "Brightness scatters by 5% (A) and 10% (B)" in data.description
    assert "10 ADU per electron, offset 100, read noise 10 ADU" in data.description


def test_missing_columns():
    options = SMALL | {"random_state": 2}
    whole = make_ferroic_image(**options)
    holed = make_ferroic_image(**options, n_missing=12)
    assert len(holed.positions) == len(whole.positions) - 12
    gap, _ = cKDTree(holed.positions).query(whole.positions)
    gone = gap > 1e-9
    assert gone.sum() == 12
    gone &= interior(whole, 1)
    at = np.rint(whole.positions[gone]).astype(int)
    left = holed.image[at[:, 0], at[:, 1]]
    np.testing.assert_allclose(left, whole.background[gone], rtol=0.1)
    assert "12 column(s) missing" in holed.description


def burgers_vector(data, centre, n_steps):
    """Closure failure of a circuit of A columns, n_steps from the centre."""
    a_site = data.positions[data.sublattice == 0]
    tree = cKDTree(a_site)
    cell = 0.396 / data.pixel_size
    here = start = tree.query(np.array(centre) - n_steps * cell)[1]
    for step in ([0, cell], [cell, 0], [0, -cell], [-cell, 0]):
        for _ in range(2 * n_steps):
            gap, here = tree.query(a_site[here] + step)
            assert gap < 0.4 * cell
    return a_site[here] - a_site[start]


def test_dislocation_has_its_burgers_vector():
    options = {"dose": np.inf, "substrate": 0.0, "random_state": 3} | STILL
    whole = make_ferroic_image(**options)
    np.testing.assert_allclose(burgers_vector(whole, (400, 410), 8), 0, atol=1e-9)
    data = make_ferroic_image(**options, dislocation=True)
    failure = burgers_vector(data, (400, 410), 8)
    assert np.abs(failure[1]) == pytest.approx(19.8, rel=0.1)
    assert np.abs(failure[0]) < 2
    # A circuit beside the core closes.
    beside = burgers_vector(data, (400, 150), 4)
    np.testing.assert_allclose(beside, 0, atol=1e-9)


def test_dislocation_ends_an_extra_half_plane_above_its_core():
    options = {"shape": (400, 1000), "dose": np.inf, "substrate": 0.0, "n_variants": 1}
    options |= STILL | {"random_state": 4}
    whole = make_ferroic_image(**options)
    data = make_ferroic_image(**options, dislocation=(200, 500))
    for sublattice in (0, 1):
        rows = np.unique(whole.positions[whole.sublattice == sublattice, 0].round(3))
        places = data.positions[data.sublattice == sublattice]
        places = places[np.abs(places[:, 1] - 500) < 400]
        line = np.abs(places[:, :1] - rows).argmin(axis=1)
        counts = np.bincount(line, minlength=len(rows))
        above = counts[(rows > 120) & (rows < 180)].mean()
        below = counts[(rows > 220) & (rows < 280)].mean()
        assert above - below == pytest.approx(1, abs=0.34)
    gap = cKDTree(data.positions).query(data.positions, k=2)[0][:, 1]
    assert gap.min() > 0.4 * 19.8
    assert "Edge dislocation near row 200, column 500" in data.description


def test_dissociated_dislocation():
    options = {"dose": np.inf, "substrate": 0.0, "random_state": 3} | STILL
    data = make_ferroic_image(**options, dislocation=True, dissociation_nm=4)
    # A circuit around both partials fails to close by one cell along the columns.
    failure = burgers_vector(data, (400, 410), 12)
    assert np.abs(failure[1]) == pytest.approx(19.8, rel=0.1)
    assert np.abs(failure[0]) < 2
    # Between them two planes of A columns are neighbours.
    near = np.abs(data.positions - [400, 410]).max(axis=1) < 60
    a_site = data.positions[near & (data.sublattice == 0)]
    distance, which = cKDTree(a_site).query(a_site, k=2)
    pair = a_site[which[:, 1]] - a_site
    close = distance[:, 1] < 0.8 * 19.8
    assert close.sum() >= 8
    np.testing.assert_allclose(np.abs(pair[close]), 9.9, atol=4)
    gap = cKDTree(data.positions).query(data.positions, k=2)[0][:, 1]
    assert gap.min() > 0.4 * 19.8
    assert "dissociated by 4 nm" in data.description


def test_random_state_decides():
    first, again, other = (make_ferroic_image(random_state=seed) for seed in (0, 0, 1))
    for name in ("image", *TRUTH):
        np.testing.assert_array_equal(first[name], again[name])
    assert not np.array_equal(first.image, other.image)
    assert len(first.positions) != len(other.positions) or not np.allclose(
        first.positions, other.positions
    )
    generator = np.random.RandomState(0)
    drawn = make_ferroic_image(random_state=generator)
    np.testing.assert_array_equal(drawn.image, first.image)
    assert not np.array_equal(
        make_ferroic_image(random_state=generator).image, first.image
    )


def test_global_random_state_is_left_alone():
    before = check_random_state(None).get_state()[1].copy()
    make_ferroic_image(**SMALL, random_state=0)
    np.testing.assert_array_equal(check_random_state(None).get_state()[1], before)


def test_options_do_not_disturb_each_other():
    usual = make_ferroic_image(random_state=3)
    other = make_ferroic_image(random_state=3, dose=1e3, jitter=1, column_width_nm=0.06)
    for name in ("positions", "variant", "composition", "wall", "polarization"):
        np.testing.assert_array_equal(usual[name], other[name])
    np.testing.assert_allclose(other.sigma / usual.sigma, 1.2, rtol=0.01)


def test_no_displacement_no_variants():
    data = make_ferroic_image(**SMALL, displacement_pm=0, random_state=0)
    assert set(data.variant) == {-1}
    np.testing.assert_array_equal(data.polarization[data.sublattice == 1], 0)


def test_large_image():
    data = make_ferroic_image(shape=(2048, 2048), random_state=0)
    assert data.image.shape == (2048, 2048)
    assert len(data.positions) == pytest.approx(2 * (2048 / 19.8) ** 2, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "powder"}, "'preset' parameter .* must be a str among"),
        ({"shape": (300,)}, r"shape must be two positive whole numbers .*\(300,\)"),
        ({"shape": (300.0, 300.0)}, "shape must be two positive whole numbers"),
        ({"shape": (300, 0)}, "shape must be two positive whole numbers"),
        ({"shape": 300}, "'shape' parameter"),
        ({"shape": (50, 400)}, "fewer than three unit cells of 19.8 pixels"),
        ({"pixel_size": 0.2}, "is 1.98 pixels of 0.2 nm; at least 4"),
        ({"pixel_size": -0.02}, "'pixel_size' parameter"),
        ({"displacement_pm": 200}, "more than a quarter of the lattice parameter"),
        ({"n_variants": 5}, "'n_variants' parameter"),
        ({"substrate": 1.0}, "'substrate' parameter"),
        ({"layers": (4, 0)}, "layers must be two positive whole numbers"),
        ({"antipolar": "some"}, "'antipolar' parameter"),
        ({"dose": 0}, "'dose' parameter"),
        ({"drift": 400}, "more than a fifth of the image's 800 rows"),
        ({"intensity_scatter": (0.1, -0.1)}, "intensity_scatter must be a number in"),
        ({"intensity_scatter": (0.1, 0.1, 0.1)}, "two of them, for the A and the B"),
        ({"intensity_scatter": "much"}, "'intensity_scatter' parameter"),
        ({"intensity_scatter": 1.5}, "'intensity_scatter' parameter"),
        ({"tails": 0.6}, "'tails' parameter"),
        ({"astigmatism": 0.9}, "'astigmatism' parameter"),
        ({"interference": -0.1}, "'interference' parameter"),
        ({"detector_gain": 0}, "'detector_gain' parameter"),
        ({"detector_offset": -1}, "'detector_offset' parameter"),
        ({"read_noise": -1}, "'read_noise' parameter"),
        ({"n_missing": 10_000}, "n_missing=10000 would leave none"),
        ({"n_missing": -1}, "'n_missing' parameter"),
        ({"dislocation": (1, 2, 3)}, "must be True, False or the .* of its core"),
        ({"dissociation_nm": -1}, "'dissociation_nm' parameter"),
        ({"dislocation": (900, 10)}, r"\(900, 10\), lies outside the image"),
        ({"random_state": "seed"}, "'random_state' parameter"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_ferroic_image(**options)
