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
# The windows of figure 3: 48 px, cut at the nearest pixel. They are cut from two
# images: with the preset's displacement of 40 pm, 2 px, and with 15 pm.

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
LENGTHS_PM = (40, 15)
cutter = PatchExtractor(window_size=48, interpolation="nearest")
all_sites, patches, material, variant = {}, {}, {}, {}
for length in LENGTHS_PM:
    data = make_ferroic_image(
        "superlattice", shape=(600, 480), displacement_pm=length, random_state=1
    )
    sites = AtomLocator(sublattice=1).fit_transform(data)
    true = np.flatnonzero(data.sublattice == 1)
    near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
    all_sites[length], patches[length] = sites, cutter.fit_transform(sites)
    material[length] = np.digitize(data.composition[near], [0.1, 0.9])
    variant[length] = np.where(data.wall[near], -1, data.variant[near])

# %%
# From 2 to 16 classes (4a)
# -------------------------
# A class counts for the variant that most of its polar cells have. The share of the
# polar cells that are in a class of their own variant shows whether the classes
# separate variants. Cells of the antipolar layer count, too: each has one of two
# variants.


def share_resolved(labels, variant):
    """Share of the polar cells whose class is one of their variant."""
    polar = variant >= 0
    table = np.zeros((labels.max() + 1, 4))
    np.add.at(table, (labels[polar], variant[polar]), 1)
    return table.max(axis=1).sum() / polar.sum()


def k_means(n_classes):
    return KMeans(n_classes, n_init=3, random_state=0)


def mixture(n_classes):
    return GaussianMixture(
        n_classes, covariance_type="diag", reg_covar=1e-4, n_init=3, random_state=0
    )


counts = np.array([2, 3, 4, 5, 6, 8, 10, 12, 14, 16])
labels, resolved, by_rvae = {}, {}, {}
print("classes                ", *(f"{count:4d}" for count in counts))
for length in LENGTHS_PM:
    for name, model in (("k-means", k_means), ("mixture", mixture)):
        for count in counts:
            own = model(count).fit_predict(patches[length])
            labels[name, length, count] = own
        shares = [
            share_resolved(labels[name, length, count], variant[length])
            for count in counts
        ]
        resolved[name, length] = np.array(shares)
        print(f"{name:8s} {length:2d} pm        ", *(f"{s:4.0%}" for s in shares))
    pipeline = make_pipeline(
        PatchExtractor(window_size=48),
        RotationalVAE(random_state=0),
        AngleAwareScaler(),
        GaussianMixture(6, n_init=10, reg_covar=0.3, random_state=0),
    )
    by_rvae[length] = share_resolved(
        pipeline.fit_predict(all_sites[length]), variant[length]
    )
    print(f"rotational VAE, mixture of 6: {by_rvae[length]:.0%}")

figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(7.1, 2.9), layout="constrained", width_ratios=[1.25, 1, 1]
)
for (name, length), shares in resolved.items():
    left.plot(
        counts,
        shares,
        color="#0072B2" if length == 40 else "#E69F00",
        marker="o" if name == "k-means" else "s",
        ls="-" if name == "k-means" else "--",
        ms=4,
        label=f"{name}, {length} pm",
    )
left.set(
    xlabel="number of classes",
    ylabel="cells in a class of their variant",
    ylim=(0.3, 1.03),
    xticks=range(2, 17, 2),
    title="4a  variants among classes",
)
left.legend(loc="lower right", fontsize="small")
for ax, length in ((middle, 40), (right, 15)):
    CellMapDisplay.from_sites(
        all_sites[length],
        labels["mixture", length, 4],
        colorbar=False,
        scale_bar=length == 40,
        ax=ax,
    )
    ax.set_title(f"4a  4 classes, {length} pm")

# %%
# Embeddings (4b, 4c, 4d, 4e)
# ---------------------------
# Upper row: coloured by the mixture of four classes, as the paper colours them by
# classes. Middle and lower row: by the material, and the ferrite by its true variant.

embeddings = {
    "4b  PCA": PCA(2, random_state=0),
    "4c  t-SNE": TSNE(2, random_state=0),
    "4d  MDS": MDS(2, n_init=1, init="classical_mds", random_state=0),
    "4e  Isomap": Isomap(n_components=2, n_neighbors=60),
}
coordinates = {
    (name, length): model.fit_transform(patches[length])
    for name, model in embeddings.items()
    for length in LENGTHS_PM
}
kinds = {}
for length in LENGTHS_PM:
    texts = np.array(["manganite", "interface", "ferrite, wall"], dtype=object)
    kinds[length] = texts[material[length]]
    for number, angle in enumerate(("45°", "135°", "−135°", "−45°")):
        kinds[length][variant[length] == number] = f"ferrite, {angle}"
    kinds[length] = kinds[length].astype(str)
rows = [
    ("class, 40 pm", 40, labels["mixture", 40, 4]),
    ("truth, 40 pm", 40, kinds[40]),
    ("truth, 15 pm", 15, kinds[15]),
]

figure, axes = plt.subplots(3, 4, figsize=(7.1, 5.4), layout="constrained")
for column, name in zip(axes.T, embeddings, strict=True):
    for ax, (text, length, classes) in zip(column, rows, strict=True):
        LatentDistributionDisplay.from_predictions(
            coordinates[name, length], labels=classes, ax=ax
        )
        handles = ax.get_legend().legend_handles
        ax.get_legend().remove()
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
        if ax in axes[:, 0]:
            ax.set_ylabel(text)
    column[0].set_title(name)
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


for (name, length), points in coordinates.items():
    by_material, chance_material = same_as_neighbor(points, material[length])
    polar = variant[length] >= 0
    by_variant, chance_variant = same_as_neighbor(points[polar], variant[length][polar])
    print(
        f"{name:11s} {length} pm: same material {by_material:4.0%} (chance "
        f"{chance_material:.0%}), same variant {by_variant:4.0%} (chance "
        f"{chance_variant:.0%})"
    )

# %%
# What holds
# ----------
# **Depends:** whether many classes are needed (4a) depends on the displacement. With
# 40 pm four classes are enough for all variants, and the paper's statement fails. With
# 15 pm it holds: from five classes on about nine cells of ten are in a class of their
# variant, and no number of classes up to 16 resolves more than 92 %. The rotational VAE
# with six classes resolves 100 % and 99 %.
#
# **Depends:** the embeddings (4b to 4e) separate the materials with both displacements.
# With 40 pm they also separate the variants, against the statement of the paper. With
# 15 pm the variants overlap in PCA, MDS and Isomap, and t-SNE separates them. No
# embedding shows that the groups are one cell, rotated.
#
# :ref:`sphx_glr_auto_examples_plot_embeddings.py` adds NMF and the rotational VAE, and
# :ref:`sphx_glr_auto_examples_plot_raw_clusters.py` compares windows that are cut at
# the nearest pixel and interpolated ones.
