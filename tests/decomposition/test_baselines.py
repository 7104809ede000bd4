"""MultiReferenceAlignment and AngularMoments against the truth."""

import pickle
from functools import lru_cache

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AngularMoments,
    AtomSites,
    MultiReferenceAlignment,
    PatchExtractor,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.metrics import angular_error

BOTH = [MultiReferenceAlignment(random_state=0), AngularMoments()]


@lru_cache
def make_film(seed):
    """Windows around the true B columns, and what is true of them."""
    data = make_ferroic_image("film", displacement_pm=44, random_state=seed)
    chosen = data.sublattice == 1
    sites = AtomSites([data.image], data.positions[chosen])
    X = PatchExtractor().transform(sites)
    return X, data.variant[chosen], ~data.wall[chosen]


def draw_cells(n, seed, turn=0.0, shift=(0.0, 0.0), side=32, noise=0.02):
    """Windows of a polar crystal, drawn at an angle rather than turned."""
    rng = np.random.RandomState(seed)
    angle = rng.uniform(-np.pi, np.pi, n) + turn
    brightness = rng.uniform(0.7, 1.3, n)
    grid = np.mgrid[-4:5, -4:5].reshape(2, -1).T * 9.0
    a_site, b_site = grid + 4.5 - np.array([1.2, 1.2]), grid
    row, col = np.mgrid[:side, :side] - (side - 1) / 2
    patches = np.zeros((n, side, side))
    for places, height in ((a_site, 1.0), (b_site, 0.5)):
        for place_row, place_col in places:
            cos, sin = np.cos(angle), np.sin(angle)
            at_row = place_row * cos + place_col * sin + shift[0]
            at_col = place_col * cos - place_row * sin + shift[1]
            squared = (row - at_row[:, None, None]) ** 2
            squared = squared + (col - at_col[:, None, None]) ** 2
            patches += height * np.exp(-squared / (2 * 1.6**2))
    patches *= brightness[:, None, None]
    return patches + rng.normal(0, noise, patches.shape), angle, brightness


@pytest.fixture(scope="module")
def cells():
    return draw_cells(200, seed=0)


@pytest.fixture(scope="module", params=BOTH, ids=lambda e: type(e).__name__)
def fitted(request, cells):
    return clone(request.param).fit(cells[0])


@pytest.mark.parametrize("estimator", BOTH, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("seed", range(3))
def test_variants_of_a_film(estimator, seed):
    X, variant, inside = make_film(seed)
    polar = (variant >= 0) & inside
    angle = clone(estimator).fit_transform(X)[:, 0]
    truth = np.pi / 4 + np.pi / 2 * variant[polar]
    error = np.abs(angular_error(truth, angle[polar], register=True))
    assert np.mean(error < np.pi / 4) >= 0.99
    limit = 1 if isinstance(estimator, MultiReferenceAlignment) else 5
    assert np.degrees(np.median(error)) < limit


@pytest.mark.parametrize("turn", [0.4, -1.3, 2.7])
def test_any_turn_moves_the_angle_by_itself(fitted, turn):
    X, _, _ = draw_cells(60, seed=5, noise=0)
    turned, _, _ = draw_cells(60, seed=5, turn=turn, noise=0)
    before, after = fitted.transform(X), fitted.transform(turned)
    moved = angular_error(before[:, 0], after[:, 0])
    error = np.angle(np.exp(1j * (moved - turn)))
    assert np.degrees(np.abs(error)).max() < 1
    # there is one thing to tell beside the angle; the second latent is noise
    assert np.abs(after - before)[:, 3].mean() < 0.05


def test_rot90_turns_the_angle_by_minus_a_quarter(fitted, cells):
    before = fitted.transform(cells[0])
    after = fitted.transform(np.rot90(cells[0], 1, axes=(1, 2)))
    step = np.angle(np.exp(1j * (after[:, 0] - before[:, 0])))
    np.testing.assert_allclose(step, -np.pi / 2, atol=1e-4)
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-4)
    # the offset turns with the patch
    np.testing.assert_allclose(after[:, 1], -before[:, 2], atol=1e-4)
    np.testing.assert_allclose(after[:, 2], before[:, 1], atol=1e-4)


def test_columns(fitted, cells):
    found = fitted.transform(cells[0])
    assert found.dtype == np.float32
    assert found[:, 0].min() >= -np.pi
    assert found[:, 0].max() < np.pi
    names = ["angle", "offset_row", "offset_col", "latent0", "latent1"]
    assert list(fitted.get_feature_names_out()) == names
    without = clone(fitted).set_params(translation=False, latent_dim=3).fit(cells[0])
    assert without.transform(cells[0]).shape == (200, 4)
    assert list(without.get_feature_names_out())[:2] == ["angle", "latent0"]


