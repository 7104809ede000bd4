"""
Figure 4: how many classes, and embeddings of raw sub-images
============================================================

How many classes does it take until the variants are among them (4a)? And do PCA (4b),
t-SNE (4c), multidimensional scaling (4d) and Isomap (4e) separate them? The paper [1]_
finds that both follow chemistry and imaging before they follow the variants. Here the
same is done with a generated superlattice, of which the variants are known.

.. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants from atomically
   resolved STEM images", 2020.
"""

# %%
# Windows
# -------
# The windows of figure 3: 48 px, cut at the nearest pixel.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import MDS, TSNE, Isomap
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import CellMapDisplay, LatentDistributionDisplay

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
data = make_ferroic_image("superlattice", shape=(600, 480), random_state=1)
sites = AtomLocator(sublattice=1).fit_transform(data)
patches = PatchExtractor(window_size=48, interpolation="nearest").fit_transform(sites)
true = np.flatnonzero(data.sublattice == 1)
near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
material = np.digitize(data.composition[near], [0.1, 0.9])
variant = np.where(data.wall[near], -1, data.variant[near])

# %%
# From 2 to 16 classes (4a)
# -------------------------
# A class counts for the variant that most of its polar cells have. The share of the
# polar cells that are in a class of their own variant is that of the cells that the
# classes would sort right. The antipolar layers count, too: each of their cells has one
# of two variants.


def share_resolved(labels):
    """Share of the polar cells whose class is one of their variant."""
    polar = variant >= 0
    table = np.zeros((labels.max() + 1, 4))
    np.add.at(table, (labels[polar], variant[polar]), 1)
    return table.max(axis=1).sum() / polar.sum()


def k_means(n_classes):
    return KMeans(n_classes, n_init=3, random_state=0)


def mixture(n_classes):
    return GaussianMixture(
        n_classes, covariance_type="diag", reg_covar=1e-4, random_state=0
    )


counts = np.array([2, 3, 4, 5, 6, 8, 10, 12, 14, 16])
labels = {
    (name, count): model(count).fit_predict(patches)
    for name, model in (("k-means", k_means), ("Gaussian mixture", mixture))
    for count in counts
}
resolved = {
    name: np.array([share_resolved(labels[name, count]) for count in counts])
    for name in ("k-means", "Gaussian mixture")
}
chance = np.bincount(variant[variant >= 0]).max() / np.sum(variant >= 0)
pipeline = make_pipeline(
    PatchExtractor(window_size=48),
    RotationalVAE(random_state=0),
    AngleAwareScaler(),
    GaussianMixture(6, n_init=5, random_state=0),
)
by_rvae = share_resolved(pipeline.fit_predict(sites))
print("classes         ", *(f"{count:4d}" for count in counts))
for name, shares in resolved.items():
    print(f"{name:16s}", *(f"{share:4.0%}" for share in shares))
print(f"rotational VAE and a mixture of 6: {by_rvae:.0%}; one class only: {chance:.0%}")

figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(7.1, 2.6), layout="constrained", width_ratios=[1.25, 1, 1]
)
for (name, shares), style in zip(resolved.items(), ("o-", "s--"), strict=True):
    left.plot(counts, shares, style, ms=4, label=name)
left.axhline(by_rvae, color="k", ls=":", label="rVAE, mixture of 6")
left.axhline(chance, color="0.5", lw=0.8, label="one class")
left.set(
    xlabel="number of classes",
    ylabel="cells in a class of their variant",
    ylim=(0.2, 1.02),
    title="4a  variants among classes",
)
left.legend(fontsize="small")
for ax, count in ((middle, 4), (right, 14)):
    CellMapDisplay.from_sites(
        sites, labels["Gaussian mixture", count], colorbar=False, ax=ax
    )
    ax.set_title(f"4a  mixture, {count} classes")

# %%
# Embeddings (4b, 4c, 4d, 4e)
# ---------------------------
# Upper row: coloured by the mixture of eight classes, as in the paper. Lower row: by
# the material, and the ferrite by its true variant.

embeddings = {
    "4b  PCA": PCA(2, random_state=0),
    "4c  t-SNE": TSNE(2, random_state=0),
    "4d  MDS": MDS(2, n_init=1, init="classical_mds", random_state=0),
    "4e  Isomap": Isomap(n_components=2, n_neighbors=60),
}
coordinates = {name: model.fit_transform(patches) for name, model in embeddings.items()}
truth = np.array(["manganite", "interface", "ferrite, wall"])[material]
for number, angle in enumerate(("45°", "135°", "−135°", "−45°")):
    truth[variant == number] = f"ferrite, {angle}"

figure, axes = plt.subplots(2, 4, figsize=(7.1, 4.0), layout="constrained")
for column, (name, points) in zip(axes.T, coordinates.items(), strict=True):
    for ax, classes in zip(column, (labels["Gaussian mixture", 8], truth), strict=True):
        LatentDistributionDisplay.from_predictions(points, labels=classes, ax=ax)
        handles = ax.get_legend().legend_handles
        ax.get_legend().remove()
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    column[0].set_title(name)
axes[0, 0].set_ylabel("by class of the mixture")
axes[1, 0].set_ylabel("by the truth")
figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)

# %%
# What the embeddings separate
# ----------------------------
# Share of the cells whose nearest neighbour in the plane is of the same kind.


def same_as_neighbor(points, kinds):
    """Share of points whose nearest neighbour is of the same kind, and by chance."""
    nearest = cKDTree(points).query(points, k=2)[1][:, 1]
    shares = np.unique(kinds, return_counts=True)[1] / len(kinds)
    return np.mean(kinds == kinds[nearest]), np.sum(shares**2)


polar = variant >= 0
for name, points in coordinates.items():
    by_material, chance_material = same_as_neighbor(points, material)
    by_variant, chance_variant = same_as_neighbor(points[polar], variant[polar])
    print(
        f"{name:11s} same material {by_material:4.0%} (chance {chance_material:.0%}), "
        f"same variant {by_variant:4.0%} (chance {chance_variant:.0%})"
    )
