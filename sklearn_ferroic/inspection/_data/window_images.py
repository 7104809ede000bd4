"""Rows of pixels as images."""

import numpy as np


def as_images(rows, patch_shape=None):
    """Read rows of pixels as images.

    Parameters
    ----------
    rows : array-like of shape (n, h * w) or (n, h, w)
        The windows.
    patch_shape : tuple of (int, int), default=None
        Height and width; the most nearly square ones by default.

    Returns
    -------
    images : ndarray of shape (n, h, w)
        The images.
    """
    # Its module loads torch, which takes seconds.
    from ...decomposition._patch_rows import resolve_patch_shape

    rows = np.asarray(rows)
    if rows.ndim not in (2, 3):
        raise ValueError(
            "Windows must have shape (n, height * width) or (n, height, width), got "
            f"shape {rows.shape}."
        )
    return rows.reshape(len(rows), *resolve_patch_shape(rows, patch_shape))
