"""Images at the scale of the network, whole or in part.

Every resampled pixel is a weighted mean of pixels around its place, rows and columns
apart: a part of an image gives the same numbers as the whole.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array

# Distance of nearest columns at the scale of the network, px.
NET_SPACING_PX = 8.0
_CONTRAST_SIGMA_PX = 1.5 * NET_SPACING_PX
_TRUNCATE_SIGMA = 3.0
# Pixels farther than this do not affect a pixel's contrast.
CONTRAST_REACH = int(_TRUNCATE_SIGMA * _CONTRAST_SIGMA_PX + 0.5)
# Minimum local deviation, as a share of the usual one: noise is not amplified further.
_MIN_CONTRAST_SHARE = 0.25


def net_length(length, factor):
    """Count the resampled pixels along a side.

    Parameters
    ----------
    length : int
        Side of the image, px.
    factor : float
        Side of a resampled pixel, px.

    Returns
    -------
    length : int
        Side of the resampled image.
    """
    return max(1, round(length / factor))


def resample(image, factor, window):
    """Resample a part of an image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The whole image.
    factor : float
        Side of a resampled pixel, px.
    window : tuple of slice
        Rows and columns of the resampled image that are wanted.

    Returns
    -------
    part : ndarray of shape (n_window_rows, n_window_cols), float32
        The resampled part.
    """
    (rows, row_weights), (cols, col_weights) = (
        _weights(part, factor, length)
        for part, length in zip(window, image.shape, strict=True)
    )
    part = np.asarray(image[rows, cols], dtype=np.float32)
    part = col_weights @ np.ascontiguousarray((row_weights @ part).T)
    return np.ascontiguousarray(part.T)


def to_net(positions, factor):
    """Express positions in an image in resampled pixels."""
    return (positions + 0.5) / factor - 0.5


def from_net(positions, factor):
    """Express positions in resampled pixels in those of the image."""
    return (positions + 0.5) * factor - 0.5


def _weights(part, factor, length):
    """Return weights along one side: first and last pixel, and a matrix."""
    half = max(factor, 1.0)
    center = (np.arange(part.start, part.stop) + 0.5) * factor - 0.5
    steps = np.arange(int(np.ceil(2 * half)) + 1)
    pixel = np.ceil(center - half).astype(int)[:, None] + steps
    weight = np.maximum(1 - np.abs(pixel - center[:, None]) / half, 0)
    # The image is continued by its border pixels.
    pixel = np.clip(pixel, 0, length - 1)
    weight /= weight.sum(axis=1, keepdims=True)
    first, last = pixel.min(), pixel.max() + 1
    row = np.repeat(np.arange(len(center)), len(steps))
    matrix = csr_array(
        (weight.astype(np.float32).ravel(), (row, (pixel - first).ravel())),
        (len(center), last - first),
    )
    return slice(first, last), matrix


def local_deviation(image):
    """Compute the local mean and the local standard deviation.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        Image at the network's scale.

    Returns
    -------
    mean, deviation : ndarray of shape (n_rows, n_cols)
        Around each pixel.
    """
    middle = np.float32(np.median(image))
    flat = image - middle
    mean = _smooth(flat)
    variance = _smooth(flat**2) - mean**2
    return mean + middle, np.sqrt(np.maximum(variance, 0))


def normalize(image, usual):
    """Compute the local contrast.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        Image at the network's scale.
    usual : float
        Root mean square of the local standard deviation over the whole image.

    Returns
    -------
    contrast : ndarray of shape (n_rows, n_cols), float32
        The image minus its local mean, over its local standard deviation.
    """
    mean, deviation = local_deviation(image)
    scale = np.sqrt(deviation**2 + np.float32(_MIN_CONTRAST_SHARE * usual) ** 2)
    contrast = (image - mean) / np.maximum(scale, np.finfo(np.float32).tiny)
    return np.clip(contrast, -6, 12).astype(np.float32)


def _smooth(image):
    return gaussian_filter(image, _CONTRAST_SIGMA_PX, truncate=_TRUNCATE_SIGMA)
