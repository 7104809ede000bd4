"""Every wrong input is refused with a message that helps."""

import joblib
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.utils import Bunch

from sklearn_ferroic import AtomLocator, AtomSites
from sklearn_ferroic._image.input import check_images
from sklearn_ferroic.localization import _batch
from sklearn_ferroic.localization._detection.calibration import calibrate


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize(
    "images, error, message",
    [
        (np.empty((0, 32)), ValueError, r"image 0 of shape \(0, 32\) is empty"),
        (np.empty((0, 32, 32)), ValueError, "empty stack"),
        ([], ValueError, "empty list of images"),
        (np.full((64, 64), 7.0), ValueError, r"constant \(7.0\).*no atomic columns"),
        (np.where(np.eye(64) > 0, np.nan, 1), ValueError, r"64 pixel.*NaN or infinity"),
        (np.where(np.eye(64) > 0, np.inf, 1), ValueError, "NaN or infinity"),
        (noise(64, 64) * 1e300, ValueError, "in float32"),
        (noise(64, 64) + 1j, ValueError, "Complex data not supported.*numpy.abs"),
        (noise(64, 64, 3), ValueError, r"\(64, 64, 3\) looks like a colour image"),
        (noise(64, 64, 4), ValueError, r"colour.*rgb2gray"),
        ([noise(64, 64, 3), noise(64, 64)], ValueError, "rgb2gray"),
        (noise(64), ValueError, r"shape \(64,\)\. Give a 2-D grey image"),
        (noise(2, 2, 64, 64), ValueError, "Give a 2-D grey image"),
        (np.float64(3), ValueError, r"shape \(\)"),
        ("image.tif", TypeError, "load_image"),
        (AtomSites(np.eye(20), [[3, 3]]), TypeError, "AtomSites where images"),
        (np.array([[None] * 20] * 20), TypeError, "dtype object"),
        (["a", "b"], TypeError, "expected real numbers"),
        ([[1.0, 2.0], [1.0]], TypeError, "not a regular array"),
        (noise(11, 64), ValueError, r"\(11, 64\) is too small"),
        ((noise(64, 64), -0.1), ValueError, "positive length in nm or None, got -0.1"),
        ((noise(64, 64), "0.1"), ValueError, "pixel size of image 0"),
        (
            noise(128, 128),
            ValueError,
            "No columns found in image 0.*UNetAtomLocator.*spacing=",
        ),
    ],
)
def test_refused_with_a_message(images, error, message):
    locator = AtomLocator()
    with pytest.raises(error, match=message):
        locator.fit(images)
    assert not hasattr(locator, "spacing_")


def test_the_failing_image_is_named(columns):
    good = columns().image
    with pytest.raises(ValueError, match="image 1 of shape"):
        AtomLocator().fit([good, np.zeros((50, 50))])
    locator = AtomLocator().fit(good)
    with pytest.raises(ValueError, match="No columns found in image 1"):
        locator.transform([good, np.eye(60)[::-1] * 1e-3 + noise(60, 60)])


def test_smooth_images_hold_no_columns(columns):
    row, col = np.mgrid[:200, :200]
    locator = AtomLocator().fit(columns().image)
    for smooth in (row + col, (row - 100.0) ** 2 + (col - 100.0) ** 2):
        with pytest.raises(ValueError, match="No columns found in image 0"):
            AtomLocator(spacing=14.0).fit(smooth)
        with pytest.raises(ValueError, match="No columns found in image 0"):
            locator.transform(smooth)


def test_a_single_column():
    row, col = np.mgrid[:64, :64]
    image = 100 * np.exp(-((row - 30.25) ** 2 + (col - 33.5) ** 2) / (2 * 2.5**2))
    image = image + noise(64, 64)
    sites = AtomLocator(spacing=14.0).fit_transform(image)
    assert sites.positions == pytest.approx(np.array([[30.25, 33.5]]), abs=0.25)
    assert np.isnan(sites.polarization).all()
    assert np.isnan(sites.lattice_position).all()


