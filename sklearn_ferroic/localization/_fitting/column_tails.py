"""Tails of columns beyond a Gaussian, common to all columns of an image.

The tails of the probe and of thermal scattering add a wide and faint component to each
column. A Gaussian fit leaves it in the background, where the tails of a bright column
attract its neighbours: a share of 3 % makes displacements 2 % too long. The tails of
all columns are estimated from an image and a fit, and subtracted before the columns are
fitted again.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import minimum_filter, uniform_filter
from scipy.spatial import cKDTree

from ..._image.pixels import bin_image, binned_scale, choose_binning
from .settings import FITTING
from .windows import render_columns

_SETTINGS = FITTING.column_tails
_SIMILAR = FITTING.similar_columns


class ColumnTails(NamedTuple):
    """Wide Gaussians around all columns of an image.

    Parameters
    ----------
    share : float
        Amplitude of the tails over that of their column.
    ratio : float
        Sigma of the tails over that of their column.
    mean : float, default=0.0
        Mean of the tails over the image.
    """

    share: float
    ratio: float
    mean: float = 0.0

    def image(self, shape, table, sigma):
        """Sum the tails of columns on an image.

        Parameters
        ----------
        shape : tuple of int
            Shape of the image.
        table : ColumnTable
            The columns.
        sigma : float
            Their typical sigma, px.

        Returns
        -------
        image : ndarray of shape (n_rows, n_cols)
            The tails, float32.
        """
        wide = table.replace(
            amplitude=self.share * table.amplitude, sigma=self.ratio * table.sigma
        )
        return render_columns(shape, wide, self.ratio * sigma)


class TailSums(NamedTuple):
    """Sums over the pixels of a tile for the estimate of the tails.

    The first index of the products is of the columns of the fit, the change of their
    widths, wide Gaussians at all columns, the image, and one.

    Parameters
    ----------
    products : ndarray of shape (5, 5)
        Sums of products of pixels.
    products_of_means : ndarray of shape (5, 5)
        Sums of products of means over squares.
    n_pixels : int
        Number of pixels.
    n_columns : int
        Number of columns.
    square_side : int
        Side of the squares, px.
    mean : float
        Mean of the columns over the tile.
    area : float
        Area of the tile, px.
    """

    products: np.ndarray
    products_of_means: np.ndarray
    n_pixels: int
    n_columns: int
    square_side: int
    mean: float
    area: float

    @classmethod
    def over(cls, context, fit, inner=(slice(None), slice(None))):
        """Accumulate the sums over a tile from which the tails of its columns follow.

        Parameters
        ----------
        context : ImageContext
            The tile.
        fit : ColumnFit
            All its columns.
        inner : tuple of slice, default=all pixels
            The tile's own pixels. They count where they are away from bad pixels and
            from the border of the image.

        Returns
        -------
        sums : TailSums or None
            None if no pixel counts, or if the columns are too narrow for their tails
            to matter.
        """
        if context.sigma < _SETTINGS.min_sigma_spacings * context.spacing:
            return None
        table = fit.table.take(fit.usable & fit.table.is_known)
        if not len(table):
            return None
        side = choose_binning(context.spacing, context.sigma)
        spacing, sigma = binned_scale(context.spacing, context.sigma, side)
        image, table = (
            bin_image(context.image, side) / np.float32(side**2),
            table.binned(side),
        )
        inner = tuple(
            slice(*(-(-end // side) for end in part.indices(n)[:2]))
            for part, n in zip(inner, context.shape, strict=True)
        )
        margin = int(np.ceil(_SETTINGS.margin_spacings * spacing))
        if min(image.shape) < 2 * margin + spacing:
            return None
        good = np.ones(image.shape, dtype=bool)
        if context.mask is not None:
            good = bin_image(~context.mask, side) == 0
        inside = np.pad(good, margin)
        inside = minimum_filter(inside, 2 * margin + 1)[margin:-margin, margin:-margin]
        counts = np.zeros(image.shape, dtype=bool)
        counts[inner] = inside[inner]
        if not counts.any():
            return None
        length = int(_SETTINGS.background_side_spacings * spacing) | 1
        share_good = np.maximum(uniform_filter(good.astype(np.float32), length), 1e-6)

        def local(values):
            """Return the pixels minus the mean of the good ones around them."""
            for _ in range(2):
                values = good * (
                    values - uniform_filter(good * values, length) / share_good
                )
            return inside * values.astype(np.float64)

        def render(columns, factor):
            return ColumnTails(1.0, factor).image(image.shape, columns, sigma)

        # Amplitudes and widths of the fit make up for a part of the tails.
        step = _SETTINGS.sigma_step_share
        typical = table.replace(amplitude=_typical_amplitude(table))
        images = [
            local(render(table, 1.0)),
            local(render(table, 1 + step) - render(table, 1 - step)),
            local(render(typical, _SETTINGS.sigma_ratio)),
            local(image),
            inside.astype(np.float64),
        ]
        square_side = max(2, int(_SETTINGS.square_spacings * spacing))
        products = _products(images, counts)
        means = [uniform_filter(values, square_side) for values in images]
        first = [part.start - 0.5 for part in inner]
        last = [part.stop - 0.5 for part in inner]
        own = ((table.positions >= first) & (table.positions < last)).all(axis=1)
        area = float(np.prod(np.subtract(last, first)))
        mean = 2 * np.pi * float(np.sum((table.amplitude * table.sigma**2)[own])) / area
        return cls(
            products,
            _products(means, counts),
            int(np.count_nonzero(counts)),
            int(np.count_nonzero(own)),
            square_side,
            mean,
            area,
        )


def estimate_tails(sums, before=None):
    """Estimate the tails of the columns by linear regression of the image.

    Parameters
    ----------
    sums : list of TailSums
        Sums over the tiles of the image.
    before : ColumnTails, default=None
        Tails that were subtracted before the fit. Widths and backgrounds of a fit make
        up for a part of the tails that were not, so that each estimate is too small;
        two of them are extrapolated.

    Returns
    -------
    tails : ColumnTails or None
        None if no tails are significant.
    """
    if sum(part.n_columns for part in sums) < _SETTINGS.min_n_columns:
        return None
    n_pixels = sum(part.n_pixels for part in sums)
    products = sum(part.products for part in sums)
    normal, target = products[:3, :3], products[:3, 3]
    amplitude, _, share = solution = np.linalg.solve(normal, target)
    residual = np.append(-solution, [1.0, 0.0])
    mean_square = residual @ products @ residual / n_pixels
    std = np.sqrt(np.linalg.inv(normal)[2, 2] * mean_square)
    tails = ColumnTails(float(share / amplitude), _SETTINGS.sigma_ratio)
    if tails.share < max(_SETTINGS.min_share, _SETTINGS.min_significance_std * std):
        return None
    of_means = sum(part.products_of_means for part in sums)
    variance, variance_of_means = (
        (residual @ sums_ @ residual - (residual @ sums_[:, 4]) ** 2 / n_pixels)
        / n_pixels
        for sums_ in (products, of_means)
    )
    white = variance / sums[0].square_side ** 2
    if variance_of_means > _SETTINGS.max_variance_ratio * white:
        return None
    if before is not None:
        missing = np.clip(
            tails.share / before.share - 1, 0, _SETTINGS.max_missing_share
        )
        share = max(tails.share, before.share / (1 - missing))
        tails = tails._replace(share=share)
    share = min(tails.share, _SETTINGS.max_share)
    means, areas = [part.mean for part in sums], [part.area for part in sums]
    mean = share * tails.ratio**2 * float(np.average(means, weights=areas))
    return tails._replace(share=share, mean=mean)


def subtract_tails(found, tiles_of, fit_again):
    """Fit columns again without tails, which all columns of an image have in common.

    Parameters
    ----------
    found : list of (object, TailSums or None)
        Columns of each tile, and the sums over it.
    tiles_of : list of list of int
        Tiles of each image.
    fit_again : callable
        Function of the columns and of the tails of some tiles, both a dict by tile. It
        returns a list of the columns of the same tiles and the sums over them.

    Returns
    -------
    columns : list of object
        Columns of each tile after the last fit.
    """
    found, before = list(found), dict.fromkeys(range(len(tiles_of)))
    for _ in range(_SETTINGS.n_fits):
        tails = {}
        for number in list(before):
            own = tiles_of[number]
            sums = [found[tile][1] for tile in own if found[tile][1] is not None]
            before[number] = estimate_tails(sums, before[number])
            if before[number] is None:
                # The image has no tails that are significant.
                del before[number]
            else:
                tails.update(dict.fromkeys(own, before[number]))
        columns = {tile: found[tile][0] for tile in tails}
        for tile, part in zip(columns, fit_again(columns, tails), strict=True):
            found[tile] = part
    return [columns for columns, _ in found]


def _products(images, counts):
    """Return the sums of products of images over the pixels that count."""
    values = np.stack([image[counts] for image in images])
    return values @ values.T


def _typical_amplitude(table):
    """Return the median amplitude of similar columns nearby, for each column."""
    n_nearest = min(_SIMILAR.n_nearest + 1, len(table))
    # a list keeps the axis of the neighbours where there is one column
    _, near = cKDTree(table.positions).query(
        table.positions, [*range(1, n_nearest + 1)]
    )
    around = np.maximum(table.amplitude, 1e-6 * table.amplitude.max())
    around = np.log(around)[near]
    is_similar = np.abs(around - around[:, :1]) < _SIMILAR.max_log_ratio
    # The median of the similar ones: others are sorted behind them.
    around = np.sort(np.where(is_similar, around, np.inf), axis=1)
    n_similar, row = is_similar.sum(axis=1), np.arange(len(around))
    low, high = around[row, (n_similar - 1) // 2], around[row, n_similar // 2]
    return np.exp((low + high) / 2)
