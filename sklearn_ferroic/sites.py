"""The sample set that the stages share: one row is one atomic column."""

import numpy as np

from ._angles import wrap_angle
from ._shared_images import as_image_list, digest, make_constant, remember
from ._site_csv import write_csv
from ._site_flags import SiteFlag, as_flag
from ._site_hdf5 import read_hdf5, write_hdf5
from ._site_identity import are_equal, describe, register_hash
from ._site_table import (
    PER_SITE,
    SITE_COLUMNS,
    as_column,
    as_margin,
    as_pixel_sizes,
    as_positions,
    as_rows,
    check_frame,
    join,
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
        Fitted long axis of the column over the short one, at least 1; the same for
        all columns of an image where a common ellipse was fitted.

    ellipse_rotation : array-like of shape (n_sites,), default=None
        Angle of the long axis, radians in [−π/2, π/2), from +col towards +row.

    position_std : array-like of shape (n_sites, 2), default=None
        Standard error of the position ``(row, col)``, px.

    converged : array-like of bool of shape (n_sites,), default=None
        Whether the column's fit is trustworthy; all True if None.

    probability : array-like of shape (n_sites,), default=None
        How probably the site is a column of its sublattice, in [0, 1].

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

    significance : array-like of shape (n_sites,), default=None
        Amplitude of the column over its standard error.

    flags : array-like of int of shape (n_sites,), default=None
        Quality flags, bits of :class:`SiteFlag`; all 0 if None.

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
    Per-site values that are not given read NaN (`converged`: True, `flags`: 0). All
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
        probability=None,
        polarization=None,
        lattice_position=None,
        lattice_vectors=None,
        significance=None,
        flags=None,
    ):
        self.images = as_image_list(images)
        self.pixel_size = as_pixel_sizes(pixel_size, len(self.images))
        self.positions = as_positions(positions)
        n_sites = len(self.positions)
        self.frame = as_column("frame", frame, n_sites)
        self.sublattice = as_column("sublattice", sublattice, n_sites)
        check_frame(self.frame, len(self.images))
        given = {
            "amplitude": amplitude,
            "sigma": sigma,
            "background": background,
            "ellipticity": ellipticity,
            "ellipse_rotation": ellipse_rotation,
            "position_std": position_std,
            "converged": converged,
            "probability": probability,
            "polarization": polarization,
            "lattice_position": lattice_position,
            "lattice_vectors": lattice_vectors,
            "significance": significance,
            "flags": flags,
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
        key = as_rows(key)
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
        return are_equal(self, other)

    __hash__ = None

    def __sizeof__(self):
        # What Dask takes for small it sends anew with every task.
        arrays = [*self.images, *(getattr(self, name) for name in PER_SITE)]
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays)

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
        return describe(self)

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
        shapes = np.array([image.shape for image in self.images], dtype=float)
        last = shapes[self.frame] - 1
        inside = (self.positions >= margin) & (self.positions <= last - margin)
        return self[inside.all(axis=1)]

    def has_flag(self, flag):
        """Return which sites have a quality flag, or any of several.

        Parameters
        ----------
        flag : str, SiteFlag or list of these
            As ``"merged"``, ``"merged|hole"`` or ``SiteFlag.MERGED``.

        Returns
        -------
        flagged : ndarray of bool of shape (n_sites,)
            Sites with at least one of the flags.

        Raises
        ------
        TypeError, ValueError
            If there is no such flag.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ferroic import AtomSites
        >>> sites = AtomSites(
        ...     np.zeros((9, 9)), [[2, 2], [2, 6], [6, 2]], flags=[0, 3, 2]
        ... )
        >>> sites.has_flag("merged")
        array([False,  True, False])
        >>> len(sites[~sites.has_flag("merged|hole")])
        1
        """
        return (self.flags & np.uint16(as_flag(flag))) != 0

    def quality(self):
        """Check the sites against their own lattice and image.

        Returns
        -------
        quality : SiteQuality
            Share of the lattice places that hold a site, suspected misses, vacancies,
            short pairs, merged sites, unconverged fits, residual image, and hints of
            mistilt and astigmatism. Give the sites of all sublattices of the images:
            what is left out counts as residual structure.

        See Also
        --------
        sklearn_ferroic.inspection.SiteQualityDisplay : Draws it.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ferroic import AtomLocator
        >>> from sklearn_ferroic.datasets import make_ferroic_image
        >>> data = make_ferroic_image("film", shape=(192, 208), random_state=0)
        >>> sites = AtomLocator().fit_transform(data)
        >>> sites.quality().coverage
        1.0
        >>> center = np.hypot(*(sites.positions - [96, 104]).T).argmin()
        >>> quality = sites[np.arange(len(sites)) != center].quality()
        >>> len(quality.suspected_misses)
        1
        """
        from ._site_quality import SiteQuality

        return SiteQuality(self)

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
            results, ``flags`` as text (``"merged|hole"``, ``"ok"`` for none),
            ``polarization_row``, ``polarization_col`` (px) and the same with ``_pm``,
            the lattice vectors ``lattice_a_row``, ``lattice_a_col``,
            ``lattice_b_row``, ``lattice_b_col`` (px), ``unit_cell_area`` (px²),
            ``lattice_rotation`` (radians) and ``unit_cell_area_nm2``.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return to_frame(self)

    def to_csv(self, path, *, features=None, labels=None, parameters=None):
        """Write the table of :meth:`to_frame` as comma separated text.

        Lines that begin with ``#`` come first: units, pixel sizes and where the sites
        come from. ``pandas.read_csv(path, comment="#")`` reads the table. The images
        are not in it; :meth:`to_hdf5` loses nothing.

        Parameters
        ----------
        path : str or path-like
            The file; it is overwritten once all is written.
        features : array-like of shape (n_sites, n_features) or mapping, default=None
            More columns, by their names in a DataFrame or mapping of columns; else
            ``feature0``, ``feature1``, ...
        labels : array-like of shape (n_sites,), default=None
            A last column, ``label``.
        parameters : estimator, mapping or None, default=None
            What the sites were made with, as a fitted :class:`AtomLocator` or pipeline.

        Raises
        ------
        TypeError, ValueError
            If features, labels or parameters cannot be written.
        ImportError
            If pandas is not installed.

        Notes
        -----
        Text that a spreadsheet would run as a formula, as it begins with ``=``, ``+``,
        ``-`` or ``@``, gets an apostrophe before it, unless it is a number.

        pandas takes labels such as ``"NA"`` and ``""`` for missing. To keep them::

            names = pandas.read_csv(path, comment="#", nrows=0).columns
            missing = {name: "" for name in names.drop(["flags", "label"])}
            pandas.read_csv(path, comment="#", keep_default_na=False, na_values=missing)
        """
        write_csv(self, path, features=features, labels=labels, parameters=parameters)

    def to_hdf5(
        self, path, *, images=True, features=None, labels=None, parameters=None
    ):
        """Write everything to an HDF5 file, for :meth:`from_hdf5`.

        Parameters
        ----------
        path : str or path-like
            The file; it is overwritten once all is written.
        images : bool, default=True
            Whether the images go in. Without them they must be given to read the file.
        features, labels, parameters : object, default=None
            As in :meth:`to_csv`; they come back as ``extras``.

        Raises
        ------
        TypeError, ValueError
            If features, labels or parameters cannot be written.
        ImportError
            If h5py is not installed.
        """
        write_hdf5(
            self,
            path,
            images=images,
            features=features,
            labels=labels,
            parameters=parameters,
        )

    @classmethod
    def from_hdf5(cls, path, *, images=None, return_extras=False):
        """Read what :meth:`to_hdf5` has written.

        Parameters
        ----------
        path : str or path-like
            The file.
        images : ndarray or list of ndarray, default=None
            The images of the sites, if the file was written without.
        return_extras : bool, default=False
            Whether to return what stands beside the sites.

        Returns
        -------
        sites : AtomSites
            Equal to those written.
        extras : Bunch
            ``features``, a dict of columns, ``labels`` or None, ``parameters`` and
            ``package_version``; only with `return_extras`.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged or holds no AtomSites, or the images are not theirs.
        ImportError
            If h5py is not installed.
        """
        arguments, extras = read_hdf5(path, images)
        sites = cls(**arguments)
        return (sites, extras) if return_extras else sites

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
        images, positions, columns = join(sets)
        return cls(images, positions, **columns)


__all__ = ["AtomSites", "SiteFlag"]
register_hash(AtomSites)
