"""
Successive halving on the epochs
================================

A search trains many models, and poor ones often have low scores after a few epochs.
`HalvingGridSearchCV` trains all candidates for a few epochs, the best third of them for
three times as many, and so on. This example compares its cost and its choice with those
of a search that trains all candidates fully.
"""

# %%
# The search
# ----------
# A weakly polar film (15 pm) at a low dose, so that the choice matters. The samples are
# cells, and the folds are blocks of the image with a guard as wide as the largest
# window. The truth is used at the end only.

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter
from scipy.spatial import cKDTree
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
)
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

data = make_ferroic_image(
    "film", shape=(440, 440), displacement_pm=15.0, dose=5e3, random_state=1
)
sites = AtomLocator(sublattice=1).fit_transform(data)
true = np.flatnonzero(data.sublattice == 1)
near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
variant = np.where(data.wall[near], -1, data.variant[near])

EPOCHS = "rotationalvae__max_epochs"
pipeline = make_pipeline(
    PatchExtractor(),
    RotationalVAE(max_epochs=9, batch_size=32, random_state=0),
    AngleAwareScaler(),
    GaussianMixture(5, n_init=10, reg_covar=0.3, random_state=0),
)
grid = {
    "patchextractor__window_size": [16, 28, 40],
    "rotationalvae__latent_dim": [1, 2, 3],
}
# Windows smaller than a unit cell are searched on purpose.
warnings.filterwarnings("ignore", message="window_size=16 px is less than the unit")
options = {
    "scoring": get_scorer("angle_coherence"),
    "cv": SpatialBlockKFold(2, guard=40 + 3, random_state=0),
}
# `SpatialBlockKFold` with an integer `random_state` gives the same folds in all rounds.
searches = {
    "grid": GridSearchCV(pipeline, grid, **options),
    "halving": HalvingGridSearchCV(
        pipeline,
        grid,
        resource=EPOCHS,
        min_resources=1,
        max_resources=9,
        factor=3,
        **options,
    ),
}

# %%
# Cost and quality
# ----------------
# Cutting the windows and the mixtures cost the same after one epoch as after nine, so
# that halving saves little where epochs are few. It saves more in longer trainings.

rows = []
for name, search in searches.items():
    start = time.process_time()
    search.fit(sites)
    seconds = time.process_time() - start
    window, latents = (search.best_params_[key] for key in grid)
    accuracy = variant_accuracy_score(variant, search.best_estimator_.predict(sites))
    rows.append((name, window, latents, seconds, accuracy))
table = pd.DataFrame(
    rows, columns=["search", "window (px)", "latents", "CPU (s)", "accuracy"]
)
print(table.round(3).to_string(index=False))

# %%
# The rounds
# ----------

rounds = pd.DataFrame(searches["halving"].cv_results_)
for epochs, group in rounds.groupby("n_resources"):
    print(f"{epochs:2d} epochs: {len(group)} candidates")

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
COLORS = dict(zip(grid["patchextractor__window_size"], ("C7", "C0", "C1"), strict=True))
figure, axes = plt.subplots(1, 2, figsize=(7.1, 2.8), layout="constrained")
for params, group in rounds.groupby([f"param_{name}" for name in grid]):
    axes[0].plot(
        group["n_resources"],
        group["mean_test_score"],
        "o-",
        ms=4,
        color=COLORS[params[0]],
        label=f"{params[0]} px" if params[1] == 1 else None,
    )
axes[0].set(xscale="log", xlabel="epochs", ylabel="angle coherence")
axes[0].set_xticks([1, 3, 9], ["1", "3", "9"])
axes[0].xaxis.set_minor_formatter(NullFormatter())
axes[0].set_title("a  candidates of each round")
axes[0].legend(title="window", fontsize="small")
bars = axes[1].barh(table["search"], table["CPU (s)"], color=["C7", "C0"])
labels = [f"{accuracy:.0%} right" for accuracy in table["accuracy"]]
axes[1].bar_label(bars, labels, label_type="center", color="white")
axes[1].set(xlabel="CPU time of the search (s)")
axes[1].set_title("b  cost and quality of the choice")
