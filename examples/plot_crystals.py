"""
Crystals other than the [001] perovskite
========================================

A motif lists the columns of a projected cell. MotifAssigner finds it in the located
sites, whatever its rotation, strain and domain walls, and measures the displacement of
each column in the coordination shell of the motif. All images are drawn here.
"""

# %%
# Images of three crystals
# ------------------------
# Columns of a preset, rotated by 8 degrees, with missing columns and shot noise. All
# species but the brightest are displaced, and in the right half the opposite way.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_ferroic import AtomLocator, Motif, MotifAssigner, PolarizationVector
from sklearn_ferroic.inspection import DomainMapDisplay, SitesDisplay

SIZE = 300


def draw_crystal(motif, pixel_size, displacement, seed=0):
    """Draw an image of a motif's columns as Gaussians, with Poisson noise."""
    rng = np.random.default_rng(seed)
    angle = np.deg2rad(8)
    turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    index = np.stack(np.meshgrid(*2 * [np.arange(-60, 60)]), -1).reshape(-1, 1, 2)
    cell = motif.cell / pixel_size @ turn
    positions = ((index + motif.fractions) @ cell).reshape(-1, 2) + SIZE / 2
    column = np.tile(np.arange(len(motif)), len(index))
    shown = ((positions > 0) & (positions < SIZE)).all(axis=1)
    shown &= rng.random(len(positions)) > 0.01
    positions, column = positions[shown], column[shown]
    side = np.where(positions[:, :1] @ [[0.3]] + positions[:, 1:] < 190, 1, -1)
    moved = (motif.species_labels[column] > 0)[:, None] * side * displacement
    intensity = np.array([item.intensity for item in motif.columns])[column]
    rows = np.arange(SIZE)
    sigma = 0.17 * motif.geometry().spacing / pixel_size
    across, down = (
        np.exp(-((rows[:, None] - x) ** 2) / (2 * sigma**2))
        for x in (positions + moved).T
    )
    image = across * (300 * intensity / intensity.max()) @ down.T
    return rng.poisson(image + 30).astype(np.float32)


crystals = [
    ("perovskite_110", 0.014, [-0.9, 0.3]),
    ("honeycomb", 0.0105, [0.6, 0.8]),
    ("tungsten_bronze_001", 0.024, [0.0, 0.0]),
]
images = []
for name, pixel_size, displacement in crystals:
    motif = Motif.from_preset(name)
    images.append((draw_crystal(motif, pixel_size, displacement), pixel_size))

# %%
# Columns of the motif
# --------------------
# The sublattices of the assigned sites are the species of the motif. The honeycomb's
# second species is much darker than the first: the locator needs the distance of
# nearest columns, which is a third of the cell's long diagonal.

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure, axes = plt.subplots(1, 3, figsize=(7.1, 2.6), layout="constrained")
letters = iter("abcdef")
for ax, image, (name, pixel_size, _) in zip(axes, images, crystals, strict=True):
    motif = Motif.from_preset(name)
    spacing = motif.geometry().spacing / pixel_size
    located = AtomLocator(spacing=spacing).fit_transform(image)
    assigner = MotifAssigner(motif=motif).fit(located)
    sites = assigner.transform(located)
    a, b = 1000 * pixel_size * np.linalg.norm(assigner.lattice_vectors_[0][0], axis=1)
    print(
        f"{name}: {len(sites)} sites, {assigner.assigned_share_:.1%} assigned, "
        f"a = {a:.1f} pm, b = {b:.1f} pm"
    )
    species = np.array(motif.species)[sites.motif_column]
    SitesDisplay.from_sites(sites, values=species, values_name="species", ax=ax)
    ax.set_title(f"{next(letters)}  {name}")

# %%
# Displacements in the shells of the motif
# ----------------------------------------
# Six neighbours along [110], three in a honeycomb. Shells with a missing neighbour have
# NaN; `nan_reasons` distinguishes missing neighbours from distorted shells.

figure, axes = plt.subplots(1, 2, figsize=(5.2, 3.2), layout="constrained")
for ax, image, (name, pixel_size, true) in zip(axes, images, crystals, strict=False):
    motif = Motif.from_preset(name)
    spacing = motif.geometry().spacing / pixel_size
    located = AtomLocator(spacing=spacing).fit_transform(image)
    sites = MotifAssigner(motif=motif).fit_transform(located)
    fainter = sites[sites.sublattice == 1]
    DomainMapDisplay.from_vectors(fainter, color_wheel="below", ax=ax)
    ax.set_title(f"{next(letters)}  displacement of {motif.species[1]}")
    polarization = PolarizationVector(shell=motif, unit="pm").fit(located)
    for number, shell in polarization.shells_.items():
        print(
            f"{name} {motif.species[number]}: {shell.size} neighbours, "
            f"{1000 * pixel_size * shell.distance:.0f} pm away, complete for "
            f"{shell.complete:.0%}"
        )
    length = np.nanmedian(np.hypot(*fainter.polarization.T))
    print(f"{name}: displacement {length:.2f} px, true {np.hypot(*true):.2f} px")

# %%
# The shell without a motif
# -------------------------
# With two sublattices, `shell="auto"` finds the number of neighbours from the
# distribution of their distances.

figure, ax = plt.subplots(figsize=(3.5, 2.6), layout="constrained")
located = AtomLocator().fit_transform(images[0])
automatic = PolarizationVector(shell="auto").fit(located)
b_site = located.positions[located.sublattice == 1]
a_site = located.positions[located.sublattice == 0]
center = b_site[np.linalg.norm(b_site - SIZE / 2, axis=1) < SIZE / 3]
distances = np.linalg.norm(center[:, None] - a_site[None], axis=2)
distances = distances[distances < 50]
ax.hist(1000 * images[0][1] * distances, bins=60, color="0.6")
shell = automatic.shells_[1]
ax.axvline(
    1000 * images[0][1] * shell.distance, color="#D55E00", label="mean of the shell"
)
ax.set(xlabel="distance from B to A (pm)", ylabel="pairs of columns")
ax.set_title(f"f  perovskite_110: {shell.size} neighbours")
ax.legend()
