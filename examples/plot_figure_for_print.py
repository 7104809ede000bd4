"""
A figure for print
==================

A figure of a paper is printed in one column, 86 mm wide, or over two, 180 mm, and it is
read by people who do not distinguish all colours, on screens and on paper without
colours. This example draws a map at its final size and looks at it in greyscale.
"""

# %%
# A map of four variants
# ----------------------

import io
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.text import Text

from sklearn_ferroic import (
    AngleRegistration,
    AtomLocator,
    PatchExtractor,
    RotationalVAE,
)
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import DomainMapDisplay, SitesDisplay

data = make_ferroic_image("film", shape=(480, 480), random_state=3)
sites = AtomLocator(sublattice=1).fit_transform(data)
patches = PatchExtractor(window_size=48).fit_transform(sites)
vae = RotationalVAE(random_state=0).fit(patches)
pose, width = vae.transform_with_std(patches)
angle = AngleRegistration().fit(pose, sites).transform(pose)[:, 0]
polar = width[:, 0] < np.radians(30)

# %%
# At its final size
# -----------------
# Choose the size in inches and the size of the letters in points, and do not scale the
# figure afterwards. Scale bar, colour wheel, colour bar, legends and lines of walls
# follow the size of the letters. ``arrows=True`` adds arrows, which are at least 3 mm
# long at 8 pt: where cells are small, every second or third cell has one.

PRINT = {"font.size": 7, "axes.titlesize": 7, "axes.linewidth": 0.5}
COLUMN_INCHES, PAGE_INCHES = 86 / 25.4, 180 / 25.4

with plt.rc_context(PRINT):
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(COLUMN_INCHES, 2.7), layout="constrained"
    )
    SitesDisplay.from_sites(sites, markers=False, ax=left)
    DomainMapDisplay.from_sites(
        sites,
        angle,
        polar=polar,
        arrows=True,
        scale_bar=False,
        color_wheel="below",
        ax=right,
    )
    for letter, ax in zip("ab", (left, right), strict=True):
        ax.set_title(letter, loc="left", weight="bold")

folder = Path(tempfile.mkdtemp())
figure.savefig(folder / "map.png", dpi=300)
figure.savefig(folder / "map.svg")
figure.savefig(folder / "map.pdf")
n_rows, n_cols = plt.imread(folder / "map.png").shape[:2]
print(f"map.png: {n_cols} × {n_rows} px, {n_cols / 300 * 25.4:.0f} mm wide")
for name in ("map.png", "map.svg", "map.pdf"):
    print(f"{name}: {(folder / name).stat().st_size / 1000:.0f} kB")
texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
print(f"smallest letters: {min(text.get_fontsize() for text in texts):.1f} pt")

# %%
# In greyscale
# ------------
# The hue of a direction is lost in greyscale, and opposite directions can be equally
# dark. Arrows show them.


def in_grey(arrows):
    """Return the picture of a map as it is printed without colours."""
    with plt.rc_context(PRINT):
        figure, ax = plt.subplots(figsize=(2.3, 2.3), layout="constrained")
        DomainMapDisplay.from_sites(
            sites, angle, polar=polar, arrows=arrows, color_wheel=False, ax=ax
        )
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=300)
        plt.close(figure)
    file.seek(0)
    # weights of the standard Rec. 709 for the luminance
    return plt.imread(file)[..., :3] @ [0.2126, 0.7152, 0.0722]


with plt.rc_context(PRINT):
    figure, axes = plt.subplots(1, 2, figsize=(PAGE_INCHES, 3.5), layout="constrained")
    for ax, arrows in zip(axes, (False, True), strict=True):
        ax.imshow(in_grey(arrows), cmap="gray", vmin=0, vmax=1)
        ax.axis("off")
        ax.set_title(f"arrows={arrows}", loc="left")
