"""Posterior of the class of a patch, summed over its rotations.

The rotations are those that map the lattice onto itself, with the probabilities that
the polarization assigns to them, or, without a lattice, the best rotation of each
quarter of the circle relative to the mean image.
"""

import math

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd
from torch import nn

from ..._pose.angle_posterior import quarter_peaks
from ..._pose.rotation_likelihood import (
    N_ANGLES,
    correlate_rotations,
    radial_functions,
)
from .class_fit import DEGREES_OF_FREEDOM, N_COMPONENTS, fit_classes

# Largest probability of a class below which the class of a patch is uncertain.
CERTAIN_PROBABILITY = 0.9
# Smallest variance of the noise, whose reciprocal is finite in single precision.
_LEAST_NOISE_VARIANCE = 1e-30
# Smallest probability of a rotation, which keeps logarithms finite.
_LEAST_SHARE = 1e-12
# Expectation–maximisation of the shares alone, and the smallest share of a class of
# which there are no patches: it keeps logarithms finite and is below one patch.
_N_SHARE_ITERATIONS = 100
_LEAST_SHARE_OF_CLASS = 1e-5


class ClassModel(nn.Module):
    """Classes of patches as a mixture in principal components of their spectra.

    Parameters
    ----------
    n_classes : int
        Largest number of classes.
    n_rings, n_orders : int
        Size of the Fourier transform of patches along the rings of a polar grid.
    """

    def __init__(self, n_classes, n_rings, n_orders):
        super().__init__()
        # higher orders vary by less than pi pixels along the outermost ring
        self.n_orders = min(n_orders, 2 * n_rings)
        shapes = {
            "basis": (2, N_COMPONENTS, n_rings, self.n_orders),
            "center": (N_COMPONENTS,),
            "means": (n_classes, N_COMPONENTS),
            "shares": (n_classes,),
            "whitening": (N_COMPONENTS, N_COMPONENTS),
            "template": (2, n_rings, n_orders),
            "template_noise": (),
            "number_range": (2,),
            "uncertain_share": (),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.empty(shape))

    def initialize(self):
        """Reset to a single class."""
        for buffer in self.buffers():
            buffer.zero_()
        self.shares[0] = 1.0
        self.number_range.fill_(1.0)
        self.template_noise.fill_(1.0)
        self.whitening.copy_(torch.eye(N_COMPONENTS))

    def fit(self, spectra, angle, polarization, weights, random_state, labels=None):
        """Learn the classes of patches.

        Parameters
        ----------
        spectra : tensor of shape (n, n_rings, n_orders)
            Fourier transforms of the patches along the rings.
        angle : tensor of shape (n,)
            Rotations of the patches relative to one canonical pose.
        polarization : PolarizationModel
            Model of the lattice, fitted.
        weights : tensor of shape (n_rings,)
            Areas of the points of the rings.
        random_state : RandomState
            Source of the starts.
        labels : ndarray of shape (n,), default=None
            Known classes, -1 where unknown.
        """
        self.initialize()
        orders = torch.arange(spectra.shape[2], device=spectra.device)
        aligned = (
            spectra
            * torch.polar(torch.ones(()).to(angle), orders * angle[:, None]).to(
                spectra
            )[:, None]
        )
        template = aligned.mean(dim=0)
        self.template.copy_(torch.stack([template.real, template.imag]))
        error = ((aligned - template).abs() ** 2).mean(dim=0) * weights[:, None]
        # by Parseval's theorem, for each point of the rings
        n_angles = 2 * (spectra.shape[2] - 1)
        noise = 2 * error.sum() / (n_angles**2 * weights.sum())
        self.template_noise.copy_(noise.clamp(min=_LEAST_NOISE_VARIANCE))
        rotation, log_shares = self._rotations(spectra, polarization, weights)
        root = _order_weights(weights, self.n_orders)
        part = spectra[:, :, : self.n_orders] * root.to(spectra)
        used = torch.arange(self.n_orders, device=spectra.device)
        phase = _unit(used * rotation[:, :, None]).to(part)
        rotated = (part[:, None] * phase[:, :, None]).flatten(0, 1)
        rows = torch.view_as_real(rotated).flatten(1).numpy(force=True)
        mean = rows.mean(axis=0)
        axes = randomized_svd(
            rows - mean, N_COMPONENTS, n_iter=3, random_state=random_state
        )[2]
        axes = np.pad(axes, [(0, N_COMPONENTS - len(axes)), (0, 0)])
        basis = torch.from_numpy(axes).reshape(N_COMPONENTS, *part.shape[1:], 2)
        basis = torch.view_as_complex(basis.contiguous()).to(part) * root.to(part)
        self.basis.copy_(torch.stack([basis.real, basis.imag]))
        self.center.copy_(torch.from_numpy(axes @ mean))
        mixture = fit_classes(
            self._components(spectra, rotation).double().numpy(force=True),
            log_shares.double().numpy(force=True),
            (rotation - angle[:, None]).cos().argmax(dim=1).numpy(force=True),
            len(self.shares),
            random_state,
            labels,
        )
        for name in ("means", "shares", "whitening", "number_range"):
            getattr(self, name).copy_(torch.as_tensor(getattr(mixture, name)))
        self._update_uncertain_share(self(spectra, polarization, weights))

    def fit_shares(self, spectra, polarization, weights):
        """Fit the shares of the classes, which do not change, to other patches.

        Classes that are not empty keep a share, so that later patches may be of them.

        Parameters
        ----------
        spectra, polarization, weights
            See `fit`.
        """
        log_density = self._log_densities(spectra, polarization, weights).double()
        is_used = self.shares > 0
        shares = self.shares.double()
        for _ in range(_N_SHARE_ITERATIONS):
            probability = (log_density + shares.log()).softmax(dim=1)
            shares = probability.mean(dim=0).clamp(min=_LEAST_SHARE_OF_CLASS) * is_used
            shares = shares / shares.sum()
        self.shares.copy_(shares)
        self._update_uncertain_share(probability)

    def _update_uncertain_share(self, probability):
        """Set the share of patches without a probable class."""
        is_uncertain = probability.amax(dim=1) < CERTAIN_PROBABILITY
        self.uncertain_share.copy_(is_uncertain.double().mean())

    def forward(self, spectra, polarization, weights):
        """Compute the probabilities of the classes, (n, n_classes)."""
        log_density = self._log_densities(spectra, polarization, weights)
        return (log_density + self.shares.log()).softmax(dim=1)

    def _log_densities(self, spectra, polarization, weights):
        """Compute the log-density of patches in each class up to a constant, (n, K)."""
        rotation, log_shares = self._rotations(spectra, polarization, weights)
        components = self._components(spectra, rotation)
        return (self._log_density(components) + log_shares[:, None]).logsumexp(dim=2)

    def _log_density(self, components):
        """Compute the log-density in each class up to a constant, (n, K, R)."""
        whitened = components @ self.whitening.to(components)
        centers = self.means.to(components) @ self.whitening.to(components)
        squared = torch.cdist(
            whitened.flatten(0, 1),
            centers,
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        squared = squared**2
        squared = squared.reshape(*components.shape[:2], -1).mT
        half = 0.5 * (DEGREES_OF_FREEDOM + N_COMPONENTS)
        return -half * (squared / DEGREES_OF_FREEDOM).log1p()

    def _components(self, spectra, rotation):
        """Compute the components of patches at given rotations, (n, R, q)."""
        basis = torch.complex(*self.basis).to(spectra)
        overlap = torch.einsum(
            "nrm,qrm->nqm", spectra[:, :, : self.n_orders], basis.conj()
        )
        orders = torch.arange(self.n_orders, device=spectra.device)
        phase = _unit(orders * rotation[:, :, None]).to(spectra)
        components = torch.einsum("nqm,nkm->nkq", overlap, phase).real
        return components - self.center

    def _rotations(self, spectra, polarization, weights):
        """Return possible rotations of patches and their log-probabilities, (n, R)."""
        if polarization.has_lattice:
            rotation, shares = polarization.symmetry_rotations(spectra)
            return rotation, shares.clamp(min=_LEAST_SHARE).log()
        template = torch.complex(*self.template).to(spectra)
        tables = correlate_rotations(
            spectra, radial_functions(template[None]), weights.to(spectra.real)
        )
        table = tables.log_likelihood(self.template_noise.to(spectra.real), 0.0)
        rotation, log_means = quarter_peaks(table)
        place = (rotation * (N_ANGLES / (2 * math.pi))).round().long() % N_ANGLES
        log_shares = table.gather(1, place) + log_means
        return rotation, log_shares.log_softmax(dim=1)


def _order_weights(weights, n_orders):
    """Return square roots of the weights of rings and orders in sums over pixels."""
    root = weights.sqrt()[:, None].repeat(1, n_orders)
    root[:, 1:] *= 2**0.5
    return root


def _unit(angle):
    """Return the complex numbers of modulus 1 with the given phases."""
    return torch.polar(torch.ones_like(angle), angle)
