"""Splitters over blocks of sites."""

import copy

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomSites, PatchExtractor
from sklearn_ferroic.model_selection import (
    SpatialBlockKFold,
    SpatialShuffleSplit,
    single_split,
)
from sklearn_ferroic.model_selection._blocks import cut_into_blocks


def pixels_read(sites, window_size):
    """Numbers of all the pixels of all the windows."""
    extractor = PatchExtractor(
        window_size=window_size,
        interpolation="nearest",
        boundary="reflect",
        normalize=None,
    )
    return np.unique(extractor.transform(sites))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_splits", [2, 3, 5, 7])
@pytest.mark.parametrize("block_size", [None, 25, 70])
def test_folds_test_every_site_once_in_balance(stack, n_splits, block_size, seed):
    cv = SpatialBlockKFold(n_splits, block_size=block_size, random_state=seed)
    splits = list(cv.split(stack))
    assert len(splits) == cv.get_n_splits(stack) == n_splits
    tested = np.concatenate([test for _, test in splits])
    np.testing.assert_array_equal(np.sort(tested), np.arange(len(stack)))
    for train, test in splits:
        np.testing.assert_array_equal(
            np.sort(np.concatenate([train, test])), np.arange(len(stack))
        )
    sizes = [len(test) for _, test in splits]
    block = cut_into_blocks(
        stack.positions,
        stack.frame,
        n_parts=n_splits,
        block_size=block_size,
        guard=0,
        rng=np.random.RandomState(seed),
    )
    assert np.ptp(sizes) <= np.bincount(block).max()
    if block_size is None:
        assert np.ptp(sizes) <= 0.06 * np.mean(sizes)
    if block_size != 70:  # of which the small image has but nine
        assert all(len(np.unique(stack.frame[test])) == 3 for _, test in splits)


@pytest.mark.parametrize("n_blocks", [2, 3, 4, 5, 6, 7, 9, 20])
@pytest.mark.parametrize("tilt", [0, 0.3])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_blocks_are_equal_rectangles(lattice, n_blocks, tilt, seed):
    """No other site stands in a block, and blocks are no slivers."""
    points = lattice((300, 280), 9.7, 0, tilt)
    block = cut_into_blocks(
        points,
        np.zeros(len(points), dtype=int),
        n_parts=n_blocks,
        block_size=None,
        guard=1000,
        rng=None if seed is None else np.random.RandomState(seed),
    )
    np.testing.assert_array_equal(np.unique(block), np.arange(n_blocks))
    for number in range(n_blocks):
        members = points[block == number]
        low, high = members.min(axis=0), members.max(axis=0)
        inside = ((points >= low) & (points <= high)).all(axis=1)
        np.testing.assert_array_equal(inside, block == number)
        assert np.ptp(members, axis=0).max() < 3.5 * np.ptp(members, axis=0).min()
        assert abs(len(members) * n_blocks / len(points) - 1) < 0.3


@pytest.mark.parametrize("block_size, n_blocks", [(100, 6), (61, 15), (np.inf, 1)])
def test_block_size_is_the_side(lattice, block_size, n_blocks):
    points = lattice((310, 190), 9.7, 0)
    block = cut_into_blocks(
        points,
        np.zeros(len(points), dtype=int),
        n_parts=5,
        block_size=block_size,
        guard=0,
        rng=None,
    )
    assert block.max() + 1 == n_blocks
    sides = [np.ptp(points[block == number], axis=0) for number in range(n_blocks)]
    if np.isfinite(block_size):
        assert np.abs(np.add(sides, 9.7) - block_size).max() < 0.25 * block_size


def test_cuts_run_between_rows_of_columns(lattice):
    """A row of columns is never torn, though its columns are not quite in line."""
    points = lattice((300, 300), 9.7, 0)
    row, col = np.rint(points / 9.7 - 0.34).astype(int).T
    for seed in range(5):
        cv = SpatialBlockKFold(4, block_size=150, random_state=seed)
        for _, test in cv.split(AtomSites(np.zeros((300, 300)), points)):
            assert len(test) == len(np.unique(row[test])) * len(np.unique(col[test]))


@pytest.mark.parametrize("window_size", [12, 17])
@pytest.mark.parametrize(
    "cv",
    [
        SpatialBlockKFold(2, random_state=0),
        SpatialBlockKFold(5, random_state=1),
        SpatialBlockKFold(4, block_size=80, shuffle=False),
        SpatialShuffleSplit(4, random_state=0),
        SpatialShuffleSplit(2, test_size=0.6, block_size=90, random_state=0),
    ],
    ids=repr,
)
def test_guard_of_a_window_leaves_no_shared_pixel(stack, cv, window_size):
    """By brute force, over the pixels that the extractor reads in each image."""
    guarded = copy.deepcopy(cv)
    guarded.guard = window_size
    for train, test in guarded.split(stack):
        read = [pixels_read(stack[side], window_size) for side in (train, test)]
        assert len(np.intersect1d(*read)) == 0
        assert len(train) > 0.1 * len(stack)
    for train, test in cv.split(stack):
        read = [pixels_read(stack[side], window_size) for side in (train, test)]
        assert len(np.intersect1d(*read)) > 0


