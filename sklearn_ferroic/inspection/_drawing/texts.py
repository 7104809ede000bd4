"""Text of numbers in figures."""

from numbers import Integral, Real

import numpy as np


def with_minus(text):
    """Set the minus sign, which is as long as a plus, for the hyphen."""
    return text.replace("-", "−")


def degrees_text(angle):
    """Write an angle in radians as whole degrees, none of them minus zero."""
    return with_minus(f"{np.rad2deg(angle):z.0f}°")


def value_text(value):
    """Write a value of a parameter briefly, and numbers as they were given."""
    if isinstance(value, Real):
        return with_minus(str(value) if isinstance(value, Integral) else f"{value:g}")
    return str(value).replace("\n", " ")


def score_format(mean, std):
    """Make the function that writes scores, to two digits of their spread.

    Parameters
    ----------
    mean, std : ndarray of float
        Scores and their standard deviations, NaN where unknown.

    Returns
    -------
    write : callable
        From float to str.
    """
    spread = std[np.isfinite(std) & (std > 0)]
    if spread.size == 0:
        known = mean[np.isfinite(mean)]
        spread = known.max(initial=-np.inf) - known.min(initial=np.inf)
        spread = spread if spread > 0 else 1.0
    digits = 1 - int(np.floor(np.log10(np.median(spread))))
    style = f".{max(digits, 0)}f" if digits <= 6 else ".2e"
    return lambda value: with_minus(f"{value:z{style}}")
