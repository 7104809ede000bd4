"""Display of linear components and maps of their loadings."""

import numpy as np

from ...._utils.optional import import_optional
from ...._utils.transformers import list_steps, transform_through
from ..._data.features import as_images
from ..._data.selection import check_per_site, select_frame
from ..._drawing.axes import get_axes, show_image, subdivide
from ..._drawing.cells import add_cells, site_cells
from ..._drawing.colors import check_percentiles, color_limits, get_colormap
from ..._drawing.keys import add_side_colorbar

# Number of components if none are selected, and of pairs of panels per row.
_MAX_COMPONENTS = 6
_N_PAIRS = 2


class LoadingMapDisplay:
    """Components of PCA or NMF with maps of their loadings.

    Components and loadings that have a sign share diverging colours, symmetric about
    0; those that have none (NMF) are drawn in sequential colours from 0. It is
    recommended to use :meth:`from_estimator` or :meth:`from_sites` to make a display.
    All parameters are stored as attributes.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image under the maps.
    positions : ndarray of shape (n_sites, 2)
        Sites ``(row, col)``, px.
    components : ndarray of shape (n_components, h, w)
        The components as images.
    loadings : ndarray of shape (n_sites, n_components)
        Loading of each site on each component; NaN where unknown.
    names : sequence of str, default=None
        Titles of the components; ``component 0``, … by default.
    pixel_size : float, default=None
        Pixel size, nm; None if unknown.

    Attributes
    ----------
    signed_ : bool
        Whether the colours are diverging.
    images_ : list of matplotlib AxesImage
        The components.
    maps_ : list of matplotlib PolyCollection
        The cells, in the order of the sites.
    colorbars_ : list of matplotlib Colorbar
        One for each component, then one for each map.
    scale_bar_ : AnchoredSizeBar or None
        The scale bar, on the first map.
    axes_ : ndarray of Axes of shape (n_components, 2)
        Axes of each component and of its map.
    ax_ : matplotlib Axes
        The axes that they replace, invisible.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    LatentDistributionDisplay : Two loadings against each other.
    ClusterMeansDisplay : The mean window of each cluster.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_ferroic import AtomSites, PatchExtractor
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> from sklearn_ferroic.inspection import LoadingMapDisplay
    >>> data = make_ferroic_image(shape=(160, 160), random_state=0)
    >>> sites = AtomSites(data.image, data.positions).interior(0)
    >>> pca = make_pipeline(PatchExtractor(window_size=24), PCA(2)).fit(sites)
    >>> display = LoadingMapDisplay.from_estimator(pca, sites)
    >>> display.components.shape
    (2, 24, 24)
    """

    def __init__(
        self, image, positions, components, loadings, *, names=None, pixel_size=None
    ):
        self.image = image
        self.positions = positions
        self.components = components
        self.loadings = loadings
        self.names = names
        self.pixel_size = pixel_size

    @classmethod
    def from_estimator(
        cls,
        estimator,
        sites,
        *,
        features=None,
        patch_shape=None,
        frame=None,
        ax=None,
        cmap=None,
        percentiles=(1, 99),
        vmin=None,
        vmax=None,
        scale_bar=True,
    ):
        """Draw components of a fitted pipeline and their loadings on sites.

        Parameters
        ----------
        estimator : Pipeline
            Fitted on sites, with a step that has `components_`, such as PCA or NMF;
            what comes after the first such step is left out.
        sites : AtomSites
            The sites.
        features : sequence of int, default=None
            Components to draw; the first six at most by default.
        patch_shape : tuple of (int, int), default=None
            Height and width of a component; the most nearly square ones by default.
        frame : int, default=None
            Index of the image to show; needed if the sites lie on several.
        ax : matplotlib Axes, default=None
            Axes that the panels replace; a new figure by default.
        cmap : str or matplotlib Colormap, default=None
            Colours instead of the default ones.
        percentiles : tuple of float (low, high), default=(1, 99)
            Percentiles of the magnitude of the loadings that are drawn at the ends of
            the colours; only the upper one counts, as the scale begins at 0 or is
            symmetric about it.
        vmin, vmax : float, default=None
            Ends of the scale of all loadings instead.
        scale_bar : bool, default=True
            Whether to draw a scale bar.

        Returns
        -------
        display : LoadingMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If no step has components, or `sites` are not AtomSites.
        ValueError
            If one of `features` is not a component, or another error of
            :meth:`from_sites`.
        """
        select_frame(sites, frame)
        steps = list_steps(estimator)
        linear = [i for i, step in enumerate(steps) if hasattr(step, "components_")]
        if not linear or linear[0] == 0:
            raise TypeError(
                "LoadingMapDisplay needs a fitted pipeline from sites to a step with "
                "components_, such as make_pipeline(PatchExtractor(), PCA(4)), got "
                f"{type(estimator).__name__}. To draw components and loadings that you "
                "have, use from_sites."
            )
        step = steps[linear[0]]
        loadings = np.asarray(transform_through(steps[: linear[0] + 1], sites))
        n_components = len(step.components_)
        features = (
            range(n_components)[:_MAX_COMPONENTS] if features is None else features
        )
        features = list(features)
        if not features or not set(features) <= set(range(n_components)):
            raise ValueError(
                f"features must be among the components 0 … {n_components - 1}, got "
                f"{features}."
            )
        return cls.from_sites(
            sites,
            step.components_[features],
            loadings[:, features],
            names=_titles(step, features),
            patch_shape=patch_shape,
            frame=frame,
            ax=ax,
            cmap=cmap,
            percentiles=percentiles,
            vmin=vmin,
            vmax=vmax,
            scale_bar=scale_bar,
        )

    @classmethod
    def from_sites(
        cls,
        sites,
        components,
        loadings,
        *,
        names=None,
        patch_shape=None,
        frame=None,
        ax=None,
        cmap=None,
        percentiles=(1, 99),
        vmin=None,
        vmax=None,
        scale_bar=True,
    ):
        """Draw components and their loadings on sites.

        Parameters
        ----------
        sites : AtomSites
            The sites.
        components : array-like of shape (n_components, h * w) or (n_components, h, w)
            The components.
        loadings : array-like of shape (n_sites, n_components)
            Loading of each site on each component; NaN is grey.
        names : sequence of str, default=None
            Titles of the components; ``component 0``, … by default.
        patch_shape : tuple of (int, int), default=None
            Height and width of a component; the most nearly square ones by default.
        frame : int, default=None
            Index of the image to show; needed if the sites lie on several.
        ax : matplotlib Axes, default=None
            Axes that the panels replace; a new figure by default.
        cmap : str or matplotlib Colormap, default=None
            Colours instead of the default ones.
        percentiles : tuple of float (low, high), default=(1, 99)
            Percentiles of the magnitude of the loadings that are drawn at the ends of
            the colours; only the upper one counts, as the scale begins at 0 or is
            symmetric about it.
        vmin, vmax : float, default=None
            Ends of the scale of all loadings instead.
        scale_bar : bool, default=True
            Whether to draw a scale bar.

        Returns
        -------
        display : LoadingMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `sites` are not AtomSites.
        ValueError
            If there is not one loading per site and component or one name per
            component, `frame` is None and there are several images, `patch_shape` does
            not match the pixels of a component, or `ax` does not belong to a grid of
            subplots.
        """
        frame, rows = select_frame(sites, frame)
        components = as_images(components, patch_shape)
        n_components = len(components)
        loadings = check_per_site("loadings", loadings, len(sites), (n_components,))
        if names is not None and len(names) != n_components:
            raise ValueError(
                f"names must have one entry a component, {n_components}, got "
                f"{len(names)}."
            )
        display = cls(
            sites.images[frame],
            sites.positions[rows],
            components,
            loadings[rows].astype(np.float64),
            names=names,
            pixel_size=sites.pixel_size[frame],
        )
        return display.plot(
            ax,
            cmap=cmap,
            percentiles=percentiles,
            vmin=vmin,
            vmax=vmax,
            scale_bar=scale_bar,
        )

    def plot(
        self,
        ax=None,
        *,
        cmap=None,
        percentiles=(1, 99),
        vmin=None,
        vmax=None,
        scale_bar=True,
    ):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes that the panels replace; a new figure by default.
        cmap : str or matplotlib Colormap, default=None
            Colours instead of the default ones.
        percentiles : tuple of float (low, high), default=(1, 99)
            Percentiles of the magnitude of the loadings that are drawn at the ends of
            the colours; only the upper one counts, as the scale begins at 0 or is
            symmetric about it.
        vmin, vmax : float, default=None
            Ends of the scale of all loadings instead.
        scale_bar : bool, default=True
            Whether to draw a scale bar.

        Returns
        -------
        display : LoadingMapDisplay
            The display itself.
        """
        n_components = len(self.components)
        n_cols = min(n_components, _N_PAIRS)
        n_rows = -(-n_components // n_cols)
        ax = get_axes(ax, figsize=(6.4 * n_cols, 2.9 * n_rows))
        self.axes_ = subdivide(ax, n_components, n_rows, n_cols)
        lowest = min(np.nanmin(self.components), np.nanmin(self.loadings, initial=0))
        self.signed_ = bool(lowest < 0)
        if cmap is None:
            maps = import_optional("cmcrameri.cm", "plot")
            cmap = maps.vik if self.signed_ else maps.batlow
        cmap = get_colormap(cmap)
        self._draw_components(cmap)
        self._draw_maps(cmap, scale_bar, check_percentiles(percentiles), vmin, vmax)
        self.colorbars_ = [
            add_side_colorbar(artist, panel)
            for panel, artist in zip(
                self.axes_.T.ravel(), [*self.images_, *self.maps_], strict=True
            )
        ]
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    def _limits(self, values, percentile):
        magnitude = np.abs(values[np.isfinite(values)])
        top = np.percentile(magnitude, percentile) if magnitude.size else 0
        top = top or magnitude.max(initial=0) or 1.0
        return {"vmin": -top if self.signed_ else 0.0, "vmax": top}

    def _draw_components(self, cmap):
        self.images_ = []
        for index, (panel, component) in enumerate(
            zip(self.axes_[:, 0], self.components, strict=True)
        ):
            limits = self._limits(component, 100)
            self.images_.append(panel.imshow(component, cmap=cmap, **limits))
            name = f"component {index}" if self.names is None else self.names[index]
            panel.set(xticks=[], yticks=[], title=name)

    def _draw_maps(self, cmap, scale_bar, percentiles, vmin, vmax):
        polygons, _, _ = site_cells(self.positions)
        self.maps_, bars = [], []
        for index, panel in enumerate(self.axes_[:, 1]):
            _, bar = show_image(
                panel,
                self.image,
                pixel_size=self.pixel_size,
                scale_bar=scale_bar and index == 0,
            )
            bars.append(bar)
            loading = self.loadings[:, index]
            values = np.ma.masked_invalid(loading)
            cells = add_cells(panel, polygons, array=values, cmap=cmap)
            limits = self._limits(loading, percentiles[1])
            if vmin is not None or vmax is not None:
                low, high = color_limits(
                    loading,
                    vmin=vmin,
                    vmax=vmax,
                    percentiles=percentiles,
                    center=0 if self.signed_ else None,
                )
                limits = {"vmin": low, "vmax": high}
            cells.set_clim(**limits)
            panel.set_title("loading")
            self.maps_.append(cells)
        self.scale_bar_ = bars[0]


def _titles(step, features):
    """Return titles of components with their share of the variance."""
    names = [f"{type(step).__name__.lower()}{feature}" for feature in features]
    shares = getattr(step, "explained_variance_ratio_", None)
    if shares is None:
        return names
    return [
        f"{name} ({100 * shares[feature]:.2g} %)"
        for name, feature in zip(names, features, strict=True)
    ]
