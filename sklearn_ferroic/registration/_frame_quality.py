"""Quality of the frames of a series: rejection, weights and noise."""

from dataclasses import dataclass

import numpy as np

from .._utils.robust import STD_PER_MEDIAN

# A frame must share this part of its area with the others.
MIN_OVERLAP_SHARE = 0.25


@dataclass(frozen=True)
class FrameCriteria:
    """Criteria for the rejection and the weights of frames.

    Parameters
    ----------
    weighting : {"quality", "uniform"}
        Weights of the frames.
    rejection_std, rejection_share : float
        Frames are rejected whose correlation is lower than the median by this number of
        robust standard deviations and by this share of the median.
    """

    weighting: str
    rejection_std: float
    rejection_share: float


@dataclass(frozen=True)
class Summary:
    """Numbers of a `Misfit` by which a frame is judged."""

    contrast: float
    variance: float
    correlation: float
    overlap: float
    noise: np.ndarray


def summarize(misfit):
    """Return the numbers by which a frame is judged."""
    return Summary(
        misfit.contrast,
        misfit.variance,
        misfit.correlation,
        misfit.overlap,
        misfit.noise,
    )


def judge(state, summaries, criteria):
    """Set rejection, weights, correlations and noise of a registration.

    Parameters
    ----------
    state : Registration
        The registration.
    summaries : list of (Summary or None)
        Of each frame; None if it shows nothing of the others.
    criteria : FrameCriteria
        Rejection and weights of the frames.
    """
    nothing = Summary(0.0, np.inf, 0.0, 0.0, np.zeros(2))
    summaries = [nothing if one is None else one for one in summaries]
    correlation = np.array([one.correlation for one in summaries])
    overlap = np.array([one.overlap for one in summaries])
    enough = overlap >= MIN_OVERLAP_SHARE
    typical = np.median(correlation[enough]) if enough.any() else 0.0
    scatter = STD_PER_MEDIAN * np.median(np.abs(correlation[enough] - typical))
    drop = criteria.rejection_share * typical
    if scatter > 0:
        drop = max(criteria.rejection_std * scatter, drop)
    used = enough & (correlation > 0) & (correlation >= typical - drop)
    used &= state.copy_of < 0
    if np.count_nonzero(used) < 2:
        raise ValueError(_explain_nothing_used(state, correlation, overlap))
    state.used, state.correlation, state.overlap = used, correlation, overlap
    weights = used.astype(float)
    if criteria.weighting == "quality":
        merit = np.array([one.contrast / one.variance for one in summaries])
        weights = np.where(used, np.maximum(merit, 0), 0)
    state.weights = weights / weights[used].mean()
    state.noise = np.mean([summaries[i].noise for i in np.flatnonzero(used)], axis=0)


def _explain_nothing_used(state, correlation, overlap):
    """Return the message for a series without two frames that can be averaged."""
    n_frames = len(overlap)
    inverted = np.flatnonzero(state.is_inverted | (correlation < -0.2))
    if len(inverted):
        return explain_inverted(inverted, n_frames)
    if overlap.max() >= MIN_OVERLAP_SHARE:
        return (
            f"Fewer than two of the {n_frames} frames resemble each other where they "
            f"overlap: the largest correlation is {correlation.max():.2f}. Are they of "
            "one area of the specimen, in focus, and is spacing= right?"
        )
    return (
        f"Fewer than two of the {n_frames} frames show the same area: the largest "
        f"overlap is {overlap.max():.0%}. Are they of one area of the specimen?"
    )


def explain_inverted(inverted, n_frames):
    """Return the message for a series with too few frames that are not inverted."""
    return (
        f"Columns are dark in frame(s) {', '.join(map(str, inverted))} of {n_frames} "
        "where they are bright in the others, as in the signal of another detector, "
        "and fewer than two frames are left. Invert these frames."
    )
