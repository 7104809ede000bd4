"""Searches over whole pipelines: caching, workers, and what is sent to them."""

import os
import tracemalloc
from pathlib import Path

import distributed
import joblib
import numpy as np
import pytest
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AtomSites,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.feature_extraction import _patches
from sklearn_ferroic.metrics import get_scorer
from sklearn_ferroic.model_selection import SpatialBlockKFold, single_split
from sklearn_ferroic.sites import _shared_images

GRID = {
    "patchextractor__window_size": [24, 28],
    "rotationalvae__latent_dim": [1, 2],
}


PCA_PIPE = make_pipeline(
    PatchExtractor(), PCA(random_state=0), KMeans(3, random_state=0)
)
PCA_GRID = {"patchextractor__window_size": [24, 28], "pca__n_components": [1, 2]}


def make_pipe(memory=None, extractor_memory=None, **options):
    return make_pipeline(
        PatchExtractor(memory=extractor_memory, **options),
        RotationalVAE(max_epochs=1, n_hidden=32, random_state=0),
        AngleAwareScaler(),
        GaussianMixture(3, reg_covar=1e-3, random_state=0),
        memory=memory,
    )


def make_search(pipe=None, grid=GRID, **options):
    options = {"scoring": get_scorer("spatial_coherence"), "refit": False} | options
    cv = SpatialBlockKFold(2, guard=24, random_state=0)
    return GridSearchCV(make_pipe() if pipe is None else pipe, grid, cv=cv, **options)


@pytest.fixture
def sites(ferroic_sites):
    return ferroic_sites[ferroic_sites.sublattice == 1]


@pytest.fixture
def noise_sites():
    """Columns on an image of 8 MiB."""
    rng = np.random.default_rng(0)
    image = rng.random((1024, 2048), dtype=np.float32)
    return AtomSites(image, 100 + 12.0 * np.argwhere(np.ones((14, 14))))


@pytest.fixture
def cuts(monkeypatch):
    """Sides of the windows at each cut of an image, in order."""
    sides = []
    cut = _patches.cut_windows

    def watch(image, centers, window_size, **options):
        sides.append(window_size)
        return cut(image, centers, window_size, **options)

    monkeypatch.setattr(_patches, "cut_windows", watch)
    return sides


def no_score(estimator, X, y=None):
    return 0.0


def test_memory_cuts_training_windows_once_a_window(sites, cuts, tmp_path):
    search = make_search(make_pipe(memory=str(tmp_path)), scoring=no_score)
    search.fit(sites)
    assert sorted(cuts) == [24, 24, 28, 28]  # a cut each for two folds
    search.fit(sites)
    assert len(cuts) == 4
    cuts.clear()
    make_search(scoring=no_score).fit(sites)
    assert len(cuts) == 8


def test_extractor_with_memory_cuts_held_out_windows_once_too(sites, cuts, tmp_path):
    make_search(make_pipe(extractor_memory=str(tmp_path))).fit(sites)
    # training and held-out windows of two folds, whatever is scored and fitted on them
    assert sorted(cuts) == [24] * 4 + [28] * 4


def test_cached_windows_change_no_score(sites, tmp_path):
    plain = make_search().fit(sites)
    cached = make_search(make_pipe(memory=str(tmp_path))).fit(sites)
    extracted = make_search(make_pipe(extractor_memory=str(tmp_path))).fit(sites)
    for name in ("split0_test_score", "split1_test_score"):
        for found in (cached, extracted):
            np.testing.assert_array_equal(
                plain.cv_results_[name], found.cv_results_[name]
            )


@pytest.fixture(scope="module")
def large_sites():
    """4 columns of an image of 128 MiB."""
    image = np.zeros((4096, 8192), dtype=np.float32)
    image[::2] = 1
    image.setflags(write=False)
    return AtomSites(image, [[100.0, 100], [100, 900], [900, 100], [900, 900]])


class CountedPickler(joblib.hashing.NumpyHasher):
    """Counts the bytes that go into a hash."""

    n_bytes = 0

    def hash(self, obj):
        digest = super().hash(obj)
        CountedPickler.n_bytes += self.stream.tell()
        return digest


def test_hashing_a_large_image_reads_it_once(large_sites, monkeypatch):
    digested = []
    sha = _shared_images.hashlib.sha256

    class Sha:
        def __init__(self, start):
            self.sha = sha(start)

        def update(self, data):
            digested.append(memoryview(data).nbytes)
            self.sha.update(data)

        def hexdigest(self):
            return self.sha.hexdigest()

    monkeypatch.setattr(_shared_images.hashlib, "sha256", Sha)
    monkeypatch.setattr(joblib.hashing, "NumpyHasher", CountedPickler)
    CountedPickler.n_bytes = 0
    hashes = {joblib.hash(large_sites[[k]]) for k in range(4)}
    joblib.hash(large_sites)
    assert len(hashes) == 4
    assert sum(digested) <= large_sites.images[0].nbytes  # 0 after another test
    assert 0 < CountedPickler.n_bytes < 50_000


