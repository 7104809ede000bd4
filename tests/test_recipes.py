"""The recipes of docs/development.md, each carried out with a small example.

A per-site field is added in tests/test_site_fields.py, a column profile in
tests/localization/test_column_profiles.py.
"""

import inspect
import json
import re
from numbers import Integral
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

import sklearn_ferroic
from sklearn_ferroic import AtomSites, PatchExtractor
from sklearn_ferroic._utils.validation import Interval
from sklearn_ferroic._utils.writing import resolve_path, write_whole
from sklearn_ferroic.datasets import _load_image, load_image
from sklearn_ferroic.datasets._files.signals import Signal, check_size, reading
from sklearn_ferroic.feature_extraction._input import (
    FittedSites,
    check_parameters_unchanged,
    check_sites,
    compute_with_memory,
    record_parameters,
)
from sklearn_ferroic.inspection._data.selection import check_per_site, select_frame
from sklearn_ferroic.inspection._drawing.axes import get_axes, show_image
from sklearn_ferroic.inspection._drawing.keys import add_side_colorbar
from sklearn_ferroic.metrics import _scorer, get_scorer, get_scorer_names
from sklearn_ferroic.metrics._pipeline_output import predict_labels_of_sites
from sklearn_ferroic.model_selection import SpatialBlockKFold
from sklearn_ferroic.sites._fields import SiteField
from sklearn_ferroic.sites._formats.table import as_features, as_labels, as_parameters
from tests._common_checks import COMMON_CHECKS, SITES_CHECKS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(sklearn_ferroic.__file__).parent


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(0)
    positions = 8.0 + 8 * np.argwhere(np.ones((20, 20)))
    positions += rng.normal(0, 0.3, positions.shape)
    image = rng.normal(0, 0.1, (176, 176)) + np.cos(np.arange(176) / 25)
    return AtomSites(image, positions, pixel_size=0.03)


# A descriptor: rows of features for sites


