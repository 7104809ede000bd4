"""Polarization in microcoulomb per square centimetre from displacements."""

from collections.abc import Mapping
from numbers import Real
from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import validate_params

from .._utils.validation import Interval

# Elementary charge over square nanometre, in microcoulomb per square centimetre.
_UC_CM2_PER_E_NM2 = 16.02176634


class _Material(NamedTuple):
    charge_a: float
    charge_b: float
    charge_o1: float
    charge_o2: float
    ratio_o1: float
    ratio_o2: float
    cell_volume_nm3: float
    reference: str
    # The brighter columns are sublattice 0: A in all of these but KNbO3.
    b_sublattice: int = 1


_CUBIC = (
    "charges of the cubic phase: W. Zhong, R. D. King-Smith and D. Vanderbilt, Phys. "
    "Rev. Lett. 72, 3618 (1994); "
)
_MATERIALS = {
    "BaTiO3": _Material(
        2.75,
        7.16,
        -5.69,
        -2.11,
        -1.08,
        -0.49,
        0.0643,
        _CUBIC
        + "structure at 300 K: G. H. Kwei et al., J. Phys. Chem. 97, 2368 (1993)",
    ),
    "PbTiO3": _Material(
        3.90,
        7.06,
        -5.83,
        -2.56,
        2.92,
        3.00,
        0.0633,
        _CUBIC
        + "structure at 295 K: A. M. Glazer and S. A. Mabud, Acta Cryst. B 34, 1065 "
        "(1978)",
    ),
    "KNbO3": _Material(
        1.14,
        9.23,
        -7.01,
        -1.68,
        -1.22,
        -1.33,
        0.0649,
        _CUBIC + "tetragonal structure: A. W. Hewat, J. Phys. C 6, 2559 (1973)",
        b_sublattice=0,
    ),
    "BiFeO3": _Material(
        4.37,
        3.49,
        -2.62,
        -2.62,
        1.59,
        1.59,
        0.0624,
        "charges of the R3c phase: J. B. Neaton et al., Phys. Rev. B 71, 014113 (2005);"
        " structure at 294 K: F. Kubel and H. Schmid, Acta Cryst. B 46, 698 (1990)",
    ),
    "PbZrO3": _Material(
        3.92,
        5.85,
        -4.81,
        -2.48,
        1.0,
        1.0,
        0.0710,
        _CUBIC
        + "Pb moves against a rigid framework of Zr and O; volume: S. Teslic and "
        "T. Egami, Acta Cryst. B 54, 750 (1998)",
    ),
    "SrTiO3": _Material(
        2.54,
        7.12,
        -5.66,
        -2.00,
        -1.0,
        -1.0,
        0.0596,
        _CUBIC + "Ti moves against rigid O at its centre of mass with Sr at rest "
        "(Slater mode): J. D. Axe, Phys. Rev. 157, 429 (1967)",
    ),
}
_KEYS = _Material._fields[:-2]


