"""The generative model and its evidence bound.

A patch is a canonical image, drawn from the latents by the decoder, turned by an
angle that is uniform on the circle, shifted by a small Gaussian offset, with white
noise of one fitted variance. Given the latents, the posterior of the angle is
tabulated exactly and that of the offset is solved to first order; only the latents
have an approximate, amortised posterior.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

from ._angle_posterior import (
    angle_log_likelihood,
    log_occam_factor,
    mean_angle,
    most_likely_angle,
    noise_inflation,
    sample_angle,
)
from ._geometry import PolarGrid, canonical_side, pose
from ._networks import CanonicalDecoder, InvariantEncoder, initialize

# Calibrations remember this many patches.
_MEMORY = 4096
# Scalars of the model's state and their first values.
_SCALARS = {
    "noise_variance": 1.0,
    "noise_inflation": 1.0,
    "n_calibrated": 0.0,
    "pixel_mean": 0.0,
    "pixel_scale": 1.0,
}


class Pose(NamedTuple):
    """Posterior of the pose of each patch, given its latents.

    `angle` is the mean direction of the tempered posterior, `peak_angle` the most
    likely turn, at which the offset is solved for.
    """

    angle: torch.Tensor
    angle_std: torch.Tensor
    peak_angle: torch.Tensor
    log_occam: torch.Tensor
    offset: torch.Tensor
    offset_std: torch.Tensor
    log_offset_evidence: torch.Tensor


class PosedImageModel(nn.Module):
    """Encoder, decoder and inference of the pose.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px.
    latent_dim : int
        Number of latents.
    n_hidden : int
        Width of the decoder's layers; the encoder has a quarter of it.
    offset_scale : float
        Standard deviation of the offset's prior, px; 0 fixes the offset at 0.
    """

    def __init__(self, patch_shape, latent_dim, n_hidden, offset_scale):
        super().__init__()
        self.patch_shape = patch_shape
        self.offset_scale = offset_scale
        self.offset_is_free = True
        self.generator = None
        self.polar = PolarGrid(patch_shape)
        self.encoder = InvariantEncoder(
            self.polar.n_rings, max(4, n_hidden // 4), latent_dim
        )
        self.decoder = CanonicalDecoder(
            latent_dim, n_hidden, canonical_side(patch_shape)
        )
        for name in _SCALARS:
            self.register_buffer(name, torch.empty(()))

    def initialize(self, generator):
        """Draw the first weights; scales are 1 and what counts or centres is 0."""
        initialize(self, generator)
        # every canonical image begins as the common template, the decoder's bias
        torch.nn.init.normal_(self.decoder.image.weight, std=1e-3, generator=generator)
        torch.nn.init.zeros_(self.decoder.image.bias)
        for name, value in _SCALARS.items():
            getattr(self, name).fill_(value)

    @property
    def _has_offset(self):
        # the slope of an image needs three pixels
        possible = self.offset_scale > 0 and min(self.patch_shape) >= 3
        return possible and self.offset_is_free

    def standardize(self, rows):
        """Bring rows ``(n, h * w)`` to patches ``(n, h, w)`` of order one."""
        scaled = (rows - self.pixel_mean) / self.pixel_scale
        return scaled.reshape(-1, *self.patch_shape)

    def restore(self, patches):
        """Bring patches back to the units of the input."""
        return patches * self.pixel_scale + self.pixel_mean

    def forward(self, rows):
        """Negative evidence bound per pixel of rows ``(n, h * w)``, for training.

        The noise variance is profiled out: at its optimum for the batch the
        expected squared error stands under a logarithm.
        """
        patches = self.standardize(rows)
        rings = self.polar(patches)
        mean, log_variance = self.encoder(rings)
        noise = torch.empty_like(mean).normal_(generator=self.generator)
        latents = mean + noise * (0.5 * log_variance).exp()
        canonical = self.decoder(latents)
        with torch.no_grad():
            angle, offset = self._draw_pose(patches, rings, canonical)
        posed = pose(canonical, angle, offset, self.patch_shape)
        error = ((patches.flatten(1) - posed) ** 2).mean()
        divergence = latent_divergence(mean, log_variance).mean()
        with torch.no_grad():
            self.noise_variance.lerp_(error.clamp(min=1e-6), 0.1)
        tiny = torch.finfo(error.dtype).eps
        return 0.5 * (error + tiny).log() + divergence / patches[0].numel()

    def _draw_pose(self, patches, rings, canonical):
        log_likelihood = self._angle_log_likelihood(rings, canonical)
        angle = sample_angle(log_likelihood, self.generator)
        return angle, self._offset(patches, canonical, angle)[0]

    def _angle_log_likelihood(self, rings, canonical):
        weights = self.polar.weights.to(rings)
        similarity = angle_log_likelihood(rings, self.polar(canonical), weights)
        return similarity / self.noise_variance

    def _offset(self, patches, canonical, angle):
        """Posterior mean, standard deviation and log-evidence of the offset.

        The posed image is linear in a small shift, so that the Gaussian prior
        gives a Gaussian posterior.
        """
        mean = patches.new_zeros(len(patches), 2)
        if not self._has_offset:
            return mean, mean, mean[:, 0]
        posed = pose(canonical, angle, mean, self.patch_shape)
        residual = patches.flatten(1) - posed
        slope_row, slope_col = torch.gradient(
            posed.reshape(-1, *self.patch_shape), dim=(1, 2)
        )
        # shifting an image by d changes it by -slope . d
        slopes = -torch.stack([slope_row, slope_col], dim=1).flatten(2)
        prior = torch.eye(2).to(posed) / self.offset_scale**2
        precision = slopes @ slopes.mT / self.noise_variance + prior
        pull = (slopes @ residual[:, :, None])[:, :, 0] / self.noise_variance
        covariance = torch.linalg.inv(precision)
        mean = (covariance @ pull[:, :, None])[:, :, 0]
        std = covariance.diagonal(dim1=1, dim2=2).sqrt()
        log_evidence = (
            -0.5 * (precision.det() * self.offset_scale**4).log()
            - 0.5 * (mean**2).sum(dim=1) / self.offset_scale**2
        )
        return mean, std, log_evidence

    def calibrate(self, patches):
        """Learn how far the angle's likelihood is to be trusted."""
        rings = self.polar(patches)
        canonical = self.polar(self.decoder(self.encoder(rings)[0]))
        weights = self.polar.weights.to(rings)
        found = noise_inflation(rings, canonical, weights, self.noise_variance)
        before = self.n_calibrated.clamp(max=_MEMORY)
        share = len(patches) / (before + len(patches))
        self.noise_inflation.lerp_(found.to(self.noise_inflation), share)
        self.n_calibrated.add_(len(patches))

    def encode(self, patches):
        """Mean and log-variance of the latents of patches ``(n, h, w)``."""
        return self.encoder(self.polar(patches))

    def infer_pose(self, patches, latents):
        """Posterior of the pose of patches ``(n, h, w)``, given their latents."""
        canonical = self.decoder(latents)
        offset = patches.new_zeros(len(patches), 2)
        # the second round sees the patch around its shifted centre
        for _ in range(2 if self._has_offset else 1):
            rings = self.polar(patches, center=offset)
            log_likelihood = self._angle_log_likelihood(rings, canonical)
            peak = most_likely_angle(log_likelihood)
            offset, offset_std, evidence = self._offset(patches, canonical, peak)
        angle, width = mean_angle(log_likelihood / self.noise_inflation)
        return Pose(
            angle,
            width,
            peak,
            log_occam_factor(log_likelihood),
            offset,
            offset_std,
            evidence,
        )

    def reconstruct(self, latents, angle, offset):
        """Posed patches ``(n, h * w)`` from latents and pose."""
        return pose(self.decoder(latents), angle, offset, self.patch_shape)

    def log_evidence(self, patches, latents):
        """Log-likelihood of patches given the latents, the pose integrated out."""
        found = self.infer_pose(patches, latents)
        posed = self.reconstruct(latents, found.peak_angle, found.offset)
        squared = ((patches.flatten(1) - posed) ** 2).sum(dim=1)
        n_pixels = patches[0].numel()
        at_peak = -0.5 * (
            squared / self.noise_variance
            + n_pixels * (2 * math.pi * self.noise_variance).log()
        )
        return at_peak + found.log_occam + found.log_offset_evidence

    def evidence_bound(self, patches):
        """Evidence lower bound of each patch ``(n, h, w)``, nats.

        The density is that of the pixels in units of the input. The expectation
        over the latents' Gaussian posterior is taken by the cubature rule of
        degree three, which needs no random numbers.
        """
        mean, log_variance = self.encode(patches)
        latent_dim = mean.shape[1]
        step = (latent_dim**0.5) * (0.5 * log_variance).exp()
        total = 0
        for axis in range(latent_dim):
            for sign in (-1, 1):
                point = mean.clone()
                point[:, axis] += sign * step[:, axis]
                total = total + self.log_evidence(patches, point)
        expected = total / (2 * latent_dim)
        jacobian = patches[0].numel() * self.pixel_scale.log()
        return expected - latent_divergence(mean, log_variance) - jacobian


def latent_divergence(mean, log_variance):
    """Divergence of the latents' posterior from the standard normal, nats."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)
