"""Calibration of an image: its noise, and the significance and height of its columns.

A sample of a large image is enough: squares of it, stacked with gaps between them.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree

from ..._image.context import ImageContext, ImageStatistics, image_unit
from ..._image.filters import (
    NEIGHBOR_REACH_SPACINGS,
    blob_response,
    filter_sigma,
    find_peaks,
    noise_response,
    smooth,
)
from ..._image.noise import value_span
from ..._image.pixels import (
    bin_image,
    binned_scale,
    choose_binning,
    unbin_sigma,
)
from ..._image.tiles import Blocks
from ..._lattice.neighbors import Crowding
from .._fitting.column_fit import (
    NOISE_LOG_TOLERANCE,
    SIGMA_SCATTER_SHARE,
    fit_columns_and_statistics,
    typical_sigma,
)
from .._fitting.column_state import OVERLAP_SIGMA_SPACINGS
from .._fitting.columns import ColumnTable
from .._fitting.profiles import ROUND_GAUSSIAN
from .._fitting.settings import FITTING
from .._fitting.windows import render_columns
from .lattice_continuation import append_outer_columns
from .locate import (
    CANDIDATE_SHARE,
    FIRST_THRESHOLD_SHARE,
    PreliminaryFit,
    detect_columns,
)
from .selection import (
    CLEAR_STD,
    DetectionThreshold,
    measure_crowding,
    significance_of,
)
from .settings import DETECTION

# Columns have at least this share of the height of the brightest ones of the image.
MIN_HEIGHT_SHARE = 0.02


_SETTINGS = DETECTION.calibration


class Calibration(NamedTuple):
    """Properties of an image that are estimated before its columns are located.

    Parameters
    ----------
    statistics : ImageStatistics
        Statistics of its pixels and columns.
    inflation : float
        Noise in the band of the columns over white noise of the same variance:
        detectors correlate neighbouring pixels, and columns are not quite Gaussian.
    min_significance : float
        Signal to noise ratio from which a candidate is a column.
    unit : float, default=1.0
        Power of two by which the image was divided.
    binning : int, default=1
        Side of the bins in which columns are detected, px.
    preliminary : PreliminaryFit or None
        Preliminary fit of the columns of the binned image in that unit, if any.
    crowding : Crowding, default=Crowding()
        Minimum distances between columns.
    min_height : float, default=0.0
        Minimum height of a column anywhere in the binned image.
    widening : float, default=1.0
        Typical sigma after a search for columns that others hide, over that before.
    """

    statistics: ImageStatistics
    inflation: float
    min_significance: float
    unit: float = 1.0
    binning: int = 1
    preliminary: PreliminaryFit | None = None
    crowding: Crowding = Crowding()
    min_height: float = 0.0
    widening: float = 1.0

    @property
    def noise(self):
        """Noise model of the pixels."""
        return self.statistics.noise

    def apply(self, context):
        """Return the context of the image, or of a part of it, as it is calibrated.

        Parameters
        ----------
        context : ImageContext
            The image, in its own unit and with the sigma before the calibration.
        """
        image = context.image / self.unit if self.unit != 1 else context.image
        return context.replace(
            image=image,
            sigma=context.sigma * self.widening,
            statistics=self.statistics,
            unit=self.unit,
            binning=self.binning,
        )


def calibrate(context, profile=ROUND_GAUSSIAN):
    """Estimate the noise of an image from a sample of it, or all of a small one.

    Parameters
    ----------
    context : ImageContext
        The image, in its own unit and without statistics.
    profile : ColumnProfile, default=ROUND_GAUSSIAN
        Profile of the columns.

    Returns
    -------
    calibration : Calibration or None
        None if the sample shows no columns.
    """
    unit, span = image_unit(context.image), value_span(context.image)
    sample, start = _sample(context, unit)
    if not len(start):
        return None
    fit, stretch = _fit_with_stretch(sample.context, start, profile)
    calibration = _conclude(sample, fit, start)
    sigma, spacing = sample.context.sigma, sample.context.spacing
    if sigma > OVERLAP_SIGMA_SPACINGS * spacing:
        # Columns that the first fit misses, or displaces, count as noise.
        fit, calibration, found = _search_and_fit(
            sample, fit, calibration, profile, stretch
        )
        widening = unbin_sigma(found, sample.binning) / context.sigma
        calibration = calibration._replace(widening=float(np.fmax(1, widening)))
    statistics = fit.statistics.summed(1 / sample.binning**2)
    statistics = statistics._replace(span=(span[0] / unit, span[1] / unit))
    return calibration._replace(
        statistics=statistics, unit=unit, binning=sample.binning
    )


class _Sample(NamedTuple):
    """A binned image or the sample of it that is calibrated."""

    context: ImageContext
    blob_sigma: float
    is_whole: bool
    binning: int


def _sample(context, unit):
    """Bin an image, or a sample of its blocks; detect its bright columns."""
    image, mask = context.image, context.mask
    is_whole = (
        mask is None
        and image.size <= _SETTINGS.max_whole_square_spacings * context.spacing**2
    )
    # Bins that a mask cuts would displace the columns near it.
    side = choose_binning(context.spacing, context.sigma) if mask is None else 1
    spacing, sigma = binned_scale(context.spacing, context.sigma, side)
    blob_sigma = filter_sigma(spacing, sigma)
    if is_whole:
        image = bin_image(image, side) / unit
        response = blob_response(image, blob_sigma)
    else:
        image, mask, response = Blocks(image, context.spacing).sample(
            image, mask, side, lambda part: blob_response(part / unit, blob_sigma)
        )
        image = image / unit
    peaks = find_peaks(response, spacing, FIRST_THRESHOLD_SHARE, mask=mask)
    start = ColumnTable.at_peaks(image, *peaks, sigma)
    context = ImageContext(image, mask, spacing, sigma, unit=unit)
    return _Sample(context, blob_sigma, is_whole, side), start


def _fit_with_stretch(context, table, profile):
    """Fit columns until their common stretch has converged."""
    stretch, change = np.zeros(2), np.zeros(2)
    for _ in range(_SETTINGS.max_n_stretch_rounds):
        fit = fit_columns_and_statistics(
            context, table, profile=profile, preliminary=True, stretch=tuple(stretch)
        )
        before, change = change, fit.statistics.stretch - stretch
        table = fit.table.with_profile(ROUND_GAUSSIAN)
        stretch = np.array(fit.statistics.stretch)
        if np.hypot(*change) < _SETTINGS.stretch_log_tolerance:
            break
        # Each fit of overlapping columns shows a part of the stretch only.
        ratio = float(change @ before / max(before @ before, 1e-12))
        if ratio > _SETTINGS.slow_ratio:
            ratio = min(ratio, _SETTINGS.max_slow_ratio)
            stretch = stretch + ratio / (1 - ratio) * change
    return fit, tuple(stretch)


def _search_and_fit(sample, fit, calibration, profile, stretch):
    """Detect faint columns and fit all again, until the noise has converged.

    Return the fit, the calibration by it, and the typical sigma of the columns; NaN if
    none could be fitted.
    """
    levels = np.quantile(sample.context.image, (0.01, 0.99))
    for _ in range(_SETTINGS.max_n_search_rounds):
        before = fit.statistics.noise
        context = sample.context.replace(statistics=fit.statistics)
        start = detect_columns(context, calibration, MIN_HEIGHT_SHARE, profile)
        sigma = typical_sigma(start, context.sigma)
        if np.isnan(sigma):
            break
        context = context.replace(sigma=sigma, statistics=None)
        sample = sample._replace(context=context)
        fit = _fit_again(context, start.table, profile, stretch)
        calibration = _conclude(sample, fit, fit.table)
        if fit.statistics.noise.log_ratio(before, levels) < NOISE_LOG_TOLERANCE:
            break
    return fit, calibration, typical_sigma(fit, sample.context.sigma)


def _fit_again(context, start, profile, stretch):
    """Fit columns until the fit has converged, and estimate the statistics."""
    n_columns = len(start)
    start, outer = append_outer_columns(context, start)
    fit = fit_columns_and_statistics(
        context,
        start,
        profile=profile,
        stretch=stretch,
        sigma_scatter=SIGMA_SCATTER_SHARE,
        outer=outer,
    )
    return fit.take(slice(n_columns))


def _conclude(sample, fit, start):
    """Return the calibration of the binned image for a fit of all columns."""
    blob_sigma, statistics = sample.blob_sigma, fit.statistics
    context = sample.context.replace(statistics=statistics)
    mask, spacing = context.mask, context.spacing
    model = render_columns(context.shape, fit.table, context.sigma)
    residual = context.image - model
    response = blob_response(residual if mask is None else residual * mask, blob_sigma)
    inflation = _inflation(context, model, response, blob_sigma)
    matched = significance_of(context, fit, inflation, model=model)
    limit = _limit_of_significance(matched / inflation, fit, spacing)
    clear = matched / inflation > 2 * CLEAR_STD
    crowding = measure_crowding(fit.positions[clear], fit.amplitude[clear], spacing)
    min_height = 0.0
    if clear.any():
        min_height = MIN_HEIGHT_SHARE * float(np.quantile(fit.amplitude[clear], 0.95))
    preliminary = None
    if sample.is_whole:
        threshold = DetectionThreshold.of(context, inflation, blob_sigma=blob_sigma)
        is_seen = threshold.significance(start) > CANDIDATE_SHARE * limit
        if is_seen.mean() >= 1 - _SETTINGS.max_hidden_share:
            preliminary = PreliminaryFit(
                fit.take(is_seen), matched[is_seen], residual, response
            )
    return Calibration(
        statistics,
        inflation,
        limit,
        preliminary=preliminary,
        crowding=crowding,
        min_height=min_height,
    )


def _inflation(context, model, response, blob_sigma):
    """Return the noise in the band of the columns over white noise."""
    # Columns that a border cuts, and their neighbours, may not be fitted well yet:
    # their residual is not noise.
    mask = context.mask
    margin = math.ceil(
        min(_SETTINGS.margin_spacings * context.spacing, min(model.shape) / 4)
    )
    if mask is None:
        inner = (slice(margin, -margin),) * 2
    else:
        share = mask.astype(np.float32)
        inner = smooth(share, blob_sigma) > 0.999
        # Single bad pixels do not count as a border.
        inner &= (
            uniform_filter(share, 2 * margin + 1, mode="constant")
            > _SETTINGS.min_good_share
        )
    level = np.float32(context.statistics.level)
    variance = context.noise.variance(model + level)
    power = trough_power(response[inner], variance[inner])
    return float(max(1.0, np.sqrt(power) / noise_response(blob_sigma)))


def _limit_of_significance(significance, fit, spacing):
    """Return the significance from which a candidate is a column, by the clear ones.

    Maxima of noise around a few bright columns, or far from all, are not among these.
    """
    clear, height = significance > CLEAR_STD, fit.amplitude
    if np.count_nonzero(clear) < DETECTION.selection.min_n_of_kind:
        return CLEAR_STD
    clear &= height > MIN_HEIGHT_SHARE * np.quantile(height[clear], 0.95)
    very_clear = significance > 2 * CLEAR_STD
    n_typical = _SETTINGS.typical_share * np.count_nonzero(clear)
    if np.count_nonzero(very_clear) >= max(
        DETECTION.selection.min_n_of_kind, n_typical
    ):
        # The third nearest: the first may be the column itself.
        distance, _ = cKDTree(fit.positions[very_clear]).query(fit.positions, 3)
        clear &= distance[:, 2] < NEIGHBOR_REACH_SPACINGS * spacing
    if np.count_nonzero(clear) < DETECTION.selection.min_n_of_kind:
        return CLEAR_STD
    faintest = np.quantile(significance[clear], 0.05, method="lower")
    return float(
        np.interp(
            faintest,
            _SETTINGS.faintest_clear_std,
            (_SETTINGS.min_significance_std, CLEAR_STD),
        )
    )


def trough_power(response, variance=1.0):
    """Compute the mean square of a response where it is negative.

    This is the noise of the residual of a fit: maxima may be columns that are not in
    the model yet.

    Parameters
    ----------
    response : ndarray
        Blob response of the image minus the model of its columns.
    variance : float or ndarray of the same shape, default=1.0
        Divisor of the squares.

    Returns
    -------
    power : float
        Mean of the squares over the pixels below zero; outliers, as near a bright
        particle or a splash of X-rays, are clipped.
    """
    trough = response < 0
    if not trough.any():
        return 0.0
    square = (np.square(response) / variance)[trough]
    limit = FITTING.error_calibration.max_square_ratio * np.median(
        square[:: 1 + len(square) // _SETTINGS.n_median_pixels]
    )
    return float(np.minimum(square, limit).mean())
