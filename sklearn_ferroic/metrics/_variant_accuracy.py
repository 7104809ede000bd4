"""Clusters against known variants."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import validate_params

from ._labels import encode_labels

WORST_ACCURACY = 0.0


@validate_params(
    {"y_true": ["array-like"], "y_pred": ["array-like"]},
    prefer_skip_nested_validation=True,
)
def variant_accuracy_score(y_true, y_pred):
    """Score the share of cells in the right variant, clusters named as best they fit.

    Clusters have no names. Each is given at most one variant and each variant at most
    one cluster, in the way that makes most cells right: an assignment problem, solved
    by the Hungarian method [1]_.

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
    counted as a class of their own, give them a label that is not negative.

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
