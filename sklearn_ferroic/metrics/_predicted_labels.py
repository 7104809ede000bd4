"""The labels of samples, whatever the last step of a pipeline is."""

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import KMeans

from ..preprocessing import AngleAwareScaler
from ..preprocessing._columns import ANGLE, OFFSETS
from ..sites import AtomSites
from ._labels import encode_labels
from ._pose import Pose, names_angle, pose_of
from ._stages import begin, feature_names, prepare, send


class Prediction(NamedTuple):
    """What a pipeline says of the samples."""

    labels: np.ndarray  # of int, −1 where there is none
    pose: Pose | None  # where a step names an angle
    sites: AtomSites | None  # the samples, where they are sites


def predict_labels(estimator, X, n_clusters):
    """Label the samples, and read their pose on the way.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : AtomSites, images or array-like
        Its input.
    n_clusters : int
        How many clusters to make of the output of a transformer.

    Returns
    -------
    prediction : Prediction
        One entry for each of all samples.
    """
    steps, samples = begin(estimator, X)
    labels, pose = np.full(samples.n_samples, -1), None
    if not steps:  # an AtomLocator alone, which labels nothing
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
        # What has no predict labels only what it is fitted to.
        label = last.predict if hasattr(last, "predict") else clone(last).fit_predict
        labels[samples.kept] = encode_labels(label(samples.values))[0]
    return Prediction(labels, pose, samples.sites)


def predict_labels_of_sites(estimator, X, n_clusters):
    """Label samples that have to be sites; see `predict_labels`."""
    prediction = predict_labels(estimator, X, n_clusters)
    if prediction.sites is None:
        raise TypeError(
            "This scorer needs AtomSites, which know their neighbours, got "
            f"{type(X).__name__}. Put a PatchExtractor into the pipeline and give the "
            "search AtomSites, the output of AtomLocator."
        )
    return prediction


class _OutputClusterer(ClusterMixin, BaseEstimator):
    """K-means on a transformer's output, an angle among its columns as a point."""

    def __init__(self, n_clusters, names):
        self.n_clusters = n_clusters
        self.names = names

    def fit_predict(self, X, y=None):
        features = np.asarray(X)
        if ANGLE in self.names:
            offsets = OFFSETS[0] in self.names
            pose = [ANGLE, *OFFSETS] if offsets else [ANGLE]
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
