"""Which of the columns are the angle and the offsets."""

ANGLE = "angle"
OFFSETS = ("offset_row", "offset_col")


def find_columns(n_features, names, *, translation):
    """Find the columns of the pose.

    Parameters
    ----------
    n_features : int
        Number of columns.
    names : sequence of str or None
        Names of the columns, which decide; without them the position does.
    translation : bool
        Whether columns 1 and 2 without names are offsets, if there are four or more.

    Returns
    -------
    angle : int or None
        The column of the angle.
    offsets : list of int
        Those of the offsets.
    """
    if names is None:
        return 0, [1, 2] if translation and n_features >= 4 else []
    place = {name: index for index, name in enumerate(names)}
    if ANGLE not in place:
        return None, []
    return place[ANGLE], [place[name] for name in OFFSETS if name in place]
