from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sklearn_ferroic.inspection import AngleHistogramDisplay
from sklearn_ferroic.inspection._drawing.colors import angle_colors

VARIANTS = np.deg2rad([-135.0, -45.0, 45.0, 135.0])


@pytest.fixture
def angle():
    rng = np.random.default_rng(0)
    return np.repeat(VARIANTS, [400, 300, 200, 100]) + rng.normal(0, 0.1, 1000)


@pytest.mark.parametrize("polar", [False, True])
class TestBothAxes:
    def test_bars_and_peaks(self, polar, angle):
        display = AngleHistogramDisplay.from_predictions(
            np.append(angle, np.nan), polar=polar, bins=36
        )
        unit = 1 if polar else 180 / np.pi
        assert [bar.get_height() for bar in display.bars_] == display.counts_.tolist()
        assert display.counts_.sum() == 1000
        lefts = np.array([bar.get_x() for bar in display.bars_])
        edges = np.linspace(-np.pi, np.pi, 37) * unit
        np.testing.assert_allclose(lefts, edges[:-1], atol=1e-9)
        np.testing.assert_allclose(display.peaks, VARIANTS, atol=np.deg2rad(2))
        marks = [line.get_xdata()[0] for line in display.peak_lines_]
        np.testing.assert_allclose(marks, display.peaks * unit)
        for text, peak in zip(display.peak_texts_, display.peaks, strict=True):
            assert text.get_text() == f"{np.rad2deg(peak):.0f}°".replace("-", "−")

    def test_bars_have_the_colours_of_the_maps(self, polar, angle):
        display = AngleHistogramDisplay.from_predictions(angle, polar=polar, bins=4)
        colors = [bar.get_facecolor()[:3] for bar in display.bars_]
        np.testing.assert_allclose(colors, angle_colors(VARIANTS))

    def test_given_axes(self, polar, angle):
        _, ax = plt.subplots(subplot_kw={"projection": "polar" if polar else None})
        display = AngleHistogramDisplay.from_predictions(angle, polar=polar, ax=ax)
        assert display.ax_ is ax
        assert len(plt.get_fignums()) == 1
        with pytest.raises(ValueError, match="ax has the projection"):
            AngleHistogramDisplay.from_predictions(angle, polar=not polar, ax=ax)

    @pytest.mark.parametrize("n_peaks", [0, 1, 3])
    def test_n_peaks(self, polar, n_peaks, angle):
        display = AngleHistogramDisplay.from_predictions(
            angle, polar=polar, n_peaks=n_peaks
        )
        display.figure_.canvas.draw()
        expected = VARIANTS[:n_peaks]  # the most frequent come first
        np.testing.assert_allclose(display.peaks, expected, atol=np.deg2rad(2))


def test_linear_axis_is_the_whole_turn(angle):
    ax = AngleHistogramDisplay.from_predictions(angle).ax_
    assert ax.get_xlim() == (-180, 180)
    assert ax.get_xticklabels()[0].get_text() == "−180°"


def test_zero_has_no_sign():
    angle = np.deg2rad(np.full(100, -0.3))
    display = AngleHistogramDisplay.from_predictions(angle)
    assert [text.get_text() for text in display.peak_texts_] == ["0°"]


@pytest.mark.parametrize("degrees", [-179, -90, 0, 90, 179])
@pytest.mark.parametrize("polar", [False, True])
def test_text_of_a_peak_stays_within_the_axes(polar, degrees):
    angle = np.deg2rad(degrees) + np.random.default_rng(0).normal(0, 0.01, 500)
    display = AngleHistogramDisplay.from_predictions(angle, polar=polar, n_peaks=1)
    display.figure_.canvas.draw()
    box, axes = display.peak_texts_[0].get_window_extent(), display.ax_.bbox
    assert axes.x0 <= box.x0 < box.x1 <= axes.x1
    assert axes.y0 <= box.y0 < box.y1 <= axes.y1
    labels = [label.get_window_extent() for label in display.ax_.get_xticklabels()]
    assert not any(box.overlaps(label) for label in labels)


def test_polar_axis_is_turned_as_the_image(angle):
    """90°, +row, is at the bottom."""
    ax = AngleHistogramDisplay.from_predictions(angle, polar=True).ax_
    ax.figure.canvas.draw()
    center, right, below = ax.transData.transform([(0, 0), (0, 1), (np.pi / 2, 1)])
    assert right[0] > center[0]
    assert below[1] < center[1]
    labels = dict(zip(ax.get_xticks(), ax.get_xticklabels(), strict=True))
    assert labels[np.deg2rad(90)].get_text() == "90°"
    assert labels[np.deg2rad(270)].get_text() == "−90°"
    assert ax.get_xlim()[1] - ax.get_xlim()[0] == pytest.approx(2 * np.pi)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"angle": np.zeros((2, 2))}, r"shape \(n_samples,\), got shape \(2, 2\)"),
        ({"angle": [np.nan]}, "no finite value"),
        ({"angle": [0.0], "bins": 0}, "bins must be positive"),
        ({"angle": [0.0], "n_peaks": -1}, "n_peaks must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        AngleHistogramDisplay.from_predictions(**options)


@pytest.mark.parametrize("width", [2.2, 3.0, 6.4])
@pytest.mark.parametrize(
    "degrees", [(-170, -80, 10, 100), (-135, -45, 45, 135), (-100, -78, -55, 20)]
)
def test_peak_texts_do_not_touch(width, degrees):
    rng = np.random.default_rng(0)
    angle = np.deg2rad(np.repeat(degrees, 200)) + rng.normal(0, 0.02, 800)
    figure = plt.figure(figsize=(width, 2.4), layout="constrained")
    display = AngleHistogramDisplay.from_predictions(angle, ax=figure.subplots())
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in display.peak_texts_]
    assert len(boxes) == 4
    axes = display.ax_.get_window_extent()
    for n, box in enumerate(boxes):
        assert axes.x0 - 4 < box.x0
        assert box.x1 < axes.x1 + 4
        assert box.y1 < axes.y1 + 1
        assert not any(box.overlaps(other) for other in boxes[n + 1 :])


@pytest.mark.parametrize(("width", "n_ticks"), [(6.4, 9), (2.5, 5)])
def test_labels_of_ticks_do_not_overlap(width, n_ticks):
    figure, ax = plt.subplots(figsize=(width, 3))
    AngleHistogramDisplay.from_predictions([0.5, 0.6, -2.0], ax=ax)
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(boxes) == n_ticks
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_peak_texts_do_not_touch_in_large_letters():
    rng = np.random.default_rng(0)
    degrees = np.repeat([-150, -100, -60, -20, 25, 70, 110, 160], 200)
    angle = np.deg2rad(degrees) + rng.normal(0, 0.02, len(degrees))
    with plt.rc_context({"font.size": 18}):
        figure = plt.figure(figsize=(5, 4), layout="constrained")
        display = AngleHistogramDisplay.from_predictions(angle, ax=figure.subplots())
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in display.peak_texts_]
    assert len(boxes) == 8
    for n, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[n + 1 :])
