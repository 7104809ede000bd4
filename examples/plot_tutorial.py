"""
Tutorial: from an image file to a figure
========================================

From a microscope file to a map of variants that can go into a paper, with a look at
every stage. Some ten minutes of reading; the script runs in less than one.
"""

# %%
# The file
# --------
# `load_image` reads dm3, dm4, emd, ser, hspy, mrc, tif, png, npy, HDF5 and others, with
# the size of a pixel where the file tells it; where it does not,
# `load_image(path, pixel_size=0.0195)` says it in nm. **Give the path of an image of
# yours.** Without one, this page writes a file of its own: a generated BiFeO3 film on a
# substrate, as a TIFF with its calibration. What the text says about numbers and
# pictures is about that film.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tifffile

from sklearn_ferroic.datasets import load_image, make_ferroic_image

plt.rcParams["font.size"] = 8
folder = Path(tempfile.mkdtemp())  # results go here
path = None  # "film.dm4"
truth = None
if path is None:
    path = folder / "film.tif"
    truth = make_ferroic_image("film", shape=(560, 560), random_state=2)
    tifffile.imwrite(
        path,
        truth.image,
        imagej=True,
        resolution=(1 / truth.pixel_size, 1 / truth.pixel_size),  # pixels per unit
        metadata={"unit": "nm"},
    )

data = load_image(path)
print(data.description)
unit, scale = ("px", 1) if data.pixel_size is None else ("nm", data.pixel_size)

# %%
# Columns
# -------
# `AtomLocator` finds all columns and fits each as a Gaussian. It needs no parameters
# here; what it has learnt stands in attributes that end in an underscore. The spacing
# is the quickest check of a calibration: for a perovskite along a cube axis it is the
# lattice parameter over √2.

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.inspection import PolarizationMapDisplay, SitesDisplay

locator = AtomLocator()
all_sites = locator.fit_transform(data)
cell = locator.spacing_ * np.sqrt(2)
print(all_sites)
print(f"spacing {locator.spacing_:.2f} px, unit cell {cell * scale:.3f} {unit}")
print(f"not converged: {np.mean(~all_sites.converged):.1%}")
print(f"median standard error {np.nanmedian(all_sites.position_std):.3f} px")

# %%
# Look at the columns before anything else: is each one marked, and marked once? Is one
# sublattice (A, bright) blue and the other (B) orange everywhere?

figure, ax = plt.subplots(figsize=(4.6, 3.6), layout="constrained")
SitesDisplay.from_sites(all_sites, ax=ax)
ax.set(xlim=(0, 200), ylim=(200, 0))

# %%
# Measured polarization
# ---------------------
# Every B column has moved from the middle of its four A columns by
# `sites.polarization`. Angles count from +col (right) towards +row (**down**): the
# wheel shows them. The substrate at the bottom is not polar; what arrows there are,
# disorder and tilt make. In another projection than along a cube axis no column has
# four such neighbours, and there is nothing to draw.

sites = all_sites[all_sites.sublattice == 1]
if np.isfinite(sites.polarization).any():
    figure, ax = plt.subplots(figsize=(5.4, 4.0), layout="constrained")
    PolarizationMapDisplay.from_sites(sites, ax=ax)

# %%
# Patches and the rotational VAE
# ------------------------------
# A window of about 2.4 unit cells around each B column, and the model that tells angle,
# offset and latents of each apart. `AngleRegistration` turns the model's angle, which
# counts from an arbitrary zero, onto the measured polarization: the sites are given a
# second time, as its `y`. It warns where it cannot; the wheel is then arbitrary.

from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AngleRegistration, PatchExtractor, RotationalVAE
from sklearn_ferroic.feature_extraction import suggest_window_size
from sklearn_ferroic.inspection import AngleHistogramDisplay, LatentManifoldDisplay

window_size = suggest_window_size(sites)
reader = make_pipeline(
    PatchExtractor(window_size=window_size),
    RotationalVAE(latent_dim=2, random_state=0),
    AngleRegistration(),
)
pose = reader.fit(sites, sites).transform(sites)
angle = pose[:, 0]

registration = reader["angleregistration"]
print(f"window {window_size} px, columns {list(reader.get_feature_names_out())}")
print(
    f"registered: {registration.is_determined_}, turned by "
    f"{np.degrees(registration.offset_):.1f}° ± "
    f"{np.degrees(registration.offset_std_):.1f}° by {registration.n_sites_} sites"
)

# %%
# The model also says how well it knows the angle of each cell. Cells of the substrate
# have none.

patches = reader["patchextractor"].transform(sites)
_, widths = reader["rotationalvae"].transform_with_std(patches)
polar = widths[:, 0] < np.radians(30)
print(f"cells with a direction: {polar.mean():.1%}")

