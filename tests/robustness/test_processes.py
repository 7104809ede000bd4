"""Forked children, and workers of Dask that die while images are located."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from joblib import delayed, parallel_config

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.localization._batch import run

FORK = """
import os, signal, sys, time
import numpy as np, torch
from sklearn_ferroic import MultiReferenceAlignment, RotationalVAE, UNetAtomLocator
from sklearn_ferroic.datasets import make_ferroic_image

torch.set_num_threads(2)
windows = np.random.default_rng(0).normal(size=(200, 256))
image = make_ferroic_image("film", shape=(160, 160), random_state=0).image
options = dict(latent_dim=1, n_hidden=16, max_epochs=1, random_state=0, device="cpu")
vae = RotationalVAE(**options).fit(windows)
torch.ones(4096, 4096).sum()  # starts the threads
calls = {
    "fit": lambda: RotationalVAE(**options).fit(windows),
    "transform": lambda: vae.transform(windows),
    "alignment": lambda: MultiReferenceAlignment(random_state=0).fit(windows),
    "locate": lambda: UNetAtomLocator(weights="pretrained", device="cpu").fit_transform(
        image
    ),
}
child = os.fork()
if child == 0:
    calls[sys.argv[1]]()
    os._exit(0)
for _ in range(1200):
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        assert torch.get_num_threads() == 2  # the parent keeps its own
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.1)
os.kill(child, signal.SIGKILL)
sys.exit("the forked child hangs")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("call", ["fit", "transform", "alignment", "locate"])
def test_a_forked_child_does_not_hang(call):
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, call],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def _located(folder, number, image):
    """Note that an image was located, and return something that is known."""
    (folder / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
    return number, float(image.sum())


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def _kill_workers(client, n_kills, seconds):
    """Kill a worker now and then, in a thread; the nanny starts another one."""

    def work():
        for _ in range(n_kills):
            time.sleep(seconds)
            pids = client.run(os.getpid)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.filterwarnings("ignore")
def test_dask_workers_that_die_lose_nothing(cluster, tmp_path):
    """10,000 images and two kills: all are there, hardly any is computed twice."""
    n_images = 10_000
    images = [np.full((4, 4), number) for number in range(n_images)]
    calls = [delayed(_located)(tmp_path, *item) for item in enumerate(images)]
    with parallel_config("dask"):
        killer = _kill_workers(cluster, n_kills=2, seconds=2)
        results = run(calls, None)
    killer.join()
    assert results == [(number, 16.0 * number) for number in range(n_images)]
    n_computed = len(os.listdir(tmp_path))
    n_waiting = 3 * 3
    assert n_images <= n_computed <= n_images + 2 * n_waiting


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.filterwarnings("ignore")
def test_locating_survives_the_death_of_a_worker(cluster):
    data = [
        make_ferroic_image("film", shape=(160, 160), random_state=seed)
        for seed in range(12)
    ]
    images = [one.image for one in data]
    serial = AtomLocator().fit_transform(images)
    with parallel_config("dask"):
        killer = _kill_workers(cluster, n_kills=1, seconds=0.5)
        parallel = AtomLocator().fit_transform(images)
    killer.join()
    assert parallel == serial


@pytest.mark.filterwarnings("ignore")
def test_errors_of_images_come_through_dask(cluster):
    image = make_ferroic_image("film", shape=(96, 96), random_state=0).image
    images = [image, image, image]
    images[1] = np.zeros((64, 64)) + np.arange(64)
    with parallel_config("dask"), pytest.raises(ValueError, match="mage 1"):
        AtomLocator().fit(images)
