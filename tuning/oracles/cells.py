"""The cells of a grid: whether there are finitely many, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError

if TYPE_CHECKING:
    import keras_tuner


def check_cells(hyperparameters: keras_tuner.HyperParameters) -> None:
    """Refuses a range without a step, of which Keras Tuner would silently take ten points.

    Raises:
        UsageError: naming the parameter.
    """
    for parameter in hyperparameters.space:
        if hasattr(parameter, "min_value") and parameter.step is None:
            raise UsageError(
                f"a grid needs finitely many values, and {parameter.name} is a range "
                f"({parameter.min_value}, {parameter.max_value}): give a list"
            )


def count_cells(hyperparameters: keras_tuner.HyperParameters) -> int:
    """The number of cells of a grid, conditional parameters counted only where they are active.

    The grid visits them in Keras Tuner's order: the last declared parameter changes fastest.
    """
    space = list(hyperparameters.space)
    parents = {condition.name for parameter in space for condition in parameter.conditions}
    return _count(space, parents, {})


def _count(space: list[Any], parents: set[str], values: dict[str, Any]) -> int:
    if not space:
        return 1
    first, rest = space[0], space[1:]
    if not all(condition.is_active(values) for condition in first.conditions):
        return _count(rest, parents, values)
    choices = list(first.values)
    if first.name not in parents:
        return len(choices) * _count(rest, parents, values)
    return sum(_count(rest, parents, {**values, first.name: value}) for value in choices)
