"""
How many classes until variants appear?
=======================================

The plain way to sort sub-images is to cluster their pixels. The paper [1]_ does so by
k-means and by a Gaussian mixture and needs many classes before rotational variants show
among them, for chemistry and imaging come first. Here the same is asked of a generated
film of weak polarization, where the truth is known.

.. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants from atomically
   resolved STEM images", 2020.
"""

# %%
# Windows of a film
# -----------------
# 48 px are 2.4 unit cells, so that a window is a point in 2304 dimensions. The film has
# four variants, displaced by 15 pm, which is less than a pixel; the substrate is not
# polar and darker; brightness grows across the image with the thickness of the foil.
# Windows are cut twice: at the nearest whole pixel, as is usual, and interpolated so
# that the fitted column lies in the middle.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import (
    AngleAwareScaler,
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import ClusterMeansDisplay

data = make_ferroic_image(
    "film", shape=(480, 480), displacement_pm=15.0, random_state=1
)
sites = AtomLocator(sublattice=1).fit_transform(data)
true = np.flatnonzero(data.sublattice == 1)
near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
variant = np.where(data.wall[near], -1, data.variant[near])
windows = {
    "whole pixels": PatchExtractor(interpolation="nearest").fit_transform(sites),
    "sub-pixel": PatchExtractor().fit_transform(sites),
}

# %%
# From 3 to 12 classes
# --------------------
# A class counts for the variant that most of its polar cells have. The share of polar
# cells that are in a class of their own variant says whether the classes tell variants
# apart. A mixture with full covariances would have 2.7 million parameters a class, so
# its covariances are diagonal.


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
        n_classes, covariance_type="diag", reg_covar=1e-4, n_init=3, random_state=0
    )


counts = np.arange(3, 13)
resolved = {}
for cut, patches in windows.items():
    for model in (k_means, mixture):
        labels = [model(count).fit_predict(patches) for count in counts]
        resolved[model.__name__, cut] = np.array([share_resolved(k) for k in labels])

# %%
# The same question after the rotational VAE
# ------------------------------------------

pipeline = make_pipeline(
    RotationalVAE(random_state=0),
    AngleAwareScaler(),
    GaussianMixture(5, n_init=10, reg_covar=0.3, random_state=0),
)
by_rvae = share_resolved(pipeline.fit_predict(windows["sub-pixel"]))

print("classes", " " * 15, *(f"{count:6d}" for count in counts))
for (name, cut), shares in resolved.items():
    print(f"{name:8s}{cut:15s}", *(f"{share:6.1%}" for share in shares))
    enough = counts[shares > 0.95]
    verdict = f"from {enough[0]} classes on" if len(enough) else "never"
    print(f"{'':8s}95 % of the polar cells: {verdict}")
print(f"rVAE and a mixture of 5 classes: {by_rvae:.1%}")

# %%
# What to see
# -----------
# Four classes do not give four variants: the substrate and the interface take classes
# of their own first. With sub-pixel windows the variants are there a few classes later;
# with windows cut at whole pixels, the offset of up to half a pixel from window to
# window is as large as the polarization, and some of the cells stay mixed however many
# classes there are.
#
# The paper says that clusters of raw sub-images are dominated by chemistry and by the
# microscope, and that variants need many classes. **It holds here for windows cut at
# whole pixels.** With the column in the middle of its window it holds only in part: the
# first classes are the materials, but a few more are enough. The angle of the
# rotational VAE needs no such search, and says besides how the classes are related.

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure, (left, right) = plt.subplots(
    1, 2, figsize=(7.1, 3.0), layout="constrained", width_ratios=[1, 1.3]
)
for (name, cut), shares in resolved.items():
    left.plot(
        counts,
        shares,
        color="#0072B2" if cut == "sub-pixel" else "#E69F00",
        ms=4,
        marker="o" if name == "k_means" else "s",
        ls="-" if name == "k_means" else "--",
        label=f"{name.replace('_', '-')}, {cut}",
    )
left.axhline(by_rvae, color="k", ls=":", label="rVAE + mixture of 5")
left.set(
    xlabel="number of classes",
    ylabel="polar cells in a class of their variant",
    ylim=(0.4, 1.02),
    xticks=counts,
)
left.legend(loc="lower right", fontsize="small")
left.set_title("a  variants among classes")
shown = k_means(6).fit_predict(windows["sub-pixel"])
ClusterMeansDisplay.from_predictions(windows["sub-pixel"], shown, n_cols=3, ax=right)
right.set_title("b  mean windows, k-means, sub-pixel", pad=14)