def test_random_folds_share_almost_every_pixel(stack):
    """What the splitters are for."""
    train, test = next(KFold(5, shuffle=True, random_state=0).split(stack))
    seen, tested = (pixels_read(stack[side], 24) for side in (train, test))
    assert len(np.intersect1d(seen, tested)) > 0.95 * len(tested)


def test_guard_leaves_out_just_the_near_sites(stack):
    """Chebyshev, within the image, and no site that stands at the distance itself."""
    cv = SpatialBlockKFold(3, guard=20, random_state=0)
    for train, test in cv.split(stack):
        rest = np.setdiff1d(np.arange(len(stack)), test)
        offset = stack.positions[rest, None] - stack.positions[test]
        near = np.abs(offset).max(axis=2) < 20
        near &= stack.frame[rest, None] == stack.frame[test]
        np.testing.assert_array_equal(train, rest[~near.any(axis=1)])
    line = AtomSites(np.zeros((9, 40)), [[4, 4], [4, 14], [4, 24], [4, 34]])
    sides = list(
        SpatialBlockKFold(2, block_size=15, guard=10, shuffle=False).split(line)
    )
    np.testing.assert_array_equal(sides[0], [[2, 3], [0, 1]])


def test_interpolated_windows_need_three_pixels_more(stack):
    """As the notes say: a cubic spline reaches 1 px before and 2 px behind."""
    window_size = 12
    start = np.floor(stack.positions - (window_size - 1) / 2)
    low, high = start - 1, start + window_size + 1
    cv = SpatialBlockKFold(5, guard=window_size + 3, random_state=0)
    for train, test in cv.split(stack):
        apart = (low[train, None] > high[test]) | (high[train, None] < low[test])
        same = stack.frame[train, None] == stack.frame[test]
        assert apart.any(axis=2)[same].all()


def test_guard_asks_for_larger_blocks_by_default(lattice):
    sites = AtomSites(np.zeros((400, 400)), lattice((400, 400), 9.7, 0))
    shares = []
    for guard in (0, 20, 48):
        cv = SpatialBlockKFold(5, guard=guard, random_state=0)
        shares += [len(train) / len(sites) for train, _ in cv.split(sites)]
    # four blocks a fold would leave less than a fifth beside a guard of 48 px
    assert min(shares) > 0.4


def test_blocks_larger_than_twice_the_share_leave_the_smallest():
    positions = np.tile([[5.0, 5.0], [5.0, 15.0], [15.0, 5.0]], (3, 1))
    frame = np.repeat([0, 1, 2], 3)
    sites = AtomSites([np.zeros((20, 20))] * 3, positions, frame=frame)[:-1]
    ((train, test),) = single_split(
        sites, test_size=0.1, block_size=np.inf, random_state=0
    )
    assert test.tolist() == [6, 7]
    assert len(train) == 6


@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.5, 0.75])
def test_shuffle_split_meets_the_share(stack, test_size):
    cv = SpatialShuffleSplit(6, test_size=test_size, random_state=0)
    splits = list(cv.split(stack))
    assert len(splits) == cv.get_n_splits() == 6
    for train, test in splits:
        assert abs(len(test) / len(stack) - test_size) < 0.02
        assert len(train) + len(test) == len(stack) == len(np.union1d(train, test))
        assert len(np.unique(stack.frame[test])) == 3
    assert len({tuple(test) for _, test in splits}) == 6


def test_whole_images_as_blocks(stack):
    cv = SpatialBlockKFold(3, block_size=np.inf, guard=1000, random_state=0)
    tested = [set(stack.frame[test]) for _, test in cv.split(stack)]
    assert sorted(map(tuple, tested)) == [(0,), (1,), (2,)]
    # every image holds more than a tenth: the smallest one is nearest to it
    ((_, test),) = single_split(stack, test_size=0.1, block_size=np.inf)
    assert set(stack.frame[test]) == {np.bincount(stack.frame).argmin()}
    # and a test side never takes all
    for train, test in SpatialShuffleSplit(
        3, test_size=0.99, block_size=np.inf, random_state=0
    ).split(stack):
        assert len(np.unique(stack.frame[test])) == 2 and len(train)


