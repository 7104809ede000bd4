"""A search for window, latents and clusters, by scores that need no truth; its cost.

    python benchmarks/bench_search.py                  # three kinds of images, 3 seeds
    python benchmarks/bench_search.py --layouts        # ten layouts of the folds
    python benchmarks/bench_search.py --final-steps    # mixtures that end the pipeline
    python benchmarks/bench_search.py --small          # one small image, to try it out
    python benchmarks/bench_search.py --memory         # a 128 MiB image inside X

The search is over 3 windows, 2 latent dimensions, 3 numbers of clusters and 3 guarded
spatial folds. For each label-free score: the Spearman rank correlation of its mean over
the folds with that of the true variant accuracy over the grid, what it picks, and how
much accuracy that loses against the best setting in the grid. Accuracy is that of the
classes of the mixture on held-out polar cells outside walls and interfaces, and on all
polar cells. The generated images are weakly polar and of low dose, so that the choice
matters. Of the multislice image, seed k keeps a share of 1 / 2 ** k of the
electrons.

With --layouts one search is repeated on ten layouts of the folds, and the candidates
that cannot be distinguished, the simplest of them and the one of the highest mean are
compared between the layouts.

With --final-steps the models are those of two windows and three folds, of images of the
usual displacement and dose, and the accuracy is that of each final step on all held-out
polar cells, with the share of their angles that are right within 45 degrees.

The memory is proportional set size, in which a page that several processes share is
divided among them, summed over all workers, sampled 50 times per second. It is the
excess over the same search with a small image, in copies of the large one.
"""

import argparse
import json
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import psutil
from scipy.spatial import cKDTree
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
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
from sklearn_ferroic.metrics import (
    angular_error,
    get_scorer,
    variant_accuracy_score,
)
from sklearn_ferroic.model_selection import (
    RepeatedSpatialBlockKFold,
    SimplestCandidate,
    SpatialBlockKFold,
    compare_candidates,
    split_size_ratio,
)

# Scores of the labels or the mixture, and of the representation alone.
OF_LABELS = [
    "angle_coherence",
    "spatial_coherence",
    "wall_straightness",
    "wall_continuity",
    "completed_likelihood",
    "mixture_evidence",
]
OF_POSE = ["neg_latent_leakage"]
OF_WINDOWS = ["rotation_equivariance", "evidence", "reconstruction"]
LABEL_FREE = OF_LABELS + OF_POSE + OF_WINDOWS
TRUE = ["accuracy inside", "accuracy"]
SIDE_PX = 440  # about 500 cells
SMALL_SIDE_PX = 320
LAYOUT_SIDE_PX = 340  # about 300 cells
LAYOUTS = 10
REPEATS = 2
FINAL_STEPS = {
    **{
        f"GaussianMixture, reg_covar={value:g}": GaussianMixture(
            5, n_init=10, reg_covar=value, random_state=0
        )
        for value in (1e-6, 0.01, 0.1, 0.3, 1.0)
    },
    "GaussianMixture, tied": GaussianMixture(
        5, n_init=10, covariance_type="tied", random_state=0
    ),
    **{
        f"BayesianGaussianMixture, reg_covar={value:g}": BayesianGaussianMixture(
            n_components=5, n_init=10, reg_covar=value, random_state=0
        )
        for value in (1e-6, 0.3)
    },
    "KMeans": KMeans(5, n_init=10, random_state=0),
}
LAYOUT_SCORES = ["angle_coherence", "spatial_coherence"]


class Stored(TransformerMixin, BaseEstimator):
    """Return rows that a fitted step has returned, for several scores at once."""

    def __init__(self, step, windows):
        self.rows, self.std = step.transform_with_std(windows)
        self.names = step.get_feature_names_out()

    def transform(self, X):
        return self.rows

    def transform_with_std(self, X):
        return self.rows, self.std

    def get_feature_names_out(self, input_features=None):
        return self.names


