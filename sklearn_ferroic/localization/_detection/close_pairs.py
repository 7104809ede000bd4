"""Close pairs of columns (dumbbells): whether an image shows them, and where.

The middles of the pairs are the maxima of the image behind a blob filter that is too
coarse to resolve them. There, the second derivatives give the direction of each pair,
averaged over the nearest ones. The mean image around the middles, each rotated to its
own direction, decides: two round columns explain the mean of pairs better than one
ellipse does, and their distance and width follow from it.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, minimum_filter
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from ..._image.context import image_unit
from ..._image.filters import blob_response, find_peaks, local_mean
from ..._image.pixels import at_pixels, bin_image
from ..._image.spacing import estimate_spacing
from ..._image.tiles import Blocks
from ..._lattice.neighbor_graph import accumulate, spanning_forest
from ..._lattice.neighbors import neighbor_pairs
from .settings import DETECTION

_SETTINGS = DETECTION.close_pairs

# Separation in sigmas from which the two columns are fitted as two. Below it their
# positions are determined by the assumed profile more than by the image.
MIN_RESOLVED_SIGMA = 2.25


class PairScale(NamedTuple):
    """Typical close pair of an image.

    Parameters
    ----------
    spacing : float
        Distance between the middles of nearest pairs, px.
    separation : float
        Distance within a pair, px.
    sigma : float
        Width of the columns, px.
    """

    spacing: float
    separation: float
    sigma: float

    @property
    def is_resolved(self):
        """Whether the two columns can be fitted as two."""
        # The separation is known to a few percent.
        return self.separation >= 0.98 * MIN_RESOLVED_SIGMA * self.sigma


class Middles(NamedTuple):
    """Middles of pairs in an image, or in a part of it.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Maxima of the blob response, px.
    height : ndarray of shape (n,)
        Height of the smoothed image above the level around it.
    level : ndarray of shape (n,)
        That level.
    direction : ndarray of shape (n, 2)
        Unit vectors (row, col) along the pairs, of the same sense over each crystal.
    elongation : ndarray of shape (n,)
        Ratio of the axes of the pairs behind the filter.
    response : ndarray of shape (n,)
        Blob response at the maxima.
    """

    positions: np.ndarray
    height: np.ndarray
    level: np.ndarray
    direction: np.ndarray
    elongation: np.ndarray
    response: np.ndarray

    def take(self, rows):
        """Return some of the middles."""
        return Middles(*(values[rows] for values in self))

    @property
    def is_long(self):
        """Whether a column is elongated as pairs are."""
        return self.elongation > _SETTINGS.min_axis_ratio


def find_close_pairs(image, mask, spacing):
    """Find out whether the columns of an image are close pairs.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    mask : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    spacing : float
        Estimated spacing: that of the pairs, or of the columns in them, px.

    Returns
    -------
    scale : PairScale or None
        None unless most of the columns are close pairs.
    """
    best, least = None, np.inf
    tried, blocks = [], Blocks(image, spacing)
    for smoothing in _SETTINGS.smoothing_spacings:
        of_pairs = spacing
        if smoothing:
            if len(tried) == 1 and not _have_partners(image, mask, blocks):
                break
            smoothed = gaussian_filter(image, smoothing * spacing)
            of_pairs = estimate_spacing(smoothed)
        if not 0.8 * spacing < of_pairs < min(image.shape) / 5:
            continue
        if any(
            abs(of_pairs / other - 1) < _SETTINGS.same_spacing_share for other in tried
        ):
            continue
        tried.append(of_pairs)
        if smoothing:
            blocks = Blocks(image, of_pairs)
        scale, misfit = _measure(image, mask, blocks)
        if scale is None:
            continue
        most = _SETTINGS.max_misfit_share
        if not scale.is_resolved:
            most = _SETTINGS.max_misfit_share_unresolved
        if misfit < min(least, most):
            best, least = scale, misfit
    return best


def _have_partners(image, mask, blocks):
    """Check whether typical columns have a single nearest neighbour, as pairs do."""
    spacing = blocks.spacing
    square, good = blocks.busiest(image, mask, _SETTINGS.partner_side_spacings)
    response = blob_response(square / image_unit(square), blob_sigma(spacing))
    positions, _ = find_peaks(response, spacing, _SETTINGS.min_peak_share)
    if good is not None:
        positions = positions[at_pixels(good, positions)]
    if len(positions) < _SETTINGS.min_n_middles:
        return True
    distance, _ = cKDTree(positions).query(positions, 3)
    return np.median(distance[:, 2] / distance[:, 1]) > _SETTINGS.min_partner_ratio


def find_middles(image, spacing, mask=None):
    """Find the middles of pairs, with their directions.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, or a part of it.
    spacing : float
        Distance between the middles of nearest pairs, px.
    mask : ndarray of bool of shape (n_rows, n_cols), default=None
        Good pixels.

    Returns
    -------
    middles : Middles
        Those whose maximum is on good pixels.
    """
    image = np.asarray(image, dtype=np.float32)
    positions, peak = _find_maxima(image, spacing, mask)
    smoothed = _smoothed(image, spacing)
    level = _level_at(smoothed, positions, spacing)
    height = np.maximum(at_pixels(smoothed, positions) - level, 1e-30)
    direction, elongation = _ellipses_at(image, positions, level, spacing)
    direction = direction * senses(direction, positions, spacing)[0][:, None]
    return Middles(positions, height, level, direction, elongation, peak)


def _find_maxima(image, spacing, mask):
    """Find the maxima of the blob response on good pixels, and their heights."""
    response = blob_response(image, blob_sigma(spacing))
    positions, peak = find_peaks(response, spacing, _SETTINGS.min_peak_share)
    if mask is not None:
        good = at_pixels(mask, positions)
        positions, peak = positions[good], peak[good]
    return positions, peak


def are_pairs_at(image, positions, spacing):
    """Check which columns are elongated as pairs are.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Columns that are the middles of pairs if they are pairs, px.
    spacing : float
        Distance between nearest columns, px.

    Returns
    -------
    is_pair : ndarray of bool of shape (n,)
        True for columns that are elongated.
    """
    image = np.asarray(image / image_unit(image), dtype=np.float32)
    level = _level_at(_smoothed(image, spacing), positions, spacing)
    _, elongation = _ellipses_at(image, positions, level, spacing)
    return elongation > _SETTINGS.min_axis_ratio


def _smoothed(image, spacing):
    """Return the image, smoothed by less than the width of a column."""
    return gaussian_filter(image, _SETTINGS.filter_spacings * spacing / 2)


def _lowest_around(smoothed, spacing):
    """Return the darkest pixels around each pixel."""
    return minimum_filter(smoothed, 2 * int(0.7 * spacing) + 1)


def _level_at(smoothed, positions, spacing):
    """Return the background at positions."""
    level = gaussian_filter(_lowest_around(smoothed, spacing), spacing)
    return at_pixels(level, positions)


def _ellipses_at(image, positions, level, spacing):
    """Return the directions and axis ratios of the columns at positions."""
    # Moments of the window, weighted by a Gaussian, are derivatives of the image that
    # is smoothed by it.
    width = _SETTINGS.filter_spacings * spacing
    mean, *second = (
        at_pixels(gaussian_filter(image, width, order=order), positions)
        for order in ((0, 0), (2, 0), (1, 1), (0, 2))
    )
    moments = np.stack([mean - level, *second], axis=1)
    averaged = _averaged(moments, positions, _SETTINGS.average_spacings * spacing)
    rows, both, cols = (averaged[:, 1:] / averaged[:, :1]).T * width**4
    size = np.hypot(cols - rows, 2 * both) / 2
    angle = np.arctan2(2 * both, cols - rows) / 2
    middle = (rows + cols) / 2 + width**2
    # Without the weights.
    long, short = (
        1 / np.maximum(1 / np.maximum(part, 1e-9) - 1 / width**2, 1e-9)
        for part in (middle + size, middle - size)
    )
    direction = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return direction, np.sqrt(np.maximum(long / short, 1))


def blob_sigma(spacing):
    """Return the sigma of the blob filter that does not resolve pairs, px."""
    return _SETTINGS.blob_spacings * spacing


def _averaged(values, positions, reach):
    """Average values over the nearest positions up to a distance."""
    k = min(_SETTINGS.n_averaged, len(positions))
    if k < 2:
        return values
    distance, index = cKDTree(positions).query(positions, k)
    weight = (distance <= reach).astype(float)
    return np.einsum("nk,nkv->nv", weight / weight.sum(axis=1)[:, None], values[index])


def senses(direction, positions, spacing):
    """Find the senses of directions such that those of neighbours differ little.

    Parameters
    ----------
    direction : ndarray of shape (n, 2)
        Unit vectors along the pairs, of any sense.
    positions : ndarray of shape (n, 2)
        Middles of the pairs, px.
    spacing : float
        Distance between the middles of nearest pairs, px.

    Returns
    -------
    sense : ndarray of shape (n,)
        1 or -1 by which each direction is to be multiplied.
    crystal : ndarray of int of shape (n,)
        Connected pairs of similar direction have the same number.
    """
    n = len(positions)
    if n < 2:
        return np.ones(n), np.zeros(n, dtype=int)
    pairs, _ = neighbor_pairs(positions, _SETTINGS.average_spacings * spacing)
    cosine = (direction[pairs[:, 0]] * direction[pairs[:, 1]]).sum(axis=1)
    alike = np.abs(cosine) > _SETTINGS.min_cosine
    crystal = spanning_forest(n, pairs[alike]).part
    parent = spanning_forest(n, pairs, 1.01 - np.abs(cosine)).parent
    product = (direction * direction[parent]).sum(axis=1)
    step = np.where(product >= 0, 1.0, -1.0)
    return accumulate(parent, step, np.multiply), crystal


def _measure(image, mask, blocks):
    """Return the typical pair of an image, and its misfit relative to an ellipse's."""
    nothing, spacing = (None, np.inf), blocks.spacing
    square, good = blocks.busiest(image, mask, _SETTINGS.side_spacings)
    square = square / image_unit(square)
    if (
        good is None
        and _share_long_binned(square, spacing) < _SETTINGS.min_long_share_binned
    ):
        return nothing
    middles = find_middles(square, spacing, good)
    if len(middles.positions) < _SETTINGS.min_n_middles:
        return nothing
    if np.mean(middles.is_long) < _SETTINGS.min_long_share:
        return nothing
    distance, _ = cKDTree(middles.positions).query(middles.positions, 2)
    spacing = float(np.median(distance[:, 1]))
    mean = _mean_window(square, middles, spacing)
    if mean is None:
        return nothing
    ellipse, pair = _fit_ellipse(mean, spacing), _fit_pair(mean, spacing)
    misfit = (pair.cost - mean.noise) / max(ellipse.cost - mean.noise, 1e-300)
    gain = ellipse.cost - pair.cost
    first, second, separation, sigma = pair.x[:4]
    scale = PairScale(spacing, abs(float(separation)), abs(float(sigma)))
    low, high = _SETTINGS.separation_range_sigma
    heights = sorted([first, second])
    is_pair = low * scale.sigma < scale.separation < high * scale.sigma
    is_pair &= gain > _SETTINGS.min_gain_std * mean.noise / np.sqrt(len(mean.value))
    is_pair &= heights[0] > _SETTINGS.min_height_ratio * heights[1]
    is_pair &= _gap(middles, scale) > _SETTINGS.min_gap_ratio * scale.separation
    return (scale, misfit) if is_pair else nothing


