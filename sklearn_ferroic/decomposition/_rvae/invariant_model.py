"""Generative model with a rotation-invariant encoder, and its evidence bound.

A patch is a canonical image, decoded from the latents, rotated by an angle that is
uniform on the circle and shifted by a small Gaussian offset, with white noise of one
fitted variance. Given the latents, the posterior of the angle is tabulated, with the
offset marginalised to first order; only the latents have an approximate, amortised
posterior.

The likelihood of rotations uses the features that all patches share: the mean of the
canonical images, in which each angular order is weighted by its strength in the patch's
own canonical image. With the full canonical image, the rotation of a cell at an
interface would be determined by the step in brightness, which is stronger than the
polarization.
"""

import warnings

import torch

from .._pose.angle_posterior import (
    mean_angle,
    most_likely_angle,
    noise_inflation,
    quarter_peaks,
    sample_angle,
)
from .._pose.geometry import PolarGrid, canonical_side, pose
from .._pose.polarization_model import PolarizationModel
from .._pose.rotation_likelihood import (
    correlate_rotations,
    order_strength,
    radial_functions,
)
from .encoders import InvariantEncoder
from .patch_model import PatchModel, cubature_points, latent_divergence

# Number of patches in the running average of the calibration.
_N_REMEMBERED_PATCHES = 4096
# Weight of a batch in the running mean of the template.
_TEMPLATE_UPDATE_SHARE = 0.02
# Width of the posterior of the template itself above which it has no direction.
# Measured: below 5 degrees in polar crystals, above 80 in grains of four-fold cells.
_UNDIRECTED_STD_RAD = 0.35
_UNUSED_ANGLES = (
    "The known angles are not used: the patches show no polarization in a lattice, or "
    "the directions are not related by the symmetry of the lattice, as in a vortex or "
    "with large errors, or they do not follow the displacements of the columns. Angles "
    "increase from +x, along the columns, towards +y, down the rows; unknown ones are "
    "NaN. AngleRegistration registers the zero of the angle without known angles."
)


