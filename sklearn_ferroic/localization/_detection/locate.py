"""Detection and fit of the columns in a tile of an image.

Columns are detected twice: peaks of the blob response in the image, and fainter ones
in the residual of a preliminary fit. Where columns overlap, others follow from the
lattice. The selected columns are fitted together.
"""

from typing import NamedTuple

import numpy as np

from .._fitting.column_fit import SIGMA_SCATTER, fit_columns
from .._fitting.column_state import OVERLAP_SIGMA_SPACINGS
from .._fitting.column_tails import TailSums
from .._fitting.columns import ColumnFit, ColumnTable
from .._fitting.windows import center_of_mass, render_columns
from .._image.filters import blob_response, filter_sigma, find_peaks, smooth
from .._image.pixels import at_pixels, bin_image, on_image
from .calibration import FIRST_THRESHOLD, PreliminaryFit
from .lattice_continuation import append_outer_columns, predict_inner_columns
from .selection import (
    CANDIDATE_SHARE,
    DetectionThreshold,
    brightest_near,
    has_center_inside,
    is_free,
    is_noise,
    min_candidate_significance,
    select_columns,
    significance_of,
)
from .settings import DETECTION

# Radius of the disc for the centre of mass, in typical sigmas: most of the column.
MASS_RADIUS_SIGMA = 1.5


_SETTINGS = DETECTION.locate


class FoundColumns(NamedTuple):
    """Detected columns and their fit.

    Parameters
    ----------
    start : ColumnTable
        The columns as detected.
    fit : ColumnFit
        The same columns in order, then those off the image that were fitted with them.
    is_fitted : bool
        Whether positions are those of the fit.
    """

    start: ColumnTable
    fit: ColumnFit
    is_fitted: bool

    def columns(self):
        """Return the fit of the columns that were detected."""
        return self.fit.take(slice(len(self.start)))


def locate_columns(context, calibration, *, threshold, refine, profile):
    """Detect and fit all columns of an image.

    Parameters
    ----------
    context : ImageContext
        The image.
    calibration : Calibration
        Noise and detection limit of the image.
    threshold : float
        Faintest column kept, as a share of the brightest nearby.
    refine : {"gaussian", "center_of_mass", None}
        Method for the positions.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    found : FoundColumns
        The columns. Columns that were not fitted have NaN for all but position and
        amplitude.
    """
    if refine == "gaussian":
        columns = detect_columns(context.binned(), calibration, threshold, profile)
        return fit_found(context, columns.unbinned(context.binning).table, profile)
    fit = _select_peaks(context, calibration, threshold)
    if refine == "center_of_mass" and len(fit):
        fit = fit.at(_centers_of_mass(context, fit.positions))
    return FoundColumns(fit.table, fit, is_fitted=False)


def select_located(context, found):
    """Return the columns of a tile that are on the image and are not noise.

    Parameters
    ----------
    context : ImageContext
        The image.
    found : FoundColumns
        The columns after the last fit.

    Returns
    -------
    fit : ColumnFit
        The columns whose centres lie on good pixels. Where the fit is not usable,
        positions are centres of mass.
    """
    fit = found.columns()
    if found.is_fitted:
        bad = find_unusable(context, found)
        if bad.size:
            last = np.array(context.shape) - 1
            positions = fit.positions.copy()
            positions[bad] = _centers_of_mass(
                context, np.clip(found.start.positions[bad], 0, last)
            )
            fit = fit.at(positions)
        fit = fit.take(~is_noise(fit, context))
    return fit.take(has_center_inside(fit, context))


def detect_columns(context, calibration, threshold, profile):
    """Detect columns: bright ones, others in the residual, then in the lattice.

    Parameters
    ----------
    context, calibration, threshold, profile
        As in `locate_columns`; the image is not binned further.

    Returns
    -------
    columns : ColumnFit
        The selected columns after a preliminary fit.
    """
    preliminary = calibration.preliminary
    is_separated = context.sigma < _SETTINGS.separated_sigma_spacings * context.spacing
    first_threshold = max(threshold, FIRST_THRESHOLD) if is_separated else threshold
    if preliminary is None or first_threshold != FIRST_THRESHOLD:
        peaks = _detect_peaks(context, calibration, first_threshold)
        preliminary = _fit_preliminarily(context, peaks, profile)
    candidates = _detect_in_residual(context, calibration, preliminary, threshold)
    columns = _select(context, calibration, candidates, preliminary.significance)
    if context.sigma > OVERLAP_SIGMA_SPACINGS * context.spacing:
        response = preliminary.response
        columns = _fill_lattice(context, calibration, columns, response, profile)
    return columns


