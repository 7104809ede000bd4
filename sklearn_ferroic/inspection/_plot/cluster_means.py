"""Display of the mean window of each cluster."""

import warnings

import numpy as np

from ..._utils.optional import import_optional
from ..._utils.transformers import list_steps, transform_through
from .._data.features import as_images
from .._data.selection import check_labels_per_site
from .._drawing.axes import get_axes
from .._drawing.colors import class_colors, get_colormap
from .._drawing.keys import add_side_colorbar

# Maximum number of windows per row.
_N_COLS = 5
# Distance of windows in units of their height: above for the text, to the side.
_HEAD_HEIGHTS = 0.2
_GAP_HEIGHTS = 0.12
# Width of a frame in the same units.
_RIM_HEIGHTS = 0.03
# Inches of a window.
_WINDOW_INCHES = 1.7


class ClusterMeansDisplay:
    """Mean window of each cluster, framed in its colour, with its share.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions` to make
    a display. All parameters are stored as attributes.

    Parameters
    ----------
    means : ndarray of shape (n_clusters, h, w)
        Mean windows; NaN where no member has a value.
    labels : ndarray of shape (n_clusters,)
        Labels of the clusters, each once.
    counts : ndarray of shape (n_clusters,)
        Number of members.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
        The mean windows, on one scale.
    frames_ : list of matplotlib Rectangle
        Their frames, coloured as the labels are in SitesDisplay.
    texts_ : list of matplotlib Text
        Label and share of each cluster.
    colorbar_ : matplotlib Colorbar
        The scale of the windows.
    ax_ : matplotlib Axes
        The axes, with units of one window's height.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    SitesDisplay : Where the members are.
    LoadingMapDisplay : Components instead of clusters.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.inspection import ClusterMeansDisplay
    >>> patches = np.repeat([[0.0], [1.0]], [30, 10], axis=0) * np.ones(16)
    >>> labels = np.repeat([0, 1], [30, 10])
    >>> display = ClusterMeansDisplay.from_predictions(patches, labels)
    >>> [text.get_text() for text in display.texts_]
    ['0: 75 %', '1: 25 %']
    """

    def __init__(self, means, labels, counts):
        self.means = means
        self.labels = labels
        self.counts = counts

    @classmethod
    def from_estimator(
        cls, estimator, X, *, patch_shape=None, n_cols=_N_COLS, cmap="gray", ax=None
    ):
        """Predict labels and draw the mean window of each.

        Parameters
        ----------
        estimator : estimator or Pipeline
            Fitted, with `predict`. If it has a :class:`~sklearn_ferroic.PatchExtractor`
            the windows are those that it cuts, otherwise they are `X`.
        X : AtomSites or array-like of length n_samples
            Input of the estimator.
        patch_shape : tuple of (int, int), default=None
            Height and width of a window; the most nearly square ones by default.
        n_cols : int, default=5
            Maximum number of windows per row.
        cmap : str or matplotlib Colormap, default="gray"
            Colours of the windows, which share one scale.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : ClusterMeansDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator does not predict.
        ValueError
            As :meth:`from_predictions`.
        """
        if not hasattr(estimator, "predict"):
            raise TypeError(
                "ClusterMeansDisplay needs an estimator with predict, which "
                f"{type(estimator).__name__} does not have. If you have labels, use "
                "from_predictions(patches, labels)."
            )
        from ...feature_extraction import PatchExtractor

        labels = estimator.predict(X)
        steps = list_steps(estimator)
        cutters = [
            i for i, step in enumerate(steps) if isinstance(step, PatchExtractor)
        ]
        if cutters:
            X = np.asarray(transform_through(steps[: cutters[0] + 1], X))
        return cls.from_predictions(
            X, labels, patch_shape=patch_shape, n_cols=n_cols, cmap=cmap, ax=ax
        )

    @classmethod
    def from_predictions(
        cls, patches, labels, *, patch_shape=None, n_cols=_N_COLS, cmap="gray", ax=None
    ):
        """Draw the mean window of each label.

        Parameters
        ----------
        patches : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The windows; pixels that are NaN do not count.
        labels : array-like of shape (n_samples,)
            Their labels; -1, scikit-learn's "no cluster", and missing ones are framed
            in grey.
        patch_shape : tuple of (int, int), default=None
            Height and width of a window; the most nearly square ones by default.
        n_cols : int, default=5
            Maximum number of windows per row.
        cmap : str or matplotlib Colormap, default="gray"
            Colours of the windows, which share one scale.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.

        Returns
        -------
        display : ClusterMeansDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there is not one label per window, there are no windows or all are NaN,
            `patch_shape` does not match the pixels of a window, or `n_cols` is not
            positive.
        """
        patches = as_images(patches, patch_shape)
        labels = check_labels_per_site(labels, len(patches))
        if not np.isfinite(patches).any():
            raise ValueError("There are no windows to draw, or all are NaN.")
        classes, counts = np.unique(labels, return_counts=True)
        means = [_mean_image(patches[labels == label]) for label in classes]
        return cls(np.array(means), classes, counts).plot(ax, n_cols=n_cols, cmap=cmap)

    def plot(self, ax=None, *, n_cols=_N_COLS, cmap="gray"):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        n_cols : int, default=5
            Maximum number of windows per row.
        cmap : str or matplotlib Colormap, default="gray"
            Colours of the windows, which share one scale.

        Returns
        -------
        display : ClusterMeansDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `n_cols` is not positive.
        """
        if n_cols < 1:
            raise ValueError(f"n_cols must be positive, got {n_cols!r}.")
        normalize = import_optional("matplotlib.colors", "plot").Normalize
        patches = import_optional("matplotlib.patches", "plot")
        n_clusters, height, width = self.means.shape
        n_cols = min(n_cols, n_clusters)
        n_rows = -(-n_clusters // n_cols)
        step_x, step_y = width / height + _GAP_HEIGHTS, 1 + _HEAD_HEIGHTS + _GAP_HEIGHTS
        ax = get_axes(
            ax,
            figsize=(
                _WINDOW_INCHES * n_cols * step_x + 1,
                _WINDOW_INCHES * n_rows * step_y,
            ),
        )
        colors = class_colors(self.labels)
        cmap = get_colormap(cmap)
        # Clusters without finite pixels do not affect the colour scale.
        scale = normalize(np.nanmin(self.means), np.nanmax(self.means))
        self.images_, self.frames_, self.texts_ = [], [], []
        for index, label in enumerate(self.labels):
            left, top = index % n_cols * step_x, index // n_cols * step_y
            right, bottom = left + width / height, top + 1
            self.images_.append(
                ax.imshow(
                    self.means[index],
                    cmap=cmap,
                    norm=scale,
                    extent=(left, right, bottom, top),
                    interpolation="nearest",
                )
            )
            frame = patches.Rectangle(
                (left - _RIM_HEIGHTS, top - _RIM_HEIGHTS),
                right - left + 2 * _RIM_HEIGHTS,
                1 + 2 * _RIM_HEIGHTS,
                facecolor=colors[index],
                zorder=-1,
            )
            self.frames_.append(ax.add_patch(frame))
            self.texts_.append(
                ax.text(
                    (left + right) / 2,
                    top - 0.05,
                    f"{label}: {_percent(self.counts[index] / self.counts.sum())}",
                    ha="center",
                    va="bottom",
                )
            )
        ax.set(
            xlim=(-_GAP_HEIGHTS / 2, n_cols * step_x - _GAP_HEIGHTS / 2),
            ylim=(
                n_rows * step_y - _HEAD_HEIGHTS - _GAP_HEIGHTS / 2,
                -_HEAD_HEIGHTS - _GAP_HEIGHTS / 2,
            ),
            aspect="equal",
        )
        # Axes that are switched off leave no space for a colour bar.
        ax.set(xticks=[], yticks=[], frame_on=False)
        self.colorbar_ = add_side_colorbar(self.images_[0], ax, label="mean intensity")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _mean_image(patches):
    with warnings.catch_warnings():
        # A pixel that no window has stays NaN.
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        return np.nanmean(patches, axis=0, dtype=np.float64)


def _percent(share):
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"
