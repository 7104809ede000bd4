"""Large images in tiles that overlap, so that memory stays bounded."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

# What is done to a column depends on the image within this many spacings.
_OVERLAP = 10
# Columns this close to a tile's core may be its own: no rounding loses them, px.
_SLACK = 0.5


class Tile(NamedTuple):
    """A part of an image.

    Parameters
    ----------
    window : tuple of slice
        Rows and columns of pixels that the work on the tile sees.
    core : ndarray of shape (2, 2)
        First and last edge of the part whose columns are the tile's own, along
        rows and along columns, px; infinite at the border of the image.
    """

    window: tuple
    core: np.ndarray

    @property
    def origin(self):
        """Position of the window's first pixel."""
        return np.array([part.start for part in self.window])

    def inner(self):
        """Slices of the window that cut out the core's pixels."""
        return tuple(
            slice(
                int(max(first + 0.5, part.start)) - part.start,
                int(min(last + 0.5, part.stop)) - part.start,
            )
            for (first, last), part in zip(self.core, self.window, strict=True)
        )

    def owns(self, positions):
        """Tell which positions in the image are in the core, or nearly."""
        first, last = self.core.T
        return ((positions >= first - _SLACK) & (positions < last + _SLACK)).all(axis=1)


def cut_tiles(shape, tile_size, spacing, step=1):
    """Divide an image into tiles.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    tile_size : int or None
        Side of a tile's core, px, kept to within a factor of 1.5; None for one tile.
    spacing : float
        Nearest-neighbour spacing of columns, px; sets the overlap.
    step : int, default=1
        Windows start at multiples of this, so that bins of pixels are the same, px.

    Returns
    -------
    tiles : list of Tile
        The tiles, row by row.
    """
    overlap = int(np.ceil(_OVERLAP * spacing))
    axes = []
    for length in shape:
        n_tiles = 1 if tile_size is None else max(1, round(length / tile_size))
        edges = np.rint(np.linspace(0, length, n_tiles + 1)).astype(int)
        windows = [
            slice(
                int(max(first - overlap, 0)) // step * step,
                int(min(last + overlap, length)),
            )
            for first, last in pairwise(edges)
        ]
        bounds = edges - 0.5
        bounds[0], bounds[-1] = -np.inf, np.inf
        axes.append(list(zip(windows, bounds[:-1], bounds[1:], strict=True)))
    return [
        Tile((rows, cols), np.array([[top, bottom], [left, right]]))
        for rows, top, bottom in axes[0]
        for cols, left, right in axes[1]
    ]


def not_twice(positions, tile, distance):
    """Tell which columns are no other tile's as well.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of all tiles, px.
    tile : ndarray of int of shape (n,)
        Where each was found.
    distance : float
        Columns of different tiles this close are one.

    Returns
    -------
    keep : ndarray of bool of shape (n,)
        False for all but the first tile's.
    """
    keep = np.ones(len(positions), dtype=bool)
    if len(positions) and np.ptp(tile):
        first, second = (
            cKDTree(positions).query_pairs(distance, output_type="ndarray").T
        )
        twice = tile[first] != tile[second]
        first, second = first[twice], second[twice]
        keep[np.where(tile[first] > tile[second], first, second)] = False
    return keep
