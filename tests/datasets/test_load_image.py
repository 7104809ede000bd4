import builtins
import pickle
import sys
import zlib
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from sklearn_ferroic.datasets import load_image

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
RNG = np.random.RandomState(0)
IMAGE = RNG.poisson(40, (40, 52)).astype(np.float32)


def write_signal(reader, path, data, axes, title="", metadata=None):
    """Write a file of the microscope format that RosettaSciIO calls `reader`."""
    api = import_module(f"rsciio.{reader}")
    navigate = [False] * len(axes)
    if len(axes) == 3:
        navigate[0] = True
    signal = {
        "data": data,
        "axes": [
            {
                "_type": "UniformDataAxis",
                "name": f"axis {i}",
                "size": size,
                "scale": scale,
                "offset": 0.0,
                "units": units,
                "navigate": navigate[i],
                "is_binned": False,
                "index_in_array": i,
            }
            for i, (size, (scale, units)) in enumerate(
                zip(data.shape, axes, strict=True)
            )
        ],
        "metadata": {
            "General": {"title": title},
            "Signal": {"signal_type": ""},
        },
        "original_metadata": {"column": {"microscope": "a fine one"}},
        "attributes": {"_lazy": False, "ragged": False},
        "package_info": {"package": "none", "package_version": "0"},
        "learning_results": {},
        "models": {},
        "tmp_parameters": {},
        "ragged": False,
    }
    api.file_writer(str(path), signal)
    return path


# TIFF


@pytest.mark.parametrize(
    ("unit", "per_unit", "nm"),
    [
        ("nm", 50, 0.02),
        ("micron", 50_000, 0.02),
        ("\\u00B5m", 50_000, 0.02),
        ("\\u00C5", 5, 0.02),
        ("pm", 0.05, 0.02),
        ("pixel", 1, None),
    ],
)
def test_imagej_tiff(tmp_path, unit, per_unit, nm):
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        IMAGE,
        imagej=True,
        resolution=(per_unit, per_unit),
        metadata={"unit": unit},
    )
    data = load_image(path)
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.image.dtype == np.float32
    assert data.pixel_size == (None if nm is None else pytest.approx(nm))
    assert data.path == str(path)
    assert data.metadata["imagej"]["unit"] == unit
    assert "40 x 52 px of float32" in data.description
    if nm is None:
        assert "with the unit 'pixel'" in data.description


def test_print_tells_what_it_is_without_the_pixels(tmp_path):
    np.save(tmp_path / "image.npy", IMAGE)
    data = load_image(tmp_path / "image.npy", pixel_size=0.02)
    assert repr(data) == (
        "<image, pixel_size, metadata, path, description of image.npy: 40 x 52 px of "
        "float32; 0.02 nm per pixel (pixel size as given).>"
    )
    assert pickle.loads(pickle.dumps(data)).pixel_size == 0.02
    del data["description"]
    assert "image" in repr(data)


def test_ome_tiff(tmp_path):
    path = tmp_path / "image.ome.tif"
    metadata = {
        "axes": "YX",
        "PhysicalSizeX": 14.5,
        "PhysicalSizeXUnit": "pm",
        "PhysicalSizeY": 14.5,
        "PhysicalSizeYUnit": "pm",
    }
    tifffile.imwrite(path, IMAGE, ome=True, metadata=metadata)
    assert load_image(path).pixel_size == pytest.approx(0.0145)


def test_ome_tiff_with_half_a_calibration(tmp_path):
    path = tmp_path / "image.ome.tif"
    metadata = {"axes": "YX", "PhysicalSizeX": 14.5, "PhysicalSizeXUnit": "pm"}
    tifffile.imwrite(path, IMAGE, ome=True, metadata=metadata)
    data = load_image(path)
    assert data.pixel_size is None
    assert "no pixel size in the file" in data.description


