"""Augmentation of whole batches: (images, labels) -> (images, labels), decided by a seed.

Images are float (N, H, W, C) in the data's range. Every function draws one value an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zoo.startup  # noqa: F401  (before TensorFlow)

import tensorflow as tf

from zoo.errors import UsageError, unknown_name

Augmentation = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def random_flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirrors each image left-right with probability 1/2."""
    flip = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed) < 0.5
    return tf.where(flip, tf.reverse(images, axis=[2]), images)


def random_crop(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shifts each image by up to 1/8 of its size in both directions; what comes in is the edge's mirror image."""
    _, height, width, _ = images.shape
    pad_y, pad_x = max(1, height // 8), max(1, width // 8)
    padded = tf.pad(images, [[0, 0], [pad_y, pad_y], [pad_x, pad_x], [0, 0]], mode="REFLECT")
    count = tf.shape(images)[0]
    seeds = tf.random.split(seed, 2)
    top = tf.random.stateless_uniform([count], seeds[0], 0, 2 * pad_y + 1, tf.int32)
    left = tf.random.stateless_uniform([count], seeds[1], 0, 2 * pad_x + 1, tf.int32)
    rows = tf.gather(padded, top[:, None] + tf.range(height)[None], axis=1, batch_dims=1)
    return tf.ensure_shape(tf.gather(rows, left[:, None] + tf.range(width)[None], axis=2, batch_dims=1), images.shape)


def random_noise(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gaussian noise of standard deviation 0.05, in units of the data's range."""
    return images + tf.random.stateless_normal(tf.shape(images), seed, stddev=0.05, dtype=images.dtype)


AUGMENTATIONS = {"flip": random_flip, "crop": random_crop, "noise": random_noise}


def apply(batches: tf.data.Dataset, augment: Augmentation | Sequence[str], seed: int) -> tf.data.Dataset:
    """Maps the augmentations over batches, with a new draw in every pass."""
    if callable(augment):
        return batches.map(augment, num_parallel_calls=2, deterministic=True)
    names = [augment] if isinstance(augment, str) else list(augment)
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", name, AUGMENTATIONS)
    shape = batches.element_spec[0].shape
    if shape.rank != 4:
        raise UsageError(
            f"augment={names} is for images (height, width, channels). Received: inputs of shape {tuple(shape[1:])}"
        )

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        draw = tf.random.fold_in([seed, 1], number)

        def augmented(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = batch
            seeds = tf.random.split(tf.random.fold_in(draw, step), len(names))
            for position, name in enumerate(names):
                images = AUGMENTATIONS[name](images, seeds[position])
            return images, labels

        return batches.enumerate().map(augmented, num_parallel_calls=2, deterministic=True)

    steps = batches.cardinality()
    return passes().flat_map(one_pass).apply(tf.data.experimental.assert_cardinality(steps))


def passes() -> tf.data.Dataset:
    """One element: how often the dataset made from it has been iterated, from 0.

    Order and augmentation are functions of (seed, pass), and unlike `Dataset.shuffle` of nothing else: that one also
    mixes in TensorFlow's global seed.
    """
    count = tf.Variable(-1, dtype=tf.int64, trainable=False)
    return tf.data.Dataset.from_tensors(0).map(lambda _: count.assign_add(1))
