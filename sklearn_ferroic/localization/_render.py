"""Sums of many Gaussian columns as matrix products.

A round Gaussian is an outer product, and a sum of such on a tile of the image is a
matrix product. All tiles of a row of tiles are computed at once.
"""

from itertools import pairwise

import numpy as np

from ._columns import AMPLITUDE, COL, ROW, SIGMA

# Side of a tile in units of the reach.
_TILE = 4
# Exponent beyond which a column is nothing.
_FAR = 30


def render(shape, table, reach, *, spread=False):
    """Sum round Gaussian columns.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    table : ndarray of shape (n, 4) or more
        Amplitude, row, col, sigma.
    reach : float
        Distance up to which a column is painted at least, px.
    spread : bool, default=False
        Whether to compute the derivative by the logarithm of all sigmas, too.

    Returns
    -------
    total : ndarray of shape (n_rows, n_cols)
        The sum, float32; with `spread` a pair of the sum and its derivative.
    """
    side = int(np.ceil(max(_TILE * reach, 8)))
    n_tiles = [-(-length // side) for length in shape]
    owner, tile = _tiles_of_columns(table, reach, side, n_tiles)
    columns = table[owner, : SIGMA + 1]
    columns[:, ROW : COL + 1] -= side * np.stack(np.divmod(tile, n_tiles[1]), axis=1)
    columns = columns.T.astype(np.float32)
    sums = [
        np.empty((n_tiles[0], side, n_tiles[1], side), dtype=np.float32)
        for _ in range(1 + spread)
    ]
    splits = np.searchsorted(tile, n_tiles[1] * np.arange(n_tiles[0] + 1))
    for number, (first, last) in enumerate(pairwise(splits)):
        tiles = [total[number].transpose(1, 0, 2) for total in sums]
        place = tile[first:last] - number * n_tiles[1]
        _paint(_by_tile(columns[:, first:last], place, n_tiles[1]), side, tiles)
    area = np.multiply(n_tiles, side)
    sums = [total.reshape(area)[: shape[0], : shape[1]] for total in sums]
    return tuple(sums) if spread else sums[0]


def _tiles_of_columns(table, reach, side, n_tiles):
    """List which columns reach into which tile, tile by tile."""
    positions = table[:, ROW : COL + 1]
    first = np.floor((positions - reach) / side).astype(np.intp)
    last = np.floor((positions + reach) / side).astype(np.intp)
    owners, tiles = [], []
    for step in np.ndindex(2, 2):
        row, col = (first + step).T
        inside = (first + step <= last).all(axis=1)
        inside &= (row >= 0) & (row < n_tiles[0]) & (col >= 0) & (col < n_tiles[1])
        owners.append(np.flatnonzero(inside))
        tiles.append((row * n_tiles[1] + col)[inside])
    owner, tile = np.concatenate(owners), np.concatenate(tiles)
    order = np.argsort(tile, kind="stable")
    return owner[order], tile[order]


def _by_tile(columns, tile, n_tiles):
    """Arrange columns by tile; places to spare are held by columns of no height."""
    count = np.bincount(tile, minlength=n_tiles)
    rank = np.arange(len(tile)) - (np.cumsum(count) - count)[tile]
    arranged = np.zeros((SIGMA + 1, n_tiles, count.max(), 1), dtype=np.float32)
    arranged[SIGMA] = 1
    arranged[:, tile, rank, 0] = columns
    return arranged


def _paint(columns, side, tiles):
    """Paint a row of tiles, and where there is a second one, its derivative."""
    # Rows and cols side by side: their squared distances, half and in sigmas.
    square = np.arange(side, dtype=np.float32) - columns[[ROW, COL]]
    square *= np.sqrt(np.float32(0.5)) / columns[SIGMA]
    square *= square
    # Subnormal numbers are slow.
    np.minimum(square, np.float32(_FAR), out=square)
    down, along = 2 * square if len(tiles) > 1 else square
    np.negative(square, out=square)
    rise, run = np.exp(square, out=square)
    rise *= columns[AMPLITUDE]
    np.matmul(rise.transpose(0, 2, 1), run, out=tiles[0])
    if len(tiles) > 1:
        np.matmul((rise * down).transpose(0, 2, 1), run, out=tiles[1])
        tiles[1] += rise.transpose(0, 2, 1) @ (run * along)