@pytest.mark.parametrize(
    ("per_cm", "nm"), [(5e8, 0.02), (1e9, 0.01), (118.11, None), (28.35, None)]
)
def test_tiff_resolution_counts_only_at_microscopic_pixels(tmp_path, per_cm, nm):
    path = tmp_path / "image.tiff"
    tifffile.imwrite(
        path, IMAGE, resolution=(per_cm, per_cm), resolutionunit="CENTIMETER"
    )
    expected = None if nm is None else pytest.approx(nm)
    assert load_image(path).pixel_size == expected


def test_digital_micrograph_tiff(tmp_path):
    path = tmp_path / "image.tif"
    tags = [
        (65003, "s", 0, "nm", True),
        (65004, "s", 0, "nm", True),
        (65009, "d", 1, 0.0125, True),
        (65010, "d", 1, 0.0125, True),
    ]
    tifffile.imwrite(path, IMAGE, extratags=tags)
    assert load_image(path).pixel_size == pytest.approx(0.0125)


def test_plain_tiff_has_no_pixel_size(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, IMAGE)
    data = load_image(path)
    assert data.pixel_size is None
    assert "no pixel size in the file" in data.description


def test_tiff_stack_and_series(tmp_path):
    path = tmp_path / "stack.tif"
    stack = np.stack([IMAGE, IMAGE + 1, IMAGE + 2]).astype(np.uint16)
    tifffile.imwrite(path, stack, photometric="minisblack")
    data = load_image(path)
    np.testing.assert_array_equal(data.image, stack)
    assert data.image.dtype == np.uint16
    with tifffile.TiffWriter(path) as file:
        file.write(IMAGE)
        file.write(IMAGE[:20, :30] + 5)
    with pytest.raises(ValueError, match=r"contains 2 images: 'series 0', 'series 1'"):
        load_image(path)
    np.testing.assert_array_equal(load_image(path, signal=1).image, IMAGE[:20, :30] + 5)


def test_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path, IMAGE, imagej=True, resolution=(50, 40), metadata={"unit": "nm"}
    )
    message = r"not square: 0.025 nm along the rows' axis and 0.02 nm"
    with pytest.raises(ValueError, match=message):
        load_image(path)
    data = load_image(path, pixel_size=0.022)
    assert data.pixel_size == 0.022
    assert "as given" in data.description


