"""Sites go to files and come back with nothing lost."""

import json
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest

import sklearn_ferroic
from sklearn_ferroic import AngleAwareScaler, AtomLocator, AtomSites
from sklearn_ferroic._utils.hdf5_safety import sealed


@pytest.fixture
def sites():
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(40, 50)), rng.normal(size=(30, 30)).astype(np.float32)]
    n = 6
    return AtomSites(
        images,
        rng.uniform(0, 29, (n, 2)),
        frame=[0, 0, 0, 1, 1, 0],
        sublattice=[0, 1, 0, 1, 0, 1],
        pixel_size=[0.0173, None],
        amplitude=rng.normal(size=n),
        sigma=rng.normal(size=n) / 3,
        background=[1, np.nan, 3, -0.0, 1e-300, np.inf],
        ellipticity=1 + rng.random(n),
        ellipse_rotation=rng.normal(size=n),
        position_std=rng.random((n, 2)),
        distortion_std=rng.random((n, 2)),
        converged=[True, False, True, True, False, True],
        polarization=np.where(rng.random((n, 1)) < 0.5, np.nan, rng.random((n, 2))),
        lattice_position=rng.random((n, 2)),
        lattice_vectors=rng.normal(size=(n, 2, 2)),
    )


# HDF5 ---------------------------------------------------------------------------------


def test_hdf5_round_trip_loses_nothing(sites, tmp_path):
    path = tmp_path / "sites.h5"
    sites.to_hdf5(path)
    again = AtomSites.from_hdf5(path)
    assert again == sites
    for name, value in vars(sites).items():
        if isinstance(value, np.ndarray):
            other = getattr(again, name)
            np.testing.assert_array_equal(other, value, strict=True)
            np.testing.assert_array_equal(np.signbit(other * 1.0), np.signbit(value))
    for image, other in zip(sites.images, again.images, strict=True):
        np.testing.assert_array_equal(other, image, strict=True)
        assert not other.flags.writeable
    assert again.pixel_size == (0.0173, None)
    assert again[2:4] == sites[2:4]
    assert pickle.loads(pickle.dumps(again)) == sites
    assert list(tmp_path.iterdir()) == [path]


def test_hdf5_round_trip_of_slices_and_none(sites, tmp_path):
    for part in (sites[[4, 0]], sites[:0], AtomSites(np.eye(3), [[1, 1]])):
        part.to_hdf5(tmp_path / "part.h5")
        assert AtomSites.from_hdf5(tmp_path / "part.h5") == part


def test_hdf5_round_trip_of_located_sites(ferroic_image, tmp_path):
    locator = AtomLocator()
    sites = locator.fit_transform(ferroic_image)
    sites.to_hdf5(tmp_path / "sites.h5", parameters=locator)
    again, extras = AtomSites.from_hdf5(tmp_path / "sites.h5", return_extras=True)
    assert again == sites
    assert extras.parameters == {"estimator": "AtomLocator"} | locator.get_params()


def test_features_and_labels_come_back(sites, tmp_path):
    path = tmp_path / "sites.h5"
    table = pd.DataFrame(
        {
            "angle": np.linspace(-3, 3, 6).astype(np.float32),
            "1/f": [1.5, np.nan, 0, 1, 2, 3],
            "certain": [True, False] * 3,
            "material": ["BiFeO3", "å", "", "x", "y", "z"],
        }
    )
    parameters = {"seed": np.int64(3), "window": (3, 4), "who": print, "p": np.eye(2)}
    sites.to_hdf5(
        path, features=table, labels=[0, 1, -1, 0, 1, 2], parameters=parameters
    )
    again, extras = AtomSites.from_hdf5(path, return_extras=True)
    assert again == sites
    assert list(extras.features) == list(table)
    for name in table:
        expected = table[name].to_numpy()
        np.testing.assert_array_equal(extras.features[name], expected)
        if name != "material":
            assert extras.features[name].dtype == expected.dtype
    np.testing.assert_array_equal(extras.labels, [0, 1, -1, 0, 1, 2])
    assert extras.package_version == sklearn_ferroic.__version__
    assert extras.parameters == {
        "seed": 3,
        "window": [3, 4],
        "who": repr(print),
        "p": [[1, 0], [0, 1]],
    }
    sites.to_hdf5(path, features=np.arange(12.0).reshape(6, 2), labels=list("abcabc"))
    _, extras = AtomSites.from_hdf5(path, return_extras=True)
    np.testing.assert_array_equal(extras.features["feature1"], np.arange(1, 12, 2))
    assert list(extras.labels) == list("abcabc")
    sites.to_hdf5(path)
    _, extras = AtomSites.from_hdf5(path, return_extras=True)
    assert (extras.features, extras.labels, extras.parameters) == ({}, None, {})


