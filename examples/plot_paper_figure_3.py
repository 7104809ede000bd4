"""
Figure 3: columns of a superlattice, and classes of raw sub-images
==================================================================

The second material of the paper [1]_ is a BiFeO3/La0.7Sr0.3MnO3 superlattice (3a). Its
columns are found by a U-Net (3b), and the sub-images around them are clustered as they
are, with pixels for features, into eight classes: by k-means (3c) and by a Gaussian
mixture (3d). The superlattice here is generated.

.. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants from atomically
   resolved STEM images", 2020.
"""

# %%
# Image and columns (3a, 3b)
# --------------------------
# Layers of ten cells of BiFeO3 alternate with six of the manganite, and every second
# ferrite layer is antipolar. `UNetAtomLocator` is the U-Net of this package, trained on
# generated images. :ref:`sphx_glr_auto_examples_plot_unet.py` compares it with
# `AtomLocator` at low dose and strong tilt.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

from sklearn_ferroic import PatchExtractor, UNetAtomLocator
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import (
    CellMapDisplay,
    ClusterMeansDisplay,
    SitesDisplay,
)

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
data = make_ferroic_image("superlattice", shape=(600, 480), random_state=1)
columns = UNetAtomLocator(weights="pretrained").fit_transform(data)
sites = columns[columns.sublattice == 1]
print(
    f"{np.sum(columns.sublattice == 0)} A and {len(sites)} B columns found, "
    f"{np.sum(data.sublattice == 0)} and {np.sum(data.sublattice == 1)} in the image"
)
height, width = (side * data.pixel_size for side in data.image.shape)

figure, (left, right) = plt.subplots(1, 2, figsize=(7.1, 3.4), layout="constrained")
SitesDisplay.from_sites(columns, markers=False, ax=left)
left.set_title(f"3a  superlattice, {width:.1f} nm × {height:.1f} nm")
SitesDisplay.from_sites(columns, ax=right)
right.set_title("3b  columns found by the U-Net, detail")
right.set(xlim=(140, 340), ylim=(345, 145))

# %%
# Eight classes of raw sub-images (3c, 3d)
# ----------------------------------------
# Windows of 48 px, cut at the nearest pixel, are points in 2304 dimensions. A mixture
# with full covariances would have 2.7 million parameters a class, so that its
# covariances are diagonal.

patches = PatchExtractor(window_size=48, interpolation="nearest").fit_transform(sites)
models = {
    "3c  k-means": KMeans(8, n_init=5, random_state=0),
    "3d  Gaussian mixture": GaussianMixture(
        8, covariance_type="diag", reg_covar=1e-4, n_init=5, random_state=0
    ),
}
labels = {name: model.fit_predict(patches) for name, model in models.items()}
for name in models:
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(7.1, 2.9), layout="constrained", width_ratios=[1.6, 1]
    )
    ClusterMeansDisplay.from_predictions(patches, labels[name], n_cols=4, ax=left)
    left.set_title(f"{name}, class means", pad=14)
    CellMapDisplay.from_sites(sites, labels[name], values_name="class", ax=right)
    right.set_title(f"{name[:2]}  classes on the image")

# %%
# What the classes follow
# -----------------------
# Mutual information, normalized, with the material, with the brightness of the window
# and with the variant. That with the variant counts the cells of the polar layer only:
# the antipolar layer has both signs in every row.

true = np.flatnonzero(data.sublattice == 1)
near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
material = np.digitize(data.composition[near], [0.1, 0.9])
brightness = patches.mean(axis=1)
levels = np.digitize(brightness, np.quantile(brightness, np.arange(1, 8) / 8))
vectors = data.polarization[near]
together = vectors[cKDTree(sites.positions).query(sites.positions, k=5)[1]].sum(axis=1)
polar = (data.variant[near] >= 0) & ~data.wall[near]
polar &= np.hypot(*together.T) > 2 * np.hypot(*vectors.T)
for name, own in labels.items():
    print(
        f"{name}: mutual information with the material "
        f"{normalized_mutual_info_score(material, own):.2f}, with the brightness "
        f"{normalized_mutual_info_score(levels, own):.2f}, with the variant "
        f"{normalized_mutual_info_score(data.variant[near][polar], own[polar]):.2f}"
    )
    for kind, text in enumerate(("manganite", "interface", "ferrite")):
        share = np.bincount(own[material == kind], minlength=8) / np.sum(
            material == kind
        )
        print(f"  {text:10s}", *(f"{s:4.0%}" for s in share))

# %%
# What holds
# ----------
# **Holds:** the first division is that by chemistry. One class has 95 % of the
# manganite, two more divide the interfaces, and no class has cells of the manganite and
# of the ferrite. The U-Net finds the columns of the clear image (3b); it was trained on
# images of the same generator.
#
# **Fails:** the variants are not hidden. With the preset's displacement of 40 pm every
# ferrite class belongs to one variant of the polar layer, or to one sign of the
# antipolar one. :ref:`sphx_glr_auto_examples_plot_paper_figure_4.py` shows how this
# depends on the number of classes and on the displacement. That two classes are one
# cell, rotated, cannot be seen from either model.
