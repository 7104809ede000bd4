"""FrameAverager against the truth of generated and multislice series."""

import warnings

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomLocator, FrameAverager
from sklearn_ferroic.datasets import load_multislice, make_ferroic_series
from tests.registration._distort import scan


def shift_errors(averager, truth):
    """Return the errors of the shifts of the frames used, up to a common one."""
    used = averager.weights_ > 0
    error = (averager.shifts_ - truth)[used]
    return error - error.mean(axis=0)


@pytest.fixture(scope="module")
def series():
    return make_ferroic_series(random_state=0)


@pytest.fixture(scope="module")
def averaged(series):
    averager = FrameAverager()
    with pytest.warns(UserWarning, match="1 of 20 frames are rejected") as caught:
        average = averager.fit_transform(series)
    assert len(caught) == 1
    assert f": {series.bad_frames[0]} (correlation" in str(caught[0].message)
    return averager, average


def test_shifts_are_right_and_the_bad_frame_is_rejected(series, averaged):
    averager, _ = averaged
    np.testing.assert_array_equal(averager.rejected_, series.bad_frames)
    error = shift_errors(averager, series.shifts)
    assert np.sqrt(np.mean(error**2)) < 0.05
    # No frame is off by a cell, and standard errors are those of noise and jitter.
    assert np.abs(error).max() < 0.2
    assert 0.01 < np.median(averager.shifts_std_) < 0.04


@pytest.mark.parametrize("seed", [2, 6])
def test_no_frame_is_displaced_by_a_cell(seed):
    data = make_ferroic_series(
        6, shape=(256, 256), n_jumps=2, n_bad=0, dose=2000, random_state=seed
    )
    averager = FrameAverager().fit(data.image)
    assert averager.rejected_.size == 0
    assert np.abs(shift_errors(averager, data.shifts)).max() < 0.3


def test_columns_of_the_average_have_the_errors_of_the_total_dose(series, averaged):
    averager, average = averaged
    sites = AtomLocator().fit_transform(average)
    truth = series.positions - series.shifts[averager.reference_] - averager.origin_
    inside = (truth > 4) & (truth < np.array(average.image.shape) - 5)
    truth = truth[inside.all(axis=1)]
    distance, found = cKDTree(sites.positions).query(truth)
    assert (distance < 2).mean() >= 0.999
    error = sites.positions[found] - truth
    error -= np.median(error, axis=0)
    ratio = np.sqrt(np.mean((error / sites.position_std[found]) ** 2, axis=0))
    assert (ratio < 1.3).all()
    assert (ratio > 0.8).all()
    # Drift and jitter that the frames have in common on average cannot be determined.
    used = averager.weights_ > 0
    seen = (series.frame_positions + series.shifts[:, None])[used].mean(axis=0)
    error -= (seen - series.positions)[inside.all(axis=1)]
    error -= np.median(error, axis=0)
    assert np.sqrt(np.mean((error / sites.position_std[found]) ** 2)) < 1.15


def test_frames_of_different_magnification_are_refused(series):
    frames = [(frame, 0.02) for frame in series.image[:3]]
    frames[1] = frames[1][0], 0.03
    with pytest.raises(ValueError, match=r"different pixel sizes, 0\.02 to 0\.03 nm"):
        FrameAverager().fit(frames)


def test_average_carries_pixel_size_dose_and_noise(series, averaged):
    averager, average = averaged
    assert average.pixel_size == series.pixel_size
    assert averager.n_effective_ == pytest.approx(19, abs=0.1)
    assert average.dose == pytest.approx(19 * series.dose, rel=0.01)
    # Counted electrons: the variance of a frame is its mean.
    assert 19 * average.noise[1] == pytest.approx(1.0, abs=0.1)
    assert averager.weights_.sum() == pytest.approx(19)


def test_lines_follow_the_drift_in_the_frame():
    data = make_ferroic_series(
        8, shape=(192, 192), n_bad=0, line_drift=2.0, dose=4000, random_state=0
    )
    averager = FrameAverager(method="lines").fit(data)
    error = averager.line_shifts_ - data.line_shifts
    before = np.sqrt(np.mean(data.line_shifts**2, axis=(0, 1)))
    after = np.sqrt(np.mean((error - error.mean(axis=0)) ** 2, axis=(0, 1)))
    assert (after < 0.5 * before).all()
    predicted = np.sqrt(np.mean(averager.line_shifts_std_**2, axis=(0, 1)))
    assert (after < 1.4 * predicted).all()
    field = averager.field(0)
    expected = averager.shifts_[0] + averager.line_shifts_[0]
    np.testing.assert_allclose(field[:, :, 5].T, expected, atol=1e-6)


