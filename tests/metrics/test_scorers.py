"""The scorers as searches use them, on small images."""

import functools
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.decomposition import NMF, PCA
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ferroic import (
    AngleAwareScaler,
    AtomLocator,
    MultiReferenceAlignment,
    PatchExtractor,
    PolarizationVector,
    RotationalVAE,
    metrics,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.model_selection import SpatialBlockKFold
from tests._truth import match

RANGES = {
    "angle_coherence": (-1, 1),
    "circular_correlation": (-1, 1),
    "evidence": (-1e6, np.inf),
    "neg_angular_error": (-np.pi, 0),
    "neg_latent_leakage": (-1, 0),
    "reconstruction": (-1, 1),
    "rotation_equivariance": (-1, 1),
    "spatial_coherence": (-1, 1),
    "variant_accuracy": (0, 1),
    "wall_straightness": (0, 1),
}
NEED_ANGLES = {"circular_correlation", "neg_angular_error"}


def patches(**parameters):
    return PatchExtractor(**{"window_size": 24} | parameters)


def vae(**parameters):
    return RotationalVAE(**{"max_epochs": 2, "random_state": 0} | parameters)


def mixture(n_components=4):
    return GaussianMixture(n_components, reg_covar=1e-3, random_state=0)


def k_means(n_clusters=4):
    return KMeans(n_clusters, random_state=0)


PIPELINES = {
    "mixture": lambda: make_pipeline(patches(), vae(), AngleAwareScaler(), mixture()),
    "k-means": lambda: make_pipeline(patches(), vae(), AngleAwareScaler(), k_means()),
    "VAE": lambda: make_pipeline(patches(), vae()),
    "scaler": lambda: make_pipeline(patches(), vae(), AngleAwareScaler()),
    "nested": lambda: make_pipeline(patches(), make_pipeline(vae(), "passthrough")),
    "alignment": lambda: make_pipeline(patches(), MultiReferenceAlignment()),
    "PCA, k-means": lambda: make_pipeline(
        patches(), StandardScaler(), PCA(4), k_means()
    ),
    "PCA": lambda: make_pipeline(patches(), PCA(4)),
    "NMF, agglomerative": lambda: make_pipeline(
        patches(), NMF(3, init="nndsvda", tol=0.01), AgglomerativeClustering(4)
    ),
    "raw k-means": lambda: make_pipeline(patches(), k_means()),
    "raw mixture": lambda: make_pipeline(
        patches(window_size=4), GaussianMixture(3, reg_covar=1e-2, random_state=0)
    ),
    "all noise": lambda: make_pipeline(patches(), PCA(2), DBSCAN(1e-9)),
    "t-SNE": lambda: make_pipeline(patches(), TSNE(perplexity=5, max_iter=250)),
    "displacement": lambda: make_pipeline(PolarizationVector(), k_means()),
}


@pytest.fixture(scope="module")
def data():
    return make_ferroic_image("film", shape=(240, 250), random_state=3)


@pytest.fixture(scope="module")
def sites(data):
    return AtomLocator(sublattice=1).fit_transform(data)


@pytest.fixture(scope="module")
def truth(data, sites):
    return data.variant[match(sites, data)[0]]


@pytest.fixture(scope="module")
def true_angle(truth):
    return np.where(truth < 0, np.nan, np.pi / 4 + np.pi / 2 * truth)


@pytest.fixture(scope="module")
def split(sites):
    cv = SpatialBlockKFold(2, guard=24, random_state=0)
    return next(cv.split(sites))


@pytest.fixture(scope="module")
def fitted(sites, split):
    made = {}

    def fit(name):
        if name not in made:
            steps = PIPELINES[name]()
            train = sites[split[0]]
            if name == "displacement":  # which the held-out sites need not all have
                train = train[np.isfinite(train.polarization).all(axis=1)]
            made[name] = (steps[:-1] if name == "t-SNE" else steps).fit(train)
            if name == "t-SNE":
                made[name] = steps
        return made[name]

    return fit


@pytest.fixture
def score_all(sites, truth, true_angle):
    def score(estimator, held_out):
        scores = {}
        for name in metrics.get_scorer_names():
            y = true_angle if name in NEED_ANGLES else truth
            scores[name] = metrics.get_scorer(name)(
                estimator, sites[held_out], y[held_out]
            )
        return scores

    return score


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


def test_a_trained_model_scores_well(fitted, split, score_all):
    scores = score_all(fitted("mixture"), split[1])
    assert scores["rotation_equivariance"] > 0.8
    assert scores["spatial_coherence"] > 0.3
    # better than their mean, although cells without a direction are drawn as posed
    assert scores["reconstruction"] > 0
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
        assert scores["spatial_coherence"] == -1
        assert scores["variant_accuracy"] == 0
        assert scores["evidence"] == -1e6
    else:
        whole = score_all(pipeline, held_out)
        assert scores["variant_accuracy"] < whole["variant_accuracy"]
        if name != "raw k-means":
            assert scores["evidence"] == pytest.approx(whole["evidence"], abs=0.5)


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
