"""Means of per-site values by layer, along a line and across a line or wall."""

from collections.abc import Mapping
from numbers import Real

import numpy as np
from sklearn.utils._param_validation import StrOptions, validate_params

from .._lattice.neighbors import typical_spacing
from .._utils.optional import import_optional
from .._utils.validation import Interval, as_real, check_same_sublattice, refuse_mask
from ..sites import AtomSites
from ._cell_graph import select_frame
from ._lattice_steps import cell_vectors, check_lattice, lattice_indices
from ._walls.lines import WallLine

# Distance of the vertices with which a line is resampled.
_STEP_CELLS = 0.25


@validate_params(
    {"sites": [AtomSites], "axis": [StrOptions({"a", "b"})]},
    prefer_skip_nested_validation=True,
)
def layer_profile(sites, values, *, axis="b", frame=None):
    """Average values over the unit-cell layers of the lattice.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Sites of one sublattice, such as ``sites[sites.sublattice == 1]``.
    values : array-like of shape (n_sites,), mapping or DataFrame of such
        What to average; NaN is left out.
    axis : {"b", "a"}, default="b"
        Lattice vector along which the layers follow one another: with "b", the nearest
        to +row, a layer is a row of the image.
    frame : int, default=None
        Image; needed if the sites lie on several.

    Returns
    -------
    profile : pandas.DataFrame
        One row a layer, with the columns

        layer : int
            Number of the layer, from 0.
        position_nm : float
            Mean distance of the layer from the first one along its normal, nm;
            ``position_px`` where no pixel size is known.
        n_sites : int
            Number of sites with a value (the first one of several).
        value, value_std : float
            Mean and its standard error, the scatter over the square root of the
            number; NaN for fewer than two sites. With named values, the names.

    Raises
    ------
    ValueError
        If shapes do not fit, `frame` is needed but not given, or sites of several
        sublattices have values.
    ImportError
        If pandas is not installed.

    See Also
    --------
    profile_across : Profile across a line, an interface or a wall.
    sklearn_ferroic.inspection.ProfileDisplay : Draws it.

    Notes
    -----
    Layers are counted from neighbour to neighbour, so that bending, drift and steps of
    the lattice parameter do not mix them. Errors common to a layer, as of a scan line,
    are not in the standard error.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import layer_profile
    >>> positions = 10.0 * np.indices((3, 50)).reshape(2, -1).T + 5
    >>> sites = AtomSites(np.zeros((30, 500)), positions, pixel_size=0.04)
    >>> profile = layer_profile(sites, positions[:, 0] > 10)
    >>> profile[["layer", "position_nm", "n_sites", "value"]]
       layer  position_nm  n_sites  value
    0      0          0.0       50    0.0
    1      1          0.4       50    1.0
    2      2          0.8       50    1.0
    """
    frame, rows = select_frame(sites, frame)
    part = sites[rows]
    table = _values_of_one_sublattice(sites, values)
    cells = cell_vectors(part)
    check_lattice(part, cells)
    column = 1 if axis == "b" else 0
    index = lattice_indices(part, cells)[:, column]
    a, b = np.median(cells, axis=0)
    if len(part) == 1:
        a, b = np.array([[0.0, 1.0], [1.0, 0.0]])
    along = a if axis == "b" else b
    normal = np.array([along[1], -along[0]]) / np.hypot(*along)
    normal *= np.sign(normal @ (b if axis == "b" else a))
    coordinate = part.positions @ normal
    layers = np.unique(index)
    center = np.array([coordinate[index == layer].mean() for layer in layers])
    return _bin(
        np.searchsorted(layers, index),
        center - center[0],
        {name: column[rows] for name, column in table.items()},
        sites.pixel_size[frame],
        first={"layer": layers - layers[0]},
    )


