"""The results of a parameter search as a table of two parameters."""

from numbers import Real

import numpy as np

from ..._utils.validation import check_score_name


def score_columns(cv_results, scoring=None):
    """Get mean and standard deviation of the test score of each candidate.

    Parameters
    ----------
    cv_results : dict
        As `cv_results_` of GridSearchCV.
    scoring : str, default=None
        Name of the score; the only one by default.

    Returns
    -------
    mean, std : ndarray of shape (n_candidates,)
        The scores, NaN where a fit failed.
    scoring : str
        The name.
    """
    scoring = check_score_name(cv_results, scoring)
    columns = [cv_results[f"{kind}_test_{scoring}"] for kind in ("mean", "std")]
    return *(np.asarray(column, dtype=np.float64) for column in columns), scoring


def choose_parameters(candidates, params=None):
    """Choose the parameters of the two axes.

    Parameters
    ----------
    candidates : list of dict
        As ``cv_results_["params"]``.
    params : tuple of str (x, y), default=None
        The names; the only two that vary by default.

    Returns
    -------
    params : tuple of str (x, y)
        The two names.
    others : list of str
        The names of the other parameters that vary.
    """
    names = list(dict.fromkeys(name for known in candidates for name in known))
    varied = [name for name in names if len(_distinct(candidates, name)) > 1]
    if params is None:
        if len(varied) != 2:
            raise ValueError(
                f"The search varies {len(varied)} parameter(s), {varied}, and a heat "
                "map has two axes. Choose two of the parameters by params=(x, y)."
            )
        params = tuple(varied)
    known = [name in names for name in params]
    if len(params) != 2 or not all(known) or params[0] == params[1]:
        raise ValueError(
            f"params must be two of the parameters of the search, {names}, got "
            f"{params!r}."
        )
    return tuple(params), [name for name in varied if name not in params]


def best_by_cell(candidates, mean, params):
    """Find the best candidate for each pair of values of two parameters.

    Parameters
    ----------
    candidates : list of dict
        As ``cv_results_["params"]``; those that lack one of the two are left out.
    mean : ndarray of shape (n_candidates,)
        Mean scores, NaN where a fit failed.
    params : tuple of str (x, y)
        The parameters.

    Returns
    -------
    best : ndarray of int of shape (n_y, n_x)
        Index of the candidate, -1 where there is none.
    x_values, y_values : list
        Values of the parameters; numbers ascend, others keep their order.
    """
    values = [_sorted(_distinct(candidates, name)) for name in params]
    places = [{_key(v): i for i, v in enumerate(axis)} for axis in values]
    best = np.full((len(values[1]), len(values[0])), -1)
    for index, candidate in enumerate(candidates):
        if not all(name in candidate for name in params):
            continue
        col, row = (
            place[_key(candidate[name])]
            for place, name in zip(places, params, strict=True)
        )
        competitor = best[row, col]
        # A failed fit is used only if there is no other; the first of equal ones wins.
        if (
            competitor < 0
            or np.isnan(mean[competitor])
            or mean[index] > mean[competitor]
        ):
            best[row, col] = index
    return best, *values


def _distinct(candidates, name):
    """List the values of a parameter, which need not be hashable."""
    found = {}
    for candidate in candidates:
        if name in candidate:
            found.setdefault(_key(candidate[name]), candidate[name])
    return list(found.values())


def _key(value):
    return type(value).__name__, repr(value)


def _sorted(values):
    if all(isinstance(value, Real) for value in values):
        return sorted(values)
    return values
