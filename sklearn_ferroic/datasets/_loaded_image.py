"""The image of a file with its pixel size and metadata, which can be cropped."""

from numbers import Integral

import numpy as np
from sklearn.utils import Bunch


class LoadedImage(Bunch):
    """An image or a stack with its pixel size and metadata, as `load_image` returns it.

    It is a :class:`~sklearn.utils.Bunch`: the entries that `load_image` describes are
    attributes and items. An index other than text crops the image and keeps everything
    else.

    Notes
    -----
    ``data[50:300, 50:300]`` crops rows and columns, of each frame in a stack;
    ``data[3]`` and ``data[:10]`` select frames of a stack, and ``data[:10, 50:300,
    50:300]`` does both. A step thins the pixels out, ``data[::2, ::2]``, and
    enlarges the pixel size. The item ``crop`` of the metadata contains the rows and the
    columns of the file, and the frames, as ``[start, stop, step]``.
    """

    def __getitem__(self, key):
        if isinstance(key, str):
            return super().__getitem__(key)
        return _crop(self, key)

    def __array__(self, dtype=None, copy=None):
        if copy is None:
            return np.asarray(self.image, dtype=dtype)
        return np.array(self.image, dtype=dtype, copy=copy)

    def __repr__(self):
        if "description" not in self:
            return super().__repr__()
        return f"<{', '.join(self)} of {self.description}>"


def describe(name, image, pixel_size, remark, is_colour=False):
    """Return size, type and calibration of an image in words.

    Parameters
    ----------
    name : str
        Name of the file, with the title of the image.
    image : ndarray of shape (n_rows, n_cols) or (n_images, n_rows, n_cols)
        The image.
    pixel_size : float or None
        Pixel size, nm.
    remark : str
        Origin of the pixel size, or the reason why there is none.
    is_colour : bool, default=False
        Whether the file contains colour channels, which are equal.

    Returns
    -------
    description : str
        One sentence.
    """
    if pixel_size is not None:
        remark = f"{pixel_size:.6g} nm per pixel" + (f" ({remark})" if remark else "")
    kind = " of equal colour channels, as in a screenshot" if is_colour else ""
    return f"{name}: {_size(image)} px of {image.dtype}{kind}; {remark}."


def _size(image):
    return " x ".join(str(side) for side in image.shape)


def _crop(data, key):
    """Return part of an image with everything else that belongs to it."""
    image = data.image
    frames, rows, cols = _split(key, image.ndim)
    for kind, part in (("rows", rows), ("columns", cols)):
        if not isinstance(part, slice):
            raise IndexError(
                f"The {kind} of an image are cropped by slices, such as "
                f"image[50:300, 50:300]; got {part!r}. Use the array, data.image, for "
                "single pixels, masks and lists of indices."
            )
    if not isinstance(frames, slice | Integral):
        raise IndexError(f"Frames are selected by a number or a slice; got {frames!r}.")
    step, col_step = (abs(part.step or 1) for part in (rows, cols))
    if step != col_step:
        raise ValueError(
            f"The steps along rows and columns differ, {step} and {col_step}: the "
            "pixels would not be square."
        )
    cropped = image[..., rows, cols]
    if image.ndim == 3:
        cropped = cropped[frames]
    if cropped.size == 0:
        raise ValueError(
            f"Nothing is left of the image of {_size(image)} px: the crop has the "
            f"shape {cropped.shape}."
        )
    pixel_size = data.get("pixel_size")
    if pixel_size is not None:
        pixel_size *= step
    # a copy, which does not keep the whole image in memory
    cropped = np.array(cropped, order="C")
    part = dict(data) | {"image": cropped, "pixel_size": pixel_size}
    metadata = dict(data.get("metadata") or {})
    crop = dict(metadata.get("crop") or {})
    crop["rows"] = _part(crop.get("rows"), image.shape[-2], rows)
    crop["columns"] = _part(crop.get("columns"), image.shape[-1], cols)
    if image.ndim == 3:
        if isinstance(frames, Integral):
            frames = int(frames) % len(image)
            frames = slice(frames, frames + 1)
        crop["frames"] = _part(crop.get("frames"), len(image), frames)
    part["metadata"] = metadata | {"crop": crop}
    if "description" in data:
        # the name may contain anything, the part behind the size does not
        name = data.description.rpartition(f": {_size(image)} px of ")[0]
        remark = "cropped" if pixel_size is not None else "no pixel size; cropped"
        part["description"] = describe(name, cropped, pixel_size, remark)
    return type(data)(**part)


def _split(key, ndim):
    """Return the indices of frames, rows and columns."""
    key = key if isinstance(key, tuple) else (key,)
    if any(part is Ellipsis for part in key[1:]):
        raise IndexError("An ellipsis is possible only before rows and columns.")
    if key and key[0] is Ellipsis:
        key = key[1:]
        if len(key) != 2:
            raise IndexError("Behind an ellipsis, rows and columns are needed.")
    everything = slice(None)
    if len(key) == 2:
        return everything, *key
    if len(key) == 1:
        return (
            (key[0], everything, everything)
            if ndim == 3
            else (everything, key[0], everything)
        )
    if len(key) == 3 and ndim == 3:
        return key
    raise IndexError(
        f"Got {len(key)} indices for {'a stack' if ndim == 3 else 'an image'}: give "
        "rows and columns, with the frames of a stack before them."
    )


def _part(known, length, key):
    """Return start, stop and step, in the file, of a part of a part of it."""
    whole = range(length) if known is None else range(*known)
    part = whole[key]
    # A range that runs down to 0 stops at -1.
    return [part.start, part.stop, part.step]
