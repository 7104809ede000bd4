import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import RobustScaler

from sklearn_ferroic.metrics import circular_mean
from sklearn_ferroic.preprocessing import AngleAwareScaler

NAMES = ["angle", "offset_row", "offset_col", "latent0", "latent1"]


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    angle = rng.uniform(-np.pi, np.pi, 50)
    return np.column_stack(
        [angle, rng.normal([3, -2, 10, 0.1], [1, 2, 5, 0.01], (50, 4))]
    )


def test_columns_by_position(X):
    out = AngleAwareScaler().fit_transform(X)
    assert_allclose(out[:, 0], 5 * np.cos(X[:, 0]))
    assert_allclose(out[:, 1], 5 * np.sin(X[:, 0]))
    assert_allclose(
        out[:, 2:], RobustScaler(unit_variance=True).fit_transform(X[:, 3:])
    )


def test_training_statistics_scale_new_rows(X):
    scaler = AngleAwareScaler(offsets="scale").fit(X[:30])
    expected = RobustScaler(unit_variance=True).fit(X[:30, 1:]).transform(X[30:, 1:])
    assert_allclose(scaler.transform(X[30:])[:, 2:], expected)
    low, middle, high = np.percentile(X[:30, 1:], [25, 50, 75], axis=0)
    assert_allclose(scaler.center_[1:], middle)
    # 1.349: quartiles of a normal distribution of unit variance
    assert_allclose(scaler.scale_[1:], (high - low) / 1.34898, rtol=1e-5)
    assert (scaler.center_[0], scaler.scale_[0]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({}, ["angle_cos", "angle_sin", "latent0", "latent1"]),
        ({"angle": "drop"}, ["latent0", "latent1"]),
        (
            {"offsets": "scale"},
            [
                "angle_cos",
                "angle_sin",
                "offset_row",
                "offset_col",
                "latent0",
                "latent1",
            ],
        ),
        ({"angle": "drop", "offsets": "scale"}, NAMES[1:]),
        ({"translation": False}, ["angle_cos", "angle_sin", *NAMES[1:]]),
    ],
)
def test_names_and_width(X, arguments, names):
    scaler = AngleAwareScaler(**arguments)
    assert scaler.fit_transform(X).shape == (50, len(names))
    assert_array_equal(scaler.get_feature_names_out(NAMES), names)


@pytest.mark.parametrize("order", [[3, 0, 4, 2, 1], [4, 3, 2, 1, 0]])
@pytest.mark.parametrize("arguments", [{}, {"offsets": "scale"}, {"angle": "drop"}])
def test_columns_by_name_wherever_they_stand(X, order, arguments):
    table = pd.DataFrame(X, columns=NAMES)
    expected = AngleAwareScaler(**arguments).fit(table)
    scaler = AngleAwareScaler(**arguments).fit(table.iloc[:, order])
    expected_names = list(expected.get_feature_names_out())
    names = list(scaler.get_feature_names_out())
    assert sorted(names) == sorted(expected_names)
    out = scaler.transform(table.iloc[:, order])[
        :, [names.index(n) for n in expected_names]
    ]
    assert_allclose(out, expected.transform(table))
    assert scaler.angle_index_ == order.index(0)
    if arguments.get("offsets") == "scale":
        assert names[2:4] == ["offset_row", "offset_col"]


def test_names_overrule_translation(X):
    table = pd.DataFrame(
        X, columns=["angle", "latent0", "latent1", "latent2", "latent3"]
    )
    assert AngleAwareScaler(translation=True).fit_transform(table).shape == (50, 6)


def test_names_without_angle_are_all_scaled(X):
    """The columns of PCA, named by set_output, have neither angle nor offsets."""
    table = pd.DataFrame(X, columns=[f"pca{i}" for i in range(5)])
    for angle in ("encode", "drop"):
        scaler = AngleAwareScaler(angle=angle).fit(table)
        assert_allclose(
            scaler.transform(table), RobustScaler(unit_variance=True).fit_transform(X)
        )
        assert_array_equal(scaler.get_feature_names_out(), table.columns)
        assert scaler.angle_index_ is None
        assert scaler.angle_mean_ is None
        assert_allclose(scaler.inverse_transform(scaler.transform(table)), X)


@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_few_columns_have_no_offsets(X, n_features):
    scaler = AngleAwareScaler().fit(X[:, :n_features])
    assert scaler.transform(X[:, :n_features]).shape == (50, n_features + 1)
    assert len(scaler.offset_indices_) == 0


def test_neighbours_across_the_cut_stay_neighbours():
    X = np.column_stack([[np.pi - 0.01, -np.pi + 0.01, 0.0], [1, 1, 1]])
    out = AngleAwareScaler(angle_weight=3).fit_transform(X)
    assert np.linalg.norm(out[0] - out[1]) == pytest.approx(0.06, rel=1e-3)
    assert np.linalg.norm(out[0] - out[2]) == pytest.approx(6, rel=1e-3)


