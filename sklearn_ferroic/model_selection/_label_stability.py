"""Agreement of the refits of a clusterer."""

from numbers import Integral

import numpy as np
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, _safe_indexing, check_random_state
from sklearn.utils._param_validation import HasMethods, validate_params
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _num_samples

from .._utils.validation import N_JOBS, Interval


@validate_params(
    {
        "estimator": [HasMethods(["fit", "get_params"])],
        "n_refits": [Interval(Integral, 2, None, closed="left")],
        "cv": ["cv_object"],
        "n_jobs": N_JOBS,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def label_stability(
    estimator, X, *, n_refits=5, cv=None, n_jobs=None, random_state=None
):
    """Compute the agreement of refits with other seeds or on other blocks.

    Every refit labels all samples, and each pair of labellings is compared by the
    adjusted Rand index [1]_: 1 if they are the same up to a permutation of the labels,
    0 on average for random labels. Clusters of the data are found in each refit; parts
    of a single cloud differ each time [2]_.

    Parameters
    ----------
    estimator : Pipeline or estimator
        A clusterer, or a pipeline that ends in one. Clones are fitted, each with other
        seeds in all parameters named `random_state`.
    X : AtomSites or array-like of shape (n_samples, ...)
        Input of the estimator.
    n_refits : int, default=5
        Number of refits to all samples. Not used with `cv`.
    cv : cross-validator, iterable or int, default=None
        Refits use the training set of each split instead, for example of
        :class:`SpatialShuffleSplit` or :class:`SpatialBlockKFold`.
    n_jobs : int, default=None
        Number of refits at a time; None is 1 unless in a
        :func:`joblib.parallel_config` context.
    random_state : int, RandomState instance or None, default=None
        Draws the seeds of the refits.

    Returns
    -------
    stability : :class:`~sklearn.utils.Bunch`
        Dictionary-like object.

        score : float
            Mean of the index over the pairs of refits.
        agreement : ndarray of shape (n_refits, n_refits)
            The index of each pair, 1 on the diagonal.
        labels : ndarray of int of shape (n_refits, n_samples)
            The labellings.

    Raises
    ------
    TypeError
        If the clusterer cannot label samples that it was not fitted to, and `cv` is
        given.
    ValueError
        If `cv` makes fewer than two splits.

    See Also
    --------
    component_scores : BIC, AIC and ICL of mixtures.
    sklearn.metrics.adjusted_rand_score : The index.

    Notes
    -----
    Too few clusters are often stable as well, and one cluster always is: choose the
    largest number that is stable, and combine it with a score that measures
    more, such as the likelihood. Refits on all samples vary by their seeds alone; a
    clusterer without any, or one that always finds its optimum, is perfectly stable
    there. Refits on blocks, which are other parts of the crystal, are a harder test.

    Labels are compared on all samples, so that with `cv` most are training samples of
    one or both of a pair: this tests the labelling, not the generalisation.

    References
    ----------
    .. [1] L. Hubert and P. Arabie, "Comparing partitions", Journal of Classification
       2, 193–218 (1985).
    .. [2] T. Lange, V. Roth, M. L. Braun and J. M. Buhmann, "Stability-based validation
       of clustering solutions", Neural Computation 16, 1299–1323 (2004).

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_ferroic.model_selection import label_stability
    >>> X, _ = make_blobs(300, centers=4, cluster_std=0.3, random_state=2)
    >>> label_stability(KMeans(4, n_init=5), X, random_state=0).score
    1.0
    >>> label_stability(KMeans(7, n_init=5), X, random_state=0).score < 0.9
    True
    """
    rows = [None] * n_refits
    if cv is not None:
        if not hasattr(estimator, "predict"):
            raise TypeError(
                f"{type(estimator).__name__} has no predict, so that a refit to a part "
                "of the samples cannot label the others. Leave out cv, or use a "
                "clusterer such as KMeans or GaussianMixture."
            )
        rows = [train for train, _ in check_cv(cv).split(X)]
        if len(rows) < 2:
            raise ValueError("label_stability compares refits, but cv makes one split.")
    random_state = check_random_state(random_state)
    refits = [_reseed(clone(estimator), random_state) for _ in rows]
    labels = Parallel(n_jobs=n_jobs)(
        delayed(_label)(refit, X, train)
        for refit, train in zip(refits, rows, strict=True)
    )
    agreement = np.eye(len(labels))
    pairs = np.triu_indices(len(labels), 1)
    for first, second in zip(*pairs, strict=True):
        index = adjusted_rand_score(labels[first], labels[second])
        agreement[first, second] = agreement[second, first] = index
    return Bunch(
        score=float(agreement[pairs].mean()),
        agreement=agreement,
        labels=np.reshape(labels, (len(labels), _num_samples(X))),
    )


def _reseed(estimator, random_state):
    """Set each parameter named `random_state` to a different seed."""
    names = sorted(estimator.get_params())
    seeds = {
        name: int(random_state.randint(np.iinfo(np.int32).max))
        for name in names
        if name == "random_state" or name.endswith("__random_state")
    }
    return estimator.set_params(**seeds)


def _label(estimator, X, train):
    if train is not None:
        return estimator.fit(_safe_indexing(X, train)).predict(X)
    if hasattr(estimator, "predict"):
        return estimator.fit(X).predict(X)
    return estimator.fit_predict(X)
