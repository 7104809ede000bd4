"""Images of other packages, with the pixel size of their axes.

Nothing of these packages is imported: what has their attributes is taken for theirs.
"""

import warnings

import numpy as np

from .._utils.metadata import plain_metadata
from ._files.axes import COLUMN, ROW, SPECTRAL, Axis, arrange, role_of, uniform_step
from ._files.calibration import square_pixel, warn_of_reversed_axes

_REMEDY = (
    "Resample the image to square pixels, or give (array, pixel_size) to take them as "
    "square."
)


def unpack_foreign(entry, *, is_sized=False):
    """Read an image of HyperSpy, xarray, sidpy or quantem.

    Parameters
    ----------
    entry : object
        Anything.
    is_sized : bool, default=False
        Whether the pixel size is known otherwise; that of the axes is not read then.

    Returns
    -------
    image : tuple of (array-like, float or None) or None
        The values, whose last two axes are rows and columns by the names and types of
        the axes, and the pixel size in nm if both have a unit of length; None for
        anything else.

    Raises
    ------
    ValueError
        If the pixels are not square, or an axis besides the image is spectral.
    """
    for is_kind, read, _ in _KINDS:
        if is_kind(entry):
            array, axes = read(entry)
            if len(axes) < 2:
                return array, None
            name = f"the {type(entry).__name__}"
            array, calibration = arrange(array, axes)
            warn_of_reversed_axes(calibration, name)
            if is_sized:
                return array, None
            return array, square_pixel(calibration, name, _REMEDY)[0]
    return None


def is_foreign(entry):
    """Return whether an object is an image of HyperSpy, xarray, sidpy or quantem."""
    return any(is_kind(entry) for is_kind, _, _ in _KINDS)


def foreign_metadata(entry):
    """Return the metadata of an image of another package.

    Parameters
    ----------
    entry : object
        Anything.

    Returns
    -------
    metadata : dict
        JSON-serializable values; empty for anything but an image of these packages.
    """
    for is_kind, _, read in _KINDS:
        if is_kind(entry):
            return plain_metadata(read(entry))
    return {}


def _is_hyperspy(entry):
    return hasattr(entry, "axes_manager") and hasattr(entry, "data")


def _read_hyperspy(signal):
    """Return the data of a HyperSpy signal and its axes in the order of the data."""
    manager = signal.axes_manager
    signal_axes = manager.signal_axes
    by_index = {}
    for axis in [*manager.navigation_axes, *signal_axes]:
        is_signal = any(axis is other for other in signal_axes)
        name = getattr(axis, "name", None)
        role = SPECTRAL if is_signal and len(signal_axes) == 1 else None
        by_index[axis.index_in_array] = Axis(
            name if isinstance(name, str) else None,
            getattr(axis, "scale", None),
            getattr(axis, "units", None),
            role,
            is_signal and len(signal_axes) == 2,
        )
    # The first signal axis is the horizontal one, unless the names contradict.
    if len(signal_axes) == 2:
        horizontal, vertical = (axis.index_in_array for axis in signal_axes)
        names = {by_index[i].name for i in (horizontal, vertical)}
        if not {role_of(name) for name in names} & {ROW, COLUMN}:
            by_index[horizontal] = by_index[horizontal]._replace(role=COLUMN)
            by_index[vertical] = by_index[vertical]._replace(role=ROW)
    axes = [by_index[i] for i in sorted(by_index)]
    return signal.data, axes if len(axes) == np.ndim(signal.data) else []


def _hyperspy_metadata(signal):
    """Return the metadata trees of a HyperSpy signal."""
    trees = {}
    for name in ("metadata", "original_metadata"):
        tree = getattr(signal, name, None)
        if hasattr(tree, "as_dictionary"):
            trees[name] = tree.as_dictionary()
    return trees.pop("metadata", {}) | trees


def _is_xarray(entry):
    # A Dataset, of several arrays, has no ndim.
    return all(hasattr(entry, name) for name in ("dims", "coords", "ndim"))


def _read_xarray(array):
    """Return the values of a DataArray and its axes."""
    axes = []
    for name in array.dims:
        coordinate = array.coords.get(name)
        if coordinate is None:
            axes.append(Axis(name))
        else:
            units = coordinate.attrs.get("units")
            axes.append(Axis(name, uniform_step(coordinate.values), units))
    return np.asarray(array), axes


def _is_sidpy(entry):
    return hasattr(entry, "get_image_dims") and hasattr(entry, "dim_0")


def _read_sidpy(dataset):
    """Return the values of a sidpy Dataset and its axes."""
    dimensions = [getattr(dataset, f"dim_{i}", None) for i in range(dataset.ndim)]
    axes = []
    for one in dimensions:
        if one is None:
            axes.append(Axis())
            continue
        kind = getattr(one, "dimension_type", None)
        kind = str(getattr(kind, "name", kind)).upper()
        role = SPECTRAL if kind == "SPECTRAL" else None
        axes.append(
            Axis(
                getattr(one, "name", None),
                uniform_step(one.values),
                one.units,
                role,
                kind in ("SPATIAL", "RECIPROCAL"),
            )
        )
    if _has_exchanged_names(dataset):
        names = {ROW: COLUMN, COLUMN: ROW}
        axes = [
            axis._replace(role=names.get(role_of(axis.name), axis.role))
            for axis in axes
        ]
        warnings.warn(
            "The axes x and y of this sidpy Dataset are taken as exchanged, as the "
            "reader of SciFiReaders 0.12 that made it names them. load_image reads the "
            "file itself without this doubt.",
            UserWarning,
            stacklevel=2,
        )
    return np.asarray(dataset), axes


def _has_exchanged_names(dataset):
    """Return whether SciFiReaders' reader of Nion Swift or Velox files made a Dataset.

    Both call the vertical axis x and the horizontal one y, as of release 0.12.7.
    """
    original = getattr(dataset, "original_metadata", None) or {}
    is_nion = getattr(dataset, "source", None) == "NionReader"
    return is_nion or "BinaryResult" in original


def _sidpy_metadata(dataset):
    """Return the metadata of a sidpy Dataset."""
    own = getattr(dataset, "metadata", None)
    original = getattr(dataset, "original_metadata", None)
    metadata = dict(own) if isinstance(own, dict) else {}
    return metadata | ({"original_metadata": original} if original else {})


def _is_quantem(entry):
    return all(hasattr(entry, name) for name in ("array", "sampling", "units", "name"))


def _read_quantem(dataset):
    """Return the values of a quantem Dataset, whose last axes are rows and columns."""
    array = dataset.array
    if array is None:  # kept as a torch tensor
        array = dataset.tensor.detach().cpu().numpy()
    sampling = np.broadcast_to(dataset.sampling, array.ndim)
    units = dataset.units
    axes = [Axis(None, float(sampling[i]), units[i]) for i in range(array.ndim)]
    return array, axes


def _quantem_metadata(dataset):
    """Return the metadata of a quantem Dataset."""
    return {"name": dataset.name, **(getattr(dataset, "metadata", None) or {})}


_KINDS = (
    (_is_hyperspy, _read_hyperspy, _hyperspy_metadata),
    (_is_xarray, _read_xarray, lambda array: dict(array.attrs)),
    (_is_sidpy, _read_sidpy, _sidpy_metadata),
    (_is_quantem, _read_quantem, _quantem_metadata),
)