@pytest.mark.parametrize("splitter", [SpatialBlockKFold, SpatialShuffleSplit])
def test_seeds(stack, splitter):
    def tests_of(random_state):
        splits = splitter(4, guard=10, random_state=random_state).split(stack)
        return [tuple(test) for _, test in splits]

    state = np.random.mtrand._rand.get_state()[1].copy()
    assert tests_of(3) == tests_of(3) == tests_of(np.random.RandomState(3))
    assert set(tests_of(3)).isdisjoint(tests_of(4))
    single_split(stack, random_state=0)
    np.testing.assert_array_equal(np.random.mtrand._rand.get_state()[1], state)
    assert tests_of(None) != tests_of(None)


def test_without_shuffling_folds_are_fixed(stack):
    cv = SpatialBlockKFold(4, shuffle=False)
    first, second = ([tuple(test) for _, test in cv.split(stack)] for _ in "ab")
    assert first == second


def test_order_of_the_sites_does_not_matter(stack):
    order = np.random.default_rng(1).permutation(len(stack))
    cv = SpatialBlockKFold(4, guard=12, random_state=0)
    for (train, test), (again, tested) in zip(
        cv.split(stack), cv.split(stack[order]), strict=True
    ):
        np.testing.assert_array_equal(np.sort(order[again]), train)
        np.testing.assert_array_equal(np.sort(order[tested]), test)


@pytest.mark.parametrize("splitter", [SpatialBlockKFold, SpatialShuffleSplit])
def test_any_x_with_coordinates(stack, splitter):
    parameters = {"n_splits": 3, "guard": 15, "random_state": 0}
    expected = list(splitter(**parameters).split(stack))
    names = np.array(["a", "b", "c"])[stack.frame]
    cv = splitter(**parameters, coordinates=stack.positions.tolist(), frame=names)
    X = np.random.default_rng(0).normal(size=(len(stack), 2))
    for found, wanted in zip(cv.split(X), expected, strict=True):
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
    assert len(cross_val_score(LinearRegression(), X, X[:, 0], cv=cv)) == 3
    ((train, _),) = single_split(
        X, guard=15, coordinates=stack.positions, frame=names, random_state=0
    )
    np.testing.assert_array_equal(
        train, single_split(stack, guard=15, random_state=0)[0][0]
    )


def test_coordinates_go_before_those_of_the_sites(stack):
    swapped = SpatialBlockKFold(
        2, coordinates=stack.positions[:, ::-1] * [1, 5], shuffle=False
    )
    first, second = (
        [tuple(test) for _, test in cv.split(stack)]
        for cv in (swapped, SpatialBlockKFold(2, shuffle=False))
    )
    assert first != second


def test_grid_search_over_windows(ferroic_sites):
    sites = ferroic_sites.interior(4)
    pipeline = make_pipeline(PatchExtractor(), PCA(random_state=0))
    cv = SpatialBlockKFold(2, guard=12, random_state=0)
    grid = {
        "patchextractor__window_size": [20, 24],
        "pca__n_components": [1, 3],
    }
    search = GridSearchCV(pipeline, grid, cv=cv, n_jobs=2, error_score="raise")
    search.fit(sites)
    assert search.n_splits_ == 2
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    alone = clone(pipeline).set_params(**search.best_params_)
    np.testing.assert_allclose(
        cross_val_score(alone, sites, cv=cv).mean(), search.best_score_
    )
    once = GridSearchCV(pipeline, grid, cv=single_split(sites, random_state=0))
    assert once.fit(sites).n_splits_ == 1


def test_halving_search(ferroic_sites):
    search = HalvingGridSearchCV(
        make_pipeline(PatchExtractor(window_size=24), PCA(random_state=0)),
        {"pca__n_components": [1, 2, 3]},
        cv=SpatialBlockKFold(2, guard=12, random_state=0),
        min_resources=100,
        random_state=0,
        error_score="raise",
    ).fit(ferroic_sites)
    assert search.best_params_ == {"pca__n_components": 3}


@pytest.mark.parametrize("splitter", [SpatialBlockKFold, SpatialShuffleSplit])
def test_repr_and_copies(stack, splitter):
    cv = splitter(3, guard=24, random_state=7)
    assert repr(cv).startswith(f"{splitter.__name__}(block_size=None, coordinates=None")
    assert "guard=24" in repr(cv) and "random_state=7" in repr(cv)
    copied = clone(cv, safe=False)  # as searches clone their cv
    assert repr(copied) == repr(cv) and copied is not cv
    np.testing.assert_array_equal(
        next(copied.split(stack))[1], next(cv.split(stack))[1]
    )
