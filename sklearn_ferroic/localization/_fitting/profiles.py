"""Profiles of columns: their values, derivatives and bounds.

A profile is one class. It defines the number of shape parameters besides amplitude,
position and sigma, and computes values and derivatives, which is all that a fit needs.
The logarithm of a Gaussian is a quadratic polynomial of the pixel coordinates, and so
are, over the Gaussian itself, its derivatives. The monomials are the same for all
columns: sums over windows are then one matrix product for all columns, with six
coefficients for each of them.
"""

from abc import ABC, abstractmethod

import numpy as np

# Order of the parameters in steps, covariances and priors; shape parameters follow.
AMPLITUDE, POSITION, SIGMA, SHAPE = 0, slice(1, 3), 3, slice(4, None)
N_COMMON = 4
# Powers of row and col step: of a quadratic, and of the product of two.
QUADRATIC = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
QUARTIC = np.array([[i - j, j] for i in range(5) for j in range(i + 1)])
_INDEX = {tuple(powers): index for index, powers in enumerate(QUARTIC.tolist())}
# Index of the product of two quadratic monomials among the quartic ones.
_PRODUCT = np.array([[_INDEX[tuple(a + b)] for b in QUADRATIC] for a in QUADRATIC])
# Smaller exponentials are negligible, and subnormal numbers are slow.
_MIN_LOG_VALUE = -20
# Longest ellipse that is fitted, as the ratio of its axes: unresolved pairs are longer.
MAX_AXIS_RATIO = 2.5


