"""Draw the pictures of the README and of "Getting started" again.

    python docs/_make_images.py

runs the command and the code of the README and writes into docs/images/. The picture of
the report needs Chromium.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from sklearn_ferroic.__main__ import main
from sklearn_ferroic.inspection import (
    AngleHistogramDisplay,
    PolarizationMapDisplay,
    SitesDisplay,
)

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
# Upper left part that shows single columns, and a junction of walls, px.
PART = (slice(300, 560), slice(130, 390))


def make_images():
    """Draw all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        main(["analyze", "--example", "film", "--output", str(folder / "example")])
        save(folder / "example" / "figures" / "overview.png", "domains", width=1600)
        photograph(folder / "example" / "report.html", folder)
        names = run_readme(folder)
        draw_stages(names, folder)
        save(folder / "domains.png", "getting_started_map", width=900)


def run_readme(folder):
    """Run the first Python code of the README in a folder; return its names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    names = {}
    exec(code.replace('"domains.png"', repr(str(folder / "domains.png"))), names)
    plt.close("all")
    return names


def draw_stages(names, folder):
    """Draw columns and displacements of a part of the image, and the angles."""
    image, sites, pose = names["image"], names["sites"], names["pose"]
    rows, cols = PART
    row, col = sites.positions.T
    near = (row > rows.start) & (row < rows.stop) & (col > cols.start)
    near &= col < cols.stop
    everything = names["AtomLocator"]().fit_transform(image)
    limits = {"xlim": (cols.start, cols.stop), "ylim": (rows.stop, rows.start)}
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.4), layout="constrained")
    SitesDisplay.from_sites(everything, ax=axes[0])
    size_pm = 1000 * image.pixel_size
    PolarizationMapDisplay.from_sites(
        sites, vectors=size_pm * sites.polarization, unit="pm", ax=axes[1]
    )
    for ax, title in zip(axes, ("Columns", "Displacements of B"), strict=True):
        ax.set(**limits)
        ax.set_title(title)
    figure.savefig(folder / "sites.png", dpi=110)
    save(folder / "sites.png", "getting_started_sites")
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.2), layout="constrained")
    angle, polar = pose[:, 0], names["polar"]
    AngleHistogramDisplay.from_predictions(angle[polar], ax=axes[0])
    # Without a direction, the circular standard deviation has no upper limit.
    width = np.minimum(np.degrees(names["std"][:, 0]), 180)
    axes[1].hist(width, bins=60, color="0.4")
    axes[1].axvline(np.degrees(0.5), color="black", linestyle="--")
    axes[1].set(xlabel="standard deviation of the angle (degrees, at most 180)")
    axes[1].set_ylabel("number of sites")
    figure.savefig(folder / "angles.png", dpi=110)
    save(folder / "angles.png", "getting_started_angles")
    plt.close("all")


def photograph(report, folder):
    """Save the first screen of a report at a width of 1400 px."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("Chromium is not installed: the picture of the report is not drawn.")
        return
    subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--hide-scrollbars", "--window-size=1400,1640"),
            *("--virtual-time-budget=8000", f"--user-data-dir={folder / 'profile'}"),
            *(f"--screenshot={folder / 'report.png'}", report.as_uri()),
        ],
        check=True,
        capture_output=True,
    )
    save(folder / "report.png", "getting_started_report", width=900)


def save(path, name, width=None):
    """Save a picture, with a given width in px, into the documentation."""
    with Image.open(path) as picture:
        picture = picture.convert("RGB")
        if width is not None:
            height = round(picture.height * width / picture.width)
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        picture.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    make_images()
