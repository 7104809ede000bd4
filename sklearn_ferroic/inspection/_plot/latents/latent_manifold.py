"""Display of the decoder's images over a grid of latents."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..._drawing.axes import get_axes
from ..._drawing.layout import with_minus


class LatentManifoldDisplay:
    """Decoded images over a grid of one or two latent variables.

    It is recommended to use :meth:`from_estimator` to make a display. All parameters
    are stored as attributes.

    Parameters
    ----------
    images : ndarray of shape (n_y, n_x, h, w)
        Decoded images; along the first axis the latent of the ordinate grows, along
        the second that of the abscissa.
    x_values : ndarray of shape (n_x,)
        Values of the latent along the abscissa.
    y_values : ndarray of shape (n_y,)
        Values of the latent along the ordinate; ignored if it is one.
    names : tuple of str (x_name, y_name), default=("latent0", "latent1")
        Names of the two latents.

    Attributes
    ----------
    image_ : matplotlib AxesImage
        All images in one; one unit of the axes is one image.
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    RotationalVAE : Learns the latents.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import RotationalVAE
    >>> from sklearn_ferroic.inspection import LatentManifoldDisplay
    >>> X = np.random.default_rng(0).normal(size=(40, 144))
    >>> vae = RotationalVAE(max_epochs=1, n_hidden=16, n_init=1, random_state=0)
    >>> display = LatentManifoldDisplay.from_estimator(vae.fit(X), n=5)
    >>> display.images.shape
    (5, 5, 12, 12)
    """

    def __init__(self, images, x_values, y_values, *, names=("latent0", "latent1")):
        self.images = images
        self.x_values = x_values
        self.y_values = y_values
        self.names = names

    @classmethod
    def from_estimator(
        cls, estimator, *, n=7, extent=2.0, features=(0, 1), ax=None, cmap="gray"
    ):
        """Decode a grid of latents and draw it.

        Parameters
        ----------
        estimator : RotationalVAE
            A fitted estimator with `latent_dim` and `decode`.
        n : int, default=7
            Number of images along each axis.
        extent : float, default=2.0
            The grid reaches from -extent to extent, in standard deviations of the
            latents' prior.
        features : tuple of int, default=(0, 1)
            Latent along the abscissa and, if there are two, along the ordinate. The
            others are zero. An estimator with one latent makes a single row.
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        cmap : str or matplotlib Colormap, default="gray"
            Colours of the images, which share one scale.

        Returns
        -------
        display : LatentManifoldDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator cannot decode latents.
        ValueError
            If the estimator is not fitted, `features` are not one or two of its
            latents, or `n` is not positive.
        """
        # Its module loads torch, which takes seconds.
        from ....decomposition._generation import make_latent_grid

        _check_decodes(estimator)
        check_is_fitted(estimator)
        n_latents = estimator.latent_dim
        grid, features = make_latent_grid(
            n_latents, n=n, extent=extent, features=features
        )
        images = estimator.decode(grid.reshape(-1, n_latents))
        names = tuple(f"latent{feature}" for feature in features)
        display = cls(
            images.reshape(*grid.shape[:2], *images.shape[1:]),
            grid[0, :, features[0]],
            grid[:, 0, features[1]] if len(features) == 2 else np.zeros(1),
            names=names,
        )
        return display.plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw into; a new figure by default.
        cmap : str or matplotlib Colormap, default="gray"
            Colours of the images, which share one scale.

        Returns
        -------
        display : LatentManifoldDisplay
            The display itself.
        """
        n_y, n_x, height, width = self.images.shape
        rise = n_y * height / (n_x * width)
        ax = get_axes(ax, figsize=(6.0, 0.9 + 5.2 * rise))
        # The ordinate grows upwards as in a scatter plot, each image downwards.
        mosaic = self.images[::-1].swapaxes(1, 2).reshape(n_y * height, n_x * width)
        self.image_ = ax.imshow(
            mosaic,
            cmap=cmap,
            extent=(-0.5, n_x - 0.5, -0.5, n_y - 0.5),
            aspect=height / width,
            interpolation="nearest",
        )
        for line in np.arange(1, n_x) - 0.5:
            ax.axvline(line, color="white", lw=1.5)
        for line in np.arange(1, n_y) - 0.5:
            ax.axhline(line, color="white", lw=1.5)
        ax.set_xticks(*_ticks(self.x_values))
        ax.set_xlabel(self.names[0])
        if len(self.names) == 2 and n_y > 1:
            ax.set_yticks(*_ticks(self.y_values))
            ax.set_ylabel(self.names[1])
        else:
            ax.set_yticks([])
        ax.tick_params(length=0, labelsize="small")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _check_decodes(estimator):
    if hasattr(estimator, "decode") and hasattr(estimator, "latent_dim"):
        return
    hint = "Pass a RotationalVAE"
    if hasattr(estimator, "steps"):
        hint += ", here perhaps a step of the pipeline, pipeline[-1]"
    elif hasattr(estimator, "components_") or hasattr(estimator, "n_components"):
        hint += "; components of PCA or NMF are drawn by LoadingMapDisplay"
    raise TypeError(
        "LatentManifoldDisplay needs an estimator with latent_dim and "
        f"decode(latents), which {type(estimator).__name__} does not have. {hint}."
    )


def _ticks(values):
    """Return positions and texts of at most eight ticks."""
    step = -(-len(values) // 8)
    texts = [f"{value:z.2f}".rstrip("0").rstrip(".") for value in values[::step]]
    return np.arange(len(values))[::step], [with_minus(text) for text in texts]
