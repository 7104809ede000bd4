"""Multi-reference alignment as an estimator."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state, gen_batches

from .._utils.angles import wrap_angle
from .._utils.offset import add_offset, find_patch_offset, without_offset
from .._utils.validation import Interval, resolve_patch_shape
from ._patch_rows import (
    check_features,
    check_patches,
    load_rows,
)
from ._pose import alignment as aligned
from ._pose.alignment import align
from ._pose.geometry import PolarGrid
from ._posed_columns import (
    PosedColumnsMixin,
    check_fitted_patches,
    check_posed_columns,
    fitted_offset,
)
from ._rvae.training import draw_rows

# Number of patches per batch; bounds the scratch memory.
_BATCH_PATCHES = 256


class MultiReferenceAlignment(PosedColumnsMixin, TransformerMixin, BaseEstimator):
    """Align image patches to their common template.

    The template and the rotations of the patches are estimated together by
    expectation–maximisation: the template is the mean of the patches, rotated back and
    weighted by the posterior of their rotations. The angle of a patch is the rotation
    that fits the template best, and the latents are the leading principal components
    of the patches after rotation to the canonical pose. The output has the same columns
    as that of :class:`RotationalVAE`, as a baseline for it; a single template
    represents all materials.

    Parameters
    ----------
    latent_dim : int, default=2
        Number of principal components.

    translation : bool, default=True
        Whether patches may be shifted; then `transform` returns the offsets.

    patch_shape : tuple of (int, int), default=None
        Height and width of the patches if `X` has them as rows. None selects the
        most nearly square shape.

    offset_scale : float, default=0.25
        Standard deviation of the offset's Gaussian prior, px. The offset is estimated
        after the angle and does not affect it.

    n_init : int, default=3
        Number of patches that are tried as the initial template.

    n_iter : int, default=15
        Number of steps of expectation and maximisation.

    random_state : int, RandomState instance or None, default=None
        Selects the patches, at most 2048, from which the template and the components
        are learned, and seeds the solver of the components.

    Attributes
    ----------
    template_ : ndarray of shape (h, w)
        The template: the mean of the patches in canonical pose.

    pca_ : :class:`~sklearn.decomposition.PCA`
        Principal components of unit variance of the patches in canonical pose, on
        the rings of a polar grid within the circle inscribed in the patch.

    patch_shape_ : tuple of (int, int)
        Height and width of the patches.

    n_features_in_ : int
        Number of pixels of a patch.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has string names.

    See Also
    --------
    RotationalVAE : Canonical images that are nonlinear in the latents, and posterior
        widths.
    AngularMoments : Angle from the phase of a moment, without a template.

    Notes
    -----
    Angles are in radians in [-pi, pi) from the +col axis towards the +row axis, up
    to one constant for the whole fit: the pose of the template is arbitrary.
    Rotating the image by ``numpy.rot90(patch, 1)`` changes the angle by -pi/2. The fast
    Fourier transform along the rings evaluates all tabulated rotations at once, and the
    best is refined by interpolation.

    References
    ----------
    .. [1] F. J. Sigworth, "A maximum-likelihood approach to single-particle image
       refinement", J. Struct. Biol. 122, 328 (1998).
    .. [2] Z. Zhao, Y. Shkolnisky, A. Singer, "Fast steerable principal component
       analysis", IEEE Trans. Comput. Imaging 2, 1 (2016).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.decomposition import MultiReferenceAlignment
    >>> row, col = np.mgrid[-6:7, -6:7]
    >>> spot = np.exp(-((row - 3) ** 2 + col**2) / 4)
    >>> X = np.stack([np.rot90(spot, k % 4) for k in range(40)])
    >>> X += np.random.RandomState(0).normal(0, 0.05, X.shape)
    >>> alignment = MultiReferenceAlignment(latent_dim=1, random_state=0).fit(X)
    >>> angle = alignment.transform(X)[:, 0]
    >>> steps = (angle[1:5] - angle[:4]) / (np.pi / 2)
    >>> np.mod(np.round(steps), 4)  # np.rot90 rotates by -pi / 2
    array([3., 3., 3., 3.], dtype=float32)
    """

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "translation": ["boolean"],
        "patch_shape": [tuple, list, None],
        "offset_scale": [Interval(Real, 0, None, closed="neither")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        latent_dim=2,
        translation=True,
        patch_shape=None,
        offset_scale=0.25,
        n_init=3,
        n_iter=15,
        random_state=None,
    ):
        self.latent_dim = latent_dim
        self.translation = translation
        self.patch_shape = patch_shape
        self.offset_scale = offset_scale
        self.n_init = n_init
        self.n_iter = n_iter
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Estimate the template and the components.

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
        patches = check_patches(self, X, min_samples=2)
        shape = resolve_patch_shape(patches, self.patch_shape)
        random_state = check_random_state(self.random_state)
        scale = float(self.offset_scale) if self.translation else 0.0
        pca = PCA(self.latent_dim, whiten=True, random_state=random_state)
        pca.set_output(transform="default")
        offset = find_patch_offset(patches)
        sample = draw_rows(without_offset(patches, offset), random_state)
        images = _fit_template(
            sample.reshape(-1, *shape),
            pca,
            offset_scale=scale,
            n_starts=self.n_init,
            n_iterations=self.n_iter,
        )
        # attributes are set only after the fit has succeeded
        check_features(self, X, patches, reset=True)
        self.patch_shape_ = shape
        self._pixel_offset = offset
        self.pca_ = pca
        self._images = images
        self._offset_scale = scale
        at_origin = np.zeros((1, 3 + pca.n_components_), dtype=np.float32)
        template = aligned.draw_posed(images, at_origin, shape).reshape(shape)
        self.template_ = add_offset(template, offset)
        return self

    def transform(self, X):
        """Estimate angle, offset and latents.

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
        patches = check_fitted_patches(self, X)
        columns = [
            self._align(load_rows(patches, part).reshape(-1, *self.patch_shape_))
            for part in gen_batches(len(patches), _BATCH_PATCHES)
        ]
        columns = np.concatenate(columns).astype(np.float32)
        columns[:, 0] = wrap_angle(columns[:, 0])
        return columns if self._has_offsets else np.delete(columns, [1, 2], axis=1)

    def inverse_transform(self, X):
        """Reconstruct patches from angles, offsets and latents.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_out)
            Columns in the format of `transform`.

        Returns
        -------
        patches : ndarray of shape (n_samples, h * w)
            The reconstructed patches, without noise, in units of the training data.
        """
        columns = check_posed_columns(self, X)
        drawn = [
            aligned.draw_posed(self._images, columns[part], self.patch_shape_)
            for part in gen_batches(len(columns), _BATCH_PATCHES)
        ]
        return add_offset(np.concatenate(drawn), fitted_offset(self))

    @property
    def _has_offsets(self):
        return self._offset_scale > 0

    @property
    def _n_latents(self):
        return self.pca_.n_components_

    def _align(self, patches):
        # in double precision the result of a patch does not depend on its batch
        patches = patches.double()
        polar = PolarGrid(self.patch_shape_)
        mean = torch.from_numpy(self.pca_.mean_).to(patches)
        angle = aligned.find_angle(patches, polar, mean)
        template = torch.from_numpy(self._images.mean).to(patches)
        offset = aligned.find_offset(patches, template, angle, self._offset_scale)
        rings = aligned.canonical_rings(patches, polar, angle, offset)
        latents = self.pca_.transform(rings.numpy())
        return np.column_stack([angle.numpy(), offset.numpy(), latents])


def _fit_template(patches, pca, *, offset_scale, n_starts, n_iterations):
    """Fit the components to aligned patches and compute their canonical images."""
    polar = PolarGrid(patches.shape[1:])
    angle = align(
        polar(patches), polar.weights, n_starts=n_starts, n_iterations=n_iterations
    )
    centered = patches.new_zeros(len(patches), 2)
    no_latents = patches.new_zeros(len(patches), 0)
    initial = aligned.draw_canonical_images(patches, angle, centered, no_latents)
    template = torch.from_numpy(initial.mean)
    offset = aligned.find_offset(patches, template, angle, offset_scale)
    rings = aligned.canonical_rings(patches, polar, angle, offset)
    latents = torch.from_numpy(pca.fit_transform(rings.numpy())).to(patches)
    return aligned.draw_canonical_images(patches, angle, offset, latents)
