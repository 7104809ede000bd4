"""Drift, jitter and flyback of a series, and their remainder in its average.

Lines of a frame are displaced relative to the average of the other frames. How much
they differ between frames determines how far the mean of a finite number of frames
departs from the specimen, which registration cannot measure. The flyback displaces the
first pixels of all lines of all frames; it is seen where the specimen drifts during the
series, because the same columns then lie at different distances from the start.
"""

from dataclasses import dataclass

import numpy as np

# Typical sigma of a column as a share of the distance of nearest columns.
_SIGMA_SPACINGS = 0.2
# Kernels by which the lines that cross a column are weighted reach this many sigmas.
_REACH_SIGMA = 4.0
# Decay lengths of the flyback that are compared, as shares of a line. Longer ones are
# not distinguished from a stretch of the image.
_MIN_DECAY_SHARE, _MAX_DECAY_SHARE, _N_DECAYS = 0.005, 0.1, 25
# Shortest decay length that pixels resolve, px.
_MIN_DECAY_PX = 2.0
# A flyback is reported if it exceeds this number of standard errors, and corrected if
# it also exceeds this displacement of the first pixel.
_MIN_DEVIATIONS = 5.0
_MIN_FLYBACK_PX = 0.1
# Error of the flyback as a share of it: amplitude and decay length are determined
# together by few columns of atoms. In generated series it was 0.1 to 0.5.
_UNCERTAIN_SHARE = 0.5
# Displacements below this do not matter for single columns.
_NEGLIGIBLE_PX = 0.05


@dataclass(frozen=True)
class LineSums:
    """Displacements that single lines and columns of pixels of a frame show.

    Parameters
    ----------
    line_step, line_weight : ndarray of shape (n_rows, 2)
        Displacement ``(row, col)`` of each line in addition to the present one, px, and
        the inverse of its variance from the noise, px⁻².
    column_step, column_weight : ndarray of shape (n_cols,)
        The same along the lines for each column of pixels.
    """

    line_step: np.ndarray
    line_weight: np.ndarray
    column_step: np.ndarray
    column_weight: np.ndarray


@dataclass(frozen=True)
class Flyback:
    """Displacement at the start of all lines that decays exponentially.

    Parameters
    ----------
    amplitude, amplitude_std : float
        Displacement of the first pixel along the line and its standard error, px: it is
        added to the position of the pixel to obtain the point of the specimen.
    decay : float
        Decay length, px.
    """

    amplitude: float
    amplitude_std: float
    decay: float

    @property
    def is_significant(self):
        """Whether the flyback exceeds its error and is not negligible."""
        return (
            abs(self.amplitude) > _MIN_DEVIATIONS * self.amplitude_std
            and abs(self.amplitude) > _MIN_FLYBACK_PX
        )

    @property
    def reach(self):
        """Number of pixels at the start of the lines that are displaced noticeably."""
        return self._n_above(_NEGLIGIBLE_PX)

    @property
    def n_uncertain(self):
        """Number of pixels at the start of the lines that it leaves displaced."""
        return self._n_above(_NEGLIGIBLE_PX / _UNCERTAIN_SHARE)

    def _n_above(self, limit):
        """Return the number of pixels that are displaced by more than a limit, px."""
        ratio = max(abs(self.amplitude) / limit, 1.0)
        return int(np.ceil(self.decay * np.log(ratio)))

    def of_pixels(self, n_cols):
        """Return the displacement of each pixel of a line, px."""
        return self.amplitude * np.exp(-np.arange(n_cols) / self.decay)


def sum_lines(misfit):
    """Return the displacements of single lines and columns of pixels of a frame.

    Parameters
    ----------
    misfit : Misfit
        Result of `compare`.

    Returns
    -------
    sums : LineSums
        Where nothing is known, weights are 0 and steps 0.
    """
    gradients = misfit.row, misfit.col
    weights = [np.square(part).sum(axis=1, dtype=float) for part in gradients]
    products = [(part * misfit.residual).sum(axis=1, dtype=float) for part in gradients]
    line_weight, line_product = np.stack(weights, axis=1), np.stack(products, axis=1)
    column_weight = np.square(misfit.col).sum(axis=0, dtype=float)
    column_product = (misfit.col * misfit.residual).sum(axis=0, dtype=float)
    return LineSums(
        _divide(line_product, line_weight),
        line_weight,
        _divide(column_product, column_weight),
        column_weight,
    )


def _divide(product, weight):
    """Return product over weight, 0 where there is no weight."""
    return np.divide(product, weight, out=np.zeros_like(product), where=weight > 0)


@dataclass(frozen=True)
class LineScatter:
    """Differences of the displacements of lines between the frames.

    Parameters
    ----------
    slope_variance : ndarray of shape (2,)
        Variance of the drift within a frame, ``(row, col)``, (px per line)².
    column_variance : ndarray of shape (2,)
        Variance of what columns are displaced by beyond that, px².
    """

    slope_variance: np.ndarray
    column_variance: np.ndarray


