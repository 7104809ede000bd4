"""Windows of images whose polarization is known, for judging angles.

Multislice images are read from a folder of ``NAME.npz`` files or ship with the package.
The generated ones have directions that the lattice does not force on them: a pair of
vortices, and a morphotropic mixture of domains polarized along edges and diagonals.
"""

from pathlib import Path

import numpy as np
from _data_rvae import LEVELS, generate
from scipy.spatial import cKDTree
from sklearn.utils import Bunch, check_random_state

from sklearn_ferroic import AtomLocator, PatchExtractor
from sklearn_ferroic.datasets import load_multislice
from sklearn_ferroic.datasets._generator import columns as generator_columns
from sklearn_ferroic.datasets._generator.image import take_image
from sklearn_ferroic.datasets._generator.lattice import ideal_lattice
from sklearn_ferroic.datasets._generator.options import resolve_options, streams_of
from sklearn_ferroic.feature_extraction import suggest_window_size

# A located column belongs to the true one if they are no farther apart.
MATCHED_PX = 2.5


def make_windows(name, seed=0, *, window=44, folder=None, sites=None):
    """Locate the B columns of an image and cut a window around each.

    Parameters
    ----------
    name : str
        ``"vortex"``, ``"morphotropic"``, ``"lamellae"``, ``"shipped"``, a level of
        `_data_rvae`, or the name of a multislice file in `folder`.
    seed : int, default=0
        Draws a generated image.
    window : int or None, default=44
        Side of the windows, px; None for the size that `suggest_window_size` returns.
    folder : path-like, default=None
        Where the multislice files are.
    sites : AtomSites, default=None
        Located columns of the image; None locates them.

    Returns
    -------
    windows : Bunch
        `X` (n, window ** 2), the side `window` of the windows, px, `judged` (n,),
        `direction` (n,) in radians, `polarization` (n, 2), the fitted vector, `sites`,
        and `group` (n,) of polarization directions.
    """
    image, truth = _load(name, seed, folder)
    if sites is None:
        sites = AtomLocator().fit_transform(image)
    if window is None:
        window = suggest_window_size(sites)
    sites = sites[sites.sublattice == 1]
    distance, nearest = cKDTree(truth.positions).query(sites.positions)
    judged = (distance < MATCHED_PX) & truth.judged[nearest]
    judged &= np.isfinite(sites.polarization).all(axis=1)
    return Bunch(
        X=PatchExtractor(window_size=window).transform(sites),
        judged=judged,
        direction=np.where(judged, truth.direction[nearest], 0.0),
        polarization=sites.polarization,
        group=truth.group[nearest],
        sites=sites,
        window=window,
        n_fold=1,
    )


def _load(name, seed, folder):
    if name == "shipped":
        data = load_multislice()
        is_b = data.sublattice == 1
        vector = data.polarization
        judged = (data.variant >= 0) & ~data.wall & np.isfinite(vector).all(axis=1)
        group = data.variant
        positions = data.positions
        image = data.image
    elif name in FIELDS:
        data, vector, judged, group = make_field(name, seed)
        is_b, positions, image = data.sublattice == 1, data.positions, data.image
    elif name in LEVELS:
        data = generate(LEVELS[name], seed)
        image, positions, is_b = data.image, data.positions, data.sublattice == 1
        direction = np.pi / 4 + np.pi / 2 * data.variant + data.get("orientation", 0)
        vector = np.column_stack([np.sin(direction), np.cos(direction)])
        judged = (data.variant >= 0) & ~data.wall
        group = data.variant
    else:
        data = np.load(Path(folder) / f"{name}.npz")
        image = np.asarray(data["image"], float)
        is_b = data["site"] == "B"
        positions = np.column_stack([data["y_surf_px"], data["x_surf_px"]])
        vector = np.column_stack([data["dy_pm"], data["dx_pm"]])
        judged = (data["domain"] > 0) & ~data["wall"] & np.isfinite(vector).all(axis=1)
        if "edge" in data:
            judged &= ~data["edge"]
        group = data["domain"]
    truth = Bunch(
        positions=positions[is_b],
        direction=np.arctan2(vector[:, 0], vector[:, 1])[is_b],
        judged=judged[is_b],
        group=group[is_b],
    )
    return image, truth


