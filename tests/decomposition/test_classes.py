"""Classes, labels and conditions of RotationalVAE."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import adjusted_rand_score

from sklearn_ferroic import RotationalVAE, RotationalVAEEnsemble
from sklearn_ferroic.decomposition._rvae.factors import class_fit
from sklearn_ferroic.decomposition._rvae.factors.checks import check_labels
from sklearn_ferroic.metrics import latent_leakage_score

SIDE = 25


def draw_cells(kinds, angles, rng, *, thickness=None, noise=0.05, displacement=1.5):
    """Draw cells of a square lattice whose central column is displaced.

    Cells of kind 1 have brighter corners. The corners and the centre become brighter
    with the thickness.
    """
    row, col = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    thickness = np.zeros(len(kinds)) if thickness is None else thickness
    cells = np.empty((len(kinds), SIDE, SIDE))
    for cell, kind, angle, thick in zip(cells, kinds, angles, thickness, strict=True):
        cell[:] = 0
        for d_row in (-8, 8):
            for d_col in (-8, 8):
                spot = np.exp(-((row - d_row) ** 2 + (col - d_col) ** 2) / 8)
                cell += (1 + 0.6 * kind + thick) * spot
        center = displacement * np.array([np.sin(angle), np.cos(angle)])
        spot = np.exp(-((row - center[0]) ** 2 + (col - center[1]) ** 2) / 8)
        cell += (0.6 + thick) * spot
    return cells + rng.normal(0, noise, cells.shape)


@pytest.fixture(scope="module")
def cells():
    rng = np.random.RandomState(0)
    kinds = rng.randint(2, size=240)
    angles = np.pi / 4 + np.pi / 2 * rng.randint(4, size=240)
    return draw_cells(kinds, angles, rng), kinds, angles


@pytest.fixture(scope="module")
def fitted(cells):
    return RotationalVAE(n_classes=2, max_epochs=4, random_state=0).fit(cells[0])


def test_classes_are_found_without_labels(cells, fitted):
    X, kinds, _ = cells
    assert adjusted_rand_score(kinds, fitted.predict(X)) == 1
    names = fitted.get_feature_names_out().tolist()
    assert names[-2:] == ["class0", "class1"]
    columns = fitted.transform(X)
    assert columns.shape == (240, len(names))
    np.testing.assert_allclose(columns[:, -2:].sum(axis=1), 1, rtol=1e-5)
    shares = fitted.class_shares_
    assert shares[0] >= shares[1]
    np.testing.assert_allclose(np.sort(shares), np.sort(np.bincount(kinds) / 240), 1e-3)


def test_variants_are_no_classes(cells):
    X, kinds, _ = cells
    vae = RotationalVAE(n_classes=4, max_epochs=1, random_state=0).fit(X[kinds == 0])
    np.testing.assert_array_equal(vae.class_shares_, [1, 0, 0, 0])
    assert (vae.predict(X[kinds == 0]) == 0).all()


def test_unneeded_classes_are_empty_and_auto_leaves_them_out(cells):
    X = cells[0]
    four = RotationalVAE(n_classes=4, max_epochs=1, random_state=0).fit(X)
    assert np.count_nonzero(four.class_shares_) == 2
    assert (four.transform(X)[:, -2:] == 0).all()
    auto = clone(four).set_params(n_classes="auto").fit(X)
    assert auto.get_feature_names_out().tolist()[-2:] == ["class0", "class1"]
    np.testing.assert_array_equal(auto.predict(X), four.predict(X))


def test_classes_are_certain_where_they_are_right(cells, fitted):
    assert fitted.n_classes_range_ == (2, 2)
    assert fitted.uncertain_class_share_ == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RotationalVAE(n_classes="auto", max_epochs=1, random_state=0).fit(cells[0])


@pytest.mark.parametrize(
    ("brighter", "n_found", "number_range"),
    [(0.02, 1, (1, 1)), (0.07, 1, (1, 2)), (0.08, 2, (1, 2)), (0.2, 2, (2, 2))],
)
def test_weak_evidence_for_classes_is_a_warning(brighter, n_found, number_range):
    """Kinds whose corners differ by 2 to 20 % in brightness."""
    rng = np.random.RandomState(0)
    kinds = np.arange(240) % 2
    angles = np.pi / 4 + np.pi / 2 * rng.randint(4, size=240)
    X = draw_cells(brighter / 0.6 * kinds, angles, rng)
    vae = RotationalVAE(n_classes=3, max_epochs=1, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vae.fit(X)
    assert np.count_nonzero(vae.class_shares_) == n_found
    assert vae.n_classes_range_ == number_range
    messages = [str(warning.message) for warning in caught]
    if number_range[0] < number_range[1]:
        assert len(messages) == 1
        assert "evidence for 1 to 2 classes is similar" in messages[0]
        assert "label a few patches" in messages[0]
        assert caught[0].filename == __file__
    else:
        assert not messages


@pytest.mark.parametrize("n_classes", [3, "auto"])
def test_an_ensemble_warns_once_of_uncertain_classes(n_classes):
    rng = np.random.RandomState(0)
    kinds = np.arange(240) % 2
    angles = np.pi / 4 + np.pi / 2 * rng.randint(4, size=240)
    X = draw_cells(0.075 / 0.6 * kinds, angles, rng)
    member = RotationalVAE(n_classes=n_classes, max_epochs=1)
    ensemble = RotationalVAEEnsemble(estimator=member, n_estimators=4, random_state=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ensemble.fit(X)
    assert len(caught) == 1
    assert "evidence for 1 to" in str(caught[0].message)
    assert caught[0].filename == __file__
    numbers = [np.count_nonzero(one.class_shares_) for one in ensemble.estimators_]
    assert len(set(numbers)) > 1
    columns, std = ensemble.transform_with_std(X)
    names = ensemble.get_feature_names_out()
    assert columns.shape == std.shape == (240, len(names))
    shares = columns[:, [name.startswith("class") for name in names]]
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)


def test_many_classes_are_not_tried_in_vain(cells, monkeypatch):
    tried = []
    start = class_fit._best_start

    def record(components, log_shares, first, number, *rest):
        tried.append(number)
        return start(components, log_shares, first, number, *rest)

    monkeypatch.setattr(class_fit, "_best_start", record)
    X, kinds, _ = cells
    vae = RotationalVAE(n_classes=500, max_epochs=1, random_state=0).fit(X)
    assert tried == list(range(1, 9))
    assert adjusted_rand_score(kinds, vae.predict(X)) == 1


def test_rotated_patches_have_the_same_class_and_latents(cells, fitted):
    X = cells[0]
    before, after = fitted.transform(X), fitted.transform(np.rot90(X, 1, (1, 2)))
    turn = np.angle(np.exp(1j * (after[:, 0] - before[:, 0] + np.pi / 2)))
    assert np.abs(turn).max() < 1e-3
    np.testing.assert_allclose(after[:, 3:], before[:, 3:], atol=1e-4)


def test_every_class_has_its_own_canonical_image(cells, fitted):
    X, kinds, _ = cells
    images = fitted.decode(np.zeros((2, 2)), np.eye(2))
    bright = 1 - np.round(kinds[fitted.predict(X) == 0].mean()).astype(int)
    corners = images[:, 4, 4]
    assert corners[bright] / corners[1 - bright] == pytest.approx(1.6, abs=0.1)
    rebuilt = fitted.inverse_transform(fitted.transform(X))
    residual = (rebuilt - X.reshape(240, -1)).std()
    assert residual < 1.3 * 0.05


def test_score_prefers_two_classes_and_is_a_density(cells):
    X = cells[0]
    scores = [
        RotationalVAE(n_classes=number, latent_dim=1, max_epochs=6, random_state=0)
        .fit(X)
        .score(X)
        for number in (1, 2)
    ]
    assert scores[1] > scores[0]
    # that of white noise of the true standard deviation is an upper limit
    assert scores[1] < -0.5 * np.log(2 * np.pi * np.e * 0.05**2)


def test_labels_number_the_classes_and_are_kept(cells):
    X, kinds, _ = cells
    y = np.full(240, -1)
    for kind, label in ((0, 7), (1, 3)):
        y[np.flatnonzero(kinds == kind)[:5]] = label
    vae = RotationalVAE(n_classes=2, max_epochs=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(vae.classes_, [3, 7])
    np.testing.assert_array_equal(vae.predict(X), np.where(kinds, 3, 7))


def test_labels_separate_what_the_evidence_does_not():
    rng = np.random.RandomState(1)
    kinds = rng.randint(2, size=200)
    # corners brighter by 6 % only, less than the thickness changes them
    thickness = rng.uniform(0, 0.5, 200)
    X = draw_cells(0.15 * kinds, rng.uniform(-3, 3, 200), rng, thickness=thickness)
    vae = RotationalVAE(n_classes=2, max_epochs=1, random_state=0)
    unlabelled = adjusted_rand_score(kinds, clone(vae).fit(X).predict(X))
    y = np.where(np.arange(200) < 20, kinds, -1)
    with pytest.warns(UserWarning, match="no class of probability 0.9"):
        vae.fit(X, y)
    assert vae.uncertain_class_share_ > 0.03
    labelled = adjusted_rand_score(kinds[20:], vae.predict(X)[20:])
    assert unlabelled < 0.2
    assert labelled > 0.9


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"n_classes": 2, "encoder": "dense"}, None, "n_classes=2 requires encoder="),
        ({"n_classes": 2, "decoder": "coordinate"}, None, "requires decoder="),
        ({"n_conditions": 1, "encoder": "dense"}, None, "n_conditions=1 requires"),
        ({"n_classes": 2}, np.arange(30) % 3, "3 different labels, more than"),
        ({"n_classes": 2}, np.arange(30) / 7, "integer labels"),
        ({"n_classes": 2}, np.zeros(7, int), "inconsistent numbers of samples"),
    ],
)
def test_what_does_not_apply_is_refused(parameters, y, message):
    X = np.random.RandomState(0).rand(30, 25)
    with pytest.raises(ValueError, match=message):
        RotationalVAE(**parameters).fit(X, y)


def test_three_dimensional_patches_have_no_conditions():
    X = np.random.RandomState(0).rand(30, 5, 5)
    with pytest.raises(ValueError, match="conditions in the last columns"):
        RotationalVAE(n_conditions=1).fit(X)


def test_conditions_are_not_in_the_latents():
    rng = np.random.RandomState(2)
    thickness = rng.uniform(0, 0.8, 200)
    angles = np.pi / 4 + np.pi / 2 * rng.randint(4, size=200)
    X = draw_cells(np.zeros(200), angles, rng, thickness=thickness).reshape(200, -1)
    third = np.digitize(thickness, np.quantile(thickness, [1 / 3, 2 / 3]))
    leakages, bounds = [], []
    for given in (X, np.column_stack([X, 1e3 * thickness])):
        vae = RotationalVAE(
            latent_dim=1,
            n_conditions=given.shape[1] - X.shape[1],
            max_epochs=8,
            random_state=0,
        ).fit(given)
        assert vae.n_features_in_ == given.shape[1]
        latents = vae.transform(given)[:, 3:]
        leakages.append(latent_leakage_score(latents, third, target_type="variant"))
        bounds.append(vae.score(given))
    assert leakages[0] > 0.5
    assert leakages[1] < 0.1
    # the thickness of another patch explains less
    wrong = np.column_stack([X, 1e3 * thickness[::-1]])
    assert vae.score(wrong) < bounds[1]


def test_known_angles_are_checked(cells):
    X = cells[0]
    vae = RotationalVAE(max_epochs=1, random_state=0)
    with pytest.raises(ValueError, match="radians"):
        vae.fit(X, angle=np.full(240, 90.0))
    with pytest.raises(ValueError, match="encoder='invariant'"):
        clone(vae).set_params(encoder="dense").fit(X, angle=np.zeros(240))
    # these cells show less than two unit cells, and no polarization in a lattice
    known = np.where(np.arange(240) < 20, cells[2], np.nan)
    with pytest.warns(UserWarning, match="known angles are not used"):
        vae.fit(X, angle=known)


def missing_labels(kinds):
    """Return the first thirty labels in all forms in which the others are missing."""
    known = np.arange(len(kinds)) < 30
    numbers = pd.Series(kinds).where(known)
    return {
        "-1": np.where(known, kinds, -1),
        "NaN": np.where(known, kinds, np.nan),
        "list": np.where(known, kinds, np.nan).tolist(),
        "series": numbers,
        "nullable": numbers.astype("Int64"),
        "category": pd.Series(pd.Categorical(numbers)),
    }


@pytest.mark.parametrize("form", missing_labels(np.zeros(40, int)))
def test_missing_labels_are_unknown(form):
    kinds = np.random.RandomState(0).randint(2, size=40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels, classes = check_labels(missing_labels(kinds)[form], 40, 3)
    np.testing.assert_array_equal(labels, missing_labels(kinds)["-1"])
    assert classes == [0, 1]


def test_missing_labels_reach_the_model(cells):
    X, kinds, _ = cells
    vae = RotationalVAE(n_classes=2, max_epochs=1, random_state=0)
    labels = missing_labels(kinds)
    vae.fit(X, labels["NaN"])
    np.testing.assert_array_equal(vae.predict(X), kinds)
    columns = vae.transform(X)
    np.testing.assert_array_equal(vae.fit(X, labels["-1"]).transform(X), columns)


@pytest.mark.parametrize(
    "wrong", [np.inf, -np.inf, -2, 0.5, 1e300, "a", pd.Timestamp(0)]
)
def test_values_that_are_not_labels_are_refused(wrong):
    y = np.array([0, 1, wrong, 1])
    with warnings.catch_warnings(), pytest.raises(ValueError, match="integer labels"):
        warnings.simplefilter("error")
        check_labels(y, 4, 3)


def test_masked_labels_and_columns():
    masked = np.ma.array([0, 1, 2, 0], mask=[0, 0, 1, 0])
    with pytest.raises(ValueError, match="y is a masked array with 1 masked value"):
        check_labels(masked, 4, 3)
    with pytest.warns(DataConversionWarning):
        labels, _ = check_labels(np.array([[0], [1], [-1], [2]]), 4, 3)
    np.testing.assert_array_equal(labels, [0, 1, -1, 2])


def test_labels_do_not_change_the_default():
    X = np.random.RandomState(0).rand(40, 9, 9)
    y = np.arange(40) % 2
    first, second = (
        RotationalVAE(max_epochs=1, random_state=0).fit(X, labels)
        for labels in (None, y)
    )
    assert not hasattr(first, "classes_")
    assert not hasattr(first, "predict")
    assert first.weights_.keys() == second.weights_.keys()
    for name, value in first.weights_.items():
        np.testing.assert_array_equal(value, second.weights_[name])


def test_classes_survive_a_checkpoint_and_a_warm_start(cells, tmp_path):
    X, kinds, _ = cells
    y = np.where(np.arange(240) < 10, kinds + 5, -1)
    path = tmp_path / "state.pt"
    vae = RotationalVAE(n_classes=2, max_epochs=1, random_state=0, checkpoint=path)
    vae.fit(X, y)
    restored = RotationalVAE.from_checkpoint(path)
    np.testing.assert_array_equal(restored.classes_, [5, 6])
    np.testing.assert_array_equal(restored.transform(X), vae.transform(X))
    with pytest.raises(ValueError, match="other data"):
        clone(vae).fit(X)
    vae.set_params(checkpoint=None, warm_start=True).fit(X)
    np.testing.assert_array_equal(vae.predict(X), kinds + 5)


def test_a_new_fit_forgets_the_classes_of_the_previous_one(cells):
    X, kinds, _ = cells
    vae = RotationalVAE(n_classes=2, max_epochs=1, random_state=0)
    labels = np.full(len(X), -1)
    labels[:20] = np.where(kinds[:20] == 1, 7, 4)
    assert set(vae.fit(X, labels).predict(X)) == {4, 7}
    np.testing.assert_array_equal(vae.fit(X).classes_, [0, 1])
    vae.set_params(n_classes=3).fit(X)
    np.testing.assert_array_equal(vae.classes_, [0, 1, 2])
    assert set(vae.predict(X)) <= {0, 1, 2}
    vae.set_params(n_classes=None).fit(X)
    for name in ("classes_", "class_shares_", "n_classes_range_"):
        assert not hasattr(vae, name)
    assert not hasattr(vae, "uncertain_class_share_")


def test_a_training_that_is_continued_keeps_its_labels(cells):
    X, kinds, _ = cells
    vae = RotationalVAE(n_classes=2, max_epochs=1, random_state=0, warm_start=True)
    labels = np.full(len(X), -1)
    labels[:20] = np.where(kinds[:20] == 1, 7, 4)
    vae.fit(X, labels).fit(X)
    np.testing.assert_array_equal(vae.classes_, [4, 7])


@pytest.fixture
def started(cells):
    """A model that was fitted with the labels 4 and 7 of twenty patches."""
    X, kinds, _ = cells
    labels = np.full(len(X), -1)
    labels[:20] = np.where(kinds[:20] == 1, 7, 4)
    vae = RotationalVAE(n_classes=3, max_epochs=1, random_state=0, warm_start=True)
    return vae.fit(X, labels), labels


@pytest.mark.parametrize("n_classes", [3, "auto"])
def test_a_warm_start_with_other_patches_has_their_shares(cells, n_classes):
    X, kinds, _ = cells
    vae = RotationalVAE(
        n_classes=n_classes, max_epochs=1, random_state=0, warm_start=True
    ).fit(X)
    number_range, columns = vae.n_classes_range_, vae.transform(X).shape
    bright = int(vae.predict(X[kinds == 1])[0])
    rows = np.concatenate([np.flatnonzero(kinds == 1), np.flatnonzero(kinds == 0)[:30]])
    vae.fit(X[rows])
    share = np.mean(kinds[rows])
    assert vae.class_shares_[bright] == pytest.approx(share, abs=1e-3)
    assert vae.class_shares_.sum() == pytest.approx(1)
    assert (vae.predict(X) == np.where(kinds == 1, bright, 1 - bright)).all()
    assert vae.transform(X).shape == columns
    assert vae.n_classes_range_ == number_range
    # a class that no patch is of can occur again
    vae.fit(X[kinds == 1])
    assert vae.class_shares_[bright] > 0.999
    assert (vae.predict(X) == np.where(kinds == 1, bright, 1 - bright)).all()


def test_patches_of_no_class_are_warned_of_by_a_warm_start(cells):
    X = cells[0]
    rng = np.random.RandomState(1)
    vae = RotationalVAE(n_classes=2, max_epochs=1, random_state=0, warm_start=True)
    vae.fit(X)
    assert vae.uncertain_class_share_ < 0.01
    between = draw_cells(np.full(100, 0.5), rng.choice(cells[2], 100), rng)
    with pytest.warns(UserWarning, match="The classes are uncertain"):
        vae.fit(np.concatenate([X[:40], between]))
    assert vae.uncertain_class_share_ > 0.1


def test_what_is_known_does_not_change_in_a_training_that_continues(cells, started):
    X, kinds, angles = cells
    vae, labels = started
    before = vae.weights_
    for y in (labels + 1, kinds, np.where(np.arange(240) == 3, 0, -1)):
        for train in (vae.fit, vae.partial_fit):
            with pytest.raises(ValueError, match="y is used when a training starts"):
                train(X, y)
    known = np.where(np.arange(240) < 12, angles, np.nan)
    with pytest.raises(ValueError, match="angle is used when a training starts"):
        vae.fit(X, labels, angle=known)
    assert vae.weights_ is before
    # the same, none that is known, and what other steps of a pipeline use
    for y in (labels, None, np.full(240, -1), np.zeros((240, 2))):
        vae.fit(X, y)
    np.testing.assert_array_equal(vae.classes_[:2], [4, 7])
    with pytest.raises(ValueError, match="integer labels"):
        vae.fit(X, np.full(240, 0.5))


@pytest.mark.filterwarnings("ignore:The known angles are not used")
def test_known_angles_may_be_repeated_in_a_warm_start(cells, tmp_path):
    X, _, angles = cells
    known = np.where(np.arange(240) < 12, angles, np.nan)
    path = tmp_path / "state.npz"
    vae = RotationalVAE(max_epochs=1, random_state=0, checkpoint=path)
    vae.fit(X, angle=known)
    for fitted in (vae, RotationalVAE.from_checkpoint(path)):
        fitted.set_params(checkpoint=None, warm_start=True)
        fitted.fit(X, angle=known).fit(X)
        with pytest.raises(ValueError, match="angle is used when a training starts"):
            fitted.fit(X, angle=known + 0.1)
        fitted.set_params(warm_start=False).fit(X, angle=known + 0.1)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("n_classes", [2, "auto"])
def test_constant_patches_are_of_one_class(n_classes):
    vae = RotationalVAE(n_classes=n_classes, max_epochs=1, random_state=0)
    vae.fit(np.full((40, 441), 5.0))
    assert vae.class_shares_[0] == 1
    assert not vae.class_shares_[1:].any()
