"""`Split` -> `tf.data.Dataset`: index, gather, cast, augment, prefetch, a whole batch at a time.

Images in memory are held once as uint8. Only their indices are shuffled; a batch is gathered, cast and scaled in one
operation each, which is what makes this several times faster than mapping single examples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import zoo.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf

from zoo.data import augment as augmentation
from zoo.data.images import read_image
from zoo.data.labels import checked_labels
from zoo.data.splits import Scaling, Split
from zoo.errors import DataError, UsageError


def scaled_batches(
    split: Split,
    batch_size: int,
    *,
    shuffle: bool,
    augment: augmentation.Augmentation | Sequence[str] | None,
    drop_remainder: bool,
    seed: int,
) -> tf.data.Dataset:
    """See `Split.batches`."""
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1. Received: batch_size={batch_size}")
    if split.stream is None:
        batches = _indexed(split, batch_size, shuffle=shuffle, drop_remainder=drop_remainder, seed=seed)
    else:
        examples = _stream(split)
        if shuffle:
            examples = examples.shuffle(min(len(split), 4096), seed=seed, reshuffle_each_iteration=True)
        batches = examples.batch(batch_size, drop_remainder=drop_remainder)
        steps = split.num_batches(batch_size, drop_remainder=drop_remainder)
        batches = batches.apply(tf.data.experimental.assert_cardinality(steps))
    batches = batches.map(lambda x, y: (scale(x, split.scaling), y), num_parallel_calls=2, deterministic=True)
    if augment:
        batches = augmentation.apply(batches, augment, seed)
    return batches.prefetch(tf.data.AUTOTUNE)


def stored_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """See `Split.stored_batches`."""
    if split.stream is None:
        return _indexed(split, batch_size, shuffle=False, drop_remainder=False, seed=0)
    return _stream(split).batch(batch_size)


def scale(inputs: tf.Tensor, scaling: Scaling) -> tf.Tensor:
    """Stored inputs -> model inputs: uint8 becomes float32 in the data's range, floats pass."""
    if inputs.dtype.is_floating:
        return inputs
    return tf.cast(inputs, tf.float32) * scaling.scale + scaling.offset


def split_from_dataset(dataset: tf.data.Dataset) -> Split:
    """A user's batched dataset of (inputs, integer labels) as a streamed `Split`; its size is counted by reading it."""
    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2 and spec[0].shape.rank and spec[1].shape.rank in (1, 2)):
        raise DataError(f"a dataset must give batches of (inputs, labels). Received: {spec}")
    read = [checked_labels(y.numpy(), len(x)) for x, y in dataset]
    if not read:
        raise DataError("the dataset gives no batches")
    labels = np.concatenate(read)
    return Split(
        size=len(labels),
        class_names=[str(k) for k in range(max(2, int(labels.max()) + 1))],
        input_shape=spec[0].shape[1:],
        dtype=spec[0].dtype.as_numpy_dtype,
        scaling=Scaling.to_range(0, 1) if spec[0].dtype == tf.uint8 else Scaling(),
        labels=labels,
        stream=lambda: dataset.unbatch().map(lambda x, y: (x, tf.reshape(y, []))),
    )


def _indexed(split: Split, batch_size: int, *, shuffle: bool, drop_remainder: bool, seed: int) -> tf.data.Dataset:
    """Batches in an order of indices: gathered from memory, or decoded from files."""
    count = len(split)
    steps = split.num_batches(batch_size, drop_remainder=drop_remainder)
    examples = (
        _gather(split, batch_size, steps) if split.inputs is not None else _decode(split, batch_size, drop_remainder)
    )

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.range(count)
        if shuffle:
            order = tf.random.experimental.stateless_shuffle(order, tf.random.fold_in([seed, 0], number))
        return examples(order)

    whole = augmentation.passes().flat_map(one_pass)
    return whole.apply(tf.data.experimental.assert_cardinality(steps))


def _gather(split: Split, batch_size: int, steps: int) -> Callable[[tf.Tensor], tf.data.Dataset]:
    inputs, labels = split.tensors

    def examples(order: tf.Tensor) -> tf.data.Dataset:
        batches = tf.data.Dataset.range(steps).map(lambda step: order[step * batch_size : (step + 1) * batch_size])
        return batches.map(
            lambda i: (tf.gather(inputs, i), tf.gather(labels, i)), num_parallel_calls=2, deterministic=True
        )

    return examples


def _decode(split: Split, batch_size: int, drop_remainder: bool) -> Callable[[tf.Tensor], tf.data.Dataset]:
    files, labels = tf.constant(split.files), tf.constant(split.labels)
    height, width, channels = split.input_shape

    def read(name: bytes) -> np.ndarray:
        return read_image(Path(os.fsdecode(name)), (height, width), channels)

    def example(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.numpy_function(read, [files[index]], tf.uint8, stateful=False)
        return tf.ensure_shape(image, split.input_shape), labels[index]

    def examples(order: tf.Tensor) -> tf.data.Dataset:
        singles = tf.data.Dataset.from_tensor_slices(order)
        decoded = singles.map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return decoded.batch(batch_size, drop_remainder=drop_remainder)

    return examples


def _stream(split: Split) -> tf.data.Dataset:
    assert split.stream is not None
    return split.stream().map(lambda x, y: (x, tf.cast(y, tf.int32)), num_parallel_calls=2, deterministic=True)
