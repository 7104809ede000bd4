"""
Chemistry from the latents alone
================================

Leave the angle out, and what is left of a cell is all that is not its variant. The
paper [1]_ clusters the two latents alone to see chemistry without variants. Here this
is done on a superlattice of two materials.

.. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants from atomically
   resolved STEM images", 2020.
"""

# %%
# A superlattice of two materials
# -------------------------------
# Ten cells of BiFeO3, with four variants, and six of La0.7Sr0.3MnO3 in turn.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
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
    DomainMapDisplay,
    LatentDistributionDisplay,
)
from sklearn_ferroic.metrics import latent_leakage_score
from sklearn_ferroic.model_selection import SpatialBlockKFold

data = make_ferroic_image(
    "superlattice", shape=(560, 520), antipolar="none", random_state=0
)
sites = AtomLocator(sublattice=1).fit_transform(data)
true = np.flatnonzero(data.sublattice == 1)
near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
composition, variant = data.composition[near], data.variant[near]
material = np.digitize(composition, [0.1, 0.9])  # manganite, interface, ferrite

# %%
# One word drops the angle
# ------------------------
# Three classes: two materials and what is between them. For comparison, the same
# mixture on as many principal components of the pixels.

mixture = GaussianMixture(3, n_init=10, random_state=0)
patches = PatchExtractor(window_size=40).fit_transform(sites)
pipelines = {
    "latents of the rVAE": make_pipeline(
        RotationalVAE(random_state=0), AngleAwareScaler(angle="drop"), mixture
    ),
    "principal components": make_pipeline(PCA(2, random_state=0), mixture),
}
features, labels = {}, {}
polar = variant >= 0
folds = SpatialBlockKFold(4, coordinates=sites.positions[polar], random_state=0)
for name, pipeline in pipelines.items():
    labels[name] = pipeline.fit_predict(patches)
    features[name] = pipeline[:-1].transform(patches)
    # numbered by composition, so that colours compare
    order = np.argsort([composition[labels[name] == k].mean() for k in range(3)])
    labels[name] = np.argsort(order)[labels[name]]
    leakage = latent_leakage_score(
        features[name][polar], variant[polar], target_type="variant", cv=folds
    )
    agreement = adjusted_rand_score(material, labels[name])
    shared = normalized_mutual_info_score(variant[polar], labels[name][polar])
    correlation = max(abs(spearmanr(f, composition)[0]) for f in features[name].T)
    print(name)
    print(f"  classes and materials, adjusted Rand index: {agreement:.2f}")
    print(f"  classes and variants, mutual information:   {shared:.2f}")
    print(f"  variants readable from the features:        {leakage:.2f}")
    print(f"  best rank correlation with composition:     {correlation:.2f}")

# %%
# What to see
# -----------
# The latents tell the manganite from the ferrite, whatever the variant: on other blocks
# of the image next to nothing of the variant can be read from them. What their classes
# share with the variants is due to the layers, which differ in both. The principal
# components of the same windows do the opposite: their classes are variants, and one of
# them takes in the manganite as well. The paper separates chemistry from variants by
# clustering the latents alone. **It holds here.**
#
# Not all that is left is chemistry, though. The third class is not the interface: it
# divides the two ferrite layers, for the foil is thicker at the bottom and its columns
# are brighter there. Latents hold whatever is not rotation, and the mixture divides
# what varies most.

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure, axes = plt.subplots(
    2, 3, figsize=(7.1, 4.6), layout="constrained", width_ratios=[1.1, 0.85, 1]
)
CellMapDisplay.from_sites(
    sites,
    composition,
    values_name="true share of BiFeO3",
    vmin=0,
    vmax=1,
    ax=axes[0, 2],
)
axes[0, 2].set_title("c  composition")
direction = np.pi / 4 + np.pi / 2 * variant
DomainMapDisplay.from_sites(
    sites, direction, polar=polar, arrows=True, scale_bar=False, ax=axes[1, 2]
)
axes[1, 2].set_title("f  true variants")
for row, (name, letters) in enumerate(zip(pipelines, ("ab", "de"), strict=True)):
    LatentDistributionDisplay.from_predictions(
        features[name],
        labels=labels[name],
        names=("feature 0", "feature 1"),
        ax=axes[row, 0],
    )
    axes[row, 0].set_title(f"{letters[0]}  {name}")
    CellMapDisplay.from_sites(
        sites, labels[name], colorbar=False, scale_bar=False, ax=axes[row, 1]
    )
    axes[row, 1].set_title(f"{letters[1]}  their classes")
