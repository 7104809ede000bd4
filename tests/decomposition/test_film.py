"""What RotationalVAE promises, on images at their full size."""

import numpy as np
import pytest
from scipy.ndimage import rotate

from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE
from sklearn_ferroic.datasets import make_ferroic_image, make_polycrystal
from sklearn_ferroic.metrics import angular_error

WINDOW, WIDE = 48, 72


@pytest.mark.parametrize(("interpolation", "seed"), [("cubic", 1), ("nearest", 2)])
def test_directions_of_half_a_pixel(interpolation, seed):
    """10 pm, also in windows whose centre is up to half a pixel off."""
    image = make_ferroic_image(
        "film", displacement_pm=10, dose=136e3, random_state=seed
    )
    error, _, _ = errors_and_widths(image, interpolation=interpolation)
    assert (error < 45).mean() >= 0.995
    # domains of one direction: fewer than the 17° of single columns' disorder
    assert np.median(error) < 0.7


def test_directions_at_the_border_of_grains():
    """Windows are continued by the lattice of their grain."""
    error, _, to_border = errors_and_widths(make_polycrystal(random_state=5))
    assert (to_border < WINDOW / 4).sum() > 50
    assert (error < 45).mean() >= 0.998
    assert np.median(error) < 0.3


def test_widths_are_those_of_the_errors_where_polarization_is_in_the_noise():
    image = make_ferroic_image(
        "film",
        displacement_pm=5,
        dose=3e4,
        substrate=0.0,
        shape=(500, 500),
        random_state=0,
    )
    error, std, _ = errors_and_widths(image, window_size=44)
    assert (error < 45).mean() > 0.7
    # resultant lengths, of the errors and as the widths say
    actual = np.cos(np.radians(error)).mean()
    stated = np.exp(-0.5 * std**2).mean()
    assert actual - 0.2 < stated < actual + 0.03


def errors_and_widths(data, window_size=WINDOW, interpolation="cubic"):
    """Return errors in degrees, widths, and distances to the border of polar cells.

    The errors are those after one rotation common to all.
    """
    sites = AtomLocator(sublattice=1).fit_transform(data.image)
    distance = np.linalg.norm(sites.positions[:, None] - data.positions, axis=2)
    distance[:, data.sublattice != 1] = np.inf
    nearest = distance.argmin(axis=1)
    polar = (data.variant[nearest] >= 0) & ~data.wall[nearest]
    polar &= distance.min(axis=1) < 2
    X = PatchExtractor(window_size=window_size, interpolation=interpolation).transform(
        sites
    )
    scale = 0.25 if interpolation == "cubic" else 0.5
    vae = RotationalVAE(offset_scale=scale, max_epochs=1, random_state=0).fit(X)
    columns, std = vae.transform_with_std(X)
    direction = np.pi / 4 + np.pi / 2 * data.variant[nearest]
    if "orientation" in data:
        direction = direction + data.orientation[nearest]
    error = angular_error(direction[polar], columns[polar, 0], register=True)
    last = np.array(data.image.shape) - 1
    to_border = np.minimum(sites.positions, last - sites.positions).min(axis=1)
    return np.degrees(np.abs(error)), std[polar, 0], to_border[polar]


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
