"""HDF5 files: plain ones, NSID, EMD arrays, Nion Swift and those of the paper."""

import json
from typing import Any, NamedTuple

import numpy as np

from ..._utils.hdf5_safety import refuse_outside_data
from ..._utils.optional import import_optional
from .axes import (
    COLUMN,
    FRAME,
    ROW,
    SPECTRAL,
    Axis,
    arrange,
    find_layout,
    role_of,
    uniform_step,
)
from .calibration import to_nm
from .nion import nion_axes
from .signals import Signal, choose, is_image, reading

# Where a product of `Scale` and `Units(m)` is a believable pixel, nm.
_BELIEVABLE_PIXEL_NM = (1e-4, 1e2)
# Arrays with a shorter side are tables or coordinates.
_SMALLEST_SIDE_PX = 8
# py4DSTEM counts scan positions along the rows by Rx and along the columns by Ry.
_EMD_ROLES = {"rx": ROW, "ry": COLUMN}
# Its images of real space, whose own axes count pixels.
_PY4DSTEM_IMAGES = {"VirtualImage", "RealSlice"}
# The first group of an EMD file that RosettaSciIO and HyperSpy have written.
_HYPERSPY_GROUP = "signals"


class _Found(NamedTuple):
    """A dataset that may be an image."""

    path: str
    title: str
    axes: Any  # list of Axis, or None where the file does not describe them
    shape: tuple


def check_hdf5(path, max_bytes):
    """Raise ValueError if an HDF5 file refers to others, or declares too much."""
    h5py = import_optional("h5py", "io")
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        refuse_outside_data(h5py, file, max_bytes)


def is_hyperspy(path):
    """Return whether HyperSpy wrote an HDF5 file, before .hspy was its suffix."""
    h5py = import_optional("h5py", "io")
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        return file.attrs.get("file_format") == "HyperSpy"


def has_emd_arrays(path):
    """Return whether an HDF5 file contains images or stacks in groups of EMD.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    has_arrays : bool
        True for files of NCEM's, emdfile's and HyperSpy's writers; False for Velox and
        for what only RosettaSciIO reads.
    """
    h5py = import_optional("h5py", "io")
    with reading(path, "EMD"), h5py.File(path, "r") as file:
        found = [_describe(h5py, item) for item in _datasets(h5py, file)]
        return any(one.axes is not None for one in found if one is not None)


def read_hdf5(path, dataset, signal, max_bytes):
    """Read one dataset of an HDF5 file."""
    h5py = import_optional("h5py", "io")
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        items = _datasets(h5py, file)
        found = [_describe(h5py, item) for item in items]
        every = [item.name.strip("/") for item in items]
    images = [one for one in found if one is not None]
    if any(one.axes is not None for one in images):
        # arrays that the format does not describe are its tables
        images = [one for one in images if one.axes is not None]
    if dataset is not None:
        name = every[choose(every, dataset.strip("/"), path, "dataset")]
        chosen = next((one for one in images if one.path == name), None)
    else:
        flat = [one for one in images if len(one.shape) == 2]
        if signal is None and len(flat) == 1:
            images = flat
        titles = [one.title for one in images]
        by_title = path.suffix.lower() == ".emd" or signal is not None
        names = titles if by_title else [one.path for one in images]
        option = "signal" if by_title else "dataset"
        chosen = images[choose(names, signal, path, option)]
        name = chosen.path
    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        item = file[name]
        image = np.asarray(item[()])
        metadata = {"dataset": name, "attributes": _attributes(h5py, item)}
        siblings = {
            key: item.parent[key][()]
            for key in ("Scale", "Units(m)")
            if key in item.parent
        }
        metadata |= siblings | _surroundings(h5py, file, item)
    if chosen is None or chosen.axes is None:
        return Signal(name, image, _scale_axes(siblings), metadata)
    image, calibration = arrange(image, chosen.axes)
    return Signal(chosen.title, image, calibration, metadata, is_arranged=True)


def _datasets(h5py, file):
    """Return all datasets of a file."""
    found = []
    file.visititems(lambda _, item: found.append(item))
    return [item for item in found if isinstance(item, h5py.Dataset)]


def _describe(h5py, item):
    """Return title and axes of a dataset, None unless it is an image or stack."""
    if not is_image(item):
        return None
    axes, title = None, item.name.rsplit("/", 1)[-1]
    for read in (_nion_dataset, _emd_dataset, _scaled_dataset):
        described = read(h5py, item)
        if described is not None:
            axes, title = described
            break
    if axes is None:
        sides = item.shape[-2:]
    else:
        if any(axis.role == SPECTRAL for axis in axes):
            return None
        try:
            sides = [item.shape[i] for i in find_layout(axes).order[-2:]]
        except ValueError:
            return None
    if min(sides) < _SMALLEST_SIDE_PX:
        return None
    return _Found(item.name.strip("/"), title, axes, item.shape)


def _nion_dataset(h5py, item):
    """Return axes and title of a dataset of Nion Swift, None for others."""
    text = item.attrs.get("properties")
    if not isinstance(text, str | bytes):
        return None
    try:
        properties = json.loads(text)
    except ValueError:
        return None
    axes = nion_axes(properties, item.ndim)
    if axes is None:
        return None
    return axes, str(properties.get("title") or item.name.strip("/"))


