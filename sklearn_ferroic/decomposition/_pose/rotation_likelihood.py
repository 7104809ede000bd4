"""Likelihood of all rotations of an image, by the fast Fourier transform.

On a polar grid a rotation is a circular shift, so that one circular correlation
compares a patch with all rotations of an image; for each angular order it is one sum
over the rings. The gradient of the image couples neighbouring orders only: for an image
``sum_m c_m(r) exp(i m phi)`` the operator ``d/dcol + i d/drow`` raises the order,
``exp(i phi) (c_m' - m c_m / r)``, and its conjugate lowers it. Three functions of the
radius per order are therefore sufficient, also if the orders of the image are scaled by
factors.
"""

import math
from typing import NamedTuple

import torch

# Angles that are tabulated, 0.7 degrees apart.
N_ANGLES = 512


class RotationTables(NamedTuple):
    """Correlation of patches with all rotations of images, and its derivatives.

    Attributes
    ----------
    similarity : tensor of shape (n, N_ANGLES)
        Sum over the pixels of patch times rotated image.
    gradient : tensor of shape (n, 2, N_ANGLES) or None
        Sum over the pixels of the residual, patch minus rotated image, times the slopes
        of the image along its own (row, col). None if no slopes were requested.
    information : tensor of shape (n or 1, 2, 2) or None
        Sums over the pixels of products of the slopes.
    """

    similarity: torch.Tensor
    gradient: torch.Tensor | None
    information: torch.Tensor | None

    def log_likelihood(self, noise_variance, offset_scale):
        """Compute the log-likelihood of every rotation, marginalised over the offset.

        At a given rotation the image is linear in a small shift; with a Gaussian prior
        the integral over the shift is Gaussian. Without it the displacement of the
        column on which the patch is centred would appear as an opposite shift of all
        other columns.

        Parameters
        ----------
        noise_variance : tensor of shape ()
            Variance of the white noise.
        offset_scale : float
            Standard deviation of the offset's prior, px; not used without slopes.

        Returns
        -------
        log_likelihood : tensor of shape (n, N_ANGLES)
            At the angles ``2 pi m / N_ANGLES``, up to a constant of each patch.
        """
        table = self.similarity / noise_variance
        if self.gradient is None:
            return table
        gradient = self.gradient / noise_variance
        prior = torch.eye(2).to(gradient) / offset_scale**2
        covariance = torch.linalg.inv(self.information / noise_variance + prior)
        return table + 0.5 * (gradient * (covariance @ gradient)).sum(dim=1)


def radial_functions(spectrum, radii=None):
    """Compute the angular orders of images and of their slopes.

    Parameters
    ----------
    spectrum : tensor of shape (n, n_rings, n_orders)
        Fourier transform of images along the rings.
    radii : tensor of shape (n_rings,), default=None
        Radii of the rings, px. None omits the slopes.

    Returns
    -------
    functions : tensor of shape (n, n_rings, n_orders, 1 or 3)
        The image, and the contributions to its slopes from the orders below and above.
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


def correlate_rotations(patch_spectrum, functions, weights, strength=None):
    """Correlate patches with all rotations of an image.

    Parameters
    ----------
    patch_spectrum : tensor of shape (n, n_rings, n_orders)
        Fourier transform of the patches along the rings.
    functions : tensor of shape (n or 1, n_rings, n_orders, 1 or 3)
        Functions of the images, from `radial_functions`.
    weights : tensor of shape (n_rings,)
        Area of the points of each ring.
    strength : tensor of shape (n, n_orders), default=None
        Factors on the orders of the images; None means 1.

    Returns
    -------
    tables : RotationTables
        Similarity, gradient and information.
    """
    n_orders = patch_spectrum.shape[-1]
    weighted = functions.conj() * weights[:, None, None]
    if strength is None:
        strength = weights.new_ones(1, n_orders)
    dots = _sum_over_rings(patch_spectrum, weighted)
    image = strength * dots[..., 0]
    if functions.shape[-1] == 1:
        return RotationTables(_to_angles(image), None, None)
    below = torch.cat([strength[:, 1:2], strength[:, :-1]], dim=1)
    above = torch.cat([strength[:, 1:], torch.zeros_like(strength[:, :1])], dim=1)
    from_below, from_above = below * dots[..., 1], above * dots[..., 2]
    down, along = 0.5j * (from_below - from_above), 0.5 * (from_below + from_above)
    tables = _to_angles(torch.stack([image, down, along], dim=1))
    at_rest, information = _products(functions, weighted, strength, below, above)
    gradient = tables[:, 1:] - at_rest[:, :, None]
    return RotationTables(tables[:, 0], gradient, information)


def order_strength(template_spectrum, spectrum, weights):
    """Compute the strength of each angular order of a template in images.

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
        Coefficients of the projection of the images onto the template; negative ones
        are set to 0.
    """
    weighted = template_spectrum.conj() * weights[:, None]
    power = (weighted * template_spectrum).real.sum(dim=1)
    overlap = (weighted * spectrum).sum(dim=1).real
    # orders that are absent from the template would otherwise amplify rounding errors
    is_there = power > power.amax() * 1e-10
    return overlap.clamp(min=0) / torch.where(is_there, power, math.inf)


def _sum_over_rings(spectrum, functions):
    if len(functions) > 1:
        return torch.einsum("nrm,nrmi->nmi", spectrum, functions)
    # with one image for all patches this is one matrix product per order; torch copies
    # complex matrices that are not contiguous one by one
    by_order = spectrum.permute(2, 0, 1).contiguous()
    return (by_order @ functions[0].transpose(0, 1).contiguous()).transpose(0, 1)


def _to_angles(spectrum):
    """Interpolate circular correlations from their orders to N_ANGLES angles."""
    n_angles = 2 * (spectrum.shape[-1] - 1)
    # the highest order is its own alias; interpolation gives each sign one half
    highest = spectrum[..., -1:].real / 2
    spectrum = torch.cat([spectrum[..., :-1], highest], dim=-1) / n_angles
    return torch.fft.irfft(spectrum, n=N_ANGLES, norm="forward")


def _products(functions, weighted, strength, below, above):
    """Sum the products of slopes and image, and of slopes, over the pixels."""
    n_orders = functions.shape[2]
    products = torch.einsum("nrmi,nrmj->nmij", functions, weighted)
    # by Parseval's theorem all orders except the first and the last count twice
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
