import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_ferroic import PatchExtractor, RotationalVAE
from sklearn_ferroic.inspection import LatentDistributionDisplay
from sklearn_ferroic.inspection._drawing.colors import (
    NEUTRAL_RGB,
    angle_colors,
    class_colors,
)

draw = LatentDistributionDisplay.from_predictions
CORNERS = np.array([[0.0, 0.0], [0.0, 3.0], [4.0, 0.0], [4.0, 3.0]])


class TestScatter:
    def test_points_in_their_place_coloured_by_angle(self, pixel_at):
        angle = np.deg2rad([-135.0, -45, 45, 135])
        display = draw(CORNERS, angle=angle)
        places = display.scatter_.get_offsets()
        np.testing.assert_array_equal(places, CORNERS[display.order_])
        for place, turn in zip(CORNERS, angle, strict=True):
            seen = pixel_at(display.ax_, *place)
            np.testing.assert_allclose(seen, angle_colors([turn])[0], atol=0.02)
            on_wheel = pixel_at(display.wheel_, 0.8 * np.cos(turn), 0.8 * np.sin(turn))
            np.testing.assert_allclose(seen, on_wheel, atol=0.04)
        assert display.legend_ is None
        assert display.density_ is None

    def test_labels_make_a_legend_with_their_colours(self, pixel_at):
        display = draw(CORNERS, labels=[-1, 0, 0, 5])
        assert [t.get_text() for t in display.legend_.get_texts()] == ["-1", "0", "5"]
        colors = [handle.get_color() for handle in display.legend_.legend_handles]
        for place, index in zip(CORNERS, [0, 1, 1, 2], strict=True):
            seen = pixel_at(display.ax_, *place)
            np.testing.assert_allclose(seen, colors[index], atol=0.02)
        np.testing.assert_allclose(colors[0], NEUTRAL_RGB)
        assert display.wheel_ is None

    def test_what_is_nan_is_left_out_or_grey(self, pixel_at):
        latents = np.append(CORNERS, [[np.nan, 1.0], [1.0, np.inf]], axis=0)
        display = draw(latents, angle=np.array([np.nan, 0, 0, 0, 1, 1]))
        assert sorted(display.order_) == [0, 1, 2, 3]
        np.testing.assert_allclose(pixel_at(display.ax_, 0, 0), NEUTRAL_RGB, atol=0.02)

    def test_labels_of_left_out_points_are_not_in_the_legend(self):
        latents = np.append(CORNERS, [[np.nan, 1.0]], axis=0)
        display = draw(latents, labels=["a", "a", "b", "b", "c"])
        assert [t.get_text() for t in display.legend_.get_texts()] == ["a", "b"]

    def test_no_class_covers_the_others(self):
        """Sorted samples are drawn in mixed order, the same each time."""
        latents, labels = np.zeros((1000, 2)), np.repeat([0, 1], 500)
        orders = [draw(latents, labels=labels).order_ for _ in range(2)]
        np.testing.assert_array_equal(*orders)
        assert 0.4 < labels[orders[0]][-100:].mean() < 0.6


