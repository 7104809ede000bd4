"""Location of the columns in a tile of an image: detection, fit, selection.

Columns are detected in the binned image: peaks of the blob response, and fainter ones
in the residual of a preliminary fit. Where columns overlap, others follow from the
lattice. All of them are fitted together in all pixels.
"""

from typing import NamedTuple

import numpy as np

from ..._image.filters import (
    NEIGHBOR_REACH_SPACINGS,
    blob_response,
    filter_sigma,
    find_peaks,
    local_mean,
)
from ..._image.pixels import at_pixels, on_image
from ..._lattice.neighbors import brightest_near, is_free
from .._fitting.column_fit import fit_columns, fit_columns_and_statistics
from .._fitting.column_state import OVERLAP_SIGMA_SPACINGS
from .._fitting.column_tails import TailSums
from .._fitting.columns import ColumnFit, ColumnTable
from .._fitting.windows import centers_of_mass, render_columns
from .lattice_continuation import add_predicted_columns, fit_with_outer_columns
from .selection import (
    DetectionThreshold,
    has_center_inside,
    is_noise,
    min_candidate_significance,
    select_columns,
    select_peaks,
)
from .settings import DETECTION

# Peaks are candidates from this share of the significance of columns on: a fit measures
# them better than the filter.
CANDIDATE_SHARE = 0.6
# Columns of this relative brightness are fitted first.
FIRST_THRESHOLD_SHARE = 0.1

_SETTINGS = DETECTION.locate


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


class FoundColumns(NamedTuple):
    """Detected columns and their fit.

    Parameters
    ----------
    start : ColumnTable
        The columns as detected.
    fit : ColumnFit
        The same columns in order, then those off the image that were fitted with them.
    is_fitted : bool, default=True
        Whether positions are those of the fit.
    """

    start: ColumnTable
    fit: ColumnFit
    is_fitted: bool = True

    def columns(self):
        """Return the fit of the columns that were detected."""
        return self.fit.take(slice(len(self.start)))


def locate_columns(context, calibration, *, threshold, profile):
    """Detect and fit all columns of an image.

    Columns are detected in the binned image, by preliminary fits; the last fit is to
    all pixels.

    Parameters
    ----------
    context : ImageContext
        The image.
    calibration : Calibration
        Noise and detection limit of the image.
    threshold : float
        Faintest column kept, as a share of the brightest nearby.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    found : FoundColumns
        The columns.
    """
    columns = detect_columns(context.binned(), calibration, threshold, profile)
    start = columns.table.unbinned(context.binning)
    return FoundColumns(start, fit_with_outer_columns(context, start, profile))


def locate_peaks(context, calibration, *, threshold, refine):
    """Detect the columns of an image without fits.

    Parameters
    ----------
    context, calibration, threshold
        As in `locate_columns`.
    refine : {"center_of_mass", None}
        Method for the positions.

    Returns
    -------
    found : FoundColumns
        The columns, with NaN for all but position and amplitude.
    """
    peaks = detect_peaks(context, calibration, threshold)
    fit = select_peaks(context, calibration, peaks)
    if refine == "center_of_mass" and len(fit):
        fit = fit.at(centers_of_mass(context, fit.positions))
    return FoundColumns(fit.table, fit, is_fitted=False)


