"""Multi-reference alignment: a common template and the turn of every patch.

Expectation maximisation over one template seen at unknown turns, as in the
two-dimensional classification of single particles (Sigworth, J. Struct. Biol. 122,
328 (1998)): the posterior of each turn is exact, the template is the posterior mean
of the patches turned back.
"""

from operator import itemgetter

import torch

from .angle_posterior import most_likely_angle
from .rotation_likelihood import radial_functions, turn_tables


def align(rings, weights, *, n_starts, n_iterations, radii=None, offset_scale=0.0):
    """Find the turns of patches against one common template.

    Parameters
    ----------
    rings : tensor of shape (n, n_rings, n_angles)
        Patches on the polar grid.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.
    n_starts : int
        How many patches are tried as the first template; that of the highest
        likelihood is kept.
    n_iterations : int
        Number of expectation-maximisation steps.
    radii : tensor of shape (n_rings,), default=None
        Radii of the rings, px; with them patches may be off their centre.
    offset_scale : float, default=0.0
        Standard deviation of the offset of patches from their centre, px.

    Returns
    -------
    angle : tensor of shape (n,)
        Turn of every patch against the template, radians.
    """
    n_angles = rings.shape[-1]
    area = weights.sum() * n_angles
    rings = _standardize(rings, weights, area)
    # in the order in which sums over rings and patches are products of matrices
    spectra = torch.fft.rfft(rings).permute(2, 0, 1).contiguous().permute(1, 2, 0)

    def improve(template, n_iterations):
        for _ in range(n_iterations):
            functions = radial_functions(template[None], radii)
            found = turn_tables(spectra, functions, weights)
            noise = _noise_variance(found.similarity, template, weights, n_angles, area)
            table = found.log_likelihood(noise, offset_scale)
            template = _turned_back_mean(spectra, table.softmax(dim=1))
        bound = table.logsumexp(dim=1).mean() - 0.5 * area * (
            noise.log() + (1 + _power(template, weights, n_angles) / area) / noise
        )
        return bound, template, table

    # which start leads shows early; only that one goes all the way
    n_raced = -(-n_iterations // 3) if n_starts > 1 else n_iterations
    starts = torch.linspace(0, len(rings) - 1, n_starts).long()
    raced = [improve(spectra[start], n_raced) for start in starts]
    _, template, table = max(raced, key=itemgetter(0))
    if n_raced < n_iterations:
        _, _, table = improve(template, n_iterations - n_raced)
    return most_likely_angle(table)


def _standardize(rings, weights, area):
    # brightness and contrast are chemistry and thickness, not pose
    mean = (rings * weights[:, None]).sum(dim=(1, 2), keepdim=True) / area
    rings = rings - mean
    variance = (rings**2 * weights[:, None]).sum(dim=(1, 2), keepdim=True) / area
    return rings / (variance + torch.finfo(rings.dtype).eps).sqrt()


def _power(template, weights, n_angles):
    image = torch.fft.irfft(template, n=n_angles)
    return (image**2 * weights[:, None]).sum()


def _noise_variance(similarity, template, weights, n_angles, area):
    # standardised patches have unit power per area
    power = _power(template, weights, n_angles)
    residual = 1 + (power - 2 * similarity.amax(dim=1).mean()) / area
    return residual.clamp(min=1e-3)


def _turned_back_mean(spectra, posterior):
    n_orders = spectra.shape[-1]
    turns = torch.fft.rfft(posterior)[:, :n_orders].conj()
    return torch.einsum("nrm,nm->rm", spectra, turns) / len(spectra)
