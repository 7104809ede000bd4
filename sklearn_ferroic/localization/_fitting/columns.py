"""How fitted columns are tabulated."""

from typing import NamedTuple

import numpy as np

from .._image.binning import (
    bin_variance,
    unbin_width,
)
from .._image.noise import NoiseModel
from .._image.positions import at_pixels

# Columns of the parameter table.
AMPLITUDE, ROW, COL, SIGMA, BACKGROUND = range(5)
# In the table of elliptical columns: the logarithm of the ratio of the axes, and twice
# the angle of the long axis, as a vector.
STRETCH = slice(4, 6)


class Typical(NamedTuple):
    """What is typical of the pixels and columns of an image as a whole.

    Parameters
    ----------
    noise : NoiseModel
        Pixel variance.
    level : float
        Background of the median column.
    misfit : float
        Mean squared pull of the pixels of the median column.
    span : tuple of float
        Lowest and highest value of pixels that are not hot.
    stretch : tuple of float, default=(0.0, 0.0)
        Stretch of all columns in common, as astigmatism, drift or vibration make it:
        the logarithm of the ratio of the axes, and twice the angle of the long axis, as
        a vector.
    """

    noise: NoiseModel
    level: float
    misfit: float
    span: tuple
    stretch: tuple = (0.0, 0.0)

    @property
    def is_stretched(self):
        """Whether columns are fitted as ellipses of a common shape."""
        return any(self.stretch)


class ColumnFit(NamedTuple):
    """Fitted columns.

    Parameters
    ----------
    table : ndarray of shape (n, 5)
        Amplitude, row, col, sigma, background.
    std : ndarray of shape (n, 5)
        Standard errors of the table, from the Fisher information.
    converged : ndarray of bool of shape (n,)
        Whether the fit can be trusted.
    ellipse : ndarray of shape (n, 2) or None
        Long over short axis, at least 1, and angle of the long axis in [-π/2, π/2);
        sigma is then the geometric mean of both. None of round columns.
    typical : Typical or None
        What is typical of the image; None without a fit.
    modes : ndarray of shape (m, 5) or None
        Amplitudes of columns, and the projections of their residual on quadrupoles and
        hexapoles over the expected standard deviations; None of first fits.
    """

    table: np.ndarray
    std: np.ndarray
    converged: np.ndarray
    ellipse: np.ndarray | None = None
    typical: Typical | None = None
    modes: np.ndarray | None = None

    @property
    def columns(self):
        """Amplitude, row, col, sigma, and the stretch of elliptical columns."""
        columns = self.table[:, : SIGMA + 1]
        if self.ellipse is None:
            return columns
        ratio, angle = self.ellipse.T
        direction = np.stack([np.cos(2 * angle), np.sin(2 * angle)], axis=1)
        return np.hstack([columns, np.log(ratio)[:, None] * direction])

    @property
    def positions(self):
        """Where the columns are, px."""
        return self.table[:, ROW : COL + 1]

    def append(self, table):
        """Append columns that have not been fitted, round ones."""
        ellipse = self.ellipse
        if ellipse is not None:
            ellipse = np.concatenate([ellipse, np.tile([1.0, 0.0], (len(table), 1))])
        return self._replace(
            table=np.concatenate([self.table, table]),
            std=np.concatenate([self.std, np.full_like(table, np.nan)]),
            converged=np.append(self.converged, np.zeros(len(table), dtype=bool)),
            ellipse=ellipse,
        )

    def take(self, rows):
        """Take some columns, by index or mask."""
        return self._replace(
            **{
                name: getattr(self, name)[rows]
                for name in ("table", "std", "converged", "ellipse")
                if getattr(self, name) is not None
            }
        )


def ellipse_of(stretch):
    """Tell the ratio of the axes and the direction of the long one.

    Parameters
    ----------
    stretch : ndarray of shape (n, 2)
        As the table of elliptical columns has it.

    Returns
    -------
    ellipse : ndarray of shape (n, 2)
        Long over short axis, at least 1, and angle of the long axis, radians in
        [-π/2, π/2), from +col towards +row.
    """
    along_col, diagonal = stretch.T
    rotation = 0.5 * np.arctan2(diagonal, along_col)
    rotation = np.where(rotation >= np.pi / 2, -np.pi / 2, rotation)
    return np.stack([np.exp(np.hypot(along_col, diagonal)), rotation], axis=1)


def bin_typical(typical, n_pixels):
    """Tell what is typical of sums of pixels from what is of pixels.

    Parameters
    ----------
    typical : Typical
        What is typical of pixels.
    n_pixels : float
        Number of pixels that are summed; of sums, 1 over that tells the reverse.

    Returns
    -------
    typical : Typical
        What is typical of their sums, noise being white.
    """
    noise = typical.noise
    return typical._replace(
        noise=noise._replace(
            constant=noise.constant * n_pixels, offset=noise.offset * n_pixels
        ),
        level=typical.level * n_pixels,
        # What columns are beyond Gaussians sums up, noise does not.
        misfit=1 + (typical.misfit - 1) * n_pixels,
        span=tuple(end * n_pixels for end in typical.span),
    )


def bin_columns(columns, side):
    """Express columns in the means over square blocks of pixels.

    Parameters
    ----------
    columns : ndarray of shape (n, 4)
        Amplitude, row, col, sigma.
    side : int
        Side of the blocks, px.

    Returns
    -------
    columns : ndarray of shape (n, 4)
        The same of the means, which blur.
    """
    columns = columns.copy()
    if side > 1:
        square = columns[:, SIGMA] ** 2
        columns[:, AMPLITUDE] *= square / (square + bin_variance(side))
        columns[:, ROW : COL + 1] = (columns[:, ROW : COL + 1] + 0.5) / side - 0.5
        columns[:, SIGMA] = np.sqrt(square + bin_variance(side)) / side
    return columns


def unbin_fit(fit, side):
    """Express columns of a binned image in pixels.

    Parameters
    ----------
    fit : ColumnFit
        Columns of the binned image.
    side : int
        Side of the bins, px.

    Returns
    -------
    fit : ColumnFit
        The columns, their shapes without the blur of the bins, without errors.
    """
    if side == 1:
        return fit
    table = fit.table.copy()
    table[:, ROW : COL + 1] = side * (table[:, ROW : COL + 1] + 0.5) - 0.5
    table[:, SIGMA] = unbin_width(fit.table[:, SIGMA], side)
    table[:, AMPLITUDE] *= (fit.table[:, SIGMA] / table[:, SIGMA]) ** 2
    table[:, BACKGROUND] /= side**2
    return fit._replace(table=table, std=np.full_like(table, np.nan))


def start_table(image, positions, height, width):
    """Make the table that a fit starts from.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Columns, px.
    height : ndarray of shape (n,)
        Their amplitudes.
    width : float
        Their sigma, px.

    Returns
    -------
    table : ndarray of shape (n, 5)
        Amplitude, row, col, sigma, background.
    """
    table = np.empty((len(positions), 5))
    table[:, AMPLITUDE] = height
    table[:, ROW : COL + 1] = positions
    table[:, SIGMA] = width
    table[:, BACKGROUND] = at_pixels(image, positions) - height
    return table
