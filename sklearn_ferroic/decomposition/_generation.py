"""Images from the columns and latents of a rotational variational autoencoder."""

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._utils.offset import add_offset
from ._posed_columns import (
    check_columns,
    check_posed_columns,
    fitted_offset,
    warn_about_degrees,
)
from ._rvae.inference import draw_canonical_patches, draw_patches


class GenerationMixin:
    """Methods of `RotationalVAE` that generate patches and canonical images."""

    def inverse_transform(self, X, lattice_angle=None):
        """Reconstruct patches from angles, offsets and latents.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_out)
            Columns in the format of `transform`; the angle in radians, not necessarily
            wrapped.
        lattice_angle : array-like of shape (n_samples,), default=None
            Rotation of the lattice of each patch, radians, as returned by the method
            `lattice_angle`. None uses the lattice of the training patches if they are
            from one crystal; otherwise the lattice rotates with the polarization.

        Returns
        -------
        patches : ndarray of shape (n_samples, h * w)
            The reconstructed patches, without noise, in units of the training data.
        """
        columns = check_posed_columns(self, X)
        warn_about_degrees(columns[:, 0])
        if lattice_angle is not None:
            lattice_angle = column_or_1d(lattice_angle, dtype=np.float32)
            check_consistent_length(columns, lattice_angle)
            lattice_angle = lattice_angle[:, None]
        model = self._load_model_for_inference()
        drawn = draw_patches(model, columns, lattice_angle)
        return add_offset(drawn.reshape(len(columns), -1), fitted_offset(self))

    def decode(self, latents, classes=None):
        """Decode latents to images in canonical pose.

        Conditions are at their means in the training patches.

        Parameters
        ----------
        latents : array-like of shape (n_samples, latent_dim)
            Latent variables.
        classes : array-like of shape (n_samples, n_classes), default=None
            Probabilities of the classes; ``numpy.eye(n_classes)`` with latents of 0
            decodes the canonical image of every class. None selects the largest class.

        Returns
        -------
        images : ndarray of shape (n_samples, h, w)
            The images at angle 0 and without offset, in units of the training data.
        """
        check_is_fitted(self)
        latents = check_columns(self, latents, self._n_latents, "latent_dim requires")
        if classes is not None:
            shares = check_columns(
                self, classes, self._n_class_columns, "n_classes requires"
            )
            check_consistent_length(latents, shares)
            latents = np.hstack([latents, shares])
        drawn = draw_canonical_patches(self._load_model_for_inference(), latents)
        return add_offset(drawn, fitted_offset(self))

    def latent_grid(self, *, n=7, extent=2.0, features=(0, 1)):
        """Decode images in canonical pose on a grid of one or two latents.

        Parameters
        ----------
        n : int, default=7
            Number of images along each axis.
        extent : float, default=2.0
            The grid reaches from -extent to extent, in standard deviations of the
            latents' prior.
        features : int or tuple of int, default=(0, 1)
            Latent that varies along the second axis of the grid and, if two are given,
            the one along the first. The others are zero. With a single latent the
            grid has one row.

        Returns
        -------
        latents : ndarray of shape (n or 1, n, latent_dim)
            The points of the grid.
        images : ndarray of shape (n or 1, n, h, w)
            The images at these points, as returned by `decode`.

        Raises
        ------
        ValueError
            If `features` are not one or two of the latents, or `n` or `extent` is
            not positive.
        """
        check_is_fitted(self)
        latents, _ = make_latent_grid(
            self._n_latents, n=n, extent=extent, features=features
        )
        images = self.decode(latents.reshape(-1, self._n_latents))
        return latents, images.reshape(*latents.shape[:2], *images.shape[1:])


def make_latent_grid(n_latents, *, n, extent, features):
    """Create a grid of latents in which all but one or two are 0.

    Parameters
    ----------
    n_latents : int
        Number of latents.
    n : int
        Number of points along each axis.
    extent : float
        The grid reaches from -extent to extent, in units of the latents.
    features : int or tuple of int
        Latent that varies along the second axis of the grid and, if two are given, the
        one along the first. ``(0, 1)`` means ``(0,)`` if there is only one latent.

    Returns
    -------
    latents : ndarray of shape (n or 1, n, n_latents)
        The grid.
    features : tuple of int
        The latents that vary.

    Raises
    ------
    ValueError
        If `features` are not one or two of the latents, or `n` or `extent` is not
        positive.
    """
    features = tuple(np.ravel(features).tolist())
    if n_latents == 1 and features == (0, 1):
        features = (0,)
    if n < 1 or not extent > 0:
        raise ValueError(f"n and extent must be positive, got {n!r} and {extent!r}.")
    known = all(0 <= feature < n_latents for feature in features)
    if not known or len(features) not in (1, 2) or len(set(features)) < len(features):
        raise ValueError(
            "features must be one or two different indices of the "
            f"{n_latents} latents, counted from 0; got {features}."
        )
    values = np.linspace(-extent, extent, n)
    latents = np.zeros((n if len(features) == 2 else 1, n, n_latents), np.float32)
    latents[..., features[0]] = values
    if len(features) == 2:
        latents[..., features[1]] = values[:, None]
    return latents, features