class TestDensity:
    latents = np.repeat(CORNERS, [8, 4, 2, 1], axis=0)

    def test_counts(self):
        display = draw(self.latents, kind="density", bins=4)
        assert display.counts_[[0, 3, 0, 3], [0, 0, 3, 3]].tolist() == [8, 4, 2, 1]
        assert display.counts_.sum() == 15
        assert display.density_.get_array().mask.sum() == 12
        assert display.density_.get_clim() == (1, 8)
        assert display.colorbar_.ax.get_ylabel() == "number of sites"
        assert display.scatter_ is None

    def test_colours_follow_the_root_of_the_count(self):
        """One crowded bin leaves the others their differences."""
        latents = np.repeat(CORNERS, [101, 26, 1, 1], axis=0)
        display = draw(latents, kind="density", bins=2)
        share = display.density_.norm(display.counts_[[0, 1, 1], [0, 0, 1]])
        np.testing.assert_allclose(share, [1, 0.5, 0])

    def test_bins_agree_with_numpy(self):
        latents = np.random.default_rng(0).normal(size=(500, 2))
        labels = (latents[:, 0] > 0).astype(int)
        display = draw(latents, labels=labels, kind="density", bins=10)
        edges = np.linspace(*np.quantile(latents[:, 0], [0, 1]), 11)
        colors = display.density_.get_array()[..., :3]
        for col in np.flatnonzero((edges[1:] < 0) | (edges[:-1] > 0)):
            filled = display.counts_[:, col] > 0
            expected = class_colors([0, 1])[int(edges[col] > 0)]
            np.testing.assert_allclose(
                colors[filled, col], np.tile(expected, (filled.sum(), 1))
            )

    def test_hue_is_the_mean_direction_and_grey_is_mixed(self):
        angle = np.zeros(15)
        angle[:8] = np.tile([0.9, 1.1], 4)
        angle[8:12] = [np.pi, 0, -np.pi / 2, np.pi / 2]
        angle[12:14] = np.pi - 0.1, -np.pi + 0.1
        angle[14] = np.nan
        display = draw(self.latents, angle=angle, kind="density", bins=4)
        lower_left, upper_left, lower_right, upper_right = display.density_.get_array()[
            [0, 3, 0, 3], [0, 0, 3, 3], :3
        ]
        np.testing.assert_allclose(lower_left, angle_colors([1.0])[0], atol=0.01)
        np.testing.assert_allclose(upper_left, NEUTRAL_RGB, atol=1e-6)
        np.testing.assert_allclose(lower_right, angle_colors([np.pi])[0], atol=0.01)
        np.testing.assert_allclose(upper_right, NEUTRAL_RGB)
        assert "grey: mixed" in display.wheel_.texts[-1].get_text()

    def test_most_frequent_label_and_paleness(self):
        labels = np.array([0] * 5 + [1] * 3 + [1] * 7)
        display = draw(self.latents, labels=labels, kind="density", bins=4)
        rgba = display.density_.get_array()
        np.testing.assert_allclose(rgba[0, 0, :3], class_colors([0, 1])[0])
        np.testing.assert_allclose(rgba[3, 0, :3], class_colors([0, 1])[1])
        opacity = rgba[[0, 3, 0, 3, 1], [0, 0, 3, 3, 1], 3]
        assert (np.diff(opacity) < 0).all()
        assert opacity[-1] == 0

    @pytest.mark.parametrize("options", [{}, {"labels": [0]}, {"angle": [1.0]}])
    def test_single_point(self, options):
        display = draw([[1.0, 2.0]], kind="density", **options)
        display.figure_.canvas.draw()
        assert display.counts_.sum() == 1


