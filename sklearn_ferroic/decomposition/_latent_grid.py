"""Regular grids in one or two latents."""

import numpy as np


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
