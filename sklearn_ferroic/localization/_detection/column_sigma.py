"""Estimate of the typical sigma of the columns of an image."""

from dataclasses import dataclass

import numpy as np

from .._fitting.column_fit import fit_columns, typical_sigma
from .._fitting.column_state import OVERLAP_SIGMA_SPACINGS
from .._fitting.columns import ColumnTable
from .._image.binning import bin_image, binned_scale, choose_binning, unbin_sigma
from .._image.context import ImageContext, image_unit
from .._image.filters import blob_responses
from .._image.peaks import find_peaks
from .._image.positions import at_pixels
from .._image.tiles import Blocks


@dataclass(frozen=True)
class _SigmaSettings:
    """Settings of the estimate, with their reasons."""

    # First guess of the sigma of a column, as a fraction of the spacing.
    first_sigma_spacings: float = 0.16
    # Two blob filters refine it; their sigmas in units of the guess.
    narrow_ratio: float = 0.75
    wide_ratio: float = 1.25
    # Side of the square from which sigma is estimated, in spacings and in px,
    # whichever is larger; and range of sigma relative to the first guess.
    side_spacings: int = 9
    min_side_px: int = 96
    sigma_range: tuple = (0.5, 1.6)
    # Fits are repeated until the sigma of the windows equals the fitted sigma, to
    # within this share.
    max_rounds: int = 4
    max_change: float = 0.04


_SETTINGS = _SigmaSettings()


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
    for _ in range(_SETTINGS.max_rounds):
        context = ImageContext(square, square_mask, spacing, sigma)
        fit = fit_columns(context, table, preliminary=True)
        before, sigma = sigma, typical_sigma(fit, sigma)
        # The windows of the fit depend on sigma. Where columns overlap, sigma
        # increases at the cost of the background.
        is_known = abs(sigma / before - 1) < _SETTINGS.max_change
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
    positions, height = find_peaks(response, spacing, 0.15)
    if mask is not None:
        seen = at_pixels(mask, positions)
        positions, height = positions[seen], height[seen]
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
    low, high = _SETTINGS.sigma_range[0] * guess, _SETTINGS.sigma_range[1] * guess
    if q <= 1:
        return high
    return float(np.sqrt(np.clip((wide**2 - q * narrow**2) / (q - 1), low**2, high**2)))


def _skewness(values):
    deviation = values - values.mean()
    square = deviation * deviation
    return float(np.mean(square * deviation) / np.mean(square) ** 1.5)