def detect_columns(context, calibration, threshold, profile):
    """Detect columns: bright ones, others in the residual, then by the lattice.

    Where columns overlap, those that the lattice predicts are added, as long as any are
    found.

    Parameters
    ----------
    context : ImageContext
        The image; it is not binned further.
    calibration, threshold, profile
        As in `locate_columns`.

    Returns
    -------
    columns : ColumnFit
        The selected columns after a preliminary fit.
    """
    preliminary = _fit_preliminarily(context, calibration, threshold, profile)
    extra = _detect_in_residual(context, calibration, preliminary, threshold)
    candidates, known = preliminary.fit.append(extra), preliminary.significance
    is_overlapping = context.sigma > OVERLAP_SIGMA_SPACINGS * context.spacing
    n_rounds = _SETTINGS.max_n_fill_rounds if is_overlapping else 0
    columns = ()
    while candidates is not None:
        n_before = len(columns)
        columns = select_columns(context, calibration, candidates, known)
        candidates = known = None
        if n_rounds > 0 and len(columns) > n_before:
            # Columns that have been added support others.
            response = preliminary.response
            candidates = add_predicted_columns(context, columns, response, profile)
            n_rounds -= 1
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
        The peaks on good pixels, as columns of the typical sigma on no background,
        which a fit estimates.
    """
    blob_sigma = filter_sigma(context.spacing, context.sigma)
    response = blob_response(context.image, blob_sigma)
    significance = CANDIDATE_SHARE * calibration.min_significance
    limit = DetectionThreshold.of(context, calibration.inflation, significance)
    positions, height = find_peaks(
        response, context.spacing, threshold, limit, limit.minimum(), context.mask
    )
    return ColumnTable.make(height, positions, context.sigma)


def _fit_preliminarily(context, calibration, threshold, profile):
    """Return a preliminary fit of the brightest columns and its residual."""
    is_separated = context.sigma < _SETTINGS.separated_sigma_spacings * context.spacing
    first_threshold = (
        max(threshold, FIRST_THRESHOLD_SHARE) if is_separated else threshold
    )
    if calibration.preliminary is not None and first_threshold == FIRST_THRESHOLD_SHARE:
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
        _SETTINGS.residual_threshold_share,
        limit,
        limit.minimum(),
        context.mask,
    )
    level_reach = _SETTINGS.level_reach_spacings * spacing
    level = local_mean(preliminary.residual, positions, level_reach)
    # The mean without the candidate's own part.
    level -= height * (context.sigma**2 / (context.sigma**2 + level_reach**2))
    known = preliminary.fit.table
    reach = NEIGHBOR_REACH_SPACINGS * spacing
    brightest = brightest_near(known.positions, known.amplitude, positions, reach)
    is_peak = height > threshold * brightest
    # Less significant ones are noise if they are close to a column.
    row, col = np.rint(positions.T).astype(np.intp)
    is_clear = least * height > calibration.min_significance * limit(row, col)
    is_peak &= is_clear | is_free(positions, height, known.positions, spacing)
    table = ColumnTable.make(height, positions, context.sigma, level)
    return table.take(is_peak)


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
    if found.is_fitted and len(fit):
        bad = find_unusable(context, found)
        if bad.size:
            last = np.array(context.shape) - 1
            positions = fit.positions.copy()
            positions[bad] = centers_of_mass(
                context, np.clip(found.start.positions[bad], 0, last)
            )
            fit = fit.at(positions)
        fit = fit.take(~is_noise(fit, context))
    return fit.take(has_center_inside(fit, context))


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
    if not (found.is_fitted and len(found.start)):
        return found
    table = found.fit.table.take(found.fit.usable)
    tail_image = tails.image(context.shape, table, context.sigma)
    less = context.without(tail_image, tails.mean)
    fit = fit_with_outer_columns(less, found.columns().table, profile)
    return found._replace(fit=fit)


def sum_for_tails(context, found, inner):
    """Accumulate the sums over a tile from which the tails are estimated.

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
    # A column at the border whose fit moves off the image lies off the image.
    reach = 0.5 * context.sigma
    well_inside = on_image(start.positions - reach, context.shape)
    well_inside &= on_image(start.positions + reach, context.shape)
    bad = ~fit.usable & (well_inside | on_image(fit.positions, context.shape))
    return np.flatnonzero(bad)


def fit_positions(context, positions, profile):
    """Fit columns of known positions preliminarily, as a start for the last fit.

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
    is_known = context.statistics is not None
    fit = fit_columns if is_known else fit_columns_and_statistics
    table = fit(context, table, profile=profile, preliminary=True).table
    return table.unbinned(side)
