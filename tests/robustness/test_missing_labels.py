"""Labels that are missing have one meaning everywhere, and masks are not dropped."""

import warnings

import numpy as np
import pandas as pd
import pytest

from sklearn_ferroic import (
    AngleAwareScaler,
    AngleRegistration,
    AtomSites,
    PolarizationVector,
)
from sklearn_ferroic.domains import (
    find_domains,
    find_walls,
    label_smoothing,
    layer_profile,
    profile_across,
    to_xarray,
)
from sklearn_ferroic.feature_extraction import pool_polarization
from sklearn_ferroic.inspection import (
    CellMapDisplay,
    ClusterMeansDisplay,
    LatentDistributionDisplay,
)
from sklearn_ferroic.metrics import (
    circular_mean,
    spatial_coherence_score,
    wall_continuity_score,
    wall_straightness_score,
)

N_UNKNOWN = 15


@pytest.fixture(scope="module")
def sites():
    rng = np.random.default_rng(0)
    positions = 10.0 * np.indices((12, 12)).reshape(2, -1).T + 8
    domain = positions[:, 1] > 60
    polarization = np.where(domain[:, None], [0.0, 1.0], [1.0, 0.0])
    polarization += rng.normal(0, 0.05, polarization.shape)
    return AtomSites(
        rng.random((140, 140)),
        positions,
        polarization=polarization,
        lattice_vectors=np.broadcast_to([[0.0, 10.0], [10.0, 0.0]], (144, 2, 2)),
        position_std=np.full((144, 2), 0.05),
    )


def labels_of(sites):
    """Return labels of which the first are unknown, in all their forms."""
    numbers = (sites.positions[:, 1] > 60).astype(float)
    numbers[:N_UNKNOWN] = np.nan
    known = np.isfinite(numbers)
    integers = [
        int(one) if ok else None for one, ok in zip(numbers, known, strict=True)
    ]
    text = [
        "ab"[one] if ok else np.nan for one, ok in zip(integers, known, strict=True)
    ]
    return {
        "-1": np.where(known, numbers, -1).astype(int),
        "NaN": numbers,
        "None": integers,
        "text": np.array(text, dtype=object),
        "nullable": pd.array(integers, dtype="Int64").astype(object),
        "category": pd.Series(pd.Categorical(numbers)),
    }


