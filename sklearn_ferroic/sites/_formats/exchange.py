"""Sites from text tables and from atomap."""

import json

import numpy as np

from ..._utils.optional import import_optional
from ..._utils.writing import resolve_path

# Columns whose values must be known.
_NEEDED = ("row", "col", "frame", "sublattice")
# nm per unit of length.
_UNITS_NM = {"nm": 1.0, "Å": 0.1, "A": 0.1, "pm": 1e-3, "µm": 1e3, "um": 1e3}


def read_csv(path, fields, *, images, columns, pixel_size):
    """Read sites from a text table, see :meth:`AtomSites.from_csv`.

    Parameters
    ----------
    path : path-like
        The file.
    fields : tuple of SiteField
        Schema of the sites.
    images : ndarray of shape (n_rows, n_cols), list of such arrays or None
        The images.
    columns : dict of str to str or None
        Names of the columns in the file by those of the table of AtomSites.
    pixel_size : float, list of (float or None) or None
        In nm; that of the file by default.

    Returns
    -------
    arguments : dict
        Arguments of AtomSites.
    table : pandas.DataFrame
        The table as it was read.
    """
    pandas = import_optional("pandas", "io")
    path = resolve_path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    try:
        head = _read_head(path)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is not text in UTF-8 and therefore not a table ({error})."
        ) from error
    try:
        table = pandas.read_csv(path, comment="#", **_exact_floats(pandas))
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} could not be read as a table ({type(error).__name__}: "
            f"{error})."
        ) from error
    columns = {} if columns is None else dict(columns)
    fields = [field for field in fields if _is_read(field)]
    names = [name for field in fields for name in field.columns]
    unknown = sorted(set(columns) - set(names))
    if unknown:
        raise ValueError(
            f"columns has names that tables of sites do not have, {unknown}; known are "
            f"{names}."
        )
    missing = sorted(set(columns.values()) - set(table))
    if missing:
        raise ValueError(
            f"{str(path)!r} has no columns {missing}; it has {list(table)}."
        )
    sources = {name: columns.get(name, name) for name in names}
    renamed = {name: table[given] for name, given in sources.items() if given in table}
    if not {"row", "col"} <= set(renamed):
        raise ValueError(
            f"{str(path)!r} needs the columns row and col, px; it has {list(table)}. "
            'Name them: columns={"row": "y", "col": "x"}.'
        )
    _check_numbers(path, fields, renamed)
    arguments = _arguments(fields, renamed, len(table))
    if images is None:
        images = _blank_images(arguments, head.get("image_shapes"))
    if pixel_size is None:
        pixel_size = head.get("pixel_size_nm")
    arguments |= {"images": images, "pixel_size": pixel_size}
    return arguments | _metadata(head, images), table


def _metadata(head, images):
    """Return the metadata in the JSON file, if they are those of the images."""
    metadata = head.get("metadata")
    n_images = 1 if getattr(images, "ndim", None) == 2 else len(images)
    return {"metadata": metadata} if metadata and len(metadata) == n_images else {}


def from_atomap(lattice):
    """Return the arguments of AtomSites, see :meth:`AtomSites.from_atomap`.

    Parameters
    ----------
    lattice : atomap Atom_Lattice, Sublattice or list of Sublattice
        The columns.

    Returns
    -------
    arguments : dict
        Arguments of AtomSites.
    """
    sublattices = getattr(lattice, "sublattice_list", lattice)
    if hasattr(sublattices, "atom_list"):
        sublattices = [sublattices]
    sublattices = list(sublattices) if hasattr(sublattices, "__iter__") else []
    if not sublattices or not all(hasattr(one, "atom_list") for one in sublattices):
        raise TypeError(
            "from_atomap takes an atomap Atom_Lattice, Sublattice or list of "
            f"Sublattices, got {type(lattice).__name__}."
        )
    image = getattr(lattice, "image", None)
    image = np.asarray(sublattices[0].image if image is None else image)
    rows = {name: [] for name in ("positions", "sublattice", "amplitude", "sigma")}
    rows |= {"ellipticity": [], "ellipse_rotation": []}
    for number, sublattice in enumerate(sublattices):
        for atom in sublattice.atom_list:
            rows["positions"].append((atom.pixel_y, atom.pixel_x))
            rows["sublattice"].append(number)
            rows["amplitude"].append(_fitted(atom, "amplitude_gaussian"))
            wide, narrow = abs(atom.sigma_x), abs(atom.sigma_y)
            angle = atom.rotation
            if wide < narrow:
                wide, narrow, angle = narrow, wide, angle + np.pi / 2
            known = narrow > 0 and np.isfinite(rows["amplitude"][-1])
            rows["sigma"].append(np.sqrt(wide * narrow) if known else np.nan)
            rows["ellipticity"].append(wide / narrow if known else np.nan)
            # Ellipses are the same after half a turn.
            angle = (angle + np.pi / 2) % np.pi - np.pi / 2
            rows["ellipse_rotation"].append(angle if known else np.nan)
    size = float(getattr(sublattices[0], "pixel_size", 1.0))
    unit = str(getattr(sublattices[0], "units", "pixel"))
    pixel_size = size * _UNITS_NM[unit] if unit in _UNITS_NM else None
    return rows | {"images": image, "pixel_size": pixel_size}


