"""
Frames and scan distortion: images before columns are located
=============================================================

A long exposure drifts, and a scan is not perfectly regular. Short exposures are
registered and averaged; drift and jitter that remain are measured from two scan
directions. The images are generated or simulated, so that the truth is known.
"""

# %%
# Average short exposures
# -----------------------
# Twelve frames of about five electrons at the brightest columns. The specimen drifts,
# jumps by one unit cell, and one frame is out of focus. The averager rejects it and
# warns.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from sklearn_ferroic import (
    AtomLocator,
    AtomSites,
    FrameAverager,
    ScanDistortionCorrector,
)
from sklearn_ferroic.datasets import load_multislice, make_ferroic_series
from sklearn_ferroic.inspection import ScanDistortionDisplay, SitesDisplay

series = make_ferroic_series(12, random_state=0)
averager = FrameAverager()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    average = averager.fit_transform(series)
print(caught[0].message)

error = (averager.shifts_ - series.shifts)[averager.weights_ > 0]
error -= error.mean(axis=0)
print(f"shifts: root mean square error {np.sqrt(np.mean(error**2)):.3f} px")

# %%
# The columns of the average have the errors of the total dose.

sites = AtomLocator().fit_transform(average)
truth = series.positions - series.shifts[averager.reference_] - averager.origin_
inside = ((truth > 4) & (truth < np.array(average.image.shape) - 5)).all(axis=1)
distance, found = cKDTree(sites.positions).query(truth[inside])
error = sites.positions[found] - truth[inside]
error -= np.median(error, axis=0)
ratio = np.sqrt(np.mean((error / sites.position_std[found]) ** 2))
print(
    f"{np.mean(distance < 2):.1%} of the columns found, errors {ratio:.2f} of the std"
)

plt.rcParams.update(
    {"font.size": 8, "axes.titlelocation": "left", "axes.titlesize": "medium"}
)
figure, axes = plt.subplots(1, 3, figsize=(7.1, 2.5), layout="constrained")
frame = AtomSites(
    series.image[averager.reference_],
    sites.positions,
    pixel_size=sites.pixel_size[0],
)
for ax, shown, title in zip(
    axes, (frame, sites), ("a  one frame", "b  average"), strict=False
):
    SitesDisplay.from_sites(shown, markers=False, ax=ax)
    ax.set_title(title)
ScanDistortionDisplay.from_estimator(averager, ax=axes[2])
axes[2].set_title("c  displacements of the frames")

# %%
# Two scan directions
# -------------------
# A multislice image is scanned twice, the second time with the scan rotated by 90°.
# Each line is displaced by its own drift and jitter.

specimen = load_multislice()
rng = np.random.default_rng(0)
n, middle = 480, (np.array(specimen.image.shape) - 1) / 2
time = np.linspace(-0.5, 0.5, n)


def scan(rotated):
    """Return a scan of the specimen, and the displacement of its lines."""
    drift = rng.normal(size=2) * n * 0.01
    wave = np.sin(8 * time[:, None] + rng.uniform(0, 6, 2)) * [0.4, 0.9]
    lines = time[:, None] * drift + wave + rng.normal(size=(n, 2)) * [0.06, 0.15]
    row, col = np.indices((n, n)) + lines.T[:, :, None] - (n - 1) / 2
    place = (-col, row) if rotated else (row, col)
    place = np.array(place) + middle[:, None, None]
    expected = map_coordinates(specimen.image, place, order=3, mode="nearest")
    return rng.poisson(np.maximum(expected, 0)), lines


(first, lines), (second, _) = scan(rotated=False), scan(rotated=True)
corrector = ScanDistortionCorrector(rotation=(0, 90)).fit([first, second])
located = corrector.sites_[corrector.sites_.frame == 0]
corrected = corrector.transform_sites(corrector.sites_)
corrected = corrected[corrected.frame == 0]

# %%
# Correct the positions rather than the image: noise is not interpolated. What is left
# is the noise of the fits and the crosstalk of neighbouring columns.


def errors_of(positions):
    """Return errors up to a translation, px."""
    true = specimen.positions - middle + (n - 1) / 2
    start = positions - np.median(positions - corrected.positions, axis=0)
    shifted = true[cKDTree(true).query(start + lines.mean(axis=0))[1]]
    error = positions - shifted
    return error - np.median(error, axis=0)


for name, part in (("located", located), ("corrected", corrected)):
    rms = np.sqrt(np.mean(errors_of(part.positions) ** 2, axis=0))
    print(f"{name}: errors of {rms[0]:.2f} px (row) and {rms[1]:.2f} px (column)")

figure, axes = plt.subplots(1, 3, figsize=(7.1, 2.7), layout="constrained")
ScanDistortionDisplay.from_estimator(corrector, ax=axes[0])
for axis, color in enumerate(axes[0].lines[:2]):
    shown = lines[:, axis] - lines[:, axis].mean()
    shown += corrector.line_shift_[:, axis].mean()
    axes[0].plot(shown, ".", color=color.get_color(), ms=1.5, alpha=0.6)
axes[0].set_title("d  measured (lines), true (dots)")
for letter, ax, part, name in zip(
    "ef", axes[1:], (located, corrected), ("located", "corrected"), strict=True
):
    error = errors_of(part.positions)
    ax.quiver(
        part.positions[:, 1],
        part.positions[:, 0],
        error[:, 1],
        error[:, 0],
        angles="xy",
        scale=0.1,
        scale_units="xy",
    )
    ax.set(title=f"{letter}  errors, {name}, × 10", aspect="equal")
    ax.invert_yaxis()
    ax.set_axis_off()

plt.show()
