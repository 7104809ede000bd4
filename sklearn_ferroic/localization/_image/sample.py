"""Squares of an image that show what all of it is like."""

from itertools import pairwise

import numpy as np
from scipy.ndimage import uniform_filter

from .binning import bin_image

# Sides in spacings of each of so many squares that show all levels, of the gaps
# between them, and of the blocks to choose by.
_SAMPLE_SIDE = 12
_N_SQUARES = 4
_GAP = 4
_BLOCK = 3
# Squares with less than this share of the strongest contrast show no columns.
_MIN_CONTRAST = 0.02


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
            np.linspace(0, n, max(1, int(n / (_BLOCK * spacing))) + 1).astype(int)
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

    def busiest(self, image, valid, n_spacings):
        """Cut the square where the columns are most contrasty.

        Parameters
        ----------
        image : ndarray of shape (n_rows, n_cols)
            The image.
        valid : ndarray of bool of shape (n_rows, n_cols) or None
            Pixels that count; None for all.
        n_spacings : float
            Side of the square, in spacings.

        Returns
        -------
        image, valid : ndarray
            The square of both.
        """
        side, _, contrast = self._squares(n_spacings)
        return self._cut(image, valid, contrast.argmax(), contrast.shape, side)

    def sample(self, image, valid, side_of_bins, transform):
        """Stack squares that show columns, of the lowest level to the highest.

        Parameters
        ----------
        image : ndarray of shape (n_rows, n_cols)
            The image.
        valid : ndarray of bool of shape (n_rows, n_cols) or None
            Pixels that count; None for all. Masks are not binned.
        side_of_bins : int
            The squares are binned to this, px.
        transform : callable
            What is to be made of each square before it is stacked.

        Returns
        -------
        stack : ndarray of shape (n_stack_rows, n_stack_cols)
            The squares with gaps between them.
        valid : ndarray of bool of shape (n_stack_rows, n_stack_cols)
            Pixels that are some square's and count.
        transformed : ndarray of shape (n_stack_rows, n_stack_cols)
            The stack of the transforms.
        """
        side, level, contrast = self._squares(_SAMPLE_SIDE)
        grid = np.zeros(level.shape, dtype=bool)
        grid[:: side[0], :: side[1]] = True
        shows = np.flatnonzero(
            grid & (contrast >= _MIN_CONTRAST * contrast[grid].max())
        )
        shows = shows[np.argsort(level.flat[shows], kind="stable")]
        rank = np.linspace(0, len(shows) - 1, min(_N_SQUARES, len(shows)))
        parts = [
            self._cut(image, valid, place, level.shape, side)
            for place in shows[np.rint(rank).astype(int)]
        ]
        parts = [(bin_image(part, side_of_bins), mask) for part, mask in parts]
        n_cols = max(part.shape[1] for part, _ in parts)
        gap = round(_GAP * self.spacing / side_of_bins)
        stack = [[], [], []]
        for part, mask in parts:
            sides = ((0, gap), (0, n_cols - part.shape[1]))
            mask = np.ones(part.shape, dtype=bool) if mask is None else mask
            stack[0].append(np.pad(part, sides, mode="edge"))
            stack[1].append(np.pad(mask, sides))
            stack[2].append(np.pad(transform(part), sides))
        return tuple(np.concatenate(part)[:-gap] for part in stack)

    def _squares(self, n_spacings):
        """Side in blocks; level and contrast of squares by their first block."""
        side = [min(round(n_spacings / _BLOCK), n) for n in self.level.shape]
        place = tuple(
            slice(part // 2, n - part + part // 2 + 1)
            for part, n in zip(side, self.level.shape, strict=True)
        )
        return side, *(
            uniform_filter(field, side)[place] for field in (self.level, self.contrast)
        )

    def _cut(self, image, valid, place, shape, side):
        corner = np.unravel_index(place, shape)
        window = tuple(
            slice(edges[first], edges[first + n])
            for edges, first, n in zip(self.edges, corner, side, strict=True)
        )
        return image[window], None if valid is None else valid[window]
