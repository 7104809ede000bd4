"""Judge the direction of the polarization on images whose lattice does not force it.

    python benchmarks/bench_polarization_angle.py --multislice FOLDER
    python benchmarks/bench_polarization_angle.py --print --seeds 2 --images vortex

Writes a table into docs/. Multislice images, one realisation each, with the fit's seed
changed; generated vortices, morphotropic mixtures and antipolar lamellae, of which each
seed draws another image. FOLDER holds the multislice images as NAME.npz; without it
only the image that ships with the package is used.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from _data_angle import FIELDS, make_windows

from sklearn_ferroic import AngularMoments, MultiReferenceAlignment, RotationalVAE
from sklearn_ferroic.metrics import angular_error

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks_angle.md"
# px; 44 px are 1.5 cells of the image with the largest cells.
WINDOWS = (44, None)
SUGGESTED = """## Windows of the suggested size

The size that `suggest_window_size` returns, and `analyze` uses, is given in each row.

"""

HEAD = """# The direction of the polarization

Written by `python benchmarks/bench_polarization_angle.py`; {seeds} seeds. Columns found
by AtomLocator, windows at the fitted centres. Share of the polar cells
outside walls whose direction is within 45° of the truth after one rotation common to
all, median error and resultant length of the errors; worst seed for RotationalVAE and
MultiReferenceAlignment. The truth of a multislice image is the displacement of each
column, static disorder included; that of a generated one is the direction that its
domain or vortex gives the cell. *Width*: median circular standard deviation that
`transform_with_std` returns, of cells within 45° of the truth and of the others.

"""


def read_window(text):
    """Return the side of windows, px; None for the suggested one."""
    return None if text == "suggested" else int(text)


def judge(windows, angle):
    """Share within 45 degrees, %, median error, degrees, and resultant length."""
    chosen = windows.judged
    error = angular_error(windows.direction[chosen], angle[chosen], register=True)
    return (
        100 * np.mean(np.abs(error) < np.pi / 4),
        np.degrees(np.median(np.abs(error))),
        np.abs(np.exp(1j * error).mean()),
    ), np.abs(error) < np.pi / 4


def run(name, window, seeds, folder):
    """Return one row of the table."""
    is_drawn = name in FIELDS
    scores = {"vector": [], "moments": [], "alignment": [], "model": []}
    widths = []
    windows = None
    for seed in range(seeds):
        if is_drawn or windows is None:
            windows = make_windows(name, seed, window=window, folder=folder)
        vector = np.arctan2(*np.nan_to_num(windows.polarization.T))
        scores["vector"].append(judge(windows, vector)[0])
        moments = AngularMoments().fit_transform(windows.X)[:, 0]
        scores["moments"].append(judge(windows, moments)[0])
        alignment = MultiReferenceAlignment(random_state=seed).fit_transform(windows.X)
        scores["alignment"].append(judge(windows, alignment[:, 0])[0])
        model = RotationalVAE(random_state=seed).fit(windows.X)
        found, std = model.transform_with_std(windows.X)
        score, is_right = judge(windows, found[:, 0])
        scores["model"].append(score)
        std = np.degrees(std[windows.judged, 0])
        widths.append(
            [np.median(std[part]) for part in (is_right, ~is_right) if part.any()]
            + [np.nan] * int(is_right.all())
        )
    cells = [name if window else f"{name}, {windows.window} px"]
    for tool in scores.values():
        share, error, resultant = zip(*tool, strict=True)
        cells.append(f"{min(share):.1f} / {max(error):.1f} / {min(resultant):.3f}")
    right, wrong = np.array(widths).T
    wrong = "" if np.isnan(wrong).all() else f" / {np.nanmedian(wrong):.0f}"
    cells.append(f"{np.median(right):.1f}{wrong}")
    sys.stderr.write(" | ".join(cells) + "\n")
    return "| " + " | ".join(cells) + " |\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--multislice", type=Path, default=None)
    parser.add_argument("--images", nargs="+", default=None)
    parser.add_argument("--windows", type=read_window, nargs="+", default=WINDOWS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--print", action="store_true", help="write no document")
    arguments = parser.parse_args()
    # one thread each: more of them get in each other's way
    os.environ["OMP_NUM_THREADS"] = "1"
    names = arguments.images
    if names is None:
        folder = arguments.multislice
        files = [] if folder is None else sorted(folder.glob("*.npz"))
        names = [*[file.stem for file in files], "shipped", *FIELDS]
    text = HEAD.format(seeds=arguments.seeds)
    for window in arguments.windows:
        text += f"## Windows of {window} px\n\n" if window else SUGGESTED
        text += (
            "| image | fitted vector, % / ° / R | AngularMoments "
            "| MultiReferenceAlignment | RotationalVAE | width, °: right / wrong |\n"
            "|---|---:|---:|---:|---:|---:|\n"
        )
        for name in names:
            text += run(name, window, arguments.seeds, arguments.multislice)
        text += "\n"
    if arguments.print:
        sys.stdout.write(text)
    else:
        DOCUMENT.write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
