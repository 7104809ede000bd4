"""Windows of an image around columns, and sums of columns.

A round Gaussian is an outer product, and a sum of such on a tile of the image is a
matrix product. Many tiles are computed at once.
"""

import numpy as np

from ..._image.filters import GAUSSIAN_REACH_SIGMA
from .profiles import QUADRATIC, QUARTIC, ROUND_GAUSSIAN
from .settings import FITTING

# Pixels of the windows that are computed at a time: they fit in the cache.
N_CHUNK_PIXELS = 1 << 16
# Radius of the disc for the centre of mass, in typical sigmas: most of the column.
MASS_RADIUS_SIGMA = 1.5


_SETTINGS = FITTING.render


class Windows:
    """Square windows of an image around the pixels nearest to columns.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        The columns.
    radius : float
        Radius of the discs within the windows that are evaluated, px.
    mask : ndarray of bool of shape (n_rows, n_cols), default=None
        Good pixels; all if None.
    """

    def __init__(self, image, positions, radius, mask=None):
        reach = int(radius)
        self.side = 2 * reach + 1
        steps = np.arange(-reach, reach + 1)
        row, col = (part.ravel() for part in np.meshgrid(steps, steps, indexing="ij"))
        self.row_step, self.col_step = row, col
        self.disc = (row**2 + col**2 <= radius**2).astype(np.float32)
        # Windows far off the image contain padding only, which has no weight.
        limit = np.array(image.shape)
        self.anchor = np.clip(np.rint(positions).astype(np.intp), -1, limit)
        self.pad = reach + 1
        self.shape = tuple(limit + 2 * self.pad)
        self.crop = (slice(self.pad, -self.pad),) * 2
        self.corner = self.anchor + (self.pad - reach)
        self.on_image = self.padded(True if mask is None else mask, bool)
        if mask is not None:
            image = np.where(mask, image, np.zeros_like(image))
        self.image = self.padded(image, image.dtype)
        self.image_shape, self.mask = image.shape, mask
        # Columns whose whole disc lies on good pixels need no mask.
        inside = ((self.anchor >= reach) & (self.anchor < limit - reach)).all(axis=1)
        self.n_seen = np.full(len(inside), self.disc.sum())
        for rows in self.chunks(np.flatnonzero(~inside | (mask is not None))):
            self.n_seen[rows] = self.cut(self.on_image, rows) @ self.disc
        self.whole = self.n_seen == self.disc.sum()
        np.maximum(self.n_seen, 1, out=self.n_seen)

    def padded(self, image, dtype):
        """Pad an image with zeros so that no window leaves it."""
        padded = np.zeros(self.shape, dtype=dtype)
        padded[self.crop] = image
        return padded

    def chunks(self, rows):
        """Split column indices so that a chunk's windows fit in the cache."""
        step = max(1, N_CHUNK_PIXELS // self.side**2)
        return [rows[first : first + step] for first in range(0, len(rows), step)]

    def cut(self, padded, rows):
        """Copy windows of columns, as flat pixels, from a contiguous padded image."""
        row, col = self.corner[rows].T
        side, (n_rows, n_cols) = self.side, padded.shape
        # A view of all windows; NumPy's own functions take longer to make it.
        shape = (n_rows - side + 1, n_cols - side + 1, side, side)
        windows = np.ndarray(shape, padded.dtype, padded, 0, 2 * padded.strides)
        return windows[row, col].reshape(len(rows), -1)

    def clear_masked(self, rows, weight):
        """Set the weights of bad pixels on windows of columns to zero."""
        cut = np.flatnonzero(~self.whole[rows])
        if cut.size:
            weight[cut] *= self.cut(self.on_image, rows[cut])

    def clear(self, padded):
        """Set bad pixels and the padding of a padded image to zero."""
        if self.mask is not None:
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
    """Windows in which columns of a typical sigma are fitted.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    table : ColumnTable
        The columns.
    sigma : float
        Typical sigma, px.
    mask : ndarray of bool of shape (n_rows, n_cols), default=None
        Good pixels; all if None.
    """

    def __init__(self, image, table, sigma, mask=None):
        radius = max(table.profile.reach_sigma * sigma, 1.5)
        super().__init__(image, table.positions, radius, mask)
        self.unit = sigma
        self.renderer = Renderer(self.shape, GAUSSIAN_REACH_SIGMA * sigma)
        quadratic, quartic = _monomials(self.row_step / sigma, self.col_step / sigma)
        self.quadratic = np.ascontiguousarray(quadratic.T)
        # Sums are over the disc: corners are closer to other columns.
        self.quadratic_on_disc = quadratic * self.disc[:, None]
        self.quartic_on_disc = quartic * self.disc[:, None]

    def values(self, table, rows):
        """Compute columns of unit amplitude on the windows of some of them."""
        return table.profile.on_windows(table.take(rows), self, rows)

    def render(self, table):
        """Sum all columns on the padded image."""
        if table.profile.is_separable:
            padded = table.replace(positions=table.positions + self.pad)
            return self.renderer.render(padded)
        total = np.zeros(self.shape, dtype=np.float32)
        for rows in self.chunks(np.arange(len(table))):
            values = self.values(table, rows)
            values *= table.amplitude[rows, None].astype(np.float32)
            self.add(total, rows, values)
        return total

    def render_changed(self, table, rows):
        """Sum all columns on the tiles of the padded image that some of them change.

        The columns are round; see `Renderer.render_changed`.
        """
        padded = table.replace(positions=table.positions + self.pad)
        return self.renderer.render_changed(padded, rows)

    def render_binned(self, table, side):
        """Average all columns over square blocks of pixels, as if they were round.

        The derivative by the logarithm of a factor of all sigmas is returned, too.
        """
        if side == 1:
            padded = table.replace(positions=table.positions + self.pad)
            both = self.renderer.render(padded, spread=True)
            return [image[self.crop] for image in both]
        shape = [-(-length // side) for length in self.image_shape]
        renderer = Renderer(shape, GAUSSIAN_REACH_SIGMA * self.unit / side)
        return renderer.render(table.binned(side), spread=True)


class Renderer:
    """Renderer of sums of round Gaussian columns on tiles of an image.

    The list of columns that reach into each tile is kept while columns move a little.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    reach : float
        Distance up to which a column is summed at least, px.
    """

    def __init__(self, shape, reach):
        self.shape, self.slack = shape, _SETTINGS.slack_reaches * reach
        self.reach = reach + self.slack
        self.side = int(np.ceil(max(_SETTINGS.tile_reaches * reach, 8)))
        self.n_tiles = [-(-length // self.side) for length in shape]
        self.positions, self.owner = np.full((1, 2), np.inf), None

    def render(self, table, *, spread=False):
        """Sum the columns.

        Parameters
        ----------
        table : ColumnTable
            The columns; their shape parameters are ignored.
        spread : bool, default=False
            Whether to return the derivative as well, with respect to a factor common
            to all sigmas, as a logarithm.

        Returns
        -------
        total : ndarray of shape (n_rows, n_cols)
            The sum, float32; with `spread` a pair of the sum and its derivative.
        """
        self._assign_to_tiles(table.positions)
        (n_down, n_along), side = self.n_tiles, self.side
        sums = [
            np.empty((n_down, side, n_along, side), dtype=np.float32)
            for _ in range(1 + spread)
        ]
        columns = _with_padding(table)
        step = max(1, _SETTINGS.n_tiles // n_along)
        for first in range(0, n_down, step):
            down = np.arange(first, min(first + step, n_down))[:, None]
            tiles = [
                total[first : first + step].transpose(0, 2, 1, 3) for total in sums
            ]
            self._sum_on_tiles(columns, down, np.arange(n_along), tiles)
        area = np.multiply(self.n_tiles, side)
        n_rows, n_cols = self.shape
        sums = [total.reshape(area)[:n_rows, :n_cols] for total in sums]
        return tuple(sums) if spread else sums[0]

    def render_changed(self, table, rows):
        """Sum the columns on the tiles that some of them reach into.

        Parameters
        ----------
        table : ColumnTable
            The columns.
        rows : ndarray of int of shape (n,)
            Those that have changed since the last sum.

        Returns
        -------
        tiles : list of tuple or None
            Slices of the image, and the sums on them, the same as `render` returns;
            None if columns have moved so much that other tiles would change, too.
        """
        if not self._is_assigned(table.positions):
            return None
        is_changed = np.zeros(len(table) + 1, dtype=bool)
        is_changed[rows] = True
        down, along = np.nonzero(is_changed[self.owner].any(axis=-1))
        sums = np.empty((len(down), self.side, self.side), dtype=np.float32)
        self._sum_on_tiles(_with_padding(table), down, along, [sums])
        tiles = []
        for first_row, first_col, total in zip(
            (self.side * down).tolist(), (self.side * along).tolist(), sums, strict=True
        ):
            rows = slice(first_row, min(first_row + self.side, self.shape[0]))
            cols = slice(first_col, min(first_col + self.side, self.shape[1]))
            cut = total[: rows.stop - first_row, : cols.stop - first_col]
            tiles.append(((rows, cols), cut))
        return tiles

    def _sum_on_tiles(self, columns, down, along, tiles):
        """Sum columns, and derivatives if required, on tiles of given indices."""
        owner = self.owner[down, along]
        row, col, sigma, amplitude = (values[owner, None] for values in columns)
        row = row - self.side * down[..., None, None]
        col = col - self.side * along[..., None, None]
        own = (part.astype(np.float32) for part in (row, col, sigma, amplitude))
        _paint(*own, self.side, tiles)

    def _is_assigned(self, positions):
        """Check whether columns have hardly moved since their tiles were listed."""
        return positions.shape == self.positions.shape and (
            np.abs(positions - self.positions).max(initial=0) < self.slack
        )

    def _assign_to_tiles(self, positions):
        """List which columns reach into which tile."""
        if self._is_assigned(positions):
            return
        self.positions = positions.copy()
        first = np.floor((positions - self.reach) / self.side).astype(np.intp)
        last = np.floor((positions + self.reach) / self.side).astype(np.intp)
        # No column reaches farther than into the next tile.
        tile = first + np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[:, None]
        inside = (tile <= last) & (tile >= 0) & (tile < self.n_tiles)
        step, owner = np.nonzero(inside[..., 0] & inside[..., 1])
        tile = tile[step, owner] @ [self.n_tiles[1], 1]
        order = np.argsort(tile, kind="stable")
        owner, tile = owner[order], tile[order]
        count = np.bincount(tile, minlength=np.prod(self.n_tiles))
        rank = np.arange(len(tile)) - (np.cumsum(count) - count)[tile]
        self.owner = np.full((len(count), count.max()), -1)
        self.owner[tile, rank] = owner
        self.owner = self.owner.reshape(*self.n_tiles, -1)


def _with_padding(table):
    """Return the parameters of columns and, at index -1, those of one of no height."""
    # Tiles with fewer columns than others are padded with it.
    row, col = np.append(table.positions, [[0, 0]], axis=0).T
    return row, col, np.append(table.sigma, 1), np.append(table.amplitude, 0)


def _paint(row, col, sigma, amplitude, side, tiles):
    """Sum columns on tiles, and their derivatives on the second set, if any."""
    # Squared distances along rows and along columns, halved, in sigmas.
    square = np.arange(side, dtype=np.float32) - np.stack([row, col])
    square *= np.sqrt(np.float32(0.5)) / sigma
    square *= square
    # Subnormal numbers are slow.
    np.minimum(square, np.float32(_SETTINGS.max_log_fall), out=square)
    down, along = 2 * square if len(tiles) > 1 else square
    np.negative(square, out=square)
    rise, run = np.exp(square, out=square)
    rise *= amplitude
    np.matmul(rise.swapaxes(-1, -2), run, out=tiles[0])
    if len(tiles) > 1:
        np.matmul((rise * down).swapaxes(-1, -2), run, out=tiles[1])
        tiles[1] += rise.swapaxes(-1, -2) @ (run * along)


def render_columns(shape, table, sigma):
    """Sum columns on an image.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    table : ColumnTable
        The columns.
    sigma : float
        Typical sigma, px; sets where the tails are cut.

    Returns
    -------
    image : ndarray of shape (n_rows, n_cols)
        The sum, without backgrounds, float32.
    """
    if table.profile.is_separable:
        return Renderer(shape, GAUSSIAN_REACH_SIGMA * sigma).render(table)
    windows = ColumnWindows(np.zeros(shape, dtype=np.float32), table, sigma)
    return windows.render(table)[windows.crop]


def matched_significance(context, table, sigma, model=None):
    """Compute the signal to noise ratio of a filter matched to each column.

    Parameters
    ----------
    context : ImageContext
        The image and its noise.
    table : ColumnTable
        The columns.
    sigma : float
        Sigma of the filter, px.
    model : ndarray of shape (n_rows, n_cols), default=None
        Sum of these columns and of any others, if it is known.

    Returns
    -------
    significance : ndarray of shape (n,)
        Amplitude over its standard error, for columns of that sigma with all the
        other columns subtracted.
    """
    noise = context.noise
    # In the dark, a fit may explain single counts without background, and thus noise.
    level = np.maximum(table.background, noise.darkest).astype(np.float32)
    windows = ColumnWindows(context.image, table, sigma, context.mask)
    if model is None:
        total = np.ascontiguousarray(windows.render(table))
    else:
        total = windows.padded(model, np.float32)
    typical = table.with_profile(ROUND_GAUSSIAN).replace(
        sigma=np.full(len(table), float(sigma))
    )
    significance = np.empty(len(table))
    for rows in windows.chunks(np.arange(len(table))):
        mean = windows.cut(total, rows)
        mean += level[rows, None]
        weight = 1 / noise.variance(mean)
        windows.clear_masked(rows, weight)
        excess = windows.values(table, rows)
        excess *= table.amplitude[rows, None].astype(np.float32)
        excess -= mean
        excess += windows.cut(windows.image, rows)
        values = windows.values(typical, rows)
        weight *= values
        excess *= weight
        weight *= values
        information = np.maximum(weight @ windows.disc, 1e-30)
        significance[rows] = (excess @ windows.disc) / np.sqrt(information)
    return significance


def center_of_mass(image, positions, radius, n_rounds=2, mask=None):
    """Refine positions by the centre of mass above the darkest pixel nearby.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    positions : ndarray of shape (n, 2)
        Positions to start from, px.
    radius : float
        Radius of the disc around a column, px.
    n_rounds : int
        How often the disc is centred again.
    mask : ndarray of bool of shape (n_rows, n_cols), default=None
        Good pixels; all if None.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        Centres of mass; unchanged where there is no good pixel.
    """
    positions = np.array(positions, dtype=np.float64)
    for _ in range(n_rounds):
        windows = Windows(image, positions, max(radius, 1), mask)
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


def centers_of_mass(context, positions):
    """Refine positions by the centre of mass of the central disc of each column.

    Parameters
    ----------
    context : ImageContext
        The image.
    positions : ndarray of shape (n, 2)
        Positions to start from, px.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        Centres of mass; unchanged where there is no good pixel.
    """
    radius = MASS_RADIUS_SIGMA * context.sigma
    return center_of_mass(context.image, positions, radius, mask=context.mask)


def _monomials(row, col):
    """Return the quadratic and the quartic monomials at pixels, float32."""
    powers = np.empty((2, 5, len(row)))
    for power, step in zip(powers, (row, col), strict=True):
        np.cumprod([np.ones_like(step), *[step] * 4], axis=0, out=power)
    return tuple(
        (powers[0, degrees[:, 0]] * powers[1, degrees[:, 1]]).T.astype(np.float32)
        for degrees in (QUADRATIC, QUARTIC)
    )