@pytest.mark.parametrize("n_fold", [2, 3, 4])
def test_equivalent_orientations_fall_together(X, n_fold):
    turned = X.copy()
    turned[:, 0] += 2 * np.pi / n_fold
    scaler = AngleAwareScaler(n_fold=n_fold).fit(X)
    assert_allclose(scaler.transform(turned), scaler.transform(X), atol=1e-12)
    turned[:, 0] += np.pi / n_fold
    assert not np.allclose(scaler.transform(turned), scaler.transform(X))


def test_constant_column_becomes_zero(X):
    X[:, 3] = 0.1
    scaler = AngleAwareScaler().fit(X)
    assert_allclose(scaler.transform(X)[:, 2], 0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_fold", [1, 4])
def test_inverse_transform_gives_columns_back(X, dtype, n_fold):
    X[:, 0] /= n_fold
    X[0, 0] = -np.pi / n_fold
    X = X.astype(dtype)
    scaler = AngleAwareScaler(offsets="scale", angle_weight=0.3, n_fold=n_fold).fit(X)
    back = scaler.inverse_transform(scaler.transform(X))
    assert back.dtype == dtype
    half = dtype(np.pi / n_fold)
    assert ((back[:, 0] >= -half) & (back[:, 0] < half)).all()
    tolerance = 20 * np.finfo(dtype).eps
    turn = np.exp(1j * n_fold * (back[:, 0].astype(float) - X[:, 0]))
    assert_allclose(turn, 1, atol=tolerance)
    assert_allclose(back[:, 1:], X[:, 1:], rtol=tolerance, atol=10 * tolerance)


def test_inverse_transform_fills_what_was_dropped(X):
    X[:, 0] = np.tile([3.0, -3.0], 25)
    scaler = AngleAwareScaler(angle="drop").fit(X)
    back = scaler.inverse_transform(scaler.transform(X))
    assert_allclose(back[:, 0], -np.pi)
    assert_allclose(back[:, 1:3], np.tile(np.median(X[:, 1:3], axis=0), (50, 1)))
    assert_allclose(back[:, 3:], X[:, 3:])


def test_training_angles_without_a_mean_are_filled_with_zero(X):
    X[:, 0] = np.tile([0.0, -np.pi], 25)
    scaler = AngleAwareScaler(angle="drop").fit(X)
    assert scaler.angle_mean_ == 0
    assert_array_equal(scaler.inverse_transform(scaler.transform(X))[:, 0], 0)


def test_means_of_a_mixture_go_back_to_angles():
    rng = np.random.default_rng(0)
    variant = rng.integers(4, size=600)
    angle = np.pi / 2 * variant - np.pi + 0.2 * rng.normal(size=600)
    X = np.column_stack([angle, rng.normal(size=(600, 4))])
    scaler = AngleAwareScaler(angle_weight=3).fit(X)
    mixture = GaussianMixture(4, random_state=0).fit(scaler.transform(X))
    labels = mixture.predict(scaler.transform(X))
    assert adjusted_rand_score(variant, labels) > 0.95
    angles = scaler.inverse_transform(mixture.means_)[:, 0]
    for label, found in enumerate(angles):
        assert found == pytest.approx(circular_mean(angle[labels == label]), abs=0.02)


def test_float32_is_kept_and_accurate(X):
    exact = AngleAwareScaler(n_fold=4).fit_transform(X.astype(np.float32).astype(float))
    out = AngleAwareScaler(n_fold=4).fit_transform(X.astype(np.float32))
    assert out.dtype == np.float32
    assert_allclose(out, exact, rtol=1e-6, atol=1e-6)


def test_nothing_left_is_refused(X):
    with pytest.raises(ValueError, match=r"1 feature\(s\).*leave none.*angle='encode'"):
        AngleAwareScaler(angle="drop").fit(X[:, :1])
    scaler = AngleAwareScaler(angle="drop")
    with pytest.raises(ValueError, match="leave none"):
        scaler.fit(pd.DataFrame(X[:, :3], columns=NAMES[:3]))
    with pytest.raises(NotFittedError):
        scaler.transform(X[:, :3])


def test_bad_input_is_refused(X):
    scaler = AngleAwareScaler().fit(X)
    with pytest.raises(ValueError, match="X has 4 features, but AngleAwareScaler"):
        scaler.transform(X[:, :4])
    with pytest.raises(ValueError, match=r"X has 5 columns, but .*transform gives 4"):
        scaler.inverse_transform(X)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        AngleAwareScaler().fit(csr_array(X))
    with pytest.raises(NotFittedError):
        AngleAwareScaler().inverse_transform(X)
    X[3, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        scaler.transform(X)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("angle", "raw"),
        ("offsets", "keep"),
        ("angle_weight", 0),
        ("n_fold", 0),
        ("n_fold", 2.0),
        ("translation", "yes"),
    ],
)
def test_bad_parameters_are_refused(X, parameter, value):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter"):
        AngleAwareScaler(**{parameter: value}).fit(X)


def test_an_angle_in_degrees_is_warned_of():
    X = pd.DataFrame(
        {"angle": np.linspace(-180, 170, 36), "latent0": np.arange(36) % 5}
    )
    with pytest.warns(UserWarning, match="Convert degrees with numpy.radians"):
        AngleAwareScaler().fit(X)
    AngleAwareScaler().fit(X.assign(angle=np.radians(X["angle"])))
