"""Angles and invariants from the moments of patches."""

from numbers import Integral

import numpy as np
from scipy.special import eval_jacobi
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.decomposition import PCA
from sklearn.utils import gen_batches

from .._utils.angles import wrap_angle
from .._utils.offset import find_patch_offset, without_offset
from .._utils.validation import Interval, resolve_patch_shape
from ._patch_rows import check_features, check_patches
from ._posed_columns import PosedColumnsMixin, check_fitted_patches

# Number of patches per batch; bounds the scratch memory.
_BATCH_PATCHES = 4096


class AngularMoments(PosedColumnsMixin, TransformerMixin, BaseEstimator):
    """Compute an angle and rotation invariants from Zernike moments of image patches.

    The angle is the phase of a moment of first angular order. The latents are
    principal components of the magnitudes of all moments, which do not change when the
    patch is rotated. A fit computes only these components, in milliseconds. The output
    has the same columns as that of :class:`RotationalVAE`, as a baseline for it.

    Parameters
    ----------
    latent_dim : int, default=2
        Number of principal components of the magnitudes.

    translation : bool, default=True
        Whether the output has the columns of the offset, as that of RotationalVAE
        does. They are 0: moments are computed about the centre of the patch, where its
        column must be.

    patch_shape : tuple of (int, int), default=None
        Height and width of the patches if `X` has them as rows. None selects the
        most nearly square shape.

    moment : tuple of (int, int), default=None
        Radial order n and angular order m of the moment whose phase is the angle.
        None uses the leading principal component of the moments of all radial
        orders with m = 1, which is the first steerable component [3]_; the most
        informative radial order depends on the number of cells in the window. With
        m > 1 the angle is the phase divided by m, determined up to multiples of
        2π / m.

    max_order : int, default=12
        Highest radial order of the moments.

    Attributes
    ----------
    orders_ : list of tuple of (int, int)
        Radial and angular order of each moment.

    pose_ : ndarray of shape (n_orders,), complex
        Weights of the linear combination of moments whose phase is the angle.

    pca_ : :class:`~sklearn.decomposition.PCA`
        Principal components of the magnitudes, of unit variance.

    patch_shape_ : tuple of (int, int)
        Height and width of the patches.

    n_features_in_ : int
        Number of pixels of a patch.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` has string names.

    See Also
    --------
    MultiReferenceAlignment : Aligns patches to a common template.
    RotationalVAE : Generative model with latents, offsets and posterior widths.

    Notes
    -----
    Angles are in radians in [-pi, pi) from the +col axis towards the +row axis, up
    to one constant for the whole fit. Rotating the image by ``numpy.rot90(patch, 1)``
    changes the angle by -pi/2. Moments are computed on the circle inscribed in the
    patch. The angle of a patch without structure of the angular order is arbitrary.

    References
    ----------
    .. [1] M. R. Teague, "Image analysis via the general theory of moments", J. Opt.
       Soc. Am. 70, 920 (1980).
    .. [2] A. Khotanzad and Y. H. Hong, "Invariant image recognition by Zernike
       moments", IEEE Trans. Pattern Anal. Mach. Intell. 12, 489 (1990).
    .. [3] Z. Zhao, Y. Shkolnisky, A. Singer, "Fast steerable principal component
       analysis", IEEE Trans. Comput. Imaging 2, 1 (2016).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic.decomposition import AngularMoments
    >>> row, col = np.mgrid[-6:7, -6:7]
    >>> spot = np.exp(-((row - 3) ** 2 + col**2) / 4)
    >>> X = np.stack([spot, np.rot90(spot, 1), 2 * spot])
    >>> angle = AngularMoments(latent_dim=1).fit_transform(X)[:, 0]
    >>> np.degrees(angle - angle[0]).round()
    array([  0., -90.,   0.], dtype=float32)
    """

    _parameter_constraints: dict = {
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "translation": ["boolean"],
        "patch_shape": [tuple, list, None],
        "moment": [tuple, list, None],
        "max_order": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        latent_dim=2,
        translation=True,
        patch_shape=None,
        moment=None,
        max_order=12,
    ):
        self.latent_dim = latent_dim
        self.translation = translation
        self.patch_shape = patch_shape
        self.moment = moment
        self.max_order = max_order

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the principal components.

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
        orders = zernike_orders(self.max_order)
        if self.moment is not None:
            _check_moment(self.moment, orders)
        patches = check_patches(self, X, min_samples=2)
        shape = resolve_patch_shape(patches, self.patch_shape)
        offset = find_patch_offset(patches)
        moments = _moments(
            without_offset(patches, offset), zernike_basis(shape, orders)
        )
        pca = PCA(self.latent_dim, whiten=True, svd_solver="full")
        pca.set_output(transform="default")
        pca.fit(np.abs(moments))
        # attributes are set only after the fit has succeeded
        check_features(self, X, patches, reset=True)
        self._pixel_offset = offset
        self.orders_ = orders
        self.pose_ = _pose_weights(moments, np.array(orders), self.moment)
        self.pca_ = pca
        self.patch_shape_ = shape
        self._fold = 1 if self.moment is None else self.moment[1]
        self._has_offsets = self.translation
        return self

    def transform(self, X):
        """Compute angle, offset and latents.

        Parameters
        ----------
        X : array-like of shape (n_samples, h * w) or (n_samples, h, w)
            The patches.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features_out)
            Angle (radians, in [-pi, pi)), the offset 0 if `translation`, and
            latents; float32.
        """
        patches = check_fitted_patches(self, X)
        moments = _moments(patches, zernike_basis(self.patch_shape_, self.orders_))
        angle = np.angle(moments @ self.pose_)[:, None] / self._fold
        offsets = np.zeros((len(patches), 2 * self._has_offsets))
        latents = self.pca_.transform(np.abs(moments))
        columns = np.hstack([angle, offsets, latents]).astype(np.float32)
        columns[:, 0] = wrap_angle(columns[:, 0])
        return columns

    @property
    def _n_latents(self):
        return self.pca_.n_components_


