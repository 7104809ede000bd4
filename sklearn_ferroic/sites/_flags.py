"""Quality flags of sites as bits and as text."""

from enum import IntFlag

import numpy as np


class SiteFlag(IntFlag):
    """Quality flags of a site, the bits of :attr:`AtomSites.flags`.

    Several bits may be set at a time; 0 means that no problem was found.

    Attributes
    ----------
    MERGED : 1
        Two columns were fitted as one: the site lies between two empty lattice
        places, or its column is wider (or longer) and has more intensity than those
        of its own sublattice around it.
    HOLE : 2
        The site is a neighbour of a lattice place without a column: a column
        missed or a vacancy. Its polarization and strain lack that neighbour.
    UNCONVERGED : 4
        The fit cannot be trusted, `converged` is False.
    LOW_SIGNIFICANCE : 8
        The amplitude is less than 3 of its standard errors (`significance`).
    LABEL_DOUBTFUL : 16
        The sublattice label is uncertain.
    EDGE : 32
        The border of the image or of a masked region cuts the column.
    SHORT_PAIR : 64
        Another site is closer than 0.55 of the usual distance of nearest neighbours
        there: one of the two may be a duplicate or noise.
    UNASSIGNED : 128
        The site is at none of the motif's columns (:class:`MotifAssigner`).
    SHELL_MISSING : 256
        The displacement is NaN because the coordination shell lacks a neighbour: at the
        border, next to a vacancy or to a column that was not found.
    SHELL_DISTORTED : 512
        The displacement is NaN although neighbours are there: they do not surround the
        site or are not distinct from the next ones, as in the core of a dislocation.

    See Also
    --------
    AtomSites.has_flag : Selects sites by the names of their flags.
    AtomSites.quality : Summarises the quality of the sites.

    Examples
    --------
    >>> from sklearn_ferroic import SiteFlag
    >>> SiteFlag.MERGED | SiteFlag.HOLE
    <SiteFlag.MERGED|HOLE: 3>
    """

    MERGED = 1
    HOLE = 2
    UNCONVERGED = 4
    LOW_SIGNIFICANCE = 8
    LABEL_DOUBTFUL = 16
    EDGE = 32
    SHORT_PAIR = 64
    UNASSIGNED = 128
    SHELL_MISSING = 256
    SHELL_DISTORTED = 512


# Attributes of the dataset of flags in a file, after the Climate and Forecast
# conventions of NetCDF.
FLAG_ATTRIBUTES = {
    "flag_masks": [int(flag) for flag in SiteFlag],
    "flag_meanings": " ".join(flag.name.lower() for flag in SiteFlag),
}
# Text of a site without flags; pandas would read an empty text as NaN.
NO_FLAG = "ok"
# Text before the number of bits that have no name.
_UNNAMED = "bits "


def as_flag(name):
    """Return the bits of a flag from a name, several names or a number.

    Parameters
    ----------
    name : str, int, SiteFlag or sequence of these
        Names in any case, also several joined by ``|``.

    Returns
    -------
    flag : SiteFlag
        The bits of all of them.
    """
    if isinstance(name, str):
        bits = SiteFlag(0)
        for part in name.split("|"):
            try:
                bits |= SiteFlag[part.strip().upper()]
            except KeyError:
                known = ", ".join(repr(flag.name.lower()) for flag in SiteFlag)
                raise ValueError(
                    f"There is no flag {part.strip()!r}. The flags are {known}."
                ) from None
        return bits
    if isinstance(name, int | np.integer) and not isinstance(name, bool | np.bool_):
        if not 0 < name < 2 * max(SiteFlag):
            raise ValueError(
                f"A flag is a bit of SiteFlag, between 1 and {2 * max(SiteFlag) - 1} "
                f"with others, got {name!r}."
            )
        return SiteFlag(int(name))
    if isinstance(name, list | tuple | set) and name:
        bits = SiteFlag(0)
        for part in name:
            bits |= as_flag(part)
        return bits
    raise TypeError(
        'A flag is a name such as "merged", a SiteFlag or a list of these, got '
        f"{name!r}."
    )


def flags_as_text(flags):
    """Return flags as text, as ``"merged|hole"``.

    Parameters
    ----------
    flags : ndarray of int of shape (n_sites,)
        The bits.

    Returns
    -------
    text : ndarray of str of shape (n_sites,)
        Names in lower case, ``"ok"`` where no bit is set.
    """
    distinct, place = np.unique(flags, return_inverse=True)
    names = [_names(value) for value in distinct.tolist()]
    return np.array(names, dtype=object)[place] if names else np.empty(0, dtype=object)


def flags_from_text(texts):
    """Return the bits of flags that are written as text.

    Parameters
    ----------
    texts : iterable of str
        As `flags_as_text` writes them; empty text is no flag.

    Returns
    -------
    flags : ndarray of uint16 of shape (n_sites,)
        The bits.
    """
    bits = {NO_FLAG: 0, "": 0} | {flag.name.lower(): int(flag) for flag in SiteFlag}
    values = {}
    for text in dict.fromkeys(texts):
        parts = text.split("|")
        # Bits without a name are written by their number.
        bits |= {
            part: int(part.removeprefix(_UNNAMED))
            for part in parts
            if part.startswith(_UNNAMED) and part.removeprefix(_UNNAMED).isdecimal()
        }
        unknown = [part for part in parts if part not in bits]
        if unknown:
            raise ValueError(f"There are no flags {unknown}, only {sorted(bits)}.")
        values[text] = sum(bits[part] for part in parts)
    return np.array([values[text] for text in texts], dtype=np.uint16)


def _names(value):
    """Return the names of one value's bits, bits without a name by their number."""
    names = [flag.name.lower() for flag in SiteFlag if value & flag]
    rest = value & ~int(sum(SiteFlag))
    return "|".join(names + ([f"{_UNNAMED}{rest}"] if rest else [])) or NO_FLAG
