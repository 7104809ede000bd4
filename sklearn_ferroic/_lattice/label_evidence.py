"""Evidence of brightness and of bonds for sublattice labels, column by column.

Both are log-likelihood ratios. Bonds imply that nearest neighbours have different
labels, which is wrong at planar faults and substitutions. Brightness implies one of two
local levels, which is wrong where the composition changes. Labels from the alternation
along bonds are replaced by those of the brightness where levels are clear and the sum
of both supports it, for each group of columns: a row at a planar fault, a slab between
two faults, a single substituted column.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .brightness_levels import MAX_EVIDENCE_NATS, Tiles, brightness_levels
from .crystal_interfaces import have_same_levels

# Log-likelihood ratio of one full bond: one nearest neighbour in eight or so has the
# same label where a label is in doubt at all.
BOND_EVIDENCE_NATS = 2.0
# Brightness contradicts a label if a column differs from its neighbours by less than
# this share of the typical difference. Next to a planar fault, half of it remains.
_CONTRADICTION_SHARE = 0.35
# Neighbours of different label outnumber equal ones by this share at least where two
# brightness classes are sublattices. Chance makes it 0.5; two adjacent rows of A for
# each of B make it 0.67.
_MIN_UNLIKE_SHARE = 0.58
# Columns within this many spacings belong to one group: second neighbours included.
_GROUP_REACH_SPACINGS = 1.6
# Levels inside and outside a group are compared this far from its boundary, spacings.
_COMPARED_REACH_SPACINGS = 6.0
# Composition changes gradually if, within this many spacings of the boundary of a large
# group, this share of the columns has neither level.
_BOUNDARY_REACH_SPACINGS = 1.5
_MAX_UNCLEAR_SHARE = 0.35
_LARGE_GROUP_COLUMNS = 30
# A group is one sublattice of a region whose other sublattice is as bright, and not a
# planar fault, if more than this share of it has no first neighbours in the group and
# these have more second neighbours there than the columns of a row.
_MAX_PATCH_SHARE = 0.3
_ROW_NEIGHBORS = 2.05
# The same condition from outside: of the second neighbours that keep the label, this
# share at least has clearly the other level.
_MIN_CONFIRMED_SHARE = 0.3
# Groups smaller than this, which would gain less than this per column if all had four
# bonds, because the lattice is regular around them, are exchanged only with this many
# full bonds per column (at the edge of a crystal columns are dim because they are
# thin), and only if levels differ by this many standard deviations (single amplitudes
# have outliers).
_FEW_COLUMNS = 4
_FULL_COORDINATION_BONDS = 4.0
_MIN_LONE_GAIN_NATS = 6.0
_MIN_COORDINATION_BONDS = 3.0
_LONE_RATIO = 6.0
# A label is doubtful if its probability is below 0.9, ...
_DOUBTFUL_NATS = float(np.log(0.9 / 0.1))
# which bonds alone exclude at this value, half of a full set, ...
_SUFFICIENT_NATS = 2 * BOND_EVIDENCE_NATS
# ... or if brightness or bonds alone favour the other label by odds of 100 to 1.
_CONFLICT_NATS = float(np.log(100))


def contradicted(contrast, typical):
    """Check which labels are contradicted by brightness against the neighbours.

    Parameters
    ----------
    contrast : ndarray of shape (n,)
        Log brightness less that of the neighbours, times −1 for the dimmer label.
    typical : ndarray of shape (n,)
        Median contrast of the region.

    Returns
    -------
    contradicted : ndarray of bool of shape (n,)
        Columns whose brightness must be examined.
    """
    return contrast < _CONTRADICTION_SHARE * typical


class ClearLevels(NamedTuple):
    """Brightness evidence of columns.

    Parameters
    ----------
    evidence : ndarray of shape (n,)
        Log-likelihood ratio of the upper against the lower level.
    is_known : ndarray of bool of shape (n,)
        Columns in the windows that were fitted.
    is_clear : ndarray of bool of shape (n,)
        Columns where levels are distinct without other evidence, and alternate.
    ratio : ndarray of shape (n,)
        Difference of the levels over the standard deviation within them.
    """

    evidence: np.ndarray
    is_known: np.ndarray
    is_clear: np.ndarray
    ratio: np.ndarray


def clear_levels(tiles, which, log_brightness, pairs):
    """Fit brightness levels in windows and find where they are two sublattices.

    Parameters
    ----------
    tiles : Tiles
        The columns.
    which : ndarray of int of shape (n_windows,)
        Middle tiles of the windows, sorted.
    log_brightness : ndarray of shape (n,)
        Natural logarithm of the columns' brightness.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds.

    Returns
    -------
    levels : ClearLevels
        Evidence, and the columns where it is clear.
    """
    levels = brightness_levels(tiles, which, log_brightness)
    evidence, window = levels.evidence(tiles, log_brightness)
    known = window >= 0
    bonds = pairs[known[pairs].all(axis=1)]
    unlike = (evidence[bonds[:, 0]] > 0) != (evidence[bonds[:, 1]] > 0)
    n_tiles = len(tiles.start) - 1
    ends = tiles.tile[bonds].ravel()
    amount = np.bincount(ends, minlength=n_tiles)
    differ = np.bincount(ends, np.repeat(unlike, 2), n_tiles)
    near = tiles.block(levels.tiles)
    alternate = differ[near].sum(axis=1) > _MIN_UNLIKE_SHARE * amount[near].sum(axis=1)
    return ClearLevels(
        evidence,
        known,
        known & (levels.are_clear & alternate)[window],
        (levels.gap / levels.scatter)[window],
    )


def exchange_by_brightness(
    sign, levels, pairs, weight, nearest, log_brightness, spacing
):
    """Exchange labels that brightness contradicts more than bonds support.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        1 for label 0, −1 for label 1.
    levels : ClearLevels
        Evidence of brightness for label 0.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds.
    weight : ndarray of shape (n_pairs,)
        Weight of each bond, about 1 for nearest neighbours.
    nearest : Nearest
        Neighbours of the columns.
    log_brightness : ndarray of shape (n,)
        Natural logarithm of their brightness.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    sign : ndarray of shape (n,)
        The same with labels exchanged.
    """
    evidence = np.where(levels.is_clear, levels.evidence, 0)
    against = np.flatnonzero(sign * evidence < 0)
    if not against.size:
        return sign
    n = len(sign)
    near, _ = nearest.pairs(_GROUP_REACH_SPACINGS * spacing)
    group = np.full(n, -1)
    group[against] = _groups(n, against, near)
    gain = _gains(group, sign, evidence, levels.ratio, pairs, weight, near)
    sign = sign.copy()
    positions = nearest.positions
    for number in np.flatnonzero(gain > 0):
        own = np.flatnonzero(group == number)
        if _levels_match(own, evidence, positions, log_brightness, spacing):
            sign[own] *= -1
    return sign


def _gains(group, sign, evidence, ratio, bonds, weight, near):
    """Compute the gain of exchanging the labels of each group; 0 if implausible.

    Parameters
    ----------
    group : ndarray of int of shape (n,)
        Group of each column, −1 for none.
    sign, evidence, ratio : ndarray of shape (n,)
        Labels, evidence of brightness and clarity of its levels.
    bonds, near : ndarray of shape (n_pairs, 2)
        First neighbours; first and second neighbours.
    weight : ndarray of shape (n_bonds,)
        Weight of each bond.

    Returns
    -------
    gain : ndarray of shape (n_groups,)
        Log-likelihood ratio of exchanged against present labels.
    """
    n, n_groups = len(group), group.max() + 1
    members = np.flatnonzero(group >= 0)
    own = group[members]
    size = np.bincount(own)
    brightness = np.bincount(own, np.abs(evidence[members]))
    # Bonds inside a group do not change.
    like = BOND_EVIDENCE_NATS * weight * sign[bonds].prod(axis=1)
    alternation = _sum_at_boundaries(group, n_groups, bonds, like, like)
    gain = brightness + alternation
    # Columns that keep the label which the group loses are of the other level.
    supported = (sign * evidence > 0).astype(float)
    equal = sign[near].prod(axis=1) > 0
    kept = _sum_at_boundaries(group, n_groups, near, equal, equal)
    confirmed = _sum_at_boundaries(
        group, n_groups, near, *(equal * supported[near[:, ::-1]].T)
    )
    gain[confirmed < _MIN_CONFIRMED_SHARE * kept] = 0
    gain[_are_patches(group, n_groups, bonds, near)] = 0
    amount = np.bincount(bonds.ravel(), np.repeat(weight, 2), n)
    coordination = np.bincount(own, amount[members]) / size
    coordination = np.clip(coordination, 1, _FULL_COORDINATION_BONDS)
    complete = brightness + alternation * _FULL_COORDINATION_BONDS / coordination
    lone = (size < _FEW_COLUMNS) & (complete < _MIN_LONE_GAIN_NATS * size)
    lone &= (coordination < _MIN_COORDINATION_BONDS) | (
        np.bincount(own, ratio[members]) < _LONE_RATIO * size
    )
    gain[lone] = 0
    return gain


def _sum_at_boundaries(group, n_groups, pairs, of_first, of_second):
    """Sum values of pairs that leave a group, by the end that is in the group."""
    first, second = group[pairs].T
    crossing = first != second
    total = np.zeros(n_groups)
    for end, value in ((first, of_first), (second, of_second)):
        leaving = crossing & (end >= 0)
        total += np.bincount(end[leaving], value[leaving], n_groups)
    return total


def _groups(n, columns, pairs):
    """Return a number for each connected group among given columns."""
    number = np.full(n, -1)
    number[columns] = np.arange(len(columns))
    ends = number[pairs]
    ends = ends[(ends >= 0).all(axis=1)]
    n = len(columns)
    links = csr_array((np.ones(len(ends)), ends.T), shape=(n, n))
    return connected_components(links, directed=False)[1]


def _are_patches(group, n_groups, bonds, near):
    """Check which groups are one sublattice of a region."""
    n_first, n_near = (
        np.bincount(ends[(group[ends] >= 0).all(axis=1)].ravel(), minlength=len(group))
        for ends in (bonds, near)
    )
    alone = (group >= 0) & (n_first == 0)
    n_alone = np.bincount(group[alone], minlength=n_groups)
    mean = np.bincount(group[alone], n_near[alone], n_groups) / np.maximum(n_alone, 1)
    size = np.bincount(group[group >= 0], minlength=n_groups)
    return (mean > _ROW_NEIGHBORS) & (n_alone > _MAX_PATCH_SHARE * size)


def _levels_match(own, evidence, positions, log_brightness, spacing):
    """Check that a group has the levels of the columns around it, class by class."""
    near = _around(own, positions, _COMPARED_REACH_SPACINGS * spacing)
    outside = np.setdiff1d(near, own, assume_unique=True)
    if not outside.size:
        return True
    depth, _ = cKDTree(positions[outside]).query(
        positions[own], distance_upper_bound=_COMPARED_REACH_SPACINGS * spacing
    )
    if len(own) >= _LARGE_GROUP_COLUMNS:
        boundary = own[depth < _BOUNDARY_REACH_SPACINGS * spacing]
        at_boundary = _around(boundary, positions, _BOUNDARY_REACH_SPACINGS * spacing)
        unclear = np.abs(evidence[at_boundary]) < _DOUBTFUL_NATS
        if unclear.mean() > _MAX_UNCLEAR_SHARE:
            return False
    inside, outside = own[np.isfinite(depth)], outside[evidence[outside] != 0]
    compared = np.concatenate([inside, outside])
    kind = np.repeat([0, 2], [len(inside), len(outside)]) + (evidence[compared] < 0)
    return have_same_levels(
        kind, positions[compared] / spacing, log_brightness[compared]
    )


def _around(columns, positions, reach):
    """Select the columns within reach of given ones, these included."""
    if not len(columns):
        return columns
    low = positions[columns].min(axis=0) - reach
    high = positions[columns].max(axis=0) + reach
    near = np.flatnonzero(((positions >= low) & (positions <= high)).all(axis=1))
    distance, _ = cKDTree(positions[columns]).query(
        positions[near], distance_upper_bound=reach
    )
    return near[np.isfinite(distance)]


def doubtful_labels(sign, positions, log_brightness, pairs, weight, spacing):
    """Check which labels brightness and bonds together do not support.

    Parameters
    ----------
    sign : ndarray of shape (n,)
        1 for label 0, −1 for label 1.
    positions : ndarray of shape (n, 2)
        Columns, px.
    log_brightness : ndarray of shape (n,)
        Natural logarithm of their brightness.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds.
    weight : ndarray of shape (n_pairs,)
        Weight of each bond, about 1 for nearest neighbours.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    doubtful : ndarray of bool of shape (n,)
        True where the label's probability is below 0.9, or brightness and bonds
        contradict each other.
    """
    n = len(sign)
    unlike = -BOND_EVIDENCE_NATS * weight * sign[pairs].prod(axis=1)
    bonds = np.bincount(pairs.ravel(), np.repeat(unlike, 2), n)
    bonds = np.clip(bonds, -MAX_EVIDENCE_NATS, MAX_EVIDENCE_NATS)
    # Levels are needed where bonds do not suffice or neighbours differ the wrong way.
    first, second = pairs.T
    step = weight * (log_brightness[first] - log_brightness[second])
    contrast = np.bincount(first, sign[first] * step, n)
    contrast -= np.bincount(second, sign[second] * step, n)
    unsure = (bonds < _SUFFICIENT_NATS) | (contrast < 0)
    tiles = Tiles.of(positions, spacing)
    which = np.unique(tiles.tile[unsure])
    if not len(which):
        return unsure
    levels = brightness_levels(tiles, which, log_brightness, sign > 0)
    brightness = sign * levels.evidence(tiles, log_brightness)[0]
    conflict = np.minimum(brightness, bonds) < -_CONFLICT_NATS
    return unsure & ((brightness + bonds < _DOUBTFUL_NATS) | conflict)
