"""The columns that a transformer makes, with their names."""

import numpy as np


def transform_with_names(estimator, X):
    """Transform samples and name the columns.

    Parameters
    ----------
    estimator : estimator or Pipeline
        A fitted transformer.
    X : array-like or AtomSites of length n_samples
        What it takes.

    Returns
    -------
    values : ndarray of shape (n_samples, n_columns)
        The output.
    names : list of str
        Names of its columns; ``feature0``, … where the estimator has none.

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
        names = _names_out(pipeline_steps(estimator))
    if names is None:
        names = [f"feature{column}" for column in range(values.shape[1])]
    return values, [str(name) for name in names]


def choose_columns(names, features):
    """Choose the two columns to draw.

    Parameters
    ----------
    names : list of str
        Names of all columns.
    features : tuple of str or int or None
        Two of the names or numbers; None takes the first two latents or else the
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
        chosen = [i for i, name in enumerate(names) if name.startswith("latent")]
        if not chosen:
            pose = ("angle", "offset")
            chosen = [i for i, name in enumerate(names) if not name.startswith(pose)]
        features = chosen[:2]
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


def pipeline_steps(estimator):
    """List the steps of a pipeline, or the estimator itself.

    Parameters
    ----------
    estimator : estimator or Pipeline
        The estimator.

    Returns
    -------
    steps : list of estimator
        The steps in order.
    """
    if not hasattr(estimator, "steps"):
        return [estimator]
    return [step for _, step in estimator.steps]


def _names_out(steps):
    """Pass names through the steps; those before the first that has any may not."""
    names = None
    for step in steps:
        if hasattr(step, "get_feature_names_out"):
            names = step.get_feature_names_out(names)
    return names
