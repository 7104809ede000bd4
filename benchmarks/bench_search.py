"""A search for window and latents, by scores that need no truth; and what it costs.

    python benchmarks/bench_search.py                  # three images, two workers
    python benchmarks/bench_search.py --seeds 0 1 2    # generated images of three seeds
    python benchmarks/bench_search.py --small          # one small image, to try it out
    python benchmarks/bench_search.py --memory         # a 128 MiB image inside X

The search is over 3 windows, 3 latent dimensions and 3 guarded spatial folds. For each
label-free score: the Spearman rank correlation of its mean over the folds with that of
the true variant accuracy over the grid, what it picks, and how much accuracy that loses
against the best setting in the grid. Accuracy is that of the classes of the mixture on
held-out polar cells outside walls and interfaces, and on all polar cells.

The memory is proportional set size, in which a page that several processes share is
divided among them, summed over all workers, sampled 50 times a second. It is that above
the same search with a small image, in copies of the large one.
"""

import argparse
import json
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import psutil
from scipy.spatial import cKDTree
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AtomLocator,
    AtomSites,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import load_multislice, make_ferroic_image
from sklearn_ferroic.metrics import get_scorer, variant_accuracy_score
from sklearn_ferroic.model_selection import SpatialBlockKFold

LABEL_FREE = [
    "angle_coherence",
    "spatial_coherence",
    "wall_straightness",
    "wall_continuity",
    "completed_likelihood",
    "rotation_equivariance",
    "neg_latent_leakage",
    "evidence",
    "reconstruction",
]
TRUE = ["accuracy inside", "accuracy"]


class AllScores:
    """All scores at once; `y` is the variant, less 10 beside walls."""

    def __call__(self, estimator, X, y):
        scores = {name: get_scorer(name)(estimator, X) for name in LABEL_FREE}
        labels = estimator.predict(X)
        scores["accuracy inside"] = variant_accuracy_score(y, labels)
        scores["accuracy"] = variant_accuracy_score(np.where(y < -1, y + 10, y), labels)
        return scores


def locate(preset, seed, **options):
    if preset == "multislice":
        data = load_multislice()
    else:
        data = make_ferroic_image(preset, random_state=seed, **options)
    sites = AtomLocator(sublattice=1).fit_transform(data)
    true = np.flatnonzero(data.sublattice == 1)
    distance, near = cKDTree(data.positions[true]).query(sites.positions)
    near = true[near]
    variant = np.where(data.wall[near] & (data.variant[near] >= 0), -10, 0)
    variant += data.variant[near]
    return sites, np.where(distance < 2, variant, -1)


def search(preset, seed, arguments):
    options = {"shape": (400, 400)} if arguments.small else {}
    if arguments.displacement is not None:
        options["displacement_pm"] = arguments.displacement
    if arguments.dose is not None:
        options["dose"] = arguments.dose
    sites, variant = locate(preset, seed, **options)
    windows, latents, n_epochs = (24, 36, 48), (1, 2, 5), 20
    if arguments.small:
        windows, latents, n_epochs = (16, 24, 32), (1, 2), 5
    pipeline = make_pipeline(
        PatchExtractor(),
        RotationalVAE(max_epochs=n_epochs, random_state=0),
        AngleAwareScaler(),
        GaussianMixture(5, n_init=5, random_state=0),
    )
    grid = {
        "patchextractor__window_size": windows,
        "rotationalvae__latent_dim": latents,
    }
    cv = SpatialBlockKFold(3, guard=max(windows) + 3, random_state=0)
    started = time.perf_counter()
    found = GridSearchCV(
        pipeline, grid, scoring=AllScores(), cv=cv, refit=False, n_jobs=arguments.jobs
    ).fit(sites, variant)
    seconds = time.perf_counter() - started
    print(
        f"\n{preset}, image {seed} {options or ''}: {len(sites)} cells, "
        f"{len(windows) * len(latents)} settings, 3 folds, n_jobs={arguments.jobs}: "
        f"{seconds / 60:.1f} min"
    )
    return report(found.cv_results_) | {
        "preset": preset,
        "seed": seed,
        "n_cells": len(sites),
        "minutes": seconds / 60,
    }


def report(results):
    means = {name: results[f"mean_test_{name}"] for name in LABEL_FREE + TRUE}
    settings = [tuple(params.values()) for params in results["params"]]
    print(f"{'window, latents':24s}", *(f"{w:>4d},{d:2d}" for w, d in settings))
    for name, values in means.items():
        print(f"{name:24s}", *(f"{value:7.3f}" for value in values))
    print(f"{'':24s} rank correlation   picks      accuracy lost (inside, all)")
    rows = []
    for name in LABEL_FREE:
        pick = int(means[name].argmax())
        lost = [means[true].max() - means[true][pick] for true in TRUE]
        rank = spearmanr(means[name], means["accuracy"]).statistic
        print(
            f"{name:24s} {rank:+16.2f}   {settings[pick]!s:10s} "
            f"{lost[0]:7.1%} {lost[1]:7.1%}"
        )
        rows.append({"score": name, "rank": rank, "pick": settings[pick], "lost": lost})
    return {
        "settings": settings,
        "means": {name: values.tolist() for name, values in means.items()},
        "scores": rows,
    }


