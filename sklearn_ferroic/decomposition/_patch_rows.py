"""Reading patches from rows or stacks, which may be larger than memory."""

import warnings

import numpy as np
import torch
from sklearn.utils import assert_all_finite, check_array, gen_batches
from sklearn.utils.validation import validate_data

from .._torch.checkpoint import digest_arrays
from .._torch.device import limit_threads_after_fork
from .._utils.validation import count_pixels, is_stack, refuse_mask, to_numpy

# On generated images with displacements of 15 pm in four directions, all angles of 30
# windows were right in each of four fits, and those of 8 only in some.
_FEWEST_PATCHES = 10


def check_patches(estimator, X, *, min_samples=1):
    """Validate patches without copying or converting an array of them.

    Parameters
    ----------
    estimator : estimator
        Named in the errors.
    X : array-like of shape (n, h * w) or (n, h, w)
        The patches, of any real dtype.
    min_samples : int, default=1
        Smallest number of patches.

    Returns
    -------
    patches : ndarray of shape (n, h * w) or (n, h, w)
        The patches; a view where X is an array.
    """
    refuse_mask(X, "X")
    X = to_numpy(X, "X") if isinstance(X, list) or _is_foreign(X) else X
    patches = check_array(
        X,
        dtype="numeric",
        allow_nd=is_stack(X),
        ensure_all_finite=False,
        ensure_min_samples=0,
        estimator=estimator,
        input_name="X",
    )
    if len(patches) < min_samples:
        raise ValueError(
            f"X contains {len(patches)} sample(s), that is windows, and "
            f"{type(estimator).__name__} needs at least {min_samples}. Does the image "
            "show the sublattice that windows are centred on? Look at "
            "sites.sublattice."
        )
    _check_finite(patches)
    if count_pixels(patches) == 0:
        raise ValueError(
            f"Found array with 0 feature(s) (shape={patches.shape}) while a minimum "
            "of 1 is required."
        )
    return patches


def _check_finite(patches):
    """Raise ValueError if a window has a pixel without a value."""
    try:
        assert_all_finite(patches)
        return
    except ValueError:
        pixels = tuple(range(1, patches.ndim))
        finite = [
            np.isfinite(patches[part]).all(axis=pixels)
            for part in gen_batches(len(patches), 1024)
        ]
        bad = np.flatnonzero(~np.concatenate(finite))
    raise ValueError(
        f"X has NaN or infinity in {len(bad)} of {len(patches)} windows, the first of "
        f"them in row {bad[0]}. Pixels beyond the image are NaN with "
        'PatchExtractor(boundary="nan"): use another boundary, or drop these windows '
        "and their sites."
    )


def warn_of_few_patches(estimator, X, stacklevel):
    """Warn of fewer windows than show what they have in common.

    Parameters
    ----------
    estimator : estimator
        Named in the warning.
    X : array-like of shape (n, h * w) or (n, h, w)
        The patches, unchecked.
    stacklevel : int
        As in `warnings.warn`, from the caller on.
    """
    n_patches = len(X) if hasattr(X, "__len__") else 0
    if 2 <= n_patches < _FEWEST_PATCHES:
        warnings.warn(
            f"{type(estimator).__name__} is trained on {n_patches} windows. Angle and "
            "latents of so few are not reliable; some hundreds are usual. Add images, "
            "or use the measured displacements (PolarizationVector).",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def _is_foreign(X):
    """Return whether X is an array of a library that computes elsewhere."""
    return (
        hasattr(X, "__array__") and hasattr(X, "device") and not hasattr(X, "columns")
    )


def check_features(estimator, X, patches, *, reset):
    """Store the number and names of the features, or compare them with the stored."""
    if patches.ndim == 3:
        # scikit-learn reads only the shape
        X = np.broadcast_to(np.float32(0), (len(patches), count_pixels(patches)))
    validate_data(estimator, X, reset=reset, skip_check_array=True)


def load_rows(patches, index):
    """Copy some patches into a float32 tensor of rows ``(n, h * w)``."""
    limit_threads_after_fork()
    part = patches[index]
    with np.errstate(over="ignore"):
        rows = np.array(part, np.float32, order="C").reshape(len(part), -1)
    if not np.isfinite(rows).all():
        raise ValueError("Input X contains a value too large for dtype('float32').")
    return torch.from_numpy(rows)


def check_float32(patches, index):
    """Raise ValueError if some patches are too small for float32."""
    if np.can_cast(patches.dtype, np.float32):
        return
    largest = np.abs(np.asarray(patches[index], dtype=np.float64)).max()
    if 0 < largest < np.finfo(np.float32).tiny:
        raise ValueError(
            f"The largest value of X is {largest:.3g}, too small for float32, in which "
            "the model is trained. Multiply X by a constant."
        )


def fingerprint(patches):
    """Compute a digest of the float32 values of patches, in batches."""
    return digest_arrays(
        load_rows(patches, part).numpy() for part in gen_batches(len(patches), 1024)
    )
