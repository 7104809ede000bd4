"""Checks of the arguments of AtomSites: pixel sizes, positions, frames, indices."""

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

from .._utils.metadata import plain_metadata
from .._utils.validation import as_real, refuse_mask, to_numpy
from ._shared_images import as_image_list


def as_pixel_sizes(pixel_size, n_images):
    """Check pixel sizes, one for all images or one per image.

    Parameters
    ----------
    pixel_size : float, list of (float or None) or None
        In nm.
    n_images : int
        Number of images.

    Returns
    -------
    sizes : tuple of (float or None)
        One per image.
    """
    if pixel_size is None or np.ndim(pixel_size) == 0:
        pixel_size = (
            pixel_size.item() if isinstance(pixel_size, np.ndarray) else pixel_size
        )
        sizes = [pixel_size] * n_images
    else:
        sizes = list(pixel_size)
    if len(sizes) != n_images:
        raise ValueError(f"Got {len(sizes)} pixel sizes for {n_images} image(s).")
    for size in sizes:
        is_length = isinstance(size, Real) and not isinstance(size, bool)
        is_length = is_length and np.isfinite(size) and size > 0
        if size is not None and not is_length:
            raise ValueError(f"A pixel size is a positive length in nm, got {size!r}.")
    return tuple(None if size is None else float(size) for size in sizes)


def as_metadata(metadata, n_images):
    """Check metadata, one mapping for all images or one per image.

    Parameters
    ----------
    metadata : dict, list of (dict or None) or None
        Metadata.
    n_images : int
        Number of images.

    Returns
    -------
    metadata : list of dict
        One per image, of JSON-serializable values.
    """
    if metadata is None or isinstance(metadata, Mapping):
        metadata = [metadata] * n_images
    metadata = list(metadata)
    if len(metadata) != n_images:
        raise ValueError(f"Got metadata of {len(metadata)} for {n_images} image(s).")
    for one in metadata:
        if one is not None and not isinstance(one, Mapping):
            raise TypeError(
                f"Metadata of an image are a dictionary or None, got {one!r}."
            )
    return [{} if one is None else plain_metadata(one) for one in metadata]


def as_positions(positions):
    """Check positions.

    Parameters
    ----------
    positions : array-like of shape (n_sites, 2)
        Positions, px.

    Returns
    -------
    positions : ndarray of shape (n_sites, 2)
        The same, float64.
    """
    refuse_mask(positions, "positions")
    try:
        positions = to_numpy(positions, "positions")
    except ValueError as error:  # rows of different lengths
        raise ValueError(
            "positions must be (row, col) pairs of shape (n_sites, 2), got rows of "
            "different lengths."
        ) from error
    positions = np.array(as_real(positions, "positions"), dtype=np.float64)
    if positions.size == 0:
        positions = positions.reshape(0, 2)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(
            "positions must be (row, col) pairs of shape (n_sites, 2), got shape "
            f"{positions.shape}."
        )
    if not np.isfinite(positions).all():
        raise ValueError("positions must be finite, got NaN or infinity.")
    return positions


def check_frame(frame, n_images):
    """Check that each site belongs to one of the images.

    Parameters
    ----------
    frame : ndarray of int, shape (n_sites,)
        Index of the image.
    n_images : int
        Number of images.
    """
    if frame.dtype.kind not in "iu":
        raise TypeError(f"frame must be a whole number, got {frame[:1].tolist()}.")
    if len(frame) and not (0 <= frame.min() and frame.max() < n_images):
        raise ValueError(
            f"frame must index the {n_images} images, got values from {frame.min()} to "
            f"{frame.max()}."
        )


def as_attribute(sites, name, value):
    """Check a value that is assigned to an attribute of sites.

    Parameters
    ----------
    sites : AtomSites
        The sites, with images and positions.
    name : str
        Name of the attribute.
    value : object
        As the argument of this name.

    Returns
    -------
    value : object
        The value as the constructor stores it; unchanged for other attributes.
    """
    n_images, n_sites = len(sites.images), len(sites.positions)
    if name == "pixel_size":
        return as_pixel_sizes(value, n_images)
    if name == "metadata":
        return as_metadata(value, n_images)
    if name == "images":
        value = as_image_list(value)
        if len(value) != n_images:
            raise ValueError(f"Got {len(value)} images for {n_images} image(s).")
        return value
    if name == "positions":
        value = as_positions(value)
    for field in sites.fields:
        if field.name == name:
            value = field.as_values(value, n_sites)
    if name == "frame":
        check_frame(value, n_images)
    return value


def as_rows(key):
    """Check an index along the sites.

    Parameters
    ----------
    key : int, slice, array-like of int or bool, or tuple of these and Ellipsis
        The index.

    Returns
    -------
    key : slice, list or ndarray
        Index along the first axis of an array.
    """
    # scikit-learn's splitters index the rows of a container by (rows, ...).
    if isinstance(key, tuple):
        if len(key) != 1 and (len(key) != 2 or key[1] is not Ellipsis):
            raise IndexError(
                "AtomSites are indexed along one axis, the sites; got the index "
                f"{key!r}. Use sites.positions for coordinates."
            )
        key = key[0]
    if isinstance(key, Integral):
        key = [key]
    elif not isinstance(key, slice):
        key = np.asarray(key)
        if key.size == 0:
            key = key.astype(np.intp)
        if key.ndim != 1:
            raise IndexError(
                "AtomSites are indexed by integers, a mask or a slice along the "
                f"sites; got an index of {key.ndim} dimensions."
            )
    return key


def as_margin(margin):
    """Check the width of a border.

    Parameters
    ----------
    margin : float
        Width, px.

    Returns
    -------
    margin : float
        The same width.
    """
    if not isinstance(margin, Real) or isinstance(margin, (bool, np.bool_)):
        raise TypeError(
            f"margin must be a distance from the border in px, got {margin!r}."
        )
    if not 0 <= margin < np.inf:
        raise ValueError(
            "margin must be a distance from the border in px, not negative and "
            f"finite, got {margin!r}."
        )
    return float(margin)