class TestFromEstimator:
    def test_rotational_vae(self):
        X = np.random.default_rng(0).normal(size=(30, 81))
        vae = RotationalVAE(max_epochs=1, n_hidden=8, n_init=1, random_state=0).fit(X)
        display = LatentDistributionDisplay.from_estimator(vae, X)
        rows = vae.transform(X)
        np.testing.assert_array_equal(display.latents, rows[:, 3:5])
        np.testing.assert_array_equal(display.angle, rows[:, 0])
        assert display.ax_.get_xlabel() == "latent0"
        assert display.ax_.get_ylabel() == "latent1"
        display = LatentDistributionDisplay.from_estimator(
            vae, X, features=("offset_row", 4), labels=np.zeros(30, int)
        )
        np.testing.assert_array_equal(display.latents, rows[:, [1, 4]])
        assert display.angle is None
        assert display.ax_.get_xlabel() == "offset_row"

    def test_pipeline_of_sites(self, b_sites):
        pipe = make_pipeline(PatchExtractor(window_size=24), PCA(3)).fit(b_sites)
        display = LatentDistributionDisplay.from_estimator(pipe, b_sites)
        np.testing.assert_array_equal(display.latents, pipe.transform(b_sites)[:, :2])
        assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("pca0", "pca1")
        named = pipe.set_output(transform="pandas").fit(b_sites)
        display = LatentDistributionDisplay.from_estimator(
            named, b_sites, features=("pca2", "pca0")
        )
        assert display.ax_.get_xlabel() == "pca2"

    def test_unnamed_columns_are_numbered(self):
        X = CORNERS
        display = LatentDistributionDisplay.from_estimator(FunctionTransformer(), X)
        assert display.names == ("feature0", "feature1")

    def test_errors(self):
        X = np.random.default_rng(0).normal(size=(20, 3))
        with pytest.raises(TypeError, match=r"no transform.*pipeline\[:-1\]"):
            pipe = make_pipeline(PCA(2), GaussianMixture(2))
            LatentDistributionDisplay.from_estimator(pipe.fit(X), X)
        with pytest.raises(TypeError, match=r"to rows of features.*\(20, 3, 1\)"):
            deep = FunctionTransformer(lambda X: X[..., None])
            LatentDistributionDisplay.from_estimator(deep, X)
        with pytest.raises(ValueError, match="Two latents are drawn"):
            LatentDistributionDisplay.from_estimator(PCA(1).fit(X), X)
        for features in [("pca0", "pca9"), (0, 5), (0,), (-1, 0)]:
            with pytest.raises(ValueError, match="names or numbers of two"):
                LatentDistributionDisplay.from_estimator(
                    PCA(2).fit(X), X, features=features
                )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latents": np.zeros((4, 3))}, r"shape \(n_samples, 2\), got shape \(4, 3\)"),
        ({"latents": np.full((4, 2), np.nan)}, "no finite row"),
        ({"angle": np.zeros(3)}, "angle must have one value per site"),
        ({"labels": np.zeros(3)}, "labels must have one value per site"),
        ({"labels": np.zeros(4), "angle": np.zeros(4)}, "not by both"),
        ({"kind": "hexbin"}, 'kind must be "scatter" or "density"'),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        draw(**{"latents": CORNERS, **options})


def test_given_axes_and_pyplot_left_alone():
    figure, axes = plt.subplots(1, 2)
    plt.sca(axes[0])
    display = draw(CORNERS, labels=[0, 0, 1, 1], ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert plt.gca() is axes[0]
    again = display.plot()
    assert again is display
    assert len(plt.get_fignums()) == 2


@pytest.mark.parametrize("kind", ["scatter", "density"])
@pytest.mark.parametrize("color", ["angle", "labels"])
def test_25000_sites_in_seconds(kind, color):
    rng = np.random.default_rng(0)
    values = {"angle": rng.uniform(-3, 3, 25_000), "labels": rng.integers(0, 5, 25_000)}
    latents = rng.normal(size=(25_000, 2))
    draw(CORNERS)  # loads matplotlib
    start = time.process_time()
    display = draw(latents, kind=kind, **{color: values[color]})
    display.figure_.canvas.draw()
    assert time.process_time() - start < 5
    if kind == "density":
        assert display.counts_.sum() == 25_000
    else:
        assert len(display.scatter_.get_offsets()) == 25_000
        # rims would darken a crowd of small points
        assert display.scatter_.get_linewidths() == [0]


def test_plain_points_have_one_colour(pixel_at):
    display = draw(CORNERS)
    np.testing.assert_allclose(
        pixel_at(display.ax_, 4, 3), to_rgb("#0072B2"), atol=0.02
    )


def test_wheel_can_be_left_out():
    latents = np.random.default_rng(0).normal(size=(50, 2))
    display = LatentDistributionDisplay.from_predictions(
        latents, angle=latents[:, 0], color_wheel=False
    )
    assert display.wheel_ is None
