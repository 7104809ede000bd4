"""Columns of features and image windows from the output of an estimator."""

import numpy as np

from ..._utils.pose_columns import latent_columns
from ..._utils.transformers import feature_names, list_steps
from ..._utils.validation import resolve_patch_shape


def transform_with_names(estimator, X):
    """Transform samples and return the names of the columns.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A fitted transformer.
    X : array-like or AtomSites of length n_samples
        Input of the estimator.

    Returns
    -------
    values : ndarray of shape (n_samples, n_columns)
        The output.
    names : list of str
        Names of its columns; ``feature0``, … if the estimator has none.

    Raises
    ------
    TypeError
        If the estimator does not transform.
    """
    if not hasattr(estimator, "transform"):
        raise TypeError(
            f"{type(estimator).__name__} has no transform. Of a pipeline that ends in "
            "a clusterer give the part before it: pipeline[:-1]."
        )
    output = estimator.transform(X)
    values = np.asarray(output)
    if values.ndim != 2:
        raise TypeError(
            f"{type(estimator).__name__} must transform to rows of features, got "
            f"output of shape {values.shape}."
        )
    names = getattr(output, "columns", None)
    if names is None:
        names = feature_names(*list_steps(estimator))
    if not len(names):
        names = [f"feature{column}" for column in range(values.shape[1])]
    return values, [str(name) for name in names]


def choose_columns(names, features):
    """Choose the two columns to draw.

    Parameters
    ----------
    names : list of str
        Names of all columns.
    features : tuple of str or int or None
        Two of the names or numbers; None selects the first two latents or else the
        first two that are neither angle nor offset.

    Returns
    -------
    numbers : list of int
        The two columns.

    Raises
    ------
    ValueError
        If `features` are not two of the columns, or there are no two to choose.
    """
    if features is None:
        features = latent_columns(names)[:2]
        if len(features) < 2:
            raise ValueError(
                f"Two latents are drawn against each other, and there are {names}. "
                "Choose two of them by features=."
            )
    numbers = [names.index(f) if f in names else f for f in features]
    known = [number in range(len(names)) for number in numbers]
    if len(numbers) != 2 or not all(known):
        raise ValueError(
            f"features must be names or numbers of two of the columns {names}, got "
            f"{tuple(features)}."
        )
    return numbers


def as_images(rows, patch_shape=None):
    """Reshape rows of pixels to images.

    Parameters
    ----------
    rows : array-like of shape (n, h * w) or (n, h, w)
        The windows.
    patch_shape : tuple of (int, int), default=None
        Height and width; the most nearly square ones by default.

    Returns
    -------
    images : ndarray of shape (n, h, w)
        The images.
    """
    rows = np.asarray(rows)
    if rows.ndim not in (2, 3):
        raise ValueError(
            "Windows must have shape (n, height * width) or (n, height, width), got "
            f"shape {rows.shape}."
        )
    return rows.reshape(len(rows), *resolve_patch_shape(rows, patch_shape))
