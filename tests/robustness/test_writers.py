"""Killed writers, full disks and two writers: the old file or the new one, whole."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open

from sklearn_ferroic import AtomSites, RotationalVAE, UNetAtomLocator
from sklearn_ferroic._torch.checkpoint import read_checkpoint, write_checkpoint
from sklearn_ferroic._utils.writing import locked, write_whole
from sklearn_ferroic.datasets import load_image
from sklearn_ferroic.localization._unet.weights import Weights, write_weights

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and limits")
FAST = dict(latent_dim=1, n_hidden=8, random_state=0, device="cpu")


def make_sites(n_sites=20, value=0.0):
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 64, (n_sites, 2))
    return AtomSites(np.full((64, 64), value), positions, sigma=np.full(n_sites, value))


def write_csv(path, value):
    make_sites(2000, value).to_csv(path)


def write_hdf5(path, value):
    make_sites(2000, value).to_hdf5(path)


def write_state(path, value):
    write_checkpoint(path, {"weights": np.full(200_000, value)})


def read_csv(path):
    table = pd.read_csv(path, comment="#")
    assert len(table) == 2000
    return set(table["sigma"])


def read_hdf5(path):
    return set(AtomSites.from_hdf5(path).sigma)


def read_state(path):
    return set(read_checkpoint(path)["weights"].tolist())


def write_network(path, value):
    arrays = {"weights": np.full(200_000, value, np.float32)}
    write_weights(path, Weights(arrays, 1, (0.0,), {}))


def read_network(path):
    with safe_open(path, framework="numpy") as file:
        return set(file.get_tensor("weights").tolist())


KINDS = {
    "csv": (write_csv, read_csv),
    "hdf5": (write_hdf5, read_hdf5),
    "checkpoint": (write_state, read_state),
    "weights": (write_network, read_network),
}


def run(code, *arguments, **options):
    """Start Python with a piece of code, in the folder of the tests."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


LOOP = """
import sys
from tests.robustness.test_writers import KINDS
write, _ = KINDS[sys.argv[1]]
print("ready", flush=True)
for value in range(10**6):
    write(sys.argv[2], float(value))
"""


@posix
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kill_9_while_writing(tmp_path, kind):
    """Twelve writers of each kind are killed at any moment."""
    path = tmp_path / "file"
    rng = np.random.default_rng(0)
    write, read = KINDS[kind]
    write(path, -1.0)
    for _ in range(12):
        process = run(LOOP, kind, path)
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert len(read(path)) == 1
    # the next writer clears up what the killed ones have left
    write(path, 7.0)
    assert set(os.listdir(tmp_path)) == files_of(kind)
    assert read(path) == {7.0}


