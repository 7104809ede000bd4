"""Numbers of clusters against a known truth."""

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ferroic import AtomSites, PolarizationVector
from sklearn_ferroic.model_selection import (
    SpatialBlockKFold,
    SpatialShuffleSplit,
    component_scores,
    label_stability,
)

COUNTS = [1, 2, 3, 4, 5, 6, 7]


def blobs(n_blobs, seed, n_samples=600):
    """Clusters a quarter, third … turn apart, as variants are."""
    angle = 2 * np.pi * np.arange(n_blobs) / n_blobs
    centers = 5 * np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
    return make_blobs(n_samples, centers=centers, cluster_std=0.6, random_state=seed)


def mixture(n_components=1):
    return GaussianMixture(n_components, n_init=5, random_state=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_blobs", [3, 5])
def test_bic_and_icl_are_least_at_the_true_number(n_blobs, seed):
    X, _ = blobs(n_blobs, seed)
    scores = component_scores(mixture(), X, COUNTS)
    assert scores.n_components.tolist() == COUNTS
    assert scores.n_components[scores.bic.argmin()] == n_blobs
    assert scores.n_components[scores.icl.argmin()] == n_blobs
    assert (np.diff(scores.log_likelihood[:n_blobs]) > 0).all()
    assert scores.converged.all()


def test_criteria_are_those_of_the_mixture():
    X, _ = blobs(4, 0)
    scores = component_scores(make_pipeline(StandardScaler(), mixture()), X, [1, 4])
    scaled = StandardScaler().fit_transform(X)
    fitted = mixture(4).fit(scaled)
    assert scores.bic[1] == pytest.approx(fitted.bic(scaled))
    assert scores.aic[1] == pytest.approx(fitted.aic(scaled))
    assert scores.log_likelihood[1] == pytest.approx(fitted.score(scaled))
    # one component leaves no doubt where a sample belongs
    assert scores.icl[0] == pytest.approx(scores.bic[0])


@pytest.mark.parametrize("seed", range(3))
def test_icl_counts_clusters_with_tails_once(seed):
    rng = np.random.default_rng(seed)
    X, truth = blobs(4, seed, n_samples=1200)
    centers = np.stack([X[truth == k].mean(axis=0) for k in range(4)])[truth]
    is_tail = rng.random(len(X)) < 0.3
    X = centers + (X - centers) * np.where(is_tail, 1.0, 0.5)[:, None]
    scores = component_scores(mixture(), X, [2, 3, 4, 5, 6, 7, 8])
    assert scores.n_components[scores.bic.argmin()] > 4
    assert scores.n_components[scores.icl.argmin()] == 4


class CountedScaler(TransformerMixin, BaseEstimator):
    fits = 0

    def fit(self, X, y=None):
        CountedScaler.fits += 1
        return self

    def transform(self, X):
        return X


def test_features_are_made_once():
    CountedScaler.fits = 0
    pipeline = make_pipeline(CountedScaler(), mixture())
    component_scores(pipeline, blobs(3, 0)[0], COUNTS)
    assert CountedScaler.fits == 1
    assert not hasattr(pipeline[-1], "means_")


def test_workers_change_nothing():
    X, _ = blobs(3, 0)
    one = component_scores(mixture(), X, [2, 3])
    with parallel_config("threading"):
        two = component_scores(mixture(), X, [2, 3], n_jobs=2)
    np.testing.assert_array_equal(one.bic, two.bic)


@pytest.mark.parametrize("counts", [[], [0, 1], [1.5], [True]])
def test_impossible_numbers_are_refused(counts):
    with pytest.raises(ValueError, match="n_components must be positive integers"):
        component_scores(mixture(), blobs(3, 0)[0], counts)


@pytest.mark.parametrize("last", [KMeans(3), BayesianGaussianMixture(n_components=3)])
def test_what_has_no_criterion_is_named(last):
    with pytest.raises(TypeError, match=type(last).__name__):
        component_scores(make_pipeline(PCA(2), last), blobs(3, 0)[0], COUNTS)


@pytest.mark.parametrize("seed", range(3))
def test_true_clusters_are_stable_and_cut_ones_are_not(seed):
    X, truth = blobs(4, seed)
    score = {
        k: label_stability(KMeans(k, n_init=5), X, random_state=seed).score
        for k in (3, 4, 6)
    }
    assert score[4] == 1
    assert score[6] < 0.9
    stable = label_stability(mixture(4), X, random_state=seed)
    assert adjusted_rand_score(truth, stable.labels[0]) == 1


def test_agreement_is_the_rand_index_of_each_pair():
    X, _ = blobs(4, 0)
    stability = label_stability(KMeans(6, n_init=1), X, n_refits=4, random_state=1)
    assert stability.labels.shape == (4, len(X))
    for i in range(4):
        for j in range(4):
            assert stability.agreement[i, j] == pytest.approx(
                adjusted_rand_score(stability.labels[i], stability.labels[j])
            )
    off_diagonal = stability.agreement[~np.eye(4, dtype=bool)]
    assert stability.score == pytest.approx(off_diagonal.mean())
    again = label_stability(KMeans(6, n_init=1), X, n_refits=4, random_state=1)
    np.testing.assert_array_equal(again.labels, stability.labels)


@pytest.mark.parametrize(
    "splitter", [SpatialBlockKFold(3), SpatialShuffleSplit(4, test_size=0.5)]
)
def test_blocks_find_out_clusters_that_only_one_part_shows(splitter):
    # A drift across the crystal: blocks that see parts of it cut it differently, while
    # seeds alone do not.
    positions = 10.0 * np.argwhere(np.ones((24, 24)))
    rng = np.random.default_rng(0)
    drift = positions[:, :1] / 60 + rng.normal(0, 0.05, (len(positions), 1))
    domains = 20.0 * (positions[:, 1:] // 40 % 2)
    cv = type(splitter)(
        **vars(splitter)
        | {"coordinates": positions, "block_size": 80, "random_state": 0}
    )

    def stability(X, n_clusters, cv=None):
        k_means = KMeans(n_clusters, n_init=5)
        return label_stability(k_means, X, cv=cv, random_state=0).score

    features = np.hstack([drift, domains])
    assert stability(features, 2, cv) == 1
    assert stability(features, 4) > 0.98
    assert stability(features, 4, cv) < 0.95


def test_sites_and_pipelines_are_taken():
    rng = np.random.default_rng(0)
    positions = 10.0 * np.argwhere(np.ones((16, 16)))
    variant = (positions[:, 1] // 80).astype(int)
    polarization = np.where(variant[:, None] == 0, [1.0, 1.0], [-1.0, 1.0])
    polarization = polarization + rng.normal(0, 0.1, polarization.shape)
    sites = AtomSites(np.zeros((160, 160)), positions, polarization=polarization)
    pipeline = make_pipeline(PolarizationVector(), mixture(2))
    cv = SpatialBlockKFold(3, guard=20, random_state=0)
    stability = label_stability(pipeline, sites, cv=cv, random_state=0)
    assert stability.labels.shape == (3, 256)
    assert stability.score == 1
    assert component_scores(pipeline, sites, [1, 2, 3]).bic.argmin() == 1


def test_clusterers_without_predict_label_all_samples_only():
    X, _ = blobs(3, 0)
    tree = AgglomerativeClustering(3)
    assert label_stability(tree, X, n_refits=2).score == 1
    with pytest.raises(TypeError, match="AgglomerativeClustering has no predict"):
        label_stability(tree, X, cv=3)


def test_one_split_is_refused():
    X, _ = blobs(3, 0)
    with pytest.raises(ValueError, match="makes one split"):
        label_stability(KMeans(3), X, cv=[(np.arange(100), np.arange(100, 200))])
