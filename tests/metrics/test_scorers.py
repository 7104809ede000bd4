"""The scorers as searches use them, on small images."""

import functools
import pickle

import numpy as np
import pytest
from scipy.special import betaln
from scipy.stats import multivariate_t
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AngleRegistration,
    AtomLocator,
    GridSampler,
    PatchExtractor,
    PolarizationVector,
    SlidingFFT,
    metrics,
)
from sklearn_ferroic._utils.transformers import ImagesToSitesMixin
from sklearn_ferroic.model_selection import SpatialBlockKFold
from tests._scoring import (
    NEED_ANGLES,
    PIPELINES,
    RANGES,
    k_means,
    mixture,
    patches,
    vae,
)


def test_names():
    assert metrics.get_scorer_names() == sorted(RANGES)
    for name in RANGES:
        scorer = metrics.get_scorer(name)
        assert scorer is getattr(metrics, f"{name}_scorer")
        assert metrics.get_scorer(scorer) is scorer
        assert pickle.loads(pickle.dumps(scorer)) is scorer
    with pytest.raises(ValueError, match="'scoring' parameter"):
        metrics.get_scorer("coherence")


@pytest.mark.parametrize("name", list(PIPELINES))
def test_whatever_the_last_step_is(name, fitted, split, score_all):
    scores = score_all(fitted(name), split[1])
    for scoring, score in scores.items():
        low, high = RANGES[scoring]
        assert type(score) is float
        assert low <= score <= high, scoring


def test_scores_are_those_of_the_functions(fitted, sites, split, truth):
    pipeline, held_out = fitted("mixture"), sites[split[1]]
    labels = pipeline.predict(held_out)
    assert metrics.spatial_coherence_scorer(pipeline, held_out) == (
        metrics.spatial_coherence_score(held_out, labels)
    )
    assert metrics.wall_straightness_scorer(pipeline, held_out) == (
        metrics.wall_straightness_score(held_out, labels)
    )
    pose, width = pipeline[1].transform_with_std(pipeline[0].transform(held_out))
    assert metrics.angle_coherence_scorer(pipeline, held_out) == (
        metrics.angle_coherence_score(
            held_out, labels, pose[:, 0], angle_std=width[:, 0]
        )
    )
    assert metrics.variant_accuracy_scorer(pipeline, held_out, truth[split[1]]) == (
        metrics.variant_accuracy_score(truth[split[1]], labels)
    )
    assert metrics.evidence_scorer(pipeline, held_out) == pytest.approx(
        pipeline[:2].score(held_out)
    )
    windows = pipeline[0].transform(held_out)
    assert metrics.rotation_equivariance_scorer(pipeline, held_out) == (
        metrics.rotation_equivariance_score(pipeline[1], windows)
    )


def test_a_trained_model_scores_well(fitted, split, sites, truth, score_all):
    scores = score_all(fitted("mixture"), split[1])
    assert scores["rotation_equivariance"] > 0.8
    assert scores["spatial_coherence"] > 0.3
    # Two epochs are too few to draw windows; noise is a quarter of their variance.
    trained = make_pipeline(patches(), vae(max_epochs=20)).fit(sites[split[0]])
    polar = split[1][truth[split[1]] >= 0]
    for part in (polar, split[1]):
        assert 0.5 < metrics.reconstruction_scorer(trained, sites[part]) < 0.75
    assert scores["circular_correlation"] > 0.7
    assert scores["neg_angular_error"] > -0.5
    assert scores["evidence"] > 0


@pytest.mark.parametrize("seed", range(2))
def test_a_network_whose_angle_collapses_is_told(seed, sites, split):
    """As the dense encoder's does, while the latents know the turn."""
    train, held_out = (sites[part] for part in split)
    pipeline = make_pipeline(patches(), vae(encoder="dense", random_state=seed))
    pipeline.fit(train)
    assert metrics.rotation_equivariance_scorer(pipeline, held_out) < 0
    good = make_pipeline(patches(), vae(random_state=seed)).fit(train)
    assert metrics.rotation_equivariance_scorer(good, held_out) > 0.99


