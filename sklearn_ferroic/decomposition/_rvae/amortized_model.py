"""The model of the paper: one network gives the posterior of pose and latents.

As in the spatial-VAE (Bepler et al., NeurIPS 2019), but with the angle on the
circle: its posterior is a wrapped normal whose direction the network gives as a
vector, its prior a von Mises distribution around 0 or uniform.
"""

from typing import NamedTuple

import torch

from .._pose import circular_normal
from .encoders import ConvolutionalEncoder, DenseEncoder
from .patch_model import PatchModel, cubature_points, latent_divergence

_ENCODERS = {"convolutional": ConvolutionalEncoder, "dense": DenseEncoder}
# Bounds on the logarithms of posterior widths relative to their priors.
_NARROWEST, _WIDEST = -6.0, 1.5
# Their first value: draws as wide as the prior blur every patch into the mean patch,
# and training from there often ends with a posterior that is the prior.
_FIRST_LOG_STD = -2.0


class _Posterior(NamedTuple):
    """Independent Gaussians: mean and standard deviation of ``(n, 3 + latent_dim)``.

    The columns are the angle, unwrapped, the offset over its prior's width, and
    the latents.
    """

    mean: torch.Tensor
    std: torch.Tensor


class AmortizedModel(PatchModel):
    """Network from patches to angle, offset and latents, and a decoder.

    Parameters
    ----------
    encoder : {"convolutional", "dense"}
        The network.
    rotation_prior : float or None
        Circular standard deviation of the angle's prior, radians; None is uniform.
    patch_shape, latent_dim, n_hidden, offset_scale, decoder, noise_std, kl_capacity
        See `PatchModel`; `n_hidden` is the width of the encoder, too.
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
        self.concentration = (
            0.0
            if rotation_prior is None
            else circular_normal.concentration(rotation_prior)
        )
        # a direction, the means of offset and latents, and the widths of all three
        n_outputs = 7 + 2 * latent_dim
        self._widths = slice(4 + latent_dim, n_outputs)
        self.encoder = _ENCODERS[encoder](patch_shape, n_hidden, n_outputs)

    def initialize(self, generator):
        """Draw the first weights; posteriors begin narrow."""
        super().initialize(generator)
        with torch.no_grad():
            self.encoder.layers[-1].bias[self._widths].fill_(_FIRST_LOG_STD)

    def posterior(self, patches):
        """Posterior of patches ``(n, h, w)``."""
        outputs = self.encoder(patches)
        direction, means = outputs[:, :2], outputs[:, 2 : self._widths.start]
        angle = torch.atan2(direction[:, 1], direction[:, 0])
        mean = torch.cat([angle[:, None], means], dim=1)
        std = outputs[:, self._widths].clamp(_NARROWEST, _WIDEST).exp()
        if self.offset_scale > 0:
            return _Posterior(mean, std)
        # an offset without width is as its prior has it, and drawn at 0
        is_free = torch.ones_like(mean[:1])
        is_free[:, 1:3] = 0
        return _Posterior(mean * is_free, std * is_free + (1 - is_free))

    def divergence(self, posterior):
        """Divergence of the posterior of each patch from the prior, nats, (n,)."""
        mean, std = posterior
        rest = latent_divergence(mean[:, 1:], 2 * std[:, 1:].log())
        angle = circular_normal.divergence(mean[:, 0], std[:, 0], self.concentration)
        return angle + rest

    def forward(self, rows):
        """Objective per pixel of rows ``(n, h * w)``, for training."""
        patches = self.standardize(rows)
        posterior = self.posterior(patches)
        noise = torch.empty_like(posterior.mean).normal_(generator=self.generator)
        pose_and_latents = self._split(posterior.mean + noise * posterior.std)
        error = self.decoder.mean_squared_error(patches, *pose_and_latents)
        return self.objective(error, self.divergence(posterior).mean())

    def _split(self, points):
        """Latents, angle and offset in px, as decoders take them."""
        angle, offset, latents = points[:, 0], points[:, 1:3], points[:, 3:]
        return latents, angle, offset * self.offset_scale

    def infer(self, patches):
        """Posterior means and widths of patches ``(n, h, w)``, (n, 3 + latent_dim)."""
        mean, std = self.posterior(patches)
        unit = torch.ones_like(mean[:1])
        unit[:, 1:3] = self.offset_scale
        return mean * unit, std * unit

    def evidence_bound(self, patches):
        """Evidence lower bound of each patch ``(n, h, w)``, nats.

        The density is that of the pixels in units of the input. The expectation
        over the posterior of pose and latents is taken by the cubature rule of
        degree three, which needs no random numbers.
        """
        posterior = self.posterior(patches)
        expected = [
            self.log_likelihood(patches, self.reconstruct(*self._split(points)))
            for points in cubature_points(*posterior)
        ]
        bound = torch.stack(expected).mean(dim=0) - self.divergence(posterior)
        return bound - self.log_jacobian()
