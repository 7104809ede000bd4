"""The posterior of the angle, by trying all of them.

With a uniform prior on the circle the normalised likelihood of all turns is the exact
posterior of the angle, whatever its shape: sharp, four-fold or flat.
"""

import math

import torch

from .rotation_likelihood import N_ANGLES

# Share of the patches for which the posterior is to be wide enough.
_COUNTED = 0.9


def grid_angles(like):
    """Return the angles at which the posterior is tabulated, (N_ANGLES,)."""
    steps = torch.arange(N_ANGLES, dtype=like.dtype, device=like.device)
    return steps * (2 * math.pi / N_ANGLES)


def most_likely_angle(log_likelihood):
    """Angle of the highest likelihood, refined by a parabola, in [0, 2 pi)."""
    best = log_likelihood.argmax(dim=1, keepdim=True)
    return _refined(log_likelihood, best)[:, 0]


def quarter_peaks(log_likelihood):
    """Angles of the highest likelihood in each quarter of the circle.

    The highest of all lies in the middle of its quarter, which comes first. So do the
    others in a cell of four-fold symmetry.

    Parameters
    ----------
    log_likelihood : tensor of shape (n, N_ANGLES)
        Log-likelihood of every turn.

    Returns
    -------
    angle : tensor of shape (n, 4)
        The angles, in [0, 2 pi).
    log_mean : tensor of shape (n, 4)
        Log of the mean over the circle of the quarter's likelihood, relative to its
        highest.
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
    # rounding may leave the last sum below 1, and a sum that is not finite has no place
    drawn = torch.searchsorted(cumulative, uniform).clamp(max=N_ANGLES - 1)
    return grid_angles(log_likelihood)[drawn[:, 0]]


def mean_angle(log_likelihood):
    """Mean direction and circular standard deviation of each posterior.

    Parameters
    ----------
    log_likelihood : tensor of shape (n, N_ANGLES)
        Log-likelihood of every turn.

    Returns
    -------
    angle : tensor of shape (n,)
        Direction of the posterior's mean vector, radians.
    std : tensor of shape (n,)
        ``sqrt(-2 log R)``, with R the length of that vector.
    """
    angles = grid_angles(log_likelihood)
    posterior = log_likelihood.softmax(dim=1)
    cos, sin = posterior @ angles.cos(), posterior @ angles.sin()
    tiny = torch.finfo(posterior.dtype).eps
    std = (-2 * torch.hypot(cos, sin).clamp(tiny, 1.0).log()).sqrt()
    # a posterior narrower than the table's step lies between two entries
    sharp = std < 2 * math.pi / N_ANGLES
    peak = most_likely_angle(log_likelihood)
    return torch.where(sharp, peak, torch.atan2(sin, cos)), std


def noise_inflation(observed, simulated, expected):
    """How much less the pixels tell between two turns than white noise would let them.

    Columns are displaced, not only noisy, and a displaced column changes some
    eighty pixels at once. The strongest rival of the best turn lies a lag to one
    side of it; the turn at the same lag to the other side is about as likely under
    the model. The difference of the two in log-likelihood scatters around that of a
    patch without noise. The ratio of its scatter among the patches to that among
    patches simulated with white noise is what the log-likelihood is to be divided
    by.

    Parameters
    ----------
    observed, simulated, expected : tensor of shape (n, N_ANGLES)
        Log-likelihood of every turn of the patches, of the model's patches with
        white noise, and of the same without.

    Returns
    -------
    inflation : tensor of shape ()
        At least 1.
    """
    best = expected.argmax(dim=1, keepdim=True)
    lag = (torch.arange(N_ANGLES, device=best.device) - best) % N_ANGLES
    distance = torch.minimum(lag, N_ANGLES - lag)
    # too close to the best turn or to its opposite, both sides are one
    margin = N_ANGLES // 16
    aside = (distance >= margin) & (distance <= N_ANGLES // 2 - margin)
    rival = expected.masked_fill(~aside, -math.inf).argmax(dim=1, keepdim=True)
    mirrored = (2 * best - rival) % N_ANGLES

    def difference(table):
        return table.gather(1, rival) - table.gather(1, mirrored)

    rest = difference(expected)
    # cells at interfaces and walls count, a few freaks do not
    found = (difference(observed) - rest).square().quantile(_COUNTED)
    white = (difference(simulated) - rest).square().quantile(_COUNTED)
    return (found / white.clamp(min=torch.finfo(white.dtype).tiny)).clamp(min=1)
