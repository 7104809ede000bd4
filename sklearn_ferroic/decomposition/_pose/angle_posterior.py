"""Tabulated posterior of the rotation angle.

With a uniform prior on the circle the normalised likelihood of all rotations is the
exact posterior of the angle, whether it is sharp, four-fold or flat.
"""

import math

import torch

from .rotation_likelihood import N_ANGLES

# Quantile of the squared differences at which the variance ratio is computed: cells at
# interfaces and walls are included, the largest outliers are not.
_INFLATION_QUANTILE = 0.9


def grid_angles(like):
    """Return the angles at which the posterior is tabulated, (N_ANGLES,)."""
    steps = torch.arange(N_ANGLES, dtype=like.dtype, device=like.device)
    return steps * (2 * math.pi / N_ANGLES)


def most_likely_angle(log_likelihood):
    """Return the angle of the highest likelihood, interpolated, in [0, 2 pi)."""
    best = log_likelihood.argmax(dim=1, keepdim=True)
    return _refined(log_likelihood, best)[:, 0]


def quarter_peaks(log_likelihood):
    """Find the angle of the highest likelihood in each quarter of the circle.

    The first quarter is centred on the global maximum, so that in a cell of four-fold
    symmetry the other maxima also lie at the centres of their quarters.

    Parameters
    ----------
    log_likelihood : tensor of shape (n, N_ANGLES)
        Log-likelihood of every rotation.

    Returns
    -------
    angle : tensor of shape (n, 4)
        The angles, in [0, 2 pi).
    log_mean : tensor of shape (n, 4)
        Log of the mean over the circle of the likelihood in the quarter, relative to
        its maximum.
    """
    best = log_likelihood.argmax(dim=1, keepdim=True)
    lag = torch.arange(N_ANGLES, device=best.device) - N_ANGLES // 8
    order = (best + lag) % N_ANGLES
    quarters = log_likelihood.gather(1, order).unflatten(1, (4, -1))
    top, place = quarters.max(dim=2)
    log_mean = quarters.logsumexp(dim=2) - top - math.log(N_ANGLES)
    first = torch.arange(0, N_ANGLES, N_ANGLES // 4, device=best.device)
    return _refined(log_likelihood, order.gather(1, first + place)), log_mean


def _refined(log_likelihood, best):
    left, middle, right = (
        log_likelihood.gather(1, (best + shift) % N_ANGLES) for shift in (-1, 0, 1)
    )
    curvature = left - 2 * middle + right
    safe = torch.where(curvature < 0, curvature, -torch.ones_like(curvature))
    shift = (0.5 * (left - right) / safe).clamp(-0.5, 0.5)
    shift = torch.where(curvature < 0, shift, torch.zeros_like(shift))
    return (best + shift) * (2 * math.pi / N_ANGLES)


def sample_angle(log_likelihood, generator):
    """Draw one angle from each posterior."""
    cumulative = log_likelihood.softmax(dim=1).cumsum(dim=1)
    uniform = torch.rand(
        len(cumulative), 1, generator=generator, device=cumulative.device
    )
    # the last sum may be below 1 by rounding, or not finite
    drawn = torch.searchsorted(cumulative, uniform).clamp(max=N_ANGLES - 1)
    return grid_angles(log_likelihood)[drawn[:, 0]]


def mean_angle(log_likelihood):
    """Compute the mean direction and circular standard deviation of each posterior.

    Parameters
    ----------
    log_likelihood : tensor of shape (n, N_ANGLES)
        Log-likelihood of every rotation.

    Returns
    -------
    angle : tensor of shape (n,)
        Direction of the mean vector, radians.
    std : tensor of shape (n,)
        ``sqrt(-2 log R)``, where R is the length of the mean vector.
    """
    angles = grid_angles(log_likelihood)
    posterior = log_likelihood.softmax(dim=1)
    cos, sin = posterior @ angles.cos(), posterior @ angles.sin()
    tiny = torch.finfo(posterior.dtype).eps
    std = (-2 * torch.hypot(cos, sin).clamp(tiny, 1.0).log()).sqrt()
    # a posterior narrower than the step of the table lies between two entries
    sharp = std < 2 * math.pi / N_ANGLES
    peak = most_likely_angle(log_likelihood)
    return torch.where(sharp, peak, torch.atan2(sin, cos)), std


def noise_inflation(observed, simulated, expected):
    """Estimate the factor by which white noise overstates the log-likelihood.

    Residuals are correlated: a displaced column changes about eighty pixels at once.
    The strongest competitor of the best rotation lies at some lag on one side of it;
    the rotation at the same lag on the other side is about equally likely under the
    model. The difference of their log-likelihoods is compared with that of the patch
    without noise. The variance of the deviation among the patches, divided by that
    among patches simulated with white noise, is the factor by which the log-likelihood
    has to be divided.

    Parameters
    ----------
    observed, simulated, expected : tensor of shape (n, N_ANGLES)
        Log-likelihood of every rotation of the patches, of the reconstructed patches
        with white noise, and of the reconstructed patches without noise.

    Returns
    -------
    inflation : tensor of shape ()
        At least 1.
    """
    best = expected.argmax(dim=1, keepdim=True)
    lag = (torch.arange(N_ANGLES, device=best.device) - best) % N_ANGLES
    distance = torch.minimum(lag, N_ANGLES - lag)
    # close to the best rotation or its opposite, both sides coincide
    margin = N_ANGLES // 16
    is_lateral = (distance >= margin) & (distance <= N_ANGLES // 2 - margin)
    competitor = expected.masked_fill(~is_lateral, -math.inf).argmax(
        dim=1, keepdim=True
    )
    mirrored = (2 * best - competitor) % N_ANGLES

    def difference(table):
        return table.gather(1, competitor) - table.gather(1, mirrored)

    rest = difference(expected)
    found = (difference(observed) - rest).square().quantile(_INFLATION_QUANTILE)
    white = (difference(simulated) - rest).square().quantile(_INFLATION_QUANTILE)
    return (found / white.clamp(min=torch.finfo(white.dtype).tiny)).clamp(min=1)
