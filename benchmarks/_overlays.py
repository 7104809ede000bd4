"""PNG overlays of located columns, in crops that a person can check for misses."""

import re

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import PowerNorm
from scipy.spatial import cKDTree

# Distinguishable on grey without red against green; one a sublattice.
COLORS = ("#ff4b00", "#00b8ff", "#ffd500", "#f26dff")
# Side of a crop in spacings, unless given in px.
CROP_SPACINGS = 16
# Exponent of the grey scale, so that faint columns next to bright ones are seen.
GAMMA = 0.7


def draw_overlay(case, sites, locator_name, outcome, arguments):
    """Save a grid of crops from all parts of an image, with the sites marked.

    Sites are rings coloured by sublattice, unconverged ones crosses. With truth,
    missed columns are white squares and invented sites are circled in white.

    Parameters
    ----------
    case : Case
        The image.
    sites : AtomSites
        What was found.
    locator_name : str
        By which locator.
    outcome : dict
        The figures, for the title.
    arguments : argparse.Namespace
        With `overlays`, the folder; `crops`, their number along each side; and
        `zoom`, the side of a crop in px or None.
    """
    image = np.asarray(case.image, dtype=float)
    n_rows, n_cols = image.shape
    side = arguments.zoom or int(CROP_SPACINGS * outcome["spacing"])
    side = min(side, n_rows, n_cols)
    grid = arguments.crops
    starts = [np.linspace(0, n - side, grid).astype(int) for n in (n_rows, n_cols)]
    size = (5 * grid, 5.2 * grid)
    figure, axes = plt.subplots(
        grid, grid, figsize=size, layout="constrained", squeeze=False
    )
    for ax, (row, col) in zip(
        axes.flat, ((r, c) for r in starts[0] for c in starts[1]), strict=True
    ):
        crop = image[row : row + side, col : col + side]
        low, high = np.quantile(crop, [0.005, 0.995])
        norm = PowerNorm(GAMMA, low, high, clip=True)
        ax.imshow(image, cmap="gray", norm=norm, interpolation="nearest")
        _mark(ax, case, sites, outcome)
        ax.set(
            xlim=(col - 0.5, col + side - 0.5),
            ylim=(row + side - 0.5, row - 0.5),
            title=f"rows {row} to {row + side}, columns {col} to {col + side}",
        )
        ax.set_xticks([])
        ax.set_yticks([])
    n_doubtful = int(np.sum(~sites.converged))
    figure.suptitle(
        f"{case.name}, {locator_name}: {outcome['n_sites']} sites per sublattice, "
        f"{n_doubtful} unconverged (crosses); spacing {outcome['spacing']:.1f} px"
    )
    arguments.overlays.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{case.name}_{locator_name}")
    figure.savefig(arguments.overlays / f"{stem}.png", dpi=75)
    plt.close(figure)


def _mark(ax, case, sites, outcome):
    for label in np.unique(sites.sublattice):
        for converged, marker in ((True, "o"), (False, "x")):
            own = (sites.sublattice == label) & (sites.converged == converged)
            ax.plot(
                *sites.positions[own, ::-1].T,
                marker,
                color=COLORS[label % len(COLORS)],
                ms=7,
                mfc="none",
                mew=1.2,
            )
    if case.positions is None:
        return
    reach = 0.35 * outcome["true_spacing"]
    missed = cKDTree(sites.positions).query(case.positions)[0] > reach
    invented = cKDTree(case.positions).query(sites.positions)[0] > reach
    style = {"color": "white", "mfc": "none", "mew": 1.5}
    ax.plot(*case.positions[missed, ::-1].T, "s", ms=14, **style)
    ax.plot(*sites.positions[invented, ::-1].T, "o", ms=15, **style)
