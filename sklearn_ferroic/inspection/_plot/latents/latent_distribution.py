"""Display of the distribution of two latents."""

import numpy as np

from ...._utils.angles import warn_if_degrees
from ...._utils.optional import import_optional
from ...._utils.pose_columns import ANGLE
from ..._data.features import choose_columns, transform_with_names
from ..._data.selection import check_labels_per_site, check_per_site
from ..._drawing.axes import get_axes
from ..._drawing.colors import angle_colors, bin_colors, class_colors
from ..._drawing.keys import add_class_legend, add_color_wheel

# Area of all markers together and of one at most, points squared.
_INK_PT2 = 12_000
_LARGEST_PT2 = 30
# Markers larger than this, points squared, have a rim.
_RIMMED_PT2 = 6
# Colour of markers that nothing colours.
_PLAIN = "#0072B2"


class LatentDistributionDisplay:
    """Two latents of all samples, as points or as a density.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions` to make
    a display. All parameters are stored as attributes.

    Parameters
    ----------
    latents : ndarray of shape (n_samples, 2)
        Latent of the abscissa and of the ordinate; rows with NaN are not drawn.
    angle : ndarray of shape (n_samples,), default=None
        Angles in radians that colour the samples; NaN is grey.
    labels : ndarray of shape (n_samples,), default=None
        Classes that colour the samples, -1 grey.
    names : tuple of str (x_name, y_name), default=("latent0", "latent1")
        Names of the two latents.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection or None
        The points of ``kind="scatter"``.
    order_ : ndarray of int or None
        Sample of each point. Points are drawn in random order, so that no class
        covers the others.
    density_ : matplotlib QuadMesh or None
        The bins of ``kind="density"``.
    counts_ : ndarray of shape (n_y, n_x) or None
        Samples in each bin.
    legend_ : matplotlib Legend or None
        The legend of labels.
    wheel_ : matplotlib Axes or None
        The colour wheel of angles.
    colorbar_ : matplotlib Colorbar or None
        The colour bar of a density that neither angle nor labels colour.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    LatentManifoldDisplay : What the decoder draws over the same plane.

    Notes
    -----
    In a density that is coloured by angle, the hue of a bin is the mean direction of
    its samples and the saturation their mean resultant length [1]_; by labels, its
    colour is that of the most frequent one. Bins with fewer samples are paler, by the
    square root of their number, which sets the colour where nothing else does.

    References
    ----------
    .. [1] K. V. Mardia and P. E. Jupp, "Directional Statistics", Wiley, 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.inspection import LatentDistributionDisplay
    >>> latents = np.random.default_rng(0).normal(size=(100, 2))
    >>> display = LatentDistributionDisplay.from_predictions(
    ...     latents, labels=latents[:, 0] > 0
    ... )
    >>> [text.get_text() for text in display.legend_.get_texts()]
    ['False', 'True']
    """

    def __init__(
        self, latents, *, angle=None, labels=None, names=("latent0", "latent1")
    ):
        self.latents = latents
        self.angle = angle
        self.labels = labels
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        features=None,
        angle=None,
        labels=None,
        kind="scatter",
        bins=None,
        cmap="viridis",
        color_wheel=True,
        ax=None,
    ):
        """Transform samples and draw two columns of the result.

        Parameters
        ----------
        estimator : estimator or Pipeline
            A fitted transformer, such as RotationalVAE, PCA or a pipeline of sites.
        X : array-like or AtomSites of length n_samples
            Input of the estimator.
        features : tuple of str or int (x, y), default=None
            Names or numbers of the columns to draw. By default the first two that are
            named ``latent…``; without such, the first two that are neither angle nor
            offset.
        angle : array-like of shape (n_samples,), default=None
            Angles in radians that colour the samples. By default, without labels, the
            column ``angle`` if there is one.
        labels : array-like of shape (n_samples,), default=None
            Classes that colour the samples.
        kind : {"scatter", "density"}, default="scatter"
            Points or a histogram.
        bins : int, default=None
            Number of bins along each axis of a density; the square root of the number
            of samples, from 20 to 100, by default.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of a density that neither angle nor labels colour.
        color_wheel : bool, default=True
            Whether to draw a colour wheel if the angle colours the samples.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : LatentDistributionDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator does not transform to rows of features.
        ValueError
            If there are no two such columns, or another error of
            :meth:`from_predictions`.
        """
        values, names = transform_with_names(estimator, X)
        if angle is None and labels is None and ANGLE in names:
            angle = values[:, names.index(ANGLE)]
        chosen = choose_columns(names, features)
        return cls.from_predictions(
            values[:, chosen],
            angle=angle,
            labels=labels,
            names=tuple(names[column] for column in chosen),
            kind=kind,
            bins=bins,
            cmap=cmap,
            color_wheel=color_wheel,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        latents,
        *,
        angle=None,
        labels=None,
        names=("latent0", "latent1"),
        kind="scatter",
        bins=None,
        cmap="viridis",
        color_wheel=True,
        ax=None,
    ):
        """Draw two latents.

        Parameters
        ----------
        latents : array-like of shape (n_samples, 2)
            Latent of the abscissa and of the ordinate; rows with NaN are not drawn.
        angle : array-like of shape (n_samples,), default=None
            Angles in radians that colour the samples; NaN is grey.
        labels : array-like of shape (n_samples,), default=None
            Classes that colour the samples, -1 grey.
        names : tuple of str (x_name, y_name), default=("latent0", "latent1")
            Names of the two latents.
        kind : {"scatter", "density"}, default="scatter"
            Points or a histogram.
        bins : int, default=None
            Number of bins along each axis of a density; the square root of the number
            of samples, from 20 to 100, by default.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of a density that neither angle nor labels colour.
        color_wheel : bool, default=True
            Whether to draw a colour wheel if the angle colours the samples.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : LatentDistributionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `latents` does not have two columns or has no finite row, if there is not
            one angle or label per sample or both are given, or if `kind` is unknown.
        """
        latents = np.asarray(latents, dtype=np.float64)
        if latents.ndim != 2 or latents.shape[1] != 2:
            raise ValueError(
                f"latents must have shape (n_samples, 2), got shape {latents.shape}."
            )
        if not np.isfinite(latents).all(axis=1).any():
            raise ValueError("latents has no finite row: there is nothing to draw.")
        if angle is not None and labels is not None:
            raise ValueError("Colour by angle or by labels, not by both.")
        if angle is not None:
            angle = check_per_site("angle", angle, len(latents)).astype(np.float64)
            warn_if_degrees(angle, "angle", stacklevel=2)
        if labels is not None:
            labels = check_labels_per_site(labels, len(latents))
        display = cls(latents, angle=angle, labels=labels, names=names)
        return display.plot(
            ax, kind=kind, bins=bins, cmap=cmap, color_wheel=color_wheel
        )

    def plot(
        self,
        ax=None,
        *,
        kind="scatter",
        bins=None,
        cmap="viridis",
        color_wheel=True,
    ):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        kind : {"scatter", "density"}, default="scatter"
            Points or a histogram.
        bins : int, default=None
            Number of bins along each axis of a density; the square root of the number
            of samples, from 20 to 100, by default.
        cmap : str or matplotlib Colormap, default="viridis"
            Colours of a density that neither angle nor labels colour.
        color_wheel : bool, default=True
            Whether to draw a colour wheel if the angle colours the samples.

        Returns
        -------
        display : LatentDistributionDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `kind` is unknown.
        """
        if kind not in ("scatter", "density"):
            raise ValueError(f'kind must be "scatter" or "density", got {kind!r}.')
        ax = get_axes(ax)
        known = np.flatnonzero(np.isfinite(self.latents).all(axis=1))
        classes = None if self.labels is None else np.unique(self.labels[known])
        self.scatter_ = self.order_ = self.density_ = self.counts_ = None
        self.legend_ = self.wheel_ = self.colorbar_ = None
        if kind == "scatter":
            self._draw_points(ax, known, classes)
        else:
            self._draw_density(ax, known, classes, bins, cmap)
        if classes is not None:
            self.legend_ = add_class_legend(ax, classes, class_colors(classes))
        elif self.angle is not None and color_wheel:
            graded = kind == "density"
            caption = "angle"
            if graded:
                caption += "\ngrey: mixed\npale: few"
            self.wheel_ = add_color_wheel(ax, graded=graded, caption=caption)
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    def _draw_points(self, ax, known, classes):
        self.order_ = np.random.default_rng(0).permutation(known)
        if classes is not None:
            code = np.searchsorted(classes, self.labels[self.order_])
            color = {"c": class_colors(classes)[code]}
        elif self.angle is not None:
            color = {"c": angle_colors(self.angle[self.order_])}
        else:
            color = {"color": _PLAIN}
        size = np.clip(_INK_PT2 / len(known), 3, _LARGEST_PT2)
        # A picture of many points is smaller and faster than their outlines.
        self.scatter_ = ax.scatter(
            *self.latents[self.order_].T,
            s=size,
            edgecolors="black",
            # Rims make pale points visible, but darken a crowd of small ones.
            linewidths=0.25 if size > _RIMMED_PT2 else 0,
            rasterized=True,
            **color,
        )

    def _draw_density(self, ax, known, classes, bins, cmap):
        x, y = self.latents[known].T
        if bins is None:
            bins = int(np.clip(np.sqrt(len(known)), 20, 100))
        counts, x_edges, y_edges = np.histogram2d(x, y, bins)
        self.counts_ = counts.T.astype(np.intp)
        cells = np.ma.masked_equal(self.counts_, 0)
        if classes is not None or self.angle is not None:
            bin_of = np.stack([_find_bins(y, y_edges), _find_bins(x, x_edges)])
            values = self.angle if classes is None else self.labels
            cells = bin_colors(self.counts_, bin_of, values[known], classes)
        norm = import_optional("matplotlib.colors", "plot").PowerNorm
        self.density_ = ax.pcolormesh(
            x_edges,
            y_edges,
            cells,
            cmap=cmap,
            # By the root, as paleness is, or one crowded bin would darken the others.
            norm=norm(0.5, 1, max(2, self.counts_.max())),
            rasterized=True,
        )
        # Keep the outermost bins away from the frame of the axes.
        self.density_.sticky_edges.x.clear()
        self.density_.sticky_edges.y.clear()
        ax.autoscale_view()
        if classes is None and self.angle is None:
            ticker = import_optional("matplotlib.ticker", "plot")
            self.colorbar_ = ax.figure.colorbar(
                self.density_,
                ax=ax,
                label="number of sites",
                ticks=ticker.MaxNLocator(integer=True),
            )


def _find_bins(values, edges):
    """Find the bin of each value as np.histogram does, the last one closed."""
    return np.minimum(np.searchsorted(edges, values, "right"), len(edges) - 1) - 1
