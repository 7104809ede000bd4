"""Ensembles of rotational VAEs."""

import numpy as np
import pytest

from sklearn_ferroic import RotationalVAE, RotationalVAEEnsemble
from sklearn_ferroic.decomposition._ensemble import _circular_std
from sklearn_ferroic.metrics import angular_error
from tests.decomposition.test_classes import draw_cells


@pytest.fixture(scope="module")
def cells():
    rng = np.random.RandomState(0)
    kinds = rng.randint(2, size=150)
    angles = np.pi / 4 + np.pi / 2 * rng.randint(4, size=150)
    thickness = rng.uniform(0, 0.5, 150)
    X = draw_cells(kinds, angles, rng, thickness=thickness, displacement=4)
    return X, kinds, angles


@pytest.fixture(scope="module")
def ensemble(cells):
    member = RotationalVAE(latent_dim=1, n_classes=2, max_epochs=2)
    return RotationalVAEEnsemble(estimator=member, n_estimators=3, random_state=0).fit(
        cells[0]
    )


def test_mean_is_as_right_as_a_member(cells, ensemble):
    X, kinds, angles = cells
    mean = ensemble.transform(X)
    error = angular_error(angles, mean[:, 0], register=True)
    assert (np.abs(error) < np.pi / 4).mean() > 0.95
    # the classes of the members are matched, so that their means are not mixed
    shares = mean[:, -2:]
    assert shares.max(axis=1).mean() > 0.95
    agreement = (shares.argmax(axis=1) == kinds).mean()
    assert max(agreement, 1 - agreement) == 1
    assert mean.shape[1] == len(ensemble.get_feature_names_out())


def test_uncertainty_includes_disagreement(cells, ensemble):
    X = cells[0]
    mean, std = ensemble.transform_with_std(X)
    spread = ensemble.disagreement(X)
    assert (std[:, 1:] >= spread[:, 1:] - 1e-5).all()
    assert (spread[:, 0] > 0).mean() > 0.9
    # the latents of the members are aligned
    assert np.median(spread[:, 3]) < 0.7 * mean[:, 3].std()
    assert ensemble.angle_spread_ == 0


@pytest.mark.parametrize("n_members", [2, 3, 10])
def test_disagreement_does_not_depend_on_the_number_of_members(n_members):
    rng = np.random.RandomState(0)
    drawn = rng.normal(1.0, 0.3, (n_members, 20000))
    squared_resultant = np.exp(-(_circular_std(np.exp(1j * drawn)) ** 2))
    assert squared_resultant.mean() == pytest.approx(np.exp(-(0.3**2)), abs=0.005)
    # with a posterior of 0.4 rad in each member
    std = _circular_std(np.exp(1j * drawn - 0.4**2 / 2))
    assert np.exp(-(std**2)).mean() == pytest.approx(np.exp(-(0.5**2)), abs=0.005)


def test_scale_of_the_latents_is_no_disagreement(cells):
    X = cells[0]
    member = RotationalVAE(latent_dim=1, max_epochs=2)
    ensemble = RotationalVAEEnsemble(
        estimator=member, n_estimators=3, bootstrap=False, random_state=0
    ).fit(X)
    latents = [one.transform(X)[:, 3] for one in ensemble.estimators_]
    spreads = [latent.std() for latent in latents]
    correlation = np.abs(np.corrcoef(latents))
    # without the scale the disagreement would be that of the standard deviations
    unscaled = np.std(spreads, ddof=1)
    expected = np.sqrt(2 * (1 - correlation[0, 1:].mean())) * spreads[0]
    found = np.sqrt(np.mean(ensemble.disagreement(X)[:, 3] ** 2))
    assert found < max(1.2 * expected, 0.5 * unscaled)


def test_is_reproducible_and_equivariant(cells, ensemble):
    X = cells[0]
    before, after = ensemble.transform(X), ensemble.transform(np.rot90(X, 1, (1, 2)))
    off = np.angle(np.exp(1j * (after[:, 0] - before[:, 0] + np.pi / 2)))
    assert np.abs(off).max() < 1e-2
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-3)


def test_labels_reach_the_members(cells):
    X, kinds, _ = cells
    member = RotationalVAE(latent_dim=1, n_classes=2, max_epochs=1)
    ensemble = RotationalVAEEnsemble(estimator=member, n_estimators=2, random_state=0)
    ensemble.fit(X, np.where(np.arange(150) < 40, kinds, -1))
    assert (ensemble.transform(X)[:, -2:].argmax(axis=1) == kinds).all()


def messages_of(record):
    """Return the texts of the warnings for users."""
    return [str(one.message) for one in record if one.category is not FutureWarning]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_members_warn_once_for_all(cells, n_jobs):
    X = cells[0][:8]
    member = RotationalVAE(latent_dim=1, max_epochs=1)
    ensemble = RotationalVAEEnsemble(
        estimator=member, n_estimators=3, bootstrap=False, n_jobs=n_jobs, random_state=0
    )
    # directions that have nothing to do with the displacements
    angle = np.linspace(-3, 3, 8)
    with pytest.warns(UserWarning) as record:
        ensemble.fit(X, angle=angle)
    texts = messages_of(record)
    assert len(texts) == 2
    assert sum("known angles are not used" in text for text in texts) == 1
    assert sum("RotationalVAE is trained on 8 windows" in text for text in texts) == 1
    assert all(one.filename == __file__ for one in record)


def test_another_magnification_is_warned_of_once(cells, ensemble):
    row, col = np.mgrid[:25, :25]
    row, col = (np.rint(12 + (axis - 12) * 1.5).astype(int) for axis in (row, col))
    larger = np.pad(cells[0], [(0, 0), (12, 12), (12, 12)], mode="reflect")
    larger = larger[:, row + 12, col + 12]
    for method in (ensemble.transform, ensemble.disagreement):
        with pytest.warns(UserWarning) as record:
            method(larger)
        (text,) = messages_of(record)
        assert text.startswith("The lattice in X is 0.")
