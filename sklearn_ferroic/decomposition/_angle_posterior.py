"""The posterior of the angle, by trying all of them.

On a polar grid a turn is a circular shift, so that the likelihood of a patch under
every turn of its canonical image is one circular correlation, taken with the fast
Fourier transform. With a uniform prior on the circle the normalised likelihood is
the exact posterior of the angle, whatever its shape: sharp, four-fold or flat.
"""

import math

import torch

# Angles at which the posterior is tabulated, 0.7 degrees apart.
N_ANGLES = 512


def angle_log_likelihood(patch_rings, canonical_rings, weights):
    """Log-likelihood of every turn, up to a constant, at unit noise variance.

    Parameters
    ----------
    patch_rings, canonical_rings : tensor of shape (n or 1, n_rings, n_angles)
        Patch and canonical image on the polar grid.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.

    Returns
    -------
    log_likelihood : tensor of shape (n, N_ANGLES)
        At the angles ``2 pi m / N_ANGLES``.
    """
    patch = torch.fft.rfft(patch_rings)
    canonical = torch.fft.rfft(canonical_rings * weights[:, None])
    return correlate(patch, canonical, patch_rings.shape[-1])


def correlate(patch_spectrum, canonical_spectrum, n_angles):
    """Sum over the rings of the circular correlations of two angular spectra."""
    cross = (patch_spectrum * canonical_spectrum.conj()).sum(dim=1)
    # the highest frequency has no sign; shared by both halves when interpolating
    cross[..., -1] = cross[..., -1].real / 2
    return torch.fft.irfft(cross, n=N_ANGLES) * (N_ANGLES / n_angles)


def grid_angles(like):
    """Return the angles at which the posterior is tabulated, (N_ANGLES,)."""
    steps = torch.arange(N_ANGLES, dtype=like.dtype, device=like.device)
    return steps * (2 * math.pi / N_ANGLES)


def most_likely_angle(log_likelihood):
    """Angle of the highest likelihood, refined by a parabola, in [0, 2 pi)."""
    best = log_likelihood.argmax(dim=1, keepdim=True)
    left, middle, right = (
        log_likelihood.gather(1, (best + shift) % N_ANGLES)[:, 0]
        for shift in (-1, 0, 1)
    )
    curvature = left - 2 * middle + right
    safe = torch.where(curvature < 0, curvature, -torch.ones_like(curvature))
    shift = (0.5 * (left - right) / safe).clamp(-0.5, 0.5)
    shift = torch.where(curvature < 0, shift, torch.zeros_like(shift))
    return (best[:, 0] + shift) * (2 * math.pi / N_ANGLES)


def sample_angle(log_likelihood, generator):
    """Draw one angle from each posterior."""
    posterior = log_likelihood.softmax(dim=1)
    drawn = torch.multinomial(posterior, 1, generator=generator)[:, 0]
    return grid_angles(log_likelihood)[drawn]


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


def noise_inflation(patch_rings, canonical_rings, weights, noise_variance):
    """How much less the pixels tell between two turns than white noise would let them.

    Columns are displaced, not only noisy, and a displaced column changes some
    eighty pixels at once. The strongest rival of the best turn lies a lag to one
    side of it; the turn at the same lag to the other side is as likely under the
    model, because the autocorrelation of an image is even. Under white noise
    their difference in log-likelihood has mean zero and a known variance; the ratio
    of the observed to that variance, a robust mean over the patches, is what the
    log-likelihood is to be divided by.

    Parameters
    ----------
    patch_rings, canonical_rings : tensor of shape (n, n_rings, n_angles)
        Patches and canonical images on the polar grid.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.
    noise_variance : tensor of shape ()
        Variance of the white noise.

    Returns
    -------
    inflation : tensor of shape ()
        At least 1.
    """
    observed = angle_log_likelihood(patch_rings, canonical_rings, weights)
    own = angle_log_likelihood(canonical_rings, canonical_rings, weights)
    best = observed.argmax(dim=1, keepdim=True)
    lag = (torch.arange(N_ANGLES, device=best.device) - best) % N_ANGLES
    distance = torch.minimum(lag, N_ANGLES - lag)
    # too close to the best turn or to its opposite, both sides are one
    margin = N_ANGLES // 16
    aside = (distance >= margin) & (distance <= N_ANGLES // 2 - margin)
    rival = observed.masked_fill(~aside, -math.inf).argmax(dim=1, keepdim=True)
    mirrored = (2 * best - rival) % N_ANGLES
    difference = observed.gather(1, rival) - observed.gather(1, mirrored)
    between = own[:, :1] - own.gather(1, (rival - mirrored) % N_ANGLES)
    tiny = torch.finfo(own.dtype).tiny
    variance = (2 * noise_variance * between).clamp(min=tiny)
    # the mean of a chi-square variable over its median, with one degree of freedom
    return ((difference**2 / variance).median() / 0.4549).clamp(min=1)


def log_occam_factor(log_likelihood):
    """Log of the mean likelihood over the likelihood at its peak."""
    mean = log_likelihood.logsumexp(dim=1) - math.log(N_ANGLES)
    return mean - log_likelihood.amax(dim=1)
