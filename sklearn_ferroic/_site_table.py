"""What is known of each site: names, shapes, checks, and the table for people."""

from numbers import Integral, Real

import numpy as np

from ._arrays import refuse_mask, to_numpy
from ._optional import import_optional
from ._site_flags import flags_as_text

# name -> (trailing shape, dtype, value where nothing is known)
SITE_COLUMNS = {
    "amplitude": ((), np.float64, np.nan),
    "sigma": ((), np.float64, np.nan),
    "background": ((), np.float64, np.nan),
    "ellipticity": ((), np.float64, np.nan),
    "ellipse_rotation": ((), np.float64, np.nan),
    "position_std": ((2,), np.float64, np.nan),
    "converged": ((), np.bool_, True),
    "probability": ((), np.float64, np.nan),
    "polarization": ((2,), np.float64, np.nan),
    "lattice_position": ((2,), np.float64, np.nan),
    "lattice_vectors": ((2, 2), np.float64, np.nan),
    "significance": ((), np.float64, np.nan),
    "flags": ((), np.uint16, 0),
}
PER_SITE = ("frame", "positions", "sublattice", *SITE_COLUMNS)


def as_pixel_sizes(pixel_size, n_images):
    """Check pixel sizes, one for all images or one an image.

    Parameters
    ----------
    pixel_size : float, list of (float or None) or None
        In nm.
    n_images : int
        Number of images.

    Returns
    -------
    sizes : list of (float or None)
        One an image.
    """
    if pixel_size is None or np.ndim(pixel_size) == 0:
        pixel_size = (
            pixel_size.item() if isinstance(pixel_size, np.ndarray) else pixel_size
        )
        sizes = [pixel_size] * n_images
    else:
        sizes = list(pixel_size)
    if len(sizes) != n_images:
        raise ValueError(f"Got {len(sizes)} pixel sizes for {n_images} image(s).")
    for size in sizes:
        is_length = isinstance(size, Real) and not isinstance(size, bool)
        is_length = is_length and np.isfinite(size) and size > 0
        if size is not None and not is_length:
            raise ValueError(f"A pixel size is a positive length in nm, got {size!r}.")
    return [None if size is None else float(size) for size in sizes]


def as_positions(positions):
    """Check positions.

    Parameters
    ----------
    positions : array-like of shape (n_sites, 2)
        Positions, px.

    Returns
    -------
    positions : ndarray of shape (n_sites, 2)
        The same, float64.
    """
    refuse_mask(positions, "positions")
    positions = np.array(to_numpy(positions, "positions"), dtype=np.float64)
    if positions.size == 0:
        positions = positions.reshape(0, 2)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise ValueError(
            "positions must be (row, col) pairs of shape (n_sites, 2), got shape "
            f"{positions.shape}."
        )
    if not np.isfinite(positions).all():
        raise ValueError("positions must be finite, got NaN or infinity.")
    return positions


def as_column(name, values, n_sites, trailing=(), dtype=np.intp, missing=0):
    """Check the values of all sites, or fill in what stands for none.

    Parameters
    ----------
    name : str
        What they are, for messages.
    values : array-like of shape (n_sites, *trailing) or None
        The values.
    n_sites : int
        Number of sites.
    trailing : tuple of int
        Shape of one site's value.
    dtype : dtype
        Type that the column gets.
    missing : object
        What stands for an unknown value.

    Returns
    -------
    column : ndarray of shape (n_sites, *trailing)
        The values.
    """
    shape = (n_sites, *trailing)
    if values is None:
        return np.full(shape, missing, dtype=dtype)
    refuse_mask(values, name)
    values = to_numpy(values, name)
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {values.shape}.")
    if dtype in (np.intp, np.uint16):
        if not _are_whole(values):
            raise ValueError(
                f"{name} must hold whole numbers, got {values.dtype} values."
            )
        limits = np.iinfo(dtype)
        if values.size and not (
            limits.min <= values.min() and values.max() <= limits.max
        ):
            raise ValueError(
                f"{name} must lie between {limits.min} and {limits.max}, got values "
                f"from {values.min()} to {values.max()}."
            )
    return values.astype(dtype)


def _are_whole(values):
    if values.dtype.kind not in "buif":
        return False
    with np.errstate(invalid="ignore"):
        return np.array_equal(values, values.astype(np.intp))


def as_margin(margin):
    """Check the width of a border.

    Parameters
    ----------
    margin : float
        Width, px.

    Returns
    -------
    margin : float
        The same.
    """
    if not isinstance(margin, Real) or isinstance(margin, (bool, np.bool_)):
        raise TypeError(
            f"margin must be a distance from the border in px, got {margin!r}."
        )
    if not 0 <= margin < np.inf:
        raise ValueError(
            "margin must be a distance from the border in px, not negative and "
            f"finite, got {margin!r}."
        )
    return float(margin)


