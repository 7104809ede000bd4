"""Experimental images, where they are at hand."""

import csv
import functools
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.spatial import cKDTree
from skimage.io import imread

from sklearn_ferroic import AtomLocator, UNetAtomLocator
from sklearn_ferroic._image.spacing import estimate_spacing
from sklearn_ferroic.datasets import load_image

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
# Places where it was once wrong whether a column is there, or which one: judged by eye.
PLACES = Path(__file__).parents[2] / "benchmarks" / "real_places.csv"


@functools.cache
def locate(name):
    """Locate the columns of a file with default arguments, or skip the test."""
    path = DATA / name
    if not path.exists():
        pytest.skip("no experimental image at hand")
    data = load_image(path)
    if "abf" in name:
        data = -np.asarray(data.image, dtype=float)
    locator = AtomLocator()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sites = locator.fit_transform(data)
    return locator, sites, [str(one.message) for one in caught]


def places_of(name):
    """Read the places of one image that were judged by eye."""
    with open(PLACES, newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["file"] == name]
    return [
        ((float(line["row"]), float(line["col"])), line["column"], line["label"])
        for line in lines
    ]


def coverage(positions, shape, spacing, margin=0):
    """Largest empty disc's radius in spacings, centred so far from the border."""
    rows, cols = (np.arange(margin, length - margin, 4) for length in shape)
    probes = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)
    return cKDTree(positions).query(probes)[0].max() / spacing


def test_manganite_haadf():
    path = DATA / "nsmo_haadf.tif"
    if not path.exists():
        pytest.skip("no experimental image at hand")
    image = imread(path)
    locator = AtomLocator()
    sites = locator.fit_transform(image)
    assert locator.spacing_ == pytest.approx(15.0, abs=0.3)
    assert locator.n_sublattices_ == 2
    counts = np.bincount(sites.sublattice)
    assert counts == pytest.approx([1931, 1931], abs=15)
    assert sites.converged.mean() > 0.98
    # Columns everywhere: no hole beyond the interstices of the lattice, and at the
    # border no more than half a cell.
    assert coverage(sites.positions, image.shape, locator.spacing_) < 1.2
    # Every interior column has its four neighbours of the other kind around it.
    interior = sites.interior(25)
    assert np.isfinite(interior.polarization).all(axis=1).mean() > 0.995
    assert np.isfinite(sites.lattice_position).all(axis=1).mean() > 0.99
    a, b = (interior.amplitude[interior.sublattice == k] for k in (0, 1))
    assert np.quantile(b, 0.99) < np.quantile(a, 0.05)


def test_strontium_titanate_adf():
    path = DATA / "srtio3_adf.hspy"
    if not path.exists():
        pytest.skip("no experimental image at hand")
    with h5py.File(path) as file:
        image = file["Experiments/__unnamed__/data"][()]
    assert image.dtype == np.float16
    locator = AtomLocator()
    sites = locator.fit_transform((image, 0.009326))
    # Along [110], Sr and Ti alternate along the rows, half a lattice parameter apart.
    assert locator.spacing_ * 0.009326 == pytest.approx(0.3905 / 2, rel=0.03)
    assert locator.n_sublattices_ == 2
    interior = sites.interior(25)
    rows = np.unique(np.rint(interior.positions[:, 0] / 29.4))
    assert len(rows) == 12
    counts = np.bincount(interior.sublattice)
    assert counts.tolist() == [12 * 7, 12 * 8]
    scale = image.shape, locator.spacing_
    assert coverage(sites.positions, *scale, margin=0.5 * locator.spacing_) < 1.1
    # In one corner a column's centre is 0.4 px within the border by its row, and its
    # fit 0.7 px from there by its error: whether it is on the image is not known, and
    # without it the corner is 1.6 spacings from the nearest column.
    assert coverage(sites.positions, *scale) < 1.7
    assert sites.converged.mean() > 0.98


@pytest.mark.parametrize("name", ["nsmo_haadf.tif", "srtio3_adf.hspy"])
def test_network_sees_what_peaks_show(name):
    if not (DATA / name).exists():
        pytest.skip("no experimental image at hand")
    data = load_image(DATA / name)
    sites = UNetAtomLocator.from_pretrained().transform(data)
    locator = AtomLocator()
    # On clear images such as these it is right.
    expected = locator.fit_transform(data).interior(0.5 * locator.spacing_)
    distance, nearest = cKDTree(sites.positions).query(expected.positions)
    assert distance.max() < 0.25 * locator.spacing_
    np.testing.assert_array_equal(sites.sublattice[nearest], expected.sublattice)
    inner = sites.interior(0.75 * locator.spacing_)
    assert len(inner) <= len(np.unique(nearest))


