"""Scores of domains: coherence, straight walls, agreement with the truth."""

from numbers import Real

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import validate_params

from .._lattice.neighbor_graph import edge_lengths, second_neighbors
from .._utils.validation import Interval
from ._label_graph import CONSTRAINTS, build_label_graph, encode_labels

# The lowest value, for a degenerate result.
WORST_COHERENCE = -1.0


@validate_params(
    CONSTRAINTS,
    prefer_skip_nested_validation=True,
)
def spatial_coherence_score(sites, labels, *, frame=None, sublattice=None):
    """Score how often neighbouring columns have the same label, relative to chance.

    Ferroic domains are many cells wide, so labels of variants are equal on neighbouring
    cells except at walls. The share of neighbours with equal labels is the join count
    of spatial statistics [1]_, [2]_; chance is its expectation when the labels of each
    image and sublattice are permuted at random.

    Parameters
    ----------
    sites : AtomSites or array-like of shape (n_sites, 2)
        The sites, or their coordinates ``(row, col)`` in px.
    labels : array-like of shape (n_sites,)
        Labels, numbers or strings. Sites with a negative number or NaN have no label
        and agree with none of their neighbours.
    frame : array-like of shape (n_sites,), default=None
        Image of each site; that of the AtomSites, or one for all, if None.
    sublattice : array-like of shape (n_sites,), default=None
        Sublattice of each site; that of the AtomSites, or one for all, if None.

    Returns
    -------
    score : float
        ``(share − chance) / (1 − chance)``, between −1 and 1: 1 if all neighbours
        agree, 0 for random labels, negative if labels alternate. Also −1 where the
        score is not defined: without labels or neighbours, or if no image and
        sublattice has two labels.

    Raises
    ------
    ValueError
        If the lengths differ or the coordinates are not finite.

    See Also
    --------
    wall_straightness_score : Whether the boundaries of the labels are straight.
    spatial_coherence_scorer : The same for searches.

    Notes
    -----
    Two columns of one image and sublattice are neighbours if they subtend an angle of
    at most 75° at every third column: four neighbours on a square lattice, six on a
    hexagonal one. Pairs longer than 1.5 times the upper quartile of all lengths reach
    across a gap and are excluded.

    The score rewards any label that varies slowly over the image: thickness, mistilt,
    the layers of a superlattice and the substrate as well as variants. Few and large
    clusters are more coherent than many: a division of the image into two parts scores
    nearly 1. Real lamellae of one cell count as incoherent.

    References
    ----------
    .. [1] P. A. P. Moran, "The interpretation of statistical maps", Journal of the
       Royal Statistical Society B 10, 243–251 (1948).
    .. [2] A. D. Cliff and J. K. Ord, "Spatial Processes: Models and Applications",
       Pion, 1981, section 1.3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import spatial_coherence_score
    >>> positions = 20.0 * np.argwhere(np.ones((10, 10)))
    >>> left = positions[:, 1] < 100
    >>> round(spatial_coherence_score(positions, left), 2)
    0.89
    >>> checkerboard = positions.sum(axis=1) % 40 == 0
    >>> round(spatial_coherence_score(positions, checkerboard), 2)
    -0.98
    """
    _, group, codes, n_labels, edges = build_label_graph(
        sites, labels, frame, sublattice
    )
    if n_labels == 0 or len(edges) == 0:
        return WORST_COHERENCE
    first, second = codes[edges].T
    agree = (first == second) & (first >= 0)
    chance = _chance(codes, n_labels, group)[group[edges[:, 0]]].mean()
    if chance > 1 - 1e-12 or not _has_two_labels(codes, group):
        return WORST_COHERENCE
    return float(np.clip((agree.mean() - chance) / (1 - chance), -1, 1))


def _chance(codes, n_labels, group):
    """Return the probability that two different sites of a group agree, per group."""
    labelled = codes >= 0
    count = np.zeros((group.max() + 1, n_labels))
    np.add.at(count, (group[labelled], codes[labelled]), 1)
    size = np.bincount(group)
    return (count * (count - 1)).sum(axis=1) / np.maximum(size * (size - 1), 1)


def _has_two_labels(codes, group):
    """Return whether any group has two labels."""
    pairs = np.unique(np.stack([group, codes])[:, codes >= 0], axis=1)
    return np.bincount(pairs[0]).max() > 1


