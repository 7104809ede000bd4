"""Binned images: the same columns, in fewer pixels."""

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.pixels import bin_image, choose_binning
from sklearn_ferroic.localization._fitting.columns import ColumnFit, ColumnTable
from sklearn_ferroic.localization._fitting.windows import render_columns


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_columns_of_a_binned_image_are_gaussians_too(side):
    # 61 and 74 px: the last bins are cut.
    positions = np.array([[22.3, 25.1], [40.7, 48.4]])
    sigma = side * np.array([1.1, 1.2])
    table = ColumnTable.make([100, 40], positions, sigma)
    binned = bin_image(render_columns((61, 74), table, 1.2 * side), side)
    columns = table.binned(side)
    model = side**2 * render_columns(binned.shape, columns, 1.2)
    assert np.abs(binned - model).max() < 0.01 * binned.max()
    sums = columns.replace(amplitude=side**2 * columns.amplitude)
    fit = ColumnFit(sums, sums.unknown(), *np.ones((2, 2), bool)).unbinned(side)
    assert fit.table.parameters == pytest.approx(table.parameters)


def test_sums_of_counts_are_counts():
    counts = np.random.default_rng(0).poisson(3, (45, 46)).astype(np.float32)
    binned = bin_image(counts, 4)
    assert binned.shape == (12, 12)
    assert np.array_equal(binned, np.rint(binned))
    assert binned[0, 0] == counts[:4, :4].sum()


def test_only_finely_sampled_images_are_binned():
    assert choose_binning(4.0, 0.9) == choose_binning(8.0, 1.9) == 1
    assert choose_binning(11.3, 2.4) == choose_binning(9.0, 3.0) == 2
    assert choose_binning(42.0, 7.5) == 7


@pytest.mark.parametrize("cell", [12, 20, 45])
def test_fits_are_as_good_as_without_bins(columns, monkeypatch, cell):
    truth = columns((10 * cell, 9 * cell + 1), cell=cell, seed=3)
    binned = AtomLocator().fit_transform(truth.image)
    for module in ("_detection.calibration", "_detection.scale", "_batch"):
        monkeypatch.setattr(
            f"sklearn_ferroic.localization.{module}.choose_binning", lambda *scale: 1
        )
    whole = AtomLocator().fit_transform(truth.image)
    binned, whole = binned.interior(cell), whole.interior(cell)
    assert np.array_equal(binned.sublattice, whole.sublattice)
    pull = (binned.positions - whole.positions) / whole.position_std
    assert np.abs(pull).max() < 0.3
    assert binned.position_std == pytest.approx(whole.position_std, rel=0.05)
