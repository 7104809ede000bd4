"""Tables of columns, and of their fits."""

from dataclasses import dataclass, replace

import numpy as np

from ..._image.context import ImageStatistics
from ..._image.pixels import at_pixels, bin_variance, unbin_sigma
from .profiles import AMPLITUDE, POSITION, ROUND_GAUSSIAN, SHAPE, SIGMA, ColumnProfile

_ARRAYS = ("amplitude", "positions", "sigma", "background", "shape")


@dataclass(frozen=True, eq=False)
class ColumnTable:
    """Parameters of columns.

    Tables are not changed in place: `replace` returns another one.

    Parameters
    ----------
    amplitude : ndarray of shape (n,)
        Heights above the background.
    positions : ndarray of shape (n, 2)
        Centres (row, col), px.
    sigma : ndarray of shape (n,)
        Widths, px.
    background : ndarray of shape (n,)
        Background at the centres.
    shape : ndarray of shape (n, profile.n_shape)
        Shape parameters of the profile.
    profile : ColumnProfile
        Profile of the columns.
    """

    amplitude: np.ndarray
    positions: np.ndarray
    sigma: np.ndarray
    background: np.ndarray
    shape: np.ndarray
    profile: ColumnProfile = ROUND_GAUSSIAN

    @classmethod
    def make(cls, amplitude, positions, sigma, background=0.0, profile=ROUND_GAUSSIAN):
        """Return a table of columns of default shape; scalars apply to all columns."""
        n = len(positions)
        amplitude, sigma, background = (
            np.full(n, values, dtype=np.float64)
            for values in (amplitude, sigma, background)
        )
        shape = np.tile(np.array(profile.shape_start, dtype=np.float64), (n, 1))
        return cls(amplitude, positions, sigma, background, shape, profile)

    @classmethod
    def at_peaks(cls, image, positions, height, sigma):
        """Return the table that a fit starts from at peaks of an image.

        Parameters
        ----------
        image : ndarray of shape (n_rows, n_cols)
            The image.
        positions : ndarray of shape (n, 2)
            Peaks, px.
        height : ndarray of shape (n,)
            Their heights above the background.
        sigma : float
            Typical sigma, px.
        """
        table = cls.make(height, positions, sigma)
        return table.replace(
            background=np.float64(at_pixels(image, positions) - height)
        )

    @classmethod
    def concatenate(cls, tables):
        """Return the columns of several tables; empty ones may differ in profile."""
        filled = [table for table in tables if len(table)] or tables[:1]
        arrays = (
            np.concatenate([getattr(table, name) for table in filled])
            for name in _ARRAYS
        )
        return cls(*arrays, filled[0].profile)

    def __len__(self):
        return len(self.amplitude)

    @property
    def parameters(self):
        """Parameters as an array of shape (n, 4 + n_shape), in the order of steps."""
        parameters = np.empty((len(self), self.profile.n_parameters))
        parameters[:, AMPLITUDE] = self.amplitude
        parameters[:, POSITION] = self.positions
        parameters[:, SIGMA] = self.sigma
        parameters[:, SHAPE] = self.shape
        return parameters

    def with_parameters(self, parameters):
        """Return a table with other parameters and the same backgrounds.

        Parameters
        ----------
        parameters : ndarray of shape (n, 4 + n_shape)
            Amplitude, row, col, sigma and shape parameters.
        """
        return ColumnTable(
            parameters[:, AMPLITUDE],
            parameters[:, POSITION],
            parameters[:, SIGMA],
            self.background,
            parameters[:, SHAPE],
            self.profile,
        )

    @property
    def is_known(self):
        """Whether each column has a fit: no parameter is NaN."""
        known = np.isfinite(self.amplitude) & np.isfinite(self.sigma)
        known &= np.isfinite(self.background)
        return known & np.isfinite(self.positions).all(axis=1)

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def take(self, rows):
        """Return some of the columns, by index, mask or slice."""
        return ColumnTable(
            self.amplitude[rows],
            self.positions[rows],
            self.sigma[rows],
            self.background[rows],
            self.shape[rows],
            self.profile,
        )

    def with_profile(self, profile, shape=None):
        """Return the columns with another profile, by default of its first shape."""
        if shape is None:
            shape = np.tile(np.array(profile.shape_start, float), (len(self), 1))
        return self.replace(shape=shape, profile=profile)

    def append(self, other):
        """Return the columns and others after them, converted to the same profile."""
        if other.profile != self.profile:
            other = other.with_profile(self.profile)
        arrays = (
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in _ARRAYS
        )
        return ColumnTable(*arrays, self.profile)

    def binned(self, side):
        """Return the columns in the means over square blocks of pixels, which blur.

        Parameters
        ----------
        side : int
            Side of the blocks, px.
        """
        if side == 1:
            return self
        square = self.sigma**2
        return self.replace(
            amplitude=self.amplitude * (square / (square + bin_variance(side))),
            positions=(self.positions + 0.5) / side - 0.5,
            sigma=np.sqrt(square + bin_variance(side)) / side,
        )

    def unbinned(self, side):
        """Return columns of an image of binned sums in pixels, without the blur.

        Parameters
        ----------
        side : int
            Side of the bins, px.
        """
        if side == 1:
            return self
        sigma = unbin_sigma(self.sigma, side)
        return self.replace(
            amplitude=self.amplitude * (self.sigma / sigma) ** 2,
            positions=side * (self.positions + 0.5) - 0.5,
            sigma=sigma,
            background=self.background / side**2,
        )

    def unknown(self):
        """Return a table of the same size that contains NaN."""
        n = len(self)
        empty = np.full(n, np.nan)
        positions, shape = np.full((n, 2), np.nan), np.full_like(self.shape, np.nan)
        return ColumnTable(empty, positions, empty, empty, shape, self.profile)


