"""The model's angle is turned onto the measured polarization, or left alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AngleRegistration,
    AngularMoments,
    AtomLocator,
    AtomSites,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic._utils.angles import wrap_angle
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.metrics import angular_error
from tests._truth import match


def test_without_polarization_in_the_middle_of_a_pipeline():
    X = np.zeros((4, 2))
    with pytest.raises(ValueError, match="requires y to be passed"):
        make_pipeline(AngleRegistration(), AngleAwareScaler()).fit(X)


UNDETERMINED = "The angle's offset is undetermined and the angle left as it is"


def vectors(angle, length=2.0):
    return np.transpose([np.sin(angle), np.cos(angle)]) * np.reshape(length, (-1, 1))


def true_variant(sites, data):
    """Variant of the true column at each site, -1 for one found beyond the border."""
    nearest, matched = match(sites, data)
    assert matched.mean() > 0.99
    return np.where(matched, data.variant[nearest], -1)


def model_angle(variant, rotation, rng):
    """What a network would give: all turned alike, noise, none where not polar."""
    angle = (
        np.pi / 4 + np.pi / 2 * variant - rotation + rng.normal(0, 0.1, variant.size)
    )
    at_random = rng.uniform(-np.pi, np.pi, variant.size)
    return wrap_angle(np.where(variant < 0, at_random, angle))


def locate(seed, **options):
    data = make_ferroic_image("film", random_state=seed, **options)
    return data, AtomLocator(sublattice=1).fit_transform(data)


# Recovery -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_a_random_rotation_is_recovered_on_the_film(seed):
    data, sites = locate(seed)
    rng = np.random.default_rng(seed)
    rotation = rng.uniform(-np.pi, np.pi)
    X = np.column_stack(
        [model_angle(true_variant(sites, data), rotation, rng), sites.frame]
    )
    registration = AngleRegistration().fit(X, sites)
    error = wrap_angle(registration.offset_ - rotation)
    assert registration.is_determined_
    assert abs(np.degrees(error)) < 1
    assert abs(error) < 4 * registration.offset_std_
    assert 0.1 < np.degrees(registration.offset_std_) < 0.7
    assert 0.8 < registration.resultant_length_ < 1
    assert 0.6 * len(sites) < registration.n_sites_ < len(sites)
    polar = true_variant(sites, data) >= 0
    expected = np.pi / 4 + np.pi / 2 * true_variant(sites, data)[polar]
    registered = registration.transform(X)[polar, 0]
    assert np.degrees(np.median(np.abs(angular_error(expected, registered)))) < 6


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_network_is_registered_by_its_pipeline(seed):
    data, sites = locate(seed)
    model = make_pipeline(
        PatchExtractor(), RotationalVAE(random_state=seed), AngleRegistration()
    )
    angle = model.fit(sites, sites).transform(sites)[:, 0]
    assert model[-1].is_determined_
    variant = true_variant(sites, data)
    expected = np.pi / 4 + np.pi / 2 * variant[variant >= 0]
    error = angular_error(expected, angle[variant >= 0])
    assert abs(np.degrees(np.median(error))) < 1
    assert (np.abs(error) < np.pi / 4).mean() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_network_is_undetermined_where_nothing_is_polar(seed):
    _, sites = locate(seed, displacement_pm=0)
    model = make_pipeline(
        PatchExtractor(), RotationalVAE(random_state=seed), AngleRegistration()
    )
    with pytest.warns(UserWarning, match=UNDETERMINED):
        X = model.fit_transform(sites, sites)
    assert not model[-1].is_determined_
    np.testing.assert_array_equal(X, model[:2].transform(sites))


@pytest.mark.parametrize("seed", range(3))
def test_an_image_that_is_not_polar_determines_nothing(seed):
    _, sites = locate(seed, displacement_pm=0, shape=(400, 420))
    angle = np.random.default_rng(seed).uniform(-np.pi, np.pi, (len(sites), 1))
    registration = AngleRegistration()
    with pytest.warns(UserWarning, match=f"{UNDETERMINED}.*may not be polar"):
        registration.fit(angle, sites)
    assert not registration.is_determined_
    assert registration.offset_ == 0
    assert np.isnan(registration.offset_std_)
    assert registration.resultant_length_ < 0.4
    np.testing.assert_array_equal(registration.transform(angle), angle)


def test_half_as_many_wrong_variants_have_no_pull():
    rng = np.random.default_rng(0)
    true = rng.uniform(-np.pi, np.pi, 300)
    angle = true - 2.5 + rng.normal(0, 0.02, 300)
    angle[:90] += np.pi / 2
    registration = AngleRegistration().fit(angle[:, None], vectors(true))
    assert registration.offset_ == pytest.approx(2.5, abs=0.005)
    assert registration.resultant_length_ < 0.8


def test_equal_halves_a_quarter_turn_apart_are_undetermined():
    true = np.random.default_rng(0).uniform(-np.pi, np.pi, 200)
    angle = true - np.where(np.arange(200) % 2, 0, np.pi / 2 + 0.1)
    with pytest.warns(UserWarning, match=f"{UNDETERMINED}: of 200 sites.* 50%"):
        AngleRegistration().fit(angle[:, None], vectors(true))


def test_a_mirrored_angle_is_not_registered_but_named():
    true = np.random.default_rng(0).choice([0.1, 1.7, 3.2, -1.5], 200)
    with pytest.warns(UserWarning, match=r"Was the image mirrored\?"):
        registration = AngleRegistration().fit(-true[:, None], vectors(true))
    assert not registration.is_determined_


@pytest.mark.filterwarnings(f"ignore:{UNDETERMINED}")
def test_agreement_by_chance_is_rare():
    """Few sites agree at random; the more there are, the less."""
    rng = np.random.default_rng(0)
    determined = [
        AngleRegistration()
        .fit(rng.uniform(-np.pi, np.pi, (n, 1)), rng.normal(size=(n, 2)))
        .is_determined_
        for n in (1, 5, 8, 12, 40)
        for _ in range(60)
    ]
    assert sum(determined) <= 1
    eight = rng.uniform(-np.pi, np.pi, 8)
    agreed = AngleRegistration().fit(eight[:, None], vectors(eight + 1))
    assert agreed.offset_ == pytest.approx(1)


@pytest.mark.parametrize("n", [100, 1600])
def test_the_standard_error_is_that_of_repetitions(n):
    rng = np.random.default_rng(n)
    offsets, errors = [], []
    for _ in range(100):
        true = rng.uniform(-np.pi, np.pi, n)
        measured = vectors(true) + rng.normal(0, 0.4, (n, 2))
        fitted = AngleRegistration().fit(wrap_angle(true - 1)[:, None], measured)
        offsets.append(fitted.offset_)
        errors.append(fitted.offset_std_)
    assert np.median(errors) == pytest.approx(np.std(offsets), rel=0.25)
    assert np.mean(offsets) == pytest.approx(1, abs=4 * np.std(offsets) / 10)


def test_long_vectors_count_for_more():
    true = np.linspace(-3, 3, 40)
    angle = true - np.where(np.arange(40) % 2, 0.5, 0.1)
    length = np.where(np.arange(40) % 2, 3.0, 1.0)
    offset = AngleRegistration().fit(angle[:, None], vectors(true, length)).offset_
    assert offset == pytest.approx(np.angle(3 * np.exp(0.5j) + np.exp(0.1j)))


# Displacements below their errors -----------------------------------------------------


def noisy_quadrants(seed, length):
    """Four domains, whose displacement is `length` standard errors of one cell."""
    rng = np.random.default_rng(seed)
    row, col = np.indices((20, 20)).reshape(2, -1)
    true = 0.3 + np.pi / 2 * (2 * (row // 10) + col // 10)
    polarization = vectors(true, length * 0.1) + rng.normal(0, 0.1, (400, 2))
    position_std = np.full((400, 2), 0.1 / np.sqrt(1.25))
    positions = np.column_stack([row, col]) * 10.0
    sites = AtomSites(
        np.zeros((200, 200)),
        positions,
        polarization=polarization,
        position_std=position_std,
    )
    return rng, true, sites


@pytest.mark.parametrize("seed", range(5))
def test_displacements_below_their_errors_register_together(seed):
    rng, true, sites = noisy_quadrants(seed, 0.9)
    angle = wrap_angle(true - 1 + rng.normal(0, 0.2, 400))
    registration = AngleRegistration().fit(angle[:, None], sites)
    assert registration.is_determined_
    assert registration.is_pooled_
    assert registration.n_sites_ == 400
    assert abs(registration.offset_ - 1) < 4 * registration.offset_std_
    assert np.degrees(registration.offset_std_) < 10


@pytest.mark.filterwarnings(f"ignore:{UNDETERMINED}")
def test_angles_that_follow_noise_mirrors_and_halves_are_not_pooled():
    for seed in range(5):
        rng, true, sites = noisy_quadrants(seed, 0.9)
        half = true + np.where(rng.random(400) < 0.5, 0, np.pi / 2)
        for angle in (-true, half, rng.uniform(-np.pi, np.pi, 400)):
            registration = AngleRegistration().fit(wrap_angle(angle)[:, None], sites)
            assert not registration.is_pooled_
        rng, _, noise = noisy_quadrants(seed, 0)
        angle = np.arctan2(*noise.polarization.T)
        assert not AngleRegistration().fit(angle[:, None], noise).is_pooled_


# What y may be ------------------------------------------------------------------------


def make_sites(polarization, **columns):
    n = len(polarization)
    grid = np.indices((40, 40)).reshape(2, -1).T[:n] * 5.0
    return AtomSites(np.eye(200), grid, polarization=polarization, **columns)


def test_all_kinds_of_y_agree():
    rng = np.random.default_rng(0)
    true = rng.uniform(-np.pi, np.pi, 60)
    X = wrap_angle(true + 0.7)[:, None]
    p = vectors(true)
    for y in (
        p,
        pd.DataFrame(p),
        p.tolist(),
        make_sites(p),
        true,
        true[:, None],
        9 * p,
    ):
        registration = AngleRegistration().fit(X, y)
        assert registration.offset_ == pytest.approx(-0.7)
        assert registration.n_sites_ == 60
        assert registration.resultant_length_ == pytest.approx(1)


def test_unknown_polarization_is_left_out():
    true = np.linspace(-3, 3, 50)
    X = true[:, None] - 1
    p = vectors(true)
    p[::2] = np.nan
    p[1, 0], p[3] = np.nan, 0
    registration = AngleRegistration().fit(X, p)
    assert registration.n_sites_ == 23
    assert registration.offset_ == pytest.approx(1)
    assert AngleRegistration().fit(X, make_sites(p)).n_sites_ == 23
    true[4] = np.nan
    assert AngleRegistration().fit(X, true).n_sites_ == 49


def test_sites_are_trusted_by_their_errors():
    true = np.linspace(-3, 3, 40)
    length = np.where(np.arange(40) < 20, 2.0, 0.3)
    wrong = np.where(np.arange(40) < 20, 0, 1)
    converged = np.arange(40) % 10 > 0
    sites = make_sites(
        vectors(true + wrong, length),
        position_std=np.full((40, 2), 0.1),
        converged=converged,
    )
    registration = AngleRegistration().fit(true[:, None], sites)
    assert registration.n_sites_ == 18
    assert registration.offset_ == pytest.approx(0, abs=1e-12)


def test_neighbours_that_err_together_count_once():
    rng = np.random.default_rng(0)
    true = rng.uniform(-np.pi, np.pi, 1600)
    row, col = np.indices((40, 40)).reshape(2, -1)
    common = rng.normal(0, 0.1, (8, 8))[row // 5, col // 5]
    registration = AngleRegistration().fit(
        true[:, None], make_sites(vectors(true + common))
    )
    alone = AngleRegistration().fit(true[:, None], vectors(true + common))
    assert registration.offset_ == pytest.approx(alone.offset_)
    assert registration.offset_std_ == pytest.approx(0.1 / 8, rel=0.3)
    assert alone.offset_std_ == pytest.approx(0.1 / 40, rel=0.3)


def test_nothing_known_is_undetermined():
    X = np.ones((5, 2))
    for y in (
        np.full((5, 2), np.nan),
        np.zeros((5, 2)),
        make_sites(np.full((5, 2), np.nan)),
    ):
        with pytest.warns(UserWarning, match="no polarization that can be trusted"):
            registration = AngleRegistration().fit(X, y)
        assert registration.n_sites_ == 0
        assert np.isnan(registration.resultant_length_)
        np.testing.assert_array_equal(registration.transform(X), X)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, r"requires y to be passed.*fit\(sites, sites\)"),
        (
            np.ones((10, 3)),
            r"vectors \(row, col\) of shape \(n_samples, 2\).*\(10, 3\)",
        ),
        (np.ones((9, 2)), r"inconsistent numbers of samples.*fit\(sites, sites\)"),
        (make_sites(np.ones((9, 2))), "inconsistent numbers of samples"),
        (np.full((10, 2), np.inf), "y contains infinity"),
    ],
)
def test_refused_y(y, message):
    registration = AngleRegistration()
    with pytest.raises(ValueError, match=message):
        registration.fit(np.ones((10, 2)), y)
    assert not hasattr(registration, "offset_")


# Columns ------------------------------------------------------------------------------


def test_only_the_angle_is_turned_and_turned_back():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-np.pi, np.pi, 50), rng.normal(9, 9, (50, 3))])
    for dtype in (np.float64, np.float32):
        rows = X.astype(dtype)
        registration = AngleRegistration().fit(rows, wrap_angle(X[:, 0] + 3))
        turned = registration.transform(rows)
        assert turned.dtype == dtype
        np.testing.assert_allclose(
            turned[:, 0], wrap_angle(X[:, 0] + 3), atol=4 * np.finfo(dtype).eps
        )
        assert (turned[:, 0] >= -np.pi).all() and (turned[:, 0] < np.pi).all()
        np.testing.assert_array_equal(turned[:, 1:], rows[:, 1:])
        np.testing.assert_allclose(
            registration.inverse_transform(turned), rows, atol=8 * np.finfo(dtype).eps
        )


def test_columns_are_found_by_name():
    true = np.linspace(-3, 3, 20)
    table = pd.DataFrame({"latent0": np.ones(20), "angle": true - 0.25})
    registration = AngleRegistration().set_output(transform="pandas")
    turned = registration.fit_transform(table, true)
    assert registration.angle_index_ == 1
    assert list(turned) == ["latent0", "angle"]
    np.testing.assert_allclose(turned["angle"], true)
    with pytest.warns(UserWarning, match="X has no column named 'angle'"):
        registration.fit(table.rename(columns={"angle": "pca0"}), true)
    assert registration.angle_index_ is None


# In a pipeline ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film_sites():
    data = make_ferroic_image("film", shape=(240, 260), random_state=0)
    sites = AtomLocator(sublattice=1).fit_transform(data)
    assert np.isnan(sites.polarization).any()
    return sites


@pytest.mark.filterwarnings(f"ignore:{UNDETERMINED}")
def test_it_fits_in_a_pipeline(film_sites):
    model = make_pipeline(
        PatchExtractor(window_size=32),
        AngularMoments(),
        AngleRegistration(),
        AngleAwareScaler(),
        GaussianMixture(3, random_state=0),
    )
    labels = model.fit_predict(film_sites, film_sites)
    assert labels.shape == (len(film_sites),)
    registration = model[2]
    assert registration.is_determined_
    raw = model[:2].transform(film_sites)
    expected = wrap_angle(raw[:, 0] + registration.offset_)
    registered = model[:3].transform(film_sites)
    np.testing.assert_allclose(registered[:, 0], expected, atol=1e-6)
    # Vectors do as well as sites.
    again = clone(model).fit(film_sites, film_sites.polarization)
    assert again[2].offset_ == pytest.approx(registration.offset_, abs=0.05)


@pytest.mark.filterwarnings(f"ignore:{UNDETERMINED}")
def test_the_network_does_not_look_at_y_and_decodes_what_was_registered(film_sites):
    sites = film_sites[:60]
    model = make_pipeline(
        PatchExtractor(window_size=24),
        RotationalVAE(max_epochs=1, random_state=0),
        AngleRegistration(),
    )
    known = sites.polarization.copy()
    known[::3] = np.nan
    registered = model.fit(sites, known).transform(sites)
    raw = model[:2].transform(sites)
    np.testing.assert_array_equal(raw, clone(model[:2]).fit_transform(sites))
    np.testing.assert_allclose(
        model[1:].inverse_transform(registered),
        model[1].inverse_transform(raw),
        atol=1e-4,
    )


@pytest.mark.filterwarnings(f"ignore:{UNDETERMINED}")
def test_searches_split_the_sites_that_are_y(film_sites):
    search = GridSearchCV(
        make_pipeline(
            PatchExtractor(window_size=24),
            AngularMoments(),
            AngleRegistration(),
            AngleAwareScaler(),
            GaussianMixture(2, random_state=0),
        ),
        {"angularmoments__latent_dim": [1, 2]},
        cv=KFold(2),
        error_score="raise",
    ).fit(film_sites, film_sites)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
