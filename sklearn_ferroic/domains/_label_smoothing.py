"""Labels smoothed by a Markov random field on the graph of neighbouring cells."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._param_validation import validate_params

from .._utils.validation import Interval
from ._cell_graph import CellGraph, check_cells

# Probabilities below this count as this, so that no label is forbidden by rounding.
_SMALLEST_PROBABILITY = 1e-9


@validate_params(
    {
        "probabilities": ["array-like", None],
        "strength": [Interval(Real, 0, None, closed="left")],
        "error_rate": [Interval(Real, 0, 1, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
    },
    prefer_skip_nested_validation=True,
)
def label_smoothing(
    sites, labels, *, probabilities=None, strength=1.0, error_rate=0.2, max_iter=100
):
    """Smooth labels by those of the neighbouring cells.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    labels : array-like of shape (n_sites,)
        Class of each cell. Cells with the label -1 (also NaN, None or "") keep it and
        have no influence.
    probabilities : array-like of shape (n_sites, n_classes), default=None
        Probability of each class, such as ``GaussianMixture.predict_proba``, in the
        order of the sorted labels; for integer labels also with one column a label 0,
        1, ... By default a label is right with probability ``1 - error_rate``.
    strength : float, default=1.0
        Cost of a pair of neighbours with different labels, in units of the logarithm of
        a probability: with 1.0, four neighbours of another label outweigh odds of
        e⁴ = 55.
    error_rate : float, default=0.2
        Probability of a wrong label, without `probabilities`.
    max_iter : int, default=100
        Maximum number of rounds of changes.

    Returns
    -------
    smoothed : ndarray of shape (n_sites,)
        Labels of the same kind.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If shapes do not fit, or the sites are of several sublattices.

    See Also
    --------
    find_domains : Joins regions that noise explains, without changing other labels.

    Notes
    -----
    The energy of a Potts model,

        E = - sum_i log p_i(l_i) + strength * sum_<ij> [l_i != l_j],

    is minimised by iterated conditional modes [1]_ from the labels given: the cells
    that gain most by another label change first, so that the energy decreases in every
    round. The result is a local minimum near the input. Smoothing makes walls straight
    and removes narrow domains; no other function uses it.

    References
    ----------
    .. [1] J. Besag, "On the statistical analysis of dirty pictures", Journal of the
       Royal Statistical Society B 48, 259 (1986).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import label_smoothing
    >>> positions = 10.0 * np.indices((12, 20)).reshape(2, -1).T + 5
    >>> truth = positions[:, 1] > 80
    >>> wrong = np.random.default_rng(0).random(240) < 0.1
    >>> sites = AtomSites(np.zeros((120, 200)), positions)
    >>> smoothed = label_smoothing(sites, truth ^ wrong)
    >>> int(wrong.sum()), int((smoothed != truth).sum())
    (27, 4)
    """
    classes, codes, _ = check_cells(sites, labels)
    result = np.array(labels, copy=True)
    known = codes >= 0
    if not known.any():
        return result
    graph = CellGraph(sites)
    cost = _label_cost(classes, codes, probabilities, error_rate)
    smoothed = _iterate(graph, codes, cost, strength, max_iter)
    # A label of the input for each class, of whatever type it is there.
    first = np.unique(codes[known], return_index=True)[1]
    result[known] = result[known][first][smoothed[known]]
    return result


def _label_cost(classes, codes, probabilities, error_rate):
    """Return the negative logarithm of the probability of each label."""
    n_classes = len(classes)
    if probabilities is None:
        wrong = error_rate / max(n_classes - 1, 1)
        cost = np.full((len(codes), n_classes), -np.log(wrong))
        known = np.flatnonzero(codes >= 0)
        cost[known, codes[known]] = -np.log1p(-error_rate)
        return cost
    probabilities = check_array(
        probabilities, dtype=np.float64, input_name="probabilities"
    )
    if len(probabilities) != len(codes):
        raise ValueError(
            f"probabilities must have one row per site, {len(codes)}, got "
            f"{len(probabilities)}."
        )
    if (probabilities < 0).any() or not (probabilities.sum(axis=1) > 0).all():
        raise ValueError(
            "probabilities must not be negative, and each row needs a positive one."
        )
    n_columns = probabilities.shape[1]
    if n_columns != n_classes:
        is_column = classes.dtype.kind in "iu" and classes.min(initial=0) >= 0
        if not is_column or classes.max(initial=0) >= n_columns:
            raise ValueError(
                f"probabilities must have one column for each of the {n_classes} "
                f"labels {classes.tolist()}, got {n_columns}."
            )
        probabilities = probabilities[:, classes]
    return -np.log(np.maximum(probabilities, _SMALLEST_PROBABILITY))


def _iterate(graph, codes, cost, strength, max_iter):
    """Change labels where it lowers the energy, never two neighbours at a time."""
    n, n_classes = cost.shape
    codes = codes.copy()
    known = codes >= 0
    first, second = graph.pairs[known[graph.pairs].all(axis=1)].T
    rows = np.arange(n)
    for _ in range(max_iter):
        votes = graph.votes(codes, n_classes, known).toarray()
        energy = cost - strength * votes
        best = energy.argmin(axis=1)
        gain = energy[rows, np.maximum(codes, 0)] - energy[rows, best]
        gain[~known] = 0
        # Rounding must not make a cell go back and forth.
        changes = gain > 1e-9
        if not changes.any():
            break
        # Of two neighbours that would change, the one that gains more does.
        priority = np.lexsort([rows, gain]).argsort()
        in_conflict = changes[first] & changes[second]
        lower = np.where(priority[first] < priority[second], first, second)[in_conflict]
        changes[lower] = False
        codes[changes] = best[changes]
    return codes
