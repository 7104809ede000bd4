"""Intervals of numbers that parameters may take, truth values excluded."""

from numbers import Integral

import numpy as np
from sklearn.utils import _param_validation


class Interval(_param_validation.Interval):
    """An interval as scikit-learn has them, in which True is not 1."""

    def is_satisfied_by(self, val):
        """Return whether a value is a number in the interval."""
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


N_JOBS = [
    Interval(Integral, 1, None, closed="left"),
    Interval(Integral, None, -1, closed="right"),
    None,
]
