"""Scorers of angle and latents."""

import numpy as np
from sklearn.model_selection import KFold
from sklearn.utils import check_consistent_length

from ..model_selection import SpatialBlockKFold
from ._angle_coherence import WORST_ANGLE_COHERENCE, angle_coherence_score
from ._circular import angular_error
from ._circular_correlation import circular_correlation
from ._labels import encode_labels
from ._latent_leakage import angle_code, explained_share, variant_code
from ._rotation_equivariance import rotation_equivariance_score
from ._stages import begin_at_windows, labels_of_sites, read_angle, read_pose

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
    labels, sites = labels_of_sites(estimator, X, n_clusters)
    steps, samples = begin_at_windows(estimator, X)
    angle, width = read_angle(steps, samples)
    if angle is None:
        return WORST_ANGLE_COHERENCE
    return angle_coherence_score(sites, labels, angle, angle_std=width)


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
    steps, samples = begin_at_windows(estimator, X)
    angle, latents = read_pose(steps, samples)
    if angle is None:
        return -1.0
    code, known = _target(angle if y is None else np.asarray(y))
    check_consistent_length(angle, code)
    known = np.flatnonzero(known & np.isfinite(angle) & np.isfinite(latents).all(1))
    if len(known) < _FEWEST:
        return -1.0
    if not np.ptp(latents[known], axis=0).any():
        return -1.0
    splits = _folds(samples.sites, known)
    leakage = explained_share(latents[known], code[known], splits)
    return -1.0 if np.isnan(leakage) else 0.0 - leakage


def circular_correlation_scorer(estimator, X, y=None):
    """Score the circular correlation of held-out angles with true ones.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that names an angle, or that step.
    X : AtomSites of length n_sites, images or array-like of patches
        The held-out samples.
    y : array-like of shape (n_samples,)
        True angles in radians, NaN where there is none.

    Returns
    -------
    score : float
        Between −1 and 1, higher is better. −1 for an estimator without an angle and
        where the correlation is not defined, as when the angle has collapsed.

    Raises
    ------
    ValueError
        If `y` is None or differs from `X` in length.

    See Also
    --------
    circular_correlation : The coefficient, and where it is weak.
    get_scorer : The scorers by name.

    Notes
    -----
    Samples whose window is not finite are left out. Of no use where the truth has but
    two opposite variants: the coefficient then tells nothing or is −1 for all models.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ferroic.metrics import circular_correlation_scorer
    >>> X = np.random.default_rng(0).random((20, 9))
    >>> circular_correlation_scorer(PCA(2).fit(X), X, np.zeros(20))
    -1.0
    """
    y, angle = _angles(estimator, X, y, "circular_correlation")
    told = np.isfinite(y) & np.isfinite(angle)
    if not told.any():
        return -1.0
    correlation = circular_correlation(y[told], angle[told])
    return -1.0 if np.isnan(correlation) else correlation


def neg_angular_error_scorer(estimator, X, y=None):
    """Score the error of held-out angles against true ones, after registration.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that names an angle, or that step.
    X : AtomSites of length n_sites, images or array-like of patches
        The held-out samples.
    y : array-like of shape (n_samples,)
        True angles in radians, NaN where there is none.

    Returns
    -------
    score : float
        The negative of the mean absolute error in radians, between −π and 0, higher
        is better. −π for an estimator without an angle and if no sample has a true one.

    Raises
    ------
    ValueError
        If `y` is None or differs from `X` in length.

    See Also
    --------
    angular_error : The errors and the registration.
    get_scorer : The scorers by name.

    Notes
    -----
    A sample whose window is not finite counts as π. All angles of a held-out side are
    turned by the one rotation that fits best there: where that side has one variant
    only, an angle that never changes has no error.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ferroic.metrics import neg_angular_error_scorer
    >>> X = np.random.default_rng(0).random((20, 9))
    >>> round(neg_angular_error_scorer(PCA(2).fit(X), X, np.zeros(20)), 4)
    -3.1416
    """
    y, angle = _angles(estimator, X, y, "neg_angular_error")
    known = np.isfinite(y)
    told = known & np.isfinite(angle)
    if not told.any():
        return -np.pi
    error = np.abs(angular_error(y[told], angle[told], register=True))
    n_lost = known.sum() - told.sum()
    return float(-(error.sum() + np.pi * n_lost) / known.sum())


def _angles(estimator, X, y, name):
    """Give the true angles and those of the estimator, NaN where there is none."""
    if y is None:
        raise ValueError(
            f"{name} needs the true angles: give y, one a sample, to fit of the "
            "search. Without a truth use rotation_equivariance."
        )
    y = np.asarray(y, dtype=np.float64)
    steps, samples = begin_at_windows(estimator, X)
    angle, _ = read_pose(steps, samples)
    angle = np.full(samples.n_samples, np.nan) if angle is None else angle
    check_consistent_length(y, angle)
    return y, angle


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
