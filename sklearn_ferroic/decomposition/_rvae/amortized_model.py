"""Model of the paper: one network predicts the posterior of pose and latents.

This is the spatial-VAE (Bepler et al., NeurIPS 2019). The angle is an unbounded number,
and its prior acts only on the width of its posterior, not on its mean. As in the public
code, the network predicts the offset of the canonical image before its rotation: the
gradient of the angle then contains that of a rotation about the centre of the patch,
and the angle is learned in fewer epochs than with offsets of the rotated image.
"""

import math
import warnings
from typing import NamedTuple

import torch

from .._pose.geometry import rotate_points
from .encoders import ConvolutionalEncoder, DenseEncoder
from .patch_model import PatchModel, cubature_points, latent_divergence

_ENCODERS = {"convolutional": ConvolutionalEncoder, "dense": DenseEncoder}
# Initial width of the angle's posterior with a uniform prior. It has to be narrow from
# the first steps on: angles drawn from a wide posterior carry no information, and the
# latents then encode the variants instead.
_INITIAL_ANGLE_STD_RAD = 0.1
# The same with a prior on the width, which narrows it within the first steps. As in the
# public code: the large first gradients separate the angles of the patches.
_INITIAL_ANGLE_STD_WITH_PRIOR_RAD = 1.0
# Patches per call of the encoder without gradients; bounds the memory, 2.4 MB per patch
# and layer for 128 channels of 48 x 48 px in double precision.
_PATCHES_AT_ONCE = 32
# At an optimum the posterior is hardly wider than the prior. A ratio of the widths of
# offsets and latents above this shows that the training has diverged.
_DIVERGED_STD_RATIO = 10.0
# A wrapped normal of this width is uniform on the circle to one part in 10^8.
_DIVERGED_ANGLE_STD_RAD = 2 * math.pi
# Below this width the wrapped normal equals a normal to one part in 10,000.
_NARROW_STD_RAD = 0.8
# Terms of the series, enough for double precision above that width.
_N_TERMS = 16


class _Posterior(NamedTuple):
    """Independent Gaussians: mean and standard deviation of ``(n, 3 + latent_dim)``.

    The columns are the unwrapped angle in radians, the offset of the canonical image in
    units of the standard deviation of its prior, and the latents.
    """

    mean: torch.Tensor
    std: torch.Tensor


