"""Locator with a segmentation network: UNetAtomLocator."""

import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils.validation import check_is_fitted

from .._image.input import check_images
from .._utils.validation import Interval
from ._batch import estimate_scales
from ._checks import warn_of_dark_columns
from ._images_to_sites import LocatorMixin
from ._unet.evaluation import mean_f1, mean_merit
from ._unet.evidence import UNCALIBRATED_COEFFICIENTS
from ._unet.inference import MAX_VIEWS
from ._unet.labels import check_labels
from ._unet.locating import class_map, locate_all
from ._unet.trained_network import TrainedNetworkMixin
from ._unet.training import TRAINING_CONSTRAINTS, fit_network
from ._unet.weights import Weights, start_weights


class UNetAtomLocator(
    TrainedNetworkMixin, LocatorMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Detect and label atomic columns with a U-Net, and fit them.

    The network [1]_ classifies every pixel as background, A or B column from its
    surroundings, without any assumption of long-range order, as in [2]_. Columns are
    the maxima of its probabilities; they are fitted in the same way as by
    :class:`AtomLocator`. It is useful where peaks are hard to detect and to label: few
    counts, strong mistilt, faint B columns between bright A columns, amorphous matter.

    ``UNetAtomLocator(weights="pretrained")`` locates without training, with weights
    that were trained on widely varied generated images.

    Parameters
    ----------
    weights : {"pretrained"}, str, path-like or None, default=None
        Weights that `fit` starts from, and keeps if it is given no labels: those that
        come with the package, or a file of :meth:`save_weights`. None starts from
        random ones.

    sublattice : int, list of int or None, default=None
        Sublattices that are returned, 0 = A, the brighter one, 1 = B; None for both.

    spacing : float, default=None
        Distance of nearest neighbours, px, B columns being neighbours of A columns.
        None estimates it, for each image by itself; in training, from the labels.

    threshold : float, default=0.5
        Minimum evidence for a column; it is 1 where the network is certain of all
        pixels of the column.

    refine : {"gaussian", "center_of_mass", None}, default="gaussian"
        Method for the positions: AtomLocator's fit; the centre of mass; or none beyond
        the sub-pixel maximum of the network's probabilities.

    shape : {"circular", "elliptical"}, default="circular"
        Shape of the fitted columns, as in AtomLocator.

    border : {"keep", "drop"}, default="keep"
        Treatment of columns that the border cuts, as in AtomLocator.

    max_iter : int, default=100
        Maximum number of iterations of the joint fit of overlapping columns, as in
        AtomLocator. `max_epochs` limits the training.

    tile_size : int or None, default=2048
        Images are processed in tiles of about this side, px, at least 256, whose
        overlap excludes seams; None processes the whole image at once.

    n_views : int, default=4
        Number of rotations by 90° and reflections of the image over which the
        probabilities are averaged, 1 to 8.

    n_filters : int, default=16
        Filters of the first level; the further three have 2, 3 and 4 times as many.
        Given `weights` have their own.

    crop_size : int, default=96
        Side of the squares that training sees, px of the network, at which nearest
        columns are 8 px apart; a multiple of 8.

    n_scales : int, default=3
        Number of random magnifications of each training image.

    max_epochs : int, default=30
        Number of passes over the squares.

    batch_size : int, default=16
        Squares a gradient step.

    learning_rate : float, default=0.003
        First learning rate of Adam; it falls to zero along a cosine.

    early_stopping : bool, default=False
        Whether to hold a part of the squares out of the training, to stop when their
        loss no longer improves, and to restore the best weights.

    validation_fraction : float, default=0.1
        Share of the squares to hold out: neighbouring ones. Only used with
        `early_stopping`.

    n_iter_no_change : int, default=5
        Epochs without improvement after which training stops. Only used with
        `early_stopping`.

    tol : float, default=0.0
        Minimum decrease of the loss of the held-out squares that is an improvement.

    callbacks : list, default=None
        Callbacks of skorch, or tuples of a name and a callback, as in RotationalVAE.

    checkpoint : str or path-like, default=None
        File in which `fit` stores the state of the training after each epoch. If it
        exists, the training continues from it; a file from other data or parameters is
        refused.

    device : str, default="auto"
        Device of the network: ``"auto"`` is CUDA, else MPS, else the CPU.

    random_state : int, RandomState instance or None, default=None
        Seeds the first weights, the magnifications, the order and the augmentation of
        the squares.

    n_jobs : int, default=None
        Number of images processed at a time, through joblib.

    verbose : int, default=0
        If positive, write a line an epoch to the standard output.

    Attributes
    ----------
    weights_ : dict of ndarray
        The weights by name, free of device and library objects.

    confidence_ : tuple of float
        Coefficients of the sites' `probability`, see :meth:`calibrate`.

    loss_curve_ : list of float
        Mean cross entropy of each epoch; empty without training.

    validation_loss_curve_ : list of float or None
        The same for the held-out squares; None without `early_stopping`.

    n_iter_ : int
        Number of epochs run.

    record_ : dict of str
        Origin of the weights: seed, data, versions.

    See Also
    --------
    AtomLocator : Detects peaks instead; faster, and as good on clear images.
    AtomSites : The result.

    Notes
    -----
    *Images*, masked and hot pixels, the border and doubtful fits are treated as in
    :class:`AtomLocator`, with two differences: the position of a doubtful fit is that
    of the network, and every image has its own scale.

    *Scale.* The input of the network is the local contrast of images resampled such
    that nearest columns are 8 px apart. An estimate that is off by √2, that of the A
    columns alone, has little effect; where no lattice is visible, pass `spacing`.

    *Probability.* `probability` of a site estimates how often such a site has a true
    column of its sublattice within a quarter of a spacing. It is calibrated for the
    weights that come with the package, on generated images; after training, call
    :meth:`calibrate` with labelled images that training has not seen.

    The samples of a pipeline that starts with this estimator are images, those of later
    steps are columns; see :class:`AtomLocator`.

    References
    ----------
    .. [1] O. Ronneberger, P. Fischer and T. Brox, "U-Net: convolutional networks for
       biomedical image segmentation", MICCAI (2015) 234-241.
    .. [2] S. V. Kalinin et al., "Unsupervised learning of ferroic variants from
       atomically resolved STEM images", 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import UNetAtomLocator
    >>> from sklearn_ferroic.datasets import make_ferroic_image
    >>> data = make_ferroic_image(shape=(160, 160), dose=2500, random_state=0)
    >>> locator = UNetAtomLocator(weights="pretrained")
    >>> sites = locator.fit_transform(data.image)
    >>> locator.score(data.image, data) > 0.95
    True
    """

    _parameter_constraints: dict = {
        **LocatorMixin._parameter_constraints,
        **TRAINING_CONSTRAINTS,
        "weights": [str, os.PathLike, None],
        "threshold": [Interval(Real, 0, 1, closed="neither")],
        "n_views": [Interval(Integral, 1, MAX_VIEWS, closed="both")],
        "callbacks": [list, None],
        "checkpoint": [str, os.PathLike, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        weights=None,
        sublattice=None,
        spacing=None,
        threshold=0.5,
        refine="gaussian",
        shape="circular",
        border="keep",
        max_iter=100,
        tile_size=2048,
        n_views=4,
        n_filters=16,
        crop_size=96,
        n_scales=3,
        max_epochs=30,
        batch_size=16,
        learning_rate=3e-3,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        tol=0.0,
        callbacks=None,
        checkpoint=None,
        device="auto",
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.weights = weights
        self.sublattice = sublattice
        self.spacing = spacing
        self.threshold = threshold
        self.refine = refine
        self.shape = shape
        self.border = border
        self.max_iter = max_iter
        self.tile_size = tile_size
        self.n_views = n_views
        self.n_filters = n_filters
        self.crop_size = crop_size
        self.n_scales = n_scales
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.device = device
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the network, or use the given weights if there are no labels.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, see Notes.
        y : AtomSites, object with `positions` and `sublattice`, array, or list
            The columns of the images: AtomSites of all of them, or one entry per image.
            An entry has `positions` and `sublattice` (0 for A, 1 for B), is a tuple of
            these two, or is a mask of the image's shape with 0 for background, 1 for A
            and 2 for B columns. None only with `weights`.

        Returns
        -------
        self : object
            The fitted locator.

        Raises
        ------
        TypeError, ValueError
            If images, labels, weights or parameters are invalid.
        """
        images, _, _ = check_images(X)
        start = None if self.weights is None else start_weights(self.weights)
        if y is None and start is not None:
            return self._keep(start)
        trained = fit_network(self, images, y, start)
        n_filters = self.n_filters if start is None else start.n_filters
        fitted = Weights(trained.weights, n_filters, UNCALIBRATED_COEFFICIENTS, {})
        return self._keep(fitted, trained.losses, trained.validation_losses)

    def transform(self, X):
        """Locate the columns of images.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, see Notes.

        Returns
        -------
        sites : AtomSites
            The columns, image by image and there from top to bottom, with their
            `probability`.

        Raises
        ------
        TypeError, ValueError
            If the images are invalid, show no lattice or not the `sublattice`.
        """
        carried, scales, located = self._locate(X)
        return self._assemble(
            carried,
            [found.labeled() for found in located],
            scales,
            [found.probability(self.confidence_) for found in located],
            X=X,
        )

    def predict_proba(self, X):
        """Compute the probabilities of the classes at every pixel.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, see Notes.

        Returns
        -------
        probabilities : list of ndarray of shape (n_rows, n_cols, 3), float32
            Of background, A and B, an array an image. They are the network's own:
            only those of sites are calibrated.
        """
        (images, _, _), scales, network = self._prepare(X)
        return [
            class_map(image, network, spacing, self.tile_size, self.n_views)
            for image, (spacing, _) in zip(images, scales, strict=True)
        ]

    def score(self, X, y=None):
        """Rate the located columns, by their labels if there are any.

        Parameters
        ----------
        X : array-like or container, or list of these
            The images, see Notes.
        y : AtomSites, object with `positions` and `sublattice`, array, or list
            Labels as in `fit`, or None.

        Returns
        -------
        score : float
            With labels, the mean over classes and images of F1, a site being right if
            it is within a quarter of a spacing of a column of its class. Without, the
            figure of merit of :meth:`AtomLocator.score`.
        """
        (images, masks, _), scales, located = self._locate(X)
        if y is not None:
            return mean_f1(located, check_labels(y, images), scales)
        return mean_merit(images, masks, located, scales, self.tile_size)

    def _prepare(self, X):
        check_is_fitted(self)
        self._validate_params()
        carried = check_images(X)
        images, masks, _ = carried
        scales = np.array(estimate_scales(images, masks, self.spacing, self.n_jobs))
        warn_of_dark_columns(scales[:, 2])
        return carried, scales[:, :2].tolist(), self._network()

    def _locate(self, X):
        carried, scales, network = self._prepare(X)
        located = locate_all(
            network,
            *carried[:2],
            scales,
            threshold=self.threshold,
            refine=self.refine,
            shape=self.shape,
            max_iter=self.max_iter,
            tile_size=self.tile_size,
            n_views=self.n_views,
            n_jobs=self.n_jobs,
        )
        return carried, scales, located

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.weights is None
        return tags
