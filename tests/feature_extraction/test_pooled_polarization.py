"""Means of measured displacements, their errors and their significance."""

import warnings

import numpy as np
import pytest

from sklearn_ferroic import AtomSites, PolarizationVector
from sklearn_ferroic.domains import layer_profile, profile_across
from sklearn_ferroic.feature_extraction import pool_polarization

CELL = 20.0


def make_sites(rng, n=16, error=0.3, displacement=0.0, line_error=0.0, std=True):
    """Sites of a perovskite whose columns all have the same position error."""
    corner = np.indices((n + 1, n + 1)).transpose(1, 2, 0) * CELL
    center = corner[:-1, :-1] + CELL / 2
    a = corner + rng.normal(0, error, corner.shape)
    b = center + rng.normal(0, error, center.shape)
    b[..., 1] += rng.normal(0, line_error, n)[:, None]
    cage = (a[:-1, :-1] + a[1:, :-1] + a[:-1, 1:] + a[1:, 1:]) / 4
    return AtomSites(
        np.zeros((8, 8)),
        center.reshape(-1, 2),
        polarization=(b - cage + displacement).reshape(-1, 2),
        position_std=np.full((n * n, 2), error) if std else None,
        lattice_vectors=np.tile([[0, CELL], [CELL, 0]], (n * n, 1, 1)),
    )


@pytest.mark.parametrize("std", [True, False])
def test_standard_errors_are_those_of_repetitions(std):
    rng = np.random.default_rng(0)
    pulls, p_values = [], []
    for _ in range(150):
        pooled = pool_polarization(make_sites(rng, std=std))
        pulls.append(pooled.mean[0] / np.sqrt(np.diagonal(pooled.covariance[0])))
        p_values.append(pooled.p_value[0])
    assert 0.85 < np.std(pulls) < 1.1
    assert np.mean(np.array(p_values) < 0.05) < 0.09


def test_errors_common_to_a_scan_line_do_not_average_out():
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(100):
        pooled = pool_polarization(make_sites(rng, line_error=0.5))
        pulls.append(pooled.mean[0, 1] / np.sqrt(pooled.covariance[0, 1, 1]))
    assert 0.85 < np.std(pulls) < 1.3


def test_a_mean_is_significant_although_no_cell_is():
    sites = make_sites(np.random.default_rng(0), displacement=[0.15, 0])
    length = np.hypot(*sites.polarization.T)
    assert (length > 3 * 0.3 * np.sqrt(1.25)).mean() < 0.05
    pooled = pool_polarization(sites)
    assert pooled.n_sites[0] == 256
    assert pooled.p_value[0] < 1e-3
    np.testing.assert_allclose(pooled.mean[0], [0.15, 0], atol=0.09)


def test_labels_chosen_by_noise_are_exposed_by_far_cells():
    rng = np.random.default_rng(0)
    for _ in range(10):
        sites = make_sites(rng)
        labels = np.round(np.arctan2(*sites.polarization.T) / (np.pi / 2)) % 4
        pooled = pool_polarization(sites, labels)
        assert (pooled.p_value < 1e-6).all()
        assert (pooled.p_value_far > 1e-3).all()


def test_true_domains_and_antipolar_rows_pass_both_tests():
    row, col = np.indices((16, 16))
    for sign in (np.where(col < 8, 1, -1), np.where(row // 2 % 2, 1, -1)):
        displacement = sign[..., None] * np.array([0.0, 0.4])
        sites = make_sites(np.random.default_rng(0), displacement=displacement)
        pooled = pool_polarization(sites, sign.ravel())
        assert (pooled.p_value < 1e-6).all()
        assert (pooled.p_value_far < 1e-3).all()
        np.testing.assert_allclose(pooled.mean[:, 1], [-0.4, 0.4], atol=0.1)


def test_a_common_displacement_is_removed_by_the_reference():
    sites = make_sites(np.random.default_rng(0), displacement=[0.5, 0.5])
    labels = np.arange(256) % 2
    assert (pool_polarization(sites, labels).p_value < 1e-6).all()
    relative = pool_polarization(sites, labels, reference="mean")
    assert (relative.p_value > 0.01).all()
    given = pool_polarization(sites, reference=[0.5, 0.5])
    assert given.p_value[0] > 0.01


def test_misfits_and_unknown_vectors_are_left_out():
    sites = make_sites(np.random.default_rng(0))
    vectors = sites.polarization.copy()
    vectors[::50] = 40
    vectors[1::50] = np.nan
    pooled = pool_polarization(sites, vectors=vectors)
    assert pooled.n_sites[0] == 256 - 6 - 6
    assert np.abs(pooled.mean).max() < 0.1


def test_groups_too_small_have_no_error():
    sites = make_sites(np.random.default_rng(0))
    pooled = pool_polarization(sites, np.where(np.arange(256) < 2, "few", "many"))
    assert pooled.labels.tolist() == ["few", "many"]
    assert np.isnan(pooled.covariance[0]).all()
    assert np.isnan(pooled.p_value[0])
    assert np.isfinite(pooled.p_value[1])


def test_refused_input():
    sites = make_sites(np.random.default_rng(0), n=4)
    with pytest.raises(TypeError, match="needs AtomSites, got ndarray"):
        pool_polarization(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        pool_polarization(sites, [0, 1])
    with pytest.raises(ValueError, match=r"shape \(16, 2\)"):
        pool_polarization(sites, vectors=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="reference must be"):
        pool_polarization(sites, reference="median")


@pytest.mark.parametrize("scale", [1.0, 40.0, 0.04, -30.0, 4e-6])
@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.02, "no significant order"), (0.2, "ordered")]
)
def test_verdict_does_not_depend_on_the_unit(scale, shift, verdict):
    positions = 10.0 * np.indices((15, 20)).reshape(2, -1).T + 5
    vectors = np.random.default_rng(0).normal([shift, 0], 0.02, (300, 2))
    sites = AtomSites(np.zeros((150, 200)), positions, polarization=vectors)
    assert pool_polarization(sites).verdict[0] == verdict
    assert pool_polarization(sites, vectors=scale * vectors).verdict[0] == verdict
    assert (
        pool_polarization(sites, vectors=scale * (vectors - [0.01, 0.3])).verdict[0]
        == "ordered"
    )


