import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.svm import SVC

from sklearn_ferroic.inspection import SearchResultsDisplay
from sklearn_ferroic.inspection._drawing.colors import NEUTRAL_RGB

draw = SearchResultsDisplay.from_cv_results


def results(params, mean, std=None, **others):
    std = np.full(len(params), 0.03) if std is None else std
    table = {"params": list(params), "mean_test_score": np.asarray(mean)}
    return table | {"std_test_score": np.asarray(std)} | others


GRID = [{"a": a, "b": b} for a in (10, 2, 30) for b in ("x", None)]
MEAN = [0.1, 0.5, 0.3, 0.9, 0.2, 0.4]


def tick_texts(display):
    return [
        [label.get_text() for label in labels]
        for labels in (display.ax_.get_xticklabels(), display.ax_.get_yticklabels())
    ]


@pytest.fixture(scope="module")
def search():
    grid = {"C": [0.1, 1.0], "gamma": [0.01, 0.1, 1], "kernel": ["rbf", "sigmoid"]}
    return GridSearchCV(SVC(), grid, cv=3).fit(*load_iris(return_X_y=True))


def test_cells_texts_and_ticks():
    """Numbers ascend, other values keep their order."""
    display = draw(results(GRID, MEAN, [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]))
    assert display.params == ("a", "b")
    assert tick_texts(display) == [["2", "10", "30"], ["x", "None"]]
    np.testing.assert_array_equal(
        display.image_.get_array(), [[0.3, 0.1, 0.2], [0.9, 0.5, 0.4]]
    )
    assert display.texts_[0, 1].get_text() == "0.100\n± 0.010"
    assert display.texts_[1, 2].get_text() == "0.400\n± 0.060"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("a", "b")
    assert display.ax_.get_title() == ""


def test_steps_are_left_out_where_names_differ():
    steps = [
        ("a__size", "b__size", "c__n__alpha"),
        ("a__size", "b__dim", "c__n__alpha"),
    ]
    shown = [("a__size", "b__size", "alpha"), ("size", "dim", "alpha")]
    for names, texts in zip(steps, shown, strict=True):
        grid = list(ParameterGrid({name: [1, 2] for name in names}))
        display = draw(results(grid, np.arange(8.0)), params=names[:2])
        assert display.params == names[:2]
        assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == texts[:2]
        assert display.ax_.get_title() == f"best over\n{texts[2]}"


def test_best_cell_is_framed():
    display = draw(results(GRID, MEAN))
    assert display.best_index_ == (1, 0)
    assert display.best_.get_xy() == (-0.5, 0.5)
    weights = [text.get_weight() for text in display.texts_.ravel()]
    assert weights == ["normal"] * 3 + ["bold"] + ["normal"] * 2


def test_other_parameters_are_at_their_best(search):
    display = SearchResultsDisplay.from_estimator(search, params=("gamma", "C"))
    table = search.cv_results_
    for row, c in enumerate([0.1, 1.0]):
        for col, gamma in enumerate([0.01, 0.1, 1]):
            same = [(p["C"], p["gamma"]) == (c, gamma) for p in table["params"]]
            best = np.flatnonzero(same)[np.argmax(table["mean_test_score"][same])]
            assert display.mean[row, col] == table["mean_test_score"][best]
            assert display.std[row, col] == table["std_test_score"][best]
    assert tick_texts(display) == [["0.01", "0.1", "1"], ["0.1", "1"]]
    assert display.ax_.get_title() == "best over\nkernel"
    row, col = display.best_index_
    assert display.x_values[col] == search.best_params_["gamma"]
    assert display.y_values[row] == search.best_params_["C"]


def test_failed_and_missing_cells(pixel_at):
    """Failed fits do not hide good ones in the same cell."""
    params = [
        {"a": 1, "b": 1, "c": 0},
        {"a": 1, "b": 1, "c": 1},
        {"a": 2, "b": 1, "c": 0},
        {"a": 2, "b": 2, "c": 0},
        {"b": 2},
    ]
    mean = [np.nan, 0.5, np.nan, 0.7, 0.99]
    display = draw(results(params, mean), params=("a", "b"))
    texts = [text.get_text() for text in display.texts_.ravel()]
    assert texts == ["0.500\n± 0.030", "failed", "not tried", "0.700\n± 0.030"]
    assert display.best_index_ == (1, 1)
    np.testing.assert_allclose(pixel_at(display.ax_, 0.6, 0.4), NEUTRAL_RGB, atol=0.02)


def test_all_failed():
    display = draw(results(GRID, np.full(6, np.nan)))
    display.figure_.canvas.draw()
    assert display.best_ is None
    assert {text.get_text() for text in display.texts_.ravel()} == {"failed"}


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (-0.51236, 0.00412, "−0.5124\n± 0.0041"),
        (1234.5, 210.0, "1234\n± 210"),
        (-3.2e-9, 1.5e-10, "−3.20e-09\n± 1.50e-10"),
    ],
)
def test_digits_follow_the_spread(mean, std, text):
    display = draw(results(GRID, np.full(6, mean), np.full(6, std)))
    assert display.texts_[0, 0].get_text().replace("e−", "e-") == text


