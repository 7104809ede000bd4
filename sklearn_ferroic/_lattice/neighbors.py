"""Nearest neighbours, minimum distances and coordination shells of columns."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

# A coordination shell is complete with k columns within this many typical distances
# and with the next column at least `_MIN_NEXT_RATIO` times as far as the k-th;
# otherwise the choice of k columns would be arbitrary.
_SHELL_REACH_RATIO = 1.5
_MIN_NEXT_RATIO = 1.2
# The k columns surround the central one if no angle between successive ones is wider.
_WIDEST_GAP_RAD = np.deg2rad(150)
# Opposite corners of shells of four and six have the same centre, wherever the central
# column is, to within this share of the distance.
_MAX_SKEW_SHARE = 0.5
# Four neighbours on square and rectangular lattices, three on a honeycomb, six around
# the centre of a hexagon. Four is kept unless it is incomplete for most columns.
_DEFAULT_N_NEIGHBORS = 4
_OTHER_N_NEIGHBORS = (3, 6)
_MIN_COMPLETE_SHARE = 0.5
# The columns of shells of three and six are equally far but for displacements of up to
# 0.15 of the distance: the farthest over the nearest is at most this.
_MAX_SPREAD_RATIO = 1.35
# More neighbours than any plane lattice has.
_MOST_NEIGHBORS = 8
# About as many columns of an image are enough for its typical distances.
_N_SAMPLED_COLUMNS = 2000
# A shell ends where the next neighbour is at least this many times as far; shells with
# these numbers of neighbours are tried.
_MIN_GAP_RATIO = 1.12
_SHELL_N_NEIGHBORS = range(3, 9)
# Successive neighbours of a column that is surrounded enclose at most this angle.
_WIDEST_ANGLE_RAD = np.deg2rad(170)
# The neighbours of a shell that is found from the distribution of distances lie within
# the geometric mean of the distances of its last neighbour and the next, and the next
# neighbour is this many times as far as the last.
_MIN_NEXT_OF_SHELL_RATIO = 1.04
# Columns are compared with this number of neighbours at most.
_MAX_COMPARED_NEIGHBORS = 20
# A place is surrounded if it has this number of neighbours within this distance on all
# sides: the mean of the unit vectors to them is no longer than the last of these.
_MIN_AROUND_NEIGHBORS = 3
_AROUND_REACH_SPACINGS = 1.3
_MAX_RESULTANT = 0.5
# Minimum distance of a weak column from all others.
FREE_DISTANCE_SPACINGS = 0.7
# Minimum distance of two columns where the image does not show how close columns are:
# of similar ones, and of a faint one from a bright one, with less than this share of
# its height.
_ALIKE_DISTANCE_SPACINGS = 0.55
_FAINT_DISTANCE_SPACINGS = 0.75
FAINT_PAIR_SHARE = 0.35


class Nearest:
    """Nearest neighbours of each column, searched once.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, at least two.
    """

    def __init__(self, positions):
        self.positions = positions
        n_neighbors = min(_MOST_NEIGHBORS + 1, len(positions))
        # Columns are evenly spaced: an unbalanced tree is as fast to search.
        self.tree = cKDTree(positions, balanced_tree=False, compact_nodes=False)
        # The first neighbour is the column itself.
        self.distance, self.index = self.tree.query(
            positions, k=[*range(1, n_neighbors + 1)]
        )

    def typical_distance(self):
        """Return the median distance of nearest neighbours, px."""
        step = max(1, len(self.positions) // _N_SAMPLED_COLUMNS)
        return float(np.median(self.distance[::step, 1]))

    def pairs(self, radius, n_nearest=_MOST_NEIGHBORS):
        """Return the pairs of neighbours within a radius.

        Unlike :func:`neighbor_pairs` the effort is linear for dense columns, too.

        Parameters
        ----------
        radius : float
            Largest distance, px.
        n_nearest : int
            Number of nearest columns that are paired with each, at most 8.

        Returns
        -------
        pairs : ndarray of shape (n_pairs, 2)
            Indices, each pair once, first < second, in lexical order.
        distance : ndarray of shape (n_pairs,)
            Distances, px.
        """
        n = len(self.positions)
        near = self.index[:, : n_nearest + 1]
        first, place = np.nonzero(
            (self.distance[:, : n_nearest + 1] < radius)
            & (near != np.arange(n)[:, None])
        )
        second = near[first, place]
        # A pair can be found from either end: remove duplicates.
        key = np.sort(np.minimum(first, second) * n + np.maximum(first, second))
        key = key[np.diff(key, prepend=-1) > 0]
        first, second = np.divmod(key, n)
        row, col = self.positions.T
        distance = np.hypot(row[first] - row[second], col[first] - col[second])
        return np.stack([first, second], axis=1), distance


def typical_spacing(positions):
    """Return the median distance of nearest neighbours.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Sites, px.

    Returns
    -------
    spacing : float or None
        px; None for fewer than two different positions.
    """
    positions = np.unique(positions, axis=0)
    if len(positions) < 2:
        return None
    return float(np.median(cKDTree(positions).query(positions, k=2)[0][:, 1]))


def sublattice_members(positions, sublattice, nearest=None):
    """Return the columns of each sublattice with their neighbours.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns.
    sublattice : ndarray of shape (n,)
        Their sublattices.
    nearest : Nearest, default=None
        Neighbours of all columns, if known.

    Returns
    -------
    members : dict of tuple
        For each label with at least two columns: their indices and their Nearest.
    """
    members = {}
    for label in np.unique(sublattice):
        own = np.flatnonzero(sublattice == label)
        if len(own) > 1:
            is_known = nearest is not None and len(own) == len(positions)
            members[label] = own, nearest if is_known else Nearest(positions[own])
    return members


def neighbor_pairs(positions, radius):
    """Return all pairs of columns within a radius.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns.
    radius : float
        Largest distance, px.

    Returns
    -------
    pairs : ndarray of shape (n_pairs, 2)
        Indices, each pair once.
    distance : ndarray of shape (n_pairs,)
        Distances, px.
    """
    if len(positions) < 2:
        return np.empty((0, 2), dtype=np.intp), np.empty(0)
    n = len(positions)
    tree = cKDTree(positions, balanced_tree=False, compact_nodes=False)
    pairs = tree.query_pairs(radius, output_type="ndarray")
    # Sort, because the order of the tree is not defined.
    first, second = np.divmod(np.sort(pairs[:, 0] * n + pairs[:, 1]), n)
    row, col = positions.T
    distance = np.hypot(row[first] - row[second], col[first] - col[second])
    return np.stack([first, second], axis=1), distance


def count_neighbors(positions, radius):
    """Return the number of other columns within a radius of each column."""
    pairs, _ = neighbor_pairs(positions, radius)
    return np.bincount(pairs.ravel(), minlength=len(positions))


def order_by_height(pairs, height):
    """Order each pair: the brighter and the fainter."""
    first, second = pairs.T
    ordered = height[first] >= height[second]
    return np.where(ordered, first, second), np.where(ordered, second, first)


def brightest_near(positions, height, places, radius):
    """Return the height of the brightest column within a radius of each place.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns.
    height : ndarray of shape (n,)
        Their brightness.
    places : ndarray of shape (n_places, 2)
        Places, px.
    radius : float
        Largest distance, px.

    Returns
    -------
    brightest : ndarray of shape (n_places,)
        Largest height; 0 where no column is near.
    """
    # Missing neighbours have the index behind the last.
    _, near = cKDTree(positions).query(
        places, _MAX_COMPARED_NEIGHBORS, distance_upper_bound=radius
    )
    return np.append(height, 0)[near].max(axis=1)


def are_surrounded(places, positions, spacing):
    """Check which places have columns on all sides.

    Parameters
    ----------
    places : ndarray of shape (n_places, 2)
        Places, px; a column at a place is not counted.
    positions : ndarray of shape (n, 2)
        Columns, px.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    surrounded : ndarray of bool of shape (n_places,)
        True for places among columns.
    """
    distance, index = cKDTree(positions).query(
        places,
        k=[*range(1, 9)],
        distance_upper_bound=_AROUND_REACH_SPACINGS * spacing,
    )
    near = np.isfinite(distance) & (distance > 0)
    offset = positions[np.where(near, index, 0)] - places[:, None]
    offset /= np.where(near, distance, np.inf)[..., None]
    n_near = near.sum(axis=1)
    lopsided = np.hypot(*offset.sum(axis=1).T) > _MAX_RESULTANT * n_near
    return (n_near >= _MIN_AROUND_NEIGHBORS) & ~lopsided


class Crowding(NamedTuple):
    """Minimum distances between columns, in nearest-neighbour spacings.

    Parameters
    ----------
    alike : float
        Of columns of similar height.
    faint : float
        Of a faint column from a bright one.
    """

    alike: float = _ALIKE_DISTANCE_SPACINGS
    faint: float = _FAINT_DISTANCE_SPACINGS


def drop_crowded(positions, height, pairs, distance, spacing, crowding=None):
    """Select the columns that are not too close to a brighter one.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns.
    height : ndarray of shape (n,)
        Their brightness.
    pairs : ndarray of shape (n_pairs, 2)
        Indices of neighbours.
    distance : ndarray of shape (n_pairs,)
        Their distances, px.
    spacing : float
        Nearest-neighbour spacing of columns, px.
    crowding : Crowding, default=None
        Minimum distances; the usual ones if None.

    Returns
    -------
    keep : ndarray of bool of shape (n,)
        False for the fainter column of a pair that is too close.
    """
    crowding = crowding or Crowding()
    keep = np.ones(len(positions), dtype=bool)
    bright, dim = order_by_height(pairs, height)
    faint = height[dim] < FAINT_PAIR_SHARE * height[bright]
    limit = np.where(faint, crowding.faint, crowding.alike) * spacing
    close = distance < limit
    # Brightest first: a column that goes itself removes no other.
    order = np.argsort(-height[bright[close]], kind="stable")
    for winner, loser in zip(
        bright[close][order].tolist(), dim[close][order].tolist(), strict=True
    ):
        if keep[winner]:
            keep[loser] = False
    return keep


def is_free(places, height, positions, spacing, least=FREE_DISTANCE_SPACINGS):
    """Check which places are far from all columns and from brighter places.

    Parameters
    ----------
    places : ndarray of shape (n_places, 2)
        Candidates, px.
    height : ndarray of shape (n_places,)
        Brightness of the candidates.
    positions : ndarray of shape (n, 2)
        Columns that are certain, px.
    spacing : float
        Nearest-neighbour spacing, px.
    least : float, default=FREE_DISTANCE_SPACINGS
        Minimum distance from these columns, in spacings.

    Returns
    -------
    free : ndarray of bool of shape (n_places,)
        Whether neither a column nor a brighter place is near.
    """
    free = cKDTree(positions).query(places)[0] > least * spacing
    rows = np.flatnonzero(free)
    pairs, distance = neighbor_pairs(places[rows], spacing)
    free[rows] = drop_crowded(places[rows], height[rows], pairs, distance, spacing)
    return free


def cage_displacement(positions, sublattice, spacing, members=None):
    """Compute each column's displacement from the centroid of its coordination shell.

    The shell contains the nearest columns of the other sublattice: for the brightest
    sublattice those of the second brightest, for any other those of the brightest.
    Its size is four, or three or six if these are complete for more columns of the
    sublattice and four is complete for less than half of them.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    sublattice : ndarray of shape (n,)
        Their sublattices.
    spacing : float
        Typical distance of nearest neighbours, px.
    members : dict, default=None
        Result of `sublattice_members` for the first two, if known.

    Returns
    -------
    displacement : ndarray of shape (n, 2)
        Column minus centroid, px; NaN where the shell is incomplete: fewer columns
        than its size are about as far as is typical and nearer than any other, or
        they do not surround the column, or a shell of four is not a parallelogram.
        This is the case at the border, next to missing columns, in the core of a
        dislocation, and in crystals of one sublattice.
    """
    displacement = np.full((len(positions), 2), np.nan)
    members = members or sublattice_members(positions, sublattice)
    for label in np.unique(sublattice):
        _, corners = members.get(1 if label == 0 else 0, (None, None))
        if corners is None:
            continue
        center = np.flatnonzero(sublattice == label)
        _, complete, found = _usual_shell(positions[center], corners, spacing, "auto")
        displacement[center[complete]] = found
    return displacement


class Shell(NamedTuple):
    """Coordination shell of the columns of one kind.

    Parameters
    ----------
    size : int
        Number of neighbours.
    partner : int
        Sublattice of the neighbours.
    distance : float
        Median of the mean distance of the neighbours, px.
    complete : float
        Share of the columns whose shell is complete.
    """

    size: int
    partner: int
    distance: float
    complete: float


class ShellDisplacements(NamedTuple):
    """Displacements of columns from the centroids of their shells.

    Parameters
    ----------
    displacement : ndarray of shape (n, 2)
        Column minus centroid, px; NaN where the shell is incomplete.
    missing : ndarray of bool of shape (n,)
        Whether the shell lacks a neighbour.
    distorted : ndarray of bool of shape (n,)
        Whether there are enough neighbours, but they do not surround the column, do not
        have a common middle, or are not distinct from the next ones.
    shells : dict of int to Shell
        Shell of each kind of column.
    neighbors : ndarray of int of shape (n, 8)
        Columns in each complete shell, -1 beyond its size.
    """

    displacement: np.ndarray
    missing: np.ndarray
    distorted: np.ndarray
    shells: dict
    neighbors: np.ndarray


def shell_displacement(positions, sublattice, spacing, size="auto"):
    """Compute displacements from the centroids of coordination shells of any size.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    sublattice : ndarray of shape (n,)
        Their sublattices.
    spacing : float
        Typical distance of nearest neighbours, px.
    size : int or "auto"
        Number of neighbours. "auto" is that of `cage_displacement`, 4, 3 or 6; where
        these are complete for less than half of the columns, it is the number, from 3
        to 8, that surrounds the column and is followed by the widest gap in the
        medians of the distances.

    Returns
    -------
    result : ShellDisplacements
        The displacements and the shells.
    """
    n = len(positions)
    displacement = np.full((n, 2), np.nan)
    missing, distorted = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    shells, neighbors = {}, np.full((n, _MOST_NEIGHBORS), -1)
    members = sublattice_members(positions, sublattice)
    for label in np.unique(sublattice):
        partner = 1 if label == 0 else 0
        known, corners = members.get(partner, (None, None))
        if corners is None:
            continue
        rows = np.flatnonzero(sublattice == label)
        own = positions[rows]
        chosen, complete, found = _usual_shell(own, corners, spacing, size)
        if np.count_nonzero(complete) < _MIN_COMPLETE_SHARE * len(own):
            other = _gap_shell(own, corners, size)
            if np.count_nonzero(other[1]) > np.count_nonzero(complete):
                chosen, complete, found = other
        if not chosen or len(corners.positions) < chosen:
            continue
        displacement[rows[complete]] = found
        distance, index = corners.tree.query(own, k=[*range(1, chosen + 1)])
        neighbors[rows[complete], :chosen] = known[index[complete]]
        reference = complete if complete.any() else np.ones(len(own), dtype=bool)
        typical = np.median(distance[reference].mean(axis=1))
        farthest = np.median(distance[reference, -1])
        missing[rows] = ~complete & (distance[:, -1] > 1.25 * farthest)
        distorted[rows] = ~complete & ~missing[rows]
        shells[int(label)] = Shell(
            int(chosen), partner, float(typical), float(complete.mean())
        )
    return ShellDisplacements(displacement, missing, distorted, shells, neighbors)


def _usual_shell(centers, corners, spacing, size):
    """Return the size of a shell of four, three or six, and displacements in it."""
    sizes = (_DEFAULT_N_NEIGHBORS, *_OTHER_N_NEIGHBORS) if size == "auto" else (size,)
    chosen = sizes[0]
    complete, found = _shell_displacement(centers, corners, chosen, spacing)
    if np.count_nonzero(complete) < _MIN_COMPLETE_SHARE * len(centers):
        for other in sizes[1:]:
            result = _shell_displacement(centers, corners, other, spacing)
            if np.count_nonzero(result[0]) > np.count_nonzero(complete):
                chosen, (complete, found) = other, result
    return chosen, complete, found


def _gap_shell(centers, corners, size):
    """Return the size of the shell before a gap in the distances, and displacements."""
    nothing = 0, np.zeros(len(centers), dtype=bool), np.empty((0, 2))
    n_neighbors = min(max(_SHELL_N_NEIGHBORS) + 2, len(corners.positions))
    if n_neighbors < 4 or (size != "auto" and size >= n_neighbors):
        return nothing
    distance, index = corners.tree.query(centers, k=n_neighbors)
    arms = corners.positions[index] - centers[:, None]
    typical = np.median(distance, axis=0)
    if size == "auto":
        best, size = _MIN_GAP_RATIO, 0
        for k in _SHELL_N_NEIGHBORS:
            if k >= n_neighbors:
                break
            gap = typical[k] / typical[k - 1]
            if gap > best and np.mean(is_surrounded(arms[:, :k])) > _MIN_COMPLETE_SHARE:
                best, size = gap, k
        if not size:
            return nothing
    reach = np.sqrt(typical[size - 1] * typical[size])
    complete = distance[:, size - 1] < reach
    complete &= distance[:, size] > _MIN_NEXT_OF_SHELL_RATIO * distance[:, size - 1]
    if size > 2:
        complete &= is_surrounded(arms[:, :size])
    return size, complete, -arms[complete, :size].mean(axis=1)


def _shell_displacement(centers, corners, size, spacing):
    """Check which shells of one size are complete; compute displacements in these."""
    if len(corners.positions) < size:
        return np.zeros(len(centers), dtype=bool), np.empty((0, 2))
    distance, index = corners.tree.query(centers, k=size + 1)
    following, distance = distance[:, -1], distance[:, :-1]
    # Sublattices that are not each other's nearest neighbours are farther apart.
    typical = max(spacing, float(np.median(distance.mean(axis=1))))
    arms = corners.positions[index[:, :-1]] - centers[:, None]
    complete = distance[:, -1] <= _SHELL_REACH_RATIO * typical
    complete &= following > _MIN_NEXT_RATIO * distance[:, -1]
    if size != _DEFAULT_N_NEIGHBORS:
        complete &= distance[:, -1] <= _MAX_SPREAD_RATIO * distance[:, 0]
    complete &= _encloses(arms, typical)
    return complete, -arms[complete].mean(axis=1)


def _encloses(arms, typical):
    """Check that arms surround the centre, opposite ones with a common middle."""
    angle = np.arctan2(arms[..., 0], arms[..., 1])
    order = np.argsort(angle, axis=1)
    angle = np.take_along_axis(angle, order, axis=1)
    gap = np.diff(angle, axis=1, append=angle[:, :1] + 2 * np.pi)
    encloses = gap.max(axis=1) < _WIDEST_GAP_RAD
    size = arms.shape[1]
    if size % 2:
        return encloses
    corner = np.take_along_axis(arms, order[..., None], axis=1)
    if size == _DEFAULT_N_NEIGHBORS:
        skew = corner[:, 0] - corner[:, 1] + corner[:, 2] - corner[:, 3]
        return encloses & (np.hypot(*skew.T) < _MAX_SKEW_SHARE * typical)
    double = corner[:, : size // 2] + corner[:, size // 2 :]
    skew = np.linalg.norm(double - double.mean(axis=1, keepdims=True), axis=2)
    return encloses & (skew.max(axis=1) < _MAX_SKEW_SHARE * typical)


def shell_size(distance, vector):
    """Return the number of neighbours in the coordination shell of a column.

    Parameters
    ----------
    distance : ndarray of shape (n,)
        Distances of the neighbours, ascending.
    vector : ndarray of shape (n, 2)
        Vectors to them.

    Returns
    -------
    size : int
        Between 3 and 8: the size that surrounds the column and is followed by the
        widest relative gap; 0 if there is none.
    """
    best, size = _MIN_GAP_RATIO, 0
    for k in _SHELL_N_NEIGHBORS:
        if k >= len(distance):
            break
        gap = distance[k] / distance[k - 1]
        if gap > best and is_surrounded(vector[:k]):
            best, size = gap, k
    return size


def is_surrounded(vectors):
    """Return whether vectors leave no wide sector of directions empty.

    Parameters
    ----------
    vectors : ndarray of shape (..., n, 2)
        Vectors from a column to its neighbours.

    Returns
    -------
    surrounded : ndarray of bool of shape (...)
        Whether successive directions differ by less than 170°.
    """
    angle = np.sort(np.arctan2(vectors[..., 0], vectors[..., 1]), axis=-1)
    gap = np.diff(angle, axis=-1, append=angle[..., :1] + 2 * np.pi)
    return gap.max(axis=-1) < _WIDEST_ANGLE_RAD
