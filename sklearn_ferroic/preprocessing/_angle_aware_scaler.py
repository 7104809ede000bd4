"""Scaling of angles, offsets and latents for clustering."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.preprocessing import RobustScaler
from sklearn.utils import check_array
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from .._utils.angles import mean_direction, warn_if_degrees, wrap_angle
from .._utils.pose_columns import find_pose_columns
from .._utils.validation import Interval, refuse_mask

_FLOATS = [np.float64, np.float32]


class AngleAwareScaler(TransformerMixin, BaseEstimator):
    """Scale pose and latents to features with meaningful distances.

    An angle just below π and one just above −π are neighbours, which a mixture or
    k-means on the raw number ignores. The angle becomes a point on a circle; all
    other columns are centred on their median and scaled robustly, so that a minority
    such as the substrate does not shrink the scale of the rest.

    The columns are those of :class:`~sklearn_ferroic.decomposition.RotationalVAE`:
    ``angle[, offset_row, offset_col], latent0 … latent{L-1}``. Where `X` has feature
    names, they decide: ``"angle"``, ``"offset_row"`` and ``"offset_col"`` are found
    at any position, and without ``"angle"`` every column is scaled. Otherwise the
    position decides: the first column is the angle, and the next two are the offsets
    if `translation` is true and `X` has four columns or more.

    Parameters
    ----------
    angle : {"encode", "drop"}, default="encode"
        Whether the angle becomes ``cos(n_fold * angle)`` and ``sin(n_fold * angle)``
        or is dropped. Without it, rows that differ only by orientation coincide:
        latents alone separate chemistry, with the angle they separate variants.
    angle_weight : float, default=5.0
        Radius of the circle of the encoded angle, in robust standard deviations
        of the other columns: with the default, four variants are well separated
        and minorities among the latents, such as a substrate, are separated from them.
    offsets : {"scale", "drop"}, default="drop"
        Whether the offsets are standardised or dropped. They describe how well a window
        is centred, rarely its content.
    n_fold : int, default=1
        Angles that differ by 2π / `n_fold` have the same code.
    translation : bool, default=True
        Whether columns 1 and 2 of an `X` without feature names are the offsets. Set it
        as in RotationalVAE; it has no effect if `X` has feature names.

    Attributes
    ----------
    angle_index_ : int or None
        Column of `X` with the angle.
    angle_mean_ : float or None
        Mean direction of the training angles in radians, in
        [−π / `n_fold`, π / `n_fold`); 0 if they have none.
    offset_indices_ : ndarray of int
        Columns of `X` with offset_row and offset_col; empty where there are none.
    center_ : ndarray of shape (n_features_in_,)
        Training median of each column; 0 for the angle.
    scale_ : ndarray of shape (n_features_in_,)
        Training interquartile range of each column over that of a normal
        distribution of unit variance, 1.349; 1 for the angle.
    n_features_in_ : int
        Number of columns seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen during fit, defined only where all are strings.

    See Also
    --------
    sklearn_ferroic.decomposition.RotationalVAE : Makes these columns.
    sklearn.preprocessing.StandardScaler : For columns without an angle, such as those
        of PCA.

    Notes
    -----
    Two opposite angles are a distance of 2 `angle_weight` apart, four equally
    populated variants 90° apart have a standard deviation of
    `angle_weight` / √2 in each of cosine and sine [1]_.

    References
    ----------
    .. [1] K. V. Mardia and P. E. Jupp, "Directional Statistics", Wiley, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.preprocessing import AngleAwareScaler
    >>> X = np.array([[3.1, 0.0, 0.2, 5.0], [-3.1, 0.1, -0.2, 7.0]])
    >>> scaler = AngleAwareScaler().fit(X)
    >>> scaler.transform(X).round(2)
    array([[-5.  ,  0.21, -1.35],
           [-5.  , -0.21,  1.35]])
    >>> scaler.get_feature_names_out(["angle", "offset_row", "offset_col", "latent0"])
    array(['angle_cos', 'angle_sin', 'latent0'], dtype=object)
    """

    _parameter_constraints: dict = {
        "angle": [StrOptions({"encode", "drop"})],
        "angle_weight": [Interval(Real, 0, None, closed="neither")],
        "offsets": [StrOptions({"scale", "drop"})],
        "n_fold": [Interval(Integral, 1, None, closed="left")],
        "translation": ["boolean"],
    }

    def __init__(
        self,
        *,
        angle="encode",
        angle_weight=5.0,
        offsets="drop",
        n_fold=1,
        translation=True,
    ):
        self.angle = angle
        self.angle_weight = angle_weight
        self.offsets = offsets
        self.n_fold = n_fold
        self.translation = translation

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Find the columns of angle and offsets, and fit median and scale.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Angle in radians, offsets and latents.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : AngleAwareScaler
            Fitted scaler.

        Raises
        ------
        ValueError
            If no column is left to make features of.
        """
        refuse_mask(X, "X")
        X = validate_data(self, X, dtype=_FLOATS)
        names = getattr(self, "feature_names_in_", None)
        angle_index, offset_indices = find_pose_columns(
            X.shape[1], names, translation=self.translation
        )
        if self.angle == "drop" and not _kept_columns(
            X.shape[1], angle_index, offset_indices, self.offsets
        ):
            raise ValueError(
                f"X has {X.shape[1]} feature(s), of which angle='drop' and "
                f"offsets={self.offsets!r} leave none. Pass X with latents, or use "
                "angle='encode'."
            )
        scaler = RobustScaler(unit_variance=True).fit(X)
        self.center_, self.scale_ = scaler.center_, scaler.scale_
        self.angle_mean_ = None
        if angle_index is not None:
            self.center_[angle_index], self.scale_[angle_index] = 0.0, 1.0
            warn_if_degrees(X[:, angle_index], "The angle in X", stacklevel=2)
            mean = mean_direction(X[:, angle_index], self.n_fold)
            self.angle_mean_ = 0.0 if np.isnan(mean) else mean
        self.angle_index_ = angle_index
        self.offset_indices_ = np.array(offset_indices, dtype=np.intp)
        return self

    def transform(self, X):
        """Encode the angle and standardise the other columns.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Columns as in fit.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            Cosine and sine of the angle, then the offsets, then the other columns in
            their order; float32 if `X` is float32, else float64.
        """
        check_is_fitted(self, "scale_")
        refuse_mask(X, "X")
        X = validate_data(self, X, dtype=_FLOATS, reset=False)
        scaled = (X - self.center_) / self.scale_
        blocks = [scaled[:, self._kept()]]
        if self._encodes_angle():
            phase = self.n_fold * X[:, self.angle_index_].astype(np.float64)
            circle = np.column_stack([np.cos(phase), np.sin(phase)])
            blocks.insert(0, self.angle_weight * circle)
        return np.hstack(blocks).astype(X.dtype, copy=False)

    def inverse_transform(self, X):
        """Transform features back to angle, offsets and latents.

        Rows need not lie on the circle: means of a mixture's components go back to
        the angle in whose direction they lie.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_out)
            Rows as `transform` returns them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features_in_)
            Columns as in fit. The angle is in [−π / `n_fold`, π / `n_fold`). What was
            dropped is filled: the angle by `angle_mean_`, the offsets by their
            training median.

        Raises
        ------
        ValueError
            If the number of columns is not that of the output of `transform`.
        """
        check_is_fitted(self, "scale_")
        X = check_array(X, dtype=_FLOATS, input_name="X")
        kept = self._kept()
        n_circle = 2 * self._encodes_angle()
        if X.shape[1] != n_circle + len(kept):
            raise ValueError(
                f"X has {X.shape[1]} columns, but {type(self).__name__}.transform "
                f"gives {n_circle + len(kept)}."
            )
        original = np.tile(self.center_, (len(X), 1))
        original[:, kept] += X[:, n_circle:] * self.scale_[kept]
        if self._encodes_angle():
            phase = np.arctan2(X[:, 1], X[:, 0])
            original[:, self.angle_index_] = phase / self.n_fold
        elif self.angle_index_ is not None:
            original[:, self.angle_index_] = self.angle_mean_
        original = original.astype(X.dtype, copy=False)
        if self.angle_index_ is not None:
            # Last, because rounding to float32 can move an angle up to π.
            original[:, self.angle_index_] = wrap_angle(
                original[:, self.angle_index_], self.n_fold
            )
        return original

    def get_feature_names_out(self, input_features=None):
        """Get the names of the output columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input columns. Those seen in fit by default, or ``x0``,
            ``x1``, … if there were none.

        Returns
        -------
        feature_names_out : ndarray of str objects
            ``angle_cos`` and ``angle_sin``, then the input names of what is kept.
        """
        check_is_fitted(self, "scale_")
        names = _check_feature_names_in(self, input_features)
        circle = ["angle_cos", "angle_sin"] if self._encodes_angle() else []
        return np.array([*circle, *names[self._kept()]], dtype=object)

    def _encodes_angle(self):
        return self.angle == "encode" and self.angle_index_ is not None

    def _kept(self):
        return _kept_columns(
            self.n_features_in_,
            self.angle_index_,
            self.offset_indices_.tolist(),
            self.offsets,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _kept_columns(n_features, angle_index, offset_indices, offsets):
    """List the columns that are standardised, the offsets first."""
    special = {angle_index, *offset_indices}
    rest = [index for index in range(n_features) if index not in special]
    return rest if offsets == "drop" else [*offset_indices, *rest]
