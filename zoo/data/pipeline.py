"""`Split` -> `tf.data.Dataset`: index, gather, cast, augment, prefetch, a whole batch at a time.

Images in memory are held once as uint8. Only their indices are shuffled; a batch is gathered, cast and scaled in one
operation each, which is what makes this several times faster than mapping single examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import zoo.startup  # noqa: F401  (before TensorFlow)

import numpy as np
import tensorflow as tf

from zoo.data import augment as augmentation
from zoo.data.labels import checked_labels
from zoo.data.split import Scaling, Split
from zoo.data.streaming import decoded, streamed
from zoo.errors import DataError


def scaled_batches(
    split: Split,
    batch_size: int,
    *,
    shuffle: bool,
    augment: augmentation.Augmentation | Sequence[str] | None,
    drop_remainder: bool,
    seed: int,
    first_pass: int,
) -> tf.data.Dataset:
    """See `Split.batches`."""
    batches = _batches(
        split, batch_size, shuffle=shuffle, drop_remainder=drop_remainder, seed=seed, first_pass=first_pass
    )
    batches = batches.map(lambda x, y: (scale(x, split.scaling), y), num_parallel_calls=2, deterministic=True)
    if augment:
        batches = augmentation.apply(batches, augment, seed, first_pass)
    return batches.prefetch(tf.data.AUTOTUNE)


def stored_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """See `Split.stored_batches`."""
    return _batches(split, batch_size, shuffle=False, drop_remainder=False, seed=0)


def scale(inputs: tf.Tensor, scaling: Scaling) -> tf.Tensor:
    """Stored inputs -> model inputs: uint8 becomes float32 in the data's range, floats pass."""
    if inputs.dtype.is_floating:
        return inputs
    return tf.cast(inputs, tf.float32) * scaling.scale + scaling.offset


def split_from_dataset(dataset: tf.data.Dataset) -> Split:
    """A user's batched dataset of (inputs, integer labels) as a streamed `Split`; its size is counted by reading it.

    It is never cached: it may augment.

    Raises:
        DataError: it gives no batches of (inputs, labels), inputs of no fixed shape, no examples or no end.
    """
    inputs = _checked_inputs(dataset)
    read = []
    for x, y in dataset:
        read.append(checked_labels(y.numpy(), len(x)))
        if x.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(x)):
            raise DataError(
                f"the inputs hold NaN or infinite values, first in batch {len(read) - 1}; remove or replace them"
            )
    if not read:
        raise DataError("the dataset gives no batches")
    found = np.concatenate(read)
    return Split(
        size=len(found),
        class_names=[str(k) for k in range(max(2, int(found.max()) + 1))],
        input_shape=inputs.shape[1:],
        dtype=inputs.dtype.as_numpy_dtype,
        scaling=Scaling.to_range((0, 1)) if inputs.dtype == tf.uint8 else Scaling(),
        labels=found,
        stream=lambda: dataset.unbatch().map(lambda x, y: (x, tf.reshape(y, []))),
    )


def _checked_inputs(dataset: tf.data.Dataset) -> tf.TensorSpec:
    """The inputs of a user's dataset, once it is known to give batches with labels, of one shape, and to come to an end."""
    spec = dataset.element_spec
    is_pair = isinstance(spec, tuple) and len(spec) == 2 and all(isinstance(part, tf.TensorSpec) for part in spec)
    inputs, labels = spec if is_pair else (tf.TensorSpec([]), tf.TensorSpec([]))
    if not inputs.shape.rank or labels.shape.rank not in (1, 2):
        raise DataError(f"a dataset must give batches of (inputs, labels). Received: {spec}")
    if None in inputs.shape[1:]:
        raise DataError(
            f"the inputs of a dataset must have one known shape; use ensure_shape. Received: {inputs.shape}"
        )
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise DataError("the dataset never ends; leave out .repeat(), Recipe(epochs=...) repeats it")
    return inputs


