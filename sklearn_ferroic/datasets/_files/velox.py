"""Velox files with spectra, of which only an image is read."""

import json

import numpy as np

from ..._utils.optional import import_optional
from .signals import Signal, choose, reading


def has_spectrum_images(path):
    """Return whether an HDF5 file is one of Velox with spectrum images.

    RosettaSciIO reads all of such a file, which needs the package sparse, and only the
    first frame of its images.

    Parameters
    ----------
    path : path-like
        An HDF5 file.

    Returns
    -------
    has_spectra : bool
        False for other files.
    """
    h5py = import_optional("h5py", "io")
    with reading(path, "EMD"), h5py.File(path, "r") as file:
        return "Version" in file and {"Image", "SpectrumImage"} <= set(
            file.get("Data", ())
        )


def read_velox(path, dataset, signal, max_bytes):
    """Read one image of a Velox file, with all its frames."""
    h5py = import_optional("h5py", "io")
    with reading(path, "Velox EMD"), h5py.File(path, "r") as file:
        group = file["Data/Image"]
        keys = [key for key in group if _is_image(group[key])]
        about = [_metadata(group[key]) for key in keys]
        names = [_name(file, key, one) for key, one in zip(keys, about, strict=True)]
    index = choose(names, signal, path, "signal")
    with reading(path, "Velox EMD"), h5py.File(path, "r") as file:
        data = file["Data/Image"][keys[index]]["Data"]
        # One frame after the other: they are stored as chunks, and last.
        frames = [data[:, :, i] for i in range(data.shape[2])]
    image = frames[0] if len(frames) == 1 else np.stack(frames)
    result = about[index].get("BinaryResult", {})
    size = result.get("PixelSize", {})
    axes = (
        (_number(size.get("height")), result.get("PixelUnitY")),
        (_number(size.get("width")), result.get("PixelUnitX")),
    )
    metadata = {"reader": "Velox", "original_metadata": about[index]}
    return Signal(names[index], image, axes, metadata, is_arranged=True)


def _is_image(group):
    """Return whether a group contains real images, which Fourier transforms do not."""
    data = group.get("Data")
    return data is not None and data.ndim == 3 and data.dtype.kind in "iuf"


def _metadata(group):
    """Return the metadata of the first frame."""
    column = group["Metadata"][:, 0].tobytes().rstrip(b"\0")
    return json.loads(column.decode("utf-8", errors="replace"))


def _name(file, key, metadata):
    """Return the name of the detector of an image, its key where there is none."""
    operations = file.get("Operations/StemInputOperation", {})
    for name in operations:
        operation = json.loads(operations[name][0])
        if key in operation.get("dataPath", ""):
            return str(operation.get("detector", key))
    result = metadata.get("BinaryResult", {})
    number = result.get("DetectorIndex")
    detector = metadata.get("Detectors", {}).get(f"Detector-{number}", {})
    return str(result.get("Detector") or detector.get("DetectorName") or key)


def _number(value):
    """Return a number that is stored as text, None for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