figure, (left, right) = plt.subplots(1, 2, figsize=(7.1, 3.2), layout="constrained")
histogram = AngleHistogramDisplay.from_predictions(angle[polar], ax=left)
left.set_title("angle of polar cells")
LatentManifoldDisplay.from_estimator(reader["rotationalvae"], n=7, ax=right)
right.set_title("decoded latents")

# %%
# Four sharp peaks, 90° apart: four variants. An image of one variant has one peak. The
# grid shows what is left once they are turned onto each other: brightness and contrast
# of A and B, which tell the film from the substrate.
#
# Clusters
# --------
# One cluster for each peak, and one for the substrate: for cells without a direction,
# where there are more than a few. More clusters than that cut variants along their
# latents and invent walls. `AngleAwareScaler` puts the angle on a circle, so that ±180°
# is no border. A mixture can end in a local optimum, hence ten starts.

from sklearn.mixture import GaussianMixture

from sklearn_ferroic import AngleAwareScaler
from sklearn_ferroic.metrics import circular_mean

n_clusters = max(1, len(histogram.peaks) + (polar.mean() < 0.95))
domains = make_pipeline(
    AngleAwareScaler(),
    GaussianMixture(n_clusters, n_init=10, reg_covar=0.3, random_state=0),
)
labels = domains.fit_predict(pose)
length = np.hypot(*sites.polarization.T) * scale
for label in range(n_clusters):
    own = labels == label
    print(
        f"cluster {label}: {own.sum():3d} cells, {np.mean(polar[own]):4.0%} with a "
        f"direction, on average {np.degrees(circular_mean(angle[own])):+4.0f}°, "
        f"displaced by {np.nanmedian(length[own]):.3f} {unit}"
    )

# %%
# The figure
# ----------
# Colour is the direction, grey are cells without one, lines are borders between
# clusters. The strip above the substrate is no domain: the interface gives its own
# direction to the cells beside it. For a journal: a width in inches that fits the
# column, letters of 7 points, 300 dots per inch. The scale bar comes from the file's
# calibration: the first picture is a display of columns without markers. Arrows make
# the map legible in greyscale. Where the angles are not registered, the title has to
# say so.

from sklearn_ferroic.inspection import DomainMapDisplay

with plt.rc_context({"font.size": 7, "axes.titlesize": 7, "axes.linewidth": 0.5}):
    figure, axes = plt.subplots(1, 2, figsize=(6.9, 3.1), layout="constrained")
    image_ax, map_ax = axes
    SitesDisplay.from_sites(all_sites, markers=False, ax=image_ax)
    image_ax.set_title("HAADF-STEM")
    DomainMapDisplay.from_sites(
        sites,
        angle,
        polar=polar,
        labels=np.where(polar, labels, -1),
        arrows=True,
        scale_bar=False,
        ax=map_ax,
    )
    checked = registration.is_determined_
    map_ax.set_title("direction of polarization" if checked else "not registered")
    for letter, ax in zip("ab", axes, strict=True):
        ax.set_title(letter, loc="left", weight="bold", fontsize=9)
    figure.savefig(folder / "domains.png", dpi=300)
    figure.savefig(folder / "domains.svg")

# %%
# Keep the numbers, too
# ---------------------
# The table opens in any program, with pandas by ``read_csv(path, comment="#")``; units
# and parameters are in the JSON file. The HDF5 file keeps everything.

names = reader.get_feature_names_out()
features = dict(zip(names, pose.T, strict=True)) | {"angle_std": widths[:, 0]}
kept = {"features": features, "labels": labels, "parameters": reader}
sites.to_csv(folder / "sites.csv", **kept)
sites.to_hdf5(folder / "sites.h5", **kept)
print(*sorted(file.name for file in folder.iterdir()), sep="\n")

# %%
# Is it right?
# ------------
# Of a generated image we know. Of yours we do not: see the user guide for how each
# stage fails and how to notice.

from scipy.spatial import cKDTree

from sklearn_ferroic.metrics import angular_error

if truth is not None:
    true = np.flatnonzero(truth.sublattice == 1)
    near = true[cKDTree(truth.positions[true]).query(sites.positions)[1]]
    inside = (truth.variant[near] >= 0) & ~truth.wall[near]
    expected = np.pi / 4 + np.pi / 2 * truth.variant[near[inside]]
    error = np.degrees(np.abs(angular_error(expected, angle[inside])))
    print(
        f"{np.mean(error < 45):.1%} of {inside.sum()} cells within 45° of their variant"
    )
    print(f"median error {np.median(error):.1f}°, registration included")
