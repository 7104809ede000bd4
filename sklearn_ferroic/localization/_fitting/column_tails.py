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
from scipy.ndimage import uniform_filter

from .._image.binning import bin_image, binned_scale, choose_binning
from .windows import render_columns


@dataclass(frozen=True)
class _ColumnTailsSettings:
    """Settings of the estimate of the tails, with their reasons."""

    # Candidates for the sigma of the tails, in sigmas of the column. Tails of any sigma
    # show with the first one.
    ratios: tuple = (2.0, 2.5, 3.0)
    # Tails below this share of the amplitude displace no column by more than a
    # thousandth of a spacing, and cannot be told from a slowly varying background.
    min_share: float = 0.005
    min_significance: float = 5.0
    # A mean over squares of this side, taken twice, is subtracted: the background
    # varies over longer distances (spacings).
    background_side_spacings: float = 2.5
    # The lattice may continue beyond the border, with columns that are not known
    # (spacings).
    margin_spacings: float = 2.5
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
    inside = np.zeros(image.shape, dtype=bool)
    inside[margin:-margin, margin:-margin] = True
    if context.mask is not None:
        inside &= bin_image(~context.mask, side) == 0
    length = int(_SETTINGS.background_side_spacings * spacing) | 1

    def local(values):
        """Return the pixels less the mean around them."""
        for _ in range(2):
            values = values - uniform_filter(values, length)
        return values[inside].astype(np.float64)

    def render(factor):
        return ColumnTails(1.0, factor).image(image.shape, table, sigma)

    # Amplitudes and widths of the fit make up for a part of the tails.
    step = _SETTINGS.sigma_step
    known = [local(render(1.0)), local(render(1 + step) - render(1 - step))]
    target = local(image)

    def regress(ratio):
        """Return the squared residual, the tails and the error of their share."""
        design = np.stack([*known, local(render(ratio))], axis=1)
        normal = design.T @ design
        amplitude, _, share = solution = np.linalg.solve(normal, design.T @ target)
        square = float(np.sum((target - design @ solution) ** 2))
        variance = np.linalg.inv(normal)[2, 2] * square / len(target)
        return square, ColumnTails(float(share / amplitude), ratio), np.sqrt(variance)

    first, *others = _SETTINGS.ratios
    result = regress(first)
    if not _is_clear(*result[1:]):
        return None
    result = min(result, *(regress(ratio) for ratio in others))
    tails = result[1]
    if not _is_clear(*result[1:]):
        return None
    if before is not None:
        missing = np.clip(tails.share / before.share - 1, 0, _SETTINGS.max_missing)
        share = max(tails.share, before.share / (1 - missing))
        tails = tails._replace(share=share)
    return tails._replace(share=min(tails.share, _SETTINGS.max_share))


def _is_clear(tails, std):
    """Check whether tails are neither too faint to matter nor chance."""
    least = max(_SETTINGS.min_share, _SETTINGS.min_significance * std)
    return tails.share > least
