"""Estimates of the scale of the columns by fits: typical sigma, and a shorter spacing.

A spacing that is too long hides columns: those of a faint sublattice between the ones
that were found. They remain in the residual image.
"""

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from ..._image.context import ImageContext, image_unit
from ..._image.filters import blob_response, blob_responses, filter_sigma, find_peaks
from ..._image.pixels import (
    at_pixels,
    bin_image,
    binned_scale,
    choose_binning,
    unbin_sigma,
)
from ..._image.tiles import Blocks
from .._fitting.column_fit import fit_columns_and_statistics, typical_sigma
from .._fitting.column_state import OVERLAP_SIGMA_SPACINGS
from .._fitting.columns import ColumnTable
from .._fitting.windows import render_columns
from .settings import DETECTION

# Places in the unit cell, in lattice vectors: the centre, and those with which the
# residual at the centre is compared.
_CENTER_CELLS = (0.5, 0.5)
_OTHER_PLACES_CELLS = ((0.5, 0.0), (0.0, 0.5), (1 / 3, 1 / 3), (2 / 3, 2 / 3))


_SETTINGS = DETECTION.sigma


_MISSED = DETECTION.missed_sublattice


def estimate_sigma(image, mask, spacing):
    """Estimate the typical sigma of the bright columns, and the sign of contrast.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    mask : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    sigma : float
        Median sigma, px; NaN if no column could be fitted.
    skewness : float
        Skewness of the blob response: negative where the columns are dark.
    """
    side = max(_SETTINGS.side_spacings, _SETTINGS.min_side_px / spacing)
    square, square_mask = Blocks(image, spacing).busiest(image, mask, side)
    square = square / image_unit(square)
    positions, height, sigma, skewness = _find_blobs(square, square_mask, spacing)
    if not len(positions):
        return np.nan, np.nan
    side = choose_binning(spacing, sigma) if square_mask is None else 1
    spacing, sigma = binned_scale(spacing, sigma, side)
    square, positions = bin_image(square, side), (positions + 0.5) / side - 0.5
    table = ColumnTable.at_peaks(square, positions, side**2 * height, sigma)
    for _ in range(_SETTINGS.max_n_rounds):
        context = ImageContext(square, square_mask, spacing, sigma)
        fit = fit_columns_and_statistics(context, table, preliminary=True)
        before, sigma = sigma, typical_sigma(fit, sigma)
        # The windows of the fit depend on sigma. Where columns overlap, sigma
        # increases at the cost of the background.
        is_known = abs(sigma / before - 1) < _SETTINGS.max_change_share
        if is_known or not sigma < OVERLAP_SIGMA_SPACINGS * spacing:
            break
        table = fit.table
    if np.isnan(sigma):
        return np.nan, np.nan
    return float(unbin_sigma(sigma, side)), skewness


def _find_blobs(image, mask, spacing):
    """Find columns, their sigma by blob filters, and the skewness of the response."""
    sigma = _SETTINGS.first_sigma_spacings * spacing
    # Bins that are masked in part would displace the columns near them.
    side = (
        choose_binning(spacing, _SETTINGS.narrow_ratio * sigma) if mask is None else 1
    )
    spacing, sigma = binned_scale(spacing, sigma, side)
    response, narrow, wide = blob_responses(
        bin_image(image, side),
        [sigma, _SETTINGS.narrow_ratio * sigma, _SETTINGS.wide_ratio * sigma],
    )
    positions, height = find_peaks(response, spacing, 0.15, mask=mask)
    if len(positions):
        sigma = _sigma_of_blobs(narrow, wide, positions, height, sigma)
    sigma = unbin_sigma(sigma, side)
    return side * (positions + 0.5) - 0.5, height / side**2, sigma, _skewness(response)


def _sigma_of_blobs(narrow, wide, positions, height, guess):
    """Compute the sigma of bright blobs from the responses of two blob filters."""
    bright = positions[height > 0.5 * np.quantile(height, 0.9)]
    share = np.median(at_pixels(narrow, bright) / at_pixels(wide, bright))
    narrow, wide = _SETTINGS.narrow_ratio * guess, _SETTINGS.wide_ratio * guess
    # The response of a filter of sigma w to a Gaussian of unit height is
    # (2 w sigma / (w² + sigma²))².
    q = np.sqrt(max(share, 1e-6)) * wide / narrow
    low, high = (
        _SETTINGS.sigma_ratio_range[0] * guess,
        _SETTINGS.sigma_ratio_range[1] * guess,
    )
    if q <= 1:
        return high
    return float(np.sqrt(np.clip((wide**2 - q * narrow**2) / (q - 1), low**2, high**2)))


def _skewness(values):
    deviation = values - values.mean()
    square = deviation * deviation
    return float(np.mean(square * deviation) / np.mean(square) ** 1.5)


