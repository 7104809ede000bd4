"""Common rotation between angles and measured polarization vectors."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import binom
from sklearn.utils import check_array, check_consistent_length

from .._utils.angles import mean_direction, robust_center, wrap_angle
from .._utils.mean_vectors import BLOCK_SIDE_CELLS, Place, cell_size, pool_vectors
from .._utils.validation import refuse_mask
from ..sites import AtomSites

# A vector farther than this from its angle, 45°, belongs to another variant.
_LIMIT_RAD = np.pi / 4
# Smallest fraction of the vectors' length within it; random angles have a quarter.
_LEAST_SHARE = 2 / 3
# Largest probability that random angles or directions agree as well.
_MAX_PROBABILITY = 1e-3
_MAX_ITER = 100
# Smallest length of a vector that is used, in standard errors.
_SIGNIFICANT_VECTOR_ERRORS = 3
# The polarization has the error of the column and of the mean of four neighbours.
_ERROR_RATIO = np.sqrt(1 + 1 / 4)
# Ring around a cell, in cells, whose windows share no pixel and no column with it.
_RING_CELLS = (2.9, 5.1)
# A mean vector this many standard errors long has a direction to compare.
_SIGNIFICANT_MEAN_ERRORS = 3
# Sectors of the angle, of 45° each, whose mean vectors must agree on the rotation.
_N_SECTORS = 8


class Rotation(NamedTuple):
    """Rotation that registers angles to vectors, with its quality."""

    offset: float
    std: float
    resultant_length: float
    share: float
    is_determined: bool


def fit_rotation(angle, vectors, block):
    """Fit the rotation from angles to vectors; they are never mirrored.

    Parameters
    ----------
    angle : ndarray of shape (n,)
        Radians, n at least 1.
    vectors : ndarray of complex, shape (n,)
        ``col + 1j * row``, none zero.
    block : ndarray of int, shape (n,)
        Vectors of one number may err together.

    Returns
    -------
    rotation : Rotation
        Its offset is in [−π, π).
    """
    lead, length = np.angle(vectors) - angle, np.abs(vectors)
    offset = robust_center(lead)
    # The mean of those near, until they stay the same.
    for _ in range(_MAX_ITER):
        near = np.abs(wrap_angle(lead - offset)) < _LIMIT_RAD
        previous, offset = offset, mean_direction(lead[near], weight=length[near])
        if offset == previous:
            break
    across = np.where(near, length * np.sin(lead - offset), 0.0)
    along = np.where(near, length * np.cos(lead - offset), 0.0)
    share = length[near].sum() / length.sum()
    return Rotation(
        offset=offset,
        std=float(np.sqrt((np.bincount(block, across) ** 2).sum()) / along.sum()),
        resultant_length=float(abs(length @ np.exp(1j * lead)) / length.sum()),
        share=float(share),
        is_determined=bool(share >= _LEAST_SHARE and _chance(near) < _MAX_PROBABILITY),
    )


def _chance(near):
    """Bound the probability that any quadrant contains as many random angles."""
    n, n_near = len(near), np.count_nonzero(near)
    return n * binom.sf(n_near - 2, n - 1, 2 * _LIMIT_RAD / (2 * np.pi))


class Reference(NamedTuple):
    """Reference vectors, their errors and their groups."""

    vectors: np.ndarray  # complex, col + 1j * row
    trusted: np.ndarray
    block: np.ndarray
    # Finite vectors of converged sites, and the standard error of a component of each;
    # None where no errors are known.
    measured: np.ndarray | None = None
    std: np.ndarray | None = None


def read_reference(y, X):
    """Convert sites, vectors or angles to reference vectors.

    Parameters
    ----------
    y : AtomSites of length n or array-like of shape (n, 2), (n, 1) or (n,)
        Sites, vectors ``(row, col)``, or angles in radians; NaN where unknown.
    X : ndarray of shape (n, n_features)
        The samples, for their number.

    Returns
    -------
    reference : Reference
        One entry per sample.
    """
    if isinstance(y, AtomSites):
        check_consistent_length(X, y)
        return _of_sites(y)
    refuse_mask(y, "y")
    y = check_array(
        y,
        dtype=np.float64,
        ensure_2d=False,
        ensure_all_finite="allow-nan",
        input_name="y",
    )
    check_consistent_length(X, y)
    if y.ndim == 1:
        y = y[:, None]
    if y.shape[1] == 1:
        vectors = np.exp(1j * y[:, 0])
    elif y.shape[1] == 2:
        vectors = y[:, 1] + 1j * y[:, 0]
    else:
        raise ValueError(
            "y must be AtomSites, polarization vectors (row, col) of shape (n_samples,"
            f" 2) or angles of shape (n_samples,), got shape {y.shape}."
        )
    trusted = np.abs(vectors) > 0
    return Reference(vectors, trusted, np.arange(len(vectors)))


def _of_sites(sites):
    vectors = sites.polarization[:, 1] + 1j * sites.polarization[:, 0]
    error = _ERROR_RATIO * np.sqrt((sites.position_std**2).mean(axis=1))
    # Positions that were passed and not fitted have no error.
    trusted = np.abs(vectors) > _SIGNIFICANT_VECTOR_ERRORS * np.nan_to_num(error)
    measured = np.isfinite(vectors) & np.isfinite(error) & sites.converged
    return Reference(
        vectors, trusted & sites.converged, _blocks(sites), measured, error
    )


def _blocks(sites):
    n_pixels = sum(sites.images[frame].size for frame in np.unique(sites.frame))
    side = BLOCK_SIDE_CELLS * np.sqrt(n_pixels / max(len(sites), 1))
    place = np.column_stack([sites.frame, sites.positions // side])
    return np.unique(place, axis=0, return_inverse=True)[1].ravel()


def fit_pooled_rotation(angle, vectors, std, sites):
    """Fit the rotation from angles to vectors that are not significant one by one.

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
        Sites of the vectors.

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
            forward.p_value < _MAX_PROBABILITY
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
        if length < _SIGNIFICANT_MEAN_ERRORS * scatter:
            continue
        total += length
        agreed += length * (abs(np.angle(product.sum())) < _LIMIT_RAD)
    return agreed / total if total else 0.0
