"""Checks of the sites of one image against their lattice, each other and the image."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from ..._lattice.neighbors import Nearest, sublattice_members
from ..._utils.robust import STD_PER_MEDIAN
from .._flags import SiteFlag
from .empty_places import (
    EMPTY_SPACINGS,
    N_NEIGHBORS,
    EmptyPlaces,
    Lattice,
    find_empty_places,
    local_spacing,
)
from .residual import column_amplitudes

# Nearer than this share of the local spacing, two sites are a short pair ...
_SHORT_PAIR_SPACINGS = 0.55
# ... unless this many neighbours of the same sublattice have such a partner at the same
# offset, to within this share of its length: then the pair belongs to the motif.
_N_REGULAR, _SAME_OFFSET_SHARE = 3, 0.3
# Two columns as one: wider by this factor or longer by that one, with more intensity
# by the third, than the neighbours of the same sublattice ...
_WIDER_RATIO, _LONGER_RATIO, _MORE_RATIO = 1.2, 1.35, 1.25
# ... and each by this many robust standard deviations of all columns.
_OUTLYING_STD = 5.0
# A site between two empty places: both are within this many spacings of it, in
# directions at least this far apart.
_BETWEEN_SPACINGS, _OPPOSITE_DEG = 0.8, 120
# Vacancies are ordered if most of this many vacancies nearest to one of them, up to
# this many spacings away, lie opposite to another one, and if there are at least this
# many vacancies for each site.
_N_ORDERED, _ORDERED_REACH_SPACINGS, _MIN_ORDERED_SHARE = 6, 3.0, 0.08
# Sites this many spacings from an empty place, or less, are its neighbours.
_ADJACENT_SPACINGS = 1.38
# Amplitudes of fewer standard errors are of low significance.
_MIN_SIGNIFICANCE = 3.0
# An empty place shows a column above this share of the neighbours' amplitude; below it
# is a vacancy, if the share is known to within its standard error.
_SHOWS_SHARE, _MAX_SHARE_STD = 0.3, 0.2
# At the border, where the crystal may end, it must also have this many standard errors.
_SHOWS_SIGNIFICANCE = 2.0
# Confirmed columns have this share, this many standard errors, and a maximum there.
_SURE_SHARE, _SURE_SIGNIFICANCE, _SURE_OFFSET_SIGMA = 0.5, 4.0, 0.6


class ImageCheck(NamedTuple):
    """Results of the checks of one image.

    Parameters
    ----------
    flags : ndarray of uint16 of shape (n,)
        Bits of SiteFlag.
    places : EmptyPlaces
        Lattice places without a column.
    relative_amplitude, relative_std : ndarray of shape (m,)
        Height of the image at the places, over that of the columns around, and its
        standard error; NaN where it cannot be measured.
    central_amplitude : ndarray of shape (m,)
        The same without a search for the best position, free of bias.
    is_vacancy : ndarray of bool of shape (m,)
        Whether the image shows no column there.
    short_pairs : ndarray of int of shape (n_pairs, 2)
        Sites too close to each other.
    spacing : ndarray of shape (n,)
        Usual distance of nearest neighbours around each site, px.
    n_merged_places : int
        Number of empty places that merged sites account for.
    """

    flags: np.ndarray
    places: EmptyPlaces
    relative_amplitude: np.ndarray
    relative_std: np.ndarray
    central_amplitude: np.ndarray
    is_vacancy: np.ndarray
    short_pairs: np.ndarray
    spacing: np.ndarray
    n_merged_places: int


def check_image(
    image,
    columns,
    sublattice,
    vectors,
    *,
    converged=None,
    significance=None,
    mask=None,
    nearest=None,
    members=None,
):
    """Check the sites of one image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    columns : Columns
        The fitted columns.
    sublattice : ndarray of int of shape (n,)
        Their labels.
    vectors : ndarray of shape (n, 2, 2)
        Their lattice vectors, NaN where unknown.
    converged : ndarray of bool of shape (n,), default=None
        Whether their fits can be trusted.
    significance : ndarray of shape (n,), default=None
        Their amplitudes over the standard errors.
    mask : ndarray of bool of shape (n_rows, n_cols), default=None
        True for the pixels that are used.
    nearest : Nearest, default=None
        Neighbours of the sites, if known.
    members : dict of tuple, default=None
        Result of `sublattice_members` for sites and labels, if known.

    Returns
    -------
    check : ImageCheck
        Flags of the sites, and lattice places without one.
    """
    positions = columns.positions
    n = len(positions)
    flags = np.zeros(n, dtype=np.uint16)
    if converged is not None:
        flags[~converged] |= np.uint16(SiteFlag.UNCONVERGED)
    if significance is not None:
        with np.errstate(invalid="ignore"):
            flags[significance < _MIN_SIGNIFICANCE] |= np.uint16(
                SiteFlag.LOW_SIGNIFICANCE
            )
    if n < 2:
        return _nothing_to_check(flags, n)
    nearest = nearest or Nearest(positions)
    if members is None:
        members = sublattice_members(positions, sublattice, nearest)
    distance, index = nearest.distance, nearest.index
    spacing = local_spacing(distance, index)
    alike = _same_sublattice(n, members)
    pairs = _short_pairs(positions, distance, index, spacing, alike)
    flags[pairs.ravel()] |= np.uint16(SiteFlag.SHORT_PAIR)
    flags[_wide_columns(columns, sublattice, alike)] |= np.uint16(SiteFlag.MERGED)

    def measure(places, search=True):
        found = column_amplitudes(
            image, columns, places.positions, places.sigma, search=search
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return found[0] / places.amplitude, found[1] / places.amplitude, found[2]

    def confirm(places):
        share, std, offset = measure(places)
        with np.errstate(invalid="ignore"):
            at_maximum = np.abs(offset).max(axis=1) < _SURE_OFFSET_SIGMA * places.sigma
            sure = (
                (share > _SURE_SHARE) & (share > _SURE_SIGNIFICANCE * std) & at_maximum
            )
        sure &= places.distance > EMPTY_SPACINGS * places.spacing
        return sure, places.positions + offset

    lattice = Lattice(
        positions, sublattice, vectors, columns.amplitude, columns.sigma, spacing
    )
    places = find_empty_places(lattice, image.shape, mask, confirm)
    merged, of_merged = _between_places(positions, places)
    flags[merged] |= np.uint16(SiteFlag.MERGED)
    # A nearby site that strain has displaced does occupy the place.
    places = places.take(
        ~of_merged & (places.distance > EMPTY_SPACINGS * places.spacing)
    )
    share, std, _ = measure(places)
    central, _, _ = measure(places, search=False)
    with np.errstate(invalid="ignore"):
        is_vacancy = (share < _SHOWS_SHARE) & (std < _MAX_SHARE_STD)
    real = ~(is_vacancy & _ordered(places, is_vacancy, n))
    with np.errstate(invalid="ignore"):
        shows = (share >= _SHOWS_SHARE) & (share > _SHOWS_SIGNIFICANCE * std)
    real &= shows | ~places.at_border
    places, share, std = places.take(real), share[real], std[real]
    central, is_vacancy = central[real], is_vacancy[real]
    flags[_near_places(positions, places)] |= np.uint16(SiteFlag.HOLE)
    n_merged_places = int(of_merged.sum())
    return ImageCheck(
        flags, places, share, std, central, is_vacancy, pairs, spacing, n_merged_places
    )


def _nothing_to_check(flags, n):
    """Return the check of fewer than two sites."""
    none = np.empty(0)
    places = EmptyPlaces(
        np.empty((0, 2)),
        np.empty(0, dtype=np.intp),
        np.empty(0, dtype=np.intp),
        none,
        none,
        np.empty(0, dtype=bool),
        np.empty(0, dtype=bool),
        none,
        none,
        np.empty((0, 2, 2)),
    )
    pairs = np.empty((0, 2), dtype=np.intp)
    unknown = np.full(n, np.nan)
    return ImageCheck(
        flags, places, none, none, none, np.empty(0, dtype=bool), pairs, unknown, 0
    )


def _same_sublattice(n, members):
    """Return up to 8 nearest sites of the same sublattice."""
    index = np.repeat(np.arange(n)[:, None], N_NEIGHBORS, axis=1)
    for own, nearest in members.values():
        near = own[nearest.index[:, 1 : N_NEIGHBORS + 1]]
        index[own, : near.shape[1]] = near
    return index


def _short_pairs(positions, distance, index, spacing, alike):
    """Return pairs of sites that are too close for the lattice, each once."""
    near, partner = distance[:, 1], index[:, 1]
    first = np.flatnonzero(near < _SHORT_PAIR_SPACINGS * spacing)
    if not len(first):
        return np.empty((0, 2), dtype=np.intp)
    offset = positions[partner] - positions
    others = offset[alike[first]] - offset[first, None]
    same = (
        np.hypot(others[..., 0], others[..., 1])
        < _SAME_OFFSET_SHARE * near[first, None]
    )
    same &= alike[first] != first[:, None]
    first = first[same.sum(axis=1) < _N_REGULAR]
    return np.unique(np.sort(np.stack([first, partner[first]], axis=1)), axis=0)


def _wide_columns(columns, sublattice, alike):
    """Return which columns are too wide or long and too intense to be single."""
    with np.errstate(invalid="ignore", divide="ignore"):
        log_sigma = np.log(columns.sigma)
        volume = np.log(columns.amplitude) + 2 * log_sigma
        length = np.log(columns.ellipticity)
    volume[~np.isfinite(volume)] = np.nan
    is_wide = _exceeds(log_sigma, alike, sublattice, np.log(_WIDER_RATIO))
    is_wide |= _exceeds(length, alike, sublattice, np.log(_LONGER_RATIO))
    return is_wide & _exceeds(volume, alike, sublattice, np.log(_MORE_RATIO))


def _exceeds(values, alike, sublattice, least):
    """Return which values exceed those of their neighbours significantly."""
    if not np.isfinite(values).any():
        return np.zeros(len(values), dtype=bool)
    around = np.where(np.isfinite(values), values, np.inf)[alike]
    around.partition(N_NEIGHBORS // 2, axis=1)
    excess = values - around[:, N_NEIGHBORS // 2]
    excess[~np.isfinite(excess)] = np.nan
    limit = np.full(len(values), np.inf)
    for label in np.unique(sublattice):
        own = sublattice == label
        if np.isfinite(excess[own]).any():
            scatter = STD_PER_MEDIAN * np.nanmedian(np.abs(excess[own]))
            limit[own] = max(least, _OUTLYING_STD * scatter)
    with np.errstate(invalid="ignore"):
        return excess > limit


def _between_places(positions, places):
    """Return sites halfway between two empty places, and which places these are."""
    used = np.zeros(len(places.positions), dtype=bool)
    merged = []
    if len(used) < 2:
        return merged, used
    reach = _BETWEEN_SPACINGS * places.spacing
    near = cKDTree(positions).query_ball_point(places.positions, reach)
    place = np.repeat(np.arange(len(near)), [len(sites) for sites in near])
    site = np.concatenate([np.asarray(sites, dtype=np.intp) for sites in near])
    count = np.bincount(site, minlength=len(positions))
    for number in np.flatnonzero(count > 1):
        own = place[site == number]
        arm = places.positions[own] - positions[number]
        arm /= np.hypot(*arm.T)[:, None]
        cosine = arm @ arm.T
        one, other = np.unravel_index(cosine.argmin(), cosine.shape)
        if cosine[one, other] < np.cos(np.deg2rad(_OPPOSITE_DEG)):
            merged.append(number)
            used[own[[one, other]]] = True
    return merged, used


def _ordered(places, is_vacancy, n_sites):
    """Return which vacancies repeat from cell to cell, as a part of the structure.

    One sublattice on several lattices, as on a kagome lattice, makes its sites expect
    columns that the structure does not have.
    """
    ordered = np.zeros(len(is_vacancy), dtype=bool)
    rows = np.flatnonzero(is_vacancy)
    if len(rows) < max(_MIN_ORDERED_SHARE * n_sites, _N_ORDERED + 1):
        return ordered
    positions, spacing = places.positions[rows], places.spacing[rows]
    tree = cKDTree(positions)
    distance, near = tree.query(positions, k=_N_ORDERED + 1)
    mirrored = 2 * positions[:, None] - positions[near[:, 1:]]
    to_vacancy, _ = tree.query(mirrored)
    repeats = to_vacancy < _SAME_OFFSET_SHARE * spacing[:, None]
    repeats &= distance[:, 1:] < _ORDERED_REACH_SPACINGS * spacing[:, None]
    ordered[rows] = repeats.sum(axis=1) > _N_ORDERED / 2
    if not ordered.any():
        return ordered
    # Those at the rim of the crystal have ordered ones next to them on one side only.
    distance, _ = cKDTree(places.positions[ordered]).query(positions)
    ordered[rows] = distance < _ORDERED_REACH_SPACINGS * spacing
    return ordered


def _near_places(positions, places):
    """Return the sites next to empty places."""
    if not len(places.positions):
        return np.empty(0, dtype=np.intp)
    reach = np.maximum(_ADJACENT_SPACINGS * places.spacing, 1.1 * places.distance)
    near = cKDTree(positions).query_ball_point(places.positions, reach)
    return np.unique(np.concatenate([np.asarray(s, dtype=np.intp) for s in near]))
