"""Maps and files of more sites than 32-bit products can number, up to a million."""

import time

import numpy as np
import pytest

from benchmarks.bench_sites import CALLS, make_sites
from sklearn_ferroic.inspection import DomainMapDisplay, LoadingMapDisplay
from sklearn_ferroic.inspection._drawing.cells import site_cells


def test_cells_of_a_large_map():
    """31,000 sites times as many corners is more than 2**31."""
    sites, *_ = make_sites(48_400)
    polygons, _, pairs = site_cells(sites.positions)
    assert len(polygons) == len(sites)
    # each cell lies around its own site
    distance = np.hypot(*(polygons - sites.positions[:, None]).T)
    assert distance.max() < 8
    assert pairs.min() >= 0 and pairs.max() < len(sites)
    assert pairs.dtype == np.int64
    x, y = polygons[..., 1], polygons[..., 0]
    area = 0.5 * np.abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(axis=1))
    np.testing.assert_allclose(np.median(area), 49, rtol=0.05)


def test_maps_of_a_4k_image():
    sites, variant, angle, latents = make_sites(42_800)
    display = DomainMapDisplay.from_sites(sites, angle, labels=variant)
    assert len(display.cells_.get_paths()) == len(sites)
    components = np.random.default_rng(0).normal(size=(2, 64))
    display = LoadingMapDisplay.from_sites(sites, components, latents)
    assert len(display.maps_[1].get_array()) == len(sites)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CALLS if "Display" not in name])
def test_no_step_is_quadratic(name):
    """Ten times the sites take at most 25 times as long; squared it were 100."""
    seconds = []
    for n_sites in (30_000, 300_000):
        arguments = make_sites(n_sites)
        start = time.process_time()
        CALLS[name](*arguments)
        seconds.append(time.process_time() - start)
    assert seconds[1] < 25 * max(seconds[0], 0.05)


@pytest.mark.slow
def test_a_million_sites(tmp_path):
    sites, variant, angle, _ = make_sites(1_000_000)
    polygons, _, _ = site_cells(sites.positions)
    assert len(polygons) == len(sites) == 1_000_000
    for name in ("SpatialBlockKFold", "spatial_coherence_score"):
        CALLS[name](sites, variant, angle, None)
    path = tmp_path / "sites.h5"
    sites.to_hdf5(path, labels=variant)
    assert type(sites).from_hdf5(path) == sites
