"""TIFF: series, channels and the calibrations of microscopes' programs."""

import numpy as np

from ..._utils.optional import import_optional
from .axes import COLUMN, FRAME, ROW, Axis, arrange
from .calibration import to_nm
from .signals import Signal, check_size, choose, reading

# Printing resolutions (72 or 300 dots per inch) are not calibrations: only pixels
# smaller than this, in nm, are taken from bare resolution tags.
_LARGEST_PIXEL_NM = 1e3
# TIFF tags that only locate the pixels in the file.
_LONG_TAGS = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts"}
# tifffile's letters of axes; all others are frames.
_ROLES = {"Y": ROW, "X": COLUMN}
# Pixels of TVIPS' cameras are in nm, and in m in what tifffile before 2025 makes of
# them; no pixel is that small in nm, or that large in m.
_SMALLEST_TVIPS_PIXEL_NM = 1e-6
# Zeiss stores the pixel, m, of an image of this width.
_ZEISS_WIDTH_PX = 1024
# Its text contains the pixel, too, rounded to a few digits: at most this share off.
_ZEISS_ROUNDING_SHARE = 0.05


def read_tiff(path, dataset, signal, max_bytes):
    """Read one series, or one channel of it, of a TIFF with its calibration."""
    import tifffile

    # Parts of an image may lie in other files, which the file names as it likes.
    with reading(path, "TIFF"), tifffile.TiffFile(path, _multifile=False) as file:
        parts = [
            (i, channel, name)
            for i, series in enumerate(file.series)
            for channel, name in _channels(file, series, i)
        ]
    index, channel, name = parts[choose([p[2] for p in parts], signal, path, "signal")]
    with reading(path, "TIFF"), tifffile.TiffFile(path, _multifile=False) as file:
        series = file.series[index]
        check_size(name, series.size * series.dtype.itemsize, max_bytes)
        image = _pixels(path, series)
        letters = series.axes
        if channel is not None:
            image = image.take(channel, axis=letters.index("C"))
            letters = letters.replace("C", "", 1)
        tags = {tag.name: tag.value for tag in series.keyframe.tags.values()}
        codes = {tag.code: tag.value for tag in series.keyframe.tags.values()}
        vendor = _vendor_metadata(file)
        axes = (
            _ome_axes(file.ome_metadata, index)
            or _imagej_axes(file.imagej_metadata, tags)
            or _gatan_axes(codes)
            or _vendor_axes(vendor, series.keyframe.imagewidth)
        )
        metadata = {
            "tags": {k: v for k, v in tags.items() if k not in _LONG_TAGS},
            "imagej": file.imagej_metadata,
            "ome": file.ome_metadata,
        } | vendor
    if axes is None and tags.get("Make") == "JEOL Ltd.":
        axes = _rosettasciio_axes(path, index)
    axes = axes or _resolution_axes(tags)
    if "S" in letters:
        image = np.moveaxis(image, letters.index("S"), -1)
    elif {"X", "Y"} <= set(letters):
        image, _ = arrange(image, [Axis(role=_ROLES.get(c, FRAME)) for c in letters])
        # An axis of length 1 does not make a stack.
        image = image.reshape(
            [n for n in image.shape[:-2] if n > 1] + [*image.shape[-2:]]
        )
        return Signal(name, image, axes, metadata, is_arranged=True)
    return Signal(name, np.squeeze(image), axes, metadata)


def _channels(file, series, index):
    """Return number and name of each channel of a series; None for the only one."""
    name = series.name or f"series {index}"
    n_channels = series.shape[series.axes.index("C")] if "C" in series.axes else 1
    if n_channels == 1:
        return [(None if "C" not in series.axes else 0, name)]
    names = _ome_channel_names(file.ome_metadata, index)
    if len(names) != n_channels or len(set(names)) != n_channels:
        names = [f"channel {i}" for i in range(n_channels)]
    if len(file.series) > 1:
        names = [f"{name}, {own}" for own in names]
    return list(enumerate(names))


def _pixels(path, series):
    """Return the pixels, by Pillow where tifffile lacks the decompression."""
    try:
        return series.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        return _pillow_pixels(path, series, error)


def _pillow_pixels(path, series, error):
    """Return the pixels of a series of whole pages, decompressed by Pillow."""
    from PIL import Image

    planes = []
    with Image.open(path) as picture:
        for page in series.pages:
            if page is None or page.index >= picture.n_frames:
                raise error
            picture.seek(page.index)
            planes.append(np.asarray(picture))
    stack = np.stack(planes)
    if stack.size != series.size or stack.dtype.itemsize != series.dtype.itemsize:
        raise error  # Pillow converts other modes
    return stack.astype(series.dtype, copy=False).reshape(series.shape)


