"""Files of weights: what is written is read, and nothing else is."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from sklearn_ferroic import UNetAtomLocator
from sklearn_ferroic.localization._unet import weights as module


@pytest.fixture(scope="module")
def shipped():
    return UNetAtomLocator.from_pretrained()


@pytest.fixture
def path(shipped, tmp_path):
    shipped.save_weights(tmp_path / "own.safetensors", record={"seed": 3})
    return tmp_path / "own.safetensors"


def test_shipped_weights_are_small_and_say_where_they_are_from(shipped):
    assert sum(value.nbytes for value in shipped.weights_.values()) <= 4 * 2**20
    assert {"seed", "n_scenes", "torch", "sklearn_ferroic", "cpu_minutes"} <= set(
        shipped.record_
    )
    assert len(shipped.confidence_) == 6


def test_round_trip(shipped, path):
    again = UNetAtomLocator.from_pretrained(path)
    assert again.weights == path
    assert again.confidence_ == shipped.confidence_
    assert again.record_ == {"seed": "3"}
    for name, value in shipped.weights_.items():
        np.testing.assert_array_equal(again.weights_[name], value)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of weights .*none\.saf"):
        UNetAtomLocator.from_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize("n_left", [0, 5, 300, -1000])
def test_truncated_file(path, n_left):
    path.write_bytes(path.read_bytes()[:n_left])
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        UNetAtomLocator.from_pretrained(path)


def test_file_of_another_kind(path):
    path.write_text("columns,rows\n1,2\n" * 20)
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        UNetAtomLocator.from_pretrained(path)


def test_weights_of_another_network(path):
    save_file({"layer.weight": np.ones((3, 3), dtype=np.float32)}, path)
    with pytest.raises(ValueError, match="weights of something else"):
        UNetAtomLocator.from_pretrained(path)


def _head(**changes):
    head = {
        "format": "sklearn_ferroic.UNetAtomLocator",
        "format_version": "1",
        "n_filters": "16",
        "confidence": "[0, 1, 1, 0, 0, 0]",
        "record": "{}",
    }
    return {key: value for key, value in (head | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": "9"}, "format version '9'"),
        ({"n_filters": "8"}, "does not fit a network with n_filters=8"),
        ({"n_filters": None}, "damaged: its header lacks 'n_filters'"),
        ({"confidence": "["}, "damaged: Expecting value"),
        ({"confidence": "[1, 2]"}, "2 coefficients of the confidence, expected 6"),
    ],
)
def test_bad_header(path, changes, message):
    save_file(load_file(path), path, metadata=_head(**changes))
    with pytest.raises(ValueError, match=message):
        UNetAtomLocator.from_pretrained(path)


def test_weights_that_are_not_finite(path):
    arrays = load_file(path)
    arrays["head.bias"] = arrays["head.bias"] * np.float32(np.nan)
    save_file(arrays, path, metadata=_head())
    with pytest.raises(ValueError, match="some weights are not finite"):
        UNetAtomLocator.from_pretrained(path)


def test_shipped_file_is_verified(monkeypatch):
    monkeypatch.setattr(module, "_SHA256", "f" * 64)
    with pytest.raises(ValueError, match="not those that were released"):
        UNetAtomLocator(weights="pretrained").fit(np.eye(64))
    monkeypatch.setattr(module, "_SHIPPED", "gone.safetensors")
    with pytest.raises(ValueError, match=r"missing.*Reinstall the package"):
        UNetAtomLocator.from_pretrained()
