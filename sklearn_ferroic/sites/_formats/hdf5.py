"""Sites as an HDF5 file that contains everything, including the images."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

from sklearn.utils import Bunch

from ..._optional import import_optional
from .._fields import unit_of
from .._shared_images import as_image_list, digest
from .extras import as_features, as_labels, as_parameters

_FORMAT = "sklearn_ferroic.AtomSites"
# Version of the layout; files with another major version are rejected.
_FORMAT_VERSION = "1.0"


def write_hdf5(sites, path, *, images, features, labels, parameters):
    """Write the sites to an HDF5 file, see :meth:`AtomSites.to_hdf5`.

    Parameters
    ----------
    sites : AtomSites
        The sites.
    path : path-like
        The file. An existing one is replaced once writing has succeeded.
    images : bool
        Whether to store the images.
    features : DataFrame, mapping, array-like of shape (n_sites, n_features) or None
        Stored with the sites.
    labels : array-like of shape (n_sites,) or None
        Stored with the sites.
    parameters : estimator, mapping or None
        Origin of the sites.
    """
    h5py = import_optional("h5py", "io")
    features = as_features(features, len(sites))
    labels = as_labels(labels, len(sites))
    parameters = as_parameters(parameters)
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(partial, "w") as file:
            _write_head(file, parameters)
            _write_images(file.create_group("images"), sites, images)
            group = file.create_group("sites")
            for field in sites.fields:
                _write(h5py, group, field.name, getattr(sites, field.name))
                group[field.name].attrs.update({"unit": field.unit, **field.attributes})
            group = file.create_group("features", track_order=True)
            for name, values in features.items():
                _write(h5py, group, name.replace("/", _SLASH), values)
            if labels is not None:
                _write(h5py, file, "labels", labels)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


# HDF5 interprets a slash as a group.
_SLASH = "\u2215"


def _write_head(file, parameters):
    from ... import __version__

    file.attrs["format"] = _FORMAT
    file.attrs["format_version"] = _FORMAT_VERSION
    file.attrs["package"] = "sklearn_ferroic"
    file.attrs["package_version"] = __version__
    file.attrs["parameters"] = parameters
    file.attrs["conventions"] = (
        "positions and vectors are (row, col), pixel centres at integers; angles are "
        "arctan2(d_row, d_col) in radians; NaN where a value is unknown"
    )


def _write_images(group, sites, with_pixels):
    for number, (image, size) in enumerate(
        zip(sites.images, sites.pixel_size, strict=True)
    ):
        if with_pixels:
            item = group.create_dataset(
                str(number), data=image, compression="gzip", shuffle=True
            )
        else:
            item = group.create_group(str(number))
        item.attrs["shape"] = image.shape
        item.attrs["sha256"] = digest(image)
        if size is not None:
            item.attrs["pixel_size_nm"] = size


def _write(h5py, group, name, values):
    if values.dtype.kind in "UT":
        values = values.astype(object)
        item = group.create_dataset(name, data=values, dtype=h5py.string_dtype())
    else:
        item = group.create_dataset(name, data=values)
    item.attrs["unit"] = unit_of(name)


def read_hdf5(path, images, fields):
    """Read sites, features and labels, see :meth:`AtomSites.from_hdf5`.

    Parameters
    ----------
    path : path-like
        The file.
    images : ndarray of shape (n_rows, n_cols), list of such arrays or None
        The images, if the file holds none.
    fields : tuple of SiteField
        Schema of the sites.

    Returns
    -------
    arguments : dict
        Arguments of AtomSites.
    extras : Bunch
        ``features``, ``labels``, ``parameters`` and ``package_version``.
    """
    h5py = import_optional("h5py", "io")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    with _reading(path), h5py.File(path, "r") as file:
        head = {key: file.attrs.get(key) for key in ("format", "format_version")}
    if head["format"] != _FORMAT:
        raise ValueError(
            f"{str(path)!r} is an HDF5 file without AtomSites: to_hdf5 has not written "
            "it. Read images with sklearn_ferroic.datasets.load_image."
        )
    if str(head["format_version"]).split(".")[0] != _FORMAT_VERSION.split(".")[0]:
        raise ValueError(
            f"{str(path)!r} has AtomSites in the format {head['format_version']}, and "
            f"this version of sklearn_ferroic knows {_FORMAT_VERSION}."
        )
    with _reading(path), h5py.File(path, "r") as file:
        stored = [file["images"][str(i)] for i in range(len(file["images"]))]
        pixels = [_image(item) for item in stored]
        marks = [(tuple(item.attrs["shape"]), item.attrs["sha256"]) for item in stored]
        sizes = [item.attrs.get("pixel_size_nm") for item in stored]
        # Fields that an older version did not write are unknown.
        columns = {name: _read(h5py, item) for name, item in file["sites"].items()}
        columns = {f.name: columns[f.name] for f in fields if f.name in columns}
        positions = columns.pop("positions")
        extras = _read_extras(h5py, file)
    images = _match_images(path, images, pixels, marks)
    return {"images": images, "positions": positions, "pixel_size": sizes, **columns}, (
        extras
    )


def _read_extras(h5py, file):
    features = {
        name.replace(_SLASH, "/"): _read(h5py, item)
        for name, item in file["features"].items()
    }
    return Bunch(
        features=features,
        labels=_read(h5py, file["labels"]) if "labels" in file else None,
        parameters=json.loads(file.attrs["parameters"]),
        package_version=file.attrs["package_version"],
    )


def _read(h5py, item):
    if h5py.check_string_dtype(item.dtype):
        return item.asstr()[()].astype(str)
    return item[()]


def _image(item):
    """Return the pixels as a read-only array, None if they are not stored."""
    if not hasattr(item, "dtype"):
        return None
    image = item[()]
    image.setflags(write=False)
    return image


def _match_images(path, given, stored, marks):
    """Return the stored images, or the given ones if they match the sites."""
    if all(image is not None for image in stored):
        if given is not None:
            raise ValueError(f"{str(path)!r} holds its images; leave images= out.")
        return stored
    if given is None:
        raise ValueError(
            f"{str(path)!r} was written without images. Give them: images=[...], of "
            f"shape {', '.join(str(tuple(map(int, shape))) for shape, _ in marks)}."
        )
    given = as_image_list(given)
    if len(given) != len(marks):
        raise ValueError(
            f"The sites of {str(path)!r} stand in {len(marks)} image(s), got "
            f"{len(given)}."
        )
    for number, (image, (shape, known)) in enumerate(zip(given, marks, strict=True)):
        if image.shape != shape or digest(image) != known:
            raise ValueError(
                f"Image {number} of shape {image.shape} is not that of the sites in "
                f"{str(path)!r}, of shape {tuple(map(int, shape))}."
            )
    return given


@contextmanager
def _reading(path):
    """Convert all errors of reading a bad file to a ValueError."""
    try:
        yield
    except PermissionError:
        raise
    except Exception as error:
        raise ValueError(
            f"{str(path)!r} could not be read as AtomSites ({type(error).__name__}: "
            f"{error}). Is it damaged, or no HDF5 file?"
        ) from error
