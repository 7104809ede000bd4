"""Train the network that `UNetAtomLocator.from_pretrained` loads.

    python benchmarks/train_unet.py --out unet.safetensors

Draws images, trains, calibrates on further ones and writes the weights with the seed,
the versions and the time it took. A run that was broken off goes on from its
checkpoint. On one core of a usual processor it takes half an hour. To ship the weights,
copy them into sklearn_ferroic/localization/_unet/ and put their SHA-256 into weights.py
there.
"""

import argparse
import hashlib
import platform
import time
from pathlib import Path

import numpy as np
import scipy
import sklearn
import skorch
import torch
from _unet_scenes import draw_scene

import sklearn_ferroic
from sklearn_ferroic import UNetAtomLocator


def draw_scenes(n_scenes, seed):
    """Draw images with their columns: arrays, and positions with sublattices."""
    random_state = np.random.RandomState(seed)
    scenes = [draw_scene(random_state) for _ in range(n_scenes)]
    labels = [(scene.positions, scene.sublattice) for scene in scenes]
    return [scene.image for scene in scenes], labels


def main():
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("unet.safetensors"))
    parser.add_argument("--n-scenes", type=int, default=2400)
    parser.add_argument("--n-calibration", type=int, default=200)
    parser.add_argument("--n-epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.process_time()
    images, labels = draw_scenes(arguments.n_scenes, arguments.seed)
    locator = UNetAtomLocator(
        max_epochs=arguments.n_epochs,
        n_scales=1,
        early_stopping=True,
        validation_fraction=0.05,
        n_iter_no_change=arguments.n_epochs,
        checkpoint=arguments.out.with_suffix(".checkpoint"),
        random_state=arguments.seed,
        verbose=1,
    )
    locator.fit(images, labels)
    # Of another seed, and not seen in training; doubtful sites are to be among them.
    locator.set_params(threshold=0.3)
    locator.calibrate(*draw_scenes(arguments.n_calibration, 10_000 + arguments.seed))
    record = {
        "n_scenes": arguments.n_scenes,
        "n_epochs": locator.n_iter_,
        "seed": arguments.seed,
        "validation_loss": f"{min(locator.validation_loss_curve_):.5f}",
        "cpu_minutes": f"{(time.process_time() - start) / 60:.0f}",
        "python": platform.python_version(),
    }
    for module in (sklearn_ferroic, torch, skorch, sklearn, scipy, np):
        record[module.__name__] = module.__version__
    locator.save_weights(arguments.out, record=record)
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    print(f"{arguments.out}: {record}\nSHA-256 {digest}")


if __name__ == "__main__":
    main()
