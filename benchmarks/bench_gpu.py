"""Throughput of RotationalVAE on a GPU, in less than five minutes.

    python benchmarks/bench_gpu.py                  # on the GPU, if there is one
    python benchmarks/bench_gpu.py --device cpu --n 256 --epochs 2    # a check

For the default model and both networks of the paper, with and without mixed precision:
patches per second in training and in inference, the share of the training in which the
GPU computes, and the time of the default fit until 95 % of the polar cells are within
45° of their direction. The table is written to the standard output.
"""

import argparse
import time
import warnings

import numpy as np
import torch
from bench_paper import WINDOW_PX, make_windows, score
from sklearn.utils import Bunch

from sklearn_ferroic import RotationalVAE

# Share of the polar cells that counts as solved, and the epochs that are tried.
SOLVED_SHARE, TRIED_EPOCHS = 0.95, (1, 2, 5, 10, 20)


def wait(device):
    """Wait until the device has done all work."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(call, device):
    """Return the wall time of a call, s."""
    wait(device)
    start = time.perf_counter()
    call()
    wait(device)
    return time.perf_counter() - start


def busy_share(call, device):
    """Return the share of a call in which the GPU computes; NaN on the CPU."""
    if device != "cuda":
        return np.nan
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        seconds = timed(call, device)
    events = profile.key_averages()
    return 1e-6 * sum(event.self_device_time_total for event in events) / seconds


def measure(make, X, n_epochs, device):
    """Return the measured numbers of one model."""
    make(max_epochs=1).fit(X[:256])  # kernels are loaded and tuned
    vae = make(max_epochs=n_epochs)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = timed(lambda: vae.fit(X), device)
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else np.nan
    inference = timed(lambda: vae.transform(X), device)
    busy = busy_share(lambda: make(max_epochs=1).fit(X), device)
    trained = len(X) * vae.n_iter_ / seconds
    return trained, len(X) / inference, busy, memory


def time_to_solved(make, windows, device):
    """Return the wall time of the shortest default fit that finds the angle, s."""
    X = windows.X.reshape(len(windows.X), -1)
    for n_epochs in TRIED_EPOCHS:
        vae = make(max_epochs=n_epochs)
        seconds = timed(lambda vae=vae: vae.fit(X), device)
        if score(vae.transform(X)[:, 0], windows)["share"] >= SOLVED_SHARE:
            return seconds
    return np.inf


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    has_gpu = torch.cuda.is_available()
    parser.add_argument("--device", default="cuda" if has_gpu else "cpu")
    parser.add_argument("--n", type=int, default=20_000, help="number of patches")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    device = arguments.device
    warnings.simplefilter("ignore")
    windows = Bunch(**make_windows())
    rows = windows.X.reshape(-1, WINDOW_PX**2).astype(np.float32)
    X = np.resize(rows, (arguments.n, WINDOW_PX**2))
    common = {"device": device, "random_state": 0, "convergence_tol": None}
    models = {
        "default": lambda **kw: RotationalVAE(**common, **kw),
        "paper, dense": lambda **kw: RotationalVAE.paper(
            encoder="dense", **common, **kw
        ),
        "paper, convolutional": lambda **kw: RotationalVAE.paper(**common, **kw),
    }
    name = torch.cuda.get_device_name() if device == "cuda" else device
    print(
        f"{name}, torch {torch.__version__}, {arguments.n} windows of {WINDOW_PX} px\n"
    )
    print("| model | precision | trained/s | inferred/s | GPU busy | memory, MB |")
    print("|---|---|---:|---:|---:|---:|")
    for title, make in models.items():
        for mixed in (False, True):

            def build(make=make, mixed=mixed, **parameters):
                return make(mixed_precision=mixed, **parameters)

            trained, inferred, busy, memory = measure(
                build, X, arguments.epochs, device
            )
            precision = "mixed" if mixed else "single"
            print(
                f"| {title} | {precision} | {trained:.0f} | {inferred:.0f} "
                f"| {'-' if np.isnan(busy) else f'{busy:.0%}'} "
                f"| {'-' if np.isnan(memory) else f'{memory:.0f}'} |",
                flush=True,
            )
    for mixed in (False, True):
        seconds = time_to_solved(
            lambda mixed=mixed, **kw: models["default"](mixed_precision=mixed, **kw),
            windows,
            device,
        )
        precision = "mixed" if mixed else "single"
        print(
            f"\nDefault fit of {len(rows)} windows until {SOLVED_SHARE:.0%} are right,"
        )
        print(f"{precision} precision: {seconds:.1f} s")


if __name__ == "__main__":
    main()
