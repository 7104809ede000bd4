"""The wrapped normal distribution on the circle."""

import math

import torch

# Below this width the wrapped normal equals a normal to one part in 10,000.
_NARROW_STD_RAD = 0.8
# Terms of the series, enough for double precision above that width.
_N_TERMS = 16


def entropy(std):
    """Compute the differential entropy of wrapped normals, nats.

    Parameters
    ----------
    std : tensor
        Standard deviations before wrapping, radians; equal to the circular ones.

    Returns
    -------
    entropy : tensor
        Entropy, between that of the normal and ``log(2 pi)``.

    Notes
    -----
    Jacobi's product makes the density a product over k of
    ``(1 - q^k) |1 + q^(k - 1/2) exp(i t)|^2`` with ``q = exp(-std^2)``; its
    logarithm expands into cosines, whose means under the density are powers of q.
    """
    narrow = std < _NARROW_STD_RAD
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
