import copy
import hashlib
import pickle
import time

import joblib
import numpy as np
import pytest
from sklearn.model_selection import KFold, train_test_split

from sklearn_ferroic import AtomSites
from sklearn_ferroic.datasets import make_ferroic_image


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
        probability=[0.9, 0.5, np.nan, 1.0],
        lattice_vectors=[
            [[0, 20], [20, 0]],
            [[2, 20], [20, -1]],
            np.full((2, 2), np.nan),
            [[-10, 10], [10, 10]],
        ],
        ellipticity=[1.0, 1.2, np.nan, 1.1],
        ellipse_rotation=[0.1, -0.2, np.nan, 0],
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


def test_what_is_done_to_the_table_afterwards_moves_no_site():
    positions, label = np.array([[5.0, 6.0], [7.0, 8.0]]), np.array([0, 1])
    sites = AtomSites(np.zeros((20, 20)), positions, sublattice=label)
    positions -= 4
    label[:] = 0
    np.testing.assert_array_equal(sites.positions, [[5, 6], [7, 8]])
    np.testing.assert_array_equal(sites.sublattice, [0, 1])


def test_names_of_sublattices_are_refused():
    with pytest.raises(ValueError, match="sublattice must contain whole numbers"):
        AtomSites(np.zeros((20, 20)), [[5, 6], [7, 8]], sublattice=["A", "B"])


