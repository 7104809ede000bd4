"""Checks of the features, labels and parameters that files of sites may contain."""

import json
from collections.abc import Mapping

import numpy as np


def as_features(features, n_sites):
    """Check features and name their columns.

    Parameters
    ----------
    features : DataFrame, mapping, array-like of shape (n_sites, n_features) or None
        One row per site.
    n_sites : int
        Number of sites.

    Returns
    -------
    columns : dict of str to ndarray of shape (n_sites,)
        Numbers, truth values or text; ``feature0``, ... where they have no names.
    """
    if features is None:
        return {}
    if hasattr(features, "columns") or isinstance(features, Mapping):
        names = list(getattr(features, "columns", features))
        columns = {str(name): np.asarray(features[name]) for name in names}
        if len(columns) != len(names):
            raise ValueError(f"features must have names that differ, got {names}.")
    else:
        table = np.asarray(features)
        if table.ndim != 2:
            raise ValueError(
                "features must be a table of shape (n_sites, n_features), got shape "
                f"{table.shape}."
            )
        columns = {f"feature{i}": column for i, column in enumerate(table.T)}
    return {
        name: _as_column(f"The feature {name!r}", column, n_sites)
        for name, column in columns.items()
    }


def as_labels(labels, n_sites):
    """Check labels.

    Parameters
    ----------
    labels : array-like of shape (n_sites,) or None
        One per site.
    n_sites : int
        Number of sites.

    Returns
    -------
    labels : ndarray of shape (n_sites,) or None
        The labels.
    """
    if labels is None:
        return None
    return _as_column("The column of labels", np.asarray(labels), n_sites)


def _as_column(name, values, n_sites):
    if values.shape != (n_sites,):
        raise ValueError(
            f"{name} must have one value a site, shape ({n_sites},), got shape "
            f"{values.shape}."
        )
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values):
        values = values.astype(str)
    if values.dtype.kind not in "biufUT":
        raise ValueError(
            f"{name} must hold numbers, truth values or text, got dtype {values.dtype}."
        )
    return values


def as_parameters(parameters):
    """Return the parameters of an estimator or mapping as JSON.

    Parameters
    ----------
    parameters : estimator, mapping or None
        For an estimator, all its parameters, including those of its steps.

    Returns
    -------
    text : str
        JSON; values of other types are replaced by their repr.
    """
    if parameters is None:
        return "{}"
    if hasattr(parameters, "get_params"):
        own = {"estimator": type(parameters).__name__}
        parameters = own | parameters.get_params()
    if not isinstance(parameters, Mapping):
        raise TypeError(
            "parameters must be an estimator or a mapping, got "
            f"{type(parameters).__name__}."
        )
    return json.dumps({str(key): parameters[key] for key in parameters}, default=_plain)


def _plain(value):
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else repr(value)
