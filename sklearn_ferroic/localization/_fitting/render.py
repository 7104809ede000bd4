"""Sums of many round Gaussian columns as matrix products.

A round Gaussian is an outer product, and a sum of such on a tile of the image is a
matrix product. Many tiles are computed at once.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class _RenderSettings:
    """Settings of the sums of columns, with their reasons."""

    # Side of a tile in units of the reach.
    tile_reaches: int = 4
    # Exponent beyond which a column is negligible.
    max_exponent: int = 30
    # Columns that have moved less than this keep their tiles, in the same units.
    slack_reaches: float = 0.2
    # Least number of tiles at a time.
    n_tiles: int = 32


_SETTINGS = _RenderSettings()


def render(shape, table, reach):
    """Sum round Gaussian columns.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    table : ColumnTable
        The columns.
    reach : float
        Distance up to which a column is summed at least, px.

    Returns
    -------
    total : ndarray of shape (n_rows, n_cols)
        The sum, float32.
    """
    return Renderer(shape, reach).render(table)


class Renderer:
    """Sums of the same columns on the same image, as these move a little.

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
            Whether to compute the derivative by the logarithm of all sigmas, too.

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
        # Tiles with fewer columns than others are padded with one of no height.
        amplitude = np.append(table.amplitude, 0)
        row, col = np.append(table.positions, [[0, 0]], axis=0).T
        sigma = np.append(table.sigma, 1)
        step = max(1, _SETTINGS.n_tiles // n_along)
        for first in range(0, n_down, step):
            owner = self.owner[first : first + step]
            rows = side * np.arange(first, first + len(owner))
            cols = side * np.arange(n_along)
            own = (
                row[owner, None] - rows[:, None, None, None],
                col[owner, None] - cols[:, None, None],
                sigma[owner, None],
                amplitude[owner, None],
            )
            tiles = [
                total[first : first + step].transpose(0, 2, 1, 3) for total in sums
            ]
            _paint(*(part.astype(np.float32) for part in own), side, tiles)
        area = np.multiply(self.n_tiles, side)
        n_rows, n_cols = self.shape
        sums = [total.reshape(area)[:n_rows, :n_cols] for total in sums]
        return tuple(sums) if spread else sums[0]

    def _assign_to_tiles(self, positions):
        """List which columns reach into which tile."""
        if positions.shape == self.positions.shape and (
            np.abs(positions - self.positions).max(initial=0) < self.slack
        ):
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


def _paint(row, col, sigma, amplitude, side, tiles):
    """Sum columns on tiles; the second set of tiles, if any, is for the derivative."""
    # Squared distances along rows and along columns, halved, in sigmas.
    square = np.arange(side, dtype=np.float32) - np.stack([row, col])
    square *= np.sqrt(np.float32(0.5)) / sigma
    square *= square
    # Subnormal numbers are slow.
    np.minimum(square, np.float32(_SETTINGS.max_exponent), out=square)
    down, along = 2 * square if len(tiles) > 1 else square
    np.negative(square, out=square)
    rise, run = np.exp(square, out=square)
    rise *= amplitude
    np.matmul(rise.swapaxes(-1, -2), run, out=tiles[0])
    if len(tiles) > 1:
        np.matmul((rise * down).swapaxes(-1, -2), run, out=tiles[1])
        tiles[1] += rise.swapaxes(-1, -2) @ (run * along)
