"""Assignment of columns to sublattices by geometry and brightness.

Nearest neighbours belong to different sublattices: geometry alone divides a crystal
in two, across interfaces and around dislocations. Brightness decides which of the two
is label 0, once for each connected crystal, so that labels extend across an
interface where the order of brightness changes, but not across a break in the lattice.
Where brightness clearly contradicts the alternation, as at planar faults, it decides.

Whether there are two sublattices or one is decided for each crystal, see
`sublattice_evidence`. Where neighbours cannot all be different, as on a triangular
lattice, brightness alone decides.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
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
from .neighbor_graph import clean_colors, color_in_two
from .neighbors import Nearest, sublattice_members
from .ordered_sublattices import (
    REGION_SPACINGS,
    differ_in_bonds,
    places,
    regional_levels,
    split_ordered,
)
from .sublattice_evidence import (
    MIN_LONE_SEPARATION_STD,
    are_displaced,
    contrast_evidence,
    differ_in_brightness,
    differ_slightly,
    flat_parts,
    orient_labels,
)

# Neighbours are within this many nearest-neighbour spacings, and their bonds are
# weighted by the difference of their length from one spacing.
_NEIGHBOR_REACH_SPACINGS = 1.28
_BOND_SCATTER_SHARE = 0.15
# Closer columns belong to a finer lattice than assumed.
_MIN_SPACING_SHARE = 0.9
# On a triangular lattice at least a third of the bonds joins equal labels.
_MAX_FORCED_SHARE = 0.2
# Columns vote with full weight from the typical contrast divided by this.
_FULL_VOTE_RATIO = 3
# Below this separation brightness levels are not clear either.
_MIN_CLEAR_SEPARATION_STD = 3.0
# Crystals that do not alternate in brightness are divided by levels if these are clear
# for this share of a sample of tiles.
_MIN_CLEAR_SHARE = 0.5
_N_SAMPLED_TILES = 12


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
    pairs, distance = nearest.pairs(_NEIGHBOR_REACH_SPACINGS * spacing)
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
    evidence = contrast_evidence(
        contrast * sign, coloring.crystal, place, pairs, weight, same, nearest
    )
    sign, by_levels = _apply_clear_levels(
        sign, evidence, contrast, nearest, pairs, full_weight, log_brightness, spacing
    )
    flat = flat_parts(contrast * sign, evidence, graph, pairs)
    if flat.any():
        evidence.distinct[flat > 0] = are_displaced(
            sign, flat, place, nearest, graph, n_bonds, spacing
        )[flat > 0]
    distinct = evidence.distinct | by_levels
    if frustration > _MAX_FORCED_SHARE and not distinct.any():
        label = _split_by_brightness(contrast)
        return Split(label, 0.0, nowhere, nowhere)
    equivalent = False
    if not distinct.any():
        distinct = evidence.bipartite & are_displaced(
            sign, coloring.crystal, place, nearest, graph, n_bonds, spacing
        )
        distinct |= evidence.bipartite & differ_slightly(
            contrast * sign, coloring.crystal, place, ~alone
        )
        distinct |= evidence.bipartite & differ_in_bonds(
            sign, coloring.crystal, pairs, nearest, n_bonds
        )
        # All columns if two sublattices are required that do not differ.
        used = (distinct | ~distinct.any()) & ~alone
        equivalent = used.any() and not differ_in_brightness((contrast * sign)[used])
        if equivalent:
            sign = orient_labels(sign, coloring.crystal, positions, spacing)
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
    pairs, distance = nearest.pairs(_NEIGHBOR_REACH_SPACINGS * spacing)
    if not len(pairs):
        return nowhere
    brightness = np.log(np.maximum(brightness, 1e-6 * brightness.max()))
    sign = np.where(sublattice == 0, 1.0, -1.0)
    weight = _bond_weights(distance, spacing)
    return doubtful_labels(sign, positions, brightness, pairs, weight, spacing)


def _bond_weights(distance, spacing):
    """Return weights from 0 to 1 by the difference of bonds from the spacing."""
    return np.exp(-0.5 * ((distance / spacing - 1) / _BOND_SCATTER_SHARE) ** 2)


def _color_crystals(nearest, pairs, weight, vote, log_brightness, spacing):
    """Colour columns; bonds between separately labelled crystals have no weight."""
    n = len(nearest.positions)

    def color(weight):
        coloring = join_crystals(color_in_two(n, pairs, weight, vote), pairs, weight)
        return coloring, opposed_contacts(coloring, pairs, weight)

    coloring, contacts = color(weight)
    if contacts:
        # The lattice may be interrupted at the contacts.
        reach = _NEIGHBOR_REACH_SPACINGS * spacing
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
    return typical if 0 < typical < _MIN_SPACING_SHARE * spacing else spacing


def _surroundings(n, pairs, weight):
    """Return the weight of each neighbour of a column, rows summing to 1."""
    ends, weight = np.concatenate([pairs, pairs[:, ::-1]]).T, np.tile(weight, 2)
    total = np.bincount(ends[0], weight, minlength=n)
    return csr_array((weight / total[ends[0]], ends), shape=(n, n))


def _apply_clear_levels(
    sign, evidence, contrast, nearest, pairs, weight, log_brightness, spacing
):
    """Replace the alternation of labels by clear brightness levels.

    Also find the columns that clear levels alone show to be of two sublattices.
    """
    by_levels = np.zeros(len(sign), dtype=bool)
    wrong = evidence.distinct & (evidence.of_crystal > _MIN_CLEAR_SEPARATION_STD)
    wrong &= contradicted(contrast * sign, np.maximum(evidence.typical, 0))
    undecided = evidence.of_crystal < MIN_LONE_SEPARATION_STD
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