def _share_long_binned(image, spacing):
    """Return the share of elongated columns of an image after binning."""
    side = max(1, int(spacing / _SETTINGS.binned_spacing_px))
    image = np.asarray(bin_image(image, side), dtype=np.float32)
    spacing = spacing / side
    positions, _ = _find_maxima(image, spacing, None)
    if not len(positions):
        return 0.0
    # The background by bins is accurate enough for a share.
    lowest = _lowest_around(_smoothed(image, spacing), spacing)
    level = local_mean(lowest, positions, spacing)
    _, elongation = _ellipses_at(image, positions, level, spacing)
    return np.mean(elongation > _SETTINGS.min_axis_ratio)


def _gap(middles, scale):
    """Return the distance of columns from the nearest ones of other pairs, px."""
    half = scale.separation / 2 * middles.direction
    ends = np.concatenate([middles.positions + half, middles.positions - half])
    distance, index = cKDTree(ends).query(ends, 3)
    partner = (np.arange(len(ends)) + len(half)) % len(ends)
    nearest = np.where(index[:, 1] == partner, distance[:, 2], distance[:, 1])
    return float(np.median(nearest))


class _MeanWindow(NamedTuple):
    """Mean image around the middles of pairs, along and across them.

    The noise is half the sum of squares that the scatter of the windows leads to.
    """

    along: np.ndarray
    across: np.ndarray
    value: np.ndarray
    weight: np.ndarray
    noise: float


