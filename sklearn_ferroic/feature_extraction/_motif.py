"""Motifs: the columns of a crystal's cell, projected along the viewing direction."""

import operator
from dataclasses import dataclass, field
from math import gcd
from numbers import Real

import numpy as np

from .._lattice.motif_geometry import REACH_SHARE, MotifGeometry
from .._utils.optional import import_optional

# Intensity of HAADF images increases with about this power of the atomic number.
_Z_EXPONENT = 1.7
# Columns that are nearer to each other in a motif are one column by mistake.
_MIN_DISTANCE_NM = 0.02
# Half the shortest distance of neighbouring columns in projections of oxides. Beyond
# it, columns of different species would be one.
_MAX_MERGE_DISTANCE_NM = 0.1
# Placeholders of the presets, for any ion of that kind: atomic number that orders the
# brightness, and charge.
_PLACEHOLDERS = {"A": (56, 2.0), "B": (22, 4.0), "M": (40, 4.0), "X": (8, -2.0)}
_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn "
    "Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La "
    "Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po "
    "At Rn Fr Ra Ac Th Pa U"
).split()
_NUMBERS = {symbol: number for number, symbol in enumerate(_SYMBOLS, start=1)}
# Diagonal of the unit square.
_ROOT_2 = float(np.sqrt(2))


@dataclass(frozen=True)
class MotifColumn:
    """One column of a motif.

    Parameters
    ----------
    species : str
        Name: a chemical symbol, several joined by ``+`` in the order of their weight,
        or a letter of a preset: A, B, M (cations), X (anion).
    u, v : float
        Coordinates along the lattice vectors a and b of the motif.
    intensity : float
        Expected brightness, relative to other columns.
    charge : float, default=None
        Charge of the ions for a weighted centroid, in elementary charges.

    See Also
    --------
    Motif : The columns of a cell.

    Examples
    --------
    >>> from sklearn_ferroic import Motif
    >>> from sklearn_ferroic.feature_extraction import MotifColumn
    >>> columns = [
    ...     MotifColumn("Ba", 0, 0, intensity=1.0, charge=2),
    ...     MotifColumn("Ti", 0.5, 0.5, intensity=0.4, charge=4),
    ... ]
    >>> Motif("BaTiO3 [001]", (0.399, 0.403), 90, columns).species
    ('Ba', 'Ti')
    """

    species: str
    u: float
    v: float
    intensity: float
    charge: float | None = None


