"""Displays of displacements of lines and frames."""

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator, FrameAverager, ScanDistortionCorrector
from sklearn_ferroic.datasets import make_ferroic_series
from sklearn_ferroic.inspection import ScanDistortionDisplay


def test_frames_are_drawn_and_rejected_ones_marked():
    data = make_ferroic_series(5, shape=(128, 128), n_bad=0, n_jumps=0, random_state=0)
    stack = data.image.copy()
    stack[2] = 1
    with pytest.warns(UserWarning, match="rejected"):
        averager = FrameAverager().fit(stack)
    display = ScanDistortionDisplay.from_estimator(averager)
    for axis, line in enumerate(display.lines_):
        drawn = line.get_ydata()
        assert np.isnan(drawn[2])
        np.testing.assert_array_equal(
            np.delete(drawn, 2), np.delete(averager.shifts_[:, axis], 2)
        )
    assert [line.get_xdata()[0] for line in display.rejected_lines_] == [2]
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == ["row", "column", "rejected"]


def test_lines_are_drawn_with_their_errors(ferroic_image):
    sites = AtomLocator().fit_transform(ferroic_image.image)
    corrector = ScanDistortionCorrector().fit(ferroic_image.image, sites=sites)
    display = ScanDistortionDisplay.from_estimator(corrector)
    assert display.ax_.get_xlabel() == "scan line"
    assert display.ax_.get_ylabel() == "displacement (px)"
    assert len(display.bands_) == 2
    band = display.bands_[1].get_datalim(display.ax_.transData)
    reach = corrector.line_shift_[:, 1] + 2 * corrector.line_shift_std_[:, 1]
    assert band.y1 == pytest.approx(reach.max())


def test_wrong_estimators_are_refused(ferroic_image):
    with pytest.raises(TypeError, match="fitted FrameAverager"):
        ScanDistortionDisplay.from_estimator(AtomLocator())
    corrector = ScanDistortionCorrector().fit(ferroic_image.image)
    with pytest.raises(ValueError, match="image must be 0 to 0"):
        ScanDistortionDisplay.from_estimator(corrector, image=1)
