"""Burgers vector of the dislocations within a circuit."""

from numbers import Real

import numpy as np
from scipy.spatial import cKDTree
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from ._cell_graph import check_one_sublattice
from ._lattice_steps import cell_vectors

# Points of the circle per cell of its radius, dense enough to pass each cell.
_POINTS_PER_CELL = 40
# A step of the circuit that misses a lattice vector by more is no step of the lattice.
_MAX_MISFIT_CELLS = 0.4


@validate_params(
    {
        "center": ["array-like"],
        "radius_cells": [Interval(Real, 1, None, closed="left")],
        "frame": [Interval(Real, 0, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def burgers_vector(sites, center, *, radius_cells=4.0, frame=0):
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
    frame : int, default=0
        Image.

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
        If the circuit leaves the crystal, or a step of it is not one of the lattice.

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
    rows = np.flatnonzero(sites.frame == frame)
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
            "A step of the circuit is no lattice vector: it passes too near to the "
            "core or through a fault. Choose a larger radius."
        )
    total = -whole.sum(axis=0).astype(int)
    return Bunch(
        indices=total,
        vector=total @ cell.mean(axis=0),
        circuit=rows[circuit],
    )
