"""Local lattice of each column, without the assumption of long-range order.

Each column's cell is the least-squares fit of a lattice to the neighbours of its own
sublattice within one cell. Neighbouring columns may describe the same lattice by
different cells: all are transformed to the same choice of vectors along the paths of
best agreement, and one convention is applied to each connected crystal. The lattice is
also continued to places where no column is known.
"""

import numpy as np
from scipy.spatial import cKDTree

from .neighbor_graph import accumulate, spanning_forest
from .neighbors import Nearest, sublattice_members

# Two steps span a cell if the sine of their angle exceeds this.
MIN_SINE = 0.5
# A neighbour is on the lattice if it deviates by less than this share of the shorter
# vector; the fit is valid if the mean deviation is less than the second share.
STEP_TOLERANCE_SHARE = 0.25
_MAX_MISFIT_SHARE = 0.15
# An origin and two vectors need three columns; a fourth tests the fit.
_MIN_COLUMNS = 4
# A site this near to a lattice point is the site of that point, in lattice vectors.
MATCH_CELLS = 0.35
# Number of neighbours in the crystal, and their maximum distance.
_N_BONDS = 6
_BOND_REACH_SPACINGS = 2
# Columns of one sublattice that are this near to one another (in their typical
# distances) are joined, too.
_ALIKE_REACH_RATIO = 1.1
# Largest relative difference of cells that describe the same lattice.
_CELL_TOLERANCE_SHARE = 0.25
# Fewer cells in agreement are not a crystal.
_MIN_CELLS = 4
# Steps of the reduction of a pair of vectors to the shortest ones, at most.
_N_REDUCTIONS = 8
# Vectors whose lengths have a ratio below this are chosen by their direction.
_EQUAL_LENGTH_RATIO = 1.1
# Vectors are continued up to this length, in spacings: the second nearest neighbours of
# a honeycomb.
_MAX_VECTOR_SPACINGS = 1.8
# Distances from masked pixels are interpolated between the pixels.
_DEPTH_ERROR_PX = 2
# A vector from one column to another is a vector of the lattice if it leads from at
# least this share of the nearest columns to another one, within this distance
# (spacings); that number of columns is tested, and the vector must end inside for at
# least the minimum number of them.
_MIN_OCCUPIED_SHARE = 0.65
_MATCH_SPACINGS = 0.25
_N_TESTED_COLUMNS = 16
_MIN_TESTED_COLUMNS = 4
# Predictions within this distance are those of the same column (spacings).
_SAME_SPACINGS = 0.5
# If columns are farther apart than this (spacings), others are at the centres of their
# cells, of about this share of their heights.
_MIN_CELL_SPACINGS = 1.25
_CENTER_HEIGHT_SHARE = 0.3


def lattice_vectors(positions, sublattice, members=None, nearest=None):
    """Compute the two lattice vectors around each column.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of one image, px.
    sublattice : ndarray of shape (n,)
        Their sublattices.
    members : dict, default=None
        Result of `sublattice_members` for both, if known.
    nearest : Nearest, default=None
        Neighbours of all columns, if known.

    Returns
    -------
    vectors : ndarray of shape (n, 2, 2)
        Vectors a and b in the rows, ``(row, col)`` in px; NaN without enough
        neighbours of the same sublattice on one lattice. Of the shortest vectors
        of its crystal, a is the nearest to +col on average over the crystal; b is
        rotated from a towards +row by an angle close to 90°, rather 120° than 60°.
    """
    cells = np.full((len(positions), 2, 2), np.nan)
    reach = 0.0
    for own, alike in (members or sublattice_members(positions, sublattice)).values():
        if len(own) >= _MIN_COLUMNS:
            cells[own] = _fit_cells(alike)
            reach = max(reach, _ALIKE_REACH_RATIO * alike.typical_distance())
    known = np.flatnonzero(np.isfinite(cells).all(axis=(1, 2)))
    if known.size:
        if nearest is None or known.size < len(positions):
            nearest = Nearest(positions[known])
        if len(nearest.positions) > 1:
            # The columns of a close pair are much nearer to one another than to others.
            reach = max(reach, _BOND_REACH_SPACINGS * nearest.typical_distance())
        cells[known] = _agree(nearest, cells[known], reach)
    return cells


def vectors_of_one_sublattice(nearest):
    """Compute the lattice vectors around each column of a single sublattice.

    Parameters
    ----------
    nearest : Nearest
        The columns with their neighbours.

    Returns
    -------
    vectors : ndarray of shape (n, 2, 2)
        As of `lattice_vectors`.
    """
    n = len(nearest.positions)
    members = {0: (np.arange(n), nearest)}
    return lattice_vectors(nearest.positions, np.zeros(n, int), members, nearest)