@pytest.mark.parametrize(
    "key",
    [
        slice(1, 3),
        [1, 2],
        np.array([False, True, True, False]),
        ([1, 2], Ellipsis),
        np.nonzero([False, True, True, False]),
    ],
    ids=["slice", "list", "mask", "scikit-learn's tuple", "np.nonzero"],
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


@pytest.mark.parametrize("margin", ["a", None, [1, 2], True, 1j])
def test_interior_takes_a_number(sites, margin):
    with pytest.raises(TypeError, match="margin must be a distance"):
        sites.interior(margin)


@pytest.mark.parametrize("margin", [-1, -0.1, np.nan, np.inf])
def test_interior_takes_no_negative_margin(sites, margin):
    with pytest.raises(ValueError, match="not negative and finite"):
        sites.interior(margin)


def test_interior_takes_numbers_of_numpy(sites):
    assert sites.interior(np.float32(5)) == sites.interior(np.int64(5))


def test_area_and_rotation_of_the_local_lattice(sites):
    np.testing.assert_array_equal(sites.unit_cell_area, [400, 402, np.nan, 200])
    np.testing.assert_allclose(
        sites.lattice_rotation, [0, np.arctan2(2, 20), np.nan, -np.pi / 4]
    )
    part = sites[[3, 1]]
    np.testing.assert_array_equal(part.unit_cell_area, [200, 402])
    np.testing.assert_array_equal(part.ellipticity, [1.1, 1.2])
    np.testing.assert_array_equal(part.probability, [1.0, 0.5])
    bare = AtomSites(np.eye(3), [[1, 1]])
    assert bare.lattice_vectors.shape == (1, 2, 2)
    for unknown in ("unit_cell_area", "lattice_rotation", "ellipticity"):
        assert np.isnan(getattr(bare, unknown)).all()
    backward = AtomSites(np.eye(3), [[1, 1]], lattice_vectors=[[[0, -3], [-3, 0]]])
    assert backward.lattice_rotation == [-np.pi]


def test_table_has_positions_and_units(sites):
    table = sites.to_frame()
    assert len(table) == 4
    assert list(table["col"]) == [6, 30.25, 49, 15]
    assert table["x_nm"][1] == pytest.approx(30.25 * 0.02)
    assert table["y_nm"][1] == pytest.approx(20.5 * 0.02)
    assert np.isnan(table["x_nm"][3])
    assert table["polarization_row_pm"][0] == pytest.approx(0.5 * 20)
    assert table["polarization_col_pm"][0] == pytest.approx(-20)
    assert table["ellipticity"][1] == 1.2
    assert table["ellipse_rotation"][1] == -0.2
    assert list(table.filter(like="lattice_a").iloc[1]) == [2, 20]
    assert list(table.filter(like="lattice_b").iloc[1]) == [20, -1]
    assert table["unit_cell_area"][0] == 400
    assert table["unit_cell_area_nm2"][0] == pytest.approx(400 * 0.02**2)
    assert table["lattice_rotation"][3] == pytest.approx(-np.pi / 4)
    uncalibrated = AtomSites(np.eye(3), [[1, 1]]).to_frame()
    assert not [name for name in uncalibrated if name.endswith(("_nm", "_pm", "_nm2"))]


def test_concatenate_renumbers_frames_and_keeps_an_image_once(sites):
    other = AtomSites(np.eye(8), [[1, 2]], pixel_size=0.1)
    joined = AtomSites.concatenate([sites[:2], other, sites[3:]])
    assert len(joined.images) == 3
    np.testing.assert_array_equal(joined.frame, [0, 0, 2, 1])
    np.testing.assert_array_equal(joined.positions[2], [1, 2])
    assert joined.pixel_size == (0.02, None, 0.1)
    np.testing.assert_array_equal(joined.unit_cell_area, [400, 402, np.nan, 200])
    np.testing.assert_array_equal(joined.ellipticity, [1.0, 1.2, np.nan, 1.1])
    with pytest.raises(ValueError, match="at least one"):
        AtomSites.concatenate([])


def test_images_may_be_what_a_loader_returns():
    data = make_ferroic_image("film", shape=(120, 120), random_state=0)
    sites = AtomSites(data, data.positions)
    assert sites == AtomSites(data.image, data.positions)


def test_pixel_size_can_be_assigned():
    sites = AtomSites([np.eye(8), np.eye(8)], [[1, 1], [2, 2]], frame=[0, 1])
    sites.pixel_size = 0.02
    assert sites.pixel_size == (0.02, 0.02)
    sites[:1].pixel_size = 0.5
    np.testing.assert_array_equal(sites.pixel_size_per_site(), [0.02, 0.02])
    with pytest.raises(ValueError, match="3 pixel sizes for 2 image"):
        sites.pixel_size = [0.02, 0.02, 0.02]
    for wrong in ("0.02", -1, 0, np.nan, np.inf, True, [0.02, -1], [0.02, "a"]):
        with pytest.raises(ValueError, match="positive length in nm"):
            sites.pixel_size = wrong
    assert sites.pixel_size == (0.02, 0.02)


@pytest.mark.parametrize("wrong", [-1, "a", np.nan, 0.01])
def test_a_single_pixel_size_cannot_be_replaced_unchecked(wrong):
    sites = AtomSites([np.eye(8), np.eye(8)], [[1, 1]], pixel_size=[0.02, None])
    with pytest.raises(TypeError, match="does not support item assignment"):
        sites.pixel_size[0] = wrong
    assert sites.pixel_size == (0.02, None)
    sites.pixel_size = [sites.pixel_size[0], 0.03]
    assert sites[:0].pixel_size == (0.02, 0.03)


def test_pixel_sizes_of_old_pickles_become_a_tuple(sites):
    state = sites.__getstate__() | {"pixel_size": list(sites.pixel_size)}
    old = object.__new__(AtomSites)
    old.__setstate__(state)
    assert old == sites


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("sublattice", [0, 1], r"sublattice must have shape \(4,\), got \(2,\)"),
        ("sublattice", [0, 1, 0.5, 0], "sublattice must contain whole numbers"),
        ("flags", [0, 0, 0, -1], "flags must lie between 0 and 65535"),
        ("frame", [0, 0, 0, 2], "frame must index the 2 images"),
        ("positions", [[1, 1]], r"positions must have shape \(4, 2\)"),
        ("positions", np.full((4, 2), np.nan), "positions must be finite"),
        ("polarization", np.zeros(4), r"polarization must have shape \(4, 2\)"),
        ("metadata", [{}], "metadata of 1 for 2 image"),
        ("images", np.zeros((8, 8)), "1 images for 2 image"),
        ("images", [np.zeros((8, 8)), np.full((8, 8), np.nan)], "finite images"),
    ],
)
def test_assigned_values_are_checked(name, wrong, message):
    positions = np.arange(8.0).reshape(4, 2)
    sites = AtomSites([np.eye(8), np.eye(8)], positions, frame=[0, 0, 1, 1])
    before = pickle.loads(pickle.dumps(sites))
    with pytest.raises(ValueError, match=message):
        setattr(sites, name, wrong)
    assert sites == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"converged": ["False"]}, "converged must contain truth values"),
        ({"converged": [np.nan]}, "converged must contain truth values"),
        ({"converged": [2]}, "converged must contain truth values"),
        ({"polarization": [[1j, 1]]}, "polarization must be real numbers"),
        ({"polarization": [["a", "b"]]}, "polarization must be real numbers"),
        ({"positions": [[1j, 1]]}, "positions must be real numbers"),
        ({"positions": [["a", 1]]}, "positions must be real numbers"),
        ({"positions": [[1, 1], [2]]}, "rows of different lengths"),
        ({"images": np.zeros((0, 9))}, "images with pixels"),
    ],
)
def test_values_of_another_kind_are_refused(fields, message):
    given = {"images": np.zeros((9, 9)), "positions": [[1, 1]]} | fields
    with pytest.raises(ValueError, match=message):
        AtomSites(**given)


