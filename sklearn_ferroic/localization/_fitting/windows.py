"""Windows around columns: what is cut from the image, what is painted on it."""

import numpy as np

from .columns import AMPLITUDE, BACKGROUND, COL, ROW, SIGMA, STRETCH, bin_columns
from .profiles import exponents, monomials
from .render import Renderer, render

# Window radius in units of the width: beyond it lies 1 % of the information.
_REACH = 3.5
# Where a column's tail is dropped in sums, in units of the width.
_TAIL = 4.5
# Pixels of windows that are worked on at a time.
_CHUNK_ELEMENTS = 1 << 16
# Exponentials further down are nothing, and slow as subnormal numbers.
_DEEPEST = -20


class Windows:
    """Square windows of an image around the pixels nearest to columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        The columns.
    radius : float
        Radius of the discs within the windows that are looked at, px.
    valid : ndarray of bool of shape (n_rows, n_cols), default=None
        Pixels that count; all if None.
    """

    def __init__(self, image, positions, radius, valid=None):
        reach = int(radius)
        self.side = 2 * reach + 1
        steps = np.arange(-reach, reach + 1)
        row, col = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
        self.row_step, self.col_step = row, col
        self.disc = (row**2 + col**2 <= radius**2).astype(np.float32)
        # Far-off anchors see padding only, which carries no weight.
        limit = np.array(image.shape)
        self.anchor = np.clip(np.rint(positions).astype(np.intp), -1, limit)
        self.pad = reach + 1
        self.shape = tuple(limit + 2 * self.pad)
        self.crop = (slice(self.pad, -self.pad),) * 2
        self.corner = self.anchor + (self.pad - reach)
        self.on_image = self.padded(True if valid is None else valid, bool)
        if valid is not None:
            image = np.where(valid, image, np.zeros_like(image))
        self.image = self.padded(image, image.dtype)
        self.image_shape, self.valid = image.shape, valid
        # Columns whose disc lies on counting pixels whole need no mask.
        inside = ((self.anchor >= reach) & (self.anchor < limit - reach)).all(axis=1)
        self.n_seen = np.full(len(inside), self.disc.sum())
        for rows in self.chunks(np.flatnonzero(~inside | (valid is not None))):
            self.n_seen[rows] = self.cut(self.on_image, rows) @ self.disc
        self.whole = self.n_seen == self.disc.sum()
        np.maximum(self.n_seen, 1, out=self.n_seen)

    def padded(self, image, dtype):
        """Pad an image with zeros so that no window leaves it."""
        padded = np.zeros(self.shape, dtype=dtype)
        padded[self.crop] = image
        return padded

    def chunks(self, rows):
        """Split column indices so that a chunk's windows stay in the cache."""
        step = max(1, _CHUNK_ELEMENTS // self.side**2)
        return [rows[first : first + step] for first in range(0, len(rows), step)]

    def cut(self, padded, rows):
        """Copy windows of columns, as flat pixels, from a contiguous padded image."""
        row, col = self.corner[rows].T
        side, (n_rows, n_cols) = self.side, padded.shape
        # A view of all windows; NumPy's own functions take longer to make it.
        shape = (n_rows - side + 1, n_cols - side + 1, side, side)
        windows = np.ndarray(shape, padded.dtype, padded, 0, 2 * padded.strides)
        return windows[row, col].reshape(len(rows), -1)

    def mask(self, rows, weight):
        """Take the weight of pixels that do not count from windows of columns."""
        cut = np.flatnonzero(~self.whole[rows])
        if cut.size:
            weight[cut] *= self.cut(self.on_image, rows[cut])

    def clear(self, padded):
        """Set all that does not count on a padded image to zero."""
        if self.valid is not None:
            padded *= self.on_image
        else:
            padded[: self.pad] = padded[-self.pad :] = 0
            padded[:, : self.pad] = padded[:, -self.pad :] = 0

    def add(self, padded, rows, values):
        """Add windows of some columns to a contiguous padded image."""
        row, col = self.corner[rows].T[:, :, None]
        steps = np.arange(self.side)
        offset = (steps[:, None] * padded.shape[1] + steps).ravel()
        pixels = row * padded.shape[1] + col + offset
        np.add.at(padded.reshape(-1), pixels.ravel(), values.ravel())


class ColumnWindows(Windows):
    """Windows in which Gaussian columns of a typical sigma are fitted.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    table : ndarray of shape (n, 5)
        The columns.
    width : float
        Typical sigma, px.
    valid : ndarray of bool of shape (n_rows, n_cols), default=None
        Pixels that count; all if None.
    """

    def __init__(self, image, table, width, valid=None):
        radius = max(_REACH * width, 1.5)
        super().__init__(image, table[:, ROW : COL + 1], radius, valid)
        self.unit = width
        quadratic, quartic = monomials(self.row_step / width, self.col_step / width)
        self.quadratic = np.ascontiguousarray(quadratic.T)
        # Moments are taken over the disc: corners are other columns' business.
        self.quadratic_on_disc = quadratic * self.disc[:, None]
        self.quartic_on_disc = quartic * self.disc[:, None]
        self.renderer = Renderer(self.shape, _TAIL * width)

    def gaussians(self, table, rows):
        """Gaussians of unit height on the windows of some columns."""
        exponent = exponents(table[rows], self.anchor[rows], self.unit)
        shape = exponent @ self.quadratic
        np.maximum(shape, np.float32(_DEEPEST), out=shape)
        return np.exp(shape, out=shape)

    def render(self, table):
        """Sum all columns' Gaussians on the padded image."""
        if table.shape[1] == SIGMA + 1:
            return self.renderer.render(self._on_padded(table))
        total = np.zeros(self.shape, dtype=np.float32)
        for rows in self.chunks(np.arange(len(table))):
            shape = self.gaussians(table, rows)
            shape *= table[rows, AMPLITUDE, None].astype(np.float32)
            self.add(total, rows, shape)
        return total

    def render_binned(self, table, side):
        """Mean of all columns' Gaussians, as if round, over square blocks of pixels.

        And its derivative by the logarithm of all sigmas.
        """
        if side == 1:
            both = self.renderer.render(self._on_padded(table), spread=True)
            return [image[self.crop] for image in both]
        shape = [-(-length // side) for length in self.image_shape]
        renderer = Renderer(shape, _TAIL * self.unit / side)
        return renderer.render(bin_columns(table[:, : SIGMA + 1], side), spread=True)

    def _on_padded(self, table):
        padded = table[:, : SIGMA + 1].copy()
        padded[:, ROW : COL + 1] += self.pad
        return padded


def render_columns(shape, table, width):
    """Sum Gaussian columns on an image.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    table : ndarray of shape (n, 4) or more
        Amplitude, row, col, sigma, and the stretch of elliptical columns.
    width : float
        Typical sigma, px; sets where the tails are cut.

    Returns
    -------
    image : ndarray of shape (n_rows, n_cols)
        The sum, without backgrounds, float32.
    """
    if table.shape[1] < STRETCH.stop:
        return render(shape, table, _TAIL * width)
    windows = ColumnWindows(np.zeros(shape, dtype=np.float32), table, width)
    return windows.render(table)[windows.crop]


def matched_significance(image, fit, noise, width, valid=None, model=None):
    """Signal over noise of a filter matched to each column.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    fit : ColumnFit
        The columns.
    noise : NoiseModel
        Pixel variance.
    width : float
        Sigma of the filter, px.
    valid : ndarray of bool of shape (n_rows, n_cols), default=None
        Pixels that count; all if None.
    model : ndarray of shape (n_rows, n_cols), default=None
        Sum of these columns and of any others, if it is known.

    Returns
    -------
    significance : ndarray of shape (n,)
        Amplitude over its standard error, for columns of that sigma with all the
        other columns subtracted.
    """
    columns = fit.columns
    # In the dark a fit may leave a single count no background, and no noise with it.
    level = np.maximum(fit.table[:, BACKGROUND], noise.darkest).astype(np.float32)
    windows = ColumnWindows(image, columns, width, valid)
    if model is None:
        total = np.ascontiguousarray(windows.render(columns))
    else:
        total = windows.padded(model, np.float32)
    typical = columns[:, : SIGMA + 1].copy()
    typical[:, SIGMA] = width
    significance = np.empty(len(columns))
    for rows in windows.chunks(np.arange(len(columns))):
        mean = windows.cut(total, rows)
        mean += level[rows, None]
        weight = 1 / noise.variance(mean)
        windows.mask(rows, weight)
        excess = windows.gaussians(columns, rows)
        excess *= columns[rows, AMPLITUDE, None].astype(np.float32)
        excess -= mean
        excess += windows.cut(windows.image, rows)
        shape = windows.gaussians(typical, rows)
        weight *= shape
        excess *= weight
        weight *= shape
        information = np.maximum(weight @ windows.disc, 1e-30)
        significance[rows] = (excess @ windows.disc) / np.sqrt(information)
    return significance


def center_of_mass(image, positions, radius, n_rounds=2, valid=None):
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
    valid : ndarray of bool of shape (n_rows, n_cols), default=None
        Pixels that count; all if None.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        Centres of mass; where no pixel counts, what was given.
    """
    positions = np.array(positions, dtype=np.float64)
    for _ in range(n_rounds):
        windows = Windows(image, positions, max(radius, 1), valid)
        moments = windows.disc[:, None] * np.stack(
            [np.ones(windows.side**2), windows.row_step, windows.col_step], axis=1
        ).astype(np.float32)
        outside = windows.disc == 0
        for rows in windows.chunks(np.arange(len(positions))):
            mass = windows.cut(windows.image, rows)
            void = ~windows.cut(windows.on_image, rows)
            void |= outside
            mass[void] = np.inf
            lowest = mass.min(axis=1, keepdims=True)
            mass[void] = 0
            mass -= np.where(np.isfinite(lowest), lowest, 0)
            mass[void] = 0
            total, down, along = (mass @ moments).astype(np.float64).T
            shift = np.stack([down, along], axis=1) / np.maximum(total, 1e-300)[:, None]
            seen = total > 0
            positions[rows[seen]] = windows.anchor[rows[seen]] + shift[seen]
    return positions
