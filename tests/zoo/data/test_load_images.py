"""`load_images`: files of any mode and size as the input of a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import zoo
from zoo.data.images import FITS
from zoo.errors import DataError, UsageError


def halves(width: int, height: int) -> Image.Image:
    """Red on the left, green in the middle half, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 4, 0] = 255
    pixels[:, width // 4 : width - width // 4, 1] = 255
    pixels[:, width - width // 4 :, 2] = 255
    return Image.fromarray(pixels)


def loaded(picture: Image.Image, path, size, **options) -> np.ndarray:
    picture.save(path)
    (image,) = zoo.load_images([path], size, **options)
    return image


def test_crop_keeps_the_middle(tmp_path):
    image = loaded(halves(80, 40), tmp_path / "a.png", 20, fit="crop")
    np.testing.assert_array_equal(image[:, 1:-1], np.broadcast_to([0, 1, 0], (20, 18, 3)))
    assert image[:, [0, -1], 1].min() > 0.8  # the filter reaches a little beyond


def test_pad_shows_the_whole_between_black(tmp_path):
    image = loaded(halves(80, 40), tmp_path / "a.png", 20, fit="pad")
    assert not image[:5].any()
    assert not image[15:].any()
    np.testing.assert_array_equal(image[5:15, 1], np.broadcast_to([1, 0, 0], (10, 3)))
    np.testing.assert_array_equal(image[5:15, 18], np.broadcast_to([0, 0, 1], (10, 3)))


def test_stretch_shows_the_whole_everywhere(tmp_path):
    image = loaded(halves(80, 40), tmp_path / "a.png", 20, fit="stretch")
    np.testing.assert_array_equal(image[:, 1], np.broadcast_to([1, 0, 0], (20, 3)))
    np.testing.assert_array_equal(image[:, 18], np.broadcast_to([0, 0, 1], (20, 3)))


@settings(deadline=None, derandomize=True, max_examples=25)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 40), st.integers(1, 40), st.sampled_from(FITS))
def test_an_image_of_any_shape_gets_the_size_and_is_seen(tmp_path_factory, width, height, rows, columns, fit):
    path = tmp_path_factory.mktemp("any") / "a.png"
    image = loaded(Image.new("RGB", (width, height), (51, 102, 255)), path, (rows, columns), fit=fit)
    assert image.shape == (rows, columns, 3)
    assert image.dtype == np.float32
    colour = np.float32([0.2, 0.4, 1])
    seen = np.abs(image - colour).max(axis=-1) < 0.01
    assert seen.all() if fit != "pad" else seen.any()


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_as_sharp_as_a_png_also_when_it_is_turned(tmp_path, orientation):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 20, 3), dtype=np.uint8)
    noise = Image.fromarray(pixels).resize((500, 1000), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise.save(tmp_path / "a.jpg", exif=exif, quality=95)
    noise.save(tmp_path / "a.png", exif=exif)
    for size in ((1000, 250), (100, 100), (32, 32)):
        jpeg, png = zoo.load_images([tmp_path / "a.jpg", tmp_path / "a.png"], size, fit="stretch")
        assert np.sqrt(np.mean(np.square(jpeg - png))) < 0.05, size


def test_what_is_transparent_is_shown_on_white(tmp_path):
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, 3:, 3] = 255  # black, on the right
    for name, mode in {"rgba.png": "RGBA", "la.png": "LA"}.items():
        image = loaded(Image.fromarray(pixels).convert(mode), tmp_path / name, (4, 6))
        assert np.all(image[:, :3] == 1), name
        assert np.all(image[:, 3:] == 0), name


def test_a_transparent_colour_of_a_palette_is_shown_on_white(tmp_path):
    picture = Image.new("P", (6, 4), 0)
    picture.putpalette([10, 20, 30, 0, 0, 0])
    picture.paste(1, (3, 0, 6, 4))
    picture.save(tmp_path / "a.png", transparency=0)
    (image,) = zoo.load_images([tmp_path / "a.png"], (4, 6))
    assert np.all(image[:, :3] == 1)
    assert np.all(image[:, 3:] == 0)


def test_grey_of_32_bits_is_not_black(tmp_path):
    ramp = np.arange(0, 240, 10, dtype=np.int32).reshape(4, 6)
    image = loaded(Image.fromarray(ramp), tmp_path / "a.tif", (4, 6), color_mode="grayscale")
    np.testing.assert_allclose(image[..., 0], ramp / 255, atol=1e-6)
    wide = loaded(Image.fromarray(ramp * 257), tmp_path / "b.tif", (4, 6), color_mode="grayscale")
    np.testing.assert_allclose(wide, image, atol=1 / 255)


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.ones((3, 3), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a.tif: floating-point pixels"):
        zoo.load_images([tmp_path / "a.tif"], 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], 3), "one or more files"),
        (("a.png", 3), "list of one or more files"),
        (([3], 3), "list of one or more files"),
        ((["a.png"], 0), "image_size"),
        ((["a.png"], "32"), "image_size"),
        ((["a.png"], (32, 2.5)), "image_size"),
        ((["a.png"], (32, 32, 3)), "image_size"),
        ((["a.png"], None), "image_size"),
        ((["a.png"], 10**6), "image_size"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(UsageError, match=words):
        zoo.load_images(*arguments)


def test_names_that_are_nearly_right_are_answered():
    with pytest.raises(UsageError, match="did you mean 'crop'"):
        zoo.load_images(["a.png"], 3, fit="crob")
    with pytest.raises(UsageError, match="did you mean 'grayscale'"):
        zoo.load_images(["a.png"], 3, color_mode="greyscale")


def test_a_missing_file_is_called_missing(tmp_path):
    with pytest.raises(DataError, match=r"a.png: no such file"):
        zoo.load_images([tmp_path / "a.png"], 3)


def test_a_numpy_size_and_a_generator_are_fine(tmp_path):
    halves(8, 8).save(tmp_path / "a.png")
    assert zoo.load_images((tmp_path / name for name in ["a.png"]), np.int64(4)).shape == (1, 4, 4, 3)
