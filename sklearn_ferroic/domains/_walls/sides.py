"""Type and charge of a wall, from the mean vectors of its two sides."""

import numpy as np
from scipy.stats import chi2, f

from ..._utils.angles import wrap_angle

# A wall is neutral if the step of the normal component is at most this share of the
# step of the vector: half of that of a wall 45 degrees off its neutral direction.
NEUTRAL_SHARE = 0.35
# A wall of which more than this share of the length is head-to-head and as much is
# tail-to-tail has no single charge.
_MIXED_FRACTION = 0.15
# Walls whose angle differs by more from all wall types are of another type.
_TYPE_TOLERANCE_DEG = 25.0
# Lengths of the mean vectors in standard errors from which an angle has a meaning.
_MIN_SIGMA = 3.0


def check_wall_types(wall_types):
    """Return the angles that walls can have, degrees, as an array."""
    types = np.asarray(wall_types)
    valid = types.ndim == 1 and len(types) > 0 and types.dtype.kind in "iuf"
    if not valid or not ((types > 0) & (types <= 180)).all():
        raise ValueError(
            "wall_types must be a sequence of angles above 0 and up to 180 degrees, "
            f"such as (90, 180), got {wall_types!r}."
        )
    return types.astype(np.float64)


def describe_sides(line, sides, whole, wall_types, *, along_line=False, axial=False):
    """Describe type and charge of a wall between two mean vectors.

    Parameters
    ----------
    line : WallLine
        The wall.
    sides : list of PooledVector or None
        Mean vectors of sides a and b near the wall; None where there are too few.
    whole : list of PooledVector
        Mean vectors of the two domains.
    wall_types : ndarray of shape (n_types,)
        Angles that walls can have, degrees.
    along_line : bool, default=False
        Whether the vectors are the components along the normals of the line and along
        the line, instead of those along row and col.
    axial : bool, default=False
        Whether the vectors have twice the angle of axes: the wall is that between the
        axes, and has no charge.

    Returns
    -------
    description : dict
        Columns of the table of walls.
    """
    unknown = {
        "angle_deg": np.nan,
        "angle_std_deg": np.nan,
        "wall_type": "undetermined",
        "charge": "undetermined",
        "net_normal": np.nan,
        "net_normal_std": np.nan,
        "normal_step": np.nan,
        "normal_step_std": np.nan,
        "head_to_head_fraction": np.nan,
        "tail_to_tail_fraction": np.nan,
        "p_value": np.nan,
    }
    if sides is None:
        return unknown
    a, b = sides
    step = a.mean - b.mean
    covariance = a.covariance + b.covariance
    size = np.hypot(*step)
    if not size > 0 or not np.isfinite(covariance).all():
        return unknown
    p_value = min(difference_p_value(a, b), difference_p_value(*whole))
    polar = all(
        np.hypot(*side.mean) > _MIN_SIGMA * np.sqrt(np.trace(side.covariance))
        for side in sides
    )
    angle, angle_std = _angle_between(a, b) if polar else (np.nan, np.nan)
    if axial:
        angle, angle_std = angle / 2, angle_std / 2
    wall_type = _wall_type(angle, wall_types) if polar else "undetermined"
    kind = {
        "angle_deg": angle,
        "angle_std_deg": angle_std,
        "wall_type": wall_type,
        "p_value": p_value,
    }
    if axial:
        return unknown | kind
    # Integrated along the line: a curved wall has a smaller net step than its steepest
    # part, and a closed wall between two uniform domains has none.
    normal = np.array([1.0, 0.0]) if along_line else line.mean_normal()
    normal_step = float(step @ normal)
    normal_std = float(np.sqrt(normal @ covariance @ normal))
    share = normal_step / size
    # Both the step and its length have errors: that of the direction of the step.
    across = np.array([step[1], -step[0]]) / size
    share_std = float(
        np.sqrt(max(across @ covariance @ across, 0)) / size * abs(across @ normal)
    )
    if along_line:
        head, tail = float(share > NEUTRAL_SHARE), float(share < -NEUTRAL_SHARE)
    else:
        head, tail = _charged_fractions(line, step / size)
    return kind | {
        "charge": _charge(share, share_std, p_value, head, tail),
        "net_normal": share,
        "net_normal_std": share_std,
        "normal_step": normal_step,
        "normal_step_std": normal_std,
        "head_to_head_fraction": head,
        "tail_to_tail_fraction": tail,
    }


def _charged_fractions(line, direction):
    """Return the shares of the length where the step points to and from the wall."""
    local = line.normal @ direction
    weight = line.vertex_lengths()
    weight = weight / weight.sum()
    head, tail = local > NEUTRAL_SHARE, local < -NEUTRAL_SHARE
    return float(weight[head].sum()), float(weight[tail].sum())


def _charge(share, std, p_value, head, tail):
    """Return in words whether the normal component has a step."""
    if not (p_value < 0.01 and std <= NEUTRAL_SHARE):
        return "undetermined"
    if min(head, tail) > _MIXED_FRACTION:
        return "undetermined"
    if abs(share) <= NEUTRAL_SHARE:
        return "neutral"
    if abs(share) < 2 * std:
        return "undetermined"
    return "head-to-head" if share > 0 else "tail-to-tail"


def _angle_between(a, b):
    """Return the angle between two mean vectors and its standard error, degrees."""
    variance = 0.0
    angles = []
    for side in (a, b):
        length = np.hypot(*side.mean)
        across = np.array([side.mean[1], -side.mean[0]]) / length
        variance += across @ side.covariance @ across / length**2
        angles.append(np.arctan2(side.mean[0], side.mean[1]))
    return (
        float(np.degrees(abs(wrap_angle(angles[1] - angles[0])))),
        float(np.degrees(np.sqrt(variance))),
    )


def _wall_type(angle, wall_types):
    """Return the name of the nearest wall type."""
    nearest = wall_types[np.argmin(np.abs(wall_types - angle))]
    return f"{nearest:g}" if abs(nearest - angle) <= _TYPE_TOLERANCE_DEG else "other"


def difference_p_value(a, b):
    """Return the probability of such a difference of means of equal expectation."""
    step, covariance = a.mean - b.mean, a.covariance + b.covariance
    dof = min(a.n_sites, b.n_sites) - 1
    if not np.isfinite(covariance).all():
        return 1.0
    scale = np.trace(covariance)
    if scale == 0:
        return float(not step.any())
    square = step @ np.linalg.solve(covariance + 1e-12 * scale * np.eye(2), step)
    if dof > 60:
        return float(chi2.sf(square, 2))
    if dof < 2:
        return 1.0
    return float(f.sf((dof - 1) / (2 * dof) * square, 2, dof - 1))
