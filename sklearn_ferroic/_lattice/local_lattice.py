"""The lattice as it is around each column: no order beyond the neighbours is assumed.

Each column's cell is the least-squares fit of a lattice to the neighbours of its own
sublattice one cell around it. Neighbouring columns may describe the same lattice by
different cells; along the paths of best agreement through the crystal all are brought
to one choice of vectors, and one convention is set for each connected crystal.
"""

import numpy as np

from .neighbors import Nearest, sublattice_members
from .spanning_forest import accumulate, spanning_forest

# Two steps span a cell if the sine of their angle exceeds this.
_MIN_SINE = 0.5
# A neighbour is on the lattice if it misses its place by less than this share of the
# shorter vector; the fit holds if it misses by less than that in the mean.
_STEP_TOLERANCE = 0.25
_MAX_MISFIT = 0.15
# A place and two vectors need three columns; a fourth shows that they fit.
_MIN_COLUMNS = 4
# So many of the columns within so many spacings are neighbours in the crystal, and
# describe the same lattice if their cells differ by less than this share.
_N_BONDS = 6
_BOND_REACH = 2
_CELL_TOLERANCE = 0.25
# Fewer cells that agree are no crystal.
_MIN_CELLS = 4
_N_REDUCTIONS = 8
# Of vectors that are equally long to this degree the direction decides.
_EQUAL_LENGTH = 1.1


def lattice_vectors(positions, sublattice, members=None, nearest=None):
    """Compute the two lattice vectors around each column.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    sublattice : ndarray of shape (n,)
        Their sublattices.
    members : dict, default=None
        What sublattice_members makes of both, if it is known.
    nearest : Nearest, default=None
        That of all columns, if it is known.

    Returns
    -------
    vectors : ndarray of shape (n, 2, 2)
        Vectors a and b in the rows, ``(row, col)`` in px; NaN without enough
        neighbours of the same sublattice on one lattice. Of the shortest vectors
        of its crystal, a is the nearest to +col in the mean over the crystal; b is
        turned from a towards +row, by as near to 90° as can be, 120° before 60°.
    """
    cells = np.full((len(positions), 2, 2), np.nan)
    for own, alike in (members or sublattice_members(positions, sublattice)).values():
        if len(own) >= _MIN_COLUMNS:
            cells[own] = _fit_cells(alike)
    known = np.flatnonzero(np.isfinite(cells).all(axis=(1, 2)))
    if known.size:
        if nearest is None or known.size < len(positions):
            nearest = Nearest(positions[known])
        cells[known] = _agree(nearest, cells[known])
    return cells


def _fit_cells(nearest):
    """Fit a cell, as it comes, to the neighbours of each column."""
    n, near = len(nearest.positions), nearest.index.T
    # Rows and columns apart, neighbour by neighbour: long arrays are fast.
    row, col = nearest.positions.T.copy()
    row, col = row[near] - row, col[near] - col
    cell = _shortest_cells(row, col, near == np.arange(n))
    for _ in range(2):
        cell = _refine_cells(row, col, *cell)
    return np.stack(cell, axis=1).reshape(n, 2, 2)


def _shortest_cells(row, col, own):
    """Find the shortest step and the shortest across it, b turned towards +row."""
    here = np.arange(row.shape[1])
    squared = row**2 + col**2
    squared[own | (squared == 0)] = np.inf
    nearest = squared.argmin(axis=0)
    a_row, a_col = row[nearest, here], col[nearest, here]
    cross = a_col * row - a_row * col
    oblique = cross**2 > _MIN_SINE**2 * (row**2 + col**2) * (a_row**2 + a_col**2)
    squared[~oblique] = np.inf
    nearest = squared.argmin(axis=0)
    # No step across: the cell has no area and what follows gives NaN.
    side = np.where(oblique.any(axis=0), np.sign(cross[nearest, here]), 0)
    return a_row, a_col, side * row[nearest, here], side * col[nearest, here]


