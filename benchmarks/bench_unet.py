"""Judge UNetAtomLocator against AtomLocator and the truth, into docs/.

    python benchmarks/bench_unet.py [--only finding,...]

Writes docs/benchmarks_unet.md and docs/images/unet_reliability.png. No image was used
in training: the generator's presets were not, and seeds are others.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _unet_scenes import draw_scene
from scipy.ndimage import gaussian_filter

from sklearn_ferroic import AtomLocator, UNetAtomLocator
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.localization._unet.evidence import TOLERANCE_SPACINGS, pair

DOCS = Path(__file__).parents[1] / "docs"
PRESETS = ("film", "superlattice")
SEEDS = range(100, 105)
SHAPE = (500, 500)
SPACING = 14.0
# Columns nearer to the border than one spacing are not judged.
# What of the dose makes the counts at the peak of a Bi column.
PER_COUNT = 1 / (0.12 * 0.2**2)
# The images are in counted electrons.
COUNTING = {"detector_gain": 1, "detector_offset": 0, "read_noise": 0}
CONDITIONS = {
    "50 counts": {"peak": 50},
    "10 counts": {"peak": 10},
    "5 counts": {"peak": 5},
    "3 counts": {"peak": 3},
    "2 counts": {"peak": 2},
    "1.5 counts": {"peak": 1.5},
    "50 counts, 30 mrad": {"peak": 50, "mistilt_mrad": 30.0},
    "10 counts, 30 mrad": {"peak": 10, "mistilt_mrad": 30.0},
    "50 counts, 50 mrad": {"peak": 50, "mistilt_mrad": 50.0},
    "10 counts, 50 mrad": {"peak": 10, "mistilt_mrad": 50.0},
    "5 counts, 50 mrad": {"peak": 5, "mistilt_mrad": 50.0},
}


def make(preset, seed, peak, **options):
    options = {"shape": SHAPE, "dose": peak * PER_COUNT} | COUNTING | options
    return make_ferroic_image(preset, random_state=seed, **options)


def interior(positions, shape, margin=SPACING):
    last = np.array(shape) - 1
    return np.all((positions >= margin) & (positions <= last - margin), axis=1)


def counts(sites, data, kind):
    """Columns of a kind that were found, missed and invented."""
    found = sites.positions[sites.sublattice == kind]
    true = data.positions[data.sublattice == kind]
    partner = pair(found, true, TOLERANCE_SPACINGS * SPACING)
    shape = data.image.shape
    hit = np.isin(np.arange(len(true)), partner)
    judged = interior(true, shape)
    invented = np.sum((partner < 0) & interior(found, shape))
    return np.array([np.sum(hit & judged), np.sum(~hit & judged), invented])


def f1(total):
    return 2 * total[0] / (2 * total[0] + total[1] + total[2])


def shared_errors(first, second, data):
    """Errors (row, col) of both where both have the column."""
    partners = [
        pair(sites.positions, data.positions, TOLERANCE_SPACINGS * SPACING)
        for sites in (first, second)
    ]
    both = np.intersect1d(*(part[part >= 0] for part in partners))
    both = both[interior(data.positions[both], data.image.shape)]
    errors = []
    for sites, partner in zip((first, second), partners, strict=True):
        rows = {true: row for row, true in enumerate(partner) if true >= 0}
        own = sites.positions[[rows[true] for true in both]]
        errors.append(own - data.positions[both])
    return errors


def finding():
    lines = [
        "| image | peak | AtomLocator A | B | U-Net A | B | worst seed A | B "
        "| RMS AtomLocator, px | U-Net | ratio |",
        "|" + "---|" * 11,
    ]
    for preset in PRESETS:
        for name, options in CONDITIONS.items():
            totals, worst, errors = np.zeros((2, 2, 3)), [], ([], [])
            for seed in SEEDS:
                data = make(preset, seed, **options)
                sites = [
                    _located(make_locator(), data.image) for make_locator in MAKERS
                ]
                part = [[counts(each, data, kind) for kind in (0, 1)] for each in sites]
                totals += part
                worst.append([f1(part[1][kind]) for kind in (0, 1)])
                for store, error in zip(
                    errors, shared_errors(*sites, data), strict=True
                ):
                    store.append(error)
            rms = [np.sqrt(np.mean(np.concatenate(part) ** 2)) for part in errors]
            values = [f1(totals[who][kind]) for who in (0, 1) for kind in (0, 1)]
            values += list(np.min(worst, axis=0))
            cells = [preset, name, *(f"{100 * value:.1f}" for value in values)]
            cells += [*(f"{value:.3f}" for value in rms), f"{rms[1] / rms[0]:.3f}"]
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


MAKERS = (AtomLocator, UNetAtomLocator.from_pretrained)


def _located(locator, image):
    """Locate; nothing found is no site, of which one off the image is made."""
    try:
        if isinstance(locator, AtomLocator):
            return locator.fit_transform(image)
        return locator.transform(image)
    except ValueError:
        return AtomSitesOfNothing()


class AtomSitesOfNothing:
    positions = np.empty((0, 2))
    sublattice = np.empty(0, dtype=int)


def emptiness():
    lines = [
        "| outside the crystal | peak | sites farther than a spacing from it, "
        "AtomLocator | U-Net | and nearer ones, AtomLocator | U-Net "
        "| columns lost within two spacings of the edge, AtomLocator | U-Net |",
        "|" + "---|" * 8,
    ]
    for kind in ("vacuum", "amorphous"):
        for peak in (50, 10):
            edge, invented, lost = [0, 0], [0, 0], [0, 0]
            n_near = 0
            for seed in SEEDS:
                data, matter = _half(kind, peak, seed)
                outside = ~matter
                for who, make_locator in enumerate(MAKERS):
                    sites = _located(make_locator(), data.image)
                    partner = pair(sites.positions, data.positions, 0.4 * SPACING)
                    pixel = np.clip(np.rint(sites.positions).astype(int), 0, 499)
                    alone = outside[pixel[:, 0], pixel[:, 1]] & (partner < 0)
                    edge[who] += int(alone.sum())
                    alone &= pixel[:, 1] > 260 + SPACING
                    invented[who] += int(alone.sum())
                    near = np.abs(data.positions[:, 1] - 260) < 2 * SPACING
                    hit = np.isin(np.arange(len(near)), partner)
                    lost[who] += int(np.sum(near & ~hit))
                n_near += int(near.sum())
            cells = [kind, f"{peak} counts", *map(str, invented)]
            cells += [str(e - i) for e, i in zip(edge, invented, strict=True)]
            cells += [f"{value} of {n_near}" for value in lost]
            lines.append("| " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def _half(kind, peak, seed):
    """The left half of a film's image, and nothing crystalline in the right one."""
    data = make("film", seed, peak, dose=np.inf)
    scale = peak / (25e3 / PER_COUNT)
    expected = data.image * scale
    draw = np.random.RandomState(seed)
    col = np.arange(SHAPE[1])
    inside = 0.5 * (1 - np.tanh((col - 260) / 6))
    other = np.full(SHAPE, 0.02 * peak)
    if kind == "amorphous":
        blobs = gaussian_filter(draw.normal(size=SHAPE), 3.5)
        other += peak * 0.3 * np.maximum(1 + 0.5 * blobs / blobs.std(), 0)
    image = draw.poisson(inside * expected + (1 - inside) * other)
    data.image = image.astype(np.float32)
    keep = data.positions[:, 1] < 260
    for name in ("positions", "sublattice"):
        data[name] = data[name][keep]
    return data, np.broadcast_to(inside > 0.2, SHAPE)


