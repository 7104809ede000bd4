"""Displays accept what scorers accept: searches and pipelines in pipelines."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_ferroic import PatchExtractor
from sklearn_ferroic.inspection import (
    ClusterMeansDisplay,
    LatentDistributionDisplay,
    LoadingMapDisplay,
)


@pytest.fixture(scope="module")
def b_sites(ferroic_sites):
    return ferroic_sites[ferroic_sites.sublattice == 1]


@pytest.fixture(scope="module")
def search(b_sites):
    inner = make_pipeline(PatchExtractor(window_size=40), PCA(3, random_state=0))
    pipeline = make_pipeline("passthrough", inner, KMeans(2, n_init=1, random_state=0))
    return GridSearchCV(pipeline, {"kmeans__n_clusters": [2]}, cv=2).fit(b_sites)


def test_cluster_means_of_a_search(search, b_sites):
    display = ClusterMeansDisplay.from_estimator(search, b_sites)
    labels = search.predict(b_sites)
    windows = PatchExtractor(window_size=40).fit_transform(b_sites)
    expected = windows[labels == 0].mean(axis=0, dtype=np.float64).reshape(40, 40)
    np.testing.assert_allclose(display.means[0], expected)


def test_loading_map_of_a_search(search, b_sites):
    display = LoadingMapDisplay.from_estimator(search, b_sites, features=[1])
    pca = search.best_estimator_["pipeline"]["pca"]
    np.testing.assert_array_equal(
        display.images_[0].get_array(), pca.components_[1].reshape(40, 40)
    )


def test_a_step_without_names_does_not_keep_those_of_its_input(b_sites):
    pipeline = make_pipeline(
        PatchExtractor(window_size=40),
        PCA(2, random_state=0),
        FunctionTransformer(lambda X: X[:, ::-1]),
    ).fit(b_sites)
    display = LatentDistributionDisplay.from_estimator(pipeline, b_sites)
    assert display.names == ("feature0", "feature1")