def test_hdf5_can_be_read_by_others(sites, tmp_path):
    sites.to_hdf5(tmp_path / "sites.h5", features={"angle": np.zeros(6)})
    with h5py.File(tmp_path / "sites.h5") as file:
        assert file.attrs["package"] == "sklearn_ferroic"
        assert "(row, col)" in file.attrs["conventions"]
        assert file["images/0"].attrs["pixel_size_nm"] == 0.0173
        assert "pixel_size_nm" not in file["images/1"].attrs
        np.testing.assert_array_equal(file["images/1"][()], sites.images[1])
        assert file["sites/positions"].attrs["unit"] == "px"
        assert file["sites/ellipse_rotation"].attrs["unit"] == "rad"
        assert file["features/angle"].attrs["unit"] == "rad"


def test_hdf5_without_images(sites, tmp_path):
    path = tmp_path / "sites.h5"
    sites.to_hdf5(path)
    whole = path.stat().st_size
    sites.to_hdf5(path, images=False)
    assert path.stat().st_size < whole - 0.8 * sum(i.nbytes for i in sites.images)
    assert AtomSites.from_hdf5(path, images=sites.images) == sites
    assert (
        AtomSites.from_hdf5(path, images=[np.array(i) for i in sites.images]) == sites
    )
    with pytest.raises(ValueError, match=r"without images.*\(40, 50\), \(30, 30\)"):
        AtomSites.from_hdf5(path)
    with pytest.raises(ValueError, match=r"in 2 image\(s\), got 1"):
        AtomSites.from_hdf5(path, images=sites.images[0])
    with pytest.raises(ValueError, match=r"Image 0 of shape \(30, 30\) is not that"):
        AtomSites.from_hdf5(path, images=sites.images[::-1])
    other = sites.images[1] + 1
    with pytest.raises(ValueError, match="Image 1 of shape"):
        AtomSites.from_hdf5(path, images=[sites.images[0], other])
    sites.to_hdf5(path)
    with pytest.raises(ValueError, match="contains its images; leave images= out"):
        AtomSites.from_hdf5(path, images=sites.images)


def test_what_cannot_be_written_leaves_the_old_file(sites, tmp_path, monkeypatch):
    path = tmp_path / "sites.h5"
    sites.to_hdf5(path)
    before = path.read_bytes()
    with pytest.raises(ValueError):
        sites.to_hdf5(path, labels=[1, 2])

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(OSError, match="disk full"):
        sites[:2].to_hdf5(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_missing_columns_of_an_older_version_are_unknown(sites, tmp_path):
    sites.to_hdf5(tmp_path / "sites.h5")
    with h5py.File(tmp_path / "sites.h5", "a") as file:
        del file["sites/ellipticity"]
        file["sites/of_a_later_version"] = np.zeros(6)
        # version 1.0 had no digest
        file.attrs["format_version"] = "1.0"
        del file.attrs["sha256"]
    path = tmp_path / "sites.h5"
    path.write_bytes(sealed(path.read_bytes()))
    again = AtomSites.from_hdf5(tmp_path / "sites.h5")
    assert np.isnan(again.ellipticity).all()
    np.testing.assert_array_equal(again.sigma, sites.sigma)


@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.95])
def test_truncated_hdf5(sites, tmp_path, share):
    path = tmp_path / "sites.h5"
    sites.to_hdf5(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"sites\.h5' could not be read as AtomSites"):
        AtomSites.from_hdf5(path)


def test_foreign_files(sites, tmp_path):
    path = tmp_path / "sites.h5"
    with pytest.raises(FileNotFoundError, match=r"no file .*sites\.h5"):
        AtomSites.from_hdf5(path)
    path.write_text("row,col\n1,2\n")
    with pytest.raises(ValueError, match="could not be read as AtomSites"):
        AtomSites.from_hdf5(path)
    with h5py.File(path, "w") as file:
        file["image"] = np.eye(9)
    with pytest.raises(ValueError, match=r"without AtomSites.*load_image"):
        AtomSites.from_hdf5(path)
    sites.to_hdf5(path)
    with h5py.File(path, "a") as file:
        file.attrs["format_version"] = "2.0"
    path.write_bytes(sealed(path.read_bytes()))
    with pytest.raises(ValueError, match=r"format 2\.0, and this version.* 1\.2"):
        AtomSites.from_hdf5(path)
    sites.to_hdf5(path)
    with h5py.File(path, "a") as file:
        del file["sites/positions"]
    with pytest.raises(
        ValueError, match=r"could not be read as AtomSites.*digests differ"
    ):
        AtomSites.from_hdf5(path)
    sites.to_hdf5(path)
    with h5py.File(path, "a") as file:
        del file["sites/sigma"]
        file["sites/sigma"] = np.zeros(3)
    with pytest.raises(ValueError, match="digests differ"):
        AtomSites.from_hdf5(path)


# CSV ----------------------------------------------------------------------------------


def read_header(path):
    lines = [
        line[2:] for line in path.read_text("utf-8").splitlines() if line[0] == "#"
    ]
    assert len(lines) == 3
    assert sum(map(len, lines)) < 200
    sidecar = path.with_name(path.name + ".json")
    return lines[0], json.loads(sidecar.read_text("utf-8"))