def test_linear_models_by_hand(fitted, sites, split):
    held_out = sites[split[1]]
    pipeline = fitted("PCA")
    windows = pipeline[0].transform(held_out).astype(float)
    drawn = pipeline[1].inverse_transform(pipeline[1].transform(windows))
    share = 1 - ((drawn - windows) ** 2).sum() / (
        ((windows - windows.mean(axis=0)) ** 2).sum()
    )
    assert metrics.reconstruction_scorer(pipeline, held_out) == pytest.approx(
        share, abs=1e-4
    )
    assert metrics.evidence_scorer(pipeline, held_out) == pytest.approx(
        pipeline[1].score(windows) / 24**2, rel=1e-4
    )
    # through the scaler before it and back
    scaled = metrics.reconstruction_scorer(fitted("PCA, k-means"), held_out)
    assert 0.3 < scaled <= share
    assert metrics.rotation_equivariance_scorer(pipeline, held_out) == -1


def test_a_transformer_is_clustered_as_asked(fitted, sites, split, truth):
    held_out = sites[split[1]]
    scorer = metrics.variant_accuracy_scorer
    by_angle = scorer(fitted("VAE"), held_out, truth[split[1]])
    assert by_angle > 0.6
    assert scorer(fitted("VAE"), held_out, truth[split[1]], n_clusters=1) < by_angle
    one = functools.partial(metrics.spatial_coherence_scorer, n_clusters=1)
    assert pickle.loads(pickle.dumps(one))(fitted("VAE"), held_out) == -1


@pytest.mark.parametrize(
    ("name", "container"),
    [("mixture", "pandas"), ("VAE", "polars"), ("PCA, k-means", "polars")],
)
def test_tables_score_as_arrays_do(name, container, fitted, sites, split, score_all):
    expected = score_all(fitted(name), split[1])
    tables = PIPELINES[name]().set_output(transform=container).fit(sites[split[0]])
    scores = score_all(tables, split[1])
    for scoring, score in expected.items():
        assert scores[scoring] == pytest.approx(score, abs=1e-3), scoring


def test_images_are_located_first(data, sites):
    whole = make_pipeline(AtomLocator(sublattice=1), patches(), PCA(3), k_means(3)).fit(
        data
    )
    located = whole[0].transform(data)
    assert metrics.spatial_coherence_scorer(whole, data) == (
        metrics.spatial_coherence_score(located, whole.predict(data))
    )


class CountingExtractor(PatchExtractor):
    """Counts how often it cuts windows."""

    n_calls = 0

    def transform(self, X):
        type(self).n_calls += 1
        return super().transform(X)


@pytest.mark.parametrize("name", ["mixture", "VAE"])
def test_label_and_angle_come_of_one_pass(name, fitted, sites, split, monkeypatch):
    steps = fitted(name)[1:]
    encoder, encode, calls = steps[0], steps[0].transform_with_std, []
    monkeypatch.setattr(CountingExtractor, "n_calls", 0)
    monkeypatch.setattr(
        encoder, "transform_with_std", lambda X: calls.append(1) or encode(X)
    )
    counting = make_pipeline(CountingExtractor(window_size=24), *steps)
    metrics.angle_coherence_scorer(counting, sites[split[1]])
    assert (CountingExtractor.n_calls, len(calls)) == (1, 1)


class MeasuredAngle(PolarizationVector):
    """The direction of the measured displacement."""

    def get_feature_names_out(self, input_features=None):
        return np.array(["latent0", "angle"], dtype=object)


def test_a_step_on_sites_may_name_the_angle(sites, true_angle):
    pipeline = make_pipeline(MeasuredAngle(output="polar")).fit(sites)
    pose = pipeline.transform(sites)
    told = np.isfinite(true_angle) & np.isfinite(pose).all(axis=1)
    error = metrics.angular_error(true_angle[told], pose[told, 1], register=True)
    lost = np.isfinite(true_angle) & ~told
    expected = (abs(error).sum() + np.pi * lost.sum()) / np.isfinite(true_angle).sum()
    score = metrics.neg_angular_error_scorer(pipeline, sites, true_angle)
    assert score == pytest.approx(-expected)
    assert score > -1
    # there is no window to turn
    assert metrics.rotation_equivariance_scorer(pipeline, sites) == -1


