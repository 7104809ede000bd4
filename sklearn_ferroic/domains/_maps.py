"""Values of cells as tables and as maps on the lattice."""

import numpy as np
from sklearn.utils._param_validation import validate_params

from .._utils.angles import wrap_angle
from .._utils.optional import import_optional
from .._utils.validation import check_vectors
from ..feature_extraction import LatticeStrain
from ._cell_graph import check_one_sublattice, select_frame
from ._lattice_steps import cell_vectors, check_lattice, lattice_indices
from ._profiles import _as_table


@validate_params(
    {"vector_unit": [str, None]},
    prefer_skip_nested_validation=True,
)
def cell_table(
    sites, *, vectors=None, vector_unit=None, strain=None, domains=None, walls=None
):
    """Collect the properties of each cell as features for a table or a file.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    vectors : array-like of shape (n_sites, 2), default=None
        Vectors ``(row, col)``, such as those of `PolarizationVector`; left out if None.
    vector_unit : str, default=None
        Unit of the vectors, such as "pm", for the JSON file of `AtomSites.to_csv`.
    strain : LatticeStrain or array-like of shape (n_sites, 6), default=None
        A fitted transformer or its output; left out if None.
    domains, walls : DataFrame, default=None
        Results of :func:`find_domains` and :func:`find_walls` for these sites.

    Returns
    -------
    table : pandas.DataFrame
        One row per site: ``vector_row, vector_col, vector_magnitude,
        vector_angle_deg``, the columns of `LatticeStrain`, ``domain`` and ``wall``, the
        rows of their tables or -1, as far as they are given. ``table.attrs["units"]``
        maps names to units where `vector_unit` is given.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If shapes do not fit.
    ImportError
        If pandas is not installed.

    See Also
    --------
    AtomSites.to_csv : Writes them next to the sites, by ``features=``.
    to_xarray : Values as maps.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import cell_table
    >>> sites = AtomSites(np.zeros((20, 20)), [[5, 5], [5, 15]])
    >>> cell_table(sites, vectors=[[1.0, 0.0], [0.0, 2.0]]).vector_angle_deg.tolist()
    [90.0, 0.0]
    """
    pandas = import_optional("pandas", "io")
    check_one_sublattice(sites)
    columns = {}
    if vectors is not None:
        row, col = check_vectors(sites, vectors).T
        columns |= {
            "vector_row": row,
            "vector_col": col,
            "vector_magnitude": np.hypot(row, col),
            "vector_angle_deg": np.degrees(wrap_angle(np.arctan2(row, col))),
        }
    if strain is not None:
        names = ["strain_xx", "strain_yy", "strain_xy"]
        names += ["rotation", "tetragonality", "cell_area"]
        if isinstance(strain, LatticeStrain):
            strain = strain.transform(sites)
        strain = np.asarray(strain)
        if strain.shape != (len(sites), 6):
            raise ValueError(
                f"strain must have shape ({len(sites)}, 6), got {strain.shape}."
            )
        columns |= dict(zip(names, strain.T, strict=True))
    for name, table in (("domain", domains), ("wall", walls)):
        if table is None:
            continue
        number = np.asarray(table.attrs.get(name, ()))
        if number.shape != (len(sites),):
            raise ValueError(
                f"{name}s must be the table of these {len(sites)} sites, with "
                f"attrs[{name!r}]; got {number.shape}."
            )
        if name == "domain":
            _check_order(table, number)
        columns[name] = number
    table = pandas.DataFrame(columns)
    if vectors is not None and vector_unit is not None:
        names = ("vector_row", "vector_col", "vector_magnitude")
        table.attrs["units"] = dict.fromkeys(names, vector_unit)
    return table


def _check_order(domains, number):
    """Check that the rows of a table of domains have the numbers of the sites."""
    size = np.bincount(number[number >= 0], minlength=len(domains))
    known = domains.index.isin(np.arange(len(size)))
    if not known.all() or (domains.n_cells != size[domains.index]).any():
        raise ValueError(
            "The index of domains is not that of find_domains, by which cells are "
            "assigned to rows: keep it when rows are sorted or chosen."
        )


