"""Angle and latents, read off the step of a pipeline that names them."""

from typing import NamedTuple

import numpy as np

from ..preprocessing._columns import ANGLE, OFFSETS
from ._stages import feature_names, send


class Pose(NamedTuple):
    """What a step tells of each sample, NaN where it tells nothing."""

    angle: np.ndarray  # radians
    angle_std: np.ndarray | None  # None if the step tells no widths
    latents: np.ndarray  # the other columns without offsets, one row a sample


def names_angle(step):
    """Tell whether a step transforms to columns of which one is an angle."""
    return hasattr(step, "transform") and ANGLE in feature_names(step)


def pose_of(samples, step):
    """Read the pose off what a step that names an angle has made of the samples.

    Parameters
    ----------
    samples : Samples
        The step's output.
    step : estimator
        The step, fitted.

    Returns
    -------
    pose : Pose
        One row for each of all samples.
    """
    names = feature_names(step)
    place = names.index(ANGLE)
    others = [i for i, name in enumerate(names) if name not in (ANGLE, *OFFSETS)]
    columns = _spread(samples, samples.values, len(names))
    std = None
    if hasattr(step, "transform_with_std"):
        std = _spread(samples, samples.std, len(names))[:, place]
    return Pose(columns[:, place], std, columns[:, others])


def read_pose(steps, samples):
    """Read the pose of samples off the first step that names an angle.

    Parameters
    ----------
    steps : list of estimator
        Fitted.
    samples : Samples
        What the first of them takes.

    Returns
    -------
    pose : Pose or None
        None if no step knows angles.
    """
    for step in steps:
        if not hasattr(step, "transform"):
            break
        samples = send(samples, step)
        if names_angle(step):
            return pose_of(samples, step)
    return None


def _spread(samples, rows, n_columns):
    """Put rows of the samples that were kept among those of all."""
    columns = np.full((samples.n_samples, n_columns), np.nan)
    if len(samples.kept):
        columns[samples.kept] = np.asarray(rows)
    return columns
