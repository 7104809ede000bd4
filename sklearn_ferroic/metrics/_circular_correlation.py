"""Correlation of two sets of angles."""

import numpy as np
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import validate_params

from ._circular import PAIR_CONSTRAINTS, check_angles

# The direction of a mean resultant shorter than this hangs on few of the angles.
_SHORTEST = 0.1
# Sums of squared sines below this share of the number of angles are rounding.
_NO_SPREAD = 1e-12


@validate_params(PAIR_CONSTRAINTS, prefer_skip_nested_validation=True)
def circular_correlation(angle_true, angle_pred, *, n_fold=1):
    """Compute the correlation of two sets of angles.

    The coefficient of Jammalamadaka and SenGupta [1]_, the correlation of the sines of
    the deviations from the two mean directions. It needs no registration: a rotation
    common to all predicted angles leaves it as it is. A mirrored prediction is
    anticorrelated.

    Parameters
    ----------
    angle_true : array-like of shape (n_samples,)
        Reference angles in radians.
    angle_pred : array-like of shape (n_samples,)
        Angles to compare, in radians.
    n_fold : int, default=1
        Angles that differ by 2π / `n_fold` count as the same.

    Returns
    -------
    correlation : float
        Between −1 and 1; 0 for independent angles. NaN where a set has no spread about
        its mean direction, as where all angles are the same or opposite.

    Raises
    ------
    ValueError
        If the angles are empty or not finite, or if the lengths differ.

    See Also
    --------
    angular_error : Differences of angles, the right measure of how far off they are.
    circular_mean : Mean direction of angles.

    Notes
    -----
    Angles that lie evenly around the circle, such as those of four equally frequent
    variants, have no mean direction. Where the mean resultant of either set is shorter
    than 0.1, the coefficient of evenly distributed angles [1]_ is taken: the mean
    resultant length of the differences of the angles minus that of their sums.
    Two opposite directions that are all there is cannot be told from their mirror
    image: the coefficient is then NaN, near 0 if they are equally frequent, or that of
    the small deviations. Use :func:`angular_error` there.

    References
    ----------
    .. [1] S. R. Jammalamadaka and A. SenGupta, "Topics in Circular Statistics", World
       Scientific, 2001, section 8.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import circular_correlation
    >>> angle = np.deg2rad([10, 40, 75, -20, -65])
    >>> float(np.round(circular_correlation(angle, angle + 2.5), 6))
    1.0
    >>> float(np.round(circular_correlation(angle, -angle), 6))
    -1.0
    """
    alpha = n_fold * check_angles(angle_true, "angle_true")
    beta = n_fold * check_angles(angle_pred, "angle_pred")
    check_consistent_length(alpha, beta)
    lengths = _mean_length(alpha), _mean_length(beta)
    if max(lengths) > 1 - _NO_SPREAD:
        return float("nan")
    if min(lengths) < _SHORTEST:
        return float(_mean_length(alpha - beta) - _mean_length(alpha + beta))
    a, b = (np.sin(x - np.angle(np.exp(1j * x).sum())) for x in (alpha, beta))
    spread = (a @ a) * (b @ b)
    if spread <= (_NO_SPREAD * len(a)) ** 2:
        return float("nan")
    return float(np.clip(a @ b / np.sqrt(spread), -1, 1))


def _mean_length(angles):
    return abs(np.exp(1j * angles).mean())
