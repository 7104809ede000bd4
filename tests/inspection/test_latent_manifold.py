import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ferroic import RotationalVAE
from sklearn_ferroic.inspection import LatentManifoldDisplay


class Painter(BaseEstimator):
    """Paints images of 4 x 6 px: latent i fills row i; the last row is 9."""

    def __init__(self, latent_dim=3):
        self.latent_dim = latent_dim

    def fit(self):
        self.fitted_ = True
        return self

    def decode(self, latents):
        assert latents.shape[1] == self.latent_dim
        images = np.zeros((len(latents), 4, 6))
        images[:, : self.latent_dim] = latents[:, :, None]
        images[:, 3] = 9
        return images


def shown(display, ax_x, ax_y, row):
    """Read one row of the image at a place of the grid, as it is drawn."""
    mosaic = display.image_.get_array()
    left, right, bottom, top = display.image_.get_extent()
    col = int((ax_x - left) / (right - left) * mosaic.shape[1])
    start = int((top - (ax_y + 0.5)) / (top - bottom) * mosaic.shape[0])
    return mosaic[start + row, col]


def test_grid_and_ticks():
    display = LatentManifoldDisplay.from_estimator(Painter().fit(), n=5)
    values = np.linspace(-2, 2, 5)
    for i, x in enumerate(values):
        for j, y in enumerate(values):
            assert shown(display, i, j, 0) == x
            assert shown(display, i, j, 1) == y
            assert shown(display, i, j, 2) == 0
            assert shown(display, i, j, 3) == 9
    texts = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert texts == ["−2", "−1", "0", "1", "2"]
    assert display.ax_.get_xlabel() == "latent0"
    assert display.ax_.get_ylabel() == "latent1"


def test_pixels_are_square():
    display = LatentManifoldDisplay.from_estimator(Painter().fit(), n=3)
    display.figure_.canvas.draw()
    box = display.image_.get_window_extent()
    assert box.width / box.height == pytest.approx(6 / 4)


def test_other_features_and_extent():
    display = LatentManifoldDisplay.from_estimator(
        Painter().fit(), n=3, features=(2, 0), extent=1
    )
    assert shown(display, 2, 1, 2) == 1
    assert shown(display, 1, 2, 0) == 1
    assert shown(display, 2, 2, 1) == 0
    assert display.ax_.get_xlabel() == "latent2"


@pytest.mark.parametrize(("latent_dim", "features"), [(1, (0, 1)), (3, (1,)), (3, 1)])
def test_single_row(latent_dim, features):
    display = LatentManifoldDisplay.from_estimator(
        Painter(latent_dim).fit(), features=features
    )
    assert display.images.shape == (1, 7, 4, 6)
    varied = 0 if latent_dim == 1 else 1
    np.testing.assert_allclose(
        display.images[0, :, varied, 0], np.linspace(-2, 2, 7), rtol=1e-6
    )
    assert len(display.ax_.get_yticks()) == 0


def test_many_images_have_few_ticks():
    display = LatentManifoldDisplay.from_estimator(Painter().fit(), n=21)
    assert len(display.ax_.get_xticks()) <= 8


def test_rotational_vae():
    X = np.random.default_rng(0).normal(size=(30, 81))
    vae = RotationalVAE(max_epochs=1, n_hidden=8, n_init=1, random_state=0)
    with pytest.raises(ValueError, match="not fitted"):
        LatentManifoldDisplay.from_estimator(vae)
    display = LatentManifoldDisplay.from_estimator(vae.fit(X), n=3)
    np.testing.assert_array_equal(display.images[2, 0], vae.decode([[-2, 2]])[0])


def test_given_axes():
    _, ax = plt.subplots()
    assert LatentManifoldDisplay.from_estimator(Painter().fit(), ax=ax).ax_ is ax
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize(
    ("estimator", "hint"),
    [
        (PCA(2), "PCA does not have.*drawn by LoadingMapDisplay"),
        (make_pipeline(PCA(2)), r"Pipeline does not have.*pipeline\[-1\]"),
        (StandardScaler(), "StandardScaler does not have. Pass a RotationalVAE"),
    ],
)
def test_estimator_that_cannot_decode(estimator, hint):
    estimator.fit(np.random.default_rng(0).normal(size=(9, 4)))
    with pytest.raises(
        TypeError, match=r"latent_dim and decode\(latents\), which " + hint
    ):
        LatentManifoldDisplay.from_estimator(estimator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": (0, 3)}, "of the 3 latents"),
        ({"features": (0, 0)}, "different indices"),
        ({"features": (0, 1, 2)}, "one or two"),
        ({"features": (-1, 0)}, "counted from 0"),
        ({"n": 0}, "must be positive"),
        ({"extent": -1}, "must be positive"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        LatentManifoldDisplay.from_estimator(Painter().fit(), **options)
