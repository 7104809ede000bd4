"""Input images: accepted types, checks, and replacement of bad pixels."""

from numbers import Real
from pathlib import PurePath

import numpy as np

from .._utils.metadata import plain_metadata
from .._utils.offset import find_image_offset, subtract_offset
from .._utils.validation import (
    ForeignArrayError,
    refuse_images_along_last_axis,
    to_numpy,
)
from ..datasets._containers import foreign_metadata, is_foreign, unpack_foreign
from ..sites import AtomSites
from .bad_pixels import fill_hot_pixels, fill_masked, find_bad_lines

_EXPECTED = (
    "Give a 2-D grey image (n_rows, n_cols), a 3-D stack (n_images, n_rows, n_cols), "
    "a list of 2-D images, or what load_image returns"
)
# Images with fewer pixels along a side show no lattice at any magnification.
_MIN_SIDE_PX = 12


def check_images(images):
    """Read images and pixel sizes from arrays and image containers.

    Parameters
    ----------
    images : array-like, container, or list of these
        A 2-D array, a 3-D stack, an ``(array, pixel_size)`` tuple, an object with
        ``image`` and ``pixel_size``, an image of HyperSpy, xarray, sidpy or quantem,
        or a list of 2-D arrays or containers; arrays may be masked.

    Returns
    -------
    arrays : list of ndarray of shape (n_rows, n_cols)
        The images as float32, unmodified copies or the arrays themselves; masked and
        hot pixels are filled from their surroundings, and an offset that float32
        cannot represent with the contrast is subtracted.
    masks : list of (ndarray of bool of shape (n_rows, n_cols) or None)
        Good pixels; None where none is masked.
    pixel_sizes : list of (float or None)
        Pixel size of each image in nm, None where it is unknown.

    Raises
    ------
    TypeError
        If an input is not an array of real numbers.
    ValueError
        If an image is empty, constant, not finite, in colour, or too small.
    """
    if isinstance(images, AtomSites):
        raise TypeError(
            "Got AtomSites where images are expected: their columns are located "
            f"already. Pass them to PatchExtractor, or pass the images. {_EXPECTED}."
        )
    arrays, masks, pixel_sizes = [], [], []
    entries = [images] if _is_single(images) else list(images)
    if not entries:
        raise ValueError(f"Got an empty list of images. {_EXPECTED}.")
    for entry in entries:
        data, pixel_size = unpack_image(entry)
        data = _as_real_array(data, f"image {len(arrays)}")
        if data.ndim == 3 and (_is_colour(data) or len(entries) == 1):
            refuse_images_along_last_axis(data.shape)
        stack = data if data.ndim == 3 and len(entries) == 1 else [data]
        for array in stack:
            name = f"image {len(arrays)}"
            image, mask = _check_image(array, name)
            arrays.append(image)
            masks.append(mask)
            pixel_sizes.append(_check_pixel_size(pixel_size, name))
    if not arrays:
        raise ValueError(f"Got an empty stack of images. {_EXPECTED}.")
    return arrays, masks, pixel_sizes


def image_metadata(images, n_images):
    """Return the metadata of images that are files or containers.

    Parameters
    ----------
    images : array-like, container, or list of these
        As `check_images` takes them.
    n_images : int
        Number of images, of which a single entry may be the stack.

    Returns
    -------
    metadata : list of dict
        One per image, of JSON-serializable values; empty where there are none.
    """
    entries = [images] if _is_single(images) else list(images)
    metadata = [container_metadata(entry) for entry in entries]
    return metadata * n_images if len(entries) == 1 else metadata


def displacement_errors(images, n_images):
    """Return the errors of positions due to displacements of the rows of images.

    Parameters
    ----------
    images : array-like, container, or list of these
        As `check_images` takes them; averages of frames have `displacement_std`.
    n_images : int
        Number of images, of which a single entry may be the stack.

    Returns
    -------
    errors : list of (ndarray of shape (n_rows, 2) or None)
        Standard errors ``(row, col)`` of the columns in each row, px.
    """
    entries = [images] if _is_single(images) else list(images)
    errors = [
        getattr(entry, "displacement_std", None) if hasattr(entry, "image") else None
        for entry in entries
    ]
    return errors * n_images if len(entries) == 1 else errors


def container_metadata(entry):
    """Return the metadata of one file or container, with the name of its file."""
    if is_foreign(entry):
        return foreign_metadata(entry)
    own = getattr(entry, "metadata", None) if hasattr(entry, "image") else None
    path = getattr(entry, "path", None) if hasattr(entry, "image") else None
    if not isinstance(own, dict):
        return {}
    name = {"file": PurePath(path).name} if isinstance(path, str) else {}
    return name | plain_metadata(own)


