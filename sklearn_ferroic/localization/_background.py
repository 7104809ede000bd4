"""The smooth background under all columns.

Where columns overlap, a background of its own for each column would let all widths
drift together: wider columns, lower backgrounds, wider columns. One smooth field
under all of them cannot. It is a local weighted regression of the image on a
constant, the model of the columns, and the model's change if all columns nearby
grew or widened together; the last two are handed back as corrections, for steps of
single columns approach them only slowly.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

# The field averages over this many spacings (standard deviation).
_SMOOTHING = 1.25
# Pixels are binned to this many bins a spacing.
_BINS_PER_SPACING = 3
# A bin of the first, fine binning is at most sigma over this.
_PIXELS_PER_BIN = 1.2
_MAX_CORRECTION = 0.3
_RIDGE = 1e-3


class Background(NamedTuple):
    """Background of one image on a coarse grid.

    Parameters
    ----------
    level : ndarray of shape (n_coarse_rows, n_coarse_cols)
        Background.
    growth, widening : ndarray of shape (n_coarse_rows, n_coarse_cols)
        Change of log amplitude and of log sigma that the columns nearby ask for.
    binning : int
        Side of a coarse pixel, px.
    """

    level: np.ndarray
    growth: np.ndarray
    widening: np.ndarray
    binning: int

    def at(self, positions):
        """Sample level, its slope, growth and widening at columns.

        Parameters
        ----------
        positions : ndarray of shape (n, 2)
            Columns, px.

        Returns
        -------
        level, growth, widening : ndarray of shape (n,)
            The fields.
        slope : ndarray of shape (n, 2)
            Slope of the level along rows and columns, per px.
        """
        place = ((positions - (self.binning - 1) / 2) / self.binning).T
        slope = [np.gradient(self.level, axis=axis) / self.binning for axis in (0, 1)]
        level, growth, widening, down, along = (
            map_coordinates(field, place, order=1, mode="nearest")
            for field in (self.level, self.growth, self.widening, *slope)
        )
        return level, growth, widening, np.stack([down, along], axis=1)


def fit_background(image, total, spread, weight, spacing, width):
    """Fit the smooth background under a model of columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    total : ndarray of shape (n_rows, n_cols)
        All columns' Gaussians.
    spread : ndarray of shape (n_rows, n_cols)
        Change of `total` with the logarithm of all sigmas.
    weight : ndarray of shape (n_rows, n_cols)
        Inverse variance of the pixels.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.

    Returns
    -------
    background : Background
        The fields.
    """
    # Products of finely binned images, binned further: columns stay resolved.
    fine = max(1, int(width / _PIXELS_PER_BIN))
    coarse = max(1, int(spacing / _BINS_PER_SPACING / fine))
    binning = fine * coarse
    smoothing = _SMOOTHING * spacing / binning
    images = np.stack([image - total, total, spread, weight, np.ones_like(image)])
    residual, total, spread, weight, n_pixels = _bin(images, fine)
    # Moments of the regression on (1, total, spread): the upper triangle of the
    # matrix row by row, then the right-hand side.
    regressors = np.stack([n_pixels, total, spread]) / n_pixels
    weighted = weight * regressors
    products = [weighted[i] * regressors[j] for i in range(3) for j in range(i, 3)] + [
        weighted[i] * residual / n_pixels for i in range(3)
    ]
    moments = _bin(np.stack(products), coarse).astype(np.float64)
    smooth = _smooth(moments, smoothing)
    triangle = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])
    matrix = np.moveaxis(smooth[triangle], (0, 1), (-2, -1))
    right = np.moveaxis(smooth[6:], 0, -1)
    for i in (1, 2):
        diagonal = matrix[..., i, i]
        diagonal += _RIDGE * diagonal + 1e-6 * diagonal.max() + 1e-30
    matrix[..., 0, 0] += 1e-30
    level, growth, widening = np.moveaxis(
        np.linalg.solve(matrix, right[..., None])[..., 0], -1, 0
    )
    growth = np.clip(growth, -_MAX_CORRECTION, _MAX_CORRECTION)
    widening = np.clip(widening, -_MAX_CORRECTION, _MAX_CORRECTION)
    # Once more on what is left, or slopes would be flattened, first at the border.
    left = moments[6] - moments[1] * growth - moments[2] * widening
    for _ in range(2):
        rest = _smooth(left - moments[0] * level, smoothing)
        level = level + rest / np.maximum(smooth[0], 1e-30)
    return Background(level, growth, widening, binning)


def _bin(images, side):
    """Sum square blocks of images; the last ones may be cut."""
    for axis in (-2, -1):
        length = images.shape[axis]
        shape = list(images.shape)
        shape[axis] = -(-length // side)
        binned = np.zeros(shape, dtype=images.dtype)
        for first in range(min(side, length)):
            part = (
                images[..., first::side, :] if axis == -2 else images[..., first::side]
            )
            place = (..., slice(part.shape[-2]), slice(part.shape[-1]))
            binned[place] += part
        images = binned
    return images


def _smooth(moments, sigma):
    return gaussian_filter(moments, sigma, mode="constant", truncate=3, axes=(-2, -1))