def test_lines_sharpen_the_average():
    data = make_ferroic_series(
        6, shape=(192, 192), n_bad=0, line_drift=3.0, dose=4000, random_state=3
    )
    contrasts = {}
    for method in ("rigid", "lines", "field"):
        image = FrameAverager(method=method).fit_transform(data).image
        contrasts[method] = image[10:150, 10:150].std()
    assert contrasts["lines"] > 1.01 * contrasts["rigid"]
    assert contrasts["field"] > 0.99 * contrasts["lines"]


def test_multislice_frames():
    """Frames of simulated scattering with its own noise, shifts and jitter."""
    image = load_multislice().image
    rng = np.random.default_rng(0)
    shifts = rng.uniform(-6, 6, (6, 2))
    shifts[4:, 0] += 27.6  # a unit cell
    frames = []
    for shift in shifts:
        lines = shift + rng.normal(size=(256, 2)) * [0.05, 0.15]
        frames.append(scan(image, lines, 0, (256, 256), rng, counts=20))
    averager = FrameAverager().fit(frames)
    error = shift_errors(averager, shifts)
    assert np.abs(error).max() < 0.1


def test_blanked_frame_is_rejected():
    data = make_ferroic_series(4, shape=(128, 128), n_bad=0, n_jumps=0, random_state=0)
    stack = data.image.copy()
    stack[1] = 7
    averager = FrameAverager()
    with pytest.warns(UserWarning, match="rejected"):
        average = averager.fit_transform(stack)
    assert averager.rejected_.tolist() == [1]
    assert np.isfinite(average.image).all()


def test_areas():
    data = make_ferroic_series(
        4, shape=(192, 192), n_bad=0, n_jumps=1, dose=3000, random_state=0
    )
    crop = FrameAverager().fit_transform(data).image
    mask = FrameAverager(area="mask").fit_transform(data).image
    assert not np.ma.isMA(crop)
    assert max(crop.shape) <= 192 < max(mask.shape)
    assert np.ma.getmaskarray(mask).any()
    assert len(AtomLocator().fit_transform(mask)) > len(
        AtomLocator().fit_transform(crop)
    )


@pytest.mark.parametrize("kind", ["list", "tuple", "containers", "memmap", "container"])
def test_stacks_in_all_forms(kind, tmp_path):
    data = make_ferroic_series(3, shape=(96, 96), n_bad=0, n_jumps=0, random_state=0)
    stack = data.image
    expected = FrameAverager().fit_transform(stack)
    np.save(tmp_path / "stack.npy", stack)
    forms = {
        "list": list(stack),
        "tuple": (stack, 0.02),
        "containers": [(frame, 0.02) for frame in stack],
        "memmap": np.load(tmp_path / "stack.npy", mmap_mode="r"),
        "container": data,
    }
    average = FrameAverager().fit_transform(forms[kind])
    np.testing.assert_array_equal(average.image, expected.image)
    assert average.pixel_size == (None if kind in ("list", "memmap") else 0.02)


def test_in_a_pipeline():
    data = make_ferroic_series(4, shape=(192, 192), n_bad=0, dose=3000, random_state=0)
    sites = make_pipeline(FrameAverager(), AtomLocator()).fit_transform(data)
    assert sites.pixel_size == (0.02,)
    assert len(sites) > 60


def test_other_detector_with_the_same_displacements():
    data = make_ferroic_series(3, shape=(96, 96), n_bad=0, random_state=0)
    averager = FrameAverager().fit(data.image)
    dark = averager.transform(100 - data.image).image
    np.testing.assert_allclose(
        dark, 100 - averager.transform(data.image).image, atol=1e-3
    )


@pytest.mark.parametrize("seed", range(6))
def test_cells_of_small_frames_are_right_or_doubtful(seed):
    data = make_ferroic_series(
        8, shape=(128, 128), n_jumps=1, n_bad=0, random_state=seed
    )
    averager = FrameAverager()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        averager.fit(data)
    error = averager.shifts_ - data.shifts
    wrong = np.abs(error - np.median(error, axis=0)).max(axis=1) > 8
    wrong &= averager.weights_ > 0
    # Correlation alone displaces up to four of the eight, without a word for most.
    assert wrong.sum() <= 2
    doubtful = averager.cell_probability_ < 0.99
    doubtful |= averager.cell_margin_ < 0.35
    assert doubtful[wrong].all()
    if doubtful[averager.weights_ > 0].any():
        text = " ".join(str(one.message) for one in caught)
        assert "may be displaced by a unit cell" in text


