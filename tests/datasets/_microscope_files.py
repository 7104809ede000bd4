"""Small files of microscope formats that no package writes, byte by byte.

After the public descriptions of the formats: B. Schaffer's and C. Boothroyd's of
DigitalMicrograph and TIA, the EMD pages of the NCEM and FEI, and MRC2014.
"""

import json
import struct

import h5py
import numpy as np

# DigitalMicrograph: code of a tag's type, format of its value
_DM_TYPES = {"long": (3, "<i"), "ulong": (5, "<I"), "float": (6, "<f")}
_DM_ARRAYS = {"float32": (6, 2), "uint16": (4, 10), "int16": (2, 1)}


def write_dm(path, images, version):
    """Write DM3 or DM4 with images ``(name, array, (scale_row, scale_col), unit)``."""
    writer = _Dm(version)
    entries = [writer.group("", _dm_image(writer, *image)) for image in images]
    root = writer.group("", [writer.group("ImageList", entries)], is_root=True)
    size = writer.number(len(root))
    path.write_bytes(struct.pack(">i", version) + size + struct.pack(">i", 1) + root)
    return path


def _dm_image(writer, name, array, scales, unit):
    element, kind = _DM_ARRAYS[array.dtype.name]
    calibrated = [*scales[::-1], *[1.0] * (array.ndim - 2)]
    units = [unit, unit, *[""] * (array.ndim - 2)]
    dimensions = [
        writer.group(
            "",
            [
                writer.value("Origin", "float", 0),
                writer.value("Scale", "float", scale),
                writer.text("Units", own),
            ],
        )
        for scale, own in zip(calibrated, units, strict=True)
    ]
    brightness = [
        writer.value("Origin", "float", 0),
        writer.value("Scale", "float", 1),
        writer.text("Units", ""),
    ]
    calibrations = [
        writer.group("Brightness", brightness),
        writer.group("Dimension", dimensions),
    ]
    sizes = [writer.value("", "ulong", side) for side in array.shape[::-1]]
    data = [
        writer.group("Calibrations", calibrations),
        writer.array("Data", element, array),
        writer.value("DataType", "ulong", kind),
        writer.group("Dimensions", sizes),
        writer.value("PixelDepth", "ulong", array.itemsize),
    ]
    tags = [writer.group("ImageTags", []), writer.text("Name", name)]
    return [writer.group("ImageData", data), *tags]


class _Dm:
    """Tags of DM3 or DM4: the latter with long numbers and the tags' lengths."""

    def __init__(self, version):
        self.version = version

    def number(self, value):
        return struct.pack(">i" if self.version == 3 else ">q", value)

    def group(self, name, tags, *, is_root=False):
        body = b"\1\0" if is_root else self._sized(b"\1\0")
        body += self.number(len(tags)) + b"".join(tags)
        return body if is_root else self._header(20, name) + body

    def value(self, name, kind, value):
        code, form = _DM_TYPES[kind]
        return self._data(name, [code], struct.pack(form, value))

    def text(self, name, text):
        return self._data(name, [20, 4, len(text)], text.encode("utf-16-le"))

    def array(self, name, element, array):
        return self._data(name, [20, element, array.size], array.tobytes())

    def _data(self, name, info, content):
        numbers = b"".join(map(self.number, [len(info), *info]))
        return self._header(21, name) + self._sized(b"") + b"%%%%" + numbers + content

    def _header(self, code, name):
        return struct.pack(">BH", code, len(name)) + name.encode("latin-1")

    def _sized(self, flags):
        # The readers do not look at the length.
        if self.version == 3:
            return flags
        return flags + self.number(0) if flags else self.number(0)


def write_ser(path, array, scales):
    """Write a TIA series of one image, its scales in metres."""
    header = struct.pack(
        "<HHHIIIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1, 0, 1
    )
    dimension = struct.pack("<IddIII", 1, 0, 1, 0, 0, 0)
    start = len(header) + len(dimension)
    header = header[:22] + struct.pack("<I", start) + header[26:]
    (height, width), code = array.shape, {"uint16": 2, "float32": 7}[array.dtype.name]
    row, col = scales
    element = struct.pack("<ddIddI", 0, col, 0, 0, row, 0)
    element += struct.pack("<HII", code, width, height)
    # Electron microscopes of this maker count rows from the bottom.
    element += array[::-1].tobytes()
    tag = struct.pack("<HHI", 0x4152, 0, 0)
    first = start + 8
    offsets = struct.pack("<II", first, first + len(element))
    path.write_bytes(header + dimension + offsets + element + tag)
    return path


def write_mrc(path, array, scales):
    """Write MRC2014, its scales in ångström."""
    shape = array.shape if array.ndim == 3 else (1, *array.shape)
    n_images, height, width = shape
    mode = {"int16": 1, "float32": 2, "uint16": 6}[array.dtype.name]
    row, col = scales
    header = struct.pack("<10i", width, height, n_images, mode, 0, 0, 0, *shape[::-1])
    header += struct.pack("<6f", width * col, height * row, n_images, 90, 90, 90)
    header += struct.pack("<3i", 1, 2, 3)
    header += struct.pack("<3f", array.min(), array.max(), array.mean())
    header = header.ljust(208, b"\0") + b"MAP " + b"\x44\x44\0\0"
    path.write_bytes(header.ljust(1024, b"\0") + array.tobytes())
    return path


def write_velox(path, images):
    """Write EMD of Velox with images ``{key: (array, (row, col), detector)}``, in m."""
    with h5py.File(path, "w") as file:
        version = json.dumps({"format": "Velox", "version": "1.0"}).encode()
        file["Version"] = np.array([version], dtype="S")
        operations = {}
        for key, (array, (row, col), detector) in images.items():
            stack = array if array.ndim == 3 else array[None]
            group = file.create_group(f"Data/Image/{key}")
            group["Data"] = np.moveaxis(stack, 0, -1)
            group["Metadata"] = _as_bytes(_velox_metadata(row, col), len(stack))
            operations[key] = {"dataPath": f"/Data/Image/{key}", "detector": detector}
            group["FrameLookupTable"] = np.arange(len(stack))
        for key, operation in operations.items():
            text = json.dumps(operation).encode()
            file[f"Operations/StemInputOperation/{key}"] = np.array([text], dtype="S")
    return path


def _velox_metadata(row, col):
    return {
        "BinaryResult": {
            "PixelSize": {"width": str(col), "height": str(row)},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
            "Offset": {"x": "0", "y": "0"},
            "DetectorIndex": "0",
        },
        "Core": {"MetadataDefinitionVersion": "7.9"},
        "Instrument": {"InstrumentModel": "none"},
        "Optics": {"AccelerationVoltage": "300000"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "0"}},
        "Detectors": {"Detector-0": {"DetectorName": "HAADF", "DetectorType": "x"}},
        "Stage": {"AlphaTilt": "0", "BetaTilt": "0", "Position": {}},
        "Scan": {"FrameTime": "1.5", "DwellTime": "1e-6"},
        "Sample": {},
    }


def _as_bytes(metadata, n_frames):
    text = np.frombuffer(json.dumps(metadata).encode(), dtype=np.uint8)
    return np.repeat(text[:, None], n_frames, axis=1)
