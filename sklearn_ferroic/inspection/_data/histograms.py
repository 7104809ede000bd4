"""Histograms of angles and of pairs of latents."""

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from ..._utils.angles import wrap_angle

_N_BINS = 720
# Standard deviation of the kernel, rad.
_WIDTH = np.deg2rad(5)


def angle_peaks(angle, n_peaks=None):
    """Find the most frequent directions.

    These are the maxima of a histogram smoothed on the circle by a Gaussian of 5°. A
    maximum is significant if its prominence is at least a tenth of the highest
    maximum, and seven standard deviations of the scatter for as many uniformly
    distributed angles.

    Parameters
    ----------
    angle : ndarray of shape (n,)
        Finite angles, radians.
    n_peaks : int, default=None
        Keep this many of the highest; all by default.

    Returns
    -------
    peaks : ndarray of shape (n_found,)
        Angles in radians, ascending.
    """
    edges = np.linspace(-np.pi, np.pi, _N_BINS + 1)
    count, _ = np.histogram(wrap_angle(angle), edges)
    step = edges[1] - edges[0]
    sigma = _WIDTH / step
    density = gaussian_filter1d(count.astype(np.float64), sigma, mode="wrap")
    scatter = np.sqrt(len(angle) / _N_BINS / (2 * np.sqrt(np.pi) * sigma))
    # Three periods, of which the middle one has no ends.
    place, _ = find_peaks(
        np.tile(density, 3), prominence=max(0.1 * density.max(), 7 * scatter)
    )
    middle = (place >= _N_BINS) & (place < 2 * _N_BINS)
    place = place[middle] - _N_BINS
    order = np.argsort(-density[place], kind="stable")[:n_peaks]
    place = place[order]
    before, top, after = (density[(place + shift) % _N_BINS] for shift in (-1, 0, 1))
    # The vertex of the parabola through three bins.
    curvature = before - 2 * top + after
    shift = np.where(
        curvature < 0, 0.5 * (before - after) / np.minimum(curvature, -1e-12), 0
    )
    return np.sort(wrap_angle(edges[place] + (0.5 + shift) * step))


def find_bins(values, edges):
    """Find the bin of each value as np.histogram does, the last one closed."""
    return np.minimum(np.searchsorted(edges, values, "right"), len(edges) - 1) - 1
