"""How good is what a tool located? Errors against the truth, in units of the bound."""

from dataclasses import dataclass

import numpy as np
from _scenes import inside
from scipy.spatial import cKDTree

MARGIN = 20.0  # px; columns nearer to the border are not judged
TOLERANCE = 2.0  # px; what lies farther off is another column


@dataclass(frozen=True)
class Score:
    """Figures of one tool on the images of one scene and peak.

    All are of interior columns. `ratio` is the RMS of (error / bound), over both
    axes; `mean_error` is the largest mean error of a sublattice along an axis in
    units of the RMS error; `bias_squared` is the mean square over the columns of the
    error that stays the same from noise seed to noise seed, in the square of these
    units, and `bias_squared_std` its standard error. `spread` is the standard deviation
    of (error / position_std). Speeds are columns per CPU second.
    """

    n_images: int
    rms: np.ndarray
    ratio: float
    ratio_by_sublattice: tuple
    mean_error: float
    bias_squared: float
    bias_squared_std: float
    spread: float
    n_true: int
    n_missed: int
    n_invented: int
    fit_speed: float
    speed: float
    peak_memory: float

    @property
    def f1(self):
        n_matched = self.n_true - self.n_missed
        return 2 * n_matched / (2 * n_matched + self.n_missed + self.n_invented)


def score(truth, which, bound, outcomes):
    """Judge a tool by what became of the images of one scene and peak.

    Parameters
    ----------
    truth : Truth
        The columns.
    which : ndarray of int of shape (m,)
        The interior columns.
    bound : ndarray of shape (m, 2)
        Cramér-Rao bounds of these, px.
    outcomes : list of Outcome
        One for each noise seed, all located.

    Returns
    -------
    score : Score
        The figures.
    """
    errors, stds, n_invented = [], [], 0
    for outcome in outcomes:
        partner, extra = match(truth, outcome.located.positions)
        n_invented += extra
        partner = partner[which]
        errors.append(_take(outcome.located.positions, partner))
        errors[-1] -= truth.positions[which]
        if outcome.located.position_std is not None:
            stds.append(_take(outcome.located.position_std, partner))
    errors = np.array(errors)
    found = np.isfinite(errors[..., 0])
    rms = np.sqrt(np.nanmean(errors**2, axis=(0, 1)))
    ratio = errors / bound
    labels = truth.sublattice[which]
    members = [labels == label for label in np.unique(labels)]
    means = [np.nanmean(errors[:, own], axis=(0, 1)) / rms for own in members]
    seconds = np.array([outcome.located.seconds for outcome in outcomes])
    counts = np.array([len(outcome.located.positions) for outcome in outcomes])
    fits = np.array([outcome.located.fit_seconds or np.nan for outcome in outcomes])
    squared, squared_std = _bias(errors / rms)
    return Score(
        n_images=len(outcomes),
        rms=rms,
        ratio=_rms(ratio),
        ratio_by_sublattice=tuple(_rms(ratio[:, own]) for own in members),
        mean_error=float(np.abs(means).max()),
        bias_squared=squared,
        bias_squared_std=squared_std,
        spread=float(np.nanstd(errors / np.array(stds))) if stds else np.nan,
        n_true=found.size,
        n_missed=int((~found).sum()),
        n_invented=n_invented,
        fit_speed=float(np.median(counts / fits)),
        speed=float(np.median(counts / seconds)),
        peak_memory=float(max(outcome.peak_memory for outcome in outcomes)),
    )


def match(truth, positions):
    """Pair true columns with located ones that are each other's nearest.

    Parameters
    ----------
    truth : Truth
        The columns.
    positions : ndarray of shape (n, 2)
        What was located.

    Returns
    -------
    partner : ndarray of int of shape (n_true,)
        Number of the located column; -1 for a miss.
    n_invented : int
        Interior located columns without a partner.
    """
    partner = np.full(len(truth.positions), -1)
    if not len(positions):
        return partner, 0
    distance, nearest = cKDTree(positions).query(truth.positions)
    _, back = cKDTree(truth.positions).query(positions)
    own = np.arange(len(partner))
    paired = (back[nearest] == own) & (distance < TOLERANCE)
    partner[paired] = nearest[paired]
    extra = inside(positions, truth.shape, MARGIN)
    extra[nearest[paired]] = False
    return partner, int(extra.sum())


def _take(values, partner):
    taken = np.full((len(partner), 2), np.nan)
    taken[partner >= 0] = values[partner[partner >= 0]]
    return taken


def _rms(values):
    return float(np.sqrt(np.nanmean(values**2)))


def _bias(errors):
    """Mean square of what the errors of all seeds share, and its standard error.

    Products of different seeds' errors are free of the noise.
    """
    n = np.isfinite(errors).sum(axis=0)
    sums, squares = np.nansum(errors, axis=0), np.nansum(errors**2, axis=0)
    enough = n >= 2
    if not enough.any():
        return np.nan, np.nan
    n = n[enough]
    shared = (sums[enough] ** 2 - squares[enough]) / (n * (n - 1))
    return float(shared.mean()), float(shared.std() / np.sqrt(shared.size))
