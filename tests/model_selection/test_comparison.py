"""Comparison of candidates on the same splits, and the choice of the simplest."""

import pickle

import numpy as np
import pytest
from scipy.stats import t as student
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomSites, PatchExtractor
from sklearn_ferroic.inspection import SearchResultsDisplay
from sklearn_ferroic.metrics import get_scorer
from sklearn_ferroic.model_selection import (
    RepeatedSpatialBlockKFold,
    SimplestCandidate,
    SpatialBlockKFold,
    compare_candidates,
    split_size_ratio,
)


def results(scores, params=None, name="score"):
    """Return `cv_results_` of scores of shape (n_candidates, n_splits)."""
    scores = np.asarray(scores, dtype=float)
    if params is None:
        params = [{"size": size} for size in range(len(scores))]
    table = {
        f"split{number}_test_{name}": column for number, column in enumerate(scores.T)
    }
    with np.errstate(invalid="ignore"):
        table[f"mean_test_{name}"] = scores.mean(axis=1)
        table[f"std_test_{name}"] = scores.std(axis=1)
    return {"params": params, **table}


def test_the_standard_error_is_that_of_nadeau_and_bengio():
    scores = np.array([[0.9, 0.8, 0.85, 0.95], [0.8, 0.78, 0.8, 0.9]])
    table = compare_candidates(results(scores), ratio=1 / 3)
    difference = scores[0] - scores[1]
    std = np.sqrt((1 / 4 + 1 / 3) * difference.var(ddof=1))
    assert table["difference"].tolist() == pytest.approx([0, difference.mean()])
    assert table["std_error"][1] == pytest.approx(std)
    assert table["p_value"][1] == pytest.approx(student.sf(difference.mean() / std, 3))
    assert table["p_value"][0] == 0.5
    assert table["is_tied"].tolist() == [True, bool(table["p_value"][1] > 0.05)]


def test_equal_candidates_are_seldom_told_apart():
    rng = np.random.default_rng(0)
    n_splits, ratio = 20, 0.25
    told_apart, without_correction = [], []
    for _ in range(2000):
        # Splits that share training samples have differences with this correlation.
        share = ratio / (1 + ratio)
        difference = np.sqrt(share) * rng.normal() + np.sqrt(1 - share) * rng.normal(
            size=n_splits
        )
        scores = np.stack([difference, np.zeros(n_splits)])
        table = compare_candidates(results(scores), ratio=ratio)
        told_apart.append(not table["is_tied"].all())
        t = abs(difference.mean()) / (difference.std(ddof=1) / np.sqrt(n_splits))
        without_correction.append(student.sf(t, n_splits - 1) < 0.05)
    # The better of two is found after the fact, so that both tails count.
    assert np.mean(told_apart) < 0.13
    assert np.mean(without_correction) > 0.4


def test_the_best_of_many_candidates_is_among_those_that_are_tied():
    rng = np.random.default_rng(0)
    ratio, n_splits, n_candidates = 0.25, 12, 8
    share = ratio / (1 + ratio)
    all_tied, level = [], []
    for _ in range(500):
        scores = np.sqrt(share) * rng.normal(size=(n_candidates, 1))
        scores = scores + np.sqrt(1 - share) * rng.normal(size=(n_candidates, n_splits))
        table = compare_candidates(results(scores), ratio=ratio)
        # All are equally good, so that the first one is as good as the best.
        all_tied.append(table["is_tied"][0])
        level.append(table["p_value"][0] > 0.05)
    assert np.mean(all_tied) > 0.95
    assert np.mean(level) < 0.95


def test_a_difference_on_every_split_is_found_within_the_scatter_of_the_splits():
    rng = np.random.default_rng(0)
    common = rng.normal(0.8, 0.1, 10)
    scores = [common, common - 0.02 + rng.normal(0, 0.005, 10)]
    table = compare_candidates(results(scores), ratio=0.25)
    assert table["is_tied"].tolist() == [True, False]
    assert scores[0].std() > 3 * table["difference"][1]


def test_failed_fits_are_not_tied():
    scores = [[0.5, 0.6, 0.7], [0.9, np.nan, 0.9], [0.5, 0.6, 0.7]]
    table = compare_candidates(results(scores), ratio=0.5)
    assert table["is_tied"].tolist() == [True, False, True]
    assert np.isnan(table["mean"][1])


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (results([[0.5], [0.6]]), "ten or more are recommended, and the search has 1"),
        (results([[np.nan, np.nan]]), "No candidate has a score on all splits"),
        (results([[1, 2]]) | results([[1, 2]], name="other"), r"\['score', 'other'\]"),
        (results([[1, 2]]) | {"n_resources": [1]}, "successive halving"),
    ],
)
def test_searches_that_cannot_be_compared(table, match):
    with pytest.raises(ValueError, match=match):
        compare_candidates(table, ratio=0.25)


def test_the_simplest_of_the_tied_candidates_is_chosen():
    rng = np.random.default_rng(0)
    common = rng.normal(0.8, 0.1, 12)
    params = [{"a": a, "b": b} for a in (1, 2) for b in (10, 20)]
    offset = [-0.2, 0.0, 0.001, 0.002]
    scores = [common + shift + rng.normal(0, 0.01, 12) for shift in offset]
    table = results(scores, params)
    assert SimplestCandidate(order=["a", "b"], ratio=0.25)(table) == 1
    assert SimplestCandidate(order=["b"], ratio=0.25)(table) == 2
    assert SimplestCandidate(order=["-a", "-b"], ratio=0.25)(table) == 3
    # Of equally simple ones the best is chosen.
    best = 2 + int(scores[3].mean() > scores[2].mean())
    assert SimplestCandidate(order=["-a"], ratio=0.25)(table) == best
    rule = SimplestCandidate(order=["a", "b"], ratio=0.25, rule="one_standard_error")
    assert pickle.loads(pickle.dumps(rule))(table) == 1


