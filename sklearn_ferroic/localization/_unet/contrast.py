"""Local contrast: what the network sees of an image, whatever its units."""

import numpy as np
from scipy.ndimage import gaussian_filter

from .scaling import NET_SPACING

_SIGMA = 1.5 * NET_SPACING
_TRUNCATE = 3.0
# Pixels farther than this have no say in a pixel's contrast.
REACH = int(_TRUNCATE * _SIGMA + 0.5)
# Where less is to be seen than this share of the usual contrast, noise stays low.
_FLOOR = 0.25


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
        The image less its local mean, over its local standard deviation.
    """
    mean, deviation = local_deviation(image)
    scale = np.sqrt(deviation**2 + np.float32(_FLOOR * usual) ** 2)
    contrast = (image - mean) / np.maximum(scale, np.finfo(np.float32).tiny)
    return np.clip(contrast, -6, 12).astype(np.float32)


def _smooth(image):
    return gaussian_filter(image, _SIGMA, truncate=_TRUNCATE)
