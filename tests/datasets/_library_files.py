"""Files of other packages, written by these packages themselves.

``python -m tests.datasets._library_files`` writes those whose packages are installed to
``tests/datasets/data``, where small ones are kept for environments without them.
The picture is generated: every pixel has a value of its own, so that a transposed or
mirrored one is not equal.
"""

import datetime
import os
import warnings
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import h5py
import numpy as np

DATA = Path(__file__).parent / "data"
N_ROWS, N_COLS, N_FRAMES = 12, 17, 3
PIXEL_NM = 0.02
IMAGE = (100 * np.arange(N_ROWS)[:, None] + np.arange(N_COLS)).astype(np.float32)
STACK = np.stack([IMAGE + 2000 * k for k in range(N_FRAMES)])
# Functions of whose results sidpy makes attributes: not those of the writer's machine.
_MACHINE = (
    "socket.gethostname",
    "socket.getfqdn",
    "platform.node",
    "platform.platform",
)


def sidpy_dataset(array, names):
    """Return a sidpy Dataset as its readers make it, from an array in that order."""
    import sidpy

    dataset = sidpy.Dataset.from_array(array, title="HAADF")
    for i, name in enumerate(names):
        is_spatial = name in ("x", "y")
        step, unit = (PIXEL_NM, "nm") if is_spatial else (1.0, "frame")
        dimension = sidpy.Dimension(
            step * np.arange(array.shape[i]),
            name=name,
            units=unit,
            quantity="distance",
            dimension_type="spatial" if is_spatial else "temporal",
        )
        dataset.set_dimension(i, dimension)
    dataset.data_type = "image" if array.ndim == 2 else "image_stack"
    dataset.quantity, dataset.units = "intensity", "counts"
    dataset.modality, dataset.source = "STEM", "generated"
    dataset.metadata = {"acceleration_voltage": 300e3}
    return dataset


def write_nsid(path, array):
    """Write an NSID file by pyNSID, its axes in the order of SciFiReaders."""
    import pyNSID
    from sidpy.hdf.prov_utils import create_indexed_group

    names = ("x", "y", "z")[: array.ndim]
    with warnings.catch_warnings(), h5py.File(path, "w") as file:
        warnings.simplefilter("ignore")
        group = create_indexed_group(file, "Measurement_")
        group = create_indexed_group(group, "Channel_")
        pyNSID.io.hdf_io.write_nsid_dataset(
            sidpy_dataset(array.T, names), group, main_data_name="HAADF"
        )


def _nion_item(array):
    from nion.data import Calibration, DataAndMetadata
    from nion.swift.model import DataItem

    calibrations = [Calibration.Calibration(0, PIXEL_NM, "nm")] * 2
    is_sequence = array.ndim == 3
    if is_sequence:
        calibrations = [Calibration.Calibration(0, 1, "s"), *calibrations]
    data = DataAndMetadata.new_data_and_metadata(
        array,
        dimensional_calibrations=calibrations,
        metadata={"hardware_source": {"pixel_time_us": 10}},
        data_descriptor=DataAndMetadata.DataDescriptor(is_sequence, 0, 2),
    )
    item = DataItem.new_data_item(data)
    item.title = "HAADF"
    return item


def write_nion(path, array):
    """Write a file of Nion Swift, .h5, .ndata, .ndata1 or .nhdf, by nionswift."""
    from nion.swift.model import HDF5Handler, ImportExportManager, NDataHandler

    item = _nion_item(array)
    path = Path(path).absolute()
    written = datetime.datetime(2026, 1, 1)
    if path.suffix == ".nhdf":
        export = SimpleNamespace(
            write_to_dict=lambda: {"title": "HAADF"}, data_items=[item]
        )
        HDF5Handler.HDFImportExportDriver().write_display_item(path, [export])
    elif path.suffix == ".ndata1":
        handler = ImportExportManager.NDataImportExportHandler("", "", ["ndata1"])
        display = SimpleNamespace(data_item=item)
        handler.write_display_item(display, path, "ndata1")
    else:
        path.unlink(missing_ok=True)
        kind = (
            HDF5Handler.HDF5Handler
            if path.suffix == ".h5"
            else NDataHandler.NDataHandler
        )
        handler = kind(os.fspath(path))
        handler.write_data(array, written)
        handler.write_properties(item.write_to_dict(), written)
        handler.close()
    item.close()