def _fit_cells(nearest):
    """Fit a cell, in any setting, to the neighbours of each column."""
    n, near = len(nearest.positions), nearest.index.T
    # Separate arrays for rows and columns, neighbour by neighbour, for speed.
    row, col = nearest.positions.T.copy()
    row, col = row[near] - row, col[near] - col
    cell = _shortest_cells(row, col, near == np.arange(n))
    for _ in range(2):
        cell = _refine_cells(row, col, *cell)
    return np.stack(cell, axis=1).reshape(n, 2, 2)


def _shortest_cells(row, col, own):
    """Return the shortest step a and the shortest b that is not parallel to it."""
    here = np.arange(row.shape[1])
    squared = row**2 + col**2
    squared[own | (squared == 0)] = np.inf
    nearest = squared.argmin(axis=0)
    a_row, a_col = row[nearest, here], col[nearest, here]
    cross = a_col * row - a_row * col
    oblique = cross**2 > MIN_SINE**2 * (row**2 + col**2) * (a_row**2 + a_col**2)
    squared[~oblique] = np.inf
    nearest = squared.argmin(axis=0)
    # Without such a step the area is zero and the result NaN.
    side = np.where(oblique.any(axis=0), np.sign(cross[nearest, here]), 0)
    return a_row, a_col, side * row[nearest, here], side * col[nearest, here]


def _refine_cells(row, col, a_row, a_col, b_row, b_col):
    """Fit an origin and two vectors to the steps within one cell by least squares."""
    with np.errstate(invalid="ignore", divide="ignore"):
        area = a_col * b_row - a_row * b_col
        i = (b_row * col - b_col * row) / area
        j = (a_col * row - a_row * col) / area
        shorter = np.minimum(a_row**2 + a_col**2, b_row**2 + b_col**2)
        off_i, off_j = i - np.rint(i), j - np.rint(j)
        squared = (off_i * a_row + off_j * b_row) ** 2
        squared += (off_i * a_col + off_j * b_col) ** 2
        used = (np.abs(i) < 1.5) & (np.abs(j) < 1.5)
        used &= squared < STEP_TOLERANCE_SHARE**2 * shorter
        count = used.sum(axis=0)
        i, j = np.where(used, np.rint(i), 0), np.where(used, np.rint(j), 0)
        # Centred on their means, so that the origin drops out of the equations.
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
        good &= squares < _MAX_MISFIT_SHARE**2 * shorter * count
    (a_row, b_row), (a_col, b_col) = fitted
    return [np.where(good, part, np.nan) for part in (a_row, a_col, b_row, b_col)]


def _dot(first, second):
    return np.einsum("kn,kn->n", first, second)


def _agree(nearest, cells, reach):
    """Transform the cells of each connected crystal to the same choice of vectors."""
    n = len(cells)
    pairs = np.empty((0, 2), dtype=np.intp)
    if n > 1:
        pairs, _ = nearest.pairs(reach, _N_BONDS)
    inverse = _inverse(cells)
    change = cells[pairs[:, 1]] @ inverse[pairs[:, 0]]
    whole = np.rint(change)
    mismatch = np.abs(change - whole).max(axis=(1, 2))
    same = (mismatch < _CELL_TOLERANCE_SHARE) & (_determinant(whole) == 1)
    pairs, mismatch = pairs[same], mismatch[same]
    forest = spanning_forest(n, pairs, mismatch + 1e-6)
    # Transformation from the cell of each column to that of its parent.
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
    """Reduce cells to the shortest vectors by Gauss's algorithm, shorter one first."""
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
    short = length <= _EQUAL_LENGTH_RATIO * length[:, [1]]
    along = np.where(short, vectors[..., 1] / length, -np.inf)
    a = _take(vectors, along.argmax(axis=1))
    area = -_determinant(cells)[:, None]
    cosine = (vectors @ a[:, :, None])[..., 0] / length
    cosine /= np.sqrt((a**2).sum(axis=1))[:, None]
    spans = short & (_cross(a[:, None], vectors) > 0.5 * area)
    # A small offset, so that 120° is preferred to 60°.
    b = _take(vectors, np.where(spans, np.abs(cosine + 0.05), np.inf).argmin(axis=1))
    return np.stack([a, b], axis=1)


def _take(vectors, which):
    return vectors[np.arange(len(vectors)), which]


def _cross(a, b):
    """Return the area of a and b, positive if b is rotated from a towards +row."""
    return a[..., 1] * b[..., 0] - a[..., 0] * b[..., 1]


def _determinant(matrix):
    return matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]


def _inverse(matrix):
    adjoint = np.empty_like(matrix)
    adjoint[:, 0, 0], adjoint[:, 1, 1] = matrix[:, 1, 1], matrix[:, 0, 0]
    adjoint[:, 0, 1], adjoint[:, 1, 0] = -matrix[:, 0, 1], -matrix[:, 1, 0]
    return adjoint / _determinant(matrix)[:, None, None]