class PosedImageModel(PatchModel):
    """Generative model with a rotation-invariant encoder and inference of the pose.

    Parameters
    ----------
    patch_shape, latent_dim, n_hidden, offset_scale, **common
        See `PatchModel`; the encoder has a quarter of `n_hidden` channels.
    """

    scalars = PatchModel.scalars | {"noise_inflation": 1.0, "n_calibrated": 0.0}

    def __init__(self, patch_shape, latent_dim, n_hidden, offset_scale, **common):
        super().__init__(patch_shape, latent_dim, n_hidden, offset_scale, **common)
        self.polar = PolarGrid(patch_shape)
        self.encoder = InvariantEncoder(
            self.polar.n_rings, max(4, n_hidden // 4), latent_dim
        )
        side = canonical_side(patch_shape)
        self.register_buffer("template", torch.empty(1, side, side))
        self.polarization = PolarizationModel(
            self.polar.n_rings, self.polar.n_angles // 2 + 1
        )

    def initialize(self, generator):
        """Draw the initial weights, and set the template to 0."""
        super().initialize(generator)
        self.template.zero_()
        self.polarization.initialize()

    def fit_polarization(self, patches, known_angle=None):
        """Fit the polarization model to patches ``(n, h, w)``.

        Parameters
        ----------
        patches : tensor of shape (n, h, w)
            Standardised patches.
        known_angle : ndarray of shape (n,), default=None
            Known directions, radians, NaN where unknown.

        Returns
        -------
        rotation : tensor of shape (n,) or None
            Rotation of every patch relative to one canonical pose; None without a
            lattice or polarization.
        """
        spectra = torch.fft.rfft(self.polar(patches.double()))
        self.polarization.fit(spectra, self.polar.weights, self.polar.radii)
        if known_angle is not None:
            known_angle = torch.from_numpy(known_angle).to(self.polar.radii.device)
            if not self.polarization.learn_directions(
                spectra, known_angle, self.polar.weights
            ):
                warnings.warn(_UNUSED_ANGLES, UserWarning, stacklevel=2)
        if not self.polarization.is_active:
            return None
        return self.polarization(spectra.to(torch.complex64)).rotation

    def start_at(self, template):
        """Start the training with one canonical image ``(side, side)``."""
        self.template.copy_(template[None])
        self.decoder.start_at(template)

    @property
    def may_shift(self):
        """Whether patches may have an offset."""
        # slopes require three pixels
        return self.offset_scale > 0 and min(self.patch_shape) >= 3

    def forward(self, rows):
        """Compute the training objective per pixel of rows ``(n, h * w)``."""
        patches = self.standardize(rows)
        rings = self.polar(patches)
        mean, log_variance = self.encoder(rings)
        noise = torch.empty_like(mean).normal_(generator=self.generator)
        latents = mean + noise * (0.5 * log_variance).exp()
        canonical = self.decoder(latents)
        angle, offset = self._update_pose(patches, rings, canonical)
        error = self.decoder.mean_squared_error(
            patches, latents, angle, offset, canonical
        )
        return self.objective(error, latent_divergence(mean, log_variance).mean())

    @torch.no_grad()
    def _update_pose(self, patches, rings, canonical):
        """Update the template in training, and draw angles and offsets."""
        if self.training:
            self.template.lerp_(
                canonical.mean(dim=0).to(self.template), _TEMPLATE_UPDATE_SHARE
            )
        return self._draw_pose(patches, rings, canonical)

    def _draw_pose(self, patches, rings, canonical):
        if self.polarization.is_active:
            spectra = torch.fft.rfft(rings.float())
            angle = self.polarization.draw_rotation(spectra, self.generator)
        else:
            table = self._shared_log_likelihood(rings, canonical)
            angle = sample_angle(table, self.generator)
        return angle, self._offset(patches, canonical, angle)[0]

    def _shared_log_likelihood(self, rings, canonical):
        """Compute the log-likelihood of rotations from the shared features."""
        template = torch.fft.rfft(self.polar(self.template))
        spectrum = torch.fft.rfft(self.polar(canonical))
        weights = self.polar.weights.to(rings)
        strength = order_strength(template, spectrum, weights)
        return self._log_likelihood_of_rotations(rings, template, strength)

    def _log_likelihood_of_rotations(self, rings, spectrum, strength=None):
        radii = self.polar.radii.to(rings) if self.may_shift else None
        tables = correlate_rotations(
            torch.fft.rfft(rings),
            radial_functions(spectrum, radii),
            self.polar.weights.to(rings),
            strength,
        )
        return tables.log_likelihood(self.noise_variance, self.offset_scale)

    def _offset(self, patches, canonical, angle):
        """Compute posterior mean, standard deviation and log-evidence of the offset.

        The posed image is linear in a small shift, so that the Gaussian prior
        gives a Gaussian posterior.
        """
        mean = patches.new_zeros(len(patches), 2)
        if not (self.may_shift and self.offset_is_free):
            return mean, mean, mean[:, 0]
        posed = pose(canonical, angle, mean, self.patch_shape).reshape(patches.shape)
        vectors = _slopes_and_residual(posed, patches).flatten(2)
        products = vectors @ vectors.mT / self.noise_variance
        prior = torch.eye(2).to(posed) / self.offset_scale**2
        precision = products[:, :2, :2] + prior
        # shifting an image by d changes it by -slope . d
        gradient = products[:, :2, 2]
        covariance = torch.linalg.inv(precision)
        mean = (covariance @ gradient[:, :, None])[:, :, 0]
        std = covariance.diagonal(dim1=1, dim2=2).sqrt()
        log_evidence = (
            -0.5 * (precision.det() * self.offset_scale**4).log()
            - 0.5 * (mean**2).sum(dim=1) / self.offset_scale**2
        )
        return mean, std, log_evidence

    def calibrate(self, patches, generator, *, from_scratch):
        """Estimate the factor by which the log-likelihood of the angle is divided."""
        if not self.polarization.is_active:
            canonical = self.decoder(self.encode(patches)[0])
            self._calibrate(patches, canonical, generator, from_scratch)

    def _calibrate(self, patches, canonical, generator, from_scratch):
        if from_scratch:
            self.n_calibrated.zero_()
        rings = self.polar(patches)
        observed = self._shared_log_likelihood(rings, canonical)
        angle = most_likely_angle(observed)
        offset = self._offset(patches, canonical, angle)[0]
        posed = pose(canonical, angle, offset, self.patch_shape)
        noise = torch.empty_like(posed).normal_(generator=generator)
        noisy = posed + noise * self.noise_variance.sqrt()
        simulated, expected = (
            self._shared_log_likelihood(
                self.polar(drawn.reshape(patches.shape)), canonical
            )
            for drawn in (noisy, posed)
        )
        found = noise_inflation(observed, simulated, expected)
        before = self.n_calibrated.clamp(max=_N_REMEMBERED_PATCHES)
        share = len(patches) / (before + len(patches))
        self.noise_inflation.lerp_(found.to(self.noise_inflation), share)
        self.n_calibrated.add_(len(patches))

    def encode(self, patches):
        """Compute mean and log-variance of the latents of patches ``(n, h, w)``."""
        return self.encoder(self.polar(patches))

    def infer(self, patches):
        """Return posterior means and widths of patches, (n, 3 + latent_dim).

        The angle is the mean direction of the tempered posterior. If the template has
        no direction, as in a crystal of four-fold cells, it is the most likely
        rotation, which is correct up to the symmetry, unlike the mean of equal peaks.
        """
        rings = self.polar(patches)
        mean, log_variance = self.encoder(rings)
        canonical = self.decoder(mean)
        angle, width, peak = self._infer_angle(rings, canonical)
        offset, offset_std, _ = self._offset(patches, canonical, peak)
        values = [angle[:, None], offset, mean]
        widths = [width[:, None], offset_std, (0.5 * log_variance).exp()]
        return torch.cat(values, dim=1), torch.cat(widths, dim=1)

    def _infer_angle(self, rings, canonical):
        """Return angle, circular standard deviation and likeliest rotation, (n,)."""
        if self.polarization.is_active:
            return self.polarization(torch.fft.rfft(rings))
        table = self._shared_log_likelihood(rings, canonical)
        peak = most_likely_angle(table)
        angle, width = mean_angle(table / self.noise_inflation)
        return torch.where(self._has_direction(), angle, peak), width, peak

    def reconstruct(self, latents, angle, offset, lattice_angle=None):
        """Draw patches ``(n, h * w)`` from latents, direction, offset and lattice."""
        if not self.polarization.is_active:
            return super().reconstruct(latents, angle, offset)
        rotation = self.polarization.nearest_rotation(angle, lattice_angle)
        if rotation is None:
            return self.draw_canonical(latents, angle, offset)
        return self.decoder.draw(latents, rotation, offset)

    def draw_canonical(self, latents, angle, offset):
        """Draw patches ``(n, h * w)`` with a polarization angle, at any rotation."""
        if not self.polarization.is_active:
            return super().draw_canonical(latents, angle, offset)
        canonical = self.decoder(latents)
        spectra = torch.fft.rfft(self.polar(canonical))
        rotation = angle - self.polarization.image_direction(spectra)
        return pose(canonical, rotation, offset, self.patch_shape)

    def lattice_angle(self, patches):
        """Estimate the lattice rotation of patches ``(n, h, w)``, radians, (n,)."""
        if not self.polarization.has_lattice:
            return self.infer(patches)[0][:, 0]
        return self.polarization.lattice_angle(torch.fft.rfft(self.polar(patches)))

    def find_scale(self, patches):
        """Estimate the lattice scale of patches relative to the fit, and its gain."""
        if not self.polarization.has_lattice:
            return 1.0, 1.0
        return self.polarization.find_scale(torch.fft.rfft(self.polar(patches)))

    def _has_direction(self):
        table = self._shared_log_likelihood(self.polar(self.template), self.template)
        return mean_angle(table / self.noise_inflation)[1] < _UNDIRECTED_STD_RAD

    def log_evidence(self, patches, latents):
        """Compute the log-likelihood of patches given the latents, without the pose.

        The corners of a patch lie outside the rings. They distinguish between the
        rotations of a four-fold cell, so that the best rotation of each quarter of the
        circle is evaluated on all pixels.
        """
        canonical = self.decoder(latents)
        spectrum = torch.fft.rfft(self.polar(canonical))
        table = self._log_likelihood_of_rotations(self.polar(patches), spectrum)
        evidence = []
        angles, log_means = quarter_peaks(table)
        for angle, log_mean in zip(angles.T, log_means.T, strict=True):
            offset, _, log_offset_evidence = self._offset(patches, canonical, angle)
            posed = pose(canonical, angle, offset, self.patch_shape)
            at_peak = self.log_likelihood(patches, posed)
            evidence.append(at_peak + log_mean + log_offset_evidence)
        return torch.stack(evidence).logsumexp(dim=0)

    def evidence_bound(self, patches):
        """Compute the evidence lower bound of each patch ``(n, h, w)``, nats.

        The density is that of the pixels in units of the input. The expectation over
        the Gaussian posterior of the latents is computed by a cubature rule of degree
        three, without random numbers.
        """
        mean, log_variance = self.encode(patches)
        expected = [
            self.log_evidence(patches, points)
            for points in cubature_points(mean, (0.5 * log_variance).exp())
        ]
        bound = torch.stack(expected).mean(dim=0)
        return bound - latent_divergence(mean, log_variance) - self.log_jacobian()


def _slopes_and_residual(posed, patches):
    """Compute slopes of posed patches, 0 at the border, and residuals, (n, 3, h, w)."""
    # written in place, because stacking would copy
    vectors = posed.new_zeros(len(posed), 3, *posed.shape[1:])
    torch.sub(posed[:, 2:], posed[:, :-2], out=vectors[:, 0, 1:-1])
    torch.sub(posed[:, :, 2:], posed[:, :, :-2], out=vectors[:, 1, :, 1:-1])
    vectors[:, :2] /= 2
    torch.sub(posed, patches, out=vectors[:, 2])
    return vectors
