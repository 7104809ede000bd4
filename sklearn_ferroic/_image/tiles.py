"""Parts of large images: overlapping tiles, and squares that sample an image."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree

from .pixels import bin_image
from .settings import IMAGE

_SETTINGS = IMAGE.tiles


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
        """Return the slices of the window that contain the core."""
        return tuple(
            slice(
                int(max(first + 0.5, part.start)) - part.start,
                int(min(last + 0.5, part.stop)) - part.start,
            )
            for (first, last), part in zip(self.core, self.window, strict=True)
        )

    def owns(self, positions):
        """Check which positions are in the core of the tile, with a small margin."""
        first, last = self.core.T
        return (
            (positions >= first - _SETTINGS.slack_px)
            & (positions < last + _SETTINGS.slack_px)
        ).all(axis=1)


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
    overlap = int(np.ceil(_SETTINGS.overlap_spacings * spacing))
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
    """Check which columns have not been located in a previous tile.

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


class Blocks:
    """Level and contrast of an image block by block, to choose squares by.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image.
    spacing : float
        Nearest-neighbour spacing of columns, px.
    """

    def __init__(self, image, spacing):
        self.spacing = spacing
        self.edges = [
            np.linspace(
                0, n, max(1, int(n / (_SETTINGS.block_spacings * spacing))) + 1
            ).astype(int)
            for n in image.shape
        ]
        rows, cols = self.edges
        self.level, self.contrast = np.empty((2, len(rows) - 1, len(cols) - 1))
        for row, (first, last) in enumerate(pairwise(rows)):
            strip = image[first:last].astype(np.float64)
            mean = np.add.reduceat(strip.sum(axis=0), cols[:-1])
            square = np.einsum("ij,ij->j", strip, strip)
            n_pixels = len(strip) * np.diff(cols)
            self.level[row] = mean / n_pixels
            self.contrast[row] = np.add.reduceat(square, cols[:-1]) / n_pixels
        self.contrast -= self.level**2

    def busiest(self, image, mask, n_spacings):
        """Cut the square where the columns are most contrasty.

        Parameters
        ----------
        image : ndarray of shape (n_rows, n_cols)
            The image.
        mask : ndarray of bool of shape (n_rows, n_cols) or None
            Good pixels; None if all are good.
        n_spacings : float
            Side of the square, in spacings.

        Returns
        -------
        image, mask : ndarray
            The square of both.
        """
        side, _, contrast = self._squares(n_spacings)
        return self._cut(image, mask, contrast.argmax(), contrast.shape, side)

    def sample(self, image, mask, side_of_bins, transform):
        """Stack squares that show columns, of the lowest level to the highest.

        Parameters
        ----------
        image : ndarray of shape (n_rows, n_cols)
            The image.
        mask : ndarray of bool of shape (n_rows, n_cols) or None
            Good pixels; None if all are good. Masks are not binned.
        side_of_bins : int
            The squares are binned to this, px.
        transform : callable
            Function that is applied to each square.

        Returns
        -------
        stack : ndarray of shape (n_stack_rows, n_stack_cols)
            The squares with gaps between them.
        mask : ndarray of bool of shape (n_stack_rows, n_stack_cols)
            Good pixels of the squares.
        transformed : ndarray of shape (n_stack_rows, n_stack_cols)
            The stack of the transforms.
        """
        side, level, contrast = self._squares(_SETTINGS.sample_side_spacings)
        grid = np.zeros(level.shape, dtype=bool)
        grid[:: side[0], :: side[1]] = True
        shows = np.flatnonzero(
            grid & (contrast >= _SETTINGS.min_contrast_share * contrast[grid].max())
        )
        shows = shows[np.argsort(level.flat[shows], kind="stable")]
        rank = np.linspace(0, len(shows) - 1, min(_SETTINGS.n_squares, len(shows)))
        parts = [
            self._cut(image, mask, place, level.shape, side)
            for place in shows[np.rint(rank).astype(int)]
        ]
        parts = [(bin_image(part, side_of_bins), own) for part, own in parts]
        n_cols = max(part.shape[1] for part, _ in parts)
        gap = round(_SETTINGS.gap_spacings * self.spacing / side_of_bins)
        stack = [[], [], []]
        for part, own in parts:
            sides = ((0, gap), (0, n_cols - part.shape[1]))
            own = np.ones(part.shape, dtype=bool) if own is None else own
            stack[0].append(np.pad(part, sides, mode="edge"))
            stack[1].append(np.pad(own, sides))
            stack[2].append(np.pad(transform(part), sides))
        return tuple(np.concatenate(part)[:-gap] for part in stack)

    def _squares(self, n_spacings):
        """Return the side in blocks, and level and contrast by the first block."""
        side = [
            min(round(n_spacings / _SETTINGS.block_spacings), n)
            for n in self.level.shape
        ]
        place = tuple(
            slice(part // 2, n - part + part // 2 + 1)
            for part, n in zip(side, self.level.shape, strict=True)
        )
        return side, *(
            uniform_filter(field, side)[place] for field in (self.level, self.contrast)
        )

    def _cut(self, image, mask, place, shape, side):
        corner = np.unravel_index(place, shape)
        window = tuple(
            slice(edges[first], edges[first + n])
            for edges, first, n in zip(self.edges, corner, side, strict=True)
        )
        return image[window], None if mask is None else mask[window]
