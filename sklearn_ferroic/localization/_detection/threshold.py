"""How high the noise reaches in the response of a blob filter."""

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from .._fitting.columns import (
    AMPLITUDE,
    BACKGROUND,
    COL,
    ROW,
    SIGMA,
)
from .._fitting.windows import matched_significance
from .._image.noise import NoiseModel
from .selection import CLEAR_SIGNIFICANCE

# Peaks below this share of the significance wanted are noise at first glance.
FIRST_GLANCE = 0.6
# Amplitudes above this multiple of CLEAR_SIGNIFICANCE standard errors need no second
# test, for columns whose width differs from the typical one by no more than the
# tolerance below (natural logarithm).
_SURE = 2.5
_USUAL = 0.3
# Widths of the filters that faint columns are matched with, in units of that of the
# bright ones: columns of light atoms are narrower.
_FILTER_WIDTHS = (1.0, 0.7)
# Columns so many widths apart do not overlap.
_OVERLAP = 8


class Floor(NamedTuple):
    """So many standard deviations of pixels as bright as those around some.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    level : float
        How many.
    width : float
        How far around, px.
    noise : NoiseModel
        Pixel variance.
    """

    image: np.ndarray
    level: float
    width: float
    noise: NoiseModel

    def __call__(self, row, col):
        reach = max(1, round(self.width))
        steps = range(-reach, reach + 1)
        rows, cols = (
            [np.clip(place + step, 0, length - 1) for step in steps]
            for place, length in zip((row, col), self.image.shape, strict=True)
        )
        mean = np.zeros(len(row))
        for near_row in rows:
            for near_col in cols:
                mean += self.image[near_row, near_col]
        return self.level * np.sqrt(self.noise.variance(mean / len(steps) ** 2))

    def least(self):
        """Lower bound anywhere."""
        darkest = np.array([self.image.min()], dtype=np.float64)
        return 0.999 * self.level * float(np.sqrt(self.noise.variance(darkest)[0]))

    def times(self, table):
        """Compute by how many times candidate columns exceed it."""
        row, col = np.rint(table[:, ROW : COL + 1]).astype(np.intp).T
        return table[:, AMPLITUDE] / self(row, col)


def significance_of(fit, image, valid, noise, inflation, width, known=None, model=None):
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
    model : ndarray of shape (n_rows, n_cols), default=None
        The sum of all columns, if it is known.

    Returns
    -------
    significance : ndarray of shape (n,)
        Amplitude over its error, for columns of the typical sigma with all others
        subtracted; infinite for columns that the fit leaves no doubt of.
    """
    sure = (
        fit.table[:, AMPLITUDE]
        > _SURE * CLEAR_SIGNIFICANCE * inflation * fit.std[:, AMPLITUDE]
    )
    sure &= fit.table[:, BACKGROUND] >= noise.darkest
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
        matched = np.max(
            [
                matched_significance(
                    image, fit.take(near), noise, share * width, valid, model
                )
                for share in _FILTER_WIDTHS
            ],
            axis=0,
        )
        doubted = np.isfinite(significance[near]) | ~sure[near]
        significance[near[doubted]] = matched[doubted]
    return significance
