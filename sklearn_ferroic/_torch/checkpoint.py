"""Checkpoint file and state from which an interrupted training is resumed.

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
from skorch.callbacks import Callback

from .._utils.writing import locked, resolve_path, write_whole

# Version of the format of checkpoints, which files of other versions do not have.
_FORMAT_VERSION = 1
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
# What EarlyStopping notes about the epochs so far.
_EARLY_STOPPING = (
    "misses_",
    "dynamic_threshold_",
    "best_epoch_",
    "best_model_weights_",
)


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
                f"{os.fspath(self.path)} contains a fit with {'; '.join(changed)}. "
                "Continue with what it was started with, delete it, or choose another "
                "path."
            )
        return state

    def _compare_origin(self, found):
        """Return the differences of the settings of the stored fit and of this one."""
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
    text = json.dumps({"version": _FORMAT_VERSION, "content": _pack(content, arrays)})
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
        if found["version"] != _FORMAT_VERSION:
            raise ValueError(
                f"its version is {found['version']}, not {_FORMAT_VERSION}"
            )
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


def capture_training_state(net, random_state):
    """Collect everything that later epochs depend on.

    Parameters
    ----------
    net : skorch.NeuralNet
        The net, between two epochs.
    random_state : RandomState
        Shuffles the batches.

    Returns
    -------
    state : dict
        Nested dicts and lists of tensors, arrays, numbers and text.
    """
    callbacks = dict(net.callbacks_)
    state = {
        "model": net.module_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "learning_rate": _schedule_state(callbacks),
        "generator": net.module_.generator.get_state(),
        "random_state": random_state.get_state(legacy=False),
        "losses": loss_curve(net, "train_loss"),
        "validation_losses": loss_curve(net, "valid_loss"),
    }
    if "early_stopping" in callbacks:
        stopping = callbacks["early_stopping"]
        state["early_stopping"] = [getattr(stopping, name) for name in _EARLY_STOPPING]
    return state


def _schedule_state(callbacks):
    """Return the state of the learning-rate schedule; empty if there is none."""
    if "learning_rate" not in callbacks:
        return {}
    return callbacks["learning_rate"].lr_scheduler_.state_dict()


def restore_training_state(net, state):
    """Set a net to a captured state.

    Parameters
    ----------
    net : skorch.NeuralNet
        An initialised net after its `on_train_begin` callbacks.
    state : dict
        Result of `capture_training_state`.
    """
    callbacks = dict(net.callbacks_)
    net.module_.load_state_dict(state["model"])
    net.optimizer_.load_state_dict(state["optimizer"])
    _lay_out_as_weights(net.optimizer_)
    # a constant learning rate has no schedule
    if "learning_rate" in callbacks:
        callbacks["learning_rate"].lr_scheduler_.load_state_dict(state["learning_rate"])
    net.module_.generator.set_state(state["generator"])
    for epoch, loss in enumerate(state["losses"]):
        net.history.new_epoch()
        net.history.record("epoch", epoch + 1)
        net.history.record("train_loss", loss)
        if state["validation_losses"] is not None:
            net.history.record("valid_loss", state["validation_losses"][epoch])
    if "early_stopping" in callbacks:
        for name, value in zip(_EARLY_STOPPING, state["early_stopping"], strict=True):
            setattr(callbacks["early_stopping"], name, value)


def _lay_out_as_weights(optimizer):
    """Restore the memory layout of an optimizer's state from that of the weights.

    Fused steps iterate over both in parallel.
    """
    for weight, known in optimizer.state.items():
        for name, value in known.items():
            if value.shape == weight.shape:
                known[name] = torch.empty_like(weight).copy_(value)


def get_random_state(state):
    """Return a RandomState that continues from that of a captured state."""
    stored = state["random_state"]
    key = stored["state"]["key"].numpy()
    random_state = np.random.RandomState()
    random_state.set_state({**stored, "state": {**stored["state"], "key": key}})
    return random_state


def stored_losses(state):
    """Return the losses of a captured state; None for those of no validation."""
    losses, validation = state["losses"], state["validation_losses"]
    if validation is not None:
        validation = [float(loss) for loss in validation]
    return [float(loss) for loss in losses], validation


def loss_curve(net, name):
    """Return the losses of all epochs as floats; None if there are none."""
    if not net.history or name not in net.history[-1]:
        return [] if name == "train_loss" else None
    return [float(loss) for loss in net.history[:, name]]


class AtEpochEnd(Callback):
    """Call a function of the net at the end of each epoch."""

    def __init__(self, function):
        self.function = function

    def on_epoch_end(self, net, **kwargs):
        """Call the function."""
        self.function(net)
