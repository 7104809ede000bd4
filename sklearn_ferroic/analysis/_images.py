"""The image of an analysis: one frame or an average, cropped, masked, inverted."""

from dataclasses import dataclass, field
from numbers import Integral
from os import PathLike
from pathlib import Path

import numpy as np

from .._image.input import container_metadata, unpack_image
from .._utils.metadata import rounded
from .._utils.validation import refuse_images_along_last_axis
from ..datasets import load_image
from ..datasets._load_image import load_mask
from ..localization import AtomLocator
from ..registration import FrameAverager, ScanDistortionCorrector

# Above this share of pixels at the highest value, the image is saturated.
_SATURATED_SHARE = 1e-3


@dataclass(frozen=True, eq=False)
class InputImage:
    """An image and its origin.

    Parameters
    ----------
    image : ndarray of shape (n_rows, n_cols)
        The image, a masked array where pixels are not to be used.
    pixel_size : float or None
        Pixel size, nm.
    name : str
        Name of the file, "array" for an array without one.
    description : str
        Size, type and calibration of the image in words.
    metadata : dict, default={}
        Metadata of the file.
    is_8_bit : bool, default=False
        Whether grey values have 8 bits.
    saturated_share : float, default=0.0
        Share of the pixels at the highest value of the image, 0 if it is low.
    truth : object, default=None
        Positions, sublattices and displacements of a generated image.
    remarks : list of str, default=[]
        What was done with the image.
    frames : dict, default=None
        Registration of the frames whose average the image is.
    scan : dict, default=None
        Correction of the scan lines.
    displacement_std : ndarray of shape (n_rows, 2), default=None
        Errors of positions in each row by drift and jitter in an average of frames, px.
    """

    image: np.ndarray
    pixel_size: float | None
    name: str
    description: str
    metadata: dict = field(default_factory=dict)
    is_8_bit: bool = False
    saturated_share: float = 0.0
    truth: object = None
    remarks: list = field(default_factory=list)
    frames: dict | None = None
    scan: dict | None = None
    displacement_std: np.ndarray | None = None


def read_input(image, options):
    """Read the image of an analysis and select what is analysed.

    Parameters
    ----------
    image : str, path-like, array-like or container
        A file, an array, an ``(array, pixel_size)`` tuple, an object with `image` and
        `pixel_size`, or an image of HyperSpy, xarray, sidpy or quantem.
    options : AnalysisOptions
        Pixel size, signal, frame, crop, mask and inversion.

    Returns
    -------
    source : InputImage
        The image.
    """
    if isinstance(image, str | PathLike):
        data = load_image(
            image,
            dataset=options.dataset,
            signal=options.signal,
            pixel_size=options.pixel_size,
        )
        array, pixel_size = data.image, data.pixel_size
        name, description = Path(image).name, data.description
        metadata, truth = data.metadata, None
    else:
        for choice in ("dataset", "signal"):
            if getattr(options, choice) is not None:
                raise ValueError(f"{choice}= applies to a file, and an array is given.")
        array, pixel_size = unpack_image(image)
        pixel_size = options.pixel_size or pixel_size
        name = Path(getattr(image, "path", "array")).name
        metadata = container_metadata(image)
        truth = image if getattr(image, "variant", None) is not None else None
        size = " x ".join(map(str, np.shape(array)))
        unit = (
            "no pixel size" if pixel_size is None else f"{pixel_size:.6g} nm per pixel"
        )
        description = f"{size} px of {np.asarray(array).dtype}; {unit}."
    remarks = []
    array = np.ma.asanyarray(array) if np.ma.isMA(array) else np.asarray(array)
    if array.dtype == bool:
        array = array.astype(np.uint8)
    is_8_bit = array.dtype == np.uint8
    if array.ndim == 3:
        truth = None  # positions of a series are those of the specimen
    frames = scan = row_std = None
    if options.frame == "pair":
        array, scan = _correct_pair(array, options, remarks)
    elif options.frame == "average" and array.ndim == 3:
        _check_stack(array)
        if options.mask is not None:
            array = _masked(array, options.mask, remarks)
        array, frames, row_std = _average_stack(array, options, remarks)
    else:
        array = _choose_frame(array, options.frame, remarks)
        if options.mask is not None:
            array = _masked(array, options.mask, remarks)
    if options.crop is not None:
        array = _crop(array, options.crop, remarks)
        truth = None
        if row_std is not None:
            row_std = row_std[options.crop[0] : options.crop[1]]
    array = _mask_unknown(array, remarks)
    _check_contrast(array)
    saturated = _saturated_share(array)
    if options.invert:
        array = array.max() - array.astype(np.float64)
        remarks.append("Inverted: dark columns are analysed as bright ones.")
    return InputImage(
        array,
        None if pixel_size is None else float(pixel_size),
        name,
        description,
        metadata,
        bool(is_8_bit),
        saturated,
        truth,
        remarks,
        frames,
        scan,
        row_std,
    )


