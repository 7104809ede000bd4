"""Statistics of angles on the circle."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils._param_validation import validate_params

from .._utils.angles import mean_direction, robust_center, warn_if_degrees, wrap_angle
from .._utils.validation import Interval, refuse_mask

N_FOLD = [Interval(Integral, 1, None, closed="left")]
# What the comparisons of two sets of angles have in common.
PAIR_CONSTRAINTS = {
    "angle_true": ["array-like"],
    "angle_pred": ["array-like"],
    "n_fold": N_FOLD,
}


def check_angles(angles, name):
    """Validate angles; float64 ndarray of shape (n,)."""
    angles = _as_angles(angles, name)
    # through the public function and scikit-learn's check of its parameters
    warn_if_degrees(angles, name, stacklevel=4)
    return angles


def _as_angles(angles, name):
    """Return angles as a float64 ndarray of shape (n,)."""
    refuse_mask(angles, name)
    angles = column_or_1d(check_array(angles, ensure_2d=False, input_name=name))
    return angles.astype(np.float64, copy=False)


def _check_pair(angle_true, angle_pred, stacklevel):
    """Validate two sets of angles of equal length, with one warning for both."""
    angle_true = _as_angles(angle_true, "angle_true")
    angle_pred = _as_angles(angle_pred, "angle_pred")
    check_consistent_length(angle_true, angle_pred)
    for angles, name in ((angle_true, "angle_true"), (angle_pred, "angle_pred")):
        if warn_if_degrees(angles, name, stacklevel=stacklevel + 1):
            break
    return angle_true, angle_pred


@validate_params(
    {
        "angles": ["array-like"],
        "sample_weight": ["array-like", None],
        "n_fold": N_FOLD,
    },
    prefer_skip_nested_validation=True,
)
def circular_mean(angles, *, sample_weight=None, n_fold=1):
    """Compute the mean direction of angles.

    The direction of the resultant, the sum of the unit vectors
    ``(cos(n_fold * angle), sin(n_fold * angle))`` [1]_.

    Parameters
    ----------
    angles : array-like of shape (n_samples,)
        Angles in radians.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each angle, not negative. Equal weights by default.
    n_fold : int, default=1
        Angles that differ by 2π / `n_fold` count as the same.

    Returns
    -------
    mean : float
        Mean direction in radians, in [−π / `n_fold`, π / `n_fold`). NaN where there is
        none: the resultant of 0 and π is zero.

    Raises
    ------
    ValueError
        If `angles` is empty or not finite, if a weight is negative, or if the lengths
        differ.

    See Also
    --------
    angular_error : Signed differences of angles.
    scipy.stats.circmean : The same without weights, in another range.

    References
    ----------
    .. [1] K. V. Mardia and P. E. Jupp, "Directional Statistics", Wiley, 2000,
       section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import circular_mean
    >>> float(np.round(np.rad2deg(circular_mean(np.deg2rad([170, -150]))), 6))
    -170.0

    Directions 90° apart are equivalent under fourfold symmetry:

    >>> mean = circular_mean(np.deg2rad([10, 110, -160]), n_fold=4)
    >>> float(np.round(np.rad2deg(mean), 2))
    16.73
    """
    angles = check_angles(angles, "angles")
    if sample_weight is not None:
        sample_weight = check_angles(sample_weight, "sample_weight")
        check_consistent_length(angles, sample_weight)
        if (sample_weight < 0).any():
            raise ValueError("sample_weight must not be negative.")
    return mean_direction(angles, n_fold, sample_weight)


@validate_params(PAIR_CONSTRAINTS, prefer_skip_nested_validation=True)
def angle_registration(angle_true, angle_pred, *, n_fold=1):
    """Find the common rotation that registers predicted angles to true ones.

    A model without labels determines angles up to a common rotation. This function
    returns the rotation that minimises the sum over the samples of the absolute
    difference, each clipped at an eighth of the period (45° for `n_fold=1`). The
    result is a circular median [1]_ of the samples within that distance; samples
    farther away, such as cells assigned to a wrong variant, have no influence. Only
    a rotation is applied: a mirrored prediction stays mirrored.

    Parameters
    ----------
    angle_true : array-like of shape (n_samples,)
        Reference angles in radians.
    angle_pred : array-like of shape (n_samples,)
        Angles to register, in radians.
    n_fold : int, default=1
        Angles that differ by 2π / `n_fold` count as the same.

    Returns
    -------
    rotation : float
        Angle in radians, in [−π / `n_fold`, π / `n_fold`), to add to `angle_pred`.

    Raises
    ------
    ValueError
        If the angles are empty or not finite, or if the lengths differ.

    See Also
    --------
    angular_error : Signed differences, after this registration if asked for.

    References
    ----------
    .. [1] N. I. Fisher, "Statistical Analysis of Circular Data", Cambridge University
       Press, 1993, section 2.3.2.

    Examples
    --------
    One angle of four is wrong by 90° and has no influence:

    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import angle_registration
    >>> angle_true = np.deg2rad([0, 90, 180, -90])
    >>> angle_pred = np.deg2rad([30, 120, -150, 30])
    >>> float(np.round(np.rad2deg(angle_registration(angle_true, angle_pred)), 6))
    -30.0
    """
    lead = _difference(angle_true, angle_pred, n_fold)
    return float(wrap_angle(robust_center(-n_fold * lead) / n_fold, n_fold))


@validate_params(
    {**PAIR_CONSTRAINTS, "register": ["boolean"]},
    prefer_skip_nested_validation=True,
)
def angular_error(angle_true, angle_pred, *, n_fold=1, register=False):
    """Compute signed differences of angles, wrapped to half a period.

    Parameters
    ----------
    angle_true : array-like of shape (n_samples,)
        Reference angles in radians.
    angle_pred : array-like of shape (n_samples,)
        Predicted angles in radians.
    n_fold : int, default=1
        Angles that differ by 2π / `n_fold` count as the same.
    register : bool, default=False
        If true, first add the common rotation of :func:`angle_registration` to all
        predictions.

    Returns
    -------
    error : ndarray of shape (n_samples,)
        Predicted minus true angle in radians, in [−π / `n_fold`, π / `n_fold`).

    Raises
    ------
    ValueError
        If the angles are empty or not finite, or if the lengths differ.

    See Also
    --------
    angle_registration : The rotation itself.
    circular_mean : Mean direction of angles.

    References
    ----------
    .. [1] K. V. Mardia and P. E. Jupp, "Directional Statistics", Wiley, 2000,
       section 2.3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import angular_error
    >>> error = angular_error(np.deg2rad([170, 0]), np.deg2rad([-170, -30]))
    >>> np.rad2deg(error).round(6)
    array([ 20., -30.])
    """
    error = _difference(angle_true, angle_pred, n_fold)
    if register:
        rotation = angle_registration(angle_true, angle_pred, n_fold=n_fold)
        error = wrap_angle(error + rotation, n_fold)
    return error


def _difference(angle_true, angle_pred, n_fold):
    angle_true, angle_pred = _check_pair(angle_true, angle_pred, stacklevel=4)
    return wrap_angle(angle_pred - angle_true, n_fold)


# The direction of a mean resultant shorter than this depends on few of the angles.
_SHORTEST_RESULTANT = 0.1
# Sums of squared sines below this share of the number of angles are rounding.
_NO_SPREAD_SHARE = 1e-12


@validate_params(PAIR_CONSTRAINTS, prefer_skip_nested_validation=True)
def circular_correlation(angle_true, angle_pred, *, n_fold=1):
    """Compute the correlation of two sets of angles.

    The coefficient of Jammalamadaka and SenGupta [1]_, the correlation of the sines of
    the deviations from the two mean directions. It needs no registration: a rotation
    common to all predicted angles does not change it. A mirrored prediction is
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
    than 0.1, the coefficient of evenly distributed angles [1]_ is returned: the mean
    resultant length of the differences of the angles minus that of their sums.
    If there are only two opposite directions, they cannot be distinguished from their
    mirror image: the coefficient is then NaN, near 0 if they are equally frequent, or
    that of the small deviations. Use :func:`angular_error` there.

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
    alpha, beta = _check_pair(angle_true, angle_pred, stacklevel=3)
    alpha, beta = n_fold * alpha, n_fold * beta
    lengths = _mean_length(alpha), _mean_length(beta)
    if max(lengths) > 1 - _NO_SPREAD_SHARE:
        return float("nan")
    if min(lengths) < _SHORTEST_RESULTANT:
        return float(_mean_length(alpha - beta) - _mean_length(alpha + beta))
    a, b = (np.sin(x - np.angle(np.exp(1j * x).sum())) for x in (alpha, beta))
    spread = (a @ a) * (b @ b)
    if spread <= (_NO_SPREAD_SHARE * len(a)) ** 2:
        return float("nan")
    return float(np.clip(a @ b / np.sqrt(spread), -1, 1))


def _mean_length(angles):
    return abs(np.exp(1j * angles).mean())
