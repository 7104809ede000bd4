"""Extreme values: the same result in other units and on offsets, or a refusal."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn import clone

from sklearn_ferroic import (
    AtomLocator,
    AtomSites,
    MultiReferenceAlignment,
    PatchExtractor,
    RotationalVAE,
    UNetAtomLocator,
)
from sklearn_ferroic._angles import wrap_angle
from sklearn_ferroic._torch.callbacks import FiniteLoss
from sklearn_ferroic._utils.offset import find_image_offset, find_patch_offset
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.decomposition import AngularMoments
from sklearn_ferroic.decomposition._pose.geometry import pose, sample

FAST = dict(latent_dim=1, n_hidden=8, max_epochs=3, random_state=0, device="cpu")


@pytest.fixture(scope="module")
def windows():
    """Spots at one of four places around the centre."""
    row, col = np.mgrid[-6:7, -6:7]
    spot = np.exp(-((row - 3) ** 2 + col**2) / 4)
    windows = np.stack([np.rot90(spot, k % 4) for k in range(80)])
    return windows + np.random.RandomState(0).normal(0, 0.05, windows.shape)


@pytest.mark.parametrize("unit", [1e-30, 1e30, 1e35, 1e37, 2e38])
@pytest.mark.parametrize("encoder", ["invariant", "convolutional"])
def test_units_do_not_matter(windows, unit, encoder):
    ours = RotationalVAE(**FAST, encoder=encoder).fit(windows)
    other = RotationalVAE(**FAST, encoder=encoder).fit(windows * unit)
    np.testing.assert_allclose(other.loss_curve_, ours.loss_curve_, rtol=0.02)
    np.testing.assert_allclose(other.noise_std_, ours.noise_std_ * unit, rtol=0.02)
    assert np.isfinite(other.transform(windows * unit)).all()
    assert np.isfinite(other.score(windows * unit))


def test_signs_of_huge_values_may_differ(windows):
    """The difference of two such values is no float32."""
    huge = (windows - 0.5) * 3e38
    vae = RotationalVAE(**FAST).fit(huge)
    ours = RotationalVAE(**FAST).fit(windows)
    np.testing.assert_allclose(vae.loss_curve_, ours.loss_curve_, rtol=0.02)


@pytest.mark.parametrize("decoder", ["canonical", "coordinate"])
@pytest.mark.parametrize("encoder", ["invariant", "convolutional", "dense"])
@pytest.mark.parametrize("learning_rate", [1e5, 1e10, 1e38, 1e300])
def test_absurd_learning_rates_end_with_an_error(
    windows, encoder, decoder, learning_rate
):
    """They once ended the interpreter. A finite loss must come with finite weights."""
    vae = RotationalVAE(
        **FAST, encoder=encoder, decoder=decoder, learning_rate=learning_rate
    )
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            vae.fit(windows)
    except ValueError as error:
        assert "learning_rate" in str(error)
        assert not hasattr(vae, "weights_")
    else:
        assert all(np.isfinite(value).all() for value in vae.weights_.values())
        assert any("Lower learning_rate" in str(one.message) for one in caught)


def test_no_gradient_of_a_loss_that_is_not_finite():
    class Overflow(torch.nn.Module):
        def forward(self, value, _):
            return value * float("inf")

    with pytest.raises(ValueError, match="no longer finite"):
        FiniteLoss(Overflow(), 0.1)(torch.ones(1, requires_grad=True).sum(), None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_no_image_is_sampled_at_points_that_are_not_finite(bad):
    images, zero = torch.ones(1, 5, 5), torch.zeros(1, 2)
    with pytest.raises(ValueError, match="not finite"):
        pose(images, torch.tensor([bad]), zero, (3, 3))
    with pytest.raises(ValueError, match="not finite"):
        pose(images, torch.zeros(1), zero + bad, (3, 3))
    with pytest.raises(ValueError, match="not finite"):
        sample(images, torch.zeros(1, 1, 2), zero + bad)


def test_weights_that_end_not_finite_are_refused(windows):
    """The last step of a training has no loss after it."""
    from skorch.callbacks import Callback

    class Break(Callback):
        def on_train_end(self, net, **kwargs):
            with torch.no_grad():
                next(net.module_.parameters()).fill_(float("nan"))

    vae = RotationalVAE(**FAST, callbacks=[Break()])
    with pytest.raises(ValueError, match="Some weights are no longer finite"):
        vae.fit(windows)
    assert not hasattr(vae, "weights_")


def test_values_too_small_for_float32_are_refused(windows):
    with pytest.raises(ValueError, match="Multiply X"):
        RotationalVAE(**FAST).fit(windows * 1e-300)


@pytest.mark.parametrize("offset", [1e5, 1e8, -1e10])
@pytest.mark.parametrize(
    "estimator",
    [
        RotationalVAE(**FAST),
        RotationalVAE(**FAST, encoder="convolutional"),
        RotationalVAE(**FAST, encoder="dense", scaling="max"),
        MultiReferenceAlignment(random_state=0),
    ],
)
def test_patches_on_a_large_offset(windows, estimator, offset):
    """float32 resolves steps of 8 at 1e8; the contrast is 1."""
    windows = windows - windows.min()
    shifted = windows + offset
    ours, other = clone(estimator).fit(windows), clone(estimator).fit(shifted)
    columns, expected = other.transform(shifted), ours.transform(windows)
    turn = wrap_angle(columns[:, 0] - expected[:, 0])
    np.testing.assert_allclose(turn, 0, atol=0.01)
    np.testing.assert_allclose(columns[:, 1:], expected[:, 1:], atol=0.01)
    # drawn patches are in the units of the data, with their offset
    drawn = other.inverse_transform(columns) - offset
    np.testing.assert_allclose(drawn, ours.inverse_transform(expected), atol=0.01)


def test_moments_on_a_large_offset(windows):
    expected = AngularMoments().fit_transform(windows)[:, 0]
    angle = AngularMoments().fit_transform(windows + 1e8)[:, 0]
    np.testing.assert_allclose(wrap_angle(angle - expected), 0, atol=1e-5)


def test_the_offset_of_the_fit_is_kept(windows, tmp_path):
    """Scores, images, copies and continued fits use it too."""
    ours = RotationalVAE(**FAST).fit(windows)
    path = tmp_path / "fit.npz"
    other = RotationalVAE(**FAST, checkpoint=path).fit(windows + 1e8)
    np.testing.assert_allclose(other.score(windows + 1e8), ours.score(windows), 1e-3)
    np.testing.assert_allclose(other.noise_std_, ours.noise_std_, rtol=1e-3)
    image = other.decode(np.zeros((1, 1))) - 1e8
    np.testing.assert_allclose(image, ours.decode(np.zeros((1, 1))), atol=1e-3)
    expected = other.transform(windows + 1e8)
    for copy in (
        RotationalVAE.from_checkpoint(path),
        pickle.loads(pickle.dumps(other)),
        RotationalVAE(**FAST, checkpoint=path).fit(windows + 1e8),  # finished already
    ):
        np.testing.assert_array_equal(copy.transform(windows + 1e8), expected)
    before = other.score(windows + 1e8)
    other.set_params(checkpoint=None).partial_fit(windows + 1e8)
    assert abs(other.score(windows + 1e8) - before) < 0.5
    # another fit finds an offset of its own
    np.testing.assert_allclose(
        other.set_params(random_state=0).fit(windows).score(windows),
        ours.score(windows),
        1e-6,
    )


def test_ordinary_offsets_are_left_alone(windows):
    """No bit changes where float32 is enough."""
    for values in (windows + 100, (windows + 1e5).astype(np.float32)):
        assert find_patch_offset(values) == find_image_offset(values[0]) == 0
    assert find_image_offset(np.full((9, 9), 1e8)) == 0
    assert find_image_offset(np.full((9, 9), np.nan)) == 0


@pytest.fixture(scope="module")
def image():
    data = make_ferroic_image("film", shape=(160, 176), random_state=0)
    return (data.image - data.image.min()).astype(np.float64) / np.ptp(data.image)


@pytest.mark.parametrize("offset", [1e4, 1e8, -1e12])
def test_images_on_a_large_offset(image, offset):
    expected = AtomLocator().fit_transform(image)
    sites = AtomLocator().fit_transform(image + offset)
    np.testing.assert_allclose(sites.positions, expected.positions, atol=2e-3)
    np.testing.assert_allclose(sites.position_std, expected.position_std, rtol=0.01)
    windows = PatchExtractor(window_size=24).fit_transform(sites)
    known = PatchExtractor(window_size=24).fit_transform(expected)
    np.testing.assert_allclose(windows, known, atol=2e-3)


def test_the_network_locates_on_a_large_offset(image):
    locator = UNetAtomLocator(weights="pretrained", device="cpu")
    expected = locator.fit_transform(image)
    sites = locator.fit_transform(image + 1e8)
    np.testing.assert_allclose(sites.positions, expected.positions, atol=2e-3)


def test_integers_on_a_large_offset(image):
    counts = np.round(image * 1000).astype(np.int64)
    sites = AtomLocator().fit_transform(counts + 2**40)
    expected = AtomLocator().fit_transform(counts)
    np.testing.assert_allclose(sites.positions, expected.positions, atol=2e-3)


def test_outliers_do_not_hide_the_offset(image):
    """Dead and hot pixels and lines, and masked pixels with any value."""
    broken = image.copy()
    broken[80, 88], broken[81, 88] = -1e8, 2e8
    masked = np.ma.masked_array(image.copy(), mask=False)
    masked[80:82, 88] = np.ma.masked
    masked.data[81, 88] = 1e300
    lines = image.copy()
    lines[100], lines[:, 30] = -1e8, 1e8
    for bad in (broken, masked, lines):
        expected = AtomLocator().fit_transform(bad)
        sites = AtomLocator().fit_transform(bad + 1e8)
        np.testing.assert_allclose(sites.positions, expected.positions, atol=2e-3)


def test_sites_of_an_image_on_a_large_offset(image, tmp_path):
    """Their own image is stored without it, and a file finds it again."""
    positions = AtomLocator().fit_transform(image).positions
    sites = AtomSites(image + 1e8, positions)
    np.testing.assert_allclose(np.ptp(sites.images[0]), np.ptp(image), rtol=1e-6)
    extractor = PatchExtractor(window_size=24)
    known = extractor.fit_transform(AtomSites(image, positions))
    np.testing.assert_allclose(extractor.fit_transform(sites), known, atol=1e-5)
    sites.to_hdf5(tmp_path / "sites.h5", images=False)
    again = AtomSites.from_hdf5(tmp_path / "sites.h5", images=image + 1e8)
    assert again == sites
