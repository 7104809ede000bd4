"""Patches turned back to one pose: their components, and the images they span."""

from typing import NamedTuple

import numpy as np
import torch

from .angle_posterior import most_likely_angle
from .geometry import canonical_side, centered_grid, pose, sample, turn
from .rotation_likelihood import radial_functions, turn_tables


class CanonicalImages(NamedTuple):
    """Images in canonical pose, linear in the latents.

    `mean` has shape (side, side), `components` (latent_dim, side, side).
    """

    mean: np.ndarray
    components: np.ndarray


def find_angle(patches, polar, template):
    """Find the turn of patches against a template.

    Parameters
    ----------
    patches : tensor of shape (n, h, w)
        The patches; their brightness and contrast have no say.
    polar : PolarGrid
        Where they are sampled.
    template : tensor of shape (n_rings * n_angles,)
        As `turned_back_rings` returns it.

    Returns
    -------
    angle : tensor of shape (n,)
        Turn of the highest correlation, radians.
    """
    rings = (template / _root_area(polar, template)).reshape(1, -1, polar.n_angles)
    found = turn_tables(
        torch.fft.rfft(polar(patches)),
        radial_functions(torch.fft.rfft(rings)),
        polar.weights.to(template),
    )
    return most_likely_angle(found.similarity)


def turned_back_rings(patches, polar, angle, offset):
    """Rings of patches turned back by an angle, about a shifted centre.

    Returns
    -------
    rings : tensor of shape (n, n_rings * n_angles)
        Values times the root of the area that they stand for, so that sums of
        squares are those over pixels.
    """
    points = turn(polar.points.to(patches), angle) + offset[:, None]
    return sample(patches, points) * _root_area(polar, patches)


def _root_area(polar, like):
    return polar.weights.to(like).sqrt().repeat_interleave(polar.n_angles)


def find_offset(patches, template, angle, scale):
    """Offset of patches from a turned template, to first order.

    Parameters
    ----------
    patches : tensor of shape (n, h, w)
        The patches.
    template : tensor of shape (side, side)
        Image in canonical pose.
    angle : tensor of shape (n,)
        Turn of each patch.
    scale : float
        Standard deviation of the offset's Gaussian prior, px.

    Returns
    -------
    offset : tensor of shape (n, 2)
        Most likely offset ``(row, col)``, px.
    """
    shape = patches.shape[1:]
    none = patches.new_zeros(len(patches), 2)
    if scale == 0 or min(shape) < 3:
        return none
    posed = pose(template.expand(len(patches), -1, -1), angle, none, shape)
    # each patch has a brightness and a contrast of its own
    posed = posed - posed.mean(dim=1, keepdim=True)
    residual = patches.flatten(1) - patches.mean(dim=(1, 2))[:, None]
    tiny = torch.finfo(posed.dtype).tiny
    power = (posed**2).sum(dim=1, keepdim=True).clamp(min=tiny)
    posed = posed * ((residual * posed).sum(dim=1, keepdim=True) / power)
    residual = residual - posed
    slopes = torch.gradient(posed.reshape(-1, *shape), dim=(1, 2))
    # shifting an image by d changes it by -slope . d
    slopes = -torch.stack(slopes, dim=1).flatten(2)
    noise = (residual**2).mean(dim=1)[:, None, None] / scale**2
    floor = torch.finfo(posed.dtype).eps
    precision = slopes @ slopes.mT + (noise + floor) * torch.eye(2).to(posed)
    pull = slopes @ residual[:, :, None]
    return torch.linalg.solve(precision, pull)[:, :, 0]


def draw_canonical_images(patches, angle, offset, latents):
    """Fit images in canonical pose that are linear in the latents.

    A pixel of the canonical image is regressed on the latents of those patches
    that reach over it, so that the corners are drawn from patches that have them.

    Parameters
    ----------
    patches : tensor of shape (n, h, w)
        The patches.
    angle : tensor of shape (n,)
        Turn of each patch.
    offset : tensor of shape (n, 2)
        Offset of each patch, px.
    latents : tensor of shape (n, latent_dim)
        The latents.

    Returns
    -------
    images : CanonicalImages
        Pixels that no patch reaches have the mean of all.
    """
    side = canonical_side(patches.shape[1:])
    points = turn(centered_grid((side, side), patches), angle) + offset[:, None]
    half = (points.new_tensor(patches.shape[1:]) - 1) / 2
    seen = (points.abs() <= half).all(dim=-1).to(patches)
    level = patches.mean()
    values = (sample(patches, points) - level) * seen
    regressors = torch.cat([latents.new_ones(len(latents), 1), latents], dim=1)
    n_regressors = regressors.shape[1]
    squares = (regressors[:, :, None] * regressors[:, None]).flatten(1)
    gram = (squares.T @ seen).T.reshape(-1, n_regressors, n_regressors)
    # one patch's worth of doubt keeps unseen pixels at the mean
    gram = gram + torch.eye(n_regressors).to(gram)
    fitted = torch.linalg.solve(gram, (regressors.T @ values).T[:, :, None])
    images = fitted[:, :, 0].T.reshape(n_regressors, side, side)
    return CanonicalImages(
        (images[0] + level).numpy().astype(np.float32),
        images[1:].numpy().astype(np.float32),
    )


def draw_posed(images, columns, patch_shape):
    """Posed patches ``(n, h * w)`` from columns angle, offset (2) and latents."""
    columns = torch.from_numpy(columns)
    components = torch.from_numpy(images.components)
    canonical = torch.from_numpy(images.mean) + torch.einsum(
        "nl,lrc->nrc", columns[:, 3:], components
    )
    return pose(canonical, columns[:, 0], columns[:, 1:3], patch_shape).numpy()
