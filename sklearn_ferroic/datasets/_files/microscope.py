"""Microscope formats, read by RosettaSciIO."""

import json
import zipfile
from importlib import import_module

import numpy as np

from ..._utils.optional import import_optional
from .axes import Axis, arrange, uniform_step
from .signals import Signal, choose

# This reader evaluates text of the file as Python.
_UNSAFE = {"netCDF"}
# Where zarr keeps the names of the codecs that an array is read with.
_ZARR_METADATA = (".zarray", ".zmetadata", "zarr.json")


def suffixes():
    """Return the suffixes that RosettaSciIO reads safely, lower case with the dot."""
    return {f".{suffix.lower()}" for spec in _specs() for suffix in _of(spec)}


def read_microscope(path, dataset, signal, max_bytes):
    """Read one image of a microscope file with whichever reader fits."""
    suffix = path.suffix.lower().lstrip(".")
    specs = [spec for spec in _specs() if suffix in map(str.lower, _of(spec))]
    failures = []
    for spec in specs:
        try:
            contents = _read(spec, path)
        except Exception as error:
            failures.append((spec["name"], error))
        else:
            return _pick(contents, spec["name"], path, signal)
    if all(isinstance(error, ImportError) for _, error in failures):
        missing = failures[0][1]
        raise ImportError(
            f"{str(path)!r} needs another package to be read: {missing}."
        ) from missing
    tried = "; ".join(
        f"{name} ({type(error).__name__}: {error})" for name, error in failures
    )
    raise ValueError(
        f"{str(path)!r} could not be read. Tried with RosettaSciIO: {tried}. Is it "
        "damaged, or of another kind than its name suggests?"
    ) from failures[-1][1]


def _specs():
    rsciio = import_optional("rsciio", "io")
    return [spec for spec in rsciio.IO_PLUGINS if spec["name"] not in _UNSAFE]


def _of(spec):
    return spec["file_extensions"]


def _read(spec, path):
    reader = import_module(spec["api"]).file_reader
    if spec["name"] == "ZSPY":
        _refuse_pickles(path)
    # Velox files: spectrum images take long to unpack and are not images.
    options = {"select_type": "images"} if spec["name"] == "EMD" else {}
    contents = reader(str(path), **options)
    if not contents:
        raise ValueError("nothing found in the file")
    return contents


def _refuse_pickles(path):
    """Raise an error for a zarr store with an array that would be unpickled."""
    if any("pickle" in _codecs(json.loads(text)) for text in _zarr_metadata(path)):
        raise ValueError("the file contains pickled objects, which are never loaded")


def _zarr_metadata(path):
    if path.is_dir():
        for name in _ZARR_METADATA:
            for file in path.rglob(name):
                yield file.read_bytes()
    else:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(_ZARR_METADATA):
                    yield archive.read(name)


def _codecs(node):
    """Return the values of all keys `id` and `name`, as zarr 2 and 3 call codecs."""
    if isinstance(node, dict):
        own = {str(node.get(key)).lower() for key in ("id", "name")}
        node = list(node.values())
    else:
        own = set()
    return own.union(*map(_codecs, node)) if isinstance(node, list) else own


def _pick(contents, name, path, signal):
    images = [content for content in contents if _is_image(content)]
    if not images:
        shapes = [str(np.shape(content["data"])) for content in contents]
        raise ValueError(
            f"{str(path)!r} contains no image; the shapes of its data are "
            f"{', '.join(shapes)}."
        )
    titles = [_title(content, i) for i, content in enumerate(images)]
    index = choose(titles, signal, path, "signal")
    content = images[index]
    metadata = {
        "reader": name,
        "axes": content["axes"],
        "original_metadata": content.get("original_metadata", {}),
        **content.get("metadata", {}),
    }
    image, calibration = arrange(np.asarray(content["data"]), _axes(content))
    return Signal(titles[index], image, calibration, metadata, is_arranged=True)


def _title(content, i):
    title = content.get("metadata", {}).get("General", {}).get("title", "")
    return title or f"signal {i}"


def _is_image(content):
    """Return whether a signal is an image or a stack, not a spectrum or 4-D data."""
    ndim = np.ndim(content["data"])
    n_navigation = sum(bool(axis.get("navigate")) for axis in content["axes"])
    return ndim == 2 or (ndim == 3 and n_navigation <= 1)


def _axes(content):
    """Return the axes of a signal in the order of its data."""
    return [
        Axis(
            axis.get("name"),
            axis.get("scale", uniform_step(axis.get("axis", ()))),
            axis.get("units"),
            is_spatial=not axis.get("navigate"),
        )
        for axis in content["axes"]
    ]