def seams():
    worst = 0.0
    for preset in PRESETS:
        data = make(preset, 7, 10, shape=(900, 1100))
        tiled, whole = (
            UNetAtomLocator.from_pretrained(tile_size=size).predict_proba(data.image)[0]
            for size in (256, None)
        )
        worst = max(worst, float(np.abs(tiled - whole).max()))
    return f"Largest difference of a probability, tiles of 256 px or none: {worst:.1e}."


def size():
    """Time and memory of a large image, in a process of its own."""
    lines = ["| image | spacing, px | columns | time, s | memory above the image, MB |"]
    lines.append("|---|---|---|---|---|")
    for side, spacing in ((2048, 14.0), (2048, 9.0), (4096, 14.0)):
        command = [sys.executable, __file__, "--size", str(side), str(spacing)]
        output = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(output.stdout.splitlines()[-1])
        lines.append(
            f"| {side} × {side} | {spacing:g} | {found['n']} | {found['s']:.1f} "
            f"| {found['mb']:.0f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def measure_size(side, spacing):
    pixel_size = 0.396 / np.sqrt(2) / spacing
    data = make_ferroic_image(
        shape=(side, side), pixel_size=pixel_size, dose=25e3, random_state=0, **COUNTING
    )
    locator = UNetAtomLocator.from_pretrained()
    locator.transform(data.image[:300, :300])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    sites = locator.transform(data.image)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"n": len(sites), "s": seconds, "mb": (after - before) / 1024}))


