"""The sample set that the stages share: one row is one atomic column."""

from numbers import Integral, Real

import numpy as np

from ._optional import import_optional

# name -> (trailing shape, dtype, value where nothing is known)
_SITE_COLUMNS = {
    "amplitude": ((), np.float64, np.nan),
    "sigma": ((), np.float64, np.nan),
    "background": ((), np.float64, np.nan),
    "position_std": ((2,), np.float64, np.nan),
    "converged": ((), np.bool_, True),
    "polarization": ((2,), np.float64, np.nan),
    "lattice_position": ((2,), np.float64, np.nan),
}
_PER_SITE = ("frame", "positions", "sublattice", *_SITE_COLUMNS)


class AtomSites:
    """Atomic columns of one or several images, the ``X`` of the later stages.

    A sample is one atomic column, so scikit-learn's splitters and searches
    divide columns, not images. The images are held by reference: indexing makes
    a smaller set over the same arrays and never copies a pixel.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_cols) or list of such arrays
        The images in which the columns stand; kept as float32.

    positions : array-like of shape (n_sites, 2)
        Column positions ``(row, col)`` in pixels, pixel centres at integers.

    frame : array-like of shape (n_sites,), default=None
        Index into `images` of each site; all 0 if None.

    sublattice : array-like of shape (n_sites,), default=None
        Sublattice of each site, 0 = brightest; all 0 if None.

    pixel_size : float, list of (float or None) or None, default=None
        Pixel size in nm, one for all or one an image; None where it is unknown.

    amplitude : array-like of shape (n_sites,), default=None
        Fitted peak height over the background, in units of the image.

    sigma : array-like of shape (n_sites,), default=None
        Fitted Gaussian width, px.

    background : array-like of shape (n_sites,), default=None
        Fitted local background, in units of the image.

    position_std : array-like of shape (n_sites, 2), default=None
        Standard error of the position ``(row, col)``, px.

    converged : array-like of bool of shape (n_sites,), default=None
        Whether the column's fit is trustworthy; all True if None.

    polarization : array-like of shape (n_sites, 2), default=None
        Site minus the centroid of its nearest neighbours of the other
        sublattice, ``(row, col)`` in px; NaN where that is not defined.

    lattice_position : array-like of shape (n_sites, 2), default=None
        Where the ideal, undistorted lattice of the image puts the column, px;
        NaN where the column has no place in it.

    Attributes
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images, float32.

    pixel_size : list of (float or None)
        Pixel size of each image, nm.

    shape : tuple
        ``(n_sites, 2)``.

    See Also
    --------
    AtomLocator : Finds and fits the columns of images.
    PatchExtractor : Cuts a window of the image around every site.

    Notes
    -----
    Per-site values that are not given read NaN (`converged`: True). All
    arguments after `positions` are attributes of the same name.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> sites = AtomSites(np.zeros((32, 32)), [[8, 8], [8, 24.5]], pixel_size=0.02)
    >>> len(sites), sites.shape
    (2, (2, 2))
    >>> sites[1:].positions
    array([[ 8. , 24.5]])
    """

    def __init__(
        self,
        images,
        positions,
        *,
        frame=None,
        sublattice=None,
        pixel_size=None,
        amplitude=None,
        sigma=None,
        background=None,
        position_std=None,
        converged=None,
        polarization=None,
        lattice_position=None,
    ):
        self.images = _as_image_list(images)
        self.pixel_size = _as_pixel_sizes(pixel_size, len(self.images))
        self.positions = _as_positions(positions)
        n_sites = len(self.positions)
        self.frame = _as_column("frame", frame, n_sites, (), np.intp, 0)
        self.sublattice = _as_column("sublattice", sublattice, n_sites, (), np.intp, 0)
        if n_sites and not (
            0 <= self.frame.min() and self.frame.max() < len(self.images)
        ):
            raise ValueError(
                f"frame must index the {len(self.images)} images, got values from "
                f"{self.frame.min()} to {self.frame.max()}."
            )
        given = {
            "amplitude": amplitude,
            "sigma": sigma,
            "background": background,
            "position_std": position_std,
            "converged": converged,
            "polarization": polarization,
            "lattice_position": lattice_position,
        }
        for name, (trailing, dtype, missing) in _SITE_COLUMNS.items():
            column = _as_column(name, given[name], n_sites, trailing, dtype, missing)
            setattr(self, name, column)

    @property
    def shape(self):
        """Shape as scikit-learn counts samples: ``(n_sites, 2)``."""
        return (len(self.positions), 2)

    def __len__(self):
        return len(self.positions)

    def __getitem__(self, key):
        # scikit-learn's splitters index the rows of a container by (rows, ...).
        if isinstance(key, tuple):
            if len(key) != 2 or key[1] is not Ellipsis:
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
        selected = object.__new__(type(self))
        selected.images = self.images
        selected.pixel_size = self.pixel_size
        for name in _PER_SITE:
            setattr(selected, name, getattr(self, name)[key])
        return selected

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "AtomSites are not an array. Put a PatchExtractor (image windows) or a "
            "PolarizationVector (displacements) before this step, or use "
            "sites.positions for the coordinates."
        )

    def __eq__(self, other):
        if not isinstance(other, AtomSites):
            return NotImplemented
        return (
            self.pixel_size == other.pixel_size
            and len(self.images) == len(other.images)
            and all(
                _equal(getattr(self, name), getattr(other, name)) for name in _PER_SITE
            )
            and all(map(_equal, self.images, other.images))
        )

    __hash__ = None

    def __repr__(self):
        images = ", ".join(f"{rows}x{cols}" for rows, cols in self._image_shapes()[:3])
        more = ", ..." if len(self.images) > 3 else ""
        counts = np.unique(self.sublattice, return_counts=True)
        shares = ", ".join(f"{s}: {n}" for s, n in zip(*counts, strict=True))
        return (
            f"<AtomSites: {len(self)} sites in {len(self.images)} image(s) "
            f"({images}{more} px), sublattices {{{shares}}}>"
        )

    def _image_shapes(self):
        return [image.shape for image in self.images]

    def interior(self, margin):
        """Keep the sites at least `margin` pixels away from their image's border.

        Parameters
        ----------
        margin : float
            Distance in px between the site and the outermost pixel centres.

        Returns
        -------
        sites : AtomSites
            The interior sites, in order.
        """
        last = np.array(self._image_shapes(), dtype=float)[self.frame] - 1
        inside = (self.positions >= margin) & (self.positions <= last - margin)
        return self[inside.all(axis=1)]

    def pixel_size_per_site(self):
        """Pixel size of each site's image.

        Returns
        -------
        pixel_size : ndarray of shape (n_sites,)
            In nm, NaN where it is unknown.
        """
        known = [np.nan if size is None else size for size in self.pixel_size]
        return np.array(known, dtype=np.float64)[self.frame]

    def to_frame(self):
        """Return the sites as a pandas table, one row a column of atoms.

        Returns
        -------
        table : pandas.DataFrame
            Columns ``frame``, ``sublattice``, ``row``, ``col`` (px), ``x_nm``,
            ``y_nm`` (along +col and +row, if any pixel size is known), the fit
            results, ``polarization_row``, ``polarization_col`` (px) and the same
            with ``_pm``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_optional("pandas", "io")
        nm = self.pixel_size_per_site()
        calibrated = any(size is not None for size in self.pixel_size)
        row, col = self.positions.T
        columns = {
            "frame": self.frame,
            "sublattice": self.sublattice,
            "row": row,
            "col": col,
        }
        if calibrated:
            columns |= {"x_nm": col * nm, "y_nm": row * nm}
        columns |= {
            "row_std": self.position_std[:, 0],
            "col_std": self.position_std[:, 1],
            "amplitude": self.amplitude,
            "sigma": self.sigma,
            "background": self.background,
            "converged": self.converged,
            "polarization_row": self.polarization[:, 0],
            "polarization_col": self.polarization[:, 1],
        }
        if calibrated:
            pm = self.polarization * (1000 * nm)[:, None]
            columns |= {
                "polarization_row_pm": pm[:, 0],
                "polarization_col_pm": pm[:, 1],
            }
        return pandas.DataFrame(columns)

    @classmethod
    def concatenate(cls, sets):
        """Join several sets of sites into one; a shared image is kept once.

        Parameters
        ----------
        sets : list of AtomSites
            At least one set.

        Returns
        -------
        sites : AtomSites
            All sites in order, `frame` renumbered.
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
            for name in _PER_SITE
            if name != "frame"
        }
        positions = joined.pop("positions")
        return cls(
            images,
            positions,
            frame=np.concatenate(frames),
            pixel_size=pixel_size,
            **joined,
        )


