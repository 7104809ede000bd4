"""Files and objects of other packages: pixels, orientation, pixel size, metadata."""

import gc
import importlib.metadata
import warnings

import h5py
import numpy as np
import pytest
import tifffile
import xarray

from sklearn_ferroic import AtomSites
from sklearn_ferroic._image.input import check_images, image_metadata
from sklearn_ferroic.datasets import load_image
from tests.datasets import _library_files as library
from tests.datasets._library_files import IMAGE, PIXEL_NM, STACK
from tests.datasets._microscope_files import write_dm, write_velox

pytestmark = [
    pytest.mark.filterwarnings("ignore:The (Nested|Directory|Zip|FS).*Store is depr"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def close_files():
    """Close what readers leave open, lest a later test be blamed."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def import_writer(name):
    """Import another package, whose own warnings are not ours; skip without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            pytest.skip(f"{name} is not installed")


def flat(mapping):
    """Return all keys and values of nested metadata as text."""
    if isinstance(mapping, dict):
        return " ".join(f"{key} {flat(value)}" for key, value in mapping.items())
    return str(mapping)


# What the metadata of each writer say of the microscope.
DETAILS = {
    "nsid": "300000",
    "nion": "pixel_time_us",
    "emdf": "voltage",
    "ncem": "",
    "py4d": "R_pixel_size",
}


def check_file(path, array, detail=""):
    data = load_image(path)
    np.testing.assert_array_equal(data.image, array)
    assert data.image.dtype == np.float32
    assert data.pixel_size == pytest.approx(PIXEL_NM, rel=1e-6)
    assert detail in flat(data.metadata)


@pytest.mark.parametrize(
    ("name", "array"), [(name, array) for name, _, _, array in library.KEPT]
)
def test_kept_file(name, array):
    check_file(library.DATA / name, array, DETAILS[name[:4]])


@pytest.mark.parametrize(
    ("name", "write", "package", "array"),
    library.KEPT,
    ids=[k[0] for k in library.KEPT],
)
def test_file_written_by_its_library(tmp_path, name, write, package, array):
    import_writer(package)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(tmp_path / name, array)
    check_file(tmp_path / name, array, DETAILS[name[:4]])


def test_images_of_an_hdf5_file_are_chosen_by_title(tmp_path):
    path = tmp_path / "two.h5"
    path.write_bytes((library.DATA / "emdfile.h5").read_bytes())
    with h5py.File(path, "a") as file:
        file.copy("HAADF_root/HAADF", "HAADF_root/BF")
        file["HAADF_root/BF/data"][...] = IMAGE + 1
    with pytest.raises(ValueError, match=r"contains 2 images.*with dataset="):
        load_image(path)
    np.testing.assert_array_equal(load_image(path, signal="BF").image, IMAGE + 1)
    data = load_image(path, dataset="HAADF_root/HAADF/data")
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size == pytest.approx(PIXEL_NM)
    with pytest.raises(ValueError, match="Pass one of the two"):
        load_image(path, signal="BF", dataset="HAADF_root/HAADF/data")


# Signals of HyperSpy


def hyperspy_signal(order, array=STACK):
    """Return a signal whose axes are stored in an order such as "nyx" or "yxn"."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hyperspy = pytest.importorskip("hyperspy.api")
    axes = {
        "n": {"name": "time", "units": "s", "scale": 1.0, "navigate": True},
        "y": {"name": "y", "units": "nm", "scale": PIXEL_NM, "navigate": False},
        "x": {"name": "x", "units": "nm", "scale": PIXEL_NM, "navigate": False},
    }
    data = array.transpose(["nyx".index(letter) for letter in order])
    sizes = [{"size": n} for n in data.shape]
    axes = [axes[k] | size for k, size in zip(order, sizes, strict=True)]
    metadata = {"General": {"title": "HAADF"}}
    return hyperspy.signals.Signal2D(data, axes=axes, metadata=metadata)


@pytest.mark.parametrize("n_frames", [2, 3, 4])
@pytest.mark.parametrize("order", ["nyx", "yxn", "ynx", "xyn", "nxy"])
def test_stack_of_hyperspy_with_axes_in_any_order(order, n_frames):
    """Frames along the last axis are neither rows nor colours."""
    stack = np.concatenate([STACK, STACK + 9000])[:n_frames]
    arrays, _, sizes = check_images(hyperspy_signal(order, stack))
    np.testing.assert_array_equal(arrays, stack)
    assert sizes == [pytest.approx(PIXEL_NM)] * n_frames


SAVES_ZSPY = pytest.mark.skipif(
    importlib.metadata.version("zarr") > "3", reason="RosettaSciIO saves by zarr 2 only"
)


@pytest.mark.parametrize(
    "suffix", ["hspy", pytest.param("zspy", marks=SAVES_ZSPY), "emd"]
)
@pytest.mark.parametrize("order", ["nyx", "yxn"])
def test_stack_in_a_file_of_hyperspy(tmp_path, order, suffix):
    path = tmp_path / f"stack.{suffix}"
    hyperspy_signal(order).save(path)
    check_file(path, STACK, "HAADF" if suffix != "emd" else "")


@SAVES_ZSPY
def test_zipped_zspy(tmp_path):
    path = tmp_path / "stack.zspy"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that the archive holds twice
        hyperspy_signal("nyx").save(path, store_type="zip")
    assert path.is_file()
    check_file(path, STACK, "HAADF")


def test_spectra_of_hyperspy_are_refused():
    signal = hyperspy_signal("nyx").as_signal1D(0)
    with pytest.raises(ValueError, match=r"'time' contains a spectrum at each pixel"):
        check_images(signal)


# Datasets of sidpy


@pytest.mark.parametrize("names", ["xy", "yx", "xyz", "zyx", "zxy"])
def test_dataset_of_sidpy_is_read_by_the_names_of_its_axes(names):
    import_writer("sidpy")
    array = (IMAGE if len(names) == 2 else STACK).transpose(
        ["yx".index(n) if len(names) == 2 else "zyx".index(n) for n in names]
    )
    dataset = library.sidpy_dataset(array, names)
    arrays, _, sizes = check_images(dataset)
    np.testing.assert_array_equal(arrays, STACK if len(names) == 3 else [IMAGE])
    assert sizes[0] == pytest.approx(PIXEL_NM)
    assert image_metadata(dataset, 1)[0]["acceleration_voltage"] == 300e3


def _scifi(reader, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return next(
            iter(
                getattr(import_writer("SciFiReaders"), reader)(str(path))
                .read()
                .values()
            )
        )


@pytest.mark.parametrize("array", [IMAGE, STACK], ids=["image", "stack"])
@pytest.mark.parametrize("reader", ["DMReader", "NionReader", "EMDReader"])
def test_dataset_of_a_reader_of_scifireaders(tmp_path, reader, array):
    """Two of the readers exchange the names of the axes, of which a warning tells."""
    import_writer("SciFiReaders")
    side = PIXEL_NM * 1e-9
    if reader == "DMReader":
        path = tmp_path / "a.dm3"
        write_dm(path, [("HAADF", array, (PIXEL_NM, PIXEL_NM), "nm")], 3)
    elif reader == "NionReader":
        # the reader opens its file for writing
        name = "nion.h5" if array.ndim == 2 else "nion_stack.h5"
        path = tmp_path / name
        path.write_bytes((library.DATA / name).read_bytes())
    else:
        path = tmp_path / "a.emd"
        write_velox(path, {"a1": (array, (side, side), "HAADF")})
    dataset = _scifi(reader, path)
    if reader == "DMReader":
        arrays, _, sizes = check_images(dataset)
    else:
        with pytest.warns(UserWarning, match="x and y of this sidpy Dataset are taken"):
            arrays, _, sizes = check_images(dataset)
    expected = array if array.ndim == 3 else [array]
    if reader == "EMDReader" and array.ndim == 3:
        expected = [array.sum(axis=0)] if len(arrays) == 1 else array
    np.testing.assert_array_equal(arrays, expected)
    assert sizes[0] == pytest.approx(PIXEL_NM)


# Datasets of quantem


class QuantemStandIn:
    """What of quantem's datasets is read, where that is not installed."""

    def __init__(self, array, sampling, units):
        self.array, self.sampling, self.units = array, np.array(sampling), list(units)
        self.name, self.metadata = "HAADF", {"voltage": 300}


def quantem_dataset(array, sampling, units):
    structures = import_writer("quantem.core.datastructures")
    kind = structures.Dataset2d if array.ndim == 2 else structures.Dataset3d
    return kind.from_array(array, name="HAADF", sampling=sampling, units=units)


@pytest.mark.parametrize("make", [QuantemStandIn, quantem_dataset])
def test_dataset_of_quantem(make):
    arrays, _, sizes = check_images(make(IMAGE, (0.2, 0.2), ("A", "A")))
    np.testing.assert_array_equal(arrays[0], IMAGE)
    assert sizes == [pytest.approx(PIXEL_NM)]
    stack = make(STACK, (1.0, 0.2, 0.2), ("index", "A", "A"))
    arrays, _, sizes = check_images(stack)
    np.testing.assert_array_equal(arrays, STACK)
    assert sizes == [pytest.approx(PIXEL_NM)] * 3
    assert image_metadata(stack, 3)[2]["name"] == "HAADF"
    assert check_images(make(IMAGE, (1, 1), ("pixels",) * 2))[2] == [None]


# xarray


@pytest.mark.parametrize(
    "dims", [("time", "y", "x"), ("x", "y", "time"), ("y", "x", "time")]
)
def test_xarray_is_read_by_the_names_of_its_axes(dims):
    order = [("time", "y", "x").index(dim) for dim in dims]
    sizes = dict(zip(("time", "y", "x"), STACK.shape, strict=True))
    coords = {
        dim: (dim, PIXEL_NM * np.arange(sizes[dim]), {"units": "nm"}) for dim in "yx"
    }
    array = xarray.DataArray(
        STACK.transpose(order), dims=dims, coords=coords, attrs={"voltage": 300}
    )
    arrays, _, sizes = check_images(array)
    np.testing.assert_array_equal(arrays, STACK)
    assert sizes == [pytest.approx(PIXEL_NM)] * 3
    assert image_metadata(array, 3) == [{"voltage": 300}] * 3


@pytest.mark.parametrize(("axis", "kind"), [("y", "rows"), ("x", "columns")])
def test_an_axis_whose_coordinate_decreases(axis, kind):
    """The image stays as it is stored, which is said."""
    steps = {"y": PIXEL_NM, "x": PIXEL_NM} | {axis: -PIXEL_NM}
    coords = {
        dim: (dim, step * np.arange(n), {"units": "nm"})
        for (dim, step), n in zip(steps.items(), IMAGE.shape, strict=True)
    }
    array = xarray.DataArray(IMAGE, dims=("y", "x"), coords=coords)
    message = rf"The {kind}' axis of the DataArray has the negative scale -0\.02"
    with pytest.warns(UserWarning, match=message):
        arrays, _, sizes = check_images(array)
    np.testing.assert_array_equal(arrays[0], IMAGE)
    assert sizes == [pytest.approx(PIXEL_NM)]


def test_a_file_with_a_negative_scale(tmp_path):
    path = tmp_path / "a.dm4"
    write_dm(path, [("a", IMAGE, (PIXEL_NM, -PIXEL_NM), "nm")], 4)
    message = r"columns' axis of 'a.dm4' has the negative scale"
    for options in ({}, {"pixel_size": 0.03}, {"time_limit": 60}):
        with pytest.warns(UserWarning, match=message):
            data = load_image(path, **options)
        np.testing.assert_array_equal(data.image, IMAGE)
        assert data.pixel_size == pytest.approx(options.get("pixel_size", PIXEL_NM))


def test_a_negative_scale_of_pixels_that_are_not_square(tmp_path):
    path = tmp_path / "a.dm4"
    write_dm(path, [("a", IMAGE, (1.5 * PIXEL_NM, -PIXEL_NM), "nm")], 4)
    with pytest.warns(UserWarning, match="has the negative scale") as caught:
        data = load_image(path, resample=True)
    assert len(caught) == 1
    assert data.image.shape[0] == pytest.approx(1.5 * IMAGE.shape[0], abs=1)


# Velox files with spectra


def test_velox_file_with_spectra(tmp_path):
    """No spectrum is read, so that sparse is not needed; all frames are."""
    path = tmp_path / "eds.emd"
    side = PIXEL_NM * 1e-9
    images = {"a1": (STACK, (side, side), "HAADF"), "b2": (IMAGE, (side, side), "BF")}
    write_velox(path, images)
    with h5py.File(path, "a") as file:
        file["Data/SpectrumImage/c3/Data"] = np.zeros((4, 1), np.uint16)
        file["Data/SpectrumStream/d4/Data"] = np.zeros((4, 1), np.uint16)
    with pytest.raises(ValueError, match=r"'HAADF', 'BF'\. Choose one with signal="):
        load_image(path)
    data = load_image(path, signal="HAADF")
    np.testing.assert_array_equal(data.image, STACK)
    assert data.pixel_size == pytest.approx(PIXEL_NM)
    assert data.metadata["original_metadata"]["Scan"]["DwellTime"] == "1e-6"
    np.testing.assert_array_equal(load_image(path, signal="BF").image, IMAGE)
    np.testing.assert_array_equal(load_image(path, signal=1).image, IMAGE)


# Metadata travel with the sites


@pytest.mark.parametrize("name", ["nsid.hf5", "nion.ndata1", "emdfile.h5"])
def test_metadata_of_files_reach_the_files_of_sites(tmp_path, name):
    data = load_image(library.DATA / name)
    metadata = image_metadata(data, 1)
    assert metadata[0]["file"] == name
    sites = AtomSites(data.image, [[4, 5], [7, 9]], metadata=metadata)
    sites.to_csv(tmp_path / "sites.csv")
    sites.to_hdf5(tmp_path / "sites.h5")
    for again in (
        AtomSites.from_csv(tmp_path / "sites.csv"),
        AtomSites.from_hdf5(tmp_path / "sites.h5"),
        sites[:1],
        AtomSites.concatenate([sites, sites[1:]]),
    ):
        assert again.metadata == metadata
        assert DETAILS[name[:4]] in flat(again.metadata[0])


# TIFF of other packages


def test_tiff_of_hyperspy(tmp_path):
    path = tmp_path / "stack.tif"
    hyperspy_signal("nyx").save(path)
    check_file(path, STACK)


def test_channels_are_images_of_their_own(tmp_path):
    path = tmp_path / "channels.tif"
    options = {"imagej": True, "resolution": (1 / PIXEL_NM,) * 2}
    tifffile.imwrite(path, STACK, metadata={"axes": "CYX", "unit": "nm"}, **options)
    message = "'channel 0', 'channel 1', 'channel 2'. Choose one with signal="
    with pytest.raises(ValueError, match=message):
        load_image(path)
    for k in range(3):
        data = load_image(path, signal=k)
        np.testing.assert_array_equal(data.image, STACK[k])
        assert data.pixel_size == pytest.approx(PIXEL_NM)
    both = np.stack([STACK, STACK + 1], axis=1)
    tifffile.imwrite(path, both, metadata={"axes": "TCYX", "unit": "nm"}, **options)
    data = load_image(path, signal="channel 1")
    np.testing.assert_array_equal(data.image, STACK + 1)


def test_channels_of_ome_have_names(tmp_path):
    path = tmp_path / "channels.ome.tif"
    metadata = {"axes": "CYX", "Channel": {"Name": ["HAADF", "BF", "DF4"]}}
    tifffile.imwrite(path, STACK, metadata=metadata)
    with pytest.raises(ValueError, match=r"'HAADF', 'BF', 'DF4'\. Choose one with"):
        load_image(path)
    np.testing.assert_array_equal(load_image(path, signal="BF").image, STACK[1])
