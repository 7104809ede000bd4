import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.utils import Bunch

from sklearn_ferroic import AtomSites
from sklearn_ferroic.inspection import (
    DomainMapDisplay,
    PolarizationMapDisplay,
    SiteQualityDisplay,
    SitesDisplay,
)
from sklearn_ferroic.inspection._drawing.colors import (
    NEUTRAL,
    angle_colors,
    class_colors,
)


def draw_domains(sites, **options):
    return DomainMapDisplay.from_sites(sites, np.zeros(len(sites)), **options)


MAPS = [
    SitesDisplay.from_sites,
    SiteQualityDisplay.from_sites,
    PolarizationMapDisplay.from_sites,
    draw_domains,
]


def angle_of(sites):
    return np.arctan2(sites.polarization[:, 0], sites.polarization[:, 1])


def centers(display):
    """Centres of the cells, (x, y)."""
    boxes = [path.get_extents() for path in display.cells_.get_paths()]
    return np.array([[(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2] for b in boxes])


@pytest.mark.parametrize("draw", MAPS)
class TestAllMaps:
    def test_given_axes_are_used_and_pyplot_is_left_alone(self, draw, b_sites):
        figure, axes = plt.subplots(1, 2)
        plt.sca(axes[0])
        display = draw(b_sites, ax=axes[1])
        assert display.ax_ is axes[1]
        assert display.figure_ is figure
        assert len(plt.get_fignums()) == 1
        assert plt.gca() is axes[0]

    def test_new_figure_without_axes(self, draw, b_sites):
        display = draw(b_sites)
        assert plt.get_fignums() == [display.figure_.number]

    def test_image_fills_the_axes(self, draw, b_sites):
        display = draw(b_sites)
        rows, cols = b_sites.images[0].shape
        assert display.ax_.get_xlim() == (-0.5, cols - 0.5)
        assert display.ax_.get_ylim() == (rows - 0.5, -0.5)
        assert display.ax_.get_aspect() == 1
        np.testing.assert_array_equal(display.image_.get_array(), b_sites.images[0])

    def test_an_image_is_no_sites(self, draw):
        with pytest.raises(
            TypeError, match=r"got Bunch.*AtomLocator\(\)\.fit_transform"
        ):
            draw(Bunch(image=np.zeros((9, 9))))

    def test_scale_bar(self, draw, b_sites):
        assert draw(b_sites).scale_bar_.txt_label.get_text() == "1 nm"
        assert draw(b_sites, scale_bar=False).scale_bar_ is None

    def test_ticks(self, draw, b_sites):
        assert len(draw(b_sites).ax_.get_xticks()) == 0
        ax = draw(b_sites, ticks="nm").ax_
        ax.figure.canvas.draw()
        assert ax.get_ylabel() == "y (nm)"
        ticks = {text.get_text(): x for x, text in zip_ticks(ax)}
        assert ticks["1"] == pytest.approx(1 / b_sites.pixel_size[0])

    def test_errors(self, draw, b_sites):
        two = AtomSites.concatenate(
            [b_sites, AtomSites(np.zeros((9, 9)), [[4, 4]], polarization=[[1, 1]])]
        )
        with pytest.raises(ValueError, match=r"Choose it by frame=, one of \[0, 1\]"):
            draw(two)
        np.testing.assert_array_equal(
            draw(two, frame=1).image_.get_array(), two.images[1]
        )
        with pytest.raises(ValueError, match="frame=2 has no sites"):
            draw(two, frame=2)
        with pytest.raises(ValueError, match="no sites"):
            draw(b_sites[:0])
        with pytest.raises(TypeError, match="must be AtomSites, got ndarray"):
            draw(np.zeros(3))
        with pytest.raises(ValueError, match='ticks="nm" needs the pixel size'):
            draw(two, frame=1, ticks="nm")
        with pytest.raises(ValueError, match="ticks must be"):
            draw(b_sites, ticks="mm")

    def test_25000_sites_take_few_artists(self, draw, b_sites):
        rng = np.random.default_rng(0)
        side = np.arange(160) * 12.0 + 8
        grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1)
        positions = grid.reshape(-1, 2) + rng.normal(0, 0.5, (25_600, 2))
        sites = AtomSites(
            np.zeros((1930, 1930)), positions, polarization=rng.normal(size=(25_600, 2))
        )
        few, many = draw(b_sites), draw(sites)
        many.figure_.canvas.draw()
        # what is drawn grows with the sites, the number of artists does not
        count = [len(display.ax_.get_children()) for display in (few, many)]
        assert count[1] <= count[0]


