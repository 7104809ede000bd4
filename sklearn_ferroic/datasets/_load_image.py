"""Images from files, with their pixel size."""

from numbers import Integral, Real
from os import PathLike
from pathlib import Path

from sklearn.utils._param_validation import validate_params

from .._utils.validation import Interval
from ._child_process import load_in_child
from ._files.calibration import (
    are_equal,
    pixel_sides,
    square_pixel,
    warn_of_reversed_axes,
)
from ._files.hdf5 import check_hdf5, has_emd_arrays, is_hyperspy, read_hdf5
from ._files.microscope import read_microscope, suffixes
from ._files.nion import read_nion_archive
from ._files.pictures_and_arrays import read_numpy, read_picture
from ._files.signals import to_grey, to_square_pixels
from ._files.tiff import read_tiff
from ._files.velox import has_spectrum_images, read_velox
from ._loaded_image import LoadedImage, describe

_READERS = {
    ".tif": read_tiff,
    ".tiff": read_tiff,
    ".png": read_picture,
    ".jpg": read_picture,
    ".jpeg": read_picture,
    ".bmp": read_picture,
    ".npy": read_numpy,
    ".npz": read_numpy,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
    ".hdf": read_hdf5,
    ".hf5": read_hdf5,
    ".nhdf": read_hdf5,
    ".ndata": read_nion_archive,
    ".ndata1": read_nion_archive,
}
_WITH_SIGNALS = (read_microscope, read_tiff, read_hdf5, read_velox)
_EMD_SUFFIXES = {".emd", ".de5"}
# Formats that are folders.
_FOLDERS = {".zspy"}
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Largest array that is read by default.
_MAX_BYTES = 2**33


@validate_params(
    {
        "path": [str, PathLike],
        "dataset": [str, None],
        "signal": [str, Interval(Integral, 0, None, closed="left"), None],
        "pixel_size": [Interval(Real, 0, None, closed="neither"), None],
        "resample": ["boolean"],
        "max_bytes": [Interval(Integral, 1, None, closed="left")],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
    },
    prefer_skip_nested_validation=True,
)
def load_image(
    path,
    *,
    dataset=None,
    signal=None,
    pixel_size=None,
    resample=False,
    max_bytes=_MAX_BYTES,
    time_limit=None,
):
    """Load an image or a stack of images with its pixel size.

    The file's suffix determines the format. TIFF, PNG, JPEG, BMP, .npy, .npz and Nion
    Swift's .ndata1 are always read; HDF5 (.h5, .hf5, .nhdf, NCEM's .emd) and all
    that RosettaSciIO reads (.dm3, .dm4, .emd, .ser, .hspy, .mrc, ...) need the ``io``
    extra, ``pip install "sklearn-ferroic[io]"``.

    Parameters
    ----------
    path : str or path-like
        The file.

    dataset : str, default=None
        Name of the dataset in an HDF5 file, with its groups
        (``"group/image"``), or of the array in an .npz file. If None, the file
        must contain only one two-dimensional image, or only one stack. With a
        name, HDF5 based microscope formats (.hspy, .emd) are read as plain
        HDF5.

    signal : str or int, default=None
        Title of the image in a microscope, HDF5 or TIFF file with several, or its
        number beginning with 0. Channels of a TIFF are images of their own.

    pixel_size : float, default=None
        Size of a pixel, nm, instead of the file's own.

    resample : bool, default=False
        Whether an image whose pixels are not square is resampled to square ones
        of the shorter side, by a cubic spline; it is rejected otherwise.

    max_bytes : int, default=8 GiB
        Most bytes that an array of the file may have. The size that the file declares
        is compared before anything is decompressed: a small file may unpack to more
        than fits into memory.

    time_limit : float, default=None
        Seconds after which reading is given up. The file is then read in a process of
        its own, which a damaged file may hang or crash without harm; that takes a
        second or two more. By default it is read in this process, however long that
        takes.

    Returns
    -------
    data : LoadedImage
        A :class:`~sklearn.utils.Bunch` that can be cropped: ``data[50:300, 50:300]``
        has the same entries. Rows and columns are the last two indices, also of a
        stack, whose frames come before them or alone: ``data[3]``, ``data[:10]``.

        image : ndarray of shape (n_rows, n_cols) or (n_images, n_rows, n_cols)
            In the stored data type, or float if it was resampled. Colour images
            whose channels are equal lose their colour axis. Axes are brought into this
            order by their names and types.
        pixel_size : float or None
            nm per pixel, None if the file does not contain it.
        metadata : dict
            Further content of the file; the keys depend on the format. Locators store
            it in the `metadata` of :class:`AtomSites`. A crop adds ``crop``.
        path : str
            The file.
        description : str
            Description of the image.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is damaged or of an unknown format, contains no image or
        several with none chosen, has colours, complex numbers or nothing but
        NaN, refers to other files, declares more than `max_bytes`, or if its pixels
        are not square and neither `pixel_size` nor `resample` is given.
    TimeoutError
        If reading takes longer than `time_limit`.
    ImportError
        If reading the format needs a package that is not installed.

    See Also
    --------
    make_ferroic_image : Generate an image with ground truth.
    sklearn_ferroic.AtomLocator : Accepts the result, and images of HyperSpy,
        xarray, sidpy and quantem.

    Notes
    -----
    A pixel size is used only if the file contains a unit of length: from
    TIFF tags of ImageJ, OME, DigitalMicrograph, FEI, Zeiss, Olympus, TVIPS and JEOL,
    the axes of microscope files, and, as in the data published with [1]_, the product
    of the HDF5 datasets ``Scale`` and ``Units(m)`` (metres) next to the image,
    if that lies between 0.1 pm and 100 nm. The plain resolution of a TIFF
    is used if pixels are below 1 µm; coarser ones are meant for printers.
    A number without a unit is reported in the description, not used.

    An axis with a negative scale is not reversed: the image is used as it is stored,
    with a warning, and angles refer to its rows and columns.

    Nothing is ever unpickled, and .zspy files that need it are rejected. HDF5 files
    with external links, external storage or virtual datasets, which would read other
    files of the user, are rejected; the parts of an OME-TIFF in other files are
    ignored. Set `time_limit` for files of unknown origin.
    RosettaSciIO's netCDF reader is not used because it evaluates text of the file
    as Python.

    References
    ----------
    .. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants
       from atomically resolved STEM images", 2020.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_ferroic.datasets import load_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "image.npy"
    ...     np.save(path, np.eye(64))
    ...     data = load_image(path, pixel_size=0.02)
    >>> data.image.shape, data.pixel_size
    ((64, 64), 0.02)
    """
    path = Path(path).expanduser()
    _check_path(path)
    if time_limit is not None:
        options = {
            "dataset": dataset,
            "signal": signal,
            "pixel_size": pixel_size,
            "resample": resample,
            "max_bytes": max_bytes,
        }
        return LoadedImage(**load_in_child(path, options, time_limit))
    if resample and pixel_size is not None:
        raise ValueError(
            "resample=True needs the sides of the file's own pixels, and pixel_size= "
            "takes their place. Pass one of the two."
        )
    content = _read(path, dataset, signal, max_bytes)
    image = to_grey(content.image, path, is_arranged=content.is_arranged)
    is_colour = image.ndim < content.image.ndim and content.image.shape[-1] > 1
    warn_of_reversed_axes(content.axes, repr(path.name))
    remark = "pixel size as given"
    if pixel_size is None:
        image, pixel_size, remark = _calibrate(image, content.axes, path, resample)
    name = path.name
    if content.title not in ("", name):
        name = f"{name}, {content.title}"
    return LoadedImage(
        image=image,
        pixel_size=None if pixel_size is None else float(pixel_size),
        metadata=content.metadata,
        path=str(path),
        description=describe(name, image, pixel_size, remark, is_colour),
    )


