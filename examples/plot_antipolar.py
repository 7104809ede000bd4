"""
Antipolar order and vortices
============================

In an antiferroelectric such as PbZrO3 the displacements cancel within a few cells, and
a mean over a domain is zero. Their correlation along the lattice shows the order and
its period. A map of winding numbers finds vortices. All data are generated here.
"""

# %%
# Two antiferroelectric domains
# -----------------------------
# Up, up, down, down along the one and the other diagonal of the lattice, with noise as
# large as the displacement.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_ferroic import AtomSites
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.domains import antipolar_order, find_vortices, vector_topology
from sklearn_ferroic.feature_extraction import pool_polarization
from sklearn_ferroic.inspection import CellMapDisplay, DomainMapDisplay

rng = np.random.default_rng(0)
index = np.indices((40, 40)).reshape(2, -1).T
positions = 20.0 * index + 10
phase = np.where(index[:, 0] < 22, index.sum(axis=1), index[:, 0] - index[:, 1])
sign = np.array([1, 1, -1, -1])[phase % 4]
direction = np.where(index[:, :1] < 22, [0.7, -0.7], [0.7, 0.7])
vectors = sign[:, None] * direction + rng.normal(0, 0.5, (1600, 2))
blank = np.zeros((800, 800), np.float32)
sites = AtomSites(blank, positions, polarization=vectors, pixel_size=0.02)

pooled = pool_polarization(sites)
print(f"mean vector: {pooled.mean[0].round(3)} px, {pooled.verdict[0]}")
order = antipolar_order(sites)
print(
    f"period {order.period:.2f} rows, {0.02 * order.period_px:.2f} nm between equal "
    f"phases, {order.significance:.0f} standard deviations above noise"
)

# %%
# The correlation, its spectrum, and where the order is
# -----------------------------------------------------
# The spectrum has the peaks of both domains; the one of the larger domain is reported.
# The map shows its amplitude: it finds that domain.

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure, axes = plt.subplots(
    1, 3, figsize=(7.1, 2.7), layout="constrained", width_ratios=[1, 1, 1.1]
)
extent = [-0.5, 0.5, 0.5, 0]
shown = axes[0].imshow(order.spectrum, extent=extent, aspect="auto", cmap="magma")
axes[0].plot(*order.wave_vector[::-1], "o", mfc="none", mec="c", ms=11)
axes[0].set(xlabel="periods per b", ylabel="periods per a", title="a  spectrum")
axes[0].set_xticks([-0.5, 0, 0.5])
axes[0].set_box_aspect(1)
figure.colorbar(shown, ax=axes[0], shrink=0.6)
CellMapDisplay.from_sites(
    sites, 20 * order.antipolar, values_name="modulation (pm)", vmin=0, ax=axes[1]
)
axes[1].set_title("b  amplitude")
DomainMapDisplay.from_vectors(sites, scale_bar=False, ax=axes[2])
axes[2].set_title("c  vectors")

# %%
# Lamellae that alternate from cell to cell
# -----------------------------------------
# The antipolar superlattice of the generator has a period of two rows.

data = make_ferroic_image("superlattice", antipolar="all", random_state=0)
b_site = data.sublattice == 1
lamellae = AtomSites(
    data.image, data.positions[b_site], polarization=data.polarization[b_site]
)
print(f"superlattice: period {antipolar_order(lamellae).period:.2f} rows")

# %%
# Vortices
# --------
# The winding number of each plaquette of four cells is a whole number. Noise makes
# pairs of opposite sign, which are no vortices; smoothing over the neighbours helps.

row, col = (positions + 100).T * 2 * np.pi / 400
swirls = np.column_stack([np.sin(col), np.sin(row)]) + rng.normal(0, 0.3, (1600, 2))
vortices = find_vortices(sites, swirls, smoothing=2)
print(vortices.winding.value_counts().to_string())
topology = vector_topology(sites, swirls)
print(f"plaquettes with a winding number: {np.count_nonzero(topology.winding)}")

display = DomainMapDisplay.from_vectors(sites, swirls, magnitude_name="length (px)")
for winding, marker, name in ((1, "o", "vortex"), (-1, "X", "antivortex")):
    chosen = vortices[vortices.winding == winding]
    display.ax_.plot(
        chosen.col, chosen.row, marker, mfc="w", mec="k", ms=8, ls="", label=name
    )
display.ax_.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2)
