"""Which columns are on the image: centres on it, or whole."""

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from .._fitting.columns import COL, ROW, on_image
from .calibration import at_pixels

# Within a width of the border, a centre is known to this share of the width.
_MAX_STD = 0.25


def stands_inside(fit, shape, valid, width):
    """Tell which columns have their centres on the image, as far as can be known.

    The half or the tail of a column fits a range of centres: a fit counts if it is
    inside by its standard error, and at the border if it is not a mere guess.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    shape : tuple of int
        Shape of the image.
    valid : ndarray of bool of that shape or None
        Pixels that count; None for all.
    width : float
        Typical sigma, px.

    Returns
    -------
    inside : ndarray of bool of shape (n,)
        Which ones.
    """
    positions, std = fit.table[:, ROW : COL + 1], fit.std[:, ROW : COL + 1]
    # Without a fit, or with a doubtful one, there is the position alone.
    std = np.where(fit.converged[:, None], np.nan_to_num(std), 0)
    known = (std < _MAX_STD * width).all(axis=1)
    inside = on_image(positions, shape, std)
    if valid is not None:
        inside &= at_pixels(valid, positions)
    return inside & (known | clear_of_border(positions, shape, valid, width))


def clear_of_border(positions, shape, valid, margin):
    """Tell which positions are a margin away from all that is not looked at.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Where, px.
    shape : tuple of int
        Shape of the image.
    valid : ndarray of bool of that shape or None
        Pixels that count; None for all.
    margin : float
        Distance from the border of the image and from the pixels that do not count,
        px.

    Returns
    -------
    clear : ndarray of bool of shape (n,)
        Which ones.
    """
    clear = on_image(positions, shape, margin)
    if valid is not None:
        # It counts from the centres of pixels, the margin from their edges.
        distance = distance_transform_edt(valid)
        distance = map_coordinates(distance, positions.T, order=1, mode="nearest")
        clear &= distance - 0.5 >= margin
    return clear
