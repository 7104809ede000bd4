"""The angle is the direction of the polarization, whatever the lattice does."""

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE
from sklearn_ferroic.datasets import load_multislice
from sklearn_ferroic.metrics import angular_error

SIDE = 36
CELL = 14.0


def make_windows(direction, lattice_angle=0.0, *, length=0.9, seed=0, cell=CELL):
    """Draw windows of a perovskite whose central kind of column is displaced.

    Parameters
    ----------
    direction : ndarray of shape (n,)
        Of the displacement of all B columns, radians.
    lattice_angle : float or ndarray of shape (n,), default=0.0
        Rotation of the lattice, radians.
    length : float or ndarray of shape (n,), default=0.9
        Of the displacement, px.
    """
    rng = np.random.RandomState(seed)
    n = len(direction)
    # chemistry for the latents
    b_height = rng.choice([0.35, 0.65], n)
    cos, sin = (np.broadcast_to(f(lattice_angle), (n,)) for f in (np.cos, np.sin))
    place = np.arange(SIDE) - (SIDE - 1) / 2
    windows = rng.normal(0, 0.05, (n, SIDE, SIDE))
    steps = np.arange(-3, 4)
    for kind, shift, height in (("A", 0.5, np.ones(n)), ("B", 0.0, b_height)):
        for i in steps + shift:
            for j in steps + shift:
                is_center = kind == "B" and i == 0 and j == 0
                disorder = rng.normal(0, 0.02 if is_center else 0.15, (2, n))
                along, across = cell * np.array([[i], [j]]) + disorder
                row, col = along * cos + across * sin, across * cos - along * sin
                if kind == "A":
                    # the window is centred on the displaced column
                    row = row - length * np.sin(direction)
                    col = col - length * np.cos(direction)
                row_part = np.exp(-((place - row[:, None]) ** 2) / 8)
                row_part *= height[:, None]
                col_part = np.exp(-((place - col[:, None]) ** 2) / 8)
                windows += row_part[:, :, None] * col_part[:, None]
    return windows.astype(np.float32)


def fit(X, **options):
    return RotationalVAE(max_epochs=4, random_state=0, **options).fit(X)


def degrees_off(truth, angle):
    return np.degrees(np.abs(angular_error(truth, angle)))


@pytest.fixture(scope="module")
def vortex():
    """Windows of every direction in one lattice, and a model of them."""
    direction = np.random.RandomState(1).uniform(-np.pi, np.pi, 400)
    X = make_windows(direction)
    return X, direction, fit(X)


def test_every_direction_is_found_in_one_lattice(vortex):
    X, direction, vae = vortex
    found, std = vae.transform_with_std(X)
    # without registration: the angle counts from the +col axis
    error = degrees_off(direction, found[:, 0])
    assert error.max() < 45
    assert np.median(error) < 6
    # the widths are those of the errors
    assert 0.5 < np.median(error) / (0.6745 * np.degrees(np.median(std[:, 0]))) < 2
    assert np.degrees(np.abs(vae.lattice_angle(X))).max() < 4


def test_edges_and_diagonals_side_by_side():
    rng = np.random.RandomState(2)
    direction = rng.choice(np.arange(-4, 4), 400) * np.pi / 4
    X = make_windows(direction, seed=2)
    error = degrees_off(direction, fit(X).transform(X)[:, 0])
    assert error.max() < 45
    # nearer than the scatter of the columns, for the directions are eight
    assert np.median(error) < 2


def test_rotating_the_crystal_moves_the_angle_and_not_the_latents(vortex):
    _, _, vae = vortex
    direction = np.random.RandomState(3).uniform(-np.pi, np.pi, 100)
    before = make_windows(direction, seed=3)
    rotation = np.radians(25)
    after = make_windows(direction + rotation, rotation, seed=3)
    first, second = vae.transform(before), vae.transform(after)
    moved = np.degrees(angular_error(first[:, 0] + rotation, second[:, 0]))
    assert np.median(np.abs(moved)) < 2
    assert np.degrees(vae.lattice_angle(after)) == pytest.approx(25, abs=4)
    change = np.linalg.norm(second[:, 3:] - first[:, 3:], axis=1)
    spread = np.linalg.norm(first[:, 3:].std(axis=0))
    assert np.median(change) < 0.05 * spread


