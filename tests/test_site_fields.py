"""A per-site value is one row of the schema; everything else follows from it."""

import inspect
import json
import pickle

import h5py
import joblib
import numpy as np
import pandas as pd
import pytest

from sklearn_ferroic import AtomSites
from sklearn_ferroic.sites._fields import DerivedColumn, SiteField
from sklearn_ferroic.sites._shared_images import digest

TILT = SiteField(
    "tilt",
    "Tilt of the octahedron around the site, rad.",
    unit="rad",
    shape=(2,),
    columns=("tilt_row", "tilt_col"),
    derived=(
        DerivedColumn(
            "tilt_row_deg", "deg", lambda sites: np.rad2deg(sites.tilt[:, 0])
        ),
    ),
)


class TiltedSites(AtomSites):
    fields = (*AtomSites.fields, TILT)


@pytest.fixture
def tilt():
    return np.random.default_rng(0).normal(size=(3, 2))


@pytest.fixture
def sites(tilt):
    return TiltedSites(
        np.zeros((9, 9)), [[2, 2], [2, 6], [6, 2]], tilt=tilt, pixel_size=0.02
    )


def test_constructor_checks_the_new_field(sites, tilt):
    np.testing.assert_array_equal(sites.tilt, tilt)
    unknown = TiltedSites(sites.images, sites.positions)
    assert unknown.tilt.shape == (3, 2)
    assert np.isnan(unknown.tilt).all()
    with pytest.raises(ValueError, match=r"tilt must have shape \(3, 2\)"):
        TiltedSites(sites.images, sites.positions, tilt=[1, 2, 3])
    with pytest.raises(TypeError, match="no field 'tilt'"):
        AtomSites(sites.images, sites.positions, tilt=tilt)


def test_new_field_is_sliced_joined_and_compared(sites, tilt):
    np.testing.assert_array_equal(sites[[2, 0]].tilt, tilt[[2, 0]])
    joined = TiltedSites.concatenate([sites[:1], sites[1:]])
    assert joined == sites
    np.testing.assert_array_equal(joined.tilt, tilt)
    other = TiltedSites(sites.images, sites.positions, tilt=tilt + 1, pixel_size=0.02)
    assert other != sites
    assert joblib.hash(other) != joblib.hash(sites)
    assert joblib.hash(joined) == joblib.hash(sites)


def test_new_field_survives_pickle_and_old_pickles_lack_it(sites):
    assert pickle.loads(pickle.dumps(sites)) == sites
    state = sites.__getstate__()
    del state["tilt"]
    old = object.__new__(TiltedSites)
    old.__setstate__(state)
    assert np.isnan(old.tilt).all()


def test_new_field_is_in_the_table_with_its_unit(sites, tilt, tmp_path):
    table = sites.to_frame()
    np.testing.assert_array_equal(table[["tilt_row", "tilt_col"]], tilt)
    sites.to_csv(tmp_path / "sites.csv")
    again = pd.read_csv(tmp_path / "sites.csv", comment="#")
    np.testing.assert_allclose(again["tilt_row_deg"], np.rad2deg(tilt[:, 0]))
    about = json.loads((tmp_path / "sites.csv.json").read_text(encoding="utf-8"))
    units = about["units"]
    assert units["tilt_row"] == "rad"
    assert units["tilt_row_deg"] == "deg"


def test_new_field_is_read_from_the_table(sites, tmp_path):
    path = tmp_path / "sites.csv"
    sites.to_csv(path)
    again = TiltedSites.from_csv(path, images=sites.images)
    assert again == sites
    with pytest.raises(ValueError, match=r"does not have|do not have"):
        AtomSites.from_csv(path, columns={"tilt_row": "tilt_col"})
    AtomSites(sites.images, sites.positions).to_csv(path)
    assert np.isnan(TiltedSites.from_csv(path).tilt).all()


def test_text_is_read_by_the_inverse_of_what_writes_it(sites, tmp_path):
    def make(**options):
        class Phases(AtomSites):
            fields = (
                *AtomSites.fields,
                SiteField(
                    "phase",
                    "Phase.",
                    dtype=np.intp,
                    missing=-1,
                    to_text=name,
                    **options,
                ),
            )

        return Phases(sites.images, sites.positions, phase=[0, 1, -1])

    names = np.array(["cubic", "tetragonal", ""], dtype=object)

    def name(phases):
        return names[phases]

    def number(texts):
        return np.array([{"cubic": 0, "tetragonal": 1, "": -1}[x] for x in texts])

    phases = make(from_text=number)
    phases.to_csv(tmp_path / "phases.csv")
    again = type(phases).from_csv(tmp_path / "phases.csv", images=sites.images)
    assert again == phases
    # Without the inverse, the values are unknown.
    again = type(make()).from_csv(tmp_path / "phases.csv", images=sites.images)
    assert again.phase.tolist() == [-1, -1, -1]


def test_new_field_is_in_the_file_and_old_files_lack_it(sites, tmp_path):
    path = tmp_path / "sites.h5"
    sites.to_hdf5(path)
    assert TiltedSites.from_hdf5(path) == sites
    with h5py.File(path) as file:
        assert file["sites/tilt"].attrs["unit"] == "rad"
    AtomSites(sites.images, sites.positions).to_hdf5(path)
    old = TiltedSites.from_hdf5(path)
    assert np.isnan(old.tilt).all()


def test_new_field_is_documented(sites):
    assert "tilt : array-like of shape (n_sites, 2), default=None" in (
        TiltedSites.__doc__
    )
    assert "Tilt of the octahedron" in TiltedSites.__doc__
    parameter = inspect.signature(TiltedSites).parameters["tilt"]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert "tilt" not in AtomSites.__doc__


def test_every_column_has_one_name_and_the_docstring_lists_it():
    columns = list(
        AtomSites(np.zeros((9, 9)), [[2, 2]], pixel_size=0.02).to_frame().columns
    )
    assert len(columns) == len(set(columns))
    for name in columns:
        assert f"``{name}``" in AtomSites.to_frame.__doc__


def test_a_field_needs_a_column_name_for_each_component():
    with pytest.raises(ValueError, match=r"2 component\(s\), but 1 column"):
        SiteField("tilt", "Tilt.", shape=(2,))


def test_files_of_format_1_can_be_read(tmp_path):
    # The layout that the first version wrote, with some of its fields.
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "sklearn_ferroic.AtomSites"
        file.attrs["format_version"] = "1.0"
        file.attrs["package_version"] = "0.1.0"
        file.attrs["parameters"] = "{}"
        item = file.create_dataset("images/0", data=np.eye(5, dtype=np.float32))
        item.attrs["shape"] = (5, 5)
        item.attrs["sha256"] = digest(np.eye(5, dtype=np.float32))
        item.attrs["pixel_size_nm"] = 0.02
        file["sites/frame"] = np.zeros(2, dtype=np.intp)
        file["sites/positions"] = np.array([[1.0, 1.0], [3.0, 3.0]])
        file["sites/sublattice"] = np.array([0, 1])
        file["sites/amplitude"] = np.array([2.0, 1.0])
        file.create_group("features")
    sites = AtomSites.from_hdf5(path)
    assert sites == AtomSites(
        np.eye(5),
        [[1, 1], [3, 3]],
        sublattice=[0, 1],
        amplitude=[2, 1],
        pixel_size=0.02,
    )
