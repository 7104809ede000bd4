"""Location of the columns in a tile of an image: detection, fit, selection.

Columns are detected in the binned image and fitted together in all pixels.
"""

from typing import NamedTuple

import numpy as np

from .._fitting.column_fit import SIGMA_SCATTER, fit_columns, sigma_for_fit
from .._fitting.column_tails import TailSums
from .._fitting.columns import ColumnFit, ColumnTable
from .._fitting.windows import centers_of_mass
from .._image.filters import blob_response, filter_sigma
from .._image.pixels import at_pixels, on_image
from .detect import DetectionThreshold, detect_columns, detect_peaks
from .lattice_continuation import append_outer_columns
from .selection import has_center_inside, is_noise, select_rows


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
    if refine != "gaussian":
        peaks = detect_peaks(context, calibration, threshold)
        significance = DetectionThreshold.of(
            context, calibration.inflation
        ).significance(peaks)
        fit = ColumnFit.unfitted(peaks)
        fit = fit.take(select_rows(fit, significance, calibration, context.spacing))
        if refine == "center_of_mass" and len(fit):
            fit = fit.at(centers_of_mass(context, fit.positions))
        return FoundColumns(fit.table, fit, is_fitted=False)
    columns = detect_columns(context.binned(), calibration, threshold, profile)
    return fit_found(context, columns.unbinned(context.binning).table, profile)


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
            positions[bad] = centers_of_mass(
                context, np.clip(found.start.positions[bad], 0, last)
            )
            fit = fit.at(positions)
        fit = fit.take(~is_noise(fit, context))
    return fit.take(has_center_inside(fit, context))


def fit_found(context, start, profile):
    """Fit columns from positions nearby.

    Parameters
    ----------
    context : ImageContext
        The image.
    start : ColumnTable
        Approximate parameters of the columns.
    profile : ColumnProfile
        Profile of the columns.

    Returns
    -------
    found : FoundColumns
        The same columns, fitted.
    """
    if len(start):
        fit = _fit_with_outer(context, start, profile)
    else:
        fit = ColumnFit.unfitted(start)
    return FoundColumns(start, fit, is_fitted=len(start) > 0)


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
    # A column at the border whose fit moves off the image lies off the image.
    reach = 0.5 * context.sigma
    well_inside = on_image(start.positions - reach, context.shape)
    well_inside &= on_image(start.positions + reach, context.shape)
    bad = ~fit.usable & (well_inside | on_image(fit.positions, context.shape))
    return np.flatnonzero(bad)


def _fit_with_outer(context, start, profile):
    """Fit columns together with those off the image, which follow in the result."""
    start, outer = append_outer_columns(context, start)
    return fit_columns(
        context.replace(sigma=sigma_for_fit(start, context.sigma)),
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
