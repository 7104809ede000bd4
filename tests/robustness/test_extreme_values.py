"""Finite but extreme values: the same result in other units, or a clear refusal."""

import warnings

import numpy as np
import pytest
import torch

from sklearn_ferroic import RotationalVAE
from sklearn_ferroic._torch.callbacks import FiniteLoss
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


def test_contrast_that_float32_would_lose_is_refused(windows):
    with pytest.raises(ValueError, match=r"Subtract the offset: X - X\.mean"):
        RotationalVAE(**FAST).fit(windows + 1e8)
    with pytest.raises(ValueError, match="Multiply X"):
        RotationalVAE(**FAST).fit(windows * 1e-300)
    # an offset that float32 can carry is none of these
    RotationalVAE(**FAST).fit(windows + 1e3)
