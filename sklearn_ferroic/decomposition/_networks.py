"""The networks: an encoder that no turn of the patch can reach, and a decoder."""

import torch
from torch import nn


class InvariantEncoder(nn.Module):
    """Posterior of the latents from a patch on the polar grid.

    Convolutions along the circle commute with turns and pooling over the circle
    removes them, so that the latents cannot hold the angle.

    Parameters
    ----------
    n_rings : int
        Rings of the polar grid, the input channels.
    n_channels : int
        Channels of the hidden layers.
    latent_dim : int
        Number of latents.
    """

    def __init__(self, n_rings, n_channels, latent_dim):
        super().__init__()

        def circular(n_in, n_out):
            return nn.Conv1d(n_in, n_out, 5, padding=2, padding_mode="circular")

        self.features = nn.Sequential(
            circular(n_rings, n_channels),
            nn.SiLU(),
            nn.AvgPool1d(2),
            circular(n_channels, n_channels),
            nn.SiLU(),
        )
        self.head = nn.Sequential(
            nn.Linear(2 * n_channels, n_channels),
            nn.SiLU(),
            nn.Linear(n_channels, 2 * latent_dim),
        )

    def forward(self, rings):
        """Mean and log-variance ``(n, latent_dim)`` from rings ``(n, r, a)``."""
        maps = self.features(rings)
        pooled = torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)
        mean, log_variance = self.head(pooled).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)


class CanonicalDecoder(nn.Module):
    """One image in canonical pose for each point of the latent space.

    Parameters
    ----------
    latent_dim : int
        Number of latents.
    n_hidden : int
        Width of the hidden layers.
    side : int
        Side of the square image, px.
    """

    def __init__(self, latent_dim, n_hidden, side):
        super().__init__()
        self.side = side
        self.hidden = nn.Sequential(
            nn.Linear(latent_dim, n_hidden),
            nn.Tanh(),
            nn.Linear(n_hidden, n_hidden),
            nn.Tanh(),
        )
        self.image = nn.Linear(n_hidden, side * side)

    def forward(self, latents):
        """Images ``(n, side, side)`` from latents ``(n, latent_dim)``."""
        image = self.image(self.hidden(latents))
        return image.reshape(-1, self.side, self.side)


def initialize(module, generator):
    """Draw first weights as torch does by default, but from one's own generator.

    Parameters
    ----------
    module : torch.nn.Module
        The module, changed in place.
    generator : torch.Generator
        Source of the random numbers.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d):
            bound = layer.weight[0].numel() ** -0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
