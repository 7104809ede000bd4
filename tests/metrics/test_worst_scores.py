"""Models that tell nothing: each scorer stays finite, and at its worst."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomLocator, AtomSites, metrics
from tests._scoring import RANGES, patches

WORST = {name: low for name, (low, _) in RANGES.items()}


class Fixed(ClusterMixin, BaseEstimator):
    """The same label for all."""

    def __init__(self, value):
        self.value = value

    def fit(self, X, y=None):
        return self

    def predict(self, X):
        return np.full(len(X), self.value)


class FixedPose(TransformerMixin, BaseEstimator):
    """The same angle and latents for all."""

    def __init__(self, value):
        self.value = value

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.full((len(X), 3), self.value)

    def get_feature_names_out(self, input_features=None):
        return np.array(["angle", "latent0", "latent1"], dtype=object)


@pytest.mark.parametrize(
    "last", [Fixed(0), Fixed(-1), Fixed(np.nan), FixedPose(0.0), FixedPose(np.nan)]
)
def test_degenerate_estimators_get_the_worst(last, sites, split, score_all):
    scores = score_all(make_pipeline(patches(), last), split[1])
    assert scores["spatial_coherence"] == -1
    assert scores["wall_straightness"] == 0
    assert scores["angle_coherence"] == -1
    assert scores["variant_accuracy"] < 0.6
    assert scores["rotation_equivariance"] <= 0
    assert scores["neg_latent_leakage"] == -1
    assert scores["circular_correlation"] == -1
    assert scores["evidence"] == -1e6
    assert scores["reconstruction"] == -1
    assert np.isfinite(list(scores.values())).all()


@pytest.mark.parametrize("noise", [-1, np.nan])
def test_noise_alone_gets_the_worst_of_all_scores(noise, sites, split, score_all):
    assert score_all(make_pipeline(patches(), Fixed(noise)), split[1]) == WORST


class Halves(ClusterMixin, BaseEstimator):
    """Bright and dim windows, under two of many numbers."""

    def __init__(self, numbers):
        self.numbers = numbers

    def fit(self, X, y=None):
        self.middle_ = np.median(np.mean(X, axis=1))
        return self

    def predict(self, X):
        return np.where(np.mean(X, axis=1) > self.middle_, *self.numbers)


def test_empty_clusters_count_for_nothing(sites, split, score_all):
    train, held_out = split
    full, holed = (
        score_all(make_pipeline(patches(), Halves(numbers)).fit(sites[train]), held_out)
        for numbers in ((1, 0), (7, 2))
    )
    assert holed == full
    assert full["spatial_coherence"] > 0


def test_more_clusters_than_distinct_rows_are_no_error(sites, split):
    """As where a transformer has collapsed."""
    pipeline = make_pipeline(patches(), FixedPose(0.0))
    for scoring in ("spatial_coherence", "wall_straightness"):
        scorer = metrics.get_scorer(scoring)
        assert scorer(pipeline, sites[split[1]], n_clusters=9) == WORST[scoring]


class Density(BaseEstimator):
    """The same log-likelihood for all."""

    def __init__(self, value):
        self.value = value

    def score_samples(self, X):
        return np.full(len(X), self.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e30])
def test_a_likelihood_that_is_not_finite_is_the_worst(value, sites, split):
    pipeline = make_pipeline(patches(), Density(value))
    assert metrics.evidence_scorer(pipeline, sites[split[1]]) == WORST["evidence"]


@pytest.mark.parametrize("name", ["mixture", "VAE", "PCA, k-means", "raw k-means"])
@pytest.mark.parametrize("all_rows", [False, True])
def test_windows_that_are_not_finite_spoil_nothing(
    name, all_rows, fitted, sites, split, score_all
):
    pipeline = fitted(name)
    holed = make_pipeline(patches(boundary="nan"), *pipeline[1:])
    held_out = split[1]
    outside = np.isnan(holed[0].transform(sites[held_out])).any(axis=1)
    assert 0 < outside.sum() < len(held_out)
    if all_rows:
        held_out = held_out[outside]
    scores = score_all(holed, held_out)
    for scoring, score in scores.items():
        low, high = RANGES[scoring]
        assert low <= score <= high, scoring
    if all_rows:
        assert scores == WORST
    else:
        whole = score_all(pipeline, held_out)
        assert scores["variant_accuracy"] < whole["variant_accuracy"]
        if name != "raw k-means":
            assert scores["evidence"] == pytest.approx(whole["evidence"], abs=0.5)


def test_one_finite_window_is_not_reconstructed(fitted, sites, split):
    held_out = sites[split[1]]
    holed = make_pipeline(patches(boundary="nan"), *fitted("PCA")[1:])
    outside = np.isnan(holed[0].transform(held_out)).any(axis=1)
    few = np.append(np.flatnonzero(outside), np.flatnonzero(~outside)[0])
    assert metrics.reconstruction_scorer(holed, held_out[few]) == -1


def test_equal_windows_have_no_variance_to_reconstruct(fitted):
    pca = fitted("PCA")[1]
    assert metrics.reconstruction_scorer(pca, np.ones((9, 24**2))) == -1


def test_a_locator_alone_labels_nothing(data, truth):
    locator = AtomLocator(sublattice=1).fit(data)
    assert metrics.spatial_coherence_scorer(locator, data) == -1
    assert metrics.variant_accuracy_scorer(make_pipeline(locator), data, truth) == 0


class PoseClusterer(FixedPose, Halves):
    """Transforms to a pose and predicts as well."""

    def __init__(self, value=0.3, numbers=(1, 0)):
        self.value = value
        self.numbers = numbers

    fit = Halves.fit

    def transform(self, X):
        pose = super().transform(X)
        pose[:, 0] += self.predict(X)
        return pose


def test_the_last_step_may_tell_both_label_and_angle(sites, split):
    train, held_out = (sites[part] for part in split)
    pipeline = make_pipeline(patches(), PoseClusterer()).fit(train)
    labels = pipeline.predict(held_out)
    assert metrics.angle_coherence_scorer(pipeline, held_out) == (
        metrics.angle_coherence_score(held_out, labels, 0.3 + labels)
    )


def test_sites_that_make_no_blocks_are_divided_at_random(sites):
    """Sites in one place leave nothing to cut."""
    image = sites.images[0]
    same = AtomSites(image, np.tile([[100.2, 100.4], [120.1, 100.3]], (20, 1)))
    leakage = metrics.neg_latent_leakage_scorer(
        make_pipeline(patches(), PCA(2).fit(patches().transform(sites)), NameColumns()),
        same,
    )
    # Two places, two angles: the latents tell all.
    assert leakage == pytest.approx(-1)


class NameColumns(TransformerMixin, BaseEstimator):
    """The first of the columns is taken for an angle."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X

    def get_feature_names_out(self, input_features=None):
        return np.array(["angle", "latent0"], dtype=object)


@pytest.mark.parametrize("n_held_out", [1, 2, 3])
@pytest.mark.parametrize("name", ["mixture", "VAE", "PCA", "all noise"])
def test_few_sites_are_no_error(name, n_held_out, fitted, split, score_all):
    scores = score_all(fitted(name), split[1][:n_held_out])
    assert np.isfinite(list(scores.values())).all()


def test_a_side_without_truth_gets_the_worst(fitted, sites):
    unknown = np.full(len(sites), -1)
    nothing = np.full(len(sites), np.nan)
    pipeline = fitted("VAE")
    assert metrics.variant_accuracy_scorer(pipeline, sites, unknown) == 0
    assert metrics.circular_correlation_scorer(pipeline, sites, nothing) == -1
    assert metrics.neg_angular_error_scorer(pipeline, sites, nothing) == -np.pi
    assert metrics.neg_latent_leakage_scorer(pipeline, sites, unknown) == -1
