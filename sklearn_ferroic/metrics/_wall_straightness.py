"""Whether the boundaries of labels are straight."""

from numbers import Real

import numpy as np
from scipy.spatial import cKDTree
from sklearn.utils._param_validation import validate_params

from .._intervals import Interval
from ._label_graph import CONSTRAINTS, build_label_graph
from ._neighbor_graph import edge_lengths

WORST_STRAIGHTNESS = 0.0
# Any two points lie on a line.
_FEWEST_POINTS = 3


@validate_params(
    {**CONSTRAINTS, "reach": [Interval(Real, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def wall_straightness_score(sites, labels, *, reach=3.0, frame=None, sublattice=None):
    """Score how straight the boundaries between labels are.

    A ferroelastic wall runs along a plane in which both domains fit [1]_, so that walls
    in an image are straight over many cells, while the boundaries of labels full of
    errors are ragged. The wall points are the midpoints between neighbours of
    different labels. Around each one, all wall points within `reach` are spread along
    the wall and across it; with the variances λ₁ ≥ λ₂ of their principal axes, the wall
    is as straight there as (λ₁ − λ₂) / (λ₁ + λ₂), the coherence of a structure
    tensor [2]_.

    Parameters
    ----------
    sites : AtomSites or array-like of shape (n_sites, 2)
        The sites, or their coordinates ``(row, col)`` in px.
    labels : array-like of shape (n_sites,)
        Labels, numbers or strings. A site with a negative number or NaN has no label
        and differs from all of its neighbours.
    reach : float, default=3.0
        Radius within which a wall is looked at, in median distances of neighbours.
    frame : array-like of shape (n_sites,), default=None
        Image of each site; that of the AtomSites, or one for all, if None.
    sublattice : array-like of shape (n_sites,), default=None
        Sublattice of each site; that of the AtomSites, or one for all, if None.

    Returns
    -------
    score : float
        Mean over the wall points, between 0 and 1: 1 for straight walls farther apart
        than `reach`, about 0.2 for labels dealt at random. 0 where nothing can be told:
        without walls or with fewer than two labels.

    Raises
    ------
    ValueError
        If the lengths differ or the coordinates are not finite.

    See Also
    --------
    spatial_coherence_score : Whether neighbours agree.
    wall_straightness_scorer : The same for searches.

    Notes
    -----
    Walls of any direction count alike: the midpoints along the steps of an oblique wall
    lie within half a cell of a line. Isolated wrong cells, which have a wall all around
    them, lower the score by their number.

    It rewards any straight boundary, that of a substrate or a layer too, and one
    straight cut through the image as much as many true walls. It does not see how many
    domains are missed, so read it together with a score that does. It is low where
    walls cross, bend or lie closer together than `reach`, right as they may be.

    References
    ----------
    .. [1] J. Fousek and V. Janovec, "The orientation of domain walls in twinned
       ferroelectric crystals", Journal of Applied Physics 40, 135–142 (1969).
    .. [2] B. Jähne, "Spatio-Temporal Image Processing", Springer, 1993, chapter 8.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import wall_straightness_score
    >>> positions = 20.0 * np.argwhere(np.ones((20, 20)))
    >>> straight = positions[:, 1] < 200
    >>> round(wall_straightness_score(positions, straight), 2)
    1.0
    >>> ragged = np.random.default_rng(0).random(400) < 0.5
    >>> round(wall_straightness_score(positions, ragged), 1)
    0.2
    """
    positions, group, codes, n_labels, edges = build_label_graph(
        sites, labels, frame, sublattice
    )
    first, second = codes[edges].T
    wall = edges[(first != second) | (first < 0)]
    if n_labels < 2 or len(wall) == 0:
        return WORST_STRAIGHTNESS
    straightness = np.zeros(len(wall))
    for number in np.unique(group[wall[:, 0]]):
        own = group[wall[:, 0]] == number
        spacing = np.median(
            edge_lengths(positions, edges[group[edges[:, 0]] == number])
        )
        points = positions[wall[own]].mean(axis=1)
        straightness[own] = _local_straightness(points, reach * spacing)
    return float(straightness.mean())


def _local_straightness(points, radius):
    """Coherence of the spread of the points around each one."""
    tree = cKDTree(points)
    # A hair wider, or rounding decides about points that lie just as far.
    near = tree.query_ball_point(points, radius * (1 + 1e-6), return_sorted=True)
    size = np.array([len(index) for index in near])
    owner = np.repeat(np.arange(len(points)), size)
    offset = points[np.concatenate(near)] - points[owner]

    def mean(values):
        return np.bincount(owner, values, len(points)) / size

    row, col = mean(offset[:, 0]), mean(offset[:, 1])
    rows = mean(offset[:, 0] ** 2) - row**2
    cols = mean(offset[:, 1] ** 2) - col**2
    both = mean(offset[:, 0] * offset[:, 1]) - row * col
    trace = rows + cols
    told = (size >= _FEWEST_POINTS) & (trace > 0)
    contrast = np.hypot(rows - cols, 2 * both)
    return np.where(told, contrast / np.where(told, trace, 1), 0.0)
