"""Fit of discrete classes of patches: a mixture with factors that all classes share.

Every patch is described by a few principal components of its angular spectrum at each
of its possible rotations. A class is a point in this space. All classes share a few
factors, which are directions of continuous variation such as thickness or the gradient
of brightness at an interface, and white noise; the distribution is Student's, so that
patches at borders and defects have little influence (Peel & McLachlan, Statistics and
Computing 10, 339 (2000)). Because the likelihood is summed over the rotations of a
patch, classes cannot differ by a rotation only, and because the factors are shared, a
continuous variation alone does not justify another class.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln
from sklearn.cluster import KMeans

# Principal components of a patch; the classes measured differ in at most six.
N_COMPONENTS = 12
# Directions of continuous variation: brightness, its gradient along the two axes of the
# window, and the size of the displacement.
_N_FACTORS = 4
# Between 3 and 10 the classes are the same on three superlattices.
DEGREES_OF_FREEDOM = 5.0
# Gain in log-likelihood of a patch by which another class is supported. On generated
# and multislice images it was at least 1.07 for a material or an antipolar layer, and
# at most 0.65 for other variation, such as rows at an interface and thickness.
_LEAST_GAIN_NATS = 0.85
# Two numbers of classes whose evidence differs by less, per patch, are not
# distinguished. The next best number was at least 0.2 worse for all superlattices and
# multislice images without distortion of the scan.
_UNCERTAIN_NATS = 0.15
# Numbers of classes that are always tried, and the number of larger ones in succession
# without an increase of the evidence after which no more are tried. At most two
# preceded an increase on the images measured.
_N_TRIED = 8
_N_WITHOUT_GAIN = 4
# Expectation–maximisation ends if the log-likelihood of a patch increases by less.
_TOL_NATS = 1e-4
_N_ITERATIONS = 200
# Starts by k-means, of which the most likely result is kept. Half of them are in the
# components as they are, half with unit variance within the classes of the fit with one
# class less: either kind can fail.
_N_STARTS = 8
# Variance below this fraction of the total is rounding.
_LEAST_VARIANCE_RATIO = 1e-9


class ClassMixture(NamedTuple):
    """Mixture of K classes in q components.

    Attributes
    ----------
    means : ndarray of shape (K, q)
        Centres of the classes.
    shares : ndarray of shape (K,)
        Fraction of the patches in each class; 0 for an empty class.
    whitening : ndarray of shape (q, q)
        Matrix by which components are multiplied from the right to obtain unit
        variance within classes.
    log_determinant : float
        Logarithm of the determinant of the covariance within classes.
    log_likelihood : float
        Sum over the training patches, nats.
    number_range : tuple of (int, int)
        Smallest and largest number of classes that the evidence does not distinguish
        from that of the mixture.
    """

    means: np.ndarray
    shares: np.ndarray
    whitening: np.ndarray
    log_determinant: float
    log_likelihood: float
    number_range: tuple = (1, 1)


def fit_classes(components, log_shares, first, n_classes, random_state, labels=None):
    """Fit the classes that the evidence supports.

    Parameters
    ----------
    components : ndarray of shape (n, R, q)
        Principal components of every patch at each of its rotations.
    log_shares : ndarray of shape (n, R)
        Log-probabilities of the rotations.
    first : ndarray of shape (n,)
        Index of each patch's initial rotation; starting from equal probabilities would
        leave the fit at a stationary point.
    n_classes : int
        Largest number of classes.
    random_state : RandomState
        Random state for the initial values.
    labels : ndarray of shape (n,), default=None
        Known classes, -1 where unknown. Labelled classes keep their number; the others
        follow in the order of their share.

    Returns
    -------
    mixture : ClassMixture
        With `n_classes` classes, some of which may be empty.
    """
    labels = np.full(len(components), -1) if labels is None else labels
    n_labelled = labels.max() + 1
    best, best_number, evidence = None, 0, {}
    scale = np.eye(components.shape[2])
    for number in range(max(1, n_labelled), min(n_classes, len(components)) + 1):
        mixture = _best_start(
            components, log_shares, first, number, random_state, labels, scale
        )
        scale = mixture.whitening
        evidence[number] = mixture.log_likelihood / len(components)
        evidence[number] -= _LEAST_GAIN_NATS * number
        if best is None or evidence[number] > evidence[best_number]:
            best, best_number = mixture, number
        elif number >= _N_TRIED and number - best_number >= _N_WITHOUT_GAIN:
            break
    similar = [
        number
        for number, value in evidence.items()
        if evidence[best_number] - value < _UNCERTAIN_NATS
    ]
    order = np.arange(len(best.shares))
    order[n_labelled:] = n_labelled + np.argsort(-best.shares[n_labelled:])
    n_empty = n_classes - len(order)
    return best._replace(
        means=np.pad(best.means[order], [(0, n_empty), (0, 0)]),
        shares=np.pad(best.shares[order], (0, n_empty)),
        number_range=(min(similar), max(similar)),
    )


def log_density(components, mixture):
    """Compute the log-density of components in each class, and their weights.

    Parameters
    ----------
    components : ndarray of shape (n, R, q)
        Principal components.
    mixture : ClassMixture
        The classes.

    Returns
    -------
    log_density : ndarray of shape (n, K, R)
        Logarithm of Student's density, nats.
    weights : ndarray of shape (n, K, R)
        Weights of the patches in the next maximisation, small for outliers.
    """
    whitened = components @ mixture.whitening
    centers = mixture.means @ mixture.whitening
    products = (whitened @ centers.T).swapaxes(1, 2)
    squared = (whitened**2).sum(axis=2)[:, None] - 2 * products
    squared = (squared + (centers**2).sum(axis=1)[:, None]).clip(min=0)
    n_components, freedom = components.shape[2], DEGREES_OF_FREEDOM
    half = 0.5 * (freedom + n_components)
    constant = gammaln(half) - gammaln(0.5 * freedom) - 0.5 * mixture.log_determinant
    constant -= 0.5 * n_components * np.log(np.pi * freedom)
    density = constant - half * np.log1p(squared / freedom)
    return density, 2 * half / (freedom + squared)


def _best_start(components, log_shares, first, n_classes, random_state, labels, scale):
    """Return the most likely result of several starts."""
    possible = _possible_classes(labels, n_classes)
    rows = components[np.arange(len(components)), first]
    is_first = first[:, None] == np.arange(log_shares.shape[1])
    results = []
    for number in range(1 if n_classes == 1 else _N_STARTS):
        points = rows @ scale if number % 2 else rows
        found = _start(points, labels, n_classes, random_state)
        start = _possible_classes(found, n_classes)[:, :, None] * is_first[:, None]
        results.append(_maximize(components, log_shares, start, possible))
    return max(results, key=lambda mixture: mixture.log_likelihood)


def _maximize(components, log_shares, responsibilities, possible):
    """Alternate expectation and maximisation until the likelihood converges."""
    weights = np.ones(responsibilities.shape)
    before = -np.inf
    for _ in range(_N_ITERATIONS):
        mixture = _mixture(components, responsibilities, weights)
        density, weights = log_density(components, mixture)
        prior = np.log(np.maximum(mixture.shares, np.finfo(float).tiny))
        joint = density + prior[:, None] + log_shares[:, None]
        joint = np.where(possible[:, :, None], joint, -np.inf)
        largest = joint.max(axis=(1, 2), keepdims=True)
        responsibilities = np.exp(joint - largest)
        sums = responsibilities.sum(axis=(1, 2), keepdims=True)
        responsibilities /= sums
        total = (largest + np.log(sums))[:, 0, 0]
        if total.mean() - before < _TOL_NATS:
            break
        before = total.mean()
    return mixture._replace(log_likelihood=float(total.sum()))


def _mixture(components, responsibilities, weights):
    """Compute the mixture that maximises the likelihood at given probabilities."""
    n_patches, _, n_components = components.shape
    shares = responsibilities.sum(axis=(0, 2)) / n_patches
    weighted = responsibilities * weights
    totals = np.maximum(weighted.sum(axis=(0, 2)), np.finfo(float).tiny)
    flat = components.reshape(-1, n_components)
    by_class = weighted.swapaxes(0, 1).reshape(len(totals), -1)
    means = by_class @ flat / totals[:, None]
    second = (flat * weighted.sum(axis=1).reshape(-1, 1)).T @ flat / n_patches
    between = (means * (totals / n_patches)[:, None]).T @ means
    variances, directions = np.linalg.eigh(second - between)
    n_noise = max(1, n_components - _N_FACTORS)
    least = _LEAST_VARIANCE_RATIO * np.trace(second) + np.finfo(np.float32).tiny
    noise = max(variances[:n_noise].mean(), least)
    variances = np.maximum(variances, noise)
    variances[:n_noise] = noise
    return ClassMixture(
        means=means,
        shares=shares,
        whitening=directions / np.sqrt(variances),
        log_determinant=float(np.log(variances).sum()),
        log_likelihood=-np.inf,
    )


def _start(rows, labels, n_classes, random_state):
    """Assign patches to classes by k-means, from the means of the labelled patches."""
    init = "random"
    if labels.max() >= 0:
        init = rows[random_state.choice(len(rows), n_classes)]
        for number in np.unique(labels[labels >= 0]):
            init[number] = rows[labels == number].mean(axis=0)
    means = KMeans(n_classes, init=init, n_init=1, random_state=random_state)
    return np.where(labels >= 0, labels, means.fit_predict(rows))


def _possible_classes(labels, n_classes):
    """Return which classes each patch may have, (n, K); all if it has no label."""
    return (labels[:, None] == np.arange(n_classes)) | (labels < 0)[:, None]
