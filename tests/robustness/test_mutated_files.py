"""2,800 mutated files of 14 kinds: an image or a ValueError, in bounded time."""

import time
import warnings

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.io import imsave

from sklearn_ferroic import AtomSites
from sklearn_ferroic._torch.checkpoint import read_checkpoint, write_checkpoint
from sklearn_ferroic.datasets import load_image
from sklearn_ferroic.localization._unet.weights import (
    Weights,
    read_weights,
    write_weights,
)
from tests.datasets._library_files import DATA
from tests.datasets._microscope_files import write_dm, write_ser

N_FILES = 200
# A whole file takes some milliseconds; a hang takes for ever.
MAX_SECONDS = 20

IMAGE = np.random.default_rng(0).random((40, 48), dtype=np.float32)
SIDES = (1.7e-11, 1.7e-11)


def _copy(name, path):
    """Copy a file that another package has written."""
    path.write_bytes((DATA / name).read_bytes())


def _write_hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("group/image", data=IMAGE, compression="gzip")


KINDS = {
    "a.tif": lambda path: tifffile.imwrite(path, IMAGE, compression="zlib"),
    "a.png": lambda path: imsave(path, (255 * IMAGE).astype(np.uint8)),
    "a.npy": lambda path: np.save(path, IMAGE),
    "a.npz": lambda path: np.savez_compressed(path, image=IMAGE),
    "a.h5": _write_hdf5,
    "a.dm4": lambda path: write_dm(path, [("a", IMAGE, (0.017, 0.017), "nm")], 4),
    "a.ser": lambda path: write_ser(path, IMAGE, SIDES),
    "a.ndata1": lambda path: _copy("nion.ndata1", path),
    "a.hf5": lambda path: _copy("nsid.hf5", path),
    "a.emd": lambda path: _copy("ncempy.emd", path),
    "lzw.tif": lambda path: Image.fromarray(IMAGE).save(path, compression="tiff_lzw"),
    "a.sites": lambda path: AtomSites(IMAGE, 40 * np.ones((30, 2))).to_hdf5(path),
    "a.state": lambda path: write_checkpoint(path, {"a": IMAGE, "b": [1, "x"]}),
    "a.weights": lambda path: write_weights(
        path, Weights({"a": IMAGE}, 2, (0.0, 1.0), {})
    ),
}
READERS = {".sites": AtomSites.from_hdf5, ".state": read_checkpoint}
READERS[".weights"] = read_weights


def _mutate(content, rng):
    """Flip, overwrite, cut, repeat or drop some bytes."""
    mutated = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        place = int(rng.integers(0, max(1, len(mutated))))
        length = int(rng.integers(1, 64))
        kind = rng.integers(5)
        if kind == 0 and mutated:
            mutated[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            mutated[place : place + length] = rng.bytes(length)
        elif kind == 2:
            del mutated[place : place + length]
        elif kind == 3:
            mutated[place:place] = mutated[place : place + length]
        elif kind == 4 and rng.random() < 0.2:
            del mutated[place:]
    return bytes(mutated)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_mutated_files(tmp_path, name):
    path = tmp_path / name
    KINDS[name](path)
    content = path.read_bytes()
    read = READERS.get(path.suffix, load_image)
    rng = np.random.default_rng(0)
    for number in range(N_FILES):
        path.write_bytes(_mutate(content, rng))
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except ValueError:
            pass
        except (ImportError, FileNotFoundError) as error:
            pytest.fail(f"mutation {number}: {error!r}")
        assert time.monotonic() - start < MAX_SECONDS
