"""Tails of columns beyond a Gaussian, common to all columns of an image.

The tails of the probe and of thermal scattering add a wide and faint component to each
column. A Gaussian fit leaves it in the background, where the tails of a bright column
attract its neighbours: a share of 3 % makes displacements 2 % too long. The tails of
all columns are estimated from an image and a fit, and subtracted before the columns are
fitted again.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import minimum_filter, uniform_filter
from scipy.spatial import cKDTree

from .._image.binning import bin_image, binned_scale, choose_binning
from .windows import render_columns


@dataclass(frozen=True)
class _ColumnTailsSettings:
    """Settings of the estimate of the tails, with their reasons."""

    # Sigma of the tails in sigmas of the column. Wider tails are nearly uniform and
    # displace no column; narrower ones are a part of the column's own width.
    ratio: float = 2.0
    # Amplitudes in the estimate are medians over the columns of similar amplitude, up
    # to this logarithm of the ratio, among this number of nearest ones: a background
    # that varies from column to column changes fitted amplitudes, and would pass for
    # tails.
    n_nearest: int = 24
    max_log_ratio: float = 0.35
    # Tails below this share of the amplitude displace no column by more than a
    # thousandth of a spacing, and are not distinct from a slowly varying background.
    min_share: float = 0.005
    min_significance: float = 5.0
    # A mean over squares of this side, taken twice, is subtracted: the background
    # varies over longer distances (spacings).
    background_side_spacings: float = 2.5
    # The lattice may continue beyond the border, with columns that are not known
    # (spacings).
    margin_spacings: float = 2.5
    # The variance of means of the residual over squares of this side (spacings) is at
    # most this multiple of that of white noise. Otherwise the background varies between
    # columns: columns on brighter places have higher amplitudes, and what is around
    # them would pass for tails. Images of tails alone have at most 1.07, those of
    # rough backgrounds that would shorten displacements by 1 % have at least 1.12.
    square_spacings: float = 0.5
    max_correlation: float = 1.1
    # Fewer columns do not show the tails.
    min_columns: int = 50
    # Largest share of the tails that a fit may make up for, and largest share of the
    # tails themselves: the core of the column remains the larger part.
    max_missing: float = 0.5
    max_share: float = 0.4
    # Relative change of sigma for its derivative.
    sigma_step: float = 0.02


_SETTINGS = _ColumnTailsSettings()


class ColumnTails(NamedTuple):
    """Wide Gaussians around all columns of an image.

    Parameters
    ----------
    share : float
        Amplitude of the tails over that of their column.
    ratio : float
        Sigma of the tails over that of their column.
    """

    share: float
    ratio: float

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


def estimate_tails(context, fit, before=None):
    """Estimate the tails of the columns by linear regression of the image.

    Parameters
    ----------
    context : ImageContext
        The image.
    fit : ColumnFit
        All its columns.
    before : ColumnTails, default=None
        Tails that were subtracted before the fit. Widths and backgrounds of a fit make
        up for a part of the tails that were not, so that each estimate is too small;
        two of them are extrapolated.

    Returns
    -------
    tails : ColumnTails or None
        None if no tails are significant.
    """
    table = fit.table.take(fit.usable & fit.table.is_known)
    if len(table) < _SETTINGS.min_columns:
        return None
    side = choose_binning(context.spacing, context.sigma)
    spacing, sigma = binned_scale(context.spacing, context.sigma, side)
    image, table = (
        bin_image(context.image, side) / np.float32(side**2),
        table.binned(side),
    )
    margin = int(np.ceil(_SETTINGS.margin_spacings * spacing))
    if min(image.shape) < 2 * margin + spacing:
        return None
    good = np.ones(image.shape, dtype=bool)
    if context.mask is not None:
        good = bin_image(~context.mask, side) == 0
    inside = np.pad(good, margin)
    inside = minimum_filter(inside, 2 * margin + 1)[margin:-margin, margin:-margin]
    if not inside.any():
        return None
    length = int(_SETTINGS.background_side_spacings * spacing) | 1
    share_good = np.maximum(uniform_filter(good.astype(np.float32), length), 1e-6)

    def local(values):
        """Return the pixels less the mean of the good ones around them."""
        for _ in range(2):
            values = good * (
                values - uniform_filter(good * values, length) / share_good
            )
        return values[inside].astype(np.float64)

    def render(columns, factor):
        return ColumnTails(1.0, factor).image(image.shape, columns, sigma)

    # Amplitudes and widths of the fit make up for a part of the tails.
    step, ratio = _SETTINGS.sigma_step, _SETTINGS.ratio
    typical = table.replace(amplitude=_typical_amplitude(table))
    design = [
        local(render(table, 1.0)),
        local(render(table, 1 + step) - render(table, 1 - step)),
        local(render(typical, ratio)),
    ]
    design, target = np.stack(design, axis=1), local(image)
    normal = design.T @ design
    amplitude, _, share = solution = np.linalg.solve(normal, design.T @ target)
    residual = target - design @ solution
    variance = np.mean(residual**2)
    std = np.sqrt(np.linalg.inv(normal)[2, 2] * variance)
    tails = ColumnTails(float(share / amplitude), ratio)
    if tails.share < max(_SETTINGS.min_share, _SETTINGS.min_significance * std):
        return None
    square_side = max(2, int(_SETTINGS.square_spacings * spacing))
    if _variance_of_means(residual, inside, square_side) > _SETTINGS.max_correlation:
        return None
    if before is not None:
        missing = np.clip(tails.share / before.share - 1, 0, _SETTINGS.max_missing)
        share = max(tails.share, before.share / (1 - missing))
        tails = tails._replace(share=share)
    return tails._replace(share=min(tails.share, _SETTINGS.max_share))


def _typical_amplitude(table):
    """Return the median amplitude of similar columns nearby, for each column."""
    n_nearest = min(_SETTINGS.n_nearest + 1, len(table))
    _, near = cKDTree(table.positions).query(table.positions, n_nearest)
    around = np.maximum(table.amplitude, 1e-6 * table.amplitude.max())
    around = np.log(around)[near]
    is_similar = np.abs(around - around[:, :1]) < _SETTINGS.max_log_ratio
    return np.exp(np.nanmedian(np.where(is_similar, around, np.nan), axis=1))


def _variance_of_means(residual, inside, side):
    """Return the variance of means over squares, relative to that of white noise."""
    image = np.zeros(inside.shape)
    image[inside] = residual
    means = uniform_filter(image, side)[inside]
    return float(np.var(means) / (np.var(residual) / side**2))
