"""Input checks and output columns of the estimators of pose and latents."""

import warnings

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from .._utils.offset import without_offset
from .._utils.pose_columns import CLASS, pose_names
from ._patch_rows import check_features, check_patches


class PosedColumnsMixin:
    """Names, number and tags of the columns: angle, offset, latents and classes.

    A fitted estimator has the attributes `_has_offsets`, whether there are columns of
    the offset, and `_n_latents`, the number of latents; `_n_class_columns` is the
    number of classes, if there are any.
    """

    _n_class_columns = 0

    def get_feature_names_out(self, input_features=None):
        """Get the names of the output columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked against the features seen in `fit`, otherwise unused.

        Returns
        -------
        names : ndarray of str
            ``angle``, ``offset_row`` and ``offset_col`` if `translation`,
            ``latent0``, ``latent1``, ..., and ``class0``, ``class1``, ... if the
            estimator infers classes.
        """
        check_is_fitted(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        names = pose_names(self._n_latents, offsets=self._has_offsets)
        names += [f"{CLASS}{number}" for number in range(self._n_class_columns)]
        return np.asarray(names, dtype=object)

    @property
    def _n_features_out(self):
        n_poses = 1 + 2 * self._has_offsets
        return n_poses + self._n_latents + self._n_class_columns

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def check_fitted_patches(estimator, X):
    """Validate patches for a fitted estimator; the offset of the fit is subtracted."""
    check_is_fitted(estimator)
    patches = check_patches(estimator, X)
    if patches.ndim == 3 and patches.shape[1:] != estimator.patch_shape_:
        raise ValueError(
            f"X has patches of shape {patches.shape[1:]}, but "
            f"{type(estimator).__name__} was fitted on patches of shape "
            f"{estimator.patch_shape_}."
        )
    check_features(estimator, X, patches, reset=False)
    return without_offset(patches, fitted_offset(estimator))


def fitted_offset(estimator):
    """Return the offset of the patches of the fit; 0 in files of older versions."""
    return getattr(estimator, "_pixel_offset", 0.0)


def check_posed_columns(estimator, X):
    """Validate columns in the format of `transform`, and insert missing offsets as 0.

    Parameters
    ----------
    estimator : PosedColumnsMixin
        The fitted estimator.
    X : array-like of shape (n, n_features_out)
        The columns.

    Returns
    -------
    columns : ndarray of shape (n, 3 + n_latents + n_classes)
        Angle, offset, latents and class probabilities; float32.
    """
    check_is_fitted(estimator)
    reason = "transform returns"
    columns = check_columns(estimator, X, estimator._n_features_out, reason)
    if not estimator._has_offsets:
        columns = np.insert(columns, [1, 1], 0, axis=1)
    return columns


def check_columns(estimator, X, n_columns, reason):
    """Validate an array with a given number of columns, and return it as float32."""
    columns = check_array(X, dtype=np.float32, estimator=estimator)
    if columns.shape[1] != n_columns:
        raise ValueError(
            f"Expected {n_columns} columns, as {reason}, got an array of shape "
            f"{columns.shape}."
        )
    return columns


def warn_about_degrees(angle):
    """Warn if angles exceed 2 pi, at the third caller in the stack."""
    largest = np.abs(angle).max()
    if largest > 2 * np.pi:
        warnings.warn(
            f"angle has values up to {largest:.4g}, which are taken as radians. "
            "Convert degrees with numpy.radians.",
            UserWarning,
            stacklevel=3,
        )
