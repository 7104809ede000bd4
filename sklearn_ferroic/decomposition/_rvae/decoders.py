"""Decoders from latents and pose to patches.

A decoder has the methods ``draw``, for posed patches, and ``mean_squared_error``, for
their error against given patches; calling it returns images in canonical pose.
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from .._pose.geometry import canonical_side, pose
from .coordinate_decoder import CoordinateDecoder

# Factor on the initial weights of an image that starts as the template.
_INITIAL_WEIGHT_FACTOR = 0.02


class CanonicalDecoder(nn.Module):
    """Decoder from latents to an image in canonical pose, which is resampled.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px.
    latent_dim : int
        Number of latents.
    n_hidden : int
        Number of units per hidden layer.
    """

    def __init__(self, patch_shape, latent_dim, n_hidden):
        super().__init__()
        self.patch_shape = patch_shape
        self.side = canonical_side(patch_shape)
        self.hidden = nn.Sequential(
            nn.Linear(latent_dim, n_hidden),
            nn.Tanh(),
            nn.Linear(n_hidden, n_hidden),
            nn.Tanh(),
        )
        self.image = nn.Linear(n_hidden, self.side**2)

    def initialize(self):
        """Keep the initial weights."""

    def start_at(self, template):
        """Set the initial image ``(side, side)`` of all latents."""
        with torch.no_grad():
            self.image.bias.copy_(template.flatten())
            self.image.weight.mul_(_INITIAL_WEIGHT_FACTOR)

    def forward(self, latents):
        """Compute images ``(n, side, side)`` from latents ``(n, latent_dim)``."""
        image = self.image(self.hidden(latents))
        return image.reshape(-1, self.side, self.side)

    def draw(self, latents, angle, offset):
        """Draw posed patches ``(n, h * w)``."""
        return pose(self(latents), angle, offset, self.patch_shape)

    def mean_squared_error(self, patches, latents, angle, offset, canonical=None):
        """Compute the mean squared error of posed patches; `canonical` is optional."""
        canonical = self(latents) if canonical is None else canonical
        posed = pose(canonical, angle, offset, self.patch_shape)
        return mse_loss(posed, patches.flatten(1))


def make_decoder(kind, patch_shape, latent_dim, n_hidden, coordinate_length):
    """Build the decoder of a value of the parameter `decoder`."""
    if kind == "canonical":
        return CanonicalDecoder(patch_shape, latent_dim, n_hidden)
    return CoordinateDecoder(patch_shape, latent_dim, n_hidden, coordinate_length)
