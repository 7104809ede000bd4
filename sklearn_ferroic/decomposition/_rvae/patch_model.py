"""Base class of the generative models of patches.

Pixels are standardised, the noise is white with one variance, fitted or fixed, and the
divergence from the prior enters the objective directly or as its distance from a
capacity.
"""

import math

import torch
from torch import nn

from .decoders import make_decoder
from .encoders import initialize

# Penalty per nat of distance from the capacity, as in the public implementations.
CAPACITY_WEIGHT = 30.0
# Share of a batch in the running estimate of a fitted noise variance, which then
# averages over about ten batches.
_NOISE_UPDATE_SHARE = 0.1
# Smallest variance of the noise, relative to that of the pixels: it keeps likelihoods
# finite for patches that are reconstructed exactly.
_MIN_NOISE_VARIANCE = 1e-6


class PatchModel(nn.Module):
    """Base class with decoder, likelihood and objective.

    Subclasses implement `infer`, `forward` and `evidence_bound`.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px.
    latent_dim : int
        Number of latents.
    n_hidden : int
        Number of units per hidden layer of the decoder.
    offset_scale : float
        Standard deviation of the offset's prior, px; 0 fixes the offset at 0.
    decoder : {"canonical", "coordinate"}
        Type of the decoder.
    noise_std : float or None
        Standard deviation of the noise in units of the input, or of its maximum with
        ``scaling="max"``; None fits it.
    kl_capacity : float or None
        Divergence at the end of the training, nats; None leaves it free.
    scaling : {"standard", "max"}
        Whether pixels are scaled to mean 0 and variance 1, or to a maximum of 1.
    coordinate_length : float or None
        Initial length scale of the first layer of the coordinate decoder, px.

    Attributes
    ----------
    generator : torch.Generator
        Source of samples from the posterior.
    offset_is_free : bool
        Whether the offset may differ from 0.
    progress : float
        Completed fraction of the training, which scales the capacity.
    n_pixels : int
        Number of pixels of a patch.
    """

    # Adam adds this to the root mean square of each gradient.
    adam_eps = 1e-8
    # scalar buffers and their initial values
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
        self.n_pixels = math.prod(patch_shape)
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
        """Draw the initial weights, and set the buffers to their initial values."""
        initialize(self, generator)
        self.decoder.initialize()
        for name, value in self.scalars.items():
            getattr(self, name).fill_(value)

    def set_scale(self, rows):
        """Estimate the scale of the pixels from rows ``(n, h * w)``."""
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
        """Convert rows of pixels to standardised patches ``(n, h, w)``, and no more."""
        # halved, because the difference of two float32 values may overflow
        scaled = (0.5 * rows - 0.5 * self.pixel_mean) / (0.5 * self.pixel_scale)
        return scaled.reshape(-1, *self.patch_shape)

    def prepare(self, rows):
        """Convert rows to a batch, the argument of `infer` and the other methods.

        Here a batch consists of the standardised patches alone. A subclass whose rows
        contain more than pixels returns that as well.
        """
        return self.standardize(rows)

    def restore(self, patches):
        """Convert standardised patches to the units of the input."""
        return patches * self.pixel_scale + self.pixel_mean

    def reconstruct(self, latents, angle, offset, lattice_angle=None):
        """Draw patches ``(n, h * w)`` from latents and pose."""
        return self.decoder.draw(latents, angle, offset)

    def draw_canonical(self, latents, angle, offset):
        """Draw patches ``(n, h * w)`` rotated from the canonical pose."""
        return self.decoder.draw(latents, angle, offset)

    def finish(self, patches):
        """Complete the training with a batch of patches; no effect by default."""

    def calibrate(self, patches, generator, *, from_scratch):
        """Calibrate the posterior on patches ``(n, h, w)``; no effect by default."""

    def find_scale(self, patches):
        """Return scale and gain of the lattice relative to the fit; 1 by default."""
        return 1.0, 1.0

    def infer(self, patches):
        """Return posterior means and widths of patches ``(n, h, w)``.

        Subclasses implement it.

        Returns
        -------
        means, widths : tensor of shape (n, 3 + latent_dim)
            Angle in radians, offset ``(row, col)`` in px, and latents.
        """
        raise NotImplementedError

    def lattice_angle(self, patches):
        """Infer the rotation of patches ``(n, h, w)``, radians, (n,)."""
        return self.infer(patches)[0][:, 0]

    def objective(self, squared_error, divergence):
        """Compute the negative evidence bound per pixel, up to a constant.

        In training, the divergence is replaced by its penalised distance from the
        capacity, if there is one, and the stored noise variance is updated if it is
        fitted.

        Parameters
        ----------
        squared_error : tensor of shape ()
            Mean over patches and pixels. A fitted noise variance is replaced by its
            optimum for the batch, which gives the logarithm of the error.
        divergence : tensor of shape ()
            Mean divergence of a patch's posterior from the prior, nats.
        """
        if self.kl_capacity is not None and self.training:
            excess = divergence - self.progress * self.kl_capacity
            divergence = CAPACITY_WEIGHT * excess.abs()
        if self.noise_std is None:
            if self.training:
                self._update_noise_variance(squared_error)
            tiny = torch.finfo(squared_error.dtype).eps
            misfit = 0.5 * (squared_error + tiny).log()
        else:
            misfit = 0.5 * squared_error / self.noise_variance
        return misfit + divergence / self.n_pixels

    @torch.no_grad()
    def _update_noise_variance(self, squared_error):
        """Move the stored noise variance towards the squared error of a batch."""
        found = squared_error.clamp(min=_MIN_NOISE_VARIANCE)
        self.noise_variance.lerp_(found, _NOISE_UPDATE_SHARE)

    def log_likelihood(self, patches, posed):
        """Compute the log-density of patches given their reconstruction, nats, (n,)."""
        squared = ((patches.flatten(1) - posed) ** 2).sum(dim=1)
        normalizer = posed.shape[1] * (2 * math.pi * self.noise_variance).log()
        return -0.5 * (squared / self.noise_variance + normalizer)

    def log_jacobian(self):
        """Return the log-Jacobian of the standardisation of a patch, nats."""
        return self.n_pixels * self.pixel_scale.log()


def latent_divergence(mean, log_variance):
    """Compute the divergence of Gaussians ``(n, d)`` from the standard normal, (n,)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)


def cubature_points(mean, std):
    """Generate cubature points that integrate polynomials of degree three exactly.

    Parameters
    ----------
    mean, std : tensor of shape (n, d)
        Means and standard deviations of independent Gaussians.

    Yields
    ------
    points : tensor of shape (n, d)
        One of the ``2 d`` points, which have equal weights.
    """
    n_axes = mean.shape[1]
    for axis in range(n_axes):
        for sign in (-1, 1):
            points = mean.clone()
            points[:, axis] += sign * n_axes**0.5 * std[:, axis]
            yield points
