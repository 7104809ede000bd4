"""Information criteria over the number of components of a mixture."""

import numpy as np
from scipy.special import xlogy
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch, column_or_1d
from sklearn.utils._param_validation import HasMethods, validate_params
from sklearn.utils.parallel import Parallel, delayed

from .._utils.validation import N_JOBS


@validate_params(
    {
        "estimator": [HasMethods(["fit", "set_params"])],
        "n_components": ["array-like"],
        "n_jobs": N_JOBS,
    },
    prefer_skip_nested_validation=True,
)
def component_scores(estimator, X, n_components, *, n_jobs=None):
    """Compute information criteria of a mixture for several numbers of components.

    What comes before the mixture in a pipeline is fitted once, since it does not see
    the number, and the mixtures are all fitted to the same features. Only then can
    their likelihoods be compared: they say nothing about other windows, latent
    dimensions or scalers.

    Parameters
    ----------
    estimator : Pipeline or estimator
        A mixture with `bic` and `aic`, such as
        :class:`~sklearn.mixture.GaussianMixture`, or a pipeline that ends in one; a
        clone of it is fitted.
    X : AtomSites or array-like of shape (n_samples, ...)
        What the estimator takes.
    n_components : array-like of int of shape (n_counts,)
        Numbers of components to try.
    n_jobs : int, default=None
        Number of mixtures to fit at a time; None is 1 unless in a
        :func:`joblib.parallel_config` context.

    Returns
    -------
    scores : :class:`~sklearn.utils.Bunch`
        Dictionary-like object.

        n_components : ndarray of int of shape (n_counts,)
            The numbers tried.
        bic : ndarray of shape (n_counts,)
            Bayesian information criterion, lower is better [1]_.
        aic : ndarray of shape (n_counts,)
            Akaike's information criterion, lower is better [2]_.
        icl : ndarray of shape (n_counts,)
            Integrated completed likelihood, lower is better: `bic` plus twice the
            entropy of the samples' memberships [3]_.
        log_likelihood : ndarray of shape (n_counts,)
            Mean over the samples.
        converged : ndarray of bool of shape (n_counts,)
            Whether the fit has converged.

    Raises
    ------
    TypeError
        If the last step has no `bic` and `aic`.
    ValueError
        If a number is not a positive integer.

    See Also
    --------
    label_stability : Whether refits agree, for clusterers of any kind.
    sklearn.model_selection.validation_curve : Held-out likelihood over a parameter.

    Notes
    -----
    AIC and BIC estimate the number of Gaussians that describe the density, ICL the
    number of separate clusters. A variant with tails, from cells at walls and
    interfaces, or with angles along an arc is described best by several Gaussians:
    expect BIC, and even more AIC, to decrease beyond the number of variants. All three
    assume independent samples, which neighbouring cells are not, so that they penalise
    components too little.

    References
    ----------
    .. [1] G. Schwarz, "Estimating the dimension of a model", The Annals of Statistics
       6, 461–464 (1978).
    .. [2] H. Akaike, "A new look at the statistical model identification", IEEE
       Transactions on Automatic Control 19, 716–723 (1974).
    .. [3] C. Biernacki, G. Celeux and G. Govaert, "Assessing a mixture model for
       clustering with the integrated completed likelihood", IEEE Transactions on
       Pattern Analysis and Machine Intelligence 22, 719–725 (2000).

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.mixture import GaussianMixture
    >>> from sklearn_ferroic.model_selection import component_scores
    >>> X, _ = make_blobs(300, centers=4, cluster_std=0.3, random_state=2)
    >>> mixture = GaussianMixture(n_init=3, random_state=0)
    >>> scores = component_scores(mixture, X, [2, 3, 4, 5, 6])
    >>> int(scores.n_components[scores.bic.argmin()])
    4
    """
    counts = column_or_1d(n_components)
    if counts.dtype.kind not in "iu" or len(counts) == 0 or counts.min() < 1:
        raise ValueError(
            f"n_components must be positive integers, got {n_components!r}."
        )
    mixture, features = estimator, X
    if isinstance(estimator, Pipeline):
        mixture = estimator.steps[-1][1]
    if not (hasattr(mixture, "bic") and hasattr(mixture, "aic")):
        raise TypeError(
            "component_scores needs a mixture with bic and aic as the last step, such "
            f"as GaussianMixture, got {type(mixture).__name__}. For other clusterers "
            "compare label_stability over the numbers of clusters."
        )
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        features = clone(estimator[:-1]).fit_transform(X)
    rows = Parallel(n_jobs=n_jobs)(
        delayed(_score)(clone(mixture).set_params(n_components=int(count)), features)
        for count in counts
    )
    names = ("bic", "aic", "icl", "log_likelihood", "converged")
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Bunch(n_components=counts, **dict(zip(names, columns, strict=True)))


def _score(mixture, features):
    mixture.fit(features)
    bic = mixture.bic(features)
    membership = mixture.predict_proba(features)
    entropy = -xlogy(membership, membership).sum()
    return (
        bic,
        mixture.aic(features),
        bic + 2 * entropy,
        mixture.score(features),
        mixture.converged_,
    )
