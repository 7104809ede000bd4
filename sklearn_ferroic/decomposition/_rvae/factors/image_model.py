"""Generative model with discrete classes and known conditions.

The canonical image depends on the latents, on the class of the patch and on conditions
that are known for each patch, such as thickness. Every class has an image of its own,
and the image changes linearly with the conditions, apart from terms that a network
learns, so that the latents describe the variation that is neither. The angle is
inferred as in the model without classes.
"""

import torch
from torch import nn

from ..decoders import CanonicalDecoder
from ..invariant_model import PosedImageModel
from ..patch_model import cubature_points, latent_divergence
from .class_model import ClassModel

# Weight of a batch in the running regression of the latents.
_REGRESSION_UPDATE_SHARE = 0.1
# Added to the moments of the factors, so that the coefficient of an empty class is 0.
_RIDGE = 1e-3
# Classes of a smaller probability in a patch do not contribute to its evidence bound.
_LEAST_PROBABILITY = 1e-6


class FactorDecoder(CanonicalDecoder):
    """Decoder with additional inputs that change the image directly.

    Parameters
    ----------
    patch_shape : tuple of int
        Shape of the patches, px.
    latent_dim : int
        Number of latents.
    n_factors : int
        Number of additional inputs, which follow the latents.
    n_hidden : int
        Number of units per hidden layer.
    """

    def __init__(self, patch_shape, latent_dim, n_factors, n_hidden):
        super().__init__(patch_shape, latent_dim + n_factors, n_hidden)
        self.n_factors = n_factors
        self.direct = nn.Linear(n_factors, self.side**2, bias=False)

    def initialize(self):
        """Start without a direct change of the image."""
        nn.init.zeros_(self.direct.weight)

    def set_changes(self, images):
        """Set the change of the image ``(side, side)`` by each of the first inputs."""
        with torch.no_grad():
            self.direct.weight[:, : len(images)] = images.flatten(1).T

    def forward(self, code):
        """Compute images ``(n, side, side)`` from latents and additional inputs."""
        direct = self.direct(code[:, -self.n_factors :])
        return super().forward(code) + direct.reshape(-1, self.side, self.side)


