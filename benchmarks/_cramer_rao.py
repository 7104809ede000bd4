"""The Cramér-Rao bound of column positions in Poisson counts, numerically.

The parameters are the amplitude, the position and the width of every column, and one
background for the image, all of them unknown. With the mean counts μ(θ) of the pixels
the Fisher information is the sum over the pixels of (∂μ/∂θ)(∂μ/∂θ)ᵀ/μ [1]_; the bound
is the diagonal of its inverse. The inverse is taken column by column of what lies
within `NEIGHBORHOOD` pixels, the rest being as good as known: the self-check compares
this with the inverse of the whole.

References
----------
.. [1] A. J. den Dekker, S. Van Aert, A. van den Bos and D. Van Dyck, "Maximum
   likelihood estimation of structure parameters from high resolution electron
   microscopy images. Part I", Ultramicroscopy 104 (2005) 83-106.
"""

from dataclasses import replace

import numpy as np
from _scenes import (
    REACH,
    Scene,
    count_electrons,
    expected_image,
    inside,
    make_truth,
)
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array, diags_array
from scipy.spatial import cKDTree

NEIGHBORHOOD = 36.0  # px
_N_PARAMETERS = 4  # amplitude, row, col, sigma


def jacobian(truth):
    """Derivatives of the mean counts by all parameters.

    Parameters
    ----------
    truth : Truth
        The columns.

    Returns
    -------
    jacobian : sparse array of shape (n_pixels, 4 * n_columns + 1)
        Amplitude, row, column and width of the first column, ..., background.
    """
    n = len(truth.positions)
    radius = int(np.ceil(REACH * truth.sigma.max()))
    steps = np.arange(-radius, radius + 1)
    pixel = np.rint(truth.positions).astype(int)
    row, col = (pixel[:, [axis]] + steps for axis in (0, 1))
    sigma = truth.sigma[:, None, None]
    down = (row - truth.positions[:, :1])[:, :, None] / sigma
    along = (col - truth.positions[:, 1:])[:, None, :] / sigma
    shape = np.exp(-0.5 * (down**2 + along**2))
    slope = shape * truth.amplitude[:, None, None] / sigma
    values = (shape, slope * down, slope * along, slope * (down**2 + along**2))
    on = ((row >= 0) & (row < truth.shape[0]))[:, :, None] & (
        (col >= 0) & (col < truth.shape[1])
    )[:, None, :]
    flat = (row[:, :, None] * truth.shape[1] + col[:, None, :])[on]
    owner = np.broadcast_to(np.arange(n)[:, None, None], on.shape)[on]
    n_pixels = int(np.prod(truth.shape))
    last = np.full(n_pixels, _N_PARAMETERS * n)
    index = [_N_PARAMETERS * owner + k for k in range(_N_PARAMETERS)]
    return csr_array(
        (
            np.concatenate([value[on] for value in values] + [np.ones(n_pixels)]),
            (
                np.concatenate([flat] * _N_PARAMETERS + [np.arange(n_pixels)]),
                np.concatenate([*index, last]),
            ),
        ),
        (n_pixels, _N_PARAMETERS * n + 1),
    )


def fisher_information(truth):
    """Fisher information of all parameters of an image, sparse."""
    slopes = jacobian(truth)
    weight = diags_array(1 / expected_image(truth).ravel())
    return (slopes.T @ (weight @ slopes)).tocsr()


