"""How much of an image the columns found explain."""

import numpy as np

from ._fitting.columns import SIGMA
from ._fitting.windows import render_columns
from ._image.filters import blob_response, noise_response


def power_sums(image, valid, fit, inner, calibration, width):
    """Sum up what structure a tile shows and what its columns leave of it.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The tile.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Pixels that count; None for all.
    fit : ColumnFit
        Its columns.
    inner : tuple of slice
        The tile's own pixels.
    calibration : Calibration
        Noise of the image.
    width : float
        Typical sigma, px.

    Returns
    -------
    sums : ndarray of shape (6,)
        Squares of the blob response of the image, of the image less its columns, and
        of the noise that was learned; squares of the second where it is below zero;
        numbers of pixels of all and of those.
    """
    columns = fit.columns.copy()
    sigma = columns[:, SIGMA]
    sigma[np.isnan(sigma)] = width
    rest = image - render_columns(image.shape, columns, width)
    if valid is not None:
        # Masked pixels are filled in the image, and there is nothing to explain.
        rest = np.where(valid, rest, image)
    # Both through the blob filter: backgrounds leave, and most of the noise.
    seen, left = (
        blob_response(part, width)[inner].astype(np.float64) for part in (image, rest)
    )
    noise = calibration.noise.variance(image[inner]).astype(np.float64)
    noise *= (noise_response(width) * calibration.inflation) ** 2
    if valid is not None:
        noise = noise[valid[inner]]
        seen, left = seen[valid[inner]], left[valid[inner]]
    trough = left[left < 0]
    return np.array(
        [
            np.sum(seen**2),
            np.sum(left**2),
            np.sum(noise),
            np.sum(trough**2),
            seen.size,
            trough.size,
        ]
    )


def explained_variance(sums):
    """Share of the structure above the noise that the columns explain.

    Parameters
    ----------
    sums : ndarray of shape (6,)
        Sums of :func:`power_sums` over all tiles.

    Returns
    -------
    share : float
        At most 1.
    """
    seen, left, noise, trough, n_pixels, n_trough = sums
    # Crests of the rest may be columns missed; troughs are noise, or columns that are
    # too bright.
    noise = min(noise / n_pixels, trough / max(n_trough, 1))
    structure = max(seen / n_pixels - noise, 1e-30)
    return 1 - max(left / n_pixels - noise, 0) / structure
