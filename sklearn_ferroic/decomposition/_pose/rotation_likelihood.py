"""What every turn of an image says of a patch, by the fast Fourier transform.

On a polar grid a turn is a circular shift, so that all turns of an image are compared
with a patch by one circular correlation; in each angular order it is one sum over the
rings. The slopes of the image join neighbouring orders only: with an image
``sum_m c_m(r) exp(i m phi)`` the combination ``d/dcol + i d/drow`` raises the order,
``exp(i phi) (c_m' - m c_m / r)``, and its conjugate lowers it. So three functions of
the radius for each order are all that is needed, and a factor on each order of the
image changes none of them.
"""

import math
from typing import NamedTuple

import torch

# Angles that are tabulated, 0.7 degrees apart.
N_ANGLES = 512


class TurnTables(NamedTuple):
    """Similarity of patches with all turns of their images, and their pull on them.

    Attributes
    ----------
    similarity : tensor of shape (n, N_ANGLES)
        Sum over the pixels of patch times turned image.
    pull : tensor of shape (n, 2, N_ANGLES) or None
        Sum over the pixels of what the turned image leaves of the patch, times the
        image's slopes along its own (row, col). None where no slopes were asked for.
    information : tensor of shape (n or 1, 2, 2) or None
        Sums over the pixels of the products of the slopes.
    """

    similarity: torch.Tensor
    pull: torch.Tensor | None
    information: torch.Tensor | None

    def log_likelihood(self, noise_variance, offset_scale):
        """Log-likelihood of every turn, the offset integrated out.

        At a given turn the image is linear in a small shift; under a Gaussian prior
        the integral over the shift is Gaussian too. Without it the displacement of
        the one column on which the patch is centred counts as if all the others had
        moved.

        Parameters
        ----------
        noise_variance : tensor of shape ()
            Variance of the white noise.
        offset_scale : float
            Standard deviation of the offset's prior, px; without slopes it is 0.

        Returns
        -------
        log_likelihood : tensor of shape (n, N_ANGLES)
            At the angles ``2 pi m / N_ANGLES``, up to a constant of each patch.
        """
        table = self.similarity / noise_variance
        if self.pull is None:
            return table
        pull = self.pull / noise_variance
        prior = torch.eye(2).to(pull) / offset_scale**2
        covariance = torch.linalg.inv(self.information / noise_variance + prior)
        return table + 0.5 * (pull * (covariance @ pull)).sum(dim=1)


def radial_functions(spectrum, radii=None):
    """Functions of the radius that an image and its slopes are made of.

    Parameters
    ----------
    spectrum : tensor of shape (n, n_rings, n_orders)
        Fourier transform of images along the rings.
    radii : tensor of shape (n_rings,), default=None
        Radii of the rings, px. None leaves out the slopes.

    Returns
    -------
    functions : tensor of shape (n, n_rings, n_orders, 1 or 3)
        The image, and of its slopes what comes from the order below and above.
    """
    if radii is None:
        return spectrum[..., None]
    order = torch.arange(spectrum.shape[-1], device=spectrum.device)
    along = order * spectrum / radii[:, None]
    outward = torch.zeros_like(spectrum)
    if len(radii) > 1:
        step = 2 * float(radii[0])
        outward = torch.gradient(spectrum, spacing=step, dim=1)[0]
    raised, lowered = outward - along, outward + along
    # order -1 of a real image is the conjugate of order 1
    from_below = torch.cat([lowered[..., 1:2].conj(), raised[..., :-1]], dim=-1)
    from_above = torch.cat(
        [lowered[..., 1:], torch.zeros_like(lowered[..., :1])], dim=-1
    )
    return torch.stack([spectrum, from_below, from_above], dim=-1)


