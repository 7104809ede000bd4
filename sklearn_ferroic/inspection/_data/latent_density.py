"""Colours of bins that hold many directions or classes."""

import numpy as np

from .._drawing.colors import angle_colors, class_colors

# Opacity of a bin with one sample among bins with many.
_PALEST = 0.25
# Bins that hold as many samples as this percentile of them are opaque.
_MANY = 90


def bin_colors(counts, bin_of, values, classes=None):
    """Colour bins by the mean direction or the most frequent class in them.

    Parameters
    ----------
    counts : ndarray of shape (n_y, n_x)
        Samples in each bin.
    bin_of : ndarray of int of shape (2, n_samples)
        Row and column of the bin of each sample.
    values : ndarray of shape (n_samples,)
        Angles in radians, NaN where there is none, or labels.
    classes : ndarray of shape (n_classes,), default=None
        The sorted classes; None says that `values` are angles.

    Returns
    -------
    colors : ndarray of shape (n_y, n_x, 4)
        RGBA; empty bins are transparent and those with few samples pale.
    """
    if classes is None:
        vectors = np.nan_to_num(np.exp(1j * values))
        total = _sum_by_bin(counts.shape, bin_of, vectors)
        length = np.abs(total) / np.maximum(counts, 1)
        rgb = angle_colors(np.angle(total), length)
    else:
        votes = [_sum_by_bin(counts.shape, bin_of, values == c) for c in classes]
        rgb = class_colors(classes)[np.argmax(votes, axis=0)]
    many = np.percentile(counts[counts > 0], _MANY)
    share = np.minimum(np.sqrt(counts / many), 1)
    opacity = np.where(counts > 0, _PALEST + (1 - _PALEST) * share, 0)
    return np.concatenate([rgb, opacity[..., None]], axis=-1)


def find_bins(values, edges):
    """Find the bin of each value as np.histogram does, the last one closed."""
    return np.minimum(np.searchsorted(edges, values, "right"), len(edges) - 1) - 1


def _sum_by_bin(shape, bin_of, values):
    total = np.zeros(shape, dtype=np.result_type(values, np.float64))
    np.add.at(total, tuple(bin_of), values)
    return total
