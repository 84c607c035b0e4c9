"""The train loss of every gradient step, written inside the graph."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf


class StepRecorder:
    """Keeps the loss of each gradient step of an epoch in a variable, so that recording costs no call to Python.

    Args:
        capacity: gradient steps an epoch.
        strategy: where the model trains.
    """

    def __init__(self, capacity: int, strategy: tf.distribute.Strategy) -> None:
        self.capacity = capacity
        # On several devices each has its own copy, and reading adds them up: Keras divides a device's loss by their number.
        copies = {"synchronization": tf.VariableSynchronization.ON_READ}
        with strategy.scope():
            self._losses = tf.Variable(
                tf.zeros([capacity, 2], tf.float64),
                trainable=False,
                aggregation=tf.VariableAggregation.SUM,
                **copies,
            )
            self._position = tf.Variable(
                0, dtype=tf.int64, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA, **copies
            )

    def record(self, loss: tf.Tensor, data_loss: tf.Tensor) -> None:
        """Adds one step; called while the train step is traced."""
        row = tf.cast(tf.stack([loss, data_loss]), tf.float64)
        tf.raw_ops.ResourceScatterNdUpdate(ref=self._losses.handle, indices=[[self._position]], updates=[row])
        self._position.assign_add(1)

    def present(self) -> np.ndarray:
        """(steps, 2) losses with and without penalties since `take` was last called."""
        return np.asarray(self._losses.numpy()[: int(self._position.numpy())])

    def restore(self, losses: np.ndarray) -> None:
        """Continues an epoch of which some steps were recorded."""
        rows = np.zeros([self.capacity, 2])
        rows[: len(losses)] = losses
        self._losses.assign(rows)
        self._position.assign(len(losses))

    def take(self) -> np.ndarray:
        """`present`, and an empty record from now on."""
        losses = self.present()
        self._position.assign(0)
        return losses


@contextlib.contextmanager
def recording(model: keras.Model, recorder: StepRecorder) -> Iterator[None]:
    """While inside, every train step of `model` writes its loss to `recorder`.

    `compute_loss` is the method that Keras documents for overriding; here it is overridden for one object and one fit. As in
    Keras, each of several devices has its share of the loss.
    """
    original, share = model.compute_loss, 1 / model.distribute_strategy.num_replicas_in_sync

    def compute_loss(
        x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        if y_pred.dtype == tf.float64:  # Keras's own sum of losses is float32
            data_loss = model.loss(y, y_pred, sample_weight)
            loss = tf.add_n([data_loss, *(tf.cast(p, tf.float64) * share for p in model.losses)])
        else:
            loss = original(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
            data_loss = loss - sum(tf.cast(p, loss.dtype) * share for p in model.losses)
        if training:
            recorder.record(loss, data_loss)
        return loss

    model.compute_loss = compute_loss
    try:
        yield
    finally:
        del model.compute_loss  # the method of the class is back
        model.train_function = None  # the traced one writes to the recorder
