import numpy as np
import pytest
import torch

from sklearn_ferroic.decomposition._pose.angle_posterior import (
    grid_angles,
    mean_angle,
    noise_inflation,
    quarter_peaks,
    sample_angle,
)
from sklearn_ferroic.decomposition._pose.rotation_likelihood import (
    N_ANGLES,
    correlate_rotations,
    radial_functions,
)


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


def test_quarters_hold_the_four_wells_and_all_of_the_likelihood():
    angles = grid_angles(torch.zeros(1).double())
    wells = 1.3 + np.pi / 2 * np.arange(4)
    heights = [0.2, 0.0, 0.4, 0.1]
    table = torch.stack(
        [
            100 * ((angles - well).cos() - 1) + height
            for well, height in zip(wells, heights, strict=True)
        ]
    ).logsumexp(dim=0)[None]
    found, log_mean = quarter_peaks(table)
    # the quarter of the highest comes first
    expected = np.roll(wells, -2) % (2 * np.pi)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
    total = (log_mean[0] + torch.tensor(heights).roll(-2)).logsumexp(dim=0)
    direct = table.logsumexp(dim=1).item() - np.log(N_ANGLES)
    assert total.item() == pytest.approx(direct, abs=0.01)


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
    angle = 2 * np.pi * torch.arange(64).double() / 64
    orders = torch.arange(1.0, 6.0).double()[:, None]
    height = torch.from_numpy(rng.randn(5, 5, 1))
    phase = torch.from_numpy(rng.rand(5, 5, 1))
    image = (height * (orders * angle + phase).cos()).sum(dim=1)[None]
    functions = radial_functions(torch.fft.rfft(image))
    weights = torch.ones(5).double()

    def table(strength):
        noise = torch.from_numpy(rng.randn(2000, *image.shape[1:])) * strength
        spectrum = torch.fft.rfft(image + noise)
        return correlate_rotations(spectrum, functions, weights).similarity

    inflation = noise_inflation(table(0.05 * excess**0.5), table(0.05), table(0))
    assert inflation.item() == pytest.approx(excess, rel=0.1)
