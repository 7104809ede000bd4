"""Groups of cells: clusters merged by direction, and tested for a displacement."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .._utils.angles import wrap_angle
from ..feature_extraction import pool_polarization
from ..metrics import circular_mean

# A cell whose angle is less certain than this has no direction.
NON_POLAR_RAD = np.radians(30)
# Clusters whose directions differ by less are one variant.
SAME_DIRECTION_RAD = np.radians(30)
# Probability of a mean displacement as large by chance, for all groups together.
SIGNIFICANCE_LEVEL = 1e-3
# The same for the cells some lattice vectors away, which confirm that a mean is not due
# to the selection of cells by their noise. They are fewer, and their errors are larger
# along scan lines that jitter: with 1e-3, a variant was lost in 8 of 30 small films, in
# 3 with this level; with 1e-2 in none, but noise made a variant in one of 8 films
# without polarization.
_CONFIRMATION_LEVEL = 3e-3
# Side, in unit cells, of the squares over which displacements are averaged.
REGION_CELLS = 6
# Variants of opposite direction that alternate from row to row share far more of their
# neighbours than two domains at their one wall.
_ALTERNATING_SHARE = 0.15
# Directions at least this far apart are opposite.
_OPPOSITE_RAD = np.radians(150)


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of cells with their mean displacement.

    Parameters
    ----------
    number : ndarray of int of shape (n_cells,)
        Group of each cell: variants first, the largest of them is 0; -1 for none.
    pooled : Bunch
        Result of `pool_polarization` for the groups, px.
    significant : ndarray of bool of shape (n_groups,)
        Whether the mean displacement of each differs from zero.
    has_angle : ndarray of bool of shape (n_groups,)
        Whether the angles of its cells agree.
    is_variant : ndarray of bool of shape (n_groups,)
        Whether it is a variant: displaced and, where angles are registered, with one
        direction.
    names : list of str
        Name of each, "variant 0" or "group 1".
    is_common : bool, default=False
        Whether all groups share one displacement that no reference region proves to be
        polar. There are then no variants.
    """

    number: np.ndarray
    pooled: object
    significant: np.ndarray
    has_angle: np.ndarray
    is_variant: np.ndarray
    names: list
    is_common: bool = False

    @property
    def variant(self):
        """Variant of each cell, -1 for cells of no variant."""
        variants = np.flatnonzero(self.is_variant)
        return np.where(np.isin(self.number, variants), self.number, -1)

    def __len__(self):
        return len(self.names)


def find_groups(angle, angle_std, clusters, cells, is_registered, has_reference=False):
    """Merge clusters of the same direction, and test the mean of each group.

    A cluster has a direction if its angles are certain and agree. The others remain
    groups of their own, and uncertain cells of a merged cluster belong to no group.

    Parameters
    ----------
    angle, angle_std : ndarray of shape (n_cells,)
        Angle of each cell and its standard deviation, radians; NaN where unknown.
    clusters : ndarray of int of shape (n_cells,)
        Cluster of each cell; -1 for none.
    cells : AtomSites of length n_cells
        The cells, with their displacement.
    is_registered : bool
        Whether the angles are those of the displacements.
    has_reference : bool, default=False
        Whether the displacement of a region that is not polar was subtracted.

    Returns
    -------
    groups : Groups
        The groups, variants first.
    """
    number = np.full(len(clusters), -1)
    directions, undirected = [], []
    with np.errstate(invalid="ignore"):
        is_certain = angle_std < NON_POLAR_RAD
    for label in np.unique(clusters[clusters >= 0]):
        cluster = clusters == label
        direction = _common_direction(angle[cluster], angle_std[cluster])
        if direction is None:
            undirected.append(cluster)
            continue
        gaps = _distance(np.array(directions), direction)
        near = np.flatnonzero(gaps < SAME_DIRECTION_RAD)
        if not near.size:
            directions.append(direction)
        number[cluster & is_certain] = near[0] if near.size else len(directions) - 1
    n_directions = len(directions)
    for merged in range(len(directions)):
        for part in _split_by_displacement(number == merged, clusters, cells)[1:]:
            number[part] = n_directions
            n_directions += 1
    for extra, cluster in enumerate(undirected):
        number[cluster] = n_directions + extra
    has_angle = np.arange(n_directions + len(undirected)) < n_directions
    pooled, significant = _test(number, cells)
    is_variant = significant & has_angle if is_registered else significant
    # Variants come first, and the larger ones first among them.
    size = np.bincount(number[number >= 0], minlength=len(has_angle))
    order = np.lexsort((-size, ~is_variant))
    rank = np.argsort(order)
    number = np.where(number >= 0, rank[number], -1)
    pooled, significant = _test(number, cells)
    has_angle, is_variant = has_angle[order], is_variant[order]
    is_common = not has_reference and _are_displaced_alike(number, cells)
    if is_common:
        is_variant = np.zeros(len(is_variant), dtype=bool)
    names = [
        f"{'variant' if is_registered and variant else 'group'} {n}"
        for n, variant in enumerate(is_variant)
    ]
    return Groups(number, pooled, significant, has_angle, is_variant, names, is_common)