class ColumnProfile(ABC):
    """Profile of columns: subclasses implement `value` and `derivatives`.

    Instances of one class are equal if all their attributes are, so that profiles of
    different constants are not taken for each other.

    Columns with centres (r, c) contribute ``amplitude * value(row - r, col - c, sigma,
    shape)`` to the image. The value is 1 at the centre.

    Attributes
    ----------
    n_shape : int
        Number of shape parameters besides sigma.
    shape_start, shape_low, shape_high : tuple of float of length `n_shape`
        Shape parameters that a fit starts from, and their bounds.
    max_shape_step : float
        Largest change of a shape parameter in one step of the fit.
    reach_sigma : float
        Radius of the windows in which columns are fitted, in typical sigmas.
    is_separable : bool
        Whether a column is a product of two Gaussians along rows and columns.
    is_gaussian : bool
        Whether columns are round or elliptical Gaussians.
    stretched : ColumnProfile or None
        Profile for columns that are all stretched alike; None if not supported.
    """

    n_shape = 0
    shape_start = shape_low = shape_high = ()
    max_shape_step = 0.3
    # One per cent of the information on a Gaussian lies farther out.
    reach_sigma = 3.5
    is_separable = False
    is_gaussian = False
    stretched = None

    def __eq__(self, other):
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self):
        return hash(type(self))

    @property
    def n_parameters(self):
        """Number of parameters of a column in a fit."""
        return N_COMMON + self.n_shape

    @abstractmethod
    def value(self, row, col, sigma, shape):
        """Compute columns of unit amplitude.

        Parameters
        ----------
        row, col : ndarray of shape (n, n_pixels)
            Distances of the pixels from the centres, px.
        sigma : ndarray of shape (n, 1)
            Widths, px.
        shape : ndarray of shape (n, n_shape)
            Shape parameters.

        Returns
        -------
        value : ndarray of shape (n, n_pixels)
            Values at the pixels.
        """

    @abstractmethod
    def derivatives(self, row, col, sigma, shape):
        """Compute the derivatives of columns of unit amplitude.

        Parameters
        ----------
        row, col, sigma, shape
            As in `value`.

        Returns
        -------
        derivatives : ndarray of shape (n, 3 + n_shape, n_pixels)
            Derivatives with respect to row and col of the centre, sigma and the shape
            parameters.
        """

    def clip_shape(self, shape):
        """Return shape parameters within their bounds."""
        return np.clip(shape, self.shape_low, self.shape_high)

    def is_at_bound(self, shape):
        """Check which columns have a shape parameter at a bound."""
        low, high = np.array(self.shape_low), np.array(self.shape_high)
        margin = 1e-3 * (high - low)
        return ((shape < low + margin) | (shape > high - margin)).any(axis=1)

    def ellipse(self, shape):
        """Return axis ratios and angles of columns; None if they are round."""
        return None

    def on_windows(self, table, windows, rows):
        """Compute columns of unit amplitude on their windows, float32.

        Parameters
        ----------
        table : ColumnTable
            The columns of the windows.
        windows : ColumnWindows
            Windows of all columns.
        rows : ndarray of int of shape (n,)
            Windows of the columns in `table`.
        """
        offset = _offsets(table, windows, rows)
        value = self.value(*offset, table.sigma[:, None], table.shape)
        return value.astype(np.float32)

    def derivatives_on_windows(self, table, windows, rows):
        """Compute the derivatives by all parameters, (n, n_parameters, n_pixels)."""
        offset = _offsets(table, windows, rows)
        sigma = table.sigma[:, None]
        value = self.value(*offset, sigma, table.shape)
        slope = self.derivatives(*offset, sigma, table.shape)
        height = table.amplitude[:, None, None]
        return np.concatenate([value[:, None], height * slope], axis=1)

    def gradient_moments(self, table, windows, rows, values, weighted_residual):
        """Sum a weighted residual over windows such that gradients follow from it."""
        slope = self.derivatives_on_windows(table, windows, rows)
        return np.einsum("npk,nk->np", slope, weighted_residual * windows.disc)

    def information_moments(self, table, windows, rows, values, weight):
        """Sum weights over windows such that the Fisher information follows from it."""
        slope = self.derivatives_on_windows(table, windows, rows)
        return np.einsum(
            "npk,nqk->npq", slope * (weight * windows.disc)[:, None], slope
        )

    def normal_equations(self, table, anchor, unit, gradient, information, n_fitted):
        """Return gradient and information of parameters for sums over windows.

        Parameters
        ----------
        table : ColumnTable
            The columns.
        anchor : ndarray of shape (n, 2)
            Origins of the coordinates of each window, px.
        unit : float
            Unit of these coordinates, px.
        gradient, information : ndarray
            Results of `gradient_moments` and of `information_moments`, which may be
            None.
        n_fitted : int
            Number of parameters that are fitted, the first ones.

        Returns
        -------
        gradient : ndarray of shape (n, n_fitted)
            Derivative of the logarithm of the likelihood.
        information : ndarray of shape (n, n_fitted, n_fitted) or None
            Fisher information; None if no sums are given.
        """
        gradient = gradient[:, :n_fitted]
        if information is not None:
            information = information[:, :n_fitted, :n_fitted]
        return gradient, information

    def shape_equations(self, table, anchor, unit, gradient, information):
        """Return gradient and diagonal information of the shape parameters.

        Parameters
        ----------
        table, anchor, unit, gradient, information
            As in `normal_equations`.
        """
        return gradient[:, SHAPE], np.einsum("nii->ni", information)[:, SHAPE]

    def leverage(self, table, windows, rows, factor, values, disc):
        """Compute the squared norm of projected derivatives at pixels of windows.

        Parameters
        ----------
        table, windows, rows
            As in `on_windows`.
        factor : ndarray of shape (n, n_fitted, n_fitted)
            Root of the covariance of each column, its transpose on the right.
        values : ndarray of shape (n, n_disc_pixels)
            Columns of unit amplitude in the disc.
        disc : ndarray of bool of shape (n_pixels,)
            Pixels of the windows.
        """
        slope = self.derivatives_on_windows(table, windows, rows)
        slope = slope[:, : factor.shape[1], disc]
        return np.square(factor.transpose(0, 2, 1) @ slope).sum(axis=1)


def _offsets(table, windows, rows):
    """Return the distances of pixels from the centres along rows and along columns."""
    offset = windows.anchor[rows] - table.positions
    return windows.row_step + offset[:, :1], windows.col_step + offset[:, 1:]


