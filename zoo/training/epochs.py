"""How `fit` makes the gradient steps of an epoch: `GraphEpochs` for data in memory, `StreamEpochs` for all other."""

from __future__ import annotations

from typing import Any, Protocol

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from zoo.data.augment import augmented
from zoo.data.pipeline import MemoryBatches, examples_of, scale
from zoo.data.split import Split
from zoo.errors import ZooError
from zoo.features.extraction import OnProgress
from zoo.training.class_weights import class_weights
from zoo.training.recipe import Recipe
from zoo.training.validation import StepValidations

_LONGEST_CALL = 1.0  # seconds; between two graph calls a signal is heard and progress is shown


class Epochs(Protocol):
    """What is put into the place of `fit`'s train function.

    Attributes:
        calls: calls an epoch, or `None`: as many as the batches give.
        batches: the dataset for `fit`.
        position: (epoch, step) of the next gradient step; the epoch counts passes over the data.
    """

    calls: int | None
    batches: tf.data.Dataset
    position: tuple[int, int]

    def start(
        self,
        split: Split,
        seed: int,
        *,
        epoch: int,
        validations: StepValidations | None,
        on_progress: OnProgress | None,
    ) -> None:
        """Makes ready for a `fit` that begins with pass `epoch` over `split`, in the order that `seed` decides."""
        ...

    def skip_to(self, step: int, metrics: list[np.ndarray]) -> None:
        """Begins the next epoch in its middle, with the metrics as they were there."""
        ...

    def __call__(self, iterator: Any) -> dict[str, Any]:
        """Makes the next call's gradient steps; returns the epoch's metrics so far."""
        ...