def test_rot90_moves_the_angle_by_a_quarter_and_not_the_latents(vortex):
    X, _, vae = vortex
    before, after = vae.transform(X), vae.transform(np.rot90(X, 1, axes=(1, 2)))
    step = angular_error(before[:, 0], after[:, 0])
    np.testing.assert_allclose(step, -np.pi / 2, atol=1e-3)
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-3)
    np.testing.assert_allclose(
        vae.lattice_angle(np.rot90(X, 1, axes=(1, 2))), vae.lattice_angle(X), atol=1e-3
    )


def test_patches_are_drawn_with_their_lattice(vortex):
    X, direction, vae = vortex
    rows = X.reshape(len(X), -1)
    drawn = vae.inverse_transform(vae.transform(X))
    assert (rows - drawn).var() < 0.25 * rows.var()
    # another lattice on request
    turned = np.full(len(X), np.radians(30), np.float32)
    other = make_windows(direction + turned, turned, seed=1).reshape(len(X), -1)
    columns = vae.transform(other.reshape(X.shape))
    drawn = vae.inverse_transform(columns, lattice_angle=turned)
    assert (other - drawn).var() < 0.4 * other.var()
    assert (other - vae.inverse_transform(columns)).var() > 0.6 * other.var()


def test_cells_without_polarity_have_wide_posteriors():
    rng = np.random.RandomState(4)
    direction = rng.choice([-3, -1, 1, 3], 400) * np.pi / 4
    length = np.where(np.arange(400) < 300, 0.9, 0.0)
    X = make_windows(direction, length=length, seed=4)
    std = np.degrees(fit(X).transform_with_std(X)[1][:, 0])
    assert np.median(std[:300]) < 5
    assert np.median(std[300:]) > 60


def test_grains_have_the_direction_of_their_polarization():
    rng = np.random.RandomState(5)
    lattice_angle = rng.choice(rng.uniform(0, 2 * np.pi, 6), 400)
    direction = lattice_angle + rng.choice([-3, -1, 1, 3], 400) * np.pi / 4
    X = make_windows(direction, lattice_angle, seed=5)
    vae = fit(X)
    error = degrees_off(direction, vae.transform(X)[:, 0])
    assert (error < 45).mean() >= 0.995
    assert np.median(error) < 2
    off = angular_error(lattice_angle, vae.lattice_angle(X), n_fold=4)
    assert np.degrees(np.abs(off)).max() < 4


@pytest.mark.parametrize("seed", range(2))
def test_multislice_image_is_better_than_the_fitted_vector(seed):
    data = load_multislice()
    sites = AtomLocator().fit_transform(data.image)
    sites = sites[sites.sublattice == 1]
    distance = np.linalg.norm(sites.positions[:, None] - data.positions, axis=2)
    nearest = distance.argmin(axis=1)
    truth = data.polarization[nearest]
    judged = (data.variant[nearest] >= 0) & ~data.wall[nearest]
    judged &= np.isfinite(truth).all(axis=1) & np.isfinite(sites.polarization[:, 0])
    direction = np.arctan2(*truth[judged].T)
    X = PatchExtractor(window_size=44).transform(sites)
    vae = RotationalVAE(random_state=seed).fit(X)
    error = degrees_off(direction, vae.transform(X)[judged, 0])
    vector = np.arctan2(*sites.polarization[judged].T)
    assert (error < 45).mean() >= 0.995
    assert np.median(error) < np.median(degrees_off(direction, vector)) / 1.5
    assert np.abs(np.exp(1j * np.radians(error)).mean()) > 0.99


def test_the_fit_stops_when_the_loss_has_settled(vortex):
    X = vortex[0]
    vae = RotationalVAE(random_state=0, batch_size=16, max_epochs=60).fit(X)
    assert vae.n_iter_ == len(vae.loss_curve_) < 30
    whole = RotationalVAE(
        random_state=0, batch_size=16, max_epochs=60, convergence_tol=None
    ).fit(X)
    assert whole.n_iter_ == 60
    assert vae.score(X) > whole.score(X) - 0.02


def test_another_magnification_is_warned_of(vortex):
    _, direction, vae = vortex
    vae.transform(make_windows(direction[:50], seed=6))
    with pytest.warns(UserWarning, match=r"1\.2\d times as large") as caught:
        vae.transform(make_windows(direction[:50], cell=1.25 * CELL))
    assert len(caught) == 1


def test_an_image_instead_of_windows_is_warned_of():
    image = np.random.RandomState(0).rand(40, 650)
    with pytest.warns(UserWarning, match="650 values, which are not square windows"):
        RotationalVAE(max_epochs=1).fit(image)
    RotationalVAE(max_epochs=1, patch_shape=(25, 26)).fit(image)
