"""Columns and their evidence on maps of probabilities; probability of sites."""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.special import expit, logit
from skimage.feature import peak_local_max
from sklearn.linear_model import LogisticRegression

from ..._image.filters import vertex
from ..._image.pixels import on_image
from .labels import RADIUS_PX
from .network_image import NET_SPACING_PX
from .settings import UNET

# A site is right if a true column of its class is as near, in spacings.
TOLERANCE_SPACINGS = 0.25
# Coefficients before calibration: the network's own probabilities.
UNCALIBRATED_COEFFICIENTS = (0.0, 1.0, 1.0, 0.0, 0.0, 0.0)


_SETTINGS = UNET.evidence
# A disc of a column, sure in all its pixels, has this height once smoothed.
_FULL_HEIGHT = 1 - np.exp(-0.5 * (RADIUS_PX / _SETTINGS.sigma_px) ** 2)
# Pixels farther than this from a tile do not affect its columns.
REACH_PX = int(np.ceil(4 * _SETTINGS.sigma_px)) + _SETTINGS.min_distance_px + 2


def has_neighbors(positions, evidence, shape):
    """Check which columns have others around them; maxima of noise are isolated.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Columns, px of the network.
    evidence : ndarray of shape (n, 2)
        Share of each column's disc that is A, and that is B.
    shape : tuple of int
        Shape of the image, px of the network; the crystal may continue beyond.

    Returns
    -------
    together : ndarray of bool of shape (n,)
        Which ones.
    """
    if not len(positions):
        return np.zeros(0, dtype=bool)
    reach = _SETTINGS.neighbor_reach_spacings * NET_SPACING_PX
    others = cKDTree(positions).query_ball_point(positions, reach, return_length=True)
    others = others - 1
    together = others >= _SETTINGS.min_n_neighbors
    doubtful = evidence.sum(axis=1) < _SETTINGS.doubtful_probability
    doubtful &= on_image(positions, shape, reach)
    return together & ~(
        doubtful & (others <= _SETTINGS.min_doubtful_share * np.median(others))
    )


def find_columns(probability, threshold):
    """Find the columns on a map of the classes.

    Parameters
    ----------
    probability : ndarray of shape (3, n_rows, n_cols)
        Of background, A and B.
    threshold : float
        Minimum evidence for a column; 1 where all its pixels are certain.

    Returns
    -------
    positions : ndarray of shape (n, 2)
        Columns, px of the map.
    evidence : ndarray of shape (n, 2)
        Share of the column's disc that is A, and that is B.
    """
    smooth = np.stack(
        [gaussian_filter(part, _SETTINGS.sigma_px) for part in probability[1:]]
    )
    smooth /= np.float32(_FULL_HEIGHT)
    whole = smooth.sum(axis=0)
    peak = peak_local_max(
        whole,
        min_distance=_SETTINGS.min_distance_px - 1,
        threshold_abs=threshold,
        exclude_border=False,
        p_norm=2,
    )
    row, col = peak.T
    evidence = smooth[:, row, col].T.astype(np.float64)
    return vertex(whole, row, col), np.clip(evidence, 0, 1)


def confidences(evidence, coefficients):
    """Compute the probability that a site is a column of its class.

    Parameters
    ----------
    evidence : ndarray of shape (n, 2)
        Share of the site's disc that is A, and that is B.
    coefficients : tuple of float
        Of a constant and of the `features`.

    Returns
    -------
    probability : ndarray of shape (n,)
        In [0, 1].
    """
    constant, *slopes = coefficients
    return expit(constant + features(evidence) @ slopes)


def calibrate(evidence, is_right):
    """Fit the coefficients of `confidences` by logistic regression.

    Parameters
    ----------
    evidence : ndarray of shape (n, 2)
        Of sites.
    is_right : ndarray of bool of shape (n,)
        Whether they are columns of their class.

    Returns
    -------
    coefficients : tuple of float
        Constant and slopes.
    """
    if is_right.all() or not is_right.any():
        raise ValueError(
            f"All {len(is_right)} sites are {'right' if is_right.any() else 'wrong'}: "
            "their confidence cannot be calibrated on that. Pass harder or more images."
        )
    # Hardly any penalty: there are few numbers to learn.
    model = LogisticRegression(C=1e4, max_iter=1000)
    model.fit(features(evidence), is_right)
    return (float(model.intercept_[0]), *map(float, model.coef_[0]))


def features(evidence):
    """Compute logits of a column and of its class, their squares and product."""
    total = evidence.sum(axis=1)
    named = evidence.max(axis=1) / np.maximum(total, _SETTINGS.min_probability)
    shares = np.stack([np.minimum(total, 1), named], axis=1)
    whole, name = logit(
        np.clip(shares, _SETTINGS.min_probability, 1 - _SETTINGS.min_probability)
    ).T
    return np.stack([whole, name, whole**2, name**2, whole * name], axis=1)


def pair(found, true, tolerance):
    """Pair columns that are each other's nearest.

    Parameters
    ----------
    found, true : ndarray of shape (n, 2)
        Positions, px.
    tolerance : float
        Largest distance, px.

    Returns
    -------
    partner : ndarray of int of shape (n_found,)
        The true column of each that was found; -1 for none.
    """
    partner = np.full(len(found), -1)
    if len(found) and len(true):
        distance, nearest = cKDTree(true).query(found)
        _, back = cKDTree(found).query(true)
        own = np.arange(len(found))
        paired = (back[nearest] == own) & (distance <= tolerance)
        partner[paired] = nearest[paired]
    return partner