@dataclass(frozen=True, eq=False)
class ColumnFit:
    """Fitted columns.

    Parameters
    ----------
    table : ColumnTable
        The columns.
    std : ColumnTable
        Standard errors, from the Fisher information; NaN without a fit.
    converged : ndarray of bool of shape (n,)
        Whether the fit can be trusted.
    usable : ndarray of bool of shape (n,)
        Whether the column fits its profile near its start; its last steps may be long.
    statistics : ImageStatistics or None
        Statistics of the image; None without a fit.
    modes : ndarray of shape (m, 19) or None
        Projections of the residual on deformations of columns, from which the errors
        are calibrated; see `error_calibration`. None for preliminary fits, and for
        fits of single columns that estimate the statistics.
    is_joint : bool
        Whether overlapping columns were fitted together, and `std` is without
        correlated noise.
    """

    table: ColumnTable
    std: ColumnTable
    converged: np.ndarray
    usable: np.ndarray
    statistics: ImageStatistics | None = None
    modes: np.ndarray | None = None
    is_joint: bool = False

    @classmethod
    def unfitted(cls, table):
        """Return columns that are known by position and amplitude only."""
        unknown = np.full(len(table), np.nan)
        table = table.replace(sigma=unknown, background=unknown)
        good = np.ones(len(table), dtype=bool)
        return cls(table, table.unknown(), converged=good, usable=good)

    @classmethod
    def concatenate(cls, fits):
        """Return the columns of several fits, without statistics and modes."""
        return cls(
            ColumnTable.concatenate([fit.table for fit in fits]),
            ColumnTable.concatenate([fit.std for fit in fits]),
            np.concatenate([fit.converged for fit in fits]),
            np.concatenate([fit.usable for fit in fits]),
        )

    def __len__(self):
        return len(self.converged)

    @property
    def positions(self):
        """Centres (row, col), px."""
        return self.table.positions

    @property
    def amplitude(self):
        """Heights above the background."""
        return self.table.amplitude

    @property
    def ellipse(self):
        """Axis ratios and angles, shape (n, 2); None if the profile has none."""
        return self.table.profile.ellipse(self.table.shape)

    def replace(self, **changes):
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def at(self, positions):
        """Return the fit with other positions."""
        return self.replace(table=self.table.replace(positions=positions))

    def take(self, rows):
        """Return some of the columns, by index, mask or slice."""
        return self.replace(
            table=self.table.take(rows),
            std=self.std.take(rows),
            converged=self.converged[rows],
            usable=self.usable[rows],
        )

    def append(self, table):
        """Return the fit followed by columns that have not been fitted."""
        unfitted = np.zeros(len(table), dtype=bool)
        return self.replace(
            table=self.table.append(table),
            std=self.std.append(table.unknown().with_profile(self.std.profile)),
            converged=np.append(self.converged, unfitted),
            usable=np.append(self.usable, unfitted),
        )

    def binned(self, side):
        """Return the columns in the means over square blocks, without errors."""
        table = self.table.binned(side)
        return self.replace(table=table, std=table.unknown())

    def unbinned(self, side):
        """Return the columns of an image of binned sums in pixels, without errors."""
        if side == 1:
            return self
        table = self.table.unbinned(side)
        return self.replace(table=table, std=table.unknown())

    def scaled_std(self, factor, position_factor):
        """Return the fit with standard errors times factors.

        Parameters
        ----------
        factor : ndarray of shape (n,)
            Factors of all errors but those of the positions.
        position_factor : ndarray of shape (n,)
            Factors of the errors of the positions.
        """
        std = self.std
        return self.replace(
            std=std.replace(
                amplitude=std.amplitude * factor,
                positions=std.positions * position_factor[:, None],
                sigma=std.sigma * factor,
                shape=std.shape * factor[:, None],
            )
        )

    def scaled_values(self, unit):
        """Return the fit with amplitudes and backgrounds times a unit."""
        table, std = (
            part.replace(
                amplitude=part.amplitude * unit, background=part.background * unit
            )
            for part in (self.table, self.std)
        )
        return self.replace(table=table, std=std)