class LazyStack:
    """Stack that exists one frame at a time, like a data set in a file."""

    def __init__(self, frames):
        self._frames = frames
        self.shape = frames.shape

    def __len__(self):
        return len(self._frames)

    def __getitem__(self, index):
        assert isinstance(index, int | np.integer), "read more than one frame"
        return self._frames[index]

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read all frames at once")


def test_frames_are_read_one_at_a_time():
    stack = make_ferroic_series(3, shape=(96, 96), n_bad=0, random_state=0).image
    expected = FrameAverager().fit_transform(stack).image
    lazy = FrameAverager().fit_transform(LazyStack(stack)).image
    np.testing.assert_array_equal(lazy, expected)


def test_noisy_frames_have_less_weight():
    data = make_ferroic_series(5, shape=(160, 160), n_bad=0, n_jumps=0, random_state=0)
    stack = data.image.copy()
    variance = 0.4 * stack[0].var()
    stack[1] += np.random.default_rng(0).normal(size=(160, 160)) * np.sqrt(variance)
    weights = FrameAverager().fit(stack).weights_
    assert weights[1] < 0.85 * np.delete(weights, 1).min()
    uniform = FrameAverager(weights="uniform").fit(stack)
    np.testing.assert_array_equal(uniform.weights_, np.ones(5))
    assert uniform.n_effective_ == 5


def test_two_frames():
    data = make_ferroic_series(
        2, shape=(256, 256), n_bad=0, n_jumps=0, dose=4000, random_state=0
    )
    averager = FrameAverager().fit(data)
    step = np.diff(averager.shifts_, axis=0) - np.diff(data.shifts, axis=0)
    assert np.abs(step).max() < 0.3


def test_threads_change_nothing():
    data = make_ferroic_series(4, shape=(96, 96), n_bad=0, random_state=0)
    one, two = (
        FrameAverager(method="lines", n_jobs=n).fit_transform(data) for n in (1, 2)
    )
    np.testing.assert_array_equal(one.image, two.image)


@pytest.mark.parametrize(
    ("stack", "error", "message"),
    [
        (np.ones((96, 96)), ValueError, "constant"),
        (np.eye(96), ValueError, "at least two frames"),
        (np.eye(96)[None], ValueError, r"Got 1 frame\(s\)"),
        ([np.eye(96), np.eye(90)], ValueError, "Frame 1 has shape"),
        ("stack.tif", TypeError, "load_image"),
        (None, TypeError, "load_image"),
        ((np.zeros((3, 64, 64)), -1.0), ValueError, "positive length"),
        (np.random.default_rng(0).random((3, 96, 96)), ValueError, "lattice"),
    ],
)
def test_wrong_stacks_are_refused(stack, error, message):
    with pytest.raises(error, match=message):
        FrameAverager().fit(stack)


def test_frames_with_no_common_area_are_explained():
    rng = np.random.default_rng(0)
    stack = [make_ferroic_series(2, shape=(96, 96), n_bad=0, random_state=0).image[0]]
    stack.append(rng.poisson(3.0, (96, 96)).astype(np.float32))
    with pytest.raises(ValueError, match="Fewer than two"):
        FrameAverager(spacing=14).fit(stack)


def test_another_stack_is_refused():
    data = make_ferroic_series(3, shape=(96, 96), n_bad=0, random_state=0)
    averager = FrameAverager().fit(data)
    with pytest.raises(ValueError, match="that was registered has shape"):
        averager.transform(data.image[:2])


def test_a_frame_that_is_blank_in_another_stack():
    data = make_ferroic_series(4, shape=(128, 128), n_bad=0, n_jumps=0, random_state=0)
    averager = FrameAverager().fit(data.image)
    other = np.array(data.image)
    other[2] = 0
    with pytest.raises(ValueError, match=r"Frame\(s\) \[2\] are constant"):
        averager.transform(other)


@pytest.fixture(scope="module")
def steady():
    """A series without bad frames, and its displacements without faults."""
    data = make_ferroic_series(
        6, shape=(160, 160), dose=3000, n_bad=0, n_jumps=0, random_state=0
    )
    averager = FrameAverager()
    return data, averager, averager.fit_transform(data)


