"""Scorers of labels: what a search calls with a fitted estimator and held-out sites."""

from ._predicted_labels import predict_labels, predict_labels_of_sites
from ._spatial_coherence import spatial_coherence_score
from ._truth import check_truth
from ._variant_accuracy import variant_accuracy_score
from ._wall_straightness import wall_straightness_score


def spatial_coherence_scorer(estimator, X, y=None, *, n_clusters=4):
    """Score whether neighbouring held-out sites get the same label, against chance.

    The labels are those that the estimator predicts. A transformer as the last step has
    its output for `X` divided by k-means, after AngleAwareScaler if one of its columns
    is an angle; a clusterer that has only `fit_predict` is refitted to `X`.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline, a search or a single step.
    X : AtomSites of length n_sites, or images where the estimator locates
        The held-out sites.
    y : object
        Ignored.
    n_clusters : int, default=4
        Number of clusters to make of a transformer's output. To set it, pass
        ``functools.partial(spatial_coherence_scorer, n_clusters=5)`` as `scoring`.

    Returns
    -------
    score : float
        Between −1 and 1, higher is better. −1 where there is nothing to tell: one
        cluster, no labels or no neighbours.

    Raises
    ------
    TypeError
        If the samples are not sites, so that they have no neighbours.

    See Also
    --------
    spatial_coherence_score : The score of given labels, and how it can be fooled.
    get_scorer : The scorers by name.

    Notes
    -----
    A held-out block that lies in one domain is one cluster to a perfect model, too:
    blocks should be larger than the domains. Samples that turn into NaN on the way
    have no label and agree with none of their neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ferroic import AtomSites, PatchExtractor
    >>> from sklearn_ferroic.metrics import spatial_coherence_scorer
    >>> image = np.add.outer(np.zeros(96), np.arange(96) > 48)
    >>> sites = AtomSites(image, 8.0 + 8 * np.argwhere(np.ones((10, 10))))
    >>> pipeline = make_pipeline(
    ...     PatchExtractor(window_size=5), KMeans(2, random_state=0)
    ... )
    >>> round(spatial_coherence_scorer(pipeline.fit(sites), sites), 2)
    0.89
    """
    found = predict_labels_of_sites(estimator, X, n_clusters)
    return spatial_coherence_score(found.sites, found.labels)


def wall_straightness_scorer(estimator, X, y=None, *, n_clusters=4, reach=3.0):
    """Score how straight the boundaries between labels of held-out sites are.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline, a search or a single step. What has no `predict` is labelled
        as :func:`spatial_coherence_scorer` does.
    X : AtomSites of length n_sites, or images where the estimator locates
        The held-out sites.
    y : object
        Ignored.
    n_clusters : int, default=4
        Number of clusters to make of a transformer's output.
    reach : float, default=3.0
        Radius within which a wall is looked at, in distances of neighbours.

    Returns
    -------
    score : float
        Between 0 and 1, higher is better. 0 where there is nothing to tell: one
        cluster, no labels or no neighbours.

    Raises
    ------
    TypeError
        If the samples are not sites, so that they have no neighbours.

    See Also
    --------
    wall_straightness_score : The score of given labels, and how it can be fooled.
    get_scorer : The scorers by name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ferroic import AtomSites, PatchExtractor
    >>> from sklearn_ferroic.metrics import wall_straightness_scorer
    >>> image = np.add.outer(np.zeros(96), np.arange(96) > 48)
    >>> sites = AtomSites(image, 8.0 + 8 * np.argwhere(np.ones((10, 10))))
    >>> pipeline = make_pipeline(
    ...     PatchExtractor(window_size=5), KMeans(2, random_state=0)
    ... )
    >>> round(wall_straightness_scorer(pipeline.fit(sites), sites), 2)
    1.0
    """
    found = predict_labels_of_sites(estimator, X, n_clusters)
    return wall_straightness_score(found.sites, found.labels, reach=reach)


def variant_accuracy_scorer(estimator, X, y=None, *, n_clusters=4):
    """Score the share of held-out sites in the right variant, where the truth is known.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline, a search or a single step. What has no `predict` is labelled
        as :func:`spatial_coherence_scorer` does.
    X : AtomSites or array-like of shape (n_samples, ...)
        The held-out samples.
    y : array-like of shape (n_samples,)
        True variants, a negative number or NaN where there is none.
    n_clusters : int, default=4
        Number of clusters to make of a transformer's output.

    Returns
    -------
    score : float
        Between 0 and 1, higher is better. 0 if no held-out sample has a variant or
        none gets a label.

    Raises
    ------
    ValueError
        If `y` is None or differs from `X` in length.

    See Also
    --------
    variant_accuracy_score : The score of given labels.
    get_scorer : The scorers by name.

    Notes
    -----
    Clusters are named anew on each held-out side, which favours small sides a little.
    A held-out side with a single variant gives its largest cluster's share.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from sklearn_ferroic.metrics import variant_accuracy_scorer
    >>> X = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> k_means = KMeans(2, random_state=0).fit(X)
    >>> variant_accuracy_scorer(k_means, X, [1, 1, 0, -1])
    1.0
    """
    y = check_truth(
        y, "variant_accuracy", "variants", "spatial_coherence or wall_straightness"
    )
    return variant_accuracy_score(y, predict_labels(estimator, X, n_clusters).labels)
