"""Comparison of the candidates of a search on the same splits."""

from itertools import count, takewhile
from numbers import Real

import numpy as np
from scipy.stats import t as student
from sklearn.utils._param_validation import (
    HasMethods,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)

from .._utils.optional import import_optional
from .._utils.validation import Interval, check_score_name

_RATIO = [Interval(Real, 0, None, closed="neither")]
# Scorers return this or less where there is nothing to score.
_WORST_SCORE = -1e6
_CONFIDENCE = [Interval(Real, 0.5, 1, closed="neither")]


@validate_params(
    {"cv": [HasMethods(["split"])], "X": "no_validation"},
    prefer_skip_nested_validation=True,
)
def split_size_ratio(cv, X):
    """Compute the mean ratio of the sizes of test and training sets.

    Parameters
    ----------
    cv : cross-validator
        A splitter, such as :class:`SpatialBlockKFold`. A guard band makes training sets
        smaller and the ratio larger than ``1 / (n_splits - 1)``.
    X : AtomSites of length n_sites or array-like of shape (n_sites, ...)
        The samples that are split.

    Returns
    -------
    ratio : float
        Number of test samples over number of training samples.

    See Also
    --------
    compare_candidates : Uses the ratio.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import KFold
    >>> from sklearn_ferroic.model_selection import split_size_ratio
    >>> split_size_ratio(KFold(5), np.zeros((100, 1)))
    0.25
    """
    return float(np.mean([len(test) / len(train) for train, test in cv.split(X)]))


@validate_params(
    {
        "cv_results": [dict],
        "ratio": _RATIO,
        "scoring": [str, None],
        "confidence": _CONFIDENCE,
    },
    prefer_skip_nested_validation=True,
)
def compare_candidates(cv_results, *, ratio, scoring=None, confidence=0.95):
    r"""Compare each candidate of a search with the best one on the same splits.

    The differences of the scores on each split remove what the splits have in common.
    Their standard error is corrected for training sets that overlap [1]_, without which
    it is far too small.

    Parameters
    ----------
    cv_results : dict
        As `cv_results_` of GridSearchCV. Ten splits or more are recommended:
        :class:`RepeatedSpatialBlockKFold`.
    ratio : float
        Number of test samples over number of training samples, from
        :func:`split_size_ratio`; ``1 / (k - 1)`` for k folds without a guard.
    scoring : str, default=None
        Name of the score; the only one by default.
    confidence : float, default=0.95
        Confidence that the best candidate is among those that are marked. The level of
        the one-sided test of each candidate is ``(1 - confidence) / (k - 1)`` for k
        candidates, as Bonferroni's correction requires.

    Returns
    -------
    table : pandas.DataFrame
        One row a candidate, in order of `cv_results`, with the columns

        ``params``
            the candidate;
        ``mean``
            mean score; NaN where a fit failed or a score is −1e6 or less, which
            scorers return where there is nothing to score;
        ``difference``
            mean of the score of the best candidate less that of this one;
        ``std_error``
            corrected standard error of the difference;
        ``p_value``
            of the difference or a larger one if there were none;
        ``is_tied``
            True for the best candidate and those that cannot be distinguished from it.

    Raises
    ------
    ValueError
        If there are fewer than two splits, no candidate has scores on all of them, or
        the search is one of successive halving.

    See Also
    --------
    SimplestCandidate : Chooses the simplest one of those that are tied.
    sklearn_ferroic.inspection.SearchResultsDisplay : Draws the scores.

    Notes
    -----
    With differences :math:`d_i` on n splits, the variance of their mean is
    :math:`(1 / n + r)\, s^2`, where :math:`s^2` is the variance of the :math:`d_i` and
    r the ratio; the test has n − 1 degrees of freedom. More splits of the same samples
    do not reduce it below :math:`r s^2`: only more images do. Without the correction
    for the number of candidates, some of many that are equally good would be excluded
    by chance, and others on other layouts of the folds.

    References
    ----------
    .. [1] C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine
       Learning 52 (2003) 239-281. :doi:`10.1023/A:1024068626366`

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV, KFold
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_ferroic.model_selection import compare_candidates
    >>> cv = KFold(10, shuffle=True, random_state=0)
    >>> search = GridSearchCV(
    ...     KNeighborsClassifier(), {"n_neighbors": [5, 9, 99]}, cv=cv
    ... )
    >>> search = search.fit(*load_iris(return_X_y=True))
    >>> compare_candidates(search.cv_results_, ratio=1 / 9)["is_tied"].tolist()
    [True, True, False]
    """
    columns, _ = _compare(cv_results, ratio, scoring, confidence)
    return import_optional("pandas", "io").DataFrame(columns)


