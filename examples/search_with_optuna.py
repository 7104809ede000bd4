"""
A search with Optuna
====================

`GridSearchCV` fits all combinations. Optuna [1]_ proposes each candidate from the
scores of the ones before, and stops those whose scores on the first folds are low. It
needs a function that returns a score, which a pipeline, guarded folds and a scorer
make. Optuna is an optional dependency: ``pip install "sklearn-ferroic[optuna]"``.

.. [1] T. Akiba et al., "Optuna: a next-generation hyperparameter optimization
   framework", KDD 2019.
"""

# %%
# The objective
# -------------
# The folds are fixed and guarded for the largest window, so that all trials are scored
# on the same splits. The windows are cut once for each size, and read from the cache.

import tempfile
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import optuna
from scipy.spatial import cKDTree
from sklearn.base import clone
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.metrics import get_scorer, variant_accuracy_score
from sklearn_ferroic.model_selection import SpatialBlockKFold

LARGEST_PX = 40
data = make_ferroic_image(
    "film", shape=(440, 440), displacement_pm=15.0, dose=5e3, random_state=1
)
sites = AtomLocator(sublattice=1).fit_transform(data)
splits = list(SpatialBlockKFold(3, guard=LARGEST_PX + 3, random_state=0).split(sites))
score = get_scorer("angle_coherence")
cache = tempfile.TemporaryDirectory()
pipeline = make_pipeline(
    PatchExtractor(memory=cache.name),
    RotationalVAE(max_epochs=10, batch_size=32, random_state=0),
    AngleAwareScaler(),
    GaussianMixture(n_init=10, reg_covar=0.3, random_state=0),
)
# Windows smaller than a unit cell are searched on purpose.
warnings.filterwarnings("ignore", message="window_size=16 px is less than the unit")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def suggest(trial):
    """Suggest a candidate."""
    return clone(pipeline).set_params(
        patchextractor__window_size=trial.suggest_int("window", 16, LARGEST_PX, step=4),
        rotationalvae__latent_dim=trial.suggest_int("latents", 1, 4),
        angleawarescaler__angle_weight=trial.suggest_float("weight", 2, 10, log=True),
        gaussianmixture__n_components=trial.suggest_int("clusters", 3, 8),
    )


def objective(trial):
    """Return the mean score on the folds; stop where the first ones are poor."""
    candidate, scores = suggest(trial), []
    for step, (train, test) in enumerate(splits):
        candidate.fit(sites[train])
        scores.append(score(candidate, sites[test]))
        trial.report(np.mean(scores), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return np.mean(scores)


# %%
# Two samplers
# ------------
# The tree-structured Parzen estimator and random candidates, twelve each.

studies = {}
for name, sampler in {
    "Parzen": optuna.samplers.TPESampler(seed=0, n_startup_trials=5),
    "random": optuna.samplers.RandomSampler(seed=0),
}.items():
    study = optuna.create_study(
        direction="maximize",
        sampler=sampler,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
    )
    start = time.process_time()
    study.optimize(objective, n_trials=12)
    seconds = time.process_time() - start
    studies[name] = study
    n_pruned = len(study.get_trials(states=[optuna.trial.TrialState.PRUNED]))
    print(
        f"{name}: best {study.best_value:.3f} with {study.best_params}, "
        f"{n_pruned} of 12 stopped early, {seconds:.0f} s of CPU time"
    )

# %%
# Against the truth
# -----------------

true = np.flatnonzero(data.sublattice == 1)
near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
variant = np.where(data.wall[near], -1, data.variant[near])
for name, study in studies.items():
    labels = suggest(optuna.trial.FixedTrial(study.best_params)).fit_predict(sites)
    accuracy = variant_accuracy_score(variant, labels)
    print(f"{name}: {accuracy:.1%} of the cells in the right variant")
cache.cleanup()

figure, ax = plt.subplots(figsize=(4.5, 3), layout="constrained")
for name, study in studies.items():
    complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    numbers = [trial.number + 1 for trial in complete]
    values = [trial.value for trial in complete]
    (points,) = ax.plot(numbers, values, "o", ms=4)
    ax.step(
        numbers,
        np.maximum.accumulate(values),
        where="post",
        color=points.get_color(),
        label=f"{name}, best so far",
    )
ax.set(xlabel="trial", ylabel="angle coherence")
ax.legend()
