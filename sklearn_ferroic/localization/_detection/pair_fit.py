"""Joint fit of close pairs of columns: two columns at each middle.

All columns of a tile are fitted together. A pair whose fit does not end as two columns
near the typical distance is one column, which is flagged as merged.
"""

from typing import NamedTuple

import numpy as np
from joblib import delayed
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

from ..._image.context import ImageContext, image_unit
from ..._image.filters import noise_response
from ..._image.pixels import on_image
from ..._image.spacing import estimate_spacing
from ..._image.tiles import Blocks, cut_tiles
from .._batch import naming_the_image, run, window_step
from .._fitting.column_fit import fit_columns_and_statistics
from .._fitting.columns import ColumnFit, ColumnTable
from .._fitting.error_calibration import error_scale
from .._fitting.profiles import PROFILES
from .calibration import Calibration
from .close_pairs import blob_sigma, find_close_pairs, find_middles, senses
from .lattice_continuation import fit_with_outer_columns
from .selection import has_center_inside, is_noise
from .settings import DETECTION

_SETTINGS = DETECTION.pair_fit


class PairFit(NamedTuple):
    """Columns of an image of close pairs.

    Parameters
    ----------
    fit : ColumnFit
        The columns.
    partner : ndarray of int of shape (n,)
        Other column of the pair, -1 for single columns.
    merged : ndarray of bool of shape (n,)
        Whether a column is a pair that was not resolved.
    """

    fit: ColumnFit
    partner: np.ndarray
    merged: np.ndarray

    def take(self, rows):
        """Return some of the columns, by index."""
        place = np.full(len(self.partner) + 1, -1)
        place[rows] = np.arange(len(rows))
        partner = place[self.partner[rows]]
        return PairFit(self.fit.take(rows), partner, self.merged[rows])


def find_all_close_pairs(images, masks, n_jobs):
    """Find out whether the columns of images are close pairs.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Good pixels of each; None if all are good.
    n_jobs : int or None
        Number of parallel jobs, one per image.

    Returns
    -------
    scales : list of (PairScale or None)
        Typical pair of each image; None if it shows no pairs.
    spacings : list of float
        Estimated spacing of each image, px; NaN if it shows no lattice.
    """
    calls = (
        delayed(_find_in_image)(number, image, mask)
        for number, (image, mask) in enumerate(zip(images, masks, strict=True))
    )
    scales, spacings = zip(*run(calls, n_jobs), strict=True)
    return list(scales), list(spacings)


@naming_the_image
def _find_in_image(number, image, mask):
    """Return the typical close pair of an image, None if it shows none, and spacing."""
    spacing = float(estimate_spacing(image))
    if not np.isfinite(spacing):
        return None, spacing
    return find_close_pairs(image, mask, spacing), spacing


