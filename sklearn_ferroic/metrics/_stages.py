"""Sending samples through the fitted steps of a pipeline, whatever they are.

Rows that a step turns into NaN go no further, so that one bad window spoils no score.
"""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.validation import _num_samples

from ..localization._images_to_sites import ImagesToSitesMixin
from ..sites import AtomSites


class Samples(NamedTuple):
    """What a stage makes of the samples."""

    values: object  # AtomSites or rows
    kept: np.ndarray  # which of the samples the rows are
    n_samples: int
    sites: AtomSites | None  # all samples, where they are sites
    std: np.ndarray | None = None  # standard deviations of the rows, where told


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
    if isinstance(steps[0], ImagesToSitesMixin):
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
    samples = prepare(samples, step)._replace(std=None)
    if len(samples.kept) == 0:
        return samples
    if hasattr(step, "transform_with_std"):
        # What `transform` gives, and the widths that it works out as well.
        rows, std = step.transform_with_std(samples.values)
        rows = _wrap_data_with_container("transform", rows, samples.values, step)
        return samples._replace(values=rows, std=np.asarray(std))
    make = step.transform if hasattr(step, "transform") else clone(step).fit_transform
    return samples._replace(values=make(samples.values))


def feature_names(*steps):
    """List the names of the last step's output, none where it has no names."""
    names = []
    for step in steps:
        try:
            # Many a step names its output by its input.
            names = list(map(str, step.get_feature_names_out(names or None)))
        except (AttributeError, ValueError):
            names = []
    return names
