"""What RotationalVAE promises, on images at their full size."""

import numpy as np
import pytest
from scipy.ndimage import rotate

from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE
from sklearn_ferroic.datasets import make_ferroic_image

WINDOW, WIDE = 48, 72


@pytest.mark.slow
@pytest.mark.parametrize("turn", [17.0, 63.0, 145.0])
def test_any_turn_of_held_out_patches_moves_the_angle_by_itself(film, turn):
    vae, sites = film
    # rows and columns of a wider window, turned in the plane from +col towards +row
    wide = PatchExtractor(window_size=WIDE).transform(sites).reshape(-1, WIDE, WIDE)
    margin = (WIDE - WINDOW) // 2
    inner = (slice(None), *[slice(margin, -margin)] * 2)
    turned = rotate(wide, -turn, axes=(1, 2), reshape=False, order=3)[inner]
    before, after = vae.transform(wide[inner]), vae.transform(turned)
    width = vae.transform_with_std(wide[inner])[1][:, 0]
    polar = width < np.radians(10)
    assert polar.mean() > 0.5
    moved = np.degrees(after[polar, 0] - before[polar, 0]) - turn
    error = np.abs(np.mod(moved + 180, 360) - 180)
    assert np.median(error) <= 2
    change = np.abs(after[:, 3:] - before[:, 3:])
    assert (np.median(change, axis=0) <= 0.05 * before[:, 3:].std(axis=0)).all()


@pytest.fixture(scope="module")
def film():
    """A model of one image, and the columns of another."""
    first, second = (
        AtomLocator(sublattice=1).fit_transform(
            make_ferroic_image("film", random_state=seed)
        )
        for seed in (0, 1)
    )
    patches = PatchExtractor(window_size=WINDOW).transform(first)
    return RotationalVAE(random_state=0).fit(patches), second.interior(WIDE / 2)
