"""Usual mistakes raise one message, which names the cause and the remedy."""

import warnings

import numpy as np
import pytest
from PIL import Image
from skimage.transform import resize

from sklearn_ferroic import (
    AngleAwareScaler,
    AngleRegistration,
    AtomLocator,
    AtomSites,
    MultiReferenceAlignment,
    PatchExtractor,
    RotationalVAE,
    UNetAtomLocator,
    analyze,
)
from sklearn_ferroic.datasets import load_image, make_ferroic_image
from sklearn_ferroic.decomposition import AngularMoments
from sklearn_ferroic.inspection import (
    AngleHistogramDisplay,
    DomainMapDisplay,
    LatentDistributionDisplay,
)
from sklearn_ferroic.metrics import angular_error, circular_correlation, circular_mean

DEGREES = np.random.default_rng(0).uniform(-180, 180, 60)


@pytest.fixture(scope="module")
def film():
    return make_ferroic_image("film", shape=(160, 260), random_state=0)


@pytest.fixture(scope="module")
def sites(film):
    return AtomLocator().fit_transform((film.image, film.pixel_size))


def messages_of(function):
    """Return the texts of the warnings or of the error of a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            function()
        except (TypeError, ValueError) as error:
            return [str(error)]
    return [str(warning.message) for warning in caught]


# Images -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        AtomLocator().fit,
        UNetAtomLocator(weights="pretrained").fit_transform,
        lambda stack: AtomSites(stack, [[9, 9]]),
        analyze,
    ],
)
@pytest.mark.parametrize("n_images", [6, 20, 70])
def test_a_stack_with_its_images_along_the_last_axis(use, n_images):
    stack = np.random.default_rng(0).normal(size=(160, 160, n_images))
    (text,) = messages_of(lambda: use(stack))
    assert f"its {n_images} images along the last axis" in text
    assert "numpy.moveaxis(images, -1, 0)" in text


def test_a_stack_in_the_right_order_is_accepted(film):
    stack = np.stack([film.image[:, :160]] * 6)
    assert len(AtomSites(stack, [[9, 9]]).images) == 6
    assert len(AtomLocator().fit_transform(stack[:2]).images) == 2
    narrow = [np.ones((160, 6)) for _ in range(3)]
    assert len(AtomSites(narrow, [[9, 3]]).images) == 3


@pytest.mark.parametrize("n_channels", [3, 4])
@pytest.mark.parametrize(
    "use", [AtomLocator().fit, lambda image: AtomSites(image, [[9, 9]]), analyze]
)
def test_a_screenshot_as_an_array(film, use, n_channels):
    colour = np.repeat(np.uint8(film.image / 9)[..., None], n_channels, axis=-1)
    (text,) = messages_of(lambda: use(colour))
    assert "colour image (RGB or RGBA), such as a screenshot" in text
    assert "image[..., 0] if the channels are equal" in text


def test_a_screenshot_as_a_file(film, tmp_path):
    grey = np.uint8(255 * film.image / film.image.max())
    Image.fromarray(np.repeat(grey[..., None], 3, axis=-1)).save(tmp_path / "a.png")
    data = load_image(tmp_path / "a.png")
    assert "of equal colour channels, as in a screenshot" in data.description
    np.testing.assert_array_equal(data.image, grey)
    analysis = analyze(tmp_path / "a.png", stages="locate")
    texts = [text for text in analysis.summary["warnings"] if "8 bits" in text]
    assert len(texts) == 1
    assert "screenshot" in texts[0]
    assert "Use the file of the microscope" in texts[0]


@pytest.mark.parametrize(
    ("factor", "unit"), [(1e-9, "in m,"), (10, "in Å,"), (1000, "in pm,"), (1e-3, "µm")]
)
def test_a_pixel_size_in_another_unit(film, factor, unit):
    size = factor * film.pixel_size
    (text,) = messages_of(lambda: AtomLocator().fit_transform((film.image, size)))
    assert "nearest columns are" in text
    assert "those of crystals 0.1 to 0.6 nm" in text
    assert unit in text
    assert "(image, pixel_size)" in text
    analysis = analyze((film.image, size), stages="locate")
    doubts = [text for text in analysis.summary["warnings"] if "of crystals" in text]
    assert len(doubts) == 1
    assert "--pixel-size" in doubts[0]


@pytest.mark.parametrize("size", [None, 0.01, 0.02, 0.04])
def test_plausible_pixel_sizes(film, size):
    assert messages_of(lambda: AtomLocator().fit_transform((film.image, size))) == []


@pytest.mark.parametrize("spacing", [2.0, 2.5, 2.8])
def test_columns_of_a_few_pixels(spacing):
    film = make_ferroic_image("film", shape=(420, 420), random_state=0)
    shape = np.round(np.array(film.image.shape) * spacing / 12.3).astype(int)
    small = resize(film.image.astype(float), shape, anti_aliasing=True)
    (text,) = messages_of(lambda: AtomLocator().fit_transform(small))
    assert "px apart" in text
    assert "higher magnification, or one that was not binned" in text


def test_what_helps_where_columns_are_missing():
    noise = np.random.default_rng(0).normal(size=(120, 120))
    for locator in (AtomLocator(), UNetAtomLocator(weights="pretrained")):
        (text,) = messages_of(lambda locator=locator: locator.fit_transform(noise))
        assert "Dark columns (bright field, ABF) need -image" in text
        assert "spacing=" in text
        assert "threshold" not in text


# Positions and windows --------------------------------------------------------------


def test_positions_with_x_and_y_exchanged(film, sites):
    image, exchanged = film.image, film.positions[:, ::-1]
    off = np.count_nonzero(exchanged[:, 0] > 159.5)
    for use in (lambda: AtomSites(image, exchanged), lambda: sites.add(exchanged)):
        (text,) = messages_of(use)
        assert f"{off} of {len(exchanged)} positions are off the image" in text
        assert "of 160 x 260 px" in text
        assert "(row, col), that is (y, x)" in text
        assert "Pass positions[:, ::-1]" in text


def test_positions_off_the_image(film):
    far = AtomSites(film.image, [[20, 20], [500, 400], [40, 40]])
    for use in (PatchExtractor(window_size=40).transform, AtomLocator().refit):
        (text,) = messages_of(lambda use=use: use(far))
        assert "1 of 3 positions are off the image of 160 x 260 px" in text
        assert "row 500.0, col 400.0" in text
        assert "after cropping" in text


@pytest.mark.parametrize(
    ("size", "cause", "remedy"),
    [
        (12, "less than the unit cell, whose edge is 19.9 px", "at least 40 px"),
        (90, "more than half the side of image 0, 160 px", "at most 80 px"),
        (200, "larger than image 0", "Choose a smaller window"),
    ],
)
def test_windows_of_a_wrong_size(sites, size, cause, remedy):
    b = sites[sites.sublattice == 1]
    (text,) = messages_of(lambda: PatchExtractor(window_size=size).fit_transform(b))
    assert cause in text
    assert remedy in text
    for fits in (40, 48, 80):
        extractor = PatchExtractor(window_size=fits)
        assert messages_of(lambda extractor=extractor: extractor.transform(b)) == []


@pytest.mark.parametrize(
    "estimator", [RotationalVAE(max_epochs=1), MultiReferenceAlignment()]
)
def test_windows_with_nan(sites, estimator):
    b = sites[sites.sublattice == 1]
    patches = PatchExtractor(window_size=40, boundary="nan").fit_transform(b)
    bad = np.isnan(patches).any(axis=1)
    assert 0 < bad.sum() < len(bad)
    (text,) = messages_of(lambda: estimator.fit(patches))
    assert f"NaN or infinity in {bad.sum()} of {len(bad)} windows" in text
    assert f"in row {np.flatnonzero(bad)[0]}" in text
    assert 'PatchExtractor(boundary="nan"): use another boundary' in text


def test_too_few_windows():
    patches = np.random.default_rng(0).normal(size=(9, 100)).astype(np.float32)
    for n in (0, 1):
        for estimator in (RotationalVAE(), AngularMoments()):
            (text,) = messages_of(lambda e=estimator, n=n: e.fit(patches[:n]))
            assert f"X contains {n} sample(s), that is windows" in text
            assert "sites.sublattice" in text
    vae = RotationalVAE(latent_dim=1, n_hidden=8, max_epochs=1, random_state=0)
    (text,) = messages_of(lambda: vae.fit(patches))
    assert "trained on 9 windows" in text
    assert "Add images, or use the measured displacements" in text
    more = np.vstack([patches, patches[:1]])
    assert messages_of(lambda: vae.fit(more)) == []


def test_too_few_cells_for_an_analysis(film):
    (text,) = messages_of(lambda: analyze(film.image[:80, :80]))
    assert "at least 30 cells are needed" in text


# Angles -----------------------------------------------------------------------------


def pose():
    return np.column_stack([DEGREES, np.zeros((60, 2)), DEGREES % 7, DEGREES % 5])


@pytest.mark.parametrize(
    "use",
    [
        lambda: circular_mean(DEGREES),
        lambda: angular_error(DEGREES, DEGREES + 1),
        lambda: angular_error(np.radians(DEGREES), DEGREES),
        lambda: circular_correlation(DEGREES, DEGREES + 1),
        lambda: AngleAwareScaler().fit(pose()),
        lambda: AngleRegistration().fit(pose(), np.tile([1.0, 2.0], (60, 1))),
        lambda: AngleHistogramDisplay.from_predictions(DEGREES),
        lambda: LatentDistributionDisplay.from_predictions(
            np.column_stack([DEGREES, DEGREES]), angle=DEGREES
        ),
        lambda: DomainMapDisplay.from_sites(
            AtomSites(np.zeros((90, 90)), np.arange(120.0).reshape(60, 2) % 80), DEGREES
        ),
    ],
)
def test_angles_in_degrees(use):
    (text,) = messages_of(use)
    assert "radians" in text
    assert "numpy.radians" in text
    assert " 17" in text or " 18" in text  # the largest value