class GaussianProfile(ColumnProfile):
    """Gaussian columns: exponentials of quadratic polynomials.

    Subclasses implement the polynomials, `exponents` and `slopes`.
    """

    is_gaussian = True

    @abstractmethod
    def exponents(self, table, anchor, unit):
        """Compute the polynomials whose exponentials are columns of unit amplitude.

        Parameters
        ----------
        table : ColumnTable
            The columns.
        anchor : ndarray of shape (n, 2)
            Origins of the coordinates of each column, px.
        unit : float
            Unit of the coordinates, px.

        Returns
        -------
        exponents : ndarray of shape (n, 6)
            Coefficients of the quadratic monomials.
        """

    @abstractmethod
    def slopes(self, table, anchor, unit):
        """Compute the polynomials of the derivatives, over columns of unit amplitude.

        Parameters
        ----------
        table, anchor, unit
            As in `exponents`.

        Returns
        -------
        slopes : ndarray of shape (n, n_parameters, 6)
            Coefficients for the derivative by each parameter.
        """

    def value(self, row, col, sigma, shape):
        rows, cross, cols = self._whitening(1 / sigma, shape)
        u, v = rows * row + cross * col, cross * row + cols * col
        return np.exp(-0.5 * (u * u + v * v))

    def _whitening(self, root, shape):
        """Return the elements of the root of the inverse covariance for 1 / sigma."""
        return root, np.zeros_like(root), root

    def derivatives(self, row, col, sigma, shape):
        rows, cross, cols = self._whitening(1 / sigma, shape)
        u, v = rows * row + cross * col, cross * row + cols * col
        slopes = [rows * u + cross * v, cross * u + cols * v, (u * u + v * v) / sigma]
        if self.n_shape:
            slopes += [0.5 * (v * v - u * u), u * v]
        value = np.exp(-0.5 * (u * u + v * v))
        return np.stack([slope * value for slope in slopes], axis=1)

    def on_windows(self, table, windows, rows):
        exponent = self.exponents(table, windows.anchor[rows], windows.unit)
        value = exponent.astype(np.float32) @ windows.quadratic
        np.maximum(value, np.float32(_MIN_LOG_VALUE), out=value)
        return np.exp(value, out=value)

    def gradient_moments(self, table, windows, rows, values, weighted_residual):
        weighted_residual *= values
        return (weighted_residual @ windows.quadratic_on_disc).astype(np.float64)

    def information_moments(self, table, windows, rows, values, weight):
        weight *= values
        weight *= values
        return (weight @ windows.quartic_on_disc).astype(np.float64)

    def normal_equations(self, table, anchor, unit, gradient, information, n_fitted):
        slope = self.slopes(table, anchor, unit)[:, :n_fitted]
        gradient = (slope @ gradient[:, :, None])[:, :, 0]
        if information is not None:
            information = slope @ information[:, _PRODUCT] @ slope.transpose(0, 2, 1)
        return gradient, information

    def shape_equations(self, table, anchor, unit, gradient, information):
        slope = self.slopes(table, anchor, unit)[:, SHAPE]
        gradient = (slope @ gradient[:, :, None])[:, :, 0]
        moments = information[:, _PRODUCT]
        return gradient, np.einsum("nai,nij,naj->na", slope, moments, slope)

    def leverage(self, table, windows, rows, factor, values, disc):
        slope = self.slopes(table, windows.anchor[rows], windows.unit)
        parts = factor.transpose(0, 2, 1) @ slope[:, : factor.shape[1]]
        leverage = np.square(parts.astype(np.float32) @ windows.quadratic[:, disc])
        return leverage.sum(axis=1) * values**2


class RoundGaussian(GaussianProfile):
    """Round Gaussians."""

    is_separable = True

    @property
    def stretched(self):
        """Profile of columns that are all stretched alike."""
        return ELLIPTICAL_GAUSSIAN

    def exponents(self, table, anchor, unit):
        offset = (table.positions - anchor) / unit
        exponent = np.empty((len(table), len(QUADRATIC)))
        exponent[:, 0] = np.einsum("ni,ni->n", offset, offset)
        exponent[:, 1:3] = -2 * offset
        exponent[:, 3:] = 1, 0, 1
        exponent *= -0.5 * (unit / table.sigma[:, None]) ** 2
        return exponent

    def slopes(self, table, anchor, unit):
        height, sigma = table.amplitude[:, None], table.sigma[:, None]
        slope = np.zeros((len(table), N_COMMON, len(QUADRATIC)))
        slope[:, AMPLITUDE, 0] = 1
        # The exponent depends on the distance from the centre only.
        exponent = self.exponents(table, anchor, unit)
        slope[:, [1, 2], 0] = -height / unit * exponent[:, 1:3]
        slope[:, [1, 2], [1, 2]] = -2 * height / unit * exponent[:, 3:4]
        slope[:, SIGMA] = -2 * height / sigma * exponent
        return slope