def turn_tables(patch_spectrum, functions, weights, strength=None):
    """Compare patches with all turns of an image.

    Parameters
    ----------
    patch_spectrum : tensor of shape (n, n_rings, n_orders)
        Fourier transform of the patches along the rings.
    functions : tensor of shape (n or 1, n_rings, n_orders, 1 or 3)
        Of the images, as `radial_functions` returns them.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.
    strength : tensor of shape (n, n_orders), default=None
        Factors on the orders of the images; None leaves them as they are.

    Returns
    -------
    tables : TurnTables
        Similarity, pull and information.
    """
    n_orders = patch_spectrum.shape[-1]
    weighted = functions.conj() * weights[:, None, None]
    if strength is None:
        strength = weights.new_ones(1, n_orders)
    dots = _sum_over_rings(patch_spectrum, weighted)
    image = strength * dots[..., 0]
    if functions.shape[-1] == 1:
        return TurnTables(_to_angles(image), None, None)
    below = torch.cat([strength[:, 1:2], strength[:, :-1]], dim=1)
    above = torch.cat([strength[:, 1:], torch.zeros_like(strength[:, :1])], dim=1)
    from_below, from_above = below * dots[..., 1], above * dots[..., 2]
    down, along = 0.5j * (from_below - from_above), 0.5 * (from_below + from_above)
    tables = _to_angles(torch.stack([image, down, along], dim=1))
    at_rest, information = _products(functions, weighted, strength, below, above)
    pull = tables[:, 1:] - at_rest[:, :, None]
    return TurnTables(tables[:, 0], pull, information)


def order_strength(template_spectrum, spectrum, weights):
    """Tell how strong each angular order of a template is in given images.

    Parameters
    ----------
    template_spectrum : tensor of shape (1, n_rings, n_orders)
        Fourier transform of the template along the rings.
    spectrum : tensor of shape (n, n_rings, n_orders)
        Fourier transform of the images along the rings.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.

    Returns
    -------
    strength : tensor of shape (n, n_orders)
        Coefficients of the projection of the images on the template, or 0 where the
        two are opposed.
    """
    weighted = template_spectrum.conj() * weights[:, None]
    power = (weighted * template_spectrum).real.sum(dim=1)
    overlap = (weighted * spectrum).sum(dim=1).real
    # where the template has nothing, rounding must not make something of it
    is_there = power > power.amax() * 1e-10
    return overlap.clamp(min=0) / torch.where(is_there, power, math.inf)


def _sum_over_rings(spectrum, functions):
    if len(functions) > 1:
        return torch.einsum("nrm,nrmi->nmi", spectrum, functions)
    # one image for all patches makes it a product of matrices, an order each; torch
    # would copy complex matrices that are not contiguous one by one
    by_order = spectrum.permute(2, 0, 1).contiguous()
    return (by_order @ functions[0].transpose(0, 1).contiguous()).transpose(0, 1)


def _to_angles(spectrum):
    """Interpolate circular correlations; from their orders to N_ANGLES angles."""
    n_angles = 2 * (spectrum.shape[-1] - 1)
    # the highest order has no sign; shared by both halves when interpolating
    highest = spectrum[..., -1:].real / 2
    spectrum = torch.cat([spectrum[..., :-1], highest], dim=-1) / n_angles
    return torch.fft.irfft(spectrum, n=N_ANGLES, norm="forward")


def _products(functions, weighted, strength, below, above):
    """Sum slopes times the image, and times each other, over the pixels."""
    n_orders = functions.shape[2]
    products = torch.einsum("nrmi,nrmj->nmij", functions, weighted)
    # orders but the first and the last stand for two; Parseval
    share = products.real.new_full((n_orders, 1, 1), 1 / (n_orders - 1))
    share[[0, -1]] /= 2
    products = products * share
    of_image = strength * below * products[..., 1, 0]
    to_image = strength * above * products[..., 2, 0]
    at_rest = torch.stack(
        [(of_image - to_image).imag, (of_image + to_image).real], dim=-1
    )
    both = (
        below**2 * products[..., 1, 1].real + above**2 * products[..., 2, 2].real
    ).sum(dim=1)
    mixed = (below * above * products[..., 1, 2]).sum(dim=1)
    down, along, crossed = both - 2 * mixed.real, both + 2 * mixed.real, 2 * mixed.imag
    information = torch.stack([down, crossed, crossed, along], dim=-1) / 4
    return at_rest.sum(dim=1) / 2, information.reshape(-1, 2, 2)