def least_share_of_directions(angle, angle_std, clusters, directions):
    """Return how many of the cells of a direction are in clusters of this direction.

    Parameters
    ----------
    angle, angle_std : ndarray of shape (n_cells,)
        Angle of each cell and its standard deviation, radians; NaN where unknown.
    clusters : ndarray of int of shape (n_cells,)
        Cluster of each cell; -1 for none.
    directions : ndarray of shape (n_directions,)
        Frequent directions, radians.

    Returns
    -------
    share : float
        Of the cells near a direction whose angle is certain; the smallest of all
        directions, 1.0 if there are none.
    """
    of_cluster = np.full(clusters.max(initial=-1) + 2, np.nan)  # NaN also for -1
    for label in np.unique(clusters[clusters >= 0]):
        cluster = clusters == label
        direction = _common_direction(angle[cluster], angle_std[cluster])
        of_cluster[label] = np.nan if direction is None else direction
    with np.errstate(invalid="ignore"):
        is_certain = angle_std < NON_POLAR_RAD
        shares = [1.0]
        for direction in directions:
            near = is_certain & (_distance(angle, direction) < SAME_DIRECTION_RAD)
            found = _distance(of_cluster[clusters], direction) < SAME_DIRECTION_RAD
            if near.any():
                shares.append(found[near].mean())
    return float(min(shares))


def _distance(angle, direction):
    """Return the angular distance from one direction, radians."""
    return np.abs(wrap_angle(angle - direction))


def _common_direction(angle, angle_std):
    """Return the direction of the cells of a cluster, None if they have none."""
    direction = circular_mean(angle)
    spread = _distance(angle, direction)
    if max(np.median(angle_std), np.median(spread)) > NON_POLAR_RAD:
        return None
    return direction


def _are_displaced_alike(number, cells):
    """Return whether all groups share one displacement, as a mistilt causes."""
    inside = number >= 0
    if not inside.any() or not pool_polarization(cells).p_value[0] < SIGNIFICANCE_LEVEL:
        return False
    relative = pool_polarization(cells[inside], number[inside], reference="mean")
    return not _are_significant(relative).any()


def _test(number, cells):
    """Return the mean displacement of each group and whether it is significant."""
    inside = number >= 0
    pooled = pool_polarization(cells[inside], number[inside])
    return pooled, _are_significant(pooled)


def _are_significant(pooled):
    """Return which mean displacements differ from zero, of all that are tested."""
    n_groups = len(pooled.labels)
    far = np.nan_to_num(pooled.p_value_far, nan=0.0)  # of few cells
    return (pooled.p_value * n_groups < SIGNIFICANCE_LEVEL) & (
        far * n_groups < _CONFIRMATION_LEVEL
    )


def _split_by_displacement(chosen, clusters, cells):
    """Return the clusters among cells of one angle that are displaced differently.

    The angle of a window follows the lattice where displacements are small, so that a
    polar film and its substrate can have the same. Clusters are kept apart if their
    mean displacements differ significantly, and by half of the common mean at least.
    """
    common = pool_polarization(cells[chosen]).mean[0]
    if not np.isfinite(common).all():
        return [chosen]
    pooled = pool_polarization(cells[chosen], clusters[chosen], reference="mean")
    differs = _are_significant(pooled)
    differs &= np.hypot(*pooled.mean.T) > np.hypot(*common) / 2
    apart = pooled.labels[differs]
    parts = [chosen & ~np.isin(clusters, apart)]
    parts += [chosen & (clusters == label) for label in apart]
    return [part for part in parts if part.any()]