def zip_ticks(ax):
    return zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)


class TestSitesDisplay:
    def test_sites_in_their_place_coloured_by_sublattice(self, ferroic_sites, pixel_at):
        display = SitesDisplay.from_sites(ferroic_sites)
        np.testing.assert_array_equal(
            display.scatter_.get_offsets(), ferroic_sites.positions[:, ::-1]
        )
        texts = [text.get_text() for text in display.legend_.get_texts()]
        assert texts == ["A (0)", "B (1)"]
        handles = [h.get_color() for h in display.legend_.legend_handles]
        for site in (40, 41, 90):
            row, col = ferroic_sites.positions[site]
            expected = handles[ferroic_sites.sublattice[site]]
            np.testing.assert_allclose(
                pixel_at(display.ax_, col, row), expected, atol=0.02
            )

    def test_labels_make_a_legend(self, b_sites):
        labels = np.arange(len(b_sites)) % 3 - 1
        display = SitesDisplay.from_sites(b_sites, values=labels, values_name="class")
        assert display.legend_.get_title().get_text() == "class"
        assert [t.get_text() for t in display.legend_.get_texts()] == ["-1", "0", "1"]
        colors = display.scatter_.get_facecolor()[:, :3]
        np.testing.assert_allclose(colors[labels == -1] - NEUTRAL, 0, atol=1e-9)
        assert len(np.unique(colors, axis=0)) == 3
        assert display.colorbar_ is None

    def test_values_make_a_colour_bar(self, b_sites):
        values = b_sites.positions[:, 0].copy()
        values[5] = np.nan
        display = SitesDisplay.from_sites(b_sites, values=values, values_name="row")
        display.figure_.canvas.draw()
        assert display.legend_ is None
        assert display.colorbar_.ax.get_ylabel() == "row"
        assert display.scatter_.get_clim() == (np.nanmin(values), np.nanmax(values))
        colors = display.scatter_.get_facecolor()
        np.testing.assert_allclose(colors[5, :3], NEUTRAL)
        top = np.nanargmax(values)
        np.testing.assert_allclose(colors[top], plt.get_cmap("viridis")(1.0))

    def test_colour_bar_is_as_high_as_the_image(self):
        """Of an oblong image too, which does not fill its place in the figure."""
        sites = AtomSites(np.zeros((30, 120)), [[15, 20], [15, 60]])
        display = SitesDisplay.from_sites(sites, values=np.array([0.0, 1.0]))
        display.figure_.canvas.draw()
        bar, image = (
            artist.get_window_extent()
            for artist in (display.colorbar_.ax, display.image_)
        )
        assert bar.height == pytest.approx(image.height, rel=0.02)
        assert bar.y0 == pytest.approx(image.y0, abs=2)
        assert image.x1 < bar.x0 < image.x1 + 20

    def test_values_that_are_all_unknown_are_drawn(self, b_sites):
        display = SitesDisplay.from_sites(b_sites, values=np.full(len(b_sites), np.nan))
        display.figure_.canvas.draw()
        np.testing.assert_allclose(
            display.scatter_.get_facecolor()[:, :3] - NEUTRAL, 0, atol=1e-9
        )

    def test_wrong_length(self, b_sites):
        with pytest.raises(
            ValueError, match=r"values must have one value a site.*\(3,\)"
        ):
            SitesDisplay.from_sites(b_sites, values=[1, 2, 3])


