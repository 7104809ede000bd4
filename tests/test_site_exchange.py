"""Sites from text tables and from atomap."""

import json

import numpy as np
import pandas as pd
import pytest

from sklearn_ferroic import AtomLocator, AtomSites, PolarizationVector
from sklearn_ferroic.feature_extraction import measure_lattice


def test_located_sites_come_back_from_a_table(ferroic_image, tmp_path):
    locator = AtomLocator()
    sites = locator.fit_transform(ferroic_image)
    path = tmp_path / "sites.csv"
    angle = np.linspace(-3, 3, len(sites))
    sites.to_csv(path, features={"angle": angle}, parameters=locator)
    again, table = AtomSites.from_csv(path, images=sites.images, return_table=True)
    for name in (
        "positions",
        "sublattice",
        "frame",
        "position_std",
        "polarization",
        "lattice_vectors",
        "amplitude",
        "flags",
        "converged",
        "significance",
    ):
        np.testing.assert_array_equal(getattr(again, name), getattr(sites, name))
    assert again.pixel_size == sites.pixel_size
    np.testing.assert_array_equal(table.angle, angle)
    blank = AtomSites.from_csv(path)
    assert blank.images[0].shape == sites.images[0].shape
    assert not blank.images[0].any()


def random_values(field, n_sites, rng):
    """Return random values of a field, some of them missing."""
    shape, kind = (n_sites, *field.shape), np.dtype(field.dtype).kind
    if field.name == "positions":
        return rng.uniform(0, 39, shape)
    if kind == "f":
        return np.where(rng.random(shape) < 0.2, np.nan, rng.normal(size=shape))
    if kind == "b":
        return rng.random(shape) < 0.5
    return rng.integers(0, 2, shape)


