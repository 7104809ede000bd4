"""Columns of the crystal with the ground truth of each."""

import numpy as np
from sklearn.utils import Bunch

from .domains import (
    draw_walls,
    layer_index,
    material_fractions,
    near_wall,
    polar_signs,
    variant_of,
    wall_distances,
)
from .lattice import (
    dislocate,
    dissociate,
    draw_drift,
    drift_at,
    ideal_lattice,
    mistilt_field,
    nearest_core,
)
from .options import DEPTH_DIFFERENCE_NM, DEPTH_SEEN_NM


def lay_out(options, streams):
    """Choose origin, layers, walls and drift of one crystal, in pixels."""
    cell = options.lattice_parameter_nm / options.pixel_size
    origin = cell * streams["origin"].uniform(0, 1, 2)
    height = options.shape[0]
    return Bunch(
        cell=cell,
        origin=origin,
        # The first layer begins two cells above the image.
        top=origin[0] - 2 * cell,
        substrate=(1 - options.substrate) * height if options.substrate else np.inf,
        interface=options.interface_width_nm / options.pixel_size,
        wall_width=options.wall_width_nm / options.pixel_size,
        px_per_pm=1e-3 / options.pixel_size,
        walls=draw_walls(options.shape, streams["walls"]),
        drift=draw_drift(options.drift, streams["scan"]),
    )


def make_columns(options, crystal, streams):
    """Return the columns in and around the image as a dict of arrays.

    Besides the truth that users get there are `materials` (n, 3), the share of
    each material in the column, `samarium` (n,), the share of Sm on its A site,
    and `elongation` (n, 2), the projection of the tilted column in px.
    """
    ideal, cells, sublattice = ideal_lattice(
        options.shape, crystal.cell, crystal.origin, 3 * crystal.cell + options.drift
    )
    fractions = material_fractions(
        ideal[:, 0],
        crystal.top,
        crystal.cell,
        crystal.substrate,
        options.layers,
        crystal.interface,
    )
    order, variant, wall = _polar_order(ideal, cells, fractions, options, crystal)
    shift, keep = 0.0, np.ones(len(ideal), dtype=bool)
    if options.dislocation is not None:
        core = nearest_core(options.dislocation, crystal.origin, crystal.cell)
        if options.dissociation_nm:
            distance = 1000 * options.dissociation_nm * crystal.px_per_pm
            shift, keep = dissociate(ideal, crystal.cell, core, distance)
        else:
            shift, keep = dislocate(ideal, crystal.cell, core)
    columns = displace(
        ideal, sublattice, order, fractions, options, crystal, streams, shift
    )
    columns |= {"variant": variant, "wall": wall}
    return _remove_columns(select(columns, keep), options, streams["missing"])


def displace(ideal, sublattice, order, fractions, options, crystal, streams, shift=0.0):
    """Add the composition of the columns and displace them.

    Parameters
    ----------
    ideal : ndarray of shape (n, 2)
        Columns of the perfect crystal, px.
    sublattice : ndarray of shape (n,)
        0 for A, 1 for B.
    order : ndarray of shape (n, 2)
        Polarization in units of the displacement.
    fractions : ndarray of shape (n, 3)
        Share of each material that is expected in the column.
    options, crystal, streams : Bunch, Bunch, dict
        As in `make_columns`.
    shift : ndarray of shape (n, 2) or float, default=0.0
        Further displacement, px.

    Returns
    -------
    columns : dict of ndarray
        As `make_columns` returns them, but for `variant` and `wall`.
    """
    is_b = sublattice[:, None] == 1
    materials, samarium = _draw_atoms(fractions, options, streams["atoms"])
    tilt = mistilt_field(ideal, options.shape, options.mistilt_mrad, streams["tilt"])
    polarization = options.displacement_pm * crystal.px_per_pm * order
    # A tilt of 1 mrad shifts by 1 pm for each nm of depth.
    tilt_shift = tilt * DEPTH_DIFFERENCE_NM * crystal.px_per_pm
    disorder = options.disorder_pm * crystal.px_per_pm
    positions = ideal + is_b * (polarization + tilt_shift)
    positions += disorder * streams["disorder"].normal(size=ideal.shape)
    positions += shift
    positions += drift_at(positions[:, 0], options.shape[0], crystal.drift)
    return {
        "positions": positions,
        "sublattice": sublattice,
        "polarization": np.where(is_b, polarization, np.nan),
        "composition": materials[:, 0],
        "materials": materials,
        "samarium": np.where(sublattice == 0, samarium, 0.0),
        "elongation": tilt * DEPTH_SEEN_NM * crystal.px_per_pm,
    }


def select(columns, which):
    """Select the same rows of every array."""
    return {name: values[which] for name, values in columns.items()}


def inside(positions, shape):
    """Mask of the positions that lie on a pixel of the image."""
    return np.all((positions >= -0.5) & (positions < np.asarray(shape) - 0.5), axis=1)


def _polar_order(ideal, cells, fractions, options, crystal):
    """Return polarization in units of the displacement, variant and wall mask."""
    straight, inclined = wall_distances(ideal, crystal.walls)
    n_variants = options.n_variants
    signs = polar_signs(straight, inclined, crystal.wall_width, n_variants)
    if n_variants == 4:
        signs *= crystal.walls["signs"]
    antipolar = _antipolar(ideal[:, 0], options, crystal)
    alternating = np.where(cells[:, 1] % 2 == 0, 1.0, -1.0)[:, None]
    axis = [1.0, crystal.walls["antipolar_axis"] if n_variants == 4 else 1.0]
    signs = np.where(antipolar[:, None], alternating * axis, signs)
    ferroic = fractions[:, 0]
    polar = (ferroic >= 0.5) & (options.displacement_pm > 0)
    # A cell reaches half its side beyond its column.
    reach = (crystal.wall_width + crystal.cell) / 2
    wall = near_wall(straight, inclined, reach, n_variants)
    wall &= ~antipolar & polar
    wall |= (fractions > 0.1).sum(axis=1) > 1
    variant = np.where(polar, variant_of(signs), -1)
    # Polar order fades faster than the composition towards a non-polar layer.
    return signs / np.sqrt(2) * ferroic[:, None] ** 2, variant, wall


def _antipolar(rows, options, crystal):
    if options.antipolar != "alternate":
        return np.full(len(rows), options.antipolar == "all")
    layer = layer_index(rows, crystal.top, crystal.cell, options.layers)
    return layer % 2 == 1


def _draw_atoms(fractions, options, rng):
    """Draw the materials and Sm content of columns with `n_atoms` atoms each."""
    n_atoms = options.n_atoms
    ferroic = rng.binomial(n_atoms, np.clip(fractions[:, 0], 0, 1))
    rest = np.maximum(1 - fractions[:, 0], np.finfo(float).tiny)
    substrate = np.clip(fractions[:, 2] / rest, 0, 1)
    substrate = rng.binomial(n_atoms - ferroic, substrate)
    counts = [ferroic, n_atoms - ferroic - substrate, substrate]
    samarium = rng.binomial(ferroic, options.doping)
    return np.column_stack(counts) / n_atoms, samarium / n_atoms


def _remove_columns(columns, options, rng):
    """Remove `n_missing` of the columns inside the image."""
    candidates = np.flatnonzero(inside(columns["positions"], options.shape))
    if options.n_missing >= len(candidates):
        raise ValueError(
            f"n_missing={options.n_missing} would leave none of the "
            f"{len(candidates)} columns in the image."
        )
    keep = np.ones(len(columns["positions"]), dtype=bool)
    keep[rng.permutation(candidates)[: options.n_missing]] = False
    return select(columns, keep)
