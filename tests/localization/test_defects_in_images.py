"""Pixels and spots that show no columns, and masks that leave them out."""

import numpy as np
import pytest
from sklearn.utils import Bunch

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.bad_pixels import fill_hot_pixels
from tests.localization._truth import match


def pulls(sites, truth):
    """Errors over standard errors of the columns found; how many were not."""
    found, index, n_missed, n_invented = match(sites, truth, truth.spacing)
    error = sites.positions[found] - truth.positions[index]
    return error / sites.position_std[found], n_missed, n_invented


@pytest.mark.parametrize("times", [5, 100, 1e4, -100])
@pytest.mark.parametrize("n_hot", [1, 30])
def test_hot_pixels_change_nothing_but_their_surroundings(columns, times, n_hot):
    truth = columns(shape=(400, 380), seed=1)
    image = truth.image.copy()
    place = tuple(np.random.default_rng(0).integers(0, (400, 380), (n_hot, 2)).T)
    image[place] = times * 100
    clean = AtomLocator().fit(truth.image)
    locator = AtomLocator()
    sites = locator.fit_transform(image)
    assert abs(locator.spacing_ / clean.spacing_ - 1) < 0.005
    pull, n_missed, n_invented = pulls(sites, truth)
    assert (n_missed, n_invented) == (0, 0)
    assert 0.93 < pull.std() < 1.07
    assert (sites.sublattice == clean.transform(truth.image).sublattice).all()


def test_hot_pixels_in_corners_and_in_pairs():
    rng = np.random.default_rng(0)
    image = rng.poisson(50, (60, 70)).astype(np.float32)
    hot = image.copy()
    for place in [(0, 0), (59, 69), (0, 30), (20, 20), (20, 21), (40, 40), (41, 40)]:
        hot[place] = 1e6
    filled = fill_hot_pixels(hot)
    assert filled.max() <= image.max()
    assert np.count_nonzero(filled != hot) == 7
    # Counts remain counts.
    assert (filled == np.rint(filled)).all()
    assert hot.max() == 1e6


@pytest.mark.parametrize("peak", [2, 5, 100, 1e4])
@pytest.mark.parametrize(("cell", "sigma"), [(3.5, 0.18), (20, 0.04), (60, 0.02)])
def test_narrow_columns_are_no_hot_pixels(columns, peak, cell, sigma):
    for background in (0, 1):
        image = columns(
            cell=cell, sigma=sigma, peak=peak, ratio=0, background=background
        ).image
        changed = np.count_nonzero(fill_hot_pixels(image) != image)
        assert changed < 1e-4 * image.size


def test_a_bright_particle_hides_no_more_than_what_is_around_it(columns):
    truth = columns(shape=(640, 600), seed=2)
    row, col = np.ogrid[:640, :600]
    disc = (row - 200) ** 2 + (col - 300) ** 2 < 12**2
    sites = AtomLocator().fit_transform(truth.image + 1000 * disc)
    far = np.hypot(*(truth.positions - [200, 300]).T) > 40
    elsewhere = np.hypot(*(sites.positions - [200, 300]).T) > 40
    outside = Bunch(positions=truth.positions[far], spacing=truth.spacing)
    pull, n_missed, n_invented = pulls(sites[elsewhere], outside)
    assert (n_missed, n_invented) == (0, 0)
    assert 0.9 < pull.std() < 1.1


def test_border_drop_keeps_its_distance_from_a_mask(columns):
    truth = columns(shape=(260, 240))
    mask = np.zeros(truth.image.shape, dtype=bool)
    mask[:, :100] = True
    image = np.ma.array(truth.image, mask=mask)
    locator = AtomLocator().fit(image)
    kept = locator.transform(image)
    dropped = AtomLocator(border="drop").fit_transform(image)
    # The edge of pixel 100 is at 99.5.
    margin = 2 * locator.width_
    whole = kept.positions[:, 1] - 99.5 >= margin
    last = np.array(image.shape) - 0.5
    whole &= (kept.positions + 0.5 >= margin).all(axis=1)
    whole &= (last - kept.positions >= margin).all(axis=1)
    np.testing.assert_array_equal(dropped.positions, kept.positions[whole])
    near = kept.positions[:, 1] - 99.5 < margin
    assert near.sum() >= 5


def test_pixels_that_are_not_finite_are_counted_outside_the_mask(columns):
    image = np.ma.array(columns().image, mask=False)
    image[:20] = np.ma.masked
    image.data[:20] = np.nan
    image.data[100, 100] = np.nan
    with pytest.raises(ValueError, match=r"image 0 has 1 pixel\(s\) that are NaN"):
        AtomLocator().fit(image)
