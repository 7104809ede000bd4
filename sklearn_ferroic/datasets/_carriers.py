"""Images of other packages, with the pixel size of their axes.

Nothing of these packages is imported: what has their attributes is taken for theirs.
"""

import numpy as np

from ._files.calibration import square_pixel

_REMEDY = (
    "Resample the image to square pixels, or give (array, pixel_size) to take them as "
    "square."
)
# Steps of a uniform axis differ by less than this share.
_UNIFORM = 1e-3


def unpack_foreign(entry):
    """Read an image of HyperSpy, xarray or sidpy.

    Parameters
    ----------
    entry : object
        Anything.

    Returns
    -------
    carrier : tuple of (array-like, float or None) or None
        The unchanged array, whose last two axes are rows and columns, and the pixel
        size in nm if both have a unit of length; None for anything else.

    Raises
    ------
    ValueError
        If the pixels are not square.
    """
    for is_kind, read_axes in _KINDS:
        if is_kind(entry):
            ndim = np.ndim(entry.data) if is_kind is _is_hyperspy else entry.ndim
            axes = read_axes(entry, range(ndim)[-2:]) if ndim >= 2 else None
            name = f"the {type(entry).__name__}"
            return _array(entry), square_pixel(axes, name, _REMEDY)[0]
    return None


def _array(entry):
    # A signal is no array itself; the others are, or become one.
    return entry.data if hasattr(entry, "axes_manager") else np.asarray(entry)


def _is_hyperspy(entry):
    return hasattr(entry, "axes_manager") and hasattr(entry, "data")


def _hyperspy_axes(signal, indices):
    manager = signal.axes_manager
    every = [*manager.navigation_axes, *manager.signal_axes]
    by_index = {axis.index_in_array: axis for axis in every}
    return [
        (getattr(by_index[i], "scale", None), getattr(by_index[i], "units", None))
        for i in indices
    ]


def _is_xarray(entry):
    # A Dataset, of several arrays, has no ndim.
    return all(hasattr(entry, name) for name in ("dims", "coords", "ndim"))


def _xarray_axes(array, indices):
    axes = []
    for i in indices:
        coordinate = array.coords.get(array.dims[i])
        if coordinate is None:
            axes.append((None, None))
        else:
            axes.append((_step(coordinate.values), coordinate.attrs.get("units")))
    return axes


def _is_sidpy(entry):
    return hasattr(entry, "get_image_dims") and hasattr(entry, "dim_0")


def _sidpy_axes(dataset, indices):
    dimensions = [getattr(dataset, f"dim_{i}") for i in indices]
    return [(_step(one.values), one.units) for one in dimensions]


def _step(coordinates):
    """Return the step of uniform coordinates, None for others."""
    coordinates = np.asarray(coordinates)
    if coordinates.dtype.kind not in "iuf" or len(coordinates) < 2:
        return None
    steps = np.diff(coordinates.astype(np.float64))
    step = steps.mean()
    uniform = np.abs(steps - step).max() <= _UNIFORM * abs(step)
    return float(step) if uniform else None


_KINDS = (
    (_is_hyperspy, _hyperspy_axes),
    (_is_xarray, _xarray_axes),
    (_is_sidpy, _sidpy_axes),
)
