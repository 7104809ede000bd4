"""What every estimator of the package owes, whatever its X is.

Scikit-learn's checks know tables only. These take ``(name, estimator, X)``, where X is
an image, an AtomSites or a table, and leave both as they were.
"""

import copy
import inspect
import pickle
import random

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch, get_tags
from sklearn.utils._param_validation import (
    InvalidParameterError,
    generate_invalid_param_val,
    make_constraint,
)

from sklearn_ferroic import AtomLocator, AtomSites, Motif
from sklearn_ferroic.feature_extraction import MotifColumn


def assert_same(first, second):
    """Ask for two outputs of one kind that are equal to the last bit."""
    assert type(first) is type(second)
    if isinstance(first, AtomSites):
        assert first == second
    elif isinstance(first, Bunch):
        assert first.keys() == second.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
    else:
        np.testing.assert_array_equal(first, second)


def fitted_attributes(estimator):
    return {
        name
        for name in vars(estimator)
        if name.endswith("_") and not name.startswith("_")
    }


def target_of(estimator, X):
    """Give what the estimator must be fitted with beside X, if anything."""
    if not get_tags(estimator).target_tags.required:
        return ()
    if get_tags(estimator).input_tags.three_d_array:
        # The columns of images, as a locator without training finds them.
        return (AtomLocator().fit_transform(X),)
    # Directions that lead the first column, which is an angle, by the same everywhere.
    return (np.asarray(X)[:, 0] + 0.5,)


def returns_sites(estimator, X):
    """Return whether the output is not a table: sites, or an image as a Bunch."""
    output = clone(estimator).fit_transform(X, *target_of(estimator, X))
    return isinstance(output, AtomSites | Bunch)


def own_arrays(X):
    """List the arrays in X, which may be an array, a list or an AtomSites."""
    if isinstance(X, np.ndarray):
        return [X]
    parts = X if isinstance(X, list | tuple) else getattr(X, "__dict__", {}).values()
    return [array for part in parts for array in own_arrays(part)]


# Parameters ---------------------------------------------------------------------------


def check_constructor_only_assigns(name, estimator, X):
    if type(estimator).__init__ is object.__init__:
        return  # has no parameters
    parameters = inspect.signature(type(estimator).__init__).parameters
    names = [parameter for parameter in parameters if parameter != "self"]
    kinds = {parameters[parameter].kind for parameter in names}
    assert kinds <= {inspect.Parameter.KEYWORD_ONLY}
    values = {parameter: object() for parameter in names}
    made = type(estimator)(**values)
    assert vars(made) == values


def check_get_set_params(name, estimator, X):
    fresh = type(estimator)()
    values = estimator.get_params()
    assert fresh.set_params(**values) is fresh
    assert fresh.get_params() == values
    with pytest.raises(ValueError, match="Invalid parameter 'no_such_option'"):
        fresh.set_params(no_such_option=1)


def check_clone(name, estimator, X):
    fitted = clone(estimator).fit(X, *target_of(estimator, X))
    cloned = clone(fitted)
    assert cloned.get_params() == estimator.get_params()
    assert not fitted_attributes(cloned)
    assert fitted.get_params() == estimator.get_params(), "fit changed a parameter"


def check_repr_evaluates(name, estimator, X):
    made = eval(
        repr(estimator),
        {name: type(estimator), "Motif": Motif, "MotifColumn": MotifColumn},
    )
    assert made.get_params() == estimator.get_params()


def check_every_parameter_is_validated(name, estimator, X):
    constraints = type(estimator)._parameter_constraints
    assert set(constraints) == set(estimator.get_params(deep=False))
    for parameter, allowed in constraints.items():
        bad_values = [type("BadType", (), {})()]
        for constraint in map(make_constraint, allowed):
            try:
                bad_values.append(generate_invalid_param_val(constraint))
            except NotImplementedError:  # every value of the type is allowed
                continue
        for value in bad_values:
            bad = clone(estimator).set_params(**{parameter: value})
            message = rf"The '{parameter}' parameter of {name} must be .* Got .*"
            with pytest.raises(InvalidParameterError, match=message):
                bad.fit(X, *target_of(estimator, X))
            assert not fitted_attributes(bad)
            if not get_tags(estimator).requires_fit:
                with pytest.raises(InvalidParameterError, match=message):
                    bad.transform(X)


# Fitting ------------------------------------------------------------------------------


def check_fit_returns_self(name, estimator, X):
    made = clone(estimator)
    assert made.fit(X, *target_of(estimator, X)) is made
    if not get_tags(estimator).target_tags.required:
        assert made.fit(X, None) is made


def check_fit_idempotent(name, estimator, X):
    made = clone(estimator).fit(X, *target_of(estimator, X))
    first = made.transform(X)
    assert_same(first, made.transform(X))
    assert_same(first, made.fit(X, *target_of(estimator, X)).transform(X))


def check_fit_transform_equals_fit_and_transform(name, estimator, X):
    one_step = clone(estimator).fit_transform(X, *target_of(estimator, X))
    assert_same(
        one_step, clone(estimator).fit(X, *target_of(estimator, X)).transform(X)
    )


