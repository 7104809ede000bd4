"""RotationalVAE on the paper's volume of data, and beyond memory.

    python benchmarks/bench_scale.py                       # 23,340 patches, fit
    python benchmarks/bench_scale.py --transform 200000    # a memory map, transform

Patches of 48 x 48 px are windows of generated films with fresh noise, written to a
memory map in a temporary folder. Peak memory is the resident set, in which pages of the
map that the system keeps count too, over what it was before.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch._dynamo  # noqa: F401  (the first optimiser imports it, which takes 1 s)

from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE
from sklearn_ferroic.datasets import make_ferroic_image

SIDE = 48
BATCH = 2000


def write_patches(path, n_patches, n_images):
    """Fill a memory map with windows, each with noise of its own."""
    rng = np.random.default_rng(0)
    windows = np.concatenate(
        [
            PatchExtractor(window_size=SIDE).fit_transform(
                AtomLocator(sublattice=1).fit_transform(
                    make_ferroic_image("film", random_state=seed)
                )
            )
            for seed in range(n_images)
        ]
    )
    patches = np.memmap(path, np.float32, "w+", shape=(n_patches, SIDE**2))
    for start in range(0, n_patches, BATCH):
        rows = np.arange(start, min(start + BATCH, n_patches)) % len(windows)
        noise = rng.normal(0, 0.02, (len(rows), SIDE**2))
        patches[start : start + len(rows)] = windows[rows] + noise
    patches.flush()


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def timed(work):
    """Wall and processor seconds of a call, and what it adds to the peak memory."""
    before, wall, processor = peak_mib(), time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return f"{wall:.1f} s, {processor:.1f} CPU s, {peak_mib() - before:.0f} MiB more"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, default=23_340)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1, help="fits")
    parser.add_argument("--transform", type=int, nargs="*", default=[])
    arguments = parser.parse_args()
    n_trained = 2_000 if arguments.transform else arguments.patches
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "patches"
        n_written = max([n_trained, *arguments.transform])
        write_patches(path, n_written, arguments.images)
        size = n_written * SIDE**2 * 4 / 2**20
        patches = np.memmap(path, np.float32, "r", shape=(n_written, SIDE**2))
        for seed in range(arguments.repeats):
            vae = RotationalVAE(random_state=seed)
            found = timed(lambda vae=vae: vae.fit(patches[:n_trained]))
            say(
                f"data {size:.0f} MiB; fit of {n_trained}: {found}, "
                f"{vae.n_iter_} epochs"
            )
        for n_patches in arguments.transform:
            found = timed(lambda n=n_patches: vae.transform(patches[:n]))
            say(f"transform of {n_patches}: {found}")


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
