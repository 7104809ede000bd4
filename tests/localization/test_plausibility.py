"""Whether sites can be the columns of a crystal."""

import numpy as np
import pytest

from sklearn_ferroic.localization._quality_warning import (
    check_sites,
    describe_implausible_sites,
)


def square(n=20, spacing=14.0, jitter=0.3, seed=0):
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2)
    noise = np.random.default_rng(seed).normal(0, jitter, (n * n, 2))
    return spacing * grid + noise


def all_converged(positions):
    return np.ones(len(positions), dtype=bool)


@pytest.mark.parametrize("spacing", [4.0, 14.0, 60.0])
def test_crystals_are_plausible(spacing):
    positions = square(spacing=spacing, jitter=0.02 * spacing)
    hexagonal = positions @ [[1, 0], [0.5, 0.866]]
    rng = np.random.default_rng(1)
    vacancies = positions[rng.random(len(positions)) > 0.1]
    half = [0, spacing / 2]
    pairs = np.concatenate([3 * positions - half, 3 * positions + half])
    for sites in (positions, hexagonal, vacancies, pairs):
        assert check_sites(sites, all_converged(sites), spacing) == []


def test_edges_and_few_sites_are_plausible():
    positions = square()
    converged = all_converged(positions)
    converged[::6] = False
    assert check_sites(positions, converged, 14.0) == []
    assert check_sites(positions[:5], converged[:5], 3.0) == []


@pytest.mark.parametrize(
    ("positions", "spacing", "finding"),
    [
        (square(), 9.9, "neighbours are typically"),
        (square(), 25.0, "neighbours are typically"),
        (np.random.default_rng(0).uniform(0, 2048, (1091, 2)), 3.6, "no neighbour"),
        (np.concatenate([square(), square()[::3] + [5, 0]]), 14.0, "too close"),
    ],
    ids=["missing", "too many", "scattered", "doubled"],
)
def test_findings(positions, spacing, finding):
    findings = check_sites(positions, all_converged(positions), spacing)
    assert any(finding in text for text in findings)


def test_unconverged_fits_and_barely_sampled_columns():
    for spacing, share, is_found in [(14, 0.2, 0), (14, 0.37, 1), (3.6, 0.37, 1)]:
        positions = square(spacing=spacing, jitter=0.02 * spacing)
        converged = np.arange(len(positions)) >= share * len(positions)
        findings = check_sites(positions, converged, spacing)
        assert any("did not converge" in text for text in findings) == bool(is_found)
        assert any("below 5 px" in text for text in findings) == (spacing < 5)


def test_the_message_says_what_to_do():
    positions, converged = square(), all_converged(square())
    text = describe_implausible_sites(3, positions, ~converged, 14.0)
    assert "sites of image 3 may not be" in text
    assert "100% of the fits did not converge" in text
    assert "pass spacing= in px" in text
    assert describe_implausible_sites(3, positions, converged, 14.0) == ""
