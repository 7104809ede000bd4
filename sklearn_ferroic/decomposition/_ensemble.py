"""Ensemble of rotational variational autoencoders and its uncertainty."""

import re
import warnings
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linear_sum_assignment
from sklearn.base import (
    BaseEstimator,
    MetaEstimatorMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._utils.angles import wrap_angle
from .._utils.pose_columns import CLASS
from .._utils.validation import Interval
from ._patch_rows import check_patches
from ._rotational_vae import RotationalVAE
from ._rvae.factors.checks import (
    UNCERTAIN,
    ZERO_ANGLES,
    check_angle,
    check_labels,
    warn_of_uncertain_classes,
    warn_of_zero_angles,
)

# Resultant length of the posterior of an angle that is uniform but for rounding errors:
# a standard deviation of 4.3 rad.
_MIN_RESULTANT = 1e-4
# Known angles below which their deviation from the ensemble is not estimated: the
# standard error of a standard deviation of fewer is above 25 %.
_FEWEST_KNOWN_ANGLES = 8
# Probability of a normal error of at most one standard deviation.
_WITHIN_ONE_STD = 0.683


class RotationalVAEEnsemble(MetaEstimatorMixin, TransformerMixin, BaseEstimator):
    """Average rotational VAEs that are fitted on resampled patches.

    The members differ in their seed and, with `bootstrap`, in the patches of which they
    are fitted. Their angles are registered, and their latents are rotated and scaled to
    those of the first member, so that the remaining disagreement is an uncertainty of
    the model. `transform_with_std` adds it to the mean posterior variance of the
    members, which is the uncertainty by the noise of a patch, and to `angle_spread_`,
    if known angles determine it.

    Parameters
    ----------
    estimator : RotationalVAE, default=None
        Estimator of which clones are fitted; None uses the default one. Its
        `random_state` is replaced.

    n_estimators : int, default=5
        Number of members.

    bootstrap : bool, default=True
        Whether a member is fitted on patches drawn with replacement. Otherwise the
        members differ in their seeds only; the direction of the polarization, which is
        estimated from all patches without random numbers, is then the same in all.

    n_jobs : int, default=None
        Number of members fitted at the same time, as in joblib.

    random_state : int, RandomState instance or None, default=None
        Seeds the members and the draws.

    Attributes
    ----------
    estimators_ : list of RotationalVAE
        The fitted members.

    angle_offsets_ : ndarray of shape (n_estimators,)
        Rotations, radians, that are added to the angles of the members.

    angle_spread_ : float
        Standard deviation, radians, of the known angles in excess of the uncertainty
        of the members; 0 without known angles. See Notes.

    n_features_in_ : int
        Number of features, as in the members.

    See Also
    --------
    RotationalVAE : A single model with posterior widths.

    Notes
    -----
    The latents of a model are determined up to a rotation of the latent space and,
    because their prior is weak compared with the misfit of the pixels, a scale. Both
    are those of the Procrustes problem between the member and the first one on the
    training patches. Class probabilities are averaged after the classes of the
    members have been matched by their patches.

    In crystals the members assume that the directions in a domain are equal. The
    deviations of single cells from it, and directions that are shifted by mistilt, are
    the same in all members, so that neither posterior nor disagreement contains them.
    With at least 8 known angles `fit` estimates them: 68 % of the known angles are
    within one standard deviation after `angle_spread_` has been added.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import RotationalVAE
    >>> from sklearn_ferroic.decomposition import RotationalVAEEnsemble
    >>> X = np.random.RandomState(0).rand(40, 11, 11)
    >>> vae = RotationalVAE(latent_dim=1, n_hidden=8, max_epochs=1)
    >>> ensemble = RotationalVAEEnsemble(estimator=vae, n_estimators=2, random_state=0)
    >>> ensemble = ensemble.fit(X)
    >>> mean, std = ensemble.transform_with_std(X)
    >>> mean.shape, std.shape
    ((40, 4), (40, 4))
    """

    _parameter_constraints: dict = {
        "estimator": [RotationalVAE, None],
        "n_estimators": [Interval(Integral, 2, None, closed="left")],
        "bootstrap": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        estimator=None,
        n_estimators=5,
        bootstrap=True,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.bootstrap = bootstrap
        self.n_jobs = n_jobs
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, angle=None):
        """Fit the members, and align their angles and latents.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.
        y : array-like of int of shape (n_samples,), default=None
            Known classes, -1 or NaN where unknown, see `RotationalVAE.fit`. They are
            numbered in the order of the labels.
        angle : array-like of shape (n_samples,), default=None
            Known directions of the polarization of a few patches, radians, NaN where
            unknown, see `RotationalVAE.fit`. They also determine `angle_spread_`.

        Returns
        -------
        self : object
            The fitted ensemble.
        """
        base = RotationalVAE() if self.estimator is None else self.estimator
        patches = check_patches(self, X, min_samples=2)
        random_state = check_random_state(self.random_state)
        members, rows = [], []
        for _ in range(self.n_estimators):
            seed = random_state.randint(np.iinfo(np.int32).max)
            members.append(clone(base).set_params(random_state=seed))
            drawn = np.arange(len(patches))
            if self.bootstrap:
                drawn = np.sort(random_state.choice(drawn, len(drawn)))
            rows.append(drawn)
        labels, _ = check_labels(y, len(patches), base.n_classes)
        angle = check_angle(angle, len(patches), base)
        warn_of_zero_angles(angle, stacklevel=3)
        if self.bootstrap:
            # every member is fitted on all patches with a known class or angle
            is_known = np.zeros(len(patches), dtype=bool)
            if labels is not None:
                is_known |= labels >= 0
            if angle is not None:
                is_known |= np.isfinite(angle)
            known = np.flatnonzero(is_known)
            rows = [np.sort(np.concatenate([drawn, known])) for drawn in rows]
        fitted = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_member)(member, X, patches, labels, angle, drawn)
            for member, drawn in zip(members, rows, strict=True)
        )
        self.estimators_ = [member for member, _ in fitted]
        _warn_once([one for _, caught in fitted for one in caught], stacklevel=3)
        warn_of_uncertain_classes(self.estimators_, stacklevel=3)
        self._align(X)
        self.angle_spread_ = 0.0
        if angle is not None:
            self.angle_spread_ = self._find_angle_spread(X, angle)
        return self

    def transform(self, X):
        """Compute the mean angle, offset, latents and class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            Columns as of the members; the angle is the mean direction. float32.
        """
        return self.transform_with_std(X)[0]

    def transform_with_std(self, X):
        """Compute the means of the members with their total uncertainty.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            Columns as `transform` returns them.
        X_std : ndarray of shape (n_samples, n_features_out)
            Standard deviations: the square root of the mean variance of the posteriors
            of the members plus the variance of the means among the members. For the
            angle, the circular standard deviation of the mixture of the posteriors,
            with `angle_spread_` added in quadrature.
        """
        means, variances = self._aligned(X)
        lengths = np.exp(-variances[:, :, 0] / 2)
        directions = np.exp(1j * means[:, :, 0])
        mean = means.mean(axis=0)
        std = np.sqrt(variances.mean(axis=0) + means.var(axis=0, ddof=1))
        # A length below the minimum is that of an undetermined angle, and its digits
        # are rounding errors: such members have equal weights.
        weighted = np.maximum(lengths, _MIN_RESULTANT) * directions
        mean[:, 0] = wrap_angle(np.angle(weighted.mean(axis=0)).astype(np.float32))
        std[:, 0] = np.hypot(_circular_std(lengths * directions), self.angle_spread_)
        return mean.astype(np.float32), std.astype(np.float32)

    def disagreement(self, X):
        """Compute the standard deviations of the means among the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        std : ndarray of shape (n_samples, n_features_out)
            Standard deviations, for the angle circular, radians.
        """
        means, _ = self._aligned(X)
        std = means.std(axis=0, ddof=1)
        std[:, 0] = _circular_std(np.exp(1j * means[:, :, 0]))
        return std.astype(np.float32)

    def score(self, X, y=None):
        """Compute the mean evidence lower bound per pixel over the members.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.
        y : None
            Ignored.

        Returns
        -------
        bound : float
            Mean of the scores of the members, nats per pixel.
        """
        check_is_fitted(self)
        return float(np.mean([member.score(X) for member in self.estimators_]))

    def get_feature_names_out(self, input_features=None):
        """Get the names of the output columns, those of the members.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked against the features seen in `fit`, otherwise unused.

        Returns
        -------
        names : ndarray of str
            See `RotationalVAE.get_feature_names_out`.
        """
        check_is_fitted(self)
        return self._largest_member.get_feature_names_out(input_features)

    @property
    def n_features_in_(self):
        """Number of features of the patches."""
        check_is_fitted(self)
        return self.estimators_[0].n_features_in_

    @property
    def _n_features_out(self):
        return self._largest_member._n_features_out

    @property
    def _largest_member(self):
        """The member with most classes, whose number may differ with "auto"."""
        return max(self.estimators_, key=lambda member: member._n_features_out)

    def _align(self, X):
        """Compute the maps of angles and latents onto those of the first member."""
        names = self.get_feature_names_out()
        self._latents = [i for i, name in enumerate(names) if name.startswith("latent")]
        self._classes = [i for i, name in enumerate(names) if name.startswith(CLASS)]
        found = [
            _pad_classes(member.transform_with_std(X)[0], len(names))
            for member in self.estimators_
        ]
        first = found[0]
        center = first[:, self._latents].mean(axis=0)
        self.angle_offsets_, self._latent_maps, self._orders = [], [], []
        for columns in found:
            difference = np.exp(1j * (first[:, 0] - columns[:, 0])).mean()
            self.angle_offsets_.append(np.angle(difference))
            latents = columns[:, self._latents]
            shift = latents.mean(axis=0)
            centered, wanted = latents - shift, first[:, self._latents] - center
            rotation = orthogonal_procrustes(centered, wanted)[0]
            size = np.linalg.norm(centered)
            scale = np.linalg.norm(wanted) / size if size > 0 else 1.0
            self._latent_maps.append((shift, scale * rotation, center))
            self._orders.append(
                _match_classes(columns[:, self._classes], first[:, self._classes])
            )
        self.angle_offsets_ = np.array(self.angle_offsets_)

    def _aligned(self, X):
        """Return aligned means and variances of members, (n_members, n, columns)."""
        check_is_fitted(self)
        means, variances = [], []
        n_columns = self._n_features_out
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = [member.transform_with_std(X) for member in self.estimators_]
        _warn_once(_texts(caught), stacklevel=4)
        for columns, offset, latent_map, order in zip(
            found,
            self.angle_offsets_,
            self._latent_maps,
            self._orders,
            strict=True,
        ):
            mean, std = (_pad_classes(part, n_columns) for part in columns)
            variance = std**2
            mean[:, 0] += offset
            shift, axes, center = latent_map
            mean[:, self._latents] = (mean[:, self._latents] - shift) @ axes + center
            variance[:, self._latents] = variance[:, self._latents] @ axes**2
            for part in (mean, variance):
                part[:, self._classes] = part[:, self._classes][:, order]
            means.append(mean)
            variances.append(variance)
        return np.stack(means), np.stack(variances)

    def _find_angle_spread(self, X, angle):
        """Estimate the spread of known angles in excess of the members' uncertainty."""
        rows = np.flatnonzero(np.isfinite(angle))
        if len(rows) < _FEWEST_KNOWN_ANGLES:
            return 0.0
        means, variances = self._aligned(_take(X, rows))
        products = np.exp(1j * means[:, :, 0] - variances[:, :, 0] / 2)
        error = np.angle(products.mean(axis=0) * np.exp(-1j * angle[rows]))
        return _excess_std(error, _circular_std(products))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _fit_member(member, X, patches, labels, angle, rows):
    """Fit a member on some rows; all rows of a frame keep the names of its columns."""
    drawn = X.iloc[rows] if hasattr(X, "iloc") else patches[rows]
    y = None if labels is None else labels[rows]
    known = {} if angle is None else {"angle": angle[rows]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        member.fit(drawn, y, **known)
    return member, _texts(caught)


def _texts(caught):
    """Return the texts and categories of warnings, which can be sent by a worker."""
    return [(str(one.message), one.category) for one in caught]


def _warn_once(caught, stacklevel):
    """Issue the warnings of all members once; those that differ in numbers are one.

    The ensemble itself warns of the classes and of angles that are 0.
    """
    issued = set()
    for text, category in caught:
        kind = category, re.sub(r"[\d.]+", "#", text)
        if kind in issued or text.startswith((UNCERTAIN, ZERO_ANGLES)):
            continue
        issued.add(kind)
        warnings.warn(text, category, stacklevel=stacklevel + 1)


def _take(X, rows):
    """Return some rows of a frame or an array."""
    return X.iloc[rows] if hasattr(X, "iloc") else np.asarray(X)[rows]


def _circular_std(resultants):
    """Compute the circular standard deviation of the mixture of members, (n,).

    Parameters
    ----------
    resultants : ndarray of shape (n_members, n), complex
        Mean resultant of the posterior of each member.

    Returns
    -------
    std : ndarray of shape (n,)
        Radians. The squared resultant is the mean product of two different members,
        which unlike the squared length of the mean does not depend on their number.
    """
    n_members = len(resultants)
    squares = (np.abs(resultants) ** 2).sum(axis=0)
    products = np.abs(resultants.sum(axis=0)) ** 2 - squares
    products = products / (n_members * (n_members - 1))
    return np.sqrt(-np.log(products.clip(_MIN_RESULTANT**2, 1)))


def _excess_std(error, std):
    """Return the addition to `std`, in quadrature, that covers 68 % of the errors.

    The quantile, unlike the mean square, does not depend on the size of the errors of
    cells in the wrong domain. Its level is that of split conformal prediction.
    """
    n_errors = len(error)
    level = min(1.0, _WITHIN_ONE_STD * (n_errors + 1) / n_errors)
    excess = np.quantile(error**2 - std**2, level, method="higher")
    return float(np.sqrt(max(excess, 0.0)))


def _pad_classes(columns, n_columns):
    """Return columns in float64, with zeros for the classes that a member lacks."""
    n_missing = n_columns - columns.shape[1]
    return np.pad(columns.astype(np.float64), [(0, 0), (0, n_missing)])


def _match_classes(shares, reference):
    """Return the order of classes in which they overlap most with the reference."""
    return linear_sum_assignment(-(reference.T @ shares))[1]