def _vortex(positions, shape, cell, rng):
    """Return the directions around two vortices of opposite sense."""
    left, right = np.array(shape) * [[0.5, 0.27], [0.5, 0.73]]
    around = []
    for center, sense in ((left, 1), (right, -1)):
        row, col = (positions - center).T
        distance = np.hypot(row, col)[:, None] + 1e-9
        tangent = sense * np.column_stack([col, -row]) / distance
        around.append((distance, tangent))
    is_left = positions[:, 1] < shape[1] / 2
    distance, tangent = (
        np.where(is_left[:, None], a, b) for a, b in zip(*around, strict=True)
    )
    order = tangent * np.tanh(distance / (1.5 * cell))
    return order, distance[:, 0] > 3 * cell, np.where(is_left, 0, 1)


def _morphotropic(positions, shape, cell, rng):
    """Return stripes polarized along edges and diagonals of the cell in turn."""
    n_stripes = 8
    directions = rng.permutation(n_stripes) * np.pi / 4
    slope = rng.uniform(-0.2, 0.2)
    place = positions[:, 0] + slope * (positions[:, 1] - shape[1] / 2)
    stripe = place / (shape[0] / n_stripes)
    number = np.clip(np.floor(stripe), 0, n_stripes - 1).astype(int)
    inside = np.minimum(stripe - number, number + 1 - stripe) * shape[0] / n_stripes
    inside[(stripe < 0) | (stripe >= n_stripes)] = 2 * cell
    direction = directions[number]
    order = np.column_stack([np.sin(direction), np.cos(direction)])
    return order, inside > cell, number


def _lamellae(positions, shape, cell, rng):
    """Return diagonal domains with layers that are antipolar along the cell edge."""
    layer = np.floor(positions[:, 0] / (8 * cell)).astype(int)
    into = np.abs(np.mod(positions[:, 0] / cell, 8) - 4)
    lamella = np.floor(positions[:, 1] / (3 * cell)).astype(int)
    edge = np.where(lamella % 2 == 0, 0.0, np.pi)
    diagonal = np.pi / 4 + np.pi / 2 * (
        np.floor(positions[:, 1] / (shape[1] / 4)).astype(int) % 4
    )
    is_edge = layer % 2 == 1
    direction = np.where(is_edge, edge, diagonal)
    order = np.column_stack([np.sin(direction), np.cos(direction)])
    beside = np.mod(positions[:, 1] / (3 * cell), 1)
    near = np.mod(positions[:, 1] / (shape[1] / 4), 1) * shape[1] / 4
    width = shape[1] / 4
    judged = np.where(
        is_edge,
        np.minimum(beside, 1 - beside) * 3 > 0.5,
        np.minimum(near, width - near) > cell,
    )
    return order, judged & (into < 3), np.where(is_edge, 1, 0)


FIELDS = {"vortex": _vortex, "morphotropic": _morphotropic, "lamellae": _lamellae}


def make_field(name, seed, **options):
    """Generate an image of a film whose B columns follow a field of directions."""
    given = {"displacement_pm": 25, "dose": 25e3, "substrate": 0.0} | options
    options = resolve_options("film", given)
    rng = check_random_state(seed)
    streams = streams_of(rng)
    crystal = generator_columns.lay_out(options, streams)
    margin = 3 * crystal.cell + options.drift
    ideal, _, sublattice = ideal_lattice(
        options.shape, crystal.cell, crystal.origin, margin
    )
    order, judged, group = FIELDS[name](
        ideal, options.shape, crystal.cell, np.random.RandomState(seed)
    )
    fractions = np.tile([1.0, 0.0, 0.0], (len(ideal), 1))
    columns = generator_columns.displace(
        ideal, sublattice, order, fractions, options, crystal, streams
    )
    columns |= {"order": order, "judged": judged, "group": group}
    image, truth = take_image(columns, options, crystal, streams)
    data = Bunch(image=image, **truth)
    return data, data.order, data.judged, data.group