def _detect_peaks(context, calibration, threshold):
    """Return the peaks of the blob response that may be columns."""
    response = blob_response(
        context.image, filter_sigma(context.spacing, context.sigma)
    )
    significance = CANDIDATE_SHARE * calibration.min_significance
    limit = DetectionThreshold.of(context, calibration.inflation, significance)
    positions, height = find_peaks(
        response, context.spacing, threshold, limit, limit.minimum()
    )
    peaks = ColumnTable.at_peaks(context.image, positions, height, context.sigma)
    if context.mask is not None:
        peaks = peaks.take(at_pixels(context.mask, positions))
    return peaks


def _fit_preliminarily(context, peaks, profile):
    """Return a preliminary fit of peaks, and its residual."""
    fit = fit_columns(context, peaks, profile=profile, preliminary=True)
    residual = context.image - render_columns(context.shape, fit.table, context.sigma)
    response = blob_response(residual, filter_sigma(context.spacing, context.sigma))
    return PreliminaryFit(fit, None, residual, response)


def _detect_in_residual(context, calibration, preliminary, threshold):
    """Return the columns of a preliminary fit and peaks of its residual after them."""
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
    brightest = brightest_near(known.positions, known.amplitude, positions, spacing)
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
    level = _level_around(context, preliminary.residual, positions, height)
    extra = ColumnTable.make(height, positions, context.sigma, level)
    return preliminary.fit.append(extra)


def _level_around(context, residual, positions, height):
    """Return the mean of the residual around candidates, without their own part."""
    reach, sigma = _SETTINGS.level_reach_spacings * context.spacing, context.sigma
    # Bins are fine enough for such a smooth mean.
    side = max(1, int(reach / 2))
    mean = smooth(bin_image(residual, side), reach / side) / side**2
    around = at_pixels(mean, (positions + 0.5) / side - 0.5)
    own = sigma**2 / (sigma**2 + reach**2)
    return around - own * height


def _select(context, calibration, fit, known=None):
    """Select the candidates that are columns; the significance of some may be known."""
    inflation = calibration.inflation
    significance = significance_of(context, fit, inflation, known) / inflation
    rows = select_columns(fit, significance, calibration, context.spacing)
    return fit.take(rows)


def _fill_lattice(context, calibration, columns, response, profile):
    """Add columns where the lattice continues, as long as any are found."""
    # Columns that have been added support others.
    for _ in range(_SETTINGS.max_fill_rounds):
        filled = _add_predicted(context, columns, response, profile)
        if filled is None:
            break
        n_before = len(columns)
        columns = _select(context, calibration, filled)
        if len(columns) <= n_before:
            break
    return columns


def _add_predicted(context, columns, response, profile):
    """Fit columns with predicted ones; return None if none are predicted."""
    positions, heights = predict_inner_columns(context, columns.table)
    if not len(positions):
        return None
    # At vacancies, the fit starts from a small height.
    seen = np.clip(
        at_pixels(response, positions), _SETTINGS.min_start_share * heights, heights
    )
    start = columns.table.append(ColumnTable.make(seen, positions, context.sigma))
    wider = context.replace(sigma=_sigma_of_fit(columns.table, context.sigma))
    both = fit_columns(wider, start, profile=profile, preliminary=True)
    # At vacancies, the tails of overlapping columns add up to their misfit only.
    added = both.table.take(slice(len(columns), None))
    is_column = added.amplitude > _SETTINGS.min_filled_share * heights
    shift = np.hypot(*(added.positions - positions).T)
    is_column &= shift < _SETTINGS.max_filled_shift_spacings * context.spacing
    keep = np.append(np.ones(len(columns), dtype=bool), is_column)
    return both.take(keep)


