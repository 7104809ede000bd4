"""Average of a series of short exposures: FrameAverager."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from .._utils.transformers import ImageInputMixin
from .._utils.validation import N_JOBS, Interval
from ._averaging import average_frames, extent, register_frames
from ._frame_quality import FrameCriteria
from ._frames import open_frames
from ._line_statistics import error_of_average
from ._resample import field_of

_AREAS = {"crop": "common", "mask": "union"}
# Margins of frames in the right cell were 0.41 to 0.66 in series of 20 frames with five
# electrons at the brightest columns, and 0.33 or less for frames in a wrong one.
_MIN_CELL_MARGIN_SHARE = 0.35
_MIN_CELL_PROBABILITY = 0.99


class FrameAverager(ImageInputMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Register the frames of a series of short exposures and average them.

    A series of short exposures has less drift in each frame than one long exposure.
    The frames are registered by phase correlation whose spectrum is divided by the
    periodic part, so that a frame is not displaced by a unit cell, and then by least
    squares against the average of the other frames. Optionally each scan line, or each
    neighbourhood, has a displacement of its own.

    Parameters
    ----------
    method : {"rigid", "lines", "field"}, default="rigid"
        "rigid": one shift for each frame. "lines": also the drift within the frame and
        the jitter of each scan line, lines being along the rows. "field": also a smooth
        field over the frame, with details of about six spacings.

    weights : {"quality", "uniform"}, default="quality"
        Weights of the frames in the average. "quality": contrast of the columns over
        the variance of the noise, which is optimal for additive noise; "uniform": equal
        weights.

    area : {"crop", "mask"}, default="crop"
        Area of the average: what all frames show; or what any frame shows, as a masked
        array.

    rejection_std : float, default=6.0
        Frames are rejected whose correlation with the average of the others is lower
        than the median of the series by this number of robust standard deviations, and
        by `rejection_share`. Use ``numpy.inf`` to keep every frame that overlaps with
        the others, for a specimen that changes during the series.

    rejection_share : float, default=0.15
        Minimum decrease of the correlation of a rejected frame, as a share of the
        median. A smaller value, such as 0.03, also rejects slightly defocused frames
        where the correlation of the others varies little.

    spacing : float, default=None
        Distance of nearest neighbours, px; estimated from single frames if None.

    n_jobs : int, default=None
        Number of frames processed at a time, in threads, through joblib. None means 1
        unless in a :func:`joblib.parallel_config` context.

    verbose : int, default=0
        Progress messages of joblib.

    Attributes
    ----------
    shifts_ : ndarray of shape (n_frames, 2)
        Displacement ``(row, col)`` of each frame, px: its pixel x shows what frame
        `reference_` shows at ``x + shifts_``. Displacements of rejected frames are
        not reliable.

    shifts_std_ : ndarray of shape (n_frames, 2)
        Standard errors of `shifts_` from the noise of the pixels, px.

    line_shifts_ : ndarray of shape (n_frames, n_rows, 2) or None
        Displacement of each scan line in addition to `shifts_`, px, with
        ``method="lines"`` or ``"field"``.

    line_shifts_std_ : ndarray of shape (n_frames, n_rows, 2) or None
        Standard errors of `line_shifts_`, px.

    flyback_ : ndarray of shape (n_cols,)
        Displacement of each pixel of a line along the line, px, by the flyback: it is
        common to all lines and frames and decays exponentially. It is measured where
        the specimen drifts along the lines during the series, 0 if it is not
        significant. With ``method="lines"`` or ``"field"`` it is corrected, and pixels
        whose displacement remains uncertain by 0.05 px or more are left out.

    displacement_std_ : ndarray of shape (n_rows, 2)
        Standard error ``(row, col)`` of the positions of columns in each row of the
        average, px, by drift within the frames and jitter: their mean over a finite
        number of frames is not zero, and registration does not show it. It is estimated
        from how they differ between frames. Locators add it to `position_std`.

    weights_ : ndarray of shape (n_frames,)
        Weights of the frames, mean 1 over the frames used; 0 if rejected.

    rejected_ : ndarray of int
        Frames that are not used: those that resemble the average of the others less
        than the rest of the frames do, by `rejection_std` and `rejection_share`, that
        overlap with it by less than a quarter, whose columns are dark where those of
        the others are bright, and copies of other frames.

    correlation_ : ndarray of shape (n_frames,)
        Correlation of each frame with the average of the others.

    cell_margin_ : ndarray of shape (n_frames,)
        By how much the correlation with the average of the others is higher than that
        at any other unit cell, as a share of it. Below 0.35 the frame may be displaced
        by a unit cell, of which `fit` warns.

    cell_probability_ : ndarray of shape (n_frames,)
        Probability, from the pixels, that a frame is in the right unit cell, alone and
        together with the frames that follow. `fit` warns below 0.99. 1 if the
        correlation of no frame is nearly as high in another cell.

    reference_ : int
        Frame whose pixels the positions refer to.

    gains_, offsets_ : ndarray of shape (n_frames,)
        Factor by which the contrast of a frame, and constant by which its counts,
        exceed those of the others. They are 1 and 0 unless a frame differs by a factor
        of 1.5 or by half of the standard deviation of the columns; such a frame enters
        as ``(frame - offset) / gain``.

    copies_ : ndarray of int of shape (n_frames,)
        Earlier frame with the same pixels, -1 without. Copies are rejected, because
        they carry no further dose.

    origin_ : ndarray of shape (2,)
        Pixel of the reference frame at the first pixel of the average.

    spacing_ : float
        Distance of nearest neighbours, px.

    n_effective_ : float
        Number of equally weighted frames whose average is as noisy.

    noise_ : ndarray of shape (2,)
        Noise of the average: the variance of a pixel that all frames show is
        ``noise_[0] + noise_[1] * mean``, before interpolation, which correlates
        neighbouring pixels.

    dose_ : float or None
        Electrons per square ångström in the average if the frames have a `dose`.

    pixel_size_ : float or None
        Pixel size, nm, if the frames have one.

    See Also
    --------
    ScanDistortionCorrector : Correct what all frames have in common.
    AtomLocator : Locates the columns of the average.

    Notes
    -----
    A *stack* is a 3-D array, in memory, memory-mapped (:func:`numpy.load` with
    ``mmap_mode="r"``) or lazy (HDF5, Dask, zarr), a list of frames of one shape, or an
    object with ``image`` and ``pixel_size``. Frames are read when they are needed, so
    that memory does not grow with their number. Masked pixels carry no weight.

    *Result.* `transform` returns a :class:`~sklearn.utils.Bunch` with `image`,
    `pixel_size`, `dose`, `noise` and `displacement_std`, which locators accept. The
    image has the mean counts of one frame. Locators estimate the noise from the image
    itself, which includes the correlation by the interpolation, and add
    `displacement_std` to the errors of positions in quadrature.

    *Two detectors.* `transform` applies the displacements to any stack of as many
    frames, such as the simultaneous signal of another detector.

    *What is left.* Distortions that all frames have in common are not seen, except the
    flyback of a series that drifts along the lines. Jitter of the lines remains with
    ``method="rigid"`` and is averaged: it is reduced by the square root of the number
    of frames. With few counts a line has little information, and ``method="lines"``
    gains little; see `line_shifts_std_`.

    References
    ----------
    .. [1] L. Jones et al., "Smart Align", Advanced Structural and Chemical Imaging 1
       (2015) 8.
    .. [2] B. H. Savitzky et al., "Image registration of low signal-to-noise cryo-STEM
       data", Ultramicroscopy 191 (2018) 56-65.

    Examples
    --------
    >>> from sklearn_ferroic import AtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_series
    >>> from sklearn_ferroic.registration import FrameAverager
    >>> data = make_ferroic_series(
    ...     5, shape=(160, 160), dose=4000, n_bad=0, random_state=0
    ... )
    >>> averager = FrameAverager()
    >>> average = averager.fit_transform(data)
    >>> averager.shifts_.shape, averager.rejected_.size
    ((5, 2), 0)
    >>> sites = AtomLocator().fit_transform(average)
    >>> sites.pixel_size
    (0.02,)
    """

    _parameter_constraints: dict = {
        "method": [StrOptions({"rigid", "lines", "field"})],
        "weights": [StrOptions({"quality", "uniform"})],
        "area": [StrOptions(set(_AREAS))],
        "rejection_std": [Interval(Real, 0, None, closed="both")],
        "rejection_share": [Interval(Real, 0, 1, closed="both")],
        "spacing": [Interval(Real, 1, None, closed="left"), None],
        "n_jobs": N_JOBS,
        "verbose": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        method="rigid",
        weights="quality",
        area="crop",
        rejection_std=6.0,
        rejection_share=0.15,
        spacing=None,
        n_jobs=None,
        verbose=0,
    ):
        self.method = method
        self.weights = weights
        self.area = area
        self.rejection_std = rejection_std
        self.rejection_share = rejection_share
        self.spacing = spacing
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Register the frames of a stack.

        Parameters
        ----------
        X : array-like, container, or list of these
            The stack, see Notes.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If the stack is invalid, has fewer than two usable frames, or the frames
            have too small a common area.
        """
        frames = open_frames(X)
        registration = register_frames(
            frames,
            spacing=self.spacing,
            method=self.method,
            criteria=FrameCriteria(
                self.weights, self.rejection_std, self.rejection_share
            ),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        origin, shape = extent(frames.shape, registration, _AREAS[self.area])
        self._set_attributes(frames, registration, origin)
        self._set_errors(origin, shape[0])
        self._warn_of_rejected()
        self._warn_of_copies()
        self._warn_of_scales()
        self._warn_of_cells()
        self._warn_of_flyback()
        return self

    def transform(self, X):
        """Average a stack at the displacements found.

        Parameters
        ----------
        X : array-like, container, or list of these
            As many frames of the same shape as in `fit`: the same stack, or the
            simultaneous signal of another detector.

        Returns
        -------
        average : :class:`~sklearn.utils.Bunch`
            `image`, an ndarray or masked array of shape (n_rows, n_cols), float32;
            `pixel_size` in nm, `dose` and `noise`, or None where unknown;
            `displacement_std`; and `metadata` of the first frame.

        Raises
        ------
        TypeError, ValueError
            If the stack is invalid or has another shape.
        """
        check_is_fitted(self)
        self._validate_params()
        frames = open_frames(X)
        expected = (len(self.shifts_), *self._registered_shape)
        if (len(frames), *frames.shape) != expected:
            raise ValueError(
                f"Got a stack of shape {(len(frames), *frames.shape)}, but the stack "
                f"that was registered has shape {expected}."
            )
        blank = [
            number
            for number in np.flatnonzero(self.weights_ > 0).tolist()
            if not frames.is_usable(number)
        ]
        if blank:
            raise ValueError(
                f"Frame(s) {blank} are constant, as with a blanked beam, but were not "
                "in the stack that was registered. Fit again without them."
            )
        image, weight, _ = average_frames(
            frames,
            self._registration,
            area=_AREAS[self.area],
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        unknown = ~np.isfinite(image)
        if unknown.any():
            image = np.ma.masked_array(np.where(unknown, 0, image), unknown)
        return Bunch(
            image=image,
            pixel_size=frames.pixel_size,
            metadata=frames.metadata,
            dose=self.dose_,
            noise=self.noise_.copy(),
            displacement_std=self.displacement_std_.copy(),
            n_frames=weight
            / self._registration.weights[self._registration.used].mean(),
        )

    def fit_transform(self, X, y=None):
        """Register the frames of a stack and average them.

        Parameters
        ----------
        X : array-like, container, or list of these
            The stack, see Notes.
        y : None
            Ignored.

        Returns
        -------
        average : :class:`~sklearn.utils.Bunch`
            As `transform` returns it.
        """
        return self.fit(X).transform(X)

    def field(self, frame):
        """Return the displacement of every pixel of a frame.

        Parameters
        ----------
        frame : int
            Number of the frame.

        Returns
        -------
        field : ndarray of shape (2, n_rows, n_cols)
            Displacement ``(row, col)``, px, with shift, lines and smooth field.

        Raises
        ------
        IndexError
            If there is no such frame.
        """
        check_is_fitted(self)
        displacement = self._registration.displacements[frame]
        return field_of(displacement, self._registered_shape)

    def _set_attributes(self, frames, registration, origin):
        displacements = registration.displacements
        self._registration = registration
        self._registered_shape = frames.shape
        self.shifts_ = np.array([one.shift for one in displacements])
        self.shifts_std_ = registration.shift_std
        self.line_shifts_ = self.line_shifts_std_ = None
        if self.method != "rigid":
            still = np.zeros((frames.shape[0], 2))
            self.line_shifts_ = np.array(
                [still if one.lines is None else one.lines for one in displacements]
            )
            self.line_shifts_std_ = registration.line_std
        self.weights_ = weights = registration.weights
        self.rejected_ = np.flatnonzero(~registration.used)
        self.copies_ = registration.copy_of
        self.gains_, self.offsets_ = np.ones(len(weights)), np.zeros(len(weights))
        for frame, (gain, offset) in registration.scales.items():
            self.gains_[frame], self.offsets_[frame] = gain, offset
        self.correlation_ = registration.correlation
        self.cell_margin_ = registration.margin
        self.cell_probability_ = registration.cell_probability
        self.reference_ = registration.reference
        self.origin_ = origin
        self.spacing_ = registration.spacing
        self.n_effective_ = float(weights.sum() ** 2 / np.square(weights).sum())
        self.noise_ = registration.noise / self.n_effective_
        self.dose_ = None
        if isinstance(frames.dose, Real):
            self.dose_ = float(frames.dose) * self.n_effective_
        self.pixel_size_ = frames.pixel_size
        self.flyback_ = np.zeros(frames.shape[1])
        flyback = registration.flyback
        if flyback is not None and flyback.is_significant:
            self.flyback_ = flyback.of_pixels(frames.shape[1])

    def _set_errors(self, origin, n_rows):
        """Set what drift and jitter that do not average out add to errors."""
        own = self.weights_ > 0
        middle = (self._registered_shape[0] - 1) / 2
        self.displacement_std_ = error_of_average(
            self._registration.scatter,
            origin[0] - self.shifts_[own, 0] - middle,
            max(n_rows, 0),
            self.n_effective_,
        )

    def _warn_of_flyback(self):
        """Warn once of a flyback that is not corrected."""
        if self.method != "rigid" or not self.flyback_.any():
            return
        reach = self._registration.flyback.reach
        warnings.warn(
            f"The first pixels of all scan lines are displaced along the line by up to "
            f"{abs(self.flyback_[0]):.2f} px (flyback), noticeably in the first "
            f'{reach} px. method="lines" corrects this; or crop the first {reach} '
            "columns of pixels of the frames.",
            UserWarning,
            stacklevel=3,
        )

    def _warn_of_rejected(self):
        """Warn once of the frames that are rejected, with the reason for each."""
        rejected = self.rejected_[self.copies_[self.rejected_] < 0]
        if not rejected.size:
            return
        typical = np.median(np.delete(self.correlation_, self.rejected_))
        inverted = self._registration.is_inverted
        reasons = [
            f"{frame} (inverted: its columns are dark where the others' are bright)"
            if inverted[frame]
            else f"{frame} (correlation {self.correlation_[frame]:.2f})"
            for frame in rejected
        ]
        warnings.warn(
            f"{len(reasons)} of {len(self.weights_)} frames are rejected because they "
            f"resemble the average of the others less than the rest, whose correlation "
            f"with it is {typical:.2f}: {', '.join(reasons)}.",
            UserWarning,
            stacklevel=3,
        )

    def _warn_of_copies(self):
        """Warn once of frames that have the same pixels as others."""
        copies = np.flatnonzero(self.copies_ >= 0)
        if copies.size:
            listed = ", ".join(f"{i} (of {self.copies_[i]})" for i in copies[:8])
            warnings.warn(
                f"{copies.size} of {len(self.copies_)} frames are copies of others and "
                f"are used once: {listed}. Was the stack saved with repeated frames?",
                UserWarning,
                stacklevel=3,
            )

    def _warn_of_scales(self):
        """Warn once of frames of another gain or offset."""
        frames = np.flatnonzero((self.gains_ != 1) & (self.weights_ > 0))
        if frames.size:
            listed = ", ".join(
                f"{i} (gain {self.gains_[i]:.3g}, offset {self.offsets_[i]:.3g})"
                for i in frames[:8]
            )
            warnings.warn(
                f"{frames.size} of {len(self.gains_)} frames have another gain or "
                f"offset than the rest and are brought to theirs: {listed}. Were the "
                "settings of the detector changed?",
                UserWarning,
                stacklevel=3,
            )

    def _warn_of_cells(self):
        """Warn once of the frames whose unit cell is not determined."""
        doubtful = self.cell_margin_ < _MIN_CELL_MARGIN_SHARE
        doubtful |= self.cell_probability_ < _MIN_CELL_PROBABILITY
        doubtful &= self.weights_ > 0
        if doubtful.any():
            warnings.warn(
                f"{np.count_nonzero(doubtful)} of {len(doubtful)} frames may be "
                "displaced by a unit cell, because they match the others nearly as "
                f"well there: {', '.join(map(str, np.flatnonzero(doubtful)))}. Larger "
                "frames, or more counts in each, determine the cell.",
                UserWarning,
                stacklevel=3,
            )