FULL = """
import resource, signal, sys
from tests.robustness.test_writers import KINDS
write, _ = KINDS[sys.argv[1]]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write(sys.argv[2], 2.0)
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def files_of(kind):
    """A table has its units and parameters in a second file."""
    return {"file", "file.json"} if kind == "csv" else {"file"}


@posix
@pytest.mark.parametrize("kind", KINDS)
def test_full_disk_keeps_the_old_file(tmp_path, kind):
    path = tmp_path / "file"
    write, read = KINDS[kind]
    write(path, 1.0)
    process = run(FULL, kind, path)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors  # no crash of the interpreter at its end
    assert output.startswith("OSError"), errors
    assert read(path) == {1.0}
    assert set(os.listdir(tmp_path)) == files_of(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_write_one_file(tmp_path, kind):
    path = tmp_path / "file"
    write, read = KINDS[kind]
    errors = []

    def work(value):
        try:
            for _ in range(4):
                write(path, value)
                assert len(read(path)) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(float(n),)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(os.listdir(tmp_path)) == files_of(kind)


@posix
def test_partial_files_of_the_living_and_of_others_are_kept(tmp_path):
    path = tmp_path / "file"
    ended = run("pass")
    ended.communicate()
    seen = []

    def write(file):
        seen.append(os.path.basename(file.name))
        file.write(b"x")

    write_whole(path, write)
    prefix, _, _ = seen[0].rpartition(f"-{os.getpid()}-")
    ours = tmp_path / f"{prefix}-{os.getpid()}-00.part"
    of_dead = tmp_path / f"{prefix}-{ended.pid}-00.part"
    elsewhere = tmp_path / f"{prefix}x-{ended.pid}-00.part"
    other_file = tmp_path / f".other.{prefix.partition('.file.')[2]}-{ended.pid}-0.part"
    for leftover in (ours, of_dead, elsewhere, other_file):
        leftover.write_bytes(b"")
    write_whole(path, write)
    assert not of_dead.exists()
    assert ours.exists() and elsewhere.exists() and other_file.exists()


def test_names_of_255_bytes_and_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    name = "ä" * 125 + "x.h5"
    assert len(name.encode()) == 254
    sites = make_sites()
    sites.to_hdf5(f"~/{name}")
    assert AtomSites.from_hdf5(f"~/{name}") == sites
    table = "t" * 246 + ".csv"  # and 255 bytes with .json
    sites.to_csv(f"~/{table}")
    again = AtomSites.from_csv(f"~/{table}")
    np.testing.assert_allclose(again.positions, sites.positions, atol=1e-9)
    with pytest.raises(ValueError, match=r"1 byte\(s\) too long"):
        sites.to_csv(f"~/t{table}")
    np.save(tmp_path / "image.npy", sites.images[0])
    assert load_image("~/image.npy").image.shape == (64, 64)
    write_weights("~/weights", Weights({"a": np.zeros(3)}, 1, (0.0,), {}))
    with pytest.raises(ValueError, match="weights' does not fit a network"):
        UNetAtomLocator(weights="~/weights").fit(np.eye(64))
    write_checkpoint("~/state", {"value": np.zeros(1)})
    assert list(read_checkpoint("~/state")) == ["value"]
    assert sorted(os.listdir(tmp_path)) == sorted(
        [name, table, f"{table}.json", "image.npy", "state", "weights"]
    )


@pytest.fixture
def windows():
    return np.random.default_rng(0).normal(size=(40, 81))


def test_two_fits_with_one_checkpoint(windows, tmp_path):
    """The second is refused at once, whatever it is; afterwards the path is free."""
    path = tmp_path / "state"
    ours = RotationalVAE(**FAST, max_epochs=2, checkpoint=path)
    with locked(path, "fit"):
        with pytest.raises(ValueError, match="being written by another fit"):
            ours.fit(windows)
        assert not hasattr(ours, "weights_")
    ours.fit(windows)
    assert os.listdir(tmp_path) == ["state"]


FIT = """
import sys, numpy as np
from skorch.callbacks import Callback
from sklearn_ferroic import RotationalVAE

class Say(Callback):
    def on_epoch_end(self, net, **kwargs):
        print("epoch", flush=True)

windows = np.random.default_rng(0).normal(size=(40, 81))
RotationalVAE(latent_dim=1, n_hidden=8, random_state=0, device="cpu", max_epochs=2000,
              checkpoint=sys.argv[1], callbacks=[Say()]).fit(windows)
"""


@posix
@pytest.mark.slow
def test_the_lock_ends_with_a_killed_fit(windows, tmp_path):
    path = tmp_path / "state"
    process = run(FIT, path)
    for _ in range(3):
        assert process.stdout.readline() == "epoch\n"
    going_on = RotationalVAE(**FAST, max_epochs=2000, checkpoint=path)
    with pytest.raises(ValueError, match="being written by another fit"):
        going_on.fit(windows)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 2 <= RotationalVAE.from_checkpoint(path).n_iter_ < 2000
    short = RotationalVAE(**FAST, max_epochs=3, checkpoint=path)
    with pytest.raises(ValueError, match="contains a fit with max_epochs"):
        short.fit(windows)


def test_weights_on_a_path_that_cannot_be_written(tmp_path):
    locator = UNetAtomLocator()
    locator.weights_, locator._n_filters = {"a": np.zeros(3)}, 1
    locator.confidence_, locator.record_ = (0.0,), {}
    with pytest.raises(FileNotFoundError):
        locator.save_weights(tmp_path / "missing" / "weights.safetensors")
