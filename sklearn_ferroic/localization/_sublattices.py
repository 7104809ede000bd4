"""Which sublattice a column belongs to, from geometry and brightness together.

Nearest neighbours belong to different sublattices: geometry alone divides a crystal
in two, over interfaces and around dislocations. Brightness names the two, once for
each connected crystal, so that the names are carried across an interface where the
order of brightness changes, but not over a break in the lattice. Where neighbours
cannot all be different, as on a triangular lattice, brightness divides alone.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from ._coloring import clean_colors, color_in_two
from ._continuity import continuity
from ._interfaces import carry_names, join_crystals, opposed_contacts
from ._neighbors import Nearest

# Neighbours stand within this many nearest-neighbour spacings, and their bonds count
# by how near they come to one spacing.
_NEIGHBOR_REACH = 1.28
_BOND_SCATTER = 0.15
# Columns that come closer than that belong to a lattice finer than was thought.
_MIN_SPACING = 0.8
# Two sublattices differ by this much in log brightness at least, by this many times
# the scatter within them, and neighbours seldom carry the same label. Chance alone
# separates crystals of m columns by some 1 / sqrt(m), as each chooses its names.
_MIN_CONTRAST = 0.04
_MIN_SEPARATION = 0.4
_CHANCE_SEPARATION = 3
_MAX_FRUSTRATION = 0.07
# A triangular lattice cannot do with less than a third.
_MAX_FORCED_FRUSTRATION = 0.2
# A vote is full at this share of the typical contrast.
_LOUDNESS = 3
# The contrast may differ from region to region, of so many spacings.
_REGION = 8


class Split(NamedTuple):
    """A division into two sublattices.

    Parameters
    ----------
    label : ndarray of int of shape (n,)
        0 = the brighter in most of the crystal.
    separation : float
        Difference of log brightness against the scatter within the sublattices.
    distinct : bool
        Whether these are two sublattices and not one.
    """

    label: np.ndarray
    separation: float
    distinct: bool


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
        How many to look for; "auto" decides between one and two.
    nearest : Nearest, default=None
        Who stands near whom, if it is known.

    Returns
    -------
    sublattice : ndarray of int of shape (n,)
        Labels, 0 = the brightest of a crystal as a whole: where an interface exchanges
        the order of brightness, that of most columns counts.
    """
    label = np.zeros(len(positions), dtype=np.intp)
    if len(positions) < 2:
        return label
    brightness = np.log(np.maximum(brightness, 1e-6 * brightness.max()))
    if n_sublattices == "auto":
        split = split_in_two(positions, brightness, spacing, nearest)
        return split.label if split.distinct else label
    for n_so_far in range(1, min(n_sublattices, len(positions))):
        label = _split_one_more(label, n_so_far, positions, brightness, spacing)
    return label


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
        Who stands near whom, if it is known.

    Returns
    -------
    split : Split
        Labels, and whether they mean anything.
    """
    n = len(positions)
    nearest = nearest or Nearest(positions)
    spacing = _own_spacing(nearest, spacing)
    pairs, distance = nearest.pairs(_NEIGHBOR_REACH * spacing)
    if not len(pairs):
        return Split(_split_by_brightness(log_brightness), 0.0, False)
    weight = np.exp(-0.5 * ((distance / spacing - 1) / _BOND_SCATTER) ** 2)
    graph = _surroundings(n, pairs, weight)
    contrast = log_brightness - graph @ log_brightness
    alone = np.bincount(pairs.ravel(), minlength=n) == 0
    contrast[alone] = 0
    # A majority of columns decides: none shouts, at an interface or elsewhere.
    typical = max(float(np.median(np.abs(contrast))), 1e-6)
    vote = np.clip(_LOUDNESS * contrast / typical, -1, 1)
    coloring, weight = _color_crystals(
        nearest, pairs, weight, vote, log_brightness, spacing
    )
    sign = coloring.sign
    same = sign[pairs[:, 0]] == sign[pairs[:, 1]]
    frustration = np.average(same, weights=weight)
    if frustration > _MAX_FORCED_FRUSTRATION:
        return Split(_split_by_brightness(contrast), 0.0, False)
    label = np.where(sign > 0, 0, 1)
    label[alone] = _label_by_company(positions, log_brightness, label, alone)

    middle, scatter = _typical_contrast(
        (contrast * sign)[~alone], positions[~alone], _REGION * spacing
    )
    separation = middle / max(scatter, 1e-9)
    size = np.bincount(coloring.crystal[~alone])
    chance = np.sqrt(size).sum() / size.sum()
    distinct = (
        middle > _MIN_CONTRAST
        and separation > _MIN_SEPARATION + _CHANCE_SEPARATION * chance
        and frustration < _MAX_FRUSTRATION
    )
    return Split(label, separation, bool(distinct))


def _color_crystals(nearest, pairs, weight, vote, log_brightness, spacing):
    """Colour columns; bonds between crystals that are named apart weigh nothing."""
    n = len(nearest.positions)

    def color(weight):
        coloring = join_crystals(color_in_two(n, pairs, weight, vote), pairs, weight)
        return coloring, opposed_contacts(coloring, pairs, weight)

    coloring, contacts = color(weight)
    if contacts:
        # The lattice may be broken there.
        reach = _NEIGHBOR_REACH * spacing
        weight = weight * continuity(nearest, pairs, spacing, reach)
        coloring, contacts = color(weight)
        coloring = carry_names(
            coloring, contacts, nearest.positions, log_brightness, spacing
        )
        weight = weight * ~_are_apart(coloring, contacts, pairs)
    sign = clean_colors(coloring.sign, _surroundings(n, pairs, weight))
    return coloring._replace(sign=sign), weight


def _are_apart(coloring, contacts, pairs):
    """Tell which bonds lead across contacts that names are not carried over."""
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
    """Share of each neighbour in a column's surroundings, rows summing to 1."""
    ends, weight = np.concatenate([pairs, pairs[:, ::-1]]).T, np.tile(weight, 2)
    total = np.bincount(ends[0], weight, minlength=n)
    return csr_array((weight / total[ends[0]], ends), shape=(n, n))


