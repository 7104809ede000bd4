"""How good the angle is, seed by seed; writes tables into docs/.

    python benchmarks/bench_pose.py                        # ten seeds, all levels
    python benchmarks/bench_pose.py --print --seeds 3 --levels 1.0px 0.5px

RotationalVAE's default and the two baselines on the levels of bench_rvae.py. Each
seed draws another image and seeds the fit.
"""

import argparse
import os
import sys
from pathlib import Path

import joblib
import numpy as np
from _data_rvae import LEVELS, WINDOW, judge, make_patches
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from sklearn_ferroic import AngularMoments, MultiReferenceAlignment, RotationalVAE

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks_pose.md"
INTERPOLATIONS = ("cubic", "nearest")
# Where the centring of the windows decides.
DISPLACEMENTS = ("2.2px", "1.0px", "0.5px")
TOOLS = ("RotationalVAE", "MultiReferenceAlignment", "AngularMoments")
HEAD = """# The angle, seed by seed

Written by `python benchmarks/bench_pose.py{options}`; {seeds} seeds, each with an
image of its own. Columns found by AtomLocator, windows of {window} px. *share*: polar
cells outside walls within 45° of the truth after one global rotation; *R*: resultant
length of the errors; *error*: the median. First the median over the seeds, in
parentheses the worst. Chance is the share of the best constant angle. Windows cut at
the nearest pixel (`nearest`; the three displacements only) are fitted with
`offset_scale=0.5`. For grains, the
adjusted Rand index measures how well twelve clusters of the latents, found by k-means,
agree with the grains: 0 is by chance, 1 is the same. AngularMoments reads the first
angular order, which unpolar cells do not have.

"""


def fit(tool, patches, seed, interpolation):
    """Columns that a tool finds; angle first, latents from the fourth on."""
    scale = 0.25 if interpolation == "cubic" else 0.5
    model = {
        "RotationalVAE": RotationalVAE(offset_scale=scale, random_state=seed),
        "MultiReferenceAlignment": MultiReferenceAlignment(random_state=seed),
        "AngularMoments": AngularMoments(),
    }[tool]
    return model.fit_transform(patches.X)


def run(level, interpolation, seed):
    """Scores of all tools on one image; a dict for each."""
    patches = make_patches(level, seed, interpolation)
    subsets = {"": patches.judged}
    antipolar = patches.judged & patches.antipolar
    if antipolar.sum() > 20:
        subsets[", antipolar cells"] = antipolar
    scores = []
    for tool in TOOLS:
        found = fit(tool, patches, seed, interpolation)
        for subset, chosen in subsets.items():
            marks = judge(found[:, 0], patches, chosen)
            scores.append({"tool": tool, "subset": subset, **marks})
        if patches.grain[0] >= 0:
            scores[-1]["rand"] = _rand_index(found[:, 3:], patches)
        _log(level, interpolation, seed, scores[-1])
    if patches.grain[0] >= 0:
        raw = PCA(5, random_state=seed).fit_transform(patches.X)
        marks = dict.fromkeys(("share", "resultant", "median", "chance"), np.nan)
        rand = _rand_index(raw, patches)
        scores.append(
            {"tool": "PCA of the windows", "subset": "", "rand": rand} | marks
        )
    return scores


def _rand_index(latents, patches):
    """Agreement of a k-means of the latents with the grains; 0 is none."""
    latents, grain = latents[patches.judged], patches.grain[patches.judged]
    scaled = latents / latents.std(axis=0)
    labels = KMeans(12, n_init=5, random_state=0).fit_predict(scaled)
    return float(adjusted_rand_score(grain, labels))


def _log(*facts):
    print(*facts, file=sys.stderr, flush=True)


def table(level, interpolation, per_seed):
    """One row for each tool and subset."""
    has_grains = "rand" in per_seed[0][-1]
    head = ["tool", "share, %", "R", "error, °", "chance, %"]
    head += ["k-means of latents against grains"] if has_grains else []
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for place, first in enumerate(per_seed[0]):
        marks = [scores[place] for scores in per_seed]
        row = [
            first["tool"] + first["subset"],
            _summary(marks, "share", min, 100, "{:.1f}"),
            _summary(marks, "resultant", min, 1, "{:.3f}"),
            _summary(marks, "median", max, 1, "{:.2f}"),
            f"{100 * np.median([mark['chance'] for mark in marks]):.0f}",
        ]
        row += [_summary(marks, "rand", max, 1, "{:.2f}")] if has_grains else []
        lines.append([cell.replace("nan (nan)", "").replace("nan", "") for cell in row])
    title = f"## {level}, {interpolation}: {LEVELS[level].title}\n\n"
    return title + "\n".join("| " + " | ".join(row) + " |" for row in lines) + "\n\n"


def _summary(marks, key, worst, factor, form):
    values = [factor * mark[key] for mark in marks]
    return f"{form.format(np.median(values))} ({form.format(worst(values))})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=list(LEVELS))
    parser.add_argument(
        "--interpolation", nargs="+", choices=INTERPOLATIONS, default=INTERPOLATIONS
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--print", action="store_true", help="write no document")
    arguments = parser.parse_args()
    # one thread each: more of them get in each other's way
    os.environ["OMP_NUM_THREADS"] = "1"
    text = HEAD.format(
        options="".join(f" {part}" for part in sys.argv[1:]),
        seeds=arguments.seeds,
        window=WINDOW,
    )
    for interpolation in arguments.interpolation:
        wanted = LEVELS if interpolation == "cubic" else DISPLACEMENTS
        for level in (level for level in arguments.levels if level in wanted):
            per_seed = joblib.Parallel(n_jobs=arguments.jobs)(
                joblib.delayed(run)(level, interpolation, seed)
                for seed in range(arguments.seeds)
            )
            text += table(level, interpolation, per_seed)
    if arguments.print:
        print(text)
    else:
        DOCUMENT.write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