@validate_params(
    {
        "sites": [AtomSites],
        "line": ["array-like"],
        "reach_cells": [Interval(Real, 0, None, closed="neither")],
        "bin_cells": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def profile_across(sites, values, line, *, reach_cells=8.0, bin_cells=1.0, frame=None):
    """Average values at equal distances from a line, as an interface or a wall.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Sites of one sublattice, such as ``sites[sites.sublattice == 1]``.
    values : array-like of shape (n_sites,), mapping or DataFrame of such
        What to average; NaN is left out.
    line : array-like of shape (n_vertices, 2)
        The line ``(row, col)``, px, two vertices at least: a wall of
        ``find_walls(...).attrs["polylines"]``, or a line of your own. Distances are
        measured along its normals, so that a curved wall does not broaden the profile.
    reach_cells : float, default=8.0
        Largest distance, in distances of nearest neighbours.
    bin_cells : float, default=1.0
        Width of a bin, in distances of nearest neighbours.
    frame : int, default=None
        Image; needed if the sites lie on several.

    Returns
    -------
    profile : pandas.DataFrame
        One row per bin with a site, with the columns

        distance_nm : float
            Mean distance of its sites from the line, nm (``distance_px`` where no pixel
            size is known): positive to the right of the line as it runs from its first
            to its last vertex for the eye, which is from the direction of the line
            towards +90 degrees.
        n_sites : int
            Number of sites with a value (the first one of several).
        value, value_std : float
            Mean and its standard error, the scatter over the square root of the
            number; NaN for fewer than two sites. With named values, the names.

    Raises
    ------
    ValueError
        If shapes do not fit, the line has no length, or `frame` is needed but not
        given.
    ImportError
        If pandas is not installed.

    See Also
    --------
    layer_profile : Means by the layers of the lattice.
    profile_along : Means along a line.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import profile_across
    >>> positions = 10.0 * np.indices((12, 12)).reshape(2, -1).T + 5
    >>> sites = AtomSites(np.zeros((120, 120)), positions, pixel_size=0.04)
    >>> below = positions[:, 0] > 60
    >>> profile_across(sites, below, [[60, 0], [60, 120]], reach_cells=2)
       distance_nm  n_sites  value  value_std
    0         -0.6       12    0.0        0.0
    1         -0.2       12    0.0        0.0
    2          0.2       12    1.0        0.0
    3          0.6       12    1.0        0.0
    """
    frame, rows = select_frame(sites, frame)
    table = _values_of_one_sublattice(sites, values)
    spacing = typical_spacing(sites.positions[rows]) or 1.0
    line = _resample(line, spacing)
    distance, _ = line.locate(sites.positions[rows], spacing / 2)
    number = np.floor(distance / (bin_cells * spacing) + 1e-9)
    inside = np.abs(distance) <= reach_cells * spacing
    return _bin_by_number(
        number, distance, inside, rows, table, sites.pixel_size[frame], "distance"
    )


@validate_params(
    {
        "sites": [AtomSites],
        "line": ["array-like"],
        "half_width_cells": [Interval(Real, 0, None, closed="neither")],
        "bin_cells": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def profile_along(
    sites, values, line, *, half_width_cells=3.0, bin_cells=1.0, frame=None
):
    """Average values along a line, over a band on both sides of it.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Sites of one sublattice, such as ``sites[sites.sublattice == 1]``.
    values : array-like of shape (n_sites,), mapping or DataFrame of such
        What to average; NaN is left out.
    line : array-like of shape (n_vertices, 2)
        The line ``(row, col)``, px, two vertices at least.
    half_width_cells : float, default=3.0
        Half the width of the band, in distances of nearest neighbours.
    bin_cells : float, default=1.0
        Length of a bin, in distances of nearest neighbours.
    frame : int, default=None
        Image; needed if the sites lie on several.

    Returns
    -------
    profile : pandas.DataFrame
        As that of :func:`profile_across`, with ``position_nm`` (or ``position_px``),
        the mean distance of the sites from the first vertex along the line, instead of
        the distance.

    Raises
    ------
    ValueError
        If shapes do not fit, the line has no length, or `frame` is needed but not
        given.
    ImportError
        If pandas is not installed.

    See Also
    --------
    profile_across : Profile across a line, an interface or a wall.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import profile_along
    >>> positions = 10.0 * np.indices((12, 12)).reshape(2, -1).T + 5
    >>> sites = AtomSites(np.zeros((120, 120)), positions)
    >>> profile = profile_along(sites, positions[:, 1], [[60, 20], [60, 60]])
    >>> profile[["position_px", "n_sites", "value"]]
       position_px  n_sites  value
    0          5.0        6   25.0
    1         15.0        6   35.0
    2         25.0        6   45.0
    3         35.0        6   55.0
    """
    frame, rows = select_frame(sites, frame)
    table = _values_of_one_sublattice(sites, values)
    spacing = typical_spacing(sites.positions[rows]) or 1.0
    line = _resample(line, spacing)
    distance, arc = line.locate(sites.positions[rows], 0.0)
    inside = np.abs(distance) <= half_width_cells * spacing
    number = np.floor(arc / (bin_cells * spacing) + 1e-9)
    return _bin_by_number(
        number, arc, inside, rows, table, sites.pixel_size[frame], "position"
    )


def _bin_by_number(number, coordinate, inside, rows, table, pixel_size, name):
    """Return the means of the sites with equal bin numbers."""
    number, coordinate = number[inside], coordinate[inside]
    bins, place = np.unique(number, return_inverse=True)
    count = np.bincount(place, minlength=len(bins))
    center = np.bincount(place, coordinate, minlength=len(bins)) / np.maximum(count, 1)
    chosen = {key: column[rows[inside]] for key, column in table.items()}
    return _bin(place, center, chosen, pixel_size, name=name)


def _bin(place, center, table, pixel_size, *, first=None, name="position"):
    """Return a table of means and standard errors by bin."""
    pandas = import_optional("pandas", "io")
    unit = "px" if pixel_size is None else "nm"
    scale = 1.0 if pixel_size is None else pixel_size
    n_bins = len(center)
    columns = dict(first or {})
    columns[f"{name}_{unit}"] = center * scale
    for key, values in table.items():
        known = np.isfinite(values)
        count = np.bincount(place[known], minlength=n_bins)
        columns.setdefault("n_sites", count)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.bincount(place[known], values[known], minlength=n_bins) / count
            residual = values[known] - mean[place[known]]
            square = np.bincount(place[known], residual**2, minlength=n_bins)
            std = np.sqrt(square / (count - 1) / count)
        columns[key] = mean
        columns[f"{key}_std"] = np.where(count > 1, std, np.nan)
    return pandas.DataFrame(columns)


def _as_table(values, n_sites):
    """Return the values as columns by name."""
    if isinstance(values, Mapping) or hasattr(values, "columns"):
        names = list(getattr(values, "columns", values))
        for name in names:
            refuse_mask(values[name], f"values[{name!r}]")
        table = {str(name): np.asarray(values[name]) for name in names}
    else:
        refuse_mask(values, "values")
        table = {"value": np.asarray(values)}
    for name, column in table.items():
        if column.shape != (n_sites,):
            raise ValueError(
                f"values must have one entry per site, shape ({n_sites},); {name!r} "
                f"has shape {column.shape}. Pass vectors as a mapping of their "
                "components."
            )
    return {
        name: as_real(column, name).astype(np.float64) for name, column in table.items()
    }


def _values_of_one_sublattice(sites, values):
    """Return the values as columns by name, if one sublattice has them."""
    table = _as_table(values, len(sites))
    if table:
        check_same_sublattice(sites, np.column_stack(list(table.values())))
    return table


def _resample(line, spacing):
    """Return a line with vertices at small equal steps."""
    line = np.asarray(line, dtype=np.float64)
    if line.ndim != 2 or line.shape[1] != 2 or len(line) < 2:
        raise ValueError(
            "line must be two or more vertices (row, col), shape (n_vertices, 2), got "
            f"shape {line.shape}."
        )
    if not np.isfinite(line).all():
        raise ValueError("line must be finite, got NaN or infinity.")
    arc = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    if arc[-1] == 0:
        raise ValueError("line has no length.")
    closed = np.hypot(*(line[0] - line[-1])) < 1e-9 and len(line) > 3
    n_steps = max(2, int(np.ceil(arc[-1] / (_STEP_CELLS * spacing))))
    target = np.linspace(0, arc[-1], n_steps + 1)
    target = target[:-1] if closed else target
    points = np.column_stack([np.interp(target, arc, part) for part in line.T])
    direction = points[1] - points[0]
    # From the direction of the line towards +90 degrees, arctan2(d_row, d_col).
    right = np.array([direction[1], -direction[0]])
    return WallLine(points, right, 0, closed)
