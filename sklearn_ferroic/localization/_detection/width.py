"""Estimate of the typical sigma of the columns of an image."""

import numpy as np

from .._fitting.column_fit import fit_columns, typical_sigma
from .._fitting.column_state import OVERLAP_SIGMA_SPACINGS
from .._fitting.columns import ColumnTable
from .._image.binning import bin_image, binned_scale, choose_binning, unbin_width
from .._image.context import ImageContext, image_unit
from .._image.filters import blob_responses
from .._image.peaks import find_peaks
from .._image.positions import at_pixels
from .._image.tiles import Blocks

# First guess of the sigma of a column, as a share of the spacing.
_FIRST_SIGMA_SPACINGS = 0.16
# The responses of two filters refine it: their widths, in units of that.
_NARROW_RATIO, _WIDE_RATIO = 0.75, 1.25
# Side of the square from which the width is estimated, in spacings and in px, whichever
# is larger; and range of the width relative to the first guess.
_SIDE_SPACINGS = 9
_MIN_SIDE_PX = 96
_SIGMA_RANGE = (0.5, 1.6)
# Fits until the width that columns are fitted with is that which they have, to within
# this share.
_MAX_ROUNDS = 4
_MAX_CHANGE = 0.04


def estimate_width(image, valid, spacing):
    """Estimate the typical sigma of the bright columns, and the sign of contrast.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    width : float
        Median sigma, px; NaN if no column could be fitted.
    skewness : float
        Skewness of the blob response: negative where the columns are dark.
    """
    side = max(_SIDE_SPACINGS, _MIN_SIDE_PX / spacing)
    square, mask = Blocks(image, spacing).busiest(image, valid, side)
    square = square / image_unit(square)
    positions, height, width, skewness = _find_blobs(square, mask, spacing)
    if not len(positions):
        return np.nan, np.nan
    side = choose_binning(spacing, width) if mask is None else 1
    spacing, width = binned_scale(spacing, width, side)
    square, positions = bin_image(square, side), (positions + 0.5) / side - 0.5
    table = ColumnTable.at_peaks(square, positions, side**2 * height, width)
    for _ in range(_MAX_ROUNDS):
        context = ImageContext(square, mask, spacing, width)
        fit = fit_columns(context, table, preliminary=True)
        before, width = width, typical_sigma(fit, width)
        # The windows of the fit depend on the width. Where columns overlap, the width
        # increases at the cost of the background.
        is_known = abs(width / before - 1) < _MAX_CHANGE
        if is_known or not width < OVERLAP_SIGMA_SPACINGS * spacing:
            break
        table = fit.table
    if np.isnan(width):
        return np.nan, np.nan
    return float(unbin_width(width, side)), skewness


def _find_blobs(image, valid, spacing):
    """Find columns, their sigma by blob filters, and the skewness of the response."""
    width = _FIRST_SIGMA_SPACINGS * spacing
    # Bins that a mask cuts would displace the columns near it.
    side = choose_binning(spacing, _NARROW_RATIO * width) if valid is None else 1
    spacing, width = binned_scale(spacing, width, side)
    response, narrow, wide = blob_responses(
        bin_image(image, side), [width, _NARROW_RATIO * width, _WIDE_RATIO * width]
    )
    positions, height = find_peaks(response, spacing, 0.15)
    if valid is not None:
        seen = at_pixels(valid, positions)
        positions, height = positions[seen], height[seen]
    if len(positions):
        width = _width_of_blobs(narrow, wide, positions, height, width)
    width = unbin_width(width, side)
    return side * (positions + 0.5) - 0.5, height / side**2, width, _skewness(response)


def _width_of_blobs(narrow, wide, positions, height, guess):
    """Compute the sigma of bright blobs from the responses of two blob filters."""
    bright = positions[height > 0.5 * np.quantile(height, 0.9)]
    share = np.median(at_pixels(narrow, bright) / at_pixels(wide, bright))
    narrow, wide = _NARROW_RATIO * guess, _WIDE_RATIO * guess
    # To a Gaussian of unit height a filter of width w responds by
    # (2 w sigma / (w² + sigma²))².
    q = np.sqrt(max(share, 1e-6)) * wide / narrow
    low, high = _SIGMA_RANGE[0] * guess, _SIGMA_RANGE[1] * guess
    if q <= 1:
        return high
    return float(np.sqrt(np.clip((wide**2 - q * narrow**2) / (q - 1), low**2, high**2)))


def _skewness(values):
    deviation = values - values.mean()
    square = deviation * deviation
    return float(np.mean(square * deviation) / np.mean(square) ** 1.5)