DUMBBELLS = ("real/cdte_twin.dm3", "real/si110_png.png")


def middles_of_pairs(sites):
    """Return the middles of sites that are each other's nearest one."""
    nearest = cKDTree(sites.positions).query(sites.positions, 2)[1][:, 1]
    first = np.flatnonzero(nearest[nearest] == np.arange(len(sites)))
    first = first[first < nearest[first]]
    return (sites.positions[first] + sites.positions[nearest[first]]) / 2


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        ("real/dso.png", 35.2),
        ("real/pzo.dm3", 18.6),
        ("real/sto_16_1.ser", 28.4),
        ("real/acq18.emd", 23.7),
        ("real/stemfit_image.tif", 10.3),
        ("real/gold_gb.png", 19.3),
        ("real/cdte_twin.dm3", 20.3),  # of the dumbbells
        ("real/si110_png.png", 39.1),  # of the dumbbells
        ("real/atomap_abf.hdf5", 20.9),
        ("real/vecmap_sample_abf.dm3", 17.7),
    ],
)
def test_spacing_of_real_images(name, spacing):
    if not (DATA / name).exists():
        pytest.skip("no experimental image at hand")
    image = np.float32(load_image(DATA / name).image)
    if "abf" in name:
        image = -image
    assert estimate_spacing(image) == pytest.approx(spacing, rel=0.04)


@pytest.mark.parametrize(
    "name", ["bfo_dev_dose4e3", "bto_carbon_dose4e3", "pto_sto_distorted_dose2e4"]
)
def test_spacing_of_multislice_images(name):
    path = DATA / "multislice" / f"{name}.npz"
    if not path.exists():
        pytest.skip("no multislice image at hand")
    with np.load(path) as data:
        image = np.float32(data["image"])
        positions = np.stack([data["y_px"], data["x_px"]], axis=1)
    distance = cKDTree(positions).query(positions, 5)[0][:, 1:]
    expected = np.median(distance.mean(axis=1))
    assert estimate_spacing(image) == pytest.approx(expected, rel=0.03)


# Columns farther than a margin (px) from the border, by sublattice, counted on overlays
# of the whole image. The margins avoid columns where the lattice permits; where it does
# not, a column or two at the margin may be on either side.
@pytest.mark.parametrize(
    ("name", "margin", "counts", "tolerance"),
    [
        ("real/acq18.emd", 30.0, [827, 830], 2),
        ("real/cdte_twin.dm3", 39.7, [532], 2),  # middles of dumbbells
        ("real/dso.png", 36.0, [380, 361], 0),
        ("real/gold_gb.png", 25.4, [584], 1),
        ("real/pzo.dm3", 16.8, [345, 346], 1),
        ("real/si110_png.png", 45.3, [136], 0),  # middles of dumbbells
        ("real/stemfit_image.tif", 13.7, [7152, 7113], 2),
        ("real/sto_16_1.ser", 37.3, [576, 536], 0),
        ("real/vecmap_sample_abf.dm3", 20.1, [127, 128], 0),
        ("nsmo_haadf.tif", 14.0, [1806, 1808], 2),
        ("srtio3_adf.hspy", 24.5, [84, 96], 0),
    ],
)
def test_columns_seen_by_eye(name, margin, counts, tolerance):
    _, sites, messages = locate(name)
    interior = sites.interior(margin)
    if name in DUMBBELLS:
        middles = middles_of_pairs(sites)
        last = np.array(sites.images[0].shape) - 1 - margin
        found = [np.count_nonzero(((middles > margin) & (middles < last)).all(axis=1))]
    else:
        found = np.bincount(interior.sublattice, minlength=len(counts))
    assert found == pytest.approx(counts, abs=tolerance)
    assert messages == []
    assert interior.converged.mean() > 0.98
    missed = sites.quality().suspected_misses.positions
    last = np.array(sites.images[0].shape) - 1
    assert not np.any(np.minimum(missed, last - missed).min(axis=1) > margin)


