"""A Keras callback that measures a model on a whole split after each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.data.split import Split
from zoo.training.compiling import make_accuracy

_BATCH = 1000
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class SplitRecorder(keras.callbacks.Callback):
    """Measures the model on a split before training and after each epoch; for `zoo.train`.

    What a history says of the training data is a mean over the steps of an epoch, in which the weights move. This is what
    one and the same model does on all examples, as it would be on validation data.

    Args:
        split: what to measure on, e.g. `data.train`.
        losses: other losses to measure in the same pass: name -> (labels, outputs) -> the mean of a batch.

    Examples:
        >>> data = zoo.load_dataset("digits")
        >>> model = zoo.build("softmax", data.input_shape, data.num_classes)
        >>> recorder = SplitRecorder(data.train)
        >>> run = zoo.train(model, data, zoo.Recipe(epochs=3), callbacks=[recorder])
        >>> recorder.table["accuracy"].iloc[-1]
    """

    def __init__(self, split: Split, *, losses: Mapping[str, Loss] | None = None) -> None:
        super().__init__()
        self._split, self._others = split, dict(losses or {})
        self._rows: list[dict[str, float]] = []
        self._step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row a measurement: epoch (how many were done), loss (trained by, without penalties), accuracy, other losses."""
        return pd.DataFrame(self._rows, columns=["epoch", "loss", "accuracy", *self._others])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Measures the initial weights, once."""
        model, losses = self.model, [self.model.loss, *self._others.values()]
        self._accuracy = accuracy = make_accuracy(model.loss)

        @tf.function
        def step(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            outputs = model(inputs, training=False)
            accuracy.update_state(labels, outputs)
            return tf.stack([tf.cast(loss(labels, outputs), tf.float64) for loss in losses])

        self._step = step
        if not self._rows:
            self._record(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measures."""
        self._record(epoch + 1)

    def _record(self, epoch: int) -> None:
        assert self._step is not None
        self._accuracy.reset_state()
        totals = np.zeros(1 + len(self._others))
        for inputs, labels in self._split.batches(_BATCH):
            totals += len(labels) * self._step(inputs, labels).numpy()
        loss, *others = totals / len(self._split)
        row = {"epoch": epoch, "loss": loss, "accuracy": float(self._accuracy.result())}
        self._rows.append({**row, **dict(zip(self._others, others, strict=True))})
