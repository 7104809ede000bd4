"""Fit of the lattice and of the linear estimator of the displacement to windows.

The input is the Fourier transform of windows along the rings of a polar grid. The
module `polarization_model` describes the model.
"""

import numpy as np
from scipy.special import i0e, i1e

# Radii of the distribution of displacements, from 0 on.
N_RADII = 12
# Largest number of additional sets of symmetry-related directions.
N_MODES = 2
# Candidate symmetries; in a two-fold lattice the two components of the displacement do
# not combine to one complex number.
_FOLDS = (6, 4, 3)
# Smallest fraction of the angular power in the orders of the lattice.
_LEAST_LATTICE_SHARE = 0.4
# Principal components of the orders next to those of the lattice. Six are enough for
# displacements of 10 pm with disorder; more than sixteen add noise.
_N_COMPONENTS = 10
# Highest angular order used; higher ones are noise in windows of a few cells.
_HIGHEST_ORDER = 24
# Multiple of the median distance beyond which windows are downweighted: the border of
# the specimen, interfaces.
_OUTLIER_DISTANCE_RATIO = 4.0
_N_LATTICE_STEPS = 15
_N_STEPS = 25
# Smallest cosine between a learned pattern and the derivative of the mean window. It
# was above 0.97 on the polar images measured, and below 0.7 where the fit had converged
# to another signal.
_LEAST_COSINE = 0.8
# Displacement over noise, and gain in log-likelihood per window over a normal
# distribution, above which the pattern is learned. Measured: at least 3.1 and 0.24 in
# polar images; at most 2.4 and 0.03 in images without polarization.
_LEAST_SIGNAL_RATIO = 2.6
_LEAST_GAIN_NATS = 0.1
# Fraction of the mean variance that is added to the noise if the pattern is not
# learned, because covariances of few windows are noisy.
_LOADING_SHARE = 0.1
# Log-likelihood by which a pattern that is not significant has to exceed the initial
# one, as a test of one parameter at the 95 % level.
_LEAST_PATTERN_NATS = 1.92
# Smallest distance of the kurtosis below 2, the value of complex normal numbers, in
# standard errors. Displacements of equal length have a kurtosis of 1 without noise.
_LEAST_KURTOSIS_STEP = 1.0
# Root mean square displacement, in radii of the central column, below which these
# images are treated as not polar: 6 pm in a perovskite, the static disorder.
_LEAST_DISPLACEMENT_RADII = 0.04
# Number of windows, which overlap, per independent sample in the choice of the modes.
_WINDOWS_PER_SAMPLE = 4
# Number of windows with the common noise that are added to those without polarization
# in the estimate of their noise: four independent samples.
_N_PRIOR_WINDOWS = 16
# Smallest divisor and probability, which keep quotients and logarithms finite.
TINY = 1e-300


def fit_polarization(spectra, areas, ring_radii):
    """Fit lattice and polarization.

    Parameters
    ----------
    spectra : ndarray of shape (n, n_rings, n_orders), complex
        Fourier transforms of windows along rings, as `numpy.fft.rfft` returns them.
    areas : ndarray of shape (n_rings,)
        Area of the points of each ring, px.
    ring_radii : ndarray of shape (n_rings,)
        Radii of the rings, px.

    Returns
    -------
    found : dict or None
        The buffers of `PolarizationModel`; None if there is no lattice.
    """
    n_angles = 2 * (spectra.shape[2] - 1)
    root_area = np.sqrt(areas * n_angles)
    scaled = spectra * (root_area / n_angles)[:, None]
    fold = _find_fold(scaled)
    if fold is None or len(ring_radii) < 4:
        return None
    angle, template = _fit_lattice(scaled, fold)
    found = {
        "fold": fold,
        "lattice": _as_real(_to_all_orders(template, fold, scaled, root_area)),
        "lattice_std": _lattice_std(scaled, template, angle, fold),
    }
    basis = _displacement_basis(scaled, angle, fold)
    derivative, reach = _cage_derivative(template, fold, ring_radii, root_area)
    derivative = derivative[:, np.abs(_orders(basis, fold))]
    fitted = _fit_estimator(basis, derivative, fold, _LEAST_DISPLACEMENT_RADII * reach)
    if fitted is None:
        return found
    weights = np.zeros(scaled.shape[1:])
    weights[:, np.abs(_orders(basis, fold))] = fitted.pop("weights")
    fitted["weights"] = weights * (root_area / n_angles)[:, None]
    return found | fitted | {"is_polar": 1}