def to_xarray(sites, values, *, frame=None):
    """Return values of cells as maps on the lattice, an xarray Dataset.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    values : array-like of shape (n_sites,), mapping or DataFrame of such
        What becomes maps, such as the result of :func:`cell_table`.
    frame : int, default=None
        Image; needed if the sites lie on several.

    Returns
    -------
    maps : xarray.Dataset
        A variable for each value, with the dimensions ``b`` and ``a``, numbers of cells
        along the lattice vectors (b nearest to +row), NaN where there is no cell, and
        coordinates ``row`` and ``col`` (px) of the cells, ``y_nm`` and ``x_nm`` if the
        pixel size is known, unless a value has that name.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If shapes do not fit, or `frame` is needed but not given.
    ImportError
        If xarray is not installed.

    See Also
    --------
    to_hyperspy : The same as HyperSpy signals.

    Notes
    -----
    Cells are counted from neighbour to neighbour. Beyond a dislocation two cells may
    claim one place; the later one in `sites` has it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import to_xarray
    >>> positions = 10.0 * np.indices((3, 4)).reshape(2, -1).T + 5
    >>> sites = AtomSites(np.zeros((30, 40)), positions)
    >>> to_xarray(sites, positions[:, 1]).value.values[0].tolist()
    [5.0, 15.0, 25.0, 35.0]
    """
    xarray = import_optional("xarray", "maps")
    frame, maps, place = _maps(sites, values, frame)
    coordinates = {"row": (("b", "a"), place[0]), "col": (("b", "a"), place[1])}
    size = sites.pixel_size[frame]
    if size is not None:
        coordinates["y_nm"] = (("b", "a"), place[0] * size)
        coordinates["x_nm"] = (("b", "a"), place[1] * size)
    return xarray.Dataset(
        {name: (("b", "a"), values) for name, values in maps.items()},
        coords={k: v for k, v in coordinates.items() if k not in maps},
    )


def to_hyperspy(sites, values, *, frame=None):
    """Return values of cells as maps on the lattice, HyperSpy signals.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        Cells of one sublattice, such as ``sites[sites.sublattice == 1]``.
    values : array-like of shape (n_sites,), mapping or DataFrame of such
        What becomes maps, such as the result of :func:`cell_table`.
    frame : int, default=None
        Image; needed if the sites lie on several.

    Returns
    -------
    signals : dict of str to hyperspy.signals.Signal2D
        A signal for each value with one pixel per cell, NaN without a cell. Its axes
        are ``b`` (rows) and ``a`` (columns), scaled by the mean lengths of the lattice
        vectors in nm, or px where no pixel size is known.

    Raises
    ------
    TypeError
        If `sites` are not AtomSites.
    ValueError
        If shapes do not fit, or `frame` is needed but not given.
    ImportError
        If HyperSpy is not installed.

    See Also
    --------
    to_xarray : The same as an xarray Dataset.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ferroic import AtomSites
    >>> from sklearn_ferroic.domains import to_hyperspy
    >>> positions = 10.0 * np.indices((3, 4)).reshape(2, -1).T + 5
    >>> sites = AtomSites(np.zeros((30, 40)), positions)
    >>> to_hyperspy(sites, positions[:, 1])["value"]  # doctest: +SKIP
    <Signal2D, title: value, dimensions: (|4, 3)>
    """
    Signal2D = import_optional("hyperspy.signals", "maps").Signal2D
    frame, maps, _ = _maps(sites, values, frame)
    cells = cell_vectors(sites[sites.frame == frame])
    a, b = np.hypot(cells[..., 0], cells[..., 1]).mean(axis=0)
    size = sites.pixel_size[frame]
    unit, scale = ("px", 1.0) if size is None else ("nm", size)
    signals = {}
    for name, values_of in maps.items():
        signal = Signal2D(values_of)
        signal.metadata.General.title = name
        for axis, label, length in zip(
            signal.axes_manager.signal_axes, ("a", "b"), (a, b), strict=True
        ):
            axis.name, axis.units, axis.scale = label, unit, float(length * scale)
        signals[name] = signal
    return signals


def _maps(sites, values, frame):
    """Return the image, the values and the positions on the lattice."""
    check_one_sublattice(sites)
    table = _as_table(values, len(sites))
    frame, rows = select_frame(sites, frame)
    part = sites[rows]
    cells = cell_vectors(part)
    check_lattice(part, cells)
    index = lattice_indices(part, cells)
    shape = tuple(index.max(axis=0)[::-1] + 1)

    def on_lattice(column):
        grid = np.full(shape, np.nan)
        grid[index[:, 1], index[:, 0]] = column[rows]
        return grid

    place = [on_lattice(column) for column in sites.positions.T]
    return frame, {name: on_lattice(c) for name, c in table.items()}, place
