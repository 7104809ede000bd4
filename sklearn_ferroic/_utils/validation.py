"""Checks of parameters and of arrays of other libraries."""

from numbers import Integral

import numpy as np
from sklearn.utils import _param_validation


class Interval(_param_validation.Interval):
    """Interval of scikit-learn that does not accept truth values as numbers."""

    def is_satisfied_by(self, val):
        """Return whether a value is a number in the interval."""
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


# A stack has its images along the last axis if that axis has more than four pixels,
# the most that colours have, and less than this share of the others: no image is so
# narrow.
_THIN_SHARE = 0.2
# The same if the other axes are equal, as the sides of a square image.
_THIN_SHARE_OF_SQUARE = 0.5

N_JOBS = [
    Interval(Integral, 1, None, closed="left"),
    Interval(Integral, None, -1, closed="right"),
    None,
]


class ForeignArrayError(TypeError):
    """Error for an array of another library that NumPy cannot convert."""


def to_numpy(values, name):
    """Convert values to an array, with a helpful error for other libraries.

    Parameters
    ----------
    values : array-like
        The values; arrays and masked arrays are returned as they are.
    name : str
        Name of the values in the message.

    Returns
    -------
    array : ndarray
        The same values.

    Raises
    ------
    TypeError
        If NumPy cannot convert the array of another library.
    """
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.asarray(values)
    except (RuntimeError, TypeError) as error:
        library = type(values).__module__.partition(".")[0]
        if library not in _REMEDIES:
            raise
        raise ForeignArrayError(
            f"{name} is an array of {library} that NumPy cannot convert "
            f"({error}). Pass {name}{_REMEDIES[library]}."
        ) from error


_REMEDIES = {
    "torch": ".detach().cpu().float().numpy()",
    "cupy": ".get()",
    "jax": ".astype('float32')",
}


def refuse_mask(values, name):
    """Raise ValueError if values are a masked array with masked entries."""
    if np.ma.isMA(values) and np.ma.getmaskarray(values).any():
        n_masked = np.count_nonzero(np.ma.getmaskarray(values))
        raise ValueError(
            f"{name} is a masked array with {n_masked} masked value(s), which cannot "
            f"be omitted. Fill them, {name}.filled(value), or drop their rows."
        )


def refuse_images_along_last_axis(shape):
    """Raise ValueError for the shape of a stack of images of the wrong axis order.

    Parameters
    ----------
    shape : tuple of int
        Shape of an array of images.
    """
    if len(shape) != 3 or shape[2] < 3:
        return
    n_rows, n_cols, n_last = shape
    if n_last <= 4:
        if min(n_rows, n_cols) > 4:
            raise ValueError(
                f"An array of shape {shape} looks like a colour image (RGB or RGBA), "
                "such as a screenshot. One grey value a pixel is needed: use the image "
                "of the detector, image[..., 0] if the channels are equal, or "
                "skimage.color.rgb2gray(image)."
            )
        return
    share = _THIN_SHARE_OF_SQUARE if n_rows == n_cols else _THIN_SHARE
    if n_last < share * min(n_rows, n_cols):
        raise ValueError(
            f"An array of shape {shape} seems to hold its {n_last} images along the "
            "last axis; they are expected along the first. Pass "
            "numpy.moveaxis(images, -1, 0). If the images are really so narrow, pass "
            "them as a list, list(images)."
        )
