"""Files of weights: safetensors, which run no code, with a record of their origin.

The weights that are shipped are checked against their digest.
"""

import hashlib
import json
import os
from importlib import resources
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..._utils.writing import resolve_path, write_whole
from .evidence import UNCALIBRATED_COEFFICIENTS
from .network import state_shapes

_FORMAT = "sklearn_ferroic.UNetAtomLocator"
_VERSION = "1"
_SHIPPED = "unet_1.safetensors"
_SHA256 = "9a70fdd5fce0591c67d736d8aa67a0f2ccad14059ff8a8c41fdf0b05918cd925"


class Weights(NamedTuple):
    """A trained network.

    Parameters
    ----------
    arrays : dict of ndarray
        Weights by their names in the network's state.
    n_filters : int
        Filters of the first level.
    confidence : tuple of float of length n_coefficients
        Coefficients for the probability of a site from the network's evidence.
    record : dict of str to str
        Where the weights are from.
    """

    arrays: dict
    n_filters: int
    confidence: tuple
    record: dict


def write_weights(path, weights):
    """Write weights to a file.

    Parameters
    ----------
    path : str or path-like
        The file; it is overwritten.
    weights : Weights
        What goes in.
    """
    metadata = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "n_filters": str(weights.n_filters),
        "confidence": json.dumps(list(weights.confidence)),
        "record": json.dumps({k: str(v) for k, v in weights.record.items()}),
    }
    arrays = {name: np.array(w, order="C") for name, w in weights.arrays.items()}
    content = save(arrays, metadata=metadata)
    write_whole(path, lambda file: file.write(content))


def start_weights(weights):
    """Read the weights of a path, or the pretrained ones."""
    if isinstance(weights, str) and weights == "pretrained":
        return read_shipped()
    return read_weights(weights)


def read_weights(path):
    """Read weights from a file.

    Parameters
    ----------
    path : str or path-like
        What `write_weights` wrote.

    Returns
    -------
    weights : Weights
        The weights.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ValueError
        If it is damaged, or contains other weights.
    """
    path = os.fspath(resolve_path(path))
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file of weights {path!r}.")
    try:
        with safe_open(path, framework="numpy") as file:
            head = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError, TypeError, MemoryError) as error:
        raise ValueError(
            f"{path!r} is damaged or no safetensors file ({error}). Copy or train the "
            "weights again."
        ) from error
    if head.get("format") != _FORMAT:
        raise ValueError(
            f"{path!r} contains the weights of something else than UNetAtomLocator: "
            f"format {head.get('format')!r}, expected {_FORMAT!r}. "
            "UNetAtomLocator.save_weights writes such files."
        )
    if head.get("format_version") != _VERSION:
        raise ValueError(
            f"{path!r} has the format version {head.get('format_version')!r}, and this "
            f"version of sklearn_ferroic knows {_VERSION!r}."
        )
    try:
        weights = Weights(
            arrays,
            int(head["n_filters"]),
            tuple(float(number) for number in json.loads(head["confidence"])),
            json.loads(head["record"]),
        )
        _check_arrays(path, weights)
    except KeyError as error:
        raise ValueError(f"{path!r} is damaged: its header lacks {error}.") from error
    except (AttributeError, OverflowError, RuntimeError, TypeError) as error:
        raise ValueError(f"{path!r} is damaged: {error}.") from error
    except ValueError as error:
        if path in str(error):
            raise
        raise ValueError(f"{path!r} is damaged: {error}.") from error
    return weights


def read_shipped():
    """Read the weights that come with the package.

    Returns
    -------
    weights : Weights
        The weights.

    Raises
    ------
    ValueError
        If they are not those that the package was released with.
    """
    place = resources.files(__package__).joinpath(_SHIPPED)
    with resources.as_file(place) as path:
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            found = None
        if found != _SHA256:
            raise ValueError(
                f"The weights that come with the package, {path}, are "
                f"{'missing' if found is None else 'not those that were released'} "
                f"(SHA-256 {found}, expected {_SHA256}). Reinstall the package."
            )
        return read_weights(path)


def _check_arrays(path, weights):
    if weights.n_filters < 1:
        raise ValueError(f"{path!r} is damaged: n_filters={weights.n_filters}.")
    expected = state_shapes(weights.n_filters)
    found = {name: value.shape for name, value in weights.arrays.items()}
    if found != expected:
        odd = sorted(set(found.items()) ^ set(expected.items()))[0]
        raise ValueError(
            f"{path!r} does not fit a network with n_filters={weights.n_filters}: "
            f"see {odd[0]!r}. Copy or train the weights again."
        )
    if len(weights.confidence) != len(UNCALIBRATED_COEFFICIENTS):
        raise ValueError(
            f"{path!r} is damaged: {len(weights.confidence)} coefficients of the "
            f"confidence, expected {len(UNCALIBRATED_COEFFICIENTS)}."
        )
    if not all(np.isfinite(value).all() for value in weights.arrays.values()):
        raise ValueError(f"{path!r} is damaged: some weights are not finite.")
