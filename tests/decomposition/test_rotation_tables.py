import numpy as np
import pytest
import torch

from sklearn_ferroic.decomposition._pose.angle_posterior import most_likely_angle
from sklearn_ferroic.decomposition._pose.geometry import PolarGrid
from sklearn_ferroic.decomposition._pose.rotation_likelihood import (
    N_ANGLES,
    correlate_rotations,
    order_strength,
    radial_functions,
)

GRID = PolarGrid((41, 41))
WEIGHTS = GRID.weights.double()
BUMPS = [(1.0, 9.0, 2.0), (-0.7, -4.0, 8.0), (0.5, -6.0, -9.0)]


def rings(turn=0.0, shift=(0.0, 0.0)):
    """A pattern of bumps, shifted and then turned, on the polar grid."""
    row, col = GRID.points.double().T
    cos, sin = np.cos(turn), np.sin(turn)
    row, col = row * cos - col * sin, col * cos + row * sin
    image = sum(
        height
        * torch.exp(-((row - r - shift[0]) ** 2 + (col - c - shift[1]) ** 2) / 72)
        for height, r, c in BUMPS
    )
    return image.reshape(GRID.n_rings, GRID.n_angles)


def slopes(step=0.01):
    return [
        (rings(shift=shift) - rings(shift=(-shift[0], -shift[1]))) / (2 * step)
        for shift in ((step, 0.0), (0.0, step))
    ]


def tables(patch, images=None, strength=None, with_slopes=True):
    spectrum = torch.fft.rfft(rings()[None] if images is None else images)
    functions = radial_functions(spectrum, GRID.radii.double() if with_slopes else None)
    return correlate_rotations(torch.fft.rfft(patch), functions, WEIGHTS, strength)


def test_similarity_is_the_circular_correlation():
    patch = rings(turn=11 * 2 * np.pi / GRID.n_angles)
    found = tables(patch[None], with_slopes=False)
    direct = [
        (WEIGHTS[:, None] * patch * torch.roll(rings(), shift, dims=-1)).sum()
        for shift in range(GRID.n_angles)
    ]
    step = N_ANGLES // GRID.n_angles
    np.testing.assert_allclose(
        found.similarity[0, ::step], torch.stack(direct), atol=1e-9
    )
    assert found.gradient is None and found.information is None
    turn = most_likely_angle(found.similarity).item()
    assert turn == pytest.approx(11 * 2 * np.pi / GRID.n_angles)


def test_information_and_pull_are_those_of_the_slopes():
    moved = rings(shift=(0.4, -0.3))
    found = tables(moved[None])
    down, along = slopes()
    expected = [
        [(WEIGHTS[:, None] * a * b).sum() for b in (down, along)] for a in (down, along)
    ]
    # the rings are a pixel apart
    scale = np.max(expected)
    np.testing.assert_allclose(found.information[0], expected, atol=0.03 * scale)
    left = WEIGHTS[:, None] * (moved - rings())
    # a shift by d changes the image by -d times its gradient
    gradient = [-(left * slope).sum() for slope in (down, along)]
    np.testing.assert_allclose(found.gradient[0, :, 0], gradient, atol=0.03 * scale)


def test_offset_is_integrated_out():
    """Against the numerical integral of the linear model over offsets."""
    rng = np.random.RandomState(1)
    patch = rings(turn=0.5, shift=(0.3, 0.1))
    patch = patch + 0.2 * torch.from_numpy(rng.randn(*patch.shape))
    noise, scale = torch.tensor(4.0).double(), 0.4
    found = tables(patch[None]).log_likelihood(noise, scale)[0]
    grid = torch.linspace(-2, 2, 81).double()
    expected = []
    for shift in range(0, GRID.n_angles, GRID.n_angles // 8):
        back = torch.roll(patch, -shift, dims=-1)
        down, along = slopes()
        moved = rings() + grid[:, None, None, None] * down + grid[:, None, None] * along
        misfit = ((back - moved) ** 2 * WEIGHTS[:, None]).sum(dim=(2, 3))
        prior = (grid[:, None] ** 2 + grid**2) / scale**2
        expected.append((-0.5 * (misfit / noise + prior)).flatten().logsumexp(dim=0))
    found, expected = found[:: N_ANGLES // 8], torch.stack(expected)
    span = float(expected.max() - expected.min())
    np.testing.assert_allclose(
        found - found[0], expected - expected[0], atol=0.01 * span
    )


def test_strength_of_orders_is_a_factor_on_the_image():
    """The tables of an image whose orders are changed, from those of the unchanged."""
    patches = torch.stack([rings(turn=0.7, shift=(0.2, 0.5)), rings(turn=-2.0)])
    spectrum = torch.fft.rfft(rings()[None])
    rng = np.random.RandomState(0)
    strength = torch.from_numpy(rng.uniform(0, 2, (2, spectrum.shape[-1])))
    changed = torch.fft.irfft(strength[:, None] * spectrum, n=GRID.n_angles)
    found = tables(patches, strength=strength).log_likelihood(torch.tensor(0.5), 0.3)
    expected = tables(patches, images=changed).log_likelihood(torch.tensor(0.5), 0.3)
    np.testing.assert_allclose(found, expected, atol=1e-9 * expected.abs().max())


def test_strength_is_that_of_the_projection_or_nothing():
    angle = 2 * np.pi * torch.arange(GRID.n_angles).double() / GRID.n_angles
    profile = GRID.radii.double()[:, None]

    def image(*strengths):
        orders = (1.0 + 0 * angle, angle.cos(), (4 * angle + 0.3).cos())
        return sum(a * profile * b for a, b in zip(strengths, orders, strict=True))

    template = torch.fft.rfft(image(2.0, 1.0, 0.5)[None])
    # turned by a quarter, the first order has nothing of the template's
    aside = (angle + np.pi / 2).cos() * profile
    images = [image(1, 3, 0.25), image(2, -1, 0.5), image(2, 0, 1) + aside]
    strength = order_strength(template, torch.fft.rfft(torch.stack(images)), WEIGHTS)
    expected = np.zeros(strength.shape)
    expected[:, [0, 1, 4]] = [[0.5, 3, 0.5], [1, 0, 1], [1, 0, 2]]
    np.testing.assert_allclose(strength, expected, atol=1e-9)
