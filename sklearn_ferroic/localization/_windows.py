"""Windows around columns: what is cut from the image, what is painted on it."""

import numpy as np

from ._columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA

# Window radius in units of the width: beyond it lies 1 % of the information.
_REACH = 3.5
# Array elements a chunk of columns may need at a time.
_CHUNK_ELEMENTS = 1 << 20


class Windows:
    """Disc-shaped windows of an image around the pixels nearest to columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        The columns.
    radius : float
        Radius of the discs, px.
    """

    def __init__(self, image, positions, radius):
        reach = int(np.ceil(radius))
        steps = np.arange(-reach, reach + 1)
        inside = steps[:, None] ** 2 + steps**2 <= radius**2
        row, col = np.nonzero(inside)
        self.row_steps, self.col_steps = steps, steps
        self.row_of, self.col_of = row, col
        self.anchor = np.rint(positions).astype(np.intp)
        # Far-off anchors see padding only, which carries no weight.
        pad = reach + 1
        limit = np.array(image.shape)
        self.anchor = np.clip(self.anchor, -1, limit)
        self.shape = tuple(limit + 2 * pad)
        self.image = np.pad(image, pad)
        self.on_image = np.pad(np.ones(image.shape, dtype=bool), pad)
        self.crop = (slice(pad, -pad), slice(pad, -pad))
        self.offsets = (row - reach) * self.shape[1] + (col - reach)
        corner = self.anchor + pad
        self.start = corner[:, 0] * self.shape[1] + corner[:, 1]
        # Columns whose disc lies on the image whole need no mask.
        self.whole = ((self.anchor >= reach) & (self.anchor < limit - reach)).all(
            axis=1
        )

    def chunks(self, rows):
        """Split column indices so that a chunk's windows stay small."""
        step = max(1, _CHUNK_ELEMENTS // (5 * len(self.offsets)))
        return [rows[first : first + step] for first in range(0, len(rows), step)]

    def pixels(self, rows):
        """Flat indices of the windows' pixels in the padded image."""
        return self.start[rows, None] + self.offsets

    def profiles(self, table, rows):
        """Gaussians of unit height on the windows, and scaled coordinates."""
        place = (table[rows, ROW : COL + 1] - self.anchor[rows]).astype(np.float32)
        sigma = table[rows, SIGMA, None].astype(np.float32)
        down = (self.row_steps.astype(np.float32) - place[:, :1]) / sigma
        along = (self.col_steps.astype(np.float32) - place[:, 1:]) / sigma
        rise, run = np.exp(-0.5 * down**2), np.exp(-0.5 * along**2)
        shape = rise[:, self.row_of]
        shape *= run[:, self.col_of]
        return shape, down, along

    def render(self, table):
        """Sum all columns' Gaussians on the padded image, flat."""
        return self._accumulate(table, spread=False)[0]

    def render_with_spread(self, table):
        """Sum all Gaussians; also the change of the sum with the logarithm of sigma."""
        return self._accumulate(table, spread=True)

    def _accumulate(self, table, spread):
        sums = [np.zeros(self.image.size) for _ in range(1 + spread)]
        for rows in self.chunks(np.arange(len(table))):
            shape, down, along = self.profiles(table, rows)
            shape *= table[rows, AMPLITUDE, None].astype(np.float32)
            pixels = self.pixels(rows)
            # Columns come row by row: a chunk touches a band of the image only.
            first, last = pixels[:, 0].min(), pixels[:, -1].max() + 1
            pixels = (pixels - first).ravel()
            band = slice(first, last)
            sums[0][band] += np.bincount(pixels, shape.ravel(), minlength=last - first)
            if spread:
                down, along = down**2, along**2
                shape *= down[:, self.row_of] + along[:, self.col_of]
                sums[1][band] += np.bincount(
                    pixels, shape.ravel(), minlength=last - first
                )
        return [total.astype(np.float32) for total in sums]

    def unpad(self, flat):
        """Make an image of a flat padded one."""
        return flat.reshape(self.shape)[self.crop]


def column_windows(image, table, width):
    """Cut the windows in which columns of a typical sigma are fitted.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    table : ndarray of shape (n, 5)
        The columns.
    width : float
        Typical sigma, px.

    Returns
    -------
    windows : Windows
        The windows.
    """
    return Windows(image, table[:, ROW : COL + 1], max(_REACH * width, 1.5))


def render_columns(shape, table, width):
    """Sum Gaussian columns on an image.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    table : ndarray of shape (n, 5)
        The columns.
    width : float
        Typical sigma, px; sets where the tails are cut.

    Returns
    -------
    image : ndarray of shape (n_rows, n_cols)
        The sum, without backgrounds, float32.
    """
    blank = np.zeros(shape, dtype=np.float32)
    windows = column_windows(blank, table, width)
    return windows.unpad(windows.render(table))


def matched_significance(image, table, noise, width):
    """Signal over noise of a filter matched to each column.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    table : ndarray of shape (n, 5)
        The columns.
    noise : NoiseModel
        Pixel variance.
    width : float
        Sigma of the filter, px.

    Returns
    -------
    significance : ndarray of shape (n,)
        Amplitude over its standard error, for columns of that sigma with all the
        other columns subtracted.
    """
    windows = column_windows(image, table, width)
    total = windows.render(table)
    typical = table.copy()
    typical[:, SIGMA] = width
    significance = np.empty(len(table))
    for rows in windows.chunks(np.arange(len(table))):
        pixels = windows.pixels(rows)
        mean = total[pixels] + table[rows, BACKGROUND, None].astype(np.float32)
        weight = windows.on_image.ravel()[pixels] / noise.variance(mean)
        own = windows.profiles(table, rows)[0]
        own *= table[rows, AMPLITUDE, None].astype(np.float32)
        excess = windows.image.ravel()[pixels] - mean + own
        shape = windows.profiles(typical, rows)[0]
        weight *= shape
        information = np.maximum((weight * shape).sum(axis=1), 1e-30)
        significance[rows] = (weight * excess).sum(axis=1) / np.sqrt(information)
    return significance


def center_of_mass(image, positions, radius, n_rounds=2):
    """Refine positions by the centre of mass above the darkest pixel nearby.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Where to start.
    radius : float
        Radius of the disc around a column, px.
    n_rounds : int
        How often the disc is centred anew.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        Centres of mass.
    """
    positions = np.array(positions, dtype=np.float64)
    for _ in range(n_rounds):
        windows = Windows(image, positions, max(radius, 1))
        for rows in windows.chunks(np.arange(len(positions))):
            pixels = windows.pixels(rows)
            valid = windows.on_image.ravel()[pixels]
            mass = windows.image.ravel()[pixels].astype(np.float64)
            mass -= np.where(valid, mass, np.inf).min(axis=1, keepdims=True)
            mass = np.where(valid, mass, 0)
            weight = np.maximum(mass.sum(axis=1), 1e-300)
            positions[rows] = windows.anchor[rows] + np.stack(
                [
                    mass @ windows.row_steps[windows.row_of] / weight,
                    mass @ windows.col_steps[windows.col_of] / weight,
                ],
                axis=1,
            )
    return positions
