"""The rotational variational autoencoder as an estimator."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from ._inference import draw_patches, infer_evidence, infer_posterior
from ._patch_rows import as_stack_or_rows, flatten_stack, is_stack, resolve_patch_shape
from ._training import (
    TrainingOptions,
    choose_device,
    from_arrays,
    new_model,
    start_model,
    to_arrays,
    train,
)

_FLOATS = [np.float32, np.float64]


class RotationalVAE(TransformerMixin, BaseEstimator):
    """Read angle, offset and latents off image patches.

    A patch is modelled as one of a family of images in canonical pose, named by a
    few latent variables, that has been turned by an angle and shifted by a small
    offset. In a ferroic the angle tells the variant, and the latents hold what is
    left: chemistry, strain, thickness, imaging.

    The latents come from an encoder that no turn of the patch can reach: the patch
    is sampled on rings around its centre, convolved along them and pooled over
    them. The angle is found by trying all of them against the canonical image,
    which gives its whole posterior on the circle, and the offset is solved for.
    The model starts from the common template to which all patches align.

    Parameters
    ----------
    latent_dim : int, default=2
        Number of latent variables.

    translation : bool, default=True
        Whether patches may be shifted; then `transform` returns the offsets.

    patch_shape : tuple of (int, int), default=None
        Height and width of the patches when `X` holds them as rows. None reads a
        row as the most nearly square patch.

    offset_scale : float, default=0.25
        Standard deviation of the offset's Gaussian prior, px. The default fits
        windows centred on fitted columns; for windows cut at whole pixels take
        0.5. Offsets much wider than the centring error take up polarization.

    n_hidden : int, default=128
        Width of the decoder's layers; the encoder's are a quarter as wide.

    n_init : int, default=3
        Number of patches tried as the first template.

    max_epochs : int, default=20
        Number of passes over the patches.

    batch_size : int, default=64
        Patches a gradient step.

    learning_rate : float, default=0.003
        First learning rate of Adam; it falls to zero along a cosine.

    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the fit before.

    device : str, default="auto"
        Where to compute: ``"auto"`` takes CUDA, else MPS, else the CPU.

    verbose : int, default=0
        If positive, print a line an epoch.

    random_state : int, RandomState instance or None, default=None
        Seeds the initial weights, the order of the patches and the draws from the
        posterior. With an int, results repeat to the bit on one machine's CPU
        with the same number of threads.

    Attributes
    ----------
    weights_ : dict of ndarray
        The trained weights by name, free of device and library objects.

    patch_shape_ : tuple of (int, int)
        Height and width of the patches.

    noise_std_ : float
        Standard deviation of the noise that the model leaves, in units of `X`.

    loss_curve_ : list of float
        Mean negative evidence bound per standardised pixel at each epoch, up to a
        constant.

    n_iter_ : int
        Number of epochs run.

    n_features_in_ : int
        Number of pixels of a patch.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has string names.

    See Also
    --------
    PatchExtractor : Cuts the patches, centred as this estimator needs them.
    AngleAwareScaler : Makes the output fit for clustering.
    sklearn.decomposition.PCA : Linear components; they mix angle and chemistry.

    Notes
    -----
    Angles are in radians in [-pi, pi) from the +col axis towards the +row axis, up
    to one constant for the whole fit: the canonical pose is arbitrary. Turning the
    image by ``numpy.rot90(patch, 1)`` changes the angle by -pi/2. The angle returned
    is the mean direction of its posterior. Where a patch has no polarity it means
    little, and the width returned by `transform_with_std` says so: the likelihood
    is tempered by how much the residuals of the training patches exceed white
    noise in telling one turn from another. Between several turns that fit almost
    equally well the mean is none of them, so that `inverse_transform` poses such a
    patch worse than its best turn would.

    Because the offset is not part of the alignment, patches must be centred on
    their column to a fraction of the polarization.

    References
    ----------
    .. [1] S. V. Kalinin, J. J. P. Peters et al., "Unsupervised learning of ferroic
       variants from atomically resolved STEM images", 2020.
    .. [2] T. Bepler, E. D. Zhong, K. Kelley, E. Brignole, B. Berger, "Explicitly
       disentangling image content from translation and rotation with
       spatial-VAE", NeurIPS 2019.

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
    >>> quarter_turns = (angle[1:5] - angle[:4]) / (np.pi / 2)
    >>> np.mod(np.round(quarter_turns), 4)  # np.rot90 turns by -pi / 2
    array([3., 3., 3., 3.], dtype=float32)
    """

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "translation": ["boolean"],
        "patch_shape": [tuple, list, None],
        "offset_scale": [Interval(Real, 0, None, closed="neither")],
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "warm_start": ["boolean"],
        "device": [str],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        latent_dim=2,
        translation=True,
        patch_shape=None,
        offset_scale=0.25,
        n_hidden=128,
        n_init=3,
        max_epochs=20,
        batch_size=64,
        learning_rate=3e-3,
        warm_start=False,
        device="auto",
        verbose=0,
        random_state=None,
    ):
        self.latent_dim = latent_dim
        self.translation = translation
        self.patch_shape = patch_shape
        self.offset_scale = offset_scale
        self.n_hidden = n_hidden
        self.n_init = n_init
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.warm_start = warm_start
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        going_on = self.warm_start and hasattr(self, "weights_")
        random_state = check_random_state(self.random_state)
        options = self._training_options(
            n_epochs=self.max_epochs, anneal=True, offset_from=self.max_epochs // 2
        )
        return self._train(X, options, random_state, going_on)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Train for one pass over a batch of patches, at a constant learning rate.

        The first call takes the scale of the pixels and the template to start
        from out of its batch, which should therefore be a fair sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        going_on = hasattr(self, "weights_")
        passes = self.n_iter_ if going_on else 0
        random_state = (
            self._random_state if going_on else check_random_state(self.random_state)
        )
        options = self._training_options(
            n_epochs=1,
            anneal=False,
            offset_from=max(0, self.max_epochs // 2 - passes),
        )
        return self._train(X, options, random_state, going_on, passes)

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
            `translation`, and latents; float32.
        """
        return self._posterior(X)[0]

    def transform_with_std(self, X):
        """Infer angle, offset and latents with their posterior widths.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            As `transform` returns them.
        X_std : ndarray of shape (n_samples, n_features_out)
            Standard deviations of the same; for the angle the circular one,
            ``sqrt(-2 log R)`` with R the resultant length of the posterior over
            the whole circle. Those of the pose hold for the latents' means.
        """
        return self._posterior(X)

    def inverse_transform(self, X):
        """Draw the patches that given angles, offsets and latents stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_out)
            Columns as `transform` returns them.

        Returns
        -------
        patches : ndarray of shape (n_samples, h * w)
            The patches as posed, without noise, in units of the training data.
        """
        check_is_fitted(self, "weights_")
        columns = self._check_columns(X, self._n_features_out, "transform returns")
        if not self._has_offsets:
            columns = np.insert(columns, [1, 1], 0, axis=1)
        drawn = draw_patches(self._load_model_for_inference(), columns)
        return drawn.reshape(len(columns), -1)

    def decode(self, latents):
        """Draw images in canonical pose.

        Parameters
        ----------
        latents : array-like of shape (n_samples, latent_dim)
            Latent variables.

        Returns
        -------
        images : ndarray of shape (n_samples, h, w)
            The images at angle 0 and without offset, in units of the training
            data.
        """
        check_is_fitted(self, "weights_")
        latents = self._check_columns(
            latents, self._fitted_architecture["latent_dim"], "latent_dim says"
        )
        columns = np.pad(latents, [(0, 0), (3, 0)])
        return draw_patches(self._load_model_for_inference(), columns)

    def score_samples(self, X):
        """Evidence lower bound of each patch, per pixel.

        The logarithm of the probability density of the pixels, in units of `X`,
        with the angle and the offset integrated out and the latents bounded,
        divided by the number of pixels. That makes it comparable across latent
        dimensions and, as long as the pixels keep their units, window sizes.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        bound : ndarray of shape (n_samples,)
            In nats per pixel; higher is better.
        """
        rows = self._check_rows(X)
        bound = infer_evidence(self._load_model_for_inference(), rows)
        return bound / rows.shape[1]

    def score(self, X, y=None):
        """Mean evidence lower bound per pixel.

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

    def get_feature_names_out(self, input_features=None):
        """Get the names of the output columns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked against the features seen in `fit`, otherwise unused.

        Returns
        -------
        names : ndarray of str
            ``angle``, ``offset_row`` and ``offset_col`` if `translation`, and
            ``latent0``, ``latent1``, ...
        """
        check_is_fitted(self, "weights_")
        _check_feature_names_in(self, input_features, generate_names=False)
        offsets = ["offset_row", "offset_col"] if self._has_offsets else []
        n_latents = self._fitted_architecture["latent_dim"]
        latents = [f"latent{i}" for i in range(n_latents)]
        return np.asarray(["angle", *offsets, *latents], dtype=object)

    @property
    def _n_features_out(self):
        return 1 + 2 * self._has_offsets + self._fitted_architecture["latent_dim"]

    @property
    def _has_offsets(self):
        return self._fitted_architecture["offset_scale"] > 0

    def _training_options(self, **schedule):
        return TrainingOptions(
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            verbose=int(self.verbose),
            **schedule,
        )

    def _train(self, X, options, random_state, going_on, passes=0):
        X = as_stack_or_rows(X)
        device = choose_device(self.device)
        if going_on:
            rows = self._check_rows(X)
            architecture = self._check_same_architecture()
            model = self._load_model()
        else:
            rows = check_array(
                flatten_stack(X),
                dtype=_FLOATS,
                ensure_min_samples=2,
                estimator=self,
                input_name="X",
            )
            shape = resolve_patch_shape(X, rows.shape[1], self.patch_shape)
            architecture = self._architecture(shape)
            model = new_model(random_state, **architecture)
            start_model(model, rows, random_state, self.n_init)
        losses = train(model, rows, options, device=device, random_state=random_state)
        # Nothing is set before all has gone well.
        if not going_on:
            validate_data(self, flatten_stack(X), skip_check_array=True)
        self.loss_curve_ = (self.loss_curve_ if passes else []) + losses
        self.n_iter_ = len(self.loss_curve_)
        self.patch_shape_ = architecture["patch_shape"]
        self.weights_ = to_arrays(model)
        self.noise_std_ = float(
            self.weights_["noise_variance"] ** 0.5 * self.weights_["pixel_scale"]
        )
        self._fitted_architecture = architecture
        self._random_state = random_state
        return self

    def _architecture(self, patch_shape):
        return {
            "patch_shape": patch_shape,
            "latent_dim": self.latent_dim,
            "n_hidden": self.n_hidden,
            "offset_scale": self.offset_scale if self.translation else 0.0,
        }

    def _check_same_architecture(self):
        given = self.patch_shape
        wanted = self._architecture(
            self.patch_shape_ if given is None else tuple(given)
        )
        for name, fitted in self._fitted_architecture.items():
            if wanted[name] != fitted:
                raise ValueError(
                    f"The fit cannot go on with {name}={wanted[name]}: it was begun "
                    f"with {name}={fitted}. Set warm_start=False or make a new "
                    "estimator."
                )
        return wanted

    def _load_model(self):
        device = choose_device(self.device)
        return from_arrays(self.weights_, device, **self._fitted_architecture)

    def _load_model_for_inference(self):
        # In double precision a patch's result does not hang on its batch.
        model = self._load_model()
        return model if model.pixel_mean.device.type == "mps" else model.double()

    def _check_rows(self, X):
        check_is_fitted(self, "weights_")
        X = as_stack_or_rows(X)
        if is_stack(X) and X.shape[1:] != self.patch_shape_:
            raise ValueError(
                f"X has patches of shape {X.shape[1:]}, but RotationalVAE was "
                f"fitted on patches of shape {self.patch_shape_}."
            )
        return validate_data(self, flatten_stack(X), reset=False, dtype=_FLOATS)

    def _check_columns(self, X, n_columns, reason):
        columns = check_array(X, dtype=np.float32, estimator=self)
        if columns.shape[1] != n_columns:
            raise ValueError(
                f"Expected {n_columns} columns, as {reason}, got an array of shape "
                f"{columns.shape}."
            )
        return columns

    def _posterior(self, X):
        rows = self._check_rows(X)
        columns = infer_posterior(self._load_model_for_inference(), rows)
        if self._has_offsets:
            return columns
        return tuple(np.delete(part, [1, 2], axis=1) for part in columns)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
