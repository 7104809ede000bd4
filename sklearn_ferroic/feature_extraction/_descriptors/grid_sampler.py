"""Places on a regular grid instead of atomic columns."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context

from ..._image.input import check_images
from ..._utils.transformers import ImagesToSitesMixin
from ..._utils.validation import Interval
from ...sites import AtomSites


class GridSampler(ImagesToSitesMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Place sites on a regular grid over every image.

    Use it instead of an :class:`AtomLocator` where windows or Fourier magnitudes are to
    be sampled without knowledge of the columns, as in sliding-window analyses.

    The estimator is stateless.

    Parameters
    ----------
    step : float, default=16
        Distance of the places along rows and along columns, px.

    margin : float, default=0
        Minimum distance of a place from the outermost pixel centres, px. Half the side
        of the windows keeps these on the image.

    See Also
    --------
    AtomLocator : Places sites at the atomic columns.
    SlidingFFT : Fourier magnitudes of the windows around sites.
    PatchExtractor : The windows.

    Notes
    -----
    Sites of the grid are not columns: they have no sublattice brightness, lattice
    vectors or displacement. Places on masked pixels are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.feature_extraction import GridSampler
    >>> image = np.random.default_rng(0).normal(size=(48, 64))
    >>> sites = GridSampler(step=16, margin=8).transform(image)
    >>> sites.positions[:3]
    array([[15.5, 15.5],
           [15.5, 31.5],
           [15.5, 47.5]])
    """

    _parameter_constraints: dict = {
        "step": [Interval(Real, 1, None, closed="left")],
        "margin": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, *, step=16, margin=0):
        self.step = step
        self.margin = margin

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the images; nothing is fitted.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, as :class:`AtomLocator` takes them.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The estimator.
        """
        check_images(X)
        return self

    def transform(self, X):
        """Place the sites.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, as :class:`AtomLocator` takes them.

        Returns
        -------
        sites : AtomSites
            The places, image by image and there row by row; the grid is centred on
            each image.

        Raises
        ------
        TypeError, ValueError
            If the images are invalid, or one is smaller than twice the margin.
        """
        self._validate_params()
        images, masks, pixel_sizes = check_images(X)
        positions, frame = [], []
        for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
            axes = [self._along(length, number) for length in image.shape]
            places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
            places = places.reshape(-1, 2)
            if mask is not None:
                row, col = np.rint(places).astype(np.intp).T
                places = places[mask[row, col]]
            positions.append(places)
            frame.append(np.full(len(places), number))
        return AtomSites(
            images,
            np.concatenate(positions),
            frame=np.concatenate(frame),
            pixel_size=pixel_sizes,
        )

    def _along(self, length, number):
        """Return the places along an axis of an image."""
        span = length - 1 - 2 * self.margin
        if span < 0:
            raise ValueError(
                f"margin={self.margin} px leaves no place on image {number}, which is "
                f"{length} px wide. Choose a smaller margin."
            )
        n_steps = int(span / self.step)
        return (length - 1) / 2 + self.step * (np.arange(n_steps + 1) - n_steps / 2)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
