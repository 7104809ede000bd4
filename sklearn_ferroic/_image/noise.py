"""Pixel noise: variance as an affine function of the mean, estimated from the image.

Detectors that count electrons, and detectors with a gain, an offset and read noise, all
have a variance of ``constant + slope * mean``. Both terms are estimated, never assumed:
an image and the same image times a gain plus an offset have the same signal to noise.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import minimum_filter, uniform_filter
from scipy.optimize import nnls

from .settings import IMAGE

_SETTINGS = IMAGE.noise


class NoiseModel(NamedTuple):
    """Pixel variance ``constant + slope * (mean - offset)``, at least a small positive.

    Parameters
    ----------
    constant : float
        Variance of the pixels of the darkest regions that the noise was estimated in.
    slope : float
        Increase of the variance with the mean, at least 0: the gain of the detector.
    offset : float
        Mean of those pixels.
    """

    constant: float
    slope: float
    offset: float

    @property
    def least(self):
        """Minimum variance of a pixel of any mean."""
        return _SETTINGS.min_variance_share * self.constant

    @property
    def darkest(self):
        """Minimum mean of a pixel: that of no electrons, if all noise is shot noise."""
        if self.slope == 0:
            return -np.inf
        return self.offset - (self.constant - self.least) / self.slope

    def variance(self, mean, out=None):
        """Return the variance of pixels of given mean, written to `out` if given."""
        variance = np.multiply(mean, np.float32(self.slope), out=out)
        variance += np.float32(self.constant - self.slope * self.offset)
        return np.maximum(variance, np.float32(self.least), out=variance)

    def deviance(self, values, mean):
        """Compute the quasi-deviance of pixels from their means.

        It is the integral of ``2 (t - value) / variance(t)`` from the value to the
        mean: the squared residual over the variance where that hardly changes [1]_.

        Parameters
        ----------
        values, mean : ndarray of float64 of shape (n_rows, n_cols)
            Pixels and their expected values.

        Returns
        -------
        deviance : ndarray of shape (n_rows, n_cols)
            At least 0.

        References
        ----------
        .. [1] R. W. M. Wedderburn, "Quasi-likelihood functions, generalized linear
           models, and the Gauss-Newton method", Biometrika 61, 439 (1974).
        """
        if self.slope == 0:
            return (values - mean) ** 2 / self.constant
        # Counted from where the variance would be 0, so that it is the slope times
        # the mean, but for dark pixels.
        shift = self.constant / self.slope - self.offset
        least = self.least / self.slope
        values, mean = values + shift, mean + shift
        bright_values, bright_mean = np.maximum(values, least), np.maximum(mean, least)
        change = (bright_mean - bright_values) / bright_values
        deviance = 2 * bright_values * _excess_over_log(change)
        deviance += 2 * (bright_values - values) * np.log1p(change)
        # Below, the variance is constant.
        dark_values, dark_mean = np.minimum(values, least), np.minimum(mean, least)
        to_both = dark_values + dark_mean - 2 * values
        deviance += (dark_mean - dark_values) * to_both / least
        return deviance / self.slope

    def log_ratio(self, other, levels):
        """Return the largest absolute logarithm of the ratio of the variances."""
        levels = np.asarray(levels, dtype=np.float32)
        return float(
            np.abs(np.log(self.variance(levels) / other.variance(levels))).max()
        )


def _excess_over_log(change):
    """Compute ``change - log(1 + change)``, which is half its square where small."""
    series = change**2 * (0.5 - change / 3 + change**2 / 4)
    return np.where(np.abs(change) < 1e-3, series, change - np.log1p(change))


def guess_noise(image, mask=None):
    """Estimate the pixel noise before there is a model of the image.

    The variance is that of second differences, which white noise dominates where the
    columns are wider than about 1.5 px.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image; of large ones a central strip is used.
    mask : ndarray of bool of shape (n_rows, n_cols), default=None
        Good pixels; all if None.

    Returns
    -------
    noise : NoiseModel
        The estimate. Noise that is correlated between pixels is underestimated, bright
        and narrow columns raise the slope.
    """
    n_rows = max(16, _SETTINGS.n_guess_pixels // image.shape[1])
    first = max(0, (image.shape[0] - n_rows) // 2)
    strip = image[first : first + n_rows].astype(np.float64)
    if mask is not None:
        strip *= mask[first : first + n_rows]
    mean = uniform_filter(strip, _SETTINGS.mean_side_px)[1:-1, 1:-1]
    difference = strip
    for _ in range(2):
        difference = difference[:-2] - 2 * difference[1:-1] + difference[2:]
        difference = difference.T
    square = (difference / _SETTINGS.second_difference_ratio) ** 2
    if mask is not None:
        good = minimum_filter(mask[first : first + n_rows], _SETTINGS.mean_side_px)[
            1:-1, 1:-1
        ]
        mean, square = mean[good], square[good]
        if not mean.size:
            return NoiseModel(1.0, 0.0, 0.0)
    return estimate_noise(mean.ravel(), square.ravel())


def estimate_noise(mean, square):
    """Estimate how the variance of pixels grows with their mean.

    Parameters
    ----------
    mean : ndarray of shape (n_pixels,)
        Expected values of the pixels.
    square : ndarray of shape (n_pixels,)
        Squared residuals, one degree of freedom each.

    Returns
    -------
    noise : NoiseModel
        The estimate, robust against a few outliers.
    """
    n_bins = int(np.clip(len(mean) / _SETTINGS.min_n_bin_pixels, 2, _SETTINGS.n_bins))
    order, first = _bins_of_mean(mean, min(n_bins, len(mean)))
    n_pixels = np.diff(first, append=len(order))
    level = np.add.reduceat(mean[order], first, dtype=np.float64) / n_pixels
    square = square[order].astype(np.float64)
    power = [
        _trimmed_mean(part, _SETTINGS.trimmed_share)
        for part in np.split(square, first[1:])
    ]
    noise = _fit_line(level, power)
    for _ in range(_SETTINGS.n_clipping_rounds):
        # A single count where hardly any is expected is not an outlier.
        limit = _SETTINGS.clip_variances * (noise.variance(level) + noise.slope**2)
        clipped = np.minimum(square, np.repeat(limit, n_pixels))
        noise = _fit_line(level, np.add.reduceat(clipped, first) / n_pixels)
    return noise


def _bins_of_mean(mean, n_bins):
    """Sort pixels into bins of equal size by their mean; ties keep their order.

    Return their order, and the place in it of the first pixel of each bin.
    """
    # Much faster than a stable sort of all pixels.
    order = np.argsort(mean)
    ordered = mean[order]
    size, n_larger = divmod(len(mean), n_bins)
    first = np.arange(n_bins) * size + np.minimum(np.arange(n_bins), n_larger)
    for end in first[1:]:
        value = ordered[end - 1]
        tied = slice(
            np.searchsorted(ordered, value, side="left"),
            np.searchsorted(ordered, value, side="right"),
        )
        order[tied].sort()
    return order, first


def _trimmed_mean(values, share):
    """Return the mean of values without a share of them, the largest ones."""
    n_kept = max(1, int((1 - share) * len(values)))
    return np.partition(values, n_kept - 1)[:n_kept].mean()


def _fit_line(level, power):
    """Fit variances against the levels by a line of non-negative slope."""
    power = np.asarray(power)
    rounding = _SETTINGS.rounding_share * float(np.abs(level).max())
    least = max(_SETTINGS.min_bin_variance_share * power.mean(), rounding**2)
    least = max(least, float(np.finfo(np.float32).tiny))
    power = np.maximum(power, least)
    offset = float(level[0])
    design = np.stack([np.ones_like(level), level - offset], axis=1) / power[:, None]
    weight = np.ones_like(level)
    for _ in range(_SETTINGS.n_reweightings):
        (constant, slope), _ = nnls(design * weight[:, None], weight)
        error = np.abs(design @ [constant, slope] - 1)
        weight = 1 / np.sqrt(np.maximum(error, _SETTINGS.min_error_share))
    return NoiseModel(float(max(constant, least)), float(slope), offset)


def value_span(image, beyond=1):
    """Estimate the range of an image's pixels that are not hot.

    Parameters
    ----------
    image : ndarray
        Pixels.
    beyond : float, default=1
        How far beyond the range between the first and the last per cent of the pixels
        others may be, in units of it.

    Returns
    -------
    span : tuple of float
        Lowest and highest value.
    """
    # Odd: an even step might sample a few columns of pixels only.
    step = max(_SETTINGS.sample_step_px, image.size // _SETTINGS.n_sampled_pixels | 1)
    values = np.sort(image.flat[::step])
    n_hot = len(values) // 100
    low, high = float(values[n_hot]), float(values[-1 - n_hot])
    margin = beyond * (high - low)
    return low - margin, high + margin
