"""Arithmetic of angles that all stages share."""

import warnings

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

# Angles in degrees exceed this number, most of those in radians do not.
_RIGHT_ANGLE_DEG = 90
# Bins of the histogram whose maxima are found, half a degree wide, and standard
# deviation of the kernel that smooths it: less than the scatter within a variant.
_N_PEAK_BINS = 720
_PEAK_KERNEL_RAD = np.deg2rad(5)


def warn_if_degrees(angles, name, stacklevel):
    """Warn of angles that are probably in degrees.

    Most of them exceed a full rotation in radians, none exceeds 360, and the largest
    exceeds a right angle in degrees.

    Parameters
    ----------
    angles : ndarray of float
        Angles taken as radians; NaN is ignored.
    name : str
        Name of the angles, for the message.
    stacklevel : int
        As in `warnings.warn`, from the caller on.

    Returns
    -------
    is_in_degrees : bool
        Whether a warning was raised.
    """
    size = np.abs(angles[np.isfinite(angles)])
    is_in_degrees = bool(
        len(size)
        and np.mean(size > 2 * np.pi) > 0.5
        and _RIGHT_ANGLE_DEG < size.max() <= 360
    )
    if is_in_degrees:
        warnings.warn(
            f"{name} has values up to {size.max():.4g}, which are taken as radians "
            "although most exceed a full rotation. Convert degrees with "
            "numpy.radians.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )
    return is_in_degrees


def wrap_angle(angle, n_fold=1):
    """Wrap angles to [−π, π), or to [−π/n_fold, π/n_fold).

    Parameters
    ----------
    angle : array-like of float
        Angles in radians. NaN stays NaN; float32 stays float32.
    n_fold : int, default=1
        Angles that differ by 2π / n_fold are the same.

    Returns
    -------
    wrapped : ndarray or scalar, shape of `angle`
        The same angles in [−π / n_fold, π / n_fold).
    """
    angle = np.asarray(angle)
    if not np.issubdtype(angle.dtype, np.floating):
        angle = angle.astype(np.float64)
    dtype = angle.dtype.type
    half = np.pi / n_fold
    # In float64, because a float32 period has an error of 1e-7 per period.
    wrapped = (np.mod(angle.astype(np.float64) + half, 2 * half) - half).astype(dtype)
    # Rounding, here or in np.mod of a tiny negative number, can reach the upper end.
    wrapped = np.where(wrapped >= dtype(half), dtype(-half), wrapped)
    # Angles that are in range already come back to the last bit.
    inside = (angle >= dtype(-half)) & (angle < dtype(half))
    return np.where(inside, angle, wrapped)[()]


def mean_direction(angles, n_fold=1, weight=None):
    """Compute the direction of the weighted sum of unit vectors.

    Parameters
    ----------
    angles : ndarray of float, shape (n,)
        Angles in radians.
    n_fold : int, default=1
        Angles that differ by 2π / n_fold are the same.
    weight : ndarray of float, shape (n,), default=None
        Weight of each angle; equal weights by default.

    Returns
    -------
    direction : float
        In [−π / n_fold, π / n_fold); NaN where the vectors cancel.
    """
    vectors = np.exp(1j * n_fold * np.asarray(angles, dtype=np.float64))
    weight = np.ones(len(vectors)) if weight is None else weight
    resultant = weight @ vectors
    if abs(resultant) <= 1e-12 * weight.sum():
        return float("nan")
    return float(wrap_angle(np.angle(resultant) / n_fold, n_fold))


def robust_center(angles, limit=np.pi / 4, n_bins=360, max_iter=100):
    """Minimise the sum of absolute differences, each clipped at `limit`.

    Parameters
    ----------
    angles : ndarray of float, shape (n,)
        Angles in radians.
    limit : float, default=π / 4
        Angles farther away have no influence, radians.
    n_bins : int, default=360
        Number of directions among which the start is selected.
    max_iter : int, default=100
        Maximum number of steps.

    Returns
    -------
    center : float
        In radians, not wrapped.
    """
    angles = wrap_angle(angles)
    edges = np.linspace(-np.pi, np.pi, n_bins + 1)
    count, _ = np.histogram(angles, edges)
    middle = (edges[1:] + edges[:-1]) / 2
    distance = np.abs(wrap_angle(middle[:, None] - middle))
    center = middle[np.argmin(np.minimum(distance, limit) @ count)]
    # Each step lowers the clipped sum, so that the set of inliers converges.
    for _ in range(max_iter):
        residual = wrap_angle(angles - center)
        step = np.median(residual[np.abs(residual) < limit])
        center = center + step
        if step == 0:
            break
    return center


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
    edges = np.linspace(-np.pi, np.pi, _N_PEAK_BINS + 1)
    count, _ = np.histogram(wrap_angle(angle), edges)
    step = edges[1] - edges[0]
    sigma = _PEAK_KERNEL_RAD / step
    density = gaussian_filter1d(count.astype(np.float64), sigma, mode="wrap")
    scatter = np.sqrt(len(angle) / _N_PEAK_BINS / (2 * np.sqrt(np.pi) * sigma))
    # Three periods, of which the middle one has no ends.
    place, _ = find_peaks(
        np.tile(density, 3), prominence=max(0.1 * density.max(), 7 * scatter)
    )
    middle = (place >= _N_PEAK_BINS) & (place < 2 * _N_PEAK_BINS)
    place = place[middle] - _N_PEAK_BINS
    order = np.argsort(-density[place], kind="stable")[:n_peaks]
    place = place[order]
    before, top, after = (
        density[(place + shift) % _N_PEAK_BINS] for shift in (-1, 0, 1)
    )
    # The vertex of the parabola through three bins.
    curvature = before - 2 * top + after
    shift = np.where(
        curvature < 0, 0.5 * (before - after) / np.minimum(curvature, -1e-12), 0
    )
    return np.sort(wrap_angle(edges[place] + (0.5 + shift) * step))
