"""Images on which the network of UNetAtomLocator is trained, widely randomised.

The crystals are those of `datasets`: their layers, walls, displacements, tilts,
dislocations and drift. What is drawn anew is how they look: magnification, turn,
widths, brightness, background, contamination, dose and detector.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial import cKDTree

from sklearn_ferroic.datasets._generator import columns as _columns
from sklearn_ferroic.datasets._generator import lattice as _lattice
from sklearn_ferroic.datasets._generator import options as _options
from sklearn_ferroic.datasets._generator import render as _render

# Of a nearest-neighbour spacing: what the crystals of `datasets` call 0.28 nm.
_CELL_NM = 0.396
_NEAREST_NM = _CELL_NM / np.sqrt(2)
# Where B stands in the cell: in its middle as in [001] of a perovskite, on a third of
# the diagonal as in honeycombs, or on an edge as in [110], half way and farther off.
_PLACES = np.array([[1 / 2, 1 / 2], [1 / 3, 1 / 3], [0, 1 / 2], [0, 1 / 3]])
_SHARES = [0.35, 0.15, 0.4, 0.1]


class Scene(NamedTuple):
    """One image with the truth.

    Parameters
    ----------
    image : ndarray of shape (side, side), float32
        The image.
    positions : ndarray of shape (n, 2)
        Columns (row, col), px.
    sublattice : ndarray of int of shape (n,)
        0 for A, 1 for B.
    spacing : float
        Nearest-neighbour spacing of the undistorted crystal, px.
    """

    image: np.ndarray
    positions: np.ndarray
    sublattice: np.ndarray
    spacing: float


def draw_scene(random_state, n_spacings=24):
    """Draw one image.

    Parameters
    ----------
    random_state : RandomState
        Source of all random numbers.
    n_spacings : float, default=24
        Side of the image in nearest-neighbour spacings.

    Returns
    -------
    scene : Scene
        The image and its columns.
    """
    draw = random_state
    spacing = float(np.exp(draw.uniform(np.log(4.2), np.log(18))))
    side = round(n_spacings * spacing)
    if draw.uniform() < 0.7:
        crystal = _perovskite(side, spacing, draw)
    else:
        crystal = _any_lattice(side, spacing, draw)
    positions, sublattice, share, tilt = crystal
    amplitude = _brightness(positions, sublattice, share, side, draw)
    covariance = _shapes(sublattice, tilt, spacing, draw)
    keep, matter, cover = _edge(positions, side, spacing, draw)
    keep &= _occupied(positions, sublattice, side, draw)
    positions, sublattice = positions[keep], sublattice[keep]
    jitter = draw.normal(size=(side, 2)) * [0.5, 1.0]
    jitter *= spacing * draw.choice([0.0, 0.01, 0.03, 0.06], p=[0.3, 0.4, 0.2, 0.1])
    expected = _render.render_columns(
        (side, side), positions, amplitude[keep], covariance[keep], jitter
    )
    expected += _background(side, spacing, matter, draw) + cover
    image = _detect(expected, spacing, draw)
    inside = _columns.inside(positions, (side, side))
    return Scene(image, positions[inside], sublattice[inside], spacing)


def _perovskite(side, spacing, draw):
    """Columns of the generator's crystals, turned and stretched."""
    # So much more that the turned square is full.
    whole = int(np.ceil(1.5 * side))
    px = _NEAREST_NM / spacing
    options = _options.resolve_options(
        draw.choice(["film", "superlattice"]),
        {
            "shape": (whole, whole),
            "pixel_size": px,
            "lattice_parameter_nm": _CELL_NM,
            "displacement_pm": draw.choice([0.0, 20.0, 40.0, 60.0]),
            "substrate": draw.choice([0.0, 0.2, 0.4]),
            "layers": draw.choice([None, 1]) and tuple(draw.randint(2, 9, 2).tolist()),
            "antipolar": draw.choice(["none", "alternate", "all"], p=[0.7, 0.2, 0.1]),
            "n_variants": int(draw.randint(1, 5)),
            "disorder_pm": draw.choice([3.0, 6.0, 12.0]),
            "mistilt_mrad": draw.choice([0.0, 5.0, 15.0, 30.0, 50.0]),
            "drift": spacing * draw.uniform(0, 0.6),
            "dislocation": bool(draw.uniform() < 0.15),
            "doping": draw.choice([0.0, 0.1, 0.3]),
        },
    )
    streams = _options.streams_of(draw)
    crystal = _columns.lay_out(options, streams)
    columns = _columns.make_columns(options, crystal, streams)
    turn = draw.choice([0.0, draw.normal(0, 0.08), draw.uniform(0, np.pi / 2)])
    matrix = _turn(turn) @ _stretch(draw)
    positions = (columns["positions"] - whole / 2) @ matrix.T + side / 2
    near = np.all((positions > -spacing) & (positions < side + spacing), axis=1)
    return (
        positions[near],
        columns["sublattice"][near],
        columns["materials"][near],
        (columns["elongation"] @ matrix.T)[near],
    )


