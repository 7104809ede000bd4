"""An image with its good pixels, spacing, sigma, noise, unit and binning."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .noise import NoiseModel
from .pixels import bin_image, binned_scale

# Standard deviations of images that float32 represents without loss: others are divided
# by a power of two.
_MIN_STD, _MAX_STD = 1e-2, 1e5


class ImageStatistics(NamedTuple):
    """Statistics of the pixels and columns of an image as a whole.

    Parameters
    ----------
    noise : NoiseModel
        Pixel variance.
    level : float
        Background of the median column.
    misfit : float
        Mean squared residual of the median column's pixels, in pixel variances.
    span : tuple of float
        Lowest and highest value of pixels that are not hot.
    stretch : tuple of float, default=(0.0, 0.0)
        Stretch that all columns have in common, due to astigmatism, drift or vibration:
        the logarithm of the ratio of the axes, and twice the angle of the long axis, as
        a vector.
    """

    noise: NoiseModel
    level: float
    misfit: float
    span: tuple
    stretch: tuple = (0.0, 0.0)

    def summed(self, n_pixels):
        """Return the statistics of sums of pixels, or of pixels for ``1 / n_pixels``.

        Parameters
        ----------
        n_pixels : float
            Number of pixels in a sum.

        Returns
        -------
        statistics : ImageStatistics
            The statistics for white noise.
        """
        noise = self.noise
        return self._replace(
            noise=noise._replace(
                constant=noise.constant * n_pixels, offset=noise.offset * n_pixels
            ),
            level=self.level * n_pixels,
            # Deviations of columns from their profile add up coherently.
            misfit=1 + (self.misfit - 1) * n_pixels,
            span=tuple(end * n_pixels for end in self.span),
        )


@dataclass(frozen=True, eq=False)
class ImageContext:
    """An image, a tile or a sample of it, with its properties.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32, divided by `unit`.
    mask : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px of `image`.
    statistics : ImageStatistics or None, default=None
        Noise, level and stretch; None if they are not known yet.
    unit : float, default=1.0
        Number by which the values of the original image were divided.
    binning : int, default=1
        Side of the bins in which columns are detected, px.
    max_iter : int, default=100
        Maximum number of iterations of a joint fit of columns that overlap.
    """

    image: np.ndarray
    mask: np.ndarray | None
    spacing: float
    sigma: float
    statistics: ImageStatistics | None = None
    unit: float = 1.0
    binning: int = 1
    max_iter: int = 100

    @property
    def shape(self):
        """Number of rows and columns of pixels."""
        return self.image.shape

    @property
    def noise(self):
        """Noise model of the pixels."""
        return self.statistics.noise

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def crop(self, window):
        """Return the context of a window of the pixels, a tuple of slices."""
        mask = None if self.mask is None else self.mask[window]
        if mask is not None and mask.all():
            mask = None
        return self.replace(image=self.image[window], mask=mask)

    def without(self, tails, mean):
        """Return the context of the image minus the tails of its columns.

        Parameters
        ----------
        tails : ndarray of shape (n_rows, n_cols)
            The tails; the noise remains that of the image.
        mean : float
            Mean of the tails over the whole image.
        """
        statistics = self.statistics
        if statistics is not None:
            noise = statistics.noise
            more = noise.slope * mean
            noise = noise._replace(constant=noise.constant + more)
            statistics = statistics._replace(noise=noise)
        return self.replace(image=self.image - tails, statistics=statistics)

    def binned(self):
        """Return the context of the image in bins; bins are sums of pixels."""
        side = self.binning
        spacing, sigma = binned_scale(self.spacing, self.sigma, side)
        statistics = self.statistics
        return self.replace(
            image=bin_image(self.image, side),
            spacing=spacing,
            sigma=sigma,
            statistics=None if statistics is None else statistics.summed(side**2),
            binning=1,
        )


def image_unit(image):
    """Choose the power of two that brings an image into the range of float32.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, for instance currents in ampere.

    Returns
    -------
    unit : float
        Divisor; 1 for counts.
    """
    step = tuple(slice(None, None, -(-length // 256)) for length in image.shape)
    scale = float(np.std(image[step], dtype=np.float64))
    if _MIN_STD < scale < _MAX_STD or scale == 0:
        return np.float32(1)
    return np.float32(2.0 ** np.round(np.log2(scale)))