def test_latents_hold_the_brightness_and_not_the_angle(fitted, cells):
    X, angle, brightness = cells
    latents = fitted.transform(X)[:, 3:]
    assert np.abs(np.corrcoef(latents[:, 0], brightness)[0, 1]) > 0.99
    np.testing.assert_allclose(latents.std(axis=0), 1, rtol=0.05)
    quarter = np.floor(np.mod(angle, 2 * np.pi) / (np.pi / 2))
    assert cross_val_score(LogisticRegression(), latents, quarter).mean() < 0.4


def test_rows_and_stacks_are_the_same(fitted, cells):
    X = cells[0]
    rows = X.reshape(len(X), -1)
    again = clone(fitted).fit(rows)
    np.testing.assert_array_equal(again.transform(rows), fitted.transform(X))
    with pytest.raises(ValueError, match=f"but {type(fitted).__name__} was fitted on"):
        fitted.transform(np.zeros((3, 16, 64)))
    oblong = clone(fitted).set_params(patch_shape=(16, 64)).fit(rows)
    assert oblong.patch_shape_ == (16, 64)
    assert np.isfinite(oblong.transform(rows)).all()


def test_a_patch_does_not_hang_on_its_batch(fitted, cells):
    together = fitted.transform(cells[0])
    alone = np.vstack([fitted.transform(cells[0][i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], atol=1e-6)


def test_they_take_the_place_of_the_vae_in_a_pipeline(fitted, cells):
    pipeline = make_pipeline(
        clone(fitted), AngleAwareScaler(), GaussianMixture(2, random_state=0)
    )
    rows = cells[0].reshape(200, -1)
    labels = pipeline.fit_predict(rows)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(pipeline)).predict(rows), labels
    )


def test_constant_patches_do_not_break_the_fit(fitted):
    with np.errstate(all="ignore"):
        found = clone(fitted).fit_transform(np.ones((10, 8, 8)))
    assert np.isfinite(found).all()


def test_alignment_draws_the_patches_as_posed(cells):
    X, _, _ = cells
    rows = X.reshape(len(X), -1)
    alignment = MultiReferenceAlignment(random_state=0).fit(X)
    columns = alignment.transform(X)
    drawn = alignment.inverse_transform(columns)
    assert drawn.shape == rows.shape
    # bilinear interpolation, twice, costs more than the noise of 0.02
    assert (rows - drawn).std() < 0.2 * rows.std()
    columns[:, 0] += np.pi
    assert (rows - alignment.inverse_transform(columns)).std() > 0.3 * rows.std()
    nowhere = np.zeros((1, 5))
    np.testing.assert_array_equal(
        alignment.template_, alignment.inverse_transform(nowhere).reshape(32, 32)
    )


@pytest.mark.parametrize("shift", [(0.4, 0.0), (-0.2, 0.3)])
def test_alignment_finds_the_offset(cells, shift):
    alignment = MultiReferenceAlignment(random_state=0).fit(cells[0])
    still = alignment.transform(draw_cells(80, seed=7)[0])
    moved = alignment.transform(draw_cells(80, seed=7, shift=shift)[0])
    found = (moved - still)[:, 1:3].mean(axis=0)
    np.testing.assert_allclose(found, shift, atol=0.08)


def test_alignment_is_seeded(cells):
    first, second = (
        MultiReferenceAlignment(random_state=1).fit_transform(cells[0])
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_a_moment_of_higher_angular_order_knows_the_angle_modulo_its_fold(cells):
    X, angle, _ = cells
    found = AngularMoments(moment=(4, 4)).fit_transform(X)[:, 0]
    assert np.abs(found).max() <= np.pi / 4
    error = angular_error(angle, found, n_fold=4, register=True)
    assert np.degrees(np.abs(error)).max() < 3


def test_moments_do_not_see_brightness_or_background():
    X, _, _ = draw_cells(40, seed=3)
    moments = AngularMoments().fit(X)
    angle = moments.transform(X)[:, 0]
    np.testing.assert_allclose(
        moments.transform(3 * X + 5)[:, 0], angle, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("moment", [(3, 0), (3, 2), (2, 3), (15, 1), (3,), ("a", 1)])
def test_moments_that_do_not_exist_are_refused(moment):
    with pytest.raises(ValueError, match="is not a valid order"):
        AngularMoments(moment=moment).fit(np.random.RandomState(0).rand(9, 64))


def test_refusals(fitted, cells):
    with pytest.raises(ValueError, match=r"1 sample\(s\)"):
        clone(fitted).fit(cells[0][:1])
    with pytest.raises(ValueError, match="does not match"):
        clone(fitted).set_params(patch_shape=(3, 3)).fit(np.zeros((9, 64)))
    with pytest.raises(NotFittedError):
        clone(fitted).transform(cells[0])
    with pytest.raises(NotFittedError):
        clone(fitted).get_feature_names_out()
    with pytest.raises(ValueError, match="Expected 5 columns"):
        MultiReferenceAlignment().fit(cells[0]).inverse_transform(np.zeros((3, 4)))
