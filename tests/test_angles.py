import numpy as np
import pytest

from sklearn_ferroic._utils.angles import mean_direction, wrap_angle


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_fold", [1, 2, 3, 4, 6])
def test_wrap_angle_is_in_range_and_equivalent(dtype, n_fold):
    turns = np.pi / n_fold * np.arange(-60, 61)
    drawn = np.random.default_rng(0).uniform(-50, 50, 5000)
    angle = np.concatenate([turns, turns - 1e-9, drawn]).astype(dtype)
    wrapped = wrap_angle(angle, n_fold)
    half = dtype(np.pi / n_fold)
    assert wrapped.dtype == dtype
    assert ((wrapped >= -half) & (wrapped < half)).all()
    phase = n_fold * (wrapped.astype(float) - angle)
    np.testing.assert_allclose(np.exp(1j * phase), 1, atol=60 * np.finfo(dtype).eps)


def test_wrap_angle_keeps_what_is_in_range():
    angle = np.array([-np.pi, -1e-30, 0.0, 1e-300, np.nextafter(np.pi, 0)])
    np.testing.assert_array_equal(wrap_angle(angle), angle)


@pytest.mark.parametrize(
    ("angle", "expected"),
    [(np.pi, -np.pi), (3, 3), (4, 4 - 2 * np.pi), (np.nextafter(-np.pi, -4), -np.pi)],
)
def test_wrap_angle_of_one_number(angle, expected):
    assert wrap_angle(angle) == pytest.approx(expected, abs=1e-15)
    assert np.ndim(wrap_angle(angle)) == 0


def test_wrap_angle_keeps_nan():
    np.testing.assert_array_equal(wrap_angle([np.nan, 7.0]), [np.nan, 7 - 2 * np.pi])


def test_mean_direction_across_the_cut():
    angles = np.float32([np.pi - 0.1, -np.pi + 0.3])
    assert mean_direction(angles) == pytest.approx(-np.pi + 0.1, abs=1e-6)


def test_mean_direction_of_opposite_angles_is_nan():
    assert np.isnan(mean_direction(np.array([0.3, 0.3 - np.pi])))