def _exact_floats(pandas):
    """Return the options with which all bits of a float are read."""
    # pandas 3.1 reads them by default and deprecates the option.
    release = tuple(int(part) for part in pandas.__version__.split(".")[:2])
    return {} if release >= (3, 1) else {"float_precision": "round_trip"}


def sidecar_of(path):
    """Return the path of the JSON file that goes with a text table."""
    path = resolve_path(path)
    return path.with_name(path.name + ".json")


def _fitted(atom, name):
    """Return a value of an atom, NaN if it is unknown."""
    value = getattr(atom, name, None)
    return np.nan if value is None or not np.isfinite(value) else float(value)


def _read_head(path):
    """Return the metadata in the comments and the JSON file of a table."""
    head = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                break
            key, _, value = line[1:].strip().partition(": ")
            try:
                head[key] = json.loads(value)
            except json.JSONDecodeError:
                continue
    sidecar = sidecar_of(path)
    if sidecar.exists():
        try:
            head |= json.loads(sidecar.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{str(sidecar)!r} is not a JSON file: {error}."
            ) from error
    return head


def _is_read(field):
    """Return whether the values of a field can be read from its columns."""
    is_reversible = field.to_text is None or field.from_text is not None
    return bool(field.columns) and is_reversible


def _check_numbers(path, fields, columns):
    """Check that columns are numbers and that positions are known."""
    others = [
        name
        for field in fields
        for name in field.columns
        if field.from_text is not None or np.issubdtype(field.dtype, np.bool_)
    ]
    for name, column in columns.items():
        if name in others:
            continue
        try:
            values = column.to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The column {name} of {str(path)!r} is not all numbers ({error})."
            ) from error
        if name in _NEEDED and not np.isfinite(values).all():
            line = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
            raise ValueError(
                f"The column {name} of {str(path)!r} has no finite value in row {line} "
                "of the table. Remove such rows."
            )


def _arguments(fields, columns, n_sites):
    """Return the values of the fields for which the table has all columns."""
    arguments = {}
    for field in fields:
        if set(field.columns) <= set(columns):
            parts = [_values(field, columns[name]) for name in field.columns]
            shape = (n_sites, *field.shape)
            arguments[field.name] = np.column_stack(parts).reshape(shape)
    return arguments


def _values(field, column):
    """Return the values in a column of a field; empty cells are missing values."""
    if field.from_text is not None and column.dtype.kind not in "iuf":
        return field.from_text(column.fillna("").astype(str).tolist())
    if np.issubdtype(field.dtype, np.floating):
        return column.to_numpy(np.float64)
    is_empty = column.isna().to_numpy()
    if not is_empty.any():
        return column.to_numpy()
    values = column.astype(object).to_numpy(copy=True)
    values[is_empty] = field.missing
    return np.array(values.tolist())


def _blank_images(arguments, shapes):
    """Return images of zeros that contain all sites."""
    positions = arguments["positions"]
    frame = arguments.get("frame", np.zeros(len(positions), int))
    n_images = 1 + int(max(frame, default=0))
    if shapes is None or len(shapes) < n_images:
        shapes = [
            np.ceil(positions[frame == k].max(axis=0, initial=0)).astype(int) + 1
            for k in range(n_images)
        ]
    return [np.zeros(tuple(shape), np.float32) for shape in shapes]
