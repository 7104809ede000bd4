"""Profiles by layer, across a line and along it."""

import numpy as np
import pytest

from sklearn_ferroic import AtomSites
from sklearn_ferroic.domains import (
    find_walls,
    layer_profile,
    profile_across,
    profile_along,
)
from tests.domains._scenes import grid, tanh_wall


def test_layers_of_a_bent_and_sheared_lattice():
    rng = np.random.default_rng(0)
    index = np.indices((12, 40)).reshape(2, -1).T.astype(float)
    positions = 20 * index + 60
    # Bent by more than a layer over the image.
    positions[:, 0] += 15 * np.sin(index[:, 1] / 12)
    kept = rng.random(len(index)) > 0.05
    sites = AtomSites(np.zeros((400, 900)), positions[kept], pixel_size=0.02)
    profile = layer_profile(sites, index[kept, 0] ** 2)
    np.testing.assert_allclose(profile.value, np.arange(12) ** 2)
    np.testing.assert_allclose(profile.position_nm, 0.4 * np.arange(12), atol=0.06)
    assert (profile.value_std == 0).all()
    columns = layer_profile(sites, index[kept, 1], axis="a")
    np.testing.assert_allclose(columns.value, np.arange(40))


def test_mean_and_standard_error():
    sites = grid((10, 50))
    values = np.random.default_rng(0).normal(3, 2, len(sites))
    values[:10] = np.nan
    profile = layer_profile(sites, {"x": values, "y": 2 * values})
    assert profile.n_sites.tolist() == [40] + [50] * 9
    row = values.reshape(10, 50)[3]
    assert profile.x[3] == pytest.approx(row.mean())
    assert profile.x_std[3] == pytest.approx(row.std(ddof=1) / np.sqrt(50))
    assert profile.y_std[3] == pytest.approx(2 * profile.x_std[3])


def test_profile_across_follows_a_curved_wall():
    sites = grid((40, 40))
    row, col = sites.positions.T
    curve = 400 + 80 * np.sin(row / 130)
    distance = (col - curve) / np.hypot(1, 80 / 130 * np.cos(row / 130))
    rng = np.random.default_rng(0)
    sites.polarization = rng.normal(0, 0.1, (1600, 2))
    sites.polarization[:, 0] += np.tanh(distance / 20)
    walls = find_walls(sites, distance > 0)
    line = walls.attrs["polylines"][0]
    profile = profile_across(sites, sites.polarization[:, 0], line, reach_cells=4)
    sign = np.sign(profile.value.iloc[-1] * profile.distance_px.iloc[-1])
    expected = sign * np.tanh(profile.distance_px / 20)
    np.testing.assert_allclose(profile.value, expected, atol=0.12)
    assert (profile.value_std < 0.08).all()


def test_sign_of_the_distance():
    sites = grid((10, 10))
    below = profile_across(sites, sites.positions[:, 0], [[100, 0], [100, 200]])
    assert np.corrcoef(below.distance_px, below.value)[0, 1] > 0.99
    above = profile_across(sites, sites.positions[:, 0], [[100, 200], [100, 0]])
    assert np.corrcoef(above.distance_px, above.value)[0, 1] < -0.99


def test_profile_along_a_line():
    sites = grid((10, 10), pixel_size=0.02)
    profile = profile_along(sites, sites.positions[:, 1], [[100, 40], [100, 160]])
    np.testing.assert_allclose(profile.position_nm, 0.02 * (profile.value - 40))
    assert profile.n_sites.tolist() == [6] * 6


def test_bad_lines_are_refused():
    sites, _ = tanh_wall(0)
    for line, message in [
        ([[1, 2]], "two or more"),
        ([[1, 1], [1, 1]], "no length"),
        ([[1, np.nan], [2, 2]], "finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            profile_across(sites, np.zeros(900), line)
    with pytest.raises(ValueError, match="one entry per site"):
        layer_profile(sites, np.zeros((900, 2)))
