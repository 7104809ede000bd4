"""Curl, divergence and winding of vector fields; vortices and Burgers vectors."""

from numbers import Integral, Real

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from .._lattice.neighbors import typical_spacing
from .._utils.angles import wrap_angle
from .._utils.optional import import_optional
from .._utils.robust import STD_PER_MEDIAN
from .._utils.validation import Interval, check_vectors
from ._cell_graph import check_one_sublattice, select_frame
from ._lattice_steps import cell_vectors, lattice_neighbors, with_vacancies

# Cells around a core, within this distance, to which the vectors are fitted.
_CORE_REACH_CELLS = 2.6
_CORE_ROUNDS = 5
# Half-widths, in cells, of the loops around a core on which its winding must be
# certain, and times of further smoothing with which it may be.
_LOOP_HALF_WIDTHS_CELLS = (1, 2, 3, 4)
_LOOP_SMOOTHING_ROUNDS = (0, 2, 5)
# Variance of a value minus the mean of its four neighbours, over that of a value.
_DIFFERENCE_VARIANCE = 1.25


def vector_topology(sites, vectors=None):
    """Compute curl, divergence and winding number around every plaquette.

    A plaquette is the quadrilateral of four neighbouring cells, at r, r + a, r + a + b
    and r + b, with a and b the lattice vectors.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    vectors : array-like of shape (n_sites, 2), default=None
        Vectors ``(row, col)``, NaN where unknown; ``sites.polarization`` by default.

    Returns
    -------
    topology : :class:`~sklearn.utils.Bunch`
        Arrays with one entry a plaquette whose four cells have vectors:

        positions : ndarray of shape (n_plaquettes, 2)
            Centre of the plaquette ``(row, col)``, px.
        frame : ndarray of shape (n_plaquettes,)
            Image.
        corners : ndarray of shape (n_plaquettes, 4)
            Indices of the cells in the order above.
        curl : ndarray of shape (n_plaquettes,)
            ∂v_row/∂col - ∂v_col/∂row, in the unit of the vectors per px: positive
            where the vectors circulate from +col towards +row, clockwise for the eye.
        divergence : ndarray of shape (n_plaquettes,)
            ∂v_row/∂row + ∂v_col/∂col, in the unit of the vectors per px. The bound
            charge density is minus the divergence of the polarization.
        winding : ndarray of shape (n_plaquettes,)
            Turns of the vector on a path around the plaquette: 1 in the core of a
            vortex, -1 in that of an antivortex, else 0.
        curvature : ndarray of shape (n_plaquettes,)
            Change of direction of the vectors per length, ``|grad θ|``, radians per px,
            from the mean of the four changes; large in walls and cores.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If shapes do not fit or the sites are of several sublattices.

    See Also
    --------
    find_vortices : The cores, as a table.

    Notes
    -----
    Curl and divergence are the line integrals of the tangential and the normal
    component along the sides, by the trapezoidal rule, over the area of the plaquette.
    This is Green's theorem: summed over a region, only the integral around it remains,
    and no orthogonal lattice is assumed.

    The winding number is (1/2π) times the sum of the changes of angle from corner to
    corner, each wrapped to [-π, π). It is a whole number whatever the noise, but noise
    of the order of the vectors makes pairs of cores of opposite sign.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import vector_topology
    >>> positions = 10.0 * np.indices((8, 8)).reshape(2, -1).T + 5
    >>> d_row, d_col = (positions - 40).T
    >>> circulating = np.column_stack([d_col, -d_row])
    >>> sites = AtomSites(np.zeros((80, 80)), positions)
    >>> topology = vector_topology(sites, circulating)
    >>> int(topology.winding.sum()), round(float(topology.curl.mean()), 3)
    (1, 2.0)
    """
    check_one_sublattice(sites)
    vectors = check_vectors(sites, vectors)
    return _topology(sites, lattice_neighbors(sites), vectors)