class TestDomainMapDisplay:
    def test_colours_at_the_sites(self, b_sites, pixel_at):
        angle = angle_of(b_sites)
        display = DomainMapDisplay.from_sites(b_sites, angle)
        assert np.abs(centers(display) - b_sites.positions[:, ::-1]).max() < 2
        inner = np.flatnonzero((b_sites.positions > 50).all(axis=1))[:5]
        for site in inner[b_sites.positions[inner, 0] < 120]:
            row, col = b_sites.positions[site]
            expected = angle_colors(angle[[site]])[0]
            np.testing.assert_allclose(
                pixel_at(display.ax_, col, row), expected, atol=0.02
            )

    def test_cell_and_wheel_have_the_colour_of_the_direction(self, pixel_at):
        """A cell that points to +row and +col: lower right on the wheel."""
        sites = AtomSites(np.zeros((60, 60)), [[15, 15], [15, 45], [45, 15], [45, 45]])
        angle = np.arctan2([1, 1, -1, -1], [1, -1, -1, 1])
        display = DomainMapDisplay.from_sites(sites, angle)
        for (row, col), turn in zip(sites.positions, angle, strict=True):
            on_wheel = pixel_at(display.wheel_, 0.8 * np.cos(turn), 0.8 * np.sin(turn))
            in_cell = pixel_at(display.ax_, col, row)
            np.testing.assert_allclose(in_cell, on_wheel, atol=0.04)

    def test_saturation_is_the_clipped_magnitude(self, b_sites):
        angle = angle_of(b_sites)
        magnitude = np.linspace(0, 1, len(b_sites))
        display = DomainMapDisplay.from_sites(
            b_sites, angle, magnitude=magnitude, percentiles=(10, 90)
        )
        colors = display.cells_.get_facecolor()[:, :3]
        np.testing.assert_allclose(colors[0], NEUTRAL)
        np.testing.assert_allclose(colors[-1], angle_colors(angle[-1:])[0])
        share = np.clip((magnitude - 0.1) / 0.8, 0, 1)
        np.testing.assert_allclose(colors, angle_colors(angle, share), atol=1e-6)
        assert "grey ≤ 0.10" in display.wheel_.texts[-1].get_text()

    def test_limits_have_minus_signs_and_no_signed_zero(self, b_sites):
        display = DomainMapDisplay.from_sites(
            b_sites,
            angle_of(b_sites),
            magnitude=np.linspace(-2, -0.001, len(b_sites)),
            magnitude_name="latent-0",
            percentiles=(0, 100),
        )
        caption = display.wheel_.texts[-1].get_text()
        assert caption == "latent-0\ngrey ≤ −2.0\nfull ≥ 0.0"

    def test_what_has_no_direction_is_neutral(self, b_sites):
        angle = angle_of(b_sites)
        angle[3] = np.nan
        polar = np.arange(len(b_sites)) != 8
        display = DomainMapDisplay.from_sites(b_sites, angle, polar=polar)
        colors = display.cells_.get_facecolor()[:, :3]
        np.testing.assert_allclose(colors[[3, 8]] - NEUTRAL, 0, atol=1e-9)
        assert np.abs(colors - NEUTRAL).max(axis=1)[[0, 1, 2]].min() > 0.02

    def test_walls_lie_between_labels(self, b_sites):
        labels = (b_sites.positions[:, 1] > 100).astype(int)
        display = DomainMapDisplay.from_sites(
            b_sites, np.zeros(len(b_sites)), labels=labels
        )
        ends = np.array(display.walls_.get_segments())
        left = b_sites.positions[labels == 0, 1].max()
        right = b_sites.positions[labels == 1, 1].min()
        assert abs(ends[..., 0] - (left + right) / 2).max() < right - left
        height = np.ptp(b_sites.positions[:, 0])
        assert abs(np.diff(ends[..., 1])).sum() == pytest.approx(height, rel=0.15)
        assert draw_domains(b_sites).walls_ is None
        assert draw_domains(b_sites, labels=np.ones(len(b_sites))).walls_ is not None

    def test_wheel_can_be_left_out(self, b_sites):
        assert draw_domains(b_sites, color_wheel=False).wheel_ is None

    @pytest.mark.parametrize("name", ["angle", "magnitude", "labels", "polar"])
    def test_wrong_length(self, name, b_sites):
        given = {"angle": np.zeros(len(b_sites)), name: np.zeros(3)}
        with pytest.raises(ValueError, match=f"{name} must have one value a site"):
            DomainMapDisplay.from_sites(b_sites, **given)