class AllScores:
    """All scores at once; `y` is the variant, less 10 beside walls.

    What depends on the windows and the model alone is computed once for all numbers of
    clusters.
    """

    def __init__(self, names=LABEL_FREE):
        self.names = names
        self.known = {}

    def __call__(self, estimator, X, y):
        extractor, vae, scaler, mixture = estimator
        key = joblib.hash([vae.weights_, X.positions])
        if key not in self.known:
            windows = extractor.transform(X)
            stored = Stored(vae, windows)
            early = {
                name: get_scorer(name)(vae, windows)
                for name in OF_WINDOWS
                if name in self.names
            }
            for name in OF_POSE:
                if name in self.names:
                    early[name] = get_scorer(name)(make_pipeline(stored), X)
            self.known[key] = stored, early
        stored, early = self.known[key]
        late = make_pipeline(stored, scaler, mixture)
        scores = dict(early)
        for name in OF_LABELS:
            if name in self.names:
                scores[name] = get_scorer(name)(late, X)
        labels = late.predict(X)
        variant = np.where(y < -1, y + 10, y)
        scores["accuracy inside"] = variant_accuracy_score(y, labels)
        scores["accuracy"] = variant_accuracy_score(variant, labels)
        polar = variant >= 0
        scores["angle"] = np.nan  # of a fold in the substrate
        if polar.any():
            error = angular_error(
                np.pi / 2 * variant[polar], stored.rows[polar, 0], register=True
            )
            scores["angle"] = np.mean(np.abs(error) < np.pi / 4)
        return scores


def locate(preset, seed, **options):
    if preset == "multislice":
        data = load_multislice()
        rng = np.random.default_rng(seed)
        data.image = rng.binomial(data.image.astype(int), 0.5**seed).astype(np.float32)
    else:
        data = make_ferroic_image(preset, random_state=seed, **options)
    sites = AtomLocator(sublattice=1).fit_transform(data.image)
    true = np.flatnonzero(data.sublattice == 1)
    distance, near = cKDTree(data.positions[true]).query(sites.positions)
    near = true[near]
    variant = np.where(data.wall[near] & (data.variant[near] >= 0), -10, 0)
    variant += data.variant[near]
    return sites, np.where(distance < 2, variant, -1)


def image_options(arguments):
    side = SIDE_PX if not arguments.small else SMALL_SIDE_PX
    return {
        "shape": (side, side),
        "displacement_pm": arguments.displacement,
        "dose": arguments.dose,
    }


def make_search_pipeline(memory, n_epochs=10):
    # Half the default batch size: as many gradient steps in half the epochs.
    return make_pipeline(
        PatchExtractor(memory=memory),
        RotationalVAE(max_epochs=n_epochs, batch_size=32, random_state=0),
        AngleAwareScaler(),
        GaussianMixture(5, n_init=10, reg_covar=0.3, random_state=0),
        memory=memory,
    )


def run_search(sites, variant, grid, cv, names, arguments, n_epochs=10):
    with tempfile.TemporaryDirectory() as memory, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="window_size=")
        return (
            GridSearchCV(
                make_search_pipeline(memory, n_epochs),
                grid,
                scoring=AllScores(names),
                cv=cv,
                refit=False,
                n_jobs=arguments.jobs,
            )
            .fit(sites, variant)
            .cv_results_
        )


def search(preset, seed, arguments):
    options = image_options(arguments)
    sites, variant = locate(preset, seed, **options)
    windows, latents, clusters, n_epochs = (20, 32, 44), (1, 3), (4, 5, 6), 10
    if arguments.small:
        windows, latents, clusters, n_epochs = (20, 32), (1, 2), (4, 5), 5
    grid = {
        "patchextractor__window_size": windows,
        "rotationalvae__latent_dim": latents,
        "gaussianmixture__n_components": clusters,
    }
    cv = SpatialBlockKFold(3, guard=max(windows) + 3, random_state=0)
    started = time.process_time()
    found = run_search(sites, variant, grid, cv, LABEL_FREE, arguments, n_epochs)
    minutes = (time.process_time() - started) / 60
    print(
        f"\n{preset}, image {seed} {options or ''}: {len(sites)} cells, "
        f"{len(found['params'])} settings, 3 folds, n_jobs={arguments.jobs}: "
        f"{minutes:.1f} min of CPU time in this process"
    )
    return report(found, grid) | {
        "preset": preset,
        "seed": seed,
        "n_cells": len(sites),
        "minutes": minutes,
    }


