"""Values kept in the attributes of tables, which pandas compares and copies."""

import numpy as np

# pandas compares attributes of tables that it joins, where arrays have no truth value,
# and copies them with every table that it derives.


class Polylines(dict):
    """Lines or fits by the row of a table; equal only to itself, not copied with it."""

    __hash__ = None

    def __eq__(self, other):
        return self is other

    def __ne__(self, other):
        return self is not other

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self


class SiteNumbers(np.ndarray):
    """Read-only number of each site; equal only to itself among its kind.

    Compared with numbers and plain arrays it is an array like any other.
    """

    __hash__ = None

    def __new__(cls, numbers):
        own = np.array(numbers).view(cls)
        own.setflags(write=False)
        return own

    def __eq__(self, other):
        if isinstance(other, SiteNumbers):
            return self is other
        return np.asarray(self) == other

    def __ne__(self, other):
        if isinstance(other, SiteNumbers):
            return self is not other
        return np.asarray(self) != other

    def __array_wrap__(self, array, context=None, return_scalar=False):
        # Results of arithmetic are plain arrays.
        return array[()] if return_scalar else np.asarray(array)

    def __getitem__(self, key):
        return np.asarray(self)[key]

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self
