"""What is learned once an image: the width of the columns, noise, what is faint.

A sample of a large image is enough: squares of it, as columns with gaps between them.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import skew

from ._column_fit import fit_columns
from ._columns import (
    AMPLITUDE,
    BACKGROUND,
    COL,
    ROW,
    SIGMA,
    ColumnFit,
    Typical,
    on_image,
)
from ._filters import blob_response, noise_response, smooth
from ._peaks import find_peaks, trough_power
from ._sample import Blocks
from ._windows import matched_significance, render_columns

# Sigma of a column, as a share of the spacing, before anything is known.
_FIRST_WIDTH = 0.16
# Sides in spacings and in px of the square that tells the width, whichever is more,
# and by how much the first guess of it may be wrong.
_WIDTH_SIDE = 9
_WIDTH_PIXELS = 96
_WIDTH_LIMITS = (0.5, 1.6)
# Wider filters merge a faint column with the bright ones around it.
_WIDEST_FILTER = 0.17
# How far columns must stand above the noise: where all stand far above it, so must
# every single one; where many drown, less will do.
CLEAR = 4.0
_FAINT = 3.0
_FAINTEST_CLEAR = (5.0, 7.0)
_MIN_CLEAR = 20
# Amplitudes so many times CLEAR standard errors are clear without another look, of
# columns whose width's logarithm is off by no more than that.
_SURE = 2.5
_USUAL = 0.3
# Columns so many widths apart do not overlap.
_OVERLAP = 8
# Images of so many square spacings without a mask are looked at as a whole, ...
_SMALL = 1600
# ... which is a first fit of all columns of this relative brightness, if no more than
# this share of them drowns in noise.
FIRST_THRESHOLD = 0.1
_MAX_DROWNED = 0.02


class FirstLook(NamedTuple):
    """A first fit of all columns of an image, and what it leaves.

    Parameters
    ----------
    fit : ColumnFit
        The columns, in the calibration's unit.
    significance : ndarray of shape (n,)
        Their signal over noise, before the inflation; infinite where beyond doubt.
    rest : ndarray of shape (n_rows, n_cols)
        The image less these columns.
    response : ndarray of shape (n_rows, n_cols)
        Response of the blob filter to that.
    """

    fit: ColumnFit
    significance: np.ndarray
    rest: np.ndarray
    response: np.ndarray

    def crop(self, window, origin, reach):
        """Take what shows in a window of the image; columns reach so far into it."""
        rest, response = self.rest[window], self.response[window]
        place = self.fit.positions - origin
        own = np.flatnonzero(on_image(place, rest.shape, -reach))
        fit = self.fit.take(own)
        fit.positions[:] = place[own]
        return FirstLook(fit, self.significance[own], rest, response)


class Calibration(NamedTuple):
    """What is known of an image before its columns are located.

    Parameters
    ----------
    typical : Typical
        What is typical of its pixels and columns.
    inflation : float
        How much noise in the band of the columns exceeds white noise of that
        variance: detectors correlate neighbouring pixels, and columns are not
        quite Gaussian.
    significance : float
        Signal over noise that makes a column.
    unit : float
        Power of two by which the image was divided.
    first : FirstLook or None
        First look at the columns of the image in that unit, if there was one.
    """

    typical: Typical
    inflation: float
    significance: float
    unit: float
    first: FirstLook | None = None

    @property
    def noise(self):
        """Variance of the pixels."""
        return self.typical.noise


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
    side = max(_WIDTH_SIDE, _WIDTH_PIXELS / spacing)
    square, mask = Blocks(image, spacing).busiest(image, valid, side)
    square = square / image_unit(square)
    width = _FIRST_WIDTH * spacing
    response = blob_response(square, width)
    positions, height = find_peaks(response, spacing, 0.15)
    if mask is not None:
        seen = at_pixels(mask, positions)
        positions, height = positions[seen], height[seen]
    if not len(positions):
        return np.nan, np.nan
    width = _width_of_blobs(square, positions, height, width)
    fit = fit_columns(
        square,
        start_table(square, positions, height, width),
        spacing=spacing,
        width=width,
        first_look=True,
        valid=mask,
    )
    good = fit.converged | (fit.std[:, SIGMA] < 0.2 * width)
    if not good.any():
        return np.nan, np.nan
    table, std = fit.table[good], fit.std[good]
    bright = table[:, AMPLITUDE] > 0.5 * np.quantile(table[:, AMPLITUDE], 0.9)
    # Spikes of noise are narrow, and known badly.
    weight = (table[bright, SIGMA] / std[bright, SIGMA]) ** 2
    width = _weighted_median(table[bright, SIGMA], weight)
    return width, float(skew(response, axis=None))


def _width_of_blobs(image, positions, height, guess):
    """Tell the sigma of bright blobs by how two blob filters respond to them."""
    bright = positions[height > 0.5 * np.quantile(height, 0.9)]
    narrow, wide = 0.75 * guess, 1.25 * guess
    share = np.median(
        at_pixels(blob_response(image, narrow), bright)
        / at_pixels(blob_response(image, wide), bright)
    )
    # To a Gaussian of unit height a filter of width w responds by
    # (2 w sigma / (w² + sigma²))².
    q = np.sqrt(max(share, 1e-6)) * wide / narrow
    low, high = _WIDTH_LIMITS[0] * guess, _WIDTH_LIMITS[1] * guess
    if q <= 1:
        return high
    return float(np.sqrt(np.clip((wide**2 - q * narrow**2) / (q - 1), low**2, high**2)))


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
        first_look=True,
        valid=valid,
        elliptical=shape == "elliptical",
    )
    noise = fit.typical.noise
    model = render_columns(image.shape, fit.columns, width)
    rest, inner = image - model, slice(None)
    if valid is not None:
        inner = smooth(valid.astype(np.float32), blob_width) > 0.999
        left = blob_response(np.where(valid, rest, 0), blob_width)
    else:
        left = blob_response(rest, blob_width)
    model += np.float32(fit.typical.level)
    power = trough_power(left[inner], noise.variance(model)[inner])
    inflation = max(1.0, np.sqrt(power) / noise_response(blob_width))
    matched = significance_of(fit, image, valid, noise, inflation, width)
    clear = matched[matched / inflation > CLEAR] / inflation
    limit = CLEAR
    if len(clear) >= _MIN_CLEAR:
        faintest = np.quantile(clear, 0.05, method="lower")
        limit = float(np.interp(faintest, _FAINTEST_CLEAR, (_FAINT, CLEAR)))
    first = None
    if is_small and len(clear) >= (1 - _MAX_DROWNED) * len(matched):
        first = FirstLook(fit, matched, rest, left)
    return Calibration(fit.typical, float(inflation), limit, unit, first)


def significance_of(fit, image, valid, noise, inflation, width, known=None):
    """Compute columns' signal over noise where there is doubt.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    image, valid : ndarray
        The image and which of its pixels count; None for all.
    noise : NoiseModel
        Pixel variance.
    inflation : float
        By how much errors exceed what follows from that.
    width : float
        Typical sigma, px.
    known : ndarray of shape (n_known,), default=None
        That of the first columns, if others have been added since.

    Returns
    -------
    significance : ndarray of shape (n,)
        Amplitude over its error, for columns of the typical sigma with all others
        subtracted; infinite for columns that the fit leaves no doubt of.
    """
    sure = fit.table[:, AMPLITUDE] > _SURE * CLEAR * inflation * fit.std[:, AMPLITUDE]
    # Crests of noise among others may be fitted as wide columns on deep backgrounds.
    sure &= np.abs(np.log(fit.table[:, SIGMA] / width)) < _USUAL
    significance = np.full(len(sure), np.inf)
    if known is not None:
        significance[: len(known)] = known
        sure[: len(known)] = True
    doubtful = np.flatnonzero(~sure)
    if doubtful.size:
        # They and all that may overlap them.
        distance, _ = cKDTree(fit.positions[doubtful]).query(
            fit.positions, distance_upper_bound=_OVERLAP * width
        )
        near = np.flatnonzero(np.isfinite(distance))
        matched = matched_significance(image, fit.take(near), noise, width, valid=valid)
        doubted = np.isfinite(significance[near]) | ~sure[near]
        significance[near[doubted]] = matched[doubted]
    return significance


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
