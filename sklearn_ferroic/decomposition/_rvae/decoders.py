"""The decoders: from latents and pose to patches.

Either draws posed patches with ``draw``, gives their squared error against given
patches with ``mean_squared_error``, and makes canonical images when called.
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from .._pose.geometry import canonical_side, pose
from .coordinate_decoder import CoordinateDecoder

# Factor on the first weights of an image that is to begin as a template.
_FIRST_VARIETY = 0.02


class CanonicalDecoder(nn.Module):
    """One image in canonical pose for each point of the latent space.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px.
    latent_dim : int
        Number of latents.
    n_hidden : int
        Width of the hidden layers.
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
        """Leave the first weights as they are drawn."""

    def start_at(self, template):
        """Begin with an image ``(side, side)``, or a row of it, for all latents."""
        with torch.no_grad():
            self.image.bias.copy_(template.flatten())
            self.image.weight.mul_(_FIRST_VARIETY)

    def forward(self, latents):
        """Images ``(n, side, side)`` from latents ``(n, latent_dim)``."""
        image = self.image(self.hidden(latents))
        return image.reshape(-1, self.side, self.side)

    def draw(self, latents, angle, offset):
        """Posed patches ``(n, h * w)``."""
        return pose(self(latents), angle, offset, self.patch_shape)

    def mean_squared_error(self, patches, latents, angle, offset, canonical=None):
        """Mean squared error of the posed patches; `canonical` saves decoding."""
        canonical = self(latents) if canonical is None else canonical
        posed = pose(canonical, angle, offset, self.patch_shape)
        return mse_loss(posed, patches.flatten(1))


def make_decoder(kind, patch_shape, latent_dim, n_hidden, coordinate_length):
    """Build the decoder that `RotationalVAE` calls by this name."""
    if kind == "canonical":
        return CanonicalDecoder(patch_shape, latent_dim, n_hidden)
    return CoordinateDecoder(patch_shape, latent_dim, n_hidden, coordinate_length)