class EllipticalGaussian(GaussianProfile):
    """Elliptical Gaussians; sigma is the geometric mean of those along the axes.

    The shape parameters are the stretch: the logarithm of the ratio of the axes, and
    twice the angle of the long axis, as a vector. Derivatives by the stretch are exact
    for round columns, and close enough for the steps of a fit for others.
    """

    n_shape = 2
    shape_start = (0.0, 0.0)

    @property
    def stretched(self):
        """Profile of columns that are all stretched alike."""
        return self

    def clip_shape(self, shape):
        """Return shape parameters with a bounded ratio of the axes."""
        limit = np.log(MAX_AXIS_RATIO)
        return shape * (limit / np.maximum(np.hypot(*shape.T)[:, None], limit))

    def is_at_bound(self, shape):
        """Check which columns have the largest ratio of the axes."""
        return ~(self.ellipse(shape)[:, 0] < 0.99 * MAX_AXIS_RATIO)

    def ellipse(self, shape):
        """Return axis ratios and angles of columns.

        Parameters
        ----------
        shape : ndarray of shape (n, 2)
            Stretch of each column.

        Returns
        -------
        ellipse : ndarray of shape (n, 2)
            Long over short axis, at least 1, and angle of the long axis, radians in
            [-π/2, π/2), from +col towards +row.
        """
        along_col, diagonal = shape.T
        angle = 0.5 * np.arctan2(diagonal, along_col)
        angle = np.where(angle >= np.pi / 2, -np.pi / 2, angle)
        return np.stack([np.exp(np.hypot(along_col, diagonal)), angle], axis=1)

    def exponents(self, table, anchor, unit):
        _, u, v = self._coordinates(table, anchor, unit)
        return -0.5 * (_product(u, u) + _product(v, v))

    def slopes(self, table, anchor, unit):
        height, sigma = table.amplitude[:, None], table.sigma[:, None]
        slope = np.zeros((len(table), self.n_parameters, len(QUADRATIC)))
        slope[:, AMPLITUDE, 0] = 1
        (rows, cross, cols), u, v = self._coordinates(table, anchor, unit)
        slope[:, 1, :3] = height / unit * (rows * u + cross * v)
        slope[:, 2, :3] = height / unit * (cross * u + cols * v)
        uu, vv = _product(u, u), _product(v, v)
        slope[:, SIGMA] = height / sigma * (uu + vv)
        slope[:, SIGMA + 1] = height * 0.5 * (vv - uu)
        slope[:, SIGMA + 2] = height * _product(u, v)
        return slope

    def _whitening(self, root, shape):
        along_col, diagonal = shape.T[:, :, None]
        half = 0.5 * np.hypot(along_col, diagonal)
        even = root * np.cosh(half)
        odd = 0.5 * root * np.sinh(half) / np.maximum(half, 1e-12)
        return even + odd * along_col, -odd * diagonal, even - odd * along_col

    def _coordinates(self, table, anchor, unit):
        """Return the root of the inverse covariance, and coordinates of unit sigma."""
        root = 1 / table.sigma[:, None] * unit
        rows, cross, cols = self._whitening(root, table.shape)
        offset = (table.positions - anchor) / unit
        row, col = offset[:, :1], offset[:, 1:]
        u = np.concatenate([-(rows * row + cross * col), rows, cross], axis=1)
        v = np.concatenate([-(cross * row + cols * col), cross, cols], axis=1)
        return (rows, cross, cols), u, v


ROUND_GAUSSIAN = RoundGaussian()
ELLIPTICAL_GAUSSIAN = EllipticalGaussian()
# Profiles by the values of the parameter `shape` of AtomLocator.
PROFILES = {"circular": ROUND_GAUSSIAN, "elliptical": ELLIPTICAL_GAUSSIAN}


def _product(a, b):
    """Return the coefficients of the product of two linear polynomials."""
    product = np.empty((len(a), len(QUADRATIC)))
    for index, (i, j) in enumerate([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]):
        product[:, index] = a[:, i] * b[:, j]
        if i != j:
            product[:, index] += a[:, j] * b[:, i]
    return product