def _choose_frame(array, frame, remarks):
    """Return one image of a stack, or their mean."""
    if array.ndim == 2:
        if frame not in (None, 0, "mean", "average"):
            raise ValueError(f"frame={frame}: there is one image only, frame 0.")
        return array
    _check_stack(array)
    n_frames = len(array)
    if frame == "mean":
        remarks.append(
            f"Mean of {n_frames} frames, as they are: drift between them is not "
            "corrected."
        )
        return np.ma.mean(array, axis=0) if np.ma.isMA(array) else array.mean(axis=0)
    if frame is None and n_frames > 1:
        raise ValueError(
            f"There are {n_frames} images; choose one with frame=, from 0 to "
            f'{n_frames - 1}, or the average of all, registered, with frame="average".'
        )
    frame = frame or 0
    if not 0 <= frame < n_frames:
        raise ValueError(
            f"frame={frame} is out of range: there are {n_frames} images, from 0 to "
            f"{n_frames - 1}."
        )
    if n_frames > 1:
        remarks.append(f"Frame {frame} of {n_frames}.")
    return array[frame]


def _check_stack(array):
    """Raise an error for an array that is not a stack of images."""
    if array.ndim != 3:
        raise ValueError(
            f"An array of shape {array.shape} is not an image: two dimensions are "
            "needed, or three for a stack of images."
        )
    refuse_images_along_last_axis(array.shape)


def _average_stack(stack, options, remarks):
    """Return the average of frames, values that describe it, and errors of rows."""
    averager = FrameAverager(spacing=options.spacing, n_jobs=options.n_jobs)
    image = averager.fit_transform(stack).image
    used = averager.weights_ > 0
    shifts = averager.shifts_
    rejected = averager.rejected_.tolist()
    low, high = (part(shifts[used], axis=0) for part in (np.min, np.max))
    text = f"Average of {used.sum()} of {len(stack)} registered frames"
    if rejected:
        text += f", without {', '.join(map(str, rejected))}"
    remarks.append(
        f"{text}; displacements relative to frame {averager.reference_} from "
        f"{low[0]:.1f} to {high[0]:.1f} px (rows) and from {low[1]:.1f} to "
        f"{high[1]:.1f} px (columns). Positions are counted from pixel "
        f"({averager.origin_[0]:.0f}, {averager.origin_[1]:.0f}) of that frame."
    )
    values = {
        "n_frames": len(stack),
        "reference": int(averager.reference_),
        "rejected": rejected,
        "shifts_px": rounded(shifts),
        "shifts_std_px": rounded(averager.shifts_std_),
        "weights": rounded(averager.weights_),
        "correlation": rounded(averager.correlation_),
        "gains": rounded(averager.gains_),
        "offsets": rounded(averager.offsets_),
        "copies": averager.copies_.tolist(),
        "origin_px": averager.origin_.tolist(),
        "flyback_px": rounded(averager.flyback_[0]),
        "displacement_std_px": rounded(np.median(averager.displacement_std_, axis=0)),
    }
    return image, values, averager.displacement_std_


