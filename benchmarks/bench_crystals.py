"""Crystals of every motif and close pairs in generated images: tables in Markdown.

    python benchmarks/bench_crystals.py                     # both tables
    python benchmarks/bench_crystals.py --only pairs --seeds 2

Images are Gaussian columns with shot noise, 500 electrons at the peak of the brightest
ones on a background of 30. "Presets": all species but the brightest are displaced by a
known vector; AtomLocator, with the spacing of the motif or without, then MotifAssigner.
Columns count from 30 px off the border. The displacement is measured in the shell of
the motif; its error is that of the mean over all columns, in percent of the true length
and in standard errors. "Pairs": zinc blende along [110] with the default AtomLocator,
by the distance within the pairs in sigmas, and the ratio of their heights.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, Motif, MotifAssigner

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.feature_extraction._crystals import draw, interior, make_crystal

SIZE_PX = 320
MARGIN_PX = 30
SIGMA_PX = 2.0
SEPARATIONS_SIGMA = (2.0, 2.25, 2.5, 3.0, 4.0)
# Displacement of the other species, px.
DISPLACEMENT = np.array([0.55, -0.35])


def match(positions, truth, reach):
    """Return for each true position the row of the site that is near, -1 for none."""
    distance, row = cKDTree(positions).query(truth)
    return np.where(distance < reach, row, -1)


def measure_preset(name, seed, given):
    """Locate and assign the columns of one image of a preset."""
    motif = Motif.from_preset(name)
    rotation = np.random.default_rng(seed).uniform(-40, 40)
    moved = DISPLACEMENT if len(set(motif.species)) > 1 else np.zeros(2)
    options = {"rotation": rotation, "noise": 0.0, "vacancies": 0.01, "seed": seed}
    crystal = make_crystal(motif, moved=moved, **options)
    ideal = make_crystal(motif, **options)
    image = draw(crystal, seed=seed), crystal.pixel_size
    spacing = motif.geometry().spacing / crystal.pixel_size if given else None
    assigner = MotifAssigner(motif=motif)
    sites = assigner.fit_transform(AtomLocator(spacing=spacing).fit_transform(image))
    inner = interior(crystal.positions, SIZE_PX, MARGIN_PX)
    row = match(sites.positions, crystal.positions[inner], 3.0)
    known = row >= 0
    assigned = np.zeros(len(row), dtype=bool)
    assigned[known] = sites.motif_column[row[known]] >= 0
    species = sites.sublattice[row]
    right = assigned & (species == crystal.species[inner])
    # The same measurement of the undisplaced columns is the reference.
    reference = ideal_displacements(ideal, sites, assigner, motif)
    of_moved = crystal.species[inner] > 0
    vectors = sites.polarization[row[of_moved & right]]
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    return {
        "assigned": assigned.mean(),
        "right": right.sum() / max(assigned.sum(), 1),
        "vectors": vectors,
        "moved": moved,
        "reference": reference,
    }


def ideal_displacements(ideal, sites, assigner, motif):
    """Return the mean displacement of species other than 0 before they are moved."""
    from sklearn_ferroic import AtomSites

    undisplaced = AtomSites(
        np.zeros((SIZE_PX, SIZE_PX)),
        ideal.positions,
        amplitude=ideal.intensity,
        pixel_size=ideal.pixel_size,
    )
    found = MotifAssigner(motif=motif).fit_transform(undisplaced)
    vectors = found.polarization[(found.sublattice > 0) & (found.motif_column >= 0)]
    vectors = vectors[np.isfinite(vectors).all(axis=1)]
    return vectors.mean(axis=0) if len(vectors) else np.zeros(2)


def presets(seeds):
    """Print the table of the presets."""
    print(
        "| preset | spacing | assigned (%) | species right (%) | displacement error |"
    )
    print("|---|---|---|---|---|")
    for name in Motif.preset_names:
        for given in (True, False):
            found = [measure_preset(name, seed, given) for seed in range(seeds)]
            assigned, right = (
                100 * min(result[key] for result in found)
                for key in ("assigned", "right")
            )
            errors = []
            for result in found:
                vectors, moved = result["vectors"], result["moved"]
                if not moved.any() or len(vectors) < 10:
                    continue
                difference = vectors.mean(axis=0) - result["reference"] - moved
                std = vectors.std(axis=0) / np.sqrt(len(vectors))
                share = 100 * np.hypot(*difference) / np.hypot(*moved)
                errors.append((share, np.abs(difference / std).max()))
            text = "—"
            if errors:
                worst = max(errors)
                text = f"{worst[0]:.1f} %, {worst[1]:.1f} standard errors"
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
    arguments = parser.parse_args()
    if arguments.only != "pairs":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            presets(arguments.seeds)
    if arguments.only != "presets":
        pairs(arguments.seeds)


if __name__ == "__main__":
    main()