def position_bound(truth, which, neighborhood=NEIGHBORHOOD):
    """Smallest standard error that an unbiased estimator can have.

    Parameters
    ----------
    truth : Truth
        The columns.
    which : ndarray of int of shape (m,)
        The columns that are asked for.
    neighborhood : float
        Columns within as many px are unknown, too.

    Returns
    -------
    bound : ndarray of shape (m, 2)
        Standard errors along the rows and the columns of the image, px.
    """
    information = fisher_information(truth)
    near = cKDTree(truth.positions).query_ball_point(
        truth.positions[which], neighborhood
    )
    bound = np.empty((len(which), 2))
    for k, (own, others) in enumerate(zip(which, near, strict=True)):
        members = np.array([own, *(other for other in others if other != own)])
        index = _N_PARAMETERS * members[:, None] + np.arange(_N_PARAMETERS)
        index = np.append(index.ravel(), information.shape[0] - 1)
        # Columns outside the image may be all but unseen.
        block = information[index][:, index].toarray()
        scale = 1 / np.sqrt(np.maximum(np.diag(block), 1e-30))
        block = block * scale * scale[:, None] + 1e-9 * np.eye(len(block))
        asked = np.eye(len(block))[:, 1:3]
        variance = cho_solve(cho_factor(block), asked)[[1, 2], [0, 1]]
        bound[k] = np.sqrt(variance) * scale[1:3]
    return bound


def fit_jointly(image, start, n_rounds=6):
    """Poisson maximum likelihood of all columns at once, by Fisher scoring.

    It starts from the truth and is slow: a check of the bound, not a locator.
    """
    truth = start
    # Columns outside the image stay where they are.
    seen = inside(start.positions, start.shape, -1.0)
    free = np.append(np.repeat(seen, _N_PARAMETERS), True)
    for _ in range(n_rounds):
        slopes = jacobian(truth)
        mean = np.maximum(expected_image(truth), 1e-3 * truth.background).ravel()
        information = (slopes.T @ (diags_array(1 / mean) @ slopes)).toarray()
        information = information[np.ix_(free, free)]
        score = (slopes.T @ (image.ravel() / mean - 1))[free]
        scale = 1 / np.sqrt(np.diag(information))
        information *= scale * scale[:, None]
        step = np.zeros(len(free))
        step[free] = scale * cho_solve(cho_factor(information), scale * score)
        change = step[:-1].reshape(-1, _N_PARAMETERS)
        truth = replace(
            truth,
            amplitude=np.maximum(truth.amplitude + change[:, 0], 1e-2),
            positions=truth.positions + np.clip(change[:, 1:3], -0.5, 0.5),
            sigma=np.maximum(truth.sigma + np.clip(change[:, 3], -0.3, 0.3), 0.5),
            background=truth.background + step[-1],
        )
    return truth.positions


def self_check(n_seeds=12):
    """Compare the bound with theory, with the whole inverse, with the joint fit."""
    lone = make_truth(Scene("lone", 0.0, 60.0), 100.0, 61)
    nearest = np.linalg.norm(lone.positions - 30, axis=1).argmin()
    keep = np.arange(len(lone.positions)) == nearest
    lone = replace(
        lone,
        positions=lone.positions[keep],
        amplitude=lone.amplitude[keep],
        sigma=lone.sigma[keep],
        sublattice=lone.sublattice[keep],
        background=1e-6,
    )
    theory = lone.sigma[0] / np.sqrt(2 * np.pi * lone.sigma[0] ** 2 * 100)
    ratio = position_bound(lone, [0])[0] / theory
    print(f"isolated Gaussian without background: bound / theory {ratio.round(4)}")

    pair = Scene("pair", 0.4, 16.0)
    truth = make_truth(pair, 100.0, 192)
    which = np.flatnonzero(truth.interior(16))
    bound = position_bound(truth, which)
    whole = position_bound(truth, which, np.inf)
    print(f"neighbourhood / whole image: {(bound / whole).min():.5f} at the least")
    errors = [
        fit_jointly(count_electrons(expected_image(truth), seed), truth)[which]
        - truth.positions[which]
        for seed in range(n_seeds)
    ]
    ratio = np.sqrt(np.mean((np.array(errors) / bound) ** 2))
    sure = 1 / np.sqrt(2 * np.size(errors))
    print(f"joint maximum likelihood / bound: {ratio:.3f} ± {sure:.3f}")
