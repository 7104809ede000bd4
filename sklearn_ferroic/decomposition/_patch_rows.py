"""Reading patches from rows or stacks."""

import numpy as np


def is_stack(X):
    """Tell whether X holds patches as ``(n, h, w)``."""
    return len(getattr(X, "shape", ())) == 3


def as_stack_or_rows(X):
    """Make an array of nested lists; leave all else as it is."""
    return np.asarray(X) if isinstance(X, list) else X


def flatten_stack(X):
    """Bring a stack of patches to rows; leave all else as it is."""
    if not is_stack(X):
        return X
    n_patches, height, width = X.shape
    return np.asarray(X).reshape(n_patches, height * width)


def resolve_patch_shape(X, n_pixels, patch_shape):
    """Find the height and width of the patches in X.

    Parameters
    ----------
    X : array-like of shape (n, h * w) or (n, h, w)
        The patches.
    n_pixels : int
        Number of pixels of a patch.
    patch_shape : tuple of (int, int) or None
        What the user says.

    Returns
    -------
    patch_shape : tuple of (int, int)
        Height and width.
    """
    given = None if patch_shape is None else tuple(patch_shape)
    if is_stack(X):
        shape = tuple(X.shape[1:])
        if given not in (None, shape):
            raise ValueError(
                f"patch_shape={given}, but X has patches of shape {shape}."
            )
        return shape
    if given is None:
        return _most_nearly_square(n_pixels)
    if len(given) != 2 or given[0] * given[1] != n_pixels:
        raise ValueError(
            f"patch_shape={given} does not hold the {n_pixels} features of X. "
            "Give (height, width) with height * width equal to that."
        )
    return given


def _most_nearly_square(n_pixels):
    height = next(h for h in range(int(n_pixels**0.5), 0, -1) if n_pixels % h == 0)
    return height, n_pixels // height
