"""Scorers of the mixture that ends a pipeline."""

from typing import NamedTuple

import numpy as np
from scipy.special import entr, gammaln, multigammaln
from sklearn.base import BaseEstimator

from ._pipeline_output import begin, count_columns, prepare, send

# Nats per cell and feature. Finite, so that means over folds stay finite.
WORST_LIKELIHOOD = -1e6
# Variances below this share of the largest one are not of the data.
_MIN_VARIANCE_SHARE = 1e-9


def completed_likelihood_scorer(estimator, X, y=None):
    """Score how much better than one Gaussian clusters describe held-out cells.

    The completed log-likelihood of the mixture that ends the pipeline, which is its
    log-likelihood minus the entropy of the assignments and the criterion behind ICL
    [1]_, minus the log-likelihood of a single Gaussian with the mean and the covariance
    of the held-out features.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline or a search that ends with a mixture, such as GaussianMixture
        or BayesianGaussianMixture.
    X : AtomSites of length n_sites, images or array-like
        The held-out samples.
    y : object
        Ignored.

    Returns
    -------
    score : float
        Mean over the cells, nats per feature, higher is better; negative where one
        Gaussian describes the cells better. −1e6 if the last step is not a mixture, or
        fewer cells than features are left.

    See Also
    --------
    sklearn_ferroic.model_selection.component_scores : AIC, BIC and ICL of mixtures.
    evidence_scorer : The likelihood of the windows.

    Notes
    -----
    The score does not change under scaling and rotation of the features, so that
    pipelines with different features can be compared. Separate clusters need not be
    variants: layers and thickness make clusters, too. The score is a poor guide to
    windows and latents: on weakly polar images it prefers small windows, whose clusters
    are not the variants.

    References
    ----------
    .. [1] C. Biernacki, G. Celeux and G. Govaert, "Assessing a mixture model for
       clustering with the integrated completed likelihood", IEEE Transactions on
       Pattern Analysis and Machine Intelligence 22 (2000) 719-725.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.mixture import GaussianMixture
    >>> from sklearn_ferroic.metrics import completed_likelihood_scorer
    >>> X, _ = make_blobs(400, centers=[[0, 0], [9, 9]], random_state=0)
    >>> mixture = GaussianMixture(2, random_state=0).fit(X[::2])
    >>> completed_likelihood_scorer(mixture, X[1::2]) > 0.5
    True
    """
    final = _mixture_input(estimator, X)
    if final is None:
        return WORST_LIKELIHOOD
    n_features = len(final.std)
    one = -0.5 * np.sum(np.log(2 * np.pi * final.variance) + 1)
    one -= np.log(final.std).sum()
    entropy = entr(final.membership).sum(axis=1)
    completed = final.mixture.score_samples(final.rows) - entropy
    return _finite(float(np.mean(completed) - one) / n_features)


def mixture_evidence_scorer(estimator, X, y=None):
    """Score the Bayesian evidence of the clusters of held-out cells.

    The lower bound on the logarithm of the evidence of a Bayesian mixture of Gaussians
    [1]_ whose memberships of the held-out cells are those of the mixture that ends the
    pipeline, minus that of a single Gaussian. Means, covariances and weights of the
    clusters are integrated over their priors, so that clusters that are not needed
    lower the score: the number of clusters may be searched in the same grid.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline or a search that ends with a mixture, such as GaussianMixture
        or BayesianGaussianMixture.
    X : AtomSites of length n_sites, images or array-like
        The held-out samples.
    y : object
        Ignored.

    Returns
    -------
    score : float
        Nats per cell and feature, higher is better; negative where the evidence of one
        Gaussian is larger. −1e6 if the last step is not a mixture, or fewer cells than
        features are left.

    See Also
    --------
    completed_likelihood_scorer : The likelihood of the fitted mixture instead.
    sklearn_ferroic.model_selection.component_scores : AIC, BIC and ICL of mixtures.

    Notes
    -----
    The priors are the defaults of :class:`~sklearn.mixture.BayesianGaussianMixture`
    with a Dirichlet distribution of the weights, and the mean and the covariance of the
    held-out features. The score does not change under scaling and rotation of the
    features. A cluster that is not Gaussian is described best by several, and cells are
    assumed to be independent. The score is a poor guide to windows and latents, as
    that of :func:`completed_likelihood_scorer`.

    References
    ----------
    .. [1] C. M. Bishop, "Pattern Recognition and Machine Learning", Springer (2006),
       section 10.2.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.mixture import GaussianMixture
    >>> from sklearn_ferroic.metrics import mixture_evidence_scorer
    >>> X, _ = make_blobs(400, centers=[[0, 0], [9, 9]], random_state=0)
    >>> scores = [
    ...     mixture_evidence_scorer(GaussianMixture(k, random_state=0).fit(X), X)
    ...     for k in (1, 2, 3)
    ... ]
    >>> scores.index(max(scores)) + 1
    2
    """
    final = _mixture_input(estimator, X)
    if final is None:
        return WORST_LIKELIHOOD
    one = _log_evidence(final.white, np.ones((len(final.white), 1)))
    gain = _log_evidence(final.white, final.membership) - one
    return _finite(float(gain) / final.white.size)


