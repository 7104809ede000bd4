"""Distances of nearest columns that images and crystals can have."""

# Columns of smaller spacing, px, are barely sampled: on generated images, errors are up
# to 1.5 times the standard errors that are returned, and noise may look like columns.
FINE_SPACING_PX = 5.0
# Below this spacing, px, columns are missed as well.
COARSEST_SPACING_PX = 3.0
# Columns of a smaller sigma, px, are undersampled: midway between pixels, one of
# 0.5 px is four nearly equal pixels, which determine neither its width nor, to
# better than a tenth of a pixel, its position.
NARROWEST_SIGMA_PX = 0.55
# Distances of nearest columns of crystals seen along a zone axis, nm.
PLAUSIBLE_SPACING_NM = (0.1, 0.6)
# Units of a pixel size that may be taken for nm, by their length in nm.
_UNITS_NM = {"m": 1e9, "mm": 1e6, "µm": 1e3, "Å": 0.1, "pm": 1e-3}


def describe_implausible_pixel_size(spacing, size):
    """Describe a pixel size that no crystal has, and its likely unit.

    Parameters
    ----------
    spacing : float
        Distance of nearest columns, px.
    size : float or None
        Pixel size, nm; None if unknown.

    Returns
    -------
    text : str
        Sentences; empty if the size is plausible or unknown.
    """
    low, high = PLAUSIBLE_SPACING_NM
    if size is None or not spacing > 0 or low <= spacing * size <= high:
        return ""
    units = [
        unit
        for unit, length_nm in _UNITS_NM.items()
        if low <= spacing * size * length_nm <= high
    ]
    guess = f" It seems to be in {units[0]}, not in nm." if units else ""
    return (
        f"with {size:.4g} nm per pixel, nearest columns are {spacing * size:.3g} nm "
        f"apart, and those of crystals {low} to {high} nm.{guess}"
    )
