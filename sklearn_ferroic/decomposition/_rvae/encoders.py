"""Encoders: a rotation-invariant one, a dense one and a convolutional one."""

import math

import torch
from torch import nn


class InvariantEncoder(nn.Module):
    """Encoder from a patch on the polar grid to the posterior of the latents.

    Convolutions along the circle commute with rotations, and pooling over the circle
    is invariant, so that the latents cannot contain the angle.

    Parameters
    ----------
    n_rings : int
        Number of rings of the polar grid, the input channels.
    n_channels : int
        Number of channels of the hidden layers.
    latent_dim : int
        Number of latents.
    """

    def __init__(self, n_rings, n_channels, latent_dim):
        super().__init__()

        def circular(n_in, n_out, stride):
            return nn.Conv1d(n_in, n_out, 5, stride, padding=2, padding_mode="circular")

        self.features = nn.Sequential(
            circular(n_rings, n_channels, stride=2),
            nn.SiLU(),
            circular(n_channels, n_channels, stride=1),
            nn.SiLU(),
        )
        self.head = nn.Sequential(
            nn.Linear(2 * n_channels, n_channels),
            nn.SiLU(),
            nn.Linear(n_channels, 2 * latent_dim),
        )

    def forward(self, rings):
        """Compute mean and log-variance ``(n, latent_dim)`` of rings ``(n, r, a)``."""
        maps = self.features(rings)
        pooled = torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1)
        mean, log_variance = self.head(pooled).chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)


class DenseEncoder(nn.Module):
    """Two hyperbolic tangent layers over all pixels.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px.
    n_hidden : int
        Number of units per layer.
    n_outputs : int
        Number of outputs.
    """

    def __init__(self, patch_shape, n_hidden, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(math.prod(patch_shape), n_hidden),
            nn.Tanh(),
            nn.Linear(n_hidden, n_hidden),
            nn.Tanh(),
            nn.Linear(n_hidden, n_outputs),
        )

    def forward(self, patches):
        """Compute outputs ``(n, n_outputs)`` of patches ``(n, h, w)``."""
        return self.layers(patches.flatten(1))


class ConvolutionalEncoder(nn.Module):
    """Two 3 x 3 convolutions at full resolution and a linear read-out of all pixels.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px.
    n_hidden : int
        Number of channels.
    n_outputs : int
        Number of outputs.
    """

    def __init__(self, patch_shape, n_hidden, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, n_hidden, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(n_hidden, n_hidden, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(n_hidden * math.prod(patch_shape), n_outputs),
        )

    def forward(self, patches):
        """Compute outputs ``(n, n_outputs)`` of patches ``(n, h, w)``."""
        return self.layers(patches[:, None])


def initialize(module, generator):
    """Draw the default initial weights of torch from a given generator.

    Parameters
    ----------
    module : torch.nn.Module
        The module, changed in place.
    generator : torch.Generator
        Source of the random numbers.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            if layer.bias is not None:
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
