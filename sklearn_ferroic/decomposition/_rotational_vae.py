"""The rotational variational autoencoder as an estimator."""

import math
import os
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from .._utils.validation import Interval
from ._generation import GenerationMixin
from ._posed_columns import PosedColumnsMixin, check_fitted_patches
from ._rvae import fitting
from ._rvae.factors.checks import warn_of_uncertain_classes
from ._rvae.inference import (
    infer_evidence,
    infer_lattice_angle,
    infer_posterior,
    warn_about_magnification,
)

# Attributes of fits with classes.
_CLASS_ATTRIBUTES = (
    "class_shares_",
    "classes_",
    "n_classes_range_",
    "uncertain_class_share_",
)


def _has_classes(estimator):
    return estimator.n_classes is not None


class RotationalVAE(
    GenerationMixin, PosedColumnsMixin, TransformerMixin, BaseEstimator
):
    """Infer angle, offset and latents of image patches.

    A patch is modelled as an image in canonical pose, parametrised by a few latent
    variables, that is rotated by an angle and shifted by a small offset. In a ferroic
    the angle identifies the variant, and the latents describe the remaining variation:
    chemistry, strain, thickness, imaging conditions.

    The latents come from a rotation-invariant encoder: the patch is sampled on rings
    around its centre, convolved along the rings and pooled over them. If the patches
    show a lattice, the angle is the direction of the polarization: the direction in
    which the central column is displaced relative to its neighbours, independent of the
    orientation of the lattice. Otherwise the likelihood of all rotations of the
    patch against the canonical image is computed, which gives the full posterior of the
    angle on the circle. The offset has a closed-form solution.

    Parameters
    ----------
    latent_dim : int, default=2
        Number of latent variables.

    n_classes : int or "auto", default=None
        Largest number of discrete classes, such as the materials of a superlattice and
        antipolar cells; `transform` then appends their probabilities. A class that the
        evidence does not support is empty. "auto" returns only the classes that are not
        empty, up to 8. None infers none.

    n_conditions : int, default=0
        Number of conditions, factors that are known for each patch, such as thickness,
        tilt, dose or sublattice. They are the last columns of `X`; the latents then
        need not describe them.

    translation : bool, default=True
        Whether patches may be shifted; then `transform` returns the offsets.

    patch_shape : tuple of (int, int), default=None
        Height and width of the patches if `X` has them as rows. None selects the
        most nearly square shape.

    offset_scale : float, default=0.25
        Standard deviation of the offset's Gaussian prior, px. The default suits
        windows centred on fitted columns; use 0.5 for windows cut at whole pixels. A
        prior much wider than the centring error lets offsets absorb polarization.

    n_hidden : int, default=128
        Number of units per hidden layer; the invariant encoder uses a quarter of it.

    n_init : int, default=3
        Number of patches that are tried as the initial template by the invariant
        encoder.

    encoder : {"invariant", "convolutional", "dense"}, default="invariant"
        How pose and latents are inferred. ``"invariant"`` is described above. With
        the other two, one network predicts the posterior of angle, offset and
        latents, as in [1]_: two 3 x 3 convolutions at full resolution, or two layers
        over all pixels. They are provided for comparison; see `paper`.

    decoder : {"canonical", "coordinate"}, default="canonical"
        How patches are generated. ``"canonical"`` decodes the latents to one image
        and resamples it; ``"coordinate"`` evaluates a network at the rotated, shifted
        coordinates of every pixel, as in [1]_ and [2]_, which takes about twenty
        times as long.

    coordinate_length : float or None, default=1.5
        Initial length scale of the units in the first layer of the coordinate decoder,
        px. None keeps the default initial weights, with a length scale of half the
        patch, as in [1]_.

    rotation_prior : float, default=None
        Preferred standard deviation of the posterior of each angle in the prior of the
        convolutional and the dense encoder, radians. As in [1]_, this prior does not
        constrain the angle itself. None selects the uniform prior on the circle.

    noise_std : float, default=None
        Standard deviation of the noise in the likelihood, in units of `X`, or of the
        maximum of `X` with ``scaling="max"``. None fits it.

    scaling : {"standard", "max"}, default="standard"
        Whether pixels are scaled to mean 0 and variance 1, or divided by their maximum,
        as in [1]_. If there are negative pixels, ``"max"`` first subtracts the minimum.

    kl_capacity : float, default=None
        Target for the divergence of the posterior from the prior, nats per patch,
        which rises to this value during training [3]_. With the invariant encoder it
        applies to the latents only. None imposes no target.

    max_epochs : int, default=20
        Largest number of passes over the patches; see `convergence_tol`.

    batch_size : int, default=64
        Number of patches per gradient step.

    learning_rate : float, default=0.003
        Initial learning rate of Adam.

    learning_rate_schedule : {"cosine", "constant"}, default="cosine"
        Whether the learning rate decreases to zero along a cosine or stays constant for
        `max_epochs` epochs. With `convergence_tol` the decrease begins when the loss
        has converged, otherwise with the first epoch.

    convergence_tol : float or None, default=0.012
        The loss has converged when 50 gradient steps improve it by less than this
        value, nats per pixel. The learning rate is then annealed over two epochs for
        every five epochs run, and training ends. None runs all `max_epochs`, as do the
        convolutional and the dense encoder, `early_stopping` and `kl_capacity`.

    warm_start : bool, default=False
        Whether `fit` continues the previous training. Lattice, polarization, classes
        but for their shares, and pixel scale remain those of the first fit; `y` and
        `angle` have to be the same or None.

    early_stopping : bool, default=False
        Whether to hold out part of the patches for validation, to stop when their
        loss no longer improves, and to restore the best weights. The learning rate
        schedule is that of all epochs.

    validation_fraction : float, default=0.1
        Fraction of the patches to hold out. They are consecutive rows from a random
        start: patches of the same image overlap, so that individually drawn rows would
        share pixels with the training set. Only used with `early_stopping`.

    n_iter_no_change : int, default=5
        Epochs without improvement after which training stops. Only used with
        `early_stopping`.

    tol : float, default=1e-4
        Smallest decrease of the validation loss that counts as an improvement. Only
        used with `early_stopping`.

    callbacks : list, default=None
        Callbacks of skorch, or tuples of a name and a callback. A fit uses shallow
        copies: attributes that a callback sets on itself are not visible on the object
        that was passed, but changes of objects to which it refers are. A callback that
        raises KeyboardInterrupt at the end of an epoch ends the training.

    checkpoint : str or path-like, default=None
        File to which `fit` writes the state of the training before the first epoch,
        after each epoch and at the end. If the file exists, `fit` resumes from it; a
        file of other data or parameters raises an error. See `from_checkpoint`.

    mixed_precision : bool, default=False
        Whether the networks' layers are trained in bfloat16, which is faster on
        recent GPUs. The other operations and inference are not affected.

    device : str, default="auto"
        Device for computations: ``"auto"`` selects CUDA if available, else MPS, else
        the CPU.

    verbose : int, default=0
        If positive, write one line per epoch to standard output. With 0, a fit that is
        expected to take more than 10 s shows its progress on standard error if that is
        a terminal or a notebook.

    random_state : int, RandomState instance or None, default=None
        Seeds the initial weights, the order of the patches and the samples from the
        posterior. With an int, results are identical to the bit on the same CPU with
        the same number of threads.

    Attributes
    ----------
    weights_ : dict of ndarray
        The trained weights by name, as NumPy arrays.

    patch_shape_ : tuple of (int, int)
        Height and width of the patches.

    noise_std_ : float
        Standard deviation of the noise in the model, in units of `X`.

    classes_ : ndarray of shape (n_classes,)
        Labels of the classes: those in `y`, then other numbers from 0 on, in the order
        of the shares. Only with `n_classes`.

    class_shares_ : ndarray of shape (n_classes,)
        Fraction of the training patches in each class. Only with `n_classes`.

    n_classes_range_ : tuple of (int, int)
        Smallest and largest number of classes up to `n_classes` that the evidence does
        not distinguish in the first fit; equal if it is certain. Only with `n_classes`.

    uncertain_class_share_ : float
        Fraction of the training patches without a class of probability 0.9 or more.
        Only with `n_classes`.

    loss_curve_ : list of float
        Mean negative evidence bound per standardised pixel at each epoch, up to a
        constant.

    validation_loss_curve_ : list of float or None
        The same for the validation patches; None without `early_stopping`.

    n_iter_ : int
        Number of epochs run.

    n_features_in_ : int
        Number of pixels of a patch, and of conditions.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has string names.

    See Also
    --------
    PatchExtractor : Cuts the patches, centred as this estimator needs them.
    AngleAwareScaler : Scales the output for clustering.
    sklearn.decomposition.PCA : Linear components, which mix angle and chemistry.

    Notes
    -----
    Angles are in radians in [-pi, pi) from the +col axis towards the +row axis.
    Rotating the image by ``numpy.rot90(patch, 1)`` changes the angle by -pi/2. The
    returned angle is the mean direction of its posterior. The angle of a patch without
    polarization is undetermined, and `transform_with_std` returns a large width.

    In a lattice of three-, four- or six-fold symmetry the displacement is computed from
    the angular orders next to those of the lattice, with the covariance of the noise
    and the distribution of the displacements learned from the patches: directions are
    shrunk towards those of the domains as far as the data support it. At least two unit
    cells should fit in a patch. In other patches, or if the image is not polar, the
    angle is the rotation of the whole patch, up to one constant for the whole fit. The
    likelihood is then tempered: it is divided by the ratio of the variance of
    log-likelihood differences between rotations to that under white noise.

    The offset is marginalised where rotations of the whole patch are compared.
    Otherwise the displacement of the column on which a patch is centred would appear as
    an opposite shift of all other columns. ``translation=False`` omits this, with large
    errors at small polarization. Patches should be centred on their column to a
    fraction of a pixel.

    References
    ----------
    .. [1] S. V. Kalinin, J. J. P. Peters et al., "Unsupervised learning of ferroic
       variants from atomically resolved STEM images", 2020.
    .. [2] T. Bepler, E. D. Zhong, K. Kelley, E. Brignole, B. Berger, "Explicitly
       disentangling image content from translation and rotation with
       spatial-VAE", NeurIPS 2019.
    .. [3] C. P. Burgess, I. Higgins, A. Pal et al., "Understanding disentangling in
       beta-VAE", 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import RotationalVAE
    >>> row, col = np.mgrid[-6:7, -6:7]
    >>> spot = np.exp(-((row - 3) ** 2 + col**2) / 4)
    >>> X = np.stack([np.rot90(spot, k % 4) for k in range(40)])
    >>> X += np.random.RandomState(0).normal(0, 0.05, X.shape)
    >>> vae = RotationalVAE(latent_dim=1, max_epochs=3, random_state=0).fit(X)
    >>> angle = vae.transform(X)[:, 0]
    >>> steps = (angle[1:5] - angle[:4]) / (np.pi / 2)
    >>> np.mod(np.round(steps), 4)  # np.rot90 rotates by -pi / 2
    array([3., 3., 3., 3.], dtype=float32)
    """

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "n_classes": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            None,
        ],
        "n_conditions": [Interval(Integral, 0, None, closed="left")],
        "translation": ["boolean"],
        "patch_shape": [tuple, list, None],
        "offset_scale": [Interval(Real, 1e-6, 1e6, closed="both")],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "encoder": [StrOptions({"invariant", "convolutional", "dense"})],
        "decoder": [StrOptions({"canonical", "coordinate"})],
        "coordinate_length": [Interval(Real, 0, None, closed="neither"), None],
        "rotation_prior": [Interval(Real, 0, None, closed="neither"), None],
        "noise_std": [Interval(Real, 0, None, closed="neither"), None],
        "scaling": [StrOptions({"standard", "max"})],
        "kl_capacity": [Interval(Real, 0, None, closed="left"), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "learning_rate_schedule": [StrOptions({"cosine", "constant"})],
        "convergence_tol": [Interval(Real, 0, None, closed="left"), None],
        "warm_start": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "callbacks": [list, None],
        "checkpoint": [str, os.PathLike, None],
        "mixed_precision": ["boolean"],
        "device": [str],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        latent_dim=2,
        n_classes=None,
        n_conditions=0,
        translation=True,
        patch_shape=None,
        offset_scale=0.25,
        n_hidden=128,
        n_init=3,
        encoder="invariant",
        decoder="canonical",
        coordinate_length=1.5,
        rotation_prior=None,
        noise_std=None,
        scaling="standard",
        kl_capacity=None,
        max_epochs=20,
        batch_size=64,
        learning_rate=3e-3,
        learning_rate_schedule="cosine",
        convergence_tol=0.012,
        warm_start=False,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
        tol=1e-4,
        callbacks=None,
        checkpoint=None,
        mixed_precision=False,
        device="auto",
        verbose=0,
        random_state=None,
    ):
        self.latent_dim = latent_dim
        self.n_classes = n_classes
        self.n_conditions = n_conditions
        self.translation = translation
        self.patch_shape = patch_shape
        self.offset_scale = offset_scale
        self.n_hidden = n_hidden
        self.n_init = n_init
        self.encoder = encoder
        self.decoder = decoder
        self.coordinate_length = coordinate_length
        self.rotation_prior = rotation_prior
        self.noise_std = noise_std
        self.scaling = scaling
        self.kl_capacity = kl_capacity
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.convergence_tol = convergence_tol
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.mixed_precision = mixed_precision
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @classmethod
    def paper(
        cls,
        *,
        encoder="convolutional",
        translation=True,
        window_size=48,
        **parameters,
    ):
        """Create an estimator with the network and training of Kalinin et al. (2020).

        Its angle may have either sense of rotation and any origin, and training
        succeeds only for some seeds and numbers of epochs; the default estimator is
        more accurate and much faster.

        Parameters
        ----------
        encoder : {"convolutional", "dense"}, default="convolutional"
            Kind of encoder.
        translation : bool, default=True
            Whether patches may be shifted.
        window_size : int, default=48
            Side of the patches, px; `offset_scale` is 0.05 times this.
        **parameters
            Parameters of the estimator that replace those of the paper.

        Returns
        -------
        estimator : RotationalVAE
            The unfitted estimator. Apart from the arguments, its parameters are
            ``decoder="coordinate"``, ``coordinate_length=None``,
            ``rotation_prior=0.1``, ``noise_std=1.0``, ``scaling="max"``,
            ``batch_size=32``, ``max_epochs=100``, ``learning_rate=1e-4``,
            ``learning_rate_schedule="constant"`` and ``convergence_tol=None``.

        Examples
        --------
        >>> from sklearn_ferroic import RotationalVAE
        >>> vae = RotationalVAE.paper(encoder="dense", window_size=36, random_state=0)
        >>> vae.offset_scale, vae.learning_rate, vae.max_epochs
        (1.8, 0.0001, 100)
        """
        published = {
            # a tenth of half the window, the unit of length of the public code
            "offset_scale": 0.05 * window_size,
            "decoder": "coordinate",
            "coordinate_length": None,
            "rotation_prior": 0.1,
            "noise_std": 1.0,
            "scaling": "max",
            "batch_size": 32,
            "max_epochs": 100,
            "learning_rate": 1e-4,
            "learning_rate_schedule": "constant",
            "convergence_tol": None,
        }
        return cls(encoder=encoder, translation=translation, **(published | parameters))

    @classmethod
    def from_checkpoint(cls, path):
        """Create a fitted estimator from a checkpoint.

        To resume training instead, call `fit` with the parameters, the data and the
        `checkpoint` of the interrupted fit.

        Parameters
        ----------
        path : str or path-like
            File written by a fit with `checkpoint`.

        Returns
        -------
        estimator : RotationalVAE
            Estimator with the parameters of that fit except `callbacks` and
            `checkpoint`. The angular widths of an unfinished fit are provisional.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If the file is not a checkpoint or is damaged.
        """
        estimator, fitted, n_features, names = fitting.load(cls, path)
        estimator.n_features_in_ = n_features
        if names is not None:
            estimator.feature_names_in_ = names
        return estimator._set_fitted(fitted)

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, angle=None):
        """Train the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.
        y : array-like of int of shape (n_samples,), default=None
            Known classes, -1 or NaN where unknown; a few per class suffice. Only used
            with `n_classes`. Sites and vectors, which other steps of a pipeline use,
            are ignored.
        angle : array-like of shape (n_samples,), default=None
            Known directions of the polarization of a few patches, radians, NaN where
            unknown. The directions of all patches are then those of the known ones and
            of the symmetry of the lattice. Ten or more also improve the estimate of the
            displacement, in patches of two and more unit cells.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._set_fitted(fitting.fit(self, X, y, angle))
        warn_of_uncertain_classes([self], stacklevel=3)  # scikit-learn wraps the method
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Train for one pass over a batch of patches, at a constant learning rate.

        The first call estimates lattice, polarization, classes and the scale of the
        pixels from its batch, which should therefore be a representative sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.
        y : array-like of int of shape (n_samples,), default=None
            Known classes of the first batch, as in `fit`; others are refused later.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._set_fitted(fitting.fit_one_pass(self, X, y))

    def transform(self, X):
        """Infer angle, offset and latents.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        X_new : ndarray of shape (n_samples, 1 + latent_dim) or \
                (n_samples, 3 + latent_dim)
            Angle (radians, in [-pi, pi)), offset ``(row, col)`` in px if
            `translation`, and latents; then, with `n_classes`, one column for the
            probability of each class; float32.
        """
        return self._posterior(X)[0]

    @available_if(_has_classes)
    def predict(self, X):
        """Predict the most probable class; only available with `n_classes`.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        labels : ndarray of int of shape (n_samples,)
            Elements of `classes_`.
        """
        shares = self._posterior(X)[0][:, -self._n_class_columns :]
        return self.classes_[shares.argmax(axis=1)]

    def transform_with_std(self, X):
        """Infer angle, offset and latents with their posterior widths.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            Columns in the format of `transform`.
        X_std : ndarray of shape (n_samples, n_features_out)
            Standard deviations of these columns; for the angle the circular standard
            deviation ``sqrt(-2 log R)``, where R is the resultant length of the
            posterior on the circle. Those of the pose are conditional on the mean
            latents. For a class of probability p, ``sqrt(p * (1 - p))``.
        """
        return self._posterior(X)

    def lattice_angle(self, X):
        """Infer the rotation of the crystal lattice.

        The angle that `transform` returns is the direction of the polarization, which
        may vary within one lattice, as in vortices; this method returns the rotation of
        the lattice itself.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        angle : ndarray of shape (n_samples,)
            Radians, within half a period of 0: in [-pi/4, pi/4) for a square lattice,
            where it is the direction of the cell edge if the nearest columns lie on
            the diagonals of the cell. The angle of `transform` if the patches show
            no lattice of three-, four- or six-fold symmetry. float32.
        """
        patches = check_fitted_patches(self, X)
        return infer_lattice_angle(self._load_model_for_inference(), patches)

    def score_samples(self, X):
        """Compute the evidence lower bound of each patch, per pixel.

        A lower bound on the log-density of the pixels, in units of `X`, with angle
        and offset marginalised, divided by the number of pixels. Values are comparable
        between latent dimensions and, for pixels in the same units, between window
        sizes.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            Bound, nats per pixel; higher is better.
        """
        patches = check_fitted_patches(self, X)
        bound = infer_evidence(self._load_model_for_inference(), patches)
        return bound / math.prod(self.patch_shape_)

    def score(self, X, y=None):
        """Compute the mean evidence lower bound per pixel.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.
        y : None
            Ignored.

        Returns
        -------
        bound : float
            Mean of `score_samples`.
        """
        return float(self.score_samples(X).mean())

    def _set_fitted(self, fitted):
        """Set the fitted attributes."""
        self.weights_ = fitted.weights
        self.patch_shape_ = fitted.architecture["patch_shape"]
        self.noise_std_ = fitted.noise_std
        self.loss_curve_ = fitted.losses
        self.validation_loss_curve_ = fitted.validation_losses
        self.n_iter_ = len(fitted.losses)
        self._fitted_architecture = fitted.architecture
        self._random_state = fitted.random_state
        self._pixel_offset = fitted.pixel_offset
        self._known = fitted.known
        if fitted.class_shares is None:
            for name in _CLASS_ATTRIBUTES:
                self.__dict__.pop(name, None)
        else:
            self.class_shares_ = fitted.class_shares
            self.n_classes_range_ = fitted.n_classes_range
            self.uncertain_class_share_ = fitted.uncertain_class_share
        if fitted.classes is not None:
            self.classes_ = fitted.classes
        return self

    @property
    def _has_offsets(self):
        return self._fitted_architecture["offset_scale"] > 0

    @property
    def _n_latents(self):
        return self._fitted_architecture["latent_dim"]

    @property
    def _n_class_columns(self):
        return len(getattr(self, "class_shares_", ()))

    def _load_model_for_inference(self):
        # In double precision the result of a patch does not depend on its batch.
        model = fitting.load_model(self)
        return model if model.pixel_mean.device.type == "mps" else model.double()

    def _posterior(self, X):
        patches = check_fitted_patches(self, X)
        model = self._load_model_for_inference()
        warn_about_magnification(model, patches, stacklevel=4)
        columns = infer_posterior(model, patches)
        n_columns = 3 + self._n_latents + self._n_class_columns
        columns = tuple(part[:, :n_columns] for part in columns)
        if self._has_offsets:
            return columns
        return tuple(np.delete(part, [1, 2], axis=1) for part in columns)
