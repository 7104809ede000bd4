"""
Windows on the columns or on the ideal lattice
==============================================

A scanned image is never quite periodic: the specimen drifts while the beam goes from
line to line, and the crystal itself is strained. The paper [1]_ therefore centres
sub-images on the fitted columns and not on the points of an ideal lattice. Here both
are done on one crystal, imaged with more and more drift.

.. [1] S. V. Kalinin et al., "Unsupervised learning of ferroic variants from atomically
   resolved STEM images", 2020.
"""

# %%
# The crystal and its images
# --------------------------
# The generated film has four variants 90° apart. A drift of `drift` pixels over the
# frame shears and stretches the image, which the fitted lattice takes up, and bends it
# by a slow wave, which no lattice can. The same random state gives the same crystal
# each time.

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree

from sklearn_ferroic import AtomLocator, PatchExtractor, RotationalVAE
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import DomainMapDisplay
from sklearn_ferroic.metrics import angle_registration, angular_error

DRIFTS = (0, 10, 20)


def locate(drift):
    """Return the B columns and the true direction of each: NaN outside domains."""
    data = make_ferroic_image("film", shape=(440, 440), drift=drift, random_state=2)
    sites = AtomLocator(sublattice=1).fit_transform(data)
    true = np.flatnonzero(data.sublattice == 1)
    near = true[cKDTree(data.positions[true]).query(sites.positions)[1]]
    known = (data.variant[near] >= 0) & ~data.wall[near]
    return sites, np.where(known, np.pi / 4 + np.pi / 2 * data.variant[near], np.nan)


images = {drift: locate(drift) for drift in DRIFTS}

# %%
# How far the lattice is off
# --------------------------
# The distance between a column and its place in the ideal lattice includes what we look
# for, the polar displacement. Without drift it is hardly more than that. What drift
# adds shifts the whole window off the centre of rotation.

for drift, (sites, _) in images.items():
    away = np.hypot(*(sites.positions - sites.lattice_position).T)
    print(f"drift {drift:2d} px: columns {np.nanmedian(away):.1f} px from their place")

# %%
# One word changes the centre
# ---------------------------

results = {}
for drift, (sites, truth) in images.items():
    for center in ("atom", "lattice"):
        patches = PatchExtractor(window_size=40, center=center).fit_transform(sites)
        vae = RotationalVAE(max_epochs=10, random_state=0).fit(patches)
        pose, width = vae.transform_with_std(patches)
        angle, certain = pose[:, 0], width[:, 0] < np.radians(30)
        known = np.isfinite(truth)
        angle += angle_registration(truth[known], angle[known])
        error = np.degrees(np.abs(angular_error(truth[known], angle[known])))
        results[drift, center] = angle, certain, error
        print(
            f"drift {drift:2d} px, {center:7s}: {np.mean(error < 45):6.1%} of the "
            f"cells in the right variant, median error {np.median(error):.1f}°"
        )

# %%
# What to see
# -----------
# Each cell is coloured by its angle and grey where the model is uncertain of it by more
# than 30°, as in the substrate at the bottom. The four variants should appear as four
# colours with straight walls. With windows on the columns they do for every drift. With
# windows on the lattice they do as long as the crystal fits a lattice; where drift has
# bent it, the offset of the window is as large as the polarization. The model is then
# uncertain of most angles (e), or they are those of the offset and follow the wave of
# the drift (f). The paper states that
# materials and microscope distortions preclude the ideal lattice as a reference.
# **This holds here** as soon as the distortion is as large as the displacement.

plt.rcParams["font.size"] = 8
letters = iter("abcdef")
figure, axes = plt.subplots(2, 3, figsize=(7.1, 5.1), layout="constrained")
for row, center in enumerate(("atom", "lattice")):
    for col, drift in enumerate(DRIFTS):
        sites = images[drift][0]
        angle, certain, error = results[drift, center]
        DomainMapDisplay.from_sites(
            sites,
            angle,
            polar=certain,
            ax=axes[row, col],
            color_wheel=row == 0 and col == 2,
            scale_bar=col == 0,
            arrows=True,
        )
        axes[row, col].set_title(
            f"{next(letters)}  centre: {center}, drift {drift} px\n"
            f"{np.mean(error < 45):.1%} right, median error {np.median(error):.1f}°",
            fontsize="medium",
            loc="left",
        )
