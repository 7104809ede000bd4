"""Sites as a CSV file."""

import csv
import io
import json
import os

from ..._utils.optional import import_optional
from ..._utils.writing import write_whole
from .._fields import unit_of
from .exchange import sidecar_of
from .extras import as_features, as_labels, as_parameters
from .table import to_frame

# How cells begin that a spreadsheet runs as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# Length of the name of a file in the file systems of Linux, macOS and Windows, bytes.
_MAX_NAME_BYTES = 255


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
