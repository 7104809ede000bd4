"""Sublattices of an ordered crystal, beyond two.

A sublattice consists of several if the brightness of its columns alternates
periodically, as in ordered perovskites or perovskites that show oxygen. Each column of
a sublattice belongs to one of four classes, by whether its indices along the two
lattice vectors are even or odd. Classes whose brightness differs clearly everywhere in
a crystal are sublattices. Where antiphase
boundaries exchange the classes, two distinct levels of brightness are divided if
translations of the lattice conserve them.

Layers and domains of another composition have levels of brightness, too. Columns
of one class are then not equally bright, and no translation conserves the levels.
"""

from typing import NamedTuple

import numpy as np
from skimage.filters import threshold_otsu

from .._utils.robust import STD_PER_MEDIAN
from .local_lattice import lattice_vectors, vectors_of_one_sublattice
from .neighbor_graph import accumulate, spanning_forest
from .neighbors import Nearest

# Brightness and displacement may differ between regions of this many spacings.
REGION_SPACINGS = 8
MAX_SUBLATTICES = 4
# Columns of a sublattice that may be two, and minimum share of each of these.
_MIN_SUBLATTICE_COLUMNS = 60
_MIN_SUBLATTICE_SHARE = 0.2
# Brightness is compared with the mean over this number of nearest columns of the same
# sublattice.
_N_COMPARED_COLUMNS = 12
_N_ROUNDS = 2
# The levels differ by this much in log brightness, and by this many standard deviations
# within them: 2.6 for the halves of a normal distribution, 3.5 for a uniform one.
MIN_GAP_LOG = 0.08
_MIN_GAP_STD = 4.5
# Classes of columns in a crystal of this many columns are compared. Their mean log
# brightness differs by `MIN_GAP_LOG`, by this many standard errors, by this multiple of
# the standard deviation within the classes, and has the same order in this share of
# the regions of `REGION_SPACINGS` of the sublattice. Tilts and antipolar displacements
# alternate, too, and change the heights of columns: by 2.5 standard deviations in an
# image of DyScO3.
_MIN_CRYSTAL_COLUMNS = 24
_MIN_STANDARD_ERRORS = 6.0
_MIN_ALTERNATING_GAP_STD = 3.5
# Deviations of defects are limited to this multiple of the median deviation.
_MAX_DEVIATION_RATIO = 4.0
_MIN_REGION_SHARE = 0.85
# Within the classes, brightness differs at random: two steps along a lattice vector the
# correlation is below this. In layers of another composition it is 0.9 and more.
_MAX_CORRELATION = 0.5
# Smaller differences between the classes are reported, because they may be those of
# species, from this logarithm on: amplitudes vary by less than that with the sampling
# by pixels. They are clear from this multiple of the standard deviation within the
# classes on, more than in tilted crystals. Where no sublattice alternates as in these,
# once the standard deviation suffices.
_MIN_REPORTED_GAP_LOG = 0.012
_CLEAR_GAP_STD = 3.0
_LEAST_CLEAR_GAP_STD = 1.0
# Distinct levels that are not divided are reported if neighbours along a lattice vector
# differ more often than at random, by this factor and by `_MIN_STANDARD_ERRORS`.
_MIN_UNLIKE_RATIO = 1.25
# Translations by the lattice vectors of each part lead to columns of the same part in
# this share of the cases; a column within this share of the shorter vector counts.
_MIN_PERIODIC_SHARE = 0.93
_SAME_PLACE_SHARE = 0.3
# On a honeycomb most columns have three bonds, whose third moment is 1 or -1.
_N_HONEYCOMB_BONDS = 3
_MIN_HONEYCOMB_SHARE = 0.5
_MIN_BOND_MOMENT = 0.5


class UndividedLevels(NamedTuple):
    """Levels of brightness within a sublattice that was not divided.

    Parameters
    ----------
    sublattice : int
        Its label.
    difference : float
        Difference of the levels, relative to the brightness.
    is_periodic : bool
        Whether the levels alternate periodically, by less than sublattices need;
        otherwise they are distinct, but their order is interrupted.
    separation : float
        Difference over the standard deviation within the levels.
    is_clear : bool
        Whether species are a likely cause; otherwise tilts or antipolar displacements
        are.
    """

    sublattice: int
    difference: float
    is_periodic: bool
    separation: float
    is_clear: bool = True


