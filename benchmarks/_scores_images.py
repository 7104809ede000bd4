"""Scores of located columns against the truth, without reference to a bound."""

from dataclasses import dataclass

import numpy as np
from _scenes import inside
from scipy.spatial import cKDTree

# Both in units of the spacing of the truth.
TOLERANCE = 0.35
MARGIN = 1.0
N_NEIGHBORS = 8
# Variance of the median of 8 values of unit normal variance, by simulation.
MEDIAN_OF_8_VARIANCE = 0.168
# Makes the median of |x| of normal values their standard deviation.
MAD_TO_STD = 1.4826


@dataclass(frozen=True)
class Accuracy:
    """Errors of the found interior columns of one sublattice.

    Parameters
    ----------
    n_true, n_missed : int
        Interior columns, and those of them without a site.
    labels_right : float
        Share of the found columns whose site has their label.
    rms_px : float
        RMS error per axis.
    rms_ratio, robust_ratio : float
        Error over `position_std`: RMS over RMS, and 1.4826 times the median of the
        absolute quotient.
    local_rms_px, local_rms_ratio, local_robust_ratio : float
        The same after subtracting from each error the median error of the 8 nearest
        found columns of the sublattice; corrected for the noise of this median.
    shares : tuple of float
        Factors of the known shifts of the columns of an image that minimise the
        errors.
    image_rms_px, image_rms_ratio, image_robust_ratio : float
        The same as above after subtracting these shifts: errors against the columns
        as they are in the image. NaN without known shifts.
    """

    n_true: int
    n_missed: int
    labels_right: float
    rms_px: float
    rms_ratio: float
    robust_ratio: float
    local_rms_px: float
    local_rms_ratio: float
    local_robust_ratio: float
    shares: tuple = ()
    image_rms_px: float = np.nan
    image_rms_ratio: float = np.nan
    image_robust_ratio: float = np.nan


@dataclass(frozen=True)
class Score:
    """Figures of the sites of one image with truth.

    Parameters
    ----------
    by_sublattice : dict of int to Accuracy
        One entry a true sublattice.
    n_invented : int
        Interior sites farther than the tolerance from every true column.
    n_duplicates : int
        Interior sites that share a true column with a nearer one.
    n_true : int
        Interior columns.
    """

    by_sublattice: dict
    n_invented: int
    n_duplicates: int
    n_true: int


def score(case, sites):
    """Score the sites of an image against its truth.

    Parameters
    ----------
    case : Case
        Image with truth.
    sites : AtomSites
        What a locator found in it.

    Returns
    -------
    score : Score
        Its figures.
    """
    shape, spacing = np.shape(case.image), case.spacing
    judged = inside(case.positions, shape, MARGIN * spacing)
    if case.excluded is not None:
        judged &= ~case.excluded
    partner, distance = np.full(len(case.positions), -1), None
    n_invented = n_duplicates = 0
    if len(sites):
        distance, nearest = cKDTree(sites.positions).query(case.positions)
        found = distance < TOLERANCE * spacing
        partner[found] = nearest[found]
        gap, owner = cKDTree(case.positions).query(sites.positions)
        within = inside(sites.positions, shape, MARGIN * spacing)
        invented = gap >= TOLERANCE * spacing
        n_invented = int(np.sum(invented & within))
        spare = ~invented & (partner[owner] != np.arange(len(sites)))
        n_duplicates = int(np.sum(spare & within))
    by_sublattice = {
        int(label): _accuracy(case, sites, partner, judged, label)
        for label in np.unique(case.sublattice[judged])
    }
    return Score(by_sublattice, n_invented, n_duplicates, int(judged.sum()))


def _accuracy(case, sites, partner, judged, label):
    own = judged & (case.sublattice == label)
    hit = np.flatnonzero(own & (partner >= 0))
    n_true, n_missed = int(own.sum()), int(own.sum() - len(hit))
    if len(hit) <= N_NEIGHBORS:
        return Accuracy(n_true, n_missed, *[np.nan] * 7)
    row = partner[hit]
    error = sites.positions[row] - case.positions[hit]
    std = sites.position_std[row]
    local = _local_error(case.positions[hit], error)
    in_image = ()
    if case.shifts is not None:
        shares, rest = _without_shifts(error, std, case.shifts[hit])
        in_image = (tuple(map(float, shares)), _rms(rest), *_ratios(rest, std))
    return Accuracy(
        n_true,
        n_missed,
        float(np.mean(sites.sublattice[row] == label)),
        _rms(error),
        *_ratios(error, std),
        _rms(local),
        *_ratios(local, std),
        *in_image,
    )


def _local_error(positions, error):
    """Return the errors less the median error of the nearest neighbours."""
    _, near = cKDTree(positions).query(positions, k=N_NEIGHBORS + 1)
    rest = error - np.median(error[near[:, 1:]], axis=1)
    return rest / np.sqrt(1 + MEDIAN_OF_8_VARIANCE)


def _without_shifts(error, std, shifts):
    """Return the least-squares factors of known shifts, and the errors without them."""
    known = np.isfinite(std).all(axis=1) & (std > 0).all(axis=1)
    weight = 1 / std[known].reshape(-1)
    design = np.moveaxis(shifts[known], 1, 2).reshape(-1, shifts.shape[1])
    measured = error[known].reshape(-1) * weight
    shares, *_ = np.linalg.lstsq(design * weight[:, None], measured, rcond=None)
    return shares, error - np.einsum("nkd,k->nd", shifts, shares)


def _ratios(error, std):
    known = np.isfinite(std).all(axis=1) & (std > 0).all(axis=1)
    if not known.any():
        return np.nan, np.nan
    error, std = error[known], std[known]
    robust = MAD_TO_STD * np.median(np.abs(error / std))
    return _rms(error) / _rms(std), float(robust)


def _rms(values):
    return float(np.sqrt(np.mean(values**2)))
