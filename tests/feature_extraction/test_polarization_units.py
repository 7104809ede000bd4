"""References, physical units and errors of measured displacements."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, AtomSites, PolarizationVector
from sklearn_ferroic.datasets import load_multislice
from sklearn_ferroic.domains import find_walls
from sklearn_ferroic.feature_extraction import (
    born_charges,
    displacement_to_polarization,
    measure_lattice,
    pool_polarization,
)
from tests.domains._scenes import perovskite

MATERIALS = ["BaTiO3", "PbTiO3", "KNbO3", "BiFeO3", "PbZrO3", "SrTiO3"]


@pytest.mark.parametrize("material", MATERIALS)
def test_charges_are_neutral_and_cited(material):
    charges = born_charges(material)
    total = charges.charge_a + charges.charge_b + charges.charge_o1
    assert total + 2 * charges.charge_o2 == pytest.approx(0, abs=0.02)
    assert any(year in charges.reference for year in ("1994", "2005"))


@pytest.mark.parametrize(
    ("material", "displacement_pm", "low", "high"),
    [
        # Displacement of B against A in the measured structure; range of measured and
        # calculated spontaneous polarization.
        ("BaTiO3", 8.7, 25, 36),
        ("PbTiO3", 16.2, -105, -70),
        ("KNbO3", 7.3, 26, 45),
        ("BiFeO3", 39.9, -100, -85),
    ],
)
def test_spontaneous_polarization(material, displacement_pm, low, high):
    value = displacement_to_polarization([displacement_pm], material)[0]
    assert low < value < high


def test_formula():
    material = {
        "charge_b": 5.0,
        "charge_o1": -2.0,
        "charge_o2": -1.5,
        "ratio_o1": -1.0,
        "ratio_o2": 0.5,
        "cell_volume_nm3": 0.064,
    }
    # q = 5 + 2 - 1.5 = 5.5; P = q e u / V.
    coulomb_per_m2 = 5.5 * 1.602176634e-19 * 10e-12 / 0.064e-27
    expected = 100 * coulomb_per_m2
    assert displacement_to_polarization([10], material)[0] == pytest.approx(expected)
    twice = displacement_to_polarization([10], material, cell_volume_nm3=0.032)
    assert twice[0] == pytest.approx(2 * expected)
    corrected = displacement_to_polarization([13], material, column_factor=1.3)
    assert corrected[0] == pytest.approx(expected)


def test_estimator_in_physical_units():
    sites = measure_lattice(perovskite(0, shift=(0.5, -0.25), noise=0.0))
    cells = sites[sites.sublattice == 1]
    model = PolarizationVector(unit="uC/cm2", material="BiFeO3")
    values = model.fit_transform(cells)
    expected = displacement_to_polarization([[10, -5]], "BiFeO3")
    np.testing.assert_allclose(values, np.repeat(expected, len(cells), axis=0))
    assert values[0, 0] < 0 < values[0, 1]
    assert model.get_feature_names_out().tolist() == [
        "polarization_row_uC_cm2",
        "polarization_col_uC_cm2",
    ]
    polar = PolarizationVector(unit="uC/cm2", material="BiFeO3", output="polar")
    assert polar.fit(cells).get_feature_names_out().tolist() == [
        "polarization_uC_cm2",
        "polarization_angle",
    ]


def test_unknown_materials_are_refused():
    sites = perovskite(0)
    with pytest.raises(ValueError, match="needs material"):
        PolarizationVector(unit="uC/cm2").fit(sites)
    with pytest.raises(ValueError, match="no preset 'NaCl'"):
        PolarizationVector(unit="uC/cm2", material="NaCl").fit(sites)
    with pytest.raises(ValueError, match="missing are"):
        born_charges({"charge_b": 4.0})
    with pytest.raises(TypeError, match="must be a number"):
        born_charges(born_charges("BaTiO3") | {"charge_b": "4"})
    changed = born_charges(born_charges("BaTiO3") | {"charge_b": 8.16})
    assert changed.charge_per_displacement == pytest.approx(16.373, abs=1e-3)


def tilted(seed, kind):
    """Half of the image nonpolar, half polar, all under a common displacement."""
    sites = measure_lattice(perovskite(seed, n=24, noise=0.05))
    cells = sites[sites.sublattice == 1]
    row, col = cells.positions.T
    polar = col > 260
    common = np.column_stack([0.3 + 0 * row, -0.2 + 0 * row])
    if kind == "plane":
        common += np.column_stack([row, -col]) / 1000
    if kind == "layer":
        common = np.column_stack([np.sin(row / 40), np.cos(row / 60)])
    truth = np.where(polar[:, None], [0.5, 0.5], 0.0)
    cells.polarization = cells.polarization + common + truth
    return cells, truth, polar


@pytest.mark.parametrize("kind", ["mean", "plane", "layer"])
def test_reference_of_a_region_removes_mistilt(kind):
    cells, truth, polar = tilted(0, kind)
    model = PolarizationVector(reference=kind).fit(cells[~polar])
    error = model.transform(cells) - truth
    assert np.abs(error[polar].mean(axis=0)).max() < 0.03
    assert np.abs(error).max() < 0.35
    raw = cells.polarization - truth
    assert np.abs(raw).mean() > 0.15


def test_variants_are_fitted_with_the_reference():
    cells, _, _ = tilted(1, "plane")
    base = cells.polarization
    quadrant = 2 * (cells.positions[:, 0] > 260) + (cells.positions[:, 1] > 260)
    vectors = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])[quadrant]
    row, col = cells.positions.T
    common = np.column_stack([0.3 + row / 1000, -0.2 - col / 1000])
    cells.polarization = (
        np.random.default_rng(0).normal(0, 0.1, base.shape) + common + vectors
    )
    model = PolarizationVector(reference="plane").fit(cells, variants=quadrant)
    error = model.transform(cells) - vectors
    for k in range(4):
        assert np.abs(error[quadrant == k].mean(axis=0)).max() < 0.05
    with pytest.raises(ValueError, match="takes no variants"):
        PolarizationVector(reference="layer").fit(cells, variants=quadrant)


def test_reference_by_image():
    cells, truth, polar = tilted(0, "mean")
    other = AtomSites(
        np.ones((520, 520)),
        cells.positions,
        polarization=cells.polarization + 1,
        lattice_vectors=cells.lattice_vectors,
    )
    both = AtomSites.concatenate([cells, other])
    model = PolarizationVector(reference="mean").fit(both[np.tile(~polar, 2)])
    error = model.transform(both) - np.tile(truth, (2, 1))
    assert np.abs(error.mean(axis=0)).max() < 0.03
    third = AtomSites.concatenate([both, AtomSites(np.ones((9, 9)), [[4, 4]])])
    with pytest.raises(ValueError, match="Fit it to sites of all images"):
        model.transform(third)


def test_standard_errors_are_calibrated():
    pulls = []
    for seed in range(10):
        sites = measure_lattice(perovskite(seed, shift=(0.4, 0.3)))
        vector, std = PolarizationVector().fit(sites).transform_with_std(sites)
        b = sites.sublattice == 1
        pulls.append((vector[b] - [0.4, 0.3]) / std[b])
    assert 0.97 < np.nanstd(np.concatenate(pulls)) < 1.03


def test_standard_errors_of_length_and_angle():
    pulls = []
    for seed in range(10):
        sites = measure_lattice(perovskite(seed, shift=(0.8, 0.6), noise=0.05))
        model = PolarizationVector(output="polar", unit="pm").fit(sites)
        polar, std = model.transform_with_std(sites)
        b = sites.sublattice == 1
        pulls.append((polar[b] - [20, np.arctan2(0.8, 0.6)]) / std[b])
    spread = np.nanstd(np.concatenate(pulls), axis=0)
    assert (spread > 0.95).all()
    assert (spread < 1.05).all()


def test_verdict():
    found = []
    for size in (0.0, 0.1):
        verdicts = []
        for seed in range(10):
            sites = measure_lattice(perovskite(seed, n=18, shift=(size, 0)))
            cells = sites[sites.sublattice == 1]
            verdicts.append(pool_polarization(cells).verdict[0])
        found.append(verdicts)
    assert set(found[0]) == {"no significant order"}
    assert set(found[1]) == {"ordered"}
    few = pool_polarization(cells[:2])
    assert few.verdict.tolist() == ["undetermined"]


def test_pooled_errors_are_calibrated():
    pulls = []
    for seed in range(60):
        sites = measure_lattice(perovskite(seed, shift=(0.4, 0.3)))
        pooled = pool_polarization(sites[sites.sublattice == 1])
        pulls.append((pooled.mean[0] - [0.4, 0.3]) / pooled.std[0])
    assert 0.85 < np.std(pulls) < 1.15


def test_a_columns_have_no_polarization_of_their_own():
    sites = measure_lattice(perovskite(0, shift=(1.0, 0.0)))
    b = sites.sublattice == 1
    model = PolarizationVector(unit="uC/cm2", material="BaTiO3")
    vector, std = model.fit(sites).transform_with_std(sites)
    assert np.isnan(vector[~b]).all()
    assert np.isnan(std[~b]).all()
    expected = displacement_to_polarization([20.0], "BaTiO3")[0]
    assert np.nanmean(vector[b, 0]) == pytest.approx(expected, rel=0.05)
    with pytest.raises(ValueError, match="polarization at the B columns"):
        model.transform(sites[~b])
    # Nb is brighter than K.
    niobate = PolarizationVector(unit="uC/cm2", material="KNbO3").fit(sites)
    assert np.isnan(niobate.transform(sites)[b]).all()
    assert np.nanmean(niobate.transform(sites)[~b, 0]) < 0


def test_labels_of_a_pipeline_are_no_variants():
    cells, _, polar = tilted(0, "mean")
    labels = polar.astype(int)
    alone = PolarizationVector(reference="mean").fit(cells).reference_
    with_labels = PolarizationVector(reference="mean").fit(cells, labels).reference_
    np.testing.assert_array_equal(alone[0], with_labels[0])
    PolarizationVector(reference="layer").fit(cells, labels)
    variants = PolarizationVector(reference="mean").fit(cells, variants=labels - 1)
    assert np.abs(variants.reference_[0] - alone[0]).max() > 0.05


def test_layers_without_reference_are_nan():
    cells, _, _ = tilted(0, "mean")
    row = np.rint((cells.positions[:, 0] - cells.positions[:, 0].min()) / 20).astype(
        int
    )
    col = cells.positions[:, 1]
    base = cells.polarization
    cells.polarization = np.column_stack([0.05 * row, 0 * row]) + 0 * base
    for chosen in (row < 5, row % 2 == 0, (row % 2 == 0) & (col < 100)):
        model = PolarizationVector(reference="layer").fit(cells[chosen])
        corrected = model.transform(cells)
        within = np.isin(row, row[chosen])
        np.testing.assert_allclose(corrected[within], 0, atol=1e-3)
        assert np.isnan(corrected[~within]).all()


def test_total_errors_cover_the_truth_of_a_multislice_image():
    data = load_multislice()
    sites = AtomLocator().fit_transform(data)
    cells = sites[sites.sublattice == 1]
    b = data.sublattice == 1
    distance, match = cKDTree(data.positions[b]).query(cells.positions)
    assert distance.max() < 4
    truth = 1.13 * data.polarization[b][match]
    variant = data.variant[b][match]
    lines = find_walls(cells, variant).attrs["polylines"].values()
    near = cKDTree(np.concatenate(list(lines))).query(cells.positions)[0]
    known = np.isfinite(truth).all(axis=1) & (near > 39)
    substrate = known & (variant == -1) & (cells.positions[:, 0] > 470)
    model = PolarizationVector(reference="mean").fit(cells[substrate])
    film = known & (variant >= 0) & (cells.positions[:, 0] < 420)
    pooled = pool_polarization(
        cells[film], variant[film], reference=model, relative_std=0.03
    )
    assert (pooled.n_sites > 20).tolist() == [True, True, True]
    for k, label in enumerate(pooled.labels):
        true = truth[film & (variant == label)].mean(axis=0)
        error = pooled.mean[k] - true
        # 1 pm in 17, by astigmatism, is no statistical error.
        assert (np.abs(error) < 2 * pooled.total_std[k]).all()
        assert np.hypot(*pooled.mean[k]) == pytest.approx(np.hypot(*true), rel=0.07)
        assert (pooled.total_std[k] < 0.1 * np.hypot(*true)).all()