def find_alternating(groups, cells):
    """Return the pairs of variants that alternate from row to row: antipolar order.

    Parameters
    ----------
    groups : Groups
        The groups.
    cells : AtomSites of length n_cells
        The cells.

    Returns
    -------
    pairs : list of tuple of int
        Indices of the groups.
    """
    pairs = []
    variants = np.flatnonzero(groups.is_variant)
    if len(cells) < 9:
        return pairs
    neighbors = cKDTree(cells.positions).query(cells.positions, k=9)[1][:, 1:]
    for n, first in enumerate(variants):
        for second in variants[n + 1 :]:
            one, two = groups.pooled.mean[first], groups.pooled.mean[second]
            cosine = one @ two / (np.linalg.norm(one) * np.linalg.norm(two))
            around = groups.number[neighbors[groups.number == first]]
            share = (around == second).mean()
            if cosine < np.cos(_OPPOSITE_RAD) and share > _ALTERNATING_SHARE:
                pairs.append((int(first), int(second)))
    return pairs


def count_displaced_regions(cells, cell):
    """Return the number of square regions, and of those that are displaced.

    Parameters
    ----------
    cells : AtomSites of length n_cells
        The cells.
    cell : float
        Side of the unit cell, px.

    Returns
    -------
    n_regions, n_displaced : int
        Regions that could be tested, and those with a significant mean displacement.
    """
    place = (cells.positions // (REGION_CELLS * cell)).astype(int)
    region = place[:, 0] * (place[:, 1].max() + 1) + place[:, 1]
    pooled = pool_polarization(cells, region)
    tested = np.isfinite(pooled.p_value)
    certain = pooled.p_value[tested] * tested.sum() < SIGNIFICANCE_LEVEL
    return int(tested.sum()), int(certain.sum())


def describe_variants(groups, angle, cells, is_registered):
    """Return a row for each group: share, direction and length of the displacement.

    Parameters
    ----------
    groups : Groups
        The groups.
    angle : ndarray of shape (n_cells,)
        Angle of each cell, radians.
    cells : AtomSites of length n_cells
        The cells.
    is_registered : bool
        Whether the angles are those of the displacements.

    Returns
    -------
    rows : list of dict
        With the keys label, name, is_variant, is_significant, n_cells, share,
        angle_deg, angle_std_deg, magnitude, magnitude_std, unit and model_angle_deg;
        None where a value is not known.
    """
    size = cells.pixel_size[0]
    scale, unit = (1.0, "px") if size is None else (1000 * size, "pm")
    rows = []
    for n, label in enumerate(groups.pooled.labels):
        own = groups.number == label
        mean, covariance = groups.pooled.mean[n], groups.pooled.covariance[n]
        length, error, direction, width = mean_in_polar(mean, covariance)
        directed = is_registered and groups.has_angle[n]
        rows.append(
            {
                "label": int(label),
                "name": groups.names[n],
                "is_variant": bool(groups.is_variant[n]),
                "is_significant": bool(groups.significant[n]),
                "n_cells": int(own.sum()),
                "share": float(own.mean()),
                "angle_deg": as_number(np.degrees(direction)),
                "angle_std_deg": as_number(np.degrees(width)),
                "magnitude": as_number(scale * length),
                "magnitude_std": as_number(scale * error),
                "unit": unit,
                "model_angle_deg": as_number(np.degrees(circular_mean(angle[own])))
                if directed
                else None,
            }
        )
    return rows


def mean_in_polar(mean, covariance):
    """Return length and direction of a mean vector with their standard errors.

    Parameters
    ----------
    mean : ndarray of shape (2,)
        Mean vector ``(row, col)``.
    covariance : ndarray of shape (2, 2)
        Its covariance.

    Returns
    -------
    length, length_std : float
        In the unit of the vector; NaN where unknown.
    direction, direction_std : float
        Radians.
    """
    length = float(np.linalg.norm(mean))
    along = mean / length if length else np.array([0.0, 1.0])
    across = np.array([along[1], -along[0]])
    with np.errstate(invalid="ignore", divide="ignore"):
        error = float(np.sqrt(along @ covariance @ along))
        width = float(np.sqrt(across @ covariance @ across) / length)
    return length, error, float(np.arctan2(*mean)), width


def as_number(value):
    """Return a number for JSON, None where it is not finite."""
    return float(value) if np.isfinite(value) else None
