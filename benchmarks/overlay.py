"""Draw the columns that AtomLocator finds over images, in crops of the whole image.

    python benchmarks/overlay.py FOLDER_OR_IMAGE [...] --out FOLDER

One PNG per crop: the bare crop on the left, the same with the sites on the right. Rings
are sites, coloured by sublattice; crosses are sites whose fit did not converge; squares
are the suspected misses of `AtomSites.quality()`. Prints a table of counts in Markdown.
Where `real_places.csv` lists places of an image that were judged by eye, the columns
missed there, the sites on no column and the wrong labels are counted.
"""

import argparse
import csv
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _images import real_cases
from _overlays import COLORS
from matplotlib.colors import PowerNorm
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator

PLACES = Path(__file__).parent / "real_places.csv"
HEADER = (
    "image",
    "sites per sublattice",
    "spacing, px",
    "converged, %",
    "warnings",
    "visible misses",
    "inventions",
    "wrong labels",
)
# Side of a crop in spacings: columns are then about 40 px apart on a screen.
CROP_SPACINGS = 14
# Pixels of the picture per spacing.
PX_PER_SPACING = 40
DPI = 100
# Marker sizes are in points of 1/72 inch.
POINTS_PER_PX = 72 / DPI
# Exponent of the grey scale: faint columns next to bright ones become visible.
GAMMA = 0.7
# A site this near to a judged place, in spacings, is the site of that place.
REACH_SPACINGS = 0.3


def draw_crops(sites, spacing, folder, name, *, side=None):
    """Save crops that together cover an image, bare and with the sites marked.

    Parameters
    ----------
    sites : AtomSites
        Columns of one image.
    spacing : float
        Distance of nearest columns, px.
    folder : Path
        Where the PNG files go.
    name : str
        First part of their names; row and column of the crop follow.
    side : int or None, default=None
        Side of a crop, px; by default 14 spacings. Crops overlap by a spacing or more.
    """
    image = np.asarray(sites.images[0], dtype=float)
    side = min(side or int(CROP_SPACINGS * spacing), *image.shape)
    starts = [_starts(length, side, int(spacing)) for length in image.shape]
    missed = sites.quality().suspected_misses.positions
    height = side * PX_PER_SPACING / spacing / DPI
    folder.mkdir(parents=True, exist_ok=True)
    for row in starts[0]:
        for col in starts[1]:
            figure, axes = plt.subplots(
                1, 2, figsize=(2 * height, height), layout="constrained"
            )
            limits = np.quantile(
                image[row : row + side, col : col + side], [0.003, 0.997]
            )
            for ax in axes:
                ax.imshow(image, cmap="gray", norm=PowerNorm(GAMMA, *limits, clip=True))
                ax.set(
                    xlim=(col - 0.5, col + side - 0.5),
                    ylim=(row + side - 0.5, row - 0.5),
                )
            _mark(axes[1], sites, missed)
            figure.savefig(folder / f"{name}_{row:04d}_{col:04d}.png", dpi=DPI)
            plt.close(figure)


def _starts(length, side, overlap):
    """Return where crops along one axis begin, so that they cover it."""
    n_crops = int(np.ceil(max(length - overlap, 1) / max(side - overlap, 1)))
    return np.unique(np.linspace(0, length - side, n_crops).astype(int))


def _mark(ax, sites, missed):
    """Mark sites and suspected misses."""
    for label in np.unique(sites.sublattice):
        color = COLORS[label % len(COLORS)]
        for converged, marker in ((True, "o"), (False, "x")):
            own = (sites.sublattice == label) & (sites.converged == converged)
            ax.plot(
                *sites.positions[own, ::-1].T,
                marker,
                color=color,
                ms=0.5 * PX_PER_SPACING * POINTS_PER_PX,
                mfc="none",
                mew=0.8,
            )
    style = {"color": "lime", "mfc": "none", "ms": 0.6 * PX_PER_SPACING * POINTS_PER_PX}
    ax.plot(*missed[:, ::-1].T, "s", **style)


def read_places(path=PLACES):
    """Read the places that were judged by eye.

    Returns
    -------
    places : dict of str to list of dict
        By the stem of the image's file: `position` (row, col) in px, `column` "yes",
        "no" or "unsure", `label` int or None.
    """
    places = {}
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            places.setdefault(line["file"], []).append(
                {
                    "position": np.array([line["row"], line["col"]], dtype=float),
                    "column": line["column"],
                    "label": int(line["label"]) if line["label"] else None,
                }
            )
    return places


def judge(sites, spacing, places):
    """Compare sites with places judged by eye.

    Returns
    -------
    missed, invented, mislabeled : list of ndarray of shape (2,)
        Places of columns without a site, without a column but with a site, and of
        sites with the wrong label.
    """
    missed, invented, mislabeled = [], [], []
    tree = cKDTree(sites.positions)
    for place in places:
        distance, nearest = tree.query(place["position"])
        found = distance < REACH_SPACINGS * spacing
        if place["column"] == "yes" and not found:
            missed.append(place["position"])
        elif place["column"] == "no" and found:
            invented.append(place["position"])
        elif found and place["label"] not in (None, sites.sublattice[nearest]):
            mislabeled.append(place["position"])
    return missed, invented, mislabeled


def main():
    """Read images, locate, draw, count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="+", type=Path, help="folders or files")
    parser.add_argument("--out", type=Path, help="folder for the crops")
    parser.add_argument("--only", default="", help="parts of names, with commas")
    parser.add_argument("--side", type=int, help="side of the crops, px")
    arguments = parser.parse_args()
    parts = arguments.only.split(",")
    places = read_places()
    print("| " + " | ".join(HEADER) + " |")
    print("|" + " --- |" * len(HEADER))
    for source in arguments.images:
        for case in real_cases(source, lambda name: any(p in name for p in parts)):
            if case.image is None:
                print(f"| {case.name} | {case.note} |")
                continue
            print(_row(case, places.get(case.name, []), arguments), flush=True)


def _row(case, places, arguments):
    """Locate the columns of one image, draw them, return a row of the table."""
    locator = AtomLocator()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sites = locator.fit_transform(case.image)
    if arguments.out:
        draw_crops(
            sites, locator.spacing_, arguments.out, case.name, side=arguments.side
        )
    counts = (str(len(one)) for one in judge(sites, locator.spacing_, places))
    cells = (
        case.name,
        " + ".join(str(n) for n in np.bincount(sites.sublattice)),
        f"{locator.spacing_:.1f}",
        f"{100 * sites.converged.mean():.1f}",
        str(len(caught)),
        *counts,
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
