"""Columns whose positions are known are fitted again by the locators."""

import numpy as np
import pytest
from sklearn.utils import Bunch

from sklearn_ferroic import AtomLocator, AtomSites, UNetAtomLocator
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.sites._fields import SiteField


@pytest.fixture(scope="module")
def film():
    return make_ferroic_image("film", shape=(220, 240), random_state=1)


@pytest.fixture(scope="module")
def sites(film):
    return AtomLocator().fit_transform(film)


def interior(sites, label):
    """Return a column in the middle of the image."""
    distance = np.hypot(*(sites.positions - [105, 120]).T)
    return int(np.where(sites.sublattice == label, distance, np.inf).argmin())


@pytest.mark.parametrize("shape", ["circular", "elliptical"])
def test_unchanged_sites_stay_where_they_are(film, shape):
    locator = AtomLocator(shape=shape)
    sites = locator.fit_transform(film)
    again = locator.refit(sites)
    move = np.abs(again.positions - sites.positions)[sites.converged]
    assert np.median(move / sites.position_std[sites.converged]) < 0.1
    np.testing.assert_array_equal(again.sublattice, sites.sublattice)
    assert again.converged.mean() > 0.98


@pytest.mark.parametrize("label", [0, 1])
def test_an_added_column_is_fitted_like_all_others(sites, label):
    row = interior(sites, label)
    roughly = sites.positions[row] + [2.5, -2.0]
    added = AtomLocator().refit(sites.remove(row).add(roughly))
    assert added.sublattice[-1] == label
    assert added.converged[-1]
    error = np.abs(added.positions[-1] - sites.positions[row])
    assert (error < 0.5 * sites.position_std[row]).all()
    assert added.amplitude[-1] == pytest.approx(sites.amplitude[row], rel=0.1)
    # displacements of the column and of its neighbours are those of before
    expected = np.delete(sites.polarization, row, axis=0)
    known = np.isfinite(expected).all(axis=1)
    assert np.abs(added.polarization[:-1] - expected)[known].max() < 0.3
    assert not added.has_flag("hole").any()


def test_neighbours_of_a_removed_column_lose_their_displacement(sites):
    row = interior(sites, 0)
    less = AtomLocator().refit(sites.remove(row))
    near = np.hypot(*(less.positions - sites.positions[row]).T) < 18
    assert np.isnan(less.polarization[near & (less.sublattice == 1)]).all()
    assert less.has_flag("hole").sum() >= 4


def test_a_column_where_there_is_none_is_not_converged_or_stays_near(sites):
    row = interior(sites, 0)
    between = sites.positions[row] + [5.0, 0.0]
    fitted = AtomLocator().refit(sites.add(between))
    far = np.hypot(*(fitted.positions[-1] - between)) > 8
    assert not far
    assert fitted.has_flag("short_pair")[-1] or not fitted.converged[-1]


def test_frames_in_any_order(film, sites):
    other = make_ferroic_image("film", shape=(200, 200), random_state=2)
    second = AtomLocator().fit_transform(other)
    both = AtomSites.concatenate([sites, second])
    mixed = both[np.random.default_rng(0).permutation(len(both))]
    again = AtomLocator().refit(mixed)
    np.testing.assert_array_equal(again.frame, mixed.frame)
    move = np.hypot(*(again.positions - mixed.positions).T)
    assert np.median(move) < 0.05


def test_the_network_refits_and_keeps_its_probabilities(film):
    locator = UNetAtomLocator(weights="pretrained").fit(film)
    sites = locator.transform(film)
    row = interior(sites, 1)
    back = locator.refit(sites.remove(row).add(sites.positions[row] + 1.5))
    assert np.hypot(*(back.positions[-1] - sites.positions[row])) < 0.2
    assert np.isnan(back.probability[-1])
    np.testing.assert_array_equal(
        back.probability[:-1], np.delete(sites.probability, row)
    )


def test_what_are_no_sites_is_refused(film):
    with pytest.raises(TypeError, match="refit needs AtomSites"):
        AtomLocator().refit(film.image)


@pytest.fixture(scope="module")
def average(film):
    """The film as if it were an average of frames with drift and jitter."""
    n_rows = len(film.image)
    std = np.stack([np.linspace(0.05, 0.2, n_rows), np.full(n_rows, 0.1)], axis=1)
    return Bunch(image=film.image, pixel_size=film.pixel_size, displacement_std=std)


def test_errors_of_averaged_frames_are_kept(average, sites, tmp_path):
    locator = AtomLocator()
    of_average = locator.fit_transform(average)
    rows = np.arange(len(average.image))
    more = np.stack(
        [
            np.interp(of_average.positions[:, 0], rows, std)
            for std in average.displacement_std.T
        ],
        axis=1,
    )
    np.testing.assert_allclose(of_average.distortion_std, more)
    again = locator.refit(of_average)
    of_fit = locator.refit(sites).position_std
    np.testing.assert_allclose(again.position_std, np.hypot(of_fit, more))
    # as they are read from a file, with one column set by hand
    of_average.to_hdf5(tmp_path / "sites.h5")
    stored = AtomSites.from_hdf5(tmp_path / "sites.h5")
    row = interior(stored, 0)
    edited = stored.remove(row).add(stored.positions[row] + 0.5)
    added = locator.refit(edited).position_std[-1]
    np.testing.assert_allclose(added, again.position_std[row], rtol=0.02)


def test_columns_of_single_frames_have_no_such_error(average, sites):
    assert np.isnan(sites.distortion_std).all()
    located = AtomLocator().fit_transform([average, average.image])
    assert np.array_equal(located.frame == 0, np.isfinite(located.distortion_std[:, 0]))
    refitted = AtomLocator().refit(located)
    of_average, of_one = (
        refitted.position_std[refitted.frame == frame] for frame in (0, 1)
    )
    np.testing.assert_array_equal(of_one, AtomLocator().refit(sites).position_std)
    known = np.isfinite(of_one)
    assert (of_average > of_one)[known].all()


def test_what_a_fit_does_not_measure_is_kept(sites):
    class LabeledSites(AtomSites):
        fields = (
            *AtomSites.fields,
            SiteField("tilt", "Tilt, rad.", unit="rad"),
            SiteField("bond", "Length of a bond, px.", unit="px", is_geometric=True),
        )

    values = {field.name: getattr(sites, field.name) for field in sites.fields}
    labeled = LabeledSites(sites.images, values.pop("positions"), **values)
    labeled.tilt = labeled.bond = np.arange(len(sites))
    labeled.motif_column = np.arange(len(sites)) % 3
    refitted = AtomLocator().refit(labeled)
    np.testing.assert_array_equal(refitted.tilt, labeled.tilt)
    assert np.isnan(refitted.bond).all()
    np.testing.assert_array_equal(refitted.motif_column, labeled.motif_column)
    expected = AtomLocator().refit(sites)
    np.testing.assert_array_equal(refitted.positions, expected.positions)