class Located(ImagesToSitesMixin, BaseEstimator):
    """A locator of another kind, which knows the sites beforehand."""

    def __init__(self, sites=None):
        self.sites = sites

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return self.sites

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.parametrize("scoring", ["spatial_coherence", "reconstruction"])
def test_any_locator_may_come_first(fitted, sites, scoring):
    score = metrics.get_scorer(scoring)
    whole = make_pipeline(Located(sites), *fitted("VAE"))
    assert score(whole, list(sites.images)) == score(fitted("VAE"), sites) > 0


def test_registration_changes_no_domain(fitted, sites):
    pipeline = fitted("VAE")
    registration = AngleRegistration().fit(pipeline.transform(sites), sites)
    registered = make_pipeline(*pipeline, registration)
    score = metrics.spatial_coherence_scorer
    expected = score(pipeline, sites, n_clusters=4)
    assert score(registered, sites, n_clusters=4) == pytest.approx(expected, abs=0.02)


def test_sites_given_for_a_registration_are_no_truth(fitted, sites):
    pipeline = fitted("VAE")
    leakage = metrics.neg_latent_leakage_scorer
    assert leakage(pipeline, sites, sites) == leakage(pipeline, sites)
    with pytest.raises(ValueError, match="needs the true variants"):
        metrics.variant_accuracy_scorer(pipeline, sites, sites)


def test_what_scorers_refuse(fitted, sites):
    windows = patches().transform(sites)
    with pytest.raises(TypeError, match="needs AtomSites"):
        metrics.spatial_coherence_scorer(k_means(2).fit(windows), windows)
    for name in (*NEED_ANGLES, "variant_accuracy"):
        with pytest.raises(ValueError, match=f"{name} needs the true"):
            metrics.get_scorer(name)(fitted("VAE"), sites)
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            metrics.get_scorer(name)(fitted("VAE"), sites, np.zeros(3))


LABEL_FREE = sorted(RANGES.keys() - NEED_ANGLES - {"variant_accuracy"})
SEARCHES = {
    "mixture": lambda: make_pipeline(
        patches(), vae(max_epochs=1), AngleAwareScaler(), mixture(2)
    ),
    "VAE": lambda: make_pipeline(patches(), vae(max_epochs=1)),
    "PCA": lambda: make_pipeline(patches(), PCA(3, random_state=0), k_means(3)),
}


@pytest.mark.parametrize("name", list(SEARCHES))
def test_grid_search_over_windows_in_two_processes(name, sites):
    search = GridSearchCV(
        SEARCHES[name](),
        {"patchextractor__window_size": [24, 36]},
        scoring={scoring: metrics.get_scorer(scoring) for scoring in LABEL_FREE},
        refit="spatial_coherence",
        cv=SpatialBlockKFold(2, random_state=0),
        n_jobs=2,
        error_score="raise",
    ).fit(sites)
    for scoring in LABEL_FREE:
        assert np.isfinite(search.cv_results_[f"mean_test_{scoring}"]).all()
    best = search.cv_results_["mean_test_spatial_coherence"].argmax()
    assert search.best_params_["patchextractor__window_size"] == [24, 36][best]
    # a search is scored as its best estimator is
    assert metrics.spatial_coherence_scorer(search, sites) == (
        metrics.spatial_coherence_scorer(search.best_estimator_, sites)
    )


def test_search_with_the_truth(sites, truth):
    scores = cross_val_score(
        PIPELINES["VAE"](),
        sites,
        truth,
        scoring=metrics.get_scorer("variant_accuracy"),
        cv=SpatialBlockKFold(2, random_state=0),
        error_score="raise",
    )
    assert (scores > 0.5).all()


# Completed likelihood -----------------------------------------------------------------


def blobs(distance, n_features=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, n_features))
    X[::2, 0] += distance
    return X


