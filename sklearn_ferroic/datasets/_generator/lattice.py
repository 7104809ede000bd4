"""Positions of the columns of a perovskite: lattice, tilt, dislocation, drift.

All functions use arrays of (row, col) in pixels of the undistorted crystal.
"""

import numpy as np

# Poisson's ratio in the displacement field of a dislocation; typical of oxides.
POISSON_RATIO = 0.3


def ideal_lattice(shape, cell, origin, margin):
    """Return the columns of a square A/B lattice that cover an image and a margin.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the image.
    cell : float
        Side of the unit cell, px.
    origin : ndarray of shape (2,)
        Position of the A column of cell (0, 0), px.
    margin : float
        Width of the border around the image that is filled too, px.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        All A columns, then all B columns.
    cells : ndarray of shape (n, 2)
        Index of the cell along the rows and the columns.
    sublattice : ndarray of shape (n,)
        0 for A, 1 for B.
    """
    first = np.floor((-margin - origin) / cell).astype(int)
    last = np.ceil((np.asarray(shape) + margin - origin) / cell).astype(int)
    grid = np.mgrid[first[0] : last[0] + 1, first[1] : last[1] + 1]
    corner = grid.reshape(2, -1).T
    cells = np.concatenate([corner, corner])
    sublattice = np.repeat([0, 1], len(corner))
    positions = origin + cell * (cells + 0.5 * sublattice[:, None])
    return positions, cells, sublattice


def mistilt_field(positions, shape, tilt, rng):
    """Return a slowly varying specimen tilt, (row, col) in units of `tilt`."""
    direction, axis, phase = rng.uniform(0, 2 * np.pi, 3)
    scaled = positions / np.asarray(shape) - 0.5
    along = scaled @ np.array([np.sin(axis), np.cos(axis)])
    across = scaled @ np.array([np.cos(axis), -np.sin(axis)])
    size = 0.5 * tilt * (1 + np.cos(1.2 * np.pi * along + phase))
    angle = direction + 0.8 * across
    return size[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])


def nearest_core(asked, origin, cell):
    """Return the possible core of a dislocation nearest to `asked`.

    It lies a quarter of a cell from an A column, between it and the next B
    column, so that no column falls into the core.
    """
    cells = np.rint((np.asarray(asked) - origin) / cell - 0.25)
    return origin + cell * (cells + 0.25)


def dislocate(positions, cell, core):
    """Return the displacement of an edge dislocation and the columns that remain.

    Isotropic elasticity, Burgers vector of one cell along the columns. The
    extra half plane of one A and one B column ends at the core and lies at the
    smaller rows.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of the perfect crystal, px.
    cell : float
        Side of the unit cell and length of the Burgers vector, px.
    core : ndarray of shape (2,)
        Where the core lies, px; best amid four columns.

    Returns
    -------
    displacement : ndarray of shape (n, 2)
        Shift of each column, px.
    keep : ndarray of shape (n,) of bool
        False where the half plane is taken out.

    References
    ----------
    J. P. Hirth and J. Lothe, Theory of Dislocations, 2nd ed. (1982), ch. 3.
    """
    down, x = (positions - core).T
    keep = ~((down > 0) & (x >= -cell / 2) & (x < cell / 2))
    along, across = _edge_field(x, -down, cell)
    return cell / (2 * np.pi) * np.column_stack([-across, along]), keep


def dissociate(positions, cell, core, distance):
    """Return the displacement of two partial dislocations and the columns that remain.

    The Burgers vectors are half a cell along the columns plus, and minus, half a cell
    along the rows. The partials lie above each other. The fault between them is a
    pair of neighbouring planes of A columns, from which the plane of B columns is
    missing, displaced by half a cell along the rows.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns of the perfect crystal, px.
    cell : float
        Side of the unit cell, px.
    core : ndarray of shape (2,)
        Middle of the partials, a quarter of a cell from an A column, as `nearest_core`
        returns it, px.
    distance : float
        Distance of the partials along the rows, px; rounded to an odd number of half
        cells.

    Returns
    -------
    displacement : ndarray of shape (n, 2)
        Shift of each column, px.
    keep : ndarray of shape (n,) of bool
        False where planes are taken out.
    """
    # Half a cell more or less, so that no columns are closer than in the fault.
    n_cells = max(1, int(np.rint(distance / cell + 0.5))) - 0.5
    # The fault takes out a plane of B columns, a quarter of a cell from the core.
    middle = core + np.array([0.0, 0.25 * cell])
    rows = middle[0] + cell * (np.array([0, n_cells]) - np.floor(n_cells / 2))
    displacement = np.zeros(positions.shape)
    for sign, row in zip((1, -1), rows, strict=True):
        x, y = positions[:, 1] - middle[1], row - positions[:, 0]
        along, across = _edge_field(x, y, cell)
        half = cell / (4 * np.pi)
        displacement += half * np.column_stack([-across, along])
        # the same field, rotated by 90°, for the component along the rows; the angle
        # jumps at the same half plane
        rotated, normal = _edge_field(-y, x, cell, -np.arctan2(x, y))
        displacement += half * sign * np.column_stack([rotated, normal])
    x = positions[:, 1] - middle[1]
    # limits between the planes of columns, which are half a cell apart
    is_b_plane = np.abs(x) < cell / 4
    is_cell = (x > -0.75 * cell) & (x < 0.25 * cell)
    fault = (positions[:, 0] > rows[0]) & (positions[:, 0] <= rows[1])
    out = (fault & is_b_plane) | ((positions[:, 0] > rows[1]) & is_cell)
    return displacement, ~out


def _edge_field(x, y, cell, angle=None):
    """Return the field of an edge dislocation, along and across its Burgers vector.

    In units of the Burgers vector over 2 pi, which points along x. `angle` is the
    polar angle plus a constant, with its jump where planes are taken out.
    """
    squared = np.maximum(x**2 + y**2, (cell / 4) ** 2)
    stiff = 1 - POISSON_RATIO
    angle = -np.arctan2(x, y) if angle is None else angle
    along = angle + x * y / (2 * stiff * squared)
    across = (1 - 2 * POISSON_RATIO) / (4 * stiff) * np.log(squared / cell**2)
    return along, -(across + (x**2 - y**2) / (4 * stiff * squared))


def draw_drift(drift, rng):
    """Draw the directions and phase of a slow drift of `drift` px over one frame."""
    angle, wobble, phase = rng.uniform(0, 2 * np.pi, 3)
    return {
        "steady": drift * np.array([np.sin(angle), np.cos(angle)]),
        "wobble": 0.15 * drift * np.array([np.sin(wobble), np.cos(wobble)]),
        "phase": phase,
    }


def drift_at(rows, height, drift):
    """Return the shift (row, col) of the specimen at each scanned row, px."""
    time = np.asarray(rows) / height - 0.5
    wave = np.sin(2.5 * np.pi * time + drift["phase"]) - np.sin(drift["phase"])
    return time[:, None] * drift["steady"] + wave[:, None] * drift["wobble"]