def continue_lattice(nearest, heights, depth_of, depths, spacing):
    """Predict columns at a range of depths within an area.

    A vector from one column to another nearby is applied to the latter, if it leads
    from most of the columns around to others. Within the area, columns are predicted
    at the centres of the unit cells instead, if the spacing requires columns there.

    Parameters
    ----------
    nearest : Nearest
        Neighbours of the columns.
    heights : ndarray of shape (n,)
        Their amplitudes.
    depth_of : callable
        Returns the distances of places from the border of the area in which columns
        could be found, negative outside, px.
    depths : tuple of float
        Smallest and largest depth of the predicted columns, px.
    spacing : float
        Nearest-neighbour spacing, px.

    Returns
    -------
    places : ndarray of shape (n_predicted, 2)
        Predicted columns, px.
    heights : ndarray of shape (n_predicted,)
        Amplitudes of columns of the same kind.
    """
    nothing = np.empty((0, 2)), np.empty(0)
    positions, tree = nearest.positions, nearest.tree
    if len(positions) <= _N_TESTED_COLUMNS:
        return nothing
    if depths[0] >= 0:
        centers, center_heights = _cell_centers(nearest, heights, depth_of, spacing)
        if len(centers):
            return centers, center_heights
    first, second = _vectors(tree, spacing)
    # One step, from columns on the image that are near enough.
    depth = depth_of(positions)
    is_near = depth > 0
    is_near &= depth < depths[1] + _MAX_VECTOR_SPACINGS * spacing + _DEPTH_ERROR_PX
    first, second = (column[is_near[second]] for column in (first, second))
    places = 2 * positions[second] - positions[first]
    depth = depth_of(places)
    is_asked = (depth > depths[0]) & (depth < depths[1])
    if depths[0] >= 0:
        # Places on the image with a column need no prediction.
        distance, _ = tree.query(
            places[is_asked], distance_upper_bound=_MATCH_SPACINGS * spacing
        )
        is_asked[is_asked] = ~np.isfinite(distance)
    first, second, places = first[is_asked], second[is_asked], places[is_asked]
    is_vector = _leads_to_columns(
        tree, second, positions[second] - positions[first], depth_of, spacing
    )
    first, places = first[is_vector], places[is_vector]
    if not len(places):
        return nothing
    groups = _group(places, _SAME_SPACINGS * spacing)
    size = np.bincount(groups)
    means = [
        np.bincount(groups, values) / size for values in (*places.T, heights[first])
    ]
    return np.stack(means[:2], axis=1), means[2]


def _vectors(tree, spacing):
    """Return the pairs of columns nearby, in both orders."""
    pairs = tree.query_pairs(_MAX_VECTOR_SPACINGS * spacing, output_type="ndarray")
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    return np.concatenate([pairs, pairs[:, ::-1]]).T


def _leads_to_columns(tree, columns, vectors, depth_of, spacing):
    """Check which vectors lead from the columns around a column to others."""
    near_columns = np.unique(columns)
    _, near = tree.query(tree.data[near_columns], k=_N_TESTED_COLUMNS)
    near = near[np.searchsorted(near_columns, columns)]
    goal = tree.data[near] + vectors[:, None]
    # Columns could have been found on good pixels only.
    is_tested = depth_of(goal.reshape(-1, 2)).reshape(goal.shape[:2]) > 0
    n_tested = is_tested.sum(axis=1)
    is_tested[n_tested < _MIN_TESTED_COLUMNS] = False
    margin = _MATCH_SPACINGS * spacing
    distance, _ = tree.query(goal[is_tested], distance_upper_bound=margin)
    is_found = np.zeros_like(is_tested)
    is_found[is_tested] = np.isfinite(distance)
    n_found = is_found.sum(axis=1)
    return (n_tested >= _MIN_TESTED_COLUMNS) & (
        n_found >= _MIN_OCCUPIED_SHARE * n_tested
    )


def _group(places, radius):
    """Return a label for each place, the same for those within a radius of a first."""
    groups = [-1] * len(places)
    n_groups = 0
    near_places = cKDTree(places).query_ball_point(places, radius)
    for place, near in enumerate(near_places):
        if groups[place] < 0:
            for other in near:
                if groups[other] < 0:
                    groups[other] = n_groups
            n_groups += 1
    return np.array(groups)


def _cell_centers(nearest, heights, depth_of, spacing):
    """Return the centres of unit cells if the spacing requires columns there."""
    if nearest.typical_distance() < _MIN_CELL_SPACINGS * spacing:
        return np.empty((0, 2)), np.empty(0)
    vectors = vectors_of_one_sublattice(nearest)
    diagonal = vectors.sum(axis=1)
    # Unknown vectors are NaN.
    is_cell = np.abs(np.hypot(*diagonal.T) / (2 * spacing) - 1) < _MATCH_SPACINGS
    places = (nearest.positions + 0.5 * diagonal)[is_cell]
    heights = _CENTER_HEIGHT_SHARE * heights[is_cell]
    is_inside = depth_of(places) > 0
    return places[is_inside], heights[is_inside]