def _compare(cv_results, ratio, scoring, confidence):
    """Return the columns of the comparison, and the scores of the best candidate."""
    scores = _split_scores(cv_results, scoring)
    n_splits = scores.shape[1]
    if n_splits < 2:
        raise ValueError(
            "Candidates are compared on two splits at least, ten or more are "
            f"recommended, and the search has {n_splits}."
        )
    mean = scores.mean(axis=1)
    if not np.isfinite(mean).any():
        raise ValueError("No candidate has a score on all splits.")
    best = int(np.nanargmax(mean))
    difference = scores[best] - scores
    variance = (1 / n_splits + ratio) * difference.var(axis=1, ddof=1)
    std_error = np.sqrt(variance)
    gap = difference.mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        p_value = student.sf(gap / std_error, n_splits - 1)
    # Candidates with the same scores on all splits are equal.
    p_value = np.where((gap == 0) & (std_error == 0), 0.5, p_value)
    level = (1 - confidence) / max(np.isfinite(mean).sum() - 1, 1)
    columns = {
        "params": list(cv_results["params"]),
        "mean": mean,
        "difference": gap,
        "std_error": std_error,
        "p_value": p_value,
        "is_tied": p_value > level,
    }
    return columns, scores[best]


class SimplestCandidate:
    """Choose the simplest candidate that cannot be distinguished from the best one.

    Pass it to ``refit`` of GridSearchCV or RandomizedSearchCV.

    Parameters
    ----------
    order : list of str
        Names of parameters, the most important first. A candidate with a smaller value
        is simpler; with a larger one if the name begins with "-". None counts as
        largest.
    ratio : float
        Number of test samples over number of training samples, from
        :func:`split_size_ratio`.
    rule : {"paired", "one_standard_error"}, default="paired"
        Candidates that cannot be distinguished: those that :func:`compare_candidates`
        marks; or those whose mean score is within one standard error of the mean of the
        best candidate, corrected for overlapping training sets.
    scoring : str, default=None
        Name of the score; the only one by default.
    confidence : float, default=0.95
        Confidence that the best candidate is among those that are tied by the paired
        test.

    See Also
    --------
    compare_candidates : The test.

    Notes
    -----
    Of candidates that are equally simple, the one with the highest mean score is
    chosen.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV, KFold
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn_ferroic.model_selection import SimplestCandidate
    >>> search = GridSearchCV(
    ...     KNeighborsClassifier(),
    ...     {"n_neighbors": [5, 9, 13, 99]},
    ...     cv=KFold(10, shuffle=True, random_state=0),
    ...     refit=SimplestCandidate(order=["-n_neighbors"], ratio=1 / 9),
    ... )
    >>> search.fit(*load_iris(return_X_y=True)).best_params_
    {'n_neighbors': 13}
    """

    _parameter_constraints: dict = {
        "order": ["array-like"],
        "ratio": _RATIO,
        "rule": [StrOptions({"paired", "one_standard_error"})],
        "scoring": [str, None],
        "confidence": _CONFIDENCE,
    }

    def __init__(self, *, order, ratio, rule="paired", scoring=None, confidence=0.95):
        self.order = order
        self.ratio = ratio
        self.rule = rule
        self.scoring = scoring
        self.confidence = confidence
        validate_parameter_constraints(
            self._parameter_constraints, vars(self), type(self).__name__
        )

    def __call__(self, cv_results):
        """Choose a candidate.

        Parameters
        ----------
        cv_results : dict
            As `cv_results_` of GridSearchCV.

        Returns
        -------
        best_index : int
            Index of the candidate.

        Raises
        ------
        ValueError
            As :func:`compare_candidates`, or if a name of `order` is not a parameter of
            the search.
        """
        table, best = _compare(cv_results, self.ratio, self.scoring, self.confidence)
        is_tied = table["is_tied"]
        if self.rule == "one_standard_error":
            variance = (1 / len(best) + self.ratio) * best.var(ddof=1)
            is_tied = table["difference"] <= np.sqrt(variance)
        known = {name for params in table["params"] for name in params}
        unknown = [name for name in self.order if name.removeprefix("-") not in known]
        if unknown:
            raise ValueError(
                f"order names {unknown[0].removeprefix('-')!r}, which the search does "
                f"not vary. Its parameters are {sorted(known)}."
            )

        def complexity(index):
            params = table["params"][index]
            ranks = [_rank(params, name) for name in self.order]
            return (*ranks, -table["mean"][index])

        return min(np.flatnonzero(is_tied).tolist(), key=complexity)


def _rank(params, name):
    """Return a value of a parameter by which candidates are ordered."""
    sign = -1 if name.startswith("-") else 1
    value = params.get(name.removeprefix("-"))
    if value is None:
        return np.inf
    if not isinstance(value, Real):
        raise ValueError(
            f"order needs parameters that are numbers, and {name.removeprefix('-')} is "
            f"{value!r}."
        )
    return sign * value


def _split_scores(cv_results, scoring):
    """Return the scores, of shape (n_candidates, n_splits)."""
    if "n_resources" in cv_results:
        raise ValueError(
            "Scores of successive halving were taken with different resources and "
            "cannot be compared."
        )
    scoring = check_score_name(cv_results, scoring)
    names = (f"split{number}_test_{scoring}" for number in count())
    columns = [cv_results[name] for name in takewhile(cv_results.__contains__, names)]
    scores = np.array(columns, dtype=np.float64).T
    return np.where(scores > _WORST_SCORE, scores, np.nan)
