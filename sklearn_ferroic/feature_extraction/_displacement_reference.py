"""Displacement common to many cells, as mistilt causes it: mean, plane or by layer."""

from typing import NamedTuple

import numpy as np

from .._utils.mean_vectors import Place, cell_size, neighbor_factor, pool_vectors
from .._utils.validation import as_labels

# Parameters of a plane, and fewest vectors for one.
_MIN_PLANE_VECTORS = 6
# A site belongs to a layer within this share of the distance of layers, and layers up
# to this many distances apart follow one another.
_LAYER_REACH_SHARE = 0.6
_ADJACENT_LAYERS_RATIO = 1.5


class FitCovariance(NamedTuple):
    """Covariance of a fitted reference: that of its parameters times that of a vector.

    `parameters` has shape (k, k) for k parameters per component, in units of the
    covariance of a single `vector`, of shape (2, 2), px².
    """

    parameters: np.ndarray
    vector: np.ndarray


def fit_reference(sites, vectors, kind, labels=None):
    """Fit the common displacement of the sites of each image.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites of the reference.
    vectors : ndarray of shape (n_sites, 2)
        Displacements, NaN where unknown.
    kind : {"mean", "plane", "layer"}
        What is fitted.
    labels : array-like of shape (n_sites,), default=None
        Variant of each site, -1 or NaN for none: their means are fitted, too.

    Returns
    -------
    reference : dict of int to ndarray
        By image: the mean, shape (1, 2); constant and slopes along row and col of a
        plane, shape (3, 2); or for each layer its coordinate and its mean, shape
        (n_layers, 3), after a first row with the normal and the distance of the layers.
    error : dict of int to FitCovariance
        By image; for layers with one parameter each.
    """
    known = np.isfinite(vectors).all(axis=1) & sites.converged
    if labels is not None:
        labels = _check_labels(labels, len(sites), kind)
    reference, error = {}, {}
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(known & (sites.frame == frame))
        n_needed = _MIN_PLANE_VECTORS if kind == "plane" else 1
        if len(rows) < n_needed:
            raise ValueError(
                f'reference="{kind}" needs displacements of {n_needed} sites or more '
                f"on each image, and there are {len(rows)} on image {frame}."
            )
        own = vectors[rows]
        if kind == "layer":
            fitted, parameters, residual, n_fitted = _fit_layers(sites, rows, own)
        else:
            variants = np.zeros(len(rows), int) if labels is None else labels[rows]
            fitted, parameters, residual, n_fitted = _fit_with_variants(
                sites.positions[rows], own, variants, kind
            )
        reference[int(frame)] = fitted
        error[int(frame)] = _fit_covariance(sites, rows, residual, parameters, n_fitted)
    return reference, error


def reference_covariance(sites, reference, error, kind, scale):
    """Return the covariance of the reference in the mean over sites.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites that are averaged.
    reference, error : dict
        Results of `fit_reference`.
    kind : {"mean", "plane", "layer"}
        What was fitted.
    scale : ndarray of shape (n_sites,)
        Length of one px in the unit of the covariance, the same for all sites of an
        image.

    Returns
    -------
    covariance : ndarray of shape (2, 2)
        NaN if the reference has too few sites for an error.
    """
    weights = {}
    frames = np.unique(sites.frame)
    _check_images(frames, reference)
    for frame in frames:
        key = next(iter(reference)) if len(reference) == 1 else int(frame)
        rows = sites.frame == frame
        place = sites.positions[rows]
        if kind == "mean":
            total = np.array([float(len(place))])
        elif kind == "plane":
            total = np.concatenate([[len(place)], place.sum(axis=0)])
        else:
            total = _layer_weights(place, reference[key])
        total = total * scale[rows].mean() / len(sites)
        weights[key] = weights.get(key, 0) + total
    covariance = np.zeros((2, 2))
    for key, weight in weights.items():
        parameters, vector = error[key]
        covariance += weight @ parameters @ weight * vector
    return covariance


def _fit_covariance(sites, rows, residual, parameters, n_fitted):
    """Return the covariance of a fit, with the correlation of neighbours and blocks."""
    n = len(rows)
    if n <= n_fitted:
        return FitCovariance(parameters, np.full((2, 2), np.nan))
    own = sites[rows]
    place = Place(own.positions, own.frame, cell_size(own))
    group, kept = np.zeros(n, dtype=int), np.ones(n, dtype=bool)
    factor = neighbor_factor(residual, group, kept, place)
    pooled = pool_vectors(residual, own.position_std, place, factor=factor)
    # `pool_vectors` counts one fitted parameter.
    vector = n * (n - 1) / (n - n_fitted) * pooled.covariance
    return FitCovariance(parameters, vector)


def subtract_reference(sites, vectors, reference, kind):
    """Return the displacements minus the common one.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites.
    vectors : ndarray of shape (n_sites, 2)
        Their displacements.
    reference : dict of int to ndarray
        Result of `fit_reference`. That of a single image is used for all.
    kind : {"mean", "plane", "layer"}
        What was fitted.

    Returns
    -------
    vectors : ndarray of shape (n_sites, 2)
        The differences.
    """
    frames = np.unique(sites.frame)
    only = next(iter(reference.values())) if len(reference) == 1 else None
    _check_images(frames, reference)
    common = np.empty_like(vectors)
    for frame in frames:
        rows = sites.frame == frame
        fitted = only if only is not None else reference[int(frame)]
        place = sites.positions[rows]
        if kind == "mean":
            common[rows] = fitted
        elif kind == "plane":
            # Not a matrix product, whose rounding depends on the number of sites.
            row, col = place.T[:, :, None]
            common[rows] = fitted[0] + row * fitted[1] + col * fitted[2]
        else:
            common[rows] = _at_layers(_layer_coordinate(place, fitted), fitted)
    return vectors - common


