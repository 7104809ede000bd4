"""
Columns found by a U-Net
========================

The paper [1]_ finds the A and B columns of its BiFeO3/La0.7Sr0.3MnO3 superlattice with
a U-Net (its figure 3b), which classifies every pixel as background, A or B. Peaks of a
filter are as good where columns are clear. Here both locate the columns of one
superlattice, once clear and once tilted, at a few electrons per column.

.. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants from atomically
   resolved STEM images", 2020.
"""

# %%
# Two images of one crystal
# -------------------------
# A dose of 25,000 electrons per square ångström makes some 120 electrons at the peak of
# a Bi column, one of 1,000 makes 5; a tilt of 40 mrad smears the columns.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from scipy.spatial import cKDTree
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomLocator, PolarizationVector, UNetAtomLocator
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import SitesDisplay

# mistilt elongates the columns, of which AtomLocator warns
warnings.filterwarnings("ignore", message="All columns of image 0 are longer")
options = {"preset": "superlattice", "shape": (360, 360), "random_state": 4}
images = {
    "clear": make_ferroic_image(**options),
    "tilted, 5 electrons": make_ferroic_image(**options, dose=1000, mistilt_mrad=40.0),
}

# %%
# One line swaps the locators
# ---------------------------
# A column is found if a site of its sublattice lies within a quarter of the spacing of
# 14 px.

locators = {
    "AtomLocator": AtomLocator(),
    "UNetAtomLocator": UNetAtomLocator(weights="pretrained"),
}


def f1(sites, data, kind):
    """Score the columns of a sublattice away from the border."""
    inner = np.all((data.positions > 14) & (data.positions < 346), axis=1)
    true = data.positions[inner & (data.sublattice == kind)]
    found = sites.interior(14)
    found = found.positions[found.sublattice == kind]
    if not len(found):
        return 0.0
    distance, nearest = cKDTree(found).query(true)
    n_right = len(np.unique(nearest[distance < 3.5]))
    return 2 * n_right / (len(found) + len(true))


located = {}
for title, data in images.items():
    for name, locator in locators.items():
        sites = locator.fit_transform(data)
        located[title, name] = sites
        scores = [f1(sites, data, kind) for kind in (0, 1)]
        print(f"{title:19s} {name:16s} F1: A {scores[0]:.3f}, B {scores[1]:.3f}")

# %%
# The class map, and both lists of columns
# ----------------------------------------
# On the left the probabilities of A and of B in each pixel, in the colours of the
# columns on the right. **On the clear image both locators find the same**, and
# `AtomLocator` is faster. On the other one, columns are missing or have the wrong
# label.

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure, axes = plt.subplots(2, 3, figsize=(7.1, 4.9), layout="constrained")
letters = iter("abcdef")
network = locators["UNetAtomLocator"]
part = {"xlim": (100, 240), "ylim": (240, 100)}
for row, (title, data) in zip(axes, images.items(), strict=True):
    for ax, name in zip(row[1:], locators, strict=True):
        display = SitesDisplay.from_sites(located[title, name], scale_bar=False, ax=ax)
        handles = display.legend_.legend_handles
        if name == "AtomLocator":
            display.legend_.remove()
    (probability,) = network.predict_proba(data.image)
    SitesDisplay.from_sites(located[title, name], markers=False, ax=row[0])
    for kind, handle in enumerate(handles, start=1):
        layer = np.zeros((*data.image.shape, 4))
        layer[..., :3] = to_rgb(handle.get_color())
        layer[..., 3] = 0.85 * probability[..., kind]
        row[0].imshow(layer)
    for ax, text in zip(row, (f"probability, {title}", *locators), strict=True):
        ax.set(title=f"{next(letters)}  {text}", **part)

# %%
# How sure is it?
# ---------------
# Each site has a probability that it is a column of its sublattice. On generated images
# like those of the training it is calibrated; see the model card.

sites = located["tilted, 5 electrons", "UNetAtomLocator"]
for least in (0.0, 0.9, 0.99):
    print(f"probability above {least:4.2f}: {np.mean(sites.probability > least):.1%}")

# %%
# The next stages are the same
# ----------------------------
# The same pipeline with the one and with the other: polarization of the B columns.

for make_locator in (
    lambda: AtomLocator(sublattice=1),
    lambda: UNetAtomLocator(weights="pretrained", sublattice=1),
):
    pipeline = make_pipeline(make_locator(), PolarizationVector())
    vectors = pipeline.fit_transform(images["clear"].image)
    known = np.isfinite(vectors).all(axis=1)
    print(
        f"{known.sum()} vectors, {np.hypot(*vectors[known, :2].T).mean():.2f} px long"
    )
