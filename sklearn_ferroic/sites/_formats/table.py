"""Sites as a pandas table and a CSV file, with features, labels and parameters."""

import csv
import io
import json
import os
from collections.abc import Mapping

import numpy as np

from ..._utils.optional import import_optional
from ..._utils.validation import refuse_mask
from ..._utils.writing import write_whole
from .._fields import unit_of
from .exchange import sidecar_of

# How cells begin that a spreadsheet runs as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Length of the name of a file in the file systems of Linux, macOS and Windows, bytes.
_MAX_NAME_BYTES = 255


def to_frame(sites):
    """Return the sites as a pandas table, see :meth:`AtomSites.to_frame`.

    Parameters
    ----------
    sites : AtomSites
        The sites.

    Returns
    -------
    table : pandas.DataFrame
        One row per site.
    """
    pandas = import_optional("pandas", "io")
    columns = {}
    for field in sites.fields:
        columns |= field.table_columns(sites)
    return pandas.DataFrame(columns)


def write_csv(sites, path, *, features, labels, parameters):
    """Write the sites as a text table, see :meth:`AtomSites.to_csv`.

    Parameters
    ----------
    sites : AtomSites
        The sites.
    path : path-like
        The file.
    features : DataFrame, mapping, array-like of shape (n_sites, n_features) or None
        Further columns.
    labels : array-like of shape (n_sites,) or None
        A column ``label``.
    parameters : estimator, mapping or None
        Origin of the sites.
    """
    from ... import __version__

    _check_name(sidecar_of(path))
    table = to_frame(sites)
    columns = as_features(features, len(sites))
    labels = as_labels(labels, len(sites))
    if labels is not None and "label" in columns:
        raise ValueError(
            'features has a column "label", and labels are given too; rename one.'
        )
    if labels is not None:
        columns["label"] = labels
    taken = sorted(set(columns) & set(table))
    if taken:
        raise ValueError(
            f"features must not have names that the sites have themselves, got {taken}."
        )
    for name, values in columns.items():
        table[name] = values
    # Units of features whose names do not imply one, as those of cell_table.
    given = getattr(features, "attrs", {}).get("units", {})
    units = {name: given.get(name) or unit_of(name, sites.fields) for name in table}
    units = {name: unit for name, unit in units.items() if unit}
    header = [
        f"AtomSites, sklearn_ferroic {__version__}",
        f"pixel_size_nm: {json.dumps(sites.pixel_size)}",
        f"units and parameters: see {sidecar_of(path).name}",
    ]
    about = {
        "format": "sklearn_ferroic.AtomSites",
        "package_version": __version__,
        "units": units,
        "pixel_size_nm": sites.pixel_size,
        "metadata": sites.metadata,
        "image_shapes": [image.shape for image in sites.images],
        "parameters": json.loads(as_parameters(parameters)),
    }
    table.columns = _without_formulas(table.columns)
    is_numeric = import_optional("pandas.api.types", "io").is_numeric_dtype
    for name in table.columns:
        if not is_numeric(table[name].dtype):
            table[name] = _without_formulas(table[name])

    def write(file):
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        text.writelines(f"# {line}\n" for line in header)
        # In quotes, a # does not begin a comment.
        table.to_csv(
            text, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
        )
        text.detach()

    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, write)
    write_whole(sidecar_of(path), lambda file: file.write(text.encode()))


def _check_name(sidecar):
    """Raise ValueError, before anything is written, if a name is too long."""
    n_extra = len(os.fsencode(sidecar.name)) - _MAX_NAME_BYTES
    if n_extra > 0:
        raise ValueError(
            f"The name of the file is {n_extra} byte(s) too long: units and parameters "
            f"go to a file with .json appended, and file systems allow "
            f"{_MAX_NAME_BYTES} bytes."
        )


def _without_formulas(texts):
    """Return texts, with an apostrophe before those that a spreadsheet would run."""
    return [f"'{text}" if _is_formula(text) else text for text in texts]


def _is_formula(text):
    """Return whether a spreadsheet would interpret a text as a formula."""
    if not str(text).startswith(_FORMULA):
        return False
    try:
        float(text)
    except ValueError:
        return True
    return False


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
    refuse_mask(labels, "labels")
    return _as_column("The column of labels", np.asarray(labels), n_sites)


def _as_column(name, values, n_sites):
    if values.shape != (n_sites,):
        raise ValueError(
            f"{name} must have one value per site, shape ({n_sites},), got shape "
            f"{values.shape}."
        )
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values):
        values = values.astype(str)
    if values.dtype.kind not in "biufUT":
        raise ValueError(
            f"{name} must contain numbers, truth values or text, got dtype "
            f"{values.dtype}."
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
