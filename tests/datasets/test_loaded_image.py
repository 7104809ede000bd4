"""Crops of loaded images keep pixel size, metadata and frames."""

import pickle

import joblib
import numpy as np
import pytest
import tifffile

from sklearn_ferroic import AtomLocator, AtomSites
from sklearn_ferroic.analysis import analyze
from sklearn_ferroic.datasets import load_image, make_ferroic_image
from sklearn_ferroic.registration import FrameAverager

IMAGE = (100 * np.arange(40)[:, None] + np.arange(52)).astype(np.float32)
STACK = np.stack([IMAGE, IMAGE + 5000, IMAGE + 9000])


def loaded(folder, array, pixel_size=0.02):
    path = folder / "image: 1.tif"
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        resolution=(1 / pixel_size,) * 2,
        metadata={"unit": "nm", "axes": "ZYX"[-array.ndim :]},
    )
    return load_image(path)


def test_crop_of_an_image(tmp_path):
    data = loaded(tmp_path, IMAGE)
    part = data[5:30, 10:50]
    np.testing.assert_array_equal(part.image, IMAGE[5:30, 10:50])
    assert type(part) is type(data)
    assert part.pixel_size == data.pixel_size == pytest.approx(0.02)
    assert part.metadata["imagej"] == data.metadata["imagej"]
    assert part.metadata["crop"] == {"rows": [5, 30, 1], "columns": [10, 50, 1]}
    assert part.path == data.path
    assert (
        "image: 1.tif, series 0: 25 x 40 px of float32; 0.02 nm per pixel"
        in part.description
    )
    assert "crop" not in data.metadata
    np.testing.assert_array_equal(data[5:].image, IMAGE[5:])
    np.testing.assert_array_equal(data[:, :7].image, IMAGE[:, :7])
    np.testing.assert_array_equal(np.asarray(part), part.image)


def test_crop_of_a_crop_counts_in_the_pixels_of_the_file(tmp_path):
    data = loaded(tmp_path, IMAGE)
    part = data[5:30, 10:50][2:-3, 4:30]
    crop = part.metadata["crop"]
    assert crop == {"rows": [7, 27, 1], "columns": [14, 40, 1]}
    rows, columns = (slice(*crop[name]) for name in ("rows", "columns"))
    np.testing.assert_array_equal(part.image, IMAGE[rows, columns])


def test_crop_of_a_stack_keeps_its_frames(tmp_path):
    data = loaded(tmp_path, STACK)
    part = data[5:30, 10:50]
    np.testing.assert_array_equal(part.image, STACK[:, 5:30, 10:50])
    np.testing.assert_array_equal(data[..., 5:30, 10:50].image, part.image)
    np.testing.assert_array_equal(data[1].image, STACK[1])
    assert data[-1].metadata["crop"]["frames"] == [2, 3, 1]
    np.testing.assert_array_equal(data[1:].image, STACK[1:])
    np.testing.assert_array_equal(data[1:, 3:9, 4:9].image, STACK[1:, 3:9, 4:9])
    assert data[1:].pixel_size == data[1].pixel_size == data.pixel_size


def test_steps_enlarge_the_pixel(tmp_path):
    data = loaded(tmp_path, IMAGE)
    part = data[::2, 1::2]
    np.testing.assert_array_equal(part.image, IMAGE[::2, 1::2])
    assert part.pixel_size == pytest.approx(0.04)
    with pytest.raises(
        ValueError, match="steps along rows and columns differ, 2 and 1"
    ):
        data[::2]
    assert data[:, ::-1].pixel_size == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ((3, slice(None)), IndexError, "rows of an image are cropped by slices"),
        (IMAGE > 40, IndexError, "rows of an image are cropped by slices"),
        ((slice(9, 9), slice(None)), ValueError, "Nothing is left of the image"),
        ((0, slice(9), slice(9)), IndexError, "Got 3 indices for an image"),
        ((slice(9), ...), IndexError, "ellipsis is possible only before"),
    ],
)
def test_wrong_crops_are_refused(tmp_path, key, error, message):
    with pytest.raises(error, match=message):
        loaded(tmp_path, IMAGE)[key]