def test_one_standard_error():
    scores = np.array([[0.9, 1.0, 1.1, 1.0], [0.85, 0.95, 1.05, 0.95], [0.1] * 4])
    std = np.sqrt((1 / 4 + 0.25) * scores[0].var(ddof=1))
    assert 0.05 < std < 0.1
    chosen = SimplestCandidate(order=["-size"], ratio=0.25, rule="one_standard_error")
    assert chosen(results(scores)) == 1
    # On each split the second is worse by the same: no chance.
    assert SimplestCandidate(order=["-size"], ratio=0.25)(results(scores)) == 0


def test_orders_that_are_refused():
    table = results([[1, 2]], [{"kind": "full"}])
    with pytest.raises(ValueError, match="order names 'size', which the search does"):
        SimplestCandidate(order=["-size"], ratio=0.25)(table)
    with pytest.raises(ValueError, match="kind is 'full'"):
        SimplestCandidate(order=["kind"], ratio=0.25)(table)
    with pytest.raises(ValueError, match="The 'rule' parameter of SimplestCandidate"):
        SimplestCandidate(order=["kind"], ratio=0.25, rule="best")


def test_the_ratio_of_sizes_includes_the_guard(ferroic_sites):
    sites = ferroic_sites[ferroic_sites.sublattice == 1]
    assert split_size_ratio(KFold(5), np.zeros(100)) == 0.25
    free = split_size_ratio(SpatialBlockKFold(3, random_state=0), sites)
    guarded = split_size_ratio(SpatialBlockKFold(3, guard=30, random_state=0), sites)
    assert free == pytest.approx(0.5, abs=0.05)
    assert guarded > 1.2 * free


def test_repeated_folds():
    places = 12.0 * np.indices((26, 26)).reshape(2, -1).T + 12
    sites = AtomSites(np.zeros((340, 340)), places)
    cv = RepeatedSpatialBlockKFold(3, n_repeats=4, guard=20, random_state=0)
    splits = list(cv.split(sites))
    assert len(splits) == cv.get_n_splits() == 12
    layouts = []
    for first in range(0, 12, 3):
        tests = [test for _, test in splits[first : first + 3]]
        assert np.array_equal(np.sort(np.concatenate(tests)), np.arange(len(sites)))
        layouts.append(tuple(sorted(map(tuple, tests))))
    assert len(set(layouts)) == 4
    for train, test in splits:
        gap = np.abs(sites.positions[train][:, None] - sites.positions[test])
        assert gap.max(axis=2).min() >= 20
    again = list(cv.split(sites))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(splits, again, strict=True))


def test_a_search_over_a_pipeline(ferroic_sites):
    sites = ferroic_sites[ferroic_sites.sublattice == 1]
    cv = RepeatedSpatialBlockKFold(3, n_repeats=2, guard=31, random_state=0)
    search = GridSearchCV(
        make_pipeline(
            PatchExtractor(window_size=24),
            PCA(random_state=0),
            KMeans(2, n_init=5, random_state=0),
        ),
        {"patchextractor__window_size": [24, 28], "pca__n_components": [1, 2, 3]},
        scoring=get_scorer("spatial_coherence"),
        cv=cv,
        refit=SimplestCandidate(
            order=["pca__n_components", "patchextractor__window_size"],
            ratio=split_size_ratio(cv, sites),
        ),
    ).fit(sites)
    table = compare_candidates(search.cv_results_, ratio=split_size_ratio(cv, sites))
    assert table["is_tied"][search.best_index_]
    simpler = [
        params["pca__n_components"] < search.best_params_["pca__n_components"]
        for params in table["params"]
    ]
    assert not table["is_tied"][simpler].any()
    display = SearchResultsDisplay.from_estimator(search, comparison=table)
    assert np.count_nonzero(display.tied) == table["is_tied"].sum()
    assert len(display.ties_) == table["is_tied"].sum() - 1
    with pytest.raises(ValueError, match="comparison is not of the candidates"):
        SearchResultsDisplay.from_estimator(search, comparison=table[1:])


def test_sites_without_coordinates_are_refused():
    with pytest.raises(TypeError, match="coordinates"):
        RepeatedSpatialBlockKFold().split(np.zeros((10, 2)))


@pytest.mark.parametrize("worst", [-1e6, -np.inf, np.nan])
def test_a_candidate_that_failed_on_a_split_is_not_chosen(worst):
    rng = np.random.default_rng(0)
    good = rng.normal(1, 0.05, 10)
    bad = good - 0.5
    bad[3] = worst
    table = results([bad, good])
    compared = compare_candidates(table, ratio=1 / 9)
    assert compared["is_tied"].tolist() == [False, True]
    assert np.isnan(compared["mean"][0])
    for rule in ("paired", "one_standard_error"):
        assert SimplestCandidate(order=["size"], ratio=1 / 9, rule=rule)(table) == 1
