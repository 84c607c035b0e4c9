"""Augmentation of whole batches: (images, labels) -> (images, labels), decided by a seed.

Images are float32 or float64 of shape (N, H, W, C) in the data's range; N may be unknown while a graph is traced. Seeds are
integer tensors of shape (2,). Every result is a function of (images, seed) alone; every image has its own draw, which, but
for noise, is the same in float32 and float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import zoo.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf

from zoo.errors import UsageError, unknown_name

Augmentation = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

FLIP_PROBABILITY = 0.5
CROP_SHARE = 1 / 8  # greatest shift, as a share of height or width (at least one pixel)
ROTATION_DEGREES = 15.0  # greatest angle to either side
BLUR_SIGMA = 1.0  # greatest standard deviation, in pixels
NOISE_STDDEV = 0.05  # in units of the data's range
CUTOUT_SHARE = 1 / 4  # side of the square, as a share of the image's shorter side (at least one pixel)


def random_flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors each image left-right with probability `FLIP_PROBABILITY`."""
    flip = tf.random.stateless_uniform([tf.shape(images)[0], 1], seed) < FLIP_PROBABILITY
    rows, columns = tf.range(tf.shape(images)[1]), tf.range(tf.shape(images)[2])
    return _pick(images, rows[None], tf.where(flip, columns[::-1], columns))