def test_what_can_be_converted_is_no_error():
    sites = AtomSites(
        np.zeros((9, 9)), [["1", "2"]], converged=[0.0], amplitude=[None], sigma=["2"]
    )
    np.testing.assert_array_equal(sites.positions, [[1, 2]])
    assert not sites.converged[0]
    assert np.isnan(sites.amplitude[0])
    assert sites.sigma[0] == 2


def test_only_sites_are_joined(sites):
    with pytest.raises(TypeError, match="joins AtomSites, got int"):
        AtomSites.concatenate([sites, 1])


def test_assigned_values_are_converted_and_copied(sites):
    labels = [1] * len(sites)
    sites.sublattice = labels
    assert len(sites[sites.sublattice == 1]) == len(sites)
    values = np.ones((len(sites), 2), dtype=np.float32)
    sites.polarization = values
    values[:] = 7
    np.testing.assert_array_equal(sites.polarization, np.ones((len(sites), 2)))
    sites.polarization = None
    assert np.isnan(sites.polarization).all()


def test_pixel_size_may_be_an_array_without_axes():
    sites = AtomSites(np.eye(4), [[1, 1]], pixel_size=np.array(0.02))
    assert sites.pixel_size == (0.02,)


def test_equality(sites):
    assert sites == pickle.loads(pickle.dumps(sites))
    assert sites != sites[:2]
    assert sites != "sites"
    moved = pickle.loads(pickle.dumps(sites))
    moved.positions[0, 0] += 1e-9
    assert sites != moved
    with pytest.raises(TypeError, match="unhashable"):
        hash(sites)


@pytest.mark.parametrize("name", ["lattice_vectors", "ellipticity", "amplitude"])
def test_equality_sees_every_column(sites, name):
    other = copy.deepcopy(sites)
    assert other == sites
    getattr(other, name)[0] = 7
    assert other != sites
    assert joblib.hash(other) != joblib.hash(sites)


def test_images_do_not_change_under_the_sites():
    image = np.zeros((8, 8), dtype=np.float32)
    sites = AtomSites(image, [[1, 1]])
    before = joblib.hash(sites)
    image[2, 2] = 1
    assert sites.images[0][2, 2] == 0
    assert joblib.hash(sites) == before
    for same in (sites, sites[:0], pickle.loads(pickle.dumps(sites))):
        with pytest.raises(ValueError, match="read-only"):
            same.images[0][2, 2] = 1
    # What is read-only is shared, unless it shows what somebody can write to.
    frozen = image.copy()
    frozen.setflags(write=False)
    assert AtomSites(frozen, [[1, 1]]).images[0] is frozen
    view = image.view()
    view.setflags(write=False)
    assert not np.shares_memory(AtomSites(view, [[1, 1]]).images[0], image)
    twice = AtomSites([image, image], [[1, 1]])
    assert twice.images[0] is twice.images[1]