def find_closer_spacing(image, fit, vectors, spacing, sigma):
    """Return the spacing of an image if a sublattice has been missed.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    fit : ColumnFit
        Its columns, as located with the spacing.
    vectors : ndarray of shape (n, 2, 2) or None
        Lattice vectors around each column, px; None if there are several sublattices.
    spacing, sigma : float
        Spacing assumed, and typical sigma, px.

    Returns
    -------
    spacing : float or None
        Nearest-neighbour spacing, px; None if no sublattice has been missed.
    """
    if len(fit) < _MISSED.min_n_cells or not fit.table.is_known.any():
        return None
    is_narrow = sigma < _MISSED.min_sigma_spacings * spacing
    if vectors is None and not is_narrow:
        return None
    side = choose_binning(spacing, sigma)
    image, fit = bin_image(image, side) / side**2, fit.binned(side)
    spacing, sigma = binned_scale(spacing, sigma, side)
    response = _residual_response(image, fit, spacing, sigma)
    if is_narrow:
        distance = _distance_of_faint_columns(response, fit, spacing, sigma)
        return None if distance is None else side * distance
    positions, vectors = fit.positions, vectors / side
    median, scatter, share, places = _at_places(
        response, positions, vectors, _CENTER_CELLS, spacing
    )
    if len(places) < _MISSED.min_n_cells:
        return None
    others = [
        _at_places(response, positions, vectors, place, spacing)[0]
        for place in _OTHER_PLACES_CELLS
    ]
    is_column = (
        median > _MISSED.min_share * np.median(fit.amplitude)
        and median > _MISSED.min_significance_std * scatter / np.sqrt(len(places))
        and median > _MISSED.min_contrast_ratio * max(others)
        and share > _MISSED.min_positive_share
    )
    if not is_column:
        return None
    distance, _ = cKDTree(positions).query(places)
    return side * float(np.median(distance))


def _distance_of_faint_columns(response, fit, spacing, sigma):
    """Return the distance of faint columns at the same place next to most columns, px.

    None if the residual does not show them.
    """
    positions = fit.positions
    median = float(np.median(response))
    std = 1.4826 * float(np.median(np.abs(response - median)))
    least = max(
        _MISSED.min_peak_std * std,
        _MISSED.min_share * float(np.median(fit.amplitude)),
    )
    peaks, _ = find_peaks(response, spacing / 3, 0.0, lambda row, col: least, least)
    margin = _MISSED.margin_spacings * spacing
    last = np.array(response.shape) - 1 - margin
    cells = positions[((positions > margin) & (positions < last)).all(axis=1)]
    if len(cells) < _MISSED.min_n_cells or not len(peaks):
        return None
    distance, nearest = cKDTree(positions).query(peaks)
    near = distance > _MISSED.min_offset_sigma * sigma
    near &= distance < _MISSED.max_offset_spacings * spacing
    if np.count_nonzero(near) < _MISSED.min_n_cells:
        return None
    offset = peaks[near] - positions[nearest[near]]
    scatter = _MISSED.max_place_scatter_spacings * spacing
    tree, has_one = cKDTree(peaks), np.zeros(len(cells), dtype=bool)
    distances = []
    for _ in range(_MISSED.max_n_places):
        if not len(offset):
            break
        count = cKDTree(offset).query_ball_point(offset, scatter, return_length=True)
        same = np.hypot(*(offset - offset[count.argmax()]).T) < scatter
        place = offset[same].mean(axis=0)
        distances.append(float(np.hypot(*place)))
        has_one |= tree.query(cells + place)[0] < 2 * scatter
        if abs(distances[-1] - distances[0]) > 2 * scatter:
            return None
        if has_one.mean() > _MISSED.min_peak_share:
            return float(np.mean(distances))
        offset = offset[~same]
    return None


def _residual_response(image, fit, spacing, sigma):
    """Return the response of the blob filter to the residual image."""
    unit = image_unit(image)
    fitted = fit.table.take(fit.table.is_known)
    residual = image - render_columns(image.shape, fitted, sigma)
    return blob_response(residual / unit, filter_sigma(spacing, sigma)) * unit


def _at_places(response, positions, vectors, place, spacing):
    """Return median, scatter and share of positive values at places in the cells."""
    places = positions + place[0] * vectors[:, 0] + place[1] * vectors[:, 1]
    margin = _MISSED.margin_spacings * spacing
    last = np.array(response.shape) - 1 - margin
    # Vectors that are not known are NaN.
    places = places[((places > margin) & (places < last)).all(axis=1)]
    if not len(places):
        return 0.0, 0.0, 0.0, places
    values = map_coordinates(response, places.T, order=1)
    median = float(np.median(values))
    scatter = 1.4826 * float(np.median(np.abs(values - median)))
    return median, scatter, float(np.mean(values > 0)), places
