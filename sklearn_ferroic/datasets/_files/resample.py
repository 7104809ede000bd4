"""Resampling of images to square pixels."""

import numpy as np
from scipy.interpolate import make_interp_spline


def to_square_pixels(image, row, col):
    """Resample images to square pixels of the shorter side by a cubic spline.

    The centre of the first pixel stays where it is, and the last one lies inside the
    given image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols) or (n_images, n_rows, n_cols)
        Real images.
    row, col : float
        Sides of a pixel along the rows' and the columns' axis.

    Returns
    -------
    image : ndarray of shape (n_rows, n_cols) or (n_images, n_rows, n_cols)
        The images, float64 if they were, otherwise float32.
    side : float
        Side of the new pixels.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    if not np.isfinite(image).all():
        raise ValueError(
            "An image with NaN or infinity cannot be resampled to square pixels. Fill "
            "such pixels first, or pass pixel_size= to take the pixels as square."
        )
    axis = -2 if row > col else -1
    side, long_side = min(row, col), max(row, col)
    n_given = image.shape[axis]
    # Rounding of the sides must not cost a pixel.
    n_pixels = int((n_given - 1) * long_side / side + 1e-6) + 1
    spline = make_interp_spline(
        np.arange(n_given), image.astype(np.float64), k=min(3, n_given - 1), axis=axis
    )
    squared = spline(np.arange(n_pixels) * (side / long_side))
    dtype = np.float64 if image.dtype == np.float64 else np.float32
    return squared.astype(dtype, copy=False), side
