"""Direction of the polarization within a lattice that may itself be rotated.

The displacement of the central column relative to the lattice and the rotation of the
lattice are separate degrees of freedom. In a lattice of n-fold symmetry at angle 0, the
angular orders that are multiples of n describe the lattice, and the orders next to
them change linearly with the displacement: with direction theta, those of order 1,
n + 1, ... as exp(-i theta), those of order n - 1, 2 n - 1, ... as exp(+i theta). A sum
over radii and orders with real weights therefore gives the displacement as a complex
number. The weights, the covariance of the noise and the distribution of the
displacements are learned together from the windows by expectation–maximisation, without
labels.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

from .known_directions import FEWEST_KNOWN, learn_weights
from .polarization_fit import N_MODES, N_RADII, fit_polarization

# Rotations tried within one period of the lattice; 0.7 degrees apart in 90 degrees.
_N_LATTICE_ANGLES = 128
# Resultant length of the lattice angles above which the windows are of one crystal.
_LEAST_ALIGNED_RESULTANT = 0.9
# Smallest number of rings for an estimate of the scale.
_FEWEST_RINGS = 8
# Below this correlation with the lattice of the fit, at the best rotation and scale,
# patches show another lattice or none.
_LEAST_CORRELATION = 0.6
# Posterior resultant of a decoded image below which its direction is set to 0.
_LEAST_RESULTANT = 0.5
# Resultant length of known directions, relative to the symmetry of the lattice, above
# which they are those of domains; in a vortex it is near 0.
_LEAST_SHARED_RESULTANT = 0.8
# The displacements must have known directions on average, by this number of standard
# errors, and must not follow their mirror images better, by this factor.
_LEAST_STANDARD_ERRORS = 2.0
_MOST_MIRRORED_RATIO = 1.5


class PolarizationPosterior(NamedTuple):
    """Posterior of the direction of the polarization of n patches.

    Attributes
    ----------
    angle : tensor of shape (n,)
        Mean direction, radians.
    std : tensor of shape (n,)
        Circular standard deviation, radians.
    rotation : tensor of shape (n,)
        Rotation of the window, among those that map the lattice onto itself, at which
        the polarization of the canonical image is closest to the angle.
    """

    angle: torch.Tensor
    std: torch.Tensor
    rotation: torch.Tensor


class PolarizationModel(nn.Module):
    """Linear estimator of the displacement and the distribution of displacements.

    Parameters
    ----------
    n_rings, n_orders : int
        Size of the Fourier transform of patches along the rings of a polar grid.
    """

    def __init__(self, n_rings, n_orders):
        super().__init__()
        shapes = {
            "fold": (),
            "is_polar": (),
            "lattice": (2, n_rings, n_orders),
            "lattice_std": (),
            "weights": (n_rings, n_orders),
            "noise_variance": (),
            "unpolar_noise_variance": (),
            "radii": (N_RADII,),
            "radius_shares": (N_RADII,),
            "modes": (N_MODES, 2),
            "mode_shares": (N_MODES,),
            "reference": (),
            "crystal_angle": (),
            "is_crystal": (),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.empty(shape))

    def initialize(self):
        """Reset to the state without lattice and polarization."""
        for buffer in self.buffers():
            buffer.zero_()
        self.noise_variance.fill_(1.0)
        self.unpolar_noise_variance.fill_(1.0)

    def fit(self, spectra, areas, radii):
        """Learn lattice and polarization from spectra ``(n, n_rings, n_orders)``."""
        found = fit_polarization(
            spectra.cdouble().numpy(force=True),
            areas.double().numpy(force=True),
            radii.double().numpy(force=True),
        )
        self.initialize()
        if found is None:
            return
        for name, value in found.items():
            getattr(self, name).copy_(torch.as_tensor(value))
        angle = self.find_lattice(spectra.to(torch.complex64))
        mean = _unit(int(self.fold) * angle).mean()
        self.crystal_angle.copy_(mean.angle() / int(self.fold))
        self.is_crystal.copy_((mean.abs() > _LEAST_ALIGNED_RESULTANT).to(angle))

    def learn_directions(self, spectra, angle, areas):
        """Restrict the directions to those of windows of known polarization.

        New weights are learned from them if these make the known directions more
        probable, see `known_directions`.

        Parameters
        ----------
        spectra : tensor of shape (n, n_rings, n_orders)
            Spectra of all windows.
        angle : tensor of shape (n,)
            Known directions, radians, NaN where unknown.
        areas : tensor of shape (n_rings,)
            Area of the points of each ring, px.

        Returns
        -------
        is_restricted : bool
            Whether all known directions are related by the symmetry of the lattice and
            agree with the displacements; otherwise the distribution is not changed.
        """
        if not self.is_active:
            return False
        single = spectra.to(torch.complex64)
        lattice_angle = self.find_lattice(single)
        relative = (angle - lattice_angle).to(lattice_angle)
        known = relative.isfinite()
        fold = int(self.fold)
        mean = _unit(fold * relative[known]).mean()
        displacement = self._displacement(single, lattice_angle)
        registered = displacement[known] * _unit(-relative[known])
        along = registered.real
        length = along.mean()
        # angles that increase upwards
        mirrored = -angle.to(lattice_angle)[known] - lattice_angle[known]
        mirrored_length = (displacement[known] * _unit(-mirrored)).real.mean()
        error = along.std(correction=0) / math.sqrt(len(along))
        if (
            mean.abs() < _LEAST_SHARED_RESULTANT
            or not length > _LEAST_STANDARD_ERRORS * error
            or mirrored_length > _MOST_MIRRORED_RATIO * length
        ):
            return False
        share_at_0 = self.radius_shares[0]
        learned = learn_weights(
            spectra.cdouble().numpy(force=True),
            areas.double().numpy(force=True),
            lattice_angle.double().numpy(force=True),
            fold,
            relative.double().numpy(force=True),
            displacement.numpy(force=True),
        )
        if learned is not None:
            self.weights.copy_(length * torch.from_numpy(learned.weights))
            self.noise_variance.copy_(length**2 * learned.noise_variance)
            self.unpolar_noise_variance.copy_(self.noise_variance)
            share_at_0 = torch.as_tensor(learned.share_at_0).to(length)
        elif len(along) >= FEWEST_KNOWN:
            # without a learned pattern the noise is an upper bound, because it includes
            # the differences of the lengths
            noise_variance = ((registered - length).abs() ** 2).mean()
            noise_variance = torch.minimum(noise_variance, self.noise_variance)
            self.noise_variance.copy_(noise_variance)
        direction = mean.angle() / fold
        mode = length * _unit(direction)
        self.modes.zero_()
        self.mode_shares.zero_()
        self.modes[0] = torch.stack([mode.real, mode.imag])
        self.mode_shares[0] = 1 - share_at_0
        self.radius_shares.zero_()
        self.radius_shares[0] = share_at_0
        self.reference.copy_(direction)
        return True

    @property
    def has_lattice(self):
        """Whether the windows show a lattice of three-, four- or six-fold symmetry."""
        return bool(self.fold > 0)

    @property
    def is_active(self):
        """Whether directions are read from displacements within the lattice."""
        return bool(self.is_polar > 0)

    @property
    def period(self):
        """Smallest rotation that maps the lattice onto itself, radians."""
        return 2 * math.pi / int(self.fold)

    def forward(self, spectra):
        """Compute the posterior from spectra ``(n, n_rings, n_orders)``."""
        lattice_angle = self.find_lattice(spectra)
        displacement = self._displacement(spectra, lattice_angle)
        shares, resultants, points = self._components(displacement)
        direction = _unit(displacement.angle())
        rings = (shares[:, :N_RADII] * resultants).sum(dim=1) * direction
        unit = _unit(points.angle())
        mean = rings + (shares[:, N_RADII:] * unit.flatten()).sum(dim=1)
        rotations = self._rotation_shares(displacement, shares)
        quarter = rotations.argmax(dim=1)
        resultant = mean.abs().clamp(1e-12, 1 - 1e-12)
        std = (-2 * resultant.log() + self.lattice_std**2).sqrt()
        return PolarizationPosterior(
            angle=lattice_angle + mean.angle(),
            std=std,
            rotation=lattice_angle + self.reference + self.period * quarter,
        )

    def lattice_angle(self, spectra):
        """Compute the lattice rotation, within half a period of 0, radians, (n,)."""
        half = self.period / 2
        return torch.remainder(self.find_lattice(spectra) + half, self.period) - half

    def symmetry_rotations(self, spectra):
        """Return the rotations of patches by lattice symmetry and their probabilities.

        Returns
        -------
        rotation : tensor of shape (n, fold)
            Rotations of the window relative to the canonical pose, radians.
        shares : tensor of shape (n, fold)
            Their probabilities; all equal without polarization.
        """
        lattice_angle = self.find_lattice(spectra)
        steps = torch.arange(int(self.fold), device=spectra.device)
        rotation = lattice_angle[:, None] + self.reference + self.period * steps
        if not self.is_active:
            return rotation, torch.full_like(rotation, 1 / int(self.fold))
        displacement = self._displacement(spectra, lattice_angle)
        shares = self._components(displacement)[0]
        return rotation, self._rotation_shares(displacement, shares)

    def draw_rotation(self, spectra, generator):
        """Draw rotations of the window from their posterior, (n,)."""
        lattice_angle = self.find_lattice(spectra)
        displacement = self._displacement(spectra, lattice_angle)
        shares = self._rotation_shares(displacement, self._components(displacement)[0])
        uniform = torch.empty_like(lattice_angle).uniform_(generator=generator)
        below = shares.cumsum(dim=1) < uniform[:, None] * shares.sum(1, keepdim=True)
        quarter = below.sum(dim=1).clamp(max=shares.shape[1] - 1)
        return lattice_angle + self.reference + self.period * quarter

    def image_direction(self, spectra):
        """Compute the polarization direction in images with lattice angle 0, (n,).

        It is 0 if all polar cells have the same direction up to the symmetry of the
        lattice, and for images without polarization.
        """
        angle = torch.zeros(len(spectra)).to(spectra.real)
        if not self.is_active or (self.mode_shares > 0).sum() == 1:
            return angle
        posterior = self(spectra)
        is_sure = posterior.std < math.sqrt(-2 * math.log(_LEAST_RESULTANT))
        return torch.where(is_sure, posterior.angle - posterior.rotation, angle)

    def nearest_rotation(self, angle, lattice_angle=None):
        """Find the rotation by lattice symmetry that is closest to a direction, (n,).

        Without lattice angles, that of the crystal in the fit is used; the result is
        None if the fit contained lattices at several rotations.
        """
        if lattice_angle is None:
            if not self.is_crystal:
                return None
            lattice_angle = self.crystal_angle
        first = lattice_angle + self.reference
        return first + self.period * torch.round((angle - first) / self.period)

    def find_lattice(self, spectra):
        """Estimate the lattice rotation, in [0, period), from spectra, (n,)."""
        fold = int(self.fold)
        template = torch.complex(*self.lattice[:, :, ::fold]).to(spectra)
        overlap = torch.einsum("nrm,rm->nm", spectra[:, :, ::fold], template.conj())
        steps = torch.arange(_N_LATTICE_ANGLES, device=spectra.device)
        orders = torch.arange(overlap.shape[1], device=spectra.device)
        # all orders are multiples of the fold, so that the table has this period
        phase = 2 * math.pi / _N_LATTICE_ANGLES * orders[:, None] * steps
        phase = phase.to(spectra.real)
        table = overlap.real @ phase.cos() - overlap.imag @ phase.sin()
        best = table.argmax(dim=1, keepdim=True)
        before, at, after = (
            table.gather(1, (best + step) % _N_LATTICE_ANGLES)[:, 0]
            for step in (-1, 0, 1)
        )
        curvature = before - 2 * at + after
        tiny = torch.finfo(curvature.dtype).tiny
        shift = 0.5 * (before - after) / curvature.clamp(max=-tiny)
        place = best[:, 0] + shift.clamp(-0.5, 0.5)
        return torch.remainder(place * (self.period / _N_LATTICE_ANGLES), self.period)

    def find_scale(self, spectra):
        """Estimate the scale of the lattice in patches relative to that of the fit.

        Returns
        -------
        scale : float
            Ratio of the lattice parameters, between 0.5 and 2, in steps of 4 %.
        gain : float
            Correlation with the lattice of the fit at this scale, divided by that at
            scale 1.
        """
        fold, n_rings = int(self.fold), spectra.shape[1]
        if n_rings < _FEWEST_RINGS:
            return 1.0, 1.0
        radii = torch.arange(n_rings).to(spectra.real) + 0.5
        orders = slice(fold, None, fold)
        template = torch.complex(*self.lattice[:, :, orders]).to(spectra)
        template = template / radii[:, None]
        part = spectra[:, :, orders]
        steps = torch.arange(_N_LATTICE_ANGLES, device=spectra.device)
        multiples = torch.arange(1, part.shape[2] + 1, device=spectra.device)
        phase = 2 * math.pi / _N_LATTICE_ANGLES * multiples[:, None] * steps
        rotations = _unit(phase).to(spectra)
        agreements = {}
        for scale in (1.04**step for step in range(-17, 18)):
            n_seen = min(n_rings, int(n_rings * scale))
            place = (radii[:n_seen] / scale - 0.5).clamp(0, n_rings - 1)
            below = place.long().clamp(max=max(n_rings - 2, 0))
            share = (place - below)[:, None]
            scaled = torch.lerp(
                torch.view_as_real(template[below]),
                torch.view_as_real(template[(below + 1).clamp(max=n_rings - 1)]),
                share[..., None].expand(-1, part.shape[2], 2),
            )
            scaled = torch.view_as_complex(scaled) * radii[:n_seen, None].sqrt()
            seen = part[:, :n_seen] * radii[:n_seen, None].sqrt()
            overlap = torch.einsum("nrm,rm->nm", seen, scaled.conj())
            best = (overlap @ rotations).real.amax(dim=1)
            power = (seen.abs() ** 2).sum(dim=(1, 2)) * (scaled.abs() ** 2).sum()
            agreement = best / power.sqrt().clamp(min=1e-30)
            agreements[scale] = float(agreement.median())
        scale = max(agreements, key=agreements.get)
        if agreements[scale] < _LEAST_CORRELATION:
            return 1.0, 1.0
        return scale, agreements[scale] / max(agreements[1.0], 1e-30)

    def _displacement(self, spectra, lattice_angle):
        """Compute the displacements in the frame of the lattice, px, complex, (n,)."""
        fold = int(self.fold)
        total = torch.zeros_like(spectra[:, 0, 0])
        for remainder in (1, fold - 1):
            orders = torch.arange(remainder, spectra.shape[2], fold)
            orders = orders.to(spectra.device)
            sums = torch.einsum(
                "nrm,rm->nm",
                spectra[:, :, remainder::fold],
                self.weights[:, remainder::fold].to(spectra),
            )
            phase = orders * lattice_angle[:, None]
            sums = (sums * _unit(phase)).sum(dim=1)
            total = total + (sums.conj() if remainder == 1 else sums)
        return total

    def _components(self, displacement):
        """Return posterior probabilities of rings and modes, resultants, and modes."""
        size, variance = displacement.abs()[:, None], self.noise_variance
        variances = torch.where(self.radii > 0, variance, self.unpolar_noise_variance)
        argument = 2 * size * self.radii / variances
        scaled = torch.special.i0e(argument)
        resultants = torch.special.i1e(argument) / scaled
        of_rings = -((size - self.radii) ** 2) / variances + scaled.log()
        of_rings = of_rings + self.radius_shares.log() - variances.log()
        fold = int(self.fold)
        rotations = self.period * torch.arange(fold, device=displacement.device)
        modes = torch.complex(self.modes[:, 0], self.modes[:, 1])
        rotations = rotations.to(displacement.real)
        points = modes[:, None] * _unit(rotations)
        distance = (displacement[:, None, None] - points).abs() ** 2
        of_modes = (self.mode_shares / fold).log()[:, None] - distance / variance
        of_modes = of_modes - variance.log()
        log_shares = torch.cat([of_rings, of_modes.flatten(1)], dim=1)
        return log_shares.softmax(dim=1), resultants, points

    def _rotation_shares(self, displacement, shares):
        """Return the posterior of the symmetry rotations of the lattice, (n, fold)."""
        fold = int(self.fold)
        steps = torch.arange(fold, device=displacement.device)
        centers = self.reference + self.period * steps
        off = displacement.angle()[:, None] - centers
        off = torch.remainder(off + math.pi, 2 * math.pi) - math.pi
        # The probability of a ring belongs to the sector of the measured direction.
        nearest = torch.nn.functional.one_hot(off.abs().argmin(dim=1), fold).to(shares)
        # Index 0 of the radii is the probability of no polarization.
        of_rings = shares[:, 1:N_RADII].sum(dim=1, keepdim=True) * nearest
        of_modes = shares[:, N_RADII:].reshape(len(shares), -1, fold).sum(dim=1)
        return of_rings + of_modes + shares[:, :1] / fold


def _unit(angle):
    """Return the complex numbers of modulus 1 with the given phases."""
    return torch.polar(torch.ones_like(angle), angle)
