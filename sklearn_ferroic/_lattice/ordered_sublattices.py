"""Sublattices of an ordered crystal, beyond two.

A sublattice consists of two if its columns have two levels of brightness that alternate
periodically, as those of ordered perovskites or of perovskites that show oxygen. Layers
and domains of another composition have two levels, too, but no translation of either
part maps it onto itself everywhere.
"""

import numpy as np
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu

from .local_lattice import lattice_vectors

# Brightness and displacement may differ between regions of this many spacings.
REGION_SPACINGS = 8
MAX_SUBLATTICES = 4
# Columns of a sublattice that may be two, and least share of each of these.
_MIN_MEMBERS = 60
_MIN_SHARE = 0.2
# Brightness is compared with the mean over this number of nearest columns of the same
# sublattice.
_N_COMPARED = 12
_N_ROUNDS = 2
# The levels differ by this much in log brightness, and by this many standard deviations
# within them: 2.6 for the halves of a normal distribution, 3.5 for a uniform one.
_MIN_GAP = 0.08
_MIN_CLEARNESS = 4.5
# Translations by the lattice vectors of each part lead to columns of the same part in
# this share of the cases; a column within this share of the shorter vector counts.
_MIN_PERIODIC = 0.93
_SAME_PLACE = 0.3
# On a honeycomb most columns have three bonds, whose third moment is 1 or -1.
_N_HONEYCOMB_BONDS = 3
_MIN_HONEYCOMB_SHARE = 0.5
_MIN_BOND_MOMENT = 0.5


def split_ordered(label, positions, log_brightness, spacing):
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

    Returns
    -------
    label : ndarray of int of shape (n,)
        The sublattices in the order of their brightness; the same as before if none
        is divided.
    """
    before = label
    to_do = list(range(label.max() + 1))
    while to_do and label.max() + 1 < MAX_SUBLATTICES:
        number = to_do.pop(0)
        members = np.flatnonzero(label == number)
        faint = _fainter_part(positions[members], log_brightness[members])
        if faint is not None:
            label = label.copy()
            new = label.max() + 1
            label[members[faint]] = new
            to_do += [number, new]
    if label is before:
        return label
    level = regional_levels(log_brightness, positions, label, spacing)
    return np.argsort(np.argsort(-level))[label]


def _fainter_part(positions, log_brightness):
    """Return the fainter columns if they and the others are lattices, else None."""
    n = len(positions)
    if n < _MIN_MEMBERS:
        return None
    tree = cKDTree(positions)
    _, near = tree.query(positions, _N_COMPARED + 1)
    level = log_brightness
    for _ in range(_N_ROUNDS):
        value = log_brightness - level[near].mean(axis=1)
        if np.ptp(value) == 0:
            return None
        faint = value < threshold_otsu(value)
        if not _MIN_SHARE < faint.mean() < 1 - _MIN_SHARE:
            return None
        levels = [np.median(value[part]) for part in (~faint, faint)]
        # At a border, the nearest columns may be of one part mostly.
        level = log_brightness - np.where(faint, levels[1], levels[0])
    scatter = np.hypot(
        *(
            1.4826 * np.median(np.abs(value[part] - level)) * np.sqrt(part.mean())
            for part, level in zip((~faint, faint), levels, strict=True)
        )
    )
    gap = levels[0] - levels[1]
    if gap < max(_MIN_GAP, _MIN_CLEARNESS * scatter):
        return None
    vectors = lattice_vectors(positions, faint.astype(np.intp))
    for part in (faint, ~faint):
        if _periodic_share(positions, part, vectors, tree) < _MIN_PERIODIC:
            return None
    return faint


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
    found = distance < _SAME_PLACE * length[:, None]
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
    for number in np.flatnonzero(np.bincount(crystal) >= _MIN_MEMBERS):
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
