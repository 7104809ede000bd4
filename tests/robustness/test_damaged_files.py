"""Flipped bits, and files that point to others: refused, or read as written."""

import os
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest
import tifffile

from sklearn_ferroic import AtomSites
from sklearn_ferroic._utils.hdf5_safety import sealed
from sklearn_ferroic.datasets import _child_process, load_image
from tests.datasets._library_files import DATA
from tests.datasets._microscope_files import write_velox


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(0)
    n_sites = 30
    return AtomSites(
        rng.normal(100, 10, (48, 48)),
        rng.uniform(0, 47, (n_sites, 2)),
        pixel_size=0.02,
        sigma=rng.normal(2, 0.1, n_sites),
        polarization=rng.normal(size=(n_sites, 2)),
    )


@pytest.mark.parametrize("images", [True, False])
def test_flipped_bits_never_change_what_is_read(sites, tmp_path, images):
    path, copy = tmp_path / "sites.h5", tmp_path / "copy.h5"
    labels = np.array(list("abcde") * 6)
    sites.to_hdf5(path, images=images, labels=labels, features={"x": sites.sigma})
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    n_refused = 0
    for place in rng.integers(0, 8 * len(content), 2000):
        flipped = content.copy()
        flipped[place // 8] ^= 1 << (place % 8)
        copy.write_bytes(flipped)
        try:
            AtomSites.from_hdf5(copy, images=None if images else sites.images)
        except ValueError as error:
            assert "copy.h5" in str(error)
            n_refused += 1
    assert n_refused == 2000


def test_changed_values_are_refused(sites, tmp_path):
    path = tmp_path / "sites.h5"
    changes = {
        "a column": lambda file: file["sites/sigma"].__setitem__(0, 3.0),
        "a pixel": lambda file: file["images/0"].__setitem__((3, 3), 7.0),
        "the pixel size": lambda file: file["images/0"].attrs.modify(
            "pixel_size_nm", 0.03
        ),
        "the parameters": lambda file: file.attrs.modify("parameters", '{"a": 1}'),
        "a label": lambda file: file["labels"].__setitem__(0, 9),
    }
    for what, change in changes.items():
        sites.to_hdf5(path, labels=np.arange(30))
        with h5py.File(path, "a") as file:
            change(file)
        for _ in range(2):
            with pytest.raises(ValueError, match="digests differ"):
                AtomSites.from_hdf5(path)
                pytest.fail(what)
            # the checksum inside the file finds it as well
            path.write_bytes(sealed(path.read_bytes()))


@pytest.fixture
def secret(tmp_path):
    """A file that belongs to the user, whose content nobody should get at."""
    path = tmp_path / "secret.txt"
    path.write_bytes(b"password" * 1000)
    return path


def _external_storage(path, secret, name):
    with h5py.File(path, "a") as file:
        file.create_dataset(
            name, (40, 100), np.uint8, external=[(str(secret), 0, 4000)]
        )


def _virtual_dataset(path, secret, name):
    with h5py.File(secret.with_suffix(".h5"), "w") as file:
        file["secret"] = np.ones((40, 100), np.uint8)
    layout = h5py.VirtualLayout((40, 100), np.uint8)
    layout[:] = h5py.VirtualSource(secret.with_suffix(".h5"), "secret", (40, 100))
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset(name, layout)


def _external_link(path, secret, name):
    with h5py.File(secret.with_suffix(".h5"), "w") as file:
        file["secret"] = np.ones((40, 100), np.uint8)
    with h5py.File(path, "a") as file:
        file[name] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "secret")


ATTACKS = [_external_storage, _virtual_dataset, _external_link]


@pytest.mark.parametrize("attack", ATTACKS)
def test_hdf5_images_do_not_read_other_files(tmp_path, secret, attack):
    path = tmp_path / "image.h5"
    attack(path, secret, "image")
    for options in ({}, {"dataset": "image"}):
        with pytest.raises(ValueError, match=r"image\.h5.*another file"):
            load_image(path, **options)


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_scale_beside_an_image_is_no_link(tmp_path, secret, attack):
    path = tmp_path / "image.h5"
    with h5py.File(path, "w") as file:
        file["group/image"] = np.ones((20, 20))
    attack(path, secret, "group/Scale")
    with pytest.raises(ValueError, match="another file"):
        load_image(path)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("name", ["image.hspy", "image.emd"])