class _MixtureInput(NamedTuple):
    """Input of the mixture that ends a pipeline, and its memberships."""

    mixture: BaseEstimator
    rows: object  # as the mixture takes them
    membership: np.ndarray  # (n_cells, n_components)
    white: np.ndarray  # (n_cells, n_features), of mean 0 and covariance 1
    std: np.ndarray  # (n_features,) of the features
    variance: np.ndarray  # (n_features,) eigenvalues of their correlation


def _mixture_input(estimator, X):
    """Return the input of the last step, None if it is not a mixture or degenerate."""
    steps, samples = begin(estimator, X)
    if not steps or not all(
        hasattr(steps[-1], name) for name in ("predict_proba", "score_samples")
    ):
        return None
    *early, mixture = steps
    for step in early:
        samples = send(samples, step)
    samples = prepare(samples, mixture)
    n_cells = len(samples.kept)
    if n_cells == 0 or n_cells <= count_columns(samples):
        return None
    features = np.asarray(samples.values, dtype=np.float64)
    # Features without units, so that a small variance is one of their correlations.
    std = features.std(axis=0)
    if not (std > 0).all():
        return None
    unitless = (features - features.mean(axis=0)) / std
    variance, axes = np.linalg.eigh(unitless.T @ unitless / n_cells)
    if variance.min() < _MIN_VARIANCE_SHARE * variance.max():
        return None
    return _MixtureInput(
        mixture,
        samples.values,
        mixture.predict_proba(samples.values),
        unitless @ axes / np.sqrt(variance),
        std,
        variance,
    )


def _log_evidence(features, membership):
    """Compute the bound on the log evidence of white features with memberships.

    The prior of a mean has mean 0 and precision 1, that of a covariance the identity as
    its scale and as many degrees of freedom as features, and that of the weights the
    concentration 1 / n_components. Terms without the memberships are left out.
    """
    n_features = features.shape[1]
    n_components = membership.shape[1]
    counts = membership.sum(axis=0)
    means = membership.T @ features / np.maximum(counts, np.finfo(float).tiny)[:, None]
    total = entr(membership).sum()
    prior = 1 / n_components
    # Normalisation of the Dirichlet distribution.
    total += (gammaln(prior + counts) - gammaln(prior)).sum()
    for count, mean, weight in zip(counts, means, membership.T, strict=True):
        from_mean = features - mean
        scale = np.eye(n_features) + (weight * from_mean.T) @ from_mean
        scale += count / (1 + count) * np.outer(mean, mean)
        dof = n_features + count
        total -= 0.5 * dof * np.linalg.slogdet(scale)[1]
        total += multigammaln(dof / 2, n_features)
        total -= multigammaln(n_features / 2, n_features)
        total -= 0.5 * n_features * np.log1p(count)
    return total


def _finite(score):
    """Return the score, the worst one if it is not finite or lower."""
    return max(score, WORST_LIKELIHOOD) if np.isfinite(score) else WORST_LIKELIHOOD
