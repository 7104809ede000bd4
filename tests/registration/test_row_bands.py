"""Scan lines that displace their columns together, in images with and without."""

from pathlib import Path

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator, ScanDistortionCorrector
from sklearn_ferroic.datasets import load_image, load_multislice, make_ferroic_image
from sklearn_ferroic.registration._lines.row_bands import measure_row_bands

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


def bands_of(image):
    return measure_row_bands(AtomLocator().fit_transform(image))


def generate(specimen, seed, jitter):
    return make_ferroic_image(
        specimen, shape=(400, 400), jitter=jitter, random_state=seed
    )


@pytest.mark.parametrize("specimen", ["film", "superlattice"])
@pytest.mark.parametrize("seed", [10, 11, 12])
def test_generated_images_without_jitter(specimen, seed):
    bands = bands_of(generate(specimen, seed, 0.0))
    assert not bands.are_significant


@pytest.mark.parametrize("seed", [10, 11, 12])
def test_jitter_of_films(seed):
    data = generate("film", seed, 0.3)
    bands = bands_of(data)
    assert bands.are_significant
    # A column is the mean over the lines that cross it, and jitters by a third.
    assert 0.05 < bands.size < 0.2
    # Bands along the slow scan axis are none of the scan.
    rotated = bands_of(np.rot90(data.image))
    assert not rotated.are_significant


def test_layers_and_walls_of_a_multislice_image():
    data = load_multislice()
    assert not bands_of(data.image).are_significant
    assert not bands_of(np.rot90(data.image)).are_significant


def test_correction_removes_the_bands():
    data = generate("film", 10, 0.5)
    sites = AtomLocator().fit_transform(data)
    corrected = ScanDistortionCorrector().fit(data, sites=sites).transform_sites(sites)
    assert measure_row_bands(sites).are_significant
    assert measure_row_bands(corrected).size < 0.5 * measure_row_bands(sites).size


def test_too_few_columns():
    data = generate("film", 10, 0.3)
    assert bands_of(data.image[:90, :90]) is None


@pytest.mark.parametrize(
    ("name", "is_distorted"),
    [
        ("multislice/pto_sto_distorted_dose2e4.npz", True),
        ("multislice/bto_carbon_distorted_dose2e4.npz", True),
        ("multislice/bfo_dev_distorted_dose2e4.npz", True),
        ("multislice/pto_sto_dose2e4.npz", False),
        ("multislice/bto_carbon_dose2e4.npz", False),
        ("multislice/bfo_dev_dose2e4.npz", False),
        ("multislice/bfo_dev_dose4e3.npz", False),
        ("real/sto_16_1.ser", True),
        ("real/pzo.dm3", False),
    ],
)
def test_simulated_and_real_images(name, is_distorted):
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not here")
    if name.startswith("real"):
        pytest.importorskip("rsciio")
    bands = bands_of(load_image(DATA / name))
    assert bands.are_significant == is_distorted
