"""What splitters refuse, and how they say so."""

import numpy as np
import pytest

from sklearn_ferroic import AtomSites
from sklearn_ferroic.model_selection import (
    SpatialBlockKFold,
    SpatialShuffleSplit,
    single_split,
)


@pytest.mark.parametrize("splitter", [SpatialBlockKFold, SpatialShuffleSplit])
@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"n_splits": 0}, "'n_splits' parameter of Spatial"),
        ({"n_splits": 2.5}, "'n_splits' parameter of Spatial"),
        ({"block_size": 0}, "'block_size' parameter of Spatial"),
        ({"guard": -1}, "'guard' parameter of Spatial"),
        ({"guard": np.nan}, "'guard' parameter of Spatial"),
        ({"random_state": "seed"}, "'random_state' parameter of Spatial"),
    ],
)
def test_bad_parameters_are_refused(splitter, parameters, message):
    with pytest.raises(ValueError, match=message):
        splitter(**parameters)


def test_bad_parameters_of_one_are_refused(stack):
    with pytest.raises(ValueError, match=r"'n_splits' .* range \[2, inf\)"):
        SpatialBlockKFold(1)
    with pytest.raises(ValueError, match="random_state has no effect"):
        SpatialBlockKFold(shuffle=False, random_state=0)
    with pytest.raises(ValueError, match="'test_size' parameter of SpatialShuffle"):
        SpatialShuffleSplit(test_size=1.0)
    with pytest.raises(ValueError, match="'test_size' parameter of single_split"):
        single_split(stack, test_size=0)


@pytest.mark.parametrize("splitter", [SpatialBlockKFold, SpatialShuffleSplit])
def test_impossible_samples_are_refused(stack, splitter):
    X = np.zeros((20, 3))
    points = np.random.default_rng(0).random((20, 2))
    with pytest.raises(TypeError, match=r"takes AtomSites.*got ndarray.*coordinates="):
        splitter().split(X)
    with pytest.raises(ValueError, match="got 20, 19 and 19 rows"):
        splitter(coordinates=points[1:]).split(X)
    with pytest.raises(ValueError, match="got 20, 20 and 3 rows"):
        splitter(coordinates=points, frame=[0, 1, 2]).split(X)
    with pytest.raises(ValueError, match="coordinates contains NaN"):
        splitter(coordinates=np.full((20, 2), np.nan)).split(X)
    with pytest.raises(ValueError, match=r"pairs of shape .* got shape \(20, 3\)"):
        splitter(coordinates=X).split(X)
    with pytest.raises(ValueError, match="no sites"):
        splitter().split(stack[:0])
    with pytest.warns(UserWarning, match="groups parameter is ignored"):
        splitter(2).split(stack, groups=stack.frame)


def test_impossible_folds_are_refused(stack):
    with pytest.raises(ValueError, match=r"n_splits=5 greater than .* sites, 4"):
        SpatialBlockKFold().split(stack[:4])
    with pytest.raises(ValueError, match=r"n_splits=5 .* 3 image.* only 3 .*=1000"):
        SpatialBlockKFold(block_size=1000).split(stack)
    one_place = AtomSites(np.zeros((9, 9)), np.full((8, 2), 4.0))
    with pytest.raises(ValueError, match="make only 1 with block_size=None"):
        SpatialBlockKFold(2).split(one_place)
    with pytest.raises(ValueError, match="at least two blocks"):
        SpatialShuffleSplit(2).split(one_place)
    with pytest.raises(
        ValueError, match=r"Fold 0 of 3 has no training site.*guard=400 px"
    ):
        SpatialBlockKFold(3, guard=400, random_state=0).split(stack)
    with pytest.raises(ValueError, match=r"Split 0 of 1 has no training .*=400 px"):
        single_split(stack, guard=400, random_state=0)
