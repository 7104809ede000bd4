"""Displacements of scan lines and of frames."""

import numpy as np

from ..._drawing.axes import get_axes
from ..._drawing.colors import class_colors

# Bands reach this many standard errors to either side.
_BAND_ERRORS = 2.0
_COMPONENTS = ("row", "column")


class ScanDistortionDisplay:
    """Displacements of the lines of an image, or of the frames of a series.

    It is recommended to use :meth:`from_estimator` to make a display. All parameters
    are stored as attributes.

    Parameters
    ----------
    shifts : ndarray of shape (n, 2)
        Displacements ``(row, column)``, px.
    stds : ndarray of shape (n, 2), default=None
        Their standard errors, px.
    rejected : array-like of int, default=()
        Frames that are not used; their displacements are not drawn.
    coordinate_name : str, default="scan line"
        Label of the horizontal axis.

    Attributes
    ----------
    lines_ : list of two matplotlib Line2D
        Row and column component.
    bands_ : list of matplotlib PolyCollection
        Bands of two standard errors to either side.
    rejected_lines_ : list of matplotlib Line2D
        Vertical lines at the rejected frames.
    legend_ : matplotlib Legend
        The legend.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sklearn_ferroic.ScanDistortionCorrector : Measures displacements of lines.
    sklearn_ferroic.FrameAverager : Measures displacements of frames.

    Examples
    --------
    >>> from sklearn_ferroic import FrameAverager
    >>> from sklearn_ferroic.datasets import make_ferroic_series
    >>> from sklearn_ferroic.inspection import ScanDistortionDisplay
    >>> data = make_ferroic_series(3, shape=(96, 96), n_bad=0, random_state=0)
    >>> averager = FrameAverager().fit(data)
    >>> display = ScanDistortionDisplay.from_estimator(averager)
    >>> display.ax_.get_xlabel()
    'frame'
    """

    def __init__(self, shifts, *, stds=None, rejected=(), coordinate_name="scan line"):
        self.shifts = shifts
        self.stds = stds
        self.rejected = rejected
        self.coordinate_name = coordinate_name

    @classmethod
    def from_estimator(cls, estimator, *, image=0, ax=None):
        """Draw the displacements that an estimator has found.

        Parameters
        ----------
        estimator : FrameAverager or ScanDistortionCorrector
            The fitted estimator.
        image : int, default=0
            Number of the image of several that a ScanDistortionCorrector was fitted on.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : ScanDistortionDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator is not one of these or is not fitted.
        ValueError
            If there is no such image.
        """
        if hasattr(estimator, "line_shifts_std_") and hasattr(estimator, "drift_"):
            n_images = len(estimator.line_shifts_)
            if not 0 <= image < n_images:
                raise ValueError(f"image must be 0 to {n_images - 1}, got {image!r}.")
            display = cls(
                estimator.line_shifts_[image], stds=estimator.line_shifts_std_[image]
            )
        elif hasattr(estimator, "shifts_"):
            display = cls(
                estimator.shifts_,
                stds=estimator.shifts_std_,
                rejected=estimator.rejected_,
                coordinate_name="frame",
            )
        else:
            raise TypeError(
                "estimator must be a fitted FrameAverager or ScanDistortionCorrector, "
                f"got {type(estimator).__name__}."
            )
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : ScanDistortionDisplay
            The display itself.
        """
        ax = get_axes(ax)
        shifts = np.array(self.shifts, dtype=float)
        rejected = np.asarray(self.rejected, dtype=int)
        shifts[rejected] = np.nan
        place = np.arange(len(shifts))
        self.lines_, self.bands_ = [], []
        marker = "o" if self.coordinate_name == "frame" else ""
        for axis, (name, color) in enumerate(
            zip(_COMPONENTS, class_colors([0, 1]), strict=True)
        ):
            (line,) = ax.plot(
                place, shifts[:, axis], color=color, label=name, marker=marker, ms=4
            )
            self.lines_.append(line)
            if self.stds is not None:
                reach = _BAND_ERRORS * np.asarray(self.stds)[:, axis]
                reach = np.where(np.isfinite(reach), reach, np.nan)
                low, high = shifts[:, axis] - reach, shifts[:, axis] + reach
                band = ax.fill_between(
                    place, low, high, color=color, alpha=0.25, linewidth=0
                )
                self.bands_.append(band)
        self.rejected_lines_ = [
            ax.axvline(
                frame,
                color="black",
                ls=":",
                lw=1,
                label="rejected" if frame == rejected[0] else None,
            )
            for frame in rejected
        ]
        ax.set(xlabel=self.coordinate_name, ylabel="displacement (px)")
        ax.xaxis.get_major_locator().set_params(integer=True)
        self.legend_ = ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
