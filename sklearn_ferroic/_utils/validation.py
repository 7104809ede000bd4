"""Checks of parameters, arrays, positions and results of searches."""

import math
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.utils import _param_validation, check_array


class Interval(_param_validation.Interval):
    """Interval of scikit-learn that does not accept truth values as numbers."""

    def is_satisfied_by(self, val):
        """Return whether a value is a number in the interval."""
        return not isinstance(val, bool | np.bool_) and super().is_satisfied_by(val)


# A stack has its images along the last axis if that axis has more than four pixels,
# the most that colours have, and less than this share of the others: no image is so
# narrow.
_THIN_SHARE = 0.2
# The same if the other axes are equal, as the sides of a square image.
_THIN_SHARE_OF_SQUARE = 0.5
# Positions of columns that the border cuts may lie off the image by this, px.
_BORDER_PX = 2.0
# Rows of fewer values are tables rather than windows.
_FEWEST_WINDOW_PIXELS = 64

N_JOBS = [
    Interval(Integral, 1, None, closed="left"),
    Interval(Integral, None, -1, closed="right"),
    None,
]


class ForeignArrayError(TypeError):
    """Error for an array of another library that NumPy cannot convert."""


def to_numpy(values, name):
    """Convert values to an array, with a helpful error for other libraries.

    Parameters
    ----------
    values : array-like
        The values; arrays and masked arrays are returned as they are.
    name : str
        Name of the values in the message.

    Returns
    -------
    array : ndarray
        The same values.

    Raises
    ------
    TypeError
        If NumPy cannot convert the array of another library.
    """
    if isinstance(values, np.ndarray):
        return values
    try:
        return np.asarray(values)
    except (RuntimeError, TypeError) as error:
        library = type(values).__module__.partition(".")[0]
        if library not in _REMEDIES:
            raise
        raise ForeignArrayError(
            f"{name} is an array of {library} that NumPy cannot convert "
            f"({error}). Pass {name}{_REMEDIES[library]}."
        ) from error


_REMEDIES = {
    "torch": ".detach().cpu().float().numpy()",
    "cupy": ".get()",
    "jax": ".astype('float32')",
}


def refuse_mask(values, name):
    """Raise ValueError if values are a masked array with masked entries."""
    if np.ma.isMA(values) and np.ma.getmaskarray(values).any():
        n_masked = np.count_nonzero(np.ma.getmaskarray(values))
        raise ValueError(
            f"{name} is a masked array with {n_masked} masked value(s), which cannot "
            f"be omitted. Fill them, {name}.filled(value), or drop their rows."
        )


def as_real(values, name):
    """Return an array of real numbers, or raise an error that names it.

    Parameters
    ----------
    values : ndarray
        The values; None is NaN.
    name : str
        Their name in the message.

    Returns
    -------
    values : ndarray
        The same, float64 if they were text or objects.

    Raises
    ------
    ValueError
        If they are complex or no numbers.
    """
    if values.dtype.kind in "buif":
        return values
    try:
        if values.dtype.kind in "OU":
            return values.astype(np.float64)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"{name} must be real numbers, got values of type {values.dtype} such as "
        f"{values.ravel()[:3].tolist()}."
    )


def as_labels(labels, name="labels"):
    """Return labels as an array, and which of them are missing.

    Parameters
    ----------
    labels : array-like
        Numbers, strings or other objects.
    name : str, default="labels"
        Their name in the message.

    Returns
    -------
    labels : ndarray
        The labels.
    is_missing : ndarray of bool of the same shape
        True for NaN, None and the missing values of pandas.

    Raises
    ------
    ValueError
        If they are a masked array with masked entries.
    """
    refuse_mask(labels, name)
    labels = np.asarray(labels)
    is_missing = np.zeros(labels.shape, dtype=bool)
    if labels.dtype.kind == "f":
        is_missing = np.isnan(labels)
    elif labels.dtype.kind == "O":
        is_missing[...] = [_is_missing(one) for one in labels.ravel().tolist()]
    return labels, is_missing


