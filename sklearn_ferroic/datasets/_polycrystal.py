"""Images of polycrystals with grains of random orientation."""

from numbers import Integral, Real

import numpy as np
from scipy.spatial import cKDTree
from sklearn.utils import Bunch, check_random_state
from sklearn.utils._param_validation import validate_params

from .._utils.validation import Interval
from ._ferroic import NOT_NEGATIVE, POSITIVE
from ._generator.columns import displace, lay_out
from ._generator.image import take_image
from ._generator.lattice import ideal_lattice
from ._generator.options import resolve_options, streams_of

# Columns of two grains come no nearer than this share of the distance from A to B.
_NEAREST_SHARE = 0.75
# So near a boundary, in unit cells, a column or one of its neighbours may be missing.
_BOUNDARY_REACH_CELLS = 1.25
# Number of candidates for each grain's centre; the one farthest from others is used.
_N_CANDIDATES = 20


@validate_params(
    {
        "n_grains": [Interval(Integral, 1, None, closed="left")],
        "shape": ["array-like", None],
        "pixel_size": POSITIVE,
        "lattice_parameter_nm": POSITIVE,
        "displacement_pm": NOT_NEGATIVE,
        "dose": [Interval(Real, 0, None, closed="right"), None],
        "thickness_gradient": [Interval(Real, 0, 1, closed="both"), None],
        "mistilt_mrad": NOT_NEGATIVE,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_polycrystal(
    n_grains=12,
    *,
    shape=None,
    pixel_size=None,
    lattice_parameter_nm=None,
    displacement_pm=None,
    dose=None,
    thickness_gradient=None,
    mistilt_mrad=None,
    random_state=None,
):
    """Generate an image of grains whose lattices are rotated by arbitrary angles.

    Grains of Sm-doped BiFeO3, all of one zone axis, meet at straight boundaries,
    the sides of a Voronoi tessellation. Each has its own orientation and one
    variant. Cells of two grains differ only by a rotation, so that
    clustering of raw windows finds the grains. Parameters that are None, and all
    that :func:`make_ferroic_image` has in addition, have the values of its
    "film" preset.

    Parameters
    ----------
    n_grains : int, default=12
        Number of grains.

    shape : tuple of int (n_rows, n_cols), default=None
        Size of the image, px; (800, 820).

    pixel_size : float, default=None
        Size of a pixel, nm; 0.02.

    lattice_parameter_nm : float, default=None
        Side of the unit cell, nm; 0.396.

    displacement_pm : float, default=None
        Length of the displacement of a B column from the centroid of its four
        A columns, pm; 40. With 0 the cells have the fourfold symmetry of the
        lattice.

    dose : float, default=None
        Electrons per square ångström; 25,000. ``np.inf`` leaves out the counting
        noise.

    thickness_gradient : float, default=None
        How much the brightness grows from the darkest to the brightest corner,
        in units of that at the centre; 0.2.

    mistilt_mrad : float, default=None
        Largest tilt of the crystal from the zone axis, mrad; 2. It varies slowly
        over the image, whatever the grain.

    random_state : int, RandomState instance or None, default=None
        Determines the grains and all noise.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with what :func:`make_ferroic_image` returns. Of n
        columns inside the image there are further

        grain : ndarray of shape (n,), int
            Number of the grain, 0 to `n_grains` - 1.
        orientation : ndarray of shape (n,)
            Rotation of the grain's lattice against the image, from the +col axis
            towards the +row axis, radians in [-pi/4, pi/4).

        The polarization of `variant` k points to ``orientation`` + 45° + 90° k,
        and `wall` is true within 1.25 unit cells of a grain boundary, where
        columns may be missing.

    Raises
    ------
    ValueError
        If an option is out of its range, a cell is less than 4 px, or the image
        contains fewer than three cells along a side.

    See Also
    --------
    make_ferroic_image : One crystal with domains, layers and defects.

    Notes
    -----
    At a boundary a column is left out if one of another grain lies nearer than
    three quarters of the distance between A and B columns. Boundaries are not
    relaxed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.datasets import make_polycrystal
    >>> data = make_polycrystal(3, shape=(300, 300), random_state=0)
    >>> inside = (data.grain == 1) & (data.sublattice == 1)
    >>> polarization = data.polarization[inside][0]
    >>> direction = np.arctan2(*polarization)
    >>> expected = data.orientation + np.pi / 4 + np.pi / 2 * data.variant
    >>> np.allclose(np.exp(1j * direction), np.exp(1j * expected[inside]))
    True
    """
    given = {
        "shape": shape,
        "pixel_size": pixel_size,
        "lattice_parameter_nm": lattice_parameter_nm,
        "displacement_pm": displacement_pm,
        "dose": dose,
        "thickness_gradient": thickness_gradient,
        "mistilt_mrad": mistilt_mrad,
        "substrate": 0.0,
    }
    options = resolve_options("film", given)
    streams = streams_of(check_random_state(random_state))
    crystal = lay_out(options, streams)
    grains = _draw_grains(n_grains, options.shape, crystal.cell, streams["walls"])
    columns = _make_columns(grains, options, crystal, streams)
    image, truth = take_image(columns, options, crystal, streams)
    cell = options.lattice_parameter_nm / options.pixel_size
    return Bunch(
        image=image,
        **truth,
        pixel_size=float(options.pixel_size),
        sublattice_names=("A", "B"),
        description=(
            f"Simulated HAADF-STEM image of a BiFeO3 polycrystal, {n_grains} "
            f"grain(s). {len(truth['grain'])} columns, {cell:.1f} px per unit cell, B "
            f"columns displaced by {options.displacement_pm:g} pm."
        ),
    )


def _draw_grains(n_grains, shape, cell, rng):
    """Draw the centre, lattice origin, orientation and variant of each grain."""
    centers = rng.uniform(0, 1, (1, 2)) * shape
    while len(centers) < n_grains:
        candidates = rng.uniform(0, 1, (_N_CANDIDATES, 2)) * shape
        distance, _ = cKDTree(centers).query(candidates)
        centers = np.vstack([centers, candidates[distance.argmax()]])
    return Bunch(
        center=centers,
        origin=cell * rng.uniform(0, 1, (n_grains, 2)),
        orientation=rng.uniform(-np.pi / 4, np.pi / 4, n_grains),
        variant=rng.randint(4, size=n_grains),
    )


def _make_columns(grains, options, crystal, streams):
    """Return the columns of all grains, with `grain` and `orientation`."""
    margin = 3 * crystal.cell + options.drift
    parts = [
        _fill_grain(k, grains, options.shape, crystal.cell, margin)
        for k in range(len(grains.center))
    ]
    ideal, sublattice, grain = (
        np.concatenate(part) for part in zip(*parts, strict=True)
    )
    direction = grains.orientation + np.pi / 4 + np.pi / 2 * grains.variant
    order = np.column_stack([np.sin(direction), np.cos(direction)])[grain]
    displacement = options.displacement_pm * crystal.px_per_pm
    apart = _keep_apart(
        ideal + displacement * order * sublattice[:, None],
        grain,
        _NEAREST_SHARE * crystal.cell / np.sqrt(2),
    )
    ideal, sublattice = ideal[apart], sublattice[apart]
    grain, order = grain[apart], order[apart]
    fractions = np.tile([1.0, 0.0, 0.0], (len(ideal), 1))
    columns = displace(ideal, sublattice, order, fractions, options, crystal, streams)
    depth = _distance_to_boundary(ideal, grains.center)
    return columns | {
        "variant": np.where(displacement > 0, grains.variant[grain], -1),
        "wall": depth < _BOUNDARY_REACH_CELLS * crystal.cell,
        "grain": grain,
        "orientation": grains.orientation[grain],
    }


def _fill_grain(k, grains, shape, cell, margin):
    """Fill the Voronoi cell of one grain with its rotated lattice."""
    reach = np.hypot(*shape) + margin
    centered, _, sublattice = ideal_lattice(
        (2 * reach, 2 * reach), cell, grains.origin[k], 0.0
    )
    row, col = (centered - reach).T
    cos, sin = np.cos(grains.orientation[k]), np.sin(grains.orientation[k])
    rotated = np.column_stack([row * cos + col * sin, col * cos - row * sin])
    positions = grains.center[k] + rotated
    kept = np.all(
        (positions > -margin) & (positions < np.asarray(shape) + margin), axis=1
    )
    positions, sublattice = positions[kept], sublattice[kept]
    own = cKDTree(grains.center).query(positions)[1] == k
    return positions[own], sublattice[own], np.full(own.sum(), k)


def _keep_apart(positions, grain, distance):
    """Mask that leaves out the later of two columns that clash across a boundary."""
    pairs = cKDTree(positions).query_pairs(distance, output_type="ndarray")
    clash = grain[pairs[:, 0]] != grain[pairs[:, 1]]
    keep = np.ones(len(positions), dtype=bool)
    keep[pairs[clash].max(axis=1)] = False
    return keep


def _distance_to_boundary(positions, centers):
    """Compute the distance of each column to the nearest side of its cell, px."""
    if len(centers) == 1:
        return np.full(len(positions), np.inf)
    squared = ((positions[:, None] - centers) ** 2).sum(axis=2)
    own = squared.argmin(axis=1)
    nearest = squared.min(axis=1)
    gap = np.linalg.norm(centers[own][:, None] - centers, axis=2)
    gap[np.arange(len(own)), own] = np.nan
    return np.nanmin((squared - nearest[:, None]) / (2 * gap), axis=1)
