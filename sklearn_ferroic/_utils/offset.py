"""Conversion to float32 of values that have a small contrast on a large offset.

float32 has 24 significant bits: on an offset of 10⁸ it resolves steps of 8. Such an
offset is subtracted in double precision before the conversion.
"""

import math

import numpy as np

# Multiple of the contrast above which an offset is subtracted. Below, float32 resolves
# 1/16,000 of the contrast, less than the noise of any detector.
_MAX_OFFSET_RATIO = 1024
# Percentiles between which the contrast is measured: hot, dead and saturated pixels and
# single lines of them lie outside.
_LOWER_PERCENTILE, _UPPER_PERCENTILE = 2, 98
# About as many pixels of an image, and patches of a set, are enough to find it.
_N_SAMPLED_PIXELS = 2**18
_N_SAMPLED_PATCHES = 256


def find_image_offset(image, valid=None):
    """Return the offset to subtract from an image before its conversion to float32.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image; pixels that are not finite are ignored.
    valid : ndarray of bool of shape (n_rows, n_cols), default=None
        Good pixels; None if all are good.

    Returns
    -------
    offset : float
        The darkest value, apart from outliers, if it is much larger than the contrast
        and the type of the image is more precise than float32; 0 otherwise.
    """
    if np.can_cast(image.dtype, np.float32):
        return 0.0
    step = math.isqrt(image.size // _N_SAMPLED_PIXELS) or 1
    sample = image[::step, ::step]
    return _offset(sample if valid is None else sample[valid[::step, ::step]])


def find_patch_offset(patches):
    """Return the offset to subtract from patches before their conversion to float32.

    Parameters
    ----------
    patches : ndarray of shape (n, h * w) or (n, h, w)
        The patches, possibly a memory map.

    Returns
    -------
    offset : float
        As `find_image_offset` returns it, one for all patches.
    """
    if np.can_cast(patches.dtype, np.float32):
        return 0.0
    return _offset(patches[:: len(patches) // _N_SAMPLED_PATCHES or 1])


def _offset(sample):
    """Return the lower end of a sample if it is much larger than the contrast."""
    sample = np.asarray(sample, dtype=np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0
    low, high = np.percentile(sample, [_LOWER_PERCENTILE, _UPPER_PERCENTILE])
    if low == high:
        low, high = sample.min(), sample.max()
    # halves, because the difference of two finite values can be infinite
    contrast = high / 2 - low / 2
    level = max(abs(low), abs(high)) / 2
    return float(low) if 0 < contrast < level / _MAX_OFFSET_RATIO else 0.0


def subtract_offset(values, offset):
    """Return values minus an offset as float32.

    Parameters
    ----------
    values : ndarray
        The values.
    offset : float
        What to subtract, as `find_image_offset` returns it.

    Returns
    -------
    values : ndarray
        In double precision until the offset is subtracted, then float32; the array
        itself if it is float32 and the offset is 0. Values too large for float32 are
        infinite.
    """
    with np.errstate(over="ignore"):
        if offset != 0:
            values = np.subtract(
                values, offset, dtype=np.result_type(values, np.float64)
            )
        return values.astype(np.float32, copy=False)


class PatchesWithoutOffset:
    """Patches minus a constant offset, which is subtracted as parts are read.

    Parameters
    ----------
    patches : ndarray of shape (n, h * w) or (n, h, w)
        The patches, possibly a memory map.
    offset : float
        What is subtracted in double precision.
    """

    def __init__(self, patches, offset):
        self.patches = patches
        self.offset = offset
        self.shape = patches.shape
        self.ndim = patches.ndim
        self.dtype = np.result_type(patches, np.float64)

    def __len__(self):
        return len(self.patches)

    def __getitem__(self, index):
        return np.subtract(self.patches[index], self.offset, dtype=self.dtype)


def without_offset(patches, offset):
    """Return patches minus an offset; the patches themselves if it is 0."""
    return PatchesWithoutOffset(patches, offset) if offset else patches


def add_offset(drawn, offset):
    """Return reconstructed patches in units of the data; float64 with an offset."""
    return drawn.astype(np.float64) + offset if offset else drawn