def _typical_contrast(contrast, positions, region):
    """Median over regions of the size of their contrast, and the scatter in them."""
    off = _less_regional(contrast, positions, region)
    scatter = 1.4826 * float(np.median(np.abs(off)))
    return float(np.median(np.abs(contrast - off))), scatter


def _less_regional(values, positions, region):
    """Subtract the median of the square region that a column stands in."""
    place = _places(positions, region)
    return values - _medians(values, place)[place]


def _places(positions, region):
    """Tell by number which square region each column stands in."""
    place = np.floor((positions - positions.min(axis=0)) / region).astype(np.intp)
    return np.unique(place @ [place[:, 1].max() + 1, 1], return_inverse=True)[1]


def _medians(values, group):
    """Upper median of each group."""
    order = np.lexsort((values, group))
    size = np.bincount(group)
    return values[order[np.cumsum(size) - size + size // 2]]


def _label_by_company(positions, log_brightness, label, alone):
    """Label columns without neighbours like the nearest ones of their brightness."""
    if not alone.any():
        return label[alone]
    others = np.flatnonzero(~alone)
    n_asked = min(8, len(others))
    _, index = cKDTree(positions[others]).query(
        positions[alone], k=[*range(1, n_asked + 1)]
    )
    asked = others[index]
    unlike = np.abs(log_brightness[asked] - log_brightness[alone, None])
    return label[
        np.take_along_axis(asked, unlike.argmin(axis=1)[:, None], axis=1)[:, 0]
    ]


def _split_by_brightness(log_brightness):
    if np.ptp(log_brightness) == 0:
        return np.zeros(len(log_brightness), dtype=np.intp)
    return (log_brightness < threshold_otsu(log_brightness)).astype(np.intp)


def _split_one_more(label, n_so_far, positions, log_brightness, spacing):
    """Divide that sublattice whose halves differ most; order by brightness."""
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
    level = _regional_levels(log_brightness, positions, label, spacing)
    return np.argsort(np.argsort(-level))[label]


def _regional_levels(log_brightness, positions, label, spacing):
    """Level of each sublattice against the others in the same regions.

    What is brighter as a region is not brighter as a sublattice.
    """
    n_labels = label.max() + 1
    place = _places(positions, _REGION * spacing)
    cell, own = np.unique(place * n_labels + label, return_inverse=True)
    levels = np.full((place.max() + 1, n_labels), np.nan)
    levels.flat[cell] = _medians(log_brightness, own)
    whole = np.isfinite(levels).all(axis=1)
    levels = levels[whole] if whole.any() else levels
    return np.nanmedian(levels - np.nanmean(levels, axis=1, keepdims=True), axis=0)
