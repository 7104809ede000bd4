"""Checkpoint file from which an interrupted training is resumed.

The file is a NumPy archive of arrays and one JSON text with everything else. Reading it
executes no code, unlike a pickle.
"""

import hashlib
import json
import os
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np
import torch

from .._utils.writing import locked, resolve_path, write_whole

_VERSION = 1
_DAMAGED = (
    OSError,
    EOFError,
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


# Parameters that may differ between the fit that was broken off and its continuation.
_FREE = {"device", "verbose", "warm_start"}


class Checkpoint:
    """The checkpoint of one fit.

    Parameters
    ----------
    path : str or path-like
        The file.
    origin : dict
        What the fit is begun with: `parameters`, `data`, `device` and whatever is
        to be kept besides.
    """

    def __init__(self, path, origin):
        self.path = path
        self.origin = origin

    def save(self, state):
        """Write the state of the training."""
        write_checkpoint(self.path, {"origin": self.origin, "state": state})

    def locked(self):
        """Keep other fits from the file while a context lasts."""
        return locked(self.path, "fit, which writes its checkpoint there")

    def load(self):
        """Read the state of the training; None if there is no file.

        Raises
        ------
        ValueError
            If the file cannot be read or belongs to another fit.
        """
        try:
            content = read_checkpoint(self.path)
        except FileNotFoundError:
            return None
        with reading_checkpoint(self.path):
            changed = self._compare_origin(content["origin"])
            state = content["state"]
        if changed:
            raise ValueError(
                f"{os.fspath(self.path)} holds a fit with {'; '.join(changed)}. Go on "
                "with what it was begun with, delete it, or choose another path."
            )
        return state

    def _compare_origin(self, found):
        """Return what the fit of a file was begun with and this one was not."""
        wanted = _unpack(_pack(self.origin, []), [])
        changed = [
            f"{name}={found['parameters'].get(name)!r}, not {value!r}"
            for name, value in wanted["parameters"].items()
            if name not in _FREE and found["parameters"].get(name) != value
        ]
        if found["data"] != wanted["data"]:
            changed.append("other data")
        if found["device"] != wanted["device"]:
            changed.append(f"device {found['device']}, not {wanted['device']}")
        return changed


def digest_arrays(parts):
    """Compute a digest of the values of several arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def write_checkpoint(path, content):
    """Write nested dicts and lists of arrays, tensors, numbers and text to a file.

    The file is complete at any time: a new one replaces the old one atomically.
    """
    arrays = []
    text = json.dumps({"version": _VERSION, "content": _pack(content, arrays)})
    write_whole(path, lambda file: np.savez(file, *arrays, text=np.array(text)))


def read_checkpoint(path):
    """Read what `write_checkpoint` wrote; arrays come back as tensors.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If the file is not a checkpoint, or damaged.
    """
    with reading_checkpoint(path):
        with (
            open(resolve_path(path), "rb") as file,
            np.load(file, allow_pickle=False) as archive,
        ):
            stored = {name: archive[name] for name in archive.files}
        found = json.loads(stored.pop("text").item())
        if found["version"] != _VERSION:
            raise ValueError(f"its version is {found['version']}, not {_VERSION}")
        return _unpack(found["content"], stored)


@contextmanager
def reading_checkpoint(path):
    """Convert all errors of reading a bad checkpoint to a ValueError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except _DAMAGED as error:
        raise ValueError(
            f"{os.fspath(path)} is not a checkpoint that can be read "
            f"({type(error).__name__}: {error}). Delete it to start again, or choose "
            "another path."
        ) from error


def _pack(item, arrays):
    if isinstance(item, dict):
        # as pairs, because JSON makes text of the numbers that are keys
        return {"dict": [[key, _pack(value, arrays)] for key, value in item.items()]}
    if isinstance(item, list | tuple):
        return [_pack(value, arrays) for value in item]
    if isinstance(item, torch.Tensor):
        item = item.numpy(force=True)
    if isinstance(item, np.ndarray):
        arrays.append(item)
        return {"array": len(arrays) - 1}
    return item.item() if isinstance(item, np.generic) else item


def _unpack(item, arrays):
    if isinstance(item, list):
        return [_unpack(value, arrays) for value in item]
    if not isinstance(item, dict):
        return item
    if "array" in item:
        return torch.from_numpy(arrays[f"arr_{item['array']}"])
    return {key: _unpack(value, arrays) for key, value in item["dict"]}
