"""Sites from text tables and from atomap."""

import json

import numpy as np

from ..._utils.optional import import_optional
from ..._utils.writing import resolve_path
from .._flags import SiteFlag

# Columns of the table of AtomSites, by the argument that they make.
_PAIRS = {
    "positions": ("row", "col"),
    "position_std": ("row_std", "col_std"),
    "polarization": ("polarization_row", "polarization_col"),
}
_SINGLE = (
    "amplitude",
    "sigma",
    "background",
    "ellipticity",
    "ellipse_rotation",
    "significance",
    "probability",
)
_LATTICE = ("lattice_a_row", "lattice_a_col", "lattice_b_row", "lattice_b_col")
# nm per unit of length.
_UNITS_NM = {"nm": 1.0, "Å": 0.1, "A": 0.1, "pm": 1e-3, "µm": 1e3, "um": 1e3}


def read_csv(path, *, images, columns, pixel_size):
    """Read sites from a text table, see :meth:`AtomSites.from_csv`.

    Parameters
    ----------
    path : path-like
        The file.
    images : ndarray of shape (n_rows, n_cols), list of such arrays or None
        The images.
    columns : dict of str to str or None
        Names of the columns in the file by those of the table of AtomSites.
    pixel_size : float, list of (float or None) or None
        In nm; that of the file by default.

    Returns
    -------
    arguments : dict
        What AtomSites are made with.
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
    unknown = sorted(set(columns) - set(_names()))
    if unknown:
        raise ValueError(
            f"columns has names that tables of sites do not have, {unknown}; known are "
            f"{_names()}."
        )
    missing = sorted(set(columns.values()) - set(table))
    if missing:
        raise ValueError(
            f"{str(path)!r} has no columns {missing}; it has {list(table)}."
        )
    renamed = {name: table[columns.get(name, name)] for name in _known(table, columns)}
    if not {"row", "col"} <= set(renamed):
        raise ValueError(
            f"{str(path)!r} needs the columns row and col, px; it has {list(table)}. "
            'Name them: columns={"row": "y", "col": "x"}.'
        )
    _check_numbers(path, renamed)
    arguments = _arguments(renamed, len(table))
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
        What AtomSites are made with.
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


def _names():
    """Return the names of the columns that AtomSites are made of."""
    names = ["frame", "sublattice", "converged", "flags", *_SINGLE, *_LATTICE]
    return names + [name for pair in _PAIRS.values() for name in pair]


def _known(table, columns):
    """Return the names of AtomSites' columns that the table has."""
    return [name for name in _names() if columns.get(name, name) in table]


def _check_numbers(path, columns):
    """Check that columns are numbers and that positions are known."""
    for name, column in columns.items():
        if name in ("flags", "converged"):
            continue
        try:
            values = column.to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The column {name} of {str(path)!r} is not all numbers ({error})."
            ) from error
        needed = name in ("row", "col", "frame", "sublattice")
        if needed and not np.isfinite(values).all():
            line = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
            raise ValueError(
                f"The column {name} of {str(path)!r} has no finite value in row {line} "
                "of the table. Remove such rows."
            )


def _arguments(columns, n_sites):
    arguments = {
        name: np.column_stack([columns[part] for part in pair]).astype(np.float64)
        for name, pair in _PAIRS.items()
        if set(pair) <= set(columns)
    }
    arguments |= {
        name: columns[name].to_numpy(np.float64) for name in _SINGLE if name in columns
    }
    arguments |= {
        name: columns[name].to_numpy()
        for name in ("frame", "sublattice")
        if name in columns
    }
    if "converged" in columns:
        arguments["converged"] = columns["converged"].to_numpy(bool)
    if "flags" in columns:
        arguments["flags"] = _flags(columns["flags"])
    if set(_LATTICE) <= set(columns):
        vectors = np.column_stack([columns[name] for name in _LATTICE])
        arguments["lattice_vectors"] = vectors.astype(np.float64).reshape(-1, 2, 2)
    return arguments


def _flags(column):
    """Return the bits of flags that are written as text or as numbers."""
    if column.dtype.kind in "iuf":
        return column.to_numpy()
    bits = {"ok": 0, "": 0} | {flag.name.lower(): int(flag) for flag in SiteFlag}
    values = []
    for text in column.fillna("").astype(str):
        unknown = [part for part in text.split("|") if part not in bits]
        if unknown:
            raise ValueError(f"There are no flags {unknown}, only {sorted(bits)}.")
        values.append(sum(bits[part] for part in text.split("|")))
    return np.array(values, dtype=np.uint16)


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
