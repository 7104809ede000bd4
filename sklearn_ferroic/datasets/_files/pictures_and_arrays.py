"""Readers of pictures and NumPy arrays."""

import math
import zipfile
from typing import NamedTuple

import numpy as np

from .signals import Signal, check_size, choose, is_image, reading


def read_picture(path, dataset, signal, max_bytes):
    """Read PNG, JPEG or BMP."""
    from skimage.io import imread

    with reading(path, "a picture"), path.open("rb") as file:
        image = np.asarray(imread(file))
    return Signal(path.name, image, None, {})


def read_numpy(path, dataset, signal, max_bytes):
    """Read an .npy array, or one array of an .npz archive; never a pickle."""
    if path.suffix.lower() == ".npy":
        with reading(path, "a NumPy array (pickled objects are never loaded)"):
            # a map of the file needs no memory for values that are not there
            image = np.load(path, mmap_mode="r", allow_pickle=False)
            check_size(path.name, image.nbytes, max_bytes)
            return Signal(path.name, np.array(image), None, {})
    kind = "a NumPy archive (pickled objects are never loaded)"
    with reading(path, kind):
        heads = _read_heads(path)
    if dataset is None:
        names = [name for name, head in heads.items() if is_image(head)]
    else:
        names = list(heads)
    name = names[choose(names, dataset, path, "dataset")]
    with reading(path, kind), np.load(path, allow_pickle=False) as archive:
        check_size(name, heads[name].nbytes, max_bytes)
        axes = _read_axes(archive, heads)
        return Signal(name, archive[name], axes, {"dataset": name})


# Names of a number that is the pixel size, and its unit.
_PIXEL_SIZES = {
    "pixel_size": "nm",
    "pixel_size_nm": "nm",
    "pixel_size_angstrom": "Å",
    "pixel_size_pm": "pm",
}


def _read_axes(archive, heads):
    """Return the axes of an image with the pixel size in the archive.

    It is one number, or two for the rows and the columns. What is not a length is
    reported as a pixel size of NaN, unless another name has a length.
    """
    axes = None
    for name, unit in _PIXEL_SIZES.items():
        head = heads.get(name)
        if head is None:
            continue
        sizes = np.full(2, np.nan)
        if head.shape in ((), (1,), (2,)) and head.dtype.kind in "iuf":
            sizes[:] = archive[name]
        if (sizes > 0).all() and np.isfinite(sizes).all():
            return tuple((float(size), unit) for size in sizes)
        axes = ((np.nan, unit),) * 2
    return axes


class _Head(NamedTuple):
    """Header of an array in a file."""

    shape: tuple
    dtype: np.dtype

    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self):
        """Bytes of the array, not of its head."""
        return math.prod(self.shape) * self.dtype.itemsize


def _read_heads(path):
    """Read what an .npz archive contains, without the values."""
    heads = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            heads[member.removesuffix(".npy")] = read_head(archive, member)
    return heads


def read_head(archive, member):
    """Read shape and type of an array in an open archive; refuse Python objects."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError(f"{member!r} contains Python objects")
    return _Head(shape, dtype)