def _refine_cells(row, col, a_row, a_col, b_row, b_col):
    """Least squares of a place and two vectors to the steps one cell around."""
    with np.errstate(invalid="ignore", divide="ignore"):
        area = a_col * b_row - a_row * b_col
        i = (b_row * col - b_col * row) / area
        j = (a_col * row - a_row * col) / area
        shorter = np.minimum(a_row**2 + a_col**2, b_row**2 + b_col**2)
        off_i, off_j = i - np.rint(i), j - np.rint(j)
        miss = (off_i * a_row + off_j * b_row) ** 2
        miss += (off_i * a_col + off_j * b_col) ** 2
        used = (np.abs(i) < 1.5) & (np.abs(j) < 1.5)
        used &= miss < _STEP_TOLERANCE**2 * shorter
        count = used.sum(axis=0)
        i, j = np.where(used, np.rint(i), 0), np.where(used, np.rint(j), 0)
        # Centred on their means, so that the place drops out of the equations.
        from_i = np.where(used, i - i.sum(axis=0) / count, 0)
        from_j = np.where(used, j - j.sum(axis=0) / count, 0)
        ii, ij, jj = _dot(from_i, i), _dot(from_i, j), _dot(from_j, j)
        determinant = ii * jj - ij**2
        fitted, squares = [], 0.0
        for step in (row, col):
            i_step, j_step = _dot(from_i, step), _dot(from_j, step)
            a = (jj * i_step - ij * j_step) / determinant
            b = (ii * j_step - ij * i_step) / determinant
            fitted.append((a, b))
            own = step - np.where(used, step, 0).sum(axis=0) / count
            squares = squares + _dot(np.where(used, own, 0), own)
            squares = squares - a * i_step - b * j_step
        good = (count >= _MIN_COLUMNS) & (determinant > 1e-3)
        good &= squares < _MAX_MISFIT**2 * shorter * count
    (a_row, b_row), (a_col, b_col) = fitted
    return [np.where(good, part, np.nan) for part in (a_row, a_col, b_row, b_col)]


def _dot(first, second):
    return np.einsum("kn,kn->n", first, second)


def _agree(nearest, cells):
    """Bring the cells of each connected crystal to one choice of vectors."""
    n = len(cells)
    pairs = np.empty((0, 2), dtype=np.intp)
    if n > 1:
        pairs, _ = nearest.pairs(_BOND_REACH * nearest.typical_distance(), _N_BONDS)
    inverse = _inverse(cells)
    change = cells[pairs[:, 1]] @ inverse[pairs[:, 0]]
    whole = np.rint(change)
    mismatch = np.abs(change - whole).max(axis=(1, 2))
    same = (mismatch < _CELL_TOLERANCE) & (_determinant(whole) == 1)
    pairs, mismatch = pairs[same], mismatch[same]
    forest = spanning_forest(n, pairs, mismatch + 1e-6)
    # From the cell of each column to its parent's.
    back = np.rint(cells[forest.parent] @ inverse)
    cells = accumulate(forest.parent, back, np.matmul) @ cells
    size = np.bincount(forest.part)
    mean = np.stack(
        [
            np.bincount(forest.part, component) / size
            for component in cells.reshape(n, 4).T
        ],
        axis=1,
    ).reshape(-1, 2, 2)
    chosen = np.rint(_conventional(_reduce(mean)) @ _inverse(mean))
    cells = chosen[forest.part] @ cells
    cells[size[forest.part] < _MIN_CELLS] = np.nan
    return cells


def _reduce(cells):
    """Gauss's reduction to the shortest vectors, the shorter one first."""
    for _ in range(_N_REDUCTIONS):
        a, b = cells[:, 0], cells[:, 1]
        swap = (a**2).sum(axis=1) > (b**2).sum(axis=1)
        a, b = np.where(swap[:, None], (b, -a), (a, b))
        times = np.rint((a * b).sum(axis=1) / (a**2).sum(axis=1))
        cells = np.stack([a, b - times[:, None] * a], axis=1)
    return cells


def _conventional(cells):
    """Choose a and b among the shortest vectors of reduced cells."""
    a, b = cells[:, 0], cells[:, 1]
    vectors = np.stack([a, b, a + b, a - b], axis=1)
    vectors = np.concatenate([vectors, -vectors], axis=1)
    length = np.sqrt((vectors**2).sum(axis=2))
    short = length <= _EQUAL_LENGTH * length[:, [1]]
    along = np.where(short, vectors[..., 1] / length, -np.inf)
    a = _take(vectors, along.argmax(axis=1))
    area = -_determinant(cells)[:, None]
    cosine = (vectors @ a[:, :, None])[..., 0] / length
    cosine /= np.sqrt((a**2).sum(axis=1))[:, None]
    spans = short & (_cross(a[:, None], vectors) > 0.5 * area)
    # A little towards the obtuse: 120° before 60°.
    b = _take(vectors, np.where(spans, np.abs(cosine + 0.05), np.inf).argmin(axis=1))
    return np.stack([a, b], axis=1)


def _take(vectors, which):
    return vectors[np.arange(len(vectors)), which]


def _cross(a, b):
    """Area that a and b span, positive if b is turned from a towards +row."""
    return a[..., 1] * b[..., 0] - a[..., 0] * b[..., 1]


def _determinant(matrix):
    return matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]


def _inverse(matrix):
    adjoint = np.empty_like(matrix)
    adjoint[:, 0, 0], adjoint[:, 1, 1] = matrix[:, 1, 1], matrix[:, 0, 0]
    adjoint[:, 0, 1], adjoint[:, 1, 0] = -matrix[:, 0, 1], -matrix[:, 1, 0]
    return adjoint / _determinant(matrix)[:, None, None]
