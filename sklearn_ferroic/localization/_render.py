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
    sums = [
        np.zeros((n_tiles[0], side, n_tiles[1], side), dtype=np.float32)
        for _ in range(1 + spread)
    ]
    splits = np.searchsorted(tile, n_tiles[1] * np.arange(n_tiles[0] + 1))
    for number, (first, last) in enumerate(pairwise(splits)):
        if first == last:
            continue
        place = tile[first:last] - number * n_tiles[1]
        columns = _columns_by_tile(table[owner[first:last]], place, n_tiles[1])
        columns[:, :, ROW] -= number * side
        columns[:, :, COL] -= (np.arange(n_tiles[1]) * side)[:, None]
        for total, tiles in zip(sums, _paint(columns, side, spread), strict=True):
            total[number] = tiles.transpose(1, 0, 2)
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


def _columns_by_tile(table, tile, n_tiles):
    """Arrange columns by tile; places to spare are held by columns of no height."""
    count = np.bincount(tile, minlength=n_tiles)
    rank = np.arange(len(tile)) - (np.cumsum(count) - count)[tile]
    columns = np.zeros((n_tiles, count.max(), SIGMA + 1))
    columns[:, :, SIGMA] = 1
    columns[tile, rank] = table[:, : SIGMA + 1]
    return columns


def _paint(columns, side, spread):
    columns = columns.astype(np.float32).transpose(2, 0, 1)[..., None]
    # Rows and cols side by side: their squared distances, half and in sigmas.
    square = np.arange(side, dtype=np.float32) - columns[[ROW, COL]]
    square *= np.sqrt(np.float32(0.5)) / columns[SIGMA]
    square *= square
    # Subnormal numbers are slow.
    np.minimum(square, np.float32(_FAR), out=square)
    rise, run = np.exp(-square)
    rise *= columns[AMPLITUDE]
    tiles = [_outer_sum(rise, run)]
    if spread:
        down, along = 2 * square
        tiles.append(_outer_sum(rise * down, run) + _outer_sum(rise, run * along))
    return tiles


def _outer_sum(rise, run):
    return np.ascontiguousarray(rise.transpose(0, 2, 1)) @ run