# The lowest value, for a degenerate result.
WORST_STRAIGHTNESS = 0.0
# Two points are always collinear, so that they do not show straightness.
_FEWEST_POINTS = 3


@validate_params(
    {**CONSTRAINTS, "reach": [Interval(Real, 1, None, closed="left")]},
    prefer_skip_nested_validation=True,
)
def wall_straightness_score(sites, labels, *, reach=3.0, frame=None, sublattice=None):
    """Score how straight the boundaries between labels are.

    A ferroelastic wall runs along a plane in which both domains fit [1]_, so that walls
    in an image are straight over many cells, while the boundaries of labels full of
    errors are ragged. Wall points are the midpoints between neighbours of
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
        Radius within which a wall is analysed, in median distances of neighbours.
    frame : array-like of shape (n_sites,), default=None
        Image of each site; that of the AtomSites, or one for all, if None.
    sublattice : array-like of shape (n_sites,), default=None
        Sublattice of each site; that of the AtomSites, or one for all, if None.

    Returns
    -------
    score : float
        Mean over the wall points, between 0 and 1: 1 for straight walls farther apart
        than `reach`, about 0.2 for random labels. 0 where the score is not defined:
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
    Walls of all directions are weighted equally: the midpoints along the steps of an
    oblique wall lie within half a cell of a line. Isolated wrong cells, which are
    surrounded by a wall, lower the score in proportion to their number.

    The score rewards any straight boundary, also that of a substrate or a layer, and a
    single straight line through the image as much as many true walls. It is not
    sensitive to missed domains, so combine it with a score that is. It is low where
    walls cross, bend or lie closer together than `reach`, even if they are correct.

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
    """Return the coherence of the scatter of the points around each point."""
    tree = cKDTree(points)
    # Slightly wider, so that rounding does not decide about points at the radius.
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
    is_defined = (size >= _FEWEST_POINTS) & (trace > 0)
    contrast = np.hypot(rows - cols, 2 * both)
    return np.where(is_defined, contrast / np.where(is_defined, trace, 1), 0.0)


# The lowest value, for a degenerate result.
WORST_CONTINUITY = 0.0
# Number of wall points around a single cell of a square lattice.
_SHORTEST_WALL_POINTS = 4


@validate_params(
    CONSTRAINTS,
    prefer_skip_nested_validation=True,
)
def wall_continuity_score(sites, labels, *, frame=None, sublattice=None):
    """Score how long the connected boundaries between labels are.

    A domain wall continues to another wall or to the border of the image, while errors
    of labels enclose single cells with walls of their own [1]_. Wall points are the
    midpoints between neighbours of different labels; points are connected if they have
    a cell in common or lie between two pairs of neighbouring cells.

    Parameters
    ----------
    sites : AtomSites or array-like of shape (n_sites, 2)
        The sites, or their coordinates ``(row, col)`` in px.
    labels : array-like of shape (n_sites,)
        Labels, numbers or strings. A site with a negative number or NaN has no label
        and differs from all of its neighbours.
    frame : array-like of shape (n_sites,), default=None
        Image of each site; that of the AtomSites, or one for all, if None.
    sublattice : array-like of shape (n_sites,), default=None
        Sublattice of each site; that of the AtomSites, or one for all, if None.

    Returns
    -------
    score : float
        ``1 − 4 / length``, where the length is the mean number of points of a connected
        wall, and 4 is the number around a single cell; between 0 and 1, higher is
        better. 0 where the score is not defined: without walls or with fewer than two
        labels.

    Raises
    ------
    ValueError
        If the lengths differ or the coordinates are not finite.

    See Also
    --------
    wall_straightness_score : Whether walls are straight.
    wall_continuity_scorer : The same for searches.

    Notes
    -----
    Labels with many errors have walls that touch and count as one: where more than
    about a quarter of the cells are wrong, the score increases again. Combine it with
    :func:`spatial_coherence_score`.

    References
    ----------
    .. [1] K. Barakati et al., "Reward driven workflows for unsupervised explainable
       analysis of phases and ferroic variants from atomically resolved imaging data",
       arXiv:2411.12612 (2024).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import wall_continuity_score
    >>> positions = 20.0 * np.argwhere(np.ones((20, 20)))
    >>> labels = (positions[:, 1] < 200).astype(int)
    >>> wall_continuity_score(positions, labels)  # one wall of 20 points
    0.8
    >>> labels[[105, 297, 333]] = 2  # three single cells
    >>> wall_continuity_score(positions, labels)
    0.5
    """
    positions, _, codes, n_labels, edges = build_label_graph(
        sites, labels, frame, sublattice
    )
    first, second = codes[edges].T
    wall = edges[(first != second) | (first < 0)]
    if n_labels < 2 or len(wall) == 0:
        return WORST_CONTINUITY
    n_walls = _count_walls(len(positions), edges, wall)
    return max(1 - _SHORTEST_WALL_POINTS * n_walls / len(wall), WORST_CONTINUITY)


def _count_walls(n_sites, edges, wall):
    """Count the connected walls; each edge of a wall joins two sites."""
    one, owner = np.ones(2 * len(wall)), np.tile(np.arange(len(wall)), 2)
    ends = csr_array((one, (wall.T.ravel(), owner)), (n_sites, len(wall)))
    row, col = np.concatenate([edges, edges[:, ::-1]]).T
    near = csr_array((np.ones(len(row)), (row, col)), (n_sites, n_sites))
    # Of the four pairs of ends of two edges, two or more are equal or neighbours.
    n_pairs = ends.T @ (near @ ends + ends)
    return connected_components(n_pairs > 1.5, directed=False)[0]


# The lowest value, for a degenerate result.
WORST_ACCURACY = 0.0


@validate_params(
    {"y_true": ["array-like"], "y_pred": ["array-like"]},
    prefer_skip_nested_validation=True,
)
def variant_accuracy_score(y_true, y_pred):
    """Score the share of cells in the right variant under the best assignment.

    Cluster labels are arbitrary. Each cluster is assigned at most one variant and each
    variant at most one cluster, so that most cells are right: an assignment problem,
    solved by the Hungarian method [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True variants. Cells with a negative number or NaN, such as those of a
        substrate, have no variant and are left out, whatever their cluster.
    y_pred : array-like of shape (n_samples,)
        Clusters. A cell that has a variant, but a negative number or NaN here, is
        wrong.

    Returns
    -------
    accuracy : float
        Between 0 and 1; 0 if no cell has a variant.

    Raises
    ------
    ValueError
        If the lengths differ.

    See Also
    --------
    sklearn.metrics.adjusted_rand_score : Agreement of pairs, against chance.
    variant_accuracy_scorer : The same for searches.

    Notes
    -----
    The accuracy is not corrected for chance: one cluster is as good as the share of the
    most frequent variant. A variant divided between two clusters counts for the larger
    one only, so that more clusters are not better. To have cells without variant
    counted as a separate class, assign them a label that is not negative.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", Naval
       Research Logistics Quarterly 2, 83–97 (1955).

    Examples
    --------
    >>> from sklearn_ferroic.metrics import variant_accuracy_score
    >>> y_true = [0, 0, 1, 1, 2, 2, -1, -1]
    >>> y_pred = [5, 5, 3, 3, 0, -1, 0, 3]
    >>> round(variant_accuracy_score(y_true, y_pred), 3)
    0.833
    """
    true, n_variants = encode_labels(y_true)
    found, n_clusters = encode_labels(y_pred)
    check_consistent_length(true, found)
    counted = true >= 0
    if not counted.any():
        return WORST_ACCURACY
    both = counted & (found >= 0)
    table = np.zeros((n_variants, n_clusters), dtype=np.intp)
    np.add.at(table, (true[both], found[both]), 1)
    return float(table[linear_sum_assignment(-table)].sum() / counted.sum())


# The lowest value, for a degenerate result.
WORST_ANGLE_COHERENCE = -1.0
# Values, such as the components of an angle, that vary less than this are constant.
NO_SPREAD_VARIANCE = 1e-9


@validate_params(
    {**CONSTRAINTS, "angle": ["array-like"], "angle_std": ["array-like", None]},
    prefer_skip_nested_validation=True,
)
def angle_coherence_score(
    sites, labels, angle, *, angle_std=None, frame=None, sublattice=None
):
    """Score how well the labels of nearby cells predict the angle of a cell.

    Each label is represented by the mean direction of its cells, a vector shorter than
    1 if their angles differ. The angle of a cell is predicted from the labels of the
    cells two steps away along the lattice, and the score is the skill of that
    prediction relative to the mean direction of all cells [1]_. It is high only if
    angle and labels vary little within domains and agree with each other. Clusters that
    join two variants lower it, which :func:`spatial_coherence_score` does not detect.

    Parameters
    ----------
    sites : AtomSites or array-like of shape (n_sites, 2)
        The sites, or their coordinates ``(row, col)`` in px.
    labels : array-like of shape (n_sites,)
        Labels, numbers or strings. A site with a negative number or NaN has no label
        and predicts the mean direction of all cells.
    angle : array-like of shape (n_sites,)
        Angles in radians. A site whose angle is NaN is not predicted.
    angle_std : array-like of shape (n_sites,), default=None
        Circular standard deviations of the angles, radians. The weight of a site is the
        corresponding resultant length ``exp(−angle_std² / 2)``, which is small for
        cells without direction. Equal weights if None.
    frame : array-like of shape (n_sites,), default=None
        Image of each site; that of the AtomSites, or one for all, if None.
    sublattice : array-like of shape (n_sites,), default=None
        Sublattice of each site; that of the AtomSites, or one for all, if None.

    Returns
    -------
    score : float
        At most 1, which is perfect; 0 is no better than the mean direction of all
        cells. At least −1, which is also returned where the score is not defined:
        without labels, neighbours or angles, with one label, or if all angles are
        equal.

    Raises
    ------
    ValueError
        If the lengths differ or the coordinates are not finite.

    See Also
    --------
    spatial_coherence_score : Whether neighbours agree in their labels.
    angle_coherence_scorer : The same for searches.

    Notes
    -----
    Windows two steps apart share few pixels. The most common antipolar order, in which
    the displacement changes its sign from cell to cell, is coherent at that distance.

    The score rewards any direction that varies slowly over the image and that the
    labels follow: the polarization, the gradient of the brightness or an offset of the
    windows. Larger windows are smoother. Cells next to a wall are predicted badly, so
    that domains of a few cells score low, even below 0, however correct they are:
    compare only models of the same sites, and use blocks several domains wide. The
    score does not prefer a number of variants; dividing a variant into two clusters
    costs little.

    References
    ----------
    .. [1] A. H. Murphy, "Skill scores based on the mean square error and their
       relationships to the correlation coefficient", Monthly Weather Review 116,
       2417–2424 (1988).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.metrics import angle_coherence_score
    >>> positions = 20.0 * np.argwhere(np.ones((20, 20)))
    >>> variant = positions[:, 1] // 100  # four domains
    >>> angle = np.pi / 2 * variant
    >>> round(angle_coherence_score(positions, variant, angle), 2)
    0.67
    >>> joined = variant // 2
    >>> round(angle_coherence_score(positions, joined, angle), 2)
    0.39
    """
    positions, _, codes, n_labels, edges = build_label_graph(
        sites, labels, frame, sublattice
    )
    angle = column_or_1d(angle, dtype=np.float64)
    weight = np.isfinite(angle).astype(np.float64)
    if angle_std is not None:
        width = column_or_1d(angle_std, dtype=np.float64)
        check_consistent_length(angle, width)
        weight *= np.nan_to_num(np.exp(-(width**2) / 2))
    check_consistent_length(positions, angle)
    pairs = second_neighbors(positions, edges)
    if n_labels < 2 or len(pairs) == 0 or weight.sum() == 0:
        return WORST_ANGLE_COHERENCE
    direction = np.exp(1j * np.nan_to_num(angle))
    overall = (weight * direction).sum() / weight.sum()
    # The last entry is for the sites without a label, whose code is -1.
    expected = np.full(n_labels + 1, overall)
    for label in range(n_labels):
        own = weight * (codes == label)
        if own.sum() > 0:
            expected[label] = (own * direction).sum() / own.sum()
    cell, other = np.concatenate([pairs, pairs[:, ::-1]]).T
    error = weight[cell] @ np.abs(direction[cell] - expected[codes[other]]) ** 2
    spread = weight[cell] @ np.abs(direction[cell] - overall) ** 2
    if spread <= NO_SPREAD_VARIANCE * weight[cell].sum():
        return WORST_ANGLE_COHERENCE
    return float(max(1 - error / spread, WORST_ANGLE_COHERENCE))