@dataclass(frozen=True)
class Motif:
    """Columns of a crystal's projected cell.

    A motif describes which columns an image shows, and where: the lattice vectors of
    the projection, and for each column its species and its coordinates along these.
    Columns that the image does not show, such as oxygen in HAADF images, must be left
    out, see `select`.

    Use `from_preset`, `from_table` or `from_cif` to make one.

    Parameters
    ----------
    name : str
        Name for messages and figures.
    lengths : tuple of float
        Lengths of the lattice vectors a and b, nm.
    angle : float
        Angle from a to b, degrees; a points along +col, b from there towards +row.
    columns : tuple of MotifColumn
        The columns.
    partners : tuple of (str, str), default=()
        Pairs of species: the second forms the coordination shell of the first. For
        species that are not named, all other species do, or the same if there is no
        other.

    Attributes
    ----------
    species : tuple of str
        Species of each column.
    preset_names : tuple of str
        Names that `from_preset` accepts.

    See Also
    --------
    MotifAssigner : Assigns sites to the columns of a motif.
    PolarizationVector : Displacements in coordination shells.

    Examples
    --------
    >>> from sklearn_ferroic import Motif
    >>> motif = Motif.from_preset("perovskite_110")
    >>> motif.species
    ('A', 'B')
    >>> dumbbells = Motif.from_table(
    ...     [("Cd", 0, 0), ("Te", 0, 0.25), ("Cd", 0.5, 0.5), ("Te", 0.5, 0.75)],
    ...     lengths=(0.458, 0.648),
    ... )
    >>> len(dumbbells)
    4
    """

    name: str
    lengths: tuple
    angle: float
    columns: tuple
    partners: tuple = field(default=())

    def __post_init__(self):
        lengths = tuple(float(length) for length in self.lengths)
        if len(lengths) != 2 or not all(0 < length < np.inf for length in lengths):
            raise ValueError(
                f"lengths must be two positive lengths in nm, got {self.lengths!r}."
            )
        if not 20 <= self.angle <= 160:
            raise ValueError(
                f"angle must lie between 20 and 160 degrees, got {self.angle!r}."
            )
        if not self.columns:
            raise ValueError(f"The motif {self.name!r} has no columns.")
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "angle", float(self.angle))
        object.__setattr__(self, "columns", tuple(self.columns))
        for column in self.columns:
            values = column.u, column.v, column.intensity
            if not np.isfinite(values).all() or column.intensity <= 0:
                raise ValueError(
                    "Columns need finite coordinates and a positive intensity, got "
                    f"{column}."
                )
        self._check_distances()

    def _check_distances(self):
        """Check that no two columns coincide."""
        nearest = self.geometry().reach / REACH_SHARE
        if nearest.min() < _MIN_DISTANCE_NM:
            number = int(nearest.argmin())
            raise ValueError(
                f"Column {number} of the motif {self.name!r}, {self.columns[number]}, "
                f"is {1000 * nearest.min():.0f} pm from another one. Pass the "
                "coordinates along the lattice vectors, each column once."
            )

    def __len__(self):
        return len(self.columns)

    @property
    def species(self):
        """Species of each column, in order."""
        return tuple(column.species for column in self.columns)

    @property
    def species_labels(self):
        """Number of each column's species, 0 = the brightest species."""
        level = {}
        for column in self.columns:
            level.setdefault(column.species, []).append(column.intensity)
        order = sorted(level, key=lambda item: (-np.mean(level[item]), item))
        return np.array([order.index(species) for species in self.species])

    @property
    def cell(self):
        """Lattice vectors in the rows, ``(row, col)`` in nm."""
        a, b = self.lengths
        angle = np.deg2rad(self.angle)
        return np.array([[0.0, a], [b * np.sin(angle), b * np.cos(angle)]])

    @property
    def fractions(self):
        """Coordinates of the columns along the lattice vectors."""
        return np.array([(column.u, column.v) for column in self.columns])

    def positions(self):
        """Return the positions of the columns in the cell.

        Returns
        -------
        positions : ndarray of shape (n_columns, 2)
            ``(row, col)`` in nm.
        """
        return self.fractions @ self.cell

    def geometry(self):
        """Return the neighbours of the columns.

        Returns
        -------
        geometry : MotifGeometry
            Columns with neighbours, as the assignment uses them.
        """
        intensity = np.array([column.intensity for column in self.columns])
        return MotifGeometry(self.cell, self.fractions, intensity, self.species_labels)

    def partner_mask(self):
        """Return which columns can be in the coordination shell of each column.

        Returns
        -------
        mask : ndarray of bool of shape (n_columns, n_columns)
            Whether the second column may be in the shell of the first.
        """
        species = np.array(self.species)
        mask = np.empty((len(self), len(self)), dtype=bool)
        for number, own in enumerate(self.species):
            named = [second for first, second in self.partners if first == own]
            other = np.isin(species, named) if named else species != own
            mask[number] = other if other.any() else species == own
        return mask

    def select(self, species):
        """Return the motif with some of its species only.

        Parameters
        ----------
        species : str or list of str
            The species that the image shows.

        Returns
        -------
        motif : Motif
            Their columns.

        Raises
        ------
        ValueError
            If the motif lacks one of them.
        """
        wanted = {species} if isinstance(species, str) else set(species)
        unknown = wanted - set(self.species)
        if unknown or not wanted:
            raise ValueError(
                f"The motif {self.name!r} has the species {sorted(set(self.species))}, "
                f"not {sorted(unknown)}."
            )
        columns = tuple(item for item in self.columns if item.species in wanted)
        partners = tuple(pair for pair in self.partners if set(pair) <= wanted)
        return Motif(self.name, self.lengths, self.angle, columns, partners)

    @classmethod
    def from_table(cls, columns, lengths, angle=90.0, name="motif", partners=()):
        """Make a motif from a table of columns.

        Parameters
        ----------
        columns : list of tuple
            ``(species, u, v)`` or ``(species, u, v, intensity)`` for each column, with
            coordinates along the lattice vectors. Without an intensity, that of the
            atomic number to the power 1.7 is used.
        lengths : tuple of float
            Lengths of the lattice vectors a and b, nm.
        angle : float, default=90
            Angle from a to b, degrees.
        name : str, default="motif"
            Name for messages.
        partners : tuple of (str, str), default=()
            Species and that of their coordination shell.

        Returns
        -------
        motif : Motif
            The motif.

        Raises
        ------
        ValueError
            If the table is not as described.
        """
        made = []
        for row in columns:
            if isinstance(row, str) or len(row) not in (3, 4):
                raise ValueError(
                    "Each column is (species, u, v) or (species, u, v, intensity), "
                    f"got {row!r}."
                )
            species, u, v, *given = row
            intensity = given[0] if given else _intensity(species)
            made.append(
                MotifColumn(species, float(u), float(v), intensity, _charge(species))
            )
        return cls(name, tuple(lengths), angle, tuple(made), tuple(partners))

    @classmethod
    def from_preset(cls, name, *, lengths=None, anions=False):
        """Make a motif of a common structure.

        Parameters
        ----------
        name : str
            One of `Motif.preset_names`: structure and zone axis, such as
            ``"perovskite_110"``.
        lengths : tuple of float, default=None
            Lengths of the lattice vectors of the projected cell, nm, instead of those
            of a typical crystal.
        anions : bool, default=False
            Whether the image shows the columns of anions alone, as in ABF and iDPC
            images. Structures whose anions HAADF images show, too, as rock salt, have
            them always.

        Returns
        -------
        motif : Motif
            The motif.

        Raises
        ------
        ValueError
            If there is no such preset.
        """
        if name not in PRESETS:
            raise ValueError(
                f"There is no preset {name!r}. The presets are {', '.join(PRESETS)}."
            )
        preset = PRESETS[name]
        columns = preset.columns + (preset.anions if anions else ())
        return cls.from_table(
            columns,
            preset.lengths if lengths is None else lengths,
            preset.angle,
            name,
            preset.partners,
        )

    @classmethod
    def from_cif(
        cls, path, zone_axis, *, species=None, merge_distance_nm=0.02, name=None
    ):
        """Make a motif from a structure file and a zone axis.

        Parameters
        ----------
        path : str, path-like or ase.Atoms
            CIF, or any structure file that the Atomic Simulation Environment (ASE)
            reads, or its structure. Needs ``pip install "sklearn-ferroic[structure]"``.
        zone_axis : tuple of int
            Direction ``(u, v, w)`` along which the crystal is seen, in the axes of the
            structure's cell, or the four indices ``(u, v, t, w)`` of a hexagonal one.
        species : list of str, default=None
            Symbols of elements that the image shows; all by default. Columns without
            any of them are left out.
        merge_distance_nm : float, default=0.02
            Atoms nearer to each other in projection are one column, at their mean
            position, nm. Use the resolution of the image if the structure has columns
            that it does not separate, such as oxygen columns that tilts of the
            octahedra split.
        name : str, default=None
            Name for messages; chemical formula and zone axis by default.

        Returns
        -------
        motif : Motif
            One primitive cell of the projection. Its columns have the symbols of their
            elements, joined by ``+`` from the brightest to the faintest.

        Raises
        ------
        ImportError
            If ASE is not installed.
        ValueError
            If the zone axis is not a direction, `merge_distance_nm` is not a number
            above 0 and up to 0.1, or no columns are left.
        """
        atoms = path
        if not hasattr(atoms, "get_scaled_positions"):
            atoms = import_optional("ase.io", "structure").read(path)
        axis = _check_axis(zone_axis)
        is_number = isinstance(merge_distance_nm, Real)
        if isinstance(merge_distance_nm, bool) or not (
            is_number and 0 < merge_distance_nm <= _MAX_MERGE_DISTANCE_NM
        ):
            raise ValueError(
                "merge_distance_nm must be a distance above 0 and up to "
                f"{_MAX_MERGE_DISTANCE_NM} nm, got {merge_distance_nm!r}."
            )
        cell, angle, rows = _project(
            np.asarray(atoms.cell),
            atoms.get_scaled_positions(),
            axis,
            merge_distance_nm,
        )
        depth = np.linalg.norm(axis @ np.asarray(atoms.cell)) / 10
        symbols = np.array(atoms.get_chemical_symbols())
        columns = []
        for coordinates, members in rows:
            count = {}
            for symbol in symbols[members]:
                count[symbol] = count.get(symbol, 0) + 1
            shown = set(count) if species is None else set(count) & set(species)
            if not shown:
                continue
            weight = {item: count[item] * _intensity(item) for item in count}
            order = sorted(shown, key=lambda item: (-weight[item], item))
            intensity = sum(weight.values()) / depth
            columns.append(MotifColumn("+".join(order), *coordinates, intensity))
        if not columns:
            raise ValueError(
                f"No column of the structure has one of the species {species!r}; it "
                f"consists of {sorted(set(symbols.tolist()))}."
            )
        if name is None:
            direction = "".join(str(index) for index in axis)
            name = f"{atoms.get_chemical_formula()} [{direction}]"
        return cls(name, cell, angle, tuple(columns))