def reliability():
    """Stated and true shares of right sites, on scenes of a seed of their own."""
    draw = np.random.RandomState(20_000)
    stated, right = [], []
    for _ in range(150):
        scene = draw_scene(draw)
        if len(scene.positions) < 20:
            continue
        locator = UNetAtomLocator.from_pretrained(
            spacing=scene.spacing, refine=None, threshold=0.3
        )
        try:
            sites = locator.transform(scene.image)
        except ValueError:
            continue
        partner = pair(
            sites.positions, scene.positions, TOLERANCE_SPACINGS * scene.spacing
        )
        own = np.where(partner >= 0, scene.sublattice[partner], -1)
        stated.append(sites.probability)
        right.append(own == sites.sublattice)
    stated, right = np.concatenate(stated), np.concatenate(right)
    edges = np.array([0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0])
    index = np.clip(np.digitize(stated, edges) - 1, 0, len(edges) - 2)
    lines = ["| stated | sites | mean stated | truly right |", "|---|---|---|---|"]
    means, shares, gap = [], [], 0.0
    for number in range(len(edges) - 1):
        own = index == number
        if own.sum() < 20:
            continue
        means.append(stated[own].mean())
        shares.append(right[own].mean())
        gap += own.mean() * abs(means[-1] - shares[-1])
        lines.append(
            f"| {edges[number]:g} to {edges[number + 1]:g} | {own.sum()} "
            f"| {means[-1]:.3f} | {shares[-1]:.3f} |"
        )
    figure, ax = plt.subplots(figsize=(4.2, 4), layout="constrained")
    ax.plot([0, 1], [0, 1], color="0.7")
    ax.plot(means, shares, "o-")
    ax.set(xlabel="stated probability", ylabel="share of right sites", aspect="equal")
    (DOCS / "images").mkdir(exist_ok=True)
    figure.savefig(DOCS / "images" / "unet_reliability.png", dpi=120)
    plt.close(figure)
    lines.append(f"\nExpected calibration error: {gap:.4f}.")
    print("\n".join(lines), flush=True)
    return "\n".join(lines)


PARTS = {
    "finding": ("Columns and labels: F1 in per cent, and errors of positions", finding),
    "emptiness": ("Where there is no crystal", emptiness),
    "seams": ("Tiles", seams),
    "size": ("Time and memory", size),
    "reliability": ("Is the probability calibrated?", reliability),
}
HEAD = """# UNetAtomLocator in figures

`make bench-unet` writes this page. Images are of the generator's presets, 500 × 500 px,
14 px between nearest columns, five seeds each, none of them used in training. A column
is found if a site of its sublattice lies within a quarter of a spacing; columns within
a spacing of the border are not judged. RMS errors are per axis, of columns that both
locators have.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--size", nargs=2, type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.size:
        measure_size(int(arguments.size[0]), arguments.size[1])
        return
    path = DOCS / "benchmarks_unet.md"
    cache = DOCS / "_build" / "bench_unet.json"
    cache.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(cache.read_text()) if cache.exists() else {}
    for name in arguments.only.split(","):
        known[name] = PARTS[name][1]()
        cache.write_text(json.dumps(known))
    text = [HEAD]
    for name, (title, _) in PARTS.items():
        if name in known:
            text.append(f"## {title}\n\n{known[name]}\n")
            if name == "reliability":
                text.append("![Reliability diagram](images/unet_reliability.png)\n")
    path.write_text("\n".join(text))


if __name__ == "__main__":
    main()
