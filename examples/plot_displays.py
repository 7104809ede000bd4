"""
All displays
============

One figure of each Display class of ``sklearn_ferroic.inspection``, on one film. Each is
drawn by one call, keeps its artists (`ax_`, `figure_` and more), and can be drawn again
by its `plot`.
"""

# %%
# What they are drawn of
# ----------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import NMF, PCA
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AngleRegistration,
    AtomLocator,
    LatticeStrain,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.domains import find_walls, profile_across
from sklearn_ferroic.inspection import (
    AngleHistogramDisplay,
    CellMapDisplay,
    ClusterMeansDisplay,
    DomainMapDisplay,
    LatentDistributionDisplay,
    LatentManifoldDisplay,
    LoadingMapDisplay,
    PolarizationMapDisplay,
    ProfileDisplay,
    SearchResultsDisplay,
    SitesDisplay,
)
from sklearn_ferroic.metrics import get_scorer
from sklearn_ferroic.model_selection import SpatialBlockKFold

plt.rcParams.update({"font.size": 8, "figure.figsize": (4.6, 3.6)})
data = make_ferroic_image("film", shape=(440, 440), random_state=2)
all_sites = AtomLocator().fit_transform(data)
sites = all_sites[all_sites.sublattice == 1]
patches = PatchExtractor(window_size=40).fit_transform(sites)
vae = RotationalVAE(random_state=0).fit(patches)
pose, width = vae.transform_with_std(patches)
pose = AngleRegistration().fit(pose, sites).transform(pose)
angle, latents = pose[:, 0], pose[:, 3:]
polar = width[:, 0] < np.radians(30)
domains = make_pipeline(
    AngleAwareScaler(), GaussianMixture(5, n_init=10, reg_covar=0.3, random_state=0)
)
# Cells without a direction belong to no domain.
labels = np.where(polar, domains.fit_predict(pose), -1)
print(f"{len(all_sites)} columns; {polar.mean():.0%} of the cells have a direction")

# %%
# SitesDisplay
# ------------
# Columns over the image: by sublattice, or by any value of theirs.

figure, (left, right) = plt.subplots(1, 2, figsize=(7.1, 3.0), layout="constrained")
SitesDisplay.from_sites(all_sites, ax=left)
SitesDisplay.from_sites(
    all_sites, values=all_sites.amplitude, values_name="amplitude (ADU)", ax=right
)

# %%
# PolarizationMapDisplay
# ----------------------
# The measured displacement of each column in its cage. Arrows are drawn longer than
# they are, by the factor under the wheel; the white one shows how long.

PolarizationMapDisplay.from_sites(sites)

# %%
# DomainMapDisplay
# ----------------
# Cells by direction. Saturation can show a magnitude, as on the left the length of the
# measured displacement. Cells without a direction are grey, and lines are borders
# between labels. Arrows make the map legible in greyscale.

figure, (left, right) = plt.subplots(1, 2, figsize=(7.1, 4.2), layout="constrained")
DomainMapDisplay.from_sites(
    sites,
    angle,
    magnitude=np.hypot(*sites.polarization.T),
    magnitude_name="displacement (px)",
    color_wheel="below",
    ax=left,
)
DomainMapDisplay.from_sites(
    sites,
    angle,
    polar=polar,
    labels=labels,
    arrows=True,
    color_wheel="below",
    ax=right,
)

# %%
# CellMapDisplay
# --------------
# One value of every cell, with sequential colours or with diverging ones about a
# centre. Domain walls, found from labels and displacements, are drawn by charge and
# type. Integers and texts are classes.

walls = find_walls(sites, labels)
figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(7.1, 2.5), layout="constrained"
)
CellMapDisplay.from_sites(
    sites,
    1000 * data.pixel_size * np.hypot(*sites.polarization.T),
    values_name="displacement (pm)",
    vmin=0,
    walls=walls,
    ax=left,
)
a_sites = all_sites[all_sites.sublattice == 0]
strain = LatticeStrain().fit_transform(a_sites)
CellMapDisplay.from_sites(
    a_sites, 100 * strain[:, 0], values_name="strain (%)", center=0, ax=middle
)
CellMapDisplay.from_sites(sites, labels, values_name="class", ax=right)

# %%
# ProfileDisplay
# --------------
# Means with bands of one standard error, here across the longest wall.

components = dict(zip(("row", "col"), sites.polarization.T, strict=True))
line = walls.attrs["polylines"][walls.index[0]]
ProfileDisplay.from_profile(
    profile_across(sites, components, line), values_name="displacement (px)"
)

# %%
# AngleHistogramDisplay
# ---------------------
# Along a line or around a circle; a growing angle turns clockwise, as in the image.

figure = plt.figure(figsize=(7.1, 3.0), layout="constrained")
left, right = figure.add_subplot(121), figure.add_subplot(122, projection="polar")
AngleHistogramDisplay.from_predictions(angle[polar], n_peaks=4, ax=left)
AngleHistogramDisplay.from_predictions(angle[polar], polar=True, ax=right)

# %%
# LatentDistributionDisplay
# -------------------------
# Two latents of each cell, coloured by angle or by label, or their density.

figure, axes = plt.subplots(1, 3, figsize=(7.1, 2.2), layout="constrained")
LatentDistributionDisplay.from_predictions(latents, kind="density", ax=axes[0])
LatentDistributionDisplay.from_predictions(latents, labels=labels, ax=axes[1])
LatentDistributionDisplay.from_predictions(latents, angle=angle, ax=axes[2])

# %%
# LatentManifoldDisplay
# ---------------------
# What the decoder makes of a grid of latents, −2 to 2 in units of the prior.

LatentManifoldDisplay.from_estimator(vae, n=7)

# %%
# LoadingMapDisplay
# -----------------
# Components of a linear decomposition and how much of each is where.

linear = make_pipeline(
    PatchExtractor(window_size=40),
    NMF(3, init="nndsvda", max_iter=3000, tol=1e-3, random_state=0),
)
LoadingMapDisplay.from_estimator(linear.fit(sites), sites)

# %%
# ClusterMeansDisplay
# -------------------
# The mean window of each class, and how many cells are in it.

ClusterMeansDisplay.from_predictions(patches, labels)

# %%
# SearchResultsDisplay
# --------------------
# A grid search as a heat map, the best candidate framed.

search = GridSearchCV(
    make_pipeline(PatchExtractor(), PCA(random_state=0)),
    {"patchextractor__window_size": [24, 32, 40], "pca__n_components": [2, 3, 4, 5]},
    scoring=get_scorer("reconstruction"),
    cv=SpatialBlockKFold(2, guard=40 + 3, random_state=0),
).fit(sites)
SearchResultsDisplay.from_estimator(search)
