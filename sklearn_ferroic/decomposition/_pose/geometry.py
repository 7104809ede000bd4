"""Rotation, shift and polar sampling of batches of images with square pixels.

A rotation by a positive angle maps the +col axis towards the +row axis, the direction
in which ``arctan2(d_row, d_col)`` increases.
"""

import math

import numpy as np
import torch
from torch.nn.functional import grid_sample

from .angle_posterior import N_ANGLES


def canonical_side(patch_shape):
    """Return the side of the square image that covers a patch at any rotation, px."""
    return math.ceil(math.hypot(*patch_shape)) + 2


def centered_grid(patch_shape, like):
    """Return pixel coordinates relative to the centre of a patch, (h*w, 2)."""
    axes = [
        torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
        for side in patch_shape
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 2)


def sample(images, points, center=None):
    """Interpolate images bilinearly at points relative to their centres.

    Parameters
    ----------
    images : tensor of shape (n, h, w)
        The images; beyond the border the value of the nearest pixel is used.
    points : tensor of shape (n or 1, m, 2)
        Coordinates ``(row, col)``, px.
    center : tensor of shape (n, 2), default=None
        Origin of the points relative to the centres of the images; None is 0.

    Returns
    -------
    values : tensor of shape (n, m)
        The interpolated values.
    """
    if center is not None:
        _check_finite(center)
    half = points.new_tensor(_half_sides(images.shape[1:])[::-1])
    grid = points.flip(-1) / half
    if center is not None:
        grid = grid + (center.flip(-1) / half)[:, None]
    grid = grid.expand(len(images), -1, -1)
    values = grid_sample(
        images[:, None], grid[:, None], padding_mode="border", align_corners=True
    )
    return values[:, 0, 0]


def rotate_points(points, angle):
    """Rotate points ``(n, m, 2)`` by the angle ``(n,)`` of their image."""
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    row, col = points[..., 0], points[..., 1]
    return torch.stack([row * cos + col * sin, col * cos - row * sin], dim=-1)


def pose(canonical, angle, offset, patch_shape):
    """Rotate canonical images, shift them, and crop the patches.

    Parameters
    ----------
    canonical : tensor of shape (n, side, side)
        Images in canonical pose.
    angle : tensor of shape (n,)
        Rotation, radians.
    offset : tensor of shape (n, 2)
        Shift ``(row, col)`` after the rotation, px.
    patch_shape : tuple of int
        Shape of the patch.

    Returns
    -------
    patches : tensor of shape (n, h * w)
        The posed patches.
    """
    _check_finite(angle, offset)
    # one affine map per patch, from its (row, col) to (x, y) in [-1, 1]
    cos, sin = angle.cos(), angle.sin()
    row, col = offset.unbind(dim=1)
    below, right = _half_sides(canonical.shape[1:])
    to_x = torch.stack([sin, cos, -col * cos - row * sin], dim=1) / right
    to_y = torch.stack([cos, -sin, col * sin - row * cos], dim=1) / below
    points = centered_grid(patch_shape, canonical)
    points = torch.cat([points, torch.ones_like(points[:, :1])], dim=1)
    # one product of two matrices for all patches
    grid = torch.stack([to_x, to_y], dim=1).flatten(0, 1) @ points.T
    grid = grid.reshape(-1, 2, *patch_shape).permute(0, 2, 3, 1)
    posed = grid_sample(
        canonical[:, None], grid, padding_mode="border", align_corners=True
    )
    return posed.flatten(1)


def _check_finite(*parts):
    """Raise ValueError if angles or offsets are not finite."""
    # The gradient of grid_sample writes out of bounds at NaN points.
    if not all(torch.isfinite(part).all() for part in parts):
        raise ValueError(
            "The angles or offsets of some patches are not finite. Check X for extreme "
            "values, or lower learning_rate."
        )


class PolarGrid:
    """Rings of sampling points around the centre of a patch.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patch; the rings fill its inscribed circle, a pixel apart.

    Attributes
    ----------
    n_rings, n_angles : int
        Number of rings, and of points on each.
    radii : tensor of shape (n_rings,)
        Radii of the rings, px.
    weights : tensor of shape (n_rings,)
        Area of a sampling point of each ring, px².
    """

    def __init__(self, patch_shape):
        radius = max(min(patch_shape) - 1, 1) / 2
        self.n_rings = max(1, math.ceil(radius))
        # at most 1.6 px between points of the outermost ring, for patches up to 256 px
        n_angles = 2 ** max(4, math.ceil(math.log2(4 * radius + 1)))
        self.n_angles = min(n_angles, N_ANGLES)
        step = radius / self.n_rings
        radii = step * (np.arange(self.n_rings) + 0.5)
        angles = np.arange(self.n_angles) * (2 * np.pi / self.n_angles)
        directions = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
        points = radii[:, None, None] * directions
        # computed with NumPy, which ignores the default device of torch
        self.radii = torch.from_numpy(radii.astype(np.float32))
        self.weights = torch.from_numpy(
            (radii * step * 2 * np.pi / self.n_angles).astype(np.float32)
        )
        self.points = torch.from_numpy(points.reshape(-1, 2).astype(np.float32))

    def __call__(self, images, center=None):
        """Sample images ``(n, h, w)`` around centres ``(n, 2)`` on the rings."""
        values = sample(images, self.points.to(images)[None], center)
        return values.reshape(-1, self.n_rings, self.n_angles)


def _half_sides(shape):
    return [max(side - 1, 1) / 2 for side in shape]
