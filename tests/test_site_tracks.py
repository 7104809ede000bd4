"""Columns linked over the frames of series whose truth is known."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, AtomSites
from sklearn_ferroic.datasets import make_ferroic_series

SPACING = 16.0
SHAPE = (112, 112)


def square_lattice():
    """Columns of a square lattice that ends within the frame."""
    steps = np.arange(6) * SPACING + 16
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)


def draw(positions, rng, amplitude=60.0, sigma=2.5):
    """Count electrons of Gaussian columns on a background."""
    row, col = np.indices(SHAPE)
    image = np.full(SHAPE, 5.0)
    heights = np.broadcast_to(amplitude, len(positions))
    for place, height in zip(positions, heights, strict=True):
        square = (row - place[0]) ** 2 + (col - place[1]) ** 2
        image += height * np.exp(-square / (2 * sigma**2))
    return rng.poisson(image).astype(np.float32)


@pytest.fixture(scope="module")
def series():
    return make_ferroic_series(
        8, shape=(160, 160), dose=2e4, n_bad=0, n_jumps=1, random_state=0
    )


@pytest.fixture(scope="module")
def sites(series):
    return AtomLocator().fit_transform((series.image, series.pixel_size))


def test_identity_is_constant(series, sites):
    tracks = sites.track(series.shifts)
    truth = cKDTree(series.positions)
    distance, column = truth.query(tracks.positions)
    # Every column that all frames show is one track.
    shown = column[distance < 1]
    assert len(np.unique(shown)) == len(shown) == len(series.positions)
    for frame in range(8):
        own = np.flatnonzero(sites.frame == frame)
        near, nearest = cKDTree(series.frame_positions[frame]).query(
            sites.positions[own]
        )
        own, nearest = own[near < 1], nearest[near < 1]
        np.testing.assert_array_equal(column[tracks.track[own]], nearest)
    assert not tracks.vacancies()
    assert not tracks.hops
    sublattice = series.sublattice[column[distance < 1]]
    np.testing.assert_array_equal(tracks.sublattice[distance < 1], sublattice)


def test_values_by_frame_and_track(series, sites):
    tracks = sites.track(series.shifts)
    places = tracks.values(sites.positions) + tracks.shifts[:, None]
    assert places.shape == (8, len(tracks), 2)
    error = places - tracks.positions
    assert np.nanmax(np.abs(error)) < 3
    assert np.nanstd(error) < 0.3
    seen = np.isfinite(places).all(axis=2)
    np.testing.assert_array_equal(seen, tracks.state == 0)
    # Neighbours on the lattice are neighbours in the indices.
    bright = np.flatnonzero(tracks.sublattice == 0)
    index = tracks.lattice_index[bright]
    assert np.isfinite(index).all()
    _, near = cKDTree(tracks.positions[bright]).query(tracks.positions[bright], k=2)
    step = np.abs(index - index[near[:, 1]]).sum(axis=1)
    assert (step == 1).all()


def test_small_displacements_need_not_be_known(series, sites):
    known = series.shifts + np.random.default_rng(0).uniform(-1, 1, (8, 2))
    tracks = sites.track(known)
    step = tracks.shifts - series.shifts
    assert np.abs(step - step.mean(axis=0)).max() < 0.15


def test_shifts_of_lines(series, sites):
    lines = series.shifts[:, None] + series.line_shifts
    tracks = sites.track(lines)
    assert len(tracks) == len(sites.track(series.shifts))


def test_vacancies_and_hops():
    rng = np.random.default_rng(0)
    lattice = square_lattice()
    gone, hopper = 14, 21
    aside = lattice[hopper] + [SPACING / 2, SPACING / 2]
    frames = []
    for frame in range(6):
        keep = np.ones(len(lattice), dtype=bool)
        keep[gone] = frame < 2
        keep[hopper] = frame < 4
        positions = lattice[keep]
        if frame >= 4:
            positions = np.vstack([positions, aside])
        frames.append(draw(positions + [0, 0.3 * frame], rng))
    shifts = -np.stack([np.zeros(6), 0.3 * np.arange(6)], axis=1)
    sites = AtomLocator(n_sublattices=1).fit_transform(frames)
    tracks = sites.track(shifts)
    _, place = cKDTree(tracks.positions).query([lattice[gone], lattice[hopper], aside])
    assert dict(tracks.vacancies()) == {
        place[0]: [2, 3, 4, 5],
        place[1]: [4, 5],
        place[2]: [0, 1, 2, 3],
    }
    assert [tuple(hop) for hop in tracks.hops] == [(4, place[1], place[2])]
    assert len(tracks) == len(lattice) + 1
    assert "1 hops" in repr(tracks)


def test_a_column_that_was_not_located_is_no_vacancy():
    rng = np.random.default_rng(1)
    lattice = square_lattice()
    sites = AtomLocator(n_sublattices=1).fit_transform([draw(lattice, rng)] * 3)
    missing = np.flatnonzero(sites.frame == 1)[8]
    sites = sites[np.arange(len(sites)) != missing]
    tracks = sites.track()
    assert np.count_nonzero(tracks.state == 1) == 1
    assert not tracks.vacancies()


def test_vacancy_share_decides_on_a_column_that_has_lost_atoms():
    rng = np.random.default_rng(2)
    lattice = square_lattice()
    partial = 14
    frames = []
    for frame in range(4):
        amplitude = np.full(len(lattice), 60.0)
        amplitude[partial] = 60.0 if frame < 2 else 20.0
        frames.append(draw(lattice, rng, amplitude))
    # The remaining third of the column is fainter than the threshold.
    sites = AtomLocator(n_sublattices=1, threshold=0.5).fit_transform(frames)
    tracks = sites.track()
    place = cKDTree(tracks.positions).query(lattice[partial])[1]
    assert tracks.vacancies() == [(place, [2, 3])]
    tracks = sites.track(vacancy_share=0.2)
    assert not tracks.vacancies()
    assert tracks.state[:, place].tolist() == [0, 0, 1, 1]


def test_reach_decides_whether_a_column_moves_or_is_another():
    lattice = square_lattice()
    moved = lattice.copy()
    moved[14, 1] += 0.32 * SPACING
    positions = np.concatenate([lattice, lattice, moved, moved])
    sites = AtomSites(
        [np.zeros(SHAPE)] * 4, positions, frame=np.repeat(np.arange(4), len(lattice))
    )
    assert len(sites.track()) == len(lattice)
    assert len(sites.track(reach_spacings=0.25)) == len(lattice) + 1


def test_frames_without_sites_are_left_out(series, sites):
    tracks = sites[sites.frame != 3].track(series.shifts)
    assert (tracks.state[3] == 3).all()
    assert not tracks.vacancies()


def test_unknown_displacements_are_warned_of(series, sites):
    shifts = series.shifts.copy()
    shifts[4] += [SPACING / 3, SPACING / 2]
    with pytest.warns(UserWarning, match=r"columns of other frames: 4 \("):
        sites.track(shifts)


def test_wrong_calls_are_explained(series, sites):
    with pytest.raises(ValueError, match="at least two frames"):
        AtomSites(np.zeros((9, 9)), [[4, 4]]).track()
    with pytest.raises(ValueError, match=r"shifts must have the shape \(8, 2\)"):
        sites.track(series.shifts[:3])
    with pytest.raises(ValueError, match="No frame has 6 sites"):
        AtomSites([np.zeros((9, 9))] * 2, [[4, 4]]).track()
    with pytest.raises(ValueError, match="one value for each"):
        sites.track(series.shifts).values(np.ones(3))
    with pytest.raises(ValueError, match="'reach_spacings' parameter"):
        sites.track(series.shifts, reach_spacings=0.6)
    with pytest.raises(ValueError, match="'vacancy_share' parameter"):
        sites.track(series.shifts, vacancy_share=50)