def _topology(sites, neighbors, vectors):
    """Compute the quantities of `vector_topology` with known neighbours."""
    corners = _plaquettes(neighbors)
    corners = corners[np.isfinite(vectors[corners]).all(axis=(1, 2))]
    place, v = sites.positions[corners], vectors[corners]
    side = np.roll(place, -1, axis=1) - place
    middle = (np.roll(v, -1, axis=1) + v) / 2
    # Sides run along a, b, -a, -b: from +col towards +row.
    area = _area(place)
    curl = (middle * side).sum(axis=(1, 2)) / area
    normal = np.stack([-side[..., 1], side[..., 0]], axis=-1)
    divergence = (middle * normal).sum(axis=(1, 2)) / area
    angle = np.arctan2(v[..., 0], v[..., 1])
    step = wrap_angle(np.roll(angle, -1, axis=1) - angle)
    winding = np.rint(step.sum(axis=1) / (2 * np.pi)).astype(int)
    length = np.hypot(side[..., 0], side[..., 1])
    along_a, along_b = (
        np.abs(step[:, [k, k + 2]]).mean(axis=1) / length[:, [k, k + 2]].mean(axis=1)
        for k in (0, 1)
    )
    return Bunch(
        positions=place.mean(axis=1),
        frame=sites.frame[corners[:, 0]] if len(corners) else np.empty(0, int),
        corners=corners,
        curl=curl,
        divergence=divergence,
        winding=winding,
        curvature=np.hypot(along_a, along_b),
    )


