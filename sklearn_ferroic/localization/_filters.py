"""Linear filters of images, by Fourier transform: as fast for wide columns."""

from functools import lru_cache

import numpy as np
from scipy import fft

# Where a Gaussian of unit sigma may be taken to have ended.
_REACH = 4.5


def blob_response(image, width):
    """Filter an image for blobs of a given width.

    The Laplacian of a Gaussian, scaled so that an isolated Gaussian column of
    this width responds with its amplitude. Constant backgrounds and ramps vanish.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    width : float
        Standard deviation of a column, px.

    Returns
    -------
    response : ndarray of shape (n_rows, n_cols)
        Response, float32, in units of the image.
    """
    return _filter(image, width, _laplacian, int(np.ceil(_REACH * width)) + 1)


def smooth(image, sigma, *, wrap=False):
    """Smooth an image by a Gaussian.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    sigma : float
        Standard deviation of the smoothing, px.
    wrap : bool, default=False
        Whether the image is its own continuation, which is fast, and not its mirror
        image.

    Returns
    -------
    smoothed : ndarray of shape (n_rows, n_cols)
        The smoothed image, float32.
    """
    pad = 0 if wrap else int(np.ceil(_REACH * sigma)) + 1
    return _filter(image, sigma, _gaussian, pad)


@lru_cache(maxsize=64)
def noise_response(width):
    """Compute how white noise of unit variance leaves the blob filter.

    Parameters
    ----------
    width : float
        Standard deviation of a column, px.

    Returns
    -------
    deviation : float
        Standard deviation of the response.
    """
    frequency = 2 * np.pi * fft.fftfreq(256)
    square = _laplacian(frequency[:, None], frequency, width) ** 2
    return float(np.sqrt(square.mean()))


def _filter(image, sigma, transfer, pad):
    """Filter an image that its mirror images continue by `pad` pixels."""
    shape = [fft.next_fast_len(length + 2 * pad, real=True) for length in image.shape]
    if not pad:
        shape = image.shape
    # Small numbers keep float32 exact: a filter that keeps the mean gets it back.
    mean = image.mean(dtype=np.float64).astype(np.float32)
    sides = [
        (pad, n - pad - length) for n, length in zip(shape, image.shape, strict=True)
    ]
    spectrum = fft.rfft2(np.pad(image - mean, sides, mode="symmetric"))
    rows = 2 * np.pi * fft.fftfreq(shape[0])[:, None].astype(np.float32)
    cols = 2 * np.pi * fft.rfftfreq(shape[1]).astype(np.float32)
    gain = transfer(rows, cols, np.float32(sigma))
    spectrum *= gain
    filtered = fft.irfft2(spectrum, shape, overwrite_x=True)
    filtered = filtered[pad : pad + image.shape[0], pad : pad + image.shape[1]]
    return filtered + mean * gain[0, 0]


def _gaussian(rows, cols, sigma):
    return np.exp(-0.5 * (rows * sigma) ** 2) * np.exp(-0.5 * (cols * sigma) ** 2)


def _laplacian(rows, cols, sigma):
    # A matrix product does it in one pass.
    rows, cols = (rows * sigma) ** 2, (cols * sigma) ** 2
    down, along = np.exp(-0.5 * rows), np.exp(-0.5 * cols)
    return np.hstack([2 * rows * down, down]) @ np.stack([along, 2 * cols * along])
