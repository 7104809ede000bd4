"""Where crystals meet whose brightness tells other names than the bonds between them.

If other columns stand on the other side, an interface has exchanged the order of
brightness, and the names are carried across it. If the same columns stand there, only
exchanged, as at an antiphase boundary, each crystal keeps the names of its brightness.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import median_abs_deviation

from ._coloring import is_voiced
from ._forest import accumulate, spanning_forest

# Names are carried by so many bonds, by the root of the smaller crystal's size within
# these limits, of which so many agree.
_CONTACT = (5, 8)
_AGREEMENT = 0.9
# Columns within so many spacings of a contact are compared, so many of each kind.
_BESIDE = 6.0
_MIN_COMPARED = 4
# They are the same if their log brightness differs by less than this, by less than this
# share of the contrast, give or take so many standard errors.
_SAME = 0.15
_SAME_SHARE = 0.25
_SAME_ERRORS = 2.0


class Contact(NamedTuple):
    """Bonds between two crystals.

    Parameters
    ----------
    crystals : ndarray of int of shape (2,)
        Which crystals.
    bonds : ndarray of int of shape (n_bonds, 2)
        Columns of the one and of the other.
    """

    crystals: np.ndarray
    bonds: np.ndarray


def opposed_contacts(coloring, pairs, weight):
    """Find where bonds are sure of a relation that brightness contradicts.

    Parameters
    ----------
    coloring : Coloring
        The crystals.
    pairs : ndarray of shape (n_pairs, 2)
        Bonds between columns.
    weight : ndarray of shape (n_pairs,)
        How surely they join nearest neighbours.

    Returns
    -------
    contacts : list of Contact
        Where.
    """
    size = np.bincount(coloring.crystal)
    voiced = is_voiced(size, coloring.favor)
    if np.count_nonzero(voiced) < 2:
        return []
    crystals = coloring.crystal[pairs]
    across = (crystals[:, 0] != crystals[:, 1]) & voiced[crystals].all(axis=1)
    bonds, crystals, weight = pairs[across], crystals[across], weight[across]
    order = crystals.argsort(axis=1)
    bonds = np.take_along_axis(bonds, order, axis=1)
    crystals = np.take_along_axis(crystals, order, axis=1)
    crystals, contact = np.unique(crystals, axis=0, return_inverse=True)
    contact = contact.reshape(-1)
    n_contacts = len(crystals)
    amount = np.bincount(contact, weight, n_contacts)
    alike = np.bincount(contact, weight * coloring.sign[bonds].prod(axis=1), n_contacts)
    length = np.sqrt(size[crystals].min(axis=1))
    sure = (amount >= np.clip(length, *_CONTACT)) & (alike >= _AGREEMENT * amount)
    return [
        Contact(crystals[number], bonds[contact == number])
        for number in np.flatnonzero(sure)
    ]


def carry_names(coloring, contacts, positions, log_brightness, spacing):
    """Give crystals that differ in more than the names those that the bonds tell.

    Parameters
    ----------
    coloring : Coloring
        The crystals.
    contacts : list of Contact
        Where bonds are sure of a relation that brightness contradicts.
    positions : ndarray of shape (n, 2)
        Columns, px.
    log_brightness : ndarray of shape (n,)
        Logarithm of their brightness.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    sign : ndarray of shape (n,)
        −1 or 1; in crystals whose names hang together 1 is what most votes are for.
    """

    def beside(crystal, ends):
        own = np.flatnonzero(coloring.crystal == crystal)
        tree = cKDTree(positions[ends])
        distance, _ = tree.query(positions[own], distance_upper_bound=_BESIDE * spacing)
        own = own[np.isfinite(distance)]
        return [log_brightness[own[coloring.sign[own] == sign]] for sign in (1, -1)]

    links = [
        contact.crystals
        for contact in contacts
        if not _are_alike(*map(beside, contact.crystals, contact.bonds.T))
    ]
    n_crystals = len(coloring.favor)
    forest = spanning_forest(n_crystals, np.reshape(links, (-1, 2)).astype(np.intp))
    step = np.where(forest.parent == np.arange(n_crystals), 1, -1)
    turn = accumulate(forest.parent, step, np.multiply)
    favor = np.bincount(forest.part, coloring.favor * turn)
    turn = turn * np.where(favor < 0, -1, 1)[forest.part]
    return coloring.sign * turn[coloring.crystal]


def _are_alike(first, second):
    """Tell whether two crystals have the same bright and the same dim columns."""
    samples = [*first, *second]
    if min(map(len, samples)) < _MIN_COMPARED:
        return False
    level = np.array([np.median(sample) for sample in samples]).reshape(2, 2)
    scatter = np.array(
        [median_abs_deviation(sample, scale="normal") for sample in samples]
    )
    error = np.sqrt(np.sum(scatter**2 / [len(sample) for sample in samples]) / 2)
    contrast = np.subtract(*level.T).min()
    differ = np.sqrt(np.mean((level[0] - level[1]) ** 2))
    return differ < min(_SAME, _SAME_SHARE * contrast) + _SAME_ERRORS * error