@validate_params(
    {
        "smoothing": [Interval(Integral, 0, None, closed="left")],
        "min_separation": [Interval(Real, 0, None, closed="neither")],
        "min_significance": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def find_vortices(
    sites, vectors=None, *, smoothing=0, min_separation=3.0, min_significance=3.0
):
    """Find the cores of vortices and antivortices.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    vectors : array-like of shape (n_sites, 2), default=None
        Vectors ``(row, col)``, NaN where unknown; ``sites.polarization`` by default.
    smoothing : int, default=0
        Times that each vector is replaced by the weighted mean of its own (1/2) and
        its neighbours' (1/8 each); 2 suppresses noise as large as the vectors.
    min_separation : float, default=3.0
        Plaquettes with a winding number that are nearer to one another than this many
        cells are one core.
    min_significance : float, default=3.0
        Cores of less `significance` are left out; 0 keeps all.

    Returns
    -------
    vortices : pandas.DataFrame
        One row a core, with the columns

        frame : int
            Image.
        winding : int
            1 for a vortex (also a hedgehog), -1 for an antivortex.
        row, col : float
            Position, px.
        x_nm, y_nm : float
            The same along +col and +row, if the pixel size is known.
        circulation : float
            Curl of the linear fit over √2 times the norm of its gradient, in [-1, 1]: 1
            for a vortex that circulates from +col towards +row (clockwise for the eye),
            -1 for the other sense, 0 for a hedgehog or a symmetric antivortex.
        significance : float
            Shortest vector on a loop around the core, interpolated between its cells,
            over the noise: the number of standard deviations by which the winding of
            the loop is certain. The best of loops up to eight cells wide.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If shapes do not fit or the sites are of several sublattices.
    ImportError
        If pandas is not installed.

    See Also
    --------
    vector_topology : Winding numbers, curl and divergence of all plaquettes.

    Notes
    -----
    Near plaquettes with a winding number are one core, with the sum of their winding
    numbers: a pair of opposite sign, as noise makes it next to a core, where the
    vectors are short, is none. The core's position is the zero of a linear fit to the
    vectors within 2.6 cells.

    Between opposite vectors, as across a 180° wall, the sense of the rotation is that
    of the noise, and so winding numbers are found along every such wall. They are no
    cores: every loop crosses the wall, where the interpolated vector is as short as
    its noise. The noise is estimated from the differences of the vectors and the mean
    of their neighbours. A single cell that is missing or has no vector, as the
    core's, gets the mean of its neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import find_vortices
    >>> positions = 10.0 * np.indices((8, 8)).reshape(2, -1).T + 5
    >>> d_row, d_col = (positions - [42, 38]).T
    >>> circulating = np.column_stack([d_col, -d_row])
    >>> sites = AtomSites(np.zeros((80, 80)), positions)
    >>> find_vortices(sites, circulating).round(2)
       frame  winding   row   col  circulation  significance
    0      0        1  42.0  38.0          1.0           inf
    """
    pandas = import_optional("pandas", "io")
    check_one_sublattice(sites)
    vectors = check_vectors(sites, vectors)
    filled = with_vacancies(sites)
    n_vacant = len(filled) - len(sites)
    raw = np.concatenate([vectors, np.full((n_vacant, 2), np.nan)])
    neighbors = lattice_neighbors(filled)
    vectors = _smooth(neighbors, raw, smoothing)
    topology = _topology(filled, neighbors, _fill_unknown(neighbors, vectors))
    noise = _noise(neighbors, raw)
    tested = []
    for more in _LOOP_SMOOTHING_ROUNDS:
        times = int(smoothing) + more
        field = _fill_unknown(neighbors, _smooth(neighbors, raw, times))
        tested.append((field, noise * _noise_gain(times)))
    sites = filled
    defect = np.flatnonzero(topology.winding)
    rows = []
    spacing = typical_spacing(sites.positions[sites.frame == sites.frame[0]]) or 1.0
    for frame in np.unique(topology.frame[defect]):
        own = defect[topology.frame[defect] == frame]
        for group in _clusters(topology.positions[own], min_separation * spacing):
            members = own[group]
            winding = int(topology.winding[members].sum())
            if winding == 0:
                continue
            significance = _significance(neighbors, tested, topology, members, winding)
            if significance < min_significance:
                continue
            (row, col), circulation = _core(sites, vectors, topology, members, spacing)
            rows.append(
                {
                    "frame": frame,
                    "winding": winding,
                    "row": row,
                    "col": col,
                    **_in_nm(sites, frame, row, col),
                    "circulation": circulation,
                    "significance": significance,
                }
            )
    columns = ["frame", "winding", "row", "col", "circulation", "significance"]
    if any(size is not None for size in sites.pixel_size):
        columns[4:4] = ["x_nm", "y_nm"]
    return pandas.DataFrame(rows, columns=columns)


def smooth_vectors(sites, vectors, times):
    """Return vectors averaged with those of their neighbours, NaN left out."""
    return _smooth(lattice_neighbors(sites), vectors, times)


def _smooth(neighbors, vectors, times):
    """Return vectors averaged with those of their neighbours, NaN left out."""
    for _ in range(int(times)):
        padded = np.concatenate([vectors, np.full((1, 2), np.nan)])
        near = padded[neighbors]
        weight = 0.125 * np.isfinite(near).all(axis=2)
        total = 0.5 * vectors + np.nansum(near * weight[..., None], axis=1)
        vectors = total / (0.5 + weight.sum(axis=1))[:, None]
    return vectors


def _fill_unknown(neighbors, vectors):
    """Return vectors with single unknown ones replaced by the mean around them."""
    vectors = vectors.copy()
    # The second round completes pairs of unknown vectors.
    for _ in range(2):
        near = np.concatenate([vectors, np.full((1, 2), np.nan)])[neighbors]
        known = np.isfinite(near).all(axis=2)
        empty = ~np.isfinite(vectors).all(axis=1) & (known.sum(axis=1) >= 3)
        near, known = near[empty], known[empty]
        total = np.where(known[..., None], near, 0).sum(axis=1)
        vectors[empty] = total / known.sum(axis=1)[:, None]
    return vectors


def _noise(neighbors, vectors):
    """Return the standard deviation of the noise of a component."""
    near = np.concatenate([vectors, np.full((1, 2), np.nan)])[neighbors]
    difference = vectors - near.mean(axis=1)
    difference = difference[np.isfinite(difference).all(axis=1)]
    if not len(difference):
        return 0.0
    median = np.median(np.abs(difference))
    # Differences of exact vectors are rounding errors.
    if median < 1e-9 * np.nanmax(np.abs(vectors)):
        return 0.0
    return float(STD_PER_MEDIAN * median / np.sqrt(_DIFFERENCE_VARIANCE))


def _noise_gain(times):
    """Return the factor by which smoothing changes the noise of a vector."""
    kernel = np.zeros((2 * times + 1, 2 * times + 1))
    kernel[times, times] = 1
    for _ in range(times):
        around = sum(np.roll(kernel, step, axis) for step in (-1, 1) for axis in (0, 1))
        kernel = 0.5 * kernel + 0.125 * around
    return float(np.sqrt((kernel**2).sum()))


def _significance(neighbors, tested, topology, members, winding):
    """Return by how many standard deviations the winding around a core is certain."""
    place = topology.positions[members]
    nearest = np.hypot(*(place - place.mean(axis=0)).T).argmin()
    corner = topology.corners[members[nearest]][0]
    best = 0.0
    for half_width in _LOOP_HALF_WIDTHS_CELLS:
        loop = _loop(neighbors, corner, half_width)
        if loop is None:
            continue
        for vectors, noise in tested:
            v = vectors[loop]
            if not np.isfinite(v).all() or _winding(v) != winding:
                continue
            shortest = _shortest(v)
            if shortest > 0:
                best = max(best, shortest / noise if noise > 0 else np.inf)
    return float(best)


def _loop(neighbors, corner, half_width):
    """Return the cells around a plaquette in order, None if one is missing."""
    n = len(neighbors)
    cell = corner
    for direction in [2] * (half_width - 1) + [3] * (half_width - 1):
        cell = neighbors[cell, direction] if cell < n else n
    loop = []
    for direction in np.repeat(range(4), 2 * half_width - 1):
        if cell == n:
            return None
        loop.append(cell)
        cell = neighbors[cell, direction]
    # The loop does not close around a dislocation.
    return np.array(loop) if cell == loop[0] else None


def _winding(vectors):
    """Return the turns of the vectors on a loop."""
    angle = np.arctan2(vectors[:, 0], vectors[:, 1])
    step = wrap_angle(np.roll(angle, -1) - angle)
    return round(step.sum() / (2 * np.pi))


def _shortest(vectors):
    """Return the shortest vector on a loop, linear between its cells."""
    step = np.roll(vectors, -1, axis=0) - vectors
    squared = np.maximum((step**2).sum(axis=1), np.finfo(float).tiny)
    share = np.clip(-(vectors * step).sum(axis=1) / squared, 0, 1)
    return np.hypot(*(vectors + share[:, None] * step).T).min()


def _plaquettes(neighbors):
    """Return the cells of each plaquette in the order r, r + a, r + a + b, r + b."""
    n = len(neighbors)
    start = np.arange(n)
    neighbors = np.concatenate([neighbors, np.full((1, 4), n)])
    along_a, along_b = neighbors[start, 0], neighbors[start, 1]
    far, also = neighbors[along_a, 1], neighbors[along_b, 0]
    whole = (along_a < n) & (along_b < n) & (far < n) & (far == also)
    return np.column_stack([start, along_a, far, along_b])[whole]


def _area(place):
    """Return the area of quadrilaterals, positive if they run towards +row."""
    first, second = place[:, 2] - place[:, 0], place[:, 3] - place[:, 1]
    return 0.5 * (first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1])


def _clusters(points, reach):
    """Yield the indices of points that are connected by steps within reach."""
    pairs = cKDTree(points).query_pairs(reach, output_type="ndarray")
    n = len(points)
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
    part = connected_components(graph, directed=False)[1]
    for number in range(part.max() + 1):
        yield np.flatnonzero(part == number)


def _core(sites, vectors, topology, members, spacing):
    """Return the zero of a linear fit to the vectors around a core, and circulation."""
    start = topology.positions[members].mean(axis=0)
    frame = topology.frame[members[0]]
    usable = (sites.frame == frame) & np.isfinite(vectors).all(axis=1)
    reach = _CORE_REACH_CELLS * spacing
    near = usable & (np.hypot(*(sites.positions - start).T) < 3 * reach)
    near = np.flatnonzero(near)
    core, gradient = start, np.zeros((2, 2))
    for _ in range(_CORE_ROUNDS):
        offset = sites.positions[near] - core
        chosen = np.hypot(*offset.T) < reach
        if chosen.sum() < 4:
            break
        design = np.column_stack([np.ones(chosen.sum()), offset[chosen]])
        fitted = np.linalg.lstsq(design, vectors[near[chosen]], rcond=None)[0]
        gradient = fitted[1:].T
        if abs(np.linalg.det(gradient)) < 1e-12 * (gradient**2).sum():
            break
        shift = -np.linalg.solve(gradient, fitted[0])
        core = core + shift * min(1.0, spacing / max(np.hypot(*shift), 1e-12))
    # A fit that has left the defect has found another one, or none.
    core = core if np.hypot(*(core - start)) < reach else start
    size = np.sqrt(2 * (gradient**2).sum())
    curl = gradient[0, 1] - gradient[1, 0]
    return core, float(curl / size) if size > 0 else 0.0


def _in_nm(sites, frame, row, col):
    if all(size is None for size in sites.pixel_size):
        return {}
    size = sites.pixel_size[frame]
    size = np.nan if size is None else size
    return {"x_nm": col * size, "y_nm": row * size}


# Points of the circle per cell of its radius, dense enough to pass each cell.
_POINTS_PER_CELL = 40
# A step of the circuit that misses a lattice vector by more is not a lattice vector.
_MAX_MISFIT_CELLS = 0.4


@validate_params(
    {
        "center": ["array-like"],
        "radius_cells": [Interval(Real, 1, None, closed="left")],
        "frame": [Interval(Integral, 0, None, closed="left"), None],
    },
    prefer_skip_nested_validation=True,
)
def burgers_vector(sites, center, *, radius_cells=4.0, frame=None):
    """Compute the Burgers vector by a circuit through the cells around a point.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Sites of one sublattice, such as ``sites[sites.sublattice == 0]``.
    center : array-like of shape (2,)
        Centre of the circuit ``(row, col)``, px.
    radius_cells : float, default=4.0
        Radius of the circuit, in distances of nearest neighbours. The circuit must not
        pass through the core.
    frame : int, default=None
        Image; needed if the sites lie on several.

    Returns
    -------
    burgers : :class:`~sklearn.utils.Bunch`
        Dictionary-like object:

        indices : ndarray of int of shape (2,)
            Burgers vector in lattice vectors (a, b); (0, 0) without a dislocation.
        vector : ndarray of shape (2,)
            The same as ``(row, col)``, px, with the mean lattice vectors.
        circuit : ndarray of int of shape (n_steps,)
            Indices of the sites of the circuit, in order.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If the circuit leaves the crystal, a step of it is not one of the lattice, or
        `frame` is needed but not given.

    See Also
    --------
    sklearn_ferroic.LatticeStrain : Strain and rotation of each cell.

    Notes
    -----
    The circuit goes from +col towards +row, clockwise for the eye, and closes in the
    image. The sum of its steps in the perfect lattice, as whole lattice vectors, is
    zero in a perfect crystal. The Burgers vector is minus that sum, which is the
    vector from the end to the start of the same circuit in the perfect crystal, with
    the line of the dislocation into the image (FS/RH convention [1]_). The other sense
    of the line has the opposite vector.

    References
    ----------
    .. [1] J. P. Hirth and J. Lothe, "Theory of Dislocations", 2nd ed., 1982, chapter 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.domains import burgers_vector
    >>> data = make_ferroic_image("film", dislocation=True, random_state=0)
    >>> sites = AtomSites(data.image, data.positions, sublattice=data.sublattice)[
    ...     data.sublattice == 0
    ... ]
    >>> burgers_vector(sites, [400, 410]).indices
    array([-1,  0])
    """
    check_one_sublattice(sites)
    center = np.asarray(center, dtype=np.float64)
    if center.shape != (2,) or not np.isfinite(center).all():
        raise ValueError(f"center must be a finite (row, col), got {center!r}.")
    frame, rows = select_frame(sites, frame)
    if len(rows) < 4:
        raise ValueError(f"The image {frame} has {len(rows)} sites; 4 are needed.")
    positions = sites.positions[rows]
    cells = cell_vectors(sites[rows])
    tree = cKDTree(positions)
    spacing = float(np.median(tree.query(positions, k=2)[0][:, 1]))
    n_points = int(_POINTS_PER_CELL * radius_cells)
    angle = np.linspace(0, 2 * np.pi, n_points, endpoint=False)
    circle = center + radius_cells * spacing * np.column_stack(
        [np.sin(angle), np.cos(angle)]
    )
    gap, nearest = tree.query(circle)
    if (gap > 1.2 * spacing).any():
        row, col = circle[gap.argmax()]
        raise ValueError(
            "The circuit leaves the crystal or passes a hole: no site is within 1.2 "
            f"cells of the point ({row:.0f}, {col:.0f}) on it. "
            "Choose another centre or radius."
        )
    circuit = nearest[np.diff(nearest, prepend=nearest[-1]) != 0]
    step = np.roll(positions[circuit], -1, axis=0) - positions[circuit]
    cell = (cells[circuit] + np.roll(cells[circuit], -1, axis=0)) / 2
    # step = indices @ cell, cell by cell.
    indices = np.linalg.solve(cell.swapaxes(1, 2), step[..., None])[..., 0]
    whole = np.rint(indices)
    if np.abs(indices - whole).max() > _MAX_MISFIT_CELLS:
        raise ValueError(
            "A step of the circuit is not a lattice vector: it passes too near to the "
            "core or through a fault. Choose a larger radius."
        )
    total = -whole.sum(axis=0).astype(int)
    return Bunch(
        indices=total,
        vector=total @ cell.mean(axis=0),
        circuit=rows[circuit],
    )
