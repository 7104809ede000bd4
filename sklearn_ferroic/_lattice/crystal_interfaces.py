"""Interfaces of crystals where brightness and bonds imply different labels.

If the columns on both sides differ, the order of brightness changes at the interface,
and labels follow the bonds across it; likewise if one order fades into the other. If
the columns are the same on both sides but exchanged, as at an antiphase boundary, the
labels of each crystal follow its brightness.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from .._utils.robust import STD_PER_MEDIAN
from .neighbor_graph import accumulate, is_decisive, spanning_forest

# Bonds determine the relation of two crystals if this share of them agree. Crystals are
# joined from this many bonds; bonds override brightness from a number that is the root
# of the smaller crystal's size within these limits.
_MIN_AGREEMENT_SHARE = 0.75
_MIN_CONTACT_BONDS = 1.5
_CONTACT_BONDS = (5, 8)
# Columns within this many spacings of a contact are compared, if there are at least
# this many of each kind.
_COMPARED_SPACINGS = 6.0
_MIN_COMPARED_COLUMNS = 4
# They are equal if their log brightness differs by less than this, by less than this
# share of the contrast, plus this many standard errors.
_SAME_LOG = 0.12
_SAME_SHARE = 0.25
_SAME_ERRORS = 2.0
# Brightness fades at a contact if columns within this many spacings of it have less
# than this share of the contrast.
_AT_CONTACT_SPACINGS = 1.0
_FADED_SHARE = 0.5
# Columns that deviate by more than this share of the contrast have the other level.
_WRONG_LABEL_SHARE = 0.75
# Rows within this many spacings of a contact can be labelled wrongly.
_BEHIND_CONTACT_SPACINGS = 2.0
# Deviations beyond this many times the typical one are downweighted.
_OUTLYING_RATIO = 2.0
_N_ROUNDS = 4
# A bond is straight if it differs from the previous one in the row by less than this
# share of the spacing. Above the larger share there is no previous bond, as everywhere
# on a honeycomb, and the continuity is unknown.
_STRAIGHT_SPACINGS = 0.4
_PREVIOUS_BOND_SPACINGS = 0.8
# Scale of the difference of bonds from earlier ones in the row, in units of the typical
# difference; this share of the spacing at least.
_MISFIT_RATIO = 2.0
_MIN_MISFIT_SPACINGS = 0.15


class Contact(NamedTuple):
    """Bonds between two crystals.

    Parameters
    ----------
    crystals : ndarray of int of shape (2,)
        The two crystals.
    bonds : ndarray of int of shape (n_bonds, 2)
        Columns of the first and of the second.
    """

    crystals: np.ndarray
    bonds: np.ndarray


def join_crystals(coloring, pairs, weight):
    """Join crystals whose labels agree with the bonds between them.

    Parameters
    ----------
    coloring : Coloring
        The crystals.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds between columns.
    weight : ndarray of shape (n_pairs,)
        Weight of each bond, about 1 for nearest neighbours.

    Returns
    -------
    coloring : Coloring
        The same with fewer crystals.
    """
    contacts, amount, alike = _contacts(coloring, pairs, weight)
    one = (-alike >= _MIN_AGREEMENT_SHARE * amount) & (amount >= _MIN_CONTACT_BONDS)
    ends = [contact.crystals for contact, own in zip(contacts, one, strict=True) if own]
    if not ends:
        return coloring
    n = len(coloring.favor)
    links = csr_array((np.ones(len(ends)), np.transpose(ends)), shape=(n, n))
    _, part = connected_components(links, directed=False)
    return coloring._replace(
        crystal=part[coloring.crystal], favor=np.bincount(part, coloring.favor)
    )


def opposed_contacts(coloring, pairs, weight):
    """Return contacts where bonds clearly contradict the brightness.

    Parameters
    ----------
    coloring, pairs, weight
        As in `join_crystals`.

    Returns
    -------
    contacts : list of Contact
        The contacts.
    """
    contacts, amount, alike = _contacts(coloring, pairs, weight)
    size = np.bincount(coloring.crystal)
    length = np.sqrt([size[contact.crystals].min() for contact in contacts])
    sure = (amount >= np.clip(length, *_CONTACT_BONDS)) & (
        alike >= _MIN_AGREEMENT_SHARE * amount
    )
    return [contact for contact, own in zip(contacts, sure, strict=True) if own]


def _contacts(coloring, pairs, weight):
    """Return contacts of crystals, with the weight of all and of equal-label bonds."""
    decisive = is_decisive(np.bincount(coloring.crystal), coloring.favor)
    if np.count_nonzero(decisive) < 2:
        return [], np.zeros(0), np.zeros(0)
    crystals = coloring.crystal[pairs]
    across = (crystals[:, 0] != crystals[:, 1]) & decisive[crystals].all(axis=1)
    bonds, crystals, weight = pairs[across], crystals[across], weight[across]
    order = crystals.argsort(axis=1)
    bonds = np.take_along_axis(bonds, order, axis=1)
    crystals = np.take_along_axis(crystals, order, axis=1)
    crystals, contact = np.unique(crystals, axis=0, return_inverse=True)
    contact, n_contacts = contact.reshape(-1), len(crystals)
    amount = np.bincount(contact, weight, n_contacts)
    same = coloring.sign[bonds].prod(axis=1)
    alike = np.bincount(contact, weight * same, n_contacts)
    order = np.argsort(contact, kind="stable")
    last = np.cumsum(np.bincount(contact, minlength=n_contacts))
    parts = np.split(bonds[order], last[:-1])
    return list(map(Contact, crystals, parts)), amount, alike


def extend_labels(coloring, contacts, positions, log_brightness, spacing):
    """Extend labels across contacts along the bonds, unless columns are exchanged.

    Parameters
    ----------
    coloring : Coloring
        The crystals.
    contacts : list of Contact
        Contacts where bonds clearly contradict the brightness.
    positions : ndarray of shape (n, 2)
        Columns, px.
    log_brightness : ndarray of shape (n,)
        Logarithm of their brightness.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    coloring : Coloring
        Crystals, joined where labels extend across a contact.
    """
    reach, links = _COMPARED_SPACINGS * spacing, []
    for contact in contacts:
        sides = [
            _columns_near(
                positions, np.flatnonzero(coloring.crystal == crystal), ends, reach
            )
            for crystal, ends in zip(contact.crystals, contact.bonds.T, strict=True)
        ]
        near, depth = map(np.concatenate, zip(*sides, strict=True))
        side = np.repeat([0, 2], [len(own) for own, _ in sides])
        kind = side + (coloring.sign[near] < 0)
        places = positions[near] / spacing
        if not _are_exchanged(kind, places, depth / spacing, log_brightness[near]):
            links.append(contact.crystals)
    n_crystals = len(coloring.favor)
    forest = spanning_forest(n_crystals, np.reshape(links, (-1, 2)).astype(np.intp))
    step = np.where(forest.parent == np.arange(n_crystals), 1, -1)
    sign = accumulate(forest.parent, step, np.multiply)
    favor = np.bincount(forest.part, coloring.favor * sign)
    sign = sign * np.where(favor < 0, -1, 1)[forest.part]
    return coloring._replace(
        sign=coloring.sign * sign[coloring.crystal],
        crystal=forest.part[coloring.crystal],
        favor=np.abs(favor),
    )


def _columns_near(positions, own, ends, reach):
    """Return the columns of a crystal near a contact, and their distances."""
    distance, _ = cKDTree(positions[ends]).query(
        positions[own], distance_upper_bound=reach
    )
    near = np.isfinite(distance)
    return own[near], distance[near]


def _are_exchanged(kind, places, depth, log_brightness):
    """Return whether two crystals have the same bright and the same dim columns.

    Kinds 0 and 1 are the bright and dim columns of the first crystal, 2 and 3 those of
    the second. Brightness may have a common gradient, due to the thickness.
    """
    count = np.bincount(kind, minlength=4)
    if count.min() < _MIN_COMPARED_COLUMNS:
        # Too few for a comparison: the bonds decide.
        return False
    # Rows at a fault may be labelled wrongly: compare the columns behind them.
    behind = depth > _BEHIND_CONTACT_SPACINGS
    if np.bincount(kind[behind], minlength=4).min() < _MIN_COMPARED_COLUMNS:
        behind[:] = True
    level, covariance, _ = _fit_levels(
        kind[behind], places[behind], log_brightness[behind], places.mean(axis=0)
    )
    off = log_brightness - _design(kind, places, places.mean(axis=0)) @ level
    contrast = np.array([level[0] - level[1], level[2] - level[3]])
    # Where brightness fades at a contact, bright columns are dimmer, dim ones brighter.
    # Wrong labels deviate by the whole contrast.
    excess = (
        np.where(kind % 2, off, -off)[depth < _AT_CONTACT_SPACINGS] / contrast.mean()
    )
    excess = excess[excess < _WRONG_LABEL_SHARE]
    if excess.size and 2 * excess.mean() > 1 - _FADED_SHARE:
        return False
    across = np.array([[1, 0, -1, 0, 0, 0], [0, 1, 0, -1, 0, 0]])
    differ = np.sqrt(np.mean((across @ level) ** 2))
    error = np.sqrt(np.trace(across @ covariance @ across.T) / 2)
    limit = min(_SAME_LOG, _SAME_SHARE * contrast.min())
    return differ < limit + _SAME_ERRORS * error


def have_same_levels(kind, places, log_brightness):
    """Check that two sets of columns have the same brightness levels.

    Parameters
    ----------
    kind : ndarray of int of shape (n,)
        0 and 1 for the bright and dim columns of the one set, 2 and 3 of the other.
    places : ndarray of shape (n, 2)
        Columns, in nearest-neighbour spacings.
    log_brightness : ndarray of shape (n,)
        Natural logarithm of their brightness.

    Returns
    -------
    same : bool
        Whether levels agree within their errors and a quarter of the contrast. Kinds
        with too few columns in one set are ignored; without common kinds,
        False.
    """
    count = np.bincount(kind, minlength=4)
    few = min(_MIN_COMPARED_COLUMNS, max(count[:2].max(), 1))
    common = np.flatnonzero((count[:2] >= few) & (count[2:] >= _MIN_COMPARED_COLUMNS))
    if not common.size or count[2:].min() < _MIN_COMPARED_COLUMNS:
        return False
    level, covariance, _ = _fit_levels(kind, places, log_brightness)
    difference = level[common] - level[common + 2]
    across = np.zeros((len(common), 6))
    across[range(len(common)), common] = 1
    across[range(len(common)), common + 2] = -1
    # Kinds are weighted by their columns in the first set: few are outliers.
    share = count[common] / count[common].sum()
    error = np.sqrt(share @ np.diagonal(across @ covariance @ across.T))
    limit = min(_SAME_LOG, _SAME_SHARE * (level[2] - level[3]))
    differ = np.sqrt(share @ difference**2)
    return bool(differ < limit + _SAME_ERRORS * error)


def _fit_levels(kind, places, log_brightness, origin=None):
    """Fit robust levels of four kinds of columns and slopes common to all.

    Return them, their covariance, and the deviation of each column.
    """
    origin = places.mean(axis=0) if origin is None else origin
    design = _design(kind, places, origin)
    weight = np.ones(len(kind))
    for _ in range(_N_ROUNDS):
        inverse = np.linalg.pinv(design.T * weight @ design)
        level = inverse @ (design.T @ (weight * log_brightness))
        off = log_brightness - design @ level
        scatter = STD_PER_MEDIAN * max(np.median(np.abs(off)), 1e-9)
        weight = 1 / np.maximum(np.abs(off) / (_OUTLYING_RATIO * scatter), 1)
    return level, scatter**2 * inverse, off


def _design(kind, places, origin):
    """Return the design matrix of four levels and two slopes."""
    return np.hstack([np.eye(4)[kind], places - origin])


def continuity(nearest, pairs, spacing, reach):
    """Compute how well each bond continues the rows at both of its ends.

    Parameters
    ----------
    nearest : Nearest
        Neighbours of the columns.
    pairs : ndarray of shape (n_pairs, 2)
        All bonds, as ``nearest.pairs(reach)`` lists them.
    spacing : float
        Nearest-neighbour spacing, px.
    reach : float
        Longest bond, px.

    Returns
    -------
    share : ndarray of shape (n_pairs,)
        1 where the lattice is continuous, 0 where it is broken; also 1 where it is
        unknown, at a border, at missing columns or on a lattice without straight rows.
    """
    misfit = _misfits(nearest, spacing, reach)
    column, place = np.nonzero(np.isfinite(misfit))
    if not column.size:
        return np.ones(len(pairs))
    misfit = misfit[column, place]
    scale = max(_MISFIT_RATIO * np.median(misfit), _MIN_MISFIT_SPACINGS * spacing)
    near, n = nearest.index[column, place], len(nearest.positions)
    bond = np.minimum(column, near) * n + np.maximum(column, near)
    bond = np.searchsorted(pairs @ [n, 1], bond)
    n_known = np.bincount(bond, minlength=len(pairs))
    squared = np.bincount(bond, misfit**2, len(pairs)) / np.maximum(n_known, 1)
    share = np.exp(-0.5 * squared / scale**2)
    return np.minimum(share / np.median(share), 1)


def _misfits(nearest, spacing, reach):
    """Return the difference of each column's bonds from those two columns before, px.

    Both bonds join the same two sublattices, so that displacements of one relative to
    the other, tilt and strain cause no difference.
    """
    positions, index = nearest.positions, nearest.index
    own = np.arange(len(positions))[:, None]
    bonded = (nearest.distance < reach) & (index != own)
    bond = positions[index] - positions[:, None]
    bend = np.linalg.norm(bond[:, :, None] + bond[:, None], axis=3)
    bend[~(bonded[:, :, None] & bonded[:, None])] = np.inf
    behind = bend.argmin(axis=2)
    bend = bend.min(axis=2)
    straight = bend < _STRAIGHT_SPACINGS * spacing
    # The column behind, its place for this one, and the column behind that.
    one = np.take_along_axis(index, behind, axis=1)
    is_own = index[one] == own[:, :, None]
    place = is_own.argmax(axis=2)
    known = straight & is_own.any(axis=2) & straight[one, place]
    two = one[one, place]
    misfit = np.linalg.norm(bond - positions[one] + positions[two], axis=2)
    misfit[~known] = np.nan
    broken = ~straight & (bend < _PREVIOUS_BOND_SPACINGS * spacing)
    misfit[broken] = bend[broken]
    return misfit
