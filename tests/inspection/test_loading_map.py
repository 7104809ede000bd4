import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.decomposition import NMF, PCA
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomSites, PatchExtractor
from sklearn_ferroic.inspection import LoadingMapDisplay
from sklearn_ferroic.inspection._drawing.colors import NEUTRAL_RGB

SITES = AtomSites(
    np.zeros((60, 60)), [[15, 15], [15, 45], [45, 15], [45, 45]], pixel_size=0.1
)


@pytest.fixture(scope="module")
def pca_sites(ferroic_sites):
    return ferroic_sites[ferroic_sites.sublattice == 1]


@pytest.fixture(scope="module")
def pipe(pca_sites):
    pipe = make_pipeline(
        PatchExtractor(window_size=24), PCA(3, random_state=0), GaussianMixture(2)
    )
    return pipe.fit(pca_sites)


def test_from_estimator(pipe, pca_sites):
    """What comes after the components is left out."""
    display = LoadingMapDisplay.from_estimator(pipe, pca_sites, features=[2, 0])
    pca = pipe["pca"]
    expected = pca.components_[[2, 0]].reshape(2, 24, 24)
    for image, component in zip(display.images_, expected, strict=True):
        np.testing.assert_array_equal(image.get_array(), component)
    loadings = pipe[:2].transform(pca_sites)
    for cells, loading in zip(display.maps_, loadings.T[[2, 0]], strict=True):
        np.testing.assert_allclose(cells.get_array(), loading, rtol=1e-6)
    shares = 100 * pca.explained_variance_ratio_
    titles = [panel.get_title() for panel in display.axes_[:, 0]]
    assert titles == [f"pca2 ({shares[2]:.2g} %)", f"pca0 ({shares[0]:.2g} %)"]
    assert display.scale_bar_.txt_label.get_text() == "1 nm"


def test_signed_loadings_are_symmetric_about_zero(pipe, pca_sites):
    display = LoadingMapDisplay.from_estimator(pipe, pca_sites)
    assert display.signed_
    for artist in [*display.images_, *display.maps_]:
        low, high = artist.get_clim()
        assert low == -high < 0
        assert artist.get_cmap()(0.5)[:3] == pytest.approx((0.92, 0.90, 0.88), abs=0.06)
    for image in display.images_:
        assert image.get_clim()[1] == pytest.approx(abs(image.get_array()).max())


def test_nmf_is_sequential_from_zero(pca_sites):
    pipe = make_pipeline(
        PatchExtractor(window_size=24),
        NMF(2, init="nndsvda", max_iter=2000, tol=1e-2, random_state=0),
    ).fit(pca_sites)
    display = LoadingMapDisplay.from_estimator(pipe, pca_sites)
    assert not display.signed_
    for artist in [*display.images_, *display.maps_]:
        assert artist.get_clim()[0] == 0
        lightness = artist.get_cmap()(np.linspace(0, 1, 9))[:, :3] @ [0.21, 0.72, 0.07]
        assert (np.diff(lightness) > 0).all()
    assert display.axes_[1, 0].get_title() == "nmf1"


def test_colours_at_the_sites_are_those_of_the_bar(pixel_at):
    loadings = np.array([[-2.0], [0.0], [1.0], [np.nan]])
    display = LoadingMapDisplay.from_sites(SITES, np.ones((1, 9)), loadings)
    panel, bar = display.axes_[0, 1], display.colorbars_[1]
    assert bar.ax.get_ylim() == display.maps_[0].get_clim()
    for (row, col), loading in zip(SITES.positions[:3], loadings[:3, 0], strict=True):
        in_bar = bar.cmap(bar.norm(loading))[:3]
        np.testing.assert_allclose(pixel_at(panel, col, row), in_bar, atol=0.02)
    np.testing.assert_allclose(pixel_at(panel, 45, 45), NEUTRAL_RGB, atol=0.02)


def test_component_is_the_right_way_up(pixel_at):
    component = np.array([[[1.0, 0.0], [0.5, 0.0]]])
    display = LoadingMapDisplay.from_sites(SITES, component, np.ones((4, 1)))
    cmap = display.images_[0].get_cmap()
    for row, col in np.ndindex(2, 2):
        seen = pixel_at(display.axes_[0, 0], col, row)
        expected = cmap(component[0, row, col])[:3]
        np.testing.assert_allclose(seen, expected, atol=0.02)


