"""Units of the columns of a table of sites."""

UNITS = {
    "positions": "px",
    "row": "px",
    "col": "px",
    "x_nm": "nm",
    "y_nm": "nm",
    "row_std": "px",
    "col_std": "px",
    "position_std": "px",
    "amplitude": "image",
    "background": "image",
    "sigma": "px",
    "ellipse_rotation": "rad",
    "polarization": "px",
    "polarization_row": "px",
    "polarization_col": "px",
    "polarization_magnitude": "px",
    "polarization_angle_deg": "deg",
    "polarization_row_pm": "pm",
    "polarization_col_pm": "pm",
    "lattice_position": "px",
    "lattice_vectors": "px",
    "lattice_a_row": "px",
    "lattice_a_col": "px",
    "lattice_b_row": "px",
    "lattice_b_col": "px",
    "unit_cell_area": "px^2",
    "unit_cell_area_nm2": "nm^2",
    "lattice_rotation": "rad",
    # of PolarizationVector, LatticeStrain and the table of domains
    "displacement_row_px": "px",
    "displacement_col_px": "px",
    "displacement_row_pm": "pm",
    "displacement_col_pm": "pm",
    "polarization_row_uC_cm2": "uC/cm^2",
    "polarization_col_uC_cm2": "uC/cm^2",
    "strain_xy": "rad",
    "rotation": "rad",
    "cell_area": "px^2",
    # of RotationalVAE
    "angle": "rad",
    "angle_std": "rad",
    "offset_row": "px",
    "offset_col": "px",
}


def unit_of(name):
    """Give the unit of a column, "" where it has none or it is unknown.

    Parameters
    ----------
    name : str
        The column.

    Returns
    -------
    unit : str
        The unit; "image" for that of the image's values.
    """
    return UNITS.get(name, "")
