"""The SavedModel's decoder is the reader that data sets are made with, pixel by pixel."""

from __future__ import annotations

import io
import itertools

import zoo.startup  # noqa: F401

# isort: split
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from zoo.data.images import read_image
from zoo.exporting.encoded import decode_images

SHAPES = [(28, 28, 1), (17, 40, 3)]
SIZES = [(28, 28), (7, 9), (61, 83), (333, 200), (400, 61), (1, 1), (301, 900)]  # height, width


def photograph(height: int, width: int) -> Image.Image:
    random = np.random.default_rng(height * width)
    coarse = random.integers(0, 256, (max(2, height // 7), max(2, width // 7), 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + random.integers(-20, 20, smooth.shape)).clip(0, 255).astype(np.uint8))


def encodings(picture: Image.Image):
    """(what it is, bytes) of a picture: JPEG turned in all ways and with all samplings, PNG in all modes."""

    def saved(image: Image.Image, kind: str, **options) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    for orientation in range(10):  # 0 and 9 are none of EXIF's
        exif = Image.Exif()
        exif[0x010F], exif[0x0112] = "a maker", orientation
        yield f"JPEG {orientation}", saved(picture, "JPEG", quality=85, exif=exif)
    for sampling in range(3):
        yield f"JPEG sampling {sampling}", saved(picture, "JPEG", quality=50, subsampling=sampling, progressive=True)
    yield "JPEG grey", saved(picture.convert("L"), "JPEG")
    for mode in ("RGB", "L", "P", "1"):
        yield f"PNG {mode}", saved(picture.convert(mode), "PNG")
    for mode in ("RGBA", "LA"):
        image = picture.convert(mode)
        image.putalpha(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).convert("L"))
        yield f"PNG {mode}", saved(image, "PNG")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_pixel_is_what_read_image_gives(shape, tmp_path):
    decode = tf.function(lambda x: decode_images(x, shape), input_signature=[tf.TensorSpec([None], tf.string)])
    for height, width in SIZES:
        named = dict(encodings(photograph(height, width)))
        pixels = decode(tf.constant(list(named.values()))).numpy()
        for i, (name, content) in enumerate(named.items()):
            file = tmp_path / "image"
            file.write_bytes(content)
            expected = read_image(file, shape[:2], shape[2])
            np.testing.assert_array_equal(pixels[i], expected, err_msg=f"{name} {height}x{width}")


def test_bytes_after_a_header_that_is_cut_off_are_no_orientation():
    decode = tf.function(lambda x: decode_images(x, (8, 8, 3)), input_signature=[tf.TensorSpec([None], tf.string)])
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    photograph(8, 8).save(buffer, "JPEG", exif=exif)
    content = buffer.getvalue()
    start = content.index(b"Exif\0\0") + 6
    for place, value in itertools.product((0, 4, 5, 6, 7, 8, 9), (0, 127, 255)):  # byte order, directory, its length
        wrong = bytearray(content)
        wrong[start + place] = value
        assert decode(tf.constant([bytes(wrong)])).shape == (1, 8, 8, 3)
