"""Every format with its pixel size, and every kind of broken file with its error."""

import gc
import importlib.metadata
import json
import os
import warnings
import zipfile

import h5py
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from skimage.io import imsave

from sklearn_ferroic.datasets import load_image
from tests.datasets._microscope_files import (
    write_dm,
    write_mrc,
    write_ser,
    write_velox,
)
from tests.datasets.test_load_image import write_signal

IMAGE = np.random.RandomState(0).poisson(40, (40, 52)).astype(np.float32)
STACK = np.stack([IMAGE, IMAGE + 1, IMAGE + 2])


def write_rsciio(name):
    def write(path, array, side):
        if name == "zspy" and int(zarr.__version__.split(".")[0]) > 2:
            pytest.skip("RosettaSciIO saves by zarr 2 only")
        axes = [(1.0, "s")] * (array.ndim - 2) + [(1000 * side, "pm")] * 2
        return write_signal(name, path, array, axes, "HAADF")

    return write


write_zspy = write_rsciio("zspy")


def write_tiff(path, array, side):
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        resolution=(1 / side, 1 / side),
        metadata={"unit": "nm", "axes": "ZYX"[-array.ndim :]},
    )
    return path


def write_hdf5(path, array, side):
    with h5py.File(path, "w") as file:
        file["image"], file["Scale"], file["Units(m)"] = array, side, 1e-9
    return path


def write_dm_of(version):
    def write(path, array, side):
        return write_dm(path, [("HAADF", array, (side, side), "nm")], version)

    return write


# How to write an image or a stack with pixels of so many nm.
CALIBRATED = {
    "image.dm3": write_dm_of(3),
    "image.dm4": write_dm_of(4),
    "ncem.emd": write_rsciio("emd"),
    "velox.emd": lambda path, array, side: write_velox(
        path, {"a1": (array, (1e-9 * side, 1e-9 * side), "HAADF")}
    ),
    "image.hspy": write_rsciio("hspy"),
    "image.zspy": write_zspy,
    "image.mrc": lambda path, array, side: write_mrc(path, array, (10 * side,) * 2),
    "image.tif": write_tiff,
    "image.h5": write_hdf5,
}


