"""Assignment of columns to sublattices by geometry and brightness.

Nearest neighbours belong to different sublattices: geometry alone divides a crystal
in two, across interfaces and around dislocations. Brightness decides which of the two
is label 0, once for each connected crystal, so that labels extend across an
interface where the order of brightness changes, but not across a break in the lattice.
Where brightness clearly contradicts the alternation, as at planar faults, it decides.

Whether there are two sublattices or one is decided for each crystal: by a difference
in brightness, or, without any, by a displacement of one against the other.
Where neighbours cannot all be different, as on a triangular lattice, brightness alone
decides.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from .brightness_levels import Tiles
from .crystal_interfaces import (
    continuity,
    extend_labels,
    join_crystals,
    opposed_contacts,
)
from .label_evidence import (
    clear_levels,
    contradicted,
    doubtful_labels,
    exchange_by_brightness,
)
from .neighbors import Nearest, cage_displacement, sublattice_members
from .ordered_sublattices import (
    REGION_SPACINGS,
    differ_in_bonds,
    medians,
    places,
    regional_levels,
    split_ordered,
)
from .two_coloring import clean_colors, color_in_two

# The median contrast of a region is at most this multiple of its mean.
_MAX_MEDIAN_RATIO = 2.0
# Neighbours are within this many nearest-neighbour spacings, and their bonds are
# weighted by the difference of their length from one spacing.
_NEIGHBOR_REACH = 1.28
_BOND_SCATTER = 0.15
# Closer columns belong to a finer lattice than assumed.
_MIN_SPACING = 0.9
# Two sublattices differ by this much in log brightness at least, by this many times
# the scatter within them, and neighbours rarely have the same label. Chance alone
# separates crystals of m columns by about 1 / sqrt(m), as label 0 is chosen in each.
_MIN_CONTRAST = 0.04
_MIN_SEPARATION = 0.4
_CHANCE_SEPARATION = 3
_MAX_FRUSTRATION = 0.07
# On a triangular lattice at least a third of the bonds joins equal labels.
_MAX_FORCED_FRUSTRATION = 0.2
# Columns vote with full weight from the typical contrast divided by this.
_FULL_VOTE_RATIO = 3
# Crystals of this many columns are evaluated separately.
_LARGE_CRYSTAL = 100
# If crystals are not two sublattices overall, a single crystal needs this separation
# (standard deviations), because some of many crystals alternate by chance.
_MIN_LONE_SEPARATION = 1.2
# Below this separation brightness levels are not clear either.
_MIN_CLEAR_SEPARATION = 3.0
# Crystals that do not alternate in brightness are divided by levels if these are clear
# for this share of a sample of tiles.
_MIN_CLEAR_SHARE = 0.5
_N_SAMPLED_TILES = 12
# A part of a crystal of this many columns is one sublattice if its contrast is below
# the least of two. A part is connected columns whose contrast, smoothed over about
# three spacings, and its size are below these shares of the best tenth of the image;
# only where that is this many times the least contrast are parts distinguished.
_MIN_FLAT_COLUMNS = 150
_FLAT_SHARE = 0.3
_FLAT_SIZE = 0.5
_MIN_FLAT_RATIO = 4.0
_N_SMOOTHINGS = 6
# Sublattices of equal brightness are displaced against each other by this share of the
# spacing at least (5 pm in most perovskites), in complete shells of four around this
# share of the columns. Without a displacement they are one.
_N_BONDS = 4
_MIN_DISPLACEMENT = 0.02
_MIN_KNOWN_SHARE = 0.5
# A difference in brightness below `_MIN_CONTRAST` is one of sublattices if it has this
# many standard errors in a large crystal and one sign in most regions. Amplitudes vary
# by less than a percent with the sampling by pixels.
_MIN_SLIGHT_CONTRAST = 0.012
_MIN_SLIGHT_ERRORS = 6.0
_MIN_SLIGHT_SHARE = 0.85
# Labels are exchangeable if the mean difference in brightness has fewer standard
# errors than this.
_MIN_STANDARD_ERRORS = 4.0


class Labels(NamedTuple):
    """Sublattice labels of the columns of one image.

    Parameters
    ----------
    sublattice : ndarray of int of shape (n,)
        Labels, 0 = the brightest of a crystal as a whole: where an interface exchanges
        the order of brightness, that of most columns counts.
    doubtful : ndarray of bool of shape (n,)
        Whether brightness and the alternation of labels leave more than a tenth of
        probability to the other label, or contradict each other.
    equivalent : bool
        Whether the two sublattices are equally bright within the errors, so that
        labels 0 and 1 might be exchanged.
    undivided : tuple of UndividedLevels
        Sublattices that may be several, but were not divided.
    members : dict of tuple or None
        Result of `sublattice_members` for the labels; None if it is not known.
    """

    sublattice: np.ndarray
    doubtful: np.ndarray
    equivalent: bool = False
    undivided: tuple = ()
    members: dict | None = None


class Split(NamedTuple):
    """A division into two sublattices.

    Parameters
    ----------
    label : ndarray of int of shape (n,)
        0 = the brighter in most of the crystal.
    separation : float
        Difference of log brightness over the scatter within the sublattices.
    distinct : ndarray of bool of shape (n,)
        Whether a column is in a crystal of two sublattices and not of one.
    doubtful : ndarray of bool of shape (n,)
        Whether the evidence does not support the label.
    equivalent : bool
        Whether the sublattices are equally bright within the errors.
    """

    label: np.ndarray
    separation: float
    distinct: np.ndarray
    doubtful: np.ndarray
    equivalent: bool = False


def assign_sublattices(
    positions, brightness, spacing, n_sublattices="auto", nearest=None
):
    """Label the columns of one image by sublattice.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px.
    brightness : ndarray of shape (n,)
        Amplitudes, positive.
    spacing : float
        Nearest-neighbour spacing, px.
    n_sublattices : int or "auto"
        Number of sublattices; "auto" decides between one and two, crystal by crystal,
        and divides these further, up to four, where each is an ordered lattice.
    nearest : Nearest, default=None
        Neighbours of the columns, if known.

    Returns
    -------
    sublattice : ndarray of int of shape (n,)
        Labels, as `label_sublattices` returns them.
    """
    labels = label_sublattices(positions, brightness, spacing, n_sublattices, nearest)
    return labels.sublattice


def label_sublattices(
    positions, brightness, spacing, n_sublattices="auto", nearest=None
):
    """Label the columns of one image by sublattice and check the labels.

    Parameters
    ----------
    positions, brightness, spacing, n_sublattices, nearest
        As in `assign_sublattices`.

    Returns
    -------
    labels : Labels
        Labels, and which are doubtful; three sublattices or more are not checked.
    """
    label = np.zeros(len(positions), dtype=np.intp)
    certain = np.zeros(len(positions), dtype=bool)
    if len(positions) < 2:
        return Labels(label, certain)
    brightness = np.log(np.maximum(brightness, 1e-6 * brightness.max()))
    if n_sublattices != 1:
        split = split_in_two(positions, brightness, spacing, nearest)
        if n_sublattices == 2:
            return Labels(split.label, split.doubtful, split.equivalent)
        two = np.where(split.distinct, split.label, 0)
        members = sublattice_members(positions, two, nearest)
        finer, undivided = split_ordered(two, positions, brightness, spacing, members)
        doubtful = split.doubtful & split.distinct
        if n_sublattices == "auto" and finer.max() == two.max():
            equivalent = split.equivalent and bool(split.distinct.any())
            return Labels(two, doubtful, equivalent, tuple(undivided), members)
        if n_sublattices in ("auto", finer.max() + 1):
            return Labels(finer, doubtful, undivided=tuple(undivided))
    for n_so_far in range(1, min(n_sublattices, len(positions))):
        label = _split_one_more(label, n_so_far, positions, brightness, spacing)
    return Labels(label, certain)


def split_in_two(positions, log_brightness, spacing, nearest=None):
    """Divide columns into two sublattices of nearest neighbours.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px.
    log_brightness : ndarray of shape (n,)
        Logarithm of their brightness.
    spacing : float
        Nearest-neighbour spacing, px.
    nearest : Nearest, default=None
        Neighbours of the columns, if known.

    Returns
    -------
    split : Split
        Labels, and the columns for which they are meaningful.
    """
    n = len(positions)
    nearest = nearest or Nearest(positions)
    spacing = _own_spacing(nearest, spacing)
    pairs, distance = nearest.pairs(_NEIGHBOR_REACH * spacing)
    nowhere = np.zeros(n, dtype=bool)
    if not len(pairs):
        return Split(_split_by_brightness(log_brightness), 0.0, nowhere, nowhere)
    full_weight = _bond_weights(distance, spacing)
    graph = _surroundings(n, pairs, full_weight)
    contrast = log_brightness - graph @ log_brightness
    n_bonds = np.bincount(pairs.ravel(), minlength=n)
    alone = n_bonds == 0
    contrast[alone] = 0
    # Votes are limited, so that the majority of columns decides.
    typical = max(float(np.median(np.abs(contrast))), 1e-6)
    vote = np.clip(_FULL_VOTE_RATIO * contrast / typical, -1, 1)
    coloring, weight = _color_crystals(
        nearest, pairs, full_weight, vote, log_brightness, spacing
    )
    sign = coloring.sign
    place = places(positions, REGION_SPACINGS * spacing)
    same = sign[pairs[:, 0]] == sign[pairs[:, 1]]
    frustration = np.average(same, weights=weight)
    evidence = _contrast_evidence(
        contrast * sign, coloring.crystal, place, pairs, weight, same, nearest
    )
    sign, by_levels = _apply_clear_levels(
        sign, evidence, contrast, nearest, pairs, full_weight, log_brightness, spacing
    )
    flat = _flat_parts(contrast * sign, evidence, graph, pairs)
    if flat.any():
        evidence.distinct[flat > 0] = _are_displaced(
            sign, flat, place, nearest, graph, n_bonds, spacing
        )[flat > 0]
    distinct = evidence.distinct | by_levels
    if frustration > _MAX_FORCED_FRUSTRATION and not distinct.any():
        label = _split_by_brightness(contrast)
        return Split(label, 0.0, nowhere, nowhere)
    equivalent = False
    if not distinct.any():
        distinct = evidence.bipartite & _are_displaced(
            sign, coloring.crystal, place, nearest, graph, n_bonds, spacing
        )
        distinct |= evidence.bipartite & _differ_slightly(
            contrast * sign, coloring.crystal, place, ~alone
        )
        distinct |= evidence.bipartite & differ_in_bonds(
            sign, coloring.crystal, pairs, nearest, n_bonds
        )
        # All columns, if two sublattices are asked for that do not differ.
        used = (distinct | ~distinct.any()) & ~alone
        equivalent = used.any() and not _differ_in_brightness((contrast * sign)[used])
        if equivalent:
            sign = _orient(sign, coloring.crystal, positions, spacing)
    label = np.where(sign > 0, 0, 1)
    label[alone] = _label_by_neighbors(positions, log_brightness, label, alone)
    doubtful = nowhere
    if distinct.any():
        sign = np.where(label == 0, 1.0, -1.0)
        doubtful = doubtful_labels(
            sign, positions, log_brightness, pairs, full_weight, spacing
        )
    return Split(label, evidence.separation, distinct, doubtful, bool(equivalent))


def check_labels(positions, brightness, sublattice, spacing, nearest=None):
    """Check which labels of two sublattices the evidence does not support.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px.
    brightness : ndarray of shape (n,)
        Amplitudes, positive.
    sublattice : ndarray of int of shape (n,)
        Labels, 0 or 1.
    spacing : float
        Nearest-neighbour spacing, px.
    nearest : Nearest, default=None
        Neighbours of the columns, if known.

    Returns
    -------
    doubtful : ndarray of bool of shape (n,)
        As in `Labels`.
    """
    nowhere = np.zeros(len(positions), dtype=bool)
    if len(positions) < 2 or not (sublattice == 1).any():
        return nowhere
    nearest = nearest or Nearest(positions)
    spacing = _own_spacing(nearest, spacing)
    pairs, distance = nearest.pairs(_NEIGHBOR_REACH * spacing)
    if not len(pairs):
        return nowhere
    brightness = np.log(np.maximum(brightness, 1e-6 * brightness.max()))
    sign = np.where(sublattice == 0, 1.0, -1.0)
    weight = _bond_weights(distance, spacing)
    return doubtful_labels(sign, positions, brightness, pairs, weight, spacing)


def _bond_weights(distance, spacing):
    """Return weights from 0 to 1 by the difference of bonds from the spacing."""
    return np.exp(-0.5 * ((distance / spacing - 1) / _BOND_SCATTER) ** 2)


def _color_crystals(nearest, pairs, weight, vote, log_brightness, spacing):
    """Colour columns; bonds between separately labelled crystals have no weight."""
    n = len(nearest.positions)

    def color(weight):
        coloring = join_crystals(color_in_two(n, pairs, weight, vote), pairs, weight)
        return coloring, opposed_contacts(coloring, pairs, weight)

    coloring, contacts = color(weight)
    if contacts:
        # The lattice may be interrupted at the contacts.
        reach = _NEIGHBOR_REACH * spacing
        weight = weight * continuity(nearest, pairs, spacing, reach)
        coloring, contacts = color(weight)
        coloring = extend_labels(
            coloring, contacts, nearest.positions, log_brightness, spacing
        )
        weight = weight * ~_are_apart(coloring, contacts, pairs)
    sign = clean_colors(coloring.sign, _surroundings(n, pairs, weight))
    return coloring._replace(sign=sign), weight


def _are_apart(coloring, contacts, pairs):
    """Return which bonds cross contacts that labels do not extend across."""
    n = len(coloring.crystal)
    bonds = [np.empty((0, 2), dtype=np.intp), *(contact.bonds for contact in contacts)]
    bonds = np.sort(np.concatenate(bonds), axis=1) @ [n, 1]
    apart = np.isin(pairs @ [n, 1], bonds)
    apart[apart] = np.diff(coloring.crystal[pairs[apart]], axis=1)[:, 0] != 0
    return apart


def _own_spacing(nearest, spacing):
    typical = nearest.typical_distance()
    return typical if 0 < typical < _MIN_SPACING * spacing else spacing


def _surroundings(n, pairs, weight):
    """Return the weight of each neighbour of a column, rows summing to 1."""
    ends, weight = np.concatenate([pairs, pairs[:, ::-1]]).T, np.tile(weight, 2)
    total = np.bincount(ends[0], weight, minlength=n)
    return csr_array((weight / total[ends[0]], ends), shape=(n, n))


class _ContrastEvidence(NamedTuple):
    """Contrast of labels over its scatter: overall, and for each column."""

    separation: float
    of_crystal: np.ndarray
    bipartite: np.ndarray
    distinct: np.ndarray
    typical: np.ndarray


def _contrast_evidence(contrast, crystal, place, pairs, weight, same, nearest):
    """Compare the contrast along the bonds with its scatter in each crystal.

    Large crystals are evaluated separately, small ones together, or like the nearest
    large one if there are too few.
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
        is_two = middle > _MIN_CONTRAST and _is_two(middle, scatter, chance[own].mean())
        return middle / max(scatter, 1e-9), is_two

    overall, is_any = evaluate(bonded)
    least = 0 if is_any else _MIN_LONE_SEPARATION
    large = (size >= _LARGE_CRYSTAL)[crystal]
    evaluated = np.where(large, crystal + 1, 0)
    # Share of bonds within each of these that join equal labels.
    ends = evaluated[pairs]
    inside = ends[:, 0] == ends[:, 1]
    amount = np.bincount(ends[inside, 0], weight[inside], n_crystals + 1)
    like = np.bincount(ends[inside, 0], (weight * same)[inside], n_crystals + 1)
    bipartite = (like < _MAX_FRUSTRATION * np.maximum(amount, 1e-9))[evaluated]
    separation, distinct = np.zeros(n_columns), np.zeros(n_columns, dtype=bool)
    for number in np.unique(evaluated[bonded]):
        own = evaluated == number
        if np.count_nonzero(own) < _LARGE_CRYSTAL and large.any():
            continue
        separation[own], is_two = evaluate(own & bonded)
        distinct[own] = is_two and separation[own][0] > least
    distinct &= bipartite
    # Where many small ones do not alternate either, they are another crystal.
    follow = bipartite[~large].all() or np.count_nonzero(~large) < _LARGE_CRYSTAL
    if large.any() and not large.all() and not distinct[~large].any() and follow:
        known = np.flatnonzero(large)
        _, index = cKDTree(nearest.positions[known]).query(nearest.positions[~large])
        distinct[~large] = distinct[known[index]]
    distinct &= large | ~_are_enclosed(contrast, crystal, large & ~distinct, pairs)
    return _ContrastEvidence(overall, separation, bipartite, distinct, median)


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
    unclear = mean < _MIN_STANDARD_ERRORS * error
    both = np.concatenate([pairs, pairs[:, ::-1]])
    first, second = both[np.diff(crystal[both], axis=1)[:, 0] != 0].T
    outward = np.bincount(crystal[first], minlength=len(size))
    n_before, enclosed = -1, of_one_kind
    while np.count_nonzero(enclosed) > n_before:
        n_before = np.count_nonzero(enclosed)
        enclosing = np.bincount(crystal[first], enclosed[second], len(size))
        enclosed = of_one_kind | (unclear & (enclosing > 0.5 * outward))[crystal]
    return enclosed & ~of_one_kind


