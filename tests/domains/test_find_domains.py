"""Domains: counts, areas, means with errors, and labels smoothed."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from sklearn_ferroic import AtomSites
from sklearn_ferroic.domains import find_domains, label_smoothing
from sklearn_ferroic.feature_extraction import measure_lattice
from tests.domains._scenes import grid, perovskite, tanh_wall


def test_area_perimeter_and_box():
    sites = grid((10, 20), pixel_size=0.02)
    left = sites.positions[:, 1] < 160
    domains = find_domains(sites, np.where(left, "left", "right"))
    assert domains.label.tolist() == ["right", "left"]
    assert domains.n_cells.tolist() == [120, 80]
    np.testing.assert_allclose(domains.area_nm2, [120 * 0.16, 80 * 0.16])
    np.testing.assert_allclose(domains.perimeter_nm, [44 * 0.4, 36 * 0.4])
    assert domains.touches_border.all()
    assert domains.loc[1, ["row_min", "row_max", "col_min", "col_max"]].tolist() == [
        10,
        190,
        10,
        150,
    ]
    number = domains.attrs["domain"]
    np.testing.assert_array_equal(number, np.where(left, 1, 0))


def test_island_does_not_touch_the_border():
    sites = grid((20, 20))
    inside = np.abs(sites.positions - 200).max(axis=1) < 60
    domains = find_domains(sites, inside)
    assert domains.touches_border.tolist() == [True, False]
    assert "area_px2" in domains


def test_mean_vector_with_error():
    pulls, angles = [], []
    for seed in range(100):
        sites, labels = tanh_wall(seed, width=0.1, noise=0.5, vector=((1, 0), (-1, 0)))
        domains = find_domains(sites, labels)
        sign = np.where(domains.label == 0, 1, -1)
        pulls.extend((domains.mean_row - sign) / domains.mean_row_std)
        pulls.extend(domains.mean_col / domains.mean_col_std)
        angles.extend((np.abs(domains.angle_deg) - 90) / domains.angle_std_deg)
    assert 0.9 < np.std(pulls) < 1.1
    assert 0.9 < np.std(angles) < 1.1
    assert (domains.p_value < 1e-6).all()


def test_mean_is_that_of_the_middle_of_a_domain():
    sites, labels = tanh_wall(0, width=2.0, noise=0.0, vector=((1, 0), (-1, 0)))
    domains = find_domains(sites, labels)
    # The cells next to the wall are at 65 % and less.
    np.testing.assert_allclose(domains.magnitude, 1, atol=0.02)
    assert domains.n_averaged.tolist() == [390, 390]


def test_noise_labels_are_one_domain():
    for seed in range(5):
        sites = measure_lattice(perovskite(seed, n=24, shift=(0.3, 0.4), noise=0.25))
        cells = sites[sites.sublattice == 1]
        labels = GaussianMixture(3, random_state=seed).fit_predict(cells.polarization)
        domains = find_domains(cells, labels)
        assert domains.n_cells.tolist() == [len(cells)]
        assert len(find_domains(cells, labels, significance=None)) > 1


def test_small_regions_are_given_to_their_surroundings():
    sites, labels = tanh_wall(0)
    labels[[200, 201, 202]] = 5
    domains = find_domains(sites, labels)
    assert set(domains.label) == {0, 1}
    assert domains.n_cells.sum() == len(sites)


def test_cells_without_a_label_belong_to_no_domain():
    sites = grid((12, 12))
    labels = np.where(sites.positions[:, 0] < 120, 0.0, np.nan)
    domains = find_domains(sites, labels)
    assert domains.n_cells.tolist() == [72]
    assert (domains.attrs["domain"] == -1).sum() == 72
    assert len(find_domains(sites, np.full(144, -1))) == 0


def test_smoothing_corrects_single_labels():
    sites, truth = tanh_wall(0)
    wrong = np.random.default_rng(0).random(len(truth)) < 0.1
    smoothed = label_smoothing(sites, np.where(wrong, 1 - truth, truth))
    assert (smoothed != truth).sum() < 0.2 * wrong.sum()
    np.testing.assert_array_equal(
        label_smoothing(sites, np.where(wrong, 1 - truth, truth), strength=0),
        np.where(wrong, 1 - truth, truth),
    )


def test_smoothing_heeds_probabilities_and_unlabelled_cells():
    sites, truth = tanh_wall(0)
    wrong = np.random.default_rng(0).random(len(truth)) < 0.2
    labels = np.where(wrong, 1 - truth, truth)
    sure = np.where(wrong, 0.55, 0.99)
    table = np.column_stack([np.where(labels == 0, sure, 1 - sure)])
    table = np.column_stack([table, 1 - table])
    smoothed = label_smoothing(sites, labels, probabilities=table)
    without = label_smoothing(sites, labels)
    assert (smoothed != truth).sum() < 0.05 * wrong.sum() < (without != truth).sum()
    labels[:5] = -1
    assert (label_smoothing(sites, labels)[:5] == -1).all()
    with pytest.raises(ValueError, match="one row per site"):
        label_smoothing(sites, labels, probabilities=table[:10])


def test_two_images_are_apart():
    sites = grid((10, 10))
    both = AtomSites.concatenate(
        [sites, AtomSites(np.ones((200, 200)), sites.positions)]
    )
    domains = find_domains(both, np.zeros(200, int))
    assert domains.frame.tolist() == [0, 1]
