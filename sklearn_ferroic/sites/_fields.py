"""Schema of the values that AtomSites have for each site.

One row of `SITE_FIELDS` describes one field. The constructor of AtomSites, its
docstring, slicing, concatenation, equality, hashing, the pandas table and the CSV and
HDF5 files are derived from these rows.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import Parameter, Signature, cleandoc

import numpy as np

from .._utils.angles import wrap_angle
from .._utils.pose_columns import POSE_UNITS
from .._utils.validation import as_real, refuse_mask, to_numpy
from ._flags import FLAG_ATTRIBUTES, flags_as_text, flags_from_text

# Width of the text of a parameter in the docstring of a class, indented twice.
_DOCSTRING_CHARACTERS = 80


@dataclass(frozen=True)
class DerivedColumn:
    """Column of the table that is computed from a field.

    Parameters
    ----------
    name : str
        Name of the column.
    unit : str
        Its unit.
    compute : callable
        Called with the AtomSites; returns an ndarray of shape (n_sites,).
    needs_pixel_size : bool, default=False
        Whether to omit the column if no image has a pixel size.
    """

    name: str
    unit: str
    compute: Callable
    needs_pixel_size: bool = False


@dataclass(frozen=True)
class SiteField:
    """One value of every site.

    Parameters
    ----------
    name : str
        Name of the attribute and of the constructor's argument.
    description : str
        What it is, for the docstring of AtomSites.
    unit : str, default=""
        Its unit; ``"image"`` for the unit of the image's values.
    shape : tuple of int, default=()
        Shape of the value of one site.
    dtype : dtype, default=float64
        Type of the stored array. Integer types accept whole numbers in their range.
    missing : object, default=NaN
        Value of all sites if the argument is None.
    columns : tuple of str, default=None
        Names of the table's columns, one for each component of the value in C order;
        the name of the field by default, () for none.
    derived : tuple of DerivedColumn, default=()
        Columns that follow in the table.
    to_text : callable, default=None
        Converts the values for the table.
    from_text : callable, default=None
        Converts text of the table back to values. A field with `to_text` alone is not
        read from tables.
    kept_by_refit : bool, default=False
        Whether ``locator.refit`` keeps the values. Others become what the fit gives,
        missing if it gives none. Fields of a subclass, which no fit gives, are kept
        unless they are geometric.
    is_geometric : bool, default=False
        Whether the value is computed from the positions of columns. The correction of
        scan distortion computes it again, or makes it missing.
    attributes : dict, default={}
        Further attributes of the dataset in an HDF5 file.
    """

    name: str
    description: str
    unit: str = ""
    shape: tuple = ()
    dtype: type = np.float64
    missing: object = np.nan
    columns: tuple | None = None
    derived: tuple = ()
    to_text: Callable | None = None
    from_text: Callable | None = None
    kept_by_refit: bool = False
    is_geometric: bool = False
    attributes: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.columns is None:
            object.__setattr__(self, "columns", (self.name,))
        n_components = int(np.prod(self.shape))
        if len(self.columns) not in (0, n_components):
            raise ValueError(
                f"The field {self.name!r} has {n_components} component(s), but "
                f"{len(self.columns)} column name(s): {self.columns}."
            )

    def as_values(self, values, n_sites):
        """Check the values of all sites, or return missing ones.

        Parameters
        ----------
        values : array-like of shape (n_sites, *shape) or None
            The values.
        n_sites : int
            Number of sites.

        Returns
        -------
        values : ndarray of shape (n_sites, *shape)
            A copy with the field's dtype.
        """
        shape = (n_sites, *self.shape)
        if values is None:
            return np.full(shape, self.missing, dtype=self.dtype)
        refuse_mask(values, self.name)
        values = to_numpy(values, self.name)
        if values.shape != shape:
            raise ValueError(
                f"{self.name} must have shape {shape}, got {values.shape}."
            )
        if np.issubdtype(self.dtype, np.integer):
            self._check_integers(values)
        elif np.issubdtype(self.dtype, np.bool_):
            self._check_truth_values(values)
        return as_real(values, self.name).astype(self.dtype)

    def _check_truth_values(self, values):
        """Check that values are True or False, or 1 or 0."""
        if values.dtype.kind not in "buif" or not np.isin(values, (0, 1)).all():
            raise ValueError(
                f"{self.name} must contain truth values, or 0 and 1, got values such "
                f"as {values.ravel()[:3].tolist()}."
            )

    def _check_integers(self, values):
        """Check that values are whole numbers in the range of the dtype."""
        if not _are_whole(values):
            raise ValueError(
                f"{self.name} must contain whole numbers, got {values.dtype} values."
            )
        limits = np.iinfo(self.dtype)
        if values.size and not (
            limits.min <= values.min() and values.max() <= limits.max
        ):
            raise ValueError(
                f"{self.name} must lie between {limits.min} and {limits.max}, got "
                f"values from {values.min()} to {values.max()}."
            )

    def table_columns(self, sites):
        """Return the columns of the table that the field contributes.

        Parameters
        ----------
        sites : AtomSites
            The sites.

        Returns
        -------
        columns : dict of str to ndarray of shape (n_sites,)
            In order; columns that need a pixel size only if any image has one.
        """
        values = getattr(sites, self.name)
        if self.to_text is not None:
            values = self.to_text(values)
        components = values.reshape(len(sites), int(np.prod(self.shape)))
        columns = dict(zip(self.columns, components.T, strict=bool(self.columns)))
        is_calibrated = any(size is not None for size in sites.pixel_size)
        for derived in self.derived:
            if is_calibrated or not derived.needs_pixel_size:
                columns[derived.name] = derived.compute(sites)
        return columns

    def parameter_entry(self, *, is_optional=True):
        """Return the entry of the field in a list of parameters in numpydoc style."""
        kind = {"b": "bool", "i": "int", "u": "int"}.get(np.dtype(self.dtype).kind)
        shape = ", ".join(["n_sites", *map(str, self.shape)])
        shape = f"({shape})" if self.shape else "(n_sites,)"
        of_kind = f" of {kind}" if kind else ""
        default = ", default=None" if is_optional else ""
        head = f"{self.name} : array-like{of_kind} of shape {shape}{default}"
        body = textwrap.fill(
            self.description, _DOCSTRING_CHARACTERS, break_on_hyphens=False
        )
        return f"{head}\n{textwrap.indent(body, '    ')}"


def _are_whole(values):
    """Return whether values are whole numbers that an intp can represent."""
    if values.dtype.kind not in "buif":
        return False
    with np.errstate(invalid="ignore"):
        return np.array_equal(values, values.astype(np.intp))


def _length_nm(component):
    """Return a function that converts a component of the positions to nm."""
    return lambda sites: sites.positions[:, component] * sites.pixel_size_per_site()


def _polarization_pm(component):
    """Return a function that converts a component of the polarization to pm."""
    return lambda sites: (
        sites.polarization[:, component] * (1000 * sites.pixel_size_per_site())
    )


def _polarization_angle_deg(sites):
    """Return the angle of the polarization, degrees."""
    row, col = sites.polarization.T
    return np.degrees(wrap_angle(np.arctan2(row, col)))


SITE_FIELDS = (
    SiteField(
        "frame",
        "Index into `images` of each site; all 0 if None.",
        dtype=np.intp,
        missing=0,
        kept_by_refit=True,
    ),
    SiteField(
        "sublattice",
        "Sublattice of each site, 0 = brightest; all 0 if None.",
        dtype=np.intp,
        missing=0,
        kept_by_refit=True,
    ),
    SiteField(
        "positions",
        "Positions of the columns ``(row, col)``, px, pixel centres at integers.",
        unit="px",
        shape=(2,),
        columns=("row", "col"),
        derived=(
            DerivedColumn("x_nm", "nm", _length_nm(1), needs_pixel_size=True),
            DerivedColumn("y_nm", "nm", _length_nm(0), needs_pixel_size=True),
        ),
    ),
    SiteField(
        "position_std",
        "Standard error of the position ``(row, col)``, px.",
        unit="px",
        shape=(2,),
        columns=("row_std", "col_std"),
    ),
    SiteField(
        "distortion_std",
        "Part of `position_std` that fits do not show, from the registration of "
        "averaged frames and the correction of scan lines, ``(row, col)`` in px; NaN "
        "without them.",
        unit="px",
        shape=(2,),
        columns=(),
        kept_by_refit=True,
    ),
    SiteField(
        "amplitude",
        "Fitted peak height over the background, in units of the image.",
        unit="image",
    ),
    SiteField("sigma", "Fitted Gaussian width, px.", unit="px"),
    SiteField(
        "background",
        "Fitted local background, in units of the image.",
        unit="image",
    ),
    SiteField(
        "ellipticity",
        "Fitted ratio of the column's long axis to its short axis, at least 1; the "
        "same for all columns of an image where a common ellipse was fitted.",
    ),
    SiteField(
        "ellipse_rotation",
        "Angle of the long axis, radians in [−π/2, π/2), from +col towards +row.",
        unit="rad",
    ),
    SiteField("significance", "Amplitude of the column over its standard error."),
    SiteField(
        "converged",
        "Whether the fit of the column can be trusted; all True if None.",
        dtype=np.bool_,
        missing=True,
    ),
    SiteField(
        "flags",
        "Quality flags, bits of :class:`SiteFlag`; all 0 if None.",
        dtype=np.uint16,
        missing=0,
        to_text=flags_as_text,
        from_text=flags_from_text,
        attributes=FLAG_ATTRIBUTES,
    ),
    SiteField(
        "probability",
        "Probability that the site is a column of its sublattice, in [0, 1].",
        kept_by_refit=True,
    ),
    SiteField(
        "motif_column",
        "Column of the motif to which :class:`MotifAssigner` assigned the site; -1 for "
        "none.",
        dtype=np.intp,
        missing=-1,
        kept_by_refit=True,
    ),
    SiteField(
        "polarization",
        "Position of the site minus the centroid of its nearest neighbours of the "
        "other sublattice, ``(row, col)`` in px; NaN where that is not defined.",
        unit="px",
        shape=(2,),
        columns=("polarization_row", "polarization_col"),
        is_geometric=True,
        derived=(
            DerivedColumn(
                "polarization_magnitude",
                "px",
                lambda sites: np.hypot(*sites.polarization.T),
            ),
            DerivedColumn("polarization_angle_deg", "deg", _polarization_angle_deg),
            DerivedColumn(
                "polarization_row_pm", "pm", _polarization_pm(0), needs_pixel_size=True
            ),
            DerivedColumn(
                "polarization_col_pm", "pm", _polarization_pm(1), needs_pixel_size=True
            ),
        ),
    ),
    SiteField(
        "lattice_position",
        "Position of the column in the ideal, undistorted lattice of the image, px; "
        "NaN where the column has no position in it.",
        unit="px",
        shape=(2,),
        columns=(),
        is_geometric=True,
    ),
    SiteField(
        "lattice_vectors",
        "The two lattice vectors a and b around the column in the rows, ``(row, "
        "col)`` in px, measured from its neighbours of the same sublattice; NaN "
        "without enough of them. Of the shortest vectors of the crystal, a is the "
        "nearest to +col, and b is rotated from a towards +row.",
        unit="px",
        shape=(2, 2),
        columns=("lattice_a_row", "lattice_a_col", "lattice_b_row", "lattice_b_col"),
        is_geometric=True,
        derived=(
            DerivedColumn("unit_cell_area", "px^2", lambda sites: sites.unit_cell_area),
            DerivedColumn(
                "lattice_rotation", "rad", lambda sites: sites.lattice_rotation
            ),
            DerivedColumn(
                "unit_cell_area_nm2",
                "nm^2",
                lambda sites: sites.unit_cell_area * sites.pixel_size_per_site() ** 2,
                needs_pixel_size=True,
            ),
        ),
    ),
)


# Units of features of PolarizationVector, LatticeStrain and the table of domains.
FEATURE_UNITS = {
    "displacement_row_px": "px",
    "displacement_col_px": "px",
    "displacement_row_pm": "pm",
    "displacement_col_pm": "pm",
    "polarization_row_uC_cm2": "uC/cm^2",
    "polarization_col_uC_cm2": "uC/cm^2",
    "displacement_px": "px",
    "displacement_pm": "pm",
    "displacement_angle": "rad",
    "polarization_uC_cm2": "uC/cm^2",
    "polarization_angle": "rad",
    "vector_angle_deg": "deg",
    "strain_xy": "rad",
    "rotation": "rad",
    "cell_area": "px^2",
}


def unit_of(name, fields=SITE_FIELDS):
    """Return the unit of a field, a table's column or a feature, "" if unknown.

    Parameters
    ----------
    name : str
        Name of the field, column or feature.
    fields : tuple of SiteField, default=SITE_FIELDS
        The schema.

    Returns
    -------
    unit : str
        The unit; "image" for the unit of the image's values.
    """
    units = POSE_UNITS | FEATURE_UNITS
    for item in fields:
        units[item.name] = item.unit
        units |= dict.fromkeys(item.columns, item.unit)
        units |= {derived.name: derived.unit for derived in item.derived}
    return units.get(name, "")


def signature_of(fields):
    """Return the signature of the constructor of AtomSites with some fields."""
    names = ["images", "positions"]
    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    names = [item.name for item in fields if item.name != "positions"]
    parameters += [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None)
        for name in ["pixel_size", "metadata", *names]
    ]
    return Signature(parameters)


# Docstrings are without indentation, as Python 3.13 stores them.
def describe_fields(docstring, fields):
    """Return the docstring of AtomSites with entries for the fields."""
    (required,) = (item for item in fields if item.name == "positions")
    optional = [item for item in fields if item.name != "positions"]
    entries = [item.parameter_entry() for item in optional]
    docstring = f"{cleandoc(docstring)}\n".replace(
        "{positions}", required.parameter_entry(is_optional=False)
    )
    return docstring.replace("{fields}", "\n\n".join(entries))


def describe_columns(docstring, fields):
    """Return the docstring of the table with its columns and their units."""
    parts = []
    for item in fields:
        columns = [(name, item.unit, "") for name in item.columns]
        for derived in item.derived:
            needs = ", with a pixel size" if derived.needs_pixel_size else ""
            columns.append((derived.name, derived.unit, needs))
        for name, unit, needs in columns:
            note = f"{unit}{needs}".strip(", ")
            parts.append(f"``{name}`` ({note})" if note else f"``{name}``")
    text = textwrap.fill(
        f"Columns {', '.join(parts)}.",
        width=88,
        initial_indent=" " * 4,
        subsequent_indent=" " * 4,
        break_on_hyphens=False,
    )
    return f"{cleandoc(docstring)}\n".replace("    {columns}", text)
