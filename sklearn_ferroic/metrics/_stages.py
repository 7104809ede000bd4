"""Sending samples through the fitted steps of a pipeline, whatever they are.

Rows that a step turns into NaN go no further, so that one bad window spoils no score.
"""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.validation import _num_samples

from ..localization import AtomLocator
from ..preprocessing import AngleAwareScaler
from ..sites import AtomSites
from ._labels import encode_labels

_OFFSETS = ("offset_row", "offset_col")


class Samples(NamedTuple):
    """What a stage makes of the samples."""

    values: object  # AtomSites or rows
    kept: np.ndarray  # which of the samples the rows are
    n_samples: int
    sites: AtomSites | None  # all samples, where they are sites


def list_steps(estimator):
    """List the fitted steps of an estimator, those of the best one of a search."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    return [part for step in steps for part in list_steps(step)]


def begin(estimator, X):
    """Give the steps and the samples before the first; images are located."""
    steps = list_steps(estimator)
    if isinstance(steps[0], AtomLocator):
        X, steps = steps[0].transform(X), steps[1:]
    n_samples = _num_samples(X)
    sites = X if isinstance(X, AtomSites) else None
    return steps, Samples(X, np.arange(n_samples), n_samples, sites)


def begin_at_windows(estimator, X):
    """Give the steps that take image windows, and the windows."""
    steps, samples = begin(estimator, X)
    while steps and isinstance(samples.values, AtomSites):
        samples, steps = send(samples, steps[0]), steps[1:]
    return steps, samples


def prepare(samples, step):
    """Leave out what the step would refuse: rows that are not finite."""
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
    """Transform the samples that the step takes."""
    samples = prepare(samples, step)
    if len(samples.kept) == 0:
        return samples
    make = step.transform if hasattr(step, "transform") else clone(step).fit_transform
    return samples._replace(values=make(samples.values))


def feature_names(step):
    """List the names of a step's output, none where it has no names."""
    try:
        return [str(name) for name in step.get_feature_names_out()]
    except (AttributeError, ValueError):
        return []


def predict_labels(estimator, X, n_clusters):
    """Label the samples, whatever the last step is.

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
    labels : ndarray of int of shape (n_samples,)
        −1 where there is none.
    sites : AtomSites or None
        The samples, where they are sites.
    """
    steps, samples = begin(estimator, X)
    for step in steps[:-1]:
        samples = send(samples, step)
    # Only an AtomLocator leaves no step, and it labels nothing.
    last = steps[-1] if steps else None
    labels = np.full(samples.n_samples, -1)
    samples = samples if last is None else prepare(samples, last)
    if last is None or len(samples.kept) == 0:
        return labels, samples.sites
    if hasattr(last, "predict"):
        found = last.predict(samples.values)
    elif hasattr(last, "fit_predict"):
        # Such a clusterer labels only what it is fitted to.
        found = clone(last).fit_predict(samples.values)
    else:
        samples = send(samples, last)
        found = _cluster(np.asarray(samples.values), feature_names(last), n_clusters)
    labels[samples.kept] = encode_labels(found)[0]
    return labels, samples.sites


def labels_of_sites(estimator, X, n_clusters):
    """Label samples that have to be sites; see `predict_labels`."""
    labels, sites = predict_labels(estimator, X, n_clusters)
    if sites is None:
        raise TypeError(
            "This scorer needs AtomSites, which know their neighbours, got "
            f"{type(X).__name__}. Put a PatchExtractor into the pipeline and give the "
            "search AtomSites, the output of AtomLocator."
        )
    return labels, sites


def read_angle(steps, samples):
    """Read the angle of windows, and its width, off the first step that names one.

    Parameters
    ----------
    steps : list of estimator
        Those that take windows, fitted.
    samples : Samples
        Windows.

    Returns
    -------
    angle, width : ndarray of shape (n_samples,) or None
        Radians, NaN where there is none. No angle if no step knows any, and no width
        if that step gives none.
    """
    for step in steps:
        if not hasattr(step, "transform"):
            break
        names = feature_names(step)
        if "angle" not in names:
            samples = send(samples, step)
            continue
        place = names.index("angle")
        samples = prepare(samples, step)
        parts = np.full((2, samples.n_samples), np.nan)
        has_width = hasattr(step, "transform_with_std")
        if len(samples.kept) and has_width:
            found = step.transform_with_std(samples.values)
            parts[:, samples.kept] = [np.asarray(part)[:, place] for part in found]
        elif len(samples.kept):
            found = np.asarray(step.transform(samples.values))
            parts[0, samples.kept] = found[:, place]
        return parts[0], parts[1] if has_width else None
    return None, None


def read_pose(steps, samples):
    """Read angle and latents of windows off the first step that names an angle.

    Parameters
    ----------
    steps : list of estimator
        Those that take windows, fitted.
    samples : Samples
        Windows.

    Returns
    -------
    angle : ndarray of shape (n_samples,) or None
        Radians, NaN where there is none; None if no step knows angles.
    latents : ndarray of shape (n_samples, n_latents) or None
        The other columns without offsets, NaN likewise.
    """
    for step in steps:
        if not hasattr(step, "transform"):
            break
        samples = send(samples, step)
        names = feature_names(step)
        if "angle" in names:
            columns = np.full((samples.n_samples, len(names)), np.nan)
            if len(samples.kept):
                columns[samples.kept] = np.asarray(samples.values)
            others = [i for i, n in enumerate(names) if n not in ("angle", *_OFFSETS)]
            return columns[:, names.index("angle")], columns[:, others]
    return None, None


def _cluster(features, names, n_clusters):
    """Make clusters of features by k-means, an angle among them as a point."""
    whole = np.isfinite(features).all(axis=1)
    labels = np.full(len(features), -1)
    features = features[whole]
    if len(features) == 0:
        return labels
    if "angle" in names:
        offsets = _OFFSETS[0] in names
        features = AngleAwareScaler(translation=offsets).fit_transform(features)
    n_clusters = min(n_clusters, len(np.unique(features, axis=0)))
    k_means = KMeans(n_clusters, n_init=4, random_state=0)
    labels[whole] = k_means.fit_predict(features)
    return labels