def _intensity(species):
    """Return the intensity of one atom of each element of a column."""
    total = 0.0
    for symbol in species.split("+"):
        number = _PLACEHOLDERS.get(symbol, (_NUMBERS.get(symbol),))[0]
        if number is None:
            raise ValueError(
                f"{symbol!r} is neither a chemical symbol nor one of "
                f"{list(_PLACEHOLDERS)}. Pass the intensity of the column: "
                "(species, u, v, intensity)."
            )
        total += number**_Z_EXPONENT
    return total


def _charge(species):
    """Return the charge of a preset's ions, None for elements."""
    charges = [_PLACEHOLDERS.get(symbol, (0, None))[1] for symbol in species.split("+")]
    return None if None in charges else sum(charges)


def _check_axis(axis):
    """Return a zone axis as three whole numbers without a common divisor."""
    try:
        values = [operator.index(number) for number in axis]
    except TypeError:
        values = []
    if len(values) == 4 and sum(values[:3]) == 0:
        u, v, _, w = values
        values = [2 * u + v, 2 * v + u, w]
    if len(values) != 3 or not any(values):
        raise ValueError(
            "zone_axis must be three whole numbers, not all 0, or four of which the "
            f"first three add up to 0, got {axis!r}."
        )
    return np.array(values) // gcd(*values)


