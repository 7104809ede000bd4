import numpy as np
import pytest
from scipy.stats import circmean

from sklearn_ferroic._utils.angles import wrap_angle
from sklearn_ferroic.metrics import angle_registration, angular_error, circular_mean

DEGREE = np.pi / 180


def variants(n_samples=400, noise=2 * DEGREE, seed=0):
    """Draw the angles of four variants, and the same with noise."""
    rng = np.random.default_rng(seed)
    angle_true = np.pi / 4 + np.pi / 2 * rng.integers(4, size=n_samples)
    return wrap_angle(angle_true), angle_true + noise * rng.normal(size=n_samples)


def test_circular_mean_is_that_of_scipy():
    angles = np.random.default_rng(0).vonmises(2.9, 3, size=200)
    expected = circmean(angles, high=np.pi, low=-np.pi)
    assert circular_mean(angles) == pytest.approx(expected)
    assert circular_mean(angles + 20 * np.pi) == pytest.approx(expected)


def test_circular_mean_weights_are_repetitions():
    angles = np.array([3.0, -3.0, 1.0])
    weighted = circular_mean(angles, sample_weight=[3, 2, 0])
    assert weighted == pytest.approx(circular_mean(np.repeat(angles, [3, 2, 0])))
    assert weighted != pytest.approx(circular_mean(angles))


@pytest.mark.parametrize("n_fold", [1, 2, 3, 4])
def test_circular_mean_folds_orientations(n_fold):
    rng = np.random.default_rng(n_fold)
    turns = 2 * np.pi / n_fold * rng.integers(n_fold, size=300)
    mean = circular_mean(0.3 + turns + 0.01 * rng.normal(size=300), n_fold=n_fold)
    assert mean == pytest.approx(0.3, abs=0.003)


def test_circular_mean_is_below_the_upper_end():
    assert circular_mean([np.pi, np.pi]) == pytest.approx(-np.pi)
    assert circular_mean([np.pi / 4, -np.pi / 4], n_fold=4) == pytest.approx(-np.pi / 4)


def test_circular_mean_of_opposite_angles_is_nan():
    assert np.isnan(circular_mean([0, np.pi]))
    assert np.isnan(circular_mean(np.pi / 2 * np.arange(4)))


def test_angular_error_is_predicted_minus_true_the_short_way():
    error = angular_error([3.0, -3.0, 0.5], [-3.0, 3.0, 0.7])
    gap = 2 * np.pi - 6
    np.testing.assert_allclose(error, [gap, -gap, 0.2], atol=1e-12)


def test_angular_error_under_fourfold_symmetry():
    error = angular_error(
        [0.1, 0.1, 0.1], [0.1 + np.pi / 2, -0.1 - np.pi, 0.3], n_fold=4
    )
    np.testing.assert_allclose(error, [0, -0.2, 0.2], atol=1e-12)


@pytest.mark.parametrize("rotation", [0.0, 0.7, 2.0, np.pi, -2.5])
@pytest.mark.parametrize("seed", range(3))
def test_registration_removes_a_rotation(rotation, seed):
    angle_true, angle_pred = variants(seed=seed)
    found = angle_registration(angle_true, wrap_angle(angle_pred + rotation))
    assert -np.pi <= found < np.pi
    assert wrap_angle(found + rotation) == pytest.approx(0, abs=0.3 * DEGREE)
    error = angular_error(angle_true, angle_pred + rotation, register=True)
    assert np.abs(error).max() < 10 * DEGREE


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
@pytest.mark.parametrize("turn", [90, -90, 180, 60])
def test_registration_ignores_cells_of_a_wrong_variant(share, turn):
    """A mean would be drawn 2.9° away by 5 % of outliers at 90°."""
    angle_true, angle_pred = variants(2000)
    wrong = np.random.default_rng(1).random(2000) < share
    angle_pred = angle_pred + 1.0 + turn * DEGREE * wrong
    found = angle_registration(angle_true, angle_pred)
    assert found == pytest.approx(-1.0, abs=0.2 * DEGREE)


def test_registration_ignores_a_uniform_background():
    angle_true, angle_pred = variants(2000)
    rng = np.random.default_rng(2)
    lost = rng.random(2000) < 0.5
    angle_pred = np.where(lost, rng.uniform(-np.pi, np.pi, 2000), angle_pred + 2)
    found = angle_registration(angle_true, angle_pred)
    assert found == pytest.approx(-2, abs=1 * DEGREE)


def test_registration_does_not_mirror():
    angle_true, angle_pred = variants()
    error = np.abs(angular_error(angle_true, -angle_pred, register=True))
    assert (error < 45 * DEGREE).mean() < 0.6


def test_registration_with_symmetry():
    angle_true, angle_pred = variants()
    quarter = np.pi / 2 * np.random.default_rng(3).integers(4, size=len(angle_true))
    found = angle_registration(angle_true, angle_pred + 0.2 + quarter, n_fold=4)
    assert found == pytest.approx(-0.2, abs=0.3 * DEGREE)


def test_registration_is_exact_without_noise():
    angle_true, _ = variants()
    error = angular_error(angle_true, wrap_angle(angle_true - 1.2345), register=True)
    np.testing.assert_allclose(error, 0, atol=1e-12)


@pytest.mark.parametrize("function", [angular_error, angle_registration])
def test_pairs_of_bad_input_are_refused(function):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        function([0.0, 1.0], [0.0])
    with pytest.raises(ValueError, match="angle_pred contains NaN"):
        function([0.0, 1.0], [0.0, np.nan])
    with pytest.raises(ValueError, match="0 sample"):
        function([], [])
    with pytest.raises(ValueError, match="1d array"):
        function(np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="The 'n_fold' parameter"):
        function([0.0], [0.0], n_fold=0)


def test_circular_mean_refuses_bad_input():
    with pytest.raises(ValueError, match="angles contains NaN"):
        circular_mean([np.nan])
    with pytest.raises(ValueError, match="must not be negative"):
        circular_mean([0.0, 1.0], sample_weight=[1, -1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        circular_mean([0.0, 1.0], sample_weight=[1])