class AmortizedModel(PatchModel):
    """Encoder from patches to angle, offset and latents, and a decoder.

    Parameters
    ----------
    encoder : {"convolutional", "dense"}
        Type of the encoder.
    rotation_prior : float or None
        Preferred standard deviation of the posterior of the angle, independent of its
        mean, radians; None is the uniform prior on the circle.
    patch_shape, latent_dim, n_hidden, offset_scale, **common
        See `PatchModel`; `n_hidden` is also the number of units of the encoder.
    """

    def __init__(
        self,
        patch_shape,
        latent_dim,
        n_hidden,
        offset_scale,
        *,
        encoder,
        rotation_prior=None,
        **common,
    ):
        super().__init__(patch_shape, latent_dim, n_hidden, offset_scale, **common)
        self.rotation_prior = rotation_prior
        self.initial_angle_std = (
            _INITIAL_ANGLE_STD_RAD
            if rotation_prior is None
            else _INITIAL_ANGLE_STD_WITH_PRIOR_RAD
        )
        # The public code has the loss of a patch, here it is per pixel. The last layer
        # has gradients near 1e-8 per pixel, so that the unscaled value would change
        # the second training step by 1 %.
        self.adam_eps = PatchModel.adam_eps / math.prod(patch_shape)
        # outputs: means of angle, offset and latents, and logarithms of their widths
        self.encoder = _ENCODERS[encoder](patch_shape, n_hidden, 2 * (3 + latent_dim))

    def posterior(self, patches):
        """Return the posterior of patches ``(n, h, w)``.

        The initial outputs are near 0, so that the widths of offsets and latents start
        at those of the priors, and that of the angle at a constant.
        """
        at_once = len(patches) if torch.is_grad_enabled() else _PATCHES_AT_ONCE
        outputs = torch.cat([self.encoder(part) for part in patches.split(at_once)])
        mean, log_std = outputs.chunk(2, dim=1)
        first = torch.ones_like(mean[:1])
        first[:, 0] = self.initial_angle_std
        std = log_std.exp() * first
        if self.offset_scale > 0:
            return _Posterior(mean, std)
        # a fixed offset is 0, with a posterior equal to the prior
        is_free = torch.ones_like(mean[:1])
        is_free[:, 1:3] = 0
        return _Posterior(mean * is_free, std * is_free + (1 - is_free))

    def divergence(self, posterior, *, is_bound=False):
        """Return the divergence of each patch's posterior from the prior, nats, (n,).

        A prior on the width alone is not a distribution of the angle: `is_bound`
        selects the uniform prior, so that the result is an evidence bound.
        """
        mean, std = posterior
        rest = latent_divergence(mean[:, 1:], 2 * std[:, 1:].log())
        if self.rotation_prior is None or is_bound:
            return math.log(2 * math.pi) - wrapped_normal_entropy(std[:, 0]) + rest
        ratio = std[:, 0] / self.rotation_prior
        return 0.5 * (ratio**2 - 1) - ratio.log() + rest

    def forward(self, rows):
        """Compute the training objective per pixel of rows ``(n, h * w)``."""
        patches = self.standardize(rows)
        posterior = self.posterior(patches)
        noise = torch.empty_like(posterior.mean).normal_(generator=self.generator)
        pose_and_latents = self._split(posterior.mean + noise * posterior.std)
        error = self.decoder.mean_squared_error(patches, *pose_and_latents)
        return self.objective(error, self.divergence(posterior).mean())

    def _split(self, points):
        """Return latents, angle and offset in px, the arguments of decoders."""
        angle, offset, latents = points[:, 0], points[:, 1:3], points[:, 3:]
        rotated = rotate_points(offset[:, None], angle)[:, 0]
        return latents, angle, rotated * self.offset_scale

    def infer(self, patches):
        """Return posterior means and widths of patches, (n, 3 + latent_dim).

        Those of the offset are of the patch, at the mean of its angle.
        """
        mean, std = self.posterior(patches)
        latents, angle, offset = self._split(mean)
        cos2, sin2 = angle.cos()[:, None] ** 2, angle.sin()[:, None] ** 2
        variance = std[:, 1:3] ** 2
        along_axes = cos2 * variance + sin2 * variance.flip(1)
        width = along_axes.sqrt() * self.offset_scale
        return (
            torch.cat([angle[:, None], offset, latents], dim=1),
            torch.cat([std[:, :1], width, std[:, 3:]], dim=1),
        )

    def finish(self, patches):
        """Warn if the training has diverged, by the posterior of a few patches."""
        if self.kl_capacity is not None:  # which wide posteriors may reach, too
            return
        std = self.posterior(patches[:_PATCHES_AT_ONCE]).std.median(dim=0).values
        if std[0] > _DIVERGED_ANGLE_STD_RAD or std[1:].max() > _DIVERGED_STD_RATIO:
            warnings.warn(
                "The training has diverged: the posterior widths of the angle, the "
                "offsets or the latents are much larger than those of their priors, so "
                "that the results are meaningless. Lower learning_rate (1e-3 or less "
                'with encoder="convolutional"), or set rotation_prior.',
                UserWarning,
                stacklevel=2,
            )

    def evidence_bound(self, patches):
        """Compute the evidence lower bound of each patch ``(n, h, w)``, nats.

        The density is that of the pixels in units of the input. The expectation
        over the posterior of pose and latents is computed by a cubature rule of
        degree three, without random numbers.
        """
        posterior = self.posterior(patches)
        expected = [
            self.log_likelihood(patches, self.reconstruct(*self._split(points)))
            for points in cubature_points(*posterior)
        ]
        divergence = self.divergence(posterior, is_bound=True)
        return torch.stack(expected).mean(dim=0) - divergence - self.log_jacobian()


def wrapped_normal_entropy(std):
    """Compute the differential entropy of wrapped normals, nats.

    Parameters
    ----------
    std : tensor
        Standard deviations before wrapping, radians; equal to the circular ones.

    Returns
    -------
    entropy : tensor
        Entropy, between that of the normal and ``log(2 pi)``.

    Notes
    -----
    Jacobi's product makes the density a product over k of
    ``(1 - q^k) |1 + q^(k - 1/2) exp(i t)|^2`` with ``q = exp(-std^2)``; its
    logarithm expands into cosines, whose means under the density are powers of q.
    """
    narrow = std < _NARROW_STD_RAD
    wide = torch.where(narrow, torch.ones_like(std), std)[..., None]
    q = (-(wide**2)).exp()
    k = torch.arange(1, _N_TERMS + 1, dtype=std.dtype, device=std.device)
    sign = 1 - 2 * (k % 2)
    series = sign * q ** (k * (k + 1) / 2) / (k * (1 - q**k))
    log_euler = (1 - q**k).log()
    wrapped = math.log(2 * math.pi) + (2 * series - log_euler).sum(dim=-1)
    return torch.where(
        narrow, std.log() + 0.5 * math.log(2 * math.pi * math.e), wrapped
    )
