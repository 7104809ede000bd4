"""What overlapping columns tell of each other: blocks of the normal equations."""

import numpy as np
from scipy.sparse import bsr_array
from scipy.spatial import cKDTree

from ._columns import AMPLITUDE, COL, ROW, SIGMA

# Farther apart, in units of the width, columns do not meet.
_MEETING = 6.5
# Terms of the series that solves the joint equations.
_N_TERMS = 4


class Coupling:
    """The joint normal equations of columns that overlap, solved approximately.

    Their blocks off the diagonal are closed forms: the product of two Gaussians is a
    Gaussian between them, and there the weight of pixels is taken to be constant.
    They only speed up the approach: where it ends is up to the gradient.

    Parameters
    ----------
    table : ndarray of shape (n, n_parameters)
        The columns; what is beyond sigma stays uncoupled.
    unit : float
        Typical sigma, px.
    weight : callable
        Inverse variance of the pixels at given (row, col), px.
    """

    def __init__(self, table, unit, weight):
        positions = table[:, ROW : COL + 1]
        pairs = cKDTree(positions).query_pairs(_MEETING * unit, output_type="ndarray")
        first, second = pairs.T
        blocks = _blocks(table[first], table[second], table.shape[1])
        blocks *= weight(positions[pairs].mean(axis=1))[:, None, None]
        row = np.concatenate([first, second])
        order = np.lexsort((np.concatenate([second, first]), row))
        column = np.concatenate([second, first])[order]
        blocks = np.concatenate([blocks, blocks.transpose(0, 2, 1)])[order]
        starts = np.searchsorted(row[order], np.arange(len(table) + 1))
        size = table.size
        self.matrix = bsr_array((blocks, column, starts), shape=(size, size))

    def solve(self, inverse, right):
        """Solve the joint equations.

        Parameters
        ----------
        inverse : ndarray of shape (n, n_parameters, n_parameters)
            Inverse of the blocks on the diagonal.
        right : ndarray of shape (n, n_parameters)
            The gradient.

        Returns
        -------
        step : ndarray of shape (n, n_parameters)
            The step.
        """
        step = np.einsum("nij,nj->ni", inverse, right)
        for _ in range(_N_TERMS):
            rest = right - (self.matrix @ step.ravel()).reshape(right.shape)
            step = np.einsum("nij,nj->ni", inverse, rest)
        return step


def _blocks(one, other, size):
    """Integrals of the products of the derivatives of two Gaussians."""
    # Derivatives of the logarithm of their overlap, by the parameters of each.
    apart = one[:, ROW : COL + 1] - other[:, ROW : COL + 1]
    square = np.einsum("ni,ni->n", apart, apart)
    width, other_width = one[:, SIGMA], other[:, SIGMA]
    spread = width**2 + other_width**2
    growth = square / spread**2 - 2 / spread
    slope, other_slope = np.zeros((2, len(one), size))
    for part, sign, sigma in ((slope, -1, width), (other_slope, 1, other_width)):
        part[:, ROW : COL + 1] = sign * apart / spread[:, None]
        part[:, SIGMA] = 2 / sigma + sigma * growth
    block = slope[:, :, None] * other_slope[:, None]
    block[:, ROW, ROW] += 1 / spread
    block[:, COL, COL] += 1 / spread
    twist = 2 * apart / spread[:, None] ** 2
    block[:, ROW : COL + 1, SIGMA] += twist * other_width[:, None]
    block[:, SIGMA, ROW : COL + 1] -= twist * width[:, None]
    block[:, SIGMA, SIGMA] += (
        4 * width * other_width * (1 - square / spread) / spread**2
    )
    height, other_height = one[:, AMPLITUDE, None], other[:, AMPLITUDE, None]
    block *= (height * other_height)[:, :, None]
    block[:, AMPLITUDE] = other_slope * other_height
    block[:, :, AMPLITUDE] = slope * height
    block[:, AMPLITUDE, AMPLITUDE] = 1
    overlap = 2 * np.pi * (width * other_width) ** 2 / spread
    block *= (overlap * np.exp(-0.5 * square / spread))[:, None, None]
    return block
