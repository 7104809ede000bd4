"""What is learned once an image: the width of the columns, noise, what is faint.

A sample of a large image is enough: squares of it, as columns with gaps between them.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import skew

from ._column_fit import fit_columns
from ._columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA, ColumnFit
from ._filters import blob_response, noise_response, smooth
from ._noise import NoiseModel
from ._peaks import find_peaks, trough_power
from ._sample import Blocks
from ._windows import ColumnWindows, matched_significance, render_columns

# Sigma of a column, as a share of the spacing, before anything is known.
_FIRST_WIDTH = 0.16
# Sides in spacings of the squares that tell the width, first roughly, and how many
# rounds it takes.
_WIDTH_SIDES = (9, 12)
_WIDTH_ROUNDS = (3, 6)
# Wider filters merge a faint column with the bright ones around it.
_WIDEST_FILTER = 0.17
# How far columns must stand above the noise: where all stand far above it, so must
# every single one; where many drown, less will do.
CLEAR = 4.0
_FAINT = 3.0
_FAINTEST_CLEAR = (5.0, 7.0)
_MIN_CLEAR = 20
# Images of so many square spacings without a mask are looked at as a whole, ...
_SMALL = 1600
# ... which is a first fit of all columns of this relative brightness, if no more than
# this share of them drowns in noise.
FIRST_THRESHOLD = 0.1
_MAX_DROWNED = 0.02


class Calibration(NamedTuple):
    """What is known of an image before its columns are located.

    Parameters
    ----------
    noise : NoiseModel
        Variance of the pixels.
    inflation : float
        How much noise in the band of the columns exceeds white noise of that
        variance: detectors correlate neighbouring pixels, and columns are not
        quite Gaussian.
    significance : float
        Signal over noise that makes a column.
    unit : float
        Power of two by which the image was divided.
    first : ColumnFit or None
        First fit of the columns of the image in that unit, if there is one.
    significance_of_first : ndarray of shape (n,) or None
        Signal over noise of those columns, before the inflation.
    """

    noise: NoiseModel
    inflation: float
    significance: float
    unit: float
    first: ColumnFit | None = None
    significance_of_first: np.ndarray | None = None


def filter_width(spacing, width):
    """Choose the width of the blob filter.

    Parameters
    ----------
    spacing, width : float
        Nearest-neighbour spacing and typical sigma of the columns, px.

    Returns
    -------
    width : float
        Sigma of the blobs that the filter is for, px.
    """
    return min(width, _WIDEST_FILTER * spacing)


def estimate_width(image, valid, spacing):
    """Estimate the typical sigma of the bright columns, and the sign of contrast.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Pixels that count; None for all.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    width : float
        Median sigma, px; NaN if no column could be fitted.
    skewness : float
        Skewness of the blob response: negative where the columns are dark.
    """
    width, blocks = _FIRST_WIDTH * spacing, Blocks(image, spacing)
    for side, n_rounds in zip(_WIDTH_SIDES, _WIDTH_ROUNDS, strict=True):
        square, mask = blocks.busiest(image, valid, side)
        square = square / image_unit(square)
        response = blob_response(square, filter_width(spacing, width))
        table = start_table(square, *find_peaks(response, spacing, 0.15), width)
        if mask is not None:
            table = table[at_pixels(mask, table[:, ROW : COL + 1])]
        fit = fit_columns(
            square, table, spacing=spacing, width=width, max_rounds=n_rounds, valid=mask
        )
        good = fit.converged | (fit.std[:, SIGMA] < 0.2 * width)
        if not good.any():
            return np.nan, np.nan
        table, std = fit.table[good], fit.std[good]
        bright = table[:, AMPLITUDE] > 0.5 * np.quantile(table[:, AMPLITUDE], 0.9)
        # Spikes of noise are narrow, and known badly.
        weight = (table[bright, SIGMA] / std[bright, SIGMA]) ** 2
        width = _weighted_median(table[bright, SIGMA], weight)
    skewness = float(skew(response, axis=None))
    return width, skewness


def calibrate(image, valid, spacing, width, shape="circular"):
    """Learn the noise of an image from a sample of it, or all of a small one.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    valid : ndarray of bool of shape (n_rows, n_cols) or None
        Pixels that count; None for all.
    spacing, width : float
        Nearest-neighbour spacing and typical sigma of the columns, px.
    shape : {"circular", "elliptical"}, default="circular"
        What columns are fitted with.

    Returns
    -------
    calibration : Calibration or None
        None if the sample shows no columns.
    """
    unit = image_unit(image)
    blob_width = filter_width(spacing, width)
    is_small = valid is None and image.size <= _SMALL * spacing**2
    if is_small:
        response = blob_response(image / unit, blob_width)
    else:
        image, valid, response = Blocks(image, spacing).sample(
            image, valid, lambda part: blob_response(part / unit, blob_width)
        )
    image = image / unit
    table = start_table(image, *find_peaks(response, spacing, FIRST_THRESHOLD), width)
    if valid is not None:
        table = table[at_pixels(valid, table[:, ROW : COL + 1])]
    if not len(table):
        return None
    fit = fit_columns(
        image,
        table,
        spacing=spacing,
        width=width,
        max_rounds=4,
        valid=valid,
        elliptical=shape == "elliptical",
    )
    model = _render(image, fit, width)
    left, inner = image - model, slice(None)
    if valid is not None:
        left[~valid] = 0
        inner = smooth(valid.astype(np.float32), blob_width) > 0.999
    left = blob_response(left, blob_width)
    model += np.float32(np.median(fit.table[:, BACKGROUND]))
    power = trough_power(left[inner], fit.noise.variance(model)[inner])
    inflation = max(1.0, np.sqrt(power) / noise_response(blob_width))
    matched = matched_significance(image, fit.table, fit.noise, width)
    significance = matched / inflation
    clear = significance[(significance > CLEAR) & (significance < np.inf)]
    limit = CLEAR
    if len(clear) >= _MIN_CLEAR:
        faintest = np.quantile(clear, 0.05)
        limit = float(np.interp(faintest, _FAINTEST_CLEAR, (_FAINT, CLEAR)))
    known = None, None
    if is_small and len(clear) >= (1 - _MAX_DROWNED) * len(significance):
        known = fit, matched
    return Calibration(fit.noise, float(inflation), limit, unit, *known)


def _render(image, fit, width):
    """Sum the columns of a fit, round or not."""
    if fit.ellipse is None:
        return render_columns(image.shape, fit.table, width)
    windows = ColumnWindows(image, fit.table, width)
    ratio, angle = fit.ellipse.T
    stretch = np.log(ratio)[:, None] * np.stack(
        [np.cos(2 * angle), np.sin(2 * angle)], axis=1
    )
    return windows.render(np.hstack([fit.table[:, : SIGMA + 1], stretch]))[windows.crop]


def image_unit(image):
    """Choose the power of two that brings an image into the range of float32.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, perhaps currents in ampere.

    Returns
    -------
    unit : float
        Divide by this; 1 for counts.
    """
    step = tuple(slice(None, None, max(1, length // 1024)) for length in image.shape)
    scale = float(np.std(image[step], dtype=np.float64))
    if 1e-2 < scale < 1e5 or scale == 0:
        return np.float32(1)
    return np.float32(2.0 ** np.round(np.log2(scale)))


def start_table(image, positions, height, width):
    """Make the table that a fit starts from.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Columns, px.
    height : ndarray of shape (n,)
        Their amplitudes.
    width : float
        Their sigma, px.

    Returns
    -------
    table : ndarray of shape (n, 5)
        Amplitude, row, col, sigma, background.
    """
    table = np.empty((len(positions), 5))
    table[:, AMPLITUDE] = height
    table[:, ROW : COL + 1] = positions
    table[:, SIGMA] = width
    table[:, BACKGROUND] = at_pixels(image, positions) - height
    return table


def at_pixels(image, positions):
    """Look up the pixels nearest to positions, the border's for those off the image.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Where.

    Returns
    -------
    values : ndarray of shape (n,)
        The pixels.
    """
    nearest = np.clip(np.rint(positions).astype(int), 0, np.array(image.shape) - 1)
    return image[nearest[:, 0], nearest[:, 1]]


def _weighted_median(values, weight):
    order = np.argsort(values)
    share = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])