def _flat_parts(contrast, evidence, graph, pairs):
    """Return the number of each part of a crystal without contrast; 0 elsewhere.

    Where a metal continues the lattice of a compound, labels extend into it. At
    an interface that exchanges the order of brightness contrast is never small in a
    large area.
    """
    flat = np.zeros(len(contrast), dtype=np.intp)
    typical = np.percentile(np.abs(evidence.typical), 90)
    candidates = evidence.distinct & (np.abs(evidence.typical) < _FLAT_SHARE * typical)
    if (
        typical < _MIN_FLAT_RATIO * _MIN_CONTRAST
        or np.count_nonzero(candidates) < _MIN_FLAT_COLUMNS / 2
    ):
        return flat
    mean, size = contrast, np.abs(contrast)
    for _ in range(_N_SMOOTHINGS):
        mean, size = (0.5 * (part + graph @ part) for part in (mean, size))
    candidates = evidence.distinct & (np.abs(mean) < _FLAT_SHARE * typical)
    candidates &= size < _FLAT_SIZE * typical
    ends = pairs[candidates[pairs].all(axis=1)]
    n = len(contrast)
    links = csr_array((np.ones(len(ends)), ends.T), shape=(n, n))
    _, part = connected_components(links, directed=False)
    count = np.bincount(part[candidates], minlength=part.max() + 1)
    for number in np.flatnonzero(count >= _MIN_FLAT_COLUMNS):
        own = candidates & (part == number)
        if np.abs(np.median(contrast[own])) < _MIN_CONTRAST:
            flat[own] = 1 + flat.max()
    return flat


