"""Fit of the linear estimator of the displacement with a few known directions.

Without labels, the weights follow from the displacement of the central column relative
to the columns around it. Known directions, together with all other windows, also
determine the changes that accompany it, such as the displacements of the neighbouring
cells of a domain. The windows are modelled as in `polarization_fit`: displacement times
real pattern plus normal noise, with displacements of one length in the known direction
and its images by the symmetry of the lattice, or 0.
"""

from typing import NamedTuple

import numpy as np

from .polarization_fit import TINY, displacement_features, leading_components

# Groups of the cross-validation over the known directions, and the smallest number of
# windows in a group.
_N_GROUPS = 5
_FEWEST_IN_GROUP = 2
# Smallest number of known directions from which weights and noise are estimated.
FEWEST_KNOWN = _N_GROUPS * _FEWEST_IN_GROUP
_N_STEPS = 25
# Gain in log-probability of the known directions, in cross-validation, above which the
# learned weights are used.
_LEAST_GAIN_NATS = 0.5
# Variance of the noise, relative to the squared displacement, up to which they are
# used; at this value 80 % of the directions are correct. Twenty known directions under
# carbon, 36 draws: at least 0.77 for windows of 1.5 cells, in which learned weights are
# worse than the others, and at most 0.56 for those of 1.9 to 2.8 cells, in which they
# are better.
_LARGEST_NOISE_RATIO = 0.64
# Fraction of the mean variance that is added to the covariance of the first step.
_LOADING_SHARE = 0.05
# Smallest variance of the noise along an axis, as a fraction of the mean variance.
_LEAST_NOISE_RATIO = 1e-3
# Share of windows without polarization in the first step.
_FIRST_SHARE_AT_0 = 0.05


class LearnedWeights(NamedTuple):
    """Estimator of displacements in units of their common length.

    Attributes
    ----------
    weights : ndarray of shape (n_rings, n_orders)
        Real weights of the spectra.
    noise_variance : float
        Mean squared error of a displacement, a complex number.
    share_at_0 : float
        Fraction of the windows without polarization.
    """

    weights: np.ndarray
    noise_variance: float
    share_at_0: float


def learn_weights(spectra, areas, lattice_angle, fold, direction, displacement):
    """Learn weights from windows of known direction and all others.

    Parameters
    ----------
    spectra : ndarray of shape (n, n_rings, n_orders), complex
        Fourier transforms of windows along rings, as `numpy.fft.rfft` returns them.
    areas : ndarray of shape (n_rings,)
        Area of the points of each ring, px.
    lattice_angle : ndarray of shape (n,)
        Rotation of the lattice in each window, radians.
    fold : int
        Symmetry of the lattice.
    direction : ndarray of shape (n,)
        Known directions relative to the lattice, radians, NaN where unknown.
    displacement : ndarray of shape (n,), complex
        Displacements relative to the lattice by the present weights, for comparison.

    Returns
    -------
    learned : LearnedWeights or None
        None if the known directions are too few or not more probable with learned
        weights in cross-validation, or if the displacement is less than the noise.
    """
    known = np.flatnonzero(np.isfinite(direction))
    if len(known) < FEWEST_KNOWN:
        return None
    unit = np.exp(1j * direction[known])
    features, orders, scale = displacement_features(spectra, areas, lattice_angle, fold)
    axes, scores, weights = leading_components(features.reshape(len(features), -1))
    data = _Windows(scores, weights, fold)
    # groups with all directions: every fifth window in the order of the direction
    group = np.empty(len(known), dtype=int)
    group[np.argsort(direction[known], kind="stable")] = np.arange(len(known))
    group %= _N_GROUPS
    held_out = np.empty(len(known), dtype=complex)
    for number in range(_N_GROUPS):
        inside = group == number
        found = data.fit(known[~inside], unit[~inside])[0]
        held_out[inside] = scores[known[inside]] @ found
    gain = _log_probability(held_out, unit, fold)
    gain -= _log_probability(displacement[known], unit, fold)
    if gain < _LEAST_GAIN_NATS:
        return None
    found, noise_variance, share_at_0 = data.fit(known, unit)
    if noise_variance > _LARGEST_NOISE_RATIO:
        return None
    placed = np.zeros(spectra.shape[1:])
    placed[:, orders] = (axes.T @ found).reshape(features.shape[1:]) * scale[:, None]
    return LearnedWeights(placed, float(noise_variance), float(share_at_0))


