"""Common rotation between angles and vectors that are significant only on average."""

import numpy as np
from scipy.spatial import cKDTree

from .._angles import wrap_angle
from ..feature_extraction._pooled_polarization import Place, cell_size, pool_vectors
from ._rotation import Rotation

# Ring around a cell, in cells, whose windows share no pixel and no column with it.
_RING_CELLS = (2.9, 5.1)
# Probability that vectors of random direction agree with the angles as well.
_MOST_CHANCE = 1e-3
# A mean vector this many standard errors long has a direction to compare.
_SIGNIFICANT_ERRORS = 3
# Sectors of the angle, of 45° each, whose mean vectors must agree on the rotation.
_N_SECTORS = 8
_LIMIT_RAD = np.pi / 4
_LEAST_SHARE = 2 / 3


def fit_pooled_rotation(angle, vectors, std, sites):
    """Fit vectors, none of them significant alone, by angles plus one offset.

    The vectors are compared with the angles of the cells three to five cells away:
    the angle of the cell itself may follow the noise of its own displacement.

    Parameters
    ----------
    angle : ndarray of shape (n,)
        Radians.
    vectors : ndarray of complex, shape (n,)
        ``col + 1j * row``.
    std : ndarray of shape (n,)
        Standard error of a component of each vector.
    sites : AtomSites of length n
        Where they were measured.

    Returns
    -------
    rotation : Rotation
        `is_determined` only if the mean agrees with the angles beyond chance, if the
        mean vectors of two thirds of the sectors, by length, agree on the offset, and
        if mirrored angles do worse.
    """
    place = Place(sites.positions, sites.frame, cell_size(sites))
    error = np.column_stack([std, std]) / np.sqrt(2)
    ring = _mean_phase_around(angle, place)
    forward = _pool(vectors * np.conj(ring), ring, error, place)
    mirrored = _pool(vectors * ring, ring, error, place)
    product = vectors * np.exp(-1j * angle)
    offset = float(np.angle(product.sum()))
    lead = wrap_angle(np.angle(vectors) - angle - offset)
    share = _share_of_sectors(angle, vectors, std, offset)
    product *= np.exp(-1j * offset)
    own = _pool(product, np.ones(len(angle)), error, place)
    along = own.mean[1]
    return Rotation(
        offset=float(wrap_angle(offset)),
        std=float(np.sqrt(own.covariance[0, 0]) / along) if along > 0 else np.nan,
        resultant_length=float(
            (np.abs(vectors) * np.cos(lead)).sum() / np.abs(vectors).sum()
        ),
        share=share,
        is_determined=bool(
            forward.p_value < _MOST_CHANCE
            and np.hypot(*forward.mean) > np.hypot(*mirrored.mean)
            and share >= _LEAST_SHARE
            and not _is_split(product)
        ),
    )


def _mean_phase_around(angle, place):
    """Return the mean of exp(i angle) over the ring around each cell, 0 if empty."""
    mean = np.zeros(len(angle), dtype=complex)
    if not place.cell > 0:
        return mean
    inner, outer = np.multiply(_RING_CELLS, place.cell)
    phase = np.exp(1j * angle)
    for frame in np.unique(place.frame):
        rows = np.flatnonzero(place.frame == frame)
        tree = cKDTree(place.position[rows])
        pairs = tree.query_pairs(outer, output_type="ndarray")
        first, second = rows[pairs].reshape(-1, 2).T
        distance = np.hypot(*(place.position[first] - place.position[second]).T)
        first, second = first[distance > inner], second[distance > inner]
        number = np.bincount(np.append(first, second), minlength=len(angle))
        for index, other in ((first, second), (second, first)):
            mean += np.bincount(index, phase[other].real, len(angle))
            mean += 1j * np.bincount(index, phase[other].imag, len(angle))
        here = number > 0
        mean[here] /= number[here]
    return mean


def _pool(product, weight, error, place):
    """Return the pooled mean of vectors rotated by the angles around them."""
    rows = np.abs(weight) > 0
    pairs = np.column_stack([product.imag, product.real])[rows]
    return pool_vectors(
        pairs, error[rows] * np.abs(weight[rows])[:, None], place.take(rows), level=1
    )


def _is_split(product):
    """Return whether vectors, relative to their angles, have two directions or more.

    The mean square of complex vectors of one direction is at least the square of their
    mean, whatever part of them is zero, and isotropic noise adds nothing to it; of two
    directions 90° apart it vanishes.
    """
    return (product**2).real.mean() < abs(product.mean()) ** 2 / 2


def _share_of_sectors(angle, vectors, std, offset):
    """Return the share, by length, of significant sector means along the offset."""
    sector = np.floor(np.mod(angle, 2 * np.pi) / (2 * np.pi) * _N_SECTORS).astype(int)
    total = agreed = 0.0
    for number in np.unique(sector):
        rows = sector == number
        product = vectors[rows] * np.exp(-1j * (angle[rows] + offset))
        scatter = np.sqrt(max((std[rows] ** 2).sum(), (np.abs(product) ** 2).sum() / 2))
        length = abs(product.sum())
        if length < _SIGNIFICANT_ERRORS * scatter:
            continue
        total += length
        agreed += length * (abs(np.angle(product.sum())) < _LIMIT_RAD)
    return agreed / total if total else 0.0
