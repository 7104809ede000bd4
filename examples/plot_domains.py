"""
From a map to physics: domains, walls, strain
=============================================

What a domain map is asked next: how large is the polarization and how sure, where are
the walls, of which kind, how wide, and how does the lattice change across them? The
image is a multislice simulation of PbTiO3 on SrTiO3, of which everything is known.
"""

# %%
# Columns and displacements
# -------------------------
# SrTiO3, the lower part, is not polar. Its mean displacement is what mistilt and coma
# make, and is subtracted.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_ferroic import AtomLocator, LatticeStrain, PolarizationVector
from sklearn_ferroic.datasets import load_multislice
from sklearn_ferroic.domains import (
    cell_table,
    find_domains,
    find_walls,
    layer_profile,
    profile_across,
    to_xarray,
)
from sklearn_ferroic.feature_extraction import pool_polarization
from sklearn_ferroic.inspection import (
    CellMapDisplay,
    DomainMapDisplay,
    ProfileDisplay,
)

data = load_multislice()
all_sites = AtomLocator().fit_transform(data)
sites = all_sites[all_sites.sublattice == 1]
measured = np.isfinite(sites.polarization).all(axis=1)
substrate = sites.positions[:, 0] > 470
reference = PolarizationVector(unit="pm", reference="mean")
reference.fit(sites[substrate & measured])
displacement, std = reference.transform_with_std(sites)
print(f"{len(sites)} Ti columns, median standard error {np.nanmedian(std):.1f} pm")

# %%
# Is there order, and how large is it?
# ------------------------------------
# Single cells scatter; means do not. The left half of the substrate shows none after
# the right half has been the reference.

left = sites.positions[:, 1] < 326
right = PolarizationVector(unit="pm", reference="mean")
right.fit(sites[substrate & measured & ~left])
rest = substrate & left
pooled = pool_polarization(sites[rest], reference=right)
print(f"substrate, left half: {pooled.verdict[0]} (p = {pooled.p_value[0]:.2g})")

# %%
# Domains
# -------
# Any labels will do, such as those of a Gaussian mixture on the latents of a model.
# Here they are the nearest of the four directions along the cell's edges. Cells with
# the label -1 belong to no domain.

angle = np.arctan2(displacement[:, 0], displacement[:, 1])
labels = np.round(angle / (np.pi / 2)) % 4
labels[~measured | substrate | (np.hypot(*displacement.T) < 7)] = -1
domains = find_domains(sites, labels, vectors=displacement)
columns = ["label", "n_cells", "area_nm2", "magnitude", "magnitude_std", "angle_deg"]
print(domains[columns].round(2).to_string(index=False))

# %%
# The Ti columns hold O, too, which is displaced further the same way; the fits of this
# image show 1.13 times the displacement of Ti. Born effective charges make it a
# polarization. It is **opposite** to the displacement of Ti relative to Pb, because the
# O ions move farther.

polarization = PolarizationVector(
    unit="uC/cm2", reference="mean", material="PbTiO3", column_factor=1.13
)
polarization.fit(sites[substrate & measured])
vectors = polarization.transform(sites)
film = measured & ~substrate
print(f"median |P| of the film: {np.median(np.hypot(*vectors[film].T)):.0f} µC/cm²")

# %%
# Walls
# -----
# Type, charge, length and width, each with its error. The polarization is given, not
# the displacement, so that head-to-head means positive bound charge.

walls = find_walls(sites, labels, vectors)
columns = ["angle_deg", "wall_type", "charge", "net_normal", "length_nm"]
columns += ["width_nm", "width_std_nm"]
print(walls[columns].round(2).to_string(index=False))

# %%
# Strain
# ------
# Against the substrate: fit there, transform everywhere. The Pb and Sr columns make the
# lattice; that of the Ti columns is displaced by the polarization, too. The a domain
# has its long axis along the columns of the image.

a_sites = all_sites[all_sites.sublattice == 0]
strain = LatticeStrain().fit(a_sites[a_sites.positions[:, 0] > 470])
values, errors = strain.transform_with_std(a_sites)
print(f"median standard error of strain_yy: {100 * np.nanmedian(errors[:, 1]):.2f} %")

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure, (strain_ax, polarization_ax) = plt.subplots(
    1, 2, figsize=(7.1, 3.3), layout="constrained"
)
DomainMapDisplay.from_vectors(
    sites,
    vectors,
    magnitude_name="|P| (µC/cm²)",
    vmin=0,
    vmax=100,
    walls=walls,
    ax=polarization_ax,
)
polarization_ax.set_title("b  polarization")
CellMapDisplay.from_sites(
    a_sites,
    100 * values[:, 1],
    values_name="strain along the rows (%)",
    center=0,
    percentiles=(2, 98),
    walls=walls,
    ax=strain_ax,
)
strain_ax.set_title("a  strain")

# %%
# Profiles
# --------
# Across the 180° wall, along its normals, and layer by layer from the surface down to
# the substrate, where the a domain, which not all layers cross, widens the errors.

line = walls.attrs["polylines"][walls.index[walls.wall_type == "180"][0]]
components = {"along the rows": vectors[:, 0], "along the columns": vectors[:, 1]}
across = profile_across(sites, components, line, reach_cells=6)
layers = layer_profile(a_sites, values[:, 4])
figure, (first, second) = plt.subplots(1, 2, figsize=(7.1, 2.5), layout="constrained")
ProfileDisplay.from_profile(
    across, values_name="polarization (µC/cm²)", marks=[0], ax=first
)
ProfileDisplay.from_profile(layers, values_name="b / a", ax=second)
first.set_title("c  across the 180° wall")
second.set_title("d  by layers")

# %%
# Tables and maps for other programs
# ----------------------------------

table = cell_table(sites, vectors=vectors, domains=domains, walls=walls)
print(table.columns.tolist())
print(dict(to_xarray(sites, table).sizes))
