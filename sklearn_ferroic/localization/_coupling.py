"""Joint Gauss-Newton steps of overlapping columns and of the background under them.

The normal equations of a joint fit couple columns that overlap, and every column with
the background. Blocks of single columns come from the pixels. Blocks that couple two
columns are overlap integrals: in closed form for columns whose pixels all count, sums
over pixels for the others. The gradient is exact, so that approximations change how
many rounds a fit takes, not where it ends.
"""

import numpy as np
from scipy.sparse import bsr_array, csr_array, diags_array, kron
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import ndtr

from ._columns import AMPLITUDE, COL, ROW, SIGMA
from ._neighbors import neighbor_pairs

# Columns couple up to this distance, in units of their typical sigma: the overlap
# integral of two Gaussians has fallen to 1e-4. Shorter reaches make the equations
# indefinite.
_COUPLING_REACH_SIGMA = 6.0
# Columns are crowded if the normalized overlaps with all others add up to more than
# this for the most crowded tenth of them. Of a square lattice with a sigma of 0.235
# spacings they add up to 0.06.
_MAX_CROWDING = 0.1
_CROWDED_QUANTILE = 0.9
# Columns that the border cuts have little information and far to go for it: their steps
# are damped by this multiple of the missing share.
_CUT_DAMPING = 0.05
# Relative accuracy of the solution, and most iterations.
_RELATIVE_TOLERANCE = 1e-2
_MAX_ITERATIONS = 100
_N_GAUSSIAN_PARAMETERS = 4
# Amplitude below which columns count as no taller, in units of the image.
_MIN_AMPLITUDE = 1e-6
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


