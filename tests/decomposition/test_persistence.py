"""Checkpoints of RotationalVAE, and its fitted state in files."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from skorch.callbacks import Callback

from sklearn_ferroic import RotationalVAE
from tests.decomposition._cells import make_patches

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def X():
    return make_patches(80)[0]


def make_vae(path=None, **parameters):
    settings = {"max_epochs": 5, "n_hidden": 16, "n_init": 1, "random_state": 0}
    return RotationalVAE(**{**settings, **parameters}, checkpoint=path)


class CtrlC(Callback):
    """Send the interrupt signal in one of the batches."""

    def __init__(self, batch):
        self.batch = batch

    def on_batch_begin(self, net, **kwargs):
        self.batch -= 1
        if self.batch < 0:
            signal.raise_signal(signal.SIGINT)


class Count(Callback):
    """Write the number of each epoch to a list."""

    def __init__(self, epochs):
        self.epochs = epochs

    def get_params(self, deep=True):
        return {"epochs": self.epochs}

    def on_epoch_begin(self, net, **kwargs):
        self.epochs.append(len(net.history))


def assert_same_fit(first, second):
    assert first.weights_.keys() == second.weights_.keys()
    for name, value in first.weights_.items():
        np.testing.assert_array_equal(value, second.weights_[name])
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_loss_curve_ == second.validation_loss_curve_
    assert first.noise_std_ == second.noise_std_


def interrupt(vae, X, batch):
    with pytest.raises(KeyboardInterrupt):
        vae.set_params(callbacks=[CtrlC(batch)]).fit(X)
    assert not hasattr(vae, "weights_")
    return vae.set_params(callbacks=None)


# Going on -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"early_stopping": True, "batch_size": 30},
        {"learning_rate_schedule": "constant", "convergence_tol": None},
    ],
)
@pytest.mark.parametrize("batch", [0, 3, 9])
def test_a_resumed_fit_is_the_unbroken_one_to_the_bit(batch, parameters, X, tmp_path):
    path = tmp_path / "vae.npz"
    unbroken = make_vae(**parameters).fit(X)
    epochs = []
    vae = interrupt(make_vae(path, **parameters), X, batch)
    vae.set_params(callbacks=[Count(epochs)]).fit(X)
    assert_same_fit(vae, unbroken)
    np.testing.assert_array_equal(vae.transform(X), unbroken.transform(X))
    batches_per_epoch = 4 if "batch_size" in parameters else -(-len(X) // 64)
    assert epochs == list(range(1 + batch // batches_per_epoch, 6))
    # and both can be trained on alike
    vae.set_params(checkpoint=None, early_stopping=False)
    unbroken.set_params(early_stopping=False)
    assert_same_fit(vae.partial_fit(X), unbroken.partial_fit(X))


def test_a_checkpoint_does_not_change_the_fit(X, tmp_path):
    assert_same_fit(make_vae(tmp_path / "vae.npz").fit(X), make_vae().fit(X))


def test_the_network_of_the_paper_is_resumed(X, tmp_path):
    def make(path=None):
        return RotationalVAE.paper(
            encoder="dense",
            window_size=20,
            n_hidden=8,
            max_epochs=3,
            random_state=0,
            checkpoint=path,
        )

    vae = interrupt(make(tmp_path / "vae.npz"), X, 4)  # three batches an epoch
    assert_same_fit(vae.fit(X), make().fit(X))


def test_a_fit_broken_off_twice(X, tmp_path):
    vae = make_vae(str(tmp_path / "vae.npz"), mixed_precision=True)
    interrupt(interrupt(vae, X, 3), X, 4)
    assert_same_fit(vae.fit(X), make_vae(mixed_precision=True).fit(X))


def test_early_stopping_goes_on_counting(X, tmp_path):
    parameters = {"early_stopping": True, "tol": 10.0, "n_iter_no_change": 3}
    vae = make_vae(tmp_path / "vae.npz", **parameters)
    interrupt(vae, X, 7)  # two training batches and one of validation an epoch
    unbroken = make_vae(**parameters).fit(X)
    assert unbroken.n_iter_ == 4
    assert_same_fit(vae.fit(X), unbroken)


def test_a_finished_fit_is_not_run_again(X, tmp_path):
    epochs = []
    vae = make_vae(tmp_path / "vae.npz", random_state=None)
    vae.fit(X)
    again = clone(vae).set_params(callbacks=[Count(epochs)]).fit(X)
    assert_same_fit(again, vae)
    assert epochs == []
    assert again.n_features_in_ == vae.n_features_in_


@pytest.mark.parametrize(
    "name", ["SIGTERM", pytest.param("SIGKILL", marks=pytest.mark.slow)]
)
def test_a_killed_process_leaves_a_checkpoint(name, X, tmp_path):
    if not hasattr(signal, name):
        pytest.skip(f"no {name} here")
    np.save(tmp_path / "X.npy", X)
    path = tmp_path / "vae.npz"
    code = """
        import sys
        import numpy as np
        from sklearn_ferroic import RotationalVAE
        vae = RotationalVAE(max_epochs=100000, n_init=1, checkpoint=sys.argv[1])
        vae.fit(np.load(sys.argv[2]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), path, tmp_path / "X.npy"]
    process = subprocess.Popen(command, cwd=ROOT)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and RotationalVAE.from_checkpoint(path).n_iter_ >= 2:
            break
        time.sleep(0.05)
    process.send_signal(getattr(signal, name))
    assert process.wait() == -getattr(signal, name)
    found = RotationalVAE.from_checkpoint(path)
    assert found.n_iter_ >= 2
    assert len(found.transform(X)) == len(X)


