"""PolarizationVector: signs, units, refusals."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomLocator, AtomSites, PolarizationVector
from sklearn_ferroic.datasets import make_ferroic_image


def make_sites(moved=(0.5, -1.0), n=6, cell=16.0, **options):
    grid = np.stack(np.meshgrid(range(n), range(n), indexing="ij"), -1).reshape(-1, 2)
    positions = np.concatenate([grid * cell, (grid + 0.5) * cell + moved]) + 4
    label = np.repeat([0, 1], len(grid))
    return AtomSites(np.zeros((120, 120)), positions, sublattice=label, **options)


def test_site_minus_centroid_of_its_cage():
    sites = make_sites()
    vector = PolarizationVector().fit_transform(sites)
    assert vector.shape == (len(sites), 2)
    b = sites.sublattice == 1
    known = np.isfinite(vector).all(axis=1)
    assert (known & b).sum() == 25
    assert vector[known & b] == pytest.approx(np.tile([0.5, -1.0], (25, 1)))
    assert vector[known & ~b] == pytest.approx(np.tile([-0.5, 1.0], (25, 1)))
    assert np.array_equal(np.isnan(vector[:, 0]), np.isnan(vector[:, 1]))


def test_picometres():
    sites = make_sites(pixel_size=0.02)
    vector = PolarizationVector(unit="pm").fit_transform(sites)
    assert vector == pytest.approx(
        20 * PolarizationVector().transform(sites), nan_ok=True
    )


@pytest.mark.parametrize(
    "moved, angle",
    [((0, 1), 0), ((1, 0), np.pi / 2), ((-1, 0), -np.pi / 2), ((0, -1), -np.pi)],
)
def test_angle_runs_from_columns_to_rows(moved, angle):
    sites = make_sites(moved)
    polar = PolarizationVector(output="polar").transform(sites)[sites.sublattice == 1]
    polar = polar[np.isfinite(polar[:, 0])]
    assert polar[:, 0] == pytest.approx(1)
    assert np.cos(polar[:, 1] - angle) == pytest.approx(1)
    assert (polar[:, 1] >= -np.pi).all()
    assert (polar[:, 1] < np.pi).all()


def test_three_neighbours_on_a_honeycomb():
    basis = 20.0 * np.array([[np.sqrt(0.75), 0.5], [0.0, 1.0]])
    grid = np.stack(np.meshgrid(range(-9, 9), range(-9, 9)), -1).reshape(-1, 2)
    a = grid @ basis + 90
    b = a + basis.sum(axis=0) / 3 + [0.6, 0.0]
    positions, label = np.concatenate([a, b]), np.repeat([0, 1], len(a))
    inside = ((positions > 5) & (positions < 175)).all(axis=1)
    sites = AtomSites(np.zeros((180, 180)), positions[inside], sublattice=label[inside])
    vector = PolarizationVector().fit_transform(sites)[sites.sublattice == 1]
    inner = ((sites.positions > 20) & (sites.positions < 160)).all(axis=1)
    inner = inner[sites.sublattice == 1]
    assert inner.sum() > 40
    assert vector[inner] == pytest.approx(np.tile([0.6, 0.0], (inner.sum(), 1)))


def test_what_the_sites_know_is_taken():
    sites = make_sites()
    given = np.random.default_rng(0).normal(size=(len(sites), 2))
    sites = make_sites(polarization=given)
    vector = PolarizationVector().transform(sites[::3])
    assert np.array_equal(vector, given[::3])
    vector[:] = 0
    assert np.array_equal(sites.polarization, given)


def test_a_slice_of_fitted_sites_is_not_computed_anew():
    sites = make_sites(
        position_std=np.full((72, 2), 0.1), polarization=np.full((72, 2), 0.25)
    )
    sites.polarization[::2] = np.nan
    made = PolarizationVector().fit(sites)
    whole = made.transform(sites)
    for row in (0, 1, 40):
        assert np.array_equal(
            made.transform(sites[[row]]), whole[[row]], equal_nan=True
        )


def test_amplitudes_do_not_make_sites_located():
    bare = make_sites()
    sites = make_sites(amplitude=np.ones(72), sigma=np.ones(72), background=np.ones(72))
    vector = PolarizationVector().fit_transform(sites)
    assert np.isfinite(vector).all(axis=1).sum() == 50
    assert np.array_equal(vector, PolarizationVector().transform(bare), equal_nan=True)


@pytest.mark.parametrize("refine", ["gaussian", None])
def test_border_sites_stay_undefined_in_a_slice(refine):
    truth = make_ferroic_image("film", shape=(200, 200), random_state=0)
    sites = AtomLocator(refine=refine).fit_transform(truth)
    border = sites[np.isnan(sites.polarization).any(axis=1)]
    assert set(border.sublattice) == {0, 1}
    for chosen in (border, border[border.sublattice == 1], border[:1]):
        assert np.isnan(PolarizationVector().fit_transform(chosen)).all()


@pytest.mark.parametrize("name", ["position_std", "lattice_position"])
def test_complete_cages_without_polarization_warn(name):
    sites = make_sites(**{name: np.ones((72, 2))})
    with pytest.warns(UserWarning, match="no polarization: all displacements are NaN"):
        vector = PolarizationVector().fit_transform(sites)
    assert np.isnan(vector).all()


def test_a_site_alone_in_its_frame_is_undefined():
    alone = AtomSites(np.zeros((40, 40)), [[20, 20]], sublattice=[1])
    vector = PolarizationVector().transform(
        AtomSites.concatenate([make_sites(), alone])
    )
    assert np.isnan(vector[-1]).all()
    assert np.isfinite(vector[:-1]).all(axis=1).sum() == 50


def test_frames_are_apart():
    one = make_sites()
    both = AtomSites.concatenate([make_sites((0.5, -1.0)), make_sites((-2.0, 0.25))])
    vector = PolarizationVector().transform(both)
    assert np.array_equal(
        vector[: len(one)], PolarizationVector().transform(one), equal_nan=True
    )
    second = vector[len(one) :][one.sublattice == 1]
    assert np.nanmean(second, axis=0) == pytest.approx([-2.0, 0.25])


def test_from_an_image_against_the_truth():
    truth = make_ferroic_image("film", shape=(420, 400), random_state=0)
    sites = AtomLocator(sublattice=1).fit_transform(truth)
    vector = PolarizationVector(unit="pm").fit_transform(sites)
    known = np.isfinite(vector).all(axis=1)
    assert known.mean() > 0.85
    length = np.hypot(*vector[known].T)
    in_film = sites.positions[known][:, 0] < 0.8 * 420
    assert np.median(length[in_film]) == pytest.approx(40, abs=4)
    in_substrate = sites.positions[known][:, 0] > 0.92 * 420
    assert np.median(length[in_substrate]) < 12


def test_names_and_pandas():
    sites = make_sites(pixel_size=0.02)
    extractor = PolarizationVector(unit="pm").set_output(transform="pandas")
    table = extractor.fit_transform(sites)
    assert isinstance(table, pd.DataFrame)
    assert list(table) == ["displacement_row_pm", "displacement_col_pm"]
    names = PolarizationVector(output="polar").get_feature_names_out()
    assert list(names) == ["displacement_px", "displacement_angle"]


def test_pipeline_clone_pickle():
    truth = make_ferroic_image("film", shape=(200, 200), random_state=0)
    pipeline = make_pipeline(AtomLocator(sublattice=1), PolarizationVector())
    vector = pipeline.fit_transform(truth)
    restored = pickle.loads(pickle.dumps(clone(pipeline).fit(truth)))
    assert np.array_equal(restored.transform(truth), vector, equal_nan=True)


@pytest.mark.parametrize("wrong", [np.zeros((4, 2)), [[1.0, 2.0]], None])
def test_only_sites(wrong):
    for call in (PolarizationVector().fit, PolarizationVector().transform):
        with pytest.raises(TypeError, match="AtomSites, the output of AtomLocator"):
            call(wrong)


def test_refusals():
    with pytest.raises(ValueError, match=r"load_image.*pixel_size in nm"):
        PolarizationVector(unit="pm").fit(make_sites())
    with pytest.raises(ValueError, match="'unit' parameter"):
        PolarizationVector(unit="nm").fit(make_sites())
    with pytest.raises(ValueError, match="'output' parameter"):
        PolarizationVector(output="complex").fit(make_sites())
    sites = make_sites()
    with pytest.raises(ValueError, match=r"one sublattice.*n_sublattices=2"):
        PolarizationVector().fit_transform(sites[sites.sublattice == 1])
    table = sites.images, sites.positions
    shifted = AtomSites(*table, sublattice=sites.sublattice + 1)
    with pytest.raises(ValueError, match=r"numbered from 0.*got \[1, 2\]"):
        PolarizationVector().fit(shifted)
    with pytest.raises(ValueError, match="no sites"):
        PolarizationVector().fit(sites[:0])