def test_unit_that_cannot_be_known():
    positions = 10.0 * np.indices((15, 20)).reshape(2, -1).T + 5
    vectors = np.random.default_rng(0).normal([8, 0], 0.8, (300, 2))
    sites = AtomSites(np.zeros((150, 200)), positions)
    with pytest.warns(UserWarning, match="Give systematic_std"):
        pool_polarization(sites, vectors=vectors)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pooled = pool_polarization(sites, vectors=vectors, systematic_std=0.8)
        assert pooled.verdict[0] == "ordered"
        pool_polarization(sites, vectors=vectors - vectors.mean(axis=0))


def test_sublattices_are_not_averaged():
    sites = AtomSites(
        np.zeros((20, 20)),
        [[5, 5], [5, 15], [10, 10]],
        sublattice=[0, 0, 1],
        polarization=np.ones((3, 2)),
    )
    with pytest.raises(ValueError, match="must not be averaged"):
        pool_polarization(sites)
    with pytest.raises(ValueError, match="must not be averaged"):
        profile_across(sites, np.ones(3), [[0, 0], [20, 20]])
    with pytest.raises(ValueError, match="must not be averaged"):
        layer_profile(sites, np.ones(3))
    with pytest.raises(ValueError, match="significance"):
        pool_polarization(sites[:2], significance=5)
    with pytest.raises(ValueError, match="systematic_std"):
        pool_polarization(sites[:2], systematic_std=-1)