def _project(cell, fractions, axis, merge_distance_nm):
    """Project a structure along an axis, and return cell, angle and merged columns.

    Coordinates are relative to a reduced primitive cell of the projected lattice.
    """
    basis = _complete_basis(axis) @ cell
    normal = basis[2] / np.linalg.norm(basis[2])
    flat = basis[:2] - (basis[:2] @ normal)[:, None] * normal
    # Cartesian axes of the projection, right-handed when seen against the axis. Images
    # have rows downwards: (x, y) becomes (col, -row).
    x = flat[0] / np.linalg.norm(flat[0])
    frame = np.stack([x, np.cross(normal, x)], axis=1)
    plane = flat @ frame
    plane = _reduced(plane)
    a, b = plane
    place = fractions @ cell @ frame
    # Image coordinates: b is rotated from a towards +row, which is -y.
    if a[0] * b[1] - a[1] * b[0] > 0:
        b = -b
    plane = np.stack([a, b])
    coordinates = place @ np.linalg.inv(plane) % 1
    lengths = np.linalg.norm(plane, axis=1)
    angle = float(np.rad2deg(np.arccos(a @ b / lengths.prod())))
    rows, free = [], np.ones(len(coordinates), dtype=bool)
    for number in range(len(coordinates)):
        if not free[number]:
            continue
        offset = coordinates - coordinates[number]
        offset -= np.rint(offset)
        near = np.linalg.norm(offset @ plane, axis=1) < 10 * merge_distance_nm
        near &= free
        free &= ~near
        middle = (coordinates[number] + offset[near].mean(axis=0)) % 1
        middle[middle > 1 - 1e-6] = 0
        rows.append((tuple(np.round(middle, 6).tolist()), np.flatnonzero(near)))
    return tuple((lengths / 10).tolist()), angle, rows


def _complete_basis(axis):
    """Return a whole-number basis of volume 1 whose third vector is the axis."""
    best, norm = None, np.inf
    size = max(2, int(np.abs(axis).max()))
    grid = np.stack(
        np.meshgrid(*[np.arange(-size, size + 1)] * 3, indexing="ij"), -1
    ).reshape(-1, 3)
    grid = grid[np.argsort((grid**2).sum(axis=1), kind="stable")][1:]
    for first in grid:
        if (first**2).sum() * 2 >= norm:
            break
        volume = np.cross(first, grid) @ axis
        place = np.flatnonzero(volume == 1)
        if len(place):
            total = (first**2).sum() + (grid[place[0]] ** 2).sum()
            if total < norm:
                best, norm = np.stack([first, grid[place[0]], axis]), total
    return best