def split_ordered(label, positions, log_brightness, spacing, members):
    """Divide sublattices that are two of different brightness, up to four in all.

    Parameters
    ----------
    label : ndarray of int of shape (n,)
        Sublattices, 0 = the brightest.
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    log_brightness : ndarray of shape (n,)
        Logarithm of their brightness.
    spacing : float
        Nearest-neighbour spacing, px.
    members : dict of tuple
        Result of `sublattice_members` for labels and positions.

    Returns
    -------
    label : ndarray of int of shape (n,)
        The sublattices in the order of their brightness; the same as before if none
        is divided.
    undivided : list of UndividedLevels
        Sublattices that may be several, but were not divided.
    """
    before = label
    to_do = [(number, nearest) for number, (_, nearest) in members.items()]
    undivided = []
    while to_do and label.max() + 1 < MAX_SUBLATTICES:
        number, nearest = to_do.pop(0)
        rows = np.flatnonzero(label == number)
        if len(rows) < _MIN_CRYSTAL_COLUMNS:
            continue
        own = nearest or Nearest(positions[rows]), log_brightness[rows]
        part, found = _divide(*own, MAX_SUBLATTICES - label.max())
        if part is not None:
            label = label.copy()
            new = label.max() + 1
            label[rows[part > 0]] = label.max() + part[part > 0]
            to_do += [] if part.dtype != bool else [(number, None), (new, None)]
        elif found is not None:
            undivided.append(found._replace(sublattice=number))
    undivided = _judge(undivided)
    if label is before:
        return label, undivided
    level = regional_levels(log_brightness, positions, label, spacing)
    order = np.argsort(np.argsort(-level))
    undivided = [
        found._replace(sublattice=int(order[found.sublattice])) for found in undivided
    ]
    return order[label], undivided


def undivided_levels(label, positions, log_brightness):
    """Find sublattices that may be several.

    Parameters
    ----------
    label : ndarray of int of shape (n,)
        Sublattices.
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    log_brightness : ndarray of shape (n,)
        Logarithm of their brightness.

    Returns
    -------
    undivided : list of UndividedLevels
        Those whose brightness alternates.
    """
    undivided = []
    for number in range(label.max(initial=-1) + 1):
        rows = np.flatnonzero(label == number)
        if len(rows) < _MIN_CRYSTAL_COLUMNS:
            continue
        _, found = _divide(Nearest(positions[rows]), log_brightness[rows], 2)
        if found is not None:
            undivided.append(found._replace(sublattice=number))
    return _judge(undivided)


def describe_undivided(found):
    """Describe levels of brightness within a sublattice.

    Parameters
    ----------
    found : UndividedLevels
        The levels.

    Returns
    -------
    text : str
        A clause of a sentence.
    """
    amount = f"{100 * found.difference:.1f} %"
    if found.is_periodic:
        return (
            f"the brightness of sublattice {found.sublattice} alternates from column "
            f"to column by {amount} ({found.separation:.1f} times its scatter)"
        )
    return (
        f"sublattice {found.sublattice} has two levels of brightness, {amount} apart, "
        "that alternate from column to column with many interruptions, as by antiphase "
        "boundaries"
    )


def _judge(undivided):
    """Set `is_clear` of each: whether different species are a likely cause."""
    is_tilted = any(
        found.is_periodic
        and found.difference > MIN_GAP_LOG
        and found.separation < _CLEAR_GAP_STD
        for found in undivided
    )
    least = _CLEAR_GAP_STD if is_tilted else _LEAST_CLEAR_GAP_STD
    return [
        found._replace(is_clear=bool(found.separation > least)) for found in undivided
    ]


def _divide(nearest, log_brightness, max_classes):
    """Divide a sublattice by its classes, or by two levels of brightness.

    Return the class of each column, of type bool if they may be divided further, or
    None; and the levels for which it was not divided, or None.
    """
    positions = nearest.positions
    if len(positions) < _MIN_CRYSTAL_COLUMNS or max_classes < 2:
        return None, None
    lattice = _index_parities(nearest)
    part, small = _ordered_classes(positions, log_brightness, lattice, max_classes)
    if part is not None:
        return part, None
    levels = _two_levels(nearest, log_brightness)
    if levels is not None:
        if _are_lattices(nearest, levels.faint):
            return levels.faint, None
        if _are_short_range_ordered(levels.faint, lattice.neighbors):
            difference = float(1 - np.exp(-levels.gap))
            return None, UndividedLevels(0, difference, False, levels.separation)
    return None, small


