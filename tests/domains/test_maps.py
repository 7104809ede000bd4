"""Values of cells as features for tables and as maps on the lattice."""

import json

import numpy as np
import pandas as pd
import pytest

from sklearn_ferroic import AtomSites, LatticeStrain
from sklearn_ferroic.domains import (
    cell_table,
    find_domains,
    find_walls,
    layer_profile,
    to_hyperspy,
    to_xarray,
)
from sklearn_ferroic.feature_extraction import measure_lattice, pool_polarization
from tests.domains._scenes import grid, tanh_wall


def test_everything_of_a_cell_goes_to_a_file(tmp_path):
    sites, labels = tanh_wall(0)
    vectors = sites.polarization
    sites = measure_lattice(sites)
    sites.polarization = vectors
    domains, walls = find_domains(sites, labels), find_walls(sites, labels)
    table = cell_table(
        sites,
        vectors=vectors,
        strain=LatticeStrain().fit(sites),
        domains=domains,
        walls=walls,
    )
    sites.to_csv(tmp_path / "sites.csv", features=table, labels=labels)
    read = pd.read_csv(tmp_path / "sites.csv", comment="#")
    np.testing.assert_allclose(read.vector_magnitude, np.hypot(*vectors.T))
    angle = np.degrees(np.arctan2(vectors[:, 0], vectors[:, 1]))
    np.testing.assert_allclose(read.vector_angle_deg, angle)
    assert {"strain_xx", "tetragonality"} <= set(read)
    np.testing.assert_array_equal(read.domain, domains.attrs["domain"])
    assert set(read.wall) == {-1, 0}
    with pytest.raises(ValueError, match="these 10 sites"):
        cell_table(sites[:10], walls=walls)


def test_maps_have_the_shape_of_the_lattice():
    sites = grid((6, 9), pixel_size=0.02)
    kept = np.arange(len(sites)) != 20
    part = sites[kept]
    maps = to_xarray(part, {"row": part.positions[:, 0], "n": np.arange(53)})
    assert maps.n.dims == ("b", "a")
    assert maps.n.shape == (6, 9)
    assert np.isnan(maps.n.values[2, 2])
    assert np.isfinite(maps.n.values).sum() == 53
    np.testing.assert_allclose(maps.y_nm.values[3, 4], 0.02 * 70)
    np.testing.assert_allclose(maps.x_nm.values[3, 4], 0.02 * 90)


@pytest.mark.filterwarnings("ignore")
def test_signals_are_calibrated():
    pytest.importorskip("hyperspy")
    sites = grid((6, 9), pixel_size=0.02)
    signal = to_hyperspy(sites, {"x": sites.positions[:, 1]})["x"]
    np.testing.assert_array_equal(signal.data[0], 20 * np.arange(9) + 10)
    a, b = signal.axes_manager.signal_axes
    assert (a.name, b.name, a.units) == ("a", "b", "nm")
    assert a.scale == pytest.approx(0.4)
    assert signal.metadata.General.title == "x"


def test_one_image_at_a_time():
    sites = grid((4, 4))
    both = AtomSites.concatenate([sites, AtomSites(np.ones((80, 80)), sites.positions)])
    with pytest.raises(ValueError, match="2 images"):
        to_xarray(both, np.zeros(32))
    assert to_xarray(both, np.arange(32), frame=1).value.values[0, 0] == 16


def test_unit_of_vectors_is_in_the_file(tmp_path):
    sites = grid((3, 4), pixel_size=0.02)
    table = cell_table(sites, vectors=np.ones((12, 2)), vector_unit="pm")
    sites.to_csv(tmp_path / "cells.csv", features=table)
    units = json.loads((tmp_path / "cells.csv.json").read_text())["units"]
    assert units["vector_row"] == units["vector_magnitude"] == "pm"
    assert units["vector_angle_deg"] == "deg"


def test_a_single_row_has_no_lattice():
    sites = grid((12, 12))
    for function in (to_xarray, layer_profile):
        with pytest.raises(ValueError, match="do not show a lattice"):
            function(sites[:5], np.zeros(5))
        with pytest.raises(ValueError, match="no sites"):
            function(sites[:0], np.zeros(0))
    assert layer_profile(sites[:1], [3.0]).position_px.tolist() == [0]
    assert len(pool_polarization(sites[:0]).mean) == 0
