from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

import zoo
from zoo.data.images import ImageOptions, image_header, read_image
from zoo.data.split import Scaling

RAMP = np.arange(200, dtype=np.uint8).reshape(10, 20)
COLOURS = np.random.default_rng(0).integers(0, 256, (10, 20, 3), dtype=np.uint8)

# orientation -> what was done to the upright picture before it was stored
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def options(size=None, color_mode=None, in_memory=None):
    return ImageOptions(size, color_mode, Scaling(), in_memory)


def sixteen_bit():
    return np.arange(200, dtype=np.uint16).reshape(10, 20) * 257


MODES = {
    "1.png": (Image.fromarray(RAMP).convert("1"), 1),
    "grey.png": (Image.fromarray(RAMP), 1),
    "grey.jpg": (Image.fromarray(RAMP), 1),
    "grey16.png": (Image.fromarray(sixteen_bit()), 1),
    "grey16.tif": (Image.frombytes("I;16B", (20, 10), sixteen_bit().astype(">u2").tobytes()), 1),
    "colour.png": (Image.fromarray(COLOURS), 3),
    "colour.bmp": (Image.fromarray(COLOURS), 3),
    "colour.webp": (Image.fromarray(COLOURS), 3),
    "cmyk.jpg": (Image.fromarray(COLOURS).convert("CMYK"), 3),
    "rgba.png": (Image.fromarray(np.dstack([COLOURS, RAMP])), 3),
    "palette.png": (Image.fromarray(COLOURS).convert("P"), 3),
    "palette.gif": (Image.fromarray(COLOURS).convert("P"), 3),
}


@pytest.mark.parametrize("name", MODES)
def test_every_mode_becomes_uint8_in_the_channels_asked_for(tmp_path, name):
    picture, channels = MODES[name]
    picture.save(tmp_path / name)
    assert image_header(tmp_path / name) == ((10, 20), channels)
    for wanted in (1, 3):
        pixels = read_image(tmp_path / name, None, wanted)
        assert (pixels.shape, pixels.dtype) == ((10, 20, wanted), np.uint8)
        assert pixels.std() > 10
        assert read_image(tmp_path / name, (5, 7), wanted).shape == (5, 7, wanted)


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tif"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path, name):
    MODES[name][0].save(tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name, None, 1)[..., 0], RAMP)


def test_lossless_files_give_their_very_pixels(tmp_path):
    for name in ("colour.png", "colour.bmp"):
        MODES[name][0].save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name, None, 3), COLOURS)
    MODES["grey.png"][0].save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", None, 3), np.dstack([RAMP] * 3))


def test_a_palette_is_looked_up(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    picture.putpalette([200, 10, 20, 30, 250, 60])
    picture.save(tmp_path / "p.png")
    pixels = read_image(tmp_path / "p.png", None, 3)
    assert pixels.tolist() == [[[200, 10, 20], [30, 250, 60]], [[30, 250, 60], [200, 10, 20]]]


@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_is_shown_upright(tmp_path, orientation):
    upright = Image.fromarray(COLOURS)
    method = STORED[orientation]
    stored = upright if method is None else upright.transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert image_header(tmp_path / "a.png") == ((10, 20), 3)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", None, 3), COLOURS)


@pytest.mark.parametrize("size", [None, (40, 20), (10, 30)])
def test_a_turned_photograph_is_turned_before_it_is_resized(tmp_path, size):
    upright = np.zeros((160, 80, 3), np.uint8)
    upright[:80] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif, quality=95)
    pixels = read_image(tmp_path / "a.jpg", size, 3)
    height, width = size or (160, 80)
    assert pixels.shape == (height, width, 3)
    assert pixels[: height // 2 - 1].min() > 200
    assert pixels[height // 2 + 1 :].max() < 55


def test_resizing_a_jpeg_averages_like_pillow(tmp_path):
    y, x = np.mgrid[:256, :256]
    smooth = np.dstack([x, y, (x + y) // 2]).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(Image.fromarray(smooth).resize((32, 24), Image.Resampling.BILINEAR), float)
    assert np.abs(read_image(tmp_path / "a.jpg", (24, 32), 3) - expected).max() < 12


@pytest.mark.parametrize("content", [b"", b"hello, I am text\n" * 20, "half"], ids=["empty", "text", "truncated"])
def test_an_unreadable_file_is_named_in_one_line(tmp_path, content):
    path = tmp_path / "broken.jpg"
    if content == "half":
        Image.fromarray(COLOURS).resize((200, 200)).save(path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    with pytest.raises(zoo.DataError) as refusal:
        read_image(path, None, 3)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"", b"hello, I am text\n" * 20])
def test_an_unreadable_header_is_named_too(tmp_path, content):
    (tmp_path / "broken.jpg").write_bytes(content)
    with pytest.raises(zoo.DataError, match=r"broken\.jpg"):
        image_header(tmp_path / "broken.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_100, 30_000])
def test_a_small_file_that_unfolds_to_gigabytes_is_refused(tmp_path, side):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(zoo.DataError, match=r"bomb\.png.*pixels"):
        read_image(tmp_path / "bomb.png", (8, 8), 3)


def test_images_are_held_in_memory_below_a_gibibyte_or_as_asked():
    assert options().holds_in_memory(2**10, (1024, 1024, 1))
    assert not options().holds_in_memory(2**10 + 1, (1024, 1024, 1))
    assert options(in_memory=True).holds_in_memory(2**30, (1024, 1024, 3))
    assert not options(in_memory=False).holds_in_memory(1, (1, 1, 1))


def test_convert_changes_colour_and_size_only_where_asked():
    np.testing.assert_array_equal(options().convert(COLOURS), COLOURS)
    grey = options(color_mode="grayscale").convert(COLOURS)
    np.testing.assert_array_equal(grey[..., 0], ImageOps.grayscale(Image.fromarray(COLOURS)))
    assert options((4, 6), "rgb").convert(RAMP[..., np.newaxis]).shape == (4, 6, 3)
    assert options((4, 6)).convert(RAMP[..., np.newaxis]).shape == (4, 6, 1)