pytestmark = [
    # zarr 2 warns of what becomes of it in zarr 3.
    pytest.mark.filterwarnings("ignore:The (Nested|Directory|Zip|FS).*Store is depr"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def close_files():
    """Close what RosettaSciIO's readers leave open, lest a later test be blamed."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("array", [IMAGE, STACK], ids=["image", "stack"])
@pytest.mark.parametrize("name", CALIBRATED)
def test_round_trip_with_pixel_size(tmp_path, name, array):
    path = CALIBRATED[name](tmp_path / name, array, 0.0173)
    data = load_image(path)
    np.testing.assert_array_equal(data.image, array)
    if not (name == "velox.emd" and _rosettasciio_widens()):
        assert data.image.dtype == np.float32
    assert data.pixel_size == pytest.approx(0.0173, rel=1e-6)


def _rosettasciio_widens():
    """Return whether RosettaSciIO reads all images of Velox as float64."""
    version = importlib.metadata.version("rosettasciio")
    return tuple(map(int, version.split(".")[:2])) < (0, 15)


def test_round_trip_of_ser(tmp_path):
    data = load_image(write_ser(tmp_path / "a.ser", IMAGE, (1.73e-11, 1.73e-11)))
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size == pytest.approx(0.0173, rel=1e-6)


@pytest.mark.parametrize(
    ("unit", "per_nm"), [("nm", 1), ("Å", 10), ("pm", 1e3), ("µm", 1e-3), ("m", 1e-9)]
)
@pytest.mark.parametrize("version", [3, 4])
def test_units_of_digital_micrograph(tmp_path, version, unit, per_nm):
    scales = 0.0173 * per_nm, 0.0173 * per_nm
    path = write_dm(tmp_path / f"a.dm{version}", [("a", IMAGE, scales, unit)], version)
    assert load_image(path).pixel_size == pytest.approx(0.0173, rel=1e-6)


@pytest.mark.parametrize("unit", ["", "1/nm", "pixels", "ms", "counts"])
def test_units_that_are_no_length(tmp_path, unit):
    path = write_dm(tmp_path / "a.dm4", [("a", IMAGE, (0.02, 0.02), unit)], 4)
    data = load_image(path)
    assert data.pixel_size is None
    assert "no pixel size: the file gives 0.02 a pixel" in data.description


def test_several_images_are_chosen_by_name(tmp_path):
    images = [("HAADF", IMAGE, (0.02, 0.02), "nm"), ("BF", IMAGE + 1, (0.3, 0.3), "Å")]
    micrograph = write_dm(tmp_path / "a.dm4", images, 4)
    images = {
        "a1": (IMAGE, (2e-11, 2e-11), "HAADF"),
        "b2": (IMAGE + 1, (3e-11, 3e-11), "BF"),
    }
    velox = write_velox(tmp_path / "a.emd", images)
    for path in (micrograph, velox):
        with pytest.raises(
            ValueError, match=r"2 images: 'HAADF', 'BF'\. Choose one with signal="
        ):
            load_image(path)
        data = load_image(path, signal="BF")
        np.testing.assert_array_equal(data.image, IMAGE + 1)
        assert data.pixel_size == pytest.approx(0.03, rel=1e-6)
        with pytest.raises(ValueError, match=r"no image called 'ADF'.*'HAADF', 'BF'"):
            load_image(path, signal="ADF")


# Pixels that are not square -----------------------------------------------------------


def wave(row, col):
    return np.sin(row / 3.1) + np.cos(col / 4.3)


@pytest.mark.parametrize(
    ("row_nm", "col_nm", "shape"),
    [(0.02, 0.03, (60, 119)), (0.03, 0.02, (89, 80)), (0.02, 0.0201, (60, 80))],
)
def test_resampled_to_square_pixels(tmp_path, row_nm, col_nm, shape):
    row, col = np.indices((60, 80))
    image = wave(row * row_nm / 0.02, col * col_nm / 0.02).astype(np.float32)
    path = write_dm(tmp_path / "a.dm4", [("a", image, (row_nm, col_nm), "nm")], 4)
    with pytest.raises(ValueError, match=r"not square.*resample=True.*pixel_size="):
        load_image(path)
    data = load_image(path, resample=True)
    assert data.pixel_size == pytest.approx(0.02, rel=1e-6)
    assert data.image.shape == shape
    assert data.image.dtype == np.float32
    np.testing.assert_allclose(data.image, wave(*np.indices(shape)), atol=0.02)
    assert f"resampled from {row_nm:.6g} nm x {col_nm:.6g} nm" in data.description


def test_a_stack_is_resampled_image_by_image(tmp_path):
    scales = 0.03, 0.02
    path = write_dm(tmp_path / "a.dm4", [("a", STACK, scales, "nm")], 4)
    stack = load_image(path, resample=True).image
    assert stack.shape == (3, 59, 52)
    np.testing.assert_allclose(stack[2], stack[0] + 2, atol=1e-3)
    # Pixels on the old grid keep their values.
    np.testing.assert_allclose(stack[:, ::3], STACK[:, ::2], atol=1e-3)
    image = IMAGE.copy()
    image[3] = np.nan
    write_dm(path, [("a", image, scales, "nm")], 4)
    with pytest.raises(ValueError, match="NaN or infinity cannot be resampled"):
        load_image(path, resample=True)


def test_resampling_leaves_square_and_unknown_pixels(tmp_path):
    for unit in ("nm", ""):
        path = write_dm(tmp_path / "a.dm4", [("a", IMAGE, (0.02, 0.02), unit)], 4)
        np.testing.assert_array_equal(load_image(path, resample=True).image, IMAGE)
    with pytest.raises(ValueError, match=r"resample=True needs .* Pass one of the two"):
        load_image(path, resample=True, pixel_size=0.02)


def test_counts_are_resampled_as_floats(tmp_path):
    counts = IMAGE.astype(np.uint16)
    path = write_dm(tmp_path / "a.dm4", [("a", counts, (0.02, 0.04), "nm")], 4)
    image = load_image(path, resample=True).image
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[:, ::2], counts, atol=1e-3)


# Broken files -------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
@pytest.mark.parametrize("name", sorted({*CALIBRATED, "image.ser"} - {"image.zspy"}))
def test_truncated(tmp_path, name, share):
    path = tmp_path / name
    if name == "image.ser":
        write_ser(path, IMAGE, (2e-11, 2e-11))
    else:
        CALIBRATED[name](path, IMAGE, 0.02)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{name}' could not be read"):
        load_image(path)


def test_truncated_zspy(tmp_path):
    path = write_zspy(tmp_path / "image.zspy", IMAGE, 0.02)
    chunks = [file for file in path.rglob("data/**/0") if file.is_file()]
    assert chunks
    for chunk in chunks:
        chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"image.zspy' could not be read"):
        load_image(path)


FOREIGN = [*CALIBRATED, "image.ser", "image.npy", "image.npz", "image.png"]


@pytest.mark.parametrize("name", [name for name in FOREIGN if name != "image.zspy"])
@pytest.mark.parametrize(
    "content",
    [b"", b"Dear diary,\n" * 99, np.random.default_rng(0).bytes(5000)],
    ids=["empty", "text", "random"],
)
def test_foreign_content(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}' could not be read"):
        load_image(path)


@pytest.mark.parametrize("suffix", [".dm4", ".tif", ".npy", ".h5", ".mrc", ".ser"])
def test_wrong_suffix(tmp_path, suffix):
    imsave(tmp_path / "image.png", IMAGE.astype(np.uint8), check_contrast=False)
    path = (tmp_path / "image.png").rename(tmp_path / f"image{suffix}")
    with pytest.raises(ValueError, match=rf"image{suffix}' could not be read"):
        load_image(path)


def save(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array)
    elif path.suffix == ".hspy":
        write_signal("hspy", path, array, [(1.0, "nm")] * array.ndim)
    else:
        with h5py.File(path, "w") as file:
            file["image"] = array


@pytest.mark.parametrize(
    ("suffix", "array", "message"),
    [
        (".npy", np.zeros((0, 9)), r"shape \(0, 9\)"),
        (".h5", np.zeros((0, 9)), "contains no image"),
        (".npy", IMAGE[0], r"shape \(52,\)"),
        (".h5", IMAGE[0], "contains no image"),
        (".hspy", IMAGE[0], "contains no image"),
        (".npy", IMAGE * 1j, "complex numbers"),
        (".tif", (IMAGE * 1j).astype(np.complex64), "complex numbers"),
        (".hspy", IMAGE * 1j, "complex numbers"),
        (".npy", IMAGE * np.nan, r"shape \(40, 52\) without a single finite value"),
        (".tif", IMAGE * np.nan, "without a single finite value"),
        (".h5", STACK * np.inf, "without a single finite value"),
        (".hspy", IMAGE * np.nan, "without a single finite value"),
        (".npy", np.array([["a"]]), "values of type <U1"),
    ],
)
def test_contents_that_are_no_image(tmp_path, suffix, array, message):
    path = tmp_path / f"image{suffix}"
    save(path, array)
    with pytest.raises(ValueError, match=message):
        load_image(path)


def test_some_values_may_be_unknown(tmp_path):
    image = IMAGE.copy()
    image[0] = np.nan
    save(tmp_path / "image.npy", image)
    np.testing.assert_array_equal(load_image(tmp_path / "image.npy").image, image)


def test_missing_dataset(tmp_path):
    save(tmp_path / "image.h5", IMAGE)
    with pytest.raises(ValueError, match=r"image called 'adf'. It contains: 'image'"):
        load_image(tmp_path / "image.h5", dataset="adf")


@pytest.mark.parametrize("name", ["folder", "folder.tif", "folder.dm4", "folder.h5"])
def test_folder(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"{name}' is a folder. Pass the file"):
        load_image(tmp_path / name)


def test_empty_folder_of_zspy(tmp_path):
    (tmp_path / "image.zspy").mkdir()
    with pytest.raises(ValueError, match=r"image.zspy' could not be read"):
        load_image(tmp_path / "image.zspy")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX system")
def test_pipe(tmp_path):
    os.mkfifo(tmp_path / "image.tif")
    with pytest.raises(ValueError, match="is a device, not a file"):
        load_image(tmp_path / "image.tif")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all"
)
def test_file_without_permission(tmp_path):
    save(tmp_path / "image.h5", IMAGE)
    (tmp_path / "image.h5").chmod(0)
    with pytest.raises(PermissionError, match=r"image\.h5"):
        load_image(tmp_path / "image.h5")


def test_encrypted_archive(tmp_path):
    path = tmp_path / "image.npz"
    np.savez(path, image=IMAGE)
    with zipfile.ZipFile(path) as archive:
        name = archive.namelist()[0]
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + place] |= 1  # the flag of a password
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"could not be read.*{name}' is encrypted"):
        load_image(path)


# No pickles ---------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("store", ["local", "zip"])
def test_zspy_with_a_pickle_is_refused(tmp_path, store):
    path = write_zspy(tmp_path / "image.zspy", IMAGE, 0.02)
    group = zarr.open_group(str(path), mode="a")["Experiments/HAADF/metadata"]
    group.create_dataset(
        "trap",
        data=np.array([Bomb()], dtype=object),
        object_codec=numcodecs.Pickle(),
    )
    if store == "zip":
        files = [file for file in path.rglob("*") if file.is_file()]
        with zipfile.ZipFile(tmp_path / "zipped.zspy", "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(path))
        path = tmp_path / "zipped.zspy"
    with pytest.raises(ValueError, match="pickled objects, which are never loaded"):
        load_image(path)


def test_zspy_with_a_pickle_among_the_filters_is_refused(tmp_path):
    path = write_zspy(tmp_path / "image.zspy", IMAGE, 0.02)
    array = next(file for file in path.rglob("data/.zarray"))
    settings = json.loads(array.read_text())
    array.write_text(json.dumps(settings | {"filters": [{"id": "pickle"}]}))
    with pytest.raises(ValueError, match="pickled objects, which are never loaded"):
        load_image(path)


def test_a_single_channel_is_no_axis_of_a_stack(tmp_path):
    np.save(tmp_path / "image.npy", IMAGE[..., None])
    np.testing.assert_array_equal(load_image(tmp_path / "image.npy").image, IMAGE)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("pixel_size", 0.02, 0.02),
        ("pixel_size_nm", 0.02, 0.02),
        ("pixel_size_angstrom", 0.2, 0.02),
        ("pixel_size_pm", 20, 0.02),
        ("pixel_size", np.nan, None),
        ("pixel_size", [0.02, 0.02], 0.02),
        ("scale", 0.02, None),
    ],
)
def test_pixel_size_of_npz_files(tmp_path, name, value, expected):
    path = tmp_path / "image.npz"
    np.savez(path, image=np.arange(400.0).reshape(20, 20), **{name: value})
    assert load_image(path).pixel_size == (expected and pytest.approx(expected))
    assert load_image(path, pixel_size=0.05).pixel_size == 0.05