def test_every_field_in_the_table_comes_back(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "sites.csv"
    images = [np.zeros((40, 40)), np.ones((40, 40))]
    values = {
        field.name: random_values(field, 20, rng)
        for field in AtomSites.fields
        if field.columns
    }
    # Also bits that have no name.
    values["flags"] = rng.integers(0, 2**16, 20)
    sites = AtomSites(images, **values, pixel_size=[0.02, None])
    sites.to_csv(path)
    again = AtomSites.from_csv(path, images=images)
    assert again == sites
    for name, expected in values.items():
        np.testing.assert_array_equal(getattr(again, name), expected, err_msg=name)
    # The file has the units in which the values are read.
    units = json.loads((tmp_path / "sites.csv.json").read_text("utf-8"))["units"]
    for field in AtomSites.fields:
        assert [units.get(name, "") for name in field.columns] == (
            [field.unit] * len(field.columns)
        )
    unknown = AtomSites(images[0], values["positions"])
    unknown.to_csv(path)
    assert AtomSites.from_csv(path, images=images[0]) == unknown


def test_empty_cells_are_missing_values(tmp_path):
    path = tmp_path / "sites.csv"
    path.write_text(
        "row,col,motif_column,converged,flags,sigma\n"
        "1,2,,False,,\n3,4,2,,merged,1.5\n5,6,0,True,ok,2\n"
    )
    sites = AtomSites.from_csv(path)
    assert sites.motif_column.tolist() == [-1, 2, 0]
    assert sites.converged.tolist() == [False, True, True]
    assert sites.has_flag("merged").tolist() == [False, True, False]
    np.testing.assert_array_equal(sites.sigma, [np.nan, 1.5, 2])


def test_table_has_length_and_angle_of_the_displacement(tmp_path):
    sites = AtomSites(
        np.zeros((9, 9)), [[1, 1], [2, 2]], polarization=[[3, -4], [np.nan, np.nan]]
    )
    table = sites.to_frame()
    assert table.polarization_magnitude[0] == 5
    assert table.polarization_angle_deg[0] == pytest.approx(143.13, abs=0.01)
    assert np.isnan(table.polarization_angle_deg[1])


def test_parameters_are_in_the_sidecar(ferroic_sites, tmp_path):
    ferroic_sites.to_csv(tmp_path / "a.b.csv", parameters=AtomLocator(threshold=0.2))
    about = json.loads((tmp_path / "a.b.csv.json").read_text("utf-8"))
    assert about["parameters"]["threshold"] == 0.2
    assert about["units"]["polarization_angle_deg"] == "deg"
    assert about["pixel_size_nm"] == [0.02]


def test_table_of_another_program(tmp_path):
    path = tmp_path / "peaks.txt"
    path.write_text("x,y,kind\n10,20,0\n30,20,0\n10,40,0\n30,40,0\n21,30,1\n")
    with pytest.raises(ValueError, match="needs the columns row and col"):
        AtomSites.from_csv(path)
    sites = AtomSites.from_csv(
        path,
        columns={"row": "y", "col": "x", "sublattice": "kind"},
        pixel_size=0.02,
    )
    np.testing.assert_array_equal(sites.positions[0], [20, 10])
    assert sites.images[0].shape == (41, 31)
    vector = PolarizationVector(unit="pm").fit_transform(measure_lattice(sites))
    np.testing.assert_allclose(vector[4], [0, 20])


def test_bad_tables_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        AtomSites.from_csv(tmp_path / "none.csv")
    path = tmp_path / "sites.csv"
    path.write_text("row,col\n1,2\n")
    with pytest.raises(ValueError, match=r"has no columns \['y'\]"):
        AtomSites.from_csv(path, columns={"row": "y"})
    path.write_text("row,col,flags\n1,2,strange\n")
    with pytest.raises(ValueError, match=r"no flags \['strange'\]"):
        AtomSites.from_csv(path)
    path.write_text("row,col,converged\n1,2,perhaps\n")
    with pytest.raises(ValueError, match="converged must contain truth values"):
        AtomSites.from_csv(path)
    path.write_text("row,col,motif_column\n1,2,0.5\n")
    with pytest.raises(ValueError, match="motif_column must contain whole numbers"):
        AtomSites.from_csv(path)
    path.write_text("row,col\n1,2\n")
    (tmp_path / "sites.csv.json").write_text("{")
    with pytest.raises(ValueError, match="is not a JSON file"):
        AtomSites.from_csv(path)


class Atom:
    """What atomap's Atom_Position has."""

    def __init__(self, x, y, sigma_x, sigma_y, rotation):
        self.pixel_x, self.pixel_y = x, y
        self.sigma_x, self.sigma_y, self.rotation = sigma_x, sigma_y, rotation
        self.amplitude_gaussian = 7.0


class Sublattice:
    """What atomap's Sublattice has."""

    def __init__(self, atoms):
        self.atom_list = atoms
        self.image = np.arange(2500.0).reshape(50, 50)
        self.pixel_size, self.units = 0.2, "Å"


def test_sublattices_of_atomap():
    first = Sublattice([Atom(10, 20, 3.0, 2.0, 0.5), Atom(30, 20, 2.0, 3.0, 0.0)])
    second = Sublattice([Atom(20, 30, 2.0, 2.0, 4.0)])
    sites = AtomSites.from_atomap([first, second])
    np.testing.assert_array_equal(sites.positions, [[20, 10], [20, 30], [30, 20]])
    assert sites.sublattice.tolist() == [0, 0, 1]
    assert sites.pixel_size == (pytest.approx(0.02),)
    np.testing.assert_allclose(sites.ellipticity, [1.5, 1.5, 1])
    np.testing.assert_allclose(sites.ellipse_rotation[:2], [0.5, -np.pi / 2])
    np.testing.assert_allclose(sites.sigma, [6**0.5, 6**0.5, 2])
    assert len(AtomSites.from_atomap(first)) == 2
    with pytest.raises(TypeError, match="atomap"):
        AtomSites.from_atomap(pd.DataFrame())


@pytest.mark.filterwarnings("ignore")
def test_real_atomap_lattice():
    atomap = pytest.importorskip("atomap.api")
    lattice = atomap.dummy_data.get_simple_atom_lattice_two_sublattices()
    sites = AtomSites.from_atomap(lattice)
    assert set(sites.sublattice) == {0, 1}
    first = lattice.sublattice_list[0]
    own = sites[sites.sublattice == 0].positions
    np.testing.assert_allclose(own[:, 1], first.x_position)
    np.testing.assert_allclose(own[:, 0], first.y_position)
    assert np.isfinite(measure_lattice(sites).lattice_vectors).any()