def _sigma_of_fit(table, sigma):
    """Return the typical sigma for a fit: columns may be wider than those detected.

    It grows in steps, so that the tiles of an image agree on it.
    """
    bright = table.amplitude > 0.5 * np.quantile(table.amplitude, 0.9)
    ratio = np.median(table.sigma[bright]) / sigma
    n_steps = np.floor(np.log(ratio) / np.log(_SETTINGS.sigma_step))
    return sigma * _SETTINGS.sigma_step ** float(
        np.clip(n_steps, 0, _SETTINGS.max_sigma_steps)
    )


def fit_found(context, start, profile):
    """Fit columns from positions nearby.

    Parameters
    ----------
    context : ImageContext
        The image.
    start : ColumnTable
        The columns, nearly.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    found : FoundColumns
        The same columns, fitted.
    """
    if not len(start):
        return FoundColumns(start, ColumnFit.unfitted(start), is_fitted=False)
    return FoundColumns(start, _fit_with_outer(context, start, profile), is_fitted=True)


def fit_without_tails(context, found, tails, profile):
    """Fit columns again, to the image less the tails of all columns.

    Parameters
    ----------
    context : ImageContext
        The image.
    found : FoundColumns
        The columns after a fit.
    tails : ColumnTails
        The tails.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    found : FoundColumns
        The same columns.
    """
    if not found.is_fitted:
        return found
    table = found.fit.table.take(found.fit.usable)
    tail_image = tails.image(context.shape, table, context.sigma)
    less = context.without(tail_image, tails.mean)
    fit = _fit_with_outer(less, found.columns().table, profile)
    return found._replace(fit=fit)


def sum_for_tails(context, found, inner):
    """Sum over a tile for the estimate of the tails; see `column_tails`.

    Parameters
    ----------
    context : ImageContext
        The tile.
    found : FoundColumns
        Its columns.
    inner : tuple of slice
        The tile's own pixels.

    Returns
    -------
    sums : TailSums or None
        None if no pixel counts.
    """
    return TailSums.over(context, found.fit, inner) if found.is_fitted else None


def find_unusable(context, found):
    """Return the indices of the columns on the image whose fit is not usable."""
    start, fit = found.start, found.columns()
    # A fit that moves off the image from its border is a column off the image.
    reach = 0.5 * context.sigma
    well_inside = on_image(start.positions - reach, context.shape)
    well_inside &= on_image(start.positions + reach, context.shape)
    bad = ~fit.usable & (well_inside | on_image(fit.positions, context.shape))
    return np.flatnonzero(bad)


def _fit_with_outer(context, start, profile):
    """Fit columns together with those off the image, which follow in the result."""
    start, outer = append_outer_columns(context, start)
    return fit_columns(
        context.replace(sigma=_sigma_of_fit(start, context.sigma)),
        start,
        profile=profile,
        sigma_scatter=SIGMA_SCATTER,
        outer=outer,
    )


def fit_positions(context, positions, profile):
    """Fit columns of known positions preliminarily, as a start for `fit_found`.

    Parameters
    ----------
    context : ImageContext
        The image.
    positions : ndarray of shape (n, 2)
        The columns, px.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    start : ColumnTable
        The same columns, in order.
    """
    side, context = context.binning, context.binned()
    positions = (positions + 0.5) / side - 0.5
    blob_sigma = filter_sigma(context.spacing, context.sigma)
    height = at_pixels(blob_response(context.image, blob_sigma), positions)
    # Noise may leave a column no height to start from.
    least = np.median(height) / 8 if len(height) else 0
    height = np.maximum(height, least)
    table = ColumnTable.at_peaks(context.image, positions, height, context.sigma)
    fit = fit_columns(context, table, profile=profile, preliminary=True)
    return fit.table.unbinned(side)


def _select_peaks(context, calibration, threshold):
    """Return the peaks that are columns, without a fit."""
    peaks = _detect_peaks(context, calibration, threshold)
    limit = DetectionThreshold.of(context, calibration.inflation)
    significance = limit.significance(peaks)
    fit = ColumnFit.unfitted(peaks)
    rows = select_columns(fit, significance, calibration, context.spacing)
    return fit.take(rows)


def _centers_of_mass(context, positions):
    """Return the centres of mass near positions."""
    radius = MASS_RADIUS_SIGMA * context.sigma
    return center_of_mass(context.image, positions, radius, mask=context.mask)