def born_charges(material):
    """Return Born effective charges and displacement ratios of a perovskite.

    Parameters
    ----------
    material : {"BaTiO3", "PbTiO3", "KNbO3", "BiFeO3", "PbZrO3", "SrTiO3"} or mapping
        A preset, or a mapping with the keys below; `charge_a`, `reference` and
        `b_sublattice` may be left out.

    Returns
    -------
    charges : :class:`~sklearn.utils.Bunch`
        Dictionary-like object:

        charge_a, charge_b, charge_o1, charge_o2 : float
            Born effective charges of A, B, the O on the B-O chain along the
            displacement, and each of the two other O, in elementary charges.
        ratio_o1, ratio_o2 : float
            Displacement of these O against A, over that of B against A.
        cell_volume_nm3 : float
            Volume of the cell of one formula unit, nm³.
        charge_per_displacement : float
            Dipole of a cell per displacement of B relative to A, elementary charges:
            charge_b + charge_o1 ratio_o1 + 2 charge_o2 ratio_o2. It is negative where
            the polarization is opposite to the displacement.
        reference : str
            Where the numbers are from.
        b_sublattice : int
            Sublattice of the B columns in an image whose brighter columns are
            sublattice 0: 1, and 0 in KNbO3.

    Raises
    ------
    TypeError, ValueError
        If there is no such preset, or the mapping is not complete.

    See Also
    --------
    displacement_to_polarization : Uses them.

    Notes
    -----
    ========  =====  =====  ======  ======  ========  ========  ============
    material    A      B      O1      O2    ratio O1  ratio O2  charge/disp.
    ========  =====  =====  ======  ======  ========  ========  ============
    BaTiO3     2.75   7.16   −5.69   −2.11     −1.08     −0.49         15.37
    PbTiO3     3.90   7.06   −5.83   −2.56      2.92      3.00        −25.32
    KNbO3      1.14   9.23   −7.01   −1.68     −1.22     −1.33         22.25
    BiFeO3     4.37   3.49   −2.62   −2.62      1.59      1.59         −9.01
    PbZrO3     3.92   5.85   −4.81   −2.48      1.00      1.00         −3.92
    SrTiO3     2.54   7.12   −5.66   −2.00     −1.00     −1.00         16.78
    ========  =====  =====  ======  ======  ========  ========  ============

    The charges of the cubic phases are from [1]_, those of BiFeO3 (R3c, isotropic mean)
    from [2]_. The ratios follow from the measured structures of BaTiO3 [3]_, PbTiO3
    [4]_, tetragonal KNbO3 [5]_ and BiFeO3 [6]_. They are assumptions for PbZrO3 (Pb
    moves against a rigid framework of Zr and O) and SrTiO3 (Slater mode [7]_).

    References
    ----------
    .. [1] W. Zhong, R. D. King-Smith and D. Vanderbilt, Phys. Rev. Lett. 72, 3618
       (1994).
    .. [2] J. B. Neaton, C. Ederer, U. V. Waghmare, N. A. Spaldin and K. M. Rabe, Phys.
       Rev. B 71, 014113 (2005).
    .. [3] G. H. Kwei, A. C. Lawson, S. J. L. Billinge and S.-W. Cheong, J. Phys. Chem.
       97, 2368 (1993).
    .. [4] A. M. Glazer and S. A. Mabud, Acta Cryst. B 34, 1065 (1978).
    .. [5] A. W. Hewat, J. Phys. C: Solid State Phys. 6, 2559 (1973).
    .. [6] F. Kubel and H. Schmid, Acta Cryst. B 46, 698 (1990).
    .. [7] J. D. Axe, Phys. Rev. 157, 429 (1967).

    Examples
    --------
    >>> from sklearn_ferroic.feature_extraction import born_charges
    >>> round(born_charges("BiFeO3").charge_per_displacement, 2)
    -9.01
    """
    if isinstance(material, str):
        if material not in _MATERIALS:
            raise ValueError(
                f"There is no preset {material!r}, only {sorted(_MATERIALS)}. Pass a "
                f"mapping with {', '.join(_KEYS)} for another material."
            )
        charges = Bunch(**_MATERIALS[material]._asdict())
    elif isinstance(material, Mapping):
        charges = _from_mapping(material)
    else:
        raise TypeError(
            "material must be the name of a preset or a mapping, got "
            f"{type(material).__name__}."
        )
    charges.charge_per_displacement = (
        charges.charge_b
        + charges.charge_o1 * charges.ratio_o1
        + 2 * charges.charge_o2 * charges.ratio_o2
    )
    return charges