@pytest.mark.parametrize("frame", [2, 3])  # 2 is the reference
@pytest.mark.parametrize(
    ("gain", "offset"), [(1, 100), (1, -50), (0.3, 0), (100, 0), (5, 1000)]
)
def test_a_frame_of_another_gain_or_offset(steady, frame, gain, offset):
    data, averager, expected = steady
    stack = data.image.copy()
    stack[frame] = gain * stack[frame] + offset
    changed = FrameAverager()
    with pytest.warns(UserWarning, match=f"to theirs: {frame} "):
        average = changed.fit_transform(stack)
    assert changed.rejected_.size == 0
    np.testing.assert_allclose(changed.shifts_, averager.shifts_, atol=0.01)
    # The gain of one frame of six is known to about 1 %.
    np.testing.assert_allclose(average.image, expected.image, rtol=5e-3, atol=0.01)
    assert changed.gains_[frame] == pytest.approx(gain, rel=0.03)
    tolerance = 0.05 * gain * float(data.image.mean())
    assert changed.offsets_[frame] == pytest.approx(offset, abs=tolerance)
    others = np.delete(np.arange(6), frame)
    np.testing.assert_array_equal(changed.gains_[others], 1)
    # The variance of a counted electron is still its mean.
    assert 6 * average.noise[1] == pytest.approx(1.0, abs=0.15)


def test_another_detector_with_the_same_settings_is_not_rescaled(steady):
    data, _, _ = steady
    stack = data.image.copy()
    stack[3] = 5 * stack[3] + 1000
    averager = FrameAverager()
    with pytest.warns(UserWarning, match="gain"):
        averager.fit(stack)
    other = averager.transform(data.image).image
    expected = FrameAverager().fit(data.image).transform(data.image).image
    np.testing.assert_allclose(other, expected, atol=0.05)


@pytest.mark.parametrize("frame", [2, 3])
def test_an_inverted_frame_is_rejected_with_the_reason(steady, frame):
    data, averager, _ = steady
    stack = data.image.copy()
    stack[frame] = stack[frame].max() - stack[frame]
    changed = FrameAverager()
    with pytest.warns(UserWarning, match=rf"{frame} \(inverted: its columns are dark"):
        changed.fit(stack)
    assert changed.rejected_.tolist() == [frame]
    keep = np.delete(np.arange(6), frame)
    step = (changed.shifts_ - averager.shifts_)[keep]
    assert np.abs(step - step.mean(axis=0)).max() < 0.05


@pytest.mark.parametrize(
    ("blur", "options", "rejected"),
    [
        (2.5, {}, []),
        (2.5, {"rejection_share": 0.03}, [4]),
        (2.5, {"rejection_share": 0.03, "rejection_std": 1000}, []),
        (3.5, {}, [4]),
        (3.5, {"rejection_share": 0.5}, []),
        (3.5, {"rejection_std": np.inf}, []),
    ],
)
@pytest.mark.filterwarnings("ignore:1 of 6 frames are rejected")
def test_the_limits_of_rejection_decide_on_a_defocused_frame(
    steady, blur, options, rejected
):
    stack = steady[0].image.copy()
    stack[4] = np.random.default_rng(0).poisson(gaussian_filter(stack[4], blur))
    assert FrameAverager(**options).fit(stack).rejected_.tolist() == rejected


def test_inverted_pair_is_explained(steady):
    stack = steady[0].image[:2].copy()
    stack[1] = stack[1].max() - stack[1]
    with pytest.raises(ValueError, match=r"Columns are dark in frame\(s\)"):
        FrameAverager().fit(stack)


def test_copies_of_frames_add_no_dose(steady):
    data, _, _ = steady
    stack = np.concatenate([data.image, data.image[[1, 4, 4]]])
    averager = FrameAverager()
    with pytest.warns(UserWarning, match=r"3 of 9 frames are copies .* 6 \(of 1\)"):
        average = averager.fit_transform((stack, data.pixel_size))
    assert averager.copies_.tolist() == [-1] * 6 + [1, 4, 4]
    assert averager.rejected_.tolist() == [6, 7, 8]
    assert averager.n_effective_ == pytest.approx(6, abs=0.05)
    assert 6 * average.noise[1] == pytest.approx(1.0, abs=0.15)
    np.testing.assert_allclose(averager.shifts_[6], averager.shifts_[1], atol=0.1)
    with pytest.raises(ValueError, match="have the same pixels"):
        FrameAverager().fit(np.stack([data.image[0]] * 3))


def test_frames_along_the_last_axis_are_refused():
    stack = np.random.default_rng(0).random((64, 80, 8))
    with pytest.raises(ValueError, match="its 8 images along the last axis"):
        FrameAverager().fit(stack)


def match_columns(data, averager, average, sites):
    """Return errors of the columns of an average, their sites and true positions."""
    truth = data.positions - data.shifts[averager.reference_] - averager.origin_
    last = np.array(average.image.shape) - 5
    truth = truth[((truth > 4) & (truth < last)).all(axis=1)]
    distance, found = cKDTree(sites.positions).query(truth)
    assert (distance < 2).mean() >= 0.99
    error = sites.positions[found] - truth
    return error - np.median(error, axis=0), found, truth


