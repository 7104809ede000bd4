"""Grids of places, windowed Fourier coefficients and vectors to the neighbours."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sklearn_ferroic import (
    AtomLocator,
    AtomSites,
    GridSampler,
    NeighborhoodDescriptor,
    SlidingFFT,
)
from sklearn_ferroic.datasets import make_ferroic_image


def lattice(n=12, spacing=20.0, noise=0.0, seed=0):
    """A square lattice with a second sublattice at the centres of its cells."""
    rng = np.random.default_rng(seed)
    corners = spacing * np.indices((n, n)).reshape(2, -1).T + spacing
    positions = np.concatenate([corners, corners + spacing / 2])
    positions += rng.normal(0, noise, positions.shape)
    side = int(spacing * (n + 2))
    label = np.repeat([0, 1], n**2)
    return AtomSites(np.zeros((side, side)), positions, sublattice=label)


def rotated(sites, degrees):
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return AtomSites(
        sites.images, sites.positions @ matrix.T, sublattice=sites.sublattice
    )


# GridSampler --------------------------------------------------------------------------


def test_the_grid_is_centred_and_keeps_its_margin():
    images = [
        np.random.default_rng(0).normal(size=shape) for shape in [(50, 91), (40, 40)]
    ]
    sites = GridSampler(step=10, margin=12).fit_transform(
        [(images[0], 0.02), (images[1], None)]
    )
    assert sites.pixel_size == (0.02, None)
    for number, image in enumerate(images):
        own = sites.positions[sites.frame == number]
        last = np.array(image.shape) - 1
        np.testing.assert_allclose(own.min(axis=0) + own.max(axis=0), last)
        assert (own >= 12).all() and (own <= last - 12).all()
        # No further row or column of the grid would keep the margin.
        assert (own.min(axis=0) < 12 + 5).all()
        assert np.unique(np.diff(np.unique(own[:, 1]))).tolist() in ([10.0], [])


def test_no_place_is_on_masked_pixels():
    image = np.ma.array(np.random.default_rng(0).normal(size=(60, 60)))
    image[20:40, 20:40] = np.ma.masked
    row, col = np.rint(GridSampler(step=5).transform(image).positions).astype(int).T
    assert not np.ma.getmaskarray(image)[row, col].any()
    assert len(row) < 144


def test_a_margin_without_places_is_refused():
    with pytest.raises(ValueError, match="leaves no place on image 0, which is 30 px"):
        GridSampler(margin=15).transform(np.random.default_rng(0).normal(size=(30, 99)))


# SlidingFFT ---------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["hann", "boxcar", ("kaiser", 6.0)])
@pytest.mark.parametrize("window_size", [32, 33])
def test_magnitude_of_a_wave(window, window_size):
    row, col = np.mgrid[:96, :96]
    k = np.array([2, -3]) / window_size
    wave = 5 + 3 * np.cos(2 * np.pi * (k[0] * row + k[1] * col) + 1)
    sites = AtomSites(wave, [[40, 40], [45, 51], [48.5, 47.25]])
    fft = SlidingFFT(window_size=window_size, window=window, normalize=None)
    spectrum, k_all = fft.fit_transform(sites), fft.frequencies()
    assert spectrum.shape == (3, len(k_all))
    assert len(k_all) == window_size**2 // 2 + (window_size % 2 == 0)
    place = np.hypot(*(np.abs(k_all - k)).T).argmin()
    np.testing.assert_allclose(k_all[place], k)
    # Translations of the wave change nothing but the phase.
    np.testing.assert_allclose(spectrum[:, place], 1.5, rtol=2e-3)
    assert (spectrum.argmax(axis=1) == place).all()
    complex_fft = SlidingFFT(
        window_size=window_size, window=window, normalize=None, phase="keep"
    )
    real, imag = complex_fft.transform(sites).reshape(3, 2, -1)[..., place].T
    phase = 2 * np.pi * sites.positions @ k + 1
    np.testing.assert_allclose(np.hypot(real, imag), 1.5, rtol=2e-3)
    error = np.angle(np.exp(1j * (np.arctan2(imag, real) - phase)))
    assert np.abs(error).max() < 5e-3


def test_the_band_is_kept_and_an_empty_one_refused():
    fft = SlidingFFT(window_size=40, low=0.1, high=0.2)
    size = np.hypot(*fft.frequencies().T)
    assert size.min() >= 0.1 and size.max() <= 0.2
    assert len(fft.get_feature_names_out()) == len(size)
    sites = AtomSites(np.random.default_rng(0).normal(size=(99, 99)), [[50, 50]])
    assert fft.transform(sites).shape == (1, len(size))
    narrow = SlidingFFT(window_size=8, low=0.01, high=0.05)
    with pytest.raises(ValueError, match="No frequency of a window of 8 px"):
        narrow.fit(sites)


def test_each_opposite_pair_is_returned_once():
    for window_size in (8, 9):
        k = np.rint(SlidingFFT(window_size=window_size).frequencies() * window_size)
        pairs = {
            tuple(sorted([tuple(part % window_size), tuple(-part % window_size)]))
            for part in k
        }
        assert len(pairs) == len(k)
        # All of the plane but zero.
        both = {part for pair in pairs for part in pair}
        assert len(both) == window_size**2 - 1


@pytest.mark.parametrize("seed", range(2))
def test_fourier_magnitudes_show_the_materials(seed):
    # The second sublattice is fainter in the substrate: its order is weaker there.
    data = make_ferroic_image("film", random_state=seed)
    pipeline = make_pipeline(
        GridSampler(step=16, margin=32),
        SlidingFFT(window_size=64, high=0.15),
        Normalizer("l1"),
        NMF(2, init="nndsvda", max_iter=3000),
        Normalizer("l1"),
        KMeans(2, n_init=10, random_state=0),
    )
    labels = pipeline.fit_predict(data.image)
    places = pipeline[0].transform(data.image).positions
    near = cKDTree(data.positions).query(places, k=8)[1]
    share = data.composition[near].mean(axis=1)
    pure = (share < 0.01) | (share > 0.99)
    assert adjusted_rand_score(share[pure] > 0.5, labels[pure]) > 0.9


# NeighborhoodDescriptor ---------------------------------------------------------------


def test_neighbours_have_the_same_order_everywhere():
    sites = lattice(noise=0.8)
    model = NeighborhoodDescriptor(n_neighbors=4, neighbors="other").fit(sites)
    vectors = model.transform(sites).reshape(-1, 4, 2)
    ideal = np.array([[-10, -10], [-10, 10], [10, 10], [10, -10]])
    for reference in model.reference_vectors_:
        np.testing.assert_allclose(reference, ideal, atol=0.4)
    # A vector ends at a site, and the difference from the ideal is noise.
    complete = np.isfinite(vectors).all(axis=(1, 2))
    assert np.count_nonzero(complete) > 240
    assert np.abs(vectors[complete] - ideal).max() < 7
    ends = sites.positions[:, None] + vectors
    distance = np.abs(ends[complete][..., None, :] - sites.positions).max(axis=-1)
    assert distance.min(axis=-1).max() < 1e-9


def test_missing_neighbours_are_nan_and_the_others_keep_their_place():
    sites = lattice(noise=0.3)
    centre = np.hypot(*(sites.positions - 130).T).argmin()
    model = NeighborhoodDescriptor(n_neighbors=4, neighbors="other").fit(sites)
    before = model.transform(sites).reshape(-1, 4, 2)
    lost = np.hypot(*(sites.positions - sites.positions[centre] - [10, 10]).T).argmin()
    left = np.delete(np.arange(len(sites)), lost)
    # Slices of the sites of `fit` have the neighbours of all of them.
    kept = model.transform(sites[left]).reshape(-1, 4, 2)
    np.testing.assert_array_equal(kept, before[left])
    model.fit(sites[left])
    after = model.transform(sites[left]).reshape(-1, 4, 2)
    row = np.flatnonzero(left == centre)[0]
    assert np.isnan(after[row, 2]).all()
    np.testing.assert_array_equal(after[row, [0, 1, 3]], before[centre, [0, 1, 3]])
    # Corners of the crystal have one neighbour of the other kind.
    corner = sites.positions[:, 0] + sites.positions[:, 1] == (
        sites.positions.sum(axis=1).min()
    )
    assert np.isfinite(before[corner]).all(axis=2).sum() == 1


@pytest.mark.parametrize("degrees", [7, 30, 45, 100, 180])
def test_removed_rotation(degrees):
    sites = lattice(noise=0.5)
    # A rectangle of neighbours, so that the rotation is unique up to 180 degrees.
    positions = sites.positions * [1, 1.25]
    sites = AtomSites(sites.images, positions, sublattice=sites.sublattice)
    model = NeighborhoodDescriptor(n_neighbors=6, rotation="remove").fit(sites)
    one, other = model.transform(sites), model.transform(rotated(sites, degrees))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_rotation_is_kept_by_default():
    sites = lattice(noise=0.5)
    model = NeighborhoodDescriptor(n_neighbors=4).fit(sites)
    one, turned = model.transform(sites), model.transform(rotated(sites, 10))
    angle = [np.arctan2(v[:, 0], v[:, 1]) for v in (one, turned)]
    change = np.degrees(np.angle(np.exp(1j * (angle[1] - angle[0]))))
    assert np.nanmedian(change) == pytest.approx(10, abs=0.5)


def test_a_rotated_grain_is_like_the_other_only_without_rotation():
    first = lattice(noise=0.2)
    second = rotated(lattice(noise=0.2, seed=1), 45)
    shift = [-second.positions[:, 0].min() + 20, 400]
    positions = np.concatenate([first.positions, second.positions + shift])
    sites = AtomSites(
        np.zeros((600, 900)), positions, sublattice=np.tile(first.sublattice, 2)
    )
    grain = np.repeat([0, 1], len(first))
    spread = {}
    for rotation in ("keep", "remove"):
        features = NeighborhoodDescriptor(n_neighbors=4, rotation=rotation)
        vectors = features.fit_transform(sites).reshape(-1, 4, 2)
        complete = np.isfinite(vectors).all(axis=(1, 2))
        spread[rotation] = [np.mean(complete[grain == number]) for number in (0, 1)]
    assert min(spread["remove"]) > 0.75
    # Neighbours of the other orientation are not where the reference has them.
    assert min(spread["keep"]) < 0.05


def test_sites_of_another_magnification_are_named():
    model = NeighborhoodDescriptor(n_neighbors=4).fit(lattice())
    other = lattice(spacing=35.0)
    with pytest.warns(UserWarning, match="Fit the descriptor to sites of this magnif"):
        vectors = model.transform(other)
    assert np.isnan(vectors).all()


def test_too_few_neighbours():
    sites = AtomSites(np.zeros((30, 30)), [[5, 5], [20, 20], [5, 20]])
    with pytest.raises(ValueError, match="No site has n_neighbors=8 neighbours"):
        NeighborhoodDescriptor().fit(sites)


@pytest.mark.parametrize("seed", range(2))
def test_neighbourhoods_show_domains(seed):
    data = make_ferroic_image("film", substrate=0, dose=1e5, random_state=seed)
    sites = AtomLocator().fit_transform(data.image)
    features = make_pipeline(
        NeighborhoodDescriptor(n_neighbors=4, neighbors="other"), SimpleImputer()
    ).fit_transform(sites)
    distance, index = cKDTree(data.positions).query(sites.positions)
    good = (sites.sublattice == 1) & (distance < 4) & ~data.wall[index]
    labels = KMeans(4, n_init=10, random_state=0).fit_predict(features[good])
    assert adjusted_rand_score(data.variant[index][good], labels) > 0.9


@pytest.mark.parametrize("rotation", ["keep", "remove"])
def test_neighbourhoods_do_not_depend_on_the_order_of_the_sites(rotation):
    sites = lattice(noise=0.5)
    order = np.random.default_rng(0).permutation(len(sites))
    made = [
        NeighborhoodDescriptor(
            n_neighbors=4, neighbors="other", rotation=rotation
        ).fit_transform(part)
        for part in (sites, sites[order])
    ]
    np.testing.assert_array_equal(made[0][order], made[1])


def test_one_warning_for_many_windows():
    sites = GridSampler(step=2).transform(np.random.default_rng(0).random((99, 99)))
    with pytest.warns(UserWarning, match="half") as caught:
        SlidingFFT(window_size=64).transform(sites)
    assert len(caught) == 1
    assert caught[0].filename == __file__
