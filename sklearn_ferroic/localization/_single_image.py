"""The work on one image, as joblib runs it, with its own messages."""

import numpy as np

from ._columns import AMPLITUDE, BACKGROUND
from ._locate import estimate_width, locate_columns
from ._scale import estimate_spacing

# The image must hold this many spacings along each side.
_MIN_SPACINGS = 3


def estimate_scale(image, spacing, number):
    """Estimate spacing and width of the columns of an image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    spacing : float or None
        Nearest-neighbour spacing if it is known, px.
    number : int
        Index of the image, for messages.

    Returns
    -------
    spacing, width : float
        Nearest-neighbour spacing and typical sigma, px.
    """
    image = image / _unit(image)
    if spacing is None:
        spacing = estimate_spacing(image)
    if not np.isfinite(spacing):
        raise ValueError(_nothing_found(number))
    if min(image.shape) < _MIN_SPACINGS * spacing:
        raise ValueError(
            f"Image {number} of shape {image.shape} is smaller than {_MIN_SPACINGS} "
            f"column spacings of {spacing:.1f} px. Give a larger image, or the right "
            "spacing in px."
        )
    width = estimate_width(image, float(spacing))
    if not np.isfinite(width):
        raise ValueError(_nothing_found(number))
    return spacing, width


def locate_image(image, number, *, spacing, width, threshold, refine):
    """Locate the columns of an image, or say in which image there are none.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    number : int
        Index of the image, for messages.
    spacing, width, threshold, refine
        As :func:`locate_columns` takes them.

    Returns
    -------
    fit : ColumnFit
        The columns.
    """
    unit = _unit(image)
    fit = locate_columns(
        image / unit, spacing=spacing, width=width, threshold=threshold, refine=refine
    )
    if not len(fit.table):
        raise ValueError(_nothing_found(number))
    fit.table[:, [AMPLITUDE, BACKGROUND]] *= unit
    return fit


def _nothing_found(number):
    return (
        f"No columns found in image {number}. Does it show resolved atomic columns, "
        "bright on dark (invert a bright-field image)? If it does, give AtomLocator "
        "their spacing in px or a lower threshold."
    )


def _unit(image):
    """Power of two that brings currents in ampere into the range of float32."""
    scale = float(np.std(image, dtype=np.float64))
    if 1e-2 < scale < 1e5:
        return np.float32(1)
    return np.float32(2.0 ** np.round(np.log2(scale)))
