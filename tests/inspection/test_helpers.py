import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest

from sklearn_ferroic._utils.angles import angle_peaks
from sklearn_ferroic.inspection._drawing.cells import site_cells, site_spacing
from sklearn_ferroic.inspection._drawing.colors import (
    NEUTRAL_RGB,
    angle_colors,
    class_colors,
    clip_to_unit,
)
from sklearn_ferroic.inspection._drawing.keys import (
    add_color_wheel,
    add_scale_bar,
    bar_length,
)


def square_lattice(n_rows, n_cols, spacing=10.0):
    grid = np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 2) * spacing + 5


def areas(polygons):
    y, x = np.moveaxis(polygons, -1, 0)
    return 0.5 * abs((x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(axis=1))


def test_import_loads_no_matplotlib():
    code = (
        "import sys, sklearn_ferroic.inspection as i\n"
        "[getattr(i, name) for name in i.__all__]\n"
        "print([m for m in ('matplotlib', 'cmcrameri') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr


def test_missing_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmcrameri.cm", None)
    with pytest.raises(ImportError, match=r"sklearn-ferroic\[plot\]"):
        angle_colors([0.0])


class TestColors:
    def test_period(self):
        angle = np.linspace(-np.pi, np.pi, 50)
        colors = angle_colors(angle)
        np.testing.assert_allclose(angle_colors(angle + 2 * np.pi), colors, atol=0.02)
        np.testing.assert_array_equal(colors[0], colors[-1])
        assert abs(angle_colors([np.pi - 1e-3]) - colors[0]).max() < 0.02

    def test_continuous_and_distinct(self):
        colors = angle_colors(np.deg2rad(np.arange(-180, 181)))
        assert abs(np.diff(colors, axis=0)).max() < 0.04
        variants = angle_colors(np.deg2rad([-135, -45, 45, 135]))
        distance = np.linalg.norm(variants[:, None] - variants, axis=2)
        assert distance[~np.eye(4, dtype=bool)].min() > 0.3

    def test_saturation_blends_towards_grey(self):
        grey, half, full, unknown = angle_colors(np.ones(4), [-1, 0.5, 3, np.nan])
        np.testing.assert_allclose(grey, NEUTRAL_RGB)
        np.testing.assert_allclose(full, angle_colors([1.0])[0])
        np.testing.assert_allclose(half, (grey + full) / 2)
        np.testing.assert_allclose(unknown, NEUTRAL_RGB)

    def test_no_direction_is_neutral(self):
        np.testing.assert_allclose(angle_colors([np.nan], [1.0]), [NEUTRAL_RGB])

    @pytest.mark.parametrize("n_classes", [3, 7, 40])
    def test_classes_differ_and_noise_is_neutral(self, n_classes):
        colors = class_colors(np.arange(-1, n_classes))
        np.testing.assert_allclose(colors[0], NEUTRAL_RGB)
        assert len(np.unique(colors.round(6), axis=0)) == n_classes + 1

    def test_clip_to_unit(self):
        share, limits = clip_to_unit(np.array([0.0, 1, 2, 3, 4, np.nan]), (25, 75))
        assert limits == (1, 3)
        np.testing.assert_array_equal(share, [0, 0, 0.5, 1, 1, np.nan])
        share, _ = clip_to_unit(np.array([2.0, 2.0, np.nan]), (5, 95))
        np.testing.assert_array_equal(share, [1, 1, np.nan])
        assert np.isnan(clip_to_unit(np.full(2, np.nan), (5, 95))[0]).all()


class TestScaleBar:
    @pytest.mark.parametrize(
        ("width", "pixel_size", "length", "text"),
        [
            (800, 0.02, 100, "2 nm"),
            (1000, 0.02, 250, "5 nm"),
            (100, 0.02, 25, "500 pm"),
            (400, None, 100, "100 px"),
            (399, None, 50, "50 px"),
        ],
    )
    def test_length(self, width, pixel_size, length, text):
        found, label = bar_length(width, pixel_size)
        assert found == pytest.approx(length)
        assert label == text

    @pytest.mark.parametrize("pixel_size", [0.02, None])
    def test_drawn_length_follows_the_view(self, pixel_size):
        _, ax = plt.subplots()
        ax.imshow(np.zeros((800, 800)))
        bar = add_scale_bar(ax, pixel_size)
        for width in (800, 200):
            ax.set(xlim=(10, 10 + width), ylim=(10 + width, 10))
            ax.figure.canvas.draw()
            length, text = bar_length(width, pixel_size)
            drawn = bar.size_bar.get_children()[0].get_window_extent().width
            scale = ax.transData.transform([[0, 0], [length, 0]])[:, 0]
            assert drawn == pytest.approx(np.ptp(scale), rel=1e-6)
            assert bar.txt_label.get_text() == text


@pytest.mark.parametrize("degrees", [-135, -45, 0, 45, 90, 135])
def test_wheel_is_turned_as_the_image(degrees, pixel_at):
    """+row is downwards on the wheel, whatever the axes."""
    _, ax = plt.subplots()
    ax.imshow(np.zeros((10, 10)))
    wheel = add_color_wheel(ax)
    angle = np.deg2rad(degrees)
    x, y = 0.8 * np.cos(angle), 0.8 * np.sin(angle)
    color = pixel_at(wheel, x, y)
    np.testing.assert_allclose(color, angle_colors([angle])[0], atol=0.06)
    center, place = wheel.transData.transform([(0, 0), (x, y)])
    assert np.sign(np.round(place - center)).tolist() == [
        np.sign(np.round(np.cos(angle), 9)),
        -np.sign(np.round(np.sin(angle), 9)),
    ]
    assert ax.figure.axes == [ax]


def test_wheel_lies_beside_the_image_and_in_the_figure():
    figure, ax = plt.subplots(layout="constrained")
    ax.imshow(np.zeros((10, 10)))
    wheel = add_color_wheel(ax, caption="one\ntwo\nthree")
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in wheel.texts]
    assert len(boxes) == 5
    assert min(box.x0 for box in boxes) > ax.get_window_extent().x1
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert max(box.y1 for box in boxes) <= figure.bbox.y1
    assert min(box.y0 for box in boxes) >= 0
    for i, first in enumerate(boxes):
        assert not any(first.overlaps(second) for second in boxes[i + 1 :])


class TestCells:
    def test_square_lattice_has_square_cells_up_to_the_rim(self):
        positions = square_lattice(5, 7)
        polygons, _, pairs = site_cells(positions)
        np.testing.assert_allclose(areas(polygons), 100)
        np.testing.assert_allclose(polygons.min(axis=1), positions - 5)
        assert len(pairs) >= 4 * 7 + 5 * 6

    def test_missing_column_is_a_hole(self):
        positions = np.delete(square_lattice(5, 5), 12, axis=0)
        np.testing.assert_allclose(areas(site_cells(positions)[0]), 100)

    def test_noisy_lattice_is_tiled(self):
        rng = np.random.default_rng(0)
        positions = square_lattice(20, 20) + rng.normal(0, 0.5, (400, 2))
        inner = ((positions > 10) & (positions < 190)).all(axis=1)
        area = areas(site_cells(positions)[0])
        assert area[inner].mean() == pytest.approx(100, rel=0.01)
        assert area[~inner].mean() == pytest.approx(100, rel=0.2)

    @pytest.mark.parametrize("n_sites", [1, 2, 3, 4])
    def test_few_sites(self, n_sites):
        positions = square_lattice(1, n_sites)
        polygons, _, _ = site_cells(positions)
        reach = np.hypot(*np.moveaxis(polygons - positions[:, None], -1, 0))
        assert reach.max() <= site_spacing(positions) + 1e-9

    def test_two_sites_in_one_place(self):
        positions = np.concatenate([square_lattice(4, 4), [[5.0, 5.0]]])
        polygons, _, _ = site_cells(positions)
        assert areas(polygons).sum() == pytest.approx(1600)


class TestPeaks:
    @pytest.mark.parametrize("seed", range(5))
    def test_variants(self, seed):
        rng = np.random.default_rng(seed)
        truth = np.deg2rad([-178.0, -88.0, 2.0, 92.0])
        angle = rng.choice(truth, 3000) + rng.normal(0, np.deg2rad(7), 3000)
        np.testing.assert_allclose(angle_peaks(angle), truth, atol=np.deg2rad(2))

    @pytest.mark.parametrize("seed", range(5))
    def test_even_spread_has_none(self, seed):
        angle = np.random.default_rng(seed).uniform(-np.pi, np.pi, 3000)
        assert len(angle_peaks(angle)) == 0

    def test_highest_are_kept(self):
        angle = np.repeat(np.deg2rad([-100.0, 0.0, 100.0]), [30, 10, 20])
        found = np.rad2deg(angle_peaks(angle, 2))
        np.testing.assert_allclose(found, [-100, 100], atol=0.6)
