"""Lattice places that should contain a column but do not.

Every site expects columns of its own sublattice one lattice vector away. Where several
sites around a place expect one there, and no site of any sublattice is near, the place
is empty. Only the local lattice is used, so that domains, bent crystals and grains of
any orientation are treated equally.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

# One cell around a site: all places that share an edge or a corner with its own.
_STEPS = np.array(
    [[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1], [-1, -1], [1, -1], [-1, 1]]
)
# Neighbours that a site is compared with: the first two shells of a square lattice.
N_NEIGHBORS = 8
# Lengths below are in units of the usual distance of nearest neighbours (the local
# spacing). A neighbour occupies a place if it is this near in fractions of the cell.
_HELD_FRACTION = 0.2
# A place is empty if no site is nearer than this; between the two distances a site may
# be two columns fitted as one, or one that strain has moved.
_HELD_SPACINGS = 0.4
EMPTY_SPACINGS = 0.6
# Expectations of the same place agree to within this distance.
_AGREEMENT_SPACINGS = 0.3
# Sites that must expect the column, fewer if the image confirms it ...
_MIN_VOTES, _MIN_VOTES_CONFIRMED = 3, 2
# ... and leave no wider angle between them around the place: a place beyond a
# straight edge or in an inner corner of the crystal leaves 180° or more.
_WIDEST_GAP_DEG = 165
# A place this near the border cannot be distinguished from one beyond it.
_BORDER_SPACINGS = 0.35
# Rounds in which places that the image confirms extend the lattice into a hole.
_MAX_ROUNDS = 40


class EmptyPlaces(NamedTuple):
    """Lattice places without a column.

    Parameters
    ----------
    positions : ndarray of shape (m, 2)
        Where a column is expected, px.
    sublattice : ndarray of int of shape (m,)
        Of which sublattice.
    n_votes : ndarray of int of shape (m,)
        Number of sites that expect it.
    spacing : ndarray of shape (m,)
        Usual distance of nearest neighbours there, px.
    distance : ndarray of shape (m,)
        Distance of the nearest site of any sublattice, px.
    enclosed : ndarray of bool of shape (m,)
        Whether at least three sites that expect it surround it, together with the
        border of the image.
    at_border : ndarray of bool of shape (m,)
        Whether sites alone do not surround it: the crystal may end there.
    amplitude, sigma : ndarray of shape (m,)
        Of a column there: means of the sites that expect it.
    vectors : ndarray of shape (m, 2, 2)
        Mean lattice vectors of those sites.
    """

    positions: np.ndarray
    sublattice: np.ndarray
    n_votes: np.ndarray
    spacing: np.ndarray
    distance: np.ndarray
    enclosed: np.ndarray
    at_border: np.ndarray
    amplitude: np.ndarray
    sigma: np.ndarray
    vectors: np.ndarray

    def take(self, rows):
        """Return some of the places, by index or mask."""
        return EmptyPlaces(*(part[rows] for part in self))


class Lattice(NamedTuple):
    """Sites of one image with their local lattice.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Sites, px.
    sublattice : ndarray of int of shape (n,)
        Their labels.
    vectors : ndarray of shape (n, 2, 2)
        Their lattice vectors, NaN where unknown.
    amplitude, sigma : ndarray of shape (n,)
        Of their columns, NaN where unknown.
    spacing : ndarray of shape (n,)
        Usual distance of nearest neighbours around them, px.
    is_guess : ndarray of bool of shape (n,), default=None
        Whether the vectors are those of another sublattice.
    """

    positions: np.ndarray
    sublattice: np.ndarray
    vectors: np.ndarray
    amplitude: np.ndarray
    sigma: np.ndarray
    spacing: np.ndarray
    is_guess: np.ndarray | None = None


def plain_tree(positions):
    """Return a search tree without balancing, fast for evenly spaced sites."""
    return cKDTree(positions, balanced_tree=False, compact_nodes=False)


def local_spacing(distance, index):
    """Compute the usual distance of nearest neighbours around each site.

    Parameters
    ----------
    distance, index : ndarray of shape (n, k)
        Distances to the nearest sites, px, and their indices; each site itself first.

    Returns
    -------
    spacing : ndarray of shape (n,)
        Median over the site and those around it, but no more than the median of all:
        where columns are missing the distances are those of the next neighbours.
    """
    nearest = distance[:, 1]
    return np.minimum(np.median(nearest[index], axis=1), np.median(nearest))


def find_empty_places(lattice, shape, mask=None, confirm=None):
    """Find places inside the crystal that should contain a column but do not.

    Parameters
    ----------
    lattice : Lattice
        The sites.
    shape : tuple of int
        Shape of the image.
    mask : ndarray of bool of that shape, default=None
        True for the pixels that are used; places on others are left out.
    confirm : callable, default=None
        ``confirm(places)`` returns which of the EmptyPlaces show a column in the image
        beyond doubt, and where it is, px, shape (m, 2). Those need not be surrounded
        by sites, and the search continues from them, so that a whole region without
        sites is found from its rim.

    Returns
    -------
    places : EmptyPlaces
        The places, from top to bottom.
    """
    vectors, is_guess = _borrow_vectors(lattice)
    known = lattice._replace(vectors=vectors, is_guess=is_guess)
    found = _one_round(known, np.arange(len(known.positions)), shape, mask)
    chosen = [found.take(found.enclosed)]
    for _ in range(_MAX_ROUNDS if confirm is not None else 0):
        is_seen, seen_at = confirm(found)
        seen = found._replace(positions=seen_at).take(is_seen)
        rim = seen.take(~seen.enclosed)
        if not len(rim.positions):
            break
        chosen.append(rim)
        known = Lattice(
            np.concatenate([known.positions, seen.positions]),
            np.concatenate([known.sublattice, seen.sublattice]),
            np.concatenate([known.vectors, seen.vectors]),
            np.concatenate([known.amplitude, seen.amplitude]),
            np.concatenate([known.sigma, seen.sigma]),
            np.concatenate([known.spacing, seen.spacing]),
            np.concatenate([known.is_guess, np.zeros(len(seen.spacing), dtype=bool)]),
        )
        reach = 2.1 * np.sqrt((seen.vectors**2).sum(axis=2)).max()
        near, _ = cKDTree(seen.positions).query(
            known.positions, distance_upper_bound=reach
        )
        active = np.flatnonzero(np.isfinite(near))
        found = _one_round(known, active, shape, mask)
        chosen.append(found.take(found.enclosed & _is_new(chosen, found)))
    joined = EmptyPlaces(*(np.concatenate(part) for part in zip(*chosen, strict=True)))
    joined = joined.take(_first_of_each(joined))
    if len(joined.positions):
        distance, _ = plain_tree(lattice.positions).query(joined.positions)
        joined = joined._replace(distance=distance)
    return joined.take(np.lexsort(joined.positions.T[::-1]))


def _is_new(chosen, found):
    """Return which places have not been chosen before."""
    before = np.concatenate([places.positions for places in chosen])
    if not len(before) or not len(found.positions):
        return np.ones(len(found.positions), dtype=bool)
    distance, _ = cKDTree(before).query(found.positions)
    return distance > _HELD_SPACINGS * found.spacing


def _borrow_vectors(lattice):
    """Fill unknown lattice vectors with those of the nearest site that has some.

    The translations of another sublattice may be finer than those of the crystal: what
    follows from them is a guess.
    """
    vectors = lattice.vectors.copy()
    is_guess = np.zeros(len(vectors), dtype=bool)
    unknown = ~np.isfinite(vectors).all(axis=(1, 2))
    alike = [lattice.sublattice == label for label in np.unique(lattice.sublattice)]
    for own in [*alike, np.ones(len(unknown), dtype=bool)]:
        lender, borrower = np.flatnonzero(own & ~unknown), np.flatnonzero(own & unknown)
        if not len(lender) or not len(borrower):
            continue
        distance, nearest = cKDTree(lattice.positions[lender]).query(
            lattice.positions[borrower]
        )
        lent = vectors[lender[nearest]]
        # One cell away it is the same lattice, farther perhaps another crystal.
        near = distance < 1.5 * np.sqrt((lent**2).sum(axis=2)).max(axis=1)
        vectors[borrower[near]] = lent[near]
        unknown[borrower[near]] = False
        is_guess[borrower[near]] = own.all() and len(alike) > 1
    return vectors, is_guess


def _one_round(lattice, active, shape, mask):
    """Return the empty places that the active sites expect."""
    place, voter = _expected(lattice, active)
    spacing = lattice.spacing[voter]
    inside = ~_is_unseen(place, spacing, shape=shape, mask=mask)
    place, voter = place[inside], voter[inside]
    distance = np.empty(0)
    if len(place):
        distance, _ = plain_tree(lattice.positions).query(place)
        empty = distance > _HELD_SPACINGS * lattice.spacing[voter]
        place, voter = place[empty], voter[empty]
    part, n_parts = _agreeing(place, lattice.sublattice[voter], lattice.spacing[voter])
    unseen = partial(_is_unseen, shape=shape, mask=mask)
    places = _places_of(lattice, place, voter, part, n_parts, unseen)
    places = places.take(places.n_votes >= _MIN_VOTES_CONFIRMED)
    if len(places.positions):
        distance, _ = plain_tree(lattice.positions).query(places.positions)
        places = places._replace(distance=distance)
        places = places.take(distance > _HELD_SPACINGS * places.spacing)
    return places.take(_first_of_each(places))


def _is_unseen(place, spacing, *, shape, mask):
    """Return which places are off the image, at its border or masked."""
    last = np.array(shape) - 1
    margin = _BORDER_SPACINGS * spacing[:, None]
    unseen = ((place < margin) | (place > last - margin)).any(axis=1)
    if mask is not None:
        pixel = np.clip(np.rint(place).astype(np.intp), 0, last)
        unseen |= ~mask[tuple(pixel.T)]
    return unseen


def _expected(lattice, active):
    """Return where sites expect neighbours that are not among their nearest ones."""
    held = np.zeros((len(active), len(_STEPS)), dtype=bool)
    for label in np.unique(lattice.sublattice[active]):
        own = np.flatnonzero(lattice.sublattice == label)
        asks = np.flatnonzero(lattice.sublattice[active] == label)
        k = min(N_NEIGHBORS + 1, len(own))
        if k < 2:
            continue
        positions = lattice.positions[own]
        _, near = plain_tree(positions).query(lattice.positions[active[asks]], k=k)
        (a_row, a_col), (b_row, b_col) = lattice.vectors[active[asks]].transpose(
            1, 2, 0
        )
        area = a_col * b_row - a_row * b_col
        row, col = (positions[near] - lattice.positions[active[asks], None]).transpose(
            2, 1, 0
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            i = (b_row * col - b_col * row) / area
            j = (a_col * row - a_row * col) / area
            for number, (along_a, along_b) in enumerate(_STEPS):
                holds = np.abs(i - along_a) < _HELD_FRACTION
                holds &= np.abs(j - along_b) < _HELD_FRACTION
                held[asks, number] = holds.any(axis=0)
    held |= ~np.isfinite(lattice.vectors[active]).all(axis=(1, 2))[:, None]
    voter, step = np.nonzero(~held)
    voter = active[voter]
    # A sum of two lattice vectors: steps (n, 2) times vectors (n, 2, 2).
    offset = np.einsum("ni,nij->nj", _STEPS[step].astype(float), lattice.vectors[voter])
    return lattice.positions[voter] + offset, voter


def _agreeing(place, sublattice, spacing):
    """Group expected positions of one sublattice that belong to the same place."""
    n = len(place)
    if n == 0:
        return np.empty(0, dtype=np.intp), 0
    # Labels far apart in a third dimension: pairs are of one sublattice.
    apart = np.column_stack([place, sublattice * 10.0 * spacing.max()])
    tolerance = _AGREEMENT_SPACINGS * spacing
    pairs = cKDTree(apart).query_pairs(tolerance.max(), output_type="ndarray")
    distance = np.hypot(*(place[pairs[:, 0]] - place[pairs[:, 1]]).T)
    pairs = pairs[distance <= tolerance[pairs].min(axis=1)]
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
    n_parts, part = connected_components(graph, directed=False)
    return part, n_parts


def _places_of(lattice, place, voter, part, n_parts, unseen):
    """Average the expected positions of each place and check that sites surround it.

    Lattice places outside the image may contain sites that expect it, too.
    """
    count = np.bincount(part, minlength=n_parts)

    def mean(values):
        return np.bincount(part, values, minlength=n_parts) / np.maximum(count, 1)

    center = np.column_stack([mean(place[:, 0]), mean(place[:, 1])])
    arm = lattice.positions[voter] - center[part]
    first = np.zeros(n_parts, dtype=np.intp)
    first[part] = voter
    vectors = lattice.vectors[voter].reshape(-1, 4)
    vectors = np.stack([mean(vectors[:, i]) for i in range(4)], axis=1)
    vectors = vectors.reshape(-1, 2, 2)
    spacing = mean(lattice.spacing[voter])
    steps = np.einsum("si,nij->nsj", _STEPS.astype(float), vectors)
    around = (center[:, None] + steps).reshape(-1, 2)
    hidden = np.flatnonzero(unseen(around, np.repeat(spacing, len(_STEPS))))
    n_sure = np.bincount(part[~lattice.is_guess[voter]], minlength=n_parts)
    by_sites = _widest_gap(arm, part, n_parts) < np.deg2rad(_WIDEST_GAP_DEG)
    arm = np.concatenate([arm, steps.reshape(-1, 2)[hidden]])
    part_of_arm = np.concatenate([part, hidden // len(_STEPS)])
    enclosed = _widest_gap(arm, part_of_arm, n_parts) < np.deg2rad(_WIDEST_GAP_DEG)
    return EmptyPlaces(
        center,
        lattice.sublattice[first],
        count,
        spacing,
        np.zeros(n_parts),
        enclosed & (n_sure >= _MIN_VOTES),
        ~by_sites,
        mean(lattice.amplitude[voter]),
        mean(lattice.sigma[voter]),
        vectors,
    )


def _widest_gap(arm, part, n_parts):
    """Compute the widest gap between the directions of each group."""
    angle = np.arctan2(arm[:, 0], arm[:, 1])
    gap = np.full(n_parts, 2 * np.pi)
    if not len(angle):
        return gap
    order = np.lexsort((angle, part))
    angle, part = angle[order], part[order]
    is_first = np.diff(part, prepend=-1) > 0
    start = np.flatnonzero(is_first)
    step = np.diff(angle, prepend=angle[0])
    # From the last direction of a group round to its first.
    end = np.append(start[1:], len(angle)) - 1
    step[start] = angle[start] + 2 * np.pi - angle[end]
    gap[part[start]] = np.maximum.reduceat(step, start)
    return gap


def _first_of_each(places):
    """Return which places to keep among those that are close to each other."""
    n = len(places.positions)
    if n < 2:
        return np.ones(n, dtype=bool)
    reach = 0.5 * places.spacing
    pairs = cKDTree(places.positions).query_pairs(reach.max(), output_type="ndarray")
    distance = np.hypot(
        *(places.positions[pairs[:, 0]] - places.positions[pairs[:, 1]]).T
    )
    pairs = pairs[distance < reach[pairs].min(axis=1)]
    # Surrounded ones before others, then those that more sites expect.
    rank = np.lexsort((np.arange(n), -places.n_votes, ~places.enclosed))
    order = np.empty(n, dtype=np.intp)
    order[rank] = np.arange(n)
    keep = np.ones(n, dtype=bool)
    better = np.take_along_axis(pairs, order[pairs].argsort(axis=1), axis=1)
    for winner, loser in better[np.argsort(order[better[:, 0]], kind="stable")]:
        if keep[winner]:
            keep[loser] = False
    return keep
