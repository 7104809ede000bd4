"""What goes into a decomposition of posed patches, and the columns that come out."""

import warnings

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ._patch_rows import check_features, check_patches


def check_fitted_patches(estimator, X):
    """Validate patches for an estimator that is fitted."""
    check_is_fitted(estimator)
    patches = check_patches(estimator, X)
    if patches.ndim == 3 and patches.shape[1:] != estimator.patch_shape_:
        raise ValueError(
            f"X has patches of shape {patches.shape[1:]}, but "
            f"{type(estimator).__name__} was fitted on patches of shape "
            f"{estimator.patch_shape_}."
        )
    check_features(estimator, X, patches, reset=False)
    return patches


def check_columns(estimator, X, n_columns, reason="transform returns"):
    """Validate columns as `transform` returns them; float32 ndarray."""
    columns = check_array(X, dtype=np.float32, estimator=estimator)
    if columns.shape[1] != n_columns:
        raise ValueError(
            f"Expected {n_columns} columns, as {reason}, got an array of shape "
            f"{columns.shape}."
        )
    return columns


def warn_of_degrees(angle):
    """Warn if angles reach beyond a turn, to the caller of the caller's caller."""
    largest = np.abs(angle).max()
    if largest > 2 * np.pi:
        warnings.warn(
            f"Angles of up to {largest:.4g} are taken as radians. If they are "
            "degrees, use numpy.radians.",
            UserWarning,
            stacklevel=3,
        )


def column_names(has_offsets, latent_dim):
    """Name the columns: angle, offsets if there are any, and latents."""
    offsets = ["offset_row", "offset_col"] if has_offsets else []
    latents = [f"latent{i}" for i in range(latent_dim)]
    return np.asarray(["angle", *offsets, *latents], dtype=object)
