"""Profiles of columns: values, derivatives, and a profile of one's own."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.localization._fitting.columns import ColumnTable
from sklearn_ferroic.localization._fitting.profiles import (
    ELLIPTICAL_GAUSSIAN,
    PROFILES,
    ROUND_GAUSSIAN,
    ColumnProfile,
)
from sklearn_ferroic.localization._fitting.windows import ColumnWindows


class Lorentzian(ColumnProfile):
    """Columns ``(1 + r² / (exponent sigma²)) ** -(exponent / 2)``, with heavy tails.

    The shape parameter is the exponent; a Gaussian is the limit of large ones.
    """

    n_shape = 1
    shape_low, shape_high = (2.0,), (8.0,)
    reach_sigma = 4.0

    def __init__(self, exponent=3.0):
        self.shape_start = (exponent,)

    def value(self, row, col, sigma, shape):
        square = (row**2 + col**2) / (shape * sigma**2)
        return (1 + square) ** (-shape / 2)

    def derivatives(self, row, col, sigma, shape):
        square = (row**2 + col**2) / (shape * sigma**2)
        value = (1 + square) ** (-shape / 2)
        slope = value / (1 + square) / sigma**2
        by_shape = 0.5 * value * (square / (1 + square) - np.log1p(square))
        by_sigma = slope * (row**2 + col**2) / sigma
        return np.stack([slope * row, slope * col, by_sigma, by_shape], axis=1)


EXAMPLES = [ROUND_GAUSSIAN, ELLIPTICAL_GAUSSIAN, Lorentzian()]


def example(profile, change=0.1):
    """Two columns whose shape differs from the first one by a change."""
    positions = np.array([[10.3, 11.8], [14.1, 12.2]])
    table = ColumnTable.make([50.0, 80.0], positions, [2.4, 2.9], profile=profile)
    return table.replace(shape=table.shape + change)


@pytest.mark.parametrize(
    "profile", EXAMPLES, ids=lambda profile: type(profile).__name__
)
def test_derivatives_are_those_of_the_value(profile):
    # Those of elliptical columns by their shape are exact for round ones.
    table = example(profile, change=0.0)
    windows = ColumnWindows(np.zeros((24, 24), np.float32), table, 2.5)
    rows, offset = np.arange(2), 1e-4

    def image(parameters):
        moved = table.with_parameters(parameters)
        row, col = windows.row_step, windows.col_step
        center = windows.anchor - moved.positions
        values = profile.value(
            row + center[:, :1], col + center[:, 1:], moved.sigma[:, None], moved.shape
        )
        return moved.amplitude[:, None] * values

    slopes = profile.derivatives_on_windows(table, windows, rows)
    for number in range(profile.n_parameters):
        step = offset * np.eye(profile.n_parameters)[number]
        up, down = (image(table.parameters + sign * step) for sign in (1, -1))
        numeric = (up - down) / (2 * offset)
        assert slopes[:, number] == pytest.approx(numeric, abs=1e-5 * np.ptp(numeric))


@pytest.mark.parametrize("profile", EXAMPLES[:2], ids=["round", "elliptical"])
def test_polynomials_of_gaussians_are_their_values_and_derivatives(profile):
    table = example(profile)
    windows = ColumnWindows(np.zeros((24, 24), np.float32), table, 2.5)
    rows, rng = np.arange(2), np.random.default_rng(0)
    values = profile.on_windows(table, windows, rows)
    plain = ColumnProfile.on_windows(profile, table, windows, rows)
    assert values == pytest.approx(plain, abs=1e-5)
    weight = rng.uniform(1, 2, values.shape).astype(np.float32)
    results = []
    for cls in (type(profile), ColumnProfile):
        moments = (
            cls.gradient_moments(profile, table, windows, rows, values, weight.copy()),
            cls.information_moments(
                profile, table, windows, rows, values, weight.copy()
            ),
        )
        anchor, unit, n = windows.anchor, windows.unit, profile.n_parameters
        results.append(cls.normal_equations(profile, table, anchor, unit, *moments, n))
    for fast, direct in zip(*results, strict=True):
        assert fast == pytest.approx(direct, rel=1e-3, abs=1e-3 * np.abs(direct).max())


def test_columns_of_another_profile_are_fitted(fit_twice):
    profile, rng = Lorentzian(), np.random.default_rng(0)
    index = np.stack(np.meshgrid(np.arange(9), np.arange(8), indexing="ij"), axis=-1)
    positions = 15 + 20.0 * index.reshape(-1, 2) + rng.normal(0, 0.4, (72, 2))
    truth = ColumnTable.make(400.0, positions, 2.5, profile=profile)
    row, col = np.indices((190, 170)).reshape(2, 1, -1)
    distance = row - positions[:, :1], col - positions[:, 1:]
    values = profile.value(*distance, truth.sigma[:, None], truth.shape)
    image = rng.poisson(40 + 400 * values.sum(axis=0).reshape(190, 170))
    start = truth.replace(
        positions=positions + rng.uniform(-0.5, 0.5, positions.shape),
        amplitude=0.9 * truth.amplitude,
        background=truth.background + 40,
        shape=truth.shape + 1.5,
    )
    found = fit_twice(
        image.astype(np.float32), start, spacing=20.0, sigma=2.5, profile=profile
    )
    inner = ((index > 0) & (index < [8, 7])).all(axis=-1).ravel()
    assert found.converged[inner].all()
    assert found.ellipse is None
    error = (found.positions - positions)[inner] / found.std.positions[inner]
    assert 0.8 < np.std(error) < 1.25
    assert np.median(found.table.sigma[inner]) == pytest.approx(2.5, rel=0.05)
    assert np.median(found.table.shape[inner]) == pytest.approx(3.0, abs=0.5)


def test_a_registered_profile_is_a_shape_of_the_locator(monkeypatch):
    monkeypatch.setitem(PROFILES, "lorentzian", Lorentzian())
    data = make_ferroic_image(shape=(160, 160), random_state=0)
    sites = AtomLocator(shape="lorentzian").fit_transform(data)
    expected = AtomLocator().fit_transform(data)
    distance, index = cKDTree(expected.positions).query(sites.positions)
    assert len(sites) == len(expected)
    assert len(set(index)) == len(sites)
    assert np.median(distance) < 0.2
    assert sites.converged.mean() > 0.9
    assert np.isnan(sites.ellipticity).all()
    with pytest.raises(ValueError, match=r"'shape' parameter .*'lorentzian'"):
        AtomLocator(shape="square").fit(data)


def test_profiles_are_equal_if_their_constants_are():
    assert Lorentzian() == Lorentzian(exponent=3.0)
    assert hash(Lorentzian()) == hash(Lorentzian(exponent=3.0))
    assert Lorentzian() != Lorentzian(exponent=5.0)
    assert Lorentzian() != ROUND_GAUSSIAN
    # A table of one is converted to the other.
    table = ColumnTable.make(1.0, np.zeros((2, 2)), 2.0, profile=Lorentzian(5.0))
    other = ColumnTable.make(1.0, np.zeros((2, 2)), 2.0, profile=Lorentzian())
    assert table.append(other).shape.ravel().tolist() == [5.0] * 4


def test_a_profile_without_derivatives_cannot_be_made():
    class Incomplete(ColumnProfile):
        def value(self, row, col, sigma, shape):
            return np.exp(-(row**2 + col**2) / (2 * sigma**2))

    with pytest.raises(TypeError, match="derivatives"):
        Incomplete()
