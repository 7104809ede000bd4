"""Classes, few labels, conditions and ensembles of RotationalVAE, against the truth.

    python benchmarks/bench_classes.py classes             # ten superlattices
    python benchmarks/bench_classes.py classes --folder F  # and PTO/STO by multislice
    python benchmarks/bench_classes.py labels conditions --folder F
    python benchmarks/bench_classes.py ensemble speed

F contains the files ``pto_sto_dose2e4.npz`` and ``bto_carbon_dose2e4.npz``.

classes     Adjusted Rand index of the classes with the layers: LSMO, polar and
            antipolar BiFeO3, divided at equal composition; PbTiO3 and SrTiO3. The
            second value is without cells less than half a cell from the border of the
            image, whose windows are extrapolated. Cells of the row that the file calls
            mixed are not counted.
certainty   Number of classes found with n_classes="auto", the range of numbers that the
            evidence does not distinguish, and the share of patches without a class of
            probability 0.9: superlattices, multislice images, and experimental images
            given by --images, one sublattice after the other.
gains       Gain in log-likelihood per patch by a second, third and fourth class.
labels      Errors of the angle under carbon, without and with the angles of five cells
            of each domain, which are not counted, for windows of several sizes: range
            of five draws.
conditions  Leakage of the thickness, in three equal groups, into the latents within
            PbTiO3, without and with the thickness as a condition.
ensemble    Fraction of polar cells whose error of the angle is within one and two
            standard deviations: 68 and 95 % if they are right. Without and with the
            angles of five cells of each domain, which are not counted. The same for
            the latents: the image is divided into four exposures, each with an ensemble
            of its own, and the truth is the mean of the other three.
speed       CPU time of an epoch and of a whole fit, relative to the default, and of the
            start: medians of three.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _data_angle import load_image, make_windows
from _data_rvae import is_antipolar, match
from layers import find_layers
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import Bunch

from sklearn_ferroic import (
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
    RotationalVAEEnsemble,
)
from sklearn_ferroic._utils.angles import wrap_angle
from sklearn_ferroic.datasets import load_image as load_image_file
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.decomposition._rvae.factors import class_fit
from sklearn_ferroic.feature_extraction import suggest_window_size
from sklearn_ferroic.metrics import latent_leakage_score

HALF_CELL = 10  # px
SHAPE = (660, 400)
MULTISLICE_WINDOW = 44
LABELLED_WINDOWS = (44, 56, 68, 84)
CERTAINTY_NAMES = (
    "pto_sto_dose2e4",
    "pto_sto_dose4e3",
    "pto_sto_distorted_dose2e4",
    "bto_carbon_dose2e4",
    "bto_carbon_dose4e3",
    "bfo_dev_dose2e4",
    "bfo_dev_dose4e3",
)
# Of a sublattice of an experimental image; more are left out at the border.
LEAST_CELLS, LARGEST_CELLS = 60, 1500
N_DRAWS = 5
N_EXPOSURES = 4
N_TIMED_EPOCHS = 10
N_TIMED = 3


def make_superlattice(seed):
    """Cut windows around the B columns of a superlattice, and find their kinds."""
    data = make_ferroic_image("superlattice", shape=SHAPE, random_state=seed)
    sites = AtomLocator(sublattice=1).fit_transform(data.image)
    nearest, matched = match(sites, data)
    windows = Bunch(
        X=PatchExtractor(window_size=48).transform(sites),
        sites=sites,
        composition=data.composition[nearest],
        antipolar=is_antipolar(data)[nearest],
        variant=data.variant[nearest],
        wall=data.wall[nearest],
        matched=matched,
    )
    layer = find_layers(windows)[0]
    kind = np.minimum(layer, 1)
    for number in np.unique(layer[layer > 0]):
        inside = layer == number
        kind[inside] += windows.antipolar[inside].mean() > 0.5
    places = sites.positions
    margin = np.minimum(places, np.array(SHAPE) - 1 - places).min(axis=1)
    windows.update(kind=kind, is_inside=margin >= HALF_CELL)
    return windows


def load_multislice(name, folder):
    """Cut windows around the B columns of a multislice image."""
    data = np.load(Path(folder) / f"{name}.npz")
    windows = make_windows(name, window=MULTISLICE_WINDOW, folder=folder)
    places = np.column_stack([data["y_surf_px"], data["x_surf_px"]])
    is_b = data["site"] == "B"
    distance, nearest = cKDTree(places[is_b]).query(windows.sites.positions)
    for key in ("composition", "thickness_nm"):
        windows[key] = data[key][is_b][nearest]
    windows.matched = distance < 2.5
    return windows


def run_classes(arguments):
    for seed in arguments.seeds:
        image = make_superlattice(seed)
        vae = RotationalVAE(n_classes=3, max_epochs=1, random_state=seed)
        found = vae.fit(image.X).predict(image.X)
        rand = [
            adjusted_rand_score(image.kind[rows], found[rows])
            for rows in (image.matched, image.matched & image.is_inside)
        ]
        used = np.count_nonzero(
            RotationalVAE(n_classes=5, max_epochs=1, random_state=seed)
            .fit(image.X)
            .class_shares_
        )
        say(
            f"superlattice {seed}: {len(found)} cells, Rand index {rand[0]:.3f}, "
            f"half a cell inside {rand[1]:.3f}; of five classes, {used} not empty"
        )
    if arguments.folder is None:
        return
    image = load_multislice("pto_sto_dose2e4", arguments.folder)
    rows = image.matched & (image.composition != "mixed")
    for seed in arguments.seeds:
        vae = RotationalVAE(n_classes=2, max_epochs=1, random_state=seed)
        found = vae.fit(image.X).predict(image.X)
        rand = adjusted_rand_score(image.composition[rows], found[rows])
        say(f"PTO/STO, seed {seed}: {rows.sum()} cells, Rand index {rand:.3f}")


def run_certainty(arguments):
    for seed in arguments.seeds:
        say_certainty(f"superlattice {seed}", make_superlattice(seed).X)
    if arguments.folder is not None:
        for name in CERTAINTY_NAMES:
            image = load_multislice(name, arguments.folder)
            say_certainty(name, image.X)
    for path in arguments.images:
        sites = AtomLocator().fit_transform(load_image_file(path))
        window_size = suggest_window_size(sites)
        for number in np.unique(sites.sublattice):
            part = sites[sites.sublattice == number]
            if len(part) < LEAST_CELLS:
                continue
            middle = part.positions.mean(axis=0)
            distance = np.abs(part.positions - middle).max(axis=1)
            part = part[np.sort(np.argsort(distance)[:LARGEST_CELLS])]
            patches = PatchExtractor(window_size=window_size).transform(part)
            say_certainty(f"{Path(path).name}, sublattice {number}", patches)


def say_certainty(name, X):
    vae = RotationalVAE(n_classes="auto", max_epochs=1, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vae.fit(X)
    is_warned = any("uncertain" in str(warning.message) for warning in caught)
    least, largest = vae.n_classes_range_
    say(
        f"{name}: {len(X)} cells, {len(vae.class_shares_)} classes, evidence for "
        f"{least} to {largest}, uncertain {vae.uncertain_class_share_:.1%}"
        f"{', warning' if is_warned else ''}"
    )


def run_gains(arguments):
    images = {f"superlattice {seed}": make_superlattice(seed).X for seed in (0, 5, 7)}
    for seed in (0, 1):
        for substrate in (0, 0.25):
            data = make_ferroic_image(
                "film", shape=(500, 440), substrate=substrate, random_state=seed
            )
            sites = AtomLocator(sublattice=1).fit_transform(data.image)
            patches = PatchExtractor(window_size=48).transform(sites)
            images[f"film {seed}, substrate {substrate}"] = patches
    if arguments.folder is not None:
        for name in ("pto_sto_dose2e4", "bto_carbon_dose2e4"):
            images[name] = make_windows(
                name, window=MULTISLICE_WINDOW, folder=arguments.folder
            ).X
    fit_start = class_fit._best_start
    for name, X in images.items():
        likelihoods = []

        def record(components, *rest, likelihoods=likelihoods):
            mixture = fit_start(components, *rest)
            likelihoods.append(mixture.log_likelihood / len(components))
            return mixture

        class_fit._best_start = record
        RotationalVAE(n_classes=4, max_epochs=1, random_state=0).fit(X)
        say(f"{name}: {np.round(np.diff(likelihoods), 2)} nats per patch")
    class_fit._best_start = fit_start


def run_labels(arguments):
    for name in ("bto_carbon_dose2e4", "bto_carbon_dose4e3"):
        sites = None
        for window in LABELLED_WINDOWS:
            image = make_windows(
                name, window=window, folder=arguments.folder, sites=sites
            )
            results = {"none known": [], "known": []}
            for seed in range(N_DRAWS):
                is_known = draw_known(image, 5, seed)
                known = np.where(is_known, image.direction, np.nan)
                judged = image.judged & ~is_known
                for kind, angle in (("none known", None), ("known", known)):
                    vae = RotationalVAE(max_epochs=1, random_state=seed)
                    found = vae.fit(image.X, angle=angle).transform(image.X)[:, 0]
                    error = np.abs(wrap_angle(found - image.direction))[judged]
                    error = np.degrees(error)
                    results[kind].append(
                        [np.median(error), (error < 20).mean(), (error < 45).mean()]
                    )
            for kind, rows in results.items():
                least, largest = np.min(rows, axis=0), np.max(rows, axis=0)
                say(
                    f"{name}, windows of {window} px, {kind}: "
                    f"median error {least[0]:.0f} to {largest[0]:.0f} deg, "
                    f"within 20 deg {least[1]:.0%} to {largest[1]:.0%}, "
                    f"within 45 deg {least[2]:.0%} to {largest[2]:.0%}"
                )


def draw_known(image, n_known, seed):
    """Select some of the judged cells of each domain."""
    is_known = np.zeros(len(image.X), dtype=bool)
    rng = np.random.RandomState(seed)
    for domain in np.unique(image.group[image.judged]):
        rows = np.flatnonzero(image.judged & (image.group == domain))
        is_known[rng.choice(rows, n_known, replace=False)] = True
    return is_known


def run_conditions(arguments):
    image = load_multislice("pto_sto_dose2e4", arguments.folder)
    rows = image.matched & (image.composition == "PTO")
    X, thickness = image.X[rows], image.thickness_nm[rows]
    third = np.digitize(thickness, np.quantile(thickness, [1 / 3, 2 / 3]))
    for seed in range(3):
        leakages = []
        for n_conditions in (0, 1):
            vae = RotationalVAE(n_conditions=n_conditions, random_state=seed)
            given = np.column_stack([X, thickness]) if n_conditions else X
            latents = vae.fit_transform(given)[:, 3:]
            leakages.append(latent_leakage_score(latents, third, target_type="variant"))
        say(
            f"thickness in PTO, seed {seed}: leakage {leakages[0]:.2f} without, "
            f"{leakages[1]:.2f} with the condition"
        )


def run_ensemble(arguments):
    for name in ("shipped", "0.5px", "1.0px"):
        image = make_windows(name, window=MULTISLICE_WINDOW)
        for n_known in (0, 5):
            is_known = draw_known(image, n_known, 0)
            angle = np.where(is_known, image.direction, np.nan) if n_known else None
            ensemble = make_ensemble(0).fit(image.X, angle=angle)
            rows = image.judged & ~is_known
            given = [("ensemble", ensemble.transform_with_std(image.X))]
            if not n_known:
                member = ensemble.estimators_[0].transform_with_std(image.X)
                given.insert(0, ("posterior of one member", member))
            for kind, (mean, std) in given:
                error = wrap_angle(mean[rows, 0] - image.direction[rows])
                say(
                    f"{name}, angle, {is_known.sum()} known, {kind}: "
                    + describe(np.degrees(error), np.degrees(std[rows, 0]), "deg")
                )
            disagreement = np.degrees(
                np.median(ensemble.disagreement(image.X)[rows, 0])
            )
            say(
                f"{name}: median disagreement {disagreement:.1f} deg, angle_spread_ "
                f"{np.degrees(ensemble.angle_spread_):.1f} deg"
            )
    for name in ("shipped", "1.0px"):
        judge_latents(name)


def judge_latents(name):
    """Compare the latents of four exposures, each with an ensemble of its own.

    The truth for one exposure is the mean of the other three, mapped linearly onto it.
    """
    windows = split_exposures(name)
    ensembles = [make_ensemble(seed).fit(X) for seed, X in enumerate(windows)]
    found = [
        ensemble.transform_with_std(X)
        for ensemble, X in zip(ensembles, windows, strict=True)
    ]
    latents = [mean[:, 3:] - mean[:, 3:].mean(axis=0) for mean, _ in found]
    for number, own in enumerate(latents):
        others = latents[:number] + latents[number + 1 :]
        truth = [other @ np.linalg.lstsq(other, own)[0] for other in others]
        error = own - np.mean(truth, axis=0)
        std = found[number][1][:, 3:]
        # the latents of the first member are those of the ensemble
        first = ensembles[number].estimators_[0]
        posterior = first.transform_with_std(windows[number])[1][:, 3:]
        for column in np.argsort(-own.std(axis=0)):
            ratio = f"{own[:, column].std():.2f}"
            for kind, width in (
                ("posterior of one member", posterior),
                ("ensemble", std),
            ):
                say(
                    f"{name}, exposure {number}, latent of standard deviation {ratio}, "
                    f"{kind}: " + describe(error[:, column], width[:, column])
                )


def split_exposures(name):
    """Assign each electron of an image to one of several exposures; cut windows."""
    image, truth = load_image(name)
    left, sites = np.round(image).astype(int), []
    rng = np.random.default_rng(0)
    for number in range(N_EXPOSURES, 0, -1):
        exposure = rng.binomial(left, 1 / number)
        left = left - exposure
        found = AtomLocator().fit_transform(exposure.astype(float))
        sites.append(found[found.sublattice == 1])
    # the same columns in all exposures
    near = [cKDTree(found.positions).query(truth.positions) for found in sites]
    is_found = np.all([distance < 2.5 for distance, _ in near], axis=0)
    extractor = PatchExtractor(window_size=MULTISLICE_WINDOW)
    return [
        extractor.transform(found[nearest[is_found]])
        for found, (_, nearest) in zip(sites, near, strict=True)
    ]


def make_ensemble(seed):
    member = RotationalVAE(max_epochs=5)
    return RotationalVAEEnsemble(estimator=member, random_state=seed)


def describe(error, std, unit=""):
    """Describe errors relative to their standard deviations."""
    error = np.abs(error)
    ratio = np.sqrt(np.mean(error**2) / np.mean(std**2))
    return (
        f"within 1 std {(error < std).mean():.1%}, "
        f"within 2 {(error < 2 * std).mean():.1%}, "
        f"median error {np.median(error):.2f} {unit}, median std "
        f"{np.median(std):.2f} {unit}, rms error over rms std {ratio:.2f}"
    )


def run_speed(arguments):
    image = make_superlattice(0)
    thickness = np.column_stack([image.X, image.sites.positions[:, 0]])
    RotationalVAE(max_epochs=1, random_state=0).fit(image.X)  # imports
    kinds = {
        "default": (image.X, {}),
        "n_classes=3": (image.X, {"n_classes": 3}),
        "n_conditions=1": (thickness, {"n_conditions": 1}),
    }
    lengths = {
        "first": {"max_epochs": 1, "convergence_tol": None},
        "more": {"max_epochs": 1 + N_TIMED_EPOCHS, "convergence_tol": None},
        "whole": {},
    }
    seconds = {(kind, length): [] for kind in kinds for length in lengths}
    # alternately, so that other load is that of all kinds
    for _ in range(N_TIMED):
        for kind, length in seconds:
            X, parameters = kinds[kind]
            vae = RotationalVAE(random_state=0, **parameters, **lengths[length])
            start = time.process_time()
            vae.fit(X)
            seconds[kind, length].append(time.process_time() - start)
    median = {key: np.median(values) for key, values in seconds.items()}
    for kind in kinds:
        epoch, base = (
            (median[name, "more"] - median[name, "first"]) / N_TIMED_EPOCHS
            for name in (kind, "default")
        )
        whole = median[kind, "whole"]
        say(
            f"{kind}: {epoch:.3f} s an epoch, {epoch / base:.2f} of the default; start "
            f"and first epoch {median[kind, 'first']:.2f} s; whole fit {whole:.2f} s, "
            f"{whole / median['default', 'whole']:.2f} of the default"
        )


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


PARTS = {
    "classes": run_classes,
    "certainty": run_certainty,
    "gains": run_gains,
    "labels": run_labels,
    "conditions": run_conditions,
    "ensemble": run_ensemble,
    "speed": run_speed,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--folder", help="folder of the multislice images")
    parser.add_argument(
        "--images", nargs="+", default=[], help="experimental images, for certainty"
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=range(10))
    arguments = parser.parse_args()
    for part in arguments.parts:
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
