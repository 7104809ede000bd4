"""Known angles of a few cells improve the angles of all others."""

import warnings

import numpy as np
import pytest

from sklearn_ferroic import (
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
    RotationalVAEEnsemble,
)
from sklearn_ferroic.datasets import load_multislice, make_ferroic_image
from sklearn_ferroic.metrics import angular_error
from tests._truth import match


def draw_known(variant, judged, seed=0, n_known=5):
    """Select some of the judged cells of each variant."""
    rng = np.random.RandomState(seed)
    known = [
        rng.choice(np.flatnonzero(judged & (variant == number)), n_known, replace=False)
        for number in np.unique(variant[judged])
    ]
    return np.isin(np.arange(len(variant)), np.concatenate(known))


@pytest.fixture(scope="module")
def weakly_polar():
    return make_weakly_polar(8)


def make_weakly_polar(displacement_pm):
    data = make_ferroic_image(
        "film",
        shape=(360, 360),
        displacement_pm=displacement_pm,
        dose=2e4,
        substrate=0,
        random_state=0,
    )
    sites = AtomLocator(sublattice=1).fit_transform(data.image)
    nearest, matched = match(sites, data)
    variant = data.variant[nearest]
    judged = matched & (variant >= 0) & ~data.wall[nearest]
    X = PatchExtractor(window_size=48).transform(sites)
    return X, np.pi / 4 + np.pi / 2 * variant, variant, judged


def fit(X, angle=None):
    return RotationalVAE(max_epochs=1, random_state=0).fit(X, angle=angle)


def test_known_angles_replace_directions_between_those_of_domains():
    """At 6 pm, where the directions cannot be learned without known ones."""
    X, direction, variant, judged = make_weakly_polar(6)
    is_known = draw_known(variant, judged)
    rows = judged & ~is_known
    within_20, within_45 = {}, {}
    for name, angle in (
        ("without", None),
        ("with", np.where(is_known, direction, np.nan)),
    ):
        error = np.abs(angular_error(direction, fit(X, angle).transform(X)[:, 0]))
        within_20[name] = (error[rows] < np.radians(20)).mean()
        within_45[name] = (error[rows] < np.pi / 4).mean()
    assert within_20["with"] > within_20["without"] + 0.15
    assert within_45["with"] > within_45["without"] - 0.02
    assert within_45["with"] > 0.8


def test_known_angles_do_no_harm_where_directions_are_learned(weakly_polar):
    X, direction, variant, judged = weakly_polar
    is_known = draw_known(variant, judged)
    rows = judged & ~is_known
    for angle in (None, np.where(is_known, direction, np.nan)):
        error = np.abs(angular_error(direction, fit(X, angle).transform(X)[:, 0]))
        assert (error[rows] < np.pi / 4).mean() > 0.93
    assert np.median(error[rows]) < np.radians(2)


def test_learned_weights_rotate_with_the_patch(weakly_polar):
    X, direction, variant, judged = weakly_polar
    angle = np.where(draw_known(variant, judged), direction, np.nan)
    vae = fit(X, angle)
    images = X.reshape(-1, 48, 48)
    before = vae.transform(images)
    after = vae.transform(np.rot90(images, 1, (1, 2)))
    off = angular_error(before[:, 0] - np.pi / 2, after[:, 0])
    assert np.abs(off).max() < 1e-2
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-3)


def test_wrong_known_angles_do_not_replace_the_weights(weakly_polar):
    """A third of the known cells have the direction of another variant."""
    X, direction, variant, judged = weakly_polar
    is_known = draw_known(variant, judged, n_known=6)
    wrong = np.flatnonzero(is_known)[::3]
    angle = np.where(is_known, direction, np.nan)
    angle[wrong] += np.pi
    angle = np.angle(np.exp(1j * angle))
    rows = judged & ~is_known
    without, found = (
        np.abs(angular_error(direction, fit(X, known).transform(X)[:, 0]))[rows]
        for known in (None, angle)
    )
    assert (found < np.pi / 4).mean() > (without < np.pi / 4).mean() - 0.02


def test_mirrored_angles_are_not_used(weakly_polar):
    X, direction, variant, judged = weakly_polar
    is_known = draw_known(variant, judged)
    angle = np.where(is_known, direction, np.nan)
    with pytest.warns(UserWarning, match="known angles are not used"):
        found = fit(X, -angle).transform(X)
    np.testing.assert_array_equal(found, fit(X).transform(X))


@pytest.mark.parametrize("is_ensemble", [False, True])
def test_zeros_instead_of_nan_are_noticed(is_ensemble):
    """Also without polarization, where no displacement contradicts them."""
    rng = np.random.RandomState(0)
    X = rng.rand(60, 11, 11)
    estimator = RotationalVAE(max_epochs=1, random_state=0)
    if is_ensemble:
        estimator = RotationalVAEEnsemble(
            estimator=estimator, n_estimators=2, random_state=0
        )
    known = np.full(60, np.nan)
    known[:20] = np.tile([0, np.pi / 2], 10)  # some known angles are 0
    for angle, is_noticed in ((known, False), (np.nan_to_num(known), True)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimator.fit(X, angle=angle)
        about_zeros = [one for one in caught if "exactly 0" in str(one.message)]
        assert len(about_zeros) == is_noticed
        for one in about_zeros:
            assert "exactly 0 for 83% of the patches" in str(one.message)
            assert "must be NaN" in str(one.message)
            assert one.filename == __file__


def test_known_angles_calibrate_the_uncertainty_of_an_ensemble():
    """Cells deviate by several degrees from the direction of their domain."""
    data = load_multislice()
    sites = AtomLocator(sublattice=1).fit_transform(data.image)
    nearest, matched = match(sites, data)
    vector, variant = data.polarization[nearest], data.variant[nearest]
    direction = np.arctan2(vector[:, 0], vector[:, 1])
    judged = matched & (variant >= 0) & ~data.wall[nearest]
    X = PatchExtractor(window_size=44).transform(sites)
    is_known = draw_known(variant, judged)
    rows = judged & ~is_known
    member = RotationalVAE(max_epochs=1)
    ensemble = RotationalVAEEnsemble(estimator=member, n_estimators=3, random_state=0)
    within = {}
    for name, angle in (
        ("without", None),
        ("with", np.where(is_known, direction, np.nan)),
    ):
        mean, std = ensemble.fit(X, angle=angle).transform_with_std(X)
        ratio = np.abs(angular_error(direction, mean[:, 0])) / std[:, 0]
        within[name] = [(ratio[rows] < limit).mean() for limit in (1, 2)]
    assert within["without"][0] < 0.4
    assert 0.55 < within["with"][0] < 0.85
    assert 0.9 < within["with"][1] <= 1
    assert np.radians(3) < ensemble.angle_spread_ < np.radians(9)