FORMS = ["NaN", "None", "text", "nullable", "category"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_missing_labels_is_that_of_minus_one(sites, form):
    labels = labels_of(sites)
    given, reference = labels[form], labels["-1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for score in (
            spatial_coherence_score,
            wall_straightness_score,
            wall_continuity_score,
        ):
            assert score(sites, given) == score(sites, reference)
        domains, expected = (find_domains(sites, one) for one in (given, reference))
        np.testing.assert_array_equal(domains.n_cells, expected.n_cells)
        walls, expected = (find_walls(sites, one) for one in (given, reference))
        np.testing.assert_array_equal(walls.length_px, expected.length_px)
        smoothed = label_smoothing(sites, given)
        assert pd.isna(pd.Series(smoothed[:N_UNKNOWN])).all()
        fitted = [
            PolarizationVector(reference="mean").fit(sites, variants=one).reference_[0]
            for one in (given, reference)
        ]
        np.testing.assert_array_equal(*fitted)


@pytest.mark.parametrize("form", FORMS)
def test_displays_draw_missing_labels_in_grey(sites, form):
    labels = labels_of(sites)
    windows = np.random.default_rng(0).random((144, 25))
    means = ClusterMeansDisplay.from_predictions(windows, labels[form])
    assert sorted(means.counts) == [N_UNKNOWN, 63, 66]
    assert np.isfinite(means.means).all()
    points = windows[:, :2]
    colors = []
    for one in (labels[form], labels["-1"]):
        display = LatentDistributionDisplay.from_predictions(points, labels=one)
        colors.append(display.scatter_.get_facecolors())
    np.testing.assert_array_equal(*colors)
    outlines = []
    for one in (labels[form], labels["-1"]):
        display = CellMapDisplay.from_sites(sites, np.arange(144.0), labels=one)
        outlines.append(len(display.outlines_.get_segments()))
    assert outlines[0] == outlines[1]


def test_nothing_is_changed_where_all_labels_are_missing(sites):
    unknown = np.full(len(sites), np.nan)
    np.testing.assert_array_equal(label_smoothing(sites, unknown), unknown)
    assert label_smoothing(sites, [None] * len(sites)).tolist() == [None] * len(sites)


def test_numbers_and_text_are_not_mixed(sites):
    mixed = [0, "a"] * (len(sites) // 2)
    for use in (
        lambda: spatial_coherence_score(sites, np.array(mixed, dtype=object)),
        lambda: PolarizationVector(reference="mean").fit(
            sites, variants=np.array(mixed, dtype=object)
        ),
        lambda: ClusterMeansDisplay.from_predictions(
            np.ones((144, 25)), np.array(mixed, dtype=object)
        ),
    ):
        with pytest.raises(ValueError, match="all numbers or all strings"):
            use()


def test_a_negative_label_is_no_column_of_the_probabilities(sites):
    labels = np.where(sites.positions[:, 1] > 60, 1, -2)
    with pytest.raises(ValueError, match="one column for each of the 2 labels"):
        label_smoothing(sites, labels, probabilities=np.full((144, 3), 1 / 3))


def test_masks_are_not_dropped(sites, tmp_path):
    labels = np.ma.array(labels_of(sites)["-1"], mask=np.arange(144) < N_UNKNOWN)
    vectors = np.ma.array(sites.polarization)
    vectors[:N_UNKNOWN] = np.ma.masked
    angle = np.arctan2(*sites.polarization.T)
    uses = {
        "labels": [
            lambda: find_domains(sites, labels),
            lambda: find_walls(sites, labels),
            lambda: label_smoothing(sites, labels),
            lambda: spatial_coherence_score(sites, labels),
            lambda: pool_polarization(sites, labels),
            lambda: sites.to_csv(tmp_path / "sites.csv", labels=labels),
            lambda: sites.to_hdf5(tmp_path / "sites.h5", labels=labels),
            lambda: LatentDistributionDisplay.from_predictions(
                np.ones((144, 2)), labels=labels
            ),
        ],
        "variants": [
            lambda: PolarizationVector(reference="mean").fit(sites, variants=labels)
        ],
        "vectors": [
            lambda: find_domains(sites, np.ones(144), vectors=vectors),
            lambda: pool_polarization(sites, vectors=vectors),
        ],
        "y": [lambda: AngleRegistration().fit(np.c_[angle, angle], vectors)],
        "X": [
            lambda: AngleRegistration().fit(vectors, sites.polarization),
            lambda: AngleAwareScaler().fit(vectors),
            lambda: AngleAwareScaler().fit(sites.polarization).transform(vectors),
        ],
        "values": [
            lambda: CellMapDisplay.from_sites(sites, vectors[:, 0]),
            lambda: layer_profile(sites, vectors[:, 0]),
            lambda: profile_across(sites, vectors[:, 1], [[10, 50], [90, 50]]),
            lambda: to_xarray(sites, vectors[:, 1]),
        ],
        "angles": [lambda: circular_mean(np.ma.array(angle, mask=labels.mask))],
    }
    for name, calls in uses.items():
        for call in calls:
            with pytest.raises(ValueError, match=f"{name} is a masked array with"):
                call()


def test_cells_that_occur_twice_are_refused(sites):
    joined = AtomSites.concatenate([sites, sites[:30]])
    labels = np.zeros(len(joined))
    for use in (find_domains, find_walls, label_smoothing):
        with pytest.raises(ValueError, match="30 of 174 cells lie at the position of"):
            use(joined, labels)
    # the same places of different images
    other = AtomSites(np.ones((140, 140)), sites.positions)
    assert len(find_domains(AtomSites.concatenate([sites, other]), np.zeros(288))) == 2
