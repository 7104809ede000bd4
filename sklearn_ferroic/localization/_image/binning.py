"""Finely sampled images at a coarser scale, for all but the last fit.

A column of a sigma of one pixel shows as well as a wider one: sums of square blocks
of pixels are enough to find columns and to bring them near. Sums of counts are counts.
"""

import math

import numpy as np

from .._fitting.columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA

# Binned images show columns of this sigma and spacing at least, in bins.
_MIN_WIDTH = 1.0
_MIN_SPACING = 4.5


def choose_binning(spacing, width):
    """Choose the side of the blocks of pixels that are summed.

    Parameters
    ----------
    spacing, width : float
        Nearest-neighbour spacing and typical sigma of the columns, px.

    Returns
    -------
    side : int
        Side of the blocks, px; 1 for images that are not finely sampled.
    """
    return max(1, int(min(width / _MIN_WIDTH, spacing / _MIN_SPACING)))


def sum_blocks(image, side):
    """Sum square blocks of an image; the last ones may be cut.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    side : int
        Side of the blocks, px.

    Returns
    -------
    sums : ndarray of shape (n_binned_rows, n_binned_cols)
        The sums.
    """
    if side == 1:
        return image.copy()
    for axis in (0, 1):
        every = [
            image[(slice(None),) * axis + (slice(first, None, side),)]
            for first in range(side)
        ]
        image = every[0].copy()
        for part in every[1:]:
            image[: part.shape[0], : part.shape[1]] += part
    return image


def bin_image(image, side):
    """Sum square blocks of an image that goes on mirrored at its end.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    side : int
        Side of the blocks, px.

    Returns
    -------
    binned : ndarray of shape (n_binned_rows, n_binned_cols)
        The sums; the image itself if `side` is 1.
    """
    if side == 1:
        return image
    missing = [(0, -length % side) for length in image.shape]
    if any(end for _, end in missing):
        image = np.pad(image, missing, mode="symmetric")
    return sum_blocks(image, side)


def binned_scale(spacing, width, side):
    """Compute spacing and width of columns in bins.

    Parameters
    ----------
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.
    side : int
        Side of the bins, px.

    Returns
    -------
    spacing, width : float
        The same in bins, which blur.
    """
    return spacing / side, math.sqrt(width**2 + _blur(side)) / side


def unbin_width(width, side):
    """Compute the sigma of columns from that in a binned image.

    Parameters
    ----------
    width : float or ndarray
        Sigma, in bins.
    side : int
        Side of the bins, px.

    Returns
    -------
    width : float or ndarray
        Sigma without the blur of the bins, px.
    """
    square = (side * width) ** 2
    # Spikes may be narrower than the blur.
    return np.sqrt(np.maximum(square - _blur(side), 0.25 * square))


def bin_typical(typical, n_pixels):
    """Tell what is typical of sums of pixels from what is of pixels.

    Parameters
    ----------
    typical : Typical
        What is typical of pixels.
    n_pixels : float
        Number of pixels that are summed; of sums, 1 over that tells the reverse.

    Returns
    -------
    typical : Typical
        What is typical of their sums, noise being white.
    """
    noise = typical.noise
    return typical._replace(
        noise=noise._replace(
            constant=noise.constant * n_pixels, offset=noise.offset * n_pixels
        ),
        level=typical.level * n_pixels,
        # What columns are beyond Gaussians sums up, noise does not.
        misfit=1 + (typical.misfit - 1) * n_pixels,
        span=tuple(end * n_pixels for end in typical.span),
    )


def bin_columns(columns, side):
    """Express columns in the means over square blocks of pixels.

    Parameters
    ----------
    columns : ndarray of shape (n, 4)
        Amplitude, row, col, sigma.
    side : int
        Side of the blocks, px.

    Returns
    -------
    columns : ndarray of shape (n, 4)
        The same of the means, which blur.
    """
    columns = columns.copy()
    if side > 1:
        square = columns[:, SIGMA] ** 2
        columns[:, AMPLITUDE] *= square / (square + _blur(side))
        columns[:, ROW : COL + 1] = (columns[:, ROW : COL + 1] + 0.5) / side - 0.5
        columns[:, SIGMA] = np.sqrt(square + _blur(side)) / side
    return columns


def unbin_fit(fit, side):
    """Express columns of a binned image in pixels.

    Parameters
    ----------
    fit : ColumnFit
        Columns of the binned image.
    side : int
        Side of the bins, px.

    Returns
    -------
    fit : ColumnFit
        The columns, their shapes without the blur of the bins, without errors.
    """
    if side == 1:
        return fit
    table = fit.table.copy()
    table[:, ROW : COL + 1] = side * (table[:, ROW : COL + 1] + 0.5) - 0.5
    table[:, SIGMA] = unbin_width(fit.table[:, SIGMA], side)
    table[:, AMPLITUDE] *= (fit.table[:, SIGMA] / table[:, SIGMA]) ** 2
    table[:, BACKGROUND] /= side**2
    return fit._replace(table=table, std=np.full_like(table, np.nan))


def _blur(side):
    """Variance of the places of a block's pixels along an axis, px²."""
    return (side**2 - 1) / 12
