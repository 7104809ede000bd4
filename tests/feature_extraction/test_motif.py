"""Motif: presets, tables, CIF files, refusals."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_ferroic import Motif, MotifAssigner, PolarizationVector
from sklearn_ferroic.feature_extraction import MotifColumn

PRESETS = [(name, anions) for name in Motif.preset_names for anions in (False, True)]


def neighbor_distances(motif, n=8):
    """Return the sorted distances of the nearest columns of each species."""
    geometry = motif.geometry()
    return {
        species: np.sort(np.linalg.norm(geometry.vector[number], axis=1))[:n]
        for number, species in enumerate(motif.species)
    }


@pytest.mark.parametrize(("name", "anions"), PRESETS)
def test_presets_are_equal_after_a_round_trip(name, anions):
    motif = Motif.from_preset(name, anions=anions)
    assert len(motif) == len(motif.columns) == len(motif.species)
    assert motif == eval(repr(motif), {"Motif": Motif, "MotifColumn": MotifColumn})
    assert motif == pickle.loads(pickle.dumps(motif))
    assert hash(motif) == hash(Motif.from_preset(name, anions=anions))
    assert clone(MotifAssigner(motif=motif)).motif == motif
    assert motif.species_labels.min() == 0


def test_perovskite_shells_of_both_axes():
    a = 0.39
    cube = Motif.from_preset("perovskite_001", anions=True)
    shells = cube.geometry().shell(cube.partner_mask())
    assert [len(target) for target, _, _ in shells[:2]] == [4, 4]
    assert np.linalg.norm(shells[1][2], axis=1) == pytest.approx(a / np.sqrt(2))
    diagonal = Motif.from_preset("perovskite_110")
    (_, _, vector), _ = diagonal.geometry().shell(diagonal.partner_mask())
    expected = a * np.array([0.5, 0.5, *4 * [np.sqrt(0.75)]])
    assert np.linalg.norm(vector, axis=1) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "species", "size"),
    [
        ("wurtzite_1120", "M", 3),
        ("zincblende_110", "X", 3),
        ("honeycomb", "M", 3),
        ("rock_salt_110", "M", 4),
        ("fluorite_001", "X", 4),
        ("tungsten_bronze_001", "A", 4),
        ("tungsten_bronze_001", "A'", 5),
    ],
)
def test_sizes_of_shells(name, species, size):
    motif = Motif.from_preset(name, anions=True)
    shells = motif.geometry().shell(motif.partner_mask())
    number = motif.species.index(species)
    assert len(shells[number][0]) == size


def test_tungsten_bronze_has_the_columns_of_its_space_group():
    motif = Motif.from_preset("tungsten_bronze_001")
    species = np.array(motif.species)
    counts = {name: int(np.count_nonzero(species == name)) for name in set(species)}
    assert counts == {"A": 2, "A'": 4, "B": 2, "B'": 8}
    # A quarter of a rotation maps the columns of P4bm onto themselves.
    turned = motif.fractions @ np.array([[0, 1], [-1, 0]])
    offset = turned[:, None] - motif.fractions[None]
    offset -= np.rint(offset)
    same = species[:, None] == species[None]
    distance = np.where(same, np.linalg.norm(offset, axis=2), 1)
    assert distance.min(axis=1).max() < 1e-9


def test_lengths_and_selection():
    motif = Motif.from_preset("perovskite_001", lengths=(0.4, 0.41), anions=True)
    assert motif.cell == pytest.approx(np.array([[0, 0.4], [0.41, 0]]))
    assert motif.positions()[1] == pytest.approx([0.205, 0.2])
    cations = motif.select(["A", "B"])
    assert cations.species == ("A", "B")
    assert dict(cations.partners) == {"A": "B", "B": "A"}
    assert motif.select("X").species == ("X", "X")
    with pytest.raises(ValueError, match=r"species \['A', 'B', 'X'\], not \['O'\]"):
        motif.select("O")


def test_refusals_name_what_came():
    with pytest.raises(ValueError, match="no preset 'perovskite'"):
        Motif.from_preset("perovskite")
    with pytest.raises(ValueError, match="two positive lengths in nm"):
        Motif.from_table([("Ti", 0, 0)], lengths=(0.4, -1))
    with pytest.raises(ValueError, match="between 20 and 160 degrees"):
        Motif.from_table([("Ti", 0, 0)], lengths=(0.4, 0.4), angle=0)
    with pytest.raises(ValueError, match="has no columns"):
        Motif.from_table([], lengths=(0.4, 0.4))
    with pytest.raises(ValueError, match="pm from another one"):
        Motif.from_table([("Sr", 0, 0), ("Ti", 1, 0)], lengths=(0.4, 0.4))
    with pytest.raises(ValueError, match="'Q' is neither a chemical symbol"):
        Motif.from_table([("Q", 0, 0)], lengths=(0.4, 0.4))
    with pytest.raises(ValueError, match=r"\(species, u, v\)"):
        Motif.from_table(["Ti"], lengths=(0.4, 0.4))
    with pytest.raises(ValueError, match="The 'motif' parameter of MotifAssigner"):
        MotifAssigner(motif="garnet").fit(None)
    with pytest.raises(ValueError, match="The 'shell' parameter of PolarizationVector"):
        PolarizationVector(shell="garnet").fit(None)


CIF = """data_test
_cell_length_a {a}
_cell_length_b {b}
_cell_length_c {c}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma {gamma}
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{atoms}
"""


def write_cif(path, lengths, gamma, atoms):
    lines = [
        f"{symbol}{number} {symbol} {x} {y} {z} 1.0"
        for number, (symbol, x, y, z) in enumerate(atoms)
    ]
    a, b, c = lengths
    text = CIF.format(a=a, b=b, c=c, gamma=gamma, atoms="\n".join(lines))
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def strontium_titanate(tmp_path):
    atoms = [("Sr", 0, 0, 0), ("Ti", 0.5, 0.5, 0.5)]
    atoms += [("O", 0.5, 0.5, 0), ("O", 0.5, 0, 0.5), ("O", 0, 0.5, 0.5)]
    return write_cif(tmp_path / "sto.cif", 3 * [3.9], 90, atoms)


@pytest.mark.parametrize("zone", ["001", "110"])
def test_zone_axes_of_a_cif_are_the_presets(strontium_titanate, zone):
    pytest.importorskip("ase")
    axis = tuple(int(digit) for digit in zone)
    motif = Motif.from_cif(strontium_titanate, axis)
    preset = Motif.from_preset(f"perovskite_{zone}", anions=True)
    rename = {"A": "Sr", "B": "Ti+O", "X": "O"}
    if zone == "110":
        rename = {"A": "Sr+O", "B": "Ti", "X": "O"}
    found, expected = neighbor_distances(motif), neighbor_distances(preset)
    assert sorted(motif.species) == sorted(rename[item] for item in preset.species)
    for species, distances in expected.items():
        assert found[rename[species]] == pytest.approx(distances, abs=1e-6)


def test_species_of_a_cif_that_an_image_shows(strontium_titanate):
    pytest.importorskip("ase")
    motif = Motif.from_cif(strontium_titanate, (1, 1, 0), species=["Sr", "Ti"])
    assert sorted(motif.species) == ["Sr", "Ti"]
    assert motif.name == "O3SrTi [110]"
    bright, faint = sorted(motif.columns, key=lambda item: -item.intensity)
    assert (bright.species, faint.species) == ("Sr", "Ti")
    with pytest.raises(ValueError, match=r"consists of \['O', 'Sr', 'Ti'\]"):
        Motif.from_cif(strontium_titanate, (0, 0, 1), species=["Pb"])
    for axis in [(0, 0, 0), (1, 0), (1.5, 0, 0), (1, 1, 1, 0)]:
        with pytest.raises(ValueError, match="three whole numbers"):
            Motif.from_cif(strontium_titanate, axis)


def test_four_indices_of_a_hexagonal_axis(tmp_path):
    pytest.importorskip("ase")
    u = 0.382
    atoms = [("Al", 1 / 3, 2 / 3, 0), ("Al", 2 / 3, 1 / 3, 0.5)]
    atoms += [("N", 1 / 3, 2 / 3, u), ("N", 2 / 3, 1 / 3, 0.5 + u)]
    path = write_cif(tmp_path / "aln.cif", (3.11, 3.11, 4.98), 120, atoms)
    motif = Motif.from_cif(path, (1, 1, -2, 0))
    assert motif == Motif.from_cif(path, (1, 1, 0))
    assert sorted(motif.lengths) == pytest.approx([0.311 * np.sqrt(0.75), 0.498])
    preset = Motif.from_preset("wurtzite_1120", anions=True)
    found, expected = neighbor_distances(motif), neighbor_distances(preset)
    assert found["Al"] == pytest.approx(expected["M"], abs=2e-4)
    assert found["N"] == pytest.approx(expected["X"], abs=2e-4)


def test_merge_distance_decides_whether_split_columns_are_one(tmp_path):
    pytest.importorskip("ase")
    split = 0.08  # 31 pm to each side
    atoms = [("Sr", 0, 0, 0.25), ("Sr", 0, 0, 0.75)]
    atoms += [("Ti", 0.5, 0.5, 0), ("Ti", 0.5, 0.5, 0.5)]
    atoms += [("O", 0.5 + split, 0, 0), ("O", 0.5 - split, 0, 0.5)]
    path = write_cif(tmp_path / "tilted.cif", [3.9, 3.9, 7.8], 90, atoms)
    motif = Motif.from_cif(path, (0, 0, 1))
    assert sorted(motif.species) == ["O", "O", "Sr", "Ti"]
    motif = Motif.from_cif(path, (0, 0, 1), merge_distance_nm=0.08)
    assert sorted(motif.species) == ["O", "Sr", "Ti"]
    place = dict(zip(motif.species, motif.fractions, strict=True))
    middle = (place["O"] - place["Sr"]) % 1
    np.testing.assert_allclose(np.sort(middle), [0, 0.5], atol=1e-6)
    for distance in (0, -0.1, 0.5, np.inf, True, "wide"):
        with pytest.raises(ValueError, match="merge_distance_nm must be a distance"):
            Motif.from_cif(path, (0, 0, 1), merge_distance_nm=distance)


def test_every_zone_axis_has_a_cell_of_the_right_area(strontium_titanate):
    pytest.importorskip("ase")
    for axis in [(1, 1, 1), (1, 2, 0), (2, -1, 1), (3, 1, 0), (1, -1, 0)]:
        motif = Motif.from_cif(strontium_titanate, axis)
        area = abs(np.linalg.det(motif.cell))
        assert area * np.linalg.norm(axis) * 0.39 == pytest.approx(0.39**3, rel=1e-6)


def test_without_the_library_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "ase.io", None)
    with pytest.raises(ImportError, match=r"sklearn-ferroic\[structure\]"):
        Motif.from_cif(tmp_path / "missing.cif", (0, 0, 1))
