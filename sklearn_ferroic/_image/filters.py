"""Filters of images by Fourier transforms, and the peaks of their responses."""

import numpy as np
from scipy import fft

from .._lattice.neighbors import neighbor_pairs, order_by_height
from .pixels import at_pixels, bin_image

# Distance beyond which a Gaussian of unit sigma is negligible.
GAUSSIAN_REACH_SIGMA = 4.5
# Wider filters merge a faint column with the bright ones around it.
_MAX_FILTER_SIGMA_SPACINGS = 0.17
# Two columns closer than this share of the spacing are one, found twice.
SAME_COLUMN_SPACINGS = 0.3
# Columns are compared with the brightest within this many spacings.
NEIGHBOR_REACH_SPACINGS = 1.5


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
        image, sigmas, _laplacian, int(np.ceil(GAUSSIAN_REACH_SIGMA * max(sigmas))) + 1
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
    pad = 0 if wrap else int(np.ceil(GAUSSIAN_REACH_SIGMA * sigma)) + 1
    return _filter(image, [sigma], _gaussian, pad)[0]


def local_mean(image, positions, reach):
    """Compute the mean of an image around positions, weighted by a Gaussian.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Centres of the Gaussians, px.
    reach : float
        Standard deviation of the Gaussians, px.

    Returns
    -------
    mean : ndarray of shape (n,)
        The means, of bins that are fine enough for such a smooth function.
    """
    side = max(1, int(reach / 2))
    mean = smooth(bin_image(image, side), reach / side) / side**2
    return at_pixels(mean, (positions + 0.5) / side - 0.5)


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


def find_peaks(response, spacing, threshold, limit=None, least=0.0, mask=None):
    """Find the maxima of a blob response that are bright among their neighbours.

    Parameters
    ----------
    response : ndarray of shape (n_rows, n_cols)
        Output of :func:`~sklearn_ferroic._image.filters.blob_response`.
    spacing : float
        Nearest-neighbour spacing of columns, px.
    threshold : float
        Faintest peak kept, as a share of the brightest within one spacing and a
        half.
    limit : callable, default=None
        Returns the minimum height of peaks at pixels ``(row, col)``.
    least : float, default=0.0
        Lower bound of `limit` anywhere, to skip lower maxima.
    mask : ndarray of bool of shape (n_rows, n_cols), default=None
        Good pixels; all if None. Peaks on others are compared with, but not returned.

    Returns
    -------
    positions : ndarray of shape (n_peaks, 2)
        Sub-pixel maxima, in the pixels of the maxima.
    height : ndarray of shape (n_peaks,)
        Response at the maxima.
    """
    row, col = _maxima(response, least)
    if limit is not None:
        high = response[row, col] > limit(row, col)
        row, col = row[high], col[high]
    height = response[row, col]
    positions = vertex(response, row, col)
    pairs, distance = neighbor_pairs(positions, NEIGHBOR_REACH_SPACINGS * spacing)
    bright, dim = order_by_height(pairs, height)
    keep = np.ones(len(height), dtype=bool)
    keep[dim[distance < SAME_COLUMN_SPACINGS * spacing]] = False
    brightest = height.copy()
    np.maximum.at(brightest, dim, height[bright])
    keep &= height > threshold * brightest
    if mask is not None:
        keep &= mask[row, col]
    return positions[keep], height[keep]


def _maxima(response, least):
    """Return maxima above a height; of equal neighbours the last."""
    peak = response > least
    for axis in (0, 1):
        before = (slice(None),) * axis + (slice(None, -1),)
        after = (slice(None),) * axis + (slice(1, None),)
        rises = response[after] >= response[before]
        peak[after] &= rises
        peak[before] &= np.logical_not(rises, out=rises)
    row, col = np.nonzero(peak)
    height = response[row, col]
    highest = np.ones(len(row), dtype=bool)
    for down, along in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        near = (
            np.clip(row + down, 0, response.shape[0] - 1),
            np.clip(col + along, 0, response.shape[1] - 1),
        )
        highest &= height >= response[near]
    return row[highest], col[highest]


def vertex(surface, row, col):
    """Compute sub-pixel maxima of a surface by parabolas along the axes."""
    middle = surface[row, col]
    last_row, last_col = np.array(surface.shape) - 1
    above, below = np.maximum(row - 1, 0), np.minimum(row + 1, last_row)
    left, right = np.maximum(col - 1, 0), np.minimum(col + 1, last_col)
    vertices = []
    for place, low, high in (
        (row, surface[above, col], surface[below, col]),
        (col, surface[row, left], surface[row, right]),
    ):
        curvature = low - 2 * middle + high
        shift = np.where(
            curvature < 0, (low - high) / (2 * np.minimum(curvature, -1e-30)), 0
        )
        # At half a pixel, rounding errors would decide the nearest pixel.
        vertices.append(place + np.clip(shift, -0.49, 0.49))
    return np.stack(vertices, axis=1)
