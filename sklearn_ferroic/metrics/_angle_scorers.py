"""Scorers of the angle against a true one."""

import numpy as np
from sklearn.utils import check_consistent_length

from ._circular import angular_error
from ._circular_correlation import circular_correlation
from ._pose import read_pose
from ._stages import begin
from ._truth import check_truth

WORST_CORRELATION = -1.0
WORST_ERROR = -np.pi


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
    y, angle = _true_and_found(estimator, X, y, "circular_correlation")
    told = np.isfinite(y) & np.isfinite(angle)
    if not told.any():
        return WORST_CORRELATION
    correlation = circular_correlation(y[told], angle[told])
    return WORST_CORRELATION if np.isnan(correlation) else correlation


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
    y, angle = _true_and_found(estimator, X, y, "neg_angular_error")
    known = np.isfinite(y)
    told = known & np.isfinite(angle)
    if not told.any():
        return WORST_ERROR
    error = np.abs(angular_error(y[told], angle[told], register=True))
    n_lost = known.sum() - told.sum()
    return float((WORST_ERROR * n_lost - error.sum()) / known.sum())


def _true_and_found(estimator, X, y, scorer):
    """Give the true angles and those of the estimator, NaN where there is none."""
    y = check_truth(y, scorer, "angles", "rotation_equivariance").astype(np.float64)
    steps, samples = begin(estimator, X)
    pose = read_pose(steps, samples)
    angle = np.full(samples.n_samples, np.nan) if pose is None else pose.angle
    check_consistent_length(y, angle)
    return y, angle
