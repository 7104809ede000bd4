"""Multi-reference alignment: a common template and the rotation of every patch.

Expectation–maximisation for one template at unknown rotations, as in the
two-dimensional classification of single particles (Sigworth, J. Struct. Biol. 122,
328 (1998)): the posterior of each rotation is exact, and the template is the posterior
mean of the patches rotated back.
"""

from operator import itemgetter

import torch

from .angle_posterior import most_likely_angle
from .rotation_likelihood import correlate_rotations, radial_functions


def align(rings, weights, *, n_starts, n_iterations, radii=None, offset_scale=0.0):
    """Estimate the rotations of patches relative to one common template.

    Parameters
    ----------
    rings : tensor of shape (n, n_rings, n_angles)
        Patches on the polar grid.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.
    n_starts : int
        Number of patches that are tried as the initial template; the result with the
        highest likelihood is kept.
    n_iterations : int
        Number of expectation–maximisation steps.
    radii : tensor of shape (n_rings,), default=None
        Radii of the rings, px. If given, offsets of the patches are marginalised.
    offset_scale : float, default=0.0
        Standard deviation of the offsets, px.

    Returns
    -------
    angle : tensor of shape (n,)
        Rotation of every patch relative to the template, radians.
    """
    n_angles = rings.shape[-1]
    area = weights.sum() * n_angles
    rings = _standardize(rings, weights, area)
    # memory layout in which sums over rings and patches are matrix products
    spectra = torch.fft.rfft(rings).permute(2, 0, 1).contiguous().permute(1, 2, 0)

    def improve(template, n_iterations):
        for _ in range(n_iterations):
            functions = radial_functions(template[None], radii)
            found = correlate_rotations(spectra, functions, weights)
            noise = _noise_variance(found.similarity, template, weights, n_angles, area)
            table = found.log_likelihood(noise, offset_scale)
            template = _aligned_mean(spectra, table.softmax(dim=1))
        bound = table.logsumexp(dim=1).mean() - 0.5 * area * (
            noise.log() + (1 + _power(template, weights, n_angles) / area) / noise
        )
        return bound, template, table

    # the best start is selected after a third of the steps; only that one is continued
    n_compared = -(-n_iterations // 3) if n_starts > 1 else n_iterations
    starts = torch.linspace(0, len(rings) - 1, n_starts).long()
    results = [improve(spectra[start], n_compared) for start in starts]
    _, template, table = max(results, key=itemgetter(0))
    if n_compared < n_iterations:
        _, _, table = improve(template, n_iterations - n_compared)
    return most_likely_angle(table)


def _standardize(rings, weights, area):
    # brightness and contrast depend on chemistry and thickness, not on the pose
    mean = (rings * weights[:, None]).sum(dim=(1, 2), keepdim=True) / area
    rings = rings - mean
    variance = (rings**2 * weights[:, None]).sum(dim=(1, 2), keepdim=True) / area
    return rings / (variance + torch.finfo(rings.dtype).eps).sqrt()


def _power(template, weights, n_angles):
    image = torch.fft.irfft(template, n=n_angles)
    return (image**2 * weights[:, None]).sum()


def _noise_variance(similarity, template, weights, n_angles, area):
    # standardised patches have unit power per unit area
    power = _power(template, weights, n_angles)
    residual = 1 + (power - 2 * similarity.amax(dim=1).mean()) / area
    return residual.clamp(min=1e-3)


def _aligned_mean(spectra, posterior):
    n_orders = spectra.shape[-1]
    phases = torch.fft.rfft(posterior)[:, :n_orders].conj()
    return torch.einsum("nrm,nm->rm", spectra, phases) / len(spectra)
