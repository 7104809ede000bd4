"""Scores of latents and angles: leakage and rotation equivariance."""

from numbers import Integral

import numpy as np
from skimage.transform import rotate
from sklearn.model_selection import KFold, check_cv
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import HasMethods, StrOptions, validate_params

from .._utils.validation import Interval
from ..model_selection import SpatialBlockKFold
from ..sites import AtomSites
from ._circular import N_FOLD, check_angles
from ._domain_scores import NO_SPREAD_VARIANCE
from ._label_graph import encode_labels
from ._pipeline_output import begin_at_windows, read_pose


@validate_params(
    {
        "latents": ["array-like"],
        "target": ["array-like"],
        "target_type": [StrOptions({"angle", "variant"})],
        "n_fold": N_FOLD,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "cv": ["cv_object"],
    },
    prefer_skip_nested_validation=True,
)
def latent_leakage_score(
    latents, target, *, target_type="angle", n_fold=1, n_neighbors=10, cv=None
):
    """Score how well the angle or the variant can be predicted from the latents.

    Rotation-invariant latents contain no information about either. The target is
    predicted from the standardised latents by nearest neighbours, cross-validated; the
    score is the share of the target's variance that the prediction explains, the skill
    score of [1]_ relative to the training mean. It detects any dependence, not only a
    linear one.

    Parameters
    ----------
    latents : array-like of shape (n_samples, n_latents)
        The latents.
    target : array-like of shape (n_samples,)
        Angles in radians, or variants as labels.
    target_type : {"angle", "variant"}, default="angle"
        Kind of `target`. An angle is encoded as a unit vector, a variant as an
        indicator; samples with a negative number or NaN have no variant and are
        excluded.
    n_fold : int, default=1
        Angles that differ by 2π / `n_fold` count as the same.
    n_neighbors : int, default=10
        Number of nearest neighbours of the regression.
    cv : int, cross-validator or iterable, default=None
        Folds; five at random with a fixed seed by default.

    Returns
    -------
    leakage : float
        Between 0 and 1: 0 if the prediction is no better than chance or if the target
        is constant, 1 if it is perfect.

    Raises
    ------
    ValueError
        If the lengths differ or numbers are not finite, or if there are fewer samples
        than folds.

    See Also
    --------
    rotation_equivariance_score : Whether latents are unchanged if patches are rotated.
    neg_latent_leakage_scorer : The negative of it, for searches.

    Notes
    -----
    Low leakage rewards latents without any information as much as useful ones. Where
    chemistry and variants are correlated, for example if a layer has one variant only,
    correct latents leak. Latents and domains both vary slowly over an image, so that
    random folds find leakage through the position alone; folds of
    :class:`~sklearn_ferroic.model_selection.SpatialBlockKFold` find less of it.

    References
    ----------
    .. [1] A. H. Murphy, "Skill scores based on the mean square error and their
       relationships to the correlation coefficient", Monthly Weather Review 116,
       2417–2424 (1988).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import latent_leakage_score
    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(-np.pi, np.pi, 500)
    >>> latent_leakage_score(rng.normal(size=(500, 2)), angle)
    0.0
    >>> circle = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> round(latent_leakage_score(circle, angle), 2)
    1.0
    """
    latents = check_array(latents, dtype=np.float64, input_name="latents")
    if target_type == "angle":
        code = angle_code(check_angles(target, "target"), n_fold)
    else:
        code = variant_code(target)
    check_consistent_length(latents, code)
    known = code.any(axis=1) if target_type == "variant" else np.ones(len(code), bool)
    if np.count_nonzero(known) < 2:
        return 0.0
    cv = KFold(5, shuffle=True, random_state=0) if cv is None else check_cv(cv)
    splits = (
        (train[known[train]], test[known[test]]) for train, test in cv.split(latents)
    )
    splits = [sides for sides in splits if all(map(len, sides))]
    found = explained_share(latents, code, splits, n_neighbors)
    return 0.0 if np.isnan(found) else found


def angle_code(angle, n_fold=1):
    """Return angles as unit vectors, one row per angle."""
    return np.column_stack([np.cos(n_fold * angle), np.sin(n_fold * angle)])


