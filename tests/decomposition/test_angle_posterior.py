import numpy as np
import pytest
import torch

from sklearn_ferroic.decomposition._angle_posterior import (
    N_ANGLES,
    angle_log_likelihood,
    grid_angles,
    log_occam_factor,
    mean_angle,
    most_likely_angle,
    noise_inflation,
    offset_log_evidence,
    sample_angle,
    weigh_orders,
)


def _rings(n_angles=64, n_rings=5, seed=0):
    """A smooth pattern on the polar grid."""
    rng = np.random.RandomState(seed)
    angles = 2 * np.pi * np.arange(n_angles) / n_angles
    orders = np.arange(1, 6)[:, None]
    waves = rng.randn(n_rings, 5, 1) * np.cos(orders * angles + rng.rand(n_rings, 5, 1))
    return torch.from_numpy(waves.sum(axis=1))


def test_likelihood_is_the_circular_correlation():
    image, weights = _rings(), torch.arange(1.0, 6.0).double()
    patch = torch.roll(image, 11, dims=-1)
    spectrum = torch.fft.rfft(patch)
    table = angle_log_likelihood(spectrum[None], image[None], weights)[0]
    step = N_ANGLES // 64
    direct = [
        (weights[:, None] * patch * torch.roll(image, shift, dims=-1)).sum()
        for shift in range(64)
    ]
    np.testing.assert_allclose(table[::step], torch.stack(direct), atol=1e-9)
    assert most_likely_angle(table[None]).item() == pytest.approx(2 * np.pi * 11 / 64)


@pytest.mark.parametrize("kappa", [1.0, 20.0])
def test_mean_and_width_of_a_von_mises_posterior(kappa):
    from scipy.special import ive

    table = kappa * (grid_angles(torch.zeros(1).double()) - 1.3).cos()[None]
    angle, std = mean_angle(table)
    assert angle.item() == pytest.approx(1.3, abs=1e-6)
    resultant = ive(1, kappa) / ive(0, kappa)
    assert std.item() == pytest.approx(np.sqrt(-2 * np.log(resultant)), rel=1e-6)


def test_posterior_narrower_than_the_table_is_placed_between_its_entries():
    true = 2 * np.pi * 100.3 / N_ANGLES
    table = 1e7 * (grid_angles(torch.zeros(1).double()) - true).cos()[None]
    assert mean_angle(table)[0].item() == pytest.approx(true, abs=1e-5)


def test_four_equal_wells_have_no_direction():
    table = 50 * (4 * grid_angles(torch.zeros(1).double())).cos()[None]
    assert mean_angle(table)[1].item() > np.pi
    # the mean of the likelihood is a quarter of that of one well
    one = 50 * 4**2 * (grid_angles(torch.zeros(1).double()).cos()[None] - 1)
    four = log_occam_factor(table).item()
    assert four - log_occam_factor(one).item() == pytest.approx(np.log(4), abs=0.02)


def test_samples_follow_the_posterior():
    table = torch.full((4000, N_ANGLES), -np.inf)
    table[:, 0], table[:, 128] = np.log(0.25), np.log(0.75)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = sample_angle(table, None)
    assert (drawn > 1).double().mean().item() == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("excess", [1.0, 5.0, 20.0])
def test_noise_inflation_finds_noise_that_is_stronger_than_said(excess):
    rng = np.random.RandomState(0)
    image = _rings(seed=3)[None]
    weights = torch.ones(5).double()

    def table(strength):
        noise = torch.from_numpy(rng.randn(2000, *image.shape[1:])) * strength
        spectrum = torch.fft.rfft(image + noise)
        return angle_log_likelihood(spectrum, image, weights)

    inflation = noise_inflation(table(0.05 * excess**0.5), table(0.05), table(0))
    assert inflation.item() == pytest.approx(excess, rel=0.1)


def test_orders_count_as_far_as_the_canonical_image_has_them():
    angle = grid_angles(torch.zeros(1).double())[::8]
    profile = torch.arange(1.0, 6.0).double()[:, None]
    weights = torch.arange(1.0, 6.0).double()

    def image(*strengths):
        orders = (1.0 + 0 * angle, angle.cos(), (4 * angle + 0.3).cos())
        return sum(a * profile * b for a, b in zip(strengths, orders, strict=True))

    template = image(2.0, 1.0, 0.5)
    # turned by a quarter, the first order has nothing of the template's
    aside = (angle + torch.pi / 2).cos() * profile
    canonical = torch.stack(
        [image(1, 3, 0.2), image(2, -1, 0.5), image(2, 0, 1) + aside]
    )
    found = weigh_orders(template[None], canonical, weights)
    expected = torch.stack([image(1, 3, 0.2), image(2, 0, 0.5), image(2, 0, 1)])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_offset_is_integrated_out():
    # against the numerical integral of the linear model over offsets
    rng = np.random.RandomState(1)
    image, down, along = _rings(seed=4), _rings(seed=5), _rings(seed=6)
    weights = torch.arange(1.0, 6.0).double()
    patch = torch.roll(image + 0.1 * down, 7, dims=-1)
    patch = patch + 0.3 * torch.from_numpy(rng.randn(5, 64))
    noise, scale = torch.tensor(20.0).double(), 0.2
    found = offset_log_evidence(
        torch.fft.rfft(patch)[None],
        image[None],
        torch.stack([down, along])[None],
        weights,
        noise,
        scale,
    )[0]
    grid = torch.linspace(-1, 1, 81).double()
    expected = []
    for shift in range(0, 64, 8):
        back = torch.roll(patch, -shift, dims=-1)
        moved = image + grid[:, None, None, None] * down
        moved = moved + grid[:, None, None] * along
        misfit = ((back - moved) ** 2 - (back - image) ** 2) * weights[:, None]
        log_density = -0.5 * misfit.sum(dim=(2, 3)) / noise
        prior = -0.5 * (grid[:, None] ** 2 + grid**2) / scale**2
        expected.append((log_density + prior).flatten().logsumexp(dim=0))
    found = found[:: N_ANGLES // 8]
    expected = torch.stack(expected)
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-3)