def _is_two(difference, scatter, chance):
    """Check that a difference is beyond its scatter and beyond chance."""
    separation = difference / max(scatter, 1e-9)
    return separation > _MIN_SEPARATION + _CHANCE_SEPARATION * chance


def _apply_clear_levels(
    sign, evidence, contrast, nearest, pairs, weight, log_brightness, spacing
):
    """Replace the alternation of labels by clear brightness levels.

    Also find the columns that clear levels alone show to be of two sublattices.
    """
    by_levels = np.zeros(len(sign), dtype=bool)
    wrong = evidence.distinct & (evidence.of_crystal > _MIN_CLEAR_SEPARATION)
    wrong &= contradicted(contrast * sign, np.maximum(evidence.typical, 0))
    undecided = evidence.of_crystal < _MIN_LONE_SEPARATION
    if not (wrong.any() or undecided.any()):
        return sign, by_levels
    tiles = Tiles.of(nearest.positions, spacing)
    which = tiles.around(np.unique(tiles.tile[wrong]))
    if undecided.any():
        others = np.unique(tiles.tile[undecided])
        step = max(1, len(others) // _N_SAMPLED_TILES)
        sample = clear_levels(tiles, others[::step], log_brightness, pairs)
        own = undecided & sample.is_known
        if np.mean(sample.is_clear[own]) > _MIN_CLEAR_SHARE:
            which = np.union1d(which, others)
        else:
            undecided[:] = False
    if not len(which):
        return sign, by_levels
    levels = clear_levels(tiles, which, log_brightness, pairs)
    if undecided.any():
        by_levels = undecided & (levels.evidence != 0)
        sign = np.where(by_levels, np.sign(levels.evidence), sign)
    sign = exchange_by_brightness(
        sign, levels, pairs, weight, nearest, log_brightness, spacing
    )
    return sign, by_levels


def _are_displaced(sign, crystal, place, nearest, graph, n_bonds, spacing):
    """Find crystals where one sublattice is displaced against the other.

    Displaced columns have asymmetric surroundings, those of the two sublattices
    in opposite directions. On a lattice of one kind of column with a square cell,
    nothing but errors alternates from column to column.
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


def _orient(sign, crystal, positions, spacing):
    """Choose which of two equally bright sublattices is label 0, in each crystal.

    The choice depends on the geometry alone, so that it is the same in each frame of a
    stack: the mean displacement of label 1 points to larger columns, or to larger rows
    if it is mostly along these. If there is no mean displacement, the column nearest
    to the first pixel has label 0.
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
            if np.abs(mean[axis]) > _MIN_STANDARD_ERRORS * error[axis]:
                factor = np.sign(mean[axis])
        sign[own] *= factor
    return sign


def _alternates(sign, crystal, place, displacement, spacing):
    """Find crystals where displacements alternate by more than errors and chance."""
    known = np.isfinite(displacement).all(axis=1)
    displaced = np.zeros(len(sign), dtype=bool)
    for number in np.flatnonzero(np.bincount(crystal) >= _LARGE_CRYSTAL):
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
        displaced[own] = length > _MIN_DISPLACEMENT * spacing and _is_two(
            length, np.sqrt(variance), 1 / np.sqrt(size.sum())
        )
    return displaced


def _differ_slightly(contrast, crystal, place, bonded):
    """Find large crystals where a slight contrast is beyond errors everywhere."""
    slight = np.zeros(len(contrast), dtype=bool)
    for number in np.flatnonzero(np.bincount(crystal) >= _LARGE_CRYSTAL):
        own = bonded & (crystal == number)
        if np.count_nonzero(own) < _LARGE_CRYSTAL:
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
            mean > _MIN_SLIGHT_CONTRAST
            and mean > _MIN_SLIGHT_ERRORS * error
            and share > _MIN_SLIGHT_SHARE
        )
    return slight


