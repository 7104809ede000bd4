"""Files of Nion Swift: axes in its properties, and the zip archives .ndata, .ndata1."""

import io
import json
import zipfile

import numpy as np

from .axes import COLUMN, FRAME, ROW, SPECTRAL, Axis, arrange
from .pictures_and_arrays import read_head
from .signals import Signal, check_size, reading

# Metadata of a file is text of some kB; larger data are something else.
_MAX_METADATA_BYTES = 2**26


def nion_axes(properties, ndim):
    """Return the axes of an array from the properties that Nion Swift stores with it.

    Parameters
    ----------
    properties : mapping
        The properties, with a calibration of each dimension.
    ndim : int
        Number of dimensions of the array.

    Returns
    -------
    axes : list of Axis or None
        None where the properties are none of Nion Swift.
    """
    if not isinstance(properties, dict):
        return None
    known = "dimensional_calibrations", "spatial_calibrations"
    calibrations = next((properties[key] for key in known if key in properties), None)
    if not isinstance(calibrations, list) or len(calibrations) != ndim:
        return None
    # A spectrum at each pixel of a scan: the collection is the image.
    n_datum = properties.get("datum_dimension_count", 2)
    roles = [FRAME] * (ndim - 2) + [ROW, COLUMN]
    if n_datum == 1 and ndim == 3:
        roles = [ROW, COLUMN, SPECTRAL]
    return [
        Axis(None, one.get("scale"), one.get("units"), role)
        for one, role in zip(calibrations, roles, strict=True)
    ]


def read_nion_archive(path, dataset, signal, max_bytes):
    """Read the array of an .ndata or .ndata1 archive."""
    with reading(path, "an archive of Nion Swift"), zipfile.ZipFile(path) as archive:
        n_bytes = archive.getinfo("metadata.json").file_size
        check_size("metadata.json", n_bytes, min(max_bytes, _MAX_METADATA_BYTES))
        properties = json.loads(archive.read("metadata.json"))
        check_size("data.npy", archive.getinfo("data.npy").file_size, max_bytes)
        check_size("data.npy", read_head(archive, "data.npy").nbytes, max_bytes)
        content = io.BytesIO(archive.read("data.npy"))
        image = np.load(content, allow_pickle=False)
        axes = nion_axes(properties, image.ndim)
        title = str(properties.get("title") or path.name)
        if axes is None:
            return Signal(title, image, None, properties)
        image, calibration = arrange(image, axes)
    return Signal(title, image, calibration, properties, is_arranged=True)
