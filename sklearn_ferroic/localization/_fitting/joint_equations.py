"""Joint Gauss-Newton steps of overlapping columns and of the background under them.

The normal equations of a joint fit couple columns that overlap, and every column with
the background. They are those of the image in bins in which columns remain resolved;
the gradient is that of the pixels, so that the bins change how many rounds a fit takes,
not where it ends.
"""

import numpy as np
from scipy.sparse import csr_array, diags_array, kron
from scipy.sparse.linalg import LinearOperator, cg

from ..._image.pixels import sum_blocks
from .background import bin_sides
from .error_calibration import (
    deformation_orders,
    split_by_height,
)
from .profiles import AMPLITUDE, N_COMMON, POSITION, SIGMA
from .settings import FITTING

_SETTINGS = FITTING.joint_equations
_ERRORS = FITTING.error_calibration


class JointEquations:
    """Normal equations of the columns of an image and of its background.

    The background is linear between the nodes of a coarse grid.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    spacing : float
        Nearest-neighbour spacing, px.
    overlap : float
        Strength of the overlap of the columns, 0 to 1.
    """

    def __init__(self, windows, spacing, overlap):
        self.windows = windows
        self.side, coarse = bin_sides(spacing, windows.unit)
        self.shape = [-(-length // self.side) for length in windows.image_shape]
        distance = (
            np.interp(overlap, (0, 1), _SETTINGS.node_distances_spacings) * spacing
        )
        n_nodes = [max(2, round(n / distance) + 1) for n in windows.image_shape]
        self.images = _BinnedImages(self.shape, self.side, windows.unit)
        self.bins = self._basis(self.side, n_nodes)
        self.coarse = self._basis(self.side * coarse, n_nodes)
        self.transposed = self.bins.T.tocsr()
        self.differences = _differences(n_nodes)

    def _basis(self, side, n_nodes):
        """Return the functions of all nodes at the centres of square bins."""
        parts = []
        for length, n in zip(self.windows.image_shape, n_nodes, strict=True):
            centers = side * np.arange(-(-length // side)) + (side - 1) / 2
            parts.append(_hats(centers * (n - 1) / (length - 1), n))
        return kron(*parts, format="csr")

    def level(self, values, shape):
        """Return the background on the coarse pixels for values at the nodes."""
        return (self.coarse @ values).reshape(shape)

    def solve(self, pixels, state, single, damping):
        """Solve the equations, damped after Levenberg and Marquardt.

        Parameters
        ----------
        pixels : Pixels
            Weights and weighted residuals.
        state : ColumnState
            The columns, and the covariance of each by itself.
        single : ndarray of shape (n, n_parameters)
            Solution for each column by itself.
        damping : float
            Share by which the blocks of single columns and nodes are enlarged.

        Returns
        -------
        step : ndarray of shape (n, n_parameters)
            Step of the columns.
        change : ndarray of shape (n_nodes,)
            Step of the background at its nodes.
        """
        system = _System(self, pixels, state, damping)
        weighted = pixels.weighted.copy()
        pixels.clip_weighted(weighted)
        weighted = sum_blocks(weighted[self.windows.crop], self.side).ravel()
        gradient = (system.normal @ single[:, :, None])[:, :, 0]
        return system.solve(gradient, self.transposed @ weighted)

    def errors(self, pixels, state):
        """Compute how the overlap of columns changes their errors and the residual.

        White noise is propagated through the fit.

        Parameters
        ----------
        pixels : Pixels
            Weights of the pixels.
        state : ColumnState
            The columns, and the covariance of each by itself.

        Returns
        -------
        inflation : ndarray of shape (n,)
            Variance of the positions over that of each column by itself, for each kind
            of columns.
        remaining : ndarray of shape (n, 3)
            Mean squared projections of the residual on deformations, over those of the
            noise.
        """
        table = state.table
        system = _System(self, pixels, state, _SETTINGS.probe_damping_ratio)
        # Unit variance, were the noise white and as estimated.
        unit = np.sqrt(np.maximum(system.weight, 1e-30))
        rng = np.random.default_rng(0)
        squares, left = [], []
        for _ in range(_SETTINGS.n_simulations):
            square, rest = self._fit_noise(system, rng.normal(size=unit.shape) * unit)
            squares.append(square)
            left.append(rest)
        single, usable = self._single_variance(system, state)
        orders = deformation_orders(state.fits_shape)
        inflation, remaining = np.ones(len(table)), np.ones((len(table), len(orders)))
        for kind, rows in _usable_of_kinds(table, usable):
            scatter = np.mean(squares, axis=0)[rows] / single[rows]
            inflation[kind] = scatter.mean()
            rows = rows[:: max(1, len(rows) // _ERRORS.n_projected_columns)]
            remaining[kind] = [
                _remaining_share(modes, system.weight, left)
                for modes in self.images.modes(table, rows, orders)
            ]
        return inflation, remaining

    def errors_by_spectrum(self, pixels, state):
        """Compute the effect of overlap and of correlated noise on the errors.

        Noise of the spectrum that explains the residual is propagated through the
        fit. The spectrum is found in a few rounds, for a fit absorbs most of the noise
        in the band of the columns. Kinds of columns, by height, are then compared by
        the quadrupoles in the residual under them.

        Parameters
        ----------
        pixels : Pixels
            Weights and weighted residuals.
        state : ColumnState
            The columns, and the covariance of each by itself.

        Returns
        -------
        inflation : ndarray of shape (n,)
            Variance of the positions over that of each column by itself.
        """
        table = state.table
        system = _System(self, pixels, state, _SETTINGS.probe_damping_ratio)
        weighted = pixels.weighted.copy()
        pixels.clip_weighted(weighted)
        weighted = sum_blocks(weighted[self.windows.crop], self.side).ravel()
        # Unit variance, were the noise white and as estimated.
        unit = np.sqrt(np.maximum(system.weight, 1e-30))
        spectrum = _RadialSpectrum(self.shape)
        seen = spectrum.measure(weighted / unit)
        power = np.ones_like(seen)
        rng = np.random.default_rng(0)
        squares, left = [], []
        for number in range(_SETTINGS.n_spectrum_rounds + _SETTINGS.n_simulations):
            noise = spectrum.draw(power, rng).ravel() * unit
            square, rest = self._fit_noise(system, noise)
            if number < _SETTINGS.n_spectrum_rounds:
                remaining = spectrum.measure(rest / unit)
                power = power * spectrum.smooth_ratio(seen, remaining, power)
            else:
                squares.append(square)
                left.append(rest)
        single, usable = self._single_variance(system, state)
        inflation = np.ones(len(table))
        orders = deformation_orders(state.fits_shape)[:1]
        for kind, rows in _usable_of_kinds(table, usable):
            scatter = np.mean(squares, axis=0)[rows] / single[rows]
            rows = rows[:: max(1, len(rows) // _ERRORS.n_projected_columns)]
            (modes,) = self.images.modes(table, rows, orders)
            inflation[kind] = scatter.mean() * _projected_ratio(modes, weighted, left)
        return inflation

    def _fit_noise(self, system, noise):
        """Return the squared displacements by noise, and the noise after the fit."""
        own, below = system.solve(
            (system.slope @ noise).reshape(len(system.known), -1),
            self.transposed @ noise,
        )
        rest = noise - system.weight * system.image(own, below)
        return own[:, POSITION] ** 2, rest

    def _single_variance(self, system, state):
        """Return the variances of columns by themselves, and which of them count."""
        single = np.einsum("nii->ni", state.covariance)[:, POSITION]
        return single, self.windows.whole & system.known & (single > 0).all(axis=1)


def _usable_of_kinds(table, usable):
    """Yield masks of bright and of faint columns, with the usable ones among them."""
    is_bright = split_by_height(table.amplitude)
    for kind in (is_bright, ~is_bright):
        rows = np.flatnonzero(usable & kind)
        if rows.size:
            yield kind, rows


def _remaining_share(modes, weight, left):
    """Return the mean squared projections of what a fit leaves of white noise."""
    squares = [((mode @ rest) ** 2).mean() for mode in modes for rest in left]
    power = [(mode.power(2) @ weight).mean() for mode in modes]
    share = np.mean(squares) / max(np.mean(power), 1e-30)
    return max(share, _SETTINGS.min_remaining_share)


def _projected_ratio(modes, observed, simulated):
    """Return the ratio of mean squared projections, 1 if it is not significant."""
    seen = [mode @ observed for mode in modes]
    # Deformations that all columns have in common displace none of them.
    seen = np.concatenate([part - np.median(part) for part in seen])
    if not seen.any():  # one column alone
        return 1.0
    expected = np.concatenate([mode @ rest for rest in simulated for mode in modes])
    limit = _ERRORS.max_square_ratio * max(float(np.median(seen**2)), 1e-30)
    ratio = np.minimum(seen**2, limit).mean() / max((expected**2).mean(), 1e-30)
    std = np.sqrt(2 / len(seen) + 2 / len(expected))
    return (
        ratio
        if abs(np.log(max(ratio, 1e-30))) > _ERRORS.min_significance_std * std
        else 1.0
    )


class _RadialSpectrum:
    """Power spectra of images as functions of the frequency."""

    def __init__(self, shape):
        self.shape = tuple(shape)
        rows = np.fft.fftfreq(self.shape[0])[:, None]
        frequency = np.hypot(rows, np.fft.rfftfreq(self.shape[1]))
        n_rings = int(np.clip(min(self.shape) // 8, 3, _SETTINGS.max_n_rings))
        self.ring = np.minimum((2 * n_rings * frequency).astype(np.intp), n_rings)
        self.size = np.maximum(np.bincount(self.ring.ravel()), 1)
        self.window = np.outer(*(np.hanning(n + 2)[1:-1] for n in self.shape))

    def measure(self, image):
        """Return the median power of each ring: robust against reflections."""
        # A window keeps reflections of the lattice out of the frequencies around.
        image = image.reshape(self.shape) * self.window
        power = np.abs(np.fft.rfft2(image)) ** 2
        power = power.ravel() / np.sum(self.window**2)
        order = np.argsort(self.ring.ravel(), kind="stable")
        rings = np.split(power[order], np.cumsum(self.size)[:-1])
        # The median of an exponential distribution is log 2 of its mean.
        return np.array([np.median(ring) for ring in rings]) / np.log(2)

    def smooth_ratio(self, seen, remaining, power):
        """Return the ratio of two spectra as a Gaussian of the frequency.

        Rings count by how much of the noise, of the given power, remains in them.
        """
        known = (seen > 0) & (remaining > 0)
        ratio = np.log(seen[known] / remaining[known])
        weight = np.sqrt(self.size[known]) * np.minimum(remaining / power, 1)[known]
        square = (np.arange(len(seen)) + 0.5) ** 2 / len(seen) ** 2
        design = np.stack([np.ones_like(ratio), square[known]], axis=1)
        slope, *_ = np.linalg.lstsq(
            design * weight[:, None], ratio * weight, rcond=None
        )
        log_ratio = slope[0] + slope[1] * square
        return np.exp(np.clip(log_ratio, *np.log(_SETTINGS.spectrum_ratio_range)))

    def draw(self, power, rng):
        """Draw noise of a spectrum."""
        white = np.fft.rfft2(rng.normal(size=self.shape))
        return np.fft.irfft2(white * np.sqrt(power)[self.ring], self.shape)


class _System:
    """The equations for the columns and weights as they are."""

    def __init__(self, equations, pixels, state, damping):
        self.equations = equations
        self.n, self.n_parameters = len(state.table), state.n_parameters
        # Columns off the image are not determined by the pixels: they do not step.
        height = np.median(state.table.amplitude)
        self.known = (state.std[:, AMPLITUDE] < height) & ~state.is_rejected
        crop = equations.windows.crop
        self.weight = sum_blocks(pixels.weight[crop], equations.side).ravel()
        self.slope = equations.images.derivatives(
            state.table, self.n_parameters, self.known
        )
        is_known = self.known[:, None, None]
        inverse = np.where(is_known, state.covariance, np.eye(self.n_parameters))
        self.normal = np.linalg.inv(inverse)
        self.prior = state.prior_precision.ravel()
        self.inverse = inverse / (1 + damping)
        self.damping = damping
        power = equations.transposed @ diags_array(self.weight) @ equations.bins
        scale = power.diagonal()
        extra = _SETTINGS.smoothness_ratio * scale.mean() * equations.differences
        self.extra = (extra + diags_array(damping * scale + 1e-30)).tocsr()
        self.node_inverse = 1 / (scale + self.extra.diagonal())

    def image(self, own, below):
        """Return the change of the binned image by changes of all parameters."""
        return self.slope.T @ own.ravel() + self.equations.bins @ below

    def solve(self, own, below):
        """Solve for right-hand sides of columns and nodes by conjugate gradients."""
        right = np.concatenate([(own * self.known[:, None]).ravel(), below])
        shape, size = (len(right),) * 2, self.n * self.n_parameters
        block = (self.n, self.n_parameters, 1)

        def multiply(vector):
            own, below = vector[:size], vector[size:]
            image = self.weight * self.image(own, below)
            damped = self.damping * (self.normal @ own.reshape(block)).ravel()
            nodes = self.equations.transposed @ image + self.extra @ below
            columns = self.slope @ image + damped + self.prior * own
            return np.concatenate([columns, nodes])

        def precondition(vector):
            own = self.inverse @ vector[:size].reshape(block)
            return np.concatenate([own.ravel(), self.node_inverse * vector[size:]])

        solution, _ = cg(
            LinearOperator(shape, multiply, dtype=right.dtype),
            right,
            rtol=_SETTINGS.tolerance_share,
            maxiter=_SETTINGS.max_n_iterations,
            M=LinearOperator(shape, precondition, dtype=right.dtype),
        )
        solution = np.where(np.isfinite(solution), solution, 0)
        own = solution[:size].reshape(block[:2]) * self.known[:, None]
        return own, solution[size:]


class _BinnedImages:
    """Images of single columns in bins: derivatives and deformations, sparse."""

    def __init__(self, shape, side, unit):
        self.shape, self.side = shape, side
        binned_sigma = np.sqrt(unit**2 + (side**2 - 1) / 12) / side
        self.reach = int(np.ceil(_SETTINGS.derivative_reach_sigma * binned_sigma))

    def derivatives(self, table, n_parameters, known):
        """Return the derivatives of the image with respect to all parameters."""
        value, down, along, sigma, index = self._profiles(table)
        value *= known[:, None, None]
        height = table.amplitude[:, None, None] / (self.side * sigma)
        down, along = down[:, :, None], along[:, None]
        data = np.zeros((len(table), n_parameters, *value.shape[1:]))
        if not table.profile.is_gaussian:
            data[:] = self._sampled(table, down, along, sigma, known)[:, :n_parameters]
            return self._sparse(data, index)
        data[:, AMPLITUDE] = value
        data[:, 1] = value * height * down
        data[:, 2] = value * height * along
        data[:, SIGMA] = value * height * (down**2 + along**2)
        if n_parameters > N_COMMON:
            height = 0.5 * table.amplitude[:, None, None]
            data[:, N_COMMON] = value * height * (along**2 - down**2)
            data[:, N_COMMON + 1] = value * height * 2 * down * along
        return self._sparse(data, index)

    def _sampled(self, table, down, along, sigma, known):
        """Return derivatives of other profiles at the centres of the bins."""
        unit = self.side * sigma
        row, col = np.broadcast_arrays(down * unit, along * unit)
        pixels = row.reshape(len(table), -1), col.reshape(len(table), -1)
        column_sigma = table.sigma[:, None]
        slopes = table.profile.derivatives(*pixels, column_sigma, table.shape)
        slopes = table.amplitude[:, None, None] * slopes
        value = table.profile.value(*pixels, column_sigma, table.shape)
        data = np.concatenate([value[:, None], slopes], axis=1) * known[:, None, None]
        return data.reshape(len(table), -1, *row.shape[1:])

    def modes(self, table, rows, orders):
        """Return two deformations of each order under some columns."""
        shape, u, v, _, index = self._profiles(table.take(rows))
        place = v[:, None] + 1j * u[:, :, None]
        return [
            [
                self._sparse((shape * mode)[:, None], index)
                for mode in ((place**order).real, (place**order).imag)
            ]
            for order in orders
        ]

    def _profiles(self, table):
        """Return columns of unit height, offsets in sigmas, sigmas, and the bins."""
        binned = table.binned(self.side)
        steps = np.arange(-self.reach, self.reach + 1)
        middle = np.rint(binned.positions).astype(np.intp)
        place = middle[:, :, None] + steps
        last = np.array(self.shape)[:, None] - 1
        inside = (place >= 0) & (place <= last)
        place = np.clip(place, 0, last)
        sigma = binned.sigma[:, None]
        offset = (place - binned.positions[:, :, None]) / sigma[:, None]
        profile = np.exp(-0.5 * offset**2) * inside
        value = profile[:, 0, :, None] * profile[:, 1, None]
        # Means over bins are lower than the columns.
        height = table.amplitude
        share = np.divide(
            binned.amplitude, height, out=np.ones_like(height), where=height > 0
        )
        value *= share[:, None, None]
        index = place[:, 0, :, None] * self.shape[1] + place[:, 1, None]
        return value, offset[:, 0], offset[:, 1], sigma[:, :, None], index

    def _sparse(self, data, index):
        """Return the images as rows of a sparse matrix."""
        n_rows, n_pixels = data.shape[0] * data.shape[1], index[0].size
        index = np.repeat(index.reshape(len(index), 1, -1), data.shape[1], axis=1)
        start = n_pixels * np.arange(n_rows + 1)
        size = (n_rows, self.shape[0] * self.shape[1])
        return csr_array((data.ravel(), index.ravel(), start), shape=size)


def _hats(place, n_nodes):
    """Return the linear basis functions of nodes 0, 1, ... at places, sparse."""
    place = np.clip(place, 0, n_nodes - 1)
    before = np.minimum(place.astype(np.intp), n_nodes - 2)
    after = place - before
    data = np.stack([1 - after, after], axis=1).ravel()
    index = np.stack([before, before + 1], axis=1).ravel()
    start = 2 * np.arange(len(place) + 1)
    return csr_array((data, index, start), shape=(len(place), n_nodes))


def _differences(n_nodes):
    """Return the matrix of the squared differences between neighbouring nodes."""
    parts = []
    for n in n_nodes:
        ones = np.ones(n - 1)
        step = diags_array([-ones, ones], offsets=[0, 1], shape=(n - 1, n))
        parts.append(step.T @ step)
    eye = [diags_array(np.ones(n)) for n in n_nodes]
    return kron(parts[0], eye[1]) + kron(eye[0], parts[1])
