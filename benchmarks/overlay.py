"""Draw the columns that AtomLocator finds over an image, whole and at its corners.

    python benchmarks/overlay.py image.tif [image2.hspy ...] --out folder

Nothing says so plainly whether columns were missed, invented or mixed up.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import load_image

# One a sublattice.
_COLORS = ("red", "deepskyblue", "gold", "magenta")


def draw(sites, path, *, zoom=160, dpi=110):
    """Save the columns over their image: all of it, its corners, its middle.

    Parameters
    ----------
    sites : AtomSites
        Columns of one image.
    path : path-like
        Where the picture goes.
    zoom : int
        Side of the details, px.
    dpi : int
        Resolution of the picture.
    """
    image = sites.images[0]
    n_rows, n_cols = image.shape
    figure, axes = plt.subplots(2, 3, figsize=(18, 12), layout="constrained")
    rows = (0, max(n_rows - zoom, 0))
    cols = (0, max(n_cols - zoom, 0))
    windows = [
        (0, 0, n_rows, n_cols),
        *((row, col, zoom, zoom) for row in rows for col in cols),
        ((n_rows - zoom) // 2, (n_cols - zoom) // 2, zoom, zoom),
    ]
    for ax, (row, col, height, width) in zip(axes.flat, windows, strict=True):
        detail = image[max(row, 0) : row + height, max(col, 0) : col + width]
        limits = np.quantile(detail, [0.005, 0.995])
        ax.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1])
        for label, color in zip(np.unique(sites.sublattice), _COLORS, strict=False):
            for sure, marker in ((True, "o"), (False, "x")):
                chosen = (sites.sublattice == label) & (sites.converged == sure)
                ax.plot(
                    *sites.positions[chosen, ::-1].T,
                    marker,
                    color=color,
                    ms=1.5 if height == n_rows else 6,
                    mfc="none",
                    mew=0.8,
                )
        ax.set(
            xlim=(col - 3.5, col + width + 2.5),
            ylim=(row + height + 2.5, row - 3.5),
            title=f"rows {row} to {row + height}, cols {col} to {col + width}",
        )
    n_doubtful = int(np.sum(~sites.converged))
    figure.suptitle(f"{len(sites)} columns, {n_doubtful} of them doubtful (crosses)")
    figure.savefig(path, dpi=dpi)
    plt.close(figure)


def main():
    """Read images, locate, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    parser.add_argument("--zoom", type=int, default=160)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for path in arguments.images:
        sites = AtomLocator().fit_transform(load_image(path))
        target = arguments.out / f"{path.stem}_columns.png"
        draw(sites, target, zoom=arguments.zoom)
        print(f"{target}: {sites!r}")


if __name__ == "__main__":
    main()
