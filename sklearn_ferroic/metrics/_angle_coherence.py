"""Whether the variant of a cell tells the angle of the cells around it."""

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import validate_params

from ._label_graph import CONSTRAINTS, build_label_graph
from ._neighbor_graph import second_neighbors

WORST_ANGLE_COHERENCE = -1.0
# An angle whose squared scatter is less than this is constant.
_NO_SPREAD = 1e-9


@validate_params(
    {**CONSTRAINTS, "angle": ["array-like"], "angle_std": ["array-like", None]},
    prefer_skip_nested_validation=True,
)
def angle_coherence_score(
    sites, labels, angle, *, angle_std=None, frame=None, sublattice=None
):
    """Score how well the labels of nearby cells tell the angle of a cell.

    Each label stands for the mean direction of its cells, a vector shorter than 1 if
    their angles differ. A cell's angle is predicted by the labels of the cells two
    steps away along the lattice, and the score is the skill of that prediction against
    the mean direction of all [1]_. It is high only if the angle varies little within
    domains, the labels do so too, and labels and angles go together. Clusters that join
    two variants lower it, which :func:`spatial_coherence_score` does not see.

    Parameters
    ----------
    sites : AtomSites or array-like of shape (n_sites, 2)
        The sites, or their coordinates ``(row, col)`` in px.
    labels : array-like of shape (n_sites,)
        Labels, numbers or strings. A site with a negative number or NaN has no label
        and predicts the mean direction of all.
    angle : array-like of shape (n_sites,)
        Angles in radians. A site whose angle is NaN is not predicted.
    angle_std : array-like of shape (n_sites,), default=None
        Circular standard deviations of the angles, radians. A site counts by the
        resultant length ``exp(−angle_std² / 2)`` that belongs to it, so that cells
        without direction count little. All count alike if None.
    frame : array-like of shape (n_sites,), default=None
        Image of each site; that of the AtomSites, or one for all, if None.
    sublattice : array-like of shape (n_sites,), default=None
        Sublattice of each site; that of the AtomSites, or one for all, if None.

    Returns
    -------
    score : float
        At most 1, which is perfect; 0 is no better than the mean direction of all. −1
        at least, and where nothing can be told: without labels, neighbours or angles,
        with one label, or where all angles are the same.

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
    Two steps away, windows share few pixels. The antipolar order of the commonest kind,
    in which the displacement changes its sign from cell to cell, is coherent there.

    It rewards any direction that varies slowly over the image and that the labels
    follow, be it the polarization, the direction in which the brightness grows or an
    offset of the windows. Larger windows are smoother. A wall costs what the cells
    beside it are worth, so that domains of a few cells score low, below 0 even, however
    right they are: compare models of the same sites only, and take blocks several
    domains wide. It asks for no particular number of variants;
    a cluster for each half of a variant costs little.

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
    missed = weight[cell] @ np.abs(direction[cell] - expected[codes[other]]) ** 2
    spread = weight[cell] @ np.abs(direction[cell] - overall) ** 2
    if spread <= _NO_SPREAD * weight[cell].sum():
        return WORST_ANGLE_COHERENCE
    return float(max(1 - missed / spread, WORST_ANGLE_COHERENCE))
