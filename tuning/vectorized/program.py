"""`StackedProgram`: the epochs and validations of many members of one structure, traced once for any number of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf

from tuning.vectorized.batches import Batch, Examples, StackedBatches
from tuning.vectorized.network import Network, is_narrow
from tuning.vectorized.stacks import Stacks, two_at_least
from tuning.vectorized.updates import TIMES_RATE, make_update, slots_of
from zoo.data.augment import augmented
from zoo.data.splits import DataSplits
from zoo.features.extraction import OnProgress
from zoo.training.compiling import compile_model
from zoo.training.live import unscaled
from zoo.training.recipe import Recipe

_LONGEST_CALL = 1.0  # seconds; between two graph calls a signal is heard
_VALIDATION_BATCH = 512
_NUMBERS = ("dropout", "scale", "l1", "l2", "learning_rate", "momentum", "weight_decay")
Numbers = Mapping[tuple[str, int], tf.Tensor]
_DRAWS = tf.int32.max - 1  # seeds of Keras's random numbers are taken modulo this


@dataclasses.dataclass
class Measures:
    """What an epoch or a validation gives, one entry a member.

    Attributes:
        loss: with penalties; (M,), or of an epoch's steps (S, M). float64.
        data_loss: without, of the same shape.
        accuracy: (M,).
    """

    loss: np.ndarray
    data_loss: np.ndarray
    accuracy: np.ndarray


class StackedProgram:
    """Members of one structure as one program.

    Each member has its own weights, optimizer slots, numbers (`live_numbers`) and seeds. Data and their order belong to
    all of them, or each has its own, which costs a copy of every batch for every member.

    Args:
        model: a built Keras model of the structure, for which `network.is_chain` holds. It is compiled, and its weights
            are of no interest.
        data: with the stores that all members' data are of.
        recipe: of the structure.
        strengths: "l1", "l2", both or none: the penalties that members may have.
    """

    def __init__(self, model: keras.Model, data: DataSplits, recipe: Recipe, *, strengths: Sequence[str]) -> None:
        self.model, self._recipe, self._strengths = model, recipe, strengths
        steps = data.train.num_batches(recipe.batch_size, drop_remainder=recipe.drop_remainder)
        compile_model(model, unscaled(recipe), steps_per_epoch=steps)
        optimizer = self.optimizer = model.optimizer
        optimizer.build(model.trainable_variables)
        self._schedule = optimizer._learning_rate if recipe.schedule is not None else None
        self.fresh = [np.asarray(v.numpy()) for v in optimizer.variables]
        self._network = Network(model)
        self._penalised = [v for v in model.trainable_variables if v.regularizer is not None] if strengths else []
        self._update = make_update(recipe.optimizer, optimizer)
        self._slots = slots_of(recipe.optimizer, optimizer)
        narrow = {id(layer.kernel) for layer in model.layers if is_narrow(layer)}
        slots = zip(model.trainable_variables, self._slots, strict=True)
        transposed = narrow.union(id(slot) for v, of_v in slots if id(v) in narrow for slot in of_v)
        self._stacks = Stacks([*model.variables, *optimizer.variables], transposed)
        self._numbers = {name: tf.Variable(np.zeros(0), shape=[None], trainable=False) for name in _NUMBERS}
        self._batches = StackedBatches(data.train, recipe.batch_size, shuffle=recipe.shuffle)
        if data.validation:
            self._validation_batches = StackedBatches(data.validation, _VALIDATION_BATCH)
        number = tf.TensorSpec([], tf.int64)
        rows = tf.TensorSpec([None, None], tf.int32)
        self._orders = tf.function(
            self._batches.orders,
            autograph=False,
            input_signature=[tf.TensorSpec([None], tf.int64), number, (rows, rows)],
        )
        signature = [(rows, rows), number, number, number, number]
        self._runs = {
            shared: tf.function(self._epoch_of(shared), autograph=False, input_signature=signature)
            for shared in (True, False)
        }
        self._validate = tf.function(self._validation, autograph=False, input_signature=[(rows, rows)])

    @property
    def traces(self) -> int:
        """How often a gradient step was traced: once for shared data, once for data of one's own."""
        return sum(run.experimental_get_tracing_count() for run in self._runs.values())

    @property
    def bytes_per_member(self) -> int:
        """Memory that a member takes while it trains: weights, slots, gradients, and what its layers give."""
        variables: int = sum(v.numpy().nbytes for v in self.model.variables)
        slots = sum(value.nbytes for value in self.fresh)
        width = sum(int(np.prod(layer.output.shape[1:])) for layer in self.model.layers)
        return 4 * variables + slots + 8 * 4 * width * max(self._recipe.batch_size, _VALIDATION_BATCH)

    def rate_after(self, iterations: int, rate: float) -> np.floating:
        """The learning rate after so many steps, as Keras tells it."""
        scheduled = 1.0 if self._schedule is None else np.float32(self._schedule(iterations))
        return np.float32(rate) * np.float32(scheduled)

    def load(
        self,
        weights: Sequence[Sequence[np.ndarray]],
        slots: Sequence[Sequence[np.ndarray]],
        numbers: Sequence[Mapping[str, float]],
    ) -> None:
        """Begins with other members: for each the values of the model's and the optimizer's variables, and its numbers."""
        self._stacks.load([[*of_model, *of_optimizer] for of_model, of_optimizer in zip(weights, slots, strict=True)])
        for name, variable in self._numbers.items():
            variable.assign([member[name] for member in two_at_least(numbers)])

    def keep(self, places: Sequence[int]) -> None:
        """Goes on with the members at these places alone."""
        self._stacks.keep(places)
        for variable in self._numbers.values():
            variable.assign(tf.gather(variable, two_at_least(places)))

    def values(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The values of all members: of the model's variables, and of the optimizer's."""
        return self._stacks.values(self.model.variables), self._stacks.values(self.optimizer.variables)

    def epoch(self, examples: Examples, seeds: Sequence[int], number: int, on_progress: OnProgress) -> Measures:
        """One pass over the data, that of `number`: losses of each step, accuracy over the pass.

        Args:
            examples: of the training data, for all members or for each.
            seeds: of the order, as many.
            number: passes that were made before.
            on_progress: called with (steps done, steps of the epoch) between graph calls.
        """
        recipe, count = self._recipe, examples[0].shape[1]
        order = self._orders(tf.constant(seeds, tf.int64), tf.constant(number, tf.int64), examples)
        steps = count // recipe.batch_size if recipe.drop_remainder else -(-count // recipe.batch_size)
        losses, correct, done = [], np.float32(0), 0
        while done < steps:
            calls = [tf.constant(n, tf.int64) for n in (seeds[0], number, done, steps)]
            reached, loss, hits = self._runs[len(seeds) == 1](order, *calls)
            losses.append(loss.numpy()[:, : int(reached) - done])
            done, correct = int(reached), correct + hits.numpy()
            on_progress(done, steps)
        loss, data_loss = np.concatenate(losses, axis=1).astype(np.float64)
        seen = min(steps * recipe.batch_size, count)
        return Measures(loss, data_loss, np.asarray(correct / np.float32(seen)))

    def validate(self, examples: Examples) -> Measures:
        """Loss and accuracy of the present weights on examples for all members, or for each."""
        total, penalty, correct = self._validate(examples)
        count = examples[0].shape[1]
        data_loss = total.numpy() / count
        return Measures(data_loss + penalty.numpy(), data_loss, correct.numpy() / np.float32(count))

    def _read_numbers(self) -> dict[tuple[str, int], tf.Tensor]:
        """(name, axes) -> the numbers of all members, (M, 1, ..., 1): made once a call, not once a step."""
        dtype = self.model.trainable_variables[0].dtype
        values = {name: tf.cast(variable, dtype) for name, variable in self._numbers.items()}
        return {(name, axes): _with_axes(value, axes) for name, value in values.items() for axes in (1, 2, 3)}

    def _penalties(self, numbers: Numbers) -> tf.Tensor | None:
        """(M,) l1·Σ|w| + l2·Σw², or `None` where nothing is penalised."""
        total = None
        for variable in self._penalised:
            flat = tf.reshape(self._stacks.read(variable), [-1, int(np.prod(variable.shape))])
            for name in self._strengths:
                norm = tf.reduce_sum(tf.abs(flat) if name == "l1" else tf.square(flat), axis=1)
                term = tf.math.multiply_no_nan(norm, numbers[name, 1])
                total = term if total is None else total + term
        return total

    def _penalty_gradient(self, variable: keras.Variable, numbers: Numbers, factor: tf.Tensor | float) -> Any:
        """`factor` times l1·sign(w) + 2·l2·w; `factor` is (M, 1, ..., 1)."""
        weights, axes = self._stacks.read(variable), len(variable.shape) + 1
        slopes = {"l1": (tf.sign, 1.0), "l2": (tf.identity, 2.0)}
        parts = [(slopes[name], numbers[name, axes] * factor) for name in self._strengths]
        return tf.add_n([slope(weights) * (times * strength) for (slope, times), strength in parts])

    def _epoch_of(self, shared: bool) -> Callable[..., Any]:
        """The function of an epoch's steps; it returns after a second at most."""
        recipe = self._recipe

        def run(order: Any, seed: tf.Tensor, epoch: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> Any:
            end = tf.timestamp() + _LONGEST_CALL
            numbers = self._read_numbers()
            members = tf.size(numbers["scale", 1])
            dtype = tf.as_dtype(self.model.trainable_variables[0].dtype)
            losses = tf.TensorArray(dtype, size=tf.cast(last - first, tf.int32), element_shape=[2, None])

            def one_step(step: tf.Tensor, losses: tf.TensorArray, correct: tf.Tensor) -> Any:
                batch = self._batches.batch(
                    order,
                    tf.cast(step, tf.int32) * recipe.batch_size,
                    (lambda x: augmented(x, recipe.augment, seed, epoch, step)) if recipe.augment else None,
                )
                loss, data_loss, hits = self._step(batch, numbers, shared)
                losses = losses.write(tf.cast(step - first, tf.int32), tf.stack([loss, data_loss]))
                return step + 1, losses, correct + hits

            step, losses, correct = tf.while_loop(
                lambda step, *_: (step < last) & ((step == first) | (tf.timestamp() < end)),
                one_step,
                (first, losses, tf.zeros([members])),
                shape_invariants=(tf.TensorShape([]), tf.TensorShape(None), tf.TensorShape([None])),
            )
            return step, tf.transpose(losses.stack(), [1, 0, 2]), correct

        return run

    def _step(self, batch: Batch, numbers: Numbers, shared: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """A gradient step of all members; their losses with and without penalties, and how many they had right."""
        variables = self.model.trainable_variables
        weights = {id(variable): self._stacks.read(variable) for variable in variables}
        made = self._stacks[self.optimizer.iterations][0]  # by all members
        rate = tf.cast(self._numbers["learning_rate"], tf.float32)  # as Keras keeps it, also for a float64 model
        if self._schedule is not None:  # for a rate of one
            rate *= tf.cast(self._schedule(made), tf.float32)
        rate = tf.cast(rate, variables[0].dtype)
        times_rate = self._recipe.optimizer in TIMES_RATE
        with tf.GradientTape() as tape:
            tape.watch(list(weights.values()))
            logits = self._network.logits(
                batch.inputs, lambda v: weights[id(v)], lambda layer, x: self._drop_out(layer, x, numbers, shared)
            )
            data_loss = batch.sum(self._network.losses(logits, batch.labels))
            data_loss /= tf.cast(batch.count, data_loss.dtype)
        # Of the members' sum: a weight has a part in its own member's loss alone.
        gradients = tape.gradient(data_loss, list(weights.values()), output_gradients=rate if times_rate else None)
        penalty = self._penalties(numbers)
        for variable, gradient, slots in zip(variables, gradients, self._slots, strict=True):
            axes = gradient.shape.rank
            own_rate = _with_axes(rate, axes)
            if any(variable is penalised for penalised in self._penalised):
                slope = self._penalty_gradient(variable, numbers, own_rate if times_rate else 1.0)
                gradient = gradient + slope  # noqa: PLW2901
            weight, stacked = self._stacks[variable], [self._stacks[slot] for slot in slots]
            if self.optimizer.weight_decay is not None:
                weight.assign_sub(weight * (numbers["weight_decay", axes] * own_rate))
            step = tf.cast(made + 1, rate.dtype)
            self._update(weight, stacked, gradient, own_rate, numbers["momentum", axes], step)
        iterations = self._stacks[self.optimizer.iterations]
        iterations.assign_add(tf.ones_like(iterations))
        loss = data_loss if penalty is None else data_loss + penalty
        return loss, data_loss, batch.sum(self._network.hits(logits, batch.labels))

    def _drop_out(self, layer: keras.layers.Dropout, x: tf.Tensor, numbers: Numbers, shared: bool) -> tf.Tensor:
        """As `zoo.training.live` has it for one model; members of one seed draw the same numbers."""
        state = self._stacks[layer.seed_generator.state]
        seeds = tf.cast(tf.math.floormod(state.read_value(), _DRAWS), tf.int32)
        state.assign(state + tf.constant([0, 1], state.dtype))

        def draw(seed: tf.Tensor) -> tf.Tensor:
            return tf.random.stateless_uniform(tf.shape(x)[1:], seed, dtype=x.dtype)

        if shared:
            drawn = draw(seeds[0])[tf.newaxis]
        else:
            drawn = tf.map_fn(draw, seeds, fn_output_signature=tf.TensorSpec([None, x.shape[-1]], x.dtype))
        kept = drawn >= numbers["dropout", 3]
        return tf.where(kept, x * numbers["scale", 3], tf.zeros([], x.dtype))

    def _validation(self, examples: Examples) -> Any:
        numbers = self._read_numbers()
        members = tf.size(numbers["scale", 1])
        size = tf.shape(examples[0])[1]

        def one_batch(first: tf.Tensor, total: tf.Tensor, correct: tf.Tensor) -> Any:
            batch = self._validation_batches.batch(examples, first)
            logits = self._network.logits(batch.inputs, self._stacks.read)
            total += tf.cast(batch.sum(self._network.losses(logits, batch.labels)), tf.float64)
            return first + _VALIDATION_BATCH, total, correct + batch.sum(self._network.hits(logits, batch.labels))

        _, total, correct = tf.while_loop(
            lambda first, *_: first < size,
            one_batch,
            (tf.constant(0), tf.zeros([members], tf.float64), tf.zeros([members])),
            shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None])),
        )
        penalty = self._penalties(numbers)
        return total, tf.zeros_like(total) if penalty is None else tf.cast(penalty, tf.float64), correct


def _with_axes(values: tf.Tensor, axes: int) -> tf.Tensor:
    """(M,) as (M, 1, ..., 1)."""
    return tf.reshape(values, [-1] + [1] * (axes - 1))
