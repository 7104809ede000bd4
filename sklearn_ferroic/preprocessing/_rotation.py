"""Common rotation between angles and vectors."""

from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from .._angles import mean_direction, robust_center, wrap_angle

# A vector farther from its angle than an eighth of a turn is of another variant.
_LIMIT = np.pi / 4
# Share of the vectors' length within it; angles at random have a quarter there.
_LEAST_SHARE = 2 / 3
# Probability that angles at random would agree as well.
_MOST_CHANCE = 1e-3
_MAX_ITER = 100


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
        near = np.abs(wrap_angle(lead - offset)) < _LIMIT
        previous, offset = offset, mean_direction(lead[near], weight=length[near])
        if offset == previous:
            break
    aside = np.where(near, length * np.sin(lead - offset), 0.0)
    along = np.where(near, length * np.cos(lead - offset), 0.0)
    share = length[near].sum() / length.sum()
    return Rotation(
        offset=offset,
        std=float(np.sqrt((np.bincount(block, aside) ** 2).sum()) / along.sum()),
        resultant_length=float(abs(length @ np.exp(1j * lead)) / length.sum()),
        share=float(share),
        is_determined=bool(share >= _LEAST_SHARE and _chance(near) < _MOST_CHANCE),
    )


def _chance(near):
    """Bound the probability that any quadrant contains as many random angles."""
    n, n_near = len(near), np.count_nonzero(near)
    return n * binom.sf(n_near - 2, n - 1, 2 * _LIMIT / (2 * np.pi))