def _steps(tags):
    """Return the lengths of a pixel along rows and columns in the resolution's unit."""
    steps = []
    for name in ("YResolution", "XResolution"):
        numerator, denominator = tags.get(name, (0, 1))
        if not numerator:
            return None
        steps.append(denominator / numerator)
    return steps


def _imagej_axes(imagej, tags):
    steps = _steps(tags)
    unit = (imagej or {}).get("unit")
    if steps is None or not unit:
        return None
    # ImageJ names a second unit only where it differs.
    return (steps[0], imagej.get("yunit") or unit), (steps[1], unit)


def _ome_image(ome, index):
    """Return the description of one image in OME's XML, {} without."""
    if not ome:
        return {}
    import tifffile

    images = tifffile.xml2dict(ome)["OME"]["Image"]
    return (images if isinstance(images, list) else [images])[index]["Pixels"]


def _ome_axes(ome, index):
    pixels = _ome_image(ome, index)
    if "PhysicalSizeX" not in pixels:
        return None
    return tuple(
        (pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "YX"
    )


def _ome_channel_names(ome, index):
    """Return the names of the channels in OME's XML, as far as they have any."""
    try:
        channels = _ome_image(ome, index).get("Channel", [])
    except (KeyError, IndexError, TypeError):
        return []
    channels = channels if isinstance(channels, list) else [channels]
    return [str(own["Name"]) for own in channels if own.get("Name")]


def _gatan_axes(codes):
    """Return the calibration in the private tags that DigitalMicrograph exports."""
    axes = [
        (codes.get(scale), codes.get(unit))
        for scale, unit in ((65010, 65004), (65009, 65003))
    ]
    return tuple(axes) if all(to_nm(*axis) for axis in axes) else None


def _vendor_metadata(file):
    """Return the tags of FEI, Zeiss, Olympus and TVIPS that tifffile parses."""
    contents = {key: getattr(file, key) for key in _VENDORS}
    return {key: content for key, content in contents.items() if content}


def _vendor_axes(metadata, width):
    """Return the calibration in the tags of FEI, Zeiss, Olympus and TVIPS.

    RosettaSciIO, which reads them too, needs all pixels for it and exchanges the sides
    of pixels that are not square.
    """
    for key, content in metadata.items():
        try:
            axes = _VENDORS[key](content, width)
        except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError):
            continue
        if all(to_nm(*axis) for axis in axes):
            return axes
    return None


def _fei_axes(fei, width):
    scan = fei.get("Scan", {})
    if "PixelWidth" in scan:
        sides = scan["PixelHeight"], scan["PixelWidth"]
    else:
        beam, image = fei[fei["Beam"]["Beam"]], fei["Image"]
        sides = (
            beam["VFW"] / image["ResolutionY"],
            beam["HFW"] / image["ResolutionX"],
        )
    return tuple((float(side), "m") for side in sides)


def _olympus_axes(sis, width):
    return tuple((float(sis[f"pixelsize{axis}"]), "m") for axis in "yx")


def _tvips_axes(tvips, width):
    sides = [float(tvips[f"PixelSize{axis}"]) for axis in "YX"]
    return tuple((s, "nm" if s > _SMALLEST_TVIPS_PIXEL_NM else "m") for s in sides)


def _zeiss_axes(sem, width):
    exact = float(sem[""][3]) * _ZEISS_WIDTH_PX / width if len(sem[""]) > 3 else None
    if "ap_image_pixel_size" not in sem:
        return ((exact, "m"),) * 2
    _, rounded, unit = sem["ap_image_pixel_size"]
    nm = to_nm(rounded, unit)
    if nm and exact and abs(to_nm(exact, "m") / nm - 1) < _ZEISS_ROUNDING_SHARE:
        return ((exact, "m"),) * 2
    return ((rounded, unit),) * 2


_VENDORS = {
    "fei_metadata": _fei_axes,
    "sem_metadata": _zeiss_axes,
    "sis_metadata": _olympus_axes,
    "tvips_metadata": _tvips_axes,
}


def _rosettasciio_axes(path, index):
    """Return the calibration that RosettaSciIO finds, such as that of JEOL's SightX."""
    api = import_optional("rsciio.tiff", "io")
    with reading(path, "TIFF"):
        axes = api.file_reader(str(path), _multifile=False)[index]["axes"]
    by_name = {axis["name"]: axis for axis in axes}
    if not {"height", "width"} <= set(by_name):
        return None
    sides = [by_name[name] for name in ("height", "width")]
    return tuple((side.get("scale"), side.get("units")) for side in sides)


def _resolution_axes(tags):
    unit = {2: "inch", 3: "cm", 4: "mm", 5: "um"}.get(
        int(tags.get("ResolutionUnit", 0))
    )
    steps = _steps(tags)
    if unit is None or steps is None:
        return None
    if max(to_nm(step, unit) for step in steps) > _LARGEST_PIXEL_NM:
        return None
    return tuple((step, unit) for step in steps)
