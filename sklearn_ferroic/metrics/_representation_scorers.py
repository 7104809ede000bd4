"""Scorers of the angles, latents and reconstructions that pipelines return."""

import numpy as np
from sklearn.utils import check_consistent_length

from ..sites import AtomSites
from ._circular import angular_error, circular_correlation
from ._pipeline_output import (
    begin,
    begin_at_windows,
    check_truth,
    count_columns,
    prepare,
    read_pose,
    send,
)
from ._representation_scores import (
    WORST_RECONSTRUCTION,
    explained_share,
    leakage_folds,
    leakage_target,
    reconstruction_score,
    rotation_equivariance_score,
)

# The lowest values, for degenerate results.
WORST_CORRELATION = -1.0
WORST_ERROR = -np.pi
WORST_LEAKAGE = -1.0
# Nats per pixel. Finite, so that means over folds stay finite.
WORST_EVIDENCE = -1e6
# Fewer samples do not show a dependence.
_FEWEST_LEAKAGE_SAMPLES = 20


def circular_correlation_scorer(estimator, X, y=None):
    """Score the circular correlation of held-out angles with true ones.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that returns an angle, or that step.
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

    Notes
    -----
    Samples whose window is not finite are excluded. The score is not informative if the
    truth has only two opposite variants: it may then be −1 for all models.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ferroic.metrics import circular_correlation_scorer
    >>> X = np.random.default_rng(0).random((20, 9))
    >>> circular_correlation_scorer(PCA(2).fit(X), X, np.zeros(20))
    -1.0
    """
    y, angle = _true_and_found(estimator, X, y, "circular_correlation")
    is_usable = np.isfinite(y) & np.isfinite(angle)
    if not is_usable.any():
        return WORST_CORRELATION
    correlation = circular_correlation(y[is_usable], angle[is_usable])
    return WORST_CORRELATION if np.isnan(correlation) else correlation


def neg_angular_error_scorer(estimator, X, y=None):
    """Score the error of held-out angles against true ones, after registration.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that returns an angle, or that step.
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

    Notes
    -----
    The error of a sample whose window is not finite is π. All held-out angles are
    registered by the common rotation that fits them best: if they have one variant
    only, a constant angle has no error.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ferroic.metrics import neg_angular_error_scorer
    >>> X = np.random.default_rng(0).random((20, 9))
    >>> round(neg_angular_error_scorer(PCA(2).fit(X), X, np.zeros(20)), 4)
    -3.1416
    """
    y, angle = _true_and_found(estimator, X, y, "neg_angular_error")
    known = np.isfinite(y)
    usable = known & np.isfinite(angle)
    if not usable.any():
        return WORST_ERROR
    error = np.abs(angular_error(y[usable], angle[usable], register=True))
    n_lost = known.sum() - usable.sum()
    return float((WORST_ERROR * n_lost - error.sum()) / known.sum())


def _true_and_found(estimator, X, y, scorer):
    """Return the true angles and those of the estimator, NaN if unknown."""
    # The last argument is the scorer that the message recommends without a truth.
    y = check_truth(y, scorer, "angles", "rotation_equivariance").astype(np.float64)
    steps, samples = begin(estimator, X)
    pose = read_pose(steps, samples)
    angle = np.full(samples.n_samples, np.nan) if pose is None else pose.angle
    check_consistent_length(y, angle)
    return y, angle


def rotation_equivariance_scorer(estimator, X, y=None):
    """Score whether the angle follows a rotation of held-out patches.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that returns an angle, or that step.
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
    """Score how little information about angle or variant the latents contain.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline with a step that returns an angle, or that step.
    X : AtomSites of length n_sites, images or array-like of patches
        The held-out samples. Sites are divided into spatial folds.
    y : array-like of shape (n_samples,), default=None
        Target that the latents should not predict: variants, if all are whole numbers,
        negative or NaN where there is none, or else angles in radians. The estimator's
        own angle by default.

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
    # AtomSites are the y of a pipeline with an AngleRegistration.
    y = None if isinstance(y, AtomSites) else y
    code, known = leakage_target(pose.angle if y is None else np.asarray(y))
    check_consistent_length(pose.angle, code)
    known &= np.isfinite(pose.angle) & np.isfinite(pose.latents).all(axis=1)
    known = np.flatnonzero(known)
    latents = pose.latents[known]
    if len(known) < _FEWEST_LEAKAGE_SAMPLES or not np.ptp(latents, axis=0).any():
        return WORST_LEAKAGE
    splits = leakage_folds(samples.sites, known)
    leakage = explained_share(latents, code[known], splits)
    # Subtracted from 0, because -leakage would be -0.0 without leakage.
    return WORST_LEAKAGE if np.isnan(leakage) else 0.0 - leakage