def random_crop(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shifts each image by whole pixels, up to `CROP_SHARE` of its size either way; the edge's mirror image comes in."""
    _, height, width, _ = images.shape
    count = tf.shape(images)[0]

    def drawn(size: int, seed: tf.Tensor) -> tf.Tensor:
        most = min(max(1, int(size * CROP_SHARE)), size - 1)  # a line of one pixel has no mirror image to bring in
        return tf.random.stateless_uniform([count], seed, 0, 2 * most + 1, tf.int32) - most

    seeds = tf.random.split(tf.cast(seed, tf.int64), 2)
    return shift(images, drawn(height, seeds[0]), drawn(width, seeds[1]))


def random_rotation(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Turns each image about its centre by an angle uniform within `ROTATION_DEGREES` to either side.

    Bilinear; what comes in at the corners is the mirror image at the border.
    """
    most = math.radians(ROTATION_DEGREES)
    return rotate(images, tf.random.stateless_uniform([tf.shape(images)[0]], seed, -most, most))


def random_blur(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Blurs each image with a Gaussian of a standard deviation uniform in [0, `BLUR_SIGMA`] pixels, cut to 5 x 5 pixels."""
    return blur(images, tf.random.stateless_uniform([tf.shape(images)[0]], seed, 0, BLUR_SIGMA))


def random_noise(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gaussian noise of standard deviation `NOISE_STDDEV`, in units of the data's range, to every value."""
    return images + tf.random.stateless_normal(tf.shape(images), seed, stddev=NOISE_STDDEV, dtype=images.dtype)


def random_cutout(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Covers a square of each image, of `CUTOUT_SHARE` of its shorter side, with the image's mean of each channel.

    The centre is uniform over the pixels, so the border may cut the square (DeVries and Taylor, 2017). They fill with zero,
    the mean of their standardised data; inputs here have other ranges, in which zero may be black, grey or absent.
    """
    _, height, width, _ = images.shape
    side = max(1, int(min(height, width) * CUTOUT_SHARE))
    count, seeds = tf.shape(images)[0], tf.random.split(tf.cast(seed, tf.int64), 2)
    y = tf.random.stateless_uniform([count], seeds[0], 0, height, tf.int32)
    x = tf.random.stateless_uniform([count], seeds[1], 0, width, tf.int32)
    return _cut_out(images, y - side // 2, x - side // 2, side)


AUGMENTATIONS = {
    "flip": random_flip,
    "crop": random_crop,
    "rotation": random_rotation,
    "blur": random_blur,
    "noise": random_noise,
    "cutout": random_cutout,
}


def check_names(names: Sequence[str], shape: Sequence[int | None]) -> None:
    """Refuses augmentations that do not exist or do not fit.

    Args:
        names: of `AUGMENTATIONS`.
        shape: of a batch, (N, H, W, C); N may be `None`.

    Raises:
        UsageError: an unknown name, or batches of something else than images.
    """
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", name, AUGMENTATIONS)
    if len(shape) != 4:
        wanted = f"augment={list(names)} is for images (height, width, channels)"
        raise UsageError(f"{wanted}. Received: inputs of shape {tuple(shape[1:])}")


def augmented(
    images: tf.Tensor, names: Sequence[str], seed: int | tf.Tensor, number: int | tf.Tensor, step: int | tf.Tensor
) -> tf.Tensor:
    """One batch of a training run, augmented.

    Args:
        images: float (N, H, W, C), in the data's range.
        names: of `AUGMENTATIONS`, in the order of their application; see `check_names`.
        seed: of the run.
        number: of the pass over the data, from 0.
        step: of the batch within the pass, from 0.

    Returns:
        Images of the same shape and type: a function of the arguments' values, whatever their integer types.
    """
    # int64 throughout: the type of what is folded in decides the bits that are drawn.
    draw = tf.random.fold_in(tf.stack([tf.cast(seed, tf.int64), 1]), tf.cast(number, tf.int64))
    seeds = tf.random.split(tf.random.fold_in(draw, tf.cast(step, tf.int64)), len(names))
    for position, name in enumerate(names):
        images = AUGMENTATIONS[name](images, seeds[position])
    return images


def apply(
    batches: tf.data.Dataset, augment: Augmentation | Sequence[str], seed: int, first_pass: int = 0
) -> tf.data.Dataset:
    """Maps the augmentations over batches, with a new draw in every pass; the first one counts as `first_pass`."""
    if callable(augment):
        return batches.map(augment, num_parallel_calls=2, deterministic=True)
    names = [augment] if isinstance(augment, str) else list(augment)
    check_names(names, batches.element_spec[0].shape)

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        def one_batch(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = batch
            return augmented(images, names, seed, number, step), labels

        return batches.enumerate().map(one_batch, num_parallel_calls=2, deterministic=True)

    steps = batches.cardinality()
    return passes(first_pass).flat_map(one_pass).apply(tf.data.experimental.assert_cardinality(steps))


def passes(first: int) -> tf.data.Dataset:
    """One element: how often the dataset made from it has been iterated, from `first`.

    Order and augmentation are functions of (seed, pass), and unlike `Dataset.shuffle` of nothing else: that one also
    mixes in TensorFlow's global seed.
    """
    count = tf.Variable(first - 1, dtype=tf.int64, trainable=False)
    return tf.data.Dataset.from_tensors(0).map(lambda _: count.assign_add(1))


def _pick(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Image n made anew of its rows `rows[n]` (N or 1, H) and columns `columns[n]` (N or 1, W).

    One gather of whole pixels: half the time of a padding and a gather along either axis.
    """
    count, height, width, channels = tf.unstack(tf.shape(images))
    lines = height * tf.range(count)[:, None] + rows
    index = width * lines[:, :, None] + columns[:, None]
    return tf.ensure_shape(tf.gather(tf.reshape(images, [-1, channels]), index), images.shape)


def shift(images: tf.Tensor, top: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
    """Image n from row `top[n]` and column `left[n]` on, less than its size from 0; mirrored like `tf.pad`'s REFLECT."""

    def places(start: tf.Tensor, size: int) -> tf.Tensor:
        last = size - 1
        return last - tf.abs(last - tf.abs(start[:, None] + tf.range(size)))

    return _pick(images, places(top, images.shape[1]), places(left, images.shape[2]))


def rotate(images: tf.Tensor, radians: tf.Tensor) -> tf.Tensor:
    """Turns image n about its centre by `radians[n]` (float32), counter-clockwise as it is seen; bilinear.

    Outside, the image is mirrored with its border pixels repeated. The kernel computes in float32 for float64 as well.
    """
    _, height, width, _ = images.shape
    x, y = (width - 1) / 2, (height - 1) / 2
    cos, sin, zero = tf.cos(radians), tf.sin(radians), tf.zeros_like(radians)
    # Output (x, y) -> where it is read in the input: the rotation's inverse, which keeps the centre.
    transforms = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero]
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(transforms, axis=1),
        output_shape=[height, width],
        fill_value=0.0,  # unused by REFLECT
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.ensure_shape(turned, images.shape)


def blur(images: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
    """Blurs image n with a Gaussian of standard deviation `sigma[n]` >= 0 pixels, cut to 5 x 5 pixels.

    Outside, the image is mirrored with its border pixels repeated, which keeps its mean. The blur along an axis is one
    product with a banded matrix an image: on a CPU at 32 x 32 pixels a third of the time of shifted sums and half of that
    of a depthwise convolution, which wins only above about 96 x 96. A GPU that multiplies in TF32 rounds the image to it.
    """
    near = tf.exp(-0.5 / tf.square(sigma))  # 0 for sigma=0, by way of -inf
    far = near**4
    weights = tf.stack([tf.ones_like(near), near, far], axis=1) / (1 + 2 * near + 2 * far)[:, None]
    weights = tf.cast(weights, images.dtype)

    def blurred_and_transposed(images: tf.Tensor) -> tf.Tensor:
        _, size, others, channels = images.shape
        bands = tf.tensordot(weights, tf.constant(_neighbours(size), images.dtype), 1)
        rows = tf.matmul(bands, tf.reshape(images, [-1, size, others * channels]))
        return tf.transpose(tf.reshape(rows, [-1, size, others, channels]), [0, 2, 1, 3])

    return tf.ensure_shape(blurred_and_transposed(blurred_and_transposed(images)), images.shape)


def _neighbours(size: int) -> np.ndarray:
    """How often pixel j of a mirrored line is at distance d from pixel i, at (d, i, j); d is 0, 1 or 2."""
    places = (np.arange(size)[:, None] + np.arange(-2, 3)) % (2 * size)
    places = np.minimum(places, 2 * size - 1 - places)
    found = (places[:, :, None] == np.arange(size)).astype(int)
    return np.stack([found[:, 2], found[:, 1] + found[:, 3], found[:, 0] + found[:, 4]])


def _cut_out(images: tf.Tensor, top: tf.Tensor, left: tf.Tensor, side: int) -> tf.Tensor:
    """Covers the square of image n that begins at row `top[n]` and column `left[n]` with its mean of each channel."""
    count, height, width, channels = tf.unstack(tf.shape(images))

    def covered(start: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        places = tf.range(size) - start[:, None]
        return (places >= 0) & (places < side)

    inside = covered(top, height)[:, :, None] & covered(left, width)[:, None]
    # The means stand behind all pixels and are gathered with them: faster than selecting with a broadcast mask.
    means = tf.reduce_mean(tf.reduce_mean(images, axis=1), axis=1)
    pixels = tf.concat([tf.reshape(images, [-1, channels]), means], axis=0)
    kept = tf.reshape(tf.range(count * height * width), [count, height, width])
    mean = count * height * width + tf.range(count)[:, None, None]
    return tf.ensure_shape(tf.gather(pixels, tf.where(inside, mean, kept)), images.shape)
