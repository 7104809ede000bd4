"""Joint Gauss-Newton steps of overlapping columns and of the background under them.

The normal equations of a joint fit couple columns that overlap, and every column with
the background. They are those of the image in bins in which columns remain resolved;
the gradient is that of the pixels, so that the bins change how many rounds a fit takes,
not where it ends.
"""

import numpy as np
from scipy.sparse import csr_array, diags_array, kron
from scipy.sparse.linalg import LinearOperator, cg

from ._background import bin_sides
from ._binning import bin_columns, sum_blocks
from ._columns import AMPLITUDE, COL, ROW, SIGMA
from ._neighbors import neighbor_pairs

# Columns couple up to this distance, in units of their typical sigma: the overlap of
# two Gaussians has fallen to 1e-4.
_COUPLING_REACH_SIGMA = 6.0
# Derivatives are computed up to this distance from a column, in units of its sigma.
_DERIVATIVE_REACH_SIGMA = 3.5
# Columns are crowded if the normalized overlaps with all others add up to more than
# this for the most crowded tenth of them. Of a square lattice with a sigma of 0.235
# spacings they add up to 0.06.
_MAX_CROWDING = 0.1
_CROWDED_QUANTILE = 0.9
# Relative accuracy of the solution, and most iterations.
_RELATIVE_TOLERANCE = 3e-2
_MAX_ITERATIONS = 40
_N_GAUSSIAN_PARAMETERS = 4
# Distance of the nodes between which the background is linear, in spacings: the more
# the columns overlap, the less background shows between them.
_NODE_DISTANCES_SPACINGS = (2.5, 4.0)
# Weight of differences between neighbouring nodes, relative to the mean weight of a
# node: decides where no pixel counts.
_SMOOTHNESS = 1e-3


def is_crowded(table):
    """Check whether columns overlap so much that steps one by one may diverge."""
    width = float(np.median(table[:, SIGMA]))
    pairs, _ = neighbor_pairs(table[:, ROW : COL + 1], _COUPLING_REACH_SIGMA * width)
    first, second = table[pairs[:, 0]], table[pairs[:, 1]]
    square = ((first - second)[:, ROW : COL + 1] ** 2).sum(axis=1)
    overlap = np.exp(-0.5 * square / (first[:, SIGMA] ** 2 + second[:, SIGMA] ** 2))
    crowding = np.bincount(pairs.ravel(), np.repeat(overlap, 2), minlength=len(table))
    return np.quantile(crowding, _CROWDED_QUANTILE) > _MAX_CROWDING


