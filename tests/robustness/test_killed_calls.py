"""Long calls that are killed: a later call gives what an undisturbed one gives."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from joblib import Memory

from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE, UNetAtomLocator
from sklearn_ferroic.datasets import make_ferroic_image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL"),
]


def make_images():
    return [
        make_ferroic_image("film", shape=(128, 128), random_state=seed)
        for seed in range(6)
    ]


def fit_vae(folder):
    """Train with a checkpoint; what the fit would end with."""
    windows = np.random.default_rng(0).normal(size=(400, 81))
    vae = RotationalVAE(
        latent_dim=1,
        n_hidden=8,
        max_epochs=40,
        convergence_tol=None,
        random_state=0,
        device="cpu",
        checkpoint=folder / "state",
    )
    vae.fit(windows)
    return [*vae.weights_.values(), vae.loss_curve_, vae.transform(windows)]


def fit_network(folder):
    """Train a network with a checkpoint."""
    data = make_images()[0]
    locator = UNetAtomLocator(
        n_filters=2,
        max_epochs=12,
        random_state=0,
        device="cpu",
        checkpoint=folder / "state",
    )
    locator.fit(data.image, data)
    return [*locator.weights_.values(), locator.loss_curve_]


def locate_in_processes(folder):
    """Locate in two processes and keep the result in a cache."""
    images = [data.image for data in make_images()]
    locate = Memory(folder, verbose=0).cache(AtomLocator(n_jobs=2).fit_transform)
    return [locate(images).positions]


def cut_windows(folder):
    """Locate and cut windows of many images into a cache, image by image."""
    windows = []
    for data in make_images():
        sites = AtomLocator().fit_transform(data.image)
        for side in (24, 32, 40):
            extractor = PatchExtractor(window_size=side, memory=str(folder))
            windows.append(extractor.fit_transform(sites))
    return windows


CALLS = {
    call.__name__: call
    for call in (fit_vae, fit_network, locate_in_processes, cut_windows)
}

START = """
import sys
from pathlib import Path
from tests.robustness.test_killed_calls import CALLS
print("ready", flush=True)
CALLS[sys.argv[1]](Path(sys.argv[2]))
"""


@pytest.mark.parametrize("name", CALLS)
def test_kill_9_in_a_long_call(tmp_path, name):
    """Six calls are killed, sooner or later; the next one is as if nothing had been."""
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    folder.mkdir()
    expected = CALLS[name](undisturbed)
    n_killed = 0
    for seconds in (0.05, 0.2, 0.4, 0.7, 1.0, 1.5):
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", START, name, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        n_killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        # loky's workers would wait five minutes for more to do
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert n_killed >= 3
    found = CALLS[name](folder)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not list(folder.glob("*.part")) and not list(folder.glob(".*.part"))