@validate_params(
    {
        "displacement_pm": ["array-like"],
        "material": [str, Mapping],
        "cell_volume_nm3": [Interval(Real, 0, 1, closed="neither"), None],
        "column_factor": [Interval(Real, 0, None, closed="neither")],
    },
    prefer_skip_nested_validation=True,
)
def displacement_to_polarization(
    displacement_pm, material, *, cell_volume_nm3=None, column_factor=1.0
):
    """Convert displacements of B relative to A columns to polarization.

    Parameters
    ----------
    displacement_pm : array-like of shape (n,) or (n, 2)
        Displacement of the B column from the centroid of its A columns, pm.
    material : str or mapping
        As in :func:`born_charges`.
    cell_volume_nm3 : float, default=None
        Volume of the cell of one formula unit, nm³, below 1; that of the material by
        default.
    column_factor : float, default=1.0
        Displacement that a fit of the image measures, over that of the cation B. O in
        the same column displaces its maximum, too: simulated images have 1.1 to 1.3 in
        PbTiO3, 0.6 in BaTiO3 and 0.9 in BiFeO3, depending on thickness.

    Returns
    -------
    polarization : ndarray, shape of `displacement_pm`
        Polarization, µC/cm², opposite to the displacement where the charge per
        displacement of the material is negative, as in PbTiO3 and BiFeO3.

    Raises
    ------
    TypeError, ValueError
        If there is no such material, or the mapping is not complete.

    See Also
    --------
    born_charges : Charges and displacement ratios, with their sources.
    PolarizationVector : Does this with ``unit="uC/cm2"``.

    Notes
    -----
    The polarization of a cell of volume V against the centrosymmetric structure is

        P = (e / V) Σ Z*ᵢ uᵢ,

    with the Born effective charges Z* and the displacements u of all ions, to first
    order. The charges of a cell sum to zero, so that displacements may be counted
    from A. HAADF images do not show O: its displacement is assumed to be in a fixed
    ratio to that of B, so that P = (e / V) q u with the charge per displacement
    q = Z_B + Z_O1 r_O1 + 2 Z_O2 r_O2.

    What can go wrong:

    * The ratios are those of one bulk structure. In films, at walls and interfaces, at
      other temperatures and compositions they differ; the sign of P follows from them.
    * Charges of the cubic phase decrease with the displacement. With these numbers the
      spontaneous polarization comes out as 33 µC/cm² in BaTiO3, 104 in PbTiO3 and 40
      in KNbO3 (measured: 26, 75 and 30 to 40), and 92 in BiFeO3, whose charges are
      those of the ferroelectric phase (measured: 90 to 100).
    * It is the projection of P along the beam, the mean over the column.
    * Mistilt displaces A relative to B without any polarization: remove a reference.

    Examples
    --------
    >>> from sklearn_ferroic.feature_extraction import displacement_to_polarization
    >>> displacement_to_polarization([8.7], "BaTiO3").round(0)
    array([33.])
    """
    charges = born_charges(material)
    volume = charges.cell_volume_nm3 if cell_volume_nm3 is None else cell_volume_nm3
    factor = _UC_CM2_PER_E_NM2 * charges.charge_per_displacement / volume
    displacement = np.asarray(displacement_pm, dtype=np.float64)
    return displacement * (1e-3 / column_factor * factor)


def _from_mapping(material):
    """Return the charges of a mapping."""
    # What this module returns can be changed and given back.
    charges = {k: v for k, v in material.items() if k != "charge_per_displacement"}
    charges.setdefault("charge_a", np.nan)
    charges.setdefault("reference", "given by the user")
    charges.setdefault("b_sublattice", 1)
    missing = [key for key in _KEYS if key not in charges]
    unknown = sorted(set(charges) - set(_Material._fields))
    if missing or unknown:
        raise ValueError(
            f"A material needs the keys {', '.join(_KEYS)}; missing are {missing}, "
            f"unknown {unknown}."
        )
    for key in _KEYS:
        value = charges[key]
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TypeError(f"{key} must be a number, got {value!r}.")
    if charges["b_sublattice"] not in (0, 1):
        raise ValueError(
            f"b_sublattice must be 0 or 1, got {charges['b_sublattice']!r}."
        )
    if not 0 < charges["cell_volume_nm3"] < 1:
        raise ValueError(
            "cell_volume_nm3 must be the volume of one formula unit, between 0 and 1 "
            f"nm³ (1000 Å³), got {charges['cell_volume_nm3']!r}."
        )
    return Bunch(**{key: charges[key] for key in _Material._fields})
