"""What the generative models of patches have in common.

Pixels are standardised, the noise is white with one variance, fitted or fixed, and
the divergence from the prior is charged as it is or held near a capacity.
"""

import math

import torch
from torch import nn

from .decoders import make_decoder
from .encoders import initialize

# Charge per nat away from the capacity; the value of the public implementations.
CAPACITY_WEIGHT = 30.0


class PatchModel(nn.Module):
    """Decoder, likelihood and objective.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px.
    latent_dim : int
        Number of latents.
    n_hidden : int
        Width of the decoder's layers.
    offset_scale : float
        Standard deviation of the offset's prior, px; 0 fixes the offset at 0.
    decoder : {"canonical", "coordinate"}
        How a patch is drawn.
    noise_std : float or None
        Standard deviation of the noise in units of the input, or of its maximum with
        ``scaling="max"``; None fits it.
    kl_capacity : float or None
        Divergence at the end of the training, nats; None leaves it free.
    scaling : {"standard", "max"}
        Whether pixels are brought to mean 0 and variance 1, or to a maximum of 1.
    coordinate_length : float or None
        Length over which the first layer of the coordinate decoder varies at first.

    Attributes
    ----------
    generator : torch.Generator
        Source of the draws from the posterior.
    offset_is_free : bool
        Whether the offset may differ from 0.
    progress : float
        Share of the training that is done, for the capacity.
    """

    # Adam adds this to the root mean square of each gradient.
    adam_eps = 1e-8
    # scalars of the state and their first values
    scalars = {"noise_variance": 1.0, "pixel_mean": 0.0, "pixel_scale": 1.0}

    def __init__(
        self,
        patch_shape,
        latent_dim,
        n_hidden,
        offset_scale,
        decoder="canonical",
        noise_std=None,
        kl_capacity=None,
        scaling="standard",
        coordinate_length=1.5,
    ):
        super().__init__()
        self.patch_shape = patch_shape
        self.offset_scale = offset_scale
        self.noise_std = noise_std
        self.kl_capacity = kl_capacity
        self.scaling = scaling
        self.generator = None
        self.offset_is_free = True
        self.progress = 1.0
        self.decoder = make_decoder(
            decoder, patch_shape, latent_dim, n_hidden, coordinate_length
        )
        for name in self.scalars:
            self.register_buffer(name, torch.empty(()))

    def initialize(self, generator):
        """Draw the first weights; scales are 1 and what counts or centres is 0."""
        initialize(self, generator)
        self.decoder.initialize()
        for name, value in self.scalars.items():
            getattr(self, name).fill_(value)

    def set_scale(self, rows):
        """Take the scale of the pixels from rows ``(n, h * w)``."""
        # in double precision, in which sums of float32 values cannot overflow
        rows = rows.cpu().double()
        if self.scaling == "standard":
            origin, scale = rows.mean(), rows.std(correction=0)
        else:
            origin = rows.min().clamp(max=0)
            scale = rows.max() - origin
        self.pixel_mean.copy_(origin)
        self.pixel_scale.copy_(scale if scale > 0 else torch.ones(()))
        if self.noise_std is not None:
            unit = self.pixel_scale if self.scaling == "standard" else 1.0
            self.noise_variance.copy_(torch.as_tensor((self.noise_std / unit) ** 2))

    def standardize(self, rows):
        """Bring rows ``(n, h * w)`` to patches ``(n, h, w)`` of order one."""
        # halves, because the difference of two float32 values may be too large for one
        scaled = (0.5 * rows - 0.5 * self.pixel_mean) / (0.5 * self.pixel_scale)
        return scaled.reshape(-1, *self.patch_shape)

    def restore(self, patches):
        """Bring patches back to the units of the input."""
        return patches * self.pixel_scale + self.pixel_mean

    def reconstruct(self, latents, angle, offset, lattice_angle=None):
        """Posed patches ``(n, h * w)`` from latents and pose."""
        return self.decoder.draw(latents, angle, offset)

    def draw_canonical(self, latents, angle, offset):
        """Patches ``(n, h * w)`` rotated against the canonical pose."""
        return self.decoder.draw(latents, angle, offset)

    def calibrate(self, patches, generator, *, anew):
        """Adapt what training leaves open to patches ``(n, h, w)``; here nothing."""

    def find_scale(self, patches):
        """Scale of the lattice of patches against the fit, and the gain; unknown."""
        return 1.0, 1.0

    def lattice_angle(self, patches):
        """Rotation of patches ``(n, h, w)`` as a whole, radians, (n,)."""
        return self.infer(patches)[0][:, 0]

    def objective(self, squared_error, divergence):
        """Negative evidence bound per pixel, up to a constant.

        In training the divergence is held near the capacity, if there is one, and
        a fitted noise follows the error.

        Parameters
        ----------
        squared_error : tensor of shape ()
            Mean over patches and pixels; a fitted noise variance is profiled out:
            at its optimum for the batch the error stands under a logarithm.
        divergence : tensor of shape ()
            Mean divergence of a patch's posterior from the prior, nats.
        """
        if self.kl_capacity is not None and self.training:
            excess = divergence - self.progress * self.kl_capacity
            divergence = CAPACITY_WEIGHT * excess.abs()
        if self.noise_std is None:
            if self.training:
                with torch.no_grad():
                    self.noise_variance.lerp_(squared_error.clamp(min=1e-6), 0.1)
            tiny = torch.finfo(squared_error.dtype).eps
            misfit = 0.5 * (squared_error + tiny).log()
        else:
            misfit = 0.5 * squared_error / self.noise_variance
        return misfit + divergence / math.prod(self.patch_shape)

    def log_likelihood(self, patches, posed):
        """Log-density of standardised patches around posed ones, nats, (n,)."""
        squared = ((patches.flatten(1) - posed) ** 2).sum(dim=1)
        normalizer = posed.shape[1] * (2 * math.pi * self.noise_variance).log()
        return -0.5 * (squared / self.noise_variance + normalizer)

    def log_jacobian(self):
        """Log-factor by which standardising shrinks the volume of a patch, nats."""
        return math.prod(self.patch_shape) * self.pixel_scale.log()


def latent_divergence(mean, log_variance):
    """Divergence of Gaussians ``(n, d)`` from the standard normal, nats, (n,)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)


def cubature_points(mean, std):
    """Points whose mean takes Gaussian expectations exactly to degree three.

    Parameters
    ----------
    mean, std : tensor of shape (n, d)
        The independent Gaussians.

    Yields
    ------
    points : tensor of shape (n, d)
        The ``2 d`` points in turn, of equal weight.
    """
    n_axes = mean.shape[1]
    for axis in range(n_axes):
        for sign in (-1, 1):
            points = mean.clone()
            points[:, axis] += sign * n_axes**0.5 * std[:, axis]
            yield points