def _any_lattice(side, spacing, draw):
    """Columns of an oblique lattice with one or two columns a cell."""
    has_b = draw.uniform() < 0.65
    kind = draw.choice(len(_PLACES), p=_SHARES)
    place = _PLACES[kind] + draw.normal(0, 0.02, 2)
    angle = draw.choice([np.pi / 2, np.pi / 3, draw.uniform(1.0, 1.6)])
    # With B on an edge, rows of A and B come as near as columns in them.
    ratio = draw.uniform(1, 1.5 if _PLACES[kind, 0] else 2.1)
    basis = np.array([[1, 0], [ratio * np.cos(angle), ratio * np.sin(angle)]])
    reach = int(side / spacing) + 6
    index = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T
    corners = index @ basis
    places = [corners, (index + place) @ basis] if has_b else [corners]
    positions = np.concatenate(places)
    sublattice = np.repeat([0, 1][: len(places)], len(index))
    center = np.flatnonzero((np.abs(positions) < 3).all(axis=1))
    nearest = cKDTree(positions).query(positions[center], 2)[0][:, 1].min()
    positions = positions * spacing / nearest @ _turn(draw.uniform(0, np.pi)).T
    positions += side / 2 + spacing * draw.uniform(-1, 1, 2)
    positions += spacing * draw.uniform(0, 0.05) * draw.normal(size=positions.shape)
    near = np.all((positions > -spacing) & (positions < side + spacing), axis=1)
    positions, sublattice = positions[near], sublattice[near]
    tilt = _lattice.mistilt_field(
        positions, (side, side), spacing * draw.choice([0.0, 0.2, 0.6]), draw
    )
    return positions, sublattice, np.tile([1.0, 0, 0], (len(positions), 1)), tilt


