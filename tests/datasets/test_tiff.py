"""Calibrations and compressions of TIFF that microscopes' programs write."""

import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from sklearn_ferroic.datasets import load_image

IMAGE = (100 * np.arange(24)[:, None] + np.arange(34)).astype(np.uint16)
STACK = np.stack([IMAGE, IMAGE + 5000, IMAGE + 9000])


def write_fei(path, sides_m, code):
    """Write the tag of FEI and Thermo Fisher: sections of text."""
    text = (
        "[User]\r\nUser=x\r\n[Beam]\r\nBeam=EBeam\r\n[EBeam]\r\nHFW=6.8e-10\r\n"
        "VFW=4.8e-10\r\n[Image]\r\nResolutionX=34\r\nResolutionY=24\r\n"
    )
    if sides_m is not None:
        text += f"[Scan]\r\nPixelHeight={sides_m[0]}\r\nPixelWidth={sides_m[1]}\r\n"
    tifffile.imwrite(path, IMAGE, extratags=[(code, "s", 0, text, True)])


@pytest.mark.parametrize("code", [34680, 34682])
@pytest.mark.parametrize("sides", [(2e-11, 2e-11), None])
def test_fei(tmp_path, sides, code):
    write_fei(tmp_path / "a.tif", sides, code)
    data = load_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size == pytest.approx(0.02)
    assert data.metadata["fei_metadata"]["User"]["User"] == "x"


def test_fei_pixels_that_are_not_square(tmp_path):
    """Height and width are not exchanged."""
    write_fei(tmp_path / "a.tif", (4e-11, 2e-11), 34682)
    with pytest.raises(ValueError, match=r"0\.04 nm along the rows' axis and 0\.02"):
        load_image(tmp_path / "a.tif")
    data = load_image(tmp_path / "a.tif", resample=True)
    assert data.image.shape == (47, 34)
    np.testing.assert_allclose(data.image[::2], IMAGE, rtol=1e-6)


@pytest.mark.parametrize(
    ("numbers", "text", "nm"),
    [
        # that of an image of 1,024 px, m
        (["0", "0", "0", f"{0.02e-9 * 34 / 1024}", "0"], "20.1 pm", 0.02),
        (["0", "0", "0", f"{0.02e-9 * 34 / 1024}", "0"], None, 0.02),
        (["0", "0"], "20 pm", 0.02),
        (["0", "0", "0", "1e-3", "0"], "20 pm", 0.02),
    ],
)
def test_zeiss(tmp_path, numbers, text, nm):
    lines = numbers
    if text is not None:
        lines = [*lines, "AP_IMAGE_PIXEL_SIZE", f"Image Pixel Size = {text}"]
    tag = (34118, "s", 0, "\r\n".join([*lines, ""]), True)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, extratags=[tag])
    assert load_image(tmp_path / "a.tif").pixel_size == pytest.approx(nm)


def test_tvips(tmp_path):
    first = np.zeros((), np.dtype(tifffile.TIFF.TVIPS_HEADER_V1))
    second = np.zeros((), np.dtype(tifffile.TIFF.TVIPS_HEADER_V2))
    first["Version"], second["Magic"] = 2, 0xAAAAAAAA
    second["PixelSizeX"], second["PixelSizeY"] = 0.02, 0.04
    content = first.tobytes() + second.tobytes()
    tag = (37706, "B", len(content), content, True)
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, extratags=[tag])
    with pytest.raises(ValueError, match=r"0\.04 nm along the rows' axis and 0\.02"):
        load_image(tmp_path / "a.tif")


def test_olympus(tmp_path):
    path = tmp_path / "a.tif"
    tag = (33560, "B", 300, bytes(300), True)
    tifffile.imwrite(path, IMAGE, extratags=[tag])
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].tags[33560].valueoffset
    head = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 0, 0, 1, 1, 100, b"name", 1)
    block = struct.pack("<hhI", 1, 1, start + len(head) + 8)
    block += struct.pack(
        "<10xhdd8xd2x34s32s", -9, 0.02, 0.02, 1e6, b"camera", b"bright field"
    )
    content = bytearray(path.read_bytes())
    content[start : start + len(head) + len(block)] = head + block
    path.write_bytes(content)
    data = load_image(path)
    np.testing.assert_array_equal(data.image, IMAGE)
    assert data.pixel_size == pytest.approx(0.02)
    assert data.metadata["sis_metadata"]["cameraname"] == "camera"


def test_jeol(tmp_path):
    """The size follows from magnification and resolution, which RosettaSciIO reads."""
    magnification = 1_000_000
    text = (
        "<TemReporter><DateTime>2026-01-01T00:00:00.0000000+00:00</DateTime>"
        "<Eos><EosMode>eosTEM</EosMode></Eos>"
        "<IlluminationSystem><ImageField>illuBF</ImageField></IlluminationSystem>"
        "<ImageFormingSystem><ImageFormingMode>modeMAG</ImageFormingMode>"
        "<SelectorString>x1M</SelectorString><ModeString>MAG</ModeString>"
        f"<SelectorValue>{magnification}</SelectorValue></ImageFormingSystem>"
        "</TemReporter>"
    )
    per_inch = 25.4e6 / magnification / 0.02
    tifffile.imwrite(
        tmp_path / "a.tif",
        IMAGE,
        description=text,
        metadata=None,
        resolution=(per_inch, per_inch),
        resolutionunit="INCH",
        extratags=[(271, "s", 0, "JEOL Ltd.", True)],
    )
    assert load_image(tmp_path / "a.tif").pixel_size == pytest.approx(0.02)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_compressed(tmp_path, dtype, compression):
    """tifffile needs another package for LZW; Pillow does not."""
    path = tmp_path / "a.tif"
    image = (IMAGE % 251).astype(dtype)
    Image.fromarray(image).save(path, compression=compression)
    data = load_image(path)
    np.testing.assert_array_equal(data.image, image)
    assert data.image.dtype == dtype


def test_stack_compressed_by_lzw(tmp_path):
    path = tmp_path / "a.tif"
    first, *others = (Image.fromarray(image) for image in STACK)
    first.save(path, compression="tiff_lzw", save_all=True, append_images=others)
    np.testing.assert_array_equal(load_image(path).image, STACK)
    grey = (IMAGE % 251).astype(np.uint8)
    colours = Image.fromarray(np.repeat(grey[..., None], 3, axis=-1))
    colours.save(path, compression="tiff_lzw")
    np.testing.assert_array_equal(load_image(path).image, grey)


def test_size_of_compressed_pages_is_limited(tmp_path):
    path = tmp_path / "a.tif"
    Image.fromarray(np.zeros((500, 500), np.uint8)).save(path, compression="tiff_lzw")
    with pytest.raises(ValueError, match="declares 250,000 bytes, more than max_bytes"):
        load_image(path, max_bytes=10_000)


def test_resolution_of_print_is_no_calibration_beside_a_tag(tmp_path):
    text = "[Scan]\r\nPixelHeight=2e-11\r\nPixelWidth=2e-11\r\n"
    tifffile.imwrite(
        tmp_path / "a.tif",
        IMAGE,
        resolution=(1e9, 1e9),
        resolutionunit="CENTIMETER",
        extratags=[(34682, "s", 0, text, True)],
    )
    assert load_image(tmp_path / "a.tif").pixel_size == pytest.approx(0.02)
