"""Probabilities of the classes, tile by tile, at the scale of the network."""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from .network import STRIDE, reach
from .network_image import (
    CONTRAST_REACH,
    local_deviation,
    net_length,
    normalize,
    resample,
)

# Margin of tiles: pixels farther from the core do not affect it.
_MARGIN = reach()
# Rotations by 90° and reflections over which probabilities are averaged, in this order.
_VIEWS = ((0, False), (2, False), (1, False), (3, False)) + tuple(
    (quarters, True) for quarters in range(4)
)
MAX_VIEWS = len(_VIEWS)
# Largest side of a tile, px of the network: its layers take 0.3 GB.
_MAX_SIDE_PX = 768


class NetImage(NamedTuple):
    """An image at the scale of the network, computed part by part.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image itself.
    factor : float
        Side of a pixel of the network, px.
    usual : float
        Usual local deviation, see `normalize`.
    """

    image: np.ndarray
    factor: float
    usual: float

    @property
    def shape(self):
        """Shape at the scale of the network."""
        return tuple(net_length(length, self.factor) for length in self.image.shape)

    def part(self, window):
        """Cut a window out of the whole at the scale of the network."""
        wider = grow(window, CONTRAST_REACH, self.shape)
        part = resample(self.image, self.factor, wider)
        return normalize(part, self.usual)[inner(window, wider)]


def see(image, factor, tile_size):
    """Prepare an image for the network.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    factor : float
        Side of a pixel of the network, px.
    tile_size : int or None
        Side of the tiles, px of the image; None for one tile.

    Returns
    -------
    net_image : NetImage
        The image.
    """
    seen = NetImage(image, factor, 0.0)
    total = 0.0
    for core in tiles(seen.shape, factor, tile_size):
        wider = grow(core, CONTRAST_REACH, seen.shape)
        _, deviation = local_deviation(resample(image, factor, wider))
        total += np.sum(deviation[inner(core, wider)] ** 2, dtype=np.float64)
    return seen._replace(usual=float(np.sqrt(total / np.prod(seen.shape))))


def tiles(shape, factor, tile_size):
    """Divide an image at the scale of the network into tiles.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    factor : float
        Side of a pixel of the network, px.
    tile_size : int or None
        Side of the tiles, px of the image; None for one tile.

    Returns
    -------
    cores : list of tuple of slice
        Tiles next to each other, which begin where the coarsest level has a pixel.
    """
    axes = []
    for length in shape:
        side = length
        if tile_size is not None:
            side = max(STRIDE, round(tile_size / factor / STRIDE) * STRIDE)
            side = min(side, _MAX_SIDE_PX)
        axes.append(
            [
                slice(first, min(first + side, length))
                for first in range(0, length, side)
            ]
        )
    return [(rows, cols) for rows in axes[0] for cols in axes[1]]


@torch.inference_mode()
def probabilities(network, seen, window, n_views):
    """Compute the probabilities of the classes in a window.

    Parameters
    ----------
    network : UNet
        The network, in evaluation mode.
    seen : NetImage
        The image.
    window : tuple of slice
        Rows and columns at the scale of the network.
    n_views : int
        Number of rotated and mirrored views that are averaged.

    Returns
    -------
    probability : ndarray of shape (3, n_window_rows, n_window_cols), float32
        Of background, A and B.
    """
    aligned = tuple(
        slice(part.start // STRIDE * STRIDE, -(-part.stop // STRIDE) * STRIDE)
        for part in window
    )
    wider = grow(aligned, _MARGIN, seen.shape)
    device = next(network.parameters()).device
    part = torch.from_numpy(seen.part(wider)).to(device)[None, None]
    height, width = part.shape[-2:]
    # Padded, so that coarse pixels are at the same places in all views.
    part = functional.pad(part, (0, -width % STRIDE, 0, -height % STRIDE))
    total = 0
    for quarters, mirror in _VIEWS[:n_views]:
        view = torch.rot90(part.flip(3) if mirror else part, quarters, (2, 3))
        view = network(view.contiguous(memory_format=torch.channels_last))
        view = torch.rot90(view.softmax(1), -quarters, (2, 3))
        total = total + (view.flip(3) if mirror else view)
    rows, cols = inner(window, wider)
    return (total / n_views)[0, :, rows, cols].cpu().numpy()


def grow(window, margin, shape):
    """Grow a window by a margin as far as the image goes."""
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, length))
        for part, length in zip(window, shape, strict=True)
    )


def inner(window, wider):
    """Return the slices of a wider window that contain a window."""
    return tuple(
        slice(part.start - whole.start, part.stop - whole.start)
        for part, whole in zip(window, wider, strict=True)
    )