# What a checkpoint refuses ------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.01}, r"learning_rate=0\.003, not 0\.01"),
        ({"latent_dim": 3, "n_init": 2}, "latent_dim=2, not 3; n_init=1, not 2"),
        ({"random_state": 1}, "random_state=0, not 1"),
    ],
)
def test_other_parameters_are_refused(changes, message, X, tmp_path):
    path = tmp_path / "vae.npz"
    interrupt(make_vae(path), X, 3)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"vae\.npz contains a fit with {message}"):
        make_vae(path, **changes).fit(X)
    assert path.read_bytes() == before


def test_other_data_are_refused_and_other_containers_are_not(X, tmp_path):
    path = tmp_path / "vae.npz"
    interrupt(make_vae(path), X, 3)
    other = X.copy()
    other[40, 10, 10] += 1e-3
    for data in (other, X[:-1]):
        with pytest.raises(ValueError, match="contains a fit with other data"):
            make_vae(path).fit(data)
    vae = make_vae(path, verbose=False, device="cpu")
    rows = X.reshape(len(X), -1).astype(np.float64)
    assert_same_fit(vae.fit(rows), make_vae().fit(X))


def _cut(raw):
    return raw[: len(raw) // 2]


def _flip(raw):
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 255]) + raw[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [_cut, _flip, lambda raw: b"", lambda raw: b"no archive"]
)
def test_a_damaged_file_is_named(damage, X, tmp_path):
    path = tmp_path / "vae.npz"
    make_vae(path).fit(X)
    path.write_bytes(damage(path.read_bytes()))
    message = r"vae\.npz is not a checkpoint that can be read \(.+\)\. Delete it"
    with pytest.raises(ValueError, match=message):
        make_vae(path).fit(X)
    with pytest.raises(ValueError, match=message):
        RotationalVAE.from_checkpoint(path)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("went_off",))