def _reduced(plane):
    """Return the shortest vectors of a plane lattice, the shorter one first."""
    a, b = plane
    while True:
        if a @ a > b @ b * (1 + 1e-9):
            a, b = b, a
        times = np.rint(a @ b / (a @ a))
        if times == 0:
            return np.stack([a, b])
        b = b - times * a


@dataclass(frozen=True)
class _Preset:
    """A structure along a zone axis: columns, and those of anions alone."""

    lengths: tuple
    columns: tuple
    anions: tuple = ()
    angle: float = 90.0
    partners: tuple = ()


_AB = (("A", "B"), ("B", "A"), ("X", "B"))
PRESETS = {
    "perovskite_001": _Preset(
        (0.39, 0.39),
        (("A", 0, 0), ("B", 0.5, 0.5)),
        (("X", 0.5, 0), ("X", 0, 0.5)),
        partners=_AB,
    ),
    # a is half of [1-10], b is [001]; the A columns contain oxygen, too.
    "perovskite_110": _Preset(
        (0.39 / _ROOT_2, 0.39),
        (("A", 0, 0), ("B", 0, 0.5)),
        (("X", 0.5, 0.5),),
        partners=_AB,
    ),
    # c along b; AlN with u = 0.382.
    "wurtzite_1120": _Preset(
        (0.2693, 0.498),
        (("M", 1 / 3, 0), ("M", 2 / 3, 0.5)),
        (("X", 1 / 3, 0.382), ("X", 2 / 3, 0.882)),
        partners=(("M", "X"), ("X", "M")),
    ),
    "zincblende_110": _Preset(
        (0.458, 0.648),
        (("M", 0, 0), ("M", 0.5, 0.5), ("X", 0, 0.25), ("X", 0.5, 0.75)),
        partners=(("M", "X"), ("X", "M")),
    ),
    # Cubic axes of half the length: all cation columns are translations of one.
    "fluorite_001": _Preset(
        (0.254, 0.254),
        (("M", 0, 0),),
        (("X", 0.5, 0.5),),
        partners=(("M", "X"), ("X", "M")),
    ),
    # Each column contains both ions.
    "rock_salt_001": _Preset((0.2106, 0.2106), (("M+X", 0, 0),)),
    "rock_salt_110": _Preset(
        (0.2979, 0.4212),
        (("M", 0, 0), ("M", 0.5, 0.5), ("X", 0, 0.5), ("X", 0.5, 0)),
        partners=(("M", "X"), ("X", "M")),
    ),
    "honeycomb": _Preset(
        (0.25, 0.25),
        (("M", 1 / 3, 2 / 3), ("X", 2 / 3, 1 / 3)),
        angle=120.0,
        partners=(("M", "X"), ("X", "M")),
    ),
    # (Sr,Ba)Nb2O6: narrow channels A, wide channels A', two kinds of B.
    "tungsten_bronze_001": _Preset(
        (1.2456, 1.2456),
        (
            ("A", 0, 0),
            ("A", 0.5, 0.5),
            ("A'", 0.1725, 0.6725, 750.0),
            ("A'", 0.8275, 0.3275, 750.0),
            ("A'", 0.3275, 0.1725, 750.0),
            ("A'", 0.6725, 0.8275, 750.0),
            ("B", 0, 0.5, 560.0),
            ("B", 0.5, 0, 560.0),
            *(
                ("B'", u % 1, v % 1, 560.0)
                for u, v in (
                    (0.0743, 0.2113),
                    (-0.0743, -0.2113),
                    (-0.2113, 0.0743),
                    (0.2113, -0.0743),
                    (0.5743, 0.2887),
                    (0.4257, 0.7113),
                    (0.7113, 0.5743),
                    (0.2887, 0.4257),
                )
            ),
        ),
        partners=(
            ("A", "B'"),
            ("A'", "B"),
            ("A'", "B'"),
            ("B", "A'"),
            ("B'", "A"),
            ("B'", "A'"),
        ),
    ),
}
Motif.preset_names = tuple(PRESETS)