class _Windows:
    """Principal components of windows, from which weights are learned.

    Parameters
    ----------
    scores : ndarray of shape (n, q), complex
        Components of the windows.
    window_weights : ndarray of shape (n,)
        Weights of the windows, small for outliers.
    fold : int
        Symmetry of the lattice.
    """

    def __init__(self, scores, window_weights, fold):
        self.scores, self.window_weights, self.fold = scores, window_weights, fold
        self.total = window_weights.sum()
        covariance = (scores.T * window_weights) @ scores.conj()
        self.covariance = covariance.real / self.total
        self.mean_variance = np.trace(self.covariance) / len(self.covariance)

    def fit(self, known, unit):
        """Return weights (q,), variance of the noise and share of displacements 0.

        Parameters
        ----------
        known : ndarray of shape (m,), int
            Windows of known direction.
        unit : ndarray of shape (m,), complex
            Their directions, of modulus 1.
        """
        shared = np.angle((unit**self.fold).mean()) / self.fold
        steps = 2 * np.pi / self.fold * np.arange(self.fold)
        points = np.exp(1j * (shared + steps))
        pattern = (self.scores[known] * unit.conj()[:, None]).mean(axis=0).real
        loading = _LOADING_SHARE * self.mean_variance * np.eye(len(pattern))
        weights = _normalized(self.covariance + loading, pattern)
        displacement = self.scores @ weights
        noise_variance = np.mean(np.abs(displacement[known] - unit) ** 2)
        share_at_0 = _FIRST_SHARE_AT_0
        for _ in range(_N_STEPS):
            shares = _shares(displacement, points, noise_variance, share_at_0)
            expected = shares[:, :-1] @ points
            squared = shares[:, :-1].sum(axis=1)
            expected[known], squared[known] = unit, 1.0
            share_at_0 = self.window_weights @ shares[:, -1] / self.total
            mean = (self.window_weights * expected.conj()) @ self.scores
            mean = mean.real / self.total
            squared = self.window_weights @ squared / self.total
            pattern = mean / squared
            crossed = np.outer(mean, pattern)
            noise = self.covariance - crossed - crossed.T
            noise += squared * np.outer(pattern, pattern)
            values, vectors = np.linalg.eigh(noise)
            values = np.maximum(values, _LEAST_NOISE_RATIO * self.mean_variance)
            noise = (vectors * values) @ vectors.T
            weights = _normalized(noise, pattern)
            noise_variance = weights @ noise @ weights
            displacement = self.scores @ weights
        return weights, noise_variance, share_at_0


def _normalized(covariance, pattern):
    """Return the weights of minimum variance that estimate the pattern's amplitude."""
    weights = np.linalg.solve(covariance, pattern)
    return weights / (weights @ pattern)


def _shares(displacement, points, noise_variance, share_at_0):
    """Return the posterior of the possible displacements; the last one is 0."""
    points = np.append(points, 0)
    prior = np.full(len(points), (1 - share_at_0) / (len(points) - 1))
    prior[-1] = share_at_0
    distance = np.abs(displacement[:, None] - points) ** 2 / noise_variance
    joint = np.log(prior + TINY) - distance
    shares = np.exp(joint - joint.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _log_probability(displacement, unit, fold):
    """Return the log-probability of known directions among those of the symmetry.

    Length and variance of the displacements are those of the known directions.
    """
    length = (displacement * unit.conj()).real.mean()
    if length <= 0:
        return -np.inf
    relative = displacement * unit.conj() / length
    variance = np.mean(np.abs(relative - 1) ** 2) + TINY
    points = np.exp(2j * np.pi / fold * np.arange(fold))
    joint = -(np.abs(relative[:, None] - points) ** 2) / variance
    largest = joint.max(axis=1)
    total = largest + np.log(np.exp(joint - largest[:, None]).sum(axis=1))
    return float((joint[:, 0] - total).sum())
