"""Whether neighbours agree."""

import numpy as np
from sklearn.utils._param_validation import validate_params

from ._label_graph import CONSTRAINTS, build_label_graph

WORST_COHERENCE = -1.0


@validate_params(
    CONSTRAINTS,
    prefer_skip_nested_validation=True,
)
def spatial_coherence_score(sites, labels, *, frame=None, sublattice=None):
    """Score how far neighbouring columns have the same label, against chance.

    Ferroic domains are many cells wide, so labels that tell variants are the same on
    neighbouring cells but at the walls. The share of neighbours with equal labels is
    the join count of spatial statistics [1]_, [2]_; chance is its expectation when the
    labels of each image and sublattice are dealt anew to its sites.

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
        agree, 0 for labels dealt at random, negative where labels alternate. −1, too,
        where nothing can be told: without labels or neighbours, or if no image and
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
    Neighbours are the pairs of one image and sublattice that no third column sees at
    an angle above 75°: four on a square lattice, six on a hexagonal one. Pairs longer
    than 1.5 times the upper quartile of all reach across a gap and do not count.

    It rewards any label that varies slowly over the image: thickness, mistilt, the
    layers of a superlattice and the substrate as well as variants. Few and large
    clusters are more coherent than many: one cut through the image comes near 1. Real
    lamellae of one cell count as incoherent.

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
    if chance > 1 - 1e-12 or not _several(codes, group):
        return WORST_COHERENCE
    return float(np.clip((agree.mean() - chance) / (1 - chance), -1, 1))


def _chance(codes, n_labels, group):
    """Probability that two sites of a group, drawn without return, agree."""
    labelled = codes >= 0
    count = np.zeros((group.max() + 1, n_labels))
    np.add.at(count, (group[labelled], codes[labelled]), 1)
    size = np.bincount(group)
    return (count * (count - 1)).sum(axis=1) / np.maximum(size * (size - 1), 1)


def _several(codes, group):
    """Tell whether any group has two labels."""
    pairs = np.unique(np.stack([group, codes])[:, codes >= 0], axis=1)
    return np.bincount(pairs[0]).max() > 1