def check_deterministic(name, estimator, X):
    assert_same(
        clone(estimator).fit_transform(X, *target_of(estimator, X)),
        clone(estimator).fit_transform(X, *target_of(estimator, X)),
    )


def check_global_random_state_untouched(name, estimator, X):
    def global_state():
        of_torch = torch.get_rng_state().numpy()
        return joblib.hash((random.getstate(), np.random.get_state(), of_torch))

    before = global_state()
    made = clone(estimator).fit(X, *target_of(estimator, X))
    assert global_state() == before, "fit drew from a global generator"
    made.transform(X)
    assert global_state() == before, "transform drew from a global generator"


def check_global_random_state_unused(name, estimator, X):
    """With random_state set, the global generators have no say in the result."""
    outputs = []
    saved = np.random.get_state(), torch.get_rng_state(), random.getstate()
    try:
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            outputs.append(clone(estimator).fit_transform(X, *target_of(estimator, X)))
    finally:
        np.random.set_state(saved[0])
        torch.set_rng_state(saved[1])
        random.setstate(saved[2])
    assert_same(*outputs)


def check_not_fitted(name, estimator, X):
    if not get_tags(estimator).requires_fit:
        assert_same(
            clone(estimator).transform(X),
            clone(estimator).fit_transform(X, *target_of(estimator, X)),
        )
        return
    message = f"This {name} instance is not fitted yet"
    with pytest.raises(NotFittedError, match=message):
        clone(estimator).transform(X)
    if hasattr(estimator, "score"):
        with pytest.raises(NotFittedError, match=message):
            clone(estimator).score(X)
    if hasattr(estimator, "get_feature_names_out"):
        with pytest.raises(NotFittedError, match=message):
            clone(estimator).get_feature_names_out()


# Input --------------------------------------------------------------------------------


def check_input_unmodified(name, estimator, X):
    before = joblib.hash(X)
    made = clone(estimator).fit(X, *target_of(estimator, X))
    assert joblib.hash(X) == before, "fit changed X"
    made.transform(X)
    assert joblib.hash(X) == before, "transform changed X"


def check_output_is_not_input(name, estimator, X):
    """Whoever writes to what comes out must not spoil what went in."""
    output = clone(estimator).fit_transform(X, *target_of(estimator, X))
    if isinstance(output, AtomSites):
        return  # shares its images by contract
    arrays = output.values() if isinstance(output, Bunch) else [output]
    arrays = [array for array in arrays if isinstance(array, np.ndarray)]
    for array in own_arrays(X):
        assert not any(np.shares_memory(made, array) for made in arrays)


def check_read_only_input(name, estimator, X):
    expected = clone(estimator).fit_transform(X, *target_of(estimator, X))
    frozen = copy.deepcopy(X)
    arrays = own_arrays(frozen)
    assert arrays
    for array in arrays:
        array.setflags(write=False)
    assert_same(
        clone(estimator).fit_transform(frozen, *target_of(estimator, frozen)), expected
    )


def check_memory_mapped_input(name, estimator, X, folder):
    expected = clone(estimator).fit_transform(X, *target_of(estimator, X))
    joblib.dump(X, folder / "X.joblib")
    mapped = joblib.load(folder / "X.joblib", mmap_mode="r")
    assert any(isinstance(array, np.memmap) for array in own_arrays(mapped))
    assert_same(
        clone(estimator).fit_transform(mapped, *target_of(estimator, mapped)), expected
    )


# Output -------------------------------------------------------------------------------


def check_pickle(name, estimator, X):
    fitted = clone(estimator).fit(X, *target_of(estimator, X))
    expected = fitted.transform(X)
    assert_same(pickle.loads(pickle.dumps(fitted)).transform(X), expected)
    unfitted = pickle.loads(pickle.dumps(clone(estimator)))
    assert_same(unfitted.fit_transform(X, *target_of(estimator, X)), expected)


def check_joblib_round_trip(name, estimator, X, folder):
    fitted = clone(estimator).fit(X, *target_of(estimator, X))
    joblib.dump(fitted, folder / "estimator.joblib")
    loaded = joblib.load(folder / "estimator.joblib")
    assert_same(loaded.transform(X), fitted.transform(X))


def check_feature_names(name, estimator, X):
    if returns_sites(estimator, X):
        return
    made = clone(estimator).fit(X, *target_of(estimator, X))
    names = made.get_feature_names_out()
    assert names.dtype == object
    assert names.shape == (made.transform(X).shape[1],)
    assert len(set(names)) == len(names)
    assert all(isinstance(feature, str) for feature in names)


def check_set_output_pandas(name, estimator, X):
    made = clone(estimator).set_output(transform="pandas")
    output = made.fit_transform(X, *target_of(estimator, X))
    if returns_sites(estimator, X):
        # Not a table: left alone, so that Pipeline.set_output works all the same.
        assert_same(output, clone(estimator).fit_transform(X, *target_of(estimator, X)))
        return
    assert isinstance(output, pd.DataFrame)
    assert list(output.columns) == list(made.get_feature_names_out())
    np.testing.assert_array_equal(
        output.to_numpy(),
        clone(estimator).fit_transform(X, *target_of(estimator, X)),
        strict=True,
    )


