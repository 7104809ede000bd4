"""Registration of a model's angle to the measured polarization."""

import warnings

import numpy as np
from sklearn.base import (
    BaseEstimator,
    OneToOneFeatureMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from .._utils.angles import warn_if_degrees, wrap_angle
from .._utils.pose_columns import find_pose_columns
from .._utils.validation import refuse_mask
from ._rotation import fit_pooled_rotation, fit_rotation, read_reference

_FLOATS = [np.float64, np.float32]
# Where fewer of the measured vectors than this exceed three standard errors, most of
# what is known lies in the others, and all are used together.
_FEW_TRUSTED_SHARE = 0.2
# A mean over fewer cells is not tested.
_FEWEST_POOLED_CELLS = 20


class AngleRegistration(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Register a model's angle to the measured polarization.

    A model of unlabelled images determines angles up to one common rotation.
    This estimator fits that rotation to the cells with a measured polarization, passed
    as `y`, and adds it to the angle of all cells. It never mirrors: both angles grow
    from the +col axis towards the +row axis.

    Where the cells' polarization does not follow the angle, as in an image that is not
    polar, the rotation is undetermined: `fit` warns and the angle is not changed.

    The column of the angle is that of the name ``"angle"`` where `X` has feature
    names, and otherwise the first.

    Attributes
    ----------
    offset_ : float
        Rotation that is added to the angle, radians in [−π, π); 0 if undetermined.
    offset_std_ : float
        Standard error of `offset_` in radians; NaN if it is undetermined.
    is_determined_ : bool
        Whether the polarization determines the offset.
    resultant_length_ : float
        Mean of the cosine of the angle between polarization and registered angle,
        weighted by the length of the polarization, at the best of all rotations: 1 if
        all cells agree, near 0 if none of them do. NaN without a trusted polarization.
    n_sites_ : int
        Number of cells whose polarization was used: those with a trusted one, or all
        measured ones if `is_pooled_`.
    is_pooled_ : bool
        Whether the offset was found from all measured vectors together, because few of
        them are trusted one by one.
    angle_index_ : int or None
        Column of `X` with the angle; None if `X` has names and none is
        ``"angle"``.
    n_features_in_ : int
        Number of columns seen during fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen during fit, defined only where all are strings.

    See Also
    --------
    sklearn_ferroic.metrics.angle_registration : The rotation between two sets of
        angles, a quality of the model.
    AngleAwareScaler : Features for clustering from the angle.
    sklearn_ferroic.RotationalVAE : Model of the angle.

    Notes
    -----
    `y` reaches this step through a :class:`~sklearn.pipeline.Pipeline`, whose other
    steps ignore it. Pass the sites twice::

        model = make_pipeline(PatchExtractor(), RotationalVAE(), AngleRegistration())
        model.fit(sites, sites)

    A pipeline that begins with images has no `y` with a value per image; locate first.

    The offset maximises the sum of the polarization's components along the registered
    angles, which is circular regression with the length for a weight [1]_, over the
    cells within 45° of it. It starts from the robust centre of all differences, so
    that cells assigned to another variant have no influence. Of offsets that differ by
    the angle between variants, the one on which most cells agree is selected.

    It counts as determined if two thirds of all cells agree within 45°, each by the
    length of its polarization, and if random angles would do so with a probability of
    less than 0.001.

    Of sites, less than a fifth of whose vectors are trusted, all measured vectors are
    used together, if they determine the offset: displacements smaller than
    their errors are certain in the mean over many cells. Each vector is then compared
    with the angles three to five cells away, because the angle of a cell can follow the
    noise of its own displacement. The offset counts as determined if the mean agrees
    with those angles beyond chance (p < 0.001, see
    :func:`~sklearn_ferroic.feature_extraction.pool_polarization`), if the mean vectors
    of two thirds of the sectors of 45°, by length, lie within 45° of it, if the vectors
    are not split into directions 90° apart, and if mirrored angles agree less.

    The standard error is that of a weighted mean direction; for AtomSites, errors
    of cells in blocks of five by five are assumed to be common. It does not include a
    displacement that all cells share, for example by mistilt, if few variants occur.

    References
    ----------
    .. [1] N. I. Fisher, "Statistical Analysis of Circular Data", Cambridge University
       Press, 1993, chapter 6.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.preprocessing import AngleRegistration
    >>> angle = np.tile(np.deg2rad([-30, 60, 150, -120]), 5)
    >>> X = np.column_stack([angle, np.ones(20)])
    >>> polarization = np.tile([[0, 2], [2, 0], [0, -2], [-2, 0]], (5, 1))
    >>> registration = AngleRegistration().fit(X, polarization)
    >>> float(np.rad2deg(registration.offset_).round(6))
    30.0
    >>> np.rad2deg(registration.transform(X)[:4, 0]).round(6)
    array([   0.,   90., -180.,  -90.])
    """

    _parameter_constraints: dict = {}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Find the rotation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Angle in radians, and other columns, which stay as they are.
        y : AtomSites of length n_samples, or array-like of shape (n_samples, 2) or \
(n_samples,)
            The polarization: that of sites, trusted where it is finite, the fit
            converged and it is longer than three times its standard error; vectors
            ``(row, col)`` in any unit; or their angles in radians. NaN where it is
            unknown.

        Returns
        -------
        self : AngleRegistration
            Fitted transformer.

        Raises
        ------
        ValueError
            If `y` is missing, of another length than `X` or of another shape.

        Warns
        -----
        UserWarning
            If the rotation is undetermined.
        """
        refuse_mask(X, "X")
        X = validate_data(self, X, dtype=_FLOATS)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None. Pass the polarization: fit(sites, sites) of a pipeline that "
                "begins with a PatchExtractor, or vectors (row, col) of shape "
                "(n_samples, 2)."
            )
        _check_length(y, X)
        reference = read_reference(y, X)
        names = getattr(self, "feature_names_in_", None)
        index, _ = find_pose_columns(X.shape[1], names, translation=False)
        self.angle_index_ = index
        in_degrees = index is not None and warn_if_degrees(
            X[:, index], "The angle in X", stacklevel=2
        )
        self.n_sites_ = int(np.count_nonzero(reference.trusted))
        self.offset_, self.offset_std_ = 0.0, np.nan
        self.resultant_length_, self.is_determined_ = np.nan, False
        self.is_pooled_ = False
        if in_degrees:
            return self
        if index is None:
            _warn("X has no column named 'angle'")
        elif not self._register_pooled(X[:, index].astype(np.float64), reference, y):
            if self.n_sites_ == 0:
                _warn("y contains no polarization that can be trusted of any site")
            else:
                self._register(X[:, index].astype(np.float64), reference)
        return self

    def _register_pooled(self, angle, reference, sites):
        """Register to all measured vectors where few are trusted; return success."""
        measured = reference.measured
        if measured is None or measured.sum() < _FEWEST_POOLED_CELLS:
            return False
        if self.n_sites_ > _FEW_TRUSTED_SHARE * measured.sum():
            return False
        rotation = fit_pooled_rotation(
            angle[measured],
            reference.vectors[measured],
            reference.std[measured],
            sites[measured],
        )
        if rotation.is_determined:
            self.is_determined_ = self.is_pooled_ = True
            self.offset_, self.offset_std_ = rotation.offset, rotation.std
            self.resultant_length_ = rotation.resultant_length
            self.n_sites_ = int(measured.sum())
        return rotation.is_determined

    def _register(self, angle, reference):
        trusted = reference.trusted
        vectors, block = reference.vectors[trusted], reference.block[trusted]
        angle = angle[trusted]
        rotation = fit_rotation(angle, vectors, block)
        self.resultant_length_ = rotation.resultant_length
        self.is_determined_ = rotation.is_determined
        if rotation.is_determined:
            self.offset_, self.offset_std_ = rotation.offset, rotation.std
            return
        mirrored = fit_rotation(-angle, vectors, block).is_determined
        why = (
            "mirrored angles do agree. Was the image mirrored?"
            if mirrored
            else "the image may not be polar, or the angle separates no variants"
        )
        _warn(
            f"of {self.n_sites_} sites with a trusted polarization, "
            f"{rotation.share:.0%} by its length agree on a rotation; {why}"
        )

    def transform(self, X):
        """Add the offset to the angle.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Columns as in fit.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features)
            The same, the angle in [−π, π); as it was, if the offset is undetermined.
        """
        return self._rotate(X, 1)

    def inverse_transform(self, X):
        """Subtract the rotation from the angle.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Columns as `transform` returns them.

        Returns
        -------
        X_original : ndarray of shape (n_samples, n_features)
            The same with the angle of the model, in [−π, π).
        """
        return self._rotate(X, -1)

    def _rotate(self, X, sign):
        check_is_fitted(self)
        refuse_mask(X, "X")
        X = validate_data(self, X, dtype=_FLOATS, reset=False, copy=True)
        if self.is_determined_:
            angle = X[:, self.angle_index_].astype(np.float64) + sign * self.offset_
            # To the precision of X first: rounding can move an angle up to π.
            X[:, self.angle_index_] = wrap_angle(angle.astype(X.dtype))
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_length(y, X):
    try:
        check_consistent_length(X, y)
    except ValueError as error:
        raise ValueError(
            f"{error}. y must have one entry per site. Of images there is none: locate "
            "first, sites = AtomLocator().fit_transform(images), and give the sites "
            "twice to the steps after it, fit(sites, sites)."
        ) from error


def _warn(reason):
    warnings.warn(
        f"The angle's offset is undetermined and the angle left as it is: {reason}.",
        stacklevel=4,
    )
