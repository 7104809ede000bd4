"""Detection of columns in an image whose noise is known.

Columns are detected twice: peaks of the blob response in the image, and fainter ones in
the residual of a preliminary fit. Where columns overlap, others follow from the
lattice.
"""

from typing import NamedTuple

import numpy as np

from ..._lattice.neighbors import brightest_near, is_free
from .._fitting.column_fit import fit_columns
from .._fitting.column_state import OVERLAP_SIGMA_SPACINGS
from .._fitting.columns import ColumnFit, ColumnTable
from .._fitting.windows import render_columns
from .._image.filters import (
    NEIGHBOR_REACH_SPACINGS,
    blob_response,
    filter_sigma,
    find_peaks,
    local_mean,
    noise_response,
)
from .._image.noise import NoiseModel
from .._image.pixels import at_pixels, on_image
from .lattice_continuation import fill_lattice
from .selection import min_candidate_significance, select_columns
from .settings import DETECTION

# Peaks are candidates from this share of the significance of columns on: a fit measures
# them better than the filter.
CANDIDATE_SHARE = 0.6
# Columns of this relative brightness are fitted first.
FIRST_THRESHOLD = 0.1

_SETTINGS = DETECTION.detect


class PreliminaryFit(NamedTuple):
    """A first fit of the columns of an image, and the residual image.

    Parameters
    ----------
    fit : ColumnFit
        The columns, with amplitudes in units of `Calibration.unit`.
    significance : ndarray of shape (n,) or None
        Their signal to noise ratios, for white noise; infinite for clear columns; None
        if unknown.
    residual : ndarray of shape (n_rows, n_cols)
        The image minus these columns.
    response : ndarray of shape (n_rows, n_cols)
        Response of the blob filter to the residual.
    """

    fit: ColumnFit
    significance: np.ndarray
    residual: np.ndarray
    response: np.ndarray

    def crop(self, window, side, reach):
        """Return the part in a window of pixels, with columns up to a reach in bins."""
        window = tuple(
            slice(part.start // side, -(-part.stop // side)) for part in window
        )
        residual, response = self.residual[window], self.response[window]
        positions = self.fit.positions - [part.start for part in window]
        own = np.flatnonzero(on_image(positions, residual.shape, -reach))
        fit = self.fit.at(positions).take(own)
        return PreliminaryFit(fit, self.significance[own], residual, response)


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


def detect_columns(context, calibration, threshold, profile):
    """Detect columns: bright ones, others in the residual, then in the lattice.

    Parameters
    ----------
    context : ImageContext
        The image; it is not binned further.
    calibration : Calibration
        Noise and detection limit of the image.
    threshold : float
        Faintest column kept, as a share of the brightest nearby.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    columns : ColumnFit
        The selected columns after a preliminary fit.
    """
    preliminary = _fit_preliminarily(context, calibration, threshold, profile)
    extra = _detect_in_residual(context, calibration, preliminary, threshold)
    candidates = preliminary.fit.append(extra)
    columns = select_columns(context, calibration, candidates, preliminary.significance)
    if context.sigma > OVERLAP_SIGMA_SPACINGS * context.spacing:
        response = preliminary.response
        columns = fill_lattice(context, calibration, columns, response, profile)
    return columns


def detect_peaks(context, calibration, threshold):
    """Detect the peaks of the blob response that may be columns.

    Parameters
    ----------
    context, calibration, threshold
        As in `detect_columns`.

    Returns
    -------
    peaks : ColumnTable
        The peaks on good pixels, as columns of the typical sigma.
    """
    blob_sigma = filter_sigma(context.spacing, context.sigma)
    response = blob_response(context.image, blob_sigma)
    significance = CANDIDATE_SHARE * calibration.min_significance
    limit = DetectionThreshold.of(context, calibration.inflation, significance)
    positions, height = find_peaks(
        response, context.spacing, threshold, limit, limit.minimum()
    )
    peaks = ColumnTable.at_peaks(context.image, positions, height, context.sigma)
    if context.mask is not None:
        peaks = peaks.take(at_pixels(context.mask, positions))
    return peaks


def _fit_preliminarily(context, calibration, threshold, profile):
    """Return a preliminary fit of the brightest columns and its residual."""
    is_separated = context.sigma < _SETTINGS.separated_sigma_spacings * context.spacing
    first_threshold = max(threshold, FIRST_THRESHOLD) if is_separated else threshold
    if calibration.preliminary is not None and first_threshold == FIRST_THRESHOLD:
        return calibration.preliminary
    peaks = detect_peaks(context, calibration, first_threshold)
    fit = fit_columns(context, peaks, profile=profile, preliminary=True)
    residual = context.image - render_columns(context.shape, fit.table, context.sigma)
    response = blob_response(residual, filter_sigma(context.spacing, context.sigma))
    return PreliminaryFit(fit, None, residual, response)


def _detect_in_residual(context, calibration, preliminary, threshold):
    """Return the peaks of the residual of a preliminary fit that may be columns."""
    spacing = context.spacing
    least = min_candidate_significance(calibration)
    limit = DetectionThreshold.of(context, calibration.inflation, least)
    positions, height = find_peaks(
        preliminary.response,
        spacing,
        _SETTINGS.residual_threshold,
        limit,
        limit.minimum(),
    )
    known = preliminary.fit.table
    reach = NEIGHBOR_REACH_SPACINGS * spacing
    brightest = brightest_near(known.positions, known.amplitude, positions, reach)
    is_peak = height > threshold * brightest
    if least < calibration.min_significance:
        height_limit = calibration.min_significance * limit(
            *np.rint(positions.T).astype(np.intp)
        )
        is_clear = least * height > height_limit
        is_peak &= is_clear | is_free(positions, height, known.positions, spacing)
    if context.mask is not None:
        is_peak &= at_pixels(context.mask, positions)
    positions, height = positions[is_peak], height[is_peak]
    reach = _SETTINGS.level_reach_spacings * spacing
    around = local_mean(preliminary.residual, positions, reach)
    # The mean without the candidate's own part.
    own = context.sigma**2 / (context.sigma**2 + reach**2)
    return ColumnTable.make(height, positions, context.sigma, around - own * height)