def summarize(results):
    """Print a table of the rank correlations: their mean and range over the seeds."""
    presets = list(dict.fromkeys(result["preset"] for result in results))
    print("\n| score |", *(f"{name}: correlation | {name}: lost |" for name in presets))
    print("| --- |", " ".join(["---: | ---: |"] * len(presets)))
    for number, name in enumerate(LABEL_FREE):
        cells = []
        for preset in presets:
            rows = [
                result["scores"][number]
                for result in results
                if result["preset"] == preset
            ]
            ranks, lost = (
                [row["rank"] for row in rows],
                [row["lost"][1] for row in rows],
            )
            span = f" ({min(ranks):+.2f} to {max(ranks):+.2f})" if len(rows) > 1 else ""
            cells.append(f"{np.mean(ranks):+.2f}{span} | {max(lost):.1%} |")
        print(f"| `{name}` |", *cells)


def peak_of_workers(sites, jobs):
    """Largest memory of all workers together during a search, bytes."""
    cv = SpatialBlockKFold(3, guard=40, random_state=0)
    pipeline = make_pipeline(PatchExtractor(), PCA(random_state=0))
    grid = {
        "patchextractor__window_size": [24, 32, 40],
        "pca__n_components": [2, 4, 8],
    }
    model = GridSearchCV(pipeline, grid, cv=cv, refit=False, n_jobs=jobs)
    joblib.Parallel(jobs)(joblib.delayed(_warm_up)() for _ in range(2 * jobs))
    peak, is_done = 0, threading.Event()

    def watch():
        nonlocal peak
        while not is_done.wait(0.02):
            peak = max(peak, _memory_of_workers())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        model.fit(sites)
    finally:
        is_done.set()
        watcher.join()
    return peak


def _warm_up():
    """Import what the search needs, so that only images make the difference."""
    image = np.random.default_rng(0).random((256, 256))
    sites = AtomSites(image, 60 + 20.0 * np.argwhere(np.ones((6, 6))))
    PCA(2).fit(PatchExtractor(window_size=24).fit_transform(sites))
    time.sleep(0.5)


def _memory_of_workers():
    total = 0
    for worker in psutil.Process().children(recursive=True):
        try:
            total += worker.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass  # it has just ended, or is not ours
    return total


def memory(arguments):
    """How many copies of an image the workers hold."""
    side = 1024 if arguments.small else 5793  # 4 or 128 MiB
    rng = np.random.default_rng(0)
    positions = 100 + 20.0 * np.argwhere(np.ones((18, 18)))
    cosine = np.cos(np.arange(side, dtype=np.float32) * (2 * np.pi / 20))
    image = 4 + np.add.outer(cosine, cosine)
    image += rng.random(image.shape, dtype=np.float32)
    image.setflags(write=False)
    peaks = {}
    for name, pixels in [("small", image[:512, :512]), ("large", image)]:
        peaks[name] = peak_of_workers(AtomSites(pixels, positions), arguments.jobs)
    copies = (peaks["large"] - peaks["small"]) / image.nbytes
    print(
        f"image of {image.nbytes / 2**20:.0f} MiB, {arguments.jobs} workers: "
        f"{peaks['small'] / 2**20:.0f} MiB with a small image, "
        f"{peaks['large'] / 2**20:.0f} MiB with the large one, {copies:.2f} copies more"
    )
    return {"peaks": peaks, "copies": copies}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a minute instead of many")
    parser.add_argument("--memory", action="store_true", help="the memory instead")
    parser.add_argument(
        "--presets", nargs="+", default=["film", "superlattice", "multislice"]
    )
    parser.add_argument(
        "--displacement", type=float, help="pm, instead of the preset's"
    )
    parser.add_argument("--dose", type=float, help="electrons per square angstrom")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0], help="of the images"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    arguments = parser.parse_args()
    if arguments.memory:
        results = memory(arguments)
    else:
        presets = arguments.presets[:1] if arguments.small else arguments.presets
        results = [
            search(preset, seed, arguments)
            for preset in presets
            # There is one multislice image.
            for seed in (
                arguments.seeds[:1] if preset == "multislice" else arguments.seeds
            )
        ]
        summarize(results)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
