"""Output of the fitted steps of a pipeline: rows, pose and labels of each sample.

Rows that a step turns into NaN are excluded from the later steps.
"""

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import KMeans
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.validation import _num_samples

from .._utils.pose_columns import ANGLE, OFFSETS, pose_names
from .._utils.transformers import ImagesToSitesMixin, feature_names, list_steps
from ..preprocessing import AngleAwareScaler
from ..sites import AtomSites
from ._label_graph import encode_labels


class Samples(NamedTuple):
    """Output of a step for the samples."""

    values: object  # AtomSites or rows
    kept: np.ndarray  # which of the samples the rows are
    n_samples: int
    sites: AtomSites | None  # all samples, where they are sites
    std: np.ndarray | None = None  # standard deviations of the rows, if known


def begin(estimator, X):
    """Return the steps and their input; images are converted to sites."""
    steps = list_steps(estimator)
    if isinstance(steps[0], ImagesToSitesMixin):
        X, steps = steps[0].transform(X), steps[1:]
    n_samples = _num_samples(X)
    sites = X if isinstance(X, AtomSites) else None
    return steps, Samples(X, np.arange(n_samples), n_samples, sites)


def begin_at_windows(estimator, X):
    """Return the steps that follow the windows, and the windows."""
    steps, samples = begin(estimator, X)
    while steps and isinstance(samples.values, AtomSites):
        samples, steps = send(samples, steps[0]), steps[1:]
    return steps, samples


def prepare(samples, step):
    """Exclude rows that are not finite, unless the step accepts them."""
    if isinstance(samples.values, AtomSites) or get_tags(step).input_tags.allow_nan:
        return samples
    rows = np.asarray(samples.values)
    if rows.dtype.kind != "f" or len(rows) == 0:
        return samples
    whole = np.isfinite(rows.reshape(len(rows), -1)).all(axis=1)
    if whole.all():
        return samples
    values = _safe_indexing(samples.values, np.flatnonzero(whole))
    return samples._replace(values=values, kept=samples.kept[whole])


def send(samples, step):
    """Transform the samples that the step accepts."""
    samples = prepare(samples, step)._replace(std=None)
    if len(samples.kept) == 0:
        return samples
    if hasattr(step, "transform_with_std"):
        # The output of `transform` together with its standard deviations.
        rows, std = step.transform_with_std(samples.values)
        rows = _wrap_data_with_container("transform", rows, samples.values, step)
        return samples._replace(values=rows, std=np.asarray(std))
    make = step.transform if hasattr(step, "transform") else clone(step).fit_transform
    return samples._replace(values=make(samples.values))


class Pose(NamedTuple):
    """Pose of each sample, NaN where it is unknown."""

    angle: np.ndarray  # radians
    angle_std: np.ndarray | None  # radians; None if the step does not return it
    latents: np.ndarray  # the other columns without offsets, one row per sample


def names_angle(step):
    """Return whether one of the columns that a step returns is an angle."""
    return hasattr(step, "transform") and ANGLE in feature_names(step)


def pose_of(samples, step):
    """Return the pose of the samples from the output of a step with an angle.

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
    """Return the pose of samples from the first step with an angle.

    Parameters
    ----------
    steps : list of estimator
        Fitted.
    samples : Samples
        Input of the first step.

    Returns
    -------
    pose : Pose or None
        None if no step returns an angle.
    """
    for step in steps:
        if not hasattr(step, "transform"):
            break
        samples = send(samples, step)
        if names_angle(step):
            return pose_of(samples, step)
    return None


def _spread(samples, rows, n_columns):
    """Return rows for all samples, NaN for those that were excluded."""
    columns = np.full((samples.n_samples, n_columns), np.nan)
    if len(samples.kept):
        columns[samples.kept] = np.asarray(rows)
    return columns


class Prediction(NamedTuple):
    """Labels and pose of the samples."""

    labels: np.ndarray  # of int, −1 where there is none
    pose: Pose | None  # where a step names an angle
    sites: AtomSites | None  # the samples, where they are sites


def predict_labels(estimator, X, n_clusters):
    """Predict the labels of the samples and read their pose.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : AtomSites, images or array-like
        Its input.
    n_clusters : int
        Number of clusters for the output of a transformer.

    Returns
    -------
    prediction : Prediction
        One entry for each sample.
    """
    steps, samples = begin(estimator, X)
    labels, pose = np.full(samples.n_samples, -1), None
    if not steps:  # an AtomLocator alone, which predicts no labels
        return Prediction(labels, pose, samples.sites)
    *early, last = _ending_in_clusterer(steps, n_clusters)
    for step in early:
        samples = send(samples, step)
        if pose is None and names_angle(step):
            pose = pose_of(samples, step)
    if pose is None and names_angle(last):
        pose = pose_of(send(samples, last), last)
    samples = prepare(samples, last)
    if len(samples.kept):
        # A clusterer without predict can only label the samples that it is fitted to.
        label = last.predict if hasattr(last, "predict") else clone(last).fit_predict
        labels[samples.kept] = encode_labels(label(samples.values))[0]
    return Prediction(labels, pose, samples.sites)


def predict_labels_of_sites(estimator, X, n_clusters):
    """Predict the labels of samples that must be sites, as `predict_labels`."""
    prediction = predict_labels(estimator, X, n_clusters)
    if prediction.sites is None:
        raise TypeError(
            "This scorer needs AtomSites, which know their neighbours, got "
            f"{type(X).__name__}. Put a PatchExtractor into the pipeline and give the "
            "search AtomSites, the output of AtomLocator."
        )
    return prediction


class _OutputClusterer(ClusterMixin, BaseEstimator):
    """K-means on the output of a transformer, with angles encoded as unit vectors."""

    def __init__(self, n_clusters, names):
        self.n_clusters = n_clusters
        self.names = names

    def fit_predict(self, X, y=None):
        features = np.asarray(X)
        if ANGLE in self.names:
            offsets = OFFSETS[0] in self.names
            pose = pose_names(0, offsets=offsets)
            order = [*pose, *(name for name in self.names if name not in pose)]
            features = features[:, [self.names.index(name) for name in order]]
            features = AngleAwareScaler(translation=offsets).fit_transform(features)
        n_clusters = min(self.n_clusters, len(np.unique(features, axis=0)))
        return KMeans(n_clusters, n_init=4, random_state=0).fit_predict(features)


def _ending_in_clusterer(steps, n_clusters):
    last = steps[-1]
    if hasattr(last, "predict") or hasattr(last, "fit_predict"):
        return steps
    return [*steps, _OutputClusterer(n_clusters, feature_names(*steps))]


def count_columns(samples):
    """Return the number of columns of the samples, all pixels of a window."""
    return int(np.prod(np.shape(samples.values)[1:]))


def check_truth(y, scorer, kind, instead):
    """Return the ground truth of a scorer as an array; raise ValueError without one."""
    # AtomSites are the y of a pipeline with an AngleRegistration.
    if y is None or isinstance(y, AtomSites):
        raise ValueError(
            f"{scorer} needs the true {kind}: give y, one per sample, to fit of the "
            f"search. Without a truth use {instead}."
        )
    return np.asarray(y)
