"""Candidate columns: bright blobs of the right width."""

import numpy as np
from scipy.ndimage import gaussian_laplace, maximum_filter

from ._scale import vertex

# Two columns are never closer than this share of the spacing ...
MIN_DISTANCE = 0.55
# ... and a faint one not closer to a bright one than that.
_MIN_DISTANCE_FAINT = 0.75
_FAINT = 0.35


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
    response = gaussian_laplace(image, width, output=np.float32, mode="reflect")
    response *= np.float32(-2 * width**2)
    return response


def find_peaks(response, spacing, threshold):
    """Find the maxima of a blob response that are bright among their neighbours.

    Parameters
    ----------
    response : ndarray of shape (n_rows, n_cols)
        Output of :func:`blob_response`.
    spacing : float
        Nearest-neighbour spacing of columns, px.
    threshold : float
        Faintest peak kept, as a share of the brightest within about one spacing
        and a half.

    Returns
    -------
    positions : ndarray of shape (n_peaks, 2)
        Sub-pixel maxima.
    height : ndarray of shape (n_peaks,)
        Response at the maxima.
    """
    size = 2 * max(1, int(0.5 * MIN_DISTANCE * spacing)) + 1
    peak = response == maximum_filter(response, size, mode="nearest")
    size = 2 * int(1.5 * spacing) + 1
    floor = maximum_filter(response, size, mode="nearest")
    floor *= np.float32(threshold)
    np.maximum(floor, 0, out=floor)
    peak &= response > floor
    row, col = np.nonzero(peak)
    height = response[row, col]
    return vertex(response, row, col), height


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
    side = 2 * int(4 * width + 1) + 1
    point = np.zeros((side, side), dtype=np.float32)
    point[side // 2, side // 2] = 1
    return float(np.sqrt(np.sum(blob_response(point, width) ** 2)))


def trough_power(response, variance=1.0):
    """Mean square of a response's troughs.

    Of the residual of a fit this is its noise: crests may be columns that the
    model does not hold yet.

    Parameters
    ----------
    response : ndarray of shape (n_rows, n_cols)
        Blob response of the image minus the model of its columns.
    variance : float or ndarray of shape (n_rows, n_cols), default=1.0
        What the squares are divided by.

    Returns
    -------
    power : float
        Mean of the squares over the pixels below zero.
    """
    trough = response < 0
    square = np.square(response) / variance
    return float(square[trough].mean()) if trough.any() else 0.0


def drop_crowded(positions, height, pairs, distance, spacing):
    """Tell which columns stand too close to a brighter one.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns.
    height : ndarray of shape (n,)
        Their brightness.
    pairs : ndarray of shape (n_pairs, 2)
        Indices of neighbours.
    distance : ndarray of shape (n_pairs,)
        Their distances, px.
    spacing : float
        Nearest-neighbour spacing of columns, px.

    Returns
    -------
    keep : ndarray of bool of shape (n,)
        False for the fainter column of a pair that is too close.
    """
    keep = np.ones(len(positions), dtype=bool)
    bright = np.where(height[pairs[:, 0]] >= height[pairs[:, 1]], *pairs.T)
    dim = pairs.sum(axis=1) - bright
    faint = height[dim] < _FAINT * height[bright]
    limit = np.where(faint, _MIN_DISTANCE_FAINT, MIN_DISTANCE) * spacing
    close = distance < limit
    # Brightest first: a column that goes itself removes no other.
    order = np.argsort(-height[bright[close]], kind="stable")
    for winner, loser in zip(
        bright[close][order].tolist(), dim[close][order].tolist(), strict=True
    ):
        if keep[winner]:
            keep[loser] = False
    return keep