def check_frame(frame, n_images):
    """Check which image each site stands in.

    Parameters
    ----------
    frame : ndarray of int, shape (n_sites,)
        Index of the image.
    n_images : int
        Number of images.
    """
    if len(frame) and not (0 <= frame.min() and frame.max() < n_images):
        raise ValueError(
            f"frame must index the {n_images} images, got values from {frame.min()} to "
            f"{frame.max()}."
        )


def as_rows(key):
    """Check an index along the sites.

    Parameters
    ----------
    key : int, slice, array-like of int or bool, or tuple of these and Ellipsis
        The index.

    Returns
    -------
    key : slice, list or ndarray
        What to index columns with.
    """
    # scikit-learn's splitters index the rows of a container by (rows, ...).
    if isinstance(key, tuple):
        if len(key) != 1 and (len(key) != 2 or key[1] is not Ellipsis):
            raise IndexError(
                "AtomSites are indexed along one axis, the sites; got the index "
                f"{key!r}. Use sites.positions for coordinates."
            )
        key = key[0]
    if isinstance(key, Integral):
        key = [key]
    elif not isinstance(key, slice):
        key = np.asarray(key)
        if key.size == 0:
            key = key.astype(np.intp)
        if key.ndim != 1:
            raise IndexError(
                "AtomSites are indexed by integers, a mask or a slice along the "
                f"sites; got an index of {key.ndim} dimensions."
            )
    return key


def join(sets):
    """Join sets of sites, see :meth:`AtomSites.concatenate`.

    Parameters
    ----------
    sets : iterable of AtomSites
        The sets.

    Returns
    -------
    images : list of ndarray of shape (n_rows, n_cols)
        Each once.
    positions : ndarray of shape (n_sites, 2)
        Positions of all.
    columns : dict
        What else AtomSites are made with.
    """
    sets = list(sets)
    if not sets:
        raise ValueError("concatenate needs at least one AtomSites, got none.")
    images, pixel_size, place, frames = [], [], {}, []
    for sites in sets:
        renumber = []
        for image, size in zip(sites.images, sites.pixel_size, strict=True):
            key = (id(image), size)
            if key not in place:
                place[key] = len(images)
                images.append(image)
                pixel_size.append(size)
            renumber.append(place[key])
        frames.append(np.array(renumber, dtype=np.intp)[sites.frame])
    joined = {
        name: np.concatenate([getattr(sites, name) for sites in sets])
        for name in PER_SITE
        if name != "frame"
    }
    positions = joined.pop("positions")
    joined |= {"frame": np.concatenate(frames), "pixel_size": pixel_size}
    return images, positions, joined


def to_frame(sites):
    """Write the sites as a pandas table, see :meth:`AtomSites.to_frame`.

    Parameters
    ----------
    sites : AtomSites
        The sites.

    Returns
    -------
    table : pandas.DataFrame
        One row a site.
    """
    pandas = import_optional("pandas", "io")
    nm = sites.pixel_size_per_site()
    calibrated = any(size is not None for size in sites.pixel_size)
    row, col = sites.positions.T
    columns = {
        "frame": sites.frame,
        "sublattice": sites.sublattice,
        "row": row,
        "col": col,
    }
    if calibrated:
        columns |= {"x_nm": col * nm, "y_nm": row * nm}
    columns |= {
        "row_std": sites.position_std[:, 0],
        "col_std": sites.position_std[:, 1],
        "amplitude": sites.amplitude,
        "sigma": sites.sigma,
        "background": sites.background,
        "ellipticity": sites.ellipticity,
        "ellipse_rotation": sites.ellipse_rotation,
        "significance": sites.significance,
        "converged": sites.converged,
        "flags": flags_as_text(sites.flags),
        "probability": sites.probability,
        "polarization_row": sites.polarization[:, 0],
        "polarization_col": sites.polarization[:, 1],
    }
    if calibrated:
        pm = sites.polarization * (1000 * nm)[:, None]
        columns |= {
            "polarization_row_pm": pm[:, 0],
            "polarization_col_pm": pm[:, 1],
        }
    columns |= {
        "lattice_a_row": sites.lattice_vectors[:, 0, 0],
        "lattice_a_col": sites.lattice_vectors[:, 0, 1],
        "lattice_b_row": sites.lattice_vectors[:, 1, 0],
        "lattice_b_col": sites.lattice_vectors[:, 1, 1],
        "unit_cell_area": sites.unit_cell_area,
        "lattice_rotation": sites.lattice_rotation,
    }
    if calibrated:
        columns["unit_cell_area_nm2"] = sites.unit_cell_area * nm**2
    return pandas.DataFrame(columns)
