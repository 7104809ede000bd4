"""
A domain switches: columns over the frames of a series
======================================================

Short exposures of a specimen whose polarization changes are registered but not
averaged. The columns are located in every frame and linked over the frames, and the
frame in which each cell switches is found. The series is generated, so that the truth
is known.
"""

# %%
# Register the frames
# -------------------
# The left half of the film is reversed in the second half of the series. The shifts
# are those of :class:`~sklearn_ferroic.FrameAverager`; the average itself, which would
# mix both states, is not used.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial import cKDTree
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline

from sklearn_ferroic import AtomLocator, FrameAverager, PolarizationVector
from sklearn_ferroic.datasets import make_ferroic_series
from sklearn_ferroic.domains import find_switching
from sklearn_ferroic.inspection import SwitchingDisplay

series = make_ferroic_series(
    12, shape=(224, 224), dose=5000, switching=True, random_state=1
)
averager = FrameAverager()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    averager.fit(series)
print(caught[0].message)
used = np.flatnonzero(averager.weights_ > 0)

# %%
# Link the columns
# ----------------
# A track is one place of the lattice in all frames, so that the identity of a column is
# constant although the specimen drifts and jumps by a unit cell.

sites = AtomLocator().fit_transform((series.image[used], series.pixel_size))
tracks = sites.track(averager.shifts_[used])
print(tracks)

# %%
# Find the change points
# ----------------------
# Between change points the displacement is constant; its mean over several frames is
# less noisy than one frame.

switching = find_switching(tracks)
print(switching)
print(switching.to_frame().head(3).round(2).to_string())
first = used[switching.change_frame[switching.n_changes > 0]]
frames, counts = np.unique(first, return_counts=True)
print(f"first frame after the change: {frames[counts.argmax()]}, truth 6")

truth = series.positions - series.shifts[averager.reference_]
distance, column = cKDTree(truth).query(switching.positions)
known = distance < 5
switched = series.switched[-1][column][known]
found = switching.n_changes[known] > 0
print(
    f"{np.sum(found & switched)} of {switched.sum()} cells that switch are found, and "
    f"{np.sum(found & ~switched)} that do not"
)

SwitchingDisplay.from_switching(switching)

# %%
# Validate across frames
# ----------------------
# The rows of one frame are no independent test of a model that has seen the same
# column in another frame. ``groups=`` keeps them together: by frame, to test whether a
# model applies to other frames; by track, to test it on other columns.

measured = (sites.sublattice == 1) & np.isfinite(sites.polarization).all(axis=1)
cells, track = sites[measured], tracks.track[measured]
model = make_pipeline(
    PolarizationVector(), GaussianMixture(4, n_init=10, reg_covar=0.01, random_state=0)
)
for name, groups in (("frame", cells.frame), ("track", track)):
    scores = []
    for train, test in GroupKFold(3).split(np.zeros(len(cells)), groups=groups):
        scores.append(model.fit(cells[train]).score(cells[test]))
    print(f"groups={name}: log-likelihood {np.mean(scores):.2f} per cell")

plt.show()
