"""Checkpoints and weights that were made by hand: a ValueError with the file's name."""

import copy
import json
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from sklearn_ferroic import RotationalVAE
from sklearn_ferroic._torch.checkpoint import read_checkpoint, write_checkpoint
from sklearn_ferroic.localization._unet.weights import read_weights

FAST = dict(latent_dim=1, n_hidden=8, max_epochs=2, random_state=0, device="cpu")


@pytest.fixture(scope="module")
def windows():
    return np.random.default_rng(0).normal(size=(40, 81))


@pytest.fixture(scope="module")
def content(windows, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "state"
    RotationalVAE(**FAST, checkpoint=path).fit(windows)
    return read_checkpoint(path)


def _paths(node, prefix=()):
    """All places in nested dicts, but the numbers within lists."""
    for key, value in node.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from _paths(value, (*prefix, key))


def _at(node, path):
    for key in path[:-1]:
        node = node[key]
    return node, path[-1]


BAD = [None, "text", -1, 10**12, 0.5, [], {}, [[1, 2], "x"], torch.zeros(3, 3)]


def test_any_entry_replaced_or_missing(content, windows, tmp_path):
    """Reading and going on either work or say that the file is bad."""
    path = tmp_path / "state"
    rng = np.random.default_rng(0)
    places = list(_paths(content))
    n_refused = n_tried = 0
    for place in places:
        for what in ["missing", *rng.permutation(len(BAD))[:3]]:
            crafted = copy.deepcopy(content)
            node, key = _at(crafted, place)
            if what == "missing":
                del node[key]
            else:
                node[key] = copy.deepcopy(BAD[what])
            write_checkpoint(path, crafted)
            for read in (
                lambda: RotationalVAE.from_checkpoint(path),
                lambda: RotationalVAE(**FAST, checkpoint=path).fit(windows),
            ):
                n_tried += 1
                try:
                    read()
                except ValueError as error:
                    assert str(path) in str(error), place
                    n_refused += 1
    assert n_refused > n_tried / 4


def test_weights_that_are_not_finite(content, tmp_path):
    crafted = copy.deepcopy(content)
    next(iter(crafted["state"]["model"].values())).fill_(float("nan"))
    write_checkpoint(tmp_path / "state", crafted)
    with pytest.raises(ValueError, match=r"state .*not finite"):
        RotationalVAE.from_checkpoint(tmp_path / "state")


def test_an_archive_that_declares_more_than_memory(tmp_path):
    path = tmp_path / "state"
    with zipfile.ZipFile(path, "w") as archive, archive.open("text.npy", "w") as file:
        head = {"descr": "<f8", "fortran_order": False, "shape": (2**45,)}
        np.lib.format.write_array_header_1_0(file, head)
    with pytest.raises(ValueError, match="not a checkpoint that can be read"):
        RotationalVAE.from_checkpoint(path)


@pytest.mark.parametrize("n_filters", ["-1", "0", "1e3", "x", "1000000000000"])
@pytest.mark.parametrize("confidence", ["[]", "3", "null", '{"a": 1}', "[1, 2"])
def test_heads_of_weights(tmp_path, n_filters, confidence):
    path = tmp_path / "weights.safetensors"
    head = {
        "format": "sklearn_ferroic.UNetAtomLocator",
        "format_version": "1",
        "n_filters": n_filters,
        "confidence": confidence,
        "record": json.dumps({}),
    }
    save_file({"a": np.zeros(3, np.float32)}, path, metadata=head)
    with pytest.raises(ValueError, match=r"weights\.safetensors"):
        read_weights(path)
