import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_ferroic.metrics import (
    latent_leakage_score,
    neg_latent_leakage_scorer,
    rotation_equivariance_score,
    rotation_equivariance_scorer,
)
from sklearn_ferroic.model_selection import SpatialBlockKFold

SIDE = 17


class Moment(TransformerMixin, BaseEstimator):
    """Angle from the centre to the centroid; latents of many kinds."""

    def __init__(self, angle="follows", latents="radius"):
        self.angle = angle
        self.latents = latents

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        X = np.reshape(X, (-1, SIDE, SIDE))
        row, col = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
        total = X.sum(axis=(1, 2))
        row, col = ((X * d).sum(axis=(1, 2)) / total for d in (row, col))
        angle = {
            "follows": np.arctan2(row, col) + 1,
            "mirrored": -np.arctan2(row, col),
            "constant": np.full(len(X), 0.3),
            "NaN": np.full(len(X), np.nan),
        }[self.angle]
        latents = {
            "radius": np.hypot(row, col),
            "position": np.stack([row, col]),
            "constant": np.ones((2, len(X))),
            "none": np.empty((0, len(X))),
            "NaN": np.full(len(X), np.nan),
        }[self.latents]
        self.n_latents_ = len(np.atleast_2d(latents))
        return np.column_stack([angle, np.transpose(latents)])

    def get_feature_names_out(self, input_features=None):
        return ["angle", *(f"latent{i}" for i in range(self.n_latents_))]


