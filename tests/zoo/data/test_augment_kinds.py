"""What each kind of augmentation does to an image."""

from __future__ import annotations

import zoo.startup  # noqa: F401  (before Keras)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

# isort: split
import tensorflow as tf
from augmented_images import COUNT, HEIGHT, IMAGES, WIDTH, augmented, drawn, few_examples, random_images

from zoo.data import augment


def test_a_flip_mirrors_about_half_of_the_images():
    images = augmented(["flip"])
    kept = [np.array_equal(a, b) for a, b in zip(images, IMAGES, strict=True)]
    mirrored = [np.array_equal(a, b[:, ::-1]) for a, b in zip(images, IMAGES, strict=True)]
    assert all(k or m for k, m in zip(kept, mirrored, strict=True))
    assert COUNT / 4 < sum(mirrored) < 3 * COUNT / 4


def test_a_crop_shifts_by_up_to_an_eighth_and_mirrors_at_the_edge():
    pad_y, pad_x = HEIGHT // 8, WIDTH // 8
    shifts = set()
    for image, original in zip(augmented(["crop"]), IMAGES, strict=True):
        padded = np.pad(original, ((pad_y, pad_y), (pad_x, pad_x), (0, 0)), mode="reflect")
        found = [
            (y, x)
            for y in range(2 * pad_y + 1)
            for x in range(2 * pad_x + 1)
            if np.array_equal(image, padded[y : y + HEIGHT, x : x + WIDTH])
        ]
        assert len(found) == 1
        shifts.update(found)
    assert {y for y, _ in shifts} == {0, 1, 2}
    assert {x for _, x in shifts} == {0, 1, 2, 3, 4}


@few_examples
@given(height=st.integers(1, 9), width=st.integers(1, 9), data=st.data())
def test_a_shift_slices_the_mirrored_image(height, width, data):
    top, left = (data.draw(st.integers(1 - size, size - 1)) for size in (height, width))
    images = random_images(2, height, width, 2)
    pads = ((0, 0), (height - 1,) * 2, (width - 1,) * 2, (0, 0))
    y, x = top + height - 1, left + width - 1
    expected = np.pad(images, pads, mode="reflect")[:, y : y + height, x : x + width]
    expected[1] = images[1]  # which is not shifted
    np.testing.assert_array_equal(augment.shift(tf.constant(images), *tf.constant([[top, 0], [left, 0]])), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("degrees", [-15, -4, 0, 1, 10, 90, 200])
@pytest.mark.parametrize("shape", [(9, 14, 1), (11, 8, 3)], ids=str)
def test_a_rotation_is_scipy_s(shape, degrees, dtype):
    images = random_images(2, *shape, dtype=dtype)
    expected = ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1, mode="reflect")
    rotated = augment.rotate(tf.constant(images), tf.constant(np.radians([degrees, 0]), tf.float32))
    np.testing.assert_allclose(rotated[0], expected[0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(rotated[1], images[1], rtol=0, atol=1e-7)


def test_a_quarter_turn_is_counter_clockwise():
    images = random_images(1, 6, 6, 3)
    turned = augment.rotate(tf.constant(images), tf.constant([np.pi / 2], tf.float32))
    np.testing.assert_allclose(turned[0], np.rot90(images[0]), rtol=0, atol=1e-5)


def test_angles_are_uniform_to_both_sides():
    x = np.tile(np.arange(9, dtype=np.float32)[:, None], (400, 9, 1, 1))  # the value is the column it comes from
    middle = drawn("rotation", x)[:, 3:6, 3:6, 0]
    right, down = middle[:, 1, 2] - middle[:, 1, 1], middle[:, 2, 1] - middle[:, 1, 1]
    angles = np.degrees(np.arctan2(-down, right))
    np.testing.assert_allclose(np.quantile(angles, [0, 0.25, 0.5, 0.75, 1]), [-15, -7.5, 0, 7.5, 15], atol=1.5)
    assert np.abs(angles).max() < 15.001


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(9, 14, 1), (7, 5, 3), (2, 1, 3)], ids=str)
def test_a_blur_is_scipy_s(shape, dtype):
    sigmas = [0.2, 0.5, 1.0, 3.0]
    images = random_images(len(sigmas), *shape, dtype=dtype)
    blurred = augment.blur(tf.constant(images), tf.constant(sigmas))
    for image, sigma, found in zip(images, sigmas, blurred, strict=True):
        expected = ndimage.gaussian_filter(image, sigma, mode="reflect", radius=2, axes=(0, 1))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 1e-38, 1e-20, 1e-3])
