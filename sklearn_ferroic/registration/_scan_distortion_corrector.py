"""Correction of drift and jitter of the scan: ScanDistortionCorrector."""

import warnings
from numbers import Real

import numpy as np
from scipy.ndimage import map_coordinates
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import Bunch
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._image.input import check_images, image_metadata
from .._lattice.local_lattice import lattice_vectors
from .._lattice.neighbors import cage_displacement, typical_spacing
from .._lattice.reference_lattice import lattice_positions
from .._utils.transformers import ImageInputMixin
from .._utils.validation import N_JOBS, Interval
from ..localization import AtomLocator
from ..sites import AtomSites
from ._lines.line_pixels import refine_lines
from ._lines.reference_region import affine_rate, lines_of_reference
from ._lines.several_scans import Scan, center_of, lines_of_scans, rotation_matrix
from ._resample import Displacement, to_specimen

# The correlation of the brightness of columns that two images share is significant if
# it exceeds this number of standard errors.
_MIN_ALIKENESS_ERRORS = 4.0
# A correction that rests on evenly spaced rows is reported if it exceeds the errors of
# single columns of good images, px.
_MIN_ASSUMED_PX = 0.1


class ScanDistortionCorrector(
    ImageInputMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Measure and correct drift and jitter of the scan by the columns of the image.

    A scanning microscope writes an image line by line. Drift of the specimen and jitter
    of the scan displace whole lines: the image is sheared, stretched and bent, and its
    lines are ragged, which looks like strain and walls. The displacement of each line
    follows from images of one area at two or more scan rotations, or, with one image,
    from a region whose lattice is known to be perfect, such as the substrate.

    The correction moves the positions of columns (`transform_sites`), so that noise is
    not interpolated, or resamples the image (`transform`).

    Parameters
    ----------
    rotation : array-like of float, default=(0, 90)
        Rotation of each image of several, degrees: that by which the image must be
        rotated, counter-clockwise as seen, to have the orientation of the specimen.
        ``numpy.rot90`` of an image with a rotation of 90 is upright. One image has the
        first value, which has no effect.

    lattice : {"square", "hexagonal"}, tuple of float or None, default=None
        What the lattice of the reference region is in truth, of one image: square,
        hexagonal, or ``(ratio, angle)``, the length of its second vector over that of
        the first and their angle in degrees. It determines the steady drift, which
        shears and stretches the image. None leaves the image's shear and stretch.

    coherent : bool, default=True
        Whether, in one image, the lattice lines along the slow scan axis continue
        straight from the reference region into the rest, and rows of atoms are evenly
        spaced within each domain, as in epitaxial films. False: only the reference
        region determines drift, and jitter is corrected elsewhere.

    locator : estimator, default=None
        Locator of the columns if no sites are passed; ``AtomLocator(n_jobs=n_jobs)`` if
        None.

    line_time : float, default=None
        Time from one scan line to the next, s, if known.

    n_jobs : int, default=None
        Number of jobs through joblib: threads for several scans, and that of the
        default locator. None means 1 unless in a :func:`joblib.parallel_config`
        context.

    Attributes
    ----------
    line_shift_ : ndarray of shape (n_rows, 2)
        Displacement ``(row, col)`` of each scan line of the (first) image, px: its
        pixel x shows the point ``x + line_shift_[row]`` of the specimen.

    line_shift_std_ : ndarray of shape (n_rows, 2)
        Standard error of `line_shift_`, px.

    line_shifts_, line_shifts_std_ : list of ndarray of shape (n_rows, 2)
        The same of every image.

    drift_ : ndarray of shape (2,)
        Steady drift of the (first) image, px per line: the slope of `line_shift_`.

    drift_rate_ : ndarray of shape (2,) or None
        The same in px/s if `line_time` is known.

    jitter_ : ndarray of shape (2,)
        Standard deviation of the jitter of columns along ``(row, col)``, px. A column
        is the mean over the lines that cross it, so that single lines jitter more.

    even_row_shift_ : float
        Root mean square of the bend of the row component that is corrected outside the
        reference region of one image, px. It rests on rows that are evenly spaced in
        each domain: strain that relaxes over many rows is removed with it. `fit` warns
        above 0.1 px. 0 if nothing rests on this.

    n_matched_ : int or None
        Number of columns that the first image shares with others; None for one image.

    sites_ : AtomSites
        Columns of the images by which the distortion was measured, not corrected.

    See Also
    --------
    FrameAverager : Averages short exposures before.
    sklearn_ferroic.LatticeStrain : Strain, which jitter imitates.

    Notes
    -----
    *Model.* The displacement of a line is a slow part, jitter, and, with several images
    or a known `lattice`, a straight line. Its components are Gaussian processes whose
    sizes are estimated by maximum likelihood, see `line_shift_std_` for their errors.

    *One image without reference.* Jitter displaces a row of columns relative to the
    rows above and below it. Drift cannot be distinguished from strain and is left,
    except that a `lattice` determines the steady drift.

    *One image with a reference region.* In rows with reference columns both components
    of the displacement are measured relative to their lattice. In other rows the column
    component is measured by the lattice lines that continue from the reference region.
    Of the row component jitter is measured, and drift by the even spacing of the rows
    within each domain: the spacing may differ from that of the reference region, but
    must change suddenly where drift is smooth. Drift of the rows is corrected as far as
    drift no larger than that of the columns explains it; strain that varies slowly
    along the slow scan axis of a distorted image is partly taken for drift. A reference
    region that is not a perfect lattice, such as one with ferroelastic domains, makes
    the result worse. Without `lattice`, shear and stretch of the image remain.

    *Several images.* The first image is the reference for positions. Scan rotations of
    0° and 90° determine all but a common translation.

    *Position errors.* `transform_sites` adds the error of the correction to
    `position_std` in quadrature. It is common to the columns of one row.

    References
    ----------
    .. [1] C. Ophus, J. Ciston and C. T. Nelson, "Correcting nonlinear drift distortion
       of scanning probe and scanning transmission electron microscopies from image
       pairs with orthogonal scan directions", Ultramicroscopy 162 (2016) 1-9.

    Examples
    --------
    >>> from sklearn_ferroic import AtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.registration import ScanDistortionCorrector
    >>> data = make_ferroic_image(shape=(320, 320), random_state=0)
    >>> sites = AtomLocator().fit_transform(data)
    >>> substrate = sites.positions[:, 0] > 280
    >>> corrector = ScanDistortionCorrector(lattice="square")
    >>> corrected = corrector.fit(data, sites=sites, reference=substrate)
    >>> corrected.transform_sites(sites).positions.shape == sites.positions.shape
    True
    """

    _parameter_constraints: dict = {
        "rotation": ["array-like"],
        "lattice": [StrOptions({"square", "hexagonal"}), tuple, None],
        "coherent": ["boolean"],
        "locator": [HasMethods(["fit_transform"]), None],
        "line_time": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": N_JOBS,
    }

    def __init__(
        self,
        *,
        rotation=(0, 90),
        lattice=None,
        coherent=True,
        locator=None,
        line_time=None,
        n_jobs=None,
    ):
        self.rotation = rotation
        self.lattice = lattice
        self.coherent = coherent
        self.locator = locator
        self.line_time = line_time
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, sites=None, reference=None):
        """Measure the displacement of the scan lines.

        Parameters
        ----------
        X : array-like or container, or list of these
            One image, or images of one area in the order of `rotation`.
        y : None
            Ignored.
        sites : AtomSites, default=None
            Columns of the images, `frame` being the number of the image; located by
            `locator` if None.
        reference : array-like of bool, default=None
            Region of a perfect lattice in one image: of the sites, (n_sites,), or of
            the pixels, (n_rows, n_cols). Only jitter is measured if None.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If images, sites or reference are invalid, images do not match, or the
            reference region contains too few columns.
        """
        images, _, _ = check_images(X)
        rotation = self._check_rotation(len(images))
        lattice = self._check_lattice()
        if sites is None:
            locator = AtomLocator(n_jobs=self.n_jobs)
            if self.locator is not None:
                locator = clone(self.locator)
            sites = locator.fit_transform(X)
        if not isinstance(sites, AtomSites):
            raise TypeError(f"sites must be AtomSites, got {type(sites).__name__}.")
        self._check_frames(sites, images)
        spacing, sigma = _scales(sites)
        if len(images) == 1:
            mask = _check_reference(reference, sites, images[0].shape)
            lines, vectors, assumed = lines_of_reference(
                sites, mask, sigma, spacing, images[0].shape[0], self.coherent
            )
            shifts = [np.stack([line.shift for line in lines], axis=1)]
            jitter_stds = [np.zeros((images[0].shape[0], 2))]
            if lattice is not None:
                rate = affine_rate(vectors, lattice)
                middle = (images[0].shape[0] - 1) / 2
                rows = np.arange(images[0].shape[0]) - middle
                shifts[0] = shifts[0] + rows[:, None] * rate
            every, n_matched, of_lines = [lines], None, shifts
            if assumed > _MIN_ASSUMED_PX:
                _warn_of_even_rows(assumed)
        else:
            if reference is not None:
                raise ValueError(
                    "reference= is for one image; several images determine the "
                    "distortion by each other."
                )
            scans = [
                Scan(image, sites[sites.frame == number], degrees)
                for number, (image, degrees) in enumerate(
                    zip(images, rotation, strict=True)
                )
            ]
            assumed = 0.0
            n_matched, alike = lines_of_scans(scans, sigma, spacing, self.n_jobs)
            if alike < _MIN_ALIKENESS_ERRORS:
                warnings.warn(
                    "The brightness of the columns that the images share is not "
                    "correlated: the images may be mirrored, have another rotation, or "
                    "be displaced by a unit cell. Check `rotation` and the result.",
                    UserWarning,
                    stacklevel=4,
                )
            shifts = [scan.shift for scan in scans]
            every = [scan.lines for scan in scans]
            of_lines, jitter_stds = refine_lines(scans, spacing, self.n_jobs)
        # Of columns, the means over the lines that cross them.
        self._column_shifts = shifts
        self._column_stds = [
            np.stack([line.std for line in lines], axis=1) for lines in every
        ]
        self.line_shifts_ = of_lines
        self.line_shifts_std_ = [
            np.hypot(std, more)
            for std, more in zip(self._column_stds, jitter_stds, strict=True)
        ]
        self.line_shift_, self.line_shift_std_ = of_lines[0], self.line_shifts_std_[0]
        rows = np.arange(len(shifts[0]))
        self.drift_ = np.polyfit(rows, shifts[0], 1)[0]
        self.drift_rate_ = (
            None if self.line_time is None else self.drift_ / self.line_time
        )
        self.jitter_ = np.array([line.jitter_std for line in every[0]])
        self.n_matched_ = n_matched
        self.even_row_shift_ = assumed
        self.sites_ = sites
        self._shapes = [image.shape for image in images]
        self._rotation = rotation
        return self

    def transform(self, X):
        """Resample images without the distortion.

        Parameters
        ----------
        X : array-like or container, or list of these
            As many images of the same shapes as in `fit`: these, or other signals that
            were recorded with them.

        Returns
        -------
        corrected : :class:`~sklearn.utils.Bunch`
            `image`, a masked array of shape (n_rows, n_cols), float32, on the pixels of
            the first image: the mean of all images, masked where there is none;
            `pixel_size` in nm or None; and `metadata` of the first image.

        Raises
        ------
        TypeError, ValueError
            If the images are invalid or have other shapes.
        """
        check_is_fitted(self)
        self._validate_params()
        images, masks, pixel_sizes = check_images(X)
        shapes = [image.shape for image in images]
        if shapes != self._shapes:
            raise ValueError(
                f"Got images of shapes {shapes}, but the distortion was measured for "
                f"{self._shapes}."
            )
        total = np.zeros(shapes[0])
        count = np.zeros(shapes[0], dtype=int)
        for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
            known = image if mask is None else np.where(mask, image, np.nan)
            part = self._resample(known, number)
            seen = np.isfinite(part)
            total += np.where(seen, part, 0)
            count += seen
        mean = np.divide(total, count, out=np.zeros(shapes[0]), where=count > 0)
        result = np.ma.masked_array(mean.astype(np.float32), count == 0)
        metadata = image_metadata(X, 1)[0]
        return Bunch(image=result, pixel_size=pixel_sizes[0], metadata=metadata)

    def transform_sites(self, sites):
        """Move the positions of columns to where they are without the distortion.

        Parameters
        ----------
        sites : AtomSites
            Columns of the images of `fit`, `frame` being the number of the image.

        Returns
        -------
        corrected : AtomSites
            The same columns with corrected positions, in the pixels of their own
            image; `position_std` includes the error of the correction. Polarization
            and lattice are computed again. Images are resampled, so that windows are
            cut where the columns are.

        Raises
        ------
        TypeError, ValueError
            If `sites` are not AtomSites of the images of `fit`.
        """
        check_is_fitted(self)
        if not isinstance(sites, AtomSites):
            raise TypeError(f"sites must be AtomSites, got {type(sites).__name__}.")
        for number, image in enumerate(sites.images):
            if number >= len(self._shapes) or image.shape != self._shapes[number]:
                raise ValueError(
                    "The sites have images of shapes "
                    f"{[image.shape for image in sites.images]}, but the distortion "
                    f"was measured for {self._shapes}."
                )
        positions, std = sites.positions.copy(), sites.position_std.copy()
        distortion_std = np.nan_to_num(sites.distortion_std)
        polarization = np.full_like(sites.polarization, np.nan)
        ideal = np.full_like(sites.lattice_position, np.nan)
        vectors = np.full_like(sites.lattice_vectors, np.nan)
        images = []
        for number, image in enumerate(sites.images):
            own = np.flatnonzero(sites.frame == number)
            lines = np.arange(image.shape[0])
            rows = sites.positions[own, 0]
            for axis in range(2):
                step = np.interp(rows, lines, self._column_shifts[number][:, axis])
                error = np.interp(rows, lines, self._column_stds[number][:, axis])
                positions[own, axis] += step
                std[own, axis] = np.hypot(std[own, axis], error)
                distortion_std[own, axis] = np.hypot(distortion_std[own, axis], error)
            sublattice = sites.sublattice[own]
            if len(own) > 3:
                spacing = typical_spacing(positions[own])
                polarization[own] = cage_displacement(
                    positions[own], sublattice, spacing
                )
                ideal[own] = lattice_positions(positions[own], sublattice)
                vectors[own] = lattice_vectors(positions[own], sublattice)
            images.append(self._fill(self._own_pixels(image, number), image))
        # Geometric values that are not computed here are those of other positions.
        fields = {
            field.name: getattr(sites, field.name)
            for field in sites.fields
            if not field.is_geometric
        }
        fields |= {
            "positions": positions,
            "position_std": std,
            "distortion_std": distortion_std,
            "polarization": polarization,
            "lattice_position": ideal,
            "lattice_vectors": vectors,
        }
        positions = fields.pop("positions")
        own = {"pixel_size": sites.pixel_size, "metadata": sites.metadata}
        return type(sites)(images, positions, **own, **fields)

    def _own_pixels(self, image, number):
        """Resample an image on its own pixels; NaN where it shows nothing."""
        displacement = Displacement(np.zeros(2), self.line_shifts_[number])
        return to_specimen(image, displacement, image.shape, np.zeros(2))

    def _fill(self, resampled, image):
        """Fill unknown pixels with the median of the image."""
        return np.where(np.isfinite(resampled), resampled, np.median(image))

    def _resample(self, image, number):
        """Resample an image on the pixels of the first one."""
        own = self._own_pixels(image, number)
        if number == 0:
            return own
        first = rotation_matrix(self._rotation[0])
        matrix = rotation_matrix(self._rotation[number])
        target = np.indices(self._shapes[0]).reshape(2, -1).T - center_of(
            self._shapes[0]
        )
        place = target @ first.T @ matrix + center_of(image.shape)
        known = np.isfinite(own)
        filled = np.where(known, own, np.nanmean(own))
        sampled = map_coordinates(
            filled, place.T, order=3, mode="constant", cval=np.nan
        )
        share = map_coordinates(known.astype(float), place.T, order=1, cval=0.0)
        return np.where(share > 0.999, sampled, np.nan).reshape(self._shapes[0])

    def _check_rotation(self, n_images):
        """Return the rotations of the images, degrees."""
        rotation = np.asarray(self.rotation, dtype=float)
        if rotation.ndim != 1 or not np.isfinite(rotation).all() or not rotation.size:
            raise ValueError(
                f"rotation must be angles in degrees, one for each image; got "
                f"{self.rotation!r}."
            )
        if n_images == 1:
            return rotation[:1]
        if len(rotation) != n_images:
            raise ValueError(
                f"Got {n_images} images, but rotation={self.rotation!r} has "
                f"{len(rotation)} angles. For frames of one rotation use FrameAverager."
            )
        between = np.abs(np.sin(np.radians(rotation - rotation[0])))
        if between.max() < np.sin(np.radians(10)):
            raise ValueError(
                f"rotation={self.rotation!r}: scans must differ by at least 10 degrees "
                "to determine their distortion. For equal rotations use FrameAverager."
            )
        return rotation

    def _check_lattice(self):
        """Return the lattice as it is passed to `affine_rate`."""
        if self.lattice is None or isinstance(self.lattice, str):
            return self.lattice
        values = np.asarray(self.lattice)
        valid = values.shape == (2,) and values.dtype.kind in "if"
        if not valid or not (values[0] > 0 and 0 < values[1] < 180):
            raise ValueError(
                "lattice must be 'square', 'hexagonal', None or (ratio, angle in "
                f"degrees); got {self.lattice!r}."
            )
        return tuple(float(value) for value in values)

    def _check_frames(self, sites, images):
        """Check that the sites are those of the images."""
        shapes = [image.shape for image in sites.images]
        if shapes != [image.shape for image in images]:
            raise ValueError(
                f"The sites have images of shapes {shapes}, but the images have "
                f"{[image.shape for image in images]}."
            )


def _warn_of_even_rows(assumed):
    """Warn that drift along the rows axis is not distinguished from relaxation."""
    warnings.warn(
        f"Outside the reference region, the slow row component is corrected by "
        f"{assumed:.2f} px root mean square, because rows are taken to be evenly "
        "spaced within each domain. One image does not distinguish this drift from a "
        "spacing that relaxes over many rows, as in a film that is strained at its "
        "substrate. If that is possible, use ScanDistortionCorrector(coherent=False), "
        "which leaves this component, or two scans at 0 and 90 degrees.",
        UserWarning,
        stacklevel=5,
    )


def _check_reference(reference, sites, shape):
    """Return which sites belong to the reference region."""
    if reference is None:
        return None
    reference = np.asarray(reference)
    if reference.dtype != bool:
        raise TypeError(
            f"reference must be a mask of truth values, got dtype {reference.dtype}."
        )
    if reference.shape == (len(sites),):
        return reference
    if reference.shape == shape:
        row, col = np.rint(sites.positions).astype(int).T
        last = np.array(shape) - 1
        return reference[np.clip(row, 0, last[0]), np.clip(col, 0, last[1])]
    raise ValueError(
        f"reference must have the shape of the sites, ({len(sites)},), or of the "
        f"image, {shape}; got {reference.shape}."
    )


def _scales(sites):
    """Return the spacing and the typical sigma of the columns, px."""
    if len(sites) < 12:
        raise ValueError(
            f"Got {len(sites)} columns, which are too few to measure the distortion."
        )
    first = sites[sites.frame == sites.frame[0]]
    spacing = typical_spacing(first.positions)
    sigma = np.nanmedian(sites.sigma) if np.isfinite(sites.sigma).any() else np.nan
    return spacing, float(sigma) if np.isfinite(sigma) else 0.18 * spacing
