"""Change points of series in which a domain switches."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, AtomSites, FrameAverager
from sklearn_ferroic.datasets import make_ferroic_series
from sklearn_ferroic.domains import find_switching
from sklearn_ferroic.sites import SiteTracks


def series_of(seed, **options):
    options = {"dose": 5000, "n_bad": 0, "switching": True} | options
    return make_ferroic_series(12, shape=(192, 192), random_state=seed, **options)


def tracks_of(data):
    return AtomLocator().fit_transform(data.image).track(data.shifts)


def truth_of(switching, data):
    """Return the column of each cell and whether it is certain."""
    distance, column = cKDTree(data.positions).query(switching.positions)
    return column, distance < 5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_domain_that_switches(seed):
    data = series_of(seed)
    switching = find_switching(tracks_of(data))
    column, known = truth_of(switching, data)
    # Cells that are measured before and after, and whose displacement is large enough:
    # in a wall it is not.
    seen = np.isfinite(switching.vectors).all(axis=2)
    measured = (seen[:6].sum(axis=0) > 1) & (seen[6:].sum(axis=0) > 1)
    polar = np.nanmax(switching.magnitude, axis=0) > 1
    true = data.switched[-1][column] & known & measured & polar
    still = known & ~data.switched[-1][column]
    assert true.sum() > 12
    found = switching.n_changes > 0
    assert found[true].mean() >= 0.95
    assert not found[still].any()
    assert (switching.change_frame[true & found] == 6).mean() > 0.97
    assert (switching.n_changes[true & found] == 1).all()


def test_angles_and_lengths_before_and_after():
    data = series_of(0, dose=2e4)
    switching = find_switching(tracks_of(data))
    table = switching.to_frame()
    assert (table.rotation_deg.abs() > 120).all()
    assert (table.change > 5 * table.change_std).all()
    cell = np.flatnonzero(switching.n_changes)[0]
    first = switching.vectors[:6, cell].mean(axis=0)
    np.testing.assert_allclose(switching.means[0, cell], first)
    assert switching.angle[0, cell] == pytest.approx(np.arctan2(*first))
    assert switching.magnitude[0, cell] == pytest.approx(np.hypot(*first))
    # The mean over six frames is less noisy than one frame.
    ratio = switching.means_std[0, cell, 0] / switching.noise_std[cell]
    assert ratio == pytest.approx(1 / np.sqrt(6))


def test_no_changes_without_switching():
    n_changes = 0
    for seed in range(3):
        data = series_of(seed, switching=False)
        n_changes += find_switching(tracks_of(data)).n_changes.sum()
    assert n_changes == 0


def test_with_measured_displacements_of_the_frames():
    data = series_of(3, n_bad=1)
    averager = FrameAverager()
    with pytest.warns(UserWarning, match="rejected"):
        averager.fit(data)
    used = np.flatnonzero(averager.weights_ > 0)
    sites = AtomLocator().fit_transform(data.image[used])
    switching = find_switching(sites.track(averager.shifts_[used]))
    after = np.searchsorted(used, 6)
    frames = switching.change_frame[switching.n_changes > 0]
    assert len(frames) > 15
    assert (frames == after).mean() > 0.95


def tracks_with(values):
    """Return tracks of cells with given displacements, (n_frames, n_cells, 2)."""
    n_frames, n_cells, _ = values.shape
    places = np.stack([np.full(n_cells, 10.0), 5 + 10.0 * np.arange(n_cells)], axis=1)
    sites = AtomSites(
        [np.zeros((20, 10 * n_cells))] * n_frames,
        np.tile(places, (n_frames, 1)),
        frame=np.repeat(np.arange(n_frames), n_cells),
        polarization=values.reshape(-1, 2),
    )
    rows = np.arange(n_frames * n_cells).reshape(n_frames, n_cells)
    return SiteTracks(
        sites, rows, np.zeros((n_frames, 2)), places, np.ones(rows.shape, dtype=bool)
    )


def test_several_changes_missing_frames_and_a_wrong_fit():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.1, (20, 8, 2))
    values[:, 0] += np.where(np.arange(20) < 7, 1.0, -1.0)[:, None]
    values[14:, 0] += [2.0, 0.0]
    values[9, 1] += 30  # one wrong fit is no switching
    values[12, 2] = np.nan
    values[:5, 3] = np.nan
    values[13:, 3] += [0, 1.0]
    switching = find_switching(tracks_with(values), sublattice=None)
    found = [np.flatnonzero(switching.changes[:, cell]).tolist() for cell in range(8)]
    assert found == [[7, 14], [], [], [13], [], [], [], []]
    assert np.abs(switching.means[9, 1]).max() < 0.2
    assert switching.change_frame.tolist() == [7, -1, -1, 13, -1, -1, -1, -1]


def test_false_alarms_are_as_rare_as_asked():
    rng = np.random.default_rng(1)
    n_alarms = sum(
        find_switching(
            tracks_with(rng.normal(size=(15, 20, 2))), sublattice=None, alpha=0.05
        ).n_changes.any()
        for _ in range(60)
    )
    assert n_alarms <= 8


def test_wrong_calls_are_explained():
    tracks = tracks_with(np.zeros((3, 4, 2)))
    with pytest.raises(ValueError, match="4 frames or more"):
        find_switching(tracks, sublattice=None)
    with pytest.raises(ValueError, match="vectors must have the shape"):
        find_switching(tracks, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="'tracks' parameter"):
        find_switching(tracks.sites)


def test_constant_vectors_do_not_switch():
    data = make_ferroic_series(8, shape=(128, 128), n_bad=0, random_state=0)
    tracks = tracks_of(data)
    vectors = np.full((len(tracks.sites), 2), [0.3, -1.1])
    assert len(find_switching(tracks, vectors=vectors).to_frame()) == 0


@pytest.mark.parametrize("frame", [0, -1])
def test_a_single_frame_at_the_end_of_the_series_is_no_segment(frame):
    data = make_ferroic_series(10, shape=(128, 128), n_bad=0, random_state=0)
    tracks = tracks_of(data)
    rng = np.random.default_rng(0)
    vectors = rng.normal(0, 0.1, (len(tracks.sites), 2))
    vectors[tracks.sites.frame == np.arange(10)[frame]] += 0.8
    switching = find_switching(tracks, vectors=vectors, min_frames=4)
    starts = np.unique(switching.change_frame[switching.n_changes > 0])
    assert np.isin(starts, range(4, 7)).all()