@pytest.mark.parametrize(
    "name",
    [
        "acq18.emd",
        "cdte_twin.dm3",
        "gold_gb.png",
        "ni_m3b2.tif",
        "stemfit_image.tif",
    ],
)
def test_places_judged_by_eye(name):
    locator, sites, _ = locate(f"real/{name}")
    places = places_of(Path(name).stem)
    assert places
    positions, spacing = sites.positions, locator.spacing_
    if f"real/{name}" in DUMBBELLS:
        positions, spacing = middles_of_pairs(sites), 20.3
    tree = cKDTree(positions)
    wrong = []
    for position, column, label in places:
        distance, nearest = tree.query(position)
        found = distance < 0.3 * spacing
        if column != "unsure" and found != (column == "yes"):
            wrong.append((position, "no site" if column == "yes" else "no column"))
        elif found and label and sites.sublattice[nearest] != int(label):
            wrong.append((position, "wrong label"))
    # Labels next to the interface and in the dark corner: known to be wrong.
    labels = [place for place in wrong if place[1] == "wrong label"]
    assert len(labels) <= (18 if "ni_m3b2" in name else 0)
    assert len(labels) == len(wrong), wrong


@pytest.mark.parametrize(
    "name",
    ["real/acq18.emd", "real/dso.png", "real/pzo.dm3", "real/stemfit_image.tif",
     "real/sto_16_1.ser", "real/vecmap_sample_abf.dm3", "nsmo_haadf.tif"],
)  # fmt: skip
def test_cations_of_perovskites_alternate(name):
    locator, sites, _ = locate(name)
    interior = sites.interior(1.5 * locator.spacing_)
    _, nearest = cKDTree(sites.positions).query(interior.positions, 5)
    around = sites.sublattice[nearest[:, 1:]]
    alternates = (around != interior.sublattice[:, None]).all(axis=1)
    assert alternates.mean() > 0.999
    a, b = (np.median(interior.amplitude[interior.sublattice == k]) for k in (0, 1))
    assert b < a


def test_annular_bright_field():
    _, sites, messages = locate("real/atomap_abf.hdf5")
    assert messages == []
    interior = sites.interior(30.7)
    assert len(interior) == 261
    # 7 x 11 Sr columns; Ti/O columns have 0.7 and O columns 0.55 of their amplitude.
    strontium = interior.amplitude > 0.85 * np.quantile(interior.amplitude, 0.9)
    assert strontium.sum() == 77
    assert np.all(interior.sublattice[strontium] == 0)
    assert np.bincount(interior.sublattice).tolist() == [7 * 11, 8 * 11, 8 * 12]


def test_metal_beside_boride():
    _, sites, messages = locate("real/ni_m3b2.tif")
    assert messages == []
    interior = sites.interior(29.7)
    # Five faint sites at the interface may be columns or not.
    assert len(interior) == pytest.approx(3420, abs=4)
    # The interface runs from row 690 on the left to row 600 on the right. The metal
    # below is of one kind.
    metal = sites[sites.positions[:, 0] > 720].interior(10)
    assert len(metal) > 1400
    # Some in the dark corner have the wrong label.
    assert np.mean(metal.sublattice == 0) > 0.996
    # In the boride, away from the interface, a column is faint or bright compared with
    # the brightest one around.
    boride = sites[sites.positions[:, 0] < 520].interior(10)
    _, near = cKDTree(boride.positions).query(boride.positions, 9)
    share = boride.amplitude / boride.amplitude[near].max(axis=1)
    assert np.mean((share < 0.6) == (boride.sublattice == 1)) > 0.998


@pytest.mark.parametrize(
    "name",
    [
        "nsmo_haadf.tif",
        "srtio3_adf.hspy",
        *(
            f"real/{name}"
            for name in (
                "acq18.emd",
                "atomap_abf.hdf5",
                "cdte_twin.dm3",
                "dso.png",
                "gold_gb.png",
                "ni_m3b2.tif",
                "pzo.dm3",
                "si110_png.png",
                "stemfit_image.tif",
                "sto_16_1.ser",
                "vecmap_sample_abf.dm3",
            )
        ),
    ],
)
def test_no_further_sublattices_are_suspected(name):
    _, sites, messages = locate(name)
    assert not any("Not all sublattices" in message for message in messages)
    ((*found,),) = sites.quality().undivided
    # Tilts of DyScO3 change the heights of its columns.
    assert len(found) == (2 if name == "real/dso.png" else 0)
    assert not any(part.is_clear for part in found)
