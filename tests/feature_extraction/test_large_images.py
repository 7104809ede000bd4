"""Large images are cut tile by tile, with the result of the whole."""

import tracemalloc

import numpy as np
import pytest

from sklearn_ferroic import AtomSites, PatchExtractor
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.feature_extraction import _patches
from sklearn_ferroic.feature_extraction._windows import cutting


@pytest.fixture(scope="module")
def sites():
    """Columns, and places anywhere on the image."""
    # its antipolar layers are continued by other translations than the rest
    data = make_ferroic_image("superlattice", shape=(420, 500), random_state=0)
    rng = np.random.default_rng(0)
    anywhere = rng.uniform([-0.5, -0.5], [419.5, 499.5], (200, 2))
    return AtomSites(data.image, np.concatenate([data.positions, anywhere]))


@pytest.mark.parametrize("boundary", ["periodic", "reflect", "nearest", "nan"])
@pytest.mark.parametrize("interpolation", ["cubic", "linear", "nearest"])
@pytest.mark.parametrize("window_size", [20, 33])
def test_tiles_change_nothing(sites, boundary, interpolation, window_size, monkeypatch):
    extractor = PatchExtractor(
        window_size=window_size, boundary=boundary, interpolation=interpolation
    )
    whole = extractor.fit_transform(sites)
    monkeypatch.setattr(cutting, "_LARGE", 0)
    monkeypatch.setattr(cutting, "_TILE", 130)
    monkeypatch.setattr(_patches, "_BLOCK_PIXELS", 10_000)
    tiled = extractor.fit_transform(sites)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    # and a window does not depend on the other sites
    some = np.arange(len(sites)) % 7 == 0
    np.testing.assert_array_equal(extractor.fit_transform(sites[some]), tiled[some])


def test_thin_tiles_are_continued_like_the_whole_image(monkeypatch):
    # The last tile is thinner than the four cells by which PbZrO3 is continued.
    rows, cols = np.mgrid[:266, :240]
    image = np.exp(4 * (np.cos(np.pi * rows / 8) + np.cos(np.pi * cols / 8)))
    image *= 1 + 0.3 * np.sin(2 * np.pi * rows / 64)
    sites = AtomSites(
        image, np.column_stack([np.full(8, 262.0), 60 + 16 * np.arange(8)])
    )
    extractor = PatchExtractor(window_size=24)
    whole = extractor.fit_transform(sites)
    monkeypatch.setattr(cutting, "_LARGE", 0)
    monkeypatch.setattr(cutting, "_TILE", 260)
    np.testing.assert_allclose(extractor.fit_transform(sites), whole, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 5), (37, 41), (300, 200)])
def test_bright_level_is_the_percentile(shape, monkeypatch):
    image = np.random.default_rng(0).gamma(2, size=shape).astype(np.float32)
    expected = np.percentile(image, 99.9)
    monkeypatch.setattr(_patches, "_BLOCK_PIXELS", 3)
    assert _patches._bright_level(image) == pytest.approx(expected, rel=1e-6)


def test_a_large_image_needs_little_more_memory_than_itself():
    image = np.random.default_rng(0).random((4000, 4000), dtype=np.float32)
    image.setflags(write=False)
    sites = AtomSites(image, 200 + 400.0 * np.argwhere(np.ones((9, 9))))
    extractor = PatchExtractor(window_size=32)
    tracemalloc.start()
    extractor.fit_transform(sites)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * image.nbytes
