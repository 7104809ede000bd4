"""
Figure 7: chemistry from the latents alone
==========================================

Without the angle, what remains of a cell is all that is not its variant. The paper [1]_
clusters the latents alone by a Gaussian mixture: the class means (7a), the classes on
the image (7b) and in the plane of the latents (7c) show the chemistry without the
variants. Here this is done with the generated superlattice of figures 3 to 6.

.. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants from atomically
   resolved STEM images", 2020.
"""

# %%
# A mixture on the latents
# ------------------------
# `AngleAwareScaler` drops the angle. Four classes, numbered by the brightness of their
# mean windows.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import (
    CellMapDisplay,
    ClusterMeansDisplay,
    LatentDistributionDisplay,
)

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
N_CLASSES = 4
data = make_ferroic_image("superlattice", shape=(600, 480), random_state=1)
sites = AtomLocator(sublattice=1).fit_transform(data)
patches = PatchExtractor(window_size=36).fit_transform(sites)
pose = RotationalVAE(random_state=0).fit_transform(patches)
chemistry = make_pipeline(
    AngleAwareScaler(angle="drop"),
    GaussianMixture(N_CLASSES, n_init=10, random_state=0),
)
labels = chemistry.fit_predict(pose)
order = np.argsort([patches[labels == k].mean() for k in range(N_CLASSES)])
labels = np.argsort(order)[labels]

figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(7.1, 2.7), layout="constrained", width_ratios=[1, 0.8, 1.05]
)
ClusterMeansDisplay.from_predictions(patches, labels, n_cols=2, ax=left)
left.set_title("7a  class means", pad=14)
CellMapDisplay.from_sites(sites, labels, colorbar=False, ax=middle)
middle.set_title("7b  classes on the image")
LatentDistributionDisplay.from_predictions(pose[:, 3:5], labels=labels, ax=right)
right.set_title("7c  classes of the latents")

# %%
# What the classes are
# --------------------

true = np.flatnonzero(data.sublattice == 1)
near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
material = np.digitize(data.composition[near], [0.1, 0.9])
vectors = data.polarization[near]
together = vectors[cKDTree(sites.positions).query(sites.positions, k=5)[1]].sum(axis=1)
is_antipolar = np.hypot(*together.T) < 2 * np.hypot(*vectors.T)
kind = np.array(["manganite", "interface", "polar ferrite"], dtype=object)[material]
kind[(material == 2) & is_antipolar] = "antipolar ferrite"
kind[(data.variant[near] >= 0) & data.wall[near]] = "wall"
print("share of each kind of cell in each class")
for name in ("manganite", "interface", "polar ferrite", "antipolar ferrite", "wall"):
    own = kind == name
    share = np.bincount(labels[own], minlength=N_CLASSES) / own.sum()
    print(f"{name:18s} {own.sum():4d} cells ", *(f"{s:5.0%}" for s in share))
two = GaussianMixture(2, n_init=10, random_state=0).fit_predict(
    chemistry[0].transform(pose)
)
is_ferrite = material == 2
pure = material != 1
print(
    "two classes and the two materials, adjusted Rand index: "
    f"{adjusted_rand_score(is_ferrite[pure], two[pure]):.2f}"
)
polar = (kind == "polar ferrite") & (data.variant[near] >= 0)
print(
    "four classes and the variants of the polar layer, mutual information: "
    f"{normalized_mutual_info_score(data.variant[near][polar], labels[polar]):.2f}"
)

# %%
# What holds
# ----------
# **Holds:** two classes of the latents alone are the two materials, whatever the
# variant, and four classes have next to nothing of the variants: class 0 is the
# manganite with the interfaces, and no other class has a cell of it.
#
# **Depends:** not all that remains is chemistry. The other three classes divide the
# ferrite into a mostly antipolar one, a mostly polar one and one of walls and rows next
# to the interfaces: the neighbours in the window differ there.
# :ref:`sphx_glr_auto_examples_plot_chemistry.py` compares the latents with principal
# components, and shows that thickness makes a class, too.