def measure_scatter(sums, lines, spacing):
    """Return how the displacements of lines differ between the frames.

    Parameters
    ----------
    sums : list of LineSums
        Of the frames used.
    lines : list of (ndarray of shape (n_rows, 2) or None)
        Displacements of the lines that are corrected, px.
    spacing : float
        Distance of nearest columns, px.

    Returns
    -------
    scatter : LineScatter
        Variances beyond those of the noise.
    """
    n_frames, n_rows = len(sums), len(sums[0].line_step)
    time = np.arange(n_rows) - (n_rows - 1) / 2
    slopes, columns = np.zeros(2), np.zeros(2)
    for axis, kernel in enumerate(_column_kernels(spacing)):
        excess, total = np.zeros(2), np.zeros(2)
        for one, known in zip(sums, lines, strict=True):
            weight = one.line_weight[:, axis]
            if np.count_nonzero(weight) < 3:
                continue
            shown = one.line_step[:, axis]
            if known is not None:
                shown = shown + known[:, axis]
            # Constant and slope by weighted least squares.
            origin = np.average(time, weights=weight)
            rest = shown - np.average(shown, weights=weight)
            information = (weight * (time - origin) ** 2).sum()
            slope = (weight * (time - origin) * rest).sum() / information
            rest = rest - slope * (time - origin)
            excess[0] += information * slope**2 - 1
            total[0] += information
            # What a column sees of the rest, and the variance of the noise in it.
            summed = np.convolve(weight, kernel, mode="same")
            mean = _divide(np.convolve(weight * rest, kernel, mode="same"), summed)
            noise = np.convolve(weight, kernel**2, mode="same")
            precision = _divide(summed**2, noise)
            excess[1] += (precision * mean**2)[precision > 0].sum()
            excess[1] -= np.count_nonzero(precision)
            total[1] += precision.sum()
        found = np.maximum(_divide(excess, total), 0)
        # Differences from the mean of the other frames contain the scatter of these.
        slopes[axis], columns[axis] = found * (n_frames - 1) / n_frames
    return LineScatter(slopes, columns)


def _column_kernels(spacing):
    """Return the weights of the lines in the position of a column, row and column."""
    sigma = _SIGMA_SPACINGS * spacing
    reach = int(np.ceil(_REACH_SIGMA * sigma))
    square = (np.arange(-reach, reach + 1) / sigma) ** 2
    return square * np.exp(-square), np.exp(-square)


def error_of_average(scatter, first_rows, n_rows, weight):
    """Return the error of the average by drift and jitter that do not average out.

    Parameters
    ----------
    scatter : LineScatter
        Result of `measure_scatter`.
    first_rows : ndarray of shape (n_frames,)
        Line of each frame used, from the middle of the frame, at the first row of the
        average.
    n_rows : int
        Rows of the average.
    weight : float or ndarray of shape (n_rows,)
        Effective number of frames.

    Returns
    -------
    std : ndarray of shape (n_rows, 2)
        Standard error of the positions of columns in each row, px.
    """
    time = first_rows[:, None] + np.arange(n_rows)
    square = np.mean(time**2, axis=0)
    variance = square[:, None] * scatter.slope_variance + scatter.column_variance
    return np.sqrt(variance / np.maximum(np.reshape(weight, (-1, 1)), 1))


def fit_flyback(sums, shifts, weights, known=None):
    """Estimate the flyback from the displacements of columns of pixels.

    Parameters
    ----------
    sums : list of LineSums
        Of the frames used.
    shifts : ndarray of shape (n_frames,)
        Displacements of these frames along the lines, px.
    weights : ndarray of shape (n_frames,)
        Their weights in the average.
    known : Flyback, default=None
        Flyback that is corrected already.

    Returns
    -------
    flyback : Flyback
        The whole flyback; of amplitude 0 and infinite error if the frames do not show
        it, because they do not drift along the lines.
    """
    n_cols = len(sums[0].column_step)
    weight = np.array([one.column_weight for one in sums])
    shown = np.array([one.column_step for one in sums])
    if known is not None:
        pattern = _relative_pattern(known.decay, shifts, weights, n_cols)
        shown = shown + known.amplitude * pattern
    shortest = max(_MIN_DECAY_PX, _MIN_DECAY_SHARE * n_cols)
    longest = max(_MAX_DECAY_SHARE * n_cols, 2 * shortest)
    best, gain = Flyback(0.0, np.inf, shortest), 0.0
    for decay in np.geomspace(shortest, longest, _N_DECAYS):
        pattern = _relative_pattern(decay, shifts, weights, n_cols)
        # A frame as a whole is registered already: only changes along the lines count.
        mean = _divide((weight * pattern).sum(axis=1), weight.sum(axis=1))
        pattern = pattern - mean[:, None]
        information = (weight * pattern**2).sum()
        if information <= 0:
            continue
        product = (weight * pattern * shown).sum()
        if product**2 / information > gain:
            gain = product**2 / information
            best = Flyback(product / information, information**-0.5, float(decay))
    if best.decay > 0.99 * longest:
        # No decay is seen, because the frames hardly drift along the lines.
        return Flyback(0.0, np.inf, best.decay)
    return best


def _relative_pattern(decay, shifts, weights, n_cols):
    """Return the displacement of pixels by a unit flyback relative to other frames.

    Shape (n_frames, n_cols).
    """
    start = np.arange(n_cols)
    patterns = np.empty((len(shifts), n_cols))
    for number, shift in enumerate(shifts):
        others = np.arange(len(shifts)) != number
        # Pixels of the other frames that show what this frame's pixels show.
        place = start + (shift - shifts[others])[:, None]
        seen = (place >= 0) & (place < n_cols)
        share = weights[others][:, None] * seen
        value = np.exp(-np.clip(place, 0, None) / decay)
        mean = _divide((share * value).sum(axis=0), share.sum(axis=0))
        patterns[number] = np.where(seen.any(axis=0), np.exp(-start / decay) - mean, 0)
    return patterns
