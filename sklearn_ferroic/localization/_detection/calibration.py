"""What is learned once an image: its noise, and what is faint.

A sample of a large image is enough: squares of it, as columns with gaps between them.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree

from .._fitting.column_fit import WIDTH_SCATTER, fit_columns, typical_sigma
from .._fitting.columns import (
    AMPLITUDE,
    COL,
    ROW,
    ColumnFit,
    Typical,
    bin_typical,
    start_table,
)
from .._fitting.windows import render_columns
from .._image.bad_pixels import value_span
from .._image.binning import bin_image, binned_scale, choose_binning
from .._image.filters import blob_response, filter_width, noise_response, smooth
from .._image.peaks import NEIGHBOR_REACH, find_peaks
from .._image.positions import at_pixels, on_image
from .._image.tiles import Blocks
from .lattice_continuation import append_outer_columns
from .selection import CLEAR_SIGNIFICANCE, Crowding, measure_crowding
from .threshold import FIRST_GLANCE, Floor, significance_of

_FAINT = 3.0
_FAINTEST_CLEAR = (5.0, 7.0)
_MIN_CLEAR = 20
# Very clear columns are typical of the image if they are at least this share of the
# clear ones.
_TYPICAL_SHARE = 0.3
# Columns have at least this share of the height of the brightest ones of the image.
LEAST_SHARE = 0.02
# Fits until the common stretch of the columns is known, and what change counts as none.
_MAX_STRETCH_ROUNDS = 6
_STRETCH_TOLERANCE = 0.02
# A stretch that grows by such a ratio is extrapolated, as if by this ratio at most.
_SLOW_RATIO, _MAX_RATIO = 0.4, 0.75
# Images of so many square spacings without a mask are looked at as a whole, ...
_SMALL = 1600
# ... which is a first fit of all columns of this relative brightness, if no more than
# this share of them drowns in noise.
FIRST_THRESHOLD = 0.1
_MAX_DROWNED = 0.02
# Columns wider than this (spacings) overlap: the noise is estimated again after a
# search for faint ones between bright ones, until its variance changes by less than
# this share, in a few rounds.
OVERLAP_WIDTH_SPACINGS = 0.22
_NOISE_TOLERANCE = 0.1
_MAX_SEARCH_ROUNDS = 2
# Noise is measured so many spacings from a border: where this share of the pixels up to
# there counts.
_MARGIN = 1.5
_INNER = 0.9
# Squared troughs are wild beyond so many times their median, which so many tell; in
# white noise hardly any is.
_WILD = 50
_N_MEDIAN = 20_000


class FirstLook(NamedTuple):
    """A first fit of all columns of an image, and what it leaves.

    Parameters
    ----------
    fit : ColumnFit
        The columns, in the calibration's unit.
    significance : ndarray of shape (n,) or None
        Their signal over noise, before the inflation; infinite where beyond doubt;
        None if that is not known.
    rest : ndarray of shape (n_rows, n_cols)
        The image less these columns.
    response : ndarray of shape (n_rows, n_cols)
        Response of the blob filter to that.
    """

    fit: ColumnFit
    significance: np.ndarray
    rest: np.ndarray
    response: np.ndarray

    def crop(self, window, side, reach):
        """Take what shows in a window of pixels; columns reach so many bins into it."""
        window = tuple(
            slice(part.start // side, -(-part.stop // side)) for part in window
        )
        rest, response = self.rest[window], self.response[window]
        place = self.fit.positions - [part.start for part in window]
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
    side : int
        Columns are looked for in bins of this side, px.
    first : FirstLook or None
        First look at the columns of the binned image in that unit, if there was one.
    crowding : Crowding, default=Crowding()
        How close columns are.
    least : float, default=0.0
        Least height of a column anywhere in the binned image.
    """

    typical: Typical
    inflation: float
    significance: float
    unit: float
    side: int = 1
    first: FirstLook | None = None
    crowding: Crowding = Crowding()
    least: float = 0.0

    @property
    def noise(self):
        """Variance of the pixels."""
        return self.typical.noise

    def binned(self):
        """Tell what is known of the binned image."""
        return self._replace(typical=bin_typical(self.typical, self.side**2), side=1)


