"""Scorers of angle and latents that need no truth."""

import numpy as np
from sklearn.model_selection import KFold
from sklearn.utils import check_consistent_length

from ..model_selection import SpatialBlockKFold
from ..sites import AtomSites
from ._angle_coherence import WORST_ANGLE_COHERENCE, angle_coherence_score
from ._labels import encode_labels
from ._latent_leakage import angle_code, explained_share, variant_code
from ._pose import read_pose
from ._predicted_labels import predict_labels_of_sites
from ._rotation_equivariance import rotation_equivariance_score
from ._stages import begin

WORST_LEAKAGE = -1.0
_N_FOLDS = 4
# Fewer samples do not show a dependence.
_FEWEST = 20


def angle_coherence_scorer(estimator, X, y=None, *, n_clusters=4):
    """Score how well the labels of nearby held-out cells tell the angle of a cell.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that names an angle, or that step. If that step
        has `transform_with_std`, cells count by how certain their angle is. What has no
        `predict` is labelled as :func:`spatial_coherence_scorer` does.
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
        where there is nothing to tell: one cluster, no neighbours or one angle.

    Raises
    ------
    TypeError
        If the samples are not sites, so that they have no neighbours.

    See Also
    --------
    angle_coherence_score : The score of given angles, and how it can be fooled.
    get_scorer : The scorers by name.

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


def rotation_equivariance_scorer(estimator, X, y=None):
    """Score how far the angle follows turned held-out patches while the latents stay.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that names an angle, or that step.
    X : AtomSites of length n_sites, images or array-like of patches
        The held-out samples.
    y : object
        Ignored.

    Returns
    -------
    score : float
        Between −1 and 1, higher is better. −1 for an estimator without an angle, or
        if no window is finite.

    Raises
    ------
    ValueError
        If the windows are not square.

    See Also
    --------
    rotation_equivariance_score : The same at other angles, and how it can be fooled.
    get_scorer : The scorers by name.

    Examples
    --------
    A model without an angle:

    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ferroic.metrics import rotation_equivariance_scorer
    >>> X = np.random.default_rng(0).random((20, 9))
    >>> rotation_equivariance_scorer(PCA(2).fit(X), X)
    -1.0
    """
    return rotation_equivariance_score(estimator, X)


def neg_latent_leakage_scorer(estimator, X, y=None):
    """Score how little the latents of held-out samples tell of the angle or variant.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that names an angle, or that step.
    X : AtomSites of length n_sites, images or array-like of patches
        The held-out samples. Sites are divided into spatial folds.
    y : array-like of shape (n_samples,), default=None
        What the latents should not tell: variants, if all are whole numbers, negative
        or NaN where there is none, or else angles in radians. The estimator's own
        angle by default.

    Returns
    -------
    score : float
        The negative of the leakage, between −1 and 0, higher is better. −1 for an
        estimator without an angle, for fewer than 20 samples with a target, and if
        the target or all latents are constant, as when the model has collapsed.

    Raises
    ------
    ValueError
        If `y` differs from `X` in length.

    See Also
    --------
    latent_leakage_score : The leakage of given latents, and how it can be fooled.
    get_scorer : The scorers by name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ferroic.metrics import neg_latent_leakage_scorer
    >>> X = np.random.default_rng(0).random((20, 9))
    >>> neg_latent_leakage_scorer(PCA(2).fit(X), X)
    -1.0
    """
    steps, samples = begin(estimator, X)
    pose = read_pose(steps, samples)
    if pose is None:
        return WORST_LEAKAGE
    # Sites are given for an AngleRegistration's sake.
    y = None if isinstance(y, AtomSites) else y
    code, known = _target(pose.angle if y is None else np.asarray(y))
    check_consistent_length(pose.angle, code)
    known &= np.isfinite(pose.angle) & np.isfinite(pose.latents).all(axis=1)
    known = np.flatnonzero(known)
    latents = pose.latents[known]
    if len(known) < _FEWEST or not np.ptp(latents, axis=0).any():
        return WORST_LEAKAGE
    splits = _folds(samples.sites, known)
    leakage = explained_share(latents, code[known], splits)
    return WORST_LEAKAGE if np.isnan(leakage) else 0.0 - leakage


def _target(target):
    """Tell variants from angles; give their code and where there is one."""
    if target.dtype.kind == "f":
        told = np.isfinite(target)
        if (target[told] % 1 != 0).any():
            return angle_code(np.where(told, target, 0)), told
    known = encode_labels(target)[0] >= 0
    return variant_code(target), known


def _folds(sites, known):
    """Divide the samples into spatial folds, or at random where they have no place."""
    if sites is not None:
        cv = SpatialBlockKFold(_N_FOLDS, random_state=0)
        try:
            return list(cv.split(sites[known]))
        except ValueError:  # fewer blocks than folds
            pass
    return KFold(_N_FOLDS, shuffle=True, random_state=0).split(known)
