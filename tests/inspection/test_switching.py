"""Displays of cells that switch."""

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import make_ferroic_series
from sklearn_ferroic.domains import find_switching
from sklearn_ferroic.inspection import SwitchingDisplay


@pytest.fixture(scope="module")
def switching():
    data = make_ferroic_series(
        6, shape=(144, 144), dose=2e4, n_bad=0, switching=True, random_state=0
    )
    sites = AtomLocator().fit_transform((data.image, data.pixel_size))
    return find_switching(sites.track(data.shifts))


def test_cells_are_coloured_by_the_frame_of_their_change(switching):
    display = SwitchingDisplay.from_switching(switching)
    shown = display.cells_.get_array()
    still = switching.change_frame < 0
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), still)
    np.testing.assert_array_equal(shown[~still], switching.change_frame[~still])
    assert display.cells_.get_clim() == (0, 5)
    assert display.colorbar_.ax.get_ylabel() == "frame of the change"
    assert display.scale_bar_ is not None
    # Cells lie over the columns of the frame that is shown.
    frame = np.hypot(*switching.tracks.shifts.T).argmin()
    np.testing.assert_array_equal(display.image, switching.tracks.sites.images[frame])


def test_cells_that_switch_come_first_and_change_colour(switching):
    display = SwitchingDisplay.from_switching(switching)
    n_switching = np.count_nonzero(switching.n_changes)
    colors = np.asarray(display.raster_.get_array())
    assert colors.shape == (len(switching), 6, 3)
    changes = np.abs(colors[:, 3] - colors[:, 2]).max(axis=1) > 0.02
    assert changes[:n_switching].mean() > 0.9
    assert not changes[n_switching:].any()


def test_wrong_frame_is_refused(switching):
    with pytest.raises(ValueError, match="frame must be 0 to 5"):
        SwitchingDisplay.from_switching(switching, frame=6)