def variant_code(variant):
    """Return indicators of the variants, rows of zeros where unknown."""
    codes, n_variants = encode_labels(variant)
    return (codes[:, None] == np.arange(n_variants)).astype(np.float64)


def explained_share(latents, code, splits, n_neighbors=10):
    """Compute the share of the target's variance that held-out latents explain.

    Parameters
    ----------
    latents : ndarray of shape (n, n_latents)
        Finite.
    code : ndarray of shape (n, n_columns)
        The encoded target.
    splits : iterable of (ndarray of int, ndarray of int)
        Training and test indices.
    n_neighbors : int, default=10
        Number of nearest neighbours of the regression.

    Returns
    -------
    share : float
        Between 0 and 1; NaN if the target is constant.
    """
    error, spread = 0.0, 0.0
    for train, test in splits:
        model = make_pipeline(
            StandardScaler(), KNeighborsRegressor(min(n_neighbors, len(train)))
        )
        model.fit(latents[train], code[train])
        error += ((model.predict(latents[test]) - code[test]) ** 2).sum()
        spread += ((code[train].mean(axis=0) - code[test]) ** 2).sum()
    if spread <= NO_SPREAD_VARIANCE * len(code):
        return float("nan")
    return float(np.clip(1 - error / spread, 0, 1))


# The lowest value, for a degenerate result.
WORST_EQUIVARIANCE = -1.0
_QUARTER = np.pi / 2


@validate_params(
    {
        "estimator": [HasMethods(["fit"])],
        "X": [AtomSites, "array-like", list, tuple],
        "angles": ["array-like", None],
    },
    prefer_skip_nested_validation=True,
)
def rotation_equivariance_score(estimator, X, *, angles=None):
    """Score whether the angle follows a rotation of the patches and latents do not.

    Patches are rotated by known angles and passed through the fitted estimator. A
    rotation-equivariant representation [1]_ adds the rotation to the angle and changes
    nothing else. No ground truth is needed.

    Parameters
    ----------
    estimator : estimator
        A fitted transformer whose feature names contain ``"angle"``, such as
        :class:`~sklearn_ferroic.RotationalVAE`, or a pipeline with one in it.
    X : AtomSites, images or array-like
        Input of the estimator. The windows must be square.
    angles : array-like of float, default=None
        Rotations in radians, from +col towards +row. By default the three multiples of
        90°, which are exact; others interpolate the patch by cubic splines and fill its
        corners by reflection.

    Returns
    -------
    score : float
        Between −1 and 1, the lower of two figures. For the angle: the mean cosine of
        its change minus the rotation, 1 if it always follows, 0 on average for an
        unrelated angle. For the latents, if there are any: 1 minus their mean square
        change over twice their variance, 1 if they do not change, 0 if they change as
        much as between cells, at least −1. Also −1 without an angle or a finite row.

    Raises
    ------
    ValueError
        If the windows are not square or `angles` are not finite.

    See Also
    --------
    latent_leakage_score : Whether the angle can be read off the latents.
    rotation_equivariance_scorer : The same for searches.

    Notes
    -----
    Offsets are ignored. A row that is not finite counts −1 in the angle.

    The score rewards consistency, not correctness: an angle that follows another
    feature, such as the border of a grain or a gradient of the background, follows
    rotations as well. Cells without polarity have no angle and lower the score of every
    model. Constant latents never change. A model that is equivariant by construction
    scores nearly 1 whatever it has learnt, so the score is most useful for others.

    References
    ----------
    .. [1] T. S. Cohen and M. Welling, "Group equivariant convolutional networks",
       ICML 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import MultiReferenceAlignment
    >>> from sklearn_ferroic.metrics import rotation_equivariance_score
    >>> row, col = np.mgrid[-6:7, -6:7]
    >>> spot = np.exp(-((row - 3) ** 2 + col**2) / 4)
    >>> X = np.stack([np.rot90(spot, k % 4) for k in range(40)])
    >>> X += np.random.default_rng(0).normal(0, 0.05, X.shape)
    >>> alignment = MultiReferenceAlignment(latent_dim=1).fit(X)
    >>> rotation_equivariance_score(alignment, X) > 0.9
    True
    """
    if angles is None:
        angles = _QUARTER * np.arange(1, 4)
    angles = check_array(angles, ensure_2d=False, input_name="angles").ravel()
    steps, samples = begin_at_windows(estimator, X)
    pose = read_pose(steps, samples)
    if pose is None or not np.isfinite(pose.angle).any():
        return WORST_EQUIVARIANCE
    windows = _as_windows(samples.values)
    cosines, squares = [], []
    for rotation in angles:
        rotated = _in_form_of(samples.values, _rotate(windows, rotation))
        new = read_pose(steps, samples._replace(values=rotated))
        cosine = np.cos(new.angle - pose.angle - rotation)
        cosines.append(np.where(np.isfinite(cosine), cosine, -1.0))
        squares.append(((new.latents - pose.latents) ** 2).sum(axis=1))
    return float(min(np.mean(cosines), _constancy(pose.latents, np.stack(squares))))