@pytest.mark.parametrize("kind", ["mean", "plane", "layer"])
def test_error_of_the_reference_is_that_of_repetitions(kind):
    rng = np.random.default_rng(5)
    pulls, without = [], []
    for _ in range(200):
        sites = make_sites(rng, displacement=[0.5, -0.2])
        row, col = (sites.positions // CELL).T
        # A plane and layers are known where the reference has cells.
        low = {"mean": row < 4, "plane": row % 4 == 0, "layer": col < 4}[kind]
        model = PolarizationVector(reference=kind).fit(sites[low])
        pooled = pool_polarization(sites[~low], reference=model)
        pulls.append(pooled.mean[0] / pooled.std[0])
        plain = pool_polarization(
            sites[~low], vectors=model.transform(sites)[~low], systematic_std=0
        )
        np.testing.assert_allclose(plain.mean, pooled.mean)
        without.append(plain.mean[0] / plain.std[0])
    # The scatter of the sites shows the errors of single layers already.
    assert (0.8 if kind == "layer" else 0.85) < np.std(pulls) < 1.1
    assert np.std(without) > 1.1


def test_error_of_the_reference_with_variants():
    rng = np.random.default_rng(6)
    variants = np.repeat([0, 1, 2, 3], 64)
    polar = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * 0.4
    for nonpolar, expected in ((-1, 1 / 8), (0, 1 / 16)):
        std, means = [], []
        for _ in range(150):
            sites = make_sites(rng, displacement=[0.1, 0.3])
            sites.polarization = (
                sites.polarization
                + polar[variants] * (variants + nonpolar >= 0)[:, None]
            )
            model = PolarizationVector(reference="mean")
            model.fit(sites, variants=variants + nonpolar)
            std.append(np.sqrt(np.diagonal(model.reference_covariance(sites))))
            means.append(model.reference_[0][0])
        assert np.mean(std) == pytest.approx(np.std(means, axis=0).mean(), rel=0.15)
        # Of columns with an error of 0.3 px, shared with neighbours.
        assert np.mean(std) == pytest.approx(0.3 * np.sqrt(2) * expected, rel=0.25)


def test_one_cell_is_no_reference_with_a_known_error():
    sites = make_sites(np.random.default_rng(0), displacement=[0.5, 0])
    model = PolarizationVector(reference="mean").fit(sites[:1])
    pooled = pool_polarization(sites[1:], reference=model)
    assert pooled.verdict.tolist() == ["undetermined"]
    assert np.isfinite(pooled.mean).all() and np.isnan(pooled.std).all()


def test_standard_errors_scale_with_the_unit_of_the_vectors():
    rng = np.random.default_rng(7)
    sites = make_sites(rng, error=0.05)
    # The errors of the fits say more than the scatter of these vectors.
    sites.position_std = np.full((len(sites), 2), 0.5)
    sites.pixel_size = 0.015
    px = pool_polarization(sites)
    for scale in (1e-3, 15.0):
        given = pool_polarization(sites, vectors=scale * sites.polarization)
        np.testing.assert_allclose(given.std, scale * px.std)
        np.testing.assert_allclose(given.total_std, scale * px.total_std)
        assert given.p_value[0] == pytest.approx(px.p_value[0])
    model = PolarizationVector(unit="pm").fit(sites)
    pm = pool_polarization(sites, reference=model)
    np.testing.assert_allclose(pm.total_std, 15 * px.total_std)


def test_total_errors_include_what_all_cells_share():
    sites = make_sites(np.random.default_rng(8), displacement=[3.0, 4.0])
    pooled = pool_polarization(sites, systematic_std=0.3, relative_std=0.1)
    length = np.hypot(*pooled.mean[0])
    expected = pooled.covariance[0] + np.eye(2) * (0.3**2 + (0.1 * length) ** 2)
    np.testing.assert_allclose(pooled.total_covariance[0], expected)
    np.testing.assert_allclose(pooled.total_std[0], np.sqrt(np.diagonal(expected)))


def test_models_that_cannot_be_references_are_refused():
    sites = make_sites(np.random.default_rng(0))
    polar = PolarizationVector(output="polar").fit(sites)
    with pytest.raises(ValueError, match='output="vector"'):
        pool_polarization(sites, reference=polar)
    model = PolarizationVector().fit(sites)
    with pytest.raises(ValueError, match="vectors must be None"):
        pool_polarization(sites, vectors=sites.polarization, reference=model)


def test_labels_of_several_types_are_refused():
    sites = make_sites(np.random.default_rng(0))
    labels = np.array(["up"] * 255 + [None], dtype=object)
    with pytest.raises(ValueError, match="all numbers or all strings"):
        pool_polarization(sites, labels)
    labels[-1] = ""
    assert pool_polarization(sites, labels).labels.tolist() == ["", "up"]


def test_groups_without_vectors_are_undetermined_with_a_model():
    sites = make_sites(np.random.default_rng(0), displacement=[0.5, 0])
    sites.polarization[240:] = np.nan
    model = PolarizationVector(reference="mean").fit(sites[:60])
    labels = np.where(np.arange(256) < 240, 0, 1)
    pooled = pool_polarization(sites, labels, reference=model)
    assert pooled.n_sites.tolist() == [240, 0]
    assert pooled.verdict[1] == "undetermined"
    assert np.isnan(pooled.total_std[1]).all()


def test_images_of_different_pixel_sizes_have_errors_of_their_own():
    frames = [make_sites(np.random.default_rng(seed)) for seed in range(3)]
    for frame, size in zip(frames, (0.01, 0.02, 0.04), strict=True):
        frame.pixel_size = size
    together = AtomSites.concatenate(frames)
    model = PolarizationVector(unit="pm", reference="layer").fit(together)
    pooled = pool_polarization(together, together.frame, reference=model)
    for number, frame in enumerate(frames):
        own = PolarizationVector(unit="pm", reference="layer").fit(frame)
        alone = pool_polarization(frame, reference=own)
        # correlations of neighbours are those of all images
        np.testing.assert_allclose(
            pooled.total_std[number], alone.total_std[0], rtol=0.15
        )
        covariance = model.reference_covariance(together[together.frame == number])
        np.testing.assert_allclose(covariance, own.reference_covariance(frame))


def test_a_pandas_series_is_a_reference_vector():
    pd = pytest.importorskip("pandas")
    sites = make_sites(np.random.default_rng(0), displacement=[0.5, 0])
    pooled = pool_polarization(sites, reference=pd.Series([0.5, 0.0]))
    np.testing.assert_allclose(pooled.mean[0], 0, atol=0.09)
    with pytest.raises(ValueError, match="finite vector"):
        pool_polarization(sites, reference=pd.DataFrame(np.eye(2)))


def test_references_of_other_images_are_refused():
    frames = [make_sites(np.random.default_rng(seed)) for seed in range(3)]
    together = AtomSites.concatenate(frames)
    model = PolarizationVector(reference="mean").fit(together[together.frame < 2])
    with pytest.raises(ValueError, match="was fitted to the images"):
        model.reference_covariance(together)