def _mean_window(image, middles, spacing):
    """Average the image around middles, each rotated to its own direction."""
    reach = _SETTINGS.reach_spacings * spacing
    half = int(np.ceil(reach)) + 1
    positions = middles.positions
    anchor = np.rint(positions).astype(int)
    whole = (anchor >= half) & (anchor < np.array(image.shape) - half)
    rows = np.flatnonzero(whole.all(axis=1) & middles.is_long)
    if len(rows) < _SETTINGS.min_n_middles:
        return None
    rows = rows[:: -(-len(rows) // _SETTINGS.max_n_windows)]
    step = np.arange(-half, half + 1)
    pixels = np.stack(np.meshgrid(step, step, indexing="ij"), -1).reshape(-1, 2)
    pixels = anchor[rows, None] + pixels
    offset = pixels - positions[rows, None]
    near = np.hypot(*np.moveaxis(offset, -1, 0)) < reach
    owner = cKDTree(positions).query(pixels[near])[1]
    near[near] = owner == np.repeat(rows, near.sum(axis=1))
    value = image[pixels[..., 0], pixels[..., 1]] - middles.level[rows, None]
    value = value / middles.height[rows, None]
    direction = middles.direction[rows, None]
    along = (offset * direction).sum(axis=-1)
    across = offset[..., 0] * direction[..., 1] - offset[..., 1] * direction[..., 0]
    # Finer than the pixels of one window.
    bin_side = max(spacing / 60, 0.25)
    n = int(reach / bin_side) + 1
    index = np.rint(along[near] / bin_side) + n
    index = (index * (2 * n + 1) + np.rint(across[near] / bin_side) + n).astype(int)
    count = np.bincount(index)
    filled = count > 0.3 * np.median(count[count > 0])
    along, across, value, square = (
        np.bincount(index, part[near])[filled] / count[filled]
        for part in (along, across, value, value**2)
    )
    count = count[filled]
    several = count > 1
    scatter = (square - value**2)[several] * count[several] / (count[several] - 1)
    noise = 0.5 * len(count) * float(np.median(scatter)) if several.any() else 0.0
    return _MeanWindow(along, across, value, np.sqrt(count), noise)


def _fit_ellipse(mean, spacing):
    """Fit an elliptical Gaussian on a constant to the mean window."""

    def misfit(x):
        height, long, short, place, level = x
        exponent = ((mean.along - place) / long) ** 2 + (mean.across / short) ** 2
        return (height * np.exp(-exponent / 2) + level - mean.value) * mean.weight

    return least_squares(misfit, [1.0, 0.22 * spacing, 0.16 * spacing, 0.0, 0.0])


def _fit_pair(mean, spacing):
    """Fit two round Gaussians on a constant to the mean window."""

    def misfit(x):
        first, second, separation, sigma, place, level = x
        value = level
        for height, side in ((first, 0.5), (second, -0.5)):
            along = mean.along - place - side * separation
            square = along**2 + mean.across**2
            value = value + height * np.exp(-square / (2 * sigma**2))
        return (value - mean.value) * mean.weight

    start = [0.7, 0.7, 0.3 * spacing, 0.15 * spacing, 0.0, 0.0]
    return least_squares(misfit, start)


def typical_pair(found):
    """Return the median of the pairs of images if most of them show pairs.

    Parameters
    ----------
    found : list of (PairScale or None)
        Result of `find_close_pairs` for each image.

    Returns
    -------
    scale : PairScale or None
        None if half of the images or more show none.
    """
    scales = [scale for scale in found if scale is not None]
    if 2 * len(scales) <= len(found):
        return None
    return PairScale(*map(float, np.median(scales, axis=0)))