def test_microscope_formats_do_not_read_other_files(tmp_path, secret, attack, name):
    path = tmp_path / name
    with h5py.File(path, "w") as file:
        file.attrs["file_format"] = "HyperSpy"
        file.attrs["file_format_version"] = "3.1"
        file.create_group("Experiments/a/metadata/General")
        file.create_group("Experiments/a/original_metadata")
    attack(path, secret, "Experiments/a/data")
    with pytest.raises(ValueError, match="another file"):
        load_image(path)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    ("kept", "place"),
    [
        ("ncempy.emd", "data/HAADF/dim1"),
        ("emdfile.h5", "HAADF_root/HAADF/dim0"),
        ("nsid.hf5", "Measurement_000/Channel_000/HAADF/HAADF"),
        ("nion.h5", "data"),
        ("nion.nhdf", "data/0"),
    ],
)
def test_containers_do_not_read_other_files(tmp_path, secret, attack, kept, place):
    """Not for the image, and not for its axes, which are read before."""
    path = tmp_path / kept
    path.write_bytes((DATA / kept).read_bytes())
    with h5py.File(path, "a") as file:
        del file[place]
    attack(path, secret, place)
    with pytest.raises(ValueError, match="another file"):
        load_image(path)


@pytest.mark.parametrize("attack", ATTACKS)
def test_velox_files_do_not_read_other_files(tmp_path, secret, attack):
    path = tmp_path / "a.emd"
    write_velox(path, {"a1": (np.ones((20, 30)), (2e-11, 2e-11), "HAADF")})
    with h5py.File(path, "a") as file:
        file["Data/SpectrumImage/b/Data"] = np.zeros(3)
        del file["Data/Image/a1/Data"]
    attack(path, secret, "Data/Image/a1/Data")
    with pytest.raises(ValueError, match="another file"):
        load_image(path)


@pytest.mark.parametrize("attack", ATTACKS)
def test_sites_do_not_read_other_files(sites, tmp_path, secret, attack):
    path = tmp_path / "sites.h5"
    sites.to_hdf5(path)
    with h5py.File(path, "a") as file:
        del file["images/0"]
    attack(path, secret, "images/0")
    path.write_bytes(sealed(path.read_bytes()))
    with pytest.raises(ValueError, match="another file"):
        AtomSites.from_hdf5(path)
    assert os.path.exists(secret)


def _bomb(path, n_zeros):
    """Write an archive of some hundred kilobytes that unpacks to many zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("image.npy", "w", force_zip64=True) as file:
            head = {"descr": "|u1", "fortran_order": False, "shape": (n_zeros, 1000)}
            np.lib.format.write_array_header_1_0(file, head)
            for _ in range(n_zeros // 1000):
                file.write(bytes(10**6))


def test_archives_are_not_unpacked_beyond_the_limit(tmp_path):
    path = tmp_path / "image.npz"
    _bomb(path, 200_000)
    assert path.stat().st_size < 10**6
    tracemalloc.start()
    with pytest.raises(ValueError, match="200,000,000 bytes, more than max_bytes"):
        load_image(path, max_bytes=10**8)
    assert tracemalloc.get_traced_memory()[1] < 2 * 10**7
    tracemalloc.stop()


def _nion_archive(path, write):
    """Write an archive of Nion Swift whose array is written by a function."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", '{"spatial_calibrations": [{}, {}]}')
        with archive.open("data.npy", "w", force_zip64=True) as file:
            write(file)


def _write_zeros(file):
    head = {"descr": "|u1", "fortran_order": False, "shape": (200_000, 1000)}
    np.lib.format.write_array_header_1_0(file, head)
    for _ in range(200):
        file.write(bytes(10**6))


def _promise_zeros(file):
    head = {"descr": "|u1", "fortran_order": False, "shape": (200_000, 1000)}
    np.lib.format.write_array_header_1_0(file, head)


