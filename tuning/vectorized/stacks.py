"""`Stacks`: the variables of a program with a leading axis of members."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import zoo.startup  # noqa: F401  (before Keras)

import keras
import numpy as np
import tensorflow as tf


class Stacks:
    """The values that variables have for many members, each as one variable with a leading axis of members.

    Args:
        variables: of the model and of its optimizer; their own values are of no interest.
        transposed: the ids of those that are kept with their two axes exchanged.
    """

    def __init__(self, variables: Sequence[keras.Variable], transposed: Collection[int]) -> None:
        self._variables, self._transposed = list(variables), transposed
        self._stacks = {id(variable): self._stack(variable) for variable in variables}

    def __getitem__(self, variable: keras.Variable) -> tf.Variable:
        """Of a variable, as it is kept."""
        return self._stacks[id(variable)]

    def read(self, variable: keras.Variable) -> tf.Tensor:
        """The present values of a variable, as they are kept."""
        return self[variable].read_value()

    def load(self, members: Sequence[Sequence[np.ndarray]]) -> None:
        """Begins with other members: for each the values of all variables, in their order."""
        members = two_at_least(members)
        for i, variable in enumerate(self._variables):
            self[variable].assign(self._turned(variable, np.stack([member[i] for member in members])))

    def keep(self, places: Sequence[int]) -> None:
        """Goes on with the members at these places alone."""
        for stack in self._stacks.values():
            stack.assign(tf.gather(stack, two_at_least(places)))

    def values(self, variables: Sequence[keras.Variable]) -> list[np.ndarray]:
        """The values of all members, (M, ...) for each variable, with its own axes in their order."""
        return [self._turned(variable, self[variable].numpy()) for variable in variables]

    def _stack(self, variable: keras.Variable) -> tf.Variable:
        values = self._turned(variable, np.zeros([0, *variable.shape], variable.dtype))
        return tf.Variable(values, shape=[None, *values.shape[1:]], trainable=False)

    def _turned(self, variable: keras.Variable, values: np.ndarray) -> np.ndarray:
        """All members' values of a variable as they are kept, or the reverse."""
        return values.swapaxes(1, 2) if id(variable) in self._transposed else values


def two_at_least(members: Sequence[Any]) -> Sequence[Any]:
    """One alone with a twin: products of a single pair are computed in another way, and round otherwise."""
    return [*members, *members] if len(members) == 1 else members