class MemoryBatches:
    """Batches of a split in memory as operations of a graph: an order, and a gather a batch.

    `Split.batches` makes a dataset of them; `zoo.training` runs them inside the graph of an epoch.

    Args:
        split: a split in memory.
        batch_size: examples a batch.
        shuffle: whether each pass has an order of its own.
        drop_remainder: whether a last partial batch is left out.

    Attributes:
        examples: (rows of the store, labels) of the split.
        steps: batches a pass.
    """

    def __init__(self, split: Split, batch_size: int, *, shuffle: bool = False, drop_remainder: bool = False) -> None:
        assert split.store is not None
        self._store, self._batch_size, self._shuffle = split.store.tensor, batch_size, shuffle
        self.examples = examples_of(split)
        self.steps = split.num_batches(batch_size, drop_remainder=drop_remainder)

    def order(
        self, seed: int | tf.Tensor, number: tf.Tensor, examples: tuple[tf.Tensor, tf.Tensor] | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """(rows of the store, labels) in the order of pass `number`; of other examples of the store where they are given."""
        rows, labels = self.examples if examples is None else examples
        if not self._shuffle:
            return rows, labels
        with tf.device("CPU"):
            order = shuffled(tf.size(rows), seed, number)
            return tf.gather(rows, order), tf.gather(labels, order)

    def batch(self, order: tuple[tf.Tensor, tf.Tensor], step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(stored inputs, labels) of batch `step` of a pass in `order`."""
        rows, labels = order
        start = tf.cast(step, tf.int32) * self._batch_size
        return self.inputs(rows[start : start + self._batch_size]), labels[start : start + self._batch_size]

    def inputs(self, rows: tf.Tensor) -> tf.Tensor:
        """The stored inputs at rows of the store, in whatever shape the rows come."""
        with tf.device("CPU"):  # where the data are: a batch goes to an accelerator, not the store
            return tf.gather(self._store, rows)


def examples_of(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    """((N,) rows of the store, (N,) labels) of a split in memory, int32."""
    return tf.constant(split.rows), tf.constant(split.labels)


def shuffled(count: int | tf.Tensor, seed: int | tf.Tensor, number: tf.Tensor) -> tf.Tensor:
    """(count,) a permutation that the seed and the number of the pass decide."""
    draw = tf.random.fold_in(tf.stack([tf.cast(seed, tf.int64), 0]), tf.cast(number, tf.int64))
    return tf.random.experimental.stateless_shuffle(tf.range(count), draw)


def _batches(
    split: Split, batch_size: int, *, shuffle: bool, drop_remainder: bool, seed: int, first_pass: int = 0
) -> tf.data.Dataset:
    """Batches of (stored inputs, labels): gathered from memory, decoded from files, or read from a stream."""
    steps = split.num_batches(batch_size, drop_remainder=drop_remainder)
    if split.stream is not None:
        return streamed(
            split, batch_size, shuffle=shuffle, drop_remainder=drop_remainder, seed=seed, first_pass=first_pass
        )
    if split.store is not None:
        memory = MemoryBatches(split, batch_size, shuffle=shuffle, drop_remainder=drop_remainder)

        def one_pass(number: tf.Tensor) -> tf.data.Dataset:
            order = memory.order(seed, number)
            steps = tf.data.Dataset.range(memory.steps)
            return steps.map(lambda step: memory.batch(order, step), num_parallel_calls=2, deterministic=True)
    else:
        examples = decoded(split, batch_size, drop_remainder)

        def one_pass(number: tf.Tensor) -> tf.data.Dataset:
            return examples(shuffled(len(split), seed, number) if shuffle else tf.range(len(split)))

    batches = augmentation.passes(first_pass).flat_map(one_pass).apply(tf.data.experimental.assert_cardinality(steps))
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False  # they copy the whole store in every pass
    return batches.with_options(options)
