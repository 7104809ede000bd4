"""Tiles: the same columns as of the image as a whole, in bounded memory."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.tiles import cut_tiles, not_twice
from sklearn_ferroic.datasets import make_ferroic_image


@pytest.mark.parametrize("shape", [(3000, 700), (1024, 5000), (512, 512)])
def test_cores_cover_the_image_once(shape):
    tiles = cut_tiles(shape, 512, 14.0)
    seen = np.zeros(shape, dtype=int)
    for tile in tiles:
        window = seen[tile.window]
        window[tile.inner()] += 1
        # Filters and fits look no farther than the overlap.
        for (first, last), part, length in zip(
            tile.core, tile.window, shape, strict=True
        ):
            assert part.start == 0 or first - part.start >= 8 * 14
            assert part.stop == length or part.stop - last >= 8 * 14
    assert (seen == 1).all()
    assert len(cut_tiles(shape, None, 14.0)) == 1


def test_columns_on_a_seam_are_kept_once():
    positions = np.array([[10.0, 5], [10.2, 5], [10.0, 19], [24, 5], [24, 5.1]])
    tile = np.array([0, 1, 1, 0, 0])
    assert not_twice(positions, tile, 4).tolist() == [True, False, True, True, True]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"missing": 0.05, "brightness": lambda p: np.where(p[:, 0] > 500, 1 / 3, 1)},
        {"ratio": 0.85, "peak": 20, "background": 4},
        {"peak": 1000},
    ],
    ids=["plain", "dark substrate", "few counts", "many counts"],
)
@pytest.mark.parametrize("refine", ["gaussian", "center_of_mass"])
def test_tiles_give_the_sites_of_the_whole(columns, options, refine):
    truth = columns((800, 640), seed=5, **options)
    whole = AtomLocator(tile_size=None, refine=refine).fit_transform(truth.image)
    tiled = AtomLocator(tile_size=300, refine=refine).fit_transform(truth.image)
    assert len(tiled) == len(whole)
    distance, index = cKDTree(whole.positions).query(tiled.positions)
    assert len(np.unique(index)) == len(whole)
    same = tiled.sublattice == whole.sublattice[index]
    assert same.all() if refine == "gaussian" else same.mean() > 0.998
    assert np.array_equal(tiled.converged, whole.converged[index])
    if refine == "gaussian":
        # The same computations, but for the rounding and what filters see far away.
        pull = distance / whole.position_std[index].mean(axis=1)
        assert pull.max() < 0.01
        assert tiled.amplitude == pytest.approx(whole.amplitude[index], rel=1e-3)
    else:
        assert distance.max() < 1e-3


def test_tails_are_those_of_the_whole_image():
    # Columns are missing in one half, where the tails of the others are less distinct.
    data = make_ferroic_image("film", random_state=0, dose=1e5, tails=0.06)
    rng = np.random.default_rng(0)
    image, half = data.image.astype(float), data.image.shape[1] // 2
    in_half = np.flatnonzero((data.positions[:, 1] < half) & (data.sublattice == 1))
    row, col = np.mgrid[: image.shape[0], : image.shape[1]]
    for place in data.positions[rng.choice(in_half, len(in_half) // 3, replace=False)]:
        hole = (row - place[0]) ** 2 + (col - place[1]) ** 2 < 4.5**2
        image[hole] = rng.poisson(np.quantile(image, 0.2), np.count_nonzero(hole))
    whole, tiled = (
        AtomLocator(tile_size=size).fit_transform(image) for size in (None, 256)
    )
    assert len(tiled) == len(whole)
    distance, index = cKDTree(whole.positions).query(tiled.positions)
    assert (distance < 0.1 * whole.position_std[index].mean(axis=1)).all()


def test_tiles_give_the_same_score(columns):
    truth = columns((800, 640), seed=5)
    scores = [
        AtomLocator(tile_size=size).fit(truth.image).score(truth.image)
        for size in (None, 300)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def test_tiles_in_threads_give_the_same_sites(columns):
    image = columns((600, 520), seed=5).image
    serial = AtomLocator(tile_size=256).fit_transform(image)
    assert len(cut_tiles(image.shape, 256, 14.0)) == 4
    with joblib.parallel_config(backend="threading"):
        threaded = AtomLocator(tile_size=256, n_jobs=2).fit_transform(image)
    assert threaded == serial


def test_tiles_and_masks(columns):
    truth = columns((800, 640), seed=5)
    mask = np.zeros(truth.image.shape, dtype=bool)
    mask[300:460, 280:420] = True
    image = np.ma.array(truth.image, mask=mask)
    whole, tiled = (
        AtomLocator(tile_size=size).fit_transform(image) for size in (None, 300)
    )
    assert len(tiled) == len(whole) < 0.97 * len(truth.positions)
    distance, index = cKDTree(whole.positions).query(tiled.positions)
    assert np.quantile(distance, 0.99) < 1e-3
    # At the border, what is found off the image may depend on the tile.
    assert (distance < 0.15 * whole.position_std[index].mean(axis=1)).all()


MEASURE = """
import resource, sys
import numpy as np
from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import make_ferroic_image

n = int(sys.argv[1])
place = (np.arange(n) % 12 - 6.0) ** 2
bright, faint = np.exp(-place / 4.5), np.exp(-np.roll(place, 6) / 4.5)
rng = np.random.default_rng(0)
image = np.empty((n, n), np.uint16)
for row in range(0, n, 100):
    part = slice(row, row + 100)
    image[part] = rng.poisson(
        20 + 100 * np.outer(bright[part], bright) + 40 * np.outer(faint[part], faint)
    )
AtomLocator(refine=None).fit(image[:200, :200])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sites = AtomLocator(refine=None, tile_size=512).fit_transform(image)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(sites), (after - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_grows_with_the_image_and_the_columns_only():
    def measure(n):
        run = subprocess.run(
            [sys.executable, "-c", MEASURE, str(n)],
            check=True,
            capture_output=True,
            text=True,
        )
        return [float(number) for number in run.stdout.split()]

    (few, small), (many, large) = measure(1200), measure(3600)
    assert many == pytest.approx(9 * few, rel=0.02)
    # A float32 image, 100 numbers per column (its neighbours too), and the same working
    # memory: without tiles it would be more.
    grown = (3600**2 - 1200**2) * 4 + (many - few) * 100 * 8
    assert large - small < 1.25 * grown / 2**20