def report(results, grid):
    means = {name: results[f"mean_test_{name}"] for name in LABEL_FREE + TRUE}
    settings = [tuple(params[name] for name in grid) for params in results["params"]]
    accuracy = means["accuracy"]
    print(f"accuracy {accuracy.min():.3f} to {accuracy.max():.3f}")
    print(f"{'':24s} rank correlation   picks      accuracy lost (inside, all)")
    rows = []
    for name in LABEL_FREE:
        pick = int(means[name].argmax())
        lost = [means[true].max() - means[true][pick] for true in TRUE]
        rank = spearmanr(means[name], accuracy).statistic
        print(
            f"{name:24s} {rank:+16.2f}   {settings[pick]!s:12s} "
            f"{lost[0]:7.1%} {lost[1]:7.1%}",
            flush=True,
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
            # a score that is the same for all settings has no rank correlation
            ranks = [row["rank"] for row in rows if np.isfinite(row["rank"])]
            ranks = ranks or [np.nan]
            lost = [row["lost"][1] for row in rows]
            span = f" ({min(ranks):+.2f} to {max(ranks):+.2f})" if len(rows) > 1 else ""
            cells.append(f"{np.mean(ranks):+.2f}{span} | {max(lost):.1%} |")
        print(f"| `{name}` |", *cells)


def layouts(preset, arguments):
    """Print how far the choice of a search depends on the layout of the folds."""
    options = image_options(arguments) | {"shape": (LAYOUT_SIDE_PX, LAYOUT_SIDE_PX)}
    sites, variant = locate(preset, arguments.seeds[0], **options)
    # A part of the multislice image, of the size of the others.
    last = sites.positions.max(axis=0)
    part = ((last - sites.positions) < LAYOUT_SIDE_PX).all(axis=1)
    sites, variant = sites[part], variant[part]
    grid = {
        "patchextractor__window_size": arguments.windows,
        "rotationalvae__latent_dim": (1, 2),
    }
    guard = max(arguments.windows) + 3
    cvs = [
        RepeatedSpatialBlockKFold(
            3, n_repeats=arguments.repeats, guard=guard, random_state=layout
        )
        for layout in range(arguments.first, arguments.first + arguments.layouts)
    ]
    splits = [split for cv in cvs for split in cv.split(sites)]
    started = time.process_time()
    found = run_search(sites, variant, grid, splits, LAYOUT_SCORES, arguments, 6)
    minutes = (time.process_time() - started) / 60
    accuracy = found["mean_test_accuracy"]
    names = ["{}, {}".format(*params.values()) for params in found["params"]]
    print(
        f"\n{preset}: {len(sites)} cells, {arguments.layouts} layouts of "
        f"{arguments.repeats} x 3 folds, {minutes:.1f} min of CPU time"
    )
    print("accuracy", dict(zip(names, accuracy.round(3).tolist(), strict=True)))
    choices = {}
    for score in LAYOUT_SCORES:
        rows = [
            choose(found, score, layout, split_size_ratio(cv, sites), arguments)
            for layout, cv in enumerate(cvs)
        ]
        for kind in ("tied", "simplest", "highest"):
            counts = Counter(
                tuple(names[k] for k in np.atleast_1d(row[kind])) for row in rows
            )
            for choice, count in counts.most_common():
                print(f"{score} {kind}: {count} of {len(rows)}: {'; '.join(choice)}")
        choices[score] = rows
    return {
        "preset": preset,
        "names": names,
        "accuracy": accuracy.tolist(),
        "choices": choices,
    }


def choose(found, score, layout, ratio, arguments):
    """Return what a search on one of the layouts chooses."""
    n_splits = 3 * arguments.repeats
    scores = [
        found[f"split{layout * n_splits + number}_test_{score}"]
        for number in range(n_splits)
    ]
    part = {"params": found["params"], "mean_test_score": np.mean(scores, axis=0)}
    part |= {f"split{number}_test_score": row for number, row in enumerate(scores)}
    table = compare_candidates(part, ratio=ratio)
    order = ["rotationalvae__latent_dim", "patchextractor__window_size"]
    return {
        "tied": np.flatnonzero(table["is_tied"]).tolist(),
        "simplest": SimplestCandidate(order=order, ratio=ratio)(part),
        "highest": int(table["mean"].argmax()),
        "means": table["mean"].tolist(),
        "p_values": table["p_value"].tolist(),
    }


def final_steps(preset, arguments):
    """Return the accuracies of the final steps, of shape (n_steps, n_models)."""
    columns, angles = [], []
    for seed in arguments.seeds:
        sites, variant = locate(preset, seed, shape=(SIDE_PX, SIDE_PX))
        steps = list(FINAL_STEPS.values())
        if preset == "multislice":  # three variants and the substrate
            name = {True: "n_clusters", False: "n_components"}
            steps = [
                clone(step).set_params(**{name[isinstance(step, KMeans)]: 4})
                for step in steps
            ]
        grid = {"gaussianmixture": steps, "patchextractor__window_size": (24, 36)}
        cv = SpatialBlockKFold(3, guard=36 + 3, random_state=0)
        found = run_search(sites, variant, grid, cv, [], arguments)
        by_fold = [found[f"split{fold}_test_accuracy"] for fold in range(3)]
        # Candidates are ordered by the final step, then by the window.
        columns.append(np.array(by_fold).T.reshape(len(steps), -1))
        angles.append([found[f"split{fold}_test_angle"] for fold in range(3)])
    accuracy = np.hstack(columns)
    print(
        f"\n{preset}: {accuracy.shape[1]} models; angles within 45 deg after "
        f"registration: mean {np.mean(angles):.3f} lowest {np.min(angles):.3f}"
    )
    for name, row in zip(FINAL_STEPS, accuracy, strict=True):
        print(f"{name:42s} mean {row.mean():.3f} lowest {row.min():.3f}")
    return {"preset": preset, "accuracy": accuracy.tolist()}


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
    parser.add_argument("--final-steps", action="store_true", help="those instead")
    parser.add_argument("--layouts", type=int, nargs="?", const=LAYOUTS, default=0)
    parser.add_argument("--first", type=int, default=0, help="seed of the layouts")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="a layout")
    parser.add_argument(
        "--windows", type=int, nargs="+", default=(24, 36), help="with --layouts, px"
    )
    parser.add_argument(
        "--presets", nargs="+", default=["film", "superlattice", "multislice"]
    )
    parser.add_argument(
        "--displacement", type=float, default=15.0, help="of generated images, pm"
    )
    parser.add_argument(
        "--dose",
        type=float,
        default=5e3,
        help="of generated images, e per sq. angstrom",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the images"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    arguments = parser.parse_args()
    presets = arguments.presets[:1] if arguments.small else arguments.presets
    if arguments.memory:
        results = memory(arguments)
    elif arguments.final_steps:
        results = [final_steps(preset, arguments) for preset in presets]
    elif arguments.layouts:
        results = [layouts(preset, arguments) for preset in presets]
    else:
        seeds = arguments.seeds[:1] if arguments.small else arguments.seeds
        results = [
            search(preset, seed, arguments) for preset in presets for seed in seeds
        ]
        summarize(results)
    if arguments.output:
        arguments.output.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