def test_it_is_still_a_bunch(tmp_path):
    data = loaded(tmp_path, IMAGE)
    assert data["pixel_size"] == data.pixel_size
    with pytest.raises(KeyError):
        data["nothing"]
    part = data[5:30, 10:50]
    again = pickle.loads(pickle.dumps(part))
    np.testing.assert_array_equal(again.image, part.image)
    assert type(again) is type(part)
    assert joblib.hash(part) != joblib.hash(data)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    data = make_ferroic_image("film", shape=(160, 176), random_state=0)
    return data, loaded(tmp_path_factory.mktemp("film"), data.image.astype(np.float32))


def test_locator_takes_a_crop_and_keeps_its_metadata(tmp_path, film):
    _, data = film
    part = data[10:150, 20:170]
    sites = AtomLocator().fit_transform(part)
    expected = AtomLocator().fit_transform((part.image, part.pixel_size))
    assert sites == expected
    assert sites.pixel_size == (part.pixel_size,)
    (metadata,) = sites.metadata
    assert metadata["file"] == "image: 1.tif"
    assert metadata["imagej"]["unit"] == "nm"
    assert metadata["crop"] == {"rows": [10, 150, 1], "columns": [20, 170, 1]}
    sites.to_csv(tmp_path / "sites.csv")
    sites.to_hdf5(tmp_path / "sites.h5")
    for again in (
        AtomSites.from_csv(tmp_path / "sites.csv"),
        AtomSites.from_hdf5(tmp_path / "sites.h5"),
        pickle.loads(pickle.dumps(sites)),
    ):
        assert again.metadata == [metadata]
    refitted = AtomLocator().fit(part).refit(sites)
    assert refitted.metadata == [metadata]


def test_stack_keeps_its_metadata_for_each_frame(film):
    _, data = film
    frames = type(data)(**dict(data) | {"image": np.stack([data.image] * 2)})
    locator = AtomLocator().fit(data)
    sites = locator.transform(frames)
    assert [one["file"] for one in sites.metadata] == ["image: 1.tif"] * 2
    mixed = locator.transform([data, data.image])
    assert mixed.metadata[0]["file"] == "image: 1.tif"
    assert mixed.metadata[1] == {}


def test_averages_keep_the_metadata_of_their_frames(film):
    _, data = film
    shifted = np.stack([data.image[1:, 2:], data.image[:-1, :-2]])
    frames = type(data)(**dict(data) | {"image": shifted})
    average = FrameAverager().fit_transform(frames)
    assert average.metadata["imagej"]["unit"] == "nm"
    sites = AtomLocator().fit_transform(average)
    assert sites.metadata[0]["file"] == "image: 1.tif"


def test_analysis_keeps_the_metadata(film):
    _, data = film
    analysis = analyze(data, stages="locate")
    assert analysis.sites.metadata[0]["file"] == "image: 1.tif"
    assert analysis.sites.metadata[0]["imagej"]["unit"] == "nm"


def test_metadata_are_plain_and_short():
    metadata = {
        "array": np.arange(5000.0),
        "short": np.array([1, 2]),
        b"key": b"value\0\0",
        "number": np.float32(1.5),
        "nan": float("nan"),
        "nested": {
            "list": [1, (2, 3)],
            5: {
                1,
            },
        },
        "object": slice(1, 2),
    }
    sites = AtomSites(IMAGE, [[4, 5]], metadata=metadata)
    assert sites.metadata == [
        {
            "array": "array of shape (5000,) and type float64",
            "short": [1, 2],
            "key": "value",
            "number": 1.5,
            "nan": None,
            "nested": {"list": [1, [2, 3]], "5": [1]},
            "object": "slice(1, 2, None)",
        }
    ]
    assert AtomSites(IMAGE, [[4, 5]]).metadata == [{}]
    assert AtomSites(IMAGE, [[4, 5]]) == sites
    with pytest.raises(ValueError, match="Got metadata of 2 for 1 image"):
        AtomSites(IMAGE, [[4, 5]], metadata=[{}, {}])
    with pytest.raises(TypeError, match="a dictionary or None, got 'text'"):
        AtomSites(IMAGE, [[4, 5]], metadata=["text"])


@pytest.mark.parametrize("key", [3, slice(None, 2), (slice(None), slice(2, 20))])
def test_a_crop_does_not_share_memory(tmp_path, key):
    np.save(tmp_path / "stack.npy", np.arange(4.0 * 30 * 40).reshape(4, 30, 40))
    data = load_image(tmp_path / "stack.npy")
    assert not np.shares_memory(data[key].image, data.image)