def load_mask(path):
    """Read the mask of an image, which may contain truth values, from a file.

    Parameters
    ----------
    path : path-like
        File of an image that `load_image` reads, or of truth values.

    Returns
    -------
    mask : ndarray of shape (n_rows, n_cols)
        Values above 0 are those of pixels that are used.
    """
    path = Path(path).expanduser()
    _check_path(path)
    content = _read(path, None, None, _MAX_BYTES)
    if content.image.dtype.kind == "b":
        return content.image.squeeze()
    return to_grey(content.image, path, is_arranged=content.is_arranged)


def _read(path, dataset, signal, max_bytes):
    """Return the contents of a file as a Signal."""
    is_hdf5 = _is_hdf5(path)
    if is_hdf5:
        check_hdf5(path, max_bytes)
    read = _reader_of(path, dataset, is_hdf5)
    _check_choice(path, read, dataset, signal)
    return read(path, dataset, signal, max_bytes)


def _check_path(path):
    if not path.exists():
        raise FileNotFoundError(f"There is no file {str(path)!r}.")
    if path.is_dir() and path.suffix.lower() not in _FOLDERS:
        raise ValueError(f"{str(path)!r} is a folder. Pass the file of one image.")
    if not (path.is_file() or path.is_dir()):
        raise ValueError(f"{str(path)!r} is a device, not a file that can be read.")


def _calibrate(image, axes, path, resample):
    """Return the image with square pixels, their side and a note."""
    sides, _ = pixel_sides(axes)
    if resample and sides is not None and not are_equal(*sides):
        image, side = to_square_pixels(image, *sides)
        row, col = sides
        return image, side, f"resampled from {row:.6g} nm x {col:.6g} nm"
    remedy = (
        "Load it with resample=True, or with pixel_size= to take the pixels as square."
    )
    return image, *square_pixel(axes, repr(path.name), remedy)


def _reader_of(path, dataset, hdf5):
    """Choose the reader by suffix and, among HDF5 files, by content and choice."""
    suffix = path.suffix.lower()
    if hdf5 and dataset is not None:
        return read_hdf5
    if suffix == ".hdf5" and hdf5 and is_hyperspy(path):
        return read_microscope
    if suffix in _EMD_SUFFIXES and hdf5:
        if has_spectrum_images(path):
            return read_velox
        return read_hdf5 if has_emd_arrays(path) else read_microscope
    if suffix in _READERS:
        return _READERS[suffix]
    known = suffixes()
    if suffix in known:
        return read_microscope
    if hdf5:
        return read_hdf5
    raise ValueError(
        f"{str(path)!r} has a suffix that no reader supports. Supported are "
        f"{', '.join(sorted(known | set(_READERS)))}, and HDF5 under any name."
    )


def _is_hdf5(path):
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE


def _check_choice(path, read, dataset, signal):
    """Raise an error for a selection that the format does not support."""
    if dataset is not None and read is not read_hdf5 and path.suffix.lower() != ".npz":
        raise ValueError(
            f"dataset={dataset!r} chooses in HDF5 and .npz files; {path.name!r} is "
            "neither."
        )
    if signal is not None and read not in _WITH_SIGNALS:
        raise ValueError(
            f"signal={signal!r} chooses in microscope, HDF5 and TIFF files; "
            f"{path.name!r} is none of these. Use dataset= for .npz files."
        )
    if signal is not None and dataset is not None:
        raise ValueError(
            f"Both signal={signal!r} and dataset={dataset!r} choose an image. Pass one "
            "of the two."
        )
