"""A regular grid in one or two of the latents."""

import numpy as np


def make_latent_grid(n_latents, *, n, extent, features):
    """Make a grid of latents, 0 in all but one or two.

    Parameters
    ----------
    n_latents : int
        Number of latents.
    n : int
        Number of points along each axis.
    extent : float
        The grid reaches from -extent to extent.
    features : int or tuple of int
        Latent that grows along the second axis of the grid and, if there are two,
        along the first. ``(0, 1)`` is read as ``(0,)`` where there is one latent.

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
            f"features must be one or two different latents of the {n_latents} that "
            f"the estimator has, numbered from 0; got {features}."
        )
    values = np.linspace(-extent, extent, n)
    latents = np.zeros((n if len(features) == 2 else 1, n, n_latents), np.float32)
    latents[..., features[0]] = values
    if len(features) == 2:
        latents[..., features[1]] = values[:, None]
    return latents, features
