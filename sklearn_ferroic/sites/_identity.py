"""Equality, hash and text representation of AtomSites."""

import numpy as np
from joblib.hashing import Hasher

from ._shared_images import digest


def are_equal(first, second):
    """Return whether two sets of sites are equal.

    Parameters
    ----------
    first, second : AtomSites
        The sets.

    Returns
    -------
    equal : bool
        Whether images, pixel sizes and all columns are equal; NaN equals NaN.
    """
    return (
        first.pixel_size == second.pixel_size
        and len(first.images) == len(second.images)
        and first.fields == second.fields
        and all(
            _same(getattr(first, field.name), getattr(second, field.name))
            for field in first.fields
        )
        and all(map(_same, first.images, second.images))
    )


def _same(first, second):
    return first is second or (
        first.shape == second.shape
        and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
    )


def describe(sites):
    """Return a one-line description of a set of sites.

    Parameters
    ----------
    sites : AtomSites
        The set.

    Returns
    -------
    description : str
        Numbers of sites and images.
    """
    images = ", ".join(f"{rows}x{cols}" for rows, cols in _shapes(sites)[:3])
    more = ", ..." if len(sites.images) > 3 else ""
    counts = np.unique(sites.sublattice, return_counts=True)
    shares = ", ".join(f"{s}: {n}" for s, n in zip(*counts, strict=True))
    return (
        f"<AtomSites: {len(sites)} sites in {len(sites.images)} image(s) "
        f"({images}{more} px), sublattices {{{shares}}}>"
    )


def _shapes(sites):
    return [image.shape for image in sites.images]


def register_hash(cls):
    """Make joblib hash the digests of the images instead of the pixels.

    Parameters
    ----------
    cls : type
        AtomSites.
    """
    # joblib's registry of hash functions by type.
    if hasattr(Hasher, "dispatch"):
        Hasher.dispatch[cls] = _save_for_hash


def _save_for_hash(hasher, sites):
    images = [digest(image) for image in sites.images]
    # In C order, so that equal values have equal hashes.
    columns = [np.array(getattr(sites, f.name), order="C") for f in sites.fields]
    hasher.save([type(sites).__name__, *images, *sites.pixel_size, *columns])