def calibrate(image, valid, spacing, width, shape="circular", search=None):
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
    search : callable, default=None
        Finds more columns where they overlap, see `_locate.search`.

    Returns
    -------
    calibration : Calibration or None
        None if the sample shows no columns.
    """
    unit, span = image_unit(image), value_span(image)
    is_small = valid is None and image.size <= _SMALL * spacing**2
    # Bins that a mask cuts would move the columns beside it.
    side = choose_binning(spacing, width) if valid is None else 1
    blocks = None if is_small else Blocks(image, spacing)
    spacing, width = binned_scale(spacing, width, side)
    blob_width = filter_width(spacing, width)
    image, valid, response = _view(image, valid, unit, side, blocks, blob_width)
    table = start_table(image, *find_peaks(response, spacing, FIRST_THRESHOLD), width)
    if valid is not None:
        table = table[at_pixels(valid, table[:, ROW : COL + 1])]
    if not len(table):
        return None
    start, stretch, change = table, np.zeros(2), np.zeros(2)
    for _ in range(_MAX_STRETCH_ROUNDS):
        fit = fit_columns(
            image,
            table,
            spacing=spacing,
            width=width,
            first_look=True,
            valid=valid,
            elliptical=shape == "elliptical",
            stretch=stretch,
        )
        before, change = change, fit.typical.stretch - stretch
        table, stretch = fit.table, np.array(fit.typical.stretch)
        if np.hypot(*change) < _STRETCH_TOLERANCE:
            break
        # Columns that overlap hide a part of it each time.
        ratio = float(change @ before / max(before @ before, 1e-12))
        if ratio > _SLOW_RATIO:
            ratio = min(ratio, _MAX_RATIO)
            stretch = stretch + ratio / (1 - ratio) * change
    sample = _Sample(image, valid, spacing, blob_width, is_small)
    calibration = _conclude(sample, fit, start, width)
    if search is not None and width > OVERLAP_WIDTH_SPACINGS * spacing:
        # Columns that the first fit lacks, or moves, count as noise.
        options = {"valid": valid, "elliptical": shape == "elliptical"}
        levels = np.quantile(image, (0.01, 0.99))
        for _ in range(_MAX_SEARCH_ROUNDS):
            before = fit.typical.noise
            start = search(image, calibration, LEAST_SHARE, spacing, width, **options)
            if not len(start.table):
                break
            width = typical_sigma(start, width)
            fit = _fit_again(image, start, spacing, width, stretch, options)
            calibration = _conclude(sample, fit, fit.table, width)
            if fit.typical.noise.log_ratio(before, levels) < _NOISE_TOLERANCE:
                break
    typical = bin_typical(fit.typical, 1 / side**2)
    typical = typical._replace(span=(span[0] / unit, span[1] / unit))
    return calibration._replace(typical=typical, unit=unit, side=side)


def _fit_again(image, start, spacing, width, stretch, options):
    """Fit columns until the fit has converged, and learn what is typical of them."""
    n_columns = len(start.table)
    start, outer = append_outer_columns(
        start, image.shape, options["valid"], spacing, width
    )
    return fit_columns(
        image,
        start.table,
        spacing=spacing,
        width=width,
        ellipse=start.ellipse,
        stretch=stretch,
        width_scatter=WIDTH_SCATTER,
        outer=outer,
        **options,
    ).take(slice(n_columns))


class _Sample(NamedTuple):
    """A binned image or the sample of it that is calibrated."""

    image: np.ndarray
    valid: np.ndarray | None
    spacing: float
    blob_width: float
    is_whole: bool


def _conclude(sample, fit, start, width):
    """Return what a fit of all columns shows, for the binned image."""
    image, valid, spacing, blob_width, is_whole = sample
    model = render_columns(image.shape, fit.columns, width)
    rest = image - model
    left = blob_response(rest if valid is None else rest * valid, blob_width)
    inflation = _inflation(model, left, valid, fit.typical, spacing, blob_width)
    matched = significance_of(
        fit, image, valid, fit.typical.noise, inflation, width, model=model
    )
    limit = _limit_of_significance(matched / inflation, fit, spacing)
    clear = matched / inflation > 2 * CLEAR_SIGNIFICANCE
    crowding = measure_crowding(
        fit.positions[clear], fit.table[clear, AMPLITUDE], spacing
    )
    least = 0.0
    if clear.any():
        least = LEAST_SHARE * float(np.quantile(fit.table[clear, AMPLITUDE], 0.95))
    first = None
    if is_whole:
        level = noise_response(blob_width) * inflation
        floor = Floor(image, level, width, fit.typical.noise)
        seen = floor.times(start) > FIRST_GLANCE * limit
        if seen.mean() >= 1 - _MAX_DROWNED:
            first = FirstLook(fit.take(seen), matched[seen], rest, left)
    return Calibration(fit.typical, inflation, limit, 1.0, 1, first, crowding, least)


def _view(image, valid, unit, side, blocks, blob_width):
    """Bin an image, or a sample of its blocks; filter it for blobs."""
    if blocks is None:
        image = bin_image(image, side) / unit
        return image, valid, blob_response(image, blob_width)
    image, valid, response = blocks.sample(
        image, valid, side, lambda part: blob_response(part / unit, blob_width)
    )
    return image / unit, valid, response


def _inflation(model, left, valid, typical, spacing, blob_width):
    """By how much noise in the band of the columns exceeds what pixels tell."""
    # Columns that a border cuts may not be near yet, nor those that lean on them: what
    # they leave is no noise.
    margin = math.ceil(min(_MARGIN * spacing, min(model.shape) / 4))
    if valid is None:
        inner = (slice(margin, -margin),) * 2
    else:
        share = valid.astype(np.float32)
        inner = smooth(share, blob_width) > 0.999
        # Single pixels that do not count are no border.
        inner &= uniform_filter(share, 2 * margin + 1, mode="constant") > _INNER
    variance = typical.noise.variance(model + np.float32(typical.level))
    power = trough_power(left[inner], variance[inner])
    return float(max(1.0, np.sqrt(power) / noise_response(blob_width)))


def _limit_of_significance(significance, fit, spacing):
    """Return the significance that makes a column, by that of the clear ones.

    Maxima of noise around a few bright columns, or far from all, are not among these.
    """
    clear, height = significance > CLEAR_SIGNIFICANCE, fit.table[:, AMPLITUDE]
    if np.count_nonzero(clear) < _MIN_CLEAR:
        return CLEAR_SIGNIFICANCE
    clear &= height > LEAST_SHARE * np.quantile(height[clear], 0.95)
    very_clear = significance > 2 * CLEAR_SIGNIFICANCE
    n_typical = _TYPICAL_SHARE * np.count_nonzero(clear)
    if np.count_nonzero(very_clear) >= max(_MIN_CLEAR, n_typical):
        # The third nearest: the first may be the column itself.
        distance, _ = cKDTree(fit.positions[very_clear]).query(fit.positions, 3)
        clear &= distance[:, 2] < NEIGHBOR_REACH * spacing
    if np.count_nonzero(clear) < _MIN_CLEAR:
        return CLEAR_SIGNIFICANCE
    faintest = np.quantile(significance[clear], 0.05, method="lower")
    return float(np.interp(faintest, _FAINTEST_CLEAR, (_FAINT, CLEAR_SIGNIFICANCE)))


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
    step = tuple(slice(None, None, -(-length // 256)) for length in image.shape)
    scale = float(np.std(image[step], dtype=np.float64))
    if 1e-2 < scale < 1e5 or scale == 0:
        return np.float32(1)
    return np.float32(2.0 ** np.round(np.log2(scale)))


def trough_power(response, variance=1.0):
    """Mean square of a response's troughs.

    Of the residual of a fit this is its noise: crests may be columns that the
    model does not hold yet.

    Parameters
    ----------
    response : ndarray
        Blob response of the image minus the model of its columns.
    variance : float or ndarray of the same shape, default=1.0
        What the squares are divided by.

    Returns
    -------
    power : float
        Mean of the squares over the pixels below zero; those of what is no column, a
        bright particle or a splash of X-rays, do not count in full.
    """
    trough = response < 0
    if not trough.any():
        return 0.0
    square = (np.square(response) / variance)[trough]
    wild = _WILD * np.median(square[:: 1 + len(square) // _N_MEDIAN])
    return float(np.minimum(square, wild).mean())