def _ordered_classes(positions, log_brightness, lattice, max_classes):
    """Divide the columns of one lattice by the parity of their indices.

    Return the number of the class of each column, 0 = the brightest and in crystals
    that are not ordered; None if no crystal is ordered. Also return the levels of the
    largest crystal if they differ significantly, but too little.
    """
    contrast = _parity_contrast(log_brightness, lattice.neighbors)
    part = np.zeros(len(positions), dtype=np.intp)
    size = np.bincount(lattice.crystal)
    largest, levels = size.argmax(), None
    for number in np.flatnonzero(size >= _MIN_CRYSTAL_COLUMNS):
        own = np.flatnonzero(lattice.crystal == number)
        part[own], small = _classes_of_crystal(
            lattice, contrast, positions, own, max_classes
        )
        if number == largest:
            levels = small
    return part if part.any() else None, levels


class _ParityLattice(NamedTuple):
    """Columns of a sublattice as points of their lattice.

    Parameters
    ----------
    neighbors : ndarray of int of shape (n, 3, 3)
        Columns one step along a and b, the middle being the column; -1 for none.
    parity : ndarray of int of shape (n,)
        Class of each column, from 0 to 3, in its crystal.
    crystal : ndarray of int of shape (n,)
        Number of the crystal.
    spacing : float
        Median length of the shorter vector, px.
    """

    neighbors: np.ndarray
    parity: np.ndarray
    crystal: np.ndarray
    spacing: float


def _index_parities(nearest):
    """Find the neighbours along the lattice vectors, and the parity of each column."""
    positions = nearest.positions
    n = len(positions)
    vectors = vectors_of_one_sublattice(nearest)
    known = np.isfinite(vectors).all(axis=(1, 2))
    steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
    neighbors = np.full((n, 3, 3), -1)
    neighbors[:, 1, 1] = np.arange(n)
    spacing = np.nan
    if known.any():
        length = np.hypot(*np.moveaxis(vectors[known], -1, 0)).min(axis=1)
        spacing = float(np.median(length))
        places = positions[known][:, None] + steps @ vectors[known]
        limit = _SAME_PLACE_SHARE * length[:, None]
        distance, index = nearest.tree.query(
            places, distance_upper_bound=float(limit.max())
        )
        index = np.where(distance < limit, index, -1)
        for (i, j), ends in zip(1 + steps, index.T, strict=True):
            neighbors[known, i, j] = ends
    # A step is one of the lattice if the reverse step leads back.
    one_way = neighbors.copy()
    for i, j in 1 + steps:
        back = one_way[one_way[:, i, j], 2 - i, 2 - j]
        neighbors[back != np.arange(n), i, j] = -1
    pairs, along = [], []
    for axis, ends in enumerate((neighbors[:, 2, 1], neighbors[:, 1, 2])):
        start = np.flatnonzero(ends >= 0)
        pairs.append(np.sort(np.stack([start, ends[start]], axis=1), axis=1))
        along.append(np.full(len(start), 1 + axis))
    code, first = np.unique(np.concatenate(pairs) @ [n, 1], return_index=True)
    along = np.concatenate(along)[first]
    forest = spanning_forest(n, np.stack(np.divmod(code, n), axis=1))
    change = np.zeros(n, dtype=np.intp)
    inner = forest.edge >= 0
    change[inner] = along[forest.edge[inner]]
    parity = accumulate(forest.parent, change, np.bitwise_xor)
    return _ParityLattice(neighbors, parity, forest.part, spacing)


def _parity_contrast(values, neighbors):
    """Subtract the mean around each column, in which the four classes count equally.

    NaN for columns that lack the neighbours of a class.
    """
    found = np.where(neighbors >= 0, values[neighbors], np.nan)
    # Where a neighbour lacks its opposite, a gradient would not cancel.
    found = np.where(np.isnan(found[:, ::-1, ::-1]), np.nan, found)
    groups = (
        found[:, 1, [1]],
        found[:, [0, 2], 1],
        found[:, 1, [0, 2]],
        found[:, [0, 0, 2, 2], [0, 2, 0, 2]],
    )
    mean = 0.0
    for group in groups:
        count = np.isfinite(group).sum(axis=1)
        total = np.nansum(group, axis=1)
        mean = mean + np.where(count > 0, total / np.maximum(count, 1), np.nan) / 4
    return values - mean


