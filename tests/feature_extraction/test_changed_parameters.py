"""Parameters on which fitted values depend are changed between fit and transform."""

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_ferroic import (
    AtomSites,
    Motif,
    MotifAssigner,
    NeighborhoodDescriptor,
    PolarizationVector,
)

SQUARE = Motif.from_table([("Ti", 0, 0)], lengths=(0.4, 0.4), name="square")
CHANGES = [
    (PolarizationVector(reference="plane"), {"reference": "layer"}),
    (PolarizationVector(reference="plane"), {"reference": "mean"}),
    (PolarizationVector(reference="mean"), {"reference": None}),
    (PolarizationVector(), {"reference": "mean"}),
    (PolarizationVector(reference="mean"), {"shell": "auto"}),
    (PolarizationVector(shell=4), {"shell": 3}),
    (PolarizationVector(shell=SQUARE), {"shell_weights": "charge"}),
    (MotifAssigner(motif=SQUARE), {"motif": "honeycomb"}),
    (MotifAssigner(motif=SQUARE), {"mirror": False}),
    (NeighborhoodDescriptor(n_neighbors=4), {"n_neighbors": 8}),
    (NeighborhoodDescriptor(n_neighbors=4), {"neighbors": "same"}),
    (NeighborhoodDescriptor(n_neighbors=4), {"rotation": "remove"}),
    (NeighborhoodDescriptor(n_neighbors=4), {"tolerance": 0.2}),
]


@pytest.fixture(scope="module")
def sites():
    corners = 16.0 * np.indices((9, 9)).reshape(2, -1).T + 8
    positions = np.concatenate([corners, corners + 8 + [0.4, -0.7]])
    label = np.repeat([0, 1], len(corners))
    vectors = np.broadcast_to([[0.0, 16.0], [16.0, 0.0]], (len(positions), 2, 2))
    return AtomSites(
        np.zeros((160, 160)), positions, sublattice=label, lattice_vectors=vectors
    )


@pytest.mark.parametrize(("estimator", "change"), CHANGES)
def test_what_was_fitted_with_another_parameter_is_not_used(sites, estimator, change):
    fitted = clone(estimator).fit(sites)
    before = fitted.transform(sites)
    (name,) = change
    fitted.set_params(**change)
    with pytest.raises(ValueError, match=rf"{name} was changed .* Call fit again\."):
        fitted.transform(sites)
    fitted.set_params(**{name: getattr(estimator, name)})
    after = fitted.transform(sites)
    same = after == before if isinstance(after, AtomSites) else None
    assert same or np.array_equal(after, before, equal_nan=True)


def test_the_error_of_the_reference_and_the_reasons_are_checked_too(sites):
    vector = PolarizationVector(reference="plane", shell=4).fit(sites)
    vector.set_params(reference="layer")
    for method in (vector.reference_covariance, vector.nan_reasons):
        with pytest.raises(ValueError, match="reference was changed"):
            method(sites)


def test_the_number_of_names_is_that_of_the_fitted_columns(sites):
    descriptor = NeighborhoodDescriptor(n_neighbors=4).fit(sites)
    descriptor.set_params(n_neighbors=8)
    with pytest.raises(ValueError, match="n_neighbors was changed from 4 to 8"):
        descriptor.get_feature_names_out()


def test_options_that_nothing_is_fitted_with_may_change(sites):
    vector = PolarizationVector(reference="mean").fit(sites)
    components = vector.transform(sites)
    polar = vector.set_params(output="polar").transform(sites)
    np.testing.assert_allclose(polar[:, 0], np.hypot(*components.T))
    # a new fit takes the new parameters
    assert np.isfinite(vector.set_params(reference="plane").fit_transform(sites)).any()
