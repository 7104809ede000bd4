"""Limits of colour scales: given, or percentiles of the values."""

import numpy as np


def color_limits(values, *, vmin=None, vmax=None, percentiles=(0, 100), center=None):
    """Return the values at the ends of a colour scale.

    Parameters
    ----------
    values : ndarray
        The values; NaN is left out.
    vmin, vmax : float, default=None
        Limits that are given.
    percentiles : tuple of float (low, high), default=(0, 100)
        Percentiles of the values that are the limits not given.
    center : float, default=None
        Value in the middle of the scale, if both limits are free.

    Returns
    -------
    low, high : float
        The limits; they differ.
    """
    percentiles = check_percentiles(percentiles)
    for name, limit in (("vmin", vmin), ("vmax", vmax)):
        if limit is not None and not np.isfinite(limit):
            raise ValueError(f"{name} must be finite, got {limit!r}.")
    if vmin is not None and vmax is not None and not vmin < vmax:
        raise ValueError(f"vmin must be less than vmax, got {vmin!r} and {vmax!r}.")
    known = values[np.isfinite(values)]
    if known.size == 0:
        low, high = 0.0, 1.0
    else:
        low, high = np.percentile(known, percentiles)
    if center is not None and vmin is None and vmax is None:
        reach = max(abs(low - center), abs(high - center))
        low, high = center - reach, center + reach
    elif center is not None:
        # One limit is given: the other is as far from the centre.
        low = 2 * center - vmax if vmin is None else vmin
        high = 2 * center - vmin if vmax is None else vmax
    low = low if vmin is None else vmin
    high = high if vmax is None else vmax
    if not low < high:
        half = 0.5 * (abs(low) or 1.0)
        low, high = (low, low + half) if vmin is not None else (high - half, high)
        if vmin is None and vmax is None:
            high = low + 2 * half
    return float(low), float(high)


def check_percentiles(percentiles):
    """Return two percentiles in order."""
    values = tuple(percentiles)
    if len(values) != 2 or not 0 <= values[0] < values[1] <= 100:
        raise ValueError(
            "percentiles must be two numbers (low, high) in order between 0 and 100, "
            f"got {percentiles!r}."
        )
    return values
