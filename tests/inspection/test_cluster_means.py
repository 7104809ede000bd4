import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import PatchExtractor
from sklearn_ferroic.inspection import ClusterMeansDisplay
from sklearn_ferroic.inspection._drawing.colors import NEUTRAL_RGB, class_colors

draw = ClusterMeansDisplay.from_predictions


@pytest.fixture
def patches():
    """Windows of 4 x 4 px; half of cluster 2 is 1 brighter than the rest of it."""
    patches = np.zeros((100, 4, 4))
    patches[:60, 0, 0] = 4
    patches[60:, 3, 1] = 2
    patches[80:] += 1
    return patches


LABELS = np.repeat([0, 2], [60, 40])


def test_means_and_shares(patches):
    display = draw(patches.reshape(100, 16), LABELS)
    first, second = (image.get_array() for image in display.images_)
    np.testing.assert_array_equal(first, patches[0])
    np.testing.assert_allclose(second, patches[60:].mean(axis=0))
    assert [text.get_text() for text in display.texts_] == ["0: 60 %", "2: 40 %"]
    assert display.counts.tolist() == [60, 40]


def test_one_scale(patches):
    display = draw(patches, LABELS)
    assert [image.get_clim() for image in display.images_] == [(0, 4)] * 2
    assert display.colorbar_.ax.get_ylim() == (0, 4)


def test_frames_have_the_colours_of_the_labels(patches, pixel_at):
    display = draw(patches, np.where(LABELS == 0, -1, 7))
    for image, frame, color in zip(
        display.images_, display.frames_, class_colors([-1, 7]), strict=True
    ):
        left, right, bottom, _ = image.get_extent()
        np.testing.assert_allclose(frame.get_facecolor()[:3], color)
        below = pixel_at(display.ax_, (left + right) / 2, bottom + 0.015)
        np.testing.assert_allclose(below, color, atol=0.02)
    np.testing.assert_allclose(display.frames_[0].get_facecolor()[:3], NEUTRAL_RGB)


def test_window_is_the_right_way_up(patches, pixel_at):
    display = draw(patches, LABELS)
    left, right, bottom, top = display.images_[0].get_extent()
    assert pixel_at(display.ax_, left + 0.1, top + 0.1).mean() == 1
    assert pixel_at(display.ax_, left + 0.1, bottom - 0.1).mean() == 0
    assert pixel_at(display.ax_, right - 0.1, top + 0.1).mean() == 0


def test_nan_pixels_do_not_count(patches, pixel_at):
    patches[0] = np.nan
    patches[:60, 3, 3] = np.nan
    display = draw(patches, LABELS)
    mean = display.images_[0].get_array()
    assert mean[0, 0] == 4
    assert np.ma.getmaskarray(mean).sum() == 1
    left, _, bottom, _ = display.images_[0].get_extent()
    corner = pixel_at(display.ax_, left + 0.9, bottom - 0.1)
    np.testing.assert_allclose(corner, NEUTRAL_RGB, atol=0.02)


def test_windows_need_not_be_square():
    display = draw(np.zeros((6, 8)), [0, 0, 1, 1, 2, 2], patch_shape=(2, 4), n_cols=2)
    display.figure_.canvas.draw()
    box = display.images_[0].get_window_extent()
    assert box.width / box.height == pytest.approx(2)
    # the third stands below the first
    first, third = display.images_[0].get_extent(), display.images_[2].get_extent()
    assert third[:2] == first[:2]
    assert third[3] > first[2]


def test_rare_clusters_are_not_none():
    labels = np.repeat(["film", "speck"], [1999, 1])
    texts = [text.get_text() for text in draw(np.ones((2000, 4)), labels).texts_]
    assert texts == ["film: 100 %", "speck: 0.05 %"]


def test_pipeline_shows_the_windows_it_cuts(b_sites):
    pipe = make_pipeline(
        PatchExtractor(window_size=20), PCA(2), KMeans(3, random_state=0)
    ).fit(b_sites)
    display = ClusterMeansDisplay.from_estimator(pipe, b_sites)
    labels = pipe.predict(b_sites)
    windows = pipe[0].transform(b_sites).reshape(-1, 20, 20)
    for label, image in enumerate(display.images_):
        np.testing.assert_allclose(
            image.get_array(), windows[labels == label].mean(axis=0), rtol=1e-5
        )


def test_bare_clusterer_shows_what_it_is_given(patches):
    rows = patches.reshape(100, 16)
    display = ClusterMeansDisplay.from_estimator(
        KMeans(3, random_state=0).fit(rows), rows
    )
    assert sorted(display.counts) == [20, 20, 60]


def test_errors(patches):
    with pytest.raises(
        TypeError, match=r"predict, which DBSCAN does not.*from_predict"
    ):
        ClusterMeansDisplay.from_estimator(DBSCAN(), patches)
    with pytest.raises(ValueError, match="labels must have one value per site"):
        draw(patches, LABELS[:5])
    with pytest.raises(ValueError, match=r"must have shape.*got shape"):
        draw(np.zeros(5), np.zeros(5))
    with pytest.raises(ValueError, match="does not match the 16 features"):
        draw(patches.reshape(100, 16), LABELS, patch_shape=(3, 5))
    with pytest.raises(ValueError, match="no windows"):
        draw(np.zeros((0, 16)), [])
    with pytest.raises(ValueError, match="all are NaN"):
        draw(np.full_like(patches, np.nan), LABELS)
    with pytest.raises(ValueError, match="n_cols must be positive"):
        draw(patches, LABELS, n_cols=0)


def test_texts_lie_within_the_figure_and_do_not_overlap(patches):
    labels = np.arange(100) % 7
    display = draw(patches, labels)
    display.figure_.canvas.draw()
    boxes = [text.get_window_extent() for text in display.texts_]
    boxes.append(display.colorbar_.ax.get_tightbbox())
    for index, box in enumerate(boxes):
        assert display.figure_.bbox.containsx(box.x0)
        assert display.figure_.bbox.containsx(box.x1)
        assert not any(box.overlaps(other) for other in boxes[:index])


def test_given_axes(patches):
    figure, axes = plt.subplots(1, 2)
    plt.sca(axes[0])
    display = draw(patches, LABELS, ax=axes[1])
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert plt.gca() is axes[0]