def _check_moment(moment, orders):
    if tuple(moment) not in orders or moment[1] == 0:
        raise ValueError(
            f"moment={moment} is not a valid order (n, m) of a moment with a phase: "
            f"1 <= m <= n <= max_order={orders[-1][0]} and n - m even, such as (3, 1)."
        )


def _pose_weights(moments, orders, moment):
    if moment is not None:
        return (orders == moment).all(axis=1).astype(complex)
    weights = np.zeros(len(orders), dtype=complex)
    is_first = orders[:, 1] == 1
    leading = np.linalg.svd(moments[:, is_first], full_matrices=False)[2][0].conj()
    # the phase of a singular vector is arbitrary
    weights[is_first] = leading * np.exp(-1j * np.angle(leading[0]))
    return weights


def _moments(patches, basis):
    batches = (patches[part] for part in gen_batches(len(patches), _BATCH_PATCHES))
    rows = (np.asarray(part, np.float64).reshape(len(part), -1) for part in batches)
    return np.vstack([part @ basis.real + 1j * (part @ basis.imag) for part in rows])


def zernike_orders(max_order):
    """List all ``(n, m)`` with ``0 <= m <= n <= max_order`` and n - m even."""
    return [(n, m) for n in range(max_order + 1) for m in range(n % 2, n + 1, 2)]


def zernike_basis(patch_shape, orders):
    """Sample Zernike polynomials on the circle inscribed in a patch.

    Parameters
    ----------
    patch_shape : tuple of (int, int)
        Height and width of the patch, px.
    orders : list of (int, int)
        Radial order n and angular order m of each polynomial.

    Returns
    -------
    basis : ndarray of shape (h * w, n_orders), complex
        ``R_nm(r) exp(i m theta)`` with ``theta = arctan2(row, col)``, of unit norm
        on the disc. Rotating a patch by an angle multiplies its moment
        ``rows @ basis`` by ``exp(i m angle)``.
    """
    row, col = np.indices(patch_shape).reshape(2, -1) - (
        (np.array(patch_shape)[:, None] - 1) / 2
    )
    distance, theta = np.hypot(row, col), np.arctan2(row, col)
    radius = max(min(patch_shape), 2) / 2
    # pixels on the rim have partial weights: a jagged rim is not isotropic
    area = np.clip(radius - distance + 0.5, 0, 1)
    r = np.minimum(distance / radius, 1)
    columns = [
        # the radial polynomials are Jacobi polynomials, up to a sign
        ((n + 1) * (1 if m == 0 else 2) / np.pi) ** 0.5
        / radius
        * area
        * r**m
        * eval_jacobi((n - m) // 2, 0, m, 2 * r**2 - 1)
        * np.exp(1j * m * theta)
        for n, m in orders
    ]
    return np.stack(columns, axis=1)