@pytest.mark.filterwarnings("ignore:1 of 20 frames are rejected")
@pytest.mark.parametrize("seed", [2, 7])
def test_errors_of_the_average_include_drift_and_jitter_of_the_frames(seed):
    data = make_ferroic_series(random_state=seed)
    averager = FrameAverager()
    average = averager.fit_transform(data)
    sites = AtomLocator().fit_transform(average)
    error, found, _ = match_columns(data, averager, average, sites)
    assert np.sqrt(np.mean((error / sites.position_std[found]) ** 2)) < 1.15
    # The mean displacement of the frames, which registration does not show.
    used = averager.weights_ > 0
    shown = (data.frame_positions + data.shifts[:, None])[used].mean(axis=0)
    common = shown - data.positions
    common = np.sqrt(np.mean((common - common.mean(axis=0)) ** 2, axis=0))
    estimate = np.sqrt(np.mean(averager.displacement_std_**2, axis=0))
    assert (estimate > 0.5 * common).all()
    assert (estimate < 2.0 * np.maximum(common, 0.02)).all()
    # Pixels alone do not show it.
    of_pixels = AtomLocator().fit_transform(average.image).position_std
    rows = np.arange(len(average.displacement_std))
    for axis in range(2):
        more = np.interp(sites.positions[:, 0], rows, average.displacement_std[:, axis])
        np.testing.assert_allclose(
            sites.position_std[:, axis], np.hypot(of_pixels[:, axis], more)
        )


def test_a_series_without_drift_and_jitter_has_no_such_error():
    data = make_ferroic_series(
        12, jitter=0, line_drift=0, n_bad=0, random_state=0, shape=(192, 192)
    )
    averager = FrameAverager().fit(data)
    assert np.median(averager.displacement_std_[:, 1]) < 0.01
    assert np.median(averager.displacement_std_[:, 0]) < 0.03
    assert not averager.flyback_.any()


@pytest.mark.filterwarnings("ignore:1 of 20 frames are rejected")
@pytest.mark.parametrize("seed", [0, 4])
def test_flyback_is_corrected_by_lines_and_reported_without(seed):
    data = make_ferroic_series(flyback=2.0, random_state=seed)
    with pytest.warns(UserWarning, match=r"flyback.*method=\"lines\".*crop the first"):
        FrameAverager().fit(data)
    averager = FrameAverager(method="lines")
    average = averager.fit_transform(data)
    assert -3.5 < averager.flyback_[0] < -1.0
    assert abs(averager.flyback_[100]) < 0.05
    np.testing.assert_allclose(
        averager.field(3)[1, 0] - averager.field(3)[1, 0, -1],
        averager.flyback_ - averager.flyback_[-1],
        atol=1e-5,
    )
    sites = AtomLocator().fit_transform(average)
    error, found, truth = match_columns(data, averager, average, sites)
    ratio = error[:, 1] / sites.position_std[found, 1]
    start = truth[:, 1] < 30
    assert np.sqrt(np.mean(ratio[start] ** 2)) < 1.3
    assert abs(error[start, 1].mean()) < 0.08


def test_columns_off_the_start_of_the_lines_stay_off():
    data = make_ferroic_series(
        2, flyback=2.0, n_bad=0, n_jumps=0, drift=0, line_drift=0, jitter=0,
        shape=(128, 128), random_state=0,
    )  # fmt: skip
    still = make_ferroic_series(
        2, n_bad=0, n_jumps=0, drift=0, line_drift=0, jitter=0,
        shape=(128, 128), random_state=0,
    )  # fmt: skip
    # The same number of columns, displaced only at the start of the lines.
    assert abs(len(data.positions) - len(still.positions)) <= 8
    far = [image[:, 40:].sum() for image in (data.image[0], still.image[0])]
    assert far[0] == pytest.approx(far[1], rel=0.01)


@pytest.mark.filterwarnings("ignore:.*frames have another gain")
def test_a_slow_gain_costs_no_precision():
    data = make_ferroic_series(10, n_bad=0, random_state=0, shape=(192, 192))
    shifts, stds = [], []
    for last in (1.0, 1.45):
        gain = np.linspace(1, last, 10, dtype=np.float32)[:, None, None]
        averager = FrameAverager()
        sites = AtomLocator().fit_transform(averager.fit_transform(data.image * gain))
        shifts.append(averager.shifts_)
        stds.append(np.median(sites.position_std))
    np.testing.assert_allclose(shifts[1], shifts[0], atol=0.02)
    assert stds[1] == pytest.approx(stds[0], rel=0.05)