def test_a_blur_of_no_width_changes_nothing(sigma):
    np.testing.assert_array_equal(augment.blur(tf.constant(IMAGES), tf.fill([COUNT], sigma)), IMAGES)


@few_examples
@given(sigma=st.floats(0, 1e9, width=32), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_blur_keeps_the_mean_and_brings_values_together(sigma, height, width):
    images = random_images(2, height, width, 2)
    blurred = augment.blur(tf.constant(images), tf.fill([2], sigma)).numpy()
    np.testing.assert_allclose(blurred.mean(axis=(1, 2)), images.mean(axis=(1, 2)), rtol=1e-5)
    assert (blurred.std(axis=(1, 2)) <= images.std(axis=(1, 2)) + 1e-6).all()


def test_widths_of_blurs_are_uniform_up_to_a_pixel():
    point = np.zeros((400, 7, 7, 1))
    point[:, 3, 3] = 1
    blurred = drawn("blur", point)
    sigmas = np.sqrt(-0.5 / np.log(np.maximum(blurred[:, 3, 4, 0] / blurred[:, 3, 3, 0], 1e-300)))
    np.testing.assert_allclose(np.quantile(sigmas, [0.25, 0.5, 0.75, 1]), [0.25, 0.5, 0.75, 1], atol=0.08)
    assert sigmas.max() < 1.001


@pytest.mark.parametrize(("top", "left", "side"), [(2, 3, 4), (-2, 5, 3), (7, -1, 5), (0, 0, 1), (9, 9, 2)])
def test_a_cutout_covers_its_square_with_each_image_s_mean(top, left, side):
    images = random_images(3, 9, 11, 2)
    expected = images.copy()
    expected[1:, max(0, top) : top + side, max(0, left) : left + side] = images[1:].mean(axis=(1, 2))[:, None, None]
    corners = [tf.constant([99, place, place]) for place in (top, left)]  # the first square lies outside
    np.testing.assert_allclose(augment._cut_out(tf.constant(images), *corners, side), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width", "side"), [(16, 20, 4), (15, 13, 3), (3, 2, 1)])
def test_cutouts_are_centred_on_every_pixel(height, width, side):
    count = 40 * height * width
    covered = drawn("cutout", np.tile(random_images(1, height, width, 1), (count, 1, 1, 1)))[..., 0]
    covered = covered != random_images(1, height, width, 1)[..., 0]
    squares = set()
    for rows, columns in zip(covered.any(axis=2), covered.any(axis=1), strict=True):
        (y,), (x,) = (np.split(np.flatnonzero(line), []) for line in (rows, columns))
        squares.add((y[0], y[-1] + 1, x[0], x[-1] + 1))
    spans = [
        {(max(0, c - side // 2), min(size, c - side // 2 + side)) for c in range(size)} for size in (height, width)
    ]
    assert squares == {(*rows, *columns) for rows in spans[0] for columns in spans[1]}
    assert abs(covered.mean() * height * width / side**2 - 1) < 0.5


def test_noise_is_gaussian_with_a_standard_deviation_of_a_twentieth():
    noise = augmented(["noise"]) - IMAGES
    assert abs(noise.mean()) < 0.002
    assert abs(noise.std() - 0.05) < 0.002
    assert abs((np.abs(noise) < 0.05).mean() - 0.683) < 0.02
