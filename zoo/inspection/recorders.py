"""Keras callbacks that keep the weights of each epoch or step."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np


class WeightRecorder(keras.callbacks.Callback):
    """Keeps the trainable weights before training and after each epoch; for `zoo.train` or `fit`."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[np.ndarray] = []

    @property
    def weights(self) -> np.ndarray:
        """(T, P) all trainable weights, flattened in the model's order, by time; the first are those before training."""
        return np.array(self._kept)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Keeps the initial weights, once."""
        if not self._kept:
            self._keep()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps the weights."""
        self._keep()

    def _keep(self) -> None:
        flat = [np.asarray(keras.ops.convert_to_numpy(v)).ravel() for v in self.model.trainable_variables]
        self._kept.append(np.concatenate(flat))


class StepWeightRecorder(WeightRecorder):
    """Keeps the weights after each gradient step. `zoo.train` then makes one step a call, which is slower."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Its last step has been kept."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps the weights."""
        self._keep()
