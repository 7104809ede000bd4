"""Displacement common to many cells, as mistilt causes it: mean, plane or by layer."""

import numpy as np

# Parameters of a plane, and fewest vectors for one.
_MIN_PLANE = 6
# A site belongs to a layer within this share of the distance of layers, and layers up
# to this many distances apart follow one another.
_LAYER_REACH = 0.6
_ADJACENT_LAYERS = 1.5


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
    """
    known = np.isfinite(vectors).all(axis=1) & sites.converged
    if labels is not None:
        labels = _check_labels(labels, len(sites), kind)
    reference = {}
    for frame in np.unique(sites.frame):
        rows = np.flatnonzero(known & (sites.frame == frame))
        if len(rows) < (_MIN_PLANE if kind == "plane" else 1):
            raise ValueError(
                f'reference="{kind}" needs displacements of '
                f"{_MIN_PLANE if kind == 'plane' else 1} sites or more on each image, "
                f"and there are {len(rows)} on image {frame}."
            )
        place, own = sites.positions[rows], vectors[rows]
        if labels is not None:
            reference[int(frame)] = _fit_with_variants(place, own, labels[rows], kind)
        elif kind == "mean":
            reference[int(frame)] = own.mean(axis=0, keepdims=True)
        elif kind == "plane":
            design = np.column_stack([np.ones(len(rows)), place])
            reference[int(frame)] = np.linalg.lstsq(design, own, rcond=None)[0]
        else:
            reference[int(frame)] = _fit_layers(sites, rows, own)
    return reference


def subtract_reference(sites, vectors, reference, kind):
    """Return the displacements less the common one.

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
    if only is None and not set(frames.tolist()) <= set(reference):
        raise ValueError(
            f"The reference was fitted to the images {sorted(reference)}, and the "
            f"sites lie on {frames.tolist()}. Fit it to sites of all images, or of one."
        )
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
            coordinate = place[:, 0] * fitted[0, 0] + place[:, 1] * fitted[0, 1]
            common[rows] = _at_layers(coordinate, fitted)
    return vectors - common


def _at_layers(coordinate, fitted):
    """Return the means of layers at coordinates, NaN away from all layers."""
    layers, thickness = fitted[1:], fitted[0, 2]
    after = np.searchsorted(layers[:, 0], coordinate)
    before = np.maximum(after - 1, 0)
    after = np.minimum(after, len(layers) - 1)
    distance = np.minimum(
        np.abs(coordinate - layers[before, 0]), np.abs(layers[after, 0] - coordinate)
    )
    # Between neighbouring layers linearly, next to a layer without sites the nearest.
    adjacent = layers[after, 0] - layers[before, 0] < _ADJACENT_LAYERS * thickness
    nearest = np.where(
        np.abs(coordinate - layers[before, 0]) <= np.abs(layers[after, 0] - coordinate),
        before,
        after,
    )
    linear = np.column_stack(
        [np.interp(coordinate, layers[:, 0], layers[:, k]) for k in (1, 2)]
    )
    values = np.where(adjacent[:, None], linear, layers[nearest, 1:])
    values[distance > _LAYER_REACH * thickness] = np.nan
    return values


def _check_labels(labels, n_sites, kind):
    """Return the number of each site's variant, -1 for none."""
    if kind == "layer":
        raise ValueError('reference="layer" takes no variants; use "mean" or "plane".')
    labels = np.asarray(labels)
    if labels.shape != (n_sites,):
        raise ValueError(
            f"variants must have one entry per site, shape ({n_sites},), got shape "
            f"{labels.shape}."
        )
    known = labels != -1
    if labels.dtype.kind == "f":
        known &= np.isfinite(labels)
    numbers = np.full(n_sites, -1)
    numbers[known] = np.unique(labels[known], return_inverse=True)[1]
    return numbers


def _fit_with_variants(place, vectors, labels, kind):
    """Fit means of the variants together with what all sites have in common.

    Sites of no variant have only the common part; without them it is the mean of the
    means of the variants.
    """
    variants = np.unique(labels)
    member = (labels[:, None] == variants).astype(float)
    center = place.mean(axis=0)
    slopes = place - center if kind == "plane" else np.empty((len(place), 0))
    design = np.column_stack([member, slopes])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError("The sites do not determine a reference besides the variants.")
    fitted = np.linalg.lstsq(design, vectors, rcond=None)[0]
    means, gradient = fitted[: len(variants)], fitted[len(variants) :]
    common = means[0] if variants[0] == -1 else means.mean(axis=0)
    if kind == "mean":
        return common[None]
    return np.concatenate([[common - center @ gradient], gradient])


def _fit_layers(sites, rows, vectors):
    """Return the mean of each layer along the lattice vector a."""
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
    return np.concatenate([[[*normal, thickness]], table[np.argsort(table[:, 0])]])
