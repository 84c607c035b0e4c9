"""`Member`: one run among many, which its records, validations and saved states take for a program of its own."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import numpy as np

from tuning.vectorized.program import Measures, StackedProgram
from zoo.data.splits import DataSplits
from zoo.errors import ZooError
from zoo.training.live import live_numbers
from zoo.training.program import generator_states
from zoo.training.recipe import Recipe


class Value:
    """A variable of one member, as an array."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    @property
    def shape(self) -> tuple[int, ...]:  # noqa: D102
        return self._array.shape

    def numpy(self) -> np.ndarray:  # noqa: D102
        return self._array

    def assign(self, value: Any) -> None:  # noqa: D102
        self._array = np.array(value, self._array.dtype)  # a copy: what is given may be a part of all members'


class MemberModel:
    """What callbacks and saved states ask of a Keras model and its optimizer.

    Attributes:
        variables: in the order of the Keras model's.
        optimizer: `variables`, `iterations` and `learning_rate`.
        stop_training: set by callbacks.
    """

    built = True
    trainable_variables: Sequence[Any] = ()
    stop_training = False

    def __init__(self, program: StackedProgram, weights: Sequence[np.ndarray], rate: float) -> None:
        model, optimizer = program.model, program.optimizer
        self.variables = [Value(np.asarray(variable.numpy())) for variable in model.variables]
        places = {id(variable): place for place, variable in enumerate(model.variables)}
        self._weights = [self.variables[places[id(variable)]] for variable in model.weights]
        self.set_weights(weights)
        self.optimizer = _MemberOptimizer(program, rate)
        assert optimizer.variables[0] is optimizer.iterations

    def get_weights(self) -> list[np.ndarray]:  # noqa: D102
        return [value.numpy() for value in self._weights]  # never changed in place

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:  # noqa: D102
        for value, weight in zip(self._weights, weights, strict=True):
            value.assign(weight)


class _MemberOptimizer:
    def __init__(self, program: StackedProgram, rate: float) -> None:
        self.variables = [Value(array) for array in program.fresh]
        self._program, self._rate = program, rate

    @property
    def iterations(self) -> Value:
        return self.variables[0]

    @property
    def learning_rate(self) -> np.floating:
        return self._program.rate_after(int(self.iterations.numpy()), self._rate)

    def build(self, variables: Any) -> None:
        """It is."""


class Member:
    """One member of a stacked program, with the face of `zoo.training.program.Program`.

    Args:
        program: what trains.
        weights: initial ones, in the order of `model.get_weights()`.
        options: of the builder.
        recipe: of the program's structure.
        data: what the member trains on.

    Attributes:
        data, recipe: as given.
        numbers: `live_numbers`.
        model: its variables between epochs.
        learner: the model, all of which learns.
        validator: gives the measures of the last epoch's weights, or `None` without validation data.
        seconds: its share of the time.
    """

    in_graph = one_by_one = False  # its state is taken between epochs

    def __init__(
        self,
        program: StackedProgram,
        weights: Sequence[np.ndarray],
        options: Mapping[str, Any],
        recipe: Recipe,
        data: DataSplits,
    ) -> None:
        self.data, self.recipe, self.numbers = data, recipe, live_numbers(options, recipe)
        self.model = MemberModel(program, weights, self.numbers["learning_rate"])
        self.learner = self.model
        self.recorder = _Losses()
        self.validator = None if data.validation is None else self._validate
        self.measure: Callable[[], tuple[Measures, int]] | None = None  # all members' measures, and its own place
        self.seconds = 0.0
        self.epochs = types.SimpleNamespace(position=(0, 0), skip_to=_refuse)
        self._program = program

    def start(self, data: DataSplits, recipe: Recipe, **_: Any) -> int:
        """As `Program.start`: dropout as the recipe's seed decides; the steps of an epoch."""
        variables = self._program.model.variables
        for state, value in generator_states(self._program.model, recipe.seed):
            place = next(i for i, variable in enumerate(variables) if variable is state)
            self.model.variables[place].assign(value)
        return data.train.num_batches(recipe.batch_size, drop_remainder=recipe.drop_remainder)

    def take(self, place: int, weights: Sequence[np.ndarray], slots: Sequence[np.ndarray]) -> None:
        """Copies its part of all members' values."""
        for values, arrays in ((self.model.variables, weights), (self.model.optimizer.variables, slots)):
            for value, array in zip(values, arrays, strict=True):
                value.assign(array[place])

    def _validate(self) -> dict[str, float]:
        assert self.measure is not None
        measures, place = self.measure()
        return {
            "val_loss": float(measures.loss[place]),
            "val_data_loss": float(measures.data_loss[place]),
            "val_accuracy": float(measures.accuracy[place]),
        }


class _Losses:
    """The losses of an epoch's steps, (S, 2); see `zoo.training.recorder.StepRecorder`."""

    def __init__(self) -> None:
        self.losses = np.zeros((0, 2))

    def present(self) -> np.ndarray:
        return self.losses

    def restore(self, losses: np.ndarray) -> None:
        self.losses = losses

    def take(self) -> np.ndarray:
        losses, self.losses = self.losses, np.zeros((0, 2))
        return losses


def _refuse(step: int, metrics: Any) -> None:
    raise ZooError("a state from the middle of an epoch is for a program of its own")
