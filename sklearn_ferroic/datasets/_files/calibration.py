"""Pixel size in nm from the calibration of axes in files."""

import math
import re
import unicodedata
import warnings

_NM_PER_UNIT = {
    "pm": 1e-3,
    "picometer": 1e-3,
    "picometre": 1e-3,
    "a": 0.1,
    "å": 0.1,
    "ang": 0.1,
    "angstrom": 0.1,
    "ångström": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "um": 1e3,
    "\u03bcm": 1e3,
    "micron": 1e3,
    "microns": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "mm": 1e6,
    "cm": 1e7,
    "inch": 2.54e7,
    "m": 1e9,
    "meter": 1e9,
    "metre": 1e9,
}
# Two sides of a pixel that differ by more are not rounding.
_TOLERANCE_SHARE = 1e-3


def to_nm(scale, unit):
    """Convert the length of one step along an axis to nm.

    Parameters
    ----------
    scale : float or None
        Length of a step.
    unit : str or None
        Its unit in any of the usual spellings.

    Returns
    -------
    size : float or None
        None where the scale is not a positive number or the unit no length.
    """
    if scale is None or not isinstance(unit, str):
        return None
    # ImageJ escapes non-ASCII text; NFKC maps the two characters for micro to one.
    unit = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), unit)
    unit = unicodedata.normalize("NFKC", unit.strip())
    unit = unit.lower().rstrip(".")
    # NCEM's EMD files separate the prefix, as in "[n_m]".
    unit = re.sub(r"^\[?([pnumc\u03bc])_m\]?$", r"\1m", unit)
    # Names have a plural; of abbreviations that would make "ms" a length.
    singular = unit.removesuffix("s") if len(unit) > 4 else unit
    factor = _NM_PER_UNIT.get(unit, _NM_PER_UNIT.get(singular))
    size = abs(float(scale))
    if factor is None or not math.isfinite(size) or size == 0:
        return None
    return size * factor


def pixel_sides(axes):
    """Return the sides of the pixel from the calibration of the two image axes.

    Parameters
    ----------
    axes : sequence of (scale, unit) or None
        For the rows and the columns; None where it is not given.

    Returns
    -------
    sides : tuple of float or None
        Along the rows' and the columns' axis in nm, None where one is unknown.
    remark : str
        Text for the message about unknown ones.
    """
    if axes is None:
        return None, "no pixel size in the file"
    row, col = (to_nm(*axis) for axis in axes)
    if row is None or col is None:
        scale, unit = axes[0] if row is None else axes[1]
        if scale is None:
            return None, "no pixel size in the file"
        unit = f"with the unit {unit!r}" if unit else "without a unit"
        return None, f"no pixel size: the file gives {scale:.6g} a pixel {unit}"
    return (row, col), ""


def are_equal(row, col):
    """Return whether the sides of a pixel differ by rounding only.

    Parameters
    ----------
    row, col : float
        The sides.

    Returns
    -------
    equal : bool
        Whether the pixel is square.
    """
    return abs(row - col) <= _TOLERANCE_SHARE * max(row, col)


def square_pixel(axes, name, remedy):
    """Return the side of the square pixel from the calibration of the image axes.

    Parameters
    ----------
    axes : sequence of (scale, unit) or None
        For the rows and the columns; None where it is not given.
    name : str
        What is being read, for the message.
    remedy : str
        What to do about pixels that are not square, for the message.

    Returns
    -------
    pixel_size : float or None
        nm, None where unknown.
    remark : str
        Text for the message about an unknown one.
    """
    sides, remark = pixel_sides(axes)
    if sides is None:
        return None, remark
    row, col = sides
    if not are_equal(row, col):
        raise ValueError(
            f"The pixels of {name} are not square: {row:.6g} nm along the rows' axis "
            f"and {col:.6g} nm along the columns' axis. {remedy}"
        )
    return (row + col) / 2, ""


def warn_of_reversed_axes(axes, name):
    """Warn of axes whose coordinate decreases: the image is used as it is stored.

    Parameters
    ----------
    axes : sequence of (scale, unit) or None
        For the rows and the columns; None where it is not given.
    name : str
        What is being read, for the message.
    """
    for kind, flip, axis in zip(
        ("rows", "columns"), ("[..., ::-1, :]", "[..., ::-1]"), axes or (), strict=False
    ):
        scale = axis[0]
        if scale is not None and float(scale) < 0:
            warnings.warn(
                f"The {kind}' axis of {name} has the negative scale {scale:.6g}: its "
                "coordinate decreases. The image is used as it is stored, and angles "
                "refer to the stored rows and columns; where it is to increase, pass "
                f"image{flip} with a positive scale.",
                UserWarning,
                stacklevel=2,
            )
