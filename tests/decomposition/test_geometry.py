import numpy as np
import pytest
import torch

from sklearn_ferroic.decomposition._pose.geometry import PolarGrid, canonical_side, pose


def _spot(shape, row, col):
    """A Gaussian spot at (row, col) from the centre."""
    grid = [np.arange(side) - (side - 1) / 2 for side in shape]
    rows, cols = np.meshgrid(*grid, indexing="ij")
    spot = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 8)
    return torch.from_numpy(spot[None])


def _center_of_mass(image):
    rows, cols = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image / image.sum()
    center = [(weight * rows).sum(), (weight * cols).sum()]
    return np.array(center) - (np.array(image.shape) - 1) / 2


@pytest.mark.parametrize("shape", [(24, 24), (25, 25), (24, 27)])
@pytest.mark.parametrize("degrees", [0, 30, 90, -135])
def test_pose_turns_from_col_towards_row_and_then_shifts(shape, degrees):
    side = canonical_side(shape)
    angle = np.radians(degrees)
    canonical = _spot((side, side), 0, 6)
    offset = torch.tensor([[0.5, -1.25]], dtype=torch.float64)
    posed = pose(canonical, torch.tensor([angle]), offset, shape)
    found = _center_of_mass(posed.reshape(shape).numpy())
    expected = 6 * np.array([np.sin(angle), np.cos(angle)]) + [0.5, -1.25]
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("shape", [(20, 20), (21, 21)])
def test_quarter_turn_is_rot90_backwards(shape):
    patch = torch.from_numpy(np.random.RandomState(0).rand(1, *shape))
    angle = torch.tensor([-np.pi / 2], dtype=torch.float64)
    turned = pose(patch, angle, torch.zeros(1, 2).double(), shape)
    np.testing.assert_allclose(
        turned.reshape(shape), np.rot90(patch[0].numpy(), 1), atol=1e-9
    )


@pytest.mark.parametrize("shape", [(32, 32), (33, 33), (30, 37)])
def test_polar_grid_sees_the_direction_and_the_area(shape):
    polar = PolarGrid(shape)
    rings = polar(_spot(shape, 4, 4))[0].numpy()
    direction = 2 * np.pi * np.arange(polar.n_angles) / polar.n_angles
    weighted = (rings * polar.weights.numpy()[:, None]).sum(axis=0)
    seen = np.angle((weighted * np.exp(1j * direction)).sum())
    assert np.degrees(seen) == pytest.approx(45, abs=0.5)
    # the weights integrate: a spot of sigma 2 has the area 2 pi sigma^2
    assert weighted.sum() == pytest.approx(8 * np.pi, rel=0.02)


def test_polar_grid_follows_the_center():
    shape = (32, 32)
    polar = PolarGrid(shape)
    shifted = polar(_spot(shape, 1, -2), center=torch.tensor([[1.0, -2.0]]))
    np.testing.assert_allclose(shifted, polar(_spot(shape, 0, 0)), atol=1e-9)