def test_outliers_do_not_set_the_scale_and_the_bar_says_so():
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 100, (1000, 2))
    sites = AtomSites(np.zeros((101, 101)), positions)
    loadings = rng.uniform(-1, 1, (1000, 1))
    loadings[0] = 50
    display = LoadingMapDisplay.from_sites(sites, np.ones((1, 4)), loadings)
    assert 0.9 < display.maps_[0].get_clim()[1] < 1.1
    assert display.colorbars_[1].extend in ("max", "both")
    assert display.colorbars_[0].extend == "neither"


@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_panels_take_the_place_of_the_axes(n_components):
    figure, axes = plt.subplots(1, 2)
    plt.sca(axes[0])
    display = LoadingMapDisplay.from_sites(
        SITES,
        np.ones((n_components, 4)),
        np.ones((4, n_components)),
        ax=axes[1],
        scale_bar=False,
    )
    assert display.axes_.shape == (n_components, 2)
    assert display.ax_ is axes[1]
    assert not axes[1].axison
    assert len(figure.axes) == 2 + 2 * n_components
    assert plt.gca() is axes[0]
    place = axes[1].get_subplotspec()
    for panel in display.axes_.ravel():
        assert panel.get_subplotspec().get_topmost_subplotspec() == place
    assert display.scale_bar_ is None


def test_constant_and_unknown_loadings_are_drawn():
    loadings = np.column_stack([np.zeros(4), np.full(4, np.nan)])
    display = LoadingMapDisplay.from_sites(SITES, np.zeros((2, 4)), loadings)
    display.figure_.canvas.draw()
    assert all(cells.get_clim() == (0, 1) for cells in display.maps_)


def test_many_components_are_not_all_drawn(pca_sites):
    pipe = make_pipeline(PatchExtractor(window_size=24), PCA(9)).fit(pca_sites)
    assert len(LoadingMapDisplay.from_estimator(pipe, pca_sites).images_) == 6


def test_components_of_components_are_no_windows(pca_sites):
    """The first of two linear steps is the one that sees the pixels."""
    pipe = make_pipeline(PatchExtractor(window_size=24), PCA(4), PCA(2)).fit(pca_sites)
    display = LoadingMapDisplay.from_estimator(pipe, pca_sites)
    assert display.components.shape == (4, 24, 24)
    np.testing.assert_array_equal(display.loadings, pipe[:2].transform(pca_sites))


def test_errors(pipe, pca_sites):
    with pytest.raises(TypeError, match=r"a step with components_.*got Pipeline"):
        other = make_pipeline(PatchExtractor(window_size=24)).fit(pca_sites)
        LoadingMapDisplay.from_estimator(other, pca_sites)
    with pytest.raises(TypeError, match=r"fitted pipeline from sites.*got PCA"):
        LoadingMapDisplay.from_estimator(pipe["pca"], pca_sites)
    with pytest.raises(TypeError, match="must be AtomSites, got ndarray"):
        LoadingMapDisplay.from_estimator(pipe, np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"among the components 0 … 2, got \[3\]"):
        LoadingMapDisplay.from_estimator(pipe, pca_sites, features=[3])
    draw = LoadingMapDisplay.from_sites
    with pytest.raises(
        ValueError, match=r"loadings must have one value per site.*4, 2"
    ):
        draw(SITES, np.ones((2, 9)), np.ones((4, 3)))
    with pytest.raises(ValueError, match="names must have one entry a component"):
        draw(SITES, np.ones((2, 9)), np.ones((4, 2)), names=["a"])
    with pytest.raises(ValueError, match="does not match the 9 features"):
        draw(SITES, np.ones((2, 9)), np.ones((4, 2)), patch_shape=(2, 4))
    with pytest.raises(ValueError, match="must belong to a grid of subplots"):
        ax = plt.figure().add_axes((0, 0, 1, 1))
        draw(SITES, np.ones((2, 9)), np.ones((4, 2)), ax=ax)


def test_25000_sites_in_seconds():
    rng = np.random.default_rng(0)
    side = np.arange(160) * 12.0 + 8
    positions = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    positions += rng.normal(0, 0.5, positions.shape)
    sites = AtomSites(np.zeros((1930, 1930)), positions)
    start = time.process_time()
    display = LoadingMapDisplay.from_sites(
        sites, rng.normal(size=(4, 256)), rng.normal(size=(25_600, 4))
    )
    display.figure_.canvas.draw()
    assert time.process_time() - start < 20
    assert all(len(cells.get_paths()) == 25_600 for cells in display.maps_)
