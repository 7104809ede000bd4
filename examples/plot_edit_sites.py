"""
Correcting columns by hand
==========================

A locator may miss a column or take a speck of dirt for one. This script edits the
columns over the image in a matplotlib window: a click with the left button adds a
column, one with the right button removes the nearest, and a polygon selects a region.
Added columns are fitted by the locator together with all others, so that their
positions have the same errors.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.widgets import PolygonSelector

from sklearn_ferroic import AtomLocator
from sklearn_ferroic.datasets import make_ferroic_image
from sklearn_ferroic.inspection import SitesDisplay

# %%
# Columns with mistakes
# ---------------------
# Two columns are removed and one is put where there is none, as if the locator had made
# these mistakes. `quality` finds all three.

data = make_ferroic_image("film", shape=(240, 260), random_state=0)
locator = AtomLocator()
right = locator.fit_transform(data)
missed = [
    np.hypot(*(right.positions - place).T).argmin() for place in [(80, 90), (120, 180)]
]
invented = right.positions[missed[0]] + [35.0, 6.0]
sites = locator.refit(right.remove(missed).add(invented))
quality = sites.quality()
print(quality)

# %%
# An editor of forty lines
# ------------------------
# Each change makes a new set of sites, so that `history` can undo it.


class SiteEditor:
    """Add, remove and select sites with the mouse."""

    def __init__(self, sites, locator):
        self.history, self.locator = [sites], locator
        self.figure, self.ax = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
        self.selected = np.zeros(len(sites), dtype=bool)
        self.figure.canvas.mpl_connect("button_press_event", self.on_click)
        self.figure.canvas.mpl_connect("key_press_event", self.on_key)
        self.draw()

    @property
    def sites(self):
        return self.history[-1]

    def change(self, sites):
        self.history.append(sites)
        self.selected = np.zeros(len(sites), dtype=bool)
        self.draw()

    def on_click(self, event):
        if event.inaxes is not self.ax or self.ax.get_navigate_mode():
            return
        place = np.array([event.ydata, event.xdata])  # (row, col)
        if event.button == 1:
            self.change(self.sites.add(place))
        elif event.button == 3:
            nearest = np.hypot(*(self.sites.positions - place).T).argmin()
            self.change(self.sites.remove(nearest))

    def on_key(self, event):
        if event.key == "r":  # refit
            self.change(self.locator.refit(self.sites))
        elif event.key == "u" and len(self.history) > 1:  # undo
            self.history.pop()
            self.draw()
        elif (
            event.key == "p"
        ):  # select by a polygon, which is closed at its first corner
            self.selector = PolygonSelector(self.ax, self.on_polygon)

    def on_polygon(self, corners):
        self.selected = self.sites.in_polygon(np.array(corners)[:, ::-1])
        self.draw()

    def draw(self):
        self.ax.clear()
        SitesDisplay.from_sites(self.sites, ax=self.ax)
        rings = self.sites.positions[self.selected | ~self.sites.converged]
        self.ax.plot(
            rings[:, 1], rings[:, 0], "o", mfc="none", mec="red", ms=11, mew=1.5
        )
        self.ax.set_title(f"{len(self.sites)} columns; red: selected or not fitted")
        self.figure.canvas.draw_idle()


editor = SiteEditor(sites, locator)

# %%
# Here, clicks are replaced by calls; ``plt.show()`` opens the window. The places of
# the missed columns are clicked two to three pixels off, the invented one is removed,
# and "r" fits.

for row in missed:
    editor.change(editor.sites.add(right.positions[row] + [2.0, -1.5]))
wrong = np.hypot(*(editor.sites.positions - invented).T).argmin()
editor.change(editor.sites.remove(wrong))
editor.change(editor.locator.refit(editor.sites))
print(editor.sites.quality())

for row in missed:
    distance = np.hypot(*(editor.sites.positions - right.positions[row]).T)
    print(f"column {row}: {distance.min():.3f} px from where the locator had found it")

# %%
# A region
# --------
# The corners of a polygon are ``(row, col)``. The same corners are the `reference` of
# :func:`~sklearn_ferroic.analyze`.

substrate = np.array([[205.0, 0.0], [205.0, 259.0], [239.0, 259.0], [239.0, 0.0]])
editor.on_polygon(substrate[:, ::-1])
inside = editor.selected & (editor.sites.sublattice == 1)
mean = np.nanmean(editor.sites.polarization[inside], axis=0)
print(f"{inside.sum()} B columns in the region, mean displacement {mean.round(2)} px")

# %%
# With napari
# -----------
# The same in napari, if it is installed: its points layer adds and removes, and what
# remains is fitted again::
#
#     import napari
#
#     viewer = napari.Viewer()
#     viewer.add_image(sites.images[0])
#     points = viewer.add_points(sites.positions, size=6)
#     napari.run()  # edit, then close the window
#     distance = np.hypot(*(points.data[:, None] - sites.positions).T)
#     kept = sites[distance.min(axis=1) < 0.5]  # rows are sites, columns are points
#     added = points.data[distance.min(axis=0) >= 0.5]
#     sites = locator.refit(kept.add(added))
