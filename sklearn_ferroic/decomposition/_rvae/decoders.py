"""Decoders from latents and pose to patches.

A decoder has the methods ``draw``, for posed patches, and ``mean_squared_error``, for
their error against given patches; calling it returns images in canonical pose.
"""

import torch
from torch import nn
from torch.nn.functional import mse_loss

from .._pose.geometry import canonical_side, centered_grid, pose

# Factor on the initial weights of an image that starts as the template.
_INITIAL_WEIGHT_FACTOR = 0.02
# Pixels per block on a CPU, whose activations fit into the cache of a core.
_BLOCK_PIXELS = 1024
# Patches per batch on an accelerator; bounds its memory.
_PATCHES_AT_ONCE = 64


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


class CoordinateDecoder(nn.Module):
    """Intensity as a function of coordinates and latents.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px; half the longer side is the unit of length.
    latent_dim : int
        Number of latents.
    n_hidden : int
        Number of units per hidden layer.
    length : float or None, default=1.5
        Initial length scale of the units in the first layer, px; None is the unit of
        length, half the longer side.
    """

    def __init__(self, patch_shape, latent_dim, n_hidden, length=1.5):
        super().__init__()
        self.patch_shape = patch_shape
        self.length = length
        self.side = canonical_side(patch_shape)
        self.unit = max(patch_shape) / 2
        self.coordinate = nn.Linear(2, n_hidden)
        self.latent = nn.Linear(latent_dim, n_hidden, bias=False)
        self.hidden = nn.ModuleList(nn.Linear(n_hidden, n_hidden) for _ in range(2))
        self.intensity = nn.Linear(n_hidden, 1)

    def initialize(self):
        """Scale the first layer to the length scale `length`.

        With 1.5 px, the half-width of a column, columns appear within one epoch; with
        default weights it takes about ten times as long.
        """
        if self.length is None:
            return
        with torch.no_grad():
            for part in self.coordinate.parameters():
                part.mul_(self.unit / self.length)

    def start_at(self, template):
        """Ignore the template, which training reproduces within one epoch."""

    @torch.no_grad()
    def forward(self, latents):
        """Draw images ``(n, side, side)`` in canonical pose, without gradient."""
        zero = latents.new_zeros(len(latents), 2)
        lines = self._lines(latents, zero[:, 0], zero)
        values = self._evaluate(self._grid((self.side,) * 2, latents), lines)
        return values.reshape(-1, self.side, self.side)

    def draw(self, latents, angle, offset):
        """Draw posed patches ``(n, h * w)``."""
        lines = self._lines(latents, angle, offset)
        return self._evaluate(self._grid(self.patch_shape, latents), lines)

    def mean_squared_error(self, patches, latents, angle, offset, canonical=None):
        """Compute the mean squared error of the posed patches; ignores `canonical`."""
        lines = self._lines(latents, angle, offset)
        grid = self._grid(self.patch_shape, latents)
        targets = patches.flatten(1)
        if targets.device.type != "cpu" or not torch.is_grad_enabled():
            return ((self._evaluate(grid, lines) - targets) ** 2).mean()
        layers = [*self.hidden, self.intensity]
        parts = [part for layer in layers for part in (layer.weight, layer.bias)]
        return _SquaredError.apply(grid, targets, lines, *parts) / targets.numel()

    def _grid(self, shape, like):
        # one row (row, col, 1) per pixel
        grid = centered_grid(shape, like) / self.unit
        return torch.cat([grid, torch.ones_like(grid[:, :1])], dim=1)

    def _lines(self, latents, angle, offset):
        """Return the first layer as a linear map ``(n, 3, n_hidden)`` of (row, col, 1).

        The canonical point of a pixel is its position minus the offset, rotated back.
        """
        along_row, along_col = self.coordinate.weight.unbind(dim=1)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        per_row = cos * along_row + sin * along_col
        per_col = cos * along_col - sin * along_row
        row, col = (offset / self.unit).split(1, dim=1)
        center = self.coordinate.bias + self.latent(latents)
        center = center - row * per_row - col * per_col
        return torch.stack([per_row, per_col, center], dim=1)

    def _evaluate(self, grid, lines):
        """Compute intensities ``(n, n_points)`` on a grid ``(n_points, 3)``."""
        at_once = 1 if lines.device.type == "cpu" else _PATCHES_AT_ONCE
        values = []
        for part in lines.split(at_once):
            active = (grid @ part).tanh()
            for layer in self.hidden:
                active = layer(active).tanh()
            values.append(self.intensity(active)[..., 0])
        return torch.cat(values)


class _SquaredError(torch.autograd.Function):
    """Sum of squared errors with a gradient computed in the forward pass.

    Forward and backward pass are run block by block, so that the activations of a block
    stay in the cache; passes over whole batches spend half of their time on memory
    transfers.
    """

    @staticmethod
    def forward(ctx, grid, targets, lines, *layers):
        total, gradients = _propagate(grid, targets, lines, layers)
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx, scale):
        return None, None, *(scale * gradient for gradient in ctx.saved_tensors)


def _propagate(grid, targets, lines, layers):
    """Compute the sum of squared errors and its gradients by `lines` and `layers`."""
    *hidden, weight, bias = layers
    weights, biases = hidden[::2], hidden[1::2]
    gradients = [torch.zeros_like(part) for part in (lines, *layers)]
    by_lines, *by_hidden, by_weight, by_bias = gradients
    by_weights, by_biases = by_hidden[::2], by_hidden[1::2]
    n_hidden = lines.shape[2]
    scratch = lines.new_empty(len(weights) + 3, _BLOCK_PIXELS, n_hidden)
    total = lines.new_zeros(())
    for patch, target in enumerate(targets):
        for points, wanted in zip(
            grid.split(_BLOCK_PIXELS), target.split(_BLOCK_PIXELS), strict=True
        ):
            *active, slope, other = scratch[:, : len(points)]
            torch.mm(points, lines[patch], out=active[0]).tanh_()
            for k, (matrix, shift) in enumerate(zip(weights, biases, strict=True)):
                torch.addmm(shift, active[k], matrix.T, out=active[k + 1]).tanh_()
            error = torch.addmv(bias, active[-1], weight[0]) - wanted
            total += error @ error
            error *= 2
            by_weight[0].addmv_(active[-1].T, error)
            by_bias += error.sum()
            torch.outer(error, weight[0], out=slope)
            _through_tanh(slope, active[-1])
            for k in reversed(range(len(weights))):
                by_weights[k].addmm_(slope.T, active[k])
                by_biases[k] += slope.sum(dim=0)
                torch.mm(slope, weights[k], out=other)
                slope, other = other, slope
                _through_tanh(slope, active[k])
            by_lines[patch].addmm_(points.T, slope)
    return total, gradients


def _through_tanh(slope, active):
    torch.ops.aten.tanh_backward.grad_input(slope, active, grad_input=slope)