def displacement_features(spectra, areas, lattice_angle, fold):
    """Compute the angular orders that change with the displacement.

    Parameters
    ----------
    spectra : ndarray of shape (n, n_rings, n_orders), complex
        Fourier transforms of windows along rings.
    areas : ndarray of shape (n_rings,)
        Area of the points of each ring, px.
    lattice_angle : ndarray of shape (n,)
        Rotation of the lattice in each window, radians.
    fold : int
        Symmetry of the lattice.

    Returns
    -------
    features : ndarray of shape (n, n_rings, n_used), complex
        The orders in the frame of the lattice, scaled so that sums of squares
        correspond to sums over pixels.
    orders : ndarray of shape (n_used,), int
        Their places among the orders of `spectra`.
    scale : ndarray of shape (n_rings,)
        Factors of the rings in `features`.
    """
    n_angles = 2 * (spectra.shape[2] - 1)
    scale = np.sqrt(areas / n_angles)
    basis = _displacement_basis(spectra * scale[:, None], lattice_angle, fold)
    return basis.features, np.abs(_orders(basis, fold)), scale


def _find_fold(spectra):
    """Find the symmetry of the lattice from the power of the angular orders."""
    power = (np.abs(spectra) ** 2).sum(axis=1).mean(axis=0)
    power = np.maximum(power - np.median(power[len(power) // 2 :]), 0)[1:]
    total = power.sum()
    if total <= 0:
        return None
    shares = {fold: power[fold - 1 :: fold].sum() / total for fold in _FOLDS}
    # the orders of a six-fold lattice are among those of a three-fold one
    if shares[6] > 0.8 * shares[3]:
        shares[3] = 0
    best = max(shares, key=shares.get)
    return best if shares[best] > _LEAST_LATTICE_SHARE else None


def _fit_lattice(spectra, fold):
    """Estimate the lattice rotation of every window, and the mean spectrum.

    Returns
    -------
    angle : ndarray of shape (n,)
        Radians.
    template : ndarray of shape (n_rings, n_multiples), complex
        Orders 0, fold, 2 fold, ... of the lattice at angle 0; order `fold` is real
        and negative, so that the columns next to the centre of a square cell lie on
        the diagonals.
    """
    part = spectra[:, :, ::fold]
    orders = fold * np.arange(part.shape[2])
    n_steps = 256
    tried = 2 * np.pi / fold * np.arange(n_steps) / n_steps
    rotations = np.exp(1j * np.outer(orders, tried))
    rotations[0] = 0
    template = part[0]
    for _ in range(_N_LATTICE_STEPS):
        overlap = np.einsum("nrm,rm->nm", part, template.conj())
        table = (overlap @ rotations).real
        best = table.argmax(axis=1)
        rows = np.arange(len(best))
        before, at, after = (table[rows, (best + k) % n_steps] for k in (-1, 0, 1))
        curvature = np.minimum(before - 2 * at + after, -TINY)
        shift = np.clip(0.5 * (before - after) / curvature, -0.5, 0.5)
        angle = (best + shift) * tried[1]
        phases = np.exp(1j * orders * angle[:, None])
        template = np.einsum("nrm,nm->rm", part, phases) / len(part)
    # A mirror axis of the lattice becomes the direction of the columns.
    rotation = np.angle((template[:, 1] ** 2).sum()) / (2 * fold)
    if (template[:, 1] * np.exp(-1j * fold * rotation)).real.sum() > 0:
        rotation += np.pi / fold
    template = template * np.exp(-1j * orders * rotation)
    return angle - rotation + 0.0, template


def _to_all_orders(template, fold, spectra, root_area):
    """Return the weighted lattice template among all orders, (n_rings, n_orders)."""
    filled = np.zeros(spectra.shape[1:], dtype=complex)
    filled[:, ::fold] = template * root_area[:, None]
    # brightness does not depend on the rotation
    filled[:, 0] = 0
    return filled


def _as_real(values):
    return np.stack([values.real, values.imag])


def _lattice_std(spectra, template, angle, fold):
    """Estimate the standard error of a lattice angle from the residuals, radians."""
    part = spectra[:, :, ::fold]
    orders = fold * np.arange(part.shape[2])
    aligned = part * np.exp(1j * orders * angle[:, None])[:, None]
    noise = np.median(np.abs(aligned[:, :, 1:] - template[:, 1:]) ** 2)
    information = (np.abs(template) ** 2 * orders**2).sum()
    return float(np.sqrt(0.5 * noise / max(information, TINY)))


def _orders(basis, fold):
    """Return the signed angular orders of a basis; conjugated orders are negative."""
    orders = np.arange(1, _HIGHEST_ORDER + 1)[: basis.highest]
    is_raised, is_lowered = orders % fold == 1, orders % fold == fold - 1
    signed = np.where(is_lowered, -orders, orders)
    return signed[is_raised | is_lowered]


class _Basis:
    """Windows in the orders next to those of the lattice, in the lattice frame."""

    def __init__(self, features, highest):
        self.features = features
        self.highest = highest


def _displacement_basis(spectra, angle, fold):
    highest = min(_HIGHEST_ORDER, spectra.shape[2] - 2)
    basis = _Basis(None, highest)
    columns = []
    for order in _orders(basis, fold):
        column = spectra[:, :, abs(order)] * np.exp(1j * abs(order) * angle)[:, None]
        columns.append(column.conj() if order > 0 else column)
    basis.features = np.stack(columns, axis=2)
    return basis


def _cage_derivative(template, fold, ring_radii, root_area):
    """Return the derivative of windows with respect to a shift of the outer columns.

    Parameters
    ----------
    template : ndarray of shape (n_rings, n_multiples), complex
        Orders 0, fold, ... of the lattice.

    Returns
    -------
    derivative : ndarray of shape (n_rings, n_orders)
        Real, per px; 0 within the central column, up to the first minimum of the mean
        profile.
    reach : float
        Radius of the central column, px.
    """
    n_rings = len(ring_radii)
    n_orders = fold * template.shape[1]
    spectrum = np.zeros((n_rings, n_orders + 2), dtype=complex)
    spectrum[:, :n_orders:fold] = template / root_area[:, None]
    order = np.arange(spectrum.shape[1])
    outward = np.gradient(spectrum, 2 * ring_radii[0], axis=0)
    along = order * spectrum / ring_radii[:, None]
    derivative = np.zeros(spectrum.shape)
    raised, lowered = (outward - along).real, (outward + along).real
    derivative[:, 1:] = 0.5 * (raised[:, :-1] * (order[:-1] % fold == 0))
    derivative[:, :-1] += 0.5 * (lowered[:, 1:] * (order[1:] % fold == 0))
    profile = spectrum[:, 0].real
    is_minimum = (profile[1:-1] <= profile[:-2]) & (profile[1:-1] <= profile[2:])
    first = np.flatnonzero(is_minimum)
    edge = first[0] + 1 if len(first) else 0
    moving = 1 / (1 + np.exp(-2.0 * (np.arange(n_rings) - edge)))
    derivative *= moving[:, None]
    if fold == 4:
        derivative = _keep_cages(derivative, spectrum, ring_radii, ring_radii[edge])
    return derivative * root_area[:, None], ring_radii[edge]


def _keep_cages(derivative, spectrum, ring_radii, reach):
    """Zero a derivative around columns that lattice translations map onto the centre.

    In a square lattice whose nearest columns lie on the diagonals, these columns are
    displaced with the central one.
    """
    n_angles = 2 * spectrum.shape[1]
    angles = 2 * np.pi / n_angles * np.arange(n_angles)
    row, col = ring_radii[:, None] * np.stack([np.sin(angles), np.cos(angles)])[:, None]
    image = np.fft.irfft(spectrum, n=n_angles, axis=1)
    edge = _cell_edge(image, row, col, ring_radii, reach)
    if edge is None:
        return derivative
    row, col = row / edge, col / edge
    to_own = np.hypot(row - np.round(row), col - np.round(col))
    row, col = row - 0.5, col - 0.5
    to_other = np.hypot(row - np.round(row), col - np.round(col))
    # a transition of half a pixel between the two kinds
    moving = 1 / (1 + np.exp(-(to_own - to_other) * edge / 0.5))
    changes = np.fft.irfft(derivative, n=n_angles, axis=1) * moving
    return np.fft.rfft(changes, axis=1)[:, : derivative.shape[1]].real


def _cell_edge(image, row, col, ring_radii, reach):
    """Return the edge of the square cell in a mean window, px; None if too large.

    The cell has columns at its corners and at its centre.
    """
    area = np.broadcast_to(ring_radii[:, None], image.shape)
    contrast = area * (image - np.average(image, weights=area))
    # from the nearest columns inside the outermost ring to half of that
    edges = np.arange(2.0 * reach, min(4.2 * reach, 2**0.5 * ring_radii[-1] + 2), 0.1)
    if not len(edges):
        return None
    agreement = []
    for edge in edges:
        waves = np.cos(2 * np.pi * row / edge) * np.cos(2 * np.pi * col / edge)
        waves += np.cos(2 * np.pi * (row + col) / edge)
        waves += np.cos(2 * np.pi * (row - col) / edge)
        agreement.append((contrast * waves).sum() / np.sqrt((area * waves**2).sum()))
    return edges[int(np.argmax(agreement))]


def _fit_estimator(basis, derivative, fold, least_length):
    """Fit weights and distribution; None if the windows are not polar."""
    features = basis.features.reshape(len(basis.features), -1)
    axes, scores, window_weights = leading_components(features)
    start = axes @ derivative.reshape(-1)
    if not np.any(start):
        return None
    state = _find_state(scores, window_weights, start, fold, least_length)
    if state is None:
        return None
    state = _choose_modes(state)
    if not state.is_learned and not len(state.modes):
        state.use_common_length()
    weights = axes.T @ state.weights
    return state.distribution() | {"weights": weights.reshape(derivative.shape)}


def _find_state(scores, window_weights, start, fold, least_length):
    """Learn the pattern, or keep the initial one; None if the windows are not polar.

    The first displacements are those along the initial pattern. Where these are below
    the noise, as in windows that are not centred on their column, they are
    computed again with the covariance of the windows.
    """
    for is_whitened in (False, True):
        learned = _State(scores, window_weights, start, fold, is_whitened=is_whitened)
        learned.improve(_N_STEPS)
        is_similar = learned.cosine(start) >= _LEAST_COSINE
        if is_similar and learned.is_significant():
            return learned
    state = _State(scores, window_weights, start, fold, is_learned=False)
    state.improve(_N_STEPS)
    if state.length() < least_length or not state.has_common_length():
        return None
    n_samples = state.total / _WINDOWS_PER_SAMPLE
    gain = n_samples * (learned.gain() - state.gain())
    return learned if is_similar and gain > _LEAST_PATTERN_NATS else state


def leading_components(features):
    """Return real axes, complex scores along them and weights of the windows.

    A window and its mirror image are assumed equally likely, so that the axes are real.
    Outlying windows are downweighted.
    """
    power = (np.abs(features) ** 2).sum(axis=1)
    window_weights = np.minimum(
        1, _OUTLIER_DISTANCE_RATIO * np.median(power) / np.maximum(power, TINY)
    )
    gram = ((features.T * window_weights) @ features.conj()).real
    values, vectors = np.linalg.eigh(gram)
    kept = values[::-1][:_N_COMPONENTS] > 1e-10 * values[-1]
    axes = vectors[:, ::-1].T[:_N_COMPONENTS][kept]
    scores = features @ axes.T
    for _ in range(5):
        covariance = (
            (scores.T * window_weights) @ scores.conj()
        ).real / window_weights.sum()
        solved = np.linalg.solve(covariance, scores.T).T
        distance = (scores.conj() * solved).sum(axis=1).real
        window_weights = np.minimum(
            1, _OUTLIER_DISTANCE_RATIO * np.median(distance) / distance
        )
    return axes, scores, window_weights


def _choose_modes(state):
    """Add sets of directions while the likelihood gain exceeds its penalty."""
    n_samples = state.window_weights.sum() / _WINDOWS_PER_SAMPLE
    best = state
    for n_modes in range(1, N_MODES + 1):
        richer = state.with_modes(n_modes)
        richer.improve(_N_STEPS)
        # a mode has two coordinates and a share
        cost = 1.5 * np.log(n_samples)
        if n_samples * (richer.log_likelihood() - best.log_likelihood()) < cost:
            break
        best = richer
    return best


class _State:
    """Model of windows as displacement times pattern plus normal noise.

    Displacements are complex numbers: on rings, in any direction, and at modes, which
    are sets of points related by the symmetry of the lattice. Windows without
    displacement can have another noise: they often show another material, in whose
    contrast the disorder of the columns has another effect on the estimate.
    """

    def __init__(
        self,
        scores,
        window_weights,
        pattern,
        fold,
        *,
        is_learned=True,
        is_whitened=False,
    ):
        self.scores, self.window_weights, self.fold = scores, window_weights, fold
        self.is_learned = is_learned
        self.pattern = pattern
        self.total = window_weights.sum()
        self.covariance = (
            (scores.T * window_weights) @ scores.conj()
        ).real / self.total
        self.mean_variance = np.trace(self.covariance) / len(pattern)
        weights = pattern
        if is_whitened or not is_learned:
            weights = np.linalg.solve(self._loaded(self.covariance), pattern)
        first = scores @ weights / (weights @ pattern)
        # one fifth of the initial estimate is attributed to noise
        self.expected, self.squared = 0.8 * first, 0.8 * np.abs(first) ** 2
        self.modes, self.mode_shares = np.zeros(0, complex), np.zeros(0)
        self.radii = None
        # ratio of the noise variances of windows without and with displacement
        self.noise_ratio = 1.0

    def _loaded(self, covariance):
        return covariance + _LOADING_SHARE * self.mean_variance * np.eye(
            len(covariance)
        )

    def improve(self, n_steps):
        """Run steps of expectation-maximisation."""
        for _ in range(n_steps):
            self._maximize()
            self._expect()

    def _maximize(self):
        mean = self.window_weights * self.expected.conj()
        mean = (self.scores * mean[:, None]).sum(axis=0).real / self.total
        squared = (self.window_weights * self.squared).sum() / self.total
        if self.is_learned:
            self.pattern = mean / squared
        pattern = self.pattern
        crossed = np.outer(mean, pattern)
        noise = self.covariance - crossed - crossed.T
        noise += squared * np.outer(pattern, pattern)
        values, vectors = np.linalg.eigh(noise)
        values = np.maximum(values, 1e-3 * self.mean_variance)
        noise = (vectors * values) @ vectors.T
        self.noise_inverse = (vectors / values) @ vectors.T
        self.noise_log_determinant = np.log(values).sum()
        used = noise if self.is_learned else self._loaded(noise)
        weights = np.linalg.solve(used, pattern)
        self.weights = weights / (weights @ pattern)
        self.noise_variance = self.weights @ noise @ self.weights
        self.displacement = self.scores @ self.weights

    def _expect(self):
        size = np.abs(self.displacement)
        if self.radii is None:
            self.radii = np.linspace(0, np.quantile(size, 0.995), N_RADII)
            self.radius_shares = np.full(N_RADII, 1 / N_RADII)
        variance, unpolar_variance = self._noise_variances()
        variances = np.full(N_RADII, variance)
        variances[0] = unpolar_variance
        argument = 2 * size[:, None] * self.radii / variances
        resultant = i1e(argument) / i0e(argument)
        log_rings = -((size[:, None] - self.radii) ** 2) / variances
        log_rings += np.log(i0e(argument)) + np.log(self.radius_shares + TINY)
        log_rings -= np.log(np.pi * variances)
        rotations = np.exp(2j * np.pi * np.arange(self.fold) / self.fold)
        points = (self.modes[:, None] * rotations).ravel()
        log_points = -(np.abs(self.displacement[:, None] - points) ** 2) / variance
        log_points += np.log(np.repeat(self.mode_shares, self.fold) / self.fold + TINY)
        log_points -= np.log(np.pi * variance)
        joint = np.concatenate([log_rings, log_points], axis=1)
        largest = joint.max(axis=1, keepdims=True)
        shares = np.exp(joint - largest)
        evidence = shares.sum(axis=1, keepdims=True)
        shares /= evidence
        self.log_evidence = largest[:, 0] + np.log(evidence[:, 0])
        of_rings, of_points = shares[:, :N_RADII], shares[:, N_RADII:]
        unit = self.displacement / np.maximum(size, TINY)
        self.expected = (of_rings * self.radii * resultant).sum(axis=1) * unit
        self.expected += of_points @ points
        self.squared = of_rings @ self.radii**2 + of_points @ np.abs(points) ** 2
        window_shares = self.window_weights[:, None] / self.total
        self.radius_shares = (window_shares * of_rings).sum(axis=0)
        self._update_noise_ratio(of_rings[:, 0])
        if len(self.modes):
            by_mode = (window_shares * of_points).reshape(len(size), -1, self.fold)
            self.mode_shares = by_mode.sum(axis=(0, 2))
            rotated_back = self.displacement[:, None] * rotations.conj()
            sums = np.einsum("nmk,nk->m", by_mode, rotated_back)
            self.modes = sums / np.maximum(self.mode_shares, TINY)
            self._shrink_rings()

    def _noise_variances(self):
        """Return the noise variances of windows with and without displacement."""
        share = self.radius_shares[0]
        variance = self.noise_variance / (1 + share * (self.noise_ratio - 1))
        return variance, variance * self.noise_ratio

    def _update_noise_ratio(self, unpolar_shares):
        """Estimate the ratio of the noise variances from the posterior."""
        overlap = (self.displacement * self.expected.conj()).real
        squared = np.abs(self.displacement) ** 2
        error = self.window_weights * (squared - 2 * overlap + self.squared)
        of_unpolar = self.window_weights * unpolar_shares
        n_unpolar = of_unpolar.sum()
        unpolar_error = of_unpolar @ squared
        n_polar = max(self.total - n_unpolar, 1.0)
        variance = max((error.sum() - unpolar_error) / n_polar, TINY)
        unpolar_error += _N_PRIOR_WINDOWS * variance
        self.noise_ratio = unpolar_error / (n_unpolar + _N_PRIOR_WINDOWS) / variance

    def _shrink_rings(self):
        """Subtract the weight of one independent window from every ring."""
        shares = self.radius_shares
        shares[1:] = np.maximum(shares[1:] - _WINDOWS_PER_SAMPLE / self.total, 0)
        total = shares.sum() + self.mode_shares.sum()
        self.radius_shares = shares / total
        self.mode_shares = self.mode_shares / total

    def with_modes(self, n_modes):
        """Return a copy with equally spaced modes from the mean direction on."""
        state = object.__new__(_State)
        state.__dict__.update(self.__dict__)
        size = np.abs(self.displacement)
        unit = self.displacement / np.maximum(size, TINY)
        moment = (self.window_weights * size**2 * unit**self.fold).sum()
        first = np.angle(moment) / self.fold
        between = np.arange(n_modes) * 2 * np.pi / (self.fold * n_modes)
        state.modes = np.median(size) * np.exp(1j * (first + between))
        state.mode_shares = np.full(n_modes, 0.5 / n_modes)
        state.radius_shares = 0.5 * self.radius_shares
        state._expect()
        return state

    def cosine(self, other):
        """Return the cosine of the angle between the pattern and another."""
        lengths = np.linalg.norm(self.pattern) * np.linalg.norm(other)
        return (self.pattern @ other) / lengths

    def is_significant(self):
        """Return whether the displacements are significant."""
        length = np.sqrt(self.radius_shares @ self.radii**2)
        signal = length / np.sqrt(self.noise_variance)
        return signal > _LEAST_SIGNAL_RATIO and self.gain() > _LEAST_GAIN_NATS

    def gain(self):
        """Return the mean log-density of displacements minus that of normal ones."""
        normal = -np.log(np.pi * self.length() ** 2) - 1
        return (self.window_weights * self.log_evidence).sum() / self.total - normal

    def length(self):
        """Return the root mean square of the estimated displacements."""
        squared = self.window_weights * np.abs(self.displacement) ** 2
        return np.sqrt(squared.sum() / self.total)

    def has_common_length(self):
        """Return whether the displacements vary less in length than normal noise."""
        standard_error = 2 / np.sqrt(self.total)
        return self._kurtosis() < 2 - _LEAST_KURTOSIS_STEP * standard_error

    def _kurtosis(self):
        squared = np.abs(self.displacement) ** 2
        mean, fourth = (
            (self.window_weights * power).sum() / self.total
            for power in (squared, squared**2)
        )
        return fourth / mean**2

    def use_common_length(self):
        """Compute noise and length of the displacements from their moments.

        With the squared length as a fraction f of the mean square, the kurtosis is
        2 - f². The noise and several lengths together are not determined by estimates
        whose distribution is nearly normal; they keep their initial ratio.
        """
        squared = self.length() ** 2
        # a noise of 0 would leave no width
        fraction = min(np.sqrt(2 - self._kurtosis()), 0.99)
        self.noise_variance = (1 - fraction) * squared
        self.noise_ratio = 1.0
        self.radii = np.linspace(0, np.sqrt(fraction * squared), N_RADII)
        self.radius_shares = np.zeros(N_RADII)
        self.radius_shares[-1] = 1.0

    def log_likelihood(self):
        """Return the mean log-density of the windows."""
        solved = self.scores @ self.noise_inverse
        rest = (self.scores.conj() * solved).sum(axis=1).real
        rest -= np.abs(self.displacement) ** 2 / self.noise_variance
        rest += self.noise_log_determinant - np.log(np.pi * self.noise_variance)
        return (self.window_weights * (self.log_evidence - rest)).sum() / self.total

    def distribution(self):
        """Return the distribution of displacements as buffers of the model."""
        modes = np.zeros((N_MODES, 2))
        shares = np.zeros(N_MODES)
        order = np.argsort(-self.mode_shares)
        period = 2 * np.pi / self.fold
        for place, number in enumerate(order):
            mode = self.modes[number]
            angle = np.angle(mode)
            if place == 0:
                reference = np.mod(angle + period / 2, period) - period / 2
            # each mode is represented by its point nearest to the first mode
            off = angle - reference
            off = np.mod(off + period / 2, period) - period / 2
            mode = np.abs(mode) * np.exp(1j * (reference + off))
            modes[place] = mode.real, mode.imag
            shares[place] = self.mode_shares[number]
        variance, unpolar_variance = self._noise_variances()
        return {
            "noise_variance": variance,
            "unpolar_noise_variance": unpolar_variance,
            "radii": self.radii,
            "radius_shares": self.radius_shares,
            "modes": modes,
            "mode_shares": shares,
            "reference": reference if len(order) else 0.0,
        }
