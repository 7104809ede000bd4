"""Whether the angle follows a turn and the latents stay."""

import numpy as np
from skimage.transform import rotate
from sklearn.utils import check_array
from sklearn.utils._param_validation import HasMethods, validate_params

from ..sites import AtomSites
from ._pose import read_pose
from ._stages import begin_at_windows

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
    """Score how far the angle follows turned patches while the latents stay.

    Patches are turned by known angles and sent through the fitted estimator. A
    rotation-equivariant representation [1]_ adds the turn to the angle and changes
    nothing else. No truth is needed.

    Parameters
    ----------
    estimator : estimator
        A fitted transformer whose feature names contain ``"angle"``, such as
        :class:`~sklearn_ferroic.RotationalVAE`, or a pipeline with one in it.
    X : AtomSites, images or array-like
        What the estimator takes. The windows must be square.
    angles : array-like of float, default=None
        Turns in radians, from +col towards +row. By default the three quarter turns,
        which are exact; others interpolate the patch by cubic splines and mirror it
        into its corners.

    Returns
    -------
    score : float
        Between −1 and 1, the lower of two figures. Of the angle: the mean cosine of
        its change minus the turn, 1 if it always follows, 0 on average for an angle
        that is unrelated. Of the latents, if there are any: 1 minus their mean square
        change over twice their variance, 1 if they stay, 0 if they change as from one
        cell to another, at least −1. −1, too, where nothing can be told: without an
        angle or a finite row.

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
    Offsets are not looked at. A row that is not finite counts −1 in the angle.

    It rewards consistency, not truth: an angle that follows a feature of no interest,
    such as the border of a grain or a tilt of the background, follows turns as well.
    Cells without polarity have no angle to follow and lower the score of every model.
    Latents that are constant always stay. A model that was built to be equivariant is
    near 1 whatever it has learnt, so the score tells most about those that were not.

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
    for turn in angles:
        turned = _in_form_of(samples.values, _turn(windows, turn))
        new = read_pose(steps, samples._replace(values=turned))
        cosine = np.cos(new.angle - pose.angle - turn)
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
        "Only square windows can be turned, got rows of shape "
        f"{windows.shape[1:]}. Give square patches."
    )


def _in_form_of(values, windows):
    """Give windows as rows, as a stack or as a table with the same column names."""
    windows = windows.reshape(np.shape(values))
    if not hasattr(values, "columns"):
        return windows
    # pandas and polars
    names = "columns" if hasattr(values, "iloc") else "schema"
    return type(values)(windows, **{names: list(values.columns)})


def _turn(windows, angle):
    """Turn windows from +col towards +row, the other way round than numpy.rot90."""
    quarters = angle / _QUARTER
    if abs(quarters - round(quarters)) < 1e-9:
        return np.rot90(windows, -round(quarters), axes=(1, 2))
    # All windows at once, as the channels of one picture.
    picture = np.moveaxis(np.asarray(windows, dtype=np.float64), 0, -1)
    turned = rotate(picture, -np.rad2deg(angle), order=3, mode="reflect", clip=False)
    return np.moveaxis(turned, -1, 0).astype(windows.dtype)