class TestPolarizationMapDisplay:
    def test_arrows_point_where_the_vectors_do(self, ferroic_sites, b_sites):
        """Sites without a vector have no arrow."""
        display = PolarizationMapDisplay.from_sites(ferroic_sites)
        quiver = display.quiver_
        np.testing.assert_array_equal(quiver.get_offsets(), b_sites.positions[:, ::-1])
        np.testing.assert_array_equal(quiver.U, b_sites.polarization[:, 1])
        np.testing.assert_array_equal(quiver.V, b_sites.polarization[:, 0])
        np.testing.assert_allclose(
            quiver.get_facecolor()[:, :3], angle_colors(angle_of(b_sites))
        )

    def test_arrow_on_the_picture(self, pixel_at):
        """An arrow to +row, +col is seen from upper left to lower right."""
        sites = AtomSites(np.zeros((60, 60)), [[30, 30]], polarization=[[2.0, 2.0]])
        display = PolarizationMapDisplay.from_sites(
            sites, magnification=10, vectors=[[2.0, 2.0]]
        )
        display.quiver_.width = 3
        color = angle_colors([np.pi / 4])[0]
        for shift in (-6, 0, 6):
            seen = pixel_at(display.ax_, 30 + shift, 30 + shift)
            np.testing.assert_allclose(seen, color, atol=0.02)
        tip = pixel_at(display.ax_, 30 + 8.5, 30 + 8.5)
        np.testing.assert_allclose(tip, color, atol=0.02)
        assert abs(pixel_at(display.ax_, 30 + 6, 30 - 6) - color).max() > 0.1

    def test_magnification(self, b_sites):
        assert (
            PolarizationMapDisplay.from_sites(b_sites, magnification=3).magnification_
            == 3
        )
        display = PolarizationMapDisplay.from_sites(b_sites)
        long = np.percentile(np.hypot(*b_sites.polarization.T), 95)
        assert display.magnification_ * long == pytest.approx(19.8, rel=0.05)

    @pytest.mark.parametrize(
        ("length", "unit", "text", "caption"),
        [
            (0.4, "px", "20 pm", "arrows × 50"),
            (16.0, "pm", "20 pm", "arrows × 50"),
            (0.016, "nm", "0.02 nm", "arrows × 50"),
            (30.0, "uC/cm2", "50 µC/cm²", ""),
            (30.0, None, "50", ""),
        ],
    )
    def test_unit_of_the_arrow(self, length, unit, text, caption):
        positions = 20.0 * np.indices((4, 4)).reshape(2, -1).T + 10
        sites = AtomSites(np.zeros((80, 80)), positions, pixel_size=0.04)
        display = PolarizationMapDisplay.from_sites(
            sites, vectors=np.full((16, 2), [length, 0.0]), unit=unit
        )
        label, _ = display.arrow_key_.get_child().get_children()
        assert label.get_text() == text
        texts = [item.get_text() for item in display.wheel_.texts]
        assert [item for item in texts if item.startswith("arrows")] == (
            [caption] if caption else []
        )

    @pytest.mark.parametrize(
        ("pixel_size", "text", "magnification"),
        [(0.01, "50 pm", 8), (None, "5 px", 8), (None, "5 px", 1)],
    )
    def test_arrow_of_stated_length(self, pixel_size, text, magnification):
        positions = np.argwhere(np.ones((3, 3))) * 20.0 + 10
        sites = AtomSites(np.zeros((60, 60)), positions, pixel_size=pixel_size)
        vectors = np.tile([1.8, -2.4], (9, 1))
        display = PolarizationMapDisplay.from_sites(
            sites, vectors=vectors, unit="px", magnification=magnification
        )
        label, drawing = display.arrow_key_.get_child().get_children()
        assert label.get_text() == text
        arrow = drawing.get_children()[0].get_xy()
        assert np.ptp(arrow[:, 0]) == pytest.approx(5 * magnification)
        display.figure_.canvas.draw()
        box = display.arrow_key_.get_window_extent()
        axes = display.ax_.get_window_extent()
        assert axes.x0 < box.x0 < box.x1 < axes.x1
        without = PolarizationMapDisplay.from_sites(
            sites, vectors=vectors, scale_bar=False
        )
        assert without.arrow_key_ is None

    def test_errors(self, b_sites):
        with pytest.raises(ValueError, match=r"vectors must have one value a site"):
            PolarizationMapDisplay.from_sites(b_sites, vectors=np.zeros(len(b_sites)))
        with pytest.raises(ValueError, match=r"No site has a vector.*vectors= comp"):
            PolarizationMapDisplay.from_sites(
                b_sites, vectors=np.full((len(b_sites), 2), np.nan)
            )

    @pytest.mark.parametrize(
        ("sublattice", "reason"),
        [(1, "complete cage of four neighbours"), (0, "n_sublattices_")],
    )
    def test_error_tells_why_there_is_no_polarization(self, sublattice, reason):
        """B columns alone tell that there are two sublattices, A columns do not."""
        sites = AtomSites(
            np.zeros((9, 9)), [[2, 3], [6, 5]], sublattice=[sublattice] * 2
        )
        with pytest.raises(ValueError, match=f"No site has a vector.*{reason}"):
            PolarizationMapDisplay.from_sites(sites)

    def test_vanishing_vectors_are_drawn(self, b_sites):
        display = PolarizationMapDisplay.from_sites(
            b_sites, vectors=np.zeros((len(b_sites), 2))
        )
        display.figure_.canvas.draw()
        assert display.magnification_ == 1


