"""Checks of the classes, labels and conditions of an estimator."""

import warnings

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length

from ...._utils.validation import as_labels, refuse_mask

# Largest number of classes if it is selected.
MAX_CLASSES = 8
# Share of patches without a probable class above which `fit` warns. It was at most 0.01
# where the classes are right.
_LARGEST_UNCERTAIN_SHARE = 0.03
# Share of patches whose known direction is exactly 0 above which `fit` warns: known are
# those of a few patches.
_LARGEST_ZERO_SHARE = 0.5
# Starts of warnings.
UNCERTAIN = "The classes are uncertain"
ZERO_ANGLES = "angle is exactly 0"


def check_factors(estimator):
    """Raise ValueError if classes or conditions do not apply to a model."""
    for name in ("n_classes", "n_conditions"):
        value = getattr(estimator, name)
        if not value:
            continue
        for other, wanted in (("encoder", "invariant"), ("decoder", "canonical")):
            given = getattr(estimator, other)
            if given != wanted:
                raise ValueError(
                    f"{name}={value!r} requires {other}={wanted!r}, got {other}="
                    f"{given!r}."
                )


def pixel_columns(patches, n_conditions):
    """Return the pixels of patches, without the conditions in the last columns."""
    if not n_conditions:
        return patches
    if patches.ndim != 2 or patches.shape[1] <= n_conditions:
        raise ValueError(
            f"With n_conditions={n_conditions}, X must have shape (n_samples, h * w + "
            f"{n_conditions}), with the conditions in the last columns; got an array "
            f"of shape {patches.shape}, that is n_features = {patches.shape[1]}."
        )
    return patches[:, :-n_conditions]


def check_labels(y, n_samples, n_classes):
    """Return the numbers of the labelled classes, and the labels that they have.

    Parameters
    ----------
    y : array-like of int of shape (n_samples,) or None
        Labels, -1 or NaN where unknown. Sites and vectors, which other steps of a
        pipeline use, are ignored.
    n_samples : int
        Number of samples.
    n_classes : int, "auto" or None
        Value of the parameter; None ignores `y`.

    Returns
    -------
    labels : ndarray of shape (n_samples,) or None
        Numbers from 0 on in the order of the labels, -1 where unknown; None if
        nothing is labelled.
    classes : list of int or None
        Label of each number.
    """
    if n_classes is None or y is None:
        return None, None
    shape = getattr(y, "shape", ())
    if hasattr(y, "positions") or (len(shape) == 2 and shape[1] != 1):
        return None, None
    y, is_missing = as_labels(y, "y")
    if is_missing.any():
        y = np.where(is_missing, -1, y)
    if y.dtype == object:  # numbers with missing values of pandas
        y = np.array(y.tolist())
    y = column_or_1d(y, warn=True)
    check_consistent_length(np.empty(n_samples), y)
    is_label = np.zeros(len(y), dtype=bool)
    if y.dtype.kind in "iuf":
        is_label = (y >= -1) & (y < 2.0**63) & (np.floor(y) == y)
    if not is_label.all():
        raise ValueError(
            "Unknown label type: y must contain integer labels from 0 on, and -1 or "
            f"NaN for samples without label, got values such as {y[~is_label][:3]!r}."
        )
    whole = y.astype(np.int64)
    classes = np.unique(whole[whole >= 0])
    largest = MAX_CLASSES if n_classes == "auto" else n_classes
    if len(classes) > largest:
        raise ValueError(
            f"y has {len(classes)} different labels, more than n_classes={n_classes!r}."
        )
    if not len(classes):
        return None, None
    labels = np.where(whole >= 0, np.searchsorted(classes, whole), -1)
    return labels, classes.tolist()


def check_angle(angle, n_samples, estimator):
    """Return known angles as float64, NaN where unknown; None if all are.

    Parameters
    ----------
    angle : array-like of shape (n_samples,) or None
        Directions, radians.
    n_samples : int
        Number of samples.
    estimator : RotationalVAE
        The estimator, whose encoder has to be invariant.
    """
    if angle is None:
        return None
    if estimator.encoder != "invariant":
        raise ValueError(
            f"Known angles require encoder='invariant', got encoder="
            f"{estimator.encoder!r}."
        )
    refuse_mask(angle, "angle")
    angle = column_or_1d(angle, dtype=np.float64)
    check_consistent_length(np.empty(n_samples), angle)
    if np.isinf(angle).any() or np.nanmax(np.abs(angle), initial=0) > 2 * np.pi:
        raise ValueError(
            "angle must be in radians, within 2 pi of 0, and NaN where unknown, got "
            f"values up to {np.nanmax(np.abs(angle)):.4g}."
        )
    return angle if np.isfinite(angle).any() else None


def warn_of_zero_angles(angle, stacklevel):
    """Warn if unknown angles may have been given as 0.

    Parameters
    ----------
    angle : ndarray of shape (n,) or None
        Known directions, NaN where unknown.
    stacklevel : int
        As in `warnings.warn`, counted from the caller.
    """
    if angle is None:
        return
    share = (angle == 0).mean()
    if share > _LARGEST_ZERO_SHARE:
        warnings.warn(
            f"{ZERO_ANGLES} for {share:.0%} of the patches, which are used as known "
            "directions. Unknown ones must be NaN.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def warn_of_uncertain_classes(estimators, stacklevel):
    """Warn if the number of classes or the classes of many patches are uncertain.

    Parameters
    ----------
    estimators : list of RotationalVAE
        Fitted estimators, several for an ensemble.
    stacklevel : int
        As in `warnings.warn`, counted from the caller.
    """
    if estimators[0].n_classes is None:
        return
    reasons = []
    numbers = [number for one in estimators for number in one.n_classes_range_]
    least, largest = min(numbers), max(numbers)
    if least < largest:
        reasons.append(f"the evidence for {least} to {largest} classes is similar")
    share = max(one.uncertain_class_share_ for one in estimators)
    if share > _LARGEST_UNCERTAIN_SHARE:
        reasons.append(f"{share:.0%} of the patches have no class of probability 0.9")
    if reasons:
        warnings.warn(
            f"{UNCERTAIN}: {' and '.join(reasons)}. Compare maps of the classes with "
            "other n_classes and random_state, and label a few patches of each class, "
            "fit(X, y); larger windows may help.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
