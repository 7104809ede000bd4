"""Scorers of the labels that pipelines predict."""

from ._domain_scores import (
    WORST_ANGLE_COHERENCE,
    angle_coherence_score,
    spatial_coherence_score,
    variant_accuracy_score,
    wall_continuity_score,
    wall_straightness_score,
)
from ._pipeline_output import (
    check_truth,
    predict_labels,
    predict_labels_of_sites,
)


def spatial_coherence_scorer(estimator, X, y=None, *, n_clusters=4):
    """Score how often neighbouring held-out sites have the same label.

    The labels are those that the estimator predicts. If the last step is a transformer,
    its output for `X` is clustered by k-means, after AngleAwareScaler if one of its
    columns is an angle; a clusterer that only has `fit_predict` is refitted to `X`.

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
        Between −1 and 1, higher is better. −1 with one cluster, no labels or no
        neighbours.

    Raises
    ------
    TypeError
        If the samples are not sites, so that they have no neighbours.

    See Also
    --------
    spatial_coherence_score : The score of given labels, and how it can be fooled.

    Notes
    -----
    Even a perfect model finds one cluster only in a held-out block within one domain:
    blocks should be larger than the domains. Samples that a step transforms to NaN have
    no label and agree with none of their neighbours.

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
        Fitted; a pipeline, a search or a single step. Without `predict`, labels are
        found as in :func:`spatial_coherence_scorer`.
    X : AtomSites of length n_sites, or images where the estimator locates
        The held-out sites.
    y : object
        Ignored.
    n_clusters : int, default=4
        Number of clusters to make of a transformer's output.
    reach : float, default=3.0
        Radius within which a wall is analysed, in distances of neighbours.

    Returns
    -------
    score : float
        Between 0 and 1, higher is better. 0 with one cluster, no labels or no
        neighbours.

    Raises
    ------
    TypeError
        If the samples are not sites, so that they have no neighbours.

    See Also
    --------
    wall_straightness_score : The score of given labels, and how it can be fooled.

    Examples
    --------
    Clusters on both sides of a straight line:

    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.metrics import wall_straightness_scorer
    >>> sites = AtomSites(np.eye(96), 8.0 + 8 * np.argwhere(np.ones((10, 10))))
    >>> column = FunctionTransformer(lambda sites: sites.positions[:, 1:])
    >>> pipeline = make_pipeline(column, KMeans(2, random_state=0)).fit(sites)
    >>> round(wall_straightness_scorer(pipeline, sites), 2)
    1.0
    """
    found = predict_labels_of_sites(estimator, X, n_clusters)
    return wall_straightness_score(found.sites, found.labels, reach=reach)


def wall_continuity_scorer(estimator, X, y=None, *, n_clusters=4):
    """Score how long the connected boundaries between labels of held-out sites are.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline, a search or a single step. Without `predict`, labels are
        found as in :func:`spatial_coherence_scorer`.
    X : AtomSites of length n_sites, or images where the estimator locates
        The held-out sites.
    y : object
        Ignored.
    n_clusters : int, default=4
        Number of clusters to make of a transformer's output.

    Returns
    -------
    score : float
        Between 0 and 1, higher is better. 0 with one cluster, no labels or no
        neighbours.

    Raises
    ------
    TypeError
        If the samples are not sites, so that they have no neighbours.

    See Also
    --------
    wall_continuity_score : The score of given labels, and where it is weak.

    Notes
    -----
    The score is a poor guide to windows and latents: it was lower for accurate settings
    than for others on some images, because errors make connected walls, too.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.metrics import wall_continuity_scorer
    >>> sites = AtomSites(np.eye(96), 8.0 + 8 * np.argwhere(np.ones((10, 10))))
    >>> column = FunctionTransformer(lambda sites: sites.positions[:, 1:])
    >>> pipeline = make_pipeline(column, KMeans(2, random_state=0)).fit(sites)
    >>> wall_continuity_scorer(pipeline, sites)
    0.6
    """
    found = predict_labels_of_sites(estimator, X, n_clusters)
    return wall_continuity_score(found.sites, found.labels)


def variant_accuracy_scorer(estimator, X, y=None, *, n_clusters=4):
    """Score the share of held-out sites in the right variant, where the truth is known.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline, a search or a single step. Without `predict`, labels are
        found as in :func:`spatial_coherence_scorer`.
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

    Notes
    -----
    Clusters are assigned to variants separately in each held-out set, which favours
    small sets slightly. For a held-out set with a single variant, the score is the
    share of its largest cluster.

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


def angle_coherence_scorer(estimator, X, y=None, *, n_clusters=4):
    """Score how well the labels of nearby held-out cells predict the angle of a cell.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that returns an angle, or that step. If that step
        has `transform_with_std`, cells are weighted by the certainty of their angle.
        Without `predict`, labels are found as in :func:`spatial_coherence_scorer`.
    X : AtomSites of length n_sites, or images where the estimator locates
        The held-out sites.
    y : object
        Ignored.
    n_clusters : int, default=4
        Number of clusters to make of a transformer's output.

    Returns
    -------
    score : float
        Between −1 and 1, higher is better. −1 for an estimator without an angle, and
        with one cluster, no neighbours or one angle.

    Raises
    ------
    TypeError
        If the samples are not sites, so that they have no neighbours.

    See Also
    --------
    angle_coherence_score : The score of given angles, and how it can be fooled.

    Examples
    --------
    A model without an angle:

    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ferroic import AtomSites, PatchExtractor
    >>> from sklearn_ferroic.metrics import angle_coherence_scorer
    >>> image = np.add.outer(np.zeros(96), np.arange(96) > 48)
    >>> sites = AtomSites(image, 8.0 + 8 * np.argwhere(np.ones((10, 10))))
    >>> pipeline = make_pipeline(PatchExtractor(window_size=5), PCA(2)).fit(sites)
    >>> angle_coherence_scorer(pipeline, sites)
    -1.0
    """
    labels, pose, sites = predict_labels_of_sites(estimator, X, n_clusters)
    if pose is None:
        return WORST_ANGLE_COHERENCE
    return angle_coherence_score(sites, labels, pose.angle, angle_std=pose.angle_std)