class NeighborDistances(TransformerMixin, BaseEstimator):
    """Distances of each column to its nearest neighbours, px."""

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, *, n_neighbors=4):
        self.n_neighbors = n_neighbors

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        check_sites(self, X)
        self.n_features_out_ = self.n_neighbors
        self._fitted = FittedSites(X, self._compute(X))
        record_parameters(self, ("n_neighbors",))
        return self

    def transform(self, X):
        check_is_fitted(self)
        check_parameters_unchanged(self)
        check_sites(self, X)
        # The neighbours of a slice of the fitted sites are those in the whole image.
        (distances,) = compute_with_memory(X, self._compute, self._fitted)
        return distances

    def _compute(self, sites):
        distances = np.full((len(sites), self.n_neighbors), np.nan)
        for frame in np.unique(sites.frame):
            rows = np.flatnonzero(sites.frame == frame)
            positions = sites.positions[rows]
            found, _ = cKDTree(positions).query(positions, k=self.n_neighbors + 1)
            distances[rows] = np.where(np.isfinite(found), found, np.nan)[:, 1:]
        return (distances,)

    def get_feature_names_out(self, input_features=None):
        check_is_fitted(self)
        check_parameters_unchanged(self)
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.array([f"distance{i}" for i in range(self.n_neighbors)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


@pytest.mark.parametrize(
    "check", COMMON_CHECKS + SITES_CHECKS, ids=lambda check: check.__name__
)
def test_a_descriptor_passes_the_common_checks(check, sites, tmp_path):
    takes_folder = "folder" in inspect.signature(check).parameters
    folder = {"folder": tmp_path} if takes_folder else {}
    estimator = NeighborDistances(n_neighbors=2)
    check("NeighborDistances", clone(estimator), sites[:100], **folder)


def test_a_descriptor_refuses_parameters_that_changed_after_fit(sites):
    fitted = NeighborDistances().fit(sites).set_params(n_neighbors=2)
    for call in (lambda: fitted.transform(sites), fitted.get_feature_names_out):
        with pytest.raises(ValueError, match=r"n_neighbors was changed .* Call fit"):
            call()


def test_a_descriptor_works_in_pipelines_and_searches(sites):
    features = NeighborDistances().set_output(transform="pandas").fit_transform(sites)
    assert list(features.columns) == [f"distance{i}" for i in range(4)]
    distance = np.hypot(*(sites.positions - sites.positions[210]).T)
    np.testing.assert_allclose(features.iloc[210], np.sort(distance)[1:5])
    part = NeighborDistances().fit(sites).transform(sites[200:220])
    np.testing.assert_array_equal(part, features.iloc[200:220])
    search = GridSearchCV(
        make_pipeline(NeighborDistances(), KMeans(2, random_state=0)),
        {"neighbordistances__n_neighbors": [2, 4]},
        scoring=get_scorer("spatial_coherence"),
        cv=SpatialBlockKFold(2, block_size=88, random_state=0),
    ).fit(sites)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with pytest.raises(TypeError, match="NeighborDistances takes AtomSites"):
        NeighborDistances().fit(np.zeros((3, 2)))


# A display


class HeightDisplay:
    """Values of the sites as the size of markers."""

    def __init__(self, image, positions, heights, *, pixel_size=None):
        self.image = image
        self.positions = positions
        self.heights = heights
        self.pixel_size = pixel_size

    @classmethod
    def from_sites(cls, sites, heights, *, frame=None, ax=None):
        frame, rows = select_frame(sites, frame)
        heights = check_per_site("heights", heights, len(sites))
        image, size = sites.images[frame], sites.pixel_size[frame]
        display = cls(image, sites.positions[rows], heights[rows], pixel_size=size)
        return display.plot(ax)

    def plot(self, ax=None):
        ax = get_axes(ax)
        self.image_, self.scale_bar_ = show_image(
            ax, self.image, pixel_size=self.pixel_size
        )
        row, col = self.positions.T
        self.points_ = ax.scatter(col, row, c=self.heights)
        self.colorbar_ = add_side_colorbar(self.points_, ax, label="height")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def test_a_display_draws_itself_with_the_shared_artists(sites):
    display = HeightDisplay.from_sites(sites, np.arange(400.0))
    assert display.scale_bar_ is not None
    np.testing.assert_array_equal(
        display.points_.get_offsets(), sites.positions[:, ::-1]
    )
    np.testing.assert_array_equal(display.points_.get_array(), np.arange(400.0))
    assert display.plot(display.ax_).figure_ is display.figure_
    with pytest.raises(ValueError, match="heights must have one value per site"):
        HeightDisplay.from_sites(sites, np.arange(3.0))


# A scorer


def balance_scorer(estimator, X, y=None, *, n_clusters=4):
    """Score how equally large the clusters are, 0 with a single one."""
    labels = predict_labels_of_sites(estimator, X, n_clusters).labels
    counts = np.bincount(labels[labels >= 0])
    if (counts > 0).sum() < 2:
        return 0.0
    return float(counts.min() / counts.max())


def test_a_scorer_is_one_function_and_one_row(sites, monkeypatch):
    monkeypatch.setitem(_scorer._SCORERS, "balance", balance_scorer)
    assert "balance" in get_scorer_names()
    pipeline = make_pipeline(
        PatchExtractor(window_size=5), PCA(2, random_state=0), KMeans(2, random_state=0)
    ).fit(sites)
    score = balance_scorer(pipeline, sites)
    assert 0 < score <= 1
    # The same for the transformer alone, whose output is clustered ...
    assert 0 < balance_scorer(pipeline[:-1], sites, n_clusters=2) <= 1
    # ... and for a search.
    search = GridSearchCV(
        pipeline,
        {"kmeans__n_clusters": [1, 2]},
        scoring=balance_scorer,
        cv=SpatialBlockKFold(2, block_size=88, random_state=0),
    ).fit(sites)
    assert search.best_params_ == {"kmeans__n_clusters": 2}
    assert search.cv_results_["mean_test_score"][0] == 0


# A file format of images


def read_pgm(path, dataset, signal, max_bytes):
    """Read a plain PGM file with its pixel size in a comment, as ``# 0.02 nm``."""
    with reading(path, "PGM"):
        # A pixel has two characters at least, as many as bytes in the array.
        check_size(path.name, path.stat().st_size, max_bytes)
        text = path.read_text(encoding="ascii")
        scale = re.search(r"# ([\d.]+) (\w+)", text)
        words = re.sub(r"#.*", "", text).split()
        width, height = int(words[1]), int(words[2])
        image = np.array(words[4:], dtype=np.uint16).reshape(height, width)
    axis = float(scale[1]), scale[2]
    return Signal(path.name, image, (axis, axis), {"maximum": int(words[3])})


def test_a_file_format_is_one_reader_and_one_row(tmp_path, monkeypatch):
    monkeypatch.setitem(_load_image._READERS, ".pgm", read_pgm)
    path = tmp_path / "image.pgm"
    path.write_text("P2\n# 0.02 nm\n3 2\n255\n1 2 3\n4 5 6\n", encoding="ascii")
    data = load_image(path)
    np.testing.assert_array_equal(data.image, [[1, 2, 3], [4, 5, 6]])
    assert data.pixel_size == 0.02
    assert data.metadata == {"maximum": 255}
    with pytest.raises(ValueError, match="more than max_bytes=20"):
        load_image(path, max_bytes=20)
    # The reader is in no list of those that choose among several images.
    for choice in ({"signal": 0}, {"dataset": "image"}):
        with pytest.raises(ValueError, match=r"is none of these|is neither"):
            load_image(path, **choice)
    path.write_text("P2\n3 2\n", encoding="ascii")
    with pytest.raises(ValueError, match="could not be read as PGM"):
        load_image(path)


# A file format of sites


def write_json_lines(sites, path, *, features, labels, parameters):
    """Write sites as JSON, one line per site after one about all; no pixels."""
    table = {field.name: getattr(sites, field.name) for field in sites.fields}
    table |= as_features(features, len(sites))
    labels = as_labels(labels, len(sites))
    if labels is not None:
        table["label"] = labels
    head = {
        "pixel_size": sites.pixel_size,
        "metadata": sites.metadata,
        "units": {field.name: field.unit for field in sites.fields},
        "parameters": json.loads(as_parameters(parameters)),
    }
    columns = [values.tolist() for values in table.values()]
    rows = [
        dict(zip(table, values, strict=True)) for values in zip(*columns, strict=True)
    ]
    text = "".join(f"{json.dumps(row)}\n" for row in [head, *rows])
    write_whole(path, lambda file: file.write(text.encode()))


def read_json_lines(path, fields, *, images):
    """Return the arguments of AtomSites; fields that the file lacks are missing."""
    lines = resolve_path(path).read_text(encoding="utf-8").splitlines()
    head, *rows = map(json.loads, lines)
    arguments = {
        field.name: np.reshape([row[field.name] for row in rows], (-1, *field.shape))
        for field in fields
        if all(field.name in row for row in rows)
    }
    own = {"pixel_size": head["pixel_size"], "metadata": head["metadata"]}
    return {"images": images} | own | arguments


class JsonSites(AtomSites):
    """AtomSites with the methods that the recipe adds to FormatMethods."""

    def to_json_lines(self, path, *, features=None, labels=None, parameters=None):
        more = {"features": features, "labels": labels, "parameters": parameters}
        write_json_lines(self, path, **more)

    @classmethod
    def from_json_lines(cls, path, *, images):
        return cls(**read_json_lines(path, cls.fields, images=images))


class TallSites(JsonSites):
    fields = (*AtomSites.fields, SiteField("height", "Height, nm.", unit="nm"))


def test_a_format_of_sites_contains_every_field(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "sites.jsonl"
    images = [np.zeros((9, 9)), np.ones((9, 9))]
    sites = TallSites(
        images,
        rng.uniform(0, 8, (7, 2)),
        frame=[0, 0, 0, 0, 1, 1, 1],
        lattice_vectors=rng.normal(size=(7, 2, 2)),
        height=[1.5, np.nan, *range(5)],
        flags=[0, 3, 0, 0, 1, 0, 0],
        pixel_size=[0.02, None],
        metadata=[{"instrument": "A"}, None],
    )
    sites.to_json_lines(path, labels=list("abcabca"), parameters=KMeans(3))
    assert TallSites.from_json_lines(path, images=images) == sites
    head, first, *_ = map(json.loads, path.read_text("utf-8").splitlines())
    assert head["units"]["height"] == "nm"
    assert head["parameters"]["n_clusters"] == 3
    assert first["label"] == "a"
    # A class without the field, and a file without it.
    plain = JsonSites.from_json_lines(path, images=images)
    np.testing.assert_array_equal(plain.positions, sites.positions)
    plain.to_json_lines(path)
    assert np.isnan(TallSites.from_json_lines(path, images=images).height).all()


# The page


def test_the_page_names_files_that_exist_and_every_folder():
    page = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:sklearn_ferroic|tests|docs|benchmarks)/[\w./]+)`", page)
    assert len(paths) > 10
    # The package may be installed elsewhere.
    missing = [
        path
        for path in paths
        if not (PACKAGE.parent / path).exists() and not (ROOT / path).exists()
    ]
    assert missing == []
    folders = {
        path.parent.name
        for path in PACKAGE.rglob("__init__.py")
        if path.parent != PACKAGE
    }
    tree = page.partition("```text")[2].partition("```")[0]
    listed = set(re.findall(r"^ +(\w+)/", tree, re.MULTILINE))
    assert folders <= listed
