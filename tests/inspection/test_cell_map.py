"""Maps of values, profiles and walls: what is drawn, and that nothing is cut off."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from sklearn_ferroic import AtomSites
from sklearn_ferroic.domains import find_walls, layer_profile, profile_across
from sklearn_ferroic.inspection import (
    CellMapDisplay,
    DomainMapDisplay,
    LoadingMapDisplay,
    PolarizationMapDisplay,
    ProfileDisplay,
    SitesDisplay,
)
from sklearn_ferroic.inspection._drawing.colors import NEUTRAL
from tests.domains._scenes import grid, tanh_wall


@pytest.fixture
def scene():
    sites, labels = tanh_wall(0, vector=((0, 1), (0, -1)))
    sites = AtomSites(
        sites.images, sites.positions, polarization=sites.polarization, pixel_size=0.02
    )
    yield sites, labels
    plt.close("all")


class TestCellMap:
    def test_values_and_percentiles(self, scene):
        sites, _ = scene
        values = np.arange(900.0)
        display = CellMapDisplay.from_sites(sites, values, values_name="n (1)")
        np.testing.assert_allclose(
            display.cells_.get_clim(), np.percentile(values, [1, 99])
        )
        np.testing.assert_array_equal(display.cells_.get_array(), values)
        assert display.colorbar_.ax.get_ylabel() == "n (1)"

    @pytest.mark.parametrize(
        ("options", "limits"),
        [
            ({"percentiles": (0, 100)}, (-1, 3)),
            ({"vmin": 0}, (0, 2.96)),
            ({"vmin": -5, "vmax": 5}, (-5, 5)),
            ({"center": 0, "percentiles": (0, 100)}, (-3, 3)),
            ({"center": 0, "vmax": 2}, (-2, 2)),
            ({"center": 1, "vmin": -1}, (-1, 3)),
        ],
    )
    def test_limits(self, scene, options, limits):
        values = np.linspace(-1, 3, 900)
        display = CellMapDisplay.from_sites(scene[0], values, **options)
        assert display.cells_.get_clim() == pytest.approx(limits, abs=0.01)

    def test_unknown_and_constant_values(self, scene):
        values = np.full(900, 2.0)
        values[:30] = np.nan
        low, high = CellMapDisplay.from_sites(scene[0], values).cells_.get_clim()
        assert low <= 2 <= high
        assert low < high
        CellMapDisplay.from_sites(scene[0], np.full(900, np.nan)).figure_.canvas.draw()

    @pytest.mark.parametrize(
        "options",
        [
            {"percentiles": (5,)},
            {"percentiles": (50, 5)},
            {"vmin": 2, "vmax": 1},
            {"vmin": np.nan},
        ],
    )
    def test_bad_limits(self, scene, options):
        with pytest.raises(ValueError, match=r"percentiles|vmin"):
            CellMapDisplay.from_sites(scene[0], np.arange(900.0), **options)


class TestClasses:
    @pytest.mark.parametrize("kind", [int, str])
    def test_colours_and_legend(self, scene, kind):
        sites, labels = scene
        names = np.array([2, -1] if kind is int else ["b", "a"])
        classes = names[labels]
        display = CellMapDisplay.from_sites(sites, classes, values_name="class")
        texts = [text.get_text() for text in display.class_legend_.get_texts()]
        assert texts == sorted(texts, key=kind) == sorted(map(str, names), key=kind)
        assert display.colorbar_ is None
        colors = display.cells_.get_facecolor()[:, :3]
        for name, handle in zip(
            texts, display.class_legend_.legend_handles, strict=True
        ):
            expected = to_rgb(handle.get_color())
            own = classes.astype(str) == name
            np.testing.assert_allclose(colors[own] - expected, 0, atol=1e-9)
        if kind is int:
            np.testing.assert_allclose(colors[classes == -1] - NEUTRAL, 0, atol=1e-9)

    def test_legend_of_classes_and_of_walls(self, scene):
        sites, labels = scene
        walls = find_walls(sites, labels)
        display = CellMapDisplay.from_sites(sites, labels, walls=walls)
        artists = display.ax_.get_children()
        assert display.class_legend_ in artists
        assert display.legend_ in artists
        without = CellMapDisplay.from_sites(sites, labels, colorbar=False)
        assert without.class_legend_ is None


class TestWalls:
    @pytest.mark.parametrize("ticks", [None, "px", "nm"])
    def test_legend_is_below_the_label_of_the_axis(self, scene, ticks):
        sites, labels = scene
        sites.pixel_size = 0.02
        walls = find_walls(sites, labels)
        display = CellMapDisplay.from_sites(sites, labels, walls=walls, ticks=ticks)
        display.figure_.canvas.draw()
        legend = display.legend_.get_window_extent()
        label = display.ax_.xaxis.label.get_window_extent()
        limit = label.y0 if ticks else display.ax_.get_window_extent().y0
        assert 0 < legend.y1 <= limit
        assert legend.y0 >= 0

    def test_colour_is_charge_and_dashes_are_type(self, scene):
        sites, labels = scene
        walls = find_walls(sites, labels)
        display = CellMapDisplay.from_sites(sites, sites.positions[:, 0], walls=walls)
        line = display.wall_lines_[0]
        assert to_hex(line.get_color()).upper() == "#D55E00"
        np.testing.assert_allclose(line.get_xdata(), 303, atol=10)
        texts = [text.get_text() for text in display.legend_.get_texts()]
        assert texts == ["180° wall, head-to-head"]
        vertical = DomainMapDisplay.from_vectors(sites, walls=walls, vmin=0, vmax=9)
        assert set(vertical.wall_lines_) == {0}
        assert "full ≥ 9" in vertical.wheel_.texts[-1].get_text()

    def test_some_rows_of_the_table(self, scene):
        sites, labels = scene
        walls = find_walls(sites, labels)
        none = walls[walls.charge == "neutral"]
        display = CellMapDisplay.from_sites(sites, sites.positions[:, 0], walls=none)
        assert display.wall_lines_ == {}
        assert display.legend_ is None

    def test_other_tables_are_refused(self, scene):
        with pytest.raises(TypeError, match="find_walls"):
            CellMapDisplay.from_sites(
                scene[0], np.zeros(900), walls=layer_profile(scene[0], np.zeros(900))
            )


class TestVectors:
    def test_hue_and_saturation(self, scene):
        sites, _ = scene
        display = DomainMapDisplay.from_vectors(sites)
        row, col = sites.polarization.T
        np.testing.assert_allclose(display.angle, np.arctan2(row, col))
        np.testing.assert_allclose(display.magnitude, 20 * np.hypot(row, col))
        assert display.magnitude_name == "displacement (pm)"

    def test_wheel_has_arrows(self, scene):
        display = PolarizationMapDisplay.from_sites(scene[0])
        tips = [patch.get_xy().max(axis=0) for patch in display.wheel_.patches]
        assert len(tips) == 4


class TestProfile:
    def test_means_and_bands(self, scene):
        sites, _ = scene
        values = {"row": sites.polarization[:, 0], "col": sites.polarization[:, 1]}
        profile = profile_across(sites, values, [[0, 303], [600, 303]])
        display = ProfileDisplay.from_profile(
            profile, values_name="displacement (px)", marks=[0]
        )
        assert display.ax_.get_xlabel() == "distance (nm)"
        assert display.ax_.get_ylabel() == "displacement (px)"
        assert list(display.lines_) == ["row", "col"]
        np.testing.assert_allclose(display.lines_["col"].get_ydata(), profile.col)
        assert [text.get_text() for text in display.legend_.get_texts()] == [
            "row",
            "col",
        ]
        one = ProfileDisplay.from_profile(profile, columns=["col"])
        assert one.legend_ is None
        assert one.ax_.get_ylabel() == "col"

    def test_bad_tables(self, scene):
        profile = layer_profile(scene[0], np.zeros(900))
        with pytest.raises(ValueError, match=r"among \['value'\]"):
            ProfileDisplay.from_profile(profile, columns=["x"])
        with pytest.raises(TypeError, match="layer_profile"):
            ProfileDisplay.from_profile(np.zeros(3))


def test_sites_and_loadings_take_limits(scene):
    sites, _ = scene
    values = np.linspace(0, 10, 900)
    display = SitesDisplay.from_sites(sites, values=values, percentiles=(10, 90))
    assert display.scatter_.get_clim() == pytest.approx((1, 9), abs=0.02)
    display = SitesDisplay.from_sites(sites, values=values, vmax=5)
    assert display.scatter_.get_clim() == (0, 5)
    loadings = values[:, None]
    display = LoadingMapDisplay.from_sites(sites, np.ones((1, 9)), loadings, vmax=4)
    assert display.maps_[0].get_clim()[1] == 4


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
@pytest.mark.parametrize("n_panels", [1, 2])
@pytest.mark.filterwarnings("ignore:This figure includes Axes that are not compatible")
def test_nothing_is_cut_off(scene, layout, n_panels):
    sites, labels = scene
    walls = find_walls(sites, labels)
    draw = [
        lambda ax: CellMapDisplay.from_sites(
            sites, sites.positions[:, 0], values_name="row (px)", walls=walls, ax=ax
        ),
        lambda ax: DomainMapDisplay.from_vectors(sites, walls=walls, ax=ax),
        lambda ax: SitesDisplay.from_sites(sites, values=labels, ax=ax),
    ]
    for call in draw:
        figure, axes = plt.subplots(
            1, n_panels, figsize=(5 * n_panels, 4), layout=layout
        )
        for ax in np.ravel(axes):
            call(ax)
        # Constrained layout needs a second pass where the axes keep their aspect.
        figure.canvas.draw()
        figure.canvas.draw()
        width, height = figure.canvas.get_width_height()
        box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
        if layout != "tight":
            assert box.x0 >= -1
            assert box.y0 >= -1
            assert box.x1 <= width + 1
            assert box.y1 <= height + 1
        plt.close(figure)


def test_keys_do_not_reach_into_the_next_axes(scene):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    display = DomainMapDisplay.from_vectors(scene[0], ax=left)
    figure.canvas.draw()
    assert display.wheel_.get_tightbbox().x1 <= right.get_window_extent().x0 + 1


def test_grid_helper_is_square():
    assert grid((3, 4)).images[0].shape == (60, 80)
