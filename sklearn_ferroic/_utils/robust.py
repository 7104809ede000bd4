"""Robust estimates of scatter, and weights of a robust fit."""

import numpy as np

# Ratio of the standard deviation to the median of absolute values of a normal
# distribution with mean zero.
STD_PER_MEDIAN = 1.4826
# Smallest divisor, which keeps quotients finite.
TINY = np.finfo(float).tiny
# Residuals beyond this number of standard deviations have no weight: Tukey's bisquare
# has an efficiency of 95 % for normal errors with this value.
_TUKEY_STD = 4.7


def bisquare_root(residuals, least_std):
    """Compute the square root of Tukey's bisquare weights.

    Parameters
    ----------
    residuals : ndarray
        Residuals of a fit.
    least_std : float
        Smallest standard deviation of the residuals, which keeps the weights finite
        where more than half of the residuals are zero.

    Returns
    -------
    weight : ndarray of the same shape
        1 for a residual of zero, 0 beyond 4.7 standard deviations. The standard
        deviation is estimated by the median of the absolute residuals.
    """
    std = max(STD_PER_MEDIAN * np.median(np.abs(residuals)), least_std)
    return np.maximum(1 - (residuals / (_TUKEY_STD * std)) ** 2, 0)
