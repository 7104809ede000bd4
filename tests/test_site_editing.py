"""Sites are removed, added and selected by hand."""

import numpy as np
import pytest

from sklearn_ferroic import AtomSites
from sklearn_ferroic.feature_extraction import measure_lattice, suggest_window_size


@pytest.fixture
def sites():
    """A perovskite of 6 x 6 cells of 20 px, A at the corners and B in the middle."""
    corner = 20.0 * np.indices((6, 6)).reshape(2, -1).T + 10
    center = 20.0 * np.indices((5, 5)).reshape(2, -1).T + 20
    sublattice = np.repeat([0, 1], [36, 25])
    return measure_lattice(
        AtomSites(
            np.zeros((120, 120)),
            np.concatenate([corner, center]),
            sublattice=sublattice,
            amplitude=np.arange(61.0),
            pixel_size=0.02,
        )
    )


@pytest.mark.parametrize(
    "rows", [[3, 40], np.isin(np.arange(61), [3, 40]), slice(3, 41, 37)]
)
def test_remove(sites, rows):
    less = sites.remove(rows)
    assert len(less) == 59
    np.testing.assert_array_equal(less.amplitude, np.delete(sites.amplitude, [3, 40]))
    assert len(sites) == 61
    assert less.images[0] is sites.images[0]


def test_remove_refuses_what_is_no_site(sites):
    assert len(sites.remove(60)) == 60
    assert len(sites.remove([])) == 61
    with pytest.raises(IndexError, match="61 sites, from 0 to 60"):
        sites.remove(61)
    with pytest.raises(TypeError, match="indices or a mask"):
        sites.remove([1.5])


def test_added_sites_have_no_fit_and_the_sublattice_of_their_lattice(sites):
    rows = [14, 48]  # an A and a B column inside
    places = sites.positions[rows] + [[1.5, -1.0], [-1.0, 1.5]]
    both = sites.remove(rows).add(places)
    assert len(both) == 61
    np.testing.assert_array_equal(both.positions[-2:], places)
    np.testing.assert_array_equal(both.sublattice[-2:], [0, 1])
    assert not both.converged[-2:].any()
    assert np.isnan(both.amplitude[-2:]).all()
    assert np.isnan(both.polarization[-2:]).all()
    np.testing.assert_array_equal(both.amplitude[:-2], np.delete(sites.amplitude, rows))
    assert both.pixel_size == (0.02,)
    given = sites.add([15.0, 15.0], sublattice=2)
    assert given.sublattice[-1] == 2
    assert len(sites.add(np.empty((0, 2)))) == 61


def test_positions_off_the_image_are_refused():
    sites = AtomSites(np.zeros((50, 200)), [[10, 10]])
    assert len(sites.add([49.4, 199.4])) == 2
    with pytest.raises(ValueError, match=r"1 of 1 positions are off the image") as e:
        sites.add([120.0, 30.0])
    assert "(row, col)" in str(e.value)
    with pytest.raises(ValueError, match="off the image") as e:
        sites.add([-3.0, 30.0])
    assert "(row, col)" not in str(e.value)
    with pytest.raises(ValueError, match="frame must index"):
        sites.add([1.0, 1.0], frame=1)


def test_polygon(sites):
    triangle = [[0, 0], [0, 119], [119, 0]]
    inside = sites.in_polygon(triangle)
    expected = sites.positions.sum(axis=1) < 119
    on_edge = np.abs(sites.positions.sum(axis=1) - 119) < 2
    np.testing.assert_array_equal(inside[~on_edge], expected[~on_edge])
    for few in ([[0, 0], [5, 5]], [[0, 0], [0, 0], [5, 5]]):
        with pytest.raises(ValueError, match="three different corners"):
            sites.in_polygon(few)


def test_window_of_a_lattice(sites):
    assert suggest_window_size(sites) == 48
    assert suggest_window_size(sites[sites.sublattice == 1], 3.4) == 68
    bare = AtomSites(sites.images, sites.positions, sublattice=sites.sublattice)
    assert suggest_window_size(bare) == 48
    with pytest.raises(ValueError, match="no unit cell"):
        suggest_window_size(bare[[0, 40]])


def test_images_that_do_not_exist_are_refused():
    sites = AtomSites(np.zeros((9, 9)), [[2, 2]])
    with pytest.raises(ValueError, match="frame must index the 1 images"):
        sites.in_polygon([[0, 0], [0, 9], [9, 9]], frame=1)
    with pytest.raises(TypeError, match="frame must be a whole number"):
        sites.add([4, 4], frame=0.5)
    with pytest.raises(ValueError, match=r"sublattice must have shape \(1,\)"):
        sites.add([4, 4], sublattice=[0, 1])