def _emd_dataset(h5py, item):
    """Return axes and title of a dataset in an EMD group, None for others."""
    group = item.parent
    if "emd_group_type" not in group.attrs or item.name.rsplit("/", 1)[-1] != "data":
        return None
    first = 0 if "dim0" in group else 1
    dimensions = [group.get(f"dim{first + i}") for i in range(item.ndim)]
    if not all(isinstance(one, h5py.Dataset) for one in dimensions):
        return None
    axes = []
    for one in dimensions:
        name = _text(one.attrs.get("name"))
        values = one[()]
        step = uniform_step(values)
        unit = _text(one.attrs.get("units"))
        axes.append(Axis(name, step, unit, _EMD_ROLES.get((name or "").lower())))
    if item.name.strip("/").split("/")[0] == _HYPERSPY_GROUP and first == 1:
        axes = _reversed(axes)
    if _text(group.attrs.get("python_class")) in _PY4DSTEM_IMAGES:
        axes = _py4dstem_calibration(h5py, group, axes)
    return axes, group.name.rsplit("/", 1)[-1]


def _py4dstem_calibration(h5py, group, axes):
    """Return the axes of a real-space image with the calibration of its root."""
    for parent in _parents(group):
        calibration = parent.get("metadatabundle/calibration")
        if isinstance(calibration, h5py.Group) and "R_pixel_size" in calibration:
            size = float(calibration["R_pixel_size"][()])
            unit = _text(calibration["R_pixel_units"][()])
            image = [axis._replace(scale=size, unit=unit) for axis in axes[-2:]]
            return axes[:-2] + image
    return axes


def _parents(group):
    """Return a group and those that contain it, up to the root."""
    parents = [group]
    while parents[-1].name != "/":
        parents.append(parents[-1].parent)
    return parents


def _reversed(axes):
    """Return the axes of a transposed array, as RosettaSciIO writes them.

    Without names, the first ones are the columns and the rows.
    """
    if any(axis.role or role_of(axis.name) for axis in axes):
        return axes
    roles = [COLUMN, ROW] + [FRAME] * (len(axes) - 2)
    return [axis._replace(role=role) for axis, role in zip(axes, roles, strict=True)]


def _scaled_dataset(h5py, item):
    """Return axes and title of a dataset with dimension scales, None for others."""
    axes = []
    for dimension in item.dims:
        scale = dimension[0] if len(dimension) else None
        name = dimension.label or None
        if scale is None:
            axes.append(Axis(name))
            continue
        name = _text(scale.attrs.get("name")) or name or scale.name.rsplit("/", 1)[-1]
        kind = str(_text(scale.attrs.get("dimension_type"))).upper()
        axes.append(
            Axis(
                name,
                uniform_step(scale[()]),
                _text(scale.attrs.get("units")),
                SPECTRAL if kind == "SPECTRAL" else None,
                kind in ("SPATIAL", "RECIPROCAL"),
            )
        )
    if not any(axis.name for axis in axes):
        return None
    title = _text(item.attrs.get("main_data_name")) or item.name.rsplit("/", 1)[-1]
    return axes, title


def _text(value):
    """Return an attribute as text, None if it is not text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else None


def _attributes(h5py, item):
    """Return the attributes of an item without references to other items."""
    kept = {}
    for key, value in item.attrs.items():
        kind = np.asarray(value).dtype
        is_reference = h5py.check_ref_dtype(kind) or key in (
            "DIMENSION_LIST",
            "REFERENCE_LIST",
        )
        if not is_reference:
            kept[key] = value
    properties = kept.get("properties")
    if isinstance(properties, str | bytes):
        try:
            kept["properties"] = json.loads(properties)
        except ValueError:
            pass
    return kept


# Groups that describe an image, next to it: NSID's, emdfile's.
_DESCRIBING = ("metadata", "original_metadata", "metadatabundle")
_DESCRIBING_ROOT = ("microscope", "sample", "user", "comments")


def _surroundings(h5py, file, item):
    """Return attributes and numbers of the groups that describe an image."""
    groups = [(name, file.get(name)) for name in _DESCRIBING_ROOT]
    for parent in reversed(_parents(item.parent)):
        groups += [(name, parent[name]) for name in _DESCRIBING if name in parent]
    found = {}
    for name, group in groups:
        content = _tree(h5py, group) if isinstance(group, h5py.Group) else {}
        if content:
            found[name] = found.get(name, {}) | content
    return found


def _tree(h5py, group, depth=0):
    """Return attributes and scalar datasets of a group and those in it."""
    content = _attributes(h5py, group)
    for key, item in group.items():
        if isinstance(item, h5py.Dataset) and item.shape == ():
            content[key] = item[()]
        elif isinstance(item, h5py.Group) and depth < 10:
            content[key] = _tree(h5py, item, depth + 1)
    return content


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
    if size is None or not _BELIEVABLE_PIXEL_NM[0] <= size <= _BELIEVABLE_PIXEL_NM[1]:
        return None
    return ((size, "nm"),) * 2