def _classes_of_crystal(lattice, contrast, positions, own, max_classes):
    """Return the classes of the columns of one crystal, all 0 if it is not ordered.

    Also return the levels if they differ significantly, but too little.
    """
    nothing = np.zeros(len(own), dtype=np.intp), None
    parity, value = lattice.parity[own], contrast[own]
    known = np.isfinite(value)
    size = np.bincount(parity[known], minlength=4)
    if np.count_nonzero(known) < _MIN_CRYSTAL_COLUMNS or size.min() < 4:
        return nothing
    value, parity_known = value[known], parity[known]
    level = np.array([np.median(value[parity_known == k]) for k in range(4)])
    rest = np.full(len(contrast), np.nan)
    rest[own[known]] = value - level[parity_known]
    if _correlation(rest, lattice.neighbors) > _MAX_CORRELATION:
        return nothing
    rest = rest[own[known]]
    limit = _MAX_DEVIATION_RATIO * np.median(np.abs(rest))
    square = np.sum(np.clip(rest, -limit, limit) ** 2)
    scatter = np.sqrt(square / (len(rest) - 4))
    order = np.argsort(-level)
    gap = -np.diff(level[order])
    # Medians of normally distributed values have 1.25 times the error of means.
    error = 1.25 * scatter * np.sqrt(1 / size[order[1:]] + 1 / size[order[:-1]])
    is_certain = (gap > _MIN_STANDARD_ERRORS * error) & (gap > _MIN_REPORTED_GAP_LOG)
    region = places(positions[own[known]], REGION_SPACINGS * lattice.spacing)
    cell, inverse = np.unique(region * 4 + parity_known, return_inverse=True)
    regional = np.full((region.max() + 1, 4), np.nan)
    regional.flat[cell] = medians(value, inverse)
    for place in np.flatnonzero(is_certain):
        difference = regional[:, order[place]] - regional[:, order[place + 1]]
        both = np.isfinite(difference)
        weight = np.bincount(region)[both]
        is_certain[place] = both.any() and (
            np.average(difference[both] > 0, weights=weight) > _MIN_REGION_SHARE
        )
    distinct = is_certain & (
        gap > np.maximum(MIN_GAP_LOG, _MIN_ALTERNATING_GAP_STD * scatter)
    )
    if not distinct.any():
        if not is_certain.any():
            return nothing
        largest = gap[is_certain].max()
        difference = float(1 - np.exp(-largest))
        return nothing[0], UndividedLevels(
            0, difference, True, float(largest / scatter)
        )
    while np.count_nonzero(distinct) > max_classes - 1:
        distinct[np.argmin(np.where(distinct, gap, np.inf))] = False
    rank = np.empty(4, dtype=np.intp)
    rank[order] = np.concatenate([[0], np.cumsum(distinct)])
    return rank[parity], None


def _correlation(values, neighbors):
    """Return the greatest correlation of values two steps along a lattice vector."""
    found = [0.0]
    for ends in (neighbors[:, 2, 1], neighbors[:, 1, 2]):
        second = np.where(ends >= 0, ends[ends], -1)
        distant = np.where(second >= 0, values[second], np.nan)
        both = np.isfinite(values) & np.isfinite(distant)
        if np.count_nonzero(both) <= _MIN_CRYSTAL_COLUMNS / 2:
            continue
        square = np.sqrt(np.mean(values[both] ** 2) * np.mean(distant[both] ** 2))
        if square > 0:
            found.append(np.mean(values[both] * distant[both]) / square)
    return max(found)


class _TwoLevels(NamedTuple):
    """Two distinct levels: the fainter columns, difference, and separation."""

    faint: np.ndarray
    gap: float
    separation: float


def _two_levels(nearest, log_brightness):
    """Find two distinct levels among the columns of a sublattice, else return None.

    Columns are compared with those around.
    """
    positions = nearest.positions
    if len(positions) < _MIN_SUBLATTICE_COLUMNS:
        return None
    _, near = nearest.tree.query(positions, _N_COMPARED_COLUMNS + 1)
    level = log_brightness
    for _ in range(_N_ROUNDS):
        value = log_brightness - level[near].mean(axis=1)
        if np.ptp(value) == 0:
            return None
        faint = value < threshold_otsu(value)
        if not _MIN_SUBLATTICE_SHARE < faint.mean() < 1 - _MIN_SUBLATTICE_SHARE:
            return None
        # The threshold may be anywhere in the gap.
        faint = value < (np.median(value[faint]) + np.median(value[~faint])) / 2
        levels = [np.median(value[part]) for part in (~faint, faint)]
        # At a border, the nearest columns may be of one part mostly.
        level = log_brightness - np.where(faint, levels[1], levels[0])
    scatter = np.hypot(
        *(
            STD_PER_MEDIAN
            * np.median(np.abs(value[part] - level))
            * np.sqrt(part.mean())
            for part, level in zip((~faint, faint), levels, strict=True)
        )
    )
    gap = levels[0] - levels[1]
    if gap < max(MIN_GAP_LOG, _MIN_GAP_STD * scatter):
        return None
    return _TwoLevels(faint, gap, float(gap / max(scatter, 1e-9)))


