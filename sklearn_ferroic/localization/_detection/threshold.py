"""Detection threshold of peaks, and significance of fitted columns."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .._fitting.windows import matched_significance
from .._image.filters import filter_sigma, noise_response
from .._image.noise import NoiseModel
from .selection import CLEAR_SIGNIFICANCE

# Peaks are candidates from this share of the significance of columns on: a fit measures
# them better than the filter.
CANDIDATE_SHARE = 0.6


@dataclass(frozen=True)
class _ThresholdSettings:
    """Settings of the detection threshold and significance, with their reasons."""

    # Amplitudes above this multiple of CLEAR_SIGNIFICANCE standard errors need no
    # second test, for columns whose sigma differs from the typical one by no more
    # than the tolerance below (natural logarithm).
    sure_multiple: float = 2.5
    max_log_sigma_ratio: float = 0.3
    # Sigmas of the filters that faint columns are matched with, in units of that of
    # the bright ones: columns of light atoms are narrower.
    filter_sigma_ratios: tuple = (1.0, 0.7)
    # Columns this many sigmas apart do not overlap.
    overlap_sigma: int = 8


_SETTINGS = _ThresholdSettings()


class DetectionThreshold(NamedTuple):
    """Height of peaks of the blob response in terms of the noise around them.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    n_std : float
        Threshold in standard deviations of the pixels.
    sigma : float
        Typical sigma, px: the mean is taken over pixels up to there.
    noise : NoiseModel
        Pixel variance.
    """

    image: np.ndarray
    n_std: float
    sigma: float
    noise: NoiseModel

    @classmethod
    def of(cls, context, inflation, significance=1.0, blob_sigma=None):
        """Return the threshold for a significance of the blob response.

        Parameters
        ----------
        context : ImageContext
            The image and its noise.
        inflation : float
            Noise in the band of the columns over white noise.
        significance : float, default=1.0
            Signal to noise ratio of the response.
        blob_sigma : float, default=None
            Sigma of the blob filter, px; the usual one if None.
        """
        if blob_sigma is None:
            blob_sigma = filter_sigma(context.spacing, context.sigma)
        n_std = noise_response(blob_sigma) * inflation * significance
        return cls(context.image, n_std, context.sigma, context.noise)

    def __call__(self, row, col):
        """Return the threshold at pixels."""
        reach = max(1, round(self.sigma))
        steps = range(-reach, reach + 1)
        rows, cols = (
            [np.clip(place + step, 0, length - 1) for step in steps]
            for place, length in zip((row, col), self.image.shape, strict=True)
        )
        mean = np.zeros(len(row))
        for near_row in rows:
            for near_col in cols:
                mean += self.image[near_row, near_col]
        return self.n_std * np.sqrt(self.noise.variance(mean / len(steps) ** 2))

    def minimum(self):
        """Return a lower bound of the threshold anywhere in the image."""
        darkest = np.array([self.image.min()], dtype=np.float64)
        return 0.999 * self.n_std * float(np.sqrt(self.noise.variance(darkest)[0]))

    def significance(self, table):
        """Return the heights of candidate columns in units of the threshold."""
        row, col = np.rint(table.positions).astype(np.intp).T
        return table.amplitude / self(row, col)


def significance_of(context, fit, inflation, known=None, model=None):
    """Compute the signal to noise ratios of columns that are not clear.

    Parameters
    ----------
    context : ImageContext
        The image and its noise.
    fit : ColumnFit
        The columns.
    inflation : float
        Noise in the band of the columns over white noise.
    known : ndarray of shape (n_known,), default=None
        Those of the first columns, if others have been added since.
    model : ndarray of shape (n_rows, n_cols), default=None
        Sum of all columns, if it is known.

    Returns
    -------
    significance : ndarray of shape (n,)
        Amplitude over its standard error, for columns of the typical sigma with all
        others subtracted; infinite for clear columns.
    """
    table, sigma = fit.table, context.sigma
    least = _SETTINGS.sure_multiple * CLEAR_SIGNIFICANCE * inflation * fit.std.amplitude
    is_sure = table.amplitude > least
    is_sure &= table.background >= context.noise.darkest
    # Maxima of noise between columns may be fitted as wide columns on deep backgrounds.
    is_sure &= np.abs(np.log(table.sigma / sigma)) < _SETTINGS.max_log_sigma_ratio
    significance = np.full(len(is_sure), np.inf)
    if known is not None:
        significance[: len(known)] = known
        is_sure[: len(known)] = True
    doubtful = np.flatnonzero(~is_sure)
    if doubtful.size:
        # With all columns that may overlap them.
        distance, _ = cKDTree(table.positions[doubtful]).query(
            table.positions, distance_upper_bound=_SETTINGS.overlap_sigma * sigma
        )
        near = np.flatnonzero(np.isfinite(distance))
        matched = np.max(
            [
                matched_significance(context, table.take(near), ratio * sigma, model)
                for ratio in _SETTINGS.filter_sigma_ratios
            ],
            axis=0,
        )
        is_doubtful = np.isfinite(significance[near]) | ~is_sure[near]
        significance[near[is_doubtful]] = matched[is_doubtful]
    return significance