def test_smaller_than_three_spacings(columns):
    image = columns(cell=40).image
    with pytest.raises(ValueError, match=r"smaller than 3 column spacings of 28\.. px"):
        AtomLocator(spacing=28.3).fit(image[:80])
    locator = AtomLocator().fit(image)
    for method in (locator.transform, locator.score):
        with pytest.raises(ValueError, match=r"Image 1 .* than 3 column spacings"):
            method([image, image[:80]])


@pytest.mark.parametrize(
    "params, message",
    [
        ({"spacing": 0}, "'spacing' parameter"),
        ({"spacing": -3.0}, "'spacing' parameter"),
        ({"threshold": 1.5}, "'threshold' parameter"),
        ({"refine": "lorentzian"}, "'refine' parameter.*center_of_mass"),
        ({"n_sublattices": 5}, "'n_sublattices' parameter"),
        ({"n_sublattices": "many"}, "'n_sublattices' parameter"),
        ({"sublattice": -1}, "'sublattice' parameter"),
        ({"sublattice": "A"}, "sublattice"),
        ({"sublattice": []}, r"sublattice must be .* got \[\]"),
        ({"sublattice": [0.5]}, "sublattice must be"),
        ({"sublattice": True}, "'sublattice' parameter .* must be an int"),
    ],
)
def test_unknown_options(columns, params, message):
    with pytest.raises(ValueError, match=message):
        AtomLocator(**params).fit(columns().image)
    fitted = AtomLocator().fit(columns().image).set_params(**params)
    for method in (fitted.transform, fitted.score):
        with pytest.raises(ValueError, match=message):
            method(columns().image)


def test_not_fitted(columns):
    for method in ("transform", "score"):
        with pytest.raises(NotFittedError):
            getattr(AtomLocator(), method)(columns().image)


def test_containers_are_unpacked():
    first, second = noise(20, 30), noise(40, 25)
    arrays, _, sizes = check_images(
        [Bunch(image=first, pixel_size=0.1), (second, None)]
    )
    assert [a.shape for a in arrays] == [(20, 30), (40, 25)]
    assert all(a.dtype == np.float32 for a in arrays)
    assert sizes == [0.1, None]
    arrays, _, sizes = check_images((first, second))
    assert (len(arrays), sizes) == (2, [None, None])
    pair = (Bunch(image=first, pixel_size=0.1), Bunch(image=second))
    arrays, _, sizes = check_images(pair)
    assert ([a.shape for a in arrays], sizes) == ([(20, 30), (40, 25)], [0.1, None])
    arrays, _, sizes = check_images((first, np.array(0.3)))
    assert (len(arrays), sizes) == (1, [0.3])
    arrays, _, _ = check_images(first.tolist())
    assert arrays[0].shape == (20, 30)
    arrays, _, sizes = check_images((np.stack([first, first]), 0.2))
    assert (len(arrays), sizes) == (2, [0.2, 0.2])


def test_float32_images_are_shared_not_copied():
    image = noise(20, 30).astype(np.float32)
    assert check_images(image)[0][0] is image


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_jobs_keep_the_order_and_name_the_image_that_fails(columns, backend):
    images = [
        columns(seed=seed, shape=(160 + 20 * seed, 170)).image for seed in range(3)
    ]
    alone = AtomLocator().fit(images)
    expected = alone.transform(images)
    with joblib.parallel_config(backend=backend):
        locator = AtomLocator(n_jobs=2)
        sites = locator.fit_transform(images)
        assert np.array_equal(sites.frame, expected.frame)
        # Other processes may multiply matrices in another order.
        assert sites.positions == pytest.approx(expected.positions, abs=1e-3)
        assert locator.score(images) == pytest.approx(alone.score(images))
        with pytest.raises(ValueError, match="No columns found in image 2"):
            locator.transform([*images[:2], noise(90, 90)])


def test_unforeseen_errors_name_the_image(columns, monkeypatch):
    def fail(context, *args, **kwargs):
        if len(context.image) == 90:
            raise MemoryError("out of memory")
        return calibrate(context, *args, **kwargs)

    monkeypatch.setattr(_batch, "calibrate", fail)
    image = columns().image
    with pytest.raises(RuntimeError, match="Image 1 could not be located: MemoryErr"):
        AtomLocator().fit([image, image[:90]])
