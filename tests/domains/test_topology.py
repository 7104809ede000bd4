"""Curl, winding, vortices, antipolar order and Burgers circuits."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, AtomSites
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.domains import (
    antipolar_order,
    burgers_vector,
    find_vortices,
    vector_topology,
)
from tests.domains._scenes import grid


def test_curl_and_divergence_of_linear_fields():
    sites = grid((8, 9))
    row, col = (sites.positions - 80).T
    swirl = vector_topology(sites, np.column_stack([col, -row]))
    np.testing.assert_allclose(swirl.curl, 2)
    np.testing.assert_allclose(swirl.divergence, 0, atol=1e-12)
    source = vector_topology(sites, np.column_stack([row, 2 * col]))
    np.testing.assert_allclose(source.divergence, 3)
    np.testing.assert_allclose(source.curl, 0, atol=1e-12)
    assert len(swirl.curl) == 7 * 8


def test_curl_does_not_need_a_square_lattice():
    index = np.indices((9, 9)).reshape(2, -1).T
    positions = index @ np.array([[18.0, 4.0], [-3.0, 22.0]]) + 60
    sites = AtomSites(np.zeros((300, 300)), positions)
    row, col = positions.T
    topology = vector_topology(sites, np.column_stack([0.3 * col, 0.1 * row]))
    np.testing.assert_allclose(topology.curl, 0.2)


@pytest.mark.parametrize(
    ("field", "winding", "circulation"),
    [
        (lambda r, c: (c, -r), 1, 1),
        (lambda r, c: (-c, r), 1, -1),
        (lambda r, c: (r, c), 1, 0),
        (lambda r, c: (c, r), -1, 0),
    ],
)
def test_kinds_of_cores(field, winding, circulation):
    sites = grid((12, 12))
    row, col = (sites.positions - [117, 126]).T
    found = find_vortices(sites, np.column_stack(field(row, col)))
    assert found.winding.tolist() == [winding]
    np.testing.assert_allclose(found[["row", "col"]], [[117, 126]], atol=1e-6)
    assert found.circulation[0] == pytest.approx(circulation, abs=0.05)


@pytest.mark.parametrize(("noise", "smoothing"), [(0.0, 0), (0.3, 2)])
def test_vortex_array(noise, smoothing):
    period = 20
    for seed in range(3):
        rng = np.random.default_rng(seed)
        sites = grid((50, 50), cell=10.0)
        row, col = (sites.positions + 50).T * 2 * np.pi / (10 * period)
        vectors = np.column_stack([np.sin(col), np.sin(row)])
        vectors += rng.normal(0, noise, vectors.shape)
        cores = 100.0 * np.indices((5, 5)).reshape(2, -1).T + 50
        found = find_vortices(sites, vectors, smoothing=smoothing)
        distance, nearest = cKDTree(cores).query(found[["row", "col"]])
        assert len(found) == 25
        assert len(np.unique(nearest)) == 25
        assert distance.max() < 10
        # v_row = sin(col), v_col = sin(row): the determinant of the gradient has the
        # sign of -cos(row) cos(col).
        at = (cores[nearest] + 50) * 2 * np.pi / 200
        np.testing.assert_array_equal(
            found.winding, -np.sign(np.cos(at).prod(axis=1)).astype(int)
        )


def test_uniform_field_has_no_vortices():
    for seed in range(5):
        sites = grid((30, 30))
        vectors = np.random.default_rng(seed).normal(0, 0.3, (900, 2)) + [1, 0]
        assert len(find_vortices(sites, vectors, smoothing=1)) == 0


def antiferroelectric(seed, noise, domains=True):
    """Up, up, down, down along both diagonals of the lattice in two domains."""
    index = np.indices((36, 36)).reshape(2, -1).T
    phase = index.sum(axis=1)
    if domains:
        phase = np.where(index[:, 0] < 18, phase, index[:, 0] - index[:, 1])
    sign = np.array([1, 1, -1, -1])[phase % 4]
    vectors = np.random.default_rng(seed).normal(0, noise, (len(index), 2))
    return grid((36, 36)), vectors + sign[:, None] * [0.7, -0.7]


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_period_of_lead_zirconate(noise):
    order = antipolar_order(*antiferroelectric(0, noise))
    assert order.period == pytest.approx(4, abs=0.1)
    np.testing.assert_allclose(np.abs(order.wave_vector), 0.25, atol=0.01)
    assert order.period_px == pytest.approx(20 * 4 / np.sqrt(2), rel=0.02)
    assert order.polar_share < 0.1


def test_local_order_is_the_size_of_the_modulation():
    order = antipolar_order(*antiferroelectric(0, 0.1, domains=False))
    assert np.median(order.antipolar) == pytest.approx(0.99, rel=0.1)
    assert np.median(order.polar) < 0.1


@pytest.mark.parametrize(
    ("columns", "period"), [([1, -1], 2), ([1, 1, 1, -1, -1, -1], 6)]
)
def test_other_periods(columns, period):
    index = np.indices((36, 36)).reshape(2, -1).T
    sign = np.array(columns)[index[:, 1] % len(columns)]
    vectors = np.random.default_rng(0).normal(0, 0.5, (len(index), 2))
    vectors[:, 0] += sign
    order = antipolar_order(grid((36, 36)), vectors)
    assert order.period == pytest.approx(period, rel=0.03)
    assert order.wave_vector[1] == pytest.approx(0, abs=0.01)


def test_noise_and_domains_are_not_antipolar():
    for seed in range(5):
        vectors = np.random.default_rng(seed).normal(0, 1, (900, 2))
        assert np.isnan(antipolar_order(grid((30, 30)), vectors).period)
    sites = grid((40, 40))
    stripes = np.sign(np.sin(sites.positions[:, 1] * np.pi / 200))
    assert np.isnan(antipolar_order(sites, stripes[:, None] * [1, 1]).period)


def test_min_significance_decides_on_weak_antipolar_order():
    sites, vectors = antiferroelectric(0, 3.5, domains=False)
    order = antipolar_order(sites, vectors)
    assert 5 < order.significance < 15
    assert np.isnan(order.period)
    order = antipolar_order(sites, vectors, min_significance=5.0)
    assert order.period == pytest.approx(4, abs=0.1)


def test_lamellae_of_the_generator_alternate():
    data = make_ferroic_image("superlattice", antipolar="all", random_state=0)
    b = data.sublattice == 1
    sites = AtomSites(data.image, data.positions[b], polarization=data.polarization[b])
    order = antipolar_order(sites)
    assert order.period == pytest.approx(2, abs=0.02)
    np.testing.assert_allclose(order.wave_vector, [0.5, 0], atol=0.01)


def test_no_vectors_are_refused():
    with pytest.raises(ValueError, match="No site has a vector"):
        antipolar_order(grid((5, 5)))


def test_burgers_vector_of_a_located_dislocation():
    data = make_ferroic_image(
        "film", shape=(400, 420), dislocation=True, random_state=0
    )
    located = AtomLocator().fit_transform(data)
    for kind in (0, 1):
        cells = located[located.sublattice == kind]
        found = burgers_vector(cells, [200, 210])
        # The extra half plane lies above the core: one column of cells is missing
        # below, where the circuit runs towards -col.
        assert found.indices.tolist() == [-1, 0]
        assert found.vector == pytest.approx([0, -19.8], abs=2)
        assert burgers_vector(cells, [200, 210], radius_cells=6).indices.tolist() == [
            -1,
            0,
        ]
        assert burgers_vector(cells, [300, 80], radius_cells=3).indices.tolist() == [
            0,
            0,
        ]


def test_circuit_is_in_one_image():
    sites = AtomSites.concatenate([grid((12, 12)), grid((14, 14))])
    with pytest.raises(ValueError, match="choose one by frame="):
        burgers_vector(sites, [120, 120])
    for frame in (0, 1):
        found = burgers_vector(sites, [120, 120], frame=frame)
        assert found.indices.tolist() == [0, 0]
        assert (sites.frame[found.circuit] == frame).all()
    assert len(burgers_vector(sites[sites.frame == 1], [120, 120]).circuit)


def test_circuit_must_stay_in_the_crystal():
    with pytest.raises(ValueError, match="leaves the crystal"):
        burgers_vector(grid((10, 10)), [5, 5])


@pytest.mark.parametrize("smoothing", [0, 2])
@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_walls_between_opposite_vectors_have_no_vortices(noise, smoothing):
    sites = grid((30, 40), cell=10.0)
    for center in (200.0, 205.0):
        x = (sites.positions[:, 1:] - center) / 10
        for profile in (np.sign, np.tanh):
            for seed in range(3):
                rng = np.random.default_rng(seed)
                vectors = profile(x) * [1, 0] + rng.normal(0, noise, (1200, 2))
                assert len(find_vortices(sites, vectors, smoothing=smoothing)) == 0
    # They are there with all winding numbers, and not significant.
    found = find_vortices(sites, vectors, smoothing=smoothing, min_significance=0)
    assert len(found) > 0
    assert (found.significance < 3).all()


def test_noise_without_vectors_has_no_vortices():
    sites = grid((40, 40), cell=10.0)
    for seed in range(3):
        vectors = np.random.default_rng(seed).normal(0, 1, (1600, 2))
        assert len(find_vortices(sites, vectors)) == 0


@pytest.mark.parametrize("cell", [(15, 15), (15, 14), (16, 15), (17, 15)])
def test_core_with_a_missing_cell(cell):
    sites = grid((30, 30), cell=10.0)
    index = np.indices((30, 30)).reshape(2, -1).T
    offset = index - [15.2, 14.6]
    vectors = np.column_stack([offset[:, 1], -offset[:, 0]])
    vectors /= np.hypot(*offset.T)[:, None]
    kept = (index != cell).any(axis=1)
    unknown = np.where(kept[:, None], vectors, np.nan)
    for found in (
        find_vortices(sites[kept], vectors[kept]),
        find_vortices(sites, unknown),
    ):
        assert found.winding.tolist() == [1]
        assert np.hypot(*(found[["row", "col"]] - [157, 151]).to_numpy()[0]) < 10
