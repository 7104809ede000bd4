"""Order of the axes of an image: which are its frames, its rows and its columns."""

import re
import unicodedata
from typing import Any, NamedTuple

import numpy as np

FRAME, ROW, COLUMN, SPECTRAL = "frame", "row", "column", "spectral"

# Names, lower case and without separators, under which packages and files store axes.
_NAMES = {
    ROW: {"y", "row", "rows", "height", "scany", "imagey", "ypixels"},
    COLUMN: {"x", "col", "cols", "column", "columns", "width", "scanx", "imagex"}
    | {"xpixels"},
    FRAME: {"z", "t", "i", "n", "q", "time", "frame", "frames", "image", "images"}
    | {"stack", "series", "imageseries", "sequence", "slice", "depth", "index"},
    SPECTRAL: {"energy", "energyloss", "eels", "eds", "wavelength", "spectrum"},
}
# Steps of a uniform axis differ by less than this share.
_UNIFORM_SHARE = 1e-3
_ROLES = {name: role for role, names in _NAMES.items() for name in names}


class Axis(NamedTuple):
    """One axis of an array, in the order in which the array is stored.

    Parameters
    ----------
    name : str or None
        Its name.
    scale : float or None
        Length of a step, negative if the coordinate decreases.
    unit : str or None
        Unit of the scale.
    role : {"frame", "row", "column", "spectral"} or None
        Its meaning, where the format defines it; that of its name otherwise.
    is_spatial : bool
        Whether the format marks it as an axis of the image, as HyperSpy's signal axes
        and sidpy's spatial dimensions.
    """

    name: Any = None
    scale: Any = None
    unit: Any = None
    role: Any = None
    is_spatial: bool = False


class Layout(NamedTuple):
    """Order in which the axes of an array form an image or a stack.

    Parameters
    ----------
    order : tuple of int
        Stored axes in the order frames, rows, columns, for ``transpose``.
    calibration : tuple of (scale, unit)
        Of the rows and the columns.
    """

    order: tuple
    calibration: tuple


def role_of(name):
    """Return the role that the name of an axis implies.

    Parameters
    ----------
    name : str or None
        The name.

    Returns
    -------
    role : {"frame", "row", "column", "spectral"} or None
        None where the name implies none.
    """
    if not isinstance(name, str):
        return None
    plain = unicodedata.normalize("NFKC", name).lower()
    plain = re.sub(r"(?<=\w)\s*[(\[].*[)\]]$", "", plain)  # a unit, as in "x (nm)"
    return _ROLES.get(re.sub(r"[\s_.\-\[\]()]|axis|dimension|position", "", plain))


def find_layout(axes):
    """Find the rows and the columns among the axes of an array.

    Where the format marks axes as spatial, the image is among these. Roles that the
    format defines decide first, then names. Position decides only among axes of which
    nothing is known: the last two are the rows and the columns.

    Parameters
    ----------
    axes : sequence of Axis
        One per stored axis, two at least.

    Returns
    -------
    layout : Layout
        The order of the axes and the calibration of the image.

    Raises
    ------
    ValueError
        If an axis besides the image is spectral.
    """
    roles = [axis.role or role_of(axis.name) for axis in axes]
    if sum(axis.is_spatial for axis in axes) >= 2:
        # The names of the other axes, such as scan positions, are not needed.
        roles = [
            role if axis.is_spatial or role == SPECTRAL else FRAME
            for axis, role in zip(axes, roles, strict=True)
        ]
    row, col = (_single(roles, role) for role in (ROW, COLUMN))
    row, col = _complete(axes, roles, row, col)
    others = [i for i in range(len(axes)) if i not in (row, col)]
    spectral = [axes[i] for i in others if roles[i] == SPECTRAL]
    if spectral:
        name = f" {spectral[0].name!r}" if spectral[0].name else ""
        raise ValueError(
            f"The axis{name} contains a spectrum at each pixel. An "
            "image or a stack of images is needed: sum or select channels."
        )
    calibration = tuple((axes[i].scale, axes[i].unit) for i in (row, col))
    return Layout((*others, row, col), calibration)


def arrange(image, axes):
    """Return an array with its frames first, then its rows and its columns.

    Parameters
    ----------
    image : array-like of two or more axes
        The array as it is stored, possibly lazy.
    axes : sequence of Axis
        Its axes.

    Returns
    -------
    image : array-like
        The array, or a view of it.
    calibration : tuple of (scale, unit)
        Of the rows and the columns.
    """
    layout = find_layout(axes)
    if layout.order != tuple(range(len(axes))):
        image = image.transpose(layout.order)
    return image, layout.calibration


def uniform_step(coordinates):
    """Return the step of uniform coordinates, None for others.

    Parameters
    ----------
    coordinates : array-like of shape (n,)
        Coordinates of the pixels along an axis.

    Returns
    -------
    step : float or None
        The step, negative if the coordinates decrease.
    """
    coordinates = np.asarray(coordinates)
    if coordinates.ndim != 1 or coordinates.dtype.kind not in "iuf":
        return None
    if len(coordinates) < 2:
        return None
    steps = np.diff(coordinates.astype(np.float64))
    step = steps.mean()
    uniform = np.abs(steps - step).max() <= _UNIFORM_SHARE * abs(step)
    return float(step) if uniform else None


def _single(roles, role):
    """Return the index of the only axis of a role, None if there is none or more."""
    found = [i for i, own in enumerate(roles) if own == role]
    return found[0] if len(found) == 1 else None


def _complete(axes, roles, row, col):
    """Return the indices of rows and columns, of which names imply one or none."""
    if row is not None and col is not None:
        return row, col
    known = row if row is not None else col
    free = [i for i in range(len(axes)) if i != known]
    needed = 2 if known is None else 1
    for is_candidate in (
        lambda i: axes[i].is_spatial and roles[i] not in (FRAME, SPECTRAL),
        lambda i: axes[i].is_spatial,
        lambda i: roles[i] not in (FRAME, SPECTRAL),
    ):
        candidates = [i for i in free if is_candidate(i)]
        if len(candidates) >= needed:
            free = candidates
            break
    if known is None:
        return free[-2], free[-1]
    return (row, free[-1]) if row is not None else (free[-1], col)
