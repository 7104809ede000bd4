import numpy as np
import pytest

from sklearn_ferroic.metrics import circular_correlation


def test_is_the_definition_where_both_sets_have_a_direction():
    rng = np.random.default_rng(0)
    a = rng.vonmises(1.0, 2.0, 300)
    b = 0.5 * a + rng.vonmises(-2.0, 4.0, 300)
    mean = [np.angle(np.exp(1j * x).sum()) for x in (a, b)]
    s, t = np.sin(a - mean[0]), np.sin(b - mean[1])
    expected = (s * t).sum() / np.sqrt((s**2).sum() * (t**2).sum())
    assert circular_correlation(a, b) == pytest.approx(expected)
    assert 0.3 < expected < 0.9


@pytest.mark.parametrize("seed", range(4))
def test_small_angles_correlate_as_numbers_do(seed):
    rng = np.random.default_rng(seed)
    a = 0.01 * rng.normal(size=200)
    b = a + 0.01 * rng.normal(size=200)
    expected = np.corrcoef(a, b)[0, 1]
    assert circular_correlation(a + 3.1, b - 3.1) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rotation", [0.0, 1.1, np.pi, -2.0])
def test_four_even_variants_have_no_mean_and_still_correlate(seed, rotation):
    rng = np.random.default_rng(seed)
    angle = np.pi / 4 + np.pi / 2 * (np.arange(400) % 4)
    noisy = angle + rotation + 0.03 * rng.normal(size=400)
    assert circular_correlation(angle, noisy) > 0.99
    assert circular_correlation(angle, -noisy) < -0.99
    assert abs(circular_correlation(angle, rng.permutation(noisy))) < 0.2


def test_n_fold_forgets_whole_turns():
    rng = np.random.default_rng(1)
    a = 0.2 * rng.normal(size=300)
    turned = a + np.pi / 2 * rng.integers(4, size=300)
    assert circular_correlation(a, turned, n_fold=4) == pytest.approx(1)
    assert abs(circular_correlation(a, turned)) < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_even_opposite_variants_tell_nothing(seed):
    rng = np.random.default_rng(seed)
    angle = 0.4 + np.pi * (np.arange(400) % 2)
    noisy = angle + 0.1 * rng.normal(size=400)
    assert abs(circular_correlation(angle, noisy)) < 0.05


def test_constant_angles_have_no_correlation():
    assert np.isnan(circular_correlation([1.0, 1.0, 1.0, 1.0], [0.1, 0.2, 0.3, 0.5]))
    uneven = np.pi * (np.arange(400) % 3 == 0)
    assert np.isnan(circular_correlation(uneven, uneven))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        circular_correlation([0.0, 1.0], [0.0])
    with pytest.raises(ValueError, match="angle_pred contains NaN"):
        circular_correlation([0.0, 1.0], [0.0, np.nan])
