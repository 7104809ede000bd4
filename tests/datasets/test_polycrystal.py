import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic.datasets import make_polycrystal


@pytest.fixture(scope="module", params=range(3))
def data(request):
    return make_polycrystal(random_state=request.param)


def away_from_border(data):
    last = np.array(data.image.shape) - 1
    return np.minimum(data.positions, last - data.positions).min(axis=1) > 20


def test_columns_of_a_grain_lie_on_its_turned_lattice(data):
    """Directions from A to the next A are those of the orientation, modulo 90°."""
    for grain in range(12):
        own = (data.grain == grain) & (data.sublattice == 0) & ~data.wall
        places = data.positions[own]
        pairs = cKDTree(places).query_pairs(22.5, output_type="ndarray")
        step = places[pairs[:, 1]] - places[pairs[:, 0]]
        fourfold = np.exp(4j * np.arctan2(step[:, 0], step[:, 1])).mean()
        expected = np.exp(4j * data.orientation[own][0])
        assert len(np.unique(data.orientation[own])) == 1
        # drift shears by 3 px in 800
        assert np.degrees(np.abs(np.angle(fourfold / expected))) / 4 < 0.7
        assert np.abs(fourfold) > 0.99


def test_polarization_points_along_the_grains_own_diagonal(data):
    b_site = data.sublattice == 1
    d_row, d_col = data.polarization[b_site].T
    np.testing.assert_allclose(np.hypot(d_row, d_col), 40e-3 / 0.02)
    direction = data.orientation + np.pi / 4 + np.pi / 2 * data.variant
    np.testing.assert_allclose(
        np.exp(1j * np.arctan2(d_row, d_col)), np.exp(1j * direction[b_site])
    )
    assert np.isnan(data.polarization[~b_site]).all()


def test_measured_displacements_are_the_polarization(data):
    """B less the centroid of its four A columns, away from the boundaries."""
    a_site = data.positions[data.sublattice == 0]
    chosen = (data.sublattice == 1) & ~data.wall & away_from_border(data)
    places = data.positions[chosen]
    centroid = a_site[cKDTree(a_site).query(places, k=4)[1]].mean(axis=1)
    excess = places - centroid - data.polarization[chosen]
    # disorder and tilt
    assert np.abs(excess.mean(axis=0)).max() < 0.1
    assert excess.std(axis=0).max() < 0.25


def test_grains_fill_the_image_and_keep_apart(data):
    assert set(data.grain) == set(range(12))
    assert np.bincount(data.grain).min() > 60
    distance, _ = cKDTree(data.positions).query(data.positions, k=2)
    assert distance[:, 1].min() > 8
    cells = data.image.size / 19.8**2
    for sublattice in (0, 1):
        assert 0.93 < (data.sublattice == sublattice).sum() / cells < 1.02
    assert 0.15 < data.wall.mean() < 0.4
    neighbours = cKDTree(data.positions).query(data.positions, k=5)[1]
    alike = (data.grain[neighbours] == data.grain[:, None]).all(axis=1)
    assert alike[~data.wall & away_from_border(data)].all()


def test_seeds_and_options():
    first = make_polycrystal(4, shape=(200, 220), random_state=3)
    second = make_polycrystal(4, shape=(200, 220), random_state=3)
    np.testing.assert_array_equal(first.image, second.image)
    other = make_polycrystal(4, shape=(200, 220), random_state=4)
    assert not np.array_equal(first.orientation[:1], other.orientation[:1])
    plain = make_polycrystal(
        1, shape=(200, 220), displacement_pm=0, dose=np.inf, random_state=3
    )
    assert (plain.variant == -1).all()
    assert not plain.wall.any()
    assert (plain.polarization[plain.sublattice == 1] == 0).all()
    assert plain.image.shape == (200, 220)
    assert "1 grain(s)" in plain.description


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"n_grains": 0}, "n_grains"), ({"shape": (30, 200)}, "cells")],
)
def test_refusals(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_polycrystal(**parameters)
