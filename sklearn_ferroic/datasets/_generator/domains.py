"""Chemistry and polar order over the crystal: layers, walls, variants.

All functions use (row, col) or rows in pixels of the undistorted crystal.
"""

import numpy as np


def step(distance, width):
    """Compute a tanh profile from 0 to 1 with the full width `width`."""
    if width == 0:
        return np.heaviside(distance, 0.5)
    return 0.5 * (1 + np.tanh(2 * np.asarray(distance) / width))


def material_fractions(rows, top, cell, substrate_row, layers, width):
    """Compute the share of each material at each row.

    Parameters
    ----------
    rows : ndarray of shape (n,)
        Row coordinates, px.
    top : float
        Row at which the first BiFeO3 layer starts, px.
    cell : float
        Side of the unit cell, px.
    substrate_row : float
        Row of the interface to the substrate; infinite for none.
    layers : tuple of int or None
        Cells in one BiFeO3 and in one manganite layer; None for BiFeO3 only.
    width : float
        Full width of the interfaces, px.

    Returns
    -------
    fractions : ndarray of shape (n, 3)
        In the order of `options.MATERIALS`.
    """
    substrate = step(rows - substrate_row, width)
    ferroic = np.ones(len(rows))
    if layers is not None:
        thick, thin = (cell * n for n in layers)
        period = thick + thin
        phase = np.mod(rows - top + thin / 2, period) - thin / 2
        # Signed distance into the BiFeO3 layer, positive inside.
        inside = np.minimum(phase, thick - phase)
        ferroic = step(inside, width)
    film = 1 - substrate
    return np.column_stack([film * ferroic, film * (1 - ferroic), substrate])


def layer_index(rows, top, cell, layers):
    """Return the number of the BiFeO3 layer nearest to each row, 0 at the top."""
    if layers is None:
        return np.zeros(len(rows), dtype=int)
    thick, thin = (cell * n for n in layers)
    return np.floor((rows - top + thin / 2) / (thick + thin)).astype(int)


def draw_walls(shape, rng):
    """Choose where the straight walls and the inclined wall lie.

    The straight walls are vertical and turn the row component of the
    polarization over, so that they carry no charge; the inclined wall turns
    the column component over.
    """
    height, width = shape
    return {
        "straight": width * (np.array([0.27, 0.73]) + rng.uniform(-0.05, 0.05, 2)),
        "through": np.array([0.45 * height, 0.5 * width])
        + rng.uniform(-0.04, 0.04, 2) * shape,
        "slope": rng.choice([-1, 1]) * rng.uniform(np.pi / 6, np.pi / 3.6),
        "signs": rng.choice([-1.0, 1.0], 2),
        "antipolar_axis": rng.choice([-1.0, 1.0]),
    }


def wall_distances(positions, walls):
    """Compute the signed distance of each column to straight and inclined walls."""
    left, right = walls["straight"]
    straight = np.minimum(positions[:, 1] - left, right - positions[:, 1])
    normal = np.array([np.cos(walls["slope"]), -np.sin(walls["slope"])])
    inclined = (positions - walls["through"]) @ normal
    return straight, inclined


def polar_signs(straight, inclined, width, n_variants):
    """Return the signs of the (row, col) polarization, smooth through the walls.

    Variants 0, ..., `n_variants` - 1 occur: the inclined wall parts 0 from 1,
    the straight walls part 1 from 2 and, with four variants, 0 from 3.
    """
    beyond = step(inclined, width) if n_variants > 1 else np.zeros(len(inclined))
    between = step(straight, width) if n_variants > 2 else np.zeros(len(straight))
    if n_variants == 3:
        between = between * beyond
    return np.column_stack([1 - 2 * between, 1 - 2 * beyond])


def near_wall(straight, inclined, half_width, n_variants):
    """Mask of the columns within `half_width` of a wall that exists."""
    near = np.zeros(len(straight), dtype=bool)
    if n_variants > 1:
        near |= np.abs(inclined) <= half_width
    if n_variants > 2:
        at_straight = np.abs(straight) <= half_width
        if n_variants == 3:
            at_straight &= inclined >= -half_width
        near |= at_straight
    return near


def variant_of(vectors):
    """Find the k of the diagonal, at 45 + 90 k degrees, nearest to each (row, col)."""
    angle = np.mod(np.arctan2(vectors[:, 0], vectors[:, 1]), 2 * np.pi)
    return np.floor(angle / (np.pi / 2)).astype(int) % 4