class JointEquations:
    """Normal equations of the columns of an image and of its background.

    The background is linear between the nodes of a coarse grid.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    spacing : float
        Nearest-neighbour spacing, px.
    overlap : float
        Strength of the overlap of the columns, 0 to 1.
    """

    def __init__(self, windows, spacing, overlap):
        self.windows = windows
        self.side, coarse = bin_sides(spacing, windows.unit)
        self.shape = [-(-length // self.side) for length in windows.image_shape]
        distance = np.interp(overlap, (0, 1), _NODE_DISTANCES_SPACINGS) * spacing
        n_nodes = [max(2, round(n / distance) + 1) for n in windows.image_shape]
        self.bins = self._basis(self.side, n_nodes)
        self.coarse = self._basis(self.side * coarse, n_nodes)
        self.transposed = self.bins.T.tocsr()
        self.differences = _differences(n_nodes)

    def _basis(self, side, n_nodes):
        """Return the functions of all nodes at the centres of square bins."""
        parts = []
        for length, n in zip(self.windows.image_shape, n_nodes, strict=True):
            centers = side * np.arange(-(-length // side)) + (side - 1) / 2
            parts.append(_hats(centers * (n - 1) / (length - 1), n))
        return kron(*parts, format="csr")

    def level(self, values, shape):
        """Return the background on the coarse pixels for values at the nodes."""
        return (self.coarse @ values).reshape(shape)

    def solve(self, pixels, state, single, damping):
        """Solve the equations, damped after Levenberg and Marquardt.

        Parameters
        ----------
        pixels : Pixels
            Weights and weighted residuals.
        state : ColumnState
            The columns, and the covariance of each by itself.
        single : ndarray of shape (n, n_parameters)
            Solution for each column by itself.
        damping : float
            Share by which the blocks of single columns and nodes are enlarged.

        Returns
        -------
        step : ndarray of shape (n, n_parameters)
            Step of the columns.
        change : ndarray of shape (n_nodes,)
            Step of the background at its nodes.
        """
        n, n_parameters = single.shape
        size = n * n_parameters
        # Of columns off the image, hardly more than noise is seen: they stay.
        height = np.median(state.table[:, AMPLITUDE])
        known = (state.std[:, AMPLITUDE] < height) & ~state.spoilt
        pull = pixels.pull.copy()
        pixels.tame_pull(pull)
        weight, pull = (
            sum_blocks(part[self.windows.crop], self.side).ravel()
            for part in (pixels.weight, pull)
        )
        slope = self._derivatives(state.table, n_parameters, known)
        inverse = np.where(known[:, None, None], state.covariance, np.eye(n_parameters))
        normal = np.linalg.inv(inverse)
        gradient = (normal @ single[:, :, None])[:, :, 0] * known[:, None]
        inverse /= 1 + damping
        background = self.transposed @ diags_array(weight) @ self.bins
        scale = background.diagonal()
        extra = _SMOOTHNESS * scale.mean() * self.differences
        extra = (extra + diags_array(damping * scale + 1e-30)).tocsr()
        node_inverse = 1 / (scale + extra.diagonal())
        right = np.concatenate([gradient.ravel(), self.transposed @ pull])

        def multiply(vector):
            own, below = vector[:size], vector[size:]
            image = weight * (slope.T @ own + self.bins @ below)
            damped = normal @ own.reshape(n, n_parameters, 1)
            return np.concatenate(
                [
                    slope @ image + damping * damped.ravel(),
                    self.transposed @ image + extra @ below,
                ]
            )

        def precondition(vector):
            own = inverse @ vector[:size].reshape(n, n_parameters, 1)
            return np.concatenate([own.ravel(), node_inverse * vector[size:]])

        shape = (len(right),) * 2
        solution, _ = cg(
            LinearOperator(shape, multiply, dtype=right.dtype),
            right,
            rtol=_RELATIVE_TOLERANCE,
            maxiter=_MAX_ITERATIONS,
            M=LinearOperator(shape, precondition, dtype=right.dtype),
        )
        solution = np.where(np.isfinite(solution), solution, 0)
        step = solution[:size].reshape(n, n_parameters) * known[:, None]
        return step, solution[size:]

    def _derivatives(self, table, n_parameters, known):
        """Return the derivative of the binned image by every parameter, sparse."""
        columns = bin_columns(table[:, : SIGMA + 1], self.side)
        width = np.sqrt(self.windows.unit**2 + (self.side**2 - 1) / 12) / self.side
        reach = int(np.ceil(_DERIVATIVE_REACH_SIGMA * width))
        steps = np.arange(-reach, reach + 1)
        middle = np.rint(columns[:, ROW : COL + 1]).astype(np.intp)
        place = middle[:, :, None] + steps
        inside = (place >= 0) & (place < np.array(self.shape)[:, None])
        place = np.clip(place, 0, np.array(self.shape)[:, None] - 1)
        offset = place - columns[:, ROW : COL + 1, None]
        sigma = columns[:, SIGMA, None]
        profile = np.exp(-0.5 * np.square(offset / sigma[:, None])) * inside
        (down, along), (rise, run) = offset.swapaxes(0, 1), profile.swapaxes(0, 1)
        shape = rise[:, :, None] * run[:, None]
        # The amplitude of the means over the bins, by that of the column.
        height = table[:, AMPLITUDE].copy()
        share = np.divide(
            columns[:, AMPLITUDE], height, out=np.ones_like(height), where=height > 0
        )
        shape *= (share * known)[:, None, None]
        height = height[:, None, None] / sigma[:, None] ** 2
        square = (down**2)[:, :, None] + (along**2)[:, None]
        data = np.zeros((len(table), n_parameters, *shape.shape[1:]))
        data[:, AMPLITUDE] = shape
        data[:, ROW] = shape * height * down[:, :, None] / self.side
        data[:, COL] = shape * height * along[:, None] / self.side
        data[:, SIGMA] = shape * height * square / (sigma[:, None] * self.side)
        index = place[:, 0, :, None] * self.shape[1] + place[:, 1, None]
        index = np.repeat(index.reshape(len(table), 1, -1), n_parameters, axis=1)
        start = shape[0].size * np.arange(len(table) * n_parameters + 1)
        size = (len(table) * n_parameters, self.shape[0] * self.shape[1])
        return csr_array((data.ravel(), index.ravel(), start), shape=size)


def _hats(place, n_nodes):
    """Return the linear basis functions of nodes 0, 1, ... at places, sparse."""
    place = np.clip(place, 0, n_nodes - 1)
    before = np.minimum(place.astype(np.intp), n_nodes - 2)
    after = place - before
    data = np.stack([1 - after, after], axis=1).ravel()
    index = np.stack([before, before + 1], axis=1).ravel()
    start = 2 * np.arange(len(place) + 1)
    return csr_array((data, index, start), shape=(len(place), n_nodes))


def _differences(n_nodes):
    """Return the matrix of the squared differences between neighbouring nodes."""
    parts = []
    for n in n_nodes:
        ones = np.ones(n - 1)
        step = diags_array([-ones, ones], offsets=[0, 1], shape=(n - 1, n))
        parts.append(step.T @ step)
    eye = [diags_array(np.ones(n)) for n in n_nodes]
    return kron(parts[0], eye[1]) + kron(eye[0], parts[1])