def _is_missing(value):
    """Return whether an object is None, NaN or the missing value of pandas."""
    if isinstance(value, Real):
        return bool(value != value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def refuse_images_along_last_axis(shape):
    """Raise ValueError for the shape of a stack of images of the wrong axis order.

    Parameters
    ----------
    shape : tuple of int
        Shape of an array of images.
    """
    if len(shape) != 3 or shape[2] < 3:
        return
    n_rows, n_cols, n_last = shape
    if n_last <= 4:
        if min(n_rows, n_cols) > 4:
            raise ValueError(
                f"An array of shape {shape} looks like a colour image (RGB or RGBA), "
                "such as a screenshot. One grey value per pixel is needed: use the "
                "image of the detector, image[..., 0] if the channels are equal, or "
                "skimage.color.rgb2gray(image)."
            )
        return
    share = _THIN_SHARE_OF_SQUARE if n_rows == n_cols else _THIN_SHARE
    if n_last < share * min(n_rows, n_cols):
        raise ValueError(
            f"An array of shape {shape} seems to contain its {n_last} images along the "
            "last axis; they are expected along the first. Pass "
            "numpy.moveaxis(images, -1, 0). If the images are really so narrow, pass "
            "them as a list, list(images)."
        )


def check_on_image(positions, image):
    """Check that positions lie on an image.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Positions ``(row, col)``, px.
    image : ndarray of shape (n_rows, n_cols)
        The image.
    """
    on_image = _is_on(positions, image.shape)
    if not on_image.all():
        row, col = positions[~on_image][0]
        hint = " Positions are counted in pixels of this image, after cropping."
        if _is_on(positions[:, ::-1], image.shape).all():
            hint = (
                " Positions are (row, col), that is (y, x): these seem to be (x, y). "
                "Pass positions[:, ::-1]."
            )
        raise ValueError(
            f"{np.count_nonzero(~on_image)} of {len(positions)} positions are off the "
            f"image of {image.shape[0]} x {image.shape[1]} px, such as row {row:.1f}, "
            f"col {col:.1f}.{hint}"
        )


def refuse_swapped(positions, frame, images):
    """Raise ValueError for positions that are on their image only as ``(x, y)``.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
        Positions ``(row, col)``, px.
    frame : ndarray of int of shape (n,)
        Index of the image of each.
    images : list of ndarray of shape (n_rows, n_cols)
        The images.
    """
    for number, image in enumerate(images):
        own = positions[frame == number]
        near = _is_on(own, image.shape, _BORDER_PX)
        if not near.all() and _is_on(own[:, ::-1], image.shape).all():
            check_on_image(own, image)


def _is_on(positions, shape, margin_px=0.0):
    """Return which positions are on the pixels of an image, or near them."""
    first, last = -0.5 - margin_px, np.array(shape) - 0.5 + margin_px
    return ((positions >= first) & (positions <= last)).all(axis=1)


def check_same_sublattice(sites, values):
    """Check that the sites with values are of one sublattice.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites.
    values : ndarray of shape (n_sites,) or (n_sites, n_columns)
        What is averaged over them; sites with NaN do not count.

    Raises
    ------
    ValueError
        If sites of several sublattices have values.
    """
    values = np.asarray(values)
    known = np.isfinite(values if values.ndim == 2 else values[:, None]).any(axis=1)
    kinds = np.unique(sites.sublattice[known])
    if len(kinds) > 1:
        raise ValueError(
            f"The sites are of sublattices {kinds.tolist()}, which move against one "
            "another and must not be averaged. Use those of one, such as "
            "sites[sites.sublattice == 1]."
        )


def check_vectors(sites, vectors):
    """Return vectors of sites as float64.

    Parameters
    ----------
    sites : AtomSites of length n_sites
        The sites.
    vectors : array-like of shape (n_sites, 2) or None
        Vectors (row, col), NaN where unknown; None for the polarization of the sites.

    Returns
    -------
    vectors : ndarray of shape (n_sites, 2)
        The vectors.
    """
    if vectors is None:
        return np.array(sites.polarization, dtype=np.float64)
    refuse_mask(vectors, "vectors")
    vectors = check_array(
        vectors,
        dtype=np.float64,
        ensure_all_finite="allow-nan",
        ensure_min_samples=0,
        input_name="vectors",
    )
    if vectors.shape != (len(sites), 2):
        raise ValueError(
            f"vectors must have shape ({len(sites)}, 2), one vector (row, col) a site; "
            f"got {vectors.shape}."
        )
    return vectors


def resolve_patch_shape(patches, patch_shape):
    """Find the height and width of patches.

    Parameters
    ----------
    patches : ndarray of shape (n, h * w) or (n, h, w)
        The patches.
    patch_shape : tuple of (int, int) or None
        Value of the parameter.

    Returns
    -------
    patch_shape : tuple of (int, int)
        Height and width.
    """
    given = None if patch_shape is None else tuple(patch_shape)
    if given is not None:
        _check_patch_shape(given)
    if is_stack(patches):
        shape = patches.shape[1:]
        if given not in (None, shape):
            raise ValueError(
                f"patch_shape={given}, but X has patches of shape {shape}."
            )
        return shape
    n_pixels = count_pixels(patches)
    if given is None:
        shape = _most_nearly_square(n_pixels)
        if shape[0] != shape[1] and n_pixels >= _FEWEST_WINDOW_PIXELS:
            warnings.warn(
                f"X has rows of {n_pixels} values, which are not square windows; each "
                f"is read as {shape[0]} x {shape[1]} pixels. If this is correct, pass "
                "patch_shape=(height, width). Cut images into windows first, see "
                "PatchExtractor.",
                UserWarning,
                stacklevel=5,
            )
        return shape
    if math.prod(given) != n_pixels:
        raise ValueError(
            f"patch_shape={given} does not match the {n_pixels} features of X. "
            "Pass (height, width) with height * width equal to that."
        )
    return tuple(int(side) for side in given)


def count_pixels(patches):
    """Count the pixels of one patch."""
    return math.prod(patches.shape[1:])


def is_stack(X):
    """Return whether windows are a stack instead of rows."""
    return len(getattr(X, "shape", ())) == 3


def _check_patch_shape(given):
    sides_are_counts = all(isinstance(side, Integral) and side > 0 for side in given)
    if len(given) != 2 or not sides_are_counts:
        raise ValueError(
            f"patch_shape={given} is not (height, width), two positive integers."
        )


def _most_nearly_square(n_pixels):
    height = next(h for h in range(int(n_pixels**0.5), 0, -1) if n_pixels % h == 0)
    return height, n_pixels // height


def check_score_name(cv_results, scoring):
    """Return the name of the score of a search.

    Parameters
    ----------
    cv_results : dict
        As `cv_results_` of GridSearchCV.
    scoring : str or None
        Name of the score; None for the only one.

    Returns
    -------
    scoring : str
        The name.
    """
    stem = "mean_test_"
    names = [key[len(stem) :] for key in cv_results if key.startswith(stem)]
    if scoring is None and len(names) == 1:
        scoring = names[0]
    if scoring not in names:
        raise ValueError(
            f"scoring must be one of the scores of the search, {names}, got "
            f"{scoring!r}."
        )
    return scoring
