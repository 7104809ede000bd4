"""Crystals of every motif and close pairs in generated images: tables in Markdown.

    python benchmarks/bench_crystals.py                     # both tables
    python benchmarks/bench_crystals.py --only pairs --seeds 2

Images are Gaussian columns with shot noise, 500 electrons at the peak of the brightest
ones on a background of 30.

"Presets": the species that has only others in its shell is displaced by a known vector;
AtomLocator, with the spacing of the motif or without, then MotifAssigner. Columns count
from 30 px off the border. The displacement is measured in the shell of the motif, less
that of the undisplaced columns. Its mean over the columns of an image is compared with
the truth, along and across it, in percent of its length: mean over the images with its
standard error, and the largest deviation of an image in standard errors of its columns.

"Pairs": zinc blende along [110] with the default AtomLocator, by the distance within
the pairs in sigmas, and the ratio of their heights.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, AtomSites, Motif, MotifAssigner

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.feature_extraction._crystals import draw, interior, make_crystal

SIZE_PX = 320
MARGIN_PX = 30
SIGMA_PX = 2.0
# Presets that show a displaceable species only with their light columns.
WITH_ANIONS = ("wurtzite_1120", "fluorite_001")
SEPARATIONS_SIGMA = (2.0, 2.25, 2.5, 3.0, 4.0)
# Displacement of the other species, px.
DISPLACEMENT = np.array([0.55, -0.35])


def match(positions, truth, reach):
    """Return for each true position the row of the site that is near, -1 for none."""
    distance, row = cKDTree(positions).query(truth)
    return np.where(distance < reach, row, -1)


def measure_preset(name, seed, given):
    """Locate and assign the columns of one image of a preset."""
    motif = Motif.from_preset(name, anions=name in WITH_ANIONS)
    rotation = np.random.default_rng(seed).uniform(-40, 40)
    mover = displaced_species(motif)
    options = {"rotation": rotation, "noise": 0.0, "vacancies": 0.01, "seed": seed}
    ideal = make_crystal(motif, **options)
    step = (ideal.species == mover)[:, None] * DISPLACEMENT
    crystal = ideal._replace(positions=ideal.positions + step)
    image = draw(crystal, seed=seed), crystal.pixel_size
    spacing = motif.geometry().spacing / crystal.pixel_size if given else None
    assigner = MotifAssigner(motif=motif)
    sites = assigner.fit_transform(AtomLocator(spacing=spacing).fit_transform(image))
    inner = np.flatnonzero(interior(crystal.positions, SIZE_PX, MARGIN_PX))
    row = match(sites.positions, crystal.positions[inner], 3.0)
    known = row >= 0
    assigned = np.zeros(len(row), dtype=bool)
    assigned[known] = sites.motif_column[row[known]] >= 0
    right = assigned & (sites.sublattice[row] == crystal.species[inner])
    used = right & (crystal.species[inner] == mover)
    vectors = (
        sites.polarization[row[used]] - ideal_displacements(ideal, motif)[inner[used]]
    )
    return {
        "assigned": assigned.mean(),
        "right": right.sum() / max(assigned.sum(), 1),
        "vectors": vectors[np.isfinite(vectors).all(axis=1)],
    }


def displaced_species(motif):
    """Return the last species without columns of its own kind in the shells, or -1."""
    shells = motif.geometry().shell(motif.partner_mask())
    labels = motif.species_labels
    for species in range(labels.max(), 0, -1):
        own = np.flatnonzero(labels == species)
        targets = [shells[column][0] for column in own]
        if all(len(t) and (labels[t] != species).all() for t in targets):
            return species
    return -1


def ideal_displacements(ideal, motif):
    """Return the displacement of each column at its ideal position."""
    sites = AtomSites(
        np.zeros((SIZE_PX, SIZE_PX)),
        ideal.positions,
        amplitude=ideal.intensity,
        pixel_size=ideal.pixel_size,
    )
    return MotifAssigner(motif=motif).fit_transform(sites).polarization


def presets(seeds, names):
    """Print the table of the presets."""
    print(
        "| preset | spacing | assigned (%) | species right (%) | columns | "
        "error along (%) | across (%) | largest (standard errors) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    length = np.hypot(*DISPLACEMENT)
    along = DISPLACEMENT / length
    axes = np.stack([along, [-along[1], along[0]]], axis=1)
    for name in names:
        for given in (True, False):
            found = [measure_preset(name, seed, given) for seed in range(seeds)]
            assigned, right = (
                100 * min(result[key] for result in found)
                for key in ("assigned", "right")
            )
            means, deviations, counts = [], [], []
            for result in found:
                vectors = (result["vectors"] - DISPLACEMENT) @ axes / length
                if len(vectors) < 10:
                    continue
                error = vectors.std(axis=0, ddof=1) / np.sqrt(len(vectors))
                means.append(100 * vectors.mean(axis=0))
                deviations.append(np.abs(vectors.mean(axis=0) / error).max())
                counts.append(len(vectors))
            text = "— | — | — | —"
            if len(means) > 1:
                mean = np.mean(means, axis=0)
                std = np.std(means, axis=0, ddof=1) / np.sqrt(len(means))
                errors = " | ".join(
                    f"{value:+.2f} ± {error:.2f}"
                    for value, error in zip(mean, std, strict=True)
                )
                text = f"{np.mean(counts):.0f} | {errors} | {max(deviations):.1f}"
            how = "given" if given else "automatic"
            row = f"{name} | {how} | {assigned:.1f} | {right:.1f} | {text}"
            print(f"| {row} |", flush=True)


def pairs(seeds):
    """Print the table of close pairs."""
    print(
        "| separation (sigma) | height ratio | electrons | found (%) | invented | "
        "error (sigma) | labels right (%) | warnings |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for separation in SEPARATIONS_SIGMA:
        for ratio in (1.0, 0.6):
            for dose in (500, 50):
                found = [
                    measure_pairs(separation, ratio, dose, seed)
                    for seed in range(seeds)
                ]
                share, label = (
                    100 * np.mean([r[k] for r in found]) for k in ("found", "label")
                )
                invented, said = (
                    np.sum([r[k] for r in found]) for k in ("invented", "warnings")
                )
                error = np.median([r["error"] for r in found]) / SIGMA_PX
                label = "—" if ratio == 1.0 else f"{label:.1f}"
                print(
                    f"| {separation} | {ratio} | {dose} | {share:.1f} | {invented} | "
                    f"{error:.3f} | {label} | {said} |",
                    flush=True,
                )


def measure_pairs(separation, ratio, dose, seed):
    """Locate the columns of one image of close pairs."""
    table = [("M", 0, 0, 1.0), ("M", 0.5, 0.5, 1.0)]
    table += [("X", 0, 0.25, ratio), ("X", 0.5, 0.75, ratio)]
    motif = Motif.from_table(table, lengths=(0.458, 0.648))
    crystal = make_crystal(
        motif,
        size=240,
        spacing=separation * SIGMA_PX,
        rotation=np.random.default_rng(seed).uniform(0, 90),
        strain=0.01,
        noise=0.0,
        vacancies=0.0,
        scatter=0.03,
        seed=seed,
    )
    image = draw(crystal, size=240, sigma=SIGMA_PX, dose=dose, seed=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sites = AtomLocator().fit_transform(image)
    inner = interior(crystal.positions, 240, 20)
    row = match(sites.positions, crystal.positions[inner], 0.6 * SIGMA_PX)
    distance, _ = cKDTree(crystal.positions).query(
        sites.positions[interior(sites.positions, 240, 20)]
    )
    known = row >= 0
    offset = sites.positions[row[known]] - crystal.positions[inner][known]
    label = sites.sublattice[row[known]] == crystal.species[inner][known]
    return {
        "found": known.mean(),
        "invented": int((distance > 0.6 * SIGMA_PX).sum()),
        "error": np.median(np.hypot(*offset.T)) if known.any() else np.nan,
        "label": label.mean() if known.any() else np.nan,
        "warnings": len(caught),
    }


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["presets", "pairs"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--presets", nargs="+", default=Motif.preset_names)
    arguments = parser.parse_args()
    if arguments.only != "pairs":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            presets(arguments.seeds, arguments.presets)
    if arguments.only != "presets":
        pairs(arguments.seeds)


if __name__ == "__main__":
    main()
