"""Image windows around the sites."""

import warnings
from numbers import Integral, Real

import numpy as np
from scipy.spatial import cKDTree
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import HasMethods, StrOptions, validate_params
from sklearn.utils.validation import check_memory

from .._utils.validation import Interval, check_on_image
from ..sites import AtomSites
from ._input import check_sites
from ._windows.cutting import cut_windows, outside_image

# Pixels of an image sorted at a time.
_BLOCK_PIXELS = 2**21


@validate_params(
    {
        "sites": [AtomSites],
        "n_cells": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def suggest_window_size(sites, n_cells=2.4):
    """Suggest the side of the windows for the lattice of sites.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites. The side of their unit cell is the shorter lattice vector, the median
        over all sites, or the distance of nearest sites of one sublattice if they have
        no lattice vectors.
    n_cells : float, default=2.4
        Side of the window in unit cells: the cell of the site and most of the cells
        around it. 3.4 suits patterns that repeat after four cells.

    Returns
    -------
    window_size : int
        Side of the window, px, an even number.

    Raises
    ------
    ValueError
        If no two sites of one sublattice lie on one image.

    See Also
    --------
    PatchExtractor : Cuts the windows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.feature_extraction import suggest_window_size
    >>> positions = 20.0 * np.indices((5, 5)).reshape(2, -1).T + 10
    >>> suggest_window_size(AtomSites(np.zeros((100, 100)), positions))
    48
    """
    edges = np.linalg.norm(sites.lattice_vectors, axis=2)
    edges = edges[np.isfinite(edges).all(axis=1)]
    if len(edges):
        cell = float(np.median(edges, axis=0).min())
    else:
        cell = _nearest_alike(sites)
    return max(2 * round(n_cells * cell / 2), 2)


def _nearest_alike(sites):
    """Compute the median distance of nearest sites of one sublattice, px."""
    distances = []
    groups = np.column_stack([sites.frame, sites.sublattice])
    for frame, label in np.unique(groups, axis=0):
        own = sites.positions[(groups == [frame, label]).all(axis=1)]
        if len(own) > 1:
            distances.append(cKDTree(own).query(own, k=2)[0][:, 1])
    if not distances:
        raise ValueError(
            "No two sites of one sublattice lie on one image, so that they have no "
            "unit cell. Pass all sites of the images."
        )
    return float(np.median(np.concatenate(distances)))


class PatchExtractor(TransformerMixin, BaseEstimator):
    """Cut a square window of the image around every site.

    Returns one row per site, in order, also at the border of the image. By default the
    windows are interpolated so that the fitted column lies exactly at the
    window's geometric centre, ``((window_size - 1) / 2, (window_size - 1) / 2)``,
    for even and odd sides. That point is the centre of rotation of
    :class:`~sklearn_ferroic.RotationalVAE`: a window cut at the nearest pixel
    deviates from it by up to half a pixel, as much as a weak polarization.

    The estimator is stateless.

    Parameters
    ----------
    window_size : int, default=48
        Side of the window, px. Two to three unit cells is a good choice:
        :func:`~sklearn_ferroic.feature_extraction.suggest_window_size`.

    center : {"atom", "lattice"}, default="atom"
        Centre of the window: the fitted column, or its position in the ideal
        lattice of the whole image (`lattice_position` of the sites; a column
        without one is centred on itself). Under scan drift the ideal lattice is
        the worse reference.

    interpolation : {"cubic", "linear", "nearest"}, default="cubic"
        Interpolation of the shifted window: cubic or linear splines, or whole
        pixels only. Cubic splines overshoot next to sharp edges; values are
        clipped to the range of the image.

    boundary : {"periodic", "reflect", "nearest", "nan"}, default="periodic"
        Values of a window's pixels beyond the image: the image continued by
        translations of its own lattice (its mirror image if it shows none), its
        mirror image, its nearest pixel, or NaN. A mirror image reverses the
        polarization and misleads the angle of columns at the border.
        ``sites.interior(margin)`` drops such sites.

    normalize : {"image", "patch", None}, default="image"
        ``"image"`` maps the minimum of each image to 0 and its 99.9th
        percentile to 1, so that images of different gain are comparable and the
        differences in brightness within one image, the chemistry, are kept.
        ``"patch"`` scales each window to mean 0 and variance 1. None keeps the
        values of the image.

    memory : str or object with the joblib.Memory interface, default=None
        Where windows are cached. A search over later steps then cuts the windows
        of each fold once, training and held-out; the `memory` of a Pipeline
        caches only what steps return at fit. None caches nothing.

    See Also
    --------
    AtomLocator : Returns the sites of an image.
    RotationalVAE : Models angle and latents of the windows.

    Notes
    -----
    Rows are raveled row by row: ``X.reshape(-1, window_size, window_size)``
    restores the windows. With ``normalize="image"`` or None the windows of an
    image in counts are non-negative, as :class:`sklearn.decomposition.NMF` needs.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites, PatchExtractor
    >>> ramp = np.add.outer(np.zeros(32), np.arange(32.0))
    >>> sites = AtomSites(ramp, [[15.0, 16.25]])
    >>> PatchExtractor(window_size=3, normalize=None).transform(sites).round(2)
    array([[15.25, 16.25, 17.25, 15.25, 16.25, 17.25, 15.25, 16.25, 17.25]],
          dtype=float32)
    """

    _parameter_constraints: dict = {
        "window_size": [Interval(Integral, 2, None, closed="left")],
        "center": [StrOptions({"atom", "lattice"})],
        "interpolation": [StrOptions({"cubic", "linear", "nearest"})],
        "boundary": [StrOptions({"periodic", "reflect", "nearest", "nan"})],
        "normalize": [StrOptions({"image", "patch"}), None],
        "memory": [str, HasMethods(["cache"]), None],
    }

    def __init__(
        self,
        *,
        window_size=48,
        center="atom",
        interpolation="cubic",
        boundary="periodic",
        normalize="image",
        memory=None,
    ):
        self.window_size = window_size
        self.center = center
        self.interpolation = interpolation
        self.boundary = boundary
        self.normalize = normalize
        self.memory = memory

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Check the parameters and the sites; nothing is fitted.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The estimator.
        """
        check_sites(self, X)
        check_windows(X, self.window_size)
        return self

    def transform(self, X):
        """Cut the windows.

        Parameters
        ----------
        X : AtomSites of length n_sites
            The sites.

        Returns
        -------
        patches : ndarray of shape (n_sites, window_size ** 2)
            One window per site, float32.

        Raises
        ------
        TypeError
            If `X` is not an AtomSites.
        ValueError
            If an image is smaller than the window, a site lies off its image,
            or ``center="lattice"`` and the sites have no lattice positions.

        Warns
        -----
        UserWarning
            If the window is smaller than the unit cell of the sites, or larger than
            half of an image.
        """
        self._validate_params()
        check_sites(self, X)
        check_windows(X, self.window_size)
        cut = check_memory(self.memory).cache(cut_patches)
        patches = cut(
            X,
            self.window_size,
            center=self.center,
            interpolation=self.interpolation,
            boundary=self.boundary,
            normalize=self.normalize,
        )
        warn_of_window_size(X, self.window_size)
        return patches

    def get_feature_names_out(self, input_features=None):
        """Get the names of the window's pixels.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str of shape (window_size ** 2,)
            ``pixel<row>_<col>``, row by row.
        """
        side = range(self.window_size)
        names = [f"pixel{row}_{col}" for row in side for col in side]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


def check_windows(sites, window_size):
    """Check that images are as large as the window and contain their sites."""
    for frame in np.unique(sites.frame):
        shape = sites.images[frame].shape
        if min(shape) < window_size:
            raise ValueError(
                f"window_size={window_size} is larger than image {frame} of shape "
                f"{shape}. Choose a smaller window."
            )
        check_on_image(sites.positions[sites.frame == frame], sites.images[frame])


def warn_of_window_size(sites, window_size):
    """Warn if windows are smaller than the unit cell or larger than half the image."""
    sides = {frame: min(sites.images[frame].shape) for frame in np.unique(sites.frame)}
    for frame, side in sides.items():
        if window_size > side / 2:
            warnings.warn(
                f"window_size={window_size} px is more than half the side of image "
                f"{frame}, {side} px: most windows reach beyond the image and are "
                "filled by extrapolation, and all of them share most pixels. Choose at "
                f"most {side // 2} px, or use a larger image.",
                UserWarning,
                # through the wrapper that scikit-learn puts around transform
                stacklevel=4,
            )
            return
    edges = np.linalg.norm(sites.lattice_vectors, axis=2).min(axis=1)
    edges = edges[np.isfinite(edges)]
    cell = np.median(edges) if len(edges) else 0.0
    if window_size < cell:
        warnings.warn(
            f"window_size={window_size} px is less than the unit cell, whose edge is "
            f"{cell:.1f} px: the windows do not show the columns around their centre. "
            f"Choose at least {int(np.ceil(2 * cell))} px, two unit cells.",
            UserWarning,
            # through the wrapper that scikit-learn puts around transform
            stacklevel=4,
        )


def cut_patches(sites, side, *, center, interpolation, boundary, normalize):
    """Return the windows of sites as rows, as `PatchExtractor` does."""
    centers = _window_centers(sites, center)
    patches = np.empty((len(sites), side, side), dtype=np.float32)
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(sites.frame == frame)
        image = sites.images[frame]
        cut = np.empty((len(rows), side, side), dtype=np.float32)
        cut_windows(
            image,
            centers[rows],
            side,
            interpolation=interpolation,
            # NaN is inserted last: a spline would spread it.
            boundary="reflect" if boundary == "nan" else boundary,
            out=cut,
        )
        low, high = image.min(), image.max()
        np.clip(cut, low, high, out=cut)
        if normalize == "image":
            cut -= low
            # in a nearly empty image the percentile is still the minimum
            span = _bright_level(image) - low or high - low
            cut /= span or 1
        if boundary == "nan":
            cut[outside_image(image.shape, centers[rows], side)] = np.nan
        patches[rows] = cut
    if normalize == "patch":
        patches = _standardize(patches)
    return patches.reshape(len(sites), side * side)


def _window_centers(sites, center):
    if center == "atom":
        return sites.positions
    known = np.isfinite(sites.lattice_position).all(axis=1)
    if not known.any():
        raise ValueError(
            'center="lattice" needs sites whose place is known in the ideal '
            "lattice, and none does. AtomLocator supplies it; for sites of your "
            "own give AtomSites(..., lattice_position=...)."
        )
    return np.where(known[:, None], sites.lattice_position, sites.positions)


def _bright_level(image):
    """Compute the 99.9th percentile of an image, of a large one without a copy."""
    if image.size <= _BLOCK_PIXELS:
        return np.percentile(image, 99.9)
    rank = 0.999 * (image.size - 1)
    n_kept = image.size - int(rank)
    brightest = np.empty(0, dtype=image.dtype)
    n_rows = max(1, _BLOCK_PIXELS // image.shape[1])
    for first in range(0, len(image), n_rows):
        block = np.append(brightest, image[first : first + n_rows])
        brightest = np.partition(block, max(len(block) - n_kept, 0))[-n_kept:]
    below, above = np.sort(brightest)[:2]
    return below + np.float32(rank % 1) * (above - below)


def _standardize(patches):
    mean = np.nanmean(patches, axis=(1, 2), keepdims=True)
    std = np.nanstd(patches, axis=(1, 2), keepdims=True)
    return (patches - mean) / np.where(std > 0, std, 1)