# Pictures


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp"])
def test_pictures(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    grey = IMAGE.astype(np.uint8)
    imsave(path, grey, check_contrast=False)
    data = load_image(str(path))
    np.testing.assert_array_equal(data.image, grey)
    assert data.pixel_size is None


def test_sixteen_bit_png(tmp_path):
    path = tmp_path / "image.png"
    grey = (IMAGE * 700).astype(np.uint16)
    imsave(path, grey, check_contrast=False)
    image = load_image(path).image
    np.testing.assert_array_equal(image, grey)
    assert image.dtype == np.uint16


def test_jpeg_keeps_the_picture(tmp_path):
    path = tmp_path / "image.jpg"
    row, col = np.indices((64, 48))
    smooth = (100 + row + col).astype(np.uint8)
    imsave(path, smooth, check_contrast=False)
    difference = load_image(path).image.astype(int) - smooth
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize("channels", [3, 4])
def test_equal_channels_become_grey(tmp_path, channels):
    path = tmp_path / "image.png"
    grey = IMAGE.astype(np.uint8)
    colour = np.repeat(grey[..., None], channels, axis=-1)
    colour[..., 3:] = 255
    imsave(path, colour, check_contrast=False)
    np.testing.assert_array_equal(load_image(path).image, grey)
    tifffile.imwrite(path.with_suffix(".tif"), colour[..., :3], photometric="rgb")
    np.testing.assert_array_equal(load_image(path.with_suffix(".tif")).image, grey)
    planes = np.moveaxis(colour[..., :3], -1, 0)
    tifffile.imwrite(
        path.with_suffix(".tif"), planes, photometric="rgb", planarconfig="separate"
    )
    np.testing.assert_array_equal(load_image(path.with_suffix(".tif")).image, grey)


def test_colours_are_refused(tmp_path):
    path = tmp_path / "image.png"
    colour = np.repeat(IMAGE.astype(np.uint8)[..., None], 3, axis=-1)
    colour[0, 0, 0] += 1
    imsave(path, colour, check_contrast=False)
    with pytest.raises(ValueError, match=r"image with colours, of shape \(40, 52, 3\)"):
        load_image(path)


def test_transparency_is_refused(tmp_path):
    path = tmp_path / "image.png"
    colour = np.repeat(IMAGE.astype(np.uint8)[..., None], 4, axis=-1)
    colour[..., 3] = np.arange(52)
    imsave(path, colour, check_contrast=False)
    with pytest.raises(ValueError, match="image with transparency"):
        load_image(path)


# NumPy


@pytest.mark.parametrize("dtype", ["float64", "int16", ">f4", "float16", "uint8"])
def test_npy(tmp_path, dtype):
    path = tmp_path / "image.npy"
    np.save(path, IMAGE.astype(dtype))
    image = load_image(path).image
    np.testing.assert_array_equal(image, IMAGE)
    assert image.dtype == np.dtype(dtype).newbyteorder("=")
    assert image.dtype.isnative


def test_named_colours_become_grey(tmp_path):
    # As RosettaSciIO stores colour images.
    grey = IMAGE.astype(np.uint8)
    colour = np.zeros(grey.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for name in "RGB":
        colour[name] = grey
    np.save(tmp_path / "image.npy", colour)
    np.testing.assert_array_equal(load_image(tmp_path / "image.npy").image, grey)


@pytest.mark.parametrize("value", [np.nan, -0.01, 0, np.inf, np.zeros(3), "10 pm"])
def test_npz_with_an_invalid_pixel_size_says_so(tmp_path, value):
    path = tmp_path / "image.npz"
    np.savez(path, image=np.ones((20, 30)), pixel_size=value)
    data = load_image(path)
    assert data.pixel_size is None
    assert "no pixel size: the file gives" in data.description
    assert load_image(path, pixel_size=0.05).pixel_size == 0.05


def test_npz_with_an_invalid_and_a_valid_pixel_size(tmp_path):
    path = tmp_path / "image.npz"
    np.savez(path, image=np.ones((20, 30)), pixel_size=np.nan, pixel_size_pm=20.0)
    assert load_image(path).pixel_size == pytest.approx(0.02)


def test_npz_with_two_pixel_sizes(tmp_path):
    path = tmp_path / "image.npz"
    np.savez(path, image=np.ones((20, 30)), pixel_size=[0.01, 0.01])
    assert load_image(path).pixel_size == 0.01
    np.savez(path, image=np.ones((20, 30)), pixel_size=[0.01, 0.02])
    with pytest.raises(ValueError, match="not square"):
        load_image(path)


def test_npz(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, haadf=IMAGE, adf=IMAGE + 1, energy=300.0)
    message = "contains 2 images: 'haadf', 'adf'. Choose one with dataset="
    with pytest.raises(ValueError, match=message):
        load_image(path)
    data = load_image(path, dataset="adf")
    np.testing.assert_array_equal(data.image, IMAGE + 1)
    assert "adf" in data.description
    with pytest.raises(ValueError, match="no image called 'bf'"):
        load_image(path, dataset="bf")
    np.savez(path, haadf=IMAGE, energy=300.0)
    np.testing.assert_array_equal(load_image(path).image, IMAGE)
    with pytest.raises(ValueError, match=r"an array of shape \(\)"):
        load_image(path, dataset="energy")


class Bomb:
    def __reduce__(self):
        return (builtins.exec, ("raise SystemExit('unpickled')",))


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "image.npy"
    np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickled objects are never loaded"):
        load_image(path)
    np.savez(tmp_path / "image.npz", a=np.array([Bomb()], dtype=object))
    with pytest.raises(ValueError, match="pickled objects are never loaded"):
        load_image(tmp_path / "image.npz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (IMAGE + 1j, "contains complex numbers"),
        (IMAGE > 40, "values of type bool"),
        (IMAGE[0], r"shape \(52,\); an image"),
        (np.zeros((2, 3, 10, 12)), r"shape \(2, 3, 10, 12\); an image"),
        (np.zeros((0, 5)), r"shape \(0, 5\); an image"),
        (np.array([["a", "b"]]), "values of type <U1"),
    ],
)
def test_arrays_that_are_no_image(tmp_path, array, message):
    np.save(tmp_path / "image.npy", array)
    with pytest.raises(ValueError, match=message):
        load_image(tmp_path / "image.npy")


# HDF5


def test_hdf5_with_one_image(tmp_path):
    path = tmp_path / "image.h5"
    with h5py.File(path, "w") as file:
        file["scan/haadf"] = IMAGE
        file["scan/haadf"].attrs["voltage"] = 300
        file["scan/positions"] = np.zeros((30, 2))
        file["note"] = "good day"
    data = load_image(path)
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.metadata["dataset"] == "scan/haadf"
    assert data.metadata["attributes"]["voltage"] == 300
    assert data.pixel_size is None


def test_hdf5_with_several_images(tmp_path):
    path = tmp_path / "images.hdf5"
    with h5py.File(path, "w") as file:
        file["a/haadf"] = IMAGE
        file["a/bf"] = IMAGE + 1
    with pytest.raises(ValueError, match=r"2 images: 'a/bf', 'a/haadf'. .* dataset="):
        load_image(path)
    np.testing.assert_array_equal(load_image(path, dataset="/a/bf").image, IMAGE + 1)
    with pytest.raises(ValueError, match=r"no image called 'b'. It contains: 'a/bf'"):
        load_image(path, dataset="b")


def test_hdf5_prefers_the_only_flat_image_to_a_stack(tmp_path):
    path = tmp_path / "images.h5"
    with h5py.File(path, "w") as file:
        file["frames"] = np.stack([IMAGE, IMAGE])
        file["mean"] = IMAGE
    np.testing.assert_array_equal(load_image(path).image, IMAGE)
    assert load_image(path, dataset="frames").image.shape == (2, 40, 52)


@pytest.mark.parametrize(
    ("scale", "unit", "nm"),
    [
        (0.02, 1e-9, 0.02),
        (np.array([[20.0]]), np.array([1e-12]), 0.02),
        (2e-11, 1.0, 0.02),
        (0.02, 1.0, None),
        (0.02, b"nm", None),
        (0.0, 1e-9, None),
        (0.02, None, None),
    ],
)
def test_hdf5_of_the_paper(tmp_path, scale, unit, nm):
    path = tmp_path / "HAADF.h5"
    with h5py.File(path, "w") as file:
        file["MainImage"] = IMAGE
        file["Scale"] = scale
        if unit is not None:
            file["Units(m)"] = unit
    data = load_image(path)
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size == (None if nm is None else pytest.approx(nm))


def test_hdf5_without_an_image(tmp_path):
    path = tmp_path / "image.h5"
    with h5py.File(path, "w") as file:
        file["spectrum"] = IMAGE[0]
    with pytest.raises(ValueError, match="contains no image"):
        load_image(path)


def test_hdf5_under_another_name(tmp_path):
    path = tmp_path / "image.result"
    with h5py.File(path, "w") as file:
        file["haadf"] = IMAGE
    np.testing.assert_array_equal(load_image(path).image, IMAGE)


# Microscope formats


@pytest.mark.parametrize(
    ("axes", "nm"),
    [
        ([(0.02, "nm")] * 2, 0.02),
        ([(0.2, "Å")] * 2, 0.02),
        ([(0.2, "\u212b")] * 2, 0.02),
        ([(0.2, "A")] * 2, 0.02),
        ([(20.0, "pm")] * 2, 0.02),
        ([(2e-5, "µm")] * 2, 0.02),
        ([(2e-5, "μm")] * 2, 0.02),
        ([(2e-5, "um")] * 2, 0.02),
        ([(2e-11, "m")] * 2, 0.02),
        ([(20.0, "pm"), (0.02, "nm")], 0.02),
        ([(0.02, "n_m")] * 2, 0.02),
        ([(0.02, "[n_m]")] * 2, 0.02),
        ([(20.0, "p_m")] * 2, 0.02),
        ([(0.5, "n_m^-1")] * 2, None),
        ([(0.5, "1/nm")] * 2, None),
        ([(0.02, "")] * 2, None),
        ([(0.02, "nm"), (1.0, "")], None),
    ],
)
def test_units_of_microscope_axes(tmp_path, axes, nm):
    path = write_signal("hspy", tmp_path / "image.hspy", IMAGE, axes, "HAADF")
    data = load_image(path)
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size == (None if nm is None else pytest.approx(nm))
    assert "HAADF" in data.description
    assert data.metadata["General"]["title"] == "HAADF"
    assert data.metadata["original_metadata"]["column"]["microscope"] == "a fine one"


def test_microscope_pixels_that_are_not_square(tmp_path):
    axes = [(0.02, "nm"), (0.021, "nm")]
    path = write_signal("hspy", tmp_path / "image.hspy", IMAGE, axes)
    with pytest.raises(ValueError, match=r"0.02 nm .* and 0.021 nm"):
        load_image(path)
    assert load_image(path, pixel_size=0.0205).pixel_size == 0.0205


def test_microscope_stack(tmp_path):
    axes = [(1.0, "s"), (0.02, "nm"), (0.02, "nm")]
    stack = np.stack([IMAGE, IMAGE + 1])
    data = load_image(write_signal("hspy", tmp_path / "stack.hspy", stack, axes))
    np.testing.assert_array_equal(data.image, stack)
    assert data.pixel_size == pytest.approx(0.02)


def test_hyperspy_before_its_own_suffix(tmp_path):
    new = write_signal("hspy", tmp_path / "image.hspy", IMAGE, [(0.02, "nm")] * 2)
    old = new.rename(tmp_path / "image.hdf5")
    data = load_image(old)
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size == pytest.approx(0.02)


def test_microscope_file_as_plain_hdf5(tmp_path):
    path = write_signal(
        "hspy", tmp_path / "image.hspy", IMAGE, [(0.02, "nm")] * 2, "HAADF"
    )
    data = load_image(path, dataset="Experiments/HAADF/data")
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size is None


def test_several_signals(tmp_path):
    path = write_signal(
        "emd", tmp_path / "images.emd", IMAGE, [(0.02, "nm")] * 2, "HAADF"
    )
    other = write_signal(
        "emd", tmp_path / "other.emd", IMAGE + 1, [(0.03, "nm")] * 2, "DF4"
    )
    data = load_image(path)
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size == pytest.approx(0.02)
    with h5py.File(path, "a") as file, h5py.File(other) as second:
        group = file["signals"]
        second.copy("signals/DF4", group)
    with pytest.raises(ValueError, match=r"'DF4', 'HAADF'. Choose one with signal="):
        load_image(path)
    data = load_image(path, signal="DF4")
    np.testing.assert_array_equal(data.image, IMAGE + 1)
    assert data.pixel_size == pytest.approx(0.03)
    np.testing.assert_array_equal(load_image(path, signal=1).image, IMAGE)
    with pytest.raises(ValueError, match=r"no image called 'BF'. It contains: 'DF4'"):
        load_image(path, signal="BF")
    with pytest.raises(ValueError, match="signal=2 is out of range"):
        load_image(path, signal=2)


def test_spectra_are_no_images(tmp_path):
    path = write_signal("hspy", tmp_path / "line.hspy", IMAGE[0], [(1.0, "eV")])
    with pytest.raises(ValueError, match=r"contains no image; the shapes .* \(52,\)"):
        load_image(path)


# What is wrong with the call or the file


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nothing\.tif"):
        load_image(tmp_path / "nothing.tif")


@pytest.mark.parametrize(
    ("suffix", "tried"),
    [
        (".tif", "TIFF"),
        (".png", "a picture"),
        (".jpg", "a picture"),
        (".npy", "a NumPy array"),
        (".npz", "a NumPy archive"),
        (".h5", "HDF5"),
        (".dm3", "DigitalMicrograph"),
        (".dm4", "DigitalMicrograph"),
        (".emd", "EMD"),
        (".ser", "TIA"),
        (".hspy", "HSPY"),
        (".img", "Hamamatsu"),
        (".img", "JEOL"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"no image at all " * 8])
def test_damaged_file(tmp_path, suffix, tried, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken.* could not be read") as caught:
        load_image(path)
    assert tried in str(caught.value)
    assert caught.value.__cause__ is not None


def test_truncated_png(tmp_path):
    path = tmp_path / "image.png"
    imsave(path, IMAGE.astype(np.uint8), check_contrast=False)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="could not be read as a picture"):
        load_image(path)


def test_unknown_suffix(tmp_path):
    path = tmp_path / "image.xyz"
    path.write_bytes(zlib.compress(IMAGE.tobytes()))
    with pytest.raises(
        ValueError, match=r"suffix that no reader supports.*\.dm3.*\.tif"
    ):
        load_image(path)


def test_files_that_would_run_code_are_not_read(tmp_path):
    path = tmp_path / "image.nc"
    path.write_bytes(b"CDF\x01")
    with pytest.raises(ValueError, match="suffix that no reader supports"):
        load_image(path)


def test_choices_that_a_format_does_not_offer(tmp_path):
    path = tmp_path / "image.npy"
    np.save(path, IMAGE)
    with pytest.raises(ValueError, match="dataset='a' chooses in HDF5 and"):
        load_image(path, dataset="a")
    with pytest.raises(ValueError, match="signal=0 chooses in microscope, HDF5 and"):
        load_image(path, signal=0)


@pytest.mark.parametrize(
    "options", [{"pixel_size": 0}, {"pixel_size": "nm"}, {"dataset": 1}, {"signal": -1}]
)
def test_wrong_options_are_refused(tmp_path, options):
    np.save(tmp_path / "image.npy", IMAGE)
    with pytest.raises(ValueError, match=f"'{next(iter(options))}' parameter"):
        load_image(tmp_path / "image.npy", **options)


@pytest.mark.parametrize(
    ("name", "module"), [("image.dm4", "rsciio"), ("image.h5", "h5py")]
)
def test_missing_extra_is_named(tmp_path, monkeypatch, name, module):
    (tmp_path / name).write_bytes(b"something")
    monkeypatch.setitem(sys.modules, module, None)
    message = rf'{module} is needed.*pip install "sklearn-ferroic\[io\]"'
    with pytest.raises(ImportError, match=message):
        load_image(tmp_path / name)


def test_missing_package_of_a_format_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    for module in ("rsciio.zspy", "rsciio.zspy._api"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "image.zspy").mkdir()
    with pytest.raises(
        ImportError, match=r"image\.zspy' needs another .*(zarr|numcodecs)"
    ):
        load_image(tmp_path / "image.zspy")


# Real files


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared images are not here")
def test_real_hspy():
    data = load_image(SHARED / "srtio3_adf.hspy")
    assert data.image.shape == (400, 380)
    assert data.image.dtype == np.float16
    # The file gives a number and no unit.
    assert data.pixel_size is None
    assert "0.00932627 a pixel without a unit" in data.description
    again = load_image(
        SHARED / "srtio3_adf.hspy",
        dataset="Experiments/__unnamed__/data",
        pixel_size=0.009326,
    )
    np.testing.assert_array_equal(again.image, data.image)
    assert again.pixel_size == 0.009326


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared images are not here")
def test_real_tiff():
    data = load_image(SHARED / "nsmo_haadf.tif")
    assert data.image.shape == (898, 963)
    assert data.image.dtype == np.float32
    assert data.pixel_size is None
    assert np.isfinite(data.image).all()
