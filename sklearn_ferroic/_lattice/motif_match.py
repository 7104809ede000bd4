"""Assignment of columns of an image to the columns of motifs.

A hypothesis states that a site is a certain column of the motif and how the motif is
rotated and scaled around it. Hypotheses are formed from pairs of neighbours, compared
with the sites around a few seeds, and the best is extended from neighbour to
neighbour with a lattice that is refitted around every site. Strain, walls and grain
boundaries therefore need no model; a crystal ends where no neighbour is predicted.
What remains is matched again, as a further crystal.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

# Sites whose surroundings are compared with the motif.
_N_SEEDS = 12
_N_SEED_NEIGHBORS = 10
# Axes of a hypothesis from two neighbours, and of a fitted one, differ by up to these
# ratios: displacements change the first by a fifth, strain and calibration the second.
_MAX_AXIS_RATIO_OF_PAIR = 1.4
_MAX_AXIS_RATIO = 1.15
# Distortion of the lattice around a site in a crystal, of noisy positions, too.
_MAX_AXIS_RATIO_OF_SITE = 1.25
# Ratio of the scale to that of the pixel size, and to an estimate from the spacing.
_CALIBRATED_SCALE_RATIOS = (0.88, 1.14)
_SCALE_RATIOS = (0.45, 2.2)
# Number of hypotheses, the best ones, that are refined.
_N_REFINED = 24
# A region agrees with the motif if this share of both is matched: more than if every
# second site belonged to none of its columns, 0.67. Hypotheses within the second share
# of the best are compared in a larger region, of the last number of sites.
_MIN_AGREEMENT_SHARE = 0.7
_NEARLY_BEST_SHARE = 0.85
_N_REGION_SITES = 400
# Difference in log-likelihood above which hypotheses are distinct.
_MIN_EVIDENCE_NATS = 8.0
# A lattice is fitted to the neighbours of a site with the weight of this many
# neighbours on the lattice of the site from which it was reached.
_PRIOR_NEIGHBORS = 4.0
# Share of the neighbours of a site that must agree with its column, and their number.
_MIN_CONSENT_SHARE = 0.5
_MIN_NEIGHBORS = 3
# Remaining sites are matched as further crystals of at least this many columns.
_MIN_CRYSTAL_COLUMNS = 12
_MAX_CRYSTALS = 20


class MotifMatch(NamedTuple):
    """Columns of the motif to which the columns of an image are assigned.

    Parameters
    ----------
    column : ndarray of int of shape (n,)
        Column of the motif, -1 where none was found.
    motif : ndarray of int of shape (n,)
        Number of the motif, -1 where no column was found.
    cell : ndarray of int of shape (n, 2)
        Cell along the lattice vectors, counted from a cell of each crystal.
    crystal : ndarray of int of shape (n,)
        Number of the crystal, -1 where no column was found.
    vectors : ndarray of shape (n, 2, 2)
        Lattice vectors of the motif around each site, ``(row, col)`` in px.
    ambiguous : bool
        Whether another assignment with other species agrees with the image as well.
    """

    column: np.ndarray
    motif: np.ndarray
    cell: np.ndarray
    crystal: np.ndarray
    vectors: np.ndarray
    ambiguous: bool = False

    def of_motif(self, number):
        """Return the match with the columns of one motif only."""
        return self._replace(column=np.where(self.motif == number, self.column, -1))


def match_motifs(positions, geometries, brightness=None, pixel_size=None, mirror=True):
    """Assign the columns of one image to the columns of motifs.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px.
    geometries : list of MotifGeometry
        The motifs of the crystals in the image; each crystal is one of them.
    brightness : ndarray of shape (n,), default=None
        Brightness on any scale that increases with that of the motif. It decides
        between assignments that the positions allow.
    pixel_size : float, default=None
        Pixel size, nm; the scale is estimated from the spacing without it.
    mirror : bool, default=True
        Whether the motif may be mirrored.

    Returns
    -------
    match : MotifMatch
        The assignment.
    """
    n = len(positions)
    column, motif, crystal = np.full((3, n), -1)
    cell, vectors = np.zeros((n, 2), dtype=np.intp), np.full((n, 2, 2), np.nan)
    contrast = _local_contrast(positions, brightness)
    ambiguous = False
    left, tree = np.arange(n), cKDTree(positions)
    for number in range(_MAX_CRYSTALS):
        if len(left) < _MIN_CRYSTAL_COLUMNS:
            break
        best = None
        for index, geometry in enumerate(geometries):
            part = _Sites(positions[left], contrast[left], geometry, pixel_size, tree)
            start, unclear = _best_hypothesis(part, mirror)
            if start and (best is None or start.agreement > best[2].agreement):
                best = index, part, start, unclear
        if best is None:
            break
        index, part, start, unclear = best
        state = _prune(part, _grow(part, start))
        own = np.flatnonzero(state.column >= 0)
        if len(own) < _MIN_CRYSTAL_COLUMNS:
            break
        chosen = left[own]
        column[chosen], motif[chosen] = state.column[own], index
        crystal[chosen] = number
        cell[chosen] = state.cell[own]
        vectors[chosen] = geometries[index].cell @ state.lattice[own]
        ambiguous |= unclear
        left = np.setdiff1d(left, chosen)
    return MotifMatch(column, motif, cell, crystal, vectors, ambiguous)


class _Hypothesis(NamedTuple):
    """A site, its column of the motif, and the map from nm to px around it."""

    site: int
    column: int
    lattice: np.ndarray
    agreement: float


class _State(NamedTuple):
    """Columns, cells and maps of sites that have been reached."""

    column: np.ndarray
    cell: np.ndarray
    lattice: np.ndarray


class _Sites:
    """Sites of one image with their search tree and the range of scales.

    `all_sites` is the tree of all sites of the image, those of other crystals included.
    """

    def __init__(self, positions, contrast, geometry, pixel_size, all_sites):
        self.positions, self.contrast, self.geometry = positions, contrast, geometry
        self.tree, self.all_sites = cKDTree(positions), all_sites
        if pixel_size:
            scale, limits = 1 / pixel_size, _CALIBRATED_SCALE_RATIOS
        else:
            nearest = self.tree.query(positions, k=2)[0][:, 1]
            scale, limits = np.median(nearest) / geometry.spacing, _SCALE_RATIOS
        self.scale_range = np.array(limits) * scale

    def __len__(self):
        return len(self.positions)


def _local_contrast(positions, brightness):
    """Compute log brightness minus its mean over the neighbours; NaN if unknown."""
    n = len(positions)
    if brightness is None or n < 3:
        return np.full(n, np.nan)
    known = np.isfinite(brightness)
    if not known.any() or np.ptp(brightness[known]) == 0:
        return np.full(n, np.nan)
    top = brightness[known].max()
    level = np.log(np.maximum(brightness, 1e-3 * top)) if top > 0 else brightness
    _, index = cKDTree(positions).query(positions, k=min(25, n))
    return level - np.nanmean(np.where(known, level, np.nan)[index], axis=1)


def _best_hypothesis(sites, mirror):
    """Return the best hypothesis and whether another one fits equally well."""
    candidates = []
    for seed in _seeds(sites):
        candidates.extend(_hypotheses_at(sites, seed, mirror))
    if not candidates:
        return None, False
    best = max(candidates, key=lambda item: item.agreement)
    if best.agreement < _MIN_AGREEMENT_SHARE:
        return None, False
    # All that nearly agree around the same site.
    rivals = [
        item
        for item in candidates
        if item.site == best.site
        and item.agreement > _NEARLY_BEST_SHARE * best.agreement
    ]
    rivals.sort(key=lambda item: -item.agreement)
    if len(rivals) == 1:
        return best, False
    _, near = sites.tree.query(
        sites.positions[best.site], k=min(_N_REGION_SITES, len(sites))
    )
    patch = _subset(sites, np.atleast_1d(near))
    score = np.array([_log_likelihood(patch, item._replace(site=0)) for item in rivals])
    best = rivals[int(score.argmax())]
    alike = np.array([_are_equivalent(sites.geometry, best, item) for item in rivals])
    unclear = bool((~alike & (score > score.max() - _MIN_EVIDENCE_NATS)).any())
    alike = [item for item, same in zip(rivals, alike, strict=True) if same]
    return min(alike, key=lambda item: _convention(sites.geometry, item)), unclear


def _subset(sites, rows):
    """Return some of the sites, with the same range of scales."""
    part = _Sites(
        sites.positions[rows],
        sites.contrast[rows],
        sites.geometry,
        1.0,
        sites.all_sites,
    )
    part.scale_range = sites.scale_range
    return part


def _seeds(sites):
    """Return sites with many neighbours, spread over the image."""
    radius = sites.geometry.region_radius * np.sqrt(np.prod(sites.scale_range))
    count = sites.tree.query_ball_point(sites.positions, radius, return_length=True)
    inner = np.flatnonzero(count >= np.median(count))
    # Along a curve through blocks of the image, evenly spaced.
    block = max(np.ptp(sites.positions, axis=0).max() / 4, 1e-9)
    place = np.floor(sites.positions[inner] / block).astype(int)
    place[:, 1] *= 1 - 2 * (place[:, 0] % 2)
    inner = inner[np.lexsort((place[:, 1], place[:, 0]))]
    step = max(1, len(inner) // _N_SEEDS)
    return inner[step // 2 :: step]


def _hypotheses_at(sites, seed, mirror):
    """Return refined hypotheses of one site, the best of each column and rotation."""
    geometry = sites.geometry
    k = min(_N_SEED_NEIGHBORS + 1, len(sites))
    _, near = sites.tree.query(sites.positions[seed], k=k)
    step = sites.positions[near[1:]] - sites.positions[seed]
    first, second = np.nonzero(~np.eye(len(step), dtype=bool))
    steps = np.stack([step[first], step[second]], axis=1)
    columns, lattices = [], []
    for number in range(len(geometry)):
        for pair in geometry.spanning_pairs(number):
            lattice = np.linalg.inv(pair) @ steps
            lattice = lattice[_is_admissible(sites, lattice, mirror, is_pair=True)]
            lattices.append(lattice)
            columns.append(np.full(len(lattice), number))
    columns, lattices = np.concatenate(columns), np.concatenate(lattices)
    if not len(columns):
        return []
    agreement = np.concatenate(
        [
            _agreement(sites, seed, number, lattices[columns == number])
            for number in range(len(geometry))
        ]
    )
    order = np.argsort(-agreement, kind="stable")
    found = []
    for index in _distinct(columns[order], lattices[order], order)[: _N_REFINED * 2]:
        number = int(columns[index])
        lattice = _refined(sites, seed, number, lattices[index])
        if not _is_admissible(sites, lattice[None], mirror)[0]:
            continue
        score = float(_agreement(sites, seed, number, lattice[None])[0])
        if all(not _is_near(item, number, lattice) for item in found):
            found.append(_Hypothesis(int(seed), number, lattice, score))
    return found


def _distinct(columns, lattices, order):
    """Return the places of hypotheses that differ from all better ones."""
    kept = []
    for place in range(len(order)):
        if len(kept) >= 2 * _N_REFINED:
            break
        scale = np.linalg.norm(lattices[place])
        if all(
            columns[place] != columns[other]
            or np.linalg.norm(lattices[place] - lattices[other]) > 0.15 * scale
            for other in kept
        ):
            kept.append(place)
    return order[kept]


def _is_near(item, number, lattice):
    scale = np.linalg.norm(lattice)
    return (
        item.column == number and np.linalg.norm(item.lattice - lattice) < 0.1 * scale
    )


def _is_admissible(sites, lattice, mirror, is_pair=False):
    """Return which maps are nearly similarities with a scale in the range."""
    value = np.linalg.svd(lattice, compute_uv=False)
    limit = _MAX_AXIS_RATIO_OF_PAIR if is_pair else _MAX_AXIS_RATIO
    low, high = sites.scale_range
    slack = 1.15 if is_pair else 1.0
    scale = np.sqrt(value[:, 0] * value[:, 1])
    good = (value[:, 0] < limit * value[:, 1]) & (scale > low / slack)
    good &= scale < high * slack
    if not mirror:
        good &= np.linalg.det(lattice) > 0
    return good


def _agreement(sites, seed, number, lattices):
    """Compute the shares of the motif and of the sites around one that match."""
    geometry = sites.geometry
    if not len(lattices):
        return np.empty(0)
    scale = np.sqrt(np.abs(np.linalg.det(lattices)))
    region = geometry.region[number]
    predicted = sites.positions[seed] + region @ lattices
    distance, index = sites.tree.query(predicted)
    reach = geometry.reach[geometry.region_target[number]] * scale[:, None]
    weight = np.maximum(1 - (distance / reach) ** 2, 0)
    # A site is matched once.
    for row, own in enumerate(index):
        _, place = np.unique(own, return_index=True)
        duplicate = np.ones(len(own), dtype=bool)
        duplicate[place] = False
        weight[row, duplicate] = 0
    radius = geometry.region_radius * scale
    n_sites = sites.all_sites.query_ball_point(
        np.broadcast_to(sites.positions[seed], (len(radius), 2)),
        radius,
        return_length=True,
    )
    return 2 * weight.sum(axis=1) / (len(region) + n_sites - 1)


def _refined(sites, seed, number, lattice):
    """Fit the map to the sites that match the region around a site."""
    geometry = sites.geometry
    region = geometry.region[number]
    reach = geometry.reach[geometry.region_target[number]]
    origin = sites.positions[seed]
    for _ in range(3):
        distance, index = sites.tree.query(origin + region @ lattice)
        used = distance < reach * np.sqrt(abs(np.linalg.det(lattice)))
        if np.count_nonzero(used) < 5:
            break
        design = np.column_stack([region[used], np.ones(used.sum())])
        fitted = np.linalg.lstsq(design, sites.positions[index[used]], rcond=None)[0]
        if abs(np.linalg.det(fitted[:2])) < 1e-9:
            break
        lattice, origin = fitted[:2], fitted[2]
    return lattice


def _log_likelihood(sites, start):
    """Compute the log-likelihood of positions and brightness for a hypothesis."""
    geometry = sites.geometry
    state = _prune(sites, _grow(sites, start))
    own = np.flatnonzero(state.column >= 0)
    if len(own) < _MIN_NEIGHBORS:
        return -np.inf
    distance, _, _ = _predictions(sites, state, own)
    reach = geometry.reach[geometry.target[state.column[own]]]
    reach = reach * _scales(state.lattice[own])[:, None]
    miss = np.minimum(distance / reach, 1)
    # Predictions outside of the sites match none, for any hypothesis.
    miss = np.concatenate([miss[miss < 1], np.ones(len(sites) - len(own))])
    likelihood = -len(sites) * np.log(max(np.sqrt(np.mean(miss**2)), 0.02))
    expected = np.log(geometry.intensity[state.column[own]])
    contrast = sites.contrast[own]
    known = np.isfinite(contrast)
    if np.count_nonzero(known) > 2 and np.ptp(expected[known]) > 0:
        contrast = contrast[known]
        if np.ptp(contrast) > 0:
            r = max(np.corrcoef(contrast, expected[known])[0, 1], 0.0)
            likelihood -= 0.5 * len(contrast) * np.log(max(1 - r**2, 1e-4))
    return likelihood


def _are_equivalent(geometry, first, second):
    """Return whether two hypotheses differ by a symmetric operation of the motif."""
    operation = first.lattice @ np.linalg.inv(second.lattice)
    # The nearest isometry: the maps have errors.
    u, _, v = np.linalg.svd(operation)
    return geometry.is_symmetric(first.column, second.column, u @ v)


def _convention(geometry, item):
    """Return the key by which equivalent hypotheses are ordered."""
    a = geometry.cell[0] @ item.lattice
    is_mirrored = np.linalg.det(item.lattice) < 0
    return bool(is_mirrored), round(-a[1] / np.hypot(*a), 3), item.column


def _scales(lattice):
    return np.sqrt(np.abs(np.linalg.det(lattice)))


def _predictions(sites, state, rows):
    """Return the sites that are nearest to the predicted neighbours of others."""
    vector = sites.geometry.vector[state.column[rows]]
    predicted = sites.positions[rows][:, None] + vector @ state.lattice[rows]
    distance, index = sites.tree.query(predicted)
    return distance, index, vector


def _grow(sites, start):
    """Extend a hypothesis from neighbour to neighbour."""
    geometry, n = sites.geometry, len(sites)
    column = np.full(n, -1)
    cell = np.zeros((n, 2), dtype=np.intp)
    lattice = np.full((n, 2, 2), np.nan)
    column[start.site], lattice[start.site] = start.column, start.lattice
    state = _State(column, cell, lattice)
    frontier = np.array([start.site])
    barred = np.zeros(n, dtype=bool)
    while len(frontier):
        distance, index, _ = _predictions(sites, state, frontier)
        target = geometry.target[column[frontier]]
        reach = geometry.reach[target] * _scales(lattice[frontier])[:, None]
        relative = distance / reach
        good = (relative < 1) & (column[index] < 0) & ~barred[index]
        source, place = np.nonzero(good)
        if not len(source):
            break
        site = index[source, place]
        # The nearest prediction of each site.
        order = np.lexsort((relative[source, place], site))
        _, first = np.unique(site[order], return_index=True)
        chosen = order[first]
        site, source, place = site[chosen], source[chosen], place[chosen]
        column[site] = target[source, place]
        cell[site] = (
            cell[frontier[source]] + (geometry.shift[column[frontier[source]], place])
        )
        lattice[site] = lattice[frontier[source]]
        lattice[site] = _fit_lattices(sites, state, site)
        # Across a twin boundary the lattice would be that of a sheared motif.
        value = np.linalg.svd(lattice[site], compute_uv=False)
        sheared = value[:, 0] > _MAX_AXIS_RATIO_OF_SITE * value[:, 1]
        barred[site[sheared]], column[site[sheared]] = True, -1
        frontier = site[~sheared]
    return state


def _fit_lattices(sites, state, rows):
    """Fit a map with an offset to the neighbours of sites, near the present map."""
    geometry = sites.geometry
    prior = state.lattice[rows]
    distance, index, vector = _predictions(sites, state, rows)
    reach = geometry.reach[geometry.target[state.column[rows]]]
    used = distance < reach * _scales(prior)[:, None]
    weight = used / np.maximum(used.sum(axis=1, keepdims=True), 1)
    step = sites.positions[index] - sites.positions[rows][:, None]
    rest = step - vector @ prior
    # Without the offset: a displacement of the site shifts all steps.
    vector = vector - np.einsum("nk,nkc->nc", weight, vector)[:, None]
    rest = rest - np.einsum("nk,nkc->nc", weight, rest)[:, None]
    normal = np.einsum("nk,nki,nkj->nij", used, vector, vector)
    size = geometry.spacing**2 * _PRIOR_NEIGHBORS
    change = np.linalg.solve(
        normal + size * np.eye(2), np.einsum("nk,nki,nkj->nij", used, vector, rest)
    )
    return prior + change


def _prune(sites, state):
    """Remove sites whose neighbours contradict their column."""
    geometry = sites.geometry
    own = np.flatnonzero(state.column >= 0)
    for _ in range(2):
        if not len(own):
            break
        distance, index, _ = _predictions(sites, state, own)
        target = geometry.target[state.column[own]]
        reach = geometry.reach[target] * _scales(state.lattice[own])[:, None]
        found = distance < reach
        agree = (found & (state.column[index] == target)).sum(axis=1)
        good = agree >= np.maximum(
            _MIN_CONSENT_SHARE * found.sum(axis=1), _MIN_NEIGHBORS
        )
        state.column[own[~good]] = -1
        if good.all():
            break
        own = own[good]
    return state


def motif_shells(positions, match, geometry, shells):
    """Find the coordination shell of each assigned column.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px.
    match : MotifMatch
        Their columns of the motif.
    geometry : MotifGeometry
        The motif.
    shells : list of (ndarray, ndarray, ndarray)
        Shell of each column of the motif, as `MotifGeometry.shell` returns them.

    Returns
    -------
    neighbors : ndarray of int of shape (n, n_most)
        Columns in the shells in the order of the motif's, -1 where one is missing or
        the shell is smaller than the largest.
    size : ndarray of int of shape (n,)
        Number of neighbours that each shell should have, 0 for unassigned columns.
    """
    n_most = max(1, *(len(target) for target, _, _ in shells))
    neighbors = np.full((len(positions), n_most), -1)
    size = np.zeros(len(positions), dtype=np.intp)
    own = np.flatnonzero(match.column >= 0)
    if not len(own):
        return neighbors, size
    tree = cKDTree(positions)
    lattice = np.linalg.inv(geometry.cell) @ match.vectors
    for number, (target, _, vector) in enumerate(shells):
        rows = np.flatnonzero(match.column == number)
        size[rows] = len(target)
        if not len(rows) or not len(target):
            continue
        predicted = positions[rows][:, None] + vector @ lattice[rows]
        distance, index = tree.query(predicted)
        reach = geometry.reach[target] * _scales(lattice[rows])[:, None]
        found = (distance < reach) & (match.column[index] == target)
        neighbors[rows[:, None], np.arange(len(target))] = np.where(found, index, -1)
    return neighbors, size