def _differ_in_brightness(contrast):
    """Check that the mean contrast is beyond its standard error."""
    error = _standard_error(contrast.std(), len(contrast))
    return contrast.mean() > _MIN_STANDARD_ERRORS * error


def _standard_error(scatter, size):
    """Return the standard error of the mean contrast of crystals."""
    # A column contributes itself and as a neighbour: errors of contrasts have variance
    # 1.25, their mean is twice that of as many independent errors.
    return 2 / np.sqrt(1.25) * scatter / np.sqrt(size)


def _label_by_neighbors(positions, log_brightness, label, alone):
    """Return labels of columns without neighbours, from the nearest similar ones."""
    if not alone.any():
        return label[alone]
    others = np.flatnonzero(~alone)
    ranks = np.arange(1, min(8, len(others)) + 1)
    _, index = cKDTree(positions[others]).query(positions[alone], k=ranks)
    compared = others[index]
    unlike = np.abs(log_brightness[compared] - log_brightness[alone, None])
    return label[
        np.take_along_axis(compared, unlike.argmin(axis=1)[:, None], axis=1)[:, 0]
    ]


def _split_by_brightness(log_brightness):
    if np.ptp(log_brightness) == 0:
        return np.zeros(len(log_brightness), dtype=np.intp)
    return (log_brightness < threshold_otsu(log_brightness)).astype(np.intp)


def _split_one_more(label, n_so_far, positions, log_brightness, spacing):
    """Divide the sublattice whose halves differ most; order by brightness."""
    best, best_separation = None, -np.inf
    for old in range(n_so_far):
        members = np.flatnonzero(label == old)
        if len(members) < 2:
            continue
        own_spacing = spacing
        if n_so_far > 1:
            own_spacing = Nearest(positions[members]).typical_distance()
        split = split_in_two(positions[members], log_brightness[members], own_spacing)
        if split.separation > best_separation:
            best, best_separation = (members, split.label), split.separation
    label = label.copy()
    members, halves = best
    label[members[halves == 1]] = n_so_far
    if n_so_far == 1:
        return label
    _, label = np.unique(label, return_inverse=True)
    level = regional_levels(log_brightness, positions, label, spacing)
    return np.argsort(np.argsort(-level))[label]