class GraphEpochs:
    """`fit`'s train function for data in memory: the loop over gradient steps runs inside the graph; see `Epochs`.

    `fit` makes as many calls an epoch as `calls` says, with an iterator over `batches` that is not used, and keeps its
    callbacks, metrics and history. A gradient step is the model's own `train_step`, on the batches that `Split.batches`
    gives. `batches` is one example again and again, from which `fit` learns shapes.

    Args:
        model: a compiled model.
        split: training data in memory; `start` takes others of the same store.
        recipe: batch size, order, augmentation.
        one_by_one: whether every call is one gradient step, for callbacks that want batches.
        draws: how many augmentations of the examples the store holds, one behind the other; pass p takes draw p mod `draws`.
        fitted: the model whose `fit` asks for the steps: `model`, or the whole of which it is a part.
    """

    def __init__(
        self,
        model: keras.Model,
        split: Split,
        recipe: Recipe,
        *,
        one_by_one: bool,
        draws: int,
        fitted: keras.Model,
    ) -> None:
        assert split.store is not None
        assert split.rows is not None
        assert split.labels is not None
        self._model, self._recipe, self._one_by_one = model, recipe, one_by_one
        self._fitted = fitted
        self.position: tuple[int, int] = 0, 0
        batches = MemoryBatches(split, recipe.batch_size, shuffle=recipe.shuffle, drop_remainder=recipe.drop_remainder)
        example = scale(tf.constant(split.store.array[split.rows[:1]]), split.scaling), tf.constant(split.labels[:1])
        self.batches = tf.data.Dataset.from_tensors(example).repeat()
        model.optimizer.build(model.trainable_variables)  # no variable can be made inside the loop

        def one_step(seed: tf.Tensor, epoch: tf.Tensor, order: Any, weights: Any, step: tf.Tensor) -> tf.Tensor:
            inputs, labels = batches.batch(order, step)
            inputs = scale(inputs, split.scaling)
            if recipe.augment:
                inputs = augmented(inputs, recipe.augment, seed, epoch, step)
            model.train_step((inputs, labels) if weights is None else (inputs, labels, tf.gather(weights, labels)))
            return step + 1

        column, number = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int64)

        @tf.function(autograph=False, input_signature=[(column, column), number, number, number, number])
        def run(order: Any, seed: tf.Tensor, epoch: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> Any:
            end = tf.timestamp() + _LONGEST_CALL
            weights = class_weights(recipe, order[1], split.num_classes)
            (step,) = tf.while_loop(
                lambda step: (step < last) & ((step == first) | (tf.timestamp() < end)),
                lambda step: (one_step(seed, epoch, order, weights, step),),
                (first,),
            )
            return step, model.get_metrics_result()

        self._run = run

        rows_of_a_draw = len(split.store) // draws

        def order_of(seed: tf.Tensor, epoch: tf.Tensor, examples: Any) -> Any:
            rows, labels = batches.order(seed, epoch, examples)
            if draws > 1:
                rows += tf.cast(epoch % draws, tf.int32) * rows_of_a_draw
            return rows, labels

        self._order_of = tf.function(order_of, autograph=False, input_signature=[number, number, (column, column)])
        self.start(split, recipe.seed, epoch=0, validations=None, on_progress=None)

    @property
    def traces(self) -> int:
        """How often the gradient step was traced."""
        return int(self._run.experimental_get_tracing_count())

    def start(  # noqa: D102
        self,
        split: Split,
        seed: int,
        *,
        epoch: int,
        validations: StepValidations | None,
        on_progress: OnProgress | None,
    ) -> None:
        self._examples, self._seed, self.position = examples_of(split), seed, (epoch, 0)
        self._validations, self._on_progress = validations, on_progress
        self._order: Any = None
        self._metrics: list[np.ndarray] = []
        self._idle_calls = 0
        self._steps = split.num_batches(self._recipe.batch_size, drop_remainder=self._recipe.drop_remainder)
        self.calls: int | None = self._steps if self._one_by_one else 1

    def skip_to(self, step: int, metrics: list[np.ndarray]) -> None:  # noqa: D102
        self.position, self._metrics = (self.position[0], step), metrics
        self._idle_calls = step if self._one_by_one else 0  # `fit` counts the calls of a whole epoch

    def __call__(self, iterator: Any) -> dict[str, Any]:
        """Makes the next call's gradient steps; returns the epoch's metrics so far."""
        epoch, step = self.position
        if self._metrics:
            self._restore_metrics()
        if self._idle_calls:
            self._idle_calls -= 1
            return dict(self._model.get_metrics_result())
        end = step + 1 if self._one_by_one else self._steps
        logs: dict[str, Any] = {}
        while step < end and not (logs and self._fitted.stop_training):  # as `fit`, which looks after a call
            last = min(end, step + self._validations.steps_until_due()) if self._validations else end
            reached, logs = self._run_steps(epoch, step, last)
            step = int(reached)
            self.position = epoch, step
            if self._validations:
                self._validations.after_steps()
            if self._on_progress:
                self._on_progress(step, self._steps)
        if step == self._steps:
            self.position, self._order = (epoch + 1, 0), None
        return logs

    def _run_steps(self, epoch: int, first: int, last: int) -> tuple[tf.Tensor, dict[str, Any]]:
        numbers = [tf.constant(n, tf.int64) for n in (self._seed, epoch, first, last)]
        if self._order is None:
            self._order = self._order_of(*numbers[:2], self._examples)
        reached, logs = self._run(self._order, *numbers)
        return reached, logs

    def _restore_metrics(self) -> None:
        self._run_steps(*self.position, self.position[1])  # no step: it makes the metrics' variables
        for variable, value in zip(self._model.metrics_variables, self._metrics, strict=True):
            variable.assign(value)
        self._metrics = []


class StreamEpochs:
    """`fit`'s own train function over `Split.batches`, for streams, `tf.distribute`, and models with a `train_step`.

    See `Epochs`. Under `tf.distribute`, Keras spends the first pass on learning shapes: the first epoch has the order of
    the second pass.

    Args:
        model: a compiled model.
        split: training data.
        recipe: batch size, order, augmentation, seed.
    """

    def __init__(self, model: keras.Model, split: Split, recipe: Recipe) -> None:
        self._recipe, self._steps_a_call = recipe, model.steps_per_execution
        model.make_train_function()
        self._keras = model.train_function
        self.start(split, recipe.seed, epoch=0, validations=None, on_progress=None)

    def start(  # noqa: D102
        self,
        split: Split,
        seed: int,
        *,
        epoch: int,
        validations: StepValidations | None,
        on_progress: OnProgress | None,
    ) -> None:
        self._validations, self._on_progress, self.position = validations, on_progress, (epoch, 0)
        recipe = self._recipe
        self._steps = split.num_batches(recipe.batch_size, drop_remainder=recipe.drop_remainder)
        self.batches = split.batches(
            recipe.batch_size,
            shuffle=recipe.shuffle,
            augment=recipe.augment or None,
            drop_remainder=recipe.drop_remainder,
            seed=seed,
            first_pass=epoch,
        )
        if recipe.class_weight is not None:
            weights = class_weights(recipe, tf.constant(split.labels), split.num_classes)
            self.batches = self.batches.map(lambda x, y: (x, y, tf.gather(weights, y)))
        self.calls: int | None = None
        if self._steps_a_call == 1:  # one iterator for all epochs, where `fit` makes two an epoch
            self.batches, self.calls = self.batches.repeat(), self._steps

    def skip_to(self, step: int, metrics: list[np.ndarray]) -> None:  # noqa: D102
        raise ZooError(
            "the training was interrupted within an epoch of kept features or examples in memory, for which there is no "
            "room now; make room, or choose another folder"
        )

    def __call__(self, iterator: Any) -> dict[str, Any]:
        """Makes the next call's gradient steps; returns the epoch's metrics so far."""
        logs: dict[str, Any] = self._keras(iterator)
        epoch, step = self.position
        step = min(step + self._steps_a_call, self._steps)
        self.position = epoch, step
        if self._validations:
            self._validations.after_steps()
        if self._on_progress:
            self._on_progress(step, self._steps)
        if step == self._steps:
            self.position = epoch + 1, 0
        return logs
