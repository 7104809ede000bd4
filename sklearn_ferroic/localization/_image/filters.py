"""Linear filters of images by Fourier transforms, equally fast for wide columns."""

import numpy as np
from scipy import fft

# Distance beyond which a Gaussian of unit sigma is negligible.
_REACH_SIGMA = 4.5
# Wider filters merge a faint column with the bright ones around it.
_MAX_FILTER_SIGMA_SPACINGS = 0.17


def blob_response(image, sigma):
    """Filter an image for blobs of a given sigma.

    The Laplacian of a Gaussian, scaled so that an isolated Gaussian column of
    this sigma responds with its amplitude. Constant backgrounds and ramps vanish.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    sigma : float
        Standard deviation of a column, px.

    Returns
    -------
    response : ndarray of shape (n_rows, n_cols)
        Response, float32, in units of the image.
    """
    return blob_responses(image, [sigma])[0]


def blob_responses(image, sigmas):
    """Filter an image for blobs of several sigmas.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    sigmas : list of float
        Standard deviations of columns, px.

    Returns
    -------
    responses : list of ndarray of shape (n_rows, n_cols)
        Results of :func:`blob_response` for each sigma.
    """
    return _filter(
        image, sigmas, _laplacian, int(np.ceil(_REACH_SIGMA * max(sigmas))) + 1
    )


def smooth(image, sigma, *, wrap=False):
    """Smooth an image by a Gaussian.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    sigma : float
        Standard deviation of the smoothing, px.
    wrap : bool, default=False
        Whether the image is continued periodically, which is fast, instead of by its
        mirror image.

    Returns
    -------
    smoothed : ndarray of shape (n_rows, n_cols)
        The smoothed image, float32.
    """
    pad = 0 if wrap else int(np.ceil(_REACH_SIGMA * sigma)) + 1
    return _filter(image, [sigma], _gaussian, pad)[0]


def noise_response(sigma):
    """Compute the response of the blob filter to white noise of unit variance.

    Parameters
    ----------
    sigma : float
        Standard deviation of a column, px.

    Returns
    -------
    deviation : float
        Standard deviation of the response.
    """
    square = (2 * np.pi * fft.fftfreq(256) * sigma) ** 2
    # The mean square of the transfer function, by its means along one axis.
    mean, first, second = (
        np.mean(square**power * np.exp(-square)) for power in range(3)
    )
    return float(np.sqrt(8 * (mean * second + first**2)))


def _filter(image, sigmas, transfer, pad):
    """Filter an image that its mirror images continue by `pad` pixels."""
    shape = [fft.next_fast_len(length + 2 * pad, real=True) for length in image.shape]
    if not pad:
        shape = image.shape
    # Small numbers are exact in float32: the mean is added again afterwards.
    mean = image.mean(dtype=np.float64).astype(np.float32)
    sides = [
        (pad, n - pad - length) for n, length in zip(shape, image.shape, strict=True)
    ]
    spectrum = fft.rfft2(np.pad(image - mean, sides, mode="symmetric"))
    rows = 2 * np.pi * fft.fftfreq(shape[0])[:, None].astype(np.float32)
    cols = 2 * np.pi * fft.rfftfreq(shape[1]).astype(np.float32)
    crop = tuple(slice(pad, pad + length) for length in image.shape)
    filtered = []
    for sigma in sigmas:
        gain = transfer(rows, cols, np.float32(sigma))
        part = fft.irfft2(spectrum * gain, shape, overwrite_x=True)[crop]
        filtered.append(part + mean * gain[0, 0])
    return filtered


def _gaussian(rows, cols, sigma):
    return np.exp(-0.5 * (rows * sigma) ** 2) * np.exp(-0.5 * (cols * sigma) ** 2)


def _laplacian(rows, cols, sigma):
    # A matrix product computes both terms of the Laplacian.
    rows, cols = (rows * sigma) ** 2, (cols * sigma) ** 2
    down, along = np.exp(-0.5 * rows), np.exp(-0.5 * cols)
    return np.hstack([2 * rows * down, down]) @ np.stack([along, 2 * cols * along])


def autocorrelation(images, last_lag, pad):
    """Compute the autocorrelation of images of one shape, corrected for their overlap.

    Parameters
    ----------
    images : iterable of ndarray of shape (n_rows, n_cols)
        High-passed images.
    last_lag : int
        Largest lag along each axis, px.
    pad : int
        Zeros added along each axis against wrapping, px; at least `last_lag`.

    Returns
    -------
    correlation : ndarray of shape (2 * last_lag + 1, 2 * last_lag + 1)
        The correlation, 1 in the middle, where the lag is 0.
    """
    total = 0
    for image in images:
        sides = image.shape
        shape = [fft.next_fast_len(side + pad, real=True) for side in sides]
        total = total + np.abs(fft.rfft2(image, shape)) ** 2
    lags = np.arange(-last_lag, last_lag + 1)
    # Of the inverse transform only the rows of short lags are needed.
    rows = fft.ifft(total, axis=0)[lags % shape[0]]
    correlation = fft.irfft(rows, shape[1], axis=1)[:, lags % shape[1]]
    correlation /= correlation[last_lag, last_lag]
    overlap = [np.maximum(side - np.abs(lags), 1) / side for side in sides]
    return correlation / np.outer(*overlap)


def filter_sigma(spacing, sigma):
    """Choose the sigma of the blob filter.

    Parameters
    ----------
    spacing, sigma : float
        Nearest-neighbour spacing and typical sigma of the columns, px.

    Returns
    -------
    sigma : float
        Sigma of the blobs that the filter responds to most, px.
    """
    return min(sigma, _MAX_FILTER_SIGMA_SPACINGS * spacing)
