"""Evidence that a crystal consists of two sublattices, and not of one.

Its columns alternate in brightness by more than errors and chance or, if they are
equally bright, the columns of one label are displaced relative to those of the other.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .neighbors import cage_displacement
from .ordered_sublattices import medians

# The median contrast of a region is at most this multiple of its mean.
_MAX_MEDIAN_RATIO = 2.0
# Two sublattices differ by this much in log brightness at least, by this many times
# the scatter within them, and neighbours rarely have the same label. Chance alone
# separates crystals of m columns by about 1 / sqrt(m), as label 0 is chosen in each.
_MIN_LOG_CONTRAST = 0.04
_MIN_SEPARATION_STD = 0.4
_CHANCE_SEPARATION_STD = 3
_MAX_FRUSTRATED_SHARE = 0.07
# Crystals of this many columns are evaluated separately.
_N_LARGE_CRYSTAL = 100
# If crystals are not two sublattices overall, a single crystal needs this separation
# (standard deviations), because some of many crystals alternate by chance.
MIN_LONE_SEPARATION_STD = 1.2
# A part of a crystal of this many columns is one sublattice if its contrast is below
# the minimum for two. A part is connected columns whose contrast, smoothed over about
# three spacings, and its size are below these shares of the best tenth of the image;
# only where that is this many times the minimum contrast are parts distinguished.
_MIN_N_FLAT_COLUMNS = 150
_FLAT_SHARE = 0.3
_FLAT_SIZE_SHARE = 0.5
_MIN_FLAT_RATIO = 4.0
_N_SMOOTHINGS = 6
# Sublattices of equal brightness are displaced relative to each other by this share of
# the spacing at least (5 pm in most perovskites), in complete shells of four around
# this share of the columns. Without a displacement they are one.
_N_BONDS = 4
_MIN_DISPLACEMENT_SPACINGS = 0.02
_MIN_KNOWN_SHARE = 0.5
# A difference in brightness below `_MIN_LOG_CONTRAST` is one of sublattices if it has
# this many standard errors in a large crystal and one sign in most regions. Amplitudes
# vary by less than a percent with the sampling by pixels.
_MIN_SLIGHT_LOG_CONTRAST = 0.012
_MIN_SLIGHT_STD = 6.0
_MIN_SLIGHT_SHARE = 0.85
# Labels are exchangeable if the mean difference in brightness has fewer standard
# errors than this.
_MIN_STD = 4.0


class ContrastEvidence(NamedTuple):
    """Contrast of labels over its scatter: overall, and for each column.

    Parameters
    ----------
    separation : float
        Contrast over its scatter, of all columns.
    of_crystal : ndarray of shape (n,)
        The same of the crystal of each column.
    bipartite : ndarray of bool of shape (n,)
        Whether hardly any neighbours in the crystal have the same label.
    distinct : ndarray of bool of shape (n,)
        Whether the crystal has two sublattices of different brightness.
    typical : ndarray of shape (n,)
        Median contrast of the region.
    """

    separation: float
    of_crystal: np.ndarray
    bipartite: np.ndarray
    distinct: np.ndarray
    typical: np.ndarray


def contrast_evidence(contrast, crystal, place, pairs, weight, same, nearest):
    """Compare the contrast along the bonds with its scatter in each crystal.

    Large crystals are evaluated separately, small ones together, or like the nearest
    large one if there are too few.

    Parameters
    ----------
    contrast : ndarray of shape (n,)
        Log brightness of a column less that of its neighbours, times its sign.
    crystal, place : ndarray of int of shape (n,)
        Crystal and region of each column.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds.
    weight : ndarray of shape (n_pairs,)
        Their weights.
    same : ndarray of bool of shape (n_pairs,)
        Whether their ends have the same label.
    nearest : Nearest
        Neighbours of the columns.

    Returns
    -------
    evidence : ContrastEvidence
        The contrast, and which columns are of two sublattices.
    """
    n_columns, n_crystals = len(contrast), crystal.max() + 1
    bonded = np.bincount(pairs.ravel(), minlength=n_columns) > 0
    size = np.bincount(crystal[bonded], minlength=n_crystals)
    # Regions of crystals, because differences between regions are not scatter.
    region = np.unique(crystal * (place.max() + 1) + place, return_inverse=True)[1]
    contrast = np.where(bonded, contrast, 0)
    median = medians(contrast, region)
    # The median of two levels that do not alternate, as in stripes, is one of them.
    mean = np.bincount(region, contrast) / np.bincount(region)
    bound = _MAX_MEDIAN_RATIO * np.abs(mean)
    median = np.clip(median, -bound, bound)[region]
    off = np.abs(contrast - median)
    chance = 1 / np.sqrt(np.maximum(size, 1))[crystal]

    def evaluate(own):
        middle = float(np.median(np.abs(median[own])))
        scatter = 1.4826 * float(np.median(off[own]))
        is_two = middle > _MIN_LOG_CONTRAST and _is_two(
            middle, scatter, chance[own].mean()
        )
        return middle / max(scatter, 1e-9), is_two

    overall, is_any = evaluate(bonded)
    least = 0 if is_any else MIN_LONE_SEPARATION_STD
    large = (size >= _N_LARGE_CRYSTAL)[crystal]
    evaluated = np.where(large, crystal + 1, 0)
    # Share of bonds within each of these that join equal labels.
    ends = evaluated[pairs]
    inside = ends[:, 0] == ends[:, 1]
    amount = np.bincount(ends[inside, 0], weight[inside], n_crystals + 1)
    like = np.bincount(ends[inside, 0], (weight * same)[inside], n_crystals + 1)
    bipartite = (like < _MAX_FRUSTRATED_SHARE * np.maximum(amount, 1e-9))[evaluated]
    separation, distinct = np.zeros(n_columns), np.zeros(n_columns, dtype=bool)
    for number in np.unique(evaluated[bonded]):
        own = evaluated == number
        if np.count_nonzero(own) < _N_LARGE_CRYSTAL and large.any():
            continue
        separation[own], is_two = evaluate(own & bonded)
        distinct[own] = is_two and separation[own][0] > least
    distinct &= bipartite
    # Where many small ones do not alternate either, they are another crystal.
    follow = bipartite[~large].all() or np.count_nonzero(~large) < _N_LARGE_CRYSTAL
    if large.any() and not large.all() and not distinct[~large].any() and follow:
        known = np.flatnonzero(large)
        _, index = cKDTree(nearest.positions[known]).query(nearest.positions[~large])
        distinct[~large] = distinct[known[index]]
    distinct &= large | ~_are_enclosed(contrast, crystal, large & ~distinct, pairs)
    return ContrastEvidence(overall, separation, bipartite, distinct, median)


def _are_enclosed(contrast, crystal, of_one_kind, pairs):
    """Find crystals with most bonds to one sublattice that do not clearly alternate.

    In noise, the alternation is not continued by a few columns of a large crystal.
    """
    size = np.bincount(crystal)
    mean, square = (
        np.bincount(crystal, part) / size for part in (contrast, contrast**2)
    )
    scatter = np.sqrt(np.maximum(square - mean**2, 0))
    # The scatter within a few columns is hardly known.
    least = contrast[of_one_kind].std() if of_one_kind.any() else np.inf
    error = _standard_error(np.maximum(scatter, least), size)
    unclear = mean < _MIN_STD * error
    both = np.concatenate([pairs, pairs[:, ::-1]])
    first, second = both[np.diff(crystal[both], axis=1)[:, 0] != 0].T
    outward = np.bincount(crystal[first], minlength=len(size))
    n_before, enclosed = -1, of_one_kind
    while np.count_nonzero(enclosed) > n_before:
        n_before = np.count_nonzero(enclosed)
        enclosing = np.bincount(crystal[first], enclosed[second], len(size))
        enclosed = of_one_kind | (unclear & (enclosing > 0.5 * outward))[crystal]
    return enclosed & ~of_one_kind


def flat_parts(contrast, evidence, graph, pairs):
    """Find parts of crystals without contrast.

    Where a metal continues the lattice of a compound, labels extend into it. At
    an interface that exchanges the order of brightness contrast is never small in a
    large area.

    Parameters
    ----------
    contrast, pairs
        As in `contrast_evidence`.
    evidence : ContrastEvidence
        Its result.
    graph : csr_array of shape (n, n)
        Weights of the neighbours of each column, rows summing to 1.

    Returns
    -------
    flat : ndarray of int of shape (n,)
        Number of the part of each column, from 1; 0 elsewhere.
    """
    flat = np.zeros(len(contrast), dtype=np.intp)
    typical = np.percentile(np.abs(evidence.typical), 90)
    candidates = evidence.distinct & (np.abs(evidence.typical) < _FLAT_SHARE * typical)
    if (
        typical < _MIN_FLAT_RATIO * _MIN_LOG_CONTRAST
        or np.count_nonzero(candidates) < _MIN_N_FLAT_COLUMNS / 2
    ):
        return flat
    mean, size = contrast, np.abs(contrast)
    for _ in range(_N_SMOOTHINGS):
        mean, size = (0.5 * (part + graph @ part) for part in (mean, size))
    candidates = evidence.distinct & (np.abs(mean) < _FLAT_SHARE * typical)
    candidates &= size < _FLAT_SIZE_SHARE * typical
    ends = pairs[candidates[pairs].all(axis=1)]
    n = len(contrast)
    links = csr_array((np.ones(len(ends)), ends.T), shape=(n, n))
    _, part = connected_components(links, directed=False)
    count = np.bincount(part[candidates], minlength=part.max() + 1)
    for number in np.flatnonzero(count >= _MIN_N_FLAT_COLUMNS):
        own = candidates & (part == number)
        if np.abs(np.median(contrast[own])) < _MIN_LOG_CONTRAST:
            flat[own] = 1 + flat.max()
    return flat


def _is_two(difference, scatter, chance):
    """Check that a difference is beyond its scatter and beyond chance."""
    separation = difference / max(scatter, 1e-9)
    return separation > _MIN_SEPARATION_STD + _CHANCE_SEPARATION_STD * chance


def are_displaced(sign, crystal, place, nearest, graph, n_bonds, spacing):
    """Find crystals where one sublattice is displaced relative to the other.

    Displaced columns have asymmetric surroundings, those of the two sublattices
    in opposite directions. On a lattice of one kind of column with a square cell,
    nothing but errors alternates from column to column.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        1 for label 0, -1 for label 1.
    crystal, place : ndarray of int of shape (n,)
        Crystal and region of each column.
    nearest : Nearest
        Neighbours of the columns.
    graph : csr_array of shape (n, n)
        Weights of the neighbours of each column, rows summing to 1.
    n_bonds : ndarray of int of shape (n,)
        Number of neighbours of each column.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    displaced : ndarray of bool of shape (n,)
        Columns of such crystals.
    """
    positions = nearest.positions
    offset = positions - graph @ positions
    offset[n_bonds != _N_BONDS] = np.nan
    displaced = _alternates(sign, crystal, place, offset, spacing)
    if not displaced.any():
        return displaced
    # The shell of four has the other label, surrounds the column and is equally far.
    label = np.where(sign > 0, 0, 1)
    displacement = cage_displacement(positions, label, spacing)
    return _alternates(sign, crystal, place, displacement, spacing)


def orient_labels(sign, crystal, positions, spacing):
    """Choose which of two equally bright sublattices is label 0, in each crystal.

    The choice depends on the geometry alone, so that it is the same in each frame of a
    stack: the mean displacement of label 1 points to larger columns, or to larger rows
    if it is mostly along these. If there is no mean displacement, the column nearest
    to the first pixel has label 0.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        1 for label 0, -1 for label 1.
    crystal : ndarray of int of shape (n,)
        Crystal of each column.
    positions : ndarray of shape (n, 2)
        Columns, px.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    sign : ndarray of shape (n,)
        The same, or exchanged in a crystal.
    """
    displacement = cage_displacement(positions, np.where(sign > 0, 0, 1), spacing)
    known = np.isfinite(displacement).all(axis=1)
    sign = sign.copy()
    for number in np.unique(crystal):
        own = np.flatnonzero(crystal == number)
        used = own[known[own]]
        factor = sign[own[np.hypot(*positions[own].T).argmin()]]
        if len(used):
            along = -sign[used, None] * displacement[used]
            mean, error = along.mean(axis=0), along.std(axis=0) / np.sqrt(len(used))
            axis = int(np.abs(mean[1]) >= np.abs(mean[0]))
            if np.abs(mean[axis]) > _MIN_STD * error[axis]:
                factor = np.sign(mean[axis])
        sign[own] *= factor
    return sign


def _alternates(sign, crystal, place, displacement, spacing):
    """Find crystals where displacements alternate by more than errors and chance."""
    known = np.isfinite(displacement).all(axis=1)
    displaced = np.zeros(len(sign), dtype=bool)
    for number in np.flatnonzero(np.bincount(crystal) >= _N_LARGE_CRYSTAL):
        own = crystal == number
        used = own & known
        if np.count_nonzero(used) < _MIN_KNOWN_SHARE * np.count_nonzero(own):
            continue
        alternating = sign[used, None] * displacement[used]
        region = np.unique(place[used], return_inverse=True)[1]
        size = np.bincount(region)
        mean = np.stack(
            [np.bincount(region, part) / size for part in alternating.T], axis=1
        )
        variance = np.mean(((alternating - mean[region]) ** 2).sum(axis=1))
        # A mean of m columns has a share of 1 / m of the variance by chance.
        squared = (mean**2).sum(axis=1) - variance / size
        length = np.sqrt(max(np.average(squared, weights=size), 0))
        displaced[own] = length > _MIN_DISPLACEMENT_SPACINGS * spacing and _is_two(
            length, np.sqrt(variance), 1 / np.sqrt(size.sum())
        )
    return displaced


def differ_slightly(contrast, crystal, place, bonded):
    """Find large crystals where a slight contrast is beyond errors everywhere.

    Parameters
    ----------
    contrast, crystal, place
        As in `contrast_evidence`.
    bonded : ndarray of bool of shape (n,)
        Columns that have neighbours.

    Returns
    -------
    slight : ndarray of bool of shape (n,)
        Columns of such crystals.
    """
    slight = np.zeros(len(contrast), dtype=bool)
    for number in np.flatnonzero(np.bincount(crystal) >= _N_LARGE_CRYSTAL):
        own = bonded & (crystal == number)
        if np.count_nonzero(own) < _N_LARGE_CRYSTAL:
            continue
        # Outliers, such as columns over a defect, are limited.
        values = contrast[own]
        middle = np.median(values)
        scatter = 1.4826 * np.median(np.abs(values - middle))
        values = np.clip(values, middle - 3 * scatter, middle + 3 * scatter)
        mean = values.mean()
        error = _standard_error(values.std(), len(values))
        region = np.unique(place[own], return_inverse=True)[1]
        size = np.bincount(region)
        positive = np.bincount(region, values) > 0
        share = np.average(positive, weights=size)
        slight[crystal == number] = (
            mean > _MIN_SLIGHT_LOG_CONTRAST
            and mean > _MIN_SLIGHT_STD * error
            and share > _MIN_SLIGHT_SHARE
        )
    return slight


def differ_in_brightness(contrast):
    """Check that the mean contrast is beyond its standard error."""
    error = _standard_error(contrast.std(), len(contrast))
    return contrast.mean() > _MIN_STD * error


def _standard_error(scatter, size):
    """Return the standard error of the mean contrast of crystals."""
    # A column contributes itself and as a neighbour: errors of contrasts have variance
    # 1.25, their mean is twice that of as many independent errors.
    return 2 / np.sqrt(1.25) * scatter / np.sqrt(size)