def test_lengths_begin_at_zero():
    positions = 20.0 * np.indices((10, 10)).reshape(2, -1).T + 10
    sites = AtomSites(np.zeros((200, 200)), positions)
    vectors = np.random.default_rng(0).normal([5, 0], 0.3, (100, 2))
    display = DomainMapDisplay.from_vectors(sites, vectors)
    assert display.vmin == 0
    spread = DomainMapDisplay.from_vectors(sites, vectors, percentiles=(5, 95))
    assert spread.vmin is None


def test_degrees_are_refused():
    positions = 20.0 * np.indices((4, 4)).reshape(2, -1).T + 10
    sites = AtomSites(np.zeros((80, 80)), positions)
    with pytest.raises(ValueError, match=r"CellMapDisplay\.from_sites"):
        DomainMapDisplay.from_sites(sites, ["up"] * len(sites))
    with pytest.raises(ValueError, match="must be in radians"):
        DomainMapDisplay.from_sites(sites, np.linspace(-180, 180, 16))


def lightness(colors):
    """CIE L* of RGB colours."""
    linear = np.where(
        colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4
    )
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(luminance) - 16


def test_four_classes_are_distinct_in_greyscale():
    levels = np.sort(lightness(class_colors([0, 1, 2, 3])))
    assert np.diff(levels).min() >= 11


class TestArrowsOfDirections:
    def test_directions_at_the_sites(self, b_sites):
        angle = angle_of(b_sites)
        angle[7] = np.nan
        display = DomainMapDisplay.from_sites(b_sites, angle, arrows=True)
        arrows = display.arrows_
        places = arrows.get_offsets()[:, ::-1]
        nearest = np.abs(places[:, None] - b_sites.positions).sum(axis=2).argmin(axis=1)
        np.testing.assert_allclose(b_sites.positions[nearest], places)
        np.testing.assert_allclose(np.arctan2(arrows.V, arrows.U), angle[nearest])
        assert 7 not in nearest

    def test_arrow_on_the_picture(self, pixel_at):
        """To +row, +col: black from upper left to lower right, at no other place."""
        sites = AtomSites(np.zeros((60, 60)), [[30, 30]])
        display = DomainMapDisplay.from_sites(sites, [np.pi / 4], arrows=True)
        display.arrows_.scale, display.arrows_.width = 1 / 24, 3
        for shift in (-5, 0, 5):
            seen = pixel_at(display.ax_, 30 + shift, 30 + shift)
            np.testing.assert_allclose(seen, 0, atol=0.02)

    def test_small_cells_share_an_arrow(self):
        positions = 20.0 * np.indices((40, 40)).reshape(2, -1).T + 10
        sites = AtomSites(np.zeros((800, 800)), positions)
        counts = {}
        for inches in (1.5, 3, 12):
            figure, ax = plt.subplots(figsize=(inches, inches))
            arrows = draw_domains(sites, arrows=True, ax=ax).arrows_
            length_px = arrows.U.max() / arrows.scale
            shown = ax.transData.transform([[0, 0], [length_px, 0]])
            length_inches = np.ptp(shown[:, 0]) / figure.dpi
            assert length_inches > 0.12
            counts[inches] = len(arrows.U)
        assert counts[1.5] < counts[3] < counts[12] == 1600

    @pytest.mark.parametrize("n", [17, 21, 25, 40])
    def test_arrows_are_evenly_spaced(self, n):
        rng = np.random.default_rng(0)
        positions = 20.0 * np.indices((n, n)).reshape(2, -1).T + 10
        positions += rng.normal(0, 0.8, positions.shape)
        sites = AtomSites(np.zeros((20 * n, 20 * n)), positions)
        _, ax = plt.subplots(figsize=(2.5, 2.5))
        places = draw_domains(sites, arrows=True, ax=ax).arrows_.get_offsets()
        nearest = cKDTree(places).query(places, k=2)[0][:, 1]
        assert nearest.min() > 0.7 * np.median(nearest)
        assert np.median(nearest) > 1.8 * 20

    def test_lengths_follow_the_saturation(self, b_sites):
        magnitude = np.linspace(0, 1, len(b_sites))
        display = draw_domains(
            b_sites, magnitude=magnitude, vmin=0, vmax=1, arrows=True
        )
        lengths = np.hypot(display.arrows_.U, display.arrows_.V)
        assert lengths.max() <= 1
        assert lengths.min() >= 0.25
        nothing = draw_domains(b_sites, polar=np.zeros(len(b_sites)), arrows=True)
        assert nothing.arrows_ is None
        assert draw_domains(b_sites).arrows_ is None