def _constancy(latents, squares):
    whole = np.isfinite(squares).all(axis=0)
    if not whole.any():
        return WORST_EQUIVARIANCE
    change = squares[:, whole].mean()
    variance = latents[whole].var(axis=0).sum()
    if change <= 1e-12 * variance or change == 0:
        return 1.0
    return max(1 - change / (2 * variance), -1.0) if variance else -1.0


def _as_windows(values):
    windows = np.asarray(values)
    if windows.ndim == 2:
        side = round(windows.shape[1] ** 0.5)
        if side**2 == windows.shape[1]:
            return windows.reshape(-1, side, side)
    elif windows.shape[1] == windows.shape[2]:
        return windows
    raise ValueError(
        "Only square windows can be rotated, got rows of shape "
        f"{windows.shape[1:]}. Use square patches."
    )


def _in_form_of(values, windows):
    """Return windows as rows, a stack or a table like `values`."""
    windows = windows.reshape(np.shape(values))
    if not hasattr(values, "columns"):
        return windows
    # pandas and polars
    names = "columns" if hasattr(values, "iloc") else "schema"
    return type(values)(windows, **{names: list(values.columns)})


def _rotate(windows, angle):
    """Rotate windows from +col towards +row, opposite to numpy.rot90."""
    quarters = angle / _QUARTER
    if abs(quarters - round(quarters)) < 1e-9:
        return np.rot90(windows, -round(quarters), axes=(1, 2))
    # All windows at once, as the channels of one picture.
    picture = np.moveaxis(np.asarray(windows, dtype=np.float64), 0, -1)
    rotated = rotate(picture, -np.rad2deg(angle), order=3, mode="reflect", clip=False)
    return np.moveaxis(rotated, -1, 0).astype(windows.dtype)


# Spatial folds in which the leakage of a scorer is cross-validated.
_N_LEAKAGE_FOLDS = 4
WORST_RECONSTRUCTION = -1.0


def leakage_target(target):
    """Return the code of variants or angles and which samples have one."""
    if target.dtype.kind == "f":
        is_known = np.isfinite(target)
        if (target[is_known] % 1 != 0).any():
            return angle_code(np.where(is_known, target, 0)), is_known
    known = encode_labels(target)[0] >= 0
    return variant_code(target), known


def leakage_folds(sites, known):
    """Divide the samples into spatial folds, or random ones without positions."""
    if sites is not None:
        cv = SpatialBlockKFold(_N_LEAKAGE_FOLDS, random_state=0)
        try:
            return list(cv.split(sites[known]))
        except ValueError:  # fewer blocks than folds
            pass
    return KFold(_N_LEAKAGE_FOLDS, shuffle=True, random_state=0).split(known)


def reconstruction_score(windows, samples, passed):
    """Return the share of the windows' variance that steps reconstruct."""
    reconstructed = samples.values
    for step in reversed(passed):
        reconstructed = step.inverse_transform(reconstructed)
    place = np.searchsorted(windows.kept, samples.kept)
    true = np.asarray(windows.values)[place].reshape(len(place), -1)
    true = true.astype(np.float64)
    error = ((np.asarray(reconstructed).reshape(true.shape) - true) ** 2).mean()
    variance = true.var(axis=0).mean()
    if not (np.isfinite(error) and variance > 0):
        return WORST_RECONSTRUCTION
    return float(max(1 - error / variance, WORST_RECONSTRUCTION))