@pytest.mark.parametrize(
    "content",
    [
        {"text": np.array([Bomb()], dtype=object)},
        {"text": np.array(json.dumps({"version": 99, "content": {}}))},
        {"text": np.array("[1]")},
        {"weights": np.zeros(3)},
    ],
)
def test_a_foreign_archive_is_refused_and_runs_no_code(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("vae.npz", **content)
    with pytest.raises(ValueError, match=r"vae\.npz is not a checkpoint that can"):
        RotationalVAE.from_checkpoint("vae.npz")
    assert os.listdir() == ["vae.npz"]


def test_missing_files_and_folders(X, tmp_path):
    with pytest.raises(FileNotFoundError):
        RotationalVAE.from_checkpoint(tmp_path / "vae.npz")
    with pytest.raises(FileNotFoundError):
        make_vae(tmp_path / "nowhere" / "vae.npz").fit(X)


def test_a_write_that_fails_leaves_the_file_before_it(X, tmp_path, monkeypatch):
    path = tmp_path / "vae.npz"
    interrupt(make_vae(path), X, 3)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            make_vae(path).fit(X)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["vae.npz"]


def test_a_warm_start_keeps_no_checkpoint(X, tmp_path):
    vae = make_vae(tmp_path / "vae.npz", warm_start=True).fit(X)
    with pytest.raises(ValueError, match="A warm start cannot use a checkpoint"):
        vae.fit(X)


# As an estimator ----------------------------------------------------------------------


def test_from_a_finished_checkpoint(X, tmp_path):
    path = tmp_path / "vae.npz"
    rows = pd.DataFrame(X[:, 4:16, 4:16].reshape(len(X), -1)).add_prefix("px")
    vae = make_vae(path, patch_shape=(9, 16), translation=False).fit(rows)
    found = RotationalVAE.from_checkpoint(path)
    assert_same_fit(found, vae)
    np.testing.assert_array_equal(found.transform(rows), vae.transform(rows))
    assert found.patch_shape_ == (9, 16)
    np.testing.assert_array_equal(found.feature_names_in_, vae.feature_names_in_)
    expected = {**vae.get_params(), "checkpoint": None, "patch_shape": [9, 16]}
    assert found.get_params() == expected
    vae.set_params(checkpoint=None)
    assert_same_fit(found.partial_fit(rows), vae.partial_fit(rows))


def test_an_unfinished_checkpoint_is_usable(X, tmp_path):
    path = tmp_path / "vae.npz"
    X = make_patches(400)[0]
    interrupt(make_vae(path, max_epochs=4), X, 3 * 7)
    found = RotationalVAE.from_checkpoint(path)
    assert found.n_iter_ == len(found.loss_curve_) == 3
    whole = make_vae(max_epochs=4).fit(X)
    angle, width = (part[:, 0] for part in found.transform_with_std(X))
    final_angle, final_width = (part[:, 0] for part in whole.transform_with_std(X))
    turn = np.angle(np.exp(1j * (angle - final_angle)))
    assert np.abs(turn).max() < 0.05
    # the widths are tempered, if by fewer patches
    assert np.median(width / final_width) == pytest.approx(1, abs=0.2)


# Other files --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vae(X):
    return make_vae(random_state=np.random.RandomState(0)).fit(X)


def test_skops_needs_to_trust_nothing_of_ours(vae, X, tmp_path):
    raw = skops.io.dumps(vae)
    # the class itself has to be trusted, and nothing else
    name = "sklearn_ferroic.decomposition._rotational_vae.RotationalVAE"
    assert set(skops.io.get_untrusted_types(data=raw)) <= {name}
    loaded = skops.io.loads(raw, trusted=[name])
    np.testing.assert_array_equal(loaded.transform(X), vae.transform(X))
    np.testing.assert_array_equal(loaded.score_samples(X), vae.score_samples(X))
    again = joblib.load(_dumped(vae, tmp_path))
    assert_same_fit(loaded.partial_fit(X), again.partial_fit(X))


def _dumped(vae, folder):
    joblib.dump(vae, folder / "vae.joblib")
    return folder / "vae.joblib"


def test_fitted_state_is_plain(vae):
    plain = (np.ndarray, str, int, float, bool, tuple, list, dict, type(None))

    def leaves(item):
        if isinstance(item, dict):
            item = list(item.values())
        if isinstance(item, list | tuple):
            return [leaf for part in item for leaf in leaves(part)]
        return [item]

    fitted = set(vars(vae)) - set(vae.get_params()) - {"_random_state"}
    state = [getattr(vae, name) for name in fitted]
    assert all(type(leaf) in plain for leaf in leaves(state))