def _turn(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _stretch(draw):
    """Distortion of the scan: pixels that are not square, and shear."""
    return np.eye(2) + draw.normal(0, 0.02, (2, 2))


def _smooth_field(positions, side, draw):
    """Slow variation between about -1 and 1."""
    scaled = positions / side - 0.5
    wave = draw.normal(0, 2.5, (3, 2))
    phase = draw.uniform(0, 2 * np.pi, 3)
    return np.cos(scaled @ wave.T + phase).mean(axis=1)


def _brightness(positions, sublattice, share, side, draw):
    """Amplitudes; 1 is that of a typical A column."""
    ratio = draw.uniform(0.2, 0.95, 3)
    if draw.uniform() < 0.6:
        ratio[:] = ratio[0]
    level = np.exp(draw.uniform(np.log(0.35), 0, 3))
    level /= level.max()
    of_a = share @ level
    of_b = share @ (level * ratio)
    amplitude = np.where(sublattice == 0, of_a, of_b)
    # Composition and thickness differ from column to column, and slowly.
    scatter = draw.choice([0.02, 0.06, 0.12])
    amplitude = amplitude * np.exp(scatter * draw.normal(size=len(amplitude)))
    slow = draw.uniform(0, 0.6) * _smooth_field(positions, side, draw)
    return amplitude * np.exp(slow)


def _shapes(sublattice, tilt, spacing, draw):
    width = spacing * draw.uniform(0.13, 0.26)
    of_b = width * draw.uniform(0.85, 1.1)
    astigmatism = spacing * draw.choice([0.0, 0.1, 0.25]) * draw.normal(0, 1, 2)
    longest = np.hypot(*(tilt + astigmatism).T).max(initial=0)
    # Columns longer than that are not resolved.
    shorter = min(1.0, 1.1 * spacing / max(longest, 1e-9))
    return _render.covariances(
        np.where(sublattice == 0, width, of_b), shorter * (tilt + astigmatism)
    )


def _occupied(positions, sublattice, side, draw):
    """Leave out single columns, of one kind in particular."""
    share = draw.choice([0.0, 0.01, 0.05], p=[0.5, 0.3, 0.2])
    factor = draw.choice([0.0, 1.0, 2.0], size=2)
    return draw.uniform(size=len(positions)) >= share * factor[sublattice]


def _edge(positions, side, spacing, draw):
    """End the crystal somewhere, at vacuum or under an amorphous cover."""
    kind = draw.choice(["none", "vacuum", "amorphous"], p=[0.55, 0.2, 0.25])
    grid = np.indices((side, side)).reshape(2, -1).T
    if kind == "none":
        everywhere = np.ones((side, side))
        return np.ones(len(positions), dtype=bool), everywhere, 0.0
    angle = draw.uniform(0, 2 * np.pi)
    normal = np.array([np.sin(angle), np.cos(angle)])
    through = side * draw.uniform(0.1, 0.9, 2)
    bend = draw.normal(0, 0.3) / side
    wave, phase = draw.uniform(1, 12) / side, draw.uniform(0, 2 * np.pi)
    rough = spacing * draw.uniform(0, 2)

    def depth(places):
        along = (places - through) @ [normal[1], -normal[0]]
        waviness = rough * np.sin(wave * along + phase)
        return (places - through) @ normal + bend * along**2 + waviness

    of_pixels = depth(grid).reshape(side, side)
    soft = spacing * draw.uniform(0.3, 2)
    matter = 0.5 * (1 + np.tanh(of_pixels / soft))
    cover = 0.0
    if kind == "amorphous":
        amount = draw.uniform(0.1, 0.6)
        outside = 1 - (1 - draw.uniform(0, 0.3)) * matter
        cover = amount * outside * (1 + _texture(side, spacing, draw))
        cover = np.maximum(cover, 0)
    return depth(positions) > 0, matter, cover


def _texture(side, spacing, draw):
    """Amorphous matter: blobs of about the size of columns, or larger."""
    size = spacing * draw.uniform(0.12, 0.6)
    field = gaussian_filter(draw.normal(size=(side, side)), size, mode="wrap")
    return draw.uniform(0.2, 0.8) * field / field.std()


def _background(side, spacing, matter, draw):
    level = np.exp(draw.uniform(np.log(0.03), np.log(1.5)))
    row, col = np.mgrid[:side, :side] / side - 0.5
    angle = draw.uniform(0, 2 * np.pi)
    ramp = draw.choice([0.0, 0.3, 1.0]) * draw.uniform(-1, 1)
    background = 1 + ramp * (row * np.sin(angle) + col * np.cos(angle))
    background = level * background * (draw.uniform(0, 0.3) + 0.7 * matter)
    if draw.uniform() < 0.35:
        size = spacing * draw.uniform(0.5, 3)
        carbon = gaussian_filter(draw.normal(size=(side, side)), size, mode="wrap")
        background += draw.uniform(0.03, 0.2) * carbon / carbon.std()
    return background


def _detect(expected, spacing, draw):
    """Count electrons, or what detectors make of them."""
    # At low magnification a column has few pixels, and few counts show nothing.
    least = 2 * max(1.0, (8 / spacing) ** 2)
    peak = np.exp(draw.uniform(np.log(least), np.log(500)))
    image = draw.poisson(np.maximum(peak * expected, 0)).astype(np.float64)
    if draw.uniform() < 0.25:
        image += (
            draw.uniform(0.1, 2) * np.sqrt(peak) * 0.3 * draw.normal(size=image.shape)
        )
    if draw.uniform() < 0.2:
        # Scintillators glow on, and filters blur.
        if draw.uniform() < 0.5:
            image = gaussian_filter1d(image, draw.uniform(0.3, 1.2), axis=1)
        else:
            image = gaussian_filter(image, draw.uniform(0.3, 0.12 * spacing))
    return image.astype(np.float32)
