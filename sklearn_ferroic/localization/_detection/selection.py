"""Detection threshold of candidates, and selection of those that are columns.

Candidates are selected by the significance of their heights and by their neighbours.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from ..._image.filters import NEIGHBOR_REACH_SPACINGS, filter_sigma, noise_response
from ..._image.noise import NoiseModel
from ..._image.pixels import at_pixels, clear_of_border, on_image
from ..._lattice.neighbors import (
    FAINT_PAIR_SHARE,
    FREE_DISTANCE_SPACINGS,
    Crowding,
    are_surrounded,
    brightest_near,
    drop_crowded,
    is_free,
    neighbor_pairs,
    order_by_height,
)
from .._fitting.columns import ColumnFit
from .._fitting.error_calibration import error_scale
from .._fitting.windows import matched_significance
from .settings import DETECTION

# Signal to noise ratio of a clear column. In images with many columns near the limit of
# detection, a lower one is sufficient.
CLEAR_STD = 4.0


_SETTINGS = DETECTION.selection


_THRESHOLD = DETECTION.threshold


def is_noise_limited(calibration):
    """Check whether many columns are near the limit of detection."""
    return calibration.min_significance < CLEAR_STD


def min_candidate_significance(calibration):
    """Return the minimum signal to noise ratio of candidates.

    Parameters
    ----------
    calibration : Calibration
        Noise of the image.

    Returns
    -------
    significance : float
        Less than that of columns anywhere: at expected places less is sufficient.
    """
    return (
        _SETTINGS.min_weak_std
        if is_noise_limited(calibration)
        else _SETTINGS.min_expected_std
    )


class DetectionThreshold(NamedTuple):
    """Height of peaks of the blob response in terms of the noise around them.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    n_std : float
        Threshold in standard deviations of the pixels.
    sigma : float
        Typical sigma, px: the mean is taken over pixels up to there.
    noise : NoiseModel
        Pixel variance.
    """

    image: np.ndarray
    n_std: float
    sigma: float
    noise: NoiseModel

    @classmethod
    def of(cls, context, inflation, significance=1.0, blob_sigma=None):
        """Return the threshold for a significance of the blob response.

        Parameters
        ----------
        context : ImageContext
            The image and its noise.
        inflation : float
            Noise in the band of the columns over white noise.
        significance : float, default=1.0
            Signal to noise ratio of the response.
        blob_sigma : float, default=None
            Sigma of the blob filter, px; the usual one if None.
        """
        if blob_sigma is None:
            blob_sigma = filter_sigma(context.spacing, context.sigma)
        n_std = noise_response(blob_sigma) * inflation * significance
        return cls(context.image, n_std, context.sigma, context.noise)

    def __call__(self, row, col):
        """Return the threshold at the given pixels."""
        reach = max(1, round(self.sigma))
        steps = range(-reach, reach + 1)
        rows, cols = (
            [np.clip(place + step, 0, length - 1) for step in steps]
            for place, length in zip((row, col), self.image.shape, strict=True)
        )
        mean = np.zeros(len(row))
        for near_row in rows:
            for near_col in cols:
                mean += self.image[near_row, near_col]
        return self.n_std * np.sqrt(self.noise.variance(mean / len(steps) ** 2))

    def minimum(self):
        """Return a lower bound of the threshold anywhere in the image."""
        darkest = np.array([self.image.min()], dtype=np.float64)
        return 0.999 * self.n_std * float(np.sqrt(self.noise.variance(darkest)[0]))

    def significance(self, table):
        """Return the heights of candidate columns in units of the threshold."""
        row, col = np.rint(table.positions).astype(np.intp).T
        return table.amplitude / self(row, col)


def select_columns(context, calibration, candidates, known=None):
    """Select the candidates that are columns after a preliminary fit.

    Parameters
    ----------
    context : ImageContext
        The image and its noise.
    calibration : Calibration
        Noise and detection limit of the image.
    candidates : ColumnFit
        The candidates.
    known : ndarray of shape (n_known,), default=None
        Signal to noise ratios of the first candidates for white noise, if known.

    Returns
    -------
    columns : ColumnFit
        The columns, in order.
    """
    inflation = calibration.inflation
    significance = significance_of(context, candidates, inflation, known) / inflation
    return candidates.take(
        select_rows(candidates, significance, calibration, context.spacing)
    )


def select_peaks(context, calibration, peaks):
    """Select the peaks that are columns, without a fit.

    Parameters
    ----------
    context, calibration
        As in `select_columns`.
    peaks : ColumnTable
        Peaks of the blob response.

    Returns
    -------
    columns : ColumnFit
        The columns, in order, known by position and amplitude only.
    """
    fit = ColumnFit.unfitted(peaks)
    threshold = DetectionThreshold.of(context, calibration.inflation)
    significance = threshold.significance(peaks)
    return fit.take(select_rows(fit, significance, calibration, context.spacing))


def select_rows(fit, significance, calibration, spacing):
    """Select the candidates that are columns.

    A candidate is a column if it is significant; or, at a lower significance, if
    columns surround it and it is at least half as bright as the faint columns nearby.

    Parameters
    ----------
    fit : ColumnFit
        Candidates.
    significance : ndarray of shape (n,)
        Their signal to noise ratio.
    calibration : Calibration
        Noise of the image.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    rows : ndarray of int of shape (n_columns,)
        Which candidates are columns, in order.
    """
    crowding = calibration.crowding
    clear = _select_clear(fit, significance, calibration, spacing, crowding)
    if not clear.size:
        return clear
    places, known = fit.positions, fit.positions[clear]
    around = are_surrounded(places, known, spacing)
    weak = np.setdiff1d(
        np.flatnonzero(around & (significance > _SETTINGS.min_weak_std)), clear
    )
    height = fit.amplitude
    least = max(FREE_DISTANCE_SPACINGS, crowding.faint)
    weak = weak[is_free(places[weak], height[weak], known, spacing, least)]
    kind = clear[around[clear]]
    reach = NEIGHBOR_REACH_SPACINGS * spacing
    brightest = brightest_near(places[kind], height[kind], places[kind], reach)
    is_faint = height[kind] < _SETTINGS.faint_share * brightest
    if np.count_nonzero(is_faint) >= _SETTINGS.min_n_of_kind:
        kind = kind[is_faint]
    least = np.full(len(weak), np.inf)
    if len(kind) >= _SETTINGS.min_n_of_kind:
        # An expected place, and as bright as its kind.
        n_asked = min(_SETTINGS.n_of_kind, len(kind))
        _, near = cKDTree(places[kind]).query(places[weak], k=[*range(1, n_asked + 1)])
        least = _SETTINGS.min_kind_share * np.quantile(height[kind[near]], 0.25, axis=1)
    chosen = (height[weak] > least) & (significance[weak] > _SETTINGS.min_expected_std)
    if is_noise_limited(calibration):
        # Those that are half as significant as weak columns usually are, if there are
        # enough of these.
        low, high = _SETTINGS.weak_std_range
        own = significance[[*weak, *clear[around[clear]]]]
        least = max(_SETTINGS.min_n_of_kind, _SETTINGS.min_weak_share * len(own))
        own = own[(own > low) & (own < high)]
        if len(own) >= least and np.median(own) > _SETTINGS.min_median_std:
            chosen |= significance[weak] > 0.5 * np.median(own)
    return np.sort([*clear, *weak[chosen]])


def is_noise(fit, context):
    """Check which fitted columns are noise.

    Parameters
    ----------
    fit : ColumnFit
        All columns of an image after the final fit.
    context : ImageContext
        The image.

    Returns
    -------
    noise : ndarray of bool of shape (n,)
        True where the amplitude is hardly above its standard error and far below the
        amplitudes of the nearest columns.
    """
    fit = _with_correlated_noise(fit)
    height, std = fit.amplitude, fit.std.amplitude
    least = np.full(len(height), _SETTINGS.min_fitted_std)
    # At the border, columns off the image leave more than noise.
    is_whole = clear_of_border(
        fit.positions, context.shape, context.mask, context.sigma
    )
    least[~is_whole] = _SETTINGS.min_cut_std
    noise = height < least * std
    # Where columns overlap, the error of the position alone includes that of others.
    noise |= fit.table.sigma < least * fit.std.positions.max(axis=1)
    noise &= fit.converged
    if len(height) <= _SETTINGS.n_of_kind:
        return np.zeros_like(noise)
    doubtful = np.flatnonzero(noise)
    _, near = cKDTree(fit.positions).query(
        fit.positions[doubtful], k=[*range(2, _SETTINGS.n_of_kind + 2)]
    )
    usual = np.quantile(height[near], 0.25, axis=1)
    height, std = height[doubtful], std[doubtful]
    noise[doubtful] = (height < _SETTINGS.min_fitted_share * usual) & (
        usual - height > _SETTINGS.min_fitted_deficit_std * std
    )
    return noise


def _with_correlated_noise(fit):
    """Return a joint fit with errors that include correlated noise.

    Where columns overlap, it exceeds the white noise several times.
    """
    if not fit.is_joint:
        return fit
    scale, _ = error_scale(fit.amplitude, fit.modes, 1.0)
    return fit.scaled_std(scale, scale)


def _select_clear(fit, significance, calibration, spacing, crowding):
    """Select the candidates that are significant without regard to expected places."""
    is_seen = significance > calibration.min_significance
    # Fainter candidates are residuals of bright columns, or noise around a few of them.
    is_seen &= fit.amplitude > calibration.min_height
    seen = np.flatnonzero(is_seen)
    fit, significance = fit.take(seen), significance[seen]
    positions, height = fit.positions, fit.amplitude
    pairs, distance = neighbor_pairs(positions, NEIGHBOR_REACH_SPACINGS * spacing)
    # Noise may displace two columns towards each other.
    error = np.nan_to_num(np.hypot(*fit.std.positions.T))
    distance += calibration.inflation * np.hypot(*error[pairs].T)
    keep = drop_crowded(positions, height, pairs, distance, spacing, crowding)
    # Maxima of noise are isolated; faint columns have clear neighbours.
    clear = significance > CLEAR_STD
    together = pairs[keep[pairs].all(axis=1)]
    n_near, n_clear_near = (
        np.bincount(together.ravel(), of.ravel(), minlength=len(height))
        for of in (np.ones(together.shape), clear[together[:, ::-1]])
    )
    keep &= (
        (clear & (n_near >= _SETTINGS.min_n_neighbors))
        | (np.maximum(n_near - 1, n_clear_near) >= _SETTINGS.min_n_neighbors)
        | (significance > 2 * CLEAR_STD)
    )
    return seen[keep]


def has_center_inside(fit, context):
    """Check which columns have their centres on the good pixels.

    The half or the tail of a column can be fitted with a range of centres: a column
    counts if its centre is inside by its standard error and, near the border, if that
    error is small.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    context : ImageContext
        The image.

    Returns
    -------
    inside : ndarray of bool of shape (n,)
        True for columns on the image.
    """
    shape, mask, sigma = context.shape, context.mask, context.sigma
    fit = _with_correlated_noise(fit)
    positions = fit.positions
    # Columns without a fit, or with a doubtful one, have no usable standard error.
    std = np.where(fit.converged[:, None], np.nan_to_num(fit.std.positions), 0)
    is_known = (std < _SETTINGS.max_border_std_sigma * sigma).all(axis=1)
    inside = on_image(positions, shape, std)
    if mask is not None:
        inside &= at_pixels(mask, positions)
    return inside & (is_known | clear_of_border(positions, shape, mask, sigma))


def measure_crowding(positions, height, spacing):
    """Measure how close clear columns are to each other.

    Structures with short distances have many of them, whereas maxima of noise between
    columns and of residuals near them are rare.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Clear columns.
    height : ndarray of shape (n,)
        Their brightness.
    spacing : float
        Nearest-neighbour spacing of columns, px.

    Returns
    -------
    crowding : Crowding
        Minimum distances of columns of this image.
    """
    pairs, distance = neighbor_pairs(positions, NEIGHBOR_REACH_SPACINGS * spacing)
    lenient = Crowding(faint=_SETTINGS.lenient_distance_spacings)
    keep = drop_crowded(positions, height, pairs, distance, spacing, lenient)
    kept = keep[pairs].all(axis=1)
    pairs, distance = pairs[kept], distance[kept]
    bright, dim = order_by_height(pairs, height)
    is_faint = height[dim] < FAINT_PAIR_SHARE * height[bright]
    limits, usual = list(Crowding()), None
    for number, (kind, reach) in enumerate(
        (
            (~is_faint, _SETTINGS.alike_range_spacings),
            (is_faint, _SETTINGS.faint_range_spacings),
        )
    ):
        nearest = np.full(len(height), np.inf)
        np.minimum.at(nearest, dim[kind], distance[kind] / spacing)
        known = nearest[np.isfinite(nearest)]
        if len(known) >= _SETTINGS.min_n_known_columns:
            usual = np.quantile(known, _SETTINGS.usual_quantile)
        # Where there is no faint kind, such columns are no closer than others.
        if usual is not None:
            limits[number] = float(
                np.clip(_SETTINGS.usual_distance_share * usual, *reach)
            )
    return Crowding(*limits)


def significance_of(context, fit, inflation, known=None, model=None):
    """Compute the signal to noise ratios of columns that are not clear.

    Parameters
    ----------
    context : ImageContext
        The image and its noise.
    fit : ColumnFit
        The columns.
    inflation : float
        Noise in the band of the columns over white noise.
    known : ndarray of shape (n_known,), default=None
        Those of the first columns, if others have been added since.
    model : ndarray of shape (n_rows, n_cols), default=None
        Sum of all columns, if it is known.

    Returns
    -------
    significance : ndarray of shape (n,)
        Amplitude over its standard error, for columns of the typical sigma with all
        others subtracted; infinite for clear columns.
    """
    table, sigma = fit.table, context.sigma
    least = _THRESHOLD.sure_ratio * CLEAR_STD * inflation * fit.std.amplitude
    is_sure = table.amplitude > least
    is_sure &= table.background >= context.noise.darkest
    # Maxima of noise between columns may be fitted as wide columns on deep backgrounds.
    is_sure &= np.abs(np.log(table.sigma / sigma)) < _THRESHOLD.max_log_sigma_ratio
    significance = np.full(len(is_sure), np.inf)
    if known is not None:
        significance[: len(known)] = known
        is_sure[: len(known)] = True
    doubtful = np.flatnonzero(~is_sure)
    if doubtful.size:
        # With all columns that may overlap them.
        distance, _ = cKDTree(table.positions[doubtful]).query(
            table.positions, distance_upper_bound=_THRESHOLD.overlap_sigma * sigma
        )
        near = np.flatnonzero(np.isfinite(distance))
        matched = np.max(
            [
                matched_significance(context, table.take(near), ratio * sigma, model)
                for ratio in _THRESHOLD.filter_sigma_ratios
            ],
            axis=0,
        )
        is_doubtful = np.isfinite(significance[near]) | ~is_sure[near]
        significance[near[is_doubtful]] = matched[is_doubtful]
    return significance
