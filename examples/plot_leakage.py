"""
Why folds are spatial
=====================

Neighbouring windows overlap, and neighbouring cells are alike in thickness, tilt and
domain. A model that learns windows by heart therefore does well on folds drawn at
random, and that says nothing about crystal that it has not seen. Here we measure by how
much random folds overstate.
"""

# %%
# A target that is not in the image
# ---------------------------------
# A fair test is one whose honest result is known. We draw smooth random fields that
# have nothing to do with the image, as if another instrument had mapped them, and let
# nearest neighbours read them off the windows. Nothing is there to be read: an honest
# score of the variance explained is at most 0.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import PCA
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomLocator, PatchExtractor
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import CellMapDisplay
from sklearn_ferroic.model_selection import SpatialBlockKFold

WINDOW = 48
N_FIELDS = 5

data = make_ferroic_image("film", random_state=0)
sites = AtomLocator(sublattice=1).fit_transform(data)
patches = PatchExtractor(window_size=WINDOW).fit_transform(sites)
row, col = np.rint(sites.positions).astype(int).clip(0).T
fields = [
    gaussian_filter(np.random.default_rng(seed).normal(size=data.image.shape), 60)
    for seed in range(N_FIELDS)
]
targets = [field[row, col] for field in fields]

# %%
# Three ways to divide the cells
# ------------------------------
# The guard of the third keeps every training window off the pixels of all held-out
# ones: the width of the window, and 3 px more that its interpolation reads.

blocks = {"block_size": 160, "coordinates": sites.positions, "random_state": 0}
splitters = {
    "random": KFold(5, shuffle=True, random_state=0),
    "blocks": SpatialBlockKFold(5, **blocks),
    "guarded blocks": SpatialBlockKFold(5, guard=WINDOW + 3, **blocks),
}
model = make_pipeline(
    PCA(30, random_state=0), KNeighborsRegressor(5, weights="distance")
)
predicted = {
    name: [cross_val_predict(model, patches, y, cv=cv) for y in targets]
    for name, cv in splitters.items()
}
explained = {
    name: [r2_score(y, found) for y, found in zip(targets, of_name, strict=True)]
    for name, of_name in predicted.items()
}
for name, scores in explained.items():
    print(
        f"{name:15s} variance of the field 'explained': {np.mean(scores):+.2f} "
        f"(from {min(scores):+.2f} to {max(scores):+.2f} in {N_FIELDS} fields)"
    )

# %%
# A score that has an answer
# --------------------------
# Principal components do describe the windows, and the likelihood of held-out windows
# says how well, per pixel:

counts = (2, 4, 8, 16, 32)
likelihood = {
    name: [
        cross_val_score(PCA(count, random_state=0), patches, cv=cv).mean() / WINDOW**2
        for count in counts
    ]
    for name, cv in splitters.items()
}
for name, values in likelihood.items():
    print(f"{name:15s}", " ".join(f"{value:.3f}" for value in values), "nats per pixel")

# %%
# What to see
# -----------
# With random folds the neighbours "explain" a good part of a field that is not in the
# image: they recognise the surroundings of the cell by its brightness, tilt and domain,
# and look up the field there. With blocks the same model is, as it should be, no better
# than the mean, and with the guard it is worse than that, as a model must be that has
# learned noise by heart. The difference between random and guarded folds is the size of
# the illusion.
#
# The likelihood is overstated as well, and here blocks without a guard do as random
# folds do: as long as a training window shares pixels with the held-out one, its noise
# is known in part. A part of the difference is the training cells that the guard takes
# away. The order of the numbers of components is the same with all three: leakage
# flatters all linear models alike, and misleads where models differ in how much they
# can learn by heart.

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure, axes = plt.subplot_mosaic(
    [["A", "B", "C"], ["D", "E", "E"]], figsize=(7.1, 5.4), layout="constrained"
)
limits = np.percentile(targets[0], [1, 99])
shown = {
    "A": (targets[0], "a  a field that is\nnot in the image"),
    "B": (predicted["random"][0], "b  read from windows,\nrandom folds"),
    "C": (predicted["guarded blocks"][0], "c  read from windows,\nguarded blocks"),
}
for name, (values, title) in shown.items():
    CellMapDisplay.from_sites(
        sites,
        values,
        values_name="field",
        vmin=limits[0],
        vmax=limits[1],
        colorbar=name == "C",
        scale_bar=name == "A",
        ax=axes[name],
    )
    axes[name].set_title(title)
names = list(splitters)
axes["D"].bar(names, [np.mean(explained[name]) for name in names], color="0.7")
for position, name in enumerate(names):
    axes["D"].plot([position] * N_FIELDS, explained[name], "k.")
axes["D"].axhline(0, color="k", lw=0.8)
axes["D"].set(ylabel="variance 'explained'", title="d  five such fields")
axes["D"].set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])
styles = {"o-": "#0072B2", "s--": "#E69F00", "^:": "#009E73"}
for name, (style, color) in zip(names, styles.items(), strict=True):
    axes["E"].plot(counts, likelihood[name], style, color=color, ms=4, label=name)
axes["E"].set(
    xscale="log",
    xticks=counts,
    xticklabels=counts,
    xlabel="principal components",
    ylabel="held-out nats per pixel",
    title="e  likelihood",
)
axes["E"].minorticks_off()
axes["E"].legend()
