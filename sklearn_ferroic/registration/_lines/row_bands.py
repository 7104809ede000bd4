"""Test of whether columns that the same scan lines cross are displaced together.

Jitter of the scan displaces a row of columns relative to the rows above and below it by
about the same length over the whole width of the image. Displacements of the specimen
are seldom so: they differ along the row, or occur in few rows, and they do not prefer
the scan lines. The displacements in the left and the right half of each row are
therefore compared, and the same is done for the columns of the transposed image.
"""

from typing import NamedTuple

import numpy as np

from ..._lattice.reference_lattice import lattice_indices
from ..._utils.robust import STD_PER_MEDIAN

# Columns within this number of sigmas along the slow scan axis share scan lines.
_BIN_SIGMA = 1.5
_MIN_BIN_PX = 2.0
# Fewest columns in each half of a row, and fewest rows.
_MIN_COLUMNS = 3
_MIN_ROWS = 8
# Deviations are clipped at this number of robust standard deviations.
_CLIP_DEVIATIONS = 4.0
# Median over mean of the square of a normal variable.
_MEDIAN_OF_SQUARE = 0.4549
# Variance of a column minus the mean of the one above and the one below.
_VARIANCE_FACTOR = 1.5
# Bands are reported if they exceed their error by this factor, are at least this share
# of the standard error of a position, and exceed those of the transposed image by this
# ratio. The brightest sublattice by itself, which polarization displaces least, must
# show them, too. Undistorted multislice, generated, PbZrO3 and SrTiO3 images do not
# fulfil all of this; distorted multislice images and films with jitter of 0.3 px do.
_MIN_DEVIATIONS = 5.0
_MIN_SHARE = 0.3
_MIN_RATIO = 1.5


class RowBands(NamedTuple):
    """Displacements along the scan lines that the columns of a row have in common.

    Parameters
    ----------
    size : float
        Their standard deviation, px.
    share : float
        The same over the median standard error of the positions along the lines.
    deviations : float
        Covariance of the halves of the rows over its error without bands.
    share_of_brightest, deviations_of_brightest : float
        The same of the brightest sublattice; of all columns if it has too few.
    across : float
        Size in the transposed image, px; of all columns or of the brightest, whichever
        is smaller.
    """

    size: float
    share: float
    deviations: float
    share_of_brightest: float
    deviations_of_brightest: float
    across: float

    @property
    def are_significant(self):
        """Whether the scan is distorted more than position errors explain."""
        return bool(
            min(self.deviations, self.deviations_of_brightest) > _MIN_DEVIATIONS
            and min(self.share, self.share_of_brightest) > _MIN_SHARE
            and self.size > _MIN_RATIO * self.across
        )


def measure_row_bands(sites):
    """Measure whether columns of the same scan lines are displaced together.

    Parameters
    ----------
    sites : AtomSites
        Columns of one image whose scan lines are its rows.

    Returns
    -------
    bands : RowBands or None
        None if the image shows too few columns in rows.
    """
    index = lattice_indices(sites.positions, sites.sublattice)
    known = np.isfinite(index).all(axis=1) & sites.converged
    known &= np.isfinite(sites.position_std).all(axis=1)
    if np.count_nonzero(known) < _MIN_ROWS * _MIN_COLUMNS:
        return None
    width = max(_BIN_SIGMA * float(np.nanmedian(sites.sigma[known])), _MIN_BIN_PX)
    along, across = [], []
    for own in (known, known & (sites.sublattice == 0)):
        if not own.any():
            continue
        parts = (
            sites.positions[own],
            sites.position_std[own],
            np.rint(index[own]).astype(int),
            sites.sublattice[own],
        )
        along.append(_covariance_of_halves(*parts, width, slow=0))
        across.append(_covariance_of_halves(*parts, width, slow=1))
    along = [one for one in along if one is not None]
    if not along:
        return None
    size, error, deviations = along[0]
    of_brightest = along[-1]
    return RowBands(
        size,
        size / error,
        deviations,
        of_brightest[0] / of_brightest[1],
        of_brightest[2],
        min((one[0] for one in across if one is not None), default=0.0),
    )


def _covariance_of_halves(positions, std, index, sublattice, width, *, slow):
    """Return the size of the bands, the error of a position and the significance."""
    fast = 1 - slow
    near = _neighbors(positions, index, sublattice, slow)
    if near is None:
        return None
    own, before, after = near
    rest = positions[own, fast] - (positions[before, fast] + positions[after, fast]) / 2
    square = np.square(std[:, fast])
    error = np.sqrt(np.median(square[own] + (square[before] + square[after]) / 4))
    for kind in np.unique(sublattice[own]):
        rest[sublattice[own] == kind] -= np.median(rest[sublattice[own] == kind])
    limit = _CLIP_DEVIATIONS * STD_PER_MEDIAN * np.median(np.abs(rest))
    rest = np.clip(rest, -limit, limit)
    place = np.floor(positions[own, slow] / width).astype(int)
    second = positions[own, fast] > np.median(positions[own, fast])
    products, variances = [], []
    for row in np.unique(place):
        halves = [rest[(place == row) & half] for half in (second, ~second)]
        counts = [len(half) for half in halves]
        if min(counts) < _MIN_COLUMNS:
            continue
        products.append(np.median(halves[0]) * np.median(halves[1]))
        # Of medians of normal variables.
        spreads = [np.pi / 2 * np.var(half) / len(half) for half in halves]
        variances.append(spreads[0] * spreads[1])
    if len(products) < _MIN_ROWS or not sum(variances):
        return None
    # The median over the rows leaves out interfaces and walls, which few rows show.
    typical = max(float(np.median(products)), 0.0) / _MEDIAN_OF_SQUARE
    scale = np.sqrt(_VARIANCE_FACTOR)
    deviations = float(np.sum(products) / np.sqrt(np.sum(variances)))
    return np.sqrt(typical) / scale, float(error) / scale, deviations


def _neighbors(positions, index, sublattice, slow):
    """Return indices of columns with neighbours along the slow axis, and of these.

    The neighbours are of the same sublattice, one on either side; None if no column has
    both.
    """
    centered = index - index.mean(axis=0)
    places = positions[:, slow] - positions[:, slow].mean()
    slopes = np.linalg.lstsq(centered, places, rcond=None)[0]
    step = np.eye(2, dtype=int)[np.argmax(np.abs(slopes))]
    place = index - index.min(axis=0) + 1
    table = np.full((int(sublattice.max()) + 1, *(place.max(axis=0) + 2)), -1)
    table[sublattice, place[:, 0], place[:, 1]] = np.arange(len(positions))
    before, after = (table[(sublattice, *(place + sign * step).T)] for sign in (-1, 1))
    own = np.flatnonzero((before >= 0) & (after >= 0))
    return None if not len(own) else (own, before[own], after[own])
