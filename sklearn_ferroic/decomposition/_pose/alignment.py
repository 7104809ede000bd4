"""Multi-reference alignment: template, rotations, offsets and components of patches.

Expectation–maximisation for one template at unknown rotations, as in the
two-dimensional classification of single particles (Sigworth, J. Struct. Biol. 122,
328 (1998)): the posterior of each rotation is exact, and the template is the posterior
mean of the patches rotated back.
"""

from operator import itemgetter
from typing import NamedTuple

import numpy as np
import torch

from .angle_posterior import most_likely_angle
from .geometry import canonical_side, centered_grid, pose, rotate_points, sample
from .rotation_likelihood import correlate_rotations, radial_functions


def align(rings, weights, *, n_starts, n_iterations, radii=None, offset_scale=0.0):
    """Estimate the rotations of patches relative to one common template.

    Parameters
    ----------
    rings : tensor of shape (n, n_rings, n_angles)
        Patches on the polar grid.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.
    n_starts : int
        Number of patches that are tried as the initial template; the result with the
        highest likelihood is kept.
    n_iterations : int
        Number of expectation–maximisation steps.
    radii : tensor of shape (n_rings,), default=None
        Radii of the rings, px. If given, offsets of the patches are marginalised.
    offset_scale : float, default=0.0
        Standard deviation of the offsets, px.

    Returns
    -------
    angle : tensor of shape (n,)
        Rotation of every patch relative to the template, radians.
    """
    n_angles = rings.shape[-1]
    area = weights.sum() * n_angles
    rings = _standardize(rings, weights, area)
    # memory layout in which sums over rings and patches are matrix products
    spectra = torch.fft.rfft(rings).permute(2, 0, 1).contiguous().permute(1, 2, 0)

    def improve(template, n_iterations):
        for _ in range(n_iterations):
            functions = radial_functions(template[None], radii)
            found = correlate_rotations(spectra, functions, weights)
            noise = _noise_variance(found.similarity, template, weights, n_angles, area)
            table = found.log_likelihood(noise, offset_scale)
            template = _aligned_mean(spectra, table.softmax(dim=1))
        bound = table.logsumexp(dim=1).mean() - 0.5 * area * (
            noise.log() + (1 + _power(template, weights, n_angles) / area) / noise
        )
        return bound, template, table

    # the best start is selected after a third of the steps; only that one is continued
    n_compared = -(-n_iterations // 3) if n_starts > 1 else n_iterations
    starts = torch.linspace(0, len(rings) - 1, n_starts).long()
    results = [improve(spectra[start], n_compared) for start in starts]
    _, template, table = max(results, key=itemgetter(0))
    if n_compared < n_iterations:
        _, _, table = improve(template, n_iterations - n_compared)
    return most_likely_angle(table)


def _standardize(rings, weights, area):
    # brightness and contrast depend on chemistry and thickness, not on the pose
    mean = (rings * weights[:, None]).sum(dim=(1, 2), keepdim=True) / area
    rings = rings - mean
    variance = (rings**2 * weights[:, None]).sum(dim=(1, 2), keepdim=True) / area
    return rings / (variance + torch.finfo(rings.dtype).eps).sqrt()


def _power(template, weights, n_angles):
    image = torch.fft.irfft(template, n=n_angles)
    return (image**2 * weights[:, None]).sum()


def _noise_variance(similarity, template, weights, n_angles, area):
    # standardised patches have unit power per unit area
    power = _power(template, weights, n_angles)
    residual = 1 + (power - 2 * similarity.amax(dim=1).mean()) / area
    return residual.clamp(min=1e-3)


def _aligned_mean(spectra, posterior):
    n_orders = spectra.shape[-1]
    phases = torch.fft.rfft(posterior)[:, :n_orders].conj()
    return torch.einsum("nrm,nm->rm", spectra, phases) / len(spectra)


class CanonicalImages(NamedTuple):
    """Images in canonical pose, linear in the latents.

    `mean` has shape (side, side), `components` (latent_dim, side, side).
    """

    mean: np.ndarray
    components: np.ndarray


def find_angle(patches, polar, template):
    """Estimate the rotation of patches relative to a template.

    Parameters
    ----------
    patches : tensor of shape (n, h, w)
        The patches; the result does not depend on their brightness and contrast.
    polar : PolarGrid
        Sampling points.
    template : tensor of shape (n_rings * n_angles,)
        Mean of the patches from `canonical_rings`.

    Returns
    -------
    angle : tensor of shape (n,)
        Rotation of the highest correlation, radians.
    """
    rings = (template / _root_area(polar, template)).reshape(1, -1, polar.n_angles)
    found = correlate_rotations(
        torch.fft.rfft(polar(patches)),
        radial_functions(torch.fft.rfft(rings)),
        polar.weights.to(template),
    )
    return most_likely_angle(found.similarity)


def canonical_rings(patches, polar, angle, offset):
    """Sample patches on rings, rotated back by an angle about a shifted centre.

    Returns
    -------
    rings : tensor of shape (n, n_rings * n_angles)
        Values times the square root of the area of their points, so that sums of
        squares correspond to sums over pixels.
    """
    points = rotate_points(polar.points.to(patches), angle) + offset[:, None]
    return sample(patches, points) * _root_area(polar, patches)


def _root_area(polar, like):
    return polar.weights.to(like).sqrt().repeat_interleave(polar.n_angles)


def find_offset(patches, template, angle, scale):
    """Estimate the offset of patches from a rotated template, to first order.

    Parameters
    ----------
    patches : tensor of shape (n, h, w)
        The patches.
    template : tensor of shape (side, side)
        Image in canonical pose.
    angle : tensor of shape (n,)
        Rotation of each patch, radians.
    scale : float
        Standard deviation of the offset's Gaussian prior, px.

    Returns
    -------
    offset : tensor of shape (n, 2)
        Most likely offset ``(row, col)``, px.
    """
    shape = patches.shape[1:]
    zero = patches.new_zeros(len(patches), 2)
    if scale == 0 or min(shape) < 3:
        return zero
    posed = pose(template.expand(len(patches), -1, -1), angle, zero, shape)
    # brightness and contrast are fitted to each patch
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
    rounding = torch.finfo(posed.dtype).eps
    precision = slopes @ slopes.mT + (noise + rounding) * torch.eye(2).to(posed)
    gradient = slopes @ residual[:, :, None]
    return torch.linalg.solve(precision, gradient)[:, :, 0]


def draw_canonical_images(patches, angle, offset, latents):
    """Fit images in canonical pose that are linear in the latents.

    Each pixel of the canonical image is regressed on the latents of the patches that
    cover it, so that the corners come from patches that contain them.

    Parameters
    ----------
    patches : tensor of shape (n, h, w)
        The patches.
    angle : tensor of shape (n,)
        Rotation of each patch, radians.
    offset : tensor of shape (n, 2)
        Offset of each patch, px.
    latents : tensor of shape (n, latent_dim)
        The latents.

    Returns
    -------
    images : CanonicalImages
        The images; pixels that no patch covers have the mean of all patches.
    """
    side = canonical_side(patches.shape[1:])
    points = (
        rotate_points(centered_grid((side, side), patches), angle) + offset[:, None]
    )
    half = (points.new_tensor(patches.shape[1:]) - 1) / 2
    seen = (points.abs() <= half).all(dim=-1).to(patches)
    level = patches.mean()
    values = (sample(patches, points) - level) * seen
    regressors = torch.cat([latents.new_ones(len(latents), 1), latents], dim=1)
    n_regressors = regressors.shape[1]
    squares = (regressors[:, :, None] * regressors[:, None]).flatten(1)
    gram = (squares.T @ seen).T.reshape(-1, n_regressors, n_regressors)
    # a prior with the weight of one patch keeps uncovered pixels at the mean
    gram = gram + torch.eye(n_regressors).to(gram)
    fitted = torch.linalg.solve(gram, (regressors.T @ values).T[:, :, None])
    images = fitted[:, :, 0].T.reshape(n_regressors, side, side)
    return CanonicalImages(
        (images[0] + level).numpy().astype(np.float32),
        images[1:].numpy().astype(np.float32),
    )


def draw_posed(images, columns, patch_shape):
    """Draw patches ``(n, h * w)`` from columns angle, offset (2) and latents."""
    columns = torch.from_numpy(columns)
    components = torch.from_numpy(images.components)
    canonical = torch.from_numpy(images.mean) + torch.einsum(
        "nl,lrc->nrc", columns[:, 3:], components
    )
    return pose(canonical, columns[:, 0], columns[:, 1:3], patch_shape).numpy()
