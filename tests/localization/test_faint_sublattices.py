"""Faint columns nearer to a bright one than the bright ones are to each other."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, Motif, MotifAssigner
from tests.feature_extraction._crystals import SPACING, draw, interior, make_crystal


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("preset", ["zincblende_110", "wurtzite_1120"])
@pytest.mark.parametrize("ratio", [0.05, 0.065, 0.1, 0.2])
def test_light_elements_are_found_without_a_spacing(preset, ratio):
    motif = Motif.from_preset(preset, anions=preset == "wurtzite_1120")
    for seed in range(3):
        rotation = np.random.default_rng(seed).uniform(-40, 40)
        crystal = make_crystal(
            motif, rotation=rotation, noise=0.0, vacancies=0.01, seed=seed
        )
        scatter = np.exp(
            np.random.default_rng(seed).normal(0, 0.05, len(crystal.column))
        )
        height = np.where(crystal.species == 0, 1.0, ratio) * scatter
        image = draw(crystal._replace(intensity=height), seed=seed)
        locator = AtomLocator()
        sites = locator.fit_transform(image)
        assert locator.spacing_ == pytest.approx(SPACING, rel=0.2)
        inner = interior(crystal.positions)
        distance, index = cKDTree(sites.positions).query(crystal.positions[inner])
        assert (distance < 3).all()
        assert np.array_equal(sites.sublattice[index], crystal.species[inner])
        assigned = MotifAssigner(motif=motif).fit_transform(sites)
        assert (assigned.motif_column[index] >= 0).mean() > 0.99


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("dose", [30.0, 500.0])
def test_nothing_is_added_between_narrow_columns_of_one_kind(dose):
    motif = Motif.from_preset("zincblende_110").select(["M"])
    for seed in range(3):
        crystal = make_crystal(motif, spacing=34.0, vacancies=0.03, seed=seed)
        image = draw(crystal, sigma=2.4, dose=dose, seed=seed)
        locator = AtomLocator()
        sites = locator.fit_transform(image)
        assert locator.n_sublattices_ == 1
        assert locator.spacing_ == pytest.approx(34.0, rel=0.1)
        distance, _ = cKDTree(crystal.positions).query(
            sites.positions[interior(sites.positions)]
        )
        assert distance.max() < 3
