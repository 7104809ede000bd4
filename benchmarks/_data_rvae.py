"""The patches on which decompositions are compared, and what is true of each."""

from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch

from sklearn_ferroic import AtomLocator, AtomSites, PatchExtractor
from sklearn_ferroic.datasets import make_ferroic_image, make_polycrystal
from sklearn_ferroic.metrics import angular_error

WINDOW = 48
# Doses at which counting noise has 0.3 and 0.15 times the standard deviation of the
# noise-free windows of the film; `relative_noise` measures it.
DOSE_030, DOSE_015 = 34e3, 136e3


class Level(NamedTuple):
    """One difficulty; thickness gradient, mistilt and disorder are the preset's."""

    title: str
    options: dict
    preset: str = "film"


LEVELS = {
    "2.2px": Level(
        "film, four variants, 44 pm (2.2 px), relative noise 0.30",
        {"displacement_pm": 44, "dose": DOSE_030},
    ),
    "1.0px": Level(
        "film, 20 pm (1.0 px), relative noise 0.30",
        {"displacement_pm": 20, "dose": DOSE_030},
    ),
    "0.5px": Level(
        "film, 10 pm (0.5 px), relative noise 0.15",
        {"displacement_pm": 10, "dose": DOSE_015},
    ),
    # Half of the atoms exchanged at random, 5 in a column: the image changes by 5.2
    # counts (root mean square), by the polarization of 20 pm by 2.9.
    "chemistry": Level(
        "film, 20 pm (1.0 px), chemistry changes the pixels 1.8 times as much",
        {"displacement_pm": 20, "dose": DOSE_030, "doping": 0.5, "n_atoms": 5},
    ),
    "superlattice": Level(
        "superlattice, 40 pm (2.0 px), every second BiFeO3 layer antipolar",
        {},
        preset="superlattice",
    ),
    "grains": Level(
        "twelve grains rotated by arbitrary angles, 40 pm (2.0 px)",
        {},
        preset="polycrystal",
    ),
    # Where brightness and tilt vary over the image, clusters of any kind are regions
    # of the image and so agree with the grains in part.
    "grains, even foil": Level(
        "twelve grains rotated by arbitrary angles, 40 pm (2.0 px), no mistilt and no "
        "thickness gradient",
        {"thickness_gradient": 0, "mistilt_mrad": 0},
        preset="polycrystal",
    ),
    "unpolar grains": Level(
        "twelve grains rotated by arbitrary angles, no polarization; angles modulo 90°",
        {"displacement_pm": 0},
        preset="polycrystal",
    ),
}


def generate(level, seed, **options):
    """Generate the image of a level."""
    options = level.options | options
    if level.preset == "polycrystal":
        return make_polycrystal(random_state=seed, **options)
    return make_ferroic_image(level.preset, random_state=seed, **options)


def make_patches(name, seed, interpolation="cubic"):
    """Generate an image, find its B columns and cut a window around each.

    Returns
    -------
    patches : Bunch
        `X` (n, h * w); `judged` (n,), whether a site is a cell of well-defined
        direction; `direction` (n,), the true one in radians, known up to turns by
        2π / `n_fold`; `antipolar` (n,); `grain` (n,), -1 where there are none;
        `composition` (n,) and the `sites`.
    """
    data = generate(LEVELS[name], seed)
    sites = AtomLocator(sublattice=1).fit_transform(data.image)
    nearest, matched = match(sites, data)
    variant = data.variant[nearest]
    turn = data.orientation[nearest] if "orientation" in data else 0.0
    unpolar = (data.variant == -1).all()
    inside = matched & ~data.wall[nearest]
    return Bunch(
        X=PatchExtractor(window_size=WINDOW, interpolation=interpolation).transform(
            sites
        ),
        judged=inside & ((variant >= 0) | unpolar),
        direction=turn + np.pi / 4 + np.pi / 2 * variant,
        n_fold=4 if unpolar else 1,
        antipolar=is_antipolar(data)[nearest],
        variant=np.where(inside, variant, -2),
        grain=data.grain[nearest] if "grain" in data else np.full(len(sites), -1),
        composition=data.composition[nearest],
        sites=sites,
    )


def match(sites, data, sublattice=1):
    """Index of the true column of each site, and whether one lies within 2 px."""
    true = np.flatnonzero(data.sublattice == sublattice)
    distance = np.linalg.norm(sites.positions[:, None] - data.positions[true], axis=2)
    return true[distance.argmin(axis=1)], distance.min(axis=1) < 2


def is_antipolar(data):
    """Columns whose nearest neighbours to the left and right are their opposites."""
    antipolar = np.zeros(len(data.variant), dtype=bool)
    for sublattice in (0, 1):
        own = np.flatnonzero(data.sublattice == sublattice)
        places, variant = data.positions[own], data.variant[own]
        d_row, d_col = np.moveaxis(places[:, None] - places, 2, 0)
        beside = (np.abs(d_row) < 7) & (np.abs(d_col) > 12) & (np.abs(d_col) < 28)
        opposite = (variant[:, None] - variant) % 4 == 2
        counted = (beside & opposite).sum(axis=1) >= np.maximum(1, beside.sum(axis=1))
        antipolar[own] = counted & (variant >= 0)
    return antipolar


def judge(angle, patches, chosen=None):
    """Share within 45°, resultant length and median error after one rotation.

    Parameters
    ----------
    angle : ndarray of shape (n,)
        Angles that a tool has found, radians.
    patches : Bunch
        As `make_patches` returns it.
    chosen : ndarray of shape (n,), bool, default=None
        Cells that count, all judged ones by default; the rotation is always that
        which fits all of them.

    Returns
    -------
    scores : dict
        `share`, `resultant` and `median` (degrees); `chance`, the share that the
        best constant angle has. With `n_fold` 4 the share is that within 11.25°.
    """
    n_fold, judged = int(patches.n_fold), patches.judged
    error = np.full(len(angle), np.nan)
    error[judged] = angular_error(
        patches.direction[judged], angle[judged], n_fold=n_fold, register=True
    )
    chosen = judged if chosen is None else judged & chosen
    error, limit = error[chosen], np.pi / (4 * n_fold)
    return {
        "share": float(np.mean(np.abs(error) < limit)),
        "resultant": float(np.abs(np.exp(1j * n_fold * error).mean())),
        "median": float(np.degrees(np.median(np.abs(error)))),
        "chance": _chance(patches.direction[chosen], n_fold, limit),
    }


def _chance(direction, n_fold, limit):
    period = 2 * np.pi / n_fold
    constants = np.arange(0, period, period / 360)[:, None]
    error = np.mod(direction - constants + period / 2, period) - period / 2
    return float((np.abs(error) < limit).mean(axis=1).max())


def relative_noise(name, seed=0):
    """Counting noise over the standard deviation of the noise-free windows."""
    noisy = generate(LEVELS[name], seed)
    clean = generate(LEVELS[name], seed, dose=np.inf)
    places = clean.positions[clean.sublattice == 1]
    extractor = PatchExtractor(
        window_size=WINDOW, interpolation="nearest", normalize=None
    )
    # Without noise the image is the expectation at the preset's dose; the detector's
    # offset does not depend on the dose.
    scale, shift = np.polyfit(clean.image.ravel(), noisy.image.ravel(), 1)
    seen, expected = (
        extractor.transform(AtomSites([image], places))
        for image in (noisy.image, scale * clean.image + shift)
    )
    return float(np.median((seen - expected).std(axis=1) / expected.std(axis=1)))
