"""Sites of a small film, and pipelines that are fitted once for all modules."""

import numpy as np
import pytest

from sklearn_ferroic import AtomLocator, metrics
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.model_selection import SpatialBlockKFold
from tests._scoring import NEED_ANGLES, PIPELINES
from tests._truth import match


@pytest.fixture(scope="session")
def data():
    return make_ferroic_image("film", shape=(240, 250), random_state=3)


@pytest.fixture(scope="session")
def sites(data):
    return AtomLocator(sublattice=1).fit_transform(data)


@pytest.fixture(scope="session")
def truth(data, sites):
    return data.variant[match(sites, data)[0]]


@pytest.fixture(scope="session")
def true_angle(truth):
    return np.where(truth < 0, np.nan, np.pi / 4 + np.pi / 2 * truth)


@pytest.fixture(scope="session")
def split(sites):
    cv = SpatialBlockKFold(2, guard=24, random_state=0)
    return next(cv.split(sites))


@pytest.fixture(scope="session")
def fitted(sites, split):
    made = {}

    def fit(name):
        if name not in made:
            steps = PIPELINES[name]()
            train = sites[split[0]]
            if name == "displacement":  # which the held-out sites need not all have
                train = train[np.isfinite(train.polarization).all(axis=1)]
            made[name] = (steps[:-1] if name == "t-SNE" else steps).fit(train)
            if name == "t-SNE":
                made[name] = steps
        return made[name]

    return fit


@pytest.fixture
def score_all(sites, truth, true_angle):
    def score(estimator, held_out):
        scores = {}
        for name in metrics.get_scorer_names():
            y = true_angle if name in NEED_ANGLES else truth
            scores[name] = metrics.get_scorer(name)(
                estimator, sites[held_out], y[held_out]
            )
        return scores

    return score
