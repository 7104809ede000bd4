"""Profiles with their standard errors."""

import numpy as np

from .._drawing.axes import get_axes
from .._drawing.colors import class_colors

# Bands reach this many standard errors to either side.
_BAND_ERRORS = 1.0
_COORDINATES = ("distance_nm", "distance_px", "position_nm", "position_px")


class ProfileDisplay:
    """Means along a coordinate, with bands of one standard error.

    It is recommended to use :meth:`from_profile` to make a display. All parameters are
    stored as attributes.

    Parameters
    ----------
    coordinate : ndarray of shape (n_bins,)
        Distance or position.
    means, stds : dict of str to ndarray of shape (n_bins,)
        Means and their standard errors by name; NaN where unknown.
    coordinate_name : str, default="position"
        Label of the horizontal axis, with the unit.
    values_name : str, default=None
        Label of the vertical axis, with the unit; the name of the values if there is
        one only.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        The means.
    bands_ : dict of str to matplotlib PolyCollection
        The bands.
    legend_ : matplotlib Legend or None
        The legend, of several values.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    CellMapDisplay : A value of every cell as a map.
    sklearn_ferroic.domains.profile_across : Computes a profile.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import layer_profile
    >>> from sklearn_ferroic.inspection import ProfileDisplay
    >>> positions = 10.0 * np.indices((9, 50)).reshape(2, -1).T + 5
    >>> sites = AtomSites(np.zeros((90, 500)), positions, pixel_size=0.04)
    >>> profile = layer_profile(sites, np.sin(positions[:, 0] / 20))
    >>> display = ProfileDisplay.from_profile(profile, values_name="value")
    >>> display.ax_.get_xlabel()
    'position (nm)'
    """

    def __init__(
        self, coordinate, means, stds, *, coordinate_name="position", values_name=None
    ):
        self.coordinate = coordinate
        self.means = means
        self.stds = stds
        self.coordinate_name = coordinate_name
        self.values_name = values_name

    @classmethod
    def from_profile(
        cls,
        profile,
        *,
        columns=None,
        values_name=None,
        marks=None,
        colors=None,
        ax=None,
    ):
        """Draw a profile.

        Parameters
        ----------
        profile : DataFrame
            Result of :func:`~sklearn_ferroic.domains.layer_profile`,
            :func:`~sklearn_ferroic.domains.profile_across` or
            :func:`~sklearn_ferroic.domains.profile_along`.
        columns : list of str, default=None
            Values to draw; all that have a standard error by default.
        values_name : str, default=None
            Label of the vertical axis, with the unit; by default the name of the values
            if there is one only, and "value" for several.
        marks : sequence of float, default=None
            Coordinates of interfaces or walls, drawn as vertical lines.
        colors : sequence of matplotlib colours, default=None
            One for each of the values; distinct ones by default.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : ProfileDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `profile` is not a table of a profile.
        ValueError
            If there is no such column, or not one colour for each.
        """
        names = list(getattr(profile, "columns", ()))
        coordinate = next((name for name in _COORDINATES if name in names), None)
        if coordinate is None:
            raise TypeError(
                "profile must be a table made by layer_profile, profile_across or "
                f"profile_along, got {type(profile).__name__}."
            )
        known = [name for name in names if f"{name}_std" in names]
        columns = known if columns is None else list(columns)
        if not columns or not set(columns) <= set(known):
            raise ValueError(f"columns must be among {known}, got {columns}.")
        kind, _, unit = coordinate.rpartition("_")
        display = cls(
            profile[coordinate].to_numpy(),
            {name: profile[name].to_numpy() for name in columns},
            {name: profile[f"{name}_std"].to_numpy() for name in columns},
            coordinate_name=f"{kind} ({unit})",
            values_name=values_name,
        )
        return display.plot(ax, marks=marks, colors=colors)

    def plot(self, ax=None, *, marks=None, colors=None):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        marks : sequence of float, default=None
            Coordinates of interfaces or walls, drawn as vertical lines.
        colors : sequence of matplotlib colours, default=None
            One for each of the values; distinct ones by default.

        Returns
        -------
        display : ProfileDisplay
            The display itself.
        """
        names = list(self.means)
        if colors is None:
            # Yellow lines are hard to see on white.
            palette = class_colors(np.arange(7))[[0, 4, 2, 6, 1, 5, 3]]
            colors = [palette[k % 7] for k in range(len(names))]
        if len(colors) != len(names):
            raise ValueError(f"Got {len(colors)} colours for {len(names)} values.")
        ax = get_axes(ax, figsize=(5.2, 3.4))
        self.lines_, self.bands_ = {}, {}
        for mark in [] if marks is None else marks:
            ax.axvline(mark, color="0.6", linewidth=1, linestyle="--", zorder=1)
        for name, color in zip(names, colors, strict=True):
            mean, std = self.means[name], np.nan_to_num(self.stds[name])
            self.bands_[name] = ax.fill_between(
                self.coordinate,
                mean - _BAND_ERRORS * std,
                mean + _BAND_ERRORS * std,
                color=color,
                alpha=0.25,
                linewidth=0,
            )
            (self.lines_[name],) = ax.plot(
                self.coordinate,
                mean,
                color=color,
                marker="o",
                markersize=3.5,
                linewidth=1.3,
                label=name,
            )
        values_name = self.values_name
        if values_name is None:
            # Several values without a common name are in the legend.
            values_name = names[0] if len(names) == 1 else "value"
        ax.set(xlabel=self.coordinate_name, ylabel=values_name)
        self.legend_ = ax.legend(frameon=False) if len(names) > 1 else None
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