def test_hashing_a_large_image_copies_nothing(large_sites):
    tracemalloc.start()
    joblib.hash(large_sites[:2])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def scores_of(search):
    names = [name for name in search.cv_results_ if name.startswith("split")]
    return np.array([search.cv_results_[name] for name in sorted(names)])


@pytest.fixture(scope="module")
def dask_client():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",  # several test processes may each start a cluster
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def check_same(serial, parallel):
    assert parallel.best_params_ == serial.best_params_
    np.testing.assert_array_equal(scores_of(parallel), scores_of(serial))


def test_threads_change_neither_scores_nor_choice(sites):
    serial = make_search(refit=True).fit(sites)
    with parallel_config("threading", n_jobs=2):
        parallel = make_search(refit=True).fit(sites)
    check_same(serial, parallel)


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_processes_change_neither_scores_nor_choice(sites, backend, request):
    serial = make_search(PCA_PIPE, PCA_GRID, refit=True).fit(sites)
    with configure(backend, request):
        parallel = make_search(PCA_PIPE, PCA_GRID, refit=True).fit(sites)
    check_same(serial, parallel)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_processes_change_no_network(sites, backend, request):
    serial = make_search(refit=True).fit(sites)
    with configure(backend, request):
        parallel = make_search(refit=True).fit(sites)
    check_same(serial, parallel)


def configure(backend, request):
    if backend == "loky":
        return parallel_config("loky", n_jobs=2)
    request.getfixturevalue("dask_client")
    return parallel_config("dask")


def describe_memory(estimator, X, y=None):
    """Tell, as scores, in what memory a worker holds the image."""
    memory = X.images[0]
    while not isinstance(memory, np.memmap):
        memory = memory.base  # None, and an error, where the worker has a copy
    files = [path for path in Path(memory.filename).parent.iterdir() if path.is_file()]
    return {
        "stored": sum(path.stat().st_size for path in files),
        "worker": os.getpid(),
    }


def test_loky_stores_a_large_image_once(noise_sites):
    with parallel_config("loky", n_jobs=2):
        search = make_search(PCA_PIPE, PCA_GRID, scoring=describe_memory)
        found = search.fit(noise_sites).cv_results_
    size = noise_sites.images[0].nbytes
    assert (found["mean_test_stored"] >= size).all()
    assert (found["mean_test_stored"] < 1.02 * size).all()
    assert (found["mean_test_worker"] != os.getpid()).all()


def test_dask_is_sent_a_large_image_once(noise_sites, dask_client, monkeypatch):
    pickled = []
    reduce = AtomSites.__getstate__

    def watch(self):
        pickled.append(len(self))
        return reduce(self)

    monkeypatch.setattr(AtomSites, "__getstate__", watch)
    with parallel_config("dask"):
        make_search(PCA_PIPE, PCA_GRID, scoring=no_score).fit(noise_sites)
    assert len(pickled) == 1


def test_randomized_search_takes_a_whole_pipeline(sites):
    search = RandomizedSearchCV(
        make_pipe(window_size=24),
        {
            "patchextractor__window_size": [24, 28],
            "patchextractor__center": ["atom", "lattice"],
            "rotationalvae__translation": [True, False],
            "rotationalvae__learning_rate": loguniform(1e-3, 1e-2),
            "gaussianmixture__n_components": [2, 3, 4],
        },
        n_iter=4,
        scoring=get_scorer("spatial_coherence"),
        cv=SpatialBlockKFold(2, guard=20, random_state=0),
        random_state=0,
    )
    search.fit(sites)
    assert np.isfinite(scores_of(search)).all()
    assert search.predict(sites).shape == (len(sites),)


@pytest.mark.parametrize(
    "resource", ["n_samples", "rotationalvae__max_epochs"], ids=str
)
def test_halving_search_takes_a_whole_pipeline(sites, resource):
    is_samples = resource == "n_samples"
    search = HalvingGridSearchCV(
        make_pipe(window_size=24),
        {"gaussianmixture__n_components": [2, 3, 4]},
        resource=resource,
        min_resources=60 if is_samples else 1,
        max_resources="auto" if is_samples else 3,
        factor=2 if is_samples else 3,
        aggressive_elimination=False,
        scoring=get_scorer("spatial_coherence"),
        cv=SpatialBlockKFold(2, guard=20, random_state=0),
        random_state=0,
    )
    search.fit(sites)
    assert search.n_iterations_ >= 1
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(np.unique(search.cv_results_["n_resources"])) == search.n_iterations_


def test_search_over_one_split_without_refit(sites):
    search = GridSearchCV(
        make_pipe(window_size=24),
        {"rotationalvae__latent_dim": [1, 2]},
        cv=single_split(sites, guard=20, random_state=0),
        scoring=get_scorer("evidence"),
        refit=False,
    ).fit(sites)
    assert search.n_splits_ == 1
    assert np.isfinite(scores_of(search)).all()