def _as_image_list(images):
    if isinstance(images, np.ndarray) and images.ndim == 2:
        images = [images]
    arrays = [np.asarray(image) for image in images]
    for array in arrays:
        if array.ndim != 2 or array.dtype.kind not in "buif":
            raise ValueError(
                "AtomSites hold real 2-D images, got one of shape "
                f"{array.shape} and dtype {array.dtype}."
            )
        if not np.isfinite(array).all():
            raise ValueError(
                "AtomSites hold finite images, got one with NaN or infinity. Replace "
                "such pixels, for instance by the median of the image."
            )
    if not arrays:
        raise ValueError("AtomSites need at least one image, got none.")
    return [array.astype(np.float32, copy=False) for array in arrays]


def _as_pixel_sizes(pixel_size, n_images):
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
        is_length = isinstance(size, Real) and np.isfinite(size) and size > 0
        if size is not None and not is_length:
            raise ValueError(f"A pixel size is a positive length in nm, got {size!r}.")
    return [None if size is None else float(size) for size in sizes]


def _as_positions(positions):
    positions = np.asarray(positions, dtype=np.float64)
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


def _as_column(name, values, n_sites, trailing, dtype, missing):
    shape = (n_sites, *trailing)
    if values is None:
        return np.full(shape, missing, dtype=dtype)
    values = np.asarray(values)
    if values.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {values.shape}.")
    if dtype is np.intp and not np.array_equal(values, values.astype(np.intp)):
        raise ValueError(f"{name} must hold whole numbers, got {values.dtype} values.")
    return values.astype(dtype, copy=False)


def _equal(first, second):
    return first is second or (
        first.shape == second.shape
        and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    )