def _check_images(frames, reference):
    """Check that there is a reference for each image."""
    if len(reference) > 1 and not set(frames.tolist()) <= set(reference):
        raise ValueError(
            f"The reference was fitted to the images {sorted(reference)}, and the "
            f"sites lie on {frames.tolist()}. Fit it to sites of all images, or of one."
        )


def _layer_coordinate(place, fitted):
    """Return the coordinate of positions along the normal of the layers, px."""
    return place[:, 0] * fitted[0, 0] + place[:, 1] * fitted[0, 1]


def _bracket(coordinate, fitted):
    """Return the layers before and after coordinates, the share of the latter.

    The share is linear between neighbouring layers, and 0 or 1, for the nearest, next
    to a layer without sites; NaN away from all layers.
    """
    layers, thickness = fitted[1:, 0], fitted[0, 2]
    after = np.searchsorted(layers, coordinate)
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(layers) - 1)
    below = np.abs(coordinate - layers[before])
    above = np.abs(layers[after] - coordinate)
    adjacent = layers[after] - layers[before] < _ADJACENT_LAYERS_RATIO * thickness
    gap = np.where(after > before, layers[after] - layers[before], 1.0)
    share = np.where(adjacent, np.clip(below / gap, 0, 1), below > above)
    share[np.minimum(below, above) > _LAYER_REACH_SHARE * thickness] = np.nan
    return before, after, share


def _at_layers(coordinate, fitted):
    """Return the means of layers at coordinates, NaN away from all layers."""
    before, after, share = _bracket(coordinate, fitted)
    means, share = fitted[1:, 1:], share[:, None]
    return (1 - share) * means[before] + share * means[after]


def _layer_weights(place, fitted):
    """Return the sum over positions of the weights of the layers."""
    before, after, share = _bracket(_layer_coordinate(place, fitted), fitted)
    known = np.isfinite(share)
    n_layers = len(fitted) - 1
    return np.bincount(
        before[known], 1 - share[known], minlength=n_layers
    ) + np.bincount(after[known], share[known], minlength=n_layers)


def _check_labels(labels, n_sites, kind):
    """Return the number of each site's variant, -1 for none."""
    if kind == "layer":
        raise ValueError('reference="layer" takes no variants; use "mean" or "plane".')
    labels, is_missing = as_labels(labels, "variants")
    if labels.shape != (n_sites,):
        raise ValueError(
            f"variants must have one entry per site, shape ({n_sites},), got shape "
            f"{labels.shape}."
        )
    known = ~is_missing
    known[known] = labels[known] != -1
    if labels.dtype.kind == "f":
        known &= np.isfinite(labels)
    numbers = np.full(n_sites, -1)
    try:
        numbers[known] = np.unique(labels[known], return_inverse=True)[1]
    except TypeError as error:
        raise ValueError(
            "variants must be all numbers or all strings, got values of several types."
        ) from error
    return numbers


def _fit_with_variants(place, vectors, labels, kind):
    """Fit means of the variants together with what all sites have in common.

    Sites of no variant have only the common part; without them it is the mean of the
    means of the variants. Returns the reference, the covariance of its parameters, the
    residuals and the number of fitted parameters.
    """
    variants = np.unique(labels)
    member = (labels[:, None] == variants).astype(float)
    center = place.mean(axis=0)
    slopes = place - center if kind == "plane" else np.empty((len(place), 0))
    design = np.column_stack([member, slopes])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError(
            f'The sites do not determine reference="{kind}": they lie on a line, or '
            "each variant does. Give sites of a wider region."
        )
    fitted = np.linalg.lstsq(design, vectors, rcond=None)[0]
    n_variants = len(variants)
    if variants[0] == -1:
        common = np.eye(n_variants)[0]
    else:
        common = np.full(n_variants, 1 / n_variants)
    # From the fitted parameters to those of the reference.
    if kind == "mean":
        transform = common[None]
    else:
        transform = np.zeros((3, n_variants + 2))
        transform[0] = *common, *-center
        transform[1:, n_variants:] = np.eye(2)
    parameters = transform @ np.linalg.inv(design.T @ design) @ transform.T
    residual = vectors - design @ fitted
    return transform @ fitted, parameters, residual, design.shape[1]


def _fit_layers(sites, rows, vectors):
    """Return the mean of each layer along the lattice vector a, as the fit of variants.

    The layers are in the order of their coordinate.
    """
    cells = sites.lattice_vectors[rows]
    cells = cells[np.isfinite(cells).all(axis=(1, 2))]
    if not len(cells):
        raise ValueError(
            'reference="layer" needs lattice vectors. AtomLocator gives them; for '
            "sites of your own use sklearn_ferroic.feature_extraction.measure_lattice."
        )
    a, b = np.median(cells, axis=0)
    normal = np.array([a[1], -a[0]]) / np.hypot(*a)
    thickness = b @ normal
    if thickness < 0:
        normal, thickness = -normal, -thickness
    coordinate = sites.positions[rows] @ normal / thickness
    # Layers lie at whole numbers of thicknesses from an origin: the circular mean.
    phase = np.exp(2j * np.pi * coordinate).mean()
    layer = np.rint(coordinate - np.angle(phase) / (2 * np.pi)).astype(int)
    _, place, count = np.unique(layer, return_inverse=True, return_counts=True)
    means = [
        np.bincount(place, column) / count
        for column in (coordinate * thickness, *vectors.T)
    ]
    table = np.column_stack(means)
    order = np.argsort(table[:, 0])
    fitted = np.concatenate([[[*normal, thickness]], table[order]])
    parameters = np.diag(1 / count[order])
    return fitted, parameters, vectors - table[place, 1:], len(table)
