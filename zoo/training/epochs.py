"""How `fit` makes the gradient steps of an epoch: `GraphEpochs` for data in memory, `StreamEpochs` for all other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import tensorflow as tf

from zoo.data.augment import augmented
from zoo.data.pipeline import MemoryBatches, scale
from zoo.data.split import Split
from zoo.training.recipe import Recipe
from zoo.training.validation import StepValidations

_LONGEST_CALL = 1.0  # seconds; between two graph calls a signal is heard and progress is shown


class GraphEpochs:
    """`fit`'s train function for data in memory: the loop over gradient steps runs inside the graph.

    `fit` makes as many calls an epoch as `calls` says, with an iterator over `batches` that is not used, and keeps its
    callbacks, metrics and history. A gradient step is the model's own `train_step`, on the batches that `Split.batches`
    gives.

    Args:
        model: a compiled model.
        split: training data in memory.
        recipe: batch size, order, augmentation, seed.
        one_by_one: whether every call is one gradient step, for callbacks that want batches.
        validations: validates after certain steps; `None` where that is left to the end of epochs.
        on_progress: called with (steps done, steps of the epoch) between graph calls.

    Attributes:
        calls: calls an epoch.
        batches: the dataset for `fit`: one example again and again, from which it learns shapes.
    """

    def __init__(
        self,
        model: keras.Model,
        split: Split,
        recipe: Recipe,
        *,
        one_by_one: bool = False,
        validations: StepValidations | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        assert split.store is not None
        assert split.rows is not None
        assert split.labels is not None
        self._model, self._seed, self._one_by_one = model, recipe.seed, one_by_one
        self._validations, self._on_progress = validations, on_progress
        self._epoch, self._step = 0, 0
        batches = MemoryBatches(split, recipe.batch_size, shuffle=recipe.shuffle, drop_remainder=recipe.drop_remainder)
        self._steps = batches.steps
        self.calls = batches.steps if one_by_one else 1
        example = scale(tf.constant(split.store.array[split.rows[:1]]), split.scaling), tf.constant(split.labels[:1])
        self.batches = tf.data.Dataset.from_tensors(example).repeat()
        model.optimizer.build(model.trainable_variables)  # no variable can be made inside the loop

        def one_step(seed: tf.Tensor, epoch: tf.Tensor, order: Any, step: tf.Tensor) -> tf.Tensor:
            inputs, labels = batches.batch(order, step)
            inputs = scale(inputs, split.scaling)
            if recipe.augment:
                inputs = augmented(inputs, recipe.augment, seed, epoch, step)
            model.train_step((inputs, labels))
            return step + 1

        @tf.function(autograph=False)
        def run(order: Any, seed: tf.Tensor, epoch: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> Any:
            end = tf.timestamp() + _LONGEST_CALL
            (step,) = tf.while_loop(
                lambda step: (step < last) & ((step == first) | (tf.timestamp() < end)),
                lambda step: (one_step(seed, epoch, order, step),),
                (first,),
            )
            return step, model.get_metrics_result()

        self._run, self._order_of = run, tf.function(batches.order, autograph=False)

    def __call__(self, iterator: Any) -> dict[str, Any]:
        """Makes the next call's gradient steps; returns the epoch's metrics so far."""
        end = self._step + 1 if self._one_by_one else self._steps
        logs: dict[str, Any] = {}
        while self._step < end and not (logs and self._model.stop_training):  # as `fit`, which looks after a call
            last = min(end, self._step + self._validations.steps_until_due()) if self._validations else end
            seed, epoch, first, until = (tf.cast(n, tf.int64) for n in (self._seed, self._epoch, self._step, last))
            if self._step == 0:
                self._order = self._order_of(seed, epoch)
            step, logs = self._run(self._order, seed, epoch, first, until)
            self._step = int(step)
            if self._validations:
                self._validations.after_steps()
            if self._on_progress:
                self._on_progress(self._step, self._steps)
        if self._step == self._steps:
            self._epoch, self._step = self._epoch + 1, 0
        return logs


class StreamEpochs:
    """`fit`'s own train function over `Split.batches`, for streams, `tf.distribute`, and models with a `train_step`.

    Under `tf.distribute`, Keras spends the first pass on learning shapes: the first epoch has the order of the second pass.

    Args:
        model: a compiled model.
        split: training data.
        recipe: batch size, order, augmentation, seed.
        validations: as in `GraphEpochs`.
        on_progress: as in `GraphEpochs`.

    Attributes:
        calls: calls an epoch, or `None`: as many as the batches give.
        batches: the dataset for `fit`.
    """

    def __init__(
        self,
        model: keras.Model,
        split: Split,
        recipe: Recipe,
        *,
        validations: StepValidations | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._validations, self._on_progress = validations, on_progress
        self._steps_a_call, self._step = model.steps_per_execution, 0
        self._steps = split.num_batches(recipe.batch_size, drop_remainder=recipe.drop_remainder)
        self.batches = split.batches(
            recipe.batch_size,
            shuffle=recipe.shuffle,
            augment=recipe.augment or None,
            drop_remainder=recipe.drop_remainder,
            seed=recipe.seed,
        )
        self.calls = None
        if self._steps_a_call == 1:  # one iterator for all epochs, where `fit` makes two an epoch
            self.batches, self.calls = self.batches.repeat(), self._steps
        model.make_train_function()
        self._keras = model.train_function

    def __call__(self, iterator: Any) -> dict[str, Any]:
        """Makes the next call's gradient steps; returns the epoch's metrics so far."""
        logs: dict[str, Any] = self._keras(iterator)
        self._step = min(self._step + self._steps_a_call, self._steps)
        if self._validations:
            self._validations.after_steps()
        if self._on_progress:
            self._on_progress(self._step, self._steps)
        if self._step == self._steps:
            self._step = 0
        return logs
