"""Display of the histogram of angles."""

import numpy as np

from ..._utils.angles import angle_peaks, warn_if_degrees, wrap_angle
from ..._utils.optional import import_optional
from .._drawing.axes import get_axes
from .._drawing.colors import angle_colors
from .._drawing.layout import degrees_text, text_scale

# Width of a character in the font of 10 pt, and of the gap between two texts, inches.
_CHARACTER_IN = 0.085
_GAP_IN = 0.06
# Nine labels of ticks need this width at a font size of 10 pt, inches.
_NINE_TICKS_INCHES = 3.7


class AngleHistogramDisplay:
    """Histogram of angles, its maxima marked: the variants.

    It is recommended to use :meth:`from_predictions` to make a display. All
    parameters are stored as attributes.

    Parameters
    ----------
    angle : ndarray of shape (n_samples,)
        Finite angles in radians, in [−π, π).
    bins : int, default=72
        Number of bins of the full circle.
    polar : bool, default=False
        Whether the axis of angles is a circle.
    peaks : array-like of shape (n_peaks,), default=()
        Angles to mark, radians.

    Attributes
    ----------
    bars_ : matplotlib BarContainer
        The bars, coloured as the directions are in the maps.
    counts_ : ndarray of shape (bins,)
        Samples in each bin.
    peak_lines_ : list of matplotlib Line2D
        Lines at the peaks.
    peak_texts_ : list of matplotlib Text
        Degrees of the peaks.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    DomainMapDisplay : Where each direction occurs.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.inspection import AngleHistogramDisplay
    >>> rng = np.random.default_rng(0)
    >>> angle = np.deg2rad(rng.choice([-130, 40], 500) + rng.normal(0, 5, 500))
    >>> display = AngleHistogramDisplay.from_predictions(angle)
    >>> np.rad2deg(display.peaks).round(-1)
    array([-130.,   40.])
    """

    def __init__(self, angle, *, bins=72, polar=False, peaks=()):
        self.angle = angle
        self.bins = bins
        self.polar = polar
        self.peaks = peaks

    @classmethod
    def from_predictions(cls, angle, *, bins=72, polar=False, n_peaks=None, ax=None):
        """Draw a histogram of angles.

        Parameters
        ----------
        angle : array-like of shape (n_samples,)
            Angles in radians; NaN are left out.
        bins : int, default=72
            Number of bins of the full circle.
        polar : bool, default=False
            Whether to draw a polar histogram, oriented like the image: 90° is down.
        n_peaks : int, default=None
            Maximum number of peaks to mark; all significant ones by default.
        ax : matplotlib Axes, default=None
            Axes to draw into, polar ones if `polar`; a new figure by default.

        Returns
        -------
        display : AngleHistogramDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `angle` is not one-dimensional or has no finite value, if `bins` is not
            positive or `n_peaks` negative, or if `ax` does not fit `polar`.
        """
        angle = np.asarray(angle, dtype=np.float64)
        if angle.ndim != 1:
            raise ValueError(
                f"angle must have shape (n_samples,), got shape {angle.shape}."
            )
        warn_if_degrees(angle, "angle", stacklevel=2)
        angle = wrap_angle(angle[np.isfinite(angle)])
        if angle.size == 0:
            raise ValueError("angle contains no finite value.")
        if bins < 1:
            raise ValueError(f"bins must be positive, got {bins!r}.")
        if n_peaks is not None and n_peaks < 0:
            raise ValueError(f"n_peaks must be 0, positive or None, got {n_peaks!r}.")
        display = cls(angle, bins=bins, polar=polar, peaks=angle_peaks(angle, n_peaks))
        return display.plot(ax)

    def plot(self, ax=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into, polar ones if `polar`; a new figure by default.

        Returns
        -------
        display : AngleHistogramDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `ax` does not fit `polar`.
        """
        ax = get_axes(ax, "polar" if self.polar else None)
        if (ax.name == "polar") != bool(self.polar):
            raise ValueError(
                f"polar={self.polar}, but ax has the projection {ax.name!r}. For "
                'polar=True make it with projection="polar".'
            )
        edges = np.linspace(-np.pi, np.pi, self.bins + 1)
        middle = (edges[1:] + edges[:-1]) / 2
        self.counts_, _ = np.histogram(self.angle, edges)
        unit = 1 if self.polar else 180 / np.pi
        self.bars_ = ax.bar(
            middle * unit,
            self.counts_,
            width=2 * np.pi / self.bins * unit,
            color=angle_colors(middle),
            edgecolor="black",
            linewidth=0.3,
        )
        # Texts within a circle need more room: some of them lie along its radius.
        places, room = [0.84] * len(self.peaks), 1.4
        sides = ["center"] * len(self.peaks)
        if not self.polar:
            rows, sides = _place_texts(self.peaks, 2 * np.pi / _width_inches(ax))
            n_rows = max(rows, default=0) + 1
            room = 1 + 0.25 * n_rows
            places = [0.9 + 0.13 * (row - n_rows + 1) for row in rows]
        top = room * self.counts_.max()
        self.peak_lines_ = [
            ax.plot([peak * unit] * 2, [0, place * top], color="black", ls="--", lw=1)[
                0
            ]
            for peak, place in zip(self.peaks, places, strict=True)
        ]
        self.peak_texts_ = [
            ax.text(
                peak * unit,
                place * top,
                degrees_text(peak),
                ha=side,
                va="center" if self.polar else "bottom",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )
            for peak, place, side in zip(self.peaks, places, sides, strict=True)
        ]
        ax.set_ylim(0, top)
        if self.polar:
            _dress_polar(ax, self.peaks)
        else:
            _dress_linear(ax)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _place_texts(peaks, rad_per_inch):
    """Return row and alignment of the text of each peak, such that no two overlap.

    Parameters
    ----------
    peaks : sequence of float
        Angles, radians, ascending.
    rad_per_inch : float
        Scale of the axis.

    Returns
    -------
    rows : list of int
        0 for the lowest row.
    sides : list of {"left", "center", "right"}
        Horizontal alignment; texts near the ends of the axis are kept within it.
    """
    rows, sides, ends = [], [], []
    for peak in peaks:
        n_characters = len(degrees_text(peak))
        width = (_CHARACTER_IN * n_characters + _GAP_IN) * text_scale() * rad_per_inch
        side, share = "center", 0.5
        if abs(peak) + width / 2 > np.pi:
            side, share = ("right", 1.0) if peak > 0 else ("left", 0.0)
        start = peak - share * width
        row = next((n for n, end in enumerate(ends) if end <= start), len(ends))
        ends[row : row + 1] = [start + width]
        rows.append(row)
        sides.append(side)
    return rows, sides


def _width_inches(ax):
    return ax.get_window_extent().width / ax.get_figure(root=True).dpi


def _dress_linear(ax):
    is_wide = _width_inches(ax) >= _NINE_TICKS_INCHES * text_scale()
    ticks = np.arange(-180, 181, 45 if is_wide else 90)
    ax.set(xlim=(-180, 180), xlabel="angle (degrees)", ylabel="number of sites")
    ax.set_xticks(ticks, [degrees_text(np.deg2rad(tick)) for tick in ticks])


def _dress_polar(ax, peaks):
    """Orient the circle like the image, rows downwards."""
    ax.set_theta_direction(-1)
    labels = ["0°", "", "90°", "", "±180°", "", "−90°", ""]
    ax.set_xticks(np.deg2rad(np.arange(0, 360, 45)), labels)
    ax.tick_params(axis="x", pad=8)
    ax.set_ylabel("number of sites", labelpad=42)
    locator = import_optional("matplotlib.ticker", "plot").MaxNLocator(4, integer=True)
    top = ax.get_ylim()[1]
    ticks = locator.tick_values(0, top)[1:]
    # A label nearer to the rim would be crossed by it.
    ax.set_yticks(ticks[ticks < 0.9 * top])
    ax.set_rlabel_position(np.rad2deg(_middle_of_widest_gap(peaks)))
    ax.set_axisbelow(True)


def _middle_of_widest_gap(peaks):
    if len(peaks) == 0:
        return -np.pi / 8
    peaks = np.sort(peaks)
    gap = np.diff(peaks, append=peaks[0] + 2 * np.pi)
    widest = np.argmax(np.round(gap, 1))
    return peaks[widest] + gap[widest] / 2 + 0.3
