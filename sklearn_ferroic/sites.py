"""The sample set that the stages share: one row is one atomic column."""

from numbers import Integral

import numpy as np
from joblib.hashing import Hasher

from ._angles import wrap_angle
from ._shared_images import as_image_list, digest, make_constant, remember
from ._site_table import (
    PER_SITE,
    SITE_COLUMNS,
    as_column,
    as_margin,
    as_pixel_sizes,
    as_positions,
    to_frame,
)


class AtomSites:
    """Atomic columns of one or several images, the ``X`` of the later stages.

    A sample is one atomic column, so scikit-learn's splitters and searches
    divide columns, not images. The images are read-only and shared: indexing makes
    a smaller set over the same arrays and never copies a pixel.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_cols) or list of such arrays
        The images in which the columns stand; kept as float32. A float32 array
        that is read-only is taken as it is, any other is copied.

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

    ellipticity : array-like of shape (n_sites,), default=None
        Fitted long axis of the column over the short one, at least 1.

    ellipse_rotation : array-like of shape (n_sites,), default=None
        Angle of the long axis, radians in [−π/2, π/2), from +col towards +row.

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

    lattice_vectors : array-like of shape (n_sites, 2, 2), default=None
        The two lattice vectors a and b around the column in the rows, ``(row,
        col)`` in px, as its neighbours of the same sublattice show them; NaN
        without enough of them. Of the shortest vectors of its crystal, a is the
        nearest to +col and b is turned from a towards +row.

    Attributes
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images, float32, read-only.

    pixel_size : list of (float or None)
        Pixel size of each image, nm.

    shape : tuple
        ``(n_sites, 2)``.

    unit_cell_area : ndarray of shape (n_sites,)
        Area that the lattice vectors span, px².

    lattice_rotation : ndarray of shape (n_sites,)
        Angle of the lattice vector a, radians in [−π, π).

    See Also
    --------
    AtomLocator : Finds and fits the columns of images.
    PatchExtractor : Cuts a window of the image around every site.

    Notes
    -----
    Per-site values that are not given read NaN (`converged`: True). All
    arguments after `positions` are attributes of the same name.

    :func:`joblib.hash`, and with it the ``memory`` of a pipeline, reads the pixels
    of an image once in its life, for all slices and all workers together.

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
        ellipticity=None,
        ellipse_rotation=None,
        position_std=None,
        converged=None,
        polarization=None,
        lattice_position=None,
        lattice_vectors=None,
    ):
        self.images = as_image_list(images)
        self.pixel_size = as_pixel_sizes(pixel_size, len(self.images))
        self.positions = as_positions(positions)
        n_sites = len(self.positions)
        self.frame = as_column("frame", frame, n_sites)
        self.sublattice = as_column("sublattice", sublattice, n_sites)
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
            "ellipticity": ellipticity,
            "ellipse_rotation": ellipse_rotation,
            "position_std": position_std,
            "converged": converged,
            "polarization": polarization,
            "lattice_position": lattice_position,
            "lattice_vectors": lattice_vectors,
        }
        for name, kind in SITE_COLUMNS.items():
            setattr(self, name, as_column(name, given[name], n_sites, *kind))

    @property
    def shape(self):
        """Shape as scikit-learn counts samples: ``(n_sites, 2)``."""
        return (len(self.positions), 2)

    @property
    def unit_cell_area(self):
        """Area of the unit cell around each site, px², NaN where it is unknown."""
        a, b = self.lattice_vectors.swapaxes(0, 1)
        return a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]

    @property
    def lattice_rotation(self):
        """Angle of the lattice vector a at each site, radians in [−π, π)."""
        a = self.lattice_vectors[:, 0]
        return wrap_angle(np.arctan2(a[:, 0], a[:, 1]))

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
        for name in PER_SITE:
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
                _equal(getattr(self, name), getattr(other, name)) for name in PER_SITE
            )
            and all(map(_equal, self.images, other.images))
        )

    __hash__ = None

    def __getstate__(self):
        # Digests travel with the images: no worker has to read the pixels for them.
        return vars(self) | {"digests": [digest(image) for image in self.images]}

    def __setstate__(self, state):
        digests = state.pop("digests")
        vars(self).update(state)
        for image, known in zip(self.images, digests, strict=True):
            make_constant(image)
            remember(image, known)

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

        Raises
        ------
        TypeError, ValueError
            If `margin` is no number, negative or not finite.
        """
        margin = as_margin(margin)
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
            with ``_pm``, the lattice vectors ``lattice_a_row``, ``lattice_a_col``,
            ``lattice_b_row``, ``lattice_b_col`` (px), ``unit_cell_area`` (px²),
            ``lattice_rotation`` (radians) and ``unit_cell_area_nm2``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return to_frame(self)

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
            for name in PER_SITE
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


def _save_for_hash(hasher, sites):
    """Hash the digests of the images in the place of the images."""
    images = [digest(image) for image in sites.images]
    # Equal values hash equally, whatever the memory that they stand in.
    columns = [np.array(getattr(sites, name), order="C") for name in PER_SITE]
    hasher.save([type(sites).__name__, *images, *sites.pixel_size, *columns])


# joblib's own registry of how a type is hashed; without it all pixels are read.
if hasattr(Hasher, "dispatch"):
    Hasher.dispatch[AtomSites] = _save_for_hash


def _equal(first, second):
    return first is second or (
        first.shape == second.shape
        and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    )