def _are_lattices(nearest, faint):
    """Check that the fainter columns and the others are lattices of their own."""
    positions, tree = nearest.positions, nearest.tree
    vectors = lattice_vectors(positions, faint.astype(np.intp))
    return all(
        _periodic_share(positions, part, vectors, tree) >= _MIN_PERIODIC_SHARE
        for part in (faint, ~faint)
    )


def _are_short_range_ordered(faint, neighbors):
    """Check that neighbours along a lattice vector differ more often than at random.

    Layers and domains of another composition contain neighbours of the same level.
    """
    at_random = 2 * faint.mean() * (1 - faint.mean())
    for ends in (neighbors[:, 2, 1], neighbors[:, 1, 2]):
        start = np.flatnonzero(ends >= 0)
        if not len(start):
            continue
        unlike = np.mean(faint[start] != faint[ends[start]])
        error = np.sqrt(at_random * (1 - at_random) / len(start))
        if unlike > max(
            _MIN_UNLIKE_RATIO * at_random, at_random + _MIN_STANDARD_ERRORS * error
        ):
            return True
    return False


def _periodic_share(positions, part, vectors, tree):
    """Return how often lattice vectors lead from columns of a part to such columns."""
    own = part & np.isfinite(vectors).all(axis=(1, 2))
    # Most columns of a crystal have a lattice.
    if 2 * np.count_nonzero(own) < np.count_nonzero(part):
        return 0.0
    own_vectors = vectors[own]
    steps = np.concatenate([own_vectors, -own_vectors], axis=1)
    ends = positions[own][:, None] + steps
    length = np.hypot(*np.moveaxis(own_vectors, -1, 0)).min(axis=1)
    distance, index = tree.query(ends)
    found = distance < _SAME_PLACE_SHARE * length[:, None]
    return float(part[index[found]].mean()) if found.any() else 0.0


def differ_in_bonds(sign, crystal, pairs, nearest, n_bonds):
    """Find large crystals whose columns have three bonds that alternate in direction.

    On a honeycomb, the bonds of one sublattice point opposite to those of the other.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        1 or -1 for the two sublattices.
    crystal : ndarray of int of shape (n,)
        Crystal of each column.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds.
    nearest : Nearest
        Neighbours of the columns.
    n_bonds : ndarray of int of shape (n,)
        Number of bonds of each column.

    Returns
    -------
    differ : ndarray of bool of shape (n,)
        True for the columns of such crystals.
    """
    vector = np.diff(nearest.positions[pairs], axis=1)[:, 0]
    third = ((vector[:, 1] + 1j * vector[:, 0]) / np.hypot(*vector.T)) ** 3
    moment = np.zeros(len(sign), dtype=complex)
    np.add.at(moment, pairs[:, 0], third)
    np.add.at(moment, pairs[:, 1], -third)
    alternating = sign * moment / np.maximum(n_bonds, 1)
    differ = np.zeros(len(sign), dtype=bool)
    for number in np.flatnonzero(np.bincount(crystal) >= _MIN_SUBLATTICE_COLUMNS):
        own = crystal == number
        share = np.mean(n_bonds[own] == _N_HONEYCOMB_BONDS)
        differ[own] = (
            share > _MIN_HONEYCOMB_SHARE
            and np.abs(alternating[own].mean()) > _MIN_BOND_MOMENT
        )
    return differ


def places(positions, region):
    """Return the number of the square region of each column."""
    place = np.floor((positions - positions.min(axis=0)) / region).astype(np.intp)
    return np.unique(place @ [place[:, 1].max() + 1, 1], return_inverse=True)[1]


def medians(values, group):
    """Return the upper median of each group."""
    order = np.lexsort((values, group))
    size = np.bincount(group)
    return values[order[np.cumsum(size) - size + size // 2]]


def regional_levels(log_brightness, positions, label, spacing):
    """Return the level of each sublattice relative to the others in the same regions.

    Differences between regions do not contribute.
    """
    n_labels = label.max() + 1
    place = places(positions, REGION_SPACINGS * spacing)
    cell, own = np.unique(place * n_labels + label, return_inverse=True)
    levels = np.full((place.max() + 1, n_labels), np.nan)
    levels.flat[cell] = medians(log_brightness, own)
    whole = np.isfinite(levels).all(axis=1)
    levels = levels[whole] if whole.any() else levels
    return np.nanmedian(levels - np.nanmean(levels, axis=1, keepdims=True), axis=0)