def _is_container_tuple(entry):
    if not isinstance(entry, tuple) or len(entry) != 2 or _has_image(entry[1]):
        return False
    return entry[1] is None or np.ndim(entry[1]) == 0


def _has_image(entry):
    return hasattr(entry, "image") or is_foreign(entry)


def is_container(entry):
    """Check whether an object is an image or a stack with its pixel size."""
    return _has_image(entry) or _is_container_tuple(entry)


def _is_single(images):
    if hasattr(images, "image") or _is_container_tuple(images):
        return True
    if not isinstance(images, (list, tuple)):
        return True
    # A nested list of numbers is an array-like, not a list of images.
    return bool(images) and np.ndim(_first_number(images)) == 0


def _first_number(images):
    first = images[0]
    if isinstance(first, (list, tuple)) and first and not _is_container_tuple(first):
        first = first[0]
    return first if isinstance(first, (Real, str)) else np.empty(1)


def unpack_image(entry):
    """Return the array and the pixel size of an image or a container of one.

    Parameters
    ----------
    entry : array-like or container
        As `check_images` takes them; nothing is checked.

    Returns
    -------
    array : array-like
        The values.
    pixel_size : float or None
        Pixel size, nm; None if it is unknown.
    """
    foreign = unpack_foreign(entry)
    if foreign is not None:
        return foreign
    if hasattr(entry, "image"):
        return entry.image, getattr(entry, "pixel_size", None)
    if _is_container_tuple(entry):
        container, pixel_size = entry
        foreign = unpack_foreign(container, is_sized=True)
        return container if foreign is None else foreign[0], pixel_size
    return entry, None


def _as_real_array(data, name):
    try:
        array = np.ma.asarray(data) if np.ma.isMA(data) else to_numpy(data, name)
    except ForeignArrayError:
        raise
    except (ValueError, TypeError) as error:
        raise TypeError(f"{name} is not a regular array. {_EXPECTED}.") from error
    if array.dtype.kind == "c":
        raise ValueError(
            f"{name} is complex ({array.dtype}). Complex data not supported: take its "
            "magnitude, numpy.abs(image), or another real quantity first."
        )
    if array.dtype.kind not in "buif":
        raise TypeError(
            f"{name} has dtype {array.dtype}, expected real numbers. {_EXPECTED}; "
            "read files with sklearn_ferroic.datasets.load_image."
        )
    return array


def _is_colour(array):
    return array.ndim == 3 and array.shape[-1] in (3, 4)


def _check_image(array, name):
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}. {_EXPECTED}.")
    if array.size == 0:
        raise ValueError(f"{name} of shape {array.shape} is empty. {_EXPECTED}.")
    mask = None
    if np.ma.getmask(array).any():
        mask = ~np.ma.getmaskarray(array)
        if not mask.any():
            raise ValueError(f"{name} of shape {array.shape} is masked everywhere.")
    data = np.ma.getdata(array)
    image = subtract_offset(data, find_image_offset(data, mask))
    bad = ~np.isfinite(image)
    if mask is not None:
        bad &= mask
    if bad.any():
        raise ValueError(
            f"{name} has {np.count_nonzero(bad)} pixel(s) that are NaN or infinity (in "
            "float32). Crop them away or mask them: numpy.ma.masked_invalid(image)."
        )
    lines = find_bad_lines(image if mask is None else fill_masked(image, mask))
    if lines is not None:
        mask = ~lines if mask is None else mask & ~lines
    if mask is not None:
        image = fill_masked(image, mask)
    image = fill_hot_pixels(image)
    if image.min() == image.max():
        raise ValueError(
            f"{name} of shape {image.shape} is constant ({image.flat[0]}): it shows "
            "no atomic columns. Was the right channel or data set loaded?"
        )
    if min(image.shape) < _MIN_SIDE_PX:
        raise ValueError(
            f"{name} of shape {image.shape} is too small: at least {_MIN_SIDE_PX} px "
            "and three column spacings are needed along each side."
        )
    return image, mask


def _check_pixel_size(pixel_size, name):
    if pixel_size is None:
        return None
    if isinstance(pixel_size, np.ndarray) and pixel_size.ndim == 0:
        pixel_size = pixel_size.item()
    is_number = isinstance(pixel_size, Real) and not isinstance(pixel_size, bool)
    if not is_number or not 0 < pixel_size < np.inf:
        raise ValueError(
            f"The pixel size of {name} must be a positive length in nm or None, got "
            f"{pixel_size!r}."
        )
    return float(pixel_size)