def write_emdfile(path, array):
    """Write EMD 1.0 by emdfile, with the names of py4DSTEM."""
    import emdfile

    names, steps, units = ["Rx", "Ry"], [10 * PIXEL_NM] * 2, ["A", "A"]
    if array.ndim == 3:
        names, steps, units = ["frame", *names], [1.0, *steps], ["s", *units]
    data = emdfile.Array(
        data=array, name="HAADF", dims=steps, dim_units=units, dim_names=names
    )
    data.metadata = emdfile.Metadata(name="microscope", data={"voltage": 300})
    emdfile.save(os.fspath(path), data, mode="o")


def write_py4dstem(path, array):
    """Write a virtual image by py4DSTEM."""
    import py4DSTEM

    image = py4DSTEM.VirtualImage(data=array, name="HAADF")
    image.calibration.set_R_pixel_size(10 * PIXEL_NM)
    image.calibration.set_R_pixel_units("A")
    py4DSTEM.save(os.fspath(path), image, mode="o")


def write_zipped_zspy(path, array):
    """Write a zip archive by HyperSpy, with zarr 2, its frames stored last."""
    from hyperspy.api import signals

    calibrated = {"scale": PIXEL_NM, "units": "nm", "navigate": False}
    axes = [
        {"size": array.shape[1], "name": "y", **calibrated},
        {"size": array.shape[2], "name": "x", **calibrated},
        {"size": len(array), "name": "time", "navigate": True},
    ]
    metadata = {"General": {"title": "HAADF"}}
    signal = signals.Signal2D(np.moveaxis(array, 0, -1), axes=axes, metadata=metadata)
    signal.save(path, store_type="zip", overwrite=True)


def write_ncem(path, array):
    """Write EMD 0.2 by ncempy, with the units of the NCEM."""
    from ncempy.io.emd import fileEMD

    names = ("z", "y", "x")[-array.ndim :]
    dimensions = [
        (PIXEL_NM * np.arange(n), name, "n_m" if name != "z" else "s")
        for n, name in zip(array.shape, names, strict=True)
    ]
    Path(path).unlink(missing_ok=True)
    with fileEMD(os.fspath(path), readonly=False) as file:
        file.put_emdgroup("HAADF", array, dimensions)
        file.file_hdl["microscope"].attrs["voltage"] = 300


def write_ncem_without_names(path, array):
    """Write EMD 0.2 by ncempy's short call, which calls the axes dim1, dim2."""
    from ncempy.io.emd import emdWriter

    sides, units = [PIXEL_NM] * array.ndim, ["nm"] * array.ndim
    emdWriter(path, array, pixel_size=sides, pixel_unit=units, overwrite=True)


# Files that are kept: name, writer, package that the writer needs, array.
KEPT = [
    ("nsid.hf5", write_nsid, "pyNSID", IMAGE),
    ("nsid_stack.hf5", write_nsid, "pyNSID", STACK),
    ("nion.h5", write_nion, "nion.swift", IMAGE),
    ("nion_stack.h5", write_nion, "nion.swift", STACK),
    ("nion.ndata", write_nion, "nion.swift", IMAGE),
    ("nion.ndata1", write_nion, "nion.swift", IMAGE),
    ("nion_stack.ndata1", write_nion, "nion.swift", STACK),
    ("nion.nhdf", write_nion, "nion.swift", IMAGE),
    ("emdfile.h5", write_emdfile, "emdfile", IMAGE),
    ("emdfile_stack.emd", write_emdfile, "emdfile", STACK),
    ("py4dstem.h5", write_py4dstem, "py4DSTEM", IMAGE),
    ("ncempy.emd", write_ncem, "ncempy", IMAGE),
    ("ncempy_stack.emd", write_ncem, "ncempy", STACK),
    ("ncempy_unnamed.emd", write_ncem_without_names, "ncempy", IMAGE),
]


def main():
    """Write the files that are kept, as far as their packages are installed."""
    with ExitStack() as stack:
        for function in _MACHINE:
            stack.enter_context(patch(function, lambda *args, **kwargs: "example"))
        for name, write, package, array in KEPT:
            try:
                write(DATA / name, array)
            except ImportError:
                warnings.warn(f"{name} needs {package}", stacklevel=1)


if __name__ == "__main__":
    main()
