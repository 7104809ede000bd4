"""Images of HyperSpy, xarray and sidpy go into AtomLocator as they are."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.input import check_images
from sklearn_ferroic.datasets import make_ferroic_image

IMAGE = np.random.RandomState(0).poisson(40, (40, 52)).astype(np.float32)
STACK = np.stack([IMAGE, IMAGE + 1])


def as_xarray(array, steps, units, **options):
    dims = ("image", "y", "x")[-array.ndim :]
    coords = {
        dim: (dim, 3 + step * np.arange(n), {"units": unit})
        for dim, n, step, unit in zip(
            dims[-2:], array.shape[-2:], steps, units, strict=True
        )
    }
    if array.ndim == 3:
        coords["image"] = list(range(len(array)))
    return xarray.DataArray(array, coords=coords, dims=dims, **options)


def as_sidpy(array, steps, units):
    sidpy = pytest.importorskip("sidpy")
    dataset = sidpy.Dataset.from_array(array, title="HAADF")
    for i in range(array.ndim):
        j = i - (array.ndim - 2)
        step, unit = (steps[j], units[j]) if j >= 0 else (1.0, "s")
        dimension = sidpy.Dimension(
            step * np.arange(array.shape[i]),
            name="zyx"[i - array.ndim],
            units=unit,
            quantity="length",
            dimension_type="spatial" if j >= 0 else "temporal",
        )
        dataset.set_dimension(i, dimension)
    return dataset


class SidpyStandIn(np.ndarray):
    """What of sidpy's Dataset is looked at, where that is not installed."""

    def get_image_dims(self):
        return [self.ndim - 2, self.ndim - 1]


def as_sidpy_stand_in(array, steps, units):
    dataset = array.view(SidpyStandIn)
    for i, (step, unit) in enumerate(zip(steps, units, strict=True), array.ndim - 2):
        values = step * np.arange(array.shape[i])
        setattr(dataset, f"dim_{i}", SimpleNamespace(values=values, units=unit))
    dataset.dim_0 = getattr(dataset, "dim_0", None)
    return dataset


def as_hyperspy(array, steps, units):
    """Stand in for hyperspy.signals.Signal2D, whose axes run x, y."""
    axes = [SimpleNamespace(scale=1.0, units="s")] * (array.ndim - 2)
    axes += [
        SimpleNamespace(scale=step, units=unit)
        for step, unit in zip(steps, units, strict=True)
    ]
    axes = [
        SimpleNamespace(index_in_array=i, **vars(axis)) for i, axis in enumerate(axes)
    ]
    manager = SimpleNamespace(signal_axes=axes[:-3:-1], navigation_axes=axes[-3::-1])
    return SimpleNamespace(data=array, axes_manager=manager)


KINDS = [as_xarray, as_sidpy, as_sidpy_stand_in, as_hyperspy]


@pytest.mark.parametrize(
    ("step", "unit", "nm"),
    [
        (0.0173, "nm", 0.0173),
        (0.0173, "nanometers", 0.0173),
        (0.173, "Å", 0.0173),
        (0.173, "angstrom", 0.0173),
        (17.3, "pm", 0.0173),
        (1.73e-5, "µm", 0.0173),
        (1.73e-11, "m", 0.0173),
        (0.0173, "1/nm", None),
        (1.0, "generic", None),
        (0.0173, "ms", None),
    ],
)
@pytest.mark.parametrize("carry", KINDS)
def test_pixel_size(carry, step, unit, nm):
    arrays, _, sizes = check_images(carry(IMAGE, (step, step), (unit, unit)))
    np.testing.assert_array_equal(arrays[0], IMAGE)
    assert sizes == [None if nm is None else pytest.approx(nm, rel=1e-6)]


@pytest.mark.parametrize("carry", KINDS)
def test_stacks_and_lists(carry):
    arrays, _, sizes = check_images(carry(STACK, (0.02, 0.02), ("nm", "nm")))
    np.testing.assert_array_equal(arrays, STACK)
    assert sizes == [pytest.approx(0.02)] * 2
    first = carry(IMAGE, (0.02, 0.02), ("nm", "nm"))
    arrays, _, sizes = check_images([first, IMAGE[:20], (IMAGE, 0.03)])
    assert [array.shape for array in arrays] == [(40, 52), (20, 52), (40, 52)]
    assert sizes == [pytest.approx(0.02), None, 0.03]


@pytest.mark.parametrize("carry", KINDS)
def test_pixels_that_are_not_square(carry):
    image = carry(IMAGE, (0.02, 0.03), ("nm", "nm"))
    message = r"not square: 0\.02 nm along the rows' axis and 0\.03 nm.*pixel_size\)"
    with pytest.raises(ValueError, match=message):
        check_images(image)
    mixed = carry(IMAGE, (0.02, 20.0), ("nm", "pm"))
    assert check_images(mixed)[2] == [pytest.approx(0.02)]


@pytest.mark.parametrize("carry", KINDS)
def test_what_is_no_image_is_refused(carry):
    with pytest.raises(ValueError, match=r"shape \(2, 2, 40, 52\)"):
        check_images(as_hyperspy(np.stack([STACK, STACK]), (1, 1), ("nm", "nm")))
    with pytest.raises(ValueError, match="Complex data not supported"):
        check_images(carry(IMAGE * 1j, (0.02, 0.02), ("nm", "nm")))


def test_xarray_without_coordinates_or_with_uneven_ones():
    assert check_images(xarray.DataArray(IMAGE))[2] == [None]
    uneven = as_xarray(IMAGE, (0.02, 0.02), ("nm", "nm"))
    uneven = uneven.isel(x=np.r_[0:20, 30:52])
    assert check_images(uneven)[2] == [None]


def test_a_collection_of_xarrays_is_no_image():
    dataset = as_xarray(IMAGE, (0.02, 0.02), ("nm", "nm"), name="HAADF").to_dataset()
    with pytest.raises(TypeError, match="Give a 2-D grey image"):
        check_images(dataset)


def test_axes_of_xarray_are_read_by_their_names():
    array = as_xarray(IMAGE, (0.02, 0.02), ("nm", "nm"), name="HAADF")
    np.testing.assert_array_equal(check_images(array.transpose())[0][0], IMAGE)
    renamed = array.rename(x="a", y="b")
    np.testing.assert_array_equal(check_images(renamed.transpose())[0][0], IMAGE.T)


def test_axes_are_read_by_their_names_where_a_pixel_size_is_given():
    array = as_xarray(IMAGE, (0.0173, 0.0346), ("nm", "nm")).transpose("x", "y")
    (image,), _, (size,) = check_images((array, 0.02))
    np.testing.assert_array_equal(image, IMAGE)
    assert size == 0.02


@pytest.mark.parametrize("carry", KINDS)
def test_the_locator_hands_the_pixel_size_on(carry):
    data = make_ferroic_image("film", shape=(160, 170), random_state=0)
    expected = AtomLocator().fit_transform(data)
    sites = AtomLocator().fit_transform(carry(data.image, (0.2, 0.2), ("Å", "Å")))
    np.testing.assert_array_equal(sites.positions, expected.positions)
    assert sites.pixel_size == (pytest.approx(0.02),)