def _write_objects(file):
    np.lib.format.write_array(file, np.array([{}] * 3, dtype=object))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_write_zeros, "more than max_bytes"),
        (_promise_zeros, "200,000,000 bytes, more than max_bytes"),
        (_write_objects, "contains Python objects"),
    ],
)
@pytest.mark.parametrize("suffix", ["ndata", "ndata1"])
def test_archives_of_nion_swift(tmp_path, suffix, write, message):
    path = tmp_path / f"image.{suffix}"
    _nion_archive(path, write)
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        load_image(path, max_bytes=10**8)
    assert tracemalloc.get_traced_memory()[1] < 2 * 10**7
    tracemalloc.stop()


def test_an_archive_reads_only_the_array_that_is_asked_for(tmp_path):
    path = tmp_path / "image.npz"
    _bomb(path, 200_000)
    with zipfile.ZipFile(path, "a") as archive, archive.open("b.npy", "w") as file:
        np.save(file, np.eye(20))
    assert load_image(path, dataset="b", max_bytes=10**6).image.shape == (20, 20)


def test_declared_sizes_of_other_formats(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((2000, 2000), np.uint8), compression="zlib"
    )
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            "image", (2000, 2000), "u1", compression="gzip", chunks=True
        )
    # a head that promises more than the file has
    with open(tmp_path / "a.npy", "wb") as file:
        head = {"descr": "|u1", "fortran_order": False, "shape": (2000, 2000)}
        np.lib.format.write_array_header_1_0(file, head)
    for name in ("a.tif", "a.h5"):
        with pytest.raises(ValueError, match="4,000,000 bytes, more than max_bytes"):
            load_image(tmp_path / name, max_bytes=10**6)
        assert load_image(tmp_path / name, max_bytes=10**7).image.shape == (2000, 2000)
    with pytest.raises(ValueError, match="could not be read as a NumPy array"):
        load_image(tmp_path / "a.npy")


def test_ome_tiff_does_not_read_other_files(tmp_path, secret):
    other = tmp_path / "other.tif"
    tifffile.imwrite(other, np.full((32, 32), 77, np.uint8), ome=True)
    uuid = "urn:uuid:00000000-0000-0000-0000-000000000001"
    ome = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org'
        '/Schemas/OME/2016-06" UUID="urn:uuid:00000000-0000-0000-0000-000000000000">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
        'SizeX="32" SizeY="32" SizeC="1" SizeZ="1" SizeT="1"><Channel ID="Channel:0:0" '
        'SamplesPerPixel="1"/><TiffData IFD="0" FirstT="0" FirstZ="0" FirstC="0" '
        f'PlaneCount="1"><UUID FileName="other.tif">{uuid}</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(path, np.ones((32, 32), np.uint8), description=ome, metadata=None)
    try:
        image = load_image(path).image
    except ValueError:
        return
    assert not (image == 77).any()


def test_a_process_of_its_own_gives_the_same(tmp_path):
    path = tmp_path / "image.h5"
    image = np.random.default_rng(0).random((30, 40), dtype=np.float32)
    with h5py.File(path, "w") as file:
        file["image"] = image
        file["image"].attrs["time"] = 3
    ours, apart = load_image(path), load_image(path, time_limit=120)
    np.testing.assert_array_equal(apart.image, ours.image)
    assert apart.image.dtype == np.float32
    assert apart.description == ours.description
    assert apart.metadata["attributes"] == {"time": 3}
    with pytest.raises(ValueError, match="no image called 'b'"):
        load_image(path, dataset="b", time_limit=120)


def test_a_file_that_hangs_is_given_up(tmp_path):
    with pytest.raises(TimeoutError, match=r"image\.npy.*time_limit=0\.01 s"):
        np.save(tmp_path / "image.npy", np.eye(30))
        load_image(tmp_path / "image.npy", time_limit=0.01)


def test_a_crash_of_the_reader_is_an_error(tmp_path, monkeypatch):
    np.save(tmp_path / "image.npy", np.eye(30))
    monkeypatch.setattr(_child_process, "_START", "import os; os.abort()")
    with pytest.raises(ValueError, match="ended with code"):
        load_image(tmp_path / "image.npy", time_limit=120)