def read_table(path):
    """Read numbers to the last bit, as pandas does of itself since version 3."""
    is_old = int(pd.__version__.split(".")[0]) < 3
    options = {"float_precision": "round_trip"} if is_old else {}
    return pd.read_csv(path, comment="#", **options)


def test_csv_is_the_table_with_units_and_provenance(sites, tmp_path):
    path = tmp_path / "sites.csv"
    scaler = AngleAwareScaler(n_fold=4)
    sites.to_csv(
        path,
        features={"angle": np.linspace(-3, 3, 6)},
        labels=list("aabbcc"),
        parameters=scaler,
    )
    table = read_table(path)
    expected = sites.to_frame()
    expected["angle"], expected["label"] = np.linspace(-3, 3, 6), list("aabbcc")
    pd.testing.assert_frame_equal(table, expected, check_exact=True, check_dtype=False)
    title, header = read_header(path)
    assert title == f"AtomSites, sklearn_ferroic {sklearn_ferroic.__version__}"
    assert header["pixel_size_nm"] == [0.0173, None]
    assert header["image_shapes"] == [[40, 50], [30, 30]]
    assert header["parameters"]["n_fold"] == 4
    units = header["units"]
    assert units["row"] == "px"
    assert units["polarization_row_pm"] == "pm"
    assert units["unit_cell_area"] == "px^2"
    assert units["angle"] == units["lattice_rotation"] == "rad"
    dimensionless = {"frame", "sublattice", "ellipticity", "converged", "label"}
    dimensionless |= {"probability", "significance", "flags", "motif_column"}
    assert set(units) == set(table) - dimensionless


def test_csv_keeps_the_sign_of_a_comment_in_text(sites, tmp_path):
    labels, features = ["#1", "#2", "a#", "b", "c", "d"], {"Fe#1": np.arange(6.0)}
    sites.to_csv(tmp_path / "sites.csv", features=features, labels=labels)
    table = read_table(tmp_path / "sites.csv")
    assert list(table.label) == labels
    np.testing.assert_array_equal(table["Fe#1"], np.arange(6.0))
    np.testing.assert_array_equal(table.row, sites.positions[:, 0])


def test_csv_refuses_two_columns_of_labels(sites, tmp_path):
    with pytest.raises(ValueError, match='features has a column "label"'):
        sites.to_csv(
            tmp_path / "sites.csv", features={"label": np.arange(6)}, labels=[0] * 6
        )


def test_csv_without_anything_beside(sites, tmp_path):
    sites.to_csv(str(tmp_path / "sites.csv"))
    table = read_table(tmp_path / "sites.csv")
    assert list(table) == list(sites.to_frame())
    assert read_header(tmp_path / "sites.csv")[1]["parameters"] == {}


# What goes beside ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"labels": [1, 2]},
            ValueError,
            r"column of labels .* \(6,\), got shape \(2,\)",
        ),
        ({"labels": np.zeros((6, 1))}, ValueError, r"got shape \(6, 1\)"),
        ({"labels": [{}] * 6}, ValueError, "numbers, truth values or text, got dtype"),
        (
            {"features": np.zeros(6)},
            ValueError,
            r"a table of shape .* got shape \(6,\)",
        ),
        ({"features": np.zeros((5, 2))}, ValueError, r"'feature0' .* got shape \(5,\)"),
        ({"features": {"a": [None] * 6}}, ValueError, "'a' must contain numbers"),
        (
            {"features": pd.DataFrame(np.zeros((6, 2)), columns=["a", "a"])},
            ValueError,
            "names that differ",
        ),
        ({"parameters": 3}, TypeError, "an estimator or a mapping, got int"),
    ],
)
@pytest.mark.parametrize("method", ["to_csv", "to_hdf5"])
def test_refusals(sites, tmp_path, method, arguments, error, message):
    with pytest.raises(error, match=message):
        getattr(sites, method)(tmp_path / "sites", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_csv_has_no_column_twice(sites, tmp_path):
    with pytest.raises(
        ValueError, match=r"names that the sites have.*\['row', 'sigma'\]"
    ):
        sites.to_csv(
            tmp_path / "sites.csv", features={"sigma": np.zeros(6), "row": np.zeros(6)}
        )


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("pandas", lambda sites, path: sites.to_csv(path)),
        ("h5py", lambda sites, path: sites.to_hdf5(path)),
        ("h5py", lambda sites, path: AtomSites.from_hdf5(path)),
    ],
)
def test_missing_extra_is_named(sites, tmp_path, monkeypatch, module, use):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf'{module} .*"sklearn-ferroic\[io\]"'):
        use(sites, tmp_path / "sites")


def test_csv_of_images_of_different_shapes(tmp_path):
    images = [np.zeros((40, 50)), np.zeros((30, 60))]
    sites = AtomSites(images, [[1, 2], [3, 55]], frame=[0, 1])
    sites.to_csv(tmp_path / "sites.csv")
    for given in (None, images):
        read = AtomSites.from_csv(tmp_path / "sites.csv", images=given)
        assert [image.shape for image in read.images] == [(40, 50), (30, 60)]
        np.testing.assert_array_equal(read.positions, sites.positions)