def _correct_pair(pair, options, remarks):
    """Return the image of two scans at 0° and 90°, and values that describe it."""
    if pair.ndim != 3 or len(pair) != 2:
        raise ValueError(
            'frame="pair" takes a stack of two images of one area, the second with the '
            f"scan rotated by 90 degrees; got an array of shape {pair.shape}."
        )
    if options.correct_scan or options.mask is not None:
        raise ValueError(
            'frame="pair" corrects the scan lines of both images and takes neither '
            "correct_scan nor a mask: mask or crop the images before."
        )
    _check_stack(pair)
    locator = AtomLocator(spacing=options.spacing, n_jobs=options.n_jobs)
    corrector = ScanDistortionCorrector(locator=locator, n_jobs=options.n_jobs)
    corrector.fit(list(pair))
    image = corrector.transform(list(pair)).image
    shifts, errors = corrector.line_shift_, corrector.line_shift_std_
    moved = np.sqrt(np.mean(np.square(shifts - shifts.mean(axis=0)), axis=0))
    error = np.median(errors, axis=0)
    remarks.append(
        "Mean of two scans at 0° and 90°, corrected for drift and jitter by "
        f"{corrector.n_matched_} columns that both show: scan lines moved by "
        f"{moved[0]:.2f} px (rows) and {moved[1]:.2f} px (columns), root mean square; "
        f"errors of the correction {error[0]:.2f} and {error[1]:.2f} px."
    )
    return image, {
        "has_reference": False,
        "n_matched": corrector.n_matched_,
        "moved_px": rounded(moved),
        "error_px": rounded(error),
        "jitter_px": rounded(corrector.jitter_),
        "drift_px_per_line": corrector.drift_.tolist(),
        "line_shift_px": rounded(shifts),
    }


def _masked(array, mask, remarks):
    """Return an image, or a stack of images, with its pixels masked."""
    excluded = ~_read_mask(mask, array.shape[-2:])
    remarks.append(f"{excluded.mean():.1%} of the pixels are masked.")
    return np.ma.array(array, mask=np.broadcast_to(excluded, array.shape))


def _read_mask(mask, shape):
    """Return the mask of the pixels that are used."""
    if isinstance(mask, str | PathLike):
        mask = load_mask(mask)
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise ValueError(
            f"The mask has shape {mask.shape} and the image {shape}. They must be "
            "equal; the mask belongs to the image before it is cropped."
        )
    # NaN is not above 0.
    mask = mask > 0
    if not mask.any():
        raise ValueError(
            "The mask excludes all pixels: pixels that are used have values above 0."
        )
    return mask


def _crop(array, crop, remarks):
    """Return the part of an image between two rows and two columns of pixels."""
    if len(crop) != 4 or not all(isinstance(edge, Integral) for edge in crop):
        raise ValueError(
            "crop= takes four whole numbers, first row, last row, first column and "
            f"last column (last ones excluded), got {crop!r}."
        )
    first_row, last_row, first_col, last_col = (int(edge) for edge in crop)
    n_rows, n_cols = array.shape
    fits = 0 <= first_row < last_row <= n_rows and 0 <= first_col < last_col <= n_cols
    if not fits:
        raise ValueError(
            f"crop={first_row},{last_row},{first_col},{last_col} does not fit the "
            f"image of {n_rows} x {n_cols} px: first row, last row, first column, last "
            "column."
        )
    remarks.append(
        f"Rows {first_row} to {last_row - 1} and columns {first_col} to {last_col - 1} "
        "of the image; positions are counted from this corner."
    )
    return array[first_row:last_row, first_col:last_col]


def _mask_unknown(array, remarks):
    """Return an image whose pixels without a finite value are masked."""
    if array.dtype.kind != "f":
        return array
    unknown = ~np.isfinite(np.ma.getdata(array)) & ~np.ma.getmaskarray(array)
    if not unknown.any() or unknown.all():
        return array
    remarks.append(f"{unknown.sum()} pixels without a value are masked.")
    return np.ma.masked_invalid(array)


def _check_contrast(array):
    """Raise an error for an image without any structure."""
    if array.dtype.kind not in "buif":
        return  # refused by the locator, with the type
    values = np.ma.compressed(array) if np.ma.isMA(array) else array
    values = values[np.isfinite(values)]
    if min(array.shape) < 2 or not values.size or np.ptp(values) == 0:
        raise ValueError(
            "The image has no contrast: all pixels are equal, or it is a single line."
        )


def _saturated_share(array):
    """Return the share of the pixels at the highest value, 0 if it is usual."""
    values = np.ma.compressed(array) if np.ma.isMA(array) else array.ravel()
    share = float(np.mean(values == np.nanmax(values)))
    return share if share > _SATURATED_SHARE else 0.0
