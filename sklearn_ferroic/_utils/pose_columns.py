"""Columns that describe a pose: the angle, the offsets and the latents.

Estimators that return a pose, those that read one, scorers, displays and tables use
the names and units in this module.
"""

ANGLE = "angle"
OFFSETS = ("offset_row", "offset_col")
LATENT = "latent"
# Prefix of the probabilities of classes.
CLASS = "class"
# Units of the columns, and of the standard deviation that belongs to the angle.
POSE_UNITS = {ANGLE: "rad", f"{ANGLE}_std": "rad"} | dict.fromkeys(OFFSETS, "px")


def pose_names(n_latents, *, offsets):
    """Return the names of the columns of a pose, in order.

    Parameters
    ----------
    n_latents : int
        Number of latents.
    offsets : bool
        Whether there are columns for the offsets.

    Returns
    -------
    names : list of str
        ``angle[, offset_row, offset_col], latent0, latent1, ...``.
    """
    latents = [f"{LATENT}{number}" for number in range(n_latents)]
    return [ANGLE, *(OFFSETS if offsets else ()), *latents]


def find_pose_columns(n_features, names, *, translation):
    """Return the indices of the columns of the angle and the offsets.

    Parameters
    ----------
    n_features : int
        Number of columns.
    names : sequence of str or None
        Names of the columns, which are decisive; the position is used without them.
    translation : bool
        Whether columns 1 and 2 without names are offsets, if there are four or more.

    Returns
    -------
    angle : int or None
        Index of the angle.
    offsets : list of int
        Indices of the offsets.
    """
    if names is None:
        return 0, [1, 2] if translation and n_features >= 4 else []
    index_of = {name: index for index, name in enumerate(names)}
    if ANGLE not in index_of:
        return None, []
    return index_of[ANGLE], [index_of[name] for name in OFFSETS if name in index_of]


def latent_columns(names):
    """Return the indices of the latents, or else of all columns without a pose.

    Parameters
    ----------
    names : sequence of str
        Names of the columns.

    Returns
    -------
    columns : list of int
        Columns named ``latent...``; where there are none, those that are neither an
        angle nor an offset.
    """
    latents = [i for i, name in enumerate(names) if name.startswith(LATENT)]
    if latents:
        return latents
    pose = (ANGLE, OFFSETS[0].partition("_")[0])
    return [i for i, name in enumerate(names) if not name.startswith(pose)]
