"""The variance of pixels, learned from the residual of a fit."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

# Integer images whose variance is between these multiples of the mean are counts.
_POISSON_DISPERSION = (0.75, 1.35)

# Bins of mean in which the variance is taken, and pixels in each.
_N_BINS = 16
_MIN_BIN = 100
# Standard deviations that counts do not deviate by.
_WILD = 6


class NoiseModel(NamedTuple):
    """Pixel variance ``constant + slope * max(mean - offset, 0)``."""

    constant: float
    slope: float
    offset: float

    @property
    def is_of_counts(self):
        """Whether this is the variance of counts."""
        return self.slope == 1 and self.offset == 0

    @property
    def darkest(self):
        """Least mean that a pixel can have."""
        return self.offset if self.slope > 0 else -np.inf

    def variance(self, mean, out=None):
        """Variance of pixels of given mean; `out` is an array to write it to."""
        floor = np.float32(self.constant)
        if self.slope == 1:
            variance = np.add(mean, np.float32(self.constant - self.offset), out=out)
        else:
            variance = np.multiply(mean, np.float32(self.slope), out=out)
            variance += np.float32(self.constant - self.slope * self.offset)
        return np.maximum(variance, floor, out=variance)


def guess_noise(image):
    """Guess the variance of pixels before there is a model of the image.

    Parameters
    ----------
    image : ndarray
        Pixels.

    Returns
    -------
    noise : NoiseModel
        That of counts if the image may be in counts, or a constant.
    """
    if not _may_be_counts(image):
        return NoiseModel(1.0, 0.0, 0.0)
    return NoiseModel(max(1e-2 * float(image.mean()), 1e-6), 1.0, 0.0)


def _may_be_counts(values):
    return bool(values.min() >= 0 and (values == np.rint(values)).all())


def estimate_noise(values, mean, share_free):
    """Learn how the variance of pixels grows with their mean.

    Images in counts (non-negative integers with about Poisson dispersion) get
    exactly ``variance = mean``; others a constant plus a slope.

    Parameters
    ----------
    values : ndarray of shape (n_pixels,)
        Pixels of the image.
    mean : ndarray of shape (n_pixels,)
        What the model makes of them.
    share_free : float
        Degrees of freedom a pixel, less than 1 as the model was fitted to them.

    Returns
    -------
    noise : NoiseModel
        The variance.
    """
    square = (values - mean) ** 2 / share_free
    if _may_be_counts(values):
        # A few hot pixels make no other image of it.
        tame = np.minimum(square, _WILD**2 * np.maximum(mean, 1))
        dispersion = tame.sum() / max(mean.sum(), 1e-12)
        if _POISSON_DISPERSION[0] < dispersion < _POISSON_DISPERSION[1]:
            return NoiseModel(max(1e-3 * float(mean.mean()), 1e-6), 1.0, 0.0)
    return _affine_noise(mean, square)


def _affine_noise(mean, square):
    n_bins = int(np.clip(len(mean) / _MIN_BIN, 2, _N_BINS))
    parts = np.array_split(np.argsort(mean, kind="stable"), n_bins)
    parts = [part for part in parts if part.size]
    level = np.array([mean[part].mean() for part in parts], dtype=np.float64)
    # A few wild pixels (a missed column) must not set a bin's variance.
    bins = [square[part] for part in parts]
    power = np.array([np.minimum(b, 12 * np.median(b) + 1e-30).mean() for b in bins])
    offset = float(level[0])
    floor = max(1e-3 * power.mean(), 1e-12 * float(np.ptp(level)) ** 2, 1e-30)
    power = np.maximum(power, floor)
    design = np.stack([np.ones_like(level), level - offset], axis=1) / power[:, None]
    (constant, slope), _ = nnls(design, np.ones_like(level))
    constant = max(constant, floor, 0.1 * power.min())
    return NoiseModel(float(constant), float(slope), offset)
