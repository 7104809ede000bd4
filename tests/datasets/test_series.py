"""Series of frames: their truth is that of the images."""

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import make_ferroic_series


def test_columns_are_where_the_truth_says():
    data = make_ferroic_series(
        3, shape=(160, 160), dose=1e5, n_bad=0, n_jumps=1, drift=4, random_state=1
    )
    for frame in range(3):
        sites = AtomLocator().fit_transform(data.image[frame])
        expected = data.frame_positions[frame]
        distance = np.hypot(*(expected[:, None] - sites.positions).T).min(axis=0)
        # Jitter beyond first order, and overlapping columns.
        assert np.sqrt(np.mean(distance**2)) < 0.12


def test_shifts_lead_from_a_frame_to_the_specimen():
    data = make_ferroic_series(
        3, shape=(160, 160), dose=1e5, n_bad=0, drift=6, line_drift=4, random_state=1
    )
    sites = AtomLocator().fit_transform(data.image[0])
    rows = np.arange(160)
    step = [np.interp(sites.positions[:, 0], rows, x) for x in data.line_shifts[0].T]
    specimen = sites.positions + data.shifts[0] + np.stack(step, axis=1)
    distance = np.hypot(*(data.positions[:, None] - specimen).T).min(axis=0)
    # Single lines jitter by more than a column, the mean over its lines.
    assert np.sqrt(np.mean(distance**2)) < 0.35


def test_switching_reverses_the_left_half():
    options = {"n_bad": 0, "n_jumps": 0, "drift": 0, "jitter": 0, "line_drift": 0}
    data = make_ferroic_series(
        4, shape=(160, 160), switching=True, random_state=0, **options
    )
    assert not data.switched[:2].any()
    left = data.positions[:, 1] < 80
    polar = (data.sublattice == 1) & (data.variant >= 0)
    np.testing.assert_array_equal(data.switched[2], left & polar)
    moved = data.frame_positions[3] - data.frame_positions[0]
    moved -= data.shifts[0] - data.shifts[3]
    length = np.hypot(*moved.T)
    # Twice the displacement of 40 pm, 2 px, or less near walls and the substrate.
    assert 2.5 < np.median(length[data.switched[3]]) <= length.max() < 4.01
    assert length[~data.switched[3]].max() < 1e-6


def test_same_seed_same_series():
    first, second = (
        make_ferroic_series(3, shape=(64, 64), random_state=3) for _ in range(2)
    )
    np.testing.assert_array_equal(first.image, second.image)
    assert first.image.dtype == np.float32
    assert (first.image == np.rint(first.image)).all()


def test_too_many_bad_frames_are_refused():
    with pytest.raises(ValueError, match="two frames must be good"):
        make_ferroic_series(3, n_bad=2)
