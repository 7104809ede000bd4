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
# Share of the patches for which the posterior is to be wide enough.
_COUNTED = 0.9


def angle_log_likelihood(patch_spectrum, canonical_rings, weights):
    """Log-likelihood of every turn, up to a constant, at unit noise variance.

    Parameters
    ----------
    patch_spectrum : tensor of shape (n, n_rings, n_angles // 2 + 1)
        Fourier transform along the rings of the patch on the polar grid.
    canonical_rings : tensor of shape (n or 1, n_rings, n_angles)
        Canonical image on the polar grid.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.

    Returns
    -------
    log_likelihood : tensor of shape (n, N_ANGLES)
        At the angles ``2 pi m / N_ANGLES``.
    """
    canonical = torch.fft.rfft(canonical_rings * weights[:, None])
    return correlate(patch_spectrum, canonical, canonical_rings.shape[-1])


def offset_log_evidence(
    patch_spectrum, canonical_rings, slopes, weights, noise_variance, offset_scale
):
    """Integrate the offset out of the likelihood of every turn.

    At a given turn the image is linear in a small shift; under a Gaussian prior the
    integral over the shift is Gaussian too. Two correlations of the patch with the
    slopes of the canonical image give it for all turns at once. Without it the
    displacement of the one column on which the patch is centred counts as if all
    the others had moved.

    Parameters
    ----------
    patch_spectrum : tensor of shape (n, n_rings, n_angles // 2 + 1)
        Fourier transform along the rings of the patch on the polar grid.
    canonical_rings : tensor of shape (n or 1, n_rings, n_angles)
        Canonical image on the polar grid.
    slopes : tensor of shape (n or 1, 2, n_rings, n_angles)
        Change of the canonical image with a shift along (row, col).
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.
    noise_variance : tensor of shape ()
        Variance of the white noise.
    offset_scale : float
        Standard deviation of the offset's prior, px.

    Returns
    -------
    log_evidence : tensor of shape (n, N_ANGLES)
        What the free offset adds to the log-likelihood, up to a constant of each
        patch.
    """
    weighted = slopes * weights[:, None]
    n_angles = canonical_rings.shape[-1]
    pull = [
        correlate(patch_spectrum, torch.fft.rfft(slope), n_angles)
        for slope in weighted.unbind(1)
    ]
    at_rest = (weighted * canonical_rings[:, None]).sum(dim=(2, 3))
    pull = (torch.stack(pull, dim=1) - at_rest[:, :, None]) / noise_variance
    information = weighted.flatten(2) @ slopes.flatten(2).mT / noise_variance
    prior = torch.eye(2).to(information) / offset_scale**2
    covariance = torch.linalg.inv(information + prior)
    return 0.5 * (pull * (covariance @ pull)).sum(dim=1)


def weigh_orders(template_rings, canonical_rings, weights):
    """Template with each angular order as strong as canonical images have it.

    Parameters
    ----------
    template_rings : tensor of shape (1, n_rings, n_angles)
        Template on the polar grid.
    canonical_rings : tensor of shape (n, n_rings, n_angles)
        Canonical images on the polar grid.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.

    Returns
    -------
    weighed : tensor of shape (n, n_rings, n_angles)
        In each order the projection of the canonical image on the template, or
        nothing where they are opposed.
    """
    template = torch.fft.rfft(template_rings)
    canonical = torch.fft.rfft(canonical_rings)
    area = weights[:, None]
    power = (template.abs().square() * area).sum(dim=1)
    overlap = ((canonical * template.conj()).real * area).sum(dim=1)
    tiny = torch.finfo(power.dtype).tiny
    strength = overlap.clamp(min=0) / power.clamp(min=tiny)
    # where the template has nothing, rounding must not make something of it
    strength = torch.where(power > power.amax() * 1e-10, strength, 0.0)
    weighed = strength[:, None] * template
    return torch.fft.irfft(weighed, n=canonical_rings.shape[-1])


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


def log_occam_factor(log_likelihood):
    """Log of the mean likelihood over the likelihood at its peak."""
    mean = log_likelihood.logsumexp(dim=1) - math.log(N_ANGLES)
    return mean - log_likelihood.amax(dim=1)