def test_hash_follows_the_content(sites):
    def remade(**changed):
        return AtomSites(**({"images": images, "positions": sites.positions} | changed))

    images = [np.arange(2000.0).reshape(40, 50), np.ones((30, 30))]
    reference = joblib.hash(remade())
    assert joblib.hash(remade()) == reference
    assert joblib.hash(copy.deepcopy(remade())) == reference
    assert joblib.hash(pickle.loads(pickle.dumps(remade()))) == reference
    assert joblib.hash({"X": [remade(), 1]}) == joblib.hash({"X": [remade(), 1]})
    # Memory layout is no content.
    positions = np.asfortranarray(np.tile(sites.positions, (2, 1)))[::1][:4]
    assert joblib.hash(remade(positions=positions)) == reference
    assert joblib.hash(remade(images=[np.asfortranarray(i) for i in images])) == (
        reference
    )
    other = [image.copy() for image in images]
    other[0][39, 49] += 1
    assert joblib.hash(remade(images=other)) != reference
    assert joblib.hash(remade(images=images[::-1])) != reference
    assert joblib.hash(remade(images=[images[0].reshape(20, 100), images[1]])) != (
        reference
    )
    assert joblib.hash(remade(pixel_size=0.02)) != reference
    assert joblib.hash(remade()[:3]) != reference
    assert joblib.hash(remade()[::-1]) != reference
    assert joblib.hash(remade()[[0, 1, 2, 3]]) == reference
    # Images of one's own that one may write to are read each time.
    writable = remade()
    writable.images[:] = [image.astype(np.float32) for image in images]
    assert joblib.hash(writable) == reference
    writable.images[0][0, 0] += 1
    assert joblib.hash(writable) != reference


def test_large_images_are_read_once_for_all_slices():
    image = np.zeros((8192, 4096), dtype=np.float32)
    image[5, 7] = 1
    sites = AtomSites(image, np.full((1000, 2), 9.0))
    parts = sites, sites[::2], sites[1:], AtomSites.concatenate([sites, sites[3:]])
    start = time.process_time()
    joblib.hash(sites)
    middle = time.process_time()
    hashes = {joblib.hash(part) for part in parts}
    assert len(hashes) == 4
    end = time.process_time()
    assert (end - middle) / 4 < 0.05 * (middle - start)


def test_digests_travel_and_memory_caches(sites, tmp_path, monkeypatch):
    sent = pickle.dumps(sites)
    reference = joblib.hash(sites)
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "sha256", None)
        received = pickle.loads(sent)
        assert joblib.hash(received) == reference
        assert joblib.hash(received[1:]) == joblib.hash(sites[1:])
    calls = []

    def count(sites):
        calls.append(len(sites))
        return len(sites)

    cached = joblib.Memory(tmp_path, verbose=0).cache(count)
    for again in (sites, pickle.loads(sent), sites[:2], sites[[0, 1]], sites):
        assert cached(again) == len(again)
    assert calls == [4, 2]


def _hash_in_worker(sites):
    return joblib.hash(sites), joblib.hash(sites[1:])


def test_workers_hash_as_the_parent_does():
    image = np.zeros((1024, 1024), dtype=np.float32)
    sites = AtomSites(image, [[1, 1], [2, 2]])
    hashes = joblib.Parallel(n_jobs=2)(
        joblib.delayed(_hash_in_worker)(sites) for _ in range(2)
    )
    assert hashes == [_hash_in_worker(sites)] * 2


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
        ({"lattice_vectors": [[1, 2]]}, r"lattice_vectors must have shape \(1, 2, 2\)"),
        ({"ellipticity": 1.0}, r"ellipticity must have shape \(1,\)"),
        ({"polarization": [1.0]}, r"polarization must have shape \(1, 2\)"),
        ({"pixel_size": -1}, "positive length in nm"),
        ({"pixel_size": [1, 1]}, "2 pixel sizes for 1 image"),
        ({"images": np.zeros((2, 2), complex)}, "real 2-D images"),
        ({"images": [np.zeros(3)]}, "real 2-D images"),
        ({"images": []}, "at least one image"),
        ({"images": np.full((4, 4), np.nan)}, "finite images"),
        ({"frame": [0.5]}, "frame must contain whole numbers"),
        ({"pixel_size": "0.02"}, "positive length in nm"),
    ],
)
def test_refusals(arguments, message):
    arguments = {"images": np.eye(4), "positions": [[1, 1]]} | arguments
    with pytest.raises(ValueError, match=message):
        AtomSites(**arguments)
