"""Scorers of how well a model knows held-out windows, pixel by pixel."""

import numpy as np

from ._stages import begin_at_windows, prepare, send

# Nats per pixel. Finite, so that means over folds stay finite.
WORST_EVIDENCE = -1e6
WORST_RECONSTRUCTION = -1.0


def evidence_scorer(estimator, X, y=None):
    """Score the log-likelihood of held-out windows per pixel, or a bound on it.

    The first step with `score_samples` that takes whole windows gives it: the evidence
    lower bound of :class:`~sklearn_ferroic.RotationalVAE`, the likelihood of PCA [1]_,
    FactorAnalysis or a mixture on raw pixels.

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
        stands where no step has a likelihood or no window is finite.

    See Also
    --------
    reconstruction_scorer : For models without likelihood, such as NMF.
    get_scorer : The scorers by name.

    Notes
    -----
    It rewards a model of all there is in the windows, noise and background included,
    and not the separation of variants. Comparable are models of the same pixels: a
    larger window has more pixels far from its column, and other units of brightness,
    through `normalize` or a scaler, add a constant. `RotationalVAE` gives the density
    in units of its input; a bound lies lower than the likelihood of PCA by the model's
    gap. Neighbouring windows share pixels, so that without a guard band around the
    held-out side the evidence is overstated. Windows with NaN are left out.

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
    n_pixels = _n_columns(samples)
    for step in steps:
        samples = prepare(samples, step)
        if len(samples.kept) == 0 or _n_columns(samples) != n_pixels:
            break
        if hasattr(step, "score_samples"):
            evidence = np.asarray(step.score_samples(samples.values))
            # What knows patches, RotationalVAE, gives its evidence per pixel already.
            if not hasattr(step, "patch_shape_"):
                evidence = evidence / n_pixels
            # A likelihood without bound is that of a model that has collapsed.
            told = evidence < np.inf  # False for NaN
            evidence = np.where(told, evidence, WORST_EVIDENCE)
            return float(np.maximum(evidence, WORST_EVIDENCE).mean())
        if not hasattr(step, "transform"):
            break
        samples = send(samples, step)
    return WORST_EVIDENCE


def reconstruction_scorer(estimator, X, y=None):
    """Score the share of the held-out windows' variance that a model reconstructs.

    Windows go through the steps up to the first one that gives fewer columns than it
    takes, the decomposition, and back by `inverse_transform`.

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
        their mean window. −1, too, where no step reduces or one of them cannot be
        inverted, or if fewer than two windows are finite.

    See Also
    --------
    evidence_scorer : For models with a likelihood; it weighs what noise there is.
    get_scorer : The scorers by name.

    Notes
    -----
    It rewards whatever takes up variance: more components are better until noise is
    copied, which held-out windows show late, since a decomposition sees the window
    that it has to draw. Smooth or small windows are easier. Windows with NaN are left
    out.

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
        n_before = _n_columns(samples)
        samples = send(samples, step)
        if len(samples.kept) < 2:
            return WORST_RECONSTRUCTION
        passed.append(step)
        if _n_columns(samples) < n_before:
            return _explained(windows, samples, passed)
    return WORST_RECONSTRUCTION


def _explained(windows, samples, passed):
    drawn = samples.values
    for step in reversed(passed):
        drawn = step.inverse_transform(drawn)
    place = np.searchsorted(windows.kept, samples.kept)
    true = np.asarray(windows.values)[place].reshape(len(place), -1)
    true = true.astype(np.float64)
    error = ((np.asarray(drawn).reshape(true.shape) - true) ** 2).mean()
    variance = true.var(axis=0).mean()
    if not (np.isfinite(error) and variance > 0):
        return WORST_RECONSTRUCTION
    return float(max(1 - error / variance, WORST_RECONSTRUCTION))


def _n_columns(samples):
    return int(np.prod(np.shape(samples.values)[1:]))
