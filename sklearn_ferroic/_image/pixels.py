"""Pixels and bins: sums of blocks, values at positions, distances from the border.

Finely sampled images are binned for all but the last fit: columns with a sigma of one
pixel are detected as well as wider ones, and preliminary fits need no more. Bins are
sums, because sums of counts are counts.
"""

import math

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

# Binned images show columns of this sigma and spacing at least, in bins.
MIN_SIGMA_BINS = 1.0
MIN_SPACING_BINS = 4.5


def choose_binning(spacing, sigma):
    """Choose the side of the blocks of pixels that are summed.

    Parameters
    ----------
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px.

    Returns
    -------
    side : int
        Side of the blocks, px; 1 for images that are not finely sampled.
    """
    return max(1, int(min(sigma / MIN_SIGMA_BINS, spacing / MIN_SPACING_BINS)))


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
    """Sum square blocks of an image that is mirrored at its end.

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


def binned_scale(spacing, sigma, side):
    """Compute spacing and sigma of columns in bins.

    Parameters
    ----------
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma, px.
    side : int
        Side of the bins, px.

    Returns
    -------
    spacing, sigma : float
        The same in bins, which blur.
    """
    return spacing / side, math.sqrt(sigma**2 + bin_variance(side)) / side


def unbin_sigma(sigma, side):
    """Compute the sigma of columns from that in a binned image.

    Parameters
    ----------
    sigma : float or ndarray
        Sigma, in bins.
    side : int
        Side of the bins, px.

    Returns
    -------
    sigma : float or ndarray
        Sigma without the blur of the bins, px.
    """
    square = (side * sigma) ** 2
    # Spikes may be narrower than the blur.
    return np.sqrt(np.maximum(square - bin_variance(side), 0.25 * square))


def bin_variance(side):
    """Compute the variance of the pixel positions in a block along an axis, px²."""
    return (side**2 - 1) / 12


def on_image(positions, shape, margin=0.0):
    """Check which positions lie on the area of the pixels, by a margin."""
    first, last = margin - 0.5, np.array(shape) - 0.5 - margin
    return ((positions >= first) & (positions <= last)).all(axis=1)


def at_pixels(image, positions):
    """Return the value of the pixel nearest to each position.

    Positions off the image take the nearest border pixel.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Positions, px.

    Returns
    -------
    values : ndarray of shape (n,)
        Values of the pixels.
    """
    nearest = np.clip(np.rint(positions).astype(int), 0, np.array(image.shape) - 1)
    return image[nearest[:, 0], nearest[:, 1]]


def clear_of_border(positions, shape, mask, margin):
    """Check which positions are a margin away from the border and from bad pixels.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Positions, px.
    shape : tuple of int
        Shape of the image.
    mask : ndarray of bool of that shape or None
        Good pixels; None if all are good.
    margin : float
        Distance from the border of the image and from bad pixels, px.

    Returns
    -------
    clear : ndarray of bool of shape (n,)
        Which ones.
    """
    clear = on_image(positions, shape, margin)
    if mask is not None:
        # Distances are to the centres of pixels, the margin is to their edges.
        distance = distance_transform_edt(mask)
        distance = map_coordinates(distance, positions.T, order=1, mode="nearest")
        clear &= distance - 0.5 >= margin
    return clear
