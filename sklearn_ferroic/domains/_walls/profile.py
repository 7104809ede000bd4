"""Profile of a vector component across a wall: a tanh whose centre follows the wall."""

from typing import NamedTuple

import numpy as np

# Distance of the knots between which the centre of the wall is interpolated.
_KNOT_CELLS = 4.0
# A wall is not followed farther than this from the line between the labels.
_MAX_SHIFT_CELLS = 3.0
# Standard deviations that are expected, before any data, of the shift of a wall from
# the line between the labels and of its change from knot to knot: they matter only
# where the vectors are as short as their noise, as next to an interface.
_SHIFT_CELLS = 1.0
_BEND_CELLS = 0.2
# Limits of half the width. Cells one spacing apart do not resolve less.
_HALF_WIDTH_CELLS = (0.1, 8.0)
# Below this half-width at most one cell lies on the slope, and the width is unknown
# by as much.
_UNRESOLVED_CELLS = 0.25
_MIN_CELLS = 8
# Steps of the fit, attempts at each with more damping, and relative decrease of the
# squares at which it ends.
_MAX_STEPS = 50
_MAX_ATTEMPTS = 10
_TOLERANCE_SHARE = 1e-8


class WallProfile(NamedTuple):
    """Fit of c + A tanh((s - s0(t)) / xi) to a component across a wall.

    `parameters` are (c, A, xi), in the unit of the vectors and px, `covariance` is
    theirs, `knots` are arc lengths and `offsets` the shift s0 of the wall at them, px.
    """

    parameters: np.ndarray
    covariance: np.ndarray
    knots: np.ndarray
    offsets: np.ndarray
    offset_std: np.ndarray


def fit_wall_profile(
    distance, arc, values, length, spacing, *, factor=1.0, half_width=None
):
    """Fit the profile of a component across a wall and the course of the wall.

    Parameters
    ----------
    distance : ndarray of shape (n,)
        Signed distance of each cell from a line along the wall, px.
    arc : ndarray of shape (n,)
        Arc length of the nearest point of the line, px.
    values : ndarray of shape (n,)
        Component of the vector of each cell.
    length : float
        Length of the line, px.
    spacing : float
        Distance of nearest neighbours, px.
    factor : float, default=1.0
        Variance of a mean of neighbouring cells over that of independent ones.
    half_width : float, default=None
        Start of the fit of ξ, px; `spacing` by default.

    Returns
    -------
    profile : WallProfile or None
        None where the data do not determine it.
    """
    if len(values) < _MIN_CELLS:
        return None
    n_pieces = round(length / (_KNOT_CELLS * spacing))
    knots = np.linspace(0, length, n_pieces + 1) if n_pieces else np.array([length / 2])
    hat = _hat_functions(arc, knots)
    # Knots that no cell determines stay at the line.
    used = hat.sum(axis=0) > 1
    if not used.any():
        return None
    hat, knots = hat[:, used], knots[used]
    # In the unit of the scatter: small numbers of a large unit must not be lost next to
    # lengths in px.
    unit = float(np.std(values))
    if not unit > 0:
        return None
    values = values / unit
    xi = spacing if half_width is None else half_width
    xi = np.clip(xi, *np.multiply(_HALF_WIDTH_CELLS, spacing * np.array([1.1, 0.9])))
    low, high = (np.median(values[side]) for side in (distance < 0, distance > 0))
    if not np.isfinite([low, high]).all():
        return None
    start = np.concatenate(
        [[(low + high) / 2, (high - low) / 2, xi], np.zeros(len(knots))]
    )
    scale = max(abs(high - low), 1e-12)
    bounds = np.full((2, len(start)), [[-np.inf], [np.inf]])
    bounds[:, 2] = np.multiply(_HALF_WIDTH_CELLS, spacing)
    bounds[:, 3:] = np.multiply([[-1], [1]], _MAX_SHIFT_CELLS * spacing)

    def misfit(p):
        return p[0] + p[1] * np.tanh((distance - hat @ p[3:]) / p[2]) - values

    far = np.abs(distance) > 2 * spacing
    noise = np.std(misfit(start)[far]) if far.sum() > 3 else np.std(misfit(start))
    n_used = len(knots)
    prior = np.concatenate(
        [
            np.eye(n_used) / (_SHIFT_CELLS * spacing),
            np.diff(np.eye(n_used), axis=0) / (_BEND_CELLS * spacing),
        ]
    )
    prior = noise * np.column_stack([np.zeros((len(prior), 3)), prior])

    def residual(p):
        return np.concatenate([misfit(p), prior @ p])

    def jacobian(p):
        x = (distance - hat @ p[3:]) / p[2]
        slope = p[1] / np.cosh(np.clip(x, -300, 300)) ** 2 / p[2]
        data = np.column_stack(
            [np.ones_like(x), np.tanh(x), -slope * x, -slope[:, None] * hat]
        )
        return np.concatenate([data, prior])

    step_scale = np.concatenate([[scale, scale], np.full(len(start) - 2, spacing)])
    p, normal = _minimize(residual, jacobian, start, bounds, step_scale)
    dof = len(values) - len(p)
    if dof < 1:
        return None
    variance = (misfit(p) ** 2).sum() / dof
    covariance = factor * variance * np.linalg.pinv(normal, hermitian=True)
    if p[2] < _UNRESOLVED_CELLS * spacing:
        covariance[2, 2] = max(covariance[2, 2], (_UNRESOLVED_CELLS * spacing) ** 2)
    to_unit = np.array([unit, unit, 1.0])
    return WallProfile(
        p[:3] * to_unit,
        covariance[:3, :3] * np.outer(to_unit, to_unit),
        knots,
        p[3:],
        np.sqrt(np.diagonal(covariance)[3:]),
    )


def _minimize(residual, jacobian, start, bounds, scale):
    """Minimise a sum of squares by the Levenberg-Marquardt method within bounds.

    The normal equations have one row per knot, far fewer than there are residuals.
    """
    p, damping = start, 1e-3
    r = residual(p)
    for _ in range(_MAX_STEPS):
        j = jacobian(p) * scale
        normal, gradient = j.T @ j, j.T @ r
        diagonal = np.diagonal(normal) + 1e-12 * np.trace(normal)
        for _ in range(_MAX_ATTEMPTS):
            step = np.linalg.solve(normal + np.diag(damping * diagonal), -gradient)
            trial = np.clip(p + scale * step, *bounds)
            trial_r = residual(trial)
            if trial_r @ trial_r <= r @ r:
                break
            damping *= 4
        else:
            break
        change = r @ r - trial_r @ trial_r
        p, r, damping = trial, trial_r, max(damping / 10, 1e-9)
        if change <= _TOLERANCE_SHARE * (r @ r):
            break
    j = jacobian(p)
    return p, j.T @ j


def _hat_functions(arc, knots):
    """Return the weights of linear interpolation between knots, (n, n_knots)."""
    n_knots = len(knots)
    if n_knots == 1:
        return np.ones((len(arc), 1))
    place = np.interp(arc, knots, np.arange(n_knots))
    left = np.minimum(place.astype(int), n_knots - 2)
    share = place - left
    hat = np.zeros((len(arc), n_knots))
    rows = np.arange(len(arc))
    hat[rows, left] = 1 - share
    hat[rows, left + 1] = share
    return hat
