"""How sure a site is: evidence of the network, calibrated on labelled images."""

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

# Evidence beyond this is not told apart.
_LEAST = 1e-4
# A site is right if a true column of its class is as near, in spacings.
TOLERANCE = 0.25
# Before any calibration: as the network has it.
UNCALIBRATED = (0.0, 1.0, 1.0, 0.0, 0.0, 0.0)


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
            "their confidence cannot be calibrated on that. Give harder or more images."
        )
    # Hardly any penalty: there are few numbers to learn.
    model = LogisticRegression(C=1e4, max_iter=1000)
    model.fit(features(evidence), is_right)
    return (float(model.intercept_[0]), *map(float, model.coef_[0]))


def features(evidence):
    """Logits of there being a column and of its class, their squares and product."""
    total = evidence.sum(axis=1)
    named = evidence.max(axis=1) / np.maximum(total, _LEAST)
    shares = np.stack([np.minimum(total, 1), named], axis=1)
    whole, name = logit(np.clip(shares, _LEAST, 1 - _LEAST)).T
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