def locate_all_pairs(images, masks, scale, *, shape, max_iter, tile_size, n_jobs):
    """Fit the columns of images of close pairs.

    Parameters
    ----------
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    masks : list of (ndarray of bool or None)
        Good pixels of each; None if all are good.
    scale, shape, max_iter, tile_size
        As in `locate_pairs`.
    n_jobs : int or None
        Number of parallel jobs, one per tile.

    Returns
    -------
    pairs : list of PairFit
        The columns of each image.
    calibrations : list of Calibration
        The noise of each image.
    """
    located = [
        locate_pairs(
            number,
            image,
            mask,
            scale,
            shape=shape,
            max_iter=max_iter,
            tile_size=tile_size,
            n_jobs=n_jobs,
        )
        for number, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    pairs, calibrations = zip(*located, strict=True)
    return list(pairs), list(calibrations)


@naming_the_image
def locate_pairs(
    number, image, mask, scale, *, shape, max_iter, tile_size, n_jobs=None
):
    """Fit the columns of an image of close pairs.

    Parameters
    ----------
    number : int
        Index of the image, for messages.
    image : ndarray of shape (n_rows, n_cols)
        The image.
    mask : ndarray of bool of shape (n_rows, n_cols) or None
        Good pixels; None if all are good.
    scale : PairScale
        Typical pair.
    shape : {"circular", "elliptical"}
        Shape of the columns.
    max_iter : int
        Maximum number of iterations of a joint fit of columns.
    tile_size : int or None
        Side of the tiles, px.
    n_jobs : int, default=None
        Number of parallel jobs, one per tile.

    Returns
    -------
    pairs : PairFit
        The columns, from top to bottom.
    calibration : Calibration
        Noise of the image.

    Raises
    ------
    ValueError
        If no pair is found.
    """
    nothing = ValueError(
        f"No columns found in image {number}. Most of the images show close pairs "
        f"{scale.separation:.1f} px apart; locate this one by itself."
    )
    unit = image_unit(image)
    statistics = _learn_statistics(image, mask, unit, scale)
    if statistics is None:
        raise nothing
    step = window_step(scale.spacing, scale.sigma)
    calls = (
        delayed(_locate_tile)(
            image[tile.window],
            None if mask is None else mask[tile.window],
            tile,
            scale,
            statistics,
            unit,
            shape,
            max_iter,
        )
        for tile in cut_tiles(image.shape, tile_size, scale.spacing, step)
    )
    parts = run(calls, n_jobs)
    shift = np.cumsum([0] + [len(part.fit) for part in parts[:-1]])
    pairs = PairFit(
        ColumnFit.concatenate([part.fit for part in parts]),
        np.concatenate(
            [
                np.where(part.partner < 0, -1, part.partner + first)
                for part, first in zip(parts, shift, strict=True)
            ]
        ),
        np.concatenate([part.merged for part in parts]),
    )
    if not pairs.fit.converged.any():
        raise nothing
    fit = pairs.fit
    modes = [part.fit.modes for part in parts if part.fit.modes is not None]
    if modes:
        scale = error_scale(fit.amplitude, np.concatenate(modes), 1.0)
        fit = fit.scaled_std(*scale)
    pairs = pairs._replace(fit=fit.scaled_values(unit))
    row, col = np.rint(fit.positions).T
    calibration = Calibration(statistics, 1.0, _SETTINGS.min_significance_std, unit)
    return pairs.take(np.lexsort((col, row))), calibration


def _learn_statistics(image, mask, unit, scale):
    """Return the noise and level of an image, from the pairs of a square of it."""
    blocks = Blocks(image, scale.spacing)
    square, good = blocks.busiest(image, mask, DETECTION.close_pairs.side_spacings)
    square = square / unit
    middles = find_middles(square, scale.spacing, good)
    start, _ = _split(square, middles, scale)
    if not len(start):
        return None
    context = ImageContext(square, good, scale.spacing, scale.sigma, unit=unit)
    fit = fit_columns_and_statistics(context, start, preliminary=True)
    return fit.statistics


def _locate_tile(image, mask, tile, scale, statistics, unit, shape, max_iter):
    """Fit the columns of the pairs whose middles are a tile's own."""
    if mask is not None and mask.all():
        mask = None
    image = image / unit if unit != 1 else image
    context = ImageContext(
        image,
        mask,
        scale.spacing,
        scale.sigma,
        statistics,
        unit,
        max_iter=max_iter,
    )
    middles = find_middles(image, scale.spacing, mask)
    noise = np.sqrt(context.noise.variance(middles.level + middles.height))
    noise = noise * noise_response(blob_sigma(scale.spacing))
    middles = middles.take(middles.response > _SETTINGS.min_significance_std * noise)
    profile = PROFILES[shape]
    start, pair = _split(image, middles, scale)
    fit = fit_with_outer_columns(context, start, profile).take(slice(len(start)))
    is_good = _are_pairs(fit, pair, scale, context)
    failed = np.unique(pair[:, 0][~is_good])
    merged = np.zeros(len(fit), dtype=bool)
    if len(failed):
        start, pair, merged = _merge(fit, pair, is_good, scale)
        fit = fit_with_outer_columns(context, start, profile).take(slice(len(start)))
        excess = fit.table.sigma**2 - scale.sigma**2
        merged &= excess > _SETTINGS.min_excess_share * scale.separation**2 / 8
    keep = ~is_noise(fit, context) & has_center_inside(fit, context)
    partner = np.full(len(fit), -1)
    partner[pair[:, 0]], partner[pair[:, 1]] = pair[:, 1], pair[:, 0]
    middle = start.positions.copy()
    middle[pair.ravel()] = start.positions[pair].mean(axis=1).repeat(2, axis=0)
    first, last = tile.core.T
    middle = middle + tile.origin
    keep &= ((middle >= first) & (middle < last)).all(axis=1)
    fit = fit.at(fit.positions + tile.origin)
    return PairFit(fit, partner, merged).take(np.flatnonzero(keep))


def _split(image, middles, scale):
    """Return the columns that a fit starts from, and the indices of pairs of them."""
    half, sigma = scale.separation / 2, scale.sigma
    positions, direction = middles.positions, middles.direction
    is_pair = middles.elongation > _SETTINGS.min_axis_ratio
    margin = _SETTINGS.border_spacings * scale.spacing
    is_pair |= ~on_image(positions, image.shape, margin)
    # The maximum of unequal columns is nearer to the brighter one: the sum of the
    # profile at two places a separation apart is greatest at the columns.
    step = np.arange(-2 * _SETTINGS.n_samples, 2 * _SETTINGS.n_samples + 1)
    along = step * half / _SETTINGS.n_samples
    places = positions[:, None] + along[:, None] * direction[:, None]
    smoothed = gaussian_filter(image, sigma / 2)
    profile = map_coordinates(
        smoothed, np.moveaxis(places, -1, 0), order=1, mode="nearest"
    )
    profile = profile - middles.level[:, None]
    whole = np.flatnonzero(on_image(positions, image.shape, scale.spacing))
    mean = profile
    if len(whole) > 1:
        k = min(_SETTINGS.n_averaged, len(whole))
        _, near = cKDTree(positions[whole]).query(positions, k)
        mean = np.median(profile[whole[near]], axis=1)
    n = _SETTINGS.n_samples
    total = mean[:, 2 * n :] + mean[:, : -2 * n]
    best = total.argmax(axis=1) if len(total) else np.empty(0, dtype=int)
    middle = positions + (along[n:-n][best])[:, None] * direction
    rows = np.arange(len(positions))
    heights = np.stack([profile[rows, best + 2 * n], profile[rows, best]], axis=1)
    heights = np.maximum(heights, 0.2 * middles.height[:, None])
    arm = half * direction
    first, second = middle + arm, middle - arm
    singles = np.flatnonzero(~is_pair)
    two = np.flatnonzero(is_pair)
    starts = np.concatenate([first[two], second[two], positions[singles]])
    height = np.concatenate([heights[two, 0], heights[two, 1], middles.height[singles]])
    level = np.concatenate([middles.level[two]] * 2 + [middles.level[singles]])
    table = ColumnTable.make(height, starts, sigma, level)
    n_pairs = len(two)
    pair = np.stack([np.arange(n_pairs), np.arange(n_pairs) + n_pairs], axis=1)
    return table, pair


def _are_pairs(fit, pair, scale, context):
    """Check which fits ended as two columns near the typical distance.

    Pairs that the border cuts are not judged.
    """
    first, second = pair.T
    separation = np.hypot(*(fit.positions[first] - fit.positions[second]).T)
    low, high = (share * scale.separation for share in _SETTINGS.separation_ratio_range)
    good = (separation > low) & (separation < high)
    heights = np.sort(fit.amplitude[pair], axis=1)
    good &= heights[:, 0] > _SETTINGS.min_height_ratio * heights[:, 1]
    good &= fit.converged[pair].all(axis=1)
    inside = on_image(fit.positions, context.shape, 2 * context.sigma)
    return good | ~inside[pair].all(axis=1)


def _merge(fit, pair, is_good, scale):
    """Return the columns of another fit, with single ones for failed pairs."""
    table = fit.table
    kept = pair[is_good]
    lost = pair[~is_good]
    singles = np.setdiff1d(np.arange(len(fit)), pair.ravel())
    total = table.amplitude[lost].sum(axis=1, keepdims=True)
    weight = table.amplitude[lost] / np.maximum(total, 1e-30)
    middle = (weight[..., None] * table.positions[lost]).sum(axis=1)
    single = ColumnTable.make(
        table.amplitude[lost].mean(axis=1),
        middle,
        np.hypot(scale.sigma, scale.separation / 4),
        table.background[lost].mean(axis=1),
        table.profile,
    )
    rows = np.concatenate([kept[:, 0], kept[:, 1], singles])
    start = table.take(rows).append(single)
    n = len(kept)
    pairs = np.stack([np.arange(n), np.arange(n) + n], axis=1)
    merged = np.arange(len(start)) >= len(rows)
    return start, pairs, merged


def label_pairs(pairs, spacing, n_sublattices="auto"):
    """Label the columns of pairs by sublattice.

    Parameters
    ----------
    pairs : PairFit
        The columns.
    spacing : float
        Distance between the middles of nearest pairs, px.
    n_sublattices : {"auto", 1, 2}
        Number of sublattices; "auto" decides by brightness.

    Returns
    -------
    sublattice : ndarray of int of shape (n,)
        0 for the brighter column of the pairs of each crystal, 1 for the other one;
        all 0 if they are equally bright. Single columns are 0.
    end : ndarray of int of shape (n,)
        0 and 1 for the two ends of the pairs, the same in each crystal; translations
        of the lattice conserve them. Single columns are 0.
    """
    fit, partner = pairs.fit, pairs.partner
    end = np.zeros(len(fit), dtype=np.intp)
    first = np.flatnonzero(partner > np.arange(len(fit)))
    if not len(first):
        return end, end.copy()
    second = partner[first]
    arm = fit.positions[first] - fit.positions[second]
    direction = arm / np.hypot(*arm.T)[:, None]
    middle = (fit.positions[first] + fit.positions[second]) / 2
    sense, crystal = senses(direction, middle, spacing)
    amplitude = np.maximum(fit.amplitude, 1e-30)
    contrast = sense * np.log(amplitude[first] / amplitude[second])
    n = np.bincount(crystal)
    mean, scatter = np.empty((2, len(n)))
    order = np.split(np.argsort(crystal, kind="stable"), np.cumsum(n)[:-1])
    for number, own in enumerate(order):
        mean[number] = np.median(contrast[own])
        scatter[number] = np.median(np.abs(contrast[own] - mean[number]))
    # Of medians of normally distributed values.
    error = 1.2533 * 1.4826 * scatter / np.sqrt(n)
    is_large = n >= max(4, 0.02 * n.sum())
    # In each crystal, the brighter end is the first.
    sense = np.where(mean[crystal] >= 0, sense, -sense)
    end[np.where(sense > 0, second, first)] = 1
    if n_sublattices == 2:
        return end, end
    clear = np.abs(mean) > _SETTINGS.min_log_contrast
    clear &= np.abs(mean) > _SETTINGS.min_contrast_std * error
    share = n[clear & is_large].sum() / max(n[is_large].sum(), 1)
    if n_sublattices == 1 or share < 0.5:
        return np.zeros_like(end), end
    return end, end