def evidence_scorer(estimator, X, y=None):
    """Score the log-likelihood of held-out windows per pixel, or a bound on it.

    It is computed by the first step with `score_samples` whose input is whole windows:
    the evidence lower bound of :class:`~sklearn_ferroic.RotationalVAE`, the likelihood
    of PCA [1]_, FactorAnalysis or a mixture on raw pixels.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline, a search or a single step.
    X : AtomSites of length n_sites, images or array-like of patches
        The held-out samples.
    y : object
        Ignored.

    Returns
    -------
    score : float
        Mean over the windows in nats per pixel, higher is better. At least −1e6, which
        is returned if no step has a likelihood or no window is finite.

    See Also
    --------
    reconstruction_scorer : For models without likelihood, such as NMF.

    Notes
    -----
    The score rewards a model of the whole window, including noise and background, and
    not the separation of variants. Only models of the same pixels are comparable: a
    larger window has more pixels far from its column, and other units of brightness,
    through `normalize` or a scaler, add a constant. `RotationalVAE` returns the density
    in units of its input; a lower bound is below the likelihood of PCA by the gap of
    the bound. Neighbouring windows share pixels, so that the evidence is overestimated
    without a guard band around the held-out set. Windows with NaN are excluded.

    References
    ----------
    .. [1] M. E. Tipping and C. M. Bishop, "Probabilistic principal component
       analysis", Journal of the Royal Statistical Society B 61, 611–622 (1999).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import NMF, PCA
    >>> from sklearn_ferroic.metrics import evidence_scorer
    >>> X = np.random.default_rng(0).random((50, 9))
    >>> pca = PCA(2).fit(X)
    >>> bool(np.isclose(evidence_scorer(pca, X), pca.score(X) / 9))
    True
    >>> evidence_scorer(NMF(2, init="random", tol=0.1).fit(X), X)
    -1000000.0
    """
    steps, samples = begin_at_windows(estimator, X)
    n_pixels = count_columns(samples)
    for step in steps:
        samples = prepare(samples, step)
        if len(samples.kept) == 0 or count_columns(samples) != n_pixels:
            break
        if hasattr(step, "score_samples"):
            evidence = np.asarray(step.score_samples(samples.values))
            # RotationalVAE, which knows its patch shape, returns evidence per pixel.
            if not hasattr(step, "patch_shape_"):
                evidence = evidence / n_pixels
            # The likelihood of a collapsed model is infinite. The comparison is False
            # for NaN.
            evidence = np.where(evidence < np.inf, evidence, WORST_EVIDENCE)
            return float(np.maximum(evidence, WORST_EVIDENCE).mean())
        if not hasattr(step, "transform"):
            break
        samples = send(samples, step)
    return WORST_EVIDENCE


def reconstruction_scorer(estimator, X, y=None):
    """Score the share of the held-out windows' variance that a model reconstructs.

    Windows are transformed by the steps up to the first one that reduces the number of
    columns, the decomposition, and back by `inverse_transform`.

    Parameters
    ----------
    estimator : estimator
        Fitted; a pipeline, a search or a single step.
    X : AtomSites of length n_sites, images or array-like of patches
        The held-out samples.
    y : object
        Ignored.

    Returns
    -------
    score : float
        1 minus the mean square error over the mean variance of a pixel among the
        held-out windows, at least −1, higher is better: 1 is perfect, 0 as good as
        their mean window. Also −1 if no step reduces the number of columns, a step
        cannot be inverted, or fewer than two windows are finite.

    See Also
    --------
    evidence_scorer : For models with a likelihood; includes the noise.

    Notes
    -----
    The score rewards any explained variance: more components are better until noise is
    reproduced, which held-out windows show late, since a decomposition is applied to
    the window that it reconstructs. Smooth or small windows are easier. Windows with
    NaN are excluded.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.decomposition import PCA
    >>> from sklearn_ferroic.metrics import reconstruction_scorer
    >>> X = np.random.default_rng(0).random((50, 2)) @ np.ones((2, 9))
    >>> round(reconstruction_scorer(PCA(1).fit(X), X), 6)
    1.0
    """
    steps, windows = begin_at_windows(estimator, X)
    samples, passed = windows, []
    for step in steps:
        if not (hasattr(step, "transform") and hasattr(step, "inverse_transform")):
            return WORST_RECONSTRUCTION
        n_before = count_columns(samples)
        samples = send(samples, step)
        if len(samples.kept) < 2:
            return WORST_RECONSTRUCTION
        passed.append(step)
        if count_columns(samples) < n_before:
            return reconstruction_score(windows, samples, passed)
    return WORST_RECONSTRUCTION