def make_spots(n_samples=200, seed=0):
    """Draw Gaussian spots around the centre, with their angles."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, n_samples)
    radius = rng.uniform(2, 4, n_samples)
    row, col = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2)[:, None]
    at = radius * np.stack([np.sin(angle), np.cos(angle)])
    squared = (row - at[0, :, None, None]) ** 2 + (col - at[1, :, None, None]) ** 2
    return np.exp(-squared / 3), angle


@pytest.mark.parametrize("angles", [None, [0.5], [-2.0, 1.0], np.deg2rad([90, 30])])
@pytest.mark.parametrize("as_rows", [False, True])
def test_an_angle_that_follows_is_perfect(angles, as_rows):
    X, _ = make_spots()
    X = X.reshape(len(X), -1) if as_rows else X
    # only quarter turns leave the pixels as they are
    least = 0.9999 if angles is None else 0.95
    assert rotation_equivariance_score(Moment(), X, angles=angles) > least


@pytest.mark.parametrize(
    ("angle", "latents", "expected"),
    [
        ("follows", "none", 1),
        ("follows", "constant", 1),
        # cos of minus the turn, over three quarter turns
        ("constant", "radius", -1 / 3),
        # as far from its own place as any other sample on average, and farther
        ("follows", "position", 1 - (2 + 4 + 2) / 3 / 2),
        ("NaN", "radius", -1),
        ("follows", "NaN", -1),
    ],
)
def test_equivariance_by_hand(angle, latents, expected):
    X, _ = make_spots(2000)
    score = rotation_equivariance_score(Moment(angle, latents), X)
    assert score == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("turn", [np.pi / 2, 0.6])
def test_a_mirrored_angle_does_not_follow(turn):
    X, _ = make_spots()
    score = rotation_equivariance_score(Moment("mirrored"), X, angles=[turn])
    assert score == pytest.approx(np.cos(2 * turn), abs=0.02)


def test_equivariance_with_windows_that_are_not_finite():
    X, _ = make_spots(200)
    X[:50, 0, 0] = np.nan
    score = rotation_equivariance_score(make_pipeline(Moment()), X)
    # what is not finite counts -1
    assert score == pytest.approx(0.75 - 0.25, abs=0.01)
    assert rotation_equivariance_score(Moment(), np.full_like(X, np.nan)) == -1


def test_equivariance_turns_before_steps_that_know_pixels():
    X, _ = make_spots()
    ramp = np.linspace(0, 0.001, SIDE**2)
    shaded = make_pipeline(FunctionTransformer(lambda rows: rows + ramp), Moment())
    rows = X.reshape(len(X), -1)
    assert rotation_equivariance_score(shaded, rows) > 0.95


def test_equivariance_needs_squares():
    class Wide(Moment):
        def transform(self, X):
            return super().transform(np.ones((len(X), SIDE, SIDE)))

    with pytest.raises(ValueError, match="Only square windows"):
        rotation_equivariance_score(Wide(), np.ones((9, 8, 6)))
    with pytest.raises(ValueError, match="Only square windows"):
        rotation_equivariance_score(Wide(), np.ones((9, 48)))


@pytest.mark.parametrize("seed", range(5))
def test_leakage_of_latents_without_rotation_is_nothing(seed):
    rng = np.random.default_rng(seed)
    latents, angle = rng.normal(size=(600, 2)), rng.uniform(-np.pi, np.pi, 600)
    assert latent_leakage_score(latents, angle) < 0.01
    variant = rng.integers(4, size=600)
    assert latent_leakage_score(latents, variant, target_type="variant") < 0.01


@pytest.mark.parametrize("seed", range(3))
def test_leakage_grows_with_what_the_latents_tell(seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, 600)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    noise = rng.normal(size=circle.shape)
    scores = [latent_leakage_score(circle + s * noise, angle) for s in (0, 0.5, 1, 9)]
    assert scores[0] > 0.99
    assert scores[0] > scores[1] > scores[2] > scores[3]
    # the explained share of a unit vector under known noise, at most 1 / (1 + 2 s²)
    assert 0.4 < scores[1] < 0.9


def test_leakage_sees_dependence_that_is_not_linear_and_symmetry():
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, 800)
    doubled = np.column_stack([np.cos(2 * angle), np.sin(2 * angle)])
    assert latent_leakage_score(doubled, angle) < 0.1
    assert latent_leakage_score(doubled, angle, n_fold=2) > 0.98
    spiral = (4 + angle)[:, None] * np.column_stack(
        [np.cos(3 * angle), np.sin(3 * angle)]
    )
    assert latent_leakage_score(spiral, angle) > 0.9


def test_leakage_of_variants():
    rng = np.random.default_rng(0)
    variant = rng.integers(3, size=600)
    latents = np.column_stack([variant + 0.05 * rng.normal(size=600)])
    assert latent_leakage_score(latents, variant, target_type="variant") > 0.98
    latents[:300], unknown = rng.normal(size=(300, 1)), variant.copy()
    unknown[:300] = -1
    assert latent_leakage_score(latents, unknown, target_type="variant") > 0.98


def test_leakage_of_nothing_is_nothing():
    latents = np.random.default_rng(0).normal(size=(50, 2))
    assert latent_leakage_score(latents, np.ones(50)) == 0
    assert latent_leakage_score(latents, -np.ones(50), target_type="variant") == 0
    assert latent_leakage_score(np.ones((50, 2)), np.arange(50.0)) == 0
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        latent_leakage_score(latents, np.ones(3))


def test_leakage_scorer_reads_the_pose_or_the_truth():
    X, angle = make_spots(400)
    assert neg_latent_leakage_scorer(Moment(), X) > -0.05
    assert neg_latent_leakage_scorer(Moment(latents="position"), X) < -0.95
    assert neg_latent_leakage_scorer(Moment(latents="position"), X, angle) < -0.95
    variant = np.floor(2 * angle / np.pi)  # negative in half of the cells
    leaky = neg_latent_leakage_scorer(Moment(latents="position"), X, variant)
    assert -1 < leaky < -0.8
    assert neg_latent_leakage_scorer(Moment(), X, variant) > -0.1
    missing = np.where(np.arange(400) % 3, np.nan, angle)
    assert neg_latent_leakage_scorer(Moment(latents="position"), X, missing) < -0.9


@pytest.mark.parametrize(
    "estimator",
    [
        Moment("constant"),
        Moment("NaN"),
        Moment("follows", "NaN"),
        Moment("constant", "constant"),
        Moment("constant", "none"),
    ],
)
def test_a_collapsed_angle_gets_the_worst_leakage(estimator):
    X, _ = make_spots(100)
    assert neg_latent_leakage_scorer(estimator, X) == -1
    assert neg_latent_leakage_scorer(estimator, np.full_like(X, np.nan)) == -1
    assert rotation_equivariance_scorer(estimator, X) <= 0


@pytest.mark.parametrize("folds", ["blocks", "splits"])
def test_folds_are_of_all_samples_if_some_have_no_variant(folds):
    rng = np.random.default_rng(0)
    variant = rng.integers(0, 3, 400)
    latents = np.eye(3)[variant] + 0.1 * rng.normal(size=(400, 3))
    place = np.argwhere(np.ones((20, 20)))
    cv = SpatialBlockKFold(4, coordinates=place)
    variant[:80] = -1
    cv = cv if folds == "blocks" else list(cv.split(latents))
    leakage = latent_leakage_score(latents, variant, target_type="variant", cv=cv)
    assert leakage > 0.95
    variant[:] = -1
    assert latent_leakage_score(latents, variant, target_type="variant", cv=cv) == 0
