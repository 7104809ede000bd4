"""How well variants are found on the presets, from the raw image alone.

    python benchmarks/variants.py                       # five seeds of each preset
    python benchmarks/variants.py --boundary reflect    # the alternative at borders
    python benchmarks/variants.py --same-image          # one image, five trainings
    python benchmarks/variants.py --n-init 10 --reg-covar 0.01 --mixtures 5

A line a run: columns found and invented, share of polar cells outside walls within 45°
of their variant after one rotation, median error, the same for cells whose window
reaches over the border, and (film) the adjusted Rand index of Gaussian mixtures over
all cells outside walls: the lowest, the median, and how many are below 0.9.
"""

import argparse
import time

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.metrics import angular_error

WINDOW = 48


def run(preset, image_seed, seed, arguments):
    data = make_ferroic_image(preset, random_state=image_seed)
    started = time.process_time()
    sites = AtomLocator(sublattice=1).fit_transform(data.image)
    true = np.flatnonzero(data.sublattice == 1)
    distance = np.linalg.norm(sites.positions[:, None] - data.positions[true], axis=2)
    nearest = true[distance.argmin(axis=1)]
    matched = distance.min(axis=1) < 2
    variant, wall = data.variant[nearest], data.wall[nearest]

    features = make_pipeline(
        PatchExtractor(window_size=WINDOW, boundary=arguments.boundary),
        RotationalVAE(random_state=seed),
        AngleAwareScaler(angle_weight=arguments.angle_weight),
    )
    scaled = features.fit_transform(sites)
    seconds = time.process_time() - started
    angle = features[:2].transform(sites)[:, 0]

    polar = matched & (variant >= 0) & ~wall
    direction = np.pi / 4 + np.pi / 2 * variant[polar]
    error = np.degrees(np.abs(angular_error(direction, angle[polar], register=True)))
    last = np.array(data.image.shape) - 1
    depth = np.minimum(sites.positions, last - sites.positions).min(axis=1)[polar]
    border = depth < WINDOW / 2
    line = (
        f"{preset:12s} image {image_seed} training {seed}: "
        f"found {matched.sum()}/{len(true)}, invented {(~matched).sum()}, "
        f"within 45 deg {np.mean(error < 45):.4f} "
        f"(border {np.mean(error[border] < 45):.3f}), "
        f"median {np.median(error):.2f} deg, {seconds:.0f} CPU s"
    )
    if preset == "film":
        counted = matched & ~wall
        index = [
            adjusted_rand_score(
                variant[counted],
                GaussianMixture(
                    5,
                    n_init=arguments.n_init,
                    reg_covar=arguments.reg_covar,
                    random_state=k,
                )
                .fit(scaled)
                .predict(scaled[counted]),
            )
            for k in range(arguments.mixtures)
        ]
        n_wrong = np.count_nonzero(np.array(index) < 0.9)
        line += (
            f", Rand index min {min(index):.2f} median {np.median(index):.2f}, "
            f"{n_wrong} of {len(index)} below 0.9"
        )
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boundary", default="periodic")
    parser.add_argument("--angle-weight", type=float, default=5.0)
    parser.add_argument("--same-image", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--mixtures", type=int, default=10)
    parser.add_argument("--n-init", type=int, default=1)
    parser.add_argument("--reg-covar", type=float, default=1e-6)
    arguments = parser.parse_args()
    for preset in ("film", "superlattice"):
        for seed in range(arguments.seeds):
            image_seed = 0 if arguments.same_image else seed
            run(preset, image_seed, seed, arguments)


if __name__ == "__main__":
    main()
