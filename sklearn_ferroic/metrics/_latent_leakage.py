"""What the latents tell of the angle or the variant."""

from numbers import Integral

import numpy as np
from sklearn.model_selection import KFold, check_cv
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import StrOptions, validate_params

from .._intervals import Interval
from ._circular import N_FOLD, check_angles
from ._labels import encode_labels

# A target that varies less than this is constant.
_NO_SPREAD = 1e-9


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
    """Score how well the angle or the variant can be read off the latents.

    Latents that are free of rotation tell nothing of either. The target is predicted
    from the standardised latents by nearest neighbours, cross-validated; the score is
    the share of the target's variance that the prediction explains, the skill score
    of [1]_ against the training mean. It sees dependence of any shape, not only linear.

    Parameters
    ----------
    latents : array-like of shape (n_samples, n_latents)
        The latents.
    target : array-like of shape (n_samples,)
        Angles in radians, or variants as labels.
    target_type : {"angle", "variant"}, default="angle"
        What `target` is. An angle stands for its point on the circle, a variant for
        its indicator; those with a negative number or NaN have none and are left out.
    n_fold : int, default=1
        Angles that differ by 2π / `n_fold` count as the same.
    n_neighbors : int, default=10
        Number of neighbours that predict.
    cv : int, cross-validator or iterable, default=None
        Folds; five at random with a fixed seed by default.

    Returns
    -------
    leakage : float
        Between 0 and 1: 0 if the latents tell no more than chance or if the target is
        constant, 1 if they tell everything.

    Raises
    ------
    ValueError
        If the lengths differ or numbers are not finite, or if there are fewer samples
        than folds.

    See Also
    --------
    rotation_equivariance_score : Whether the latents stay when patches are turned.
    neg_latent_leakage_scorer : The negative of it, for searches.

    Notes
    -----
    Low leakage rewards latents that say nothing at all just as well as latents that
    say the right things. Where chemistry and variants go together, as where a layer has
    one variant only, true latents leak. Latents and domains both vary slowly over an
    image, so that random folds find leakage through the place alone; folds of
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
    """Put angles on the circle, one row an angle."""
    return np.column_stack([np.cos(n_fold * angle), np.sin(n_fold * angle)])


def variant_code(variant):
    """Indicate the variant of each sample, in none of the columns where unknown."""
    codes, n_variants = encode_labels(variant)
    return (codes[:, None] == np.arange(n_variants)).astype(np.float64)


def explained_share(latents, code, splits, n_neighbors=10):
    """Share of the code's variance that held-out latents explain.

    Parameters
    ----------
    latents : ndarray of shape (n, n_latents)
        Finite.
    code : ndarray of shape (n, n_columns)
        The target as points.
    splits : iterable of (ndarray of int, ndarray of int)
        Training and test sides.
    n_neighbors : int, default=10
        Number of neighbours that predict.

    Returns
    -------
    share : float
        Between 0 and 1; NaN if the target is constant.
    """
    missed, spread = 0.0, 0.0
    for train, test in splits:
        model = make_pipeline(
            StandardScaler(), KNeighborsRegressor(min(n_neighbors, len(train)))
        )
        model.fit(latents[train], code[train])
        missed += ((model.predict(latents[test]) - code[test]) ** 2).sum()
        spread += ((code[train].mean(axis=0) - code[test]) ** 2).sum()
    if spread <= _NO_SPREAD * len(code):
        return float("nan")
    return float(np.clip(1 - missed / spread, 0, 1))
