"""Batches for all members: of one order, or of an order for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import zoo.startup  # noqa: F401  (before Keras)

import tensorflow as tf

from zoo.data.pipeline import MemoryBatches, examples_of, scale
from zoo.data.split import Split

_PACKET = 8  # numbers that the processor may take at once
Examples = tuple[tf.Tensor, tf.Tensor]  # rows of the store and labels, each (1, N) for all members or (M, N)


class Batch(NamedTuple):
    """Inputs (G, B, ...) and labels (G, B), of which the first `count` are examples, as `mask` (B,) says."""

    inputs: tf.Tensor
    labels: tf.Tensor
    mask: tf.Tensor
    count: tf.Tensor

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """(M,) sums over the examples of (M, B)."""
        return tf.reduce_sum(tf.where(self.mask, values, tf.zeros([], values.dtype)), axis=1)


class StackedBatches:
    """Batches of splits of one store as operations of a graph.

    Args:
        split: in memory; it has the store and the scaling of all.
        batch_size: examples a batch.
        shuffle: whether each pass has an order of its own.
    """

    def __init__(self, split: Split, batch_size: int, *, shuffle: bool = False) -> None:
        self._memory, self._scaling, self._size = (
            MemoryBatches(split, batch_size, shuffle=shuffle),
            split.scaling,
            batch_size,
        )

    def orders(self, seeds: tf.Tensor, number: tf.Tensor, examples: Examples) -> Examples:
        """Examples in the order of pass `number`, which each one's seed decides."""
        column = tf.TensorSpec([None], tf.int32)
        ordered: Examples = tf.map_fn(
            lambda one: self._memory.order(one[0], number, one[1:]),
            (seeds, *examples),
            fn_output_signature=(column, column),
        )
        return ordered

    def batch(
        self, examples: Examples, start: tf.Tensor, augment: Callable[[tf.Tensor], tf.Tensor] | None = None
    ) -> Batch:
        """The examples from `start` on, the last of them repeated until their number is a multiple of `_PACKET`.

        What is computed a packet at a time rounds otherwise in a rest at the end, which so is no member's. `augment` is for
        one order: (B, ...) inputs -> as many.
        """
        rows, labels = (part[:, start : start + self._size] for part in examples)
        count = tf.shape(rows)[1]
        places = tf.minimum(tf.range(count + tf.math.floormod(-count, _PACKET)), count - 1)
        if augment is None:
            inputs = scale(self._memory.inputs(tf.gather(rows, places, axis=1)), self._scaling)
        else:
            inputs = tf.gather(augment(scale(self._memory.inputs(rows[0]), self._scaling)), places)[tf.newaxis]
        return Batch(inputs, tf.gather(labels, places, axis=1), tf.range(tf.size(places)) < count, count)


def examples_of_all(splits: Sequence[Split]) -> Examples:
    """The examples of one split for all members, or of one for each, all of one size."""
    made = {id(split): examples_of(split) for split in splits}
    rows, labels = zip(*(made[id(split)] for split in splits), strict=True)
    return tf.stack(rows), tf.stack(labels)
