"""AtomSites, the sample set of all stages: one row is one atomic column."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import validate_params

from .._utils.angles import wrap_angle
from .._utils.validation import Interval, refuse_swapped
from ._arguments import (
    as_attribute,
    as_margin,
    as_positions,
    as_rows,
    check_frame,
)
from ._editing import append_sites, inside_polygon, rows_to_keep
from ._fields import SITE_FIELDS, describe_fields, signature_of
from ._flags import as_flag
from ._formats.methods import FormatMethods
from ._identity import are_equal, describe, register_hash
from ._shared_images import (
    as_image_list,
    digest,
    join_images,
    make_constant,
    remember,
)


class AtomSites(FormatMethods):
    """Atomic columns of one or several images, the ``X`` of the later stages.

    A sample is one atomic column, so scikit-learn's splitters and searches
    divide columns, not images. The images are read-only and shared: indexing makes
    a smaller set over the same arrays and never copies a pixel.

    Parameters
    ----------
    images : ndarray of shape (n_rows, n_cols) or list of such arrays
        The images that contain the columns; stored as float32. A read-only float32
        array is used without a copy, any other is copied. A level of more than 1,000
        times the contrast, which float32 cannot represent, is subtracted first.

    {positions}

    pixel_size : float, list of (float or None) or None, default=None
        Pixel size in nm, one for all or one per image; None where it is unknown.

    metadata : dict, list of (dict or None) or None, default=None
        Metadata, such as those of the files, one for all images or one per image. They
        are stored as JSON: long arrays are replaced by a note. Sets of
        sites that differ only in metadata are equal.

    {fields}

    Attributes
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images, float32, read-only.

    pixel_size : tuple of (float or None)
        Pixel size of each image, nm. To change it, assign one for all images or one
        per image.

    metadata : list of dict
        Metadata of each image, empty where there are none.

    shape : tuple
        ``(n_sites, 2)``.

    fields : tuple
        Schema of the per-site values, a class attribute.

    unit_cell_area : ndarray of shape (n_sites,)
        Area of the parallelogram of the lattice vectors, px².

    lattice_rotation : ndarray of shape (n_sites,)
        Angle of the lattice vector a, radians in [−π, π).

    See Also
    --------
    AtomLocator : Finds and fits the columns of images.
    PatchExtractor : Cuts a window of the image around every site.

    Notes
    -----
    Per-site values that are not passed are NaN (`converged`: True, `flags`: 0). All
    arguments are attributes of the same name. A value that is assigned to one of them
    is checked and copied as that of the argument; the number of sites and images does
    not change.

    :func:`joblib.hash`, and therefore the ``memory`` of a pipeline, reads the pixels of
    each image only once, for all slices and workers.

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

    # The schema; a subclass adds a field by adding a row.
    fields = SITE_FIELDS

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        _apply_schema(cls)

    def __init__(self, images, positions, *, pixel_size=None, metadata=None, **fields):
        unknown = sorted(set(fields) - {field.name for field in self.fields})
        if unknown:
            known = ", ".join(field.name for field in self.fields)
            raise TypeError(
                f"{type(self).__name__} have no field {unknown[0]!r}. The fields are "
                f"{known}."
            )
        state = vars(self)
        state["images"] = as_image_list(images)
        state["positions"] = as_positions(positions)
        self.pixel_size, self.metadata = pixel_size, metadata
        for field in self.fields:
            if field.name != "positions":
                setattr(self, field.name, fields.get(field.name))
        refuse_swapped(self.positions, self.frame, self.images)

    def __setattr__(self, name, value):
        # Users assign values, such as the pixel size of images whose files have none.
        object.__setattr__(self, name, as_attribute(self, name, value))

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
        # All of it has been checked.
        state = vars(selected)
        for name in ("images", "pixel_size", "metadata"):
            state[name] = getattr(self, name)
        for field in self.fields:
            state[field.name] = getattr(self, field.name)[key]
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
        # Dask sends objects of a small reported size with every task.
        arrays = [*self.images, *(getattr(self, field.name) for field in self.fields)]
        return object.__sizeof__(self) + sum(array.nbytes for array in arrays)

    def __getstate__(self):
        # Digests are sent with the images, so that workers need not compute them.
        return vars(self) | {"digests": [digest(image) for image in self.images]}

    def __setstate__(self, state):
        digests = state.pop("digests")
        vars(self).update(state)
        # What an older version stored as a list, or did not have.
        self.pixel_size = state["pixel_size"]
        for name in ("metadata", *(field.name for field in self.fields)):
            if name not in state:
                setattr(self, name, None)
        for image, known in zip(self.images, digests, strict=True):
            make_constant(image)
            remember(image, known)

    def __repr__(self):
        return describe(self)

    def interior(self, margin):
        """Return the sites at least `margin` pixels away from their image's border.

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
            If `margin` is not a number, negative or not finite.
        """
        margin = as_margin(margin)
        shapes = np.array([image.shape for image in self.images], dtype=float)
        last = shapes[self.frame] - 1
        inside = (self.positions >= margin) & (self.positions <= last - margin)
        return self[inside.all(axis=1)]

    def in_polygon(self, vertices, *, frame=0):
        """Return which sites lie inside a polygon.

        Parameters
        ----------
        vertices : array-like of shape (n_vertices, 2)
            Corners of the polygon ``(row, col)`` in order, px, three at least.
        frame : int, default=0
            Index of the image on which the polygon is drawn.

        Returns
        -------
        inside : ndarray of bool of shape (n_sites,)
            True for the sites of that image inside the polygon.

        Raises
        ------
        ValueError
            If the polygon has fewer than three corners, or there is no such image.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ferroic import AtomSites
        >>> sites = AtomSites(np.zeros((9, 9)), [[2, 2], [2, 6], [6, 2]])
        >>> sites.in_polygon([[0, 0], [0, 8], [4, 8], [4, 0]])
        array([ True,  True, False])
        """
        check_frame(np.array([frame]), len(self.images))
        inside = np.zeros(len(self), dtype=bool)
        own = np.flatnonzero(self.frame == frame)
        inside[own] = inside_polygon(self.positions[own], vertices)
        return inside

    def remove(self, rows):
        """Return the sites without some of them.

        Displacements and lattice vectors of the others are those measured before;
        ``locator.refit(sites)`` measures them again.

        Parameters
        ----------
        rows : int, slice, array-like of int or mask of shape (n_sites,)
            The sites to remove.

        Returns
        -------
        sites : AtomSites
            The other sites, in order.

        Raises
        ------
        IndexError
            If there is no such site.

        See Also
        --------
        AtomLocator.refit : Fits the columns again.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ferroic import AtomSites
        >>> sites = AtomSites(np.zeros((9, 9)), [[2, 2], [2, 6], [6, 2]])
        >>> len(sites.remove([0, 2]))
        1
        """
        return self[rows_to_keep(rows, len(self))]

    def add(self, positions, *, sublattice=None, frame=0):
        """Return the sites with others appended, which have no fit yet.

        Parameters
        ----------
        positions : array-like of shape (n, 2) or (2,)
            Approximate centres of the columns ``(row, col)``, px.
        sublattice : int or array-like of int of shape (n,), default=None
            Their sublattice; by default that of the sites one lattice vector away.
        frame : int, default=0
            Index of their image.

        Returns
        -------
        sites : AtomSites
            The sites and then the others, whose fitted values are NaN and whose fit
            is not converged. ``locator.refit(sites)`` fits them.

        Raises
        ------
        ValueError
            If a position is off the image, or there is no such image.

        See Also
        --------
        AtomLocator.refit : Fits the columns again.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_ferroic import AtomSites
        >>> sites = AtomSites(np.zeros((9, 9)), [[2, 2], [2, 6]])
        >>> sites.add([6, 2]).positions[-1]
        array([6., 2.])
        """
        return append_sites(self, positions, sublattice, frame)

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
            If a flag does not exist.

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
            Share of the lattice places with a site, suspected misses, vacancies,
            short pairs, merged sites, unconverged fits, residual image, and indications
            of mistilt and astigmatism. The sites must include all sublattices of the
            images: missing ones count as residual structure.

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
        from ._quality.summary import SiteQuality

        return SiteQuality(self)

    @validate_params(
        {
            "min_frames": [Interval(Integral, 1, None, closed="left")],
            "reach_spacings": [Interval(Real, 0, 0.5, closed="right")],
            "vacancy_share": [Interval(Real, 0, 1, closed="both")],
        },
        prefer_skip_nested_validation=True,
    )
    def track(
        self, shifts=None, *, min_frames=2, reach_spacings=0.4, vacancy_share=0.5
    ):
        """Link the columns of the frames of a series by their places in the lattice.

        Parameters
        ----------
        shifts : array-like of shape (n_frames[, n_rows], 2), default=None
            Displacement of each frame, or of each of its scan lines, px, such as
            ``FrameAverager.shifts_``; None if the frames are registered. What remains
            of the displacements, up to `reach_spacings`, is measured.
        min_frames : int, default=2
            Columns that are located in fewer frames are not tracked.
        reach_spacings : float, default=0.4
            Largest distance of a site from the place of its track, in distances of
            nearest columns, up to 0.5. With a smaller value, such as 0.25, an atom that
            moves to an interstitial place nearby begins a track of its own.
        vacancy_share : float, default=0.5
            A place where no column was located is vacant if the image shows less than
            this share of the usual amplitude of the column there, by two standard
            errors. A smaller value, such as 0.2, counts as vacancies only places that
            are empty, and not columns that have lost some of their atoms.

        Returns
        -------
        tracks : SiteTracks
            Identity of every column, with vacancies and hops.

        Raises
        ------
        ValueError
            If there are fewer than two frames, or a parameter is not as described.
        """
        from ._tracking import track_sites

        return track_sites(self, shifts, min_frames, reach_spacings, vacancy_share)

    def pixel_size_per_site(self):
        """Return the pixel size of the image of each site.

        Returns
        -------
        pixel_size : ndarray of shape (n_sites,)
            In nm, NaN where it is unknown.
        """
        known = [np.nan if size is None else size for size in self.pixel_size]
        return np.array(known, dtype=np.float64)[self.frame]

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
        images, pixel_size, metadata, frame = join_images(sets)
        values = {
            field.name: np.concatenate([getattr(sites, field.name) for sites in sets])
            for field in cls.fields
        }
        values["frame"] = frame
        return cls(images, pixel_size=pixel_size, metadata=metadata, **values)


_CLASS_DOCSTRING = AtomSites.__doc__


def _apply_schema(cls):
    """Derive the signature and the docstring of AtomSites or a subclass."""
    cls.__signature__ = signature_of(cls.fields)
    if cls is AtomSites or cls.__doc__ is None:
        cls.__doc__ = describe_fields(_CLASS_DOCSTRING, cls.fields)
    register_hash(cls)


_apply_schema(AtomSites)
