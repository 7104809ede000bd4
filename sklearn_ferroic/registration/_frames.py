"""Stacks of frames that are read one frame at a time."""

from copy import copy
from numbers import Real
from zlib import crc32

import numpy as np

from .._image.input import check_images, image_metadata, is_container, unpack_image
from .._utils.validation import refuse_images_along_last_axis

_EXPECTED = (
    "Pass a 3-D stack (n_frames, n_rows, n_cols), a list of 2-D frames of one shape, "
    "or what load_image returns"
)

# Bad pixels of a frame are remembered if they are at most this share of it.
_MAX_REPAIRED_SHARE = 0.01
# Pixel sizes in files are rounded to five digits or more.
_PIXEL_SIZE_TOLERANCE_SHARE = 1e-4


class Frames:
    """Sequence of frames of one shape; each is read and checked when it is asked for.

    Parameters
    ----------
    entries : sequence
        Arrays or containers, or a 3-D array-like: in memory, memory-mapped or lazy.
    pixel_size : float or None
        Pixel size of all frames, nm; that of the entries if None.
    dose : float or None
        Electrons per square ångström in one frame, if known.
    metadata : dict
        Metadata of the first frame.

    Attributes
    ----------
    shape : tuple of int (n_rows, n_cols)
        Shape of a frame.
    scales : dict of int to tuple of float (gain, offset)
        Frames of another gain or offset than the others: what is read is the frame
        minus the offset, over the gain.
    """

    def __init__(self, entries, pixel_size, dose, metadata):
        self._entries = entries
        self.dose = dose
        self.metadata = metadata
        # Bad pixels of the frames: their search takes longer than reading.
        self._repairs = {}
        self.scales = {}
        self._window = None
        first = self._raw(0)
        self.shape = self._full_shape = tuple(first.shape)
        if pixel_size is None:
            pixel_size = check_images([entries[0]])[2][0] if self.is_usable(0) else None
        self.pixel_size = pixel_size

    def __len__(self):
        return len(self._entries)

    def _raw(self, index):
        """Return the array of an entry, unchecked."""
        entry, _ = unpack_image(self._entries[index])
        return entry if np.ma.isMA(entry) else np.asarray(entry)

    def center(self, side):
        """Return the middles of the frames, of at most a number of pixels a side.

        Parameters
        ----------
        side : int
            Largest number of rows and columns.

        Returns
        -------
        frames : Frames
            A series of the same frames, which shares their properties.
        """
        if max(self.shape) <= side:
            return self
        part = copy(self)
        part._window = tuple(
            slice((n - min(n, side)) // 2, (n - min(n, side)) // 2 + min(n, side))
            for n in self.shape
        )
        part.shape = tuple(place.stop - place.start for place in part._window)
        return part

    def middle_of(self, image):
        """Return the part of an image of the original shape that the frames show."""
        return image if self._window is None else image[self._window]

    def is_usable(self, index):
        """Return whether a frame is a 2-D array that is not constant."""
        raw = self._raw(index)
        return raw.ndim != 2 or raw.size == 0 or raw.min() != raw.max()

    def digest(self, index):
        """Return a number that is equal for frames with equal pixels."""
        raw = self._raw(index)
        pixels = np.ascontiguousarray(np.ma.getdata(raw))
        return crc32(pixels.view(np.uint8))

    def are_equal(self, first, second):
        """Return whether two frames have the same pixels."""
        return np.array_equal(
            np.ma.getdata(self._raw(first)), np.ma.getdata(self._raw(second))
        )

    def read(self, index):
        """Return one frame, brought to common gain and offset, and its good pixels.

        Parameters
        ----------
        index : int
            Number of the frame.

        Returns
        -------
        frame : ndarray of shape (n_rows, n_cols), float32
            The frame, bad pixels filled; None if it is constant: a blanked beam.
        good : ndarray of bool of shape (n_rows, n_cols) or None
            Good pixels; None if all are.
        """
        frame, good = self._read_raw(index)
        if frame is not None and index in self.scales:
            gain, offset = self.scales[index]
            frame = (frame - np.float32(offset)) / np.float32(gain)
        return frame, good

    def _read_raw(self, index):
        """Return one frame as it is, and its good pixels."""
        raw = self._raw(index)
        if tuple(raw.shape) != self._full_shape:
            raise ValueError(
                f"Frame {index} has shape {tuple(raw.shape)}, but frame 0 has shape "
                f"{self._full_shape}. All frames must have one shape: crop them."
            )
        if index in self._repairs:
            return self._repaired(raw, index)
        if not self.is_usable(index):
            return None, None
        try:
            arrays, masks, _ = check_images([raw])
        except (TypeError, ValueError) as error:
            message = str(error).replace("image 0", f"frame {index}")
            raise type(error)(message) from error
        frame, good = arrays[0], masks[0]
        if not np.ma.isMA(raw):
            place = np.flatnonzero(frame.ravel() != raw.astype(np.float32).ravel())
            if len(place) <= _MAX_REPAIRED_SHARE * frame.size:
                packed = None if good is None else np.packbits(good)
                self._repairs[index] = place, frame.ravel()[place], packed
        return self.middle_of(frame), None if good is None else self.middle_of(good)

    def _repaired(self, raw, index):
        """Return a frame whose bad pixels are known, and its good pixels."""
        place, values, packed = self._repairs[index]
        if packed is None and not len(place):
            return self.middle_of(raw).astype(np.float32), None
        frame = raw.astype(np.float32, order="C")
        frame.ravel()[place] = values
        if packed is None:
            return self.middle_of(frame), None
        good = np.unpackbits(packed, count=frame.size).view(bool).reshape(frame.shape)
        return self.middle_of(frame), self.middle_of(good)


def open_frames(X):
    """Return the frames of a stack, a list or a container.

    Parameters
    ----------
    X : array-like, container, or list of these
        A 3-D array, also memory-mapped or lazy, or a list of 2-D frames; with a pixel
        size as ``(stack, pixel_size)`` or as an object with ``image``.

    Returns
    -------
    frames : Frames
        At least two.
    """
    entries, pixel_size, dose = _unpack(X)
    # The length of the shape: np.ndim would read a lazy stack as a whole.
    is_stack = len(getattr(entries, "shape", ())) == 3
    if is_stack:
        refuse_images_along_last_axis(entries.shape)
    if not is_stack and not isinstance(entries, list | tuple):
        check_images(entries)  # raises an error unless they are images
        raise ValueError(
            f"Got one image of shape {np.shape(entries)}, but registration needs at "
            f"least two frames. {_EXPECTED}."
        )
    if len(entries) < 2:
        raise ValueError(
            f"Got {len(entries)} frame(s), but registration needs at least two. "
            f"{_EXPECTED}."
        )
    if not is_stack:
        _check_same_pixel_size(entries)
    return Frames(entries, pixel_size, dose, image_metadata(X, 1)[0])


def _check_same_pixel_size(entries):
    """Check that frames given as tuples or objects have one pixel size."""
    known = set()
    for entry in entries:
        if isinstance(entry, tuple) and len(entry) == 2:
            known.add(entry[1])
        elif hasattr(entry, "image"):
            known.add(getattr(entry, "pixel_size", None))
    sizes = [size for size in known if isinstance(size, Real)]
    if sizes and max(sizes) > (1 + _PIXEL_SIZE_TOLERANCE_SHARE) * min(sizes):
        raise ValueError(
            f"The frames have different pixel sizes, {min(sizes):g} to {max(sizes):g} "
            "nm. An average needs frames of one magnification."
        )


def _unpack(X):
    """Return the frames of a container, their pixel size and dose."""
    if is_container(X):
        dose = getattr(X, "dose", None) if hasattr(X, "image") else None
        return *_checked(unpack_image(X)), dose
    if isinstance(X, list | tuple) and X and not hasattr(X[0], "shape"):
        if isinstance(X[0], list) and np.ndim(X) == 3:
            return np.asarray(X), None, None
        check_images([X[0]])  # raises for entries that are not images
        doses = [getattr(entry, "dose", None) for entry in X]
        return list(X), None, doses[0] if len(set(doses)) == 1 else None
    return X, None, None


def _checked(container):
    """Check the pixel size of a stack, and return both."""
    stack, pixel_size = container
    if pixel_size is not None:
        positive = isinstance(pixel_size, Real) and 0 < pixel_size < np.inf
        if not positive or isinstance(pixel_size, bool):
            raise ValueError(
                "The pixel size of the stack must be a positive length in nm or None, "
                f"got {pixel_size!r}."
            )
    return stack, pixel_size