def test_zero_has_no_sign():
    display = draw(results(GRID, np.full(6, -0.001), np.full(6, 0.1)))
    assert display.texts_[0, 0].get_text() == "0.00\n± 0.10"


def test_no_spread_takes_the_range():
    display = draw(results(GRID, MEAN, np.zeros(6)))
    assert display.texts_[0, 1].get_text() == "0.10\n± 0.00"
    constant = draw(results(GRID, np.ones(6), np.zeros(6)))
    assert constant.texts_[0, 0].get_text() == "1.0\n± 0.0"


def test_letters_contrast_with_their_cells():
    display = draw(results(GRID, MEAN))
    for row, col in np.ndindex(2, 3):
        value = display.mean[row, col]
        cell = display.image_.cmap(display.image_.norm(value))[:3]
        letters = 0.0 if display.texts_[row, col].get_color() == "black" else 1.0
        assert abs(np.dot(cell, [0.2126, 0.7152, 0.0722]) - letters) > 0.45


def test_values_need_not_be_hashable_or_short():
    params = ParameterGrid({"shape": [[1, 2], (3, 4)], "est": [SVC(), SVC(C=3)]})
    display = draw(results(params, [0.1, 0.2, 0.3, 0.4]), params=("est", "shape"))
    assert tick_texts(display) == [["SVC()", "SVC(C=3)"], ["[1, 2]", "(3, 4)"]]


def test_true_and_one_are_different_values():
    params = [{"a": a, "b": b} for a in (True, 1) for b in (-1, 0.5)]
    display = draw(results(params, [1, 2, 3, 4]))
    assert display.mean.shape == (2, 2)
    assert tick_texts(display)[1] == ["−1", "0.5"]


def test_several_scores():
    table = results(GRID, MEAN)
    table["mean_test_other"] = -np.asarray(MEAN)
    table["std_test_other"] = np.ones(6)
    with pytest.raises(ValueError, match=r"one of.*'score', 'other'.*got None"):
        draw(table)
    display = draw(table, scoring="other")
    assert display.best_index_ == (0, 1)
    assert "other" in display.colorbar_.ax.get_ylabel()
    assert display.score_name == "other"


def test_refit_names_the_score():
    scoring = ["accuracy", "f1_macro"]
    grid = {"C": [0.1, 1], "gamma": [0.1, 1]}
    search = GridSearchCV(SVC(), grid, cv=2, scoring=scoring, refit="f1_macro")
    search.fit(*load_iris(return_X_y=True))
    assert SearchResultsDisplay.from_estimator(search).score_name == "f1_macro"


def test_errors(search):
    with pytest.raises(TypeError, match=r"fitted search with cv_results_.*SVC"):
        SearchResultsDisplay.from_estimator(SVC())
    with pytest.raises(TypeError, match="GridSearchCV"):
        SearchResultsDisplay.from_estimator(GridSearchCV(SVC(), {"C": [1]}))
    with pytest.raises(ValueError, match=r"varies 3 parameter.*params=\(x, y\)"):
        SearchResultsDisplay.from_estimator(search)
    for params in [("C", "degree"), ("C", "C"), ("C",)]:
        with pytest.raises(ValueError, match="must be two of the parameters"):
            SearchResultsDisplay.from_estimator(search, params=params)
    with pytest.raises(ValueError, match="halving"):
        draw(results(GRID, MEAN, n_resources=np.ones(6)))


def test_texts_fit_their_cells():
    grid = [{"a": a, "b": b} for a in range(12) for b in range(8)]
    mean = np.random.default_rng(0).uniform(-0.6, -0.4, 96)
    display = draw(results(grid, mean, np.full(96, 0.0042)))
    display.figure_.canvas.draw()
    corners = display.ax_.transData.transform([[-0.5, -0.5], [0.5, 0.5]])
    width, height = abs(np.diff(corners, axis=0)[0])
    for text in display.texts_.ravel():
        box = text.get_window_extent()
        assert box.width < width
        assert box.height < height


def test_long_tick_labels_do_not_overlap():
    grid = [{"a": f"a long name {a}", "b": b} for a in range(6) for b in range(2)]
    display = draw(results(grid, np.arange(12.0)))
    display.figure_.canvas.draw()
    assert all(label.get_rotation() for label in display.ax_.get_xticklabels())
    short = draw(results(GRID, MEAN))
    assert not any(label.get_rotation() for label in short.ax_.get_xticklabels())


def test_given_axes_and_no_texts():
    figure, axes = plt.subplots(1, 2)
    plt.sca(axes[0])
    display = draw(results(GRID, MEAN), ax=axes[1], annotate=False)
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert display.texts_ is None
    assert display.best_.axes is axes[1]
    assert plt.gca() is axes[0]
