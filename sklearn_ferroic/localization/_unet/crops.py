"""Crops of labelled images at the network's scale, and batches of them."""

from typing import NamedTuple

import numpy as np
import torch

from ..._torch.training import IndexBatches
from .network_image import (
    NET_SPACING_PX,
    local_deviation,
    net_length,
    normalize,
    resample,
)
from .settings import UNET

_SETTINGS = UNET.crops


class Crops(NamedTuple):
    """Squares of images with the classes of their pixels.

    Parameters
    ----------
    contrast : ndarray of float16 of shape (n, side, side)
        What the network sees.
    classes : ndarray of uint8 of shape (n, side, side)
        Expected classes.
    """

    contrast: np.ndarray
    classes: np.ndarray


def cut_crops(images, labels, spacings, *, side, n_scales, random_state):
    """Cut labelled images into squares, at several magnifications.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    labels : list of Labels
        Their columns.
    spacings : list of float
        Nearest-neighbour spacing of each, px.
    side : int
        Side of the squares, px of the network.
    n_scales : int
        At how many magnifications each image is shown.
    random_state : RandomState
        Draws the magnifications.

    Returns
    -------
    crops : Crops
        Squares side by side, image by image and there from top to bottom.
    """
    parts = []
    for image, label, spacing in zip(images, labels, spacings, strict=True):
        for scale in _draw_scales(n_scales, random_state):
            factor = spacing / (NET_SPACING_PX * scale)
            parts += _cut(image, label, factor, side)
    contrast, classes = zip(*parts, strict=True)
    return Crops(np.stack(contrast), np.stack(classes))


def _draw_scales(n_scales, random_state):
    near = random_state.uniform(size=n_scales) < _SETTINGS.near_probability
    wide = random_state.uniform(*np.log(_SETTINGS.wide_ratio_range), n_scales)
    return np.exp(
        np.where(near, _SETTINGS.near_share * random_state.normal(size=n_scales), wide)
    )


def _cut(image, label, factor, side):
    shape = [net_length(length, factor) for length in image.shape]
    net = resample(image, factor, tuple(slice(0, length) for length in shape))
    _, deviation = local_deviation(net)
    contrast = normalize(net, np.sqrt(np.mean(deviation**2, dtype=np.float64)))
    classes = label.classes(image.shape, factor)
    short = [(0, max(side - length, 0)) for length in shape]
    contrast = np.pad(contrast.astype(np.float16), short)
    classes = np.pad(classes, short)
    rows, cols = (_starts(length, side) for length in contrast.shape)
    return [
        (window(contrast, row, col, side), window(classes, row, col, side))
        for row in rows
        for col in cols
    ]


def window(image, row, col, side):
    """Cut one square."""
    return image[row : row + side, col : col + side]


def _starts(length, side):
    """Return first pixels of squares that cover a side, spread evenly."""
    n_squares = max(1, round(length / side))
    return np.rint(np.linspace(0, length - side, n_squares)).astype(int)


class CropBatches:
    """Batches of a skorch dataset's subset of crops, augmented for each pass.

    Parameters
    ----------
    subset : torch.utils.data.Subset
        Of a dataset whose `X` contains the contrast and whose `y` the classes.
    batch_size : int
        Largest number of crops in a batch.
    random_state : RandomState, default=None
        Shuffles, rotates, mirrors and changes the crops; None leaves them as they are.
    """

    def __init__(self, subset, batch_size, random_state=None):
        self.contrast, self.classes = subset.dataset.X, subset.dataset.y
        self.rows = IndexBatches(subset, batch_size, random_state)
        self.random_state = random_state

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        for rows in self.rows:
            contrast = torch.from_numpy(self.contrast[rows].astype(np.float32))
            classes = torch.from_numpy(self.classes[rows].astype(np.int64))
            if self.random_state is not None:
                contrast, classes = self._change(contrast, classes)
            yield contrast[:, None], classes

    def _change(self, contrast, classes):
        """Rotate and mirror a batch as one, change gain and noise crop by crop."""
        draw = self.random_state
        quarters, mirror = draw.randint(4), draw.randint(2)
        contrast, classes = (
            torch.rot90(part.flip(2) if mirror else part, quarters, (1, 2))
            for part in (contrast, classes)
        )
        n_crops = len(contrast)
        gain = np.exp(0.15 * draw.normal(size=(n_crops, 1, 1)))
        noise = np.maximum(0.25 * draw.normal(size=(n_crops, 1, 1)), 0)
        noise = noise * draw.standard_normal(contrast.shape)
        contrast = contrast * torch.from_numpy(gain.astype(np.float32))
        return contrast + torch.from_numpy(noise.astype(np.float32)), classes
