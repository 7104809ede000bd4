"""Locator that detects peaks and fits them: AtomLocator."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from .._image.input import check_images
from .._lattice.ordered_sublattices import MAX_SUBLATTICES
from .._utils.validation import Interval
from ._assembly import label_columns, label_pair_columns, relative_brightness
from ._batch import estimate_scales, locate_images, score_images
from ._checks import (
    no_such_sublattice,
    warn_of_dark_columns,
    warn_of_equivalent_sublattices,
    warn_of_merged_pairs,
    warn_of_outliers,
    warn_of_undivided_sublattices,
    warn_of_wide_spacing,
)
from ._detection.close_pairs import are_pairs_at, typical_pair
from ._detection.pair_fit import find_all_close_pairs, locate_all_pairs
from ._detection.scale import find_closer_spacing
from ._images_to_sites import LocatorMixin


class AtomLocator(LocatorMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Find and fit every atomic column of scanning transmission images.

    The spacing and the sigma of the columns are estimated from the image. Columns
    are the significant maxima of a blob filter of that sigma, a Laplacian of
    Gaussian, in the image and in the residual of a first fit. All of them are fitted
    together as Gaussians on a smooth background, weighted by the noise of the
    pixels, which is estimated, too. Sublattices follow from brightness and geometry
    together, without assuming long-range order.

    Parameters
    ----------
    sublattice : int, list of int or None, default=None
        Sublattices that are returned, 0 = brightest; None for all. All are located,
        because they are neighbours of each other.

    spacing : float, default=None
        Distance of nearest neighbours, px; for a perovskite along a cube axis
        with both cations seen, the unit cell over √2. For close pairs (dumbbells),
        the distance within the pair, to fit them as two, or that between the pairs, to
        fit each as one column. Estimated if None; a faint sublattice counts,
        interference lines do not.

    threshold : float, default=0.03
        Faintest column kept, as a share of the brightest column within about one
        and a half spacings. Columns must also exceed the noise: by three to
        four standard deviations, or by about two where other columns surround them
        and they are at least half as bright as the faint columns nearby.

    n_sublattices : int or "auto", default="auto"
        Number of sublattices in the images, 1 to 4; a number holds for every
        image. "auto" decides between one and two, for each image by itself and for
        each crystal in it, and divides these further, up to four in all, where columns
        of two brightness levels form lattices of their own.

    refine : {"gaussian", "center_of_mass", None}, default="gaussian"
        Method for the positions: the Gaussian fit; the centre of mass; or none
        beyond the sub-pixel maximum of the blob filter. Only the fit
        detects faint columns in the residual, and only the fit provides
        `sigma`, `background`, `position_std` and a meaningful `converged`.

    shape : {"circular", "elliptical"}, default="circular"
        Shape of the fitted Gaussians. "circular": every column has a sigma of its
        own; if all columns of an image are significantly longer along a common
        direction, by 3 % or more, as with astigmatism, drift or mistilt, they are
        fitted with this common ellipse, and `ellipticity` and `ellipse_rotation` of
        the sites have it. Otherwise these are NaN. "elliptical": every column has an
        ellipse of its own. Only used with ``refine="gaussian"``.

    border : {"keep", "drop"}, default="keep"
        Treatment of columns that the border of the image or of a masked region
        cuts: kept where their centres are on the image by the rule under Notes; or
        dropped within two `width_` of the border. In both cases, other columns have
        them as neighbours.

    max_iter : int, default=100
        Maximum number of iterations of the joint fit of overlapping columns. Use 300
        where `width_` exceeds 0.27 `spacing_` at high dose: a fit that ends early has
        larger errors of positions than `position_std` states. Narrower columns need
        fewer iterations than the default.

    tile_size : int or None, default=2048
        Images are processed in tiles of about this side, px, at least 256, that
        overlap by ten spacings; the columns are the same as without tiles (None).
        A tile of the default size needs about 0.5 GB for an image of any size, in
        addition to images and columns.

    n_jobs : int, default=None
        Number of images and tiles processed at a time, through joblib. None means 1
        unless in a :func:`joblib.parallel_config` context.

    Attributes
    ----------
    spacing_ : float
        Nearest-neighbour spacing, px: the median over the images.

    width_ : float
        Typical sigma of the bright columns, px.

    threshold_ : float
        Share of the local maximum that a column must reach, in `transform` too.

    n_sublattices_ : int
        Number of sublattices: the most that an image shows. With
        ``n_sublattices="auto"`` other images may show fewer.

    sublattice_brightness_ : ndarray of shape (n_sublattices_,)
        Median amplitude of each sublattice relative to sublattice 0 of its image:
        the median over the images that show it.

    See Also
    --------
    AtomSites : The result.
    UNetAtomLocator : Detects and labels columns with a trained network.
    PatchExtractor : Cuts a window of the image around every site.
    PolarizationVector : Displacements of the columns in their cages.

    Notes
    -----
    *Images* are a 2-D array, a 3-D stack, a list of 2-D arrays of different
    sizes, ``(array, pixel_size)`` tuples or the objects that
    :func:`~sklearn_ferroic.datasets.load_image` and
    :func:`~sklearn_ferroic.datasets.make_ferroic_image` return. Signals of HyperSpy,
    DataArrays of xarray and Datasets of sidpy are accepted, with their last two
    axes being rows and columns in the order of the array. Pixel sizes are passed to
    the sites.

    *Masked* pixels of :class:`numpy.ma.MaskedArray` carry no weight, and no column
    has its centre on one. The sites' images contain the mean of the pixels around.

    *Hot pixels*, groups of one to three that exceed their surroundings by more than
    twice the range of the image, are replaced by the median around them, in the
    sites' images too. Larger splashes and bright particles are to be masked.

    *Bad lines*, up to three rows or columns of pixels next to each other that are
    bright, dark or of one value over most of their length, and rectangular *blocks* of
    such pixels away from the border are treated as masked.

    *Border.* A column is returned if its fitted centre lies on the area of the
    pixels, [−0.5, n − 0.5] along each axis, by its standard error; within one
    `width_` of the border also only if that error is below a quarter of `width_`.
    Columns that the border cuts are assumed to be about as wide as the others. Some
    columns with a centre within a pixel of the border are missed. Doubtful and
    unfitted positions need only lie on the area of the pixels.

    *Noise.* The variance of a pixel is ``a + b * mean``, with a and b estimated for
    each image from the residual of the fit: electrons that are counted, and detectors
    with a gain, an offset and read noise. An image and a multiple of it, with or
    without an offset, have the same sites with the same standard errors.

    *Fit.* Where columns overlap, from a `width_` of about 0.22 `spacing_` on, all of
    them and the background are fitted jointly by damped Gauss-Newton steps; a step
    that increases the deviance is undone. Columns farther apart are
    fitted by Fisher scoring [1]_, each on the image minus all others. Columns centred
    off the image, and their tails on it, are predicted from the lattice.

    *Errors.* `position_std` is the Cramér–Rao bound at the fitted values, overlap
    included, corrected for what the residual image shows of each kind of column, bright
    and faint: noise that is correlated between pixels, as of amorphous layers, thermal
    motion and detectors, and structure that the model lacks and that displaces
    neighbouring columns alike, such as columns of oxygen. Not included are errors that
    all columns of a kind have in common, the effect of mistilt, drift and jitter of the
    scan lines, and the distance between the centre of a column of B and oxygen and that
    of B. Errors are up to 1.5 times as large at high dose where `width_` exceeds
    0.24 `spacing_`; within two spacings of the border they are up to 1.3 times as
    large, and more where `width_` is a third of `spacing_`.

    *Tails.* Real columns have wider tails than a Gaussian, which attract the columns
    between them. If the image shows such tails, they are estimated as a Gaussian of two
    to three times the width, with the same share of the amplitude for all columns, and
    subtracted before the last fit.

    *Doubtful fits* have ``converged=False`` and are kept. Their position is the centre
    of mass if the fit is implausible (width, distance from the peak) or the image has
    no information on the column, and that of the last step if the fit still moves.

    *Sublattices.* Nearest neighbours have different labels, and brightness decides
    which of the two is 0, crystal by crystal: labels are carried into another
    material even if the order of brightness is reversed there, but not over a break
    in the lattice or an antiphase boundary, where the same columns are exchanged. At
    planar faults and substitutions clear brightness prevails over the alternation.
    A crystal in which neither brightness nor displacement alternates is one
    sublattice.

    *Close pairs.* If most columns are pairs (dumbbells) whose columns are at least
    2.25 sigma apart, both are fitted, and `spacing_` is the distance within the pairs.
    Nearer pairs are one site each, with the flag MERGED and a warning. Only with
    ``refine="gaussian"`` and up to two sublattices.

    *Checks.* One warning states the cause and the remedy if columns are missed, that
    is, if the image shows a column at places where the lattice expects one and no site
    is; or if the sites cannot be the columns of a crystal, by the share of fits that
    did not converge, of isolated sites and of short pairs, or by the distance of
    neighbours. Another one is about images whose columns are all elongated by a factor
    of 1.45 or more. :meth:`AtomSites.quality` has the
    details.

    *Polarization* is the column minus the centroid of its coordination shell of
    four columns of the other sublattice, or of three or six on hexagonal lattices;
    NaN where the shell is incomplete.

    Images in one call should share one magnification: the scale learned in `fit` is
    used for all.

    The samples of a pipeline that starts with this estimator are images, those of
    later steps are columns. Pass AtomSites to tools that split samples (GridSearchCV
    over windows, cross_val_predict).

    References
    ----------
    .. [1] A. J. den Dekker, S. Van Aert, A. van den Bos and D. Van Dyck,
       "Maximum likelihood estimation of structure parameters from high
       resolution electron microscopy images. Part I", Ultramicroscopy 104
       (2005) 83-106.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomLocator
    >>> row, col = np.mgrid[:96, :96]
    >>> image = np.zeros((96, 96))
    >>> for r in range(8, 96, 16):
    ...     for c in range(8, 96, 16):
    ...         image += 100 * np.exp(-((row - r) ** 2 + (col - c) ** 2) / 12.5)
    ...         image += 40 * np.exp(-((row - r - 8) ** 2 + (col - c - 8) ** 2) / 12.5)
    >>> locator = AtomLocator()
    >>> sites = locator.fit_transform(image)
    >>> locator.n_sublattices_
    2
    >>> np.bincount(sites.sublattice)
    array([36, 25])
    """

    _parameter_constraints: dict = {
        **LocatorMixin._parameter_constraints,
        "threshold": [Interval(Real, 0, 1, closed="left")],
        "n_sublattices": [
            Interval(Integral, 1, MAX_SUBLATTICES, closed="both"),
            StrOptions({"auto"}),
        ],
    }

    def __init__(
        self,
        *,
        sublattice=None,
        spacing=None,
        threshold=0.03,
        n_sublattices="auto",
        refine="gaussian",
        shape="circular",
        border="keep",
        max_iter=100,
        tile_size=2048,
        n_jobs=None,
    ):
        self.sublattice = sublattice
        self.spacing = spacing
        self.threshold = threshold
        self.n_sublattices = n_sublattices
        self.refine = refine
        self.shape = shape
        self.border = border
        self.max_iter = max_iter
        self.tile_size = tile_size
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Learn spacing, sigma and sublattices from images.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, see Notes.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted locator.

        Raises
        ------
        TypeError, ValueError
            If images or parameters are invalid or no image shows the `sublattice`.
        """
        self._fit(X)
        return self

    def transform(self, X):
        """Locate the columns of images, at the scale learned.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, see Notes.

        Returns
        -------
        sites : AtomSites
            The columns, image by image and there from top to bottom.

        Raises
        ------
        TypeError, ValueError
            If the images are invalid or none shows the `sublattice`.
        """
        check_is_fitted(self)
        self._validate_params()
        carried = check_images(X)
        scale = self.spacing_, self.width_
        located, _ = self._locate(*carried[:2], *scale, self.threshold_, self._pairs)
        labeled = self._label(
            carried[0],
            located,
            self.spacing_,
            self._n_sublattices,
            self._pairs,
            self._merged,
        )
        return self._assemble(carried, labeled, [scale] * len(labeled), X=X)

    def fit_transform(self, X, y=None):
        """Learn the scale from images and locate their columns.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, see Notes.
        y : None
            Ignored.

        Returns
        -------
        sites : AtomSites
            The same as ``fit(X).transform(X)``, in half the time.
        """
        return self._assemble(*self._fit(X), X=X)

    def score(self, X, y=None):
        """Rate the located columns, without ground truth.

        The share of the images' local variance above the noise that the columns
        explain, times the share of columns whose fits can be trusted. At most
        1; comparable between thresholds, spacings and shapes, but not between ways
        to refine, because only fits can fail.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, see Notes.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean over the images.
        """
        check_is_fitted(self)
        self._validate_params()
        images, masks, _ = check_images(X)
        located, calibrations = self._locate(
            images, masks, self.spacing_, self.width_, self.threshold_, self._pairs
        )
        scores = score_images(
            images,
            masks,
            [part if self._pairs is None else part.fit for part in located],
            calibrations,
            spacing=self.spacing_,
            sigma=self.width_,
            tile_size=self.tile_size,
            n_jobs=self.n_jobs,
        )
        return float(np.mean(scores))

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(self, X):
        images, masks, _ = carried = check_images(X)
        pairs, merged, given = self._find_pairs(images, masks)
        scales = estimate_scales(images, masks, given, self.n_jobs)
        spacings, sigmas, skewnesses = np.array(scales).T
        spacing, sigma = float(np.median(spacings)), float(np.median(sigmas))
        if self.spacing is not None and pairs is None:
            warn_of_wide_spacing(images[0], self.spacing)
        warn_of_outliers(spacings, spacing)
        warn_of_dark_columns(skewnesses)
        if pairs is not None:
            spacing, sigma = pairs.separation, pairs.sigma

        def locate(spacing, sigma):
            located, _ = self._locate(
                images, masks, spacing, sigma, self.threshold, pairs
            )
            return located, self._label(
                images, located, spacing, self.n_sublattices, pairs, merged
            )

        located, labeled = locate(spacing, sigma)
        closer = None
        if self.spacing is None and pairs is None and merged is None:
            closer = self._closer_spacing(images, located, labeled, spacing, sigma)
        if closer is not None:
            scales = estimate_scales(images, masks, closer, self.n_jobs)
            spacing, sigma = closer, float(np.median([scale[1] for scale in scales]))
            located, labeled = locate(spacing, sigma)
        n_sublattices = 1 + max(int(part.sublattice.max(initial=0)) for part in labeled)
        if self.sublattice is not None and np.max(self.sublattice) >= n_sublattices:
            raise no_such_sublattice(self.sublattice, n_sublattices)
        warn_of_equivalent_sublattices(labeled)
        warn_of_undivided_sublattices(labeled)
        if merged is not None and self.spacing is None:
            warn_of_merged_pairs(merged)
        # Attributes are set after all steps have succeeded.
        self._pairs, self._merged = pairs, merged
        self.spacing_, self.width_ = spacing, sigma
        self.threshold_ = float(self.threshold)
        self.n_sublattices_ = n_sublattices
        # Number of sublattices in each image: up to this number, or exactly this.
        by_image = self.n_sublattices == "auto" and n_sublattices > 1
        self._n_sublattices = "auto" if by_image else n_sublattices
        self.sublattice_brightness_ = relative_brightness(labeled, n_sublattices)
        return carried, labeled, [(spacing, sigma)] * len(labeled)

    def _find_pairs(self, images, masks):
        """Return the typical close pair if it is fitted as two, or if it is as one.

        The spacing that follows is returned, too: of all images, or of each.
        """
        if self.refine != "gaussian" or self.n_sublattices not in ("auto", 1, 2):
            return None, None, self.spacing
        found, spacings = find_all_close_pairs(images, masks, self.n_jobs)
        pairs = typical_pair(found)
        if pairs is None:
            return None, None, spacings if self.spacing is None else self.spacing
        is_split = pairs.is_resolved
        if self.spacing is not None:
            # The distance within the pairs or that between them.
            is_split = self.spacing < (pairs.separation + pairs.spacing) / 2
        if is_split:
            return pairs, None, pairs.spacing
        return None, pairs, pairs.spacing if self.spacing is None else self.spacing

    def _closer_spacing(self, images, fits, labeled, spacing, sigma):
        """Return the spacing if most images show a closer one, None otherwise."""
        closer = []
        for image, fit, part in zip(images, fits, labeled, strict=True):
            vectors = None if part.sublattice.any() else part.vectors
            closer.append(find_closer_spacing(image, fit, vectors, spacing, sigma))
        closer = [length for length in closer if length is not None]
        return float(np.median(closer)) if 2 * len(closer) > len(images) else None

    def _locate(self, images, masks, spacing, sigma, threshold, pairs):
        """Return the columns of each image and its noise; with partners if pairs."""
        if pairs is not None:
            return locate_all_pairs(
                images,
                masks,
                pairs,
                shape=self.shape,
                max_iter=self.max_iter,
                tile_size=self.tile_size,
                n_jobs=self.n_jobs,
            )
        return locate_images(
            images,
            masks,
            spacing=spacing,
            sigma=sigma,
            threshold=threshold,
            refine=self.refine,
            shape=self.shape,
            max_iter=self.max_iter,
            tile_size=self.tile_size,
            n_jobs=self.n_jobs,
        )

    def _label(self, images, located, spacing, n_sublattices, pairs, merged):
        """Return the columns of each image with their sublattices."""
        if pairs is not None:
            return [
                label_pair_columns(part, pairs.spacing, n_sublattices)
                for part in located
            ]
        labeled = [label_columns(fit, spacing, n_sublattices) for fit in located]
        if merged is None:
            return labeled
        return [
            part._replace(
                merged=are_pairs_at(image, part.fit.positions, merged.spacing)
            )
            for image, part in zip(images, labeled, strict=True)
        ]