class TestColorWheel:
    @pytest.mark.parametrize("draw", [draw_domains, PolarizationMapDisplay.from_sites])
    def test_side(self, draw, b_sites):
        for side in ("right", "below"):
            display = draw(b_sites, color_wheel=side)
            display.figure_.canvas.draw()
            wheel, image = (
                artist.get_window_extent()
                for artist in (display.wheel_, display.image_)
            )
            assert wheel.x0 > image.x1 if side == "right" else wheel.y1 <= image.y0
        with pytest.raises(ValueError, match='"right" or "below", got \'left\''):
            draw(b_sites, color_wheel="left")

    @pytest.mark.parametrize("side", ["right", "below"])
    def test_keys_follow_the_size_of_the_letters(self, side, b_sites):
        sizes = {}
        for points in (5, 10):
            with plt.rc_context({"font.size": points}):
                display = draw_domains(b_sites, color_wheel=side)
                display.figure_.canvas.draw()
                box = display.wheel_.get_window_extent()
                sizes[points] = box.width / display.figure_.dpi
        assert sizes[10] == pytest.approx(1.3)
        assert sizes[5] == pytest.approx(0.65)

    def test_one_column_of_a_page(self, b_sites):
        """86 mm at 7 pt: nothing is cut off, and the map has most of the width."""
        with plt.rc_context({"font.size": 7}):
            figure, ax = plt.subplots(figsize=(3.39, 2.6), layout="constrained")
            display = draw_domains(b_sites, arrows=True, ax=ax)
            figure.canvas.draw()
        inside = figure.bbox
        for artist in (display.wheel_, display.scale_bar_, display.image_):
            box = artist.get_tightbbox() if artist is display.wheel_ else None
            box = artist.get_window_extent() if box is None else box
            assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
            assert inside.y0 <= box.y0 <= box.y1 <= inside.y1
        assert display.image_.get_window_extent().width > 0.6 * inside.width


def test_no_outline_between_cells_without_direction(b_sites):
    labels = (b_sites.positions[:, 1] > 100).astype(int)
    top = b_sites.positions[:, 0] < 80
    display = draw_domains(b_sites, labels=labels, polar=top)
    ends = np.array(display.walls_.get_segments())
    assert 0 < ends[..., 1].max() < 105


def test_image_without_markers(b_sites):
    display = SitesDisplay.from_sites(b_sites, markers=False)
    assert display.scatter_ is display.legend_ is None
    assert display.scale_bar_ is not None
    low, high = display.image_.get_clim()
    assert (low, high) == pytest.approx(np.percentile(b_sites.images[0], [0.5, 99.7]))
