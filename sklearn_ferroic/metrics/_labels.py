"""What counts as a label."""

import numpy as np
from sklearn.utils import column_or_1d


def encode_labels(labels):
    """Turn labels into numbers from 0 on.

    Parameters
    ----------
    labels : array-like of shape (n,)
        Numbers or strings. Negative numbers and NaN stand for samples without a label.

    Returns
    -------
    codes : ndarray of int of shape (n,)
        0 … `n_labels` − 1; −1 where there is no label.
    n_labels : int
        How many labels occur.
    """
    labels = column_or_1d(labels)
    if labels.dtype.kind in "fiub":
        known = labels >= 0  # False for NaN
    elif labels.dtype.kind == "O":
        known = np.array([_is_label(label) for label in labels], dtype=bool)
    else:
        known = np.ones(len(labels), dtype=bool)
    codes = np.full(len(labels), -1)
    names, codes[known] = np.unique(labels[known], return_inverse=True)
    return codes, len(names)


def _is_label(label):
    if label is None:
        return False
    return isinstance(label, str) or bool(label >= 0)
