"""Readers of the common formats: TIFF, PNG, NumPy and HDF5."""

import math
import zipfile
from typing import NamedTuple

import numpy as np

from ..._utils.hdf5_safety import refuse_outside_data
from ..._utils.optional import import_optional
from .calibration import to_nm
from .signals import Signal, choose, is_image, reading

# Printing resolutions (72 or 300 dots an inch) are no calibration: only pixels
# smaller than this, in nm, are taken from bare resolution tags.
_LARGEST_TIFF_PIXEL = 1e3
# Where a product of `Scale` and `Units(m)` is a believable pixel, nm.
_BELIEVABLE = (1e-4, 1e2)
# Arrays with a shorter side are tables or coordinates.
_SMALLEST_SIDE = 8
# TIFF tags that only locate the pixels in the file.
_LONG_TAGS = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts"}


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
            _check_size(path.name, image.nbytes, max_bytes)
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
        _check_size(name, heads[name].nbytes, max_bytes)
        return Signal(name, archive[name], None, {"dataset": name})


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
    """Read what an .npz archive holds, without the values."""
    heads = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(file)
            if dtype.hasobject:
                raise ValueError(f"{member!r} holds Python objects")
            heads[member.removesuffix(".npy")] = _Head(shape, dtype)
    return heads


def _check_size(name, n_bytes, max_bytes):
    """Raise ValueError if an array is larger than allowed."""
    if n_bytes > max_bytes:
        raise ValueError(
            f"{name!r} declares {n_bytes:,} bytes, more than max_bytes={max_bytes:,}"
        )


def check_hdf5(path, max_bytes):
    """Raise ValueError if an HDF5 file refers to others, or declares too much."""
    h5py = import_optional("h5py", "io")
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        refuse_outside_data(h5py, file, max_bytes)


def read_hdf5(path, dataset, signal, max_bytes):
    """Read one dataset of an HDF5 file."""
    h5py = import_optional("h5py", "io")
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        found = []
        file.visititems(lambda name, item: found.append((name, item)))
        found = [(name, item) for name, item in found if hasattr(item, "dtype")]
        every = [name for name, _ in found]
        images = [
            (name, item.ndim)
            for name, item in found
            if is_image(item) and min(item.shape[-2:]) >= _SMALLEST_SIDE
        ]
    if dataset is None:
        flat = [name for name, ndim in images if ndim == 2]
        names = flat if len(flat) == 1 else [name for name, _ in images]
        name = names[choose(names, None, path, "dataset")]
    else:
        name = every[choose(every, dataset.strip("/"), path, "dataset")]
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        item = file[name]
        image = np.asarray(item[()])
        metadata = {"dataset": name, "attributes": dict(item.attrs)}
        siblings = {
            key: item.parent[key][()]
            for key in ("Scale", "Units(m)")
            if key in item.parent
        }
    return Signal(name, image, _scale_axes(siblings), metadata | siblings)


def is_hyperspy(path):
    """Return whether HyperSpy wrote an HDF5 file, before .hspy was its suffix."""
    h5py = import_optional("h5py", "io")
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        return file.attrs.get("file_format") == "HyperSpy"


def _scale_axes(siblings):
    """Return the pixel size from the datasets `Scale` and `Units(m)` of an image.

    Their product is the size in metres if both exist, as in the data
    published with the paper; an unbelievable product counts as unknown.
    """
    try:
        factors = [float(np.ravel(siblings[key])[0]) for key in ("Scale", "Units(m)")]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    size = to_nm(factors[0] * factors[1], "m")
    if size is None or not _BELIEVABLE[0] <= size <= _BELIEVABLE[1]:
        return None
    return ((size, "nm"),) * 2


def read_tiff(path, dataset, signal, max_bytes):
    """Read one series of a TIFF with its ImageJ, OME or other calibration."""
    import tifffile

    # Parts of an image may lie in other files, which the file names as it likes.
    with reading(path, "TIFF"), tifffile.TiffFile(path, _multifile=False) as file:
        names = [series.name or f"series {i}" for i, series in enumerate(file.series)]
    index = choose(names, signal, path, "signal")
    with reading(path, "TIFF"), tifffile.TiffFile(path, _multifile=False) as file:
        series = file.series[index]
        _check_size(names[index], series.size * series.dtype.itemsize, max_bytes)
        image = series.asarray()
        if "S" in series.axes:
            image = np.moveaxis(image, series.axes.index("S"), -1)
        image = np.squeeze(image)
        tags = {tag.name: tag.value for tag in series.keyframe.tags.values()}
        codes = {tag.code: tag.value for tag in series.keyframe.tags.values()}
        axes = (
            _ome_axes(file.ome_metadata, index)
            or _imagej_axes(file.imagej_metadata, tags)
            or _gatan_axes(codes)
            or _resolution_axes(tags)
        )
        metadata = {
            "tags": {k: v for k, v in tags.items() if k not in _LONG_TAGS},
            "imagej": file.imagej_metadata,
            "ome": file.ome_metadata,
        }
    return Signal(names[index], image, axes, metadata)


def _steps(tags):
    """Return the lengths of a pixel along rows and columns in the resolution's unit."""
    steps = []
    for name in ("YResolution", "XResolution"):
        numerator, denominator = tags.get(name, (0, 1))
        if not numerator:
            return None
        steps.append(denominator / numerator)
    return steps


def _imagej_axes(imagej, tags):
    steps = _steps(tags)
    unit = (imagej or {}).get("unit")
    if steps is None or not unit:
        return None
    # ImageJ names a second unit only where it differs.
    return (steps[0], imagej.get("yunit") or unit), (steps[1], unit)


def _ome_axes(ome, index):
    if not ome:
        return None
    import tifffile

    images = tifffile.xml2dict(ome)["OME"]["Image"]
    pixels = (images if isinstance(images, list) else [images])[index]["Pixels"]
    if "PhysicalSizeX" not in pixels:
        return None
    return tuple(
        (pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "YX"
    )


def _gatan_axes(codes):
    """Return the calibration in the private tags that DigitalMicrograph exports."""
    axes = [
        (codes.get(scale), codes.get(unit))
        for scale, unit in ((65010, 65004), (65009, 65003))
    ]
    return tuple(axes) if all(to_nm(*axis) for axis in axes) else None


def _resolution_axes(tags):
    unit = {2: "inch", 3: "cm", 4: "mm", 5: "um"}.get(
        int(tags.get("ResolutionUnit", 0))
    )
    steps = _steps(tags)
    if unit is None or steps is None:
        return None
    if max(to_nm(step, unit) for step in steps) > _LARGEST_TIFF_PIXEL:
        return None
    return tuple((step, unit) for step in steps)