class BackgroundNodes:
    """Background that is linear between the nodes of a coarse grid.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    spacing : float
        Nearest-neighbour spacing, px.
    overlap : float
        Strength of the overlap of the columns, 0 to 1.
    binning : int
        Side of the coarse pixels that sums are taken over, px.
    """

    def __init__(self, shape, spacing, overlap, binning):
        self.binning = binning
        distance = np.interp(overlap, (0, 1), _NODE_DISTANCES_SPACINGS) * spacing
        self.n_nodes = [max(2, round(length / distance) + 1) for length in shape]
        self.step = [
            (length - 1) / (n - 1)
            for length, n in zip(shape, self.n_nodes, strict=True)
        ]
        self.n_coarse = [-(-length // binning) for length in shape]
        centers = [binning * np.arange(n) + (binning - 1) / 2 for n in self.n_coarse]
        rows, cols = (
            _hats(center, step, n)
            for center, step, n in zip(centers, self.step, self.n_nodes, strict=True)
        )
        self.coarse = kron(rows, cols, format="csr")
        # Area of each node on the coarse pixels, in coarse pixels of unit weight.
        self.area = self.coarse.T @ np.full(self.coarse.shape[0], binning**2.0)
        self.differences = _differences(self.n_nodes)

    def overlaps(self, table):
        """Return integrals of every column's derivatives times every node's function.

        Parameters
        ----------
        table : ndarray of shape (n, n_parameters)
            Amplitude, row, col, sigma and further parameters of the columns.

        Returns
        -------
        overlaps : ndarray of shape (n, n_parameters, 16)
            The integrals that are not negligible.
        node : ndarray of int of shape (n, 16)
            Indices of their nodes.
        """
        sigma = table[:, SIGMA]
        along = [
            _smoothed_hats(table[:, ROW + axis], sigma, step, n)
            for axis, (step, n) in enumerate(zip(self.step, self.n_nodes, strict=True))
        ]
        (rows, row_slope, row_spread, row), (cols, col_slope, col_spread, col) = along

        def outer(first, second):
            return np.einsum("ni,nj->nij", first, second).reshape(len(table), -1)

        volume = 2 * np.pi * (sigma**2)[:, None]
        height = table[:, AMPLITUDE, None]
        mean = outer(rows, cols)
        overlaps = np.zeros((len(table), table.shape[1], mean.shape[1]))
        overlaps[:, AMPLITUDE] = volume * mean
        overlaps[:, ROW] = height * volume * outer(row_slope, cols)
        overlaps[:, COL] = height * volume * outer(rows, col_slope)
        spread = outer(row_spread, cols) + outer(rows, col_spread)
        overlaps[:, SIGMA] = height * volume * (2 / sigma[:, None] * mean + spread)
        node = row[:, :, None] * self.n_nodes[1] + col[:, None]
        return overlaps, node.reshape(len(table), -1)

    def level(self, values):
        """Return the background on the coarse pixels for values at the nodes."""
        return (self.coarse @ values).reshape(self.n_coarse)


def _hats(place, step, n_nodes):
    """Return the linear basis functions of nodes 0, step, 2 step, ... at places."""
    place = np.clip(place / step, 0, n_nodes - 1)
    before = np.minimum(place.astype(np.intp), n_nodes - 2)
    after = place - before
    data = np.stack([1 - after, after], axis=1).ravel()
    index = np.stack([before, before + 1], axis=1).ravel()
    start = 2 * np.arange(len(place) + 1)
    return csr_array((data, index, start), shape=(len(place), n_nodes))


def _smoothed_hats(place, sigma, step, n_nodes):
    """Return means of the linear basis functions over normal distributions.

    Returns the means for the four nodes around, their derivatives by the place and by
    sigma, and the indices of the nodes. Nodes off the grid count as none.
    """
    index = np.floor(place / step).astype(np.intp)[:, None] + np.arange(-1, 3)
    offset, scale = place[:, None] / step - index, sigma[:, None] / step
    inside = (index >= 0) & (index < n_nodes)
    mean, slope, spread = 0, 0, 0
    for shift, factor in ((1, 1), (0, -2), (-1, 1)):
        ratio = (offset + shift) / scale
        density = np.exp(-0.5 * ratio**2) / np.sqrt(2 * np.pi)
        share = ndtr(ratio)
        mean = mean + factor * scale * (ratio * share + density)
        slope = slope + factor * share / step
        spread = spread + factor * density / step
    index = np.clip(index, 0, n_nodes - 1)
    return mean * inside, slope * inside, spread * inside, index


def _differences(n_nodes):
    """Return the matrix of the squared differences between neighbouring nodes."""
    parts = []
    for n in n_nodes:
        ones = np.ones(n - 1)
        step = diags_array([-ones, ones], offsets=[0, 1], shape=(n - 1, n))
        parts.append(step.T @ step)
    eye = [diags_array(np.ones(n)) for n in n_nodes]
    return kron(parts[0], eye[1]) + kron(eye[0], parts[1])


def joint_steps(windows, state, step, nodes, weight, pull, damping):
    """Solve the damped normal equations of all columns and the background.

    Parameters
    ----------
    windows : ColumnWindows
        The windows of all columns.
    state : ColumnState
        The columns, and the inverse of their own blocks.
    step : ndarray of shape (n, n_parameters)
        Solution for each column by itself.
    nodes : BackgroundNodes
        Parameters of the background.
    weight, pull : ndarray of shape (n_coarse_rows, n_coarse_cols)
        Sums of the weight and of the weighted residual over coarse pixels.
    damping : float
        Share by which the blocks of single columns and nodes are enlarged.

    Returns
    -------
    step : ndarray of shape (n, n_parameters)
        Step of the columns.
    change : ndarray of shape (n_nodes,)
        Step of the background at its nodes.
    """
    n, n_parameters = step.shape
    table = state.table[:, :n_parameters]
    size = n * n_parameters
    # Of columns off the image, hardly more than noise is seen: they stay as they are.
    known = state.std[:, AMPLITUDE] < np.median(table[:, AMPLITUDE])
    known &= ~state.spoilt
    is_known = known[:, None, None]
    inverse = np.where(is_known, state.covariance, np.eye(n_parameters))
    normal = np.linalg.inv(inverse)
    right = (normal @ step[:, :, None])[:, :, 0] * known[:, None]
    scale = np.where(known, _scale_of_coupling(table, normal), 0)
    reach = _COUPLING_REACH_SIGMA * windows.unit
    pairs, _ = neighbor_pairs(table[:, ROW : COL + 1], reach)
    first, second = pairs.T
    blocks = np.zeros((len(pairs), n_parameters, n_parameters))
    k = slice(_N_GAUSSIAN_PARAMETERS)
    blocks[:, k, k] = _overlap_blocks(table[first], table[second])
    blocks *= (scale[first] * scale[second])[:, None, None]
    seen = windows.n_seen / windows.disc.sum()
    own_damping = damping + _CUT_DAMPING * (1 / seen**2 - 1)
    own_damping = 1 + own_damping[:, None, None]
    columns = _block_matrix(own_damping * normal, pairs, blocks)

    overlaps, node = nodes.overlaps(table)
    density = (nodes.coarse.T @ weight.ravel()) / np.maximum(nodes.area, 1e-12)
    overlaps *= scale[:, None, None]
    overlaps *= np.sqrt(density)[node][:, None]
    coupling = csr_array(
        (
            overlaps.ravel(),
            np.repeat(node, n_parameters, axis=0).ravel(),
            node.shape[1] * np.arange(size + 1),
        ),
        shape=(size, len(nodes.area)),
    )
    transposed = coupling.T.tocsr()
    background = nodes.coarse.T @ diags_array(weight.ravel()) @ nodes.coarse
    diagonal = background.diagonal()
    background += _SMOOTHNESS * diagonal.mean() * nodes.differences
    background = (background + diags_array(damping * diagonal + 1e-30)).tocsr()
    node_inverse = 1 / background.diagonal()
    inverse /= own_damping
    right = np.concatenate([right.ravel(), nodes.coarse.T @ pull.ravel()])

    def multiply(vector):
        own, below = vector[:size], vector[size:]
        return np.concatenate(
            [columns @ own + coupling @ below, transposed @ own + background @ below]
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


def _scale_of_coupling(table, normal):
    """Return by what overlap integrals of unit weight are scaled, column by column.

    It is the largest scale for which the equations remain positive definite: less than
    the root of the mean weight where weights vary, or pixels do not count.
    """
    alone = _overlap_blocks(table, table)
    alone[:, range(4), range(4)] += 1e-9 * np.einsum("nii->ni", alone)
    factor = np.linalg.inv(np.linalg.cholesky(alone))
    k = slice(_N_GAUSSIAN_PARAMETERS)
    ratio = factor @ normal[:, k, k] @ factor.transpose(0, 2, 1)
    return np.sqrt(np.maximum(np.linalg.eigvalsh(ratio)[:, 0], 0))


def _block_matrix(diagonal, pairs, blocks):
    """Return a symmetric sparse matrix of blocks on and off the diagonal."""
    n, n_parameters, _ = diagonal.shape
    row = np.concatenate([np.arange(n), pairs[:, 0], pairs[:, 1]])
    col = np.concatenate([np.arange(n), pairs[:, 1], pairs[:, 0]])
    data = np.concatenate([diagonal, blocks, blocks.transpose(0, 2, 1)])
    order = np.lexsort((col, row))
    start = np.searchsorted(row[order], np.arange(n + 1))
    shape = (n * n_parameters,) * 2
    return bsr_array((data[order], col[order], start), shape=shape)


def _overlap_blocks(first, second):
    """Return second derivatives of the overlap integrals of pairs of Gaussians."""
    sigma_1, sigma_2 = first[:, SIGMA], second[:, SIGMA]
    apart = first[:, ROW : COL + 1] - second[:, ROW : COL + 1]
    square = np.einsum("ni,ni->n", apart, apart)
    total = sigma_1**2 + sigma_2**2
    # Of unit amplitudes; derivatives are relative to it.
    overlap = 2 * np.pi * (sigma_1 * sigma_2) ** 2 / total
    overlap = overlap * np.exp(-0.5 * square / total)
    growth_1, growth_2 = (
        2 / sigma - 2 * sigma / total + square * sigma / total**2
        for sigma in (sigma_1, sigma_2)
    )
    blocks = np.empty((len(first), 4, 4))
    drift = apart / total[:, None]
    blocks[:, 0, 0] = 1
    blocks[:, 0, 1:3] = drift
    blocks[:, 1:3, 0] = -drift
    blocks[:, 0, 3], blocks[:, 3, 0] = growth_2, growth_1
    blocks[:, 1:3, 1:3] = -drift[:, :, None] * drift[:, None]
    blocks[:, [1, 2], [1, 2]] += 1 / total[:, None]
    blocks[:, 1:3, 3] = drift * (2 * sigma_2 / total - growth_2)[:, None]
    blocks[:, 3, 1:3] = -drift * (2 * sigma_1 / total - growth_1)[:, None]
    cross = 4 * sigma_1 * sigma_2 / total**2 * (1 - square / total)
    blocks[:, 3, 3] = growth_1 * growth_2 + cross
    # Amplitudes may be 0.
    height_1, height_2 = (
        np.maximum(part[:, AMPLITUDE, None, None], _MIN_AMPLITUDE)
        for part in (first, second)
    )
    blocks[:, 1:] *= height_1
    blocks[:, :, 1:] *= height_2
    return blocks * overlap[:, None, None]
