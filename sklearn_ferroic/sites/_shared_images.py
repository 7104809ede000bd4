"""Read-only images that several sets of sites share, and their digests."""

import hashlib
import weakref
from collections.abc import Mapping

import numpy as np

from .._utils.offset import find_image_offset, subtract_offset
from .._utils.validation import refuse_images_along_last_axis

# id of an image -> (weak reference to it, digest of its content)
_DIGESTS = {}


def as_image_list(images):
    """Check images and make them float32 and read-only.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_cols), list of such arrays, or Bunch
        Images, or the result of `load_image` or of a generator. Writeable arrays are
        copied, and an offset that float32 cannot represent with the contrast is
        subtracted.

    Returns
    -------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    """
    if isinstance(images, Mapping) and "image" in images:
        images = images["image"]
    if isinstance(images, np.ndarray) and images.ndim == 2:
        images = [images]
    elif isinstance(images, np.ndarray):
        refuse_images_along_last_axis(images.shape)
    arrays = [np.asarray(image) for image in images]
    for array in arrays:
        if array.ndim != 2 or array.dtype.kind not in "buif":
            raise ValueError(
                "AtomSites need real 2-D images, got one of shape "
                f"{array.shape} and dtype {array.dtype}."
            )
        if array.size == 0:
            raise ValueError(
                f"AtomSites hold images with pixels, got one of shape {array.shape}."
            )
        if not np.isfinite(array).all():
            raise ValueError(
                "AtomSites need finite images, got one with NaN or infinity. Replace "
                "such pixels, for instance by the median of the image."
            )
    if not arrays:
        raise ValueError("AtomSites need at least one image, got none.")
    # An array that occurs twice is converted once.
    made = {id(array): _as_constant(array) for array in arrays}
    return [made[id(array)] for array in arrays]


def _as_constant(array):
    if array.dtype == np.float32 and is_constant(array):
        return array.astype(np.float32, copy=False)
    converted = subtract_offset(array, find_image_offset(array))
    is_ours = converted is not array
    constant = np.ascontiguousarray(converted) if is_ours else array.copy("C")
    constant.setflags(write=False)
    return constant


def is_constant(array):
    """Return whether an array and all that it is a view of are read-only.

    Parameters
    ----------
    array : ndarray
        An array.

    Returns
    -------
    constant : bool
        True if no array can write to its memory.
    """
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return True


def make_constant(array):
    """Make an array read-only that is not shared, for example after unpickling.

    Parameters
    ----------
    array : ndarray
        The array.
    """
    while isinstance(array, np.ndarray):
        array.setflags(write=False)
        array = array.base


def digest(image):
    """Compute a digest of an image's shape and pixels; cache it for read-only ones.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, float32.

    Returns
    -------
    digest : str
        SHA-256 of shape and pixels, hexadecimal.
    """
    known = _DIGESTS.get(id(image))
    if known is not None and known[0]() is image and is_constant(image):
        return known[1]
    content = hashlib.sha256(repr(image.shape).encode())
    content.update(np.ascontiguousarray(image, dtype="<f4").data)
    remember(image, content.hexdigest())
    return content.hexdigest()


def remember(image, digest):
    """Cache the digest of a read-only image as long as the image exists.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    digest : str
        Its digest.
    """
    if is_constant(image):
        key = id(image)
        forget = weakref.ref(image, lambda _: _DIGESTS.pop(key, None))
        _DIGESTS[key] = forget, digest


def join_images(sets):
    """Join the images of several sets of sites; a shared image is kept once.

    Parameters
    ----------
    sets : list of AtomSites
        The sets.

    Returns
    -------
    images : list of ndarray of shape (n_rows, n_cols)
        Each image once.
    pixel_size : list of (float or None)
        Their pixel sizes, nm.
    metadata : list of dict
        Their metadata, of the first set that has the image.
    frame : ndarray of int of shape (n_sites,)
        Index of the image of each site of all sets, in order.
    """
    images, pixel_size, metadata, index_of, frames = [], [], [], {}, []
    for sites in sets:
        if not hasattr(sites, "pixel_size"):
            raise TypeError(
                f"concatenate joins AtomSites, got {type(sites).__name__} among them."
            )
        renumber = []
        for image, size, about in zip(
            sites.images, sites.pixel_size, sites.metadata, strict=True
        ):
            key = (id(image), size)
            if key not in index_of:
                index_of[key] = len(images)
                images.append(image)
                pixel_size.append(size)
                metadata.append(about)
            renumber.append(index_of[key])
        frames.append(np.array(renumber, dtype=np.intp)[sites.frame])
    return images, pixel_size, metadata, np.concatenate(frames)
