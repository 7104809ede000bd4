"""Patches of any type and layout, in a memory map that need not fit into memory."""

import tracemalloc

import numpy as np
import pytest

from sklearn_ferroic import RotationalVAE
from sklearn_ferroic.decomposition._patch_rows import check_patches, load_rows
from tests.decomposition._cells import make_patches


@pytest.fixture(scope="module")
def counts():
    """Patches in whole numbers, so that no dtype changes them."""
    X, _, _ = make_patches(60, side=12)
    return np.clip(np.round(40 * X + 40), 0, 255).astype(np.float32)


@pytest.fixture(scope="module")
def vae(counts):
    return make_vae().fit(counts)


def make_vae(**parameters):
    return RotationalVAE(
        n_hidden=8, n_init=1, max_epochs=2, random_state=0, **parameters
    )


def save_and_map(array, path):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", ">i4", "int64", "float16", "float64", "longdouble"]
)
def test_any_real_dtype(dtype, counts, vae, tmp_path):
    mapped = save_and_map(counts.astype(dtype), tmp_path / "X.npy")
    found = make_vae().fit(mapped)
    np.testing.assert_array_equal(found.transform(mapped), vae.transform(counts))
    assert found.score(mapped) == vae.score(counts)
    other = make_vae().partial_fit(mapped).transform(mapped)
    np.testing.assert_array_equal(
        other, make_vae().partial_fit(counts).transform(counts)
    )


def test_booleans(vae, counts):
    mask = counts > 40
    np.testing.assert_array_equal(
        vae.transform(mask), vae.transform(mask.astype(np.float64))
    )


def test_complex_and_too_large_values_are_refused(vae, counts):
    with pytest.raises(ValueError, match="Complex data not supported"):
        vae.transform(counts.astype(complex))
    huge = counts.astype(np.float64)
    huge[3] = 1e200
    for call in (vae.transform, vae.score, make_vae().fit):
        with pytest.raises(ValueError, match="too large for dtype"):
            call(huge)


def _windows(mapped):
    return mapped[:, 2:-2, 2:-2]


def _transposed(mapped):
    return mapped.transpose(0, 2, 1)


def _every_other(mapped):
    return mapped[::2]


@pytest.mark.parametrize("view", [_windows, _transposed, _every_other])
def test_views_of_a_map_are_read_as_they_are(view, counts, tmp_path):
    mapped = view(save_and_map(counts, tmp_path / "X.npy"))
    expected = np.ascontiguousarray(view(counts))
    first, second = make_vae().fit(mapped), make_vae().fit(expected)
    np.testing.assert_array_equal(first.transform(mapped), second.transform(expected))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(20000, 256), (20000, 16, 16)])
def test_nothing_is_copied_as_a_whole(dtype, shape, vae, tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", dtype, shape)
    mapped[:, ..., 0] = 1
    if len(shape) == 3:
        mapped = mapped[:, 1:, 1:]
    tracemalloc.start()
    patches = check_patches(vae, mapped)
    load_rows(patches, slice(0, 256))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.shares_memory(patches, mapped)
    assert peak < 2e6 < mapped.nbytes


def test_memory_of_a_fit_and_a_transform_does_not_grow_with_the_patches(tmp_path):
    peaks = []
    for n in (3000, 9000):
        path = tmp_path / f"{n}.npy"
        mapped = np.lib.format.open_memmap(path, "w+", "uint16", (n, 12, 12))
        mapped[:] = np.random.RandomState(0).randint(100, size=(n, 1, 12))
        vae = make_vae(batch_size=1000).set_params(max_epochs=1)
        tracemalloc.start()
        vae.fit(mapped)
        vae.transform(mapped)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # the maps differ by 1.7 MB, as float32 by 3.5 MB
    assert peaks[1] - peaks[0] < 1e6
