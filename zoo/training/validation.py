"""Validation by epoch or by global step, early stopping counted in validations, best weights."""

from __future__ import annotations

from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.pipeline import MemoryBatches, examples_of, scale
from zoo.data.split import Split
from zoo.errors import ZooError
from zoo.training.recipe import MONITORS, Recipe


class Validator:
    """Loss and accuracy of a model on a split, in one graph call.

    Args:
        model: any Keras model.
        split: what it is measured on.
        loss: a Keras loss that averages over a batch.
        accuracy: a Keras accuracy metric of its own.
        batch_size: examples a forward pass.
    """

    def __init__(
        self, model: keras.Model, split: Split, loss: keras.Loss, accuracy: keras.Metric, batch_size: int
    ) -> None:
        self._accuracy, self._batch_size = accuracy, batch_size

        def batch_loss(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            outputs = model(inputs, training=False)
            accuracy.update_state(labels, outputs)
            return tf.cast(loss(labels, outputs), tf.float64) * tf.cast(tf.shape(labels)[0], tf.float64)

        if split.store is not None:
            # A loop in the graph: a tf.data iterator for every validation would cost more than a small model.
            memory, scaling = MemoryBatches(split, batch_size), split.scaling
            column = tf.TensorSpec([None], tf.int32)

            @tf.function(input_signature=[(column, column), tf.TensorSpec([], tf.int64)])
            def total_loss(examples: tuple[tf.Tensor, tf.Tensor], steps: tf.Tensor) -> tf.Tensor:
                total = tf.constant(0.0, tf.float64)
                for step in tf.range(steps):
                    inputs, labels = memory.batch(examples, step)
                    total += batch_loss(scale(inputs, scaling), labels)
                return total
        else:
            batches = split.batches(batch_size)

            @tf.function
            def total_loss() -> tf.Tensor:
                total = tf.constant(0.0, tf.float64)
                for inputs, labels in batches:
                    total += batch_loss(inputs, labels)
                return total

        self._total_loss = total_loss
        self._penalty = tf.function(lambda: sum(tf.cast(p, tf.float64) for p in model.losses))
        self.use(split)

    def use(self, split: Split) -> None:
        """Measures on another split from now on; for data in memory, of the same store."""
        self._size = len(split)
        self._arguments: tuple[Any, ...] = ()
        if split.store is not None:
            steps = split.num_batches(self._batch_size)
            self._arguments = examples_of(split), tf.constant(steps, tf.int64)

    def __call__(self) -> dict[str, float]:
        """`val_loss` (with penalties), `val_data_loss` (without) and `val_accuracy` of the present weights."""
        self._accuracy.reset_state()
        data_loss = float(self._total_loss(*self._arguments)) / self._size
        return {
            "val_loss": data_loss + float(self._penalty()),
            "val_data_loss": data_loss,
            "val_accuracy": float(self._accuracy.result()),
        }


class Validations(keras.callbacks.Callback):
    """Validates at the end of epochs, keeps the best weights, and stops training when patience runs out.

    Args:
        validator: measures.
        recipe: when to validate, and what counts as better.
        phase: number of the phase.
        first_step: global step of its beginning.
        learner: whose weights are kept and restored: the model, or the part of it that learns.

    Attributes:
        learner: as above.
        records: one row a validation: phase, epoch, step (the global one it came after) and the measures.
        best: the record with the best `monitor`, or `None`.
        best_weights: the weights it was measured on.
        stopped_early: whether patience ran out.
        final: the measures of the weights that the model holds at the end of training.
    """

    def __init__(self, validator: Validator, recipe: Recipe, phase: int, first_step: int, learner: keras.Model) -> None:
        super().__init__()
        self.learner = learner
        self._validate, self._recipe, self._phase, self._first_step = validator, recipe, phase, first_step
        self._sign = 1.0 if MONITORS[recipe.monitor] == "max" else -1.0
        self._since_best = 0
        self.records: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None
        self.best_weights: list[np.ndarray] | None = None
        self.stopped_early = False
        self.final: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """What a resumed training needs to know, as plain values; `best_weights` go beside it."""
        names = ("records", "best", "stopped_early", "_since_best")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any], best_weights: list[np.ndarray] | None) -> None:
        """Continues from `state`.

        Raises:
            ZooError: it is another's.
        """
        if state.keys() != self.state().keys():  # a file must not set any other attribute
            raise ZooError(
                "the saved state is that of another way to validate; "
                "delete the state file (state.npz of a run) to start again"
            )
        for name, value in state.items():
            setattr(self, name, value)
        self.best_weights = best_weights

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        if (epoch + 1) % self._recipe.validation_freq == 0 and logs is not None:
            logs.update(self._record(epoch))  # callbacks after this one see it, as under `fit(validation_data=...)`

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        if self._recipe.patience is not None and self.best is not None:
            self.learner.set_weights(self.best_weights)
            self.final = self.best
        elif self.records and self.records[-1]["step"] == self._last_step():
            self.final = self.records[-1]
        else:  # the last steps came after the last validation
            self.final = self._validate()

    def _last_step(self) -> int:
        return self._first_step + int(self.model.optimizer.iterations.numpy()) - 1

    def _record(self, epoch: int) -> dict[str, float]:
        measures = self._validate()
        record = {"phase": self._phase, "epoch": epoch, "step": self._last_step(), **measures}
        self.records.append(record)
        score = self._sign * measures[self._recipe.monitor]
        if self.best is None or not score <= self._sign * self.best[self._recipe.monitor]:  # NaN is beaten by anything
            self.best, self.best_weights, self._since_best = record, self.learner.get_weights(), 0
        else:
            self._since_best += 1
            if self._recipe.patience is not None and self._since_best >= self._recipe.patience:
                self.stopped_early = self.model.stop_training = True
        return measures


class StepValidations(Validations):
    """Validates after each global step that is a multiple of `validate_every_steps`, through all epochs."""

    def __init__(self, validator: Validator, recipe: Recipe, phase: int, first_step: int, learner: keras.Model) -> None:
        super().__init__(validator, recipe, phase, first_step, learner)
        assert recipe.validate_every_steps is not None
        self._every, self._epoch = recipe.validate_every_steps, 0
        self._newest: dict[str, float] = {}

    def state(self) -> dict[str, Any]:  # noqa: D102
        return {**super().state(), "_newest": self._newest}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        self._epoch = epoch

    def steps_until_due(self) -> int:
        """How many gradient steps it is to the next validation."""
        return self._every - self._last_step() % self._every

    def after_steps(self) -> None:
        """Validates if the gradient step just made is one to validate after."""
        if self._last_step() % self._every == 0:
            self._newest = self._record(self._epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: D102
        if logs is not None:
            logs.update(self._newest)