def check_pipeline_set_output(name, estimator, X):
    pipeline = make_pipeline(clone(estimator), FunctionTransformer())
    pipeline.set_output(transform="pandas")
    output = pipeline[:1].fit_transform(X, *target_of(estimator, X))
    kind = AtomSites | Bunch if returns_sites(estimator, X) else pd.DataFrame
    assert isinstance(output, kind)


COMMON_CHECKS = [
    check_constructor_only_assigns,
    check_get_set_params,
    check_clone,
    check_repr_evaluates,
    check_every_parameter_is_validated,
    check_fit_returns_self,
    check_fit_idempotent,
    check_fit_transform_equals_fit_and_transform,
    check_deterministic,
    check_global_random_state_untouched,
    check_global_random_state_unused,
    check_not_fitted,
    check_input_unmodified,
    check_output_is_not_input,
    check_read_only_input,
    check_memory_mapped_input,
    check_pickle,
    check_joblib_round_trip,
    check_feature_names,
    check_set_output_pandas,
    check_pipeline_set_output,
]


# Estimators that take AtomSites -------------------------------------------------------


def check_one_row_a_site(name, estimator, X):
    output = clone(estimator).fit_transform(X)
    assert len(output.shape) == 2
    assert len(output) == len(X)


def check_sliced_sites(name, estimator, X):
    """A site's row depends on that site and its image, not on the other sites."""
    made = clone(estimator).fit(X)
    whole = made.transform(X)
    shuffled = np.random.RandomState(0).permutation(len(X))[: len(X) // 2]
    mask = np.arange(len(X)) % 3 == 0
    one_by_one = [[row] for row in range(len(X))]
    for key in (shuffled, mask, slice(5, 30, 2), *one_by_one):
        assert_same(made.transform(X[key]), whole[key])
        assert_same(made.transform(X[key, ...]), whole[key])


def check_several_frames(name, estimator, X):
    made = clone(estimator).fit(X)
    first, second = X[: len(X) // 2], X[len(X) // 2 :]
    other = copy.deepcopy(X[:9])
    other.images = [other.images[0][::-1].copy()]
    joined = AtomSites.concatenate([first, other, second])
    assert len(joined.images) == 2
    expected = [made.transform(sites) for sites in (first, other, second)]
    join = AtomSites.concatenate if returns_sites(estimator, X) else np.vstack
    assert_same(made.transform(joined), join(expected))


def check_only_sites_accepted(name, estimator, X):
    image = np.ones((64, 64))
    wrong = [image, np.ones((3, 64, 64)), [image], X.positions, pd.DataFrame(image)]
    for other in [*wrong, None, "image.tif"]:
        for call in (clone(estimator).fit, clone(estimator).fit(X).transform):
            with pytest.raises(TypeError, match=r"AtomSites.*AtomLocator") as error:
                call(other)
            assert type(other).__name__ in str(error.value)


def check_no_sites(name, estimator, X):
    with pytest.raises(ValueError, match="no sites"):
        clone(estimator).fit(X[:0])


SITES_CHECKS = [
    check_one_row_a_site,
    check_sliced_sites,
    check_several_frames,
    check_only_sites_accepted,
    check_no_sites,
]


# Estimators that take images ----------------------------------------------------------


def check_only_images_accepted(name, estimator, X):
    target = target_of(estimator, X)
    made = clone(estimator).fit(X, *target)
    sites = made.transform(X)
    wrong = [(sites, "AtomSites"), (None, "load_image"), ("image.tif", "load_image")]
    for other, hint in [*wrong, ({"image": X}, "load_image")]:
        with pytest.raises(TypeError, match=hint):
            clone(estimator).fit(other, *target)
        with pytest.raises(TypeError, match=hint):
            made.transform(other)


def check_image_containers(name, estimator, X):
    """One image is the same alone, in a stack, in a list and with its pixel size."""
    target = target_of(estimator, X)
    alone = clone(estimator).fit_transform(X, *target)
    for images in ([X], X[None], (X, 0.02), [(X, 0.02)]):
        sites = clone(estimator).fit_transform(images, *target)
        np.testing.assert_array_equal(sites.positions, alone.positions)
        np.testing.assert_array_equal(sites.sublattice, alone.sublattice)
    assert alone.pixel_size == (None,)
    assert sites.pixel_size == (0.02,)


def check_frames_are_independent(name, estimator, X):
    made = clone(estimator).fit(X, *target_of(estimator, X))
    other = X[: X.shape[0] // 4 * 3, ::-1]
    both = made.transform([X, other])
    for frame, image in enumerate((X, other)):
        alone = made.transform(image)
        of_frame = both[both.frame == frame]
        assert len(alone) == len(of_frame) > 0
        np.testing.assert_array_equal(of_frame.positions, alone.positions)


IMAGE_CHECKS = [
    check_only_images_accepted,
    check_image_containers,
    check_frames_are_independent,
]