@pytest.mark.parametrize("n_features", [1, 3])
def test_completed_likelihood_increases_with_the_separation(n_features):
    scores = []
    for distance in (0, 3, 6, 12):
        X = blobs(distance, n_features)
        mixture = GaussianMixture(2, n_init=3, random_state=0).fit(X[:300])
        scores.append(metrics.completed_likelihood_scorer(mixture, X[300:]))
    assert scores == sorted(scores)
    # Without clusters a second component only adds uncertain assignments.
    assert scores[0] < 0
    # Far apart: the entropy of the labels is added, and the variance along the first
    # feature is that within a cluster.
    expected = (0.5 * np.log(1 + 12**2 / 4) - np.log(2)) / n_features
    assert scores[-1] == pytest.approx(expected, abs=0.05)


def test_completed_likelihood_does_not_depend_on_the_units():
    X = blobs(8)
    matrix = np.array([[3, 1, 0], [0, 1, 0.5], [0, 0, 1]]) * [1, 1e-3, 50]
    scores, means = [], np.array([[0, 0, 0], [8, 0, 0]])
    for change in (np.eye(3), matrix):
        mixture = GaussianMixture(
            2, means_init=means @ change, reg_covar=0, tol=1e-8, max_iter=1000
        ).fit(X[:300] @ change)
        scores.append(metrics.completed_likelihood_scorer(mixture, X[300:] @ change))
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_completed_likelihood_needs_a_mixture_and_enough_cells():
    X = blobs(8)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    for estimator, held_out in [
        (KMeans(2, random_state=0).fit(X), X),
        (PCA(2).fit(X), X),
        (mixture, X[:3]),
        (mixture, np.tile(X[:1], (9, 1))),
    ]:
        assert metrics.completed_likelihood_scorer(estimator, held_out) == -1e6
        assert metrics.mixture_evidence_scorer(estimator, held_out) == -1e6


def test_mixture_evidence_is_that_of_the_marginal_distributions():
    """One feature: the cells of a cluster have a multivariate t distribution."""

    def log_evidence(x):
        shape = np.eye(len(x)) + np.ones((len(x), len(x)))
        return multivariate_t.logpdf(x, np.zeros(len(x)), shape, df=1)

    X = blobs(12, 1)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    label = mixture.predict(X)
    white = (X[:, 0] - X.mean()) / X.std()
    counts = np.bincount(label)
    # The Dirichlet-multinomial probability of the labels, prior 1/2 each.
    expected = betaln(*(0.5 + counts)) - betaln(0.5, 0.5) - log_evidence(white)
    expected += sum(log_evidence(white[label == k]) for k in (0, 1))
    score = metrics.mixture_evidence_scorer(mixture, X)
    assert score == pytest.approx(expected / len(X), abs=1e-3)


@pytest.mark.parametrize("n_clusters", [1, 2, 4])
def test_mixture_evidence_is_highest_at_the_right_number_of_clusters(n_clusters):
    rng = np.random.default_rng(0)
    centers = 10 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])[:n_clusters]
    X = rng.normal(np.repeat(centers, 120, axis=0))[rng.permutation(120 * n_clusters)]
    half = len(X) // 2
    scores = [
        metrics.mixture_evidence_scorer(
            GaussianMixture(k, n_init=3, random_state=0).fit(X[:half]), X[half:]
        )
        for k in range(1, 7)
    ]
    assert np.argmax(scores) + 1 == n_clusters


def test_mixture_evidence_does_not_depend_on_the_units():
    X = blobs(8)
    matrix = np.array([[3, 1, 0], [0, 1, 0.5], [0, 0, 1]]) * [1, 1e-3, 50]
    scores, means = [], np.array([[0, 0, 0], [8, 0, 0]])
    for change in (np.eye(3), matrix):
        mixture = GaussianMixture(
            2, means_init=means @ change, reg_covar=0, tol=1e-8, max_iter=1000
        ).fit(X[:300] @ change)
        scores.append(metrics.mixture_evidence_scorer(mixture, X[300:] @ change))
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_pipelines_that_begin_with_a_grid_are_scored(ferroic_image):
    pipeline = make_pipeline(
        GridSampler(step=8, margin=16),
        SlidingFFT(window_size=32, high=0.2),
        PCA(2, random_state=0),
        KMeans(2, random_state=0),
    ).fit(ferroic_image.image)
    score = metrics.spatial_coherence_scorer(pipeline, ferroic_image.image)
    assert -1 < score <= 1
