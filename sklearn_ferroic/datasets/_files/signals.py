"""Arrays in a file, selection of one of them, and resampling to square pixels."""

from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import make_interp_spline


class Signal(NamedTuple):
    """One array of a file with its axes and metadata."""

    title: str
    image: Any
    axes: Any  # ((scale, unit), (scale, unit)) of rows and columns, or None
    metadata: dict
    # Whether the axes are known to be frames, rows and columns, none of them colours.
    is_arranged: bool = False


@contextmanager
def reading(path, kind):
    """Convert the errors of a library for a bad file to a ValueError."""
    try:
        yield
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} could not be read as {kind} ({type(error).__name__}: "
            f"{error}). Is it damaged, or of another kind than its name suggests?"
        ) from error


def check_size(name, n_bytes, max_bytes):
    """Raise ValueError if an array is larger than allowed."""
    if n_bytes > max_bytes:
        raise ValueError(
            f"{name!r} declares {n_bytes:,} bytes, more than max_bytes={max_bytes:,}"
        )


def choose(names, wanted, path, option):
    """Return the index of the requested image.

    Parameters
    ----------
    names : list of str
        Names of the images in the file.
    wanted : str, int or None
        The caller's choice.
    path : path-like
        The file, for messages.
    option : str
        Name of the parameter that chooses, for messages.

    Returns
    -------
    index : int
    """
    listing = ", ".join(repr(name) for name in names)
    if not names:
        raise ValueError(f"{str(path)!r} contains no image.")
    if isinstance(wanted, str):
        matches = [i for i, name in enumerate(names) if name == wanted]
        if len(matches) == 1:
            return matches[0]
        problem = f"{len(matches)} images called" if matches else "no image called"
        hint = f"; choose by number, {option}=0 for the first" if matches else ""
        raise ValueError(
            f"{str(path)!r} contains {problem} {wanted!r}. It contains: {listing}"
            f"{hint}."
        )
    if wanted is not None:
        if not 0 <= wanted < len(names):
            raise ValueError(
                f"{option}={wanted} is out of range: {str(path)!r} contains "
                f"{len(names)} image(s): {listing}."
            )
        return int(wanted)
    if len(names) > 1:
        raise ValueError(
            f"{str(path)!r} contains {len(names)} images: {listing}. Choose one with "
            f"{option}=."
        )
    return 0


def is_image(array):
    """Return whether an array-like can be an image or a stack of images."""
    return array.ndim in (2, 3) and array.dtype.kind in "iuf"


def to_grey(array, path, *, is_arranged=False):
    """Check that an array is an image or a stack, and convert colour to grey.

    Parameters
    ----------
    array : ndarray
        What the file contains.
    path : path-like
        The file, for messages.
    is_arranged : bool, default=False
        Whether the last two axes are known to be rows and columns; a short last axis
        contains colours otherwise.

    Returns
    -------
    image : ndarray of shape (n_rows, n_cols) or (n_images, n_rows, n_cols)
        In the stored precision and the machine's byte order.
    """
    if array.dtype.names and set("RGB") <= set(array.dtype.names):
        array = np.stack([array[name] for name in "RGB"], axis=-1)
        is_arranged = False
    if array.dtype.kind == "c":
        raise ValueError(
            f"{str(path)!r} contains complex numbers; an image of real intensities is "
            "needed. Take the magnitude, np.abs, or the real part and save that."
        )
    if array.dtype.kind not in "iuf":
        raise ValueError(
            f"{str(path)!r} contains values of type {array.dtype}; an image of real "
            "numbers is needed."
        )
    if not is_arranged and array.ndim in (3, 4):
        if array.shape[-1] == 1:
            array = array[..., 0]
        elif array.shape[-1] in (2, 3, 4):
            array = _collapse(array, path)
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(
            f"{str(path)!r} contains an array of shape {array.shape}; an image "
            "(n_rows, n_cols) or a stack (n_images, n_rows, n_cols) is needed."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).any():
        raise ValueError(
            f"{str(path)!r} contains an image of shape {array.shape} without a single "
            "finite value. Was it saved before it was filled?"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _collapse(array, path):
    n_colours = 1 if array.shape[-1] == 2 else 3
    colours, rest = array[..., :n_colours], array[..., n_colours:]
    transparent = rest.size and (rest != rest.flat[0]).any()
    if transparent or (colours != colours[..., :1]).any():
        what = "transparency" if transparent else "colours"
        raise ValueError(
            f"{str(path)!r} is an image with {what}, of shape {array.shape}: its "
            "channels differ, so it contains no single intensity. Load the detector's "
            "own file, or convert it to grey first (skimage.color.rgb2gray) where "
            "that makes sense."
        )
    return colours[..., 0]


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