class FactoredImageModel(PosedImageModel):
    """Generative model of patches with classes and conditions.

    A batch is a tuple of standardised patches ``(n, h, w)`` and of conditions
    ``(n, n_conditions)``, as `prepare` returns it.

    Parameters
    ----------
    patch_shape, latent_dim, n_hidden, offset_scale, **common
        See `PosedImageModel`.
    n_classes : int
        Largest number of classes; 0 for none.
    n_conditions : int
        Number of conditions, the last columns of each row.
    """

    def __init__(
        self,
        patch_shape,
        latent_dim,
        n_hidden,
        offset_scale,
        *,
        n_classes,
        n_conditions,
        **common,
    ):
        super().__init__(patch_shape, latent_dim, n_hidden, offset_scale, **common)
        self.latent_dim = latent_dim
        self.n_classes, self.n_conditions = n_classes, n_conditions
        self.decoder = FactorDecoder(
            patch_shape, latent_dim, n_classes + n_conditions, n_hidden
        )
        self.classes = None
        if n_classes:
            n_orders = self.polar.n_angles // 2 + 1
            self.classes = ClassModel(n_classes, self.polar.n_rings, n_orders)
        n_terms = n_classes + 2 * n_conditions
        self.register_buffer("term_moments", torch.empty(n_terms, n_terms))
        self.register_buffer("latent_moments", torch.empty(n_terms, latent_dim))
        self.register_buffer("condition_mean", torch.empty(n_conditions))
        self.register_buffer("condition_scale", torch.empty(n_conditions))

    def initialize(self, generator):
        """Draw the initial weights, with a single class and no conditions."""
        super().initialize(generator)
        self.term_moments.zero_()
        self.latent_moments.zero_()
        self.condition_mean.zero_()
        self.condition_scale.fill_(1.0)
        if self.classes is not None:
            self.classes.initialize()

    def set_scale(self, rows):
        """Estimate the scales of the pixels and of the conditions from rows."""
        super().set_scale(rows[:, : self.n_pixels])
        if not self.n_conditions:
            return
        conditions = rows[:, self.n_pixels :].cpu().double()
        self.condition_mean.copy_(conditions.mean(dim=0))
        scale = conditions.std(dim=0, correction=0)
        self.condition_scale.copy_(torch.where(scale > 0, scale, torch.ones(())))

    def standardize(self, rows):
        """Convert the pixels of rows to standardised patches ``(n, h, w)``."""
        return super().standardize(rows[:, : self.n_pixels])

    def prepare(self, rows):
        """Convert rows to a batch of patches and conditions."""
        conditions = rows[:, self.n_pixels :] - self.condition_mean
        return self.standardize(rows), conditions / self.condition_scale

    def fit_classes(self, patches, angle, random_state, labels):
        """Fit the classes.

        Parameters
        ----------
        patches : tensor of shape (n, h, w)
            Standardised patches.
        angle : tensor of shape (n,)
            Their rotations relative to the canonical pose.
        random_state : RandomState
            Source of the starts.
        labels : ndarray of shape (n,) or None
            Known classes, -1 where unknown.
        """
        spectra = torch.fft.rfft(self.polar(patches.double()))
        self.classes.fit(
            spectra, angle, self.polarization, self.polar.weights, random_state, labels
        )

    def update_class_shares(self, patches):
        """Fit the shares of the classes to standardised patches ``(n, h, w)``."""
        spectra = torch.fft.rfft(self.polar(patches.double()))
        self.classes.fit_shares(spectra, self.polarization, self.polar.weights)

    def start_classes(self, patches, canonical):
        """Start the image of each class at the mean of its canonical patches."""
        shares = self.class_probabilities(self.polar(patches))
        sums = torch.einsum("nk,nij->kij", shares.to(canonical), canonical)
        sizes = shares.sum(dim=0).to(canonical)[:, None, None]
        changes = sums / sizes.clamp(min=1.0) - canonical.mean(dim=0)
        changes[sizes[:, 0, 0] < 1] = 0
        self.decoder.set_changes(changes)

    def class_probabilities(self, rings):
        """Compute the probabilities of the classes from rings, (n, n_classes)."""
        if self.classes is None:
            return rings.new_zeros(len(rings), 0)
        spectra = torch.fft.rfft(rings)
        shares = self.classes(spectra, self.polarization, self.polar.weights)
        return shares.to(rings)

    def forward(self, rows):
        """Compute the training objective per pixel of rows."""
        patches, conditions = self.prepare(rows)
        rings = self.polar(patches)
        with torch.no_grad():
            shares = self.class_probabilities(rings)
            drawn = self._draw_classes(shares)
        mean, log_variance = self._encode(
            rings, shares, conditions, is_training=self.training
        )
        noise = torch.empty_like(mean).normal_(generator=self.generator)
        latents = mean + noise * (0.5 * log_variance).exp()
        code = torch.cat([latents, drawn, conditions], dim=1)
        canonical = self.decoder(code)
        angle, offset = self._update_pose(patches, rings, canonical)
        error = self.decoder.mean_squared_error(patches, code, angle, offset, canonical)
        divergence = latent_divergence(mean, log_variance)
        return self.objective(error, divergence.mean())

    def _encode(self, rings, shares, conditions, *, is_training=False):
        """Compute mean and log-variance of the latents without the part of the factors.

        The regression of the latents on classes, conditions and squares of conditions
        is subtracted: the divergence from the prior alone is too small, compared with
        the misfit of the pixels, to make latents and factors independent.
        """
        mean, log_variance = self.encoder(rings)
        terms = _terms(shares, conditions)
        if is_training:
            self._update_regression(terms, mean, _REGRESSION_UPDATE_SHARE)
        moments = self.term_moments
        size = moments.diagonal().mean().clamp(min=_RIDGE)
        ridge = _RIDGE * size * torch.eye(len(moments)).to(moments)
        slopes = torch.linalg.solve(moments + ridge, self.latent_moments)
        return mean - terms @ slopes.to(terms), log_variance

    @torch.no_grad()
    def _update_regression(self, terms, mean, share):
        """Update the moments of the regression of latents on factors."""
        for moments, other in ((self.term_moments, terms), (self.latent_moments, mean)):
            found = (terms.mT @ other / len(terms)).to(moments)
            moments.lerp_(found, share)

    def _draw_classes(self, shares):
        """Draw one class of each patch, as indicators ``(n, n_classes)``."""
        if self.n_classes == 0:
            return shares
        uniform = torch.rand(
            len(shares), 1, generator=self.generator, device=shares.device
        )
        drawn = torch.searchsorted(shares.cumsum(dim=1), uniform)
        drawn = drawn.clamp(max=self.n_classes - 1)[:, 0]
        return nn.functional.one_hot(drawn, self.n_classes).to(shares)

    def finish(self, batch):
        """Fit the regression of the latents on the factors to a final batch."""
        patches, conditions = batch
        rings = self.polar(patches)
        shares = self.class_probabilities(rings)
        terms = _terms(shares, conditions)
        self._update_regression(terms, self.encoder(rings)[0], 1.0)

    def calibrate(self, batch, generator, *, from_scratch):
        """Estimate the factor by which the log-likelihood of the angle is divided."""
        patches, _ = batch
        if not self.polarization.is_active:
            self._calibrate(patches, self._mean_image(*batch), generator, from_scratch)

    def _mean_image(self, patches, conditions):
        """Decode the mean latents and classes of patches, (n, side, side)."""
        rings = self.polar(patches)
        shares = self.class_probabilities(rings)
        latents = self._encode(rings, shares, conditions)[0]
        return self.decoder(torch.cat([latents, shares, conditions], dim=1))

    def encode(self, batch):
        """Compute mean and log-variance of the latents of a batch."""
        patches, conditions = batch
        rings = self.polar(patches)
        return self._encode(rings, self.class_probabilities(rings), conditions)

    def lattice_angle(self, batch):
        """Estimate the lattice rotation of a batch, radians, (n,)."""
        if not self.polarization.has_lattice:
            return self.infer(batch)[0][:, 0]
        return super().lattice_angle(batch[0])

    def find_scale(self, batch):
        """Estimate the lattice scale of a batch relative to the fit, and its gain."""
        return super().find_scale(batch[0])

    def infer(self, batch):
        """Return posterior means and widths, (n, 3 + latent_dim + n_classes).

        The last columns are the probabilities of the classes and their standard
        deviations.
        """
        patches, conditions = batch
        rings = self.polar(patches)
        shares = self.class_probabilities(rings)
        mean, log_variance = self._encode(rings, shares, conditions)
        canonical = self.decoder(torch.cat([mean, shares, conditions], dim=1))
        angle, width, peak = self._infer_angle(rings, canonical)
        offset, offset_std, _ = self._offset(patches, canonical, peak)
        values = [angle[:, None], offset, mean, shares]
        widths = [width[:, None], offset_std, (0.5 * log_variance).exp()]
        widths.append((shares * (1 - shares)).clamp(min=0).sqrt())
        return torch.cat(values, dim=1), torch.cat(widths, dim=1)

    def evidence_bound(self, batch):
        """Compute the evidence lower bound of each patch of a batch, nats.

        The bound of each class is averaged over the posterior of the classes; their
        prior is their share in the training patches.
        """
        patches, conditions = batch
        mean, log_variance = self.encode(batch)
        shares = self.class_probabilities(self.polar(patches))
        if self.n_classes == 0:
            shares = mean.new_ones(len(mean), 1)
        bound = mean.new_zeros(len(mean))
        for number in range(shares.shape[1]):
            share = shares[:, number]
            rows = (share > _LEAST_PROBABILITY).nonzero()[:, 0]
            if not len(rows):
                continue
            factors = [conditions[rows]]
            if self.n_classes:
                factors.insert(0, torch.zeros_like(shares[rows]))
                factors[0][:, number] = 1.0
                log_ratio = (self.classes.shares[number] / share[rows]).log()
                bound[rows] += share[rows] * log_ratio
            std = (0.5 * log_variance[rows]).exp()
            expected = [
                self.log_evidence(patches[rows], torch.cat([points, *factors], dim=1))
                for points in cubature_points(mean[rows], std)
            ]
            bound[rows] += share[rows] * torch.stack(expected).mean(dim=0)
        return bound - latent_divergence(mean, log_variance) - self.log_jacobian()

    def reconstruct(self, latents, angle, offset, lattice_angle=None):
        """Draw patches from latents and class probabilities, at mean conditions."""
        return super().reconstruct(
            self._complete(latents), angle, offset, lattice_angle
        )

    def draw_canonical(self, latents, angle, offset):
        """Draw patches in canonical pose from latents and class probabilities."""
        return super().draw_canonical(self._complete(latents), angle, offset)

    def _complete(self, code):
        """Add the missing inputs of the decoder: largest class, mean conditions."""
        if self.n_classes and code.shape[1] == self.latent_dim:
            largest = torch.zeros_like(self.classes.shares)
            largest[self.classes.shares.argmax()] = 1.0
            code = torch.cat([code, largest.to(code).expand(len(code), -1)], dim=1)
        n_inputs = self.latent_dim + self.n_classes + self.n_conditions
        return nn.functional.pad(code, (0, n_inputs - code.shape[1]))


def _terms(shares, conditions):
    """Return the terms of the regression of the latents, (n, n_terms)."""
    return torch.cat([shares, conditions, conditions**2 - 1], dim=1)
