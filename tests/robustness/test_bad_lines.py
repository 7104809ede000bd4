"""Bad rows, columns and blocks cost the columns under them, and no others."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic._image.bad_pixels import find_bad_lines
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.localization._quality_warning import warn_of_doubtful_sites
from sklearn_ferroic.sites import SiteFlag


@pytest.fixture(scope="module", params=["film", "superlattice"])
def truth(request):
    return make_ferroic_image(request.param, shape=(224, 240), random_state=1)


def _check(image, truth, bad):
    """All columns are found, but for those centred within 2 px of bad pixels."""
    sites = AtomLocator().fit_transform(image)
    inside = (truth.positions > 8) & (truth.positions < np.array(image.shape) - 9)
    positions = truth.positions[inside.all(axis=1)]
    near = cKDTree(np.argwhere(bad)).query(positions)[0] < 2
    distance, _ = cKDTree(sites.positions).query(positions)
    assert near.mean() < 0.1
    assert distance[~near].max() < 1
    # and none is invented
    distance, _ = cKDTree(truth.positions).query(sites.positions)
    assert (distance > 2).sum() <= 1


@pytest.mark.parametrize("factor", [1.2, 1.5, 2.0, 5.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_bright_line(truth, factor, axis):
    image = truth.image.copy()
    lines = image if axis == 0 else image.T
    bad = np.zeros(image.shape, dtype=bool)
    lines[97] = factor * image.max()
    (bad if axis == 0 else bad.T)[97] = True
    np.testing.assert_array_equal(find_bad_lines(image), bad)
    _check(image, truth, bad)


@pytest.mark.parametrize("n_lines", [2, 3])
def test_bright_lines_next_to_each_other(truth, n_lines):
    image, bad = truth.image.copy(), np.zeros(truth.image.shape, dtype=bool)
    image[60 : 60 + n_lines] = 1.3 * image.max()
    bad[60 : 60 + n_lines] = True
    _check(image, truth, bad)


def test_a_dead_line_and_a_partial_one(truth):
    image, bad = truth.image.copy(), np.zeros(truth.image.shape, dtype=bool)
    image[50] = 0
    image[150, :190] = 1.4 * image.max()
    bad[[50, 150]] = True
    _check(image, truth, bad)


@pytest.mark.parametrize("value", [0.0, 1.3, 3.0])
def test_a_block(truth, value):
    image, bad = truth.image.copy(), np.zeros(truth.image.shape, dtype=bool)
    image[97:117, 60:80] = value * image.max()
    bad[97:117, 60:80] = True
    np.testing.assert_array_equal(find_bad_lines(image), bad)
    _check(image, truth, bad)


@pytest.mark.parametrize("ratio", [0.1, 0.15, 0.2, 0.3])
@pytest.mark.parametrize("spacing", [5, 7, 14, 25, 40])
@pytest.mark.parametrize("n_electrons", [2, 20, None])
def test_rows_of_columns_are_no_bad_lines(spacing, ratio, n_electrons):
    """The lattice is parallel to the scan, and its columns lie on pixels."""
    row, col = np.mgrid[:200, :220]
    row = (row + spacing / 2) % spacing - spacing / 2
    col = (col + spacing / 2) % spacing - spacing / 2
    image = np.exp(-(row**2 + col**2) / (2 * (ratio * spacing) ** 2))
    if n_electrons is not None:
        image = np.random.default_rng(0).poisson(image * n_electrons)
    assert find_bad_lines(image.astype(np.float32)) is None


def test_frames_and_vacuum_are_no_blocks(truth):
    image = truth.image.copy()
    image[:20] = 0
    image[:, -30:] = 0
    assert find_bad_lines(image) is None
    image = np.where(np.arange(image.shape[1]) < 120, image, np.float32(0))
    assert find_bad_lines(image) is None


def test_given_masks_are_kept(truth):
    """A bad line in a masked image is left out besides what the mask says."""
    from sklearn_ferroic._image.input import check_images

    image = truth.image.copy()
    image[97] = 2 * image.max()
    mask = np.zeros(image.shape, dtype=bool)
    mask[10:30, 10:30] = True
    _, (valid,), _ = check_images(np.ma.masked_array(image, mask))
    expected = ~mask
    expected[97] = False
    np.testing.assert_array_equal(valid, expected)


@pytest.mark.parametrize("n_sites", [4, 12, 60])
def test_a_warning_where_most_fits_are_given_up(n_sites):
    class Check:
        flags = np.full(n_sites, int(SiteFlag.UNCONVERGED), dtype=np.uint16)
        central_amplitude = relative_std = np.empty(0)

    with pytest.warns(UserWarning, match=f"{n_sites} of {n_sites} fits"):
        warn_of_doubtful_sites([Check()], [""], "UNetAtomLocator")
