"""The wrapped normal on the circle and its divergence from a von Mises prior."""

import math

import torch
from scipy.optimize import brentq
from scipy.special import i0e, i1e

# Narrower than this, the wrapped normal is a normal to one part in 10,000.
_NARROW = 0.8
_N_TERMS = 16


def entropy(std):
    """Differential entropy of wrapped normals, nats.

    Parameters
    ----------
    std : tensor
        Standard deviations before wrapping, radians, which are the circular ones.

    Returns
    -------
    entropy : tensor
        From that of the normal, where narrow, to ``log(2 pi)``.

    Notes
    -----
    Jacobi's product makes the density a product over k of
    ``(1 - q^k) |1 + q^(k - 1/2) exp(i t)|^2`` with ``q = exp(-std^2)``; its
    logarithm expands into cosines, whose means under the density are powers of q.
    """
    narrow = std < _NARROW
    wide = torch.where(narrow, torch.ones_like(std), std)[..., None]
    q = (-(wide**2)).exp()
    k = torch.arange(1, _N_TERMS + 1, dtype=std.dtype, device=std.device)
    sign = 1 - 2 * (k % 2)
    series = sign * q ** (k * (k + 1) / 2) / (k * (1 - q**k))
    log_euler = (1 - q**k).log()
    wrapped = math.log(2 * math.pi) + (2 * series - log_euler).sum(dim=-1)
    return torch.where(
        narrow, std.log() + 0.5 * math.log(2 * math.pi * math.e), wrapped
    )


def concentration(std):
    """Concentration of the von Mises distribution of a circular std, radians."""
    if std < 0.01:
        return std**-2
    length = math.exp(-0.5 * std**2)
    # between the limits for wide and for narrow distributions
    low, high = length, 2 * length + 2 / std**2
    return brentq(lambda kappa: i1e(kappa) / i0e(kappa) - length, low, high)


def divergence(angle, std, kappa):
    """Divergence of wrapped normals from a von Mises distribution around 0, nats.

    Parameters
    ----------
    angle, std : tensor of shape (n,)
        Mean angles and standard deviations, radians.
    kappa : float
        Concentration of the prior; 0 is the uniform one.

    Returns
    -------
    divergence : tensor of shape (n,)
        At least 0.
    """
    length = (-0.5 * std**2).exp()
    log_normalizer = math.log(2 * math.pi * i0e(kappa))
    # i0e leaves out exp(kappa), which is joined to the cosine: no large numbers
    return log_normalizer + kappa * (1 - length * angle.cos()) - entropy(std)
