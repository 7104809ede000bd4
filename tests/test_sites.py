import pickle

import joblib
import numpy as np
import pytest
from sklearn.model_selection import KFold, train_test_split

from sklearn_ferroic import AtomSites


@pytest.fixture
def sites():
    images = [np.zeros((40, 50)), np.ones((30, 30), dtype=np.float32)]
    return AtomSites(
        images,
        [[5, 6], [20.5, 30.25], [39, 49], [15, 15]],
        frame=[0, 0, 0, 1],
        sublattice=[0, 1, 0, 1],
        pixel_size=[0.02, None],
        polarization=[[0.5, -1], [np.nan, np.nan], [0, 0], [1, 1]],
        converged=[True, False, True, True],
    )


def test_what_it_holds(sites):
    assert len(sites) == 4
    assert sites.shape == (4, 2)
    assert all(image.dtype == np.float32 for image in sites.images)
    assert sites.positions.dtype == np.float64
    assert np.isnan(sites.amplitude).all()
    assert sites.position_std.shape == (4, 2)
    np.testing.assert_array_equal(
        sites.pixel_size_per_site(), [0.02, 0.02, 0.02, np.nan]
    )
    assert repr(sites) == (
        "<AtomSites: 4 sites in 2 image(s) (40x50, 30x30 px), sublattices {0: 2, 1: 2}>"
    )


@pytest.mark.parametrize(
    "key",
    [slice(1, 3), [1, 2], np.array([False, True, True, False]), ([1, 2], Ellipsis)],
    ids=["slice", "list", "mask", "scikit-learn's tuple"],
)
def test_indexing_shares_the_images(sites, key):
    part = sites[key]
    assert part == sites[[1, 2]]
    np.testing.assert_array_equal(part.positions, [[20.5, 30.25], [39, 49]])
    np.testing.assert_array_equal(part.converged, [False, True])
    assert part.images is sites.images


def test_single_and_empty_selections(sites):
    assert len(sites[-1]) == 1
    assert len(sites[[]]) == 0
    with pytest.raises(IndexError):
        sites[4]
    with pytest.raises(IndexError, match=r"one axis.*sites\.positions"):
        sites[:, 0]
    with pytest.raises(IndexError, match="2 dimensions"):
        sites[[[0, 1]]]


def test_splitters_of_scikit_learn_split_columns(sites):
    train, test = next(iter(KFold(2).split(sites)))
    assert len(train) == len(test) == 2
    first, second = train_test_split(sites, random_state=0, test_size=0.25)
    assert isinstance(first, AtomSites)
    assert (len(first), len(second)) == (3, 1)


def test_it_does_not_become_an_array(sites):
    with pytest.raises(TypeError, match="PatchExtractor"):
        np.asarray(sites)


def test_interior_measures_from_the_outer_pixels(sites):
    np.testing.assert_array_equal(
        sites.interior(5).positions, [[5, 6], [20.5, 30.25], [15, 15]]
    )
    assert len(sites.interior(5.01)) == 2
    assert len(sites.interior(0)) == 4


def test_table_has_positions_and_units(sites):
    table = sites.to_frame()
    assert len(table) == 4
    assert list(table["col"]) == [6, 30.25, 49, 15]
    assert table["x_nm"][1] == pytest.approx(30.25 * 0.02)
    assert table["y_nm"][1] == pytest.approx(20.5 * 0.02)
    assert np.isnan(table["x_nm"][3])
    assert table["polarization_row_pm"][0] == pytest.approx(0.5 * 20)
    assert table["polarization_col_pm"][0] == pytest.approx(-20)
    uncalibrated = AtomSites(np.eye(3), [[1, 1]]).to_frame()
    assert not [name for name in uncalibrated if name.endswith(("_nm", "_pm"))]


def test_concatenate_renumbers_frames_and_keeps_an_image_once(sites):
    other = AtomSites(np.eye(8), [[1, 2]], pixel_size=0.1)
    joined = AtomSites.concatenate([sites[:2], other, sites[3:]])
    assert len(joined.images) == 3
    np.testing.assert_array_equal(joined.frame, [0, 0, 2, 1])
    np.testing.assert_array_equal(joined.positions[2], [1, 2])
    assert joined.pixel_size == [0.02, None, 0.1]
    with pytest.raises(ValueError, match="at least one"):
        AtomSites.concatenate([])


def test_pixel_size_may_be_an_array_without_axes():
    sites = AtomSites(np.eye(4), [[1, 1]], pixel_size=np.array(0.02))
    assert sites.pixel_size == [0.02]


def test_equality(sites):
    assert sites == pickle.loads(pickle.dumps(sites))
    assert sites != sites[:2]
    assert sites != "sites"
    moved = pickle.loads(pickle.dumps(sites))
    moved.positions[0, 0] += 1e-9
    assert sites != moved
    with pytest.raises(TypeError, match="unhashable"):
        hash(sites)


def _image_memory(sites):
    return type(sites.images[0]), sites.images[0].shape


def test_workers_share_the_image_as_a_memory_map():
    sites = AtomSites(np.zeros((1024, 1024), dtype=np.float32), [[1, 1]])
    kind, shape = joblib.Parallel(n_jobs=2)(
        joblib.delayed(_image_memory)(sites) for _ in range(2)
    )[0]
    assert kind is np.memmap
    assert shape == (1024, 1024)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": [1, 2, 3]}, r"\(n_sites, 2\)"),
        ({"positions": [[1, np.nan]]}, "finite"),
        ({"frame": [2]}, "frame must index the 1 images"),
        ({"sublattice": [0, 1]}, r"sublattice must have shape \(1,\)"),
        ({"polarization": [1.0]}, r"polarization must have shape \(1, 2\)"),
        ({"pixel_size": -1}, "positive length in nm"),
        ({"pixel_size": [1, 1]}, "2 pixel sizes for 1 image"),
        ({"images": np.zeros((2, 2), complex)}, "real 2-D images"),
        ({"images": [np.zeros(3)]}, "real 2-D images"),
        ({"images": []}, "at least one image"),
        ({"images": np.full((4, 4), np.nan)}, "finite images"),
        ({"frame": [0.5]}, "frame must hold whole numbers"),
        ({"pixel_size": "0.02"}, "positive length in nm"),
    ],
)
def test_refusals(arguments, message):
    arguments = {"images": np.eye(4), "positions": [[1, 1]]} | arguments
    with pytest.raises(ValueError, match=message):
        AtomSites(**arguments)
