"""
Classes of cells without a mixture
==================================

`n_classes` adds discrete classes to the rotational VAE: every class has a canonical
image of its own, the angle is common to all, and the latents describe the rest. Here
the classes are the layers of a superlattice.
"""

# %%
# A superlattice with antipolar layers
# ------------------------------------
# La0.7Sr0.3MnO3, polar BiFeO3, and BiFeO3 in which the polarization of neighbouring
# cells is opposite.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import CellMapDisplay

data = make_ferroic_image("superlattice", shape=(660, 300), random_state=0)
sites = AtomLocator(sublattice=1).fit_transform(data)
true = np.flatnonzero(data.sublattice == 1)
near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
composition = data.composition[near]

# %%
# Three classes of at most five
# -----------------------------
# Five are allowed. Those that the evidence does not support remain empty.

patches = PatchExtractor(window_size=48).fit_transform(sites)
vae = RotationalVAE(n_classes=5, max_epochs=8, random_state=0).fit(patches)
labels = vae.predict(patches)
for label, share in zip(vae.classes_, vae.class_shares_, strict=True):
    if share > 0:
        members = composition[labels == label]
        print(f"class {label}: {share:.0%}, BiFeO3 content {members.mean():.2f}")
print("empty:", np.count_nonzero(vae.class_shares_ == 0))

# %%
# Maps and canonical images
# -------------------------
# The two classes of BiFeO3 differ in the displacements of the columns of the same kind
# around the central one: in antipolar cells half of them are displaced in the opposite
# direction. This is not a rotation of the window. The classes agree with the layers
# except for single cells at the interfaces.

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure = plt.figure(figsize=(7.1, 3.6), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1.1, 1])
axes = left.subplots(1, 2)
CellMapDisplay.from_sites(sites, labels, colorbar=False, ax=axes[0])
axes[0].set_title("a  classes")
CellMapDisplay.from_sites(
    sites,
    composition,
    values_name="true share of BiFeO3",
    vmin=0,
    vmax=1,
    scale_bar=False,
    ax=axes[1],
)
axes[1].set_title("b  composition")
n_used = np.count_nonzero(vae.class_shares_)
shares = np.eye(5)[:n_used]
images = vae.decode(np.zeros((n_used, 2)), shares)
for number, (ax, image) in enumerate(
    zip(right.subplots(1, n_used), images, strict=True)
):
    ax.imshow(image, cmap="gray", vmin=images.min(), vmax=images.max())
    ax.set_axis_off()
    ax.set_title(f"{'cde'[number]}  class {number}")
