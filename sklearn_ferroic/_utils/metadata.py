"""JSON-serializable metadata without large arrays."""

import math

import numpy as np

# Longer arrays and lists are data, such as spectra: only their shape is kept.
_MAX_ITEMS = 1000
# Nesting of dictionaries and lists; deeper ones are replaced by their text.
_MAX_LEVELS = 30


def plain_metadata(metadata):
    """Return metadata as plain dictionaries, lists, numbers and text.

    Parameters
    ----------
    metadata : mapping
        Metadata of a file or a container.

    Returns
    -------
    plain : dict
        Keys are text; numbers that are not finite are None; arrays and lists of more
        than 1,000 items are replaced by a note of their shape; other objects are
        replaced by their text.
    """
    return _plain(metadata, 0)


def _plain(value, depth):
    """Return one value in a JSON-serializable form."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, np.ndarray | np.generic):
        if value.size > _MAX_ITEMS:
            return f"array of shape {value.shape} and type {value.dtype}"
        if value.dtype.kind not in "biufUSO":
            return str(value)
        return _plain(value.tolist(), depth + 1)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth >= _MAX_LEVELS:
        return str(value)
    if hasattr(value, "items"):
        return {
            _text(key) if isinstance(key, bytes) else str(key): _plain(item, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        if len(value) > _MAX_ITEMS:
            return f"list of {len(value)} items"
        return [_plain(item, depth + 1) for item in value]
    return str(value)


def _text(value):
    """Return bytes as text, without the zeros that pad it."""
    return value.decode("utf-8", errors="replace").rstrip("\0")


def rounded(values, digits=4):
    """Return numbers as nested lists for JSON.

    Parameters
    ----------
    values : array-like
        Numbers.
    digits : int, default=4
        Number of decimals; 0 makes integers.

    Returns
    -------
    values : list
        The rounded numbers, None where they are not finite.
    """
    values = np.round(np.asarray(values, dtype=np.float64), digits)
    is_finite = np.isfinite(values)
    numbers = np.where(is_finite, values, 0) + 0.0  # without negative zeros
    kind = int if digits == 0 else float
    return np.where(is_finite, numbers.astype(kind).astype(object), None).tolist()
