"""Colours of directions and classes, and limits of colour scales."""

import numpy as np

from ..._utils.angles import wrap_angle
from ..._utils.optional import import_optional

# A grey as light as the cyclic map is on average (CIE L* 59).
NEUTRAL_RGB = (0.56, 0.56, 0.56)
# M. Okabe and K. Ito, "Color Universal Design", without black. The first four differ by
# at least 11 in CIE L*, so that they are also distinct in greyscale.
_OKABE_ITO = [
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#F0E442",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
]
# P. Tol, "Colour Schemes", muted, for eight or nine classes.
_TOL_MUTED = [
    "#332288",
    "#DDCC77",
    "#117733",
    "#88CCEE",
    "#882255",
    "#44AA99",
    "#999933",
    "#CC6677",
    "#AA4499",
]
# Opacity of a bin with one sample among bins with many.
_PALEST_OPACITY = 0.25
# Bins that contain as many samples as this percentile of them are opaque.
_MANY_PERCENTILE = 90


def angle_colors(angle, saturation=None):
    """Return colours of directions from a cyclic, perceptually uniform map.

    The map is romaO [1]_, which is suited to colour-blind readers.

    Parameters
    ----------
    angle : array-like of shape (n,)
        Angles in radians; NaN has no direction and is neutral grey.
    saturation : array-like of shape (n,), default=None
        From 0, neutral grey, to 1, full colour; NaN counts as 0. All 1 if None.

    Returns
    -------
    colors : ndarray of shape (n, 3)
        RGB in [0, 1].

    References
    ----------
    .. [1] F. Crameri, "Scientific colour maps", Zenodo, 2018.
    """
    cyclic = import_optional("cmcrameri.cm", "plot").romaO
    angle = np.asarray(angle, dtype=np.float64)
    share = np.isfinite(angle).astype(np.float64)
    if saturation is not None:
        share *= np.clip(np.nan_to_num(saturation), 0, 1)
    phase = wrap_angle(np.where(np.isfinite(angle), angle, 0)) / (2 * np.pi) + 0.5
    full = cyclic(phase)[..., :3]
    return share[..., None] * full + (1 - share[..., None]) * np.array(NEUTRAL_RGB)


def class_colors(classes):
    """Return a colour per class, neutral grey for -1 and "", which are not a class.

    Parameters
    ----------
    classes : sequence of length n_classes
        The classes, each once.

    Returns
    -------
    colors : ndarray of shape (n_classes, 3)
        RGB in [0, 1].
    """
    to_rgb = import_optional("matplotlib.colors", "plot").to_rgb
    n_classes = sum(not _is_no_class(label) for label in np.asarray(classes).tolist())
    if n_classes <= len(_OKABE_ITO):
        colors = [to_rgb(name) for name in _OKABE_ITO]
    elif n_classes <= len(_TOL_MUTED):
        colors = [to_rgb(name) for name in _TOL_MUTED]
    else:
        colors = import_optional("cmcrameri.cm", "plot").batlowS.colors
    given = iter(range(len(classes)))
    chosen = [
        NEUTRAL_RGB if _is_no_class(label) else colors[next(given) % len(colors)]
        for label in np.asarray(classes).tolist()
    ]
    return np.array(chosen, dtype=np.float64).reshape(-1, 3)


def _is_no_class(label):
    """Return whether a label is that of samples without a class."""
    return label in (-1, "")


def get_colormap(cmap):
    """Return a colormap with neutral grey for unknown values.

    Parameters
    ----------
    cmap : str or matplotlib Colormap
        The colormap.

    Returns
    -------
    cmap : matplotlib Colormap
        A copy, grey where values are masked or NaN.
    """
    colormaps = import_optional("matplotlib", "plot").colormaps
    return colormaps.get_cmap(cmap).with_extremes(bad=NEUTRAL_RGB)


def clip_to_unit(values, percentiles):
    """Map values linearly to [0, 1] between two of their percentiles.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Values, NaN where unknown.
    percentiles : tuple of float (low, high)
        Percentiles that become 0 and 1.

    Returns
    -------
    share : ndarray of shape (n,)
        In [0, 1], NaN where `values` is; 1 where the values do not differ.
    limits : tuple of float (low, high)
        The values that became 0 and 1.
    """
    known = values[np.isfinite(values)]
    if known.size == 0:
        return np.full(values.shape, np.nan), (np.nan, np.nan)
    low, high = np.percentile(known, percentiles)
    if high <= low:
        return np.where(np.isfinite(values), 1.0, np.nan), (low, high)
    return np.clip((values - low) / (high - low), 0, 1), (low, high)


def bin_colors(counts, bin_of, values, classes=None):
    """Return the colours of bins by their mean direction or most frequent class.

    Parameters
    ----------
    counts : ndarray of shape (n_y, n_x)
        Samples in each bin.
    bin_of : ndarray of int of shape (2, n_samples)
        Row and column of the bin of each sample.
    values : ndarray of shape (n_samples,)
        Angles in radians, NaN where there is none, or labels.
    classes : ndarray of shape (n_classes,), default=None
        The sorted classes; None if `values` are angles.

    Returns
    -------
    colors : ndarray of shape (n_y, n_x, 4)
        RGBA; empty bins are transparent and those with few samples pale.
    """
    if classes is None:
        vectors = np.nan_to_num(np.exp(1j * values))
        total = _sum_by_bin(counts.shape, bin_of, vectors)
        length = np.abs(total) / np.maximum(counts, 1)
        rgb = angle_colors(np.angle(total), length)
    else:
        votes = [_sum_by_bin(counts.shape, bin_of, values == c) for c in classes]
        rgb = class_colors(classes)[np.argmax(votes, axis=0)]
    many = np.percentile(counts[counts > 0], _MANY_PERCENTILE)
    share = np.minimum(np.sqrt(counts / many), 1)
    opacity = np.where(counts > 0, _PALEST_OPACITY + (1 - _PALEST_OPACITY) * share, 0)
    return np.concatenate([rgb, opacity[..., None]], axis=-1)


def _sum_by_bin(shape, bin_of, values):
    total = np.zeros(shape, dtype=np.result_type(values, np.float64))
    np.add.at(total, tuple(bin_of), values)
    return total


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
